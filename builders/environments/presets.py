"""Designs by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["PRESETS"]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "digits_held_out_classes": {
        "source": {"name": "digits"},
        "environment": "",
        "held_out_classes": ("8", "9"),
    },
    "digits_fashion_omniglot": {
        "source": {"name": "together"},
        "environment": "dataset",
        "design": "given",
        "train_environments": ("digits",),
        "near": ("omniglot",),
        "far": ("fashion",),
        "local_labels": True,
    },
}
