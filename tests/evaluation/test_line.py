"""Accuracy on the line: the line, effective robustness, and real models."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import linregress, norm

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation.line import accuracy_on_the_line, effective_robustness

SCRIPT = Path(__file__).resolve().parents[2] / "performance" / "accuracy_on_the_line.py"


def models(rng, n=40):
    u = rng.uniform(-0.5, 1.0, n)
    return norm.cdf(u), norm.cdf(-0.4 + 0.9 * u + rng.normal(0, 0.05, n))


@pytest.mark.parametrize("axes", ["raw", "probit"])
def test_the_line_is_ordinary_least_squares_on_the_axes(axes):
    x, y = models(np.random.default_rng(0))
    to = norm.ppf if axes == "probit" else np.asarray
    expected = linregress(to(x), to(y))
    line = accuracy_on_the_line(x, y, baseline="all", axes=axes)
    assert line.slope.value == pytest.approx(expected.slope)
    assert line.intercept.value == pytest.approx(expected.intercept)
    assert line.r2 == pytest.approx(expected.rvalue**2)
    back = norm.cdf if axes == "probit" else np.asarray
    guess = back(expected.intercept + expected.slope * to(np.array([0.6])))
    assert line.predict([0.6]) == pytest.approx(guess)
    found = effective_robustness(line, 0.6, 0.7)
    assert found.value == pytest.approx(0.7 - guess[0])


def test_only_the_baseline_moves_the_line():
    x, y = models(np.random.default_rng(1))
    names = [f"m{i}" for i in range(40)]
    mask = np.arange(40) < 30
    a = accuracy_on_the_line(x, y, baseline=mask)
    y[30:] = 0.99
    b = accuracy_on_the_line(x, y, baseline=names[:30], models=names)
    assert (b.slope, b.intercept) == (a.slope, a.intercept)
    assert b.baseline == tuple(names[:30])
    assert effective_robustness(b, x[35], y[35]).low > 0


def test_variance_of_the_prediction_is_a_contrast():
    x, y = models(np.random.default_rng(2))
    line = accuracy_on_the_line(x, y, baseline="all", axes="raw")
    # Shifting x so that its zero is at 0.6 makes the prediction there the intercept.
    moved = accuracy_on_the_line(x - 0.6 + 0.5, y, baseline=(x > 0.1) & (x < 0.99), axes="raw")
    (a, both), (_, b) = line.covariance
    at = moved.intercept.value + 0.5 * moved.slope.value
    assert line.predict([0.6]) == pytest.approx([at])
    (c, d), (_, e) = moved.covariance
    assert a + 1.2 * both + 0.36 * b == pytest.approx(c + 1.0 * d + 0.25 * e)


def test_sampling_error_widens_the_interval():
    x, y = models(np.random.default_rng(3))
    line = accuracy_on_the_line(x, y, baseline="all", n_id=50_000, n_ood=10_000)
    bare = effective_robustness(line, 0.7, 0.7)
    full = effective_robustness(line, 0.7, 0.7, n_id=50_000, n_ood=1_000)
    spread = effective_robustness(line, 0.7, 0.7, n_id=50_000, n_ood=1_000, scatter=True)
    assert bare.se < full.se < spread.se
    assert full.se == pytest.approx(math.hypot(bare.se, math.sqrt(0.7 * 0.3 / 1000)), rel=0.1)
    assert bare.method == "line's error only, Student t"
    assert full.method == "line's error + sampling, Student t"
    certain = effective_robustness(line, 0.7, 1.0, n_ood=10)
    assert certain.high > certain.value
    assert line.reliability > 0.99
    assert line.slope_corrected.value > line.slope.value


def test_the_ends_have_a_place_where_the_size_is_known():
    x, y = models(np.random.default_rng(4), 10)
    y[0] = 0.0
    bare = accuracy_on_the_line(x, y, baseline="all")
    assert (bare.n, bare.n_at_ends) == (9, 1)
    known = accuracy_on_the_line(x, y, baseline="all", n_ood=500)
    assert (known.n, known.n_at_ends) == (10, 0)
    y[0] = 0.5 / 501
    assert known.slope.value == pytest.approx(
        accuracy_on_the_line(x, y, baseline="all").slope.value
    )
    assert math.isnan(effective_robustness(bare, 1.0, 0.9).value)
    assert "give n_id" in effective_robustness(bare, 1.0, 0.9).method
    assert math.isfinite(effective_robustness(bare, 1.0, 0.9, n_id=100).value)


def test_missing_accuracies():
    x, y = models(np.random.default_rng(5), 12)
    x[3], y[7] = math.nan, math.nan
    line = accuracy_on_the_line(x, y, baseline="all")
    assert (line.n, line.n_missing) == (10, 2)
    assert math.isnan(effective_robustness(line, 0.5, math.nan).value)


def test_few_models_have_a_line_and_no_interval():
    line = accuracy_on_the_line([0.5, 0.6, 0.7], [0.4, 0.55, 0.6], baseline="all")
    assert math.isfinite(line.slope.value)
    assert math.isnan(line.slope.low)
    found = effective_robustness(line, 0.6, 0.7, n_ood=100)
    assert math.isfinite(found.value)
    assert math.isnan(found.low)
    assert "needs 5" in found.method


def test_coverage_of_effective_robustness_short():
    rng = np.random.default_rng(6)
    hits = 0
    for _ in range(300):
        u = rng.uniform(-0.5, 1.0, 30)
        x, y = norm.cdf(u), rng.binomial(2_000, norm.cdf(-0.4 + 0.9 * u + rng.normal(0, 0.03, 30)))
        x = rng.binomial(20_000, x) / 20_000
        line = accuracy_on_the_line(x, y / 2_000, baseline="all")
        p, q = norm.cdf(0.5), norm.cdf(-0.4 + 0.45) + 0.1
        one = effective_robustness(
            line, rng.binomial(20_000, p) / 20_000, rng.binomial(2_000, q) / 2_000,
            n_id=20_000, n_ood=2_000,
        )  # fmt: skip
        hits += one.low <= 0.1 <= one.high
    assert hits / 300 > 0.89


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x": [50, 60, 70], "baseline": "all"}, "divide percent by 100"),
        ({"baseline": [True, False, False]}, "at least 3"),
        ({"baseline": ["a"]}, "models="),
        ({"baseline": ["aa", "b", "c"], "models": ["a", "b", "c"]}, "did you mean 'a'"),
        ({"baseline": "some"}, "'all'"),
        ({"baseline": [True]}, "1 entries, not 3"),
        ({"x": [0.5, 0.5, 0.5], "baseline": "all"}, "same ID accuracy"),
        ({"baseline": "all", "n_id": 0}, "at least 1"),
        ({"baseline": "all", "axes": "odds"}, "probit"),
        ({"baseline": "all", "models": ["a"]}, "3 accuracies"),
    ],
)
def test_bad_input_is_refused(arguments, words):
    x = arguments.pop("x", [0.5, 0.6, 0.7])
    with pytest.raises(ConfigurationError, match=words):
        accuracy_on_the_line(x, [0.4, 0.5, 0.6], **arguments)


def test_a_robustness_takes_fractions():
    line = accuracy_on_the_line([0.5, 0.6, 0.7], [0.4, 0.5, 0.6], baseline="all")
    with pytest.raises(ConfigurationError, match="divide percent"):
        effective_robustness(line, 60, 0.5)
    with pytest.raises(ConfigurationError, match="divide percent"):
        line.predict([60])


def test_imagenet_models_lie_on_the_line_and_not_on_imagenet_a(shared_data):
    spec = importlib.util.spec_from_file_location("accuracy_on_the_line_script", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    if not (shared_data / script.FILE).is_file():
        pytest.skip(f"the shared data have no {script.FILE}")
    names, columns = script.read(shared_data / script.FILE)
    assert (len(names), len(columns)) == (338, 213)
    by_shift = {(row["shift"], row["x"]): row for row in script.shifts(names, columns)}
    v2 = by_shift["imagenetv2-matched-frequency-format-val", "val"]
    assert (v2["n"], v2["n_missing"], v2["n_runs"]) == (335, 3, 227)
    assert v2["r2"]["line"] > 0.99
    assert 0.85 < v2["probit_slope"][0] < 1.0
    chosen = by_shift["imagenet-a", "val"]
    assert chosen["r2"]["line"] < 0.3 < 0.9 < chosen["r2"]["monotone"]
    x, y = columns["val"], columns["imagenet-sketch"]
    there = np.isfinite(x) & np.isfinite(y)
    expected = np.corrcoef(x[there], y[there])[0, 1] ** 2
    assert by_shift["imagenet-sketch", "val"]["r2"]["line"] == pytest.approx(expected, abs=1e-4)
