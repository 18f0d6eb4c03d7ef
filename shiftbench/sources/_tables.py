"""One way to read a table, whether a data set, a Parquet or Arrow file, or one of text."""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import fsspec
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet as pq

from shiftbench.errors import ConfigurationError, SourceError
from shiftbench.sources._files import OPEN_ERRORS, is_url, open_error
from shiftbench.sources._json import DECODE_ERRORS

__all__ = [
    "Table",
    "class_names",
    "image_bytes",
    "is_image",
    "is_text",
    "open_table",
    "plain_strings",
]

ROWS_AT_ONCE = 256


class Table(Protocol):
    """Rows with named columns, of which single ones can be read."""

    @property
    def schema(self) -> pa.Schema:
        """The columns as they are stored."""
        ...

    @property
    def features(self) -> Mapping[str, Any]:
        """What `datasets` notes of the columns, as JSON; empty where nothing is noted."""
        ...

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Some columns, whole."""
        ...

    def batches(self, name: str) -> Iterator[pa.Array]:
        """One column, a part at a time."""
        ...

    def cell(self, name: str, row: int) -> Any:
        """One value."""
        ...


def class_names(feature: Any) -> list[str] | None:
    """The names of a ClassLabel, or of a list of them, from its JSON form; else None."""
    if isinstance(feature, list) and feature:
        return class_names(feature[0])
    if not isinstance(feature, Mapping):
        return None
    names = feature.get("names")
    if feature.get("_type") == "ClassLabel" and names and isinstance(names, list):
        return [str(n) for n in names]
    return class_names(feature.get("feature"))


@dataclass
class _Dataset:
    data: Any
    views: dict[tuple[str, ...], Any] = field(default_factory=dict)

    @property
    def schema(self) -> pa.Schema:
        return self.data.features.arrow_schema

    @property
    def features(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.data.features.to_dict()
        return found

    def _arrow(self, names: Sequence[str]) -> Any:
        key = tuple(names)
        if key not in self.views:
            self.views[key] = self.data.select_columns(list(names)).with_format("arrow")
        return self.views[key]

    def columns(self, names: Sequence[str]) -> pa.Table:
        return self._arrow(names)[:]

    def batches(self, name: str) -> Iterator[pa.Array]:
        for part in self._arrow([name]).iter(ROWS_AT_ONCE):
            yield part[name].combine_chunks()

    def cell(self, name: str, row: int) -> Any:
        return self._arrow([name])[row][name][0].as_py()


@dataclass
class _Memory:
    data: pa.Table

    @property
    def schema(self) -> pa.Schema:
        return self.data.schema

    @property
    def features(self) -> Mapping[str, Any]:
        return {}

    def columns(self, names: Sequence[str]) -> pa.Table:
        return self.data.select(names)

    def batches(self, name: str) -> Iterator[pa.Array]:
        yield from self.data[name].chunks

    def cell(self, name: str, row: int) -> Any:
        return self.data[name][row].as_py()


class _Info(msgspec.Struct):
    features: dict[str, Any] = {}


class _Noted(msgspec.Struct):
    info: _Info = msgspec.field(default_factory=_Info)


class _Parquet:
    """A Parquet file; the row group read last is kept, so that rows in order cost one read each."""

    def __init__(self, path: str) -> None:
        try:
            source = fsspec.open(path, "rb").open() if is_url(path) else path
            self.file = pq.ParquetFile(source)
        except pa.ArrowException as e:
            raise SourceError(f"{path}: not a Parquet file that can be read: {e}") from e
        except OPEN_ERRORS as e:
            raise open_error(path, "file", e) from e
        groups = self.file.metadata
        self.starts = [0]
        for i in range(groups.num_row_groups):
            self.starts.append(self.starts[-1] + groups.row_group(i).num_rows)
        self.kept: tuple[str, int, pa.ChunkedArray] | None = None

    @property
    def schema(self) -> pa.Schema:
        return self.file.schema_arrow

    @property
    def features(self) -> Mapping[str, Any]:
        noted = (self.schema.metadata or {}).get(b"huggingface", b"{}")
        try:
            return msgspec.json.decode(noted, type=_Noted).info.features
        except DECODE_ERRORS:  # what others have noted there is none of our business
            return {}

    def columns(self, names: Sequence[str]) -> pa.Table:
        return self.file.read(list(names))

    def batches(self, name: str) -> Iterator[pa.Array]:
        for batch in self.file.iter_batches(ROWS_AT_ONCE, columns=[name]):
            yield batch.column(0)

    def cell(self, name: str, row: int) -> Any:
        group = bisect_right(self.starts, row) - 1
        if self.kept is None or self.kept[:2] != (name, group):
            self.kept = (name, group, self.file.read_row_group(group, [name])[name])
        return self.kept[2][row - self.starts[group]].as_py()


_TEXT_FILES = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
_ARROW_FILES = (".arrow", ".feather")


def open_table(
    table: Any,
    text_columns: Sequence[str] = (),
    never_null: Sequence[str] = (),
    missing: Sequence[str] = (),
) -> Table:
    """Open what a user named as a table.

    Parameters
    ----------
    table : datasets.Dataset or str
        A data set, the folder of one made by `save_to_disk`, or a file: Parquet, Arrow, CSV (.csv)
        or with tabs between its columns (.tsv, .txt), these also with .gz at the end. Quotes are
        quotes in CSV files only.
    text_columns : sequence of str
        Columns that a reader of text files must take as text, so that an id 007 stays one.
    never_null : sequence of str
        Those of them where "NA", "null" and the like are names.
    missing : sequence of str
        Further texts that stand for nulls in text files, such as "?".

    Raises
    ------
    SourceError
        The file is missing or cannot be read.
    ConfigurationError
        It is of another kind.
    """
    if isinstance(table, os.PathLike):
        table = os.fspath(table)
    if not isinstance(table, str):
        return _from_dataset(table)
    if not is_url(table) and Path(table).is_dir():
        return _from_disk(table)
    kind = Path(table.partition("?")[0]).name.lower()
    if kind.endswith((".parquet", ".pq")):
        return _Parquet(table)
    if kind.endswith(_ARROW_FILES):
        return _from_arrow(table)
    ending = Path(kind.removesuffix(".gz")).suffix
    if ending in _TEXT_FILES:
        return _from_text(table, _TEXT_FILES[ending], text_columns, never_null, missing)
    if not is_url(table) and not Path(table).exists():
        raise open_error(table, "file", FileNotFoundError())
    raise ConfigurationError(
        f"table={table!r}: expected is a datasets.Dataset, a folder made by its save_to_disk, or a "
        "file that ends in .parquet, .arrow, .csv, .tsv or .txt"
    )


def _from_dataset(table: Any) -> Table:
    import datasets

    if isinstance(table, datasets.Dataset):
        return _Dataset(table)
    if isinstance(table, datasets.DatasetDict):
        raise ConfigurationError(
            f"table: a DatasetDict with the splits {', '.join(map(repr, table))}; pass one of them"
        )
    raise ConfigurationError(
        f"table: a {type(table).__name__}; expected is a datasets.Dataset or the path of a table"
    )


def _from_disk(path: str) -> Table:
    import datasets

    if Path(path, "dataset_dict.json").exists():
        splits = json.loads(Path(path, "dataset_dict.json").read_text("utf-8"))["splits"]
        raise ConfigurationError(
            f"table={path!r}: a folder with the splits {', '.join(map(repr, splits))}; name one, "
            f"e.g. {str(Path(path, splits[0]))!r}"
        )
    try:
        loaded = datasets.load_from_disk(path)
    except (OSError, ValueError, KeyError, pa.ArrowException) as e:
        raise SourceError(
            f"{path}: not a folder made by datasets' save_to_disk that can be read: {e}"
        ) from e
    return _Dataset(loaded)


def _from_arrow(path: str) -> Table:
    try:
        with fsspec.open(path, "rb") as stream:
            try:
                return _Memory(pa.ipc.open_file(stream).read_all())
            except pa.ArrowInvalid:  # written as a stream, as `datasets` does
                stream.seek(0)
                return _Memory(pa.ipc.open_stream(stream).read_all())
    except pa.ArrowException as e:
        raise SourceError(f"{path}: not an Arrow file that can be read: {e}") from e
    except OPEN_ERRORS as e:
        raise open_error(path, "file", e) from e


def _from_text(
    path: str,
    delimiter: str,
    text_columns: Sequence[str],
    never_null: Sequence[str],
    missing: Sequence[str],
) -> Table:
    convert = pa.csv.ConvertOptions(column_types={name: pa.string() for name in text_columns})
    # A number's column is trimmed by the reader, and what stands for a missing one is not.
    spaced = [f"{a}{m}{b}" for m in missing for a in ("", " ") for b in ("", " ")]
    convert.null_values = [*convert.null_values, *spaced]
    quoted = delimiter == ","
    parse = pa.csv.ParseOptions(
        delimiter=delimiter, quote_char='"' if quoted else False, newlines_in_values=quoted
    )
    try:
        with fsspec.open(path, "rb", compression="infer") as stream:
            data = pa.csv.read_csv(stream, parse_options=parse, convert_options=convert)
        _check_text(path, data)
        if quoted:
            _check_quotes(path, data)
    except pa.ArrowException as e:
        what = "CSV file" if quoted else "file with tabs between its columns"
        raise SourceError(f"{path}: not a {what} that can be read: {e}") from e
    except UnicodeDecodeError as e:  # of the names of the columns
        raise SourceError(f"{path}: the names of the columns are {_NO_UTF8}") from e
    except (*OPEN_ERRORS, EOFError) as e:
        raise open_error(path, "file", e) from e
    columns = [
        _with_nulls(column, convert.null_values) if name not in never_null else column
        for name, column in zip(data.column_names, data.columns, strict=True)
    ]
    return _Memory(pa.Table.from_arrays(columns, names=data.column_names))


_NO_UTF8 = "no text in UTF-8; save the file in that encoding"


def _check_text(path: str, data: pa.Table) -> None:
    """Refuse text in another encoding, whose columns are read as bytes and would be left out."""
    for name, kind in zip(data.column_names, data.schema.types, strict=True):
        if pa.types.is_binary(kind):
            raise SourceError(f"{path}: the values of the column {name!r} are {_NO_UTF8}")


def _check_quotes(path: str, data: pa.Table) -> None:
    """Refuse a file in which a quote is open to the end: all behind it would be one value."""
    last = data.column(-1)[-1].as_py() if len(data) else None
    if not (isinstance(last, str) and "\n" in last):
        return
    end = b""
    with fsspec.open(path, "rb", compression="infer") as stream:
        while part := stream.read(2**20):
            end = part.rstrip()[-1:] or end
    if end != b'"':
        raise SourceError(
            f"{path}: a quote is never closed: the last value begins with {last[:40]!r}, and goes "
            "on to the end; close the quote, or write it twice within quotes where it is text"
        )


def _with_nulls(column: pa.ChunkedArray, null_values: Sequence[str]) -> pa.ChunkedArray:
    """A column where "NA" and the like are nulls."""
    if pa.types.is_null(column.type):
        return column.cast(pa.string())
    if not is_text(column.type):
        return column
    missing = pc.is_in(column, pa.array(null_values, pa.string()))
    return pc.if_else(missing, pa.scalar(None, pa.string()), column)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds strings, of whichever of Arrow's forms."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def is_image(kind: pa.DataType) -> bool:
    """Whether a column can hold images: their bytes, their paths, or a struct of the two."""
    if pa.types.is_struct(kind):
        fields = {f.name: f.type for f in kind}
        encoded, path = fields.get("bytes", pa.null()), fields.get("path", pa.null())
        return bool(fields.keys() & {"bytes", "path"}) and _is_bytes(encoded) and _is_path(path)
    return _is_bytes(kind) or _is_path(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    t = pa.types
    binary = t.is_binary(kind) or t.is_large_binary(kind) or t.is_binary_view(kind)
    return bool(binary or t.is_fixed_size_binary(kind) or t.is_null(kind))


def _is_path(kind: pa.DataType) -> bool:
    return is_text(kind) or bool(pa.types.is_null(kind))


def image_bytes(column: pa.Array) -> pa.Array | None:
    """The encoded images of a part of an image column; None where it holds paths only."""
    if pa.types.is_struct(column.type):
        if column.type.get_field_index("bytes") < 0:
            return None
        # struct_field, not field(): it heeds the struct's own nulls and offset.
        return pc.struct_field(column, "bytes")
    return None if is_text(column.type) else column


def plain_strings(table: pa.Table) -> pa.Table:
    """The table with views of strings, for which Arrow lacks most functions, made plain."""

    def plain(kind: pa.DataType) -> pa.DataType:
        if pa.types.is_list(kind):
            return pa.list_(plain(kind.value_type))
        return pa.string() if pa.types.is_string_view(kind) else kind

    return table.cast(pa.schema([f.with_type(plain(f.type)) for f in table.schema]))
