"""What the tests of stopped builds share: the command line as a process, looks at its output."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import shiftbench as sb
from tests.slow_scenes import SlowScenes

ROOT = Path(__file__).resolve().parent.parent
SLOW = (sys.executable, "-m", "tests.slow_scenes")
BUILD = (
    *("build", "metashift", "--source", "slow_scenes", "--contexts", "general"),
    *("--min-subsets", "2", "--classes", "cat", "dog"),
)


def command(out: Path | str, *more: str) -> list[str]:
    size = () if "--min-size" in more else ("--min-size", "5")
    return [*SLOW, *BUILD, "--out", str(out), *size, *more]


def slow_builder(**more: Any) -> Any:
    """What `command` builds: few subsets, since drawing many takes the most time."""
    options: dict[str, Any] = {
        "classes": ("cat", "dog"),
        "contexts": ("general",),
        "min_size": 5,
        "min_subsets": 2,
    }
    return sb.builders.MetaShift(SlowScenes(), **{**options, **more})


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "default", **more}


def slow_build(out: Path | str, *more: str, env: Mapping[str, str] = {}, **options: Any) -> Any:
    """The build to its end: what `subprocess.run` gives."""
    return subprocess.run(
        command(out, *more),
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )


@contextmanager
def started(
    out: Path | str,
    *more: str,
    env: Mapping[str, str] = {},
) -> Iterator[subprocess.Popen[str]]:
    """The build on its way, in a process group of its own, all of which is gone afterwards."""
    process = subprocess.Popen(
        command(out, *more),
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        kill_group(process)


def kill_group(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def until(happens: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not (found := happens()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
    return found


def group_of(process: subprocess.Popen[str]) -> dict[int, str]:
    """The command line of every process of the group."""
    found = {}
    for entry in Path("/proc").iterdir():
        with suppress(ValueError, OSError):
            if os.getpgid(int(entry.name)) == process.pid:
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
    return found


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    return sorted(pid for pid, line in group_of(process).items() if "loky" in line and
                  "resource_tracker" not in line)  # fmt: skip


def partial(out: Path) -> Path | None:
    """The staging folder beside an output."""
    return next(iter(sorted(out.parent.glob(f"{out.name}.partial-*"))), None)


def done(out: Path) -> list[Path]:
    """The files that a build has finished so far, as its reports say."""
    stage = partial(out)
    return sorted(stage.glob("reports/[!.]*")) if stage else []


def shards(out: Path) -> dict[str, tuple[int, int, str]]:
    """The image files in the staging folder: inode, change stamp and hash."""
    stage = partial(out)
    assert stage is not None
    found = {}
    for path in sorted(stage.glob("benchmark/data/images/*.parquet")):
        info = path.stat()
        found[path.name] = (info.st_ino, info.st_mtime_ns, digest_of(path))
    return found


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def contents(folder: Path) -> dict[str, str]:
    """The hash of every file, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): digest_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def digest(folder: Path) -> str:
    found: str = json.loads((folder / "shift.json").read_bytes())["digest"]
    return found


def beside(out: Path) -> list[str]:
    """What lies beside an output."""
    return sorted(p.name for p in out.parent.iterdir() if p != out)
