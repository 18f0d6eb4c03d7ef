"""The plan of the corruption family: which examples, which ids, what is held."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from shiftbench.builders import Corruptions
from shiftbench.builders.corruption.choice import choose
from shiftbench.errors import ConfigurationError
from shiftbench.registry import CORRUPTIONS
from shiftbench.sources import Scenes
from shiftbench.transforms.corruption import corruption_named
from tests.builders.pictures import Pictures

STEPS = ("fog=2", "fog=4", "jpeg:40", "gaussian_noise")


def planned(source=None, seed=0, excluded=frozenset(), **options):
    builder = Corruptions(source or Pictures(), **{"corruptions": STEPS, **options})
    return builder.plan(builder.source.scan(), seed, excluded)


def splits(plan):
    return {s.name: s for s in plan.configs[0].splits}


def column(plan, split, name):
    return plan.metadata.examples[name].take(pa.array(split.index)).to_pylist()


def test_splits_and_their_roles() -> None:
    found = splits(planned())
    tests = [f"ood_test_{t}" for t in ("fog_2", "fog_4", "jpeg_at_40")]
    tests += [f"ood_test_gaussian_noise_{k}" for k in range(1, 6)]
    assert list(found) == ["train", "validation", "id_test", "ood_validation", *tests]
    for name in tests:
        assert (found[name].role, found[name].shift, found[name].flag) == (
            "ood_test", "covariate", "both",
        )  # fmt: skip
    assert (found["id_test"].shift, found["ood_validation"].shift) == ("none", "covariate")
    assert found["ood_test_fog_4"].title == "fog: severity 4, 1.4 (mean optical depth)"


def test_tests_show_the_examples_of_id_test_again() -> None:
    """P(y) is held fixed exactly: the same examples, labels and clusters."""
    plan = planned(Pictures(n=90, each=2))
    found = splits(plan)
    clean = found["id_test"]
    for name, split in found.items():
        if not name.startswith("ood_test"):
            continue
        slug = name.removeprefix("ood_test_")
        ids = column(plan, clean, "example_id")
        assert column(plan, split, "example_id") == [f"{i}~{slug}" for i in ids]
        assert column(plan, split, "unchanged_id") == ids
        assert column(plan, split, "cluster_id") == column(plan, clean, "cluster_id")
        assert column(plan, split, "site") == column(plan, clean, "site")
        assert split.rows["label"] == clean.rows["label"]


def test_what_was_done_stands_beside_each_example() -> None:
    plan = planned()
    found = splits(plan)
    told = {
        name: {
            tuple(row.values())
            for row in s.rows.select(["corruption", "severity", "parameter"]).to_pylist()
        }
        for name, s in found.items()
    }
    assert told["train"] == told["id_test"] == {("none", 0, None)}
    assert told["ood_test_fog_2"] == {("fog", 2, 0.7)}
    assert told["ood_test_jpeg_at_40"] == {("jpeg", None, 40.0)}
    steps = plan.configs[0].notes["steps"]
    assert steps["ood_test_jpeg_at_40"]["parameter"] == 40
    assert set(steps) == {n for n in found if n.startswith("ood_test")}
    for name, step in steps.items():
        assert {(step["change"], step["parameter"])} == {(c, p) for c, _, p in told[name]}


def test_no_cluster_is_in_two_parts() -> None:
    plan = planned(Pictures(n=120, each=3))
    parts = [
        set(column(plan, splits(plan)[name], "cluster_id"))
        for name in ("train", "validation", "id_test", "ood_validation")
    ]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 40


def test_ood_validation_has_each_example_once_and_all_its_corruptions() -> None:
    plan = planned(Pictures(n=1000))
    split = splits(plan)["ood_validation"]
    unchanged = column(plan, split, "unchanged_id")
    assert len(set(unchanged)) == len(unchanged) == 100
    done = list(zip(*(split.rows[c].to_pylist() for c in ("corruption", "severity")), strict=True))
    assert {done.count(d) for d in done} == {5}
    assert {c for c, _ in done} == {"translate", "rotate", "scale", "shear"}


@pytest.mark.parametrize(
    ("tested", "kept"),
    [
        (("fog",), "geometric"),
        (("geometric", "noise"), "digital"),
        (("geometric", "digital", "weather"), "blur"),
        (("all",), None),
    ],
)
def test_auto_takes_a_family_that_no_test_is_of(tested, kept) -> None:
    found = choose(tested, ("auto",))
    assert {corruption_named(s.name).family for s in found.validation} == (
        {kept} if kept else set()
    )
    assert not found.shared


def test_families_on_both_sides_are_told() -> None:
    plan = planned(ood_validation=("imagenet_c_extra",))
    (warning,) = plan.configs[0].notes["warnings"]
    assert "of the same families (weather, digital, noise)" in warning
    assert "warnings" not in planned().configs[0].notes


def test_another_corruption_leaves_the_other_splits_alone() -> None:
    few, many = planned(corruptions=("fog=2",)), planned(corruptions=("fog", "noise", "rain:0.3"))
    for name in splits(few):
        assert column(few, splits(few)[name], "example_id") == column(
            many, splits(many)[name], "example_id"
        )
        assert column(few, splits(few)[name], "locator") == column(
            many, splits(many)[name], "locator"
        )


def test_all_corruptions_at_once() -> None:
    plan = planned(Pictures(n=40), corruptions=("all",))
    assert len(plan.configs[0].splits) == 3 + 5 * len(CORRUPTIONS)
    ids = plan.metadata.examples["example_id"].to_pylist()
    assert len(set(ids)) == len(ids) == 40 + 12 * 130


def test_an_example_that_cannot_be_used_goes_with_all_its_copies() -> None:
    plan = planned()
    gone = column(plan, splits(plan)["ood_test_fog_4"], "example_id")[3]
    again = planned(excluded=frozenset({gone}))
    ids = again.metadata.examples["example_id"].to_pylist()
    assert not [i for i in ids if i.startswith(gone.partition("~")[0])]
    assert again.metadata.unit == "unchanged_id"


def test_the_order_of_rows_is_that_of_examples_with_their_copies_behind_them() -> None:
    examples = planned().metadata.examples
    unchanged = examples["unchanged_id"].to_pylist()
    assert unchanged == sorted(unchanged)
    first = [
        i for i, (a, b) in enumerate(zip([None, *unchanged], unchanged, strict=False)) if a != b
    ]
    assert examples["example_id"].take(pa.array(first)).to_pylist() == sorted(set(unchanged))


def test_the_seed_divides() -> None:
    one, two = (set(column(p, splits(p)["id_test"], "example_id"))
                for p in (planned(seed=0), planned(seed=1)))  # fmt: skip
    assert one != two
    assert planned(seed=0).hash == planned(seed=0).hash


def test_division_is_exchangeable_by_class_and_site() -> None:
    """Over seeds, how many of each site are tested is as a sample without replacement has it."""
    source = Pictures(n=240, each=2)
    metadata = source.scan()
    sites = metadata.examples["site"].to_pylist()
    shares = []
    for seed in range(100):
        plan = Corruptions(source, corruptions=("fog=1",)).plan(metadata, seed)
        tested = set(column(plan, splits(plan)["id_test"], "example_id"))
        at_site = [e in tested for e, s in zip(metadata.examples["example_id"].to_pylist(), sites,
                                               strict=True) if s == "s0"]  # fmt: skip
        shares.append(np.mean(at_site))
    # 36 of 120 clusters, of 40 at the site: hypergeometric.
    deviation = np.sqrt(0.3 * 0.7 / 40 * (80 / 119))
    assert np.mean(shares) == pytest.approx(0.3, abs=4 * deviation / 10)
    assert np.std(shares) == pytest.approx(deviation, rel=0.35)


def test_drawn_scenes_have_their_class_from_contexts() -> None:
    plan = planned(Scenes(n_scenes=300, size=32), classes=("cat", "dog"))
    assert plan.configs[0].features["label"].names == ("cat", "dog")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"corruptions": ()}, "no corruption is asked for"),
        ({"corruptions": ("fogg",)}, "did you mean 'fog'"),
        ({"corruptions": "fog"}, "corruptions is the text 'fog'; give a list"),
        ({"corruptions": ("fog=0",)}, "fog=0 changes nothing"),
        ({"corruptions": ("contrast:1",)}, "contrast:1 changes nothing"),
        ({"corruptions": ("fog", "fog=2")}, "fog=2 is asked for twice"),
        ({"ood_validation": ("fog=1",)}, "fog is tested and in ood_validation"),
        ({"ood_validation": ("auto", "fog")}, "auto and none stand alone"),
        ({"test": 0.0}, "test is 0.0; allowed: between 0 and 1"),
        ({"validation": 0.4, "test": 0.3}, "leave nothing to train on"),
    ],
)
def test_bad_options(options, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Corruptions(Pictures(), **{"corruptions": STEPS, **options})


@pytest.mark.parametrize(
    ("source", "options", "said"),
    [
        (Pictures(content="text"), {}, "the source gives no column of images"),
        (Pictures(columns=("severity",)), {}, "has a column 'severity'"),
        (Pictures(), {"label": "sight"}, "did you mean 'site'"),
        (Pictures(), {"classes": ("bright",)}, "at least 2"),
        (Pictures(n=3), {}, "too few"),
        (Pictures(columns=("constant",)), {"label": "constant"}, "the value 'x'"),
    ],
)
def test_bad_sources(source, options, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        planned(source, **options)
