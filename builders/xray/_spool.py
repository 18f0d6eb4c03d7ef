"""Patches that are asked for again, kept encoded in a file that no other process sees."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
from contextlib import suppress
from typing import BinaryIO

__all__ = ["Spool", "spool"]

MOST_ENTRIES = 300_000
MOST_BYTES = 2 * 10**9

_LOOK = 16 * 2**20  # bytes between two looks at the free disk
_LENGTH = 2**32


class Spool:
    """Contents by key, in an unlinked temporary file, up to a limit; then no more are kept.

    The limit is 300,000 entries (about 60 MB of index), 2 GB, and a quarter of what is free on the
    disk at that time: with any number of processes some of it stays free. A disk that cannot be
    written costs the entry, never the build.
    """

    def __init__(self, most_entries: int = MOST_ENTRIES, most_bytes: int = MOST_BYTES) -> None:
        self.most_entries, self.most_bytes = most_entries, most_bytes
        self._index: dict[bytes, int] = {}
        self._file: BinaryIO | None = None
        self._end = 0
        self._next_look = 0
        self._full = False
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._index)

    def get(self, key: bytes) -> bytes | None:
        """What was kept under a key; None: nothing."""
        with self._lock:
            place = self._index.get(key)
            if place is None or self._file is None:
                return None
            start, length = divmod(place, _LENGTH)
            try:
                self._file.seek(start)
                content = self._file.read(length)
            except OSError:
                return None
            return content if len(content) == length else None

    def put(self, key: bytes, content: bytes) -> None:
        """Keep a content under a key, if there is room."""
        with self._lock:
            if self._full or key in self._index:
                return
            try:
                if not self._room(len(content)):
                    self._full = True
                    return
                if self._file is None:
                    self._file = tempfile.TemporaryFile(prefix="shiftbench-")  # noqa: SIM115
                self._file.seek(self._end)
                self._file.write(content)
                self._file.flush()
            except OSError:
                self._full = True
                return
            self._index[key] = self._end * _LENGTH + len(content)
            self._end += len(content)

    def _room(self, wanted: int) -> bool:
        if len(self._index) >= self.most_entries or self._end + wanted > self.most_bytes:
            return False
        if self._end >= self._next_look:
            self._next_look = self._end + _LOOK
            free = shutil.disk_usage(tempfile.gettempdir()).free
            return self._next_look <= free // 4
        return True

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            if self._file is not None:
                with suppress(OSError):
                    self._file.close()
            self._index.clear()
            self._file, self._end, self._next_look, self._full = None, 0, 0, False


_OF_PROCESS: dict[int, Spool] = {}


def spool() -> Spool:
    """The spool of this process, which lasts from one shard to the next.

    A forked process has one of its own: it would share the position in its parent's file.
    """
    pid = os.getpid()
    if pid not in _OF_PROCESS:
        _OF_PROCESS.clear()
        _OF_PROCESS[pid] = Spool()
        atexit.register(_OF_PROCESS[pid].close)
    return _OF_PROCESS[pid]
