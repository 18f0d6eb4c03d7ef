"""The points of a curve, the families that are fitted to them, and what leaving out tells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation import _monotone
from shiftbench.evaluation._fits import AXES, Axis, column, unit
from shiftbench.statistics import Clusters, stream

__all__ = ["FEWEST", "Model", "Points", "folds_of", "forward", "left_out", "models_of", "too_few"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FEWEST = {"line": 4, "probit_line": 4, "quadratic": 5, "monotone": 10}
"""Points that each family needs."""

_FOLDS, _REPEATS = 10, 5


@dataclass(frozen=True)
class Points:
    """What is left after missing values are out."""

    x: Floats
    y: Floats
    x_se: Floats | None
    y_se: Floats | None
    clusters: Clusters
    clustered: bool
    n_missing: int
    n_at_ends: int

    @classmethod
    def of(cls, x: Any, y: Any, clusters: Any, x_se: Any, y_se: Any, axis: Axis) -> Points:
        x = column("x", x)
        n = len(x)
        y = column("y", y, n)
        errors = [None if e is None else _errors(w, e, n) for w, e in (("x", x_se), ("y", y_se))]
        for name, values in (("x", x), ("y", y)):
            if np.isinf(values).any():
                at = int(np.flatnonzero(np.isinf(values))[0])
                raise ConfigurationError(
                    f"{name} is infinite at position {at}; a curve needs finite values "
                    "(nan for a missing one)"
                )
        keep = ~(np.isnan(x) | np.isnan(y))
        for given in errors:
            if given is not None:
                keep &= ~np.isnan(given)
        n_missing = n - int(keep.sum())
        n_at_ends = 0
        if axis.bounded:
            for name, values in (("x", x), ("y", y)):
                _fractions(name, values[keep], axis)
            inside = axis.has(x) & axis.has(y)
            n_at_ends = int((keep & ~inside).sum())
            keep &= inside
        kept, clustered = unit(n, clusters, keep)
        x_errors, y_errors = (None if e is None else e[keep] for e in errors)
        return cls(x[keep], y[keep], x_errors, y_errors, kept, clustered, n_missing, n_at_ends)


def _errors(name: str, given: Any, n: int) -> Floats:
    array = np.asarray(given, dtype=np.float64)
    array = np.full(n, float(array)) if array.ndim == 0 else column(f"{name}_se", array, n)
    if (array < 0).any() or np.isinf(array).any():
        raise ConfigurationError(f"{name}_se has a negative or infinite standard error")
    return array


def _fractions(name: str, values: Floats, axis: Axis) -> None:
    if len(values) and not (values.min() >= 0 and values.max() <= 1):
        raise ConfigurationError(
            f"{name} lies between {values.min():g} and {values.max():g}, but {axis.name} axes are "
            "for fractions between 0 and 1; divide percent by 100, or use axes='raw'"
        )


def forward(axis: Axis, values: Floats) -> Floats:
    """On the axis; its ends are held at 8, where the way back is 0 or 1 to 15 digits."""
    if not axis.bounded:
        return values
    far = 8.0 if axis.name == "probit" else 36.0
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.clip(axis.forward(values), -far, far), dtype=np.float64)


@dataclass(frozen=True)
class Model:
    """A family of curves over the points: what is solved for, and how it comes back."""

    name: str
    axis: Axis
    design: Floats
    target: Floats
    usable: Bools
    convert: Any
    knots: tuple[float, ...] = ()
    reason: str = ""

    def solve(self, rows: Bools) -> Floats:
        rows = rows & self.usable
        if self.knots:
            return _monotone.fit(self.design[rows], self.target[rows])
        found = np.linalg.lstsq(self.design[rows], self.target[rows], rcond=None)[0]
        return np.asarray(found, dtype=np.float64)

    def predictions(self, beta: Floats) -> Floats:
        return np.asarray(self.axis.backward(self.design @ beta), dtype=np.float64)


def models_of(points: Points, axis: Axis) -> list[Model]:
    """All families, fitted to the points, or with the reason why one cannot be."""
    probit = AXES["probit"]
    found = [_polynomial("line", points, axis, 1)]
    outside = [
        f"{name} is not between 0 and 1"
        for name, v in (("x", points.x), ("y", points.y))
        if len(v) and not (v.min() >= 0 and v.max() <= 1)
    ]
    found.append(_polynomial("probit_line", points, probit, 1, "; ".join(outside)))
    found.append(_polynomial("quadratic", points, axis, 2))
    found.append(_spline(points, axis))
    return found


def _polynomial(name: str, points: Points, axis: Axis, degree: int, reason: str = "") -> Model:
    nothing = np.zeros((len(points.x), degree + 1))
    reason = reason or too_few(name, points, degree + 1)
    if reason:
        every = np.ones(len(points.x), dtype=np.bool_)
        return Model(name, axis, nothing, points.y, every, None, (), reason)
    usable = axis.has(points.x) & axis.has(points.y)
    u, v = forward(axis, points.x), forward(axis, points.y)
    if len(np.unique(u[usable])) <= degree or usable.sum() < FEWEST[name]:
        reason = f"{int(usable.sum())} points strictly between 0 and 1 are too few"
    middle, spread = u[usable].mean(), u[usable].std() or 1.0
    design = np.vander((u - middle) / spread, degree + 1, increasing=True)

    def convert(beta: Floats) -> dict[str, float]:
        line = np.polynomial.Polynomial([-middle / spread, 1 / spread])
        raw = np.zeros(degree + 1)
        powers = np.polynomial.Polynomial(beta)(line).coef
        raw[: len(powers)] = powers
        return dict(zip(("intercept", "slope", "square"), map(float, raw), strict=False))

    return Model(name, axis, design, v, usable, convert, (), reason)


def _spline(points: Points, axis: Axis) -> Model:
    every = np.ones(len(points.x), dtype=np.bool_)
    reason = too_few("monotone", points, 6)
    if reason:
        nothing = np.zeros((len(points.x), 1))
        return Model("monotone", axis, nothing, points.y, every, None, (), reason)
    u, v = forward(axis, points.x), forward(axis, points.y)
    at = _monotone.knots(u)

    def convert(beta: Floats) -> dict[str, float]:
        return {f"height_{i}": float(h) for i, h in enumerate(np.cumsum(beta))}

    return Model("monotone", axis, _monotone.basis(u, at), v, every, convert, tuple(map(float, at)))


def too_few(name: str, points: Points, distinct: int) -> str:
    """Why a family cannot be fitted to so few points; empty where it can."""
    n, values = len(points.x), len(np.unique(points.x))
    if n < FEWEST[name]:
        return f"{n} points, it needs {FEWEST[name]}"
    if values < distinct:
        return f"{values} different x, it needs {distinct}"
    return ""


def folds_of(clusters: Clusters, seed: int) -> NDArray[np.int64]:
    """(repeats, n): the fold in which a point is left out."""
    g = clusters.n_clusters
    if g <= _FOLDS:
        return clusters.codes[None, :]
    rng = stream(seed, "curve folds")
    dealt = np.stack([rng.permutation(g) % _FOLDS for _ in range(_REPEATS)])
    return np.asarray(dealt[:, clusters.codes], dtype=np.int64)


def left_out(model: Model, points: Points, folds: NDArray[np.int64]) -> Floats:
    """Squared raw error of each point when its cluster was left out, the mean of the repeats."""
    total = np.zeros(len(points.x))
    if model.reason or points.clusters.n_clusters < 2:
        return np.full(len(points.x), math.nan)
    for fold in folds:
        for k in range(int(fold.max()) + 1):
            out = fold == k
            if (~out & model.usable).sum() < model.design.shape[1]:
                return np.full(len(points.x), math.nan)
            guess = model.predictions(model.solve(~out))[out]
            total[out] += (points.y[out] - guess) ** 2
    return total / len(folds)
