from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shiftbench.distances.graph import (
    adjacency,
    components,
    resistance_distance,
    spectral_layout,
    spectral_metashift,
)
from shiftbench.errors import ConfigurationError


@st.composite
def graphs(draw, smallest=2, largest=9):
    n = draw(st.integers(smallest, largest))
    values = st.one_of(st.just(0.0), st.sampled_from([0.25, 0.5, 1.0]), st.floats(0.2, 1.0))
    weights = np.zeros((n, n))
    upper = np.triu_indices(n, 1)
    weights[upper] = draw(st.lists(values, min_size=len(upper[0]), max_size=len(upper[0])))
    return weights + weights.T


def names_of(n):
    return [f"{chr(97 + i)}" for i in range(n)]


def spectrum(weights):
    return np.linalg.eigvalsh(np.diag(weights.sum(axis=1)) - weights)


def random_graph(rng, n, share):
    weights = np.triu(rng.uniform(0.2, 1.0, (n, n)) * (rng.random((n, n)) < share), 1)
    return weights + weights.T


@given(graphs(), st.randoms())
def test_node_order_changes_no_bit(weights, random):
    names = names_of(len(weights))
    order = list(range(len(weights)))
    random.shuffle(order)
    moved = weights[np.ix_(order, order)]
    for dim in (1, 2, 5):
        here = spectral_metashift(weights, names, dim)
        there = spectral_metashift(moved, [names[i] for i in order], dim)
        assert np.array_equal(here[np.ix_(order, order)], there, equal_nan=True)


@given(graphs())
def test_names_of_the_same_order_change_no_bit(weights):
    names = names_of(len(weights))
    other = [f"zz{name}" for name in names]
    here, there = (spectral_metashift(weights, x) for x in (names, other))
    assert np.array_equal(here, there, equal_nan=True)


@given(graphs(), st.randoms())
def test_other_names_change_no_value(weights, random):
    # Whole eigenspaces and a scale of their own: the basis that eigh happens to choose is no part.
    names = names_of(len(weights))
    shuffled = list(names)
    random.shuffle(shuffled)
    values = spectrum(weights)
    gaps = np.diff(values) / max(values[-1], 1e-12)
    assume(not ((gaps > 1e-11) & (gaps < 1e-5)).any())
    here, there = (spectral_metashift(weights, x) for x in (names, shuffled))
    np.testing.assert_allclose(here, there, atol=1e-6)


@given(graphs())
def test_spectral_is_symmetric_with_zero_diagonal(weights):
    found = spectral_metashift(weights, names_of(len(weights)))
    assert np.array_equal(found, found.T, equal_nan=True)
    assert not found.diagonal().any()


@pytest.mark.parametrize("seed", range(8))
def test_the_published_layout_where_no_eigenvalue_repeats(seed):
    rng = np.random.default_rng(seed)
    weights = random_graph(rng, int(rng.integers(7, 25)), 0.6)
    assert components(weights)[0] == 1
    values = spectrum(weights)
    assert (np.diff(values) > 1e-6).all()
    graph = nx.from_numpy_array(weights)
    places = nx.spectral_layout(graph, dim=5)
    published = np.array([places[i] for i in range(len(weights))])
    expected = np.linalg.norm(published[:, None] - published[None], axis=2)
    found = spectral_metashift(weights, [f"{i:02}" for i in range(len(weights))])
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_two_nodes_are_at_the_two_ends():
    for weight in (0.0, 0.7):
        found = spectral_metashift(np.array([[0, weight], [weight, 0]]), ["a", "b"])
        np.testing.assert_allclose(found, [[0, 2], [2, 0]])


def test_one_node():
    assert spectral_metashift(np.zeros((1, 1)), ["a"]).tolist() == [[0.0]]
    assert resistance_distance(np.zeros((1, 1))).tolist() == [[0.0]]


@pytest.mark.parametrize("n", [4, 5, 6])
def test_a_complete_graph_has_all_nodes_equally_far(n):
    found = spectral_metashift(np.ones((n, n)), names_of(n))
    off = found[~np.eye(n, dtype=bool)]
    np.testing.assert_allclose(off, off[0])


def test_a_repeated_eigenspace_is_taken_whole_or_not_at_all():
    complete = np.ones((7, 7))
    layout = spectral_layout(complete, names_of(7), dim=5)
    assert layout.dims_used == 0
    assert (
        layout.reason
        == "the first eigenspace has dimension 6 (the graph has 1 component); dim is 5"
    )
    found = layout.distances()
    assert np.isnan(found[~np.eye(7, dtype=bool)]).all()
    assert not found.diagonal().any()
    star = np.zeros((9, 9))
    star[0, 1:] = star[1:, 0] = 1.0  # the leaves share an eigenspace of dimension 7
    assert spectral_layout(star, names_of(9), dim=5).dims_used == 0
    assert spectral_layout(star, names_of(9), dim=7).dims_used == 7
    assert spectral_layout(star, names_of(9), dim=8).dims_used == 8
    leaves = spectral_metashift(star, names_of(9), dim=7)[1:, 1:]
    np.testing.assert_allclose(leaves[~np.eye(8, dtype=bool)], leaves[0, 1])


def test_components_are_told_apart_by_the_first_eigenspace():
    weights = np.zeros((6, 6))
    for i in (0, 2, 4):
        weights[i, i + 1] = weights[i + 1, i] = 0.5
    layout = spectral_layout(weights, names_of(6), dim=2)
    assert (layout.n_components, layout.dims_used) == (3, 2)
    found = layout.distances()
    np.testing.assert_allclose(found[0, 1], 0, atol=1e-12)
    np.testing.assert_allclose(found[0, 2:], found[0, 2])
    assert spectral_layout(weights, names_of(6), dim=4).dims_used == 2
    assert spectral_layout(weights, names_of(6), dim=5).dims_used == 5


@given(graphs())
def test_resistance_against_networkx(weights):
    graph = nx.from_numpy_array(weights)
    found = resistance_distance(weights)
    for part in nx.connected_components(graph):
        inside = sorted(part)
        if len(inside) == 1:
            continue
        expected = nx.resistance_distance(
            graph.subgraph(inside), weight="weight", invert_weight=False
        )
        for i in inside:
            for j in inside:
                np.testing.assert_allclose(found[i, j], expected[i][j], atol=1e-9)
    _, label = components(weights)
    assert np.array_equal(np.isinf(found), label[:, None] != label[None, :])


@given(graphs())
def test_resistance_is_a_metric(weights):
    found = resistance_distance(weights)
    assert np.array_equal(found, found.T)
    assert not found.diagonal().any()
    through = found[:, :, None] + found[None, :, :]  # i to j to k
    assert (found[:, None, :] <= through + 1e-9).all()
    assert (found[~np.eye(len(found), dtype=bool)] > 0).all()


def test_resistance_of_any_unit():
    weights = np.array([[0, 1.0, 0], [1, 0, 2], [0, 2, 0]])
    for unit in (1e-9, 1.0, 1e9):
        np.testing.assert_allclose(
            resistance_distance(weights * unit) * unit,
            [[0, 1, 1.5], [1, 0, 0.5], [1.5, 0.5, 0]],
            rtol=1e-9,
        )


def test_resistors_in_series_and_parallel():
    path = np.diag(np.full(3, 0.5), 1)
    np.testing.assert_allclose(resistance_distance(path + path.T)[0], [0, 2, 4, 6])


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (np.zeros((2, 3)), "square"),
        (np.array([[0, 1], [0.5, 0]]), "symmetric"),
        (np.array([[0, -1.0], [-1, 0]]), "not negative"),
        (np.array([[0, np.nan], [np.nan, 0]]), "finite"),
    ],
)
def test_bad_weights(weights, said):
    with pytest.raises(ConfigurationError, match=said):
        adjacency(weights)


def test_bad_names_and_dim():
    with pytest.raises(ConfigurationError, match="2 nodes; 2 names came, 1 of them different"):
        spectral_layout(np.zeros((2, 2)), ["a", "a"])
    with pytest.raises(ConfigurationError, match="at least 1"):
        spectral_layout(np.zeros((2, 2)), ["a", "b"], dim=0)
