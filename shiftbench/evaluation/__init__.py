"""Grading: numbers in, numbers out. Plain arrays, any framework, every value with its interval."""

from __future__ import annotations

import importlib
from typing import Any

_NAMES: dict[str, str] = {}
"""Public name → module of this folder that has it; imported when first used."""

__all__: list[str] = []


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"shiftbench.evaluation.{_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_NAMES)
