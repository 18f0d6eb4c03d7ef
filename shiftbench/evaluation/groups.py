"""Groups of examples: by metadata, by any combination of it, or overlapping subsets by name."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.evaluation._groups import MISSING, Groups, encoded_names
from shiftbench.evaluation._labels import as_arrow, listed

__all__ = ["MISSING", "Groups", "column_groups", "groups_of"]

MOST_NUMBERS = 100
"""Different fractional numbers of a column that are still taken for groups."""

Integers = NDArray[np.int64]


def groups_of(source: Any, n: int, names: Sequence[str] | None = None) -> Groups:
    """Groups from whatever says them, for n examples.

    Parameters
    ----------
    source : Groups, array, list, Arrow column, table or mapping
        One value an example; a boolean (n, g) matrix, with `names`; a list of names an example; a
        table, or a mapping of columns, whose combinations are the groups.
    n : int
    names : sequence of str, optional
        Of a matrix's columns.

    Raises
    ------
    ConfigurationError
        Another number of examples, or none of these.

    Examples
    --------
    >>> groups_of({"place": ["water", "land"], "bird": ["landbird", "landbird"]}, 2).names
    ('land & landbird', 'water & landbird')
    """
    if isinstance(source, Groups):
        found = source
    elif isinstance(source, pa.Table | Mapping):
        found = column_groups(source)
    elif names is not None or (isinstance(source, np.ndarray) and source.ndim == 2):
        if names is None:
            raise ConfigurationError("a membership matrix needs the names of its columns")
        found = Groups.of_matrix(source, names)
    elif listed(source):
        found = Groups.of_lists(source)
    else:
        found = column_groups({"group": source})
    if found.n != n:
        raise ConfigurationError(
            f"there are groups for {found.n} examples, but {n} predictions; give one for each"
        )
    return found


def column_groups(
    table: Any,
    columns: str | Sequence[str] | None = None,
    *,
    bins: Mapping[str, Sequence[float]] | None = None,
) -> Groups:
    """Groups by the value of a column, or by every combination of several that occurs.

    Parameters
    ----------
    table : pyarrow.Table, mapping of columns, or anything with them by name
    columns : str or sequence of str, optional
        All, when left out. A combination is called by its values, "water & landbird" (one that
        holds " & " itself in quotes); what is not text says its column, "age=40 & female".
    bins : mapping of column to edges, optional
        The groups of a column of numbers: "age < 18", "18 ≤ age < 65", "age ≥ 65".

    Returns
    -------
    Groups
        In the order of the values; a missing value is the group ``(missing)``.

    Raises
    ------
    ConfigurationError
        Unknown columns, edges that do not rise, or fractional numbers without edges (more than 100
        different ones).

    References
    ----------
    Koh et al. 2021, WILDS, ICML: groups are chosen from metadata when evaluating.

    Examples
    --------
    >>> table = {"sex": ["f", "m", None], "age": [12.5, 40.0, 80.0]}
    >>> groups = column_groups(table, ["sex", "age"], bins={"age": [18, 65]})
    >>> groups.names
    ('f & age < 18', 'm & 18 ≤ age < 65', '(missing) & age ≥ 65')
    """
    there = list(table.column_names if hasattr(table, "column_names") else table)
    wanted = there if columns is None else [columns] if isinstance(columns, str) else list(columns)
    if not wanted:
        raise ConfigurationError("no column to group by; name one or several")
    for name in [*wanted, *(bins or {})]:
        if name not in there:
            raise ConfigurationError(f"there is no column {name!r}; {near_names(name, there)}")
    coded = [
        _binned(as_arrow(table[name], name), name, bins[name])
        if bins and name in bins
        else _column(as_arrow(table[name], name), name, alone=len(wanted) == 1)
        for name in wanted
    ]
    lengths = {len(codes) for codes, _ in coded}
    if len(lengths) > 1:
        raise ConfigurationError(f"columns have different lengths: {sorted(lengths)}")
    n = lengths.pop()
    key = np.zeros(n, dtype=np.int64)
    parts: list[tuple[str, ...]] = [()]
    for codes, names in coded:
        # Kept dense column by column, so that many columns never overflow.
        both = key * max(len(names), 1) + codes
        occurring = np.sort(both)
        occurring = occurring[np.diff(occurring, prepend=-1) > 0]
        key = np.searchsorted(occurring, both)
        parts = [(*parts[k // len(names)], names[k % len(names)]) for k in occurring.tolist()]
    alone = len(wanted) == 1
    named = [part[0] if alone else " & ".join(map(_quoted, part)) for part in parts] if n else []
    return Groups(tuple(named), key.astype(np.int32), None, n)


def _quoted(value: str) -> str:
    """A value as a part of a combination: in quotes where it could be taken for two."""
    if " & " in value or value.startswith(('"', "& ")) or value.endswith(" &"):
        return '"' + value.replace('"', '""') + '"'
    return value


def _column(values: pa.Array, name: str, *, alone: bool) -> tuple[Integers, tuple[str, ...]]:
    if pa.types.is_floating(values.type):
        values = pc.add(values, 0.0)  # −0.0 is 0.0
        distinct = pc.unique(values.drop_null())
        whole = pc.all(pc.equal(pc.floor(distinct), distinct), min_count=0).as_py()
        if not whole and len(distinct) > MOST_NUMBERS:
            raise ConfigurationError(
                f"column {name!r} has {len(distinct)} different numbers; give edges of bins for "
                f"it, such as bins={{{name!r}: [0.25, 0.5, 0.75]}} (--bins {name}=0.25,0.5,0.75)"
            )
    return encoded_names(values, "" if alone else f"{name}=")


def _binned(
    values: pa.Array, name: str, edges: Sequence[float]
) -> tuple[Integers, tuple[str, ...]]:
    bounds = np.asarray(edges, dtype=np.float64)
    if bounds.ndim != 1 or not len(bounds) or not (np.diff(bounds) > 0).all():
        raise ConfigurationError(
            f"the edges of {name!r} are {list(edges)!r}; give one or more rising numbers"
        )
    try:
        numbers = values.cast(pa.float64(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise ConfigurationError(
            f"column {name!r} holds {values.type}, and edges are for numbers; leave them out"
        ) from None
    x = numbers.to_numpy(zero_copy_only=False)
    codes = np.where(np.isnan(x), len(bounds) + 1, np.searchsorted(bounds, x, "right"))
    said = [repr(float(edge)).removesuffix(".0") for edge in bounds]
    between = [f"{a} ≤ {name} < {b}" for a, b in itertools.pairwise(said)]
    return codes, (f"{name} < {said[0]}", *between, f"{name} ≥ {said[-1]}", f"{name}={MISSING}")
