from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve

from shiftbench.statistics import ranks
from shiftbench.statistics import sweep as module
from shiftbench.statistics.ranks import merge
from shiftbench.statistics.sweep import sweep


@pytest.fixture(params=[8, 1 << 15])
def block(request, monkeypatch):
    monkeypatch.setattr(ranks, "BLOCK", request.param)
    monkeypatch.setattr(module, "BLOCK", request.param)
    monkeypatch.setattr(module, "EDGES", 3)
    monkeypatch.setattr(module, "DENSE", 5)
    monkeypatch.setattr(module, "STEP", 0.5)
    return request.param


SCORES = [
    lambda rng, n: rng.normal(size=n),
    lambda rng, n: rng.normal(size=n).round(1),
    lambda rng, n: rng.integers(0, 3, n).astype(float),
    lambda rng, n: np.where(rng.random(n) < 0.1, np.inf, rng.normal(size=n)),
    lambda rng, n: np.where(np.arange(n) < 40, rng.normal(size=n), 7.0),
]


def literal(pos, neg):
    """Every count from its definition, scores higher for more positive."""
    above = [2 * sum(x > y for x in neg) + sum(x == y for x in neg) for y in pos]
    flagged = {y: (int((pos >= y).sum()), int((neg >= y).sum())) for y in {*pos, *neg}}
    precision = [flagged[y][0] / sum(flagged[y]) for y in pos]
    values = sorted(flagged, reverse=True)
    before = {values[0]: 1.0}
    for last, here in itertools.pairwise(values):
        before[here] = flagged[last][0] / sum(flagged[last])
    return above, precision, [before[y] for y in pos], flagged


@pytest.mark.parametrize("kind", range(len(SCORES)))
@pytest.mark.parametrize("positive", ["ood", "id"])
def test_sums_are_the_literal_ones(block, kind, positive):
    rng = np.random.default_rng(kind)
    x, y = SCORES[kind](rng, 97), SCORES[kind](rng, 60) + 0.5
    found = sweep(merge(x, y), positive)
    pos, neg = (y, x) if positive == "ood" else (-x, -y)
    above, precision, before, flagged = literal(pos, neg)
    assert found.twice_above == sum(above)
    assert found.squares == pytest.approx(sum((a / 2) ** 2 for a in above), rel=1e-12)
    assert found.precision_sum == pytest.approx(sum(precision), rel=1e-12)
    assert found.trapezoid_sum == pytest.approx(sum(precision) + sum(before), rel=1e-12)
    assert (found.n_pos, found.n_neg) == (len(pos), len(neg))
    kept = set(zip(found.tp.tolist(), found.fp.tolist(), strict=True))
    assert kept <= set(flagged.values())
    assert (len(pos), len(neg)) in kept
    for rank in range(1, len(pos) + 1):
        assert found.flagged(rank) == flagged[sorted(pos, reverse=True)[rank - 1]]
    gains = {tp * len(neg) - fp * len(pos) for tp, fp in flagged.values()} | {0}
    tp, fp = found.best()
    assert tp * len(neg) - fp * len(pos) == max(gains)
    optima = zip(*(counts.tolist() for counts in found.optima()), strict=True)
    assert list(optima) == sorted(
        (tp, fp)
        for tp, fp in {*flagged.values(), (0, 0)}
        if tp * len(neg) - fp * len(pos) == max(gains)
    )


@pytest.mark.parametrize("kind", range(len(SCORES)))
def test_average_precision_and_trapezoid_are_scikit_learns(block, kind):
    rng = np.random.default_rng(kind)
    x, y = SCORES[kind](rng, 80), SCORES[kind](rng, 50) + 0.5
    scores = np.clip(np.concatenate([x, y]), -1e9, 1e9)  # scikit-learn refuses infinities
    truth = np.repeat([0, 1], [80, 50])
    found = sweep(merge(scores[:80], scores[80:]), "ood")
    assert found.precision_sum / 50 == pytest.approx(
        average_precision_score(truth, scores), abs=1e-13
    )
    precision, recall, _ = precision_recall_curve(truth, scores)
    assert found.trapezoid_sum / 100 == pytest.approx(-np.trapezoid(precision, recall), abs=1e-13)


INTEGERS = st.lists(st.integers(-4, 4), min_size=1, max_size=40)


@settings(max_examples=60)
@given(INTEGERS, INTEGERS)
def test_mirrored_scores_give_the_same_bits(id_scores, ood_scores):
    x, y = np.array(id_scores) / 3, np.array(ood_scores) / 3
    ours, theirs = sweep(merge(x, y), "ood"), sweep(merge(-y, -x), "id")
    for name in ("twice_above", "squares", "precision_sum", "trapezoid_sum"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert np.array_equal(ours.tp, theirs.tp)
    assert np.array_equal(ours.fp, theirs.fp)


def test_mirrored_scores_give_the_same_bits_over_blocks(block):
    rng = np.random.default_rng(5)
    for decimals in (1, 9):
        x, y = rng.normal(size=333).round(decimals), rng.normal(size=211).round(decimals)
        ours, theirs = sweep(merge(x, y), "ood"), sweep(merge(-y, -x), "id")
        assert ours.precision_sum == theirs.precision_sum
        assert ours.trapezoid_sum == theirs.trapezoid_sum
        assert ours.squares == theirs.squares
        assert np.array_equal(ours.tp, theirs.tp)


@pytest.mark.parametrize("sizes", [(30_000, 30_000), (40_000, 3000), (3000, 40_000), (40_000, 7)])
@pytest.mark.parametrize("decimals", [1, 2, 15])
def test_between_kept_places_little_changes_in_either_class(sizes, decimals):
    rng = np.random.default_rng(9)
    x, y = rng.normal(size=sizes[0]).round(decimals), rng.normal(2, 0.5, sizes[1]).round(decimals)
    merged = merge(x, y)
    found = sweep(merged, "ood")
    assert len(found.tp) < 25_000
    pairs = zip(found.tp, found.fp, strict=True)
    ends = np.flatnonzero(merged.cuts[::-1][1:]) + 1  # of values, from the top
    total = found.tp + found.fp
    assert np.isin(total, ends).all()
    assert (np.diff(total) > 0).all()
    single = np.diff(np.searchsorted(ends, total), prepend=-1) == 1
    assert list(pairs)[-1] == (sizes[1], sizes[0])
    for counts, n in ((found.tp, sizes[1]), (found.fp, sizes[0])):
        before = np.append(0, counts[:-1])
        step = counts - before
        # A value by itself may hold as many as it likes.
        near = np.minimum(before, n - counts)
        assert (single | (step <= 2 + module.STEP * 1.2 * (near + step))).all()


@pytest.mark.parametrize("kind", range(len(SCORES)))
def test_coarse_places_are_those_with_several_values(block, kind):
    rng = np.random.default_rng(kind)
    merged = merge(SCORES[kind](rng, 97), SCORES[kind](rng, 60) + 0.5)
    for positive, cuts in (("ood", merged.cuts[::-1]), ("id", merged.cuts)):
        found = sweep(merged, positive)
        total = np.append(0, found.tp + found.fp)
        values = [np.count_nonzero(cuts[a + 1 : b + 1]) for a, b in itertools.pairwise(total)]
        assert found.coarse.tolist() == [count > 1 for count in values]
