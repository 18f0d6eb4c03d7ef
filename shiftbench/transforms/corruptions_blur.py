"""Corruptions by loss of sharpness; lengths are relative to the shorter side."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from shiftbench.transforms._corrupt_fields import convolved, trace
from shiftbench.transforms._corrupt_places import mirrored
from shiftbench.transforms._frequency import gaussian
from shiftbench.transforms.corruption import SIDE, Corruption, Floats, Pixels, pixel

__all__ = ["DEFOCUS_BLUR", "GAUSSIAN_BLUR", "GLASS_BLUR", "MOTION_BLUR", "ZOOM_BLUR"]

ZOOMS = 16
"""Pictures that a zoom blur is the mean of."""

SOFTENING = 0.25
"""Standard deviation of the blur behind glass, relative to the largest displacement."""


def _gaussian(pixels: Pixels, sd: float, rng: np.random.Generator) -> Floats:
    sigma = sd * pixel(pixels.shape)
    return gaussian(pixels.astype(np.float32), (sigma, sigma))


def _defocus(pixels: Pixels, radius: float, rng: np.random.Generator) -> Floats:
    return convolved(pixels.astype(np.float32), _disc(radius * pixel(pixels.shape)))


@lru_cache(maxsize=32)
def _disc(radius: float) -> Floats:
    """Offsets on a grid of at most a quarter of a pixel, as far as they lie in the disc."""
    n = math.ceil(max(4 * radius, 8))
    grid = np.arange(-n, n + 1) / n
    inside = grid[:, None] ** 2 + grid**2 <= 1
    rows, columns = (
        radius * np.broadcast_to(g, inside.shape)[inside] for g in (grid[:, None], grid)
    )
    kernel = trace(rows, columns)
    kernel.flags.writeable = False
    return kernel


def _motion(pixels: Pixels, length: float, rng: np.random.Generator) -> Floats:
    angle = math.pi * rng.random()
    length *= pixel(pixels.shape)
    along = np.linspace(-length / 2, length / 2, 2 * math.ceil(2 * length) + 3)
    return convolved(
        pixels.astype(np.float32), trace(along * math.sin(angle), along * math.cos(angle))
    )


def _zoom(pixels: Pixels, factor: float, rng: np.random.Generator) -> Floats:
    """Means of the picture and fifteen enlargements of its middle, by Pillow, linear."""
    from PIL import Image

    h, w, channels = pixels.shape
    image = Image.fromarray(pixels if channels == 3 else pixels[..., 0])
    total = pixels.astype(np.float32)
    for step in range(1, ZOOMS):
        shown = 0.5 / (1 + (factor - 1) * step / (ZOOMS - 1))
        box = (w * (0.5 - shown), h * (0.5 - shown), w * (0.5 + shown), h * (0.5 + shown))
        made = image.resize((w, h), Image.Resampling.BILINEAR, box=box)
        total += np.asarray(made).reshape(pixels.shape)
    total *= np.float32(1 / ZOOMS)
    return total


def _glass(pixels: Pixels, distance: float, rng: np.random.Generator) -> Floats:
    """Each pixel from a place drawn nearby, rounded at random; then a little blur.

    Rounding at random keeps the mean displacement where it is below one pixel.
    """
    h, w = pixels.shape[:2]
    reach = np.float32(distance * pixel(pixels.shape))
    offset = rng.random((2, h, w), dtype=np.float32)
    offset *= 2 * reach
    offset -= reach
    offset += rng.random((2, h, w), dtype=np.float32)
    index = np.floor(offset).astype(np.int64)
    rows = mirrored(index[0] + np.arange(h)[:, None], h)
    columns = mirrored(index[1] + np.arange(w), w)
    moved = pixels.reshape(h * w, -1).take(rows * w + columns, axis=0)
    sigma = SOFTENING * float(reach)
    return gaussian(moved.astype(np.float32), (sigma, sigma))


_LENGTH = f"pixels of an image with a shorter side of {SIDE}"

GAUSSIAN_BLUR = Corruption(
    name="gaussian_blur",
    family="blur",
    unit=f"standard deviation, {_LENGTH}",
    summary="a Gaussian blur",
    severities=(1, 2, 3, 4, 6),
    reason="the values of Hendrycks & Dietterich 2019",
    identity=0,
    low=0,
    high=100,
    compute=_gaussian,
    random=False,
)
DEFOCUS_BLUR = Corruption(
    name="defocus_blur",
    family="blur",
    unit=f"radius of the disc, {_LENGTH}",
    summary="the mean over a disc: a lens out of focus",
    severities=(3, 4, 6, 8, 10),
    reason="the radii of Hendrycks & Dietterich 2019",
    identity=0,
    low=0,
    high=100,
    compute=_defocus,
    random=False,
)
MOTION_BLUR = Corruption(
    name="motion_blur",
    family="blur",
    unit=f"length of the track, {_LENGTH}",
    summary="the mean along a straight track, in a direction drawn for each image",
    severities=(6, 10, 14, 17, 20),
    reason="about as wide as the tracks of Hendrycks & Dietterich 2019, which fade out",
    identity=0,
    low=0,
    high=200,
    compute=_motion,
)
ZOOM_BLUR = Corruption(
    name="zoom_blur",
    family="blur",
    unit="largest factor of enlargement",
    summary="the mean of sixteen enlargements, equally spaced from 1 on",
    severities=(1.11, 1.16, 1.21, 1.26, 1.31),
    reason="the ends of the ranges of Hendrycks & Dietterich 2019",
    identity=1,
    low=1,
    high=4,
    compute=_zoom,
    random=False,
)
GLASS_BLUR = Corruption(
    name="glass_blur",
    family="blur",
    unit=f"largest displacement, {_LENGTH}",
    summary="pixels from random places nearby, with a Gaussian blur of a quarter of that distance",
    severities=(1, 1.5, 2, 3, 4),
    reason="the displacements of Hendrycks & Dietterich 2019 (1, 2, 2, 3, 4), made to rise",
    identity=0,
    low=0,
    high=50,
    compute=_glass,
)
