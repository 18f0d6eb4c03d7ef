"""OOD metrics against distance, and near/far means: one ID sample, several OOD sets."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy import stats

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation.ood_curves import MINIMUM_SETS, near_far_means, ood_against_distance
from shiftbench.evaluation.ood_resampling import ood_bootstrap


def made(gaps: list[float], n: int = 120, seed: int = 0) -> tuple[np.ndarray, dict, dict]:
    rng = np.random.default_rng(seed)
    known = rng.normal(size=n)
    sets = {f"set {i}": rng.normal(gap, 1, size=n + i) for i, gap in enumerate(gaps)}
    return known, sets, {f"set {i}": 0.5 + i for i in range(len(gaps))}


def test_points_slope_and_rank_correlation() -> None:
    known, sets, distances = made([0.5, 1.5, 1.0, 2.5])
    # The order in which the sets are given does not matter.
    turned = dict(reversed(sets.items()))
    curve = ood_against_distance(known, turned, distances, n_resamples=50)
    assert curve.sets == tuple(sets)
    values = []
    for name, point in zip(curve.sets, curve.points["auroc"], strict=True):
        alone = ood_bootstrap(known, sets[name], n_resamples=5).estimates
        for key, estimate in alone.items():
            at = curve.sets.index(name)
            assert curve.points[key][at].value == pytest.approx(estimate.value, abs=1e-15)
        values.append(point.value)
        assert point.n_ood == len(sets[name])
    assert curve.slope["auroc"].value == pytest.approx(np.polyfit(curve.distances, values, 1)[0])
    assert curve.spearman["auroc"].value == pytest.approx(
        stats.spearmanr(curve.distances, values).statistic
    )
    slopes = [np.polyfit(curve.distances, row, 1)[0] for row in curve.replicates["auroc"]]
    assert curve.slope["auroc"].se == pytest.approx(np.std(slopes, ddof=1))
    assert curve.slope["auroc"].n == len(known) + sum(map(len, sets.values()))


def test_replicates_go_up_and_down_together() -> None:
    known, sets, distances = made([1.0, 1.0, 1.0])
    found = ood_against_distance(known, sets, distances, n_resamples=2000).replicates["auroc"]
    # Half of each variance is the ID sample's, which they share.
    assert np.corrcoef(found.T)[np.triu_indices(3, 1)] == pytest.approx([0.5] * 3, abs=0.15)


def test_near_far_mean_has_the_joint_standard_error() -> None:
    known, sets, _ = made([1.0, 1.0, 1.0, 2.0], n=200)
    groups = dict(zip(sets, ["near", "near", "near", "far"], strict=True))
    found = near_far_means(known, sets, groups, n_resamples=2000)
    mean = found["near"]["auroc"]
    alone = [ood_bootstrap(known, sets[f"set {i}"]).estimates["auroc"] for i in range(3)]
    assert mean.value == pytest.approx(np.mean([e.value for e in alone]))
    # DeLong's variance of the mean: the placements of ID are averaged over the sets.
    of_id = np.mean([[np.mean(sets[f"set {i}"] > x) for x in known] for i in range(3)], axis=0)
    of_ood = [[np.mean(known < y) for y in sets[f"set {i}"]] for i in range(3)]
    expected = math.sqrt(
        np.var(of_id, ddof=1) / 200 + sum(np.var(v, ddof=1) / len(v) for v in of_ood) / 9
    )
    assert mean.se == pytest.approx(expected, rel=0.1)
    assert mean.se > 1.1 * math.sqrt(sum(e.se**2 for e in alone)) / 3
    assert mean.parameters["sets"] == ["set 0", "set 1", "set 2"]
    assert found["far"]["auroc"].parameters["sets"] == ["set 3"]


def test_sets_are_never_pooled() -> None:
    known = [0.0, 1.0, 2.0, 3.0]
    sets = {"small": [4.0], "large": [1.5] * 1000}
    found = near_far_means(known, sets, {"small": "near", "large": "near"}, n_resamples=5)
    assert found["near"]["auroc"].value == 0.75


def test_no_p_value_from_a_handful_of_points() -> None:
    known, sets, distances = made(list(np.linspace(0, 2, MINIMUM_SETS - 1)), n=40)
    few = ood_against_distance(known, sets, distances, n_resamples=20).slope["auroc"]
    assert few.p_value is None
    assert "no_p_value" in few.parameters
    assert few.parameters["generalises_to"] == "new samples from these OOD sets, not new OOD sets"
    known, sets, distances = made(list(np.linspace(0, 2, MINIMUM_SETS)), n=40)
    many = ood_against_distance(known, sets, distances, n_resamples=20)
    assert many.slope["auroc"].p_value == pytest.approx(0.001)
    assert many.spearman["auroc"].p_value == pytest.approx(0.001)


def test_distances_with_errors_widen_the_slope() -> None:
    known, sets, distances = made([0.5, 1.0, 1.5, 2.0], n=400)
    given = ood_against_distance(known, sets, distances, n_resamples=400).slope["auroc"]
    noisy = ood_against_distance(
        known, sets, distances, distance_se=dict.fromkeys(sets, 0.4), n_resamples=400
    ).slope["auroc"]
    assert noisy.value == given.value
    assert noisy.se > 1.2 * given.se


def test_a_patient_in_two_sets_ties_them() -> None:
    rng = np.random.default_rng(0)
    level = rng.normal(size=40)
    known, units = rng.normal(size=80), np.arange(80) // 2
    sets = {
        "a": 1 + np.repeat(level, 3) + 0.3 * rng.normal(size=120),
        "b": 1 + np.repeat(level, 3) + 0.3 * rng.normal(size=120),
    }
    patients = 1000 + np.arange(120) // 3
    apart = {"a": patients, "b": patients + 500}
    together = {"a": patients, "b": patients}
    distances = {"a": 0.0, "b": 1.0}
    one, two = (
        ood_against_distance(known, sets, distances, (units, clusters), n_resamples=400)
        for clusters in (apart, together)
    )
    assert two.slope["auroc"].se < 0.5 * one.slope["auroc"].se
    assert (one.slope["auroc"].n_clusters, two.slope["auroc"].n_clusters) == (120, 80)
    assert one.points["auroc"][0].n_clusters == 80


def test_what_cannot_be_told_is_said() -> None:
    known, sets, distances = made([1.0, 2.0])
    curve = ood_against_distance(known, sets, dict.fromkeys(sets, 1.0), n_resamples=5)
    assert curve.slope["auroc"].method == "cannot tell: one distance"
    alike = ood_against_distance(
        known, dict.fromkeys(sets, known), distances, n_resamples=5
    ).spearman["auroc"]
    assert "the same for all sets" in alike.method
    single = ood_against_distance(known, {"one": [9.0]}, {"one": 1.0}, n_resamples=5)
    assert math.isnan(single.slope["auroc"].value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ood_against_distance([0.0], {}, {}), "no OOD set"),
        (
            lambda: ood_against_distance([0.0], {"lung": [1.0]}, {"lang": 1.0}),
            "did you mean 'lang'",
        ),
        (lambda: ood_against_distance([0.0], {"a": [1.0]}, {"a": 1.0, "b": 2.0}), "'b' is no OOD"),
        (lambda: ood_against_distance([0.0], {"a": [1.0]}, {"a": math.inf}), "not a finite"),
        (
            lambda: ood_against_distance([0.0], {"a": [math.nan]}, {"a": 1.0}),
            "scores of 'a': 1 of 1 scores are NaN",
        ),
        (
            lambda: ood_against_distance([0.0], {"a": [1.0]}, {"a": 1.0}, distance_se={"a": -1.0}),
            "from 0 on",
        ),
        (
            lambda: ood_against_distance(
                [0.0], {"a": [1.0]}, {"a": 1.0}, (["p"], {"a": ["q", "r"]})
            ),
            "one a score",
        ),
        (lambda: ood_against_distance([0.0], {"a": [1.0]}, {"a": None}), "'a' is None"),
        (
            lambda: ood_against_distance([0.0], {"a": [1.0]}, {"a": 1}, distance_se={"a": "x"}),
            "distance_se: that of 'a' is 'x'",
        ),
        (lambda: near_far_means([2**53 + 1], {"a": [1.0]}, {"a": "n"}), "ID scores: 1 values"),
        (lambda: near_far_means([1], {"a": ["0.3"]}, {"a": "n"}), "scores of 'a' holds"),
        (lambda: near_far_means([0.0], {"a": [1.0]}, {}), "1 of 1 OOD sets have none"),
    ],
)
def test_bad_input(call, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        call()


def coverage(runs: int, n: int, size: int, gaps: list[float], n_resamples: int) -> np.ndarray:
    """How often the slope's and the mean's interval hold the truth."""
    rng = np.random.default_rng(0)
    truth = stats.norm.cdf(np.array(gaps) / math.sqrt(2))
    names = [str(i) for i in range(len(gaps))]
    distances = {name: float(i) for i, name in enumerate(names)}
    units = np.arange(n) // size
    held = np.zeros(2)

    def sample(gap: float) -> np.ndarray:
        shared = np.repeat(rng.normal(size=n // size), size) if size > 1 else 0.0
        return (
            gap + math.sqrt(0.5) * shared + math.sqrt(0.5 if size > 1 else 1) * rng.normal(size=n)
        )

    for run in range(runs):
        known, sets = sample(0), {name: sample(g) for name, g in zip(names, gaps, strict=True)}
        clusters = None
        if size > 1:
            clusters = (units, {name: units + 1000 * (i + 1) for i, name in enumerate(names)})
        options = {"n_resamples": n_resamples, "seed": run}
        slope = ood_against_distance(known, sets, distances, clusters, **options).slope["auroc"]
        mean = near_far_means(known, sets, dict.fromkeys(names, "near"), clusters, **options)
        held += [
            slope.low <= np.polyfit(range(len(gaps)), truth, 1)[0] <= slope.high,
            mean["near"]["auroc"].low <= truth.mean() <= mean["near"]["auroc"].high,
        ]
    return held / runs


@pytest.mark.parametrize("gaps", [[1.0, 1.0, 1.0], [0.5, 1.0, 2.0]])
def test_coverage_in_short(gaps: list[float]) -> None:
    assert (coverage(50, 100, 5, gaps, 100) >= 0.8).all()


@pytest.mark.slow
@pytest.mark.parametrize("gaps", [[1.0] * 4, [0.3, 0.8, 1.3, 1.8], [1.5, 2.2, 2.8]])
@pytest.mark.parametrize(("n", "size"), [(50, 1), (200, 1), (200, 5)])
def test_coverage(n: int, size: int, gaps: list[float]) -> None:
    assert (coverage(300, n, size, gaps, 300) >= 0.89).all()


def numbers(estimates) -> list[tuple]:
    return [(e.value, e.low, e.high, e.se, e.p_value) for e in estimates]


@pytest.mark.parametrize("clustered", [False, True])
def test_neither_rows_nor_sets_nor_names_of_clusters_have_an_order(clustered: bool) -> None:
    rng = np.random.default_rng(0)
    known, sets, distances = made([1.0, 1.0, 2.0], 40)
    known = np.round(known, 1)  # ties
    units = (np.arange(len(known)) // 3, {name: 7 + np.arange(40) // 2 for name in sets})
    groups = dict.fromkeys(sets, "near")
    found = []
    for names in (list(sets), list(sets)[::-1]):
        p, q = rng.permutation(len(known)), {name: rng.permutation(40) for name in names}
        moved = {name: sets[name][q[name]] for name in names}
        where = {name: distances[name] for name in names}
        of_sets = {name: [f"u{u}" for u in units[1][name][q[name]]] for name in names}
        given = ([f"u{u}" for u in units[0][p]], of_sets) if clustered else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            means = near_far_means(known[p], moved, groups, given, n_resamples=50)
            curve = ood_against_distance(
                known[p], moved, where, given, distance_se=dict.fromkeys(names, 0.1), n_resamples=50
            )
        found.append(
            numbers(means["near"].values())
            + numbers([*curve.slope.values(), *curve.spearman.values(), *curve.points["auroc"]])
        )
    assert repr(found[0]) == repr(found[1])


def test_clusters_in_id_and_ood_are_warned_of() -> None:
    known, sets, distances = made([1.0, 2.0], 30)
    first, *others = sets
    units = np.arange(len(known)) // 2
    of_sets = {name: 1000 + np.arange(len(sets[name])) for name in others}
    of_sets[first] = units.max() - 4 + np.arange(len(sets[first])) // 2
    for call in (
        lambda: near_far_means(known, sets, dict.fromkeys(sets, "far"), (units, of_sets)),
        lambda: ood_against_distance(known, sets, distances, (units, of_sets), n_resamples=9),
    ):
        with pytest.warns(UserWarning, match="5 clusters have both ID and OOD") as caught:
            found = call()
        assert [w.filename for w in caught] == [__file__]
    one, other = found.points["auroc"]
    assert one.parameters["clusters_across"] == 5
    assert "clusters_across" not in other.parameters
