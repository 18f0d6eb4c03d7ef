"""Interleaving: probabilities, order, resuming, workers, and learning from rewards."""

from __future__ import annotations

import json
import math
import pickle
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import shiftbench as sb
from shiftbench.benchmark import Benchmark
from shiftbench.builders.environments.builder import Environments
from shiftbench.errors import ConfigurationError
from shiftbench.interleaving.cursors import Cursor, Kept
from shiftbench.interleaving.groups import Blocks, read_blocks, read_groups
from shiftbench.interleaving.rewards import Rewards
from shiftbench.interleaving.sampling import probabilities, upper_confidence
from shiftbench.store.location import Location
from tests.builders.sites import Sites
from tests.small_benchmark import Split, write_benchmark

SIZES = {"a": 700, "b": 200, "c": 90, "d": 10}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """1,000 examples of four environments in disorder, in three files."""
    rng = np.random.default_rng(0)
    sites = rng.permutation([s for s, n in SIZES.items() for _ in range(n)]).tolist()
    ids = [f"{i:04}" for i in range(len(sites))]
    label = [i % 2 if s != "d" else 0 for i, s in enumerate(sites)]
    column = {"environment": sites, "half": [None if i % 2 else "x" for i in range(len(ids))]}
    train = Split(ids, label, columns=column, files=3)
    empty = Split([], [], columns={"environment": [], "half": []})
    folder = tmp_path_factory.mktemp("table") / "out"
    return write_benchmark(folder, {"task": {"train": train, "id_test": empty}})


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """Images whose environments stand in every row group."""
    source = Sites(400, sites=("a", "b", "c"), images=True, size=64, scattered=True)
    builder = Environments(source, environment="site", held_out=("a",), ood_validation="none")
    return sb.build(builder, tmp_path_factory.mktemp("pictures") / "out", measure=False)


def ids(stream: Any) -> list[str]:
    return [e["example_id"] for e in stream]


def agree(counts: Counter[str], expected: dict[str, float]) -> bool:
    n = sum(counts.values())
    observed = [counts[name] for name in expected]
    p_value = stats.chisquare(observed, [n * p for p in expected.values()]).pvalue
    return bool(p_value > 1e-4)


@pytest.mark.parametrize(
    ("method", "temperature", "expected"),
    [
        ("uniform", None, dict.fromkeys("abcd", 0.25)),
        ("temperature", 1.0, {s: n / 1000 for s, n in SIZES.items()}),
        ("temperature", 2.0, None),
        ("temperature", 1e9, dict.fromkeys("abcd", 0.25)),
        ("group_balanced", None, dict.fromkeys(
            ("0 | a", "0 | b", "0 | c", "0 | d", "1 | a", "1 | b", "1 | c"), 1 / 7)),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:split 'train'")
def test_draws_follow_the_probabilities(
    table: Benchmark, method: str, temperature: float | None, expected: dict[str, float] | None
) -> None:
    stream = table.interleave("task", method=method, temperature=temperature, length=20_000)
    if expected is None:
        weight = {s: n ** (1 / 2.0) for s, n in SIZES.items()}
        expected = {s: w / sum(weight.values()) for s, w in weight.items()}
    names = {"cat": "0", "dog": "1"}
    found = {
        " | ".join(names.get(part, part) for part in k.split(" | ")): p
        for k, p in stream.probabilities.items()
    }
    assert found == pytest.approx(expected)
    counts = Counter(e["drawn_from"] for e in stream)
    assert sum(counts.values()) == 20_000
    assert agree(counts, stream.probabilities)


def test_draws_are_independent_of_one_another(table: Benchmark) -> None:
    drawn = [e["drawn_from"] for e in table.interleave("task", length=20_000)]
    pairs = Counter(zip(drawn[:-1:2], drawn[1::2], strict=True))
    assert stats.chisquare([pairs[a, b] for a in SIZES for b in SIZES]).pvalue > 1e-4


def test_a_group_comes_whole_before_it_comes_again(table: Benchmark) -> None:
    by_group: dict[str, list[str]] = {}
    for example in table.interleave("task", length=6000):
        assert example["drawn_from"] == example["environment"]
        by_group.setdefault(example["drawn_from"], []).append(example["example_id"])
    for name, n in SIZES.items():
        drawn = by_group[name]
        passes = [drawn[i : i + n] for i in range(0, len(drawn) - n + 1, n)]
        assert all(len(set(p)) == n for p in passes)
        assert len({tuple(p) for p in passes}) == len(passes)


def test_it_gives_the_rows_of_the_files(pictures: Benchmark) -> None:
    stream = pictures.interleave("held_out_a").cast_column("image", datasets.Image(decode=False))
    stored = {r["example_id"]: r for r in pictures.table("held_out_a").to_pylist()}
    n = 0
    for example in stream:
        site = example.pop("drawn_from")
        assert example == stored[example["example_id"]]
        assert site == example["environment"]
        n += 1
    assert n == pictures.manifest.configs["held_out_a"].splits["train"].rows


def test_the_seed_alone_decides(table: Benchmark) -> None:
    assert ids(table.interleave("task")) == ids(table.interleave("task"))
    assert ids(table.interleave("task")) != ids(table.interleave("task", seed=1))


def test_epochs_differ_and_come_again(table: Benchmark) -> None:
    stream = table.interleave("task")
    first = ids(stream)
    stream.set_epoch(1)
    second = ids(stream)
    assert first != second
    again = table.interleave("task")
    again.set_epoch(1)
    assert ids(again) == second


@settings(max_examples=15)
@given(st.integers(0, 999), st.sampled_from(("uniform", "temperature", "upper_confidence_bound")))
def test_it_resumes_at_the_next_example(table: Benchmark, at: int, method: str) -> None:
    def run(stream: Any, start: int) -> Iterator[str]:
        for i, example in enumerate(stream, start):
            if method == "upper_confidence_bound" and i % 3 == 0:
                stream.report(example["drawn_from"], math.sin(i))
            yield example["example_id"]

    whole = list(run(table.interleave("task", method=method), 0))
    stream = table.interleave("task", method=method)
    before = list(islice(run(stream, 0), at))
    for copied in (json.loads(json.dumps(stream.state_dict())),
                   pickle.loads(pickle.dumps(stream.state_dict()))):  # fmt: skip
        resumed = table.interleave("task", method=method)
        resumed.load_state_dict(copied)
        assert before + list(run(resumed, at)) == whole


def test_it_resumes_in_the_middle_of_windows(pictures: Benchmark) -> None:
    options: dict[str, Any] = {"buffer_mb": 0.5, "length": 900}
    whole = ids(pictures.interleave("held_out_a", **options))
    for at in (0, 1, 333, 899):
        stream = pictures.interleave("held_out_a", **options)
        before = ids(islice(stream, at))
        resumed = pictures.interleave("held_out_a", **options)
        resumed.load_state_dict(stream.state_dict())
        assert before + ids(resumed) == whole


def test_what_datasets_makes_of_it_resumes_too(table: Benchmark) -> None:
    def made() -> Any:
        stream = table.interleave("task").map(lambda e: {"half": e["label"]})
        return stream.with_format("numpy").filter(lambda e: e["half"] == 1).take(200)

    whole = ids(made())
    assert len(whole) == 200
    stream = made()
    before = ids(islice(stream, 77))
    resumed = made()
    resumed.load_state_dict(json.loads(json.dumps(stream.state_dict())))
    assert before + ids(resumed) == whole


@pytest.mark.parametrize("form", [None, "numpy", "torch", "arrow", "pandas"])
def test_formats(pictures: Benchmark, form: str | None) -> None:
    if form == "torch":
        pytest.importorskip("torch")
    stream = pictures.interleave("held_out_a").with_format(form)
    example = next(iter(stream))
    if form is None:
        assert example["image"].size == (64, 64)
    elif form in ("numpy", "torch"):
        assert tuple(example["image"].shape)[-2:] == (64, 64)
    else:
        assert len(example) == 1
    batches = list(stream.iter(batch_size=100))
    names = [n for b in batches for n in list(b["example_id"] if form != "arrow" else
                                             b["example_id"].to_pylist())]  # fmt: skip
    assert names == ids(pictures.interleave("held_out_a"))


@pytest.mark.parametrize("workers", [0, 2, 3])
def test_workers_have_parts_of_every_group(table: Benchmark, workers: int) -> None:
    loading = pytest.importorskip("torch.utils.data")
    stream = table.interleave("task", length=4000).select_columns(["example_id", "drawn_from"])
    drawn: Counter[str] = Counter()
    shown: Counter[str] = Counter()
    for batch in loading.DataLoader(stream, batch_size=50, num_workers=workers):
        drawn.update(batch["drawn_from"])
        shown.update(batch["example_id"])
    assert sum(drawn.values()) == 4000
    assert agree(drawn, dict.fromkeys(SIZES, 0.25))
    # 1,000 draws of each, in passes of its own for each worker.
    small = {i for i, e in zip(*columns(table, "example_id", "environment"), strict=True)
             if e in "cd"}  # fmt: skip
    assert small <= set(shown)


def columns(bench: Benchmark, *names: str) -> list[list[Any]]:
    whole = bench.table("task")
    return [whole[n].to_pylist() for n in names]


@pytest.mark.parametrize("workers", [1, 2, 5, 7, 10])
def test_parts_are_disjoint_and_make_the_whole(table: Benchmark, workers: int) -> None:
    stream = table.interleave("task")
    every: list[str] = []
    for worker in range(workers):
        part = stream.shard(workers, worker)
        drawing = part._ex_iterable
        first, last = drawing.part
        for rows in drawing.drawing.groups.rows:
            n = drawing.drawing.shards
            every += rows[len(rows) * first // n : len(rows) * last // n].tolist()
    assert sorted(every) == list(range(1000))
    assert sum(len(ids(stream.shard(workers, w))) for w in range(workers)) == 1000


def test_nodes_share_it_out(table: Benchmark) -> None:
    from datasets.distributed import split_dataset_by_node

    parts = [ids(split_dataset_by_node(table.interleave("task"), r, 2)) for r in range(2)]
    assert sum(map(len, parts)) == 1000
    assert not set(parts[0]) & set(parts[1])


def test_workers_do_not_learn(table: Benchmark) -> None:
    loading = pytest.importorskip("torch.utils.data")
    stream = table.interleave("task", method="upper_confidence_bound")
    with pytest.raises(ConfigurationError, match="num_workers=0"):
        list(loading.DataLoader(stream, num_workers=1))


def test_a_stream_without_an_end(table: Benchmark) -> None:
    assert len(ids(islice(table.interleave("task", length=0), 3000))) == 3000


def test_it_survives_pickling(table: Benchmark) -> None:
    stream = table.interleave("task")
    assert ids(pickle.loads(pickle.dumps(stream))) == ids(stream)


def test_it_learns_which_group_still_teaches(table: Benchmark) -> None:
    stream = table.interleave("task", method="upper_confidence_bound", length=4000)
    drawn: Counter[str] = Counter()
    for example in stream:
        name = example["drawn_from"]
        drawn[name] += 1
        stream.report(name, -1.0 if name == "c" else 0.1)
    assert drawn["c"] > 0.9 * 4000
    assert min(drawn[s] for s in SIZES) > 10
    expected = upper_confidence(stream._draws.rewards.means, [drawn[s] for s in SIZES], 0.1)
    assert list(stream.probabilities.values()) == pytest.approx(expected.tolist())


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_probabilities_are_those_of_the_iteration_that_runs(table: Benchmark, epoch: int) -> None:
    stream = table.interleave("task", method="upper_confidence_bound", length=200)
    assert len(ids(stream)) == 200
    stream.set_epoch(epoch)
    for run in (stream, stream.map(lambda e: {"other": 1})):
        counts = Counter(e["drawn_from"] for e in islice(run, 30))
        expected = upper_confidence([0.0] * len(SIZES), [counts[s] for s in SIZES], 0.1)
        assert list(stream.probabilities.values()) == pytest.approx(expected.tolist())


def test_a_later_epoch_resumes_as_the_first(table: Benchmark) -> None:
    stream = table.interleave("task", seed=4)
    stream.set_epoch(3)
    whole = ids(stream)
    assert whole != ids(table.interleave("task", seed=4))
    before = ids(islice(stream, 77))
    resumed = table.interleave("task", seed=4)
    resumed.load_state_dict(json.loads(json.dumps(stream.state_dict())))
    assert before + ids(resumed) == whole


def test_without_rewards_the_bound_draws_equally(table: Benchmark) -> None:
    counts = Counter(
        e["drawn_from"]
        for e in table.interleave("task", method="upper_confidence_bound", length=4000)
    )
    assert max(counts.values()) - min(counts.values()) < 200


def test_a_derived_stream_learns_from_reports_to_the_first(table: Benchmark) -> None:
    stream = table.interleave("task", method="upper_confidence_bound", length=3000)
    drawn: Counter[str] = Counter()
    for example in stream.map(lambda e: {"other": 1}):
        drawn[example["drawn_from"]] += 1
        stream.report(example["drawn_from"], float(example["drawn_from"] == "b"))
    assert drawn["b"] > 2000


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.floats(-1e6, 1e6)), max_size=40),
    st.integers(1, 7),
)
def test_rewards_are_the_mean_size_of_the_last(found: list[tuple[str, float]], window: int) -> None:
    rewards = Rewards("ab", window)
    for name, value in found:
        rewards.report(name, value)
    for name, mean in zip("ab", rewards.means, strict=True):
        last = [abs(v) for g, v in found if g == name][-window:]
        assert mean == pytest.approx(sum(last) / len(last) if last else 0.0)


def test_the_bound_by_its_definition() -> None:
    means, drawn, heat = [0.3, 0.1, 0.0], [5, 40, 0], 0.1
    score = [
        m + math.sqrt(2 * math.log(45 + 1) / (n + 1)) for m, n in zip(means, drawn, strict=True)
    ]
    weight = [math.exp(s / heat) for s in score]
    expected = [w / sum(weight) for w in weight]
    assert upper_confidence(means, drawn, heat).tolist() == pytest.approx(expected)


@given(st.lists(st.integers(1, 10**9), min_size=2, max_size=20), st.floats(0.01, 100))
def test_temperature_by_its_definition(sizes: list[int], heat: float) -> None:
    found = probabilities(sizes, "temperature", heat)
    logs = np.log(sizes) / heat
    expected = np.exp(logs - logs.max())
    assert np.allclose(found, expected / expected.sum())
    assert np.isclose(found.sum(), 1)


@settings(max_examples=20)
@given(st.integers(1, 5 * 10**6), st.integers(0, 5))
def test_windows_hold_every_example_once(pictures: Benchmark, limit: int, seed: int) -> None:
    blocks, groups = opened(pictures)
    kept = Kept(blocks, np.ones(len(blocks.sizes), bool), limit)
    for name, rows in zip(groups.names, groups.rows, strict=True):
        cursor = Cursor(blocks, kept, rows, limit, seed, "test", name)
        for turn in range(2):
            found = cursor.examples(turn * len(rows), len(rows))
            taken = [name for batch in found for name in batch["example_id"].to_pylist()]
            assert len(set(taken)) == len(rows)


def opened(bench: Benchmark) -> tuple[Any, Any]:
    files = bench.manifest.configs["held_out_a"].splits["train"].files
    blocks = read_blocks(Location(bench.url), files)
    return blocks, read_groups(blocks, ("environment",), "train")


def test_a_pass_reads_each_row_group_once_or_keeps_it(
    pictures: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Counter[int] = Counter()
    was = Blocks.read

    def counted(self: Blocks, block: int) -> Any:
        read[block] += 1
        return was(self, block)

    monkeypatch.setattr(Blocks, "read", counted)
    rows = pictures.manifest.configs["held_out_a"].splits["train"].rows
    list(pictures.interleave("held_out_a", length=4 * rows))
    assert len(read) > 3
    assert set(read.values()) == {1}


@pytest.mark.filterwarnings("error")
def test_combinations_without_examples_are_told(table: Benchmark) -> None:
    with pytest.warns(UserWarning, match=r"1 groups have no example \('dog \| d'\)"):
        table.interleave("task", method="group_balanced")
    with pytest.warns(UserWarning, match="no example"):
        assert len(table.interleave("task", by="group", method="group_balanced").groups) == 7
    assert len(table.interleave("task", by=("label", "environment")).groups) == 7


@pytest.mark.parametrize(
    ("config", "options", "told"),
    [
        ("tusk", {}, "no config 'tusk'; did you mean 'task'"),
        ("task", {"split": "trian"}, "no split 'trian'; did you mean 'train'"),
        ("task", {"split": "id_test"}, "no examples to draw from"),
        ("task", {"by": "enviroment"}, "did you mean 'environment'"),
        ("task", {"by": ()}, "names no column"),
        ("task", {"by": "half"}, "500 of 1000 examples have no value"),
        ("task", {"by": ("environment", "cluster_id")}, "name columns with fewer values|different"),
        ("task", {"method": "unifrom"}, "did you mean 'uniform'"),
        ("task", {"method": "temperature", "temperature": 0}, "numbers above 0"),
        ("task", {"method": "temperature", "temperature": -1.0}, "numbers above 0"),
        ("task", {"method": "temperature", "temperature": math.nan}, "numbers above 0"),
        ("task", {"method": "uniform", "temperature": 2.0}, "has no temperature"),
        ("task", {"length": -1}, "length is -1"),
        ("task", {"buffer_mb": 0}, "buffer_mb is 0"),
        ("task", {"method": "upper_confidence_bound", "window": 0}, "window is 0"),
    ],
)
def test_what_is_refused(table: Benchmark, config: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        table.interleave(config, **options)


def test_one_group_is_refused(pictures: Benchmark) -> None:
    with pytest.raises(ConfigurationError, match="one group only"):
        pictures.interleave("held_out_a", "ood_test")


def test_columns_that_make_no_groups_are_refused(tmp_path: Path) -> None:
    bench = sb.build(
        Environments(Sites(), environment="site", held_out=("a",)), tmp_path / "out", measure=False
    )
    with pytest.raises(ConfigurationError, match="holds double"):
        bench.interleave("held_out_a", by="x")
    with pytest.raises(ConfigurationError, match="have no value of 'label'"):
        sb.build(
            Environments(Sites(), environment="site", held_out=("a",), train_unlabeled=0.3),
            tmp_path / "unlabelled",
            measure=False,
        ).interleave("held_out_a", "train_unlabeled", method="group_balanced")


@pytest.mark.parametrize(
    ("group", "values", "told"),
    [
        ("x", 1.0, "'x', which is not drawn from"),
        ("a", math.nan, "not a finite number"),
        (["a", "b"], [1.0], "2 groups"),
        (["a", "x"], [1.0, 2.0], "'x'"),
        ("a", [[1.0]], "shape"),
    ],
)
def test_rewards_that_are_refused(table: Benchmark, group: Any, values: Any, told: str) -> None:
    stream = table.interleave("task", method="upper_confidence_bound")
    before = stream.state_dict()
    with pytest.raises(ConfigurationError, match=told):
        stream.report(group, values)
    assert stream.state_dict() == before


def test_rewards_for_a_method_that_learns_nothing(table: Benchmark) -> None:
    with pytest.raises(ConfigurationError, match="learns nothing"):
        table.interleave("task").report("a", 1.0)


@pytest.mark.parametrize("other", [{"seed": 1}, {"by": "label"}, {"length": 5}])
def test_the_state_of_another_stream_is_refused(table: Benchmark, other: dict[str, Any]) -> None:
    state = table.interleave("task", **other).state_dict()
    with pytest.raises(ConfigurationError, match="another stream"):
        table.interleave("task").load_state_dict(state)
