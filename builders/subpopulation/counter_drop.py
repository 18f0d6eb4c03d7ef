"""Accuracies in the common and the counter contexts, and the class-balanced drop between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shiftbench.statistics import Clusters, Estimate
from shiftbench.statistics.linearised import Parts, linearised, ratio_influence
from shiftbench.statistics.proportions import share

__all__ = ["accuracy_of", "balanced_drop"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]


def accuracy_of(right: Codes, clusters: Codes) -> Estimate:
    """Share of examples that are right, with an interval that honours clusters."""
    return share(right == 1, Clusters.of(clusters))


def balanced_drop(label: Codes, counter: NDArray[np.bool_], right: Codes, units: Codes) -> Estimate:
    """Mean over classes of (accuracy in the common − accuracy in the counter context).

    Parameters
    ----------
    label : (n,) int64 array
        Classes from 0, each of them in both contexts.
    counter : (n,) bool array
        In the counter context; otherwise in the common one.
    right : (n,) int64 array
        1 or 0.
    units : (n,) int64 array
        Clusters; one may have examples of several classes and of both contexts.

    Returns
    -------
    Estimate
        From −1 to 1, its interval linearised by cluster on Fisher's z scale.

    References
    ----------
    The measure: Wang et al. 2024, "A Sober Look at the Robustness of CLIPs to Spurious Features"
    (CounterAnimal).

    Examples
    --------
    >>> label = np.repeat([0, 0, 1, 1], 20)
    >>> counter = np.tile(np.repeat([False, True], 20), 2)
    >>> right = ((np.arange(80) % 5 > 0) & ~counter | (np.arange(80) % 2 > 0)).astype(int)
    >>> balanced_drop(label, counter, right, np.arange(80))
    Estimate(0.4000 [0.1956, 0.5711], n=80, clustered linearised, Fisher z, t)
    """
    n = len(label)
    value, influence = 0.0, np.zeros(n)
    clusters = Clusters.of(units)
    for sign, rows in ((1.0, np.flatnonzero(~counter)), (-1.0, np.flatnonzero(counter))):
        classes, part = np.unique(label[rows], return_inverse=True)
        top = right[rows].astype(np.float64)
        parts = Parts(rows, part, top, np.ones(len(rows)), n, len(classes))
        weights = np.full(len(classes), 1 / len(classes))
        mixed, scale = ratio_influence(parts.ratios, parts.bottoms, parts.units(clusters), weights)
        value += sign * float(parts.ratios.mean())
        influence[rows] += sign * n * scale[part] * (top - mixed[part])
    return linearised(value, influence, clusters, scale="Fisher z")
