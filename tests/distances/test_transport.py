"""The exact Wasserstein distance: definition, POT, closed forms, bounds, type-I error."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_shifts import NULLS, fewest_hits, gaussians, most_rejections
from scipy.stats import wasserstein_distance

from shiftbench.distances import measure
from shiftbench.distances.assignment import distances_between, potential, transport_cost
from shiftbench.distances.projections import directions
from shiftbench.errors import ConfigurationError

POINTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=7)


def plug_in(x, y, **options):
    return measure("wasserstein", x, y, n_permutations=0, **options).parameters["plug_in"]


def test_it_is_the_best_of_all_matchings():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 3, size=(6, 2)) * 1.0, rng.integers(0, 4, size=(6, 2)) * 1.0
    costs = np.linalg.norm(x[:, None] - y[None], axis=2)
    best = min(costs[range(6), list(p)].mean() for p in permutations(range(6)))
    assert plug_in(x, y) == pytest.approx(best)


def test_it_and_the_sliced_one_are_those_of_pot():
    ot = pytest.importorskip("ot")
    rng = np.random.default_rng(1)
    for m, n in ((20, 20), (12, 36), (13, 17), (40, 3)):
        x, y = rng.normal(size=(m, 3)).round(1), rng.normal(size=(n, 3)).round(1) + 0.5
        assert plug_in(x, y) == pytest.approx(ot.emd2([], [], ot.dist(x, y, metric="euclidean")))
        sliced = measure("sliced_wasserstein", x, y, n_projections=40, n_permutations=0)
        lines = directions(3, 40, 0).T
        expected = ot.sliced.sliced_wasserstein_distance(x, y, projections=lines, p=1)
        assert sliced.parameters["plug_in"] == pytest.approx(expected)
        assert plug_in(x[:, 0], y[:, 0]) == pytest.approx(ot.wasserstein_1d(x[:, 0], y[:, 0], p=1))


@pytest.mark.parametrize("unit", [2.0**-120, 2.0**-30, 2.0**60, 2.0**120])
def test_the_unit_of_the_features_does_not_matter(unit):
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(13, 3)), rng.normal(size=(17, 3)) + 0.5
    costs = distances_between(x, y)
    assert transport_cost(unit * costs) == pytest.approx(unit * transport_cost(costs), rel=1e-9)
    assert potential(unit * costs) == pytest.approx(unit * potential(costs), rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(POINTS, POINTS)
def test_prices_attain_the_cost_and_a_function_of_slope_one_comes_of_them(x, y):
    costs = distances_between(np.array(x, float), np.array(y, float))
    prices = potential(costs)
    f = (costs - prices).min(axis=1)
    assert f.mean() + prices.mean() == pytest.approx(transport_cost(costs), abs=1e-9)
    steps = distances_between(np.array(x, float), np.array(x, float))
    assert (np.abs(f[:, None] - f[None]) <= steps + 1e-9).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 9), st.integers(2, 9), st.integers(0, 99))
def test_one_feature_agrees_with_the_assignment(m, n, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 5, m) * 1.0, rng.integers(0, 5, n) * 1.0
    costs = np.abs(x[:, None] - y[None])
    assert plug_in(x, y) == pytest.approx(transport_cost(costs), abs=1e-9)
    assert plug_in(x, y) == pytest.approx(wasserstein_distance(x, y), abs=1e-9)


def test_a_shifted_sample_is_as_far_as_the_shift():
    x = np.random.default_rng(2).normal(size=(30, 4))
    found = measure("wasserstein", x, x + np.array([3, 0, 4, 0]), n_permutations=99)
    assert found.parameters["plug_in"] == pytest.approx(5.0)
    assert found.low < 5 < found.high
    assert found.p_value == pytest.approx(0.01)


def test_neither_order_nor_sides_matter():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(20, 2)), rng.normal(size=(30, 2)) + 1
    clusters = (np.arange(20) // 2, 100 + np.arange(30) // 2)
    found = measure("wasserstein", x, y, clusters=clusters, n_permutations=50)
    p, q = rng.permutation(20), rng.permutation(30)
    turned = (clusters[0][p], clusters[1][q])
    assert measure("wasserstein", x[p], y[q], clusters=turned, n_permutations=50) == found
    back = measure("wasserstein", y, x, clusters=clusters[::-1], n_permutations=0)
    assert back.value == pytest.approx(found.value)
    assert back.parameters["plug_in"] == pytest.approx(found.parameters["plug_in"])


def test_large_samples_are_refused_and_another_distance_is_named():
    x = np.zeros((1001, 2))
    with pytest.raises(ConfigurationError, match=r"1001 and 1001 .* take sliced_wasserstein"):
        measure("wasserstein", x, x)
    with pytest.raises(ConfigurationError, match="40000 pairs"):
        measure("wasserstein", x[:400], x[:399])
    uneven = ([0, *range(400 - 1)], [500, *range(500, 899)])
    with pytest.raises(ConfigurationError, match="clusters are of one size"):
        measure("wasserstein", x[:400], x[:400], clusters=uneven)
    assert measure("wasserstein", x[:, 0], x[:, 0], n_permutations=0).value == 0  # one feature


def test_two_clusters_a_side_have_an_upper_bound_alone():
    x = np.random.default_rng(4).normal(size=(16, 2))
    found = measure("wasserstein", x[:8], x[8:], clusters=([0, 1] * 4, [2, 3] * 4))
    assert np.isnan(found.low)
    assert found.high >= found.value
    assert "one-sided" in found.method
    assert found.parameters["all_permutations"]
    assert found.parameters["permutations"] == 6


def test_constant_features_are_no_shift():
    found = measure("wasserstein", np.ones((8, 3)), np.ones((9, 3)), n_permutations=99)
    assert (found.value, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_fewer_permutations_are_made_where_the_work_is_too_much(monkeypatch):
    monkeypatch.setattr("shiftbench.distances.transport._WORK", 1.0)
    x = np.random.default_rng(5).normal(size=(20, 2))
    found = measure("wasserstein", x[:10], x[10:], n_permutations=900)
    assert found.parameters["permutations"] == 99


@pytest.mark.parametrize("case", ["50", "wide", "clusters", "across", "unequal"])
def test_type_one_error_is_within_the_band(case):
    rng = np.random.default_rng([6, len(case)])
    runs, rejected = 20 if case == "across" else 40, 0  # that one takes linear programmes
    for _ in range(runs):
        x, y, clusters = NULLS[case](rng)
        found = measure("wasserstein", x, y, clusters=clusters, n_permutations=19, n_splits=1)
        rejected += found.p_value <= 0.05
    assert rejected <= most_rejections(runs, 0.05, 5)


def simulated(n, d, size, shift, runs):
    """How many intervals hold the truth; mean errors of the value and of the plug-in."""
    rng = np.random.default_rng([7, *n, d, size, int(10 * shift)])
    found = []
    for _ in range(runs):
        x, y, clusters = gaussians(rng, n, d, shift=shift, size=size)
        r = measure("wasserstein", x, y, clusters=clusters, n_permutations=0)
        found.append((r.low <= shift <= r.high, r.value - shift, r.parameters["plug_in"] - shift))
    hits, value, plain = np.array(found).T
    return int(hits.sum()), value.mean(), plain.mean()


@pytest.mark.parametrize("d", [2, 60])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_intervals_hold_the_truth_and_the_bias_is_less(d, shift):
    hits, value, plain = simulated((50, 50), d, 1, shift, 40)
    assert hits >= fewest_hits(40, 0.93, 4)
    assert abs(value) < max(0.15 * plain, 0.2)


@pytest.mark.slow
def test_intervals_hold_the_truth_in_at_least_93_percent():
    cells = [
        (n, d, size, shift)
        for n, size in (((50, 50), 1), ((50, 200), 1), ((160, 160), 8))
        for d in (2, 10, 100)
        for shift in (0.0, 0.3, 1.0, 3.0)
    ]
    found = {cell: simulated(*cell, runs=60) for cell in cells}
    assert min(hits for hits, _, _ in found.values()) >= fewest_hits(60, 0.93, len(cells)), found
    for (_, _, _, shift), (_, value, plain) in found.items():
        if shift == 0:
            assert abs(value) < 0.5 * plain
