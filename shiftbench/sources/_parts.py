"""Sources written as one line of text: ``name=source:key=value,key=value``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args, get_origin

import msgspec

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.options import flat_options, from_recipe
from shiftbench.registry import SOURCES, lookup
from shiftbench.schema import Source

__all__ = ["part_of_text", "source_of_recipe"]

_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def part_of_text(text: str) -> tuple[str, Source]:
    """The name and the source that a line means.

    Values are read by the types of the source's options; the items of a list are joined by ``+``.
    A comma, a plus or a backslash that belongs to a value has a backslash before it.

    Raises
    ------
    ConfigurationError
        The line is written otherwise, or names what is not there.

    Examples
    --------
    >>> part_of_text("small=digits:size=8")
    ('small', Digits(size=8))
    >>> part_of_text("digits")
    Traceback (most recent call last):
    shiftbench.errors.ConfigurationError: the part 'digits' is not written as name=source:key=...
    """
    name, sign, rest = text.partition("=")
    kind_name, _, options = rest.partition(":")
    if not sign or not kind_name:
        raise ConfigurationError(
            f"the part {text!r} is not written as name=source:key=value,key=value, such as "
            "digits=digits:size=8"
        )
    kind = lookup(SOURCES, kind_name, "source")
    types = {o.name: o.type for o in flat_options(kind)}
    values = {}
    for word in _split(options, ",") if options else ():
        key, sign, value = word.partition("=")
        if not sign:
            raise ConfigurationError(
                f"the part {name!r}: {word!r} is not written as key=value; a comma within a value "
                "is written as \\,"
            )
        if key not in types:
            raise ConfigurationError(
                f"the part {name!r}: source {kind_name!r} has no option {key!r}; "
                f"{near_names(key, types)}"
            )
        values[key] = _value(value, types[key], f"the part {name!r}, option {key!r}")
    return checked_name(name), kind(**from_recipe(kind, values, f"the part {name!r}"))


def source_of_recipe(name: str, said: Any) -> Source:
    """The source that a table of a recipe means: its `name`, and its options.

    Raises
    ------
    ConfigurationError
        There is no such source, or it has no such option.

    Examples
    --------
    >>> source_of_recipe("small", {"name": "digits", "size": 8})
    Digits(size=8)
    """
    if not isinstance(said, Mapping) or "name" not in said:
        raise ConfigurationError(
            f"the part {name!r} is {said!r}; a table with the name of a source and its options is "
            "needed"
        )
    options = {k: v for k, v in said.items() if k != "name"}
    kind = lookup(SOURCES, str(said["name"]), "source")
    made: Source = kind(**from_recipe(kind, options, f"the part {name!r}"))
    return made


def checked_name(name: str) -> str:
    """A name of a part, which stands before ids.

    Raises
    ------
    ConfigurationError
        It has other characters than letters, digits, ``_``, ``.`` and ``-``.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"the part's name {name!r} is not allowed; letters a-z and A-Z, digits, '_', '.' and "
            "'-' are"
        )
    return name


def _split(text: str, sign: str) -> list[str]:
    """The words between the signs that have no backslash before them; backslashes stay."""
    words = [""]
    escaped = False
    for letter in text:
        if letter == sign and not escaped:
            words.append("")
        else:
            words[-1] += letter
        escaped = letter == "\\" and not escaped
    return words


def _value(text: str, kind: Any, what: str) -> Any:
    items = [re.sub(r"\\(.)", r"\1", item) for item in _split(text, "+")] if text else []
    try:
        if _is_list(kind):
            return msgspec.convert(items, kind, strict=False)
        return msgspec.convert(re.sub(r"\\(.)", r"\1", text), kind, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{what} is {text!r}: {error}") from None


def _is_list(kind: Any) -> bool:
    return get_origin(kind) is tuple or any(get_origin(a) is tuple for a in get_args(kind))
