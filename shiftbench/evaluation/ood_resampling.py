"""The bootstrap of the OOD metrics: all of them from the same resamples, one detector or two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation._joint import (
    BINS,
    Joint,
    check_rate,
    joined_clusters,
    kind_of,
    told_estimate,
    value_of,
)
from shiftbench.evaluation._rank_bins import checked, curve_metrics, names, rank_bins, resampled
from shiftbench.statistics import Clusters, Estimate
from shiftbench.statistics.bootstrap import smallest_stratum, strata_of
from shiftbench.statistics.clusters import warn_across

__all__ = ["OodBootstrap", "ood_bootstrap", "ood_difference_bootstrap"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class OodBootstrap:
    """Every OOD metric with its bootstrap interval, and the resamples behind them.

    Attributes
    ----------
    estimates : mapping
        Metric → Estimate.
    replicates : mapping
        Metric → (n_resamples,) array. The metrics share their resamples, so that the covariance
        of two of them, or the distribution of any function of them, can be had from here.
    n_bins : int
        Rank bins in use.
    exact : bool
        Each bin is one distinct score: nothing was binned.
    """

    estimates: Mapping[str, Estimate]
    replicates: Mapping[str, Floats]
    n_bins: int
    exact: bool


def ood_bootstrap(
    id_scores: ArrayLike,
    ood_scores: ArrayLike,
    clusters: Any = None,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    tpr: float = 0.95,
    bins: int | None = BINS,
    level: float = 0.95,
) -> OodBootstrap:
    """AUROC, average precision and FPR at a TPR, both ways, on the same bootstrap resamples.

    Parameters
    ----------
    id_scores, ood_scores : (n_id,) and (n_ood,) arrays
        Higher is more OOD. Infinities rank at the ends.
    clusters : pair of names, or names of ID then OOD, optional
        The unit of independence of each example: whole units are drawn. ID and OOD are drawn
        apart, unless a unit lies in both; then all units are drawn together.
    n_resamples, seed : int
    tpr : float
        The true-positive rate at which the false-positive rate is read.
    bins : int or None
        Most rank bins of the merged scores. With no more distinct scores than this (or with None)
        the resamples are exact; otherwise metrics see examples of one bin as ties. The bins are
        narrow at both ends of the ranking and around the thresholds, and the values themselves
        are never binned.
    level : float

    Returns
    -------
    OodBootstrap
        Keys ``auroc``, ``aupr_ood``, ``aupr_id`` (average precision, the positive class named),
        ``fpr_at_95tpr_ood`` and ``fpr_at_95tpr_id``. The order of the examples changes no number.

    Raises
    ------
    ConfigurationError
        A NaN score, or no example on one side.

    Notes
    -----
    The interval is normal on the logit scale with the bootstrap's standard error for AUROC and
    average precision, and the widened percentile interval for the false-positive rates: those held
    their level best in simulations (docs). Where every resample has the same value, as when the
    samples do not overlap at all, the bootstrap cannot tell an interval.

    References
    ----------
    Efron & Tibshirani (1993), ch. 6 and 13; with clusters, Field & Welsh (2007).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = ood_bootstrap(rng.normal(size=200), rng.normal(1.5, 1, size=100))
    >>> found.estimates["auroc"]
    Estimate(0.8... [0.7..., 0.8...], n=300, bootstrap, logit)
    >>> found.replicates["fpr_at_95tpr_id"].shape
    (1000,)
    """
    joint = Joint(
        id_scores, {"OOD": ood_scores}, _pair(clusters, id_scores), n_resamples, seed, tpr, bins
    )
    estimates, replicates = {}, {}
    for name, value, drawn in zip(joint.names, joint.values, joint.replicates, strict=True):
        replicates[name] = drawn[:, 0]
        estimates[name] = joint.estimate(
            name, value[0], drawn[:, 0], level, kind_of(name), [0], words=()
        )
    return OodBootstrap(estimates, replicates, joint.n_bins, joint.exact)


def ood_difference_bootstrap(
    id_scores_a: ArrayLike,
    ood_scores_a: ArrayLike,
    id_scores_b: ArrayLike,
    ood_scores_b: ArrayLike,
    clusters: Any = None,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    tpr: float = 0.95,
    bins: int | None = BINS,
    level: float = 0.95,
) -> OodBootstrap:
    """Detector A minus detector B on the same examples, metric by metric.

    Both detectors see the same resamples, so that what they share cancels. The only way to the
    difference of two false-positive rates at a TPR; for AUROC a paired DeLong is sharper.

    Parameters
    ----------
    id_scores_a, id_scores_b : (n_id,) arrays
        The two detectors' scores of the same examples, in the same order.
    ood_scores_a, ood_scores_b : (n_ood,) arrays
    clusters : pair of names, or names of ID then OOD, optional
    n_resamples, seed : int
    tpr : float
    bins : int or None
    level : float

    Returns
    -------
    OodBootstrap
        Differences, A − B, under the keys of `ood_bootstrap`. `p_value` is of no difference, from
        the same resamples: 2 · min(share at or below 0, share at or above 0), with one added to
        each count; approximate.

    Raises
    ------
    ConfigurationError
        The detectors' arrays differ in length; a NaN score.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.normal(size=200), rng.normal(1.5, 1, size=100)
    >>> noisy = lambda x: x + rng.normal(size=len(x))
    >>> ood_difference_bootstrap(a, b, noisy(a), noisy(b)).estimates["auroc"]
    Estimate(0.0... [0.0..., 0.1...], n=300, paired bootstrap, percentile)
    """
    check_rate(tpr)
    detectors = [
        [checked(known, f"ID scores of {which}"), checked(ood, f"OOD scores of {which}")]
        for which, known, ood in (
            ("detector A", id_scores_a, ood_scores_a),
            ("detector B", id_scores_b, ood_scores_b),
        )
    ]
    for side, a, b in zip(("ID", "OOD"), *detectors, strict=True):
        if len(a) != len(b):
            raise ConfigurationError(
                f"detector A has {len(a)} {side} scores and detector B {len(b)}; a paired "
                "difference needs both detectors' scores of the same examples, in one order"
            )
    n_id, n_ood = map(len, detectors[0])
    pair = _pair(clusters, detectors[0][0])
    units = joined_clusters(pair, ["OOD"], np.array([n_id, n_ood]))
    tables = [rank_bins(samples, bins, tpr) for samples in detectors]
    found = np.concatenate(
        [
            curve_metrics(a[:, 0], a[:, 1], tpr) - curve_metrics(b[:, 0], b[:, 1], tpr)
            for a, b in resampled(tables, units, n_resamples, seed, "difference")
        ],
        axis=1,
    )
    value, binned = np.zeros(5), np.zeros(5)
    for sign, samples, table in zip((1, -1), detectors, tables, strict=True):
        value += sign * value_of(rank_bins(samples, None, tpr), 1, tpr)
        binned += sign * value_of(table, 1, tpr)
    found = np.clip(found + (value - binned)[:, None], -1.0, 1.0)
    n_bins, exact = max(t.n_bins for t in tables), all(t.exact for t in tables)
    smallest = min(n_id, n_ood)
    shown = {"n_resamples": n_resamples, "seed": seed, "n_bins": n_bins, "exact": exact}
    if units is not None:
        across = warn_across(units.codes[:n_id], units.codes[n_id:], stacklevel=3)
        if across:
            shown["clusters_across"] = across
        smallest = smallest_stratum(strata_of(units, tables[0].parts))
    estimates, replicates = {}, {}
    for name, one, drawn in zip(names(tpr), value, found, strict=True):
        estimates[name] = told_estimate(
            name,
            float(one),
            drawn,
            "percentile",
            ["paired"],
            level=level,
            smallest=smallest,
            n_id=n_id,
            n_ood=n_ood,
            n_clusters=None if units is None else units.n_clusters,
            shown=shown,
            p_value=_p_value(drawn),
        )
        replicates[name] = drawn
    return OodBootstrap(estimates, replicates, n_bins, exact)


def _p_value(drawn: Floats) -> float:
    told = drawn[np.isfinite(drawn)]
    least = min(np.count_nonzero(told <= 0), np.count_nonzero(told >= 0))
    return float(min(1.0, 2 * (1 + least) / (1 + len(told))))


def _pair(clusters: Any, id_scores: ArrayLike) -> tuple[Any, dict[str, Any]] | None:
    """Clusters as a pair or end to end, as `joined_clusters` takes them."""
    if clusters is None:
        return None
    if isinstance(clusters, Clusters):
        clusters = clusters.codes
    if not (isinstance(clusters, tuple) and len(clusters) == 2):
        every, n = np.asarray(clusters), len(np.asarray(id_scores))
        clusters = (every[:n], every[n:])
    return clusters[0], {"OOD": clusters[1]}
