"""Time and memory of the whole of `Benchmark.evaluate`, from the file to the results.

    python performance/evaluating.py [--models 20]      1 million examples each; prints JSON

One config with `id_test` and `ood_test` of 500,000 examples each, in 20 groups; every row has a
class and a score. The bare scan of the same file stands beside it. Peak memory is of a process of
its own (VmHWM).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _measure import peak_mb, temporary_folder
from predictions import ids, write_manifest

import shiftbench as sb
from shiftbench.schema import ClassLabel, Value
from shiftbench.store.location import Location
from shiftbench.store.manifest import SplitEntry
from shiftbench.store.write import write_table

SEED = 20_241
HALF = 500_000
SPLITS = {"id_test": (0, HALF, "none", "accept"), "ood_test": (HALF, 2 * HALF, "near", "reject")}


def write_benchmark(out: Path) -> None:
    rng = np.random.default_rng(SEED)
    folder = Location(str(out))
    features = {
        "example_id": Value("string"),
        "label": ClassLabel(("a", "b", "c")),
        "cluster_id": Value("string"),
        "group": Value("string"),
    }
    splits = {}
    for name, (start, stop, shift, flag) in SPLITS.items():
        made = ids(start, stop)
        groups = np.array([f"group {i:02}" for i in range(20)])
        table = pa.table(
            {
                "example_id": made,
                "label": pa.array(rng.integers(0, 3, len(made))),
                "cluster_id": made,
                "group": pa.array(groups[rng.integers(0, 20, len(made))]),
            }
        )
        path = f"data/c/{name}-00000-of-00001.parquet"
        write_table(table, features, folder, path)
        splits[name] = SplitEntry(
            rows=len(made), files=[path], digest=f"{start:064x}", role=name, shift=shift, flag=flag
        )
    write_manifest(folder, splits)


def write_predictions(path: Path, models: int) -> None:
    rng = np.random.default_rng(SEED + 1)
    schema = pa.schema(
        [(c, pa.dictionary(pa.int32(), pa.string())) for c in ("model", "split", "prediction")]
        + [("example_id", pa.string()), ("score", pa.float64())]
    )
    classes = pa.array(["a", "b", "c"])
    with pq.ParquetWriter(path, schema, compression="none") as writer:
        for model in range(models):
            for i, (name, (start, stop, *_)) in enumerate(SPLITS.items()):
                n = stop - start
                zeros = pa.array(np.zeros(n, dtype=np.int32))
                columns = [
                    pa.DictionaryArray.from_arrays(zeros, pa.array([f"model-{model:03}"])),
                    pa.DictionaryArray.from_arrays(zeros, pa.array([name])),
                    pa.DictionaryArray.from_arrays(
                        pa.array(rng.integers(0, 3, n).astype(np.int32)), classes
                    ),
                    ids(start, stop),
                    pa.array(rng.normal(i, 1, n)),
                ]
                writer.write_table(pa.table(columns, schema=schema), row_group_size=250_000)


def measured(what: str, bench: str, path: str) -> None:
    """One contender, in this process."""
    before = peak_mb("self")  # type: ignore[arg-type]
    start = time.perf_counter()
    if what == "scan":
        file = pq.ParquetFile(path, read_dictionary=["model", "split", "prediction"])
        numbers = sum(len(batch) for batch in file.iter_batches(131_072))
    else:
        numbers = len(sb.open(bench).evaluate(path).table)
    seconds = time.perf_counter() - start
    peak = peak_mb("self")  # type: ignore[arg-type]
    found = {"seconds": round(seconds, 1), "peak_mb": peak, "before_mb": before, "n": numbers}
    print(json.dumps(found))


def main() -> None:
    if sys.argv[1:2] == ["--measured"]:
        measured(*sys.argv[2:5])
        return
    models = int(sys.argv[sys.argv.index("--models") + 1]) if "--models" in sys.argv else 20
    with temporary_folder(None) as folder:
        write_benchmark(folder / "bench")
        path = folder / "predictions.parquet"
        write_predictions(path, models)
        found: dict[str, object] = {"rows": models * 2 * HALF, "file_mb": path.stat().st_size >> 20}
        for what in ("scan", "evaluate"):
            words = [sys.executable, __file__, "--measured", what, str(folder / "bench"), str(path)]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            found[what] = msgspec.json.decode(done.stdout.splitlines()[-1])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
