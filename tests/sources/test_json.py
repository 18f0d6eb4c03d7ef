"""Members of JSON objects: what the standard library finds, and every repeated key."""

from __future__ import annotations

import json
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.sources._json import members

keys = st.text('abé"\\:{},\n', max_size=3)
values = st.recursive(
    st.none() | st.integers() | keys, lambda x: st.lists(x, max_size=2) | st.dictionaries(keys, x)
)
styles = st.sampled_from([(",", ":"), (", ", ": "), (",\n ", " : ")])


@given(st.lists(st.tuples(keys, values), max_size=6), styles, st.booleans())
def test_members_are_all_found(pairs: list[tuple], style: tuple[str, str], plain: bool) -> None:
    between, colon = style
    written = [
        json.dumps(k, ensure_ascii=plain) + colon + json.dumps(v, ensure_ascii=plain)
        for k, v in pairs
    ]
    text = "{" + between.join(written) + "}"
    found, repeated = members(text.encode())
    assert {k: json.loads(bytes(v)) for k, v in found.items()} == json.loads(text)
    assert repeated == [k for k, n in Counter(k for k, _ in pairs).items() if n > 1]


def test_a_long_lost_value_is_stepped_over() -> None:
    long = json.dumps(["x" * 100, {"a": "]}"}] * 200)
    text = f'{{"a": {long}, "b": 1, "a": 2, "c": {long}, "b": 3}}'
    found, repeated = members(text.encode())
    assert sorted(found) == ["a", "b", "c"]
    assert repeated == ["a", "b"]


@pytest.mark.parametrize("text", ["", "[", "{", '{"a"', '{"a": 1', "[]", '{"a": 1}}', "{'a': 1}"])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        members(text.encode())


def test_a_repeated_key_that_fills_what_another_style_would_need_is_found() -> None:
    # As long as the four members that are left, written with blanks.
    assert members(b'{"a":12,"a":34,"b":1,"c":2,"d":3}')[1] == ["a"]
