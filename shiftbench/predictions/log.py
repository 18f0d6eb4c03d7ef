"""Predictions on their way from the files to the splits: one temporary file and an index of it."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import StorageError

__all__ = ["Log"]

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class _Stored:
    """An array in the file: where, of what type, and how many values a row."""

    offset: int
    dtype: np.dtype[Any]
    width: int | None


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Some rows of the file; `rows` are row numbers in the split, or else they count from first."""

    first: int
    rows: _Stored | None
    columns: dict[str, _Stored]


class Log:
    """Rows of many partitions, appended as they come and read back one partition at a time.

    A partition is a number from 0. All is in one temporary file without a name, so that any number
    of partitions costs one open file, and nothing is left behind however the process ends.
    """

    def __init__(self, scratch: str | None = None) -> None:
        try:
            self._file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115
        except OSError as error:
            raise StorageError(
                f"no temporary file can be made in {scratch or tempfile.gettempdir()!r}: "
                f"{error.strerror or error}; name another folder with scratch= or TMPDIR"
            ) from error
        self._where = scratch or tempfile.gettempdir()
        self._end = 0
        self._chunks: list[_Chunk] = []
        # One entry a piece: partition, chunk, first and last row of the chunk.
        self._pieces = [array("q") for _ in range(4)]
        self._order: NDArray[np.int64] | None = None

    def close(self) -> None:
        """Let go of the file; nothing can be read any more."""
        self._file.close()

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return self._end

    def run(self, partition: int, first: int, columns: Columns) -> None:
        """Append consecutive rows of one partition."""
        n = len(next(iter(columns.values())))
        self._chunks.append(_Chunk(first, None, {k: self._write(v) for k, v in columns.items()}))
        self._index(partition, 0, n)

    def scattered(
        self, partitions: NDArray[Any], rows: NDArray[np.int32], columns: Columns
    ) -> None:
        """Append rows in any order, of any partitions."""
        if not len(rows):
            return
        if np.any(partitions[1:] < partitions[:-1]):
            order = np.argsort(partitions, kind="stable")
            partitions, rows = partitions[order], rows[order]
            columns = {k: v[order] for k, v in columns.items()}
        stored = {k: self._write(v) for k, v in columns.items()}
        self._chunks.append(_Chunk(0, self._write(rows), stored))
        starts = np.flatnonzero(np.diff(partitions, prepend=partitions[0] - 1))
        stops = [*starts[1:].tolist(), len(partitions)]
        for partition, start, stop in zip(
            partitions[starts].tolist(), starts.tolist(), stops, strict=True
        ):
            self._index(partition, start, stop)

    def _index(self, *piece: int) -> None:
        partition, start, stop = piece
        for values, value in zip(
            self._pieces, (partition, len(self._chunks) - 1, start, stop), strict=True
        ):
            values.append(value)

    def _write(self, values: NDArray[Any]) -> _Stored:
        values = np.ascontiguousarray(values)
        at = self._end
        try:
            self._file.seek(at)
            self._file.write(values.reshape(-1).view(np.uint8).data)
        except OSError as error:
            raise StorageError(
                f"the temporary file in {self._where!r} cannot be written after {at} bytes: "
                f"{error.strerror or error}; name a folder with more room with scratch= or TMPDIR"
            ) from error
        self._end += values.nbytes
        return _Stored(at, values.dtype, values.shape[1] if values.ndim == 2 else None)

    def _read(self, stored: _Stored, start: int, out: NDArray[Any]) -> None:
        """Fill an array of the stored type from a row on."""
        self._file.seek(stored.offset + start * stored.dtype.itemsize * (stored.width or 1))
        view = out.reshape(-1).view(np.uint8).data
        while len(view):
            n = self._file.readinto(view)
            if not n:
                raise StorageError(f"the temporary file in {self._where!r} was cut short")
            view = view[n:]

    def _pieces_of(self, partition: int) -> Iterator[tuple[_Chunk, int, int]]:
        if self._order is None or len(self._order) != len(self._pieces[0]):
            by = np.asarray(self._pieces[0], dtype=np.int64)
            self._order = np.argsort(by, kind="stable")
            self._sorted = by[self._order]
        low, high = np.searchsorted(self._sorted, [partition, partition + 1])
        for at in self._order[low:high].tolist():
            yield self._chunks[self._pieces[1][at]], self._pieces[2][at], self._pieces[3][at]

    def _rows(self, chunk: _Chunk, start: int, stop: int) -> NDArray[Any] | slice:
        if chunk.rows is None:
            return slice(chunk.first + start, chunk.first + stop)
        rows = np.empty(stop - start, dtype=chunk.rows.dtype)
        self._read(chunk.rows, start, rows)
        return rows

    def seen(self, partition: int, n: int) -> tuple[int, NDArray[np.bool_] | None]:
        """How many rows there are, and which of a split of n; None where each is there once."""
        pieces = list(self._pieces_of(partition))
        total = sum(stop - start for _, start, stop in pieces)
        if all(chunk.rows is None for chunk, _, _ in pieces):
            runs = sorted((chunk.first + a, chunk.first + b) for chunk, a, b in pieces)
            ends = [0, *(b for _, b in runs)]
            if [a for a, _ in runs] == ends[:-1] and ends[-1] == n:
                return total, None
        found = np.zeros(n, dtype=np.bool_)
        for chunk, start, stop in pieces:
            found[self._rows(chunk, start, stop)] = True
        return total, None if total == n and bool(found.all()) else found

    def repeated(self, partition: int, n: int) -> NDArray[np.int64]:
        """Row numbers that are there more than once."""
        counts = np.zeros(n, dtype=np.int32)
        for chunk, start, stop in self._pieces_of(partition):
            rows = self._rows(chunk, start, stop)
            if isinstance(rows, slice):
                counts[rows] += 1
            else:
                counts += np.bincount(rows, minlength=n).astype(np.int32)
        return np.flatnonzero(counts > 1)

    def load(self, partition: int, n: int) -> dict[str, NDArray[Any]]:
        """The columns of a partition whose n rows are there once each, in the order of the split.

        Beside the result only one piece of a column is in memory.
        """
        out: dict[str, NDArray[Any]] = {}
        pieces = list(self._pieces_of(partition))
        for name, first in pieces[0][0].columns.items() if pieces else ():
            dtype = np.result_type(*{chunk.columns[name].dtype for chunk, _, _ in pieces})
            out[name] = np.empty(n if first.width is None else (n, first.width), dtype=dtype)
        for chunk, start, stop in pieces:
            rows = self._rows(chunk, start, stop)
            for name, stored in chunk.columns.items():
                if isinstance(rows, slice) and stored.dtype == out[name].dtype:
                    self._read(stored, start, out[name][rows])
                    continue
                shape = stop - start if stored.width is None else (stop - start, stored.width)
                values = np.empty(shape, dtype=stored.dtype)
                self._read(stored, start, values)
                out[name][rows] = values
        return out
