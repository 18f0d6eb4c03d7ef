"""The published distance between what a task trains on and what it tests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from shiftbench.distances.graph import adjacency, resistance_distance, spectral_layout
from shiftbench.distances.membership import task_distance
from shiftbench.distances.overlaps import Subsets, overlap_coefficient
from shiftbench.schema import SHIFT_DISTANCES, slug

from .index import Index
from .tasks import DomainGeneralization, subject_of
from .unions import ambiguous, resolve

__all__ = ["task_distances", "task_graphs"]


def task_graphs(tasks: Sequence[DomainGeneralization], index: Index) -> dict[str, Subsets]:
    """For each class the unions of all tasks: the nodes of the published spectral layout."""
    unions: dict[str, dict[str, tuple[str, ...]]] = {}
    classes: dict[str, set[str]] = {}
    for task in tasks:
        for named in (task.train, *task.test_sets.values()):
            for name, contexts in named.items():
                subject = subject_of(name)
                unions.setdefault(subject, {})[name] = tuple(contexts)
                classes.setdefault(subject, set()).update(task.classes)
    graphs = {}
    for subject, named in sorted(unions.items()):
        mixed = ambiguous(index, sorted(classes[subject]))
        rows = resolve(named, index, "distances", fit=True).without(mixed).rows
        names = sorted(n for n in rows if len(rows[n]))
        graphs[subject] = Subsets.of(
            names, [subject] * len(names), [rows[n].tolist() for n in names], index.n_examples
        )
    return graphs


def task_distances(
    task: DomainGeneralization, graphs: Mapping[str, Subsets], threshold: float
) -> pa.Table:
    """How far each class's training unions are from each of its test unions, by membership.

    ``overlap_distance`` is that of all training unions together; ``resistance_distance`` and
    ``spectral_metashift`` are means over the training unions, as published.
    """
    rows: list[dict[str, Any]] = []
    for where, unions in task.test_sets.items():
        for test in unions:
            graph = graphs[subject_of(test)]
            train = [u for u in task.train if u in graph.names]
            if test in graph.names and train:
                rows.extend(_rows(task, where, train, test, graph, threshold))
    columns = {f.name: [r[f.name] for r in rows] for f in SHIFT_DISTANCES}
    return pa.table(columns, schema=SHIFT_DISTANCES)


def _rows(
    task: DomainGeneralization,
    where: str,
    train: list[str],
    test: str,
    graph: Subsets,
    threshold: float,
) -> Iterator[dict[str, Any]]:
    at = {name: graph.indices[graph.indptr[i] : graph.indptr[i + 1]]
          for i, name in enumerate(graph.names)}  # fmt: skip
    together = np.unique(np.concatenate([at[u] for u in train]))
    shared = len(np.intersect1d(together, at[test]))
    weights = adjacency(overlap_coefficient(graph), threshold)
    resistance = resistance_distance(weights)
    columns = [graph.names.index(u) for u in train]
    layout = spectral_layout(weights, graph.names)
    spectral = task_distance(graph, train, test, edge_threshold=threshold)
    of_graph = {"nodes": list(graph.names), "edge_threshold": threshold}
    found: list[tuple[str, float, dict[str, Any]]] = [
        ("overlap_distance", 1 - shared / min(len(together), len(at[test])), {}),
        (
            "resistance_distance",
            float(np.mean(resistance[columns, graph.names.index(test)])),
            of_graph,
        ),
        (
            "spectral_metashift",
            spectral,
            {**of_graph, "dim": 5, "dims_used": layout.dims_used, "reason": layout.reason},
        ),
    ]
    for distance, value, parameters in found:
        told = {k: v for k, v in parameters.items() if v is not None}
        yield dict.fromkeys(SHIFT_DISTANCES.names) | {
            "config": slug(task.name),
            "source": " + ".join(train),
            "target": test,
            "kind": "membership",
            "distance": distance,
            "value": None if np.isnan(value) else value,
            "method": "exact",
            "n_source": len(together),
            "n_target": len(at[test]),
            "parameters": json.dumps({"set": where, "train": train, **told}, ensure_ascii=False),
        }
