"""Fixed features for classifiers and regressions of two samples, and folds of whole clusters.

Both are functions of the pooled examples and the seed, not of which side an example is on: a
permutation of the sides leaves them as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.samples import Samples
from shiftbench.statistics import stream

__all__ = ["Basis", "folds_of_clusters", "pooled_basis"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_DROPPED = 1e-10  # directions with less than this share of the largest variance are rounding
_PAIRS = 2000  # examples that a median distance is taken of


@dataclass(frozen=True)
class Basis:
    """Features of the pooled examples.

    Attributes
    ----------
    linear : (n, p) float64 array
        Principal components of the standardised features; rows have a mean square norm of 1.
    kernel : (n, q) float64 array
        Nyström features of a Gaussian kernel, the leading direction first: inner products are
        kernel values, exactly so where all examples are landmarks.
    bandwidth : float
        The median distance of the standardised examples.
    dimensions : float
        Effective number of dimensions of the standardised features, (Σλ)² / Σλ² of the
        eigenvalues of their covariance (the participation ratio).
    """

    linear: Floats
    kernel: Floats
    bandwidth: float
    dimensions: float = 0.0


def folds_of_clusters(
    samples: Samples, n_folds: int, seed: int, *, stratified: bool = False
) -> Codes:
    """The fold of each row: whole clusters are dealt at random.

    Parameters
    ----------
    samples : Samples
    n_folds : int
    seed : int
    stratified : bool
        Each side is dealt out evenly. Otherwise the folds are the same whichever side an example
        is on, as a permutation test needs.

    Returns
    -------
    (n,) int64 array
        From 0, without gaps.

    Examples
    --------
    >>> s = Samples(np.arange(6.0)[:, None], 3, np.array([0, 1, 2, 0, 3, 4]))
    >>> fold = folds_of_clusters(s, 5, seed=0)
    >>> bool(fold[0] == fold[3]), sorted(set(fold.tolist()))
    (True, [0, 1, 2, 3, 4])
    """
    order = _clusters_by_content(samples, seed)
    order = stream(seed, "folds of clusters").permutation(order)
    if stratified:  # clusters of both sides in the middle: each side's are dealt in one run
        rank = np.array([0, 2, 1])[samples.strata[order]]
        order = order[np.argsort(rank, kind="stable")]
    fold = np.empty(len(order), dtype=np.int64)
    fold[order] = np.arange(len(order)) % n_folds
    return fold[samples.clusters]


def pooled_basis(samples: Samples, rank: int, seed: int, *, linear: int | None = None) -> Basis:
    """Linear and Gaussian-kernel features of the pooled examples.

    Parameters
    ----------
    samples : Samples
    rank : int
        Landmarks of the kernel, and the most features of either kind.
    seed : int
        Of the landmarks, where there are more examples than `rank`.
    linear : int, optional
        The most linear features; by default `rank`.

    References
    ----------
    Williams & Seeger, "Using the Nyström method to speed up kernel machines", NeurIPS 2000.

    Examples
    --------
    >>> s = Samples(np.array([[0.0], [1.0], [2.0], [5.0]]), 2, np.arange(4))
    >>> found = pooled_basis(s, 10, seed=0)
    >>> z = (s.features - 2) / s.features.std()
    >>> wanted = np.exp(-((z - z.T) ** 2) / (2 * found.bandwidth**2))
    >>> bool(np.allclose(found.kernel @ found.kernel.T, wanted))
    True
    """
    from scipy.spatial.distance import cdist

    n = len(samples.features)
    order = np.argsort(np.argsort(_clusters_by_content(samples, seed)))[samples.clusters]
    rng = stream(seed, "landmarks")
    rows = np.lexsort((samples.features[:, 0], order))[rng.permutation(n)]
    z = samples.features - samples.features.mean(axis=0)
    scale = z.std(axis=0)
    size = np.abs(samples.features).max(axis=0)
    z = z[:, scale > 1e-12 * size] / scale[scale > 1e-12 * size]
    if not z.shape[1]:
        return Basis(np.empty((n, 0)), np.ones((n, 1)), 1.0)
    some = z[rows[:_PAIRS]]
    apart = cdist(some, some, "sqeuclidean")[np.triu_indices(len(some), 1)]
    positive = apart[apart > 0]
    bandwidth = float(np.sqrt(np.median(positive)))
    marks = z[rows[:rank]]
    inner = np.exp(-cdist(marks, marks, "sqeuclidean") / (2 * bandwidth**2))
    scales, vectors = np.linalg.eigh(inner)
    kept = np.flatnonzero(scales > _DROPPED * scales[-1])[::-1]
    cross = np.exp(-cdist(z, marks, "sqeuclidean") / (2 * bandwidth**2))
    components, values = _principal(z, rank if linear is None else linear)
    return Basis(
        components,
        cross @ (vectors[:, kept] / np.sqrt(scales[kept])),
        bandwidth,
        float(values.sum() ** 2 / (values**2).sum()),
    )


def _principal(z: Floats, most: int) -> tuple[Floats, Floats]:
    """The leading components of z, and the eigenvalues of its covariance."""
    n, d = z.shape
    values, vectors = np.linalg.eigh(z.T @ z if d <= n else z @ z.T)
    kept = np.flatnonzero(values > _DROPPED * values[-1])[::-1][:most]
    if d <= n:
        return np.asarray(z @ vectors[:, kept] / np.sqrt(d)), values
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept] / d)), values


def _clusters_by_content(samples: Samples, seed: int) -> Codes:
    """Clusters in an order that depends on what they hold, and not on their side."""
    d = samples.features.shape[1]
    towards = stream(seed, "order of clusters").normal(size=d)
    found = samples.features @ towards
    sums = np.bincount(samples.clusters, weights=np.tanh(found / (np.abs(found).max() + 1e-300)))
    sizes = np.bincount(samples.clusters)
    return np.lexsort((sums, sizes)).astype(np.int64)
