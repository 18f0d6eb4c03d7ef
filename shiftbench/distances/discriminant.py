"""Cross-fitted log loss of telling two samples apart, both weighing the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FOLDS", "Fit", "coin_weights", "crossfit"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

FOLDS = 5
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 1e6)
"""Of the mean loss, a squared coefficient of a standardised feature; the last leaves all out."""
_STEPS = 15
_LIMIT = 30.0


@dataclass(frozen=True)
class Fit:
    """Log odds of the target, for each fold's model on all rows.

    Attributes
    ----------
    logits : (n_folds, n) array
        Row k is of the model that was fitted without fold k.
    fold : (n,) int64 array
    penalties : tuple of float
        One a fold.
    """

    logits: Floats
    fold: Codes
    penalties: tuple[float, ...] = ()

    def loss(self, is_source: NDArray[np.bool_]) -> Floats:
        """Bits each row's side costs under the model that was fitted without the row, (n,)."""
        held_out = self.logits[self.fold, np.arange(len(self.fold))]
        return np.asarray(np.logaddexp(0.0, np.where(is_source, held_out, -held_out)) / np.log(2))


def coin_weights(is_source: NDArray[np.bool_]) -> Floats:
    """Weights with which each side has half of the mass.

    Examples
    --------
    >>> coin_weights(np.array([True, False, False])).tolist()
    [0.5, 0.25, 0.25]
    """
    n = int(is_source.sum())
    return np.where(is_source, 0.5 / max(n, 1), 0.5 / max(len(is_source) - n, 1))


def crossfit(
    features: Floats, is_source: NDArray[np.bool_], fold: Codes, offset: Floats | None = None
) -> Fit:
    """A ridge-penalised logistic regression of the side, without each fold.

    A fold's penalty is the one with the least held-out loss in the other folds, so that the fold's
    own sides do not choose it.

    Parameters
    ----------
    features : (n, p) array
    is_source : (n,) bool array
    fold : (n,) int64 array
        Every set of folds but one has rows of both sides.
    offset : (n_folds, n) array, optional
        Log odds to start from: with all coefficients 0 they are the result.

    Examples
    --------
    >>> x = np.linspace(-3, 3, 40)[:, None]
    >>> loss = crossfit(x, x[:, 0] < 0, np.arange(40) % 5).loss(x[:, 0] < 0)
    >>> bool(loss.mean() < 0.3)
    True
    """
    n_folds = int(fold.max()) + 1
    start = np.zeros((n_folds, len(fold))) if offset is None else offset
    scale = features.std(axis=0)
    used = scale > 1e-10
    z = (features[:, used] - features[:, used].mean(axis=0)) / scale[used]
    x = np.column_stack([np.ones(len(z)), z])
    target = (~is_source).astype(np.float64)
    every = np.empty((n_folds, len(PENALTIES), len(fold)))
    for k in range(n_folds):
        fit = fold != k
        weights = coin_weights(is_source[fit])
        b = np.zeros(x.shape[1])
        # From the strongest penalty on, each solution is where the next one starts.
        for i in reversed(range(len(PENALTIES))):
            b = _newton(x[fit], target[fit], weights, start[k, fit], PENALTIES[i], b)
            every[k, i] = start[k] + x @ b
    own = every[fold, :, np.arange(len(fold))]
    loss = np.logaddexp(0.0, np.where(is_source[:, None], own, -own))
    weighted = coin_weights(is_source)[:, None] * loss
    by_fold = np.array([weighted[fold == k].sum(axis=0) for k in range(n_folds)])
    best = (by_fold.sum(axis=0) - by_fold).argmin(axis=1)
    return Fit(every[np.arange(n_folds), best], fold, tuple(PENALTIES[i] for i in best.tolist()))


def _newton(
    x: Floats, target: Floats, weights: Floats, offset: Floats, penalty: float, b: Floats
) -> Floats:
    pull = np.full(x.shape[1], penalty)
    # The constant is free, but not endlessly so: an offset of a fold may already separate it.
    pull[0] = min(penalty, 1e-3) if penalty < PENALTIES[-1] else penalty
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(offset + x @ b, -_LIMIT, _LIMIT)))
        slope = x.T @ (weights * (p - target)) + pull * b
        curve = (x * np.maximum(weights * p * (1 - p), 1e-12)[:, None]).T @ x
        curve[np.diag_indices_from(curve)] += pull
        step = np.linalg.solve(curve, slope)
        b = b - step * min(1.0, 5.0 / max(float(np.abs(x @ step).max()), 1e-12))
        if float(np.abs(x @ step).max()) < 1e-4:
            break
    return b
