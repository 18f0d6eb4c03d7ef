"""How sure the balance table's statistics are, clusters counted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.boundary import nonnegative_interval
from shiftbench.statistics import Clusters
from shiftbench.statistics.delong import Spread, two_sample_spread
from shiftbench.statistics.estimate import NAN, normal_interval
from shiftbench.statistics.linearised import mean_variance

__all__ = ["effective_n", "mean_difference_interval", "v_interval"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]
Interval = tuple[float, float, str]

_MIXED = 5  # clusters in both splits from which on they are a stratum of their own


def _spread(
    source: Floats, target: Floats, clusters: Codes, is_source: Flags, clustered: bool
) -> Spread:
    if not clustered:
        return two_sample_spread(source, target)
    n = int(clusters.max()) + 1
    return two_sample_spread(
        source, target, (Clusters(clusters[is_source], n), Clusters(clusters[~is_source], n))
    )


def mean_difference_interval(
    values: Floats, is_source: Flags, clusters: Codes, level: float
) -> Interval:
    """Of the standardised mean difference, from the jackknife over clusters.

    Parameters
    ----------
    values : (n,) array
        None missing.
    is_source : (n,) bool array
    clusters : (n,) int64 array
    level : float

    Returns
    -------
    low, high, method

    Notes
    -----
    Of very skewed numbers it is too short: of log-normal ones (σ = 1, 50 and 200 examples) it
    covered 92 % where nothing shifted and 88 % far from there.

    Examples
    --------
    >>> x = np.array([0.0, 1.0, 2.0, 3.0] * 5)
    >>> low, high, method = mean_difference_interval(x, np.arange(20) < 10, np.arange(20), 0.95)
    >>> round(low, 2), round(high, 2), method
    (-0.69, 1.42, 'jackknife, t')
    """
    n_rows = len(values)
    if min(is_source.sum(), n_rows - is_source.sum()) < 2:
        return NAN, NAN, "cannot tell: fewer than two values"
    spread = float(values.std())
    if not spread > 1e-9 * float(np.abs(values).max()):
        return NAN, NAN, "cannot tell: no spread among the values"
    z = (values - values.mean()) / spread
    _, owner = np.unique(clusters, return_inverse=True)
    width = int(owner.max()) + 1
    moments = (np.ones(n_rows), z, z * z)
    sides = [
        [np.bincount(owner[rows], weights=w[rows], minlength=width) for w in moments]
        for rows in (is_source, ~is_source)
    ]
    whole = [[float(part.sum()) for part in side] for side in sides]
    without = [[t - part for t, part in zip(total, side, strict=True)]
               for total, side in zip(whole, sides, strict=True)]  # fmt: skip
    d = float(_standardised(*whole))
    left_out = _standardised(*without)
    strata = _strata(sides[0][0], sides[1][0])
    variance = freedom = 0.0
    for stratum in np.unique(strata):
        moved = left_out[strata == stratum]
        if len(moved) < 2 or not np.isfinite(moved).all():
            return NAN, NAN, "cannot tell: the difference rests on one unit"
        own, df = mean_variance((len(moved) - 1) * (moved.mean() - moved))
        variance += float(own)
        freedom += float(own) ** 2 / float(df)
    if not variance > 0:
        return NAN, NAN, "cannot tell: no spread among the values"
    low, high = normal_interval(d, math.sqrt(variance), level, variance**2 / freedom)
    return low, high, ("clustered " if width < n_rows else "") + "jackknife, t"


def _standardised(source: list[Any], target: list[Any]) -> Any:
    """Mean difference over the root of the mean variance, from counts, sums and sums of squares."""
    (n1, s1, q1), (n0, s0, q0) = source, target
    with np.errstate(divide="ignore", invalid="ignore"):
        m1, m0 = np.divide(s1, n1), np.divide(s0, n0)
        within = (np.divide(q1, n1) - m1**2 + np.divide(q0, n0) - m0**2) / 2
        return (m0 - m1) / np.sqrt(np.where(within > 1e-15, within, np.nan))


def _strata(in_source: NDArray[Any], in_target: NDArray[Any]) -> Codes:
    """Clusters of the source, the target, both; a few of both go where most of their rows are."""
    strata = np.where(in_target > in_source, 1, 0)
    mixed = (in_source > 0) & (in_target > 0)
    if mixed.sum() >= _MIXED or mixed.all():
        strata[mixed] = 2
    return strata


def _noise(
    codes: Codes,
    is_source: Flags,
    clusters: Codes,
    shares: tuple[Floats, Floats],
    pooled: Floats,
    k: int,
) -> float:
    """What sampling adds to φ² on average: Σ_j Var(p_target,j − p_source,j) / pooled_j × s(1 − s).

    A cluster's contribution to the difference of shares at level j is
    e = A − p_target u + p_source v, with A its signed count there and u, v its shares of the
    target's and the source's rows; the sum of e² is expanded so that only the cells that occur
    are gone through.
    """
    n1 = int(is_source.sum())
    n0 = len(codes) - n1
    n_clusters = int(clusters.max()) + 1
    u = np.bincount(clusters, weights=~is_source, minlength=n_clusters) / n0
    v = np.bincount(clusters, weights=is_source, minlength=n_clusters) / n1
    cells, at = np.unique(clusters * k + codes, return_inverse=True)
    signed = np.bincount(at, weights=np.where(is_source, -1 / n1, 1 / n0))
    level, owner = cells % k, cells // k
    p1, p0 = shares
    square = np.bincount(level, weights=signed * signed, minlength=k)
    with_u = np.bincount(level, weights=signed * u[owner], minlength=k)
    with_v = np.bincount(level, weights=signed * v[owner], minlength=k)
    total = (
        square - 2 * p0 * with_u + 2 * p1 * with_v
        + p0**2 * (u @ u) + p1**2 * (v @ v) - 2 * p0 * p1 * (u @ v)
    )  # fmt: skip
    fewest = min(np.count_nonzero(u), np.count_nonzero(v))
    if fewest < 2:
        return NAN
    share = n1 / (n1 + n0)
    return float(share * (1 - share) * (total / pooled).sum() * fewest / (fewest - 1))


def _curvature(
    codes: Codes,
    is_source: Flags,
    clusters: Codes,
    shares: tuple[Floats, Floats],
    pooled: Floats,
    k: int,
) -> float:
    """What sampling adds to φ² on average where the shares are such: its bias to second order.

    Level j adds s(1 − s) Σ_c (p_target e_source − p_source e_target)² / pooled³, e being a
    cluster's part of the error of either share. It is `_noise` where nothing shifted, and nothing
    at a level that one side lacks: φ² is linear there.
    """
    n1 = int(is_source.sum())
    n0 = len(codes) - n1
    p1, p0 = shares
    width = int(clusters.max()) + 1
    apart = np.bincount(clusters, weights=np.where(is_source, 1 / n1, -1 / n0), minlength=width)
    cells, at = np.unique(clusters * k + codes, return_inverse=True)
    signed = np.bincount(at, weights=np.where(is_source, p0[codes] / n1, -p1[codes] / n0))
    level, owner = cells % k, cells // k
    square = np.bincount(level, weights=signed * signed, minlength=k)
    crossed = np.bincount(level, weights=signed * apart[owner], minlength=k)
    both = p1 * p0
    total = square - 2 * both * crossed + both**2 * (apart @ apart)
    share = n1 / (n1 + n0)
    return float(share * (1 - share) * (total / pooled**3).sum())


def effective_n(
    codes: Codes, is_source: Flags, clusters: Codes, counts: tuple[Floats, Floats]
) -> float:
    """How many independent rows would add as much noise to φ² as these rows in clusters do.

    At most the number of rows, and that where every row is its own cluster.

    Parameters
    ----------
    codes : (n,) int64 array
        Levels from 0, each of them there.
    is_source : (n,) bool array
    clusters : (n,) int64 array
    counts : pair of (k,) arrays
        How often each level is in the source and in the target.

    Examples
    --------
    >>> codes, side = np.repeat([0, 1, 0, 1, 1, 0, 0, 1], 5), np.repeat([True, False], 20)
    >>> counts = np.array([10.0, 10.0]), np.array([10.0, 10.0])
    >>> effective_n(codes, side, np.arange(40), counts)
    40.0
    >>> round(effective_n(codes, side, np.arange(40) // 5, counts), 1)
    7.0
    """
    n, k = len(codes), len(counts[0])
    if k < 2 or len(np.unique(clusters)) == n:
        return float(n)
    shares, pooled = _shares(counts)
    noise = _noise(codes, is_source, clusters, shares, pooled, k)
    return min(float(n), 1 + (k - 1) / noise) if noise > 0 else float(n)


def _shares(counts: tuple[Floats, Floats]) -> tuple[tuple[Floats, Floats], Floats]:
    a, b = counts
    return (a / a.sum(), b / b.sum()), (a + b) / (a.sum() + b.sum())


def v_interval(
    codes: Codes,
    is_source: Flags,
    clusters: Codes,
    counts: tuple[Floats, Floats],
    phi2: float,
    level: float,
) -> Interval:
    """Of Cramér's V of levels and split, valid at 0 too.

    Parameters
    ----------
    codes, is_source, clusters, counts
        As for `effective_n`.
    phi2 : float
        Pearson's χ² / n of the table.
    level : float

    Returns
    -------
    low, high, method

    Notes
    -----
    φ² = V² is a sum of squares, see `nonnegative_interval`; what noise adds to it is computed from
    the clusters. For `low` that is what it adds where nothing shifted, and no less than the
    (k − 1)/(n − 1) of independent rows; for `high`, what it adds at the shares found: near V = 1
    hardly anything, so that with 10 or 30 levels the other would push the interval below the truth.

    Examples
    --------
    >>> codes = np.array([0] * 30 + [1] * 10 + [0] * 10 + [1] * 30)
    >>> counts = np.array([30.0, 10.0]), np.array([10.0, 30.0])
    >>> low, high, method = v_interval(codes, np.arange(80) < 40, np.arange(80), counts, 0.25, 0.95)
    >>> round(low, 2), round(high, 2), method
    (0.3, 0.69, 'noncentral χ²')
    """
    n, k = len(codes), len(counts[0])
    sizes = [float(c.sum()) for c in counts]
    if min(sizes) < 2 or k < 2:
        why = "one level" if k < 2 else "fewer than two values"
        return NAN, NAN, f"cannot tell: {why}"
    (p1, p0), pooled = _shares(counts)
    share = sizes[0] / n
    both = (share * p1**2 + (1 - share) * p0**2) / pooled**2
    moves = (share * (2 * p1 / pooled - both), (1 - share) * (2 * p0 / pooled - both))
    clustered = len(np.unique(clusters)) < n
    found = _spread(moves[0][codes[is_source]], moves[1][codes[~is_source]],
                    clusters, is_source, clustered)  # fmt: skip
    independent = (k - 1) / (n - 1)
    noise = independent
    if clustered:
        noise = max(noise, _noise(codes, is_source, clusters, (p1, p0), pooled, k))
    if min(found.units) < 2:
        return NAN, NAN, found.unknown
    if phi2 > 0 and not found.variance > 0:
        return NAN, NAN, "cannot tell: no spread among the values"
    per_level = noise / (k - 1)
    scale, df = per_level, min(found.units) - 1.0
    if phi2 > 1e-12:
        scale, df = found.variance / (4 * phi2), found.df
    curved = _curvature(codes, is_source, clusters, (p1, p0), pooled, k)
    low, high = nonnegative_interval(phi2, noise, scale, level, df, most=1.0, curved=curved)
    return math.sqrt(low), math.sqrt(high), ("clustered " if clustered else "") + "noncentral χ²"
