"""X-ray patches from end to end: splits, matching, leaks, rejection, digests."""

from __future__ import annotations

import io
import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import shiftbench as sb
from shiftbench.errors import ConfigurationError, IntegrityError, ShiftbenchError
from shiftbench.evaluation.points import roc_points
from shiftbench.measuring.remeasure import measure_benchmark
from shiftbench.schema import Metadata
from tests.radiographs import DEVICES, MadeRadiographs, Reader

SMALL: dict[str, Any] = {"patch_size": 48, "patches": 4, "min_patients": 5}


def built(where: Path, source: Any = None, **options: Any) -> sb.benchmark.Benchmark:
    run = {k: options.pop(k) for k in ("seed", "n_jobs", "max_rejected") if k in options}
    run.setdefault("measure", options.pop("measure", False))
    builder = sb.builders.XrayPatches(source or MadeRadiographs(), **{**SMALL, **options})
    return sb.build(builder, where, **run)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> sb.benchmark.Benchmark:
    return built(tmp_path_factory.mktemp("xray") / "out", MadeRadiographs(both=8))


def examples(bench: sb.benchmark.Benchmark, config: str) -> dict[str, list[dict[str, Any]]]:
    loaded = bench.load(config)
    return {s: loaded[s].remove_columns(["image"]).to_list() for s in loaded}


def test_one_config_a_device_with_all_splits(bench: sb.benchmark.Benchmark) -> None:
    tasks = [n for n, c in bench.manifest.configs.items() if c.kind == "task"]
    assert tasks == ["acme_a", "bolt_b", "coil_c", "dyne_d"]
    for name in tasks:
        splits = bench.manifest.configs[name].splits
        assert [*splits][:4] == ["train", "validation", "id_test", "ood_validation"]
        tests = [s for s in splits if s.startswith("ood_test_")]
        assert len(tests) == 2
        assert {splits[s].role for s in tests} == {"ood_test"}
        assert {splits[s].flag for s in tests} == {"reject"}


def test_no_patient_is_in_two_splits_and_none_of_several_devices_is_ood(
    bench: sb.benchmark.Benchmark,
) -> None:
    for config in ("acme_a", "coil_c"):
        by_patient = defaultdict(set)
        for split, rows in examples(bench, config).items():
            for row in rows:
                by_patient[row["cluster_id"]].add(split)
                assert row["is_ood"] == split.startswith("ood")
                if split.startswith("ood"):
                    assert not row["cluster_id"] <= "q0007"  # those with two devices
        assert all(len(splits) == 1 for splits in by_patient.values())


def test_matched_splits_have_equal_shares_of_finding_and_view(
    bench: sb.benchmark.Benchmark,
) -> None:
    for config in ("acme_a", "bolt_b"):
        found = examples(bench, config)
        notes = bench.manifest.configs[config].notes
        assert notes["not_matched"] == []

        def shares(rows: list[dict[str, Any]]) -> dict[Any, float]:
            units = {r["radiograph"]: (r["label"], r["view"]) for r in rows}
            return {k: n / len(units) for k, n in Counter(units.values()).items()}

        wanted = shares(found["id_test"])
        for split in found:
            if split.startswith("ood_test_"):
                assert shares(found[split]) == pytest.approx(wanted)


def test_a_patch_is_what_the_radiograph_has_there(bench: sb.benchmark.Benchmark) -> None:
    split = bench.load("acme_a", split="id_test").cast_column("image", datasets.Image(decode=False))
    locators = dict(
        zip(*(MadeRadiographs(both=8).scan().examples[c].to_pylist()
              for c in ("example_id", "locator")), strict=True)
    )  # fmt: skip
    for row in split:
        assert row["example_id"].startswith(row["radiograph"] + ".")
        image = Image.open(io.BytesIO(row["image"]["bytes"]))
        assert image.mode == "I;16"
        whole = Reader()(locators[row["radiograph"]]).pixels
        part = whole[row["top"] : row["top"] + 48, row["left"] : row["left"] + 48]
        assert np.abs(np.asarray(image, float) - part * (65535 / 4095)).max() < 1
        # The whole patch in the central 60 %: rows and columns 32 to 128 of 160.
        assert 32 <= row["top"] <= 80
        assert 32 <= row["left"] <= 80
        assert row["region"] == "central 0.6"
        assert row["row_mm"] == 0.2
        assert row["device"] == "Acme A"


def test_plain_load_dataset_and_verify(bench: sb.benchmark.Benchmark) -> None:
    bench.verify()
    loaded = datasets.load_dataset(bench.url, "bolt_b", split="train")
    assert loaded.features["label"].names == ["No Finding", "Opacity"]
    assert loaded[0]["image"].mode == "I;16"
    assert len(loaded) == 4 * len(set(loaded["radiograph"]))


@pytest.mark.parametrize("n_jobs", [2])
def test_the_digest_does_not_depend_on_workers(
    bench: sb.benchmark.Benchmark, tmp_path: Path, n_jobs: int
) -> None:
    again = built(tmp_path / "again", MadeRadiographs(both=8), n_jobs=n_jobs)
    assert again.digest == bench.digest
    assert built(tmp_path / "other", MadeRadiographs(both=8), seed=1).digest != bench.digest


def test_a_recipe_repeats_the_build(tmp_path: Path) -> None:
    source = sb.sources.Phantoms(n_patients=60, size=256)
    builder = sb.builders.XrayPatches(source, **{**SMALL, "patches": 2})
    bench = sb.build(builder, tmp_path / "one", measure=False)
    from shiftbench.recipe import read_recipe
    from shiftbench.store.card import recipe_toml

    (tmp_path / "recipe.toml").write_text(recipe_toml(bench.manifest))
    again, seed = read_recipe(tmp_path / "recipe.toml")
    assert (again, seed) == (builder, 0)
    assert sb.build(again, tmp_path / "two", measure=False).digest == bench.digest


def test_radiographs_that_cannot_be_read_are_counted_by_radiograph(tmp_path: Path) -> None:
    rows = MadeRadiographs().images()
    bad = tuple(loc for loc, n, _ in rows if n in (3, 40, 81))
    bench = built(tmp_path / "out", MadeRadiographs(bad=bad))
    rejected = bench.table("rejected").to_pylist()
    assert {r["input"] for r in rejected} <= {"r00030", "r00400", "r00810"}
    assert {r["reason"] for r in rejected} == {"the pixel data end too early"}
    shown = {r["radiograph"] for rows in examples(bench, "acme_a").values() for r in rows}
    assert not shown & {r["input"] for r in rejected}
    with pytest.raises(ShiftbenchError, match="more than 0 examples cannot be used"):
        built(tmp_path / "none", MadeRadiographs(bad=bad), max_rejected=0)


def test_radiographs_that_a_second_plan_names_may_be_unusable_too(tmp_path: Path) -> None:
    """Matching draws others in place of those that cannot be read: they were in no plan before."""
    only: dict[str, Any] = {"in_distribution": ("Acme A",), "match": ("finding", "view", "sex")}
    first = built(tmp_path / "first", MadeRadiographs(n_patients=200), **only)
    shown = {r["radiograph"] for rows in examples(first, "acme_a").values() for r in rows}
    table = MadeRadiographs(n_patients=200).scan().examples
    at = dict(zip(*(table[c].to_pylist() for c in ("example_id", "locator")), strict=True))
    unseen = sorted(set(at) - shown)
    # Some that are shown, and all that could take their place.
    bad = tuple(at[r] for r in [*sorted(shown)[::10], *unseen])
    source = MadeRadiographs(n_patients=200, bad=bad)
    bench = built(tmp_path / "out", source, max_rejected=200, **only)
    rejected = {r["input"] for r in bench.table("rejected").to_pylist()}
    assert rejected & set(unseen)
    assert rejected <= set(at)
    again = built(tmp_path / "again", source, max_rejected=200, n_jobs=2, **only)
    assert again.digest == bench.digest


def test_a_group_and_a_device_of_like_names_are_two_configs(tmp_path: Path) -> None:
    source = Renamed(names=("A", "B", "A B", "島津"))
    bench = built(tmp_path / "out", source, in_distribution=("A+B", "A B"))
    tasks = {n: c for n, c in bench.manifest.configs.items() if c.kind == "task"}
    assert [*tasks] == ["a_and_b", "a_b"]
    assert [c.title for c in tasks.values()] == ["A + B", "A B"]
    assert {r["device"] for r in examples(bench, "a_b")["train"]} == {"A B"}
    titles = {s.title for s in tasks["a_and_b"].splits.values()}
    assert "島津" in titles
    source = Renamed(names=("A", "A acquisition", "B", "C"))
    with pytest.raises(ConfigurationError, match="two configs would have the name"):
        built(
            tmp_path / "twice", source, in_distribution=("A", "A acquisition"),
            acquisition=("gamma=2",),
        )  # fmt: skip


@dataclass(frozen=True)
class Renamed(MadeRadiographs):
    """The four devices by other names."""

    names: tuple[str, ...] = ()

    def scan(self) -> Metadata:
        found = super().scan()
        at = found.examples.column_names.index("device")
        new = dict(zip(DEVICES, self.names, strict=True))
        named = [new[d] for d in found.examples["device"].to_pylist()]
        return replace(found, examples=found.examples.set_column(at, "device", [named]))


@dataclass(frozen=True)
class Silent(MadeRadiographs):
    """Radiographs of which neither finding nor view is known."""

    def scan(self) -> Metadata:
        found = super().scan()
        return replace(found, examples=found.examples.drop_columns(["finding", "view"]))


def test_a_build_that_matched_nothing_says_so_loudly(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="acme_a: NOTHING was matched"):
        built(tmp_path / "out", Silent(), in_distribution=("Acme A",))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        built(tmp_path / "meant", Silent(), in_distribution=("Acme A",), match=("none",))


def test_devices_that_are_proxies_and_resized_pictures_are_told_first(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="the device is a PROXY"):
        built(tmp_path / "out", device="bits_stored*columns", acquisition=("gamma=2",))
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert card.index("the device is a PROXY") < card.index("## Loading")


def test_the_card_tells_how_many_patches_there_are(
    bench: sb.benchmark.Benchmark,
) -> None:
    card = (Path(bench.url) / "README.md").read_text("utf-8")
    assert sum(len(rows) for c in ("acme_a", "bolt_b", "coil_c", "dyne_d")
               for rows in examples(bench, c).values()) > 1000  # fmt: skip
    assert "1K<n<10K" in card


def test_one_picture_in_two_splits_fails_the_build(
    bench: sb.benchmark.Benchmark, tmp_path: Path
) -> None:
    found = examples(bench, "acme_a")
    # A radiograph of training, and one of an OOD test, whose pixels are made its own.
    name = {split: rows[0]["radiograph"] for split, rows in found.items()}
    test = next(s for s in found if s.startswith("ood_test_"))
    source = MadeRadiographs(both=8)
    at = dict(zip(*(source.scan().examples[c].to_pylist() for c in ("example_id", "locator")),
                  strict=True))  # fmt: skip
    copies = ((at[name[test]], at[name["train"]]),)
    with pytest.raises(IntegrityError, match="images are in two splits") as caught:
        built(tmp_path / "out", MadeRadiographs(both=8, copies=copies))
    assert name["train"] in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_column_off_the_white_list_fails_the_build(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="'ward'"):
        built(tmp_path / "out", MadeRadiographs(extra=("ward",)))
    bench = built(tmp_path / "out", MadeRadiographs(extra=("ward",), keep=("ward",)))
    assert "ward" in bench.load("acme_a", split="train").column_names


def test_a_device_that_cannot_be_matched_is_marked_loudly(tmp_path: Path) -> None:
    source = MadeRadiographs(n_patients=400, confounded=("Dyne D",))
    with pytest.warns(UserWarning, match="CONFOUNDED") as caught:
        bench = built(
            tmp_path / "out", source, in_distribution=("Acme A",), ood_validation="Bolt B"
        )
    said = [str(w.message) for w in caught]
    assert any("'Dyne D' cannot be matched" in s and "CONFOUNDED" in s for s in said)
    assert any("ood_test_dyne_d against id_test is confounded" in s for s in said)
    assert not any("ood_test_coil_c against id_test is confounded" in s for s in said)
    notes = bench.manifest.configs["acme_a"].notes
    assert (notes["matched"], notes["not_matched"]) == (["Coil C"], ["Dyne D"])
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "Before you use it" in card
    assert "(near_duplicates.png)" in card
    assert (tmp_path / "out" / "near_duplicates.png").exists()
    assert "CONFOUNDED" in card
    dropped = built(
        tmp_path / "dropped", source, in_distribution=("Acme A",), ood_validation="Bolt B",
        unmatched="drop",
    )  # fmt: skip
    assert "ood_test_dyne_d" not in dropped.splits("acme_a")


def test_a_shortcut_between_device_and_finding(tmp_path: Path) -> None:
    bench = built(
        tmp_path / "out", MadeRadiographs(n_patients=400), in_distribution=("Acme A+Bolt B",),
        shortcut=0.8,
    )  # fmt: skip
    [task] = [n for n, c in bench.manifest.configs.items() if c.kind == "task"]
    found = examples(bench, task)

    def phi(rows: list[dict[str, Any]]) -> float:
        units = {r["radiograph"]: (r["device"] == "Acme A", r["label"] == 0) for r in rows}
        return float(np.corrcoef(np.array(list(units.values()), float).T)[0, 1])

    assert phi(found["train"]) == pytest.approx(0.8, abs=0.05)
    assert phi(found["ood_test_balanced"]) == pytest.approx(0, abs=0.05)
    assert phi(found["ood_test_reversed"]) == pytest.approx(-0.8, abs=0.1)
    assert {s.flag for s in bench.manifest.configs[task].splits.values()} == {"accept"}


def test_simulated_changes_of_one_device(tmp_path: Path) -> None:
    one = MadeRadiographs(n_patients=160, devices=DEVICES[:1])
    with pytest.raises(ConfigurationError, match="no OOD device"):
        built(tmp_path / "none", one)
    measure = sb.measuring.settings.Measurement(
        spaces=("spectrum",), n_permutations=99, subsets=False, profile=False
    )
    steps = ("dose=5", "blur=0.5", "gamma=1.0001")
    bench = built(tmp_path / "out", one, acquisition=steps, measure=measure)
    [task] = [n for n, c in bench.manifest.configs.items() if c.kind == "task"]
    assert task == "acme_a_acquisition"
    found = examples(bench, task)
    units = {s: {r["radiograph"] for r in rows} for s, rows in found.items()}
    assert units["ood_test_dose_5"] == units["ood_test_blur_0p5"] == units["ood_test_unchanged"]
    assert not any(r["is_ood"] for r in found["ood_test_unchanged"])
    assert bench.manifest.configs[task].splits["ood_test_unchanged"].flag == "accept"
    assert not units["ood_test_dose_5"] & units["id_test"]
    assert {r["change"] for r in found["ood_test_dose_5"]} == {"dose=5"}
    lines = {r["split"]: r for r in bench.table("severities").to_pylist()}
    # What hardly changes costs nothing: the loss is that of the change, not of other patients.
    nothing = lines.pop("ood_test_gamma_1p0001")
    patients = {r["cluster_id"] for r in found["ood_test_unchanged"]}
    assert (nothing["accuracy_lost"], nothing["n_clusters"]) == (0, len(patients))
    assert -0.05 < nothing["lost_low"] <= 0 <= nothing["lost_high"] < 0.05
    assert set(lines) == {"ood_test_dose_5", "ood_test_blur_0p5"}
    for line in lines.values():
        assert line["made"] == "surrogate"
        assert line["distance"] == "mmd"
        assert line["shift"] > 0
        assert line["accuracy_lost"] == pytest.approx(line["accuracy_unchanged"] - line["accuracy"])
    # Another measurement keeps the lines, and adds none where it has no distance of this kind.
    other = sb.measuring.settings.Measurement(
        spaces=("spectrum",), distances=("label_tv",), subsets=False, profile=False
    )
    before = bench.table("severities").to_pylist()
    measure_benchmark(tmp_path / "out", other)
    again = sb.Benchmark(str(tmp_path / "out")).table("severities").to_pylist()
    assert [(r["split"], r["distance"]) for r in again] == [
        (r["split"], r["distance"]) for r in before
    ]
    assert "## Severities" in (tmp_path / "out" / "README.md").read_text("utf-8")


def test_severities_that_a_source_cannot_make_are_left_out_and_said(tmp_path: Path) -> None:
    source = sb.sources.Phantoms(n_patients=24, size=128, devices=("csi_panel",))
    with pytest.warns(UserWarning, match=r"kvp=30, kvp=40, kvp=50.*left out"):
        bench = built(tmp_path / "out", source, acquisition=("kvp",))
    shown = [s for s in bench.manifest.configs["csi_panel_acquisition"].splits if "ood" in s]
    assert shown == ["ood_test_unchanged", "ood_test_kvp_10", "ood_test_kvp_20"]
    with pytest.raises(ConfigurationError, match="155 kV"):
        built(tmp_path / "none", source, acquisition=("gamma", "kvp=30"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": "devize"}, "did you mean 'device'"),
        ({"in_distribution": ("Acme",)}, "Acme A"),
        ({"match": ("veiw",)}, "did you mean 'view'"),
        ({"match": ("device",)}, "the device is made of it"),
        ({"only": ("view",)}, "is no condition|give a column"),
        ({"patch_size": 400}, "smaller than a patch of 400"),
        ({"spacing": 0.1}, "finer than the pixels"),
        ({"acquisition": ("dosis=1",)}, "did you mean 'dose'"),
        ({"acquisition": ("dose=0",)}, "changes nothing"),
        ({"min_patients": 500}, "have enough patients"),
        ({"validation": 0.6, "test": 0.5}, "give shares"),
        ({"patches": 0}, "patches"),
        ({"share": 1.5}, "share"),
        ({"min_patients": 0}, "min_patients"),
    ],
)
def test_bad_options_say_what_to_do(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ShiftbenchError, match=said):
        built(tmp_path / "out", **options)


def test_a_device_rule_stands_beside_simulated_changes(tmp_path: Path) -> None:
    steps = {"acquisition": ("gamma=2",), "in_distribution": ("Acme A & PA",)}
    bench = built(tmp_path / "out", device="device*view", match=("finding",), **steps)
    tasks = [n for n, c in bench.manifest.configs.items() if c.kind == "task"]
    assert tasks == ["acme_a_pa", "acme_a_pa_acquisition"]
    with pytest.raises(ConfigurationError, match="did you mean 'device'"):
        built(tmp_path / "none", device="devize", acquisition=("gamma=2",))


def test_a_radiograph_without_finding_has_no_label_be_a_finding_called_none() -> None:
    table = MadeRadiographs().scan().examples
    named = ["None" if i % 3 else None for i in range(len(table))]
    at = table.column_names.index("finding")
    metadata = replace(
        MadeRadiographs().scan(), examples=table.set_column(at, "finding", pa.array(named))
    )
    plan = sb.builders.XrayPatches(MadeRadiographs(), **SMALL).plan(metadata, 0)
    for split in plan.configs[0].splits:
        radiographs = plan.metadata.examples["radiograph"].take(split.rows["example"]).to_pylist()
        truth = dict(zip(table["example_id"].to_pylist(), named, strict=True))
        found = split.rows["label"].to_pylist()
        assert found == [None if truth[r] is None else 0 for r in radiographs]


def test_other_sources_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="sources that do: radiographs"):
        sb.builders.XrayPatches(sb.sources.Scenes(n_scenes=3))


def test_resampled_to_millimetres(tmp_path: Path) -> None:
    bench = built(tmp_path / "out", spacing=0.4, patch_size=32, in_distribution=("Acme A",))
    row = bench.load("acme_a", split="id_test")[0]
    assert row["image"].size == (32, 32)
    assert max(row["top"], row["left"]) <= 80 - 32


def test_the_devices_can_be_told_by_their_spectrum(bench: sb.benchmark.Benchmark) -> None:
    """The patches show the device: noise and blur differ, and a simple score sees it."""
    loaded = bench.load("acme_a").with_format("arrow")
    tables = [loaded[s][:] for s in ("train", "id_test", "ood_test_coil_c")]
    train, own, other = sb.spaces.embed("spectrum", *tables)
    mean, inverse = train.mean(0), np.linalg.pinv(np.cov(train.T) + 0.1 * np.eye(train.shape[1]))

    def score(x: np.ndarray) -> np.ndarray:
        return np.einsum("ij,jk,ik->i", x - mean, inverse, x - mean)

    roc = roc_points(score(own), score(other))
    assert np.trapezoid(roc.tpr, roc.fpr) > 0.95
