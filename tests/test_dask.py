"""Builds on a Dask cluster: the same benchmark, and a worker may be lost on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="needs the extra 'dask'")

import joblib

import shiftbench as sb
from shiftbench.errors import ConfigurationError, ShiftbenchError
from shiftbench.registry import SOURCES
from tests.stopping import (
    beside,
    contents,
    digest,
    done,
    environment,
    slow_build,
    slow_builder,
    started,
    until,
)

Program = subprocess.Popen[bytes]
Start = Callable[..., Program]


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    """The source under the name that the command line has for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SOURCES, "slow_scenes", "tests.slow_scenes:SlowScenes")  # type: ignore[arg-type]
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same build in one process."""
    out = tmp_path_factory.mktemp("whole") / "out"
    sb.build(slow_builder(), out)
    return out


@pytest.fixture
def out(tmp_path: Path) -> Path:
    place = tmp_path / "place"
    place.mkdir()
    return place / "out"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start one of Dask's programs."""
    processes: list[Program] = []

    def started_program(program: str, *options: str) -> Program:
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{program}", "--no-dashboard", *options],
                env=environment(SLOW_SCENES_SECONDS="0.08"),
                cwd=tmp_path,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        return processes[-1]

    yield started_program
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def scheduler_process(start: Start, tmp_path: Path) -> Program:
    file = str(tmp_path / "scheduler.json")
    return start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", file)


@pytest.fixture
def scheduler(scheduler_process: Program, tmp_path: Path) -> str:
    """The address of a scheduler without workers."""

    def address() -> str:
        assert scheduler_process.poll() is None
        try:
            found: str = json.loads((tmp_path / "scheduler.json").read_text())["address"]
        except (OSError, ValueError):
            return ""
        return found

    found: str = until(address)
    return found


@pytest.fixture
def workers(start: Start, scheduler: str, tmp_path: Path) -> list[Program]:
    """Two workers, each a process, known to the scheduler."""
    made = [
        start(
            *("dask_worker", scheduler, "--nthreads", "1", "--no-nanny"),
            *("--local-directory", str(tmp_path / f"worker{i}")),
        )
        for i in range(2)
    ]
    from distributed import Client

    with Client(scheduler, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    return made


def test_a_worker_is_killed_on_the_way(
    out: Path, whole: Path, scheduler: str, workers: list[Program]
) -> None:
    with started(out, "--scheduler", scheduler) as run:
        until(lambda: len(done(out)) >= 3)
        assert len(done(out)) < 13
        workers[0].kill()
        said, complained = run.communicate(timeout=60)
    assert (run.returncode, complained) == (0, "")
    assert workers[0].wait() == -signal.SIGKILL
    assert workers[1].poll() is None
    assert digest(whole) in said
    assert contents(out) == contents(whole)
    assert beside(out) == []


def test_the_scheduler_is_lost_on_the_way(
    out: Path, whole: Path, scheduler: str, scheduler_process: Program, workers: list[Program]
) -> None:
    assert len(workers) == 2
    with started(out, "--scheduler", scheduler) as run:
        until(lambda: len(done(out)) >= 3)
        scheduler_process.kill()
        _, complained = run.communicate(timeout=60)
    assert run.returncode == 1
    assert complained.startswith("shiftbench: the connection to the Dask scheduler was lost")
    assert len(complained.splitlines()) == 1
    again = slow_build(out)
    assert again.returncode == 0
    assert contents(out) == contents(whole)


def test_control_c(out: Path, whole: Path, scheduler: str, workers: list[Program]) -> None:
    with started(out, "--scheduler", scheduler) as run:
        until(lambda: len(done(out)) >= 3)
        os.killpg(run.pid, signal.SIGINT)
        _, complained = run.communicate(timeout=30)
    assert run.returncode == 130
    assert complained.startswith("shiftbench: stopped; nothing is damaged")
    assert all(w.poll() is None for w in workers)
    again = slow_build(out, "--scheduler", scheduler)
    assert (again.returncode, again.stderr) == (0, "")
    assert contents(out) == contents(whole)


def test_an_active_joblib_configuration_is_used(
    out: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client, LocalCluster

    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as cluster,
        Client(cluster) as client,
    ):
        client.get_task_stream()  # from now on it is kept
        with joblib.parallel_config("dask"):
            sb.build(slow_builder(), out)
        ran = client.get_task_stream()
    assert len([task for task in ran if "write_shard" in task["key"]]) == 13
    assert len({task["worker"] for task in ran}) == 2
    assert contents(out) == contents(whole)


def test_no_scheduler_there(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shiftbench.engine._PATIENCE", 1)
    with pytest.raises(
        ShiftbenchError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:9'"
    ):
        sb.build(slow_builder(), out, scheduler="tcp://127.0.0.1:9")
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("address", ["localhost", "localhost:8786", "", "8786"])
def test_what_is_no_address(out: Path, address: str) -> None:
    with pytest.raises(ConfigurationError, match="tcp://host:8786"):
        sb.build(slow_builder(), out, scheduler=address)
    assert list(out.parent.iterdir()) == []


def test_a_scheduler_without_workers_is_said(out: Path, scheduler: str) -> None:
    with started(out, "--scheduler", scheduler) as run:
        assert run.stderr is not None
        assert "has no workers yet" in run.stderr.readline()
