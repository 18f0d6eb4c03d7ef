"""Attributes made on an image: a colour, a texture, a background or a marker, one of n values.

Whatever the value, the luma of the picture has the same distribution: colours are of one luma,
textures have one contrast and markers one area. A class is as easy to see under one value as under
another, and only the attribute tells which was used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, ContentError, near_names
from shiftbench.statistics import stream
from shiftbench.transforms._marks_colours import (
    COLOURS,
    LUMA,
    coloured,
    luma_image,
    luma_of,
    of_luma,
    tinted,
)
from shiftbench.transforms._marks_fields import PATTERNS, TEXTURES, pattern_cell, texture_field
from shiftbench.transforms._marks_figure import figure_of, frame

__all__ = ["KINDS", "MAX_VALUES", "mark_image", "value_names"]

Pixels = NDArray[np.uint8]
Plane = NDArray[np.float32]

TINT = 0.5
"""How far a colour picture is moved towards the colour, from 0 to 1."""

CONTRAST = 0.3
"""Of a texture: the brightness varies by this share, up and down."""

GROUND = 0.3
"""Luma of a made background, from 0 to 1."""

SMALLEST = 8
AT_ONCE = 2**16

_NAMES: dict[str, Sequence[str]] = {
    "colour": COLOURS,
    "texture": TEXTURES,
    "background": COLOURS,
    "marker": tuple(PATTERNS),
}

KINDS = tuple(_NAMES)

MAX_VALUES = {kind: len(names) for kind, names in _NAMES.items()}


def value_names(kind: str, n: int) -> tuple[str, ...]:
    """Names of the first n values of a kind; the names of fewer are the head of those of more.

    Raises
    ------
    ConfigurationError
        An unknown kind, fewer than two values, or more than the kind has.

    Examples
    --------
    >>> value_names("colour", 2)
    ('blue', 'orange')
    >>> value_names("texture", 9)
    Traceback (most recent call last):
    shiftbench.errors.ConfigurationError: 9 values of 'texture' are asked for; allowed: 2 to 6 ...
    """
    if kind not in _NAMES:
        raise ConfigurationError(f"no attribute is called {kind!r}; {near_names(kind, _NAMES)}")
    names = _NAMES[kind]
    if not 2 <= n <= len(names):
        raise ConfigurationError(
            f"{n} values of {kind!r} are asked for; allowed: 2 to {len(names)} ({', '.join(names)})"
        )
    return tuple(names[:n])


def mark_image(
    pixels: Pixels,
    kind: str,
    value: int,
    *,
    ident: str,
    seed: int,
    n_values: int,
    mask: NDArray[np.bool_] | None = None,
) -> Pixels:
    """The image with one value of a made attribute.

    A *glyph* is a figure on a plain ground, bright on dark or dark on bright: a picture in which
    at least 70 % (of colour pictures 80 %) of the variance lies between the two sides of Otsu's
    threshold, and at least 60 % (70 %) of the border on one of them. Every other picture is a
    photograph.

    "colour": a grey glyph's figure becomes coloured, at 0.55 of its luma, the ground stays; grey
    photographs are coloured as a whole; a colour picture is moved halfway towards the colour. All
    eight colours have the same luma, so the grey picture (Pillow's mode "L") is the same for every
    value, to the last level; the same holds for "background".

    "texture": brightness times a grating (stripes in four directions) or noise (two sizes) of
    ±30 % about 0.77; its phase is random.

    "background": a colour of luma 0.3 in place of the ground: outside `mask`, where one is given;
    below the threshold of a glyph, edges blended; the outer eighth of a photograph.

    "marker": a white pattern of 3 × 3 squares on black in the upper left corner, an eighth of the
    shorter side wide and no less than 3 pixels.

    Parameters
    ----------
    pixels : (h, w) or (h, w, 3) uint8 array
        At least 8 pixels on a side.
    kind : str
        One of `KINDS`.
    value : int
        From 0 to ``n_values`` − 1; see `value_names`.
    ident : str
        Of the example: what is random depends on it and the seed alone, never on the value.
    seed : int
    n_values : int
        Up to ``MAX_VALUES[kind]``. What a value looks like does not depend on it.
    mask : (h, w) bool array, optional
        The figure, for "background".

    Returns
    -------
    (h, w, 3) uint8 array
        Colour whatever the kind, so that the mode does not tell the value.

    Raises
    ------
    ConfigurationError
        An unknown kind or value, or a mask of another size.
    ContentError
        Pixels of another kind, or fewer than 8 on a side.

    Examples
    --------
    >>> digit = np.zeros((8, 8), np.uint8)
    >>> digit[2:6, 3:5] = 255
    >>> blue = mark_image(digit, "colour", 0, ident="0001", seed=0, n_values=2)
    >>> blue[3, 3].tolist(), blue[0, 0].tolist()
    ([133, 121, 255], [0, 0, 0])
    """
    names = value_names(kind, n_values)
    if isinstance(value, bool) or not 0 <= value < len(names):
        raise ConfigurationError(
            f"value {value} of {kind!r} is asked for; allowed: 0 to {n_values - 1} "
            f"({', '.join(names)})"
        )
    _check(pixels, mask)
    match kind:
        case "colour":
            return _colour(pixels, value)
        case "texture":
            return _textured(pixels, value, stream(seed, "mark texture", ident))
        case "background":
            return _grounded(pixels, value, mask)
        case _:
            return _marked(pixels, value)


def _check(pixels: Pixels, mask: NDArray[np.bool_] | None) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)):
        raise ContentError(
            f"an array of {pixels.dtype} and shape {pixels.shape}; attributes are made on grey or "
            "colour pictures of 8 bits a channel"
        )
    if min(pixels.shape[:2]) < SMALLEST:
        raise ContentError(
            f"{pixels.shape[1]} x {pixels.shape[0]} pixels; an attribute needs {SMALLEST} on a side"
        )
    if mask is not None and mask.shape != pixels.shape[:2]:
        raise ConfigurationError(
            f"the mask has the shape {mask.shape}, and the picture {pixels.shape[:2]}"
        )


def _colour(pixels: Pixels, value: int) -> Pixels:
    if pixels.ndim == 3:
        return _in_bands(
            pixels, lambda rows: of_luma(tinted(pixels[rows], value, TINT), luma_of(pixels[rows]))
        )
    figure = figure_of(pixels)
    # White can take no colour: the figure is brought to the luma of the colours.
    least = np.float32(LUMA if figure.glyph and figure.dark else 0)
    most = np.float32(1 if figure.glyph and figure.dark else LUMA)

    def made(rows: slice) -> Pixels:
        luma = least + (most - least) * luma_of(pixels[rows])
        return of_luma(coloured(luma, value), luma)

    return _in_bands(pixels, made)


def _textured(pixels: Pixels, value: int, rng: np.random.Generator) -> Pixels:
    field = texture_field((pixels.shape[0], pixels.shape[1]), value, rng)
    field *= np.float32(CONTRAST)
    field += 1
    field /= np.float32(1 + CONTRAST)  # nothing is brighter than it was: no clipping

    def made(rows: slice) -> Pixels:
        return np.asarray(np.rint(_in_colour(pixels)[rows] * field[rows, :, None]), np.uint8)

    return _in_bands(pixels, made)


def _grounded(pixels: Pixels, value: int, mask: NDArray[np.bool_] | None) -> Pixels:
    share = _ground(pixels, mask)
    colour = coloured(np.full((1, 1), GROUND, np.float32), value)

    def made(rows: slice) -> Pixels:
        ground, own = share(rows), _in_colour(pixels)[rows]
        luma = (1 - ground) * luma_of(pixels[rows]) + ground * np.float32(GROUND)
        away = ground[..., None]
        mixed = of_luma((1 - away) * (own / np.float32(255)) + away * colour, luma)
        return np.where(away > 0, mixed, own)

    return _in_bands(pixels, made)


def _ground(pixels: Pixels, mask: NDArray[np.bool_] | None) -> Callable[[slice], Plane]:
    """How much of each pixel is ground, from 0 to 1, of some rows."""
    if mask is not None:
        return lambda rows: (~mask[rows]).astype(np.float32)
    colour = pixels.ndim == 3
    grey = luma_image(pixels) if colour else pixels
    figure = figure_of(grey, "colour" if colour else "grey")
    if not figure.glyph:
        outer = frame((pixels.shape[0], pixels.shape[1]))
        return lambda rows: outer[rows].astype(np.float32)

    def outside(rows: slice) -> Plane:
        luma = luma_of(grey[rows])
        away = (1 - luma) / (1 - figure.threshold) if figure.dark else luma / figure.threshold
        return np.asarray(1 - np.minimum(away, 1), np.float32)

    return outside


def _in_bands(pixels: Pixels, made: Callable[[slice], Pixels]) -> Pixels:
    """(h, w, 3) from what some rows become, few pixels at a time."""
    h, w = pixels.shape[:2]
    out = np.empty((h, w, 3), np.uint8)
    step = max(1, AT_ONCE // w)
    for start in range(0, h, step):
        rows = slice(start, start + step)
        out[rows] = made(rows)
    return out


def _marked(pixels: Pixels, value: int) -> Pixels:
    made = np.array(_in_colour(pixels))
    rows = tuple(PATTERNS.values())[value]
    lit = np.array([[c == "#" for c in row] for row in rows])
    cell = pattern_cell((pixels.shape[0], pixels.shape[1]))
    patch = np.kron(lit, np.ones((cell, cell), bool))
    made[: 3 * cell, : 3 * cell] = np.where(patch, 255, 0)[..., None]
    return made


def _in_colour(pixels: Pixels) -> Pixels:
    return np.broadcast_to(pixels[..., None], (*pixels.shape, 3)) if pixels.ndim == 2 else pixels
