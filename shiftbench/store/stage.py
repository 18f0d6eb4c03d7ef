"""The staging directory: where a build is written until it is whole, and how it becomes whole.

``<out>.partial-<plan hash>/`` holds

- ``benchmark/``: what will be `out`, and nothing else;
- ``reports/``: what became of each file, for a run that goes on after this one was stopped;
- ``run-<token>/``: files that are being written. Each run has its own and deletes the others', so
  that workers which outlive a killed run cannot write into the next one's work;
- ``.lock``: held by the process at work.

On an object store the benchmark is written in place and ``.partial/`` in it has the reports.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from shiftbench.errors import StorageError
from shiftbench.store.location import Location
from shiftbench.store.lock import held
from shiftbench.store.manifest import MANIFEST, FileEntry, Manifest
from shiftbench.store.write import ShardReport, size_and_hash

__all__ = ["Stage", "check_output", "open_stage", "writing"]

_BENCHMARK = "benchmark"
_REPLACED = "replaced"
_RUN = "run-"
_REMOTE = ".partial"


@dataclass(frozen=True)
class Stage:
    """A build on its way.

    Attributes
    ----------
    out : Location
        Where the benchmark will be.
    work : Location
        Where it is written; `out` itself on an object store, which cannot rename.
    notes : Location
        Where the reports are kept.
    overwrite : bool
    """

    out: Location
    work: Location
    notes: Location
    overwrite: bool

    def report(self, path: str, key: str) -> ShardReport | None:
        """What an earlier run wrote for this shard, where that still holds."""
        name = _report_name(path)
        if not self.notes.exists(name) or not self.work.exists(path):
            return None
        try:
            found = msgspec.msgpack.decode(self.notes.read(name), type=ShardReport)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        if (found.key, found.path) != (key, path):
            return None
        if self.work.local is None:
            return found if self.work.size(path) == found.size else None
        # Where the machine itself went down, a file may have its size and not its content.
        return found if size_and_hash(self.work, path) == (found.size, found.sha256) else None

    def row_digests(self, path: str) -> bytes:
        """Those of a file that was written, 32 bytes a row: all files' may not fit into memory."""
        found = self.notes.read(_report_name(path))
        return msgspec.msgpack.decode(found, type=ShardReport).row_digests

    def reported(self, paths: Iterable[str]) -> set[str]:
        """Files of which an earlier run said something, be it out of date."""
        return {path for path in paths if self.notes.exists(_report_name(path))}

    def keep(self, report: ShardReport) -> None:
        """Remember what was written, for a run that goes on from here."""
        self.notes.write(_report_name(report.path), msgspec.msgpack.encode(report))

    def drop_others(self, wanted: set[str]) -> None:
        """Delete files of an earlier plan that this one does not name."""
        for name in self.work.files():
            if name not in wanted:
                self.work.remove(name)

    def seal(self, manifest: bytes) -> None:
        """Write the manifest, which makes the benchmark exist, and put it in its place.

        Raises
        ------
        StorageError
            A file is not there that a worker says it wrote, or the output was made meanwhile.
        """
        self._check(msgspec.json.decode(manifest, type=Manifest))
        work, out = self.work.local, self.out.local
        if work is None or out is None:
            self.work.write(MANIFEST, manifest)
            self.work.remove(_REMOTE)
            return
        check_output(self.out, overwrite=self.overwrite)
        self.work.write(MANIFEST, manifest)
        shutil.rmtree(self.work.scratch)
        if self.out.is_empty():
            work.replace(out)
        elif not _exchange(work, out):
            # The old benchmark lies whole under another name for a moment; `_recover` knows it.
            out.replace(work.with_name(_REPLACED))
            work.replace(out)

    def _check(self, manifest: Manifest) -> None:
        """Every file of the manifest is here as it should be, and no other is."""
        self.drop_others(set(manifest.files))
        self.check_there(manifest.files)
        if self.work.local is not None:
            for folder, _, _ in os.walk(self.work.local, topdown=False):
                if not any(Path(folder).iterdir()):
                    Path(folder).rmdir()

    def check_there(self, files: Mapping[str, FileEntry]) -> None:
        """Refuse to go on where a file is not there that a worker says it wrote.

        Raises
        ------
        StorageError
            Names the file.
        """
        for name, entry in sorted(files.items()):
            if not self.work.exists(name) or self.work.size(name) != entry.bytes:
                raise StorageError(
                    f"{self.work.path(name)} is not there as it was written; where several "
                    "processes write, all need to see the same place: a shared file system or an "
                    "object store, not a folder of one machine and not memory://"
                )


def _report_name(path: str) -> str:
    return f"reports/{hashlib.sha256(path.encode()).hexdigest()[:32]}"


def check_output(out: Location, *, overwrite: bool) -> None:
    """Refuse an output that cannot become the benchmark; cheap enough to ask before the work.

    Raises
    ------
    StorageError
        Something is there that may not be replaced, or cannot be.
    """
    patterns = sorted(set("*?[") & set(str(out.local.absolute() if out.local else out.url)))
    if patterns:
        raise StorageError(
            f"{out.url!r} holds {' and '.join(patterns)}, which `datasets` would read as a pattern "
            "when it loads the benchmark; choose another --out"
        )
    if out.local is None:
        if out.exists(MANIFEST):
            raise StorageError(
                f"{out.url!r} holds a benchmark, and an object store cannot replace one "
                "atomically; choose another --out or delete it first"
            )
        if not out.is_empty() and not out.exists(f"{_REMOTE}/plan"):
            raise _not_ours(out, f"it holds no {MANIFEST}")
        return
    with writing(out.url):
        _check_local(out, out.local, overwrite)


def _check_local(out: Location, target: Path, overwrite: bool) -> None:
    if target.resolve().is_mount():
        raise StorageError(
            f"{out.url!r} is where a volume is mounted, and a benchmark is put in its place by "
            f"renaming; name a folder inside it, e.g. {str(target / 'benchmark')!r}"
        )
    if target.is_dir() and Path.cwd().is_relative_to(target.resolve()):
        raise StorageError(
            f"{out.url!r} is the current folder or above it, which cannot be replaced while you "
            "are in it; run the command elsewhere or choose another --out"
        )
    if out.is_empty():
        return
    files = _files_of_benchmark(out)
    if files is None:
        raise _not_ours(out, f"it holds no {MANIFEST} of one")
    if not overwrite:
        raise StorageError(
            f"{out.url!r} exists; choose another --out, or --overwrite to replace it when the new "
            "build is whole"
        )
    others = set(out.files()) - files
    others |= {p.name for p in target.iterdir() if p.name.startswith(".") and p.name != ".DS_Store"}
    if others:
        raise StorageError(
            f"{out.url!r} also holds files that are no part of the benchmark ("
            f"{', '.join(map(repr, sorted(others)[:3]))}{', …' if len(others) > 3 else ''}), which "
            "--overwrite would delete; move them elsewhere"
        )


def _not_ours(out: Location, why: str) -> StorageError:
    return StorageError(
        f"{out.url!r} exists and is no benchmark directory ({why}); --overwrite replaces "
        "benchmarks only; choose another --out"
    )


def _files_of_benchmark(folder: Location) -> set[str] | None:
    """The files that a benchmark says it has, be they damaged; None where there is none."""
    try:
        found = msgspec.json.decode(folder.read(MANIFEST), type=_Outline)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return {MANIFEST, *found.files} if found.format.startswith("shiftbench/") else None


class _Outline(msgspec.Struct):
    """As much of a manifest of any version as is needed to replace it."""

    format: str
    files: dict[str, msgspec.Raw]


@contextmanager
def open_stage(out: Location, plan_hash: str, *, overwrite: bool) -> Iterator[Stage]:
    """The staging directory of a plan, made or found, held by one process at a time.

    It is gone when the block ends, and stays after an error.

    Raises
    ------
    StorageError
        The output exists and may not be replaced, or another process is at work on it.
    """
    check_output(out, overwrite=overwrite)
    if out.local is None:
        yield _remote_stage(out, plan_hash)
        return
    with writing(out.url):
        target = out.local.resolve()
        folder = target.with_name(f"{target.name}.partial-{plan_hash[:16]}")
        with held(folder):
            _recover(folder, target)
            # Asked again: another process may have finished while this one came in.
            check_output(out, overwrite=overwrite)
            scratch = folder / f"{_RUN}{secrets.token_hex(8)}"
            scratch.mkdir()
            work = folder / _BENCHMARK
            work.mkdir(exist_ok=True)
            try:
                yield Stage(
                    out=Location(str(target)),
                    work=Location(str(work), str(scratch)),
                    notes=Location(str(folder)),
                    overwrite=overwrite,
                )
            except BaseException:
                shutil.rmtree(scratch, ignore_errors=True)  # workers left behind stop at this
                with suppress(OSError):  # where nothing was written, nothing is left
                    work.rmdir()
                raise


def _remote_stage(out: Location, plan_hash: str) -> Stage:
    notes = Location(out.path(_REMOTE))
    if not notes.exists("plan"):
        notes.write("plan", plan_hash.encode())
    elif notes.read("plan") != plan_hash.encode():
        raise StorageError(
            f"{out.url!r} holds what another build, stopped on the way, has written; delete it or "
            "choose another --out"
        )
    return Stage(out, out, notes, overwrite=False)


def _recover(folder: Path, target: Path) -> None:
    """Put right what a run that was stopped in the middle of sealing has left."""
    replaced, work = folder / _REPLACED, folder / _BENCHMARK
    if replaced.exists() and not target.exists():
        replaced.replace(target)
    # A whole benchmark here is the new one, not yet in its place, or the old one, no longer there.
    # Nothing tells which, so it does not count as work done.
    if (work / MANIFEST).exists():
        shutil.rmtree(work)
    for path in sorted(folder.iterdir()):
        if path == replaced or path.name.startswith(_RUN):
            shutil.rmtree(path)


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


def _exchange(new: Path, old: Path) -> bool:
    """Swap two directories in one step, so that no moment is without a benchmark."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        rename = libc.renameat2
    except (AttributeError, OSError):  # not Linux, or an old one
        return False
    at_cwd, exchange = -100, 2
    result = rename(at_cwd, os.fsencode(new), at_cwd, os.fsencode(old), exchange)
    if result and (code := ctypes.get_errno()) not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        raise OSError(code, os.strerror(code), str(old))
    return not result
