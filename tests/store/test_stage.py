"""The staging directory by itself: stopped at every single step, nothing is lost or left."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shiftbench.errors import StorageError
from shiftbench.schema import FORMAT
from shiftbench.store.location import Location
from shiftbench.store.lock import held
from shiftbench.store.manifest import FileEntry, Manifest, read_manifest, sealed
from shiftbench.store.stage import Stage, check_output, open_stage, writing
from shiftbench.store.write import ShardReport, size_and_hash
from tests.stopping import beside, contents


def build(out: Path | str, text: str, *, overwrite: bool = False) -> None:
    """A benchmark of a few small files, by way of the stage."""
    plan = f"{hash(text):016x}".removeprefix("-").rjust(16, "0")
    with open_stage(Location(str(out)), plan, overwrite=overwrite) as stage, writing(out):
        names = ["README.md", f"data/a/{text}.parquet", "data/b/same.parquet"]
        stage.drop_others(set(names))
        for name in names:
            if stage.report(name, text) is None:
                stage.work.write(name, f"{text} {name}".encode())
                size, sha256 = size_and_hash(stage.work, name)
                stage.keep(ShardReport(text, name, 0, size, sha256, b"", []))
        seal(stage, names)


def seal(stage: Stage, names: list[str]) -> None:
    files = {}
    for name in names:
        size, sha256 = size_and_hash(stage.work, name)
        files[name] = FileEntry(size, 0, sha256)
    stage.seal(manifest(files))


def manifest(files: dict[str, FileEntry]) -> bytes:
    return sealed(
        Manifest(FORMAT, "", "", {}, 0, "", [], "", False, "bytes", [], {}, files, {}, 0, {}, "")
    )


def text_of(out: Path) -> str:
    """What the benchmark says, which is whole."""
    files = read_manifest(Location(str(out))).files
    assert set(contents(out)) == {"shift.json", *files}
    assert not [p for p in out.rglob("*") if p.is_dir() and not any(p.iterdir())]
    texts = {(out / name).read_text().split()[0] for name in files}
    assert len(texts) == 1
    return texts.pop()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    place = tmp_path / "place"
    place.mkdir()
    return place / "out"


def test_it_appears_whole_and_alone(out: Path) -> None:
    build(out, "one")
    assert text_of(out) == "one"
    assert beside(out) == []
    build(out, "two", overwrite=True)
    assert text_of(out) == "two"
    assert beside(out) == []


class Stop(BaseException):
    """The end of the process."""


STEPS = [
    (Path, "mkdir"),
    (Path, "replace"),
    (Path, "unlink"),
    (Path, "rmdir"),
    (shutil, "rmtree"),
]


@contextmanager
def stopping_at(step: int, *, clean: bool) -> Iterator[list[int]]:
    """Stop before the n-th change to the file system, and let nothing be tidied up after."""
    counted = [0]

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            counted[0] += 1
            if counted[0] == step or (counted[0] > step and not clean):
                raise Stop
            return function(*args, **kwargs)

        return wrapped

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in STEPS:
            patch.setattr(owner, name, wrap(getattr(owner, name)))
        yield counted


@pytest.mark.parametrize("clean", [True, False], ids=["exception", "kill"])
@pytest.mark.parametrize("how", ["new", "exchange", "renames"])
def test_stopped_at_every_step(
    tmp_path: Path, how: str, clean: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "renames":
        monkeypatch.setattr("shiftbench.store.stage._exchange", lambda new, old: False)
    step, steps = 0, 1
    while step < steps:
        step += 1
        out = tmp_path / str(step) / "out"
        out.parent.mkdir()
        if how != "new":
            build(out, "old")
        stopped = False
        with stopping_at(step, clean=clean) as counted:
            try:
                build(out, "new", overwrite=how != "new")
            except Stop:
                stopped = True
        steps = max(steps, counted[0] if not stopped else step + 1)
        if out.exists():
            assert text_of(out) in (("old", "new") if how != "new" else ("new",))
        else:
            # Where the system cannot exchange, there is a moment between two renames.
            assert how != "exchange"
            assert how == "new" or list(out.parent.glob("*/replaced/shift.json"))
        build(out, "new", overwrite=True)
        assert text_of(out) == "new"
        assert beside(out) == []
    assert steps > 10


def test_the_old_one_comes_back_after_two_renames(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(out, "old")
    monkeypatch.setattr("shiftbench.store.stage._exchange", lambda new, old: False)
    moved = Path.replace

    def only_away(self: Path, target: Path) -> Any:
        if self.name == "benchmark":
            raise Stop
        return moved(self, target)

    monkeypatch.setattr(Path, "replace", only_away)
    with pytest.raises(Stop):
        build(out, "new", overwrite=True)
    monkeypatch.setattr(Path, "replace", moved)
    assert not out.exists()
    with pytest.raises(StorageError, match="exists"):
        build(out, "new")
    assert text_of(out) == "old"


def test_what_was_written_is_kept_and_checked(out: Path) -> None:
    written: list[str] = []

    def attempt(stop: bool) -> None:
        with open_stage(Location(str(out)), "0" * 64, overwrite=False) as stage:
            for name in ("a", "b", "c"):
                if stage.report(f"data/{name}", "key") is None:
                    written.append(name)
                    stage.work.write(f"data/{name}", name.encode())
                    size, sha256 = size_and_hash(stage.work, f"data/{name}")
                    stage.keep(ShardReport("key", f"data/{name}", 0, size, sha256, b"", []))
            assert stage.report("data/a", "another key") is None
            assert stage.report("data/nowhere", "key") is None
            if stop:
                raise Stop
            seal(stage, ["data/a", "data/b", "data/c"])

    with pytest.raises(Stop):
        attempt(stop=True)
    (stage,) = out.parent.iterdir()
    (stage / "benchmark" / "data" / "b").write_bytes(b"x")  # of the same size
    with pytest.raises(Stop):
        attempt(stop=True)
    for path in (stage / "reports").iterdir():
        path.write_bytes(b"no report")
    attempt(stop=False)
    assert written == ["a", "b", "c", "b", "a", "b", "c"]
    assert beside(out) == []


def test_files_that_nobody_names_go(out: Path) -> None:
    with open_stage(Location(str(out)), "0" * 64, overwrite=False) as stage:
        for name in ("README.md", "data/old/x", "picture.svg"):
            stage.work.write(name, b"x")
        seal(stage, ["README.md"])
    assert set(contents(out)) == {"README.md", "shift.json"}
    assert not (out / "data").exists()


def test_a_file_that_is_not_there_is_missed(out: Path) -> None:
    def attempt(damage: Callable[[Path], object]) -> None:
        with open_stage(Location(str(out)), "0" * 64, overwrite=False) as stage:
            stage.work.write("README.md", b"x")
            entry = FileEntry(*size_and_hash(stage.work, "README.md")[:1], 0, "")
            assert stage.work.local is not None
            damage(stage.work.local / "README.md")
            stage.seal(manifest({"README.md": entry}))

    for damage in (Path.unlink, lambda p: p.write_bytes(b"xyz")):
        with pytest.raises(StorageError, match=r"README\.md is not there as it was written"):
            attempt(damage)
    assert not out.exists()


def test_an_output_that_appears_meanwhile_is_not_replaced(out: Path) -> None:
    def attempt() -> None:
        with open_stage(Location(str(out)), "0" * 64, overwrite=False) as stage:
            stage.work.write("README.md", b"x")
            build(out, "other")
            seal(stage, ["README.md"])

    with pytest.raises(StorageError, match="exists"):
        attempt()
    assert text_of(out) == "other"


class TestLock:
    def test_one_holder_at_a_time(self, tmp_path: Path) -> None:
        folder = tmp_path / "folder"
        with held(folder), pytest.raises(StorageError, match="another process"), held(folder):
            pass

    def test_it_goes_with_all_in_it(self, tmp_path: Path) -> None:
        folder = tmp_path / "folder"
        with held(folder):
            (folder / "deep" / "er").mkdir(parents=True)
            (folder / "file").write_text("x")
        assert not folder.exists()

    def test_it_stays_after_an_error_with_what_is_in_it(self, tmp_path: Path) -> None:
        folder = tmp_path / "folder"

        def fail(write: bool) -> None:
            with held(folder):
                if write:
                    (folder / "file").write_text("x")
                raise Stop

        with pytest.raises(Stop):
            fail(write=False)
        assert not folder.exists()
        with pytest.raises(Stop):
            fail(write=True)
        assert (folder / "file").exists()
        with held(folder):
            assert (folder / "file").exists()

    def test_a_lock_file_that_was_deleted_is_no_lock(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Between opening the file and locking it, its owner may finish and delete it.
        import fcntl

        folder = tmp_path / "folder"
        locked = fcntl.flock
        calls = []

        def slow(file: int, how: int) -> None:
            if not calls:
                shutil.rmtree(folder)
            calls.append(file)
            locked(file, how)

        monkeypatch.setattr(fcntl, "flock", slow)
        with held(folder):
            assert (folder / ".lock").exists()
        assert len(calls) == 2

    @pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP])
    def test_a_file_system_without_locks(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        def none(file: int, how: int) -> None:
            raise OSError(code, "no locks here")

        monkeypatch.setattr("fcntl.flock", none)
        with held(tmp_path / "folder"):
            pass
        assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize(
    ("code", "room"), [(errno.ENOSPC, True), (errno.EFBIG, True), (errno.EACCES, False)]
)
def test_a_failed_write_says_where_and_what_to_do(code: int, room: bool) -> None:
    with pytest.raises(StorageError, match="cannot write in 'here'") as caught, writing("here"):
        raise OSError(code, "the system's words")
    assert "the system's words" in str(caught.value)
    assert ("make room" in str(caught.value)) == room


def test_asking_first_costs_nothing_and_changes_nothing(out: Path) -> None:
    check_output(Location(str(out)), overwrite=False)
    assert list(out.parent.iterdir()) == []
    build(out, "one")
    check_output(Location(str(out)), overwrite=True)
    with pytest.raises(StorageError):
        check_output(Location(str(out)), overwrite=False)
    assert text_of(out) == "one"


@pytest.mark.parametrize("name", ["a*b", "a[1]", "who?"])
def test_an_output_that_datasets_would_read_as_a_pattern_is_refused(tmp_path, name):
    from shiftbench.errors import StorageError
    from shiftbench.store.location import Location
    from shiftbench.store.stage import check_output

    with pytest.raises(StorageError, match="as a pattern"):
        check_output(Location(str(tmp_path / name)), overwrite=False)
