"""Intervals of proportions: one, many at once, the least of many; with clusters too."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, ndtri, stdtrit

from shiftbench.errors import ConfigurationError
from shiftbench.statistics.clusters import Clusters
from shiftbench.statistics.counts import Counts, cluster_counts
from shiftbench.statistics.estimate import NAN, Estimate

__all__ = [
    "Counts",
    "clopper_pearson",
    "cluster_counts",
    "estimates",
    "minimum_interval",
    "proportion",
    "share",
    "simultaneous",
    "wilson",
]

Floats = NDArray[np.float64]


def wilson(
    successes: ArrayLike,
    n: ArrayLike,
    level: float = 0.95,
    *,
    effective: ArrayLike | None = None,
    df: ArrayLike | None = None,
) -> tuple[Floats, Floats]:
    """Wilson's score interval of a proportion: low and high, arrays like `successes`.

    Parameters
    ----------
    successes, n : array_like
        Counts; they may be fractions of a whole. Without examples the bounds are nan.
    level : float
        Share of such intervals that hold the truth.
    effective, df : array_like, optional
        With clusters: the effective number of examples and the degrees of freedom, as in `Counts`.
        Student's t then stands for the normal distribution.

    Assumptions
    -----------
    Independent examples, or `effective` and `df` that say how dependent they are. Near 0 and 1 the
    coverage may fall below the level: p = 0.02 and n = 50 is covered in 92 % of samples.

    References
    ----------
    Wilson 1927, Journal of the American Statistical Association 22, 209–212.

    Examples
    --------
    >>> low, high = wilson([40, 0, 0], [50, 50, 0])
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.67, 0.0, nan], [0.888, 0.071, nan])
    """
    s, m = _checked(successes, n)
    size = m if effective is None else np.asarray(effective, dtype=np.float64)
    z = _quantile((1 - _alpha(level) / 2), df)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = s / m
        square = z * z / size
        centre = (p + square / 2) / (1 + square)
        half = z / (1 + square) * np.sqrt(p * (1 - p) / size + square / (4 * size))
        low = np.where(s == 0, 0.0 * half, np.maximum(centre - half, 0.0))
        high = np.where(s == m, 1.0 + 0.0 * half, np.minimum(centre + half, 1.0))
    return low, high


def clopper_pearson(
    successes: ArrayLike,
    n: ArrayLike,
    level: float = 0.95,
    *,
    effective: ArrayLike | None = None,
    df: ArrayLike | None = None,
) -> tuple[Floats, Floats]:
    """Clopper and Pearson's exact interval of a proportion: low and high, arrays.

    Each bound alone errs with probability at most (1 − level)/2, whatever the proportion; it is
    wider than Wilson's. With clusters, Korn and Graubard's form: the effective number of examples
    times the squared ratio of Student's quantiles. Arguments as in `wilson`.

    References
    ----------
    Clopper & Pearson 1934, Biometrika 26, 404–413. Korn & Graubard 1998, Survey Methodology 24,
    193–201.

    Examples
    --------
    >>> low, high = clopper_pearson([40, 0, 0], [50, 50, 0])
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.663, 0.0, nan], [0.9, 0.071, nan])
    """
    alpha = _alpha(level)
    return (
        _exact_bound(successes, n, alpha / 2, effective, df),
        1 - _exact_bound(_complement(successes, n), n, alpha / 2, effective, df),
    )


def simultaneous(
    counts: Counts, level: float = 0.95, *, independent: bool = False
) -> tuple[Floats, Floats]:
    """Clopper–Pearson bounds of many groups, all of which hold at once with probability `level`.

    Parameters
    ----------
    counts : Counts
        Groups without examples get nan and count for nothing.
    level : float
        Family-wise: the probability that every interval holds its group's proportion.
    independent : bool
        The groups share no example and no cluster: Šidák's correction in place of Bonferroni's,
        which needs no assumption and is hardly wider.

    References
    ----------
    Šidák 1967, Journal of the American Statistical Association 62, 626–633.

    Examples
    --------
    >>> low, high = simultaneous(Counts(np.array([40.0, 45.0]), np.array([50.0, 50.0])))
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.643, 0.764], [0.91, 0.972])
    """
    return clopper_pearson(
        counts.successes,
        counts.n,
        1 - _each(_alpha(level), int((counts.n > 0).sum()), independent),
        effective=counts.effective,
        df=counts.df,
    )


def minimum_interval(
    counts: Counts, level: float = 0.95, *, independent: bool = False
) -> tuple[float, float]:
    """An interval of the least true proportion of several groups: [min of lower, min of upper].

    The least of the observed proportions is biased low, and resampling it covers badly; this
    interval covers the least true one with probability `level` whatever the proportions are.

    Proof. Let p* be the least true proportion, of group k*, and a = 1 − level. (1) The least lower
    bound lies above p* only if k*'s own does, which has probability at most a/2 where each bound
    errs with a/2: no correction for many groups, since k* does not depend on the data. (2) The
    least upper bound lies below p* only if some group's lies below p*, and so below its own
    proportion: at most the number of groups × what each errs with, which is therefore a/2 divided
    by that number (Šidák's where `independent`). (1) and (2) together: at most a.
    With clusters the bounds are Korn and Graubard's and the proof holds as far as those do.

    Examples
    --------
    >>> low, high = minimum_interval(Counts(np.array([40.0, 45.0]), np.array([50.0, 50.0])))
    >>> round(low, 3), round(high, 3)
    (0.663, 0.91)
    """
    there = counts.n > 0
    if not there.any():
        return NAN, NAN
    found = counts.take(there)
    half = _alpha(level) / 2
    low = _exact_bound(found.successes, found.n, half, found.effective, found.df)
    each = _each(half, len(found.n), independent)
    failures = _complement(found.successes, found.n)
    high = 1 - _exact_bound(failures, found.n, each, found.effective, found.df)
    # A group of one cluster has no bounds; like an empty interval of knowledge it reaches 0 and 1.
    return float(np.where(np.isnan(low), 0.0, low).min()), float(
        np.where(np.isnan(high), 1.0, high).min()
    )


def proportion(
    successes: float, n: float, level: float = 0.95, *, method: str = "wilson"
) -> Estimate:
    """One proportion of independent examples with its interval.

    Parameters
    ----------
    successes, n : float
        Counts.
    level : float
        Share of such intervals that hold the truth.
    method : {"wilson", "clopper_pearson"}

    Raises
    ------
    ConfigurationError
        More successes than examples, or an unknown method.

    Examples
    --------
    >>> proportion(40, 50)
    Estimate(0.8000 [0.6696, 0.8876], n=50, Wilson)
    >>> proportion(0, 0)
    Estimate(nan, n=0, cannot tell: no examples)
    """
    counts = Counts(*_checked([successes], [n]))
    return estimates(counts, level, method=method)[0]


def share(
    flags: ArrayLike,
    clusters: Clusters | None = None,
    level: float = 0.95,
    *,
    method: str = "wilson",
) -> Estimate:
    """The share of examples that are true, with an interval that honours clusters.

    With clusters the default is Wilson's interval with the effective number of examples and
    Student's t; in simulations with clusters of 4 (intraclass correlation 0 to 0.6) it covers
    proportions of 0.5 to 0.9 with at least 94 % from n = 50 on. It does not with few large clusters
    and a proportion near 0 or 1: 10 clusters of 20 with a correlation of 0.3, 94 % at 0.8 and 90 %
    at 0.9.

    Parameters
    ----------
    flags : (n,) booleans
    clusters : Clusters, optional
    level : float
        Share of such intervals that hold the truth.
    method : {"wilson", "clopper_pearson"}

    References
    ----------
    Dean & Pagano 2015, Journal of Survey Statistics and Methodology 3, 484–503.

    Examples
    --------
    >>> flags = [True, True, False, False, True, True, True, False]
    >>> share(flags)
    Estimate(0.6250 [0.3057, 0.8632], n=8, Wilson)
    >>> share(flags, Clusters.of([0, 0, 1, 1, 2, 2, 3, 3]))
    Estimate(0.6250 [0.1178, 0.9541], n=8, clustered Wilson)
    """
    right = np.asarray(flags, dtype=np.float64)
    if clusters is None:
        return proportion(float(right.sum()), len(right), level, method=method)
    sizes = clusters.sizes
    there = sizes > 0
    return estimates(
        cluster_counts(clusters.sums(right)[there], sizes[there]), level, method=method
    )[0]


METHODS = {"wilson": (wilson, "Wilson"), "clopper_pearson": (clopper_pearson, "Clopper–Pearson")}


def estimates(counts: Counts, level: float = 0.95, *, method: str = "wilson") -> list[Estimate]:
    """One Estimate a group: its proportion with Wilson's or Clopper and Pearson's interval.

    Parameters
    ----------
    counts : Counts
    level : float
        Of each interval by itself; `simultaneous` has those that hold together.
    method : {"wilson", "clopper_pearson"}

    Raises
    ------
    ConfigurationError
        An unknown method.

    Examples
    --------
    >>> estimates(Counts(np.array([40.0, 3.0]), np.array([50.0, 4.0])))
    [Estimate(0.8000 [0.6696, 0.8876], n=50, Wilson),
     Estimate(0.7500 [0.3006, 0.9544], n=4, Wilson)]
    """
    if method not in METHODS:
        raise ConfigurationError(
            f"method is {method!r}, but an interval of a proportion is one of {sorted(METHODS)}"
        )
    bounds, words = METHODS[method]
    low, high = bounds(counts.successes, counts.n, level, effective=counts.effective, df=counts.df)
    size = counts.n if counts.effective is None else counts.effective
    p = counts.values
    with np.errstate(invalid="ignore", divide="ignore"):
        se = np.where((p > 0) & (p < 1) & ~np.isnan(low), np.sqrt(p * (1 - p) / size), NAN)
    columns = (p, low, high, se, counts.n)
    clusters = None if counts.n_clusters is None else counts.n_clusters.tolist()
    found = []
    for i, (value, lower, upper, error, n) in enumerate(
        zip(*(column.tolist() for column in columns), strict=True)
    ):
        k = None if clusters is None else clusters[i]
        said = words if k is None else f"clustered {words}"
        if n == 0:
            said = "cannot tell: no examples"
        elif k == 1 and n > 1:
            said = "cannot tell: one cluster"
        found.append(
            Estimate(
                value,
                lower,
                upper,
                level,
                said,
                n=round(n),
                n_clusters=k,
                se=error,
            )
        )
    return found


def _exact_bound(
    successes: ArrayLike,
    n: ArrayLike,
    error: float,
    effective: ArrayLike | None,
    df: ArrayLike | None,
) -> Floats:
    """The lower Clopper–Pearson bound that errs with probability `error`."""
    s, m = _checked(successes, n)
    with np.errstate(invalid="ignore", divide="ignore"):
        if effective is not None:
            size = np.asarray(effective, dtype=np.float64)
            freedom = np.asarray(np.inf if df is None else df, dtype=np.float64)
            ratio = _quantile(1 - error, m - 1) / _quantile(1 - error, freedom)
            worth = np.where(np.isinf(freedom), size, size * ratio * ratio)
            s, m = s / m * worth, worth
        found = betaincinv(np.maximum(s, np.finfo(float).tiny), m - s + 1, error)
    return np.where(np.isnan(m) | (m <= 0), NAN, np.where(s <= 0, 0.0, found))


def _complement(successes: ArrayLike, n: ArrayLike) -> Floats:
    return np.asarray(n, dtype=np.float64) - np.asarray(successes, dtype=np.float64)


def _quantile(upper: float, df: ArrayLike | None) -> Floats:
    """The quantile of Student's distribution, of the normal one without `df`; nan at df ≤ 0."""
    if df is None:
        return np.asarray(ndtri(upper))
    freedom = np.asarray(df, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        found = np.where(np.isinf(freedom), ndtri(upper), stdtrit(freedom, upper))
    return np.where(freedom > 0, found, NAN)


def _alpha(level: float) -> float:
    if not 0 < level < 1:
        raise ConfigurationError(
            f"level is {level!r}, but the level of an interval lies between 0 and 1, such as 0.95"
        )
    return 1 - level


def _each(alpha: float, groups: int, independent: bool) -> float:
    """What each of the groups may err with, so that all together err with `alpha`."""
    if groups < 2:
        return alpha
    return -math.expm1(math.log1p(-alpha) / groups) if independent else alpha / groups


def _checked(successes: ArrayLike, n: ArrayLike) -> tuple[Floats, Floats]:
    s, m = np.broadcast_arrays(
        np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64)
    )
    bad = ~((s >= 0) & (s <= m * (1 + 1e-12)) & np.isfinite(m))
    if bad.any():
        at = int(np.flatnonzero(bad.ravel())[0])
        raise ConfigurationError(
            f"{int(bad.sum())} counts are no proportion (the first, at position {at}: "
            f"{s.ravel()[at]:g} of {m.ravel()[at]:g}); successes lie between 0 and the examples"
        )
    return s, m
