"""Flat options of a dataclass: what the command line and a recipe may set, with their help."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from docstring_parser import parse as parse_docstring

from shiftbench.errors import ConfigurationError, near_names

__all__ = ["Option", "flat_options", "from_recipe", "summary"]

_PLAIN = (str, int, float, bool)


@dataclass(frozen=True)
class Option:
    """One field: its name, a type that a command line can read, its default and its help."""

    name: str
    type: Any
    default: Any
    help: str
    required: bool


def flat_options(kind: type) -> list[Option]:
    """The fields of a dataclass that a command line can set.

    A field whose type is nested is left out, unless its metadata has a simpler type as "flat".

    Examples
    --------
    >>> from shiftbench.sources import Scenes
    >>> [o.name for o in flat_options(Scenes)][:1]
    ['n_scenes']
    """
    hints = _hints(kind)
    params = parse_docstring(kind.__doc__ or "").params
    said = {n.strip(): p.description or "" for p in params for n in p.arg_name.split(",")}
    found = []
    for field in dataclasses.fields(kind):
        hint = field.metadata.get("flat", hints[field.name])
        if not field.init or not _is_flat(hint):
            continue
        factory = field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        required = default is dataclasses.MISSING
        found.append(
            Option(
                field.name,
                hint,
                None if required else default,
                " ".join(said.get(field.name, "").split()),
                required,
            )
        )
    return found


def summary(kind: type) -> str:
    """First line of a class's docstring.

    Examples
    --------
    >>> from shiftbench.schema import Image
    >>> summary(Image)
    'An encoded image: a struct of its bytes and a path (always null here).'
    """
    return (kind.__doc__ or "").strip().splitlines()[0]


def from_recipe(kind: type, values: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Options read from a recipe, checked by name and type, lists made tuples.

    Raises
    ------
    ConfigurationError
        An option that is not there, or a value of another type.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Pages:
    ...     path: str
    ...     count: int = 3
    >>> from_recipe(Pages, {"path": "a", "count": 2}, "recipe.toml")
    {'path': 'a', 'count': 2}
    >>> from_recipe(Pages, {"path": "a", "counts": 2}, "recipe.toml")
    Traceback (most recent call last):
    shiftbench.errors.ConfigurationError: recipe.toml has no option 'counts'; did you mean 'count'?
    """
    import msgspec

    known = [f.name for f in dataclasses.fields(kind) if f.init and f.name != "source"]
    flat = {o.name: o.type for o in flat_options(kind)}
    parse = getattr(kind, "parse", lambda name, value: value)
    made = {}
    for name, value in values.items():
        if name not in known:
            raise ConfigurationError(f"{what} has no option {name!r}; {near_names(name, known)}")
        parsed = parse(name, value)
        if parsed is value and name in flat:
            try:
                parsed = msgspec.convert(value, flat[name])
            except msgspec.ValidationError as error:
                raise ConfigurationError(f"{what}, option {name!r}: {error}") from None
        made[name] = parsed
    missing = [o.name for o in flat_options(kind) if o.required and o.name not in made]
    if missing:
        raise ConfigurationError(f"{what} needs {', '.join(missing)}")
    return made


def _hints(kind: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind)
    except NameError:  # a type that is only imported for type checking: such a field is not flat
        return {f.name: object for f in dataclasses.fields(kind)}


def _is_flat(hint: Any) -> bool:
    origin = get_origin(hint)
    if hint in _PLAIN or origin is Literal:
        return True
    if origin in (Union, types.UnionType):
        return all(a is type(None) or _is_flat(a) for a in get_args(hint))
    if origin is tuple:
        return len(get_args(hint)) == 2 and get_args(hint)[1] is ... and _is_flat(get_args(hint)[0])
    return False
