"""What the sources hand on: from ids, files and contexts to `Metadata`."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from shiftbench.schema import REJECTED, Image, Metadata
from shiftbench.sources._files import Folder

__all__ = ["assemble", "clusters", "fingerprint", "rejected_table"]


def rejected_table(rows: Sequence[tuple[str, str]]) -> pa.Table:
    """The (input, reason) pairs as a table of schema `REJECTED`."""
    # A pickle may hold text that no encoding has.
    said = [[t.encode("utf-8", "backslashreplace").decode() for t in row] for row in rows]
    return pa.table(
        {"input": [r[0] for r in said], "reason": [r[1] for r in said]}, schema=REJECTED
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

    `ids` are sorted and unique; `names` are the image files relative to `folder`, which is None for
    an index without content. Examples of one file are of one cluster: they are one image.
    """
    if folder is not None and names is not None:
        stats = [folder.files[n] for n in names]
        located = {
            "locator": pa.array(map(folder.locator, names), pa.string(), size=len(names)),
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
    examples = pa.table(
        {
            "example_id": pa.array(ids, pa.string()),
            "cluster_id": pa.array(clusters(ids, names or ids), pa.string()),
            **located,
            **columns,
        }
    )
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


def clusters(ids: Sequence[str], names: Sequence[str]) -> list[str]:
    """The first id of each file's, so that one image under two ids is not taken for two.

    Examples
    --------
    >>> clusters(["1", "2", "3"], ["a.jpg", "b.jpg", "./a.jpg"])
    ['1', '2', '1']
    """
    if len(set(names)) == len(names) and not any("./" in n or "//" in n for n in names):
        return list(ids)
    first: dict[str, str] = {}
    return [
        first.setdefault(posixpath.normpath(name), i) for i, name in zip(ids, names, strict=True)
    ]
