"""Distances between distributions and between subsets, one module a family.

The public names are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import Any

_MODULES: dict[str, tuple[str, ...]] = {
    "shift": ("Distance", "Shift"),
    "measured": ("measure",),
    "pairs": ("pairwise",),
    "sample_size": ("Power", "power"),
    "balance_table": ("balance",),
    "confounding": ("Audit", "audit"),
    "kinds": ("Profile", "profile"),
    "attributes": ("subpopulation_numbers",),
}

__all__ = sorted(name for names in _MODULES.values() for name in names)


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"shiftbench.distances.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
