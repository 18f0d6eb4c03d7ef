"""The gap between two splits: how much worse is the model out of distribution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation._labels import as_clusters, chosen
from shiftbench.statistics import Clusters, Estimate
from shiftbench.statistics.estimate import NAN, normal_interval
from shiftbench.statistics.linearised import mean_variance
from shiftbench.statistics.proportions import share

__all__ = ["gap"]

Floats = NDArray[np.float64]


def gap(id_values: Any, ood_values: Any, clusters: Any = None, level: float = 0.95) -> Estimate:
    """Mean on ID minus mean on OOD: of being right (the accuracy gap), or of any loss.

    Parameters
    ----------
    id_values, ood_values : (n_id,), (n_ood,) booleans or numbers
        One value an example: whether it was told right, its log loss, its hamming accuracy ...
    clusters : pair of names, `Clusters.pair`, or names of all n_id + n_ood examples, optional
        A name in both is one cluster: the two means are then dependent, and the interval knows.
    level : float
        Share of such intervals that hold the truth.

    Returns
    -------
    Estimate
        `n_id` and `n_ood`; ``parameters`` has both means and ``clusters_across``.

    Notes
    -----
    For zeros and ones the interval is Newcombe's: both Wilson intervals (with clusters, those of
    `share`), squared and added; with clusters across the splits, less twice their product times
    the correlation of the two means (Zou & Donner 2008). For other numbers it is Welch's, or the
    sums by cluster with Student's t.

    References
    ----------
    Newcombe 1998, Statistics in Medicine 17, 873–890, method 10. Zou & Donner 2008, Statistics in
    Medicine 27, 1693–1702. Welch 1947, Biometrika 34, 28–35.

    Examples
    --------
    >>> gap([1] * 90 + [0] * 10, [1] * 70 + [0] * 30)
    Estimate(0.2000 [0.0900, 0.3058], n=200, Newcombe)
    """
    x, y = _numbers(id_values, "id_values"), _numbers(ood_values, "ood_values")
    together = _together(clusters, len(x), len(y))
    n, k = len(x) + len(y), None if together is None else int(np.count_nonzero(together.sizes))
    facts: dict[str, Any] = {
        "level": level,
        "n": n,
        "n_clusters": k,
        "n_id": len(x),
        "n_ood": len(y),
    }
    if not len(x) or not len(y):
        return Estimate(NAN, method="cannot tell: no examples on one side", **facts)
    split = np.arange(n) < len(x)
    a = chosen(together, split)
    b = chosen(together, ~split)
    means = float(x.mean()), float(y.mean())
    value = means[0] - means[1]
    parameters: dict[str, Any] = {"id": means[0], "ood": means[1]}
    across = 0
    if together is not None and a is not None and b is not None:
        across = a.n_clusters + b.n_clusters - together.n_clusters
        parameters["clusters_across"] = across
    facts["parameters"] = parameters
    moved = np.concatenate([(x - means[0]) * (n / len(x)), (y - means[1]) * (-n / len(y))])
    if np.isin(x, (0, 1)).all() and np.isin(y, (0, 1)).all():
        one, two = share(x, a, level), share(y, b, level)
        r = _correlation(moved, split, together) if across else 0.0
        low = value - _added(one.value - one.low, two.high - two.value, r)
        high = value + _added(one.high - one.value, two.value - two.low, r)
        if math.isnan(low):
            return Estimate(value, method="cannot tell: one cluster", **facts)
        method = "Newcombe" if together is None else "clustered Newcombe"
        # With all of a side right its own standard error is not to be told; the interval is.
        se = math.sqrt(max(one.se**2 + two.se**2 - 2 * r * one.se * two.se, 0.0))
        return Estimate(value, max(low, -1.0), min(high, 1.0), method=method, se=se, **facts)
    se, df = _error(x, y, moved, a, b, together if across else None)
    if math.isnan(se):
        return Estimate(value, method="cannot tell: one example or cluster", **facts)
    low, high = normal_interval(value, se, level, df)
    method = "Welch" if together is None else "clustered Welch"
    return Estimate(value, low, high, method=method, se=se, **facts)


def _numbers(values: Any, what: str) -> Floats:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1:
        raise ConfigurationError(f"{what} has the shape {x.shape}; one value an example is needed")
    bad = ~np.isfinite(x)
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise ConfigurationError(
            f"{int(bad.sum())} of {len(x)} values of {what} are not finite (the first, at position "
            f"{at}, is {x[at]}); leave unknown examples out"
        )
    return x


def _together(clusters: Any, n_id: int, n_ood: int) -> Clusters | None:
    if clusters is None:
        return None
    if isinstance(clusters, tuple) and len(clusters) == 2 and n_id + n_ood != 2:
        a, b = clusters
        if isinstance(a, Clusters) and isinstance(b, Clusters):
            # Numbers of `Clusters.pair` are common to both.
            width = max(a.n_clusters, b.n_clusters)
            return as_clusters(Clusters(np.concatenate([a.codes, b.codes]), width), n_id + n_ood)
        if len(a) != n_id or len(b) != n_ood:
            raise ConfigurationError(
                f"there are {len(a)} and {len(b)} clusters' names for {n_id} and {n_ood} examples; "
                "give one each"
            )
        one, two = Clusters.pair(a, b)
        return Clusters(np.concatenate([one.codes, two.codes]), one.n_clusters)
    return as_clusters(clusters, n_id + n_ood)


def _correlation(moved: Floats, split: NDArray[np.bool_], clusters: Clusters | None) -> float:
    """Of the two means, from the sums of their clusters; moved has OOD's sign turned."""
    assert clusters is not None
    one = clusters.sums(np.where(split, moved, 0.0))
    two = -clusters.sums(np.where(split, 0.0, moved))
    scale = math.sqrt(float(one @ one) * float(two @ two))
    return min(max(float(one @ two) / scale, -1.0), 1.0) if scale > 0 else 0.0


def _added(a: float, b: float, r: float) -> float:
    return math.sqrt(max(a * a + b * b - 2 * r * a * b, 0.0))


def _error(
    x: Floats,
    y: Floats,
    moved: Floats,
    a: Clusters | None,
    b: Clusters | None,
    together: Clusters | None,
) -> tuple[float, float]:
    """The standard error of a difference of means, and its degrees of freedom."""
    if together is not None:
        variance, df = (float(found) for found in mean_variance(moved, together))
        return math.sqrt(variance) if df > 0 else NAN, df
    sides = [mean_variance(v - v.mean(), c) for v, c in ((x, a), (y, b))]
    parts, dfs = [float(s[0]) for s in sides], [float(s[1]) for s in sides]
    if min(dfs) <= 0 or sum(parts) == 0:
        return NAN, 0.0
    df = sum(parts) ** 2 / sum(v * v / d for v, d in zip(parts, dfs, strict=True))
    return math.sqrt(sum(parts)), df
