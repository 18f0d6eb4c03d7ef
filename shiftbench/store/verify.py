"""Is a benchmark directory still what its manifest says?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shiftbench.errors import IntegrityError, near_names
from shiftbench.hashing import table_hash
from shiftbench.progress import bar, shown
from shiftbench.store.location import Location
from shiftbench.store.manifest import (
    MANIFEST,
    ConfigEntry,
    Manifest,
    benchmark_digest,
    config_digest,
    read_manifest,
)
from shiftbench.store.write import label_names, row_digests, size_and_hash, split_digest

__all__ = ["verify"]


def verify(folder: Location, *, content: bool = True, progress: bool | None = None) -> Manifest:
    """Check every file against the manifest, and the digests against the content.

    Parameters
    ----------
    folder : Location
    content : bool
        Also compute the digests again from the examples; without it only the files' own hashes
        are compared.
    progress : bool, optional
        Show progress; by default when stderr is a terminal.

    Raises
    ------
    IntegrityError
        Names the first file or config that is not right.
    """
    manifest = read_manifest(folder)
    present = set(folder.files()) - {MANIFEST}
    for name in sorted(set(manifest.files) - present):
        raise IntegrityError(f"{folder.path(name)} is missing; restore it or build again")
    for name in sorted(present - set(manifest.files)):
        raise IntegrityError(
            f"{folder.path(name)} is not part of the benchmark ({near_names(name, manifest.files)})"
            "; move it elsewhere"
        )
    total = sum(entry.bytes for entry in manifest.files.values())
    counted = bar("verifying", (1 + content) * total, "B", show=shown(progress))
    with counted:
        _verify_files(folder, manifest, counted)
        if content:
            for name, config in sorted(manifest.configs.items()):
                _verify_config(folder, manifest, name, config, counted)
    if benchmark_digest(manifest.configs) != manifest.digest:
        raise IntegrityError(f"{folder.path(MANIFEST)}: the digest is not that of its configs")
    return manifest


def _verify_files(folder: Location, manifest: Manifest, counted: Any) -> None:
    for name, entry in sorted(manifest.files.items()):
        size, sha256 = size_and_hash(folder, name)
        counted.update(size)
        if (size, sha256) != (entry.bytes, entry.sha256):
            raise IntegrityError(
                f"{folder.path(name)} was changed: {size} bytes with sha256 {sha256[:16]}…, "
                f"the manifest has {entry.bytes} bytes with {entry.sha256[:16]}…"
            )


def _verify_config(
    folder: Location, manifest: Manifest, name: str, config: ConfigEntry, counted: Any
) -> None:
    digests = {}
    names: list[dict[str, list[str]]] = []
    for split, entry in config.splits.items():
        if config.kind in ("table", "measured"):
            tables = []
            for path in entry.files:
                with folder.open(path) as file:
                    tables.append(pq.read_table(file))
                counted.update(manifest.files[path].bytes)
            digests[split] = table_hash(pa.concat_tables(tables))
        else:
            for path in entry.files:
                with folder.open(path) as file:
                    found = label_names(pq.read_schema(file))
                if found not in names:
                    names.append(found)
            digests[split] = split_digest(_split_digests(folder, manifest, entry.files, counted))
        if digests[split] != entry.digest:
            raise IntegrityError(
                f"{folder.path(f'data/{name}')}: split {split!r} does not have the digest that "
                "the manifest states"
            )
    if config.kind in ("task", "examples") and any(
        config_digest(digests, found) != config.digest for found in names or [{}]
    ):
        raise IntegrityError(f"{folder.path(f'data/{name}')}: the config's digest is not right")


def _split_digests(
    folder: Location, manifest: Manifest, files: Sequence[str], counted: Any
) -> Iterator[bytes]:
    """The row digests of a split, a part at a time: all of them may not fit into memory."""
    for path in files:
        with folder.open(path) as file:
            yield from _file_digests(pq.ParquetFile(file), manifest)
        counted.update(manifest.files[path].bytes)


def _file_digests(parquet: pq.ParquetFile, manifest: Manifest) -> Iterator[bytes]:
    wanted = [
        c
        for c in (
            *("example_id", "label", "subset", "cluster_id"),
            *manifest.content,
            *manifest.columns,
        )
        if c in parquet.schema_arrow.names
    ]
    at_once = 100 if manifest.content else 10_000
    for batch in parquet.iter_batches(batch_size=at_once, columns=wanted):
        table = pa.table(batch)
        contents = {
            name: [v["bytes"] if isinstance(v, dict) else v for v in table[name].to_pylist()]
            for name in manifest.content
        }
        yield row_digests(table, contents, manifest.identity, manifest.columns)
