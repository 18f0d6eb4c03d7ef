"""Vessels of the lungs: trees of straight pieces that halve and thin out from the hilum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftbench.sources._phantom_shapes import Grid, Tubes, View, add_tubes

__all__ = ["Vessels", "draw_vessels", "paint_vessels"]

Floats = NDArray[np.float64]

_GENERATIONS = 7
_DEPTH = 0.52  # of the body: where they are projected from
# First directions in the right and the left lung, degrees from the horizontal, downward positive.
_FIRST = (-68, -42, -12, 18, 42, 66)


@dataclass(frozen=True)
class Vessels:
    """Straight pieces: both ends and the radius, mm."""

    x0: Floats
    y0: Floats
    x1: Floats
    y1: Floats
    radius: Floats


def draw_vessels(gen: np.random.Generator, scale: float) -> Vessels:
    """Trees whose radii fall by Murray's law for halves, 2^(-1/3) a generation."""
    side = np.repeat([-1.0, 1.0], len(_FIRST))
    angle = np.radians(np.tile(_FIRST, 2) + gen.normal(0, 7, len(side)))
    x = side * 33 * scale + gen.normal(0, 3, len(side))
    y = gen.normal(0, 7, len(side)) + 12 * np.sin(angle)
    radius = gen.uniform(3.2, 4.6, len(side)) * scale
    length = gen.uniform(24, 36, len(side)) * scale
    pieces = []
    for _ in range(_GENERATIONS):
        x1, y1 = x + side * length * np.cos(angle), y + length * np.sin(angle)
        pieces.append((x, y, x1, y1, radius))
        n = len(x)
        x, y, side = np.tile(x1, 2), np.tile(y1, 2), np.tile(side, 2)
        turn = np.concatenate([gen.uniform(0.12, 0.6, n), -gen.uniform(0.12, 0.6, n)])
        angle = np.tile(angle, 2) + turn
        radius = np.tile(radius, 2) * 2 ** (-1 / 3) * gen.uniform(0.78, 1.0, 2 * n)
        length = np.tile(length, 2) * gen.uniform(0.6, 0.98, 2 * n)
    return Vessels(*(np.concatenate(column) for column in zip(*pieces, strict=True)))


def paint_vessels(vessels: Vessels, view: View, grid: Grid) -> NDArray[np.float32]:
    """Length of each ray in vessels, mm."""
    enlarged = view.magnification(_DEPTH * view.depth)
    x0, x1 = (grid.position(v * enlarged + view.x) for v in (vessels.x0, vessels.x1))
    y0, y1 = (grid.position(v * enlarged + view.y) for v in (vessels.y0, vessels.y1))
    radius = vessels.radius * enlarged / grid.pitch
    flat = np.abs(x1 - x0) >= np.abs(y1 - y0)
    made = grid.zeros()
    for down, mine in ((False, flat), (True, ~flat)):
        a0, b0, a1, b1 = (y0, x0, y1, x1) if down else (x0, y0, x1, y1)
        add_tubes(made, _pieces(a0[mine], b0[mine], a1[mine], b1[mine], radius[mine], grid.pitch),
                  down=down)  # fmt: skip
    return made


def _pieces(a0: Floats, b0: Floats, a1: Floats, b1: Floats, radius: Floats, pitch: float) -> Tubes:
    """One piece for each line of pixels between a0 and a1."""
    swap = a1 < a0
    a0, a1, b0, b1 = (np.where(swap, p, q) for p, q in ((a1, a0), (a0, a1), (b1, b0), (b0, b1)))
    slope = (b1 - b0) / np.maximum(a1 - a0, 1e-6)
    first = np.ceil(a0).astype(np.int64)
    counts = np.maximum(np.ceil(a1).astype(np.int64) - first, 0)
    of = np.repeat(np.arange(len(counts)), counts)
    line = np.arange(len(of)) + (first - np.cumsum(counts) + counts)[of]
    middle = b0[of] + slope[of] * (line - a0[of])
    half = (radius * np.hypot(1, slope))[of]
    return Tubes(line, middle, half, (2 * radius * pitch)[of])
