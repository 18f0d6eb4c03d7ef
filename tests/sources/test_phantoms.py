"""Phantom radiographs: who is imaged, what a change changes, and what can be seen in them."""

from __future__ import annotations

import io
import pickle
from dataclasses import replace

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shiftbench.errors import ConfigurationError, ContentError
from shiftbench.radiograph import ACQUISITION_COLUMNS, PERSON_COLUMNS, RadiographSource
from shiftbench.schema import PRIVATE_COLUMNS, Source
from shiftbench.sources._phantom_anatomy import LUNG_DENSITY, OPACITY_MM, draw_chest, paint
from shiftbench.sources._phantom_detector import behind_lungs, devices, scattered
from shiftbench.sources._phantom_physics import transmission
from shiftbench.sources._phantom_shapes import Grid
from shiftbench.sources.phantoms import Phantoms

SMALL = Phantoms(n_patients=60, size=128)


def examples(source: Phantoms) -> pa.Table:
    return source.scan().examples


def of_each_device(source: Phantoms) -> dict[str, str]:
    rows = examples(source).select(["device", "locator"]).to_pylist()
    return {row["device"]: row["locator"] for row in reversed(rows)}


def share(table: pa.Table, column: str, value: str) -> np.ndarray:
    return np.asarray(pc.equal(table[column], value).to_numpy(), float)


# Metadata


def test_it_is_a_source_of_radiographs() -> None:
    assert isinstance(SMALL, Source)
    assert isinstance(SMALL, RadiographSource)
    found = SMALL.scan()
    known = {"example_id", "cluster_id", *PRIVATE_COLUMNS, *ACQUISITION_COLUMNS, *PERSON_COLUMNS}
    assert set(found.examples.column_names) <= known
    ids = found.examples["example_id"].to_pylist()
    assert ids == sorted(set(ids))
    assert found.contexts.num_rows == found.rejected.num_rows == 0
    assert (found.license, found.redistributable, found.identity) == ("cc0-1.0", True, "pixels")
    assert found.examples["age"].to_numpy().max() <= 89
    for column in set(found.examples.column_names) - {"bytes"}:
        assert found.examples[column].null_count == 0, column


def test_a_row_says_what_is_decoded() -> None:
    decode = SMALL.decoder()
    for row in examples(SMALL).to_pylist()[:12]:
        found = decode(row["locator"])
        assert found.pixels.shape == (row["rows"], row["columns"])
        assert (found.bits, found.row_mm) == (row["bits_stored"], row["row_mm"])
        assert found.inverted == (row["photometric"] == "MONOCHROME1")
        assert int(found.pixels.max()) < 2**found.bits
        assert found.mask is not None
        assert found.mask.any() == (row["finding"] == "Opacity")


def test_patients_stay_when_others_come() -> None:
    few, many = Phantoms(n_patients=7, size=64), Phantoms(n_patients=40, size=64)
    some = examples(few).to_pylist()
    assert examples(many).to_pylist()[: len(some)] == some
    last = some[-1]["locator"]
    assert (few.decoder()(last).pixels == many.decoder()(last).pixels).all()
    assert few.scan().fingerprint != many.scan().fingerprint


def test_second_radiographs_are_of_one_patient_and_sometimes_of_two_devices() -> None:
    table = examples(Phantoms(n_patients=4000)).to_pandas()
    by = table.groupby("cluster_id")
    images, used = by.size(), by["device"].nunique()
    assert set(images) == {1, 2}
    assert (images == 2).mean() == pytest.approx(0.20, abs=0.025)
    assert (used == 2).mean() == pytest.approx(0.05, abs=0.015)
    assert (by["finding"].nunique() == 1).all()
    assert (by["age"].nunique() == 1).all()
    alone = examples(Phantoms(n_patients=300, devices=("lens_ccd",), shared_devices=1, repeated=0))
    assert alone.num_rows == 300


def test_nothing_depends_on_the_device_unless_wanted() -> None:
    def dependence(confounding: float) -> dict[str, float]:
        table = examples(Phantoms(n_patients=6000, confounding=confounding, repeated=0))
        device = np.unique(table["device"].to_numpy(), return_inverse=True)[1]
        values = {
            "finding": share(table, "finding", "Opacity"),
            "view": share(table, "view", "AP"),
            "sex": share(table, "sex", "M"),
            "age": table["age"].to_numpy().astype(float),
        }
        # F of one-way analysis of variance: about 1 where nothing depends, 3.3 at p = 0.01
        found = {}
        for name, v in values.items():
            groups = [v[device == d] for d in range(5)]
            between = sum(len(g) * (g.mean() - v.mean()) ** 2 for g in groups) / 4
            within = sum(((g - g.mean()) ** 2).sum() for g in groups) / (len(v) - 5)
            found[name] = between / within
        return found

    assert max(dependence(0.0).values()) < 4
    assert min(dependence(0.6).values()) > 10


@pytest.mark.parametrize(
    "options",
    [{"n_patients": 0}, {"size": 63}, {"size": 4096}, {"size": 100.0}, {"prevalence": 1.2},
     {"confounding": float("nan")}, {"devices": ("csi",)}, {"devices": ("lens_ccd", "lens_ccd")},
     {"repeated": 0.7, "shared_devices": 0.7}, {"seed": -1}, {"n_patients": True}],
)  # fmt: skip
def test_options_that_cannot_be(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="phantoms"):
        Phantoms(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "locator", ["", "phantom-000060-1", "phantom-000000-3", "phantom-000000", "x", "phantom-0000-1"]
)
def test_a_radiograph_that_is_not_there(locator: str) -> None:
    with pytest.raises(ContentError, match="no phantom"):
        SMALL.decoder()(locator)


def test_a_second_radiograph_that_is_not_there() -> None:
    once = set(examples(SMALL)["locator"].to_pylist())
    missing = next(f"phantom-{k:06d}-2" for k in range(60) if f"phantom-{k:06d}-2" not in once)
    with pytest.raises(ContentError, match="no phantom"):
        SMALL.decoder()(missing)


# Content


def test_the_reader_gives_the_same_numbers_as_the_decoder() -> None:
    source = replace(SMALL, masks=True)
    assert set(source.scan().content) == {"image", "mask"}
    for locator in of_each_device(source).values():
        radiograph, read = source.decoder()(locator), source.reader()(locator)
        image = np.asarray(PIL.Image.open(io.BytesIO(read["image"])))
        assert image.dtype == np.uint16
        assert (image == radiograph.pixels).all()
        mask = np.asarray(PIL.Image.open(io.BytesIO(read["mask"])))
        assert ((mask == 255) == radiograph.mask).all()
        assert set(SMALL.reader()(locator)) == {"image"}


def test_with_masks_the_metadata_tell_their_share() -> None:
    source = replace(SMALL, masks=True)
    told = source.scan().examples
    assert "mask_share" not in examples(SMALL).column_names
    shares = dict(zip(told["locator"].to_pylist(), told["mask_share"].to_pylist(), strict=True))
    findings = dict(zip(told["locator"].to_pylist(), told["finding"].to_pylist(), strict=True))
    assert sum(share > 0 for share in shares.values()) > 5
    assert all(share == 0 for k, share in shares.items() if findings[k] == "No Finding")
    for locator in list(shares)[:20]:  # 128 pixels a side: no coarser than the picture
        mask = source.decoder()(locator).mask
        assert mask is not None
        assert shares[locator] == pytest.approx(mask.mean(), abs=1e-12)


def test_the_share_of_a_large_mask_is_near() -> None:
    source = Phantoms(n_patients=8, size=512, prevalence=1.0, masks=True)
    for row in source.scan().examples.to_pylist():
        mask = source.decoder()(row["locator"]).mask
        assert mask is not None
        assert row["mask_share"] == pytest.approx(mask.mean(), abs=3e-4)


def test_the_same_in_another_process_and_in_any_order() -> None:
    decode = SMALL.decoder({"dose": 1.0})
    other = pickle.loads(pickle.dumps(decode))
    locators = list(of_each_device(SMALL).values())
    first = [decode(k).pixels for k in locators]
    second = [other(k).pixels for k in reversed(locators)][::-1]
    assert all((a == b).all() for a, b in zip(first, second, strict=True))


def test_the_mask_is_where_opacities_are() -> None:
    found = 0
    for k in range(30):
        drawn = {
            finding: draw_chest(
                0, f"p{k}", f"p{k}-1", age=60, sex="FM"[k % 2], view="PA", finding=finding
            )
            for finding in (False, True)
        }
        grid = Grid(96, 4.4)
        sick, well = (paint(*drawn[f], grid) for f in (True, False))
        assert not well.opacity.any()
        more = sick.tissue - well.tissue
        assert np.abs(more - sick.opacity).max() < 0.03 * sick.opacity.max() + 1e-3
        assert (sick.bone == well.bone).all()
        mask = sick.opacity > OPACITY_MM
        assert mask.any(), k
        assert mask.mean() < 0.25
        found += int(mask.sum())
        # opacities lie in air: the lung beneath them is thick enough
        air = (well.tissue + well.bone)[mask]
        assert air.min() < 200
    assert found > 500


def test_lungs_are_dark_and_the_belly_is_not() -> None:
    chest, view = draw_chest(0, "p", "p-1", age=50, sex="M", view="PA", finding=False)
    grid = Grid(128, 3.3)
    found = paint(chest, view, grid)
    assert np.isfinite(found.tissue).all()
    assert found.tissue.min() >= 0
    assert found.bone.min() >= 0
    lung = found.tissue[grid.span(-30, 20), grid.span(-90, -60)]
    belly = found.tissue[grid.span(190, 205), grid.span(-90, -60)]
    assert LUNG_DENSITY * view.depth < np.median(lung) < 0.75 * np.median(belly)


def test_the_heart_is_larger_at_the_bedside() -> None:
    """The mean transverse width of what replaces the lung at its height."""
    widths = {"PA": [], "AP": []}
    grid = Grid(128, 3.3)
    for k in range(12):
        for view in widths:
            chest, seen = draw_chest(
                1, f"p{k}", f"p{k}-1", age=60, sex="M", view=view, finding=False
            )
            heart = [seen.project(b) for b in chest.solid[1:3]]
            widths[view].append(max(b.x + b.a for b in heart) - min(b.x - b.a for b in heart))
            assert paint(chest, seen, grid).tissue.shape == (128, 128)
    assert np.mean(widths["AP"]) > 1.04 * np.mean(widths["PA"])


# Changes


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.mark.parametrize(
    "change",
    [{"dose": 2.0}, {"kvp": -15.0}, {"scatter": 1.0}, {"blur": 0.4}, {"sharpen": 1.0},
     {"gamma": 1.5}, {"bits": 6}],
)  # fmt: skip
def test_a_change_leaves_the_anatomy(change: dict[str, float]) -> None:
    for locator in of_each_device(SMALL).values():
        plain, changed = SMALL.decoder()(locator), SMALL.decoder(change)(locator)
        assert not np.array_equal(plain.pixels, changed.pixels)
        assert (plain.mask == changed.mask).all()
        assert correlation(plain.normalised(), changed.normalised()) > 0.95


def test_larger_pixels_show_the_same_field() -> None:
    locator = of_each_device(SMALL)["csi_panel"]
    plain, coarse = SMALL.decoder()(locator), SMALL.decoder({"pitch": 2})(locator)
    assert coarse.pixels.shape == (64, 64)
    assert coarse.row_mm * 64 == pytest.approx(plain.row_mm * 128)
    binned = plain.normalised().reshape(64, 2, 64, 2).mean((1, 3))
    assert correlation(binned, coarse.normalised()) > 0.99


@pytest.mark.parametrize("size", [64, 256])
def test_the_largest_pixels_of_all_still_make_a_picture(size: int) -> None:
    source = replace(SMALL, size=size)
    for locator in of_each_device(source).values():
        assert source.decoder({"pitch": 16})(locator).pixels.shape == (16, 16)


def test_changes_by_nothing_give_the_same_pixels() -> None:
    still = {"dose": 0.0, "kvp": 0.0, "scatter": 0.0, "sharpen": 0.0, "pitch": 1.0, "gamma": 1.0}
    for device, locator in of_each_device(SMALL).items():
        same = SMALL.decoder({**still, "bits": devices()[device].bits})(locator)
        assert (same.pixels == SMALL.decoder()(locator).pixels).all()


def test_scatter_has_the_ratio_of_the_profile_behind_the_lungs() -> None:
    for locator in of_each_device(SMALL).values():
        row = SMALL.row(locator)
        taken = row.exposure(SMALL.size)
        chest, view = draw_chest(
            SMALL.seed, row.patient, locator,
            age=row.age, sex=row.sex, view=row.view, finding=row.finding == "Opacity",
        )  # fmt: skip
        through = paint(chest, view, taken.grid)
        beam = taken.device.beam(taken.kvp)
        primary, _ = transmission(beam).look_up(through.tissue, through.bone)
        added = scattered(primary, through.tissue, taken.grid, taken.scatter)
        lungs = [behind_lungs(plane, taken.grid) for plane in (added, primary)]
        assert lungs[0] / lungs[1] == pytest.approx(taken.scatter, rel=1e-4)
        middle = np.s_[75:90, 60:68]  # the mediastinum: more scatter for each primary photon
        assert added[middle].mean() / primary[middle].mean() > 1.5 * taken.scatter


def test_less_dose_is_more_noise_and_not_another_brightness() -> None:
    locator = of_each_device(SMALL)["csi_panel"]
    shown = [SMALL.decoder({"dose": d})(locator).normalised() for d in (0, 2, 4)]
    lung = np.s_[45:70, 25:45]
    noise = [float((s - shown[0])[lung].std()) for s in shown[1:]]
    # deviations above that of the full dose, 1: √4 − 1 and √16 − 1
    assert noise[1] == pytest.approx(3 * noise[0], rel=0.15)
    assert abs(float(np.median(shown[1]) - np.median(shown[0]))) < 0.01


def test_every_name_in_exact_is_a_change_and_no_other() -> None:
    values = {"dose": 1, "kvp": 5, "scatter": 0.5, "blur": 1, "sharpen": 1, "pitch": 2,
              "gamma": 2, "bits": 8}  # fmt: skip
    assert set(SMALL.exact) == set(values)
    locator = of_each_device(SMALL)["selenium_panel"]
    for name in SMALL.exact:
        assert SMALL.decoder({name: values[name]})(locator).pixels.size
    with pytest.raises(ConfigurationError, match="did you mean 'dose'"):
        SMALL.decoder({"doses": 1})
    with pytest.raises(ConfigurationError, match="kV"):
        SMALL.decoder({"kvp": 40})


# What can be learned


@pytest.fixture(scope="module")
def learned() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    source = Phantoms(n_patients=300, size=64, repeated=0, shared_devices=0)
    table, decode = examples(source), source.decoder()
    pictures = np.stack([decode(k).normalised() for k in table["locator"].to_pylist()])
    device = np.unique(table["device"].to_numpy(), return_inverse=True)[1]
    return pictures, device, share(table, "finding", "Opacity")


def test_the_finding_can_be_learned_but_not_from_brightness(
    learned: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    pictures, _, sick = learned
    lungs = pictures[:, 14:44, 10:54]
    left, right = lungs[:, :, :22], lungs[:, :, :21:-1]
    uneven = (
        np.abs(left - right).reshape(len(lungs), 6, 5, 11, 2).mean((2, 4)).reshape(len(lungs), -1)
    )
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=500))
    scores = cross_val_predict(model, uneven, sick, cv=5, method="decision_function")
    assert 0.62 < roc_auc_score(sick, scores) < 0.98
    mean = pictures.mean((1, 2))
    assert 0.35 < roc_auc_score(sick, mean) < 0.65


def test_devices_can_be_told_apart(learned: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    pictures, device, _ = learned
    grey = np.quantile(pictures, np.linspace(0.02, 0.98, 13), axis=(1, 2)).T
    detail = np.log(np.abs(np.diff(pictures, axis=1)).mean((1, 2)))[:, None]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    found = cross_val_predict(model, np.hstack([grey, detail]), device, cv=5)
    assert (found == device).mean() > 0.5
