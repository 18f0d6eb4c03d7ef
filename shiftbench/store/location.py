"""A folder, local or behind any fsspec URL, with the few operations that the store needs."""

from __future__ import annotations

import os
import posixpath
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa

from shiftbench.errors import ConfigurationError, StorageError

__all__ = ["Location"]

_LOCAL = ("file://", "local://")


@dataclass(frozen=True)
class Location:
    """A folder named by a local path or an fsspec URL.

    Attributes
    ----------
    url : str
        A path, in which a leading ``~`` is the home folder, or a URL.
    scratch : str
        Local folder, on the same file system, for files that are not whole yet. Once it is gone
        nothing can be written here any more, so that who made it can shut out processes that are
        out of reach. Empty: such files lie beside the final ones, under hidden names.

    Examples
    --------
    >>> Location("some/folder").local
    PosixPath('some/folder')
    >>> Location("memory://bench").local is None
    True
    """

    url: str
    scratch: str = ""

    @property
    def local(self) -> Path | None:
        """The path, where the folder is on this machine's file system."""
        for prefix in _LOCAL:
            if self.url.startswith(prefix):
                return Path(self.url.removeprefix(prefix))
        if "://" in self.url or "::" in self.url:
            return None
        return Path(self.url).expanduser()

    def _remote(self) -> tuple[Any, str]:
        try:
            fs, root = fsspec.core.url_to_fs(self.url)
        except (ValueError, ImportError) as error:  # an unknown protocol, or one not installed
            raise ConfigurationError(
                f"{self.url!r} cannot be reached: {error}; name a local folder or a URL of a "
                "protocol that fsspec knows and that is installed"
            ) from error
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

    def is_empty(self) -> bool:
        """Whether there is no folder, or one with nothing in it; a file is not empty."""
        if self.local is not None:
            if not self.local.is_dir():
                return not os.path.lexists(self.local)
            return not any(self.local.iterdir())
        fs, root = self._remote()
        fs.invalidate_cache()
        try:
            return not fs.ls(root, detail=False)
        except FileNotFoundError:
            return True

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
            # Arrow's own file: its threads may let go of a Python file after the interpreter has
            # ended, and that aborts the process.
            with pa.OSFile(str(self.local / name)) as file:
                yield file
            return
        fs, root = self._remote()
        with fs.open(posixpath.join(root, name), "rb") as file:
            yield file

    @contextmanager
    def create(self, name: str) -> Iterator[Any]:
        """An Arrow output stream; the file appears whole when the block ends, or not at all.

        Raises
        ------
        StorageError
            The scratch folder is gone.
        OSError
            As the file system says.
        """
        if self.local is None:
            with self._create_remote(name) as file:
                yield file
            return
        final = self.local / name
        # Another worker may write the same file after a node was lost: each has its own name.
        token = secrets.token_hex(8)
        try:
            if self.scratch:
                partial = Path(self.scratch, token)
                self._make_folders(name)
            else:
                final.parent.mkdir(parents=True, exist_ok=True)
                partial = final.with_name(f".{token}")
            sink = pa.OSFile(str(partial), "wb")
        except FileNotFoundError as error:
            raise self._shut_out() from error
        try:
            with sink as file:
                yield file
            partial.replace(final)
        except FileNotFoundError as error:
            if self.scratch and not Path(self.scratch).is_dir():
                raise self._shut_out() from error
            raise
        finally:
            partial.unlink(missing_ok=True)

    def _shut_out(self) -> StorageError:
        return StorageError(
            f"nothing can be written in {self.url!r} any more: the build was stopped or taken over "
            "by another one, or this process does not see the same folder as the one that started "
            "it (workers on several machines need a shared file system or an object store)"
        )

    def _make_folders(self, name: str) -> None:
        """Make the folders on the way to a file, and never this one itself."""
        assert self.local is not None
        for parent in reversed(Path(name).parents[:-1]):
            (self.local / parent).mkdir(exist_ok=True)

    @contextmanager
    def _create_remote(self, name: str) -> Iterator[Any]:
        fs, root = self._remote()
        target = posixpath.join(root, name)
        try:
            with fs.open(target, "wb") as file:
                yield pa.PythonFile(file, mode="w")
        except BaseException:
            # Closing has stored what there was of it.
            if fs.exists(target):
                fs.rm(target)
            raise

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
        """Delete a file, or a folder with all in it; it need not be there."""
        if self.local is not None:
            target = self.local / name
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
            return
        fs, root = self._remote()
        target_name = posixpath.join(root, name) if name else root
        if fs.exists(target_name):
            fs.rm(target_name, recursive=True)
