"""What a benchmark keeps of where its source was: nothing that is private."""

from __future__ import annotations

from pathlib import Path

import pytest

from shiftbench.errors import ConfigurationError
from shiftbench.pipeline import build, source_recipe
from shiftbench.sources import CocoInstances, ImageTable, SceneGraphs


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/somewhere/x.json", "x.json"),
        (Path("/somewhere/x.json"), "x.json"),
        (Path("data/x.json"), "data/x.json"),
        ("file:///somewhere/x.json", "x.json"),
        ("s3://key:secret@bucket/x.json", "s3://bucket/x.json"),
        ("https://host/x.json?token=a:b", "https://host/x.json"),
        ("zip://x.json::https://ada@host/x.zip?t=1", "zip://x.json::https://host/x.zip"),
    ],
)
def test_a_recipe_holds_no_folder_and_no_secret(given, kept) -> None:
    assert source_recipe(CocoInstances(given))["instances"] == kept
    assert source_recipe(SceneGraphs((given,)))["graphs"] == [kept]
    assert source_recipe(ImageTable(given))["table"] == kept


@pytest.mark.parametrize("setting", [{"max_pixels": 0}, {"max_rejected": -1}])
def test_settings_that_cannot_be(setting, tmp_path) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(setting))):
        build(None, tmp_path / "out", **setting)  # type: ignore[arg-type]
