"""A built benchmark directory as far as a source reads it: its manifest, its files, their rows."""

from __future__ import annotations

import hashlib
import posixpath
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import fsspec
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shiftbench.errors import ContentError, SourceError
from shiftbench.schema import FORMAT, Feature, Image, ListOf, Value, declared_features, feature_of
from shiftbench.sources._files import OPEN_ERRORS, is_url, open_error, outside
from shiftbench.sources._json import DECODE_ERRORS

__all__ = ["CellsReader", "Parent", "content_features", "located", "open_part", "read_parent"]

MANIFEST = "shift.json"

_HELD_BYTES = 2**26
_OPEN_FILES = 32


class _Split(msgspec.Struct):
    rows: int
    files: list[str]
    digest: str = ""


class _Config(msgspec.Struct):
    kind: str
    splits: dict[str, _Split]
    digest: str = ""


class _File(msgspec.Struct):
    rows: int


class Parent(msgspec.Struct):
    """What of a manifest a source needs; the names are those of shift.json."""

    builder: str
    license: str
    redistributable: bool
    identity: str
    content: list[str]
    configs: dict[str, _Config]
    files: dict[str, _File]
    digest: str
    sources: list[dict[str, Any]] = []
    columns: list[str] = []
    sha256: str = ""


def located(where: str) -> str:
    """The folder or URL of a benchmark that is named by a path, a URL or ``user/name``."""
    if is_url(where):
        return where
    folder = Path(where).expanduser()
    on_hub = where.count("/") == 1 and not where.startswith((".", "/", "~"))
    if on_hub and not folder.exists():
        return f"hf://datasets/{where}"
    return str(folder)


def read_parent(folder: str) -> Parent:
    """The manifest of a benchmark directory.

    Raises
    ------
    SourceError
        There is none, it is of another format, it was changed after it was written, or a file's
        name leads out of the folder.
    """
    where = posixpath.join(folder, MANIFEST)
    try:
        with fsspec.open(where, "rb") as file:
            data: bytes = file.read()
    except FileNotFoundError:
        raise SourceError(
            f"{folder}: no built benchmark: it holds no {MANIFEST}; name a folder that "
            "`shiftbench build` made, a URL of one, or user/name on the Hub"
        ) from None
    except OPEN_ERRORS as e:
        raise open_error(where, "file", e) from e
    try:
        found = msgspec.json.decode(data, type=dict[str, Any])
        version = found.get("format")
        if version != FORMAT:
            raise SourceError(
                f"{where} has the format {version!r}; this version of shiftbench reads {FORMAT!r}"
            )
        parent = msgspec.convert(found, Parent)
    except DECODE_ERRORS as e:
        raise SourceError(f"{where} cannot be read: {e}") from None
    own = parent.sha256.encode()
    if not own or hashlib.sha256(data.replace(own, b"")).hexdigest().encode() != own:
        raise SourceError(f"{where} was changed after it was written: its own hash is not right")
    for config in parent.configs.values():
        for split in config.splits.values():
            for name in split.files:
                if outside(name):
                    raise SourceError(f"{where} names the file {name!r} outside its folder")
    return parent


def open_part(folder: str, name: str, rows: int | None = None) -> pq.ParquetFile:
    """A file of a benchmark.

    Raises
    ------
    SourceError
        It is missing, no Parquet file, or has not the rows that the manifest tells.
    """
    path = posixpath.join(folder, name)
    try:
        file = pq.ParquetFile(fsspec.open(path, "rb").open() if is_url(path) else path)
    except pa.ArrowException as e:
        raise SourceError(f"{path}: not a Parquet file that can be read: {e}") from e
    except OPEN_ERRORS as e:
        raise open_error(path, "file", e) from e
    if rows is not None and file.metadata.num_rows != rows:
        raise SourceError(
            f"{path} has {file.metadata.num_rows} rows, and the manifest tells {rows}; the "
            "benchmark is damaged: `shiftbench verify` says where"
        )
    return file


def content_features(schema: pa.Schema, names: Sequence[str], path: str) -> dict[str, Feature]:
    """What kind of content some columns hold.

    Raises
    ------
    SourceError
        A column is not there.
    """
    declared = declared_features(schema)
    found = {}
    for name in names:
        if name not in schema.names:
            raise SourceError(f"{path}: there is no column {name!r}, which the manifest tells of")
        found[name] = _feature(declared.get(name, {}), schema.field(name).type)
    return found


def _feature(said: Mapping[str, Any], kind: pa.DataType) -> Feature:
    if said.get("_type") == "Image":
        return Image()
    if said.get("_type") == "List":
        return ListOf(_feature(said.get("feature", {}), kind.value_type))
    if "dtype" in said:
        return Value(str(said["dtype"]))
    return feature_of(kind)


def mean_bytes(file: pq.ParquetFile, names: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """About how large the content of each row is: the mean of its row group."""
    sizes = []
    for g in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(g)
        columns = (group.column(i) for i in range(group.num_columns))
        total = sum(
            c.total_uncompressed_size for c in columns if c.path_in_schema.split(".")[0] in names
        )
        sizes.append(np.full(group.num_rows, total // max(group.num_rows, 1), np.int64))
    return np.concatenate(sizes) if sizes else np.empty(0, np.int64)


class _Opened:
    """A file and where its row groups begin."""

    def __init__(self, file: pq.ParquetFile) -> None:
        self.file = file
        counts = [file.metadata.row_group(g).num_rows for g in range(file.metadata.num_row_groups)]
        self.starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


class CellsReader:
    """Reads the content of the row that a locator names: a file of the benchmark, ``#``, its row.

    Rows in order cost one read a row group; the groups read last are kept.

    Parameters
    ----------
    folder : str
    content : mapping
        Features by column.
    """

    def __init__(self, folder: str, content: Mapping[str, Feature]) -> None:
        self.folder = folder
        self.content = dict(content)
        self._files: OrderedDict[str, _Opened] = OrderedDict()
        self._groups: OrderedDict[tuple[str, int], pa.Table] = OrderedDict()
        self._held = 0

    def __call__(self, locator: str) -> Mapping[str, Any]:
        """The content columns of one example.

        Raises
        ------
        ContentError
            The file or the row is missing or damaged.
        """
        name, _, number = locator.rpartition("#")
        try:
            table, row = self._row(name, int(number))
        except (SourceError, OSError, IndexError, ValueError, pa.ArrowException) as e:
            raise ContentError(f"row {number}: cannot be read ({type(e).__name__})") from e
        made = {}
        for column, feature in self.content.items():
            value = table[column][row].as_py()
            value = value.get("bytes") if isinstance(feature, Image) and value else value
            if value is None:
                raise ContentError(f"row {number}: there is no {column}")
            made[column] = value
        return made

    def _row(self, name: str, row: int) -> tuple[pa.Table, int]:
        opened = self._file(name)
        group = int(np.searchsorted(opened.starts, row, side="right")) - 1
        key = (name, group)
        if key not in self._groups:
            if not 0 <= row < opened.starts[-1]:
                raise IndexError(row)
            table = opened.file.read_row_group(group, [*self.content]).combine_chunks()
            self._groups[key] = table
            self._held += table.nbytes
            while len(self._groups) > 1 and self._held > _HELD_BYTES:
                self._held -= self._groups.popitem(last=False)[1].nbytes
        self._groups.move_to_end(key)
        return self._groups[key], row - int(opened.starts[group])

    def _file(self, name: str) -> _Opened:
        if name not in self._files:
            self._files[name] = _Opened(open_part(self.folder, name))
            if len(self._files) > _OPEN_FILES:
                self._files.popitem(last=False)[1].file.close()
        self._files.move_to_end(name)
        return self._files[name]
