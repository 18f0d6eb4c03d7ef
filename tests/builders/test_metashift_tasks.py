from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftbench.builders import MetaShift
from shiftbench.builders.metashift.presets import preset_task
from shiftbench.builders.metashift.subpopulation import _cells
from shiftbench.builders.metashift.tasks import (
    DomainGeneralization,
    SubpopulationShift,
    split_name,
    subject_of,
)
from shiftbench.errors import ConfigurationError
from shiftbench.sources import Scenes

from .helpers import Literal, objects


def plan_task(source, task, seed=0, **options):
    builder = MetaShift(source, min_size=1, min_subsets=1, tasks=[task], **options)
    made = builder.plan(source.scan(), seed, frozenset())
    return made, made.configs[0]


def ids(made, split):
    return made.metadata.examples["example_id"].take(split.rows["example"]).to_pylist()


def by_name(config):
    return {s.name: s for s in config.splits}


PETS = st.lists(
    st.tuples(
        st.sampled_from(["cat", "dog", "cat dog"]),
        st.sets(st.sampled_from(["sofa", "bed", "shelf", "grass", "car"]), max_size=3),
        st.integers(0, 6),
    ),
    min_size=1,
    max_size=60,
)


def pets(images) -> Literal:
    base = objects(
        **{f"i{n:03d}": " ".join([*a.split(), *sorted(c)]) for n, (a, c, _) in enumerate(images)}
    )
    clusters = tuple((f"i{n:03d}", f"c{k}") for n, (_, _, k) in enumerate(images) if k)
    return Literal(base.images, clusters)


TASK = DomainGeneralization(
    name="pets",
    train={"cat(sofa)": ("sofa", "bed"), "dog(sofa)": ("sofa",), "dog(bed)": ("bed",)},
    test={"shelf": {"cat(shelf)": ("shelf",), "dog(shelf)": ("shelf",)}},
    further_test={"grass": {"cat(grass)": ("grass",), "dog(grass)": ("grass",)}},
    ood_validation={"cat(car)": ("car",), "dog(car)": ("car",)},
    validation=0.2,
    id_test=0.2,
    fit=True,
)


@settings(max_examples=80)
@given(PETS, st.integers(0, 3))
def test_domain_generalization_against_its_definition(images, seed):
    source = pets(images)
    try:
        made, config = plan_task(source, TASK, seed)
    except ConfigurationError:
        return  # a class without a training image: said, and tested below
    metadata = made.metadata
    cluster = dict(
        zip(
            metadata.examples["example_id"].to_pylist(),
            metadata.examples["cluster_id"].to_pylist(),
            strict=True,
        )
    )
    holds = {f"i{n:03d}": set(a.split()) for n, (a, _, _) in enumerate(images)}
    contexts = {f"i{n:03d}": c for n, (_, c, _) in enumerate(images)}
    where: dict[str, str] = {}
    owner: dict[str, str] = {}
    labels = config.features["label"].names
    assert labels == ("cat", "dog")
    wanted = {
        "train": TASK.train, "validation": TASK.train, "id_test": TASK.train,
        "ood_validation": TASK.ood_validation, "ood_test_shelf": TASK.test["shelf"],
        "ood_test_grass": TASK.further_test["grass"],
    }  # fmt: skip
    for split in config.splits:
        for example, row in zip(ids(made, split), split.rows.to_pylist(), strict=True):
            assert where.setdefault(example, split.name) == split.name
            assert owner.setdefault(cluster[example], split.name) == split.name
            assert holds[example] == {labels[row["label"]]}
            expected = [
                u
                for u, named in wanted[split.name].items()
                if subject_of(u) == labels[row["label"]] and contexts[example] & set(named)
            ]
            assert row["subset"] == expected != []
    # Nothing that the first test set could have is anywhere else.
    for example, has in contexts.items():
        if holds[example] in ({"cat"}, {"dog"}) and "shelf" in has:
            assert where[example] == "ood_test_shelf"


def test_the_roles_shifts_and_flags_of_a_task():
    source = objects(
        a="cat sofa",
        b="dog sofa",
        c="cat shelf",
        d="dog shelf",
        e="cat sofa shelf",
        f="cat dog sofa",
    )
    task = DomainGeneralization(
        name="Cat & dog",
        train={"cat(sofa)": ("sofa",), "dog(sofa)": ("sofa",)},
        test={"shelf": {"cat(shelf)": ("shelf",), "dog(shelf)": ("shelf",)}},
        validation=0,
        id_test=0,
    )
    made, config = plan_task(source, task)
    assert config.name == "cat_dog"
    assert {s.name: (s.role, s.shift, s.flag) for s in config.splits} == {
        "train": ("train", "none", "accept"),
        "ood_test": ("ood_test", "covariate", "accept"),
    }
    assert ids(made, by_name(config)["train"]) == ["a", "b"]
    assert ids(made, by_name(config)["ood_test"]) == ["c", "d", "e"]
    assert config.notes["left_out_two_classes"] == 1
    assert config.notes["groups"]["ood_test"] == {"cat(shelf)": 2, "dog(shelf)": 1}


def test_a_context_without_image_is_an_error_or_with_fit_a_note():
    source = objects(a="cat sofa", b="dog sofa", c="cat shelf", d="dog shelf")
    options = {
        "name": "t",
        "train": {"cat(sofa)": ("sofa", "sofaa"), "dog(sofa)": ("sofa",)},
        "test": {"s": {"cat(shelf)": ("shelf",), "dog(shelf)": ("shelf",)}},
    }
    with pytest.raises(ConfigurationError, match=r"cat\(sofaa\).*did you mean 'cat\(sofa\)'"):
        plan_task(source, DomainGeneralization(**options))
    _, config = plan_task(source, DomainGeneralization(**options, fit=True))
    assert config.notes["contexts_without_image"] == ["cat(sofaa)"]


def test_a_class_that_is_left_with_nothing_says_so():
    source = objects(a="cat sofa shelf", b="dog sofa", c="dog shelf", d="cat shelf")
    task = DomainGeneralization(
        name="t",
        train={"cat(sofa)": ("sofa",), "dog(sofa)": ("sofa",)},
        test={"s": {"cat(shelf)": ("shelf",), "dog(shelf)": ("shelf",)}},
    )
    with pytest.raises(ConfigurationError, match="no image of 'cat' is left for 'train'"):
        plan_task(source, task)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train": {}}, "at least one set"),
        ({"validation": 0.6, "id_test": 0.5}, "leave some to train on"),
        ({"test": {"s": {"bird(shelf)": ("shelf",)}}}, "trains on"),
        ({"train": {"cat": ("sofa",)}}, r"class\(context\)"),
        ({"further_test": {"s": {"cat(x)": ("x",)}}}, "name them apart"),
    ],
)
def test_tasks_that_cannot_be(change, said):
    options = {
        "name": "t",
        "train": {"cat(sofa)": ("sofa",)},
        "test": {"s": {"cat(shelf)": ("shelf",)}},
    }
    with pytest.raises(ConfigurationError, match=said):
        DomainGeneralization(**{**options, **change})


def two_groups(n: dict[str, int], mixed: int = 0) -> Literal:
    images = {}
    for key, count in n.items():
        animal, place = key.split("_")
        thing = "sofa" if place == "in" else "grass"
        for i in range(count):
            images[f"{key}{i:04d}"] = f"{animal} {thing}"
    for i in range(mixed):
        images[f"mixed{i:04d}"] = "cat sofa grass"
    return objects(**images)


SHIFT = SubpopulationShift(
    name="in or out",
    majority={"cat(in)": ("sofa",), "dog(out)": ("grass",)},
    minority={"cat(out)": ("grass",), "dog(in)": ("sofa",)},
    n_minority=10,
    train_per_class=85,
    validation_per_group=4,
    test_per_group=14,
)
ENOUGH = {"cat_in": 100, "dog_out": 110, "cat_out": 40, "dog_in": 30}


def cells(config):
    return {
        s.name: dict(sorted(Counter(s.rows["group"].to_pylist()).items())) for s in config.splits
    }


def test_subpopulation_cells_are_exact():
    made, config = plan_task(two_groups(ENOUGH), SHIFT)
    even = ["cat(in)", "cat(out)", "dog(in)", "dog(out)"]
    assert cells(config) == {
        "train": {"cat(in)": 75, "cat(out)": 10, "dog(in)": 10, "dog(out)": 75},
        "validation": dict.fromkeys(even, 4),
        "ood_test": dict.fromkeys(even, 14),
    }
    assert {s.name: s.shift for s in config.splits} == {
        "train": "none", "validation": "subpopulation", "ood_test": "subpopulation",
    }  # fmt: skip
    everything = [i for s in config.splits for i in ids(made, s)]
    assert len(everything) == len(set(everything))
    assert config.notes["minority_share"] == {"cat": 10 / 85, "dog": 10 / 85}
    for split in config.splits:
        for row in split.rows.to_pylist():
            assert row["subset"] == [row["group"]]
            assert config.features["label"].names[row["label"]] == subject_of(row["group"])


def test_the_published_sizes_when_the_source_has_them():
    full = SubpopulationShift(
        name="full", majority=SHIFT.majority, minority=SHIFT.minority, validation_per_group=25
    )
    source = two_groups({"cat_in": 1019, "dog_out": 1019, "cat_out": 294, "dog_in": 294})
    _, config = plan_task(source, full)
    assert cells(config)["train"] == {
        "cat(in)": 750,
        "cat(out)": 100,
        "dog(in)": 100,
        "dog(out)": 750,
    }
    assert set(cells(config)["ood_test"].values()) == {144}


def test_smaller_minorities_are_parts_of_larger_ones_and_the_tests_stay():
    source = two_groups({**ENOUGH, "cat_in": 110})
    taken = {}
    for n in (2, 5, 10):
        task = SubpopulationShift(**{**_fields(SHIFT), "n_minority": n})
        made, config = plan_task(source, task)
        taken[n] = {name: set(ids(made, s)) for name, s in by_name(config).items()}
        minority = {i for i in taken[n]["train"] if i.startswith(("cat_out", "dog_in"))}
        assert len(minority) == 2 * n
        taken[n]["minority"] = minority
    assert taken[2]["minority"] < taken[5]["minority"] < taken[10]["minority"]
    assert taken[2]["ood_test"] == taken[5]["ood_test"] == taken[10]["ood_test"]
    assert taken[2]["validation"] == taken[10]["validation"]


def _fields(task):
    return {name: getattr(task, name) for name in task.__dataclass_fields__}


def test_too_few_says_what_is_there_and_fit_takes_the_largest():
    source = two_groups({**ENOUGH, "dog_in": 20})
    with pytest.raises(ConfigurationError, match=r"needs .*dog\(in\) 28.*has .*dog\(in\) 20"):
        plan_task(source, SHIFT)
    _, config = plan_task(source, SubpopulationShift(**{**_fields(SHIFT), "fit": True}))
    got = cells(config)
    assert len(set(got["ood_test"].values())) == len(set(got["validation"].values())) == 1
    assert got["train"]["cat(in)"] == got["train"]["dog(out)"]
    used = sum(got[s]["dog(in)"] for s in got)
    assert 17 <= used <= 20
    assert config.notes["fitted"]


@pytest.mark.parametrize(("overlap", "group"), [("minority", {"cat(out)"}), ("drop", set())])
def test_images_with_contexts_of_both_groups(overlap, group):
    source = two_groups({**ENOUGH, "cat_out": 25}, mixed=30)
    task = SubpopulationShift(**{**_fields(SHIFT), "overlap": overlap, "fit": True})
    made, config = plan_task(source, task)
    found = {
        r["group"]
        for s in config.splits
        for i, r in zip(ids(made, s), s.rows.to_pylist(), strict=True)
        if i.startswith("mixed")
    }
    assert found == group
    assert config.notes["images_with_contexts_of_both_groups"] == {"cat": 30, "dog": 0}


def test_clusters_stay_in_one_split():
    base = two_groups(ENOUGH)
    clusters = tuple((i, f"p{n // 4}") for n, (i, _) in enumerate(base.images))
    made, config = plan_task(Literal(base.images, clusters), SHIFT)
    owner = {}
    for split in config.splits:
        rows = made.metadata.examples["cluster_id"].take(split.rows["example"]).to_pylist()
        for cluster in rows:
            assert owner.setdefault(cluster, split.name) == split.name


@pytest.mark.parametrize(
    "change",
    [
        {"n_minority": 90},
        {"test_per_group": 0},
        {"overlap": "both"},
        {"minority": {"cat(out)": ("grass",)}},
    ],
)
def test_subpopulation_options_that_cannot_be(change):
    with pytest.raises(ConfigurationError):
        SubpopulationShift(**{**_fields(SHIFT), **change})


def test_published_presets_have_the_published_contexts():
    first = preset_task("cat_dog_1")
    assert first.train["cat(sofa)"] == ("cup", "sofa", "chair")
    assert first.classes == ("cat", "dog")
    shift = preset_task("cat_dog_indoor_outdoor")
    assert (shift.train_per_class, shift.n_minority, shift.test_per_group) == (850, 100, 144)
    assert len(shift.minority["dog(indoor)"]) == 27


@pytest.fixture(scope="module")
def scenes_plan():
    source = Scenes(n_scenes=1500)
    tasks = ["cat_dog_1", "cat_dog_2", "cat_dog_3", "cat_dog_4", "cat_dog_indoor_outdoor"]
    builder = MetaShift(source, classes=["cat", "dog"], min_size=10, tasks=tasks, fit=True)
    return builder, builder.plan(source.scan(), 0, frozenset())


def test_every_preset_fills_on_scenes(scenes_plan):
    _, made = scenes_plan
    tasks = [c for c in made.configs if c.kind == "task"]
    assert [c.name for c in tasks][-1] == "cat_dog_indoor_outdoor"
    for config in tasks[:4]:
        assert "contexts_without_image" not in config.notes
        split = by_name(config)
        for name, least in (("train", 50), ("ood_test_shelf", 30), ("ood_test_grass", 30)):
            counts = Counter(split[name].rows["label"].to_pylist())
            assert min(counts[0], counts[1]) >= least, (config.name, name, counts)


def test_distances_of_tasks_and_of_subsets(scenes_plan):
    builder, made = scenes_plan
    table, _ = builder.measure(made)
    of_tasks = table.filter(pc.is_valid(table["config"])).to_pylist()
    assert {r["config"] for r in of_tasks} == {f"cat_dog_{i}" for i in range(1, 5)}
    assert {r["distance"] for r in of_tasks} == {
        "overlap_distance", "resistance_distance", "spectral_metashift",
    }  # fmt: skip
    between = table.filter(pc.is_null(table["config"]))
    assert set(between["distance"].to_pylist()) == {
        "overlap_distance", "jaccard_distance", "spectral_metashift", "resistance_distance",
    }  # fmt: skip
    n = Counter(r["class"] for r in made.tables["subsets"].to_pylist())
    pairs = sum(k * (k - 1) // 2 for k in n.values())
    assert len(between) == 4 * pairs


TRAIN = {"cat(h)": ["sofa"], "dog(h)": ["sofa"]}
TEST = {"s": {"cat(s)": ["lamp"], "dog(s)": ["lamp"]}}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cat(sofa)", ("cat", "sofa")),
        ("cat (sofa)", ("cat", "sofa")),
        ("crane (bird)(water)", ("crane (bird)", "water")),
        ("cat(ski (pole))", ("cat", "ski (pole)")),
        ("cat(a)b)", ("cat", "a)b")),
    ],
)
def test_a_name_is_split_at_its_last_bracket(name, expected):
    assert split_name(name) == expected


@pytest.mark.parametrize("name", ["cat", "(sofa)", "cat(sofa", "", 3])
def test_what_is_no_name(name):
    with pytest.raises(ConfigurationError, match="class"):
        split_name(name)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"test": {"train": TEST["s"]}}, "called 'train'"),
        ({"test": {"ood_validation": TEST["s"]}}, "called 'ood_validation'"),
        ({"further_test": {"train": TEST["s"]}}, "called 'train'"),
        ({"train": {"cat(h)": "sofa", "dog(h)": ["sofa"]}}, r"as in \['sofa'\]"),
        ({"train": {"cat(h)": [], "dog(h)": ["sofa"]}}, "a list of names"),
        ({"test": {"s": {}}}, "give named unions"),
        ({"validation": float("nan")}, "holds out nan"),
        ({"test": {"s": {"cat(h)": ["lamp"], "dog(s)": ["lamp"]}}}, "name the two apart"),
    ],
)
def test_domain_generalization_that_cannot_be(change, said):
    with pytest.raises(ConfigurationError, match=said):
        DomainGeneralization(**{"name": "t", "train": TRAIN, "test": TEST, **change})


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        (["images"], "config of every benchmark"),
        (["Shift distances"], "'shift_distances' is a config"),
        (["Pets", "pets!"], "both become 'pets'"),
        (["pets", "pets"], "given twice"),
    ],
)
def test_names_of_tasks_that_cannot_be(tasks, said):
    made = [DomainGeneralization(n, TRAIN, TEST) for n in tasks]
    with pytest.raises(ConfigurationError, match=said):
        MetaShift(pets([]), tasks=made)


def test_a_union_means_the_same_in_all_tasks():
    one = DomainGeneralization("a", TRAIN, TEST)
    other = DomainGeneralization("b", {**TRAIN, "cat(h)": ["bed"]}, TEST)
    with pytest.raises(ConfigurationError, match=r"task 'b': the name 'cat\(h\)' stands for"):
        MetaShift(pets([]), tasks=[one, other])
    assert MetaShift(pets([]), tasks=[one, replace(one, name="b")])


def test_a_class_that_would_be_held_out_whole_is_told():
    source = objects(a="cat sofa", b="dog sofa", c="cat lamp", d="dog lamp")
    task = DomainGeneralization("t", TRAIN, TEST, validation=0.9, id_test=0)
    with pytest.raises(ConfigurationError, match="'cat' that could be trained on are held out"):
        plan_task(source, task)


def test_an_image_of_two_classes_is_left_out_whatever_contexts_are_taken():
    black, white = (("cat", c, "attribute") for c in ("black", "white"))
    dogs = [("dog", c, "attribute") for c in ("black", "white")]
    both = (black, ("cat", "dog", "object"), ("dog", "cat", "object"))
    images = [both, (black,), (white,), *((d,) for d in dogs)]
    source = Literal(tuple((f"{i}", found) for i, found in enumerate(images)))
    task = DomainGeneralization(
        "t",
        {"cat(b)": ["black"], "dog(b)": ["black"]},
        {"s": {"cat(w)": ["white"], "dog(w)": ["white"]}},
        validation=0,
        id_test=0,
    )
    made, config = plan_task(source, task, contexts=["attributes"])
    assert ids(made, by_name(config)["train"]) == ["1", "3"]


def test_groups_of_one_name_are_refused():
    union = {"cat(a)": ["sofa"], "dog(a)": ["bed"]}
    with pytest.raises(ConfigurationError, match="in majority and in minority"):
        SubpopulationShift("t", union, union)
    with pytest.raises(ConfigurationError, match="train_per_class is 0"):
        replace(SHIFT, train_per_class=0, n_minority=0)


@given(st.integers(1, 2000), st.integers(0, 2000))
def test_scaled_counts_are_whole_and_grow_by_ones(train, minority):
    task = replace(SHIFT, train_per_class=train, n_minority=min(minority, train))
    sizes = [sum(n for (split, _), n in _cells(task, s).items() if split == "train")
             for s in range(1, train + 1)]  # fmt: skip
    assert sizes == [2 * s for s in range(1, train + 1)]
