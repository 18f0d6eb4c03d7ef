"""Where examples come from: one file a format. Names are imported when first used."""

from __future__ import annotations

from typing import Any

from shiftbench.registry import SOURCES, load

_NAMES = {target.partition(":")[2]: target for target in SOURCES.values()}

__all__ = sorted(_NAMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return load(_NAMES[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
