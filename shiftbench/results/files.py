"""Results on disk: JSON and Parquet, several files into one, and what does not compare."""

from __future__ import annotations

import math
import os
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from shiftbench.errors import ConfigurationError, SourceError, StorageError
from shiftbench.results.schema import CURVES, PROTOCOL, RESULTS, SELECTION, plain
from shiftbench.store.location import Location

__all__ = [
    "CURVES_SUFFIX",
    "Parts",
    "conflicts",
    "merged",
    "read",
    "short_digest",
    "stated_of",
    "write",
]

CURVES_SUFFIX = ".curves.parquet"
NOTED = b"shiftbench_results"


@dataclass(frozen=True, eq=False)
class Parts:
    """What results consist of, see `Results`."""

    table: pa.Table
    curves: pa.Table
    selection: Mapping[str, Any]
    notes: tuple[str, ...]


def stated_of(selection: Mapping[str, Any], model: str | None) -> dict[str, Any]:
    """How one model was selected; None where it is not stated."""
    stated = {k: v for k, v in selection.items() if k != "models"}
    stated |= selection.get("models", {}).get(model, {})
    return {**dict.fromkeys(SELECTION), **stated}


def _place(path: str | os.PathLike[str]) -> tuple[Location, str]:
    target = os.fspath(path)
    folder, name = posixpath.split(target) if "://" in target else os.path.split(target)
    return Location(folder or "."), name


def write(parts: Parts, path: str | os.PathLike[str]) -> None:
    """See `Results.write`."""
    target = os.fspath(path)
    location, name = _place(target)
    stem, suffix = posixpath.splitext(name)
    if suffix not in (".json", ".parquet") or name.endswith(CURVES_SUFFIX):
        raise ConfigurationError(
            f"{target!r}: results are written to a file that ends in .json or .parquet"
        )
    if location.local is not None and not location.local.is_dir():
        raise StorageError(
            f"{target}: cannot be written: there is no folder {str(location.local)!r}; make it "
            "first, or correct the path"
        )
    try:
        if suffix == ".json":
            location.write(name, encoded(parts))
            return
        noted = {"selection": plain(parts.selection), "notes": parts.notes}
        table = parts.table.replace_schema_metadata({NOTED: msgspec.json.encode(noted)})
        # Neither takes its name before both are written.
        with (
            location.create(name) as file,
            location.create(stem + CURVES_SUFFIX) as beside,
        ):
            pq.write_table(table, file, compression="zstd")
            pq.write_table(parts.curves, beside, compression="zstd")
    except OSError as error:
        raise StorageError(f"{target}: cannot be written: {error.strerror or error}") from error


def encoded(parts: Parts) -> bytes:
    """One row a line, so that two files can be compared by eye."""
    head = msgspec.json.encode({"format": PROTOCOL, "selection": plain(parts.selection)})
    made = [head[:-1], b',\n"notes":', msgspec.json.encode(parts.notes)]
    for name, table in (("results", parts.table), ("curves", parts.curves)):
        lines = b",\n".join(msgspec.json.encode(plain(row)) for row in table.to_pylist())
        made.append(b',\n"%s":[\n%s\n]' % (name.encode(), lines))
    return b"".join([*made, b"}\n"])


class _File(msgspec.Struct):
    format: str
    results: list[dict[str, Any]]
    curves: list[dict[str, Any]] = []
    selection: dict[str, Any] = {}
    notes: list[str] = []


def read(name: str) -> Parts:
    """One file; see `read_results`."""
    location, last = _place(name)
    try:
        if last.endswith(".parquet"):
            return _read_parquet(location, last)
        found = msgspec.json.decode(location.read(last), type=_File)
        if found.format != PROTOCOL:
            raise SourceError(
                f"{name}: its format is {found.format!r}; this version of shiftbench reads "
                f"{PROTOCOL!r}"
            )
        return Parts(
            _table(found.results, RESULTS),
            _table(found.curves, CURVES),
            found.selection,
            tuple(found.notes),
        )
    except FileNotFoundError:
        raise SourceError(f"{name}: there is no such results file") from None
    except (
        *(OSError, KeyError, UnicodeDecodeError, RecursionError),
        *(pa.ArrowException, msgspec.MsgspecError, ConfigurationError),
    ) as error:
        said = " ".join(str(error).split())[:200]
        raise SourceError(f"{name}: not a results file of shiftbench: {said}") from error


def _read_parquet(location: Location, name: str) -> Parts:
    with location.open(name) as file:
        table = pq.ParquetFile(file).read()
    noted = msgspec.json.decode((table.schema.metadata or {})[NOTED])
    curves = CURVES.empty_table()
    beside = name.removesuffix(".parquet") + CURVES_SUFFIX
    if location.exists(beside):
        with location.open(beside) as file:
            curves = pq.ParquetFile(file).read().select(CURVES.names).cast(CURVES)
    return Parts(
        table.select(RESULTS.names).cast(RESULTS), curves, noted["selection"], tuple(noted["notes"])
    )


def _table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    numbers = {f.name for f in schema if pa.types.is_floating(f.type)}
    words = {"inf": math.inf, "-inf": -math.inf}
    columns = {
        name: [words.get(v, v) if isinstance(v := row.get(name), str) else v for row in rows]
        if name in numbers
        else [row.get(name) for row in rows]
        for name in schema.names
    }
    return pa.table(columns, schema=schema)


def merged(parts: Sequence[Parts]) -> Parts:
    """Several results as one; rows that are in more than one are there once."""
    if len(parts) == 1:
        return parts[0]
    table = _distinct(pa.concat_tables([p.table for p in parts]))
    notes = dict.fromkeys([*(n for p in parts for n in p.notes), *conflicts(table)])
    curves = _distinct(pa.concat_tables([p.curves for p in parts]))
    return Parts(table, curves, _selection(parts), tuple(notes))


def _distinct(table: pa.Table) -> pa.Table:
    """Rows that are the same in every column, once."""
    if not len(table):
        return table
    grouped = table.group_by(table.column_names, use_threads=False).aggregate([])
    return grouped.select(table.column_names).cast(table.schema)


def _selection(parts: Sequence[Parts]) -> dict[str, Any]:
    """What all files state; where they differ, what each states of its models."""
    common = [{k: v for k, v in p.selection.items() if k != "models"} for p in parts]
    models: dict[str, Any] = {}
    if all(c == common[0] for c in common):
        for part in parts:
            models.update(part.selection.get("models", {}))
        return {**common[0], **({"models": models} if models else {})}
    for part in parts:
        for model in sorted({m for m in part.table["model"].to_pylist() if m is not None}):
            said = {k: v for k, v in stated_of(part.selection, model).items() if v is not None}
            if said:
                models[model] = said
    return {"models": models} if models else {}


def conflicts(table: pa.Table) -> list[str]:
    """Where one metric of one split has been taken of different content."""
    names = ["config", "split", "subset", "metric", "compared_to", "digest"]
    if not len(table):
        return []
    found: dict[tuple[Any, ...], set[str]] = {}
    for row in table.select(names).group_by(names, use_threads=False).aggregate([]).to_pylist():
        *where, digest = (row[n] for n in names)
        found.setdefault(tuple(where), set()).add(short_digest(digest))
    said = {key[:2]: sorted(digests) for key, digests in found.items() if len(digests) > 1}
    return [
        f"numbers of different benchmarks do not compare: config {config!r}, split {split!r} has "
        f"the digests {', '.join(digests)}"
        for (config, split), digests in said.items()
    ]


def short_digest(digest: str | None) -> str:
    """The beginning of a digest, or of each that a number rests on.

    Examples
    --------
    >>> short_digest("8095598218d65bd7639d+16cd2fb66954b7ae2712")
    '8095598218d6+16cd2fb66954'
    """
    return "+".join(part[:12] for part in (digest or "none").split("+"))
