from __future__ import annotations

import math

import numpy as np
import pytest

from shiftbench.errors import ConfigurationError
from shiftbench.statistics.norms import l1_interval, random_signs, root_interval, side, thinned


def test_signs_times_weights_have_the_variance_of_a_mean():
    values = np.random.default_rng(0).normal(size=30)
    weights = side(np.ones(30)).weights
    variance = ((weights * (values - values.mean())) ** 2).sum()
    assert np.isclose(variance, values.var(ddof=1) / 30)


def test_signs_do_not_hang_on_the_block_and_are_stretched_for_few_clusters():
    signs = np.concatenate(list(random_signs(50, 150_000, seed=1, df=9.0)))
    assert signs.shape == (50, 150_000)
    assert np.allclose(np.abs(signs), 2.262157 / 1.959964)
    assert abs(signs.mean()) < 0.01


def test_one_cluster_tells_nothing():
    with pytest.raises(ConfigurationError, match="1 clusters"):
        side([4, 0])


def test_thinned_is_unbiased_where_nothing_differs_and_not_above_the_truth_elsewhere():
    rng = np.random.default_rng(0)
    for truth in (np.zeros(6), np.array([1.0, -1, 0, 0, 0, 0]), np.array([4.0, -4, 1, -1, 0, 0])):
        seen = truth + rng.normal(size=(600, 6))
        errors = rng.normal(size=(400, 6))
        values = np.array([thinned(one, errors) for one in seen])
        error = 4 * values.std() / math.sqrt(len(values))
        assert values.mean() < 0.5 * np.abs(truth).sum() + error
        if not truth.any():
            assert abs(values.mean()) < error


def test_thinned_against_its_closed_form():
    # E sign(z + a e)(z − e/a) = z (2 Φ(z/a) − 1) − (2/a) φ(z/a), with a = ½.
    from scipy.stats import norm

    errors = np.random.default_rng(0).normal(size=(400_000, 1))
    for z in (0.0, 0.3, 2.0):
        expected = z * (2 * norm.cdf(2 * z) - 1) - 4 * norm.pdf(2 * z)
        assert np.isclose(thinned(np.array([z]), errors), expected / 2, atol=0.01)


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.5, 6.0])
def test_the_interval_of_a_norm_covers(shift):
    rng = np.random.default_rng(1)
    truth = shift * np.array([1.0, -1, 0.5, -0.5, 0, 0, 0, 0])
    errors = rng.normal(size=(500, 8))
    norm = 0.5 * np.abs(truth).sum()
    bounds = np.array([l1_interval(truth + rng.normal(size=8), errors) for _ in range(500)])
    assert np.mean((bounds[:, 0] <= norm) & (norm <= bounds[:, 1])) >= 0.93


def test_the_interval_narrows_where_signs_are_known():
    errors = np.random.default_rng(0).normal(size=(4000, 2))
    low, high = l1_interval(np.array([50.0, -50.0]), errors)
    # ½ (e₁ − e₂) has the standard deviation 1/√2.
    assert np.isclose(50 - low, 1.96 / math.sqrt(2), atol=0.1)
    assert np.isclose(high - 50, 1.96 / math.sqrt(2), atol=0.1)


def test_root_interval_where_nothing_is_known():
    assert all(math.isnan(b) for b in root_interval(0.2, 0.1, math.nan, 5.0))
    assert all(math.isnan(b) for b in root_interval(0.0, 0.0, 0.0, 5.0))
    low, high = root_interval(0.1, -0.1, 0.02, math.inf)
    assert low == 0.0
    assert high > 0.1
