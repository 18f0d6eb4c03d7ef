from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation.detection import ood
from shiftbench.evaluation.selective import _any_order, risk_coverage, risk_coverage_points
from shiftbench.statistics import Clusters
from shiftbench.statistics.proportions import share


def literal(errors, order):
    """AURC and AUGRC of one order, from the curves; AUGRC by trapezoids from (0, 0)."""
    kept = [errors[i] for i in order]
    n = len(kept)
    aurc = sum(sum(kept[:k]) / k for k in range(1, n + 1)) / n
    generalized = [sum(kept[:k]) / n for k in range(n + 1)]
    augrc = sum((a + b) / 2 / n for a, b in itertools.pairwise(generalized))
    return aurc, augrc


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 0.25]), st.integers(0, 3)), min_size=1, max_size=6)
)
def test_areas_are_the_mean_over_all_orders_of_the_tied(rows):
    errors, scores = zip(*rows, strict=True)
    orders = [
        p for p in itertools.permutations(range(len(rows)))
        if all(scores[a] <= scores[b] for a, b in itertools.pairwise(p))
    ]  # fmt: skip
    expected = np.mean([literal(errors, order) for order in orders], axis=0)
    found = risk_coverage(errors, scores)
    assert found["aurc"].value == pytest.approx(expected[0], abs=1e-12)
    assert found["augrc"].value == pytest.approx(expected[1], abs=1e-12)
    best = literal(errors, sorted(range(len(rows)), key=lambda i: errors[i]))[0]
    assert found["e_aurc"].value == pytest.approx(expected[0] - best, abs=1e-12)
    assert found["error_rate"].value == pytest.approx(np.mean(errors))


def test_augrc_follows_from_auroc_and_accuracy():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=200).round(1)
    errors = rng.random(200) < 1 / (1 + np.exp(1 - scores))
    found = risk_coverage(errors, scores)
    wrong, accuracy = ood(scores[~errors], scores[errors])["auroc"].value, 1 - errors.mean()
    assert found["augrc"].value == pytest.approx(
        (1 - wrong) * accuracy * (1 - accuracy) + 0.5 * (1 - accuracy) ** 2, abs=1e-12
    )


def test_golden_case_by_hand():
    # Kept in the order 0, 1, 0, 1: risks 0, 1/2, 1/3, 1/2; best order 0, 0, 1, 1: 0, 0, 1/3, 1/2.
    found = risk_coverage([0, 1, 0, 1], [1, 2, 3, 4])
    assert found["aurc"].value == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert found["e_aurc"].value == pytest.approx((1 / 2) / 4)
    # Generalized risks 0, 0, 1/4, 1/4, 1/2: trapezoids.
    assert found["augrc"].value == pytest.approx((0 + 1 / 8 + 1 / 4 + 3 / 8) / 4)


def test_points_are_the_literal_curve():
    rng = np.random.default_rng(1)
    errors, scores = rng.random(50), rng.integers(0, 9, 50)
    found = risk_coverage_points(errors, scores)
    for t, c, r, g in zip(found.thresholds, found.coverage, found.risk, found.generalized_risk,
                          strict=True):  # fmt: skip
        kept = scores <= t
        assert (c, r) == (kept.mean(), pytest.approx(errors[kept].mean()))
        assert g == pytest.approx(r * c)
    few = risk_coverage_points(rng.random(500), rng.normal(size=500), max_points=20)
    assert len(few.risk) <= 20
    assert few.coverage[-1] == 1.0


@pytest.mark.parametrize("kind", ["zero-one", "losses"])
def test_influences_are_the_jackknifes(kind):
    rng = np.random.default_rng(2)
    n = 400
    scores = rng.normal(size=n).round(2)
    errors = (rng.random(n) < 0.3) if kind == "zero-one" else rng.exponential(size=n)
    errors = errors.astype(float)
    found = risk_coverage(errors, scores)
    left_out = {name: [] for name in found}
    for i in range(n):
        others = np.arange(n) != i
        for name, estimate in risk_coverage(errors[others], scores[others]).items():
            left_out[name].append(estimate.value)
    for name, estimate in found.items():
        jackknife = math.sqrt((n - 1) * np.var(left_out[name]))
        assert estimate.se == pytest.approx(jackknife, rel=0.06)


def test_clusters_are_honoured():
    rng = np.random.default_rng(3)
    names = np.repeat(np.arange(30), 8)
    errors = rng.random(30)[names] > 0.7
    scores = rng.normal(size=240)
    plain, found = risk_coverage(errors, scores), risk_coverage(errors, scores, names)
    for name in found:
        assert found[name].n_clusters == 30
        assert found[name].value == plain[name].value
    assert found["augrc"].se > 1.5 * plain["augrc"].se
    alone = risk_coverage(errors, scores, [0] * 240)
    assert math.isnan(alone["aurc"].low)
    assert "one cluster" in alone["aurc"].method


@pytest.mark.parametrize("wrong", [0, 1])
@pytest.mark.parametrize("names", [None, np.arange(200) // 4])
def test_areas_have_the_bounds_of_any_order_where_there_is_no_scatter(wrong, names):
    scores = np.random.default_rng(4).normal(size=200)
    found = risk_coverage([wrong] * 200, scores, names)
    for estimate in found.values():
        assert estimate.low <= estimate.value <= estimate.high
        assert 0 < estimate.high - estimate.low < (0.12 if names is None else 0.4)
    words = "" if names is None else "clustered "
    assert found["error_rate"].method == f"{words}Wilson"
    assert found["aurc"].method == f"{words}Clopper–Pearson, any order"
    if names is None and not wrong:
        p = 1 - 0.025 ** (1 / 200)
        assert found["aurc"].high == pytest.approx(p * (1 - math.log(p)))
        assert found["augrc"].high == pytest.approx(p - p * p / 2)
        assert found["e_aurc"].high == pytest.approx(-p * math.log(p) - (1 - p) * math.log(1 - p))


@pytest.mark.parametrize("wrong", [1, 37, 320, 400])
def test_bounds_of_any_order_are_the_areas_of_the_best_and_the_worst(wrong):
    n = 400
    errors = np.arange(n) < wrong
    worst, best = risk_coverage(errors, np.arange(n)), risk_coverage(errors, -np.arange(n))
    bounds = _any_order(wrong / n, wrong / n)
    for name in ("aurc", "augrc"):
        assert best[name].value == pytest.approx(bounds[name][0], abs=0.005)
        assert worst[name].value == pytest.approx(bounds[name][1], abs=0.01)
    assert worst["e_aurc"].value == pytest.approx(bounds["e_aurc"][1], abs=0.01)
    assert _any_order(0.2, 0.9)["e_aurc"][1] == pytest.approx(math.log(2))


def test_the_best_order_has_an_excess_with_bounds():
    errors = np.arange(100) >= 90
    found = risk_coverage(errors, np.arange(100))["e_aurc"]
    assert (found.value, found.low) == (0.0, 0.0)
    assert 0 < found.high < 0.5


def test_error_rate_is_wilsons_and_bounds_stay_in_range():
    rng = np.random.default_rng(5)
    errors, names = rng.random(60) < 0.2, np.arange(60) // 3
    for groups in (None, names):
        found = risk_coverage(errors, rng.normal(size=60), groups)["error_rate"]
        expected = share(errors, None if groups is None else Clusters.of(groups))
        assert found == expected
    few = risk_coverage([1, 0, 0, 0], [0, 3, 1, 2])
    assert few["e_aurc"].high <= 1
    losses = risk_coverage(rng.random(60), rng.normal(size=60))["error_rate"]
    assert losses.method == "linearised, logit, t"


@pytest.mark.parametrize("kind", ["zero-one", "losses"])
def test_the_order_of_the_rows_changes_no_bit(kind):
    rng = np.random.default_rng(6)
    scores = rng.normal(size=300).round(1)
    errors = rng.random(300) / 3 if kind == "losses" else (rng.random(300) < 0.3) / 1.0
    first = risk_coverage(errors, scores)
    names = np.arange(300) // 3
    clustered = risk_coverage(errors, scores, names)
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(300)
        assert risk_coverage(errors[order], scores[order]) == first
        again = risk_coverage(errors[order], scores[order], names[order])
        for name, estimate in clustered.items():
            assert again[name].value == estimate.value
            assert again[name].low == pytest.approx(estimate.low, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([], []), "0 errors and 0 scores"),
        (([1], [1, 2]), "1 errors and 2 scores"),
        (([0, math.nan], [1, 2]), "errors: 1 of 2"),
        (([0, 1], [1, math.nan]), "scores: 1 of 2"),
        (([0, -1], [1, 2]), "position 1"),
        (([0, math.inf], [1, 2]), "finite"),
        (([0, 1], [1, 2], [1]), "1 names for 2"),
        (([0, 1], [1, 2], "ab"), "'ab' is no list of names"),
        (([0, 1], [1, 2], 7), "7 is no list of names"),
        (([0, 1], [1, 2], np.zeros((2, 2))), "shape"),
    ],
)
def test_bad_input(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        risk_coverage(*arguments)


def test_bad_options():
    with pytest.raises(ConfigurationError, match="level is 'a'"):
        risk_coverage([0, 1], [1, 2], level="a")
    for points in (1, "a"):
        with pytest.raises(ConfigurationError, match="at least 2"):
            risk_coverage_points([0, 1], [1, 2], max_points=points)
