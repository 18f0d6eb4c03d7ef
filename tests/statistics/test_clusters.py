"""Clusters: numbered together without mixing names up, and by what they hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.statistics import Clusters
from shiftbench.statistics.clusters import warn_across

TYPES = (np.int8, np.int64, np.uint16, np.uint64, object)


@given(
    st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 3), max_size=8),
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3), max_size=8),
)
def test_large_numbers_of_two_types_stay_apart(a: list[int], b: list[int]) -> None:
    one, two = Clusters.pair(np.array(a, np.uint64), np.array(b, np.int64))
    assert one.n_clusters == two.n_clusters == len({*a, *b})
    same = np.array(a, object)[:, None] == np.array(b, object)[None]
    assert ((one.codes[:, None] == two.codes[None]) == same.astype(bool)).all()


@pytest.mark.parametrize("first", TYPES)
@pytest.mark.parametrize("second", TYPES)
def test_one_name_in_two_types_is_one_cluster(first, second) -> None:
    one, two = Clusters.pair(np.array([1, 2], first), np.array([2, 3], second))
    assert (one.codes.tolist(), two.codes.tolist()) == ([0, 1], [1, 2])


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), min_size=1), st.randoms())
def test_by_content(rows: list[tuple[int, int]], random) -> None:
    def held(rows: list[tuple[int, int]]) -> list[list[int]]:
        names, values = zip(*rows, strict=True)
        codes = Clusters.of(names).by_content(values).codes
        held = [sorted(np.array(values)[codes == c].tolist()) for c in range(codes.max() + 1)]
        # The same clusters as before.
        assert len({*zip(names, codes, strict=True)}) == len({*names}) == len(held)
        return held

    found = held(rows)
    assert found == sorted(found, key=lambda values: (len(values), values))
    moved = [(-name, value) for name, value in rows]
    random.shuffle(moved)
    assert held(moved) == found


def test_ties_of_content() -> None:
    clusters = Clusters.of(["a", "b", "c"])
    assert clusters.by_content([1, 1, 0], [5, 4, 6]).codes.tolist() == [2, 1, 0]
    assert clusters.by_content([1, 1, 0]).codes.tolist() == [1, 2, 0]


def test_across() -> None:
    with pytest.warns(UserWarning, match="^2 clusters have both ID and OOD examples; "):
        assert warn_across(np.array([0, 1, 1, 4]), np.array([1, 1, 4, 3]), 2) == 2
