"""Intervals of smooth statistics from each example's influence, summed over clusters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.statistics.clusters import Clusters
from shiftbench.statistics.estimate import NAN, Estimate, logit_interval, normal_interval

__all__ = [
    "SCALES",
    "Parts",
    "linearised",
    "mean_of_ratios",
    "mean_variance",
    "ratio_estimate",
    "ratio_influence",
    "scaled_interval",
]

Floats = NDArray[np.float64]

BLOCK = 1 << 20
"""Entries worked on at a time."""


def mean_variance(influence: Floats, clusters: Clusters | None = None) -> tuple[Floats, Floats]:
    """The variance of the mean of influences, and the degrees of freedom of that variance.

    Parameters
    ----------
    influence : (n,) or (n, k)
        How far each example moves a statistic, times n; their mean is about 0.
    clusters : Clusters, optional

    Returns
    -------
    variance, df : () or (k,)
        nan and 0 with one example or one cluster.

    Notes
    -----
    Σ (cluster sum)² / (1 − cluster size/n) / n²: HC2, which is unbiased for independent examples.
    The degrees of freedom are (Σv)²/Σv² − 1 with v = m(1 + (m − 1)r), m the clusters' sizes and r
    the intraclass correlation that the variance implies: clusters − 1 for equal sizes.

    References
    ----------
    Bell & McCaffrey 2002, Survey Methodology 28, 169–181. Satterthwaite 1946, Biometrics 2,
    110–114.

    Examples
    --------
    >>> x = np.array([-1.0, 1.0, -1.0, 1.0])
    >>> [float(v) for v in mean_variance(x)]
    [0.333..., 3.0]
    >>> [float(v) for v in mean_variance(x, Clusters.of(["a", "b", "a", "b"]))]
    [1.0, 1.0]
    """
    x = np.asarray(influence, dtype=np.float64)
    n = len(x)
    if n < 2:
        return np.full(x.shape[1:], NAN), np.zeros(x.shape[1:])
    alone = np.einsum("i...,i...->...", x, x) / (n * (n - 1.0))
    if clusters is None:
        return alone, np.minimum(n - 1.0, _scatter_freedom(x))
    sizes = clusters.sizes[clusters.sizes > 0].astype(np.float64)
    if len(sizes) < 2:
        return np.full(x.shape[1:], NAN), np.zeros(x.shape[1:])
    sums = clusters.sums(x)[clusters.sizes > 0]
    leverage = (1 / (1 - sizes / n)).reshape(-1, *[1] * (x.ndim - 1))
    variance = np.sum(sums * sums * leverage, axis=0) / (n * n)
    moments = [float(np.sum(sizes**power)) for power in (2, 3, 4)]
    known = _size_freedom(variance, alone, n, moments)
    return variance, np.minimum(known, _scatter_freedom(sums))


def _scatter_freedom(x: Floats) -> Floats:
    """How well the variance is known: 2n/(kurtosis − 1), as Var(s²) = 2σ⁴/df."""
    n = len(x)
    second = np.einsum("i...,i...->...", x, x)
    square = x * x
    with np.errstate(invalid="ignore", divide="ignore"):
        kurtosis = n * np.einsum("i...,i...->...", square, square) / (second * second)
        found = 2 * n / (kurtosis - 1)
    # The kurtosis of n numbers is at most n, so that this is never below 2; 1 is a coin's.
    return np.where(kurtosis > 1, found, np.inf)


def _size_freedom(variance: Floats, alone: Floats, n: int, moments: list[float]) -> Floats:
    m2, m3, m4 = moments
    if m2 <= n:  # every cluster is one example
        return np.full(np.shape(variance), n - 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        effect = np.where(alone > 0, variance / alone, 1.0)
    r = np.clip((effect - 1) / (m2 / n - 1), 0.0, 1.0)
    first = n + (m2 - n) * r
    return np.asarray(first**2 / (m2 + 2 * r * (m3 - m2) + r * r * (m4 - 2 * m3 + m2)) - 1)


def _log(value: float, se: float, level: float, df: float) -> tuple[float, float]:
    if not 0 < value < math.inf:
        return NAN, NAN
    low, high = normal_interval(math.log(value), se / value, level, df)
    return math.exp(low), math.exp(min(high, 700.0))


def _atanh(value: float, se: float, level: float, df: float) -> tuple[float, float]:
    low, high = logit_interval((value + 1) / 2, se / 2, level, df)
    return 2 * low - 1, 2 * high - 1


def _twice(value: float, se: float, level: float, df: float) -> tuple[float, float]:
    low, high = logit_interval(value / 2, se / 2, level, df)
    return 2 * low, 2 * high


SCALES: Mapping[str, Callable[[float, float, float, float], tuple[float, float]]] = {
    "logit": logit_interval,
    "logit of half": _twice,
    "log": _log,
    "Fisher z": _atanh,
    "plain": normal_interval,
}
"""Scale of an interval → what makes it: for values in (0, 1), (0, 2), (0, ∞), (−1, 1), anywhere."""


def scaled_interval(
    value: float, se: float, scale: str, level: float = 0.95, df: float = math.inf
) -> tuple[float, float]:
    """An interval on one of the `SCALES`; nan where the scale or the error has none.

    Examples
    --------
    >>> [round(b, 3) for b in scaled_interval(0.5, 0.1, "Fisher z")]
    [0.28, 0.67]
    """
    if math.isnan(se) or math.isnan(value) or df <= 0:
        return NAN, NAN
    return SCALES[scale](value, se, level, df)


def linearised(
    value: float,
    influence: Floats,
    clusters: Clusters | None = None,
    level: float = 0.95,
    *,
    scale: str = "plain",
    parameters: Mapping[str, Any] | None = None,
) -> Estimate:
    """A statistic with the interval that its influences give (infinitesimal jackknife).

    Parameters
    ----------
    value : float
    influence : (n,)
        How far each example moves the statistic, times n.
    clusters : Clusters, optional
        Examples of one cluster are summed before they are squared.
    level : float
    scale : str
        One of `SCALES`.
    parameters : mapping, optional
        Handed on to the Estimate.

    Assumptions
    -----------
    Enough examples (clusters) that the statistic is close to a mean: at n = 50 skewed losses may
    be covered less often than the level says.

    References
    ----------
    Jaeckel 1972, Bell Laboratories MM 72-1215-11; Efron & Tibshirani 1993, chapter 21.

    Examples
    --------
    >>> y = np.array([0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0])
    >>> linearised(y.mean(), y - y.mean(), scale="logit")
    Estimate(0.7500 [0.2758, 0.9594], n=8, linearised, logit, t)
    """
    n = len(influence)
    k = None if clusters is None else int(np.count_nonzero(clusters.sizes))
    # A group of one example each is a group of independent ones, and so is one example.
    variance, df = (float(found) for found in mean_variance(influence, clusters))
    se = math.sqrt(variance) if variance >= 0 else NAN
    low, high = scaled_interval(value, se, scale, level, df)
    if math.isnan(value):
        method = "cannot tell: no examples" if n == 0 else "cannot tell"
    elif k == 1 and n > 1:
        method = "cannot tell: one cluster"
    elif math.isnan(se):
        method = "cannot tell: one example"
    elif se == 0 or math.isnan(low):
        low, high = NAN, NAN
        method = "cannot tell: no spread among the examples"
    else:
        method = f"{'' if k is None else 'clustered '}linearised, {scale}, t"
    return Estimate(
        float(value),
        low,
        high,
        level,
        method,
        n=n,
        n_clusters=k,
        se=se,
        parameters=dict(parameters or {}),
    )


@dataclass(frozen=True)
class Parts:
    """Ratios of sums over parts of the examples: recall by class, F1 by class, accuracy by group.

    Part k's ratio is Σ top / Σ bottom over the entries with ``part == k``. An example may have
    several entries (overlapping groups) or none.

    Attributes
    ----------
    example, part : (m,) integers
    top, bottom : (m,) float64
    n : int
        All examples.
    n_parts : int
    """

    example: NDArray[Any]
    part: NDArray[Any]
    top: Floats
    bottom: Floats
    n: int
    n_parts: int

    @property
    def ratios(self) -> Floats:
        """One a part; nan where its bottom is 0."""
        top = np.bincount(self.part, weights=self.top, minlength=self.n_parts)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(top / self.bottoms)

    @property
    def bottoms(self) -> Floats:
        """Σ bottom of each part."""
        total = np.bincount(self.part, weights=self.bottom, minlength=self.n_parts)
        return total.astype(np.float64)

    def units(self, clusters: Clusters | None) -> Floats:
        """How many different examples, or clusters, have an entry in each part."""
        of = self.example if clusters is None else clusters.codes[self.example]
        width = self.n if clusters is None else clusters.n_clusters
        keys = np.sort(self.part.astype(np.int64) * width + of)
        first = np.ones(len(keys), dtype=bool)
        first[1:] = keys[1:] != keys[:-1]
        counted = np.bincount(keys[first] // max(width, 1), minlength=self.n_parts)
        return counted.astype(np.float64)


PRIOR = 2.0
"""Units of the common value that a part's own ratio is mixed with, for its scatter only."""


def mean_of_ratios(
    parts: Parts,
    clusters: Clusters | None = None,
    level: float = 0.95,
    *,
    weights: Floats | None = None,
    cost: float | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Estimate:
    """The mean of several ratios in [0, 1], such as balanced accuracy, with its interval.

    Parameters
    ----------
    parts : Parts
        Parts without entries are left out.
    clusters : Clusters, optional
        Of all `parts.n` examples.
    level : float
    weights : (n_parts,), optional
        Relative weights; equal ones when left out.
    cost : float, optional
        By how much the value falls from 1 (rises from 0), at most, for each unit share of examples
        that turns out otherwise. Where all is right or all is wrong no scatter is seen, and the
        bound is the cost times what Clopper and Pearson allow the share; without it, nan.
    parameters : mapping, optional

    Notes
    -----
    Linearised: an example moves the value by Σ w (top − ratio·bottom)/Σ bottom over its entries. A
    small part shows less scatter than it has (one with a single example shows none), so its ratio
    is mixed with the mean's as if two further units had shown that, and its scatter is divided by
    the share of the true scatter that is then expected. Sums by cluster, logit scale,
    Student's t.

    Examples
    --------
    >>> right = np.array([1.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    >>> parts = Parts(np.arange(6), np.array([0, 0, 0, 0, 1, 1]), right, np.ones(6), 6, 2)
    >>> mean_of_ratios(parts)
    Estimate(0.6250 [0.0707, 0.9733], n=6, linearised, logit, t)
    """
    ratios, bottoms = parts.ratios, parts.bottoms
    w = np.where(bottoms > 0, 1.0 if weights is None else weights, 0.0)
    if not w.sum() > 0:
        return Estimate(NAN, level=level, method="cannot tell: no examples", n=parts.n)
    w = w / w.sum()
    value = float(np.sum(w[w > 0] * ratios[w > 0]))
    mixed, scale = ratio_influence(ratios, bottoms, parts.units(clusters), w)
    moved = np.zeros(parts.n)
    # In blocks: the entries may be many times the examples.
    for start in range(0, len(parts.part), BLOCK):
        some = slice(start, start + BLOCK)
        k = parts.part[some]
        moves = scale[k] * (parts.top[some] - mixed[k] * parts.bottom[some])
        where = parts.example[some]
        first = int(where.min())
        added = np.bincount(where - first, weights=moves)
        moved[first : first + len(added)] += added
    return ratio_estimate(value, moved * parts.n, clusters, level, cost, parameters)


def ratio_influence(
    ratios: Floats, bottoms: Floats, units: Floats, weights: Floats
) -> tuple[Floats, Floats]:
    """For `mean_of_ratios`: each part's ratio mixed with the mean's, and what its scatter counts.

    An entry moves the value by scale · (top − mixed · bottom). Weights sum to 1; where they are 0,
    so are both.
    """
    there = weights > 0
    value = float(np.sum(weights[there] * ratios[there]))
    with np.errstate(invalid="ignore", divide="ignore"):
        mixed = (units * ratios + PRIOR * value) / (units + PRIOR)
        seen = (units - 1 + (PRIOR / (units + PRIOR)) ** 2) / units
        scale = weights / (bottoms * np.sqrt(seen))
    return np.where(there, mixed, 0.0), np.where(there, scale, 0.0)


def ratio_estimate(
    value: float,
    influence: Floats,
    clusters: Clusters | None,
    level: float,
    cost: float | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Estimate:
    """The Estimate of a `mean_of_ratios` with known influences; at 0 and 1 its bound by cost."""
    found = linearised(value, influence, clusters, level, scale="logit", parameters=parameters)
    if value not in (0.0, 1.0) or cost is None or found.n_clusters == 1:
        return found
    worth = float(found.n)
    if clusters is not None:
        worth = worth * worth / float(np.sum(clusters.sizes.astype(np.float64) ** 2))
    reach = min(cost * -math.expm1(math.log((1 - level) / 2) / worth), 1.0)
    return replace(
        found,
        low=1 - reach if value == 1 else 0.0,
        high=reach if value == 0 else 1.0,
        method=f"{'' if clusters is None else 'clustered '}Clopper–Pearson, as no scatter is seen",
    )
