"""The meta-graph of a class: its subsets, the edges between them, and its communities."""

from __future__ import annotations

from collections.abc import Sequence

import networkx as nx
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_array, triu

from shiftbench.distances.graph import Matrix, adjacency
from shiftbench.distances.overlaps import Subsets, overlap_coefficient
from shiftbench.errors import ConfigurationError

__all__ = ["EDGES", "by_class", "check_threshold", "communities", "edges", "subset_communities"]

EDGES = pa.schema(
    [
        pa.field("class", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("target", pa.string(), nullable=False),
        pa.field("overlap", pa.float64(), nullable=False),
    ]
)
"""One row an edge of the meta-graph, source before target in the order of their names."""


def check_threshold(edge_threshold: float) -> None:
    """Refuse a threshold that is no overlap coefficient.

    Raises
    ------
    ConfigurationError
        It does not lie between 0 and 1.

    Examples
    --------
    >>> check_threshold(0.2)
    """
    if not 0.0 <= edge_threshold <= 1.0:
        raise ConfigurationError(
            f"edge_threshold is {edge_threshold}; it must lie between 0 and 1 (published: 0.2)"
        )


def by_class(subsets: Subsets) -> list[tuple[str, NDArray[np.int64]]]:
    """The classes by name, each with the positions of its subsets by name.

    Examples
    --------
    >>> s = Subsets.of(["d(y)", "c(b)", "c(a)"], ["d", "c", "c"], [[0], [0], [0]], 1)
    >>> [(name, positions.tolist()) for name, positions in by_class(s)]
    [('c', [2, 1]), ('d', [0])]
    """
    order = sorted(range(len(subsets.names)), key=lambda i: (subsets.classes[i], subsets.names[i]))
    groups: dict[str, list[int]] = {}
    for i in order:
        groups.setdefault(subsets.classes[i], []).append(i)
    return [(name, np.array(group, dtype=np.int64)) for name, group in groups.items()]


def communities(weights: Matrix | csr_array, names: Sequence[str]) -> NDArray[np.int64]:
    """Communities of a graph by greedy modularity, weights not used, the same on every run.

    Parameters
    ----------
    weights : (n, n) array or sparse array
        Symmetric, already thresholded: every weight above 0 is an edge; the diagonal is ignored.
    names : sequence of n str
        The nodes, without repetition.

    Returns
    -------
    (n,) int64 array
        The community of each node: 0 is the largest, those of equal size come by their smallest
        name. A node without edges is a community of its own.

    Raises
    ------
    ConfigurationError
        The weights are no graph, or the names are not n different ones.

    Notes
    -----
    The nodes are numbered by name before networkx sees them; it breaks ties by that number.

    References
    ----------
    Clauset, Newman & Moore, Phys. Rev. E 70, 066111 (2004), as in MetaShift (Liang & Zou 2022).

    Examples
    --------
    >>> w = np.zeros((5, 5))
    >>> w[0, 1] = w[1, 0] = w[2, 3] = w[3, 2] = w[3, 4] = w[4, 3] = 0.5
    >>> communities(w, ["e", "d", "c", "b", "a"])
    array([1, 1, 0, 0, 0])
    """
    dense = adjacency(weights)
    n = len(dense)
    if len(names) != n or len(set(names)) != n:
        raise ConfigurationError(
            f"the graph has {n} nodes; {len(names)} names came, {len(set(names))} of them different"
        )
    order = sorted(range(n), key=lambda i: names[i])
    graph = nx.Graph()
    graph.add_nodes_from(range(n))
    sources, targets = np.nonzero(np.triu(dense[np.ix_(order, order)]))
    graph.add_edges_from(zip(sources.tolist(), targets.tolist(), strict=True))
    if graph.number_of_edges():
        found = [sorted(part) for part in nx.community.greedy_modularity_communities(graph)]
    else:
        found = [[i] for i in range(n)]
    found.sort(key=lambda part: (-len(part), part[0]))
    number = np.empty(n, dtype=np.int64)
    for community, part in enumerate(found):
        for node in part:
            number[order[node]] = community
    return number


def subset_communities(subsets: Subsets, edge_threshold: float = 0.2) -> NDArray[np.int64]:
    """The community of every subset inside the meta-graph of its class.

    Parameters
    ----------
    subsets : Subsets
        n subsets of any number of classes.
    edge_threshold : float
        Overlap coefficients below it are no edge.

    Returns
    -------
    (n,) int64 array
        In the order of `subsets`; the numbers start at 0 in every class.

    Examples
    --------
    >>> s = Subsets.of(["c(a)", "c(b)", "d(a)"], ["c", "c", "d"], [[0, 1], [1], [2]], 3)
    >>> subset_communities(s)
    array([0, 0, 0])
    """
    check_threshold(edge_threshold)
    number = np.zeros(len(subsets.names), dtype=np.int64)
    for _, group in by_class(subsets):
        part = subsets.take(group)
        weights = adjacency(overlap_coefficient(part.compact()), edge_threshold)
        number[group] = communities(weights, part.names)
    return number


def edges(subsets: Subsets, edge_threshold: float = 0.2) -> pa.Table:
    """The edges of the meta-graphs of all classes.

    Parameters
    ----------
    subsets : Subsets
        The subsets of any number of classes; edges join subsets of one class only.
    edge_threshold : float
        Overlap coefficients below it are no edge.

    Returns
    -------
    pa.Table
        Schema `EDGES`, by class, source and target; `overlap` is the overlap coefficient.

    Examples
    --------
    >>> s = Subsets.of(["c(a)", "c(b)", "d(a)"], ["c", "c", "d"], [[0, 1], [1], [1]], 2)
    >>> edges(s).to_pylist()
    [{'class': 'c', 'source': 'c(a)', 'target': 'c(b)', 'overlap': 1.0}]
    """
    check_threshold(edge_threshold)
    tables = [EDGES.empty_table()]
    for name, group in by_class(subsets):
        part = subsets.take(group)
        upper = triu(overlap_coefficient(part.compact()), k=1, format="csr")
        upper.sort_indices()
        rows = np.repeat(np.arange(len(group)), np.diff(upper.indptr))
        kept = upper.data >= edge_threshold
        labels = np.array(part.names, dtype=object)
        columns = [
            pa.repeat(pa.scalar(name, pa.string()), int(kept.sum())),
            pa.array(labels[rows[kept]], pa.string()),
            pa.array(labels[upper.indices[kept]], pa.string()),
            pa.array(upper.data[kept], pa.float64()),
        ]
        tables.append(pa.table(columns, schema=EDGES))
    return pa.concat_tables(tables)
