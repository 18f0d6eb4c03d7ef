"""What is left between source and target in matched columns of numbers, inside their ranges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError

from ..shared.categories import column_named, numbers
from ..shared.labelled import Labelled

__all__ = ["is_number", "mean_differences", "need_overlap_inside", "warnings_of"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

NO_OVERLAP = 0.95
"""AUC by which a column that was cut tells the sides apart inside its ranges, where they share
ranges and hardly a value."""
LARGE = 0.1
"""A standardised mean difference that is worth a warning (Austin, Statistics in Medicine 28 (2009),
3083–3107)."""


def is_number(found: Labelled, name: str) -> bool:
    """Whether a column is matched in ranges, and not value by value."""
    kind = column_named(found.examples, name, "match").type
    t = pa.types
    return bool(
        t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind) or t.is_temporal(kind)
    )


def need_overlap_inside(
    found: Labelled, columns: Sequence[str], kept: Sequence[Codes], strata: Codes, bins: int
) -> None:
    """Refuse a column that tells the sides apart inside the ranges that it was cut into.

    Raises
    ------
    ConfigurationError
        There is such a one: source and target share ranges of it, and hardly a value.
    """
    for name, values in _numbers_of(found, columns):
        auc = _auc_in_strata(values, kept, strata)
        if not 1 - NO_OVERLAP < auc < NO_OVERLAP:
            raise ConfigurationError(
                f"no overlap of the covariates: {name!r} was cut into {bins} ranges, and inside "
                f"them it still tells source from target (AUC {auc:.3f}); raise --bins, name other "
                "contexts, or leave it out of match"
            )


def mean_differences(
    found: Labelled, columns: Sequence[str], kept: Sequence[Codes]
) -> dict[str, float]:
    """Standardised mean differences, target − source, of the matched columns of numbers."""
    told = {}
    for name, values in _numbers_of(found, columns):
        source, target = (v[~np.isnan(v)] for v in (values[k] for k in kept))
        if not len(source) or not len(target):
            continue
        spread = float(np.sqrt((source.var() + target.var()) / 2))
        apart = float(target.mean() - source.mean())
        if spread or not apart:
            told[name] = round(apart / spread, 6) if apart else 0.0
    return told


def warnings_of(left: Mapping[str, float], what_to_do: str) -> tuple[str, ...]:
    """Of the columns whose means are still far apart."""
    return tuple(
        f"after matching {name!r} still differs: its means are {value:+.2f} standard deviations "
        f"apart; {what_to_do}"
        for name, value in left.items()
        if abs(value) > LARGE
    )


def _numbers_of(found: Labelled, columns: Sequence[str]) -> Iterator[tuple[str, Floats]]:
    for name in columns:
        if is_number(found, name):
            yield name, numbers(found.examples, name, "match")


def _auc_in_strata(values: Floats, kept: Sequence[Codes], strata: Codes) -> float:
    """P(source < target) + P(equal) / 2 of pairs in one stratum; 0.5 where there is no pair."""
    rows = np.concatenate(kept)
    target = np.repeat([0, 1], [len(k) for k in kept])
    own = np.nan_to_num(values[rows])  # the missing have strata of their own
    order = np.lexsort((own, strata[rows]))
    own, stratum, target = own[order], strata[rows][order], target[order]
    new = np.diff(stratum, prepend=-1) != 0
    tie = np.cumsum(new | (np.diff(own, prepend=np.nan) != 0)) - 1
    of = [np.bincount(tie[target == side], minlength=int(tie[-1]) + 1) for side in (0, 1)]
    place = np.cumsum(new) - 1
    stratum_of_tie = np.zeros(len(of[0]), np.int64)
    stratum_of_tie[tie] = place
    sums = [np.bincount(place[target == side], minlength=int(place[-1]) + 1) for side in (0, 1)]
    before = np.cumsum(sums[0]) - sums[0]
    below = np.cumsum(of[0]) - of[0] - before[stratum_of_tie]
    pairs = float((sums[0] * sums[1]).sum())
    return float((of[1] * (below + of[0] / 2)).sum()) / pairs if pairs else 0.5
