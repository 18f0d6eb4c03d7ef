"""Columns of a table as the format has them, and rows told apart: vectorised, for any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.schema import feature_of
from shiftbench.sources._tables import class_names, is_text

__all__ = ["as_names", "first_of_each", "mixed", "one_chunk", "plain_column", "rows_alike"]

Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]

MOST_BYTES = 2**31 - 2**20
"""Of text in one chunk; Arrow's usual strings are counted in 32 bits."""

NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
MOSTLY = 0.9


def one_chunk(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column in one piece: whoever takes rows of it then copies those rows alone."""
    if column.num_chunks == 1:
        return column
    if is_text(column.type) and column.nbytes > MOST_BYTES:
        column = column.cast(pa.large_string())
    whole = column.combine_chunks()
    return whole if isinstance(whole, pa.ChunkedArray) else pa.chunked_array([whole])


def plain_column(
    column: pa.ChunkedArray, feature: Any, missing: Sequence[str]
) -> pa.ChunkedArray | None:
    """A column of a type that the format has; None where its values are not plain.

    Class labels become their names, text is trimmed, and blank text, the texts `missing` and NaN
    become null.

    Parameters
    ----------
    feature
        What `datasets` notes of the column, as JSON.
    """
    names = class_names(feature)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    t = pa.types
    if names is not None and t.is_integer(kind):
        # −1 is how data sets say that there is no label.
        known = pc.and_(pc.greater_equal(column, 0), pc.less(column, len(names)))
        codes = pc.if_else(known, column, pa.scalar(None, kind))
        column = pc.take(pa.array(names, pa.string()), codes)
    elif t.is_null(kind) or t.is_time(kind):
        column = column.cast(pa.string())
    elif t.is_decimal(kind) or t.is_float16(kind):
        column = column.cast(pa.float64(), safe=False)
    elif t.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.timestamp("us"))
    elif t.is_date64(kind):
        column = column.cast(pa.date32())
    if is_text(column.type):
        column = _trimmed(column, missing)
    elif t.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    try:
        feature_of(column.type)
    except ConfigurationError:
        return None
    return one_chunk(column)


def _trimmed(column: pa.ChunkedArray, missing: Sequence[str]) -> pa.ChunkedArray:
    if pa.types.is_string_view(column.type):
        column = column.cast(pa.large_string())
    column = pc.utf8_trim_whitespace(column)
    absent = pc.is_in(column, pa.array(["", *missing], column.type))
    return pc.if_else(absent, pa.scalar(None, column.type), column)


def mixed(column: pa.ChunkedArray) -> list[str]:
    """The texts in a column of text that are no numbers, where nearly all others are.

    Examples
    --------
    >>> mixed(pa.chunked_array([["1", "2.5", None, "1e3", *"0123456789", "unknown"]]))
    ['unknown']
    >>> mixed(pa.chunked_array([["12", "12A", "13"]])), mixed(pa.chunked_array([["1", "2"]]))
    ([], [])
    """
    if not is_text(column.type):
        return []
    number = pc.match_substring_regex(column, NUMBER)
    n = pc.sum(number).as_py() or 0
    there = len(column) - column.null_count
    if n == there or n < MOSTLY * there:
        return []
    others = pc.unique(column.filter(pc.invert(number)))
    return sorted(v for v in others.to_pylist() if v is not None)


def as_names(column: pa.ChunkedArray, feature: Any, what: str) -> pa.ChunkedArray:
    """Ids or clusters as text, null where there is none.

    Raises
    ------
    ConfigurationError
        The column holds something else than text, whole numbers or class labels; `what` says whose
        it is.
    """
    named = plain_column(column, feature, ())
    if named is not None and pa.types.is_floating(named.type):
        # A column of whole numbers with a gap is one of real numbers in many a table.
        whole = pc.all(pc.equal(named, pc.floor(named))).as_py()
        if whole is not False and (pc.max(pc.abs(named)).as_py() or 0) < 2**53:
            named = named.cast(pa.int64())
    if named is not None and (pa.types.is_integer(named.type) or pa.types.is_date(named.type)):
        return one_chunk(named.cast(pa.string()))
    if named is None or not is_text(named.type):
        raise ConfigurationError(
            f"{what} is of type {column.type}; expected is text, a whole number or a ClassLabel"
        )
    return named


def first_of_each(names: pa.ChunkedArray) -> Mask:
    """Whether each row is the first with its name; nulls count as one name.

    Examples
    --------
    >>> first_of_each(pa.chunked_array([["a", "b", "a", "c", "b"]])).tolist()
    [True, True, False, True, False]
    """
    codes = _codes(names)
    # Codes are given in the order in which names are first met.
    before = np.maximum.accumulate(np.concatenate([[-1], codes[:-1]])) if len(codes) else codes
    return np.asarray(codes > before)


def _codes(column: pa.ChunkedArray) -> Codes:
    encoded = one_chunk(column).chunk(0).dictionary_encode("encode")
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def rows_alike(table: pa.Table) -> int:
    """How many rows are the same as an earlier one in every column.

    Rows are compared by 64 bits of hash: of ten million, two that differ are taken for the same
    with a probability below 10⁻⁵.

    Examples
    --------
    >>> rows_alike(pa.table({"a": [1, 1, 2, 1], "b": ["x", "x", "x", None]}))
    1
    """
    if not len(table) or not table.num_columns:
        return 0
    mixed_in = np.zeros(len(table), np.uint64)
    for i, column in enumerate(table.columns):
        mixed_in = _scattered(mixed_in ^ _scattered(_bits(column) + np.uint64(i)))
    mixed_in.sort()
    return int((mixed_in[1:] == mixed_in[:-1]).sum())


def _bits(column: pa.ChunkedArray) -> NDArray[np.uint64]:
    """64 bits that tell the values of a column apart, its nulls too."""
    t, kind = pa.types, column.type
    if t.is_list(kind) or t.is_large_list(kind):  # few tables have them
        column = pa.chunked_array([pa.array([repr(v) for v in column.to_pylist()], pa.string())])
    elif t.is_integer(kind) or t.is_floating(kind):
        whole = one_chunk(column).chunk(0) if len(column) else pa.array([], kind)
        values = pc.fill_null(whole, 0).to_numpy(zero_copy_only=False)
        if t.is_floating(kind):
            bits = values.astype(np.float64).view(np.uint64)
        else:
            bits = values.astype(np.int64 if t.is_signed_integer(kind) else np.uint64)
            bits = bits.view(np.uint64)
        absent = whole.is_null().to_numpy(zero_copy_only=False)
        return np.where(absent, np.uint64(0x9E3779B97F4A7C15), bits)
    return _codes(column).astype(np.uint64)


def _scattered(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea & Flood 2014): one bit changed changes half."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))
