"""A spline that only rises or only falls: increments of B-spline coefficients by NNLS."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.optimize import nnls

__all__ = ["DEGREE", "basis", "fit", "knots"]

Floats = NDArray[np.float64]

DEGREE = 2
_INTERIOR = 3


def knots(x: Floats) -> Floats:
    """Boundary knots at the ends of x, three interior ones at its quartiles (one for few values).

    They depend on x only, so choosing them looks at no y.
    """
    distinct = np.unique(x)
    wanted = _INTERIOR if len(distinct) >= 12 else 1
    inner = np.unique(np.quantile(x, np.arange(1, wanted + 1) / (wanted + 1)))
    inner = inner[(inner > distinct[0]) & (inner < distinct[-1])]
    ends = [np.full(DEGREE + 1, distinct[0]), np.full(DEGREE + 1, distinct[-1])]
    return np.concatenate([ends[0], inner, ends[1]])


def basis(x: Floats, at: Floats) -> Floats:
    """I-splines: column j is the sum of the B-splines from j on; beyond the ends, constant.

    Increasing in x each, so a combination with coefficients ≥ 0 is increasing. The first column
    is one everywhere.
    """
    inside = np.clip(x, at[0], at[-1])
    b = BSpline.design_matrix(inside, at, DEGREE).toarray()
    return np.asarray(np.cumsum(b[:, ::-1], axis=1)[:, ::-1], dtype=np.float64)


def fit(design: Floats, target: Floats) -> Floats:
    """Coefficients of the better of the rising and the falling spline, by least squares.

    References
    ----------
    Ramsay 1988, Statistical Science 3 (I-splines); Lawson, Hanson 1974 (NNLS).
    """
    # Centring takes the free constant out of the problem, so all that is left is ≥ 0.
    means, middle = design[:, 1:].mean(axis=0), target.mean()
    centred, wanted = design[:, 1:] - means, target - middle
    rising, up = nnls(centred, wanted)
    falling, down = nnls(-centred, wanted)
    steps = rising if up <= down else -falling
    return np.concatenate([[middle - means @ steps], steps])
