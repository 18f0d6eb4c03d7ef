"""Detectors compared pairwise on the same examples."""

from __future__ import annotations

import numpy as np
import pytest

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation import compare_detectors, ood, ood_difference, ranking_of


def _scores(seed: int, n: int = 60, strengths=(1.0, 0.8, 0.5)):
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=n), rng.normal(size=n - 9)
    return {
        name: (one + rng.normal(size=n), other + strength + rng.normal(size=n - 9))
        for name, strength in zip("abc", strengths, strict=True)
    }


@pytest.mark.parametrize("clustered", [False, True])
def test_a_pair_is_the_paired_difference(clustered):
    scores = _scores(0)
    clusters = (np.arange(60) // 3, 100 + np.arange(51) // 3) if clustered else None
    pair = {name: scores[name] for name in "ab"}
    row = compare_detectors(pair, clusters).to_rows()[0]
    expected = ood_difference(*scores["a"], *scores["b"], clusters=clusters)["auroc"]
    assert row["value"] == pytest.approx(expected.value, abs=1e-12)
    assert row["low"] == pytest.approx(expected.low, abs=1e-9)
    assert row["high"] == pytest.approx(expected.high, abs=1e-9)
    assert row["p_value"] == pytest.approx(expected.p_value, abs=1e-9)
    assert row["n_clusters"] == expected.n_clusters


def test_intervals_of_several_pairs_are_wider_and_p_values_larger():
    scores = _scores(1)
    every = {(r["model"], r["compared_to"]): r for r in compare_detectors(scores).to_rows()}
    assert len(every) == 3
    alone = compare_detectors({n: scores[n] for n in "ab"}).to_rows()[0]
    together = every["a", "b"]
    assert together["value"] == alone["value"]
    assert together["high"] - together["low"] > alone["high"] - alone["low"]
    assert together["p_adjusted"] >= together["p_value"] == alone["p_value"]
    assert len(compare_detectors(scores, reference="b").to_rows()) == 2


def test_ties_and_infinities_count_half_and_rank_at_the_ends():
    scores = {
        "a": ([0.0, 1.0, -np.inf, 1.0], [1.0, np.inf, 2.0]),
        "b": ([0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 0.0]),
    }
    found = compare_detectors(scores)
    for value, (one, other) in zip(found.values, scores.values(), strict=True):
        assert value == pytest.approx(ood(one, other)["auroc"].value)


def test_ranks_follow_from_the_differences():
    ranks = ranking_of(compare_detectors(_scores(2, n=4000, strengths=(2.0, 1.0, 1.0))))
    assert ranks.models[0] == "a"
    assert (ranks.ranks[0].low, ranks.ranks[0].high) == (1, 1)
    assert {(r.low, r.high) for r in ranks.ranks[1:]} == {(2, 3)}


def test_bad_input_is_named():
    with pytest.raises(ConfigurationError, match="takes two detectors"):
        compare_detectors({"a": ([0.0], [1.0])})
    with pytest.raises(ConfigurationError, match="'b' has 3 ID and 2 OOD"):
        compare_detectors({"a": ([0, 1], [1, 2]), "b": ([0, 1, 2], [1, 2])})
    with pytest.raises(ConfigurationError, match="NaN"):
        compare_detectors({"a": ([0, 1], [1, 2]), "b": ([0, np.nan], [1, 2])})


def test_under_the_null_few_pairs_of_many_are_called_different():
    false = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        one, other = rng.normal(size=50), rng.normal(size=50) + 1
        scores = {name: (one + rng.normal(size=50), other + rng.normal(size=50)) for name in "abcd"}
        found = compare_detectors(scores)
        false += bool((found.p_adjusted < 0.05).any() or ((found.low > 0) | (found.high < 0)).any())
    # Binomial(150, 0.05): 20 or more has a chance of 0.0003.
    assert false < 20
