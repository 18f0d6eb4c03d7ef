"""What corruptions are made of: kernels, smooth random fields, veils of one colour."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shiftbench.transforms._frequency import gaussian_gain
from shiftbench.transforms.corruption import Floats, Pixels

__all__ = ["convolved", "covered", "fractal", "smooth", "soft_top", "trace"]

FINEST = 128
"""Half cycles a side up to which a fractal field has detail: more would not be seen in a veil."""

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in the brightness of a colour (ITU-R BT.601)."""


def trace(rows: NDArray[np.float64], columns: NDArray[np.float64]) -> Floats:
    """The kernel of a picture that is seen at many offsets, each linear between pixels.

    Its sides are odd, its sum is 1, and it has no negative values.

    Parameters
    ----------
    rows, columns : (n,) arrays
        Offsets in pixels.
    """
    reach = int(np.ceil(max(np.abs(rows).max(), np.abs(columns).max())))
    side = 2 * reach + 1
    kernel = np.zeros(side * side)
    y, x = np.floor(rows), np.floor(columns)
    for down in (0, 1):
        for along in (0, 1):
            weight = np.abs(1 - down - (rows - y)) * np.abs(1 - along - (columns - x))
            # A weight of 0 may stand one place beyond the edge.
            at_row = np.minimum(y + down + reach, side - 1)
            at_column = np.minimum(x + along + reach, side - 1)
            at = (at_row * side + at_column).astype(np.int64)
            kernel += np.bincount(at, weight, minlength=side * side)
    made: Floats = (kernel / kernel.sum()).reshape(side, side).astype(np.float32)
    return made


def convolved(image: Floats, kernel: Floats) -> Floats:
    """Convolution of (rows, columns, channels) with a kernel, the image mirrored at its edges."""
    from scipy.fft import irfft2, next_fast_len, rfft2

    h, w = image.shape[:2]
    reach = kernel.shape[0] // 2
    if not reach:
        return image
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="symmetric")
    size = (next_fast_len(h + 2 * reach, real=True), next_fast_len(w + 2 * reach, real=True))
    spectrum = rfft2(padded, size, axes=(0, 1))
    spectrum *= rfft2(kernel, size)[:, :, None]
    made: Floats = irfft2(spectrum, size, axes=(0, 1), overwrite_x=True)
    # The kernel's middle is `reach` behind its corner, and the image begins `reach` behind its own.
    return made[2 * reach : 2 * reach + h, 2 * reach : 2 * reach + w]


def fractal(shape: tuple[int, int], roughness: float, rng: np.random.Generator) -> Floats:
    """A random field of mean 0 and variance 1 whose amplitudes fall as 1 / frequency^roughness.

    Frequencies count in cycles a side, so that it looks alike at every size.
    """
    gain = _fractal_gain(shape, roughness)
    return _standard(rng.standard_normal(gain.shape, dtype=np.float32) * gain, shape)


def smooth(shape: tuple[int, int], sigma: float, rng: np.random.Generator) -> Floats:
    """White noise blurred by a Gaussian of `sigma` pixels, scaled to mean 0 and variance 1."""
    gains = [gaussian_gain(sigma, n) for n in shape]
    # Of a wide blur only few coefficients are left, and only they are drawn.
    gains = [g[: max(2, int(np.count_nonzero(g > 1e-4)))] for g in gains]
    drawn = rng.standard_normal((len(gains[0]), len(gains[1])), dtype=np.float32)
    return _standard(drawn * gains[0][:, None] * gains[1], shape)


@lru_cache(maxsize=8)
def _fractal_gain(shape: tuple[int, int], roughness: float) -> Floats:
    h, w = shape
    down, along = np.arange(min(h, FINEST)), np.arange(min(w, FINEST))
    square = (down * (min(shape) / h))[:, None] ** 2 + (along * (min(shape) / w)) ** 2
    square[0, 0] = 1
    made: Floats = (square ** (-roughness / 2)).astype(np.float32)
    made.flags.writeable = False
    return made


def _standard(spectrum: Floats, shape: tuple[int, int]) -> Floats:
    """The field of some coefficients of the DCT, without its mean, and of variance 1."""
    from scipy.fft import idctn

    spectrum[0, 0] = 0
    power = float(np.square(spectrum).sum())
    if power > 0:
        spectrum *= np.float32(np.sqrt(shape[0] * shape[1] / power))
    field: Floats = idctn(spectrum, s=shape, norm="ortho", overwrite_x=True)
    return field


def soft_top(field: Floats, share: float, softness: float) -> Floats:
    """0 but in the given share of the pixels with the highest values, where it rises to 1.

    Parameters
    ----------
    softness : float
        Over which difference of values it rises.
    """
    if share <= 0:
        return np.zeros_like(field)
    from_ = np.quantile(field, 1 - share) if share < 1 else field.min() - softness
    made = field - np.float32(from_)
    made *= np.float32(1 / softness)
    return np.clip(made, 0, 1, out=made)


def covered(pixels: Pixels, veil: Floats, colour: tuple[float, float, float]) -> Floats:
    """The picture behind something of one colour, seen through where `veil` is below 1.

    Parameters
    ----------
    veil : (rows, columns) array from 0 to 1
    colour : red, green and blue from 0 to 1
        Grey pictures have its brightness.
    """
    channels = pixels.shape[2]
    shown = colour if channels == 3 else (sum(a * b for a, b in zip(LUMA, colour, strict=True)),)
    made = np.float32(255) * np.array(shown, np.float32) - pixels
    made *= veil[..., None]
    made += pixels
    return made
