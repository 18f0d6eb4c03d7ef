"""Regression: numpy and scipy as references, groups, coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation._regression_statistics import METRICS
from shiftbench.evaluation.groups import Groups
from shiftbench.evaluation.regression import regression_by_group, regression_metrics
from shiftbench.statistics import Clusters, stream


def bounds(e):
    return [e.value, e.low, e.high]


NUMBERS = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=40)


@given(NUMBERS)
def test_values_are_the_references(pairs) -> None:
    x, y = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    found = {name: e.value for name, e in regression_metrics(x, y).items()}
    assert found["mse"] == pytest.approx(sk.mean_squared_error(x, y))
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(x, y))
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(x, y))
    assert found["bias"] == pytest.approx(np.mean(y - x))
    if len(set(x)) > 1:
        assert found["r2"] == pytest.approx(sk.r2_score(x, y))
    if len(set(x)) > 1 and len(set(y)) > 1:
        assert found["pearson"] == pytest.approx(stats.pearsonr(x, y)[0])
        assert found["spearman"] == pytest.approx(stats.spearmanr(x, y)[0])
    else:
        assert np.isnan([found["pearson"], found["spearman"]]).all()


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", METRICS)
def test_influences_are_those_of_the_jackknife(name, ties) -> None:
    rng = stream(0, "test")
    x = rng.normal(size=400)
    y = 0.7 * x + rng.normal(size=400)
    if ties:
        x, y = np.round(x), np.round(y)
    statistic, _ = METRICS[name]
    value, influence = statistic(x, y)
    for i in (0, 17, 200):
        without = statistic(np.delete(x, i), np.delete(y, i))[0]
        assert (value - without) * 399 == pytest.approx(influence[i], rel=0.1, abs=0.03)
    assert influence.mean() == pytest.approx(0, abs=1e-9)


def test_a_monotone_map_leaves_spearman_and_its_interval_alone() -> None:
    rng = stream(0, "test")
    x, y = rng.normal(size=(2, 60))
    one, two = regression_metrics(x, y), regression_metrics(np.exp(x), y**3)
    assert bounds(one["spearman"]) == bounds(two["spearman"])
    assert one["pearson"].value != two["pearson"].value


def test_unknown_truths_are_left_out_and_counted() -> None:
    found = regression_metrics([1.0, None, 3.0], [1.5, 9.0, 3.0])
    assert (found["mae"].value, found["mae"].n) == (0.25, 2)
    assert found["mae"].parameters["unknown"] == 1
    assert np.isnan(regression_metrics([np.nan], [1.0])["mse"].value)


def test_what_cannot_be_told() -> None:
    found = regression_metrics([1.0, 1.0, 1.0], [0.1, 0.1, 0.1])
    assert found["pearson"].method == "cannot tell: a side is constant"
    assert np.isnan(found["mse"].low)
    one = regression_metrics([1.0, 2.0], [1.0, 3.0], clusters=["p", "p"])
    assert one["mse"].method == "cannot tell: one cluster"


@pytest.mark.parametrize(
    ("y_true", "y_pred", "words"),
    [
        ([1, 2], [1], "shape"),
        ([1, 2], [1, np.nan], "position 1"),
        ([1, np.inf], [1, 2], "y_true"),
    ],
)
def test_bad_input_is_refused(y_true, y_pred, words) -> None:
    with pytest.raises(ConfigurationError, match=words):
        regression_metrics(y_true, y_pred)


TRUTH = np.tile([1.0, 2.0, 3.0, 4.0, 5.0], 3)
NOISE = np.tile([0.1, -0.2, 0.3, 0.0, -0.1], 3) * np.repeat([1, 2, 5], 5)
PLACE = np.repeat(["a", "b", "c"], 5)


def test_groups_golden() -> None:
    found = regression_by_group(TRUTH, TRUTH + NOISE, PLACE, weights={"a": 3, "c": 1})
    each = {name: m["mse"].value for name, m in found.groups.items()}
    assert each == pytest.approx({"a": 0.03, "b": 0.12, "c": 0.75})
    assert (found.worst.parameters["group"], found.worst.n) == ("c", 5)
    assert found.worst.low <= found.worst.value <= found.worst.high
    assert found.group_mean.value == pytest.approx(0.3)
    assert found.train_weighted.value == pytest.approx(0.75 * 0.03 + 0.25 * 0.75)
    assert found.percentile.parameters["percentile"] == 90
    assert "mse_worst_group" in found.summary()
    assert bounds(found.groups["b"]["mae"]) == pytest.approx(
        bounds(regression_metrics(TRUTH[5:10], (TRUTH + NOISE)[5:10])["mae"])
    )


def test_worst_correlation_is_the_smallest() -> None:
    found = regression_by_group(TRUTH, TRUTH + NOISE, PLACE, worst_by="pearson", minimum_n=5)
    values = {name: m["pearson"].value for name, m in found.groups.items()}
    assert found.worst.value == min(values.values())
    assert found.worst.parameters["group"] == "c"
    assert repr(found.worst_above_minimum_n.value) == repr(found.worst.value)
    assert found.percentile.parameters["percentile"] == 10


def test_groups_too_small_are_left_out_and_counted() -> None:
    place = PLACE.astype(object)
    place[0] = "lonely"
    found = regression_by_group(TRUTH, TRUTH + NOISE, place, worst_by="spearman")
    assert found.worst.parameters["groups_left_out"] == 1
    assert "lonely" in found.groups


def test_worst_on_validation() -> None:
    validation = regression_by_group(TRUTH, TRUTH + NOISE[::-1], PLACE)
    found = regression_by_group(TRUTH, TRUTH + NOISE, PLACE, validation=validation)
    assert found.worst_chosen_on_validation.parameters["group"] == "a"
    by_hand = regression_by_group(TRUTH, TRUTH + NOISE, PLACE, validation={"a": 9.0, "c": 1.0})
    assert repr(by_hand.worst_chosen_on_validation) == repr(found.worst_chosen_on_validation)
    with pytest.raises(ConfigurationError, match="worst in mse, not in mae"):
        regression_by_group(TRUTH, TRUTH, PLACE, validation=validation, worst_by="mae")


def test_a_group_twice_makes_the_mean_no_surer() -> None:
    one = Groups.of_matrix(np.ones((15, 1), dtype=bool), ["a"])
    two = Groups.of_matrix(np.ones((15, 2), dtype=bool), ["a", "b"])
    found = [regression_by_group(TRUTH, TRUTH + NOISE, g).group_mean for g in (one, two)]
    assert bounds(found[0]) == pytest.approx(bounds(found[1]))


def test_bad_options_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'rmse'"):
        regression_by_group(TRUTH, TRUTH, PLACE, worst_by="rmsee")
    with pytest.raises(ConfigurationError, match="none of the groups"):
        regression_by_group(TRUTH, TRUTH, PLACE, weights={"z": 1})


def check(n, size, rho, runs, promised=0.93) -> None:
    rng = stream(0, "coverage of regression", f"{n} {size} {rho}")
    true = {
        "mse": 2 - 2 * rho,
        "mae": np.sqrt(2 - 2 * rho) * np.sqrt(2 / np.pi),
        "bias": 0.0,
        "pearson": rho,
        "spearman": 6 / np.pi * np.arcsin(rho / 2),
        "r2": 2 * rho - 1,
    }
    code = np.arange(n) // size
    clusters = Clusters.of(code) if size > 1 else None
    r = 0.5 if size > 1 else 0.0
    hits = dict.fromkeys(true, 0)
    for _ in range(runs):
        shared, own = rng.normal(size=(2, code[-1] + 1)), rng.normal(size=(2, n))
        x, e = np.sqrt(r) * shared[:, code] + np.sqrt(1 - r) * own
        found = regression_metrics(x, rho * x + np.sqrt(1 - rho**2) * e, clusters)
        for name, value in true.items():
            hits[name] += found[name].low <= value <= found[name].high
    least = stats.binom.ppf(0.0001, runs, promised)
    assert not {name: hit for name, hit in hits.items() if hit < least}


CASES = [(n, s, rho) for n, s in ((50, 1), (200, 1), (200, 4)) for rho in (0.0, 0.6, 0.95)]


@pytest.mark.parametrize("case", CASES[::2], ids=str)
def test_metrics_are_covered(case) -> None:
    check(*case, runs=120)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_metrics_are_covered_fully(case) -> None:
    check(*case, runs=4000)


@pytest.mark.slow
@pytest.mark.parametrize("case", [(50, 4, rho) for rho in (0.0, 0.6, 0.95)], ids=str)
def test_thirteen_clusters_cover_less(case) -> None:
    check(*case, runs=4000, promised=0.90)


def check_worst(worst_by, runs) -> None:
    """Four equal groups: the worst true value is everybody's."""
    rng = stream(0, "coverage of the worst group", worst_by)
    true = {"mse": 1.0, "pearson": np.sqrt(0.5)}[worst_by]
    place = np.repeat(np.arange(4), 50)
    hits = 0
    for _ in range(runs):
        x = rng.normal(size=200)
        found = regression_by_group(x, x + rng.normal(size=200), place, worst_by=worst_by).worst
        hits += found.low <= true <= found.high
    assert hits >= stats.binom.ppf(0.0001, runs, 0.95)


@pytest.mark.parametrize("worst_by", ["mse", "pearson"])
def test_worst_group_is_covered(worst_by) -> None:
    check_worst(worst_by, 60)


@pytest.mark.slow
@pytest.mark.parametrize("worst_by", ["mse", "pearson"])
def test_worst_group_is_covered_fully(worst_by) -> None:
    check_worst(worst_by, 2000)
