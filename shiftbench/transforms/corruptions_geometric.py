"""Corruptions that move the picture; beyond its edges it goes on mirrored, and masks move along.

The direction (for `scale`: smaller or larger) is drawn for each image, and its severities share it.
"""

from __future__ import annotations

import math

import numpy as np

from shiftbench.transforms._corrupt_places import moving
from shiftbench.transforms.corruption import SIDE, Corruption, Places, pixel

__all__ = ["ROTATE", "SCALE", "SHEAR", "TRANSLATE"]


def _affine(
    shape: tuple[int, int], matrix: tuple[tuple[float, float], tuple[float, float]]
) -> Places:
    """Where each pixel comes from: the matrix acts on (row, column) from the middle."""
    centre = [(n - 1) / 2 for n in shape]
    down = np.arange(shape[0])[:, None] - centre[0]
    along = np.arange(shape[1]) - centre[1]
    rows, columns = (
        (a * down + b * along + c).astype(np.float32)
        for (a, b), c in zip(matrix, centre, strict=True)
    )
    return rows, columns


def _translate(shape: tuple[int, int], distance: float, rng: np.random.Generator) -> Places:
    angle = 2 * math.pi * rng.random()
    distance *= pixel(shape)
    rows = np.arange(shape[0], dtype=np.float32)[:, None] - np.float32(distance * math.sin(angle))
    columns = np.arange(shape[1], dtype=np.float32) - np.float32(distance * math.cos(angle))
    return rows, columns[None, :]


def _rotate(shape: tuple[int, int], degrees: float, rng: np.random.Generator) -> Places:
    turn = _sign(rng) * math.radians(degrees)
    cos, sin = math.cos(turn), math.sin(turn)
    return _affine(shape, ((cos, sin), (-sin, cos)))


def _scale(shape: tuple[int, int], factor: float, rng: np.random.Generator) -> Places:
    step = factor ** _sign(rng)
    return _affine(shape, ((step, 0), (0, step)))


def _shear(shape: tuple[int, int], slope: float, rng: np.random.Generator) -> Places:
    slope *= _sign(rng)
    sideways = rng.random() < 0.5
    return _affine(shape, ((1, 0), (slope, 1)) if sideways else ((1, slope), (0, 1)))


def _sign(rng: np.random.Generator) -> int:
    return 1 if rng.random() < 0.5 else -1


TRANSLATE = Corruption(
    name="translate",
    family="geometric",
    unit=f"pixels of an image with a shorter side of {SIDE}",
    summary="shifted in a direction drawn for each image",
    severities=(6, 12, 18, 24, 36),
    reason="a convention: 3 to 16 % of the shorter side",
    identity=0,
    low=0,
    high=SIDE,
    compute=moving(_translate),
    moves=_translate,
)
ROTATE = Corruption(
    name="rotate",
    family="geometric",
    unit="degrees",
    summary="turned about the middle, either way",
    severities=(5, 10, 15, 20, 30),
    reason="a convention: from a camera held askew to where a 6 begins to look like another digit",
    identity=0,
    low=0,
    high=180,
    compute=moving(_rotate),
    moves=_rotate,
)
SCALE = Corruption(
    name="scale",
    family="geometric",
    unit="factor",
    summary="enlarged, or made as much smaller, about the middle",
    severities=(1.1, 1.2, 1.3, 1.45, 1.6),
    reason="a convention: at 1.6, of objects that fill the image, the middle is still in sight",
    identity=1,
    low=1,
    high=8,
    compute=moving(_scale),
    moves=_scale,
)
SHEAR = Corruption(
    name="shear",
    family="geometric",
    unit="pixels to the side for each pixel up, or up for each pixel to the side",
    summary="slanted about the middle, along rows or along columns",
    severities=(0.05, 0.1, 0.15, 0.2, 0.3),
    reason="a convention: 0.3 slants upright lines by 17 degrees",
    identity=0,
    low=0,
    high=2,
    compute=moving(_shear),
    moves=_shear,
)
