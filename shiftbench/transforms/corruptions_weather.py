"""Weather-like corruptions: drawn over the picture, at a depth that nobody knows.

All but `brightness` mix the picture with a colour, pixel by pixel; the mixture grows with the
parameter at every pixel, and where it grows is drawn for each image.
"""

from __future__ import annotations

import math

import numpy as np

from shiftbench.transforms._corrupt_fields import (
    convolved,
    covered,
    fractal,
    smooth,
    soft_top,
    trace,
)
from shiftbench.transforms.corruption import Corruption, Floats, Pixels, pixel
from shiftbench.transforms.corruptions_digital import brightened

__all__ = ["BRIGHTNESS", "FOG", "FROST", "RAIN", "SNOW", "SPATTER"]

AIRLIGHT = (0.9, 0.9, 0.9)
ICE = (0.84, 0.92, 0.98)
FLAKE = (1.0, 1.0, 1.0)
STREAK = (0.75, 0.77, 0.8)
MUD = (0.25, 0.17, 0.08)


def _fog(pixels: Pixels, depth: float, rng: np.random.Generator) -> Floats:
    """Koschmieder's law: I · exp(−τ) + airlight · (1 − exp(−τ)), τ varying as clouds do."""
    cloud = fractal(_shape(pixels), 1.75, rng)
    cloud *= np.float32(0.5)
    np.clip(cloud, -0.9, 0.9, out=cloud)
    cloud += np.float32(1)
    cloud *= np.float32(-depth)
    return covered(pixels, 1 - np.exp(cloud), AIRLIGHT)


def _frost(pixels: Pixels, share: float, rng: np.random.Generator) -> Floats:
    """Ridges of a rough field, thicker towards the edges, as ice grows."""
    h, w = shape = _shape(pixels)
    ice = np.abs(fractal(shape, 1.25, rng))
    ice *= np.float32(-1)
    ice += np.float32(0.3) * fractal(shape, 0.75, rng)
    rows = np.abs(np.linspace(-1, 1, h, dtype=np.float32))
    columns = np.abs(np.linspace(-1, 1, w, dtype=np.float32))
    ice += np.maximum(rows[:, None], columns)
    return covered(pixels, np.float32(0.85) * soft_top(ice, share, 0.6), ICE)


def _snow(pixels: Pixels, share: float, rng: np.random.Generator) -> Floats:
    """Flakes of three pixels, drawn out by their fall, before a veil of half their share."""
    flakes = _streaks(pixels, share, rng, length=8, width=3, slant=40)
    flakes *= np.float32(0.9)
    return covered(pixels, 1 - (1 - flakes) * np.float32(1 - share / 2), FLAKE)


def _rain(pixels: Pixels, share: float, rng: np.random.Generator) -> Floats:
    """Thin streaks that one sees through, before a veil of half their share."""
    streaks = _streaks(pixels, share, rng, length=24, width=1, slant=20)
    streaks *= np.float32(0.6)
    return covered(pixels, 1 - (1 - streaks) * np.float32(1 - share / 2), STREAK)


def _streaks(
    pixels: Pixels,
    share: float,
    rng: np.random.Generator,
    *,
    length: float,
    width: float,
    slant: float,
) -> Floats:
    """From 0 to 1: lines of a given length and width, all in one direction near the vertical.

    So many begin that they cover the share, were each covered pixel full.
    """
    unit = pixel(pixels.shape)
    angle = math.radians(rng.uniform(-slant, slant))
    drawn = rng.random(_shape(pixels), dtype=np.float32)
    length, width = length * unit / 2, width * unit / 2
    along = np.linspace(-length, length, 2 * math.ceil(2 * length) + 3)
    across = np.linspace(-width, width, 2 * math.ceil(2 * width) + 3)
    rows = along[:, None] * math.cos(angle) - across * math.sin(angle)
    columns = along[:, None] * math.sin(angle) + across * math.cos(angle)
    kernel = trace(rows.ravel(), columns.ravel())
    kernel = kernel / kernel.max()
    begin = 1 - (1 - share) ** (1 / float(kernel.sum())) if share < 1 else 1.0
    layer = (drawn < begin).astype(np.float32)[..., None]
    return np.clip(convolved(layer, kernel)[..., 0], 0, 1)


def _spatter(pixels: Pixels, share: float, rng: np.random.Generator) -> Floats:
    drops = smooth(_shape(pixels), 4 * pixel(pixels.shape), rng)
    return covered(pixels, np.float32(0.9) * soft_top(drops, share, 0.25), MUD)


def _shape(pixels: Pixels) -> tuple[int, int]:
    return pixels.shape[0], pixels.shape[1]


FOG = Corruption(
    name="fog",
    family="weather",
    unit="mean optical depth",
    summary="I · exp(−τ) + 0.9 · (1 − exp(−τ)) (Koschmieder), τ uneven by a fractal field",
    severities=(0.4, 0.7, 1, 1.4, 1.9),
    reason="a convention: two thirds to a seventh of the light comes through",
    identity=0,
    low=0,
    high=20,
    compute=_fog,
)
FROST = Corruption(
    name="frost",
    family="weather",
    unit="share of the image under ice",
    summary="icy ridges of a fractal field, thicker towards the edges",
    severities=(0.25, 0.4, 0.5, 0.6, 0.7),
    reason="a convention; Hendrycks & Dietterich 2019 lay photographs of frost over the image",
    identity=0,
    low=0,
    high=1,
    compute=_frost,
)
SNOW = Corruption(
    name="snow",
    family="weather",
    unit="share of the image under flakes",
    summary="white flakes that fall in one direction, and a veil of half their share",
    severities=(0.1, 0.2, 0.3, 0.4, 0.5),
    reason="a convention, from single flakes to a snowstorm",
    identity=0,
    low=0,
    high=1,
    compute=_snow,
)
RAIN = Corruption(
    name="rain",
    family="weather",
    unit="share of the image under streaks",
    summary="grey streaks that one sees through, and a veil of half their share",
    severities=(0.1, 0.2, 0.3, 0.4, 0.5),
    reason="a convention, from single streaks to a cloudburst",
    identity=0,
    low=0,
    high=1,
    compute=_rain,
)
SPATTER = Corruption(
    name="spatter",
    family="weather",
    unit="share of the image under drops",
    summary="drops of mud where a smooth random field is highest",
    severities=(0.05, 0.1, 0.15, 0.2, 0.3),
    reason="a convention; the object stays in sight between the drops",
    identity=0,
    low=0,
    high=1,
    compute=_spatter,
)
BRIGHTNESS = Corruption(
    name="brightness",
    family="weather",
    unit="added intensity, where white is 1",
    summary="I + b, clipped at white: overexposure",
    severities=(0.1, 0.2, 0.3, 0.4, 0.5),
    reason="the values of Hendrycks & Dietterich 2019, who add them to the HSV value",
    identity=0,
    low=-1,
    high=1,
    compute=brightened,
    random=False,
)
