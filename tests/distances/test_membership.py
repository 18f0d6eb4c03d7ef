from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.distances import membership
from shiftbench.distances.graph import adjacency, resistance_distance, spectral_metashift
from shiftbench.distances.membership import (
    ALL,
    Subsets,
    jaccard,
    measure,
    overlap_coefficient,
    task_distance,
)
from shiftbench.errors import ConfigurationError
from shiftbench.schema import SHIFT_DISTANCES


@st.composite
def indexes(draw):
    """Subsets in any order, of several classes, some of them empty."""
    sets = draw(st.lists(st.sets(st.integers(0, 14)), min_size=1, max_size=10))
    classes = [draw(st.sampled_from(["cat", "dog"])) for _ in sets]
    return [f"{c}({i})" for i, c in enumerate(classes)], classes, sets


def table_of(names, classes, sets, **options):
    return measure(Subsets.of(names, classes, sets, 15), **options)


@given(indexes())
def test_against_the_definitions(index):
    names, classes, sets = index
    table, left = table_of(*index)
    assert table.schema == SHIFT_DISTANCES
    holds = dict(zip(names, sets, strict=True))
    its_class = dict(zip(names, classes, strict=True))
    pairs = {(a, b) for a in names for b in names if a < b and its_class[a] == its_class[b]}
    assert left["pairs"] == len(pairs)
    assert left["pairs_across_classes"] == math.comb(len(names), 2) - len(pairs)
    assert table.num_rows == 4 * len(pairs)
    for row in table.to_pylist():
        a, b = holds[row["source"]], holds[row["target"]]
        assert (row["source"], row["target"]) in pairs
        assert (row["n_source"], row["n_target"]) == (len(a), len(b))
        assert (row["kind"], row["method"], row["config"]) == ("membership", "exact", None)
        assert row["low"] is row["high"] is row["p_value"] is row["seed"] is None
        if row["distance"] == "overlap_distance":
            least = min(len(a), len(b))
            assert row["value"] == (1 - len(a & b) / least if least else None)
        elif row["distance"] == "jaccard_distance":
            union = len(a | b)
            assert row["value"] == (1 - len(a & b) / union if union else None)
        if row["value"] is None:
            assert json.loads(row["parameters"])["reason"]
    for kind in classes:
        inside = sorted(n for n in names if its_class[n] == kind)
        part = Subsets.of(inside, [kind] * len(inside), [holds[n] for n in inside], 15)
        weights = adjacency(overlap_coefficient(part), 0.2)
        expected = {
            "spectral_metashift": spectral_metashift(weights, inside),
            "resistance_distance": resistance_distance(weights),
        }
        for row in table.to_pylist():
            if row["source"] in inside and row["distance"] in expected:
                i, j = inside.index(row["source"]), inside.index(row["target"])
                value = expected[row["distance"]][i, j]
                assert row["value"] == (None if np.isnan(value) else value)


@given(indexes(), st.randoms())
def test_input_order_changes_no_bit(index, random):
    order = list(range(len(index[0])))
    random.shuffle(order)
    examples = list(range(15))
    random.shuffle(examples)
    names, classes, sets = ([part[i] for i in order] for part in index)
    moved = [{examples[x] for x in s} for s in sets]
    assert table_of(*index)[0].equals(table_of(names, classes, moved)[0])


def test_the_budget_is_kept_and_stated():
    rng = np.random.default_rng(0)
    n = 60
    classes = [f"c{i % 3}" for i in range(n)]
    sets = [set(rng.choice(200, 3 + i, replace=False).tolist()) for i in range(n)]
    names = [f"{c}({i:02})" for i, c in enumerate(classes)]
    subsets = Subsets.of(names, classes, sets, 200)
    whole, nothing = measure(subsets)
    assert (nothing["pairs_beyond_budget"], nothing["smallest_size"]) == (0, None)
    for budget in (0, 1, 50, 300, nothing["pairs"] - 1):
        table, left = measure(subsets, max_pairs=budget)
        assert left["pairs"] <= budget
        assert left["pairs"] + left["pairs_beyond_budget"] == nothing["pairs"]
        assert left["classes_cut"]
        large = [i for i in range(n) if len(sets[i]) >= left["smallest_size"]]
        assert left["pairs"] == sum(classes[i] == classes[j] for i in large for j in large if i < j)
        # The next smaller size would not have fitted.
        more = [i for i in range(n) if len(sets[i]) >= left["smallest_size"] - 1]
        assert sum(classes[i] == classes[j] for i in more for j in more if i < j) > budget
        kept = {(r["source"], r["target"], r["distance"]): r for r in table.to_pylist()}
        assert len(kept) == 4 * left["pairs"]
        for row in whole.to_pylist():
            key = row["source"], row["target"], row["distance"]
            if key in kept:
                assert kept[key] == row


def test_a_class_too_large_for_its_graph_says_so(monkeypatch):
    subsets = Subsets.of("abcde", ["c"] * 3 + ["d"] * 2, [[0, 1], [1], [2], [0], [0]], 3)
    monkeypatch.setattr(membership, "MAX_NODES", 2)
    table, _ = measure(subsets)
    for row in table.to_pylist():
        graph = row["distance"] in ALL[2:]
        large = row["source"] in "abc"
        assert (row["value"] is None) == (graph and large)
        if graph and large:
            assert "up to 2" in json.loads(row["parameters"])["reason"]


def test_chosen_distances_and_names():
    subsets = Subsets.of("ab", "cc", [[0], [0, 1]], 2)
    table, _ = measure(
        subsets,
        distances=["jaccard_distance", "overlap_distance"],
        config="cat_dog",
        kind="covariate",
    )
    assert table["distance"].to_pylist() == ["overlap_distance", "jaccard_distance"]
    assert table["value"].to_pylist() == [0.0, 0.5]
    assert table["config"].to_pylist() == ["cat_dog"] * 2
    assert table["kind"].to_pylist() == ["covariate"] * 2


def test_no_subsets():
    table, left = measure(Subsets.of([], [], [], 0))
    assert table.num_rows == left["pairs"] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"distances": ["jacard_distance"]}, "did you mean 'jaccard_distance'"),
        ({"edge_threshold": 1.5}, "between 0 and 1"),
        ({"max_pairs": -1}, "0 or more"),
    ],
)
def test_bad_options(options, said):
    with pytest.raises(ConfigurationError, match=said):
        measure(Subsets.of("ab", "cc", [[0], [0]], 1), **options)


def test_task_distance_is_a_mean_of_distances():
    sets = [[0, 1, 2, 3], [3, 4, 5], [5, 6, 7], [7, 8, 0], [2, 4, 6, 8]]
    names = ["bed", "sofa", "shelf", "desk", "box"]
    subsets = Subsets.of(names, ["dog"] * 5, sets, 9)
    all_of_them = spectral_metashift(adjacency(overlap_coefficient(subsets), 0.2), names)
    expected = (all_of_them[0, 2] + all_of_them[1, 2]) / 2
    assert task_distance(subsets, ["bed", "sofa"], "shelf") == expected
    assert task_distance(subsets, ["sofa", "bed"], "shelf") == expected
    moved = subsets.take([4, 2, 0, 3, 1])
    assert task_distance(moved, ["bed", "sofa"], "shelf") == expected
    with pytest.raises(ConfigurationError, match="did you mean 'shelf'"):
        task_distance(subsets, ["bed"], "shelv")
    with pytest.raises(ConfigurationError, match="at least one"):
        task_distance(subsets, [], "shelf")


def test_task_distance_without_a_layout():
    apart = Subsets.of([f"{i}" for i in range(8)], ["dog"] * 8, [[i] for i in range(8)], 8)
    assert math.isnan(task_distance(apart, ["0"], "1"))


def test_the_published_attribute_index(shared_data: Path):
    packed = (shared_data / "metashift/attribute_subsets.json.gz").read_bytes()
    published = json.loads(gzip.decompress(packed))
    ids = {name: i for i, name in enumerate(sorted({x for v in published.values() for x in v}))}
    names = sorted(published)
    classes = [name.split("(")[0].strip() for name in names]
    subsets = Subsets.of(names, classes, [[ids[x] for x in published[n]] for n in names], len(ids))
    assert (len(names), len(set(classes))) == (2_877, 193)
    assert (len(subsets.indices), subsets.n_examples) == (107_849, 49_970)
    table, left = measure(subsets)
    assert left["pairs_beyond_budget"] == 0
    assert table.num_rows == 4 * left["pairs"]
    at = {name: i for i, name in enumerate(names)}
    whole = jaccard(subsets)
    chosen = table.filter(pc.equal(table["distance"], "jaccard_distance")).to_pylist()
    for row in chosen[::997]:
        a, b = (set(published[row[end]]) for end in ("source", "target"))
        assert row["value"] == 1 - len(a & b) / len(a | b)
        assert row["value"] == 1 - whole[at[row["source"]], at[row["target"]]]
