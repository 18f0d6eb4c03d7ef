"""Samples of exact counts without replacement: integer counts of shares, and nested draws."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from shiftbench.statistics import priorities

from .division import random_order
from .labelled import Labelled

__all__ = ["apportion", "largest_size", "ring_ranks"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

_ROUNDING = 9  # digits of a quota that are told apart: below them is the error of the shares' sums
_AT_ONCE = 2**12


def apportion(shares: Floats, total: int | Codes) -> Codes:
    """Whole numbers that add up to a total and follow shares: largest remainders.

    Each class gets the whole part of its quota, share × total; what is left goes to the largest
    remainders, one each, ties to the class that stands first. No count is off its quota by one or
    more, and no other integers with this total are nearer to the quotas in total variation
    (Hamilton's method; Balinski & Young, Fair Representation, 2nd ed. 2001).

    Parameters
    ----------
    shares : (k,) float64 array
        That add up to 1.
    total : int or (m,) int64 array

    Returns
    -------
    (k,) or (m, k) int64 array

    Examples
    --------
    >>> apportion(np.array([0.5, 0.3, 0.2]), 8).tolist()
    [4, 2, 2]
    """
    totals = np.atleast_1d(np.asarray(total, np.int64))
    quotas = np.round(totals[:, None] * np.asarray(shares, np.float64), _ROUNDING)
    counts = np.floor(quotas).astype(np.int64)
    rest = np.round(quotas - counts, _ROUNDING)  # ties are ties, whatever the last bits
    order = np.argsort(-rest, axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable")
    counts += rank < (totals - counts.sum(axis=1))[:, None]
    return counts if np.ndim(total) else np.asarray(counts[0])


def largest_size(shares: Floats, available: Codes) -> int:
    """The largest total whose `apportion` fits into what there is of each class.

    Parameters
    ----------
    shares : (k,) float64 array
    available : (k,) int64 array

    Examples
    --------
    >>> largest_size(np.array([0.5, 0.5]), np.array([10, 3]))
    7
    """
    needed = shares > 0
    have, share = available[needed], shares[needed]
    # No count is below the whole part of its quota: beyond `top` one class is always short. Up to
    # `sure` no quota is above what there is.
    sure = int(np.floor((have / share).min()))
    top = int(min(have.sum(), np.ceil(((have + 1) / share).min())))
    for high in range(top, sure, -_AT_ONCE):
        sizes = np.arange(high, max(high - _AT_ONCE, sure), -1)
        fits = (apportion(shares, sizes) <= available).all(axis=1)
        if fits.any():
            return int(sizes[fits.argmax()])
    return sure


def ring_ranks(
    found: Labelled, rows: Codes, strata: Codes, names: Iterable[str], seed: int, purpose: str
) -> Codes:
    """The place of each row in a random order of its stratum, whole clusters beside one another.

    The rows of a stratum with ranks below n are a random sample of n of it, nested as n grows. The
    order is a ring, entered at a random row: so each row is in a sample of n with the same
    probability, n by the stratum's size, whatever the sizes of the clusters. (From the head of an
    order of clusters, large clusters would be in small samples less often than small ones.) At
    most two clusters of a stratum are cut.

    Parameters
    ----------
    found : Labelled
    rows : (n,) int64 array
    strata : (n,) int64 array
        Of each row, places in `names`.
    names : iterable of str
        Of the strata: where each ring is entered depends on the seed, the purpose and its name.

    Returns
    -------
    (n,) int64 array
        From 0 in each stratum.
    """
    own = np.asarray(strata, np.int64)
    starts = priorities(seed, f"{purpose} starts", names) / 2.0**64
    sizes = np.bincount(own, minlength=len(starts))
    place = np.empty(len(rows), np.int64)
    by_row = np.argsort(rows, kind="stable")
    ordered = random_order(found, rows, seed, purpose)
    place[by_row[np.searchsorted(rows[by_row], ordered)]] = np.arange(len(rows))
    order = np.lexsort((place, own))
    begins = np.cumsum(sizes) - sizes
    rank = np.empty(len(rows), np.int64)
    rank[order] = np.arange(len(rows)) - begins[own[order]]
    entered = np.floor(starts * sizes).astype(np.int64)
    return np.asarray((rank - entered[own]) % np.maximum(sizes, 1)[own])
