"""Gaps between splits: published cases, clusters within and across, coverage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation.gaps import gap
from shiftbench.statistics import Clusters, stream


def ones(right, n):
    return [1] * right + [0] * (n - right)


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        # Newcombe 1998, Table II, method 10.
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((10, 10, 0, 20), 0.6791, 1.0),
        ((5, 56, 0, 29), -0.0381, 0.1926),
    ],
)
def test_published_intervals(counts, low, high) -> None:
    a, n, b, m = counts
    found = gap(ones(a, n), ones(b, m))
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)
    assert (found.n_id, found.n_ood, found.n) == (n, m, n + m)


def test_swapping_the_sides_mirrors_the_gap() -> None:
    a, b = gap(ones(40, 50), ones(10, 30)), gap(ones(10, 30), ones(40, 50))
    assert (a.value, a.low, a.high) == pytest.approx((-b.value, -b.high, -b.low))


def test_numbers_are_welchs() -> None:
    rng = stream(0, "test")
    x, y = rng.normal(size=40), rng.normal(1, 3, size=25)
    found = gap(x, y)
    expected = stats.ttest_ind(x, y, equal_var=False)
    assert found.se == pytest.approx(np.sqrt(x.var(ddof=1) / 40 + y.var(ddof=1) / 25))
    low, high = expected.confidence_interval()
    assert (found.low, found.high) == pytest.approx((low, high), rel=0.05)


def test_clusters_across_make_it_surer_and_are_counted() -> None:
    right = stream(0, "test").random(60) < 0.7
    other = right.copy()
    other[:6] = ~other[:6]
    apart = gap(right, other, clusters=([f"i{i}" for i in range(60)], [f"o{i}" for i in range(60)]))
    paired = gap(right, other, clusters=(np.arange(60), np.arange(60)))
    assert apart.parameters["clusters_across"] == 0
    assert (paired.parameters["clusters_across"], paired.n_clusters) == (60, 60)
    assert paired.high - paired.low < 0.7 * (apart.high - apart.low)
    assert apart.value == paired.value


def test_clusters_may_come_in_any_form() -> None:
    a, b, names, others = [1, 0, 1, 1], [0, 1, 0], ["p", "q", "r", "r"], ["p", "s", "t"]
    pair = gap(a, b, clusters=(names, others))
    assert repr(gap(a, b, clusters=names + others)) == repr(pair)
    assert repr(gap(a, b, clusters=Clusters.pair(names, others))) == repr(pair)


def test_what_cannot_be_told() -> None:
    assert gap([], [1]).method == "cannot tell: no examples on one side"
    assert gap([1, 0], [1, 0], clusters=["p", "p", "q", "r"]).method == "cannot tell: one cluster"
    assert np.isnan(gap([0.5], [0.1, 0.2]).low)
    assert gap([1, 1], [1, 1]).low < 0 < gap([1, 1], [1, 1]).high


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([[1]], [1]), "shape"),
        (([1, np.nan], [1]), "position 1"),
        (([1, 0, 1], [1], (["p"], ["q"])), "1 and 1 clusters' names for 3 and 1"),
        (([1], [1], ["p"]), "1 clusters' names for 2"),
    ],
)
def test_bad_input_is_refused(arguments, words) -> None:
    with pytest.raises(ConfigurationError, match=words):
        gap(*arguments)


def check(size, across, n, p, runs) -> None:
    """Hits of the gap of two splits whose clusters share 0.3 of the variance of being right."""
    rng = stream(0, "coverage of gaps", f"{size} {across} {n} {p}")
    codes = [np.arange(m) // size for m in n]
    r = 0.3 if size > 1 else 0.0
    hits = 0
    for _ in range(runs):
        shared = rng.normal(size=(2, max(n)))
        side = [
            np.sqrt(r) * shared[0 if across else i][codes[i]]
            + np.sqrt(1 - r) * rng.normal(size=n[i])
            < stats.norm.ppf(p[i])
            for i in (0, 1)
        ]
        names = None if size == 1 else (codes[0], codes[1] + (0 if across else 10_000))
        found = gap(*side, clusters=names)
        hits += found.low <= p[0] - p[1] <= found.high
    assert hits >= stats.binom.ppf(0.0001, runs, 0.93)


CASES = [
    (size, across, n, p)
    for size, across in ((1, False), (4, False), (4, True))
    for n, p in (((52, 52), (0.9, 0.7)), ((200, 52), (0.95, 0.8)))
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gaps_are_covered(case) -> None:
    check(*case, runs=150)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gaps_are_covered_fully(case) -> None:
    check(*case, runs=8000)
