"""The Fréchet distance: closed forms, bias, coverage, more features than examples, type-I error."""

from __future__ import annotations

import numpy as np
import pytest
from known_shifts import NULLS, fewest_hits, gaussians, most_rejections
from scipy.linalg import sqrtm

from shiftbench.distances import measure
from shiftbench.distances.gaussian import frechet_distance


def plug_in(x, y):
    return measure("frechet", x, y, n_permutations=0).parameters["plug_in"]


def by_definition(x, y):
    a, b = np.cov(x.T).reshape(x.shape[1], -1), np.cov(y.T).reshape(x.shape[1], -1)
    root = sqrtm(a @ b)
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * np.real(root))


@pytest.mark.parametrize("d", [1, 4])
def test_the_plug_in_is_the_definition(d):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 4, size=(30, d)) * 1.0, rng.normal(size=(20, d)) * 2 + 1
    assert plug_in(x, y) == pytest.approx(by_definition(x, y))


def test_more_features_than_examples_are_the_definition_too():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(6, 30)), rng.normal(size=(9, 30)) + 1
    a, b = np.cov(x.T), np.cov(y.T)
    half = np.real(sqrtm(a + 1e-12 * np.eye(30)))
    overlap = np.sqrt(np.clip(np.linalg.eigvalsh(half @ b @ half), 0, None)).sum()
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b) - 2 * overlap
    assert plug_in(x, y) == pytest.approx(expected, rel=1e-4)
    assert plug_in(x, y) == pytest.approx(frechet_distance(x, y))


def test_diagonal_normal_distributions_have_the_closed_form():
    """Samples whose means and covariances are exactly those of the two distributions."""
    rng = np.random.default_rng(2)
    z = rng.normal(size=(50, 3))
    z -= z.mean(0)
    z = z @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T)).T)
    s, t, gap = np.array([1.0, 2.0, 0.5]), np.array([3.0, 2.0, 0.0]), np.array([1.0, 0.0, -2.0])
    assert plug_in(z * s, z * t + gap) == pytest.approx(5 + ((s - t) ** 2).sum())


def test_neither_order_nor_sides_nor_a_rotation_matter():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(30, 3)) + 1
    clusters = (np.arange(20) // 2, 100 + np.arange(30) // 2)
    found = measure("frechet", x, y, clusters=clusters, n_permutations=50)
    p, q = rng.permutation(20), rng.permutation(30)
    turned = (clusters[0][p], clusters[1][q])
    assert measure("frechet", x[p], y[q], clusters=turned, n_permutations=50) == found
    back = measure("frechet", y, x, clusters=clusters[::-1], n_permutations=0)
    assert back.value == pytest.approx(found.value)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rotated = measure("frechet", x @ rotation, y @ rotation, clusters=clusters, n_permutations=0)
    assert rotated.value == pytest.approx(found.value)


def test_where_features_are_many_there_is_no_interval_but_a_centred_value():
    rng = np.random.default_rng(4)
    nothing, plain, moved = [], [], []
    for _ in range(40):
        x, y, _ = gaussians(rng, (30, 60), 80)
        found = measure("frechet", x, y, n_permutations=0)
        nothing.append(found.value)
        plain.append(found.parameters["plug_in"])
        y[:, 0] += 3
        moved.append(measure("frechet", x, y, n_permutations=0).value)
    assert np.isnan(found.low)
    assert "no interval: 30 clusters" in found.method
    assert found.parameters["correction"] == "halves"
    assert np.mean(plain) > 60
    assert abs(np.mean(nothing)) < 3
    assert np.mean(moved) == pytest.approx(9, abs=3)


def test_few_clusters_and_clusters_of_both_sides():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(24, 2))
    few = measure("frechet", x[:12], x[12:], clusters=([0, 1, 2] * 4, [3, 4, 5] * 4))
    assert few.value == few.parameters["plug_in"]
    assert np.isnan(few.low)
    assert few.p_value is not None
    both = ([*range(12)], [0, *range(20, 31)])  # one cluster has a row on both sides
    found = measure("frechet", x[:12], x[12:], clusters=both, n_permutations=20)
    assert found.low < found.value < found.high


def test_constant_features_are_no_shift():
    found = measure("frechet", np.ones((9, 3)), np.ones((9, 3)), n_permutations=99)
    assert (found.value, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)
    x = np.random.default_rng(6).normal(size=(40, 1))
    one = measure("frechet", x[:20], x[20:], n_permutations=0)
    two = measure(
        "frechet", np.hstack([x[:20], x[:20] * 0]), np.hstack([x[20:], x[20:] * 0]),
        n_permutations=0,
    )  # fmt: skip
    assert two.parameters["plug_in"] == pytest.approx(one.parameters["plug_in"])


def test_fewer_permutations_are_made_where_the_work_is_too_much(monkeypatch):
    monkeypatch.setattr("shiftbench.distances.gaussian._WORK", 1.0)
    x = np.random.default_rng(7).normal(size=(60, 2))
    found = measure("frechet", x[:30], x[30:], n_permutations=900)
    assert found.parameters["permutations"] == 199


@pytest.mark.parametrize("case", NULLS)
def test_type_one_error_is_within_the_band(case):
    rng = np.random.default_rng([8, len(case)])
    runs, rejected = 60, 0
    for _ in range(runs):
        x, y, clusters = NULLS[case](rng)
        found = measure("frechet", x, y, clusters=clusters, n_permutations=39)
        rejected += found.p_value <= 0.05
    assert rejected <= most_rejections(runs, 0.05, len(NULLS))


def simulated(n, d, size, shift, scale, runs):
    """How many intervals hold the truth; mean errors of the value and of the plug-in."""
    rng = np.random.default_rng([9, *n, d, size, int(10 * shift), int(10 * scale)])
    true, found = shift**2 + d * (scale - 1) ** 2, []
    for _ in range(runs):
        x, y, clusters = gaussians(rng, n, d, size=size)
        y = y * scale
        y[:, 0] += shift
        r = measure("frechet", x, y, clusters=clusters, n_permutations=0)
        found.append((r.low <= true <= r.high, r.value - true, r.parameters["plug_in"] - true))
    hits, value, plain = np.array(found).T
    return int(hits.sum()), value.mean(), plain.mean()


@pytest.mark.parametrize("shift", [0.0, 0.3, 3.0])
def test_intervals_hold_the_truth_and_the_bias_is_less(shift):
    hits, value, plain = simulated((50, 50), 10, 1, shift, 1.0, 60)
    assert hits >= fewest_hits(60, 0.93, 3)
    assert abs(value) < 0.3 * plain


@pytest.mark.slow
def test_intervals_hold_the_truth_in_at_least_93_percent():
    cells = [
        (n, d, size, shift, scale)
        for n, size in (((50, 50), 1), ((200, 200), 1), ((50, 200), 1), ((160, 160), 8))
        for d in (1, 3, 10)
        for shift, scale in ((0.0, 1.0), (0.3, 1.0), (1.0, 1.0), (3.0, 1.0), (0.0, 1.5))
    ]
    found = {cell: simulated(*cell, runs=100) for cell in cells}
    assert min(hits for hits, _, _ in found.values()) >= fewest_hits(100, 0.93, len(cells)), found
