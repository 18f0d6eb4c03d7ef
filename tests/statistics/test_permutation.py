"""Permutation tests: p-values that are never too small, ties and clusters included."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from shiftbench.errors import ConfigurationError
from shiftbench.statistics.permutation import (
    max_t_p_values,
    permutation_p_values,
    sign_flip_test,
    two_sample_test,
)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=4),
    st.lists(st.integers(0, 4), min_size=1, max_size=4),
    st.sampled_from(["two-sided", "greater", "less"]),
)
def test_small_samples_are_gone_through(first: list[int], second: list[int], way: str) -> None:
    found = two_sample_test(first, second, alternative=way)
    assert found.exact
    both = np.array(first + second, float)
    turn = {"two-sided": abs, "greater": lambda v: v, "less": lambda v: -v}[way]
    values = []
    for chosen in combinations(range(len(both)), len(first)):
        inside = np.isin(np.arange(len(both)), chosen)
        values.append(turn(both[inside].mean() - both[~inside].mean()))
    own = turn(np.mean(first) - np.mean(second))
    assert found.p_values[0] == pytest.approx(np.mean(np.array(values) >= own - 1e-9))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=7))
def test_small_sign_flips_are_gone_through(differences: list[int]) -> None:
    found = sign_flip_test(differences)
    values = [abs(np.dot(s, differences)) for s in product((1, -1), repeat=len(differences))]
    assert found.exact
    assert found.p_values[0] == pytest.approx(np.mean(np.array(values) >= abs(sum(differences))))


def test_random_permutations_are_near_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 1)), rng.normal(0.5, 1, size=(50, 1))
    ours = two_sample_test(a, b, n_permutations=9999).p_values[0]
    theirs = stats.ttest_ind(a[:, 0], b[:, 0]).pvalue
    assert ours == pytest.approx(theirs, abs=0.015)
    ours = sign_flip_test(a[:, 0], n_permutations=9999).p_values[0]
    assert ours == pytest.approx(stats.ttest_1samp(a[:, 0], 0).pvalue, abs=0.03)


def test_a_statistic_of_ones_own() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=60), rng.normal(0, 3, size=60)
    units = np.arange(60) // 3, 100 + np.arange(60) // 3
    found = two_sample_test(
        a, b, units, statistic=lambda x, y: [abs(np.log(x.var() / y.var())), x.mean() - y.mean()]
    )
    assert found.p_values[0] == pytest.approx(0.001)
    assert found.p_values[1] > 0.01
    assert found.n_clusters == 40
    mean = two_sample_test(a, b, units)
    plain = two_sample_test(a, b, units, statistic=lambda x, y: x.mean() - y.mean())
    assert mean.p_values == pytest.approx(plain.p_values)


def test_max_t_against_the_literal_definition() -> None:
    rng = np.random.default_rng(0)
    table = np.abs(rng.normal(size=(300, 5)) * [1, 2, 1, 5, 1])
    own = np.abs(rng.normal(1, 1, 5)) * [1, 2, 1, 5, 1]
    scale = np.sqrt(np.mean(np.vstack([table, own]) ** 2, axis=0))
    t, u = own / scale, table / scale
    expected, left, before = np.empty(5), list(range(5)), 0.0
    for j in np.argsort(-t):
        p = (1 + np.sum(u[:, left].max(axis=1) >= t[j])) / 301
        before = expected[j] = max(before, p)
        left.remove(j)
    assert max_t_p_values(own, table) == pytest.approx(expected)
    # Never below the plain p-value; the same for one statistic.
    assert (max_t_p_values(own, table) >= permutation_p_values(own, table) - 1e-12).all()
    assert max_t_p_values(own[:1], table[:, :1]) == permutation_p_values(own[:1], table[:, :1])


def test_an_infinite_statistic_is_no_reason_to_fail() -> None:
    assert permutation_p_values([np.inf], [[1.0], [np.inf]]).tolist() == [2 / 3]
    assert max_t_p_values([np.inf, 0.0], [[1.0, 1.0], [np.inf, 1.0]]).tolist() == [2 / 3, 1.0]


def test_super_uniform_with_ties_and_clusters() -> None:
    # Heavily tied, clustered data without an effect: P(p ≤ a) ≤ a, in 99.9 % bands.
    rng, runs = np.random.default_rng(0), 400
    found = []
    for seed in range(runs):
        level = rng.normal(size=20)
        x = np.rint(np.repeat(level, 5) + 0.5 * rng.normal(size=100))
        units = np.repeat(np.arange(20), 5)
        two = two_sample_test(
            x[:50], x[50:], (units[:50], units[50:]), n_permutations=99, seed=seed
        )
        one = sign_flip_test(x, units, n_permutations=99, seed=seed)
        found.append([two.p_values[0], one.p_values[0]])
    for p in np.array(found).T:
        for a in (0.05, 0.1, 0.3):
            assert np.mean(p <= a) <= a + 3.5 * np.sqrt(a * (1 - a) / runs)


def test_ignoring_clusters_would_not_do() -> None:
    rng = np.random.default_rng(0)
    wrong = 0
    for seed in range(100):
        x = np.repeat(rng.normal(size=20), 8) + 0.5 * rng.normal(size=160)
        wrong += two_sample_test(x[:80], x[80:], n_permutations=99, seed=seed).p_values[0] <= 0.05
    assert wrong > 20


def test_family_of_statistics() -> None:
    # Ten correlated statistics without an effect: at most 5 % of families have a finding.
    rng, runs, hits = np.random.default_rng(0), 300, 0
    for seed in range(runs):
        x = rng.normal(size=(24, 1)) + rng.normal(size=(24, 10))
        hits += sign_flip_test(x, n_permutations=199, seed=seed).adjusted.min() <= 0.05
    assert hits / runs <= 0.05 + 3.5 * np.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: two_sample_test([], [1.0]), "at least one"),
        (lambda: two_sample_test([1.0], [2.0], (["a"], ["a"])), "sign_flip_test"),
        (lambda: two_sample_test([1.0], [2.0], (["a"], ["b", "c"])), "one an example"),
        (lambda: two_sample_test([1.0], [2.0], alternative="both"), "two-sided"),
        (lambda: permutation_p_values([0.5], [[np.nan]]), "NaN"),
        (lambda: sign_flip_test([]), "at least one"),
        (lambda: sign_flip_test([1.0], ["a", "b"]), "one each"),
    ],
)
def test_bad_input(call, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        call()
