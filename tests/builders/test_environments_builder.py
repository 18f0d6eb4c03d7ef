"""Environments: which cluster goes where, OOD sets by meaning, and what is refused."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shiftbench as sb
from shiftbench.builders.environments.builder import Environments
from shiftbench.errors import ConfigurationError
from shiftbench.plan import ConfigPlan, Plan
from tests.builders.sites import CLASSES, Sites


def planned(source: Sites, seed: int = 0, **options: Any) -> Plan:
    builder = Environments(source, environment="site", **options)
    return builder.plan(source.scan(), seed, frozenset())


def column(plan: Plan, rows: np.ndarray, name: str) -> list[Any]:
    return plan.metadata.examples[name].take(pa.array(rows)).to_pylist()


def splits(config: ConfigPlan) -> dict[str, Any]:
    return {s.name: s for s in config.splits}


def own(config: ConfigPlan, split: str, name: str) -> list[Any]:
    return splits(config)[split].rows[name].to_pylist()


def labels(config: ConfigPlan, split: str) -> list[str | None]:
    names = config.features["label"].names  # type: ignore[union-attr]
    return [None if v is None else names[v] for v in own(config, split, "label")]


def test_each_environment_is_held_out_once_and_trained_on_elsewhere() -> None:
    plan = planned(Sites())
    assert [c.name for c in plan.configs] == [f"held_out_{s}" for s in "abcd"]
    for config, site in zip(plan.configs, "abcd", strict=True):
        found = splits(config)
        assert set(found) == {"train", "validation", "id_test", "ood_validation", "ood_test"}
        assert set(own(config, "ood_test", "environment")) == {site}
        assert len(found["ood_test"].rows) == 60
        validated = set(own(config, "ood_validation", "environment"))
        assert len(validated) == 1
        trained = set("abcd") - {site} - validated
        for name in ("train", "validation", "id_test"):
            assert set(own(config, name, "environment")) == trained
        assert [found[n].shift for n in found] == ["none"] * 3 + ["covariate"] * 2
        assert {s.flag for s in config.splits} == {"accept"}


@settings(max_examples=25)
@given(
    st.integers(1, 4),
    st.sampled_from((0.0, 0.2, 0.4)),
    st.integers(0, 99),
    st.sampled_from((0.0, 0.2, 0.4)),
)
def test_no_cluster_is_in_two_splits(
    per_cluster: int, wandering: float, seed: int, unlabelled: float
) -> None:
    source = Sites(160, per_cluster=per_cluster, wandering=wandering, seed=seed)
    plan = planned(
        source,
        seed,
        min_clusters=2,
        train_unlabeled=unlabelled,
        target_unlabeled=unlabelled,
        held_out_classes=("elk",),
        validation=0.1,
        test=0.25,
    )
    for config in plan.configs:
        seen: Counter[str] = Counter()
        for split in config.splits:
            seen.update(set(column(plan, split.index, "cluster_id")))
        assert max(seen.values()) == 1


def test_clusters_in_several_environments_are_left_out_and_counted() -> None:
    source = Sites(80, per_cluster=4, wandering=0.5)
    found = source.table()
    at: dict[str, set[str]] = {}
    for unit, site in zip(found["unit"], found["site"], strict=True):
        at.setdefault(unit, set()).add(site)
    wanderers = sum(len(at[u]) > 1 for u in found["unit"])
    assert wanderers
    plan = planned(source, min_clusters=1, validation=0.0, test=0.5)
    assert plan.counts["examples_of_clusters_in_several_environments"] == wanderers
    assert len(plan.metadata.examples) == len(found["id"]) - wanderers


def test_all_clusters_everywhere_is_refused() -> None:
    table = Sites(20).scan()
    units = pa.array([e[1:] for e in table.examples["example_id"].to_pylist()])
    examples = table.examples.set_column(1, "cluster_id", units)
    everywhere = sb.schema.Metadata(
        examples, table.contexts, table.rejected, table.content, "x", columns=("x",)
    )
    with pytest.raises(ConfigurationError, match="every cluster is in several environments"):
        Environments(Sites(), environment="site").plan(everywhere, 0)


def test_parts_of_an_environment_are_the_same_in_every_config() -> None:
    plan = planned(Sites(), ood_validation="none")
    where: dict[str, set[str]] = {}
    for config in plan.configs:
        for split in config.splits:
            if split.name != "ood_test":
                for example in column(plan, split.index, "example_id"):
                    where.setdefault(example, set()).add(split.name)
    assert all(len(found) == 1 for found in where.values())


def test_another_ood_set_leaves_the_splits_alone() -> None:
    source = Sites(sites=("a", "b", "c", "d", "z"), absent=())
    few = planned(
        source, environments=("a", "b", "c", "d"), held_out=("a",), design="given",
        train_environments=("b", "c"),
    )  # fmt: skip
    more = planned(
        source, environments=("a", "b", "c", "d"), held_out=("a",), design="given",
        train_environments=("b", "c"), far=("z",), local_labels=True,
    )  # fmt: skip
    before, after = splits(few.configs[0]), splits(more.configs[0])
    for name in ("train", "validation", "id_test"):
        same = [column(p, s[name].index, "example_id") for p, s in ((few, before), (more, after))]
        assert same[0] == same[1]
    assert set(after) - set(before) == {"ood_test_a", "ood_test_z"}


def test_an_environment_that_is_not_used_does_not_matter() -> None:
    a = planned(Sites(), environments=("a", "b", "c"))
    b = planned(Sites(sites=("a", "b", "c", "d", "e")), environments=("a", "b", "c"))
    for first, second in zip(a.configs, b.configs, strict=True):
        assert first.name == second.name
        for name, split in splits(first).items():
            ids = column(a, split.index, "example_id")
            assert ids == column(b, splits(second)[name].index, "example_id")


def test_near_and_far_have_no_labels_and_need_none() -> None:
    source = Sites(unlabelled=("c", "d"))
    plan = planned(source, design="given", train_environments=("a", "b"), near=("c",), far=("d",))
    (config,) = plan.configs
    found = splits(config)
    assert {n: (s.shift, s.flag) for n, s in found.items() if s.role == "ood_test"} == {
        "ood_test_c": ("near", "reject"),
        "ood_test_d": ("far", "reject"),
    }
    for name, split in found.items():
        ood = split.role == "ood_test"
        assert set(own(config, name, "is_ood")) == {ood}
        assert (set(labels(config, name)) == {None}) == ood
    assert len(found["ood_test_c"].rows) == 60


def test_far_environments_that_share_classes_are_refused_unless_labels_are_local() -> None:
    with pytest.raises(ConfigurationError, match=r"'d' shares the classes 'cat', 'dog', 'elk'"):
        planned(Sites(), far=("d",))
    plan = planned(Sites(), far=("d",), local_labels=True)
    assert [c.name for c in plan.configs] == ["held_out_a", "held_out_b", "held_out_c"]
    assert "3 class names of d" in plan.configs[0].notes["remarks"][0]
    assert set(labels(plan.configs[0], "ood_test_d")) == {None}
    assert {s.name for s in plan.configs[0].splits} >= {"ood_test_a", "ood_test_d"}


def test_numbers_stay_in_order_of_size() -> None:
    table = Sites().scan()
    numbers = [{"cat": 2, "dog": 10, "elk": 1}[v] for v in table.examples["label"].to_pylist()]
    at = table.examples.column_names.index("label")
    examples = table.examples.set_column(at, "label", pa.array(numbers, pa.int32()))
    changed = sb.schema.Metadata(
        examples, table.contexts, table.rejected, table.content, "x", columns=("x",)
    )
    builder = Environments(Sites(), environment="site", far=("d",), local_labels=True)
    config = builder.plan(changed, 0).configs[0]
    assert config.features["label"].names == ("1", "2", "10")  # type: ignore[union-attr]


@pytest.mark.parametrize("per_cluster", [1, 3])
def test_held_out_classes_are_in_no_split_but_their_own(per_cluster: int) -> None:
    source = Sites(90, per_cluster=per_cluster)
    plan = planned(source, held_out_classes=("elk",), min_clusters=5)
    truth = dict(zip(source.table()["id"], source.table()["label"], strict=True))
    for config in plan.configs:
        assert config.features["label"].names == ("cat", "dog")  # type: ignore[union-attr]
        for split in config.splits:
            real = {truth[e] for e in column(plan, split.index, "example_id")}
            if split.name == "ood_test_held_out_classes":
                assert real == {"elk"}
                assert set(split.rows["label"].to_pylist()) == {None}
                trained = set(own(config, "train", "environment"))
                assert set(split.rows["environment"].to_pylist()) <= trained
            else:
                assert real == {"cat", "dog"}
    if per_cluster > 1:
        assert any("held-out classes of clusters" in k for k in plan.configs[0].notes["left_out"])


def test_held_out_classes_without_environments() -> None:
    plan = Environments(Sites(), environment="", held_out_classes=("elk",)).plan(Sites().scan(), 0)
    (config,) = plan.configs
    assert [(s.name, s.shift) for s in config.splits] == [
        ("train", "none"), ("validation", "none"), ("id_test", "none"), ("ood_test", "near"),
    ]  # fmt: skip
    assert "environment" not in config.features


def test_unlabelled_splits_have_no_label_and_share_nothing() -> None:
    plan = planned(Sites(200), train_unlabeled=0.3, target_unlabeled=0.4)
    config = plan.configs[0]
    found = splits(config)
    assert (
        set(labels(config, "train_unlabeled")) == {None} == set(labels(config, "target_unlabeled"))
    )
    assert len(found["target_unlabeled"].rows) == 80
    assert len(found["ood_test"].rows) == 120
    assert set(own(config, "target_unlabeled", "environment")) == {"a"}
    assert len(found["train_unlabeled"].rows) == 120  # of two environments
    assert len(found["train"].rows) == 2 * 200 * 0.4


def test_balanced_labels_are_equal_in_every_environment_and_split() -> None:
    plan = planned(Sites(300, prior_shift=2.0), balance_labels=True)
    for config in plan.configs:
        for split in config.splits:
            pairs = zip(split.rows["environment"].to_pylist(), split.rows["label"].to_pylist(),
                        strict=True)  # fmt: skip
            counts = Counter(pairs)
            for site in {e for e, _ in counts}:
                assert len({counts[site, c] for c in range(3)}) == 1
        assert config.notes["held"]["fixed"] == "P(y | e)"


def test_missing_classes_are_told_and_common_ones_can_be_kept() -> None:
    source = Sites(absent=("b:elk", "c:cat", "c:dog"))
    plan = planned(source, ood_validation="none")
    config = plan.configs[0]
    assert config.notes["classes_missing"] == {"b": ["elk"], "c": ["cat", "dog"]}
    assert any("'c' has 'elk' only" in w for w in config.notes["warnings"])
    with pytest.raises(ConfigurationError, match="at least two are needed"):
        planned(source, common_classes=True)
    common = planned(Sites(absent=("b:elk",)), common_classes=True)
    assert common.configs[0].features["label"].names == ("cat", "dog")  # type: ignore[union-attr]
    assert common.counts["examples_of_classes_not_used"] > 0


def test_classes_that_are_not_trained_on_leave_the_test() -> None:
    source = Sites(sites=("a", "b", "c"), absent=("b:elk", "c:elk"))
    plan = planned(source)
    first = plan.configs[0]  # a held out: nothing that is trained on has an elk
    assert set(labels(first, "ood_test")) == {"cat", "dog"}
    elks = sum(c == "elk" for c in source.table()["label"])
    assert first.notes["left_out"] == {"of classes that are not trained on": elks}


def test_groups_add_up_and_the_environment_is_the_shift() -> None:
    plan = planned(Sites())
    for config in plan.configs:
        assert {n: sum(g.values()) for n, g in config.notes["groups"].items()} == {
            s.name: len(s.rows) for s in config.splits
        }
        assert config.notes["shift_columns"] == ["environment"]
        assert config.notes["held"]["fixed"] == ""
    assert "site" not in plan.metadata.examples.column_names


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"held_out": ("x",)}, "held_out.* names the environment 'x'"),
        ({"near": ("x",)}, "near or far names the environment 'x'"),
        ({"ood_validation": "x"}, "ood_validation names the environment 'x'"),
        ({"environments": ("a", "x")}, "'x', which no example has"),
        ({"held_out": ("a",), "near": ("a",)}, "one part only"),
        ({"design": "given", "held_out": ("a",), "ood_validation": "a"}, "one part only"),
        ({"train_environments": ("a",)}, "for --design given"),
        ({"design": "given"}, "nothing is held out"),
        ({"design": "given", "held_out": ("a", "b", "c", "d")}, "no environment is left"),
        ({"held_out": ("a",), "ood_validation": "b+c+d"}, "no environment to train on"),
        ({"design": "leave"}, "allowed: 'leave_one_out' or 'given'"),
        ({"held_out_classes": ("cow",)}, "'cow', which no environment"),
        ({"held_out_classes": ("cat", "dog")}, "at least two are needed"),
        ({"min_clusters": 0}, "1 and above"),
        ({"min_clusters": 61}, "no environment is left to train on"),
        ({"min_clusters": 61, "held_out": ("a",)}, "'a' has 60 clusters"),
        ({"test": 0.0}, "test above 0"),
        ({"test": 0.6, "validation": 0.5}, "together below 1"),
        ({"target_unlabeled": 1.0}, "below 1"),
        ({"held_out": "abc"}, "give a list of texts"),
        ({"label": "site"}, "name two columns"),
        ({"label": "sites"}, "did you mean 'site'"),
        ({"label": "x"}, "real numbers"),
    ],
)
def test_what_cannot_be_built_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        planned(Sites(), **options)


@pytest.mark.parametrize(
    ("source", "environment", "told"),
    [
        (Sites(sites=("a",)), "site", "at least 2 different values"),
        (Sites(), "sit", "did you mean 'site'"),
        (Sites(), "x", "real numbers"),
        (Sites(unlabelled=("a", "b", "c", "d")), "site", "at least 2 different values"),
    ],
)
def test_columns_that_do_not_do_are_refused(source: Sites, environment: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Environments(source, environment=environment).plan(source.scan(), 0)


def test_one_environment_that_can_be_used_is_refused_for_leave_one_out() -> None:
    source = Sites(sites=("a", "b"), unlabelled=("b",))
    with pytest.raises(ConfigurationError, match="at least 2 different"):
        planned(source)


def test_an_unreachable_ood_validation_is_told_loudly() -> None:
    plan = planned(Sites(), ood_validation="b")
    told = {c.name: c.notes["warnings"] for c in plan.configs}
    assert "NO ood_validation" in told["held_out_b"][0]
    assert told["held_out_a"] == []


def test_an_environment_with_nothing_that_is_trained_on_is_refused() -> None:
    source = Sites(sites=("a", "b", "c"), absent=("a:cat", "a:dog", "b:elk", "c:elk"))
    with pytest.raises(ConfigurationError, match="'a' has no example of the classes trained on"):
        planned(source)


def test_balancing_needs_every_class() -> None:
    with pytest.raises(ConfigurationError, match=r"no example of the class 'elk' .*'b'"):
        planned(Sites(absent=("b:elk",)), balance_labels=True)


def test_strange_values_of_the_environment_are_dropped_and_counted() -> None:
    table = Sites().scan()
    sites = [None if v == "d" else v for v in table.examples["site"].to_pylist()]
    at = table.examples.column_names.index("site")
    examples = table.examples.set_column(at, "site", pa.array(sites))
    changed = sb.schema.Metadata(
        examples, table.contexts, table.rejected, table.content, "x", columns=("x",)
    )
    plan = Environments(Sites(), environment="site").plan(changed, 0)
    assert plan.counts["examples_without_an_environment"] == 60
    assert [c.name for c in plan.configs] == ["held_out_a", "held_out_b", "held_out_c"]


def test_it_builds_and_loads(tmp_path: Any) -> None:
    builder = Environments(
        Sites(40, images=True), environment="site", held_out=("a",), target_unlabeled=0.2,
        held_out_classes=("elk",),
    )  # fmt: skip
    bench = sb.build(builder, tmp_path / "out", measure=False)
    bench.verify()
    loaded = bench.load("held_out_a", "train")
    assert set(loaded["environment"]) <= {"b", "c", "d"}
    assert loaded.features["label"].names == [c for c in CLASSES if c != "elk"]
    assert loaded[0]["image"].size == (8, 8)
    again = sb.build(builder, tmp_path / "again", measure=False, n_jobs=2)
    assert again.digest == bench.digest
