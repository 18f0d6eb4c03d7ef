"""Patches lie where they are said to, show what is there, and depend on nothing else."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from shiftbench.builders.xray._regions import body_mask
from shiftbench.builders.xray._resampling import nearest, resampled
from shiftbench.builders.xray.cutting import Cut, Patches, cut, disjoint_patches, standardised
from shiftbench.errors import ConfigurationError, ContentError
from shiftbench.radiograph import Intensity, Radiograph


def textured(rows: int, columns: int, seed: int = 0, bits: int = 12) -> Radiograph:
    """Noise, of which no part is blank."""
    rng = np.random.default_rng(seed)
    return Radiograph(rng.integers(1, 2**bits - 1, (rows, columns), dtype=np.uint16), bits=bits)


def windows(image: NDArray[np.uint16], found: Patches) -> NDArray[np.uint16]:
    """The patches, cut again from an image by what is said of them."""
    size = found.pixels.shape[1]
    return np.stack(
        [image[t : t + size, s : s + size] for t, s in zip(found.top, found.left, strict=True)]
    )


def exactly(pixels: NDArray[np.uint16], full: int) -> NDArray[np.int64]:
    """Sixteen-bit levels, of which float64 rounds none wrongly."""
    return np.rint(np.minimum(pixels, full).astype(np.float64) / full * 65535).astype(np.int64)


@pytest.mark.parametrize("region", ["central", "whole", "body"])
def test_pixels_are_those_at_the_position(region: str) -> None:
    image = textured(300, 400)
    found = cut(image, "r1", Cut(patches=8, size=64, region=region))  # type: ignore[arg-type]
    assert (found.pixels == exactly(windows(image.pixels, found), 4095)).all()
    assert (found.shape, found.pixels.dtype) == ((300, 400), np.dtype(np.uint16))
    assert not found.blank.any()


@given(
    st.integers(40, 400),
    st.integers(40, 400),
    st.integers(8, 40),
    st.floats(0.05, 1.0),
    st.integers(0, 2**31),
)
def test_whole_patches_lie_in_the_central_share(
    rows: int, columns: int, size: int, share: float, seed: int
) -> None:
    found = cut(textured(rows, columns), "r", Cut(size, 20, share=share, seed=seed))
    held = float(found.region.removeprefix("central "))
    assert held >= share - 1e-5
    for first, n in ((found.top, rows), (found.left, columns)):
        assert first.min() >= (1 - held) / 2 * n - 1e-3
        assert first.max() + size <= (1 + held) / 2 * n + 1e-3


def test_every_central_position_is_drawn_and_no_other() -> None:
    found = cut(textured(100, 90), "r", Cut(size=50, patches=4000))
    assert set(found.top.tolist()) == set(range(20, 31))  # [0.2 · 100, 0.8 · 100 − 50]
    assert set(found.left.tolist()) == set(range(18, 23))
    counts = np.bincount(found.top - 20)
    assert counts.min() > 4000 / 11 - 5 * math.sqrt(4000 / 11)


def test_more_patches_begin_with_the_same() -> None:
    image = textured(300, 300)
    image.pixels[:, :150] = 4000  # some draws are repeated
    few, many = (cut(image, "r", Cut(64, n)) for n in (16, 200))
    assert (few.pixels == many.pixels[:16]).all()
    assert (few.top == many.top[:16]).all()
    assert (few.left == many.left[:16]).all()


def test_the_seed_and_the_id_decide_the_positions() -> None:
    image = textured(512, 512)
    tops = [
        cut(image, ident, Cut(64, seed=seed)).top.tolist()
        for ident, seed in (("a", 0), ("a", 1), ("b", 0), ("a", 0))
    ]
    assert tops[0] == tops[3]
    assert tops[0] != tops[1]
    assert tops[0] != tops[2]


@pytest.mark.parametrize(
    ("shape", "size", "region"),
    [
        ((512, 512), 128, "central 0.6"),
        ((512, 200), 128, "central 0.65"),  # 0.6 · 200 = 120 and 0.65 · 200 = 130
        ((170, 512), 128, "central 0.8"),
        ((512, 128), 128, "central 1"),
    ],
)
def test_a_region_too_small_widens(shape: tuple[int, int], size: int, region: str) -> None:
    assert cut(textured(*shape), "r", Cut(size, 4)).region == region


def test_blank_places_are_avoided() -> None:
    image = textured(400, 400)
    image.pixels[:, :200] = 0  # a shutter
    image.pixels[:120] = 2000  # flat, and neither darkest nor brightest
    found = cut(image, "r", Cut(64, 100, region="whole"))
    assert not found.blank.any()
    dark = [(windows(image.pixels, found) == v).mean(axis=(1, 2)).max() for v in (0, 2000)]
    assert dark[0] <= 0.5
    assert dark[1] < 1


def test_what_stays_blank_is_said() -> None:
    image = textured(200, 200)
    image.pixels[4:-4, 4:-4] = 7
    found = cut(image, "r", Cut(64, 10))
    assert found.blank.sum() == 10
    assert (found.pixels == found.pixels[0, 0, 0]).all()


def test_inverted_and_plain_give_the_same_patches() -> None:
    image = textured(300, 300)
    other = Radiograph(4095 - image.pixels, bits=12, inverted=True)
    a, b = (cut(x, "r", Cut(64)) for x in (image, other))
    assert (a.pixels == b.pixels).all()
    assert (a.top == b.top).all()


@pytest.mark.parametrize("rule", ["bits_stored", "maximum"])
@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 16])
def test_standardised_is_normalised_rounded(bits: int, inverted: bool, rule: Intensity) -> None:
    image = replace(textured(64, 64, bits=bits), inverted=inverted)
    image.pixels[0, 0] = min(2**bits + 5, 65535)  # padding beyond the bits
    levels = exactly(image.pixels, image.full(rule))
    found = standardised(image, rule)
    assert (found.pixels == (65535 - levels if inverted else levels)).all()
    assert np.abs(found.pixels / 65535 - image.normalised(rule)).max() < 1e-5
    assert (found.bits, found.inverted) == (16, False)


def test_masks_are_cut_along() -> None:
    image = textured(300, 300)
    mask = image.pixels > 3000
    found = cut(replace(image, mask=mask), "r", Cut(64, 5))
    assert found.mask is not None
    assert (found.mask == (windows(image.pixels, found) > 3000)).all()
    assert cut(image, "r", Cut(64, 5)).mask is None


def test_a_change_comes_before_cutting() -> None:
    image = textured(300, 300)
    plain = cut(image, "r", Cut(64))
    seen: list[NDArray[np.float32]] = []

    def darker(given: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(given)
        return given / 2

    made = cut(image, "r", Cut(64), darker)
    assert seen[0].dtype == np.float32
    assert seen[0].shape == (300, 300)
    assert 0 <= seen[0].min() < 0.01 < 0.99 < seen[0].max() <= 1
    assert (made.top == plain.top).all()
    assert np.abs(made.pixels.astype(int) - plain.pixels / 2).max() <= 1


def test_a_change_of_the_shape_changes_the_pitch() -> None:
    image = replace(textured(400, 400), row_mm=0.1, column_mm=0.1)
    coarser = cut(image, "r", Cut(64, spacing=0.4), lambda x: x[::2, ::2])
    assert coarser.shape == (100, 100)


class TestResampling:
    def test_shape_and_mean(self) -> None:
        image = textured(300, 200).normalised()
        made = resampled(image, (0.1, 0.2), 0.25)
        assert made.shape == (120, 160)
        assert made.mean() == pytest.approx(image.mean(), abs=1e-4)

    @pytest.mark.parametrize(
        ("pitch", "frequency"),
        [
            *((pitch, f) for pitch in (0.05, 0.07, 0.1) for f in (0.1, 0.5, 0.7, 0.9)),
            *((0.05, f) for f in (1.1, 1.9)),
            (0.07, 1.1),
        ],
    )
    def test_one_filter_in_cycles_a_mm_whatever_the_pitch(
        self, pitch: float, frequency: float
    ) -> None:
        """A cosine of a given frequency (in units of the new Nyquist frequency) comes out alike."""
        spacing = 0.1
        length = 28.0  # mm, a whole number of pixels for each pitch
        n = round(length / pitch)
        x = (np.arange(n) + 0.5) * pitch
        cycles = round(frequency / (2 * spacing) * 2 * length) / (2 * length)
        wave = np.cos(2 * np.pi * cycles * x).astype(np.float32)
        made = resampled(np.tile(wave, (n, 1)), (pitch, pitch), spacing)
        gain = 1.0 if frequency <= 0.75 else max(math.cos(math.pi / 2 * (frequency - 0.75) * 4), 0)
        gain = gain**2 if frequency < 1 else 0.0
        at = (np.arange(made.shape[1]) + 0.5) * spacing
        expected = gain * np.cos(2 * np.pi * cycles * at)
        assert np.abs(made[3] - expected).max() < 0.02

    def test_pitches_that_a_header_rounded_are_one(self) -> None:
        image = textured(200, 200).normalised()
        assert resampled(image, (0.1435, 0.1435), 0.1434).shape == (200, 200)

    def test_what_the_image_does_not_hold_is_not_made_up(self) -> None:
        image = replace(textured(300, 300), row_mm=0.2, column_mm=0.1)
        with pytest.raises(ContentError, match=r"0.2 x 0.1 mm cannot be resampled to 0.15 mm"):
            cut(image, "r", Cut(64, spacing=0.15))

    def test_no_pitch(self) -> None:
        with pytest.raises(ContentError, match="no pixel spacing"):
            cut(textured(300, 300), "r", Cut(64, spacing=0.15))

    def test_masks_follow(self) -> None:
        mask = np.zeros((90, 60), np.bool_)
        mask[30:60, 20:40] = True
        assert nearest(mask, (90, 60)) is mask
        small = nearest(mask, (45, 20))
        assert small.shape == (45, 20)
        assert small.mean() == pytest.approx(mask.mean(), abs=0.02)
        image = replace(
            textured(300, 300), row_mm=0.1, column_mm=0.1, mask=np.ones((300, 300), bool)
        )
        found = cut(image, "r", Cut(64, spacing=0.2))
        assert found.mask is not None
        assert found.mask.all()


class TestBody:
    @staticmethod
    def chest(rows: int = 400, columns: int = 500) -> tuple[Radiograph, NDArray[np.bool_]]:
        """A bright ellipse with two dark lungs in black air."""
        y, x = np.mgrid[0:rows, 0:columns].astype(float)
        inside = ((y - rows / 2) / (0.45 * rows)) ** 2 + ((x - columns / 2) / (0.4 * columns)) ** 2
        body = inside < 1
        lungs = np.hypot(y - rows / 2, np.abs(x - columns / 2) - 80) < 50
        levels = np.where(body, np.where(lungs, 900, 3000), 30)
        noise = np.random.default_rng(0).normal(0, 12, levels.shape)
        pixels = (levels + noise).clip(0, 4095).astype(np.uint16)
        return Radiograph(pixels, bits=12), body

    def test_the_mask_is_the_body_with_its_lungs(self) -> None:
        image, body = self.chest()
        mask, step = body_mask(standardised(image).pixels)
        small = body[step // 2 :: step, step // 2 :: step][: mask.shape[0], : mask.shape[1]]
        assert (mask == small).mean() > 0.98

    def test_patches_lie_in_the_body(self) -> None:
        image, body = self.chest()
        found = cut(image, "r", Cut(64, 200, region="body"))
        assert found.region == "body"
        assert windows(body.astype(np.uint16), found).mean(axis=(1, 2)).min() >= 0.85
        assert len(set(zip(found.top.tolist(), found.left.tolist(), strict=True))) > 150

    def test_an_image_full_of_body_is_all_body(self) -> None:
        mask, _ = body_mask(standardised(textured(256, 256)).pixels)
        assert mask.all()

    def test_no_room_in_the_body_falls_back_and_says_so(self) -> None:
        image, _ = self.chest(200, 200)
        image.pixels[:, :90] = 30
        image.pixels[:, 120:] = 30
        assert cut(image, "r", Cut(64, 3, region="body")).region == "central 0.6"


class TestEffectivePatches:
    @pytest.mark.parametrize("settings", [Cut(8, 1), Cut(8, 5), Cut(8, 40, region="whole")])
    def test_against_counting_covered_pixels(self, settings: Cut) -> None:
        shape = (30, 24)
        image = textured(*shape)
        shares = []
        for seed in range(300):
            seen = np.zeros(shape, bool)
            found = cut(image, "r", replace(settings, seed=seed))
            for top, left in zip(found.top, found.left, strict=True):
                seen[top : top + 8, left : left + 8] = True
            shares.append(seen.sum() / 64)
        error = np.std(shares) / math.sqrt(300)
        assert abs(disjoint_patches(shape, settings) - np.mean(shares)) < 4 * error + 1e-9

    def test_one_patch_is_one_and_many_fill_the_region(self) -> None:
        assert disjoint_patches((512, 512), Cut(patches=1)) == pytest.approx(1)
        most = (306 / 128) ** 2  # rows 103 to 408
        assert disjoint_patches((512, 512), Cut(patches=100_000)) == pytest.approx(most, rel=1e-3)

    def test_too_small(self) -> None:
        with pytest.raises(ContentError, match="100 x 300 pixels holds no patch of 128"):
            disjoint_patches((100, 300), Cut())


class TestBadInput:
    @pytest.mark.parametrize("value", [0, 300])
    def test_constant(self, value: int) -> None:
        image = Radiograph(np.full((300, 300), value, np.uint16), bits=12)
        with pytest.raises(ContentError, match="constant image: its 300 x 300 pixels"):
            cut(image, "r", Cut())

    def test_smaller_than_a_patch(self) -> None:
        with pytest.raises(ContentError, match=r"100 x 300 pixels \(rows x columns\), and a patch"):
            cut(textured(100, 300), "r", Cut())

    def test_smaller_than_a_patch_once_resampled(self) -> None:
        image = replace(textured(300, 300), row_mm=0.1, column_mm=0.1)
        with pytest.raises(ContentError, match=r"after resampling to 0.5 mm"):
            cut(image, "r", Cut(spacing=0.5))

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("size", 7),
            ("size", 128.0),
            ("patches", 0),
            ("patches", True),
            ("region", "heart"),
            ("share", 0.0),
            ("share", 1.1),
            ("share", math.nan),
            ("intensity", "max"),
            ("spacing", 0.0),
            ("spacing", math.nan),
        ],
    )
    def test_options(self, option: str, value: object) -> None:
        with pytest.raises(ConfigurationError, match=f"{option} is"):
            Cut(**{option: value})  # type: ignore[arg-type]
