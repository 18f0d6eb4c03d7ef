"""Shifts of an X-ray benchmark: its patches have 16 bits, and it is named as the parent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest

import shiftbench as sb
from shiftbench.registry import BUILDERS, load
from shiftbench.sources import BuiltBenchmark, Phantoms


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> str:
    where = tmp_path_factory.mktemp("parent") / "xray"
    builder = sb.builders.XrayPatches(
        Phantoms(n_patients=130, size=128), patch_size=64, patches=1, min_patients=5
    )
    sb.build(builder, where, measure=False)
    return str(where)


SHIFTS: dict[str, dict[str, Any]] = {
    "label": {"label": "sex", "prior": ("own",)},
    "subpopulation": {"label": "sex", "attribute": "view", "cells": ("t:2,1/1,2",), "fit": True},
    "concept": {"label": "sex", "rule": "flip", "disagreement": (0.2,)},
    "mixture": {"label": "sex", "by": "view", "target_values": ("AP",), "validation": 0.0},
    "environments": {"label": "sex", "environment": "device", "min_clusters": 2},
}


@pytest.mark.parametrize("name", SHIFTS)
def test_patches_of_radiographs_are_written_as_they_are(
    parent: str, tmp_path: Path, name: str
) -> None:
    config = next(c for c in sb.open(parent).configs if "phosphor" not in c)
    source = BuiltBenchmark(parent, config=config)
    made = sb.build(load(BUILDERS[name])(source, **SHIFTS[name]), tmp_path / "out", measure=False)
    assert sb.open(parent).digest in (tmp_path / "out" / "README.md").read_text()
    task = datasets.load_dataset(str(tmp_path / "out"), made.configs[0], split="train")
    assert task[0]["image"].mode == "I;16"
