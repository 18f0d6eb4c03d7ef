"""The published subset index: names, counts, forms, and what its reader must refuse."""

from __future__ import annotations

import collections
import fractions
import gzip
import json
import os
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.errors import ConfigurationError, SourceError
from shiftbench.schema import Source
from shiftbench.sources.subset_index import SubsetIndex, parse_subset_name

INDEX = {"cat(sofa)": ["30", "4"], "cat(bed)": ["4"], "dog(sofa)": ["100"]}
ROWS = [
    (0, "dog", "sofa", "object"),
    (1, "cat", "sofa", "object"),
    (2, "cat", "bed", "object"),
    (2, "cat", "sofa", "object"),
]


def rows(table) -> list[tuple]:
    return [tuple(r.values()) for r in table.to_pylist()]


def write_json(path: Path) -> None:
    path.write_text(json.dumps(INDEX))


def write_mixed_ids(path: Path) -> None:
    path.write_text(json.dumps({**INDEX, "cat(bed)": [4, "4"], "dog(sofa)": [100]}))


def write_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(json.dumps(INDEX).encode()))


def write_parquet(path: Path) -> None:
    names = [name for name, ids in INDEX.items() for _ in ids]
    ids = [i for ids in INDEX.values() for i in ids]
    pq.write_table(pa.table({"subset": names, "example_id": ids}), path)


def write_parquet_lists(path: Path) -> None:
    ids = pa.array([[int(i) for i in v] for v in INDEX.values()], pa.large_list(pa.int64()))
    pq.write_table(pa.table({"subset": list(INDEX), "example_id": ids}), path)


def write_pickle(path: Path) -> None:
    content = collections.defaultdict(set, {k: set(v) for k, v in INDEX.items()})
    path.write_bytes(pickle.dumps(content, protocol=2))


def write_new_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({k: list(map(int, v)) for k, v in INDEX.items()}))


WRITERS = [
    write_json,
    write_mixed_ids,
    write_gzip,
    write_parquet,
    write_parquet_lists,
    write_pickle,
    write_new_pickle,
]


@pytest.mark.parametrize("writer", WRITERS)
def test_every_form_says_the_same(tmp_path: Path, writer) -> None:
    writer(tmp_path / "index")
    source = SubsetIndex(str(tmp_path / "index"))
    assert isinstance(source, Source)
    found = source.scan()
    assert found.examples["example_id"].to_pylist() == ["100", "30", "4"]
    assert rows(found.contexts) == ROWS
    assert dict(found.content) == {}
    assert found.rejected.num_rows == 0


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    content = collections.defaultdict(set, {"cat(sofa)": {"1", "2"}})
    (tmp_path / "i.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    assert SubsetIndex(str(tmp_path / "i.pkl")).scan().contexts.num_rows == 2


def test_images_are_found_beside(tmp_path: Path) -> None:
    write_json(tmp_path / "i.json")
    (tmp_path / "images").mkdir()
    for name in ("4", "100", "9"):
        (tmp_path / "images" / f"{name}.png").write_bytes(name.encode())
    source = SubsetIndex(
        str(tmp_path / "i.json"), str(tmp_path / "images"), suffix=".png", kind="attribute"
    )
    found = source.scan()
    assert found.examples["example_id"].to_pylist() == ["100", "4"]
    assert rows(found.contexts) == [
        (0, "dog", "sofa", "attribute"),
        (1, "cat", "bed", "attribute"),
        (1, "cat", "sofa", "attribute"),
    ]
    assert found.counts["annotations_without_image"] == 1
    assert found.counts["images_without_annotation"] == 1
    read = source.reader()
    assert [read(x)["image"] for x in found.examples["locator"].to_pylist()] == [b"100", b"4"]


class Call:
    def __reduce__(self):
        return os.system, ("echo harm",)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (Call(), r"system"),
        ({"cat(sofa)": collections.OrderedDict()}, r"collections\.OrderedDict"),
        ({"cat(sofa)": {fractions.Fraction(1)}}, r"fractions\.Fraction"),
        ({"cat(sofa)": bytearray(b"1")}, r"bytearray"),
        (collections.defaultdict(list), r"list"),
        (collections.Counter("ab"), r"collections\.Counter"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_with_another_global_is_refused(tmp_path: Path, content, named, protocol) -> None:
    (tmp_path / "i.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(SourceError, match=rf"i\.pkl: the pickle asks for .*{named}"):
        SubsetIndex(str(tmp_path / "i.pkl")).scan()


def test_a_dotted_global_is_refused(tmp_path: Path) -> None:
    # Protocol 4 admits attribute paths: the name alone must not open a way through set.
    (tmp_path / "i.pkl").write_bytes(
        b"\x80\x04\x8c\x08builtins\x8c\x0cset.__init__\x93."
    )  # fmt: skip
    with pytest.raises(SourceError, match=r"set\.__init__"):
        SubsetIndex(str(tmp_path / "i.pkl")).scan()


@given(st.binary(min_size=1, max_size=60))
def test_no_bytes_do_anything_but_fail_clearly(tmp_path_factory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("x") / "i.pkl"
    path.write_bytes(data)
    try:
        SubsetIndex(str(path)).scan()
    except SourceError as e:
        assert "i.pkl" in str(e)  # noqa: PT017


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_cut_files_are_refused(tmp_path: Path, writer, share: float) -> None:
    writer(tmp_path / "index")
    data = (tmp_path / "index").read_bytes()
    (tmp_path / "index").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(SourceError, match="index: "):
        SubsetIndex(str(tmp_path / "index")).scan()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty"),
        ('["cat(sofa)"]', "a list of names alone has no members"),
        ("3", "neither JSON"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "i.json").write_text(content)
    with pytest.raises(SourceError, match=message):
        SubsetIndex(str(tmp_path / "i.json")).scan()


def test_other_columns_and_kinds_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"subset": ["a(b)"], "image": ["1"]}), tmp_path / "i.parquet")
    with pytest.raises(SourceError, match="subset, image; expected are subset and example_id"):
        SubsetIndex(str(tmp_path / "i.parquet")).scan()
    write_json(tmp_path / "i.json")
    with pytest.raises(ConfigurationError, match="kind='thing'"):
        SubsetIndex(str(tmp_path / "i.json"), kind="thing").scan()  # type: ignore[arg-type]
    (tmp_path / "s.pkl").write_bytes(pickle.dumps({"color": {"cat": {"black": {"1"}}}}))
    with pytest.raises(SourceError, match="under 'color' there is a dict"):
        SubsetIndex(str(tmp_path / "s.pkl")).scan()


def test_subsets_that_cannot_be_used_are_recorded(tmp_path: Path) -> None:
    (tmp_path / "i.json").write_text(
        '{"cat": ["1"], "cat(sofa)": ["1"], "dog(sofa)": [], "cow(x)": [null], "cow(y)": "1",'
        ' "(z)": ["1"], "cat()": ["2"], "hen(a)": ["7"], "hen(a)": ["8", " "]}'
    )
    found = SubsetIndex(str(tmp_path / "i.json")).scan()
    assert found.examples["example_id"].to_pylist() == ["1"]
    assert sorted(set(found.rejected["input"].to_pylist())) == [
        "i.json: (z)",
        "i.json: cat",
        "i.json: cat()",
        "i.json: cow(x)",
        "i.json: cow(y)",
        "i.json: dog(sofa)",
        "i.json: hen(a)",
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cat(sofa)", ("cat", "sofa")),
        ("cat (sofa)", ("cat", "sofa")),
        ("a(b)(c)", ("a", "c")),
        ("a(b (c)", ("a", "c")),
        ("book/<i>(«ü» \"x\" 'y')", ("book/<i>", "«ü» \"x\" 'y'")),
    ],
)
def test_names(name: str, expected: tuple[str, str]) -> None:
    assert parse_subset_name(name) == expected


@pytest.mark.parametrize("name", ["", "cat", "cat(", "(x)", "cat()", "cat(sofa", "cat)"])
def test_names_of_another_form(name: str) -> None:
    with pytest.raises(SourceError, match="subject"):
        parse_subset_name(name)


@given(st.text("ab /'<é", min_size=1), st.text("ab /'<é", min_size=1))
def test_names_round_trip(subject: str, context: str) -> None:
    if subject.strip() and context.strip():
        made = f"{subject.strip()}({context.strip()})"
        assert parse_subset_name(made) == (subject.strip(), context.strip())


@pytest.mark.parametrize("file", ["attribute_subsets.json.gz", "attribute_subsets.pkl"])
def test_the_published_index_has_the_known_counts(shared_data: Path, file: str) -> None:
    found = SubsetIndex(str(shared_data / "metashift" / file), kind="attribute").scan()
    pairs = found.contexts.select(["subject", "context"]).group_by(["subject", "context"])
    assert pairs.aggregate([]).num_rows == 2_877
    assert len(set(found.contexts["subject"].to_pylist())) == 193
    assert found.contexts.num_rows == 107_849
    assert found.examples.num_rows == 49_970
    assert found.rejected.num_rows == 0


def test_both_published_forms_agree(shared_data: Path) -> None:
    a, b = (
        SubsetIndex(str(shared_data / "metashift" / f"attribute_subsets.{s}")).scan()
        for s in ("json.gz", "pkl")
    )
    assert a.examples.equals(b.examples)
    assert a.contexts.equals(b.contexts)


def test_the_published_names_have_the_known_counts(shared_data: Path) -> None:
    with gzip.open(shared_data / "metashift" / "subset_names.json.gz") as stream:
        names = json.load(stream)
    pairs = [parse_subset_name(n) for n in names]
    known = set(pairs)
    assert len(names) == 17_938
    assert len({s for s, _ in pairs}) == 921
    assert len({c for _, c in pairs}) == 835
    assert sum((c, s) not in known for s, c in pairs) == 3_069
    assert sum(s == c for s, c in pairs) == 11


def test_blanks_around_a_name_do_not_count() -> None:
    assert parse_subset_name(" cat ( sofa ) ") == ("cat", "sofa")


def test_names_of_one_subset_are_joined_and_recorded(tmp_path: Path) -> None:
    (tmp_path / "i.json").write_text('{"tv (a)(on)": ["1"], "tv (b)(on)": ["2"]}')
    found = SubsetIndex(str(tmp_path / "i.json")).scan()
    assert rows(found.contexts) == [(0, "tv", "on", "object"), (1, "tv", "on", "object")]
    assert found.rejected["input"].to_pylist() == ["i.json: tv (b)(on)"]
    assert "'tv (a)(on)'" in found.rejected["reason"][0].as_py()


def nested(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    "odd", [{"cat(\ud800)": ["1"]}, {"cat(x)": ["\udcff"]}, {"cat(x)": [10**5000]}]
)
def test_what_no_file_could_hold_is_recorded(tmp_path: Path, odd: dict) -> None:
    (tmp_path / "i.pkl").write_bytes(pickle.dumps({**odd, "cat(sofa)": ["2"]}))
    found = SubsetIndex(str(tmp_path / "i.pkl")).scan()
    assert rows(found.contexts) == [(0, "cat", "sofa", "object")]
    assert found.rejected.num_rows == 1


def test_a_value_that_cannot_be_written_out_is_named_by_its_type(tmp_path: Path) -> None:
    (tmp_path / "i.pkl").write_bytes(pickle.dumps({"cat(sofa)": [nested(200)]}))
    found = SubsetIndex(str(tmp_path / "i.pkl")).scan()
    assert "a list is no image id" in found.rejected["reason"][0].as_py()


def test_names_of_another_kind_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"subset": [{"a": 1}], "example_id": ["1"]}), tmp_path / "i.parquet")
    with pytest.raises(SourceError, match="not text"):
        SubsetIndex(str(tmp_path / "i.parquet")).scan()
