"""Prediction files: which there are, what columns they have, and their rows in batches."""

from __future__ import annotations

import difflib
import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from shiftbench.errors import ConfigurationError, SourceError, near_names
from shiftbench.predictions.cells import KEYS, TEXT_KEYS, VALUES, canonical, is_text
from shiftbench.predictions.text import CsvTable, JsonLines

__all__ = ["PredictionFile", "find_files", "open_file"]

SUFFIXES = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
CARRIED = ("mask", "parent_id", "perturbation")
"""Columns of the format that are read by no metric yet."""

ROW_NAMES = ("", "Unnamed: 0", "X", "...1", "rownames", "row.names", "row_names", "index",
             "__index_level_0__")  # fmt: skip
OTHER_WORDS = {
    "id": "example_id",
    "example": "example_id",
    "image_id": "example_id",
    "pred": "prediction",
    "y_pred": "prediction",
    "prob": "probabilities",
    "probs": "probabilities",
    "proba": "probabilities",
    "confidence": "score",
    "ood_score": "score",
    "dataset": "config",
}
BATCH_BYTES = 16 * 2**20
MOST_ROWS = 131_072
HEAD = 65_536
FORMATS = "Parquet, CSV or JSON lines, or a folder of such files"


@dataclass(frozen=True)
class PredictionFile:
    """One file of predictions.

    Attributes
    ----------
    path : str
        A local path, or a URL.
    kind : str
        parquet, csv or jsonl.
    gzipped : bool
    size : int
        In bytes, as stored.
    fixed : mapping
        Columns that its folders state: ``model=resnet/part-0.parquet``.
    """

    path: str
    kind: str
    gzipped: bool
    size: int
    fixed: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.path.partition("?")[0]


class Table(Protocol):
    """An open file of some format."""

    names: list[str]
    digest: str | None

    def batches(self, wanted: Sequence[str]) -> Iterator[dict[str, Any]]:
        """The rows, some columns of them, a part at a time."""
        ...

    def position(self) -> int:
        """About how many bytes of the file have been read."""
        ...


@dataclass
class OpenFile:
    """An open file whose columns are known to suffice.

    Attributes
    ----------
    columns : tuple of str
        Columns of the format that it has, those that its folders state included.
    notes : list of str
        What was not read.
    digest : str or None
        Of the benchmark that it states for all rows.
    """

    file: PredictionFile
    table: Table
    columns: tuple[str, ...]
    notes: list[str]
    digest: str | None

    def batches(self, only: Sequence[str] = ()) -> Iterator[dict[str, pa.Array]]:
        """Rows as Arrow arrays of the format's types; `only` some columns."""
        stored = [c for c in self.columns if c not in self.file.fixed and (not only or c in only)]
        with _said(self.file):
            for batch in self.table.batches(stored):
                made = {name: canonical(name, batch[name], str(self.file)) for name in stored}
                n = len(made["example_id"])
                for name, value in self.file.fixed.items():
                    if not only or name in only:
                        made[name] = canonical(name, pa.repeat(value, n), str(self.file))
                yield made


@contextmanager
def _said(file: PredictionFile) -> Iterator[None]:
    """Errors of a library as errors of the file."""
    try:
        yield
    except FileNotFoundError:
        raise SourceError(f"{file}: there is no such file") from None
    except (pa.ArrowException, OSError, EOFError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or " ".join(str(error).split())[:300]
        name = {"parquet": "Parquet", "csv": "CSV", "jsonl": "JSON lines"}[file.kind]
        hint = ""
        if isinstance(error, UnicodeError) or "UTF8" in said:
            hint = '; write it as UTF-8 (in R: fileEncoding = "UTF-8")'
        elif "straddl" in said:
            hint = "; a line is too long to be one prediction"
        raise SourceError(f"{file}: not a {name} file that can be read: {said}{hint}") from error


@contextmanager
def open_file(file: PredictionFile) -> Iterator[OpenFile]:
    """Open a file and look at its columns.

    Raises
    ------
    SourceError
        It cannot be read, or columns are missing or there twice.
    """
    with _said(file):
        raw = _open(file.path)
    try:
        with _said(file):
            table = _table(file, raw)
        known = (*KEYS, *VALUES)
        twice = sorted({n for n in table.names if n in known and table.names.count(n) > 1})
        if twice:
            raise SourceError(f"{file}: the column {twice[0]!r} is there twice; keep one of them")
        both = sorted(set(table.names) & set(file.fixed))
        fixed = {k: v for k, v in file.fixed.items() if k not in both}
        columns = tuple(c for c in known if c in table.names or c in fixed)
        notes = _look(file, table.names, columns)
        if file.fixed != fixed:
            file = PredictionFile(file.path, file.kind, file.gzipped, file.size, fixed)
        yield OpenFile(file, table, columns, notes, table.digest)
    finally:
        raw.close()


def _table(file: PredictionFile, raw: pa.NativeFile) -> Table:
    if file.kind == "parquet":
        return _Parquet(raw, file.size)
    stream = pa.CompressedInputStream(raw, "gzip") if file.gzipped else raw
    if file.kind == "jsonl":
        return JsonLines(stream, raw, str(file))
    return CsvTable(stream, raw, str(file))


def _look(file: PredictionFile, names: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Refuse a file that lacks a column it must have; notes on those that are not read."""
    others = [n for n in names if n not in columns and n not in ROW_NAMES]
    there = ", ".join(map(repr, names[:20])) or "none"
    if "example_id" not in columns:
        near = [n for n in others if _meant(n) == "example_id"]
        hint = f"rename {near[0]!r}" if near else f"its columns are: {there}"
        raise SourceError(f"{file}: the column 'example_id' is missing; {hint}")
    if not any(v in columns for v in VALUES):
        near = [n for n in others if _meant(n) in VALUES]
        hint = f"; {near[0]!r}: did you mean {_meant(near[0])!r}?" if near else ""
        if "mask" in names:
            hint = "; masks are not graded yet"
        raise SourceError(
            f"{file}: no column of predictions; there has to be one of {', '.join(VALUES)}; its "
            f"columns are: {there}{hint}"
        )
    notes = []
    for name in others:
        if name in CARRIED:
            notes.append(f"the column {name!r} was left aside: it is not graded yet")
            continue
        meant = _meant(name)
        end = f"; did you mean {meant!r}?" if meant and meant not in columns else ""
        notes.append(f"the column {name!r} was not read{end}")
    return notes


def _meant(name: str) -> str | None:
    """The column of the format that a name looks like."""
    plain = name.strip().casefold().replace(" ", "_").replace("-", "_").replace(".", "_")
    if plain in OTHER_WORDS:
        return OTHER_WORDS[plain]
    near = difflib.get_close_matches(plain, (*KEYS, *VALUES), n=1, cutoff=0.75)
    return near[0] if near else None


class _Parquet:
    def __init__(self, raw: pa.NativeFile, size: int) -> None:
        schema = pq.read_schema(raw)
        words = [n for n in (*TEXT_KEYS, "prediction") if _words(schema, n)]
        # Pages are read as they are needed, not whole columns, and nothing ahead.
        self.file = pq.ParquetFile(raw, read_dictionary=words, buffer_size=2**20, pre_buffer=False)
        self.names = list(schema.names)
        noted = (schema.metadata or {}).get(b"shiftbench_digest")
        self.digest = noted.decode("utf-8", "replace") if noted else None
        self.size = size
        self.rows = 0

    def batches(self, wanted: Sequence[str]) -> Iterator[dict[str, Any]]:
        rows = min(MOST_ROWS, max(256, BATCH_BYTES // self._row_bytes(wanted)))
        for group in range(self.file.num_row_groups):
            for batch in self.file.iter_batches(rows, [group], columns=list(wanted)):
                self.rows += len(batch)
                yield {name: batch.column(name) for name in wanted}

    def position(self) -> int:
        return self.size * self.rows // max(1, int(self.file.metadata.num_rows))

    def _row_bytes(self, wanted: Sequence[str]) -> int:
        total = rows = 0
        found = self.file.metadata
        for g in range(min(found.num_row_groups, 3)):
            group = found.row_group(g)
            rows += group.num_rows
            for c in range(group.num_columns):
                column = group.column(c)
                if column.path_in_schema.partition(".")[0] in wanted:
                    total += column.total_uncompressed_size
        return max(1, total // max(1, rows))


def _words(schema: pa.Schema, name: str) -> bool:
    """Whether there is such a column, once, and it is text."""
    return schema.names.count(name) == 1 and is_text(schema.field(name).type)


def find_files(
    files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> list[PredictionFile]:
    """Every prediction file that some paths, folders or URLs name.

    Raises
    ------
    SourceError
        A path is not there, or of no known format, or a folder holds no such file.
    ConfigurationError
        None is named, one is named twice, or a protocol is unknown.
    """
    named = [files] if isinstance(files, str | os.PathLike) else list(files)
    if not named:
        raise ConfigurationError(f"no prediction file is named; name one or more: {FORMATS}")
    found: list[PredictionFile] = []
    for name in named:
        found += _named(os.fspath(name))
    seen: set[str] = set()
    for file in found:
        if file.path in seen:
            raise ConfigurationError(f"{file}: the file is named twice; name it once")
        seen.add(file.path)
    return found


def _named(name: str) -> list[PredictionFile]:
    url = "://" in name or "::" in name
    path = name if url else str(Path(name).expanduser().resolve())
    try:
        fs, root = fsspec.core.url_to_fs(path)
    except (ValueError, ImportError) as error:
        raise ConfigurationError(f"{name!r} cannot be reached: {error}") from error
    try:
        folder = fs.isdir(root)
        if not folder and not fs.exists(root):
            raise SourceError(f"{name}: there is no such file or folder{_near(path, url)}")
        listed = sorted(fs.find(root)) if folder else [root]
    except OSError as error:
        raise SourceError(f"{name}: cannot be read: {error.strerror or error}") from error
    if not folder:
        return [_file(fs, root, path if url else root, _fixed(root))]
    made = []
    for one in listed:
        inside = posixpath.relpath(one, root).split("/")
        if any(part.startswith((".", "_")) for part in inside) or not _suffix(one)[0]:
            continue
        made.append(_file(fs, one, fs.unstrip_protocol(one) if url else one, _fixed(one)))
    if not made:
        raise SourceError(
            f"{name}: the folder holds no prediction file; looked for files that end in "
            f"{', '.join(SUFFIXES)}, or in .csv.gz or .jsonl.gz"
        )
    return made


def _near(path: str, url: bool) -> str:
    parent = Path(path).parent
    if url or not parent.is_dir():
        return ""
    return f"; in {parent}: {near_names(Path(path).name, (f.name for f in parent.iterdir()))}"


def _fixed(path: str) -> dict[str, str]:
    """Columns stated by folders on the way to a file, such as ``model=resnet``."""
    pairs = (f.partition("=") for f in posixpath.dirname(path).split("/") if "=" in f)
    return {k: unquote(v) for k, _, v in pairs if k in KEYS and k != "example_id"}


def _suffix(path: str) -> tuple[str | None, bool]:
    name = posixpath.basename(path.partition("?")[0]).lower()
    gzipped = name.endswith(".gz")
    kind = SUFFIXES.get(posixpath.splitext(name.removesuffix(".gz"))[1])
    return kind, gzipped


def _file(fs: Any, root: str, path: str, fixed: dict[str, str]) -> PredictionFile:
    kind, _ = _suffix(path)
    shown = path.partition("?")[0]
    try:
        size = int(fs.size(root) or 0)
        with _open(path) as raw:
            head = raw.read(HEAD)
            gzipped = head[:2] == b"\x1f\x8b"
            if gzipped:
                raw.seek(0)
                head = pa.CompressedInputStream(raw, "gzip").read(HEAD)
    except OSError as error:
        said = error.strerror or " ".join(str(error).split())
        raise SourceError(f"{shown}: the file cannot be read: {said}") from error
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise SourceError(f"{shown}: the file is empty; predictions were expected")
    return PredictionFile(path, _kind(kind, head, shown), gzipped, size, fixed)


def _kind(stated: str | None, head: bytes, shown: str) -> str:
    """The format, by the file's name or else by how it begins."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SourceError(f"{shown}: the file is written in UTF-16; write it as UTF-8")
    if head.startswith(b"PAR1"):
        return "parquet"
    if stated == "parquet":
        raise SourceError(f"{shown}: not a Parquet file: it does not begin as one")
    if b"\0" in head:
        raise SourceError(f"{shown}: neither Parquet nor text; expected is {FORMATS}")
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if first == b"[":
        raise SourceError(
            f"{shown}: a JSON array; write JSON lines, one object a line "
            '(pandas: to_json(orient="records", lines=True); R: jsonlite::stream_out)'
        )
    if stated:
        return stated
    return "jsonl" if first == b"{" else "csv"


def _open(path: str) -> pa.NativeFile:
    if "://" in path or "::" in path:
        return pa.PythonFile(fsspec.open(path, "rb").open(), mode="r")
    return pa.OSFile(path)
