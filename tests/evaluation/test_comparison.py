"""Comparison of models and their ranks: exact small cases, error rates, and what is refused."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_rel

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation.comparison import compare_models
from shiftbench.evaluation.ranking import rank_models, rank_sets


def answers(rng, clusters, size, models, taste=0.7, better=0.0):
    """0/1 answers; each cluster is harder or easier, and each model likes some clusters."""
    n = clusters * size
    base = np.repeat(rng.normal(0, 1, (clusters, 1)), size, axis=0)
    base = base + taste * np.repeat(rng.normal(0, 1, (clusters, models)), size, axis=0)
    base = base + rng.normal(0, 1, (n, 1)) + rng.normal(0, 0.7, (n, models)) + better
    return (base > -0.5).astype(float), np.repeat(np.arange(clusters), size)


def test_two_models_are_mcnemars_exact_test():
    # 3 examples only the first has right, 11 only the second.
    table = np.array([[1, 1]] * 20 + [[1, 0]] * 3 + [[0, 1]] * 11 + [[0, 0]] * 6)
    for how in ("max_t", "holm", "none"):
        found = compare_models(table, multiplicity=how)
        assert found.p_value[0] == pytest.approx(binomtest(3, 14).pvalue)
        assert found.p_adjusted[0] == found.p_value[0]
        assert found.difference[0] == pytest.approx(-8 / 40)
        # Bonett and Price: (4 − 12) / 42 ± 1.96 √((16/42 − (8/42)²) / 42).
        half = 1.959964 * math.sqrt((16 / 42 - (8 / 42) ** 2) / 42)
        assert found.low[0] == pytest.approx(-8 / 42 - half)
        assert found.high[0] == pytest.approx(-8 / 42 + half)
        assert "McNemar" in found.method


@pytest.mark.parametrize("clusters", [6, 9])
def test_few_clusters_run_through_all_flips(clusters):
    table, k = answers(np.random.default_rng(0), clusters, 4, 3, better=np.array([0.0, 0.5, 1.0]))
    found = compare_models(table, clusters=k)
    sums = np.array([[table[k == c, m].sum() for m in range(3)] for c in range(clusters)])
    pairs = list(itertools.combinations(range(3), 2))
    d = np.stack([sums[:, i] - sums[:, j] for i, j in pairs], axis=1)
    scale = np.sqrt((d**2).sum(0))
    flips = np.array(list(itertools.product((1, -1), repeat=clusters)))
    z = np.abs(flips @ d) / scale
    seen = np.abs(d.sum(0)) / scale
    assert found.p_value == pytest.approx((z >= seen - 1e-9).mean(0))
    order = np.argsort(-seen, kind="stable")
    running, expected = 0.0, np.zeros(3)
    for step, at in enumerate(order):
        p = (z[:, order[step:]].max(1) >= seen[at] - 1e-9).mean()
        running = max(running, p)
        expected[at] = running
    assert found.p_adjusted == pytest.approx(expected)
    assert "all" in found.method


def test_values_that_are_not_answers_are_compared_by_their_mean():
    rng = np.random.default_rng(1)
    losses = rng.exponential(size=(200, 2))
    found = compare_models(losses, multiplicity="none")
    reference = ttest_rel(losses[:, 0], losses[:, 1])
    assert found.p_value[0] == pytest.approx(reference.pvalue)
    low, high = reference.confidence_interval(0.95)
    assert (found.low[0], found.high[0]) == pytest.approx((low, high))
    flipped = compare_models(losses)
    assert flipped.p_value[0] == pytest.approx(reference.pvalue, abs=0.03)
    assert flipped.low[0] == pytest.approx(low, abs=0.03)


def test_holm_by_hand():
    rng = np.random.default_rng(2)
    table = rng.normal(size=(60, 4)) + np.array([0, 0.1, 0.5, 0.9])
    found = compare_models(table, multiplicity="holm")
    order = np.argsort(found.p_value)
    running = 0.0
    for rank, at in enumerate(order):
        running = max(running, min(1.0, found.p_value[at] * (6 - rank)))
        assert found.p_adjusted[at] == pytest.approx(running)


def test_a_reference_means_fewer_comparisons():
    table, k = answers(np.random.default_rng(3), 30, 3, 4)
    columns = {name: table[:, i] for i, name in enumerate("abcd")}
    found = compare_models(columns, clusters=k, reference="c")
    assert [(r["model"], r["compared_to"]) for r in found.to_rows()] == [
        ("a", "c"), ("b", "c"), ("d", "c"),
    ]  # fmt: skip
    full = compare_models(columns, clusters=k)
    assert (found.high - found.low).max() <= (full.high - full.low).max()


def test_equal_models_are_not_told_apart():
    rng = np.random.default_rng(4)
    one, other = rng.random(50) < 0.8, rng.random(50) < 0.7
    found = compare_models({"a": one, "b": one, "c": other})
    assert found.p_value[0] == 1
    assert found.p_adjusted[0] == 1
    assert found.low[0] < 0 < found.high[0]
    same = compare_models({"a": one, "b": one}, clusters=np.arange(50) // 5)
    assert same.p_value[0] == 1
    assert math.isnan(same.low[0])


def test_one_cluster_tells_nothing():
    found = compare_models(np.eye(4)[:, :2], clusters=["p"] * 4)
    assert np.isnan(found.low).all()
    assert np.isnan(found.p_value).all()
    assert "cannot tell: one cluster" in found.method
    ranking = rank_models(np.eye(4)[:, :2], clusters=["p"] * 4)
    assert math.isnan(ranking.ranks[0].low)


def test_many_clusters_agree_with_the_flips(monkeypatch):
    rng = np.random.default_rng(5)
    table = rng.normal(size=(3_000, 4)) + np.array([0, 0.02, 0.05, 0.08])
    flips = compare_models(table)
    monkeypatch.setattr("shiftbench.evaluation.comparison._MANY_CLUSTERS", 1_000)
    limit = compare_models(table)
    assert "normal limit" in limit.method
    assert limit.p_adjusted == pytest.approx(flips.p_adjusted, abs=0.03)
    assert limit.low == pytest.approx(flips.low, abs=0.003)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_order_of_examples_and_models_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    table, k = answers(rng, 8, 3, 3, better=np.array([0.0, 0.3, 0.9]))
    a = compare_models(table, clusters=k, models=["a", "b", "c"])
    order = rng.permutation(len(table))
    b = compare_models(table[order][:, ::-1], clusters=k[order], models=["c", "b", "a"])
    one = {(r["model"], r["compared_to"]): r for r in a.to_rows()}
    for row in b.to_rows():
        mirror = one[row["compared_to"], row["model"]]
        assert row["value"] == pytest.approx(-mirror["value"])
        assert row["p_adjusted"] == pytest.approx(mirror["p_adjusted"])
        if math.isfinite(row["low"]):
            assert row["low"] == pytest.approx(-mirror["high"])


def errors(reps, clusters, size, models, told, how="max_t", better=0.0, seed=6):
    """Family-wise error over the true nulls, and how often all intervals hold together."""
    rng = np.random.default_rng(seed)
    wrong = held = 0
    effect = np.broadcast_to(better, (models,))
    for i in range(reps):
        table, k = answers(rng, clusters, size, models, better=better)
        found = compare_models(
            table, clusters=k if told else None, multiplicity=how, n_permutations=399, seed=i
        )
        null = effect[found.first] == effect[found.second]
        wrong += (found.p_adjusted[null] <= 0.05).any()
        held += ((found.low[null] <= 0) & (found.high[null] >= 0)).all()
    return wrong / reps, held / reps


def test_family_wise_error_short():
    wrong, held = errors(250, 30, 5, 5, told=True)
    assert wrong < 0.11
    assert held > 0.89
    ignoring, _ = errors(150, 30, 5, 5, told=False)
    assert ignoring > 0.11


@pytest.mark.slow
@pytest.mark.parametrize(
    ("clusters", "size", "models", "how", "better"),
    [
        (40, 5, 5, "max_t", 0.0),
        (40, 5, 5, "holm", 0.0),
        (12, 5, 4, "max_t", 0.0),
        (8, 5, 4, "max_t", 0.0),
        (300, 1, 5, "max_t", 0.0),
        (50, 1, 5, "max_t", 0.0),
        (40, 5, 5, "max_t", (0.0, 0.0, 0.0, 1.5, 1.5)),
    ],
)
def test_family_wise_error(clusters, size, models, how, better):
    wrong, held = errors(2_000, clusters, size, models, size > 1, how, np.array(better))
    assert wrong < 0.065
    assert held > 0.935


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"correct": [[1, 0], [math.nan, 1]]}, "1 values are NaN.*'0' at position 1"),
        ({"correct": {"a": [1, 0], "b": [1]}}, "different numbers of examples"),
        ({"correct": {"a": [1, 0]}}, "two models"),
        ({"correct": [1, 0]}, "examples, models"),
        ({"correct": [[1, 0]], "models": ["a", "a"]}, "different names"),
        ({"correct": [[1, 0]], "multiplicity": "bonferroni"}, "max_t, holm, none"),
        ({"correct": {"a": [1], "b": [0]}, "reference": "A"}, "did you mean 'a'"),
        ({"correct": [[1, 0]], "clusters": [1, 2]}, "2 examples, but there are 1"),
    ],
)
def test_bad_input_is_refused(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        compare_models(**arguments)


# Ranks


def test_ranks_by_hand():
    # 1 is surely better than 3 only; 2 cannot be told from either.
    low = np.array([[0, -0.1, 0.1], [-0.3, 0, -0.1], [-0.5, -0.3, 0]])
    high = -low.T
    assert [v.tolist() for v in rank_sets(low, high)] == [[1, 1, 2], [2, 3, 3]]
    nothing = np.full((3, 3), math.nan)
    assert [v.tolist() for v in rank_sets(nothing, nothing)] == [[1, 1, 1], [3, 3, 3]]
    with pytest.raises(ConfigurationError, match="square"):
        rank_sets([[0, 1]], [[0, 1]])


def test_ranking_of_a_loss_runs_the_other_way():
    rng = np.random.default_rng(7)
    table = rng.normal(size=(300, 3)) + np.array([0.0, 1.0, 2.0])
    up = rank_models(table, models=["a", "b", "c"])
    down = rank_models(table, models=["a", "b", "c"], higher_is_better=False)
    assert up.models == ("c", "b", "a")
    assert down.models == ("a", "b", "c")
    assert [(r.value, r.low, r.high) for r in down.ranks] == [(1, 1, 1), (2, 2, 2), (3, 3, 3)]
    json.dumps(up.to_rows())


def test_equal_means_share_the_best_place():
    found = rank_models({"a": [1, 0, 1, 0, 1, 0], "b": [0, 1, 0, 1, 0, 1], "c": [0] * 6})
    assert [(m, r.value) for m, r in zip(found.models, found.ranks, strict=True)] == [
        ("a", 1), ("b", 1), ("c", 3),
    ]  # fmt: skip


def test_rank_sets_hold_all_true_ranks():
    rng = np.random.default_rng(8)
    held = 0
    for i in range(150):
        table, k = answers(rng, 30, 4, 4, better=np.array([0.0, 0.1, 0.6, 1.2]))
        found = rank_models(table, clusters=k, models=list("0123"), n_permutations=399, seed=i)
        held += all(
            r.low <= 4 - int(m) <= r.high for m, r in zip(found.models, found.ranks, strict=True)
        )
    assert held / 150 > 0.88


def test_a_ranking_needs_multiplicity():
    with pytest.raises(ConfigurationError, match="compares all models at once"):
        rank_models([[1, 0], [0, 1]], multiplicity="none")
