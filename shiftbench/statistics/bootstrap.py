"""The cluster bootstrap: seeded resamples, and intervals from what a statistic does on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import norm

from shiftbench.errors import ConfigurationError
from shiftbench.statistics.clusters import Clusters
from shiftbench.statistics.estimate import Estimate, critical, logit_interval
from shiftbench.statistics.streams import stream

__all__ = [
    "INTERVALS",
    "bootstrap_estimate",
    "replicate_interval",
    "resample_counts",
    "smallest_stratum",
    "strata_of",
]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Interval = Literal["percentile", "basic", "bias_corrected", "normal", "logit", "studentized"]

INTERVALS: tuple[Interval, ...] = (
    "percentile",
    "basic",
    "bias_corrected",
    "normal",
    "logit",
    "studentized",
)
NAN = math.nan
CELLS = 4_000_000
"""Counts held at a time, so that memory does not grow with the number of resamples."""
UNDEFINED = 0.1
"""With more than this share of resamples without a value there is no interval."""


def resample_counts(
    n_clusters: int,
    n_resamples: int,
    seed: int = 0,
    ident: str = "",
    *,
    strata: ArrayLike | None = None,
    block: int | None = None,
) -> Iterator[Codes]:
    """How often each cluster is drawn in each resample, some resamples at a time.

    Each resample draws as many clusters as there are, with replacement; with `strata`, so many of
    each stratum. The numbers do not depend on `block`.

    Parameters
    ----------
    n_clusters, n_resamples : int
    seed : int
    ident : str
        Tells apart the uses of one seed.
    strata : (n_clusters,) array of int, optional
        Clusters that are drawn apart from the others, such as those of two independent samples.
    block : int, optional
        Resamples at a time; by default as many as fit into bounded memory.

    Yields
    ------
    (at most block, n_clusters) int64 array
        Rows sum to `n_clusters`.

    Raises
    ------
    ConfigurationError
        There is nothing to draw from, or nothing is to be drawn.

    References
    ----------
    Efron (1979), Ann. Statist. 7; for clusters, Field & Welsh (2007), J. R. Statist. Soc. B 69.

    Examples
    --------
    >>> [counts.sum(axis=1).tolist() for counts in resample_counts(4, 5, block=3)]
    [[4, 4, 4], [4, 4]]
    """
    if n_clusters < 1 or n_resamples < 1:
        raise ConfigurationError(
            f"{n_resamples} resamples of {n_clusters} clusters: both are at least 1"
        )
    block = block or max(1, CELLS // n_clusters)
    codes = np.zeros(n_clusters, np.int64) if strata is None else np.asarray(strata, np.int64)
    if codes.shape != (n_clusters,):
        raise ConfigurationError(
            f"strata has shape {codes.shape}, but there are {n_clusters} clusters; "
            "give one stratum a cluster"
        )
    kinds = np.flatnonzero(np.bincount(codes))
    members = [np.flatnonzero(codes == kind) for kind in kinds]
    # One stream a stratum: the order of drawing, and so the block, does not change the numbers.
    streams = [stream(seed, "bootstrap", f"{ident}\x1f{kind}") for kind in kinds]
    for start in range(0, n_resamples, block):
        rows = min(block, n_resamples - start)
        counts = np.empty((rows, n_clusters), np.int64)
        for member, generator in zip(members, streams, strict=True):
            counts[:, member] = _draws(generator, len(member), rows)
        yield counts


def _draws(generator: np.random.Generator, n: int, rows: int) -> Codes:
    drawn = generator.integers(0, n, size=(rows, n))
    drawn += np.arange(rows)[:, None] * n
    return np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)


def strata_of(clusters: Clusters, parts: ArrayLike) -> Codes:
    """Which clusters are drawn together, when the examples come from several samples.

    Samples that share no cluster are independent, and each is resampled by itself. Samples joined
    by a cluster that lies in both are one stratum: their clusters are drawn together, so that the
    dependence between the samples is kept.

    Parameters
    ----------
    clusters : Clusters
        Of all examples, numbered together.
    parts : (n,) array of int
        The sample of each example, from 0.

    Returns
    -------
    (n_clusters,) int64 array

    Examples
    --------
    >>> strata_of(Clusters.of(["a", "b", "c", "d"]), [0, 0, 1, 1]).tolist()
    [0, 0, 1, 1]
    >>> strata_of(Clusters.of(["a", "b", "b", "d"]), [0, 0, 1, 1]).tolist()
    [0, 0, 0]
    """
    code = np.asarray(parts, np.int64)
    n_parts = int(code.max()) + 1 if len(code) else 1
    shape = (n_parts + clusters.n_clusters,) * 2
    edges = coo_array((np.ones(len(code)), (code, n_parts + clusters.codes)), shape=shape)
    _, component = connected_components(edges, directed=False)
    return np.asarray(component[n_parts:], np.int64)


def smallest_stratum(strata: ArrayLike) -> int:
    """How many clusters the smallest stratum has: what the degrees of freedom rest on.

    Examples
    --------
    >>> smallest_stratum([0, 0, 2, 0, 2])
    2
    """
    sizes = np.bincount(np.asarray(strata, np.int64))
    return int(sizes[sizes > 0].min())


def replicate_interval(
    value: float,
    replicates: ArrayLike,
    kind: Interval = "percentile",
    level: float = 0.95,
    n_clusters: int | None = None,
    *,
    se: float = NAN,
    errors: ArrayLike | None = None,
) -> tuple[float, float]:
    """An interval from the values that a statistic has on the resamples.

    With few clusters the bootstrap's own spread is too small by √((c − 1) / c) and normal
    quantiles are too near; every kind but the studentized one is widened for both by Student's
    t with c − 1 degrees of freedom.

    Parameters
    ----------
    value : float
        The statistic on the sample itself.
    replicates : (n_resamples,) array
        On the resamples; nan where it could not be told.
    kind : str
        ``percentile``, ``basic`` (mirrored percentile), ``bias_corrected`` (percentile, with the
        shift of the replicates' median put right), ``normal``, ``logit`` (normal on the logit
        scale, for values between 0 and 1) or ``studentized``.
    level : float
    n_clusters : int, optional
        Independent units drawn, in the smallest stratum where there are several.
    se, errors : float and (n_resamples,) array
        For ``studentized`` alone: the standard error on the sample and on each resample.

    Returns
    -------
    low, high : float
        nan, nan where there is no interval: one cluster, or replicates that are all the same.

    Raises
    ------
    ConfigurationError
        A kind that does not exist, or ``studentized`` without its errors.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, ch. 12-14; the widened
    percentiles: Hesterberg (2015), Amer. Statist. 69, sec. 3.2 ("expanded percentile").

    Examples
    --------
    >>> replicates = np.linspace(0.0, 1.0, 1001)
    >>> [round(b, 3) for b in replicate_interval(0.5, replicates)]
    [0.025, 0.975]
    >>> [round(b, 3) for b in replicate_interval(0.5, replicates, n_clusters=10)]
    [0.009, 0.991]
    """
    if kind not in INTERVALS:
        raise ConfigurationError(
            f"interval is {kind!r}; there are {', '.join(map(repr, INTERVALS))}"
        )
    critical(level)
    found = np.asarray(replicates, np.float64)
    told = np.isfinite(found)
    drawn = found[told]
    if n_clusters == 1 or len(drawn) < 2 or math.isnan(value) or np.ptp(drawn) == 0:
        return NAN, NAN
    width = critical(level)
    if n_clusters is not None:
        width = math.sqrt(n_clusters / (n_clusters - 1)) * critical(level, n_clusters - 1)
    spread = float(np.std(drawn, ddof=1))
    if kind == "normal":
        return value - width * spread, value + width * spread
    if kind == "logit":
        return logit_interval(value, spread * width / critical(level), level)
    if kind == "studentized":
        if errors is None or math.isnan(se):
            raise ConfigurationError(
                "a studentized interval needs the standard error of the sample and of each "
                "resample: se= and errors="
            )
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = (drawn - value) / np.asarray(errors, np.float64)[told]
        tail = (1 - level) / 2
        below, above = np.quantile(ratio[np.isfinite(ratio)], [tail, 1 - tail])
        return float(value - above * se), float(value - below * se)
    shift = 0.0
    if kind == "bias_corrected":
        below = (np.mean(drawn < value) + np.mean(drawn <= value)) / 2
        shift = 2 * float(norm.ppf(np.clip(below, 1 / len(drawn), 1 - 1 / len(drawn))))
    low, high = np.quantile(drawn, norm.cdf([shift - width, shift + width]))
    if kind == "basic":
        return float(2 * value - high), float(2 * value - low)
    return float(low), float(high)


def bootstrap_estimate(
    statistic: Callable[..., float],
    *data: ArrayLike,
    clusters: Any = None,
    samples: ArrayLike | None = None,
    takes: Literal["rows", "weights"] = "rows",
    n_resamples: int = 1000,
    interval: Interval = "percentile",
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Any statistic of examples, with an interval from the cluster bootstrap.

    Parameters
    ----------
    statistic : callable
        Of the data's arrays to a number. With ``takes="weights"`` it is called with one more
        argument, an (n,) array that says how often each example counts; that is faster where the
        statistic is a weighted sum.
    data : arrays of length n
    clusters : (n,) names or Clusters, optional
        The unit of independence of each example; by default each is its own.
    samples : (n,) array of int, optional
        Which independent sample each example is from (such as 0 for ID and 1 for OOD): samples
        that share no cluster are resampled by themselves (see `strata_of`).
    takes : str
    n_resamples : int
    interval : str
        See `replicate_interval`. A statistic that is not smooth, such as a minimum or a maximum,
        has no valid bootstrap interval.
    level : float
    seed : int

    Returns
    -------
    Estimate
        `se` is the bootstrap's. `parameters` says how many resamples had no value.

    Raises
    ------
    ConfigurationError
        The arrays differ in length, or are empty.

    Examples
    --------
    >>> x = np.arange(30.0)
    >>> bootstrap_estimate(np.mean, x)
    Estimate(14.5000 [11.3..., 17.7...], n=30, bootstrap, percentile)
    >>> bootstrap_estimate(np.mean, x, clusters=np.arange(30) // 5)
    Estimate(14.5000 [5.2..., 23.6...], n=30, cluster bootstrap, percentile)
    """
    arrays = [np.asarray(column) for column in data]
    lengths = sorted({len(column) for column in arrays})
    if len(lengths) != 1 or lengths[0] == 0:
        raise ConfigurationError(
            f"the data's arrays have lengths {lengths}, but one length above 0 was expected"
        )
    n = lengths[0]
    if clusters is None:
        units = Clusters(np.arange(n), n)
    else:
        units = clusters if isinstance(clusters, Clusters) else Clusters.of(clusters)
    if len(units.codes) != n:
        raise ConfigurationError(
            f"{len(units.codes)} clusters were given for {n} examples; give one an example"
        )
    strata = None if samples is None else strata_of(units, samples)
    value = float(statistic(*arrays) if takes == "rows" else statistic(*arrays, np.ones(n)))
    smallest = units.n_clusters if strata is None else smallest_stratum(strata)
    shown: dict[str, Any] = {"n_resamples": n_resamples, "seed": seed, "interval": interval}
    method = f"{'' if clusters is None else 'cluster '}bootstrap, {interval.replace('_', ' ')}"
    base: dict[str, Any] = {
        "level": level,
        "n": n,
        "n_clusters": None if clusters is None else units.n_clusters,
    }
    if smallest == 1:
        return Estimate(value, method="cannot tell: one cluster", parameters=shown, **base)
    ident = "estimate"
    block = max(1, CELLS // max(n, units.n_clusters))
    replicates = []
    for counts in resample_counts(
        units.n_clusters, n_resamples, seed, ident, strata=strata, block=block
    ):
        for row in counts:
            weights = row[units.codes]
            if takes == "weights":
                replicates.append(float(statistic(*arrays, weights.astype(np.float64))))
            else:
                chosen = np.repeat(np.arange(n), weights)
                replicates.append(float(statistic(*(column[chosen] for column in arrays))))
    drawn = np.asarray(replicates)
    undefined = int(np.count_nonzero(~np.isfinite(drawn)))
    shown["undefined_resamples"] = undefined
    if undefined > UNDEFINED * n_resamples:
        told = f"cannot tell: {undefined} of {n_resamples} resamples have no value"
        return Estimate(value, method=told, parameters=shown, **base)
    low, high = replicate_interval(value, drawn, interval, level, smallest)
    if math.isnan(low):
        method = "cannot tell: all resamples have the same value"
    spread = float(np.std(drawn[np.isfinite(drawn)], ddof=1)) if n_resamples > 1 else NAN
    return Estimate(value, low, high, method=method, se=spread, parameters=shown, **base)
