"""A benchmark from a table of ten million rows: peak memory, seconds, rows a second.

Fixed beforehand: a Parquet file of 10 million rows, seed 0, four numbers, three short texts, one
class (and with `--clusters`, households of about four rows). It is built into a training, a
validation and a test split that are exchangeable, and one more test split of the rows in which a
number is high; measured in the default way, sealed and, in a process of its own, verified with its
content. `--builder NAME` takes a builder of the project instead, with its options as JSON.

Prints one JSON object. Peak memory is Linux's VmHWM of the building process alone; the table is
written by another.

    python performance/large_tables.py [--rows 10000000] [--clusters] [--folder DIR]
        [--builder label --options '{"label": "class", ...}']
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _measure import peak_mb, temporary_folder

import shiftbench as sb
from shiftbench.builders.shared.assembly import Held, coded, options_of, split_plan
from shiftbench.builders.shared.division import divide
from shiftbench.builders.shared.labelled import labelled
from shiftbench.plan import ConfigPlan, Plan
from shiftbench.registry import builders, lookup
from shiftbench.schema import ClassLabel, Metadata, Source
from shiftbench.sources import Table

SEED = 0
AT_ONCE = 1_000_000
PLACES = ("north", "south", "east", "west")
WORK = tuple(f"occupation {i}" for i in range(40))
STATES = ("single", "married", "widowed", "divorced")


def make_table(path: Path, rows: int, clusters: bool) -> None:
    """The table, a part at a time."""
    writer = None
    for start in range(0, rows, AT_ONCE):
        rng = np.random.default_rng([SEED, start])
        n = min(AT_ONCE, rows - start)
        x = rng.normal(size=(4, n))
        columns: dict[str, Any] = {f"x{i}": x[i] for i in range(4)}
        for name, levels in (("place", PLACES), ("work", WORK), ("state", STATES)):
            columns[name] = pa.array(levels).take(pa.array(rng.integers(len(levels), size=n)))
        yes = rng.random(n) < 1 / (1 + np.exp(-x[0] - x[1] / 2))
        columns["class"] = pa.array(["no", "yes"]).take(pa.array(yes.astype(np.int64)))
        if clusters:
            columns["household"] = (start + np.arange(n)) // 4
        part = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, part.schema)
        writer.write_table(part)
    assert writer is not None
    writer.close()


@dataclass(frozen=True)
class Halves:
    """Three exchangeable splits, and one of the rows in which `x0` is high."""

    source: Source
    label: str = "class"

    name: ClassVar[str] = "halves"
    version: ClassVar[str] = "1"

    def plan(self, metadata: Metadata, seed: int, excluded: frozenset[str]) -> Plan:
        found = labelled(metadata, self.label, excluded=excluded)
        high = found.examples["x0"].to_numpy() > 1
        parts = divide(found, {"train": 0.6, "validation": 0.1, "id_test": 0.3}, seed, "parts")
        kept = {name: rows[~high[rows]] for name, rows in parts.items()}
        kept["ood_test"] = parts["id_test"][high[parts["id_test"]]]
        shifts = {"ood_test": "covariate"}
        splits = tuple(
            split_plan(
                name,
                name,
                shifts.get(name, "none"),
                rows,
                {"label": coded(found.label.codes[rows])},
            )
            for name, rows in kept.items()
        )
        config = ConfigPlan(
            "halves",
            {"label": ClassLabel(found.label.names)},
            splits,
            notes=Held("P(x) P(y|x)", "P(y|x)", "P(x)", "the rows in which x0 is high").note(),
        )
        return Plan(
            self.name,
            self.version,
            self.recipe(),
            seed,
            found.metadata,
            (config,),
            {},
            excluded,
            found.counts,
        )

    def reader(self, seed: int) -> Callable[[str], Mapping[str, Any]]:
        return self.source.reader()

    def recipe(self) -> Mapping[str, Any]:
        return options_of(self)

    def card(self) -> str:
        return ""


def build_child(options: argparse.Namespace) -> None:
    """Build, and print the seconds of each part and this process's peak memory."""
    cluster = "household" if options.clusters else None
    source = Table(str(options.table), cluster_column=cluster)
    given = json.loads(options.options)
    kind = Halves if options.builder == "halves" else lookup(builders(), options.builder, "builder")
    before = peak_mb(os.getpid())
    start = time.perf_counter()
    bench = sb.build(kind(source=source, **given), options.out, seed=SEED, progress=False)
    seconds = time.perf_counter() - start
    rows = sum(s.rows for c in bench.manifest.configs.values() if c.kind == "task"
               for s in c.splits.values())  # fmt: skip
    print(
        json.dumps(
            {
                "rows_written": rows,
                "imports_mb": before,
                "peak_mb": peak_mb(os.getpid()),
                "seconds": round(seconds, 1),
                "digest": bench.manifest.digest,
            }
        )
    )


def verify_child(options: argparse.Namespace) -> None:
    """Verify with the content, and print the seconds and the peak."""
    start = time.perf_counter()
    sb.open(options.out).verify()
    seconds = round(time.perf_counter() - start, 1)
    print(json.dumps({"verify_peak_mb": peak_mb(os.getpid()), "verify_seconds": seconds}))


def child(what: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What a process of its own prints."""
    command = [sys.executable, __file__, "--child", what, "--builder", options.builder]
    command += ["--options", options.options, "--rows", str(options.rows)]
    command += ["--table", str(folder / "table.parquet"), "--out", str(folder / "out")]
    command += ["--clusters"] if options.clusters else []
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--clusters", action="store_true", help="households of four rows")
    parser.add_argument("--builder", default="halves")
    parser.add_argument("--options", default="{}")
    parser.add_argument("--folder", help="where to make the files; by default the temporary one")
    for hidden in ("--child", "--table", "--out"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        {"build": build_child, "verify": verify_child, "make": make_child}[options.child](options)
        return
    with temporary_folder(options.folder) as folder:
        child("make", options, folder)
        built = child("build", options, folder)
        checked = child("verify", options, folder)
    print(
        json.dumps(
            {
                "measured": "large_tables",
                "rows": options.rows,
                "builder": options.builder,
                "clusters": options.clusters,
                "rows_per_second": round(options.rows / built["seconds"]),
                **built,
                **checked,
            }
        )
    )


def make_child(options: argparse.Namespace) -> None:
    """Write the table."""
    make_table(Path(options.table), options.rows, options.clusters)
    print(json.dumps({"bytes": Path(options.table).stat().st_size}))


if __name__ == "__main__":
    main()
