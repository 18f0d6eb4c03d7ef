from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_shifts import (
    NULLS,
    across,
    energy_distance,
    fewest_hits,
    gaussians,
    mmd2,
    most_rejections,
)

from shiftbench.distances import measure
from shiftbench.distances.bandwidth import median_bandwidth
from shiftbench.distances.gram import (
    Null,
    combined_p_value,
    drop_own,
    null_of,
    pair_sums,
    permutations_of,
    squared_distances,
)
from shiftbench.distances.pair_sums import Parts, pair_counts
from shiftbench.distances.samples import two_samples
from shiftbench.errors import ConfigurationError


def rbf(bandwidth):
    return lambda x, y: np.exp(-((x - y) ** 2).sum() / (2 * bandwidth**2))


def minus_norm(x, y):
    return -np.linalg.norm(x - y)


def by_definition(x, y, cx, cy, kernel):
    def mean(a, ca, b, cb):
        return np.mean(
            [kernel(p, q) for p, i in zip(a, ca, strict=True) for q, j in zip(b, cb, strict=True)
             if i != j]
        )  # fmt: skip

    return mean(x, cx, x, cx) + mean(y, cy, y, cy) - 2 * mean(x, cx, y, cy)


@st.composite
def small_samples(draw):
    """With ties, duplicates, and clusters of unequal sizes, some of them on both sides."""
    number = st.sampled_from([-1.5, 0.0, 1.0, 3.0])
    d = draw(st.integers(1, 3))
    n, m = draw(st.integers(2, 8)), draw(st.integers(2, 8))
    rows = draw(st.lists(st.lists(number, min_size=d, max_size=d), min_size=n + m, max_size=n + m))
    x = np.array(rows)
    codes = draw(st.lists(st.integers(0, 6), min_size=n + m, max_size=n + m))
    c = np.array(codes) if draw(st.booleans()) else np.arange(n + m)
    return x[:n], x[n:], c[:n], c[n:]


@settings(max_examples=60)
@given(small_samples())
def test_values_are_the_definitions(data):
    x, y, cx, cy = data
    if min(len(set(cx.tolist())), len(set(cy.tolist()))) < 2:
        with pytest.raises(ConfigurationError, match="1 cluster"):
            measure("energy", x, y, clusters=(cx, cy), n_permutations=0)
        return
    found = measure("mmd", x, y, clusters=(cx, cy), bandwidth=1.3, n_permutations=30)
    assert found.value == pytest.approx(by_definition(x, y, cx, cy, rbf(1.3)), abs=1e-12)
    assert np.isnan(found.low) or found.low <= found.value <= found.high
    assert 0 < found.p_value <= 1
    json.dumps(dict(found.parameters), allow_nan=False)
    found = measure("energy", x, y, clusters=(cx, cy), n_permutations=0)
    assert found.value == pytest.approx(by_definition(x, y, cx, cy, minus_norm), abs=1e-7)
    assert found.p_value is None


@pytest.mark.parametrize("clustered", [False, True])
def test_leaving_out_a_cluster_is_measuring_without_it(clustered):
    rng = np.random.default_rng(3)
    x, y, c = across(rng, 15) if clustered else gaussians(rng, (9, 12), 3)
    samples = two_samples(x, y, takes="features", clusters=c)
    kernel = drop_own(np.exp(-squared_distances(samples.features) / 8), samples.clusters)
    sums = pair_sums(samples, kernel, seed=0)
    of_row = sums.parts.group[sums.parts.of_row]
    for group, value in enumerate(sums.left_out()):
        keep = of_row != group
        first, second = keep & samples.is_source, keep & ~samples.is_source
        expected = by_definition(
            samples.features[first],
            samples.features[second],
            samples.clusters[first],
            samples.clusters[second],
            rbf(2.0),
        )
        assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["mmd", "energy", "characteristic"])
@pytest.mark.parametrize("case", ["across", "clusters", "plain"])
def test_permutation_statistics_are_values_of_permuted_samples(name, case):
    rng = np.random.default_rng(4)
    options = {"mmd": {"bandwidth": 1.5, "bandwidths": "single"}, "energy": {}}.get(
        name, {"bandwidth": 1.5, "normalise": False, "n_frequencies": 20}
    )
    if case == "across":
        x, y, c = across(rng, 6, 2)
    elif case == "clusters":
        x, y = rng.normal(size=(2, 9, 2))
        y += 1
        c = (np.repeat([0, 1, 2], [2, 3, 4]), 5 + np.repeat([0, 1, 2], [1, 2, 6]))
    else:
        x, y = rng.normal(size=(2, 4, 2))
        c = (np.arange(4), 4 + np.arange(4))
    found = measure(name, x, y, clusters=c, n_permutations=5_000, **options)
    assert found.parameters["all_permutations"]
    samples = two_samples(x, y, takes="features", clusters=c)
    units = samples.units
    values = []
    for block in samples.relabelings(5_000, 0)[0]:
        for labels in block:
            first = labels[units.of_row] > 0
            values.append(
                measure(
                    name,
                    samples.features[first],
                    samples.features[~first],
                    clusters=(samples.clusters[first], samples.clusters[~first]),
                    n_permutations=0,
                    **options,
                ).value
            )
    assert len(values) == found.parameters["permutations"]
    assert found.p_value == pytest.approx(np.mean(np.array(values) >= found.value - 1e-9))


def test_energy_of_two_point_masses():
    found = measure("energy", np.full((6, 2), 0.0), np.full((5, 2), [3.0, 4.0]))
    assert found.value == pytest.approx(10.0, abs=1e-12)
    assert np.isnan([found.low, found.high]).all()  # nothing varies: no certainty
    assert found.p_value == pytest.approx(1 / 462)


def test_values_are_those_of_other_libraries(monkeypatch):
    monkeypatch.setenv("POT_BACKEND_DISABLE_PYTORCH", "1")  # whose import takes seconds
    ot = pytest.importorskip("ot")
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(30, 4)), rng.normal(size=(20, 4)) + 0.5
    within = [np.sqrt(ot.dist(a, a)).sum() / (len(a) * (len(a) - 1)) for a in (x, y)]
    expected = 2 * np.sqrt(ot.dist(x, y)).mean() - sum(within)
    assert measure("energy", x, y).value == pytest.approx(expected)
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    xx, yy, xy = (pairwise.rbf_kernel(a, b, gamma=0.125) for a, b in ((x, x), (y, y), (x, y)))
    expected = (xx.sum() - 30) / 870 + (yy.sum() - 20) / 380 - 2 * xy.mean()
    assert measure("mmd", x, y, bandwidth=2.0).value == pytest.approx(expected)


@pytest.mark.parametrize("name", ["mmd", "energy", "characteristic"])
def test_order_and_names_do_not_matter(name):
    rng = np.random.default_rng(6)
    x, y, c = gaussians(rng, (24, 32), 3, 0.5, size=4)
    a, b = rng.permutation(24), rng.permutation(32)
    names = np.array([f"p{k}" for k in rng.permutation(60)])
    one = measure(name, x, y, clusters=c, n_permutations=99, seed=1)
    two = measure(
        name, x[a], y[b], clusters=(names[c[0][a]], names[c[1][b]]), n_permutations=99, seed=1
    )
    assert (one.value, one.low, one.high, one.p_value) == (
        two.value,
        two.low,
        two.high,
        two.p_value,
    )
    back = measure("energy", y, x, clusters=c[::-1], n_permutations=0)
    there = measure("energy", x, y, clusters=c, n_permutations=0)
    assert (back.value, back.low) == pytest.approx((there.value, there.low))


def test_bandwidth():
    x = np.array([[0.0], [1.0], [3.0]])
    assert median_bandwidth(x) == 2.0
    assert median_bandwidth(x, ["a", "a", "b"]) == 2.5
    assert median_bandwidth([0.0, 0.0, 0.0, 0.0, 2.0]) == 2.0  # the median of all is 0
    with pytest.raises(ConfigurationError, match="give a bandwidth"):
        median_bandwidth([1.0, 1.0])
    rng = np.random.default_rng(7)
    many = rng.normal(size=(3000, 3))
    assert median_bandwidth(many) == median_bandwidth(many[::-1])
    assert median_bandwidth(many) == pytest.approx(np.sqrt(2 * 2.366), rel=0.03)


def test_an_outlier_does_not_hide_the_others():
    rng = np.random.default_rng(16)
    x, y = rng.normal(size=(9, 2)), rng.normal(size=(8, 2))
    x[0] = y[0] = 1e6
    found = measure("mmd", x, y, bandwidth=1.0, n_permutations=0)
    codes = (np.arange(9), 9 + np.arange(8))
    assert found.value == pytest.approx(by_definition(x, y, *codes, rbf(1.0)), abs=1e-4)


def test_constant_features():
    same = np.ones((6, 2))
    found = measure("mmd", same, same[:5])
    assert (found.value, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    found = measure("energy", same, same[:5])
    assert (found.value, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    with pytest.raises(ConfigurationError, match="give a bandwidth"):
        measure("mmd", same, same + 1)
    assert measure("mmd", same, same + 1, bandwidth=1.0).value > 0.5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bandwidth": 0.0}, "bandwidth is 0.0"),
        ({"bandwidth": True}, "bandwidth is True"),
        ({"bandwidths": "all"}, "'aggregate', 'single'"),
        ({"bandwidths": [1.0, -1.0]}, "positive factors"),
        ({"bandwidths": []}, "positive factors"),
        ({"features": 1}, "features is 1"),
    ],
)
def test_wrong_options(options, words):
    x = np.arange(10.0)
    with pytest.raises(ConfigurationError, match=words):
        measure("mmd", x, x + 1, **options)


def test_too_many_examples_and_too_few_clusters():
    x = np.zeros((5_001, 1))
    for name in ("mmd", "energy"):
        with pytest.raises(ConfigurationError, match="features=512"):
            measure(name, x, x)
    y = np.arange(6.0)
    with pytest.raises(ConfigurationError, match="of 1 cluster"):
        measure("mmd", y, y + 1, clusters=("aaaaaa", "bcdefg"))
    found = measure("mmd", y, y + 1, clusters=("aabbcc", "defghi"))
    assert np.isnan(found.low)
    assert "3 clusters on a side" in found.method
    assert found.p_value is not None


def test_the_combined_p_value_by_definition():
    rng = np.random.default_rng(8)
    table = rng.integers(0, 4, size=(40, 3)).astype(float)
    for exact in (False, True):
        pool = table[1:] if exact else table
        own = (pool[None, :, :] >= table[:, None, :]).mean(axis=1).min(axis=1)
        expected = np.mean((own[1:] if exact else own) <= own[0] + 1e-12)
        nulls = [Null(column, 1e-9) for column in table.T]
        assert combined_p_value(nulls, exact) == pytest.approx(expected)


def test_single_precision_is_within_what_counts_as_a_tie():
    rng = np.random.default_rng(9)
    x, y, _ = gaussians(rng, (150, 100), 10, 0.2)
    samples = two_samples(x, y, takes="features")
    kernel = drop_own(np.exp(-squared_distances(samples.features) / 20), samples.clusters)
    labels = permutations_of(samples, 300, 0).labels
    found = null_of(samples, kernel, labels)
    z = labels.astype(float)
    xx, yy, xy = (np.einsum("ij,ij->i", a @ kernel, b) for a, b in ((z, z), (1 - z, 1 - z),
                                                                    (z, 1 - z)))  # fmt: skip
    exact = xx / (150 * 149) + yy / (100 * 99) - 2 * xy / (150 * 100)
    line = np.polyfit(exact, found.statistics, 1)
    assert line[0] > 0
    assert np.abs(found.statistics - np.polyval(line, exact)).max() < found.tie / 2


def test_random_features_come_near_all_pairs():
    rng = np.random.default_rng(10)
    x, y, c = across(rng, 30)
    whole = measure("mmd", x, y + 0.5, clusters=c, bandwidth=2.0, seed=0)
    part = measure("mmd", x, y + 0.5, clusters=c, bandwidth=2.0, features=4_000, seed=0)
    error = part.parameters["frequency_se"]
    assert 0 < error < 0.01
    assert abs(whole.value - part.value) < 4 * error
    assert part.se == pytest.approx(whole.se, rel=0.1)
    assert abs(whole.p_value - part.p_value) < 0.05


def test_random_features_are_unbiased_and_their_error_is_honest():
    rng = np.random.default_rng(11)
    x, y, _ = gaussians(rng, (20, 20), 3, 0.5)
    whole = measure("mmd", x, y, bandwidth=2.0, n_permutations=0).value
    found = [
        measure("mmd", x, y, bandwidth=2.0, features=16, n_permutations=0, seed=s)
        for s in range(300)
    ]
    values = np.array([f.value for f in found])
    assert abs(values.mean() - whole) < 4 * values.std() / np.sqrt(300)
    claimed = np.sqrt(np.mean([f.parameters["frequency_se"] ** 2 for f in found]))
    assert claimed == pytest.approx(values.std(), rel=0.15)


def test_counts_of_pairs():
    rng = np.random.default_rng(12)
    part, clusters = rng.integers(0, 4, 30), rng.integers(0, 9, 30)
    found = pair_counts(part, clusters, 4)
    for a in range(4):
        for b in range(4):
            pairs = [(i, j) for i in range(30) for j in range(30) if part[i] == a and part[j] == b]
            assert found[a, b] == sum(clusters[i] != clusters[j] for i, j in pairs)


def test_parts_are_groups_by_side():
    samples = two_samples(*across(np.random.default_rng(1))[:2], takes="features")
    parts = Parts.of(samples, 0)
    for i, j in combinations(range(len(samples.clusters)), 2):
        if parts.of_row[i] == parts.of_row[j]:
            assert samples.is_source[i] == samples.is_source[j]


def rejections(name, case, repeats, n_permutations, **options):
    rng = np.random.default_rng(13)
    low = 0
    for seed in range(repeats):
        x, y, c = NULLS[case](rng)
        p = measure(
            name, x, y, clusters=c, n_permutations=n_permutations, seed=seed, **options
        ).p_value
        low += p <= 0.05
    return low


@pytest.mark.parametrize("case", ["50", "unequal", "wide", "clusters", "ties", "across"])
def test_type_one_error(case):
    assert rejections("mmd", case, 120, 99) <= most_rejections(120, 0.05, 6)


@pytest.mark.slow
@pytest.mark.parametrize("case", sorted(NULLS))
@pytest.mark.parametrize("name", ["mmd", "energy", "features"])
def test_type_one_error_closely(name, case):
    options = {"features": 32} if name == "features" else {}
    low = rejections("mmd" if name == "features" else name, case, 600, 199, **options)
    assert low <= most_rejections(600, 0.05, 21)
    assert low >= fewest_hits(600, 0.03, 21)


def test_power():
    rng = np.random.default_rng(14)
    for case in ({"n": (50, 50), "shift": 1.0}, {"n": (160, 160), "shift": 2.0, "size": 8}):
        x, y, c = gaussians(rng, case.pop("n"), 3, **case)
        for name in ("mmd", "energy"):
            found = measure(name, x, y, clusters=c, n_permutations=199)
            assert found.p_value == 1 / 200
            assert found.low > 0


def coverage(name, n, width, shift, size, repeats, **options):
    rng = np.random.default_rng(15)
    held = 0
    for _ in range(repeats):
        x, y, c = gaussians(rng, n, width, shift, size)
        clusters = c if size > 1 else None
        found = measure(name, x, y, clusters=clusters, n_permutations=0, **options)
        if name == "mmd":
            truth = mmd2(width, found.parameters["bandwidth"], shift)
        else:
            truth = energy_distance(width, shift)
        held += found.low <= truth <= found.high
    return held


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0, 3.0])
@pytest.mark.parametrize(("name", "width"), [("mmd", 1), ("mmd", 30), ("energy", 2)])
def test_intervals_hold_the_truth(name, width, shift):
    held = coverage(name, (50, 50), width, shift, 1, 100)
    assert held >= fewest_hits(100, 0.95, 12)


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("name", ["mmd", "energy", "features"])
def test_intervals_hold_the_truth_closely(name, shift):
    options = {"features": 64} if name == "features" else {}
    cells = [((50, 50), 1), ((50, 200), 1), ((200, 200), 1), ((160, 160), 8)]
    for n, size in cells:
        for width in (1, 20):
            held = coverage(
                "mmd" if name == "features" else name, n, width, shift, size, 250, **options
            )
            assert held >= fewest_hits(250, 0.95, 96), (n, size, width, held)
