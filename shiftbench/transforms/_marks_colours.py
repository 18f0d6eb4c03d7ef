"""Colours of one luma, so that the grey picture does not tell which was used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["COLOURS", "LUMA", "coloured", "luma_image", "luma_of", "of_luma", "palette", "tinted"]

Plane = NDArray[np.float32]

WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)
"""Of red, green and blue in luma, ITU-R BT.601; what Pillow's conversion to grey uses."""

LUMA = 0.55

# Red and blue from 0 to 1; green follows from the luma. In this order the first four stay apart
# (CIE76 difference of 29 and more) for people who cannot tell red from green.
_RED_BLUE = {
    "blue": (0.52, 1.0),
    "orange": (1.0, 0.05),
    "teal": (0.05, 0.65),
    "cyan": (0.0, 0.95),
    "pink": (1.0, 0.75),
    "green": (0.0, 0.0),
    "olive": (0.62, 0.0),
    "purple": (0.78, 0.98),
}

COLOURS = tuple(_RED_BLUE)


def palette() -> Plane:
    """(n, 3) red, green and blue from 0 to 1, all of luma `LUMA`.

    Examples
    --------
    >>> bool(np.allclose(palette() @ WEIGHTS, LUMA))
    True
    """
    red, blue = np.array(list(_RED_BLUE.values())).T
    green = (LUMA - 0.299 * red - 0.114 * blue) / 0.587
    return np.column_stack([red, green, blue]).astype(np.float32)


def luma_of(pixels: NDArray[np.uint8]) -> Plane:
    """(h, w) luma from 0 to 1 of grey (h, w) or colour (h, w, 3) pixels."""
    if pixels.ndim == 2:
        return pixels.astype(np.float32) / np.float32(255)
    made: Plane = (pixels @ WEIGHTS) / np.float32(255)
    return made


def luma_image(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w) whole numbers from 0 to 255, a row of the picture at a time."""
    made = np.empty(pixels.shape[:2], np.uint8)
    for i, row in enumerate(pixels):
        made[i] = np.rint(row @ WEIGHTS)
    return made


def coloured(luma: Plane, colour: int, amount: Plane | float = 1.0) -> Plane:
    """(h, w, 3) of a given luma in one colour, as saturated as the luma allows.

    The chroma of the palette's colour is scaled towards black below its luma and towards white
    above, which never leaves the cube of colours; `amount` (0 to 1) scales it further.
    """
    room = np.minimum(luma / np.float32(LUMA), (1 - luma) / np.float32(1 - LUMA)) * amount
    chroma = palette()[colour] - np.float32(LUMA)
    made: Plane = luma[..., None] + room[..., None] * chroma
    return made


def of_luma(picture: Plane, luma: Plane) -> NDArray[np.uint8]:
    """(h, w, 3) whole numbers whose grey picture is (h, w) `luma`, rounded, to the last level.

    Red, green and blue rounded one by one differ from it by a level, and by which level would tell
    the colour; so green makes up for what red and blue lost.

    Examples
    --------
    >>> luma = np.full((1, 1), 0.3, np.float32)
    >>> [of_luma(coloured(luma, c), luma)[0, 0].tolist() for c in (0, 3)]
    [[72, 66, 139], [0, 104, 132]]
    """
    made = np.rint(picture * np.float32(255))
    level = np.rint(luma * np.float32(255))
    green = (level - made[..., 0] * WEIGHTS[0] - made[..., 2] * WEIGHTS[2]) / WEIGHTS[1]
    made[..., 1] = np.rint(green)
    # A few pixels, nearly black or saturated, have no green to spare: they become grey.
    beyond = (made[..., 1] < 0) | (made[..., 1] > 255)
    made[beyond] = level[beyond][:, None]
    return np.asarray(made, np.uint8)


def tinted(pixels: NDArray[np.uint8], colour: int, strength: float) -> Plane:
    """(h, w, 3): a colour picture moved towards one colour, its luma kept.

    A convex combination of two pictures of the same luma: nothing is clipped.
    """
    luma = luma_of(pixels)
    own = pixels.astype(np.float32) / np.float32(255)
    return np.float32(1 - strength) * own + np.float32(strength) * coloured(luma, colour)
