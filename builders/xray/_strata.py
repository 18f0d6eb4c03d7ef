"""Strata of the matched columns, and random draws of given numbers from each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.statistics import priorities

from ._columns import Rows, coded, need_column, numbers, texts

__all__ = ["Counts", "Strata", "make_strata"]

Counts = NDArray[np.int64]
"""Radiographs in each stratum."""


@dataclass(frozen=True, eq=False)
class Strata:
    """The stratum of each radiograph, and what a draw needs.

    Attributes
    ----------
    code : (n radiographs,) array of int64
        The stratum; −1 for radiographs that play no part.
    n : int
        How many strata.
    patient : (n radiographs,) array of int64
    priority : (n radiographs,) array of uint64
        Random, of the id alone.
    """

    code: NDArray[np.int64]
    n: int
    patient: NDArray[np.int64]
    priority: NDArray[np.uint64]

    def count(self, rows: Rows) -> Counts:
        """Radiographs in each stratum."""
        return np.bincount(self.code[rows], minlength=self.n)

    def patients(self, rows: Rows) -> int:
        """How many patients some radiographs are of."""
        return len(np.unique(self.patient[rows]))

    def draw(self, rows: Rows, wanted: Counts) -> Rows:
        """At most as many of each stratum as wanted, of different patients before the same again.

        The order in which a stratum is drawn from: first one image of each patient, then a second,
        and so on; within that by priority.
        """
        rows = rows[wanted[self.code[rows]] > 0]
        rows = rows[np.lexsort((self.priority[rows], self.patient[rows]))]
        turn = _place(self.patient[rows])
        order = np.lexsort((self.priority[rows], turn, self.code[rows]))
        rows = rows[order]
        code = self.code[rows]
        return np.sort(rows[_place(code) < wanted[code]])


def _place(sorted_codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which of its equals each entry is: 0, 1, 2, …"""
    begins = np.flatnonzero(np.diff(sorted_codes, prepend=-1))
    lengths = np.diff(begins, append=len(sorted_codes))
    return np.arange(len(sorted_codes)) - np.repeat(begins, lengths)


def make_strata(
    radiographs: pa.Table,
    rows: Rows,
    columns: Sequence[str],
    patient: NDArray[np.int64],
    *,
    bins: int,
    seed: int,
) -> Strata:
    """Strata by every combination of the columns that occurs among some radiographs.

    Text and true/false count as they are. A column of numbers with more than `bins` different
    ones is cut at its quantiles among `rows`. A null is a value of its own.
    """
    key = np.zeros(len(rows), np.int64)
    for name in columns:
        column = need_column(radiographs, name, "match")
        values = numbers(column)
        code = coded(texts(column)).codes[rows] if values is None else _binned(values[rows], bins)
        # Kept dense column by column, so that many columns never overflow.
        _, key = np.unique(key * (code.max(initial=0) + 1) + code, return_inverse=True)
    all_codes = np.full(len(radiographs), -1, np.int64)
    all_codes[rows] = key
    priority = np.zeros(len(radiographs), np.uint64)
    idents = radiographs["example_id"].take(pa.array(rows)).to_pylist()
    priority[rows] = priorities(seed, "xray match", idents)
    return Strata(all_codes, int(key.max(initial=-1)) + 1, patient, priority)


def _binned(values: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    missing = np.isnan(values)
    known = np.unique(values[~missing])
    if len(known) > bins:
        shares = np.arange(1, bins) / bins
        edges = np.unique(np.quantile(values[~missing], shares, method="inverted_cdf"))
    else:
        edges = known
    code = np.searchsorted(edges, values, side="left") + 1
    return np.where(missing, 0, code)
