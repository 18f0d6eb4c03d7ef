"""Builds that are killed, stopped or out of room: nothing is damaged, and they go on."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial as bind
from pathlib import Path
from typing import Any

import pytest

import shiftbench as sb
from shiftbench.errors import StorageError
from shiftbench.store.location import Location
from shiftbench.store.manifest import MANIFEST
from shiftbench.store.stage import Stage, open_stage
from shiftbench.store.verify import verify
from tests.slow_scenes import SlowScenes
from tests.stopping import (
    beside,
    contents,
    digest,
    done,
    group_of,
    kill_group,
    partial,
    shards,
    slow_build,
    started,
    until,
    workers_of,
)

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")

STOP = {"SLOW_SCENES_STOP": "48"}  # half of the scenes never come


def scenes(**more: Any) -> Any:
    options: dict[str, Any] = {"classes": ("cat", "dog"), "min_size": 3, "min_subsets": 2}
    return sb.builders.MetaShift(SlowScenes(), **{**options, **more})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build as it is when nothing happens to it."""
    out = tmp_path_factory.mktemp("whole") / "out"
    sb.build(scenes(), out)
    return out


@pytest.fixture
def out(tmp_path: Path) -> Path:
    place = tmp_path / "place"
    place.mkdir()
    return place / "out"


def goes_on(out: Path, whole: Path, *more: str) -> None:
    """The same command finishes what is there, writes nothing twice and leaves nothing."""
    reported, before = len(done(out)), shards(out)
    assert 0 < reported < 11
    kept: dict[str, tuple[int, int, str]] = {}

    def finished() -> bool:
        # A link keeps the inode from being used again, and the file from being lost from view.
        return run.poll() is not None

    with started(out, *more) as run:
        until(finished)
        said, complained = run.communicate()
    assert (run.returncode, complained) == (0, "")
    assert digest(whole) in said
    for path in sorted((out / "data" / "images").iterdir()):
        info = path.stat()
        kept[path.name] = (info.st_ino, info.st_mtime_ns, before.get(path.name, ("",) * 3)[2])
    same = [name for name in before if kept[name] == before[name]]
    assert len(same) >= reported
    assert contents(out) == contents(whole)
    assert beside(out) == []


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_killed_halfway(out: Path, whole: Path, jobs: str) -> None:
    with started(out, "--n-jobs", jobs, env=STOP) as run:
        until(lambda: len(done(out)) >= 4)
        kill_group(run)
    assert not out.exists()
    assert len(beside(out)) == 1
    goes_on(out, whole, "--n-jobs", jobs)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_control_c(out: Path, whole: Path, jobs: str) -> None:
    with started(out, "--n-jobs", jobs, env=STOP) as run:
        until(lambda: len(done(out)) >= 4)
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does it
        said, complained = run.communicate(timeout=30)
    assert (run.returncode, said) == (130, "")
    assert complained.splitlines() == [
        "shiftbench: stopped; nothing is damaged, and the same command goes on from here"
    ]
    assert not out.exists()
    goes_on(out, whole, "--n-jobs", jobs)


def test_a_killed_worker(out: Path, whole: Path) -> None:
    with started(out, "--n-jobs", "2", env=STOP) as run:
        until(lambda: len(done(out)) >= 4)
        os.kill(workers_of(run)[0], signal.SIGKILL)
        said, complained = run.communicate(timeout=30)
    assert (run.returncode, said) == (1, "")
    assert len(complained.splitlines()) == 1
    assert "a worker process was killed" in complained
    assert "run the same command" in complained
    goes_on(out, whole, "--n-jobs", "2")


def test_workers_that_outlive_their_build_do_no_harm(out: Path, whole: Path) -> None:
    with started(out, "--n-jobs", "2", env={"SLOW_SCENES_SECONDS": "0.08"}) as run:
        until(lambda: len(done(out)) >= 2)
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        assert workers_of(run)
        again = slow_build(out)
        assert (again.returncode, again.stderr) == (0, "")
        kill_when_idle(run)
        assert contents(out) == contents(whole)
        assert beside(out) == []


def kill_when_idle(run: subprocess.Popen[str]) -> None:
    """Give left-over workers the time to try what they had been given."""

    def used() -> int:
        ticks = 0
        for pid in group_of(run):
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            ticks += int(fields[11]) + int(fields[12])
        return ticks

    before = -1
    while before != (before := used()):
        time.sleep(0.4)


def test_a_damaged_shard_is_written_again(out: Path, whole: Path) -> None:
    with started(out, env=STOP) as run:
        until(lambda: len(done(out)) >= 4)
    stage = partial(out)
    assert stage is not None
    flipped, cut, gone, *_ = sorted((stage / "benchmark" / "data" / "images").iterdir())
    data = bytearray(flipped.read_bytes())
    data[100] ^= 1
    flipped.write_bytes(data)
    cut.write_bytes(cut.read_bytes()[:-5])
    gone.unlink()
    (stage / "benchmark" / "stray.txt").write_text("left over")
    (stage / "run-0123").mkdir()
    (stage / "run-0123" / "half").write_text("half a file")
    for report in done(out)[:1]:
        report.write_bytes(report.read_bytes()[:20])
    again = slow_build(out)
    assert (again.returncode, again.stderr) == (0, "")
    assert contents(out) == contents(whole)
    assert beside(out) == []


def test_other_options_do_not_meet(out: Path, whole: Path) -> None:
    with started(out, env=STOP):
        until(lambda: len(done(out)) >= 4)
    left = beside(out)
    sb.build(scenes(min_size=4), out)
    assert beside(out) == left
    sb.build(scenes(), out, overwrite=True)
    assert contents(out) == contents(whole)
    assert beside(out) == []


def test_a_second_process_waits_for_nobody(out: Path, whole: Path) -> None:
    with started(out, env=STOP) as run:
        until(lambda: len(done(out)) >= 4)
        second = slow_build(out)
        assert second.returncode == 1
        assert "another process is building" in second.stderr
        assert len(second.stderr.splitlines()) == 1
        assert run.poll() is None
    goes_on(out, whole)


def test_two_at_once_make_one(out: Path, whole: Path) -> None:
    with started(out) as one, started(out) as two:
        said = [run.communicate(timeout=60) for run in (one, two)]
    codes = sorted(run.returncode for run in (one, two))
    assert codes == [0, 1], said
    assert contents(out) == contents(whole)
    assert beside(out) == []


class TestReplacing:
    """At every moment there is the whole old benchmark or the whole new one."""

    @pytest.fixture(scope="class")
    def other(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        place = tmp_path_factory.mktemp("other") / "out"
        sb.build(scenes(min_size=4), place)
        return place

    def look(self, out: Path, whole: Path, other: Path) -> None:
        verify(Location(str(out)), content=False)
        assert contents(out) in (contents(whole), contents(other))

    @pytest.mark.parametrize("rounds", [3, pytest.param(40, marks=pytest.mark.slow)])
    def test_killed_at_any_time(self, out: Path, whole: Path, other: Path, rounds: int) -> None:
        sb.build(scenes(), out)
        luck = random.Random(rounds)
        start = time.monotonic()
        assert slow_build(out, "--overwrite").returncode == 0
        takes = time.monotonic() - start
        for k in range(rounds):
            with started(out, "--overwrite", "--min-size", "43"[k % 2]) as run:
                # Most of the time goes into imports and the last of it into sealing.
                end = time.monotonic() + takes * luck.uniform(0.3, 1.05)
                while time.monotonic() < end and run.poll() is None:
                    self.look(out, whole, other)
                kill_group(run)
            self.look(out, whole, other)
        for size, goal in (("3", whole), ("4", other)):
            assert slow_build(out, "--overwrite", "--min-size", size).returncode == 0
            assert contents(out) == contents(goal)
        assert beside(out) == []

    @pytest.mark.parametrize("overwrite", [False, True])
    @pytest.mark.parametrize("step", range(6))
    @pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "renames"])
    def test_stopped_at_each_step_of_sealing(
        self,
        out: Path,
        whole: Path,
        other: Path,
        monkeypatch: pytest.MonkeyPatch,
        step: int,
        overwrite: bool,
        exchange: bool,
    ) -> None:
        if overwrite:
            sb.build(scenes(min_size=4), out)
        if not exchange:
            monkeypatch.setattr("shiftbench.store.stage._exchange", lambda new, old: False)
        stopped = False
        with stopping_at(monkeypatch, step) as counted:
            try:
                sb.build(scenes(), out, overwrite=overwrite)
            except KeyboardInterrupt:
                stopped = True
        assert stopped == (counted[0] > step)
        if stopped and not out.exists() and overwrite:
            # Without an exchange there is a moment between two renames.
            assert not exchange
            sb.build(scenes(), out, overwrite=True)
        elif overwrite:
            self.look(out, whole, other)
        if not out.exists() or contents(out) != contents(whole):
            sb.build(scenes(), out, overwrite=overwrite)
        elif beside(out):
            sb.build(scenes(), out, overwrite=True)
        assert contents(out) == contents(whole)
        assert beside(out) == []

    def test_the_old_one_comes_back_after_two_renames(
        self, out: Path, other: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sb.build(scenes(min_size=4), out)
        monkeypatch.setattr("shiftbench.store.stage._exchange", lambda new, old: False)
        moved = Path.replace

        def only_away(self: Path, target: Path) -> Any:
            if self.name == "benchmark":
                raise KeyboardInterrupt
            return moved(self, target)

        monkeypatch.setattr(Path, "replace", only_away)
        with pytest.raises(KeyboardInterrupt):
            sb.build(scenes(), out, overwrite=True)
        assert not out.exists()
        monkeypatch.undo()
        plan = (made := scenes()).plan(made.source.scan(), 0, frozenset())
        with (
            pytest.raises(StorageError, match="exists"),
            open_stage(Location(str(out)), plan.hash, overwrite=False),
        ):
            pass
        assert contents(out) == contents(other)


@contextmanager
def stopping_at(monkeypatch: pytest.MonkeyPatch, step: int) -> Iterator[list[int]]:
    """Stop before the n-th change to the file system from sealing on."""
    counted = [0]
    sealing = [False]

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if sealing[0]:
                counted[0] += 1
                if counted[0] == step + 1:
                    sealing[0] = False
                    raise KeyboardInterrupt
            return function(*args, **kwargs)

        return wrapped

    seal = Stage.seal

    def start(self: Stage, manifest: bytes) -> None:
        sealing[0] = True
        seal(self, manifest)

    with monkeypatch.context() as patch:
        patch.setattr(Stage, "seal", start)
        patch.setattr(Path, "replace", wrap(Path.replace))
        patch.setattr(Path, "unlink", wrap(Path.unlink))
        patch.setattr("shutil.rmtree", wrap(__import__("shutil").rmtree))
        yield counted


class TestFull:
    """No room: a clear error with the place, the old benchmark as it was, and it goes on."""

    @pytest.mark.parametrize("jobs", ["1", "2"])
    def test_files_may_not_grow(self, out: Path, whole: Path, jobs: str) -> None:
        sb.build(scenes(min_size=4), out)
        before = contents(out)
        limit = bind(resource.setrlimit, resource.RLIMIT_FSIZE, (12_000, 12_000))
        run = slow_build(out, "--overwrite", "--n-jobs", jobs, preexec_fn=limit)
        assert run.returncode == 1
        assert len(run.stderr.splitlines()) == 1
        assert f"cannot write in '{partial(out)}" in run.stderr
        assert "File too large" in run.stderr
        assert "make room and run the same command" in run.stderr
        assert contents(out) == before
        assert slow_build(out, "--overwrite", "--n-jobs", jobs).returncode == 0
        assert contents(out) == contents(whole)
        assert beside(out) == []

    @pytest.fixture
    def small_disk(self, tmp_path: Path) -> Iterator[Callable[[int], Path]]:
        place = tmp_path / "disk"
        place.mkdir()

        def mount(kilobytes: int, *options: str) -> Path:
            words = [f"size={kilobytes}k", *options]
            made = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", ",".join(words), "none", str(place)],
                capture_output=True,
            )
            if made.returncode:
                pytest.skip("only root can mount a small disk")
            return place

        yield mount
        while subprocess.run(["umount", str(place)], capture_output=True).returncode == 0:
            pass

    @pytest.mark.parametrize("jobs", ["1", "2"])
    def test_a_full_disk(self, small_disk: Callable[..., Path], whole: Path, jobs: str) -> None:
        disk = small_disk(600)
        out = disk / "out"
        sb.build(scenes(min_size=4), out)
        before = contents(out)
        size = sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
        room = 4 * (size // 4096) + 400 + 100
        subprocess.run(["mount", "-o", f"remount,size={size // 1024 + 150}k", disk], check=True)
        run = slow_build(out, "--overwrite", "--n-jobs", jobs)
        assert run.returncode == 1
        assert len(run.stderr.splitlines()) == 1
        assert f"cannot write in '{partial(out)}" in run.stderr
        assert "No space left on device" in run.stderr
        assert contents(out) == before
        subprocess.run(["mount", "-o", f"remount,size={room}k", disk], check=True)
        wrote = shards(out)
        assert slow_build(out, "--overwrite", "--n-jobs", jobs).returncode == 0
        assert wrote
        assert contents(out) == contents(whole)
        assert beside(out) == []

    def test_a_mounted_volume_itself(self, small_disk: Callable[..., Path]) -> None:
        disk = small_disk(2000)
        run = slow_build(disk)
        assert run.returncode == 1
        assert "is where a volume is mounted" in run.stderr
        assert list(disk.iterdir()) == []
        assert slow_build(disk / "benchmark").returncode == 0

    def test_a_disk_that_may_not_be_written(self, small_disk: Callable[..., Path]) -> None:
        disk = small_disk(2000, "ro")
        run = slow_build(disk / "out")
        assert run.returncode == 1
        assert len(run.stderr.splitlines()) == 1
        assert f"cannot write in '{disk / 'out'}': Read-only file system" in run.stderr


def test_what_a_stopped_build_left_is_no_benchmark(out: Path) -> None:
    with started(out, env=STOP):
        until(lambda: len(done(out)) >= 4)
    stage = partial(out)
    assert stage is not None
    assert not list(stage.rglob(MANIFEST))
