"""Tables that differ in one number only: each is a start and whole exchanges from it on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shiftbench.errors import ConfigurationError

from .cells import Counts, comonotone, cramers_v, independent, margins, proportional

__all__ = [
    "Exchange",
    "Path",
    "association",
    "fixed",
    "leaning",
    "majorities",
    "nearest",
    "rare",
    "reach",
]


@dataclass(frozen=True)
class Exchange:
    """In some classes one example each changes its attribute value; the margins may stay.

    Attributes
    ----------
    steps : tuple of (class, value from, value to)
    weight : int
        How often it is made on the whole path.
    """

    steps: tuple[tuple[int, int, int], ...]
    weight: int

    def made(self, t: float) -> int:
        """How often it is made up to t in [0, 1]."""
        return int(np.floor(t * self.weight + 0.5 + 1e-9))


@dataclass(frozen=True, eq=False)
class Path:
    """Tables from `start` (t = 0) on; every cell grows or shrinks all the way, none does both."""

    start: Counts
    exchanges: tuple[Exchange, ...] = ()

    def table(self, t: float) -> Counts:
        """The table at t in [0, 1]."""
        made = self.start.copy()
        for exchange in self.exchanges:
            n = exchange.made(t)
            for row, a, b in exchange.steps:
                made[row, a] -= n
                made[row, b] += n
        return made

    @property
    def most(self) -> Counts:
        """The most that any table of the path has in each cell."""
        return np.maximum(self.start, self.table(1))

    def mirrored(self) -> Path:
        """The path with the order of the values turned round."""
        last = self.start.shape[1] - 1
        return Path(
            self.start[:, ::-1],
            tuple(
                Exchange(tuple((r, last - a, last - b) for r, a, b in e.steps), e.weight)
                for e in self.exchanges
            ),
        )


def fixed(table: Counts) -> Path:
    """One table alone."""
    return Path(table)


def association(
    class_shares: Sequence[float], attribute_shares: Sequence[float], n: int, *, sign: int = 1
) -> Path:
    """From independence to the strongest tie in the order of classes and values, margins exact.

    On the line between the two tables Cramér's V grows in proportion to t: the difference from
    independence is multiplied by t.

    Parameters
    ----------
    sign : int
        −1: later classes go with earlier values.

    Examples
    --------
    >>> path = association((0.5, 0.5), (0.5, 0.5), 40)
    >>> [path.table(t).tolist() for t in (0, 0.5, 1)]
    [[[10, 10], [10, 10]], [[15, 5], [5, 15]], [[20, 0], [0, 20]]]
    """
    rows, columns = margins(class_shares, attribute_shares, n)
    start = independent(rows, columns)
    end = comonotone(rows, columns) if sign > 0 else comonotone(rows, columns[::-1])[:, ::-1]
    return Path(start, _cycles(end - start))


def _cycles(difference: Counts) -> tuple[Exchange, ...]:
    """A difference without margins as closed exchanges, each cell with one sign throughout."""
    left = difference.copy()
    found = []
    while left.any():
        row, gains = (int(i) for i in np.argwhere(left > 0)[0])
        steps: dict[int, tuple[int, int]] = {}  # row: what it loses, what it gains
        while row not in steps:
            loses = int(np.flatnonzero(left[row] < 0)[0])
            steps[row] = loses, gains
            row, gains = int(np.flatnonzero(left[:, loses] > 0)[0]), loses  # what one loses
        steps[row] = steps[row][0], gains  # closed: what the last one loses, this one gains
        walked = list(steps)
        closed = [(r, *steps[r]) for r in walked[walked.index(row) :]]
        weight = min(min(-left[r, a], left[r, b]) for r, a, b in closed)
        for r, a, b in closed:
            left[r, a] += weight
            left[r, b] -= weight
        found.append(Exchange(tuple(closed), int(weight)))
    return tuple(found)


def rare(class_shares: Sequence[float], n_values: int, cell: tuple[int, int], n: int) -> Path:
    """One value's share of one class from 0 to 1; the other values of the class share the rest.

    Examples
    --------
    >>> rare((0.5, 0.5), 2, (0, 1), 40).table(0.1).tolist()
    [[18, 2], [10, 10]]
    """
    rows = proportional(np.array(class_shares, np.float64), n)
    table = np.array([proportional(np.ones(n_values), r) for r in rows.tolist()], np.int64)
    row, value = cell
    others = np.arange(n_values) != value
    table[row] = 0
    table[row, others] = proportional(np.ones(n_values - 1), int(rows[row]))
    return Path(
        table,
        tuple(
            Exchange(((row, int(a), value),), int(table[row, a])) for a in np.flatnonzero(others)
        ),
    )


def majorities(table: Counts) -> tuple[int, ...]:
    """The attribute value that each class has most beyond independence; () without any tie.

    Examples
    --------
    >>> majorities(np.array([[60, 40], [90, 10]])), majorities(np.array([[5, 5], [5, 5]]))
    ((1, 0), ())
    """
    n = int(table.sum())
    beyond = table * n - np.outer(table.sum(axis=1), table.sum(axis=0))
    # Less than one example in a cell is what rounding leaves of no tie.
    return tuple(beyond.argmax(axis=1).tolist()) if (np.abs(beyond) >= n).any() else ()


def leaning(majority: Sequence[int], n_values: int, n: int, *, towards: bool) -> Path:
    """From equal cells to each class in its majority value alone, or in none of it.

    Examples
    --------
    >>> path = leaning((1, 0), 2, 40, towards=False)
    >>> [path.table(t).tolist() for t in (0, 0.5, 1)]
    [[[10, 10], [10, 10]], [[15, 5], [5, 15]], [[20, 0], [0, 20]]]
    """
    rows = proportional(np.ones(len(majority)), n)
    start = np.array([proportional(np.ones(n_values), r) for r in rows.tolist()], np.int64)
    exchanges = []
    for row, own in enumerate(majority):
        others = [v for v in range(n_values) if v != own]
        spread = proportional(np.ones(len(others)), int(start[row, own])).tolist()
        for value, share in zip(others, spread, strict=True):
            if towards:
                exchanges.append(Exchange(((row, value, own),), int(start[row, value])))
            else:
                exchanges.append(Exchange(((row, own, value),), share))
    return Path(start, tuple(exchanges))


def reach(class_shares: Sequence[float], attribute_shares: Sequence[float]) -> float:
    """The largest Cramér's V that `association` reaches with these shares.

    Examples
    --------
    >>> reach((0.5, 0.5), (0.5, 0.5)), round(reach((0.5, 0.5), (0.6, 0.4)), 4)
    (1.0, 0.8165)
    """
    return cramers_v(comonotone(*margins(class_shares, attribute_shares, 10**6)))


def nearest(path: Path, level: float) -> float:
    """Where on an `association` path the table's Cramér's V is nearest to a level.

    Raises
    ------
    ConfigurationError
        The path does not reach the level.

    Examples
    --------
    >>> path = association((0.5, 0.5), (0.5, 0.5), 40)
    >>> path.table(nearest(path, 0.9)).tolist()
    [[19, 1], [1, 19]]
    """
    top = cramers_v(path.table(1))
    if level <= 0:
        return 0.0
    if level > top + 0.5 / max(int(path.start.sum()), 1) + 1e-9:
        raise ConfigurationError(f"a Cramér's V of {level:g} cannot be reached; at most {top:.4g}")
    unit = 1 / max((e.weight for e in path.exchanges), default=1)
    around = np.clip(level / top + unit * np.arange(-2, 2.5, 0.5), 0, 1)
    return float(min(around, key=lambda t: (abs(cramers_v(path.table(t)) - level), t)))
