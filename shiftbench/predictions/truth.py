"""What a benchmark knows of a split's examples, read without their content."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shiftbench.benchmark import Benchmark
from shiftbench.errors import ConfigurationError, IntegrityError, near_names
from shiftbench.statistics import Clusters
from shiftbench.store.location import Location
from shiftbench.store.manifest import SplitEntry
from shiftbench.store.write import label_names

__all__ = [
    "Truth",
    "example_ids",
    "joint_clusters",
    "label_of",
    "split_entry",
    "split_schema",
    "split_truth",
]

CACHE_BYTES = 512 * 2**20
GRADED = ("task", "examples")
OWN = ("example_id", "label", "subset", "cluster_id", "is_ood")
"""Columns that are fields of `Truth`; the others are metadata."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What a benchmark knows of the n examples of a split, in the order of its rows.

    Attributes
    ----------
    config, split : str
    role, shift, flag : str or None
        As the manifest has them.
    title : str
        The split's name as it was given.
    digest : str
        Of the split.
    example_ids : pa.Array
        (n,) large_string.
    kind : str
        What `label` is: "class" (one of the classes), "classes" (any number of them), "value" (a
        number), or "none".
    label : array or None
        "class": (n,) int64 codes, −1 where it is unknown or none of the classes. "classes":
        (n, k) bool. "value": (n,) float64, nan where it is unknown.
    labelled : (n,) bool array
        Whether the example has a label.
    class_names : tuple of str
        By code; empty where there are no classes.
    cluster_ids : pa.Array
        (n,) large_string: the unit of independence of each example.
    clusters : Clusters or None
        The same as numbers, or None where every example stands alone. Units may be shared with
        another split: see `joint_clusters`.
    subset : pa.Array or None
        (n,) lists of the names of the subsets that an example is in.
    is_ood : (n,) bool array or None
        Where the benchmark says it by example.
    metadata : pa.Table
        The other columns, content left out.
    """

    config: str
    split: str
    role: str | None
    shift: str | None
    flag: str | None
    title: str
    digest: str
    example_ids: pa.Array
    kind: str
    label: NDArray[Any] | None
    labelled: NDArray[np.bool_]
    class_names: tuple[str, ...]
    cluster_ids: pa.Array
    clusters: Clusters | None
    subset: pa.Array | None
    is_ood: NDArray[np.bool_] | None
    metadata: pa.Table

    def __len__(self) -> int:
        return len(self.example_ids)

    @property
    def nbytes(self) -> int:
        """Bytes that are held."""
        arrays = (self.label, self.labelled, self.is_ood)
        apart = None if self.cluster_ids is self.example_ids else self.cluster_ids
        columns = (self.example_ids, apart, self.subset, self.metadata)
        held = sum(a.nbytes for a in arrays if a is not None)
        held += self.clusters.codes.nbytes if self.clusters is not None else 0
        return int(held + sum(c.nbytes for c in columns if c is not None))


class _Cache:
    """What was used last, up to a number of bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held: OrderedDict[tuple[Any, ...], tuple[Any, int]] = OrderedDict()
        self.lock = Lock()

    def get(self, key: tuple[Any, ...]) -> Any:
        with self.lock:
            found = self.held.get(key)
            if found is not None:
                self.held.move_to_end(key)
            return None if found is None else found[0]

    def put(self, key: tuple[Any, ...], value: Any, size: int) -> None:
        with self.lock:
            self.held[key] = value, size
            while self.held and sum(s for _, s in self.held.values()) > self.limit:
                self.held.popitem(last=False)


_truths = _Cache(CACHE_BYTES)


def split_entry(bench: Benchmark, config: str, split: str) -> SplitEntry:
    """The manifest's entry of a split that can be graded.

    Raises
    ------
    ConfigurationError
        There is no such config or split, or the config is a table; the message has the near ones.
    """
    configs = bench.manifest.configs
    if config not in configs or configs[config].kind not in GRADED:
        known = [n for n, c in configs.items() if c.kind in GRADED]
        what = "is a table without predictions" if config in configs else "is not there"
        raise ConfigurationError(
            f"config {config!r} {what} in the benchmark {bench.url!r}; {near_names(config, known)}"
        )
    splits = configs[config].splits
    if split not in splits:
        raise ConfigurationError(
            f"config {config!r} of the benchmark {bench.url!r} has no split {split!r}; "
            f"{near_names(split, splits)}"
        )
    return splits[split]


def split_truth(
    bench: Benchmark, config: str, split: str, *, columns: Sequence[str] | None = None
) -> Truth:
    """What a benchmark knows of the examples of a split; images and other content are not read.

    What was read last is kept, up to 512 MB in all.

    Parameters
    ----------
    bench : Benchmark
    config, split : str
    columns : sequence of str, optional
        Metadata columns to read; by default all.

    Returns
    -------
    Truth

    Raises
    ------
    ConfigurationError
        No such config, split or column; the message has the near ones.

    Examples
    --------
    >>> import shiftbench
    >>> split_truth(shiftbench.open("out/"), "cat_dog_1", "id_test")    # doctest: +SKIP
    Truth(config='cat_dog_1', split='id_test', role='id_test', ...)
    """
    entry = split_entry(bench, config, split)
    key = (bench.url, config, split, entry.digest, None if columns is None else tuple(columns))
    found: Truth | None = _truths.get(key)
    if found is None:
        found = _read(bench, config, split, entry, columns)
        _truths.put(key, found, found.nbytes)
    return found


def _read(
    bench: Benchmark, config: str, split: str, entry: SplitEntry, columns: Sequence[str] | None
) -> Truth:
    schema = split_schema(bench, entry)
    content = set(bench.manifest.content)
    others = [n for n in schema.names if n not in content and n not in OWN]
    for name in columns or ():
        if name not in others:
            raise ConfigurationError(
                f"split {split!r} of config {config!r} has no metadata column {name!r}; "
                f"{near_names(name, others)}"
            )
    metadata = others if columns is None else list(columns)
    own = [n for n in schema.names if n in OWN]
    table = _columns(bench, entry, [*own, *metadata])
    ids = _strings(table["example_id"])
    if len(ids) != entry.rows:
        raise IntegrityError(
            f"split {split!r} of config {config!r} in {bench.url!r} has {len(ids)} rows, its "
            f"manifest says {entry.rows}; `shiftbench verify` tells more"
        )
    cluster_ids = _strings(table["cluster_id"]) if "cluster_id" in own else ids
    if cluster_ids.equals(ids):
        cluster_ids = ids  # as they are held once only
    kind, names = label_of(schema)
    label, labelled = _label(table, kind, len(names), len(ids))
    is_ood = None
    if "is_ood" in own:
        flags = pc.fill_null(table["is_ood"], False)
        is_ood = flags.to_numpy().astype(np.bool_)
    return Truth(
        config=config,
        split=split,
        role=entry.role,
        shift=entry.shift,
        flag=entry.flag,
        title=entry.title or split,
        digest=entry.digest,
        example_ids=ids,
        kind=kind,
        label=label,
        labelled=labelled,
        class_names=names,
        cluster_ids=cluster_ids,
        clusters=_clusters(cluster_ids, ids),
        subset=_one(table["subset"]) if "subset" in own else None,
        is_ood=is_ood,
        metadata=table.select(metadata),
    )


def example_ids(bench: Benchmark, entry: SplitEntry) -> pa.Array:
    """The ids of a split's examples, (n,) large_string, in the order of its rows."""
    return _strings(_columns(bench, entry, ["example_id"])["example_id"])


def label_of(schema: pa.Schema) -> tuple[str, tuple[str, ...]]:
    """What the labels of a split are, and the names of the classes; see `Truth.kind`."""
    if "label" not in schema.names:
        return "none", ()
    kind = schema.field("label").type
    noted = (schema.metadata or {}).get(b"huggingface")
    try:
        names = tuple(label_names(schema).get("label", ())) if noted else ()
    except (msgspec.MsgspecError, KeyError, TypeError):
        names = ()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return ("classes", names) if names else ("none", ())
    if names and pa.types.is_integer(kind):
        return "class", names
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return "value", ()
    return "none", ()


def joint_clusters(truths: Sequence[Truth]) -> list[Clusters] | None:
    """The clusters of several splits, numbered together: a unit in two of them is one cluster.

    Returns
    -------
    list of Clusters or None
        All with the same `n_clusters`; None where no unit has two examples in these splits.

    Examples
    --------
    >>> joint_clusters([]) is None
    True
    """
    if not truths:
        return None
    lengths = [len(t) for t in truths]
    together = pa.chunked_array([t.cluster_ids for t in truths], pa.large_string())
    encoded = _one(together).dictionary_encode()
    n_clusters = len(encoded.dictionary)
    if n_clusters == sum(lengths):
        return None
    codes = encoded.indices.to_numpy().astype(np.int64)
    parts = np.split(codes, np.cumsum(lengths)[:-1])
    return [Clusters(part, n_clusters) for part in parts]


def _clusters(cluster_ids: pa.Array, ids: pa.Array) -> Clusters | None:
    if cluster_ids is ids:
        return None
    clusters = Clusters.of(cluster_ids)
    return None if clusters.n_clusters == len(ids) else clusters


def _label(
    table: pa.Table, kind: str, k: int, n: int
) -> tuple[NDArray[Any] | None, NDArray[np.bool_]]:
    if kind == "none":
        return None, np.zeros(n, dtype=np.bool_)
    column = _one(table["label"])
    known = column.is_valid().to_numpy(zero_copy_only=False)
    if kind == "value":
        values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return values, ~np.isnan(values)
    if kind == "class":
        codes = pc.fill_null(column, -1).cast(pa.int64()).to_numpy()
        return codes, codes >= 0
    matrix = np.zeros((n, k), dtype=np.bool_)
    rows = pc.list_parent_indices(column).to_numpy()
    matrix[rows, column.flatten().to_numpy()] = True
    return matrix, known


def split_schema(bench: Benchmark, entry: SplitEntry) -> pa.Schema:
    """The columns of a split's files."""
    if not entry.files:
        return pa.schema([])
    with Location(bench.url).open(entry.files[0]) as file:
        return pq.ParquetFile(file).schema_arrow


def _columns(bench: Benchmark, entry: SplitEntry, names: Sequence[str]) -> pa.Table:
    folder = Location(bench.url)
    parts = []
    for path in entry.files:
        with folder.open(path) as file:
            parts.append(pq.ParquetFile(file).read(columns=list(names)))
    if not parts:
        return pa.table({"example_id": pa.array([], pa.string())})
    return pa.concat_tables(parts)


def _strings(column: pa.ChunkedArray) -> pa.Array:
    return _one(column.cast(pa.large_string()))


def _one(column: pa.ChunkedArray) -> pa.Array:
    """One array; also where it has no chunk, or so many that `combine_chunks` keeps several."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
