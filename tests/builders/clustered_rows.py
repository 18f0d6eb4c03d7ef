"""A made table of clusters, for tests of builders: a class, a group and two features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from shiftbench.plan import ConfigPlan, Plan
from shiftbench.schema import CONTEXTS, REJECTED, Metadata


@dataclass(frozen=True)
class ClusteredRows:
    """Rows whose features follow class, group and, strongly, cluster.

    Clusters have from one to eight rows; half of them have several classes, and those of every
    third have both groups.
    """

    n: int = 600
    classes: tuple[str, ...] = ("cat", "cow", "dog")
    seed: int = 0
    alone: bool = False

    def scan(self) -> Metadata:
        random = np.random.default_rng(self.seed)
        sizes = np.ones(self.n, np.int64) if self.alone else random.integers(1, 9, self.n)
        cluster = np.repeat(np.arange(self.n), sizes)[: self.n]
        k = len(self.classes)
        share = np.arange(k, 0, -1) / np.arange(1, k + 1).sum()
        own = random.choice(k, self.n, p=share)
        mixed = random.random(self.n) < 0.5
        label = np.where(mixed[cluster], random.choice(k, self.n, p=share), own[cluster])
        side = random.random(self.n) < 0.4
        target = np.where(cluster % 3 == 0, random.random(self.n) < 0.4, side[cluster])
        effect = random.normal(size=(self.n, 2))
        x = label[:, None] + 2 * target[:, None] + effect[cluster] + random.normal(size=(self.n, 2))
        examples = pa.table(
            {
                "example_id": [f"{i:06d}" for i in range(self.n)],
                "cluster_id": [f"c{i:06d}" for i in cluster],
                "locator": pa.nulls(self.n, pa.string()),
                "bytes": pa.nulls(self.n, pa.int64()),
                "modified": np.zeros(self.n, np.int64),
                "label": np.array(self.classes)[label],
                "group": np.where(target, "new", "old"),
                "x1": x[:, 0],
                "x2": x[:, 1],
            }
        )
        return Metadata(
            examples,
            CONTEXTS.empty_table(),
            REJECTED.empty_table(),
            {},
            f"made {self}",
            columns=("label", "group", "x1", "x2"),
        )

    def reader(self) -> Callable[[str], Mapping[str, Any]]:
        raise AssertionError("there is no content")


def split_of(config: ConfigPlan, name: str) -> Any:
    """The split of that name."""
    return next(s for s in config.splits if s.name == name)


def taken(plan: Plan, config: ConfigPlan, name: str) -> pa.Table:
    """The rows of a split with the source's columns."""
    split = split_of(config, name)
    table = plan.metadata.examples.take(split.rows["example"])
    for column in split.rows.column_names[1:]:
        table = table.append_column(column, split.rows[column])
    return table


def features(table: pa.Table) -> np.ndarray:
    return np.column_stack([table["x1"].to_numpy(), table["x2"].to_numpy()])


def clusters_of(table: pa.Table) -> list[str]:
    return table["cluster_id"].to_pylist()


def most_rejections(tests: int, level: float = 0.05) -> int:
    """More than so many of true nulls are rejected in one of ten thousand runs at most."""
    from scipy.stats import binom

    return int(binom.ppf(0.9999, tests, level))
