"""Small images of handwritten digits that come with scikit-learn: no download."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, ContentError
from shiftbench.schema import Metadata
from shiftbench.sources._pixel_images import (
    flat_png,
    named_classes,
    numbered_ids,
    pixel_metadata,
    row_number,
)

__all__ = ["Digits", "DigitsReader"]

# Part of the fingerprint: raise it whenever a picture changes.
_VERSION = 1
_SIDE = 8
_WHITE = 16
_LARGEST = 512


@cache
def _stored() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pixels (n, 8, 8), from 0 to 16, and the digits (n,)."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    return pixels.astype(np.int64).reshape(-1, _SIDE, _SIDE), digits.astype(np.int64)


def enlarged(pixels: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
    """An image of 8 × 8 numbers from 0 to 16 at another size, from 0 to 255.

    Bilinear between the centres of pixels, in whole numbers, so that it is the same everywhere;
    8 × 8 is only scaled.

    Parameters
    ----------
    pixels : (8, 8) int64 array
    size : int
        Rows and columns wanted.

    Returns
    -------
    (size, size) uint8 array
    """
    weights = _weights(size)
    whole = _WHITE * (2 * size) ** 2
    summed = weights @ pixels @ weights.T
    return ((2 * 255 * summed + whole) // (2 * whole)).astype(np.uint8)


@cache
def _weights(size: int) -> NDArray[np.int64]:
    """Of each of the 8 pixels in each of `size`, in units of 1 / (2 size)."""
    unit = 2 * size
    centre = np.clip((2 * np.arange(size) + 1) * _SIDE - size, 0, (_SIDE - 1) * unit)
    left = np.minimum(centre // unit, _SIDE - 2)
    right_weight = centre - left * unit
    made = np.zeros((size, _SIDE), np.int64)
    made[np.arange(size), left] = unit - right_weight
    made[np.arange(size), left + 1] = right_weight
    return made


@dataclass(frozen=True)
class DigitsReader:
    """Draws a digit from the number of its row.

    Parameters
    ----------
    size : int
        As in `Digits`.
    """

    size: int

    def __call__(self, locator: str) -> dict[str, bytes]:
        """The picture as ``{"image": PNG bytes}``, 8-bit grey.

        Raises
        ------
        ContentError
            There is no such row.
        """
        pixels, _ = _stored()
        row = row_number(locator, len(pixels))
        if row < 0:
            raise ContentError(f"{locator!r} is no digit; allowed: 0 to {len(pixels) - 1}")
        return {"image": flat_png(enlarged(pixels[row], self.size))}


@dataclass(frozen=True)
class Digits:
    """Handwritten digits that come with scikit-learn: 1,797 images in ten classes, no download.

    They are the test part of the UCI data set "Optical Recognition of Handwritten Digits"
    (E. Alpaydin and C. Kaynak, 1998): 8 × 8 counts of ink from 0 to 16, here in white on black
    from 0 to 255. Thirteen persons wrote them, but who wrote which is not recorded: each image is
    its own cluster, and intervals may be too narrow for new writers.

    Parameters
    ----------
    size : int
        Width and height of a picture in pixels, 8 to 512. 8 is as stored; larger ones are
        interpolated, for models and image changes that need room.

    Examples
    --------
    >>> found = Digits().scan()
    >>> found.examples.num_rows, sorted(set(found.examples["label"].to_pylist()))
    (1797, ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
    >>> Digits(size=8).reader()("0")["image"][:4]
    b'\\x89PNG'
    """

    size: int = 32

    def __post_init__(self) -> None:
        size: Any = self.size
        if isinstance(size, bool) or not isinstance(size, int) or not _SIDE <= size <= _LARGEST:
            raise ConfigurationError(
                f"digits: size is {size!r}; allowed: a whole number from {_SIDE} to {_LARGEST}"
            )

    def scan(self) -> Metadata:
        """The digits as metadata; nothing is drawn."""
        pixels, digits = _stored()
        rows = np.arange(len(digits))
        digest = hashlib.sha256(f"digits {_VERSION} {self.size}".encode())
        digest.update(pixels.astype(np.uint8).tobytes())
        digest.update(digits.astype(np.uint8).tobytes())
        return pixel_metadata(
            numbered_ids("digit", rows, len(rows)),
            rows,
            named_classes(digits, (), 0, "digits"),
            pixels=self.size**2,
            fingerprint=digest.hexdigest(),
            license="cc-by-4.0",
            redistributable=True,
            notes={
                "title": "Handwritten digits of scikit-learn",
                "url": "https://doi.org/10.24432/C50P49",
                "citation": "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, "
                "UCI Machine Learning Repository, 1998",
                "attribution": "E. Alpaydin and C. Kaynak (UCI Machine Learning Repository)",
                "writers": "13 persons wrote the digits; who wrote which is not recorded, so that "
                "each image counts as independent and intervals may be too narrow for new writers",
            },
        )

    def reader(self) -> DigitsReader:
        """A function from the number of a digit to ``{"image": PNG bytes}``."""
        return DigitsReader(self.size)
