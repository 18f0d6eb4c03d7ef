"""How fast phantom radiographs are computed, and their metadata made.

    OMP_NUM_THREADS=1 python performance/phantoms.py [--rounds 5] [--count 20]

Each size computes `count` radiographs a round of all five devices, PA and AP, with and without a
finding, in turn with the other size; one round before warms the tables of transmission, as the
first radiographs of any process do. Prints JSON: radiographs a second of wall and of processor
time (best round), without PNG and with it; seconds of `scan` for 10,000 patients; the process's
peak memory. Promised on one core: at least 10 a second of 512 × 512 and 2 of 1024 × 1024.

    python performance/phantoms.py --sheet docs/phantoms.png

draws the sheet of docs/phantoms.md instead: all five devices, without a finding above, with one
below.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable

import numpy as np
from _measure import interleaved, peak_mb, rounded
from PIL import Image

from shiftbench.sources.phantoms import Phantoms

SIZES = (512, 1024)


def task(source: Phantoms, count: int, png: bool) -> Callable[[], object]:
    read = source.reader() if png else source.decoder()
    locators = source.scan().examples["locator"].to_pylist()[:count]
    return lambda: [read(locator) for locator in locators]


def measured(rounds: int, count: int) -> dict[str, object]:
    sources = {size: Phantoms(n_patients=count, size=size) for size in SIZES}
    tasks = {
        f"{size}{' with PNG' if png else ''}": task(source, count, png)
        for size, source in sources.items()
        for png in (False, True)
    }
    processor: dict[str, list[float]] = {name: [] for name in tasks}

    def timed(name: str) -> Callable[[], object]:
        def run() -> None:
            start = time.process_time()
            tasks[name]()
            processor[name].append(time.process_time() - start)

        return run

    for run in tasks.values():
        run()
    times = interleaved({name: timed(name) for name in tasks}, rounds)
    start = time.perf_counter()
    rows = Phantoms(n_patients=10_000).scan().examples.num_rows
    scan = time.perf_counter() - start
    return {
        "per_second": {name: round(count / min(t), 2) for name, t in times.items()},
        "per_processor_second": {name: round(count / min(t), 2) for name, t in processor.items()},
        "seconds_a_round": rounded(times),
        "scan_10000_patients_seconds": round(scan, 3),
        "scan_rows": rows,
        "peak_mb": peak_mb(os.getpid()),
    }


def sheet(path: str, side: int = 240) -> None:
    source = Phantoms(n_patients=400, size=480, seed=3)
    rows = source.scan().examples.to_pylist()
    decode = source.decoder()
    lines = []
    for finding in ("No Finding", "Opacity"):
        line = []
        for n, device in enumerate(sorted({row["device"] for row in rows})):
            view = "AP" if n % 2 else "PA"
            row = next(
                r for r in rows
                if (r["device"], r["finding"], r["view"]) == (device, finding, view)
            )  # fmt: skip
            grey = (decode(row["locator"]).normalised() * 255).astype(np.uint8)
            line.append(
                np.asarray(Image.fromarray(grey).resize((side, side), Image.Resampling.BOX))
            )
        lines.append(np.hstack(line))
    fewer = np.vstack(lines) // 4 * 4  # values that compress
    Image.fromarray(fewer).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--sheet")
    asked = parser.parse_args()
    if asked.sheet:
        sheet(asked.sheet)
    else:
        print(json.dumps(measured(asked.rounds, asked.count), indent=1))


if __name__ == "__main__":
    main()
