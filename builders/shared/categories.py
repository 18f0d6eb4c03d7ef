"""Columns of any plain kind as codes of named values, and as numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.schema import PRIVATE_COLUMNS

__all__ = ["Categories", "categories", "column_named", "numbers"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

MAX_CATEGORIES = 1000

_NEVER = (*PRIVATE_COLUMNS, "example_id")


@dataclass(frozen=True, eq=False)
class Categories:
    """A code for each row: −1 where the value is missing, else its place in `names`.

    Attributes
    ----------
    codes : (n,) int64 array
    names : tuple of str
        Whole numbers in order of size, other values in order of their text.
    """

    codes: Codes
    names: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each name."""
        n = np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))
        return dict(zip(self.names, n.tolist(), strict=True))

    def take(self, rows: Codes) -> Categories:
        """Those of some rows; the names stay."""
        return Categories(self.codes[rows], self.names)

    def code(self, name: str, what: str) -> int:
        """The code of a name.

        Raises
        ------
        ConfigurationError
            There is none such; `what` says who asked, and the near names are told.
        """
        if name not in self.names:
            raise ConfigurationError(
                f"{what} names the value {name!r}, which no example has; "
                f"{near_names(name, self.names)}"
            )
        return self.names.index(name)


def column_named(examples: pa.Table, name: str, what: str) -> pa.ChunkedArray:
    """A public column of plain values, dictionaries read as their values.

    Raises
    ------
    ConfigurationError
        There is none of that name, or it holds lists or bytes.

    Examples
    --------
    >>> column_named(pa.table({"age": [3]}), "agee", "attribute")
    Traceback (most recent call last):
    shiftbench.errors.ConfigurationError: attribute names the column 'agee', which the source does \
not have; did you mean 'age'?
    """
    there = [c for c in examples.column_names if c not in _NEVER]
    if name not in there:
        raise ConfigurationError(
            f"{what} names the column {name!r}, which the source does not have; "
            f"{near_names(name, there)}"
        )
    column = examples[name]
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise ConfigurationError(
            f"{what} names the column {name!r}, which holds {kind}; allowed are text, numbers, "
            "dates and true/false"
        )
    return column


def categories(examples: pa.Table, name: str, what: str) -> Categories:
    """A column as codes; blank text and NaN are missing.

    Parameters
    ----------
    examples : pa.Table
    name : str
    what : str
        The option that asks, for messages.

    Raises
    ------
    ConfigurationError
        No such column, real numbers, or more values than classes or groups can have.

    Examples
    --------
    >>> found = categories(pa.table({"site": ["b", "a", None, "b "]}), "site", "by")
    >>> found.names, found.codes.tolist()
    (('a', 'b'), [1, 0, -1, 1])
    """
    column = column_named(examples, name, what)
    kind = column.type
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        column = _whole(column, name, what)
        kind = column.type
    if pa.types.is_boolean(kind):
        column = pc.if_else(column, "true", "false")
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = pc.utf8_trim_whitespace(column.cast(pa.large_string()))
        column = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.large_string()), column)
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    values = encoded.dictionary.to_pylist()
    if len(values) > MAX_CATEGORIES:
        raise ConfigurationError(
            f"{what} names the column {name!r}, which has {len(values)} different values; at most "
            f"{MAX_CATEGORIES} can be told apart as classes or groups; name another column, or "
            "join values beforehand"
        )
    order = sorted(range(len(values)), key=values.__getitem__)
    place = np.empty(len(values) + 1, np.int64)
    place[order] = np.arange(len(order))
    place[-1] = -1
    codes = place[pc.fill_null(encoded.indices, len(values)).to_numpy(zero_copy_only=False)]
    return Categories(codes.astype(np.int64), tuple(str(values[i]) for i in order))


def _whole(column: pa.ChunkedArray, name: str, what: str) -> pa.ChunkedArray:
    values = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)
    missing = np.isnan(values)
    if not np.all(np.mod(values[~missing], 1) == 0):
        raise ConfigurationError(
            f"{what} names the column {name!r}, which holds real numbers; classes and groups are "
            "text, whole numbers or true/false; cut it into ranges beforehand"
        )
    whole = np.where(missing, 0, values).astype(np.int64)
    return pa.chunked_array([pa.array(whole, mask=missing)])


def numbers(examples: pa.Table, name: str, what: str) -> Floats:
    """A column of numbers or dates as float64, NaN where missing or infinite.

    Raises
    ------
    ConfigurationError
        No such column, or it holds something else.

    Examples
    --------
    >>> numbers(pa.table({"age": [3, None]}), "age", "feature").tolist()
    [3.0, nan]
    """
    column = column_named(examples, name, what)
    kind = column.type
    if pa.types.is_temporal(kind):
        column = column.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
        kind = column.type
    t = pa.types
    if not (t.is_integer(kind) or t.is_floating(kind) or t.is_decimal(kind) or t.is_boolean(kind)):
        raise ConfigurationError(
            f"{what} names the column {name!r}, which holds {kind}; numbers are needed"
        )
    values = np.array(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)
    values[~np.isfinite(values)] = np.nan
    return values


def need_varying(found: Categories, name: str, what: str, least: int = 2) -> None:
    """Refuse a column in which fewer than so many values occur.

    Raises
    ------
    ConfigurationError
        With the values that there are.
    """
    there = [n for n, k in found.counts.items() if k]
    if len(there) < least:
        only: Iterable[str] = map(repr, there)
        raise ConfigurationError(
            f"{what} names the column {name!r}, in which every example has "
            f"{'no value' if not there else 'the value ' + ', '.join(only)}; at least {least} "
            "different values are needed"
        )
