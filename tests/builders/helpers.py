"""A source made of a literal list of images, for tests of builders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from shiftbench.schema import CONTEXTS, REJECTED, Metadata


@dataclass(frozen=True)
class Literal:
    """Images as (id, [(subject, context, kind), …]) with optional clusters; no content."""

    images: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...]
    clusters: tuple[tuple[str, str], ...] = ()

    def scan(self) -> Metadata:
        images = sorted(self.images)
        ids = [i for i, _ in images]
        clusters = dict(self.clusters)
        examples = pa.table(
            {
                "example_id": pa.array(ids, pa.string()),
                "cluster_id": pa.array([clusters.get(i, i) for i in ids], pa.string()),
                "locator": pa.nulls(len(ids), pa.string()),
                "bytes": pa.nulls(len(ids), pa.int64()),
                "modified": pa.array([0] * len(ids), pa.int64()),
            }
        )
        rows = [(n, *c) for n, (_, found) in enumerate(images) for c in sorted(set(found))]
        columns = list(zip(*rows, strict=True)) or [[]] * 4
        contexts = pa.table(
            [
                pa.array(c, _plain(f.type)).cast(f.type)
                for c, f in zip(columns, CONTEXTS, strict=True)
            ],
            schema=CONTEXTS,
        )
        return Metadata(examples, contexts, REJECTED.empty_table(), {}, "literal")

    def reader(self) -> Callable[[str], Mapping[str, Any]]:
        raise AssertionError("there is no content")


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def objects(**images: str) -> Literal:
    """`objects(a="cat sofa")`: image a holds a cat and a sofa, each the other's context."""
    made = []
    for name, words in images.items():
        seen = words.split()
        pairs = tuple((s, c, "object") for s in seen for c in seen if s != c)
        made.append((name, pairs))
    return Literal(tuple(made))
