"""Cross-fitted regressions on a fixed basis: penalties chosen by their error on held-out folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.basis import Basis

__all__ = ["CrossFit", "crossfit_logistic", "crossfit_ridge"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

LINEAR = (1e-4, 1e-2, 1.0)
KERNEL = (1e-4, 1e-3, 1e-2, 1e-1, 1e6)
"""Penalties of the mean loss a squared coefficient; the last leaves the kernel's part out."""
_STEPS = 12


@dataclass(frozen=True)
class CrossFit:
    """Predictions for rows from models that were fitted without the rows' folds.

    Attributes
    ----------
    values : (n,) or (n, k) float64 array
    penalties : tuple of (float, float)
        Of the linear and of the kernel part, one a column.
    """

    values: Floats
    penalties: tuple[tuple[float, float], ...]


def _design(basis: Basis) -> tuple[Floats, Floats]:
    """Features with a column of ones, and each of the grid's penalties for them."""
    n = len(basis.kernel)
    features = np.column_stack([np.ones(n), basis.linear, basis.kernel])
    p, q = basis.linear.shape[1], basis.kernel.shape[1]
    grid = [[0.0] + [a] * p + [b] * q for b in KERNEL for a in LINEAR]
    return features, np.array(grid) + 1e-9


def _grid() -> list[tuple[float, float]]:
    return [(a, b) for b in KERNEL for a in LINEAR]


def crossfit_ridge(basis, y, weights, fold, used=None):
    x, penalties = _design(basis)
    used = np.ones(len(x), bool) if used is None else used
    table = y.reshape(len(y), -1)
    found = np.empty((len(penalties), len(x), table.shape[1]))
    for k in range(int(fold.max()) + 1):
        fit, out = (fold != k) & used, fold == k
        w = weights[fit] / weights[fit].sum()
        a = x[fit]
        m = w @ table[fit]
        gram, right = (a * w[:, None]).T @ a, (a * w[:, None]).T @ (table[fit] - m)
        for i, penalty in enumerate(penalties):
            g = gram.copy()
            g[np.diag_indices_from(g)] += penalty
            found[i, out] = m + x[out] @ np.linalg.solve(g, right)
    error = np.einsum("i,pik->pk", np.where(used, weights, 0), (found - table) ** 2)
    best = error.argmin(axis=0)
    values = np.take_along_axis(found, best[None, None, :], axis=0)[0]
    return CrossFit(values.reshape(y.shape), tuple(_grid()[b] for b in best))


def crossfit_logistic(basis, y, weights, fold):
    x, penalties = _design(basis)
    logits = np.empty((len(penalties), len(x)))
    for k in range(int(fold.max()) + 1):
        fit, out = fold != k, fold == k
        w = weights[fit] / weights[fit].sum()
        b = _newton(x[fit], y[fit], w, penalties)
        logits[:, out] = b @ x[out].T
    deviance = (np.logaddexp(0, logits) - y * logits) @ weights
    best = int(deviance.argmin())
    return CrossFit(1 / (1 + np.exp(-logits[best])), (_grid()[best],))


def _newton(x, y, w, penalties):
    b = np.zeros((len(penalties), x.shape[1]))
    mean = w @ y
    b[:, 0] = np.log(mean / (1 - mean))
    for _ in range(_STEPS):
        eta = np.clip(b @ x.T, -30, 30)
        p = 1 / (1 + np.exp(-eta))
        slope = (w * (p - y)) @ x + penalties * b
        curve = w * np.maximum(p * (1 - p), 1e-6)
        hessian = np.empty((len(penalties), x.shape[1], x.shape[1]))
        for i, c in enumerate(curve):
            hessian[i] = (x * c[:, None]).T @ x
            hessian[i][np.diag_indices(x.shape[1])] += penalties[i]
        step = np.linalg.solve(hessian, slope[:, :, None])[:, :, 0]
        b = b - step * np.minimum(1, 5 / np.maximum(np.abs(step @ x.T).max(1), 1e-12))[:, None]
        if np.abs(step @ x.T).max() < 1e-3: break
    return b
