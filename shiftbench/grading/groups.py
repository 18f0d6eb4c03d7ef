"""By what a split's examples are told apart: the columns asked for, or the benchmark's subsets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.evaluation.groups import Groups, column_groups
from shiftbench.predictions import Truth

__all__ = ["groupings", "groups_in", "larger_groups", "train_counts"]

Bins = Mapping[str, Sequence[float]]

SUBSET = "subset"
GROUP = "group"
LABEL = "label"


def groupings(truth: Truth, asked: Sequence[str]) -> tuple[str, ...]:
    """The groupings of a split: those asked for, or else the task's groups, or its subsets.

    Raises
    ------
    ConfigurationError
        A column that the split does not have; the message has the near ones.
    """
    there = [*truth.metadata.column_names, LABEL]
    there += [] if truth.subset is None else [SUBSET]
    for grouping in asked:
        for column in grouping.split("*"):
            if column not in there:
                raise ConfigurationError(
                    f"split {truth.split!r} of config {truth.config!r} has no column {column!r} "
                    f"to group by; {near_names(column, there)}"
                )
            if column == SUBSET and "*" in grouping:
                raise ConfigurationError(
                    f"{grouping!r}: subsets may overlap, so they make no combination with a "
                    "column; group by either"
                )
    if asked:
        return tuple(asked)
    if GROUP in truth.metadata.column_names:
        return (GROUP,)
    return (SUBSET,) if truth.subset is not None else ()


def groups_in(truth: Truth, grouping: str, bins: Bins) -> Groups:
    """The groups of a split's examples by one grouping; `bins`: edges of columns of numbers."""
    if grouping == SUBSET and truth.subset is not None:
        return Groups.of_lists(truth.subset)
    columns: dict[str, Any] = {}
    for name in grouping.split("*"):
        columns[name] = _labels(truth) if name == LABEL else truth.metadata[name]
    return column_groups(columns, bins={n: e for n, e in bins.items() if n in columns})


def _labels(truth: Truth) -> pa.Array:
    if truth.kind != "class" or truth.label is None:
        raise ConfigurationError(
            f"split {truth.split!r} of config {truth.config!r} has no single class an example to "
            "group by; name a metadata column"
        )
    names = np.array([*truth.class_names, None], dtype=object)
    return pa.array(names[truth.label])


def train_counts(
    train: Truth | None, truth: Truth, grouping: str, bins: Bins
) -> Mapping[str, int] | None:
    """How many training examples each group of a split has; None without a training split."""
    if train is None or not _has(train, grouping):
        return None
    groups = groups_in(train, grouping, bins)
    sizes = dict(zip(groups.names, groups.sizes().tolist(), strict=True))
    return {name: sizes.get(name, 0) for name in groups_in(truth, grouping, bins).names}


def larger_groups(
    train: Truth | None, truth: Truth, grouping: str, bins: Bins
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """Which examples of a split are of the majority, and which of the minority.

    For every class the group with the most training examples is the majority; the other groups
    that were trained on are the minority. None where groups overlap, where there is no single
    class an example, or where a class has been trained on in one group alone.
    """
    if train is None or train.kind != "class" or truth.kind != "class":
        return None
    if grouping == SUBSET or not _has(train, grouping):
        return None
    trained, tested = groups_in(train, grouping, bins), groups_in(truth, grouping, bins)
    k, g = len(train.class_names), len(trained.names)
    known = train.labelled
    assert train.label is not None
    assert truth.label is not None
    cells = np.bincount(train.label[known] * g + trained.codes[known], minlength=k * g)
    table = cells.reshape(k, g)
    if not ((table > 0).sum(axis=1) > 1).any():
        return None
    at = {name: i for i, name in enumerate(trained.names)}
    code = np.array([at.get(name, -1) for name in tested.names])[tested.codes]
    label = np.where(truth.labelled, truth.label, 0)
    seen = truth.labelled & (code >= 0)
    seen &= table[label, np.maximum(code, 0)] > 0
    major = seen & (table.argmax(axis=1)[label] == code)
    return major, seen & ~major


def _has(truth: Truth, grouping: str) -> bool:
    there = {*truth.metadata.column_names, LABEL}
    if truth.subset is not None:
        there.add(SUBSET)
    return there.issuperset(grouping.split("*"))
