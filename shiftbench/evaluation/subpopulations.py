"""Accuracy of each subpopulation, of the worst, and of all of them together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.evaluation._group_means import (
    GroupAccuracy,
    accuracies,
    group_mean,
    independent,
    percentile_group,
    weighted_mean,
    worst_above,
    worst_group,
)
from shiftbench.evaluation._labels import Labelled, as_clusters, chosen, labelled, listed
from shiftbench.evaluation.classification import of_labelled
from shiftbench.evaluation.findings import Found, found_in, of_findings
from shiftbench.evaluation.groups import groups_of
from shiftbench.statistics import Clusters, Estimate
from shiftbench.statistics.estimate import NAN
from shiftbench.statistics.proportions import estimates, share, simultaneous

__all__ = ["GroupAccuracy", "Subpopulations", "group_accuracy", "subpopulation"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Subpopulations:
    """Metrics by group; the worst group, and means over the groups.

    Attributes
    ----------
    groups : dict of name to dict of metric to Estimate
        Groups without examples are absent.
    overall : dict of metric to Estimate
        Of all examples, those in no group included.
    worst : Estimate
        Of the worst group: the raw extreme, which is biased away from the mean, with its
        simultaneous interval; ``parameters["group"]`` names it, `n` is its size.
    worst_above_minimum_n : Estimate or None
        The same among the groups with at least `minimum_n` examples.
    worst_chosen_on_validation : Estimate or None
        Of the group that was worst on validation: not selected here, so with its own interval.
    group_mean : Estimate
        Plain mean over the groups.
    train_weighted : Estimate or None
        Mean weighted with the groups' numbers of training examples.
    percentile : Estimate
        A low percentile of the groups' values.
    metric : str
        What `worst` and the means are of.
    simultaneous : dict of name to (low, high)
        Bounds that hold for all groups at once.

    Examples
    --------
    >>> found = subpopulation([1, 1, 0, 0], [1, 0, 0, 0], ["a", "a", "b", "b"])
    >>> list(found.summary())
    ['accuracy_worst_group', 'accuracy_group_mean', 'accuracy_percentile_10']
    """

    groups: dict[str, dict[str, Estimate]]
    overall: dict[str, Estimate]
    worst: Estimate
    worst_above_minimum_n: Estimate | None
    worst_chosen_on_validation: Estimate | None
    group_mean: Estimate
    train_weighted: Estimate | None
    percentile: Estimate
    metric: str = "accuracy"
    simultaneous: dict[str, tuple[float, float]] = field(default_factory=dict, repr=False)

    def worst_name(self) -> str | None:
        """The worst group above the minimum n, or of all where none is above it."""
        for found in (self.worst_above_minimum_n, self.worst):
            if found is not None and "group" in found.parameters:
                return str(found.parameters["group"])
        return None

    def summary(self) -> dict[str, Estimate]:
        """Everything but the table of groups, by the names that results use."""
        q = self.percentile.parameters.get("percentile", 10)
        found = {
            "worst_group": self.worst,
            "worst_group_above_minimum_n": self.worst_above_minimum_n,
            "worst_group_chosen_on_validation": self.worst_chosen_on_validation,
            "group_mean": self.group_mean,
            "train_weighted": self.train_weighted,
            f"percentile_{q:g}": self.percentile,
        }
        return {f"{self.metric}_{name}": e for name, e in found.items() if e is not None}


def group_accuracy(
    correct: Any, groups: Any, clusters: Any = None, level: float = 0.95
) -> GroupAccuracy:
    """Accuracy, n and interval of very many groups at once, as arrays.

    Parameters
    ----------
    correct : (n,) booleans
    groups : Groups or what `groups_of` takes
    clusters : Clusters or (n,) names, optional
    level : float

    Examples
    --------
    >>> found = group_accuracy([True, False, True], [["a"], ["a", "b"], ["b"]])
    >>> found.names, found.accuracy.tolist(), found.counts.n.tolist()
    (('a', 'b'), [0.5, 0.5], [2.0, 2.0])
    """
    right = _flags(correct, "correct")
    members = groups_of(groups, len(right))
    return accuracies(
        members, members.counts(right, clusters=as_clusters(clusters, len(right))), level
    )


def subpopulation(
    y_true: Any,
    y_pred: Any = None,
    groups: Any = None,
    *,
    probabilities: Any = None,
    classes: Sequence[Any] | int | None = None,
    group_names: Sequence[str] | None = None,
    clusters: Any = None,
    weights: Mapping[str, float] | None = None,
    minimum_n: int | None = None,
    validation: Subpopulations | Mapping[str, Any] | None = None,
    metrics: Sequence[str] | None = ("accuracy",),
    percentile: float = 10,
    level: float = 0.95,
    bins: int = 15,
) -> Subpopulations:
    """Metrics of each subpopulation, of the worst, and means over them, each with its interval.

    Parameters
    ----------
    y_true, y_pred, probabilities, classes
        As in `classification_metrics`; with several findings per example as in `finding_metrics`,
        and accuracy is then subset accuracy (all known findings right).
    groups : Groups, one value an example, boolean (n, g) matrix, lists of names, or columns
        As in `groups_of`. Groups may overlap, and need not cover all examples.
    group_names : sequence of str, optional
        Of the columns of a matrix.
    clusters : Clusters or (n,) names, optional
        Which examples are not independent of each other; every interval honours them.
    weights : mapping of group to number, optional
        Training examples of each group, for `train_weighted`.
    minimum_n : int, optional
        The smallest group that `worst_above_minimum_n` considers.
    validation : Subpopulations, or mapping of group to accuracy, optional
        Results on validation, to choose a worst group without looking at these.
    metrics : sequence of str or None
        Of each group and overall; None for all that there are. Accuracy is always among them.
    percentile : float
        Which percentile of the groups' accuracies.
    level, bins
        As in `classification_metrics`.

    Returns
    -------
    Subpopulations

    Raises
    ------
    ConfigurationError
        No groups, another number of them than of predictions, unknown metrics, weights or
        validation results of no group that is here.

    Notes
    -----
    - Each group's accuracy has Wilson's interval, with clusters of the effective size.
    - The worst group is the minimum over groups with n > 0. Its interval is
      [min of lower, min of upper] Clopper–Pearson bounds, see
      `shiftbench.statistics.proportions.minimum_interval`: it covers the least *true* accuracy.
    - Means over groups take the groups as given. Their intervals are linearised: an example of
      several groups counts in all of them at once.
    - The percentile is numpy's (linear). Its interval takes the *groups* for a sample of groups,
      by order statistics, and is nan where groups share examples or clusters.

    Assumptions
    -----------
    Examples, or clusters, are independent; which group an example is in is known beforehand.

    References
    ----------
    Sagawa et al. 2020, ICLR (worst group); Koh et al. 2021, WILDS, ICML (10th percentile;
    train-weighted mean, there called adjusted accuracy).

    Examples
    --------
    >>> found = subpopulation(
    ...     ["land", "land", "land", "sea", "sea", "sea"],
    ...     ["land", "land", "sea", "sea", "sea", "land"],
    ...     {"bird": ["tit", "tit", "gull", "gull", "gull", "tit"]},
    ...     weights={"tit": 95, "gull": 5},
    ... )
    >>> found.groups["tit"]["accuracy"]
    Estimate(0.6667 [0.2077, 0.9385], n=3, Wilson)
    >>> found.worst.parameters["group"], round(found.worst.value, 3)
    ('gull', 0.667)
    >>> round(found.train_weighted.value, 3)
    0.667
    """
    if groups is None:
        raise ConfigurationError(
            "no groups; give one value an example, a membership matrix with group_names, a list of "
            "names an example, or columns"
        )
    data: Labelled | Found = (
        found_in(y_true, y_pred, probabilities, classes)
        if listed(y_true)
        else labelled(y_true, y_pred, probabilities, classes)
    )
    n = len(data.truth)
    members = groups_of(groups, n, group_names)
    grouped = as_clusters(clusters, n)
    known, right = data.known, data.correct
    counts = members.counts(right, known, grouped)
    each = accuracies(members, counts, level)
    there = np.flatnonzero(counts.n > 0)
    described = estimates(counts, level)
    table = {members.names[g]: {"accuracy": described[g]} for g in there.tolist()}
    overall = {"accuracy": share(right[known], chosen(grouped, known), level)}
    overall["accuracy"] = replace(overall["accuracy"], parameters={"unknown": int(n - known.sum())})
    if metrics is None or set(metrics) != {"accuracy"}:
        more = _Metrics(data, grouped, level, bins, metrics)
        overall |= more.of(np.arange(n))
        for name, rows in members.rows():
            if name in table:
                table[name] |= more.of(rows)
    apart = independent(members, counts, grouped, known)
    state = np.where(known, right, 2).astype(np.int8)

    def mean(w: Floats, parameters: dict[str, Any]) -> Estimate:
        return group_mean(members, counts, w, state, grouped, level, parameters)

    low, high = simultaneous(counts, level, independent=apart)
    return Subpopulations(
        groups=table,
        overall=overall,
        worst=worst_group(each, there, apart),
        worst_above_minimum_n=worst_above(each, there, apart, minimum_n),
        worst_chosen_on_validation=_chosen(table, validation, level),
        group_mean=mean((counts.n > 0).astype(np.float64), {"groups": len(there)}),
        train_weighted=weighted_mean(mean, members, counts, weights),
        percentile=percentile_group(each, there, percentile, apart),
        simultaneous={members.names[g]: (float(low[g]), float(high[g])) for g in there.tolist()},
    )


class _Metrics:
    """The metrics that were asked for, of any rows."""

    def __init__(
        self,
        data: Labelled | Found,
        clusters: Clusters | None,
        level: float,
        bins: int,
        wanted: Sequence[str] | None,
    ) -> None:
        self.data, self.clusters, self.level, self.bins = data, clusters, level, bins
        self.wanted = wanted

    def of(self, rows: NDArray[np.int64]) -> dict[str, Estimate]:
        data = self.data
        if isinstance(data, Found):
            found = of_findings(data.rows(rows), chosen(self.clusters, rows), self.level, self.bins)
        else:
            found = of_labelled(data, self.clusters, self.level, self.bins, rows)
        if self.wanted is None:
            return {name: e for name, e in found.items() if name != "accuracy"}
        unknown = [name for name in self.wanted if name not in found and name != "accuracy"]
        if unknown:
            raise ConfigurationError(
                f"there is no metric {unknown[0]!r} of these predictions; "
                f"{near_names(unknown[0], found)}"
            )
        return {name: found[name] for name in self.wanted if name != "accuracy"}


def _flags(values: Any, what: str) -> Flags:
    array = np.asarray(values)
    if array.ndim != 1 or (array.dtype != bool and not np.isin(array, (0, 1)).all()):
        raise ConfigurationError(
            f"{what} has the shape {array.shape} and type {array.dtype}; one True or False an "
            "example is needed: (n,)"
        )
    return array.astype(bool, copy=False)


def _chosen(
    table: dict[str, dict[str, Estimate]],
    validation: Subpopulations | Mapping[str, Any] | None,
    level: float,
) -> Estimate | None:
    """The accuracy here of the group that was worst on validation."""
    if validation is None:
        return None
    if isinstance(validation, Subpopulations):
        name = validation.worst_name()
        if name is None:
            method = "cannot tell: no group has examples on validation"
            return Estimate(NAN, level=level, method=method)
    else:
        values = {group: _value(value) for group, value in validation.items()}
        values = {group: value for group, value in values.items() if not math.isnan(value)}
        if not values:
            raise ConfigurationError("validation has no group with an accuracy")
        name = min(sorted(values), key=values.__getitem__)
    parameters = {"group": name, "chosen_on": "validation"}
    if name not in table:
        return Estimate(
            NAN,
            level=level,
            method=f"cannot tell: no examples of the group {name!r}",
            parameters=parameters,
        )
    return replace(table[name]["accuracy"], parameters=parameters)


def _value(found: Any) -> float:
    if isinstance(found, Mapping):
        found = found["accuracy"]
    return float(found.value if isinstance(found, Estimate) else found)
