from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm, t

from shiftbench.statistics import Clusters
from shiftbench.statistics.delong import (
    Spread,
    auroc_influence,
    auroc_limits,
    logit_limits,
    p_value,
    quantile,
    two_sample_spread,
)
from shiftbench.statistics.estimate import logit_interval


def placements(x, y):
    """V01 of each ID and V10 of each OOD score, by counting pairs."""
    wins = (y[None, :] > x[:, None]) + 0.5 * (y[None, :] == x[:, None])
    return wins.mean(axis=1), wins.mean(axis=0)


def obuchowski(x, y, cx, cy):
    """The variance of Obuchowski 1997, equations 4 to 6, one cluster after another."""
    v01, v10 = placements(x, y)
    theta = v10.mean()
    names = sorted({*cx.tolist(), *cy.tolist()})
    with_x = [c for c in names if (cx == c).any()]
    with_y = [c for c in names if (cy == c).any()]
    s10 = s01 = s11 = 0.0
    for c in names:
        of_y, of_x = v10[cy == c].sum(), v01[cx == c].sum()
        m, n = (cy == c).sum(), (cx == c).sum()
        s10 += (of_y - m * theta) ** 2
        s01 += (of_x - n * theta) ** 2
        s11 += (of_y - m * theta) * (of_x - n * theta)
    i10, i01, i = len(with_y), len(with_x), len(names)
    s10 *= i10 / ((i10 - 1) * len(y))
    s01 *= i01 / ((i01 - 1) * len(x))
    s11 *= i / (i - 1)
    return s10 / len(y) + s01 / len(x) + 2 * s11 / (len(x) * len(y))


@pytest.fixture
def samples():
    rng = np.random.default_rng(3)
    return rng.normal(size=41).round(1), (rng.normal(size=29) + 1).round(1)


def test_variance_is_delongs(samples):
    v01, v10 = placements(*samples)
    expected = v10.var(ddof=1) / len(v10) + v01.var(ddof=1) / len(v01)
    found = two_sample_spread(v01, v10)
    assert found.variance == pytest.approx(expected, rel=1e-12)
    assert found.units == (41, 29)
    weighted = two_sample_spread(
        *(np.unique(v) for v in (v01, v10)),
        weights=tuple(np.unique(v, return_counts=True)[1] for v in (v01, v10)),
    )
    assert weighted.variance == pytest.approx(expected, rel=1e-12)
    assert weighted.df == pytest.approx(found.df, rel=1e-9)


@pytest.mark.parametrize("across", [False, True])
def test_clustered_variance_is_obuchowskis(samples, across):
    x, y = samples
    rng = np.random.default_rng(4)
    cx, cy = rng.integers(0, 9, len(x)), rng.integers(0, 9, len(y)) + (0 if across else 100)
    v01, v10 = placements(x, y)
    found = two_sample_spread(v01, v10, Clusters.pair(cx, cy))
    assert found.variance == pytest.approx(obuchowski(x, y, cx, cy), rel=1e-12)
    assert found.across == (9 if across else 0)
    assert found.n_clusters == (9 if across else 18)
    assert found.df <= (8 if across else 16)


def test_clusters_of_one_example_are_delong(samples):
    x, y = samples
    v01, v10 = placements(x, y)
    alone = two_sample_spread(v01, v10, Clusters.pair(np.arange(41), 41 + np.arange(29)))
    plain = two_sample_spread(v01, v10)
    assert alone.variance == pytest.approx(plain.variance, rel=1e-12)
    assert alone.df == pytest.approx(plain.df, rel=1e-12)


def test_renaming_clusters_changes_nothing(samples):
    x, y = samples
    v01, v10 = placements(x, y)
    cx, cy = np.arange(41) // 3, 50 + np.arange(29) // 3
    first = two_sample_spread(v01, v10, Clusters.pair(cx, cy))
    second = two_sample_spread(
        v01, v10, Clusters.pair([f"p{-c}" for c in cx], [f"p{-c}" for c in cy])
    )
    assert first.variance == pytest.approx(second.variance, rel=1e-14)


def test_influences_are_the_placements(samples):
    x, y = samples
    values = np.unique(np.concatenate(samples))[::-1]
    tp, fp = ((s[None, :] >= values[:, None]).sum(axis=1) for s in (y, x))
    for_pos, for_neg = auroc_influence(tp, fp)
    v01, v10 = placements(x, y)
    assert for_pos[[int(np.flatnonzero(values == s)[0]) for s in y]] == pytest.approx(v10)
    assert for_neg[[int(np.flatnonzero(values == s)[0]) for s in x]] == pytest.approx(v01)


@pytest.mark.parametrize(
    ("units", "n_clusters", "words"),
    [
        ((1, 5), None, "one ID example"),
        ((5, 1), None, "one OOD example"),
        ((1, 1), 1, "one cluster"),
        ((3, 1), 4, "one OOD cluster"),
        ((3, 3), None, "no spread"),
    ],
)
def test_what_cannot_be_told_says_why(units, n_clusters, words):
    spread = Spread(0.0 if min(units) > 1 else math.nan, 1.0, n_clusters, units)
    assert words in spread.unknown
    assert "cannot tell" in auroc_limits(0.7, spread, 0.95)[2]


def test_perfect_separation_has_the_bound_of_disjoint_pairs():
    low, high, _ = auroc_limits(1.0, Spread(0.0, 1, None, (50, 80)), 0.95)
    assert (low, high) == (pytest.approx(0.025 ** (1 / 50)), 1.0)
    low, high, _ = auroc_limits(0.0, Spread(0.0, 1, None, (50, 80)), 0.95)
    assert (low, high) == (0.0, pytest.approx(1 - 0.025 ** (1 / 50)))
    # 4 clusters, 3 of them with ID and 3 with OOD examples: two pairs share none.
    low, _, _ = auroc_limits(1.0, Spread(0.0, 1, 4, (3, 3), 2), 0.95)
    assert low == pytest.approx(0.025**0.5)
    low, high, _ = auroc_limits(0.5, Spread(0.0, 1, None, (50, 80)), 0.95)
    assert (0.5 - low, high - 0.5) == (pytest.approx((1 - 0.05 ** (1 / 50)) / 2),) * 2


def test_limits_agree_with_the_shared_ones():
    assert logit_limits(0.8, 0.05, 0.9, math.inf) == pytest.approx(logit_interval(0.8, 0.05, 0.9))
    assert logit_limits(0.8, 0.05, 0.9, 7) == pytest.approx(logit_interval(0.8, 0.05, 0.9, 7))
    assert quantile(0.95, math.inf) == pytest.approx(norm.ppf(0.975))
    assert quantile(0.95, 3.5) == pytest.approx(t.ppf(0.975, 3.5))


def test_p_value_is_students():
    spread = Spread(0.04, 7.0, None, (20, 20))
    assert p_value(0.5, spread) == pytest.approx(2 * t.sf(2.5, 7))
    assert p_value(0.0, Spread(0.0, 0.0, None, (20, 20))) == 1.0
    assert math.isnan(p_value(0.1, Spread(0.0, 0.0, None, (20, 20))))
