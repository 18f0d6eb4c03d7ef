"""What a user would write with `datasets` alone, for building.py to compare with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets

from shiftbench.schema import Shard, arrow_schema

datasets.disable_progress_bars()


class Plain(datasets.GeneratorBasedBuilder):
    """The same columns from the same files; no check, no hash."""

    def __init__(self, shards: list[Shard], **options: Any) -> None:
        self.shards = shards
        super().__init__(**options)

    def _info(self) -> datasets.DatasetInfo:
        schema = arrow_schema(dict(self.shards[0].features))
        return datasets.DatasetInfo(features=datasets.Features.from_arrow_schema(schema))

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        return [datasets.SplitGenerator("train")]

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        key = 0
        for shard in self.shards:
            names = [n for n, _ in shard.features if n != "image"]
            for row in shard.rows.select([*names, "locator"]).to_pylist():
                path = row.pop("locator")
                image = {"bytes": Path(path).read_bytes(), "path": None}
                yield key, {**row, "image": image}
                key += 1


def generator_build(shards: list[Shard], out: Path) -> None:
    """`GeneratorBasedBuilder` writing Parquet."""
    cache = out / "cache"
    Plain(shards, cache_dir=str(cache)).download_and_prepare(str(out), file_format="parquet")
