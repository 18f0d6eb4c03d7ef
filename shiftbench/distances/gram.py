"""Kernel matrices of all pairs: distances, sums by part and by unit, permutation statistics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from shiftbench.distances.pair_sums import PairSums, Parts, pair_counts
from shiftbench.distances.samples import Samples
from shiftbench.errors import ConfigurationError

__all__ = [
    "LARGEST",
    "Labels",
    "Null",
    "Permutations",
    "blocks_of",
    "combined_p_value",
    "drop_own",
    "gaussians",
    "null_of",
    "pair_sums",
    "permutations_of",
    "squared_distances",
]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Labels = NDArray[np.int8]

LARGEST = 10_000
"""Examples of both sides that all pairs are made of: a matrix of 800 MB."""

_CELLS = 2_000_000  # of a block of permutations: 8 to 16 MB
_EQUAL = 2e-14  # squared distances below this share of a squared length are rounding
_ROUNDING = 1e-12


def squared_distances(x: Floats, y: Floats | None = None) -> Floats:
    """Squared Euclidean distances of all rows of `x` to all rows of `y` (or of `x`).

    Examples
    --------
    >>> squared_distances(np.array([[0.0], [3.0]])).tolist()
    [[0.0, 9.0], [9.0, 0.0]]
    """
    centre = x.mean(axis=0)
    a = x - centre
    b = a if y is None else y - centre
    of_a, of_b = (np.einsum("ij,ij->i", v, v) for v in (a, b))
    found = a @ b.T
    found *= -2.0
    found += of_a[:, None]
    found += of_b[None, :]
    found[found <= _EQUAL * of_a[:, None]] = 0.0
    return np.asarray(found)


def drop_own(kernel: Floats, clusters: Codes) -> Floats:
    """The kernel with 0 where both examples are of one cluster; in place."""
    if len(np.unique(clusters)) == len(clusters):
        np.fill_diagonal(kernel, 0.0)
    else:
        kernel[clusters[:, None] == clusters[None, :]] = 0.0
    return kernel


def blocks_of(matrix: Floats, codes: Codes, n: int) -> Floats:
    """Sums over rows and columns with the same code: (n, n); the matrix itself where none has."""
    if len(codes) == n and np.array_equal(codes, np.arange(n)):
        return matrix
    held = csr_array((np.ones(len(codes)), (codes, np.arange(len(codes)))), shape=(n, len(codes)))
    return np.asarray(held @ (held @ matrix).T, dtype=np.float64).T


def pair_sums(samples: Samples, kernel: Floats, seed: int) -> PairSums:
    """Of a kernel matrix that has 0 inside clusters."""
    parts = Parts.of(samples, seed)
    n = len(parts.group)
    counts = pair_counts(parts.of_row, samples.clusters, n)
    return PairSums(blocks_of(kernel, parts.of_row, n), counts, parts)


def gaussians(squared: Floats, bandwidths: Sequence[float]) -> Iterator[Floats]:
    """exp(−d²/(2σ²)) for each bandwidth, which must fall; each is overwritten by the next.

    Half the bandwidth is the fourth power, so that no further exponential is needed.
    """
    kernel = np.empty_like(squared)
    previous = np.inf
    for bandwidth in bandwidths:
        doublings = 2 * np.log2(previous / bandwidth) if np.isfinite(previous) else np.inf
        if doublings <= 4 and abs(doublings - round(doublings)) < 1e-9:
            for _ in range(round(doublings)):
                np.square(kernel, out=kernel)
        else:
            np.multiply(squared, -0.5 / bandwidth**2, out=kernel)
            np.exp(kernel, out=kernel)
        previous = bandwidth
        yield kernel


class Permutations(NamedTuple):
    """Sides of the units, (m, u): the data's own in the first row; whether these are all."""

    labels: Labels
    exact: bool


def permutations_of(samples: Samples, n: int, seed: int) -> Permutations:
    """As bytes: they are gone through once for each statistic."""
    blocks, count, exact = samples.relabelings(n, seed)
    found = np.empty((count + 1, len(samples.units.stratum)), dtype=np.int8)
    found[0] = samples.units.is_source
    start = 1
    for block in blocks:
        found[start : start + len(block)] = block
        start += len(block)
    return Permutations(found, exact)


class Null(NamedTuple):
    """A statistic on the data (first) and on permutations, and what difference is none."""

    statistics: Floats
    tie: float


def null_of(samples: Samples, kernel: Floats, labels: Labels) -> Null:
    """The unbiased squared distance under permutations, up to a rising linear map.

    Parameters
    ----------
    samples : Samples
    kernel : (n, n) array
        With 0 inside clusters.
    labels : (m, u) int8 array
        See `permutations_of`.
    """
    units = samples.units
    sizes = np.bincount(units.of_row, minlength=len(units.stratum)).astype(np.float64)
    sums = blocks_of(kernel, units.of_row, len(sizes))
    if len(np.unique(sizes)) == 1 and not units.stratum.any() and len(sizes) > 2:
        return _alike(sums, labels)
    free = units.stratum == 0
    x, total = samples.is_source, float(sums.sum())
    mixed = samples.strata[samples.clusters] == 2
    n_clusters = len(samples.strata)
    a = np.bincount(samples.clusters[mixed & x], minlength=n_clusters).astype(np.float64)
    b = np.bincount(samples.clusters[mixed & ~x], minlength=n_clusters).astype(np.float64)
    to_all = sums.sum(axis=1)
    n, own = sizes.sum(), np.where(free, sizes**2, 0.0)
    found = np.empty(len(labels))
    for rows in _rows(labels):
        z = labels[rows].astype(np.float64)
        xx = np.einsum("ij,ij->i", z @ sums, z)
        some = z @ to_all
        held = z @ sizes
        found[rows] = (
            xx / (held**2 - z @ own - a @ a)
            + (total - 2 * some + xx) / ((n - held) ** 2 - (1 - z) @ own - b @ b)
            - 2 * (some - xx) / (held * (n - held) - a @ b)
        )
    largest = float(np.abs(sums).max()) / float(sizes.max()) ** 2
    return Null(found, 1e-9 * float(np.abs(found).max()) + _ROUNDING * largest)


def _alike(sums: Floats, labels: Labels) -> Null:
    """Units of one size: centred, only the sum within the source is left of the statistic.

    What is added to a row and to its column changes the statistic of no permutation. Without it
    the sums are small enough for single precision, whose error is far below what moves a p-value.
    """
    n = len(sums)
    share = sums.sum(axis=1) / (n - 2)
    level = float(sums.sum()) / ((n - 1) * (n - 2))
    largest = max(float(sums.max()), -float(sums.min()))
    if largest == 0:
        return Null(np.zeros(len(labels)), 0.0)
    single = np.empty(sums.shape, dtype=np.float32)
    for start in range(0, n, 256):
        rows = slice(start, start + 256)
        block = sums[rows] - share[rows, None]
        block -= share - level
        block /= largest
        single[rows] = block
    np.fill_diagonal(single, 0.0)
    if max(float(single.max()), -float(single.min())) <= _ROUNDING:
        return Null(np.zeros(len(labels)), 0.0)
    found = np.empty(len(labels))
    for rows in _rows(labels):
        z = labels[rows].astype(np.float32)
        found[rows] = np.einsum("ij,ij->i", z @ single, z)
    return Null(found, 2e-5 * float(found.std()))


def _rows(labels: Labels) -> Iterator[slice]:
    step = max(1, _CELLS // labels.shape[1])
    for start in range(0, len(labels), step):
        yield slice(start, start + step)


def combined_p_value(nulls: Sequence[Null], exact: bool) -> float:
    """One p-value of several statistics: the rank of the least p-value among permutations.

    Each arrangement has, for each statistic, the share of arrangements at least as large; the
    least of these is the arrangement's own figure. The data's is compared with all others'. As all
    arrangements are treated alike, the p-value is valid whatever the dependence, ties or not.

    Parameters
    ----------
    nulls : sequence of Null
        Under the same arrangements, the data's first.
    exact : bool
        The others are all there are, the data's among them.

    Raises
    ------
    ConfigurationError
        There is no statistic.

    References
    ----------
    Westfall & Young (1993), min-p; of kernel bandwidths: Schrab et al., MMD Aggregated Two-Sample
    Test, JMLR 24 (2023), there with levels in place of ranks; + 1: Phipson & Smyth (2010).

    Examples
    --------
    >>> a, b = np.array([5.0, 1, 2, 3]), np.array([0.0, 1, 2, 3])
    >>> combined_p_value([Null(a, 0.0)], exact=False)
    0.25
    >>> combined_p_value([Null(a, 0.0), Null(b, 0.0)], exact=False)
    0.5
    """
    if not nulls:
        raise ConfigurationError("there is no statistic to test; give one bandwidth or more")
    reached = []
    for found in nulls:
        pool = np.sort(found.statistics[1:] if exact else found.statistics)
        below = np.searchsorted(pool, found.statistics - found.tie, side="left")
        reached.append(len(pool) - below)
    least = np.min(reached, axis=0)
    others = least[1:] if exact else least
    return float(np.count_nonzero(others <= least[0]) / len(others))
