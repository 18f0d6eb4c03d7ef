"""Interleaving environments: against plain iteration of the same rows by `datasets`.

    python performance/interleaving.py [--images 8000] [--rounds 3]       prints JSON

JPEGs of about 24 KB in four environments, which stand one after the other in the files or in
disorder; as many examples are drawn as the split has, with and without decoding, one by one and in
batches of 100. "datasets" reads them in the order of the files; "interleave_datasets" is what it
has for the same purpose: one stream filtered for each environment, shuffled in a buffer of 1,000
(timed on bytes, one by one, alone: its filters decode what they need not).
Ratios are of processor time, so that other programs do not count; wall seconds stand beside.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from _measure import interleaved, jpegs, numbered, peak_mb, ratio, rounded, temporary_folder

SITES = ("a", "b", "c", "d")
PICTURES = 50


@dataclass(frozen=True)
class Made:
    n: int
    scattered: bool

    def scan(self) -> Any:
        from shiftbench.schema import CONTEXTS, REJECTED, Image, Metadata

        site = [SITES[i % 4 if self.scattered else 4 * i // self.n] for i in range(self.n)]
        ids = [f"{i:08}" for i in range(self.n)]
        examples = pa.table(
            {
                "example_id": ids,
                "cluster_id": ids,
                "locator": ids,
                "bytes": pa.array([24_000] * self.n, pa.int64()),
                "modified": pa.array([0] * self.n, pa.int64()),
                "label": [("cat", "dog")[i // 4 % 2] for i in range(self.n)],
                "site": site,
            }
        )
        none = (CONTEXTS.empty_table(), REJECTED.empty_table())
        return Metadata(examples, *none, {"image": Image()}, f"{self.n} {self.scattered}")

    def reader(self) -> Callable[[str], Mapping[str, Any]]:
        found = jpegs(PICTURES, 0)
        return lambda locator: {"image": numbered(found[int(locator) % PICTURES], int(locator))}


def exhausted(stream: Any, batch: int | None) -> int:
    if batch is None:
        return sum(1 for _ in stream)
    return sum(len(b["example_id"]) for b in stream.iter(batch_size=batch))


def timed(stream: Any, batch: int | None, cpu: list[float]) -> None:
    start = time.process_time()
    exhausted(stream, batch)
    cpu.append(time.process_time() - start)


def by_datasets(stream: Any) -> Any:
    import datasets

    parts = [
        stream.filter(lambda e, site=site: e == site, input_columns="environment").shuffle(
            seed=0, buffer_size=1000
        )
        for site in SITES[:3]
    ]
    return datasets.interleave_datasets(
        parts, probabilities=[1 / 3] * 3, seed=0, stopping_strategy="all_exhausted"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=8000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder")
    chosen = parser.parse_args()
    report: dict[str, Any] = {"images": chosen.images, "environments": len(SITES)}
    with temporary_folder(chosen.folder) as folder:
        for layout in ("in_blocks", "scattered"):
            report[layout] = compared(chosen, folder / layout, layout == "scattered")
    report["peak_mb"] = peak_mb(os.getpid())
    print(json.dumps(report, indent=2))


def compared(chosen: argparse.Namespace, out: Path, scattered: bool) -> dict[str, Any]:
    import datasets

    import shiftbench as sb

    builder = sb.builders.Environments(
        Made(chosen.images, scattered), environment="site", design="given",
        held_out=("d",), ood_validation="none", validation=0.0, test=0.01,
    )  # fmt: skip
    bench = sb.build(builder, out, checks="off", measure=False)
    raw = datasets.Image(decode=False)
    found: dict[str, Any] = {"rows": bench.manifest.configs["given"].splits["train"].rows}
    for decoded in (False, True):
        for batch in (None, 100):
            streams = {
                "interleave": bench.interleave("given"),
                "datasets": bench.load("given", "train", streaming=True),
            }
            if not decoded:
                streams = {n: s.cast_column("image", raw) for n, s in streams.items()}
            if not decoded and batch is None:
                other = by_datasets(streams["datasets"]).take(found["rows"])
                streams["interleave_datasets"] = other
            cpu: dict[str, list[float]] = {name: [] for name in streams}
            runs = {name: partial(timed, s, batch, cpu[name]) for name, s in streams.items()}
            times = interleaved(runs, chosen.rounds)
            name = f"{'decoded' if decoded else 'bytes'}_{'one_by_one' if batch is None else batch}"
            found[name] = {
                **{f"times_{n}": ratio(cpu, "interleave", n) for n in streams if n != "interleave"},
                "rows_a_processor_second": round(found["rows"] / min(cpu["interleave"])),
                "processor_seconds": rounded(cpu),
                "wall_seconds": rounded(times),
            }
    return found


if __name__ == "__main__":
    main()
