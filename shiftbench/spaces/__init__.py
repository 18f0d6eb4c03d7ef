"""Feature spaces: what of an example is compared, one file a space.

The public names are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import Any

_MODULES: dict[str, tuple[str, ...]] = {
    "space": ("Fitted", "Space", "embed", "parse_space", "space_name"),
    "pixels": ("Pixels",),
    "spectrum": ("Spectrum",),
    "tabular": ("Tabular",),
    "text": ("Text",),
    "column": ("Column",),
    "torchvision": ("Torchvision",),
}

__all__ = sorted(name for names in _MODULES.values() for name in names)


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"shiftbench.spaces.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
