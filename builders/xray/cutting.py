"""Patches cut from a radiograph: where they lie and what their pixels are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, ContentError
from shiftbench.radiograph import Intensity, Radiograph
from shiftbench.statistics import stream

from ._regions import Box, Cells, body, central, whole
from ._resampling import nearest, resampled

__all__ = ["Cut", "Patches", "cut", "disjoint_patches", "standardised"]

FULL = 65535
"""White, in the patches."""

TRIES = 20
"""Positions drawn for a patch before it is taken although it is blank."""

FLAT = 0.005
"""A patch is blank whose standard deviation is below this share of the image's spread."""

_DRAWS = 64
_MOST_PIXELS = 4096
_MOST_PATCHES = 100_000
_SAMPLE = 256
_ROWS = 64

Levels = NDArray[np.uint16]
Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Cut:
    """How patches are cut.

    Parameters
    ----------
    size : int
        Rows and columns of a patch in pixels, 8 to 4096.
    patches : int
        Patches of each radiograph.
    region : str
        "central": the whole patch lies in the central `share` of the rows and of the columns.
        "body": at least nine tenths of it lie in the body, found in the image itself; where none
        fits, as "central". "whole": anywhere.
    share : float
        Of "central"; 0.6 is AdverX-Ray's (arXiv 2502.16610).
    intensity : str
        "bits_stored" or "maximum", see `Radiograph.normalised`.
    spacing : float or None
        Resample to isotropic pixels of so many mm first; None cuts the pixels as they are.
    seed : int

    Examples
    --------
    >>> Cut(size=64, region="lungs")
    Traceback (most recent call last):
    shiftbench.errors.ConfigurationError: region is 'lungs'; allowed: 'central', 'body', 'whole'
    """

    size: int = 128
    patches: int = 16
    region: Literal["central", "body", "whole"] = "central"
    share: float = 0.6
    intensity: Intensity = "bits_stored"
    spacing: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("size", 8, _MOST_PIXELS), ("patches", 1, _MOST_PATCHES),
        ):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ConfigurationError(
                    f"{name} is {value!r}; allowed: a whole number from {low} to {high}"
                )
        for name, allowed in (
            ("region", ("central", "body", "whole")),
            ("intensity", ("bits_stored", "maximum")),
        ):
            if getattr(self, name) not in allowed:
                raise ConfigurationError(
                    f"{name} is {getattr(self, name)!r}; allowed: {', '.join(map(repr, allowed))}"
                )
        if not 0 < self.share <= 1:
            raise ConfigurationError(f"share is {self.share}; allowed: above 0, up to 1")
        if self.spacing is not None and not 0 < self.spacing < math.inf:
            raise ConfigurationError(
                f"spacing is {self.spacing}; allowed: a positive number of mm, or None (native)"
            )


@dataclass(frozen=True)
class Patches:
    """The patches of one radiograph, n of them.

    Attributes
    ----------
    pixels : (n, size, size) array of uint16
        0 is black and 65535 is white.
    top, left : (n,) array of int64
        The first row and column of each, in the image that was cut.
    region : str
        Where they were allowed: "central 0.6", "whole" or "body". The share is larger than the
        settings' where no patch fitted; "central" where "body" was wanted says that no patch fitted
        in the body.
    shape : (int, int)
        Rows and columns of the image that was cut: after a change and after resampling.
    blank : (n,) array of bool
        Patches that show nothing, since no other place was found in `TRIES` draws.
    mask : (n, size, size) array of bool, or None
        Where the finding is, if the radiograph tells.
    """

    pixels: Levels
    top: NDArray[np.int64]
    left: NDArray[np.int64]
    region: str
    shape: tuple[int, int]
    blank: NDArray[np.bool_]
    mask: NDArray[np.bool_] | None


def standardised(radiograph: Radiograph, intensity: Intensity = "bits_stored") -> Radiograph:
    """The same radiograph with 16 bits and large values bright.

    Parameters
    ----------
    radiograph : Radiograph
    intensity : str
        See `Radiograph.normalised`, whose numbers are rounded to 1/65535.

    Returns
    -------
    Radiograph
        Equal for two copies of an image of which one is inverted (MONOCHROME1).

    Examples
    --------
    >>> image = Radiograph(np.array([[0, 1023]], np.uint16), bits=10, inverted=True)
    >>> standardised(image).pixels.tolist()
    [[65535, 0]]
    """
    if intensity == "bits_stored" and radiograph.bits == 16 and not radiograph.inverted:
        return radiograph
    # In whole numbers: those of float32 would round a few values of an inverted copy otherwise.
    # There are no ties, since the divisor is odd.
    full = radiograph.full(intensity)
    stored = np.minimum(np.arange(int(radiograph.pixels.max(initial=0)) + 1), full)
    shown = full - stored if radiograph.inverted else stored
    table = ((2 * FULL * shown + full) // (2 * full)).astype(np.uint16)
    pixels = np.empty_like(radiograph.pixels)
    for start in range(0, len(pixels), _ROWS):  # take widens the numbers that it looks up
        rows = slice(start, start + _ROWS)
        np.take(table, radiograph.pixels[rows], out=pixels[rows], mode="clip")
    return replace(radiograph, pixels=pixels, bits=16, inverted=False)


def cut(radiograph: Radiograph, ident: str, settings: Cut, change: Change | None = None) -> Patches:
    """Cut the patches of one radiograph.

    Positions are uniform over the region and depend on the seed, the radiograph's id and its
    pixels alone; the first n are the same however many are cut. A position is drawn again, up to
    20 times, if the patch there is blank: its standard deviation is below 0.5 % of the image's
    spread (1st to 99th percentile), or more than half of its pixels have the smallest or the
    largest value of the image (a collimated border, direct exposure).

    Parameters
    ----------
    radiograph : Radiograph
    ident : str
        The radiograph's id.
    settings : Cut
    change : callable, optional
        Applied to the normalised image, a (rows, columns) array of float32 from 0 (black) to 1
        (white), before it is resampled. An image of another shape has pixels of another size.

    Returns
    -------
    Patches

    Raises
    ------
    ContentError
        The image is constant, or smaller than a patch; with `spacing`: it has no pixel spacing or
        a coarser one.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> image = Radiograph(rng.integers(0, 4096, (512, 512), dtype=np.uint16), bits=12)
    >>> found = cut(image, "r1", Cut(patches=4))
    >>> found.pixels.shape, found.region
    ((4, 128, 128), 'central 0.6')
    >>> more = cut(image, "r1", Cut(patches=64))
    >>> bool((more.top[:4] == found.top).all()), int(more.top.min()) >= 103
    (True, True)
    """
    levels, mask = _image(radiograph, settings, change)
    size = settings.size
    low, high = int(levels.min(initial=FULL)), int(levels.max(initial=0))
    if low >= high:
        raise ContentError(
            f"a constant image: its {levels.shape[0]} x {levels.shape[1]} pixels have one value"
        )
    if min(levels.shape) < size:
        after = f" after resampling to {settings.spacing:g} mm" if settings.spacing else ""
        raise ContentError(
            f"the image has {levels.shape[0]} x {levels.shape[1]} pixels (rows x columns){after}, "
            f"and a patch needs {size} x {size}; choose a smaller size"
        )
    region = _region(levels, settings)
    corners, blank = _corners(region, levels, (low, high), ident, settings)
    return Patches(
        pixels=_windows(levels, corners, size),
        top=corners[:, 0],
        left=corners[:, 1],
        region=region.name,
        shape=(levels.shape[0], levels.shape[1]),
        blank=blank,
        mask=None if mask is None else _windows(mask, corners, size),
    )


def disjoint_patches(shape: tuple[int, int], settings: Cut) -> float:
    """How many patches side by side would show as much as n patches at random positions do.

    The area that at least one of the n patches covers, on average over their positions, divided
    by a patch's area: with p the chance that one patch covers a pixel, the sum over pixels of
    1 − (1 − p)ⁿ. It is no more than the region's area divided by a patch's, however large n is,
    and it bounds what n patches can tell: pixels seen twice say nothing new.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the image that is cut.
    settings : Cut
        For "body", which is known of no image beforehand, it is as for "whole": an upper bound.

    Returns
    -------
    float
        At least 1.

    Raises
    ------
    ContentError
        The image is smaller than a patch.

    Examples
    --------
    The central 60 % of 512 × 512 pixels hold 5.7 patches of 128 × 128 side by side, and 64
    patches at random positions show 5.2 of them:

    >>> round(disjoint_patches((512, 512), Cut(patches=64)), 2)
    5.21
    >>> round(disjoint_patches((512, 512), Cut(patches=512)), 2)
    5.65
    """
    size = settings.size
    if min(shape) < size:
        raise ContentError(f"an image of {shape[0]} x {shape[1]} pixels holds no patch of {size}")
    if settings.region == "central":
        box = central(shape, size, settings.share)
    else:
        box = whole(shape, size)
    # Few pixels differ in the chance along an axis, so the sum runs over pairs of chances.
    rows, many = np.unique(_coverage(box.rows, size), return_counts=True)
    columns, wide = np.unique(_coverage(box.columns, size), return_counts=True)
    covered = 1 - (1 - np.outer(rows, columns)) ** settings.patches
    return float(many @ covered @ wide) / size**2


def _coverage(positions: int, size: int) -> NDArray[np.float64]:
    """The chance that a patch covers each row of the region, all positions equally likely."""
    row = np.arange(positions + size - 1)
    first, last = np.maximum(row - size + 1, 0), np.minimum(row, positions - 1)
    return (last - first + 1) / positions


def _image(
    radiograph: Radiograph, settings: Cut, change: Change | None
) -> tuple[Levels, NDArray[np.bool_] | None]:
    """What patches are cut from: normalised, changed and resampled; with the mask beside it."""
    standard = standardised(radiograph, settings.intensity)
    if change is None and settings.spacing is None:
        return standard.pixels, radiograph.mask
    image = standard.pixels * np.float32(1 / FULL)
    if change is not None:
        image = np.asarray(change(image), np.float32)
    if settings.spacing is not None:
        pitch = (
            _pitch(radiograph.row_mm, radiograph.pixels.shape[0], image.shape[0]),
            _pitch(radiograph.column_mm, radiograph.pixels.shape[1], image.shape[1]),
        )
        image = resampled(image, pitch, settings.spacing)
    levels = _levels(image)
    mask = radiograph.mask
    return levels, None if mask is None else nearest(mask, (levels.shape[0], levels.shape[1]))


def _pitch(pitch: float | None, before: int, after: int) -> float | None:
    return None if pitch is None else pitch * (before / after)


def _levels(image: NDArray[np.float32]) -> Levels:
    levels = np.empty(image.shape, np.uint16)
    for start in range(0, len(levels), _ROWS):
        rows = slice(start, start + _ROWS)
        levels[rows] = np.rint(np.clip(image[rows], 0, 1) * np.float32(FULL))
    return levels


def _region(levels: Levels, settings: Cut) -> Box | Cells:
    shape = (levels.shape[0], levels.shape[1])
    if settings.region == "whole":
        return whole(shape, settings.size)
    found = body(levels, settings.size) if settings.region == "body" else None
    return found or central(shape, settings.size, settings.share)


def _corners(
    region: Box | Cells,
    levels: Levels,
    extremes: tuple[int, int],
    ident: str,
    settings: Cut,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(n, 2) rows and columns of the patches' corners, and which patches are blank all the same."""
    flat = FLAT * _spread(levels)
    drawn = _draws(region, settings.seed, ident)
    chosen, blank = [], []
    for _ in range(settings.patches):
        for _ in range(TRIES):
            top, left = next(drawn)
            patch = levels[top : top + settings.size, left : left + settings.size]
            if not (is_blank := _blank(patch, extremes, flat)):
                break
        chosen.append((top, left))
        blank.append(is_blank)
    return np.array(chosen, np.int64), np.array(blank)


def _draws(region: Box | Cells, seed: int, ident: str) -> Iterator[list[int]]:
    """Positions without end, one after the other: how many are wanted changes none of them."""
    generator = stream(seed, "patch positions", ident)
    while True:
        yield from region.place(generator.random((_DRAWS, 2))).tolist()


def _windows(image: NDArray[Any], corners: NDArray[np.int64], size: int) -> NDArray[Any]:
    return np.stack([image[t : t + size, s : s + size] for t, s in corners.tolist()])


def _spread(levels: Levels) -> float:
    """From the 1st to the 99th percentile, of a grid of pixels: single hot pixels do not count."""
    steps = [max(n // _SAMPLE, 1) for n in levels.shape]
    few = levels[:: steps[0], :: steps[1]]
    low, high = np.percentile(few, [1, 99], method="lower")
    return float(high) - float(low)


def _blank(patch: Levels, extremes: tuple[int, int], flat: float) -> bool:
    if 2 * max(np.count_nonzero(patch == value) for value in extremes) > patch.size:
        return True
    # In whole numbers, so that every machine comes to the same answer.
    values = patch.astype(np.int64).ravel()
    n, total = len(values), int(values.sum())
    variance = (n * int(values @ values) - total**2) / n**2
    return math.sqrt(variance) < flat
