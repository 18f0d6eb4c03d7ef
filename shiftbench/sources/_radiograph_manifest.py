"""A CSV file that says what is known of each image."""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from shiftbench.errors import ConfigurationError, ContentError, SourceError
from shiftbench.sources._device_names import device_named, tidy
from shiftbench.sources._person import tells
from shiftbench.sources._radiograph_files import read_bytes
from shiftbench.sources._radiograph_header import (
    age_in_years,
    millimetres,
    number,
    sex_of,
    view_of,
    whole,
)

__all__ = ["Manifest", "Names", "Row", "read_manifest"]

_LONGEST = 200
"""Characters of a finding or of a further column: what is longer is a report."""


@dataclass(frozen=True)
class Row:
    """One row: the file it names, whose it is, and the columns that may leave."""

    number: int
    file: str
    patient: str | None
    columns: Mapping[str, Any]
    kept: Mapping[str, str]
    bits: int | None = None


@dataclass(frozen=True)
class Manifest:
    """All usable rows, and the rest with their reasons.

    Attributes
    ----------
    rows : Sequence[Row]
    rejected : Sequence[tuple[str, str]]
        Rows by number, from 1 below the line that names the columns.
    digest : str
        sha256 of the file.
    has_patients, has_devices : bool
        Whether there is such a column.
    """

    rows: Sequence[Row]
    rejected: Sequence[tuple[str, str]] = ()
    digest: str = ""
    has_patients: bool = False
    has_devices: bool = False


@dataclass(frozen=True)
class Names:
    """The columns that are used, None where there is none."""

    file: str
    patient: str | None
    finding: str | None
    view: str | None
    age: str | None
    sex: str | None
    device: str | None
    row_spacing: str | None
    column_spacing: str | None
    spacing: str | None
    original_rows: str | None
    original_columns: str | None
    bits: str | None
    keep: tuple[str, ...] = ()
    optional: frozenset[str] = field(default=frozenset())


def read_manifest(path: str, names: Names, released_size: int | None) -> Manifest:
    """Read the rows of a manifest.

    Parameters
    ----------
    path : str
        CSV with a comma, semicolon or tab between the cells; its first line names the columns.
    names : Names
        Which columns to use; those in `optional` may be missing.
    released_size : int or None
        Rows and columns that the images were resized to before release.

    Raises
    ------
    SourceError
        The file cannot be read or is no CSV file. No cell is in the message.
    ConfigurationError
        A column that was named is missing.
    """
    try:
        data = read_bytes(path)
    except ContentError as error:
        raise SourceError(f"the manifest {error}") from None
    lines = _lines(data)
    header = [name.strip() for name in lines[0]]
    used = _present(names, header)
    rows, rejected = [], []
    for k, cells in enumerate(lines[1:], 1):
        if not cells:
            continue  # an empty line
        label = f"row {k} of the manifest"
        if len(cells) != len(header):
            rejected.append(
                (label, f"{len(cells)} cells, where the first line names {len(header)} columns")
            )
            continue
        cell = dict(zip(header, (c.strip() for c in cells), strict=True))
        try:
            rows.append(_row(k, cell, used, released_size))
        except ContentError as error:
            rejected.append((label, str(error)))
    return Manifest(
        rows,
        rejected,
        hashlib.sha256(data).hexdigest(),
        used.patient is not None,
        used.device is not None,
    )


def _lines(data: bytes) -> list[list[str]]:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", "replace")
    else:
        text = data.decode("utf-8-sig", "surrogateescape")
    text = text.lstrip("\r\n")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=lambda d: (first.count(d), d == ","))
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        raise SourceError(
            "the manifest is no CSV file that can be read: a quote is not closed, or a cell is too "
            "long; write it anew, commas between the cells and quotes round those that hold one"
        ) from None
    if len(lines) < 2:
        raise SourceError(
            "the manifest holds no row; its first line names the columns, each further one is of "
            "one image"
        )
    return lines


def _present(names: Names, header: Sequence[str]) -> Names:
    """The names without the optional ones that the file has not."""
    twice = [n for n, k in Counter(header).items() if k > 1]
    if twice:
        raise ConfigurationError(
            f"the manifest: {len(twice)} column names stand in its first line more than once; name "
            "the columns apart"
        )
    found: dict[str, Any] = {}
    for role, name in vars(names).items():
        if role in ("keep", "optional"):
            continue
        missing = name is not None and name not in header
        if missing and role not in names.optional:
            raise _no_column(role, name, header)
        found[role] = None if missing else name
    for name in names.keep:
        if name not in header:
            raise _no_column("keep", name, header)
        if name in (found["file"], found["patient"]):
            raise ConfigurationError(
                f"the manifest: the column {name!r} names files or patients, which never leave; "
                "take it out of --keep"
            )
    if found["patient"] in {found[r] for r in ("finding", "device", "view", "sex")} - {None}:
        raise ConfigurationError(
            "the manifest: the patient's column is named for something that leaves too; name "
            "another one for it"
        )
    return Names(**found, keep=names.keep)


def _no_column(role: str, name: str, header: Sequence[str]) -> ConfigurationError:
    """Names like the one asked for, and no others: a file without a first line of names would
    have its first patient shown."""
    folded = {h.casefold(): h for h in header}
    near = [folded[n] for n in difflib.get_close_matches(name.casefold(), folded, 3, 0.6)]
    option = "--keep" if role == "keep" else f"--{role.replace('_', '-')}-column"
    hint = f"did you mean {', '.join(map(repr, near))}?" if near else "none is called alike."
    return ConfigurationError(
        f"the manifest has no column {name!r} among the {len(header)} that its first line names; "
        f"{hint} Set {option} to a column of the manifest"
    )


def _row(k: int, cell: Mapping[str, str], names: Names, released_size: int | None) -> Row:
    def of(name: str | None) -> str:
        return cell[name] if name is not None else ""

    if not of(names.file):
        raise ContentError("no file is named")
    finding = of(names.finding)
    for text in (finding, *(cell[name] for name in names.keep)):
        if len(text) > _LONGEST:
            raise ContentError(
                f"a finding or kept column of more than {_LONGEST} characters: free text, which "
                "may name the patient"
            )
    row_mm, column_mm = _spacing(of, names, released_size)
    file_stem = PurePosixPath(of(names.file).replace("\\", "/")).stem
    device = device_named(of(names.device)) if names.device else None
    leaving = (finding, of(names.device), *(cell[name] for name in names.keep))
    if any(tells(text, said) for text in leaving for said in (of(names.patient), file_stem)):
        raise ContentError(
            "a finding, device or kept column repeats the file's name or whose radiograph it is, "
            "which never leave"
        )
    columns = {
        "finding": _public(finding),
        "view": view_of(of(names.view)),
        "age": age_in_years(of(names.age)),
        "sex": sex_of(of(names.sex)),
        "device": device,
        "row_mm": row_mm,
        "column_mm": column_mm,
    }
    kept = {name: _public(cell[name]) or "" for name in names.keep}
    bits = whole(of(names.bits))
    if of(names.bits) and (bits is None or not 1 <= bits <= 16):
        raise ContentError("the bits stored are no whole number from 1 to 16")
    return Row(k, of(names.file), of(names.patient) or None, columns, kept, bits)


def _public(text: str) -> str | None:
    return tidy(text.encode("utf-8", "replace").decode(), _LONGEST)


def _spacing(of: Any, names: Names, released: int | None) -> tuple[float | None, float | None]:
    """Pixel pitch of the file: as given, times what one of its pixels holds of the original's."""
    row_mm = millimetres(of(names.row_spacing or names.spacing))
    column_mm = millimetres(of(names.column_spacing or names.spacing))
    if released is None:
        return row_mm, column_mm
    rows, columns = number(of(names.original_rows)), number(of(names.original_columns))
    return (
        millimetres(row_mm * rows / released) if row_mm and rows else None,
        millimetres(column_mm * columns / released) if column_mm and columns else None,
    )
