"""A threshold fixed on ID validation, and the rates that it then has on the test splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation._rates import rank_at
from shiftbench.evaluation._scores import cluster_names, level_of, share_of
from shiftbench.statistics import Estimate
from shiftbench.statistics.estimate import NAN
from shiftbench.statistics.proportions import proportion, share
from shiftbench.statistics.ranks import scores_of

__all__ = ["Threshold", "rates_at", "rates_of_splits", "threshold_at"]


@dataclass(frozen=True)
class Threshold:
    """Scores above `value` are flagged as OOD.

    Attributes
    ----------
    value : float
        One of the validation scores, on the scale of scores that are higher for more OOD.
    tpr : float
        The share of ID that was to be kept.
    kept : float
        The share of the validation scores that are not above `value`: at least `tpr`.
    low, high : float
        Between these lies, at `level`, the share that it keeps of all ID examples there are;
        clusters widen nothing here: use `rates_at` on a test split.
    level : float
    n : int
        Validation scores.
    """

    value: float
    tpr: float
    kept: float
    low: float
    high: float
    level: float
    n: int


def threshold_at(
    id_validation_scores: ArrayLike, tpr: float = 0.95, *, level: float = 0.95
) -> Threshold:
    """The least validation score that keeps a share of ID examples.

    Parameters
    ----------
    id_validation_scores : (n,) array_like
        Higher for more OOD (negate confidences first); of ID examples that nothing is tested on.
    tpr : float
        The share of ID to keep, in (0, 1].
    level : float
        Of the interval of the share that is kept of all ID examples.

    Raises
    ------
    ConfigurationError
        NaN, no scores, or `tpr` not in (0, 1].

    Assumptions
    -----------
    Independent validation scores. Without ties the share that the k-th of n scores keeps is
    Beta(k, n + 1 − k) distributed, whatever the scores' distribution; with ties it is more,
    and less than that of the next.

    References
    ----------
    Wilks 1941, Annals of Mathematical Statistics 12, 91–96 (tolerance limits).

    Examples
    --------
    >>> found = threshold_at(range(100), 0.95)
    >>> found.value, found.kept, round(found.low, 3), round(found.high, 3)
    (94.0, 0.95, 0.887, 0.978)
    """
    level_of(level)
    share_of(tpr, "tpr")
    scores = np.sort(scores_of(id_validation_scores, "id_validation_scores").astype(np.float64))
    if not len(scores):
        raise ConfigurationError(
            "id_validation_scores is empty, but the threshold is one of them; give the scores of "
            "the ID validation split"
        )
    n = len(scores)
    value = float(scores[rank_at(tpr, n) - 1])
    rank = int(np.searchsorted(scores, value, side="right"))
    half = (1 - level) / 2
    low = float(betaincinv(rank, n + 1 - rank, half))
    # With ties the value keeps more than Beta says, but less than the next value would.
    above = rank + 1 if rank > 1 and scores[rank - 2] == value else rank
    high = 1.0 if rank == n else float(betaincinv(above, n + 1 - above, 1 - half))
    return Threshold(value, float(tpr), rank / n, low, high, level, n)


def rates_at(
    threshold: float | Threshold,
    scores: ArrayLike,
    clusters: Any = None,
    level: float = 0.95,
) -> Estimate:
    """The share of examples flagged as OOD: those with a score above the threshold.

    Parameters
    ----------
    threshold : float or Threshold
        Fixed beforehand, not on these scores: its own uncertainty is no part of the interval,
        which is of the rate that this threshold has.
    scores : (n,) array_like
        Higher for more OOD.
    clusters : (n,) names, or Clusters, optional
    level : float

    Returns
    -------
    Estimate
        Wilson's interval, its clustered form with clusters. No examples: nan.

    Raises
    ------
    ConfigurationError
        NaN, or clusters of another length.

    Examples
    --------
    >>> rates_at(2.0, [1.0, 2.0, 3.0, 4.0])
    Estimate(0.5000 [0.1500, 0.8500], n=4, Wilson)
    """
    level_of(level)
    try:
        value = threshold.value if isinstance(threshold, Threshold) else float(threshold)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"threshold is {threshold!r}, but it is a number or what `threshold_at` gives"
        ) from error
    if np.isnan(value):
        raise ConfigurationError("threshold is nan, but nothing can be above or below it")
    flags = scores_of(scores, "scores") > value
    if clusters is None:
        found = proportion(float(np.count_nonzero(flags)), len(flags), level)
    else:
        found = share(flags, cluster_names(clusters, len(flags), "score"), level)
    parameters = {"threshold": value}
    if isinstance(threshold, Threshold):
        parameters["tpr"] = threshold.tpr
    return replace(found, positive="ood", parameters=parameters)


def rates_of_splits(
    id_validation_scores: ArrayLike,
    id_test_scores: ArrayLike,
    ood_scores: Mapping[str, ArrayLike],
    *,
    clusters: Mapping[str, Any] | None = None,
    tpr: float = 0.95,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Fix the threshold on ID validation and report what it does on the test splits.

    Parameters
    ----------
    id_validation_scores, id_test_scores : array_like
    ood_scores : mapping
        Name of an OOD set → its scores.
    clusters : mapping, optional
        Names of clusters of ``"id_test"`` and of the OOD sets, where they have any.
    tpr : float
        The share of ID validation to keep.
    level : float

    Returns
    -------
    dict of str to Estimate
        ``id_test_flagged``: ID examples rejected (1 − kept); ``detected_<name>`` for each OOD set.

    Raises
    ------
    ConfigurationError
        As `threshold_at` and `rates_at`; or clusters of a set that is not there.

    Examples
    --------
    >>> found = rates_of_splits(range(100), range(50), {"far": [200, 300], "near": [90, 99]})
    >>> {name: e.value for name, e in found.items()}
    {'id_test_flagged': 0.0, 'detected_far': 1.0, 'detected_near': 0.5}
    """
    own = dict(clusters or {})
    unknown = sorted(set(own) - {"id_test", *ood_scores})
    if unknown:
        raise ConfigurationError(
            f"clusters are given for {unknown}, but the sets are {['id_test', *ood_scores]}"
        )
    threshold = threshold_at(id_validation_scores, tpr, level=level)
    found = {"id_test_flagged": rates_at(threshold, id_test_scores, own.get("id_test"), level)}
    for name, scores in ood_scores.items():
        found[f"detected_{name}"] = rates_at(threshold, scores, own.get(name), level)
    return {name: replace(e, se=e.se if e.n else NAN) for name, e in found.items()}
