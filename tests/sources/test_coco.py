"""COCO instances: contexts, licences, captions, damaged records, and real photographs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shiftbench.errors import SourceError
from shiftbench.schema import Source
from shiftbench.sources.coco import CocoInstances, licence_id


def document(**parts) -> dict:
    return {
        "info": {"description": "Pets 2020", "url": "https://example.org", "contributor": "Ada"},
        "licenses": [
            {"id": 1, "name": "Attribution", "url": "http://creativecommons.org/licenses/by/2.0/"},
            {"id": 2, "name": "House rules", "url": ""},
        ],
        "categories": [{"id": i, "name": n} for i, n in ((7, "cat"), (8, "dog"), (9, "hat"))],
        "images": [
            {"id": 12, "file_name": "b/12.jpg", "width": 6, "height": 5, "license": 1,
             "flickr_url": "http://flickr/12"},
            {"id": 3, "file_name": "3.jpg", "width": 4, "height": 3, "license": 2},
        ],
        "annotations": [
            {"id": 1, "image_id": 12, "category_id": 7, "segmentation": [[1, 2]], "iscrowd": 0},
            {"id": 2, "image_id": "12", "category_id": 9, "iscrowd": 1},
            {"id": 3, "image_id": 12, "category_id": 7},
            {"id": 4, "image_id": 3, "category_id": 8},
        ],
        **parts,
    }  # fmt: skip


def write(path: Path, content: dict) -> str:
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def rows(table) -> list[tuple]:
    return [tuple(r.values()) for r in table.to_pylist()]


def test_contexts_are_the_other_categories(tmp_path: Path) -> None:
    source = CocoInstances(write(tmp_path / "i.json", document()))
    assert isinstance(source, Source)
    found = source.scan()
    assert found.examples["example_id"].to_pylist() == ["12", "3"]
    assert rows(found.contexts) == [(0, "cat", "hat", "object"), (0, "hat", "cat", "object")]
    assert found.examples["n_objects"].to_pylist() == [3, 1]
    assert found.examples["license"].to_pylist() == ["cc-by-2.0", "House rules"]
    assert found.examples["attribution"].to_pylist() == ["http://flickr/12", None]
    assert found.notes == {
        "title": "Pets 2020",
        "url": "https://example.org",
        "attribution": "Ada",
    }
    assert dict(found.content) == {}


def test_images_in_folders_below(tmp_path: Path) -> None:
    (tmp_path / "images" / "b").mkdir(parents=True)
    (tmp_path / "images" / "b" / "12.jpg").write_bytes(b"twelve")
    (tmp_path / "images" / "b" / "13.jpg").write_bytes(b"thirteen")
    source = CocoInstances(write(tmp_path / "i.json", document()), str(tmp_path / "images"))
    found = source.scan()
    assert found.examples["example_id"].to_pylist() == ["12"]
    assert found.counts["annotations_without_image"] == 1
    assert found.counts["images_without_annotation"] == 1
    assert source.reader()(found.examples["locator"][0].as_py()) == {"image": b"twelve"}


def test_captions_meet_their_images(tmp_path: Path) -> None:
    captions = {
        "annotations": [
            {"id": 20, "image_id": "12", "caption": "second"},
            {"id": 3, "image_id": 12, "caption": " first\n"},
            {"id": 4, "image_id": 99, "caption": "nowhere"},
            {"id": 5, "image_id": 3},
        ]
    }
    found = CocoInstances(
        write(tmp_path / "i.json", document()), captions=write(tmp_path / "c.json", captions)
    ).scan()
    assert found.examples["captions"].to_pylist() == [["first", "second"], []]
    assert found.counts["captions_without_image"] == 1
    assert found.rejected["input"].to_pylist() == ["c.json: annotations[3]"]


def test_records_that_cannot_be_used_are_recorded(tmp_path: Path) -> None:
    content = document()
    content["images"] += [
        {"id": 3, "file_name": "again.jpg"},
        {"id": 4, "file_name": "../up.jpg"},
        {"id": 5},
        {"id": 6, "file_name": "6.jpg", "width": -1},
        {"id": "", "file_name": "7.jpg"},
    ]
    content["categories"] += [{"id": 7, "name": "twice"}, {"id": 1, "name": " "}, {"id": 2}]
    content["annotations"] += [
        {"image_id": 3, "category_id": 55},
        {"image_id": 77, "category_id": 7},
        {"image_id": 3},
        "nothing",
    ]
    found = CocoInstances(write(tmp_path / "i.json", content)).scan()
    assert sorted(found.rejected["input"].to_pylist()) == [
        "i.json: annotations[4]",
        "i.json: annotations[6]",
        "i.json: annotations[7]",
        "i.json: categories[3]",
        "i.json: categories[4]",
        "i.json: categories[5]",
        "i.json: images[2]",
        "i.json: images[3]",
        "i.json: images[4]",
        "i.json: images[5]",
        "i.json: images[6]",
    ]
    assert found.counts["annotations_of_unknown_image"] == 1
    assert found.examples["example_id"].to_pylist() == ["12", "3"]
    assert found.examples["n_objects"].to_pylist() == [3, 1]


def test_files_of_another_form_are_refused(tmp_path: Path) -> None:
    content = document()
    del content["categories"]
    with pytest.raises(SourceError, match="no 'categories' among its keys"):
        CocoInstances(write(tmp_path / "i.json", content)).scan()
    with pytest.raises(SourceError, match="images: a list was expected"):
        CocoInstances(write(tmp_path / "i.json", document(images={}))).scan()
    (tmp_path / "t.json").write_text(json.dumps(document())[:300])
    with pytest.raises(SourceError, match=r"t\.json: the JSON is cut short: it ends at byte 300"):
        CocoInstances(str(tmp_path / "t.json")).scan()
    (tmp_path / "r.json").write_text('{"images": [], "annotations": [], "images": []}')
    with pytest.raises(SourceError, match="'images' occurs more than once"):
        CocoInstances(str(tmp_path / "r.json")).scan()
    (tmp_path / "l.json").write_text("[1]")
    with pytest.raises(SourceError, match="object"):
        CocoInstances(str(tmp_path / "l.json")).scan()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://creativecommons.org/licenses/by-nc-nd/2.0/", "cc-by-nc-nd-2.0"),
        ("https://creativecommons.org/licenses/by-sa/4.0/deed.en", "cc-by-sa-4.0"),
        ("http://www.usa.gov/copyright.shtml", "us-government-work"),
        ("http://flickr.com/commons/usage/", "no-known-copyright-restrictions"),
    ],
)
def test_licences(url: str, expected: str) -> None:
    assert licence_id(url) == expected


def test_real_photographs(shared_data: Path) -> None:
    folder = shared_data / "coco"
    source = CocoInstances(
        str(folder / "instances.json"),
        str(folder / "images"),
        str(folder / "captions_val2017.json.gz"),
    )
    found = source.scan()
    content = json.loads((folder / "instances.json").read_text())
    assert found.examples.num_rows == 110
    assert found.rejected.num_rows == 0
    assert set(found.examples["license"].to_pylist()) <= {
        "cc-by-2.0",
        "cc-by-sa-2.0",
        "cc-by-nc-2.0",
        "cc-by-nc-sa-2.0",
        "no-known-copyright-restrictions",
        "us-government-work",
    }
    names = {c["id"]: c["name"] for c in content["categories"]}
    seen: dict[str, set[str]] = {}
    for a in content["annotations"]:
        seen.setdefault(str(a["image_id"]), set()).add(names[a["category_id"]])
    ids = found.examples["example_id"].to_pylist()
    literal = {(i, s, c, "object") for i in seen for s in seen[i] for c in seen[i] if s != c}
    assert {(ids[r[0]], *r[1:]) for r in rows(found.contexts)} == literal
    assert found.contexts.num_rows == len(literal)
    first = found.examples.slice(0, 1).to_pylist()[0]
    data = source.reader()(first["locator"])["image"]
    assert len(data) == first["bytes"]
    assert data[:2] == b"\xff\xd8"


def test_one_file_under_two_ids_is_one_cluster(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": n} for i, n in ((1, "a.jpg"), (2, "b.jpg"), (3, "./a.jpg"))]
    found = CocoInstances(write(tmp_path / "i.json", document(images=images))).scan()
    assert found.examples["cluster_id"].to_pylist() == ["1", "2", "1"]


@pytest.mark.parametrize("folder", ["a\0b", "a" * 300, "3.jpg"])
def test_a_name_in_a_folder_that_cannot_be_is_an_absent_image(tmp_path: Path, folder: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "3.jpg").touch()
    images = [{"id": 1, "file_name": f"{folder}/1.jpg"}, {"id": 3, "file_name": "3.jpg"}]
    path = write(tmp_path / "i.json", document(images=images))
    found = CocoInstances(path, str(tmp_path / "images")).scan()
    assert found.examples["example_id"].to_pylist() == ["3"]
    assert found.counts["annotations_without_image"] == 1


@pytest.mark.parametrize("path", ["nothing://x/i.json", "a\0b.json"])
def test_a_path_that_cannot_be_opened_is_told(tmp_path: Path, path: str) -> None:
    with pytest.raises(SourceError, match="the file cannot be read"):
        CocoInstances(path).scan()
    with pytest.raises(SourceError, match="the folder cannot be read"):
        CocoInstances(write(tmp_path / "i.json", document()), path).scan()
