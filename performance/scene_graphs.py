"""Reading scene graphs, against what a user would write instead: json.load.

    python performance/scene_graphs.py [--megabytes 150] [--repeat 5]

Writes a file in GQA's form (numpy generator, seed 0; names drawn by Zipf's law with exponent 0.9
among 1,700, attributes evenly among 600, 4 to 30 objects an image, 0 to 12 relations an object)
to a temporary folder. Times three ways in turn, each in a process of its own, whose peak resident
memory is its own too, and prints JSON:

- ``json_load``: the standard library, which leaves plain dicts;
- ``read``: `SceneGraphs` reading the file: bytes, hash, typed decoding, names as codes;
- ``scan``: the same and all that a scan makes of it: the table of contexts and of examples.

Seconds are the fastest of the repetitions and leave out the start of Python and imports; memory is
that of the whole process. Processor seconds stand beside them, because other work on the machine
slows ``read``, which hashes on a second thread, more than json.load. Promised: ``read`` at least 5
times as fast as json.load, ``read`` and ``scan`` with at most a third of its memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WAYS = ("json_load", "read", "scan")


def generate(path: Path, megabytes: int, seed: int = 0) -> dict[str, int]:
    """Write images until the file has the wanted size."""
    import numpy as np

    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, 1701) ** 0.9
    cumulative = np.cumsum(weights / weights.sum())
    images = objects = written = 0
    with path.open("w", encoding="utf-8") as out:
        out.write("{")
        while written < megabytes * 1_000_000:
            n = int(rng.integers(4, 31))
            ids = [str(1_000_000 + images * 40 + j) for j in range(n)]
            names = np.searchsorted(cumulative, rng.random(n)).tolist()
            boxes = rng.integers(0, 500, (n, 4)).tolist()
            held = {}
            for j, (x, y, w, h) in enumerate(boxes):
                others = rng.integers(0, n, rng.integers(0, 13)).tolist()
                marks = rng.integers(0, 600, rng.integers(0, 3)).tolist()
                held[ids[j]] = {
                    "name": f"object {names[j]}",
                    "h": h,
                    "relations": [{"object": ids[t], "name": "to the left of"} for t in others],
                    "w": w,
                    "attributes": ["red", "large"][: len(marks) % 3] + [f"mark {m}" for m in marks],
                    "y": y,
                    "x": x,
                }
            image: dict[str, Any] = {"width": 640, "objects": held, "height": 480}
            if rng.random() < 0.2:
                image["location"] = "outdoors"
            if rng.random() < 0.1:
                image["weather"] = "clear"
            text = f'{", " if images else ""}"{2_300_000 + images}": {json.dumps(image)}'
            written += out.write(text)
            images += 1
            objects += n
        out.write("}")
    return {"bytes": path.stat().st_size, "images": images, "objects": objects}


def once(way: str, path: str) -> dict[str, float]:
    """One measurement, in this process."""
    if way == "json_load":
        start, cpu = time.perf_counter(), time.process_time()
        with Path(path).open(encoding="utf-8") as stream:
            result: Any = json.load(stream)
    elif way == "read":
        from shiftbench.sources._files import read_annotations
        from shiftbench.sources._gqa import Gathered
        from shiftbench.sources.scene_graphs import SceneGraphs, _presence

        start, cpu = time.perf_counter(), time.process_time()
        data, digest = read_annotations(path)
        result = Gathered(_presence(SceneGraphs(()).attributes))
        result.read(path, data, lambda key: True)
        digest.result()
    else:
        from shiftbench.sources.scene_graphs import SceneGraphs

        start, cpu = time.perf_counter(), time.process_time()
        result = SceneGraphs((path,)).scan()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    del result
    # Linux counts in kilobytes, macOS in bytes.
    unit = 1_000_000 if sys.platform == "darwin" else 1_000_000 / 1024
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=150, help="size of the file")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions of each way")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(once(options.way, options.path)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sceneGraphs.json")
        report: dict[str, Any] = {"file": generate(path, options.megabytes), "seed": 0}
        runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(options.repeat):
            for way in WAYS:
                command = [sys.executable, __file__, "--way", way, "--path", str(path)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                runs[way].append(json.loads(done.stdout))
    for way, found in runs.items():
        report[way] = {
            "seconds": round(min(r["seconds"] for r in found), 3),
            "cpu_seconds": round(min(r["cpu_seconds"] for r in found), 3),
            "peak_mb": round(max(r["peak_mb"] for r in found), 1),
        }
    base = report["json_load"]
    report["ratios"] = {
        f"{way}_{what}": round(value, 3)
        for way in ("read", "scan")
        for what, value in (
            ("times_as_fast", base["seconds"] / report[way]["seconds"]),
            ("times_as_fast_cpu", base["cpu_seconds"] / report[way]["cpu_seconds"]),
            ("share_of_memory", report[way]["peak_mb"] / base["peak_mb"]),
        )
    }
    ratios = report["ratios"]
    report["promised"] = {
        "read at least 5 times as fast": ratios["read_times_as_fast"] >= 5,
        "read with at most a third of the memory": ratios["read_share_of_memory"] <= 1 / 3,
        "scan with at most a third of the memory": ratios["scan_share_of_memory"] <= 1 / 3,
    }
    report["python"] = sys.version.split()[0]
    report["cores"] = os.cpu_count()
    report["load_average"] = [round(x, 1) for x in os.getloadavg()]
    json.dump(report, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
