"""shiftbench: benchmarks whose distribution shift is known, measured and stored with the data.

The public names are imported when first used, so that ``shiftbench --help`` stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from shiftbench.version import __version__

if TYPE_CHECKING:
    from shiftbench.benchmark import Benchmark, open
    from shiftbench.errors import ShiftbenchError
    from shiftbench.pipeline import build

_MODULES = (
    "builders",
    "sources",
    "transforms",
    "spaces",
    "distances",
    "evaluation",
    "statistics",
)
_NAMES = {
    "Benchmark": "shiftbench.benchmark",
    "open": "shiftbench.benchmark",
    "build": "shiftbench.pipeline",
    "ShiftbenchError": "shiftbench.errors",
}

__all__ = ["Benchmark", "ShiftbenchError", "__version__", "build", "open"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"shiftbench.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
