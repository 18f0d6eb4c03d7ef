"""Metadata columns as numbers for the balance audit, made without a look at the split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.schema import declared_features

__all__ = [
    "MAX_LEVELS",
    "MAX_TAGS",
    "MIN_LEVEL_CLUSTERS",
    "Variable",
    "auditable",
    "codes_of",
    "combined",
    "pooled_levels",
    "variables",
]

MIN_LEVEL_CLUSTERS = 5
"""A level or tag seen in fewer clusters than this is pooled with the other rare ones."""

MAX_LEVELS = 50
"""A categorical column keeps this many levels, the most frequent, and pools the rest."""

MAX_TAGS = 30
"""A column of lists is compared tag by tag for this many tags, the most frequent."""

BINS = 10

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Variable:
    """One thing to compare: numbers, or codes of levels.

    Attributes
    ----------
    column : str
        Its name in the table of results.
    values : (n,) float array or None
        NaN where missing; None for a categorical variable.
    codes : (n,) int64 array or None
        Level numbers, −1 where missing; None for a numeric variable.
    n_levels : int
        How many levels `codes` has.
    distinct : int
        Distinct values before any pooling.
    names : tuple of str
        Of the levels, where they have any.
    """

    column: str
    values: NDArray[np.float64] | None
    codes: Codes | None
    n_levels: int
    distinct: int
    names: tuple[str, ...] = ()

    @property
    def present(self) -> NDArray[np.bool_]:
        """Where there is a value."""
        if self.values is not None:
            return ~np.isnan(self.values)
        assert self.codes is not None
        return self.codes >= 0


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _is_number(dtype: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_integer(dtype) or t.is_floating(dtype) or t.is_temporal(dtype))


def _is_text(dtype: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_string(dtype) or t.is_large_string(dtype) or t.is_boolean(dtype))


def _is_list(dtype: pa.DataType) -> bool:
    t = pa.types
    listed = t.is_list(dtype) or t.is_large_list(dtype)
    return bool(listed and (_is_text(dtype.value_type) or t.is_integer(dtype.value_type)))


def auditable(dtype: pa.DataType) -> bool:
    """Whether columns of a type can be compared.

    Examples
    --------
    >>> auditable(pa.int64()), auditable(pa.list_(pa.string())), auditable(pa.binary())
    (True, True, False)
    """
    if pa.types.is_dictionary(dtype):
        return auditable(dtype.value_type)
    return _is_number(dtype) or _is_text(dtype) or _is_list(dtype) or pa.types.is_null(dtype)


def combined(source: pa.Table, target: pa.Table, name: str) -> pa.ChunkedArray:
    """One column of both tables, source first, as one type.

    Raises
    ------
    ConfigurationError
        One table lacks the column, its types do not go together, or they cannot be compared.

    Examples
    --------
    >>> combined(pa.table({"a": [1]}), pa.table({"a": [2.5]}), "a").to_pylist()
    [1.0, 2.5]
    """
    for which, table in (("source", source), ("target", target)):
        if name not in table.column_names:
            raise ConfigurationError(
                f"the {which} split has no column {name!r}; it has: {', '.join(table.column_names)}"
            )
    both = [_plain(table.column(name)) for table in (source, target)]
    a, b = (column.type for column in both)
    if not (auditable(a) and auditable(b)):
        raise ConfigurationError(
            f"the column {name!r} has type {a} in the source and {b} in the target; numbers, "
            "times, text, booleans and lists of text or integers can be compared; leave it out"
        )
    if a != b:
        if pa.types.is_null(a):
            both[0], a = both[0].cast(b), b
        elif pa.types.is_null(b):
            both[1], b = both[1].cast(a), a
        elif all((pa.types.is_integer(t) or pa.types.is_floating(t)) for t in (a, b)):
            both = [column.cast(pa.float64()) for column in both]
        elif all((pa.types.is_string(t) or pa.types.is_large_string(t)) for t in (a, b)):
            both = [column.cast(pa.large_string()) for column in both]
        else:
            raise ConfigurationError(
                f"the column {name!r} is {a} in the source and {b} in the target; "
                "give both splits the same type or leave it out"
            )
    return pa.chunked_array([c for column in both for c in column.chunks], type=both[0].type)


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    dtype = column.type
    if pa.types.is_temporal(dtype):
        wide = pa.int32() if dtype.bit_width == 32 else pa.int64()
        column = column.cast(wide)
    filled = column.cast(pa.float64(), safe=False)
    values = np.array(filled.to_numpy(), dtype=np.float64)
    values[~np.isfinite(values)] = np.nan
    return values


def codes_of(column: pa.ChunkedArray) -> tuple[Codes, list[str]]:
    """Level numbers in the order of the levels' text, −1 where missing, and the levels.

    Examples
    --------
    >>> codes_of(pa.chunked_array([["b", None, "a"]]))
    (array([ 1, -1,  0]), ['a', 'b'])
    """
    text = column.cast(pa.large_string())
    levels = sorted(x for x in pc.unique(text).to_pylist() if x is not None)
    found = pc.index_in(text, value_set=pa.array(levels, pa.large_string()))
    return np.asarray(pc.fill_null(found, -1).to_numpy(), dtype=np.int64), levels


def _clusters_of(codes: Codes, clusters: Codes, n_levels: int) -> Codes:
    """In how many clusters each level is seen."""
    seen = codes >= 0
    width = int(clusters.max(initial=0)) + 1
    pairs = np.unique(codes[seen] * width + clusters[seen])
    return np.bincount(pairs // width, minlength=n_levels)


def pooled_levels(name: str, codes: Codes, levels: list[str], clusters: Codes) -> Variable:
    """A categorical variable whose rare levels are one level.

    Parameters
    ----------
    name : str
    codes : (n,) int64 array
        Of `levels`, −1 where missing.
    levels : list of str
    clusters : (n,) int64 array

    Examples
    --------
    >>> codes = np.array([0, 1, 0, 2, 0, 0, 0])
    >>> pooled_levels("site", codes, ["a", "b", "c"], np.arange(7)).names
    ('a', 'other levels')
    """
    n_levels = len(levels)
    often = np.bincount(codes[codes >= 0], minlength=n_levels)
    common = _clusters_of(codes, clusters, n_levels) >= MIN_LEVEL_CLUSTERS
    distinct = int((often > 0).sum())
    if distinct <= 2:
        common[:] = True
    order = np.lexsort((np.arange(n_levels), -often))
    kept = [int(k) for k in order if common[k] and often[k]]
    rest = distinct > len(kept) or len(kept) > MAX_LEVELS
    kept = kept[: MAX_LEVELS - 1] if rest else kept
    number = np.full(n_levels + 1, len(kept), dtype=np.int64)
    number[kept] = np.arange(len(kept))
    number[-1] = -1
    names = (*(levels[k] for k in kept), *(["other levels"] if rest else []))
    return Variable(name, None, number[codes], len(kept) + int(rest), distinct, names)


def _binned(name: str, values: NDArray[np.float64]) -> Variable:
    """Numbers as tenths of all values, or as the values where they are few."""
    there = ~np.isnan(values)
    distinct, inverse = np.unique(values[there], return_inverse=True)
    codes = np.full(len(values), -1, dtype=np.int64)
    if len(distinct) <= BINS:
        codes[there] = inverse
    else:
        cuts = np.unique(np.quantile(values[there], np.arange(1, BINS) / BINS))
        codes[there] = np.searchsorted(cuts, values[there], side="left")
    used, codes[there] = np.unique(codes[there], return_inverse=True)
    return Variable(name, None, codes, len(used), len(distinct))


def _tags(
    name: str, column: pa.ChunkedArray, clusters: Codes, names: list[str] | None
) -> Iterator[Variable]:
    """Whether a row's list has a tag, for the frequent tags one by one and the others together."""
    flat = column.combine_chunks()
    rows = pc.list_parent_indices(flat).to_numpy()
    there = np.asarray(flat.is_valid().to_numpy(zero_copy_only=False), dtype=bool)
    codes, levels = codes_of(pa.chunked_array([flat.flatten()]))
    rows, codes = rows[codes >= 0], codes[codes >= 0]
    pairs = np.unique(rows.astype(np.int64) * max(len(levels), 1) + codes)
    rows, codes = pairs // max(len(levels), 1), pairs % max(len(levels), 1)
    common = _clusters_of(codes, clusters[rows], len(levels)) >= MIN_LEVEL_CLUSTERS
    often = np.bincount(codes, minlength=len(levels))
    order = np.lexsort((np.arange(len(levels)), -often))
    kept = [int(k) for k in order if common[k]][:MAX_TAGS]

    def indicator(title: str, where: Codes) -> Variable:
        has = np.where(there, 0, -1)
        has[where] = 1
        distinct = len(np.unique(has[there]))
        return Variable(title, None, has, 2, distinct, ("without", "with"))

    for k in kept:
        title = _said([levels[k]], {"names": names or ()})[0]
        yield indicator(f"{name}: {title}", rows[codes == k])
    others = ~np.isin(codes, kept)
    if others.any():
        yield indicator(f"{name}: other tags", rows[others])


def _said(levels: list[str], declared: Mapping[str, Any]) -> list[str]:
    """Levels by their declared names, where numbers of classes have such."""
    names = declared.get("names") or ()
    return [names[int(x)] if x.isdigit() and int(x) < len(names) else x for x in levels]


def variables(
    source: pa.Table, target: pa.Table, name: str, clusters: Codes, categorical: bool
) -> Iterator[Variable]:
    """What to compare of one column: itself, its shape, its tags, and whether it is missing.

    Parameters
    ----------
    source, target : pa.Table
        The two splits.
    name : str
        The column.
    clusters : (n,) int64 array
        Cluster number of each row, the source's rows first.
    categorical : bool
        Read numbers as names of levels; class labels always are.

    Examples
    --------
    >>> a, b = pa.table({"age": [1.0, None, 2.0]}), pa.table({"age": [3.0]})
    >>> [v.column for v in variables(a, b, "age", np.arange(4), False)]
    ['age', 'age', 'age (missing)']
    """
    column = combined(source, target, name)
    noted = declared_features(source.schema) or declared_features(target.schema)
    declared = noted.get(name, {})
    labels = isinstance(declared, Mapping) and declared.get("_type") == "ClassLabel"
    if _is_list(column.type):
        inner = declared.get("feature") if isinstance(declared, Mapping) else None
        yield from _tags(name, column, clusters, (inner or {}).get("names"))
    elif _is_number(column.type) and not categorical and not labels:
        values = _numbers(column)
        distinct = len(np.unique(values[~np.isnan(values)]))
        yield Variable(name, values, None, 0, distinct)
        if distinct > 2:
            yield _binned(name, values)
    else:
        codes, levels = codes_of(column)
        yield pooled_levels(name, codes, _said(levels, declared if labels else {}), clusters)
    missing = np.array(column.is_null().to_numpy(), dtype=np.int64)
    if _is_number(column.type):
        missing = np.isnan(_numbers(column)).astype(np.int64)
    if 0 < missing.sum() < len(missing):
        yield Variable(f"{name} (missing)", None, missing, 2, 2, ("there", "missing"))
