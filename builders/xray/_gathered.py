"""What is kept of each radiograph that was decoded, to find it again among others."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ShiftbenchError

__all__ = ["SIDE", "Gathered", "gathered"]

SIDE = 32
"""Rows and columns of a thumbnail."""

_HASH = 32


@dataclass(frozen=True, eq=False)
class Gathered:
    """A fingerprint of a radiograph's pixels, and a thumbnail.

    Attributes
    ----------
    sha256 : bytes
        32 bytes, of the shape and the normalised pixels at 16 bits: equal for two files of one
        picture, whatever they were encoded with and whether or not one is inverted.
    thumbnail : (32, 32) array of uint8
        Means of areas, from the darkest (0) to the brightest (255).
    """

    sha256: bytes
    thumbnail: NDArray[np.uint8]

    def pack(self) -> bytes:
        """As 1,056 bytes."""
        return self.sha256 + self.thumbnail.tobytes()

    @classmethod
    def unpack(cls, data: bytes) -> Gathered:
        """What `pack` packed.

        Raises
        ------
        ShiftbenchError
            It is of another length.
        """
        if len(data) != _HASH + SIDE**2:
            raise ShiftbenchError(
                f"{len(data)} bytes are no packed radiograph, which has {_HASH + SIDE**2}"
            )
        thumbnail = np.frombuffer(data, np.uint8, offset=_HASH).reshape(SIDE, SIDE)
        return cls(data[:_HASH], thumbnail)


def gathered(levels: NDArray[np.uint16]) -> Gathered:
    """Of a normalised radiograph, what is kept.

    Parameters
    ----------
    levels : (rows, columns) array of uint16
        As `standardised` gives them.

    Examples
    --------
    >>> levels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    >>> found = gathered(levels)
    >>> found.thumbnail[0, 0], found.thumbnail[-1, -1], len(found.pack())
    (np.uint8(0), np.uint8(255), 1056)
    """
    digest = hashlib.sha256(f"{levels.shape[0]}\x1f{levels.shape[1]}\x1f".encode())
    digest.update(np.ascontiguousarray(levels.astype("<u2", copy=False)).data)
    return Gathered(digest.digest(), _thumbnail(levels))


def _thumbnail(levels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    # Where there are fewer pixels than areas, neighbouring areas are one pixel.
    rows, columns = (
        [(i * n // SIDE, max((i + 1) * n // SIDE, i * n // SIDE + 1)) for i in range(SIDE)]
        for n in levels.shape
    )
    bands = np.stack([levels[a:b].sum(axis=0, dtype=np.uint64) for a, b in rows])
    sums = np.stack([bands[:, a:b].sum(axis=1) for a, b in columns], axis=1)
    areas = np.outer([b - a for a, b in rows], [b - a for a, b in columns])
    means = sums / areas
    low, high = means.min(), means.max()
    scaled = np.rint((means - low) * (255 / max(high - low, 1e-9)))
    return np.asarray(scaled, np.uint8)
