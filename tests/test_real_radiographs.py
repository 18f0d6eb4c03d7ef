"""The documented X-ray commands on real files: chest_xray, and five DICOM files of many kinds."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.covariance import LedoitWolf

import shiftbench as sb

ROOT = Path(__file__).resolve().parent.parent


def run(*words: object, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "shiftbench.cli", *map(str, words)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def documented(page: str, holds: str) -> list[str]:
    """The words of the one command of a page that holds a text."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
    commands = [c for b in blocks for c in b.replace("\\\n", " ").splitlines() if holds in c]
    [command] = commands
    return shlex.split(command, comments=True)[1:]


@pytest.fixture(scope="module")
def chest(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (shared_data / "chest_xray").is_dir():
        pytest.skip("no chest_xray in the shared data")
    place = tmp_path_factory.mktemp("chest")
    words = documented("docs/xray.md", "--folder chest_xray/images")
    words = [w.replace("chest_xray/", f"{shared_data}/chest_xray/") for w in words]
    words[words.index("--out") + 1] = str(place / "out")
    words[words.index("--patches") + 1] = "16"
    said = run(*words, "--key-file", place / "pseudonyms.key", "--no-measure", "--n-jobs", 2)
    assert "'0.143' cannot be matched" in said
    assert "CONFOUNDED" in said
    return place / "out"


def splits(where: Path) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for name, entry in sb.open(where).manifest.configs["0_168"].splits.items():
        tables = [pq.read_table(where / p) for p in entry.files]
        found[name] = pa.concat_tables(tables).drop_columns(["image"]).to_pylist()
    return found


def test_the_devices_of_chest_xray(chest: Path) -> None:
    config = sb.open(chest).manifest.configs["0_168"]
    assert set(config.splits) == {
        "train", "validation", "id_test", "ood_validation", "ood_test_0_171", "ood_test_0_143",
    }  # fmt: skip
    assert config.notes["matched"] == ["0.171"]
    assert config.notes["not_matched"] == ["0.143"]
    assert config.splits["ood_validation"].title == "0.139"
    assert sb.open(chest).manifest.rejected == 0


def test_chest_xray_has_no_patient_in_two_splits(chest: Path, shared_data: Path) -> None:
    owner: dict[str, set[str]] = {}
    for name, rows in splits(chest).items():
        for row in rows:
            owner.setdefault(row["cluster_id"], set()).add(name)
    assert all(len(names) == 1 for names in owner.values())
    for path in chest.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for image in ("00000061_012", "00002339", "manifest.csv"):
                assert image.encode() not in content


def test_the_matched_test_has_the_findings_and_views_of_the_test_it_is_held_against(
    chest: Path,
) -> None:
    found = splits(chest)

    def shares(name: str) -> dict[Any, float]:
        units = {r["radiograph"]: (r["label"], r["view"]) for r in found[name]}
        return {k: v / len(units) for k, v in Counter(units.values()).items()}

    assert shares("ood_test_0_171") == pytest.approx(shares("id_test"))
    said = {
        v["target"]: v
        for v in sb.open(chest).manifest.measured["confounding"]
        if v["source"] == "id_test"
    }
    assert said["ood_test_0_143"]["verdict"] == "confounded"
    assert said["ood_test_0_171"]["verdict"] != "confounded"
    assert "label" in said["ood_test_0_143"]["words"]
    assert "view" in said["ood_test_0_143"]["words"]


def test_the_pitch_is_that_of_the_squeezed_picture(chest: Path) -> None:
    rows = [r for part in splits(chest).values() for r in part]
    pitches = {(round(r["row_mm"], 3), round(r["column_mm"], 3)) for r in rows
               if r["device"] == "0.168"}  # fmt: skip
    assert (0.336, 0.41) in pitches
    assert (0.41, 0.336) in pitches
    assert {r["bits_stored"] for r in rows} == {8}


def test_a_detector_is_graded_by_radiograph_and_by_number_of_patches(
    chest: Path, tmp_path: Path
) -> None:
    tables = {
        name: pa.concat_tables([pq.read_table(chest / p) for p in entry.files])
        for name, entry in sb.open(chest).manifest.configs["0_168"].splits.items()
    }
    features = sb.spaces.embed("spectrum", *tables.values())
    model = LedoitWolf().fit(features[0])
    parts = [
        t.select(["example_id"])
        .append_column("score", pa.array(model.mahalanobis(x)))
        .append_column("split", pa.array([name] * len(t)))
        for (name, t), x in list(zip(tables.items(), features, strict=True))[1:]
    ]
    pq.write_table(pa.concat_tables(parts), tmp_path / "p.parquet")
    printed = run("evaluate", chest, tmp_path / "p.parquet", "--config", "0_168", "--json")
    rows = json.loads(printed[printed.index("{") :])
    assert "ood_test_0_171" in json.dumps(rows)
    results = sb.open(chest).evaluate(tmp_path / "p.parquet", config="0_168")
    assert "radiograph" in results.text(lines=400)


def test_five_dicom_files_make_no_benchmark_and_say_why(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    if not (shared_data / "dicom").is_dir():
        pytest.skip("no dicom in the shared data")
    words = documented("docs/xray.md", "--folder dicom/ --n-jobs")
    words[words.index("--folder") + 1] = str(shared_data / "dicom")
    words[words.index("--out") + 1] = str(tmp_path / "out")
    said = run(*words, "--key-file", tmp_path / "k.key", code=1)
    assert "fewer than 10 patients" in said
    assert not (tmp_path / "out").exists()
    source = sb.sources.Radiographs(str(shared_data / "dicom"), key_file=str(tmp_path / "k.key"))
    found = source.scan()
    assert sorted(found.examples["device"].to_pylist())[0].startswith("FUJI")
    reasons = found.rejected["reason"].to_pylist()
    assert len(reasons) == 3
    assert all(r["input"].startswith("file ") for r in found.rejected.to_pylist())


def test_the_five_files_read_as_a_metashift_source_too(shared_data: Path, tmp_path: Path) -> None:
    """Whole radiographs are images like any other: PNG of 16 bits, MONOCHROME1 turned round."""
    pytest.importorskip("pydicom")
    if not (shared_data / "dicom").is_dir():
        pytest.skip("no dicom in the shared data")
    source = sb.sources.Radiographs(
        str(shared_data / "dicom"), key_file=str(tmp_path / "k.key"), assume_syntax=True,
        patient_per_image=True,
    )  # fmt: skip
    found = source.scan().examples
    read = source.reader()
    for locator in found["locator"].to_pylist():
        assert read(locator)["image"][:4] == b"\x89PNG"
        whole = source.decoder()(locator).normalised()
        assert 0 <= whole.min() < whole.max() <= 1
        assert np.isfinite(whole).all()
