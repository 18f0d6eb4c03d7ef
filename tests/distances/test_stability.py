from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from scipy.stats import binom, norm

from shiftbench.distances.measured import measure
from shiftbench.distances.stability import quantile_edges, stability_index
from shiftbench.errors import ConfigurationError


def brute(x, y, edges):
    """The index bin by bin, ½ an example added to each that is met."""
    ends = [-math.inf, *edges, math.inf]
    pairs = []
    for low, high in itertools.pairwise(ends):
        one, two = (sum(low < v <= high for v in side) for side in (x, y))
        if one + two:
            pairs.append((one + 0.5, two + 0.5))
    p, q = (np.array(side) / sum(side) for side in zip(*pairs, strict=True))
    return float(((q - p) * np.log(q / p)).sum())


@pytest.mark.parametrize("ties", [False, True])
def test_against_the_definition(ties):
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = rng.normal(size=37), rng.normal(0.5, 1, size=23)
        if ties:
            x, y = np.round(x), np.round(y)
        edges = quantile_edges(x)
        ends = [np.sort(x)[math.ceil(j * 37 / 10) - 1] for j in range(1, 11)]
        below = [math.nextafter(v, -math.inf) for v in ends if ends.count(v) > 1]
        assert edges == sorted({*ends[:-1], *below})
        found = measure("psi", x, y, n_permutations=0)
        assert np.isclose(found.parameters["plain"], brute(x, y, edges))
        given = measure("psi", x, y, n_permutations=0, edges=[[-0.5, 0.5]])
        assert np.isclose(given.parameters["plain"], brute(x, y, [-0.5, 0.5]))
        json.dumps(dict(found.parameters), allow_nan=False)


@pytest.mark.parametrize("options", [{}, {"edges": [[0.0, 1.0, 2.0]]}, {"bins": 3}])
def test_exact_p_value_by_going_through_all_permutations(options):
    x, y = np.array([0.0, 0.0, 1.0, 3.0]), np.array([1.0, 2.0, 2.0, 4.0, 4.0])
    both = np.concatenate([x, y])
    values = []
    for chosen in itertools.combinations(range(9), 4):
        one, two = both[list(chosen)], np.delete(both, chosen)
        edges = options.get("edges", [quantile_edges(one, options.get("bins", 10))])[0]
        values.append(brute(one, two, edges))
    found = measure("psi", x, y, n_permutations=1000, **options)
    assert found.parameters["all_permutations"]
    assert np.isclose(found.p_value, np.mean(np.array(values) >= values[0] - 1e-12))
    assert np.isclose(found.parameters["chance"], np.mean(values))


def test_discrete_and_constant_features():
    x = np.column_stack([np.repeat([0.0, 1.0], 20), np.ones(40)])
    y = np.column_stack([np.repeat([0.0, 1.0], [10, 30]), np.ones(40)])
    found = measure("psi", x, y)
    assert found.parameters["features"][0]["feature"] == 0
    below = [math.nextafter(v, -1) for v in (0.0, 1.0)]
    assert found.parameters["features"][0]["edges"] == [below[0], 0.0, below[1], 1.0]
    p, q = np.array([20.5, 20.5]) / 41, np.array([10.5, 30.5]) / 41
    assert np.isclose(found.parameters["plain"], ((q - p) * np.log(q / p)).sum())
    constant = measure("psi", np.ones(20), np.ones(30))
    assert (constant.value, constant.p_value) == (0.0, 1.0)


@pytest.mark.parametrize("bins", [2, 3, 10])
def test_a_value_that_most_of_the_source_has_is_a_bin_of_its_own(bins):
    x, y = np.repeat([0.0, 1.0], [5, 95]), np.repeat([0.0, 1.0], [70, 30])
    for one, two in ((x, y), (-x, -y), (np.ones(50), np.zeros(50)), (np.zeros(50), np.ones(50))):
        found = measure("psi", one, two, bins=bins)
        assert found.value > 1
        assert found.p_value < 0.01


def test_the_bias_is_known_and_taken_away():
    rng = np.random.default_rng(0)
    found = [
        measure("psi", rng.normal(size=200), rng.normal(size=150), n_permutations=0)
        for _ in range(60)
    ]
    plain = np.array([f.parameters["plain"] for f in found])
    values = np.array([f.value for f in found])
    assert np.isclose(plain.mean(), 9 * (1 / 200 + 1 / 150), atol=0.02)
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(60)


def test_an_empty_bin_leaves_a_lower_bound_alone():
    x = np.random.default_rng(0).normal(size=100)
    found = measure("psi", x, x + 5)
    assert found.low > 1
    assert found.high == math.inf
    assert found.method.startswith("lower bound")


def test_order_does_not_matter():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), rng.normal(0.3, 1, size=(50, 3))
    cx, cy = rng.integers(0, 12, 40), 50 + rng.integers(0, 14, 50)
    one = measure("psi", x, y, clusters=(cx, cy), n_permutations=99, bins=4)
    i, j = rng.permutation(40), rng.permutation(50)
    two = measure("psi", x[i], y[j], clusters=(cx[i], cy[j]), n_permutations=99, bins=4)
    assert repr(one) == repr(two)
    assert one.parameters == two.parameters


@pytest.mark.parametrize(
    "options",
    [{"bins": 1}, {"bins": 2.5}, {"edges": [[1.0, 1.0]]}, {"edges": [1.0]}, {"edges": [[0.0]] * 2}],
)
def test_bad_options(options):
    with pytest.raises(ConfigurationError, match=r"bins|edges"):
        measure("psi", [1.0, 2.0, 3.0], [1.0, 2.0, 3.0], **options)


def simulate(n, d, size, shift, repeats, bins=10, seed=0):
    """Rejections and coverage of the index with the edges that were used."""
    rng = np.random.default_rng(seed)
    rejected = covered = 0
    for _ in range(repeats):
        sides = []
        for clusters in n:
            whole = rng.normal(size=(clusters, 1, d)) * (size > 1)
            own = rng.normal(size=(clusters, size, d))
            sides.append(((whole + own) / math.sqrt(1 + (size > 1))).reshape(-1, d))
        sides[1] += shift
        units = None
        if size > 1:
            units = tuple(np.repeat(np.arange(c), size) + 10**6 * i for i, c in enumerate(n))
        found = measure("psi", *sides, clusters=units, n_permutations=99, bins=bins)
        truth = 0.0
        for entry in found.parameters["features"]:
            ends = np.concatenate([[-np.inf], entry["edges"], [np.inf]])
            p, q = np.diff(norm.cdf(ends)), np.diff(norm.cdf(ends - shift))
            truth = max(truth, float(((q - p) * np.log(q / p)).sum()))
        rejected += found.p_value <= 0.05
        covered += not (found.low > truth + 1e-9 or found.high < truth - 1e-9)
    return rejected, covered / repeats


def test_quickly_valid():
    for n, d, size in (((50, 50), 1, 1), ((50, 200), 2, 1), ((40, 40), 1, 8)):
        rejected, covered = simulate(n, d, size, 0.0, 60)
        assert rejected <= binom.ppf(1 - 0.001 / 3, 60, 0.05)
        assert covered >= binom.ppf(0.001 / 3, 60, 0.95) / 60


CELLS = [
    (n, d, size, shift, bins)
    for shift in (0.0, 0.3, 1.0, 3.0)
    for n, d, size, bins in (
        ((50, 50), 1, 1, 10),
        ((50, 200), 1, 1, 10),
        ((200, 50), 1, 1, 4),
        ((200, 200), 5, 1, 10),
        ((50, 50), 60, 1, 4),
        ((40, 40), 2, 8, 10),
    )
]


@pytest.mark.slow
def test_valid():
    repeats = 200
    nulls = sum(cell[3] == 0 for cell in CELLS)
    bad = []
    for n, d, size, shift, bins in CELLS:
        found = simulate(n, d, size, shift, repeats, bins, seed=5)
        if shift == 0 and found[0] > binom.ppf(1 - 0.001 / nulls, repeats, 0.05):
            bad.append(("type I", n, d, size, bins, found))
        if found[1] < binom.ppf(0.001 / len(CELLS), repeats, 0.94) / repeats:
            bad.append(("coverage", n, d, size, shift, bins, found))
    assert not bad


def test_index_of_many_tables_at_once():
    rng = np.random.default_rng(0)
    one, two = rng.integers(0, 5, size=(2, 7, 6)).astype(float)
    each = [float(stability_index(a, b)) for a, b in zip(one, two, strict=True)]
    assert np.allclose(stability_index(one, two), each)
