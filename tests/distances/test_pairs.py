from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest

from shiftbench.distances import measure, pairwise, stacked
from shiftbench.distances.bandwidth import median_bandwidth
from shiftbench.errors import ConfigurationError
from shiftbench.schema import SHIFT_DISTANCES


def some(rng, sizes=(12, 7, 20, 9), width=3):
    named = enumerate(zip("dbca", sizes, strict=True))
    return {name: rng.normal(size=(n, width)) + 0.4 * k for k, (name, n) in named}


OPTIONS = {
    "mmd": {},
    "energy": {},
    "characteristic": {"n_frequencies": 40},
    "features": {"features": 40},
}


@pytest.mark.parametrize("name", sorted(OPTIONS))
@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("tile", [5, 2_048])
def test_all_at_once_is_each_pair_alone(monkeypatch, name, clustered, tile):
    monkeypatch.setattr(stacked, "_TILE", tile)
    rng = np.random.default_rng(0)
    subsets = some(rng)
    clusters = {k: rng.integers(0, 8, len(v)) for k, v in subsets.items()} if clustered else None
    distance = "mmd" if name == "features" else name
    table = pairwise(subsets, distance, clusters=clusters, seed=2, **OPTIONS[name])
    assert table.schema == SHIFT_DISTANCES
    rows = table.to_pylist()
    assert [(r["source"], r["target"]) for r in rows] == list(combinations("abcd", 2))
    for row in rows:
        a, b = row["source"], row["target"]
        given = json.loads(row["parameters"])
        width = {"bandwidth": given["bandwidth"]} if distance != "energy" else {}
        alone = measure(
            distance,
            subsets[a],
            subsets[b],
            clusters=(clusters[a], clusters[b]) if clustered else None,
            n_permutations=0,
            seed=2,
            **OPTIONS[name],
            **width,
        )
        assert row["value"] == pytest.approx(alone.value, abs=5e-7)
        assert (row["n_source"], row["n_target"]) == (alone.n_source, alone.n_target)
        assert (row["n_clusters_source"], row["n_clusters_target"]) == (
            alone.n_clusters_source,
            alone.n_clusters_target,
        )
        assert row["low"] is row["high"] is row["p_value"] is row["config"] is None
        assert (row["kind"], row["distance"], row["seed"]) == ("covariate", distance, 2)


@pytest.mark.parametrize("name", ["mmd", "energy", "characteristic"])
def test_pairs_that_share_examples(name):
    rng = np.random.default_rng(1)
    every = rng.normal(size=(60, 3))
    patients = rng.integers(0, 25, 60)
    members = {
        "a": np.arange(20),
        "b": np.arange(15, 40),
        "c": np.arange(30, 60),
        "d": [15, 16, 17],
    }
    subsets = {k: every[m] for k, m in members.items()}
    clusters = {k: patients[m] for k, m in members.items()}
    options = {} if name == "energy" else {"bandwidth": 2.0}
    table = pairwise(subsets, name, clusters=clusters, ids=members, **options)
    for row in table.to_pylist():
        a, b = row["source"], row["target"]
        shared = len(set(members[a]) & set(members[b]))
        assert json.loads(row["parameters"]).get("shared_examples", 0) == shared
        if (a, b) in {("a", "d"), ("b", "d")}:
            assert row["value"] is None
            assert "too few" in row["method"]
            assert row["n_target"] == 0
            continue
        alone = measure(
            name,
            subsets[a],
            subsets[b],
            clusters=(clusters[a], clusters[b]),
            ids=(members[a], members[b]),
            **options,
        )
        assert row["value"] == pytest.approx(alone.value, abs=5e-7)
        assert row["n_source"] == alone.n_source == len(members[a]) - shared
        assert row["n_clusters_target"] == alone.n_clusters_target


def test_intervals_and_p_values_are_those_of_measure():
    rng = np.random.default_rng(2)
    subsets = some(rng)
    table = pairwise(subsets, "mmd", n_permutations=49, seed=3).to_pylist()
    values = pairwise(subsets, "mmd", intervals=True, seed=3, n_jobs=2).to_pylist()
    plain = pairwise(subsets, "mmd", seed=3).to_pylist()
    for row, other, only in zip(table, values, plain, strict=True):
        width = json.loads(row["parameters"])["bandwidth"]
        alone = measure(
            "mmd",
            subsets[row["source"]],
            subsets[row["target"]],
            bandwidth=width,
            n_permutations=49,
            seed=3,
        )
        assert row["p_value"] == alone.p_value
        assert other["p_value"] is None
        for bound in ("low", "high"):
            assert row[bound] == pytest.approx(getattr(alone, bound), abs=1e-12)
            assert other[bound] == pytest.approx(row[bound], abs=1e-12)
        assert only["value"] == pytest.approx(row["value"], abs=5e-7)


def test_one_bandwidth_for_all():
    rng = np.random.default_rng(3)
    subsets = some(rng)

    def width(table):
        (found,) = {json.loads(p)["bandwidth"] for p in table["parameters"].to_pylist()}
        return found

    pooled = np.concatenate(list(subsets.values()))
    assert width(pairwise(subsets, "mmd")) == median_bandwidth(pooled)
    assert width(pairwise(subsets, "mmd", bandwidth=3)) == 3
    reference = rng.normal(size=(30, 3))
    assert width(pairwise(subsets, "mmd", reference=reference)) == median_bandwidth(reference)
    ids = {"a": range(9), "b": range(7), "c": range(20), "d": range(12)}
    same = rng.normal(size=(20, 3))
    twice = {k: same[list(v)] for k, v in ids.items()}
    # Each example once, in whichever subsets it is.
    assert width(pairwise(twice, "mmd", ids=ids)) == median_bandwidth(same)


def test_order_does_not_matter():
    rng = np.random.default_rng(4)
    subsets = some(rng)
    turned = {k: subsets[k][::-1] for k in "cabd"}
    for name in ("mmd", "energy", "characteristic"):
        assert pairwise(subsets, name).equals(pairwise(turned, name))


def test_far_values_take_double_precision():
    rng = np.random.default_rng(5)
    subsets = {"a": rng.normal(size=(9, 2)), "b": rng.normal(size=(8, 2))}
    subsets["a"][0] = subsets["b"][0] = 1e6
    table = pairwise(subsets, "mmd", bandwidth=1.0)
    alone = measure("mmd", subsets["a"], subsets["b"], bandwidth=1.0, n_permutations=0)
    assert table["value"][0].as_py() == pytest.approx(alone.value, abs=1e-4)


def test_other_distances():
    rng = np.random.default_rng(6)
    table = pairwise(some(rng), "sliced_wasserstein", n_permutations=0)
    assert table.num_rows == 6
    assert table["value"].null_count == 0
    labels = {"a": list("xxyy"), "b": list("xyyy"), "c": list("yyyy")}
    assert pairwise(labels, "label_tv").num_rows == 3


@pytest.mark.parametrize(
    ("subsets", "options", "words"),
    [
        ({"a": [0.0, 1.0]}, {}, "1 subsets"),
        ({"a": [0.0, 1.0], "b": [[0.0, 1.0], [1.0, 2.0]]}, {}, "'b' has 2 features and 'a' has 1"),
        ({"a": [0.0, 1.0], "b": [1.0, 2.0, np.nan]}, {}, "subset 'b' has 1 values.*row 2"),
        ({"a": [0.0], "b": [1.0, 2.0]}, {}, "'a' has 1 clusters"),
        ({"a": [0.0, 1.0], "b": [1.0, 2.0]}, {"width": 3}, "no option 'width'"),
        ({"a": [0.0, 1.0], "b": [1.0, 2.0]}, {"level": 95}, "level"),
        ({"a": [0.0, 1.0], "b": [1.0, 2.0]}, {"n_permutations": -1}, "n_permutations"),
        ({"a": [0.0, 1.0], "b": [1.0, 2.0]}, {"ids": {"a": "xy"}}, "'b' has no ids"),
        ({"a": [0.0, 1.0], "b": [1.0, 2.0]}, {"ids": {"a": "xx", "b": "yz"}}, "twice in the"),
        ({"a": [0.0, 1.0], "b": [1.0, 2.0]}, {"clusters": {"a": "xy", "b": "z"}}, "1 clusters"),
        ({1: [0.0, 1.0], 2: [1.0, 2.0]}, {}, "names as text"),
    ],
)
def test_bad_input(subsets, options, words):
    with pytest.raises(ConfigurationError, match=words):
        pairwise(subsets, "mmd", **options)


def test_unknown_and_unsuited_distances():
    subsets = {"a": [0.0, 1.0], "b": [1.0, 2.0]}
    with pytest.raises(ConfigurationError, match="no distance is called 'mdd'; there are"):
        pairwise(subsets, "mdd")
    with pytest.raises(ConfigurationError, match="use measure"):
        pairwise(subsets, "disde")
