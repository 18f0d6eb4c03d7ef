"""Columns of radiographs as text, as numbers and as codes, in which a null is a value of its own.

Columns that stay behind (locators, ids) are not there for any of this: a group made of them would
name files or people.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.schema import PRIVATE_COLUMNS

__all__ = ["Coded", "Rows", "coded", "need_column", "number_text", "numbers", "texts"]

Rows = NDArray[np.int64]
"""Row numbers of the table of radiographs, ascending."""

_NEVER = (*PRIVATE_COLUMNS, "example_id", "cluster_id")


@dataclass(frozen=True)
class Coded:
    """A number for each row's value: 0 where it is null, then 1, 2, … for the `names` in order."""

    codes: NDArray[np.int64]
    names: tuple[str, ...]


def need_column(radiographs: pa.Table, name: str, what: str) -> pa.ChunkedArray:
    """A public column of plain values.

    Raises
    ------
    ConfigurationError
        There is none of that name (the near ones are told), or it holds lists or bytes.
    """
    there = [c for c in radiographs.column_names if c not in _NEVER]
    if name not in there:
        raise ConfigurationError(
            f"{what} names the column {name!r}, which the source does not have; "
            f"{near_names(name, there)}"
        )
    column = radiographs[name]
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise ConfigurationError(
            f"{what} names the column {name!r}, which holds {kind}; allowed are text, numbers, "
            "dates and true/false"
        )
    return column


def number_text(value: float) -> str:
    """A number as a name: three digits that count, and whole numbers from 1000 on.

    Examples
    --------
    >>> number_text(0.16800001), number_text(2048), number_text(-0.0)
    ('0.168', '2048', '0')
    """
    return f"{value + 0.0:.3g}" if abs(value) < 999.5 else f"{value:.0f}"


def numbers(column: pa.ChunkedArray) -> NDArray[np.float64] | None:
    """The values with NaN for null; None where they are no numbers."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
        column = column.cast(kind)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return None
    filled = column.cast(pa.float64(), safe=False).to_numpy()
    return np.asarray(filled, dtype=np.float64) + 0.0


def texts(column: pa.ChunkedArray) -> list[str | None]:
    """The values as names; None for what is null, NaN or blank."""
    values = numbers(column)
    if values is not None:
        named = {v: number_text(v) for v in np.unique(values[~np.isnan(values)]).tolist()}
        return [named.get(v) for v in values.tolist()]
    folded = pc.utf8_trim_whitespace(column.cast(pa.string()))
    return [value or None for value in folded.to_pylist()]


def coded(values: list[str | None]) -> Coded:
    """Codes of names; the order of the rows does not change what a name's code is."""
    names = sorted({v for v in values if v is not None})
    code: dict[str | None, int] = {name: i for i, name in enumerate(names, 1)}
    return Coded(np.array([code.get(v, 0) for v in values], np.int64), tuple(names))
