"""Errors of a reference model, for the decomposition of a drop in accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.statistics import priorities

__all__ = ["reference_losses"]

FOLDS = 5


def reference_losses(
    pair: Any, sampled: tuple[Any, ...], features: tuple[Any, ...], seed: int
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

    tables = [r.table for r in sampled]
    for table, split in zip(tables, (pair.source, pair.target), strict=True):
        column = table["label"] if "label" in table.column_names else None
        if column is None or column.null_count or not str(column.type).endswith("string"):
            raise ConfigurationError(
                f"the split {split!r} has examples without one class, and the reference model of "
                "this decomposition needs one an example"
            )
    y, y_target = (np.array(t["label"].to_pylist()) for t in tables)
    if len(np.unique(y)) < 2:
        raise ConfigurationError(f"the split {pair.source!r} has one class only")
    names, codes = np.unique(tables[0]["cluster_id"].to_pylist(), return_inverse=True)
    order = np.argsort(np.argsort(priorities(seed, "folds of the reference model", names.tolist())))
    fold = (order % FOLDS)[codes]
    model = LogisticRegression(max_iter=1000)
    errors = np.empty(len(y))
    for k in range(FOLDS):
        inside = fold == k
        if len(np.unique(y[~inside])) < 2:
            raise ConfigurationError(
                f"the split {pair.source!r} has too few clusters of its second class"
            )
        if inside.any():
            fitted = model.fit(features[0][~inside], y[~inside])
            errors[inside] = fitted.predict(features[0][inside]) != y[inside]
    model.fit(features[0], y)
    return errors, (model.predict(features[1]) != y_target).astype(np.float64)
