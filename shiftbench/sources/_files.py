"""What the sources share: reading annotation files, listing image folders, reading one image."""

from __future__ import annotations

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
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa

from shiftbench.errors import ConfigurationError, ContentError, SourceError, near_names
from shiftbench.schema import REJECTED, Image, Metadata

__all__ = [
    "FileReader",
    "Folder",
    "assemble",
    "facts",
    "fingerprint",
    "is_url",
    "list_folder",
    "read_annotations",
    "rejected_table",
]

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


def open_error(path: str, what: str, error: OSError) -> SourceError:
    """What to tell a user whose file or folder cannot be opened."""
    if isinstance(error, FileNotFoundError):
        near = ""
        parent = Path(path).parent
        if not is_url(path) and parent.is_dir():
            near = (
                f"; in {parent}: {near_names(Path(path).name, (f.name for f in parent.iterdir()))}"
            )
        return SourceError(f"{path}: there is no such {what}{near}")
    return SourceError(f"{path}: the {what} cannot be read: {error.strerror or error}")


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
    except OSError as e:
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
        fs, base = fsspec.core.url_to_fs(root)
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
        except OSError as e:
            if not parent or not isinstance(e, FileNotFoundError | NotADirectoryError):
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


def rejected_table(rows: Sequence[tuple[str, str]]) -> pa.Table:
    """The (input, reason) pairs as a table of schema `REJECTED`."""
    return pa.table(
        {"input": [r[0] for r in rows], "reason": [r[1] for r in rows]}, schema=REJECTED
    )


def fingerprint(
    digests: Iterable[str], images: Iterable[tuple[str, int]], options: Mapping[str, Any]
) -> str:
    """sha256 over the annotation files' hashes, the used images' names and sizes, the options.

    Neither paths nor change stamps count, so that a copy elsewhere has the same fingerprint.
    """
    h = hashlib.sha256()
    for digest in digests:
        h.update(digest.encode())
    for name, size in sorted(images):
        h.update(f"\x1e{name}\x1f{size}".encode())
    h.update(json.dumps(options, sort_keys=True, default=list).encode())
    return h.hexdigest()


def assemble(
    *,
    ids: Sequence[str],
    names: Sequence[str] | None,
    folder: Folder | None,
    columns: Mapping[str, pa.Array],
    contexts: pa.Table,
    rejected: Sequence[tuple[str, str]],
    digests: Sequence[str],
    options: Mapping[str, Any],
    license: str,
    redistributable: bool,
    counts: Mapping[str, int],
    notes: Mapping[str, str],
) -> Metadata:
    """Put together what the file-based sources have found; everything in order of `ids`.

    `ids` are sorted and unique; `names` are the image files relative to `folder`, both None for an
    index without content.
    """
    if folder is not None and names is not None:
        stats = [folder.files[n] for n in names]
        located = {
            "locator": pa.array([folder.locator(n) for n in names], pa.string()),
            "bytes": pa.array([s[0] for s in stats], pa.int64()),
            "modified": pa.array([s[1] for s in stats], pa.int64()),
        }
        images = list(zip(names, (s[0] for s in stats), strict=True))
    else:
        located = {
            "locator": pa.nulls(len(ids), pa.string()),
            "bytes": pa.nulls(len(ids), pa.int64()),
            "modified": pa.array([0] * len(ids), pa.int64()),
        }
        images = []
    own = pa.array(ids, pa.string())
    examples = pa.table({"example_id": own, "cluster_id": own, **located, **columns})
    return Metadata(
        examples=examples,
        contexts=contexts,
        rejected=rejected_table(rejected),
        content={"image": Image()} if folder is not None else {},
        fingerprint=fingerprint(digests, images, options),
        license=license,
        redistributable=redistributable,
        counts=counts,
        notes=notes,
    )


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
