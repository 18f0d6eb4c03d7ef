"""Pixels taken from other places of the picture, which goes on mirrored beyond its edges."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.transforms.corruption import Compute, Floats, Moves, Pixels, Places

__all__ = ["mirrored", "moving", "nearest", "sampled"]

Index = NDArray[np.int64]


def mirrored(index: Index, n: int) -> Index:
    """Places in a line of n pixels that is continued by mirroring: d c b a | a b c d | d c b a.

    Examples
    --------
    >>> mirrored(np.arange(-4, 8), 4).tolist()
    [3, 2, 1, 0, 0, 1, 2, 3, 3, 2, 1, 0]
    """
    low, high = int(index.min()), int(index.max())
    if low >= 0 and high < n:
        return index
    line = np.arange(low, high + 1) % (2 * n)
    line = np.minimum(line, 2 * n - 1 - line)
    return np.asarray(line.take(index - low))


def sampled(pixels: Pixels, places: Places) -> Floats:
    """What a picture shows at real-valued places, linearly between pixels.

    Parameters
    ----------
    pixels : (rows, columns, channels) array of uint8
    places : pair of arrays
        Row and column of each; they broadcast to the shape of the picture that is wanted.
    """
    (top, bottom, below), (left, right, beside) = (
        _between(at, n) for at, n in zip(places, pixels.shape, strict=False)
    )
    flat = pixels.reshape(-1, pixels.shape[2])
    width = pixels.shape[1]

    def line(row: Index) -> Floats:
        row = row * width
        a = flat.take(row + left, axis=0).astype(np.float32)
        b = flat.take(row + right, axis=0).astype(np.float32)
        return _mixed(a, b, beside)

    return _mixed(line(top), line(bottom), below)


def moving(moves: Moves) -> Compute:
    """What shows a picture at the places that `moves` gives."""

    def compute(pixels: Pixels, value: float, rng: np.random.Generator) -> Floats:
        return sampled(pixels, moves((pixels.shape[0], pixels.shape[1]), value, rng))

    return compute


def _between(at: Floats, n: int) -> tuple[Index, Index, Floats]:
    """The pixels before and behind each place, and how far it is on the way to the second."""
    before = np.floor(at)
    index = before.astype(np.int64)
    return mirrored(index, n), mirrored(index + 1, n), at - before


def _mixed(a: Floats, b: Floats, share: Floats) -> Floats:
    b -= a
    b *= share[..., None]
    b += a
    return b


def nearest(array: NDArray[Any], places: Places) -> NDArray[Any]:
    """The values of the nearest pixels, of any type: for masks.

    Parameters
    ----------
    array : (rows, columns, …) array
    places : pair of arrays
        As for `sampled`.
    """
    row, column = (
        mirrored(np.floor(at + np.float32(0.5)).astype(np.int64), n)
        for at, n in zip(places, array.shape, strict=False)
    )
    return array[row, column]
