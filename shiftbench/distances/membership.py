"""How far apart subsets are by the examples they share, and by their graph.

Memberships say which contexts co-occur, not how images look: two subsets of one distribution
without a common image are "far". They describe a benchmark; they are no distribution distance.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.distances.graph import (
    Matrix,
    SpectralLayout,
    adjacency,
    components,
    resistance_distance,
    spectral_layout,
    spectral_metashift,
)
from shiftbench.distances.metagraph import by_class, check_threshold
from shiftbench.distances.overlaps import (
    Subsets,
    intersections,
    jaccard,
    overlap_coefficient,
)
from shiftbench.errors import ConfigurationError, near_names
from shiftbench.schema import SHIFT_DISTANCES

__all__ = [
    "ALL",
    "MAX_NODES",
    "Subsets",
    "intersections",
    "jaccard",
    "measure",
    "overlap_coefficient",
    "resistance_distance",
    "spectral_metashift",
    "task_distance",
]

ALL = ("overlap_distance", "jaccard_distance", "spectral_metashift", "resistance_distance")
"""The distances that `measure` knows."""

MAX_NODES = 3000
"""Classes of more subsets than this get no graph distances: their time grows with the cube."""

_DIM = 5


def _pairs(n: int) -> int:
    return n * (n - 1) // 2


def _smallest_kept(groups: list[NDArray[np.int64]], sizes: NDArray[np.int64], limit: int) -> int:
    """The least size such that the pairs of subsets of that size or more fit the budget."""
    steps = np.unique(sizes)

    def pairs_at(least: int) -> int:
        return sum(_pairs(int((sizes[g] >= least).sum())) for g in groups)

    low, high = 0, len(steps)
    while low < high:
        middle = (low + high) // 2
        if pairs_at(int(steps[middle])) <= limit:
            high = middle
        else:
            low = middle + 1
    return int(steps[low]) if low < len(steps) else int(steps[-1]) + 1


def _counts(part: Subsets) -> tuple[Matrix, Matrix]:
    """|A ∩ B| and overlap coefficient of one class, dense; 0 where a subset is empty."""
    shared = intersections(part.compact()).toarray().astype(np.float64)
    least = np.minimum.outer(part.sizes, part.sizes)
    return shared, np.divide(shared, least, out=np.zeros_like(shared), where=least > 0)


def _json(**parameters: Any) -> str:
    return json.dumps(parameters, sort_keys=True)


def _graph_columns(
    overlap: Matrix | None, names: Sequence[str], kind: str, edge_threshold: float, n: int
) -> tuple[Matrix | None, str]:
    """All distances of one kind on the graph of a class, and the parameters that go with them."""
    stated: dict[str, Any] = {"edge_threshold": edge_threshold, "nodes": n}
    if kind == "spectral_metashift":
        stated["dim"] = _DIM
    if overlap is None:
        reason = f"a class of {n} subsets; graph distances are computed up to {MAX_NODES}"
        return None, _json(**stated, reason=reason)
    weights = adjacency(overlap, edge_threshold)
    if kind == "resistance_distance":
        stated["components"] = components(weights)[0]
        return resistance_distance(weights), _json(**stated)
    layout: SpectralLayout = spectral_layout(weights, names, _DIM)
    stated |= {"components": layout.n_components, "dims_used": layout.dims_used}
    if layout.reason is not None:
        return None, _json(**stated, reason=layout.reason)
    return layout.distances(), _json(**stated)


def _class_tables(
    part: Subsets,
    least: int,
    distances: Sequence[str],
    edge_threshold: float,
    fixed: dict[str, Any],
) -> Iterator[pa.Table]:
    """One table a distance for the pairs of one class whose subsets are large enough."""
    sizes = part.sizes
    kept = np.flatnonzero(sizes >= least)
    if len(kept) < 2:
        return
    # The graph has all subsets of the class, so that no value depends on the budget for rows.
    whole = len(sizes) <= MAX_NODES
    base = part if whole else part.take(kept)
    inside = kept if whole else np.arange(len(kept))
    shared, overlap = _counts(base)
    a, b = (inside[i] for i in np.triu_indices(len(inside), k=1))
    size_a, size_b = base.sizes[a], base.sizes[b]
    names = np.array(base.names, dtype=object)
    common: dict[str, Any] = {
        **fixed,
        "source": pa.array(names[a], pa.string()),
        "target": pa.array(names[b], pa.string()),
        "n_source": pa.array(size_a),
        "n_target": pa.array(size_b),
    }
    for kind in distances:
        if kind == "overlap_distance":
            value, undefined = 1.0 - overlap[a, b], np.minimum(size_a, size_b) == 0
            parameters = _json()
        elif kind == "jaccard_distance":
            union = size_a + size_b - shared[a, b]
            undefined = union == 0
            value = 1.0 - shared[a, b] / np.where(undefined, 1, union)
            parameters = _json()
        else:
            graph, parameters = _graph_columns(
                overlap if whole else None, base.names, kind, edge_threshold, len(sizes)
            )
            undefined = np.full(len(a), graph is None)
            value = np.zeros(len(a)) if graph is None else graph[a, b]
        said = pa.repeat(pa.scalar(parameters, pa.string()), len(a))
        if kind in ALL[:2] and undefined.any():
            empty = _json(reason="a subset without examples")
            said = pa.array(np.where(undefined, empty, parameters), pa.string())
        yield _table(
            len(a), common, distance=kind, value=pa.array(value, mask=undefined), said=said
        )


def _table(
    n: int, common: dict[str, Any], *, distance: str, value: pa.Array, said: pa.Array
) -> Any:
    given = {**common, "distance": distance, "value": value, "method": "exact", "parameters": said}
    columns = []
    for field in SHIFT_DISTANCES:
        column = given.get(field.name)
        if column is None:
            column = pa.nulls(n, field.type)
        elif isinstance(column, str):
            column = pa.repeat(pa.scalar(column, field.type), n)
        columns.append(column)
    return pa.table(columns, schema=SHIFT_DISTANCES)


def measure(
    subsets: Subsets,
    *,
    distances: Sequence[str] = ALL,
    edge_threshold: float = 0.2,
    max_pairs: int = 1_000_000,
    config: str | None = None,
    kind: str = "membership",
) -> tuple[pa.Table, dict[str, Any]]:
    """Distances by membership between all subsets of a class, for every class.

    - ``overlap_distance``: 1 − |A ∩ B| / min(|A|, |B|), a fraction;
    - ``jaccard_distance``: 1 − |A ∩ B| / |A ∪ B|, a fraction and a metric;
    - ``spectral_metashift``: the published recipe on the class's graph, made deterministic; null
      where its eigenspaces do not fit (`parameters` has the reason);
    - ``resistance_distance``: effective resistance on the same graph, infinite between components.

    The graph of a class has all of its subsets as nodes and their overlap coefficients as weights,
    those below the threshold being no edge.

    Parameters
    ----------
    subsets : Subsets
        The subsets; their order and the numbering of the examples change no value.
    distances : sequence of str
        Which of `ALL`.
    edge_threshold : float
        Overlap coefficients below it are no edge; between 0 and 1.
    max_pairs : int
        The most pairs of subsets to write. Where there are more, only pairs of subsets that have
        at least s examples each are written, with the smallest s for which they fit; the graphs
        stay whole, so the values do not change. What is left out is counted.
    config : str, optional
        The config that the subsets belong to; None for the subsets of the benchmark.
    kind : str
        What goes into the column of that name.

    Returns
    -------
    table : pa.Table
        Schema `SHIFT_DISTANCES`, by class, distance, source and target, source before target in
        the order of their names. The values are exact: no interval, no p-value, no seed.
    left_out : dict
        ``pairs``: rows a distance; ``pairs_across_classes``: not measured, by definition;
        ``pairs_beyond_budget``: left out for `max_pairs`; ``smallest_size``: the s above, or None
        where nothing was left out; ``classes_cut``: classes that lost pairs.

    Raises
    ------
    ConfigurationError
        A distance that does not exist, a threshold outside 0 … 1, a budget below 0.

    References
    ----------
    Liang & Zou, MetaShift, ICLR 2022; Klein & Randić 1993 (resistance).

    Examples
    --------
    >>> s = Subsets.of(["cat(bed)", "cat(sofa)"], ["cat", "cat"], [[0, 1], [1, 2, 3]], 4)
    >>> table, left_out = measure(s, distances=["overlap_distance"])
    >>> table.select(["source", "target", "value", "n_source", "n_target"]).to_pylist()
    [{'source': 'cat(bed)', 'target': 'cat(sofa)', 'value': 0.5, 'n_source': 2, 'n_target': 3}]
    >>> left_out["pairs"], left_out["pairs_beyond_budget"]
    (1, 0)
    """
    for name in distances:
        if name not in ALL:
            raise ConfigurationError(
                f"no membership distance is called {name!r}; {near_names(name, ALL)}"
            )
    check_threshold(edge_threshold)
    if max_pairs < 0:
        raise ConfigurationError(f"max_pairs is {max_pairs}; it must be 0 or more")
    wanted = [name for name in ALL if name in distances]
    groups = by_class(subsets)
    sizes = subsets.sizes
    total = sum(_pairs(len(g)) for _, g in groups)
    least = 0
    if total > max_pairs:
        least = _smallest_kept([g for _, g in groups], sizes, max_pairs)
    cut, written = [], 0
    tables = [SHIFT_DISTANCES.empty_table()]
    for name, group in groups:
        kept = _pairs(int((sizes[group] >= least).sum()))
        written += kept
        if kept < _pairs(len(group)):
            cut.append(name)
        fixed = {"config": config, "kind": kind}
        tables.extend(_class_tables(subsets.take(group), least, wanted, edge_threshold, fixed))
    return pa.concat_tables(tables), {
        "pairs": written,
        "pairs_across_classes": _pairs(len(sizes)) - total,
        "pairs_beyond_budget": total - written,
        "smallest_size": least if cut else None,
        "classes_cut": cut,
        "max_pairs": max_pairs,
    }


def task_distance(
    subsets_of_task: Subsets,
    train: Sequence[str],
    test: str,
    *,
    edge_threshold: float = 0.2,
    dim: int = _DIM,
) -> float:
    """The published distance of a task: the mean spectral distance of its training unions.

    Parameters
    ----------
    subsets_of_task : Subsets
        The unions that are the nodes of the graph (published: all training and test communities
        of the class, of all experiments). Which ones are there changes the value.
    train : sequence of str
        Names of the training unions, at least one.
    test : str
        Name of the test union.
    edge_threshold, dim
        As in `measure` and `spectral_layout`.

    Returns
    -------
    float
        The mean, over the training unions, of their distance to the test union (not the distance
        of an averaged point); NaN where the graph's eigenspaces do not fit.

    Raises
    ------
    ConfigurationError
        A name that is no union of the task, or no training union.

    Examples
    --------
    >>> s = Subsets.of("abt", "xxx", [[0, 1, 2], [2, 3, 4], [4, 5, 0]], 6)
    >>> round(task_distance(s, ["a", "b"], "t"), 6)
    1.732051
    """
    names = subsets_of_task.names
    for name in [*train, test]:
        if name not in names:
            raise ConfigurationError(f"the task has no union {name!r}; {near_names(name, names)}")
    if not train:
        raise ConfigurationError(
            "a task distance needs at least one training union; none was named"
        )
    check_threshold(edge_threshold)
    weights = adjacency(overlap_coefficient(subsets_of_task), edge_threshold)
    found = spectral_metashift(weights, names, dim)
    return float(np.mean([found[names.index(name), names.index(test)] for name in sorted(train)]))
