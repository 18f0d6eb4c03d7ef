"""Functions on one example that shift it on purpose: changes of an acquisition, corruptions.

The public names are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import Any

_MODULES: dict[str, tuple[str, ...]] = {
    "step": ("Acquisition", "Pitch", "Step", "acquisition_named", "parse_step", "severities"),
    "apply": ("apply_step",),
    "corruption": (
        "Corruption",
        "CorruptionStep",
        "corruption_named",
        "corruption_severities",
        "corruptions_named",
        "parse_corruption",
    ),
    "corruptions": ("corrupt_boxes", "corrupt_image", "corrupt_mask"),
    "examples": ("AcquisitionChange",),
    "marks": ("mark_image", "value_names"),
    "tv": ("AcquisitionTransform",),
}

# What needs an extra can be asked for, and is not among the names that a star import loads.
__all__ = sorted(name for module, names in _MODULES.items() if module != "tv" for name in names)


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"shiftbench.transforms.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(name for names in _MODULES.values() for name in names)
