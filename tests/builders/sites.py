"""A made source of labelled examples at several sites, with or without images, for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from shiftbench.builders.shared.changed import encode_png
from shiftbench.schema import CONTEXTS, REJECTED, Image, Metadata

CLASSES = ("cat", "dog", "elk")


@dataclass(frozen=True)
class Sites:
    """`n` examples of each site, `per_cluster` to a cluster, with one number `x` each.

    `shift` moves the number by the site's place; `absent` are "site:class" without examples;
    `wandering` is the share of clusters that have examples at two sites; `scattered` makes ids
    that do not tell the site.
    """

    n: int = 60
    sites: tuple[str, ...] = ("a", "b", "c", "d")
    per_cluster: int = 1
    shift: float = 0.0
    prior_shift: float = 0.0
    absent: tuple[str, ...] = ()
    wandering: float = 0.0
    unlabelled: tuple[str, ...] = ()
    images: bool = False
    size: int = 8
    scattered: bool = False
    seed: int = 0

    def table(self) -> dict[str, list[Any]]:
        rng = np.random.default_rng(self.seed)
        columns: dict[str, list[Any]] = {k: [] for k in ("id", "unit", "site", "label", "x")}
        for place, site in enumerate(self.sites):
            weight = np.array([1.0, 1.0 + self.prior_shift * place, 1.0])
            allowed = np.array([f"{site}:{c}" not in self.absent for c in CLASSES])
            weight = weight * allowed / (weight * allowed).sum()
            for i in range(self.n):
                unit = i // self.per_cluster
                home = site
                if i % self.per_cluster == 0 and rng.random() < self.wandering:
                    home = self.sites[(place + 1) % len(self.sites)]
                number = rng.integers(10**9) if self.scattered else i
                columns["id"].append(f"{number:09d}{site}" if self.scattered else f"{site}{i:06d}")
                columns["unit"].append(f"{home}-{unit:06d}")
                columns["site"].append(site)
                label = str(rng.choice(CLASSES, p=weight))
                columns["label"].append(None if site in self.unlabelled else label)
                columns["x"].append(float(rng.normal() + self.shift * place))
        return columns

    def scan(self) -> Metadata:
        found = self.table()
        order = sorted(range(len(found["id"])), key=found["id"].__getitem__)
        n = len(order)
        examples = pa.table(
            {
                "example_id": pa.array([found["id"][i] for i in order], pa.string()),
                "cluster_id": pa.array([found["unit"][i] for i in order], pa.string()),
                "locator": pa.array([found["id"][i] for i in order], pa.string())
                if self.images
                else pa.nulls(n, pa.string()),
                "bytes": pa.nulls(n, pa.int64()),
                "modified": pa.array([0] * n, pa.int64()),
                "site": pa.array([found["site"][i] for i in order], pa.string()),
                "label": pa.array([found["label"][i] for i in order], pa.string()),
                "x": pa.array([found["x"][i] for i in order], pa.float64()),
            }
        )
        return Metadata(
            examples,
            CONTEXTS.empty_table(),
            REJECTED.empty_table(),
            {"image": Image()} if self.images else {},
            f"sites {self!r}",
            identity="pixels" if self.images else "bytes",
            columns=() if self.images else ("x",),
        )

    def reader(self) -> Callable[[str], Mapping[str, Any]]:
        return self.read

    def read(self, locator: str) -> Mapping[str, Any]:
        seed = int.from_bytes(locator.encode(), "little") % 2**63
        pixels = np.random.default_rng(seed).integers(0, 255, (self.size, self.size))
        return {"image": encode_png(pixels.astype(np.uint8))}
