"""The tables of a MetaShift benchmark: subsets, membership, and every image once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from shiftbench.plan import ConfigPlan, SplitPlan
from shiftbench.schema import (
    MEMBERSHIP,
    SUBSETS,
    ClassLabel,
    ListOf,
    Metadata,
    Value,
)

from .index import Index, Rows, distinct
from .words import explain, explain_union

__all__ = [
    "Made",
    "Union",
    "community_unions",
    "images_config",
    "membership_table",
    "subset_table",
]


@dataclass(frozen=True)
class Union:
    """A union of subsets of one class: their contexts with their kinds, and its examples."""

    subject: str
    context: str
    parts: tuple[tuple[str, str], ...]
    rows: Rows


Made = dict[str, Union]
"""Unions by name."""


def community_unions(kept: Index, community: np.ndarray[Any, Any]) -> Made:
    """One union a community, named after its largest subset."""
    members: dict[tuple[str, int], list[int]] = {}
    for i, number in enumerate(community.tolist()):
        members.setdefault((kept.subjects[i], number), []).append(i)
    made: Made = {}
    for (subject, number), mine in sorted(members.items()):
        largest = max(mine, key=lambda i: (kept.sizes[i], kept.names[i]))
        context = f"community {number}: {kept.contexts[largest]}"
        parts = tuple((kept.contexts[i], kept.kinds[i]) for i in mine)
        made[f"{subject}({context})"] = Union(subject, context, parts, kept.union(mine))
    return made


def subset_table(kept: Index, community: np.ndarray[Any, Any], unions: Made) -> pa.Table:
    """Table `subsets`, by name."""
    names = [*kept.names, *unions]
    subjects = [*kept.subjects, *(u.subject for u in unions.values())]
    contexts = [*kept.contexts, *(u.context for u in unions.values())]
    said = [
        explain(s, c, k) for s, c, k in zip(kept.subjects, kept.contexts, kept.kinds, strict=True)
    ]
    said += [
        explain_union(u.subject, [c for c, _ in u.parts], [k for _, k in u.parts])
        for u in unions.values()
    ]
    columns = [
        names,
        subjects,
        contexts,
        [*kept.kinds, *["union"] * len(unions)],
        [*kept.sizes.tolist(), *(len(u.rows) for u in unions.values())],
        [*community.tolist(), *[None] * len(unions)],
        said,
    ]
    table = pa.Table.from_arrays(
        [pa.array(c, f.type) for c, f in zip(columns, SUBSETS, strict=True)], schema=SUBSETS
    )
    return table.sort_by("subset")


def membership_table(names: list[str], rows: list[Rows], metadata: Metadata) -> pa.Table:
    """Table `membership`, by subset and example."""
    order = sorted(range(len(names)), key=names.__getitem__)
    sizes = [len(rows[i]) for i in order]
    subset = pa.array([names[i] for i in order], pa.string()).take(
        pa.array(np.repeat(np.arange(len(order)), sizes))
    )
    example = np.concatenate([rows[i] for i in order]) if order else np.empty(0, np.int64)
    ids = metadata.examples["example_id"].combine_chunks().take(pa.array(example))
    return pa.Table.from_arrays([subset, ids], schema=MEMBERSHIP)


def images_config(
    names: list[str],
    subjects: list[str],
    rows: list[Rows],
    tasks: tuple[ConfigPlan, ...],
    classes: tuple[str, ...],
    metadata: Metadata,
) -> ConfigPlan:
    """Every image of any subset or task, once, with its classes and its subsets."""
    in_tasks = [s.index for t in tasks for s in t.splits]
    every = distinct(np.concatenate([*rows, *in_tasks, np.empty(0, np.int64)]))
    order = sorted(range(len(names)), key=names.__getitem__)
    at = np.searchsorted(every, np.concatenate([rows[i] for i in order] or [every[:0]]))
    which = np.repeat(np.arange(len(order)), [len(rows[i]) for i in order])
    by_row = np.lexsort((which, at))
    at, which = at[by_row], which[by_row]
    offsets = pa.array(np.searchsorted(at, np.arange(len(every) + 1)), pa.int32())
    sorted_names = pa.array([names[i] for i in order], pa.string())
    subset = pa.ListArray.from_arrays(offsets, sorted_names.take(pa.array(which)))

    number = {name: i for i, name in enumerate(classes)}
    code = np.array([number[subjects[i]] for i in order] or [0], np.int64)
    held = distinct(at * max(len(classes), 1) + code[which]) if len(at) else at
    for task in tasks:
        label = task.features["label"]
        assert isinstance(label, ClassLabel)
        translate = np.array([number[n] for n in label.names])
        for split in task.splits:
            where = np.searchsorted(every, split.index)
            labels = translate[split.rows["label"].to_numpy()]
            held = np.union1d(held, where * max(len(classes), 1) + labels)
    owner, label_code = held // max(len(classes), 1), held % max(len(classes), 1)
    offsets = pa.array(np.searchsorted(owner, np.arange(len(every) + 1)), pa.int32())
    labels_list = pa.ListArray.from_arrays(offsets, pa.array(label_code, pa.int64()))
    table = pa.table({"example": every, "label": labels_list, "subset": subset})
    return ConfigPlan(
        name="images" if metadata.content else "examples",
        features={"label": ListOf(ClassLabel(classes)), "subset": ListOf(Value("string"))},
        splits=(SplitPlan("train", "train", "none", "accept", table, "train"),),
        kind="examples",
        title="images" if metadata.content else "examples",
        description="Every image once, with the classes and the subsets it is in.",
    )
