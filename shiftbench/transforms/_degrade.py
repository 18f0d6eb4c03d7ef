"""Changes of the stored picture: grey scale, bit depth, compression, position, defects."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.transforms.step import Grey

IN_LINES = 0.25
"""Of the defective pixels, how many lie in lines that start at an edge of the detector."""


def gamma(
    image: Grey, exponent: float, rng: np.random.Generator, pitch: tuple[float, float]
) -> Grey:
    """I to the power of the exponent."""
    made: Grey = np.power(image, np.float32(exponent))
    return made


def bits(image: Grey, depth: float, rng: np.random.Generator, pitch: tuple[float, float]) -> Grey:
    """The nearest of 2^b levels from 0 to 1."""
    steps = np.float32(2**depth - 1)
    made: Grey = np.rint(image * steps) / steps
    return made


def jpeg(image: Grey, quality: float, rng: np.random.Generator, pitch: tuple[float, float]) -> Grey:
    """Written by Pillow as grey baseline JPEG of 8 bits, and read again."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(file, "JPEG", quality=int(quality))
    return np.asarray(Image.open(file)).astype(np.float32) / np.float32(255)


def rotation(
    image: Grey, degrees: float, rng: np.random.Generator, pitch: tuple[float, float]
) -> Grey:
    """Turned about the centre, counter-clockwise as shown, between pixels linearly."""
    return turned(image, degrees, order=1)


def turned(array: NDArray[Any], degrees: float, *, order: int) -> NDArray[Any]:
    """(rows, columns) of the same size; corners are filled by mirroring at the edges."""
    from scipy.ndimage import rotate

    made: NDArray[Any] = rotate(array, degrees, reshape=False, order=order, mode="reflect")
    return made


def defects(
    image: Grey, share: float, rng: np.random.Generator, pitch: tuple[float, float]
) -> Grey:
    """Dead pixels (no exposure: white) and hot ones (black), as many as a binomial draw says."""
    count = int(rng.binomial(image.size, share))
    state = np.zeros(image.shape, np.int8)  # 1 dead, −1 hot
    placed = _lines(state, round(IN_LINES * count), rng)
    free = np.flatnonzero(state == 0)
    single = free[rng.choice(len(free), count - placed, replace=False, shuffle=False)]
    state.flat[single] = rng.choice(np.array([-1, 1], np.int8), len(single))
    return np.where(state == 0, image, (state > 0).astype(np.float32))


def _lines(state: NDArray[np.int8], budget: int, rng: np.random.Generator) -> int:
    """Mark columns from the top or the bottom edge on, up to some row; how many pixels that was."""
    rows, columns = state.shape
    left = budget
    for column in rng.permutation(columns):
        if left == 0:
            break
        length = min(left, int(rng.integers(1, rows + 1)))
        kind, from_top = rng.choice([-1, 1]), rng.random() < 0.5
        state[slice(0, length) if from_top else slice(rows - length, rows), column] = kind
        left -= length
    return budget - left
