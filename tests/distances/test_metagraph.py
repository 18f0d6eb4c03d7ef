from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.distances.metagraph import EDGES, communities, edges, subset_communities
from shiftbench.distances.overlaps import Subsets, overlap_coefficient
from shiftbench.errors import ConfigurationError


@st.composite
def graphs(draw):
    n = draw(st.integers(1, 12))
    upper = np.triu_indices(n, 1)
    there = draw(st.lists(st.booleans(), min_size=len(upper[0]), max_size=len(upper[0])))
    weights = np.zeros((n, n))
    weights[upper] = there
    return weights + weights.T


@given(graphs(), st.randoms())
def test_order_changes_nothing(weights, random):
    n = len(weights)
    names = [f"n{i:02}" for i in range(n)]
    order = list(range(n))
    random.shuffle(order)
    here = communities(weights, names)
    there = communities(weights[np.ix_(order, order)], [names[i] for i in order])
    assert np.array_equal(here[order], there)


@given(graphs(), st.floats(0.1, 5.0))
def test_weights_are_not_used(weights, factor):
    names = [f"n{i:02}" for i in range(len(weights))]
    assert np.array_equal(communities(weights, names), communities(weights * factor, names))


@given(graphs())
def test_numbered_by_size_then_by_smallest_name(weights):
    n = len(weights)
    number = communities(weights, [f"n{i:02}" for i in range(n)])
    sizes = np.bincount(number)
    assert (sizes > 0).all()
    keys = [(-int(sizes[c]), int(np.flatnonzero(number == c)[0])) for c in range(len(sizes))]
    assert keys == sorted(keys)
    alone = np.flatnonzero(weights.sum(axis=1) == 0)
    assert all(sizes[number[i]] == 1 for i in alone)


@given(graphs())
def test_as_good_as_networkx(weights):
    graph = nx.from_numpy_array(weights)
    if not graph.number_of_edges():
        return
    number = communities(weights, [f"n{i:02}" for i in range(len(weights))])
    found = [set(np.flatnonzero(number == c).tolist()) for c in np.unique(number)]
    expected = nx.community.greedy_modularity_communities(graph)
    assert sorted(map(sorted, found)) == sorted(map(sorted, expected))


def test_two_cliques():
    clique = np.ones((4, 4))
    weights = np.block([[clique, np.zeros((4, 4))], [np.zeros((4, 4)), clique]])
    weights[3, 4] = weights[4, 3] = 0.3
    assert communities(weights, list("hgfedcba")).tolist() == [1] * 4 + [0] * 4


def test_bad_names():
    with pytest.raises(ConfigurationError, match="2 nodes; 1 names"):
        communities(np.zeros((2, 2)), ["a"])


def test_edges_against_the_definition():
    rng = np.random.default_rng(1)
    classes = [str(rng.choice(["cat", "dog"])) for _ in range(30)]
    names = [f"{c}({i})" for i, c in enumerate(classes)]
    sets = [set(rng.choice(40, int(rng.integers(1, 15)), replace=False).tolist()) for _ in names]
    subsets = Subsets.of(names, classes, sets, 40)
    expected = sorted(
        (classes[i], names[i], names[j], len(sets[i] & sets[j]) / min(len(sets[i]), len(sets[j])))
        for i in range(30)
        for j in range(30)
        if names[i] < names[j] and classes[i] == classes[j]
    )
    table = edges(subsets, 0.25)
    assert table.schema == EDGES
    found = [tuple(row.values()) for row in table.to_pylist()]
    assert found == [e for e in expected if e[3] >= 0.25]
    assert table.equals(edges(subsets.take(rng.permutation(30)), 0.25))


def test_communities_of_all_classes():
    rng = np.random.default_rng(2)
    classes = ["b", "a"] * 10
    names = [f"{c}({i})" for i, c in enumerate(classes)]
    sets = [rng.choice(60, 12, replace=False) for _ in names]
    subsets = Subsets.of(names, classes, sets, 60)
    number = subset_communities(subsets, 0.3)
    for kind in "ab":
        at = [i for i, c in enumerate(classes) if c == kind]
        part = subsets.take(at)
        weights = overlap_coefficient(part).toarray()
        weights[weights < 0.3] = 0
        assert number[at].tolist() == communities(weights, part.names).tolist()
    order = rng.permutation(20)
    assert np.array_equal(subset_communities(subsets.take(order), 0.3), number[order])


def test_bad_threshold():
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        edges(Subsets.of("a", "c", [[0]], 1), -0.1)
