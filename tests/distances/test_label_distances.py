from __future__ import annotations

import itertools
import json
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import binom

from shiftbench.distances.label_distances import jensen_shannon, total_variation
from shiftbench.distances.measured import measure
from shiftbench.errors import ConfigurationError

NAMES = ("label_tv", "label_js")


def tv(x, y):
    p, q = Counter(x), Counter(y)
    return 0.5 * sum(abs(p[v] / len(x) - q[v] / len(y)) for v in {*x, *y})


def js(x, y):
    found = 0.0
    for v in {*x, *y}:
        p, q = x.count(v) / len(x), y.count(v) / len(y)
        for share in (p, q):
            if share:
                found += 0.5 * share * math.log2(share / ((p + q) / 2))
    return found


labels = st.lists(st.sampled_from("abcd"), min_size=2, max_size=12)


@settings(max_examples=40, deadline=None)
@given(labels, labels)
def test_against_the_definitions(x, y):
    for name, of in (("label_tv", tv), ("label_js", js)):
        found = measure(name, x, y, n_permutations=0)
        assert np.isclose(found.parameters["plain"], of(x, y))
        assert found.p_value is None
        json.dumps(dict(found.parameters), allow_nan=False)
        if not math.isnan(found.low):
            assert min(found.value, 0) <= found.low <= found.value <= found.high <= 1


def test_scipy_agrees():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9, size=(2, 50, 6)) + 1.0
    ours = jensen_shannon(counts[0], counts[1])
    assert np.allclose(ours, jensenshannon(counts[0], counts[1], axis=1, base=2) ** 2)
    p, q = (c / c.sum(axis=1, keepdims=True) for c in counts)
    assert np.allclose(total_variation(*counts), 0.5 * np.abs(p - q).sum(axis=1))


def test_exact_p_value_by_going_through_all_permutations():
    x, y = list("aabb"), list("bbbcb")
    both = x + y
    for name, of in (("label_tv", tv), ("label_js", js)):
        reached = []
        for chosen in itertools.combinations(range(9), 4):
            one = [both[i] for i in chosen]
            two = [both[i] for i in range(9) if i not in chosen]
            reached.append(of(one, two) >= of(x, y) - 1e-12)
        found = measure(name, x, y, n_permutations=1000)
        assert found.parameters["all_permutations"]
        assert np.isclose(found.p_value, np.mean(reached))


@pytest.mark.parametrize("name", NAMES)
def test_order_and_names_do_not_matter(name):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 4, 60), rng.integers(0, 3, 50)
    cx, cy = rng.integers(0, 20, 60), 100 + rng.integers(0, 15, 50)
    one = measure(name, x, y, clusters=(cx, cy), n_permutations=99)
    i, j = rng.permutation(60), rng.permutation(50)
    two = measure(name, x[i], y[j], clusters=(cx[i], cy[j]), n_permutations=99)
    assert one == two


@pytest.mark.parametrize("name", NAMES)
def test_edges(name):
    same = measure(name, ["a"] * 20, ["a"] * 30)
    assert (same.value, same.p_value) == (0.0, 1.0)
    assert math.isnan(same.low)
    assert same.method.startswith("cannot tell")
    apart = measure(name, ["a"] * 20, ["b"] * 30)
    assert apart.value == pytest.approx(1.0)
    assert apart.p_value < 0.01
    alone = measure(name, ["a", "b"], ["a", "a"], clusters=([1, 1], [2, 3]))
    assert "one cluster" in alone.method
    with pytest.raises(ConfigurationError, match="levels"):
        measure(name, np.arange(3000), np.arange(3000))


def test_parameters_list_what_moved_most():
    found = measure("label_tv", list("aab") * 20, list("abb") * 20 + ["c"])
    assert found.parameters["levels"] == 3
    assert [s["label"] for s in found.parameters["shares"]] == ["a", "b", "c"]
    assert found.parameters["shares"][0]["source"] == pytest.approx(2 / 3)


def test_a_cluster_on_both_sides_stays_on_both():
    # Within each pair the label follows the side; permuting pairs alone cannot show it.
    x, y = ["a", "b"] * 10, ["b", "a"] * 10
    units = np.arange(20)
    assert measure("label_tv", x, y, clusters=(units, units)).p_value == 1.0
    paired = measure("label_tv", ["a"] * 10, ["b"] * 10, clusters=(units[:10], units[:10]))
    assert paired.p_value == pytest.approx(2 / 1001, abs=0.01)


# --- validity -------------------------------------------------------------------------------


def shares(k, power=0.0, tilt=0.0):
    weights = np.arange(1, k + 1.0) ** -power * np.exp(tilt * np.linspace(-1, 1, k))
    return weights / weights.sum()


def drawn(rng, clusters, p, size, icc=0.5):
    whole = rng.choice(len(p), clusters, p=p)[:, None]
    own = rng.choice(len(p), (clusters, size), p=p)
    x = np.where(rng.random(own.shape) < math.sqrt(icc), whole, own) if size > 1 else own
    return x.ravel(), np.repeat(np.arange(clusters), size)


def simulate(name, p, q, n, size, repeats, seed=0):
    rng = np.random.default_rng(seed)
    of = total_variation if name == "label_tv" else jensen_shannon
    truth = float(of(p, q))
    rejected = covered = 0
    for _ in range(repeats):
        (x, cx), (y, cy) = drawn(rng, n[0], p, size), drawn(rng, n[1], q, size)
        units = (cx, cy + n[0]) if size > 1 else None
        found = measure(name, x, y, clusters=units, n_permutations=99)
        rejected += found.p_value <= 0.05
        covered += not (found.low > truth + 1e-12 or found.high < truth - 1e-12)
    return rejected, covered / repeats


@pytest.mark.parametrize("name", NAMES)
def test_quickly_valid(name):
    for p, n, size in ((shares(5), (50, 50), 1), (shares(20, 1.5), (50, 200), 1),
                       (shares(3), (40, 40), 8)):  # fmt: skip
        rejected, covered = simulate(name, p, p, n, size, 80)
        assert rejected <= binom.ppf(1 - 0.001 / 6, 80, 0.05)
        assert covered >= binom.ppf(0.001 / 6, 80, 0.95) / 80


CELLS = [
    (k, power, tilt, n, size)
    for k, power in ((2, 0.0), (2, 1.5), (5, 0.0), (20, 1.5), (100, 0.0))
    for tilt in (0.0, 0.3, 3.0)
    for n, size in (((50, 50), 1), ((50, 200), 1), ((200, 200), 1), ((40, 40), 8))
    if k < 100 or size == 1
]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_valid(name):
    repeats = 120
    nulls = sum(tilt == 0 for _, _, tilt, _, _ in CELLS)
    bad = []
    for k, power, tilt, n, size in CELLS:
        found = simulate(name, shares(k, power), shares(k, power, tilt), n, size, repeats, seed=7)
        if tilt == 0 and found[0] > binom.ppf(1 - 0.001 / (2 * nulls), repeats, 0.05):
            bad.append(("type I", k, power, n, size, found))
        if found[1] < binom.ppf(0.001 / len(CELLS), repeats, 0.94) / repeats:
            bad.append(("coverage", k, power, tilt, n, size, found))
    assert not bad
