"""Measuring a benchmark directory: what is stored, that all else stays, and what goes wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pytest

import shiftbench as sb
from shiftbench.cli import main
from shiftbench.errors import ConfigurationError, StorageError
from shiftbench.measuring import remeasure
from shiftbench.measuring.examples import Examples
from shiftbench.measuring.features import FeatureStore, cache_folder
from shiftbench.measuring.remeasure import examples_of
from shiftbench.measuring.settings import Measurement
from shiftbench.spaces.space import parse_space
from shiftbench.store.location import Location
from tests.photographs import builder, photographs

QUICK: dict[str, Any] = {"n_permutations": 49, "max_pairs": 4}
TASK = sb.builders.DomainGeneralization(
    "cat or dog",
    train={"cat(sofa)": ("sofa",), "dog(sofa)": ("sofa",)},
    test={
        "car": {"cat(car)": ("car",), "dog(car)": ("car",)},
        "bench": {"cat(bench)": ("bench",), "dog(bench)": ("bench",)},
    },
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measuring")
    source = builder(photographs(folder / "photographs", 240), tasks=(TASK,))
    sb.build(source, folder / "bench", measure=Measurement(**QUICK))
    return folder / "bench"


@pytest.fixture
def bench(built: Path, tmp_path: Path) -> Path:
    """A copy that a test may measure again."""
    return Path(shutil.copytree(built, tmp_path / "bench"))


def of_tasks(where: Path) -> list[dict[str, Any]]:
    rows = sb.open(where).table("shift_distances").to_pylist()
    return [r for r in rows if r["config"] is not None]


class TestBuild:
    def test_a_build_measures_its_tasks_and_the_subsets_of_a_class(self, built: Path) -> None:
        rows = of_tasks(built)
        splits = set(sb.open(built).splits("cat_or_dog")) - {"train"}
        mmd = [r for r in rows if r["distance"] == "mmd"]
        assert {r["target"] for r in mmd} == splits
        assert all(r["space"] == "pixels" and r["source"] == "train" for r in mmd)
        assert all(0 < r["p_value"] <= 1 for r in mmd)
        far = [r for r in mmd if r["target"].startswith("ood_test")]
        assert far
        assert all(r["low"] <= r["value"] <= r["high"] for r in far)
        assert {r["kind"] for r in rows} >= {"label", "covariate", "concept", "subpopulation"}
        pairs = [r for r in sb.open(built).table("shift_distances").to_pylist()
                 if r["config"] is None and r["distance"] == "mmd"]  # fmt: skip
        assert 0 < len(pairs) <= QUICK["max_pairs"]
        assert all(r["source"].split("(")[0] == r["target"].split("(")[0] for r in pairs)

    def test_one_space_and_one_bandwidth_are_stored_and_used_throughout(self, built: Path) -> None:
        stored = sb.open(built).manifest.measured["spaces"]["pixels"]
        rows = sb.open(built).table("shift_distances").to_pylist()
        used = [json.loads(r["parameters"]) for r in rows if r["distance"] == "mmd"]
        assert {u["bandwidth"] for u in used} == {stored["bandwidth"]}
        assert {u["space_fingerprint"] for u in used} == {stored["fingerprint"][:16]}

    def test_what_the_budget_left_out_is_said(self, built: Path) -> None:
        left = sb.open(built).manifest.measured["left_out"]
        assert any("beyond the budget of 4 pairs" in entry["reason"] for entry in left)
        assert "beyond the budget of 4 pairs" in (built / "README.md").read_text()

    def test_the_digest_does_not_depend_on_measuring(self, built: Path, tmp_path: Path) -> None:
        source = builder(photographs(tmp_path / "photographs", 240), tasks=(TASK,))
        plain = sb.build(source, tmp_path / "plain", measure=False)
        assert plain.digest == sb.open(built).digest
        assert all(r["kind"] == "membership" for r in of_tasks(tmp_path / "plain"))

    def test_two_workers_give_the_same_bytes(self, built: Path, tmp_path: Path) -> None:
        source = builder(photographs(tmp_path / "photographs", 240), tasks=(TASK,))
        again = sb.build(source, tmp_path / "again", n_jobs=2, measure=Measurement(**QUICK))
        assert again.manifest.sha256 == sb.open(built).manifest.sha256

    def test_a_column_that_is_not_there_stops_before_the_work(self, tmp_path: Path) -> None:
        source = builder(photographs(tmp_path / "photographs"), tasks=(TASK,), fit=True)
        with pytest.raises(ConfigurationError, match="no column 'devise' that could be the shift"):
            sb.build(source, tmp_path / "out", shift_columns=["devise"])


class TestAgain:
    def test_lines_are_added_and_the_rest_stays(self, bench: Path) -> None:
        before, old = of_tasks(bench), sb.open(bench)
        card = (bench / "README.md").read_text()
        main(["measure", str(bench), "--distance", "energy", "--space", "spectrum",
              "--n-permutations", "49", "--no-subsets", "--no-profile"])  # fmt: skip
        now = sb.open(bench)
        now.verify()
        assert now.digest == old.digest
        after = of_tasks(bench)
        assert [r for r in after if r["distance"] != "energy"] == before
        added = [r for r in after if r["distance"] == "energy"]
        assert {r["space"] for r in added} == {"spectrum"}
        assert len(added) == len(now.splits("cat_or_dog")) - 1
        loaded = datasets.load_dataset(str(bench), "shift_distances", split="train")
        assert loaded.num_rows == now.table("shift_distances").num_rows
        new_card = (bench / "README.md").read_text()
        assert "Space spectrum" in new_card
        for part in ("## Loading", "## Provenance and licence", "## Meta-graph"):
            body = card[card.index(part) :].split("\n## ")[0]
            assert body in new_card
        assert new_card.count("## Shift distances") == new_card.count("## What else differs") == 1
        assert set(old.manifest.files) == set(now.manifest.files)

    def test_the_same_measurement_is_stored_once(self, bench: Path) -> None:
        opened = sb.open(bench)
        before = opened.table("shift_distances").num_rows
        found = opened.measure("mmd", "label_tv", **QUICK)
        assert found.num_rows > 0
        assert opened.table("shift_distances").num_rows == before

    def test_other_sources_and_distances_between_labels(self, bench: Path) -> None:
        opened = sb.open(bench)
        found = opened.measure(
            "label_js", "gcm", sources="id_test", subsets=False, profile=False, n_permutations=49
        )
        rows = found.to_list()
        assert {r["source"] for r in rows} == {"id_test"}
        assert {r["space"] for r in rows if r["distance"] == "label_js"} == {None}

    def test_the_decomposition_has_a_line_for_each_part(self, bench: Path) -> None:
        rows = sb.open(bench).measure("disde", subsets=False, profile=False).to_list()
        assert {r["distance"] for r in rows} == {
            "disde", "disde_x_source", "disde_y_given_x", "disde_x_target", "disde_total",
        }  # fmt: skip

    def test_what_is_read_is_what_evaluate_draws_against(self, bench: Path, tmp_path: Path) -> None:
        opened = sb.open(bench)
        lines = ["config,split,example_id,score"]
        for split in opened.splits("cat_or_dog"):
            if split == "id_test" or split.startswith("ood_test"):
                for i, e in enumerate(opened.load("cat_or_dog", split)["example_id"]):
                    lines.append(f"cat_or_dog,{split},{e},{i % 7}")
        (tmp_path / "p.csv").write_text("\n".join(lines))
        results = opened.evaluate(tmp_path / "p.csv")
        assert not [r for r in results.curves.to_pylist() if "None" in str(r["x_name"])]

    def test_an_error_in_the_middle_leaves_the_benchmark_whole(
        self, bench: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = (bench / "shift.json").read_bytes()

        def fails(*_: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(remeasure, "measure_differences", fails)
        with pytest.raises(KeyboardInterrupt):
            sb.open(bench).measure("energy", subsets=False, profile=False, n_permutations=9)
        assert (bench / "shift.json").read_bytes() == before
        sb.open(bench).verify()
        monkeypatch.undo()
        sb.open(bench).measure("energy", subsets=False, profile=False, n_permutations=9)
        assert [p.name for p in bench.parent.iterdir() if "partial" in p.name] == []

    def test_a_benchmark_elsewhere_cannot_be_measured(self, bench: Path) -> None:
        target = Location("memory://measured")
        for path in sorted(p for p in bench.rglob("*") if p.is_file()):
            target.write(path.relative_to(bench).as_posix(), path.read_bytes())
        with pytest.raises(StorageError, match="no local folder"):
            sb.open("memory://measured").measure("mmd")


class TestFeatures:
    def examples(self, bench: Path) -> Examples:
        return examples_of(Location(str(bench)), sb.open(bench).manifest)

    def store(self, bench: Path, calls: list[int]) -> FeatureStore:
        def run(function: Any, tasks: Any) -> Any:
            calls.append(len(tasks))
            return (function(*t) for t in tasks)

        space = parse_space("pixels:size=4")
        return FeatureStore(self.examples(bench), space, ("image",), run)

    def test_they_are_computed_once_and_kept_by_the_digest(self, bench: Path) -> None:
        calls: list[int] = []
        rows = self.examples(bench).split("cat_or_dog", "train")
        first = self.store(bench, calls).raw(rows)
        again = self.store(bench, calls)
        assert (again.raw(rows) == first).all()
        turned = rows.take(__import__("numpy").arange(len(first))[::-1])
        assert (again.raw(turned) == first[::-1]).all()
        assert len(calls) == 1

    def test_a_damaged_part_is_computed_again(self, bench: Path) -> None:
        calls: list[int] = []
        rows = self.examples(bench).split("cat_or_dog", "id_test")
        first = self.store(bench, calls).raw(rows)
        for path in cache_folder().rglob("*.npz"):
            path.write_bytes(path.read_bytes()[:100])
        assert (self.store(bench, calls).raw(rows) == first).all()
        assert len(calls) == 2

    def test_a_cache_that_cannot_be_written_is_said(
        self, bench: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("no folder")
        monkeypatch.setenv("SHIFTBENCH_CACHE", str(tmp_path / "file"))
        rows = self.examples(bench).split("cat_or_dog", "id_test")
        with pytest.warns(UserWarning, match="features cannot be kept"):
            self.store(bench, []).raw(rows)


class TestUnreadable:
    def test_one_bad_image_costs_itself_alone(self, tmp_path: Path) -> None:
        folder = photographs(tmp_path / "photographs", 120)
        spoilt = folder / "images" / "000000.jpg"
        whole = spoilt.read_bytes()
        spoilt.write_bytes(b"no image" + whole[8:])
        source = builder(folder, tasks=(TASK,), fit=True)
        bench = sb.build(source, tmp_path / "out", checks="off", measure=Measurement(**QUICK))
        left = [e["reason"] for e in bench.manifest.measured["left_out"]]
        assert any("1 examples cannot be read, the first being '0'" in reason for reason in left)
        assert any(r["distance"] == "mmd" for r in of_tasks(tmp_path / "out"))


class TestWrongUse:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--distance", "mdm"], "no distance is called 'mdm'; there are: "),
            (["--space", "pixel"], "no space is called 'pixel'; there are: "),
            (["--space", "pixels:sice=3"], "did you mean 'size'"),
            (["--space", "column:embedding"], "embedding"),
            (["--config", "cats"], "has no task 'cats'"),
            (["--source", "tests"], "has no split 'tests'"),
            (["--option", "bandwidth"], "name an option and its value"),
            (["--option", "bandwith=2"], "no distance asked for has an option 'bandwith'"),
            (["--max-examples", "1"], "max_examples is 1; allowed: 2 and above"),
            (["--shift-columns", "device"], "has no column 'device'"),
        ],
    )
    def test_one_clear_line(self, built: Path, words: list[str], said: str) -> None:
        command = [sys.executable, "-m", "shiftbench.cli", "measure", str(built), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stderr
        assert said in done.stderr
        assert done.stderr.count("\n") == 1

    def test_json(self, bench: Path, capsys: pytest.CaptureFixture[str]) -> None:
        main(["measure", str(bench), "--distance", "label_tv", "--no-profile", "--json"])
        found = json.loads(capsys.readouterr().out)
        assert {r["distance"] for r in found["distances"]} == {"label_tv"}

    def test_info_tells_distances_with_their_intervals(
        self, built: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        main(["info", str(built)])
        said = capsys.readouterr().out
        assert "mmd in pixels" in said
        assert "can the shift be told from other columns?" in said
