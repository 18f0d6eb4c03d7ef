"""The X-ray protocol on real radiographs: distances, balance, and OOD AUROC by number of patches.

    python performance/chest_xray.py                      one line of JSON a config and detector
    python performance/chest_xray.py --markdown FILE      also as the tables of docs/xray.md

Takes ../shared/data/chest_xray or $SHIFTBENCH_SHARED_DATA. The pixel spacing stands in for the
device, and the release squeezed every picture, so everything is shown at the pixels as they are
and resampled to square ones of 0.42 mm. At these sizes an AUROC is known to ± 0.10 or worse: this
checks that the protocol runs, and ranks no detector.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

import shiftbench as sb
from shiftbench.measuring.settings import Measurement

DATA = Path(
    os.environ.get("SHIFTBENCH_SHARED_DATA")
    or Path(__file__).resolve().parent.parent.parent / "shared" / "data"
)
PATCHES = 64
COUNTS = (1, 2, 4, 8, 16, 32, 64)
WAYS: dict[str, dict[str, Any]] = {
    "native": {},
    "0.42 mm": {"spacing": 0.42},
    # What 0.143 mm has: no other finding or view. Few patients of 0.168 mm have it.
    "Pneumonia PA": {"only": ("finding=Pneumonia", "view=PA"), "min_patients": 5},
}

Floats = np.ndarray[Any, np.dtype[np.float64]]


class Mahalanobis:
    """Squared Mahalanobis distance, covariance shrunk by Ledoit and Wolf."""

    def fit(self, x: Floats) -> Mahalanobis:
        self.model = LedoitWolf().fit(x)
        return self

    def score_samples(self, x: Floats) -> Floats:
        return -np.asarray(self.model.mahalanobis(x))


class Neighbours:
    """Distance to the tenth neighbour among the training patches."""

    def fit(self, x: Floats) -> Neighbours:
        self.model = NearestNeighbors(n_neighbors=10).fit(x)
        return self

    def score_samples(self, x: Floats) -> Floats:
        return -np.asarray(self.model.kneighbors(x)[0][:, -1])


DETECTORS: dict[str, Callable[[], Any]] = {
    "mahalanobis": Mahalanobis,
    "neighbours": Neighbours,
    "one_class_svm": lambda: make_pipeline(StandardScaler(), OneClassSVM(nu=0.1)),
    "isolation_forest": lambda: IsolationForest(n_estimators=200, random_state=0),
    "local_outlier_factor": lambda: LocalOutlierFactor(n_neighbors=20, novelty=True),
}


def build(out: Path, how: dict[str, Any], key: Path) -> sb.benchmark.Benchmark:
    """The benchmark that docs/xray.md builds on the command line."""
    folder = DATA / "chest_xray"
    source = sb.sources.Radiographs(
        folder=str(folder / "images"),
        manifest=str(folder / "manifest.csv"),
        device_column="pixel_spacing_mm",
        spacing_column="pixel_spacing_mm",
        original_rows_column="original_height",
        original_columns_column="original_width",
        released_size=1024,
        key_file=str(key),
    )
    builder = sb.builders.XrayPatches(
        source, in_distribution=("0.168",), ood_validation="none", patches=PATCHES, **how
    )
    measure = Measurement(
        distances=("mmd", "c2st"), spaces=("spectrum", "pixels"), n_permutations=999, profile=False
    )
    return sb.build(builder, out, n_jobs=2, measure=measure)


def features(bench: sb.benchmark.Benchmark, space: str) -> Iterator[tuple[str, pa.Table, Floats]]:
    """The splits of the one task in a space fitted on training, a small one for the detectors."""
    [config] = [n for n, c in bench.manifest.configs.items() if c.kind == "task"]
    entry = bench.manifest.configs[config]
    tables = {
        s: pa.concat_tables([pq.read_table(f"{bench.url}/{p}") for p in e.files])
        for s, e in entry.splits.items()
    }
    raw = sb.spaces.embed(space, *tables.values())
    small = PCA(n_components=min(30, raw[0].shape[1]), random_state=0).fit(raw[0])
    for (split, table), x in zip(tables.items(), raw, strict=True):
        yield split, table.select(["example_id", "radiograph"]), small.transform(x)


def predictions(bench: sb.benchmark.Benchmark, out: Path) -> Path:
    """A file of the scores of every detector; higher is more OOD."""
    [config] = [n for n, c in bench.manifest.configs.items() if c.kind == "task"]
    splits = list(features(bench, "spectrum"))
    train = splits[0][2]
    rows = []
    for name, make in DETECTORS.items():
        detector = make().fit(train)
        for split, table, x in splits[1:]:
            rows.append(
                table.select(["example_id"])
                .append_column("score", pa.array(-np.asarray(detector.score_samples(x))))
                .append_column("split", pa.array([split] * len(table)))
                .append_column("config", pa.array([config] * len(table)))
                .append_column("model", pa.array([name] * len(table)))
            )
    path = out / "predictions.parquet"
    pq.write_table(pa.concat_tables(rows), path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markdown", type=Path)
    asked = parser.parse_args()
    if not (DATA / "chest_xray").is_dir():
        sys.exit("no chest_xray in the shared data: see the head of this script")
    with tempfile.TemporaryDirectory() as place:
        # The split follows the pseudonyms: of public data, the same ones each time.
        (Path(place) / "pseudonyms.key").write_text("0" * 64)
        lines = [line for how in WAYS for line in measured(Path(place), how)]
    for line in lines:
        print(json.dumps(line))
    if asked.markdown:
        asked.markdown.write_text("\n".join(markdown(lines)) + "\n", "utf-8")


def measured(place: Path, how: str) -> Iterator[dict[str, Any]]:
    """What there is to report of one way to cut."""
    folder = place / how.replace(" ", "_")
    bench = build(folder, WAYS[how], place / "pseudonyms.key")
    for row in bench.table("shift_distances").to_pylist():
        yield {"how": how, "what": "distance"} | {
            k: row[k]
            for k in ("source", "target", "distance", "space", "value", "low", "high", "p_value",
                      "n_clusters_target")
        }  # fmt: skip
    for verdict in bench.manifest.measured["confounding"]:
        if verdict["source"] == "id_test":
            yield {"how": how, "what": "audit"} | {k: verdict[k] for k in ("target", "words")}
    [task] = [c for c in bench.manifest.configs.values() if c.kind == "task"]
    yield {"how": how, "what": "notes"} | {
        k: task.notes.get(k)
        for k in ("groups", "patients", "matched", "not_matched", "patches_as_good_as_disjoint")
    }
    results = bench.evaluate(predictions(bench, folder.parent), patches=COUNTS)
    wanted = ("auroc", "auroc_by_radiograph", "effective_patches_by_radiograph")
    for row in results.table.to_pylist():
        if row["metric"] in wanted:
            kept = ("model", "split", "metric", "value", "low", "high", "n", "n_clusters")
            yield {"how": how, "what": "metric"} | {k: row[k] for k in kept}
    for row in results.curves.to_pylist():
        if row["curve"] == "auroc_against_patches":
            kept = ("model", "series", "x", "y", "low", "high")
            yield {"how": how, "what": "curve"} | {k: row[k] for k in kept}


def markdown(lines: list[dict[str, Any]]) -> Iterator[str]:
    """The tables of docs/xray.md."""
    tests = sorted({x["series"] for x in lines if x["what"] == "curve"})
    for test in tests:
        yield f"\n`{test}`, AUROC by radiograph from so many patches of each:\n"
        yield "| detector | pixels | " + " | ".join(map(str, COUNTS)) + " |"
        yield "|" + " --- |" * (len(COUNTS) + 2)
        for model in DETECTORS:
            for how in WAYS:
                points = {
                    x["x"]: f"{x['y']:.2f} [{x['low']:.2f}, {x['high']:.2f}]"
                    for x in lines
                    if x["what"] == "curve"
                    and (x["how"], x["model"], x["series"]) == (how, model, test)
                }
                if not points:
                    continue
                cells = [points[n] for n in COUNTS]
                yield f"| {model.replace('_', ' ')} | {how} | " + " | ".join(cells) + " |"
    yield "\n| target | space | distance | " + " | ".join(WAYS) + " |"
    yield "|" + " --- |" * (3 + len(WAYS))
    found = {
        (x["target"], x["space"], x["distance"], x["how"]): x
        for x in lines
        if x["what"] == "distance" and x["distance"] in ("mmd", "c2st")
    }
    for target, space, distance in sorted({k[:3] for k in found}):
        cells = []
        for how in WAYS:
            x = found.get((target, space, distance, how))
            if x is None:
                cells.append("")
                continue
            told = x["low"] is not None and x["high"] is not None
            within = f" [{x['low']:.3g}, {x['high']:.3g}]" if told else ""
            cells.append(f"{x['value']:.3g}{within}, p {x['p_value']:.2g}")
        yield f"| `{target}` | {space} | {distance} | " + " | ".join(cells) + " |"
    yield ""
    for x in lines:
        if x["what"] == "audit" and x["how"] != "0.42 mm" and x["target"] != "validation":
            yield f"- {x['how']}, `id_test` → `{x['target']}`: {x['words']}"


if __name__ == "__main__":
    main()
