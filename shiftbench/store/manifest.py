"""shift.json: what a benchmark directory holds, where from, and the digests that identify it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from shiftbench.errors import IntegrityError
from shiftbench.schema import FORMAT
from shiftbench.store.location import Location

__all__ = [
    "MANIFEST",
    "ConfigEntry",
    "FileEntry",
    "Manifest",
    "SplitEntry",
    "benchmark_digest",
    "config_digest",
    "meant_columns",
    "read_manifest",
    "sealed",
]

MANIFEST = "shift.json"


class FileEntry(msgspec.Struct, frozen=True):
    """A file of the directory: its size in bytes, its rows (0 for the card) and its sha256."""

    bytes: int
    rows: int
    sha256: str


class SplitEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A split. Splits of table configs have no role, shift or flag."""

    rows: int
    files: list[str]
    digest: str
    role: str | None = None
    shift: str | None = None
    flag: str | None = None
    title: str = ""


class ConfigEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A config; `kind` is task, examples, table or measured (a table outside the digest)."""

    kind: str
    digest: str
    splits: dict[str, SplitEntry]
    title: str = ""
    description: str = ""
    notes: dict[str, Any] = {}


class Manifest(msgspec.Struct, frozen=True):
    """All of shift.json; see DESIGN for what each part promises.

    Attributes
    ----------
    identity : str
        What the content's part of the digest is taken from: "bytes" or "pixels".
    digest : str
        Of the benchmark: the hash of its configs', measured tables left out.
    measured : dict
        How `shift_distances` and `balance` were made, which are no part of the digest: `spaces`
        (what each was fitted to, its bandwidth), `confounding` (verdicts in words),
        `shift_columns`, and what was left out.
    columns : list[str]
        Plain columns that are content, such as the features of a table's rows.
    sha256 : str
        Of the bytes of shift.json as they are with this field empty.
    """

    format: str
    builder: str
    builder_version: str
    recipe: dict[str, Any]
    seed: int
    plan: str
    sources: list[dict[str, Any]]
    license: str
    redistributable: bool
    identity: str
    content: list[str]
    configs: dict[str, ConfigEntry]
    files: dict[str, FileEntry]
    counts: dict[str, int]
    rejected: int
    versions: dict[str, str]
    digest: str
    measured: dict[str, Any] = {}
    columns: list[str] = []
    sha256: str = ""


def config_digest(splits: Mapping[str, str], labels: Mapping[str, Any]) -> str:
    """Digest of a config from its splits' digests and the names of its classes."""
    return _sha256([sorted(splits.items()), sorted(labels.items())])


def benchmark_digest(configs: Mapping[str, ConfigEntry]) -> str:
    """Digest of a benchmark; measuring more does not change it."""
    return _sha256(sorted((n, c.digest) for n, c in configs.items() if c.kind != "measured"))


def sealed(manifest: Manifest) -> bytes:
    """The manifest as it is written, its own hash filled in."""
    empty = msgspec.structs.replace(manifest, sha256="")
    data = msgspec.json.format(msgspec.json.encode(empty), indent=1) + b"\n"
    before, _, after = data.rpartition(b'""')  # the field is the last
    return before + b'"' + _own_hash(data) + b'"' + after


def read_manifest(folder: Location) -> Manifest:
    """The manifest of a benchmark directory.

    Raises
    ------
    IntegrityError
        There is none, it is of another format, or it was changed after it was written.
    """
    where = folder.path(MANIFEST)
    try:
        data = folder.read(MANIFEST)
    except (FileNotFoundError, NotADirectoryError):
        raise IntegrityError(
            f"{folder.url!r} is no benchmark directory: it holds no {MANIFEST}; a build that was "
            "stopped leaves none, the same command goes on with it"
        ) from None
    except OSError as error:
        raise IntegrityError(f"{where} cannot be read: {error.strerror or error}") from error
    try:
        found = msgspec.json.decode(data, type=dict[str, Any])
        version = found.get("format")
        if version != FORMAT:
            raise IntegrityError(
                f"{where} has the format {version!r}; this version of shiftbench reads {FORMAT!r}"
            )
        manifest = msgspec.convert(found, Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise IntegrityError(f"{where} cannot be read: {error}") from None
    own = manifest.sha256.encode()
    if not own or own != _own_hash(data.replace(own, b"")):
        raise IntegrityError(f"{where} was changed after it was written: its own hash is not right")
    return manifest


def _own_hash(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def _sha256(value: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()


def meant_columns(manifest: Manifest, config: str) -> set[str]:
    """The columns of a task that are its shift: what differs in them differs on purpose.

    `balance` also asks whether a value is there: "time (missing)" differs where "time" is meant to.
    """
    entry = manifest.configs.get(config)
    own: list[str] = [] if entry is None else list(entry.notes.get("shift_columns", []))
    own += manifest.measured.get("shift_columns", [])
    return {*own, *(f"{name} (missing)" for name in own)}
