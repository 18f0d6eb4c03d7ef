"""Reading and joining predictions: against a bare scan of the same file, and peak memory.

    python performance/predictions.py [--rows N] [--models M] [--where DIR]      prints JSON

A benchmark directory without images is made here, of N / M examples, and a Parquet file of N rows
with model, config, split, example_id and score: 100 million rows as 100 models × 1 million
examples; then the same number of rows as one model of one split. Each is read in a process of its
own:

- scan: every column by pyarrow, batch after batch as it does by default (which reads ahead), and
  nothing done with it;
- join: `read_predictions`, which checks and joins all of it;
- auroc: the same, then every block against its labels by sorting (with several models only: on
  100 million examples the sorting, and not the reading, would be what needs memory).

With --shuffled the rows are in no order (fewer of them, since shuffling is done in memory).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _measure import peak_mb, temporary_folder

import shiftbench as sb
from shiftbench.predictions import read_predictions, split_truth
from shiftbench.schema import FORMAT, ClassLabel, Value
from shiftbench.store.location import Location
from shiftbench.store.manifest import (
    ConfigEntry,
    Manifest,
    SplitEntry,
    benchmark_digest,
    config_digest,
    sealed,
)
from shiftbench.store.write import write_table

SEED = 20_240
PART = 5_000_000
GROUP = 1_000_000


def ids(start: int, stop: int) -> pa.Array:
    numbers = pa.array(np.arange(start, stop)).cast(pa.string())
    return pa.compute.binary_join_element_wise(
        "example-", pa.compute.utf8_lpad(numbers, 9, "0"), ""
    )


def write_manifest(folder: Location, splits: dict[str, SplitEntry]) -> None:
    """A benchmark of the one config `c`."""
    config = ConfigEntry(
        kind="task",
        digest=config_digest({n: s.digest for n, s in splits.items()}, {}),
        splits=splits,
    )
    manifest = Manifest(
        format=FORMAT, builder="performance", builder_version="1", recipe={}, seed=0, plan="",
        sources=[], license="", redistributable=True, identity="bytes", content=[],
        configs={"c": config}, files={}, counts={}, rejected=0, versions={},
        digest=benchmark_digest({"c": config}),
    )  # fmt: skip
    folder.write("shift.json", sealed(manifest))


def write_benchmark(out: Path, n: int) -> None:
    """One config with one split of n examples, half of them of each class."""
    folder = Location(str(out))
    features = {"example_id": Value("string"), "label": ClassLabel(("id", "ood"))}
    features["cluster_id"] = Value("string")
    files = []
    for i, start in enumerate(range(0, n, PART)):
        made = ids(start, min(n, start + PART))
        label = pa.array(np.arange(start, start + len(made)) % 2)
        path = f"data/c/id_test-{i:05}.parquet"
        table = pa.table({"example_id": made, "label": label, "cluster_id": made})
        write_table(table, features, folder, path)
        files.append(path)
    split = SplitEntry(rows=n, files=files, digest=f"{n:064x}", role="id_test")
    write_manifest(folder, {"id_test": split})


def write_predictions(path: Path, models: int, n: int, shuffled: bool) -> None:
    rng = np.random.default_rng(SEED)
    schema = pa.schema(
        [(c, pa.dictionary(pa.int32(), pa.string())) for c in ("model", "config", "split")]
        + [("example_id", pa.string()), ("score", pa.float64())]
    )

    def constant(name: str, length: int) -> pa.Array:
        codes = pa.array(np.zeros(length, dtype=np.int32))
        return pa.DictionaryArray.from_arrays(codes, pa.array([name]))

    tables = []
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=["model", "config",
                          "split"]) as writer:  # fmt: skip
        for model in range(models):
            for start in range(0, n, PART):
                made = ids(start, min(n, start + PART))
                names = [constant(v, len(made)) for v in (f"model-{model:04}", "c", "id_test")]
                score = pa.array(rng.normal(size=len(made)))
                table = pa.table([*names, made, score], schema=schema)
                if shuffled:
                    tables.append(table)
                else:
                    writer.write_table(table, row_group_size=GROUP)
        if shuffled:
            whole = pa.concat_tables(tables, promote_options="permissive").unify_dictionaries()
            order = rng.permutation(len(whole))
            for start in range(0, len(whole), PART):
                writer.write_table(
                    whole.take(pa.array(order[start : start + PART])), row_group_size=GROUP
                )


def auroc(score: np.ndarray, positive: np.ndarray) -> float:
    order = np.argsort(score)
    ranks = np.empty(len(score))
    ranks[order] = np.arange(1, len(score) + 1)
    n = int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))


def measured(what: str, bench: str, path: str, scratch: str) -> None:
    """One contender, in this process."""
    before = peak_mb("self")  # type: ignore[arg-type]
    start = time.perf_counter()
    found: dict[str, float] = {}
    if what == "scan":
        file = pq.ParquetFile(path, read_dictionary=["model", "config", "split"])
        rows = sum(len(batch) for batch in file.iter_batches(131_072))
    else:
        opened = sb.open(bench)
        with read_predictions(opened, path, scratch=scratch) as predictions:
            rows = 0
            found["seconds_until_checked"] = round(time.perf_counter() - start, 2)
            for block in predictions:
                assert block.score is not None
                rows += len(block.score)
                if what == "auroc":
                    truth = split_truth(opened, block.config, block.split, columns=[])
                    assert truth.label is not None
                    assert abs(auroc(block.score, truth.label == 1) - 0.5) < 0.05
    seconds = time.perf_counter() - start
    found |= {"seconds": round(seconds, 2), "rows_per_second": round(rows / seconds)}
    found |= {"loaded_mb": before, "peak_mb": peak_mb("self")}  # type: ignore[arg-type]
    print(json.dumps({"rows": rows, **found}))


def contenders(folder: Path, models: int, n: int, shuffled: bool) -> dict[str, object]:
    bench, path = folder / f"bench-{n}", folder / "predictions.parquet"
    if not bench.exists():
        write_benchmark(bench, n)
    write_predictions(path, models, n, shuffled)
    report: dict[str, object] = {"models": models, "examples": n, "shuffled": shuffled}
    report["file_mb"] = round(path.stat().st_size / 1e6)
    found: dict[str, dict[str, float]] = {}
    for what in ("scan", "join", "auroc") if models > 1 else ("scan", "join"):
        command = [sys.executable, __file__, "--measure", what, str(bench), str(path), str(folder)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[what] = json.loads(done.stdout)
    path.unlink()
    ratio = found["join"]["seconds"] / found["scan"]["seconds"]
    return report | found | {"join_times_scan": round(ratio, 2)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--where")
    chosen = parser.parse_args()
    few = max(1, chosen.rows // 10)
    report = {}
    with temporary_folder(chosen.where) as folder:
        n = chosen.rows // chosen.models
        report["many_models"] = contenders(folder, chosen.models, n, False)
        report["shuffled"] = contenders(folder, max(1, few // n), min(n, few), True)
        report["one_split"] = contenders(folder, 1, chosen.rows, False)
        report["one_split_shuffled"] = contenders(folder, 1, few, True)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measured(*sys.argv[2:])
    else:
        main()
