"""Accuracy against a distance, a share, a dose, an epoch or another accuracy: which curve it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline

from shiftbench.evaluation import _monotone
from shiftbench.evaluation._families import (
    Model,
    Points,
    folds_of,
    forward,
    left_out,
    models_of,
)
from shiftbench.evaluation._fits import (
    AXES,
    FEWEST_FOR_P,
    axis_named,
    told,
)
from shiftbench.evaluation._shape import corrected_of, shape_of, york_of
from shiftbench.statistics import Estimate
from shiftbench.statistics.estimate import critical

__all__ = ["Curve", "Fit", "curve"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Fit:
    """One curve through the points.

    Attributes
    ----------
    name : str
        ``line``, ``probit_line``, ``quadratic`` or ``monotone``.
    axes : str
        The scale it is a line, a parabola or a spline on; residuals are squared there.
    coefficients : mapping of str to float
        Of the polynomial on its axes; for the spline the value ("height") of each B-spline.
    knots : tuple of float
        The spline's, on its axes, those at the ends repeated.
    r2 : float
        On the raw scale of y, whatever the axes, so that fits compare.
    r2_axes : float
        On its own axes.
    residual_sd : float
        On the raw scale of y: √(sum of squares / (n − coefficients)).
    r2_cv, rmse_cv : float
        Of points in clusters that were left out, on the raw scale.
    gain : Estimate
        R² in cross-validation minus the line's; its p-value is of no difference.
    n : int
        Points it was fitted to.
    reason : str
        Why it could not be told, or empty.
    """

    name: str
    axes: str
    coefficients: Mapping[str, float]
    knots: tuple[float, ...]
    r2: float
    r2_axes: float
    residual_sd: float
    r2_cv: float
    rmse_cv: float
    gain: Estimate
    n: int
    reason: str = ""

    def predict(self, x: Any) -> Floats:
        """The curve at x, raw in and raw out; nan where the fit could not be told.

        Examples
        --------
        >>> c = curve([0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 5.0, 7.0, 9.0])
        >>> c.fits["line"].predict([10.0]).round(6).tolist()
        [21.0]
        """
        axis = AXES[self.axes]
        u = forward(axis, np.asarray(x, dtype=np.float64))
        heights = np.array(list(self.coefficients.values()), dtype=np.float64)
        if self.reason:
            return np.full(u.shape, math.nan)
        if self.knots:
            inside = np.clip(u, self.knots[0], self.knots[-1])
            values = BSpline(np.array(self.knots), heights, _monotone.DEGREE)(inside)
        else:
            values = np.polynomial.polynomial.polyval(u, heights)
        return np.asarray(axis.backward(values), dtype=np.float64)


@dataclass(frozen=True)
class Curve:
    """How y goes with x: several fits, compared, and what can be told about their shape.

    Attributes
    ----------
    x_name, y_name, axes : str
        What was drawn against what, on which scale.
    n : int
        Points that have an x and a y.
    n_missing, n_at_ends : int
        Points left out: without an x or a y; at 0 or 1 where the axes have no place for them.
    n_clusters : int or None
    fits : mapping of str to Fit
    best : str
        The fit with the least error in cross-validation, or empty.
    verdict : str
        In words, whether any fit is surely better than the line.
    slope : Estimate
        Of the straight line on the axes.
    curvature : Estimate
        The coefficient of z² in y = a + b z + c z², z = (x − mean) / standard deviation, on the
        axes: above 0 where the curve bends upward. The p-value is of a straight line.
    non_linearity : Estimate
        1 − R² of the straight line on the axes.
    spearman : Estimate
        Rank correlation; the p-value is of no monotone relation.
    slope_corrected, curvature_corrected : Estimate or None
        The same where the errors of x are taken out; None where `x_se` was not given.
    slope_york : Estimate or None
        Of `york_line`, where both `x_se` and `y_se` were given; right only where points scatter by
        these errors and nothing else, which the χ² test in its parameters checks.
    reliability : float or None
        Share of the variance of x that is not measurement error.
    level : float
    """

    x_name: str
    y_name: str
    axes: str
    n: int
    n_missing: int
    n_at_ends: int
    n_clusters: int | None
    fits: Mapping[str, Fit]
    best: str
    verdict: str
    slope: Estimate
    curvature: Estimate
    non_linearity: Estimate
    spearman: Estimate
    slope_corrected: Estimate | None
    curvature_corrected: Estimate | None
    slope_york: Estimate | None
    reliability: float | None
    level: float

    def to_rows(self) -> list[dict[str, Any]]:
        """One row a number, for a tidy table: JSON-like values only.

        Examples
        --------
        >>> rows = curve([0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 5.0, 7.0, 9.0]).to_rows()
        >>> [(r["fit"], r["quantity"], round(r["value"], 6)) for r in rows][:3]
        [('line', 'intercept', 1.0), ('line', 'slope', 2.0), ('line', 'r2', 1.0)]
        """
        head = {"x": self.x_name, "y": self.y_name}
        counts: dict[str, Any] = {"n": self.n, "n_clusters": self.n_clusters}
        rows: list[dict[str, Any]] = []
        for fit in self.fits.values():
            numbers = {
                **fit.coefficients,
                **{f"knot_{i}": k for i, k in enumerate(fit.knots)},
                "r2": fit.r2,
                "r2_axes": fit.r2_axes,
                "residual_sd": fit.residual_sd,
                "r2_cv": fit.r2_cv,
                "rmse_cv": fit.rmse_cv,
            }
            place = {**head, "axes": fit.axes, "fit": fit.name}
            for quantity, value in numbers.items():
                rows.append(_row(place, quantity, Estimate(value, method=fit.reason), counts))
            if fit.name != "line":
                rows.append(_row(place, "gain", fit.gain, counts))
        for quantity in (
            "slope",
            "curvature",
            "non_linearity",
            "spearman",
            "slope_corrected",
            "curvature_corrected",
            "slope_york",
        ):
            found = getattr(self, quantity)
            if found is not None:
                place = {**head, "axes": self.axes, "fit": ""}
                rows.append(_row(place, quantity, found, counts))
        if self.reliability is not None:
            place = {**head, "axes": self.axes, "fit": ""}
            rows.append(_row(place, "reliability", Estimate(self.reliability), counts))
        return rows


def _row(
    place: Mapping[str, str], quantity: str, found: Estimate, counts: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        **place,
        "quantity": quantity,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "level": found.level,
        "method": found.method,
        "p_value": found.p_value,
        **counts,
        "parameters": dict(found.parameters),
    }


def curve(
    x: Any,
    y: Any,
    *,
    clusters: Any = None,
    x_se: Any = None,
    y_se: Any = None,
    x_name: str = "x",
    y_name: str = "y",
    axes: str = "raw",
    level: float = 0.95,
    seed: int = 0,
) -> Curve:
    """Fit a line, a probit line, a quadratic and a monotone spline, and tell which is better.

    A point is a subset, or a trained model. Points of one training run (its epochs) are one
    cluster: without `clusters` they are taken for independent, and every interval is too narrow.

    Parameters
    ----------
    x, y : (n,) array-like of float
        Such as a distance and an accuracy (a fraction). nan is a missing value: the point is left
        out and counted.
    clusters : (n,) array-like, optional
        The independent unit of every point.
    x_se, y_se : float or (n,) array-like, optional
        Standard errors of x and of y as measurements, in their own units. Those of x shrink
        slope and curvature: the corrected ones are given beside. Those of y are scatter like any
        other, which the fits allow for without being told; with both, York's line is given too.
    x_name, y_name : str
        Of the axes, for the result.
    axes : {"raw", "probit", "logit"}
        The scale on which line, quadratic and spline are fitted.
    level : float
        Of the intervals.
    seed : int
        Of the folds.

    Returns
    -------
    Curve

    Raises
    ------
    ConfigurationError
        Shapes differ, a value is infinite, axes unknown, or the axes want fractions and the values
        are not.

    Notes
    -----
    Intervals of slope and curvature: CR2 errors by cluster with Satterthwaite's degrees of
    freedom. They need 5 independent units, p-values 10; a line needs 4 points, a quadratic 5, the
    spline 10.
    The spline is quadratic with knots at the quartiles of x, rising or falling, whichever fits
    better, by least squares with increments ≥ 0.
    Cross-validation: ten folds of whole clusters, five times over (once, leaving each cluster out,
    for ten clusters or fewer). `gain` compares squared errors on the same left-out points; its
    standard error is over clusters. Folds share training data, so it is an approximation, on the
    careful side where the line is true: an idle bend costs a little.

    References
    ----------
    "Accuracy on the Curve", ICML 2023 (1 − R² as non-linearity); Miller et al. 2021, ICML
    (probit axes); Pustejovsky, Tipton 2018, JBES 36 (CR2); Cheng, Schneeweiss 1998 (corrected).

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(0.5, 0.9, 40)
    >>> y = 2.5 * (x - 0.5) ** 2 + 0.02 * np.sin(37 * np.arange(40)) + 0.3
    >>> found = curve(x, y, x_name="majority accuracy", y_name="minority accuracy")
    >>> round(found.fits["line"].r2, 2), round(found.fits["quadratic"].r2, 2)
    (0.93, 0.99)
    >>> found.best, found.curvature.p_value < 1e-6
    ('quadratic', True)
    """
    critical(level)
    axis = axis_named(axes)
    points = Points.of(x, y, clusters, x_se, y_se, axis)
    models = models_of(points, axis)
    folds = folds_of(points.clusters, seed)
    errors = {m.name: left_out(m, points, folds) for m in models}
    fits = {m.name: _described(m, points, errors, level) for m in models}
    best, verdict = _judge(fits)
    shape = shape_of(points, axis, level, seed)
    corrected = corrected_of(points, axis, level)
    return Curve(
        x_name=x_name,
        y_name=y_name,
        axes=axes,
        n=len(points.x),
        n_missing=points.n_missing,
        n_at_ends=points.n_at_ends,
        n_clusters=points.clusters.n_clusters if points.clustered else None,
        fits=fits,
        best=best,
        verdict=verdict,
        level=level,
        slope=shape["slope"],
        curvature=shape["curvature"],
        non_linearity=shape["non_linearity"],
        spearman=shape["spearman"],
        slope_york=york_of(points, axis, level),
        **corrected,
    )


def _described(model: Model, points: Points, errors: Mapping[str, Floats], level: float) -> Fit:
    n = len(points.x)
    nan = math.nan
    common = {"name": model.name, "axes": model.axis.name}
    if model.reason:
        gain = Estimate(nan, level=level, n=n, method=f"cannot tell: {model.reason}")
        return Fit(**common, coefficients={}, knots=(), r2=nan, r2_axes=nan, residual_sd=nan,
                   r2_cv=nan, rmse_cv=nan, gain=gain, n=n, reason=model.reason)  # fmt: skip
    beta = model.solve(model.usable)
    used = model.usable
    around = float(((points.y - points.y.mean()) ** 2).sum())
    squares = float(((points.y - model.predictions(beta)) ** 2).sum())
    target = model.target[used]
    around_axes = float(((target - target.mean()) ** 2).sum())
    squares_axes = float(((target - model.design[used] @ beta) ** 2).sum())
    spare = n - int(np.count_nonzero(beta))
    own = errors[model.name]
    return Fit(
        **common,
        coefficients=model.convert(beta),
        knots=model.knots,
        r2=_share(squares, around),
        r2_axes=_share(squares_axes, around_axes),
        residual_sd=math.sqrt(squares / spare) if spare > 0 else nan,
        r2_cv=_share(float(own.sum()), around),
        rmse_cv=math.sqrt(float(own.mean())),
        gain=_gain(model.name, errors["line"], own, points, around, level),
        n=int(used.sum()),
    )


def _share(left: float, whole: float) -> float:
    return 1 - left / whole if whole > 0 else math.nan


def _gain(
    name: str, line: Floats, own: Floats, points: Points, around: float, level: float
) -> Estimate:
    clusters, n = points.clusters, len(points.x)
    g = clusters.n_clusters
    difference = (line - own) * n / around if around > 0 else np.full(n, math.nan)
    value = float(difference.mean())
    rest = clusters.sums(difference - value)
    se = math.sqrt(g / (g - 1) * float(rest @ rest)) / n if g > 1 else math.nan
    return told(
        value,
        se,
        g - 1,
        level=level,
        n=n,
        n_clusters=g,
        clustered=points.clustered,
        method=f"{'clustered ' if points.clustered else ''}cross-validation, Student t",
        why_not="this is the line" if name == "line" else "",
    )


def _judge(fits: Mapping[str, Fit]) -> tuple[str, str]:
    known = {name: fit for name, fit in fits.items() if not math.isnan(fit.rmse_cv)}
    if not known:
        return "", "cannot tell: no fit could be compared"
    best = min(known, key=lambda name: known[name].rmse_cv)
    others = [fit for name, fit in known.items() if name != "line"]
    sure = [
        f"{fit.name} (R² + {fit.gain.value:.3f}, p = {fit.gain.p_value:.2g})"
        for fit in others
        if fit.gain.value > 0
        and fit.gain.p_value is not None
        and fit.gain.p_value * len(others) < 1 - fit.gain.level
    ]
    if sure:
        return best, "better than the line: " + ", ".join(sure)
    if all(fit.gain.p_value is None for fit in others):
        return best, f"cannot tell: a comparison needs {FEWEST_FOR_P} independent points"
    return best, "no fit is surely better than the line"
