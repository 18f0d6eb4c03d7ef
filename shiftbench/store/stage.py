"""The staging directory: where a build is written until it is whole, and how it becomes whole."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from shiftbench.errors import StorageError
from shiftbench.store.location import Location
from shiftbench.store.manifest import MANIFEST
from shiftbench.store.write import ShardReport

__all__ = ["Stage", "open_stage", "writing"]

_REPORTS = ".shards"
_LOCK = ".lock"


@dataclass(frozen=True)
class Stage:
    """A build on its way.

    Attributes
    ----------
    out : Location
        Where the benchmark will be.
    work : Location
        Where it is written; `out` itself on an object store, which cannot rename.
    overwrite : bool
    """

    out: Location
    work: Location
    overwrite: bool

    def report(self, path: str, key: str) -> ShardReport | None:
        """What an earlier run wrote for this shard, where that still holds."""
        name = f"{_REPORTS}/{path.replace('/', '.')}.msgpack"
        if not self.work.exists(name) or not self.work.exists(path):
            return None
        try:
            found = msgspec.msgpack.decode(self.work.read(name), type=ShardReport)
        except msgspec.MsgspecError:
            return None
        whole = found.key == key and self.work.size(path) == found.size
        return found if whole else None

    def keep(self, report: ShardReport) -> None:
        """Remember what was written, for a run that goes on from here."""
        name = f"{_REPORTS}/{report.path.replace('/', '.')}.msgpack"
        self.work.write(name, msgspec.msgpack.encode(report))

    def drop_others(self, wanted: set[str]) -> None:
        """Delete files of an earlier plan that this one does not name."""
        for name in self.work.files():
            if name.startswith("data/") and name not in wanted:
                self.work.remove(name)

    def seal(self, manifest: bytes) -> None:
        """Write the manifest, which makes the benchmark exist, and put it in its place."""
        self.work.write(MANIFEST, manifest)
        self.work.remove(_REPORTS)
        self.work.remove(_LOCK)
        work, out = self.work.local, self.out.local
        if work is None or out is None:
            return
        if out.exists() and not _is_empty(out):
            if not self.overwrite:
                raise _exists(self.out)
            _exchange(work, out)
            shutil.rmtree(work)
        else:
            work.replace(out)


def _exists(out: Location) -> StorageError:
    return StorageError(
        f"{out.url!r} exists; choose another --out, or --overwrite to replace it when the new "
        "build is whole"
    )


@contextmanager
def open_stage(out: Location, plan_hash: str, *, overwrite: bool) -> Iterator[Stage]:
    """The staging directory of a plan, made or found, held by one process at a time.

    Raises
    ------
    StorageError
        The output exists and may not be replaced, or another process is at work on it.
    """
    if out.local is None:
        if out.exists(MANIFEST):
            raise StorageError(
                f"{out.url!r} holds a benchmark, and an object store cannot replace one "
                "atomically; choose another --out or delete it first"
            )
        yield Stage(out, out, overwrite=False)
        return
    target = out.local
    if target.exists() and not _is_empty(target):
        if not overwrite:
            raise _exists(out)
        if not (target / MANIFEST).exists():
            raise StorageError(
                f"{out.url!r} exists and is no benchmark directory (it holds no {MANIFEST}); "
                "--overwrite replaces benchmarks only; choose another --out"
            )
    work = target.absolute().parent / f"{target.absolute().name}.partial-{plan_hash[:16]}"
    with writing(work):
        work.mkdir(parents=True, exist_ok=True)
    with _held(work / _LOCK, work):
        yield Stage(out, Location(str(work)), overwrite)


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


@contextmanager
def _held(lock: Path, work: Path) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # no advisory locks on this system
        yield
        return
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StorageError(
                f"another process is building in {str(work)!r}; wait for it or stop it"
            ) from None
        yield


@contextmanager
def writing(where: object) -> Iterator[None]:
    """Turn a failed write into an error that says where and what to do."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise StorageError(
            f"cannot write in {str(where)!r}: {error.strerror or error}"
            + (
                "; what is written stays there: make room and run the same command to go on"
                if full
                else ""
            )
        ) from error


def _exchange(new: Path, old: Path) -> None:
    """Swap two directories in one step, so that no moment is without a benchmark."""
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None, use_errno=True)
        at_cwd, exchange = -100, 2
        if libc.renameat2(at_cwd, os.fsencode(new), at_cwd, os.fsencode(old), exchange) == 0:
            return
    # No renameat2 here: two renames, the old benchmark whole under another name in between.
    aside = old.with_name(f"{old.name}.replaced-{os.getpid()}")
    old.replace(aside)
    new.replace(old)
    aside.replace(new)
