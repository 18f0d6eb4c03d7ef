"""Random halves of the clusters: the error of a difference of two samples, and of a norm of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.resampled import signed_shares
from shiftbench.distances.samples import Samples
from shiftbench.statistics import stream
from shiftbench.statistics.estimate import critical

__all__ = ["NormEstimate", "difference_errors", "half_errors", "halves", "norm_estimate"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Rows = NDArray[np.bool_]

_CELLS = 4_000_000


def halves(
    samples: Samples, rng: np.random.Generator, even: bool = False
) -> tuple[tuple[Rows, Rows], tuple[Rows, Rows]]:
    """Two halves of the source's rows and two of the target's, by whole clusters.

    A cluster with rows on both sides is in the first halves or in the second ones, so that the
    first half of one side and the second of the other share none. An odd cluster is left out where
    there are others of its sort, so that halves are of one size. Which side is called the source
    makes no difference.

    Parameters
    ----------
    even : bool
        All four are of as many clusters.

    Examples
    --------
    >>> from shiftbench.distances.samples import two_samples
    >>> s = two_samples(np.arange(5.0), np.arange(12.0), takes="features")
    >>> x, y = halves(s, np.random.default_rng(0))
    >>> [int(h.sum()) for h in (*x, *y)]
    [2, 2, 6, 6]
    """
    # The order of the samples' clusters depends on which side is the source; this one does not.
    line = stream(0, "order of clusters").normal(size=samples.features.shape[1])
    place = np.bincount(samples.clusters, weights=samples.features @ line)
    dealt = []
    turned = samples.source.sum(axis=0).tolist() > samples.target.sum(axis=0).tolist()
    # Clusters of both sides in the middle: those of each side are next to each other.
    for stratum in (1, 2, 0) if turned else (0, 2, 1):
        inside = np.flatnonzero(samples.strata == stratum)
        inside = rng.permutation(inside[np.argsort(place[inside], kind="stable")])
        odd = len(inside) % 2 == 1 and len(inside) > 1
        dealt.append(inside[: len(inside) - odd])
    order = np.concatenate(dealt)
    firsts = [
        [order[i::2][samples.strata[order[i::2]] != other] for i in (0, 1)] for other in (1, 0)
    ]
    if even:
        least = min(len(part) for side in firsts for part in side)
        firsts = [[part[:least] for part in side] for side in firsts]
    source = samples.is_source
    (a, b), (c, d) = (
        [on & np.isin(samples.clusters, part) for part in side]
        for on, side in zip((source, ~source), firsts, strict=True)
    )
    return (a, b), (c, d)


def difference_errors(samples: Samples, rows: Codes, values: Floats) -> tuple[Floats, float]:
    """What each cluster adds to the error of the source's mean less the target's.

    Parameters
    ----------
    rows : (r,) int64 array
        Those that the means are over.
    values : (r,) or (r, k) array

    Returns
    -------
    errors : (n_clusters,) or (n_clusters, k) array
        The sum of their squares is the variance; unbiased for clusters of one size.
    df : float
        The effective number of clusters (Kish), less 1, of the side that has fewer; errors are nan
        with fewer than two clusters on a side.

    References
    ----------
    MacKinnon & White, J. Econometrics 29 (1985), HC2; Kish, Survey Sampling (1965).

    Examples
    --------
    >>> from shiftbench.distances.samples import two_samples
    >>> s = two_samples([0.0, 2.0], [1.0, 1.0, 1.0], takes="features")
    >>> errors, df = difference_errors(s, np.arange(5), s.features[:, 0])
    >>> round(float((errors**2).sum()), 6), df  # the variance of the mean of 0 and 2
    (1.0, 1.0)
    """
    source, codes = samples.is_source[rows], samples.clusters[rows]
    n = len(samples.strata)
    found = np.zeros((n, *values.shape[1:]))
    freedoms = []
    for side, sign in ((source, 1.0), (~source, -1.0)):
        sizes = np.bincount(codes[side], minlength=n).astype(np.float64)
        if np.count_nonzero(sizes) < 2:
            return np.full_like(found, math.nan), 0.0
        share = sizes / sizes.sum()
        sums = np.zeros_like(found)
        np.add.at(sums, codes[side], values[side] - values[side].mean(axis=0))
        weight = sign / (sizes.sum() * np.sqrt(1 - share))
        found += sums * weight.reshape(-1, *[1] * (values.ndim - 1))
        freedoms.append(float(1 / (share**2).sum() - 1))
    return found, min(freedoms)


def half_errors(samples: Samples, n: int, seed: int, level: float = 0.95) -> Iterator[Floats]:
    """Copies of the error of F̂ − Ĝ, some at a time: weights of the rows, (rows, b).

    Each side's clusters are dealt into two halves, and half the difference of the two halves is
    taken for the side's error: it has the error's covariance, and no ties as a bootstrap has. If
    nothing shifted and the sides are of one size, it is one of the relabelings of a permutation
    test, so that its quantiles hold exactly. The weights are stretched by Student's over the
    normal quantile, for the variance is itself estimated. A cluster with rows on both sides has
    one sign in both.

    References
    ----------
    Half-samples: McCarthy, Rev. Int. Stat. Inst. 37 (1969); random signs for empirical processes:
    van der Vaart & Wellner, Weak Convergence and Empirical Processes (1996), sec. 2.9.

    Examples
    --------
    >>> from shiftbench.distances.samples import two_samples
    >>> s = two_samples(np.arange(40.0), np.arange(40.0), takes="features")
    >>> error = np.concatenate(list(half_errors(s, 5, seed=0)), axis=1)
    >>> error.shape, bool(np.allclose(np.abs(error), 1 / 40, rtol=0.04))
    ((80, 5), True)
    """
    strata = samples.strata
    rng = stream(seed, "halves of clusters")
    codes, is_source = samples.clusters, samples.is_source
    df = difference_errors(samples, np.arange(len(codes)), np.zeros(len(codes)))[1]
    stretch = critical(level, max(df, 1.0)) / critical(level)
    step = max(1, _CELLS // len(codes))
    for start in range(0, n, step):
        signs = np.empty((min(step, n - start), len(strata)))
        for stratum in range(3):
            inside = np.flatnonzero(strata == stratum)
            if len(inside):
                signs[:, inside] = _balanced(rng, len(signs), len(inside))
        weights = np.ascontiguousarray(signs[:, codes].T) * stretch
        for side in (is_source, ~is_source):
            weights[side] = (weights[side] - weights[side].mean(axis=0)) / side.sum()
        weights[~is_source] *= -1
        yield weights


def _balanced(rng: np.random.Generator, rows: int, count: int) -> Floats:
    """Signs, as many + as −; of an odd number, one more of a random sort, and their size adapted.

    Centred sums of them have the unbiased variance, that with count − 1 as its divisor.
    """
    if count < 2:
        return rng.choice([-1.0, 1.0], size=(rows, count))
    signs = np.where(np.arange(count) < count // 2, 1.0, -1.0)
    drawn = rng.permuted(np.broadcast_to(signs, (rows, count)), axis=1)
    if count % 2:
        drawn *= rng.choice([-1.0, 1.0], size=(rows, 1)) * count / math.sqrt(count**2 - 1)
    return drawn


@dataclass(frozen=True)
class NormEstimate:
    """A distance that is a norm of F − G.

    Attributes
    ----------
    plug_in : float
        The norm of F̂ − Ĝ.
    value : float
        Without the bias that was estimated.
    low, high : float
        `plug_in` ± the quantile of the error's norm.
    """

    plug_in: float
    value: float
    low: float
    high: float


def norm_estimate(
    samples: Samples,
    norms: Callable[[Floats], Floats],
    n_resamples: int,
    level: float,
    seed: int,
) -> NormEstimate:
    """Value and interval of a distance that is a norm of F − G, at the null and away from it.

    Interval: by the triangle inequality the norm of F̂ − Ĝ is off by no more than the norm of its
    error, whose quantile is taken from `half_errors`. Where F = G nothing is lost by that.

    Value: a norm of F̂ − Ĝ is on average too large, by B = E‖error‖ where F = G and by less and less
    the farther they are apart. What is subtracted is E‖λ(F̂ − Ĝ) + error‖ − λ‖F̂ − Ĝ‖, the bias if
    λ(F̂ − Ĝ) were the truth, with λ = max(0, 1 − (B / ‖F̂ − Ĝ‖)²): F̂ − Ĝ without the part of it that
    the error explains. With λ = 1 (the plain bootstrap's correction) 59 % of the bias would be left
    where F = G.

    Parameters
    ----------
    norms : callable
        From (rows, b) weights of the rows to the (b,) norms.

    References
    ----------
    The shrinkage factor is that of James & Stein, Proc. 4th Berkeley Symp. 1 (1961).

    Examples
    --------
    >>> from shiftbench.distances.samples import two_samples
    >>> s = two_samples(np.arange(40.0), np.arange(40.0) + 5, takes="features")
    >>> found = norm_estimate(s, lambda w: np.abs(s.features[:, 0] @ w), 200, 0.95, seed=0)
    >>> round(found.plug_in, 6), found.low < 5 < found.high
    (5.0, True)
    """
    shares = signed_shares(samples.is_source[None, :].astype(np.float64))
    plug_in = float(norms(shares)[0])
    error = np.concatenate([norms(w) for w in half_errors(samples, n_resamples, seed, level)])
    noise = float(error.mean())
    shrunk = max(0.0, 1 - (noise / plug_in) ** 2) if plug_in > 0 else 0.0
    bias = noise
    if shrunk > 0:
        some = max(1, n_resamples // 4)
        moved = [norms(shrunk * shares + w) for w in half_errors(samples, some, seed, level)]
        # Against the same draws of the error alone, so that a quarter of them is enough.
        bias += float((np.concatenate(moved) - error[:some]).mean()) - shrunk * plug_in
    reach = float(np.quantile(error, level, method="higher"))
    return NormEstimate(plug_in, plug_in - bias, plug_in - reach, plug_in + reach)
