from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation.detection import ood
from shiftbench.evaluation.selective import risk_coverage, risk_coverage_points


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


def test_no_errors_cannot_tell():
    found = risk_coverage([0, 0, 0], [1, 2, 3])
    assert found["aurc"].value == 0
    assert math.isnan(found["aurc"].low)
    assert "cannot tell" in found["aurc"].method


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
    ],
)
def test_bad_input(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        risk_coverage(*arguments)
