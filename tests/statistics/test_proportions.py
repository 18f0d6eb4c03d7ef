"""Proportions: scipy as reference, golden cases, clusters, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from shiftbench.errors import ConfigurationError
from shiftbench.statistics import Clusters, stream
from shiftbench.statistics.counts import cluster_moments, with_clusters
from shiftbench.statistics.proportions import (
    Counts,
    clopper_pearson,
    cluster_counts,
    estimates,
    minimum_interval,
    proportion,
    share,
    simultaneous,
    wilson,
)

COUNTS = [(0, 1), (1, 1), (0, 5), (5, 5), (1, 7), (40, 50), (999, 1000), (3, 100_000)]


@pytest.mark.parametrize("level", [0.5, 0.95, 0.9999])
@pytest.mark.parametrize(("bounds", "theirs"), [(wilson, "wilson"), (clopper_pearson, "exact")])
def test_intervals_are_scipys(bounds, theirs, level) -> None:
    found = bounds([s for s, _ in COUNTS], [n for _, n in COUNTS], level)
    for i, (s, n) in enumerate(COUNTS):
        expected = binomtest(s, n).proportion_ci(level, theirs)
        assert (found[0][i], found[1][i]) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_no_examples_give_no_bounds() -> None:
    for bounds in (wilson, clopper_pearson):
        low, high = bounds([0, 1], [0, 2])
        assert np.isnan(low).tolist() == [True, False] == np.isnan(high).tolist()


@pytest.mark.parametrize(("s", "n"), [(3, 2), (-1, 2), (np.nan, 2), (1, np.inf)])
def test_what_is_no_proportion_is_refused(s, n) -> None:
    with pytest.raises(ConfigurationError, match=r"1 counts are no proportion .* position 1"):
        wilson([1, s], [2, n])


@pytest.mark.parametrize("level", [0, 1, -0.5, 95])
def test_levels_that_are_none_are_refused(level) -> None:
    for bounds in (wilson, clopper_pearson):
        with pytest.raises(ConfigurationError, match="between 0 and 1"):
            bounds(1, 2, level)


def test_method_is_checked() -> None:
    with pytest.raises(ConfigurationError, match="clopper_pearson"):
        proportion(1, 2, method="wald")


def test_simultaneous_golden() -> None:
    counts = Counts(np.array([9.0, 0.0, 8.0]), np.array([10.0, 0.0, 10.0]))
    low, high = simultaneous(counts)
    expected = clopper_pearson(counts.successes, counts.n, 1 - 0.05 / 2)
    assert np.array_equal(low, expected[0], equal_nan=True)
    sidak = clopper_pearson(counts.successes, counts.n, 0.95**0.5)
    assert simultaneous(counts, independent=True)[1] == pytest.approx(sidak[1], nan_ok=True)
    assert np.nanmax(high - low) >= np.nanmax(sidak[1] - sidak[0])


def test_minimum_of_one_group_is_its_own_interval() -> None:
    counts = Counts(np.array([40.0]), np.array([50.0]))
    low, high = clopper_pearson(40, 50)
    assert minimum_interval(counts) == pytest.approx((float(low), float(high)))


def test_minimum_of_nothing_cannot_be_told() -> None:
    assert np.isnan(minimum_interval(Counts(np.zeros(2), np.zeros(2)))).all()


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda t: (min(t), max(t))),
        min_size=1,
        max_size=8,
    )
)
def test_minimum_is_the_least_of_bounds_and_needs_no_order(pairs) -> None:
    s, n = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    found = minimum_interval(Counts(s, n))
    assert found == pytest.approx(minimum_interval(Counts(s[::-1], n[::-1])), nan_ok=True)
    if (n > 0).any():
        pointwise = clopper_pearson(s, n)
        strict = simultaneous(Counts(s, n))
        assert found[0] == pytest.approx(np.nanmin(pointwise[0]))
        assert found[1] == pytest.approx(np.nanmin(strict[1]))


def test_clusters_of_one_example_change_nothing_but_the_name() -> None:
    flags = np.arange(30) % 3 > 0
    alone, single = share(flags), share(flags, Clusters.of(range(30)))
    assert (alone.low, alone.high) == (single.low, single.high)
    assert (single.method, single.n_clusters) == ("clustered Wilson", 30)


def test_clusters_that_agree_are_worth_one_example_each() -> None:
    flags = np.repeat([True, True, True, False, True, False, True, True], 5)
    found = share(flags, Clusters.of(np.repeat(np.arange(8), 5)))
    counts = cluster_counts([5, 5, 5, 0, 5, 0, 5, 5], [5] * 8)
    # Σ(s − pm)²/(1 − 1/8)/n² = p(1 − p)/7
    assert counts.effective[0] == pytest.approx(7.0)
    assert counts.df[0] == pytest.approx(7.0)
    assert found.high - found.low > share(flags[::5]).high - share(flags[::5]).low


def test_all_right_in_clusters_is_as_many_examples_as_clusters() -> None:
    found = share(np.ones(40, dtype=bool), Clusters.of(np.repeat(np.arange(10), 4)))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low < share(np.ones(10, dtype=bool)).low
    assert np.isnan(found.se)


def test_one_cluster_cannot_be_told() -> None:
    for method in ("wilson", "clopper_pearson"):
        found = share([True, False, True], Clusters.of(["p"] * 3), method=method)
        assert found.value == pytest.approx(2 / 3)
        assert np.isnan([found.low, found.high, found.se]).all()
        assert found.method == "cannot tell: one cluster"


def test_one_example_in_one_cluster_is_one_example() -> None:
    assert share([True], Clusters.of(["p"])).low == share([True]).low


def test_clusters_that_hold_nothing_do_not_count() -> None:
    empty = Clusters(np.array([0, 0, 2, 2]), 3)
    assert share([1, 0, 1, 1], empty) == share([1, 0, 1, 1], Clusters.of([0, 0, 1, 1]))


def test_counts_by_group_are_those_of_each_alone() -> None:
    rng = stream(0, "test")
    m = rng.integers(1, 6, 60).astype(float)
    s = rng.binomial(m.astype(int), 0.7).astype(float)
    g = rng.integers(0, 4, 60)
    together = cluster_counts(s, m, g, 5)
    assert together.n[4] == 0
    for k in range(4):
        alone = cluster_counts(s[g == k], m[g == k])
        for name in ("successes", "n", "n_clusters", "effective", "df"):
            assert getattr(together, name)[k] == pytest.approx(getattr(alone, name)[0])


def test_moments_add_up_over_blocks() -> None:
    rng = stream(1, "test")
    m, g = rng.integers(1, 6, 60).astype(float), rng.integers(0, 3, 60)
    s = np.floor(m * rng.random(60))
    whole = cluster_counts(s, m, g, 3)
    plain = Counts(whole.successes, whole.n)
    parts = [slice(0, 25), slice(25, 60)]
    added = sum(cluster_moments(s[p], m[p], g[p], plain) for p in parts)
    found = with_clusters(plain, added)
    assert found.effective == pytest.approx(whole.effective)
    assert found.df == pytest.approx(whole.df)


def test_many_estimates_are_each_alone() -> None:
    counts = Counts(np.array([3.0, 0.0, 0.0]), np.array([4.0, 5.0, 0.0]))
    assert repr(estimates(counts)[:2]) == repr([proportion(3, 4), proportion(0, 5)])
    assert estimates(counts)[2].method == "cannot tell: no examples"


# Coverage ----------------------------------------------------------------------------------------


def beta_binomial(rng, p, sizes, correlation, runs):
    """Successes of clusters (runs, k) with an intraclass correlation."""
    if correlation:
        a = 1 / correlation - 1
        p = rng.beta(p * a, (1 - p) * a, (runs, len(sizes)))
    return rng.binomial(sizes, p, (runs, len(sizes))).astype(float)


def covered(p, sizes, correlation, runs, seed=0) -> int:
    rng = stream(seed, "coverage of clustered proportions", f"{p} {len(sizes)} {correlation}")
    s = beta_binomial(rng, p, sizes, correlation, runs)
    counts = cluster_counts(
        s.ravel(), np.tile(sizes, runs), np.repeat(np.arange(runs), len(sizes)), runs
    )
    low, high = wilson(counts.successes, counts.n, effective=counts.effective, df=counts.df)
    return int(np.count_nonzero((low <= p) & (p <= high)))


SIZES = {
    "50 in 4s": [4] * 12 + [2],
    "200 in 4s": [4] * 50,
    "5 of 8": [8] * 5,
    "uneven": [50, 20, 10, 5, 5] + [1] * 30 + [3] * 20,
}
CASES = [(name, p, r) for name in SIZES for p in (0.5, 0.8, 0.9) for r in (0, 0.3)]


def fewest(runs: int, promised: float, tests: int) -> int:
    """Hits that are undercut with probability 0.001 by any of so many tests that keep it."""
    return int(binom.ppf(0.001 / tests, runs, promised))


def test_clustered_wilson_covers() -> None:
    least = fewest(1000, 0.93, len(CASES))
    found = {c: covered(c[1], np.array(SIZES[c[0]]), c[2], 1000) for c in CASES}
    assert not {c: hits for c, hits in found.items() if hits < least}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_clustered_wilson_covers_fully(case) -> None:
    name, p, correlation = case
    assert covered(p, np.array(SIZES[name]), correlation, 40_000) >= fewest(40_000, 0.93, 24)


MINIMA = {
    "4 equal": ([50] * 4, [0.8] * 4),
    "8 equal": ([50] * 8, [0.8] * 8),
    "8 near 1": ([100] * 8, [0.97] * 8),
    "uneven": ([20, 50, 200, 1000], [0.8] * 4),
    "one worse": ([50] * 4, [0.5, 0.8, 0.8, 0.9]),
}


def check_minimum(name, independent, runs) -> None:
    n, p = (np.array(x, dtype=float) for x in MINIMA[name])
    rng = stream(0, "coverage of minima", name)
    drawn = rng.binomial(n.astype(int), p, (runs, len(n))).astype(float)
    hits = both = 0
    for s in drawn:
        counts = Counts(s, n)
        low, high = minimum_interval(counts, independent=independent)
        hits += low <= p.min() <= high
        lows, highs = simultaneous(counts, independent=independent)
        both += bool(((lows <= p) & (p <= highs)).all())
    assert min(hits, both) >= fewest(runs, 0.95, 4 * len(MINIMA))


@pytest.mark.parametrize("independent", [True, False])
@pytest.mark.parametrize("name", MINIMA)
def test_minimum_is_covered(name, independent) -> None:
    check_minimum(name, independent, 1000)


@pytest.mark.slow
@pytest.mark.parametrize("independent", [True, False])
@pytest.mark.parametrize("name", MINIMA)
def test_minimum_is_covered_fully(name, independent) -> None:
    check_minimum(name, independent, 30_000)


def test_worst_of_four_groups_at_080_looks_worse() -> None:
    """facts/evaluation.md: n = 20, 50, 200, 1000 give a mean worst group of about 0.745."""
    n = np.array([20, 50, 200, 1000])
    drawn = stream(0, "worst group").binomial(n, 0.8, (50_000, 4)) / n
    assert drawn.min(axis=1).mean() == pytest.approx(0.745, abs=0.002)
