"""Distances, spaces and the audit on real data, beside controls in which nothing shifted."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

import shiftbench as sb
from shiftbench.cli import main
from shiftbench.statistics import priorities

RESAMPLED = "spectrum:row_spacing=row_mm,column_spacing=column_mm,spacing=0.42"


@pytest.fixture(scope="module")
def radiographs(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Radiographs by detector as a benchmark: trained on 0.168 mm, tested on the others."""
    folder = shared_data / "chest_xray"
    if not folder.is_dir():
        pytest.skip("no chest_xray in the shared data")
    place = tmp_path_factory.mktemp("radiographs")
    with (folder / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (place / "table.csv").open("w") as file:
        writer = csv.DictWriter(file, [*rows[0], "device", "row_mm", "column_mm"])
        writer.writeheader()
        for row in rows:
            pitch = float(row["pixel_spacing_mm"])
            writer.writerow(
                {
                    **row,
                    "device": f"{pitch:.3f} mm",
                    "row_mm": pitch * int(row["original_height"]) / 1024,
                    "column_mm": pitch * int(row["original_width"]) / 1024,
                }
            )
    source = sb.sources.ImageTable(
        str(place / "table.csv"), class_column="finding", tags_column="device",
        tags_separator=";", images=str(folder / "images"), cluster_column="patient",
        drop=("labels",),
    )  # fmt: skip
    both = ("Pneumonia", "No Finding")
    tests = {"0.171": both, "0.143": both[:1], "0.139": both[:1]}
    task = sb.builders.DomainGeneralization(
        "device",
        train={f"{c}(0.168)": ("0.168 mm",) for c in both},
        test={d: {f"{c}({d})": (f"{d} mm",) for c in cs} for d, cs in tests.items()},
    )
    builder = sb.builders.MetaShift(source, classes=both, min_size=10, min_subsets=1, tasks=(task,))
    sb.build(builder, place / "bench", measure=False)
    main(["measure", str(place / "bench"), "--distance", "mmd", "c2st",
          "--space", "pixels", "spectrum", RESAMPLED, "--n-permutations", "199", "--no-subsets",
          "--shift-columns", "pixel_spacing_mm", "original_width", "original_height", "row_mm",
          "column_mm"])  # fmt: skip
    return place / "bench"


def found(where: Path, distance: str, space: str) -> dict[str, dict[str, Any]]:
    return {
        r["target"]: r
        for r in sb.open(where).table("shift_distances").to_pylist()
        if (r["distance"], r["space"]) == (distance, space)
    }


def test_detectors_are_told_apart_and_halves_of_one_are_not(radiographs: Path) -> None:
    spaces = {r["space"] for r in sb.open(radiographs).table("shift_distances").to_pylist()}
    resampled = next(s for s in spaces if s and "row_mm" in s)
    for space in ("spectrum", resampled):
        mmd, c2st = found(radiographs, "mmd", space), found(radiographs, "c2st", space)
        for device in ("0_171", "0_143", "0_139"):
            assert mmd[f"ood_test_{device}"]["p_value"] <= 0.01
            assert c2st[f"ood_test_{device}"]["value"] > 0.75
        assert mmd["validation"]["p_value"] > 0.01
    # Part of what tells 0.171 mm from 0.168 mm is how the release squeezed the pictures.
    native, isotropic = (
        found(radiographs, "c2st", s)["ood_test_0_171"]["value"] for s in ("spectrum", resampled)
    )
    assert isotropic < native


def test_the_audit_finds_what_is_confounded(radiographs: Path) -> None:
    said = {v["target"]: v for v in sb.open(radiographs).manifest.measured["confounding"]}
    assert said["ood_test_0_143"]["verdict"] == said["ood_test_0_139"]["verdict"] == "confounded"
    assert "label (No Finding" in said["ood_test_0_143"]["words"]
    assert "view (AP" in said["ood_test_0_143"]["words"]
    assert said["ood_test_0_171"]["verdict"] == "differs but overlaps"
    card = (radiographs / "README.md").read_text("utf-8")
    assert "confounded with label" in card


def adult(folder: Path) -> pa.Table:
    with gzip.open(folder / "adult.csv.gz") as file:
        options = pa.csv.ConvertOptions(null_values=["?"], strings_can_be_null=True)
        table = pa.csv.read_csv(io.BytesIO(file.read()), convert_options=options)
    return table.drop_columns(["fnlwgt"])


@pytest.mark.parametrize(
    ("column", "a", "b"), [("sex", "Male", "Female"), ("workclass", "Private", "State-gov")]
)
def test_adult(shared_data: Path, column: str, a: str, b: str) -> None:
    if not (shared_data / "adult").is_dir():
        pytest.skip("no adult in the shared data")
    table = adult(shared_data / "adult")
    drawn = np.argsort(priorities(0, "adult", map(str, range(len(table)))))
    table = table.take(np.sort(drawn[:6000]))
    own, other = (table.filter(pa.compute.equal(table[column], v)).drop_columns([column])
                  for v in (a, b))  # fmt: skip
    own, control, other = own.slice(0, 300), own.slice(300, 300), other.slice(0, 300)
    space = "tabular:exclude=income-per-year"
    x, same, far = sb.spaces.embed(space, own, control, other)
    assert np.isfinite(np.concatenate([x, same, far])).all()
    for name in ("mmd", "c2st"):
        shifted = sb.distances.measure(name, x, far, n_permutations=199)
        assert shifted.p_value is not None
        assert shifted.p_value <= 0.01
        calm = sb.distances.measure(name, x, same, n_permutations=199)
        assert calm.p_value is not None
        assert calm.p_value > 0.01
        assert calm.value < shifted.value
    labels = [t["income-per-year"].to_pylist() for t in (own, other)]
    moved = sb.distances.measure("label_tv", *labels, n_permutations=199)
    assert moved.value > 0


def test_arguments_by_topic(shared_data: Path) -> None:
    path = shared_data / "arguments" / "train-full.txt"
    if not path.is_file():
        pytest.skip("no arguments in the shared data")
    options = pa.csv.ParseOptions(delimiter="\t", quote_char=False)
    table = pa.csv.read_csv(path, parse_options=options)
    topics = ("Do We Still Need Libraries?", "Do Colleges Need French Departments?")
    a, b = (table.filter(pa.compute.equal(table["debateTitle"], t)) for t in topics)
    writers = [[i.rpartition("_")[2] for i in t["#id"].to_pylist()] for t in (a, b)]
    texts = [pa.table({"text": t["reason"].cast(pa.string())}) for t in (a, b)]
    x, y = sb.spaces.embed("text", *texts)
    found = sb.distances.measure("mmd", x, y, clusters=tuple(writers), n_permutations=199)
    assert found.p_value is not None
    assert found.p_value <= 0.01
    assert found.n_clusters_source < found.n_source
