"""Regression: errors and correlations, of all examples and by group."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.evaluation._labels import as_clusters, chosen
from shiftbench.evaluation._regression_statistics import METRICS, WORSE, Moved
from shiftbench.evaluation.groups import groups_of
from shiftbench.evaluation.subpopulations import Subpopulations
from shiftbench.statistics import Clusters, Estimate
from shiftbench.statistics.estimate import NAN
from shiftbench.statistics.linearised import linearised

__all__ = ["regression_by_group", "regression_metrics"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def regression_metrics(
    y_true: Any, y_pred: Any, clusters: Any = None, level: float = 0.95
) -> dict[str, Estimate]:
    """Errors and correlations of predicted numbers, each with its interval.

    Parameters
    ----------
    y_true : (n,) numbers
        A missing one (nan, None) is left out and counted in ``parameters["unknown"]``.
    y_pred : (n,) finite numbers
        In the same unit.
    clusters : Clusters or (n,) names, optional
        Which examples are not independent of each other; every interval honours them.
    level : float
        Share of such intervals that hold the truth.

    Returns
    -------
    dict of Estimate
        - ``mse``, ``rmse``, ``mae``: mean squared error, its root, mean absolute error;
        - ``bias``: mean of y_pred − y_true;
        - ``r2``: 1 − mse / variance of y_true (negative where the mean would do better);
        - ``pearson``, ``spearman`` (of midranks): nan where one side is constant.

    Raises
    ------
    ConfigurationError
        Lengths that differ, predictions that are missing or not finite.

    Notes
    -----
    All intervals are linearised, from each example's influence summed over clusters, with
    Student's t: errors on the log scale, correlations on Fisher's, bias and r2 plainly. They do
    not assume normality. Spearman's influence includes that ranks are relative to all examples.

    Assumptions
    -----------
    Independent examples or clusters, and errors with finite fourth moments. With heavy tails and
    n = 50 the interval of the mse covers less than its level.

    References
    ----------
    Croux & Dehon 2010, Statistical Methods & Applications 19, 497–515 (influence of correlations);
    Koh et al. 2021, WILDS, ICML (PovertyMap: worst Pearson r over groups).

    Examples
    --------
    >>> found = regression_metrics([1.0, 2.0, 3.0, 4.0, 5.0], [1.5, 2.0, 2.0, 4.5, 5.0])
    >>> [(name, round(found[name].value, 3)) for name in ("mse", "mae", "bias", "spearman")]
    [('mse', 0.3), ('mae', 0.4), ('bias', 0.0), ('spearman', 0.975)]
    """
    x, y, known = _numbers(y_true, y_pred)
    grouped = as_clusters(clusters, len(x))
    return _metrics(x[known], y[known], chosen(grouped, known), level, int((~known).sum()))


def regression_by_group(
    y_true: Any,
    y_pred: Any,
    groups: Any,
    *,
    group_names: Sequence[str] | None = None,
    clusters: Any = None,
    weights: Mapping[str, float] | None = None,
    minimum_n: int | None = None,
    validation: Subpopulations | Mapping[str, float] | None = None,
    worst_by: str = "mse",
    percentile: float = 10,
    level: float = 0.95,
) -> Subpopulations:
    """The metrics of each group, of the worst, and means over the groups.

    Parameters
    ----------
    y_true, y_pred, clusters, level
        As in `regression_metrics`.
    groups, group_names, weights, minimum_n, validation
        As in `subpopulation`; a mapping for `validation` holds values of `worst_by`.
    worst_by : str
        What the worst group is the worst in: the largest mse, rmse or mae, the bias farthest from
        0 is not offered, the smallest r2, pearson or spearman. Groups for which it cannot be told
        (one example) are left out and counted in ``parameters["groups_left_out"]``.
    percentile : float
        How far from the worse end: 10 is the 90th percentile of errors, the 10th of correlations.

    Notes
    -----
    The worst group's interval is, for an error, [max of lower bounds that hold for all groups at
    once (Bonferroni), max of upper bounds], and mirrored for a correlation: the upper bound of the
    truly worst group alone has to hold. As far as the groups' own intervals hold, it covers the
    worst true value with probability `level`.

    Examples
    --------
    >>> truth, places = [1.0, 2.0, 3.0, 1.0, 2.0, 3.0], ["a", "a", "a", "b", "b", "b"]
    >>> found = regression_by_group(truth, [1.1, 2.0, 2.8, 2.0, 2.0, 1.5], places)
    >>> found.worst.parameters["group"], round(found.worst.value, 3)
    ('b', 1.083)
    """
    if worst_by not in WORSE:
        raise ConfigurationError(
            f"worst_by is {worst_by!r}, but it is one of {', '.join(WORSE)}; "
            f"{near_names(worst_by, WORSE)}"
        )
    x, y, known = _numbers(y_true, y_pred)
    n = len(x)
    members = groups_of(groups, n, group_names)
    grouped = as_clusters(clusters, n)
    rows = {name: at[known[at]] for name, at in members.rows()}
    rows = {name: at for name, at in rows.items() if len(at)}
    overall = _metrics(x[known], y[known], chosen(grouped, known), level, int((~known).sum()))
    table = {
        name: _metrics(x[at], y[at], chosen(grouped, at), level, 0) for name, at in rows.items()
    }
    statistic, scale = METRICS[worst_by]
    told = [name for name in rows if not math.isnan(table[name][worst_by].value)]
    strict = {
        name: _estimate(
            statistic, scale, x[rows[name]], y[rows[name]], chosen(grouped, rows[name]),
            1 - (1 - level) / max(len(told), 1), {},
        )
        for name in told
    }  # fmt: skip

    def worst(names: list[str], extra: dict[str, Any]) -> Estimate:
        pointwise = {name: table[name][worst_by] for name in names}
        facts = {"groups_left_out": len(rows) - len(told), **extra}
        return _worst(pointwise, strict, WORSE[worst_by], level, facts)

    large = None
    if minimum_n is not None:
        enough = [name for name in told if len(rows[name]) >= minimum_n]
        large = worst(enough, {"minimum_n": minimum_n})

    def mean(of: dict[str, float]) -> Estimate:
        return _mean(of, rows, x, y, known, grouped, level, worst_by)

    weighted = None
    if weights is not None:
        if not set(weights) & set(members.names):
            hint = near_names(next(iter(weights), ""), members.names)
            raise ConfigurationError(f"weights name none of the groups; {hint}")
        weighted = mean({name: float(weights.get(name, 0.0)) for name in told})
    q = 100 - percentile if WORSE[worst_by] > 0 else percentile
    apart = members.disjoint() and _clusters_apart(list(rows.values()), grouped)
    return Subpopulations(
        groups=table,
        overall=overall,
        worst=worst(told, {}),
        worst_above_minimum_n=large,
        worst_chosen_on_validation=_chosen(table, validation, worst_by, level),
        group_mean=mean(dict.fromkeys(told, 1.0)),
        train_weighted=weighted,
        percentile=_percentile([table[name][worst_by] for name in told], q, level, apart),
        metric=worst_by,
        simultaneous={name: (e.low, e.high) for name, e in strict.items()},
    )


def _estimate(
    statistic: Callable[[Floats, Floats], Moved],
    scale: str,
    x: Floats,
    y: Floats,
    clusters: Clusters | None,
    level: float,
    parameters: dict[str, Any],
) -> Estimate:
    if not len(x):
        return Estimate(NAN, level=level, method="cannot tell: no examples", parameters=parameters)
    value, moved = statistic(x, y)
    found = linearised(value, moved, clusters, level, scale=scale, parameters=parameters)
    if math.isnan(value):
        found = replace(found, method="cannot tell: a side is constant", se=NAN)
    elif len(x) < 4 and scale == "Fisher z":
        found = replace(found, low=NAN, high=NAN, method="cannot tell: fewer than 4 examples")
    return found


def _metrics(
    x: Floats, y: Floats, clusters: Clusters | None, level: float, unknown: int
) -> dict[str, Estimate]:
    return {
        name: _estimate(statistic, scale, x, y, clusters, level, {"unknown": unknown})
        for name, (statistic, scale) in METRICS.items()
    }


def _numbers(y_true: Any, y_pred: Any) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    x = np.asarray(y_true, dtype=np.float64)
    y = np.asarray(y_pred, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ConfigurationError(
            f"y_true has the shape {x.shape} and y_pred {y.shape}; one number an example is needed"
        )
    for values, what, bad in (
        (y, "y_pred", ~np.isfinite(y)),
        (x, "y_true", np.isinf(x)),
    ):
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            raise ConfigurationError(
                f"{int(bad.sum())} of {len(values)} values of {what} are not finite (the first, at "
                f"position {at}, is {values[at]}); every prediction is a finite number"
            )
    return x, y, ~np.isnan(x)


def _worst(
    pointwise: dict[str, Estimate],
    strict: dict[str, Estimate],
    worse: int,
    level: float,
    parameters: dict[str, Any],
) -> Estimate:
    if not pointwise:
        method = "cannot tell: no group has enough examples"
        return Estimate(NAN, level=level, method=method, parameters=parameters)
    extreme = max(e.value * worse for e in pointwise.values()) * worse
    equal = [name for name, e in pointwise.items() if e.value == extreme]
    name = min(equal, key=lambda group: (-pointwise[group].n, group))
    worst = pointwise[name]
    # Towards the worse side each group's own bound; towards the better one, bounds for all.
    if worse > 0:
        low = [strict[group].low for group in pointwise]
        high = [e.high for e in pointwise.values()]
        bounds = float(np.nanmax([-math.inf, *low])), float(np.max(high))
    else:
        low = [e.low for e in pointwise.values()]
        high = [strict[group].high for group in pointwise]
        bounds = float(np.min(low)), float(np.nanmin([math.inf, *high]))
    bounds = tuple(b if math.isfinite(b) else NAN for b in bounds)  # type: ignore[assignment]
    nothing = any(math.isnan(b) for b in bounds)
    return Estimate(
        extreme,
        *bounds,
        level,
        "simultaneous, linearised" + ("; a group has no interval" if nothing else ""),
        n=worst.n,
        n_clusters=worst.n_clusters,
        parameters={"group": name, "groups": len(pointwise), **parameters},
    )


def _mean(
    weights: dict[str, float],
    rows: dict[str, Integers],
    x: Floats,
    y: Floats,
    known: NDArray[np.bool_],
    clusters: Clusters | None,
    level: float,
    metric: str,
) -> Estimate:
    """A weighted mean of the groups' values; an example of several groups moves all of them."""
    statistic, scale = METRICS[metric]
    n, total = int(known.sum()), sum(weights.values())
    parameters = {"groups": len(weights), "groups_left_out": len(rows) - len(weights)}
    if not total > 0:
        method = "cannot tell: no group has a value and a weight"
        return Estimate(NAN, level=level, method=method, n=n, parameters=parameters)
    value, moved = 0.0, np.zeros(len(x))
    for name, weight in weights.items():
        at = rows[name]
        found, influence = statistic(x[at], y[at])
        value += weight / total * found
        moved[at] += influence * (weight / total * n / len(at))
    return linearised(
        value, moved[known], chosen(clusters, known), level, scale=scale, parameters=parameters
    )


def _chosen(
    table: dict[str, dict[str, Estimate]],
    validation: Subpopulations | Mapping[str, float] | None,
    metric: str,
    level: float,
) -> Estimate | None:
    if validation is None:
        return None
    if isinstance(validation, Subpopulations):
        if validation.metric != metric:
            raise ConfigurationError(
                f"validation's worst group is the worst in {validation.metric}, not in {metric}; "
                "give the same worst_by to both"
            )
        name = validation.worst_name()
        if name is None:
            method = "cannot tell: no group has examples on validation"
            return Estimate(NAN, level=level, method=method)
    else:
        name = min(sorted(validation), key=lambda group: -WORSE[metric] * validation[group])
    parameters = {"group": name, "chosen_on": "validation"}
    if name not in table:
        method = f"cannot tell: no examples of the group {name!r}"
        return Estimate(NAN, level=level, method=method, parameters=parameters)
    return replace(table[name][metric], parameters=parameters)


def _clusters_apart(rows: list[Integers], clusters: Clusters | None) -> bool:
    if clusters is None:
        return True
    found = [np.unique(clusters.codes[at]) for at in rows]
    return sum(map(len, found)) == len(np.unique(np.concatenate(found))) if found else True


def _percentile(found: list[Estimate], q: float, level: float, apart: bool) -> Estimate:
    parameters = {"percentile": q, "groups": len(found)}
    n = sum(e.n for e in found)
    if not found or not apart:
        method = f"cannot tell: {'groups share examples or clusters' if found else 'no groups'}"
        value = float(np.percentile([e.value for e in found], q)) if found else NAN
        return Estimate(value, level=level, method=method, n=n, parameters=parameters)
    values = np.sort([e.value for e in found])
    half, k = (1 - level) / 2, len(values)
    lower = int(binom.ppf(half, k, q / 100))
    upper = int(binom.ppf(1 - half, k, q / 100)) + 1
    return Estimate(
        float(np.percentile(values, q)),
        float(values[lower - 1]) if lower > 0 else NAN,
        float(values[upper - 1]) if upper <= k else NAN,
        level,
        "order statistics of the groups",
        n=n,
        parameters=parameters,
    )
