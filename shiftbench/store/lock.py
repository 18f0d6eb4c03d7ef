"""A folder that one process at a time works in, and that is gone when the work is done."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shiftbench.errors import StorageError

__all__ = ["held"]

_LOCK = ".lock"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make a folder and hold it; it is removed at the end, or kept as it is after an error.

    The lock is the system's own and goes with the process, however that ends. File systems that
    have none are worked on without.

    Raises
    ------
    StorageError
        Another process holds it.
    """
    file = _acquire(folder)
    try:
        try:
            yield
        except BaseException:
            if not any(path.name != _LOCK for path in folder.iterdir()):
                _remove(folder, file)
            raise
        _remove(folder, file)
    finally:
        with suppress(OSError):  # closed by _remove
            os.close(file)


def _acquire(folder: Path) -> int:
    lock = folder / _LOCK
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # its owner has just finished
            continue
        if not _locked(file):
            os.close(file)
            raise StorageError(
                f"another process is building in {str(folder)!r}; wait for it or stop it"
            )
        # The owner may have finished, and deleted the file, between the two steps.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), lock.stat()):
                return file
        os.close(file)


def _locked(file: int) -> bool:
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # this file system has no locks
        return True
    return True


def _remove(folder: Path, file: int) -> None:
    """Delete all that is in the folder, then the lock, then the folder."""
    try:
        for path in sorted(folder.iterdir()):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != _LOCK:
                path.unlink()
        (folder / _LOCK).unlink()
    except OSError as error:
        raise StorageError(
            f"{str(folder)!r} is no longer needed and cannot be removed "
            f"({error.strerror or error}); delete it"
        ) from error
    os.close(file)
    with suppress(OSError):  # somebody has just begun to work in it
        folder.rmdir()
