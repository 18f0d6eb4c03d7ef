"""The sliced Wasserstein distance: definition, reference library, bias, coverage, type-I error."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_shifts import NULLS, fewest_hits, gaussians, most_rejections
from scipy.stats import norm, wasserstein_distance

from shiftbench.distances import measure
from shiftbench.distances.halved import difference_errors, half_errors, halves
from shiftbench.distances.projections import directions, projected
from shiftbench.distances.resampled import relabelled_p_value, signed_shares
from shiftbench.distances.samples import two_samples
from shiftbench.errors import ConfigurationError
from shiftbench.statistics.estimate import critical


def by_definition(x, y, lines):
    """∫ |F − G| on each line, step by step."""
    found = []
    for line in lines:
        a, b = x @ line, y @ line
        places = np.sort(np.concatenate([a, b]))
        total = 0.0
        for low, high in pairwise(places):
            total += (high - low) * abs((a <= low).mean() - (b <= low).mean())
        found.append(total)
    return np.array(found)


def test_the_plug_in_is_the_definition_with_ties_and_duplicates():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 3, size=(7, 3)) * 1.0, rng.integers(0, 4, size=(5, 3)) * 1.0
    found = measure("sliced_wasserstein", x, y, n_projections=16, n_permutations=0, seed=3)
    lines = directions(3, 16, seed=3)
    each = by_definition(x, y, lines)
    assert found.parameters["plug_in"] == pytest.approx(each.mean())
    assert found.parameters["projections_se"] == pytest.approx(each.std(ddof=1) / 4)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(-3, 3), min_size=2, max_size=9),
    st.lists(st.integers(-3, 3), min_size=2, max_size=9),
)
def test_one_feature_gives_the_exact_distance(x, y):
    found = measure("sliced_wasserstein", np.array(x), np.array(y), n_permutations=0)
    assert found.parameters["plug_in"] == pytest.approx(wasserstein_distance(x, y), abs=1e-12)
    assert found.parameters["n_projections"] == 1


def test_many_weightings_are_each_the_definition():
    rng = np.random.default_rng(2)
    z = rng.integers(0, 4, size=(9, 2)) * 1.0
    lines = directions(2, 5, seed=0)
    labels = np.array([rng.permutation(np.arange(9) < 4) for _ in range(6)])
    found = projected(z, lines).distances(signed_shares(labels.astype(float)))
    for column, s in zip(found.T, labels, strict=True):
        np.testing.assert_allclose(column, by_definition(z[s], z[~s], lines), atol=1e-12)


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(3)
    lines = projected(rng.normal(size=(30, 3)), directions(3, 4, seed=0))
    weights = signed_shares(np.array([rng.permutation(np.arange(30) < 9) for _ in range(11)]) * 1.0)
    whole = lines.norms(weights)
    monkeypatch.setattr("shiftbench.distances.projections._CELLS", 70)
    np.testing.assert_allclose(lines.norms(weights), whole)


def test_a_shift_moves_the_distance_by_its_projection():
    x = np.random.default_rng(4).normal(size=(30, 5))
    shift = np.array([2.0, 0, 0, 0, 1.0])
    found = measure("sliced_wasserstein", x, x + shift, n_permutations=0, seed=1)
    expected = np.abs(directions(5, 128, seed=1) @ shift).mean()
    assert found.parameters["plug_in"] == pytest.approx(expected)


def test_neither_order_nor_sides_matter():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(20, 2)), rng.normal(size=(30, 2)) + 1
    clusters = (np.arange(20) // 2, 100 + np.arange(30) // 3)
    found = measure("sliced_wasserstein", x, y, clusters=clusters, n_permutations=50)
    p, q = rng.permutation(20), rng.permutation(30)
    again = measure(
        "sliced_wasserstein",
        x[p],
        y[q],
        clusters=(clusters[0][p], clusters[1][q]),
        n_permutations=50,
    )
    assert again == found
    other = measure("sliced_wasserstein", y, x, clusters=clusters[::-1], n_permutations=0)
    assert other.parameters["plug_in"] == pytest.approx(found.parameters["plug_in"])


def test_the_p_value_is_exact_where_few_relabelings_exist():
    z = np.array([0.0, 1.0, 1.0, 4.0, 5.0, 5.0])
    found = measure("sliced_wasserstein", z[:3], z[3:], n_permutations=100)
    values = []
    for pick in combinations(range(6), 3):
        s = np.isin(np.arange(6), pick)
        values.append(wasserstein_distance(z[s], z[~s]))
    expected = np.mean(np.array(values) >= wasserstein_distance(z[:3], z[3:]) - 1e-12)
    assert found.p_value == pytest.approx(expected)
    assert found.parameters["all_permutations"]
    assert found.parameters["permutations"] == 20


def test_constant_features_are_no_shift():
    found = measure("sliced_wasserstein", np.ones((8, 3)), np.ones((9, 3)), n_permutations=99)
    assert (found.value, found.p_value) == (0.0, 1.0)
    assert (found.low, found.high) == (0.0, 0.0)


def test_one_cluster_on_a_side_has_a_value_alone():
    x = np.arange(12.0)
    found = measure(
        "sliced_wasserstein", x[:6], x[6:], clusters=(["a"] * 6, [*"bcdefg"]), n_permutations=99
    )
    assert found.value == pytest.approx(6.0)
    assert np.isnan(found.low)
    assert found.p_value is None
    assert "one cluster" in found.method


@pytest.mark.parametrize("option", [{"n_projections": 0}, {"n_resamples": 5}, {"n_resamples": 1.5}])
def test_options_out_of_range_are_refused(option):
    with pytest.raises(ConfigurationError, match="allowed: whole numbers"):
        measure("sliced_wasserstein", np.arange(9.0), np.arange(9.0), **option)


def test_fewer_permutations_are_made_where_the_work_is_too_much(monkeypatch):
    monkeypatch.setattr("shiftbench.distances.sliced._WORK", 1.0)
    found = measure("sliced_wasserstein", np.arange(40.0), np.arange(40.0) + 1, n_permutations=900)
    assert found.parameters["permutations"] == found.parameters["n_resamples"] == 199


def test_halves_are_of_whole_clusters_and_of_one_size():
    rng = np.random.default_rng(6)
    x, y = np.arange(23.0), np.arange(40.0)
    names = (np.arange(23) // 2, np.concatenate([np.zeros(4), 50 + np.arange(36) // 3]))
    samples = two_samples(x, y, takes="features", clusters=names)
    for even in (False, True):
        (a, b), (c, d) = halves(samples, rng, even=even)
        for first, second in ((a, b), (c, d), (a, d), (b, c)):
            assert not set(samples.clusters[first]) & set(samples.clusters[second])
        for half, side in ((a, True), (b, True), (c, False), (d, False)):
            assert half.any()
            assert (samples.is_source[half] == side).all()
        counts = [len(set(samples.clusters[half])) for half in (a, b, c, d)]
        assert len(set(counts)) == 1 or not even


@pytest.mark.parametrize("n", [12, 13])
@pytest.mark.parametrize("size", [1, 3])
def test_half_samples_have_the_variance_of_the_difference(n, size):
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=n * size), rng.normal(size=2 * n * size) * 2
    names = (np.arange(n * size) // size, 99 + np.arange(2 * n * size) // size)
    samples = two_samples(x, y, takes="features", clusters=names)
    level = 0.5
    error = np.concatenate(list(half_errors(samples, 20_000, 0, level)), axis=1)
    drawn = samples.features[:, 0] @ error
    means = [
        samples.features[s, 0].reshape(-1)[np.argsort(samples.clusters[s], kind="stable")]
        .reshape(-1, size).mean(axis=1)
        for s in (samples.is_source, ~samples.is_source)
    ]  # fmt: skip
    expected = sum(m.var(ddof=1) / len(m) for m in means)
    parts, df = difference_errors(samples, np.arange(3 * n * size), samples.features[:, 0])
    assert (parts**2).sum() == pytest.approx(expected)
    stretch = critical(level, df) / critical(level)
    assert drawn.var() == pytest.approx(expected * stretch**2, rel=0.04)
    assert abs(drawn.mean()) < 4 * drawn.std() / np.sqrt(20_000)
    np.testing.assert_allclose(error.sum(axis=0), 0, atol=1e-12)


def test_the_p_value_counts_whole_clusters():
    samples = two_samples(
        np.arange(8.0), np.arange(8.0), takes="features", clusters=([0] * 4 + [1] * 4, [2] * 8)
    )
    p, n, exact = relabelled_p_value(samples, 0.0, lambda labels: labels.sum(axis=1), 99, 0)
    assert (p, n, exact) == (None, 0, False)


@pytest.mark.parametrize("case", NULLS)
def test_type_one_error_is_within_the_band(case):
    rng = np.random.default_rng([8, len(case)])
    runs, rejected = 100, 0
    for _ in range(runs):
        x, y, clusters = NULLS[case](rng)
        found = measure(
            "sliced_wasserstein", x, y, clusters=clusters, n_permutations=99, n_projections=8,
            n_resamples=100,
        )  # fmt: skip
        rejected += found.p_value <= 0.05
    assert rejected <= most_rejections(runs, 0.05, len(NULLS))


def truth(d, shift, scale):
    """Between N(0, I) and N(shift e₁, scale² I): along u it is E|⟨u, shift⟩ + (scale − 1) Z|."""
    a, s = directions(d, 32, 0)[:, 0] * shift, abs(scale - 1)
    if s == 0:
        return np.abs(a).mean()
    near = s * np.sqrt(2 / np.pi) * np.exp(-(a**2) / (2 * s**2))
    return np.mean(near + a * (1 - 2 * norm.cdf(-a / s)))


def simulated(n, d, size, shift, scale, runs):
    """How many intervals hold the truth; mean errors of the value and of the plug-in."""
    rng = np.random.default_rng([9, *n, d, size, int(10 * shift), int(10 * scale)])
    true, found = truth(d, shift, scale), []
    for _ in range(runs):
        x, y, clusters = gaussians(rng, n, d, size=size)
        y = y * scale
        y[:, 0] += shift
        r = measure(
            "sliced_wasserstein", x, y, clusters=clusters, n_permutations=0, n_projections=32
        )
        found.append((r.low <= true <= r.high, r.value - true, r.parameters["plug_in"] - true))
    hits, value, plug_in = np.array(found).T
    return int(hits.sum()), value.mean(), plug_in.mean()


@pytest.mark.parametrize("shift", [0.0, 0.3, 3.0])
def test_intervals_hold_the_truth_and_the_bias_is_less(shift):
    hits, value, plug_in = simulated((50, 50), 5, 1, shift, 1.0, 50)
    assert hits >= fewest_hits(50, 0.93, 3)
    assert abs(value) < max(plug_in, 0.06)


@pytest.mark.slow
def test_intervals_hold_the_truth_in_at_least_93_percent():
    cells = [
        (n, d, size, shift, scale)
        for n, size in (((50, 50), 1), ((200, 200), 1), ((50, 200), 1), ((160, 160), 8))
        for d in (1, 5, 100)
        for shift, scale in ((0.0, 1.0), (0.3, 1.0), (1.0, 1.0), (3.0, 1.0), (0.0, 1.5))
    ]
    found = {cell: simulated(*cell, runs=60) for cell in cells}
    assert min(hits for hits, _, _ in found.values()) >= fewest_hits(60, 0.93, len(cells)), found
    for (_, _, _, shift, scale), (_, value, plug_in) in found.items():
        if (shift, scale) == (0.0, 1.0):
            assert abs(value) < 0.25 * plug_in
