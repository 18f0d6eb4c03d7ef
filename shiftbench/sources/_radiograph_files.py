"""Files of radiographs: listing them without naming them, and the locators that find them again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Literal

from shiftbench.errors import ContentError, SourceError
from shiftbench.pseudonyms import Key

__all__ = [
    "MOST_PIXELS",
    "File",
    "Listing",
    "Located",
    "check_size",
    "keyed_fingerprint",
    "list_recursively",
]

MOST_PIXELS = 64_000_000
"""The largest detectors and stitched views have half of it; 128 MB of pixels fit every process."""


@dataclass(frozen=True)
class File:
    """One file: its name relative to the folder, its size in bytes and change stamp in ns.

    What is no regular file (a pipe would be waited for, without end) is listed and never opened.
    """

    name: str
    bytes: int
    modified: int
    regular: bool = True


@dataclass(frozen=True)
class Listing:
    """All files below a folder, sorted by name."""

    root: str
    files: Sequence[File]

    def path(self, position: int) -> str:
        """Where a file is."""
        return os.path.join(self.root, self.files[position].name)  # noqa: PTH118 (names as bytes)

    def label(self, position: int) -> str:
        """What a file is called in records and messages: names may say who the patient is."""
        return f"file {position + 1} of {len(self.files)}"


def list_recursively(folder: str, leave_out: Iterable[str | None] = ()) -> Listing:
    """Every file below a folder, in the order of the names' bytes.

    Links are followed; a folder that several lead to is listed once.

    Raises
    ------
    SourceError
        There is no such folder, it cannot be read, or it holds no file. No name is in the message.
    """
    root = os.path.abspath(folder)  # noqa: PTH100 (resolve() would follow links)
    without = {os.path.realpath(path) for path in leave_out if path}
    if not Path(root).is_dir():
        raise SourceError(
            "radiographs: the folder named by --folder is not there or is a file; name the folder "
            "that holds the radiographs"
        )
    found: list[File] = []

    def unreadable(error: OSError) -> None:
        raise SourceError(
            f"radiographs: a folder below --folder cannot be read ({_said(error)}); allow reading "
            "it, or move it elsewhere"
        ) from None

    seen = {os.path.realpath(root)}
    for parent, folders, names in os.walk(root, onerror=unreadable, followlinks=True):
        folders[:] = _unseen(parent, folders, seen)
        for name in names:
            path = os.path.join(parent, name)  # noqa: PTH118
            if without and os.path.realpath(path) in without:
                continue
            relative = os.path.relpath(path, root).replace(os.sep, "/")
            try:
                stat = os.stat(path)  # noqa: PTH116
                regular = S_ISREG(stat.st_mode)
                found.append(File(relative, stat.st_size, stat.st_mtime_ns, regular))
            except OSError:  # a link to nowhere: recorded when it is read
                found.append(File(relative, 0, 0))
    if not found:
        raise SourceError("radiographs: the folder named by --folder holds no file")
    return Listing(root, sorted(found, key=lambda f: os.fsencode(f.name)))


def _unseen(parent: str, folders: Iterable[str], seen: set[str]) -> list[str]:
    """The folders that were not walked through yet, by another name."""
    new = []
    for name in sorted(folders, key=os.fsencode):
        real = os.path.realpath(os.path.join(parent, name))  # noqa: PTH118
        if real not in seen:
            seen.add(real)
            new.append(name)
    return new


def _said(error: OSError) -> str:
    return error.strerror or type(error).__name__


def read_bytes(path: str, most: int = -1) -> bytes:
    """The content of a file, or its beginning.

    Raises
    ------
    ContentError
        It cannot be read; without its name.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read(most)
    except OSError as error:
        raise ContentError(f"cannot be read: {_said(error)}") from None


def check_size(rows: int, columns: int) -> None:
    """Refuse images without a pixel, and such that no detector makes.

    Raises
    ------
    ContentError
        The image is of such a size.
    """
    if rows < 1 or columns < 1:
        raise ContentError(f"{rows} rows and {columns} columns: there is no pixel")
    if rows * columns > MOST_PIXELS:
        raise ContentError(
            f"{rows} rows and {columns} columns: more than {MOST_PIXELS // 10**6} million pixels "
            "are in no radiograph"
        )


@dataclass(frozen=True)
class Located:
    """What the decoder has to know of one radiograph.

    Attributes
    ----------
    path : str
        Where the file is.
    kind : str
        "dicom", whose header says the rest, or "image".
    bits : int or None
        Bits stored of an image file; None = as many as the file has.
    inverted : bool
        Whether an image file holds MONOCHROME1.
    row_mm, column_mm : float or None
        Pixel pitch at the detector.
    """

    path: str
    kind: Literal["dicom", "image"]
    bits: int | None = None
    inverted: bool = False
    row_mm: float | None = None
    column_mm: float | None = None

    def text(self) -> str:
        """As a locator: JSON in ASCII, since a name may hold bytes that are no text."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def parse(locator: str) -> Located:
        """From a locator.

        Raises
        ------
        ContentError
            It is none of this source.
        """
        try:
            return Located(**json.loads(locator))
        except (ValueError, TypeError):
            raise ContentError("the locator is none of a radiograph of this source") from None


def keyed_fingerprint(
    key: Key, files: Iterable[tuple[str, int, str]], options: Sequence[object]
) -> str:
    """HMAC over names, sizes and digests of what was read: without the key no name is confirmed.

    Parameters
    ----------
    key : Key
        The pseudonyms' key.
    files : iterable of (name, bytes, digest)
    options : sequence
        What else decides on the metadata; plain values.
    """
    digest = hashlib.sha256(json.dumps(list(options), default=list).encode())
    for name, size, read in sorted(files):
        digest.update(f"\x1e{name}\x1f{size}\x1f{read}".encode("utf-8", "surrogateescape"))
    return key.digest("radiographs", digest.digest())
