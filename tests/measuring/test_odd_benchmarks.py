"""Measuring benchmarks that are not as a build of MetaShift makes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import shiftbench as sb
from shiftbench.cli import main
from shiftbench.errors import StorageError
from shiftbench.measuring import remeasure
from shiftbench.measuring.differences import measure_differences
from shiftbench.measuring.features import FeatureStore, cache_folder
from shiftbench.measuring.groups import context_of
from shiftbench.measuring.remeasure import examples_of, measure_benchmark, still_left_out
from shiftbench.measuring.rows import shift_table
from shiftbench.measuring.run import Measured
from shiftbench.measuring.settings import Measurement
from shiftbench.schema import BALANCE, SHIFT_DISTANCES, SUBSETS
from shiftbench.spaces.space import parse_space
from shiftbench.store.location import Location
from shiftbench.store.manifest import ConfigEntry, SplitEntry, sealed
from shiftbench.store.tables import write_table_config
from tests.small_benchmark import Split, write_benchmark

QUICK: dict[str, Any] = {"n_permutations": 19, "profile": False}


def split(name: str, n: int, role: str = "id_test", **more: Any) -> Split:
    ids = [f"{name}{i}" for i in range(n)]
    given: dict[str, Any] = {"label": [i % 2 for i in range(n)], **more}
    given.setdefault("columns", {"size": [f"{i % 5}" for i in range(n)]})
    return Split(ids, role=role, **given)


def bench(
    out: Path,
    configs: Mapping[str, Mapping[str, Split]],
    empty: Sequence[str] = (),
    content: Sequence[str] = (),
) -> sb.Benchmark:
    """A benchmark with tables; `empty` names splits, as config/split, that have no examples."""
    made = write_benchmark(out, configs)
    folder = Location(str(out))
    entries, files = dict(made.manifest.configs), {}
    for name, table in (("shift_distances", SHIFT_DISTANCES), ("balance", BALANCE)):
        entries[name], written = write_table_config(name, table.empty_table(), "measured", folder)
        files |= written
    for named in empty:
        config, name = named.split("/")
        before = entries.get(config, ConfigEntry("task", "", {}))
        role = "train" if name == "train" else "id_test"
        splits = {name: SplitEntry(0, [], "", role=role), **before.splits}
        entries[config] = msgspec.structs.replace(before, splits=splits)
    for entry in entries.values():
        for path in [p for s in entry.splits.values() for p in s.files]:
            files[path] = remeasure.file_entry(folder, path, 0)
    manifest = msgspec.structs.replace(
        made.manifest, configs=entries, files=files, content=list(content)
    )
    folder.write("README.md", b"# mine\n")
    manifest.files["README.md"] = remeasure.file_entry(folder, "README.md")
    folder.write("shift.json", sealed(manifest))
    return sb.open(out)


class TestWithout:
    def test_a_training_split_without_examples_is_passed_over(self, tmp_path: Path) -> None:
        made = bench(tmp_path / "b", {"t": {"a": split("a", 30), "b": split("b", 30)}}, ["t/train"])
        rows = made.measure("mmd", **QUICK).to_list()
        assert [(r["source"], r["target"]) for r in rows] == [("a", "b")]

    def test_a_task_without_examples_is_passed_over(self, tmp_path: Path) -> None:
        splits = {"train": split("a", 30, "train"), "id_test": split("b", 30)}
        made = bench(tmp_path / "b", {"t": splits}, ["empty/train"])
        assert len(made.measure("mmd", **QUICK)) == 1

    def test_tasks_with_other_columns_are_said(self, tmp_path: Path) -> None:
        other = {"columns": {"colour": ["red", "blue"] * 15}}
        configs = {
            "a": {"train": split("a", 30, "train"), "id_test": split("b", 30)},
            "b": {"train": split("c", 30, "train", **other), "id_test": split("d", 30, **other)},
        }
        made = bench(tmp_path / "b", configs)
        assert {r["config"] for r in made.measure("mmd", **QUICK).to_list()} == {"a"}
        (left,) = made.manifest.measured["left_out"]
        assert "no column 'size', which the space 'tabular' reads" in left["reason"]

    def test_a_reference_of_one_cluster_has_no_bandwidth(self, tmp_path: Path) -> None:
        one = {"clusters": ["patient"] * 30}
        splits = {"train": split("a", 30, "train", **one), "id_test": split("b", 30)}
        made = bench(tmp_path / "b", {"t": splits})
        rows = made.measure("mmd", "label_tv", **QUICK).to_list()
        assert [r["distance"] for r in rows] == ["label_tv"]
        assert made.manifest.measured["spaces"]["tabular"]["bandwidth"] is None

    def test_what_was_not_measured_is_in_the_card_and_in_info(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        splits = {"train": split("a", 30, "train"), "id_test": split("b", 1)}
        made = bench(tmp_path / "b", {"t": splits})
        made.measure("mmd", **QUICK)
        main(["info", str(tmp_path / "b")])
        for said in ((tmp_path / "b" / "README.md").read_text(), capsys.readouterr().out):
            assert "fewer than two examples" in said

    def test_labels_that_are_all_missing_are_said(self, tmp_path: Path) -> None:
        splits = {"train": split("a", 30, "train"), "id_test": split("b", 30, label=[None] * 30)}
        made = bench(tmp_path / "b", {"t": splits})
        made.measure("label_tv", **QUICK)
        (left,) = made.manifest.measured["left_out"]
        assert left["reason"] == "no example of the split 'id_test' has a label"

    def test_subsets_without_a_class_are_in_no_pair_of_a_class(self) -> None:
        from shiftbench.measuring.subsets import _within_budget

        rows = [
            {"subset": "a(x)", "class": "a", "size": 3},
            {"subset": "a(y)", "class": "a", "size": 2},
            {"subset": "x", "class": None, "size": 9},
        ]
        table = pa.Table.from_pylist(rows, schema=SUBSETS)
        assert _within_budget(table, 10) == ([["a(x)", "a(y)"]], 0)

    def test_infinite_differences_are_text_in_json(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from shiftbench.cli import _finite

        assert _finite({"a": [float("inf"), 1.0, None]}) == {"a": ["inf", 1.0, None]}
        splits = {"train": split("a", 30, "train"), "id_test": split("b", 30)}
        bench(tmp_path / "b", {"t": splits}).measure("label_tv", **QUICK)
        main(["info", str(tmp_path / "b"), "--json"])
        json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


class TestOneSpace:
    def test_another_seed_or_number_of_examples_keeps_the_space(self, tmp_path: Path) -> None:
        columns = {"columns": {"size": [f"{i * i % 7}" for i in range(60)]}}
        splits = {"train": split("a", 60, "train", **columns), "id_test": split("b", 30)}
        made = bench(tmp_path / "b", {"t": splits})
        made.measure("mmd", max_examples=20, **QUICK)
        before = made.manifest.measured["spaces"]["tabular"]
        made.measure("mmd", max_examples=40, seed=1, **QUICK)
        assert made.manifest.measured["spaces"]["tabular"] == before
        used = [json.loads(r["parameters"]) for r in made.table("shift_distances").to_pylist()]
        assert len(used) == 2
        assert len({(u["space_fingerprint"], u["bandwidth"]) for u in used}) == 1

    def test_features_of_columns_beside_the_content_are_not_those_of_another_build(
        self, tmp_path: Path
    ) -> None:
        """The digest is the same, since metadata is no part of it."""
        space = parse_space("text:column=size")
        found = []
        for value in ("one", "two"):
            splits = {
                "train": split("a", 5, "train", columns={"size": [value] * 5, "text": ["x"] * 5})
            }
            made = bench(tmp_path / value, {"t": splits}, content=("text",))
            examples = examples_of(Location(str(tmp_path / value)), made.manifest)
            object.__setattr__(examples, "digest", "the same")
            whole = ("text", "size")
            store = FeatureStore(examples, space, whole, lambda f, t: (f(*a) for a in t))
            rows = examples.split("t", "train")
            found.append({*store._names(rows)})
            # Nothing of it is kept where no content is read.
            FeatureStore(examples, space, ("size",), lambda f, t: (f(*a) for a in t)).raw(rows)
        assert not found[0] & found[1]
        assert not (cache_folder() / "the same").exists()


class TestLeftOut:
    def row(self, **more: Any) -> dict[str, Any]:
        given = {"source": "a", "target": "b", "kind": "covariate", "distance": "mmd"}
        return dict.fromkeys(SHIFT_DISTANCES.names) | given | more

    def test_it_stays_until_it_is_measured(self) -> None:
        pairs = {"distance": "mmd", "space": "pixels", "reason": "budget"}
        task = {"config": "t", "source": "a", "target": "b", "distance": "gcm", "reason": "few"}
        other = Measured(shift_table([self.row(config="t", space="pixels")]), {}, [])
        assert still_left_out([pairs, task], other) == [pairs, task]
        both = [self.row(space="pixels"), self.row(config="t", distance="gcm")]
        assert still_left_out([pairs, task], Measured(shift_table(both), {}, [])) == []

    def test_it_is_said_once(self) -> None:
        old, new = ({"distance": "mmd", "space": "pixels", "reason": r} for r in ("5", "4"))
        found = Measured(shift_table([]), {}, [new])
        assert still_left_out([old], found) == [new]


class TestChanged:
    def test_a_benchmark_that_is_replaced_meanwhile_is_not_overwritten(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        splits = {"train": split("a", 30, "train"), "id_test": split("b", 30)}
        bench(tmp_path / "b", {"t": splits})
        new = bench(tmp_path / "new", {"t": splits | {"more": split("c", 9)}})
        measured = remeasure.measure_differences

        def meanwhile(*given: Any) -> Any:
            (tmp_path / "b").rename(tmp_path / "old")
            (tmp_path / "new").rename(tmp_path / "b")
            return measured(*given)

        monkeypatch.setattr(remeasure, "measure_differences", meanwhile)
        with pytest.raises(StorageError, match="was changed meanwhile"):
            measure_benchmark(tmp_path / "b", Measurement(distances=("label_tv",)))
        assert sb.open(tmp_path / "b").manifest.sha256 == new.manifest.sha256


class TestCard:
    def measured(self, tmp_path: Path, card: bytes | None) -> bytes:
        splits = {"train": split("a", 30, "train"), "id_test": split("b", 30)}
        made = bench(tmp_path / "b", {"t": splits})
        path = tmp_path / "b" / "README.md"
        path.unlink() if card is None else path.write_bytes(card)
        made.measure("label_tv", **QUICK)
        made.measure("label_js", **QUICK)
        return path.read_bytes()

    @pytest.mark.parametrize(
        "card",
        [
            "# mine\n\nwords\n\n---\n\nmore\n",
            "---\r\ntags: [a]\r\n---\r\n# mine\r\n\r\nwords\r\n\r\n## Use\r\n\r\nmore\r\n",
            "---\n---\n# mine\nwords\n## Shift distances\nbygone\n## Shift distances, too\nmore\n",
            "# mine\n\nwords\n\n## Use\n\n```\n## Shift distances\nmore\n```\n",
        ],
    )
    def test_what_a_person_wrote_stays(self, tmp_path: Path, card: str) -> None:
        said = self.measured(tmp_path, card.encode()).decode()
        for part in ("# mine", "words", "more"):
            assert said.count(part) == 1
        assert "bygone" not in said
        assert said.count("| t | train | id_test | label | label_js |") == 1

    def test_so_do_the_keys_of_its_yaml(self, tmp_path: Path) -> None:
        card = b"---\npretty_name: Mine\ntags: [a]\nconfigs: []\n---\n# mine\n"
        front = yaml.safe_load(self.measured(tmp_path, card).decode().split("---\n")[1])
        assert (front["pretty_name"], front["tags"]) == ("Mine", ["a"])
        assert "shift_distances" in {c["config_name"] for c in front["configs"]}

    def test_a_card_that_is_no_text_or_not_there(self, tmp_path: Path) -> None:
        assert b"caf\xe9" in self.measured(tmp_path / "a", b"# mine\n\ncaf\xe9\n")
        assert b"## Shift distances" in self.measured(tmp_path / "b", None)


class TestGroups:
    def test_the_groups_of_a_task_are_contexts_too(self) -> None:
        assert context_of("No Finding(0.168 mm)", {"No Finding"}) == "0.168 mm"
        assert context_of("a(b)(c)", {"a(b)"}) == "c"
        assert context_of("cat(sofa)", {"dog"}) is None

    def test_a_balanced_test_has_no_spurious_correlation(self, tmp_path: Path) -> None:
        label = [i % 2 for i in range(80)]
        names = ("cat", "dog")
        half = [f"{names[y]}({'in' if i % 4 < 2 else 'out'})" for i, y in enumerate(label)]
        tied = [f"{names[y]}({'in' if y else 'out'})" for y in label]
        splits = {
            name: Split([f"{name}{i}" for i in range(80)], label, role=role, columns={"subset": s})
            for name, role, s in (("train", "train", tied), ("id_test", "id_test", half))
        }
        made = bench(tmp_path / "b", {"t": splits})
        found = made.measure("label_tv", n_permutations=0).to_list()
        value = {r["distance"]: r["value"] for r in found}
        assert value["spurious_correlation"] == pytest.approx(1, abs=0.05)
        assert value["spurious_correlation[target]"] == pytest.approx(0, abs=0.05)


def test_examples_without_clusters_are_each_their_own(tmp_path: Path) -> None:
    splits = {"train": split("a", 30, "train"), "id_test": split("b", 30)}
    made = bench(tmp_path / "b", {"t": splits})
    for path in (tmp_path / "b" / "data" / "t").iterdir():
        table = pq.read_table(path)
        pq.write_table(table.drop_columns(["cluster_id"]), path)
    examples = examples_of(Location(made.url), made.manifest)
    table = examples.split("t", "train").table
    assert table["cluster_id"].to_pylist() == table["example_id"].to_pylist()


def test_no_accuracy_is_drawn_against_what_describes_one_split() -> None:
    from shiftbench.grading.curves import _of_one_split

    names = ("spurious_correlation", "class_imbalance[target]", "class_imbalance[change]", "mmd")
    assert [_of_one_split({"distance": n}) for n in names] == [True, True, False, False]


def test_a_column_that_is_another_constant_on_each_side_differs_without_bound() -> None:
    from shiftbench.distances.balance_table import balance

    sides = (pa.table({"age": [0.0] * 60}), pa.table({"age": [1.0] * 50}))
    where = {"config": "t", "source_name": "a", "target_name": "b"}
    rows = balance(*sides, cluster=None, seed=0, **where).to_pylist()
    assert rows[0]["value"] == float("inf")


def test_a_split_without_labels_by_design_is_not_confounded_with_them(tmp_path: Path) -> None:
    sites = ["a", "b", "c"] * 20
    bench = write_benchmark(
        tmp_path / "bench",
        {
            "task": {
                "train": Split([f"t{i}" for i in range(60)], [i % 2 for i in range(60)],
                               role="train", columns={"site": sites}),
                "target_unlabeled": Split([f"u{i}" for i in range(60)], [None] * 60,
                                          role="target_unlabeled", columns={"site": sites}),
            }
        },
    )  # fmt: skip
    table, verdicts = measure_differences(examples_of(Location(bench.url), bench.manifest), (), 0)
    assert "label" not in table["column"].to_pylist()
    assert [v["verdict"] for v in verdicts] != ["confounded"]
