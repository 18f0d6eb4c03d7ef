"""Fits of a curve: by hand, against numpy and the literal definitions, and what is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import norm, spearmanr

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation import _monotone
from shiftbench.evaluation._fits import adjusted_least_squares, contrast, regress
from shiftbench.evaluation.curves import curve
from shiftbench.evaluation.york import york_line
from shiftbench.statistics import Clusters


def moon(rng, runs=30, epochs=4, bend=2.0):
    x = np.repeat(rng.uniform(0.5, 0.95, runs), epochs) + np.tile([-0.02, 0, 0.02, 0.04], runs)
    y = 0.3 + 0.4 * x + bend * (x - 0.6) ** 2 + np.repeat(rng.normal(0, 0.02, runs), epochs)
    return x, y + rng.normal(0, 0.01, runs * epochs), np.repeat(np.arange(runs), epochs)


def test_line_by_hand():
    # Σ(x−2)(y−3) = 8, Σ(x−2)² = 10, Σ(y−3)² = 10; residual sum 10 − 6.4.
    found = curve([0, 1, 2, 3, 4], [1, 3, 2, 5, 4])
    line = found.fits["line"]
    assert line.coefficients == pytest.approx({"intercept": 1.4, "slope": 0.8})
    assert line.r2 == pytest.approx(0.64)
    assert line.residual_sd == pytest.approx(math.sqrt(3.6 / 3))
    assert found.slope.value == pytest.approx(0.8)
    assert found.non_linearity.value == pytest.approx(0.36)
    assert found.spearman.value == pytest.approx(0.8)
    assert found.slope.p_value is None
    assert "a p-value needs 10" in found.slope.parameters["p_value"]
    # Leaving each point out by hand: y₀ from the line through the other four, and so on.
    left = 0.0
    for i in range(5):
        keep = np.arange(5) != i
        a, b = np.polyfit(np.arange(5)[keep], np.array([1, 3, 2, 5, 4])[keep], 1)
        left += ([1, 3, 2, 5, 4][i] - (a * i + b)) ** 2
    assert line.rmse_cv == pytest.approx(math.sqrt(left / 5))
    assert line.r2_cv == pytest.approx(1 - left / 10)


@pytest.mark.parametrize("axes", ["raw", "probit", "logit"])
def test_polynomials_are_those_of_numpy(axes):
    x, y, k = moon(np.random.default_rng(0))
    to, back = {
        "raw": (lambda v: v, lambda v: v),
        "probit": (norm.ppf, norm.cdf),
        "logit": (lambda p: np.log(p / (1 - p)), lambda z: 1 / (1 + np.exp(-z))),
    }[axes]
    found = curve(x, y, clusters=k, axes=axes)
    for name, degree, there, home in (
        ("line", 1, to, back),
        ("quadratic", 2, to, back),
        ("probit_line", 1, norm.ppf, norm.cdf),
    ):
        expected = np.polyfit(there(x), there(y), degree)[::-1]
        fit = found.fits[name]
        assert list(fit.coefficients.values()) == pytest.approx(expected, rel=1e-8)
        guess = home(np.polyval(expected[::-1], there(x)))
        assert fit.r2 == pytest.approx(1 - ((y - guess) ** 2).sum() / ((y - y.mean()) ** 2).sum())
        assert fit.predict(x) == pytest.approx(guess)
    z = (to(x) - to(x).mean()) / to(x).std()
    assert found.curvature.value == pytest.approx(np.polyfit(z, to(y), 2)[0])
    assert found.spearman.value == pytest.approx(spearmanr(x, y).statistic)
    assert found.non_linearity.value == pytest.approx(1 - np.corrcoef(to(x), to(y))[0, 1] ** 2)


def literal_cr2(design, y, codes, weights):
    """CR2 and Satterthwaite's df with whole n × n matrices."""
    n = len(y)
    bread = np.linalg.inv(design.T @ design)
    hat = design @ bread @ design.T
    e = y - hat @ y
    meat = np.zeros((design.shape[1],) * 2)
    columns = []
    for g in np.unique(codes):
        rows = codes == g
        values, vectors = np.linalg.eigh(np.eye(rows.sum()) - hat[np.ix_(rows, rows)])
        root = vectors @ np.diag(values**-0.5) @ vectors.T
        score = design[rows].T @ root @ e[rows]
        meat += np.outer(score, score)
        columns.append((np.eye(n) - hat)[:, rows] @ root @ design[rows] @ bread @ weights)
    gram = np.stack(columns, 1).T @ np.stack(columns, 1)
    return math.sqrt(weights @ bread @ meat @ bread @ weights), np.trace(gram) ** 2 / (
        gram**2
    ).sum()


@pytest.mark.parametrize("clustered", [True, False])
def test_cluster_robust_errors_are_the_literal_ones(clustered):
    rng = np.random.default_rng(1)
    codes = np.sort(rng.integers(0, 9, 50)) if clustered else np.arange(50)
    x = rng.normal(size=50) + codes * 0.1
    design = np.vander(x, 3, increasing=True)
    y = rng.normal(size=50)
    weights = np.array([0.3, 0.0, 1.0])
    value, se, df = contrast(regress(design, y), weights, Clusters.of(codes))
    assert value == pytest.approx(weights @ np.linalg.lstsq(design, y, rcond=None)[0])
    assert (se, df) == pytest.approx(literal_cr2(design, y, codes, weights))


def test_a_cluster_that_alone_decides_a_direction_is_no_error():
    x = np.array([0.0, 0, 0, 0, 0, 0, 5, 6, 7])
    y = np.array([1.0, 2, 3, 1, 2, 3, 4, 5, 9])
    value, se, _ = contrast(
        regress(np.vander(x, 2), y), np.array([1.0, 0]), Clusters.of([0, 1, 2, 3, 4, 5, 6, 6, 6])
    )
    assert math.isfinite(value)
    assert math.isfinite(se)


def test_monotone_is_the_best_of_all_monotone_splines():
    rng = np.random.default_rng(2)
    x = rng.uniform(0, 1, 60)
    y = x**3 + rng.normal(0, 0.1, 60)
    design = _monotone.basis(x, _monotone.knots(x))
    found = _monotone.fit(design, y)

    def squares(b):
        return ((y - design @ np.r_[b[0], np.abs(b[1:])]) ** 2).sum()

    slow = min(
        minimize(squares, np.r_[0, rng.random(design.shape[1] - 1)], method="BFGS").fun
        for _ in range(4)
    )
    assert ((y - design @ found) ** 2).sum() == pytest.approx(slow, rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, -1]))
def test_monotone_fit_is_monotone_and_turns_with_y(seed, sign):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, 30)
    y = rng.normal(size=30) + 2 * x
    fit = curve(x, sign * y).fits["monotone"]
    steps = np.diff(fit.predict(np.linspace(-0.2, 1.2, 200)))
    assert (steps >= -1e-9).all() or (steps <= 1e-9).all()
    other = curve(x, y).fits["monotone"]
    assert fit.r2 == pytest.approx(other.r2, abs=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 50), st.floats(-100, 100))
def test_order_units_and_names_do_not_matter(seed, scale, shift):
    rng = np.random.default_rng(seed)
    x, y, k = moon(rng, runs=9)
    order = rng.permutation(len(x))
    a = curve(x, y, clusters=k)
    b = curve(scale * x[order] + shift, y[order], clusters=[f"run {i}" for i in k[order]])
    for name in ("line", "quadratic", "monotone"):
        assert b.fits[name].r2 == pytest.approx(a.fits[name].r2, abs=1e-6)
        assert b.fits[name].r2_cv == pytest.approx(a.fits[name].r2_cv, abs=1e-6)
    for one in ("curvature", "non_linearity", "spearman"):
        first, second = getattr(a, one), getattr(b, one)
        assert (second.value, second.low, second.high) == pytest.approx(
            (first.value, first.low, first.high), rel=1e-5, abs=1e-7
        )
    assert b.slope.value * scale == pytest.approx(a.slope.value, rel=1e-5)


def test_a_bend_is_found_and_a_line_is_left_alone():
    rng = np.random.default_rng(3)
    x, y, k = moon(rng, runs=125)
    bent = curve(x, y, clusters=k)
    assert bent.verdict.startswith("better than the line")
    assert bent.curvature.p_value < 1e-6
    assert bent.n_clusters == 125
    x, y, k = moon(rng, runs=125, bend=0.0)
    straight = curve(x, y, clusters=k)
    assert straight.verdict == "no fit is surely better than the line"
    assert straight.curvature.p_value > 0.001


def test_missing_values_are_left_out_and_counted():
    x, y, k = moon(np.random.default_rng(4))
    more = (np.r_[x, np.nan, 0.5], np.r_[y, 0.5, np.nan], np.r_[k, 99, 100])
    a, b = curve(x, y, clusters=k), curve(more[0], more[1], clusters=more[2])
    assert (b.n, b.n_missing, b.n_clusters) == (a.n, 2, a.n_clusters)
    assert b.curvature == a.curvature


def test_ends_have_no_place_on_probit_axes():
    x = np.r_[0.0, np.linspace(0.2, 0.9, 20), 0.95]
    y = np.r_[0.1, np.linspace(0.1, 0.8, 20), 1.0]
    found = curve(x, y, axes="probit")
    assert (found.n, found.n_at_ends) == (20, 2)
    raw = curve(x, y)
    assert (raw.n, raw.n_at_ends, raw.fits["probit_line"].n) == (22, 0, 20)
    assert math.isfinite(raw.fits["probit_line"].r2)
    assert raw.fits["probit_line"].predict([0.0, 1.0]) == pytest.approx([0.0, 1.0])


@pytest.mark.parametrize("n", range(4))
def test_few_points_tell_nothing_and_say_so(n):
    found = curve(np.arange(n) / 10, np.arange(n) / 20)
    assert all(fit.reason for fit in found.fits.values())
    assert math.isnan(found.slope.value)
    assert found.best == ""
    assert np.isnan(found.fits["line"].predict([0.1])).all()


@pytest.mark.parametrize("clusters", [[0] * 12, [0] * 6 + [1] * 6])
def test_one_or_two_clusters_have_no_interval(clusters):
    x = np.linspace(0, 1, 12)
    y = x + np.sin(9 * x) / 9
    found = curve(x, y, clusters=clusters)
    assert found.slope.value == pytest.approx(np.polyfit(x, y, 1)[0])
    assert math.isnan(found.slope.low)
    assert math.isnan(found.spearman.low)
    assert found.curvature.p_value is None
    assert "cluster" in found.slope.method
    if len(set(clusters)) == 1:
        assert found.slope.method == "cannot tell: one cluster"


def test_constant_and_perfect_data():
    flat = curve([0.3] * 12, np.linspace(0, 1, 12))
    assert flat.fits["line"].reason == "1 different x, it needs 2"
    assert math.isnan(flat.slope.value)
    exact = curve(np.arange(12.0), 2 * np.arange(12.0))
    assert exact.fits["line"].r2 == 1
    assert "perfect" in exact.curvature.method
    assert exact.spearman.value == 1
    assert math.isnan(exact.spearman.low)
    level = curve(np.arange(12.0), np.full(12, 0.5))
    assert math.isnan(level.fits["line"].r2)


def test_rows_are_json():
    x, y, k = moon(np.random.default_rng(5))
    rows = curve(x, y, clusters=k, x_se=0.01, y_se=0.01, x_name="dose").to_rows()
    json.dumps(rows)
    assert {"slope", "curvature", "spearman", "reliability", "slope_york", "gain"} <= {
        r["quantity"] for r in rows
    }
    assert all(r["x"] == "dose" for r in rows)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x": [1, 2], "y": [1]}, "for each of the 2"),
        ({"x": [[1]], "y": [1]}, "shape"),
        ({"x": [1, math.inf], "y": [1, 2]}, "infinite at position 1"),
        ({"x": [1, 2], "y": [1, 2], "axes": "log"}, "raw, probit, logit"),
        ({"x": [50, 60], "y": [0.1, 0.2], "axes": "probit"}, "divide percent by 100"),
        ({"x": [1, 2], "y": [1, 2], "clusters": ["a"]}, "one name a point"),
        ({"x": [1, 2], "y": [1, 2], "x_se": -1.0}, "negative"),
        ({"x": [1, 2], "y": [1, 2], "level": 95}, "level"),
    ],
)
def test_bad_input_is_refused(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        curve(**arguments)


# Errors of x


def test_corrected_line_by_hand():
    x, y = np.array([0.0, 1, 2, 3, 4]), np.array([1.0, 3, 2, 5, 4])
    # Sxy / (Sxx − n σ²) = 8 / (10 − 5 · 0.4) = 1; reliability 1 − 0.4 / 2.5.
    beta, _, reliability = adjusted_least_squares(
        x, y, np.full(5, math.sqrt(0.4)), 1, Clusters.of(range(5))
    )
    assert beta == pytest.approx([1.0, 1.0])
    assert reliability == pytest.approx(0.84)


def test_corrected_coefficients_are_those_of_the_error_free_x():
    rng = np.random.default_rng(6)
    n = 40_000
    x = rng.uniform(-1.5, 1.5, n)
    y = 1 + 2 * x + 0.7 * x**2 + rng.normal(0, 0.3, n)
    se = rng.uniform(0.1, 0.5, n)
    measured = x + rng.normal(0, se)
    clusters = Clusters.of(np.arange(n) // 4)
    beta, error, _ = adjusted_least_squares(measured, y, se, 2, clusters)
    assert (np.abs(beta - [1, 2, 0.7]) < 5 * error).all()
    assert abs(np.polyfit(measured, y, 2)[0] - 0.7) > 10 * error[2]
    none, _, _ = adjusted_least_squares(measured, y, np.zeros(n), 2, clusters)
    assert none == pytest.approx(np.polyfit(measured, y, 2)[::-1])


def test_too_much_error_is_said():
    x, y, _ = moon(np.random.default_rng(7))
    found = curve(x, y, x_se=0.12)
    assert found.reliability < 0.5
    assert "reliability" in found.slope_corrected.method
    assert math.isnan(found.slope_corrected.low)


def test_york_minimises_the_weighted_distance():
    rng = np.random.default_rng(8)
    x = np.linspace(0, 5, 15)
    sx, sy = rng.uniform(0.1, 0.5, 15), rng.uniform(0.1, 0.5, 15)
    x, y = x + rng.normal(0, sx), 1 + 0.5 * x + rng.normal(0, sy)

    def chi2(p):
        return ((y - p[0] - p[1] * x) ** 2 / (sy**2 + p[1] ** 2 * sx**2)).sum()

    best = minimize(chi2, [1, 0.5], method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-12})
    found = york_line(x, y, sx, sy)
    assert (found.intercept.value, found.slope.value) == pytest.approx(best.x, rel=1e-6)
    assert found.chi2 == pytest.approx(best.fun)


def test_york_on_pearsons_points_has_the_published_errors():
    x = [0.0, 0.9, 1.8, 2.6, 3.3, 4.4, 5.2, 6.1, 6.5, 7.4]
    y = [5.9, 5.4, 4.4, 4.6, 3.5, 3.7, 2.8, 2.8, 2.4, 1.5]
    wx = np.array([1000, 1000, 500, 800, 200, 80, 60, 20, 1.8, 1])
    wy = np.array([1, 1.8, 4, 8, 20, 20, 70, 70, 100, 500])
    found = york_line(x, y, wx**-0.5, wy**-0.5)
    assert found.slope.value == pytest.approx(-0.48053340745, abs=1e-10)
    assert found.intercept.value == pytest.approx(5.47991022403, abs=1e-9)
    assert found.slope.se == pytest.approx(0.0576, abs=5e-4)
    assert found.chi2 / found.df == pytest.approx(1.483, abs=1e-3)


def test_york_without_errors_of_x_is_weighted_least_squares():
    x, y, s = [0, 1, 2, 3], [0.1, 1.2, 1.8, 3.3], np.array([0.1, 0.2, 0.1, 0.3])
    expected = np.polyfit(x, y, 1, w=1 / s)
    found = york_line(x, y, 0.0, s)
    assert (found.slope.value, found.intercept.value) == pytest.approx(tuple(expected))


@pytest.mark.parametrize(
    ("x_se", "y_se", "words"), [(0.0, 0.0, "both 0"), (-1.0, 1.0, "≥ 0"), (math.nan, 1, "finite")]
)
def test_york_refuses(x_se, y_se, words):
    with pytest.raises(ConfigurationError, match=words):
        york_line([0, 1, 2], [0, 1, 3], x_se, y_se)
