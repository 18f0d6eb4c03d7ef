"""Cell tables as text: ``name:3500,1500/2500,2500``, rows classes, columns attribute values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.schema import unique_slugs

from .cells import Counts

__all__ = ["parse_cells", "parse_grouped", "parse_tables", "published"]


def parse_tables(texts: Sequence[str]) -> dict[str, Counts]:
    """Tables by name; a table without a name is called by its number.

    Raises
    ------
    ConfigurationError
        Rows of differing length, something that is no whole number, fewer than two rows or
        columns, an empty row, two tables of one name, or tables of differing shape.

    Examples
    --------
    >>> {name: table.tolist() for name, table in parse_tables(("strong: 90,10 / 10,90",)).items()}
    {'strong': [[90, 10], [10, 90]]}
    >>> parse_tables(("90,10/10",))
    Traceback (most recent call last):
    shiftbench.errors.ConfigurationError: the cell table '90,10/10' has rows of 2 and 1 counts; ...
    """
    found: dict[str, Counts] = {}
    for number, text in enumerate(texts, 1):
        before, colon, counts = text.rpartition(":")
        name = before.strip() if colon else f"cells {number}"
        if not name or name in found:
            raise ConfigurationError(
                f"two cell tables are called {name!r}, or one has an empty name; write "
                "name:counts with names of their own"
            )
        found[name] = _counts(text, counts)
    shapes = {t.shape for t in found.values()}
    if len(shapes) > 1:
        told = ", ".join(f"{n!r} {t.shape[0]} × {t.shape[1]}" for n, t in found.items())
        raise ConfigurationError(f"the cell tables are of differing shape ({told}); give one shape")
    unique_slugs(found)
    return found


def _counts(text: str, counts: str) -> Counts:
    rows = [row.split(",") for row in counts.split("/")]
    lengths = [len(row) for row in rows]
    if len(set(lengths)) > 1:
        raise ConfigurationError(
            f"the cell table {text!r} has rows of {' and '.join(map(str, lengths))} counts; give "
            "as many counts in each row, e.g. 3500,1500/2500,2500"
        )
    if not all(re.fullmatch(r"\s*\d{1,12}\s*", cell) for row in rows for cell in row):
        raise ConfigurationError(
            f"the cell table {text!r} has something that is no whole number from 0; write counts "
            "with commas, rows (classes) parted by /, e.g. 3500,1500/2500,2500"
        )
    table = np.array([[int(c) for c in row] for row in rows], np.int64)
    if min(table.shape) < 2:
        raise ConfigurationError(
            f"the cell table {text!r} has {table.shape[0]} rows and {table.shape[1]} columns; give "
            "two or more classes and two or more attribute values"
        )
    if not (table.any(axis=1).all() and table.any(axis=0).all()):
        raise ConfigurationError(
            f"the cell table {text!r} has a class or an attribute value without any example; leave "
            "it out of the classes or values"
        )
    return table


def parse_grouped(texts: Sequence[str], what: str) -> dict[str, tuple[str, ...]]:
    """Names, each of one value or, as ``even=0+2+4``, of several.

    Raises
    ------
    ConfigurationError
        A value in two of them, or an empty one.

    Examples
    --------
    >>> parse_grouped(("even=0+2", "1"), "classes")
    {'even': ('0', '2'), '1': ('1',)}
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, equals, joined = text.partition("=")
        members = tuple(p.strip() for p in joined.split("+")) if equals else (text,)
        found[name.strip() if equals else text] = members
    every = [m for members in found.values() for m in members]
    twice = sorted({m for m in every if every.count(m) > 1})
    if twice or "" in every or "" in found or len(found) < len(texts):
        wrong = f"{twice[0]!r} twice" if twice else "an empty name or a name twice"
        raise ConfigurationError(
            f"{what} has {wrong} in {', '.join(texts)}; write a value, or name=value+value"
        )
    return found


def parse_cells(
    texts: Sequence[str], classes: Sequence[str], values: Sequence[str], what: str
) -> list[tuple[int, int]]:
    """Cells by their names, such as ``cat(outdoor)``.

    Raises
    ------
    ConfigurationError
        There is no such class or value.

    Examples
    --------
    >>> parse_cells(["dog(indoor)"], ["cat", "dog"], ["indoor", "outdoor"], "held_out")
    [(1, 0)]
    """
    found = []
    cells = {f"{c}({v})": (i, j) for i, c in enumerate(classes) for j, v in enumerate(values)}
    for text in texts:
        if text.strip() in cells:  # names may have brackets of their own
            found.append(cells[text.strip()])
            continue
        row, _, column = text.rstrip().removesuffix(")").rpartition("(")
        for name, known, kind in ((row, classes, "class"), (column, values, "attribute value")):
            if name not in known:
                raise ConfigurationError(
                    f"{what} names {text!r}, but there is no {kind} {name!r}; "
                    f"{near_names(name, known)}; write class(value)"
                )
        found.append((classes.index(row), values.index(column)))
    return found


@cache
def _data() -> dict[str, Any]:
    text = files("shiftbench.metadata").joinpath("cell_tables.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def published() -> Mapping[str, str]:
    """Published training tables by name, as text without the name.

    Examples
    --------
    >>> published()["cells_1"]
    '3500,1500/2500,2500'
    """
    return {name: str(entry["counts"]) for name, entry in _data()["tables"].items()}
