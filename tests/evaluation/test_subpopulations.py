"""Accuracy by group: golden cases, properties, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, norm

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation.classification import classification_metrics
from shiftbench.evaluation.groups import Groups
from shiftbench.evaluation.subpopulations import group_accuracy, subpopulation
from shiftbench.statistics import Clusters, stream
from shiftbench.statistics.proportions import proportion


def graded(right, groups, **options):
    right = np.asarray(right).astype(int)
    return subpopulation(np.ones(len(right), dtype=int), right, groups, **options)


def bounds(e):
    return [e.value, e.low, e.high]


# water: 3 of 4, land: 1 of 2, sky: 1 of 1
RIGHT = [1, 1, 1, 0, 1, 0, 1]
PLACE = ["water"] * 4 + ["land"] * 2 + ["sky"]


def test_golden() -> None:
    found = graded(RIGHT, PLACE, weights={"water": 80, "land": 20}, minimum_n=3)
    assert {name: m["accuracy"].value for name, m in found.groups.items()} == {
        "land": 0.5,
        "sky": 1.0,
        "water": 0.75,
    }
    assert (found.worst.value, found.worst.n, found.worst.parameters["group"]) == (0.5, 2, "land")
    assert found.worst_above_minimum_n.parameters["group"] == "water"
    assert found.group_mean.value == pytest.approx(0.75)
    assert found.train_weighted.value == pytest.approx(0.8 * 0.75 + 0.2 * 0.5)
    assert found.train_weighted.parameters["groups_without_weight"] == 1
    assert found.percentile.value == pytest.approx(np.percentile([0.5, 0.75, 1], 10))
    assert found.overall["accuracy"].value == pytest.approx(5 / 7)
    assert repr(found.groups["water"]["accuracy"]) == repr(proportion(3, 4))
    assert set(found.summary()) == {
        "accuracy_worst_group",
        "accuracy_worst_group_above_minimum_n",
        "accuracy_group_mean",
        "accuracy_train_weighted",
        "accuracy_percentile_10",
    }


def test_worst_interval_is_between_a_group_s_own_and_the_strict_one() -> None:
    found = graded(RIGHT, PLACE)
    lows, highs = zip(*found.simultaneous.values(), strict=True)
    assert min(lows) <= found.worst.low <= found.worst.value <= found.worst.high
    assert found.worst.high == pytest.approx(min(highs), abs=1e-3)


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), min_size=1, max_size=30),
    st.randoms(),
)
def test_names_and_order_do_not_matter(pairs, random) -> None:
    base = graded([r for r, _ in pairs], [g for _, g in pairs])
    random.shuffle(pairs)
    names = {"a": "z", "b": "", "c": "0"}
    other = graded([r for r, _ in pairs], [names[g] for _, g in pairs])
    for name, found in base.groups.items():
        assert repr(other.groups[names[name]]) == repr(found)
    for one, two in zip(base.summary().values(), other.summary().values(), strict=True):
        assert bounds(one) == pytest.approx(bounds(two), nan_ok=True)


def test_unknown_labels_and_empty_groups_are_absent() -> None:
    found = subpopulation([1, None, 0], [1, 1, 1], ["a", "b", "c"])
    assert list(found.groups) == ["a", "c"]
    assert found.overall["accuracy"].parameters == {"unknown": 1}
    assert found.group_mean.parameters["groups"] == 2


def test_no_examples_at_all() -> None:
    found = subpopulation([None], [1], ["a"], minimum_n=5, weights={"a": 1})
    assert found.groups == {}
    assert all(np.isnan(e.value) for e in found.summary().values())
    assert all(e.method.startswith("cannot tell") for e in found.summary().values())
    none_large = graded([1, 0], ["a", "b"], minimum_n=5).worst_above_minimum_n
    assert np.isnan(none_large.value)


def test_a_single_member_is_a_group() -> None:
    found = graded([1], ["a"])
    assert (found.worst.value, found.worst.n) == (1.0, 1)
    assert repr(found.groups["a"]["accuracy"]) == repr(proportion(1, 1))


def test_overlapping_groups_count_an_example_in_each() -> None:
    found = graded([1, 0, 1], [["a", "b"], ["b"], []])
    assert found.groups["a"]["accuracy"].value == 1
    assert found.groups["b"]["accuracy"].value == 0.5
    assert found.overall["accuracy"].n == 3
    assert found.percentile.method == "cannot tell: groups share examples or clusters"
    assert found.worst.parameters["correction"] == "Bonferroni"
    assert graded([1, 0], ["a", "b"]).worst.parameters["correction"] == "Šidák"


def test_a_group_twice_makes_the_mean_no_surer() -> None:
    right = stream(0, "test").random(200) < 0.8
    one = graded(right, Groups.of_matrix(np.ones((200, 1), dtype=bool), ["a"]))
    two = graded(right, Groups.of_matrix(np.ones((200, 2), dtype=bool), ["a", "b"]))
    assert bounds(two.group_mean) == pytest.approx(bounds(one.group_mean), rel=1e-6)


def test_clusters_across_groups_are_not_independent() -> None:
    right, groups = np.tile([1, 1, 0, 1], 20), np.tile(["a", "b"], 40)
    within = graded(right, groups, clusters=[f"{g}{i // 4}" for i, g in enumerate(groups)])
    across = graded(right, groups, clusters=np.arange(80) // 4)
    assert within.worst.parameters["correction"] == "Šidák"
    assert across.worst.parameters["correction"] == "Bonferroni"
    assert "clustered" in across.worst.method
    assert across.worst.n_clusters == 20


def test_worst_chosen_on_validation() -> None:
    validation = graded([1, 0, 1, 1], ["a", "a", "b", "b"])
    test = ([1, 1, 0, 1, 0, 0], ["a"] * 3 + ["b"] * 3)
    found = graded(*test, validation=validation).worst_chosen_on_validation
    assert found.parameters["group"] == "a"
    assert bounds(found) == pytest.approx(bounds(proportion(2, 3)))
    by_hand = graded(*test, validation={"a": 0.5, "b": 0.9}).worst_chosen_on_validation
    assert repr(by_hand) == repr(found)
    gone = graded(*test, validation={"c": 0.1}).worst_chosen_on_validation
    assert np.isnan(gone.value)
    assert "'c'" in gone.method


def test_more_metrics_by_group() -> None:
    rng = stream(0, "test")
    p = rng.dirichlet([1, 1, 1], 90)
    y, g = rng.integers(0, 3, 90), np.repeat(["a", "b", "c"], 30)
    clusters = np.arange(90) // 3
    found = subpopulation(y, None, g, probabilities=p, clusters=clusters, metrics=None)
    alone = classification_metrics(
        y[g == "b"], probabilities=p[g == "b"], clusters=clusters[g == "b"]
    )
    assert set(found.groups["b"]) == set(alone) == set(found.overall)
    for name, e in alone.items():
        assert bounds(found.groups["b"][name]) == pytest.approx(bounds(e), nan_ok=True)
    few = subpopulation(y, None, g, probabilities=p, metrics=["macro_f1"])
    assert list(few.groups["a"]) == ["accuracy", "macro_f1"]


def test_several_findings_by_group() -> None:
    truth = np.array([[1, 0], [1, 1], [0, np.nan]])
    said = np.array([[1, 0], [0, 1], [0, 1]])
    found = subpopulation(
        truth, said, ["a", "a", "b"], classes=["e", "m"], metrics=("accuracy[e]", "f1_macro")
    )
    assert found.groups["a"]["accuracy"].value == 0.5
    assert found.groups["b"]["accuracy"].value == 1.0
    assert found.groups["a"]["accuracy[e]"].value == 0.5
    lists = subpopulation([["e"], []], [["e"], ["e"]], ["a", "b"], classes=["e"])
    assert lists.groups["b"]["accuracy"].value == 0.0


def test_group_accuracy_is_the_same_numbers() -> None:
    rng = stream(0, "test")
    right, matrix = rng.random(60) < 0.6, rng.random((60, 4)) < 0.4
    groups = Groups.of_matrix(matrix, list("abcd"))
    clusters = Clusters.of(np.arange(60) // 2)
    found = group_accuracy(right, groups, clusters)
    whole = graded(right, groups, clusters=clusters)
    for i, name in enumerate(found.names):
        e = whole.groups[name]["accuracy"]
        assert bounds(e) == pytest.approx([found.accuracy[i], found.low[i], found.high[i]])


def test_percentile_of_many_groups() -> None:
    rng = stream(0, "test")
    groups = np.repeat(np.arange(200), 10)
    found = graded(rng.random(2000) < 0.8, groups, percentile=10).percentile
    assert found.low <= found.value <= found.high
    assert found.method == "order statistics of the groups"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"groups": None}, "no groups"),
        ({"groups": ["a"]}, "groups for 1 examples, but 2"),
        ({"metrics": ("macro_f2",)}, "did you mean 'macro_f1'"),
        ({"weights": {"x": 1}}, "none of the groups"),
        ({"weights": {"a": -1}}, "weight of 'a'"),
        ({"validation": {}}, "no group with an accuracy"),
        ({"percentile": 101}, "between 0 and 100"),
        ({"level": 95}, "between 0 and 1"),
    ],
)
def test_bad_options_are_refused(options, words) -> None:
    with pytest.raises(ConfigurationError, match=words):
        subpopulation([1, 0], [1, 1], **{"groups": ["a", "b"], **options})
    with pytest.raises(ConfigurationError, match="shape"):
        group_accuracy([0.5, 1.0], ["a", "b"])


def test_columns_of_a_table_are_groups() -> None:
    table = pa.table({"place": ["w", "l"], "bird": ["wb", "lb"]})
    assert list(graded([1, 0], table).groups) == ["l & lb", "w & wb"]


# Coverage ----------------------------------------------------------------------------------------

N, TRUE = 400, 0.85
MEMBERS = stream(0, "overlapping groups").random((N, 6)) < 0.35
WEIGHTS = dict(zip("abcdef", [50, 20, 10, 5, 5, 1], strict=True))


def covered(size, correlation, runs):
    """Hits of the five kinds of interval; every group's true accuracy is the same."""
    rng = stream(0, "coverage of subpopulations", f"{size} {correlation}")
    groups = Groups.of_matrix(MEMBERS, list("abcdef"))
    clusters = Clusters.of(np.arange(N) // size) if size > 1 else None
    hits = dict.fromkeys(["worst", "mean", "weighted", "overall", "group"], 0)
    for _ in range(runs):
        shared = np.repeat(rng.normal(size=N // size), size)
        z = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * rng.normal(size=N)
        found = graded(z < norm.ppf(TRUE), groups, clusters=clusters, weights=WEIGHTS)
        for name, e in (
            ("worst", found.worst),
            ("mean", found.group_mean),
            ("weighted", found.train_weighted),
            ("overall", found.overall["accuracy"]),
            ("group", found.groups["a"]["accuracy"]),
        ):
            hits[name] += e.low <= TRUE <= e.high
    return hits


def check(size, correlation, runs):
    hits = covered(size, correlation, runs)
    assert hits.pop("worst") >= binom.ppf(0.0001, runs, 0.95)
    assert min(hits.values()) >= binom.ppf(0.0001, runs, 0.93)


@pytest.mark.parametrize(("size", "correlation"), [(1, 0), (4, 0.3)])
def test_overlapping_groups_are_covered(size, correlation) -> None:
    check(size, correlation, 250)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "correlation"), [(1, 0), (4, 0.3), (10, 0.3)])
def test_overlapping_groups_are_covered_fully(size, correlation) -> None:
    check(size, correlation, 5000)
