"""Progress on a terminal, and silence elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

__all__ = ["bar", "shown", "step"]


def shown(progress: bool | None = None) -> bool:
    """Whether to show progress: as asked for, or else when stderr is a terminal.

    Examples
    --------
    >>> shown(True)
    True
    """
    return sys.stderr.isatty() if progress is None else progress


@contextmanager
def step(name: str, *, show: bool) -> Iterator[None]:
    """Name work of unknown length while it is going on, and say how long it took.

    Examples
    --------
    >>> with step("planning", show=False):
    ...     pass
    """
    start = time.monotonic()
    if show:
        print(f"{name} …", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if show:
            print(f"\r{name}: {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)


def bar(name: str, total: int, unit: str, *, show: bool) -> Any:
    """A bar with a rate and the time left, for work of known length.

    Examples
    --------
    >>> with bar("writing", 2, "file", show=False) as counted:
    ...     _ = counted.update()
    """
    return tqdm(total=total, unit=unit, unit_scale=unit == "B", desc=name, disable=not show)
