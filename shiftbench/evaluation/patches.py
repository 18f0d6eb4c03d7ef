"""From scores of patches to scores of what they were cut from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation._rank_bins import checked
from shiftbench.statistics import Clusters

__all__ = ["Aggregated", "aggregate"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
How = Literal["mean", "median", "max", "top_k"]

HOW: tuple[How, ...] = ("mean", "median", "max", "top_k")


@dataclass(frozen=True)
class Aggregated:
    """One score a cluster, in order of the clusters' first appearance.

    Attributes
    ----------
    first : (m,) int64 array
        The position of each cluster's first example: ``clusters[first]`` are the names.
    scores : (m,) array
    sizes : (m,) int64 array
        Examples in each cluster.
    """

    first: Codes
    scores: Floats
    sizes: Codes


def aggregate(scores: ArrayLike, clusters: Any, how: How = "mean", k: int = 3) -> Aggregated:
    """One score for each cluster of patches.

    Parameters
    ----------
    scores : (n,) array
    clusters : (n,) names
        What each patch was cut from: a radiograph, a slide, a patient.
    how : str
        ``mean``, ``median`` (of an even number: the mean of the middle two), ``max`` or ``top_k``
        (the mean of the k largest, or of all where there are fewer).
    k : int
        For ``top_k`` alone.

    Returns
    -------
    Aggregated
        The order of the patches changes no score, not even its last bit.

    Raises
    ------
    ConfigurationError
        A NaN score; +inf and −inf to be averaged; an unknown `how`.

    Examples
    --------
    >>> found = aggregate([1.0, 5.0, 3.0, 4.0], ["b", "a", "b", "b"], "median")
    >>> found.scores.tolist(), found.first.tolist(), found.sizes.tolist()
    ([3.0, 5.0], [0, 1], [3, 1])
    >>> aggregate([1.0, 5.0, 3.0, 4.0], ["b", "a", "b", "b"], "top_k", k=2).scores.tolist()
    [3.5, 5.0]
    """
    values = checked(scores, "scores")
    units = units_of(clusters, len(values), "clusters")
    check_how(how, k)
    sizes = units.sizes
    found = per_cluster(values, units.codes, sizes, how, k)
    return Aggregated(first_of(units), found, sizes)


def first_of(clusters: Clusters) -> Codes:
    """The position of each cluster's first example."""
    first = np.full(clusters.n_clusters, len(clusters.codes), np.int64)
    np.minimum.at(first, clusters.codes, np.arange(len(clusters.codes)))
    return first


def per_cluster(values: Floats, codes: Codes, sizes: Codes, how: How, k: int) -> Floats:
    """One score a cluster, each of which has an example.

    Sorted by score first, so that sums do not depend on the order of the examples.
    """
    ranked = values[np.lexsort((values, codes))]
    ends = np.cumsum(sizes)
    starts = ends - sizes
    with np.errstate(invalid="ignore", over="ignore"):
        if how == "max":
            found = ranked[ends - 1]
        elif how == "median":
            low, high = ranked[starts + (sizes - 1) // 2], ranked[starts + sizes // 2]
            found = np.where(low == high, low, low / 2 + high / 2)
        else:
            wanted = np.minimum(sizes, k) if how == "top_k" else sizes
            inside = np.arange(len(ranked)) >= np.repeat(ends - wanted, sizes)
            summed, begins = ranked[inside], np.cumsum(wanted) - wanted
            found = np.add.reduceat(summed, begins) / wanted
            # A sum of finite scores may be more than float64 holds; their mean never is.
            beyond = (
                ~np.isfinite(found) & np.isfinite(ranked[starts]) & np.isfinite(ranked[ends - 1])
            )
            if beyond.any():
                small = np.add.reduceat(summed * 2.0**-64, begins) / wanted * 2.0**64
                small = np.clip(small, ranked[starts], ranked[ends - 1])
                found = np.where(beyond, small, found)
    wrong = np.isnan(found)
    if wrong.any():
        raise ConfigurationError(
            f"{int(wrong.sum())} clusters have scores of +inf and of -inf, which have no {how}; "
            "use how='max', or give finite scores"
        )
    return np.asarray(found, np.float64)


def units_of(names: Any, n: int, what: str) -> Clusters:
    """The clusters of n scores."""
    found = Clusters.of(names)
    if len(found.codes) != n:
        raise ConfigurationError(f"{what}: {len(found.codes)} were given for {n} scores")
    return found


def holders(clusters: Clusters, units: Clusters, names: Any, side: str = "") -> Codes:
    """The unit that holds each cluster; `names` and `side` are for the message."""
    found = units.codes[first_of(clusters)]
    split = units.codes != found[clusters.codes]
    if split.any():
        name = np.asarray(names)[int(split.argmax())]
        raise ConfigurationError(
            f"the {side}{' ' if side else ''}cluster {str(name)!r} lies in two units; a unit holds "
            "whole clusters"
        )
    return found


def check_how(how: str, k: int) -> None:
    """Refuse an aggregation that there is not."""
    if how not in HOW:
        raise ConfigurationError(f"how is {how!r}; there are {', '.join(map(repr, HOW))}")
    if how == "top_k" and not (isinstance(k, int | np.integer) and k >= 1):
        raise ConfigurationError(f"k is {k!r}; the mean of the top k needs at least one score")
