from __future__ import annotations

import json

import datasets
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.errors import ConfigurationError
from shiftbench.schema import (
    ClassLabel,
    Image,
    ListOf,
    Value,
    arrow_schema,
    feature_of,
    slug,
    unique_slugs,
)

FEATURES = st.recursive(
    st.sampled_from(
        [Value("string"), Value("int64"), Value("float32"), Value("bool"), Value("timestamp[us]"),
         ClassLabel(("a", "b")), Image()]
    ),
    lambda inner: inner.map(ListOf),
    max_leaves=3,
)  # fmt: skip


@given(st.dictionaries(st.text("abc", min_size=1), FEATURES, min_size=1, max_size=4))
def test_schema_is_the_one_that_datasets_would_write(features):
    made = arrow_schema(features)
    read = datasets.Features.from_arrow_schema(made)
    assert read.arrow_schema.remove_metadata() == made.remove_metadata()
    assert json.loads(read.arrow_schema.metadata[b"huggingface"]) == json.loads(
        made.metadata[b"huggingface"]
    )


def test_types_without_a_place_are_named():
    with pytest.raises(ConfigurationError, match="map"):
        feature_of(pa.map_(pa.string(), pa.string()))


@given(st.text(min_size=1))
def test_slugs_are_legal_or_refused(name):
    try:
        made = slug(name)
    except ConfigurationError:
        return
    assert made.isascii()
    assert made == made.lower()
    assert all(c.isalnum() or c == "_" for c in made)
    assert slug(made) == made


def test_colliding_slugs_name_both():
    with pytest.raises(ConfigurationError, match=r"'A b' and 'a-b'"):
        unique_slugs(["A b", "a-b"])
    assert unique_slugs(["A b", "A b"]) == {"A b": "a_b"}


def test_a_slug_that_no_file_name_could_hold_is_refused():
    with pytest.raises(ConfigurationError, match="allowed are 100"):
        slug("a" * 101)
