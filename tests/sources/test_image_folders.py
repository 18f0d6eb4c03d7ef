"""Folders and archives of images as a source: what they hold, and what is refused."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import Counter

import pytest

from shiftbench.errors import ConfigurationError, ContentError, SourceError
from shiftbench.sources import ImageFolders, _image_tree

PETS = ("cat/1.png", "cat/2.JPG", "dog/1.png")


def tree(folder, names, archive=False):
    """The named files, each holding its own name, as a folder or as an archive."""
    if archive:
        with zipfile.ZipFile(folder / "tree.zip", "w", zipfile.ZIP_DEFLATED) as file:
            for name in names:
                file.writestr(name, name)
        return str(folder / "tree.zip")
    for name in names:
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tree" / name).write_text(name)
    return str(folder / "tree")


@pytest.fixture(params=["folder", "archive"])
def make(request, tmp_path):
    return lambda *names: tree(tmp_path, names, request.param == "archive")


def rows(source, *columns):
    found = source.scan().examples
    return [tuple(r.values()) for r in found.select(["example_id", *columns]).to_pylist()]


def test_the_layout_of_torchvision_needs_no_options(make):
    source = ImageFolders(make(*PETS))
    assert rows(source, "label", "cluster_id") == [
        ("cat/1.png", "cat", "cat/1.png"),
        ("cat/2.JPG", "cat", "cat/2.JPG"),
        ("dog/1.png", "dog", "dog/1.png"),
    ]
    found = source.scan()
    assert found.identity == "bytes"
    assert found.examples.column_names[-1] == "label"
    read = pickle.loads(pickle.dumps(source.reader()))
    for row in found.examples.to_pylist():
        data = read(row["locator"])["image"]
        assert data == row["example_id"].encode()
        assert row["bytes"] == len(data)


def test_the_classes_are_those_of_torchvision(tmp_path):
    torchvision = pytest.importorskip("torchvision")
    folder = tree(tmp_path, [*PETS, "cat/deep/3.png", "dog/notes.txt"])
    theirs = torchvision.datasets.ImageFolder(folder)
    expected = {os.path.relpath(p, folder): theirs.classes[k] for p, k in theirs.samples}
    assert dict(rows(ImageFolders(folder), "label")) == expected


def test_shared_folders_are_passed_over_and_levels_become_columns(make):
    names = [
        f"data/{s}/{a}/{c}/1.png" for s in "xy" for a in ("Greek", "Latin") for c in ("a", "b")
    ]
    path = make(*names)
    assert rows(ImageFolders(path, label_level=(3,), columns=("set",)), "label", "set", "part_2")[
        0
    ] == ("x/Greek/a/1.png", "a", "x", "Greek")
    both = ImageFolders(path, label_level=(2, 3), columns=("set", "alphabet", "letter"))
    assert rows(both, "label", "alphabet", "letter")[-1] == (
        "y/Latin/b/1.png", "Latin/b", "Latin", "b",
    )  # fmt: skip


def test_deeper_and_shallower_images(make):
    source = ImageFolders(make("cat/a/1.png", "dog/1.png", "2.png"))
    assert rows(source, "label", "part_2") == [
        ("cat/a/1.png", "cat", "a"),
        ("dog/1.png", "dog", None),
    ]
    assert source.scan().counts["images_without_a_class"] == 1


def test_clusters(make):
    path = make("a/x/1_01.png", "a/y/2_01.png", "b/x/1_02.png", "b/y/2_03.png")
    named = {"label_level": (1, 2), "columns": ("alphabet", "letter")}

    def clusters(rule):
        found = ImageFolders(path, cluster=rule, **named).scan()
        return found.examples["cluster_id"].to_pylist()

    assert clusters("alphabet") == ["a", "a", "b", "b"]
    assert clusters(r"_(\d+)[.]png$") == ["01", "01", "02", "03"]
    assert clusters(r"^(\w+)/.*_(\d+)[.]png$") == ["a/01", "a/01", "b/02", "b/03"]
    assert clusters("^[ab]") == ["a", "a", "b", "b"]
    with pytest.raises(ConfigurationError, match=r"not found in 4 of 4 paths.*'alphabet'"):
        clusters("alphabt")
    with pytest.raises(ConfigurationError, match="no regular expression"):
        clusters("(")


def test_what_else_is_there_is_counted(make):
    path = make(
        *PETS, "cat/.DS_Store", "dog/readme.txt", "dog/._1.png", "dog/more.zip", "dog/a.tar.gz",
    )  # fmt: skip
    found = ImageFolders(path).scan()
    assert len(found.examples) == 3
    assert found.counts == {
        "hidden_files": 2, "files_of_other_kinds": 1, "archives_inside": 2,
        "images_without_a_class": 0,
    }  # fmt: skip


def test_the_folders_of_macos_are_passed_over(make):
    found = ImageFolders(make(*PETS, "__MACOSX/cat/1.png", ".cache/2.png")).scan()
    assert found.examples["label"].to_pylist() == ["cat", "cat", "dog"]


@pytest.mark.parametrize("names", [(), ("notes.txt",), (".hidden/1.png",)])
def test_nothing_to_read(make, tmp_path, names):
    path = make(*names)
    if not names and not path.endswith(".zip"):
        (tmp_path / "tree").mkdir()
    with pytest.raises(SourceError, match="there is no image in it"):
        ImageFolders(path).scan()


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (("1.png", "2.png"), {}, "no level 1.*there are 0"),
        (("cat/1.png", "cat/2.png"), {}, "no level 1"),
        (PETS, {"label_level": (2,)}, "no level 2"),
        (PETS, {"columns": ("a", "b")}, "no level 2"),
        (PETS, {"label_level": (0,)}, "counted from 1"),
        (PETS, {"label_level": ()}, "counted from 1"),
        (PETS, {"columns": ("label",)}, "none of"),
        (PETS, {"columns": ("a", "a")}, "a name of its own"),
    ],
)
def test_options_that_are_refused(make, names, options, message):
    path = make(*names)
    with pytest.raises(ConfigurationError, match=message):
        ImageFolders(path, **options).scan()


def test_what_is_neither_folder_nor_archive(tmp_path):
    with pytest.raises(SourceError, match="no such folder or archive"):
        ImageFolders(str(tmp_path / "nothing")).scan()
    (tmp_path / "data.tar").write_bytes(b"x" * 2000)
    with pytest.raises(SourceError, match="not a ZIP archive"):
        ImageFolders(str(tmp_path / "data.tar")).scan()
    path = tree(tmp_path, PETS, archive=True)
    (tmp_path / "short.zip").write_bytes((tmp_path / "tree.zip").read_bytes()[:-30])
    assert path
    with pytest.raises(SourceError, match="not a ZIP archive"):
        ImageFolders(str(tmp_path / "short.zip")).scan()


def test_names_that_lead_out_of_an_archive(tmp_path):
    path = tree(tmp_path, [*PETS, "../evil/1.png", "/etc/1.png", "A:\\x\\1.png"], archive=True)
    found = ImageFolders(path).scan()
    assert len(found.examples) == 3
    assert set(found.rejected["reason"].to_pylist()) == {"the name leads out of the archive"}
    assert len(found.rejected) == 3


def test_an_encrypted_archive(tmp_path):
    path = tree(tmp_path, PETS, archive=True)
    data = bytearray((tmp_path / "tree.zip").read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    (tmp_path / "tree.zip").write_bytes(data)
    with pytest.raises(SourceError, match=r"'cat/1.png' is encrypted"):
        ImageFolders(path).scan()


def test_images_that_say_they_are_huge(tmp_path, monkeypatch):
    monkeypatch.setattr(_image_tree, "MAX_IMAGE_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "t.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("cat/bomb.png", bytes(10**6))
        for name in PETS:
            file.writestr(name, name)
    found = ImageFolders(str(tmp_path / "t.zip")).scan()
    assert found.rejected.to_pylist() == [
        {"input": "cat/bomb.png", "reason": "1000000 bytes when unpacked; allowed are 1000"}
    ]
    assert len(found.examples) == 3


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_in_an_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as file:
        for name in (*PETS, "cat/1.png"):
            file.writestr(name, f"{name} {len(file.namelist())}")
    source = ImageFolders(str(tmp_path / "t.zip"))
    assert len(source.scan().examples) == 3
    assert source.scan().rejected["reason"].to_pylist() == [
        "the archive has the name twice; the last one is used"
    ]
    assert source.reader()("cat/1.png")["image"] == b"cat/1.png 3"


def test_images_that_can_no_longer_be_read(tmp_path):
    path = tree(tmp_path, [*PETS, "dog/empty.png"], archive=True)
    with pytest.raises(ContentError, match="no longer has it"):
        ImageFolders(path).reader()("cat/7.png")
    data = (tmp_path / "tree.zip").read_bytes()
    at = data.index(b"cat/1.png") + 9
    (tmp_path / "tree.zip").write_bytes(data[:at] + b"\0\1" + data[at + 2 :])
    with pytest.raises(ContentError, match="cannot be read"):
        ImageFolders(path).reader()("cat/1.png")
    with zipfile.ZipFile(tmp_path / "e.zip", "w") as file:
        file.writestr("cat/1.png", b"")
    with pytest.raises(ContentError, match="empty"):
        ImageFolders(str(tmp_path / "e.zip")).reader()("cat/1.png")


def test_linked_folders_are_followed_but_not_in_a_circle(tmp_path):
    path = tree(tmp_path, PETS)
    (tmp_path / "tree" / "wolf").symlink_to(tmp_path / "tree" / "dog")
    (tmp_path / "tree" / "cat" / "loop").symlink_to(tmp_path / "tree")
    found = [r[0] for r in rows(ImageFolders(path))]
    assert found == ["cat/1.png", "cat/2.JPG", "dog/1.png", "wolf/1.png"]


def test_the_fingerprint_heeds_names_sizes_and_options(tmp_path):
    prints = []
    for k, names in enumerate((PETS, PETS, (*PETS, "dog/2.png"))):
        (tmp_path / str(k)).mkdir()
        prints.append(ImageFolders(tree(tmp_path / str(k), names)).scan().fingerprint)
    assert prints[0] == prints[1] != prints[2]
    path = tree(tmp_path / "0", PETS)
    assert ImageFolders(path, cluster="^(.*)/").scan().fingerprint != prints[0]


def test_a_folder_behind_a_url(tmp_path):
    path = tree(tmp_path, PETS)
    source = ImageFolders(f"file://{path}")
    assert rows(source, "label") == rows(ImageFolders(path), "label")
    locator = source.scan().examples["locator"][0].as_py()
    assert source.reader()(locator)["image"] == b"cat/1.png"
    archive = ImageFolders("file://" + tree(tmp_path, PETS, archive=True))
    assert rows(archive, "label") == rows(ImageFolders(path), "label")
    assert archive.reader()("dog/1.png")["image"] == b"dog/1.png"


def test_the_real_alphabets(shared_data):
    path = str(shared_data / "omniglot" / "images_background_small1.zip")
    source = ImageFolders(
        path, label_level=(1, 2), columns=("alphabet", "character"),
        cluster=r"^([^/]+)/.*_(\d+)[.]png$",
    )  # fmt: skip
    found = source.scan().examples
    assert len(found) == 2720
    alphabets = Counter(found["alphabet"].to_pylist())
    assert len(alphabets) == 5
    assert len(set(found["label"].to_pylist())) == 136
    # Twenty drawers an alphabet, each of whom drew all of its characters once.
    assert set(Counter(found["label"].to_pylist()).values()) == {20}
    drawn = Counter(found["cluster_id"].to_pylist())
    assert len(drawn) == 100
    assert all(drawn[f"{a}/{d:02d}"] * 20 == n for a, n in alphabets.items() for d in range(1, 21))
    read = source.reader()
    with zipfile.ZipFile(path) as archive:
        for row in (0, 1359, 2719):
            locator = found["locator"][row].as_py()
            assert read(locator)["image"] == archive.read(locator)
