"""From the linear image to grey values: logarithm, unsharp mask, window, display curve, bits."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shiftbench.sources._phantom_detector import Exposure

__all__ = ["logarithm", "processed"]

Plane = NDArray[np.float32]


def processed(exposure: Exposure, image: Plane) -> NDArray[np.uint16]:
    """Display values: logarithm, unsharp mask, a window, an S-shaped table, gamma, whole numbers.

    The window is fixed about the value behind the lungs. Percentiles of the image would make grey
    values depend on how much air and belly a picture has; with this rule they depend on the
    patient and the exposure alone.
    """
    from scipy.fft import dctn, idctn

    device, grid = exposure.device, exposure.grid
    shown = logarithm(image)
    gain = device.unsharp_gain + exposure.sharpen
    f = np.arange(grid.size) / (2 * grid.size * grid.pitch)
    smooth = np.exp(-2 * (np.pi * device.unsharp_mm * f) ** 2).astype(np.float32)
    boost = np.multiply.outer(smooth, smooth)
    boost *= np.float32(-gain)
    boost += np.float32(1 + gain)
    boost *= dctn(shown, norm="ortho", workers=1)
    shown = idctn(boost, norm="ortho", workers=1, overwrite_x=True)
    full = 2**exposure.bits - 1
    # dense tissue is bright: the attenuation, −log, rises from the window's low to its high end
    shown += np.float32(device.window_low)
    shown *= np.float32(-1 / (device.window_high - device.window_low))
    np.clip(shown, 0, 1, out=shown)
    table = _display(device.lut_slope, exposure.gamma)
    shown = _from_table(table, shown) * np.float32(full)
    shown += np.float32(0.5)
    values = shown.astype(np.uint16)
    np.minimum(values, full, out=values)
    return np.subtract(np.uint16(full), values) if device.inverted else values


# Per pixel, only operations are used that IEEE 754 rounds in one way; what is not among them comes
# from tables, so that two processors differ in few pixels if at all.
_LOG_STEPS = 4096


@lru_cache(maxsize=1)
def _logarithms() -> Plane:
    return np.log(np.linspace(0.5, 1, _LOG_STEPS + 1)).astype(np.float32)


def logarithm(image: Plane) -> Plane:
    """Natural logarithm to 1e-7, of 1e-4 where a value is less."""
    fraction, power = np.frexp(np.maximum(image, np.float32(1e-4)))
    fraction *= np.float32(2)
    fraction -= np.float32(1)
    made = _from_table(_logarithms(), fraction)
    made += power * np.float32(np.log(2))
    return made


def _from_table(table: Plane, share: Plane) -> Plane:
    """Linear interpolation for shares of the table's length."""
    at = share * np.float32(len(table) - 1)
    low = np.minimum(at.astype(np.int32), np.int32(len(table) - 2))
    at -= low
    made = table.take(low)
    low += np.int32(1)
    above = table.take(low)
    above -= made
    above *= at
    made += above
    return made


@lru_cache(maxsize=32)
def _display(slope: float, gamma: float) -> Plane:
    """From 0 to 1 onto itself: a logistic curve with some slope in the middle, then a power."""
    x = np.linspace(0, 1, 4097)
    if slope > 1:
        steep = _steepness(slope)
        low, high = (1 / (1 + np.exp(-steep * (v - 0.5))) for v in (0.0, 1.0))
        x = (1 / (1 + np.exp(-steep * (x - 0.5))) - low) / (high - low)
    return np.asarray(x**gamma, dtype=np.float32)


def _steepness(slope: float) -> float:
    """Of the logistic curve whose rescaled form has that slope at one half."""
    low, high = 1e-3, 60.0
    for _ in range(60):
        k = (low + high) / 2
        reached = k / 4 / np.tanh(k / 4)
        low, high = (k, high) if reached < slope else (low, k)
    return (low + high) / 2
