"""Recipes: a whole build in a TOML file, nested options included."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from shiftbench.errors import ConfigurationError
from shiftbench.options import from_recipe
from shiftbench.registry import SOURCES, builders, lookup

__all__ = ["read_recipe"]


def read_recipe(path: Path) -> tuple[Any, int]:
    """The builder that a recipe describes, and its seed.

    A recipe holds ``builder``, ``seed``, a table ``[source]`` with its ``name`` and options, and a
    table ``[options]``; ``shiftbench info DIR --recipe`` prints one.

    Raises
    ------
    ConfigurationError
        The file cannot be read, or names what is not there.

    Examples
    --------
    >>> path = Path("recipe.toml")
    >>> lines = ['builder = "metashift"', "seed = 3", "[source]", 'name = "scenes"']
    >>> path.write_text("\\n".join(lines)) > 0
    True
    >>> builder, seed = read_recipe(path)
    >>> type(builder.source).__name__, seed
    ('Scenes', 3)
    """
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is no TOML: {error}") from None
    strange = sorted(set(found) - {"builder", "seed", "source", "options"})
    if strange:
        raise ConfigurationError(
            f"{path} has {strange}; allowed at the top: builder, seed, [source], [options]"
        )
    for part in ("source", "options"):
        if not isinstance(found.get(part, {}), dict):
            raise ConfigurationError(
                f"{path}: {part} is {found[part]!r}; a table [{part}] is needed, and its options "
                "in it"
            )
    source = dict(found.get("source", {}))
    if "builder" not in found or "name" not in source:
        raise ConfigurationError(f"{path} needs `builder = …` and, under [source], `name = …`")
    kind = lookup(builders(), str(found["builder"]), "builder")
    source_kind = lookup(SOURCES, str(source.pop("name")), "source")
    seed = found.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise ConfigurationError(f"{path}: seed is {seed!r}; a whole number is needed")
    made = source_kind(**from_recipe(source_kind, source, f"{path}: [source]"))
    options = from_recipe(kind, found.get("options", {}), f"{path}: [options]")
    return kind(source=made, **options), seed
