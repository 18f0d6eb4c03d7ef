"""Common corruptions of an image, its masks and its boxes: the same shape and type out as in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ContentError
from shiftbench.statistics import stream
from shiftbench.transforms._corrupt_places import nearest
from shiftbench.transforms.corruption import (
    CorruptionStep,
    Floats,
    Pixels,
    Places,
    corruption_named,
    parse_corruption,
)

__all__ = ["corrupt_boxes", "corrupt_image", "corrupt_mask"]


_NOTHING_DRAWN = np.random.default_rng(0)


def corrupt_image(pixels: Pixels, step: CorruptionStep | str, *, seed: int, ident: str) -> Pixels:
    """The image with a common corruption.

    What is random depends on the seed, the corruption's name and `ident` alone: the severities of
    one corruption share it, and neither the order of corruptions nor batches matter.

    Parameters
    ----------
    pixels : (rows, columns) or (rows, columns, 3) array of uint8
        Grey or RGB, of at least one pixel.
    step : CorruptionStep or str
        Or its text: "fog=3" (severity 3) or "jpeg:40" (the parameter's value). Severity 0 gives
        the image itself.
    seed : int
    ident : str
        The example's id.

    Returns
    -------
    array of uint8
        Of the same shape.

    Raises
    ------
    ConfigurationError
        No such corruption or strength.
    ContentError
        The image has another type or shape.

    References
    ----------
    Hendrycks & Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and
    Perturbations, ICLR 2019. Kinds and most strengths are theirs; the pictures are not the same.

    Examples
    --------
    >>> grey = np.full((2, 2), 128, np.uint8)
    >>> corrupt_image(grey, "brightness=2", seed=0, ident="a").tolist()
    [[179, 179], [179, 179]]
    >>> corrupt_image(grey, "fog=0", seed=0, ident="a").tolist()
    [[128, 128], [128, 128]]
    """
    chosen = parse_corruption(step) if isinstance(step, str) else step
    _check(pixels)
    if not chosen.changes:
        return pixels.copy()
    kind = corruption_named(chosen.name)
    assert chosen.value is not None
    rng = _stream(chosen, seed, ident) if kind.random else _NOTHING_DRAWN
    planes = np.ascontiguousarray(pixels.reshape(*pixels.shape[:2], -1))
    made = kind.compute(planes, chosen.value, rng)
    return _stored(made).reshape(pixels.shape)


def corrupt_mask(
    mask: NDArray[Any], step: CorruptionStep | str, *, seed: int, ident: str
) -> NDArray[Any]:
    """The mask of an image that `corrupt_image` was given: moved along where pixels move.

    Parameters
    ----------
    mask : (rows, columns) or (rows, columns, channels) array of any type
        As large as the image. The nearest pixel is taken, so no value is new.
    step, seed, ident
        As for the image.

    Raises
    ------
    ConfigurationError
        No such corruption or strength.
    ContentError
        The mask has another shape.

    Examples
    --------
    >>> mask = np.eye(3, dtype=bool)
    >>> bool((corrupt_mask(mask, "fog=5", seed=0, ident="a") == mask).all())
    True
    """
    chosen = parse_corruption(step) if isinstance(step, str) else step
    if mask.ndim not in (2, 3) or mask.size == 0:
        raise ContentError(
            f"a mask of shape {mask.shape}; allowed are (rows, columns) and (rows, columns, "
            "channels), at least one pixel"
        )
    places = _places(chosen, mask.shape[:2], seed, ident) if chosen.changes else None
    return mask.copy() if places is None else nearest(mask, places)


def corrupt_boxes(
    boxes: Any, step: CorruptionStep | str, *, shape: tuple[int, int], seed: int, ident: str
) -> NDArray[np.float64]:
    """Boxes of an image that `corrupt_image` was given: around what they hold, where that goes.

    Where pixels move, a box is put around the pixels that show something of it, to whole pixels;
    what a border mirrors does not count, and a box of which nothing is left is all 0.

    Parameters
    ----------
    boxes : (n, 4) array
        Left, top, right and bottom, in pixels from the image's corner.
    step, seed, ident
        As for the image.
    shape : (rows, columns)
        Of the image.

    Raises
    ------
    ConfigurationError
        No such corruption or strength.

    Examples
    --------
    >>> boxes = [[2.0, 3.0, 8.0, 9.0]]
    >>> corrupt_boxes(boxes, "jpeg=5", shape=(16, 16), seed=0, ident="a").tolist()
    [[2.0, 3.0, 8.0, 9.0]]
    """
    chosen = parse_corruption(step) if isinstance(step, str) else step
    given = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    places = _places(chosen, shape, seed, ident) if chosen.changes else None
    if places is None:
        return given
    rows, columns = (np.broadcast_to(p + 0.5, shape) for p in places)
    return np.array([_around(rows, columns, box) for box in given]).reshape(-1, 4)


def _around(rows: Floats, columns: Floats, box: NDArray[np.float64]) -> list[float]:
    left, top, right, bottom = box
    shown = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
    down, along = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    if not len(down):
        return [0.0] * 4
    return [float(along[0]), float(down[0]), float(along[-1] + 1), float(down[-1] + 1)]


def _places(step: CorruptionStep, shape: tuple[int, ...], seed: int, ident: str) -> Places | None:
    """Where each pixel comes from, of a corruption that moves pixels."""
    moves = corruption_named(step.name).moves
    if moves is None:
        return None
    assert step.value is not None
    return moves((shape[0], shape[1]), step.value, _stream(step, seed, ident))


def _stream(step: CorruptionStep, seed: int, ident: str) -> np.random.Generator:
    return stream(seed, f"corruption {step.name}", ident)


def _stored(made: Pixels | Floats) -> Pixels:
    """The nearest whole number from 0 to 255."""
    if made.dtype == np.uint8:
        return made  # type: ignore[return-value]
    made += np.float32(0.5)
    np.clip(made, 0, 255, out=made)
    return made.astype(np.uint8)


def _check(pixels: Pixels) -> None:
    shape = getattr(pixels, "shape", None)
    if not isinstance(pixels, np.ndarray) or not (
        pixels.size and (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3))
    ):
        raise ContentError(
            f"an image of shape {shape}; a corruption needs (rows, columns) or (rows, columns, 3) "
            "of at least one pixel"
        )
    if pixels.dtype != np.uint8:
        raise ContentError(
            f"an image of type {pixels.dtype}; a corruption needs 8 bits a channel (uint8): scale "
            "the values to 0 to 255 and round them first"
        )
