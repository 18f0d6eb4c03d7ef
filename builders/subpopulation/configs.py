"""From tables that are asked for to the splits that have them, with what was achieved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.plan import ConfigPlan, SplitPlan
from shiftbench.schema import ClassLabel, ListOf, Value, slug

from ..shared.assembly import Held, coded, split_plan
from .cells import Counts, cramers_v
from .designs import Design
from .filling import Filling, Taken, group_name
from .parts import Part

__all__ = ["CELL_COUNTS", "cell_counts", "config_names", "config_plan"]

CELL_COUNTS = pa.schema(
    [
        pa.field("config", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("class", pa.string(), nullable=False),
        pa.field("attribute", pa.string(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),
        pa.field("share", pa.float64()),
        pa.field("share_of_class", pa.float64()),
        pa.field("cramers_v", pa.float64()),
    ]
)
"""One row a cell of a split: `share` is P(y, a), `share_of_class` P(a | y), `cramers_v` of the
split's whole table."""

UNLABELLED = ("train_unlabeled", "target_unlabeled")

Rows = NDArray[np.int64]


def config_plan(
    name: str,
    design: Design,
    filling: Filling,
    taken: Mapping[str, Taken],
    rows_of: Callable[[Taken], Rows],
    *,
    column: str,
    own_attribute: bool,
    made: str,
) -> ConfigPlan:
    """A config of the examples that its splits take.

    Parameters
    ----------
    name : str
    design : Design
    filling : Filling
    taken : mapping
        By split.
    rows_of : callable
        From what a split takes to rows of the plan's examples.
    column : str
        The attribute's column in the metadata, "" for none.
    own_attribute : bool
        Whether splits bring a column `attribute`.
    made : str
        The kind of attribute that is made, "" for none.
    """
    splits = tuple(
        _split(part, filling, taken[part.name], rows_of(taken[part.name]), own_attribute)
        for part in design.parts
    )
    features: dict[str, Any] = {"label": ClassLabel(filling.classes)}
    if own_attribute:
        features["attribute"] = Value("string")
    features |= {"subset": ListOf(Value("string")), "group": Value("string")}
    return ConfigPlan(
        name=name,
        features=features,
        splits=splits,
        title=design.title,
        description=design.description,
        notes={
            **_held(design, filling, made).note(),
            "groups": _groups(design.parts, filling),
            **design.notes,
            **_achieved(design.parts, filling),
            **_steps(design, column),
            "warnings": _warnings(name, design),
        },
    )


def _split(
    part: Part, filling: Filling, taken: Taken, rows: Rows, own_attribute: bool
) -> SplitPlan:
    values = pa.array(filling.values, pa.string())
    columns: dict[str, Any] = {"label": coded(taken.label)}
    if own_attribute:
        columns["attribute"] = values.take(pa.array(taken.value))
    names = pa.array(
        [
            group_name(filling.classes, filling.values, i, j)
            for i in range(len(filling.classes))
            for j in range(len(filling.values))
        ],
        pa.string(),
    )
    group = names.take(pa.array(taken.label * len(filling.values) + taken.value))
    columns["subset"] = pa.ListArray.from_arrays(
        pa.array(np.arange(len(group) + 1), pa.int32()), group
    )
    columns["group"] = group
    if part.role in UNLABELLED:  # a group would tell the class
        columns |= {n: pa.nulls(len(group), columns[n].type) for n in ("label", "subset", "group")}
    shifted = part.role in ("ood_test", "target_unlabeled")
    shift = "subpopulation" if shifted else "none"
    return split_plan(part.name, part.role, shift, rows, columns)


def _held(design: Design, filling: Filling, made: str) -> Held:
    by = (
        f"the attribute ({made}) is made on examples of each class that are drawn at random, by "
        "whole clusters, and which of them gets which value is random"
        if made
        else "each split takes examples of a cell at random, by whole clusters, in exact numbers"
    )
    return Held("P(y, a) P(x | y, a)", "P(x | y, a)", "P(y, a)", by)


def _groups(parts: Sequence[Part], filling: Filling) -> dict[str, dict[str, int]]:
    return {
        part.name: {
            group_name(filling.classes, filling.values, i, j): int(part.table[i, j])
            for i in range(len(filling.classes))
            for j in range(len(filling.values))
        }
        for part in parts
    }


def _achieved(parts: Sequence[Part], filling: Filling) -> dict[str, Any]:
    """Of the splits made: Cramér's V, P(a | y) of training, majorities and minorities."""
    tables = {part.name: part.table for part in parts}
    train = tables["train"]
    shares = _of_class(train)
    majority: dict[str, str] = {}
    minority: dict[str, float] = {}
    for i, name in enumerate(filling.classes):
        if not train[i].any():
            continue
        j = int(np.argmax(train[i]))
        rest = int(train[i].sum() - train[i, j])
        if train[i].max() > train[i].min():
            majority[name] = f"{filling.values[j]} {int(train[i, j])} against {rest}"
        minority[name] = round(rest / int(train[i].sum()), 6)
    return {
        "cramers_v": {n: round(v, 6) for n, t in tables.items() if np.isfinite(v := cramers_v(t))},
        "attribute_given_class": {
            c: {v: round(float(s), 6) for v, s in zip(filling.values, row, strict=True)}
            for c, row in zip(filling.classes, shares, strict=True)
        },
        "majority_against_minority": majority,
        "minority_share": minority,
    }


def _of_class(table: Counts) -> NDArray[np.float64]:
    return np.asarray(table / np.maximum(table.sum(axis=1, keepdims=True), 1))


def _steps(design: Design, column: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "shift_columns": list(dict.fromkeys([*filter(None, [column]), "attribute", "group"]))
    }
    if design.step is not None:
        change, parameter, unit = design.step
        found["steps"] = {
            part.name: {
                "change": change,
                "parameter": float(parameter),
                "unit": unit or None,
                "made": "exact",
                "unchanged": "id_test",
                "kinds": ["subpopulation", "covariate", "label"],
            }
            for part in design.parts
            if part.role == "ood_test"
        }
    return found


FAR_OFF = 0.05
"""A split whose Cramér's V differs by more from what was asked for is told of."""


def _warnings(name: str, design: Design) -> list[str]:
    """Splits too small to have the tie that was asked for."""
    asked = design.notes.get("cramers_v_asked")
    if asked is None:
        return []
    found = [(p, cramers_v(p.table)) for p in design.parts if p.role in ("train", "id_test")]
    return [
        f"{name}: {part.name} has {int(part.table.sum())} examples, too few for a Cramér's V of "
        f"{asked:g}: it is {tie:.3f}"
        for part, tie in found
        if not abs(tie - asked) <= FAR_OFF
    ]


def cell_counts(configs: Mapping[str, Design], filling: Filling) -> pa.Table:
    """The table `cell_counts`: what every split has of every cell."""
    rows = [
        (name, part.name, c, v, int(table[i, j]), table[i, j] / n, shares[i, j], tie)
        for name, design in configs.items()
        for part in design.parts
        for table in [part.table]
        for n, shares, tie in [(max(int(table.sum()), 1), _of_class(table), cramers_v(table))]
        for i, c in enumerate(filling.classes)
        for j, v in enumerate(filling.values)
    ]
    columns = list(zip(*rows, strict=True))
    arrays = [pa.array(c, f.type) for c, f in zip(columns, CELL_COUNTS, strict=True)]
    return pa.table(arrays, schema=CELL_COUNTS)


def config_names(designs: Sequence[Design]) -> dict[str, Design]:
    """Designs by the names of their configs."""
    return {slug(design.title): design for design in designs}
