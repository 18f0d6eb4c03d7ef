"""A folder, local or remote: files appear whole or not at all."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from shiftbench.errors import ConfigurationError, StorageError
from shiftbench.store.location import Location

NAMES = ["a.txt", "data/deep/er/ü b.bin"]


@pytest.fixture(params=["path", "file", "local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Location]:
    path = tmp_path / "with space"
    if request.param == "path":
        yield Location(str(path))
    elif request.param == "memory":
        yield Location(f"memory://{tmp_path.name}/with space")
        fsspec.filesystem("memory").store.clear()
    else:
        yield Location(f"{request.param}://{path}")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_read(folder: Location, name: str) -> None:
    assert not folder.exists(name)
    folder.write(name, b"abc")
    assert folder.exists(name)
    assert folder.size(name) == 3
    assert folder.read(name) == b"abc"
    with folder.open(name) as file:
        file.seek(1)
        assert file.read() == b"bc"
    assert folder.files() == [name]
    folder.write(name, b"new")
    assert folder.read(name) == b"new"
    folder.remove(name)
    assert not folder.exists(name)
    folder.remove(name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_file_that_is_not_finished_is_not_there(
    folder: Location, name: str, error: type[BaseException]
) -> None:
    def stop_halfway() -> None:
        with folder.create(name) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        stop_halfway()
    assert not folder.exists(name)
    assert folder.files() == []
    if folder.local is not None:
        assert not [p for p in folder.local.rglob("*") if p.is_file()]


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path: Path) -> None:
    folder = Location(str(tmp_path))
    folder.write("a", b"old")
    with folder.create("a") as file:
        file.write(b"new")
        file.flush()
        assert folder.read("a") == b"old"
    assert folder.read("a") == b"new"


def test_files_are_sorted_and_hidden_ones_left_out(folder: Location) -> None:
    for name in ("b", "a/z", "a/b", ".git/x", "a/.hidden", "A"):
        folder.write(name, b"")
    assert folder.files() == ["A", "a/b", "a/z", "b"]


def test_empty(folder: Location) -> None:
    assert folder.is_empty()
    folder.write(".hidden", b"")
    assert not folder.is_empty()


def test_a_file_or_a_broken_link_is_no_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert not Location(str(tmp_path / "file")).is_empty()
    assert not Location(str(tmp_path / "link")).is_empty()


def test_removing_a_folder_removes_what_is_in_it(folder: Location) -> None:
    folder.write("data/x/y", b"1")
    folder.write("data/z", b"1")
    folder.write("other", b"1")
    folder.remove("data")
    assert folder.files() == ["other"]


def test_removing_a_link_leaves_what_it_leads_to(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "kept").write_bytes(b"")
    place = tmp_path / "place"
    place.mkdir()
    (place / "link").symlink_to(target)
    Location(str(place)).remove("link")
    assert (target / "kept").exists()
    assert not (place / "link").exists()


def test_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Location("~/out").local == tmp_path / "out"
    assert Location("out~/x").local == Path("out~/x")


@pytest.mark.parametrize("url", ["nosuch://bucket/x", "nosuch://bucket::memory://x"])
def test_an_unknown_protocol_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="nosuch"):
        Location(url).exists("a")


def test_it_travels_to_another_process(folder: Location) -> None:
    assert pickle.loads(pickle.dumps(folder)) == folder


class TestScratch:
    """Files on their way lie in a folder of their own, without which nothing can be written."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Location:
        for name in ("work", "scratch"):
            (tmp_path / name).mkdir()
        return Location(str(tmp_path / "work"), str(tmp_path / "scratch"))

    def test_only_whole_files_are_in_the_folder(self, folder: Location, tmp_path: Path) -> None:
        with folder.create("data/a/b") as file:
            file.write(b"x")
            assert not [p for p in (tmp_path / "work").rglob("*") if p.is_file()]
            assert len(list(Path(folder.scratch).iterdir())) == 1
        assert folder.files() == ["data/a/b"]
        assert not list(Path(folder.scratch).iterdir())

    def test_nothing_is_begun_once_it_is_gone(self, folder: Location, tmp_path: Path) -> None:
        (tmp_path / "scratch").rmdir()
        with (
            pytest.raises(StorageError, match="stopped or taken over"),
            folder.create("data/a") as file,
        ):
            file.write(b"x")
        assert folder.files() == []

    def test_nothing_is_finished_once_it_is_gone(self, folder: Location, tmp_path: Path) -> None:
        def shut_out_halfway() -> None:
            with folder.create("data/a") as file:
                file.write(b"x")
                shutil.rmtree(tmp_path / "scratch")

        with pytest.raises(StorageError, match="stopped or taken over"):
            shut_out_halfway()
        assert folder.files() == []

    def test_a_folder_that_has_moved_on_is_not_made_again(
        self, folder: Location, tmp_path: Path
    ) -> None:
        (tmp_path / "work").rename(tmp_path / "sealed")
        with pytest.raises(StorageError), folder.create("data/a") as file:
            file.write(b"x")
        assert not (tmp_path / "work").exists()
        assert not list(Path(folder.scratch).iterdir())
