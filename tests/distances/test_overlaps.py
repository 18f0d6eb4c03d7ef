from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.distances import overlaps
from shiftbench.distances.overlaps import Subsets, intersections, jaccard, overlap_coefficient
from shiftbench.errors import ConfigurationError

members = st.lists(st.sets(st.integers(0, 19)), max_size=12)


def made(sets) -> Subsets:
    names = [f"c({i})" for i in range(len(sets))]
    return Subsets.of(names, ["c"] * len(sets), sets, 20)


@given(members)
def test_against_literal_sets(sets):
    s = made(sets)
    shared = [[len(a & b) for b in sets] for a in sets]
    overlap = [[len(a & b) / (min(len(a), len(b)) or 1) for b in sets] for a in sets]
    union = [[len(a & b) / (len(a | b) or 1) for b in sets] for a in sets]
    n = len(sets)
    assert np.array_equal(intersections(s).toarray(), np.array(shared).reshape(n, n))
    assert np.array_equal(overlap_coefficient(s).toarray(), np.array(overlap).reshape(n, n))
    assert np.array_equal(jaccard(s).toarray(), np.array(union).reshape(n, n))


@given(members)
def test_blocks_change_nothing(sets):
    whole = intersections(made(sets)).toarray()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlaps, "_PRODUCTS", 3)
        assert np.array_equal(intersections(made(sets)).toarray(), whole)


@given(members, st.randoms())
def test_the_numbering_of_examples_changes_nothing(sets, random):
    other = list(range(20))
    random.shuffle(other)
    moved = made([{other[i] for i in s} for s in sets])
    assert np.array_equal(jaccard(made(sets)).toarray(), jaccard(moved).toarray())
    assert np.array_equal(jaccard(moved.compact()).toarray(), jaccard(moved).toarray())


def test_many_images_in_one_subset():
    s = Subsets.of(["a", "b"], ["c", "c"], [range(100_000), range(0, 100_000, 2)], 100_000)
    assert intersections(s).toarray().tolist() == [[100_000, 50_000], [50_000, 50_000]]


def offsets(*values):
    return np.array(values, dtype=np.int64)


def rows(*values):
    return np.array(values, dtype=np.int32)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((("a", "a"), ("c", "c"), offsets(0, 0, 0), rows(), 1), "more than once"),
        ((("a",), ("c", "d"), offsets(0, 0), rows(), 1), "1 subset names need 1 classes"),
        ((("a",), ("c",), offsets(0, 2), rows(0), 1), "indptr must rise"),
        ((("a",), ("c",), offsets(0, 1), rows(3), 3), "there are 3 examples"),
        ((("a",), ("c",), offsets(0, 1), rows(-1), 3), "there are 3 examples"),
        ((("a",), ("c",), offsets(0, 2), rows(1, 1), 3), "sorted and without repetition"),
        ((("a",), ("c",), offsets(0, 2), rows(1, 0), 3), "sorted and without repetition"),
        ((("a", "b"), ("c", "c"), offsets(0, 1, 3), rows(2, 1, 0), 3), "sorted and without"),
    ],
)
def test_bad_input(arguments, said):
    with pytest.raises(ConfigurationError, match=said):
        Subsets(*arguments)


def test_rows_may_fall_from_one_subset_to_the_next():
    s = Subsets(("a", "e", "b"), ("c",) * 3, offsets(0, 2, 2, 3), rows(1, 2, 0), 3)
    assert s.sizes.tolist() == [2, 0, 1]
    assert s.take([2, 0]).indices.tolist() == [0, 1, 2]
