"""Images in folders that say what they show, as torchvision's ImageFolder takes them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from shiftbench.errors import ConfigurationError, SourceError, near_names
from shiftbench.schema import CONTEXTS, Image, Metadata
from shiftbench.sources._files import FileReader, file_label
from shiftbench.sources._image_tree import Found, ZipReader, find_images, is_archive
from shiftbench.sources._metadata import fingerprint, rejected_table
from shiftbench.sources.images import RESERVED

__all__ = ["ImageFolders"]


@dataclass(frozen=True)
class ImageFolders:
    """Images in folders, or in a ZIP archive of folders, whose names are the classes.

    Folders that all images share are passed over; the first level is the one below them. So the
    layout of torchvision's ImageFolder, ``cat/1.jpg``, needs no options. Levels that are not the
    class become columns ``part_1``, ``part_2`` …, or are called as `columns` says. An example's id
    is its path from the first level on. An archive is read where it is, never unpacked.

    Parameters
    ----------
    folder : str
        The folder or the ZIP archive: a path or a URL.
    label_level : tuple of int
        The levels, from 1, whose names make the class; several are joined by ``/``: with 1 and 2
        the image ``Greek/character01/1.png`` has the class ``Greek/character01``.
    columns : tuple of str
        Names for the levels, from the first.
    cluster : str
        The unit of independence: "file", the name of a column, or a regular expression that is
        searched for in each id; the cluster is then its groups, joined by ``/``, or all of it. For
        Omniglot, where ``0108_03.png`` was drawn by the third of an alphabet's twenty drawers,
        ``^([^/]+)/.*_(\\d+)[.]png$`` makes each drawer of an alphabet a cluster.
    license : str
        Licence of the images as the Hub spells it; empty = unknown.
    redistributable : bool
        Whether the images may be published.

    Examples
    --------
    >>> from pathlib import Path
    >>> for name in ("cat/1.png", "dog/1.png"):
    ...     Path("pets", name).parent.mkdir(parents=True)
    ...     Path("pets", name).write_bytes(b"an image") > 0
    True
    True
    >>> found = ImageFolders("pets").scan()
    >>> found.examples.select(["example_id", "label"]).to_pylist()
    [{'example_id': 'cat/1.png', 'label': 'cat'}, {'example_id': 'dog/1.png', 'label': 'dog'}]
    """

    folder: str
    label_level: tuple[int, ...] = (1,)
    columns: tuple[str, ...] = ()
    cluster: str = "file"
    license: str = ""
    redistributable: bool = False

    def __post_init__(self) -> None:
        if not self.label_level or min(self.label_level) < 1:
            raise ConfigurationError(
                f"image_folders: label_level is {self.label_level}; levels are counted from 1"
            )
        taken = [c for c in self.columns if c in RESERVED or not c.strip()]
        if taken or len(set(self.columns)) < len(self.columns):
            raise ConfigurationError(
                f"image_folders: columns is {self.columns}; each needs a name of its own, and none "
                f"of {', '.join(RESERVED)}"
            )

    def scan(self) -> Metadata:
        """List the folder or the archive; no image is read.

        Raises
        ------
        SourceError
            It is not there, cannot be read or holds no image.
        ConfigurationError
            Levels that no image has, or a cluster rule that does not fit.
        """
        found = find_images(self.folder)
        if not found.files:
            raise SourceError(
                f"{self.folder}: there is no image in it ({_words(found) or 'it is empty'}); name "
                "the folder or archive in which each class has a folder"
            )
        levels = _levels([f.name for f in found.files])
        deepest = max(map(len, levels))
        for level in (*self.label_level, len(self.columns)):
            if level > deepest:
                raise ConfigurationError(
                    f"{file_label(self.folder)}: there is no level {level}; below the folders that "
                    f"all images share there are {deepest}, e.g. {found.files[0].name!r}"
                )
        top = found.files[0].name.count("/") - len(levels[0])
        lowest = max(self.label_level)
        kept = [i for i, parts in enumerate(levels) if len(parts) >= lowest]
        files = [found.files[i] for i in kept]
        parts = [levels[i] for i in kept]
        ids = [f.name.split("/", top)[top] for f in files]
        counts: Counter[str] = Counter(found.counts)
        counts["images_without_a_class"] = len(levels) - len(kept)
        columns = self._columns(parts, deepest)
        options = {
            "source": "image_folders",
            "label_level": self.label_level,
            "columns": self.columns,
            "cluster": self.cluster,
        }
        return Metadata(
            examples=pa.table(
                {
                    "example_id": pa.array(ids, pa.string()),
                    "cluster_id": pa.array(self._clusters(ids, columns), pa.string()),
                    "locator": pa.array([f.locator for f in files], pa.string()),
                    "bytes": pa.array([f.size for f in files], pa.int64()),
                    "modified": pa.array([f.modified for f in files], pa.int64()),
                    "label": pa.array(
                        ["/".join(p[k - 1] for k in self.label_level) for p in parts], pa.string()
                    ),
                    **{n: pa.array(v, pa.string()) for n, v in columns.items()},
                }
            ),
            contexts=CONTEXTS.empty_table(),
            rejected=rejected_table(found.rejected),
            content={"image": Image()},
            fingerprint=fingerprint(
                (f.digest for f in files),
                ((i, f.size) for i, f in zip(ids, files, strict=True)),
                options,
            ),
            license=self.license,
            redistributable=self.redistributable,
            counts=counts,
            notes={"title": f"Images in folders: {file_label(self.folder)}"},
        )

    def reader(self) -> Callable[[str], Mapping[str, Any]]:
        """A function from a locator to ``{"image": bytes}``."""
        return ZipReader(self.folder) if is_archive(self.folder) else FileReader()

    def _columns(self, parts: Sequence[Sequence[str]], deepest: int) -> dict[str, list[str | None]]:
        """The levels that are more than the class again, by the names of their columns."""
        made: dict[str, list[str | None]] = {}
        for k in range(deepest):
            if self.label_level == (k + 1,):
                continue
            name = self.columns[k] if k < len(self.columns) else f"part_{k + 1}"
            made[name] = [p[k] if k < len(p) else None for p in parts]
        return made

    def _clusters(
        self, ids: Sequence[str], columns: Mapping[str, Sequence[str | None]]
    ) -> Sequence[str]:
        if self.cluster == "file":
            return ids
        if self.cluster in columns:
            return [v or i for v, i in zip(columns[self.cluster], ids, strict=True)]
        try:
            searched = [re.search(self.cluster, i) for i in ids]
        except re.error as e:
            raise ConfigurationError(
                f"image_folders: cluster={self.cluster!r} is no regular expression: {e}"
            ) from None
        missed = [i for i, m in zip(ids, searched, strict=True) if m is None]
        if missed:
            raise ConfigurationError(
                f"image_folders: cluster={self.cluster!r} is not found in {len(missed)} of "
                f"{len(ids)} paths, e.g. {missed[0]!r}; allowed: 'file', a column "
                f"({near_names(self.cluster, columns)}), or a regular expression that each has"
            )
        return ["/".join(g or "" for g in m.groups()) or m[0] for m in searched if m]


def _levels(names: Sequence[str]) -> list[list[str]]:
    """The folders of each image, without those that all share at the top."""
    folders = [name.split("/")[:-1] for name in names]
    low, high = min(folders), max(folders)  # all others lie between them
    shared = 0
    while shared < min(len(low), len(high)) and low[shared] == high[shared]:
        shared += 1
    return [f[shared:] for f in folders]


def _words(found: Found) -> str:
    told = [f"{n} {name.replace('_', ' ')}" for name, n in found.counts.items()]
    if found.rejected:
        told.append(f"{len(found.rejected)} that cannot be used")
    return ", ".join(told)
