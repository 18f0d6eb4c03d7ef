"""shift.json: written and read back, and every change to it found."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.errors import IntegrityError
from shiftbench.store.location import Location
from shiftbench.store.manifest import (
    ConfigEntry,
    FileEntry,
    Manifest,
    SplitEntry,
    benchmark_digest,
    config_digest,
    read_manifest,
    sealed,
)


def make(**more: Any) -> Manifest:
    split = SplitEntry(3, ["data/a/train-00000-of-00001.parquet"], "d" * 64, "train", "none")
    given: dict[str, Any] = {
        "format": "shiftbench/1",
        "builder": "metashift",
        "builder_version": "1",
        "recipe": {"options": {"name": 'quotes " and \\ and ü', "none": None, "x": 1.5}},
        "seed": 0,
        "plan": "e" * 64,
        "sources": [{"name": "scenes"}],
        "license": "",
        "redistributable": False,
        "identity": "bytes",
        "content": ["image"],
        "configs": {"a": ConfigEntry("task", "f" * 64, {"train": split}, notes={"n": [1, {}]})},
        "files": {"README.md": FileEntry(10, 0, "0" * 64)},
        "counts": {},
        "rejected": 0,
        "versions": {"numpy": ""},
        "digest": "1" * 64,
    }
    return Manifest(**{**given, **more})


def read(folder: Path, data: bytes) -> Manifest:
    (folder / "shift.json").write_bytes(data)
    return read_manifest(Location(str(folder)))


def without_hash(manifest: Manifest) -> Manifest:
    return msgspec.structs.replace(manifest, sha256="")


def test_read_back(tmp_path: Path) -> None:
    assert without_hash(read(tmp_path, sealed(make()))) == make()


def test_its_hash_is_that_of_the_file_without_it() -> None:
    data = sealed(make())
    own = json.loads(data)["sha256"]
    assert hashlib.sha256(data.replace(own.encode(), b"")).hexdigest() == own


def test_the_same_manifest_gives_the_same_bytes() -> None:
    assert sealed(make()) == sealed(make())
    assert sealed(msgspec.structs.replace(make(), sha256="whatever")) == sealed(make())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("manifest")


@given(st.data())
def test_no_byte_can_be_changed(place: Path, data: st.DataObject) -> None:
    good = sealed(make())
    at = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda b: b != good[at]))
    with pytest.raises(IntegrityError, match=r"shift\.json"):
        read(place, good[:at] + bytes([other]) + good[at + 1 :])


@given(st.data())
def test_nothing_can_be_cut_off_or_put_in(place: Path, data: st.DataObject) -> None:
    good = sealed(make())
    at = data.draw(st.integers(0, len(good) - 1))
    with pytest.raises(IntegrityError):
        read(place, good[:at])
    added = data.draw(st.sampled_from([b" ", b"\n", b'"extra": 1,', b"\xff", b"{", b"[" * 5000]))
    with pytest.raises(IntegrityError):
        read(place, good[:at] + added + good[at:])


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "2" * 64},
        {"redistributable": True},
        {"license": "mit"},
        {"files": {}},
        {"builder": "other"},
    ],
)
def test_an_edit_is_found(tmp_path: Path, change: dict[str, Any]) -> None:
    edited = json.loads(sealed(make())) | change
    with pytest.raises(IntegrityError, match=r"shift\.json was changed after it was written"):
        read(tmp_path, json.dumps(edited, indent=1).encode())


@pytest.mark.parametrize("own", ["", "0" * 64])
def test_an_edit_with_a_wrong_hash_is_found(tmp_path: Path, own: str) -> None:
    edited = json.loads(sealed(make())) | {"sha256": own}
    with pytest.raises(IntegrityError, match="changed"):
        read(tmp_path, json.dumps(edited, indent=1).encode())


@pytest.mark.parametrize("version", ["shiftbench/2", "other", None, 3])
def test_another_format_is_refused_before_anything_else(tmp_path: Path, version: Any) -> None:
    with pytest.raises(IntegrityError, match=r"reads 'shiftbench/1'"):
        read(tmp_path, json.dumps({"format": version, "new": "fields"}).encode())


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b'"x"', b"null", b"\xff\xfe", b'{"format": "shiftbench/1"}', b"[" * 100_000],
    ids=["empty", "cut", "list", "text", "null", "no-utf8", "fields-missing", "deep"],
)
def test_what_is_no_manifest(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(IntegrityError, match=r"shift\.json cannot be read"):
        read(tmp_path, data)


def test_no_manifest(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(IntegrityError, match=r"holds no shift\.json"):
            read_manifest(Location(str(folder)))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(IntegrityError, match=r"holds no shift\.json"):
        read_manifest(Location(str(tmp_path / "file")))
    (tmp_path / "shift.json").mkdir()
    with pytest.raises(IntegrityError, match="cannot be read"):
        read_manifest(Location(str(tmp_path)))


def test_the_digest_is_made_as_documented() -> None:
    def sha(value: Any) -> str:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    config = config_digest({"train": "1", "id_test": "2"}, {"label": ["cat", "dög"]})
    assert config == sha([[["id_test", "2"], ["train", "1"]], [["label", ["cat", "dög"]]]])
    configs = {
        "b": ConfigEntry("table", "x", {}),
        "a": ConfigEntry("task", "y", {}),
        "c": ConfigEntry("measured", "z", {}),
    }
    assert benchmark_digest(configs) == sha([["a", "y"], ["b", "x"]])


def test_the_digest_leaves_measured_tables_out() -> None:
    task = ConfigEntry("task", "x", {})
    one = benchmark_digest({"a": task, "m": ConfigEntry("measured", "1", {})})
    assert one == benchmark_digest({"m": ConfigEntry("measured", "2", {}), "a": task})
    assert one != benchmark_digest({"a": ConfigEntry("task", "y", {})})
