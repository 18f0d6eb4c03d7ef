"""Built benchmarks as sources: what is kept, what is renamed, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import shiftbench as sb
from shiftbench.errors import ConfigurationError, ContentError, SourceError
from shiftbench.schema import ClassLabel, Image, ListOf, Value
from shiftbench.sources import BuiltBenchmark, _parent
from shiftbench.sources._parent import located
from tests.photographs import builder, photographs
from tests.small_benchmark import Split, write_benchmark
from tests.sources.whole import Whole


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pets")
    return sb.build(builder(photographs(folder / "p")), folder / "b", measure=False)


@pytest.fixture
def small(tmp_path):
    """Two splits that share the example `b`; the classes are cat and dog."""
    return write_benchmark(
        tmp_path / "small",
        {
            "task": {
                "train": Split(
                    ["a", "b", "c"], [0, 1, None], clusters=["x", "x", "z"],
                    columns={"is_ood": ["no"] * 3, "site": ["n", "s", "n"]},
                ),
                "id_test": Split(
                    ["b", "d"], [1, 0], clusters=["x", "d"], files=2,
                    columns={"is_ood": ["no"] * 2, "site": ["s", "n"]},
                ),
            }
        },
    )  # fmt: skip


def records(source):
    return source.scan().examples.to_pylist()


def test_the_examples_of_metashift(pets):
    source = BuiltBenchmark(pets.url)
    found = source.scan()
    stored = pets.table("images").to_pylist()
    assert [r["example_id"] for r in records(source)] == [r["example_id"] for r in stored]
    read = source.reader()
    for row, kept in zip(records(source), stored, strict=True):
        assert read(row["locator"]) == {"image": kept["image"]["bytes"]}
        assert row["cluster_id"] == kept["cluster_id"]
        assert row["width"] == kept["width"]
        assert row["label"] == ("cat", "dog")[kept["label"][0]]
    assert dict(found.content) == {"image": Image()}
    assert found.identity == "bytes"
    assert found.notes["parents"] == [
        {"builder": "metashift", "digest": pets.digest, "config": "images", "splits": ["train"]}
    ]
    contexts = {}
    for row in found.contexts.to_pylist():
        name = f"{row['subject']}({row['context']})"
        contexts.setdefault(name, []).append(stored[row["example"]]["example_id"])
    members = {s["subset"]: pets.members(s["subset"]) for s in pets.subsets}
    assert {k: sorted(v) for k, v in contexts.items()} == {k: sorted(v) for k, v in members.items()}


def test_an_example_in_two_splits_is_taken_once(small):
    source = BuiltBenchmark(small.url)
    kept = ("example_id", "cluster_id", "label", "parent_split", "site")
    assert [tuple(r[k] for k in kept) for r in records(source)] == [
        ("a", "x", "cat", "train", "n"),
        ("b", "x", "dog", "train", "s"),
        ("c", "z", None, "train", "n"),
        ("d", "d", "cat", "id_test", "n"),
    ]
    assert records(source)[0]["parent_is_ood"] == "no"
    assert source.scan().counts == {"examples_in_several_splits": 1}
    assert source.scan().content == {}
    assert records(source)[0]["locator"] is None


def test_splits_can_be_chosen(small):
    source = BuiltBenchmark(small.url, splits=("id_test",))
    assert [r["example_id"] for r in records(source)] == ["b", "d"]
    assert "parent_split" not in records(source)[0]
    assert source.scan().notes["parents"][0]["splits"] == ["id_test"]
    assert source.scan().fingerprint != BuiltBenchmark(small.url).scan().fingerprint


def test_a_class_where_one_split_has_none_and_two_classes(tmp_path):
    def bench(name, second):
        splits = {"train_unlabeled": Split(["a"], [None]), "id_test": Split(["a"], [second])}
        return write_benchmark(tmp_path / name, {"task": splits})

    (row,) = records(BuiltBenchmark(bench("one", 1).url))
    assert (row["label"], row["parent_split"]) == ("dog", "id_test")
    splits = {"train": Split(["a", "b"], [0, 0]), "id_test": Split(["a", "b"], [0, 1])}
    two = write_benchmark(tmp_path / "two", {"task": splits})
    message = r"1 examples have another class.*'b' in 'train' \(cat\) and in 'id_test' \(dog\)"
    with pytest.raises(ConfigurationError, match=message):
        BuiltBenchmark(two.url).scan()
    assert len(records(BuiltBenchmark(two.url, splits=("train",)))) == 2


def test_several_classes_an_example_and_numbers(tmp_path):
    splits = {"train": Split(["a", "b"], [[0, 1], []])}
    many = write_benchmark(tmp_path / "m", {"t": splits}, ListOf(ClassLabel(("cat", "dog"))))
    assert [r["parent_label"] for r in records(BuiltBenchmark(many.url))] == [["cat", "dog"], []]
    assert "label" not in records(BuiltBenchmark(many.url))[0]
    number = write_benchmark(
        tmp_path / "n", {"t": {"train": Split(["a"], [0.5])}}, Value("float64")
    )
    assert [r["parent_label"] for r in records(BuiltBenchmark(number.url))] == [0.5]


def test_names_that_are_taken_get_free_ones(tmp_path):
    columns = {"parent_split": ["x"], "parent_is_ood": ["y"], "is_ood": ["z"]}
    made = write_benchmark(
        tmp_path / "m",
        {"t": {"train": Split(["a"], [0], columns=columns), "id_test": Split(["b"], [0])}},
    )
    row = records(BuiltBenchmark(made.url))[0]
    assert row["parent_split"] == "train"
    assert row["parent_parent_split"] == "x"
    assert row["parent_is_ood"] == "y"
    assert row["parent_parent_is_ood"] == "z"


def test_a_chain_of_benchmarks_names_all_parents_and_keeps_the_examples(pets, tmp_path):
    second = sb.build(Whole(BuiltBenchmark(pets.url)), tmp_path / "second", measure=False)
    source = BuiltBenchmark(second.url)
    assert [p["digest"] for p in source.scan().notes["parents"]] == [second.digest, pets.digest]
    third = sb.build(Whole(source), tmp_path / "third", measure=False)
    assert third.digest == second.digest
    assert third.table("whole") == second.table("whole")
    assert second.table("whole")["image"] == pets.table("images")["image"]
    recipe = json.loads(Path(second.url, "shift.json").read_text())["recipe"]
    assert recipe["source"] == {
        "name": "built", "where": Path(pets.url).name, "config": "", "splits": [], "model": "",
    }  # fmt: skip


def test_configs_and_splits_that_are_refused(small, tmp_path):
    with pytest.raises(ConfigurationError, match=r"no config 'tusk'.*'task'"):
        BuiltBenchmark(small.url, config="tusk").scan()
    with pytest.raises(ConfigurationError, match=r"no examples in a split 'tain'.*'train'"):
        BuiltBenchmark(small.url, splits=("tain",)).scan()
    several = write_benchmark(
        tmp_path / "s", {n: {"train": Split(["a"], [0])} for n in ("one", "two")}
    )
    with pytest.raises(ConfigurationError, match=r"several configs.*'one', 'two'"):
        BuiltBenchmark(several.url).scan()
    assert len(records(BuiltBenchmark(several.url, config="two"))) == 1


def test_directories_that_are_refused(small, tmp_path):
    with pytest.raises(SourceError, match=r"holds no shift.json"):
        BuiltBenchmark(str(tmp_path)).scan()
    path = Path(small.url, "shift.json")
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"license": ""', b'"license": "mit"'))
    with pytest.raises(SourceError, match="was changed after it was written"):
        BuiltBenchmark(small.url).scan()
    path.write_bytes(data.replace(b"shiftbench/1", b"shiftbench/9"))
    with pytest.raises(SourceError, match="'shiftbench/9'"):
        BuiltBenchmark(small.url).scan()
    path.write_bytes(b"{")
    with pytest.raises(SourceError, match="cannot be read"):
        BuiltBenchmark(small.url).scan()
    path.write_bytes(data)
    next(Path(small.url, "data", "task").glob("train*")).unlink()
    with pytest.raises(SourceError, match="no such file"):
        BuiltBenchmark(small.url).scan()


def test_a_file_with_fewer_rows_than_it_should_have(pets, tmp_path):
    import shutil

    shutil.copytree(pets.url, tmp_path / "b")
    (path,) = (tmp_path / "b" / "data" / "images").iterdir()
    pq.write_table(pq.read_table(path).slice(0, 7), path)
    with pytest.raises(SourceError, match="has 7 rows, and the manifest tells 60"):
        BuiltBenchmark(str(tmp_path / "b")).scan()
    read = BuiltBenchmark(str(tmp_path / "b")).reader()
    with pytest.raises(ContentError, match="row 50: cannot be read"):
        read("data/images/train-00000-of-00001.parquet#50")


def test_row_groups_are_kept_up_to_a_size(pets, tmp_path, monkeypatch):
    import shutil

    shutil.copytree(pets.url, tmp_path / "b")
    (path,) = (tmp_path / "b" / "data" / "images").iterdir()
    pq.write_table(pq.read_table(path), path, row_group_size=7)
    monkeypatch.setattr(_parent, "_HELD_BYTES", 20_000)
    read = BuiltBenchmark(str(tmp_path / "b")).reader()
    stored = pets.table("images")["image"].to_pylist()
    for row in [0, 6, 7, 59, 30, 58, 0]:
        assert read(f"data/images/{path.name}#{row}")["image"] == stored[row]["bytes"]
        assert len(read._groups) == 1 or read._held <= 20_000


def test_where_a_benchmark_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert located("user/name") == "hf://datasets/user/name"
    Path("user/name").mkdir(parents=True)
    assert located("user/name") == "user/name"
    assert located("./user/name") == "user/name"
    assert located("memory://x") == "memory://x"


def test_a_benchmark_behind_a_url(small):
    there = records(BuiltBenchmark(f"file://{small.url}"))
    assert there == records(BuiltBenchmark(small.url))


class TestPredictions:
    """Of `small`: train has a, b, c; id_test has b, d."""

    def scan(self, small, tmp_path, rows, **options):
        path = tmp_path / "predictions.parquet"
        pq.write_table(pa.Table.from_pylist(rows), path)
        source = BuiltBenchmark(small.url, predictions=str(path), **options)
        return source.scan().examples

    def test_names_and_scores_are_joined(self, small, tmp_path):
        rows = [
            {"split": s, "example_id": e, "prediction": p, "score": v}
            for s, e, p, v in [
                ("train", "c", "cat", 3.0), ("train", "b", "dog", 2.0), ("train", "a", "dog", 1.0),
                ("id_test", "d", "cat", 4.0), ("id_test", "b", "cat", 5.0),
            ]
        ]  # fmt: skip
        found = self.scan(small, tmp_path, rows)
        assert found["predicted"].to_pylist() == ["dog", "dog", "cat", "cat"]
        assert found["score"].to_pylist() == [1.0, 2.0, 3.0, 4.0]

    def test_indices_and_a_csv_file(self, small, tmp_path):
        path = tmp_path / "p.csv"
        path.write_text("example_id,prediction\na,1\nb,0\nc,1\nd,1.0\n")
        found = BuiltBenchmark(small.url, predictions=str(path)).scan().examples
        assert found["predicted"].to_pylist() == ["dog", "cat", "dog", "dog"]

    def test_probabilities(self, small, tmp_path):
        rows = [{"example_id": e, "probabilities": [0.2, 0.8]} for e in "abcd"]
        rows[2]["probabilities"] = [0.9, 0.1]
        assert self.scan(small, tmp_path, rows)["predicted"].to_pylist() == [
            "dog", "dog", "cat", "dog",
        ]  # fmt: skip

    def test_one_of_several_models(self, small, tmp_path):
        rows = [
            {"example_id": e, "model": m, "prediction": p, "config": "task"}
            for m, p in (("one", "cat"), ("two", "dog"))
            for e in "abcd"
        ]
        assert set(self.scan(small, tmp_path, rows, model="two")["predicted"].to_pylist()) == {
            "dog"
        }
        with pytest.raises(ConfigurationError, match=r"2 models.*'one', 'two'"):
            self.scan(small, tmp_path, rows)
        with pytest.raises(ConfigurationError, match="the model 'tow'; did you mean 'two'"):
            self.scan(small, tmp_path, rows, model="tow")
        with pytest.raises(ConfigurationError, match=r"the config 'task'.*'other'"):
            self.scan(small, tmp_path, [{**r, "config": "other"} for r in rows], model="one")

    def test_a_split_without_predictions_has_nulls(self, small, tmp_path):
        rows = [{"split": "id_test", "example_id": e, "prediction": "cat"} for e in "bd"]
        found = self.scan(small, tmp_path, [*rows[1:]], splits=("train", "id_test"))
        assert found["predicted"].to_pylist() == [None, None, None, "cat"]

    def test_the_fingerprint_heeds_them(self, small, tmp_path):
        prints = set()
        for value in ("cat", "dog"):
            rows = [{"example_id": e, "prediction": value} for e in "abcd"]
            self.scan(small, tmp_path, rows)
            path = str(tmp_path / "predictions.parquet")
            prints.add(BuiltBenchmark(small.url, predictions=path).scan().fingerprint)
        assert len(prints) == 2

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ([{"example_id": "a", "prediction": "cat"}], "2 of the 3 examples.*'train'"),
            ([{"example_id": e, "prediction": "cat"} for e in "abcda"], "1 rows repeat"),
            ([{"example_id": e, "prediction": "cut"} for e in "abcd"], "'cut' is no class.*'cat'"),
            ([{"example_id": e, "prediction": "2"} for e in "abcd"], "'2' is no class"),
            ([{"example_id": e, "prediction": None} for e in "abcd"], "missing in 4 rows"),
            ([{"example_id": e, "prediction": ["cat"]} for e in "abcd"], "are lists"),
            ([{"example_id": e, "probabilities": [1.0]} for e in "abcd"], "needs 2 probabilities"),
            ([{"example_id": e, "score": float("nan")} for e in "abcd"], "missing or NaN"),
            ([{"example_id": e, "score": "high"} for e in "abcd"], "holds no numbers"),
            ([{"example_id": e} for e in "abcd"], "one of prediction, probabilities, score"),
            ([{"id": e, "score": 1.0} for e in "abcd"], "columns example_id"),
            (
                [{"example_id": e, "score": 1.0, "digest": "other"} for e in "abcd"],
                "another benchmark",
            ),
        ],
    )
    def test_predictions_that_are_refused(self, small, tmp_path, rows, message):
        with pytest.raises(SourceError, match=message):
            self.scan(small, tmp_path, rows)

    def test_predictions_of_other_examples(self, small, tmp_path):
        with pytest.raises(ConfigurationError, match="no example of the benchmark"):
            self.scan(small, tmp_path, [{"example_id": "z", "score": 1.0}])


def test_a_benchmark_of_a_table_keeps_its_features(tmp_path):
    rows = "\n".join(f"r{i:02d},{i},{i % 3},{'ab'[i % 2]}" for i in range(40))
    (tmp_path / "t.csv").write_text(f"id,age,score,label\n{rows}\n")
    table = sb.sources.Table(str(tmp_path / "t.csv"), id_column="id", features=("age", "score"))
    first = sb.build(Whole(table), tmp_path / "first", measure=False)
    source = BuiltBenchmark(first.url)
    found = source.scan()
    assert found.content == {}
    assert set(found.columns) == {"age", "score"}
    assert found.examples["age"].to_pylist() == list(range(40))
    assert sb.build(Whole(source), tmp_path / "second", measure=False).digest == first.digest
