from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench import plan as plans
from shiftbench.errors import ConfigurationError
from shiftbench.plan import ConfigPlan, Plan, SplitPlan
from shiftbench.schema import CONTEXTS, REJECTED, Image, ListOf, Metadata, Value


def make_plan(sizes, index=None, excluded=frozenset(), kind="examples"):
    n = len(sizes)
    examples = pa.table(
        {
            "example_id": [f"e{i:05d}" for i in range(n)],
            "cluster_id": [f"e{i:05d}" for i in range(n)],
            "locator": [f"{i}.jpg" for i in range(n)],
            "bytes": pa.array(sizes, pa.int64()),
            "modified": pa.array([0] * n, pa.int64()),
            "width": pa.array([1] * n, pa.int32()),
        }
    )
    metadata = Metadata(
        examples, CONTEXTS.empty_table(), REJECTED.empty_table(), {"image": Image()}, "f"
    )
    rows = np.arange(n) if index is None else np.asarray(index)
    gone = {int(e[1:]) for e in excluded}
    rows = np.array([r for r in rows if r not in gone], np.int64)
    table = pa.table(
        {"example": rows, "subset": pa.array([["s"]] * len(rows), pa.list_(pa.string()))}
    )
    split = SplitPlan("train", "train", "none", "accept", table)
    config = ConfigPlan("images", {"subset": ListOf(Value("string"))}, (split,), kind)
    return Plan("b", "1", {}, 0, metadata, (config,), {}, excluded)


MB = 2**20


@given(st.lists(st.none() | st.integers(1, 40 * MB), min_size=1, max_size=60), st.data())
def test_shards_hold_every_row_once_in_order(sizes, data):
    index = sorted(data.draw(st.sets(st.sampled_from(range(len(sizes))))))
    shards = list(make_plan(sizes, index).shards())
    ids = [i for s in shards for i in s.rows["example_id"].to_pylist()]
    assert ids == [f"e{i:05d}" for i in index]
    paths = [s.path for s in shards]
    assert paths == sorted(paths)
    assert all(p.endswith(f"-of-{len(shards):05d}.parquet") for p in paths)


def test_shards_are_of_about_equal_size():
    shards = list(make_plan([MB] * 640).shards())
    assert 14 <= len(shards) <= 20
    sizes = [len(s.rows) for s in shards]
    assert max(sizes) - min(sizes) <= 1


def test_no_shard_is_larger_than_the_largest_allowed():
    shards = list(make_plan([100 * MB] * 300).shards())
    assert max(len(s.rows) for s in shards) * 100 * MB <= plans.MAX_SHARD_BYTES + 100 * MB


def test_a_rejection_changes_the_one_shard_it_is_in():
    before = {s.path: s.rows for s in make_plan([MB] * 200).shards()}
    after = {s.path: s.rows for s in make_plan([MB] * 200, excluded=frozenset({"e00050"})).shards()}
    assert list(before) == list(after)
    assert sum(not before[p].equals(after[p]) for p in before) == 1


def test_an_empty_split_is_one_empty_file():
    (shard,) = make_plan([1, 2], index=[]).shards()
    assert len(shard.rows) == 0
    assert shard.path == "data/images/train-00000-of-00001.parquet"


def test_features_in_order_and_without_private_columns():
    made = make_plan([1])
    assert list(made.features(made.configs[0])) == [
        "example_id", "image", "subset", "cluster_id", "width",
    ]  # fmt: skip


def test_a_metadata_column_may_not_take_a_name_of_the_format():
    made = make_plan([1])
    clash = ConfigPlan("images", {"width": Value("string")}, made.configs[0].splits)
    with pytest.raises(ConfigurationError, match="width"):
        made.features(clash)


def test_hash_depends_on_seed_rows_and_excluded():
    hashes = {
        make_plan([1, 2]).hash,
        make_plan([1, 2], index=[0]).hash,
        make_plan([1, 2], excluded=frozenset({"e00001"})).hash,
    }
    assert len(hashes) == 3
    assert make_plan([1, 2]).hash == make_plan([1, 2]).hash


def rows(*index):
    return pa.table({"example": pa.array(index, pa.int64())})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a", "trian", "none", "accept", rows(0)), "role"),
        (("a", "train", "nil", "accept", rows(0)), "shift"),
        (("a", "train", "none", "maybe", rows(0)), "flag"),
        (("a", "train", "none", "accept", rows(1, 0)), "out of order"),
        (("a", "train", "none", "accept", rows(1, 1)), "more than once"),
    ],
)
def test_splits_that_cannot_be(arguments, said):
    with pytest.raises(ConfigurationError, match=said):
        SplitPlan(*arguments)


def test_configs_that_cannot_be():
    a = SplitPlan("ood_test", "ood_test", "near", "reject", rows(0))
    b = SplitPlan("ood_test_x", "ood_test", "near", "reject", rows(0))
    with pytest.raises(ConfigurationError, match="ood_test_<slug>"):
        ConfigPlan("c", {}, (a, b))
    with pytest.raises(ConfigurationError, match="twice"):
        ConfigPlan("c", {}, (a, a))


def test_no_unit_is_in_two_files_unless_it_is_larger_than_one():
    """64 patches of a radiograph are cut from one decode: a file ends where a radiograph does."""
    patches, each = 64, 3 * plans.MIN_SHARD_BYTES // (2 * 64 * 5)
    names = [f"r{i // patches:02d}" for i in range(20 * patches)]
    plan = make_plan([each] * len(names), range(7, len(names)))
    examples = plan.metadata.examples.append_column("radiograph", pa.array(names))
    plan = replace(plan, metadata=replace(plan.metadata, examples=examples, unit="radiograph"))
    shards = list(plan.shards())
    assert len(shards) > 2
    found = [set(s.rows["radiograph"].to_pylist()) for s in shards]
    assert sum(map(len, found)) == len(set(names))
    assert sum(len(s.rows) for s in shards) == len(names) - 7
    large = replace(
        plan,
        metadata=replace(
            plan.metadata,
            examples=examples.set_column(
                examples.column_names.index("radiograph"), "radiograph",
                pa.array(["r"] * len(names)),
            ),
        ),
    )  # fmt: skip
    cut = list(large.shards())
    assert len(cut) >= len(shards) - 1
    assert sum(len(s.rows) for s in cut) == len(names) - 7
