from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.errors import ConfigurationError
from shiftbench.statistics import ranks
from shiftbench.statistics.ranks import Thresholds, merge, scores_of

ANY = st.floats(allow_nan=False, width=64)
FEW = st.sampled_from([-math.inf, -2.0, -1.0, -0.0, 0.0, 5e-324, 1.0, 1.0 + 2**-52, math.inf])
LISTS = st.one_of(st.lists(ANY, max_size=30), st.lists(FEW, max_size=30))


def literal(id_scores, ood_scores):
    """Sorted by value, then label: labels as counts per distinct value."""
    both = sorted({float(x) + 0.0 for x in [*id_scores, *ood_scores]})
    return [(sum(x == v for x in id_scores), sum(x == v for x in ood_scores)) for v in both]


def counted(merged):
    starts = np.flatnonzero(merged.cuts[:-1])
    runs = np.split(merged.ood, starts[1:]) if len(merged.ood) else []
    return [(int((~run).sum()), int(run.sum())) for run in runs]


@given(LISTS, LISTS)
def test_merge_is_the_literal_order(id_scores, ood_scores):
    merged = merge(np.array(id_scores, dtype=float), np.array(ood_scores, dtype=float))
    assert counted(merged) == literal(id_scores, ood_scores)
    assert (merged.n_id, merged.n_ood) == (len(id_scores), len(ood_scores))
    assert merged.cuts[0]
    assert merged.cuts[-1]
    assert merged.distinct == bool(merged.cuts.all())


@pytest.mark.parametrize("scale", [1.0, 1e-300, 1e300, -1.0])
@pytest.mark.parametrize("decimals", [1, 12])
def test_merge_over_several_blocks(monkeypatch, scale, decimals):
    monkeypatch.setattr(ranks, "BLOCK", 16)
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=n).round(decimals) * scale for n in (201, 130))
    assert counted(merge(a, b)) == literal(a.tolist(), b.tolist())


def test_magnitudes_too_far_apart_for_a_key_are_sorted_indirectly(monkeypatch):
    called = []
    indirect = ranks._indirect
    monkeypatch.setattr(ranks, "_indirect", lambda pair: called.append(1) or indirect(pair))
    a, b = [1e308, -1e-308, 5e-324, 0.0, -0.0], [5e-324, 1e308, -math.inf]
    assert counted(merge(a, b)) == literal(a, b)
    assert called
    a, b = [1e300, 1e-5, math.inf], [1.0, -math.inf, -1e300]
    assert counted(merge(a, b)) == literal(a, b)
    assert len(called) == 1


@pytest.mark.parametrize("kind", ["float32", "float16", "int8", "uint32", "int64", "bool"])
def test_other_kinds_rank_as_float64(kind):
    rng = np.random.default_rng(1)
    a, b = ((rng.normal(size=40) * 3).astype(kind) for _ in range(2))
    assert counted(merge(a, b)) == literal(a.astype(float).tolist(), b.astype(float).tolist())


def test_a_strided_view_ranks_as_its_copy():
    x = np.random.default_rng(2).normal(size=(50, 3))
    ours, theirs = merge(x[:, 1], x[:, 2]), merge(x[:, 1].copy(), x[:, 2].copy())
    assert np.array_equal(ours.ood, theirs.ood)


def test_nan_is_refused_with_its_count_and_first_position():
    with pytest.raises(ConfigurationError, match=r"ood_scores: 2 of 4 .*position 1"):
        merge([1.0], [0.0, math.nan, 3.0, -math.nan])
    with pytest.raises(ConfigurationError, match=r"things: 1 of 2 .*position 0"):
        scores_of(np.array([np.nan, 1], dtype=np.float32), "things")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([[1.0], [2.0]], r"shape \(2, 1\)"),
        (["a", "b"], "real numbers"),
        ([2**53 + 1, 1], "without loss"),
        (np.array([1, 2**63 + 1], dtype=np.uint64), "without loss .*position 1"),
        (["1.0"], "real numbers"),
        (np.array([1 + 1j]), "real numbers"),
    ],
)
def test_what_is_no_score(values, words):
    with pytest.raises(ConfigurationError, match=words):
        scores_of(values)


def test_large_whole_numbers_that_float64_holds_are_scores():
    assert scores_of(np.array([2**60, -(2**53)])).tolist() == [2.0**60, -(2.0**53)]


@given(LISTS, LISTS)
def test_thresholds_are_the_literal_counts(id_scores, ood_scores):
    found = Thresholds.of(np.array(id_scores, dtype=float), np.array(ood_scores, dtype=float))
    both = sorted({float(x) + 0.0 for x in [*id_scores, *ood_scores]}, reverse=True)
    assert found.thresholds.tolist() == both
    assert found.n_id.tolist() == [sum(x >= t for x in id_scores) for t in both]
    assert found.n_ood.tolist() == [sum(y >= t for y in ood_scores) for t in both]
    at = found.index(np.array(id_scores, dtype=float))
    assert found.thresholds[at].tolist() == id_scores
