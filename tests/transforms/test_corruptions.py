"""What every registered corruption promises, by reflection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftbench.errors import ConfigurationError, ContentError
from shiftbench.registry import CORRUPTIONS
from shiftbench.transforms import (
    CorruptionStep,
    corrupt_boxes,
    corrupt_image,
    corrupt_mask,
    corruption_named,
    corruption_severities,
    corruptions_named,
    parse_corruption,
)
from shiftbench.transforms.corruption import FAMILIES
from tests.transforms.photographs import made, photographs

NAMES = sorted(CORRUPTIONS)
MOVING = [n for n in NAMES if corruption_named(n).moves is not None]
ON_GREY = [n for n in NAMES if n != "saturation"]


def corrupted(pixels, step, *, seed=0, ident="a"):
    return corrupt_image(pixels, step, seed=seed, ident=ident)


def change(a, b) -> float:
    return float(np.abs(a.astype(np.float64) - b).mean())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_of_it(name: str) -> None:
    kind = corruption_named(name)
    assert kind.name == name
    assert kind.family in FAMILIES
    assert len(kind.severities) == 5
    assert all([kind.unit, kind.summary, kind.reason])
    steps = np.diff(kind.severities)
    assert (steps > 0).all() or (steps < 0).all()
    assert [kind.check(v) for v in kind.severities] == list(kind.severities)
    if kind.identity is not None:
        assert kind.low <= kind.identity <= kind.high
        assert kind.identity not in kind.severities
    assert kind.family != "geometric" or kind.moves is not None


@pytest.mark.parametrize("name", NAMES)
def test_the_page_has_it_as_it_is(name: str) -> None:
    page = Path(__file__).parents[2] / "docs" / "corruption.md"
    (line,) = [x for x in page.read_text().splitlines() if x.startswith(f"| `{name}` | ")
               and len(x.split(" | ")) == 5 and x.split(" | ")[1] in FAMILIES]  # fmt: skip
    kind = corruption_named(name)
    cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
    assert cells[1] == kind.family
    assert cells[4] == kind.summary
    assert [float(v) for v in cells[3].split(",")] == pytest.approx(kind.severities, abs=0.005)


@pytest.mark.parametrize("shape", [(40, 56, 3), (40, 56), (8, 8, 3), (9, 7), (1, 1, 3), (1, 12)])
@pytest.mark.parametrize("name", NAMES)
def test_shape_type_and_input_stay(name: str, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    before = pixels.copy()
    for step in corruption_severities(name):
        found = corrupted(pixels, step)
        assert found.shape == shape
        assert found.dtype == np.uint8
        assert not np.shares_memory(found, pixels)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("name", NAMES)
def test_severity_nought_and_the_value_of_no_change_change_nothing(name: str) -> None:
    pixels = made()
    np.testing.assert_array_equal(corrupted(pixels, f"{name}=0"), pixels)
    identity = corruption_named(name).identity
    if identity is not None:
        np.testing.assert_array_equal(corrupted(pixels, f"{name}:{identity}"), pixels)


@pytest.mark.parametrize("name", [n for n in NAMES if corruption_named(n).identity is not None])
def test_next_to_no_change_changes_next_to_nothing(name: str) -> None:
    """No jump at strength 0: what is stated is all that happens."""
    kind = corruption_named(name)
    if kind.whole:
        pytest.skip("there is no value next to it")
    weakest = min(kind.severities, key=lambda v: abs(v - kind.identity))
    pixels = made(96, 96)
    near = corrupted(pixels, f"{name}:{kind.identity + (weakest - kind.identity) / 200}")
    assert change(near, pixels) <= 0.05 * change(corrupted(pixels, f"{name}=1"), pixels) + 0.05


@pytest.mark.parametrize("name", NAMES)
def test_severities_rise_on_made_pictures(name: str) -> None:
    for rows, columns in [(64, 64), (72, 110), (224, 224)]:
        pictures = [made(rows, columns, seed) for seed in range(4)]
        changes = np.mean(
            [[change(corrupted(p, s), p) for s in corruption_severities(name)] for p in pictures],
            axis=0,
        )
        assert (np.diff([0, *changes]) > 0).all(), changes


@pytest.mark.parametrize("name", ON_GREY)
def test_severities_rise_on_grey(name: str) -> None:
    pixels = made(96, 96, 5, grey=True)
    changes = [change(corrupted(pixels, s), pixels) for s in corruption_severities(name)]
    assert (np.diff([0, *changes]) > 0).all(), changes


@pytest.mark.parametrize("side", [32, 224])
@pytest.mark.parametrize("name", NAMES)
def test_severities_rise_on_photographs(name: str, side: int, shared_data) -> None:
    pictures = photographs(shared_data / "coco", 6, side)
    assert len(pictures) == 6
    means = [
        np.mean([change(corrupted(p, s, ident=str(i)), p) for i, p in enumerate(pictures)])
        for s in corruption_severities(name)
    ]
    assert (np.diff([0, *means]) > 0).all(), means


@pytest.mark.parametrize("name", NAMES)
def test_what_is_random_hangs_on_seed_and_id_alone(name: str) -> None:
    pixels = made()
    first = corrupted(pixels, f"{name}=4")
    for other in NAMES[::5]:
        corrupted(made(seed=1), f"{other}=2", ident="b")
    np.testing.assert_array_equal(corrupted(pixels, f"{name}=4"), first)
    np.testing.assert_array_equal(
        corrupted(pixels, CorruptionStep(name, value=corruption_named(name).severities[3])), first
    )
    others = [corrupted(pixels, f"{name}=4", ident=str(i)) for i in range(4)]
    others += [corrupted(pixels, f"{name}=4", seed=s) for s in range(1, 4)]
    assert all((o == first).all() for o in others) != corruption_named(name).random


@pytest.mark.parametrize("name", ON_GREY)
def test_grey_is_as_equal_channels_where_nothing_is_drawn_by_channel(name: str) -> None:
    if corruption_named(name).family == "noise" or name in ("jpeg", "quantize"):
        pytest.skip("each channel has noise, or chroma is stored apart")
    grey = made(48, 48, grey=True)
    colour = np.repeat(grey[..., None], 3, axis=2)
    one, three = (corrupted(p, f"{name}=3").astype(int) for p in (grey, colour))
    tinted = name in ("frost", "snow", "rain", "spatter", "fog")  # grey has the colour's brightness
    shown = three @ (0.299, 0.587, 0.114) if tinted else three[..., 1]
    assert np.abs(shown - one).max() <= 1


@pytest.mark.parametrize("name", ["gaussian_blur", "defocus_blur", "elastic", "translate", "fog"])
def test_large_and_small_images_are_hit_alike(name: str) -> None:
    """The corruption of a picture made smaller is the smaller picture corrupted."""
    from PIL import Image

    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
    large = np.asarray(smooth.resize((256, 256), Image.Resampling.BICUBIC))
    small = np.asarray(smooth.resize((64, 64), Image.Resampling.BICUBIC))
    for step in (f"{name}=3", f"{name}=5"):
        changes = [change(corrupted(p, step), p) for p in (small, large)]
        assert changes[0] == pytest.approx(changes[1], rel=0.35)


@pytest.mark.parametrize("name", MOVING)
def test_masks_move_with_the_picture(name: str) -> None:
    """A mask that is the picture's own outline stays its outline, to a pixel."""
    pixels = np.zeros((96, 128), np.uint8)
    pixels[30:60, 40:90] = 255
    mask = pixels > 0
    for step in corruption_severities(name):
        moved = corrupt_mask(mask, step, seed=0, ident="a")
        shown = corrupted(pixels, step) > 127
        assert moved.dtype == bool
        assert (moved != shown).mean() < 0.003
        assert (moved != mask).any()


@pytest.mark.parametrize("name", MOVING)
def test_boxes_move_with_the_mask(name: str) -> None:
    box = np.array([[40.0, 30.0, 90.0, 60.0]])
    mask = np.zeros((96, 128), bool)
    mask[30:60, 40:90] = True
    for step in corruption_severities(name)[:4]:
        moved = corrupt_mask(mask, step, seed=0, ident="a")
        rows, columns = np.flatnonzero(moved.any(axis=1)), np.flatnonzero(moved.any(axis=0))
        expected = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        found = corrupt_boxes(box, step, shape=(96, 128), seed=0, ident="a")
        assert np.abs(found[0] - expected).max() <= 1


def test_masks_stay_where_pixels_stay() -> None:
    mask = np.random.default_rng(0).integers(0, 5, (20, 30)).astype(np.int32)
    box = [[1.5, 2.0, 9.0, 10.0]]
    for name in set(NAMES) - set(MOVING):
        np.testing.assert_array_equal(corrupt_mask(mask, f"{name}=5", seed=0, ident="a"), mask)
        kept = corrupt_boxes(box, f"{name}=5", shape=(20, 30), seed=0, ident="a")
        np.testing.assert_array_equal(kept, box)


def test_a_box_that_leaves_the_picture_is_nought() -> None:
    gone = [
        corrupt_boxes([[0, 0, 3, 3], [60, 60, 64, 64]], "translate:60", shape=(64, 64), **ids)
        for ids in ({"seed": s, "ident": "a"} for s in range(8))
    ]
    assert any((boxes == 0).all(axis=1).any() for boxes in gone)
    assert corrupt_boxes([], "rotate=3", shape=(8, 8), seed=0, ident="a").shape == (0, 4)


@settings(max_examples=60)
@given(
    name=st.sampled_from(NAMES),
    rows=st.integers(1, 24),
    columns=st.integers(1, 24),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
def test_any_allowed_value_on_any_size(name, rows, columns, share, seed) -> None:
    kind = corruption_named(name)
    value = kind.low + share * (kind.high - kind.low)
    step = CorruptionStep(name, value=round(value) if kind.whole else value)
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    found = corrupted(pixels, step, seed=seed)
    assert found.shape == pixels.shape
    np.testing.assert_array_equal(found, corrupted(pixels, str(step), seed=seed))


@given(name=st.sampled_from(NAMES), share=st.floats(0, 1), severity=st.integers(0, 5))
def test_text_and_step_are_one(name: str, share: float, severity: int) -> None:
    kind = corruption_named(name)
    value = kind.low + share * (kind.high - kind.low)
    for step in (
        CorruptionStep(name, severity),
        CorruptionStep(name, value=round(value) if kind.whole else value),
    ):
        assert parse_corruption(str(step)) == step


def test_groups() -> None:
    every = corruptions_named(["all"])
    assert len(every) == 5 * len(CORRUPTIONS)
    assert corruptions_named(FAMILIES) == every
    assert len(corruptions_named(["imagenet_c"])) == 75
    of_blur = [s.name for s in corruptions_named(["blur"]) if s.severity == 3]
    assert [str(s) for s in corruptions_named(["blur=3"])] == [f"{n}=3" for n in of_blur]
    extra = {s.name for s in corruptions_named(["imagenet_c_extra"])}
    assert extra == {"speckle_noise", "gaussian_blur", "spatter", "saturation"}
    assert not extra & {s.name for s in corruptions_named(["imagenet_c"])}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fogg", "did you mean 'fog'"),
        ("noises", "did you mean 'noise'"),
        ("fog=6", "allowed are 1 to 5"),
        ("fog=-1", "allowed are 1 to 5"),
        ("fog=1.5", "a whole number from 1 to 5"),
        ("fog=", "fog=SEVERITY"),
        ("fog:thick", "fog:VALUE in mean optical depth"),
        ("fog:nan", "allowed is a number from 0 to 20"),
        ("fog:21", "allowed is a number from 0 to 20"),
        ("jpeg:30.5", "a whole number"),
        ("jpeg=inf", "a whole number from 1 to 5"),
    ],
)
def test_bad_steps(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        corruptions_named([text])


def test_a_step_twice() -> None:
    with pytest.raises(ConfigurationError, match="fog=3 is asked for twice"):
        corruptions_named(["weather", "fog=3"])


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.zeros((4, 4), np.uint16), "8 bits a channel"),
        (np.zeros((4, 4), np.float32), "8 bits a channel"),
        (np.zeros((4, 4, 4), np.uint8), r"\(4, 4, 4\)"),
        (np.zeros((0, 4), np.uint8), r"at least one pixel"),
        (np.zeros(4, np.uint8), r"\(4,\)"),
        ("a text", "None"),
    ],
)
def test_bad_images(pixels, said: str) -> None:
    with pytest.raises(ContentError, match=said):
        corrupted(pixels, "fog=1")


def test_bad_masks() -> None:
    with pytest.raises(ContentError, match="a mask of shape"):
        corrupt_mask(np.zeros(4), "rotate=1", seed=0, ident="a")
