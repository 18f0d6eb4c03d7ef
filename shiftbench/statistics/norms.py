"""How sure the norm of a difference between two samples is, when clusters are independent."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.statistics.estimate import critical
from shiftbench.statistics.streams import stream

__all__ = [
    "THINNING",
    "Side",
    "l1_interval",
    "random_signs",
    "root_interval",
    "side",
    "thinned",
]

Floats = NDArray[np.float64]

THINNING = 0.5
"""Noise added to what picks the witness, in standard errors: as if four fifths of the data picked
it and the other fifth were measured."""
_CELLS = 500_000
_BAND = 0.1  # of the error probability, spent on which signs are known


class Side(NamedTuple):
    """What the clusters of one sample weigh.

    Attributes
    ----------
    weights : (c,) array
        By which a cluster's sum, less what its size times the mean expects, is multiplied to be
        its part in the error of the mean; 0 for clusters that are not in the sample.
    df : float
        Degrees of freedom: Kish's effective number of clusters, less 1.
    """

    weights: Floats
    df: float


def side(sizes: ArrayLike) -> Side:
    """Weights of clusters from their sizes in one sample, 0 where a cluster is not in it.

    A cluster that holds the share w of a sample pulls the mean to itself; its part is divided by
    √(1 − w), so that the variance is unbiased for clusters of one size (HC2).

    Raises
    ------
    ConfigurationError
        Fewer than two clusters are in the sample: nothing is known of how they scatter.

    References
    ----------
    MacKinnon & White, J. Econometrics 29 (1985), HC2; Kish, Survey Sampling (1965).

    Examples
    --------
    >>> found = side([1, 1, 1, 1, 0])
    >>> found.weights.round(3).tolist(), found.df
    ([0.289, 0.289, 0.289, 0.289, 0.0], 3.0)
    """
    n = np.asarray(sizes, dtype=np.float64)
    if np.count_nonzero(n) < 2:
        raise ConfigurationError(
            f"a sample has {np.count_nonzero(n)} clusters; how much they scatter is known from two "
            "on"
        )
    share = n / n.sum()
    weights = np.where(n > 0, 1 / (n.sum() * np.sqrt(1 - share)), 0.0)
    return Side(weights, float(1 / (share**2).sum() - 1))


def random_signs(n: int, count: int, seed: int, df: float, level: float = 0.95) -> Iterator[Floats]:
    """One random sign a cluster, `n` times: their products with its errors copy the error's law.

    The signs are stretched by Student's over the normal quantile, for the variance is itself
    estimated. Signs, not normal numbers: a level met once is off by as much as it is large.

    Parameters
    ----------
    n, count : int
        Draws, and clusters.
    seed : int
    df, level : float
        The degrees of freedom of the variance, and the level of the interval that is to be made.

    Yields
    ------
    (at most n, count) array
        As many as fit into bounded memory.

    References
    ----------
    The multiplier bootstrap with Rademacher weights: van der Vaart & Wellner, Weak Convergence and
    Empirical Processes (1996), sec. 2.9; Mammen, Ann. Stat. 21 (1993).

    Examples
    --------
    >>> [signs.shape for signs in random_signs(3, 5, seed=0, df=math.inf)]
    [(3, 5)]
    """
    stretch = critical(level, max(df, 1.0)) / critical(level)
    generator = stream(seed, "signs of clusters")
    step = max(1, _CELLS // max(count, 1))
    for start in range(0, n, step):
        signs = generator.integers(0, 2, size=(min(step, n - start), count), dtype=np.int8)
        yield np.asarray((2.0 * signs - 1.0) * stretch, dtype=np.float64)


def thinned(difference: Floats, errors: Floats) -> float:
    """½‖difference‖₁ without the share of it that chance adds, from copies of its error.

    A norm is the largest product with a witness (here ½ times the signs). Picked and measured on
    the same data, that product is too large. Each copy of the error makes two independent
    differences of one, the first to pick the witness and the second to measure it: the mean of
    the products is 0 where nothing differs, and on average never above the true norm.

    Parameters
    ----------
    difference : (k,) array
    errors : (b, k) array
        Draws from the law of the difference's error; each is taken with both signs.

    References
    ----------
    Data thinning: Rasines & Young, Biometrika 110 (2023); Neufeld et al., JMLR 25 (2024).

    Examples
    --------
    >>> errors = 0.01 * np.array([[1.0, -1.0], [-1.0, 1.0]])
    >>> round(thinned(np.array([0.5, -0.5]), errors), 6)
    0.5
    """
    found = 0.0
    for turned in (errors, -errors):
        witness = np.sign(difference + THINNING * turned)
        found += 0.25 * float((witness * (difference - turned / THINNING)).sum(axis=1).mean())
    return found


def l1_interval(difference: Floats, errors: Floats, level: float = 0.95) -> tuple[float, float]:
    """An interval of ½‖E difference‖₁, valid where entries of it are 0, and where all are.

    Which entries differ for certain is settled first, by a band that holds all at once. To the
    error of the norm these add their error with its sign and the others its size: what the norm
    can exceed the truth by. Downwards a norm, being convex, errs no more than its witness does.

    Parameters
    ----------
    difference : (k,) array
    errors : (b, k) array
    level : float

    Returns
    -------
    low, high : float
        Not below 0.

    References
    ----------
    Directional derivatives of norms: Fang & Santos, Rev. Econ. Stud. 86 (2019), sec. 3; the two
    steps: Romano, Shaikh & Wolf, Econometrica 82 (2014).

    Examples
    --------
    >>> noise = 0.05 * np.random.default_rng(0).normal(size=(999, 1))
    >>> low, high = l1_interval(np.array([0.5, -0.5]), noise * [1, -1])
    >>> round(low, 2), round(high, 2)
    (0.41, 0.6)
    """
    alpha = 1 - level
    norm = 0.5 * float(np.abs(difference).sum())
    spread = np.sqrt((errors**2).mean(axis=0))
    spread[spread == 0] = 1.0
    band = np.quantile(np.abs(errors / spread).max(axis=1, initial=0.0), 1 - _BAND * alpha)
    known = np.abs(difference) > band * spread
    signed = errors * np.sign(difference)
    above = 0.5 * (signed[:, known].sum(axis=1) + np.abs(errors[:, ~known]).sum(axis=1))
    witness = 0.5 * (errors @ _witness(difference, errors))
    low = norm - float(np.quantile(above, 1 - alpha / 2))
    high = norm + critical(level) * float(np.sqrt((witness**2).mean()))
    return max(low, 0.0), max(high, 0.0)


def _witness(difference: Floats, errors: Floats) -> Floats:
    """The signs of the difference; where it is exactly 0, those along which the error is largest.

    Equal shares, as in samples that were drawn to be balanced, are no proof of equal truths.
    """
    signs = np.sign(difference)
    level = signs == 0
    if level.any():
        _, _, directions = np.linalg.svd(errors[:, level], full_matrices=False)
        signs[level] = np.where(directions[0] < 0, -1.0, 1.0)
    return signs


def root_interval(
    plain: float, corrected: float, se: float, df: float, level: float = 0.95
) -> tuple[float, float]:
    """An interval of a divergence that behaves as a squared distance, made on its root's scale.

    Near 0 the root is nearly a norm, whose error does not vanish with it, as the divergence's own
    does. A plug-in estimate of a convex divergence lies above the truth on average, so that the
    upper bound starts from it, and the lower one from the value corrected for that.

    Parameters
    ----------
    plain, corrected : float
        The estimate, and the estimate without its bias.
    se, df : float
        Its standard error and the degrees of freedom of that.
    level : float

    Returns
    -------
    low, high : float
        Not below 0; nan where nothing is known of the error.

    Examples
    --------
    >>> [round(b, 3) for b in root_interval(0.25, 0.25, 0.05, math.inf)]
    [0.162, 0.358]
    """
    reach = critical(level, df) * se / 2 if se > 0 and df > 0 else math.nan
    if math.isnan(reach) or plain <= 0:
        return math.nan, math.nan
    low = 0.0
    if corrected > 0:
        low = max(math.sqrt(corrected) - reach / math.sqrt(corrected), 0.0) ** 2
    return low, (math.sqrt(plain) + reach / math.sqrt(plain)) ** 2
