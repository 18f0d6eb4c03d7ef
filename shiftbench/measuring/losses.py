"""Errors of a reference model, for the decomposition of a drop in accuracy."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.measuring.sides import Side
from shiftbench.statistics import priorities

__all__ = ["reference_losses"]

FOLDS = 5


def reference_losses(
    source: Side, target: Side, names: tuple[str, str], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Errors (0 or 1) of a logistic regression on the space's features.

    It is fitted on the source: for the source's own errors on the clusters of the other folds, for
    the target's on all.

    Raises
    ------
    ConfigurationError
        The task has no classes, or the source has one only.
    """
    from sklearn.linear_model import LogisticRegression

    for side, split in zip((source, target), names, strict=True):
        table = side.rows.table
        column = table["label"] if "label" in table.column_names else None
        if column is None or column.null_count or not pa.types.is_string(column.type):
            raise ConfigurationError(
                f"the split {split!r} has examples without one class, and the reference model of "
                "this decomposition needs one an example"
            )
    y, y_target = np.array(source.labels), np.array(target.labels)
    x, x_target = source.features, target.features
    assert x is not None
    assert x_target is not None
    if len(np.unique(y)) < 2:
        raise ConfigurationError(f"the split {names[0]!r} has one class only")
    units, codes = np.unique(source.clusters, return_inverse=True)
    order = np.argsort(np.argsort(priorities(seed, "folds of the reference model", units.tolist())))
    fold = (order % FOLDS)[codes]
    model = LogisticRegression(max_iter=1000)
    errors = np.empty(len(y))
    for k in range(FOLDS):
        inside = fold == k
        if len(np.unique(y[~inside])) < 2:
            raise ConfigurationError(
                f"the split {names[0]!r} has too few clusters of its second class"
            )
        if inside.any():
            fitted = model.fit(x[~inside], y[~inside])
            errors[inside] = fitted.predict(x[inside]) != y[inside]
    model.fit(x, y)
    return errors, (model.predict(x_target) != y_target).astype(np.float64)
