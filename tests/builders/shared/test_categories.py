"""Columns as codes of named values."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.builders.shared.categories import (
    MAX_CATEGORIES,
    categories,
    need_varying,
    numbers,
)
from shiftbench.errors import ConfigurationError

VALUES = (
    st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=1),
    st.lists(st.one_of(st.none(), st.integers(-5, 20)), min_size=1),
    st.lists(st.one_of(st.none(), st.booleans()), min_size=1),
    st.lists(st.one_of(st.none(), st.dates()), min_size=1),
)


@given(st.one_of(*VALUES))
def test_a_code_stands_for_the_value_it_came_from(values: list[object]) -> None:
    found = categories(pa.table({"x": pa.array(values)}), "x", "by")
    for value, code in zip(values, found.codes.tolist(), strict=True):
        if value is None or (isinstance(value, str) and not value.strip()):
            assert code == -1
        else:
            said = str(value).lower() if isinstance(value, bool) else str(value).strip()
            assert found.names[code] == said
    assert len(set(found.names)) == len(found.names)


def test_whole_numbers_are_in_order_of_size_whatever_their_type() -> None:
    for kind in (pa.int8(), pa.float64(), pa.int64()):
        table = pa.table({"x": pa.array([10, 9, None, 10], kind)})
        found = categories(table, "x", "by")
        assert found.names == ("9", "10")
        assert found.codes.tolist() == [1, 0, -1, 1]


def test_dictionaries_and_chunks_are_read_as_their_values() -> None:
    column = pa.chunked_array([pa.array(["b", "a"]), pa.array(["a", None])]).dictionary_encode()
    found = categories(pa.table({"x": column}), "x", "by")
    assert (found.names, found.codes.tolist()) == (("a", "b"), [1, 0, 0, -1])


def test_dates_are_values_and_numbers() -> None:
    day = datetime.date(2020, 1, 2)
    table = pa.table({"x": pa.array([day, None])})
    assert categories(table, "x", "by").names == ("2020-01-02",)
    assert numbers(table, "x", "by")[0] == (day - datetime.date(1970, 1, 1)).days


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([0.5, 1.0]), "real numbers"),
        (pa.array([[1], [2]]), "holds list"),
        (pa.array([b"a"]), "holds binary"),
        (pa.array([str(i) for i in range(MAX_CATEGORIES + 1)]), "different values"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(column: pa.Array, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        categories(pa.table({"x": column}), "x", "by")


def test_private_columns_are_no_columns() -> None:
    with pytest.raises(ConfigurationError, match="does not have"):
        categories(pa.table({"locator": ["a"], "site": ["b"]}), "locator", "by")


def test_a_constant_column_is_refused_with_its_value() -> None:
    for values, said in ((["a", "a"], "the value 'a'"), ([None, None], "no value")):
        found = categories(pa.table({"x": pa.array(values, pa.string())}), "x", "by")
        with pytest.raises(ConfigurationError, match=said):
            need_varying(found, "x", "by")


def test_numbers_refuse_text_and_read_infinity_as_missing() -> None:
    with pytest.raises(ConfigurationError, match="numbers are needed"):
        numbers(pa.table({"x": ["a"]}), "x", "by")
    assert np.isnan(numbers(pa.table({"x": [float("inf")]}), "x", "by")).all()
