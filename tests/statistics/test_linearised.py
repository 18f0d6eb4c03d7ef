"""Linearised intervals: the textbook's cases, clusters, and degrees of freedom."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from shiftbench.statistics import Clusters, stream
from shiftbench.statistics.linearised import (
    SCALES,
    Parts,
    linearised,
    mean_of_ratios,
    mean_variance,
    scaled_interval,
)


def test_variance_of_a_mean_is_the_textbooks() -> None:
    x = stream(0, "test").normal(size=40)
    variance, _ = mean_variance(x - x.mean())
    assert variance == pytest.approx(x.var(ddof=1) / 40)


def test_columns_are_each_alone() -> None:
    x = stream(0, "test").normal(size=(40, 3))
    x -= x.mean(axis=0)
    clusters = Clusters.of(np.arange(40) // 3)
    for c in (None, clusters):
        variance, df = mean_variance(x, c)
        for k in range(3):
            alone = mean_variance(x[:, k], c)
            assert (variance[k], df[k]) == pytest.approx(alone)


def test_clusters_of_one_example_change_nothing() -> None:
    x = stream(0, "test").normal(size=40)
    x -= x.mean()
    assert mean_variance(x, Clusters.of(range(40))) == pytest.approx(mean_variance(x))


def test_equal_clusters_are_their_means() -> None:
    x = stream(0, "test").normal(size=(10, 4))
    means = x.mean(axis=1)
    variance, df = mean_variance((x - x.mean()).ravel(), Clusters.of(np.repeat(np.arange(10), 4)))
    assert variance == pytest.approx(means.var(ddof=1) / 10)
    assert df <= 9 + 1e-9


def test_a_lone_large_influence_leaves_few_degrees_of_freedom() -> None:
    x = np.zeros(100)
    x[0], x[1] = 10.0, -10.0
    assert mean_variance(x)[1] < 5
    assert mean_variance(np.resize([1.0, -1.0], 100))[1] == 99


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_examples_cannot_be_told(n) -> None:
    found = linearised(0.5, np.zeros(n))
    assert np.isnan([found.low, found.high]).all()
    assert found.method.startswith("cannot tell")


def test_one_cluster_cannot_be_told() -> None:
    found = linearised(0.5, np.array([1.0, -1.0]), Clusters.of(["a", "a"]))
    assert (found.method, found.n_clusters) == ("cannot tell: one cluster", 1)
    assert np.isnan(found.low)


def test_no_scatter_cannot_be_told() -> None:
    found = linearised(0.5, np.zeros(9), scale="logit")
    assert found.method == "cannot tell: no spread among the examples"


@pytest.mark.parametrize("scale", SCALES)
def test_scales_agree_for_small_errors(scale) -> None:
    low, high = scaled_interval(0.4, 1e-6, scale)
    assert (high - low) == pytest.approx(2 * stats.norm.ppf(0.975) * 1e-6, rel=1e-4)
    assert (low + high) / 2 == pytest.approx(0.4, abs=1e-9)


@pytest.mark.parametrize(
    ("scale", "value", "low", "high"),
    [("logit", 0.99, 0, 1), ("logit of half", 1.99, 0, 2), ("log", 0.01, 0, np.inf),
     ("Fisher z", -0.99, -1, 1)],
)  # fmt: skip
def test_scales_stay_inside(scale, value, low, high) -> None:
    found = scaled_interval(value, 0.5, scale)
    assert low <= found[0] <= value <= found[1] <= high


def test_mean_of_one_ratio_is_a_mean() -> None:
    x = (stream(0, "test").random(60) < 0.7).astype(float)
    parts = Parts(np.arange(60), np.zeros(60, dtype=int), x, np.ones(60), 60, 1)
    found, plain = mean_of_ratios(parts), linearised(x.mean(), x - x.mean(), scale="logit")
    assert found.se == pytest.approx(plain.se, rel=0.02)
    assert found.value == plain.value


def test_mean_of_ratios_in_many_entries_is_the_same_in_blocks(monkeypatch) -> None:
    rng = stream(0, "test")
    row, part = np.nonzero(rng.random((50, 5)) < 0.5)
    parts = Parts(row, part, (rng.random(len(row)) < 0.8) * 1.0, np.ones(len(row)), 50, 5)
    clusters = Clusters.of(np.arange(50) // 4)
    whole = mean_of_ratios(parts, clusters)
    monkeypatch.setattr("shiftbench.statistics.linearised.BLOCK", 7)
    blocks = mean_of_ratios(parts, clusters)
    assert (whole.value, whole.low, whole.high) == pytest.approx(
        (blocks.value, blocks.low, blocks.high)
    )


def test_all_right_has_a_bound_where_its_cost_is_known() -> None:
    parts = Parts(np.arange(20), np.zeros(20, dtype=int), np.ones(20), np.ones(20), 20, 1)
    found = mean_of_ratios(parts, cost=1.0)
    assert found.low == pytest.approx(0.025 ** (1 / 20))
    assert found.high == 1
    assert np.isnan(mean_of_ratios(parts).low)
