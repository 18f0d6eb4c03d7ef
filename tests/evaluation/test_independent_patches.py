"""How many independent patches those of a radiograph are worth: by definition and in simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation import effective_patches
from shiftbench.statistics import stream


def projection(names):
    """Onto the means by name: (n, n)."""
    z = (np.asarray(names)[:, None] == np.unique(names)[None]).astype(float)
    return z @ np.linalg.inv(z.T @ z) @ z.T, z @ z.T


def by_matrices(scores, clusters, units=None):
    """ρ from sums of squares set equal to their expectations, by quadratic forms."""
    n = len(scores)
    mean, of_cluster = np.full((n, n), 1 / n), projection(clusters)
    steps, effects = [mean], []
    if units is not None and len(set(units)) < len(set(clusters)):
        of_unit = projection(units)
        steps.append(of_unit[0])
        effects.append(of_unit[1])
    steps += [of_cluster[0], np.eye(n)]
    effects += [of_cluster[1], np.eye(n)]
    forms = [after - before for before, after in itertools.pairwise(steps)]
    expected = [[np.trace(form @ effect) for effect in effects] for form in forms]
    variances = np.linalg.solve(expected, [scores @ form @ scores for form in forms])
    return variances[:-1].sum() / variances.sum()


def made(sizes, rho, patients=None, seed=0):
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    between = rng.normal(size=len(sizes))
    if patients is not None:
        between = (rng.normal(size=len(sizes))[patients] + between) / math.sqrt(2)
    noise = rng.normal(size=len(clusters))
    return math.sqrt(rho) * between[clusters] + math.sqrt(1 - rho) * noise, clusters


def test_balanced_it_is_the_textbook_formula():
    scores, clusters = made([6] * 25, 0.3)
    table = scores.reshape(25, 6)
    between = 6 * table.mean(axis=1).var(ddof=1)
    within = table.var(axis=1, ddof=1).mean()
    rho = (between - within) / (between + 5 * within)
    found = effective_patches(scores, clusters)
    assert found.parameters["icc"] == pytest.approx(rho)
    assert found.value == pytest.approx(6 / (1 + 5 * rho))
    assert found.parameters["at_most"] == pytest.approx(1 / rho)
    assert (found.n, found.n_clusters, found.parameters["patches"]) == (150, 25, 6)
    assert found.low < found.value < found.high


@pytest.mark.parametrize("seed", range(6))
def test_unequal_sizes_and_patients_by_quadratic_forms(seed):
    rng = np.random.default_rng(seed)
    sizes, patients = rng.integers(1, 7, 30), np.sort(rng.integers(0, 14, 30))
    scores, clusters = made(sizes, 0.4, patients, seed)
    found = effective_patches(scores, clusters)
    assert found.parameters["icc"] == pytest.approx(by_matrices(scores, clusters))
    nested = effective_patches(scores, clusters, units=patients[clusters])
    assert nested.n_clusters == len(set(patients.tolist()))
    expected = by_matrices(scores, clusters, patients[clusters])
    assert nested.parameters["icc"] == pytest.approx(expected)
    same = effective_patches(scores, clusters, units=clusters)
    assert repr(same) == repr(found)


def test_patches_that_there_are_not():
    sizes = [4] * 20 + [2] * 20
    scores, clusters = made(sizes, 0.5)
    found = effective_patches(scores, clusters)
    assert found.parameters["patches"] == pytest.approx(1 / (0.5 / 4 + 0.5 / 2))
    rho = found.parameters["icc"]
    for n in (1, 2.5, 512):
        assert effective_patches(scores, clusters, n).value == pytest.approx(
            n / (1 + (n - 1) * rho)
        )


def test_the_variance_of_means_falls_by_that_much():
    scores, clusters = made([16] * 4000, 0.2)
    table = scores.reshape(4000, 16)
    for n in (2, 4, 16):
        fallen = scores.var() / table[:, :n].mean(axis=1).var()
        assert effective_patches(scores, clusters, n).value == pytest.approx(fallen, rel=0.05)


def test_no_more_alike_than_chance_would_have_it():
    table = np.tile([-1.0, 0.0, 1.0], (10, 1)) + np.linspace(0, 0.01, 10)[:, None]
    table[:, 1] += np.linspace(0.3, -0.2, 10)
    found = effective_patches(table.ravel(), np.repeat(np.arange(10), 3))
    assert by_matrices(table.ravel(), np.repeat(np.arange(10), 3)) < 0
    assert (found.value, found.high, found.parameters["icc"]) == (3, 3, 0)
    assert "negative correlation taken as 0" in found.method
    assert math.isnan(found.parameters["at_most"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(-4, 4)), min_size=4, max_size=40),
    st.randoms(use_true_random=False),
    st.sampled_from([1.0, 1e-150, 3e200, -7.0]),
)
def test_rows_names_and_scale_do_not_matter(pairs, random, scale):
    codes = np.array([c for c, _ in pairs])
    scores = np.array([s for _, s in pairs], float)
    one = effective_patches(scores, codes, units=codes // 2)
    order = list(range(len(pairs)))
    random.shuffle(order)
    names = np.array([f"r{9 - c}" for c in codes])
    two = effective_patches(scores[order], names[order], units=(codes // 2)[order])
    assert repr((one.value, one.low, one.high)) == repr((two.value, two.low, two.high))
    scaled = effective_patches(scores * scale, codes, units=codes // 2)
    for bound in ("value", "low", "high"):
        expected = pytest.approx(getattr(one, bound), rel=1e-6, nan_ok=True)
        assert getattr(scaled, bound) == expected
    if not math.isnan(one.value):
        most = one.parameters["patches"]
        assert 1 - 1e-9 <= one.value <= most * (1 + 1e-9)
    if not math.isnan(one.low):
        assert one.low <= one.value * (1 + 1e-9) <= one.high * (1 + 1e-8)


@pytest.mark.parametrize(
    ("scores", "clusters", "words"),
    [
        ([1.0, 2.0], ["a", "b"], "no cluster has two patches"),
        ([1.0, 2.0], ["a", "a"], "one independent unit"),
        ([3.0, 3.0, 3.0], ["a", "a", "b"], "all scores are the same"),
        ([1.0, math.inf, 2.0], ["a", "a", "b"], "some scores are infinite"),
    ],
)
def test_what_cannot_be_told(scores, clusters, words):
    found = effective_patches(scores, clusters)
    assert math.isnan(found.value)
    assert words in found.method


def test_patches_that_are_all_alike_count_once():
    values = np.random.default_rng(0).normal(size=30) * math.pi + 1e6
    found = effective_patches(np.repeat(values, 7), np.repeat(np.arange(30), 7))
    assert found.value == 1
    assert (found.parameters["icc"], found.parameters["at_most"]) == (1, 1)
    assert math.isnan(found.low)
    assert "no spread among the units" in found.method


def test_one_cluster_with_several_patches_tells_no_interval():
    found = effective_patches([1.0, 2.0, 5.0, 9.0, 0.0], ["a", "a", "b", "c", "d"])
    assert 1 <= found.value <= found.parameters["patches"]
    assert math.isnan(found.low)
    assert "rests on a few units" in found.method


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scores": [1.0, math.nan, 2.0]}, "NaN"),
        ({"scores": [], "clusters": []}, "scores is empty"),
        ({"clusters": ["a"]}, "clusters: 1 were given for 3"),
        ({"units": ["p"]}, "units: 1 were given for 3"),
        ({"units": ["p", "q", "q"]}, "the cluster 'a' lies in two units"),
        ({"clusters": ["a", None, "b"]}, "have no cluster"),
        ({"n": 0}, "n is 0"),
        ({"n": math.nan}, "n is nan"),
        ({"n": "2"}, "n is '2'"),
        ({"level": 95}, "level is 95"),
    ],
)
def test_bad_input(change, words):
    with pytest.raises(ConfigurationError, match=words):
        effective_patches(**{"scores": [1.0, 2.0, 3.0], "clusters": ["a", "a", "b"], **change})


DRAWS = {
    "normal": lambda rng, size: rng.normal(size=size),
    "exponential": lambda rng, size: rng.exponential(size=size) - 1,
    "t5": lambda rng, size: rng.standard_t(5, size=size) / math.sqrt(5 / 3),
    "two points": lambda rng, size: (rng.random(size) < 0.1) / 0.3 - 1 / 3,
}


def coverage(kind, k, n, rho, rounds, patients=False):
    """How often the interval holds n/(1 + (n − 1)ρ), which is known."""
    rng = stream(0, "coverage of effective patches", f"{kind} {k} {n} {rho} {patients}")
    draw, truth = DRAWS[kind], n / (1 + (n - 1) * rho)
    held = 0
    for _ in range(rounds):
        codes = np.repeat(np.arange(k), n)
        unit = np.arange(k) // 2 if patients else np.arange(k)
        between = draw(rng, k)
        if patients:
            between = math.sqrt(0.5) * (draw(rng, k)[unit] + between)
        noise = DRAWS["normal"] if kind == "two points" else draw
        scores = math.sqrt(rho) * between[codes] + math.sqrt(1 - rho) * noise(rng, k * n)
        found = effective_patches(scores, codes, units=unit[codes])
        held += found.low - 1e-9 <= truth <= found.high + 1e-9
    return held / rounds


@pytest.mark.parametrize("rho", [0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("patients", [False, True])
def test_the_interval_holds_the_truth(rho, patients):
    assert coverage("normal", 40, 8, rho, 400, patients) >= 0.93 - 3.5 * math.sqrt(0.065 / 400)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(DRAWS))
@pytest.mark.parametrize(("k", "n"), [(40, 8), (40, 64), (200, 8), (200, 64)])
@pytest.mark.parametrize("rho", [0, 0.1, 0.5, 0.9])
def test_the_interval_holds_the_truth_in_many_samples(kind, k, n, rho):
    rounds = 1500
    assert coverage(kind, k, n, rho, rounds) >= 0.93 - 3 * math.sqrt(0.065 / rounds)
