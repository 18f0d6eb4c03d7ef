"""Which examples fill a table of counts: those that have the attribute, or any, given it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .cells import Counts, equal_cells, largest
from .paths import Path

__all__ = [
    "Filling",
    "GivenAttribute",
    "MadeAttribute",
    "Taken",
    "balanced_size",
    "group_name",
    "largest_size",
]

Rows = NDArray[np.int64]
Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Taken:
    """The examples of one split: rows, with the class and the attribute value of each."""

    rows: Rows
    label: Codes
    value: Codes


class Filling(Protocol):
    """Examples in pools, and how a table takes them.

    Attributes
    ----------
    classes, values : tuple of str
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the rows of a table."""
        ...

    @property
    def values(self) -> tuple[str, ...]:
        """Names of its columns."""
        ...

    def most(self, pool: str) -> Counts:
        """The most that a pool could give each cell, if no other cell took any."""
        ...

    def fits(self, pool: str, table: Counts) -> bool:
        """Whether the pool fills the table."""
        ...

    def lacking(self, pool: str, table: Counts) -> list[tuple[str, int, int]]:
        """What cannot be filled: the group or the class, how many are asked for, how many there."""
        ...

    def take(self, pool: str, path: Path, t: float) -> Taken:
        """The examples of a table on a path; tables of a path share all but what is exchanged."""
        ...


def group_name(classes: tuple[str, ...], values: tuple[str, ...], row: int, column: int) -> str:
    """A cell's name, e.g. ``cat(outdoor)``."""
    return f"{classes[row]}({values[column]})"


@dataclass(frozen=True, eq=False)
class GivenAttribute:
    """Examples whose attribute is as it is: a cell takes the first of those that are in it.

    Attributes
    ----------
    heads : mapping
        By pool: for each cell (class × number of values + value) its rows, in order.
    """

    classes: tuple[str, ...]
    values: tuple[str, ...]
    heads: Mapping[str, tuple[Rows, ...]]

    @classmethod
    def of(
        cls,
        classes: tuple[str, ...],
        values: tuple[str, ...],
        pools: Mapping[str, Rows],
        cell: Codes,
    ) -> GivenAttribute:
        """From the cell of every example."""
        n = len(classes) * len(values)
        heads = {}
        for name, rows in pools.items():
            order = rows[np.argsort(cell[rows], kind="stable")]
            ends = np.cumsum(np.bincount(cell[rows], minlength=n))
            heads[name] = tuple(np.split(order, ends[:-1]))
        return cls(classes, values, heads)

    def most(self, pool: str) -> Counts:
        """Examples of each cell."""
        found = np.array([len(rows) for rows in self.heads[pool]], np.int64)
        return found.reshape(len(self.classes), len(self.values))

    def fits(self, pool: str, table: Counts) -> bool:
        """Whether every cell has as many."""
        return bool((table <= self.most(pool)).all())

    def lacking(self, pool: str, table: Counts) -> list[tuple[str, int, int]]:
        """The cells that have fewer."""
        there = self.most(pool)
        return [
            (group_name(self.classes, self.values, i, j), int(table[i, j]), int(there[i, j]))
            for i, j in np.argwhere(table > there).tolist()
        ]

    def take(self, pool: str, path: Path, t: float) -> Taken:
        """The first so many of each cell."""
        wanted = path.table(t).ravel()
        cells = np.arange(len(wanted))
        rows = [head[:n] for head, n in zip(self.heads[pool], wanted.tolist(), strict=True)]
        codes = np.repeat(cells, wanted)
        label, value = np.divmod(codes, len(self.values))
        return Taken(np.concatenate(rows), label, value)


@dataclass(frozen=True, eq=False)
class MadeAttribute:
    """Examples that are given their attribute value: a class takes its first examples.

    Which of them gets which value is random, by example. Along a path an exchange changes the
    value of one example of each class that it names, and of no other.

    Attributes
    ----------
    heads : mapping
        By pool: for each class its rows, in order.
    uniform : (n,) float64 array
        A random number of every example, by which values are given.
    """

    classes: tuple[str, ...]
    values: tuple[str, ...]
    heads: Mapping[str, tuple[Rows, ...]]
    uniform: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        classes: tuple[str, ...],
        values: tuple[str, ...],
        pools: Mapping[str, Rows],
        label: Codes,
        uniform: NDArray[np.float64],
    ) -> MadeAttribute:
        """From the class of every example."""
        by_class = GivenAttribute.of(classes, ("",), pools, label)
        return cls(classes, values, by_class.heads, uniform)

    def _there(self, pool: str) -> NDArray[np.int64]:
        return np.array([len(rows) for rows in self.heads[pool]], np.int64)

    def most(self, pool: str) -> Counts:
        """Examples of the class: each could have any value."""
        return np.repeat(self._there(pool)[:, None], len(self.values), axis=1)

    def fits(self, pool: str, table: Counts) -> bool:
        """Whether every class has as many as its cells take together."""
        return bool((table.sum(axis=1) <= self._there(pool)).all())

    def lacking(self, pool: str, table: Counts) -> list[tuple[str, int, int]]:
        """The classes that have fewer."""
        there, wanted = self._there(pool), table.sum(axis=1)
        return [
            (f"the class {self.classes[i]!r}", int(wanted[i]), int(there[i]))
            for i in np.flatnonzero(wanted > there).tolist()
        ]

    def take(self, pool: str, path: Path, t: float) -> Taken:
        """The first so many of each class, with values that fill the table."""
        rows, labels, values = [], [], []
        for row, (head, counts) in enumerate(zip(self.heads[pool], path.start, strict=True)):
            taken = head[: int(counts.sum())]
            taken = taken[np.argsort(self.uniform[taken], kind="stable")]
            rows.append(taken)
            labels.append(np.full(len(taken), row, np.int64))
            values.append(_exchanged(row, counts, path, t))
        return Taken(np.concatenate(rows), np.concatenate(labels), np.concatenate(values))


def _exchanged(row: int, counts: NDArray[np.int64], path: Path, t: float) -> Codes:
    """Values of one class's examples in their order: those of the start, some exchanged."""
    value = np.repeat(np.arange(len(counts)), counts)
    begin = np.cumsum(counts) - counts
    for exchange in path.exchanges:
        for r, a, b in exchange.steps:
            if r == row:
                value[begin[a] : begin[a] + exchange.made(t)] = b
                begin[a] += exchange.weight  # the examples of this exchange, made or not
    return value


def largest_size(filling: Filling, pool: str, family: Callable[[int], Path], step: int = 1) -> int:
    """The largest size for which every table of the path can be filled; 0 for none.

    Parameters
    ----------
    family : callable
        From a size to the path of that size.
    step : int
        Only multiples of it, where one of them can be filled.
    """

    def fits(n: int, unit: int) -> bool:
        path = family(n * unit)
        return filling.fits(pool, path.start) and filling.fits(pool, path.table(1))

    upper = int(filling.most(pool).sum())
    found = step * largest(upper // step, lambda n: fits(n, step))
    return found or largest(upper, lambda n: fits(n, 1))


def balanced_size(filling: Filling, pool: str, most: int = 0) -> int:
    """The most that every cell can have at once in a pool; `most` is a limit, 0 for none."""
    k, m = len(filling.classes), len(filling.values)
    upper = int(filling.most(pool).min())
    return largest(
        min(upper, most) if most else upper,
        lambda n: filling.fits(pool, equal_cells(k, m, n)),
    )
