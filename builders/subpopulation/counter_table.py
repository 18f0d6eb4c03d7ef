"""The table `counter_contexts`: accuracies of the reference model in the contexts chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.statistics import Estimate

from ..shared.labelled import Labelled
from .counter_choice import Choice
from .counter_drop import accuracy_of, balanced_drop
from .counter_members import Members
from .counter_sides import Sides

__all__ = ["COUNTER_CONTEXTS", "contexts_table", "rounded"]

Codes = NDArray[np.int64]

COUNTER_CONTEXTS = pa.schema(
    [
        pa.field("config", pa.string(), nullable=False),
        pa.field("class", pa.string()),
        pa.field("common", pa.string()),
        pa.field("counter", pa.string()),
        pa.field("half", pa.string(), nullable=False),
        *(
            pa.field(name + end, pa.float64())
            for name in ("accuracy_common", "accuracy_counter", "drop")
            for end in ("", "_low", "_high")
        ),
        pa.field("n_common", pa.int64(), nullable=False),
        pa.field("n_counter", pa.int64(), nullable=False),
        pa.field("n_clusters", pa.int64(), nullable=False),
    ]
)
"""One row a class and half; class null: the mean over classes."""


def contexts_table(
    config: str,
    found: Labelled,
    members: Members,
    kept: Sequence[Choice],
    sides: Sides,
    right: Codes,
    halves: Mapping[str, Codes],
    drops: Mapping[str, Estimate],
) -> pa.Table:
    """Schema `COUNTER_CONTEXTS`."""
    rows: list[dict[str, Any]] = []
    for half, inside in halves.items():
        for choice in kept:
            mine = inside[found.label.codes[inside] == choice.label]
            row = _row(config, half, mine, sides, right, found.cluster)
            one = balanced_drop(
                found.label.codes[mine], sides.counter[mine], right[mine], found.cluster[mine]
            )
            for side in ("common", "counter"):
                some = mine[getattr(sides, side)[mine]]
                accuracy = accuracy_of(right[some], found.cluster[some])
                row |= _columns(f"accuracy_{side}", accuracy)
                row[side] = members.names[getattr(choice, side)]
            rows.append({**row, "class": found.label.names[choice.label], **_columns("drop", one)})
        row = _row(config, half, inside, sides, right, found.cluster)
        rows.append({**row, **_columns("drop", drops[half])})
    return pa.Table.from_pylist(rows, schema=COUNTER_CONTEXTS)


def _row(
    config: str, half: str, rows: Codes, sides: Sides, right: Codes, cluster: Codes
) -> dict[str, Any]:
    counter = int(sides.counter[rows].sum())
    return {
        "config": config,
        "half": half,
        "n_common": len(rows) - counter,
        "n_counter": counter,
        "n_clusters": len(np.unique(cluster[rows])),
    }


def _columns(name: str, estimate: Estimate) -> dict[str, float | None]:
    return {
        name: round(estimate.value, 9),
        f"{name}_low": rounded(estimate.low),
        f"{name}_high": rounded(estimate.high),
    }


def rounded(value: float) -> float | None:
    """To nine digits, so that the last bits of a machine do not count; None for nan."""
    return None if np.isnan(value) else round(value, 9)
