"""All images below a folder or in a ZIP archive, found without reading one."""

from __future__ import annotations

import os
import posixpath
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec

from shiftbench.errors import ContentError, SourceError
from shiftbench.sources._files import IMAGE_SUFFIXES, OPEN_ERRORS, is_url, open_error, outside

__all__ = ["Found", "ZipReader", "find_images", "is_archive"]

MAX_IMAGE_BYTES = 2**28
"""An image in an archive that says it is larger when unpacked is not unpacked."""

_ENCRYPTED = 0x1
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError)


@dataclass(frozen=True)
class File:
    """An image file.

    Attributes
    ----------
    name : str
        Relative to the folder, or in the archive; parts are separated by ``/``.
    locator : str
        What the reader takes.
    size : int
        In bytes.
    modified : int
        Change stamp in ns, 0 where there is none.
    digest : str
        Of the content, where it is known without reading it.
    """

    name: str
    locator: str
    size: int
    modified: int = 0
    digest: str = ""


@dataclass(frozen=True)
class Found:
    """The images of a folder or an archive, sorted by name.

    Attributes
    ----------
    files : list of File
    rejected : list of (str, str)
        Names that cannot be used, and why.
    counts : Mapping[str, int]
        What else is there.
    archive : bool
        Whether it is a ZIP archive.
    """

    files: list[File]
    rejected: list[tuple[str, str]]
    counts: Mapping[str, int]
    archive: bool


def find_images(where: str) -> Found:
    """The images below a folder, or in a ZIP archive; paths or URLs.

    Names that begin with a point, and ``__MACOSX``, are passed over; files of other kinds and
    archives inside are counted. Linked folders are followed, but not in a circle.

    Raises
    ------
    SourceError
        It is not there, or it is neither a folder nor a ZIP archive that can be read.
    """
    archive = is_archive(where)
    rejected: list[tuple[str, str]] = []
    counts: Counter[str] = Counter()
    found: dict[str, File] = {}
    for file in _in_archive(where) if archive else _in_folder(where):
        reason = _odd(file)
        if any(map(_hidden, file.name.split("/"))):
            counts["hidden_files"] += 1
        elif file.name.lower().endswith((".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")):
            counts["archives_inside"] += 1
        elif not file.name.lower().endswith(IMAGE_SUFFIXES):
            counts["files_of_other_kinds"] += 1
        elif reason:
            rejected.append((_shown(file.name), reason))
        else:
            if file.name in found:
                said = "the archive has the name twice; the last one is used"
                rejected.append((file.name, said))
            found[file.name] = file
    return Found(sorted(found.values(), key=lambda f: f.name), rejected, counts, archive)


def _hidden(part: str) -> bool:
    return part == "__MACOSX" or (part.startswith(".") and part != "..")


def _odd(file: File) -> str:
    if outside(file.name):
        return "the name leads out of the archive"
    if _shown(file.name) != file.name or not file.name.isprintable():
        return "the name is no text that can be printed"
    if file.digest and file.size > MAX_IMAGE_BYTES:
        return f"{file.size} bytes when unpacked; allowed are {MAX_IMAGE_BYTES}"
    return ""


def _shown(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def is_archive(where: str) -> bool:
    """Whether a path or URL is taken for an archive: a file, or a URL that ends in .zip.

    Raises
    ------
    SourceError
        There is nothing of that name.
    """
    if is_url(where):
        return where.partition("?")[0].lower().endswith(".zip")
    if not Path(where).exists():
        raise open_error(where, "folder or archive", FileNotFoundError())
    return not Path(where).is_dir()


def _in_folder(where: str) -> Iterator[File]:
    if is_url(where):
        yield from _in_remote_folder(where)
        return
    root = os.path.abspath(where)  # noqa: PTH100 (resolve() would follow links)
    try:
        yield from _below(root, "", frozenset())
    except OSError as e:
        raise open_error(where, "folder", e) from e


def _below(folder: str, inside: str, above: frozenset[tuple[int, int]]) -> Iterator[File]:
    here = Path(folder).stat()
    key = (here.st_dev, here.st_ino)
    if key in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            name = inside + entry.name
            if entry.is_dir():
                if not _hidden(entry.name):
                    yield from _below(entry.path, name + "/", above | {key})
            elif entry.is_file():
                stat = entry.stat()
                yield File(name, entry.path, stat.st_size, stat.st_mtime_ns)


def _in_remote_folder(where: str) -> Iterator[File]:
    try:
        fs, base = fsspec.core.url_to_fs(where)
        entries = fs.find(base, detail=True)
    except OPEN_ERRORS as e:
        raise open_error(where, "folder", e) from e
    for path, entry in entries.items():
        name = posixpath.relpath(path, base)
        yield File(name, posixpath.join(where, name), int(entry["size"] or 0))


def _open_archive(where: str) -> zipfile.ZipFile:
    try:
        stream: Any = fsspec.open(where, "rb").open() if is_url(where) else where
        return zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, NotImplementedError) as e:
        raise SourceError(
            f"{where}: not a ZIP archive that can be read ({e}); name a folder or a ZIP archive of "
            "images, and unpack archives of other kinds"
        ) from e
    except OPEN_ERRORS as e:
        raise open_error(where, "archive", e) from e


def _in_archive(where: str) -> Iterator[File]:
    with _open_archive(where) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            if info.flag_bits & _ENCRYPTED:
                raise SourceError(
                    f"{where}: {_shown(info.filename)!r} is encrypted; unpack the archive with its "
                    "password and name the folder"
                )
            yield File(info.filename, info.filename, info.file_size, 0, f"{info.CRC:08x}")


class ZipReader:
    """Reads the image that a locator names from a ZIP archive, as it is, byte for byte.

    Parameters
    ----------
    where : str
        The archive. It is opened at the first image, in the process that reads.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self._archive: zipfile.ZipFile | None = None

    def __call__(self, locator: str) -> Mapping[str, Any]:
        """The content columns of one example.

        Raises
        ------
        ContentError
            The image is missing, damaged, encrypted or compressed in an unknown way.
        """
        try:
            if self._archive is None:
                self._archive = _open_archive(self.where)
            data = self._archive.read(locator)
        except KeyError:
            raise ContentError("cannot be read: the archive no longer has it") from None
        except (SourceError, RuntimeError, *_ZIP_ERRORS) as e:
            raise ContentError(f"cannot be read: {type(e).__name__}") from e
        if not data:
            raise ContentError("the file is empty")
        return {"image": data}
