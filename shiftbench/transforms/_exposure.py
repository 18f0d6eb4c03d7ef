"""Changes of the radiation, on a model of what exposure a shown grey level stands for.

A processed image is taken as the display of log exposure, I = ½ − log₁₀(E / E₀) / `LATITUDE`, and
the exposure at mid-grey as the reference, where a detector counts `QUANTA_MM2` quanta per mm².
What the real processing did (multi-frequency, equalised, windowed) is unknown: hence "surrogate".
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from shiftbench.transforms._frequency import gaussian
from shiftbench.transforms.step import Grey

LATITUDE = 2.0
"""Decades of exposure from black to white: an assumption, of the order that chests are shown in."""

QUANTA_MM2 = 30_000.0
"""Quanta at mid-grey: 2.5 µGy (speed class 400, which EUR 16260 names for chests) × 31 077 per mm²
and µGy (RQA 9, IEC 62220-1:2003, table 2) × a DQE of 0.4, rounded."""

SCATTER_MM = 30.0
"""Standard deviation of the scatter's spread: an assumption, of the order of centimetres."""

TUBE_KV = 80.0
"""Voltage that the unchanged image is taken to have had: at the bedside, without a grid."""

PENUMBRA_MM = 5.0
"""A focal spot of 1.2 mm, and a collimator at a fifth of the distance to the detector."""

LEAK = 0.01
"""Of the exposure, what is left behind the collimator: scatter and leakage."""

GRID_LP_MM = 4.0
"""Line density of a grid with 40 strips per cm."""

# Water, NIST XCOM (Hubbell & Seltzer, NISTIR 5632): keV, and μ/ρ in cm²/g.
_ENERGY = np.array([20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0])
_WATER = np.array([0.8096, 0.3756, 0.2683, 0.2269, 0.2059, 0.1837, 0.1707])


def dose(
    image: Grey, halvings: float, rng: np.random.Generator, pitch: tuple[float, float]
) -> Grey:
    """Noise of which the variance in log exposure is (2^h − 1) / N, for N quanta a pixel.

    With the 1 / N that the model takes the image to have already, the sum is 2^h / N.
    """
    quanta = QUANTA_MM2 * pitch[0] * pitch[1]  # at mid-grey
    at_mid_grey = math.sqrt((2**halvings - 1) / quanta) / (LATITUDE * math.log(10))
    sd = np.float32(at_mid_grey) * np.float32(10) ** (LATITUDE / 2 * (image - np.float32(0.5)))
    return image + sd * rng.standard_normal(image.shape, dtype=np.float32)


def kvp(image: Grey, added: float, rng: np.random.Generator, pitch: tuple[float, float]) -> Grey:
    """Contrast about mid-grey in proportion to water's attenuation at half the peak energy."""
    contrast = _attenuation((TUBE_KV + added) / 2) / _attenuation(TUBE_KV / 2)
    return np.float32(0.5) + np.float32(contrast) * (image - np.float32(0.5))


def _attenuation(kev: float) -> float:
    return math.exp(float(np.interp(math.log(kev), np.log(_ENERGY), np.log(_WATER))))


def scatter(
    image: Grey, ratio: float, rng: np.random.Generator, pitch: tuple[float, float]
) -> Grey:
    """(E + s · spread E) / (1 + s): an even field stays, what varies loses contrast."""
    exposure = _exposure(image)
    spread = gaussian(exposure, (SCATTER_MM / pitch[0], SCATTER_MM / pitch[1]))
    return _shown((exposure + np.float32(ratio) * spread) * np.float32(1 / (1 + ratio)))


def collimation(
    image: Grey, share: float, rng: np.random.Generator, pitch: tuple[float, float]
) -> Grey:
    """Exposure × transmission, which is one half at `share` of a side from each of its ends."""
    rows, columns = (_open(n, mm, share) for n, mm in zip(image.shape, pitch, strict=True))
    transmission = LEAK + (1 - LEAK) * np.outer(rows, columns)
    return image - (np.log10(transmission) / LATITUDE).astype(np.float32)


def _open(n: int, pitch: float, share: float) -> NDArray[np.float64]:
    at = (np.arange(n) + 0.5) * pitch
    inside = np.minimum(at, n * pitch - at) - share * n * pitch
    return np.asarray(np.clip(inside / PENUMBRA_MM + 0.5, 0, 1))


def grid(
    image: Grey, amplitude: float, rng: np.random.Generator, pitch: tuple[float, float]
) -> Grey:
    """Exposure × (1 + a cos(2π f x + φ)) along each row, sampled where the pixels are."""
    phase = rng.uniform(0, 2 * math.pi)
    x = (np.arange(image.shape[1]) + 0.5) * pitch[1]
    lines = 1 + amplitude * np.cos(2 * math.pi * GRID_LP_MM * x + phase)
    shown: Grey = image - (np.log10(lines) / LATITUDE).astype(np.float32)
    return shown


def _exposure(image: Grey) -> Grey:
    exposure: Grey = np.float32(10) ** (np.float32(LATITUDE) * (np.float32(0.5) - image))
    return exposure


def _shown(exposure: Grey) -> Grey:
    shown: Grey = np.float32(0.5) - np.log10(exposure).astype(np.float32) / np.float32(LATITUDE)
    return shown
