"""Values of kernel distances for all pairs of many subsets at once: one pass over all examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.fourier import waves
from shiftbench.distances.gram import drop_own, squared_distances
from shiftbench.distances.pair_sums import pair_counts

__all__ = ["Stacked", "apart_value", "gaussian_sums", "norm_sums", "values_of", "wave_sums"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Numbers = NDArray[Any]

_TILE = 2_048  # rows: tiles stay in the processor's cache in part, and memory small
_SINGLE = 64.0  # exponents up to here leave single precision an error below 1e-5


@dataclass(frozen=True)
class Stacked:
    """Examples of all subsets, one under the other.

    Attributes
    ----------
    features : (n, d) float64 array
    subset : (n,) int64 array
        Rising.
    clusters : (n,) int64 array
    n_subsets : int
    """

    features: Floats
    subset: Codes
    clusters: Codes
    n_subsets: int

    def rows(self, subset: int) -> slice:
        """Where a subset stands."""
        return slice(*np.searchsorted(self.subset, [subset, subset + 1]).tolist())


def gaussian_sums(stacked: Stacked, bandwidth: float) -> Floats:
    """Sums of exp(−d²/(2σ²)) between subsets, over pairs of different clusters: (s, s).

    In single precision where the exponents allow it: the error of a mean is then about 1e-7.
    """
    x = (stacked.features - stacked.features.mean(axis=0)) / bandwidth
    half = np.einsum("ij,ij->i", x, x)[:, None] / 2
    ones = np.ones_like(half)
    kind = np.float32 if half.max() <= _SINGLE else np.float64
    # One product gives the exponent: x·y − |x|²/2 − |y|²/2.
    left = np.hstack([x, -half, ones]).astype(kind)
    right = np.hstack([x, ones, -half]).astype(kind)

    def tile(rows: slice, columns: slice, out: Numbers) -> Numbers:
        np.matmul(left[rows], right[columns].T, out=out)
        np.exp(out, out=out)
        return out

    return _summed(stacked, tile, kind)


def norm_sums(stacked: Stacked) -> Floats:
    """Sums of −‖x − y‖ between subsets, over pairs of different clusters: (s, s)."""
    x = stacked.features - stacked.features.mean(axis=0)

    def tile(rows: slice, columns: slice, out: Numbers) -> Numbers:
        return np.asarray(np.negative(np.sqrt(squared_distances(x[rows], x[columns])), out=out))

    return _summed(stacked, tile, np.float64)


def wave_sums(stacked: Stacked, frequencies: Floats) -> Floats:
    """Sums of products of waves between subsets, over pairs of different clusters: (s, s)."""
    k = stacked.n_subsets
    sums, own = np.zeros((k, 2 * frequencies.shape[1])), np.zeros((k, k))
    order = np.lexsort((stacked.subset, stacked.clusters))
    codes = stacked.clusters[order]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    edges = np.append(starts, len(codes))
    at = 0
    while at < len(starts):
        end = max(at + 1, int(np.searchsorted(edges, edges[at] + _TILE, side="right")) - 1)
        rows = order[edges[at] : edges[end]]
        wave = waves(stacked.features[rows], frequencies)
        key = stacked.clusters[rows] * k + stacked.subset[rows]
        names, first = np.unique(key, return_index=True)
        held = np.add.reduceat(wave, first, axis=0)
        cluster, subset = names // k, names % k
        np.add.at(sums, subset, held)
        i, j = _same(cluster, cluster)
        np.add.at(own, (subset[i], subset[j]), np.einsum("ij,ij->i", held[i], held[j]))
        at = end
    return np.asarray(sums @ sums.T - own)


def values_of(stacked: Stacked, sums: Floats) -> Floats:
    """Unbiased squared distances of all pairs of subsets, nan where a mean has no pairs: (s, s)."""
    counts = pair_counts(stacked.subset, stacked.clusters, stacked.n_subsets)
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    own = np.diag(means)
    return np.asarray(own[:, None] + own[None, :] - 2 * means)


def apart_value(
    kernel: Callable[[Floats], Floats], x: Floats, y: Floats, clusters: tuple[Codes, Codes]
) -> float:
    """The unbiased squared distance of one pair alone; nan where a mean has no pairs."""
    both = np.concatenate(clusters)
    found = drop_own(kernel(np.concatenate([x, y])), both)
    part = (np.arange(len(both)) >= len(x)).astype(np.int64)
    counts = pair_counts(part, np.unique(both, return_inverse=True)[1], 2)
    if not counts.all():
        return float("nan")
    n = len(x)
    inside = found[:n, :n].sum() / counts[0, 0] + found[n:, n:].sum() / counts[1, 1]
    return float(inside - 2 * found[:n, n:].sum() / counts[0, 1])


def _summed(
    stacked: Stacked, tile: Callable[[slice, slice, Numbers], Numbers], kind: Any
) -> Floats:
    """Sums by subset of a symmetric kernel, made tile by tile of its upper triangle."""
    n, k = len(stacked.subset), stacked.n_subsets
    clustered = len(np.unique(stacked.clusters)) < n
    found = np.zeros((k, k))
    buffer = np.empty(_TILE * _TILE, dtype=kind)
    for rows, columns in _tiles(n):
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        kernel = tile(rows, columns, buffer[: shape[0] * shape[1]].reshape(shape))
        if rows == columns or clustered:
            kernel[_same(stacked.clusters[rows], stacked.clusters[columns])] = 0
        a, from_a = np.unique(stacked.subset[rows], return_index=True)
        b, at_b = np.unique(stacked.subset[columns], return_inverse=True)
        # A product with indicators adds up columns many times faster than a loop over subsets.
        part = kernel @ np.eye(len(b), dtype=kind)[at_b]
        block = np.add.reduceat(part, from_a, axis=0, dtype=np.float64)
        found[np.ix_(a, b)] += block
        if rows != columns:
            found[np.ix_(b, a)] += block.T
    return found


def _tiles(n: int) -> Iterator[tuple[slice, slice]]:
    cuts = [slice(at, min(at + _TILE, n)) for at in range(0, n, _TILE)]
    for i, rows in enumerate(cuts):
        for columns in cuts[i:]:
            yield rows, columns


def _same(a: Codes, b: Codes) -> tuple[Codes, Codes]:
    """Positions (i, j) of all equal pairs a[i] == b[j]."""
    order = np.argsort(b, kind="stable")
    low, high = (np.searchsorted(b[order], a, side=side) for side in ("left", "right"))
    n = high - low
    i = np.repeat(np.arange(len(a)), n)
    inside = np.arange(len(i)) - np.repeat(np.cumsum(n) - n, n)
    return i, order[np.repeat(low, n) + inside]
