"""The published distance between what a task trains on and what it tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from shiftbench.distances.membership import Subsets, task_distance
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
    """The published distance, class by class, from the training unions to each test union."""
    rows = []
    for where, unions in task.test_sets.items():
        for test in unions:
            graph = graphs[subject_of(test)]
            train = [u for u in task.train if subject_of(u) == subject_of(test)]
            train = [u for u in train if u in graph.names]
            if test not in graph.names or not train:
                continue
            rows.append(_task_row(task, where, train, test, graph, threshold))
    columns = {f.name: [r[f.name] for r in rows] for f in SHIFT_DISTANCES}
    return pa.table(columns, schema=SHIFT_DISTANCES)


def _task_row(
    task: DomainGeneralization,
    where: str,
    train: list[str],
    test: str,
    graph: Subsets,
    threshold: float,
) -> dict[str, Any]:
    value = task_distance(graph, train, test, edge_threshold=threshold)
    size = dict(zip(graph.names, graph.sizes.tolist(), strict=True))
    row: dict[str, Any] = dict.fromkeys(SHIFT_DISTANCES.names)
    parameters = {
        "set": where,
        "train": train,
        "nodes": list(graph.names),
        "edge_threshold": threshold,
        "dim": 5,
    }
    return row | {
        "config": slug(task.name),
        "source": " + ".join(train),
        "target": test,
        "kind": "membership",
        "distance": "spectral_metashift",
        "value": None if np.isnan(value) else value,
        "method": "exact",
        "n_source": sum(size[u] for u in train),
        "n_target": size[test],
        "parameters": json.dumps(parameters, ensure_ascii=False),
    }
