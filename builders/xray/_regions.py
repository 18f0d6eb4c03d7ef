"""Where on a radiograph patches may lie: the central part, all of it, or the body."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "Cells", "body", "body_mask", "central", "whole"]

WIDER = 0.05
"""Steps in which the central share grows until a patch fits."""

INSIDE = 0.9
"""Least share of a patch that lies in the body."""

_MASK_SIDE = 256
"""The longer side of the image in which the body is looked for, at most."""

_DARK = 0.1
_LARGE = 0.01

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Box:
    """Top-left corners that fill a rectangle.

    Attributes
    ----------
    name : str
        What the benchmark says of it.
    top, left : int
        The first corner.
    rows, columns : int
        How many rows and columns of corners.
    """

    name: str
    top: int
    left: int
    rows: int
    columns: int

    def place(self, draws: Floats) -> Ints:
        """Corners, (n, 2), from uniform numbers in [0, 1), (n, 2)."""
        return np.column_stack(
            [
                self.top + _whole(draws[:, 0], self.rows),
                self.left + _whole(draws[:, 1], self.columns),
            ]
        )


@dataclass(frozen=True)
class Cells:
    """Top-left corners that fill several squares of `step` × `step` pixels.

    Attributes
    ----------
    name : str
    corners : (m, 2) array of int64
        The first corner of each square.
    step : int
    """

    name: str
    corners: Ints
    step: int

    def place(self, draws: Floats) -> Ints:
        """Corners, (n, 2), from uniform numbers in [0, 1), (n, 2)."""
        rows = _whole(draws[:, 0], len(self.corners) * self.step)
        within = np.column_stack([rows % self.step, _whole(draws[:, 1], self.step)])
        return self.corners[rows // self.step] + within


def _whole(draws: Floats, n: int) -> Ints:
    """Whole numbers from 0 to n − 1; the product may round to n."""
    return np.minimum((draws * n).astype(np.int64), n - 1)


def central(shape: tuple[int, int], size: int, share: float) -> Box:
    """The corners of patches that lie whole within the central share of rows and of columns.

    A share too small for one patch grows in steps of 0.05, which the name tells.

    Examples
    --------
    >>> central((512, 512), 128, 0.6)
    Box(name='central 0.6', top=103, left=103, rows=179, columns=179)
    >>> central((512, 170), 128, 0.6).name
    'central 0.8'
    """
    while True:
        # Rounded: 0.55 · 500 in floating point may lie a trifle beside a whole number.
        first = [math.ceil(round((1 - share) / 2 * n, 6)) for n in shape]
        last = [math.floor(round((1 + share) / 2 * n, 6)) - size for n in shape]
        rows, columns = (b - a + 1 for a, b in zip(first, last, strict=True))
        if rows > 0 and columns > 0:
            return Box(f"central {share:g}", first[0], first[1], rows, columns)
        share = min(round(share + WIDER, 6), 1.0)


def whole(shape: tuple[int, int], size: int) -> Box:
    """The corners of all patches that lie within the image."""
    return Box("whole", 0, 0, shape[0] - size + 1, shape[1] - size + 1)


def body(levels: NDArray[np.uint16], size: int) -> Cells | None:
    """The corners of patches at least nine tenths of which lie in the body; None: there are none.

    Judged on the mask's grid, for the cells that a patch touches from anywhere in its cell.
    """
    mask, step = body_mask(levels)
    window = -(-(size + step - 1) // step)
    if window > min(mask.shape):
        return None
    sums = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int64)
    sums[1:, 1:] = mask.cumsum(axis=0).cumsum(axis=1)
    w = window
    inside = sums[w:, w:] - sums[:-w, w:] - sums[w:, :-w] + sums[:-w, :-w]
    corners = np.argwhere(inside >= INSIDE * w * w)
    return Cells("body", corners * step, step) if len(corners) else None


def body_mask(levels: NDArray[np.uint16]) -> tuple[NDArray[np.bool_], int]:
    """Where the body is, on a coarse grid, and how many pixels a cell of the grid is wide.

    Of the image's block means, at most 256 a side, the dark ones (within a tenth of the way from
    the 1st to the 99th percentile) that reach the image's edge in one piece of at least 1 % of its
    area are the surroundings: air that is exposed directly, or a shutter. The largest connected
    part of the rest is the body, with what it encloses. A threshold between all dark and all
    bright pixels (Otsu 1979) was tried and is none: where the body fills the image it leaves out
    the lungs. Bright surroundings (the collimator's shadow) are not found here, nor is air beside
    a shutter that is darker still; patches of those are blank, and drawn again.

    Parameters
    ----------
    levels : (rows, columns) array of uint16
        0 is black.

    Returns
    -------
    mask : (rows // step, columns // step) array of bool
    step : int
    """
    from scipy import ndimage

    step = -(-max(levels.shape) // _MASK_SIDE)
    rows, columns = (n // step for n in levels.shape)
    if not rows or not columns:
        return np.zeros((rows, columns), np.bool_), step
    blocks = levels[: rows * step, : columns * step].reshape(rows, step, columns, step)
    small = blocks.sum(axis=(1, 3), dtype=np.int64) // step**2
    low, high = np.percentile(small, [1, 99], method="lower").tolist()
    dark, n = ndimage.label(small - low <= _DARK * (high - low))
    areas = np.bincount(dark.ravel(), minlength=n + 1)
    edge = np.concatenate([dark[0], dark[-1], dark[:, 0], dark[:, -1]])
    outside = [k for k in np.unique(edge).tolist() if k and areas[k] >= _LARGE * small.size]
    parts, n = ndimage.label(~np.isin(dark, outside))
    if not n:
        return np.zeros((rows, columns), np.bool_), step
    largest = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    mask: NDArray[np.bool_] = ndimage.binary_fill_holes(largest)
    return mask, step
