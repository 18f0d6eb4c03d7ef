"""JSON objects member by member: typed decoding, with repeated keys and damage told exactly."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from shiftbench.errors import SourceError

__all__ = ["DECODE_ERRORS", "decode", "json_error", "members", "repeated_keys"]

T = TypeVar("T")

DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_KEY = re.compile(rb'[\s,{]*("(?:[^"\\]|\\.)*")\s*:\s*', re.DOTALL)


def json_error(path: str, data: bytes, error: Exception) -> SourceError:
    """What a decoder found wrong, with the byte and the line."""
    text = str(error)
    if "truncated" in text:
        line = data.count(b"\n") + 1
        return SourceError(
            f"{path}: the JSON is cut short: it ends at byte {len(data)} (line {line}) inside a "
            "value; download or copy the file again"
        )
    at = re.search(r"byte (\d+)", text)
    if at:
        line = data.count(b"\n", 0, int(at[1])) + 1
        return SourceError(f"{path}: not JSON (line {line}): {text}")
    return SourceError(f"{path}: not in the expected form: {text}")


def decode(path: str, data: bytes, kind: type[T]) -> T:
    """Decode a whole file into a type.

    Raises
    ------
    SourceError
        Damaged JSON or another shape, with the place.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except DECODE_ERRORS as e:
        raise json_error(path, data, e) from e


def members(data: bytes | msgspec.Raw) -> tuple[dict[str, msgspec.Raw], list[str]]:
    """The members of a JSON object, undecoded, and the keys that occur more than once.

    Of a repeated key the last value stands, as everywhere in Python.

    Raises
    ------
    msgspec.DecodeError
        Damaged JSON, or not an object.

    Examples
    --------
    >>> found, repeated = members(b'{"a": 1, "b": [2], "a": 3}')
    >>> {k: bytes(v) for k, v in found.items()}, repeated
    ({'a': b'3', 'b': b'[2]'}, ['a'])
    """
    found: dict[str, msgspec.Raw] = _RAW.decode(data)
    n = len(found)
    if not n:
        return found, []
    # Where the text is as long as its distinct members need in the closest style, there is no room
    # for a repeated one; nor where it is as long as in the other usual style and in that style.
    # Only otherwise is the text walked through.
    kept = sum(memoryview(v).nbytes for v in found.values())
    keys = sum(map(len, found)) if all(map(str.isascii, found)) else -1
    text = memoryview(data)
    if keys >= 0 and text.nbytes == kept + keys + 4 * n + 1:
        return found, []
    if keys >= 0 and text.nbytes == kept + keys + 6 * n and _is_wide(text, found):
        return found, []
    return found, repeated_keys(bytes(data), found)


def _is_wide(text: memoryview, found: Mapping[str, msgspec.Raw]) -> bool:
    """Whether the keys stand where ``", "`` and ``": "`` between the members would put them."""
    at = 1
    for key, value in found.items():
        head = f'"{key}": '.encode()
        if text[at : at + len(head)] != head:
            return False
        at += len(head) + memoryview(value).nbytes + 2
    return True


def repeated_keys(text: bytes, found: Mapping[str, Any]) -> list[str]:
    """The keys of a JSON object that occur more than once, in order, each once.

    `found` are the members that a decoder kept; they let the walk step over most values.
    """
    seen: dict[str, int] = {}
    at = 0
    while match := _KEY.match(text, at):
        key = msgspec.json.decode(match[1], type=str)
        seen[key] = seen.get(key, 0) + 1
        value = bytes(found[key])
        at = match.end()
        at += len(value) if text.startswith(value, at) else _value_length(text, at)
    return [key for key, n in seen.items() if n > 1]


def _value_length(text: bytes, at: int) -> int:
    window = 4096
    while True:
        # Bytes beyond ASCII are read one for one: only the length matters here.
        part = text[at : at + window].decode("latin-1")
        try:
            _, length = json.JSONDecoder().raw_decode(part)
        except json.JSONDecodeError:
            if at + window >= len(text):
                raise
            length = window
        if length < window:
            return length
        window *= 4
