"""Errors and correlations: each statistic's value and every example's influence on it, times n."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from shiftbench.statistics.estimate import NAN

Floats = NDArray[np.float64]
Moved = tuple[float, Floats]


def mse(x: Floats, y: Floats) -> Moved:
    """Mean squared error."""
    squares = (y - x) ** 2
    value = float(squares.mean())
    return value, squares - value


def rmse(x: Floats, y: Floats) -> Moved:
    """Root mean squared error."""
    value, moved = mse(x, y)
    root = math.sqrt(value)
    return root, moved / (2 * root) if root > 0 else moved


def mae(x: Floats, y: Floats) -> Moved:
    """Mean absolute error."""
    sizes = np.abs(y - x)
    value = float(sizes.mean())
    return value, sizes - value


def bias(x: Floats, y: Floats) -> Moved:
    """Mean of prediction − truth."""
    value = float((y - x).mean())
    return value, (y - x) - value


def r2(x: Floats, y: Floats) -> Moved:
    """Share of the truth's variance that the prediction explains."""
    scatter = (x - x.mean()) ** 2
    variance = float(scatter.mean())
    if not variance > 0:
        return NAN, np.zeros(len(x))
    error, moved = mse(x, y)
    return 1 - error / variance, -moved / variance + error / variance**2 * (scatter - variance)


def pearson(x: Floats, y: Floats) -> Moved:
    """Pearson's correlation."""
    a, b = x - x.mean(), y - y.mean()
    # A constant column's own rounding must not pass for scatter.
    scales = [float(np.sqrt((v * v).mean())) for v in (a, b)]
    tiny = [1e-14 * float(np.abs(v).max(initial=0.0)) for v in (x, y)]
    if scales[0] <= tiny[0] or scales[1] <= tiny[1]:
        return NAN, np.zeros(len(x))
    a, b = a / scales[0], b / scales[1]
    r = min(max(float((a * b).mean()), -1.0), 1.0)
    return r, a * b - r / 2 * (a * a + b * b)


def spearman(x: Floats, y: Floats) -> Moved:
    """Correlation of midranks; every example also moves the ranks of the others."""
    f, above_x = grades(x)
    g, above_y = grades(y)
    v_f, v_g = float((f * f).mean() - 0.25), float((g * g).mean() - 0.25)
    if v_f <= 1e-15 or v_g <= 1e-15:
        return NAN, np.zeros(len(x))
    product = float((f * g).mean())
    c = f * g + above_x(g) + above_y(f) - 3 * product
    a = f * f + 2 * above_x(f) - 3 * float((f * f).mean())
    b = g * g + 2 * above_y(g) - 3 * float((g * g).mean())
    scale = math.sqrt(v_f * v_g)
    r = min(max((product - 0.25) / scale, -1.0), 1.0)
    return r, c / scale - r / 2 * (a / v_f + b / v_g)


def grades(x: Floats) -> tuple[Floats, Callable[[Floats], Floats]]:
    """(Examples below + half of those equal) / n, and means of values over the examples above."""
    n = len(x)
    order = np.argsort(x, kind="stable")
    ordered = x[order]
    low, high = np.searchsorted(ordered, x, "left"), np.searchsorted(ordered, x, "right")

    def above(values: Floats) -> Floats:
        running = np.concatenate([[0.0], np.cumsum(values[order])])
        return np.asarray((running[-1] - (running[low] + running[high]) / 2) / n)

    return np.asarray((low + high) / (2 * n)), above


METRICS: dict[str, tuple[Callable[[Floats, Floats], Moved], str]] = {
    "mse": (mse, "log"),
    "rmse": (rmse, "log"),
    "mae": (mae, "log"),
    "bias": (bias, "plain"),
    "r2": (r2, "plain"),
    "pearson": (pearson, "Fisher z"),
    "spearman": (spearman, "Fisher z"),
}
WORSE = {"mse": 1, "rmse": 1, "mae": 1, "r2": -1, "pearson": -1, "spearman": -1}
"""Whether the larger (1) or the smaller (−1) value is the worse one."""
