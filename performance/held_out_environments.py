"""Accuracy on a held-out environment: the table of docs/environments.md, from the shared data.

Builds Adult (UCI) with each workclass held out in turn, fits gradient boosting on `train`, prints
the accuracy on `id_test` and `ood_test` with 95 % intervals over people, as JSON. Not speed.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

import shiftbench as sb
from shiftbench.statistics.proportions import share

DATA = Path(os.environ.get("SHIFTBENCH_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


def main() -> None:
    source = sb.sources.Table(
        str(DATA / "adult" / "adult.csv.gz"), missing=("?",), drop=("fnlwgt", "education")
    )
    builder = sb.builders.Environments(
        source, environment="workclass", label="income-per-year", min_clusters=500
    )
    with tempfile.TemporaryDirectory() as folder:
        bench = sb.build(builder, Path(folder) / "out", seed=0, measure=False)
        print(json.dumps({"measured": "held_out_environments", "rows": rows(bench)}, indent=1))


def rows(bench: sb.Benchmark) -> list[dict[str, Any]]:
    tasks = [n for n, c in bench.manifest.configs.items() if c.kind == "task"]
    return [row(bench, config) for config in tasks]


def row(bench: sb.Benchmark, config: str) -> dict[str, Any]:
    parts = {s: bench.load(config, split=s).data.table for s in ("train", "id_test", "ood_test")}
    train, *tests = sb.spaces.embed(
        f"tabular:only={'+'.join(bench.manifest.columns)}",
        *(t.select(bench.manifest.columns) for t in parts.values()),
    )
    labels = {s: np.asarray(t["label"].to_numpy()) for s, t in parts.items()}
    model = HistGradientBoostingClassifier(random_state=0).fit(train, labels["train"])
    found: dict[str, Any] = {"config": config}
    for name, x in zip(("id_test", "ood_test"), tests, strict=True):
        right = share(model.predict(x) == labels[name])
        found[name] = [round(v, 3) for v in (right.value, right.low, right.high)]
    found["share_above_50k"] = [round(float(labels[s].mean()), 2) for s in ("train", "ood_test")]
    return found


if __name__ == "__main__":
    main()
