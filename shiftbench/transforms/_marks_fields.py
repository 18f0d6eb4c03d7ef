"""Textures and markers: fields of fixed contrast, and patterns of equal area."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["PATTERNS", "TEXTURES", "pattern_cell", "texture_field"]

Plane = NDArray[np.float32]

_ANGLES = {"vertical": 0.0, "horizontal": 90.0, "rising": 135.0, "falling": 45.0}
"""Of the direction across the stripes; a stripe called rising goes up to the right."""

TEXTURES = (*_ANGLES, "coarse noise", "fine noise")

PATTERNS = {
    "plus": (".#.", "###", ".#."),
    "cross": ("#.#", ".#.", "#.#"),
    "tee": ("###", ".#.", ".#."),
    "corner": ("#..", "#..", "###"),
    "tee up": (".#.", ".#.", "###"),
    "corner down": ("###", "..#", "..#"),
    "tee left": ("..#", "###", "..#"),
    "tee right": ("#..", "###", "#.."),
}
"""Markers by name: five of nine squares each, so that none is brighter than another."""


def texture_field(shape: tuple[int, int], texture: int, rng: np.random.Generator) -> Plane:
    """(h, w) values from −1 to 1, distributed as a sine is, whichever the texture.

    Gratings have a random phase and a period of a seventh of the shorter side (at least 4 pixels);
    noise is white in squares of an eighth (at least 2 pixels) or a 32nd of it.
    """
    h, w = shape
    short = min(shape)
    phase = rng.random()
    name = TEXTURES[texture]
    if name in _ANGLES:
        turn = np.deg2rad(_ANGLES[name])
        period = max(4.0, short / 7)
        across = (np.arange(w) * (np.cos(turn) / period)).astype(np.float32)
        down = (np.arange(h) * (-np.sin(turn) / period)).astype(np.float32)
        waves = across[None, :] + down[:, None] + np.float32(phase)
    else:
        side = max(2, round(short / 8)) if name == "coarse noise" else max(1, round(short / 32))
        cells = rng.random((-(-h // side), -(-w // side)), np.float32)
        waves = np.repeat(np.repeat(cells, side, axis=0)[:h], side, axis=1)[:, :w]
    made: Plane = np.sin(np.float32(2 * np.pi) * waves)
    return made


def pattern_cell(shape: tuple[int, int]) -> int:
    """Side of a marker's square in pixels: the marker is an eighth of the shorter side or 3."""
    return max(1, round(min(shape) / 24))
