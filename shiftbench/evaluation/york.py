"""The straight line where both coordinates have errors of known size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2 as chi_squared

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation._fits import column
from shiftbench.statistics import Estimate
from shiftbench.statistics.estimate import normal_interval

__all__ = ["York", "york_line"]

Floats = NDArray[np.float64]

_ROUNDS = 200


@dataclass(frozen=True)
class York:
    """A line with errors in both coordinates.

    Attributes
    ----------
    intercept, slope : Estimate
    chi2 : float
        About n − 2 where the known errors are the only scatter.
    df : int
    p_value : float
        Of χ²: small where points scatter more than their errors, and the errors given here are
        then too small.
    """

    intercept: Estimate
    slope: Estimate
    chi2: float
    df: int
    p_value: float


def york_line(
    x: Any, y: Any, x_se: Any, y_se: Any, *, correlation: Any = 0.0, level: float = 0.95
) -> York:
    """The best straight line through points with known errors in both coordinates.

    With one ratio of errors everywhere it is Deming's regression, with x_se = 0 the weighted one.

    Parameters
    ----------
    x, y : (n,) array-like of float
    x_se, y_se : float or (n,) array-like
        Standard errors; not both zero at a point.
    correlation : float or (n,) array-like
        Of the two errors of a point.
    level : float

    Returns
    -------
    York

    Raises
    ------
    ConfigurationError
        Fewer than 3 points, a value that is not finite, errors negative or both zero, no solution.

    Notes
    -----
    Assumes independent points that scatter by these errors and nothing else. Where models also
    differ from each other (χ² far above its df) `curve` with `x_se` is right and this is not.

    References
    ----------
    York et al. 2004, Am. J. Phys. 72, 367, eq. 13.

    Examples
    --------
    Pearson's points with York's weights, whose answer is −0.480533.

    >>> x = [0.0, 0.9, 1.8, 2.6, 3.3, 4.4, 5.2, 6.1, 6.5, 7.4]
    >>> y = [5.9, 5.4, 4.4, 4.6, 3.5, 3.7, 2.8, 2.8, 2.4, 1.5]
    >>> wx = [1000, 1000, 500, 800, 200, 80, 60, 20, 1.8, 1]
    >>> wy = [1, 1.8, 4, 8, 20, 20, 70, 70, 100, 500]
    >>> found = york_line(x, y, [w**-0.5 for w in wx], [w**-0.5 for w in wy])
    >>> round(found.slope.value, 6), round(found.intercept.value, 5)
    (-0.480533, 5.47991)
    """
    a = column("x", x)
    b = column("y", y, len(a))
    sx, sy, rho = (_spread_out(v, a.shape) for v in (x_se, y_se, correlation))
    if len(a) < 3 or not all(np.isfinite(v).all() for v in (a, b, sx, sy, rho)):
        raise ConfigurationError("a York line needs 3 points or more, all values and errors finite")
    if (sx < 0).any() or (sy < 0).any() or (sx + sy == 0).any() or (np.abs(rho) >= 1).any():
        raise ConfigurationError(
            "standard errors are to be ≥ 0, not both 0 at a point, correlations between −1 and 1"
        )
    if float(np.ptp(a)) == 0.0:
        raise ConfigurationError("all x are the same; a line needs different ones")
    found = _solve(a, b, sx, sy, rho)
    if not found.converged:
        raise ConfigurationError("York's equations did not converge; are the errors right?")
    df = len(a) - 2
    common: dict[str, Any] = {"level": level, "n": len(a), "method": "York, known errors"}
    both = []
    for value, se in ((found.intercept, found.intercept_se), (found.slope, found.slope_se)):
        low, high = normal_interval(value, se, level)
        both.append(Estimate(value, low, high, se=se, **common))
    p_value = float(chi_squared.sf(found.chi2, df))
    return York(both[0], both[1], found.chi2, df, p_value)


def _spread_out(given: Any, shape: tuple[int, ...]) -> Floats:
    return np.broadcast_to(np.asarray(given, dtype=np.float64), shape)


@dataclass(frozen=True)
class _Solution:
    """Intercept and slope, their standard errors and covariance, and χ² of the points."""

    intercept: float
    slope: float
    intercept_se: float
    slope_se: float
    chi2: float
    converged: bool


def _solve(x: Floats, y: Floats, x_se: Floats, y_se: Floats, correlation: Floats) -> _Solution:
    """York's unified equations, with variances in place of weights so that errors may be zero.

    References
    ----------
    York, Evensen, Martínez, De Basabe Delgado 2004, Am. J. Phys. 72, eq. 13.
    """
    vx, vy, vxy = x_se**2, y_se**2, correlation * x_se * y_se
    slope = float(np.polyfit(x, y, 1)[0])
    converged = False
    for _ in range(_ROUNDS):
        w = 1 / (vy + slope**2 * vx - 2 * slope * vxy)
        u, v = x - np.average(x, weights=w), y - np.average(y, weights=w)
        beta = w * (u * vy + slope * v * vx - (slope * u + v) * vxy)
        new = float((w * beta * v).sum() / (w * beta * u).sum())
        converged = abs(new - slope) <= 1e-13 * (abs(new) + 1e-300)
        slope = new
        if converged:
            break
    w = 1 / (vy + slope**2 * vx - 2 * slope * vxy)
    x_mean, y_mean = float(np.average(x, weights=w)), float(np.average(y, weights=w))
    u, v = x - x_mean, y - y_mean
    beta = w * (u * vy + slope * v * vx - (slope * u + v) * vxy)
    adjusted = x_mean + beta
    centre = float(np.average(adjusted, weights=w))
    slope_variance = 1 / float((w * (adjusted - centre) ** 2).sum())
    intercept = y_mean - slope * x_mean
    return _Solution(
        intercept,
        slope,
        math.sqrt(1 / float(w.sum()) + centre**2 * slope_variance),
        math.sqrt(slope_variance),
        float((w * (y - intercept - slope * x) ** 2).sum()),
        converged,
    )
