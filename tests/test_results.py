"""Results: tidy tables that survive a round trip, and tables for people that cannot be broken."""

from __future__ import annotations

import json
import math
import warnings

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from shiftbench.errors import ConfigurationError, ShiftbenchError, SourceError, StorageError
from shiftbench.results import (
    CURVES,
    PROTOCOL,
    RESULTS,
    SELECTION,
    ResultRows,
    Results,
    read_results,
    render,
)
from shiftbench.statistics import Estimate

ACCURACY = Estimate(0.8125, 0.75, 0.875, method="Wilson", n=160, n_clusters=40)
AUROC = Estimate(
    0.9, 0.85, math.inf, method="logit DeLong", n=60, n_id=40, n_ood=20, positive="ood",
    p_value=0.01, parameters={"tpr": np.float64(0.95), "bins": (1, 2), "bad": math.nan},
)  # fmt: skip


def results(models=("a", "b"), digest="d1", seeds=(None,), **selection) -> Results:
    rows = ResultRows(config="pets", digest=digest)
    for m, model in enumerate(models):
        for seed in seeds:
            key = {"model": model, "seed": seed}
            for split in ("id_test", "ood_test"):
                better = Estimate(0.8125 + m / 100, 0.75, 0.875, method="Wilson", n=160)
                rows.add(better, metric="accuracy", split=split, **key)
                rows.add(ACCURACY, metric="accuracy", split=split, subset="cat(sofa)", **key)
            rows.add(AUROC, metric="auroc", split="ood_test", compared_to="id_test", **key)
        rows.curve([0, 0.5, 1], [0, math.nan, 1], curve="roc", n=60, low=[0, 0.1, 0.2], model=model)
    return rows.results(selection=selection, notes=["a note"])


class TestRows:
    def test_columns_and_their_order(self):
        table = results().table
        assert table.schema == RESULTS
        assert (
            table.column_names
            == (
                "model seed epoch config split subset metric positive value low high level method "
                "p_value compared_to n n_id n_ood n_clusters spread n_seeds parameters digest "
                "protocol"
            ).split()
        )
        assert results().curves.schema == CURVES

    def test_an_estimate_as_a_row(self):
        row = results().table.to_pylist()[4]
        assert row["value"] == 0.9
        assert row["high"] == math.inf
        assert row["positive"] == "ood"
        assert (row["n"], row["n_id"], row["n_ood"], row["n_clusters"]) == (60, 40, 20, None)
        assert json.loads(row["parameters"]) == {"bad": None, "bins": [1, 2], "tpr": 0.95}
        assert row["protocol"] == PROTOCOL

    def test_what_cannot_be_told_is_null(self):
        rows = ResultRows()
        rows.add(Estimate(math.nan, method="no examples"), metric="accuracy")
        (row,) = rows.results().table.to_pylist()
        assert (row["value"], row["low"], row["high"], row["n"]) == (None, None, None, 0)
        assert rows.records() == [row]
        assert len(rows) == 1

    def test_curves(self):
        points = results(("a",)).curves.to_pylist()
        assert [p["y"] for p in points] == [0.0, None, 1.0]
        assert [p["n"] for p in points] == [60] * 3
        assert {p["model"] for p in points} == {"a"}

    def test_wrong_names(self):
        with pytest.raises(ConfigurationError, match="did you mean 'split'"):
            ResultRows().add(ACCURACY, metric="accuracy", splitt="x")
        with pytest.raises(ConfigurationError, match="did you mean 'config'"):
            ResultRows(confg="x")


class TestFiles:
    @pytest.mark.parametrize("name", ["r.json", "r.parquet"])
    def test_round_trip(self, tmp_path, name):
        given = results(rule="ID validation", seeds=(0, 1))
        given.write(tmp_path / name)
        found = read_results(tmp_path / name)
        assert found.table.equals(given.table)
        assert found.curves.equals(given.curves)
        assert found.selection == given.selection
        assert found.notes == ("a note",)
        assert not [f for f in tmp_path.iterdir() if f.name.startswith(".")]

    def test_json_holds_null_and_words_for_infinity(self, tmp_path):
        results().write(tmp_path / "r.json")
        text = (tmp_path / "r.json").read_text()
        found = json.loads(text, parse_constant=pytest.fail)
        assert found["format"] == PROTOCOL
        assert found["results"][4]["high"] == "inf"
        assert found["curves"][1]["y"] is None

    def test_elsewhere(self, tmp_path):
        for url in ("memory://h4results/r.json", "memory://h4results/r.parquet"):
            results().write(url)
            assert read_results(url).table.equals(results().table)
        assert fsspec.filesystem("memory").exists("/h4results/r.curves.parquet")

    @pytest.mark.parametrize("name", ["r.json", "r.parquet"])
    def test_a_folder_that_is_not_there(self, tmp_path, name):
        with pytest.raises(StorageError, match=r"there is no folder .*'; make it first"):
            results().write(tmp_path / "new" / name)
        assert not list(tmp_path.iterdir())

    def test_a_failed_write_leaves_the_old_file(self, tmp_path):
        path = tmp_path / "r.json"
        results().write(path)
        before = path.read_bytes()
        broken = Results(results().table, results().curves, {"rule": object()}, ())
        broken.write(path)  # what is no JSON is written as text
        assert "object" in path.read_text()
        path.write_bytes(before)
        with pytest.raises(ShiftbenchError):
            results().write(tmp_path / "r.json" / "below.json")
        assert path.read_bytes() == before

    def test_names(self, tmp_path):
        for name in ("r.csv", "r", "r.curves.parquet"):
            with pytest.raises(ConfigurationError, match=r"\.json or \.parquet"):
                results().write(tmp_path / name)
        with pytest.raises(ConfigurationError, match="no results file"):
            read_results()

    @pytest.mark.parametrize(
        "data",
        [b"", b"{}", b"[]", b'{"format": "other/1", "results": []}', b"\xff\xfe", b"[" * 9999,
         b'{"format": "%s", "results": [{"metric": 1}]}' % PROTOCOL.encode(),
         b'{"format": "%s", "results": [{"metric": "a", "value": "b"}]}' % PROTOCOL.encode()],
    )  # fmt: skip
    def test_garbage(self, tmp_path, data):
        for name in ("r.json", "r.parquet"):
            (tmp_path / name).write_bytes(data)
            with pytest.raises(SourceError, match=name):
                read_results(tmp_path / name)
        with pytest.raises(SourceError, match="no such"):
            read_results(tmp_path / "nowhere.json")

    def test_another_table_is_no_results(self, tmp_path):
        pa.parquet.write_table(pa.table({"a": [1]}), tmp_path / "r.parquet")
        with pytest.raises(SourceError, match=r"r\.parquet"):
            read_results(tmp_path / "r.parquet")


class TestMerge:
    def test_several_files_without_repetition(self, tmp_path):
        results(("a", "b")).write(tmp_path / "1.json")
        results(("c", "b")).write(tmp_path / "2.parquet")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = read_results(*sorted(tmp_path.iterdir()))
        assert sorted(set(found.table["model"].to_pylist())) == ["a", "b", "c"]
        assert len(found) == 15
        assert len(found.curves) == 9
        assert found.notes == ("a note",)

    def test_different_digests_are_told(self, tmp_path):
        results(("a",), "d1").write(tmp_path / "1.json")
        results(("b",), "d2").write(tmp_path / "2.json")
        with pytest.warns(UserWarning, match="'ood_test' has the digests d1, d2"):
            found = read_results(tmp_path / "1.json", tmp_path / "2.json")
        assert sum("do not compare" in n for n in found.notes) == 2
        with pytest.warns(UserWarning, match="do not compare"):
            text = found.markdown(metrics=["accuracy"])
        assert "do not compare" in text
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found.markdown(metrics=["accuracy"], where={"model": "a"})

    def test_a_new_split_is_no_conflict(self, tmp_path):
        rows = ResultRows(config="pets", digest="other", model="b")
        rows.add(ACCURACY, metric="accuracy", split="ood_test_new")
        rows.results().write(tmp_path / "2.json")
        results(("a",)).write(tmp_path / "1.json")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read_results(tmp_path / "1.json", tmp_path / "2.json")

    def test_how_models_were_selected_stays_with_them(self, tmp_path):
        one = results(("a",), rule="ID validation", trials=20)
        two = results(("b",), rule="oracle")
        three = results(("c",))
        for i, part in enumerate((one, two, three)):
            part.write(tmp_path / f"{i}.json")
        found = read_results(*sorted(tmp_path.iterdir()))
        assert found.selection_of("a")["rule"] == "ID validation"
        assert found.selection_of("a")["trials"] == 20
        assert found.selection_of("b")["trials"] is None
        assert found.selection_of("c") == dict.fromkeys(SELECTION)
        assert "stated by model" in found.text()
        assert "not stated" in three.text()
        same = read_results(tmp_path / "0.json", tmp_path / "0.json")
        assert same.selection == {"rule": "ID validation", "trials": 20}


class TestTables:
    def test_markdown(self):
        text = results().markdown(metrics=["accuracy"])
        lines = text.splitlines()
        assert lines[0] == r"| model | id\_test | ood\_test |"
        assert lines[1] == "|---|--:|--:|"
        assert lines[2].startswith(r"| a | 81.2 \[75.0, 87.5\], n = 160 |")
        assert "In percent, with 95 % intervals" in text
        assert "d1" in text
        assert "**" not in text

    def test_latex(self):
        text = results().latex(metrics=["accuracy"], bold_best=True)
        assert r"model & id\_test & ood\_test \\" in text
        assert r"a & 81.2 {\scriptsize [75.0, 87.5], n = 160}" in text
        assert r"\textbf{82.2} {\scriptsize" in text
        assert text.count("{") == text.count("}")
        assert r"95 \%" in text

    def test_both_counts_where_there_are_two_samples(self):
        assert "n = 40 + 20" in results().markdown(metrics=["auroc"])
        assert "Positive: ood" in results().markdown(metrics=["auroc"])

    def test_several_metrics_and_other_axes(self):
        text = results().markdown(where={"split": "ood_test"})
        assert r"ood\_test, accuracy | ood\_test, auroc" in text
        text = results().markdown(rows=["split", "metric"], columns="model")
        assert text.splitlines()[0] == "| split | metric | a | b |"
        text = results().markdown(
            metrics=["accuracy"], columns=["split", "subset"], where={"subset": "cat(sofa)"}
        )
        assert "cat(sofa)" in text

    def test_several_numbers_in_one_cell(self):
        with pytest.raises(ConfigurationError, match="differ in seed"):
            results(seeds=(0, 1)).markdown(metrics=["accuracy"])
        text = results(seeds=(0, 1)).markdown(metrics=["accuracy"], rows=["model", "seed"])
        assert len(text.splitlines()) == 2 + 4 + 2
        results(seeds=(0, 1)).markdown(metrics=["accuracy"], where={"seed": 0})

    def test_wrong_names(self):
        for options in (
            {"metrics": ["accurac"]}, {"rows": "modle"}, {"where": {"modle": 1}},
            {"where": {"model": "z"}},
        ):  # fmt: skip
            with pytest.raises(ConfigurationError):
                results().markdown(**options)

    def test_percent_only_of_rates(self):
        rows = ResultRows(model="a", split="s")
        rows.add(Estimate(0.5), metric="log_loss")
        assert "0.500" in rows.results().markdown()
        assert "50.0" in rows.results().markdown(percent=["log_loss"])
        assert "–" not in rows.results().markdown(percent=["log_loss"]).splitlines()[2]
        rows.add(Estimate(math.nan, method="one class only"), metric="auroc")
        assert "–" in rows.results().markdown(metrics=["auroc"])
        assert "--" in rows.results().latex(metrics=["auroc"])

    def test_best_is_lowest_for_losses(self):
        rows = ResultRows(split="s")
        for model, value in (("a", 0.1), ("b", 0.2)):
            rows.add(Estimate(value, n=1), metric="fpr_at_95tpr_id", model=model)
            rows.add(Estimate(value, n=1), metric="auroc", model=model)
        text = rows.results().markdown(bold_best=True)
        assert text.splitlines()[2] == "| a | **10.0** n = 1 | 10.0 n = 1 |"
        assert text.splitlines()[3] == "| b | 20.0 n = 1 | **20.0** n = 1 |"

    @pytest.mark.parametrize(
        "name",
        [
            "a|b",
            "a\nb",
            "<script>",
            "\u202eabc",
            "\x1b[31m",
            "`x`",
            "[x](y)",
            "a_b*c",
            "\\",
            "&amp;",
        ],
    )
    def test_names_cannot_break_a_table(self, name):
        text = results((name,)).markdown(metrics=["accuracy"])
        lines = [line for line in text.splitlines() if line.startswith("|")]
        assert len(lines) == 3
        assert all(line.replace("\\\\", "").replace(r"\|", "").count("|") == 4 for line in lines)
        assert all(c.isprintable() or c == "\n" for c in text)
        assert "<script>" not in text.replace(r"\<", "")
        latex = results((name,)).latex(metrics=["accuracy"])
        assert latex.count(r"\\" + "\n") == 2 or name == "\\"
        assert all(c.isprintable() or c == "\n" for c in latex)

    @drawn(st.text(st.characters(codec="utf-8"), max_size=30))
    def test_latex_names_hold_no_live_special(self, name):
        made = render._latex_text(name)
        for command in ("textbackslash", "textasciitilde", "textasciicircum", "textless",
                        "textgreater", "textbar", "ldots"):  # fmt: skip
            made = made.replace(rf"\{command}{{}}", "")
        for special in "{}$&#_%":
            made = made.replace("\\" + special, "")
        assert not set(made) & set("\\{}$&#_%~^\n\r")

    def test_text(self):
        text = results(("a\x1b[31m",)).text()
        assert "5 numbers of 1 model" in text
        assert "\x1b" not in text
        assert "81.2 %" in text
        assert "[75.0, 87.5], n = 160" in text
        assert "… and 2 more" in text
        assert "note: a note" in text
        assert "… and 8 more" in results().text(lines=2)
        assert "0 numbers" in Results().text()


def test_names_that_latex_would_take_for_an_argument() -> None:
    rows = ResultRows(config="c", digest="d", split="id_test")
    for model in ("[x] one", "*star"):
        rows.add(Estimate(0.5, 0.4, 0.6, n=10), metric="accuracy", model=model)
    text = rows.results().latex()
    assert "\n{}[x] one" in text
    assert "\n{}*star" in text
