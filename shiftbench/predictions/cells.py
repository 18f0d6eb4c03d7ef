"""The columns of a prediction file, and their cells as Arrow arrays of one type each."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shiftbench.errors import SourceError

__all__ = [
    "EXACT",
    "KEYS",
    "MISSING",
    "NUMBERS",
    "TEXT_KEYS",
    "VALUES",
    "WHOLE_KEYS",
    "canonical",
    "floats",
    "is_list",
    "is_text",
    "refuse_lost",
]

TEXT_KEYS = ("config", "split", "model", "digest")
WHOLE_KEYS = ("seed", "epoch")
KEYS = ("example_id", *TEXT_KEYS, *WHOLE_KEYS)
NUMBERS = ("score", "value")
VALUES = ("prediction", "probabilities", *NUMBERS)

MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "<NA>"})
"""Words that stand for no value where a number is expected."""


EXACT = 2.0**53
"""From here on float64 does not hold every whole number."""
SAFE_DIGITS = 15
"""Decimal numbers of so many digits that differ do not become one float64."""
WHOLE = re.compile(r"\s*[+-]?(\d{16,})(\.0*)?\s*")


def canonical(name: str, array: Any, shown: str) -> pa.Array:
    """A column in the one type that the join works with.

    Text keys become dictionaries, ids large strings, seed and epoch int64, score and value
    float64, probabilities lists of floats. Predictions stay names, whole numbers or lists of them.

    Raises
    ------
    SourceError
        A cell is not what the column should hold.
    """
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if name == "example_id":
        return _ids(array, shown)
    if name in TEXT_KEYS:
        return _text(array, name, shown)
    if name in WHOLE_KEYS:
        return _whole(_plain(array), name, shown)
    if name in NUMBERS:
        return _numbers(_plain(array), name, shown)
    if name == "probabilities":
        return _lists(_plain(array), shown)
    return _classes(array, shown)


def _plain(array: pa.Array) -> pa.Array:
    """Dictionaries and views of strings as what they stand for."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string_view(array.type):
        return array.cast(pa.large_string())
    return array


def is_text(kind: pa.DataType) -> bool:
    """Whether cells are strings, views of them left out."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_list(kind: pa.DataType) -> bool:
    """Whether cells are lists, of whichever of Arrow's forms."""
    t = pa.types
    return bool(t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind))


def _ids(array: pa.Array, shown: str) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if pa.types.is_null(kind):
        array = array.cast(pa.string())
    elif not (is_text(kind) or pa.types.is_string_view(kind) or pa.types.is_integer(kind)):
        raise SourceError(
            f"{shown}: the column 'example_id' holds {kind}; write the ids as text, as the "
            "benchmark has them"
        )
    if array.null_count:
        at = int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
        raise SourceError(
            f"{shown}: {array.null_count} rows of a batch of {len(array)} have no example_id (the "
            f"first is row {at} of the batch); every row names an example"
        )
    return array.cast(pa.large_string())


def _text(array: pa.Array, name: str, shown: str) -> pa.Array:
    kind = array.type
    if pa.types.is_dictionary(kind):
        return array
    if is_list(kind) or pa.types.is_struct(kind):
        raise SourceError(f"{shown}: the column {name!r} holds {kind}; text was expected")
    return array.cast(pa.string()).dictionary_encode()


def _whole(array: pa.Array, name: str, shown: str) -> pa.Array:
    """Seeds and epochs: whole numbers or nothing."""
    try:
        if is_text(array.type):
            array = pc.if_else(_is_missing(array), None, pc.utf8_trim_whitespace(array))
            # pandas writes whole numbers as 0.0 once a column has a missing one.
            array = pc.replace_substring_regex(array, r"\.0+$", "")
        if pa.types.is_floating(array.type):
            array = pc.if_else(pc.is_nan(array), None, array)
        return array.cast(pa.int64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SourceError(
            f"{shown}: the column {name!r} holds something that is no whole number of 64 bits: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error


def _is_missing(array: pa.Array) -> pa.Array:
    return pc.is_in(array, pa.array(sorted(MISSING), array.type))


def _numbers(array: pa.Array, name: str, shown: str) -> pa.Array:
    try:
        if is_text(array.type):
            array = pc.if_else(_is_missing(array), None, pc.utf8_trim_whitespace(array))
        elif pa.types.is_boolean(array.type):
            array = array.cast(pa.int8())
        found = array.cast(pa.float64(), safe=not pa.types.is_integer(array.type))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SourceError(
            f"{shown}: the column {name!r} holds something that is no number: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
    if name == "score":
        _check_exact(array, found, shown)
    return found


def _check_exact(array: pa.Array, found: pa.Array, shown: str) -> None:
    """Refuse scores that differ and would become one float64: they would silently be ties."""
    kind = array.type
    doubtful = pc.fill_null(pc.greater_equal(pc.abs(found), EXACT), False)
    if pa.types.is_decimal(kind):
        if kind.precision - max(0, -kind.scale) > SAFE_DIGITS:
            refuse_lost(array.drop_null().to_pylist(), shown)
    elif is_text(kind):
        if pc.any(doubtful).as_py():
            refuse_lost(array.filter(doubtful).to_pylist(), shown)
    elif pa.types.is_integer(kind) and kind.bit_width == 64 and pc.any(doubtful).as_py():
        # Whole numbers of 64 bits are exact: unlike text they are no rounded float64.
        cells = array.filter(doubtful).to_pylist()
        _refuse([cell for cell in cells if cell != int(float(cell))], shown)


def refuse_lost(cells: Sequence[Any], shown: str) -> None:
    """Refuse scores that float64 does not hold, so that two that differ could become a tie.

    Whole numbers are looked at, in text too, and decimals. One that is just how a float64 is
    written out, exactly or in its fewest digits, is that float64.

    Raises
    ------
    SourceError
        Says how many, and the first.
    """
    _refuse([cell for cell in cells if _is_lost(cell)], shown)


def _refuse(lost: Sequence[Any], shown: str) -> None:
    if lost:
        raise SourceError(
            f"{shown}: {len(lost)} values of the column 'score' do not fit into float64 without "
            f"loss (the first is {str(lost[0])[:60]}), and ranks could change; rescale them, or "
            "round them to float64 yourself"
        )


def _is_lost(cell: Any) -> bool:
    if isinstance(cell, str):
        whole = WHOLE.fullmatch(cell)
        if not whole:
            return False
        cell = Decimal(whole[1])
    if isinstance(cell, bool | float):
        return False
    exact = Decimal(cell)
    number = float(exact)
    if math.isinf(number):
        return True
    return exact not in (Decimal(number), Decimal(repr(number)), Decimal(f"{number:.17g}"))


def _lists(array: pa.Array, shown: str) -> pa.Array:
    """Probabilities as lists of float32 or float64, null where a cell is empty."""
    if is_text(array.type):
        return _json_lists(array, shown)
    if pa.types.is_null(array.type):
        return array.cast(pa.list_(pa.float64()))
    inner = array.type.value_type if is_list(array.type) else None
    if inner is None or not (pa.types.is_floating(inner) or pa.types.is_integer(inner)):
        raise SourceError(
            f"{shown}: the column 'probabilities' holds {array.type}; a list of one number a class "
            "was expected"
        )
    small = pa.types.is_float32(inner) or pa.types.is_float16(inner)
    return array.cast(pa.large_list(pa.float32() if small else pa.float64()))


_decode_row = msgspec.json.Decoder(list[float])
_decode_rows = msgspec.json.Decoder(list[list[float]])


def _json_lists(array: pa.Array, shown: str) -> pa.Array:
    cells = [None if c is None or c.strip() in MISSING else c for c in array.to_pylist()]
    try:
        rows = _decode_rows.decode("[" + ",".join(c for c in cells if c is not None) + "]")
    except msgspec.MsgspecError:
        rows = None
    given = len(cells) - cells.count(None)
    if rows is None or len(rows) != given:  # a cell such as "[1],[0]" would be two rows
        for cell in cells:
            try:
                _ = cell is None or _decode_row.decode(cell)
            except msgspec.MsgspecError as error:
                raise SourceError(
                    f"{shown}: probabilities {str(cell)[:60]!r} are no JSON list of numbers such "
                    f"as [0.25, 0.75]: {error}"
                ) from None
        rows = [_decode_row.decode(c) for c in cells if c is not None]
    found = iter(rows)
    return pa.array(
        [None if c is None else next(found) for c in cells], pa.large_list(pa.float64())
    )


def _classes(array: pa.Array, shown: str) -> pa.Array:
    """Predictions: names or whole numbers, one or a list of them a cell."""
    if pa.types.is_dictionary(array.type):
        if is_text(array.type.value_type):
            return array
        array = array.dictionary_decode()
    kind = array.type
    if is_list(kind):
        inner = _classes(array.flatten(), shown)
        if pa.types.is_dictionary(inner.type):
            inner = inner.dictionary_decode()
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int64())
        mask = array.is_null() if array.null_count else None
        return pa.LargeListArray.from_arrays(offsets, inner, mask=mask)
    if pa.types.is_boolean(kind):
        return pc.if_else(array, "True", "False")
    if is_text(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind):
        return array.cast(pa.string())
    try:
        if pa.types.is_floating(kind):
            array = pc.if_else(pc.is_nan(array), None, array)
        if pa.types.is_floating(kind) or pa.types.is_integer(kind):
            return array.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise SourceError(
            f"{shown}: the column 'prediction' holds a number that is no class: "
            f"{' '.join(str(error).split())[:200]}; the predicted class goes there by name or "
            "index, a regression's number into `value`, an OOD score into `score`"
        ) from error
    raise SourceError(
        f"{shown}: the column 'prediction' holds {kind}; names or indices of classes were expected"
    )


def floats(cells: Sequence[Any], name: str, shown: str) -> pa.Array:
    """Numbers of a JSON file, where infinity and nothing come in several spellings."""
    try:
        return pa.array(cells, pa.float64())
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        made = [_float(c, name, shown) for c in cells]
    if name == "score":
        pairs = zip(cells, made, strict=True)
        refuse_lost([c for c, v in pairs if v is not None and abs(v) >= EXACT], shown)
    return pa.array(made, pa.float64())


def _float(cell: Any, name: str, shown: str) -> float | None:
    if cell is None or (isinstance(cell, str) and cell.strip() in MISSING):
        return None
    try:
        if not isinstance(cell, bool | int | float | str):
            raise TypeError
        return float(cell)
    except OverflowError:  # a whole number beyond what a float can hold
        return math.inf if cell > 0 else -math.inf
    except (TypeError, ValueError):
        raise SourceError(
            f"{shown}: the column {name!r} holds {str(cell)[:60]!r}, which is no number"
        ) from None
