from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.builders.metashift.words import explain, explain_union, plural
from shiftbench.errors import ConfigurationError


@pytest.mark.parametrize(
    ("subject", "context", "said"),
    [
        ("cat", "sofa", "cats with a sofa"),
        ("cat", "apple", "cats with an apple"),
        ("dog", "books", "dogs with books"),
        ("dog", "water", "dogs with water"),
        ("dog", "grass", "dogs with grass"),
        ("dog", "sand", "dogs with sand"),
        ("dog", "people", "dogs with people"),
        ("dog", "leaves", "dogs with leaves"),
        ("dog", "glasses", "dogs with glasses"),
        ("dog", "glass", "dogs with a glass"),
        ("dog", "bus", "dogs with a bus"),
        ("dog", "dress", "dogs with a dress"),
        ("dog", "umbrella", "dogs with an umbrella"),
        ("dog", "uniform", "dogs with a uniform"),
        ("dog", "urinal", "dogs with a urinal"),
        ("dog", "utensil", "dogs with a utensil"),
        ("dog", "suv", "dogs with an suv"),
        ("dog", "toilet paper", "dogs with toilet paper"),
        ("dog", "ice cream", "dogs with ice cream"),
        ("dog", "wine glass", "dogs with a wine glass"),
        ("dog", "remote control", "dogs with a remote control"),
        ("dog", "sky", "dogs with the sky"),
        ("books", "lamp", "books with a lamp"),
        ("knife", "plate", "knives with a plate"),
        ("bookshelf", "plant", "bookshelves with a plant"),
        ("policeman", "horse", "policemen with a horse"),
        ("sheep", "fence", "sheep with a fence"),
        ("grass", "cow", "grass with a cow"),
        ("berry", "bowl", "berries with a bowl"),
        ("toy", "bed", "toys with a bed"),
        ("bus driver", "bus", "bus drivers with a bus"),
        ("computer mouse", "desk", "computer mice with a desk"),
        ("man", "man", "two or more men"),
        ("people", "people", "two or more people"),
        ("ottoman", "sofa", "ottomans with a sofa"),
        ("man", "skis", "men with skis"),
        ("menus", "table", "menus with a table"),
        ("roof", "chimney", "roofs with a chimney"),
    ],
)
def test_objects(subject, context, said):
    assert explain(subject, context, "object") == said


@pytest.mark.parametrize(
    ("subject", "context", "kind", "said"),
    [
        ("cat", "black", "attribute", "black cats"),
        ("orange", "orange", "attribute", "orange oranges"),
        ("grass", "wet", "attribute", "wet grass"),
        ("lamp", "off", "attribute", "lamps that are off"),
        ("cat", "looking up", "attribute", "cats that are looking up"),
        ("man", "brushing teeth", "attribute", "men that are brushing teeth"),
        ("grass", "looking up", "attribute", "grass that is looking up"),
        ("cat", "display", "general", "cats on display"),
        ("cat", "outdoors", "general", "cats outdoors"),
        ("cat", "kitchen", "general", "cats in the kitchen"),
        ("cat", "living room", "general", "cats in the living room"),
        ("cat", "sunny", "general", "cats in sunny weather"),
        ("cat", "partly cloudy", "general", "cats in partly cloudy weather"),
        ("cat", "beach", "general", "cats on the beach"),
        ("cat", "zoo", "general", "cats at the zoo"),
    ],
)
def test_attributes_and_general(subject, context, kind, said):
    assert explain(subject, context, kind) == said


def test_unions():
    assert explain_union("cat", ["cup"]) == "cats with a cup"
    assert explain_union("cat", ["cup", "sofa"]) == "cats with a cup or a sofa"
    assert explain_union("cat", ["cup", "sofa", "cup"]) == "cats with a cup or a sofa"
    assert explain_union("man", ["man", "dog"]) == "men with another man or a dog"
    assert explain_union("cat", ["black", "white"], "attribute") == "black or white cats"
    assert (
        explain_union("cat", ["indoors", "kitchen", "sunny"], "general")
        == "cats indoors, in the kitchen or in sunny weather"
    )
    with pytest.raises(ConfigurationError, match="at least one context"):
        explain_union("cat", [])
    with pytest.raises(ConfigurationError, match="2 contexts and 1 kinds"):
        explain_union("cat", ["a", "b"], ["object"])


def test_another_kind_is_refused():
    with pytest.raises(ConfigurationError, match="object, attribute, general"):
        explain("cat", "sofa", "union")


@pytest.mark.parametrize("odd", ["<script>alert(1)</script>", 'so"fa', "Größe", "猫", "a(b)", "🐈"])
def test_odd_names_pass_untouched(odd):
    assert explain("cat", odd, "object") == f"cats with {odd}"
    assert explain(odd, "black", "attribute") == f"black {odd}"


@given(st.text(), st.text(), st.sampled_from(["object", "attribute", "general"]))
def test_any_name_is_explained_on_one_piece(subject, context, kind):
    said = explain(subject, context, kind)
    assert context in said or (subject == context and said.startswith("two or more "))


def test_every_published_name(shared_data: Path):
    names = json.loads(
        gzip.decompress((shared_data / "metashift/subset_names.json.gz").read_bytes())
    )
    said = {}
    for name in names:
        subject, context = name.split("(")[0].strip(), name.rsplit("(", 1)[1].removesuffix(")")
        said[subject, context] = explain(subject, context, "object")
        assert plural(plural(subject)) == plural(subject)
    assert len(said) == 17_938
    assert said["air conditioner", "bed"] == "air conditioners with a bed"
    assert sum(one.startswith("two or more ") for one in said.values()) == 11
