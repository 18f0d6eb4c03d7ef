"""Features of examples in a space: computed once, kept by the benchmark's digest."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import io
import os
import secrets
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import csr_array, vstack

from shiftbench.errors import ContentError
from shiftbench.measuring.examples import Examples, Rows
from shiftbench.progress import bar
from shiftbench.spaces.space import Space, space_name
from shiftbench.store.location import Location
from shiftbench.version import __version__

__all__ = ["FeatureStore", "cache_folder"]

BATCH = 256
"""Examples whose content is in memory at a time, in each process."""

Run = Callable[..., Iterator[Any]]


def cache_folder() -> Path:
    """Where features are kept: ``$SHIFTBENCH_CACHE``, or else shiftbench in the user's cache.

    Examples
    --------
    >>> cache_folder().is_absolute()
    True
    """
    chosen = os.environ.get("SHIFTBENCH_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "shiftbench"


@dataclass
class FeatureStore:
    """Raw features of a benchmark's examples in one space.

    What is computed is kept for this process, and in the cache folder where content is read. The
    digest, by which the folder is named, is not of the other columns: what a space reads of them
    is part of the name that an example is kept by.

    Attributes
    ----------
    examples : Examples
    space : Space
    columns : tuple of str
        That the space reads.
    run : callable
        ``run(function, tasks)`` in one or many processes, results in any order.
    show : bool
        Show progress.
    """

    examples: Examples
    space: Space
    columns: tuple[str, ...]
    run: Run
    show: bool = False

    def __post_init__(self) -> None:
        self._at: dict[str, tuple[int, int]] = {}
        self._parts: list[Any] = []
        self.unreadable: dict[str, str] = {}
        self._folder = cache_folder() / self.examples.digest[:32] / _key(self.space)
        self._beside = [c for c in self.columns if c not in self.examples.content]
        self._kept = len(self._beside) < len(self.columns)
        self._load()

    def readable(self, rows: Rows) -> Rows:
        """The examples whose content can be read; `unreadable` has the others and the reason."""
        names = self._names(rows)
        missing = [i for i, e in enumerate(names) if e not in self._at and e not in self.unreadable]
        if missing:
            self._compute(rows.take(np.array(missing, dtype=np.int64)))
        kept = np.array([e not in self.unreadable for e in names], dtype=bool)
        return rows if kept.all() else rows.take(np.flatnonzero(kept))

    def raw(self, rows: Rows) -> Any:
        """Raw features, in the order of `rows`.

        Raises
        ------
        ContentError
            An example cannot be read; `readable` leaves such out.
        """
        ids = self._names(rows)
        if len(self.readable(rows).table) < len(ids):
            bad = next(e for e in ids if e in self.unreadable)
            raise ContentError(f"{bad.split()[0]!r}: {self.unreadable[bad]}")
        where = np.array([self._at[e] for e in ids])
        parts = np.unique(where[:, 0])
        taken = _stacked([_take(self._parts[p], where[where[:, 0] == p, 1]) for p in parts])
        order = np.concatenate([np.flatnonzero(where[:, 0] == p) for p in parts])
        return _take(taken, np.argsort(order, kind="stable"))

    def _compute(self, rows: Rows) -> None:
        tasks = list(_tasks(self.space, self.examples.folder, self.columns, rows))
        blocks: dict[int, Any] = {}
        names = self._names(rows)
        label = f"features: {space_name(self.space)}"
        with bar(label, len(rows.table), "example", show=self.show) as counted:
            for number, index, raws, bad in self.run(
                _block, [(i, *t) for i, t in enumerate(tasks)]
            ):
                blocks[number] = (index, raws)
                self.unreadable |= {names[i]: why for i, why in bad}
                counted.update(len(index) + len(bad))
        order = np.concatenate([blocks[i][0] for i in range(len(tasks))])
        if not len(order):
            return
        part = _stacked([raw for i in range(len(tasks)) for raw in blocks[i][1]])
        ids = [names[i] for i in order]
        self._add(ids, part)
        self._save(ids, part)

    def _names(self, rows: Rows) -> list[str]:
        """Example ids, each with a hash of what is read beside the content."""
        if not (self._kept and self._beside):
            return rows.ids
        values = zip(*(rows.table[c].to_pylist() for c in self._beside), strict=True)
        return [
            f"{e} {hashlib.sha256(repr(v).encode()).hexdigest()[:32]}"
            for e, v in zip(rows.ids, values, strict=True)
        ]

    def _add(self, ids: Sequence[str], part: Any) -> None:
        self._parts.append(part)
        for row, example in enumerate(ids):
            self._at.setdefault(example, (len(self._parts) - 1, row))

    def _load(self) -> None:
        if not self._kept or not self._folder.is_dir():
            return
        for path in sorted(self._folder.glob("*.npz")):
            # A part that cannot be read, or that another version wrote, is computed again.
            with suppress(OSError, ValueError, KeyError, EOFError, BadZipFile):
                ids, part = _unpacked(path.read_bytes())
                self._add(ids, part)

    def _save(self, ids: Sequence[str], part: Any) -> None:
        if not self._kept or isinstance(part, pa.Table):
            return
        name = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:32]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            unfinished = self._folder / f".{secrets.token_hex(8)}"
            unfinished.write_bytes(_packed(ids, part))
            unfinished.replace(self._folder / f"{name}.npz")
        except OSError as error:
            warnings.warn(
                f"features cannot be kept in {str(self._folder)!r} ({error.strerror}); the next "
                "measurement computes them again; SHIFTBENCH_CACHE names another folder",
                stacklevel=2,
            )


def _key(space: Space) -> str:
    """A space with its options, and the code that computes it."""
    digest = hashlib.sha256(f"{space_name(space)}\x1f{__version__}".encode())
    package = Path(inspect.getfile(importlib.import_module("shiftbench.spaces"))).parent
    for path in sorted(package.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def _tasks(
    space: Space, folder: Location, columns: Sequence[str], rows: Rows
) -> Iterator[tuple[Any, ...]]:
    """Batches of rows of one file, each with the places in `rows` that they go to."""
    for number, path in enumerate(rows.paths):
        index = np.flatnonzero(rows.file == number)
        index = index[np.argsort(rows.row[index], kind="stable")]
        for start in range(0, len(index), BATCH):
            some = index[start : start + BATCH]
            yield space, folder, path, tuple(columns), some, rows.row[some]


def _block(
    number: int,
    space: Space,
    folder: Location,
    path: str,
    columns: tuple[str, ...],
    index: np.ndarray[Any, Any],
    wanted: np.ndarray[Any, Any],
) -> tuple[int, np.ndarray[Any, Any], list[Any], list[tuple[int, str]]]:
    """Raw features of some rows of a file, one row group at a time, and what cannot be read."""
    raws: list[Any] = []
    done: list[int] = []
    bad: list[tuple[int, str]] = []
    with folder.open(path) as file:
        parquet = pq.ParquetFile(file)
        start = 0
        for group in range(parquet.num_row_groups):
            size = parquet.metadata.row_group(group).num_rows
            picked = (wanted >= start) & (wanted < start + size)
            inside, places = wanted[picked] - start, index[picked].tolist()
            start += size
            if not len(inside):
                continue
            table = parquet.read_row_group(group, columns=list(columns)).take(inside)
            try:
                raws.append(space.raw(table))
                done += places
            except ContentError:  # one by one, to tell which
                for i, place in enumerate(places):
                    try:
                        raws.append(space.raw(table.slice(i, 1)))
                        done.append(place)
                    except ContentError as error:
                        bad.append((place, str(error)))
    return number, np.array(done, dtype=np.int64), raws, bad


def _stacked(parts: Sequence[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], pa.Table):
        return pa.concat_tables(parts)
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return csr_array(vstack(parts, format="csr"))


def _take(part: Any, index: np.ndarray[Any, Any]) -> Any:
    return part.take(index) if isinstance(part, pa.Table) else part[index]


def _packed(ids: Sequence[str], part: Any) -> bytes:
    out = io.BytesIO()
    named = np.array("\n".join(ids))
    if isinstance(part, np.ndarray):
        np.savez(out, ids=named, dense=part)
    else:
        shape = np.array(part.shape)
        np.savez(
            out, ids=named, data=part.data, indices=part.indices, indptr=part.indptr, shape=shape
        )
    return out.getvalue()


def _unpacked(data: bytes) -> tuple[list[str], Any]:
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        ids = str(found["ids"]).split("\n")
        if "dense" in found:
            part: Any = found["dense"]
        else:
            part = csr_array(
                (found["data"], found["indices"], found["indptr"]), shape=tuple(found["shape"])
            )
    if part.shape[0] != len(ids):
        raise ValueError("a part of another length")
    return ids, part
