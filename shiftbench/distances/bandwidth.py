"""The bandwidth of a Gaussian kernel: the median distance of a reference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftbench.distances.gram import squared_distances
from shiftbench.distances.samples import canonical_order, features_of
from shiftbench.errors import ConfigurationError
from shiftbench.statistics import Clusters, stream

__all__ = ["check_bandwidth", "median_bandwidth", "median_distance"]

Codes = NDArray[np.int64]

_MOST = 1_000  # examples: half a million distances give a median to about 1 part in 1000


def median_bandwidth(features: ArrayLike, clusters: Any = None, seed: int = 0) -> float:
    """The median of the distances between examples of different clusters.

    Fitted once on a benchmark's reference and given to every `mmd` and `characteristic`, it makes
    their values compare.

    Parameters
    ----------
    features : (n, d) array
    clusters : (n,) names, optional
        Distances inside a cluster are left out. By default each example is its own.
    seed : int
        Of more than 1,000 examples that many are drawn; the draw does not depend on their order.

    Returns
    -------
    float
        The median of the distances that are not 0, where the median of all is 0.

    Raises
    ------
    ConfigurationError
        Fewer than two clusters, or all distances are 0.

    References
    ----------
    Gretton et al., JMLR 13 (2012), section 8.

    Examples
    --------
    >>> median_bandwidth([[0.0], [1.0], [3.0]])
    2.0
    """
    x = features_of(features, "reference")
    codes = np.arange(len(x)) if clusters is None else Clusters.of(clusters).codes
    if len(codes) != len(x):
        raise ConfigurationError(
            f"the reference has {len(x)} examples and {len(codes)} clusters; give one an example"
        )
    order = canonical_order(x, codes)
    found, _ = median_distance(x[order], codes[order], seed)
    if found == 0:
        raise ConfigurationError(
            "all examples of the reference are the same (or of one cluster), so that they have no "
            "median distance; give a bandwidth"
        )
    return found


def median_distance(x: NDArray[np.float64], clusters: Codes, seed: int) -> tuple[float, str]:
    """The median distance, 0 where all are 0, of rows in an order of their own; and what it is."""
    if len(x) > _MOST:
        picked = stream(seed, "median of distances").choice(len(x), _MOST, replace=False)
        x, clusters = x[picked], clusters[picked]
    rows, columns = np.triu_indices(len(x), 1)
    found = np.sqrt(squared_distances(x)[rows, columns])
    if len(np.unique(clusters)) < len(clusters):
        found = found[clusters[rows] != clusters[columns]]
    some = found[found > 0]
    if not len(some):
        return 0.0, "no distances"
    middle = float(np.median(found))
    if middle > 0:
        return middle, "median distance of the source"
    return float(np.median(some)), "median of the source's distances that are not 0"


def check_bandwidth(bandwidth: object) -> float:
    """A bandwidth that a user gave.

    Raises
    ------
    ConfigurationError
        It is no positive number.

    Examples
    --------
    >>> check_bandwidth(2)
    2.0
    """
    good = isinstance(bandwidth, int | float | np.number) and not isinstance(bandwidth, bool)
    if not good or not 0 < float(bandwidth) < math.inf:  # type: ignore[arg-type]
        raise ConfigurationError(
            f"bandwidth is {bandwidth!r}; allowed: a positive number in the features' own unit, or "
            "None for the median distance of the source"
        )
    return float(bandwidth)  # type: ignore[arg-type]
