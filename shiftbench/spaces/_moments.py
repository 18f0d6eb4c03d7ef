"""Moments of the reference that do not depend on the order of its rows, not even in rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError

__all__ = ["mean_and_variance"]


def mean_and_variance(
    values: NDArray[Any],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Population mean and variance of each column; the variance of a constant one is exactly 0.

    Raises
    ------
    ConfigurationError
        There are no rows.
    """
    if not len(values):
        raise ConfigurationError("the reference has no examples; a space is fitted on at least one")
    mean = np.empty(values.shape[1])
    variance = np.empty(values.shape[1])
    for j in range(values.shape[1]):
        column = np.sort(values[:, j].astype(np.float64))
        constant = column[0] == column[-1]
        mean[j] = column[0] if constant else column.mean()
        variance[j] = 0.0 if constant else ((column - mean[j]) ** 2).mean()
    return mean, variance
