"""Tables of counts, classes by attribute values, with exact margins; and how strongly they tie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import gcd, lcm

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Counts",
    "comonotone",
    "cramers_v",
    "equal_cells",
    "independent",
    "largest",
    "margins",
    "proportional",
    "quantum",
]

Counts = NDArray[np.int64]
"""(k, m): examples of each class (rows) and attribute value (columns)."""

_MOST_PARTS = 1000


def cramers_v(table: Counts) -> float:
    """Cramér's V of a table, from its counts; classes and values without examples do not count.

    V = √(χ² / (n · (min(k, m) − 1))): 0 where class and attribute are independent, 1 where one
    gives the other away. NaN for one class or one value alone.

    References
    ----------
    Cramér, Mathematical Methods of Statistics (1946), section 21.9. Without correction for bias:
    the table is what the split holds, not a sample of something else.

    Examples
    --------
    >>> round(cramers_v(np.array([[3500, 1500], [2500, 2500]])), 4)
    0.2041
    >>> cramers_v(np.array([[5, 0], [0, 5]]))
    1.0
    """
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    if min(table.shape, default=0) < 2:
        return float("nan")
    n = table.sum()
    squares = table**2 / np.outer(table.sum(axis=1), table.sum(axis=0)).astype(np.float64)
    chi2 = n * max(float(squares.sum()) - 1, 0.0)
    return float(min(np.sqrt(chi2 / (n * (min(table.shape) - 1))), 1.0))


def proportional(shares: NDArray[np.float64] | Counts, n: int) -> Counts:
    """Whole numbers in the proportions of `shares` that add up to n, by largest remainders.

    Equal remainders are filled in order. What is above 0 is made 0 only where n is too small.

    Examples
    --------
    >>> proportional(np.array([[19, 1], [5, 15]]), 100).tolist()
    [[48, 3], [12, 37]]
    """
    weights = np.asarray(shares, np.float64).ravel()
    exact = n * weights / weights.sum()
    whole = np.floor(exact + 1e-9).astype(np.int64)
    remainder = np.round(exact - whole, 9)
    # A cell that should hold some is not rounded to none, as long as there is one for it.
    remainder[(whole == 0) & (weights > 0)] += 1
    more = np.argsort(-remainder, kind="stable")[: n - int(whole.sum())]
    whole[more] += 1
    return np.asarray(whole.reshape(np.shape(shares)))


def margins(
    class_shares: Sequence[float], attribute_shares: Sequence[float], n: int
) -> tuple[Counts, Counts]:
    """Examples of each class and of each attribute value, for n in all."""
    return (
        proportional(np.array(class_shares, np.float64), n),
        proportional(np.array(attribute_shares, np.float64), n),
    )


def independent(rows: Counts, columns: Counts) -> Counts:
    """The whole-numbered table nearest to independence with exactly these margins.

    Each cell is the product of its margins over n, rounded down or up.

    Examples
    --------
    >>> independent(np.array([5, 5]), np.array([7, 3])).tolist()
    [[4, 1], [3, 2]]
    """
    exact = np.outer(rows, columns)
    table, part = np.divmod(exact, max(int(rows.sum()), 1))
    # Cells that are whole already stay so, unless the margins cannot be had otherwise.
    for allowed in (part > 0, np.ones_like(part, dtype=bool)):
        made = table.copy()
        lack = columns - table.sum(axis=0)
        # Rows one after the other, into the columns that lack most (Ryser 1957).
        for i, need in enumerate((rows - table.sum(axis=1)).tolist()):
            order = np.lexsort((-part[i], -lack, ~allowed[i]))[:need]
            made[i, order] += 1
            lack[order] -= 1
        if not lack.any():
            break
    return np.asarray(made, np.int64)


def comonotone(rows: Counts, columns: Counts) -> Counts:
    """The table with these margins in which later classes go with later values.

    For two classes and two values no table of these margins ties them more (the upper bound of
    Fréchet 1951 in its first cell).

    Examples
    --------
    >>> comonotone(np.array([5, 5]), np.array([7, 3])).tolist()
    [[5, 0], [2, 3]]
    """
    upper = np.minimum.outer(np.cumsum(rows), np.cumsum(columns))
    padded = np.pad(upper, ((1, 0), (1, 0)))
    return np.asarray(np.diff(np.diff(padded, axis=0), axis=1), np.int64)


def equal_cells(k: int, m: int, each: int) -> Counts:
    """A table with the same number in each cell."""
    return np.full((k, m), each, np.int64)


def quantum(class_shares: Sequence[float], attribute_shares: Sequence[float]) -> int:
    """The smallest total at which the independent table of these shares is whole; 1 for none.

    Examples
    --------
    >>> quantum((0.5, 0.5), (0.6, 0.4)), quantum((0.123, 0.877), (0.3141, 0.6859))
    (10, 1)
    """
    found = 1
    for p in class_shares:
        for a in attribute_shares:
            cell = Fraction(p).limit_denominator(_MOST_PARTS) * Fraction(a).limit_denominator(
                _MOST_PARTS
            )
            if abs(float(cell) - p * a) > 1e-9:
                return 1
            found = lcm(found, cell.denominator)
    return found if found <= _MOST_PARTS else 1


def common_divisor(tables: Sequence[Counts]) -> int:
    """The largest number that divides every count."""
    return gcd(*(int(c) for t in tables for c in t.ravel()))


def largest(upper: int, fits: Callable[[int], bool]) -> int:
    """The largest whole number up to `upper` that fits, 0 for none, where less fits if more does.

    Examples
    --------
    >>> largest(100, lambda n: n * n < 90)
    9
    """
    low, high = 0, upper
    while low < high:
        size = (low + high + 1) // 2
        if fits(size):
            low = size
        else:
            high = size - 1
    return low
