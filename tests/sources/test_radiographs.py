"""The source of radiographs: manifests, the BIMCV layout, pseudonyms, and what never leaves."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import logging
import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shiftbench.errors import ConfigurationError, ContentError, MissingExtraError, SourceError
from shiftbench.pseudonyms import open_key
from shiftbench.radiograph import ACQUISITION_COLUMNS, PERSON_COLUMNS, RadiographSource, grey_png
from shiftbench.schema import PRIVATE_COLUMNS, REJECTED, Source
from shiftbench.sources._bimcv import one_name_a_person
from shiftbench.sources._device_names import device_name
from shiftbench.sources._radiograph_header import age_in_years, number, sex_of, view_of
from shiftbench.sources._radiograph_join import join, kept_columns
from shiftbench.sources._radiograph_manifest import Names, _lines, _row
from shiftbench.sources.radiographs import Radiographs

PUBLIC = {"example_id", "cluster_id", *ACQUISITION_COLUMNS, *PERSON_COLUMNS}


@pytest.fixture(autouse=True)
def _key(tmp_path_factory, monkeypatch) -> None:
    folder = tmp_path_factory.mktemp("key")
    monkeypatch.setenv("SHIFTBENCH_KEY_FILE", str(folder / "k.key"))


def picture(seed: int = 0, kind: type = np.uint8, size: int = 24) -> bytes:
    rng = np.random.default_rng(seed)
    return grey_png(rng.integers(0, np.iinfo(kind).max, (size, size + 8), kind, endpoint=True))


def collection(folder: Path, rows: list[dict[str, Any]], images: dict[str, bytes]) -> dict:
    """Write images and a manifest; gives the first options of the source."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    with (folder / "list.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return {"folder": str(folder), "manifest": str(folder / "list.csv")}


def by_file(source: Radiographs, table: pa.Table | None = None) -> dict[str, dict]:
    table = source.scan().examples if table is None else table
    return {Path(json.loads(r["locator"])["path"]).name: r for r in table.to_pylist()}


def rejected(source: Radiographs) -> list[tuple[str, str]]:
    found = source.scan().rejected
    assert found.schema == REJECTED
    return [(r["input"], r["reason"]) for r in found.to_pylist()]


ROWS = [
    {"image": "a.png", "patient": "7", "age": "58", "sex": "F", "view": "PA", "finding": "none"},
    {"image": "b.png", "patient": "7", "age": "91", "sex": "m", "view": "up", "finding": "edema"},
    {"image": "c.png", "patient": "8", "age": "x", "sex": "?", "view": "ap", "finding": ""},
]
IMAGES = {f"{n}.png": picture(k) for k, n in enumerate("abc")}


def test_manifest(tmp_path) -> None:
    source = Radiographs(**collection(tmp_path, ROWS, IMAGES))
    assert isinstance(source, Source)
    assert isinstance(source, RadiographSource)
    found = source.scan()
    ids = found.examples["example_id"].to_pylist()
    assert ids == sorted(ids)
    assert len(set(ids)) == 3
    assert found.fingerprint
    assert found.identity == "pixels"
    assert found.rejected.num_rows == 0
    rows = by_file(source, found.examples)
    said = [(r["age"], r["sex"], r["view"], r["finding"]) for _, r in sorted(rows.items())]
    assert said == [(58, "F", "PA", "none"), (90, "M", None, "edema"), (None, None, "AP", None)]
    assert rows["a.png"]["cluster_id"] == rows["b.png"]["cluster_id"] != rows["c.png"]["cluster_id"]
    key = open_key()
    assert rows["a.png"]["cluster_id"] == "p" + key.name("patient", "7")
    assert rows["a.png"]["example_id"] == "r" + key.name("radiograph", "a.png")
    assert rows["a.png"]["bytes"] == len(IMAGES["a.png"])
    assert rows["a.png"]["modified"] > 0
    assert (rows["a.png"]["rows"], rows["a.png"]["columns"]) == (24, 32)
    assert set(found.examples.column_names) <= PUBLIC | set(PRIVATE_COLUMNS)
    assert "device" not in found.examples.column_names


def test_column_types_do_not_depend_on_the_data(tmp_path) -> None:
    rows = [{**ROWS[0], "spacing": "0.2"}]
    source = Radiographs(**collection(tmp_path, rows, IMAGES), spacing_column="spacing")
    schema = source.scan().examples.schema
    assert schema.field("age").type == schema.field("rows").type == pa.int64()
    assert schema.field("row_mm").type == pa.float64()
    assert schema.field("sex").type == pa.string()


def test_decoder_and_reader_survive_pickling(tmp_path) -> None:
    source = Radiographs(**collection(tmp_path, ROWS, IMAGES))
    source = pickle.loads(pickle.dumps(source))
    locator = by_file(source)["a.png"]["locator"]
    decode, read = pickle.loads(pickle.dumps((source.decoder(), source.reader())))
    image = decode(locator)
    np.testing.assert_array_equal(image.pixels, np.asarray(Image.open(io.BytesIO(IMAGES["a.png"]))))
    shown = np.asarray(Image.open(io.BytesIO(read(locator)["image"])))
    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(shown, image.pixels)


def test_sixteen_bits_and_bits_column(tmp_path) -> None:
    pixels = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    bits = {"a.png": 12, "b.png": 11, "c.png": ""}
    rows = [{"image": name, "patient": 1, "bits": b} for name, b in bits.items()]
    options = collection(tmp_path, rows, {f"{n}.png": grey_png(pixels) for n in "abc"})
    source = Radiographs(**options, bits_column="bits")
    found = by_file(source)
    image = {name: source.decoder()(row["locator"]) for name, row in found.items()}
    assert image["a.png"].bits == 12
    assert image["a.png"].normalised().max() == 1
    assert image["b.png"].bits == 16, "values above 11 bits: the file's own depth counts"
    assert image["c.png"].bits == found["c.png"]["bits_stored"] == 16
    shown = Image.open(io.BytesIO(source.reader()(found["a.png"]["locator"])["image"]))
    assert shown.mode.startswith("I;16")
    assert np.asarray(shown).max() == 65535


def test_colours(tmp_path) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    alike = np.stack([grey, grey, grey, 255 - grey], -1)
    images = {}
    for name, image in {
        "rgba.png": Image.fromarray(alike, "RGBA"),
        "rgb.png": Image.fromarray(alike[..., :3].copy(), "RGB"),
        "la.png": Image.fromarray(alike[..., 2:].copy(), "LA"),
        "palette.png": Image.fromarray(grey).convert("P"),
        "colour.png": Image.fromarray(alike[..., 1:].copy(), "RGB"),
    }.items():
        images[name] = io.BytesIO()
        image.save(images[name], "PNG")
    files = {name: file.getvalue() for name, file in images.items()}
    rows = [{"image": name, "patient": 1} for name in files]
    source = Radiographs(**collection(tmp_path, rows, files))
    for name, row in by_file(source).items():
        if name == "colour.png":
            with pytest.raises(ContentError, match="colour"):
                source.decoder()(row["locator"])
        else:
            np.testing.assert_array_equal(source.decoder()(row["locator"]).pixels, grey)


def test_images_that_cannot_be_used(tmp_path) -> None:
    cut = picture(1, size=200)
    cmyk = io.BytesIO()
    Image.new("CMYK", (9, 9)).save(cmyk, "JPEG")
    bad = {"text.png": b"no image", "empty.png": b"", "cmyk.jpg": cmyk.getvalue()}
    images = {**bad, "a.png": IMAGES["a.png"], "flat.png": grey_png(np.zeros((9, 9), np.uint8)),
              "cut.png": cut[: len(cut) // 2]}  # fmt: skip
    rows = [{"image": name, "patient": 1} for name in images]
    source = Radiographs(**collection(tmp_path, rows, images))
    reasons = dict(rejected(source))
    assert len(reasons) == 3
    assert all(k.endswith(" of 6") for k in reasons)
    assert "mode CMYK" in reasons["file 2 of 6"]
    assert "no PNG or JPEG" in reasons["file 6 of 6"]
    found = by_file(source)
    with pytest.raises(ContentError, match="constant: every pixel is black"):
        source.decoder()(found["flat.png"]["locator"])
    with pytest.raises(ContentError, match="cannot be decoded"):
        source.decoder()(found["cut.png"]["locator"])
    with pytest.raises(ContentError, match="none of a radiograph"):
        source.decoder()("a.png")


def test_rows_and_files_that_do_not_meet(tmp_path) -> None:
    rows = [*ROWS, {**ROWS[0], "image": "gone.png"}, {**ROWS[0], "image": "b.png"},
            {**ROWS[0], "image": "twin.png"}, {**ROWS[0], "image": ""}]  # fmt: skip
    images = {
        **IMAGES,
        "unnamed.png": picture(9),
        "x/twin.png": picture(5),
        "y/twin.png": picture(6),
    }
    source = Radiographs(**collection(tmp_path, rows, images))
    found = source.scan()
    assert found.counts == {"rows_without_file": 1, "files_without_row": 3}
    assert set(by_file(source, found.examples)) == {"a.png", "c.png"}
    assert rejected(source) == [
        ("file 2 of 6", "2 rows of the manifest name it (rows 2, 5); which is right is unknown"),
        ("row 7 of the manifest", "no file is named"),
        ("row 6 of the manifest", "2 files have the name; give the path below --folder"),
    ]


def test_manifest_of_other_files(tmp_path) -> None:
    options = collection(tmp_path, [{**ROWS[0], "image": "gone.png"}], IMAGES)
    with pytest.raises(SourceError, match="none of the 1 files that the manifest names"):
        Radiographs(**options).scan()


def test_paths_of_other_systems(tmp_path) -> None:
    images = {"sub/a.png": IMAGES["a.png"], "other/a.png": IMAGES["b.png"]}
    rows = [{"image": "sub\\a.png", "patient": 1}, {"image": "./other/a.png", "patient": 2}]
    assert Radiographs(**collection(tmp_path, rows, images)).scan().examples.num_rows == 2


def test_patients_are_needed(tmp_path) -> None:
    rows = [{k: v for k, v in r.items() if k != "patient"} for r in ROWS]
    options = collection(tmp_path, rows, IMAGES)
    with pytest.raises(ConfigurationError, match=r"--patient-column.*--patient-per-image"):
        Radiographs(**options).scan()
    found = Radiographs(**options, patient_per_image=True).scan()
    assert len(set(found.examples["cluster_id"].to_pylist())) == 3


def test_row_without_patient(tmp_path) -> None:
    options = collection(tmp_path, [{**ROWS[0], "patient": " "}, *ROWS[1:]], IMAGES)
    assert ["--patient-per-image" in r for _, r in rejected(Radiographs(**options))] == [True]
    assert Radiographs(**options, patient_per_image=True).scan().examples.num_rows == 3


def test_missing_columns(tmp_path) -> None:
    options = collection(tmp_path, ROWS, IMAGES)
    with pytest.raises(ConfigurationError, match="did you mean 'finding'") as caught:
        Radiographs(**options, finding_column="Findings").scan()
    assert "--finding-column" in str(caught.value)
    with pytest.raises(ConfigurationError, match="none is called alike"):
        Radiographs(**options, device_column="xyz").scan()
    with pytest.raises(ConfigurationError, match="--keep"):
        Radiographs(**options, keep=("labels",)).scan()
    (tmp_path / "list.csv").write_text("a.png,Zweistein,1947-03-12\nb.png,Zweistein,x\n")
    with pytest.raises(ConfigurationError, match="no column 'image'") as caught:
        Radiographs(**options).scan()
    assert "Zweistein" not in str(caught.value)


ORIGINAL = {"original_rows_column": "h", "original_columns_column": "w"}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"layout": "dicoms"}, "layout="),
        ({"intent": "x"}, "intent="),
        ({"modalities": ()}, "modalities is empty"),
        ({"released_size": 1024}, "belong together"),
        ({"released_size": 1024, "original_rows_column": "h"}, "belong together"),
        (ORIGINAL, "belong together"),
        ({"released_size": 0, **ORIGINAL}, "whole number above"),
        ({"released_size": 9, **ORIGINAL}, "pitch"),
        ({"row_spacing_column": "s"}, "or both"),
        ({"row_spacing_column": "s", "column_spacing_column": "t", "spacing_column": "u"}, "both"),
        ({"keep": ("device",)}, "would take the place"),
        ({"keep": ("patient",)}, "never leave"),
        ({"keep": ("age", "x")}, "would take the place"),
        ({"device_column": "patient"}, "name another one"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(tmp_path, wrong, words) -> None:
    options = collection(tmp_path, ROWS, IMAGES)
    with pytest.raises(ConfigurationError, match=words):
        Radiographs(**options, **wrong).scan()


def test_manifest_layout_needs_one(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="--manifest"):
        Radiographs(str(tmp_path), layout="manifest").scan()


@pytest.mark.parametrize("content", [b"", b"image,patient\n", b'image,patient\na.png,"7\n', b"\0"])
def test_manifest_that_is_none(tmp_path, content) -> None:
    options = collection(tmp_path, ROWS, IMAGES)
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(SourceError, match="the manifest"):
        Radiographs(**options).scan()


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_and_ragged_rows(tmp_path, delimiter) -> None:
    options = collection(tmp_path, ROWS, IMAGES)
    lines = ["\ufeffimage,patient,finding", "a.png,7,none", "b.png,7", "", "c.png,8,none"]
    text = "\r\n".join(lines).replace(",", delimiter)
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    source = Radiographs(**options)
    assert source.scan().examples.num_rows == 2
    assert rejected(source) == [
        ("row 2 of the manifest", "2 cells, where the first line names 3 columns")
    ]


def test_folder_that_is_not_there_or_empty(tmp_path) -> None:
    with pytest.raises(SourceError, match="not there") as caught:
        Radiographs(str(tmp_path / "Zweistein")).scan()
    assert "Zweistein" not in str(caught.value)
    with pytest.raises(SourceError, match="holds no file"):
        Radiographs(str(tmp_path)).scan()


def test_effective_spacing(tmp_path) -> None:
    rows = [{"image": "a.png", "patient": 1, "w": 2500, "h": 2048, "mm": 0.168},
            {"image": "b.png", "patient": 1, "w": "", "h": 2048, "mm": 0.168},
            {"image": "c.png", "patient": 1, "w": 2500, "h": 2048, "mm": "n/a"}]  # fmt: skip
    options = collection(tmp_path, rows, IMAGES)
    source = Radiographs(
        **options, **ORIGINAL, spacing_column="mm", released_size=1024, device_column="mm"
    )
    found = by_file(source)
    pitch = found["a.png"]["row_mm"], found["a.png"]["column_mm"]
    assert pitch == pytest.approx((0.336, 0.41016), abs=1e-4)
    assert found["b.png"]["column_mm"] is None
    assert found["c.png"]["row_mm"] is None
    assert [found[f"{n}.png"]["device"] for n in "abc"] == ["0.168", "0.168", "n/a"]
    image = source.decoder()(found["a.png"]["locator"])
    assert (image.row_mm, image.column_mm) == (
        found["a.png"]["row_mm"],
        found["a.png"]["column_mm"],
    )
    plain = by_file(Radiographs(**options, row_spacing_column="mm", column_spacing_column="mm"))
    assert (plain["a.png"]["row_mm"], plain["a.png"]["column_mm"]) == (0.168, 0.168)


def test_empty_device_cell(tmp_path) -> None:
    rows = [{**ROWS[0], "machine": " 'Siemens  Healthineers' "}, {**ROWS[1], "machine": ""}]
    source = Radiographs(**collection(tmp_path, rows, IMAGES), device_column="machine")
    assert by_file(source)["a.png"]["device"] == "SIEMENS"
    assert [r[0] for r in rejected(source)] == ["file 2 of 3"]


def test_kept_columns(tmp_path) -> None:
    rows = [{**r, "dose": d, "ward": w, "name": "Zweistein"}
            for r, d, w in zip(ROWS, ("1", "2.5", ""), ("A", "3", ""), strict=True)]  # fmt: skip
    options = collection(tmp_path, rows, IMAGES)
    found = Radiographs(**options, keep=("dose", "ward")).scan().examples
    assert found.schema.field("dose").type == pa.float64()
    assert sorted(map(str, found["ward"].to_pylist())) == ["3", "A", "None"]
    assert "name" not in found.column_names


def test_free_text_is_no_finding(tmp_path) -> None:
    source = Radiographs(
        **collection(tmp_path, [{**ROWS[0], "finding": "Zweistein " * 30}, ROWS[1]], IMAGES)
    )
    ((place, why),) = rejected(source)
    assert place == "row 1 of the manifest"
    assert "free text" in why
    assert "Zweistein" not in why


def test_fingerprint(tmp_path) -> None:
    options = collection(tmp_path / "in", ROWS, IMAGES)
    one = Radiographs(**options).scan()
    assert Radiographs(**options, layout="manifest").scan().fingerprint == one.fingerprint
    moved = collection(tmp_path / "moved", ROWS, dict(reversed(IMAGES.items())))
    again = Radiographs(**moved).scan()
    assert again.fingerprint == one.fingerprint, "copied elsewhere, files made in another order"
    assert again.examples["example_id"].equals(one.examples["example_id"])
    others = [
        Radiographs(**options, key_file=str(tmp_path / "other.key")),
        Radiographs(**options, voi=True),
        Radiographs(**options, finding_column=None),
        Radiographs(**collection(tmp_path / "b", ROWS[:2], IMAGES)),
        Radiographs(**collection(tmp_path / "c", ROWS, {**IMAGES, "a.png": picture(77, size=30)})),
    ]
    prints = {one.fingerprint, *(o.scan().fingerprint for o in others)}
    assert len(prints) == 1 + len(others)
    ids = others[0].scan().examples
    assert not set(ids["example_id"].to_pylist()) & set(one.examples["example_id"].to_pylist())
    assert not set(ids["cluster_id"].to_pylist()) & set(one.examples["cluster_id"].to_pylist())


def test_private_options_are_marked() -> None:
    marked = {f.name for f in dataclasses.fields(Radiographs) if f.metadata.get("private")}
    assert marked == {"folder", "manifest", "key_file"}


# The BIMCV layout


def header(**said: Any) -> dict[str, Any]:
    tags = {"patient": "00100020", "maker": "00080070", "model": "00081090", "modality": "00080060",
            "photometric": "00280004", "bits": "00280101", "spacing": "00181164",
            "name": "00100010", "view": "00185101", "birth": "00100030"}  # fmt: skip
    said = {"patient": "P1", "maker": '"Philips Medical Systems"', "model": "digital DIAGNOST",
            "modality": "DX", "photometric": "MONOCHROME1", "bits": 12, "spacing": [0.15, 0.16],
            "birth": "19470312", **said}  # fmt: skip
    given = {tags[k]: v if isinstance(v, list) else [v] for k, v in said.items() if v is not None}
    made = {tag: {"vr": "LO", "Value": values} for tag, values in given.items()}
    made["00100010"] = {"vr": "PN", "Value": [{"Alphabetic": "Zweistein^Albertina"}]}
    return made


def bimcv(folder: Path, files: dict[str, Any], sub: str = "sub-S1", ses: str = "ses-E1") -> None:
    """Files of one session: a name of "NAME.json" has its header, "NAME.png" the picture."""
    place = folder / sub / ses / "mod-rx"
    place.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (place / f"{sub}_{ses}_{name}").write_bytes(data)


TWELVE = grey_png(np.arange(1024, dtype=np.uint16).reshape(32, 32) * 4)


def test_bimcv(tmp_path) -> None:
    bimcv(
        tmp_path, {"run-1_bp-chest_vp-ap_dx.png": TWELVE, "run-1_bp-chest_vp-ap_dx.json": header()}
    )
    (tmp_path / "participants.tsv").write_text("Zweistein\n")
    source = Radiographs(str(tmp_path))
    found = source.scan()
    (row,) = found.examples.to_pylist()
    assert row["device"] == "Philips DigitalDiagnost"
    assert row["view"] == "AP"
    assert (row["row_mm"], row["column_mm"], row["bits_stored"]) == (0.15, 0.16, 12)
    assert found.counts == {"files_passed_over": 1}
    image = source.decoder()(row["locator"])
    assert image.inverted
    assert image.bits == 12
    assert image.row_mm == 0.15
    assert image.normalised()[0, 0] == 1
    assert row["cluster_id"] == "p" + open_key().name("patient", "P1")


def test_bimcv_one_header_for_several_images(tmp_path) -> None:
    names = [f"acq-{k}_run-1_bp-chest_vp-pa_cr.png" for k in (1, 2, 3)]
    bimcv(
        tmp_path,
        {
            **dict.fromkeys(names, TWELVE),
            "acq-3_run-1_bp-chest_vp-pa_cr.json": header(modality="CR"),
        },
    )
    lateral = {"acq-1_run-1_bp-chest_vp-ll_cr.png": TWELVE, "run-1_cr.json": header(modality="CR")}
    bimcv(tmp_path, lateral, ses="ses-E2")
    found = Radiographs(str(tmp_path)).scan()
    assert found.examples.num_rows == 4
    assert found.rejected.num_rows == 0
    assert sorted(found.examples["view"].to_pylist()) == ["LL", "PA", "PA", "PA"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no JSON header"),
        ({"run-2_vp-pa_dx.json": header()}, "no JSON header"),
        ({"run-1_vp-pa_cr.json": header()}, "no JSON header"),
        ({"acq-1_run-1_vp-pa_dx.json": header(), "acq-2_run-1_vp-pa_dx.json": header()}, "2 JSON"),
        ({"run-1_vp-pa_dx.json": b"{"}, "cannot be read"),
        ({"run-1_vp-pa_dx.json": [1]}, "no object"),
        ({"run-1_vp-pa_dx.json": b"[" * 100000}, "cannot be read"),
        ({"run-1_vp-pa_dx.json": header(maker=None)}, "no manufacturer"),
        ({"run-1_vp-pa_dx.json": header(maker="")}, "no manufacturer"),
        ({"run-1_vp-pa_dx.json": header(modality="CT")}, "modality CT"),
        ({"run-1_vp-pa_dx.json": header(photometric="RGB")}, "colour"),
        ({"run-1_vp-pa_dx.json": header(bits=20)}, "20 bits stored"),
        ({"run-1_vp-pa_dx.json": {"00080060": "DX", "00280004": {"Value": {}}}}, "no modality"),
    ],
)
def test_bimcv_headers_that_cannot_be_used(tmp_path, files, words) -> None:
    bimcv(tmp_path, {"run-1_vp-pa_dx.png": TWELVE, **files})
    bimcv(tmp_path, {"run-1_dx.png": TWELVE, "run-1_dx.json": header()}, sub="sub-S2")
    ((place, why),) = rejected(Radiographs(str(tmp_path)))
    assert words in why
    assert place.startswith("file ")
    assert "S1" not in why


def test_bimcv_patients(tmp_path) -> None:
    for sub, patient in (("sub-S1", "7"), ("sub-S2", None), ("sub-S3", "7")):
        bimcv(tmp_path, {"run-1_dx.png": TWELVE, "run-1_dx.json": header(patient=patient)}, sub)
    bimcv(
        tmp_path, {"run-1_dx.png": TWELVE, "run-1_dx.json": header(patient="9")}, "sub-S2", "ses-E2"
    )
    table = Radiographs(str(tmp_path)).scan().examples
    clusters = {}
    for row in table.to_pylist():
        path = json.loads(row["locator"])["path"]
        clusters.setdefault(path.split("sub-")[1][:2], set()).add(row["cluster_id"])
    assert clusters["S1"] == clusters["S3"] != clusters["S2"]
    assert all(len(c) == 1 for c in clusters.values())


@given(
    st.lists(
        st.tuples(st.sampled_from([None, *"123"]), st.sampled_from([None, *"abc"])), max_size=8
    )
)
def test_names_join_what_is_connected(said) -> None:
    made = one_name_a_person(said)
    groups: list[set] = []
    for number_, folder in said:
        here = {("n", number_)} if number_ else set()
        here |= {("f", folder)} if folder else set()
        apart = [g for g in groups if not g & here]
        groups = [*apart, set().union(here, *(g for g in groups if g & here))]
    for (n1, f1), p1 in zip(said, made, strict=True):
        for (n2, f2), p2 in zip(said, made, strict=True):
            if p1 is None or p2 is None:
                assert (p1 is None) == (not n1 and not f1)
                continue
            same = any((("n", n1) in g or ("f", f1) in g) and (("n", n2) in g or ("f", f2) in g)
                       for g in groups)  # fmt: skip
            assert (p1 == p2) == same


def test_bimcv_says_nothing_of_a_patient(tmp_path, caplog, capfd) -> None:
    person = {"patient": "7719203", "model": "Zweistein 7719203"}
    open_key()
    capfd.readouterr()
    for k, more in enumerate(({}, {"photometric": "ZWEISTEIN"}, {"modality": "ZWEISTEIN"})):
        files = {f"run-{k}_dx.png": TWELVE, f"run-{k}_dx.json": header(**person, **more)}
        bimcv(tmp_path, files, "sub-Zweistein")
    bimcv(tmp_path, {"run-9_dx.png": TWELVE, "run-9_dx.json": b'{"Zweistein": '}, "sub-Zweistein")
    found = Radiographs(str(tmp_path)).scan()
    assert (found.examples.num_rows, found.rejected.num_rows) == (1, 3)
    public = found.examples.drop_columns(["locator", "bytes", "modified"]).to_pylist()
    assert public[0]["device"] == "Philips", "the model repeats the patient's name"
    said = repr((public, found.rejected.to_pylist(), found.counts, caplog.text, capfd.readouterr()))
    assert not [w for w in FORBIDDEN if w.decode() in said.lower()]


def test_bimcv_with_a_manifest(tmp_path) -> None:
    bimcv(tmp_path, {"run-1_dx.png": TWELVE, "run-1_dx.json": header()})
    (tmp_path / "list.csv").write_text("image,finding\nsub-S1_ses-E1_run-1_dx.png,COVID\n")
    (row,) = Radiographs(str(tmp_path), str(tmp_path / "list.csv")).scan().examples.to_pylist()
    assert row["finding"] == "COVID"
    assert row["device"] == "Philips DigitalDiagnost"


# DICOM with a manifest, and privacy


def dicoms() -> Any:
    pytest.importorskip("pydicom")
    from tests import dicom_files

    return dicom_files


def test_dicom_with_a_manifest(tmp_path) -> None:
    made = dicoms()
    made.write(tmp_path / "in" / "a.dcm", made.dataset())
    made.write(tmp_path / "in" / "b.dcm", made.dataset(Manufacturer=None))
    made.write(tmp_path / "in" / "c.dcm", made.dataset())
    (tmp_path / "list.csv").write_text(
        "image,finding,view,machine\na.dcm,pneumonia,,\nb.dcm,none,AP,Agfa HealthCare\n"
    )
    source = Radiographs(str(tmp_path / "in"), str(tmp_path / "list.csv"), device_column="machine")
    found = source.scan()
    rows = by_file(source, found.examples)
    assert found.counts == {"rows_without_file": 0, "files_without_row": 1}
    assert (rows["a.dcm"]["finding"], rows["a.dcm"]["view"]) == ("pneumonia", "PA")
    assert rows["a.dcm"]["device"] == "SIEMENS FD-X"
    assert rows["b.dcm"]["device"] == "Agfa"
    assert rows["b.dcm"]["view"] == "AP"
    assert rows["a.dcm"]["cluster_id"] == rows["b.dcm"]["cluster_id"]


def test_without_pydicom(tmp_path, monkeypatch) -> None:
    from shiftbench.sources._dicom_header import import_pydicom

    options = collection(tmp_path / "png", ROWS, IMAGES)
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom" / "a.dcm").write_bytes(b"DICM")
    import_pydicom.cache_clear()
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtraError, match=r"shiftbench\[dicom\]"):
        Radiographs(str(tmp_path / "dicom")).scan()
    assert Radiographs(**options).scan().examples.num_rows == 3


def test_manifest_and_key_in_the_folder_are_no_radiographs(tmp_path) -> None:
    made = dicoms()
    made.write(tmp_path / "a.dcm", made.dataset())
    (tmp_path / "list.csv").write_text("image\na.dcm\n")
    key = str(tmp_path / "my.key")
    open_key(key)
    source = Radiographs(str(tmp_path), str(tmp_path / "list.csv"), key_file=key)
    assert source.scan().rejected.num_rows == 0
    assert source.scan().counts["files_without_row"] == 0


def planted(folder: Path) -> list[Path]:
    """Files in every state, of a patient whose name is also in their names and folders."""
    made = dicoms()
    place = folder / "Zweistein Albertina" / "7719203"
    name = made.PATIENT["PatientName"]
    bad: dict[str, dict[str, Any]] = {
        "ok": {},
        "ct": {"Modality": "CT"},
        "rgb": {"SamplesPerPixel": 3},
        "bare": {"PatientID": ""},
        "maker": {"Manufacturer": "Zweistein Roentgen", "ManufacturerModelName": "PAT-7719203"},
        "model": {"ManufacturerModelName": "Zimmer Albertina"},
        "view": {"ViewPosition": "ZWEISTEIN"},
        "part": {"BodyPartExamined": "ZWEISTEIN"},
        "photo": {"PhotometricInterpretation": "ZWEISTEIN"},
        "modality": {"Modality": "ZWEISTEIN"},
        "frames": {"NumberOfFrames": 9},
        "grid": {"Grid": "ZWEISTEIN", "FilterMaterial": "ZWEISTEIN", "FilterType": "ZWEISTEIN"},
    }
    paths = [made.write(place / f"Zweistein-{k}.dcm", made.dataset(**f)) for k, f in bad.items()]
    whole = paths[0].read_bytes()
    # Values that break their type, so that whatever parses them has something to complain about.
    broken = {
        "age": whole.replace(b"071Y", b"Zwei"),
        "kvp": whole.replace(b"120.0 ", b"Zweist"),
        "spacing": whole.replace(b"0.2\\0.1 ", b"Zweistei"),
        "cut": whole[:-50],
        "head": whole[:900],
        "charset": whole.replace(name.encode(), b"\xff\xfeZwei\x1b$B^Albertina"[: len(name)]),
    }
    for k, content in broken.items():
        paths.append(place / f"Zweistein-{k}.dcm")
        paths[-1].write_bytes(content)
    return paths


FORBIDDEN = (
    b"zweistein",
    b"albertina",
    b"7719203",
    b"19470312",
    b"1947-03-12",
    b"alt-5540021",
    b"musterhausen",
    b"keller",
    b"99887766",
    b"445566",
    b"quacksalber",
    b"geheimnis",
    b"verlaufskontrolle",
    b"herzschritt",
    b"20190807",
    b"1.2.3.4.5",
    b"teststrasse",
)


def test_nothing_of_a_patient_is_said(tmp_path, caplog, capfd) -> None:
    paths = planted(tmp_path)
    capfd.readouterr()
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    source = Radiographs(str(tmp_path))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = source.scan()
        said = []
        for locator in found.examples["locator"].to_pylist():
            try:
                source.decoder()(locator)
            except ContentError as error:
                said.append(str(error))
    assert found.examples.num_rows + found.rejected.num_rows == len(paths)
    assert found.examples.num_rows >= 8
    assert found.rejected.num_rows >= 7
    public = found.examples.drop_columns(["locator", "bytes", "modified"])
    assert set(public.column_names) <= PUBLIC
    captured = capfd.readouterr()
    everything = repr(
        (public.to_pylist(), found.rejected.to_pylist(), found.counts, found.notes, said,
         found.fingerprint, [str(w.message) for w in warned], caplog.text, captured)
    ).lower().encode()  # fmt: skip
    assert [w for w in FORBIDDEN if w in everything] == []
    assert not warned
    assert not caplog.records


USABLE = ("ok", "age", "kvp", "spacing", "charset", "model", "view", "part", "grid")


def test_errors_say_nothing_of_a_patient(tmp_path, caplog) -> None:
    for path in planted(tmp_path):
        if path.stem.rpartition("-")[2] in USABLE:
            path.unlink()
    with pytest.raises((SourceError, ConfigurationError)) as caught:
        Radiographs(str(tmp_path)).scan()
    text = str(caught.value).lower().encode() + caplog.text.lower().encode()
    assert [w for w in FORBIDDEN if w in text] == []
    assert caught.value.__cause__ is None


def test_log_levels_are_given_back() -> None:
    from shiftbench.sources._dicom_header import quiet

    log = logging.getLogger("pydicom")
    before, filters = log.level, list(warnings.filters)
    with quiet(), quiet():
        assert not log.isEnabledFor(logging.CRITICAL)
    assert log.level == before
    assert list(warnings.filters) == filters


def test_a_row_is_not_given_to_the_file_of_another_folder(tmp_path) -> None:
    images = {"p2/img.png": IMAGES["a.png"], "p3/x.png": IMAGES["b.png"]}
    rows = [{"image": "p1/img.png", "patient": 1, "finding": "A"},
            {"image": "/data/all/p3/x.png", "patient": 3, "finding": "C"}]  # fmt: skip
    options = collection(tmp_path, rows, images)
    found = Radiographs(**options).scan()
    assert found.examples["finding"].to_pylist() == ["C"]
    assert found.counts == {"rows_without_file": 1, "files_without_row": 1}
    collection(tmp_path, [*rows, {"image": "p2/img.png", "patient": 2, "finding": "B"}], images)
    assert sorted(Radiographs(**options).scan().examples["finding"].to_pylist()) == ["B", "C"]


@pytest.mark.parametrize(
    "more",
    [
        {"finding": "see 4480-077"},
        {"machine": "Panel 4480077"},
        {"further": "/x/scan_4711.png"},
        {"further": "4480077"},
    ],
)
def test_no_cell_repeats_the_patient_or_the_file(tmp_path, more) -> None:
    empty = {"finding": "none", "machine": "A", "further": "1"}
    rows = [{"image": "scan_4711.png", "patient": "4480077", **empty, **more},
            {"image": "b.png", "patient": "4480078", **empty}]  # fmt: skip
    images = {"scan_4711.png": IMAGES["a.png"], "b.png": IMAGES["b.png"]}
    options = collection(tmp_path, rows, images)
    source = Radiographs(**options, device_column="machine", keep=("further",))
    ((place, why),) = rejected(source)
    assert (place, "never leave" in why) == ("row 1 of the manifest", True)
    assert "4480077" not in why
    collection(tmp_path, rows[:1], images)
    with pytest.raises(SourceError, match="1 × a finding, device or kept column repeats"):
        source.scan()


def test_devices_in_one_cell_have_the_names_of_headers(tmp_path) -> None:
    names = ("Philips DigitalDiagnost", "Philips Medical Systems digital DIAGNOST")
    rows = [{"image": f"{n}.png", "patient": n, "machine": m}
            for n, m in zip("ab", names, strict=True)]  # fmt: skip
    source = Radiographs(**collection(tmp_path, rows, IMAGES), device_column="machine")
    assert set(source.scan().examples["device"].to_pylist()) == {"Philips DigitalDiagnost"}
    from shiftbench.sources._device_names import device_named

    assert device_named("FUJI PHOTO FILM Co., ltd. 5000MA") == "FUJIFILM"
    assert device_named("0.168") == "0.168"
    assert device_named(" ") is None


def test_manifest_in_utf_16_and_with_empty_lines(tmp_path) -> None:
    options = collection(tmp_path, ROWS, IMAGES)
    for text in (
        "image\tpatient\r\na.png\t7\r\n".encode("utf-16"),
        b"\r\n\nimage,patient\na.png,7\n",
    ):
        (tmp_path / "list.csv").write_bytes(text)
        assert Radiographs(**options).scan().examples.num_rows == 1


def test_half_a_character_in_a_number(tmp_path) -> None:
    bimcv(tmp_path, {"run-1_dx.png": TWELVE, "run-1_dx.json": header(patient="7\ud800")})
    assert Radiographs(str(tmp_path)).scan().examples.num_rows == 1


# Weird cells

TEXT = st.text(st.characters(exclude_categories=()), max_size=30)


@given(TEXT)
def test_cells_never_fail_and_stay_in_range(text) -> None:
    age = age_in_years(text)
    assert age is None or 0 <= age <= 90
    assert sex_of(text) in (None, "M", "F", "O")
    assert view_of(text) is None or view_of(text).isalpha()
    assert number(text) is None or np.isfinite(number(text))
    for name in device_name(text, text):
        assert name is None or (name.isprintable() and 0 < len(name) <= 130)


NAMES = Names("image", "patient", "finding", "view", "age", "sex", "device", None, None, "mm", "h",
              "w", "bits", ("x",))  # fmt: skip


@given(
    st.fixed_dictionaries(
        dict.fromkeys(
            (
                "image",
                "patient",
                "finding",
                "view",
                "age",
                "sex",
                "device",
                "mm",
                "h",
                "w",
                "bits",
                "x",
            ),
            TEXT,
        )
    )
)
def test_rows_are_used_or_refused_without_a_quote(cell) -> None:
    said = ""
    try:
        row = _row(1, cell, NAMES, 1024)
        pa.array([v for v in row.columns.values() if isinstance(v, str)], pa.string())
        pa.table(kept_columns({"x": [row.kept["x"]]}))
    except ContentError as error:
        said = str(error)
    assert all(len(v) < 4 or v not in said for v in cell.values())


@given(st.lists(st.text(st.characters(categories=["Nd", "P", "S"]), max_size=20), max_size=4))
def test_kept_columns_always_make_a_table(cells) -> None:
    pa.table(kept_columns({"x": cells}))


@given(st.binary(max_size=200))
def test_any_bytes_as_a_manifest(data) -> None:
    lines = [["a"], ["b"]]
    with contextlib.suppress(SourceError):
        lines = _lines(data)
    assert len(lines) >= 2


@given(st.lists(st.sampled_from(["a", "b", "x/a", "y/a", "x/b"]), unique=True),
       st.lists(st.sampled_from(["a", "b", "x/a", "gone", "z/b"]), max_size=6))  # fmt: skip
def test_every_row_is_accounted_for(files, named) -> None:
    from shiftbench.sources._radiograph_manifest import Row

    rows = [Row(k, name, None, {}, {}) for k, name in enumerate(named, 1)]
    found, twice, unclear, absent = join(rows, files)
    assert not found.keys() & twice.keys()
    of_twice = sum(int(why.split()[0]) for why in twice.values())
    assert len(found) + of_twice + len(unclear) + absent == len(rows)
    for position, row in found.items():
        assert files[position].split("/")[-1] == row.file.split("/")[-1]
