"""Exact counts and nested draws."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.builders.shared.counted import apportion, largest_size, ring_ranks
from shiftbench.builders.shared.labelled import labelled

from ..clustered_rows import ClusteredRows

weights = st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(any)


def literal_hamilton(shares: list[Fraction], total: int) -> list[int]:
    quotas = [s * total for s in shares]
    counts = [q.numerator // q.denominator for q in quotas]
    rest = [q - c for q, c in zip(quotas, counts, strict=True)]
    while sum(counts) < total:
        i = max(range(len(rest)), key=lambda j: (rest[j], -j))
        counts[i] += 1
        rest[i] = Fraction(-1)
    return counts


@given(weights, st.integers(0, 200))
def test_apportion_is_hamiltons_method(found: list[int], total: int) -> None:
    shares = np.array(found) / sum(found)
    made = apportion(shares, total)
    assert made.tolist() == literal_hamilton([Fraction(w, sum(found)) for w in found], total)
    assert made.sum() == total
    assert np.abs(made - shares * total).max() < 1
    assert (made[shares == 0] == 0).all()


def test_no_other_counts_are_nearer() -> None:
    shares, total = np.array([0.47, 0.31, 0.22]), 9
    made = np.abs(apportion(shares, total) - shares * total).sum()
    others = [
        abs(a - shares[0] * total) + abs(b - shares[1] * total)
        + abs(total - a - b - shares[2] * total)
        for a in range(total + 1) for b in range(total + 1 - a)
    ]  # fmt: skip
    assert made == pytest.approx(min(others))


@given(weights, st.data())
def test_largest_size_against_all_sizes(found: list[int], data: st.DataObject) -> None:
    shares = np.array(found) / sum(found)
    available = np.array(
        data.draw(st.lists(st.integers(0, 30), min_size=len(found), max_size=len(found)))
    )
    literal = max(
        n for n in range(int(available.sum()) + 1) if (apportion(shares, n) <= available).all()
    )
    assert largest_size(shares, available) == literal


def test_every_row_is_as_likely_in_a_sample() -> None:
    """Also those of large clusters, which an order of clusters would leave out of small ones."""
    found = labelled(ClusteredRows(n=40).scan())
    rows = np.arange(len(found))
    zeros = np.zeros(len(rows), np.int64)
    taken = np.zeros(len(rows))
    runs, n = 1500, 4
    for seed in range(runs):
        taken[ring_ranks(found, rows, zeros, ("all",), seed, "test") < n] += 1
    expected, spread = runs * n / len(rows), np.sqrt(runs * (n / len(rows)))
    assert np.abs(taken - expected).max() < 4.5 * spread
    sizes = np.bincount(found.cluster)[found.cluster]
    alone, large = taken[sizes == sizes.min()].mean(), taken[sizes == sizes.max()].mean()
    assert abs(alone - large) < 0.15 * expected


def test_ranks_are_a_ring_of_whole_clusters() -> None:
    found = labelled(ClusteredRows(n=200).scan())
    rows = np.random.default_rng(0).permutation(len(found))[:150]
    codes = found.label.codes[rows]
    rank = ring_ranks(found, rows, codes, found.label.names, 0, "test")
    for c in range(3):
        own = np.flatnonzero(codes == c)
        assert sorted(rank[own]) == [*range(len(own))]
        cluster = found.cluster[rows[own[np.argsort(rank[own])]]]
        changes = (cluster != np.roll(cluster, 1)).sum()
        assert changes == len(set(cluster.tolist()))


def test_ranks_do_not_depend_on_the_order_of_rows() -> None:
    found = labelled(ClusteredRows(n=100).scan())
    rows = np.arange(100)
    turned = rows[::-1].copy()
    one, other = (
        ring_ranks(found, r, found.label.codes[r], found.label.names, 3, "test")
        for r in (rows, turned)
    )
    assert (one == other[::-1]).all()
