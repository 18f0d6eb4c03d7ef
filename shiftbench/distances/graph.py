"""Distances between the nodes of a weighted graph: the published spectral one, and resistance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse
from scipy.sparse.csgraph import connected_components

from shiftbench.errors import ConfigurationError

__all__ = [
    "EIGENVALUE_TOLERANCE",
    "SpectralLayout",
    "adjacency",
    "components",
    "resistance_distance",
    "spectral_layout",
    "spectral_metashift",
]

EIGENVALUE_TOLERANCE = 1e-8
"""Neighbouring eigenvalues closer than this share of the largest one count as one, repeated."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class SpectralLayout:
    """Where the nodes of a graph lie in the leading eigenspaces of its Laplacian.

    Attributes
    ----------
    coordinates : (n, columns) float array
        Rows in the order of the weights that were given; no columns where nothing fits.
    dims_used : int
        How many dimensions the eigenspaces that were taken span, at most the `dim` asked for.
    n_components : int
        Connected components of the graph.
    reason : str or None
        Why there are no coordinates; None where there are.
    """

    coordinates: Matrix
    dims_used: int
    n_components: int
    reason: str | None

    def distances(self) -> Matrix:
        """Euclidean distances of all nodes; NaN off the diagonal where there are no coordinates."""
        n = len(self.coordinates)
        if self.reason is not None:
            return np.where(np.eye(n, dtype=bool), 0.0, np.nan)
        if n < 2:
            return np.zeros((n, n))
        from scipy.spatial.distance import pdist, squareform

        return np.asarray(squareform(pdist(self.coordinates)), dtype=np.float64)


def adjacency(weights: Matrix | csr_array, threshold: float = 0.0) -> Matrix:
    """The dense weights of a graph without loops, those below `threshold` set to 0.

    Parameters
    ----------
    weights : (n, n) array or sparse array
        Symmetric, finite, not negative; the diagonal is ignored.
    threshold : float
        Weights below it become 0; a weight equal to it stays.

    Raises
    ------
    ConfigurationError
        The weights are not a symmetric square of finite numbers ≥ 0.

    Examples
    --------
    >>> adjacency(np.array([[1.0, 0.2], [0.2, 1.0]]), threshold=0.2)
    array([[0. , 0.2],
           [0.2, 0. ]])
    """
    given: Any = weights
    dense: Matrix = np.array(given.toarray() if issparse(given) else given, dtype=np.float64)
    if dense.ndim != 2 or dense.shape[0] != dense.shape[1]:
        raise ConfigurationError(
            f"graph weights must be a square (n, n) matrix; these have shape {dense.shape}"
        )
    np.fill_diagonal(dense, 0.0)
    if not np.isfinite(dense).all() or (dense < 0).any():
        raise ConfigurationError("graph weights must be finite and not negative")
    if not np.array_equal(dense, dense.T):
        raise ConfigurationError("graph weights must be symmetric: an edge has one weight")
    dense[dense < threshold] = 0.0
    return dense


def components(weights: Matrix) -> tuple[int, NDArray[np.int64]]:
    """How many connected components there are, and each node's, numbered by first node.

    Examples
    --------
    >>> components(np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0]]))
    (2, array([0, 1, 0]))
    """
    n, raw = connected_components(csr_array(weights), directed=False)
    _, first = np.unique(raw, return_index=True)
    number = np.empty(n, dtype=np.int64)
    number[np.argsort(first)] = np.arange(n)
    return int(n), number[raw]


def _laplacian(weights: Matrix) -> Matrix:
    return np.asarray(np.diag(weights.sum(axis=1)) - weights, dtype=np.float64)


def _eigenspaces(weights: Matrix, n_components: int, labels: NDArray[np.int64]) -> list[Matrix]:
    """Bases of the Laplacian's eigenspaces by rising eigenvalue, the constant vector left out."""
    n = len(weights)
    spaces = []
    if n_components > 1:
        sizes = np.bincount(labels).astype(np.float64)
        kernel = np.zeros((n, n_components))
        kernel[np.arange(n), labels] = 1.0 / np.sqrt(sizes[labels])
        spaces.append(kernel - kernel.mean(axis=0))
    values, vectors = np.linalg.eigh(_laplacian(weights))
    # The kernel's dimension is known exactly, so no tolerance decides what counts as eigenvalue 0.
    values, vectors = values[n_components:], vectors[:, n_components:]
    if len(values):
        cuts = np.flatnonzero(np.diff(values) > EIGENVALUE_TOLERANCE * values[-1]) + 1
        spaces.extend(np.split(vectors, cuts, axis=1))
    return spaces


def spectral_layout(
    weights: Matrix | csr_array, names: Sequence[str], dim: int = 5
) -> SpectralLayout:
    """Coordinates of the nodes by the first eigenspaces of the graph's Laplacian.

    The recipe of MetaShift, made well defined. There, the coordinates are the eigenvectors 1 to
    `dim` of the unnormalised Laplacian, centred, under one scale: the largest coordinate is 1. An
    eigenvector of a repeated eigenvalue is any vector of its eigenspace, so part of an eigenspace
    is an accident of node order and library. Here

    - the nodes are sorted by name before anything is computed;
    - eigenspaces are taken whole, by rising eigenvalue, while they fit within `dim`; eigenvalues
      closer than `EIGENVALUE_TOLERANCE` × the largest one are one repeated eigenvalue;
    - in a graph of c components eigenvalue 0 repeats c times: the constant vector is skipped (it
      separates nothing) and the other c − 1 dimensions, which separate the components, are the
      first eigenspace;
    - the scale is the largest distance from the origin inside one eigenspace, which for an
      eigenvalue that does not repeat is the largest coordinate, as published.

    So where no eigenvalue up to `dim` repeats, the distances are the published recipe's, and
    elsewhere they do not depend on the basis. A repeated eigenspace that straddles `dim` is left
    out; where already the first does not fit, there are no coordinates and `reason` says so.

    Parameters
    ----------
    weights : (n, n) array or sparse array
        Symmetric edge weights ≥ 0, already thresholded; the diagonal is ignored.
    names : sequence of n str
        The nodes, without repetition.
    dim : int
        The most dimensions to take.

    Raises
    ------
    ConfigurationError
        The weights are no graph, the names are not n different ones, or `dim` is below 1.

    References
    ----------
    Liang & Zou, MetaShift, ICLR 2022; `networkx.spectral_layout` (two nodes, which it puts on one
    point, are 2 apart here).

    Examples
    --------
    >>> path = np.array([[0, 1.0, 0], [1, 0, 0.5], [0, 0.5, 0]])
    >>> spectral_layout(path, ["a", "b", "c"]).dims_used
    2
    >>> spectral_layout(np.zeros((8, 8)), list("abcdefgh")).reason
    'the first eigenspace has dimension 7 (the graph has 8 components); dim is 5'
    """
    dense = adjacency(weights)
    n = len(dense)
    if len(names) != n or len(set(names)) != n:
        raise ConfigurationError(
            f"the graph has {n} nodes; {len(names)} names came, {len(set(names))} of them different"
        )
    if dim < 1:
        raise ConfigurationError(f"dim is {dim}; it must be at least 1 (published: 5)")
    order = np.array(sorted(range(n), key=lambda i: names[i]), dtype=np.int64)
    dense = dense[np.ix_(order, order)]
    n_components, labels = components(dense)
    taken: list[Matrix] = []
    used = 0
    spaces = _eigenspaces(dense, n_components, labels)
    for at, space in enumerate(spaces):
        # The kernel's basis has one column more than its dimension: the constant vector is gone.
        wide = space.shape[1] - (1 if at == 0 and n_components > 1 else 0)
        if used + wide > dim:
            break
        taken.append(space - space.mean(axis=0))
        used += wide
    reason = None
    if spaces and not taken:
        wide = n_components - 1 if n_components > 1 else spaces[0].shape[1]
        graph = f"{n_components} component{'s' if n_components > 1 else ''}"
        reason = f"the first eigenspace has dimension {wide} (the graph has {graph}); dim is {dim}"
    coordinates = np.hstack(taken) if taken else np.zeros((n, 0))
    if taken:
        coordinates /= max(float(np.sqrt((s**2).sum(axis=1)).max()) for s in taken)
    back = np.empty_like(coordinates)
    back[order] = coordinates
    return SpectralLayout(back, used, n_components, reason)


def spectral_metashift(weights: Matrix | csr_array, names: Sequence[str], dim: int = 5) -> Matrix:
    """Distances of all nodes in `spectral_layout`; NaN off the diagonal where there is none.

    The values say which subsets share images, not how images look, and depend on which other nodes
    there are: they compare with published figures and are no x-axis for accuracy.

    Parameters
    ----------
    weights, names, dim
        As in `spectral_layout`.

    Returns
    -------
    (n, n) float array
        Symmetric, 0 on the diagonal. The same bits whatever order the nodes come in.

    Examples
    --------
    >>> spectral_metashift(np.array([[0, 1.0], [1.0, 0]]), ["a", "b"]).round(6)
    array([[0., 2.],
           [2., 0.]])
    """
    return spectral_layout(weights, names, dim).distances()


def resistance_distance(weights: Matrix | csr_array) -> Matrix:
    """Effective resistance between all nodes, edges being conductors of the given weights.

    ``R[i, j] = K[i, i] + K[j, j] − 2 K[i, j]`` with K the pseudo-inverse of the Laplacian: a
    metric, small where many strong paths join two nodes; infinite between components.

    Parameters
    ----------
    weights : (n, n) array or sparse array
        Symmetric edge weights ≥ 0, 0 = no edge; the diagonal is ignored.

    Returns
    -------
    (n, n) float array
        Symmetric, 0 on the diagonal, in units of 1 / weight.

    Raises
    ------
    ConfigurationError
        The weights are no graph.

    References
    ----------
    Klein & Randić, Resistance distance, J. Math. Chem. 12 (1993).

    Examples
    --------
    >>> triangle = np.ones((3, 3))
    >>> resistance_distance(triangle).round(6)[0]
    array([0.      , 0.666667, 0.666667])
    """
    dense = adjacency(weights)
    _, labels = components(dense)
    found = np.full(dense.shape, np.inf)
    for part in range(int(labels.max(initial=-1)) + 1):
        nodes = np.flatnonzero(labels == part)
        within = dense[np.ix_(nodes, nodes)]
        # Weights of any unit: the all-ones shift must not dwarf the Laplacian.
        unit = within.max() or 1.0
        size = len(nodes)
        inverse = np.linalg.inv(_laplacian(within / unit) + 1.0 / size)
        diagonal = np.diag(inverse)
        r = (diagonal[:, None] + diagonal[None, :] - (inverse + inverse.T)) / unit
        found[np.ix_(nodes, nodes)] = np.maximum(r, 0.0)
    np.fill_diagonal(found, 0.0)
    return found
