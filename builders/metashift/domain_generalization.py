"""Splits of a domain-generalization task: which image goes where, exactly once."""

from __future__ import annotations

from typing import Any

import numpy as np

from shiftbench.errors import ConfigurationError
from shiftbench.plan import ConfigPlan
from shiftbench.schema import ClassLabel, ListOf, Metadata, Value, slug, unique_slugs
from shiftbench.statistics import priorities

from .index import Index, Rows
from .tasks import DomainGeneralization, subject_of
from .unions import Clusters, Resolved, ambiguous, group_counts, make_split, resolve

__all__ = ["plan_domain_generalization"]


def plan_domain_generalization(
    task: DomainGeneralization, index: Index, metadata: Metadata, seed: int
) -> ConfigPlan:
    """Splits of a `DomainGeneralization` task.

    Raises
    ------
    ConfigurationError
        A class has no image left in a split; the message says how many there were.
    """
    classes = task.classes
    mixed = ambiguous(index, classes)
    clusters = Clusters(metadata)
    sets = {
        name: resolve(unions, index, f"task {task.name!r}", fit=task.fit).without(mixed)
        for name, unions in {"train": task.train, **task.test_sets}.items()
    }
    order = [*task.test, "train", *task.further_test]
    order += ["ood_validation"] if task.ood_validation else []
    taken: dict[str, Rows] = {}
    for number, name in enumerate(order):
        rows = clusters.free(sets[name].union(sets[name].rows))
        clusters.give(rows, number)
        taken[name] = rows
        _need_every_class(task, name, rows, sets[name])

    several = len(task.test) + len(task.further_test) > 1
    slugs = unique_slugs([*task.test, *task.further_test])
    parts = _hold_out(task, taken["train"], sets["train"], clusters, seed)
    _need_training(task, parts["train"], sets["train"])
    splits = [
        make_split(name, name, "none", rows, sets["train"], classes, name)
        for name, rows in parts.items()
        if len(rows)
    ]
    if task.ood_validation:
        splits.append(
            make_split(
                "ood_validation", "ood_validation", "covariate", taken["ood_validation"],
                sets["ood_validation"], classes, "ood_validation",
            )
        )  # fmt: skip
    for name, made in slugs.items():
        split = f"ood_test_{made}" if several else "ood_test"
        splits.append(
            make_split(split, "ood_test", "covariate", taken[name], sets[name], classes, name)
        )
    missing = sorted({m for s in sets.values() for m in s.missing})
    notes: dict[str, Any] = {"groups": group_counts(splits), "left_out_two_classes": len(mixed)}
    if missing:
        notes["contexts_without_image"] = missing
    return ConfigPlan(
        name=slug(task.name),
        features={"label": ClassLabel(classes), "subset": ListOf(Value("string"))},
        splits=tuple(splits),
        title=task.name,
        description=f"Domain generalization: {' or '.join(classes)}, trained in "
        f"{', '.join(task.train)}, tested in other contexts.",
        notes=notes,
    )


def _need_every_class(task: DomainGeneralization, name: str, rows: Rows, unions: Resolved) -> None:
    for subject in task.classes:
        named = [u for u in unions.rows if subject_of(u) == subject]
        there = unions.union(named)
        if not named or len(np.intersect1d(rows, there)) or (task.fit and name != "train"):
            continue
        raise ConfigurationError(
            f"task {task.name!r}: no image of {subject!r} is left for {name!r}; its contexts "
            f"{named} hold {len(there)} images of one class only, all of them in a set that goes "
            "before; name other contexts, or set fit (--fit) to go on without"
        )


def _need_training(task: DomainGeneralization, rows: Rows, unions: Resolved) -> None:
    for subject in task.classes:
        mine = unions.union(u for u in unions.rows if subject_of(u) == subject)
        if not len(np.intersect1d(rows, mine)):
            raise ConfigurationError(
                f"task {task.name!r}: all images of {subject!r} that could be trained on are held "
                "out, since their clusters are few; lower validation and id_test, or name more "
                "contexts"
            )


def _hold_out(
    task: DomainGeneralization, rows: Rows, unions: Resolved, clusters: Clusters, seed: int
) -> dict[str, Rows]:
    """Divide the training contexts by cluster, class by class."""
    split_of = np.zeros(len(clusters.names), np.int64)
    seen = np.zeros(len(clusters.names), bool)
    for subject in task.classes:
        mine = np.intersect1d(
            rows, unions.union(u for u in unions.rows if subject_of(u) == subject)
        )
        codes = np.unique(clusters.code[mine])
        codes = codes[~seen[codes]]
        seen[codes] = True
        names = [clusters.names[c] for c in codes]
        codes = codes[np.argsort(priorities(seed, f"split {task.name}", names), kind="stable")]
        n_validation = round(task.validation * len(codes))
        n_test = round(task.id_test * len(codes))
        split_of[codes[:n_validation]] = 1
        split_of[codes[n_validation : n_validation + n_test]] = 2
    where = split_of[clusters.code[rows]]
    return {
        "train": rows[where == 0],
        "validation": rows[where == 1],
        "id_test": rows[where == 2],
    }
