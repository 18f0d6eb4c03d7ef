"""The columns of results and curves, and values as JSON can have them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["CURVES", "PROTOCOL", "RESULTS", "SELECTION", "plain"]

PROTOCOL = "shiftbench-results/1"
"""The version of what the names of the metrics and columns mean."""

_WHOSE = [
    pa.field("model", pa.string()),
    pa.field("seed", pa.int64()),
    pa.field("epoch", pa.int64()),
    pa.field("config", pa.string()),
]

RESULTS = pa.schema(
    [
        *_WHOSE,
        pa.field("split", pa.string()),
        pa.field("subset", pa.string()),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("positive", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("level", pa.float64()),
        pa.field("method", pa.string()),
        pa.field("p_value", pa.float64()),
        pa.field("compared_to", pa.string()),
        pa.field("n", pa.int64()),
        pa.field("n_id", pa.int64()),
        pa.field("n_ood", pa.int64()),
        pa.field("n_clusters", pa.int64()),
        pa.field("spread", pa.string()),
        pa.field("n_seeds", pa.int64()),
        pa.field("parameters", pa.string()),
        pa.field("digest", pa.string()),
        pa.field("protocol", pa.string(), nullable=False),
    ]
)
"""One number a row. What cannot be told is null, never NaN; `parameters` is JSON."""

CURVES = pa.schema(
    [
        *_WHOSE,
        pa.field("curve", pa.string(), nullable=False),
        pa.field("series", pa.string()),
        pa.field("x_name", pa.string()),
        pa.field("y_name", pa.string()),
        pa.field("x", pa.float64()),
        pa.field("y", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("n", pa.int64()),
        pa.field("parameters", pa.string()),
        pa.field("digest", pa.string()),
        pa.field("protocol", pa.string(), nullable=False),
    ]
)
"""One point of a curve a row."""

SELECTION = ("rule", "search_space", "trials", "training_saw", "pretraining", "seeds")
"""How a model was selected: what a result states, or is marked as not stating."""


def plain(value: Any) -> Any:
    """As JSON can have it: nothing for NaN, a word for infinity, no numpy."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
