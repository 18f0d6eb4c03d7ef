"""The test of P(y | x) and its value: definitions, known truths, refusals, type-I error."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binom, norm
from sklearn.linear_model import LogisticRegression, Ridge

from shiftbench.distances.basis import Basis
from shiftbench.distances.conditional import gcm
from shiftbench.distances.measured import measure
from shiftbench.distances.nuisance import crossfit_logistic, crossfit_ridge
from shiftbench.distances.overlap import domain_of, sign_flip_p_value
from shiftbench.distances.samples import Samples, two_samples
from shiftbench.errors import ConfigurationError

RATES = {
    "linear": lambda x: expit(1.5 * x[:, 0]),
    "quadratic": lambda x: expit(x[:, 0] ** 2 - 1.5),
    "sinusoid": lambda x: 0.5 + 0.4 * np.sin(2 * x[:, 0]),
}
CHANGES = {
    "none": lambda g, x: g,
    "more": lambda g, x: np.clip(g + 0.3, 0, 1),
    "region": lambda g, x: np.where(x[:, 0] > 0.5, 1 - g, g),
    "reversed": lambda g, x: 1 - g,
}


def _draw(seed, m, n, d=2, delta=0.0, rate="linear", change="none", per=1):
    """Features whose first mean differs by `delta`, and labels; clusters share half of both."""
    rng = np.random.default_rng(seed)

    def side(k, of):
        codes = np.arange(k) // per
        c = codes.max() + 1
        x, u = rng.normal(size=(k, d)), rng.normal(size=k)
        if per > 1:
            x = np.sqrt(0.5) * (x + rng.normal(size=(c, d))[codes])
            u = np.sqrt(0.5) * (u + rng.normal(size=c)[codes])
        return x + of * delta * np.eye(d)[0], norm.cdf(u), codes

    (x, u, a), (z, v, b) = side(m, 0), side(n, 1)
    labels = u < RATES[rate](x), v < CHANGES[change](RATES[rate](z), z)
    return two_samples(x, z, takes="features and labels", labels=labels,
                       clusters=(a, b + a.max() + 1))  # fmt: skip


def _truth(delta, rate, change):
    x = np.linspace(-8, 9, 20001)[:, None]
    p, q = norm.pdf(x[:, 0]), norm.pdf(x[:, 0] - delta)
    overlap, g = p * q / (p + q), RATES[rate](x)
    return float(np.average(CHANGES[change](g, x) - g, weights=overlap))


def _band(runs, cells, rate=0.05):
    return int(binom.ppf(0.999 ** (1 / cells), runs, rate))


def _run(s, seed=0, flips=99):
    return gcm(s, n_permutations=flips, level=0.95, seed=seed)


def test_the_value_and_the_test_are_their_definitions() -> None:
    s = _draw(0, 60, 40, delta=0.5, change="more", per=4)
    found, domain = _run(s, flips=0), domain_of(s, 0)
    y = s.labels.astype(float)
    eta = y - crossfit_ridge(domain.basis, y, domain.weights, domain.fold).values
    v, xi = domain.weights, (~s.is_source) - domain.probability
    assert found.value == pytest.approx(np.sum(v * xi * eta) / np.sum(v * xi**2))
    assert found.p_value is None
    assert v[:60].sum() == pytest.approx(v[60:].sum())
    # One sum, by a loop over other flips.
    p = sign_flip_p_value((v * xi * eta)[:, None], np.array([-domain.df]), s, domain, 499, 3)
    sums = np.array([(v * xi * eta)[s.clusters == c].sum() for c in range(25)])
    rng = np.random.default_rng(1)
    flipped = [abs(np.sum(sums * rng.choice([-1, 1], 25))) for _ in range(4000)]
    assert p == pytest.approx(np.mean(np.array(flipped) >= abs(sums.sum())), abs=0.08)


def test_the_regressions_are_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    x, w, fold = rng.normal(size=(60, 3)), rng.uniform(0.5, 2, size=60), np.arange(60) % 3
    y, hot = x[:, 0] + rng.normal(size=60), (x[:, 1] + rng.normal(size=60) > 0).astype(float)
    basis = Basis(x, np.empty((60, 0)), 1.0)
    ridge, logistic = crossfit_ridge(basis, y, w, fold), crossfit_logistic(basis, hot, w, fold)
    for k in range(3):
        i, o = fold != k, fold == k
        alpha = ridge.penalties[0][0] * w[i].sum()
        model = Ridge(alpha=alpha).fit(x[i], y[i], sample_weight=w[i])
        assert np.allclose(ridge.values[o], model.predict(x[o]), atol=1e-5)
        c = 1 / (logistic.penalties[0][0] * w[i].sum())
        other = LogisticRegression(C=c, tol=1e-10).fit(x[i], hot[i], sample_weight=w[i])
        assert np.allclose(logistic.values[o], other.predict_proba(x[o])[:, 1], atol=1e-3)


def test_the_regressions_never_see_their_own_fold() -> None:
    s = _draw(2, 40, 40)
    domain = domain_of(s, 0)
    y = s.labels.astype(float)
    changed = np.where(domain.fold == 0, 1 - y, y)
    one, two = (
        crossfit_ridge(domain.basis, v[:, None], domain.weights, domain.fold) for v in (y, changed)
    )
    if one.penalties == two.penalties:
        assert np.allclose(one.values[domain.fold == 0], two.values[domain.fold == 0])


def test_order_and_names_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    x, z = rng.normal(size=(2, 40, 2))
    y, u = rng.integers(0, 3, size=(2, 40))
    i, j = rng.permutation(40), rng.permutation(40)
    one = measure("gcm", x, z, labels=(y, u), n_permutations=99)
    two = measure("gcm", x[i], z[j], labels=(y[i], u[j]), n_permutations=99)
    assert (one.value, one.low, one.high, one.p_value) == (
        two.value,
        two.low,
        two.high,
        two.p_value,
    )


def test_several_classes() -> None:
    rng = np.random.default_rng(4)
    x, z = rng.normal(size=(2, 150, 2))
    y, u = rng.choice(list("abc"), 150), rng.choice(list("abc"), 150, p=[0.1, 0.3, 0.6])
    found = measure("gcm", x, z, labels=(y, u), n_permutations=199)
    assert set(found.parts) == {"a", "b", "c"}
    assert found.p_value <= 0.01
    assert found.value == max(abs(p.value) for p in found.parts.values())
    assert 0 < found.low < 0.27 < found.high
    assert abs(sum(p.value for p in found.parts.values())) < 0.05
    json.dumps(dict(found.parameters), allow_nan=False)


def test_rare_classes_are_left_out_and_said_so() -> None:
    rng = np.random.default_rng(5)
    x, z = rng.normal(size=(2, 60, 2))
    y, u = rng.choice(["a", "b"], 60), np.array(["c"] * 3 + ["a", "b"] * 28 + ["a"])
    found = measure("gcm", x, z, labels=(y, u), n_permutations=19)
    assert found.parameters["classes"] == ["a", "b"]
    assert found.parameters["classes_left_out"] == 1
    none = measure("gcm", x, z, labels=(["a"] * 60, ["a"] * 55 + ["b"] * 5))
    assert math.isnan(none.value)
    assert none.p_value is None
    assert "cannot tell" in none.method


def test_refuses_without_overlap_and_reports_it() -> None:
    far = _run(_draw(6, 100, 100, delta=8))
    assert math.isnan(far.value)
    assert far.p_value is None
    assert "no overlap" in far.method
    assert far.parameters["overlap_share"] < 0.1
    assert far.parameters["domain_auc"] > 0.98
    near = _run(_draw(6, 100, 100))
    assert near.parameters["overlap_share"] > 0.9
    assert min(near.parameters["overlap_effective_clusters"]) > 80


def test_refuses_more_dimensions_than_it_can_adjust_for() -> None:
    found = _run(_draw(6, 50, 50, d=100, delta=1))
    assert math.isnan(found.value)
    assert "too many" in found.method
    # Many columns of few dimensions are no obstacle.
    s = _draw(6, 60, 60, d=2)
    wide = s.features @ np.random.default_rng(0).normal(size=(2, 200))
    assert not math.isnan(_run(replace(s, features=wide)).value)


def test_one_cluster_on_a_side_is_refused() -> None:
    x = np.random.default_rng(7).normal(size=(40, 2))
    y = np.arange(40) % 2
    for names in (["a"] * 20, list(range(20))), (["a"] * 20, ["b"] * 20), (["a"] * 20,) * 2:
        found = measure("gcm", x[:20], x[20:], labels=(y[:20], y[20:]), clusters=names)
        assert math.isnan(found.value)
        assert "one cluster" in found.method


def test_bad_labels() -> None:
    x = np.random.default_rng(8).normal(size=(40, 2))
    with pytest.raises(ConfigurationError, match="all labels of both sides are 'a'"):
        measure("gcm", x[:20], x[20:], labels=(["a"] * 20, ["a"] * 20))
    with pytest.raises(ConfigurationError, match="give labels"):
        measure("gcm", x[:20], x[20:])


def test_constant_features_leave_the_difference_of_rates() -> None:
    y = np.arange(100) % 2 == 0
    u = np.arange(100) % 4 == 0
    found = measure("gcm", np.ones((100, 1)), np.ones((100, 1)), labels=(y, u), n_permutations=199)
    assert found.value == pytest.approx(-0.25, abs=0.02)
    assert found.p_value < 0.05


def test_no_labels_in_samples_is_a_misuse() -> None:
    with pytest.raises(AssertionError):
        _run(Samples(np.zeros((20, 1)), 10, np.arange(20)))


@pytest.mark.parametrize("change", ["more", "region", "reversed"])
@pytest.mark.parametrize("delta", [0.0, 1.0])
def test_sees_a_change_at_200_a_side(change: str, delta: float) -> None:
    found = [_run(_draw([i, 9], 200, 200, delta=delta, change=change), i) for i in range(3)]
    assert sum(f.p_value <= 0.05 for f in found) >= 2


QUICK = [
    {"m": 50, "n": 50, "rate": "quadratic", "delta": 1.5},
    {"m": 50, "n": 50, "d": 8, "delta": 1.0},
    {"m": 80, "n": 80, "per": 8, "delta": 1.0},
]


def _rejections(runs, cell):
    found = [_run(_draw([i, 10], **cell), i) for i in range(runs)]
    return sum(f.p_value is not None and f.p_value <= 0.05 for f in found), found


def test_type_one_error_under_a_covariate_shift() -> None:
    for cell in QUICK:
        assert _rejections(25, cell)[0] <= _band(25, len(QUICK))


SLOW = [
    {"m": m, "n": n, "rate": rate, "delta": 1.5, "d": d}
    for m, n, d in ((50, 50, 2), (200, 200, 2), (50, 200, 3), (200, 50, 3))
    for rate in ("sinusoid", "quadratic")
] + [
    {"m": 50, "n": 50, "d": 8, "delta": 1.0},
    {"m": 200, "n": 200, "d": 20, "delta": 1.0},
    {"m": 50, "n": 50, "d": 100, "delta": 1.0},
    {"m": 320, "n": 320, "per": 8, "delta": 1.5, "rate": "sinusoid"},
    {"m": 160, "n": 160, "per": 8, "delta": 1.5, "rate": "quadratic"},
    {"m": 320, "n": 320, "per": 40, "delta": 1.0, "rate": "sinusoid"},
]


@pytest.mark.slow
@pytest.mark.parametrize("cell", SLOW)
def test_type_one_error_slow(cell: dict) -> None:
    assert _rejections(100, cell)[0] <= _band(100, len(SLOW))


@pytest.mark.slow
@pytest.mark.parametrize("n", [50, 200])
@pytest.mark.parametrize(
    ("delta", "change"),
    [(0.0, "none"), (0.3, "more"), (1.0, "none"), (1.0, "more"), (1.0, "region")],
)
def test_the_interval_covers(n: int, delta: float, change: str) -> None:
    truth = _truth(delta, "linear", change)
    runs = [_run(_draw([i, 11], n, n, delta=delta, change=change), i, 0) for i in range(100)]
    missed = sum(not f.low <= truth <= f.high for f in runs)
    assert missed <= _band(100, 10, 0.07)


def test_few_of_a_class_on_the_smaller_side() -> None:
    """P(y | x) alike, 50 against 200 examples: signs alone rejected 12 to 18 % here."""
    rejected = 0
    for seed in range(60):
        rng = np.random.default_rng([seed, 50, 200])
        x, z = rng.normal(size=(50, 1)), 1 + rng.normal(size=(200, 1))
        y, u = (rng.random(len(v)) < 0.05 * np.exp(0.7 * v[:, 0] - 0.25) for v in (x, z))
        found = measure("gcm", x, z, labels=(y, u), n_permutations=99, seed=seed)
        rejected += found.p_value is not None and found.p_value <= 0.05
    assert rejected <= 7
