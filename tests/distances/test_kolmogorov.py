from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, ks_2samp, norm

from shiftbench.distances.measured import measure


def brute(x, y):
    return max(abs(np.mean(x <= t) - np.mean(y <= t)) for t in (*x, *y))


small = st.lists(st.integers(0, 5).map(float), min_size=2, max_size=12)


@settings(max_examples=40, deadline=None)
@given(small, small)
def test_against_the_definition_with_ties(x, y):
    x, y = np.array(x), np.array(y)
    found = measure("ks", x, y, n_permutations=19)
    assert np.isclose(found.parameters["plain"], brute(x, y))
    json.dumps(dict(found.parameters), allow_nan=False)
    if not math.isnan(found.low):
        assert 0 <= found.low <= found.value <= found.high <= 1


def test_scipy_agrees():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=40), rng.normal(0.4, 1, size=30)
    found = measure("ks", x, y, n_permutations=4000)
    theirs = ks_2samp(x, y, method="exact")
    assert np.isclose(found.parameters["plain"], theirs.statistic)
    assert abs(found.p_value - theirs.pvalue) < 4 * math.sqrt(theirs.pvalue / 4000)
    few = measure("ks", x[:5], y[:4], n_permutations=1000)
    assert few.parameters["all_permutations"]
    assert np.isclose(few.p_value, ks_2samp(x[:5], y[:4], method="exact").pvalue)


def test_family_is_corrected_and_constants_are_named():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 30)), rng.normal(size=(50, 30))
    x[:, 7] = y[:, 7] = 3.0
    y[:, 4] += 1.5
    found = measure("ks", x, y, seed=0)
    first = found.parameters["features"][0]
    assert first["feature"] == 4
    assert first["p_value"] == found.p_value < 0.01
    assert found.parameters["features"][1]["p_value"] > 0.05
    assert found.parameters["constant_features"] == [7]
    constant = measure("ks", np.ones((9, 2)), np.ones((8, 2)))
    assert (constant.value, constant.p_value) == (0.0, 1.0)
    assert "constant" in constant.method


def test_order_does_not_matter_and_monotone_maps_neither():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.normal(0.3, 1, size=(50, 3))
    cx, cy = rng.integers(0, 12, 40), 50 + rng.integers(0, 14, 50)
    one = measure("ks", x, y, clusters=(cx, cy), n_permutations=99)
    i, j = rng.permutation(40), rng.permutation(50)
    assert one == measure("ks", x[i], y[j], clusters=(cx[i], cy[j]), n_permutations=99)
    assert np.isclose(
        measure("ks", np.exp(x), np.exp(y), n_permutations=0).parameters["plain"],
        one.parameters["plain"],
    )


def test_a_cluster_on_both_sides_stays_on_both():
    x = np.random.default_rng(0).normal(size=30)
    units = np.arange(30)
    # Each cluster's own two values trade places: a constant shift inside all is seen at once.
    found = measure("ks", x, x + 0.05, clusters=(units, units), n_permutations=999)
    apart = measure("ks", x, x + 0.05, n_permutations=999)
    assert found.p_value < 0.5 < apart.p_value
    assert found.n_clusters_source == found.n_clusters_target == 30


def simulate(n, d, size, shift, repeats, grid=None, seed=0):
    """Rejections and coverage; the first feature is shifted."""
    rng = np.random.default_rng(seed)
    truth = 2 * norm.cdf(shift / 2) - 1
    if grid:
        at = np.arange(-20, 20) * grid + grid / 2
        truth = np.abs(norm.cdf(at) - norm.cdf(at - shift)).max()
    rejected = covered = 0
    for _ in range(repeats):
        sides = []
        for clusters in n:
            whole = rng.normal(size=(clusters, 1, d)) * (size > 1)
            own = rng.normal(size=(clusters, size, d))
            sides.append(((whole + own) / math.sqrt(1 + (size > 1))).reshape(-1, d))
        sides[1][:, 0] += shift
        if grid:
            sides = [np.round(s / grid) * grid for s in sides]
        units = None
        if size > 1:
            units = tuple(np.repeat(np.arange(c), size) + 10**6 * i for i, c in enumerate(n))
        found = measure("ks", *sides, clusters=units, n_permutations=99)
        rejected += found.p_value <= 0.05
        covered += not (found.low > truth + 1e-12 or found.high < truth - 1e-12)
    return rejected, covered / repeats


def test_quickly_valid():
    for n, d, size, grid in (
        ((50, 50), 1, 1, None),
        ((50, 200), 3, 1, 1.0),
        ((40, 40), 1, 8, None),
    ):
        rejected, covered = simulate(n, d, size, 0.0, 80, grid)
        assert rejected <= binom.ppf(1 - 0.001 / 3, 80, 0.05)
        assert covered >= binom.ppf(0.001 / 3, 80, 0.95) / 80


CELLS = [
    (n, d, size, shift, grid)
    for shift in (0.0, 0.3, 1.0, 3.0)
    for n, d, size, grid in (
        ((50, 50), 1, 1, None),
        ((50, 200), 1, 1, None),
        ((200, 50), 5, 1, None),
        ((200, 200), 1, 1, 0.5),
        ((50, 50), 60, 1, None),
        ((40, 40), 2, 8, None),
        ((40, 15), 1, 8, None),
    )
]


@pytest.mark.slow
def test_valid():
    repeats = 200
    nulls = sum(cell[3] == 0 for cell in CELLS)
    bad = []
    for n, d, size, shift, grid in CELLS:
        found = simulate(n, d, size, shift, repeats, grid, seed=3)
        if shift == 0 and found[0] > binom.ppf(1 - 0.001 / nulls, repeats, 0.05):
            bad.append(("type I", n, d, size, grid, found))
        if found[1] < binom.ppf(0.001 / len(CELLS), repeats, 0.94) / repeats:
            bad.append(("coverage", n, d, size, shift, grid, found))
    assert not bad
