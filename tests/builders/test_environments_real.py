"""Environments from real data: data sets, alphabets and workplaces, where they are there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import shiftbench as sb
from shiftbench.builders.environments.builder import Environments
from shiftbench.errors import ConfigurationError
from shiftbench.plan import Plan
from shiftbench.schema import Source
from shiftbench.sources.idx import IdxImages
from shiftbench.sources.image_folders import ImageFolders
from shiftbench.sources.pixel_table import PixelTable
from shiftbench.sources.table import Table
from shiftbench.sources.together import Together

STATE = ("Federal-gov", "Local-gov", "State-gov")


@pytest.fixture(scope="module")
def omniglot(shared_data: Path) -> ImageFolders:
    return ImageFolders(
        str(shared_data / "omniglot" / "images_background_small1.zip"),
        label_level=(1, 2),
        columns=("alphabet", "character"),
        cluster=r"^([^/]+)/.*_(\d+)[.]png$",
    )


@pytest.fixture(scope="module")
def together(shared_data: Path, omniglot: ImageFolders) -> Together:
    digits = shared_data / "digits"
    return Together(
        {
            "digits": IdxImages(
                str(digits / "t10k-images-idx3-ubyte.gz"), str(digits / "t10k-labels-idx1-ubyte.gz")
            ),
            "fashion": PixelTable(
                str(shared_data / "fashion" / "fashion_test.csv.gz"), width=28, height=28
            ),
            "omniglot": omniglot,
        }
    )


def preset(name: str, source: Source, **changed: Any) -> Plan:
    options = {k: v for k, v in Environments.presets[name].items() if k != "source"}
    return Environments(source, **{**options, **changed}).plan(source.scan(), 0)


def counts(plan: Plan) -> Mapping[str, Any]:
    return plan.configs[0].notes["groups"]


def test_digits_with_near_omniglot_and_far_fashion(together: Together) -> None:
    plan = preset("digits_fashion_omniglot", together)
    (config,) = plan.configs
    assert {s.name: (s.shift, s.flag) for s in config.splits} == {
        "train": ("none", "accept"),
        "validation": ("none", "accept"),
        "id_test": ("none", "accept"),
        "ood_test_omniglot": ("near", "reject"),
        "ood_test_fashion": ("far", "reject"),
    }
    found = counts(plan)
    assert {n: g for n, g in found.items() if n.startswith("ood")} == {
        "ood_test_omniglot": {"omniglot": 2720},
        "ood_test_fashion": {"fashion": 1000},
    }
    assert sum(found[n]["digits"] for n in ("train", "validation", "id_test")) == 10_000
    assert config.features["label"].names == tuple("0123456789")  # type: ignore[union-attr]
    with pytest.raises(ConfigurationError, match="--local-labels"):
        preset("digits_fashion_omniglot", together, local_labels=False)


def test_alphabets_share_no_class_and_are_near(omniglot: ImageFolders) -> None:
    found = omniglot.scan()
    with pytest.raises(ConfigurationError, match="no example of the classes trained on"):
        Environments(omniglot, environment="alphabet").plan(found, 0)
    alphabets = sorted(set(found.examples["alphabet"].to_pylist()))
    builder = Environments(
        omniglot, environment="alphabet", design="given", near=(alphabets[0],), test=0.25
    )
    plan = builder.plan(found, 0)
    assert [s.shift for s in plan.configs[0].splits][-1] == "near"


def test_workplaces_of_adult(shared_data: Path, tmp_path: Path) -> None:
    source = Table(
        str(shared_data / "adult" / "adult.csv.gz"), missing=("?",), drop=("fnlwgt", "education")
    )
    options: dict[str, Any] = {
        "environment": "workclass", "label": "income-per-year", "min_clusters": 500,
    }  # fmt: skip
    every = Environments(source, **options).plan(source.scan(), 0)
    assert len(every.configs) == 6  # of eight, two have fewer than 500 people
    one = Environments(
        source,
        held_out=("State-gov",),
        environments=STATE,
        target_unlabeled=0.2,
        ood_validation="none",
        **options,
    )
    bench = sb.build(one, tmp_path / "out", measure=False)
    config = bench.manifest.configs["held_out_state_gov"]
    assert set(config.splits) == {
        "train", "validation", "id_test", "ood_test", "target_unlabeled",
    }  # fmt: skip
    stream = bench.interleave("held_out_state_gov", method="temperature", length=2000)
    shown = [e["drawn_from"] for e in stream]
    assert set(shown) == set(stream.groups)
    assert len(shown) == 2000
