"""Changes of sharpness: filters by the discrete cosine transform, which does not wrap around."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from shiftbench.transforms.step import Grey

UNSHARP_MM = 1.0
"""Standard deviation of the Gaussian that the unsharp mask subtracts."""


def gaussian(image: Grey, sigma: tuple[float, float]) -> Grey:
    """Blur by standard deviations in pixels along rows' and columns' direction.

    Channels may be a third axis.

    The DCT makes convolution with an even kernel a product, with the image mirrored at its edges;
    so the transfer function is the Gaussian itself, at any width, and takes no longer when wide.
    """
    from scipy.fft import dctn, idctn

    spectrum = dctn(image, axes=(0, 1), norm="ortho")
    for axis, s in enumerate(sigma):
        gain = gaussian_gain(s, image.shape[axis])
        spectrum *= np.expand_dims(gain, [a for a in range(image.ndim) if a != axis])
    blurred: Grey = idctn(spectrum, axes=(0, 1), norm="ortho", overwrite_x=True)
    return blurred


def gaussian_gain(sigma: float, n: int) -> NDArray[np.float32]:
    """What a Gaussian of `sigma` pixels does to each of the n coefficients of the DCT."""
    frequency = np.arange(n) / (2 * n)
    made: NDArray[np.float32] = np.exp(-2 * (np.pi * sigma * frequency) ** 2).astype(np.float32)
    return made


def blur(image: Grey, mtf50: float, rng: np.random.Generator, pitch: tuple[float, float]) -> Grey:
    """Transfer function exp(−ln 2 (f / f50)²), f in lp/mm: the Gaussian with one half at f50."""
    sigma_mm = math.sqrt(math.log(2) / 2) / (math.pi * mtf50)
    return gaussian(image, (sigma_mm / pitch[0], sigma_mm / pitch[1]))


def sharpen(image: Grey, gain: float, rng: np.random.Generator, pitch: tuple[float, float]) -> Grey:
    """I + g (I − blurred I)."""
    low = gaussian(image, (UNSHARP_MM / pitch[0], UNSHARP_MM / pitch[1]))
    return image + np.float32(gain) * (image - low)


def larger_pixels(
    image: Grey, factor: float, rng: np.random.Generator, pitch: tuple[float, float]
) -> Grey:
    """Means over pixels `factor` times as large, shown at the old size by band-limited zooming."""
    from scipy.fft import dctn, idctn

    small = image
    for axis in (0, 1):
        small = _means(small, max(1, round(image.shape[axis] / factor)), axis)
    spectrum = np.zeros(image.shape, np.float32)
    spectrum[: small.shape[0], : small.shape[1]] = dctn(small, norm="ortho")
    shown: Grey = idctn(spectrum, norm="ortho", overwrite_x=True)
    return shown * np.float32(math.sqrt(image.size / small.size))


def _means(image: Grey, n: int, axis: int) -> Grey:
    """Means over n equal parts of an axis; a part may begin and end inside a pixel."""
    lines = np.moveaxis(image, axis, 0)
    size = len(lines)
    sums = np.zeros((size + 1, lines.shape[1]))
    np.cumsum(lines, axis=0, out=sums[1:])
    edges = np.arange(n + 1) * (size / n)
    whole = np.minimum(edges.astype(np.int64), size - 1)
    at_edges = sums[whole] + (edges - whole)[:, None] * lines[whole]
    means = np.diff(at_edges, axis=0) * (n / size)
    return np.moveaxis(means, 0, axis).astype(np.float32)
