"""What holds for every registered change, found by reflection."""

from __future__ import annotations

import math
import pickle
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.errors import ConfigurationError, ContentError
from shiftbench.registry import TRANSFORMS
from shiftbench.transforms import Step, acquisition_named, apply_step, parse_step, severities
from tests.transforms.chest import chest

EVERY = sorted(TRANSFORMS)
CHEST = chest()
RANDOM = {"dose", "grid", "defects"}


def stored(dtype) -> np.ndarray:
    if dtype == np.float32:
        return CHEST
    return np.rint(CHEST * np.iinfo(dtype).max).astype(dtype)


def changed(image, step, ident="a", seed=0):
    return apply_step(image, step, seed=seed, ident=ident, pitch_mm=0.171)


@pytest.mark.parametrize("name", EVERY)
def test_description(name: str) -> None:
    kind = acquisition_named(name)
    assert kind.name == name
    assert kind.unit
    assert kind.summary
    assert kind.reason
    assert len(set(kind.severities)) == 5
    assert list(kind.severities) in (sorted(kind.severities), sorted(kind.severities)[::-1])
    assert all(kind.low <= v <= kind.high for v in kind.severities)
    assert kind.identity not in kind.severities
    if kind.identity is not None:
        assert kind.low <= kind.identity <= kind.high


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("name", EVERY)
def test_type_shape_and_range_are_kept(name: str, dtype) -> None:
    image = stored(dtype)
    before = image.copy()
    for step in severities(name):
        made = changed(image, step)
        assert made.dtype == image.dtype
        assert made.shape == image.shape
        assert np.array_equal(image, before)
        if dtype == np.float32:
            assert made.min() >= 0
            assert made.max() <= 1
    assert not np.array_equal(made, image)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("name", [n for n in EVERY if acquisition_named(n).identity is not None])
def test_identity_changes_nothing(name: str, dtype) -> None:
    image = stored(dtype)
    made = changed(image, Step(name, acquisition_named(name).identity))
    assert np.array_equal(made, image)
    assert not np.shares_memory(made, image)


def test_only_jpeg_has_no_identity() -> None:
    assert [n for n in EVERY if acquisition_named(n).identity is None] == ["jpeg"]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", EVERY)
def test_stronger_is_further_away(name: str, seed: int) -> None:
    image = chest(seed=seed)
    away = [np.linalg.norm(changed(image, step, seed=seed) - image) for step in severities(name)]
    assert away[0] > 0
    assert all(a < b for a, b in pairwise(away)), away


@pytest.mark.parametrize("name", EVERY)
def test_noise_depends_on_seed_and_ident_alone(name: str) -> None:
    step = severities(name)[3]
    made = changed(CHEST, step)
    assert np.array_equal(made, changed(CHEST, step))
    others = [changed(CHEST, step, ident="b"), changed(CHEST, step, seed=1)]
    assert [np.array_equal(made, o) for o in others] == [name not in RANDOM] * 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (64, 1), (37, 53)])
@pytest.mark.parametrize("name", EVERY)
def test_small_odd_and_constant_images(name: str, shape) -> None:
    for level in (0.0, 0.5, 1.0):
        for step in severities(name):
            made = changed(np.full(shape, level, np.float32), step)
            assert made.shape == shape
            assert np.isfinite(made).all()
            # Nothing but noise, lines, edges, defects and the grey scale shows on an even field.
            if name in ("blur", "scatter", "sharpen", "pitch", "rotation"):
                assert np.allclose(made, level, atol=2e-6)


@pytest.mark.parametrize("name", EVERY)
def test_images_that_cannot_be_used(name: str) -> None:
    step = severities(name)[0]
    holed = CHEST.copy()
    holed[3, 4] = np.nan
    for bad in (
        holed,
        np.dstack([CHEST] * 3),
        np.zeros((0, 5), np.uint8),
        CHEST.astype(np.float64),
        CHEST * 2,
        CHEST - 0.5,
        CHEST > 0.5,
        stored(np.uint16).astype(np.int32),
        stored(np.uint8).tolist(),
    ):
        with pytest.raises(ContentError):
            changed(bad, step)


@pytest.mark.parametrize("name", EVERY)
def test_pitch(name: str) -> None:
    step = severities(name)[2]
    if acquisition_named(name).needs_pitch:
        with pytest.raises(ConfigurationError, match="pixel pitch"):
            apply_step(CHEST, step, seed=0, ident="a")
    else:
        assumed = apply_step(CHEST, step, seed=0, ident="a", pitch_mm=0.2)
        assert np.array_equal(apply_step(CHEST, step, seed=0, ident="a"), assumed)
    for bad in (0, -0.1, math.nan, math.inf, (0.1, 0.0)):
        with pytest.raises(ConfigurationError, match="positive number of mm"):
            apply_step(CHEST, step, seed=0, ident="a", pitch_mm=bad)


@pytest.mark.parametrize("name", EVERY)
def test_values_out_of_range(name: str) -> None:
    kind = acquisition_named(name)
    for bad in (math.nan, kind.low - 1, "x", None):
        with pytest.raises(ConfigurationError, match=name):
            Step(name, bad)
    if math.isfinite(kind.high):
        with pytest.raises(ConfigurationError, match="frozen severities"):
            Step(name, kind.high + 1)
    if kind.whole:
        with pytest.raises(ConfigurationError, match="whole"):
            Step(name, kind.low + 0.5)


@given(st.sampled_from(EVERY), st.data())
def test_text_of_a_step_gives_it_again(name: str, data) -> None:
    kind = acquisition_named(name)
    value = data.draw(
        st.integers(int(kind.low), int(kind.high))
        if kind.whole
        else st.floats(kind.low, min(kind.high, 1e6))
    )
    step = Step(name, value)
    assert parse_step(str(step)) == step
    assert pickle.loads(pickle.dumps(step)) == step


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dosis=1", "'dose'"),
        ("Dose=1", "'dose'"),
        ("dose", "dose=2"),
        ("dose=", "dose=2"),
        ("dose=two", "no number"),
        ("dose=1=2", "no number"),
        ("dose=nan", "halvings"),
        ("dose=-1", "from 0 to 10"),
        ("", "there are"),
    ],
)
def test_texts_that_are_no_step(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        parse_step(text)


def test_infinite_blur_is_none() -> None:
    assert str(parse_step(" blur = inf ")) == "blur=inf"
    assert str(Step("dose", -0.0)) == "dose=0"


def test_docs_have_the_frozen_values() -> None:
    page = (Path(__file__).parents[2] / "docs" / "acquisition.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|", page, flags=re.MULTILINE))
    assert {k: v.strip() for k, v in rows.items()} == {
        n: ", ".join(f"{v:g}" for v in acquisition_named(n).severities) for n in EVERY
    }
