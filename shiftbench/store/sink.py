"""A file that is hashed as it is written, in line or in a thread beside."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["HashingSink", "hasher"]

T = TypeVar("T")

PIECE = 256 * 2**10
BEHIND = 8 * 2**20


class _AtOnce(Executor):
    """Runs a task when it is submitted."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        done: Future[T] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


def hasher(*, beside: bool) -> Executor:
    """Where hashes are computed: one thread beside the caller's, or at once."""
    return ThreadPoolExecutor(1) if beside else _AtOnce()


class HashingSink:
    """What Arrow takes for a file to write to; its size and sha256 are known at the end.

    Hashing what is being written, while it is still in the processor's cache, saves reading the
    file again, from wherever it went.

    Parameters
    ----------
    file : file object
        Where the bytes go.
    executor : Executor
        Of a single thread, since the order counts. At most about 8 MB are held for it.

    Examples
    --------
    >>> import io
    >>> with hasher(beside=True) as executor:
    ...     sink = HashingSink(io.BytesIO(), executor)
    ...     written = sink.write(b"abc")
    ...     sink.hexdigest()[:8]
    'ba7816bf'
    """

    def __init__(self, file: Any, executor: Executor) -> None:
        self._file = file
        self._executor = executor
        self._digest = hashlib.sha256()
        self._fresh: list[bytes] = []
        self._n_fresh = 0
        self._waiting: deque[tuple[int, Future[None]]] = deque()
        self._behind = 0
        self.size = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        """Write and hash some bytes."""
        self._file.write(data)
        self.size += len(data)
        self._fresh.append(data)
        self._n_fresh += len(data)
        if self._n_fresh >= PIECE:  # most writes are headers of a few bytes
            self._hash_fresh()
            self._catch_up(BEHIND)
        return len(data)

    def tell(self) -> int:
        """Bytes written so far."""
        return self.size

    def flush(self) -> None:
        """Nothing: the file is flushed when it is closed."""

    def close(self) -> None:
        """Nothing is written any more; the file is closed by who opened it."""
        self.closed = True

    def hexdigest(self) -> str:
        """sha256 (hex) of all that was written."""
        self._hash_fresh()
        self._catch_up(0)
        return self._digest.hexdigest()

    def _hash_fresh(self) -> None:
        done = self._executor.submit(_update, self._digest, self._fresh)
        self._waiting.append((self._n_fresh, done))
        self._behind += self._n_fresh
        self._fresh, self._n_fresh = [], 0

    def _catch_up(self, allowed: int) -> None:
        while self._behind > allowed:
            size, hashed = self._waiting.popleft()
            hashed.result()
            self._behind -= size


def _update(digest: Any, pieces: list[bytes]) -> None:
    for piece in pieces:
        digest.update(piece)
