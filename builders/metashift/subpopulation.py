"""Splits of a subpopulation-shift task: exact numbers of images of each group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.plan import ConfigPlan
from shiftbench.schema import ClassLabel, ListOf, Metadata, Value, slug
from shiftbench.statistics import priorities

from .index import Index, Rows
from .tasks import SubpopulationShift, subject_of
from .unions import Clusters, Resolved, ambiguous, group_counts, make_split, resolve

__all__ = ["plan_subpopulation_shift"]


def plan_subpopulation_shift(
    task: SubpopulationShift, index: Index, metadata: Metadata, seed: int
) -> ConfigPlan:
    """Splits of a `SubpopulationShift` task, with exact counts.

    Raises
    ------
    ConfigurationError
        The source holds too few images and `fit` is off; the message says what is there.
    """
    mixed = ambiguous(index, task.classes)
    major = resolve(task.majority, index, f"task {task.name!r}", fit=task.fit).without(mixed)
    minor = resolve(task.minority, index, f"task {task.name!r}", fit=task.fit).without(mixed)
    rows: dict[str, Rows] = {}
    both: dict[str, int] = {}
    for a in task.majority:
        b = next(n for n in task.minority if subject_of(n) == subject_of(a))
        shared = np.intersect1d(major.rows[a], minor.rows[b])
        both[subject_of(a)] = len(shared)
        rows[a] = np.setdiff1d(major.rows[a], shared)
        rows[b] = np.setdiff1d(minor.rows[b], shared) if task.overlap == "drop" else minor.rows[b]
    ranked = {name: _ranked(task, r, metadata, seed) for name, r in rows.items()}

    full = wanted = _cells(task, task.train_per_class)
    cells = _draw(ranked, wanted, Clusters(metadata))
    if cells is None and task.fit:
        wanted, cells = _largest(task, ranked, metadata)
    if cells is None:
        have = ", ".join(f"{name} {len(r)}" for name, r in rows.items())
        need = ", ".join(f"{name} {n}" for name, n in _needs(wanted).items())
        raise ConfigurationError(
            f"task {task.name!r} cannot be filled: it needs {need} images; the source has {have} "
            "(images that hold two of the classes left out, clusters whole); lower the counts, or "
            "set fit (--fit) for the largest feasible size"
        )
    unions = Resolved({**rows}, ())
    shift = {"train": "none", "validation": "subpopulation", "test": "subpopulation"}
    names = {"train": "train", "validation": "validation", "test": "ood_test"}
    splits = []
    for key, name in names.items():
        taken = np.concatenate([cells[key, g] for g in rows])
        if len(taken):
            split = make_split(name, name, shift[key], taken, unions, task.classes, name)
            group = pa.array([s[0] for s in split.rows["subset"].to_pylist()], pa.string())
            splits.append(replace(split, rows=split.rows.append_column("group", group)))
    notes: dict[str, Any] = {
        "groups": group_counts(splits),
        "minority_share": {
            subject_of(g): wanted["train", g] / (wanted["train", g] + wanted["train", m])
            for g, m in zip(task.minority, _in_order(task), strict=True)
        },
        "left_out_two_classes": len(mixed),
        "images_with_contexts_of_both_groups": both,
        "images_with_contexts_of_both_groups_count_as": task.overlap,
    }
    missing = sorted({*major.missing, *minor.missing})
    if missing:
        notes["contexts_without_image"] = missing
    if wanted != full:
        notes["fitted"] = {f"{split} {group}": n for (split, group), n in wanted.items()}
    return ConfigPlan(
        name=slug(task.name),
        features={
            "label": ClassLabel(task.classes),
            "subset": ListOf(Value("string")),
            "group": Value("string"),
        },
        splits=tuple(splits),
        title=task.name,
        description=f"Subpopulation shift: {', '.join(task.majority)} are common in training, "
        f"{', '.join(task.minority)} are rare; the test has equally many of each.",
        notes=notes,
    )


Cells = dict[tuple[str, str], int]


def _in_order(task: SubpopulationShift) -> list[str]:
    """The majority union of each minority union's class."""
    return [next(a for a in task.majority if subject_of(a) == subject_of(b)) for b in task.minority]


def _cells(task: SubpopulationShift, train: int) -> Cells:
    """The task's counts, scaled so that a class has `train` training images."""

    def scaled(n: int) -> int:
        return max(n * train // task.train_per_class, 1) if n else 0

    minority = scaled(task.n_minority)
    groups = [*task.majority, *task.minority]
    cells: Cells = {("test", g): scaled(task.test_per_group) for g in groups}
    cells |= {("validation", g): scaled(task.validation_per_group) for g in groups}
    cells |= {("train", g): max(train, 1) - minority for g in task.majority}
    cells |= {("train", g): minority for g in task.minority}
    return cells


def _needs(cells: Cells) -> dict[str, int]:
    needs: dict[str, int] = {}
    for (_, group), n in cells.items():
        needs[group] = needs.get(group, 0) + n
    return needs


def _ranked(task: SubpopulationShift, rows: Rows, metadata: Metadata, seed: int) -> Rows:
    """Rows in random order, the members of a cluster beside one another."""
    taken = metadata.examples.select(["cluster_id", "example_id"]).take(pa.array(rows))
    cluster = priorities(seed, f"cluster {task.name}", taken["cluster_id"].to_pylist())
    example = priorities(seed, f"example {task.name}", taken["example_id"].to_pylist())
    return rows[np.lexsort((example, cluster))]


def _draw(
    ranked: Mapping[str, Rows], cells: Cells, clusters: Clusters
) -> dict[tuple[str, str], NDArray[np.int64]] | None:
    """Fill the cells in their order, no cluster in two splits; None where one cannot be."""
    number = {name: i for i, name in enumerate(dict.fromkeys(split for split, _ in cells))}
    used = np.zeros(len(clusters.code), bool)
    drawn = {}
    for (split, group), n in cells.items():
        free = clusters.free(ranked[group], number[split])
        taken = free[~used[free]][:n]
        if len(taken) < n:
            return None
        used[taken] = True
        clusters.give(taken, number[split])
        drawn[split, group] = taken
    return drawn


def _largest(
    task: SubpopulationShift, ranked: Mapping[str, Rows], metadata: Metadata
) -> tuple[Cells, dict[tuple[str, str], NDArray[np.int64]] | None]:
    """The largest counts in the task's proportions that can be filled."""
    low, high = 0, task.train_per_class
    best: tuple[Cells, Any] = (_cells(task, 0), None)
    while low < high:
        size = (low + high + 1) // 2
        cells = _cells(task, size)
        drawn = _draw(ranked, cells, Clusters(metadata))
        if drawn is None:
            high = size - 1
        else:
            low, best = size, (cells, drawn)
    return best
