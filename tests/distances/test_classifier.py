"""The classifier two-sample test against brute force, scikit-learn, and by simulation."""

from __future__ import annotations

import json
import math
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.svm import LinearSVC

from shiftbench.distances.basis import folds_of_clusters, pooled_basis
from shiftbench.distances.classifier import PENALTY, SHARE, _aucs, _ridge, c2st
from shiftbench.distances.measured import measure
from shiftbench.distances.overlap import auc_of_folds
from shiftbench.distances.samples import two_samples
from shiftbench.errors import ConfigurationError

FAMILY = 0.001


def _samples(seed, m=30, n=30, d=3, delta=0.0, per=1, rho=0.5):
    """Normal samples; the first feature's mean differs, and `per` rows share a cluster's mean."""
    rng = np.random.default_rng(seed)

    def side(k):
        codes = np.arange(k) // per
        own = rng.normal(size=(codes.max() + 1, d))[codes]
        if per == 1:
            return own, codes
        return np.sqrt(rho) * own + np.sqrt(1 - rho) * rng.normal(size=(k, d)), codes

    (x, a), (y, b) = side(m), side(n)
    y[:, 0] += delta
    return two_samples(x, y, takes="features", clusters=(a, b + a.max() + 1))


def _band(n_runs, cells, rate=0.05):
    """The most rejections that all cells stay below with probability 99.9 %."""
    return int(binom.ppf((1 - FAMILY) ** (1 / cells), n_runs, rate))


def test_ridge_is_scikit_learns_on_the_same_features_for_any_labels() -> None:
    s = _samples(0, delta=0.5)
    fold, basis = folds_of_clusters(s, 5, 0), pooled_basis(s, 500, 0, linear=1000)
    x = np.hstack([basis.kernel, SHARE * basis.linear])
    labels = np.random.default_rng(1).integers(0, 2, size=(60, 4)).astype(float)
    found = _ridge(basis, fold)(labels)
    for k in range(5):
        inside, outside = fold != k, fold == k
        model = Ridge(alpha=PENALTY * inside.sum()).fit(x[inside], labels[inside])
        wanted = model.predict(x[outside]) - model.intercept_ - x[inside].mean(0) @ model.coef_.T
        assert np.allclose(found[outside], wanted, atol=1e-6)


@pytest.mark.parametrize("decimals", [0, 6])
def test_auc_inside_folds_is_scikit_learns_with_ties(decimals: int) -> None:
    s, rng = _samples(2), np.random.default_rng(3)
    scores, fold = rng.normal(size=60).round(decimals), rng.integers(0, 4, size=60)
    target = (~s.is_source).astype(float)
    each = [(roc_auc_score(target[f], scores[f]), target[f].sum() * (1 - target[f]).sum())
            for f in (fold == k for k in range(4))]  # fmt: skip
    wanted = np.average([a for a, _ in each], weights=[w for _, w in each])
    assert auc_of_folds(scores, s, fold)[0] == pytest.approx(wanted)
    assert _aucs(scores[:, None], target[:, None], fold)[0] == pytest.approx(wanted)


def test_permutations_are_refits_by_brute_force() -> None:
    s = _samples(4, m=4, n=3, d=1)
    found = c2st(s, n_permutations=1000, level=0.95, seed=0, folds=2)
    fold, basis = folds_of_clusters(s, 2, 0), pooled_basis(s, 500, 0, linear=1000)
    x = np.hstack([basis.kernel, SHARE * basis.linear])
    values = []
    for source in combinations(range(7), 4):
        target = np.ones(7)
        target[list(source)] = 0
        right = pairs = 0.0
        for k in range(2):
            inside, outside = fold != k, fold == k
            model = Ridge(alpha=PENALTY * inside.sum()).fit(x[inside], target[inside])
            score, own = model.predict(x[outside]), target[outside]
            for one, two in product(score[own == 0], score[own == 1]):
                right += 0.5 if abs(one - two) < 1e-7 else float(two > one)
                pairs += 1
        values.append(right / pairs if pairs else 0.5)
    assert found.parameters["exact"]
    assert found.parameters["permutations"] == len(values) == 35
    assert found.value == pytest.approx(values[0])
    assert found.p_value == pytest.approx(np.mean(np.array(values) >= values[0] - 1e-9))


def test_folds_do_not_depend_on_the_sides_nor_split_a_cluster() -> None:
    rng = np.random.default_rng(5)
    x, names = rng.normal(size=(40, 2)), rng.integers(0, 12, size=40)
    rows = [rng.permutation(40) for _ in range(2)]
    found = []
    for order in rows:
        one, two = order[:20], order[20:]
        s = two_samples(x[one], x[two], takes="features", clusters=(names[one], names[two]))
        fold = folds_of_clusters(s, 5, 0)
        assert all(len(set(fold[s.clusters == c])) == 1 for c in np.unique(s.clusters))
        found.append({tuple(row): int(f) for row, f in zip(s.features, fold, strict=True)})
    # Sums of clusters that lie on both sides are rounded in another order at most.
    assert found[0] == found[1]


def test_result_does_not_depend_on_the_order_of_examples() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(25, 2)), rng.normal(size=(31, 2))
    one = measure("c2st", x, y, n_permutations=99)
    again = measure("c2st", x[rng.permutation(25)], y[rng.permutation(31)], n_permutations=99)
    assert (one.value, one.low, one.p_value) == (again.value, again.low, again.p_value)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(5, 12), st.integers(5, 12), st.integers(1, 4))
def test_any_small_discrete_samples(seed: int, m: int, n: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 3, size=(m, d)), rng.integers(0, 3, size=(n, d))
    found = measure("c2st", x, y, n_permutations=50)
    if math.isnan(found.value):
        assert found.p_value is None
        assert "cannot tell" in found.method
        return
    assert 0 <= found.value <= 1
    assert 0 < found.p_value <= 1
    assert math.isnan(found.low) or found.low <= found.value <= found.high
    json.dumps(dict(found.parameters), allow_nan=False)


def test_constant_features_and_equal_samples_are_no_shift() -> None:
    found = measure("c2st", np.ones((20, 2)), np.ones((20, 2)), n_permutations=50)
    assert (found.value, found.p_value) == (0.5, 1.0)
    assert found.low < 0.5 < found.high


def test_far_apart_is_one() -> None:
    found = measure("c2st", np.arange(20.0), 100 + np.arange(20.0), n_permutations=99)
    assert found.value == found.high == 1.0
    assert 0.5 < found.low < 1
    assert found.p_value == 0.01


@pytest.mark.parametrize(
    "classifier", ["logistic", "forest", "boosting", LinearSVC(), LogisticRegression(C=0.1)]
)
def test_other_classifiers_see_a_large_shift(classifier: object) -> None:
    found = c2st(_samples(7, 40, 40, delta=3), n_permutations=3, level=0.95, seed=0,
                 classifier=classifier)  # fmt: skip
    assert found.value > 0.9
    assert found.p_value == 0.25
    json.dumps(dict(found.parameters), allow_nan=False)


def test_a_classifiers_scores_are_those_of_its_refits() -> None:
    s = _samples(8, 30, 20, delta=0.5)
    found = c2st(s, n_permutations=0, level=0.95, seed=0, classifier=LogisticRegression())
    fold, target = folds_of_clusters(s, 5, 0), ~s.is_source
    parts = []
    for k in range(5):
        inside, outside = fold != k, fold == k
        score = LogisticRegression().fit(s.features[inside], target[inside])
        own = target[outside]
        parts.append((roc_auc_score(own, score.decision_function(s.features[outside])),
                      own.sum() * (~own).sum()))  # fmt: skip
    assert found.value == pytest.approx(
        np.average([p[0] for p in parts], weights=[p[1] for p in parts])
    )
    assert found.p_value is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"classifier": "forrest"}, "did you mean 'forest'"),
        ({"classifier": LogisticRegression}, "is not an object with fit"),
        ({"folds": 1}, "whole numbers from 2"),
    ],
)
def test_bad_options(options: dict, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        c2st(_samples(9), n_permutations=0, level=0.95, seed=0, **options)


def test_sees_what_is_not_a_mean() -> None:
    rng = np.random.default_rng(10)
    x, y = rng.normal(size=(2, 150, 5))
    assert measure("c2st", x, 1.5 * y, n_permutations=199).p_value <= 0.01
    y[:, 1] = 0.9 * y[:, 0] + np.sqrt(1 - 0.81) * y[:, 1]
    assert measure("c2st", x, y, n_permutations=199).p_value <= 0.05


CELLS = {
    "50": {"m": 50, "n": 50},
    "unequal": {"m": 30, "n": 90},
    "wide": {"m": 40, "n": 40, "d": 120},
    "clusters": {"m": 160, "n": 160, "d": 2, "per": 8},
}


def _runs(runs, permutations=99, **settings_):
    found = [
        c2st(_samples([i, 11], **settings_), n_permutations=permutations, level=0.95, seed=i)
        for i in range(runs)
    ]
    rejected = sum(f.p_value <= 0.05 for f in found)
    return rejected, np.array([[f.value, f.low, f.high] for f in found])


def test_type_one_error_and_coverage_with_no_shift() -> None:
    for cell in CELLS.values():
        rejected, found = _runs(40, 59, **cell)
        assert rejected <= _band(40, len(CELLS))
        assert np.sum((found[:, 1] > 0.5) | (found[:, 2] < 0.5)) <= _band(40, len(CELLS), 0.07)


@pytest.mark.slow
@pytest.mark.parametrize("cell", [*CELLS.values(), {"m": 200, "n": 200, "d": 5},
                                  {"m": 320, "n": 320, "d": 2, "per": 40}])  # fmt: skip
def test_type_one_error_slow(cell: dict) -> None:
    rejected, _ = _runs(200, **cell)
    assert rejected <= _band(200, 6)


@pytest.mark.slow
@pytest.mark.parametrize("delta", [0.0, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("cell", ["50", "unequal", "wide", "clusters"])
def test_the_interval_covers_the_expected_auc(cell: str, delta: float) -> None:
    _, found = _runs(150, 1, delta=delta, **CELLS[cell])
    truth = found[:, 0].mean()
    missed = np.sum((found[:, 1] > truth) | (found[:, 2] < truth))
    assert missed <= _band(150, 16, 0.07)
