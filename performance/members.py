"""Finding a subset's examples in a large benchmark: `members()` and `load_subset()`.

A benchmark directory with the index of overlaps.py (743,000 memberships of 100,000 examples in
12,868 subsets, Zipf, seed pinned there) and, for each example, a picture of about 1 KB. It is
built through `shiftbench.build()` with a builder of its own that measures nothing. The subsets
asked for are drawn with seed 0.

`members()`: milliseconds of one call, in a process of its own, first call and then median and 99th
percentile. `load_subset()`: against what a user would write who has numpy indices of the subset at
hand, `dataset.select(indices)`, in turns.

Prints one JSON object.

    python performance/members.py [--calls 2000] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from _measure import jpegs, temporary_folder
from overlaps import N_IMAGES, index

import shiftbench as sb
from shiftbench.plan import ConfigPlan, Plan, SplitPlan
from shiftbench.schema import (
    CONTEXTS,
    MEMBERSHIP,
    REJECTED,
    SHIFT_DISTANCES,
    SUBSETS,
    ClassLabel,
    Image,
    ListOf,
    Metadata,
    Value,
)

SEED = 0


@dataclass(frozen=True)
class Small:
    """100,000 examples with one of ten small pictures each."""

    def scan(self) -> Metadata:
        ids = pa.array([f"{i:06d}" for i in range(N_IMAGES)])
        table = pa.table(
            {
                "example_id": ids,
                "cluster_id": ids,
                "locator": ids,
                "bytes": pa.array([1000] * N_IMAGES, pa.int64()),
                "modified": pa.array([0] * N_IMAGES, pa.int64()),
            }
        )
        return Metadata(
            examples=table,
            contexts=CONTEXTS.empty_table(),
            rejected=REJECTED.empty_table(),
            content={"image": Image()},
            fingerprint="0" * 64,
        )

    def reader(self) -> Callable[[str], Mapping[str, Any]]:
        pictures = jpegs(10, SEED, size=32, quality=75)
        return lambda locator: {"image": pictures[int(locator) % 10]}


@dataclass(frozen=True)
class Large:
    """Every example once, the table of subsets, and who is in which."""

    source: Small

    name: ClassVar[str] = "large"
    version: ClassVar[str] = "1"

    def plan(self, metadata: Metadata, seed: int, excluded: frozenset[str]) -> Plan:
        subsets = index()
        order = sorted(range(len(subsets.names)), key=subsets.names.__getitem__)
        sizes = np.diff(subsets.indptr)
        names = pa.array([subsets.names[i] for i in order])
        rows = np.concatenate(
            [subsets.indices[subsets.indptr[i] : subsets.indptr[i + 1]] for i in order]
        )
        which = np.repeat(np.arange(len(order)), sizes[order])
        membership = pa.Table.from_arrays(
            [names.take(pa.array(which)), metadata.examples["example_id"].take(pa.array(rows))],
            schema=MEMBERSHIP,
        )
        by_row = np.lexsort((which, rows))
        ends = pa.array(np.searchsorted(rows[by_row], np.arange(N_IMAGES + 1)), pa.int32())
        every = pa.table(
            {
                "example": np.arange(N_IMAGES),
                "label": pa.array([0] * N_IMAGES, pa.int64()),
                "subset": pa.ListArray.from_arrays(ends, names.take(pa.array(which[by_row]))),
            }
        )
        listed = {
            "subset": names,
            "class": [subsets.classes[i] for i in order],
            "size": sizes[order],
            "kind": ["object"] * len(order),
            "community": [0] * len(order),
        }
        table = pa.Table.from_arrays(
            [pa.array(listed.get(f.name, [None] * len(order)), f.type) for f in SUBSETS],
            schema=SUBSETS,
        )
        images = ConfigPlan(
            name="images",
            features={"label": ClassLabel(("thing",)), "subset": ListOf(Value("string"))},
            splits=(SplitPlan("train", "train", "none", "accept", every),),
            kind="examples",
        )
        return Plan(
            builder=self.name,
            version=self.version,
            recipe={},
            seed=seed,
            metadata=metadata,
            configs=(images,),
            tables={"subsets": table, "membership": membership},
        )

    def recipe(self) -> dict[str, Any]:
        return {}

    def measure(self, plan: Plan) -> tuple[pa.Table, dict[str, Any]]:
        return SHIFT_DISTANCES.empty_table(), {}

    def card(self) -> str:
        return ""


def milliseconds(call: Callable[..., object], *arguments: object) -> float:
    start = time.perf_counter()
    call(*arguments)
    return (time.perf_counter() - start) * 1000


def summary(found: list[float]) -> dict[str, float]:
    return {
        "median_ms": round(float(np.median(found)), 4),
        "p99_ms": round(float(np.percentile(found, 99)), 4),
    }


def measured(folder: str, calls: int) -> dict[str, Any]:
    """Times of the calls on a benchmark that was just opened."""
    start = time.perf_counter()
    bench = sb.open(folder)
    opened = (time.perf_counter() - start) * 1000
    names = bench.table("subsets")["subset"].to_pylist()
    chosen = np.random.default_rng(SEED).choice(names, calls).tolist()
    first = milliseconds(bench.members, chosen[0])
    members = [milliseconds(bench.members, name) for name in chosen]

    first_load = milliseconds(bench.load_subset, chosen[0])
    images = bench.load("images", "train")
    ids = {name: i for i, name in enumerate(images["example_id"])}
    ours, theirs = [], []
    for name in chosen[: calls // 4]:
        indices = np.array([ids[m] for m in bench.members(name)])
        assert bench.load_subset(name)["example_id"] == images.select(indices)["example_id"]
        pair = [(ours, bench.load_subset, name), (theirs, images.select, indices)]
        for found, call, argument in pair[:: -1 if len(ours) % 2 else 1]:
            found.append(milliseconds(call, argument))
    return {
        "measured": "members",
        "memberships": len(bench.membership),
        "subsets": len(names),
        "examples": len(images),
        "open_ms": round(opened, 3),
        "members_first_call_ms": round(first, 3),
        "members": summary(members),
        "load_subset_first_call_ms": round(first_load, 3),
        "load_subset": summary(ours),
        "numpy_select": summary(theirs),
        "load_subset_times_numpy_select": round(float(np.median(ours) / np.median(theirs)), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--folder", help="where to build; by default the temporary folder")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measured(options.child, options.calls)))
        return
    with temporary_folder(options.folder) as folder:
        out = folder / "large"
        sb.build(Large(Small()), out)
        command = [sys.executable, str(Path(__file__)), "--child", str(out)]
        command += ["--calls", str(options.calls)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        print(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
