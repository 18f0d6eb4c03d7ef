"""Label shift: exact counts, what is held, what grows, what is refused."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

import shiftbench as sb
from shiftbench.builders.label.builder import LabelShift
from shiftbench.builders.shared.counted import apportion
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

PRIORS = ("own", "tweak_one:dog=0.9", "knockout:cat=0.8", "given:0.2,0.3,0.5")


def planned(seed: int = 0, n: int = 600, **options) -> tuple[Plan, ConfigPlan]:
    source = ClusteredRows(n=n, seed=seed)
    plan = LabelShift(source, **({"prior": PRIORS} | options)).plan(source.scan(), seed)
    return plan, plan.configs[0]


def labels(config: ConfigPlan, name: str) -> np.ndarray:
    return split_of(config, name).rows["label"].to_numpy()


def counts(config: ConfigPlan, name: str) -> np.ndarray:
    return np.bincount(labels(config, name), minlength=3)


def test_counts_are_exact() -> None:
    _, config = planned()
    for name, shares in (
        ("ood_test_given_0_2_0_3_0_5", [0.2, 0.3, 0.5]),
        ("ood_test_tweak_one_dog_0_9", None),
    ):
        found = counts(config, name)
        if shares is None:
            assert found[2] == round(0.9 * found.sum())
        else:
            assert found.tolist() == apportion(np.array(shares), int(found.sum())).tolist()


def test_no_cluster_is_in_two_of_the_splits_but_those_of_one_pool() -> None:
    plan, config = planned()
    clusters = {s.name: set(clusters_of(taken(plan, config, s.name))) for s in config.splits}
    pool = set().union(*(c for n, c in clusters.items() if n.startswith("ood")))
    parts = [pool, *(c for n, c in clusters.items() if not n.startswith("ood"))]
    assert len(parts) == 4
    assert all(not a & b for a, b in itertools.combinations(parts, 2))


def test_of_each_class_the_tests_are_nested() -> None:
    _, config = planned()
    for c in range(3):
        sets = sorted(
            (
                set(s.index[labels(config, s.name) == c].tolist())
                for s in config.splits
                if s.role == "ood_test"
            ),
            key=len,
        )
        assert all(a <= b for a, b in itertools.pairwise(sets))


def test_another_prior_leaves_the_other_splits_alone() -> None:
    _, one = planned(prior=PRIORS[:2])
    _, other = planned(prior=("zipf:3", *PRIORS[:2]))
    for split in one.splits:
        assert split.rows.equals(split_of(other, split.name).rows)


def test_the_achieved_total_variation_is_told() -> None:
    _, config = planned(prior=(*PRIORS, "dirichlet:0.2x2"))
    train = counts(config, "train") / counts(config, "train").sum()
    for name, step in config.notes["steps"].items():
        found = counts(config, name)
        literal = 0.5 * sum(abs(a - b) for a, b in zip(found / found.sum(), train, strict=True))
        assert step["parameter"] == pytest.approx(literal)
        assert config.notes["priors"][name]["total_variation"] == pytest.approx(literal)
        assert step["unchanged"] == "id_test"
        intended = config.notes["priors"][name]["total_variation_intended"]
        assert abs(intended - literal) < 3 / found.sum() + 0.05  # rounding, and train's own
    assert {s.name for s in config.splits if s.role == "ood_test"} == set(config.notes["steps"])


@pytest.mark.parametrize("alone", [True, False])
def test_what_is_held_is_held(alone: bool) -> None:
    """Within a class, id_test and the most shifted tests are one distribution, over 100 seeds."""
    rejected = dict.fromkeys(("id_test", "train"), 0)
    tests = 0
    for seed in range(100):
        source = ClusteredRows(n=500, seed=seed, alone=alone)
        builder = LabelShift(source, prior=("tweak_one:dog=0.95",), id_test=0.3, ood_test=0.35)
        plan = builder.plan(source.scan(), seed)
        config = plan.configs[0]
        target = taken(plan, config, "ood_test_tweak_one_dog_0_95")
        dogs = target.filter(pc.equal(target["label"], 2))
        tests += 1
        for name in rejected:
            own = taken(plan, config, name)
            own = own.filter(pc.equal(own["label"], 2))
            found = measure(
                "energy",
                features(own),
                features(dogs),
                clusters=(clusters_of(own), clusters_of(dogs)),
                n_permutations=99,
                seed=seed,
            )
            rejected[name] += found.p_value <= 0.05
    assert max(rejected.values()) <= most_rejections(tests)


def test_the_test_above_can_fail() -> None:
    rejected = 0
    for seed in range(10):
        plan, config = planned(seed, id_test=0.3, ood_test=0.4)
        own = taken(plan, config, "id_test")
        target = taken(plan, config, "ood_test_tweak_one_dog_0_9")  # without regard to class
        found = measure(
            "energy",
            features(own),
            features(target),
            clusters=(clusters_of(own), clusters_of(target)),
            n_permutations=99,
            seed=seed,
        )
        rejected += found.p_value <= 0.05
    assert rejected > 5


def test_the_intended_part_grows_and_is_nothing_at_the_own_prior() -> None:
    shares = (0.3, 0.5, 0.7, 0.9)
    _, config = planned(n=2000, prior=("own", *(f"tweak_one:dog={s}" for s in shares)))
    train = labels(config, "train").astype(str).tolist()
    found = {}
    for split in (s for s in config.splits if s.role == "ood_test"):
        given = labels(config, split.name).astype(str).tolist()
        found[split.name] = measure("label_tv", train, given, n_permutations=199, seed=0)
    values = [f.value for f in found.values()]
    assert values == sorted(values)
    assert found["ood_test_own"].p_value > 0.05
    assert found["ood_test_own"].value < 0.01
    assert found["ood_test_tweak_one_dog_0_9"].p_value < 0.01
    assert split_of(config, "ood_test_own").shift == "none"
    assert split_of(config, "ood_test_tweak_one_dog_0_9").shift == "label"


def test_the_own_prior_shifts_nothing_over_seeds() -> None:
    rejected = 0
    for seed in range(100):
        plan, config = planned(seed, n=300, prior=("own",), id_test=0.3, ood_test=0.3)
        own, target = (taken(plan, config, s) for s in ("id_test", "ood_test_own"))
        found = measure(
            "energy",
            features(own),
            features(target),
            clusters=(clusters_of(own), clusters_of(target)),
            n_permutations=99,
            seed=seed,
        )
        rejected += found.p_value <= 0.05
        gap = np.abs(counts(config, "id_test") / len(own) - counts(config, "ood_test_own")
                     / len(target)).sum()  # fmt: skip
        assert gap < 3 / min(len(own), len(target)) + 3 / 300
    assert rejected <= most_rejections(100)


def test_a_training_prior_is_that_of_training_and_of_the_id_test() -> None:
    _, config = planned(n=6000, train_prior="given:0.2,0.2,0.6", prior=("knockout:dog=1",))
    for name in ("train", "validation", "id_test"):
        n = int(counts(config, name).sum())
        assert counts(config, name).tolist() == apportion(np.array([0.2, 0.2, 0.6]), n).tolist()
    cats, cows, dogs = counts(config, "ood_test_knockout_dog_1")
    assert dogs == 0
    assert abs(cats - cows) <= 1  # from the training prior, not from the data's
    assert not config.notes["warnings"]


def test_rare_ordinal_events() -> None:
    _, config = planned(
        n=20_000,
        classes=("cow", "dog", "cat"),
        ordinal=True,
        train_prior="rare:1=0.02",
        prior=("rare:1=0.1", "rare:1=0.5"),
    )
    assert config.features["label"].names == ("cow", "dog", "cat")
    n = counts(config, "train")
    assert abs(n[2] - 0.02 * n.sum()) < 1
    told = config.notes["priors"]
    assert told["ood_test_rare_1_0_1"]["earth_mover"] < told["ood_test_rare_1_0_5"]["earth_mover"]
    one, other = (
        counts(config, s) / counts(config, s).sum() for s in ("train", "ood_test_rare_1_0_5")
    )
    literal = abs(one[0] - other[0]) + abs(one[0] + one[1] - other[0] - other[1])
    assert told["ood_test_rare_1_0_5"]["earth_mover"] == pytest.approx(literal)


def test_bursty_tests_and_a_random_id_test() -> None:
    _, config = planned(order="bursty", burst_length=8.0, prior=("tweak_one:dog=0.5",))
    _, still = planned(prior=("tweak_one:dog=0.5",))
    for split in config.splits:
        assert split.rows.select(["example", "label"]).equals(split_of(still, split.name).rows)
    told = config.notes["orders"]["ood_test_tweak_one_dog_0_5"]
    assert told["burst_length"] == pytest.approx(8.0, rel=0.1)
    assert config.notes["orders"]["id_test"]["order"] == "random"
    assert split_of(config, "train").rows["time"].null_count == len(split_of(config, "train").rows)
    time = split_of(config, "id_test").rows["time"].to_numpy()
    assert sorted(time.tolist()) == [*range(len(time))]
    assert "time" in config.notes["shift_columns"]


def test_an_order_alone_keeps_the_prior() -> None:
    _, config = planned(prior=(), order="sorted")
    split = split_of(config, "ood_test_own")
    assert split.shift == "label"
    label = split.rows["label"].to_numpy()[np.argsort(split.rows["time"].to_numpy())]
    assert (np.diff(label) >= 0).all()
    assert config.notes["steps"]["ood_test_own"]["parameter"] < 0.03


def test_the_same_for_the_same_seed_and_another_for_another() -> None:
    assert planned()[0].hash == planned()[0].hash
    source = ClusteredRows()
    builder = LabelShift(source, prior=PRIORS)
    assert builder.plan(source.scan(), 1).hash != builder.plan(source.scan(), 2).hash


def test_excluded_examples_are_in_no_split() -> None:
    source = ClusteredRows()
    gone = frozenset({"000003", "000100"})
    plan = LabelShift(source, prior=PRIORS).plan(source.scan(), 0, gone)
    assert plan.excluded == gone
    assert not gone & set(plan.metadata.examples["example_id"].to_pylist())


def test_small_tests_and_untrained_classes_are_told() -> None:
    _, config = planned(
        n=900, train_prior="knockout:cat=1", prior=("given:0.9,0.1,0",), ood_test=0.1
    )
    warnings = " ".join(config.notes["warnings"])
    assert "ood_test_given_0_9_0_1_0 has examples of cat, of which train has none" in warnings
    assert "examples only" in warnings


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"prior": ()}, "no prior is given"),
        ({"prior": "own"}, "give a list of texts"),
        ({"prior": ("rare:1=0.1",)}, "say --ordinal"),
        ({"prior": ("rare:1=0.1",), "ordinal": True}, "name all of them with --classes"),
        ({"train_prior": "dirichlet:1x2"}, "give one"),
        ({"burst_length": 0.5}, "1 and above"),
        ({"order": "random"}, "'bursty' or 'sorted'"),
        ({"order": "bursty", "burst_length": 10_000.0}, "lower --burst-length"),
        ({"test_size": 3}, "10 and above"),
        ({"validation": 0.5, "id_test": 0.3}, "together below 1"),
        ({"ood_test": 0.0}, "above 0"),
        ({"label": "colour"}, "does not have"),
        ({"label": "x1"}, "real numbers"),
        ({"classes": ("cat",)}, "at least 2 different values"),
        ({"classes": ("cat", "horse")}, "horse"),
        ({"prior": ("tweak_one:horse=0.5",)}, "horse"),
        ({"train_size": 5000}, "--train-size"),
    ],
)
def test_bad_input(options: dict, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        planned(**options)


def test_a_prior_that_the_counts_cannot_fill_says_what_can_be() -> None:
    wide = {"n": 1200, "id_test": 0.3}
    with pytest.raises(ConfigurationError) as error:
        planned(prior=("tweak_one:dog=0.9",), test_size=150, **wide)
    have = counts(planned(prior=("tweak_one:dog=0.9",), **wide)[1], "ood_test_tweak_one_dog_0_9")
    said = str(error.value)
    assert f"makes {have.sum()} examples at most" in said
    assert f"at 150 examples its share can be {have[2] / 150:.4g} at most" in said
    reachable = f"tweak_one:dog={np.floor(1000 * have[2] / 150) / 1000}"
    _, config = planned(prior=(reachable,), test_size=150, **wide)
    assert counts(config, config.splits[-1].name).sum() == 150


def test_a_build_is_read_and_replayed(tmp_path: Path) -> None:
    table = ClusteredRows(n=1200).scan().examples.drop_columns(["locator", "bytes", "modified"])
    import pyarrow.parquet as pq

    pq.write_table(table, tmp_path / "rows.parquet")
    source = Table(str(tmp_path / "rows.parquet"), id_column="example_id",
                   cluster_column="cluster_id", drop=("group",))  # fmt: skip
    builder = LabelShift(source, prior=("own", "tweak_one:dog=0.6"), order="bursty",
                         burst_length=5.0)  # fmt: skip
    bench = sb.build(builder, tmp_path / "out", seed=0)
    bench.verify()
    stream = bench.load("label_shift", split="ood_test_tweak_one_dog_0_6").sort("time")
    assert stream["time"][:] == [*range(len(stream))]
    label = np.array(stream["label"])
    plan = builder.plan(source.scan(), 0)
    assert (
        np.bincount(label).tolist()
        == counts(plan.configs[0], "ood_test_tweak_one_dog_0_6").tolist()
    )
    assert len(label) / (1 + (np.diff(label) != 0).sum()) > 4
    assert bench.load("label_shift", split="train")["time"][:3] == [None] * 3


def test_adult(shared_data: Path) -> None:
    preset = dict(LabelShift.presets["adult_income"])
    options = {k: v for k, v in preset.pop("source").items() if k != "name"}
    source = Table(str(shared_data / "adult" / "adult.csv.gz"), **options)
    plan = LabelShift(source, **preset).plan(source.scan(), 0)
    config = plan.configs[0]
    rich = np.bincount(labels(config, "ood_test_tweak_one_50k_0_8"))
    assert rich[1] == round(0.8 * rich.sum())
    assert rich.sum() > 2000
    assert "income-per-year" not in plan.metadata.columns
