"""Tables with a known P(y | x), as sources for tests of the builder `concept`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from shiftbench.errors import ConfigurationError
from shiftbench.plan import ConfigPlan, Plan, SplitPlan
from shiftbench.schema import CONTEXTS, REJECTED, Metadata


@dataclass(frozen=True)
class Given:
    """The rows of a table, given as columns; `features` are what a model sees."""

    table: Any
    features: tuple[str, ...] = ("x1", "x2")

    def scan(self) -> Metadata:
        n = len(self.table)
        examples = self.table
        if "cluster_id" not in examples.column_names:
            examples = examples.append_column("cluster_id", examples["example_id"])
        examples = examples.append_column("locator", pa.nulls(n, pa.string()))
        examples = examples.append_column("bytes", pa.nulls(n, pa.int64()))
        examples = examples.append_column("modified", pa.array(np.zeros(n, np.int64)))
        return Metadata(
            examples.sort_by("example_id"),
            CONTEXTS.empty_table(),
            REJECTED.empty_table(),
            {},
            "given",
            columns=self.features,
        )

    def reader(self) -> Callable[[str], Mapping[str, Any]]:
        raise ConfigurationError("a table has no content to read")


def people(
    n: int = 400,
    seed: int = 0,
    *,
    classes: int = 2,
    per_cluster: int = 1,
    contexts: int = 0,
    gap: float = 0.0,
    apart: float = 0.0,
) -> pa.Table:
    """x1, x2 normal, alike within clusters; y from x1; a site that shifts x1 by `apart` and, at
    equal x, the odds of y by `gap`."""
    rng = np.random.default_rng([seed, n, classes, per_cluster])
    units = -(-n // per_cluster)
    unit = np.repeat(np.arange(units), per_cluster)[:n]
    shared = rng.normal(size=(units, 2))[unit]
    x = 0.8 * shared + 0.6 * rng.normal(size=(n, 2)) if per_cluster > 1 else shared
    site = rng.integers(0, max(contexts, 1), units)[unit]
    x[:, 0] += apart * site
    odds = 1.5 * (x[:, 0] - apart * site.mean()) + gap * site
    y = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(int)
    if classes > 2:
        y = np.clip(np.digitize(x[:, 0] + rng.normal(size=n), np.linspace(-1, 1, classes - 1)), 0,
                    classes - 1)  # fmt: skip
    columns: dict[str, Any] = {
        "example_id": [f"e{i:06d}" for i in range(n)],
        "cluster_id": [f"c{u:06d}" for u in unit],
        "x1": x[:, 0],
        "x2": x[:, 1],
        "label": [f"k{k}" for k in y],
        "group": np.where(x[:, 1] > 0.3, "in", "out"),
    }
    if contexts:
        columns["site"] = [f"s{k}" for k in site]
    return pa.table(columns)


def split_of(plan: Plan, name: str, config: str | None = None) -> SplitPlan:
    """A split of the first config, or of a named one."""
    return next(s for s in config_of(plan, config).splits if s.name == name)


def config_of(plan: Plan, name: str | None = None) -> ConfigPlan:
    return next(c for c in plan.configs if name is None or c.name == name)


def values(plan: Plan, split: SplitPlan, *columns: str) -> np.ndarray:
    """Columns of a split's examples, (n, k)."""
    taken = plan.metadata.examples.take(split.rows["example"])
    return np.column_stack([np.asarray(taken[c].to_numpy()) for c in columns])


def labels(split: SplitPlan) -> np.ndarray:
    return np.asarray(split.rows["label"].to_numpy())


def clusters(plan: Plan, split: SplitPlan) -> list[str]:
    found: list[str] = plan.metadata.examples.take(split.rows["example"])["cluster_id"].to_pylist()
    return found
