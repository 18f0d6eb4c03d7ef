"""A table config: its one file, and what the manifest says of it."""

from __future__ import annotations

import pyarrow as pa

from shiftbench.hashing import table_hash
from shiftbench.schema import feature_of
from shiftbench.store.location import Location
from shiftbench.store.manifest import ConfigEntry, FileEntry, SplitEntry
from shiftbench.store.write import size_and_hash, write_table

__all__ = ["file_entry", "write_table_config"]


def write_table_config(
    name: str, table: pa.Table, kind: str, folder: Location
) -> tuple[ConfigEntry, dict[str, FileEntry]]:
    """Write a table as a config of one split; its entry, and that of its file by path.

    Parameters
    ----------
    name : str
        Of the config.
    table : pa.Table
    kind : str
        "table", or "measured" for what is no part of the digest.
    folder : Location
        The benchmark directory.
    """
    path = f"data/{name}/train-00000-of-00001.parquet"
    write_table(table, {f.name: feature_of(f.type) for f in table.schema}, folder, path)
    digest = table_hash(table)
    entry = ConfigEntry(kind, digest, {"train": SplitEntry(len(table), [path], digest)})
    return entry, {path: file_entry(folder, path, len(table))}


def file_entry(folder: Location, path: str, rows: int = 0) -> FileEntry:
    """The entry of a file that is written."""
    size, sha256 = size_and_hash(folder, path)
    return FileEntry(size, rows, sha256)
