"""Of a large split a random part is read and measured, and the rest is said to be left out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import shiftbench as sb
from shiftbench.builders.shared.assembly import coded, split_plan
from shiftbench.builders.shared.labelled import labelled
from shiftbench.measuring import examples as module
from shiftbench.measuring.remeasure import examples_of
from shiftbench.plan import ConfigPlan, Plan
from shiftbench.schema import ClassLabel
from shiftbench.store.location import Location

datasets.disable_progress_bars()


@dataclass(frozen=True)
class Overlapping:
    """Training rows up to a number, and test rows from another, so that some are in both."""

    source: Any
    train_to: int
    test_from: int
    name = "overlapping"
    version = "1"

    def plan(self, metadata, seed, excluded) -> Plan:
        found = labelled(metadata, "y")
        splits = []
        for role, rows in (
            ("train", np.arange(self.train_to)),
            ("id_test", np.arange(self.test_from, len(found))),
        ):
            column = {"label": coded(found.label.codes[rows])}
            splits.append(split_plan(role, role, "none", rows, column))
        config = ConfigPlan("task", {"label": ClassLabel(found.label.names)}, tuple(splits))
        return Plan(self.name, "1", {}, seed, found.metadata, (config,), {})

    def reader(self, seed):
        return self.source.reader()

    def recipe(self):
        return {}

    def card(self) -> str:
        return ""


def source(n: int) -> sb.sources.Table:
    rng = np.random.default_rng(0)
    columns = {"x": rng.normal(size=n), "y": np.where(rng.random(n) < 0.5, "a", "b")}
    made = datasets.Dataset(pa.table({**columns, "who": np.arange(n) // 2}))
    return sb.sources.Table(made, cluster_column="who")  # type: ignore[arg-type]


@pytest.fixture
def small(monkeypatch) -> None:
    monkeypatch.setattr(module, "LARGE", 60)
    monkeypatch.setattr(module, "DRAWN", 40)


def built(tmp_path: Path, **options: Any) -> tuple[sb.Benchmark, module.Examples]:
    out = tmp_path / "out"
    bench = sb.build(Overlapping(source(100), **options), out, progress=False)
    return bench, examples_of(Location(str(out)), bench.manifest)


@pytest.mark.usefixtures("small")
def test_a_large_split_is_drawn_from_and_a_small_one_read_whole(tmp_path: Path) -> None:
    bench, examples = built(tmp_path, train_to=70, test_from=50)
    train, test = (examples.split("task", s) for s in ("train", "id_test"))
    assert (len(train.table), len(test.table)) == (40, 50)
    files = [pq.read_table(tmp_path / "out" / p) for p in train.paths]
    for i, row in enumerate(train.table.select(["example_id", "x", "cluster_id"]).to_pylist()):
        there = files[train.file[i]].slice(train.row[i], 1).select(list(row)).to_pylist()
        assert there == [row]
    ids = train.ids
    assert ids == sorted(set(ids))
    left_out = [e for e in bench.manifest.measured["left_out"] if "all but" in e["distance"]]
    assert [(e["config"], e["distance"]) for e in left_out] == [
        ("task", "all but 40 of the 70 examples of 'train'")
    ]
    counts = set(bench.balance.to_pandas().value_counts(["n_source", "n_target"]).index)
    assert counts == {(40, 50)}
    again = examples_of(Location(str(tmp_path / "out")), bench.manifest).split("task", "train")
    assert again.table.equals(train.table)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("train_to", "test_from"), [(70, 50), (70, 20), (50, 20), (70, 80)])
def test_examples_in_both_are_found_whether_drawn_or_not(
    tmp_path: Path, train_to: int, test_from: int
) -> None:
    _, examples = built(tmp_path, train_to=train_to, test_from=test_from)
    names = ("train", "id_test")
    inside = {"train": range(train_to), "id_test": range(test_from, 100)}
    for own, other in (names, names[::-1]):
        rows = examples.split("task", own)
        expected = [int(i) in inside[other] for i in rows.ids]
        assert examples.also_in(rows, "task", other).tolist() == expected


def test_what_is_drawn_is_any_row_alike() -> None:
    n = 2 * module.DRAWN
    often = np.zeros(n)
    rounds = 60
    for i in range(rounds):
        rows = module._drawn(n, f"digest {i}")
        assert len(rows) == module.DRAWN
        assert (np.diff(rows) > 0).all()
        often[rows] += 1
    # Each row Binomial(rounds, ½): parts of the range as well as the variance over rows.
    for part in np.array_split(often, 10):
        assert part.mean() == pytest.approx(rounds / 2, abs=0.25)
    assert often.var() == pytest.approx(rounds / 4, rel=0.05)


@pytest.mark.parametrize("group", [1, 7, 100])
def test_taken_rows_are_those_of_the_whole_file(tmp_path: Path, group: int) -> None:
    table = pa.table({"a": range(50), "b": [str(i) for i in range(50)]})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=group)
    for wanted in ([], [0], [49], [3, 6, 7, 8, 30], list(range(50))):
        rows = np.array(wanted, np.int64)
        found = module._taken(pq.ParquetFile(tmp_path / "t.parquet"), ["b"], rows)
        assert found["b"].to_pylist() == [str(i) for i in wanted]
