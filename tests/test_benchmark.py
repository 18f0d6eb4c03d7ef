"""What a built benchmark can do, on one small build of drawn scenes."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import datasets
import pytest

import shiftbench as sb
from shiftbench.errors import ConfigurationError, IntegrityError

READER = Path(__file__).with_name("reader.py")


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    out = tmp_path_factory.mktemp("bench") / "scenes"
    builder = sb.builders.MetaShift(
        sb.sources.Scenes(n_scenes=500, size=32),
        classes=["cat", "dog"],
        min_size=5,
        merge={"cat(indoors too)": ["sofa", "bed"]},
        tasks=["cat_dog_1", "cat_dog_indoor_outdoor"],
        fit=True,
    )
    return sb.build(builder, out, n_jobs=1)


def test_configs_tasks_first(bench):
    assert bench.configs == [
        "cat_dog_1", "cat_dog_indoor_outdoor", "images", "subsets", "membership",
        "shift_distances", "balance", "rejected",
    ]  # fmt: skip


def test_members_and_load_subset_agree_with_the_table(bench):
    by_subset: dict[str, list[str]] = {}
    for row in bench.membership:
        by_subset.setdefault(row["subset"], []).append(row["example_id"])
    assert len(by_subset) == len(bench.subsets)
    for name in list(by_subset)[::10]:
        assert bench.members(name) == sorted(by_subset[name])
        loaded = bench.load_subset(name)
        assert loaded["example_id"][:] == bench.members(name)
        assert all(name in s for s in loaded["subset"])


def test_sizes_of_subsets_are_those_of_membership(bench):
    for row in bench.subsets:
        assert len(bench.members(row["subset"])) == row["size"]


def test_load_gives_features_and_splits(bench):
    task = bench.load("cat_dog_1")
    assert set(task) == set(bench.splits("cat_dog_1"))
    features = task["train"].features
    assert features["label"] == datasets.ClassLabel(names=["cat", "dog"])
    assert isinstance(features["image"], datasets.Image)
    assert features["subset"] == datasets.List(datasets.Value("string"))
    assert task["train"][0]["image"].size == (32, 32)
    assert next(iter(bench.load("cat_dog_1", "ood_test_shelf", streaming=True)))["label"] in (0, 1)


def test_images_of_tasks_are_the_images(bench):
    images = bench.table("images").to_pylist()
    content = {r["example_id"]: r["image"]["bytes"] for r in images}
    assert len(content) == len(images)
    for row in bench.table("cat_dog_1").to_pylist():
        assert content[row["example_id"]] == row["image"]["bytes"]


def test_wrong_names_get_near_ones(bench):
    with pytest.raises(ConfigurationError, match="did you mean 'images'"):
        bench.load("image")
    with pytest.raises(ConfigurationError, match="did you mean 'train'"):
        bench.load("cat_dog_1", "trian")
    with pytest.raises(ConfigurationError, match=r"did you mean 'cat\(sofa\)'"):
        bench.members("cat(sofaa)")
    with pytest.raises(IntegrityError, match="user/name"):
        sb.open("no such folder")


def test_open_is_what_build_returned(bench):
    again = sb.open(bench.url)
    assert again.digest == bench.digest
    again.verify()


@pytest.mark.parametrize("name", ["README.md", "shift.json"])
def test_card_and_manifest_name_no_path_of_this_machine(bench, name):
    text = (Path(bench.url) / name).read_text("utf-8")
    assert str(Path.cwd()) not in text
    assert str(Path(bench.url).parent) not in text


def test_the_card_declares_every_config_with_its_digest(bench):
    import yaml

    text = (Path(bench.url) / "README.md").read_text("utf-8")
    front = yaml.safe_load(text.split("---\n")[1])
    assert [c["config_name"] for c in front["configs"]] == with_rows(bench)
    for config in front["configs"]:
        assert bench.manifest.configs[config["config_name"]].digest in config["description"]
    assert [c["config_name"] for c in front["configs"] if c.get("default")] == ["cat_dog_1"]


def with_rows(bench):
    """`datasets` cannot load a split without rows, so the card leaves such a config out."""
    configs = bench.manifest.configs
    return [n for n in bench.configs if any(s.rows for s in configs[n].splits.values())]


def test_only_rejected_is_empty_here(bench):
    assert [n for n in bench.configs if n not in with_rows(bench)] == ["rejected"]
    assert len(bench.rejected) == 0


def read_without_shiftbench(python, folder, tmp_path):
    result = subprocess.run(
        [python, "-I", READER, folder],
        capture_output=True,
        text=True,
        check=False,
        env={"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path)},
    )
    assert result.returncode == 0, result.stderr
    assert "Warning" not in result.stderr, result.stderr
    return json.loads(result.stdout)


def check_read(found, bench):
    assert list(found) == with_rows(bench)
    for name, splits in found.items():
        for split, seen in splits.items():
            entry = bench.manifest.configs[name].splits[split]
            assert seen["rows"] == entry.rows
            assert seen["same_features"]
            assert seen["same_first_row"]
            has_image = bench.manifest.configs[name].kind in ("task", "examples")
            assert (seen["image"] is not None) == has_image
    label = found["cat_dog_1"]["train"]["features"]["label"]
    assert "ClassLabel" in label
    assert "cat" in label


def test_plain_datasets_reads_every_config(bench, tmp_path):
    check_read(read_without_shiftbench(sys.executable, bench.url, tmp_path), bench)


@pytest.mark.slow
def test_a_machine_with_only_datasets_reads_every_config(bench, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "datasets[vision]"], check=True)
    check_read(read_without_shiftbench(python, bench.url, tmp_path), bench)
