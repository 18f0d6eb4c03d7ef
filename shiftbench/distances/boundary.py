"""Intervals for values that cannot be negative and grow with the square of a small difference.

Cramér's V², mutual information and divergences of levels are such: near 0 their plug-in estimate is
biased upwards and skewed, so that neither a normal interval nor a percentile bootstrap holds there.
"""

from __future__ import annotations

import math

from scipy.special import chndtr

from shiftbench.statistics.estimate import NAN, critical

__all__ = ["nonnegative_interval", "root_variance"]

_FAR = 400.0
"""From this many scales on, √value is normal to well below a percent of its standard error."""

_LEAST = 0.01  # of the noise at 0 is left everywhere
_ROUNDING = 1e-12  # a variance that is so small a share of the value is none


def root_variance(value: float, noise: float, variance: float, se: float) -> float:
    """The sampling variance of √value, for `nonnegative_interval`.

    Parameters
    ----------
    value : float
        The plug-in estimate, above 0.
    noise : float
        Its bias.
    variance : float
        Of the value, from its influences.
    se : float
        Of the value, from the jackknife, which counts the curvature too: near 0 that is all there
        is, so that the value stands for no less than its noise.

    Examples
    --------
    >>> round(root_variance(0.5, 0.01, 0.02, 0.2), 3)
    0.02
    """
    curved = se * se / (4 * max(value, noise))
    return max(variance / (4 * value), curved if math.isfinite(curved) else 0.0)


def nonnegative_interval(
    value: float,
    noise: float,
    scale: float,
    level: float = 0.95,
    df: float = math.inf,
    most: float = math.inf,
    curved: float = math.inf,
) -> tuple[float, float]:
    """An interval for a value ‖z‖² whose plug-in estimate is ‖z + error‖².

    Parameters
    ----------
    value : float
        The plug-in estimate, not corrected for bias.
    noise : float
        What errors of estimation add to it on average (its bias).
    scale : float
        The sampling variance of √value.
    level : float
    df : float
        Degrees of freedom that `scale` is known with.
    most : float
        The largest possible value.
    curved : float
        What errors add on average at the value found. Of many levels that is far less than at 0,
        and `high` would be too low with `noise`.

    Returns
    -------
    low, high : float
        nan, nan where `scale` is 0 (but for rounding) or not known. `low` is 0 where the estimate
        is within what noise alone makes.

    Notes
    -----
    value / scale is taken to have a noncentral χ² distribution with noise / scale degrees of
    freedom (the mean is then right, and the variance to first order both at 0 and far from it) and
    its noncentrality is searched for which the estimate is at the tail's quantile. That `scale`
    is estimated is allowed for by the ratio of Student's quantile to the normal one. `high` is
    that of an estimate no smaller than `noise`: one that fell below its own expectation says
    nothing of how small the true value is.

    References
    ----------
    Patnaik 1949, Biometrika 36, 202–232 (approximations to the noncentral χ²).

    Examples
    --------
    >>> nonnegative_interval(0.01, 0.01, 0.01)
    (0.0, 0.087...)
    >>> nonnegative_interval(1.0, 0.01, 0.01)
    (0.64..., 1.43...)
    """
    if not (scale > _ROUNDING * (value + noise) and noise > 0 and value >= 0 and df > 0):
        return NAN, NAN
    unit = scale * (critical(level, df) / critical(level)) ** 2
    tail = (1 - level) / 2
    nu = noise / unit
    low = unit * _noncentrality(value / unit, nu, 1 - tail, level)
    less = min(noise, max(curved, _LEAST * noise))
    high = unit * _noncentrality(max(value, noise) / unit, less / unit, tail, level)
    return min(low, most), min(high, most)


def _noncentrality(x: float, nu: float, p: float, level: float) -> float:
    """The noncentrality with which `x` is the quantile `p`; 0 where none has it that high."""
    if x > max(_FAR, 4 * nu):
        width = math.copysign(critical(level), 0.5 - p)
        return max(0.0, math.sqrt(max(x - nu + 1, 0.0)) + width) ** 2
    if chndtr(x, nu, 0.0) <= p:
        return 0.0
    below, above = 0.0, x + 10.0
    while chndtr(x, nu, above) > p:
        above *= 2
    for _ in range(50):
        middle = (below + above) / 2
        if chndtr(x, nu, middle) > p:
            below = middle
        else:
            above = middle
    return (below + above) / 2
