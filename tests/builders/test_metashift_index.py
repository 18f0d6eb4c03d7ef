from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.builders.metashift.index import index_contexts

from .helpers import Literal, objects

WORDS = st.sampled_from(["cat", "dog", "sofa", "cat(big)", "Ω<b>", "x/y"])
KINDS = st.sampled_from(["object", "attribute", "general"])
IMAGES = st.dictionaries(
    st.text("abc123", min_size=1, max_size=4),
    st.lists(st.tuples(WORDS, WORDS, KINDS), max_size=6),
    max_size=12,
)


def literal_index(images: dict, without: set[str] = frozenset()) -> dict[str, list[str]]:
    """Sets of ids by name, in plain Python."""
    pairs: dict[tuple[str, str, str], set[str]] = {}
    for example, found in images.items():
        for triple in found:
            if example not in without:
                pairs.setdefault(triple, set()).add(example)
    kinds: dict[tuple[str, str], set[str]] = {}
    for s, c, k in pairs:
        kinds.setdefault((s, c), set()).add(k)
    return {
        (f"{s}({k}: {c})" if len(kinds[s, c]) > 1 and k != "object" else f"{s}({c})"): sorted(ids)
        for (s, c, k), ids in pairs.items()
    }


@given(IMAGES, st.data())
def test_index_equals_plain_sets(images, data):
    source = Literal(tuple((i, tuple(f)) for i, f in images.items()))
    metadata = source.scan()
    ids = metadata.examples["example_id"].to_pylist()
    gone = data.draw(st.sets(st.sampled_from(ids))) if ids else set()
    rows = np.array([i for i, name in enumerate(ids) if name in gone], np.int64)
    index = index_contexts(metadata, without=rows)
    assert list(index.names) == sorted(index.names)
    found = {n: [ids[r] for r in index.rows(i)] for i, n in enumerate(index.names)}
    assert found == literal_index(images, gone)


def test_same_name_of_two_kinds_stays_apart():
    source = Literal(
        (
            ("1", (("cat", "orange", "object"),)),
            ("2", (("cat", "orange", "attribute"),)),
        )
    )
    index = index_contexts(source.scan())
    assert index.names == ("cat(attribute: orange)", "cat(orange)")
    assert index.kinds == ("attribute", "object")
    assert index.pair("cat", "orange") == [0, 1]


def test_holding_counts_subjects_and_objects_beside():
    metadata = objects(a="cat sofa", b="dog sofa", c="cat dog").scan()
    index = index_contexts(metadata)
    assert index.holding("cat").tolist() == [0, 2]
    assert index.holding("dog").tolist() == [1, 2]
    assert index.holding("zebra").tolist() == []
