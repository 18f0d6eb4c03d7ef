"""Intervals of sums and differences of mean squares."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2
from scipy.stats import f as fisher

__all__ = ["combined"]

Floats = NDArray[np.float64]


def combined(
    weights: Floats, squares: Floats, sizes: Floats, level: float
) -> tuple[float, float, float]:
    """Σ weight × mean square with its modified-large-sample interval.

    Mean squares are taken for independent multiples of χ² with `sizes` degrees of freedom. The
    bounds are exact when all weights but one are zero, and as either mean square dominates.

    References
    ----------
    Ting, Burdick, Graybill, Jeyaratnam, Lu 1990, J. Stat. Comput. Simul. 35, 135–143;
    Burdick, Graybill 1992, Confidence Intervals on Variance Components, §3.3.
    """
    value = float(weights @ squares)
    tail = (1 - level) / 2
    use = np.abs(weights) > 1e-12 * np.abs(weights).max()
    parts = weights[use] * squares[use]
    df = sizes[use]
    plus, minus = parts > 0, parts < 0
    low = _reach(parts[plus], df[plus], -parts[minus], df[minus], tail)
    # The upper bound of a sum is minus the lower bound of its negative.
    high = _reach(-parts[minus], df[minus], parts[plus], df[plus], tail)
    return value, value - low, value + high


def _reach(up: Floats, up_df: Floats, down: Floats, down_df: Floats, tail: float) -> float:
    """How far below Σup − Σdown the truth may lie."""
    upper = 1 - tail
    g = 1 - 1 / (chi2.ppf(upper, up_df) / up_df)
    h = 1 / (chi2.ppf(tail, down_df) / down_df) - 1
    variance = float(((g * up) ** 2).sum() + ((h * down) ** 2).sum())
    for i in range(len(up)):
        for j in range(len(down)):
            ratio = float(fisher.ppf(upper, up_df[i], down_df[j]))
            mixed = ((ratio - 1) ** 2 - (g[i] * ratio) ** 2 - h[j] ** 2) / ratio
            variance += mixed * up[i] * down[j]
        for k in range(i + 1, len(up)):
            both = up_df[i] + up_df[k]
            all_in = (1 - 1 / (float(chi2.ppf(upper, both)) / both)) ** 2
            mixed = (
                all_in * both**2 / (up_df[i] * up_df[k])
                - g[i] ** 2 * up_df[i] / up_df[k]
                - g[k] ** 2 * up_df[k] / up_df[i]
            ) / (len(up) - 1)
            variance += mixed * up[i] * up[k]
    return math.sqrt(max(variance, 0.0))
