from __future__ import annotations

import math

import numpy as np
import pytest

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation.detection import ood
from shiftbench.evaluation.thresholds import rates_at, rates_of_splits, threshold_at
from shiftbench.statistics import Clusters
from shiftbench.statistics.proportions import proportion


@pytest.mark.parametrize("decimals", [0, 1, 9])
@pytest.mark.parametrize("tpr", [0.05, 0.5, 0.95, 1.0])
def test_threshold_is_the_least_score_that_keeps_enough(decimals, tpr):
    scores = np.random.default_rng(0).normal(size=83).round(decimals)
    found = threshold_at(scores, tpr)
    enough = [s for s in np.unique(scores) if (scores <= s).mean() >= tpr]
    assert found.value == min(enough)
    assert found.kept == (scores <= found.value).mean()
    assert found.low < found.kept
    assert found.kept <= found.high + 1e-12


def test_rates_on_the_same_scores_are_the_reports():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=100).round(1), rng.normal(size=60).round(1) + 1
    report = ood(x, y)
    found = rates_of_splits(x, x, {"far": y})
    assert 1 - found["detected_far"].value == pytest.approx(report["fpr_at_95tpr_id"].value)
    assert found["id_test_flagged"].value <= 0.05
    flagged = int((y > threshold_at(x).value).sum())
    expected = proportion(flagged, 60)
    assert (found["detected_far"].low, found["detected_far"].high) == (expected.low, expected.high)
    assert found["detected_far"].parameters == {"threshold": threshold_at(x).value, "tpr": 0.95}
    assert found["detected_far"].positive == "ood"


def test_the_share_kept_is_covered():
    rng = np.random.default_rng(2)
    bounds = []
    for _ in range(400):
        u = rng.random(60)
        found = threshold_at(u, 0.9)
        bounds.append(found.low <= found.value <= found.high)
    assert np.mean(bounds) > 0.95 - 4 * math.sqrt(0.05 * 0.95 / 400)
    bounds = []
    for _ in range(400):
        found = threshold_at(rng.integers(1, 11, 60), 0.9)
        bounds.append(found.low <= found.value / 10 <= found.high)
    assert np.mean(bounds) > 0.95 - 4 * math.sqrt(0.05 * 0.95 / 400)


def test_clusters_widen_the_rate():
    flags = np.repeat([0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0], 10)
    names = np.repeat(list("abcdefgh"), 10)
    plain, found = rates_at(0.5, flags), rates_at(0.5, flags, names)
    assert found.n_clusters == 8
    assert found.high - found.low > plain.high - plain.low
    assert rates_at(0.5, flags, Clusters.of(names)) == found
    named = rates_of_splits([0.1, 0.5], flags, {"a": flags}, clusters={"id_test": names})
    assert named["id_test_flagged"].n_clusters == 8
    assert named["detected_a"].n_clusters is None


def test_no_examples_have_no_rate():
    found = rates_at(0.5, [])
    assert math.isnan(found.value)
    assert "no examples" in found.method


def test_infinite_scores_and_thresholds():
    assert threshold_at([1.0, math.inf], 1.0).value == math.inf
    assert rates_at(math.inf, [math.inf, 1.0]).value == 0.0
    assert rates_at(-math.inf, [-math.inf, 1.0]).value == 0.5


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: threshold_at([]), "empty"),
        (lambda: threshold_at([1.0], 95), "0.95"),
        (lambda: threshold_at([1.0, math.nan]), "1 of 2 .*position 1"),
        (lambda: threshold_at([1.0], level=1.0), "level"),
        (lambda: rates_at(0.0, [math.nan]), "1 of 1"),
        (lambda: rates_at(math.nan, [1.0]), "threshold is nan"),
        (lambda: rates_at(0.0, [1.0], ["a", "b"]), "2 names for 1"),
        (lambda: rates_of_splits([1], [1], {"a": [1]}, clusters={"b": [1]}), r"\['b'\]"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ConfigurationError, match=words):
        call()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: threshold_at([1, 2], "x"), "tpr is 'x'"),
        (lambda: threshold_at([1, 2], level="a"), "level is 'a'"),
        (lambda: rates_at("x", [1, 2]), "threshold is 'x'"),
        (lambda: rates_at(1.0, [1, 2], "ab"), "'ab' is no list of names"),
        (lambda: rates_at(1.0, [1, 2], level="a"), "level is 'a'"),
    ],
)
def test_arguments_of_another_kind_are_refused(call, words):
    with pytest.raises(ConfigurationError, match=words):
        call()
