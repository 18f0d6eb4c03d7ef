"""Least squares whose errors honour clusters, and what the axes of a curve may be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import expit, logit, ndtr, ndtri
from scipy.stats import t as student

from shiftbench.errors import ConfigurationError
from shiftbench.statistics import Clusters, Estimate
from shiftbench.statistics.estimate import normal_interval

__all__ = [
    "AXES",
    "FEWEST_FOR_INTERVAL",
    "FEWEST_FOR_P",
    "RELIABLE",
    "Axis",
    "Regression",
    "adjusted_least_squares",
    "axis_named",
    "column",
    "contrast",
    "regress",
    "told",
    "unit",
]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FEWEST_FOR_INTERVAL = 5
"""Independent units below which a fit has no interval."""

FEWEST_FOR_P = 10
"""Independent units below which a fit has no p-value: a handful of points proves nothing."""

RELIABLE = 0.5
"""Share of x that must not be measurement error for a correction to be trusted."""

_PERFECT = 1e-12
"""Residuals smaller than this share of the spread are rounding, not noise."""


@dataclass(frozen=True)
class Axis:
    """A scale on which accuracies are drawn, and the way back to fractions."""

    name: str
    forward: Callable[[Floats], Floats]
    backward: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]
    """The derivative of `forward` at a fraction: it turns a small error on one into the other's."""

    @property
    def bounded(self) -> bool:
        """Whether only fractions strictly between 0 and 1 have a place on it."""
        return self.name != "raw"

    def has(self, values: Floats) -> Bools:
        """Which values have a finite place on it."""
        return (values > 0) & (values < 1) if self.bounded else np.isfinite(values)


def _as_is(values: Floats) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _probit_slope(p: Floats) -> Floats:
    return np.asarray(math.sqrt(2 * math.pi) * np.exp(ndtri(p) ** 2 / 2), dtype=np.float64)


AXES: dict[str, Axis] = {
    "raw": Axis("raw", _as_is, _as_is, np.ones_like),
    "probit": Axis("probit", ndtri, ndtr, _probit_slope),
    "logit": Axis("logit", logit, expit, lambda p: 1 / (p * (1 - p))),
}


def axis_named(name: str) -> Axis:
    """The axis of that name.

    Raises
    ------
    ConfigurationError
        There is none.
    """
    if name not in AXES:
        raise ConfigurationError(f"axes is {name!r}, but may be one of {', '.join(AXES)}")
    return AXES[name]


def column(name: str, values: Any, n: int | None = None) -> Floats:
    """A one-dimensional float array of the right length.

    Raises
    ------
    ConfigurationError
        It is not.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or (n is not None and len(array) != n):
        wanted = "one number a point" if n is None else f"one number for each of the {n} points"
        raise ConfigurationError(f"{name} has the shape {array.shape}, but is to have {wanted}")
    return array


@dataclass(frozen=True)
class Regression:
    """A least-squares fit, kept as its orthogonal factors.

    Attributes
    ----------
    beta : (p,) float64 array
    q : (n, p) float64 array
    r : (p, p) float64 array
        The design is q @ r.
    residuals : (n,) float64 array
    scale : float
        The size of the target, against which residuals are zero or not.
    """

    beta: Floats
    q: Floats
    r: Floats
    residuals: Floats
    scale: float

    @property
    def perfect(self) -> bool:
        """Whether the residuals are rounding only, so that nothing can be told from them."""
        return float(np.abs(self.residuals).max(initial=0.0)) <= _PERFECT * self.scale


def regress(design: Floats, target: Floats) -> Regression | None:
    """Ordinary least squares; None where the columns of the design depend on each other."""
    n, p = design.shape
    if n < p:
        return None
    q, r = np.linalg.qr(design)
    diagonal = np.abs(np.diag(r))
    if not diagonal.min() > 1e-10 * diagonal.max():
        return None
    beta = solve_triangular(r, q.T @ target)
    scale = float(np.abs(target).max(initial=0.0))
    return Regression(beta, q, r, target - design @ beta, scale)


def contrast(fit: Regression, weights: Floats, clusters: Clusters) -> tuple[float, float, float]:
    """A linear combination of coefficients, its cluster-robust standard error and its df.

    CR2 errors (HC2 where every example is its own cluster), with Satterthwaite's degrees of
    freedom under independent errors of one variance. Everything is done in p × p matrices: with
    S_g = Q_gᵀ Q_g, Q_gᵀ (I − Q_g Q_gᵀ)^(−½) = (I − S_g)^(−½) Q_gᵀ.

    References
    ----------
    Bell, McCaffrey 2002, Survey Methodology 28; Pustejovsky, Tipton 2018, JBES 36, eq. 8–11.
    """
    p = fit.q.shape[1]
    d = solve_triangular(fit.r.T, np.asarray(weights, dtype=np.float64), lower=True)
    value = float(weights @ fit.beta)
    outer = (fit.q[:, :, None] * fit.q[:, None, :]).reshape(-1, p * p)
    s = clusters.sums(outer).reshape(-1, p, p)
    hold, vectors = np.linalg.eigh(s)
    free = 1 - hold
    # A cluster that alone decides a direction has no residual in it: the generalised inverse.
    root = np.where(free > 1e-9, 1 / np.sqrt(np.maximum(free, 1e-9)), 0.0)
    b = np.einsum("gij,gj,gkj,k->gi", vectors, root, vectors, d, optimize=True)
    scores = np.einsum("gi,gi->g", b, clusters.sums(fit.q * fit.residuals[:, None]))
    sb = np.einsum("gij,gj->gi", s, b)
    own, shared = np.einsum("gi,gi->g", b, sb), np.einsum("gi,gi->g", sb, sb)
    trace = float((own - shared).sum())
    squared = float((own**2).sum() - 2 * (own * shared).sum() + ((sb.T @ sb) ** 2).sum())
    df = trace**2 / squared if squared > 0 and trace > 0 else math.nan
    return value, float(np.sqrt(scores @ scores)), df


def told(
    value: float,
    se: float,
    df: float,
    *,
    level: float,
    n: int,
    n_clusters: int,
    clustered: bool,
    method: str,
    why_not: str = "",
    parameters: dict[str, Any] | None = None,
) -> Estimate:
    """An estimate of a fit with Student's interval, as far as the number of units allows one."""
    units = n_clusters if clustered else n
    what = "clusters" if clustered else "points"
    if not why_not and units < FEWEST_FOR_INTERVAL:
        why_not = f"{units} {what}, an interval needs {FEWEST_FOR_INTERVAL}"
        if clustered and units == 1:
            why_not = "one cluster"
    if not why_not and not (df > 0 and math.isfinite(se)):
        why_not = "no degrees of freedom"
    given = dict(parameters or {})
    common: dict[str, Any] = {
        "level": level,
        "n": n,
        "n_clusters": n_clusters if clustered else None,
        "parameters": given,
    }
    if why_not or math.isnan(value):
        return Estimate(value, method=f"cannot tell: {why_not or 'no value'}", **common)
    low, high = normal_interval(value, se, level, df)
    given["df"] = df
    p_value = None
    if units >= FEWEST_FOR_P and se > 0:
        p_value = float(2 * student.sf(abs(value) / se, df))
    elif units < FEWEST_FOR_P:
        given["p_value"] = f"none: {units} {what}, a p-value needs {FEWEST_FOR_P}"
    return Estimate(value, low, high, se=se, p_value=p_value, method=method, **common)


def adjusted_least_squares(
    x: Floats, y: Floats, x_se: Floats, degree: int, clusters: Clusters
) -> tuple[Floats, Floats, float]:
    """A polynomial in the error-free x, from an x with normal errors of known size.

    The powers of the measured x are replaced by polynomials whose expectation is the power of the
    true x, so that the coefficients are consistent however large the scatter about the curve is.
    Degree 1 is the line corrected for attenuation. Standard errors are the jackknife's over
    clusters.

    Returns
    -------
    coefficients, their standard errors (nan where the errors of x leave nothing), and the
    reliability of x: the share of its variance that is not measurement error.

    References
    ----------
    Cheng, Schneeweiss 1998, JRSS B 60; degree 1: Fuller 1987, Measurement Error Models, §1.2;
    Akritas, Bershady 1996, ApJ 470.
    """
    v = np.asarray(x_se, dtype=np.float64) ** 2
    variance = float(np.var(x, ddof=1))
    reliability = 1 - float(v.mean()) / variance if variance > 0 else math.nan
    clean = [np.ones_like(x), x, x**2 - v, x**3 - 3 * x * v, x**4 - 6 * x**2 * v + 3 * v**2]
    size = degree + 1
    nothing = np.full(size, math.nan)
    left = np.stack([clean[i + j] for i in range(size) for j in range(size)], axis=1)
    right = np.stack([clean[i] * y for i in range(size)], axis=1)
    lefts = clusters.sums(left).reshape(-1, size, size)
    rights = clusters.sums(right)
    total_left, total_right = lefts.sum(axis=0), rights.sum(axis=0)
    if not reliability > 0 or np.linalg.eigvalsh(total_left / len(x)).min() <= 1e-9:
        return nothing, nothing, reliability
    beta = np.linalg.solve(total_left, total_right)
    g = clusters.n_clusters
    without = total_left - lefts
    if g < 2 or np.linalg.eigvalsh(without / len(x))[:, 0].min() <= 1e-9:
        return beta, nothing, reliability
    each = np.linalg.solve(without, (total_right - rights)[:, :, None])[:, :, 0]
    se = np.sqrt((g - 1) / g * ((each - each.mean(axis=0)) ** 2).sum(axis=0))
    return beta, se, reliability


def unit(n: int, clusters: Any, keep: Bools) -> tuple[Clusters, bool]:
    """The clusters of the points that are kept; every point its own where none are told."""
    if clusters is None:
        kept = int(keep.sum())
        return Clusters(np.arange(kept, dtype=np.int64), kept), False
    known = clusters if isinstance(clusters, Clusters) else Clusters.of(clusters)
    if len(known.codes) != n:
        raise ConfigurationError(
            f"clusters names {len(known.codes)} points, but there are {n}; give one name a point"
        )
    names, codes = np.unique(known.codes[keep], return_inverse=True)
    return Clusters(codes.astype(np.int64), len(names)), True
