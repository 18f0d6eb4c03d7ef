"""Cross-fitted regressions on a fixed basis: penalties chosen by their error on held-out folds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.basis import Basis

__all__ = ["CrossFit", "crossfit_logistic", "crossfit_ridge"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

LINEAR = (1e-4, 1e-2, 1.0)
KERNEL = (1e-4, 1e-3, 1e-2, 1e-1, 1e6)
"""Penalties of a squared coefficient beside the mean loss; the last leaves the kernel out."""
_GRID = tuple(product(LINEAR, KERNEL))
_STEPS = 12
_FARTHEST = 5.0  # a Newton step moves no logit by more


@dataclass(frozen=True)
class CrossFit:
    """Predictions for each row from models that were fitted without the row's fold.

    Attributes
    ----------
    values : (n,) or (n, k) float64 array
    penalties : tuple of (float, float)
        Of the linear and of the kernel part, one a column.
    df : (k,) float64 array
        Effective parameters of each column's model, the trace of its hat matrix.
    """

    values: Floats
    penalties: tuple[tuple[float, float], ...]
    df: Floats


def crossfit_ridge(
    basis: Basis,
    y: Floats,
    weights: Floats,
    fold: Codes,
    used: NDArray[np.bool_] | None = None,
) -> CrossFit:
    """Weighted ridge regressions of one or several responses.

    The penalties, one pair a response, are those with the least squared error on held-out folds.
    That choice sees all of the responses; what is fitted never sees those of its own fold.

    Parameters
    ----------
    basis : Basis
    y : (n,) or (n, k) float64 array
    weights : (n,) float64 array
    fold : (n,) int64 array
        From 0.
    used : (n,) bool array, optional
        Rows to fit on; all get predictions.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 40)[:, None]
    >>> found = crossfit_ridge(Basis(x, np.ones((40, 1)), 1.0), 3 * x[:, 0], np.ones(40),
    ...                        np.arange(40) % 5)
    >>> bool(np.abs(found.values - 3 * x[:, 0]).max() < 0.01)
    True
    """
    x, penalties = _design(basis)
    table = y.reshape(len(y), -1)
    fitted = np.ones(len(x), dtype=bool) if used is None else used
    found = np.empty((len(penalties), *table.shape))
    for k in range(int(fold.max()) + 1):
        inside, outside = (fold != k) & fitted, fold == k
        w = weights[inside] / weights[inside].sum()
        middle = w @ table[inside]
        a = x[inside]
        weighed = (a * w[:, None]).T
        gram, right = weighed @ a, weighed @ (table[inside] - middle)
        for i, penalty in enumerate(penalties):
            coefficients = np.linalg.solve(gram + np.diag(penalty), right)
            found[i, outside] = middle + x[outside] @ coefficients
    error = np.einsum("i,pik->pk", np.where(fitted, weights, 0.0), (found - table) ** 2)
    best = error.argmin(axis=0)
    values = found[best, :, np.arange(table.shape[1])].T
    own = np.where(fitted, weights, 0.0)
    df = {b: _parameters(x, own, penalties[b]) for b in set(best.tolist())}
    return CrossFit(
        values.reshape(y.shape),
        tuple(_GRID[b] for b in best),
        np.array([df[b] for b in best.tolist()]),
    )


def crossfit_logistic(basis: Basis, y: Floats, weights: Floats, fold: Codes) -> CrossFit:
    """A weighted logistic regression; the penalties are those with the least held-out deviance.

    Parameters
    ----------
    basis : Basis
    y : (n,) float64 array of 0 and 1
        Both occur outside every fold.
    weights : (n,) float64 array
    fold : (n,) int64 array
        From 0.

    Returns
    -------
    CrossFit
        Probabilities of 1.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 40)[:, None]
    >>> found = crossfit_logistic(Basis(x, np.ones((40, 1)), 1.0), (x[:, 0] > 0) * 1.0,
    ...                           np.ones(40), np.arange(40) % 5)
    >>> bool(found.values[0] < 0.1 and found.values[-1] > 0.9)
    True
    """
    x, penalties = _design(basis)
    logits = np.empty((len(penalties), len(x)))
    for k in range(int(fold.max()) + 1):
        inside, outside = fold != k, fold == k
        w = weights[inside] / weights[inside].sum()
        logits[:, outside] = _newton(x[inside], y[inside], w, penalties) @ x[outside].T
    deviance = (np.logaddexp(0, logits) - y * logits) @ weights
    best = int(deviance.argmin())
    p = _expit(logits[best])
    df = _parameters(x, weights * p * (1 - p), penalties[best], float(weights.sum()))
    return CrossFit(p, (_GRID[best],), np.array([df]))


def _design(basis: Basis) -> tuple[Floats, Floats]:
    """The features with a column of ones, and for each pair of the grid their penalties."""
    p, q = basis.linear.shape[1], basis.kernel.shape[1]
    features = np.column_stack([np.ones(len(basis.kernel)), basis.linear, basis.kernel])
    penalties = np.array([[1e-9] + [a] * p + [b] * q for a, b in _GRID])
    return features, penalties


def _parameters(x: Floats, curve: Floats, penalty: Floats, total: float | None = None) -> float:
    gram = (x * (curve / (total or curve.sum()))[:, None]).T @ x
    return float(np.trace(np.linalg.solve(gram + np.diag(penalty), gram)))


def _newton(x: Floats, y: Floats, w: Floats, penalties: Floats) -> Floats:
    """Coefficients of a logistic regression, one row for each row of penalties."""
    coefficients = np.zeros((len(penalties), x.shape[1]))
    rate = float(np.clip(w @ y, 1e-6, 1 - 1e-6))
    coefficients[:, 0] = np.log(rate / (1 - rate))
    hessian = np.empty((len(penalties), x.shape[1], x.shape[1]))
    for _ in range(_STEPS):
        p = _expit(coefficients @ x.T)
        slope = (w * (p - y)) @ x + penalties * coefficients
        curve = w * np.maximum(p * (1 - p), 1e-6)
        for h, c, penalty in zip(hessian, curve, penalties, strict=True):
            np.matmul((x * c[:, None]).T, x, out=h)
            h[np.diag_indices_from(h)] += penalty
        step = np.linalg.solve(hessian, slope[:, :, None])[:, :, 0]
        moved = np.abs(step @ x.T).max(axis=1)
        coefficients -= step * np.minimum(1.0, _FARTHEST / np.maximum(moved, 1e-12))[:, None]
        if moved.max() < 1e-3:
            break
    return coefficients


def _expit(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))))
