"""Optimal pairs of radiographs of two devices: alike in text, and near in numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._columns import Rows
from ._strata import Strata

__all__ = ["Pairing", "pair"]

Numbers = NDArray[np.float64]

MOST_CELLS = 1_000_000
"""An assignment of n to m takes memory n m and time up to n m min(n, m); larger ones are cut."""


@dataclass(frozen=True, eq=False)
class Pairing:
    """What pairs are made of.

    Attributes
    ----------
    exact : Strata
        By the columns of text, and by which numbers are missing: pairs are of one stratum.
    values : (n radiographs, n columns) array
        The columns of numbers, NaN where missing.
    caliper : float
        The largest difference in each of them, in standard deviations.
    """

    exact: Strata
    values: Numbers
    caliper: float


def pair(pairing: Pairing, a: Rows, b: Rows) -> tuple[Rows, Rows, bool]:
    """Pairs (a[i], b[i]), 1:1: as many as possible, then with the least sum of squared distances.

    Returns
    -------
    a, b : arrays of one length
    cut : bool
        Whether a stratum was too large for one assignment and was divided at medians of its
        numbers' first principal axis, so that pairs across a cut are not made.
    """
    exact = pairing.exact
    # In an order of ids alone, so that ties fall alike whatever the table's order.
    a, b = (rows[np.lexsort((exact.priority[rows], exact.code[rows]))] for rows in (a, b))
    scaled = _standardised(pairing.values, a, b)
    left, right, cut = [a[:0]], [b[:0]], False
    for s in np.intersect1d(exact.code[a], exact.code[b]).tolist():
        in_a, in_b = a[exact.code[a] == s], b[exact.code[b] == s]
        if not pairing.values.shape[1]:
            n = min(len(in_a), len(in_b))
            wanted = np.zeros(exact.n, np.int64)
            wanted[s] = n
            left.append(exact.draw(in_a, wanted))
            right.append(exact.draw(in_b, wanted))
            continue
        blocks = list(_blocks(in_a, in_b, scaled))
        cut |= len(blocks) > 1
        for block_a, block_b in blocks:
            i, j = _assign(scaled[block_a], scaled[block_b], pairing.caliper)
            left.append(block_a[i])
            right.append(block_b[j])
    return np.concatenate(left), np.concatenate(right), cut


def _standardised(values: Numbers, a: Rows, b: Rows) -> Numbers:
    """In units of the two devices' pooled standard deviation (Austin 2011, section 2)."""
    scaled = values.copy()
    for column in range(values.shape[1]):
        known = [v[~np.isnan(v)] for v in (values[a, column], values[b, column])]
        variance = [float(v.var(ddof=1)) if len(v) > 1 else 0.0 for v in known]
        sd = float(np.sqrt(np.mean(variance)))
        if sd == 0:  # any difference is then beyond every caliper
            sd = float(np.finfo(float).tiny) ** 0.25
        scaled[:, column] /= sd
    return scaled


def _assign(xa: Numbers, xb: Numbers, caliper: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    from scipy.optimize import linear_sum_assignment

    squared = np.zeros((len(xa), len(xb)))
    allowed = np.ones(squared.shape, bool)
    for column in range(xa.shape[1]):
        # Both are missing or neither: pairs are of one stratum of missingness.
        gap = np.abs(np.subtract.outer(xa[:, column], xb[:, column]))
        np.nan_to_num(gap, copy=False)
        allowed &= gap <= caliper * (1 + 1e-9)
        squared += np.minimum(gap, 2 * caliper + 1) ** 2
    # One pair more is worth any sum of distances within the caliper.
    dear = (1 + xa.shape[1] * caliper**2) * (min(squared.shape) + 1)
    i, j = linear_sum_assignment(np.where(allowed, squared, dear))
    kept = allowed[i, j]
    return i[kept], j[kept]


def _blocks(a: Rows, b: Rows, scaled: Numbers) -> Iterator[tuple[Rows, Rows]]:
    """Parts of a stratum small enough for one assignment."""
    if len(a) * len(b) <= MOST_CELLS:
        yield a, b
        return
    ta, tb = _first_axis(scaled[a], scaled[b])
    stack = [(a[np.argsort(ta, kind="stable")], b[np.argsort(tb, kind="stable")],
              np.sort(ta), np.sort(tb))]  # fmt: skip
    while stack:
        a, b, ta, tb = stack.pop()
        if len(a) * len(b) <= MOST_CELLS:
            yield a, b
            continue
        median = np.median(np.concatenate([ta, tb]))
        i, j = (int(np.searchsorted(t, median, side="right")) for t in (ta, tb))
        if i + j == len(a) + len(b):  # ties from the median up
            i, j = (int(np.searchsorted(t, median, side="left")) for t in (ta, tb))
        if i + j == 0:  # all alike
            i, j = len(a) // 2, len(b) // 2
        stack += [(a[i:], b[j:], ta[i:], tb[j:]), (a[:i], b[:j], ta[:i], tb[:j])]


def _first_axis(xa: Numbers, xb: Numbers) -> tuple[Numbers, Numbers]:
    """Position along the direction of largest variance of both together."""
    x = np.nan_to_num(np.concatenate([xa, xb]))
    x -= x.mean(axis=0)
    axis = np.linalg.eigh(x.T @ x)[1][:, -1]
    axis = axis * np.sign(axis[np.abs(axis).argmax()])
    t = x @ axis
    return t[: len(xa)], t[len(xa) :]
