"""Splits and configs from rows and columns, and what every builder's card and recipe say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.resources import files
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.plan import SplitPlan
from shiftbench.schema import Checks

__all__ = [
    "AS_THEY_ARE",
    "Held",
    "card_text",
    "check_texts",
    "coded",
    "options_of",
    "split_plan",
]

AS_THEY_ARE = (*Checks.modes, "I;16")
"""Pixel modes of a builder that writes images as they come, patches of radiographs among them."""


@dataclass(frozen=True)
class Held:
    """What a shift changes and what it holds fixed: a config's notes have it.

    Parameters
    ----------
    factorisation : str
        E.g. "P(x) P(y|x)".
    fixed, changed : str
        Of its factors; "" where nothing is held fixed.
    by : str
        How, in words: what makes it so.
    """

    factorisation: str
    fixed: str
    changed: str
    by: str

    def note(self) -> dict[str, dict[str, str]]:
        """For `ConfigPlan.notes`."""
        return {
            "held": {
                "factorisation": self.factorisation,
                "fixed": self.fixed,
                "changed": self.changed,
                "by": self.by,
            }
        }


def coded(codes: NDArray[np.int64]) -> pa.Array:
    """Class codes as a column; −1 becomes null."""
    return pa.array(codes, pa.int64(), mask=codes < 0)


def split_plan(
    name: str,
    role: str,
    shift: str,
    rows: NDArray[np.int64],
    columns: Mapping[str, Any],
    *,
    flag: str = "accept",
    title: str = "",
) -> SplitPlan:
    """A split of some rows in any order.

    Parameters
    ----------
    rows : (n,) int64 array
        Of the plan's examples, each once.
    columns : mapping
        The split's own columns (label, subset, …): arrays of n values in the order of `rows`.
    """
    order = np.argsort(rows, kind="stable")
    made: dict[str, Any] = {"example": pa.array(rows[order], pa.int64())}
    at = pa.array(order)
    for column, values in columns.items():
        array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
        made[column] = array.take(at)
    return SplitPlan(name, role, shift, flag, pa.table(made), title or name)


def options_of(builder: Any) -> dict[str, Any]:
    """A builder's options without its source, as plain values: its `recipe`."""
    options = {
        f.name: msgspec.to_builtins(getattr(builder, f.name))
        for f in fields(builder)
        if f.name != "source"
    }
    return {k: v for k, v in options.items() if v is not None}


def card_text(family: str) -> str:
    """The file card.md of a builder's folder."""
    return files(f"shiftbench.builders.{family}").joinpath("card.md").read_text("utf-8")


def check_texts(builder: Any, *names: str) -> None:
    """Make lists of texts tuples, and refuse a text where a list is meant.

    Raises
    ------
    ConfigurationError
        An option is one text.
    """
    for name in names:
        value: Sequence[str] | str | None = getattr(builder, name)
        if isinstance(value, str):
            raise ConfigurationError(f"{name} is the text {value!r}; give a list of texts")
        if value is not None:
            object.__setattr__(builder, name, tuple(dict.fromkeys(value)))
