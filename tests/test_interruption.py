"""Builds that are killed, stopped or out of room: nothing is damaged, and they go on."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial as bind
from pathlib import Path

import pytest

import shiftbench as sb
from shiftbench.errors import ShiftbenchError
from shiftbench.registry import SOURCES
from shiftbench.store.location import Location
from shiftbench.store.manifest import MANIFEST
from shiftbench.store.verify import verify
from tests.stopping import (
    beside,
    contents,
    digest,
    digest_of,
    done,
    group_of,
    kill_group,
    partial,
    shards,
    slow_build,
    slow_builder,
    started,
    until,
    workers_of,
)

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")

STOP = {"SLOW_SCENES_STOP": "48"}  # half of the scenes never come


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    """The source under the name that the command line has for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SOURCES, "slow_scenes", "tests.slow_scenes:SlowScenes")  # type: ignore[arg-type]
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build as it is when nothing happens to it."""
    out = tmp_path_factory.mktemp("whole") / "out"
    sb.build(slow_builder(), out)
    return out


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another benchmark, which is replaced."""
    out = tmp_path_factory.mktemp("other") / "out"
    sb.build(slow_builder(min_size=8), out)
    return out


@pytest.fixture
def out(tmp_path: Path) -> Path:
    place = tmp_path / "place"
    place.mkdir()
    return place / "out"


def goes_on(out: Path, whole: Path, *more: str) -> None:
    """The same command finishes what is there, writes nothing twice and leaves nothing."""
    reported, before = len(done(out)), shards(out)
    assert 0 < reported < 13
    again = slow_build(out, *more)
    assert (again.returncode, again.stderr) == (0, "")
    assert digest(whole) in again.stdout
    kept = {}
    for path in sorted((out / "data" / "images").iterdir()):
        info = path.stat()
        kept[path.name] = (info.st_ino, info.st_mtime_ns, digest_of(path))
    same = [name for name in before if kept[name] == before[name]]
    assert len(same) >= reported
    assert contents(out) == contents(whole)
    assert beside(out) == []


@pytest.mark.parametrize("jobs", [pytest.param("1", marks=pytest.mark.slow), "2"])
def test_killed_halfway(out: Path, whole: Path, jobs: str) -> None:
    with started(out, "--n-jobs", jobs, env=STOP):
        until(lambda: len(done(out)) >= 4)
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
    if jobs == "1":
        goes_on(out, whole)


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
    with started(out, env=STOP):
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
    sb.build(slow_builder(min_size=8), out)
    assert beside(out) == left
    sb.build(slow_builder(), out, overwrite=True)
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

    def look(self, out: Path, whole: Path, other: Path) -> None:
        before = out.stat().st_ino
        try:
            verify(Location(str(out)), content=False)
            assert contents(out) in (contents(whole), contents(other))
        except (AssertionError, ShiftbenchError, OSError):
            if out.stat().st_ino == before:  # it was not replaced while it was looked at
                raise

    @pytest.mark.parametrize("rounds", [2, pytest.param(40, marks=pytest.mark.slow)])
    def test_killed_at_any_time(self, out: Path, whole: Path, other: Path, rounds: int) -> None:
        sb.build(slow_builder(), out)
        luck = random.Random(rounds)
        start = time.monotonic()
        assert slow_build(out, "--overwrite").returncode == 0
        takes = time.monotonic() - start
        for k in range(rounds):
            with started(out, "--overwrite", "--min-size", "85"[k % 2]) as run:
                # Most of the time goes into imports and the last of it into sealing.
                end = time.monotonic() + takes * luck.uniform(0.3, 1.05)
                while time.monotonic() < end and run.poll() is None:
                    self.look(out, whole, other)
                    time.sleep(0.05)
                kill_group(run)
            self.look(out, whole, other)
        assert slow_build(out, "--overwrite").returncode == 0
        assert contents(out) == contents(whole)
        # What the other build had begun is its own, and it can still be finished.
        assert beside(out) in ([], left_by(other, out))
        sb.build(slow_builder(min_size=8), out, overwrite=True)
        assert contents(out) == contents(other)
        assert beside(out) == []


def left_by(other: Path, out: Path) -> list[str]:
    plan: str = json.loads((other / MANIFEST).read_bytes())["plan"]
    return [f"{out.name}.partial-{plan[:16]}"]


class TestFull:
    """No room: a clear error with the place, the old benchmark as it was, and it goes on."""

    def test_files_may_not_grow(self, out: Path, whole: Path) -> None:
        sb.build(slow_builder(min_size=8), out)
        before = contents(out)
        limit = bind(resource.setrlimit, resource.RLIMIT_FSIZE, (12_000, 12_000))
        run = slow_build(out, "--overwrite", preexec_fn=limit)
        assert run.returncode == 1
        assert len(run.stderr.splitlines()) == 1
        assert f"cannot write in '{partial(out)}" in run.stderr
        assert "File too large" in run.stderr
        assert "make room and run the same command" in run.stderr
        assert contents(out) == before
        assert slow_build(out, "--overwrite").returncode == 0
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

    def test_a_full_disk(self, small_disk: Callable[..., Path], whole: Path) -> None:
        disk = small_disk(4000)
        out = disk / "out"
        sb.build(slow_builder(min_size=8), out)
        before = contents(out)
        size = sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
        subprocess.run(["mount", "-o", f"remount,size={size // 1024 + 160}k", disk], check=True)
        run = slow_build(out, "--overwrite", "--n-jobs", "2")
        assert run.returncode == 1
        assert len(run.stderr.splitlines()) == 1
        assert f"cannot write in '{partial(out)}" in run.stderr
        assert "No space left on device" in run.stderr
        assert contents(out) == before
        subprocess.run(["mount", "-o", "remount,size=4000k", disk], check=True)
        wrote = shards(out)
        assert slow_build(out, "--overwrite", "--n-jobs", "2").returncode == 0
        assert wrote
        assert contents(out) == contents(whole)
        assert beside(out) == []

    def test_a_mounted_volume_itself(self, small_disk: Callable[..., Path]) -> None:
        disk = small_disk(2000)
        run = slow_build(disk)
        assert run.returncode == 1
        assert "is where a volume is mounted" in run.stderr
        assert list(disk.iterdir()) == []

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
