from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from shiftbench.distances.measured import measure
from shiftbench.distances.sample_size import power
from shiftbench.errors import ConfigurationError


def proportions_needed(p, q, wanted, alpha=0.05):
    """Examples a side of the test of two proportions, with the continuity of an exact test."""
    mean = (p + q) / 2
    root = norm.ppf(1 - alpha / 2) * np.sqrt(2 * mean * (1 - mean))
    root += norm.ppf(wanted) * np.sqrt(p * (1 - p) + q * (1 - q))
    n = (root / (q - p)) ** 2
    return n / 4 * (1 + np.sqrt(1 + 4 / (n * (q - p)))) ** 2  # Fleiss et al. (1980)


def test_against_the_closed_form_of_two_proportions():
    # A pilot so large that it is the truth: shares 0.3 and 0.5 exactly.
    x, y = np.arange(4000) % 10 < 3, np.arange(4000) % 10 < 5
    found = power("label_tv", x, y, sizes=(50, 80, 110, 140), repeats=150, n_permutations=99)
    truth = proportions_needed(0.3, 0.5, 0.8)
    assert not found.extrapolated
    assert abs(found.needed_clusters / truth - 1) < 0.15
    assert found.needed_low <= truth <= found.needed_high
    assert found.needed_examples == found.needed_clusters
    assert found.runs == 601
    for size, rate in zip(found.sizes, found.rates, strict=True):
        assert rate.n_clusters == size
        assert rate.low < rate.value < rate.high
        assert rate.parameters["subsamples"] == 150


def test_a_pilot_that_shows_nothing_gives_a_lower_bound():
    rng = np.random.default_rng(3)
    found = power("ks", rng.normal(size=60), rng.normal(size=60), repeats=30, n_permutations=39)
    assert found.p_value > 0.05
    assert found.needed_clusters is found.needed_high is found.needed_examples is None
    assert found.needed_low > 10
    assert found.extrapolated
    assert "cannot tell" in found.method
    assert "cannot tell" in repr(found)


def test_whole_clusters_are_drawn():
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(40), 5)
    x = rng.normal(size=200) + rng.normal(size=40)[units]
    y = rng.normal(size=200) + rng.normal(size=40)[units] + 1.5
    found = power("ks", x, y, clusters=(units, units + 100), repeats=30, n_permutations=39)
    assert found.sizes == (4, 8, 14, 20, 28)
    assert found.rates[0].n == 20
    assert found.needed_examples == 5 * found.needed_clusters


def test_order_does_not_matter_and_clusters_on_both_sides_are_drawn_for_both():
    rng = np.random.default_rng(0)
    # Ten of sixty pairs change from a to b: within pairs that is seen, between samples it is not.
    x, y = np.array(list("a" * 35 + "b" * 25)), np.array(list("a" * 25 + "b" * 35))
    units = np.arange(60)
    options = {"repeats": 20, "n_permutations": 99, "sizes": (20, 40)}
    one = power("label_tv", x, y, clusters=(units, units), **options)
    i, j = rng.permutation(60), rng.permutation(60)
    assert one == power("label_tv", x[i], y[j], clusters=(units[i], units[j]), **options)
    apart = power("label_tv", x, y, **options)
    assert one.rates[1].parameters["rejected"] > 10 > apart.rates[1].parameters["rejected"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"alpha": 0.0}, "alpha"),
        ({"power": 0.01}, "power"),
        ({"sizes": (10, 60)}, "sizes"),
        ({"sizes": (10,)}, "sizes"),
        ({"repeats": 3}, "repeats"),
        ({"n_permutations": 10}, "permutations"),
        ({"bandwith": 1}, "no option"),
    ],
)
def test_bad_options(options, words):
    x = np.random.default_rng(0).normal(size=50)
    with pytest.raises(ConfigurationError, match=words):
        power("ks", x, x + 1, **{"repeats": 20, "n_permutations": 39, **options})


@pytest.mark.slow
def test_the_interval_holds_the_size_that_a_large_simulation_finds():
    rng = np.random.default_rng(0)

    def rate(n, repeats=600):
        found = 0
        for _ in range(repeats):
            x, y = rng.normal(size=n), rng.normal(size=n) + 0.5
            found += measure("ks", x, y, n_permutations=99).p_value <= 0.05
        return found / repeats

    # The power at 60 to 130 a side, by a line in the probit: where it is 0.8.
    sizes = np.array([60, 80, 100, 130])
    slope, at = np.polyfit(np.sqrt(sizes), norm.ppf([rate(n) for n in sizes]), 1)
    truth = ((norm.ppf(0.8) - at) / slope) ** 2
    assert 75 < truth < 105
    held = []
    for seed in range(60):
        x, y = rng.normal(size=100), rng.normal(size=100) + 0.5
        found = power("ks", x, y, repeats=60, n_permutations=99, seed=seed)
        held.append(found.needed_low <= truth <= (found.needed_high or np.inf))
    assert np.mean(held) >= 0.86  # the 0.1 % quantile of 60 at 0.95
