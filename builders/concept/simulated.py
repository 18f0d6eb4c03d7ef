"""Simulated tables: a config for each cell of the grid, and the truth beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from shiftbench.errors import ConfigurationError
from shiftbench.plan import ConfigPlan
from shiftbench.schema import ClassLabel, unique_slugs
from shiftbench.statistics import Estimate
from shiftbench.statistics.proportions import share

from ..shared.assembly import Held, coded, split_plan
from ..shared.categories import categories, numbers
from ..shared.division import divide
from ..shared.labelled import Labelled
from .counting import class_counts
from .made import Shares

__all__ = ["TRUTH", "simulated_configs"]

TRUTH = pa.schema(
    [
        pa.field("config", pa.string(), nullable=False),
        pa.field("quantity", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("error", pa.float64()),
        pa.field("measured", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
    ]
)
"""`error` bounds the value's own numerical error; `measured` is the same on the splits, where
counting gives it."""

NEEDED = ("cell", "delta", "gamma", "omitted", "group")
KNOBS = ("delta", "gamma", "omitted")


def simulated_configs(
    found: Labelled, shares: Shares, seed: int
) -> tuple[tuple[ConfigPlan, ...], pa.Table]:
    """A config a cell: training, validation and id_test from the source, ood_test from the target.

    Raises
    ------
    ConfigurationError
        The source is not that of simulated tables.
    """
    absent = [c for c in NEEDED if c not in found.examples.column_names]
    if absent:
        raise ConfigurationError(
            f"design 'simulated' reads the columns {', '.join(NEEDED)} of the source "
            f"simulated_tables, and this source has no {absent[0]!r}"
        )
    # One cell alone is a grid too; a group alone is not.
    cells, groups = categories(found.examples, "cell", "cell"), found.categories("group", "group")
    slugs = unique_slugs(cells.names)
    truth: Mapping[str, Mapping[str, float]] = found.metadata.notes.get("truth", {})
    configs, lines = [], []
    for code, cell in enumerate(cells.names):
        rows = np.flatnonzero(cells.codes == code)
        of = {g: rows[groups.codes[rows] == groups.code(g, "group")] for g in ("source", "target")}
        first = {k: float(numbers(found.examples, k, k)[rows[0]]) for k in KNOBS}
        config = _config(found, slugs[cell], cell, of, first, shares, seed)
        configs.append(config)
        lines += _truth(config, truth.get(cell, {}))
    return tuple(configs), pa.Table.from_pylist(lines, schema=TRUTH)


def _config(
    found: Labelled,
    name: str,
    cell: str,
    of: Mapping[str, np.ndarray[Any, np.dtype[np.int64]]],
    knobs: Mapping[str, float],
    shares: Shares,
    seed: int,
) -> ConfigPlan:
    sizes = {"id_test": shares.test, "validation": shares.validation}
    sizes["train"] = 1 - sum(sizes.values())
    parts = divide(found, sizes, seed, f"concept simulated {cell}", rows=of["source"])
    rest = {"target_unlabeled": shares.unlabeled, "ood_test": 1 - shares.unlabeled}
    parts |= divide(found, rest, seed, f"concept simulated {cell}", rows=of["target"])
    confounded = bool(knobs["omitted"]) and "u" not in found.metadata.columns
    changed = _changed(knobs, confounded)
    kind = "concept" if "P(y | x)" in changed else "covariate" if changed else "none"
    splits = []
    for role in ("train", "validation", "id_test", "target_unlabeled", "ood_test"):
        rows = parts[role]
        if not len(rows):
            continue
        unlabeled = role == "target_unlabeled"
        label = pa.nulls(len(rows), pa.int64()) if unlabeled else coded(found.label.codes[rows])
        shift = kind if role in ("target_unlabeled", "ood_test") else "none"
        splits.append(split_plan(role, role, shift, rows, {"label": label}))
    return ConfigPlan(
        name=name,
        features={"label": ClassLabel(found.label.names)},
        splits=tuple(splits),
        title=cell,
        description=f"Simulated table: {', '.join(f'{k} {v:g}' for k, v in knobs.items())}.",
        notes={
            **_held(knobs, confounded).note(),
            "groups": {s.name: class_counts(s, found.label.names) for s in splits},
            "shift_columns": [
                *("cell", *KNOBS, "group"),
                *(found.metadata.columns if "P(x)" in changed else ()),
            ],
            "knobs": dict(knobs),
        },
    )


def _changed(knobs: Mapping[str, float], confounded: bool) -> list[str]:
    """Which of the factors differ; a confounder that is left out makes a shift of x one of y."""
    concept = knobs["gamma"] or (confounded and knobs["delta"])
    return [n for n, moved in (("P(x)", knobs["delta"]), ("P(y | x)", concept)) if moved]


def _held(knobs: Mapping[str, float], confounded: bool) -> Held:
    changed = _changed(knobs, confounded)
    fixed = [name for name in ("P(x)", "P(y | x)") if name not in changed]
    by = "drawn anew by the formula of the source simulated_tables, in which delta moves P(x) and "
    by += "gamma P(y | x)"
    if confounded:
        by += "; a confounder of X and Y is left out, by which delta moves P(y | x) as well"
    return Held("P(x) P(y | x)", " and ".join(fixed), " and ".join(changed), by)


def _truth(config: ConfigPlan, truth: Mapping[str, float]) -> list[dict[str, Any]]:
    counted = _counted(config)
    lines = []
    for quantity in [q for q in truth if q != "error"]:
        found = counted.get(quantity)
        lines.append(
            {
                "config": config.name,
                "quantity": quantity,
                "value": truth[quantity],
                "error": truth.get("error"),
                "measured": None if found is None else found.value,
                "low": None if found is None else found.low,
                "high": None if found is None else found.high,
            }
        )
    return lines


def _counted(plan: ConfigPlan) -> dict[str, Estimate]:
    """Shares of the second class, as far as the splits tell."""
    found = {}
    for split in plan.splits:
        if split.name in ("id_test", "ood_test"):
            side = "source" if split.name == "id_test" else "target"
            found[f"rate_{side}"] = share(split.rows["label"].to_numpy() == 1)
    return found
