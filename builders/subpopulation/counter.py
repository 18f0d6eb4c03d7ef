"""Common and counter contexts: where a given reference model is best and where it is worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.plan import ConfigPlan, SplitPlan
from shiftbench.schema import ClassLabel, Feature, ListOf, Value
from shiftbench.statistics import Estimate

from ..shared.assembly import Held, coded, split_plan
from ..shared.division import divide
from ..shared.labelled import CONTEXT, Labelled
from .counter_choice import Choice, choose
from .counter_drop import balanced_drop
from .counter_members import Members, members_of, rightness
from .counter_sides import Sides
from .counter_table import contexts_table, rounded

__all__ = ["counter_configs"]

Codes = NDArray[np.int64]

HALVES = ("choosing", "measuring")


def counter_configs(
    found: Labelled,
    seed: int,
    *,
    reference: str,
    attribute: str = CONTEXT,
    values: Sequence[str] = (),
    min_size: int = 20,
    train: float = 0.0,
    validation: float = 0.0,
    unusable: Literal["drop", "refuse"] = "drop",
) -> tuple[list[ConfigPlan], dict[str, pa.Table]]:
    """One config `counter`, and the table `counter_contexts` for `Plan.tables`.

    Which contexts a class is best and worst in is chosen on one half of the clusters; `id_test`
    (common contexts) and `ood_test` (counter contexts) are of the other half, on which the drop is
    measured too. A cluster with examples of both kinds goes to one of them, by the seed alone.

    Parameters
    ----------
    found : Labelled
    seed : int
    reference : str
        Column with the class that the reference model predicts, or whether it is right (true/false,
        or 0/1 in a column `correct`).
    attribute : str
        A column, or "context" for the contexts of the source.
    values : sequence of str
        Those of its values that may be chosen; by default all.
    min_size : int
        Examples of a class in a context that are needed on each half.
    train, validation : float
        Shares of the clusters for splits `train` and `validation`, common contexts only; what is
        left is halved, to choose on and to measure on.
    unusable : {"drop", "refuse"}
        What becomes of classes with fewer than two contexts of that size.

    Raises
    ------
    ConfigurationError
        Columns, contexts or values that are not there; no class with two contexts of `min_size`
        examples on each half (or, with "refuse", any class without).
    """
    if not reference:
        raise ConfigurationError(
            "common and counter contexts are those of a reference model; name the column with the "
            "class that it predicts, or with whether it is right, with --reference"
        )
    if min_size < 1 or min(train, validation) < 0 or not train + validation < 1:
        raise ConfigurationError(
            f"min_size is {min_size}, train {train:g} and validation {validation:g}; allowed: 1 "
            "and above, and shares that leave some of the clusters to choose and to measure on"
        )
    members = members_of(found, attribute, values)
    right = rightness(found, reference)
    parts = _parts(found, members, right, train, validation, seed)
    choosing, measuring = parts["choosing"], parts["measuring"]
    names = found.label.names
    codes = found.label.codes
    choices, left_out = choose(members, codes, right, choosing, measuring, min_size, names)
    sides = Sides.of(found, members, choices, seed)
    kept = [c for c in choices if sides.smallest(c, (choosing, measuring)) >= min_size]
    left_out |= {
        names[c.label]: f"fewer than {min_size} examples in {members.names[c.common]!r} or "
        f"{members.names[c.counter]!r} once clusters with both went to one of them"
        for c in choices
        if c not in kept
    }
    _check_usable(kept, left_out, unusable, min_size)
    halves = {name: sides.of_classes(parts[name], kept) for name in HALVES}
    drops = {
        name: balanced_drop(codes[rows], sides.counter[rows], right[rows], found.cluster[rows])
        for name, rows in halves.items()
    }
    told = attribute == CONTEXT and CONTEXT not in found.examples.column_names
    config = _config(found, members, kept, sides, parts, told)
    notes: dict[str, Any] = {
        **Held(
            "P(y, a) P(x | y, a)",
            "P(x | y, a)",
            "P(y, a): each class stands in its common context alone, or in its counter context",
            "exchangeable clusters: contexts are chosen on one half, all splits are of the others",
        ).note(),
        "groups": {s.name: _groups(s) for s in config.splits},
        "shift_columns": ["attribute" if told else attribute, "group", reference],
        "class_balanced_drop": {
            "measured": _told(drops["measuring"]),
            "on the half that it was chosen on": _told(drops["choosing"]),
            "regression to the mean": round(drops["choosing"].value - drops["measuring"].value, 6),
        },
        "classes_left_out": left_out,
        "examples_without_prediction": int((right < 0).sum()),
        "examples_of_clusters_in_both_contexts": sides.dropped,
        "warnings": _warnings(drops["measuring"]),
    }
    table = contexts_table(config.name, found, members, kept, sides, right, halves, drops)
    return [replace(config, notes=notes)], {"counter_contexts": table}


def _parts(
    found: Labelled, members: Members, right: Codes, train: float, validation: float, seed: int
) -> dict[str, Codes]:
    """Clusters of examples that have a context and a prediction, in four parts."""
    usable = np.zeros(len(found), bool)
    usable[members.example] = True
    rows = np.flatnonzero(usable & (right >= 0))
    if not len(rows):
        raise ConfigurationError("no example has both a context and a prediction of the reference")
    strata = found.label.codes
    if members.single:
        context = np.zeros(len(found), np.int64)
        context[members.example] = members.context
        strata = strata * len(members.names) + context
    half = (1 - train - validation) / 2
    shares = {"choosing": half, "measuring": half, "train": train, "validation": validation}
    return divide(found, shares, seed, "counter parts", rows=rows, strata=strata)


def _check_usable(
    kept: Sequence[Choice], left_out: Mapping[str, str], unusable: str, min_size: int
) -> None:
    if kept and not (left_out and unusable == "refuse"):
        return
    said = "; ".join(f"{n!r} ({why})" for n, why in list(left_out.items())[:5])
    more = f" … and {len(left_out) - 5} more" if len(left_out) > 5 else ""
    raise ConfigurationError(
        f"{'no class has' if not kept else f'{len(left_out)} classes do not have'} two contexts "
        f"with {min_size} examples on each half of the clusters: {said}{more}; lower --min-size, "
        "name other --values" + ("" if not kept else ', or drop such classes (unusable "drop")')
    )


def _config(
    found: Labelled,
    members: Members,
    kept: Sequence[Choice],
    sides: Sides,
    parts: Mapping[str, Codes],
    own_attribute: bool,
) -> ConfigPlan:
    labels = [c.label for c in kept]
    names = tuple(found.label.names[k] for k in labels)
    place = np.full(len(found.label.names), -1, np.int64)
    place[labels] = np.arange(len(labels))
    wanted = [
        ("train", "train", "none", "train", "common"),
        ("validation", "validation", "none", "validation", "common"),
        ("id_test", "id_test", "none", "measuring", "common"),
        ("ood_test", "ood_test", "subpopulation", "measuring", "counter"),
    ]
    features: dict[str, Feature] = {"label": ClassLabel(names)}
    if own_attribute:
        features["attribute"] = Value("string")
    features |= {"subset": ListOf(Value("string")), "group": Value("string")}
    splits = []
    for name, role, shift, part, side in wanted:
        rows = sides.rows(parts[part], side, labels)
        if not len(rows) and part in ("train", "validation"):
            continue
        codes = place[found.label.codes[rows]]
        chosen = [members.names[getattr(c, side)] for c in kept]
        groups = [f"{n}({context})" for n, context in zip(names, chosen, strict=True)]
        group = pa.array(groups, pa.string()).take(pa.array(codes))
        ends = pa.array(np.arange(len(rows) + 1), pa.int32())
        columns = {
            "label": coded(codes),
            "attribute": pa.array(chosen, pa.string()).take(pa.array(codes)),
            "subset": pa.ListArray.from_arrays(ends, group),
            "group": group,
        }
        splits.append(split_plan(name, role, shift, rows, {n: columns[n] for n in features}))
    return ConfigPlan(
        "counter",
        features,
        tuple(splits),
        title="counter",
        description=(
            f"{len(names)} classes, each in the context where the reference model is best "
            "(id_test) and where it is worst (ood_test), chosen on other clusters."
        ),
    )


def _groups(split: SplitPlan) -> dict[str, int]:
    return {e["values"].as_py(): e["counts"].as_py() for e in split.rows["group"].value_counts()}


def _told(estimate: Estimate) -> dict[str, Any]:
    return {
        "value": rounded(estimate.value),
        "low": rounded(estimate.low),
        "high": rounded(estimate.high),
    }


def _warnings(drop: Estimate) -> list[str]:
    if drop.low > 0:
        return []
    return [
        f"on the measuring half the reference model's class-balanced drop is {drop.value:.3f} "
        f"({drop.low:.3f} to {drop.high:.3f}): that counter contexts are harder is not shown"
    ]
