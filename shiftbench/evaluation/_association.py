"""Rank correlation and what a line leaves unexplained, with the jackknife over clusters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from scipy.stats import t as student

from shiftbench.evaluation._fits import FEWEST_FOR_INTERVAL, FEWEST_FOR_P
from shiftbench.statistics import Clusters, Estimate, stream
from shiftbench.statistics.estimate import critical

__all__ = ["non_linearity", "rank_correlation"]

Floats = NDArray[np.float64]
Statistic = Callable[[Floats, Floats], float]

_MOST_GROUPS, _FEWEST_GROUPS, _WORK = 500, 50, 2e7


def rank_correlation(
    x: Floats, y: Floats, clusters: Clusters, clustered: bool, level: float, seed: int
) -> Estimate:
    """Spearman's rank correlation, its interval on Fisher's z scale."""
    return _interval(
        _spearman, (np.arctanh, np.tanh), x, y, clusters, clustered, level, seed, "Fisher z"
    )


def non_linearity(
    x: Floats, y: Floats, clusters: Clusters, clustered: bool, level: float, seed: int
) -> Estimate:
    """1 − R² of the straight line, its interval on the logit scale.

    A share has no place for a test against 0: it is 0 only without any scatter.
    """
    found = _interval(
        _unexplained, (_logit, _expit), x, y, clusters, clustered, level, seed, "logit"
    )
    return Estimate(**{**vars(found), "p_value": None})


def _logit(p: float) -> float:
    return math.log(p / (1 - p)) if 0 < p < 1 else math.nan


def _expit(z: float) -> float:
    return float(0.5 * (1 + np.tanh(z / 2)))


def _spearman(x: Floats, y: Floats) -> float:
    return _correlation(rankdata(x), rankdata(y))


def _unexplained(x: Floats, y: Floats) -> float:
    return 1 - _correlation(x, y) ** 2


def _correlation(x: Floats, y: Floats) -> float:
    a, b = x - x.mean(), y - y.mean()
    size = math.sqrt(float(a @ a) * float(b @ b))
    return min(1.0, max(-1.0, float(a @ b) / size)) if size > 0 else math.nan


def _interval(
    statistic: Statistic,
    scale: tuple[Callable[[Any], Any], Callable[[Any], Any]],
    x: Floats,
    y: Floats,
    clusters: Clusters,
    clustered: bool,
    level: float,
    seed: int,
    name: str,
) -> Estimate:
    n, units = len(x), clusters.n_clusters
    common: dict[str, Any] = {
        "level": level,
        "n": n,
        "n_clusters": units if clustered else None,
    }
    value = statistic(x, y) if n >= 3 else math.nan
    if math.isnan(value):
        why = "fewer than 3 points" if n < 3 else "x or y is constant"
        return Estimate(value, method=f"cannot tell: {why}", **common)
    if units < FEWEST_FOR_INTERVAL:
        what = "clusters" if clustered else "points"
        why = f"{units} {what}, an interval needs {FEWEST_FOR_INTERVAL}"
        why = "one cluster" if clustered and units == 1 else why
        return Estimate(value, method=f"cannot tell: {why}", **common)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = float(scale[0](value))
        groups = _groups(clusters, n, seed)
        count = int(groups.max()) + 1
        left_out = np.array(
            [scale[0](statistic(x[keep], y[keep])) for keep in _without(groups, count)]
        )
    if not math.isfinite(centre) or not np.isfinite(left_out).all():
        return Estimate(value, method="cannot tell: at the end of its range", **common)
    se = math.sqrt((count - 1) / count * float(((left_out - left_out.mean()) ** 2).sum()))
    width = critical(level, count - 1) * se
    low, high = float(scale[1](centre - width)), float(scale[1](centre + width))
    p_value = None
    if units >= FEWEST_FOR_P and se > 0:
        p_value = float(2 * student.sf(abs(centre) / se, count - 1))
    step = 1e-6
    slope = float(scale[1](centre + step) - scale[1](centre - step)) / (2 * step)
    method = f"{'clustered ' if clustered else ''}jackknife, {name}, Student t"
    return Estimate(
        value,
        low,
        high,
        method=method,
        se=se * slope,
        p_value=p_value,
        parameters={"df": count - 1},
        **common,
    )


def _groups(clusters: Clusters, n: int, seed: int) -> NDArray[np.int64]:
    """The group that each point is left out with: its cluster, or some clusters together."""
    most = int(min(_MOST_GROUPS, max(_FEWEST_GROUPS, _WORK / n)))
    if clusters.n_clusters <= most:
        return clusters.codes
    dealt = stream(seed, "jackknife groups").permutation(clusters.n_clusters) % most
    return np.asarray(dealt[clusters.codes], dtype=np.int64)


def _without(groups: NDArray[np.int64], count: int) -> Any:
    for group in range(count):
        yield groups != group
