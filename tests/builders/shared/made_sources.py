"""A source made of columns in memory, for tests of what the shift builders share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from shiftbench.schema import CONTEXTS, REJECTED, Image, Metadata


def metadata(
    n: int,
    columns: Mapping[str, Any] | None = None,
    *,
    clusters: Sequence[str] | None = None,
    contexts: Sequence[tuple[int, str, str]] = (),
    images: bool = False,
    content: tuple[str, ...] = (),
) -> Metadata:
    """Examples ``e0000`` … with columns, clusters and (example, subject, context)."""
    ids = [f"e{i:05d}" for i in range(n)]
    examples = pa.table(
        {
            "example_id": pa.array(ids, pa.string()),
            "cluster_id": pa.array(ids if clusters is None else list(clusters), pa.string()),
            "locator": pa.array([f"#{i}" for i in range(n)], pa.string()),
            "bytes": pa.nulls(n, pa.int64()),
            "modified": pa.array([0] * n, pa.int64()),
            **(columns or {}),
        }
    )
    rows = sorted(set(contexts))
    table = pa.table(
        [
            pa.array([r[0] for r in rows], pa.int32()),
            pa.array([r[1] for r in rows], pa.string()).cast(CONTEXTS.field(1).type),
            pa.array([r[2] for r in rows], pa.string()).cast(CONTEXTS.field(2).type),
            pa.array(["object"] * len(rows), pa.string()).cast(CONTEXTS.field(3).type),
        ],
        schema=CONTEXTS,
    )
    return Metadata(
        examples,
        table,
        REJECTED.empty_table(),
        {"image": Image()} if images else {},
        "made",
        columns=content,
    )


@dataclass(frozen=True)
class Made:
    """A source that says what it was given."""

    found: Metadata

    def scan(self) -> Metadata:
        return self.found

    def reader(self) -> Callable[[str], Mapping[str, Any]]:
        raise AssertionError("there is no content")
