"""Drawn scenes in several files, whose content may come slowly: builds that a test can stop.

Run as a program it is the command line of shiftbench with one source more, ``slow_scenes``.

Environment
-----------
SLOW_SCENES_SECONDS
    How long each picture takes.
SLOW_SCENES_STOP
    Number of the scene from which on no picture ever comes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from shiftbench.schema import Metadata
from shiftbench.sources.scenes import SceneReader, Scenes

BYTES = 8 * 2**20  # what each picture is said to have, so that four of them make a file


@dataclass(frozen=True)
class SlowReader:
    read: SceneReader
    seconds: float
    stop: int

    def __call__(self, locator: str) -> Mapping[str, Any]:
        time.sleep(600 if int(locator.removeprefix("scene-")) >= self.stop else self.seconds)
        return self.read(locator)


@dataclass(frozen=True)
class SlowScenes:
    """Drawn scenes that come slowly.

    Parameters
    ----------
    n_scenes : int
        How many.
    """

    n_scenes: int = 96

    @property
    def scenes(self) -> Scenes:
        return Scenes(n_scenes=self.n_scenes, size=32)

    def scan(self) -> Metadata:
        found = self.scenes.scan()
        column = found.examples.schema.get_field_index("bytes")
        sizes = pa.array([BYTES] * len(found.examples), pa.int64())
        return replace(found, examples=found.examples.set_column(column, "bytes", sizes))

    def reader(self) -> Callable[[str], Mapping[str, Any]]:
        seconds = float(os.environ.get("SLOW_SCENES_SECONDS", "0"))
        stop = int(os.environ.get("SLOW_SCENES_STOP", "1000000"))
        return SlowReader(self.scenes.reader(), seconds, stop)


if __name__ == "__main__":
    from shiftbench import registry
    from shiftbench.cli import main

    registry.SOURCES["slow_scenes"] = "tests.slow_scenes:SlowScenes"  # type: ignore[index]
    main(sys.argv[1:])
