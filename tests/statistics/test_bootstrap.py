"""The bootstrap: what is drawn, what the intervals are, and whether they hold their level."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from shiftbench.errors import ConfigurationError
from shiftbench.statistics import Clusters
from shiftbench.statistics.bootstrap import (
    INTERVALS,
    bootstrap_estimate,
    replicate_interval,
    resample_counts,
    smallest_stratum,
    strata_of,
)


def drawn(*args, **kwargs) -> np.ndarray:
    return np.concatenate(list(resample_counts(*args, **kwargs)))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 5), st.integers(1, 31))
def test_blocks_do_not_change_the_numbers(n: int, resamples: int, seed: int, block: int) -> None:
    strata = np.arange(n) % 3
    whole = drawn(n, resamples, seed, strata=strata)
    assert whole.shape == (resamples, n)
    assert np.array_equal(whole, drawn(n, resamples, seed, strata=strata, block=block))
    for kind in range(3):
        assert (whole[:, strata == kind].sum(axis=1) == (strata == kind).sum()).all()


def test_counts_are_multinomial() -> None:
    counts = drawn(5, 20_000, 1)
    # Mean 1, variance 1 − 1/5, covariance −1/5.
    assert np.allclose(counts.mean(axis=0), 1, atol=0.035)
    expected = np.eye(5) - 0.2
    assert np.allclose(np.cov(counts.T), expected, atol=0.05)
    assert not np.array_equal(drawn(5, 10, 1), drawn(5, 10, 2))
    assert not np.array_equal(drawn(5, 10, 1), drawn(5, 10, 1, "other"))


def test_strata_follow_shared_clusters() -> None:
    # Samples 0 and 2 share a cluster; 1 stands alone.
    units = Clusters.of(["a", "b", "c", "d", "b", "e"])
    found = strata_of(units, [0, 0, 1, 1, 2, 2])
    assert found[0] == found[1] == found[4]
    assert found[2] == found[3] != found[0]
    assert smallest_stratum(found) == 2


def test_percentile_against_numpy_and_scipy() -> None:
    rng = np.random.default_rng(0)
    sample = rng.exponential(size=60)
    replicates = sample[rng.integers(0, 60, (4000, 60))].mean(axis=1)
    assert replicate_interval(sample.mean(), replicates) == pytest.approx(
        tuple(np.quantile(replicates, [0.025, 0.975]))
    )
    low, high = replicate_interval(sample.mean(), replicates, "basic")
    q = np.quantile(replicates, [0.025, 0.975])
    assert (low, high) == pytest.approx((2 * sample.mean() - q[1], 2 * sample.mean() - q[0]))
    se = replicates.std(ddof=1)
    low, high = replicate_interval(sample.mean(), replicates, "normal", n_clusters=60)
    width = stats.t.ppf(0.975, 59) * se * math.sqrt(60 / 59)
    assert (low, high) == pytest.approx((sample.mean() - width, sample.mean() + width))


def test_bias_corrected_by_hand() -> None:
    replicates = np.arange(1000.0)
    z0 = stats.norm.ppf(0.3005)  # 300 below 300, one equal
    expected = np.quantile(replicates, stats.norm.cdf([2 * z0 - 1.959964, 2 * z0 + 1.959964]))
    assert replicate_interval(300.0, replicates, "bias_corrected") == pytest.approx(tuple(expected))


def test_studentized_of_a_mean_is_near_student() -> None:
    rng = np.random.default_rng(0)
    sample = rng.normal(size=40)
    rows = sample[rng.integers(0, 40, (20_000, 40))]
    found = replicate_interval(
        sample.mean(),
        rows.mean(axis=1),
        "studentized",
        se=sample.std(ddof=1) / math.sqrt(40),
        errors=rows.std(axis=1, ddof=1) / math.sqrt(40),
    )
    exact = stats.t.interval(0.95, 39, sample.mean(), sample.std(ddof=1) / math.sqrt(40))
    assert found == pytest.approx(exact, abs=0.06)


@pytest.mark.parametrize("kind", [k for k in INTERVALS if k != "studentized"])
def test_no_interval_from_one_cluster_or_one_value(kind) -> None:
    for low, high in (
        replicate_interval(0.5, [0.4, 0.6], kind, n_clusters=1),
        replicate_interval(0.5, [0.5] * 10, kind),
        replicate_interval(math.nan, [0.4, 0.6], kind),
    ):
        assert math.isnan(low)
        assert math.isnan(high)


def test_rows_and_weights_agree() -> None:
    x = np.random.default_rng(3).normal(size=50)
    units = np.arange(50) // 4
    one = bootstrap_estimate(np.mean, x, clusters=units, n_resamples=200)
    two = bootstrap_estimate(
        lambda v, w: np.average(v, weights=w), x, clusters=units, n_resamples=200, takes="weights"
    )
    assert (one.low, one.high, one.se) == pytest.approx((two.low, two.high, two.se))
    assert one.n_clusters == 13


def test_independent_samples_keep_their_sizes() -> None:
    x, side = np.arange(10.0), np.repeat([0, 1], 5)
    seen: list[int] = []

    def gap(values: np.ndarray, which: np.ndarray) -> float:
        seen.append(int(which.sum()))
        return float(values[which == 1].mean() - values[which == 0].mean())

    bootstrap_estimate(gap, x, side, samples=side, n_resamples=20)
    assert set(seen) == {5}


def test_a_statistic_that_often_has_no_value_gets_no_interval() -> None:
    found = bootstrap_estimate(lambda v: math.nan if (v == 0).any() else v.mean(), np.arange(9.0))
    assert math.isnan(found.low)
    assert "have no value" in found.method
    one = bootstrap_estimate(np.mean, np.arange(9.0), clusters=[1] * 9)
    assert one.method == "cannot tell: one cluster"
    assert math.isnan(one.low)
    same = bootstrap_estimate(np.mean, np.ones(9))
    assert "same value" in same.method


def test_exact_standard_error_of_a_tiny_sample() -> None:
    x = np.array([0.0, 1.0, 5.0])
    every = [np.mean(c) for c in product(x, repeat=3)]
    found = bootstrap_estimate(np.mean, x, n_resamples=20_000)
    assert found.se == pytest.approx(np.std(every), rel=0.03)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: next(resample_counts(0, 5)), "at least 1"),
        (lambda: next(resample_counts(3, 5, strata=[0])), "one stratum a cluster"),
        (lambda: replicate_interval(0.5, [0.1, 0.2], "bca"), "bias_corrected"),
        (lambda: replicate_interval(0.5, [0.1, 0.2], "studentized"), "se= and errors="),
        (lambda: replicate_interval(0.5, [0.1, 0.2], level=95), "between 0 and 1"),
        (lambda: bootstrap_estimate(np.mean, [1.0], [1.0, 2.0]), "lengths"),
        (lambda: bootstrap_estimate(np.mean, []), "lengths"),
        (lambda: bootstrap_estimate(np.mean, [1.0, 2.0], clusters=["a"]), "one an example"),
    ],
)
def test_bad_input(call, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        call()


@pytest.mark.parametrize("kind", ["percentile", "normal"])
def test_coverage_with_few_clusters_in_short(kind) -> None:
    # 10 clusters of 6, intraclass correlation 0.5: an interval that forgot the clusters would
    # cover about 70 %, one that forgot how few they are about 88 %. 99.9 % bands for 300 runs.
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(300):
        x = np.repeat(rng.normal(size=10), 6) + rng.normal(size=60)
        found = bootstrap_estimate(
            lambda v, w: v @ w / w.sum(),
            x,
            clusters=np.arange(60) // 6,
            takes="weights",
            n_resamples=199,
            interval=kind,
            seed=seed,
        )
        held += found.low <= 0 <= found.high
    assert 0.89 <= held / 300 <= 0.995
