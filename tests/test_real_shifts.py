"""Every preset that reads a user's files, on real ones, through the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import shiftbench as sb
from shiftbench.options import flat_options
from shiftbench.registry import SOURCES, builders, load


def adult(data: Path) -> list[str]:
    return ["--table", str(data / "adult" / "adult.csv.gz")]


def digits(data: Path) -> list[str]:
    folder = data / "digits"
    return ["--source", "idx", "--images", str(folder / "t10k-images-idx3-ubyte.gz"),
            "--labels", str(folder / "t10k-labels-idx1-ubyte.gz")]  # fmt: skip


def glyphs(data: Path) -> list[str]:
    folder = data / "digits"
    images, labels = (folder / f"t10k-{n}-ubyte.gz" for n in ("images-idx3", "labels-idx1"))
    fashion = data / "fashion" / "fashion_test.csv.gz"
    omniglot = data / "omniglot" / "images_background_small1.zip"
    return ["--parts", f"digits=idx:images={images},labels={labels}",
            f"fashion=pixel_table:table={fashion},width=28,height=28",
            f"omniglot=image_folders:folder={omniglot},label_level=1+2"]  # fmt: skip


GIVEN = {
    ("concept", "adult_age"): adult,
    ("concept", "adult_sex"): adult,
    ("concept", "adult_workclass"): adult,
    ("label", "adult_income"): adult,
    ("mixture", "adult_sex"): adult,
    ("mixture", "adult_sex_stratified"): adult,
    ("environments", "digits_fashion_omniglot"): glyphs,
    ("subpopulation", "colored_digits"): digits,
}
"""What a user types besides the preset."""


def test_every_preset_that_needs_files_is_here() -> None:
    needed = set()
    for name, target in builders().items():
        for preset, options in getattr(load(target), "presets", {}).items():
            named = dict(options.get("source", {}))
            if not named:
                continue
            source = load(SOURCES[named.pop("name")])
            if any(o.required and o.name not in named for o in flat_options(source)):
                needed.add((name, preset))
    assert needed <= set(GIVEN)


def built(name: str, preset: str, data: Path, folder: Path) -> sb.Benchmark:
    out = folder / "out"
    words = [sys.executable, "-m", "shiftbench.cli", "build", name, "--preset", preset,
             *GIVEN[name, preset](data), "--no-measure", "--out", str(out)]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    bench = sb.open(out)
    bench.verify()
    return bench


QUICK = {("concept", "adult_sex")}

BUILT = [
    pytest.param(*key, id="-".join(key), marks=[] if key in QUICK else pytest.mark.slow)
    for key in sorted(GIVEN)
    if key != ("environments", "digits_fashion_omniglot")
]


@pytest.mark.parametrize(("name", "preset"), BUILT)
def test_it_builds(name: str, preset: str, shared_data: Path, tmp_path: Path) -> None:
    bench = built(name, preset, shared_data, tmp_path)
    for config, entry in bench.manifest.configs.items():
        if entry.kind != "task":
            continue
        assert entry.notes["held"]["by"]
        for split in entry.splits.values():
            assert split.rows > 0, (config, split.title)
    rows = bench.load(next(iter(bench.configs)), split="train")
    assert len(set(rows["label"])) > 1


def test_digits_are_near_or_far_by_meaning(shared_data: Path, tmp_path: Path) -> None:
    bench = built("environments", "digits_fashion_omniglot", shared_data, tmp_path)
    [config] = [n for n, c in bench.manifest.configs.items() if c.kind == "task"]
    splits = bench.manifest.configs[config].splits
    assert (splits["ood_test_omniglot"].shift, splits["ood_test_fashion"].shift) == ("near", "far")
    for name in ("ood_test_omniglot", "ood_test_fashion"):
        assert splits[name].flag == "reject"
        rows = bench.load(config, split=name)
        assert set(rows["is_ood"]) == {True}
        assert set(rows["label"]) == {None}
