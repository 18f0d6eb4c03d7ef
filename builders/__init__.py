"""One folder a benchmark family. Names are imported when first used."""

from __future__ import annotations

from typing import Any

from shiftbench.registry import builders, load

_PARTS = {
    "DomainGeneralization": "shiftbench.builders.metashift.tasks:DomainGeneralization",
    "SubpopulationShift": "shiftbench.builders.metashift.tasks:SubpopulationShift",
}


def _names() -> dict[str, str]:
    return {target.partition(":")[2]: target for target in builders().values()} | _PARTS


def __getattr__(name: str) -> Any:
    names = _names()
    if name in names:
        return load(names[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(_names())
