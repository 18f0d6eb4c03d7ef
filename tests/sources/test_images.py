"""Tables of images: every form of table, class, tags and image, and rows that cannot be used."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from shiftbench.errors import ConfigurationError, ContentError, SourceError
from shiftbench.schema import Source
from shiftbench.sources.images import ImageTable

datasets.disable_progress_bars()


def png(color: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), color).save(buffer, "PNG")
    return buffer.getvalue()


IMAGES = [png(c) for c in ("red", "blue", "green")]
ROWS = [(0, "cat", "bed", "object"), (0, "cat", "sofa", "object"), (2, "cat", "sofa", "object")]


def rows(table: pa.Table) -> list[tuple]:
    return [tuple(r.values()) for r in table.to_pylist()]


def dataset() -> datasets.Dataset:
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
            "tags": datasets.List(datasets.Value("string")),
            "age": datasets.Value("int32"),
            "mood": datasets.ClassLabel(names=["calm", "wild"]),
            "box": {"x": datasets.Value("int32")},
        }
    )
    content = {
        "image": [{"bytes": b, "path": None} for b in IMAGES],
        "label": [0, 1, 0],
        "tags": [["sofa", "bed"], [], ["sofa", "sofa"]],
        "age": [1, None, 3],
        "mood": [1, 0, None],
        "box": [{"x": 1}] * 3,
    }
    return datasets.Dataset.from_dict(content, features=features)


@pytest.fixture(params=["dataset", "selected", "disk", "parquet"])
def table(request, tmp_path: Path):
    made = dataset()
    if request.param == "selected":
        return datasets.concatenate_datasets([made.select([2, 1, 0])]).select([2, 1, 0])
    if request.param == "disk":
        made.save_to_disk(str(tmp_path / "d"))
        return str(tmp_path / "d")
    if request.param == "parquet":
        made.to_parquet(str(tmp_path / "t.parquet"), batch_size=2)
        return str(tmp_path / "t.parquet")
    return made


def test_every_form_of_table_says_the_same(table) -> None:
    source = ImageTable(table)
    assert isinstance(source, Source)
    found = source.scan()
    assert found.examples["example_id"].to_pylist() == ["00000000", "00000001", "00000002"]
    assert found.examples["age"].to_pylist() == [1, None, 3]
    assert found.examples["mood"].to_pylist() == ["wild", "calm", None]
    assert found.examples["bytes"].to_pylist() == [len(b) for b in IMAGES]
    assert rows(found.contexts) == ROWS
    assert found.counts["columns_left_out"] == 1
    assert found.rejected.num_rows == 0
    assert found.fingerprint == ImageTable(dataset()).scan().fingerprint
    read = pickle.loads(pickle.dumps(source)).reader()
    assert [read(x)["image"] for x in found.examples["locator"].to_pylist()] == IMAGES


def test_the_fingerprint_heeds_the_pixels() -> None:
    changed = dataset().map(lambda r, i: {"age": 7} if i == 0 else {}, with_indices=True)
    other = dataset().select([1, 0, 2])
    prints = {ImageTable(t).scan().fingerprint for t in (dataset(), changed, other)}
    assert len(prints) == 3


def write_csv(tmp_path: Path, text: str) -> str:
    for i, data in enumerate(IMAGES):
        (tmp_path / f"{i}.png").write_bytes(data)
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    return str(tmp_path / "t.csv")


def test_csv_with_a_separator_and_ids(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path,
        "file,species,seen,id,who,terms,age\n"
        "0.png,cat, sofa ; bed,007,ann,cc0-1.0,1\n"
        "1.png,dog,,08,,,\n"
        "gone.png,dog,sofa,09,ann,,2\n",
    )
    source = ImageTable(
        path,
        class_column="species",
        tags_column="seen",
        tags_separator=";",
        image_column="file",
        images=str(tmp_path),
        id_column="id",
        cluster_column="who",
        license_column="terms",
    )
    found = source.scan()
    assert found.examples["example_id"].to_pylist() == ["007", "08"]
    assert found.examples["cluster_id"].to_pylist() == ["ann", "08"]
    assert found.examples["license"].to_pylist() == ["cc0-1.0", ""]
    assert found.examples["age"].to_pylist() == [1, None]
    assert rows(found.contexts) == ROWS[:2]
    assert found.counts["annotations_without_image"] == 1
    assert found.counts["images_without_annotation"] == 1
    assert all(m > 0 for m in found.examples["modified"].to_pylist())
    read = source.reader()
    assert [read(x)["image"] for x in found.examples["locator"].to_pylist()] == IMAGES[:2]


def test_csv_with_json_tags_and_awkward_text(tmp_path: Path) -> None:
    tags = json.dumps(["a, b", 'say "x"', "(y)", "é/<b>"], ensure_ascii=False).replace('"', '""')
    path = write_csv(tmp_path, f'image,label,tags\n0.png,3,"{tags}"\n1.png,04,"[]"\n2.png,5,a;b\n')
    found = ImageTable(path, images=str(tmp_path)).scan()
    assert rows(found.contexts) == [
        (0, "3", "(y)", "object"),
        (0, "3", "a, b", "object"),
        (0, "3", 'say "x"', "object"),
        (0, "3", "é/<b>", "object"),
    ]
    assert "04" in found.contexts["subject"].combine_chunks().dictionary.to_pylist()
    assert found.rejected["input"].to_pylist() == ["t.csv: row 2"]
    assert "separator" in found.rejected["reason"][0].as_py()


def test_paths_without_a_folder_make_an_index(tmp_path: Path) -> None:
    path = write_csv(tmp_path, "image,label,tags\n0.png,cat,a\n")
    found = ImageTable(path, tags_separator=";").scan()
    assert dict(found.content) == {}
    assert found.examples["locator"].to_pylist() == [None]


def test_paths_that_lead_out_are_recorded(tmp_path: Path) -> None:
    path = write_csv(tmp_path, "image,label,tags\n0.png,cat,a\n../x.png,cat,a\n/etc/passwd,cat,a\n")
    found = ImageTable(path, tags_separator=";", images=str(tmp_path)).scan()
    assert found.examples.num_rows == 1
    assert found.rejected["input"].to_pylist() == ["t.csv: row 1", "t.csv: row 2"]


def test_a_dataset_of_paths(tmp_path: Path) -> None:
    write_csv(tmp_path, "")
    made = datasets.Dataset.from_dict(
        {
            "image": [str(tmp_path / n) for n in ("0.png", "2.png", "none.png")],
            "label": ["cat", "dog", "dog"],
            "tags": [["a"], ["b"], ["c"]],
        }
    ).cast_column("image", datasets.Image())
    source = ImageTable(made)
    found = source.scan()
    assert found.examples.num_rows == 2
    assert found.counts["annotations_without_image"] == 1
    read = source.reader()
    assert [read(x)["image"] for x in found.examples["locator"].to_pylist()] == IMAGES[::2]


def test_rows_that_cannot_be_used_are_recorded(tmp_path: Path) -> None:
    content = {
        "image": pa.array([*IMAGES, None, b"", b"x", b"y"], pa.binary()),
        "label": ["cat", None, " ", "dog", "cat", "cat", "cow"],
        "tags": [["a", None, ""], ["a"], ["a"], ["a"], None, ["b"], []],
        "id": ["1", "2", "3", "4", "5", "1", None],
    }
    pq.write_table(pa.table(content), tmp_path / "t.parquet", row_group_size=2)
    source = ImageTable(str(tmp_path / "t.parquet"), id_column="id")
    found = source.scan()
    assert found.examples["example_id"].to_pylist() == ["1", "5"]
    assert rows(found.contexts) == [(0, "cat", "a", "object")]
    assert [r["input"] for r in found.rejected.to_pylist()] == [
        f"t.parquet: row {i}" for i in (1, 2, 5, 6)
    ]
    assert found.counts["annotations_without_image"] == 1
    read = source.reader()
    assert read("#0") == {"image": IMAGES[0]}
    with pytest.raises(ContentError, match="empty"):
        read("#4")
    with pytest.raises(ContentError, match="row 70"):
        read("#70")


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_other_spellings_of_text(tmp_path: Path, kind: pa.DataType) -> None:
    content = {
        "label": pa.array(["cat"]).cast(kind),
        "tags": pa.array([["a"]], pa.large_list(pa.large_string())),
        "place": pa.array(["x"]).cast(kind),
        "image": pa.array(["0.png"], pa.large_string()),
    }
    pq.write_table(pa.table(content), tmp_path / "t.parquet")
    (tmp_path / "0.png").write_bytes(IMAGES[0])
    found = ImageTable(str(tmp_path / "t.parquet"), images=str(tmp_path)).scan()
    assert rows(found.contexts) == [(0, "cat", "a", "object")]
    assert found.examples["place"].to_pylist() == ["x"]
    assert found.examples["bytes"].to_pylist() == [len(IMAGES[0])]


def test_without_tags_the_class_is_a_column(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,species,place\nb.png,cat,x\na.png,,y\nc.png,dog,z\n")
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(IMAGES[0])
    source = ImageTable(str(tmp_path / "t.csv"), class_column="species", images=str(tmp_path))
    found = source.scan()
    assert found.examples["label"].to_pylist() == ["cat", "dog"]
    assert found.examples["place"].to_pylist() == ["x", "z"]
    assert "row has no class" in found.rejected["reason"].to_pylist()[0]
    assert not len(found.contexts)
    assert source.reader()(found.examples["locator"][0].as_py()) == {"image": IMAGES[0]}
    untagged = ImageTable(dataset(), tags_column="").scan()
    assert untagged.examples["label"].to_pylist() == ["cat", "dog", "cat"]
    assert not len(untagged.contexts)
    with pytest.raises(ConfigurationError, match="no column 'tag'; did you mean 'tags'"):
        ImageTable(dataset(), tags_column="tag").scan()


def test_wrong_configurations_are_told(tmp_path: Path) -> None:
    made = dataset()
    with pytest.raises(ConfigurationError, match="no column 'lable'; did you mean 'label'"):
        ImageTable(made, class_column="lable").scan()
    with pytest.raises(ConfigurationError, match="no column 'picture'"):
        ImageTable(made, image_column="picture").scan()
    with pytest.raises(ConfigurationError, match="'box' is of type struct"):
        ImageTable(made, class_column="box", drop=("label",)).scan()
    with pytest.raises(ConfigurationError, match="'age' is of type int32"):
        ImageTable(made, tags_column="age").scan()
    with pytest.raises(ConfigurationError, match=r"drop=\('subset',\)"):
        ImageTable(made.add_column("subset", ["a"] * 3)).scan()
    assert ImageTable(made.add_column("subset", ["a"] * 3), drop=("subset",)).scan()
    with pytest.raises(ConfigurationError, match="splits 'train'"):
        ImageTable(datasets.DatasetDict({"train": made})).scan()  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="a dict"):
        ImageTable({}).scan()  # type: ignore[arg-type]
    datasets.DatasetDict({"train": made}).save_to_disk(str(tmp_path / "d"))
    with pytest.raises(ConfigurationError, match="splits 'train'; name one"):
        ImageTable(str(tmp_path / "d")).scan()


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        ImageTable(str(tmp_path / "t.parquet")).scan()
    with pytest.raises(SourceError, match="no such file"):
        ImageTable(str(tmp_path / "t.csv")).scan()
    with pytest.raises(SourceError, match="no such file"):
        ImageTable(str(tmp_path / "t.xls")).scan()
    (tmp_path / "t.xls").touch()
    with pytest.raises(ConfigurationError, match=r"\.parquet, .*\.csv"):
        ImageTable(str(tmp_path / "t.xls")).scan()
    dataset().to_parquet(str(tmp_path / "t.parquet"))
    data = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "c.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceError, match=r"c\.parquet"):
        ImageTable(str(tmp_path / "c.parquet")).scan()
    (tmp_path / "e.csv").touch()
    with pytest.raises(SourceError, match=r"e\.csv"):
        ImageTable(str(tmp_path / "e.csv")).scan()
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="save_to_disk"):
        ImageTable(str(tmp_path / "empty")).scan()


def test_names_that_look_like_nulls_are_names(tmp_path: Path) -> None:
    words = ["null", "NA", "nan", "true", "yes", "1", "-"]
    lines = [f"{w},{w},{w},{w},{w}" for w in words]
    path = write_csv(tmp_path, "\n".join(["label,tags,id,who,note", *lines, ",x,7,,"]))
    found = ImageTable(path, tags_separator=";", id_column="id", cluster_column="who").scan()
    assert sorted(found.examples["example_id"].to_pylist()) == sorted(words)
    by_id = dict(
        zip(
            found.examples["example_id"].to_pylist(),
            zip(
                found.examples["cluster_id"].to_pylist(),
                found.examples["note"].to_pylist(),
                strict=True,
            ),
            strict=True,
        )
    )
    assert by_id["NA"] == ("NA", None)
    assert by_id["yes"] == ("yes", "yes")
    assert found.rejected["reason"].to_pylist() == ["the row has no class"]


def test_a_tag_that_is_the_class_is_no_context(tmp_path: Path) -> None:
    path = write_csv(tmp_path, "label,tags\ncat,cat;sofa;Cat\n")
    found = ImageTable(path, tags_separator=";").scan()
    assert [r[2] for r in rows(found.contexts)] == ["Cat", "sofa"]


def test_rows_of_one_file_are_one_cluster(tmp_path: Path) -> None:
    text = "image,label,tags\n0.png,cat,a\n1.png,cat,a\n./0.png,dog,b\n"
    path = write_csv(tmp_path, text)
    found = ImageTable(path, tags_separator=";", images=str(tmp_path)).scan()
    assert found.examples["cluster_id"].to_pylist() == ["00000000", "00000001", "00000000"]


def test_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path, "label,tags,label\ncat,a,dog\n")
    with pytest.raises(ConfigurationError, match="one name: 'label'"):
        ImageTable(path, tags_separator=";").scan()
    twice = pa.Table.from_arrays([pa.array(["x"])] * 3, names=["label", "tags", "tags"])
    pq.write_table(twice, tmp_path / "t.parquet")
    with pytest.raises(ConfigurationError, match="one name: 'tags'"):
        ImageTable(str(tmp_path / "t.parquet")).scan()


def test_tags_that_cannot_be_read_are_recorded(tmp_path: Path) -> None:
    path = write_csv(tmp_path, 'label,tags\ncat,"[""\\ud800""]"\ncat,' + "[" * 9000 + "\n")
    assert ImageTable(path).scan().rejected.num_rows == 2
    with pytest.raises(ConfigurationError, match="tags_separator is empty"):
        ImageTable(path, tags_separator="").scan()


def table_of(tmp_path: Path, noted: object = None, **columns) -> ImageTable:
    table = pa.table({"label": ["cat", "dog"], "tags": [["a"], ["b"]], **columns})
    if noted is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps(noted)})
    pq.write_table(table, tmp_path / "t.parquet")
    return ImageTable(str(tmp_path / "t.parquet"))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("image", [1, 2]),
        ("image", [[1], [2]]),
        ("image", [{"x": b"a"}, {"x": b"b"}]),
        ("image", [{"bytes": "a", "path": "b"}] * 2),
        ("tags", [[{"a": 1}], []]),
        ("tags", [[["a"]], []]),
        ("tags", [[b"a"], []]),
        ("tags", pa.array([["a"], ["b"]], pa.list_(pa.string(), 1))),
    ],
)
def test_columns_of_another_kind_are_refused(tmp_path: Path, name: str, values) -> None:
    with pytest.raises(ConfigurationError, match=f"the column '{name}' is of type"):
        table_of(tmp_path, **{name: values}).scan()


def test_views_and_dictionaries_of_text_are_text(tmp_path: Path) -> None:
    write_csv(tmp_path, "")
    source = table_of(
        tmp_path,
        label=pa.array(["cat", "dog"], pa.string_view()),
        notes=pa.array([["x"], None], pa.list_(pa.string_view())),
        image=pa.array(["0.png", "2.png"]).dictionary_encode(),
    )
    found = ImageTable(source.table, images=str(tmp_path)).scan()
    assert rows(found.contexts) == [(0, "cat", "a", "object"), (1, "dog", "b", "object")]
    assert found.examples["notes"].to_pylist() == [["x"], None]
    read = source.reader()
    assert [read(x)["image"] for x in found.examples["locator"].to_pylist()] == IMAGES[::2]


@pytest.mark.parametrize("noted", [[], {"info": None}, {"info": {"features": 3}}])
def test_notes_that_are_not_those_of_datasets_do_not_count(tmp_path: Path, noted) -> None:
    assert table_of(tmp_path, noted).scan().examples.num_rows == 2


def test_class_labels_out_of_range_are_recorded(tmp_path: Path) -> None:
    label = {"names": ["cat", "dog"], "_type": "ClassLabel"}
    features = {"label": label, "tags": {"feature": label, "_type": "List"}}
    noted = {"info": {"features": features}}
    found = table_of(tmp_path, noted, label=[0, 5], tags=[[7], [0]]).scan()
    assert found.rejected["reason"].to_pylist() == [
        "the tag 7 has no name; there are 2",
        "the row has no class",
    ]


def test_a_dataset_none_of_whose_files_is_there_is_refused() -> None:
    made = datasets.Dataset.from_dict(
        {"image": ["/nowhere/0.png"], "label": ["cat"], "tags": [["a"]]}
    ).cast_column("image", datasets.Image())
    with pytest.raises(SourceError, match=r"none of the 1 image files.*/nowhere/0\.png"):
        ImageTable(made).scan()
