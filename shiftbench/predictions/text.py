"""Prediction files of text: CSV as pandas and R write it, and JSON lines."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from shiftbench.errors import SourceError
from shiftbench.predictions.cells import (
    EXACT,
    KEYS,
    MISSING,
    NUMBERS,
    VALUES,
    WHOLE_KEYS,
    floats,
    refuse_lost,
)

__all__ = ["CsvTable", "JsonLines"]

HEAD = 2**18
BLOCK = 4 * 2**20
LONGEST = 64 * 2**20
DELIMITERS = (",", ";", "\t")
TEXT = pa.dictionary(pa.int32(), pa.string())
CSV_TYPES = {
    "example_id": pa.large_string(),
    "prediction": TEXT,
    "probabilities": pa.string(),
    **dict.fromkeys(("config", "split", "model", "digest"), TEXT),
    **dict.fromkeys(NUMBERS, pa.float64()),
    **dict.fromkeys(WHOLE_KEYS, pa.string()),
}


NO_NUMBER = sorted(MISSING | set(pa.csv.ConvertOptions().null_values))
LONG_WHOLE = r"^\s*[+-]?\d{16,}([.,]0*)?\s*$"


class CsvTable:
    """A CSV file: the delimiter, the decimal mark and the header are found in its beginning."""

    def __init__(self, stream: pa.NativeFile, raw: pa.NativeFile, shown: str) -> None:
        self.shown, self.raw = shown, raw
        self.gzipped = stream is not raw
        self.digest: str | None = None
        head = stream.read(HEAD)
        self.stream = _Rewound(head, stream)
        text = head.decode("utf-8-sig", "ignore" if len(head) == HEAD else "strict")
        lines = io.StringIO(text, newline=None).readlines()
        blank = next(i for i, line in enumerate([*lines, "x"]) if line != "\n")
        del lines[:blank]
        if len(lines) <= 1 and len(head) == HEAD:
            raise SourceError(f"{shown}: its first line is longer than {HEAD} bytes; no CSV header")
        self.skipped = 1 + blank
        self.delimiter = max(DELIMITERS, key=lambda d: _outside_quotes(lines[0], d))
        rows = self._rows(lines[:1000])
        self.names = [name.strip() for name in rows[0]]
        # R's write.table gives no name to the column of row names.
        if len(rows) > 1 and len(rows[1]) == len(self.names) + 1:
            self.names.insert(0, "")
        self.decimal = self._decimal(rows[1:])

    def _rows(self, lines: Sequence[str]) -> list[list[str]]:
        try:
            found = list(csv.reader(lines, delimiter=self.delimiter))
        except csv.Error as error:
            raise SourceError(f"{self.shown}: not a CSV file that can be read: {error}") from None
        return [row for row in found if row]

    def _decimal(self, rows: Sequence[Sequence[str]]) -> str:
        """R's write.csv2 writes 0,5 between semicolons; others write 0.5 there."""
        if self.delimiter == ",":
            return "."
        at = [i for i, name in enumerate(self.names) if name in NUMBERS]
        cells = [row[i] for row in rows for i in at if i < len(row)]
        if any("," in cell for cell in cells):
            return ","
        return "." if any("." in cell for cell in cells) or self.delimiter == "\t" else ","

    def batches(self, wanted: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The rows, some columns of them, a part at a time."""
        # Columns that are not read may have the same name twice.
        names = [n if n in wanted else f"column {i}" for i, n in enumerate(self.names)]
        large = False
        try:
            for batch in self._reader(self.stream, names, wanted, CSV_TYPES):
                if "score" in wanted and not large:
                    sizes = pc.abs(batch.column("score"))
                    inside = pc.and_(pc.greater_equal(sizes, EXACT), pc.is_finite(sizes))
                    large = bool(pc.any(inside).as_py())
                yield {name: batch.column(name) for name in wanted}
        except pa.ArrowInvalid as error:
            raise pa.ArrowInvalid(self._named(str(error), names)) from error
        if large:
            self._check_large(names)

    def _check_large(self, names: Sequence[str]) -> None:
        """Read the scores once more, as they are written: whole numbers may have been rounded."""
        self.raw.seek(0)
        again = pa.CompressedInputStream(self.raw, "gzip") if self.gzipped else self.raw
        stream = _Rewound(b"", again)
        for batch in self._reader(stream, names, ["score"], {"score": pa.string()}):
            cells = batch.column("score")
            long = cells.filter(pc.match_substring_regex(cells, LONG_WHOLE))
            refuse_lost([c.replace(",", ".") for c in long.to_pylist()], self.shown)

    def _reader(
        self, stream: _Rewound, names: Sequence[str], wanted: Sequence[str], types: dict[str, Any]
    ) -> Any:
        return pa.csv.open_csv(
            pa.PythonFile(stream, mode="r"),
            pa.csv.ReadOptions(
                column_names=list(names),
                skip_rows=self.skipped,
                block_size=BLOCK,
                use_threads=False,
            ),
            pa.csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
            pa.csv.ConvertOptions(
                column_types={n: types[n] for n in wanted},
                include_columns=list(wanted),
                null_values=NO_NUMBER,
                strings_can_be_null=False,
                decimal_point=self.decimal,
            ),
        )

    def _named(self, said: str, names: Sequence[str]) -> str:
        """Arrow tells the number of a column among all; say its name."""
        found = re.match(r"In CSV column #(\d+): (.*)", said, re.DOTALL)
        if not found or int(found[1]) >= len(names):
            return said
        return f"the column {names[int(found[1])]!r}: {found[2]}"

    def position(self) -> int:
        """Bytes read of the file as stored."""
        return int(self.raw.tell())


def _outside_quotes(line: str, mark: str) -> int:
    return re.sub(r'"[^"]*"', "", line).count(mark)


class _Rewound(io.RawIOBase):
    """A stream that cannot seek, with what was read of it put back."""

    def __init__(self, head: bytes, rest: pa.NativeFile) -> None:
        self.head, self.rest = head, rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self.head:
            return bytes(self.rest.read(size if size >= 0 else None))
        taken = self.head if size < 0 else self.head[:size]
        self.head = self.head[len(taken) :]
        return taken


_FIELDS = (*KEYS, *VALUES, "shiftbench_digest")
_Row = msgspec.defstruct("_Row", [(name, Any, msgspec.UNSET) for name in _FIELDS], gc=False)
_decode_lines = msgspec.json.Decoder(list[_Row]).decode_lines  # type: ignore[valid-type]


class JsonLines:
    """JSON lines: one object a line."""

    def __init__(self, stream: pa.NativeFile, raw: pa.NativeFile, shown: str) -> None:
        self.shown, self.raw = shown, raw
        self.digest: str | None = None
        self.blocks = self._blocks(stream)
        self.first = next(self.blocks, b"")
        self.line = 0
        names: dict[str, None] = {}
        for row in self._objects(self.first, most=1000):
            names.update(dict.fromkeys(row))
        self.names = ["digest" if n == "shiftbench_digest" else n for n in names]

    def _blocks(self, stream: pa.NativeFile) -> Iterator[bytes]:
        """Whole lines, some megabytes of them at a time."""
        parts: list[bytes] = []
        held = 0
        fresh = True
        while block := stream.read(BLOCK):
            if fresh:
                block, fresh = block.removeprefix(b"\xef\xbb\xbf"), False
            cut = block.rfind(b"\n") + 1
            if cut:
                yield b"".join([*parts, block[:cut]])
                parts, held = [], 0
            parts.append(block[cut:])
            held += len(block) - cut
            if held > LONGEST:
                raise SourceError(
                    f"{self.shown}: a line is longer than {LONGEST >> 20} MB; JSON lines have one "
                    "object a line"
                )
        rest = b"".join(parts)
        if rest.strip():
            yield rest

    def _objects(self, block: bytes, most: int | None = None) -> list[dict[str, Any]]:
        """Line by line: what names the line that is wrong, and reads NaN and Infinity."""
        found = []
        lines = block.splitlines()
        for i, line in enumerate(lines[:most]):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise SourceError(
                    f"{self.shown}: line {self.line + i + 1} is no JSON object: {error}"
                ) from None
            if not isinstance(row, dict):
                raise SourceError(
                    f"{self.shown}: line {self.line + i + 1} is a {type(row).__name__}; JSON lines "
                    "have one object a line"
                )
            found.append(row)
        return found

    def batches(self, wanted: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The rows, some columns of them, a part at a time."""
        block: bytes | None = self.first
        while block:
            try:
                rows: list[Any] = _decode_lines(block)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                rows = [
                    _Row(**{k: v for k, v in row.items() if k in _FIELDS})
                    for row in self._objects(block)
                ]
            if rows:
                yield self._columns(rows, wanted)
            self.line += block.count(b"\n")
            block = next(self.blocks, None)

    def position(self) -> int:
        """Bytes read of the file as stored."""
        return int(self.raw.tell())

    def _columns(self, rows: list[Any], wanted: Sequence[str]) -> dict[str, pa.Array]:
        made = {}
        for name in _FIELDS:
            cells = [getattr(row, name) for row in rows]
            absent = sum(c is msgspec.UNSET for c in cells)
            name = "digest" if name == "shiftbench_digest" else name
            if name not in wanted:
                if absent < len(rows) and name not in self.names:
                    raise SourceError(
                        f"{self.shown}: the first lines have no {name!r} and later ones do (from "
                        f"line {self.line + 1} on); give it in every line, or in another file"
                    )
                continue
            if absent == len(rows) and name in made:
                continue
            made[name] = self._column(name, [None if c is msgspec.UNSET else c for c in cells])
        return made

    def _column(self, name: str, cells: list[Any]) -> pa.Array:
        if name in NUMBERS:
            return floats(cells, name, self.shown)
        try:
            if name in ("prediction", "probabilities"):
                return self._lists(name, cells)
            if any(isinstance(c, list | dict | bool) for c in cells) or (
                name == "example_id" and any(isinstance(c, float) for c in cells)
            ):
                raise TypeError(f"{name} has to be text")
            return pa.array([c if c is None else str(c) for c in cells], pa.string())
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise SourceError(
                f"{self.shown}: the column {name!r} cannot be read near line {self.line + 1}: "
                f"{' '.join(str(error).split())[:200]}"
            ) from None

    def _lists(self, name: str, cells: list[Any]) -> pa.Array:
        if any(isinstance(c, dict) for c in cells):
            raise TypeError("an object was found; a list or a class was expected")
        if name == "probabilities":
            if any(isinstance(c, str) for c in cells):
                return pa.array(cells, pa.string())
            return pa.array(cells, pa.large_list(pa.float64()))
        if any(isinstance(c, list) for c in cells):
            texts = [
                c if c is None else [str(v) for v in (c if isinstance(c, list) else [c])]
                for c in cells
            ]
            return pa.array(texts, pa.large_list(pa.string()))
        return pa.array([c if c is None else str(c) for c in cells], pa.string())
