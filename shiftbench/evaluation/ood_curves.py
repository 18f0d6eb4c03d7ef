"""OOD metrics of several OOD sets that share one ID sample: against distance, and near/far means.

Because the sets share the ID sample, their metrics go up and down together. So ID and all sets are
resampled at once, and slopes and means are taken within each resample.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation._joint import BINS, Joint, kind_of, same_names
from shiftbench.statistics import Estimate, stream
from shiftbench.statistics.permutation import permutation_p_values

__all__ = ["MINIMUM_SETS", "OodCurve", "near_far_means", "ood_against_distance"]

Floats = NDArray[np.float64]

NAN = math.nan
MINIMUM_SETS = 10
"""OOD sets from which on a p-value for the relation to distance is given."""
GENERALISES = "new samples from these OOD sets, not new OOD sets"


@dataclass(frozen=True)
class OodCurve:
    """How the OOD metrics change with the distance of the OOD set.

    Attributes
    ----------
    sets : tuple of str
        In ascending order of distance.
    distances : (k,) array
    points : mapping
        Metric → one Estimate a set, in the order of `sets`. Each interval holds for itself.
    slope : mapping
        Metric → Estimate of the least-squares slope on distance.
    spearman : mapping
        Metric → Estimate of the rank correlation with distance.
    replicates : mapping
        Metric → (n_resamples, k) array from the joint resamples.
    """

    sets: tuple[str, ...]
    distances: Floats
    points: Mapping[str, tuple[Estimate, ...]]
    slope: Mapping[str, Estimate]
    spearman: Mapping[str, Estimate]
    replicates: Mapping[str, Floats]


def ood_against_distance(
    id_scores: ArrayLike,
    ood_sets: Mapping[str, ArrayLike],
    distances: Mapping[str, float],
    clusters: tuple[Any, Mapping[str, Any]] | None = None,
    *,
    distance_se: Mapping[str, float] | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
    tpr: float = 0.95,
    bins: int | None = BINS,
    level: float = 0.95,
) -> OodCurve:
    """OOD metrics of each OOD set against its distance from ID.

    Parameters
    ----------
    id_scores : (n_id,) array
        Higher is more OOD.
    ood_sets : mapping
        Name → (n,) scores.
    distances : mapping
        Name → distance of that set from ID, in whatever unit.
    clusters : pair, optional
        The ID examples' units, and name → units of that set's examples. A unit may lie in several
        sets: those sets are then drawn together.
    distance_se : mapping, optional
        Name → standard error of the distance, as from `shiftbench.distances`. The distance is then
        drawn anew in each resample (normal); without it, distances are taken as given. Errors in
        the distance also draw the slope towards 0, which is not put right here.
    n_resamples, seed : int
    tpr, bins, level
        As for `ood_bootstrap`.

    Returns
    -------
    OodCurve
        The intervals of slope and rank correlation say how they would move with new samples from
        the same OOD sets. They say nothing about OOD sets that were not measured. A `p_value`
        (distances permuted among the sets, which are taken as exchangeable) is there only with
        `MINIMUM_SETS` sets or more.

    Raises
    ------
    ConfigurationError
        A set without a distance, a distance without a set, NaN scores.

    Notes
    -----
    The rank correlation of sets whose true values are almost the same is not a smooth function of
    them, and its interval is then only a description of the resamples.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sets = {f"shift {d}": rng.normal(d, 1, 200) for d in (1, 2, 3)}
    >>> distances = {"shift 1": 1.0, "shift 2": 2.0, "shift 3": 3.0}
    >>> curve = ood_against_distance(rng.normal(size=300), sets, distances)
    >>> [round(point.value, 1) for point in curve.points["auroc"]]
    [0.8, 0.9, 1.0]
    >>> curve.slope["auroc"]
    Estimate(0.1... [0.0..., 0.1...], n=900, joint bootstrap, percentile)
    >>> curve.slope["auroc"].p_value is None
    True
    """
    same_names(ood_sets, distances, "distances")
    at = _numbers(distances, "distances")
    order = sorted(ood_sets, key=lambda name: (at[name], str(name)))
    where = np.array([at[name] for name in order])
    if not np.isfinite(where).all():
        bad = order[int(np.argmin(np.isfinite(where)))]
        raise ConfigurationError(
            f"the distance of {bad!r} is {distances[bad]!r}; leave out a set whose distance is "
            "not a finite number"
        )
    errors = np.zeros(len(order))
    if distance_se is not None:
        same_names(ood_sets, distance_se, "distance_se")
        known = _numbers(distance_se, "distance_se")
        errors = np.array([known[name] for name in order])
        if not (np.isfinite(errors) & (errors >= 0)).all():
            raise ConfigurationError("distance_se: each standard error is a number from 0 on")
    joint = Joint(
        id_scores, {n: ood_sets[n] for n in order}, clusters, n_resamples, seed, tpr, bins
    )
    noise = stream(seed, "distance errors").standard_normal((n_resamples, len(order)))
    drawn_at = where + errors * noise
    points: dict[str, tuple[Estimate, ...]] = {}
    slope: dict[str, Estimate] = {}
    spearman: dict[str, Estimate] = {}
    replicates: dict[str, Floats] = {}
    for name, value, drawn in zip(joint.names, joint.values, joint.replicates, strict=True):
        points[name] = tuple(
            joint.estimate(name, value[k], drawn[:, k], level, kind_of(name), [k])
            for k in range(len(order))
        )
        for found, of in ((slope, _slopes), (spearman, _spearmans)):
            found[name] = _relation(joint, name, of, where, value, drawn_at, drawn, level)
        replicates[name] = drawn
    return OodCurve(tuple(order), where, points, slope, spearman, replicates)


def near_far_means(
    id_scores: ArrayLike,
    ood_sets: Mapping[str, ArrayLike],
    groups: Mapping[str, str],
    clusters: tuple[Any, Mapping[str, Any]] | None = None,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    tpr: float = 0.95,
    bins: int | None = BINS,
    level: float = 0.95,
) -> dict[str, dict[str, Estimate]]:
    """The mean of each OOD metric over the sets of each group, such as near and far.

    Every set counts the same, however many examples it has; the sets are never pooled. The
    standard error is that of the mean within the joint resamples, so it has the covariance that
    comes from the shared ID sample.

    Parameters
    ----------
    id_scores : (n_id,) array
    ood_sets : mapping
        Name → (n,) scores.
    groups : mapping
        Name → group, usually ``near`` or ``far``.
    clusters, n_resamples, seed, tpr, bins, level
        As for `ood_against_distance`.

    Returns
    -------
    dict
        Group → metric → Estimate; `parameters` names the sets.

    Raises
    ------
    ConfigurationError
        A set without a group, a group for no set, NaN scores.

    References
    ----------
    The protocol of OpenOOD v1.5 (Zhang et al. 2023): near- and far-OOD averages over data sets.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> sets = {"a": rng.normal(1, 1, 90), "b": rng.normal(1, 1, 9), "c": rng.normal(3, 1, 99)}
    >>> means = near_far_means(rng.normal(size=200), sets, {"a": "near", "b": "near", "c": "far"})
    >>> means["near"]["auroc"]
    Estimate(0.7... [0.6..., 0.8...], n=299, joint bootstrap, logit)
    """
    same_names(ood_sets, groups, "groups")
    order = sorted(ood_sets, key=str)  # what is drawn does not depend on the mapping's order
    joint = Joint(
        id_scores, {n: ood_sets[n] for n in order}, clusters, n_resamples, seed, tpr, bins
    )
    found: dict[str, dict[str, Estimate]] = {}
    for group in dict.fromkeys(groups[name] for name in ood_sets):
        inside = [k for k, name in enumerate(order) if groups[name] == group]
        shown = {"sets": [order[k] for k in inside], "generalises_to": GENERALISES}
        found[group] = {
            name: joint.estimate(
                name,
                float(value[inside].mean()),
                drawn[:, inside].mean(axis=1),
                level,
                kind_of(name),
                inside,
                shown,
            )
            for name, value, drawn in zip(joint.names, joint.values, joint.replicates, strict=True)
        }
    return found


def _numbers(given: Mapping[str, Any], what: str) -> dict[str, float]:
    found = {}
    for name, value in given.items():
        try:
            found[name] = float(value)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(
                f"{what}: that of {name!r} is {value!r}, which is no number; leave out a set for "
                "which there is none"
            ) from error
    return found


def _relation(
    joint: Joint,
    name: str,
    of: Any,
    where: Floats,
    value: Floats,
    drawn_at: Floats,
    drawn: Floats,
    level: float,
) -> Estimate:
    every = list(range(len(where)))
    shown: dict[str, Any] = {"n_sets": len(where), "generalises_to": GENERALISES}
    one = float(of(where[None], value[None])[0])
    if math.isnan(one):
        told = "one distance" if np.ptp(where) == 0 else "the metric is the same for all sets"
        return Estimate(NAN, level=level, method=f"cannot tell: {told}", parameters=shown)
    p_value = None
    if len(where) >= MINIMUM_SETS:
        orders = stream(joint.shown["seed"], "distances among sets").permuted(
            np.tile(where, (999, 1)), axis=1
        )
        permuted = np.abs(of(orders, np.broadcast_to(value, orders.shape)))
        p_value = float(permutation_p_values([abs(one)], permuted[:, None])[0])
        shown["p_value_is_of"] = "distances permuted among the OOD sets, taken as exchangeable"
    else:
        shown["no_p_value"] = f"{len(where)} OOD sets; one is given from {MINIMUM_SETS} on"
    return joint.estimate(
        name, one, of(drawn_at, drawn), level, "percentile", every, shown, p_value
    )


def _slopes(x: Floats, y: Floats) -> Floats:
    centred = x - x.mean(axis=1, keepdims=True)
    spread = (centred**2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 0, (centred * y).sum(axis=1) / spread, NAN)


def _spearmans(x: Floats, y: Floats) -> Floats:
    a, b = rankdata(x, axis=1), rankdata(y, axis=1)
    a -= a.mean(axis=1, keepdims=True)
    b -= b.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    found[np.isnan(y).any(axis=1)] = NAN
    return np.asarray(found, np.float64)
