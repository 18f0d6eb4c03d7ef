"""Prediction files: every format read alike, joined to the right rows, and all garbage refused."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from decimal import Decimal
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from shiftbench.errors import ConfigurationError, ShiftbenchError, SourceError
from shiftbench.predictions import (
    Key,
    Predictions,
    joint_clusters,
    read_predictions,
    split_truth,
)
from shiftbench.predictions.join import Joiner
from shiftbench.schema import ClassLabel, ListOf, Value
from tests.small_benchmark import Split, write_benchmark

RNG = np.random.default_rng(5)
ID = [f"{i:03}" for i in range(40)]
OOD = [f"ood-{i}" for i in range(30)]
LABEL = (np.arange(40) % 2).tolist()


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return write_benchmark(
        tmp_path_factory.mktemp("b") / "bench",
        {
            "pets": {
                "id_test": Split(ID, LABEL, files=3, columns={"place": ["a", "b"] * 20}),
                "ood_test": Split(
                    OOD, [0, None] * 15, clusters=[f"c{i // 3}" for i in range(30)], role="ood_test"
                ),
            }
        },
    )


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two configs that share their OOD test set, beside the table of all examples."""
    shared = Split(OOD, [0] * 30, role="ood_test")
    return write_benchmark(
        tmp_path_factory.mktemp("b") / "two",
        {
            "one": {"id_test": Split(ID, LABEL), "ood_test": shared},
            "two": {"id_test": Split([f"x{i}" for i in ID], LABEL), "ood_test": shared},
            "images": {"train": Split([*ID, *OOD], [0] * 70, role=None)},
        },
        kinds={"images": "examples"},
    )


def frame(splits=("id_test", "ood_test"), **extra) -> pd.DataFrame:
    parts = []
    for split, ids in (("id_test", ID), ("ood_test", OOD)):
        if split in splits:
            n = len(ids)
            score = np.round(np.random.default_rng(len(split)).normal(size=n), 6)
            score[:2] = np.inf, -np.inf
            part = {"config": "pets", "split": split, "example_id": ids, "score": score}
            part["prediction"] = [("cat", "dog")[i % 2] for i in range(n)]
            parts.append(pd.DataFrame({**part, **extra}))
    return pd.concat(parts, ignore_index=True)


def check(found: Predictions, wanted: pd.DataFrame) -> None:
    """The blocks are those of the frame, whatever the order of its rows."""
    given = wanted.sort_values(["split", "example_id"], key=lambda c: c.map(order))
    assert [k.split for k in found.keys] == list(dict.fromkeys(given["split"]))
    for block in found:
        rows = given[given["split"] == block.split]
        np.testing.assert_array_equal(block.score, rows["score"])
        names = np.array(["cat", "dog"])
        assert names[block.prediction].tolist() == rows["prediction"].tolist()


def order(value: str) -> int:
    return [*ID, *OOD, "id_test", "ood_test"].index(value)


def write(df: pd.DataFrame, path: Path) -> Path:
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        df.to_parquet(path, index=False)
    elif name.endswith(".csv"):
        df.to_csv(path, index=False)
    else:
        text = "".join(json.dumps(r) + "\n" for r in df.to_dict("records"))  # NaN and Infinity
        data = text.encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def refused(bench, path, *words: str, **options) -> str:
    with pytest.raises(SourceError) as caught:
        read_predictions(bench, path, **options)
    message = str(caught.value)
    for word in words:
        assert word in message, message
    return message


class TestFormats:
    @pytest.mark.parametrize(
        "name", ["p.parquet", "p.csv", "p.csv.gz", "p.jsonl", "p.ndjson", "p.jsonl.gz"]
    )
    @pytest.mark.parametrize("shuffled", [False, True])
    def test_all_read_alike(self, bench, tmp_path, name, shuffled):
        df = frame()
        given = df.sample(frac=1, random_state=1) if shuffled else df
        check(read_predictions(bench, write(given, tmp_path / name)), df)

    @pytest.mark.parametrize("name", ["p.parquet", "p.csv.gz", "p.csv", "p.jsonl"])
    def test_by_content_where_the_name_tells_nothing(self, bench, tmp_path, name):
        path = write(frame(), tmp_path / name).rename(tmp_path / "predictions")
        check(read_predictions(bench, path), frame())

    def test_folders_several_files_and_urls(self, bench, tmp_path):
        df = frame()
        folder = tmp_path / "run"
        folder.mkdir()
        write(df[df["split"] == "id_test"], folder / "a.csv")
        (folder / ".hidden.csv").write_text("junk")
        (folder / "log.txt").write_text("junk")
        other = write(df[df["split"] == "ood_test"], tmp_path / "b.parquet")
        check(read_predictions(bench, [folder, other]), df)
        with fsspec.open("memory://h4/p.csv", "wb") as file:
            file.write((tmp_path / "run/a.csv").read_bytes())
        found = read_predictions(bench, ["memory://h4/", other.as_uri()])
        check(found, df)

    def test_columns_stated_by_folders(self, bench, tmp_path):
        for model in ("a", "b c"):
            folder = tmp_path / f"model={model.replace(' ', '%20')}" / "seed=3"
            folder.mkdir(parents=True)
            write(frame(), folder / "part-0.parquet")
        found = read_predictions(bench, tmp_path)
        assert {k[:3] for k in found.keys} == {("a", 3, None), ("b c", 3, None)}

    def test_pandas_writes_its_index(self, bench, tmp_path):
        frame().to_csv(tmp_path / "p.csv")
        frame().set_index("example_id").to_parquet(tmp_path / "p.parquet")
        for name in ("p.csv", "p.parquet"):
            found = read_predictions(bench, tmp_path / name)
            check(found, frame())
            assert not found.notes

    def test_categories_of_pandas(self, bench, tmp_path):
        df = frame(model="a")
        columns = ["config", "split", "prediction", "model", "example_id"]
        df[columns] = df[columns].astype("category")
        df.to_parquet(tmp_path / "p.parquet")
        check(read_predictions(bench, tmp_path / "p.parquet"), frame())

    def r_csv(self, df: pd.DataFrame, separator: str, decimal: str) -> str:
        """As R's write.csv and write.csv2 write it."""

        def cell(value) -> str:
            if isinstance(value, float):
                text = {np.inf: "Inf", -np.inf: "-Inf"}.get(value, repr(float(value)))
                return "NA" if np.isnan(value) else text.replace(".", decimal)
            return '"' + str(value).replace('"', '""') + '"'

        lines = [["", *df.columns]]
        lines += [[str(i + 1), *row] for i, row in enumerate(df.itertuples(index=False))]
        return "".join(separator.join(map(cell, line)) + "\n" for line in lines)

    @pytest.mark.parametrize(
        ("separator", "decimal"), [(",", "."), (";", ","), (";", "."), ("\t", ".")]
    )
    def test_r_writes_csv(self, bench, tmp_path, separator, decimal):
        path = tmp_path / "p.csv"
        path.write_text(self.r_csv(frame(), separator, decimal))
        check(read_predictions(bench, path), frame())

    def test_r_write_table_names_no_column_of_row_names(self, bench, tmp_path):
        lines = self.r_csv(frame(), ",", ".").splitlines()
        (tmp_path / "p.csv").write_text("\n".join([lines[0].removeprefix('"",'), *lines[1:]]))
        check(read_predictions(bench, tmp_path / "p.csv"), frame())

    @pytest.mark.parametrize("ends", ["\r\n", "\n", "\r"])
    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
    def test_byte_order_mark_and_line_ends(self, bench, tmp_path, ends, mark):
        text = frame().to_csv(index=False, lineterminator=ends)
        (tmp_path / "p.csv").write_bytes(mark + text.encode())
        check(read_predictions(bench, tmp_path / "p.csv"), frame())
        if ends != "\r":
            lines = "".join(json.dumps(r) + ends for r in frame().to_dict("records"))
            (tmp_path / "p.jsonl").write_bytes(mark + lines.encode())
            check(read_predictions(bench, tmp_path / "p.jsonl"), frame())

    def test_spaces_after_commas_and_empty_lines(self, bench, tmp_path):
        text = "\n\n example_id , score \n" + "".join(f"{i}, 0.5\n\n" for i in ID)
        (tmp_path / "p.csv").write_text(text)
        found = read_predictions(bench, tmp_path / "p.csv")
        assert next(iter(found)).score.tolist() == [0.5] * 40

    def test_numbers_as_text(self, bench, tmp_path):
        df = frame()
        df["score"] = [{np.inf: " Inf", -np.inf: "-inf"}.get(s, str(s)) for s in df["score"]]
        for name in ("p.jsonl", "p.parquet"):
            check(read_predictions(bench, write(df, tmp_path / name)), frame())

    def test_large_files_come_in_several_batches(self, tmp_path):
        n = 300_000
        ids = [f"example-{i:09}" for i in range(n)]
        bench = write_benchmark(tmp_path / "b", {"c": {"id_test": Split(ids, [0] * n)}})
        score = RNG.normal(size=n)
        df = pd.DataFrame({"example_id": ids, "score": score, "prediction": "dog"})
        for given in (df, df.sample(frac=1, random_state=0)):
            for name in ("p.csv", "p.parquet"):
                (block,) = read_predictions(bench, write(given, tmp_path / name))
                np.testing.assert_array_equal(block.score, score)
                assert block.prediction.dtype == np.int32
                assert (block.prediction == 1).all()


class TestKeys:
    def test_order_of_blocks_and_types_of_keys(self, bench, tmp_path):
        df = pd.concat(
            [frame(model=m, seed=s, epoch=e) for m in ("b", "a") for s in (1, 0) for e in (10, 2)]
        )
        write(df, tmp_path / "p.csv")
        found = read_predictions(bench, tmp_path / "p.csv")
        assert [k[:3] for k in found.keys[::2]] == [
            (m, s, e) for m in ("a", "b") for s in (0, 1) for e in (2, 10)
        ]
        assert len(found.runs()) == 8
        assert found.keys[0] in found
        assert Key("c", 0, 2, "pets", "id_test") not in found

    def test_no_model_is_not_the_empty_name(self, bench, tmp_path):
        df = pd.concat([frame(model=""), frame(model=None)])
        pq.write_table(pa.Table.from_pandas(df, preserve_index=False), tmp_path / "p.parquet")
        found = read_predictions(bench, tmp_path / "p.parquet")
        assert [k.model for k in found.runs()[0][:1] + found.runs()[1][:1]] == [None, ""]

    @pytest.mark.parametrize("columns", [["config"], ["split"], ["config", "split"]])
    def test_config_and_split_by_the_ids(self, bench, tmp_path, columns):
        for df in (frame(), frame().sample(frac=1, random_state=2)):
            write(df.drop(columns=columns), tmp_path / "p.csv")
            check(read_predictions(bench, tmp_path / "p.csv"), frame())

    def test_config_by_the_ids_of_all_files(self, two, tmp_path):
        df = frame().drop(columns="config")
        a = write(df[df["split"] == "id_test"], tmp_path / "a.csv")
        b = write(df[df["split"] == "ood_test"], tmp_path / "b.csv")
        found = read_predictions(two, [a, b])
        assert {k.config for k in found.keys} == {"one"}
        assert any("by the ids it is 'one'" in n for n in found.notes)
        with pytest.raises(ConfigurationError, match="one, two; add a column `config`"):
            read_predictions(two, b)
        assert {k.config for k in read_predictions(two, b, config="two").keys} == {"two"}

    def test_the_table_of_all_examples(self, two, tmp_path):
        df = pd.DataFrame({"example_id": [*ID, *OOD], "score": 0.5, "config": "images"})
        found = read_predictions(two, write(df, tmp_path / "p.csv"))
        assert found.keys == (Key(None, None, None, "images", "train"),)

    def test_ids_of_no_config(self, two, tmp_path):
        df = pd.DataFrame({"example_id": ["nobody"], "score": [1.0]})
        with pytest.raises(ConfigurationError, match="no config has all of the ids"):
            read_predictions(two, write(df, tmp_path / "p.csv"))

    def test_an_id_in_several_splits_needs_the_column(self, tmp_path):
        both = Split([*ID, "shared"], [0] * 41)
        other = Split([*OOD, "shared"], [0] * 31)
        bench = write_benchmark(tmp_path / "b", {"c": {"id_test": both, "ood_test": other}})
        df = pd.DataFrame({"example_id": both.ids, "score": 1.0})
        path = write(df, tmp_path / "p.csv")
        refused(bench, path, "1 rows", "'shared'", "several splits", "add a column `split`")
        assert len(read_predictions(bench, write(df.assign(split="id_test"), path))) == 1

    def test_one_config_of_a_file_with_several(self, two, tmp_path):
        df = pd.concat([frame().assign(config=c) for c in ("one", "two")])
        df.loc[(df["config"] == "two") & (df["split"] == "id_test"), "example_id"] = [
            f"x{i}" for i in ID
        ]
        for given in (df, df.sample(frac=1, random_state=3)):
            path = write(given, tmp_path / "p.parquet")
            assert len(read_predictions(two, path).keys) == 4
            found = read_predictions(two, path, config="two")
            assert {k.config for k in found.keys} == {"two"}
            assert "70 rows of other configs were left out" in found.notes

    def test_ids_stay_text(self, bench, tmp_path):
        path = write(frame(("id_test",)), tmp_path / "p.csv")
        assert "\n007," not in path.read_text()
        check(read_predictions(bench, path), frame(("id_test",)))

    def test_numbers_as_ids(self, tmp_path):
        ids = [str(i) for i in range(50)]
        bench = write_benchmark(tmp_path / "b", {"c": {"id_test": Split(ids, [0] * 50)}})
        df = pd.DataFrame({"example_id": range(50), "score": np.arange(50.0)})
        for name in ("p.parquet", "p.csv", "p.jsonl"):
            (block,) = read_predictions(bench, write(df, tmp_path / name))
            assert block.score.tolist() == list(range(50))

    def test_zeros_that_were_lost_are_told(self, bench, tmp_path):
        df = frame(("id_test",)).assign(example_id=range(40))
        refused(bench, write(df, tmp_path / "p.csv"), "40 rows", "'000'", "write ids as text")

    def test_splits_not_predicted_are_noted(self, bench, tmp_path):
        df = pd.concat([frame(("id_test",), model="a"), frame(("id_test",), model="b")])
        found = read_predictions(bench, write(df, tmp_path / "p.csv"))
        assert found.notes == ("config 'pets': not predicted are the splits ood_test",)
        df = pd.concat([df, frame(("ood_test",), model="b")])
        found = read_predictions(bench, write(df, tmp_path / "p.csv"))
        assert found.notes == ("config 'pets': 1 of 2 runs have not predicted ood_test",)


class TestRefused:
    def test_missing_keys(self, bench, tmp_path):
        path = write(frame().drop(index=[3, 5, 45]), tmp_path / "p.csv")
        refused(bench, path, "3 examples are missing", "'003'", "'005'", "'ood-5'", "or none")

    def test_unknown_ids(self, bench, tmp_path):
        df = frame(("id_test",))
        df.loc[len(df)] = {**df.iloc[0].to_dict(), "example_id": "nobody"}
        refused(bench, write(df, tmp_path / "p.csv"), "1 rows", "'nobody'", "split 'id_test'")

    def test_repeated_keys_and_several_models(self, bench, tmp_path):
        df = pd.concat([frame(), frame().iloc[:2]])
        path = write(df, tmp_path / "p.csv")
        refused(bench, path, "2 rows are repeated", "'000'", "add a column `model`")
        path = write(df.assign(model="a"), tmp_path / "p.csv")
        assert "add a column" not in refused(bench, path, "2 rows are repeated", "model 'a'")
        path = write(pd.concat([frame()] * 3), tmp_path / "p.csv")
        refused(bench, path, "140 rows are repeated", "several models")

    def test_repeated_in_shuffled_files(self, bench, tmp_path):
        df = pd.concat([frame(), frame().iloc[[9]]]).sample(frac=1, random_state=0)
        refused(bench, write(df, tmp_path / "p.parquet"), "1 rows are repeated", "'009'")

    def test_a_repeated_id_in_place_of_another(self, bench, tmp_path):
        df = frame(("id_test",))
        df.loc[4, "example_id"] = "005"
        path = write(df, tmp_path / "p.parquet")
        refused(bench, path, "1 examples are missing", "('004'", "1 rows are repeated", "('005'")

    @pytest.mark.parametrize("name", ["p.csv", "p.parquet", "p.jsonl"])
    def test_nan_scores(self, bench, tmp_path, name):
        df = frame()
        df.loc[[7, 9], "score"] = np.nan
        refused(bench, write(df, tmp_path / name), "score is NaN or missing in 2 rows", "'007'")

    @pytest.mark.parametrize("name", ["p.csv", "p.parquet", "p.jsonl"])
    def test_missing_predictions(self, bench, tmp_path, name):
        df = frame()
        df.loc[[7, 9], "prediction"] = None
        refused(bench, write(df, tmp_path / name), "prediction is missing in 2 rows", "'007'")

    def test_unknown_classes(self, bench, tmp_path):
        df = frame()
        df.loc[3, "prediction"] = "Cat"
        df.loc[4, "prediction"] = "ccat"
        path = write(df, tmp_path / "p.csv")
        refused(bench, path, "2 predictions are no class", "'Cat'", "did you mean 'cat'")

    @pytest.mark.parametrize("wrong", [2, -1, "2", "1.5"])
    def test_an_index_out_of_range(self, bench, tmp_path, wrong):
        df = frame()
        df["prediction"] = [wrong, *[0] * 69]
        refused(bench, write(df.astype({"prediction": str}), tmp_path / "p.csv"), "1 predictions")

    def test_all_that_is_wrong_is_told_at_once(self, bench, tmp_path):
        df = frame().drop(index=[3])
        df.loc[7, "score"] = np.nan
        df.loc[9, "prediction"] = "bird"
        refused(bench, write(df, tmp_path / "p.csv"), "NaN", "'bird'", "missing from splits")

    def test_names_in_messages_cannot_break_them(self, bench, tmp_path):
        df = frame(model="{x} {n} {0}").drop(index=[3])
        refused(bench, write(df, tmp_path / "p.csv"), "model '{x} {n} {0}'")

    def test_config_split_and_their_near_names(self, bench, tmp_path):
        refused(bench, write(frame().assign(config="pet"), tmp_path / "p.csv"), "mean 'pets'")
        path = write(frame().assign(split="idtest"), tmp_path / "p.csv")
        refused(bench, path, "did you mean 'id_test'")
        with pytest.raises(ConfigurationError, match="did you mean 'pets'"):
            read_predictions(bench, path, config="petss")
        with pytest.raises(ConfigurationError, match="score_is"):
            read_predictions(bench, path, score_is="higher")

    @pytest.mark.parametrize("name", ["p.csv", "p.parquet", "p.jsonl"])
    def test_another_digest(self, bench, tmp_path, name):
        wrong = "a" * 64
        path = write(frame().assign(digest=wrong), tmp_path / name)
        refused(bench, path, wrong, bench.digest, "evaluate on the one that was predicted on")
        splits = bench.manifest.configs["pets"].splits
        right = [bench.digest, bench.manifest.configs["pets"].digest]
        for digest in right:
            check(read_predictions(bench, write(frame().assign(digest=digest), path)), frame())
        df = frame()
        df["digest"] = [splits[s].digest for s in df["split"]]
        check(read_predictions(bench, write(df, path)), frame())

    def test_another_digest_in_the_metadata(self, bench, tmp_path):
        table = pa.Table.from_pandas(frame())
        path = tmp_path / "p.parquet"
        pq.write_table(table.replace_schema_metadata({"shiftbench_digest": "b" * 64}), path)
        refused(bench, path, "b" * 64)
        pq.write_table(table.replace_schema_metadata({"shiftbench_digest": bench.digest}), path)
        check(read_predictions(bench, path), frame())

    def test_columns(self, bench, tmp_path):
        path = tmp_path / "p.csv"
        df = frame()
        refused(bench, write(df.rename(columns={"example_id": "id"}), path), "rename 'id'")
        wrong = df.rename(columns={"score": "scores"}).drop(columns="prediction")
        refused(bench, write(wrong, path), "did you mean 'score'?")
        refused(bench, write(df[["example_id", "config"]], path), "one of prediction")
        found = read_predictions(bench, write(df.rename(columns={"prediction": "pred"}), path))
        assert found.notes == (
            f"{path}: the column 'pred' was not read; did you mean 'prediction'?",
        )
        found = read_predictions(bench, write(df.assign(mask="x", logit=1.0), path))
        assert len(found.notes) == 2
        assert "not graded yet" in found.notes[0]

    def test_columns_that_are_there_twice(self, bench, tmp_path):
        path = tmp_path / "p.csv"
        path.write_text("example_id,score,score\n000,1,2\n")
        refused(bench, path, "'score' is there twice")
        table = pa.table([pa.array(ID), pa.array([1.0] * 40), pa.array([1.0] * 40)],
                         names=["example_id", "score", "score"])  # fmt: skip
        pq.write_table(table, tmp_path / "p.parquet")
        refused(bench, tmp_path / "p.parquet", "'score' is there twice")
        path.write_text("a,a,example_id,score\n" + "".join(f"1,2,{i},1\n" for i in ID))
        assert len(read_predictions(bench, path)) == 1

    def test_one_split_with_different_columns(self, bench, tmp_path):
        df = frame()
        a = write(df.iloc[:10], tmp_path / "a.csv")
        b = write(df.iloc[10:].drop(columns="score"), tmp_path / "b.csv")
        refused(bench, [a, b], "the same columns")


GARBAGE = {
    "empty.csv": b"",
    "blank.csv": b"\n \n",
    "empty.parquet": b"",
    "junk.csv": bytes(range(256)) * 50,
    "junk.parquet": b"PAR1" + bytes(range(256)) * 50,
    "not.parquet": b"example_id,score\n000,1\n",
    "junk": os.urandom(1000) + b"\0",
    "broken.csv.gz": gzip.compress(b"example_id,score\n" + b"000,1\n" * 99999)[:-200],
    "not.csv.gz": b"\x1f\x8bnot gzip at all",
    "utf16.csv": "example_id,score\n000,1\n".encode("utf-16"),
    "latin.csv": "example_id,score\n000é,1\n".encode("latin-1"),
    "header.csv": b"example_id,score\n",
    "header_without_end.csv": b"example_id,score",
    "text.csv": b"example_id,score\n000,high\n",
    "ragged.csv": b"example_id,score\n000,1\n001,2,3,4\n",
    "quotes.csv": b'example_id,score\n"000,1\n',
    "words.txt": b"once upon a time\nthere was no column\n",
    "array.json": b'[{"example_id": "000", "score": 1}]',
    "array.jsonl": b'["000", 1]\n["001", 2]\n',
    "broken.jsonl": b'{"example_id": "000", "score": 1}\n{"example_id": "0\n',
    "number.jsonl": b"1\n2\n",
    "deep.jsonl": b'{"example_id": ' + b"[" * 100_000 + b"\n",
    "object.jsonl": b'{"example_id": {"a": 1}, "score": 1}\n',
    "list.jsonl": b'{"example_id": ["000"], "score": [1]}\n',
    "flag.jsonl": b'{"example_id": true, "score": 1}\n',
    "seed.jsonl": b'{"example_id": "000", "score": 1, "seed": 1' + b"0" * 30 + b"}\n",
    "half.jsonl": b'{"example_id": "000", "score": 1, "seed": 0.5}\n',
    "long.csv": b"example_id,score\n" + b"x" * 10_000_000,
    "long_header.csv": b"x" * 10_000_000,
    "long.jsonl": b'{"example_id": "' + b"x" * 10_000_000 + b'"}',
    "xlsx": b"PK\x03\x04" + b"\0" * 100,
}  # fmt: skip


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_refused_with_the_name_of_the_file(bench, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(GARBAGE[name])
    with pytest.raises(ShiftbenchError) as caught:
        read_predictions(bench, path, config="pets")
    assert name in str(caught.value) or "example_id" in str(caught.value)
    assert len(str(caught.value)) < 1500


def test_truncated_parquet(bench, tmp_path):
    data = write(frame(), tmp_path / "p.parquet").read_bytes()
    for cut in (10, len(data) // 2, len(data) - 1):
        (tmp_path / "cut.parquet").write_bytes(data[:cut])
        refused(bench, tmp_path / "cut.parquet", "cut.parquet")


def test_what_is_not_there(bench, tmp_path):
    write(frame(), tmp_path / "pred.csv")
    refused(bench, tmp_path / "predd.csv", "no such file", "did you mean 'pred.csv'")
    (tmp_path / "empty").mkdir()
    refused(bench, tmp_path / "empty", "holds no prediction file")
    for files in ([], [tmp_path / "pred.csv"] * 2, "nothing://x"):
        with pytest.raises(ConfigurationError):
            read_predictions(bench, files)


def test_types_of_parquet_that_say_nothing(bench, tmp_path):
    path = tmp_path / "p.parquet"
    for column, values, word in [
        ("score", [[1.0]] * 40, "no number"),
        ("example_id", [1.0] * 40, "as text"),
        ("prediction", [0.5] * 40, "no class"),
        ("prediction", [{"a": 1}] * 40, "names or indices"),
        ("probabilities", [0.5] * 40, "a list"),
        ("config", [["a"]] * 40, "text was expected"),
        ("seed", ["x"] * 40, "no whole number"),
        ("example_id", [*ID[:-1], None], "1 rows"),
    ]:
        columns = {"example_id": ID, "score": [1.0] * 40, "config": ["pets"] * 40, column: values}
        pq.write_table(pa.table(columns), path)
        refused(bench, path, word)


class TestValues:
    def read(self, tmp_path, label, labels, name="p.parquet", **columns):
        ids = [str(i) for i in range(len(labels))]
        out = Path(tempfile.mkdtemp(dir=tmp_path))
        bench = write_benchmark(out / "b", {"c": {"id_test": Split(ids, labels)}}, label)
        path = out / name
        if name.endswith("parquet"):
            pq.write_table(pa.table({"example_id": ids, **columns}), path)
        else:
            rows = [dict(zip(columns, r, strict=True)) for r in zip(*columns.values(), strict=True)]
            made = [{"example_id": i, **r} for i, r in zip(ids, rows, strict=True)]
            path.write_text("".join(json.dumps(r) + "\n" for r in made))
        (block,) = read_predictions(bench, path)
        return block

    @pytest.mark.parametrize(
        "given",
        [[0, 1, 1], ["0", "1", "1"], ["cat", "dog", "1"], [0.0, 1.0, 1.0], ["0.0", "1.0", "dog"]],
    )
    @pytest.mark.parametrize("name", ["p.parquet", "p.jsonl"])
    def test_classes_by_name_or_index(self, tmp_path, given, name):
        label = ClassLabel(("cat", "dog"))
        block = self.read(tmp_path, label, [0, 1, 1], name, prediction=given)
        assert block.prediction.tolist() == [0, 1, 1]

    def test_a_class_called_by_a_number_wins(self, tmp_path):
        label = ClassLabel(("3", "7", "cat"))
        for given in ([3, 7, 3], ["3", "7", "3"], [3.0, 7.0, 3.0]):
            block = self.read(tmp_path, label, [0, 1, 0], prediction=given)
            assert block.prediction.tolist() == [0, 1, 0]
        with pytest.raises(SourceError, match="every number is a name"):
            self.read(tmp_path, label, [0, 1, 0], prediction=[0, 1, 0])

    def test_names_that_look_like_something_else(self, tmp_path):
        label = ClassLabel(("NA", "", "True"))
        block = self.read(tmp_path, label, [0, 1, 2], "p.jsonl", prediction=["NA", "", True])
        assert block.prediction.tolist() == [0, 1, 2]

    def test_logical_values_of_r(self, tmp_path):
        label = ClassLabel(("false", "true"))
        block = self.read(tmp_path, label, [0, 1], prediction=["FALSE", "TRUE"])
        assert block.prediction.tolist() == [0, 1]

    def test_probabilities(self, tmp_path):
        label = ClassLabel(("cat", "dog"))
        given = [[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]]
        for values, kind in [
            (given, np.float64),
            (pa.array(given, pa.list_(pa.float32())), np.float32),
            (pa.array(given, pa.list_(pa.float64(), 2)), np.float64),
            ([json.dumps(g) for g in given], np.float64),
        ]:
            block = self.read(tmp_path, label, [0, 1, 1], probabilities=values)
            assert block.probabilities.dtype == kind
            assert block.probabilities.tolist() == given
            assert block.prediction is None
            assert block.classes().tolist() == [1, 0, 0]

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ([0.2, 0.3, 0.5], "wrong width"),
            ([1.0], "wrong width"),
            ([0.5, 0.4], "sum to 1"),
            ([-0.5, 1.5], "outside 0 to 1"),
            ([float("nan"), 1.0], "outside 0 to 1"),
            (None, "missing in 1 rows"),
            ([None, 1.0], "outside 0 to 1"),
        ],
    )
    def test_wrong_probabilities(self, tmp_path, wrong, words):
        label = ClassLabel(("cat", "dog"))
        with pytest.raises(SourceError, match=words) as caught:
            self.read(tmp_path, label, [0, 1], probabilities=[[0.5, 0.5], wrong])
        assert "'1'" in str(caught.value)

    @pytest.mark.parametrize("text", ["[0.5, 0.5], [1]", "0.5", "{}", "[0.5; 0.5]", '["a", "b"]'])
    def test_wrong_lists_in_csv(self, tmp_path, text):
        with pytest.raises(SourceError, match="no JSON list"):
            self.read(tmp_path, ClassLabel(("cat", "dog")), [0], probabilities=[text])

    @pytest.mark.parametrize("name", ["p.parquet", "p.jsonl"])
    def test_several_findings(self, tmp_path, name):
        label = ListOf(ClassLabel(("edema", "mass", "none")))
        for given in ([["mass"], [], ["edema", "mass"]], [["1"], [], ["0", "1"]]):
            block = self.read(tmp_path, label, [[1], [], [0]], name, prediction=given)
            assert block.prediction.tolist() == [[0, 1, 0], [0, 0, 0], [1, 1, 0]]
        given = [[0.9, 0.9, 0.0], [0.0, 0.0, 0.5], [0.6, 0.4, 0.1]]
        block = self.read(tmp_path, label, [[1], [], [0]], name, probabilities=given)
        assert block.classes("classes").sum(axis=1).tolist() == [2, 0, 1]
        with pytest.raises(SourceError, match="no lists"):
            self.read(tmp_path, label, [[1], [], [0]], name, prediction=["mass"] * 3)

    def test_regression(self, tmp_path):
        block = self.read(tmp_path, Value("float64"), [0.5, None], value=[1, 2])
        assert block.value.tolist() == [1.0, 2.0]
        with pytest.raises(SourceError, match="takes `value`"):
            self.read(tmp_path, Value("float64"), [0.5, None], prediction=[1, 2])

    def test_confidence_is_negated_at_the_door(self, bench, tmp_path):
        path = write(frame(), tmp_path / "p.csv")
        for block, other in zip(
            read_predictions(bench, path),
            read_predictions(bench, path, score_is="confidence"),
            strict=True,
        ):
            np.testing.assert_array_equal(block.score, -other.score)


@drawn(
    seed=st.integers(0, 10**6),
    models=st.integers(1, 4),
    files=st.integers(1, 3),
    pending=st.sampled_from([1, 3000, 10**8]),
    with_split=st.booleans(),
)
def test_order_files_and_batches_do_not_matter(bench, seed, models, files, pending, with_split):
    """Whatever the order of rows, the number of files and how much waits: the same blocks."""
    rng = np.random.default_rng(seed)
    df = pd.concat([frame(model=f"m{m}").assign(add=m) for m in range(models)])
    df["score"] += df.pop("add")
    kind = rng.integers(3)
    if kind == 1:
        df = df.sample(frac=1, random_state=seed)
    elif kind == 2:
        df = df.sort_values("example_id", kind="stable")
    batches = np.sort(rng.integers(0, len(df), files - 1))
    joiner = Joiner(bench, None, "pets", negate=False, scratch=None, pending_bytes=pending)
    for part in np.split(np.arange(len(df)), batches):
        rows = df.iloc[part]
        batch = {
            "example_id": pa.array(rows["example_id"].tolist(), pa.large_string()),
            "model": pa.array(rows["model"].tolist(), pa.string()).dictionary_encode(),
            "score": pa.array(rows["score"], pa.float64()),
        }
        if with_split:
            batch["split"] = pa.array(rows["split"].tolist(), pa.string()).dictionary_encode()
        joiner.add(batch, None, "file")
    joiner.finish()
    found = Predictions(joiner, [])
    assert len(found) == 2 * models
    for block in found:
        wanted = frame((block.split,))["score"] + int(block.model[1:])
        np.testing.assert_array_equal(block.score, wanted)
    found.close()


def test_many_partitions_with_one_open_file(tmp_path):
    """1,000 models whose rows lie side by side, example after example."""
    ids = [f"e{i}" for i in range(20)]
    bench = write_benchmark(tmp_path / "b", {"c": {"id_test": Split(ids, [0] * 20)}})
    names = np.tile(np.array([f"m{i}" for i in range(1000)]), 20)
    table = pa.table(
        {"model": names, "example_id": np.repeat(ids, 1000), "score": np.arange(20_000.0)}
    )
    pq.write_table(table, tmp_path / "p.parquet")
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir())) if descriptors.exists() else 0
    found = read_predictions(bench, tmp_path / "p.parquet")
    if before:
        assert len(list(descriptors.iterdir())) <= before + 2
    assert len(found) == 1000
    block = found[Key("m7", None, None, "c", "id_test")]
    np.testing.assert_array_equal(block.score, np.arange(20) * 1000.0 + 7)


def test_nothing_is_left_behind(bench, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    path = write(frame(), tmp_path / "p.csv")
    with read_predictions(bench, path, scratch=scratch) as found:
        assert len(list(found)) == 2
    assert not list(scratch.iterdir())
    with pytest.raises(ConfigurationError, match="closed"):
        list(found)
    with pytest.raises(SourceError):
        read_predictions(bench, write(frame().iloc[:-1], path), scratch=scratch)
    assert not list(scratch.iterdir())
    with pytest.raises(ShiftbenchError, match="scratch="):
        read_predictions(bench, path, scratch=tmp_path / "nowhere")


class TestTruth:
    def test_what_a_benchmark_knows(self, bench):
        truth = split_truth(bench, "pets", "id_test")
        assert truth.example_ids.to_pylist() == ID
        assert truth.label.tolist() == LABEL
        assert truth.class_names == ("cat", "dog")
        assert truth.clusters is None
        assert truth.metadata.column_names == ["place"]
        assert truth.subset is None
        assert len(truth) == 40
        other = split_truth(bench, "pets", "ood_test")
        assert other.label.tolist() == [0, -1] * 15
        assert other.labelled.tolist() == [True, False] * 15
        assert other.clusters.n_clusters == 10
        assert split_truth(bench, "pets", "ood_test") is other
        assert split_truth(bench, "pets", "id_test", columns=[]).metadata.column_names == []

    def test_wrong_names(self, bench):
        for arguments in (("pet", "id_test"), ("pets", "idtest")):
            with pytest.raises(ConfigurationError, match="did you mean"):
                split_truth(bench, *arguments)
        with pytest.raises(ConfigurationError, match="did you mean 'place'"):
            split_truth(bench, "pets", "id_test", columns=["places"])

    def test_clusters_across_splits(self, bench, tmp_path):
        truths = [split_truth(bench, "pets", s) for s in ("id_test", "ood_test")]
        joint = joint_clusters(truths)
        assert [c.n_clusters for c in joint] == [50, 50]
        assert not set(joint[0].codes.tolist()) & set(joint[1].codes.tolist())
        assert joint_clusters(truths[:1]) is None
        people = write_benchmark(
            tmp_path / "p",
            {"c": {s: Split([f"{s}{i}" for i in range(3)], [0] * 3, ["a", "b", s])
                   for s in ("x", "y")}},
        )  # fmt: skip
        x, y = joint_clusters([split_truth(people, "c", s) for s in ("x", "y")])
        assert x.codes.tolist() == [0, 1, 2]
        assert y.codes.tolist() == [0, 1, 3]

    def test_labels_of_other_kinds(self, tmp_path):
        label = ListOf(ClassLabel(("a", "b", "c")))
        made = write_benchmark(
            tmp_path / "m", {"c": {"s": Split(["0", "1", "2"], [[2, 0], [], None])}}, label
        )
        truth = split_truth(made, "c", "s")
        assert truth.kind == "classes"
        assert truth.label.tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 0]]
        assert truth.labelled.tolist() == [True, True, False]
        made = write_benchmark(
            tmp_path / "v", {"c": {"s": Split(["0", "1"], [1.5, None])}}, Value("float64")
        )
        truth = split_truth(made, "c", "s")
        assert truth.kind == "value"
        assert truth.labelled.tolist() == [True, False]
        made = write_benchmark(tmp_path / "n", {"c": {"s": Split(["0", "1"])}})
        assert split_truth(made, "c", "s").kind == "none"
        assert split_truth(made, "c", "s").label is None


class TestScoresBeyondFloat64:
    """Whole numbers that differ must not become ties on their way in."""

    NAMES = ("p.parquet", "p.csv", "p.csv.gz", "p.jsonl")

    def given(self, low, high, dtype=None) -> pd.DataFrame:
        df = frame()
        scores = [high if s == "ood_test" else low for s in df["split"]]
        return df.assign(score=pd.Series(scores, dtype=dtype))

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("base", [2**53, -(2**53) - 2, 2**63 - 2])
    def test_refused(self, bench, tmp_path, name, base):
        df = self.given(base, base + 1, "int64")
        refused(bench, write(df, tmp_path / name), "without loss", "rescale")

    @pytest.mark.parametrize("name", NAMES)
    def test_unsigned(self, bench, tmp_path, name):
        df = self.given(2**63, 2**63 + 1, "uint64")
        refused(bench, write(df, tmp_path / name), f"(the first is {2**63 + 1})", "30 values")

    def test_text_and_decimals(self, bench, tmp_path):
        path = tmp_path / "p.parquet"
        refused(bench, write(self.given(str(2**53), str(2**53 + 1)), path), "30 values")
        small, large = Decimal("0.1"), Decimal("0.10000000000000000000001")
        refused(bench, write(self.given(small, large), path), "30 values", str(large))
        with read_predictions(bench, write(self.given(small, Decimal("0.25")), path)) as found:
            assert {float(v) for block in found for v in block.score} == {0.1, 0.25}

    @pytest.mark.parametrize("decimal", [",", "."])
    def test_late_in_a_csv_file(self, bench, tmp_path, decimal):
        df = self.given(1.5, 2.5).astype({"score": object})
        df.loc[69, "score"] = f"{2**53 + 1}{decimal}0"
        df["score"] = [str(s).replace(".", decimal) for s in df["score"]]
        path = tmp_path / "p.csv"
        df.to_csv(path, index=False, sep=";")
        refused(bench, path, "1 values", str(2**53 + 1))

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("high", [2**60, 2**53 + 2])
    def test_what_fits_is_read(self, bench, tmp_path, name, high):
        df = self.given(-high, high, "int64")
        with read_predictions(bench, write(df, tmp_path / name)) as found:
            assert {float(v) for block in found for v in block.score} == {float(high), -float(high)}

    @pytest.mark.parametrize("name", NAMES[1:])
    def test_a_float_is_read_however_it_is_written(self, bench, tmp_path, name):
        # JavaScript writes 2**60 in its fewest digits, others as 1e+300 or in full.
        for text in ("1152921504606847000", "1152921504606846976", "1e+300", "1.5e20"):
            path = tmp_path / name
            df = self.given(0.5, 12345.0)
            write(df, path)
            data = gzip.decompress(path.read_bytes()) if name.endswith("gz") else path.read_bytes()
            data = data.replace(b"12345.0", text.encode())
            path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
            with read_predictions(bench, path) as found:
                assert {float(v) for b in found for v in b.score} == {0.5, float(text)}


class TestWhatIsWrongIsNamed:
    @pytest.mark.parametrize("name", ["p.csv", "p.parquet", "p.jsonl"])
    def test_of_which_model_seed_and_split(self, bench, tmp_path, name):
        df = pd.concat([frame(model=f"m{i}", seed=i) for i in range(3)], ignore_index=True)
        df.loc[70 + 45, "score"] = np.nan
        words = "example 'ood-5' of split 'ood_test', model 'm1', seed 1"
        refused(bench, write(df, tmp_path / name), "missing in 1 rows", words)

    @pytest.mark.parametrize("word", ["None", "<NA>", "NA", ""])
    def test_words_for_no_score_in_csv(self, bench, tmp_path, word):
        df = frame().astype({"score": object})
        df.loc[7, "score"] = word
        refused(bench, write(df, tmp_path / "p.csv"), "score is NaN or missing in 1 rows", "'007'")

    def test_near_names_of_the_first_few_classes(self, bench, tmp_path):
        df = frame()
        df.loc[3, "prediction"] = "catt"
        df.loc[4, "prediction"] = "zebra"
        df.loc[5, "prediction"] = "dgo"
        path = write(df, tmp_path / "p.csv")
        refused(bench, path, "'catt': did you mean 'cat'?", "'dgo': did you mean 'dog'?")


def test_folders_on_the_way_to_a_file_that_is_named_state_columns(tmp_path: Path) -> None:
    bench = write_benchmark(
        tmp_path / "b", {"pets": {"id_test": Split(ids=["x", "y"], label=[0, 1])}}
    )
    for model in ("a", "b"):
        folder = tmp_path / f"model={model}" / "seed=3"
        folder.mkdir(parents=True)
        (folder / "p.csv").write_text("example_id,score\nx,1\ny,2\n")
    named = [tmp_path / "model=a", tmp_path / "model=b" / "seed=3" / "p.csv"]
    with read_predictions(bench, named) as found:
        assert [(k.model, k.seed) for k in found.keys] == [("a", 3), ("b", 3)]


def test_seeds_that_pandas_wrote_as_fractions_are_whole(tmp_path: Path) -> None:
    bench = write_benchmark(tmp_path / "b", {"pets": {"id_test": Split(ids=["x"], label=[0])}})
    (tmp_path / "p.csv").write_text("example_id,seed,score\nx,7.0,1\n")
    with read_predictions(bench, tmp_path / "p.csv") as found:
        assert found.keys[0].seed == 7
    (tmp_path / "p.csv").write_text("example_id,seed,score\nx,7.5,1\n")
    with pytest.raises(SourceError, match="no whole number"):
        read_predictions(bench, tmp_path / "p.csv")
