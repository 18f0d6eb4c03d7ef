"""A folder, local or behind any fsspec URL, with the few operations that the store needs."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa

__all__ = ["Location"]


@dataclass(frozen=True)
class Location:
    """A folder named by a local path or an fsspec URL.

    Examples
    --------
    >>> Location("some/folder").local
    PosixPath('some/folder')
    >>> Location("memory://bench").local is None
    True
    """

    url: str

    @property
    def local(self) -> Path | None:
        """The path, where the folder is on this machine's file system."""
        if self.url.startswith("file://"):
            return Path(self.url.removeprefix("file://"))
        return None if "://" in self.url or "::" in self.url else Path(self.url)

    def _remote(self) -> tuple[Any, str]:
        fs, root = fsspec.core.url_to_fs(self.url)
        return fs, str(root)

    def path(self, name: str) -> str:
        """The full name of a file in the folder."""
        if self.local is not None:
            return str(self.local / name)
        return posixpath.join(self.url, name)

    def exists(self, name: str = "") -> bool:
        """Whether the file, or the folder itself, is there."""
        if self.local is not None:
            return (self.local / name).exists()
        fs, root = self._remote()
        return bool(fs.exists(posixpath.join(root, name) if name else root))

    def size(self, name: str) -> int:
        """Bytes of a file."""
        if self.local is not None:
            return (self.local / name).stat().st_size
        fs, root = self._remote()
        return int(fs.size(posixpath.join(root, name)))

    def read(self, name: str) -> bytes:
        """All of a (small) file."""
        if self.local is not None:
            return (self.local / name).read_bytes()
        fs, root = self._remote()
        return bytes(fs.cat_file(posixpath.join(root, name)))

    @contextmanager
    def open(self, name: str) -> Iterator[Any]:
        """A seekable file object for reading."""
        if self.local is not None:
            with (self.local / name).open("rb") as file:
                yield file
            return
        fs, root = self._remote()
        with fs.open(posixpath.join(root, name), "rb") as file:
            yield file

    @contextmanager
    def create(self, name: str) -> Iterator[Any]:
        """An Arrow output stream; the file appears whole when the block ends, or not at all."""
        if self.local is None:
            fs, root = self._remote()
            with fs.open(posixpath.join(root, name), "wb") as file:
                yield pa.PythonFile(file, mode="w")
            return
        final = self.local / name
        final.parent.mkdir(parents=True, exist_ok=True)
        # Another worker may write the same shard after a node was lost: each has its own name.
        partial = final.with_name(f".{final.name}.{os.getpid()}")
        try:
            with pa.OSFile(str(partial), "wb") as file:
                yield file
            partial.replace(final)
        finally:
            partial.unlink(missing_ok=True)

    def write(self, name: str, data: bytes) -> None:
        """A (small) file, whole or not at all."""
        with self.create(name) as file:
            file.write(data)

    def files(self) -> list[str]:
        """Names of all files below the folder, sorted, hidden ones left out."""
        if self.local is not None:
            found = (
                str(Path(folder, name).relative_to(self.local).as_posix())
                for folder, _, names in os.walk(self.local)
                for name in names
            )
        else:
            fs, root = self._remote()
            found = (posixpath.relpath(p, root) for p in fs.find(root))
        return sorted(f for f in found if not any(p.startswith(".") for p in f.split("/")))

    def remove(self, name: str) -> None:
        """Delete a file, or a folder with all in it."""
        if self.local is not None:
            import shutil

            target = self.local / name
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
            return
        fs, root = self._remote()
        target_name = posixpath.join(root, name) if name else root
        if fs.exists(target_name):
            fs.rm(target_name, recursive=True)
