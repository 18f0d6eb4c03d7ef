"""Corruptions by noise of each pixel and channel; the severities of one share their draws."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shiftbench.transforms.corruption import Corruption, Floats, Pixels

__all__ = ["GAUSSIAN_NOISE", "IMPULSE_NOISE", "SHOT_NOISE", "SPECKLE_NOISE"]

_GUIDE = 12
"""Bits of a uniform number by which the table of Poisson counts is entered."""


def _gaussian(pixels: Pixels, sd: float, rng: np.random.Generator) -> Floats:
    noise = rng.standard_normal(pixels.shape, dtype=np.float32)
    noise *= np.float32(255 * sd)
    noise += pixels
    return noise


def _speckle(pixels: Pixels, sd: float, rng: np.random.Generator) -> Floats:
    noise = rng.standard_normal(pixels.shape, dtype=np.float32)
    noise *= np.float32(sd)
    noise += np.float32(1)
    noise *= pixels
    return noise


def _impulse(pixels: Pixels, share: float, rng: np.random.Generator) -> Pixels:
    """The highest bits of a number say whether a value is lost, its lowest bit to which end."""
    drawn = rng.integers(0, 2**32, pixels.shape, dtype=np.uint32)
    ends = (drawn & 1).astype(np.uint8)
    ends *= 255
    lost = np.ones(pixels.shape, bool) if share == 1 else drawn < np.uint32(round(share * 2**32))
    return np.where(lost, ends, pixels)


def _shot(pixels: Pixels, photons: float, rng: np.random.Generator) -> Floats:
    """Poisson counts as quantiles of uniform numbers, which all severities share."""
    drawn = rng.integers(0, 2**32, pixels.shape, dtype=np.uint32)
    guide, cumulative = _poisson(photons)
    entry = pixels.astype(np.int32)
    entry <<= _GUIDE
    entry |= (drawn >> np.uint32(32 - _GUIDE)).astype(np.int32)
    counts = guide.take(entry).ravel()
    open_ = np.flatnonzero(counts < 0)  # more than one count has a part of this entry
    level = pixels.ravel()[open_]
    uniform = (drawn.ravel()[open_] + 0.5) / 2**32
    found = -1 - counts[open_].astype(np.int64)
    while (low := cumulative[level, found] <= uniform).any():
        found += low
    counts[open_] = found
    made = counts.astype(np.float32)
    made *= np.float32(255 / photons)
    return made.reshape(pixels.shape)


@lru_cache(maxsize=8)
def _poisson(photons: float) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """Counts by level and first bits of a uniform number, and cumulative shares by level and count.

    Where one entry holds several counts the smallest stands there as −1 − count.
    """
    from scipy.stats import poisson

    most = int(poisson.isf(2.0**-34, photons)) + 1
    mean = np.arange(256)[:, None] * (photons / 255)
    cumulative = poisson.cdf(np.arange(most + 1), mean)
    cumulative[:, -1] = 1
    edges = np.arange(2**_GUIDE + 1) / 2**_GUIDE
    first = np.array([c.searchsorted(edges[:-1], side="right") for c in cumulative])
    last = np.array([c.searchsorted(edges[1:], side="left") for c in cumulative])
    return np.where(first == last, first, -1 - first).astype(np.int16), cumulative


GAUSSIAN_NOISE = Corruption(
    name="gaussian_noise",
    family="noise",
    unit="standard deviation, where white is 1",
    summary="I + sd · z, z standard normal: a sensor at high gain",
    severities=(0.08, 0.12, 0.18, 0.26, 0.38),
    reason="the values of Hendrycks & Dietterich 2019",
    identity=0,
    low=0,
    high=10,
    compute=_gaussian,
)
SHOT_NOISE = Corruption(
    name="shot_noise",
    family="noise",
    unit="photons of a white pixel",
    summary="Poisson(n · I) / n: few photons",
    severities=(60, 25, 12, 5, 3),
    reason="the values of Hendrycks & Dietterich 2019",
    identity=None,
    low=0.1,
    high=1000,
    compute=_shot,
)
IMPULSE_NOISE = Corruption(
    name="impulse_noise",
    family="noise",
    unit="share of values lost",
    summary="values that become black or white, with equal chance: bit errors",
    severities=(0.03, 0.06, 0.09, 0.17, 0.27),
    reason="the values of Hendrycks & Dietterich 2019",
    identity=0,
    low=0,
    high=1,
    compute=_impulse,
)
SPECKLE_NOISE = Corruption(
    name="speckle_noise",
    family="noise",
    unit="standard deviation relative to the pixel's own value",
    summary="I · (1 + sd · z), z standard normal",
    severities=(0.15, 0.2, 0.35, 0.45, 0.6),
    reason="the values of Hendrycks & Dietterich 2019",
    identity=0,
    low=0,
    high=10,
    compute=_speckle,
)
