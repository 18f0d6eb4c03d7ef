"""Made concept shifts: the label rules, their strength, their splits."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from shiftbench.builders.concept.builder import ConceptShift
from shiftbench.errors import ConfigurationError
from shiftbench.plan import Plan
from tests.builders.concept_tables import (
    Given,
    clusters,
    config_of,
    labels,
    people,
    split_of,
    values,
)

RULES: dict[str, dict[str, Any]] = {
    "flip": {},
    "flip of a class": {"noise_from": ("k0",), "noise_to": ("k1",), "disagreement": (0.1, 0.3)},
    "region": {"rule": "region", "region": ("group=in",), "disagreement": (0.05, 0.2)},
    "threshold up": {"rule": "threshold", "threshold_column": "x2"},
    "threshold down": {"rule": "threshold", "threshold_column": "x2", "direction": "down"},
    "annotators": {
        "rule": "annotators",
        "noise_from": ("k0",),
        "noise_to": ("k1",),
        "disagreement": (0.1, 0.3),
    },
}


def made(table: pa.Table, seed: int = 0, **options: Any) -> Plan:
    builder = ConceptShift(Given(table), **options)
    plan: Plan = builder.plan(builder.source.scan(), seed)
    return plan


def ood_splits(plan: Plan) -> list[str]:
    return [s.name for s in config_of(plan).splits if s.role == "ood_test"]


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("target", ["halves", "same"])
def test_the_same_examples_with_other_labels(name: str, target: str) -> None:
    plan = made(people(1500), target=target, **RULES[name])
    names = ood_splits(plan)
    rows = [split_of(plan, n).index.tolist() for n in names]
    assert all(r == rows[0] for r in rows)
    test = split_of(plan, "id_test").index.tolist()
    assert (rows[0] == test) == (target == "same")
    for split in config_of(plan).splits:
        old = np.asarray(split.rows["original_label"].to_numpy())
        flags = np.asarray(split.rows["relabelled"].to_numpy())
        assert np.array_equal(labels(split) != old, flags)
        assert flags.any() == (split.role == "ood_test")


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("per_cluster", [1, 5])
def test_no_cluster_is_in_two_of_the_splits_that_are_apart(name: str, per_cluster: int) -> None:
    plan = made(people(1500, per_cluster=per_cluster), unlabeled=0.1, **RULES[name])
    apart = ["train", "validation", "id_test", "target_unlabeled", ood_splits(plan)[0]]
    sets = [set(clusters(plan, split_of(plan, n))) for n in apart]
    assert sum(map(len, sets)) == len(set().union(*sets))
    assert sum(len(split_of(plan, n).rows) for n in apart) == 1500


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    rule=st.sampled_from(sorted(RULES)),
    levels=st.lists(st.integers(1, 20), min_size=2, max_size=4, unique=True),
    unit=st.sampled_from(["example", "cluster"]),
)
def test_relabelled_at_one_strength_is_so_at_every_greater(
    seed: int, rule: str, levels: list[int], unit: Any
) -> None:
    # In percent: of some 300 examples a threshold parts no levels that are nearer.
    options = RULES[rule] | {"disagreement": tuple(x / 100 for x in levels)}
    plan = made(people(600, seed=seed % 7, per_cluster=2), seed=seed, noise_unit=unit, **options)
    flags = [np.asarray(split_of(plan, n).rows["relabelled"].to_numpy()) for n in ood_splits(plan)]
    for less, more in pairwise(flags):
        assert not (less & ~more).any()
    new = [labels(split_of(plan, n)) for n in ood_splits(plan)]
    for a, b, at in zip(new, new[1:], flags, strict=False):
        assert np.array_equal(a[at], b[at])


@pytest.mark.parametrize("name", RULES)
def test_the_disagreement_is_that_asked_for(name: str) -> None:
    n = 40_000
    plan = made(people(n), **RULES[name])
    table = plan.tables["strengths"].to_pylist()
    assert [r["split"] for r in table] == ood_splits(plan)
    for row in table:
        flags = np.asarray(split_of(plan, row["split"]).rows["relabelled"].to_numpy())
        assert row["achieved"] == flags.mean()
        assert row["n"] == row["n_clusters"] == len(flags)
        assert row["low"] < flags.mean() < row["high"]
        # Both the knob and what it achieves are counted on samples of their own.
        low, high = binom.ppf([1e-5, 1 - 1e-5], len(flags), row["intended"]) / len(flags)
        slack = 4.3 * np.sqrt(row["intended"] / (0.5 * n))
        assert low - slack < row["achieved"] < high + slack
        assert abs(row["expected"] - row["intended"]) < 1e-3
    told = config_of(plan).notes["strengths"]
    assert {k: v["achieved"] for k, v in told.items()} == {r["split"]: r["achieved"] for r in table}


def test_the_interval_of_the_achieved_disagreement_honours_clusters() -> None:
    table = people(4000, per_cluster=20)
    one, two = (
        made(table, noise_unit=u, disagreement=(0.2,)).tables["strengths"].to_pylist()[0]
        for u in ("example", "cluster")
    )
    assert two["n_clusters"] == one["n_clusters"] == 50
    assert two["high"] - two["low"] > 2 * (one["high"] - one["low"])


def test_a_cluster_is_relabelled_as_a_whole() -> None:
    plan = made(people(2000, per_cluster=4), noise_unit="cluster", disagreement=(0.3,))
    split = split_of(plan, "ood_test_disagreement_0_3")
    flags = np.asarray(split.rows["relabelled"].to_numpy())
    of: dict[str, set[bool]] = {}
    for name, flag in zip(clusters(plan, split), flags.tolist(), strict=True):
        of.setdefault(name, set()).add(flag)
    assert {len(v) for v in of.values()} == {1}
    assert {next(iter(v)) for v in of.values()} == {True, False}


@pytest.mark.parametrize("up", [True, False])
def test_a_moved_threshold_by_its_definition(up: bool) -> None:
    direction: Any = "up" if up else "down"
    plan = made(
        people(3000),
        rule="threshold",
        threshold_column="x2",
        threshold_feature=True,
        threshold_quantile=0.6,
        direction=direction,
        disagreement=(0.0, 0.1, 0.3),
    )
    x = np.concatenate(
        [values(plan, split_of(plan, n), "x2")[:, 0] for n in ("train", "validation", "id_test")]
    )
    y = np.concatenate([labels(split_of(plan, n)) for n in ("train", "validation", "id_test")])
    assert x[y == 0].max() < x[y == 1].min()
    assert (y == 0).mean() == pytest.approx(0.6, abs=0.03)
    settings_ = {r["split"]: r["setting"] for r in plan.tables["strengths"].to_pylist()}
    for name, threshold in settings_.items():
        split = split_of(plan, name)
        own = values(plan, split, "x2")[:, 0]
        assert np.array_equal(labels(split), (own > threshold).astype(int))
    moved = list(settings_.values())
    assert moved == sorted(moved, reverse=not up)
    assert len(set(moved)) == 3


def test_the_column_of_the_threshold_leaves_with_the_label() -> None:
    hidden = made(people(), rule="threshold", threshold_column="x2")
    assert "x2" not in hidden.metadata.examples.column_names
    assert hidden.metadata.columns == ("x1",)
    shown = made(people(), rule="threshold", threshold_column="x2", threshold_feature=True)
    assert shown.metadata.columns == ("x1", "x2")


def test_a_region_is_where_labels_change() -> None:
    plan = made(
        people(3000, classes=4), rule="region", region=("group=in", "x1>0"), disagreement=(0.1,)
    )
    split = split_of(plan, "ood_test_disagreement_0_1")
    taken = plan.metadata.examples.take(split.rows["example"])
    inside = (np.asarray(taken["group"].to_pylist()) == "in") & (taken["x1"].to_numpy() > 0)
    flags = np.asarray(split.rows["relabelled"].to_numpy())
    assert not (flags & ~inside).any()
    old = np.asarray(split.rows["original_label"].to_numpy())
    assert np.array_equal(labels(split)[flags], (old[flags] + 1) % 4)


def test_classes_change_as_they_are_paired() -> None:
    plan = made(
        people(3000, classes=4),
        noise_from=("k0", "k1"),
        noise_to=("k1", "k3"),
        disagreement=(0.1,),
    )
    split = split_of(plan, "ood_test_disagreement_0_1")
    old = np.asarray(split.rows["original_label"].to_numpy())
    changed = {(a, b) for a, b in zip(old.tolist(), labels(split).tolist(), strict=True) if a != b}
    assert changed == {(0, 1), (1, 3)}


def test_noise_goes_to_every_other_class_alike() -> None:
    plan = made(people(20_000, classes=4), disagreement=(1.0,))
    split = split_of(plan, "ood_test_disagreement_1")
    old = np.asarray(split.rows["original_label"].to_numpy())
    for k in range(4):
        counts = np.bincount(labels(split)[old == k], minlength=4)
        others = np.delete(counts, k)
        assert counts[k] == 0
        assert (np.abs(others - others.mean()) < 5 * np.sqrt(others.mean())).all()


def test_annotators_change_their_convention_as_a_whole() -> None:
    table = people(6000)
    who = pa.array([f"a{i % 30}" for i in range(len(table))])
    plan = made(
        table.append_column("who", who),
        rule="annotators",
        annotator="who",
        noise_from=("k0",),
        noise_to=("k1",),
        disagreement=(0.1, 0.25),
    )
    seen: list[set[str]] = []
    for name in ood_splits(plan):
        split = split_of(plan, name)
        old = np.asarray(split.rows["original_label"].to_numpy())
        flags = np.asarray(split.rows["relabelled"].to_numpy())
        by = np.asarray(plan.metadata.examples.take(split.rows["example"])["who"].to_pylist())
        assert not (set(by[flags]) & set(by[~flags & (old == 0)]))
        seen.append(set(by[flags].tolist()))
    assert seen[0] < seen[1]


def test_another_strength_leaves_the_others_alone() -> None:
    table = people(800)
    one = made(table, disagreement=(0.1,))
    more = made(table, disagreement=(0.0, 0.1, 0.4))
    for split in config_of(one).splits:
        assert split.rows.equals(split_of(more, split.name).rows)


def test_the_order_of_the_rows_does_not_matter() -> None:
    table = people(500, per_cluster=2)
    turned = table.take(pa.array(np.random.default_rng(0).permutation(len(table))))
    for options in RULES.values():
        assert made(table, **options).hash == made(turned, **options).hash


def test_seeds_give_other_splits_and_other_noise() -> None:
    table = people(500)
    assert made(table, seed=0).hash == made(table, seed=0).hash
    assert made(table, seed=0).hash != made(table, seed=1).hash


def test_examples_without_usable_content_are_in_no_split() -> None:
    builder = ConceptShift(Given(people(300)))
    gone = frozenset({"e000003", "e000100"})
    plan = builder.plan(builder.source.scan(), 0, gone)
    assert not gone & set(plan.metadata.examples["example_id"].to_pylist())


def test_the_control_is_what_strengths_are_compared_with() -> None:
    plan = made(people(500), disagreement=(0.0, 0.2))
    steps = config_of(plan).notes["steps"]
    assert steps["ood_test_disagreement_0_2"]["unchanged"] == "ood_test_disagreement_0"
    assert steps["ood_test_disagreement_0"]["unchanged"] == "id_test"
    control = split_of(plan, "ood_test_disagreement_0")
    assert control.shift == "none"
    assert not np.asarray(control.rows["relabelled"].to_numpy()).any()
    without = config_of(made(people(500), disagreement=(0.2,))).notes["steps"]
    assert without["ood_test_disagreement_0_2"]["unchanged"] == "id_test"


def test_unlabelled_target_examples_tell_no_label() -> None:
    split = split_of(made(people(500), unlabeled=0.2), "target_unlabeled")
    assert len(split.rows) == 100
    for name in ("label", "original_label", "relabelled"):
        assert split.rows[name].null_count == 100


def test_what_cannot_be_reached_is_refused_with_what_can() -> None:
    table = people(1000)
    share = (np.asarray(table["group"].to_pylist()) == "in").mean()
    with pytest.raises(ConfigurationError, match=r"0\.9 cannot be reached.*at most 0\.\d+") as told:
        made(table, rule="region", region=("group=in",), disagreement=(0.9,))
    most = float(str(told.value).split("at most ")[1].split()[0])
    assert most == pytest.approx(share, abs=0.05)
    made(table, rule="region", region=("group=in",), disagreement=(most,))  # that one is reached


def test_a_column_of_few_values_reaches_few_disagreements() -> None:
    table = people(1000)
    years = np.random.default_rng(0).integers(0, 4, len(table))
    table = table.append_column("years", pa.array(years))
    options: dict[str, Any] = {"rule": "threshold", "threshold_column": "years", "threshold": 1}
    with pytest.raises(ConfigurationError, match=r"0\.02 cannot be reached.*few values.*0\.2"):
        made(table, disagreement=(0.02,), **options)
    with pytest.raises(ConfigurationError, match="come to the same"):
        made(table, disagreement=(0.24, 0.26), **options)
    row = made(table, disagreement=(0.25,), **options).tables["strengths"].to_pylist()[0]
    assert row["setting"] == 2.5
    assert row["expected"] == pytest.approx(0.25, abs=0.05)


def test_a_disagreement_that_is_far_from_the_one_asked_for_is_told() -> None:
    table = people(1000)
    years = np.random.default_rng(0).integers(0, 4, len(table))
    table = table.append_column("years", pa.array(years))
    options: dict[str, Any] = {"rule": "threshold", "threshold_column": "years", "threshold": 1}
    told = config_of(made(table, disagreement=(0.35,), **options)).notes["warnings"]
    assert len(told) == 1
    assert "0.35 was asked for" in told[0]
    assert config_of(made(table, disagreement=(0.5,), **options)).notes["warnings"] == []


BAD = [
    ({"disagreement": (1.5,)}, "shares from 0 to 1"),
    ({"disagreement": ()}, "shares from 0 to 1"),
    ({"rule": "regio"}, "allowed: flip, region"),
    ({"rule": "region"}, "needs the option region"),
    ({"region": ("x1>0",)}, "only rule 'region' reads"),
    ({"rule": "region", "region": "x1>0"}, "list of texts"),
    ({"rule": "region", "region": ("x1",)}, "no condition"),
    ({"rule": "region", "region": ("x9>0",)}, "'x9', which the source does not have"),
    ({"rule": "region", "region": ("group=inn",)}, "did you mean 'in'"),
    ({"rule": "region", "region": ("x1>99",)}, "has no example"),
    ({"rule": "region", "region": ("x1<99",)}, "has every example"),
    ({"rule": "region", "region": ("group>1",)}, "numbers are needed"),
    ({"rule": "region", "region": ("x1>a",)}, "a number is needed"),
    ({"rule": "threshold"}, "needs the option threshold_column"),
    ({"rule": "threshold", "threshold_column": "group"}, "numbers are needed"),
    ({"rule": "threshold", "threshold_column": "x3"}, "does not have"),
    ({"rule": "threshold", "threshold_column": "same"}, "1 different values"),
    ({"rule": "threshold", "threshold_column": "x1", "threshold": 99.0}, "on both sides"),
    ({"rule": "threshold", "threshold_column": "x1", "label": "label"}, "leave out label"),
    ({"rule": "threshold", "threshold_column": "x1", "threshold_quantile": 1.0}, "between 0 and 1"),
    ({"rule": "annotators"}, "needs noise_from and noise_to"),
    ({"noise_from": ("k7",)}, "which no example has"),
    ({"noise_to": ("k1",)}, "without noise_from"),
    ({"noise_from": ("k0",), "noise_to": ("k0",)}, "into itself"),
    ({"noise_from": ("k0", "k1"), "noise_to": ("k0", "k1", "k0")}, "2 classes and noise_to 3"),
    ({"annotator": "group"}, "only rule 'annotators'"),
    ({"label": "same"}, "'same', in which every example has the value"),
    ({"label": "nothing"}, "no value|does not have"),
    ({"label": "x1"}, "real numbers"),
    ({"test": 0.5}, "leave nothing to train on"),
    ({"test": 0.0}, "above 0"),
    ({"noise_unit": "patient"}, "allowed: example, cluster"),
]


@pytest.mark.parametrize(("options", "told"), BAD, ids=[str(o) for o, _ in BAD])
def test_bad_input_is_refused(options: dict[str, Any], told: str) -> None:
    table = people(200).append_column("same", pa.array(["a"] * 200))
    if options.get("threshold_column") == "same":
        table = table.set_column(6, "same", pa.array([1.0] * 200))
    with pytest.raises(ConfigurationError, match=told):
        made(table, **options)


def test_too_few_independent_units_are_told() -> None:
    with pytest.raises(ConfigurationError, match="independent units"):
        made(people(60, per_cluster=20))


def test_a_recipe_says_it_all() -> None:
    builder = ConceptShift(Given(people(200)), disagreement=(0.3, 0.1, 0.1))
    assert builder.disagreement == (0.1, 0.3)
    assert replace(builder, **builder.recipe()) == builder
