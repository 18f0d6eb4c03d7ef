"""What a curve's points tell of its shape: slope, curvature, both without the errors of x."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation._association import non_linearity, rank_correlation
from shiftbench.evaluation._families import FEWEST, Points, too_few
from shiftbench.evaluation._fits import (
    RELIABLE,
    Axis,
    adjusted_least_squares,
    contrast,
    regress,
    told,
)
from shiftbench.evaluation.york import york_line
from shiftbench.statistics import Estimate

__all__ = ["corrected_of", "shape_of", "york_of"]


def shape_of(points: Points, axis: Axis, level: float, seed: int) -> dict[str, Estimate]:
    """Slope, curvature, non-linearity and rank correlation."""
    n, clusters = len(points.x), points.clusters
    u, v = axis.forward(points.x), axis.forward(points.y)
    many: dict[str, Any] = {"level": level, "n": n, "n_clusters": clusters.n_clusters}
    many["clustered"] = points.clustered
    names = {"slope": 1, "curvature": 2}
    found: dict[str, Estimate] = {}
    spread = float(u.std()) if n else 0.0
    # A constant x is constant up to rounding only.
    z = (u - u.mean()) / spread if spread > 1e-12 * np.abs(u).max(initial=0) else np.zeros(n)
    for name, degree in names.items():
        reason = too_few("line" if degree == 1 else "quadratic", points, degree + 1)
        fit = None if reason else regress(np.vander(z, degree + 1, increasing=True), v)
        if fit is None:
            reason = reason or "x is constant"
            found[name] = told(math.nan, math.nan, math.nan, method="", why_not=reason, **many)
            continue
        weights = np.zeros(degree + 1)
        weights[degree] = 1 / spread if degree == 1 else 1.0
        value, se, df = contrast(fit, weights, clusters)
        why = "the fit is perfect" if fit.perfect else ""
        kind = "CR2 by cluster" if points.clustered else "HC2"
        found[name] = told(
            value, se, df, method=f"{kind}, Student t (Satterthwaite)", why_not=why,
            parameters={"axes": axis.name}, **many,
        )  # fmt: skip
    rest = (clusters, points.clustered, level, seed)
    found["non_linearity"] = non_linearity(u, v, *rest)
    found["spearman"] = rank_correlation(points.x, points.y, *rest)
    return found


def corrected_of(points: Points, axis: Axis, level: float) -> dict[str, Any]:
    """Slope and curvature without the errors of x, where these are known."""
    nothing = {"slope_corrected": None, "curvature_corrected": None, "reliability": None}
    if points.x_se is None or len(points.x) < FEWEST["quadratic"]:
        return nothing
    u, v = axis.forward(points.x), axis.forward(points.y)
    spread = float(u.std())
    if not spread > 1e-12 * np.abs(u).max(initial=0):
        return nothing
    z = (u - u.mean()) / spread
    z_se = points.x_se * axis.slope(points.x) / spread
    reliability = math.nan
    found: dict[str, Any] = {}
    for name, degree in (("slope_corrected", 1), ("curvature_corrected", 2)):
        beta, se, reliability = adjusted_least_squares(z, v, z_se, degree, points.clusters)
        scale = spread if degree == 1 else 1.0
        g = points.clusters.n_clusters
        why = "" if reliability >= RELIABLE else f"reliability {reliability:.2f} of x is too low"
        found[name] = told(
            float(beta[degree]) / scale,
            float(se[degree]) / scale,
            g - 1,
            level=level,
            n=len(z),
            n_clusters=g,
            clustered=points.clustered,
            method=f"corrected for errors of x, {'clustered ' if points.clustered else ''}"
            "jackknife, Student t",
            why_not=why,
            parameters={"axes": axis.name, "reliability": reliability},
        )
    return {**found, "reliability": reliability}


def york_of(points: Points, axis: Axis, level: float) -> Estimate | None:
    """York's slope on the axes; None where an error is not known or there is no such line."""
    if points.x_se is None or points.y_se is None:
        return None
    x_se = points.x_se * axis.slope(points.x)
    y_se = points.y_se * axis.slope(points.y)
    try:
        found = york_line(axis.forward(points.x), axis.forward(points.y), x_se, y_se, level=level)
    except ConfigurationError as error:
        return Estimate(math.nan, level=level, n=len(points.x), method=f"cannot tell: {error}")
    said = {"axes": axis.name, "chi2": found.chi2, "df": found.df, "chi2_p_value": found.p_value}
    return replace(found.slope, parameters=said)
