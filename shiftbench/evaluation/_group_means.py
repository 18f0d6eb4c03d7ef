"""Over groups: the worst, means and percentiles of accuracy, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.evaluation._groups import Groups
from shiftbench.evaluation._labels import chosen
from shiftbench.statistics import Clusters, Estimate
from shiftbench.statistics.estimate import NAN
from shiftbench.statistics.linearised import ratio_estimate, ratio_influence
from shiftbench.statistics.proportions import Counts, minimum_interval, wilson

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class GroupAccuracy:
    """Accuracy, examples and Wilson interval of every group, as arrays.

    Attributes
    ----------
    names : tuple of str
    accuracy, low, high : (g,) float64 arrays
        nan for groups without examples.
    counts : Counts
    level : float
    """

    names: tuple[str, ...]
    accuracy: Floats
    low: Floats
    high: Floats
    counts: Counts
    level: float


def accuracies(members: Groups, counts: Counts, level: float) -> GroupAccuracy:
    low, high = wilson(counts.successes, counts.n, level, effective=counts.effective, df=counts.df)
    return GroupAccuracy(members.names, counts.values, low, high, counts, level)


def independent(members: Groups, counts: Counts, clusters: Clusters | None, known: Flags) -> bool:
    """Whether the groups share no example and no cluster."""
    if not members.disjoint():
        return False
    if clusters is None or counts.n_clusters is None:
        return True
    inside = known
    if members.offsets is not None:
        inside = known & (np.diff(members.offsets) > 0)
    present = np.count_nonzero(np.bincount(clusters.codes[inside]))
    return int(counts.n_clusters.sum()) == int(present)


def worst_group(each: GroupAccuracy, among: NDArray[np.int64], apart: bool) -> Estimate:
    """The least accuracy of some groups; of equal ones the largest group, then the first name."""
    if not len(among):
        return Estimate(NAN, level=each.level, method="cannot tell: no group has examples")
    counts = each.counts
    size, value = counts.n[among], each.accuracy[among]
    names = [each.names[g] for g in among.tolist()]
    least = np.flatnonzero(value == value.min())
    least = least[size[least] == size[least].max()]
    at = min(least.tolist(), key=names.__getitem__)
    keep = np.zeros(len(counts.n), dtype=bool)
    keep[among] = True
    low, high = minimum_interval(counts.take(keep), each.level, independent=apart)
    kind = "" if counts.n_clusters is None else "clustered "
    g = int(among[at])
    return Estimate(
        float(value[at]),
        low,
        high,
        each.level,
        f"{kind}simultaneous Clopper–Pearson",
        n=int(size[at]),
        n_clusters=None if counts.n_clusters is None else int(counts.n_clusters[g]),
        parameters={
            "group": names[at],
            "groups": len(among),
            "correction": "Šidák" if apart else "Bonferroni",
        },
    )


def worst_above(
    each: GroupAccuracy, there: NDArray[np.int64], apart: bool, minimum_n: int | None
) -> Estimate | None:
    if minimum_n is None:
        return None
    among = there[each.counts.n[there] >= minimum_n]
    found = worst_group(each, among, apart)
    if not len(among) and len(there):
        method = f"cannot tell: no group has {minimum_n} examples"
        found = replace(found, method=method)
    return replace(found, parameters={**found.parameters, "minimum_n": minimum_n})


def group_mean(
    members: Groups,
    counts: Counts,
    weights: Floats,
    state: NDArray[np.int8],
    clusters: Clusters | None,
    level: float,
    parameters: dict[str, Any],
) -> Estimate:
    """A weighted mean of the groups' accuracies, linearised over examples."""
    known = state < 2
    n = int(known.sum())
    if not weights.sum() > 0:
        method = "cannot tell: no group has examples and a weight"
        return Estimate(NAN, level=level, method=method, n=n, parameters=parameters)
    w = weights / weights.sum()
    accuracy = counts.values
    value = float(np.sum(w[w > 0] * accuracy[w > 0]))
    value = min(max(value, 0.0), 1.0)
    if (accuracy[w > 0] == 1).all():
        value = 1.0  # whatever the weights are rounded to
    units = counts.n if counts.n_clusters is None else counts.n_clusters.astype(np.float64)
    mixed, scale = ratio_influence(accuracy, counts.n, units, w)
    moves = np.stack([-scale * mixed, scale * (1 - mixed), np.zeros(len(w))], axis=1)
    keep: Any = slice(None) if n == len(known) else known
    influence = members.gathered(moves, state)[keep] * n
    cost = None
    if value in (0.0, 1.0):
        with np.errstate(invalid="ignore", divide="ignore"):
            share_of_one = np.where(w > 0, w / counts.n, 0.0)
        table = np.stack([share_of_one, share_of_one, 0 * w], axis=1)
        cost = n * float(members.gathered(table, state).max())
    return ratio_estimate(value, influence, chosen(clusters, keep), level, cost, parameters)


def weighted_mean(
    mean: Any, members: Groups, counts: Counts, weights: Mapping[str, float] | None
) -> Estimate | None:
    if weights is None:
        return None
    bad = [name for name, weight in weights.items() if not 0 <= weight < math.inf]
    if bad:
        raise ConfigurationError(
            f"the weight of {bad[0]!r} is {weights[bad[0]]!r}; weights are numbers of training "
            "examples, from 0 up"
        )
    if not set(weights) & set(members.names):
        raise ConfigurationError(
            f"weights name none of the groups; {near_names(next(iter(weights), ''), members.names)}"
        )
    w = np.array([float(weights.get(name, 0)) for name in members.names])
    absent = set(weights) - {members.names[g] for g in np.flatnonzero(counts.n > 0).tolist()}
    unweighted = int(np.count_nonzero((w == 0) & (counts.n > 0)))
    found: Estimate = mean(
        np.where(counts.n > 0, w, 0.0),
        {"groups_without_examples": len(absent), "groups_without_weight": unweighted},
    )
    return found


def percentile_group(
    each: GroupAccuracy, there: NDArray[np.int64], q: float, apart: bool
) -> Estimate:
    if not 0 <= q <= 100:
        raise ConfigurationError(f"percentile is {q!r}, but it lies between 0 and 100, such as 10")
    k, n = len(there), int(each.counts.n.sum())
    parameters = {"percentile": q, "groups": k}
    if not k:
        method = "cannot tell: no group has examples"
        return Estimate(NAN, level=each.level, method=method, parameters=parameters)
    values = np.sort(each.accuracy[there])
    value = float(np.percentile(values, q))
    if not apart:
        method = "cannot tell: groups share examples or clusters"
        return Estimate(value, level=each.level, method=method, n=n, parameters=parameters)
    half = (1 - each.level) / 2
    lower = int(binom.ppf(half, k, q / 100))
    upper = int(binom.ppf(1 - half, k, q / 100)) + 1
    return Estimate(
        value,
        float(values[lower - 1]) if lower > 0 else 0.0,
        float(values[upper - 1]) if upper <= k else 1.0,
        each.level,
        "order statistics of the groups",
        n=n,
        parameters=parameters,
    )
