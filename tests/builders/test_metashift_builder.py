from __future__ import annotations

import itertools

import pytest

from shiftbench.builders import MetaShift
from shiftbench.errors import ConfigurationError

from .helpers import Literal, objects


def plan(source, seed=0, excluded=frozenset(), **options):
    builder = MetaShift(source, **{"min_size": 1, "min_subsets": 1, **options})
    return builder.plan(source.scan(), seed, excluded)


def members(made):
    found: dict[str, list[str]] = {}
    for row in made.tables["membership"].to_pylist():
        found.setdefault(row["subset"], []).append(row["example_id"])
    return found


ROOM = objects(
    a="cat sofa", b="cat sofa lamp", c="cat bed", d="dog sofa", e="dog bed lamp", f="cat dog bed"
)


def test_subsets_and_membership():
    made = plan(ROOM, classes=["cat", "dog"])
    assert members(made) == {
        "cat(bed)": ["c", "f"],
        "cat(dog)": ["f"],
        "cat(lamp)": ["b"],
        "cat(sofa)": ["a", "b"],
        "dog(bed)": ["e", "f"],
        "dog(cat)": ["f"],
        "dog(lamp)": ["e"],
        "dog(sofa)": ["d"],
    }
    rows = {r["subset"]: r for r in made.tables["subsets"].to_pylist()}
    assert rows["cat(sofa)"]["size"] == 2
    assert rows["cat(sofa)"]["explanation"] == "cats with a sofa"
    assert rows["cat(sofa)"]["kind"] == "object"


def test_images_hold_each_example_once_with_all_of_its_classes_and_subsets():
    made = plan(ROOM, classes=["cat", "dog"])
    (images,) = made.configs
    names = images.features["label"].feature.names
    ids = made.metadata.examples["example_id"].to_pylist()
    rows = {ids[r["example"]]: r for r in images.splits[0].rows.to_pylist()}
    assert list(rows) == sorted(rows) == list("abcdef")
    assert [names[i] for i in rows["f"]["label"]] == ["cat", "dog"]
    assert rows["b"]["subset"] == ["cat(lamp)", "cat(sofa)"]


def test_exclude_leaves_out_images_with_two_of_the_classes():
    made = plan(ROOM, classes=["cat", "dog"], exclude=True)
    assert "f" not in itertools.chain(*members(made).values())
    assert made.counts["images_with_two_classes"] == 1


def test_thresholds_by_size_and_by_class():
    made = plan(ROOM, min_size=2, min_subsets=2)
    assert set(members(made)) == {
        "bed(cat)", "bed(dog)", "cat(bed)", "cat(sofa)",
    }  # fmt: skip
    assert made.counts["classes_without_enough_subsets"] == 3


def test_a_class_without_enough_subsets_says_the_largest():
    with pytest.raises(ConfigurationError, match=r"'dog' has 1 of 4.*'dog\(bed\)' with 2"):
        plan(ROOM, classes=["cat", "dog"], min_size=2, min_subsets=2)


def test_all_below_min_size_says_the_largest():
    with pytest.raises(ConfigurationError, match=r"min_size=25.*with 2 images"):
        plan(ROOM, min_size=25)


def test_an_unknown_class_gets_near_names():
    with pytest.raises(ConfigurationError, match=r"'catt'.*did you mean 'cat'"):
        plan(ROOM, classes=["catt"])


def test_no_context_at_all():
    with pytest.raises(ConfigurationError, match="no class in any context"):
        plan(objects(a="cat"))


def test_contexts_choose_kinds():
    source = Literal(
        (
            ("1", (("cat", "sofa", "object"), ("cat", "black", "attribute"))),
            ("2", (("cat", "indoors", "general"),)),
        )
    )
    assert set(members(plan(source, contexts=["attributes"]))) == {"cat(black)"}
    assert set(members(plan(source, contexts=["objects", "general"]))) == {
        "cat(sofa)",
        "cat(indoors)",
    }
    with pytest.raises(ConfigurationError, match="objects, attributes, general"):
        plan(source, contexts=["object"])


def test_merge_named_union_and_communities():
    made = plan(ROOM, classes=["cat"], merge={"cat(indoor)": ["sofa", "bed"]})
    assert members(made)["cat(indoor)"] == ["a", "b", "c", "f"]
    row = next(r for r in made.tables["subsets"].to_pylist() if r["subset"] == "cat(indoor)")
    assert (row["kind"], row["size"], row["community"]) == ("union", 4, None)
    made = plan(ROOM, classes=["cat"], merge="communities")
    unions = {n: m for n, m in members(made).items() if "community" in n}
    assert sorted({i for m in unions.values() for i in m}) == ["a", "b", "c", "f"]
    with pytest.raises(ConfigurationError, match="subsets already"):
        plan(ROOM, classes=["cat"], merge={"cat(sofa)": ["sofa"]})
    with pytest.raises(ConfigurationError, match=r"1 contexts that hold no image: cat\(zoo\)"):
        plan(ROOM, classes=["cat"], merge={"cat(out)": ["zoo"]})


def test_excluded_examples_are_in_nothing():
    made = plan(ROOM, classes=["cat", "dog"], excluded=frozenset({"a", "f"}))
    assert not {"a", "f"} & set(itertools.chain(*members(made).values()))
    assert {i["size"] for i in made.tables["subsets"].to_pylist()} == {1}


def test_the_plan_depends_on_neither_the_order_of_images_nor_of_contexts():
    shuffled = Literal(tuple((i, f[::-1]) for i, f in reversed(ROOM.images)))
    assert plan(ROOM).hash == plan(shuffled).hash
    assert plan(ROOM).hash != plan(ROOM, seed=1).hash


def test_options_that_cannot_be():
    with pytest.raises(ConfigurationError, match="min_size is 0"):
        MetaShift(ROOM, min_size=0)
    with pytest.raises(ConfigurationError, match="give a list"):
        MetaShift(ROOM, classes="cat")
    with pytest.raises(ConfigurationError, match="'communities'"):
        MetaShift(ROOM, merge="community")
    with pytest.raises(ConfigurationError, match="no task preset is called 'cat_dog_9'"):
        MetaShift(ROOM, tasks=["cat_dog_9"])
    with pytest.raises(ConfigurationError, match="given twice"):
        MetaShift(ROOM, tasks=["cat_dog_1", "cat_dog_1"])


def test_an_empty_class_name_list_takes_every_class():
    assert {r["class"] for r in plan(ROOM).tables["subsets"].to_pylist()} == {
        "bed", "cat", "dog", "lamp", "sofa",
    }  # fmt: skip


@pytest.mark.parametrize("name", ['a"b', "a'b", "<script>alert(1)</script>", "naïve/Ω", "a(b)c"])
def test_odd_names_pass_through(name):
    source = Literal((("1", ((name, "sofa", "object"), ("sofa", name, "object"))),))
    made = plan(source)
    assert set(members(made)) == {f"{name}(sofa)", f"sofa({name})"}
    rows = {r["subset"]: r for r in made.tables["subsets"].to_pylist()}
    assert rows[f"{name}(sofa)"]["class"] == name


def test_a_class_named_twice_is_one():
    assert members(plan(ROOM, classes=["cat", "cat"])) == members(plan(ROOM, classes=["cat"]))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"classes": []}, "classes is empty"),
        ({"classes": [1]}, "give their names as text"),
        ({"merge": ["cat(x)"]}, "merge is"),
        ({"merge": {"cat(x)": "sofa"}}, r"a list of names, as in \['sofa'\]"),
        ({"merge": {"cat(x)": []}}, "a list of names"),
        ({"merge": {"cat (sofa)": ["bed"]}}, "subsets already"),
        ({"tasks": [3]}, "tasks hold 3"),
    ],
)
def test_names_that_cannot_be(options, said):
    with pytest.raises(ConfigurationError, match=said):
        plan(ROOM, **options)


def test_a_union_may_be_of_a_class_that_is_not_kept():
    made = plan(ROOM, classes=["cat"], merge={"dog(x)": ["sofa"]})
    assert members(made)["dog(x)"] == ["d"]
    images = made.configs[0]
    assert images.features["label"].feature.names == ("cat", "dog")


def test_a_union_without_image_is_left_out_and_counted():
    made = plan(ROOM, classes=["cat"], merge={"cat(x)": ["car"]}, fit=True)
    assert "cat(x)" not in made.tables["subsets"]["subset"].to_pylist()
    assert made.counts["unions_without_image"] == 1


def pairs(*images):
    return Literal(tuple((f"{i}", tuple(found)) for i, found in enumerate(images)))


CRANES = pairs([("crane (bird)", "water", "object")], [("crane (machine)", "water", "object")])


@pytest.mark.parametrize(
    "merge", ["communities", {"crane (bird)(wet)": ["water"], "crane (machine)(wet)": ["water"]}]
)
def test_classes_with_brackets_in_their_names(merge):
    table = plan(CRANES, merge=merge).tables["subsets"].to_pylist()
    assert {r["class"] for r in table} == {"crane (bird)", "crane (machine)"}
    unions = {r["context"] for r in table if r["kind"] == "union"}
    assert unions == ({"community 0: water"} if merge == "communities" else {"wet"})


def test_a_union_is_explained_by_the_kinds_of_its_contexts():
    source = pairs(
        [("cat", "black", "attribute"), ("cat", "indoors", "general"), ("cat", "sofa", "object")]
    )
    made = plan(source, merge={"cat(all)": ["black", "indoors", "sofa"]})
    said = {r["subset"]: r["explanation"] for r in made.tables["subsets"].to_pylist()}
    assert said["cat(all)"] == "black cats, cats indoors or cats with a sofa"


def test_one_of_two_subsets_of_one_name_can_be_named():
    source = pairs([("cat", "orange", "object")], [("cat", "orange", "attribute")])
    made = plan(source, merge={"cat(fur)": ["attribute: orange"], "cat(any)": ["orange"]})
    assert members(made)["cat(fur)"] == ["1"]
    assert members(made)["cat(any)"] == ["0", "1"]


def test_names_that_stand_for_two_subsets_are_refused():
    source = pairs([("a(b", "c", "object")], [("a", "b(c", "object")])
    with pytest.raises(ConfigurationError, match=r"'a\(b\(c\)'; rename"):
        plan(source)


def test_two_classes_are_seen_whatever_contexts_are_taken():
    both = [("cat", "black", "attribute"), ("cat", "dog", "object"), ("dog", "cat", "object")]
    source = pairs(both, [("cat", "black", "attribute")], [("dog", "black", "attribute")])
    made = plan(source, classes=["cat", "dog"], contexts=["attributes"], exclude=True)
    assert members(made) == {"cat(black)": ["1"], "dog(black)": ["2"]}


def test_rejected_content_is_told_where_a_class_becomes_too_small():
    with pytest.raises(ConfigurationError, match="1 images do not count"):
        plan(ROOM, classes=["cat"], min_size=2, min_subsets=2, excluded=frozenset("b"))


def test_the_largest_subset_of_all_is_named_first():
    many = {f"z{i}": "zebra yak" for i in range(9)}
    source = objects(a="ant bee", b="bear cow", c="deer elk", d="fox gnu", e="hen ibis", **many)
    with pytest.raises(ConfigurationError, match=r"images: '(yak|zebra)' has .* with 9 images"):
        plan(source, min_size=25)
