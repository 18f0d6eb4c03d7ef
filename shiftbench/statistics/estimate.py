"""Estimate: one number, how sure it is, and what that rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from scipy.stats import norm, t

from shiftbench.errors import ConfigurationError

__all__ = ["Estimate", "critical", "logit_interval", "normal_interval"]

NAN = math.nan


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    What cannot be told is nan: a value without examples, a bound without an interval; `method`
    then says why.

    Attributes
    ----------
    value : float
        A fraction where it is a rate, never percent.
    low, high : float
        The bounds of the interval, nan where there is none.
    level : float
        What share of such intervals holds the truth.
    method : str
        How the interval was made, such as ``"logit DeLong"``.
    n : int
        Examples.
    n_clusters : int or None
        Independent units among them, where they were told.
    n_id, n_ood : int or None
        In-distribution and OOD examples, where there are the two.
    positive : str or None
        ``"ood"`` or ``"id"``: the class that counts as positive, where the value depends on it.
    se : float
        The standard error on the value's own scale, nan where there is none.
    p_value : float or None
        Of the hypothesis that `parameters` or the documentation names.
    parameters : mapping
        What else the number depends on; JSON-like.

    Examples
    --------
    >>> Estimate(0.5, 0.4, 0.6, n=100, method="Wilson")
    Estimate(0.5000 [0.4000, 0.6000], n=100, Wilson)
    """

    value: float
    low: float = NAN
    high: float = NAN
    level: float = 0.95
    method: str = ""
    n: int = 0
    n_clusters: int | None = None
    n_id: int | None = None
    n_ood: int | None = None
    positive: str | None = None
    se: float = NAN
    p_value: float | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        bounds = "" if math.isnan(self.low) else f" [{self.low:.4f}, {self.high:.4f}]"
        method = f", {self.method}" if self.method else ""
        return f"Estimate({self.value:.4f}{bounds}, n={self.n}{method})"


def critical(level: float, df: float = math.inf) -> float:
    """The two-sided critical value: of the normal distribution, or of Student's with `df`.

    Raises
    ------
    ConfigurationError
        The level is not between 0 and 1.

    Examples
    --------
    >>> round(critical(0.95), 3), round(critical(0.95, df=9), 3)
    (1.96, 2.262)
    """
    if isinstance(level, str) or not 0 < level < 1:
        raise ConfigurationError(
            f"level is {level!r}, but the level of an interval lies between 0 and 1, such as 0.95"
        )
    return _quantile(float(level), float(df))


@lru_cache(maxsize=4096)
def _quantile(level: float, df: float) -> float:
    upper = 1 - (1 - level) / 2
    return float(norm.ppf(upper) if math.isinf(df) else t.ppf(upper, df))


def normal_interval(
    value: float, se: float, level: float = 0.95, df: float = math.inf
) -> tuple[float, float]:
    """The value ± the critical value × its standard error; nan where the error is.

    Examples
    --------
    >>> [round(b, 3) for b in normal_interval(1.0, 0.1)]
    [0.804, 1.196]
    """
    width = critical(level, df) * se
    return value - width, value + width


def logit_interval(
    value: float, se: float, level: float = 0.95, df: float = math.inf
) -> tuple[float, float]:
    """A normal interval on the logit scale, for a value between 0 and 1.

    At 0 or 1 the logit scale has no interval: nan, nan. The caller has another method there.

    References
    ----------
    The delta method: se(logit v) = se(v) / (v (1 − v)).

    Examples
    --------
    >>> [round(b, 3) for b in logit_interval(0.9, 0.03)]
    [0.824, 0.945]
    >>> logit_interval(1.0, 0.0)
    (nan, nan)
    """
    if not 0 < value < 1:
        return NAN, NAN
    centre = math.log(value / (1 - value))
    low, high = normal_interval(centre, se / (value * (1 - value)), level, df)
    return _expit(low), _expit(high)


def _expit(x: float) -> float:
    if math.isnan(x):
        return NAN
    return 1 / (1 + math.exp(-x)) if x >= 0 else 1 - 1 / (1 + math.exp(min(x, 700.0)))
