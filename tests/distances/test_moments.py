"""Differences of moments: definition, unbiasedness, which moment moved, type-I error, coverage."""

from __future__ import annotations

import numpy as np
import pytest
from known_shifts import NULLS, fewest_hits, gaussians, most_rejections

from shiftbench.distances import measure
from shiftbench.errors import ConfigurationError


def by_definition(x, y, clusters, degree):
    """The three means over all pairs of different clusters, pair by pair."""

    def mean(a, b, of_a, of_b):
        values = [
            (1 + p @ q / len(p)) ** degree
            for p, i in zip(a, of_a, strict=True)
            for q, j in zip(b, of_b, strict=True)
            if i != j
        ]
        return np.mean(values)

    first, second = clusters
    return mean(x, x, first, first) + mean(y, y, second, second) - 2 * mean(x, y, first, second)


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
@pytest.mark.parametrize("given", [True, False])
def test_the_value_is_the_definition_with_ties_duplicates_and_clusters(degree, given):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 4, size=(8, 3)) * 1.0, rng.integers(0, 3, size=(7, 3)) * 1.0
    clusters = (np.array([0, 0, 1, 2, 3, 4, 4, 5]), np.array([5, 6, 6, 7, 8, 9, 9]))
    center, scale = (np.array([1.0, 0, 2]), np.array([1.0, 2, 3]))
    options = {"center": center, "scale": scale} if given else {}
    if not given:
        center, scale = x.mean(0), x.std(0)
    found = measure("moments", x, y, clusters=clusters, degree=degree, n_permutations=9, **options)
    z = (x - center) / scale, (y - center) / scale
    assert found.value == pytest.approx(by_definition(*z, clusters, degree))


def test_degree_two_is_the_distance_of_means_and_second_moments():
    """On average: it is unbiased, also where nothing shifted."""
    rng = np.random.default_rng(1)
    mean, scale = np.array([1.0, 0, 0]), np.array([1.0, 1.5, 1.0])
    second = np.diag(scale**2) + np.outer(mean, mean) - np.eye(3)
    expected = 2 / 3 * (mean @ mean) + (second**2).sum() / 9
    options = {"center": np.zeros(3), "scale": np.ones(3), "n_permutations": 0}
    moved, same = [], []
    for _ in range(150):
        x, y, _ = gaussians(rng, (15, 20), 3)
        same.append(measure("moments", x, y, **options).value)
        moved.append(measure("moments", x, y * scale + mean, **options).value)
    for values, truth in ((same, 0.0), (moved, expected)):
        assert abs(np.mean(values) - truth) < 4 * np.std(values) / np.sqrt(150)


def test_the_moments_that_moved_are_named():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(300, 4)), rng.normal(size=(300, 4))
    y[:, 2] = 0.8 * y[:, 1] + 0.6 * y[:, 2]  # a correlation; every feature by itself is the same
    y[:, 3] += 1
    found = measure("moments", x, y, n_permutations=199).parameters["largest"]
    told = {tuple(row["features"]) for row in found if row["p_adjusted"] <= 0.05}
    assert {(3,), (1, 2)} <= told <= {(3,), (3, 3), (1, 2)}
    assert found[0]["difference"] > 0
    assert len(found) == 10


def test_degrees_see_what_lower_ones_do_not():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 1))
    skewed = rng.exponential(size=(400, 1)) - 1  # with the same mean and variance
    p = [measure("moments", x, skewed, degree=k, n_permutations=199).p_value for k in (1, 3)]
    assert p[0] > 0.05 > p[1]


def test_adjusted_p_values_hold_for_the_family():
    rng = np.random.default_rng(4)
    rejected = 0
    for _ in range(60):
        x, y, clusters = gaussians(rng, (80, 80), 5, size=8)
        found = measure("moments", x, y, clusters=clusters, n_permutations=79)
        rejected += found.parameters["largest"][0]["p_adjusted"] <= 0.05
    assert rejected <= most_rejections(60, 0.05, 1)


def test_neither_order_of_examples_nor_shift_nor_unit_of_features_matters():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(20, 2)), rng.normal(size=(30, 2)) + 1
    found = measure("moments", x, y, n_permutations=50)
    again = measure("moments", x[rng.permutation(20)], y[rng.permutation(30)], n_permutations=50)
    assert again == found
    moved = measure("moments", 3 * x + 7, 3 * y + 7, n_permutations=50)
    assert moved.value == pytest.approx(found.value)
    assert moved.p_value == found.p_value


def test_constant_features_are_named_and_count_for_nothing():
    x = np.random.default_rng(6).normal(size=(30, 2))
    x[:, 1] = 4
    found = measure("moments", x[:15], x[15:], n_permutations=20)
    assert found.parameters["constant_features"] == [1]
    assert np.isfinite(found.value)
    x[15:, 1] = 5  # constant in the source only
    assert measure("moments", x[:15], x[15:], n_permutations=200).p_value < 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"degree": 5}, "degree is 5; allowed: 1 to 4"),
        ({"degree": 0}, "degree is 0"),
        ({"center": [0.0, 0]}, "scale is missing"),
        ({"center": [0.0], "scale": [1.0]}, "1 numbers for 2 features"),
        ({"center": [0.0, 0], "scale": [1.0, 0]}, "scale is 0.0 for feature 1"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    x = np.random.default_rng(7).normal(size=(20, 2))
    with pytest.raises(ConfigurationError, match=message):
        measure("moments", x[:10], x[10:], **options)


@pytest.mark.parametrize("case", NULLS)
def test_type_one_error_is_within_the_band(case):
    rng = np.random.default_rng([8, len(case)])
    runs, rejected = 60, 0
    for _ in range(runs):
        x, y, clusters = NULLS[case](rng)
        found = measure("moments", x, y, clusters=clusters, n_permutations=39)
        rejected += found.p_value <= 0.05
    assert rejected <= most_rejections(runs, 0.05, len(NULLS))


def hits(n, d, size, shift, scale, runs):
    rng = np.random.default_rng([9, *n, d, size, int(10 * shift), int(10 * scale)])
    more = scale**2 - 1
    true = 2 * shift**2 / d + ((d - 1) * more**2 + (more + shift**2) ** 2) / d**2
    found = 0
    for _ in range(runs):
        x, y, clusters = gaussians(rng, n, d, size=size)
        y = y * scale
        y[:, 0] += shift
        r = measure(
            "moments", x, y, clusters=clusters, n_permutations=0, center=np.zeros(d),
            scale=np.ones(d),
        )  # fmt: skip
        found += r.low <= true <= r.high
    return found


@pytest.mark.parametrize("shift", [0.0, 0.3, 3.0])
def test_intervals_hold_the_truth(shift):
    assert hits((50, 50), 2, 1, shift, 1.0, 80) >= fewest_hits(80, 0.93, 3)


@pytest.mark.slow
def test_intervals_hold_the_truth_in_at_least_93_percent():
    cells = [
        (n, d, size, shift, scale)
        for n, size in (((50, 50), 1), ((200, 200), 1), ((50, 200), 1), ((160, 160), 8))
        for d in (1, 5, 100)
        for shift, scale in ((0.0, 1.0), (0.3, 1.0), (1.0, 1.0), (3.0, 1.0), (0.0, 1.5))
    ]
    found = {cell: hits(*cell, runs=100) for cell in cells}
    assert min(found.values()) >= fewest_hits(100, 0.93, len(cells)), found
