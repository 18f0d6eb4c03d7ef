"""OOD scores of patches taken together by radiograph, with intervals by patient."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, t

import shiftbench as sb
from shiftbench.cli import main
from shiftbench.errors import ConfigurationError
from shiftbench.evaluation import effective_patches, ood, ood_by_patches
from shiftbench.grading.summary import summary, tables
from shiftbench.results import read_results
from shiftbench.schema import ClassLabel
from shiftbench.statistics import stream
from shiftbench.store.manifest import sealed
from tests.small_benchmark import Split, write_benchmark

ROLES = {
    "validation": ("validation", "accept", 0.0),
    "id_test": ("id_test", "accept", 0.0),
    "ood_validation": ("ood_validation", "reject", 0.7),
    "ood_test_a": ("ood_test", "reject", 1.0),
    "ood_test_b": ("ood_test", "accept", 0.3),
}


def made(split):
    """The patches of 1 to 3 radiographs of each of 15 patients, and their scores."""
    rng = stream(0, "patches of a test", split)
    rows = []
    for patient in range(15):
        of_patient = rng.normal()
        for radiograph in range(rng.integers(1, 4)):
            of_radiograph = of_patient + rng.normal()
            for patch in range(rng.integers(1, 7)):
                name = f"{split}-{patient:02}-{radiograph}"
                score = ROLES[split][2] + of_radiograph + rng.normal()
                rows.append((f"{name}-{patch}", name, f"{split}-{patient:02}", score))
    columns = ["example_id", "radiograph", "patient", "score"]
    return pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=0)


PATCHES = {split: made(split) for split in ROLES}


def written(out, notes=None, **changes):
    """A benchmark of those patches; `changes`: columns that replace those of a split."""
    splits = {}
    for name, frame in PATCHES.items():
        own = {"radiograph": frame.radiograph.tolist()} | changes.get(name, {})
        splits[name] = Split(
            ids=frame.example_id.tolist(),
            label=[0] * len(frame),
            clusters=own.pop("patient", frame.patient.tolist()),
            role=ROLES[name][0],
            columns=own,
        )
    bench = write_benchmark(out, {"devices": splits}, ClassLabel(("no", "yes")))
    config = bench.manifest.configs["devices"]
    entries = {
        s: msgspec.structs.replace(e, flag=ROLES[s][1], shift="covariate" if "ood" in s else "none")
        for s, e in config.splits.items()
    }
    config = msgspec.structs.replace(config, splits=entries, notes=notes or {})
    manifest = msgspec.structs.replace(bench.manifest, configs={"devices": config})
    (Path(bench.url) / "shift.json").write_bytes(sealed(manifest))
    return sb.open(out)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return written(tmp_path_factory.mktemp("patches"), {"unit": "radiograph"})


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    """Two models' scores of every patch, in another order than the benchmark's."""
    parts = []
    for model, noise in (("one", 0.0), ("two", 1.0)):
        for split, frame in PATCHES.items():
            rng = stream(1, model, split)
            own = frame[["example_id"]].assign(
                config="devices", split=split, model=model,
                score=frame.score + noise * rng.normal(size=len(frame)),
            )  # fmt: skip
            parts.append(own.sample(frac=1, random_state=1))
    path = tmp_path_factory.mktemp("predictions") / "p.parquet"
    pd.concat(parts).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def results(bench, predicted):
    return bench.evaluate(predicted, resamples=100)


def row(results, metric, split, **of):
    table = results.table.to_pandas()
    for name, value in {"model": "one", **of, "metric": metric, "split": split}.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def by_radiograph(split):
    """Score and patient of each radiograph, by pandas."""
    grouped = PATCHES[split].groupby("radiograph")
    return grouped.score.mean().to_numpy(), grouped.patient.first().tolist()


def literal_interval(one, other, patients):
    """AUROC with Obuchowski's variance on the logit scale, in loops."""
    wins = np.array([[float(x < y) + (x == y) / 2 for y in other] for x in one])
    auroc = wins.mean()
    variance, degrees = [], []
    for placed, names in ((wins.mean(axis=1), patients[0]), (wins.mean(axis=0), patients[1])):
        centred = (placed - auroc) / len(placed)
        sums = pd.Series(centred).groupby(names).sum().to_numpy()
        k = len(sums)
        variance.append(k / (k - 1) * np.sum(sums**2))
        kurtosis = k * np.sum(sums**4) / np.sum(sums**2) ** 2
        degrees.append(min(k - 1, 2 * k / (kurtosis - 1 + 2 / (k - 1))))
    total = sum(variance)
    df = total**2 / sum(v**2 / d for v, d in zip(variance, degrees, strict=True))
    half = t.ppf(0.975, df) * math.sqrt(total) / (auroc * (1 - auroc))
    centre = math.log(auroc / (1 - auroc))
    return auroc, *(1 / (1 + math.exp(-(centre + sign * half))) for sign in (-1, 1))


def test_auroc_of_radiographs_with_an_interval_by_patient(results):
    (one, p), (other, q) = by_radiograph("id_test"), by_radiograph("ood_test_a")
    found = row(results, "auroc_by_radiograph", "ood_test_a")
    value, low, high = literal_interval(one, other, (p, q))
    assert [found.value, found.low, found.high] == pytest.approx([value, low, high])
    assert (found.n_id, found.n_ood, found.n_clusters) == (len(one), len(other), 30)
    told = json.loads(found.parameters)
    assert (told["unit"], told["aggregation"], told["id"]) == ("radiograph", "mean", ["id_test"])
    whole = row(results, "auroc", "ood_test_a")
    assert whole.n > found.n
    assert whole.value != found.value


def test_every_ood_metric_is_there_by_radiograph(results):
    (one, p), (other, q) = by_radiograph("id_test"), by_radiograph("ood_test_a")
    for metric, expected in ood(one, other, (p, q)).items():
        found = row(results, f"{metric}_by_radiograph", "ood_test_a")
        bounds = (expected.value, expected.low, expected.high)
        assert [found.value, found.low, found.high] == pytest.approx(bounds, nan_ok=True)
    metrics = results.table.to_pandas().query("split == 'ood_test_b'").metric.tolist()
    assert "auroc_accepted_by_radiograph" in metrics
    assert "auroc_by_radiograph" not in metrics
    full = row(results, "full_spectrum_auroc_by_radiograph", "ood_test_a")
    accepted, _ = by_radiograph("ood_test_b")
    assert full.n_id == len(one) + len(accepted)


def test_the_threshold_is_one_of_radiographs(results):
    scores, _ = by_radiograph("validation")
    # The least score that keeps 95 % of the validation radiographs at or below it.
    threshold = np.sort(scores)[math.ceil(0.95 * len(scores)) - 1]
    found = row(results, "flagged_at_95tpr_id_of_validation_by_radiograph", "ood_test_a")
    assert found.value == pytest.approx(np.mean(by_radiograph("ood_test_a")[0] > threshold))


def test_curve_against_patches(results):
    curves = results.curves.to_pandas()
    curve = curves[curves.curve == "auroc_against_patches"]
    curve = curve[(curve.model == "one") & (curve.series == "ood_test_a")]
    assert curve.x.tolist() == [1, 2, 4, 6]
    assert curve.x_name.unique().tolist() == ["examples a radiograph, mean"]
    last, whole = curve.iloc[-1], row(results, "auroc_by_radiograph", "ood_test_a")
    assert [last.y, last.low, last.high] == pytest.approx([whole.value, whole.low, whole.high])
    assert last.n == whole.n
    told = json.loads(last.parameters)
    assert told == {
        "unit": "radiograph", "aggregation": "mean", "too_few": "keep", "n_draws": 20, "seed": 0,
    }  # fmt: skip

    def means(split):
        """Of each radiograph the mean of every two patches, or of its only one."""
        groups = PATCHES[split].groupby("radiograph").score
        return [
            [np.mean(pair) for pair in itertools.combinations(own, min(2, len(own)))]
            for _, own in groups
        ]

    expected = np.mean(
        [
            np.mean(np.subtract.outer(b, a) > 0)
            for a in means("id_test")
            for b in means("ood_test_a")
        ]
    )
    sides = [PATCHES["id_test"], PATCHES["ood_test_a"]]
    given = [frame[name] for frame in sides for name in ("score", "radiograph")]
    point = ood_by_patches(*given, counts=(2,), units=tuple(f.patient for f in sides)).points[0]
    at_two = curve[curve.x == 2].iloc[0]
    assert (at_two.y, at_two.low, at_two.high) == (point.value, point.low, point.high)
    assert at_two.y == pytest.approx(expected, abs=5 * point.parameters["se_of_draws"])


@pytest.mark.parametrize("split", ["id_test", "ood_test_a"])
def test_effective_patches_of_each_split(results, split):
    frame = PATCHES[split]
    found = row(results, "effective_patches_by_radiograph", split)
    expected = effective_patches(frame.score, frame.radiograph, units=frame.patient)
    bounds = (expected.value, expected.low, expected.high)
    assert [found.value, found.low, found.high] == pytest.approx(bounds)
    assert json.loads(found.parameters)["unit"] == "radiograph"
    assert found.n_clusters == 15


def test_models_are_compared_by_radiograph(results):
    table = results.table.to_pandas()
    of_pair = table[table.metric == "auroc_difference_by_radiograph"]
    of_pair = of_pair[of_pair.split == "ood_test_a"]
    assert len(of_pair) == 1
    one, two = (
        row(results, "auroc_by_radiograph", "ood_test_a", model=model).value
        for model in of_pair.iloc[0][["model", "compared_to"]]
    )
    assert of_pair.iloc[0].value == pytest.approx(one - two)
    assert of_pair.iloc[0].n_id == len(by_radiograph("id_test")[0])
    assert (table.metric == "auroc_rank_by_radiograph").sum() == 4


def test_the_summary_shows_radiographs(results):
    text = summary(results)
    assert "AUROC, OOD against id_test, by radiograph" in text
    assert "independent examples that those of one are worth, by radiograph" in text
    worth = row(results, "effective_patches_by_radiograph", "id_test").value
    assert f"{worth:.1f} [" in text
    assert "auroc\\_by\\_radiograph" in tables(results, "markdown")
    drawn = [line for line in summary(results).splitlines() if "  1: " in line and "2: " in line]
    points = [p for p in results.curves.to_pylist() if p["curve"] == "auroc_against_patches"]
    assert len(drawn) == len({(p["model"], p["series"]) for p in points})
    assert f"1: {100 * points[0]['y']:.1f}" in drawn[0]


def test_other_settings(bench, predicted):
    found = bench.evaluate(
        predicted, resamples=100, aggregate="top_k", top_k=2, patches=[3, 1, 99], unit="cluster_id"
    )
    curves = found.curves.to_pandas()
    curve = curves[(curves.curve == "auroc_against_patches") & (curves.series == "ood_test_a")]
    most = max(PATCHES[s].patient.value_counts().max() for s in ("id_test", "ood_test_a"))
    assert curve.x.unique().tolist() == [3, 1, most]
    assert json.loads(curve.iloc[0].parameters)["aggregation"] == "mean of the top 2"

    def two_largest(frame):
        return frame.groupby("patient").score.apply(lambda s: s.nlargest(2).mean()).to_numpy()

    one, other = two_largest(PATCHES["id_test"]), two_largest(PATCHES["ood_test_a"])
    expected = np.mean(np.subtract.outer(other, one) > 0)
    assert row(found, "auroc_by_cluster_id", "ood_test_a").value == pytest.approx(expected)
    # What nobody asked to be taken together is in the results, not among the few numbers.
    assert "by cluster_id" not in summary(found)


def test_without_a_word_of_the_benchmark_clusters_are_the_units(tmp_path, predicted):
    plain = written(tmp_path / "b")
    metrics = set(plain.evaluate(predicted, resamples=100).table["metric"].to_pylist())
    assert "auroc_by_cluster_id" in metrics
    asked = plain.evaluate(predicted, resamples=100, unit="radiograph")
    metrics = set(asked.table["metric"].to_pylist())
    assert "auroc_by_radiograph" in metrics
    assert "auroc_by_cluster_id" not in metrics


def test_a_unit_of_one_example_each_is_worth_a_note(tmp_path, predicted):
    alone = {s: {"radiograph": f.example_id.tolist()} for s, f in PATCHES.items()}
    found = written(tmp_path / "b", {"unit": "radiograph"}, **alone).evaluate(predicted)
    assert "devices: nothing by radiograph, since none has two examples in a split" in found.notes
    assert not [m for m in found.table["metric"].to_pylist() if "_by_" in m]


def test_bad_units(tmp_path, bench, predicted):
    with pytest.raises(ConfigurationError, match=r"no column 'radiografh'.*did you mean 'radiogr"):
        bench.evaluate(predicted, unit="radiografh")
    frame = PATCHES["ood_test_a"]
    some = [None, None, *frame.radiograph.tolist()[2:]]
    missing = written(tmp_path / "null", ood_test_a={"radiograph": some})
    words = f"2 of {len(frame)} examples of split 'ood_test_a'.*have no radiograph"
    with pytest.raises(ConfigurationError, match=words):
        missing.evaluate(predicted, unit="radiograph")
    # One radiograph's name in two splits, each with its own patient.
    other = PATCHES["id_test"].radiograph.iloc[0]
    twice = [other, *frame.radiograph.tolist()[1:]]
    split = written(tmp_path / "twice", ood_test_a={"radiograph": twice})
    with pytest.raises(
        ConfigurationError, match=r"1 of .* units by the column 'radiograph' lie in"
    ):
        split.evaluate(predicted, unit="radiograph")


@pytest.mark.filterwarnings("ignore:.* clusters have both")
def test_the_same_radiographs_on_both_sides(tmp_path, predicted):
    """As where an acquisition is simulated on the radiographs of the ID test split."""
    renamed = {
        name: [text.replace("ood_test_a", "id_test") for text in PATCHES["ood_test_a"][name]]
        for name in ("radiograph", "patient")
    }
    same = written(tmp_path / "b", {"unit": "radiograph"}, ood_test_a=renamed)
    # Radiograph 01-2 of one side may be of fewer patches on the other: a name is enough.
    found = row(same.evaluate(predicted, resamples=100), "auroc_by_radiograph", "ood_test_a")
    (one, p), (other, q) = by_radiograph("id_test"), by_radiograph("ood_test_a")
    expected = ood(one, other, (p, [name.replace("ood_test_a", "id_test") for name in q]))["auroc"]
    assert [found.value, found.low, found.high] == pytest.approx(
        [expected.value, expected.low, expected.high]
    )
    assert found.n_clusters == 15
    assert json.loads(found.parameters)["clusters_across"] == 15


def test_from_the_command_line(bench, predicted, tmp_path, capsys):
    out = tmp_path / "r.json"
    words = ["--unit", "radiograph", "--patches", "1", "2", "--resamples", "100"]
    main(["evaluate", bench.url, str(predicted), *words, "--out", str(out)])
    assert "by radiograph" in capsys.readouterr().out
    curves = read_results(out).curves.to_pandas()
    assert sorted(curves[curves.curve == "auroc_against_patches"].x.unique()) == [1, 2, 6]


def coverage(auroc, n_patients, count, rounds, n_draws):
    """Of the AUROC of means of `count` patches, of 1 to 3 radiographs of each patient."""
    rng = stream(0, "coverage by radiograph", f"{auroc} {n_patients} {count}")
    shift = norm.ppf(auroc) * math.sqrt(2 * (0.3 + 0.2 + 0.5 / count))
    held = 0
    for seed in range(rounds):
        sides = []
        for gap in (0.0, shift):
            patient = np.repeat(np.arange(n_patients), rng.integers(1, 4, n_patients))
            radiograph = np.repeat(np.arange(len(patient)), 4)
            score = gap + math.sqrt(0.3) * rng.normal(size=n_patients)[patient][radiograph]
            score += math.sqrt(0.2) * rng.normal(size=len(patient))[radiograph]
            score += math.sqrt(0.5) * rng.normal(size=len(radiograph))
            sides.append((score, radiograph, patient[radiograph]))
        (a, r, p), (b, s, q) = sides
        units = (p, q + n_patients)
        found = ood_by_patches(
            a, r, b, s + len(r), (count,), units=units, n_draws=n_draws, seed=seed
        ).points[0]
        held += found.low <= auroc <= found.high
    return held / rounds


@pytest.mark.parametrize("auroc", [0.6, 0.9])
@pytest.mark.parametrize("count", [2, 4])
def test_the_curve_holds_the_truth(auroc, count):
    rounds = 300
    assert coverage(auroc, 40, count, rounds, 5) >= 0.93 - 3.5 * math.sqrt(0.065 / rounds)


@pytest.mark.slow
@pytest.mark.parametrize("auroc", [0.6, 0.9])
@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("n_patients", [25, 50, 150])
def test_the_curve_holds_the_truth_in_many_samples(auroc, count, n_patients):
    rounds = 1500
    assert coverage(auroc, n_patients, count, rounds, 10) >= 0.93 - 3 * math.sqrt(0.065 / rounds)
