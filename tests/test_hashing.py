from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.hashing import table_hash

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "s": st.none() | st.text(max_size=4),
            "i": st.none() | st.integers(-5, 5),
            "f": st.none() | st.floats(allow_nan=False),
            "b": st.none() | st.booleans(),
            "l": st.none() | st.lists(st.none() | st.text(max_size=2), max_size=3),
        }
    ),
    max_size=8,
)
SCHEMA = pa.schema(
    [("s", pa.string()), ("i", pa.int64()), ("f", pa.float64()), ("b", pa.bool_()),
     ("l", pa.list_(pa.string()))]
)  # fmt: skip


def table(rows):
    return pa.Table.from_pylist(rows, schema=SCHEMA)


@given(ROWS, ROWS)
def test_equal_hashes_are_equal_rows(a, b):
    same = repr([sorted(r.items()) for r in a]) == repr([sorted(r.items()) for r in b])
    assert (table_hash(table(a)) == table_hash(table(b))) == same


@given(ROWS, st.integers(0, 8))
def test_chunks_and_offsets_do_not_count(rows, cut):
    whole = table(rows)
    parts = pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])
    shifted = table([*rows[:1], *rows]).slice(len(rows[:1]))
    assert table_hash(whole) == table_hash(parts) == table_hash(shifted)


@pytest.mark.parametrize("kind", [pa.dictionary(pa.int32(), pa.string()), pa.large_string()])
def test_storage_of_strings_does_not_count(kind):
    plain = pa.table({"x": pa.array(["a", None, "bc", ""])})
    other = pa.table({"x": pa.array(["a", None, "bc", ""]).cast(kind)})
    assert table_hash(plain) == table_hash(other)


def test_shifting_text_between_cells_counts():
    assert table_hash(pa.table({"x": ["ab", "c"]})) != table_hash(pa.table({"x": ["a", "bc"]}))
    assert table_hash(pa.table({"x": [["a"], []]})) != table_hash(pa.table({"x": [[], ["a"]]}))
    assert table_hash(pa.table({"x": ["a"]})) != table_hash(pa.table({"y": ["a"]}))
