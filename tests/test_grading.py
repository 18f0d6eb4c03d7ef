"""From prediction files to results: the right numbers of the right splits, by the manifest."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import warnings
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import shiftbench as sb
from shiftbench.benchmark import Benchmark
from shiftbench.errors import ConfigurationError, SourceError
from shiftbench.grading.settings import Settings
from shiftbench.results import read_results
from shiftbench.schema import ClassLabel, ListOf, Value
from shiftbench.store.manifest import sealed
from tests.small_benchmark import Split, write_benchmark

SIZES = {
    "train": 120, "validation": 60, "id_test": 80, "ood_validation": 50, "ood_test_a": 60,
    "ood_test_b": 40, "ood_test_c": 70, "ood_test_snow": 64, "ood_test_fog": 48,
}  # fmt: skip
KINDS = {
    "train": ("train", "none", "accept"),
    "validation": ("validation", "none", "accept"),
    "id_test": ("id_test", "none", "accept"),
    "ood_validation": ("ood_validation", "near", "reject"),
    "ood_test_a": ("ood_test", "near", "reject"),
    "ood_test_b": ("ood_test", "near", "reject"),
    "ood_test_c": ("ood_test", "far", "reject"),
    "ood_test_snow": ("ood_test", "covariate", "accept"),
    "ood_test_fog": ("ood_test", "covariate", "both"),
}
DISTANCES = {"ood_test_a": 0.4, "ood_test_b": 0.5, "ood_test_c": 2.0, "ood_test_snow": 0.1}


def _split(name: str, n: int, per_cluster: int) -> Split:
    rng = np.random.default_rng(len(name) * 1000 + n)
    return Split(
        ids=[f"{name}-{i:03}" for i in range(n)],
        label=rng.integers(0, 2, n).tolist(),
        clusters=[f"{name}-{i // per_cluster}" for i in range(n)],
        role=KINDS[name][0],
        columns={
            "place": rng.choice(["water", "land"], n, p=[0.3, 0.7]).tolist(),
            "season": rng.choice(["summer", "winter", None], n).tolist(),
        },
    )


def _restate(bench: Benchmark) -> Benchmark:
    """Write shift, flag and distances into the manifest."""
    path = Path(bench.url)
    rows = [
        {
            "config": "birds", "source": "train", "target": target, "kind": "covariate",
            "distance": "mmd", "space": "pixels", "value": value, "low": value - 0.1,
            "high": value + 0.1,
        }
        for target, value in DISTANCES.items()
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=sb.schema.SHIFT_DISTANCES)
    (path / "data/shift_distances").mkdir(parents=True)
    pq.write_table(table, path / "data/shift_distances/train-00000-of-00001.parquet")
    configs = {}
    for name, config in bench.manifest.configs.items():
        splits = {
            s: msgspec.structs.replace(
                e, role=KINDS[s][0], shift=KINDS[s][1], flag=KINDS[s][2], title=s
            )
            for s, e in config.splits.items()
        }
        configs[name] = msgspec.structs.replace(config, splits=splits)
    entry = msgspec.structs.replace(
        next(iter(bench.manifest.configs["birds"].splits.values())),
        rows=len(rows), files=["data/shift_distances/train-00000-of-00001.parquet"],
    )  # fmt: skip
    configs["shift_distances"] = msgspec.structs.replace(
        bench.manifest.configs["birds"], kind="measured", splits={"train": entry}
    )
    manifest = msgspec.structs.replace(bench.manifest, configs=configs)
    (path / "shift.json").write_bytes(sealed(manifest))
    return sb.open(path)


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    splits = {name: _split(name, n, 1) for name, n in SIZES.items()}
    where = tmp_path_factory.mktemp("birds")
    return _restate(write_benchmark(where, {"birds": splits}, ClassLabel(("land", "sea"))))


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    splits = {name: _split(name, n, 4) for name, n in SIZES.items()}
    where = tmp_path_factory.mktemp("clustered")
    return _restate(write_benchmark(where, {"birds": splits}, ClassLabel(("land", "sea"))))


def _frame(
    bench: Benchmark, model: str = "m", seed: int = 0, good: float = 0.8, shift: float = 1.0
) -> pd.DataFrame:
    """Predictions of one run, in another order than the benchmark's."""
    rng = np.random.default_rng(seed + 17 * len(model))
    parts = []
    for split in SIZES:
        if split == "train":
            continue
        table = bench.table("birds") if split is None else _table(bench, split)
        label = np.array(table["label"])
        n = len(label)
        predicted = np.where(rng.random(n) < good, label, 1 - label)
        sure = rng.uniform(0.5, 1, n)
        probabilities = np.where(
            np.arange(2) == predicted[:, None], sure[:, None], 1 - sure[:, None]
        )
        far = {"near": 1, "far": 2, "covariate": 0.3}.get(KINDS[split][1], 0)
        parts.append(
            pd.DataFrame(
                {
                    "config": "birds",
                    "split": split,
                    "example_id": table["example_id"].to_pylist(),
                    "prediction": [("land", "sea")[c] for c in predicted],
                    "probabilities": probabilities.tolist(),
                    "score": rng.normal(size=n) + shift * far,
                    "model": model,
                    "seed": seed,
                }
            )
        )
    return pd.concat(parts).sample(frac=1, random_state=1)


def _table(bench: Benchmark, split: str) -> pa.Table:
    files = bench.manifest.configs["birds"].splits[split].files
    return pa.concat_tables([pq.read_table(Path(bench.url) / f) for f in files])


def _number(results, metric, split, **where):
    rows = results.table.to_pandas()
    rows = rows[(rows.metric == metric) & (rows.split == split) & rows.spread.isna()]
    for name, value in where.items():
        rows = rows[rows[name].isna() if value is None else rows[name] == value]
    assert len(rows) == 1, f"{len(rows)} rows for {metric} on {split} {where}"
    return rows.iloc[0]


def _scores(bench, frame, split):
    chosen = frame[frame.split == split].set_index("example_id").score
    return chosen.loc[_table(bench, split)["example_id"].to_pylist()].to_numpy()


@pytest.fixture(scope="module")
def graded(birds: Benchmark, tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("predictions") / "p.parquet"
    frame = _frame(birds)
    frame.to_parquet(path, index=False)
    return frame, birds.evaluate(path, resamples=200)


def test_a_split_to_be_flagged_gets_every_metric_against_id_test(birds, graded):
    frame, results = graded
    expected = sb.evaluation.ood(
        _scores(birds, frame, "id_test"), _scores(birds, frame, "ood_test_a")
    )
    for metric, estimate in expected.items():
        row = _number(results, metric, "ood_test_a", subset=None)
        assert row.value == estimate.value
        assert row.low == pytest.approx(estimate.low, nan_ok=True)
        assert (row.n_id, row.n_ood) == (80, 60)
        assert row.positive == estimate.positive
        assert json.loads(row.parameters)["id"] == ["id_test"]


def test_the_digest_is_that_of_both_splits(birds, graded):
    _, results = graded
    splits = birds.manifest.configs["birds"].splits
    row = _number(results, "auroc", "ood_test_a")
    assert row.digest == f"{splits['id_test'].digest}+{splits['ood_test_a'].digest}"


def test_a_split_to_be_accepted_has_its_auroc_under_another_name(graded):
    _, results = graded
    metrics = set(
        results.table.filter(pa.compute.equal(results.table["split"], "ood_test_snow"))[
            "metric"
        ].to_pylist()
    )
    assert "auroc_accepted" in metrics
    assert not {"auroc", "fpr_at_95tpr_id"} & metrics
    both = set(
        results.table.filter(pa.compute.equal(results.table["split"], "ood_test_fog"))[
            "metric"
        ].to_pylist()
    )
    assert {"auroc", "auroc_accepted"} <= both


def test_the_full_spectrum_counts_accepted_splits_as_id(birds, graded):
    frame, results = graded
    one = np.concatenate(
        [_scores(birds, frame, s) for s in ("id_test", "ood_test_snow", "ood_test_fog")]
    )
    expected = sb.evaluation.ood(one, _scores(birds, frame, "ood_test_c"))
    row = _number(results, "full_spectrum_auroc", "ood_test_c")
    assert row.value == expected["auroc"].value
    assert json.loads(row.parameters)["id"] == ["id_test", "ood_test_snow", "ood_test_fog"]
    assert row.n_id == 80 + 64 + 48


def test_near_and_far_are_unweighted_means(graded):
    _, results = graded
    each = [_number(results, "auroc", f"ood_test_{s}").value for s in "ab"]
    row = _number(results, "auroc", "near")
    assert row.value == pytest.approx(np.mean(each), abs=1e-12)
    assert _number(results, "auroc", "far").value == pytest.approx(
        _number(results, "auroc", "ood_test_c").value, abs=1e-12
    )


def test_the_threshold_is_that_of_validation(birds, graded):
    frame, results = graded
    scores = np.sort(_scores(birds, frame, "validation"))
    threshold = scores[math.ceil(0.95 * len(scores)) - 1]
    row = _number(results, "flagged_at_95tpr_id_of_validation", "ood_test_c")
    assert json.loads(row.parameters)["threshold"] == threshold
    assert row.value == np.mean(_scores(birds, frame, "ood_test_c") > threshold)


def test_auroc_against_distance_is_a_curve_with_a_slope_and_no_p_value(graded):
    _, results = graded
    curve = results.curves.to_pandas()
    curve = curve[curve.curve == "auroc_against_distance"]
    assert curve.x.tolist() == [0.1, 0.4, 0.5, 2.0]
    assert curve.x_name.unique().tolist() == ["covariate mmd in pixels from train"]
    rows = results.table.to_pandas()
    slope = rows[rows.metric == "auroc_slope_on_distance"]
    assert len(slope) == 1
    assert slope.p_value.isna().all()


def test_accuracy_against_distance_is_drawn_of_splits(graded):
    _, results = graded
    curve = results.curves.to_pandas()
    curve = curve[curve.curve.str.startswith("accuracy_against_covariate_mmd") & curve.x.notna()]
    assert sorted(curve.x) == [0.1, 0.4, 0.5, 2.0]
    assert curve.series.str.startswith("ood_test").all()


def test_accuracy_of_the_whole_of_groups_and_of_the_worst(birds, graded):
    frame, _ = graded
    results = birds.evaluate(_saved(frame, birds), groups=["place", "place*season"], resamples=100)
    table = _table(birds, "ood_test_b").to_pandas()
    found = frame[frame.split == "ood_test_b"].set_index("example_id")
    truth = np.array(["land", "sea"])[table.label]
    right = found.prediction.loc[table.example_id].to_numpy() == truth
    assert _number(results, "accuracy", "ood_test_b", subset=None).value == right.mean()
    for place in ("water", "land"):
        row = _number(results, "accuracy", "ood_test_b", subset=f"place: {place}")
        assert row.value == pytest.approx(right[table.place == place].mean())
        assert row.n == (table.place == place).sum()
    worst = _number(results, "accuracy_worst_group", "ood_test_b", subset="by place")
    assert worst.value == pytest.approx(pd.Series(right).groupby(table.place).mean().min())
    missing = _number(results, "accuracy", "ood_test_b", subset="place*season: water & (missing)")
    assert missing.n == ((table.place == "water") & table.season.isna()).sum()


def test_gap_is_id_minus_ood(graded):
    _, results = graded
    one = _number(results, "accuracy", "id_test", subset=None).value
    other = _number(results, "accuracy", "ood_test_c", subset=None).value
    row = _number(results, "accuracy_gap", "ood_test_c")
    assert row.value == pytest.approx(one - other)
    assert row.compared_to == "id_test"


def test_clusters_are_honoured_by_default(birds, clustered, graded):
    frame, alone = graded
    together = clustered.evaluate(_saved(frame, clustered), resamples=100)
    one, other = (_number(r, "auroc", "ood_test_a") for r in (alone, together))
    assert one.value == other.value
    assert np.isnan(one.n_clusters)
    assert other.n_clusters == (80 + 60) / 4
    assert "clustered" in other.method
    assert "clustered" in _number(together, "accuracy", "id_test", subset=None).method
    curve = together.curves.to_pandas()
    assert (curve.curve == "auroc_against_patches").any()


def _saved(frame: pd.DataFrame, bench: Benchmark, kind: str = "parquet") -> Path:
    path = Path(bench.url).parent / f"saved-{len(list(Path(bench.url).parent.iterdir()))}.{kind}"
    frame.to_parquet(path, index=False)
    return path


def test_formats_written_by_hand_give_the_same_results(birds, graded, tmp_path):
    frame, results = graded
    listed = frame.assign(probabilities=[json.dumps(p) for p in frame.probabilities])
    listed.to_csv(tmp_path / "pandas.csv")  # with its index
    quoted = listed.reset_index(drop=True)
    quoted.index += 1
    quoted.to_csv(tmp_path / "r.csv", quoting=2, index_label="", na_rep="NA")
    lines = [json.dumps(row) for row in frame.to_dict("records")]
    (tmp_path / "lines.jsonl").write_text("\n".join(lines))
    for name in ("pandas.csv", "r.csv", "lines.jsonl"):
        found = birds.evaluate(tmp_path / name, resamples=200)
        for column in ("split", "subset", "metric", "value", "low", "n", "digest"):
            assert found.table[column].equals(results.table[column]), (name, column)


def test_many_runs_are_compared_ranked_and_drawn(birds):
    frames = [
        _frame(birds, model, seed, good)
        for model, good in (("aa", 0.9), ("bbb", 0.75), ("cccc", 0.6))
        for seed in (0, 1, 2)
    ]
    results = birds.evaluate(
        _saved(pd.concat(frames), birds), resamples=100, baseline=("aa", "bbb", "cccc"),
        selection={"rule": "none", "seeds": {str(s): {"data": s} for s in range(3)}},
    )  # fmt: skip
    rows = results.table.to_pandas()
    ranks = rows[(rows.metric == "accuracy_rank") & (rows.split == "id_test")]
    assert ranks.model.tolist() == ["aa", "bbb", "cccc"]
    differences = rows[(rows.metric == "accuracy_difference") & (rows.split == "ood_test_c")]
    assert len(differences) == 3
    assert differences.p_value.notna().all()
    assert len(rows[(rows.metric == "auroc_difference") & (rows.split == "ood_test_c")]) == 3
    mean = rows[(rows.spread == "mean") & (rows.metric == "auroc") & (rows.split == "ood_test_a")]
    single = rows[rows.spread.isna() & (rows.metric == "auroc") & (rows.split == "ood_test_a")]
    for model, found in single.groupby("model"):
        row = mean[mean.model == model].iloc[0]
        assert row.value == pytest.approx(found.value.mean())
        assert row.n_seeds == 3
        std = rows[(rows.spread == "std") & (rows.metric == "auroc") & (rows.model == model)]
        std = std[std.split == "ood_test_a"].iloc[0]
        assert std.value == pytest.approx(found.value.std(ddof=1))
    assert (rows.spread == "variance of data").any() or any("data" in n for n in results.notes)
    robust = rows[rows.metric == "effective_robustness"]
    assert len(robust[robust.spread.isna()]) == 9 * 6
    assert (robust.spread == "mean").sum() == 3 * 6
    snow = rows[rows.split == "ood_test_snow"]
    assert not snow.metric.isin(["auroc_rank", "auroc_difference"]).any()  # ½ is best there
    key = ["model", "seed", "epoch", "config", "split", "subset", "metric", "spread", "compared_to"]
    assert not rows.duplicated(key).any()
    curves = results.curves.to_pandas()
    line = curves[(curves.curve == "accuracy_on_the_line") & (curves.series == "ood_test_a")]
    line = line[line.x.notna()]
    assert len(line) == 9
    assert results.selection_of("aa")["rule"] == "none"


def test_by_epoch_there_is_a_curve(birds):
    frames = [_frame(birds, "m", 0, g).assign(epoch=e) for e, g in enumerate((0.6, 0.7, 0.8))]
    results = birds.evaluate(_saved(pd.concat(frames), birds), resamples=100)
    curves = results.curves.to_pandas()
    found = curves[(curves.curve == "accuracy_against_epoch") & (curves.series == "id_test")]
    assert found.x.tolist() == [0.0, 1.0, 2.0]


def test_scores_that_look_like_confidences_warn_and_name_the_option(birds, graded):
    frame, results = graded
    path = _saved(frame.assign(score=-frame.score), birds)
    with pytest.warns(UserWarning, match='score_is="confidence"'):
        birds.evaluate(path, resamples=100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        turned = birds.evaluate(path, score_is="confidence", resamples=200)
    assert turned.table["value"].equals(results.table["value"])


def test_on_metashift_scenes_from_the_build_to_the_results(tmp_path):
    pets = sb.builders.DomainGeneralization(
        name="pets",
        train={"cat(home)": ["sofa", "bed"], "dog(home)": ["bed", "cabinet"]},
        test={"outside": {"cat(outside)": ["grass", "car"], "dog(outside)": ["grass", "horse"]}},
    )
    bench = sb.build(
        sb.builders.MetaShift(
            sb.sources.Scenes(n_scenes=600), classes=["cat", "dog"], min_size=10, tasks=[pets]
        ),
        tmp_path / "pets", seed=0,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    lines = []
    for split, entry in bench.manifest.configs["pets"].splits.items():
        table = pa.concat_tables(
            [pq.read_table(tmp_path / "pets" / f, columns=["example_id"]) for f in entry.files]
        )
        lines += [
            {"split": split, "example_id": i, "prediction": "cat", "score": rng.normal()}
            for i in table["example_id"].to_pylist()
            if entry.role != "train"
        ]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, lines)))
    done = _run(
        *("evaluate", tmp_path / "pets", tmp_path / "p.jsonl", "--config", "pets"),
        *("--out", tmp_path / "r.parquet", "--groups", "location"),
    )
    assert done.returncode == 0, done.stderr
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing here is of another benchmark
        results = read_results(tmp_path / "r.parquet")
    metrics = set(results.table["metric"].to_pylist())
    assert {"accuracy", "accuracy_worst_group", "auroc_accepted", "augrc"} <= metrics
    assert "auroc" not in metrics  # no split of the task is to be flagged, and a note says so
    assert any("auroc_accepted" in note for note in results.notes)
    whole = _number(results, "accuracy", "ood_test", subset=None)
    truth = bench.load("pets", "ood_test")["label"]
    assert whole.value == pytest.approx(np.mean(np.array(truth) == 0))


def test_without_id_test_scores_there_is_a_note_and_no_number(birds, graded):
    frame, _ = graded
    path = _saved(frame[frame.split.str.startswith("ood_test")], birds)
    results = birds.evaluate(path, resamples=100)
    assert "auroc" not in results.table["metric"].to_pylist()
    assert any("id_test" in note for note in results.notes)


def test_regression_by_group(tmp_path):
    rng = np.random.default_rng(0)
    splits = {}
    for name in ("train", "id_test", "ood_test"):
        splits[name] = Split(
            ids=[f"{name}-{i}" for i in range(60)],
            label=rng.normal(size=60).tolist(),
            role=name,
            columns={"place": rng.choice(["north", "south"], 60).tolist()},
        )
    bench = write_benchmark(tmp_path / "b", {"heights": splits}, Value("float64"))
    rows = [
        {"config": "heights", "split": s, "example_id": i, "value": v + 0.5}
        for s in ("id_test", "ood_test")
        for i, v in zip(splits[s].ids, splits[s].label, strict=True)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "p.csv", index=False)
    results = bench.evaluate(tmp_path / "p.csv", groups=["place"])
    assert _number(results, "mse", "ood_test", subset=None).value == pytest.approx(0.25)
    assert _number(results, "pearson", "ood_test", subset="place: north").value == pytest.approx(1)


def test_seeds_have_intervals_of_the_level_asked_for_inside_what_is_possible(birds):
    frames = [_frame(birds, "aa", seed, 0.97) for seed in (0, 1, 2, 3)]
    path = _saved(pd.concat(frames), birds)
    crossed = {str(s): {"data": s // 2, "initialisation": s % 2} for s in range(4)}
    plain = birds.evaluate(path, resamples=100, level=0.9).table.to_pandas()
    means = plain[plain.spread == "mean"]
    assert (means.level == 0.9).all()
    shares = means[means.metric.isin(["accuracy", "auroc"])]
    assert shares.low.min() >= 0
    assert shares.high.max() <= 1
    assert ((means.low <= means.value) & (means.value <= means.high))[means.low.notna()].all()
    told = birds.evaluate(path, resamples=100, selection={"seeds": crossed}).table.to_pandas()
    means = told[told.spread == "mean"]
    assert means.low.isna().all()
    assert means.method.str.contains("share a seed").all()
    assert {"variance of data", "variance of initialisation"} <= set(told.spread.dropna())


def test_runs_that_share_a_stated_seed_have_no_interval_over_seeds(birds):
    frames = [_frame(birds, "aa", seed, 0.8) for seed in (0, 1, 2, 3)]
    path = _saved(pd.concat(frames), birds)
    for seeds, told in (
        ({str(s): {"data": s % 2} for s in range(4)}, False),
        ({str(s): {"data": s, "initialisation": s} for s in range(4)}, True),
    ):
        rows = birds.evaluate(path, resamples=100, selection={"seeds": seeds}).table.to_pandas()
        means = rows[(rows.spread == "mean") & (rows.metric == "auroc")]
        assert means.low.notna().all() == told
        assert means.low.isna().all() == (not told)


def test_seeds_that_rest_on_different_splits_are_not_averaged(birds):
    short = _frame(birds, "aa", 1)
    short = short[short.split != "ood_test_b"]
    frames = [_frame(birds, "aa", 0), short]
    rows = birds.evaluate(_saved(pd.concat(frames), birds), resamples=100).table.to_pandas()
    mean = rows[(rows.spread == "mean") & (rows.metric == "auroc")]
    assert "ood_test_a" in set(mean.split)
    assert "near" not in set(mean.split)


def test_a_mean_over_seeds_hides_no_seed(birds):
    frames = [_frame(birds, "aa", seed, 0.8) for seed in (0, 1, 2)]
    first = frames[0].copy()
    at = (first.split == "ood_test_c") & (
        first.index == first[first.split == "ood_test_c"].index[0]
    )
    first.loc[at, "probabilities"] = pd.Series([[1.0, 0.0]] * at.sum(), index=first[at].index)
    truth = _table(birds, "ood_test_c").to_pandas().set_index("example_id").label
    first.loc[at, "probabilities"] = pd.Series(
        [[0.0, 1.0] if truth[i] == 0 else [1.0, 0.0] for i in first[at].example_id],
        index=first[at].index,
    )
    results = birds.evaluate(_saved(pd.concat([first, *frames[1:]]), birds), resamples=100)
    rows = results.table.to_pandas()
    row = rows[(rows.metric == "log_loss") & (rows.split == "ood_test_c") & (rows.spread == "mean")]
    row = row[row.subset.isna()].iloc[0]
    assert row.value == math.inf
    assert "seed 0" in row.method
    assert row.n_seeds == 3


def test_digests_name_every_split_that_a_number_rests_on(birds, graded):
    frame, _ = graded
    results = birds.evaluate(_saved(frame, birds), groups=["place"], resamples=100)
    splits = birds.manifest.configs["birds"].splits
    for metric, other in (
        ("accuracy_train_weighted", "train"),
        ("accuracy_worst_group_chosen_on_validation", "validation"),
    ):
        row = _number(results, metric, "ood_test_c", subset="by place")
        assert row.digest == f"{splits['ood_test_c'].digest}+{splits[other].digest}"


def test_one_model_of_several_that_is_turned_round_is_named(birds):
    turned = _frame(birds, "turned", 0)
    frames = [_frame(birds, "a", 0), _frame(birds, "b", 0), turned.assign(score=-turned.score)]
    with pytest.warns(UserWarning, match="for model turned, seed 0 "):
        birds.evaluate(_saved(pd.concat(frames), birds), resamples=100)


def test_confidences_are_doubted_where_no_split_is_to_be_flagged_too(birds):
    frame = _frame(birds, "m", 0, shift=8.0)
    keep = frame.split.isin(["validation", "id_test", "ood_test_snow"])
    noise = frame[keep].assign(score=np.random.default_rng(0).normal(size=keep.sum()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        birds.evaluate(_saved(noise, birds), resamples=100)
    turned = frame[keep].assign(score=-frame[keep].score)
    with pytest.warns(UserWarning, match="score_is"):
        birds.evaluate(_saved(turned, birds), resamples=100)


def test_a_column_of_numbers_is_grouped_by_edges(tmp_path):
    rng = np.random.default_rng(3)
    splits = {
        name: Split(
            ids=[f"{name}-{i}" for i in range(300)], label=rng.integers(0, 2, 300).tolist(),
            role=name, columns={"place": ["here"] * 300},
        )
        for name in ("train", "id_test")
    }  # fmt: skip
    bench = write_benchmark(tmp_path / "b", {"ages": splits})
    ages = rng.uniform(0, 90, 300)
    for name in ("train", "id_test"):
        path = Path(bench.url) / bench.manifest.configs["ages"].splits[name].files[0]
        table = pq.read_table(path)
        metadata = table.schema.metadata
        table = table.append_column("age", pa.array(ages)).replace_schema_metadata(metadata)
        pq.write_table(table, path)
    rows = [
        {"example_id": i, "split": "id_test", "prediction": "cat"} for i in splits["id_test"].ids
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(ConfigurationError, match="--bins age="):
        bench.evaluate(tmp_path / "p.csv", groups=["age"])
    results = bench.evaluate(tmp_path / "p.csv", groups=["age"], bins={"age": (18, 65)})
    found = _number(results, "accuracy", "id_test", subset="age: age < 18")
    right = np.array(splits["id_test"].label) == 0
    assert found.value == pytest.approx(right[ages < 18].mean())
    done = _run("evaluate", bench.url, tmp_path / "p.csv", "--groups", "age", "--bins", "age=18,x")
    assert done.returncode == 1
    assert "--bins" in done.stderr


def test_several_findings_an_example(tmp_path):
    rng = np.random.default_rng(1)
    splits = {
        name: Split(
            ids=[f"{name}-{i}" for i in range(40)],
            label=[np.flatnonzero(rng.random(3) < 0.4).tolist() for _ in range(40)],
            role=name,
            columns={"device": rng.choice(["one", "two"], 40).tolist()},
        )
        for name in ("train", "id_test")
    }
    names = ("edema", "mass", "nodule")
    bench = write_benchmark(tmp_path / "b", {"chest": splits}, ListOf(ClassLabel(names)))
    guesses = [[n for n in range(3) if rng.random() < 0.4] for _ in range(40)]
    truth = np.array([[n in row for n in range(3)] for row in splits["id_test"].label])
    guess = np.array([[n in row for n in range(3)] for row in guesses])
    lines = [
        json.dumps({"split": "id_test", "example_id": i, "prediction": [names[n] for n in row]})
        for i, row in zip(splits["id_test"].ids, guesses, strict=True)
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(lines))
    results = bench.evaluate(tmp_path / "p.jsonl", groups=["device"])
    whole = _number(results, "subset_accuracy", "id_test", subset=None)
    assert whole.value == pytest.approx((truth == guess).all(axis=1).mean())
    mass = _number(results, "accuracy", "id_test", subset="finding: mass")
    assert mass.value == pytest.approx((truth == guess)[:, 1].mean())
    inside = np.array(splits["id_test"].columns["device"]) == "two"
    two = _number(results, "accuracy", "id_test", subset="device: two")
    assert two.value == pytest.approx((truth == guess).all(axis=1)[inside].mean())


def test_majority_minority_and_the_share_of_the_minority(tmp_path):
    """Two configs that differ in the minority's share; groups are a column, not subsets."""
    rng = np.random.default_rng(2)

    def split(name: str, role: str, shares: list[float], n: int) -> Split:
        group = rng.choice(4, n, p=shares)  # cat(in), cat(out), dog(in), dog(out)
        titles = np.array(["cat(in)", "cat(out)", "dog(in)", "dog(out)"])
        return Split(
            ids=[f"{name}-{i}" for i in range(n)], label=(group // 2).tolist(), role=role,
            columns={"group": titles[group].tolist()},
        )  # fmt: skip

    configs = {}
    for minority in (0.1, 0.2, 0.4):
        cells = [(1 - minority) / 2, minority / 2, minority / 2, (1 - minority) / 2]
        name = f"share_{minority:g}".replace(".", "_")
        configs[name] = {
            "train": split(f"{name}-train", "train", cells, 400),
            "ood_test": split(f"{name}-test", "ood_test", [0.25] * 4, 200),
        }
    bench = write_benchmark(tmp_path / "b", configs)
    for name, entry in bench.manifest.configs.items():
        entry.notes["minority_share"] = {"cat": float(name[6:].replace("_", ".")), "dog": 0.1}
    rows = []
    for name, splits in configs.items():
        test = splits["ood_test"]
        for model in range(6):
            for i, label, group in zip(test.ids, test.label, test.columns["group"], strict=True):
                major = group in ("cat(in)", "dog(out)")
                right = rng.random() < (0.95 if major else 0.5) - 0.05 * model
                rows.append(
                    {
                        "config": name, "split": "ood_test", "example_id": i, "model": f"m{model}",
                        "prediction": ("cat", "dog")[label if right else 1 - label],
                    }
                )  # fmt: skip
    frame = pd.DataFrame(rows)
    frame.to_csv(tmp_path / "p.csv", index=False)
    results = bench.evaluate(tmp_path / "p.csv")
    test = configs["share_0_1"]["ood_test"]
    own = frame[(frame.config == "share_0_1") & (frame.model == "m0")]
    right = own.prediction.to_numpy() == np.array(["cat", "dog"])[test.label]
    major = np.isin(test.columns["group"], ["cat(in)", "dog(out)"])
    of = {"config": "share_0_1", "model": "m0"}
    found = _number(results, "accuracy", "ood_test", subset="(majority) by group", **of)
    assert found.value == pytest.approx(right[major].mean())
    found = _number(results, "accuracy", "ood_test", subset="(minority) by group", **of)
    assert found.value == pytest.approx(right[~major].mean())
    assert found.n == (~major).sum()
    curves = results.curves.to_pandas()
    share = curves[(curves.curve == "accuracy_against_minority_share") & (curves.model == "m0")]
    share = share[(share.series == "ood_test (minority) by group") & share.x.notna()]
    assert share.x.tolist() == pytest.approx([0.1, 0.15, 0.25])
    drawn = curves[(curves.curve == "accuracy_on_the_curve") & (curves.config == "share_0_1")]
    points = drawn[drawn.x.notna()]
    assert len(points) == 6
    assert points.x_name.unique().tolist() == ["accuracy of majority by group"]
    assert set(drawn[drawn.x.isna()].y_name) >= {"r2", "slope", "curvature"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": 95}, "level is 95; it is a fraction"),
        ({"aggregate": "sum"}, "aggregate is 'sum'; there are: mean, median, max, top_k"),
        ({"resamples": 3}, "a whole number from 100 on"),
        ({"seed": -1}, "seed is -1"),
        ({"tpr": "x"}, "tpr is"),
        ({"patches": (0,)}, "patches is 0"),
        ({"tpr": (0.95, 1.5)}, "tpr is 1.5"),
    ],
)
def test_settings_say_what_is_allowed(change, message):
    with pytest.raises(ConfigurationError, match=message.replace("(", r"\(")):
        Settings(**change)


def test_a_single_value_stands_for_a_tuple_of_one():
    settings = Settings(groups="place", tpr=0.9, baseline="a")
    assert (settings.groups, settings.tpr, settings.baseline) == (("place",), (0.9,), ("a",))


def test_a_model_that_nobody_predicted_with_is_refused(birds, graded):
    frame, _ = graded
    with pytest.raises(ConfigurationError, match="compare_to names the model 'mm'"):
        birds.evaluate(_saved(frame, birds), compare_to="mm", resamples=100)


def test_output_that_cannot_be_written_is_one_line(birds, graded, tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full on this system")
    frame, _ = graded
    path = _saved(frame, birds)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "shiftbench.cli", "evaluate", birds.url, str(path)],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


def test_a_column_that_is_not_there_is_named_with_the_near_ones(birds, graded):
    frame, _ = graded
    with pytest.raises(ConfigurationError, match=r"'plce'.*did you mean 'place'"):
        birds.evaluate(_saved(frame, birds), groups=["plce"])
    with pytest.raises(ConfigurationError, match="did you mean 'groups'"):
        birds.evaluate(_saved(frame, birds), group=["place"])


def _run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shiftbench.cli", *map(str, words)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_command_writes_results_that_read_back(birds, graded, tmp_path):
    frame, results = graded
    frame.to_parquet(tmp_path / "p.parquet", index=False)
    out = tmp_path / "results.json"
    words = ("evaluate", birds.url, tmp_path / "p.parquet", "--resamples", 200, "--out", out)
    done = _run(*words)
    assert done.returncode == 0, done.stderr
    assert "wrote" in done.stdout
    found = read_results(out)
    assert found.table.equals(results.table)
    assert found.curves.equals(results.curves)
    table = _run(*words[:3], "--resamples", 200, "--table", "markdown")
    assert table.returncode == 0
    assert "| model |" in table.stdout
    printed = _run(*words[:3], "--resamples", 200, "--json")
    assert json.loads(printed.stdout)["format"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.assign(score=np.where(f.index == f.index[3], np.nan, f.score)), "NaN"),
        (lambda f: f.iloc[1:], "missing"),
        (lambda f: pd.concat([f, f.iloc[:2]]), "model"),
        (lambda f: f.assign(prediction="laand"), "did you mean 'land'"),
        (lambda f: f.assign(probabilities=[[0.2, 0.2]] * len(f)), "sum"),
        (lambda f: f.assign(probabilities=[[0.2, 0.3, 0.5]] * len(f)), "3"),
        (lambda f: f.assign(example_id="x" + f.example_id), "that is not in config"),
        (lambda f: f.assign(split="test"), "'test'"),
    ],
)  # fmt: skip
def test_predictions_that_cannot_be_graded_end_with_one_clear_line(birds, tmp_path, spoil, message):
    frame = _frame(birds).drop(columns=["model", "seed"]).reset_index(drop=True)
    spoil(frame).to_parquet(tmp_path / "p.parquet", index=False)
    done = _run("evaluate", birds.url, tmp_path / "p.parquet")
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    with pytest.raises((SourceError, ConfigurationError)):
        birds.evaluate(tmp_path / "p.parquet")


def test_every_public_name_of_evaluation_is_there():
    import importlib
    import pkgutil

    found = {}
    for info in pkgutil.iter_modules(sb.evaluation.__path__):
        if not info.name.startswith("_"):
            module = importlib.import_module(f"shiftbench.evaluation.{info.name}")
            found |= dict.fromkeys(module.__all__, info.name)
            assert info.name not in module.__all__, "a module would shadow its function"
    assert found == sb.evaluation._NAMES
