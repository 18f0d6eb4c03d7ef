"""How sure a statistic of two samples is: DeLong's variance and its kin, clusters included."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr, stdtrit

from shiftbench.statistics.clusters import Clusters
from shiftbench.statistics.estimate import NAN, critical

__all__ = [
    "Spread",
    "auroc_influence",
    "auroc_limits",
    "logit_limits",
    "p_value",
    "placements",
    "two_sample_spread",
]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Pair = tuple[Clusters, Clusters]

ENDLESS = 1e6
"""From so many degrees of freedom on, Student's distribution is the normal one."""


@dataclass(frozen=True)
class Spread:
    """The sampling variance of a statistic of two samples.

    Attributes
    ----------
    variance : float
        nan where it cannot be told.
    df : float
        Degrees of freedom of the variance.
    n_clusters : int or None
        Clusters in all.
    units : (int, int)
        Independent units (clusters, or examples) that have ID and that have OOD examples.
    across : int
        Clusters that have both.
    """

    variance: float
    df: float
    n_clusters: int | None
    units: tuple[int, int]
    across: int = 0

    @property
    def se(self) -> float:
        """The standard error; nan where the variance is."""
        return math.sqrt(self.variance) if self.variance >= 0 else NAN

    @property
    def unknown(self) -> str:
        """Why there is no variance; empty if there is one."""
        if self.n_clusters == 1:
            return "cannot tell: one cluster"
        if min(self.units) < 2:
            where = "ID" if self.units[0] < 2 else "OOD"
            what = "example" if self.n_clusters is None else "cluster"
            return f"cannot tell: one {where} {what}"
        return "" if self.variance > 0 else "cannot tell: no spread among the examples"


def placements(
    id_scores: NDArray[np.generic], ood_scores: NDArray[np.generic]
) -> tuple[Floats, Floats]:
    """For each ID score the share of OOD above it, for each OOD score that of ID below it.

    Ties count half; the mean of the second is the AUROC.

    Examples
    --------
    >>> above, below = placements(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    >>> above.tolist(), below.tolist()
    ([1.0, 0.75], [0.75, 1.0])
    """
    one, other = np.sort(id_scores), np.sort(ood_scores)
    below = np.searchsorted(one, ood_scores, "left") + np.searchsorted(one, ood_scores, "right")
    above = np.searchsorted(other, id_scores, "left") + np.searchsorted(other, id_scores, "right")
    return 1 - above / (2 * len(other)), below / (2 * len(one))


def two_sample_spread(
    id_values: Floats,
    ood_values: Floats,
    clusters: Pair | None = None,
    weights: tuple[Counts, Counts] | None = None,
) -> Spread:
    """The variance of mean(id_values) + mean(ood_values), the values being influences.

    Parameters
    ----------
    id_values, ood_values : (n_id,), (n_ood,)
        How each example moves the statistic, times its sample's size; constants do not matter.
    clusters : pair of Clusters, optional
        Of the two samples, numbered together (`Clusters.pair`).
    weights : pair of integer arrays, optional
        How often each value occurs; without clusters only.

    Assumptions
    -----------
    Clusters are independent of each other. A cluster may lie in both samples: the covariance of
    its two sums is counted.

    Notes
    -----
    Obuchowski's estimator, for any influence: with Y a cluster's sum of centred values in one
    sample, divided by that sample's size, and I the clusters with examples in it,
    I/(I − 1) ΣY² for each sample, and 2 I/(I − 1) ΣY Y′ over the clusters for both together. With
    every example alone it is DeLong's.
    The degrees of freedom are Satterthwaite's, each part having 2I/(κ − 1 + 2/(I − 1)) of them, κ
    the kurtosis of its sums, and at most I − 1: where a few examples make the variance, as where
    AUROC is near 1, so few are what is known about it.

    References
    ----------
    DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44, 837–845. Obuchowski 1997, Biometrics 53,
    567–578, equations 4–6. Satterthwaite 1946, Biometrics 2, 110–114.

    Examples
    --------
    >>> x = np.array([0.0, 1.0, 0.0, 1.0])
    >>> two_sample_spread(x, x).variance
    0.1666...
    >>> two_sample_spread(x, x, (Clusters.of([0, 0, 1, 1]), Clusters.of([2, 2, 3, 3]))).variance
    0.0
    """
    if clusters is None:
        parts = [_part(v, None if weights is None else weights[i])
                 for i, v in enumerate((id_values, ood_values))]  # fmt: skip
        units = (parts[0][2], parts[1][2])
        return _joined(parts, 0.0, None, units, 0)
    sums, present = [], []
    for values, own in zip((id_values, ood_values), clusters, strict=True):
        present.append(own.sizes > 0)
        sums.append(own.sums((values - values.mean()) / max(len(values), 1)))
    units = (int(present[0].sum()), int(present[1].sum()))
    across = int((present[0] & present[1]).sum())
    total = int((present[0] | present[1]).sum())
    parts = [_moments(s[p]) for s, p in zip(sums, present, strict=True)]
    together = 0.0 if not across or total < 2 else 2 * total / (total - 1) * float(
        (sums[0] * sums[1]).sum()
    )  # fmt: skip
    return _joined(parts, together, total, units, across)


def _part(values: Floats, weights: Counts | None) -> tuple[float, float, int]:
    if weights is None:
        return _moments((values - values.mean()) / len(values))
    n = int(weights.sum())
    centred = (values - float((weights * values).sum()) / n) / n
    return _moments(centred, weights, n)


def _moments(
    sums: Floats, weights: Counts | None = None, n: int | None = None
) -> tuple[float, float, int]:
    """Variance, degrees of freedom and number of units, from centred contributions."""
    n = len(sums) if n is None else n
    square = sums * sums
    second = float((square if weights is None else weights * square).sum())
    if n < 2:
        return NAN, 0.0, n
    if second <= 0:
        return 0.0, n - 1.0, n
    fourth = float((square * square if weights is None else weights * square * square).sum())
    kurtosis = n * fourth / (second * second)
    df = 2 * n / max(kurtosis - 1 + 2 / (n - 1), 1e-9)
    return n / (n - 1) * second, min(df, n - 1.0), n


def _joined(
    parts: list[tuple[float, float, int]],
    together: float,
    total: int | None,
    units: tuple[int, int],
    across: int,
) -> Spread:
    (a, df_a, _), (b, df_b, _) = parts
    variance = a + b + together
    if math.isnan(variance):
        return Spread(NAN, 0.0, total, units, across)
    if variance <= 1e-12 * (a + b):  # the two sums cancel out
        return Spread(0.0, 0.0, total, units, across)
    df = (a + b) ** 2 / (a * a / df_a + b * b / df_b)
    if across and total is not None:
        df = min(df, total - 1.0)
    return Spread(variance, df, total, units, across)


def auroc_influence(tp: Counts, fp: Counts) -> tuple[Floats, Floats]:
    """Each value's placement, from the counts at or beyond it: for positives, for negatives.

    Parameters
    ----------
    tp, fp : (k,) integers
        Positives and negatives flagged at each distinct value, from the most positive; the last
        are all of them.

    Returns
    -------
    for_positives, for_negatives : (k,)
        The share of negatives below a positive of that value, and of positives above a negative;
        ties count half. The mean of either over its examples is the AUROC.

    References
    ----------
    DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44, 837–845, equations 3 and 4.

    Examples
    --------
    >>> v10, v01 = auroc_influence(np.array([1, 2, 2]), np.array([0, 1, 2]))
    >>> v10.tolist(), v01.tolist()
    ([1.0, 0.75, 0.25], [0.25, 0.75, 1.0])
    """
    above = 0.5 * (fp + np.append(0, fp[:-1]))
    beyond = 0.5 * (tp + np.append(0, tp[:-1]))
    return 1 - above / fp[-1], beyond / tp[-1]


def quantile(level: float, df: float) -> float:
    """Like `critical`, and faster."""
    if not 0 < level < 1:
        return critical(level, df)  # raises
    upper = 1 - (1 - level) / 2
    return float(ndtri(upper) if df > ENDLESS else stdtrit(df, upper))


def logit_limits(value: float, se: float, level: float, df: float) -> tuple[float, float]:
    """A Student interval on the logit scale; nan where the value is 0 or 1 or the error unknown.

    Examples
    --------
    >>> [round(b, 3) for b in logit_limits(0.9, 0.03, 0.95, float("inf"))]
    [0.824, 0.945]
    """
    if not (0 < value < 1 and se > 0 and df > 0):
        return NAN, NAN
    width = quantile(level, df) * se / (value * (1 - value))
    centre = math.log(value / (1 - value))
    return _expit(centre - width), _expit(centre + width)


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def auroc_limits(
    value: float, spread: Spread, level: float, *, constant: bool = False
) -> tuple[float, float, str]:
    """The interval of an AUROC and the words for it: logit DeLong, or an exact one at 0, ½ and 1.

    With clusters, `constant` says that all scores are equal: no variance may mean that their sums
    cancel out. Without clusters, an AUROC of ½ without variance has no other cause.

    Notes
    -----
    Where every OOD score lies above every ID score there is no variance to see. Of the examples,
    m = min(n_id, n_ood) pairs can be made that share none, all of them in the right order; that
    happens with probability at most AUROC^m, so the AUROC is at least (α/2)^(1/m): Clopper and
    Pearson's bound for m successes of m. Where all scores are equal, so are all pairs: ties have a
    probability of at least α^(1/m), and the AUROC is within (1 − α^(1/m))/2 of ½. With clusters,
    m is the number of pairs of clusters that share none. Conservative.

    Examples
    --------
    >>> spread = two_sample_spread(np.zeros(30), np.zeros(40))
    >>> low, high, words = auroc_limits(1.0, spread, 0.95)
    >>> round(low, 3), high, words
    (0.884, 1.0, 'Clopper–Pearson of disjoint pairs')
    """
    alpha = 1 - level
    words = ("" if spread.n_clusters is None else "clustered ") + "logit DeLong, t"
    if spread.n_clusters == 1:
        return NAN, NAN, spread.unknown
    if spread.variance > 0 and 0 < value < 1:
        return *logit_limits(value, spread.se, level, spread.df), words
    total = sum(spread.units) - spread.across
    m = min(*spread.units, total // 2)
    exact = "Clopper–Pearson of disjoint pairs" + (
        "" if spread.n_clusters is None else " of clusters"
    )
    if value in (0.0, 1.0):
        bound = (alpha / 2) ** (1 / m)
        return (bound, 1.0, exact) if value == 1 else (0.0, 1 - bound, exact)
    if value == 0.5 and (constant or (spread.variance == 0 and spread.n_clusters is None)):
        half = (1 - alpha ** (1 / m)) / 2
        return 0.5 - half, 0.5 + half, exact
    return NAN, NAN, spread.unknown


def p_value(difference: float, spread: Spread) -> float:
    """Two-sided, by Student's t, of no difference; 1 where no example tells of one.

    Examples
    --------
    >>> round(p_value(0.1, Spread(0.0025, 1e9, None, (50, 50))), 4)
    0.0455
    """
    if spread.variance > 0:
        return float(2 * stdtr(min(spread.df, ENDLESS), -abs(difference) / spread.se))
    return 1.0 if difference == 0 and spread.variance == 0 else NAN
