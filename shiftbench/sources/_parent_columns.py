"""The columns of a built benchmark as those of a source: class names, contexts, other names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import SourceError
from shiftbench.schema import CONTEXT_KINDS, CONTEXTS, declared_features
from shiftbench.sources._contexts import contexts_table
from shiftbench.sources._tables import class_names

__all__ = ["contexts_of", "free_name", "named_columns", "single_label"]

_WRITTEN = re.compile(r"(.+?)\((.+)\)")


def named_columns(table: pa.Table) -> pa.Table:
    """The table with the names of classes instead of their numbers, without schema metadata."""
    declared = declared_features(table.schema)
    made = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([])
        names = class_names(declared.get(name))
        made[name] = column if names is None else _named(column, names, name)
    return pa.table(made)


def _named(column: pa.Array, names: list[str], what: str) -> pa.Array:
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        inner = _named(column.flatten(), names, what)
        mask = column.is_null() if column.null_count else None
        return pa.ListArray.from_arrays(pa.array(offsets), inner, mask=mask)
    codes = pc.if_else(pc.equal(column, -1), pa.scalar(None, column.type), column)
    try:
        return pa.array(names, pa.string()).take(codes)
    except pa.ArrowIndexError:
        raise SourceError(
            f"the column {what!r} holds a class beyond the {len(names)} that it names; the "
            "benchmark is damaged: `shiftbench verify` says where"
        ) from None


def single_label(column: pa.Array) -> pa.Array | None:
    """One class an example, where each has at most one; else None."""
    if pa.types.is_string(column.type):
        return column
    if not pa.types.is_list(column.type) or not pa.types.is_string(column.type.value_type):
        return None
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    if lengths.max(initial=0) > 1:
        return None
    first = np.cumsum(lengths) - lengths
    return column.flatten().take(pa.array(first, mask=lengths == 0))


def free_name(name: str, taken: set[str]) -> str:
    """A name that is not taken: ``parent_`` is put before it, as often as needed.

    Examples
    --------
    >>> free_name("is_ood", {"is_ood", "parent_is_ood"})
    'parent_parent_is_ood'
    """
    while name in taken:
        name = f"parent_{name}"
    return name


def contexts_of(
    subsets: pa.Array, known: Mapping[str, tuple[str | None, str | None, str | None]]
) -> tuple[pa.Table, int]:
    """The contexts that subsets mean, and how many of the subsets mean none.

    Parameters
    ----------
    subsets : (n,) array of string, or of lists of strings
    known : mapping
        Class, context and kind of the subsets that a benchmark describes; of others, those that
        are written ``class(context)`` are read as such.

    Returns
    -------
    contexts : pa.Table
        Schema `CONTEXTS`.
    without : int
    """
    example: NDArray[np.int64] = np.arange(len(subsets))
    if pa.types.is_list(subsets.type):
        example = pc.list_parent_indices(subsets).to_numpy()
        subsets = subsets.flatten()
    if not pa.types.is_string(subsets.type):
        return CONTEXTS.empty_table(), 0
    encoded = subsets.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    read = [_read(name, known) for name in names]
    subjects = sorted({r[0] for r in read if r})
    contexts = sorted({r[1] for r in read if r})
    place = np.array(
        [(subjects.index(r[0]), contexts.index(r[1]), r[2]) if r else (-1, -1, -1) for r in read],
        np.int64,
    ).reshape(-1, 3)
    there = np.asarray(encoded.is_valid())
    at = place[encoded.indices.to_numpy(zero_copy_only=False)[there].astype(np.int64)]
    example = example[there]
    parts: list[Any] = []
    for kind in range(len(CONTEXT_KINDS)):
        mine = at[:, 2] == kind
        parts.append((example[mine], at[mine, 0], at[mine, 1], kind))
    made = contexts_table([parts], subjects, contexts)
    return made, sum(r is None for r in read)


def _read(
    name: str, known: Mapping[str, tuple[str | None, str | None, str | None]]
) -> tuple[str, str, int] | None:
    if name in known:
        subject, context, kind = known[name]
        if not subject or not context or kind not in CONTEXT_KINDS:
            return None
        return subject, context, CONTEXT_KINDS.index(kind)
    written = _WRITTEN.fullmatch(name)
    return (written[1], written[2], CONTEXT_KINDS.index("object")) if written else None
