"""Subpopulation shifts: exact counts, nested levels, what stays alone, what is refused."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import shiftbench as sb
from shiftbench.builders.subpopulation.builder import Subpopulations
from shiftbench.builders.subpopulation.cells import cramers_v
from shiftbench.errors import ConfigurationError
from shiftbench.plan import ConfigPlan, Plan
from shiftbench.schema import Metadata
from shiftbench.sources import Digits

from .shared.made_sources import Made, metadata

PARITY = ("even=0+2+4+6+8", "odd=1+3+5+7+9")
LEVELS = (0.0, 0.3, 0.6, 0.9, 1.0)


def place_data(
    n: int = 4000, *, per_cluster: int = 1, share: float = 0.5, seed: int = 0
) -> Metadata:
    """Cats and dogs, indoors and outdoors; clusters have members in every group."""
    rng = np.random.default_rng(seed)
    label = rng.choice(["cat", "dog"], n)
    outside = rng.random(n) < share
    return metadata(
        n,
        {
            "label": label.tolist(),
            "place": np.where(outside, "outdoor", "indoor").tolist(),
            "x": rng.normal(size=n),
        },
        clusters=[f"c{i // per_cluster:05d}" for i in range(n)],
    )


def planned(found: Metadata, seed: int = 0, **options: Any) -> Plan:
    options = {"attribute": "place", **options}
    return Subpopulations(Made(found), **options).plan(found, seed)


def groups(plan: Plan, config: ConfigPlan, split: str) -> dict[str, str]:
    """Group of each example of a split, read from its columns alone."""
    table = next(s for s in config.splits if s.name == split).rows
    ids = plan.metadata.examples["example_id"].take(table["example"]).to_pylist()
    return dict(zip(ids, table["group"].to_pylist(), strict=True))


def counted(plan: Plan, config: ConfigPlan, split: str) -> dict[str, int]:
    return dict(sorted(Counter(groups(plan, config, split).values()).items()))


def test_a_table_is_filled_exactly_by_examples_that_are_in_the_cells() -> None:
    found = place_data()
    plan = planned(found, cells=("strong:450,50/120,380",))
    (config,) = plan.configs
    assert config.name == "strong"
    assert counted(plan, config, "train") == {
        "cat(indoor)": 450, "cat(outdoor)": 50, "dog(indoor)": 120, "dog(outdoor)": 380,
    }  # fmt: skip
    columns = found.examples.select(["example_id", "label", "place"]).to_pylist()
    truth = {r["example_id"]: f"{r['label']}({r['place']})" for r in columns}
    for split in config.splits:
        mine = groups(plan, config, split.name)
        assert all(truth[ident] == group for ident, group in mine.items())
        labels = [config.features["label"].names[i] for i in split.rows["label"].to_pylist()]
        assert labels == [group.partition("(")[0] for group in mine.values()]
        assert split.rows["subset"].to_pylist() == [[g] for g in mine.values()]
        assert config.notes["groups"][split.name] == counted(plan, config, split.name)
    assert len(set(counted(plan, config, "ood_test").values())) == 1
    expected = cramers_v(np.array([[450, 50], [120, 380]]))
    assert config.notes["cramers_v"]["train"] == pytest.approx(expected, abs=1e-6)
    assert config.notes["attribute_given_class"]["cat"] == {"indoor": 0.9, "outdoor": 0.1}
    assert config.notes["minority_share"] == {"cat": 0.1, "dog": 0.24}
    assert config.notes["held"]["fixed"] == "P(x | y, a)"
    json.dumps(config.notes)


def test_the_table_of_counts_says_what_the_splits_have() -> None:
    plan = planned(place_data(), levels=(0.0, 0.8), reversed_test=True)
    told = plan.tables["cell_counts"].to_pylist()
    for config in plan.configs:
        for split in config.splits:
            mine = [r for r in told if (r["config"], r["split"]) == (config.name, split.name)]
            assert {f"{r['class']}({r['attribute']})": r["n"] for r in mine} == counted(
                plan, config, split.name
            )
            n = sum(r["n"] for r in mine)
            assert all(r["share"] == pytest.approx(r["n"] / n) for r in mine)
            cats = sum(r["n"] for r in mine if r["class"] == "cat")
            cat = next(r for r in mine if r["class"] == "cat")
            assert cat["share_of_class"] == pytest.approx(cat["n"] / cats)


@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize("per_cluster", [1, 3])
def test_levels_differ_by_what_is_exchanged_and_by_nothing_else(
    made: bool, per_cluster: int
) -> None:
    found = place_data(2400, per_cluster=per_cluster)
    options: dict[str, Any] = {"attribute": "place"}
    if made:
        found = metadata(
            2400,
            {"label": found.examples["label"]},
            clusters=found.examples["cluster_id"].to_pylist(),
            images=True,
        )
        options = {"attribute": "", "make": "colour", "values": ("blue", "orange", "pink")}
    plan = planned(found, levels=LEVELS if not made else (0.0, 0.3, 0.6, 0.8), **options)
    for split in ("train", "validation", "id_test"):
        tables = []
        for config in plan.configs:
            mine = groups(plan, config, split)
            tables.append({ident.partition("~")[0]: group for ident, group in mine.items()})
            assert len(tables[-1]) == len(mine)
        for before, after in pairwise(tables):
            n, m = Counter(before.values()), Counter(after.values())
            moved = sum(max(n[g] - m[g], 0) for g in n)
            assert moved > 0
            if made:
                assert before.keys() == after.keys()
                assert sum(before[i] != after[i] for i in before) == moved
            else:
                assert len(before.keys() - after.keys()) == moved
            assert len(before) == len(after)
            for part in (0, 1):  # the same classes, the same attribute values
                a, b = (
                    Counter(g.rstrip(")").split("(")[part] for g in t.values())
                    for t in (before, after)
                )
                assert a == b
    tests = [groups(plan, c, "ood_test") for c in plan.configs]
    assert all(t == tests[0] for t in tests)
    ties = [c.notes["cramers_v"]["train"] for c in plan.configs]
    assert ties[0] == pytest.approx(0, abs=1e-6)
    assert all(a < b for a, b in pairwise(ties))
    for config in plan.configs:
        assert config.notes["cramers_v"]["train"] == pytest.approx(
            config.notes["cramers_v_asked"], abs=0.01
        )
        assert config.notes["cramers_v"]["ood_test"] == 0


def test_at_level_0_nothing_is_shifted() -> None:
    plan = planned(place_data(), levels=(0.0,))
    (config,) = plan.configs
    for split in ("train", "validation", "id_test", "ood_test"):
        assert len(set(counted(plan, config, split).values())) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"levels": (0.2, 0.9), "reversed_test": True, "target_unlabeled": 0.1,
         "train_unlabeled": 0.1},
        {"cells": ("a:100,20/20,100",)},
        {"design": "imbalance", "class_shares": (0.8, 0.2), "attribute_shares": (0.3, 0.7)},
        {"design": "generalization", "held_out": ("cat(outdoor)",)},
        {"design": "rare", "rare": "dog(indoor)"},
    ],
)  # fmt: skip
def test_no_cluster_is_in_two_splits(options: dict[str, Any]) -> None:
    plan = planned(place_data(per_cluster=4), **options)
    clusters = np.array(plan.metadata.examples["cluster_id"].to_pylist())
    for config in plan.configs:
        seen: set[str] = set()
        for split in config.splits:
            mine = set(clusters[split.index])
            assert len(split.rows)
            assert not mine & seen
            seen |= mine
    assert plan.counts["clusters_in_several_groups"] > 0


def test_another_level_another_test_and_another_seed() -> None:
    found = place_data()
    alone = planned(found, levels=(0.6,), size=400)
    more = planned(found, levels=(0.0, 0.6, 0.9), size=400, reversed_test=True)
    other = planned(found, 1, levels=(0.6,), size=400)
    mine = {s.name: s for s in alone.configs[0].splits}
    beside = {s.name: s for s in more.configs[1].splits}
    beside["ood_test"] = beside.pop("ood_test_balanced")
    assert set(beside) == {*mine, "ood_test_reversed"}
    assert all(mine[n].rows.equals(beside[n].rows) for n in mine)
    assert not other.configs[0].splits[0].rows.equals(alone.configs[0].splits[0].rows)


def test_the_order_of_the_source_and_the_names_of_its_columns_do_not_matter() -> None:
    found = place_data()
    plan = planned(found, levels=(0.6,))
    renamed = found.examples.rename_columns(
        [{"label": "y", "place": "attribute"}.get(c, c) for c in found.examples.column_names]
    )
    other = metadata(1)
    own = Metadata(renamed, found.contexts, found.rejected, {}, "made")
    again = Subpopulations(Made(other), label="y", attribute="attribute", levels=(0.6,)).plan(
        own, 0
    )
    assert [s.index.tolist() for s in again.configs[0].splits] == [
        s.index.tolist() for s in plan.configs[0].splits
    ]
    assert "attribute" not in again.metadata.examples.column_names
    assert again.features(again.configs[0])


def test_the_reversed_test_and_the_unlabelled_target() -> None:
    for ratio, cats in ((0.0, 0.0), (0.5, 0.5), (1.0, 1.0)):
        plan = planned(
            place_data(),
            levels=(0.8,),
            reversed_test=True,
            target_unlabeled=0.15,
            train_unlabeled=0.1,
            target_ratio=ratio,
        )
        (config,) = plan.configs
        there = config.notes["groups"]
        train, turned = there["train"], there["ood_test_reversed"]
        assert turned["cat(outdoor)"] > turned["cat(indoor)"]
        assert train["cat(indoor)"] > train["cat(outdoor)"]
        target = there["target_unlabeled"]
        share = target["cat(indoor)"] / (target["cat(indoor)"] + target["cat(outdoor)"])
        assert share == pytest.approx(cats, abs=0.01)
        splits = {s.name: s for s in config.splits}
        for name in ("target_unlabeled", "train_unlabeled"):
            rows = splits[name].rows
            assert all(rows[c].null_count == len(rows) for c in ("label", "group", "subset"))
        assert splits["target_unlabeled"].shift == "subpopulation"
        assert splits["train_unlabeled"].shift == "none"


@pytest.mark.parametrize(
    ("options", "majority"),
    [
        ({"cells": ("anti:100,300/300,100",)}, {"cat": "outdoor", "dog": "indoor"}),
        ({"cells": ("lean:270,30/150,150",)}, {"cat": "indoor", "dog": "outdoor"}),
        (
            {"design": "generalization", "held_out": ("cat(indoor)",)},
            {"cat": "outdoor", "dog": "indoor"},
        ),
        (
            {"design": "rare", "rare": "cat(indoor)", "rare_shares": (0.5, 0.02)},
            {"cat": "outdoor", "dog": "indoor"},
        ),
    ],
)
@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.75, 1.0])
def test_the_unlabelled_target_has_the_ratio_of_what_training_ties(
    options: dict[str, Any], majority: dict[str, str], ratio: float
) -> None:
    plan = planned(place_data(), target_unlabeled=0.15, target_ratio=ratio, fit=True, **options)
    for config in plan.configs:
        target = config.notes["groups"]["target_unlabeled"]
        for name, value in majority.items():
            of_class = [n for group, n in target.items() if group.startswith(name)]
            assert target[f"{name}({value})"] / sum(of_class) == pytest.approx(ratio, abs=0.01)


def test_the_ratio_of_three_values_is_that_of_each_class() -> None:
    options: dict[str, Any] = {"make": "colour", "cells": ("three:20,60,20/60,20,20",)}
    found = metadata(1200, {"label": ["cat", "dog"] * 600}, images=True)
    tables = {}
    for ratio in (None, 0.0, 0.5, 1.0):
        plan = Subpopulations(
            Made(found), target_unlabeled=0.15, target_ratio=ratio, **options
        ).plan(found, 0)
        tables[ratio] = [*plan.configs[0].notes["groups"]["target_unlabeled"].values()]
    n = sum(tables[None]) // 6
    assert tables[None] == [n] * 6
    assert tables[1.0] == [0, 3 * n, 0, 3 * n, 0, 0]
    assert tables[0.0][1] == tables[0.0][3] == 0
    assert np.abs(np.array(tables[0.5])[[1, 3]] - 1.5 * n).max() <= 1


def test_imbalance_is_of_classes_or_of_attribute_values_never_of_both() -> None:
    plan = planned(
        place_data(), design="imbalance", class_shares=(0.8, 0.2), attribute_shares=(0.3, 0.7)
    )
    shares = {}
    for config in plan.configs:
        n = config.notes["groups"]["train"]
        total = sum(n.values())
        cats = n["cat(indoor)"] + n["cat(outdoor)"]
        inside = n["cat(indoor)"] + n["dog(indoor)"]
        shares[config.name] = (total, cats / total, inside / total)
        assert config.notes["cramers_v"]["train"] == pytest.approx(0, abs=1e-6)
        assert len(set(config.notes["groups"]["ood_test"].values())) == 1
    total = shares["balanced"][0]
    assert shares["balanced"][1:] == pytest.approx((0.5, 0.5))
    assert shares["attribute_imbalance"] == pytest.approx((total, 0.5, 0.3))
    assert shares["class_imbalance"] == pytest.approx((total, 0.8, 0.5))


def test_held_out_combinations_are_in_the_test_alone() -> None:
    found = place_data()
    plan = planned(found, design="generalization", held_out=("cat(outdoor)",))
    (config,) = plan.configs
    for split in ("train", "validation", "id_test"):
        there = counted(plan, config, split)
        assert set(there) == {"cat(indoor)", "dog(indoor)", "dog(outdoor)"}
        assert there["cat(indoor)"] == pytest.approx(there["dog(indoor)"] + there["dog(outdoor)"])
    everywhere = np.logical_and(
        np.array(found.examples["label"].to_pylist()) == "cat",
        np.array(found.examples["place"].to_pylist()) == "outdoor",
    )
    # Nobody else needs them: each is in the test.
    assert counted(plan, config, "ood_test") == {"cat(outdoor)": int(everywhere.sum())}


def test_a_rare_group_has_the_shares_asked_for_and_the_test_all_groups() -> None:
    plan = planned(place_data(), design="rare", rare="cat(outdoor)", rare_shares=(0.5, 0.1, 0.0))
    for config, share in zip(plan.configs, (0.5, 0.1, 0.0), strict=True):
        n = config.notes["groups"]["train"]
        cats = n["cat(indoor)"] + n["cat(outdoor)"]
        assert n["cat(outdoor)"] / cats == pytest.approx(share, abs=1 / cats)
        assert n["dog(indoor)"] == n["dog(outdoor)"] == cats / 2
        assert min(config.notes["groups"]["ood_test"].values()) > 0


def test_contexts_are_an_attribute_joined_as_asked() -> None:
    rng = np.random.default_rng(0)
    n = 1200
    subject = rng.choice(["cat", "dog"], n)
    seen = rng.choice(["sofa", "bed", "grass", "bench", "cup"], n)
    both = rng.random(n) < 0.1
    pairs = [(i, str(subject[i]), str(seen[i])) for i in range(n)]
    pairs += [(i, str(subject[i]), "bed") for i in range(n) if both[i]]
    found = metadata(n, contexts=pairs)
    plan = planned(
        found, attribute="context", values=("in=sofa+bed", "out=grass+bench"), levels=(0.5,)
    )
    (config,) = plan.configs
    of = {f"e{i:05d}": {s for j, _, s in pairs if j == i} for i in range(n)}
    for ident, group in groups(plan, config, "train").items():
        inside = bool(of[ident] & {"sofa", "bed"})
        outside = bool(of[ident] & {"grass", "bench"})
        assert (inside, outside) == (("(in)" in group), ("(out)" in group))


def test_the_label_column_may_be_grouped_in_two_ways() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.choice(["airplane", "bird", "car", "horse"], 2000)
    found = metadata(2000, {"label": kinds.tolist()})
    plan = planned(
        found,
        attribute="label",
        classes=("air=airplane+bird", "land=car+horse"),
        values=("machine=airplane+car", "animal=bird+horse"),
        cells=(f"weak:{'3500,1500/2500,2500'}",),
        fit=True,
    )
    (config,) = plan.configs
    n = config.notes["groups"]["train"]
    assert n["air(machine)"] / n["air(animal)"] == pytest.approx(7 / 3)
    assert n["land(machine)"] == n["land(animal)"]
    names = {"air(machine)": "airplane", "air(animal)": "bird", "land(machine)": "car",
             "land(animal)": "horse"}  # fmt: skip
    for ident, group in groups(plan, config, "id_test").items():
        assert kinds[int(ident[1:])] == names[group]
    assert "of 10000 training examples" in config.notes["scaled"]


def test_fit_takes_the_largest_size_in_the_same_proportions() -> None:
    found = place_data(share=0.2)
    tables = ("a:3000,1000/2000,2000", "b:3500,500/1500,2500")
    with pytest.raises(ConfigurationError, match=r"cat\(outdoor\) 1000 \(there are \d+\).*--fit"):
        planned(found, cells=tables)
    plan = planned(found, cells=tables, fit=True)
    made = [np.array(list(c.notes["groups"]["train"].values())) for c in plan.configs]
    units = np.array([[6, 2, 4, 4], [7, 1, 3, 5]])  # the tables over their common divisor, 500
    times = made[0][0] // 6
    assert times > 1
    assert [m.tolist() for m in made] == (units * times).tolist()
    too_many = tuple("{},{}/{},{}".format(*row) for row in (units * (times + 1)).tolist())
    with pytest.raises(ConfigurationError, match="cannot be filled"):
        planned(found, cells=too_many)


def test_a_size_with_an_empty_cell_is_no_size_in_the_same_proportions() -> None:
    found = place_data(600)
    table = found.examples.to_pydict()
    kept = [i for i in range(600) if (table["label"][i], table["place"][i]) != ("cat", "outdoor")]
    own = Metadata(found.examples.take(kept), found.contexts, found.rejected, {}, "made")
    for fit in (False, True):
        with pytest.raises(ConfigurationError, match=r"cat\(outdoor\) 20 .* no size in these"):
            planned(own, cells=("a:60,20/20,60",), fit=fit)
    with pytest.raises(ConfigurationError, match="size is 3, too few for the cell table 'a'"):
        planned(found, cells=("a:6,2/2,6",), size=3)
    small = planned(found, cells=("a:95,5/5,95",), size=10)
    assert "too few for a Cramér's V of 0.9: it is 0.600" in small.configs[0].notes["warnings"][0]


def test_combinations_of_names_with_brackets_are_found() -> None:
    found = place_data(600)
    renamed = ["far (out)" if p == "outdoor" else p for p in found.examples["place"].to_pylist()]
    at = found.examples.schema.get_field_index("place")
    own = Metadata(
        found.examples.set_column(at, "place", [renamed]), found.contexts, found.rejected, {}, "m"
    )
    plan = planned(own, design="rare", rare="cat(far (out))", rare_shares=(0.1,))
    assert "cat(far (out))" in plan.configs[0].notes["groups"]["train"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "needs either tables"),
        ({"cells": ("1,2/3,4",), "levels": (0.5,)}, "either tables"),
        ({"attribute": "", "levels": (0.5,)}, "name the attribute"),
        ({"make": "colour", "levels": (0.5,)}, "one of the two"),
        ({"levels": (1.2,)}, "from 0 to 1"),
        ({"levels": (float("nan"),)}, "from 0 to 1"),
        ({"levels": (0.5, 0.5)}, "twice"),
        ({"levels": (0.5,), "validation": 0.5, "test": 0.3}, "leave nothing to train on"),
        ({"levels": (0.5,), "test": 0.0}, "test above 0"),
        ({"levels": (0.5,), "attribute": "placce"}, "did you mean 'place'"),
        ({"levels": (0.5,), "attribute": "x"}, "real numbers"),
        ({"levels": (0.5,), "attribute": "same"}, "the one value 'here'"),
        ({"levels": (0.5,), "values": ("indoor", "outdor")}, "did you mean 'outdoor'"),
        ({"levels": (0.5,), "classes": ("cat", "dgo")}, "did you mean 'dog'"),
        ({"levels": (0.5,), "label": "same"}, "at least 2"),
        ({"levels": (0.9,), "attribute_shares": (0.9, 0.1)}, r"the largest is 0\.3333"),
        ({"levels": (0.5,), "attribute_shares": (0.9, 0.1, 0.1)}, "one each"),
        ({"levels": (0.5,), "size": 10**6}, "the largest is"),
        ({"cells": ("5,5,5/5,5,5",)}, "3 columns, but there are"),
        ({"cells": ("99999,1/1,1",)}, r"cat\(indoor\) 99999 \(there are"),
        ({"design": "imbalance"}, "needs --attribute-shares or --class-shares"),
        ({"design": "generalization"}, "needs --held-out"),
        ({"design": "generalization", "held_out": ("cat(moon)",)}, "no attribute value 'moon'"),
        ({"design": "generalization", "held_out": ("cat(indoor)", "cat(outdoor)")}, "leaves no"),
        ({"design": "generalization", "held_out": ("cat(indoor)", "dog(indoor)")}, "leaves no"),
        ({"design": "rare"}, "needs --rare"),
        ({"design": "rare", "rare": "cow(indoor)"}, "no class 'cow'"),
        ({"design": "rare", "rare": "cat(indoor)", "reversed_test": True}, "reversed_test"),
        ({"levels": (0.5,), "target_ratio": 1.5}, "target_ratio"),
        (
            {"design": "imbalance", "class_shares": (0.9, 0.1), "target_ratio": 0.2},
            "target_ratio is 0.2.*independent",
        ),
        ({"levels": (0.5,), "make": "colour", "attribute": ""}, "gives no column of images"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(options: dict[str, Any], said: str) -> None:
    found = place_data(600)
    examples = found.examples.append_column("same", [["here"] * 600])
    own = Metadata(examples, found.contexts, found.rejected, {}, "made")
    with pytest.raises(ConfigurationError, match=said):
        planned(own, **options)


def test_a_group_without_examples_is_named() -> None:
    found = place_data(600)
    table = found.examples.to_pydict()
    kept = [i for i in range(600) if (table["label"][i], table["place"][i]) != ("cat", "outdoor")]
    examples = found.examples.take(kept)
    own = Metadata(examples, found.contexts, found.rejected, {}, "made")
    with pytest.raises(ConfigurationError, match=r"cat\(outdoor\) \d+ \(there are 0\)"):
        planned(own, levels=(0.5,))
    with pytest.raises(ConfigurationError, match=r"cat\(outdoor\) 5 \(there are 0\)"):
        planned(own, cells=("5,5/5,5",))


def test_missing_labels_and_attributes_are_left_out_and_counted() -> None:
    found = place_data(1000)
    label, place = found.examples["label"].to_pylist(), found.examples["place"].to_pylist()
    label[:30] = [None] * 30
    place[20:70] = [" "] * 50
    plan = planned(metadata(1000, {"label": label, "place": place}), levels=(0.5,))
    assert plan.counts["examples_without_a_class"] == 30
    assert plan.counts["examples_without_the_attribute"] == 40
    assert len(plan.metadata.examples) == 930


def test_the_made_attribute_is_on_the_image(tmp_path: Any) -> None:
    builder = Subpopulations(
        Digits(), make="colour", classes=PARITY, levels=(0.0, 0.9), validation=0.2, size=300
    )
    bench = sb.build(builder, tmp_path / "out", seed=3, measure=False)
    seen: dict[str, set[str]] = {}
    for config in ("v_0", "v_0_9"):
        for split in ("train", "id_test", "ood_test"):
            for row in bench.load(config, split).select(range(60)):
                figure = np.asarray(row["image"]).astype(int).sum(axis=(0, 1))
                colour = "blue" if figure[2] > figure[0] else "orange"
                assert row["attribute"] == colour
                name = ("even", "odd")[row["label"]]
                assert row["group"] == f"{name}({colour})"
                seen.setdefault(row["example_id"].partition("~")[0], set()).add(colour)
    assert any(
        len(c) == 2 for c in seen.values()
    )  # one digit, blue at one level, orange at another
    bench.verify()
    manifest = bench.manifest.configs["v_0_9"]
    assert manifest.notes["cramers_v"]["train"] == pytest.approx(0.9, abs=0.01)


def test_every_preset_plans_on_digits() -> None:
    found = Digits().scan()
    for name, preset in Subpopulations.presets.items():
        options = {k: v for k, v in preset.items() if k != "source"}
        if "make" not in options:
            options |= {"make": "marker", "classes": PARITY}
        plan = Subpopulations(Digits(), **options).plan(found, 0)
        assert all(len(s.rows) for c in plan.configs for s in c.splits), name
        ties = [c.notes["cramers_v"]["train"] for c in plan.configs]
        assert all(a < b for a, b in pairwise(ties)), name


def test_colored_digits_of_the_shared_data(shared_data: Any) -> None:
    from shiftbench.sources import IdxImages

    files = sorted((shared_data / "digits").glob("*idx*"))
    images = next(str(f) for f in files if "images" in f.name)
    labels = next(str(f) for f in files if "labels" in f.name)
    source = IdxImages(images=images, labels=labels)
    options = {k: v for k, v in Subpopulations.presets["colored_digits"].items() if k != "source"}
    plan = Subpopulations(source, **options).plan(source.scan(), 0)
    assert [c.notes["cramers_v_asked"] for c in plan.configs] == list(options["levels"])
    for config in plan.configs:
        asked = config.notes["cramers_v_asked"]
        assert config.notes["cramers_v"]["train"] == pytest.approx(asked, abs=0.001)
        assert sum(config.notes["groups"]["train"].values()) > 4500


def test_counter_contexts_and_densities_are_designs_of_the_same_builder() -> None:
    rng = np.random.default_rng(0)
    n = 1200
    label, place = rng.choice(["cat", "dog"], n), rng.choice(["indoor", "outdoor"], n)
    right = rng.random(n) < np.where(place == "indoor", 0.9, 0.5)
    found = metadata(
        n,
        {
            "label": label.tolist(),
            "place": place.tolist(),
            "correct": right.astype(int),
            "mask_share": rng.choice([0.0, 0.2], n),
        },
    )
    plan = planned(found, design="counter", reference="correct")
    (config,) = plan.configs
    assert {"id_test", "ood_test"} <= {s.name for s in config.splits}
    assert "counter_contexts" in plan.tables
    names = {"attribute": ""}
    for design in ("density", "adawac"):
        plan = planned(found, design=design, variants=("full", "dense"), label="label", **names)
        assert len(plan.configs) == 2
        assert all(c.notes["held"] for c in plan.configs)
