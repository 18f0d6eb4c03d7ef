"""Mixtures: exact doses, what is held, what grows, streams, and what is refused."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import shiftbench as sb
from shiftbench.builders.mixture.builder import Mixtures
from shiftbench.builders.mixture.configs import dose_name
from shiftbench.distances.measured import measure
from shiftbench.errors import ConfigurationError
from shiftbench.plan import ConfigPlan, Plan
from shiftbench.sources import Table

from .clustered_rows import (
    ClusteredRows,
    clusters_of,
    features,
    most_rejections,
    split_of,
    taken,
)

DOSES = (0.0, 0.2, 0.5, 0.8, 1.0)


def planned(seed: int = 0, n: int = 800, alone: bool = False, **options) -> Plan:
    source = ClusteredRows(n=n, seed=seed, alone=alone)
    return Mixtures(source, **({"target_values": ("new",)} | options)).plan(source.scan(), seed)


def config_of(plan: Plan, name: str) -> ConfigPlan:
    return next(c for c in plan.configs if c.name == name)


def component(config: ConfigPlan, split: str) -> np.ndarray:
    return np.array(split_of(config, split).rows["component"].to_pylist())


def p_value(one: pa.Table, other: pa.Table, seed: int) -> float:
    found = measure(
        "energy",
        features(one),
        features(other),
        clusters=(clusters_of(one), clusters_of(other)),
        n_permutations=99,
        seed=seed,
    )
    return float(found.p_value)


def test_names_of_doses() -> None:
    assert [dose_name(d) for d in (0, 0.07, 0.29, 1, 0.005)] == [
        "000",
        "007",
        "029",
        "100",
        "000_5",
    ]


@pytest.mark.parametrize("stratify", [False, True])
def test_training_doses_are_exact_nested_and_of_one_size(stratify: bool) -> None:
    plan = planned(stratify=stratify)
    assert [c.name for c in plan.configs] == [f"dose_{dose_name(d)}" for d in DOSES]
    for part in ("train", "validation"):
        sizes = {len(split_of(c, part).rows) for c in plan.configs}
        assert len(sizes) == 1
        n = sizes.pop()
        by_target: list[set[int]] = []
        by_source: list[set[int]] = []
        for dose, config in zip(DOSES, plan.configs, strict=True):
            is_target = component(config, part) == "target"
            assert is_target.sum() == int(np.floor(round(dose * n, 9) + 0.5))
            told = config.notes["doses"][part]
            assert told == {"intended": dose, "achieved": is_target.sum() / n, "examples": n}
            index = split_of(config, part).index
            by_target.append(set(index[is_target].tolist()))
            by_source.append(set(index[~is_target].tolist()))
        assert all(a <= b for a, b in itertools.pairwise(by_target))
        assert all(a >= b for a, b in itertools.pairwise(by_source))
        if stratify:
            labels = [
                np.bincount(split_of(c, part).rows["label"], minlength=3) for c in plan.configs
            ]
            assert all((one == labels[0]).all() for one in labels)


def test_the_component_is_what_the_column_says() -> None:
    plan = planned(mixed="test", drift=("gradual",))
    for config in plan.configs:
        for split in config.splits:
            table = taken(plan, config, split.name)
            is_new = pc.equal(table["group"], "new").to_numpy()
            assert (is_new == (component(config, split.name) == "target")).all()
    assert "group" not in plan.metadata.columns  # it tells the component: no feature


@pytest.mark.parametrize("options", [{}, {"mixed": "test", "drift": ("sudden", "recurring")}])
def test_no_cluster_is_in_two_splits_but_of_one_pool(options: dict) -> None:
    plan = planned(**options)
    both = 0
    for config in plan.configs:
        clusters = {s.name: set(clusters_of(taken(plan, config, s.name))) for s in config.splits}
        pool = set().union(*(c for n, c in clusters.items() if n.startswith("ood")))
        parts = [pool, *(c for n, c in clusters.items() if not n.startswith("ood"))]
        assert len(parts) == 4
        assert all(not a & b for a, b in itertools.combinations(parts, 2))
        groups = (
            taken(plan, config, "train")
            .group_by("cluster_id")
            .aggregate([("group", "count_distinct")])
        )
        both += int((groups["group_count_distinct"].to_numpy() > 1).sum())
    assert both or options  # there are clusters with both groups, or only the pool may have them


def test_tests_are_the_same_at_every_training_dose() -> None:
    plan = planned()
    for name, value in (("id_test", "source"), ("ood_test", "target")):
        first = split_of(plan.configs[0], name)
        assert set(component(plan.configs[0], name)) == {value}
        assert all(split_of(c, name).rows.equals(first.rows) for c in plan.configs)


def test_another_dose_leaves_the_others_alone() -> None:
    few, more = planned(doses=(0.2, 0.5)), planned(doses=(0.35, 0.5, 1.0, 0.2))
    for config in few.configs:
        other = config_of(more, config.name)
        assert all(s.rows.equals(split_of(other, s.name).rows) for s in config.splits)
    one = planned(mixed="test", doses=(0.5,), drift=("sudden",))
    two = planned(mixed="test", doses=(0.1, 0.5), drift=("gradual", "sudden"))
    for name, split in (("mixtures", "ood_test_050"), ("stream", "ood_test_sudden")):
        assert split_of(config_of(one, name), split).rows.equals(
            split_of(config_of(two, name), split).rows
        )


def test_mixed_tests_are_exact_and_nested() -> None:
    config = planned(mixed="test").configs[0]
    names = [f"ood_test_{dose_name(d)}" for d in DOSES]
    assert [s.name for s in config.splits] == ["train", "validation", "id_test", *names]
    n = len(split_of(config, names[0]).rows)
    sets = []
    for dose, name in zip(DOSES, names, strict=True):
        is_target = component(config, name) == "target"
        assert len(is_target) == n
        assert abs(is_target.sum() - dose * n) <= 0.5
        assert config.notes["steps"][name]["parameter"] == dose
        sets.append(set(split_of(config, name).index[is_target].tolist()))
    assert all(a <= b for a, b in itertools.pairwise(sets))
    assert split_of(config, "ood_test_000").shift == "none"
    assert split_of(config, "ood_test_020").shift == "subpopulation"
    for part in ("train", "validation", "id_test"):
        assert set(component(config, part)) == {"source"}


@pytest.mark.parametrize("stratify", [False, True])
def test_the_components_are_held(stratify: bool) -> None:
    """Source against source and target against target, at full strength, over 100 seeds."""
    rejected = {"source": 0, "target": 0}
    for seed in range(100):
        plan = planned(
            seed, n=700, doses=(0.5, 1.0), id_test=0.25, ood_test=0.25, validation=0.0,
            stratify=stratify,
        )  # fmt: skip
        half, full = plan.configs
        mixed = taken(plan, half, "train")
        own = mixed.filter(pc.equal(mixed["component"], "source"))
        rejected["source"] += p_value(own, taken(plan, half, "id_test"), seed) <= 0.05
        target = taken(plan, full, "train")
        rejected["target"] += p_value(target, taken(plan, full, "ood_test"), seed) <= 0.05
    assert max(rejected.values()) <= most_rejections(100)


def test_the_class_shares_are_held_where_stratified() -> None:
    plan = planned(stratify=True, n=3000)
    config = plan.configs[-1]
    counts = {s.name: np.bincount(s.rows["label"], minlength=3) for s in config.splits}
    shares = {n: c / c.sum() for n, c in counts.items()}
    for name, found in shares.items():
        assert np.abs(found - shares["train"]).max() <= 2 / counts[name].sum() + 2 / 300
    assert "at every dose" in config.notes["class_prior"]
    assert config.notes["held"]["fixed"].startswith("P(y)")


def test_the_shift_grows_with_the_dose_and_is_nothing_without() -> None:
    plan = planned(n=3000, alone=True, mixed="test", test_size=300)
    config = plan.configs[0]
    train = taken(plan, config, "train").slice(0, 600)
    values, p_values = [], []
    for dose in DOSES:
        table = taken(plan, config, f"ood_test_{dose_name(dose)}")
        found = measure("mmd", features(train), features(table), n_permutations=199, seed=0)
        values.append(found.value)
        p_values.append(found.p_value)
    assert values == sorted(values)
    assert p_values[-1] < 0.01


def test_dose_nothing_shifts_nothing_over_seeds() -> None:
    rejected = 0
    for seed in range(100):
        plan = planned(seed, n=400, mixed="test", doses=(0.0,), ood_test=0.3)
        config = plan.configs[0]
        one, other = (taken(plan, config, s) for s in ("id_test", "ood_test_000"))
        rejected += p_value(one, other, seed) <= 0.05
    assert rejected <= most_rejections(100)


def test_the_tests_above_can_fail() -> None:
    rejected = 0
    for seed in range(10):
        config = (plan := planned(seed)).configs[0]
        rejected += (
            p_value(taken(plan, config, "id_test"), taken(plan, config, "ood_test"), seed) <= 0.05
        )
    assert rejected > 7


def test_streams_follow_their_doses() -> None:
    plan = planned(n=2000, doses=(), drift=("sudden", "gradual", "recurring"), peak=0.8)
    config = plan.configs[0]
    assert config.name == "stream"
    for kind in ("sudden", "gradual", "recurring"):
        rows = split_of(config, f"ood_test_{kind}").rows
        time = rows["time"].to_numpy()
        assert sorted(time.tolist()) == [*range(len(rows))]
        order = np.argsort(time)
        dose = rows["dose"].to_numpy()[order]
        is_target = component(config, f"ood_test_{kind}")[order] == "target"
        assert np.abs(np.cumsum(is_target) - np.cumsum(dose)).max() <= 0.5 + 1e-6
        assert dose.max() == pytest.approx(0.8, abs=0.01)
        lines = plan.tables["drift"].filter(
            pc.equal(plan.tables["drift"]["split"], f"ood_test_{kind}")
        )
        for line in lines.to_pylist()[:: len(lines) // 7]:
            t = line["time"]
            assert line["dose"] == dose[t]
            assert line["target_so_far"] == pytest.approx(is_target[: t + 1].mean())
            assert line["dose_so_far"] == pytest.approx(dose[: t + 1].mean())
    train = split_of(config, "train").rows
    assert train["time"].null_count == train["dose"].null_count == len(train)


def test_within_a_component_nothing_depends_on_time() -> None:
    rejected = 0
    for seed in range(100):
        plan = planned(seed, n=500, doses=(), drift=("gradual",))
        table = taken(plan, plan.configs[0], "ood_test_gradual")
        own = table.filter(pc.equal(table["component"], "source"))
        early = own["time"].to_numpy() < np.median(own["time"].to_numpy())
        sides = (own.filter(pa.array(early)), own.filter(pa.array(~early)))
        found = measure("energy", *map(features, sides), n_permutations=99, seed=seed)
        rejected += found.p_value <= 0.05
    assert rejected <= most_rejections(100)


def test_stratified_streams_keep_the_class_shares() -> None:
    plan = planned(n=3000, doses=(), drift=("sudden",), stratify=True)
    rows = split_of(plan.configs[0], "ood_test_sudden").rows
    label, is_target = rows["label"].to_numpy(), component(plan.configs[0], "ood_test_sudden")
    one, other = (np.bincount(label[is_target == c], minlength=3) for c in ("source", "target"))
    assert np.abs(one / one.sum() - other / other.sum()).max() < 2 / min(one.sum(), other.sum())


def test_sizes_may_be_given() -> None:
    plan = planned(size=50, test_size=40, stratify=True)
    for config in plan.configs:
        assert len(split_of(config, "train").rows) == 50
        assert len(split_of(config, "id_test").rows) == 40
        assert len(split_of(config, "ood_test").rows) == 40
    small = planned(doses=(0.0, 0.1), size=300)  # more than the target has, but not at these doses
    assert component(small.configs[1], "train").tolist().count("target") == 30


def test_contexts_tell_components_too() -> None:
    from shiftbench.sources import Scenes

    source = Scenes(n_scenes=1500)
    plan = Mixtures(
        source, by="context", source_values=("grass", "yard"), target_values=("bedroom",),
        classes=("cat", "dog"), doses=(0.5,), id_test=0.25, ood_test=0.25,
    ).plan(source.scan(), 0)  # fmt: skip
    assert plan.counts["examples_in_neither_component"] > 0
    n = config_of(plan, "dose_050").notes["groups"]["train"]
    assert abs(n["source"] - n["target"]) <= 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"by": "grup"}, "did you mean 'group'"),
        ({"by": "x1"}, "real numbers"),
        ({"target_values": ()}, "'new' .*'old'"),
        ({"target_values": "new"}, "give a list of texts"),
        ({"target_values": ("now",)}, "'now'"),
        ({"source_values": ("older",)}, "'older'"),
        ({"source_values": ("new",)}, "leave it out of one"),
        ({"target_values": ("new", "old")}, "in the source of the mixture"),
        ({"doses": (0.2, 1.2)}, "from 0 to 1"),
        ({"doses": (0.2, 0.2)}, "twice"),
        ({"doses": ()}, "give one of them"),
        ({"drift": ("slow",)}, "sudden, gradual, recurring"),
        ({"drift": ("sudden",), "test_size": 700}, "examples"),
        ({"doses": (), "drift": ("sudden",), "peak": 2.0}, "peak"),
        ({"mixed": "both"}, "'train' or 'test'"),
        ({"size": 5}, "10 and above"),
        ({"size": 500}, "with [0-9]+ examples every dose can be had"),
        ({"id_test": 0.0}, "above 0"),
        ({"by": "context"}, "give --source-values"),
        ({"label": "x1"}, "real numbers"),
    ],
)
def test_bad_input(options: dict, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        planned(**options)


def test_a_constant_column_is_refused() -> None:
    source = ClusteredRows(n=200)
    found = source.scan()
    table = found.examples.set_column(
        found.examples.column_names.index("group"), "group", pa.array(["new"] * 200)
    )
    from dataclasses import replace

    with pytest.raises(ConfigurationError, match="every example has"):
        Mixtures(source, target_values=("new",)).plan(replace(found, examples=table), 0)


def test_a_stream_that_the_pool_cannot_fill_says_what_it_can() -> None:
    options = {"doses": (), "drift": ("sudden",), "id_test": 0.4, "ood_test": 0.1}
    with pytest.raises(ConfigurationError, match="it could have") as error:
        planned(test_size=140, **options)
    could = int(str(error.value).partition("it could have ")[2].split()[0])
    assert could < 140
    config = planned(test_size=could, **options).configs[0]
    assert len(split_of(config, "ood_test_sudden").rows) == could


def test_the_same_for_the_same_seed() -> None:
    assert planned(1).hash == planned(1).hash
    source = ClusteredRows()
    builder = Mixtures(source, target_values=("new",))
    assert builder.plan(source.scan(), 1).hash != builder.plan(source.scan(), 2).hash


def test_a_build_is_read_and_replayed(tmp_path: Path) -> None:
    table = ClusteredRows(n=1200).scan().examples.drop_columns(["locator", "bytes", "modified"])
    pq.write_table(table, tmp_path / "rows.parquet")
    source = Table(str(tmp_path / "rows.parquet"), id_column="example_id",
                   cluster_column="cluster_id")  # fmt: skip
    builder = Mixtures(source, target_values=("new",), doses=(0.5,), drift=("sudden",))
    bench = sb.build(builder, tmp_path / "out", seed=0)
    bench.verify()
    stream = bench.load("stream", split="ood_test_sudden").sort("time")
    half = len(stream) // 2
    assert set(stream["component"][: half - 1]) == {"source"}
    assert set(stream["component"][half + 1 :]) == {"target"}
    train = bench.load("dose_050", split="train")
    assert abs(train["component"][:].count("target") - len(train) / 2) <= 0.5
    assert len(bench.load("drift", split="train")) > 10


def test_adult(shared_data: Path) -> None:
    preset = dict(Mixtures.presets["adult_sex_stratified"])
    options = {k: v for k, v in preset.pop("source").items() if k != "name"}
    source = Table(str(shared_data / "adult" / "adult.csv.gz"), **options)
    plan = Mixtures(source, **preset).plan(source.scan(), 0)
    labels = [np.bincount(split_of(c, "train").rows["label"]) for c in plan.configs]
    assert all((one == labels[0]).all() for one in labels)
    assert labels[0].sum() > 2000
    assert [component(c, "train").tolist().count("target") for c in plan.configs] == [
        int(np.floor(d * labels[0].sum() + 0.5)) for d in DOSES
    ]
