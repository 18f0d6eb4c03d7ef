"""The false-positive rate at a given true-positive rate, with a distribution-free interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrik, ndtr

from shiftbench.statistics import Clusters
from shiftbench.statistics.delong import quantile
from shiftbench.statistics.estimate import NAN
from shiftbench.statistics.proportions import cluster_counts, wilson
from shiftbench.statistics.sweep import Sweep

__all__ = ["Units", "best_limits", "fpr_limits", "rank_at"]

Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Units:
    """The examples of a class, and what they are worth where clusters hold them.

    `reach` tells of each example how many of all examples are flagged if it just is.
    """

    n: int
    clusters: Clusters | None = None
    reach: NDArray[np.int64] | None = None

    def worth(self, flagged: Flags | None) -> tuple[float, float]:
        """The effective number of examples for the rate of the flagged ones, and its df."""
        if self.clusters is None:
            return float(self.n), math.inf
        assert flagged is not None
        there = self.clusters.sizes > 0
        sums = self.clusters.sums(flagged.astype(np.float64))[there]
        counts = cluster_counts(sums, self.clusters.sizes[there])
        assert counts.effective is not None
        assert counts.df is not None
        return float(counts.effective[0]), float(counts.df[0])

    def flagged(self, count: int) -> Flags | None:
        """Which of the examples are among the `count` flagged ones."""
        return None if self.reach is None else self.reach <= count


def rank_at(tpr: float, n: int) -> int:
    """The fewest of n positives whose share reaches `tpr`, compared as floating-point numbers."""
    rank = max(math.ceil(tpr * n), 1)
    while rank > 1 and (rank - 1) / n >= tpr:
        rank -= 1
    while rank < n and rank / n < tpr:
        rank += 1
    return rank


def rank_limits(tpr: float, n: int, effective: float, df: float, level: float) -> tuple[int, int]:
    """Ranks of positives between which the true threshold lies; 0 and n + 1 for no bound.

    Of n positives, B ~ binomial(n, tpr) lie at or above the true threshold: it lies between the
    B-th and the next.
    """
    half = (1 - level) / 2
    if not math.isinf(df):
        effective *= (quantile(level, math.inf) / quantile(level, df)) ** 2
    size = max(effective, 1.0)
    # bdtrik solves P(B ≤ k) = half for k; the quantile is the next whole number.
    low = max(math.ceil(_solve(half, size, tpr)), 0)
    high = math.ceil(_solve(1 - half, size, tpr)) + 1
    if size == n:
        return low, high
    return math.floor(low * n / size), math.ceil(high * n / size)


def _solve(probability: float, size: float, tpr: float) -> float:
    if tpr >= 1:
        return size
    found = float(bdtrik(probability, size, tpr))
    return 0.0 if math.isnan(found) else found


def fpr_limits(
    walk: Sweep, tpr: float, flagged: tuple[int, int], pos: Units, neg: Units, level: float
) -> tuple[float, float]:
    """The interval of the FPR at a TPR (MOVER).

    Two things are uncertain and independent of each other: the FPR at a given threshold (Wilson)
    and where the threshold is that has the given TPR (order statistics). Their distances from the
    estimate are squared and added, on each side by itself.
    """
    tp, fp = flagged
    size, df = neg.worth(neg.flagged(tp + fp))
    many, df_pos = pos.worth(pos.flagged(tp + fp))
    if min(df, df_pos) <= 0:
        return NAN, NAN
    value = fp / neg.n
    low, high = _wilson(fp, neg.n, level, size, df)
    first, last = rank_limits(tpr, pos.n, many, df_pos, level)
    least = walk.flagged(first)[1] / neg.n if first > 0 else 0.0
    most = walk.flagged(last)[1] / neg.n if last <= pos.n else 1.0
    return (
        max(value - math.hypot(value - low, value - least), 0.0),
        min(value + math.hypot(high - value, most - value), 1.0),
    )


MOST_OPTIMA = 64
"""Thresholds of one least error that are looked at."""


def best_limits(
    optima: tuple[Counts, Counts], pos: Units, neg: Units, level: float
) -> tuple[float, float]:
    """The interval of ½(FPR + FNR) at the threshold that makes it least.

    Two Wilson intervals combined by adding squared distances. The least of many is biased low: the
    upper bound is that of the level at which two Wilson intervals at ½ are as wide as the bound
    that holds at all thresholds at once (Kolmogorov & Smirnov's: √(−ln(α/2)/2) for √(1/n₀ + 1/n₁)).
    Where several thresholds have the least error, none of them is the one: the lowest and the
    highest of their bounds count (of more than 64, some from the first to the last).
    """
    tp, fp = optima
    last = len(tp) - 1
    if last >= MOST_OPTIMA:
        # As many from either end: the same ones where the classes change places.
        half = np.arange(MOST_OPTIMA // 2) * last // (MOST_OPTIMA - 1)
        some = np.append(half, last - half[::-1])
        tp, fp = tp[some], fp[some]
    found = [
        _limits_at(pair, pos, neg, level) for pair in zip(tp.tolist(), fp.tolist(), strict=True)
    ]
    low, high = np.array(found).T
    # One threshold that tells nothing makes all of it unknown.
    return float(low.min()), float(high.max())


def _limits_at(
    flagged: tuple[int, int], pos: Units, neg: Units, level: float
) -> tuple[float, float]:
    tp, fp = flagged
    value = 0.5 * (fp / neg.n + (pos.n - tp) / pos.n)
    everywhere = 2 * math.sqrt(-math.log((1 - level) / 2) / 2)
    below = above = 0.0
    for count, unit in ((fp, neg), (pos.n - tp, pos)):
        size, df = unit.worth(unit.flagged(tp + fp))
        if df <= 0:
            return NAN, NAN
        low = _wilson(count, unit.n, level, size, df)[0]
        high = _wilson(count, unit.n, 1 - 2 * float(ndtr(-everywhere)), size, df)[1]
        below = math.hypot(below, count / unit.n - low)
        above = math.hypot(above, high - count / unit.n)
    return max(value - below / 2, 0.0), min(value + above / 2, 0.5)


def _wilson(count: int, n: int, level: float, effective: float, df: float) -> tuple[float, float]:
    low, high = wilson([count], [n], level, effective=[effective], df=[df])
    return float(low[0]), float(high[0])
