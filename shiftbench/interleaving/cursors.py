"""The examples of one group in random order, pass after pass, a bounded part of them in memory."""

from __future__ import annotations

import bisect
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.statistics import stream

from .groups import Blocks

__all__ = ["DRAWN_FROM", "Cursor", "Kept"]

Ints = NDArray[np.int64]

DRAWN_FROM = "drawn_from"
"""The column of a stream that names the group that an example was drawn from."""

SMALL = 2048
"""Bytes of an example above which it costs more to copy than to pick out."""


class Kept:
    """The blocks read last, as other groups may want them next.

    Parameters
    ----------
    blocks : Blocks
    shared : (b,) bool array
        Which blocks hold rows of several groups; the others are not kept.
    limit : int
        Bytes.
    """

    def __init__(self, blocks: Blocks, shared: NDArray[np.bool_], limit: int) -> None:
        self._blocks, self._shared, self._limit = blocks, shared, limit
        self._tables: OrderedDict[int, pa.Table] = OrderedDict()
        self._held = 0

    def has(self, block: int) -> bool:
        """Whether a block is at hand."""
        return block in self._tables

    def read(self, block: int) -> pa.Table:
        """All rows of a block."""
        found = self._tables.get(block)
        if found is not None:
            self._tables.move_to_end(block)
            return found
        table = self._blocks.read(block)
        if self._shared[block]:
            self._tables[block] = table
            self._held += table.nbytes
            while self._held > self._limit and len(self._tables) > 1:
                self._held -= self._tables.popitem(last=False)[1].nbytes
        return table


@dataclass(frozen=True, eq=False)
class _Pass:
    """One pass over a group: which blocks make up each window, and where each window begins."""

    number: int
    blocks: tuple[Ints, ...]
    begins: list[int]


class Cursor:
    """The examples of one group.

    A pass takes every example once. The blocks come in an order drawn for the pass, the same for
    all groups, so that what is read for one is at hand for the next; they make windows of about
    `limit` bytes, within which the group's examples are shuffled. A group that takes less than
    that is one window, which stays in memory.

    Parameters
    ----------
    blocks : Blocks
    kept : Kept
    rows : (n,) int64 array
        The group's, ascending.
    limit : int
        Bytes of a window.
    seed : int
    ident : str
        Tells this stream's random numbers from others'.
    name : str
        The group's.
    """

    def __init__(
        self, blocks: Blocks, kept: Kept, rows: Ints, limit: int, seed: int, ident: str, name: str
    ) -> None:
        self._blocks, self._kept, self._rows, self._limit = blocks, kept, rows, limit
        self._seed, self._ident, self._name = seed, ident, name
        of_row = np.searchsorted(blocks.starts, rows, side="right") - 1
        self._mine, self._first, self._counts = np.unique(
            of_row, return_index=True, return_counts=True
        )
        held = np.diff(blocks.starts)[self._mine]
        self._whole = float((blocks.sizes[self._mine] * (self._counts / held)).sum()) <= limit
        self._copied = blocks.row_bytes < SMALL
        self._pass: _Pass | None = None
        self._window = -1
        self._parts: list[pa.RecordBatch] = []
        self._part = self._row = np.empty(0, np.int64)

    def examples(self, taken: int, n: int) -> list[pa.RecordBatch]:
        """The n examples that come after so many, each with the group's name.

        Small ones are copied together; large ones stay where they are, and are a batch each.
        """
        found: list[pa.RecordBatch] = []
        while n:
            number, place = divmod(taken, len(self._rows))
            if self._pass is None or self._pass.number != number:
                self._pass, self._window = self._planned(number), -1
            window = bisect.bisect_right(self._pass.begins, place) - 1
            if window != self._window:
                self._load(self._pass, window)
            start = place - self._pass.begins[window]
            row = self._row[start : start + n]
            if self._copied:
                found.append(self._parts[0].take(pa.array(row)))
            else:
                part = self._part[start : start + n].tolist()
                at = zip(part, row.tolist(), strict=True)
                found += [self._parts[p].slice(r, 1) for p, r in at]
            taken, n = taken + len(row), n - len(row)
        return found

    def _planned(self, number: int) -> _Pass:
        if self._whole:
            return _Pass(number, (np.arange(len(self._mine)),), [0])
        every = stream(self._seed, "interleave blocks", f"{self._ident}|{number}")
        order = np.argsort(every.permutation(len(self._blocks.sizes))[self._mine])
        before = np.cumsum(self._blocks.sizes[self._mine[order]])
        before -= self._blocks.sizes[self._mine[order]]
        cuts = np.flatnonzero(np.diff(before // self._limit, prepend=-1))
        windows = np.split(order, cuts[1:])
        sizes = [int(self._counts[w].sum()) for w in windows]
        return _Pass(number, tuple(windows), np.cumsum([0, *sizes[:-1]]).tolist())

    def _load(self, planned: _Pass, window: int) -> None:
        if not (self._whole and self._parts):
            self._parts = []  # two windows of one group are never held
            wanted = np.sort(planned.blocks[window]).tolist()
            # What is at hand first: what is read next may put it out.
            first = sorted(wanted, key=lambda i: not self._kept.has(int(self._mine[i])))
            parts = {i: self._taken(i) for i in first}
            self._parts = [parts[i] for i in wanted]
            if self._copied:
                joined = pa.Table.from_batches(self._parts).combine_chunks()
                self._parts = joined.to_batches()
        sizes = [len(part) for part in self._parts]
        part = np.repeat(np.arange(len(sizes)), sizes)
        row = np.arange(len(part)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        ident = f"{self._ident}|{self._name}|{planned.number}|{window}"
        order = stream(self._seed, "interleave examples", ident).permutation(len(part))
        self._part, self._row = part[order], row[order]
        self._window = window

    def _taken(self, i: int) -> pa.RecordBatch:
        block, first, n = int(self._mine[i]), int(self._first[i]), int(self._counts[i])
        table = self._kept.read(block)
        if n < len(table):
            rows = self._rows[first : first + n] - self._blocks.starts[block]
            table = table.take(pa.array(rows))
        table = table.combine_chunks()
        names = pa.repeat(pa.scalar(self._name, pa.string()), n)
        return table.append_column(DRAWN_FROM, names).to_batches()[0]
