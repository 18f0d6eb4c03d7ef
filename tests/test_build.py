"""Builds: the same result whatever the order and the number of workers, and bad input survived."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from PIL import Image

import shiftbench as sb
from shiftbench.errors import ConfigurationError, ShiftbenchError, StorageError
from shiftbench.store.lock import held
from tests.photographs import builder, photographs, shuffle
from tests.slow_scenes import SlowScenes
from tests.stopping import beside, contents, digest, slow_builder

TASK = sb.builders.DomainGeneralization(
    "cat or dog",
    train={"cat(sofa)": ("sofa",), "dog(sofa)": ("sofa",)},
    test={"car": {"cat(car)": ("car",), "dog(car)": ("car",)}},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return photographs(tmp_path / "photographs")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    place = tmp_path / "place"
    place.mkdir()
    return place / "out"


class TestSame:
    """The same inputs, options and seed give the same benchmark, byte by byte."""

    def test_with_one_worker_or_two(self, tmp_path: Path) -> None:
        one, two = tmp_path / "one", tmp_path / "two"
        options: dict[str, Any] = {
            "contexts": ("objects",),
            "min_size": 5,
            "tasks": ("cat_dog_1",),
            "fit": True,
        }
        first = sb.build(slow_builder(**options), one, n_jobs=1)
        second = sb.build(slow_builder(**options), two, n_jobs=2)
        assert first.digest == second.digest
        assert len(first.manifest.configs["images"].splits["train"].files) > 5
        assert contents(one) == contents(two)

    def test_with_files_and_two_workers(self, folder: Path, tmp_path: Path) -> None:
        one, two = tmp_path / "one", tmp_path / "two"
        sb.build(builder(folder, tasks=(TASK,)), one, n_jobs=1)
        sb.build(builder(folder, tasks=(TASK,)), two, n_jobs=2)
        assert contents(one) == contents(two)

    def test_on_the_command_line(self, folder: Path, tmp_path: Path) -> None:
        sb.build(builder(folder), tmp_path / "one")
        run = subprocess.run(
            [
                *(sys.executable, "-m", "shiftbench.cli", "build", "metashift", "--source", "coco"),
                *("--instances", folder / "instances.json", "--images", folder / "images"),
                *("--classes", "cat", "dog", "--min-size", "3", "--min-subsets", "2"),
                *("--out", tmp_path / "two", "--n-jobs", "2"),
            ],
            capture_output=True,
            text=True,
        )
        assert (run.returncode, run.stderr) == (0, "")
        assert digest(tmp_path / "one") in run.stdout
        assert contents(tmp_path / "one") == contents(tmp_path / "two")

    @pytest.mark.parametrize("seed", [1, 2])
    def test_in_whatever_order_the_annotations_come(
        self, folder: Path, tmp_path: Path, seed: int
    ) -> None:
        one, two = tmp_path / "one", tmp_path / "two"
        sb.build(builder(folder, tasks=(TASK,)), one)
        shuffle(folder, seed)
        sb.build(builder(folder, tasks=(TASK,)), two)
        assert digest(one) == digest(two)
        # The manifest and the card name the annotation file's hash.
        assert {n for n, h in contents(one).items() if contents(two)[n] != h} <= {
            "shift.json",
            "README.md",
        }

    def test_from_a_copy_elsewhere(self, folder: Path, tmp_path: Path) -> None:
        one, two = tmp_path / "one", tmp_path / "two"
        sb.build(builder(folder), one)
        sb.build(builder(folder.rename(tmp_path / "moved")), two)
        assert contents(one) == contents(two)

    def test_another_seed_splits_otherwise(self, folder: Path, tmp_path: Path) -> None:
        one = sb.build(builder(folder, tasks=(TASK,)), tmp_path / "one", seed=0)
        two = sb.build(builder(folder, tasks=(TASK,)), tmp_path / "two", seed=1)
        differing = {
            name
            for name, config in one.manifest.configs.items()
            if config.kind != "measured" and config.digest != two.manifest.configs[name].digest
        }
        assert differing == {"cat_or_dog"}
        assert one.digest != two.digest

    def test_another_image_is_another_benchmark(self, folder: Path, tmp_path: Path) -> None:
        one = sb.build(builder(folder), tmp_path / "one")
        first = folder / "images" / "000000.jpg"
        Image.open(first).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(first)
        two = sb.build(builder(folder), tmp_path / "two")
        assert one.digest != two.digest


class TestOutput:
    """Where a benchmark may be put, and where not."""

    @pytest.mark.parametrize(
        "name", ["plain", "with space", "ünïcode 猫", "a'b\"c", "-dash", "%41"]
    )
    def test_names(self, folder: Path, out: Path, name: str) -> None:
        place = out.with_name(name)
        bench = sb.build(builder(folder), place)
        bench.verify()
        assert beside(place) == []
        assert len(bench.load("images", "train")) == 60

    def test_a_trailing_slash(self, folder: Path, out: Path) -> None:
        sb.build(builder(folder), f"{out}/").verify()
        assert beside(out) == []

    def test_a_relative_path(
        self, folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(out.parent)
        sb.build(builder(folder), "out", n_jobs=2).verify()
        Path("deep").mkdir()
        sb.build(builder(folder), "./deep/../deep/out").verify()
        assert beside(out) == ["deep"]

    def test_parents_are_made(self, folder: Path, out: Path) -> None:
        sb.build(builder(folder), out / "a" / "b").verify()

    def test_an_empty_folder(self, folder: Path, out: Path) -> None:
        out.mkdir()
        sb.build(builder(folder), out).verify()

    def test_a_link_to_a_folder(self, folder: Path, out: Path) -> None:
        real = out.parent / "real"
        real.mkdir()
        out.symlink_to(real)
        sb.build(builder(folder), out).verify()
        sb.build(builder(folder), out, overwrite=True).verify()
        assert out.is_symlink()
        assert beside(out) == ["real"]
        assert (real / "shift.json").exists()

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_a_file(self, folder: Path, out: Path, overwrite: bool) -> None:
        out.write_text("mine")
        with pytest.raises(StorageError, match="no benchmark directory"):
            sb.build(builder(folder), out, overwrite=overwrite)
        assert out.read_text() == "mine"
        assert beside(out) == []

    @pytest.mark.parametrize("overwrite", [False, True])
    @pytest.mark.parametrize("name", ["notes.txt", ".hidden", "data/images/train-0.parquet"])
    def test_a_folder_with_other_things(
        self, folder: Path, out: Path, overwrite: bool, name: str
    ) -> None:
        (out / name).parent.mkdir(parents=True)
        (out / name).write_text("mine")
        with pytest.raises(StorageError, match="no benchmark directory"):
            sb.build(builder(folder), out, overwrite=overwrite)
        assert (out / name).read_text() == "mine"
        assert beside(out) == []

    @pytest.mark.parametrize("text", ["", "{}", '{"key": "shift"}', "[]", '{"format": "x"}'])
    def test_a_folder_with_some_other_shift_json(self, folder: Path, out: Path, text: str) -> None:
        out.mkdir()
        (out / "shift.json").write_text(text)
        with pytest.raises(StorageError, match="no benchmark directory"):
            sb.build(builder(folder), out, overwrite=True)
        assert (out / "shift.json").read_text() == text

    def test_a_benchmark_is_not_replaced_unasked(self, folder: Path, out: Path) -> None:
        sb.build(builder(folder), out)
        before = contents(out)
        with pytest.raises(StorageError, match="--overwrite"):
            sb.build(builder(folder, min_size=4), out)
        assert contents(out) == before
        assert beside(out) == []

    def test_a_benchmark_is_replaced_whole(self, folder: Path, out: Path) -> None:
        sb.build(builder(folder, tasks=(TASK,)), out)
        sb.build(builder(folder, classes=("cat",)), out, overwrite=True).verify()
        sb.build(builder(folder, classes=("cat",)), out.with_name("fresh"))
        assert contents(out) == contents(out.with_name("fresh"))
        assert beside(out) == ["fresh"]
        assert not (out / "data" / "cat_or_dog").exists()

    def test_a_damaged_benchmark_is_replaced(self, folder: Path, out: Path) -> None:
        sb.build(builder(folder), out)
        before = contents(out)
        victim = next((out / "data" / "images").iterdir())
        victim.write_bytes(victim.read_bytes()[:-1] + b"?")
        (out / "data" / "membership" / "train-00000-of-00001.parquet").unlink()
        sb.build(builder(folder), out, overwrite=True)
        assert contents(out) == before

    @pytest.mark.parametrize("name", ["predictions.parquet", "data/images/mine.txt", ".git/HEAD"])
    def test_files_that_the_user_put_into_a_benchmark_are_kept(
        self, folder: Path, out: Path, name: str
    ) -> None:
        sb.build(builder(folder), out)
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("mine")
        with pytest.raises(StorageError, match=f"'{name.removesuffix('/HEAD')}'.*move them"):
            sb.build(builder(folder), out, overwrite=True)
        assert (out / name).read_text() == "mine"

    def test_a_failed_build_leaves_the_old_one(self, folder: Path, out: Path) -> None:
        sb.build(builder(folder), out)
        before = contents(out)
        for path in (folder / "images").iterdir():
            path.write_bytes(b"no image")
        with pytest.raises(ShiftbenchError, match="cannot be used"):
            sb.build(builder(folder), out, overwrite=True)
        assert contents(out) == before

    def test_the_current_folder_is_not_replaced(
        self, folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out.mkdir()
        monkeypatch.chdir(out)
        with pytest.raises(StorageError, match="current folder"):
            sb.build(builder(folder), ".")
        assert out.is_dir()

    def test_below_a_file(self, folder: Path, out: Path) -> None:
        out.write_text("mine")
        with pytest.raises(StorageError, match=r"cannot write in .*out/sub'"):
            sb.build(builder(folder), out / "sub")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_parent_that_may_not_be_written(self, folder: Path, out: Path) -> None:
        out.parent.chmod(0o555)
        with pytest.raises(StorageError, match=r"cannot write in .*Permission denied"):
            sb.build(builder(folder), out)
        out.parent.chmod(0o755)

    def test_a_name_that_is_too_long(self, folder: Path, out: Path) -> None:
        with pytest.raises(StorageError, match="cannot write in"):
            sb.build(builder(folder), out.with_name("x" * 300))

    def test_another_process_at_work(self, folder: Path, out: Path) -> None:
        plan = (made := builder(folder)).plan(made.source.scan(), 0, frozenset())
        with (
            held(out.with_name(f"out.partial-{plan.hash[:16]}")),
            pytest.raises(StorageError, match="another process is building"),
        ):
            sb.build(builder(folder), out)
        assert not out.exists()
        sb.build(builder(folder), out).verify()
        assert beside(out) == []

    def test_options_that_do_not_fit_leave_nothing(self, folder: Path, out: Path) -> None:
        with pytest.raises(ConfigurationError):
            sb.build(builder(folder, classes=("zebra",)), out)
        with pytest.raises(ConfigurationError, match="n_jobs"):
            sb.build(builder(folder), out, n_jobs=0)
        with pytest.raises(ConfigurationError, match="checks"):
            sb.build(builder(folder), out, checks="all")
        assert list(out.parent.iterdir()) == []


@dataclass(frozen=True)
class Held:
    """A source with something in it that stays in its process."""

    source: Any
    held: Any

    def scan(self) -> Any:
        return self.source.scan()

    def reader(self) -> Any:
        return self.source.reader()


def test_a_source_that_cannot_be_sent_to_another_process(folder: Path, out: Path) -> None:
    made = builder(folder)
    made = replace(made, source=Held(made.source, threading.Lock()))
    with pytest.raises(ShiftbenchError, match=r"cannot be sent to another process.*n_jobs=1"):
        sb.build(made, out, n_jobs=2)
    assert not out.exists()
    sb.build(made, out, n_jobs=1).verify()
    assert beside(out) == []


class TestRejected:
    """Content that cannot be used is left out everywhere, and recorded."""

    def spoil(self, folder: Path, *numbers: int) -> None:
        kinds = [
            lambda p: p.write_bytes(b"no image"),
            lambda p: p.write_bytes(b""),
            lambda p: p.write_bytes(p.read_bytes()[:300]),
            lambda p: Image.new("CMYK", (8, 8)).save(p),
        ]
        for k, number in enumerate(numbers):
            kinds[k % len(kinds)](folder / "images" / f"{number:06d}.jpg")

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_the_tables_and_tasks_agree(self, folder: Path, out: Path, n_jobs: int) -> None:
        bad = (0, 7, 13, 22)
        self.spoil(folder, *bad)
        bench = sb.build(builder(folder, tasks=(TASK,)), out, n_jobs=n_jobs)
        bench.verify()
        ids = set(bench.table("images")["example_id"].to_pylist())
        rejected = bench.table("rejected").to_pylist()
        assert len(ids) == 56
        assert len(rejected) == bench.manifest.rejected == 4
        assert all(r["reason"] and str(folder) not in r["reason"] for r in rejected)
        members = bench.table("membership").to_pylist()
        assert {m["example_id"] for m in members} == ids
        counted = Counter(m["subset"] for m in members)
        subsets = bench.table("subsets").to_pylist()
        assert {s["subset"]: s["size"] for s in subsets} == counted
        assert all(s["size"] >= 3 for s in subsets)
        for split in bench.splits("cat_or_dog"):
            rows = bench.load("cat_or_dog", split)
            assert set(rows["example_id"]) <= ids
            assert len(rows) == bench.manifest.configs["cat_or_dog"].splits[split].rows
        for name in counted:
            assert bench.load_subset(name)["example_id"] == bench.members(name)

    def test_it_is_as_if_they_had_never_been_there(self, folder: Path, tmp_path: Path) -> None:
        bad = (3, 4, 31)
        options: dict[str, Any] = {"tasks": (TASK,)}
        other = photographs(tmp_path / "other")
        for number in bad:
            (other / "images" / f"{number:06d}.jpg").unlink()
        self.spoil(folder, *bad)
        one = sb.build(builder(folder, **options), tmp_path / "one", n_jobs=1)
        two = sb.build(builder(folder, **options), tmp_path / "two", n_jobs=2)
        without = sb.build(builder(other, **options), tmp_path / "without")
        assert one.digest == two.digest == without.digest
        assert contents(tmp_path / "one") == contents(tmp_path / "two")

    def test_too_many(self, folder: Path, out: Path) -> None:
        self.spoil(folder, *range(11))
        with pytest.raises(ShiftbenchError, match=r"more than 10 .*\(0: not an image.*max-rej"):
            sb.build(builder(folder), out)
        with pytest.raises(ShiftbenchError, match="more than 3"):
            sb.build(builder(folder), out, max_rejected=3, n_jobs=2)
        assert not out.exists()
        bench = sb.build(builder(folder), out, max_rejected=11)
        assert bench.manifest.rejected == 11
        assert beside(out) == []

    def test_a_subset_that_is_lost_altogether(self, folder: Path, out: Path) -> None:
        lost = sb.build(builder(folder), out).members("cat(sofa)")
        self.spoil(folder, *map(int, lost))
        bench = sb.build(builder(folder), out, overwrite=True, max_rejected=len(lost))
        assert "cat(sofa)" not in bench.table("subsets")["subset"].to_pylist()
        bench.verify()

    def test_a_class_that_is_lost_altogether(self, folder: Path, out: Path) -> None:
        self.spoil(folder, *range(0, 60, 2))
        with pytest.raises(ConfigurationError, match="no class 'cat'"):
            sb.build(builder(folder), out, max_rejected=100)
        assert not out.exists()

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_a_file_that_goes_after_it_was_listed(
        self, folder: Path, out: Path, n_jobs: int
    ) -> None:
        made = builder(folder)
        bench = sb.build(
            replace(made, source=Vanishing(made.source, folder / "images" / "000005.jpg")),
            out,
            n_jobs=n_jobs,
        )
        (row,) = bench.table("rejected").to_pylist()
        assert row == {"input": "5", "reason": "cannot be read: No such file or directory"}
        assert "5" not in bench.table("membership")["example_id"].to_pylist()
        bench.verify()

    def test_checks_decide_what_is_rejected(self, folder: Path, out: Path) -> None:
        self.spoil(folder, 0)
        off = sb.build(builder(folder), out, checks="off")
        assert off.manifest.rejected == 0
        header = sb.build(builder(folder), out, checks="header", overwrite=True)
        assert header.manifest.rejected == 1


@dataclass(frozen=True)
class Vanishing:
    """A source one of whose files is deleted once all are listed."""

    source: Any
    file: Path

    def scan(self) -> Any:
        found = self.source.scan()
        self.file.unlink()
        return found

    def reader(self) -> Any:
        return self.source.reader()


class TestUrl:
    """Output on an object store, which cannot rename."""

    @pytest.fixture(autouse=True)
    def memory(self) -> Iterator[Any]:
        fs = fsspec.filesystem("memory")
        yield fs
        fs.store.clear()
        fs.pseudo_dirs[:] = [""]

    def test_it_opens_and_verifies(
        self, folder: Path, out: Path, memory: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench = sb.build(builder(folder, tasks=(TASK,)), "memory://bucket/out")
        sb.build(builder(folder, tasks=(TASK,)), out)
        assert bench.digest == digest(out)
        sb.open("memory://bucket/out").verify()
        there = {p.removeprefix("/bucket/out/") for p in memory.find("/bucket")}
        assert there == set(contents(out))
        assert bench.members("cat(sofa)") == sb.open(out).members("cat(sofa)")
        # Any URL is far away to `datasets`, and the tests run without a network.
        monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
        assert len(bench.load("images", "train")) == 60
        assert next(iter(bench.load("images", "train", streaming=True)))["example_id"] == "0"

    def test_the_manifest_is_written_last(
        self, folder: Path, memory: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        order: list[str] = []
        opened = type(memory)._open

        def noting(self: Any, path: str, mode: str = "rb", **more: Any) -> Any:
            if mode == "wb":
                order.append(path)
            return opened(self, path, mode, **more)

        monkeypatch.setattr(type(memory), "_open", noting)
        sb.build(builder(folder), "memory://bucket/out")
        assert order[-1] == "/bucket/out/shift.json"
        assert len(order) > 5

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_what_is_there_is_kept(self, folder: Path, memory: Any, overwrite: bool) -> None:
        sb.build(builder(folder), "memory://bucket/out")
        memory.pipe_file("/bucket/other/data/mine.txt", b"mine")
        for url in ("memory://bucket/out", "memory://bucket/other", "memory://bucket"):
            with pytest.raises(StorageError, match=url):
                sb.build(builder(folder, min_size=4), url, overwrite=overwrite)
        assert memory.cat_file("/bucket/other/data/mine.txt") == b"mine"
        sb.open("memory://bucket/out").verify()

    def test_a_stopped_build_goes_on(self, memory: Any) -> None:
        with pytest.raises(Stopped):
            sb.build(
                replace(slow_builder(), source=Stopping(SlowScenes(), 40)), "memory://bucket/out"
            )
        first = memory.modified("/bucket/out/data/images/train-00000-of-00013.parquet")
        with pytest.raises(StorageError, match="stopped on the way"):
            sb.build(slow_builder(min_size=8), "memory://bucket/out")
        bench = sb.build(slow_builder(), "memory://bucket/out")
        bench.verify()
        assert memory.modified("/bucket/out/data/images/train-00000-of-00013.parquet") == first
        assert memory.find("/bucket/out/.partial") == []

    def test_processes_that_do_not_share_it_are_found_out(self, folder: Path) -> None:
        with pytest.raises(StorageError, match=r"is not there as it was written.*shared"):
            sb.build(builder(folder), "memory://bucket/out", n_jobs=2)

    def test_a_file_url_is_a_folder(self, folder: Path, out: Path) -> None:
        bench = sb.build(builder(folder), f"file://{out}")
        bench.verify()
        assert len(bench.load("images", "train")) == 60
        assert beside(out) == []
        with pytest.raises(StorageError, match="exists"):
            sb.build(builder(folder), f"file://{out}")

    @pytest.mark.parametrize("url", ["nosuch://bucket/out"])
    def test_an_unknown_protocol(self, folder: Path, url: str) -> None:
        with pytest.raises(ConfigurationError, match="nosuch"):
            sb.build(builder(folder), url)


class Stopped(Exception):
    """Where a build was stopped."""


@dataclass(frozen=True)
class Stopping:
    """Scenes up to a number, then an error that is not the content's."""

    source: SlowScenes
    stop: int

    def scan(self) -> Any:
        return self.source.scan()

    def reader(self) -> Callable[[str], Any]:
        read = self.source.reader()

        def stopping(locator: str) -> Any:
            if locator == f"scene-{self.stop:06d}":
                raise Stopped
            return read(locator)

        return stopping


@contextmanager
def cache(path: Path) -> Iterator[None]:
    import datasets

    before = datasets.config.HF_DATASETS_CACHE
    datasets.config.HF_DATASETS_CACHE = path
    try:
        yield
    finally:
        datasets.config.HF_DATASETS_CACHE = before


def test_datasets_reads_what_was_rebuilt_in_place(folder: Path, out: Path, tmp_path: Path) -> None:
    import datasets

    def load(config: str) -> Any:
        return datasets.load_dataset(str(out), config, split="train")

    with cache(tmp_path / "cache"):
        sb.build(builder(folder), out)
        assert len(load("images")) == 60
        first = load("images")[0]["image"]
        n_members = len(load("membership"))
        path = folder / "images" / "000000.jpg"
        Image.new("RGB", (40, 30), "red").save(path)
        sb.build(builder(folder), out, overwrite=True)
        second = load("images")[0]["image"]
        assert first.getpixel((5, 5)) != second.getpixel((5, 5))
        sb.build(builder(folder, classes=("cat",)), out, overwrite=True)
        assert len(load("images")) == 30
        assert 0 < len(load("membership")) < n_members
