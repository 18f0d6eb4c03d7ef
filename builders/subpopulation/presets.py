"""Settings of `Subpopulations` by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .table_text import published

__all__ = ["PRESETS"]

_TIES = ("cells_1", "cells_2", "cells_3", "cells_4")

_COLOURED: Mapping[str, Any] = {"source": {"name": "digits"}, "make": "colour"}

_PARITY = ("even=0+2+4+6+8", "odd=1+3+5+7+9")


def _tables(*names: str) -> dict[str, Any]:
    """Published training tables, scaled to what the source has where it has less."""
    return {"cells": tuple(f"{name}:{published()[name]}" for name in names), "fit": True}


def _presets() -> dict[str, Mapping[str, Any]]:
    levels = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95)
    return {
        **{name: _tables(name) for name in published()},
        "cells": _tables(*_TIES),
        "colored_digits": {**_COLOURED, "classes": _PARITY, "levels": levels},
        "colored_digits_cells": {**_COLOURED, "classes": _PARITY, **_tables(*_TIES)},
        "colored_ten_digits": {**_COLOURED, "levels": levels},
    }


PRESETS: Mapping[str, Mapping[str, Any]] = _presets()
"""`cells_1` … `cells_4`, `cells` (all four), `waterbirds`, `pacs`: published tables for any source
with two classes and an attribute. The others have their source."""
