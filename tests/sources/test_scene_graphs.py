"""Scene graphs: contexts against their definition, damaged files, and what a scan says."""

from __future__ import annotations

import gzip
import json
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.errors import ConfigurationError, ContentError, SourceError
from shiftbench.schema import CONTEXTS, Source
from shiftbench.sources import _contexts
from shiftbench.sources._files import facts
from shiftbench.sources.scene_graphs import SceneGraph, SceneGraphs, SceneObject, annotate

ONTOLOGY = {a for names in facts("attributes")["categories"].values() for a in names}
CATEGORIES = facts("contexts")["categories"]
GENERAL = {c for names in CATEGORIES.values() for c in names}
PLACES = {*CATEGORIES["room"], *CATEGORIES["place"]}


def by_definition(graphs: list[SceneGraph], attributes: str = "ontology") -> set[tuple]:
    rows = set()
    for i, graph in enumerate(graphs):
        names = Counter(o.name.strip() for o in graph.objects.values())
        general = {x.strip() for x in (graph.location, graph.weather) if x} & GENERAL
        general |= names.keys() & PLACES
        for subject, n in names.items():
            rows |= {(i, subject, other, "object") for other in names if other != subject}
            if n > 1:
                rows.add((i, subject, subject, "object"))
            rows |= {(i, subject, g, "general") for g in general if g != subject}
        for o in graph.objects.values():
            for a in (a.strip() for a in o.attributes):
                if a and (attributes == "all" or a in ONTOLOGY):
                    rows.add((i, o.name.strip(), a, "attribute"))
    return rows


def as_rows(table: pa.Table) -> list[tuple]:
    return [tuple(row.values()) for row in table.to_pylist()]


names = st.sampled_from(["cat", "dog", "grass", "kitchen", "field", "orange", " cat ", "a(b)/\"'ü"])
marks = st.sampled_from(["black", "orange", "dark", "fluffy", " black", "short", ""])
objects = st.builds(SceneObject, name=names, attributes=st.lists(marks, max_size=3).map(tuple))
graphs = st.lists(
    st.builds(
        SceneGraph,
        width=st.just(9),
        height=st.just(9),
        location=st.sampled_from([None, "indoors", "kitchen", "somewhere", "field"]),
        weather=st.sampled_from([None, "sunny", "hail"]),
        objects=st.lists(objects, max_size=6).map(lambda o: {str(i): x for i, x in enumerate(o)}),
    ),
    max_size=6,
)


@given(graphs, st.sampled_from(["ontology", "all"]))
def test_contexts_are_those_of_the_definition(found: list[SceneGraph], attributes: str) -> None:
    table = annotate(found, attributes)
    rows = as_rows(table)
    assert table.schema == CONTEXTS
    assert set(rows) == by_definition(found, attributes)
    assert len(set(rows)) == len(rows)
    order = {"object": 0, "attribute": 1, "general": 2}
    assert rows == sorted(rows, key=lambda r: (*r[:3], order[r[3]]))


@given(graphs)
def test_parts_of_any_size_make_the_same_table(found: list[SceneGraph]) -> None:
    whole = annotate(found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_contexts, "ROWS_AT_ONCE", 3)
        patch.setattr(_contexts, "EXAMPLES_AT_ONCE", 2)
        assert as_rows(annotate(found)) == as_rows(whole)


def test_a_field_is_not_the_place_of_itself() -> None:
    one = SceneGraph(1, 1, objects={"1": SceneObject("field"), "2": SceneObject("cow")})
    assert ("field", "field") not in {r[1:3] for r in as_rows(annotate([one]))}
    assert (0, "cow", "field", "general") in as_rows(annotate([one]))


def test_the_facts_have_the_published_numbers() -> None:
    assert {k: len(v) for k, v in CATEGORIES.items()} == {
        "location": 2,
        "weather": 7,
        "room": 4,
        "place": 24,
    }
    assert len(facts("attributes")["categories"]) == 27
    assert len(ONTOLOGY) == 111


def gqa(name: str | None, *attributes: str) -> dict:
    item = {
        "h": 5,
        "relations": [{"object": "9", "name": "on"}],
        "attributes": list(attributes),
        "w": 4,
        "y": 2,
        "x": 1,
    }
    return item if name is None else {"name": name, **item}


def image(*names: str | None, **fields) -> dict:
    objects = {str(i): gqa(n) for i, n in enumerate(names)}
    return {"width": 640, "height": 480, "objects": objects, **fields}


def write(path: Path, content) -> str:
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_scan_reads_files_and_images(tmp_path: Path) -> None:
    first = {
        "30": image("cat", "sofa", location="indoors"),
        "4": image("dog", weather="sunny"),
        "5": image("dog"),
    }
    second = {"100": image("cat", "cat"), "30": image("lamp")}
    (tmp_path / "images").mkdir()
    for name in ("30", "4", "100", "77"):
        (tmp_path / "images" / f"{name}.jpg").write_bytes(name.encode())
    paths = (write(tmp_path / "a.json", first), write(tmp_path / "b.json", second))
    source = SceneGraphs(paths, str(tmp_path / "images"))
    assert isinstance(source, Source)
    found = source.scan()
    table = found.examples.to_pydict()
    assert table["example_id"] == ["100", "30", "4"]
    assert table["cluster_id"] == table["example_id"]
    assert table["bytes"] == [3, 2, 1]
    assert all(m > 0 for m in table["modified"])
    assert table["n_objects"] == [2, 2, 1]
    assert table["location"] == [None, "indoors", None]
    assert table["weather"] == [None, None, "sunny"]
    assert found.counts["annotations_without_image"] == 1
    assert found.counts["images_without_annotation"] == 1
    assert as_rows(found.contexts) == [
        (0, "cat", "cat", "object"),
        (1, "cat", "indoors", "general"),
        (1, "cat", "sofa", "object"),
        (1, "sofa", "cat", "object"),
        (1, "sofa", "indoors", "general"),
        (2, "dog", "sunny", "general"),
    ]
    assert found.rejected.to_pylist() == [
        {"input": "b.json: image 30", "reason": "the id occurs in a.json too; that entry is used"}
    ]
    read = pickle.loads(pickle.dumps(source)).reader()
    assert [read(x)["image"] for x in table["locator"]] == [b"100", b"30", b"4"]


def test_without_images_there_is_an_index_only(tmp_path: Path) -> None:
    found = SceneGraphs((write(tmp_path / "a.json", {"1": image("cat", "hat")}),)).scan()
    assert dict(found.content) == {}
    assert found.examples["locator"].to_pylist() == [None]
    assert found.examples["bytes"].to_pylist() == [None]
    assert "location" not in found.examples.column_names


def test_fingerprint_is_of_what_was_read(tmp_path: Path) -> None:
    def scan(folder: str, content: dict, size: int = 1, **options) -> str:
        (tmp_path / folder / "i").mkdir(parents=True)
        (tmp_path / folder / "i" / "1.jpg").write_bytes(b"x" * size)
        path = write(tmp_path / folder / "g.json", content)
        return SceneGraphs((path,), str(tmp_path / folder / "i"), **options).scan().fingerprint

    same = scan("a", {"1": image("cat")})
    assert scan("b", {"1": image("cat")}) == same
    assert scan("c", {"1": image("dog")}) != same
    assert scan("d", {"1": image("cat")}, size=2) != same
    assert scan("e", {"1": image("cat")}, attributes="all") != same


@pytest.mark.parametrize(
    "name", ["a (b) (c)", "and/or", 'say "cheese"', "Müller", "<b>x</b>", "\\"]
)
def test_odd_names_are_kept_as_they_are(tmp_path: Path, name: str) -> None:
    found = SceneGraphs((write(tmp_path / "a.json", {"1": image(name, "cat")}),)).scan()
    assert (0, name, "cat", "object") in as_rows(found.contexts)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("separators", [None, (",", ":")])
def test_objects_that_cannot_be_used_are_recorded(tmp_path: Path, indent, separators) -> None:
    content = {"1": image("cat", None, "  ", "sofa"), "2": image("dog"), "3": [], "4": image("cow")}
    content["2"]["objects"]["7"] = {"name": "hat", "attributes": "black"}
    content["2"]["objects"]["8"] = {"name": 3, "attributes": []}
    content["4"]["width"] = "wide"
    content["5"] = {"width": 640.0, "height": None}
    content[" "] = image("cat")
    text = json.dumps(content, indent=indent, separators=separators)
    found = SceneGraphs((write(tmp_path / "a.json", text),)).scan()
    assert found.examples["example_id"].to_pylist() == ["1", "2", "5"]
    assert found.examples["n_objects"].to_pylist() == [2, 1, 0]
    assert found.examples["width"].to_pylist() == [640, 640, 640]
    assert found.examples["height"].to_pylist() == [480, 480, None]
    assert [r["input"] for r in found.rejected.to_pylist()] == [
        "a.json: image 1, object 1",
        "a.json: image 1, object 2",
        "a.json: image 2, object 7",
        "a.json: image 2, object 8",
        "a.json: image 3",
        "a.json: image 4",
        "a.json: image ' '",
    ]
    reasons = found.rejected["reason"].to_pylist()
    assert "name" in reasons[0]
    assert "blank" in reasons[1]
    assert as_rows(found.contexts) == [(0, "cat", "sofa", "object"), (0, "sofa", "cat", "object")]


@pytest.mark.parametrize("style", ["{}", " {} ", "\n  {}"])
def test_repeated_ids_are_recorded(tmp_path: Path, style: str) -> None:
    one, two = json.dumps(image("cat", "hat")), json.dumps(image("dog"))
    inner = '{"width":1,"height":1,"objects":{"5": {"name":"cat"},"5": {"name":"dog","x":1}}}'
    members = [f'"1":{style.format(one)}', f'"2":{inner}', f'"1":{style.format(two)}']
    found = SceneGraphs((write(tmp_path / "a.json", "{" + ",".join(members) + "}"),)).scan()
    assert found.examples["n_objects"].to_pylist() == [1, 1]
    assert [r["input"] for r in found.rejected.to_pylist()] == [
        "a.json: image 1",
        "a.json: image 2, object 5",
    ]


def test_a_cut_file_says_where(tmp_path: Path) -> None:
    text = json.dumps({str(i): image("cat", "hat") for i in range(50)}, indent=1)
    for cut in (1, 100, 2000, len(text) - 1):
        path = write(tmp_path / "a.json", text[:cut])
        with pytest.raises(SourceError, match=rf"a\.json: .*byte {cut} \(line \d+\)"):
            SceneGraphs((path,)).scan()


def test_damage_inside_says_where(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", '{"1": {"width": 1},\n"2": {"width": 1]}\n}')
    with pytest.raises(SourceError, match=r"line 2"):
        SceneGraphs((path,)).scan()


def test_a_folder_whose_annotations_are_all_bad_is_not_called_wrong(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"x")
    found = SceneGraphs((write(tmp_path / "a.json", {"1": []}),), str(tmp_path)).scan()
    assert found.examples.num_rows == 0
    assert found.contexts.schema == CONTEXTS
    assert found.rejected.num_rows == 1


@pytest.mark.parametrize("text", ['{"5": {"name": "\\ud800"}}', "[" * 100_000])
def test_what_no_decoder_takes_is_told(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "a.json", f'{{"1": {{"objects": {text}}}}}')
    with pytest.raises(SourceError, match=r"a\.json"):
        SceneGraphs((path,)).scan()


@pytest.mark.parametrize("content", ["", "  \n", "\ufeff"])
def test_an_empty_file_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(SourceError, match="empty"):
        SceneGraphs((write(tmp_path / "a.json", content),)).scan()


@pytest.mark.parametrize("content", ["[]", '"x"', "3", "null"])
def test_another_top_level_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(SourceError, match="object"):
        SceneGraphs((write(tmp_path / "a.json", content),)).scan()


def test_gzip_whole_and_cut(tmp_path: Path) -> None:
    data = gzip.compress(json.dumps({"1": image("cat", "hat")}).encode())
    (tmp_path / "a.json.gz").write_bytes(data)
    assert SceneGraphs((str(tmp_path / "a.json.gz"),)).scan().contexts.num_rows == 2
    (tmp_path / "b.json.gz").write_bytes(data[:-9])
    with pytest.raises(SourceError, match=r"b\.json\.gz: the gzip file is cut short"):
        SceneGraphs((str(tmp_path / "b.json.gz"),)).scan()


def test_a_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", "\ufeff" + json.dumps({"1": image("cat", "hat")}))
    assert SceneGraphs((path,)).scan().contexts.num_rows == 2


def test_missing_inputs_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "train_sceneGraphs.json", {"1": image("cat")})
    with pytest.raises(SourceError, match=r"did you mean 'train_sceneGraphs\.json'"):
        SceneGraphs((str(tmp_path / "train_scenegraph.json"),)).scan()
    with pytest.raises(SourceError, match="no such folder"):
        SceneGraphs((path,), str(tmp_path / "pictures")).scan()
    with pytest.raises(SourceError, match=r"none of the 1 annotated images .*'1\.jpg'"):
        SceneGraphs((path,), str(tmp_path)).scan()
    with pytest.raises(ConfigurationError, match="graphs"):
        SceneGraphs(()).scan()
    with pytest.raises(ConfigurationError, match="attributes='some'"):
        SceneGraphs((path,), attributes="some").scan()  # type: ignore[arg-type]


def test_ids_that_lead_out_of_the_folder_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"s")
    (tmp_path / "images" / "1.jpg").write_bytes(b"i")
    path = write(tmp_path / "a.json", {"../secret": image("cat"), "1": image("cat")})
    found = SceneGraphs((path,), str(tmp_path / "images")).scan()
    assert found.examples["example_id"].to_pylist() == ["1"]
    assert found.counts["annotations_without_image"] == 1


def test_images_behind_a_url(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"one")
    path = write(tmp_path / "a.json", {"1": image("cat"), "2": image("cat")})
    source = SceneGraphs((f"file://{path}",), f"file://{tmp_path}")
    found = source.scan()
    assert found.examples["modified"].to_pylist() == [0]
    assert found.examples["bytes"].to_pylist() == [3]
    assert source.reader()(found.examples["locator"][0].as_py()) == {"image": b"one"}
    assert found.counts["annotations_without_image"] == 1


def test_the_reader_says_what_is_wrong(tmp_path: Path) -> None:
    read = SceneGraphs(("a.json",)).reader()
    (tmp_path / "empty.jpg").touch()
    for missing in (str(tmp_path / "none.jpg"), f"file://{tmp_path}/none.jpg"):
        with pytest.raises(ContentError, match="No such file") as told:
            read(missing)
        assert str(tmp_path) not in str(told.value)
    with pytest.raises(ContentError, match="empty"):
        read(str(tmp_path / "empty.jpg"))
    with pytest.raises(ContentError):
        read(str(tmp_path))


@pytest.mark.slow
def test_85_thousand_images_take_seconds() -> None:
    rng = np.random.default_rng(0)
    objects = [SceneObject(f"thing {i}") for i in range(1700)]
    draw = rng.zipf(1.3, (85_000, 16)) % 1700
    graphs = [
        SceneGraph(640, 480, objects={str(j): objects[k] for j, k in enumerate(row)})
        for row in draw
    ]
    table = annotate(graphs)
    names = [len(set(row)) for row in draw[:1000].tolist()]
    self_pairs = sum(n > 1 for row in draw[:1000].tolist() for n in Counter(row).values())
    first = table["example"].to_numpy()
    assert (first < 1000).sum() == sum(n * (n - 1) for n in names) + self_pairs


def test_a_file_given_twice_is_said() -> None:
    with pytest.raises(ConfigurationError, match=r"a\.json twice"):
        SceneGraphs(("a.json", "b.json", "a.json")).scan()
