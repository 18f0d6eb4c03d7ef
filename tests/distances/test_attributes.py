from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, entropy
from sklearn.metrics import normalized_mutual_info_score

from shiftbench.distances.attributes import subpopulation_numbers
from shiftbench.errors import ConfigurationError

NAMES = ("spurious_correlation", "attribute_imbalance", "class_imbalance")

# --- against the definitions --------------------------------------------------------------------


@given(st.integers(0, 1000), st.integers(20, 60), st.integers(2, 4), st.integers(2, 5))
def test_plug_in_values(seed, n, classes, kinds):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.repeat(np.arange(classes), 2), rng.integers(0, classes, n)])
    a = np.concatenate([np.arange(2 * classes) % kinds, rng.integers(0, kinds, n)])
    found = subpopulation_numbers(y, a)
    assert list(found) == list(NAMES)
    known = {name: e.parameters["plug_in"] for name, e in found.items()}
    assert known[NAMES[0]] == pytest.approx(normalized_mutual_info_score(y, a), abs=1e-9)
    for name, values in ((NAMES[1], a), (NAMES[2], y)):
        counts = np.unique(values, return_counts=True)[1]
        assert known[name] == pytest.approx(1 - entropy(counts) / np.log(len(counts)), abs=1e-9)


def test_bias_is_the_jackknifes():
    rng = np.random.default_rng(0)
    y, a = rng.integers(0, 2, 30), rng.integers(0, 3, 30)
    found = subpopulation_numbers(y, a)["spurious_correlation"]
    without = [normalized_mutual_info_score(np.delete(y, i), np.delete(a, i)) for i in range(30)]
    plain = normalized_mutual_info_score(y, a)
    assert found.value == pytest.approx(30 * plain - 29 * np.mean(without))


def test_the_target():
    y, a = ["u", "v"] * 20, ["x", "y"] * 20
    found = subpopulation_numbers(y, a, ["u", "v", "u", "v"] * 5, ["x", "x", "z", "y"] * 5)
    assert found["attribute_generalisation"].value == 0.25
    assert found["joint_generalisation"].value == 0.5
    assert found["spurious_correlation"].parameters["plug_in"] == pytest.approx(1)
    assert found["class_imbalance[target]"].parameters["plug_in"] == pytest.approx(0)
    change = found["spurious_correlation[change]"]
    assert change.value < -0.2
    assert change.high < 0
    nothing = subpopulation_numbers(y, a, y, a)
    assert nothing["attribute_generalisation"].value == 0
    assert nothing["attribute_generalisation"].high > 0


def test_lists_of_attributes_count_each_membership():
    y = ["u", "u", "v", "v"] * 5
    lists = [["x", "y"], ["x"], ["y"], []] * 5
    apart = subpopulation_numbers(["u", "u", "u", "v"] * 5, ["x", "y", "x", "y"] * 5)
    found = subpopulation_numbers(y, lists)
    for name in NAMES:
        plug_in = [f[name].parameters["plug_in"] for f in (found, apart)]
        assert plug_in[0] == pytest.approx(plug_in[1])
    assert found["attribute_imbalance"].n == 20


def test_boundaries():
    one = subpopulation_numbers(["u"] * 20, ["x", "y"] * 10)
    assert np.isnan(one["class_imbalance"].value)
    assert one["class_imbalance"].method == "cannot tell: one class"
    assert np.isnan(one["spurious_correlation"].value)
    assert one["attribute_imbalance"].low == 0
    same = subpopulation_numbers(["u", "v"] * 10, ["x", "y"] * 10)["spurious_correlation"]
    assert same.value == pytest.approx(1)
    assert "no spread" in same.method
    few = subpopulation_numbers(["u", "v"] * 10, ["x", "y"] * 10, clusters=["p"] * 20)
    assert few["class_imbalance"].method.startswith("cannot tell")


def test_order_and_clusters():
    rng = np.random.default_rng(1)
    y, a, c = rng.integers(0, 2, 600), rng.integers(0, 3, 600), rng.integers(0, 300, 600)
    order = rng.permutation(600)
    here = subpopulation_numbers(y, a, clusters=c)
    there = subpopulation_numbers(y[order], a[order], clusters=c[order])
    for name in NAMES:
        assert here[name].value == pytest.approx(there[name].value, abs=1e-12)
        assert here[name].high == pytest.approx(there[name].high, abs=1e-9)
    copied = subpopulation_numbers(
        np.repeat(y, 5), np.repeat(a, 5), clusters=np.repeat(np.arange(600), 5)
    )
    alone = subpopulation_numbers(y, a)
    for name in NAMES:
        assert copied[name].high == pytest.approx(alone[name].high, rel=0.1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((["a"], ["x", "y"]), "has 1 labels and 2 attributes"),
        ((["a", None], ["x", "y"]), "row 1 of the training split has no label"),
        ((["a"], ["x"], ["a"]), "come together"),
        (([], []), "at least one example"),
    ],
)
def test_bad_input(given, said):
    with pytest.raises(ConfigurationError, match=said):
        subpopulation_numbers(*given)


# --- coverage -----------------------------------------------------------------------------------


def missed(repeats, n, size, k, tilt):
    p = np.exp(tilt * (np.outer([-1, 1], np.linspace(-1, 1, k)) + np.linspace(-1, 1, k)))
    p /= p.sum()
    y, a = p.sum(axis=1), p.sum(axis=0)
    truth = {
        NAMES[0]: 2 * (entropy(y) + entropy(a) - entropy(p.ravel())) / (entropy(y) + entropy(a)),
        NAMES[1]: 1 - entropy(a) / np.log(k),
        NAMES[2]: 1 - entropy(y) / np.log(2),
    }
    counts = dict.fromkeys(truth, 0)
    owner = np.arange(n) // size
    for seed in range(repeats):
        rng = np.random.default_rng([seed, n, size, k])
        own, alone = rng.choice(2 * k, owner[-1] + 1, p=p.ravel())[owner], rng.choice(
            2 * k, n, p=p.ravel()
        )  # fmt: skip
        z = np.where(rng.random(n) < (np.sqrt(0.5) if size > 1 else 0), own, alone)
        found = subpopulation_numbers(z // k, z % k, clusters=owner, seed=seed)
        for name, value in truth.items():
            counts[name] += found[name].low > value + 1e-9 or found[name].high < value - 1e-9
    return counts


@pytest.mark.parametrize(("n", "size"), [(50, 1), (200, 1), (320, 8)])
def test_intervals_cover(n, size):
    for k, tilt in [(2, 0), (4, 0.3)]:
        for count in missed(60, n, size, k, tilt).values():
            assert count <= binom.ppf(1 - 0.001 / 18, 60, 0.07)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "size"), [(50, 1), (200, 1), (320, 8)])
def test_intervals_cover_closely(n, size):
    for k in (2, 4, 8):
        for tilt in (0, 0.3, 1):
            for name, count in missed(600, n, size, k, tilt).items():
                # Sixteen cells and forty clusters: some cells have less than one to expect.
                share = 0.11 if (size, k, tilt, name) == (8, 8, 1, NAMES[0]) else 0.07
                assert count <= binom.ppf(1 - 0.001 / 81, 600, share), (k, tilt, name)


def test_attributes_that_are_all_different_leave_no_interval():
    found = subpopulation_numbers(["a", "b"] * 15, [f"{i}" for i in range(30)])
    told = found["spurious_correlation"]
    assert np.isnan(told.low)
    assert np.isnan(told.high)
    assert "no spread" in told.method


def test_many_cells_do_not_push_the_interval_below_the_truth():
    k, rho, missed = 10, 0.8, 0
    cells = np.full((k, k), (1 - rho) / k**2) + rho * np.eye(k) / k
    truth = 2 * (1 - entropy(cells.ravel()) / (2 * np.log(k)))
    for seed in range(40):
        drawn = np.random.default_rng(seed).choice(k * k, 50, p=cells.ravel())
        found = subpopulation_numbers((drawn // k).tolist(), (drawn % k).tolist())
        told = found["spurious_correlation"]
        missed += not told.low <= truth <= told.high
    assert missed <= 6
