"""The examples of a split by group, and in which part of which file each stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.schema import declared_features
from shiftbench.store.location import Location

__all__ = ["Blocks", "Groups", "read_blocks", "read_groups"]

Ints = NDArray[np.int64]

MAX_GROUPS = 1000
JOINED = " | "


@dataclass(frozen=True, eq=False)
class Blocks:
    """Row groups of a split's files, which are read whole.

    Attributes
    ----------
    folder : Location
    files : tuple of (str, pq.FileMetaData)
    place : (b, 2) int64 array
        File and row group of each block.
    starts : (b + 1,) int64 array
        The split's row at which each begins.
    sizes : (b,) int64 array
        Bytes.
    """

    folder: Location
    files: tuple[tuple[str, Any], ...]
    place: Ints
    starts: Ints
    sizes: Ints

    @property
    def schema(self) -> pa.Schema:
        """Of every file."""
        return self.files[0][1].schema.to_arrow_schema()

    @property
    def row_bytes(self) -> float:
        """Of an example, on average."""
        return float(self.sizes.sum() / self.starts[-1])

    def read(self, block: int) -> pa.Table:
        """All rows of a block."""
        at, group = self.place[block].tolist()
        path, metadata = self.files[at]
        with self.folder.open(path) as file:
            # Threads of Arrow's do not outlive the fork of a loader's worker.
            return pq.ParquetFile(file, metadata=metadata).read_row_group(group, use_threads=False)


def read_blocks(folder: Location, paths: Sequence[str]) -> Blocks:
    """The row groups of some files, of whose footers alone is read."""
    files, place, rows, sizes = [], [], [0], []
    for at, path in enumerate(paths):
        with folder.open(path) as file:
            metadata = pq.read_metadata(file)
        files.append((path, metadata))
        for group in range(metadata.num_row_groups):
            part = metadata.row_group(group)
            if part.num_rows:
                place.append((at, group))
                rows.append(part.num_rows)
                sizes.append(part.total_byte_size)
    return Blocks(
        folder,
        tuple(files),
        np.array(place, np.int64).reshape(-1, 2),
        np.cumsum(np.array(rows, np.int64)),
        np.array(sizes, np.int64),
    )


@dataclass(frozen=True, eq=False)
class Groups:
    """The rows of each group.

    Attributes
    ----------
    names : tuple of str
        Values of several columns are joined by " | ".
    rows : tuple of int64 arrays
        Of the split, ascending; none is empty.
    empty : tuple of str
        Combinations of values of which there is no example.
    """

    names: tuple[str, ...]
    rows: tuple[Ints, ...]
    empty: tuple[str, ...] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Examples of each group."""
        return tuple(len(r) for r in self.rows)


def read_groups(blocks: Blocks, columns: Sequence[str], where: str) -> Groups:
    """Groups by the values of some columns, which alone are read.

    Parameters
    ----------
    blocks : Blocks
    columns : sequence of str
    where : str
        The split, for messages.

    Raises
    ------
    ConfigurationError
        A column that is not there, holds lists or real numbers, or misses values; too many groups.
    """
    schema = blocks.schema
    for name in columns:
        _check(schema, name, where)
    parts = []
    for path, metadata in blocks.files:
        with blocks.folder.open(path) as file:
            found = pq.ParquetFile(file, metadata=metadata).read(columns=list(columns))
        parts.append(found)
    table = pa.concat_tables(parts)
    codes = np.zeros(len(table), np.int64)
    names: list[str] = [""]
    for column in dict.fromkeys(columns):
        values, of_row = _coded(table[column], schema, column, where)
        codes = codes * len(values) + of_row
        names = [f"{a}{JOINED}{v}" if a else v for a in names for v in values]
        if len(names) > MAX_GROUPS:
            raise ConfigurationError(
                f"{where} has more than {MAX_GROUPS} groups by {', '.join(columns)}; name columns "
                "with fewer values"
            )
    counts = np.bincount(codes, minlength=len(names))
    there = np.flatnonzero(counts)
    rows = np.split(np.argsort(codes, kind="stable"), np.cumsum(counts[there])[:-1])
    return Groups(
        tuple(names[i] for i in there),
        tuple(r.astype(np.int64) for r in rows),
        tuple(names[i] for i in np.flatnonzero(counts == 0)),
    )


def _check(schema: pa.Schema, name: str, where: str) -> None:
    kinds = {f.name: f.type for f in schema}
    plain = {
        n
        for n, k in kinds.items()
        if not (pa.types.is_nested(k) or pa.types.is_binary(k) or pa.types.is_floating(k))
    }
    if name not in kinds:
        raise ConfigurationError(f"{where} has no column {name!r}; {near_names(name, plain)}")
    if name not in plain:
        raise ConfigurationError(
            f"{where}: the column {name!r} holds {kinds[name]}; groups are made of text, whole "
            "numbers or true/false"
        )


def _coded(
    column: pa.ChunkedArray, schema: pa.Schema, name: str, where: str
) -> tuple[list[str], Ints]:
    """The different values as text, in order, and the code of each row."""
    if column.null_count:
        raise ConfigurationError(
            f"{where}: {column.null_count} of {len(column)} examples have no value of {name!r}; "
            "name a column that every example has"
        )
    found = pc.unique(column)
    if len(found) > MAX_GROUPS:
        raise ConfigurationError(
            f"{where}: the column {name!r} has {len(found)} different values; at most {MAX_GROUPS} "
            "can be groups"
        )
    found = found.take(pc.array_sort_indices(found))
    codes = pc.index_in(column, found).to_numpy().astype(np.int64)
    values = found.to_pylist()
    classes = declared_features(schema).get(name, {}).get("names")
    return [str(classes[v]) if classes else str(v) for v in values], codes
