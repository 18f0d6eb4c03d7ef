"""Several sources side by side: ids, columns, contexts, licences, and what does not fit."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as field_of
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shiftbench as sb
from shiftbench.errors import ConfigurationError, ContentError
from shiftbench.options import from_recipe
from shiftbench.pipeline import source_recipe
from shiftbench.schema import CONTEXTS, Image, Metadata, Value
from shiftbench.sources import Digits, ImageFolders, Scenes, Together
from shiftbench.sources._metadata import rejected_table
from shiftbench.sources._parts import part_of_text
from shiftbench.sources._pixel_images import pixel_metadata


@dataclass(frozen=True)
class Made:
    """Two images, with any other columns and properties."""

    columns: Mapping[str, Any] = field_of(default_factory=dict)
    properties: Mapping[str, Any] = field_of(default_factory=dict)

    def scan(self) -> Metadata:
        import dataclasses

        import numpy as np

        ids = pa.array(["a", "b"])
        found = pixel_metadata(
            ids, np.arange(2), pa.array(["x", "y"]), pixels=4, fingerprint="made", license="",
            redistributable=True, notes={},
        )  # fmt: skip
        examples = found.examples
        for name, values in self.columns.items():
            examples = examples.append_column(name, values)
        return dataclasses.replace(found, examples=examples, **self.properties)

    def reader(self) -> Callable[[str], Mapping[str, Any]]:
        return lambda locator: {"image": locator.encode()}


def test_ids_clusters_and_locators_name_their_part():
    source = Together({"one": Made(), "two": Made()})
    found = source.scan()
    kept = found.examples.select(["example_id", "cluster_id", "label", "dataset"]).to_pylist()
    assert [tuple(r.values()) for r in kept] == [
        ("one/a", "one/a", "x", "one"),
        ("one/b", "one/b", "y", "one"),
        ("two/a", "two/a", "x", "two"),
        ("two/b", "two/b", "y", "two"),
    ]
    read = source.reader()
    assert read(found.examples["locator"][3].as_py()) == {"image": b"1"}
    with pytest.raises(ContentError, match="none of the sources"):
        read("three:0")


def test_ids_are_sorted_whatever_the_names():
    names = ["a-b", "a", "a.b", "B", "a_b", "1"]
    found = Together({n: Made() for n in names}).scan().examples
    ids = found["example_id"].to_pylist()
    assert ids == sorted(ids)
    assert [i.split("/")[0] for i in ids] == found["dataset"].to_pylist()
    assert Together({n: Made() for n in reversed(names)}).scan().examples == found


def test_columns_are_united_and_missing_ones_null():
    site = pa.array(["n", "s"]).dictionary_encode()
    found = Together(
        {"one": Made({"site": site, "none": pa.nulls(2)}), "two": Made({"none": pa.array([1, 2])})}
    ).scan()
    assert found.examples["site"].to_pylist() == ["n", "s", None, None]
    assert found.examples["none"].to_pylist() == [None, None, 1, 2]


def test_columns_and_content_that_do_not_fit():
    with pytest.raises(ConfigurationError, match="'age' holds int64 in 'one' and string in 'two'"):
        Together(
            {"one": Made({"age": pa.array([1, 2])}), "two": Made({"age": pa.array(["1", "2"])})}
        ).scan()
    with pytest.raises(ConfigurationError, match="column 'dataset'"):
        Together({"one": Made({"dataset": pa.array(["1", "2"])})}).scan()
    text = Made(properties={"content": {"text": Value("string")}})
    with pytest.raises(ConfigurationError, match=r"the content differs.*'one': image.*'two': text"):
        Together({"one": Made(), "two": text}).scan()
    assert Made().scan().content == {"image": Image()}


def test_parts_of_one_input_keep_their_number():
    part = Made({"locator_part": pa.array([7, 8], pa.int32())})
    found = Together({"one": part, "two": Made()}).scan().examples
    assert found["locator"].to_pylist() == ["one:0\x1f7", "one:1\x1f8", "two:0", "two:1"]
    assert "locator_part" not in found.column_names


def test_licences_are_kept_by_example_where_they_differ():
    mit = Made(properties={"license": "mit", "redistributable": False})
    own = Made({"license": pa.array(["cc0-1.0", None])}, {"license": "cc-by-4.0"})
    found = Together({"a": mit, "b": own, "c": Made()}).scan()
    assert found.examples["license"].to_pylist() == [
        "mit", "mit", "cc0-1.0", "cc-by-4.0", None, None,
    ]  # fmt: skip
    assert (found.license, found.redistributable) == ("", False)
    same = Together({"a": mit, "b": mit}).scan()
    assert same.license == "mit"
    assert "license" not in same.examples.column_names


def test_contexts_are_counted_on_and_named_in_order():
    parts = {"b": Scenes(n_scenes=40, size=32), "a": Scenes(n_scenes=30, size=32, seed=1)}
    found = Together(parts).scan()
    expected = []
    for name in ("a", "b"):
        one = parts[name].scan()
        ids = one.examples["example_id"].to_pylist()
        for row in one.contexts.to_pylist():
            expected.append((f"{name}/{ids[row['example']]}", *list(row.values())[1:]))
    ids = found.examples["example_id"].to_pylist()
    made = [(ids[r["example"]], *list(r.values())[1:]) for r in found.contexts.to_pylist()]
    assert made == expected
    assert found.contexts.schema == CONTEXTS
    dictionary = found.contexts["context"].chunk(0).dictionary.to_pylist()
    assert dictionary == sorted(dictionary)


def test_what_else_is_put_together():
    one = Made(
        properties={
            "identity": "bytes", "counts": {"gone": 1}, "columns": ("label",),
            "rejected": rejected_table([("x.png", "bad")]),
            "notes": {"title": "First", "parents": [{"builder": "b"}], "remark": "r"},
        }
    )  # fmt: skip
    two = Made(properties={"counts": {"gone": 2}, "unit": "label", "notes": {"title": "Second"}})
    found = Together({"one": one, "two": two}).scan()
    assert found.identity == "pixels"
    assert found.counts == {"gone": 3}
    assert found.columns == ("label",)
    assert found.unit == "example_id"
    assert found.rejected.to_pylist() == [{"input": "one/x.png", "reason": "bad"}]
    assert found.notes == {
        "title": "one: First; two: Second", "remark": "one: r", "parents": [{"builder": "b"}],
    }  # fmt: skip
    plain = Together({"one": one}).scan()
    assert plain.identity == "bytes"
    assert plain.fingerprint != found.fingerprint


def test_parts_as_text():
    source = Together(("small=digits:size=8", "s=scenes:n_scenes=5,size=32,shuffle_contexts=true"))
    assert source.sources == {
        "small": Digits(size=8), "s": Scenes(n_scenes=5, size=32, shuffle_contexts=True),
    }  # fmt: skip
    assert pickle.loads(pickle.dumps(source)) == source
    name, folders = part_of_text(
        r"f=image_folders:folder=a\,b/c:d=e,label_level=1+2,columns=x\+y+z,cluster=^(\\d+)\,"
    )
    assert name == "f"
    assert folders == ImageFolders(
        "a,b/c:d=e", label_level=(1, 2), columns=("x+y", "z"), cluster=r"^(\d+),"
    )


@given(st.lists(st.text(st.sampled_from("ab,+\\= :"), min_size=1), min_size=1))
def test_any_text_can_be_written_in_a_part(items):
    def escaped(text):
        for sign in "\\,+":
            text = text.replace(sign, "\\" + sign)
        return text

    line = f"p=image_folders:folder=x,columns={'+'.join(map(escaped, items))}"
    if len(set(items)) < len(items) or not all(i.strip() for i in items):
        with pytest.raises(ConfigurationError):
            part_of_text(line)
    else:
        assert part_of_text(line)[1].columns == tuple(items)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((), "there are no parts"),
        ("digits", "is the text"),
        (("digits",), "is not written as name=source"),
        (("a=digit",), "no source is called 'digit'"),
        (("a=digits:sise=8",), "no option 'sise'; did you mean 'size'"),
        (("a=digits:size",), "is not written as key=value"),
        (("a=digits:size=big",), "option 'size' is 'big'"),
        (("a=digits:size=7",), "size is 7"),
        (("a=image_folders",), "needs folder"),
        (("a b=digits",), "name 'a b' is not allowed"),
        (("a/b=digits",), "is not allowed"),
        (("a=digits", "a=scenes"), "two parts have one name"),
        ({"a": 3}, "is no source"),
        ({"": Made()}, "is not allowed"),
    ],
)
def test_parts_that_are_refused(parts, message):
    with pytest.raises(ConfigurationError, match=message):
        Together(parts)


def test_the_recipe_can_be_read_back():
    source = Together({"small": Digits(size=8), "s": Scenes(n_scenes=5, size=32)})
    recipe = source_recipe(source)
    assert recipe.pop("name") == "together"
    assert recipe["parts"]["small"] == {"name": "digits", "size": 8}
    assert Together(**from_recipe(Together, recipe, "recipe")) == source
    lines = from_recipe(Together, {"parts": ["small=digits:size=8"]}, "recipe")
    assert Together(**lines).sources == {"small": Digits(size=8)}
    with pytest.raises(ConfigurationError, match=r"part 'small'.*no option 'sise'"):
        from_recipe(Together, {"parts": {"small": {"name": "digits", "sise": 8}}}, "recipe")
    with pytest.raises(ConfigurationError, match="a table with the name"):
        from_recipe(Together, {"parts": {"small": 8}}, "recipe")


def test_paths_in_the_recipe_are_cut(tmp_path):
    source = Together({"a": ImageFolders(str(tmp_path / "private" / "pets"))})
    assert source_recipe(source)["parts"]["a"]["folder"] == "pets"


def test_a_key_of_a_part_may_not_lie_in_the_output(tmp_path):
    phantoms = sb.sources.Radiographs("x.csv", key_file=str(tmp_path / "out" / "key"))
    source = Together({"r": phantoms})
    with pytest.raises(ConfigurationError, match="key file"):
        sb.build(sb.builders.MetaShift(source), tmp_path / "out")


def test_a_benchmark_of_two_sources(tmp_path):
    source = Together({n: Scenes(n_scenes=60, size=32, seed=k) for k, n in enumerate(("p", "q"))})
    bench = sb.build(
        sb.builders.MetaShift(source, classes=("cat", "dog"), min_size=5, min_subsets=2),
        tmp_path / "b", measure=False,
    )  # fmt: skip
    images = bench.table("images")
    assert set(images["dataset"].to_pylist()) == {"p", "q"}
    row = images.slice(len(images) - 1).to_pylist()[0]
    scene = row["example_id"].removeprefix("q/")
    assert row["image"]["bytes"] == source.sources["q"].reader()(scene)["image"]
