"""The jackknife of a two-sample statistic: bias and standard error without one cluster each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from shiftbench.errors import ConfigurationError

__all__ = ["Jackknife", "jackknife"]


@dataclass(frozen=True)
class Jackknife:
    """What leaving out one group at a time tells.

    Attributes
    ----------
    bias : float
        To be subtracted from the statistic; right where the bias is of the order 1/n.
    se : float
        On average not below the true standard error of the statistic (Efron & Stein 1981), also
        where it is degenerate; nan with fewer than two groups in a stratum.
    df : float
        Degrees of freedom of `se` (Satterthwaite).
    """

    bias: float
    se: float
    df: float


def jackknife(whole: float, left_out: ArrayLike, strata: ArrayLike) -> Jackknife:
    """Bias and standard error of a statistic of samples drawn apart.

    Parameters
    ----------
    whole : float
        The statistic of all.
    left_out : (g,) array
        The statistic without each group.
    strata : (g,) array of int
        The sample that each group is of; groups are independent and about equal in a stratum.

    Raises
    ------
    ConfigurationError
        The two arrays differ in length.

    References
    ----------
    Quenouille, Biometrika 43 (1956); Efron & Stein, Ann. Stat. 9 (1981); for several samples,
    Arvesen, Ann. Math. Stat. 40 (1969).

    Examples
    --------
    >>> x = np.array([1.0, 2.0, 4.0, 5.0])
    >>> found = jackknife(x.mean(), [np.delete(x, i).mean() for i in range(4)], np.zeros(4))
    >>> bool(abs(found.bias) < 1e-12), bool(np.isclose(found.se, x.std(ddof=1) / 2)), found.df
    (True, True, 3.0)
    """
    values = np.asarray(left_out, dtype=np.float64)
    which = np.asarray(strata)
    if values.shape != which.shape:
        raise ConfigurationError(
            f"there are {values.shape} values and {which.shape} strata; give one a group"
        )
    whole = float(whole)
    bias = 0.0
    variances, freedoms = [], []
    for stratum in np.unique(which):
        inside = values[which == stratum]
        n = len(inside)
        if n < 2:
            return Jackknife(math.nan, math.nan, math.nan)
        bias += (n - 1) * float(inside.mean() - whole)
        variances.append((n - 1) / n * float(((inside - inside.mean()) ** 2).sum()))
        freedoms.append(n - 1)
    variance = sum(variances)
    # In shares of the variance, whose square may be too large or too small for a float.
    shares = [own / variance for own in variances] if variance > 0 else []
    df = math.inf
    if shares:
        df = 1 / sum(share**2 / k for share, k in zip(shares, freedoms, strict=True))
    return Jackknife(bias, math.sqrt(variance), df)
