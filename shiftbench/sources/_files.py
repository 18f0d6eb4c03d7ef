"""What the sources share: reading annotation files, listing image folders, reading one image."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import posixpath
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as package_files
from pathlib import Path, PurePath
from typing import Any

import fsspec

from shiftbench.errors import ConfigurationError, ContentError, SourceError, near_names

__all__ = [
    "FileReader",
    "Folder",
    "facts",
    "is_url",
    "list_folder",
    "read_annotations",
]

# A URL of an unknown protocol, a protocol whose package is missing, a name with a null character.
OPEN_ERRORS = (OSError, ValueError, ImportError)

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


@cache
def facts(name: str) -> Mapping[str, Any]:
    """One of the JSON files of `shiftbench.metadata`."""
    text = package_files("shiftbench.metadata").joinpath(f"{name}.json").read_text("utf-8")
    loaded: Mapping[str, Any] = json.loads(text)
    return loaded


def is_url(path: str) -> bool:
    """Whether fsspec has to be asked, as opposed to the local file system."""
    return "://" in path or "::" in path


def file_label(path: str) -> str:
    """What a file is called in the benchmark: its name alone.

    Folders say where a user keeps data, and the query of a URL may hold a token.
    """
    text = os.fspath(path)
    return PurePath(text.partition("?")[0] if is_url(text) else text).name


def open_error(path: str, what: str, error: Exception) -> SourceError:
    """What to tell a user whose file or folder cannot be opened."""
    if isinstance(error, FileNotFoundError):
        near = ""
        parent = Path(path).parent
        if not is_url(path) and parent.is_dir():
            near = (
                f"; in {parent}: {near_names(Path(path).name, (f.name for f in parent.iterdir()))}"
            )
        return SourceError(f"{path}: there is no such {what}{near}")
    said = getattr(error, "strerror", None) or error
    return SourceError(f"{path}: the {what} cannot be read: {said}")


def _hash_beside(data: bytes) -> Future[str]:
    pool = ThreadPoolExecutor(1)
    digest = pool.submit(lambda: hashlib.sha256(data).hexdigest())
    pool.shutdown(wait=False)
    return digest


def read_annotations(path: str) -> tuple[bytes, Future[str]]:
    """The whole of an annotation file, gunzipped where it is gzip, and the sha256 as stored.

    The hash is computed beside the decoding that follows: `result()` waits for it.

    Raises
    ------
    SourceError
        The file is missing, unreadable, empty or a damaged gzip.
    """
    path = os.fspath(path)
    try:
        if is_url(path):
            with fsspec.open(path, "rb") as stream:
                data: bytes = stream.read()
        else:
            data = Path(path).read_bytes()
    except OPEN_ERRORS as e:
        raise open_error(path, "file", e) from e
    digest = _hash_beside(data)
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as e:
            raise SourceError(
                f"{path}: the gzip file is cut short or damaged ({e}); download or copy it again"
            ) from e
    if not data.strip(b"\xef\xbb\xbf \t\r\n"):
        raise SourceError(f"{path}: the file is empty; annotations were expected")
    return data.removeprefix(b"\xef\xbb\xbf"), digest


_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


@dataclass(frozen=True)
class Folder:
    """What one listing of an image folder found.

    Attributes
    ----------
    root : str
        The folder, absolute where it is local.
    files : Mapping[str, tuple[int, int]]
        Size in bytes and change stamp in ns (0 where there is none) by name relative to the root.
    """

    root: str
    files: Mapping[str, tuple[int, int]]

    def locator(self, name: str) -> str:
        """The full path of a file, by its name relative to the root."""
        if is_url(self.root):
            return posixpath.join(self.root, name)
        return os.path.join(self.root, name)  # noqa: PTH118 (Path takes ten times as long)

    def others(self, names: Iterable[str]) -> int:
        """How many image files here are none of `names`."""
        known = set(names)
        return sum(n.lower().endswith(IMAGE_SUFFIXES) and n not in known for n in self.files)


def outside(name: str) -> bool:
    """Whether a relative file name leads out of its folder."""
    plain = posixpath.normpath(name.replace("\\", "/"))
    return plain.startswith(("../", "/")) or plain == ".." or plain[1:2] == ":"


def list_folder(root: str, names: Iterable[str]) -> Folder:
    """Sizes of the files in a folder and in those of its subfolders that `names` mention.

    One listing a folder, no look at single files: the names may be many and far away.

    Raises
    ------
    SourceError
        The folder itself is missing or unreadable; a missing subfolder holds no files.
    """
    root = os.fspath(root)
    parents = sorted({posixpath.dirname(n) for n in names} | {""})
    found: dict[str, tuple[int, int]] = {}
    if is_url(root):
        try:
            fs, base = fsspec.core.url_to_fs(root)
        except OPEN_ERRORS as e:
            raise open_error(root, "folder", e) from e
        for parent in parents:
            try:
                entries = fs.ls(posixpath.join(base, parent) if parent else base, detail=True)
            except OSError as e:
                if parent:
                    continue
                raise open_error(root, "folder", e) from e
            for entry in entries:
                if entry["type"] == "file":
                    name = posixpath.join(parent, posixpath.basename(entry["name"]))
                    found[name] = (int(entry["size"] or 0), 0)
        return Folder(root, found)
    absolute = os.path.abspath(root)  # noqa: PTH100 (resolve() would follow links)
    for parent in parents:
        try:
            with os.scandir(Path(absolute, parent)) as entries:
                for entry in entries:
                    if entry.is_file():
                        stat = entry.stat()
                        name = posixpath.join(parent, entry.name)
                        found[name] = (stat.st_size, stat.st_mtime_ns)
        except (OSError, ValueError) as e:
            # A name that no folder can have is one of a folder that is not there.
            if not parent or getattr(e, "errno", errno.ENOENT) not in _NOT_THERE:
                raise open_error(root, "folder", e) from e
    return Folder(absolute, found)


@dataclass(frozen=True)
class FileReader:
    """Reads the image that a locator names, as it is, byte for byte."""

    column: str = "image"

    def __call__(self, locator: str) -> Mapping[str, Any]:
        """The content columns of one example.

        Raises
        ------
        ContentError
            The file is missing, unreadable or empty.
        """
        try:
            if is_url(locator):
                with fsspec.open(locator, "rb") as stream:
                    data: bytes = stream.read()
            else:
                # Half the time of Path.read_bytes, of which a build does as many as images.
                with open(locator, "rb", buffering=0) as file:  # noqa: PTH123
                    data = file.read()
        except OSError as e:
            # Without the path: the reason stands in the benchmark.
            raise ContentError(f"cannot be read: {e.strerror or type(e).__name__}") from e
        if not data:
            raise ContentError("the file is empty")
        return {self.column: data}


def need_some(found: int, wanted: Sequence[str], folder: Folder | None) -> None:
    """Refuse a folder that holds none of the annotated images: it is the wrong one.

    Raises
    ------
    SourceError
        Images were annotated and none is there.
    """
    if folder is not None and wanted and not found:
        there = near_names(wanted[0], list(folder.files)[:1000]) if folder.files else "it is empty"
        raise SourceError(
            f"{folder.root}: none of the {len(wanted)} annotated images is in this folder, e.g. "
            f"{wanted[0]!r}; {there}; point `images` to the folder that holds the files"
        )


def one_of(option: str, value: str, allowed: Sequence[str]) -> None:
    """Refuse an option's value that is not among the allowed ones.

    Raises
    ------
    ConfigurationError
        It is not.
    """
    if value not in allowed:
        raise ConfigurationError(f"{option}={value!r}: allowed are {', '.join(map(repr, allowed))}")
