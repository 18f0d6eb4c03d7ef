"""What the scripts of this folder share: interleaved timing, peak memory, pinned pictures."""

from __future__ import annotations

import gc
import io
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

Times = dict[str, list[float]]


def interleaved(
    contenders: Mapping[str, Callable[[], object]],
    rounds: int,
    before: Callable[[], object] = lambda: None,
) -> Times:
    """Wall seconds of each contender in each round, all of them in every round.

    The order turns from round to round, so that nobody always runs in another's wake; `before` is
    called before each, outside the time.
    """
    times: Times = {name: [] for name in contenders}
    names = list(contenders)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            before()
            gc.collect()
            start = time.perf_counter()
            contenders[name]()
            times[name].append(time.perf_counter() - start)
    return times


def ratio(times: Times, ours: str, theirs: str) -> float:
    """How fast we are against another: 1 is as fast, 2 twice as fast; best of the rounds."""
    return round(min(times[theirs]) / min(times[ours]), 3)


def rounded(times: Times) -> dict[str, list[float]]:
    """The times as they are printed."""
    return {name: [round(t, 4) for t in found] for name, found in times.items()}


@contextmanager
def temporary_folder(where: str | None) -> Iterator[Path]:
    """A folder that is gone afterwards, and no `datasets` cache outside it."""
    folder = Path(tempfile.mkdtemp(prefix="shiftbench-performance-", dir=where))
    os.environ.update(
        HF_HUB_OFFLINE="1", HF_HOME=str(folder / "hf"), HF_DATASETS_DISABLE_PROGRESS_BARS="1"
    )
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def family(pid: int | None = None) -> list[int]:
    """A process and all of its living descendants (Linux)."""
    found = [pid or os.getpid()]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in children.read_text().split()]
    return found


def peak_mb(pid: int) -> float:
    """The most memory that a living process ever had resident, in MB (Linux's VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) * 1024 / 1e6, 1)
    return 0.0


def jpegs(n: int, seed: int, size: int = 256, quality: int = 88) -> list[bytes]:
    """Pictures with smooth parts, edges and grain, of about 24 KB each as JPEG."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    made = []
    for _ in range(n):
        picture = np.empty((size, size, 3))
        for channel in range(3):
            a, b, c, d = rng.uniform(-4, 4, 4)
            picture[..., channel] = 128 + 60 * np.sin(a * x + b * y + 3 * np.sin(c * x * y + d))
        for _ in range(6):
            cx, cy, r = rng.uniform(0, 1, 3)
            inside = (x - cx) ** 2 + (y - cy) ** 2 < (0.05 + r / 5) ** 2
            picture[inside] = 0.4 * picture[inside] + 0.6 * rng.uniform(0, 255, 3)
        picture += rng.normal(0, 9, (size, size, 1))
        buffer = io.BytesIO()
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
        made.append(buffer.getvalue())
    return made


def numbered(jpeg: bytes, number: int) -> bytes:
    """The same picture with a comment in it, so that no two files are the same."""
    comment = f"picture {number:09d}".encode()
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]
