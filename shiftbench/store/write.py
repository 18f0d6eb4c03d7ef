"""Writing one file of a benchmark: read, check, hash and write in bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shiftbench.errors import ContentError
from shiftbench.hashing import table_hash
from shiftbench.schema import Checks, Feature, Image, ListOf, Shard, arrow_schema
from shiftbench.store.check import check_image, content_hash
from shiftbench.store.location import Location
from shiftbench.store.sink import HashingSink, hasher

__all__ = [
    "ShardReport",
    "label_names",
    "parquet_options",
    "row_digests",
    "shard_key",
    "size_and_hash",
    "split_digest",
    "write_shard",
    "write_table",
]

GROUP_ROWS = 100
GROUP_BYTES = 32 * 2**20
TABLE_ROWS = 100_000
MAX_CONTENT = 2**31 - 1

Contents = Mapping[str, Sequence[Any]]


class ShardReport(msgspec.Struct, frozen=True):
    """What became of one shard.

    Attributes
    ----------
    key : str
        Identity of what was asked for, see `shard_key`.
    path : str
    rows, size : int
        Of the file as written; size in bytes.
    sha256 : str
        Of the file.
    row_digests : bytes
        32 bytes a row, see `row_digest`.
    rejected : list[tuple[str, str]]
        Example id and reason.
    gathered : dict[str, bytes]
        What the reader noted on the way (its attribute `gathered`), such as a hash of each input;
        for the builder alone, never written into the benchmark.
    """

    key: str
    path: str
    rows: int
    size: int
    sha256: str
    row_digests: bytes
    rejected: list[tuple[str, str]]
    gathered: dict[str, bytes] = {}


def shard_key(shard: Shard, checks: Checks) -> str:
    """Identity of a shard: two shards with the same key come out the same."""
    head = [
        shard.path,
        shard.identity,
        list(shard.content),
        list(shard.columns),
        arrow_schema(dict(shard.features)).metadata[b"huggingface"].decode(),
        asdict(checks),
        [pa.__version__, GROUP_ROWS, GROUP_BYTES],
    ]
    digest = hashlib.sha256(msgspec.json.encode(head))
    digest.update(table_hash(shard.rows).encode())
    return digest.hexdigest()


def row_digest(
    example_id: str, contents: list[str], label: Any, subset: Any, cluster: str
) -> bytes:
    """sha256 over one example's canonical content, from which the benchmark's digest is made.

    Parameters
    ----------
    contents : list[str]
        sha256 (hex) of each content column.
    """
    line = msgspec.json.encode([example_id, contents, label, subset, cluster])
    return hashlib.sha256(line).digest()


def write_shard(
    shard: Shard,
    reader: Callable[[], Callable[[str], Mapping[str, Any]]],
    out: Location,
    checks: Checks,
) -> ShardReport:
    """Write one shard. Content that cannot be used is left out and reported.

    At most 100 rows or 32 MB of content are in memory at a time.
    """
    features = dict(shard.features)
    read = reader() if shard.content else None
    digests = bytearray()
    rejected: list[tuple[str, str]] = []
    rows = 0
    # Where nothing is checked, hashing is most of the work and is shared out; elsewhere a thread
    # for it would only take turns with the other workers.
    beside = checks.level == "off" and shard.identity == "bytes"
    with out.create(shard.path) as file, hasher(beside=beside) as executor:
        sink = HashingSink(file, executor)
        with _writer(pa.PythonFile(sink, mode="w"), features) as writer:
            for group, contents in _groups(shard, read, checks, rejected):
                hashed = executor.submit(
                    row_digests, group, contents, shard.identity, shard.columns
                )
                writer.write_batch(_record_batch(group, contents, features, writer.schema))
                digests += hashed.result()
                rows += len(group)
        sha256 = sink.hexdigest()
    return ShardReport(
        key=shard_key(shard, checks),
        path=shard.path,
        rows=rows,
        size=sink.size,
        sha256=sha256,
        row_digests=bytes(digests),
        rejected=rejected,
        gathered=dict(getattr(read, "gathered", {})),
    )


def write_table(table: pa.Table, features: Mapping[str, Feature], out: Location, path: str) -> None:
    """Write a table config: no content, larger row groups."""
    schema = arrow_schema(features)
    with out.create(path) as sink, _writer(sink, features) as writer:
        if len(table):  # a reader takes its batch size from the first row group: never 0
            writer.write_table(table.cast(schema), row_group_size=TABLE_ROWS)


def split_digest(row_digests: Iterable[bytes]) -> str:
    """sha256 (hex) over the row digests of a split, in order."""
    digest = hashlib.sha256()
    for part in row_digests:
        digest.update(part)
    return digest.hexdigest()


def label_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Names of the classes of every column that has some, read back from a file's schema."""
    info = msgspec.json.decode(schema.metadata[b"huggingface"])["info"]["features"]
    found = {}
    for name, feature in info.items():
        while feature["_type"] == "List":
            feature = feature["feature"]
        if feature["_type"] == "ClassLabel":
            found[name] = feature["names"]
    return found


def parquet_options(features: Mapping[str, Feature]) -> dict[str, Any]:
    """Writer options: image bytes plain and uncompressed, page index, content-defined chunks."""
    leaves = dict(_leaves(features))
    return {
        "compression": {leaf: "zstd" if small else "none" for leaf, small in leaves.items()},
        "use_dictionary": [leaf for leaf, small in leaves.items() if small],
        "write_page_index": True,
        "use_content_defined_chunking": True,
    }


def _leaves(features: Mapping[str, Feature]) -> Iterator[tuple[str, bool]]:
    for name, feature in features.items():
        tail = ""
        while isinstance(feature, ListOf):
            feature, tail = feature.feature, tail + ".list.element"
        if isinstance(feature, Image):
            yield f"{name}{tail}.bytes", False
            yield f"{name}{tail}.path", True
        else:
            yield name + tail, True


def _writer(sink: Any, features: Mapping[str, Feature]) -> pq.ParquetWriter:
    return pq.ParquetWriter(sink, arrow_schema(features), **parquet_options(features))


def _groups(
    shard: Shard,
    read: Callable[[str], Mapping[str, Any]] | None,
    checks: Checks,
    rejected: list[tuple[str, str]],
) -> Iterator[tuple[pa.Table, Contents]]:
    """Row groups of bounded size: the rows that were accepted and the content of each."""
    if read is None:
        for start in range(0, len(shard.rows), TABLE_ROWS):
            yield shard.rows.slice(start, TABLE_ROWS), {}
        return
    images = [n for n, f in shard.features if n in shard.content and isinstance(f, Image)]
    taken: list[int] = []
    values: list[Mapping[str, Any]] = []
    held = 0
    for i, locator in enumerate(_locators(shard.rows)):
        try:
            content = read(locator)
            for name in images:
                check_image(content[name], checks)
            size = sum(len(v) for v in content.values() if isinstance(v, bytes | str))
            if size > MAX_CONTENT:
                raise ContentError(f"{size} bytes, above the limit of {MAX_CONTENT} bytes")
        except ContentError as error:
            rejected.append((shard.rows["example_id"][i].as_py(), str(error)))
            continue
        if taken and (len(taken) == GROUP_ROWS or held + size > GROUP_BYTES):
            yield shard.rows.take(taken), _columns(shard, values)
            taken, values, held = [], [], 0
        taken.append(i)
        values.append(content)
        held += size
    if taken:
        yield shard.rows.take(taken), _columns(shard, values)


def _locators(rows: pa.Table) -> Iterator[str]:
    if "locator_part" not in rows.column_names:
        yield from rows["locator"].to_pylist()
        return
    for start in range(0, len(rows), TABLE_ROWS):
        some = rows.select(["locator", "locator_part"]).slice(start, TABLE_ROWS)
        for locator, part in zip(*(c.to_pylist() for c in some.columns), strict=True):
            yield f"{locator}\x1f{part}"


def _columns(shard: Shard, values: Sequence[Mapping[str, Any]]) -> Contents:
    return {name: [v[name] for v in values] for name in shard.content}


def row_digests(
    group: pa.Table, contents: Contents, identity: str, columns: Sequence[str] = ()
) -> bytes:
    """The digests of some rows, one after the other.

    Parameters
    ----------
    contents : mapping
        Each content column that a reader brought.
    columns : sequence of str
        Those of the group's own that are content; together they are one more, after the others.
    """
    n = len(group)
    hashes: list[list[str]] = [
        [_identity(v, identity).hex() for v in values] for values in contents.values()
    ]
    if columns:
        whole = zip(*(group[name].to_pylist() for name in columns), strict=True)
        hashes.append([_identity(row, identity).hex() for row in whole])
    per_row = list(map(list, zip(*hashes, strict=True))) if hashes else [[]] * n
    others = [
        group[name].to_pylist() if name in group.column_names else [None] * n
        for name in ("example_id", "label", "subset", "cluster_id")
    ]
    return b"".join(
        row_digest(example_id, per_row[i], label, subset, cluster)
        for i, (example_id, label, subset, cluster) in enumerate(zip(*others, strict=True))
    )


def _identity(value: Any, identity: str) -> bytes:
    if isinstance(value, bytes):
        return content_hash(value, identity)
    return hashlib.sha256(msgspec.json.encode(value)).digest()


def _record_batch(
    group: pa.Table,
    contents: Contents,
    features: Mapping[str, Feature],
    schema: pa.Schema,
) -> pa.RecordBatch:
    arrays = []
    for name, feature in features.items():
        kind = schema.field(name).type
        if name not in contents:
            column = group[name].combine_chunks()
            arrays.append(column.cast(kind) if column.type != kind else column)
        elif isinstance(feature, Image):
            data = _binary(contents[name])
            arrays.append(
                pa.StructArray.from_arrays([data, pa.nulls(len(data), pa.string())], type=kind)
            )
        else:
            arrays.append(pa.array(contents[name], kind))
    return pa.RecordBatch.from_arrays(
        [a.combine_chunks() if isinstance(a, pa.ChunkedArray) else a for a in arrays],
        schema=schema,
    )


def _binary(values: Sequence[bytes]) -> pa.BinaryArray:
    """The values as one Arrow array, copied once."""
    ends = np.fromiter(accumulate(map(len, values), initial=0), np.int64, len(values) + 1)
    offsets = pa.py_buffer(ends.astype(np.int32))
    data = pa.py_buffer(b"".join(values))
    return pa.BinaryArray.from_buffers(pa.binary(), len(values), [None, offsets, data])


def size_and_hash(out: Location, path: str) -> tuple[int, str]:
    """Bytes and sha256 (hex) of a file as it lies there."""
    digest = hashlib.sha256()
    size = 0
    buffer = bytearray(2**18)  # small enough to stay in the processor's cache
    with out.open(path) as file:
        while n := file.readinto(buffer):
            digest.update(memoryview(buffer)[:n])
            size += n
    return size, digest.hexdigest()
