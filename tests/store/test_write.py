"""Files of a benchmark: what is in them, how it lies there, and the digests, spelt out."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from shiftbench.errors import ContentError
from shiftbench.schema import (
    Checks,
    ClassLabel,
    Feature,
    Image,
    ListOf,
    Shard,
    Value,
    arrow_schema,
)
from shiftbench.store import write as write_module
from shiftbench.store.location import Location
from shiftbench.store.sink import HashingSink, hasher
from shiftbench.store.write import (
    GROUP_BYTES,
    GROUP_ROWS,
    ShardReport,
    label_names,
    row_digest,
    row_digests,
    shard_key,
    size_and_hash,
    split_digest,
    write_shard,
    write_table,
)

PATH = "data/task/train-00000-of-00001.parquet"
OFF = Checks("off")


@dataclass(frozen=True)
class Contents:
    """A reader of what it was given; what is no content is raised."""

    by_locator: Mapping[str, Any]
    column: str = "image"

    def __call__(self) -> Callable[[str], Mapping[str, Any]]:
        def read(locator: str) -> Mapping[str, Any]:
            found = self.by_locator[locator]
            if isinstance(found, Exception):
                raise found
            return {self.column: found}

        return read


def png(value: int, format: str = "PNG", size: int = 6) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(value).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Picture.fromarray(pixels).save(
        buffer, format, **({"lossless": True} if format == "WEBP" else {})
    )
    return buffer.getvalue()


def shard_of(
    columns: Mapping[str, tuple[Feature, Sequence[Any]]],
    n: int,
    *,
    content: Feature | None = None,
    column: str = "image",
    identity: str = "bytes",
    path: str = PATH,
) -> Shard:
    """A shard of n rows with ids e0000, e0001, … and some columns of its own."""
    ids = [f"e{i:04d}" for i in range(n)]
    features: dict[str, Feature] = {"example_id": Value("string")}
    if content is not None:
        features[column] = content
    features |= {name: feature for name, (feature, _) in columns.items()}
    features["cluster_id"] = Value("string")
    types = arrow_schema(features)
    rows: dict[str, pa.Array] = {
        "example_id": pa.array(ids, pa.string()),
        "cluster_id": pa.array([f"c{i // 2}" for i in range(n)], pa.string()),
        "locator": pa.array(ids, pa.string()),
        "bytes": pa.array([0] * n, pa.int64()),
        "modified": pa.array([0] * n, pa.int64()),
    }
    rows |= {
        name: pa.array(values, types.field(name).type) for name, (_, values) in columns.items()
    }
    return Shard(
        path=path,
        features=tuple(features.items()),
        content=(column,) if content is not None else (),
        rows=pa.table(rows),
        identity=identity,
    )


def images_of(n: int) -> Contents:
    return Contents({f"e{i:04d}": png(i) for i in range(n)})


LABELS = {
    "label": (ClassLabel(("cat", "dog")), [0, 1, None, 1]),
    "subset": (ListOf(Value("string")), [["cat(sofa)"], [], None, ["größe(“a”)", "犬(🐕)"]]),
}


def written(shard: Shard, contents: Contents, folder: Path, checks: Checks = OFF) -> ShardReport:
    return write_shard(shard, contents, Location(str(folder)), checks)


def by_the_book(shard: Shard, contents: Contents) -> bytes:
    """The digest as the format states it, one row at a time."""
    whole = b""
    for row in shard.rows.to_pylist():
        hashes = [
            hashlib.sha256(contents.by_locator[row["locator"]]).hexdigest() for _ in shard.content
        ]
        line = json.dumps(
            [row["example_id"], hashes, row.get("label"), row.get("subset"), row["cluster_id"]],
            ensure_ascii=False,
            separators=(",", ":"),
        )
        whole += hashlib.sha256(line.encode()).digest()
    return whole


@pytest.mark.parametrize("level", ["off", "header", "decode"])
def test_the_report_is_that_of_the_file_and_the_digest_as_defined(
    tmp_path: Path, level: str
) -> None:
    shard, contents = shard_of(LABELS, 4, content=Image()), images_of(4)
    report = written(shard, contents, tmp_path, Checks(level))
    data = (tmp_path / PATH).read_bytes()
    assert report == ShardReport(
        key=shard_key(shard, Checks(level)),
        path=PATH,
        rows=4,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        row_digests=by_the_book(shard, contents),
        rejected=[],
    )
    assert size_and_hash(Location(str(tmp_path)), PATH) == (report.size, report.sha256)
    assert split_digest([report.row_digests]) == hashlib.sha256(report.row_digests).hexdigest()


def test_a_digest_that_was_computed_once_stays() -> None:
    digest = row_digest("e1", ["ab" * 32], 1, ["cat(sofa)"], "c1")
    assert digest.hex() == "e2fc68ce75a62bf0415bba76acc1e7e6bb31089b76b58a39d6927076915b0171"


label_kinds = st.sampled_from(
    [
        (ClassLabel(("a", "b", "c")), st.none() | st.integers(0, 2)),
        (ListOf(ClassLabel(("a", "b"))), st.none() | st.lists(st.integers(0, 1), max_size=3)),
        (Value("float64"), st.none() | st.floats(allow_nan=False, allow_infinity=False)),
    ]
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@st.composite
def any_rows(draw: st.DrawFn) -> tuple[dict[str, tuple[Feature, list[Any]]], int]:
    n = draw(st.integers(0, 9))
    feature, values = draw(label_kinds)
    label = draw(st.lists(values, min_size=n, max_size=n))
    subsets = draw(st.lists(st.none() | st.lists(texts, max_size=3), min_size=n, max_size=n))
    columns = {"label": (feature, label), "subset": (ListOf(Value("string")), subsets)}
    return columns, n


@settings(max_examples=150)
@given(any_rows(), st.lists(st.binary(max_size=50), min_size=9, max_size=9))
def test_row_digests_are_the_definitions(
    drawn: tuple[dict[str, tuple[Feature, list[Any]]], int], values: list[bytes]
) -> None:
    columns, n = drawn
    shard = shard_of(columns, n, content=Image())
    found = row_digests(shard.rows, {"image": values[:n]}, "bytes")
    expected = b"".join(
        row_digest(
            row["example_id"],
            [hashlib.sha256(value).hexdigest()],
            row["label"],
            row["subset"],
            row["cluster_id"],
        )
        for row, value in zip(shard.rows.to_pylist(), values, strict=False)
    )
    assert found == expected


@settings(max_examples=60)
@given(any_rows())
def test_rows_are_read_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: tuple[dict[str, tuple[Feature, list[Any]]], int],
) -> None:
    columns, n = drawn
    shard = shard_of(columns, n, content=Image())
    folder = tmp_path_factory.mktemp("rows")
    written(shard, images_of(n), folder)
    table = pq.read_table(folder / PATH)
    for name in ("example_id", "cluster_id", *columns):
        assert table[name].to_pylist() == shard.rows[name].to_pylist()
    assert table["image"].to_pylist() == [{"bytes": png(i), "path": None} for i in range(n)]


EVERY_KIND: dict[str, tuple[Feature, list[Any]]] = {
    **LABELS,
    "findings": (ListOf(ClassLabel(("nodule", "mass"))), [[0, 1], [], None, [1]]),
    "severity": (Value("float32"), [0.5, -1.0, None, 3.25]),
    "is_ood": (Value("bool"), [True, False, None, True]),
    "license": (Value("string"), ["cc-by-4.0", None, "", "cc0-1.0"]),
    "attribution": (Value("string"), ["Zoë <z@example.org>", "“q”", None, "日本\n語"]),
    "age": (Value("int64"), [1, -(2**62), None, 2**62]),
    "weight": (Value("float64"), [0.1, None, 1e300, -0.0]),
    "view": (Value("uint8"), [0, 255, None, 1]),
    "tags": (ListOf(ListOf(Value("string"))), [[["a"], []], [], None, [["b", None]]]),
}


def test_datasets_alone_reads_it_back_with_its_types(tmp_path: Path) -> None:
    shard, contents = shard_of(EVERY_KIND, 4, content=Image()), images_of(4)
    written(shard, contents, tmp_path)
    files = str(tmp_path / PATH)
    cache = str(tmp_path / "cache")
    read = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=cache)
    features = read.features
    assert list(features) == [name for name, _ in shard.features]
    assert isinstance(features["image"], datasets.Image)
    assert features["label"] == datasets.ClassLabel(names=["cat", "dog"])
    assert features["findings"] == datasets.List(datasets.ClassLabel(names=["nodule", "mass"]))
    assert features["subset"] == datasets.List(datasets.Value("string"))
    assert features["tags"] == datasets.List(datasets.List(datasets.Value("string")))
    for name in ("example_id", "license", "attribution", "cluster_id"):
        assert features[name] == datasets.Value("string")
    for name, kind in {
        "is_ood": "bool",
        "severity": "float32",
        "age": "int64",
        "view": "uint8",
    }.items():
        assert features[name] == datasets.Value(kind)
    streamed = list(
        datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
    )
    for i in range(4):
        for row in (read[i], streamed[i]):
            assert row["image"].size == (6, 6)
            assert np.array_equal(
                np.asarray(row["image"]), np.asarray(Picture.open(io.BytesIO(png(i))))
            )
            for name, (_, values) in EVERY_KIND.items():
                assert row[name] == values[i]
    raw = read.cast_column("image", datasets.Image(decode=False))
    assert [r["bytes"] for r in raw["image"]] == [png(i) for i in range(4)]


def test_a_float_label_and_no_content(tmp_path: Path) -> None:
    shard = shard_of({"label": (Value("float64"), [0.25, None, 1.0])}, 3)
    report = written(shard, Contents({}), tmp_path)
    assert report.rows == 3
    assert report.row_digests == by_the_book(shard, Contents({}))
    read = datasets.Dataset.from_parquet(str(tmp_path / PATH), cache_dir=str(tmp_path / "cache"))
    assert read.features["label"] == datasets.Value("float64")
    assert read["label"][:] == [0.25, None, 1.0]


def test_text_and_columns_can_be_the_content(tmp_path: Path) -> None:
    texts_of = Contents({"e0000": "Grüße", "e0001": ""}, column="text")
    shard = shard_of({}, 2, content=Value("string"), column="text")
    report = written(shard, texts_of, tmp_path, Checks("decode"))
    assert pq.read_table(tmp_path / PATH)["text"].to_pylist() == ["Grüße", ""]
    hashed = hashlib.sha256('"Grüße"'.encode()).hexdigest()
    assert report.row_digests[:32] == row_digest("e0000", [hashed], None, None, "c0")


@pytest.mark.parametrize("content", [None, Image()])
def test_a_file_without_rows_can_be_read(tmp_path: Path, content: Feature | None) -> None:
    shard = shard_of({name: (f, []) for name, (f, _) in EVERY_KIND.items()}, 0, content=content)
    report = written(shard, Contents({}), tmp_path)
    assert (report.rows, report.row_digests) == (0, b"")
    schema = pq.read_schema(tmp_path / PATH)
    assert schema.names == [name for name, _ in shard.features]
    assert label_names(schema) == {"label": ["cat", "dog"], "findings": ["nodule", "mass"]}


def layout(path: Path) -> list[tuple[int, int]]:
    """Rows and bytes of each row group."""
    metadata = pq.ParquetFile(path).metadata
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    return [(g.num_rows, g.total_byte_size) for g in groups]


def test_row_groups_have_at_most_a_hundred_rows(tmp_path: Path) -> None:
    written(shard_of({}, 250, content=Image()), images_of(250), tmp_path)
    assert [rows for rows, _ in layout(tmp_path / PATH)] == [GROUP_ROWS, GROUP_ROWS, 50]
    assert GROUP_ROWS <= 100


def test_row_groups_have_at_most_their_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert GROUP_BYTES <= 32 * 2**20
    monkeypatch.setattr(write_module, "GROUP_BYTES", 10_000)
    sizes = [4_000, 4_000, 4_000, 1_000, 30_000, 1_000, 9_001, 999, 10_000, 1]
    data = Contents({f"e{i:04d}": bytes([i]) * n for i, n in enumerate(sizes)})
    written(shard_of({}, len(sizes), content=Image()), data, tmp_path)
    # Only content that is larger by itself makes a larger group.
    assert [rows for rows, _ in layout(tmp_path / PATH)] == [2, 2, 1, 1, 2, 1, 1]


def test_how_the_columns_lie(tmp_path: Path) -> None:
    shard = shard_of(EVERY_KIND, 4, content=Image())
    written(shard, images_of(4), tmp_path)
    file = pq.ParquetFile(tmp_path / PATH)
    assert b"huggingface" in file.schema_arrow.metadata
    group = file.metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    image = columns["image.bytes"]
    assert image.compression == "UNCOMPRESSED"
    assert not image.has_dictionary_page
    assert set(image.encodings) <= {"PLAIN", "RLE"}
    for name, column in columns.items():
        assert column.has_offset_index, name
        if name != "image.bytes":
            assert column.compression == "ZSTD", name
    assert columns["example_id"].has_column_index
    # Uncompressed and plain: the bytes of an image can be found in the file as they came.
    assert png(3) in (tmp_path / PATH).read_bytes()


def test_content_defined_chunks_are_on() -> None:
    options = write_module.parquet_options(dict(shard_of({}, 0, content=Image()).features))
    assert options["use_content_defined_chunking"]
    assert options["write_page_index"]


@pytest.mark.parametrize("level", ["header", "decode"])
def test_unusable_content_is_left_out_and_reported(tmp_path: Path, level: str) -> None:
    good = images_of(6).by_locator
    contents = Contents(
        {
            **good,
            "e0001": b"<html>404</html>",
            "e0003": ContentError("the image cannot be read"),
            "e0005": png(5)[:40],
        }
    )
    shard = shard_of({"label": (ClassLabel(("a",)), [0, None, 0, 0, None, 0])}, 6, content=Image())
    report = written(shard, contents, tmp_path, Checks(level))
    assert [example for example, _ in report.rejected] == ["e0001", "e0003", "e0005"]
    assert report.rejected[0][1] == "not an image of a known format"
    assert report.rejected[1][1] == "the image cannot be read"
    table = pq.read_table(tmp_path / PATH)
    assert table["example_id"].to_pylist() == ["e0000", "e0002", "e0004"]
    assert table["label"].to_pylist() == [0, 0, None]
    kept = replace(shard, rows=shard.rows.take([0, 2, 4]))
    assert report.row_digests == by_the_book(kept, contents)
    assert report.rows == 3


def test_without_checks_bytes_go_as_they_are(tmp_path: Path) -> None:
    contents = Contents({"e0000": b"no image", "e0001": b""})
    report = written(shard_of({}, 2, content=Image()), contents, tmp_path, OFF)
    assert report.rejected == []
    found = pq.read_table(tmp_path / PATH)["image"].to_pylist()
    assert [f["bytes"] for f in found] == [b"no image", b""]


def test_nothing_but_rejected_content_leaves_an_empty_file(tmp_path: Path) -> None:
    report = written(
        shard_of({}, 2, content=Image()),
        Contents({"e0000": b"", "e0001": b"x"}),
        tmp_path,
        Checks(),
    )
    assert (report.rows, len(report.rejected)) == (0, 2)
    assert pq.read_table(tmp_path / PATH).num_rows == 0


def test_pixels_may_be_the_identity(tmp_path: Path) -> None:
    encodings = [
        Contents({f"e{i:04d}": png(i, format) for i in range(3)}) for format in ("PNG", "WEBP")
    ]
    for identity, same in (("pixels", True), ("bytes", False)):
        shard = shard_of({}, 3, content=Image(), identity=identity)
        one, other = (written(shard, c, tmp_path, Checks()).row_digests for c in encodings)
        assert (one == other) is same


def test_the_level_of_checks_changes_no_byte(tmp_path: Path) -> None:
    shard, contents = shard_of(LABELS, 4, content=Image()), images_of(4)
    reports = [
        written(shard, contents, tmp_path, Checks(level)) for level in ("off", "header", "decode")
    ]
    assert len({(r.sha256, r.row_digests) for r in reports}) == 1
    assert len({r.key for r in reports}) == 3


def test_the_key_is_that_of_what_was_asked_for() -> None:
    shard = shard_of(LABELS, 4, content=Image())
    keys = [
        shard_key(shard, OFF),
        shard_key(shard, Checks()),
        shard_key(shard, Checks(max_pixels=5)),
        shard_key(replace(shard, path="data/other.parquet"), OFF),
        shard_key(replace(shard, identity="pixels"), OFF),
        shard_key(replace(shard, rows=shard.rows.slice(1)), OFF),
        shard_key(
            replace(shard, rows=shard.rows.set_column(4, "modified", pa.array([1] * 4))), OFF
        ),
        shard_key(replace(shard, features=shard.features[:-1]), OFF),
    ]
    assert len(set(keys)) == len(keys)
    chunked = pa.concat_tables([shard.rows.slice(0, 1), shard.rows.slice(1)])
    assert shard_key(replace(shard, rows=chunked), OFF) == keys[0]


def test_chunks_of_the_rows_do_not_matter(tmp_path: Path) -> None:
    shard, contents = shard_of(LABELS, 4, content=Image()), images_of(4)
    parts = replace(shard, rows=pa.concat_tables([shard.rows.slice(i, 1) for i in range(4)]))
    assert written(shard, contents, tmp_path) == written(parts, contents, tmp_path)


def test_on_an_object_store_the_same_is_written(tmp_path: Path) -> None:
    shard, contents = shard_of(LABELS, 4, content=Image()), images_of(4)
    here = written(shard, contents, tmp_path)
    there = Location("memory://test-write")
    try:
        assert write_shard(shard, contents, there, OFF) == here
        assert there.read(PATH) == (tmp_path / PATH).read_bytes()
        assert size_and_hash(there, PATH) == (here.size, here.sha256)
    finally:
        there.remove("")


@pytest.mark.parametrize("level", ["off", "header"])
@pytest.mark.parametrize("url", ["", "memory://test-write-broken"])
def test_a_failed_write_leaves_no_half_file(tmp_path: Path, url: str, level: str) -> None:
    where = Location(url or str(tmp_path))
    contents = Contents({**images_of(300).by_locator, "e0250": RuntimeError("pulled the plug")})
    with pytest.raises(RuntimeError, match="pulled the plug"):
        write_shard(shard_of({}, 300, content=Image()), contents, where, Checks(level))
    assert not where.exists(PATH)
    assert where.files() == []
    if not url:
        assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_failed_write_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    shard = shard_of({}, 3, content=Image())
    before = written(shard, images_of(3), tmp_path)
    broken = Contents({**images_of(3).by_locator, "e0002": RuntimeError("no")})
    with pytest.raises(RuntimeError):
        written(shard, broken, tmp_path)
    assert size_and_hash(Location(str(tmp_path)), PATH) == (before.size, before.sha256)


def test_tables_are_written_whole(tmp_path: Path) -> None:
    table = pa.table({"subset": ["a", "b"], "size": pa.array([1, None], pa.int64())})
    features: dict[str, Feature] = {"subset": Value("string"), "size": Value("int64")}
    for found in (table, table.slice(0, 0)):
        write_table(found, features, Location(str(tmp_path)), "t.parquet")
        assert pq.read_table(tmp_path / "t.parquet").to_pydict() == found.to_pydict()
        assert 0 not in [rows for rows, _ in layout(tmp_path / "t.parquet")]


@pytest.mark.parametrize("beside", [False, True])
@settings(max_examples=30)
@given(sizes=st.lists(st.integers(0, 600_000), max_size=8))
def test_the_sink_knows_the_hash_of_what_it_passed_on(beside: bool, sizes: list[int]) -> None:
    file = io.BytesIO()
    with hasher(beside=beside) as executor:
        sink = HashingSink(file, executor)
        for i, size in enumerate(sizes):
            assert sink.write(bytes([i]) * size) == size
        digest = sink.hexdigest()
    assert sink.size == sink.tell() == sum(sizes)
    assert digest == hashlib.sha256(file.getvalue()).hexdigest()


@pytest.mark.parametrize("beside", [False, True])
def test_the_sink_passes_errors_on(beside: bool) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    with hasher(beside=beside) as executor, pytest.raises(OSError, match="No space"):
        HashingSink(Full(), executor).write(b"x")
