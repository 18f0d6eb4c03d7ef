"""Parts of whole clusters, alike in their classes, that no other example disturbs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.builders.shared.division import divide, random_order
from shiftbench.builders.shared.labelled import Labelled, labelled
from shiftbench.errors import ConfigurationError

from .made_sources import metadata


def examples(n: int, clusters: list[str] | None = None, classes: int = 2) -> Labelled:
    made = {"label": [str(i % classes) for i in range(n)]}
    return labelled(metadata(n, made, clusters=clusters))


@given(st.integers(0, 5), st.integers(30, 80), st.integers(1, 4))
def test_parts_are_disjoint_whole_clusters_of_the_sizes_asked_for(
    seed: int, n: int, per_cluster: int
) -> None:
    clusters = [f"c{i // per_cluster}" for i in range(n)]
    found = examples(n, clusters)
    parts = divide(found, {"train": 0.5, "test": 0.3}, seed, "test")
    units = len(set(clusters))
    sizes = [len(np.unique(found.cluster[rows])) for rows in parts.values()]
    assert sizes == [round(0.5 * units), round(0.8 * units) - round(0.5 * units)]
    together = np.concatenate([*parts.values()])
    assert len(np.unique(together)) == len(together)
    of_part = {name: set(found.cluster[rows]) for name, rows in parts.items()}
    assert not of_part["train"] & of_part["test"]
    for name, rows in parts.items():
        assert set(np.flatnonzero(np.isin(found.cluster, list(of_part[name])))) == set(rows)


def test_every_class_is_spread_evenly() -> None:
    found = examples(1000, classes=5)
    for seed in range(20):
        for rows in divide(found, {"a": 0.5, "b": 0.25, "c": 0.25}, seed, "test").values():
            shares = np.bincount(found.label.codes[rows]) / len(rows)
            assert np.abs(shares - 0.2).max() < 0.01


def test_each_cluster_is_as_likely_in_a_part_as_any_other() -> None:
    found = examples(40)
    n = np.zeros(40)
    for seed in range(600):
        n[divide(found, {"a": 0.25}, seed, "test")["a"]] += 1
    # Binomial(600, 1/4): a deviation of five standard errors is a fault and not chance.
    assert np.abs(n - 150).max() < 5 * np.sqrt(600 * 0.25 * 0.75)


def test_without_strata_the_parts_are_a_simple_random_sample() -> None:
    found = examples(200)
    ones = []
    for seed in range(300):
        rows = divide(found, {"a": 0.5}, seed, "test", strata=np.zeros(200, np.int64))["a"]
        ones.append(int(found.label.codes[rows].sum()))
    hypergeometric = np.sqrt(100 * 0.25 * 100 / 199)
    assert 0.75 < np.std(ones) / hypergeometric < 1.3


def test_parts_of_some_rows_only() -> None:
    found = examples(100)
    rows = np.arange(0, 100, 2)
    parts = divide(found, {"a": 0.5, "b": 0.5}, 0, "test", rows=rows)
    assert np.array_equal(np.sort(np.concatenate([*parts.values()])), rows)


@pytest.mark.parametrize("shares", [{"a": 0.8, "b": 0.3}, {"a": -0.1}, {"a": 0.001}])
def test_shares_that_cannot_be(shares: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        divide(examples(50), shares, 0, "test")


def test_a_random_order_keeps_clusters_together_and_its_head_is_nested() -> None:
    clusters = [f"c{i // 3}" for i in range(60)]
    found = examples(60, clusters)
    order = random_order(found, np.arange(60), 3, "test")
    assert sorted(order) == list(range(60))
    assert (np.diff(found.cluster[order]) != 0).sum() == 19
    half = random_order(found, np.arange(30), 3, "test")
    assert np.array_equal(order[np.isin(order, half)], half)
