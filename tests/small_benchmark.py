"""Small benchmark directories without content, written by the store's own functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

import shiftbench as sb
from shiftbench.benchmark import Benchmark
from shiftbench.hashing import table_hash
from shiftbench.schema import FORMAT, ClassLabel, Feature, ListOf, Value
from shiftbench.store.location import Location
from shiftbench.store.manifest import (
    ConfigEntry,
    Manifest,
    SplitEntry,
    benchmark_digest,
    config_digest,
    sealed,
)
from shiftbench.store.write import write_table


@dataclass(frozen=True)
class Split:
    """The examples of a split; `label` None: there is no such column."""

    ids: Sequence[str]
    label: Sequence[Any] | None = None
    clusters: Sequence[str] | None = None
    role: str = "id_test"
    files: int = 1
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)


def write_benchmark(
    out: Path,
    configs: Mapping[str, Mapping[str, Split]],
    label: Feature | None = None,
    kinds: Mapping[str, str] | None = None,
) -> Benchmark:
    """Write a directory and open it; `label` is the feature of all configs' labels."""
    folder = Location(str(out))
    label = label or ClassLabel(("cat", "dog"))
    entries = {}
    for config, splits in configs.items():
        made = {}
        for name, split in splits.items():
            made[name] = _write_split(folder, config, name, split, label)
        digest = config_digest({n: s.digest for n, s in made.items()}, {})
        kind = (kinds or {}).get(config, "task")
        entries[config] = ConfigEntry(kind=kind, digest=digest, splits=made, title=config)
    manifest = Manifest(
        format=FORMAT, builder="test", builder_version="1", recipe={}, seed=0, plan="",
        sources=[], license="", redistributable=True, identity="bytes", content=[],
        configs=entries, files={}, counts={}, rejected=0, versions={},
        digest=benchmark_digest(entries),
    )  # fmt: skip
    folder.write("shift.json", sealed(manifest))
    return sb.open(out)


def _write_split(
    folder: Location, config: str, name: str, split: Split, label: Feature
) -> SplitEntry:
    features: dict[str, Feature] = {"example_id": Value("string")}
    columns: dict[str, Any] = {"example_id": pa.array(split.ids, pa.string())}
    if split.label is not None:
        features["label"], columns["label"] = label, _array(split.label, label)
    features["cluster_id"] = Value("string")
    columns["cluster_id"] = pa.array(split.clusters or split.ids, pa.string())
    for column, values in split.columns.items():
        features[column], columns[column] = Value("string"), pa.array(values, pa.string())
    table = pa.table(columns)
    files = []
    size = -(-len(table) // split.files)
    for i in range(split.files):
        path = f"data/{config}/{name}-{i:05}-of-{split.files:05}.parquet"
        write_table(table.slice(i * size, size), features, folder, path)
        files.append(path)
    return SplitEntry(
        rows=len(table), files=files, digest=table_hash(table), role=split.role, shift="none"
    )


def _array(values: Sequence[Any], label: Feature) -> pa.Array:
    kind = {ClassLabel: pa.int64(), Value: pa.float64()}.get(type(label))
    return pa.array(values, pa.list_(pa.int64()) if isinstance(label, ListOf) else kind)
