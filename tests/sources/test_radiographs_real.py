"""The source of radiographs on the shared real files."""

from __future__ import annotations

import collections
import json
from pathlib import Path

import numpy as np
import pytest

from shiftbench.sources.radiographs import Radiographs


@pytest.fixture(autouse=True)
def _key(tmp_path_factory, monkeypatch) -> None:
    folder = tmp_path_factory.mktemp("key")
    monkeypatch.setenv("SHIFTBENCH_KEY_FILE", str(folder / "k.key"))


def by_file(found) -> dict[str, dict]:
    return {Path(json.loads(r["locator"])["path"]).name: r for r in found.examples.to_pylist()}


def test_dicom_files(shared_data) -> None:
    pytest.importorskip("pydicom")
    source = Radiographs(str(shared_data / "dicom"))
    found = source.scan()
    assert [(r["input"], r["reason"].split(",")[0]) for r in found.rejected.to_pylist()] == [
        ("file 1 of 5", "no manufacturer"),
        ("file 2 of 5", "no file meta information"),
        ("file 3 of 5", "no manufacturer"),
    ]
    rows = by_file(found)
    assert {name: r["device"] for name, r in rows.items()} == {
        "RG1_J2KI.dcm": "Philips THORAVISION",
        "RG3_J2KI.dcm": "FUJIFILM IRS",
    }
    image = source.decoder()(rows["RG1_J2KI.dcm"]["locator"])
    assert image.pixels.shape == (1955, 1841)
    assert image.bits == 15
    assert image.inverted
    assert (rows["RG1_J2KI.dcm"]["kvp"], rows["RG1_J2KI.dcm"]["view"]) == (150, "PA")


def test_dicom_file_without_meta_information(shared_data) -> None:
    pytest.importorskip("pydicom")
    source = Radiographs(str(shared_data / "dicom"), assume_syntax=True, patient_per_image=True)
    row = by_file(source.scan())["CR-MONO1-10-chest"]
    image = source.decoder()(row["locator"])
    assert image.pixels.shape == (440, 440)
    assert image.bits == 10
    assert image.inverted
    # The lungs of this picture are dark, the mediastinum between them is bright.
    shown = image.normalised()
    assert shown[150:250, 200:240].mean() > shown[150:250, 100:140].mean() + 0.1


def test_one_picture_in_both_photometric_interpretations(shared_data, tmp_path) -> None:
    pytest.importorskip("pydicom")
    manifest = tmp_path / "devices.csv"
    names = ["1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm", "Fake_MONOHR1.dcm"]
    manifest.write_text("image,machine\n" + "".join(f"{n},unknown\n" for n in names))
    source = Radiographs(str(shared_data / "dicom"), str(manifest), device_column="machine")
    found = by_file(source.scan())
    first, second = (source.decoder()(found[n]["locator"]) for n in names)
    assert not first.inverted
    assert second.inverted
    assert found[names[0]]["cluster_id"] == found[names[1]]["cluster_id"]
    # The second file is the first with the other interpretation written into its header.
    np.testing.assert_array_equal(first.pixels, second.pixels)
    np.testing.assert_allclose(first.normalised(), 1 - second.normalised(), atol=1e-6)
    assert first.normalised()[400:600, 450:550].mean() > 0.7, "the spine is bright"


def test_chest_xray(shared_data) -> None:
    folder = shared_data / "chest_xray"
    source = Radiographs(
        str(folder),
        str(folder / "manifest.csv"),
        device_column="pixel_spacing_mm",
        spacing_column="pixel_spacing_mm",
        original_rows_column="original_height",
        original_columns_column="original_width",
        released_size=1024,
        keep=("labels",),
    )
    found = source.scan()
    assert found.examples.num_rows == 278
    assert found.rejected.num_rows == 0
    rows = found.examples.to_pylist()
    devices = collections.Counter(r["device"] for r in rows)
    assert devices == {"0.168": 130, "0.171": 80, "0.143": 45, "0.139": 20, "0.194": 3}
    ratios = [r["row_mm"] / r["column_mm"] for r in rows if r["device"] == "0.143"]
    assert abs(np.median(ratios) - 1) < 0.002, "almost all are of the square detector's full size"
    landscape = [
        r for r in rows if (round(r["row_mm"], 3), round(r["column_mm"], 3)) == (0.336, 0.41)
    ]
    assert len(landscape) == 110
    assert {r["device"] for r in landscape} == {"0.168"}
    small = [r for r in rows if r["device"] == "0.139"]
    assert len(small) == 20
    assert len({r["cluster_id"] for r in small}) == 17
    image = source.decoder()(rows[0]["locator"])
    assert image.pixels.shape == (512, 512)
    assert image.bits == 8
    assert not image.inverted
    public = found.examples.drop_columns(["locator"])
    names = [Path(json.loads(r["locator"])["path"]).stem for r in rows]
    assert not any(name in str(public.to_pylist()) for name in names[:5])
