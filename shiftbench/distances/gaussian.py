"""The Fréchet distance: between the normal distributions that fit two samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.halved import difference_errors, halves
from shiftbench.distances.resampled import NO_INTERVAL, affordable, relabelled_p_value
from shiftbench.distances.samples import Samples
from shiftbench.distances.shift import Distance, Shift
from shiftbench.statistics import stream
from shiftbench.statistics.estimate import critical
from shiftbench.statistics.jackknife import Jackknife, jackknife

__all__ = ["FRECHET", "frechet", "frechet_distance"]

Floats = NDArray[np.float64]

_CLUSTERS_A_FEATURE = 2
_FEWEST_CLUSTERS = 4
_GROUPS = 25
_SPLITS = 5
_WORK = 1e12  # multiplications, some 20 in a nanosecond


def frechet_distance(source: Floats, target: Floats) -> float:
    """The plug-in squared Fréchet distance of two samples' means and covariances.

    ‖μ₁ − μ₂‖² + Tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½); the last trace is the sum of the singular values of the
    centred samples' product, so that no root of a matrix is taken and Σ may be singular.

    Parameters
    ----------
    source, target : (m, d) and (n, d) arrays
        At least 2 rows each.

    References
    ----------
    Dowson & Landau, J. Multivar. Anal. 12 (1982), equation 4; Heusel et al., NIPS 2017 (FID).

    Examples
    --------
    >>> round(frechet_distance(np.array([[-1.0], [1.0]]), np.array([[1.0], [7.0]])), 6)
    24.0
    """
    gap = source.mean(axis=0) - target.mean(axis=0)
    roots = [_root(source), _root(target)]
    spread = sum(float((r * r).sum()) for r in roots)
    return max(0.0, float(gap @ gap) + spread - 2 * _overlap(*roots))


def _root(sample: Floats) -> Floats:
    """R with RᵀR the covariance, at most d rows."""
    centred = (sample - sample.mean(axis=0)) / math.sqrt(len(sample) - 1)
    if len(centred) <= centred.shape[1]:
        return np.asarray(centred)
    return np.asarray(np.linalg.qr(centred, mode="r"))


def _overlap(a: Floats, b: Floats) -> float:
    """Tr(Σ₁Σ₂)^½ from roots of the two."""
    return float(np.linalg.svd(a @ b.T, compute_uv=False).sum())


def frechet(
    samples: Samples, *, n_permutations: int = 1000, level: float = 0.95, seed: int = 0
) -> Shift:
    """The squared Fréchet distance between normal distributions fitted to the two samples.

    ‖μ₁ − μ₂‖² + Tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½): the squared Wasserstein-2 distance if both are normal; of
    others it compares means and covariances alone. The plug-in, in ``parameters["plug_in"]``, is on
    average too large, by an order of d²/n: with 20 normal features and 50 examples a side it is 5
    where nothing shifted.

    - With two clusters a feature or more on both sides: the jackknife over clusters corrects the
      value and gives the error. The interval is value − t·se to max(value, 0) + t·se + (t·se)²/(4
      plug-in), the last since near 0 the root of the distance and not the distance has a steady
      error. It is wider than it need be where nothing shifted, where the jackknife's error is.
    - With fewer, the jackknife fails and there is no interval. The value is then ‖μ̂₁ − μ̂₂‖² without
      its bias + Tr(Σ₁Σ₁')^½ + Tr(Σ₂Σ₂')^½ − 2 Tr(Σ₁Σ₂)^½ of covariances of halves of as many
      clusters each: 0 on average where nothing shifted, and right for a shift of the mean, but
      too low for other shifts.
    - The p-value is that of the plug-in under relabelings of whole clusters, valid for any n and d.

    Parameters
    ----------
    samples : Samples
    n_permutations : int
        Fewer are made where they would take more than about a minute, but 199 in any case;
        `parameters` has the number.
    level : float
    seed : int

    Returns
    -------
    Shift

    References
    ----------
    Dowson & Landau, J. Multivar. Anal. 12 (1982); Heusel et al., NIPS 2017; its bias: Chong &
    Forsyth, CVPR 2020; the jackknife: Efron & Stein, Ann. Stat. 9 (1981).

    Examples
    --------
    >>> from shiftbench.distances.samples import two_samples
    >>> x = np.random.default_rng(0).normal(size=(200, 3))
    >>> found = frechet(two_samples(x[:100], x[100:] + [2, 0, 0], takes="features"))
    >>> round(found.value), found.low < 4 < found.high, found.p_value < 0.01
    (4, True, True)
    """
    z, source = _narrowed(samples.features), samples.is_source
    d = int(samples.features.shape[1])
    plug_in = frechet_distance(z[source], z[~source])
    fewest = min(samples.n_clusters)
    parameters: dict[str, Any] = {"plug_in": plug_in, "permutations": 0, "correction": "none"}
    if fewest < 2:
        method = f"plug-in, its bias not known; {NO_INTERVAL}"
        return Shift(plug_in, method=method, parameters=parameters)

    def relabelled(labels: Floats) -> Floats:
        return np.array([frechet_distance(z[s], z[~s]) for s in labels > 0.5])

    work = _work(len(z), z.shape[1], min(samples.n_source, samples.n_target))
    count = affordable(n_permutations, work, _WORK)
    p, made, exact = relabelled_p_value(samples, plug_in, relabelled, count, seed)
    parameters |= {"permutations": made, "all_permutations": exact}
    if fewest < _FEWEST_CLUSTERS:
        method = f"plug-in, its bias not known; no interval: fewer than {_FEWEST_CLUSTERS} clusters"
        return Shift(plug_in, method=method, p_value=p, parameters=parameters)
    if fewest < _CLUSTERS_A_FEATURE * d:
        value = _centred(samples, z, seed)
        method = (
            f"no interval: {fewest} clusters on a side for {d} features, and the jackknife holds "
            f"from {_CLUSTERS_A_FEATURE} a feature on; value centred by halves, too low where "
            "covariances differ"
        )
        parameters["correction"] = "halves"
        return Shift(value, method=method, p_value=p, parameters=parameters)
    found = _without_groups(samples, z, plug_in, seed)
    parameters["correction"] = "jackknife"
    value = plug_in - found.bias
    low, high = _interval(value, plug_in, found, level)
    return Shift(
        value, low, high, method="jackknife over clusters, Student's t, widened near 0",
        p_value=p, se=found.se, parameters=parameters,
    )  # fmt: skip


def _narrowed(features: Floats) -> Floats:
    """Coordinates in the space that the rows span, where that is narrower: distances stay."""
    z = features - features.mean(axis=0)
    n, d = z.shape
    return np.asarray(np.linalg.qr(z.T, mode="r")).T.copy() if d > n else z


def _work(n: int, d: int, side: int) -> float:
    least = min(d, side)
    return 4.0 * n * d * least + 20.0 * least**3


def _without_groups(samples: Samples, z: Floats, plug_in: float, seed: int) -> Jackknife:
    of_row, strata = samples.groups(_GROUPS, seed)
    names, counts = np.unique(strata, return_counts=True)
    strata[np.isin(strata, names[counts < 2])] = names[counts.argmax()]  # one tells no scatter
    source = samples.is_source
    left_out = [
        frechet_distance(z[source & (of_row != g)], z[~source & (of_row != g)])
        for g in range(len(strata))
    ]
    return jackknife(plug_in, left_out, strata)


def _interval(value: float, plug_in: float, found: Jackknife, level: float) -> tuple[float, float]:
    if math.isnan(found.se):
        return math.nan, math.nan
    reach = critical(level, found.df) * found.se
    curved = reach**2 / (4 * plug_in) if plug_in > 0 else 0.0
    return value - reach, max(value, 0.0) + reach + curved


def _centred(samples: Samples, z: Floats, seed: int) -> float:
    """The value from covariances of halves with one number of clusters each."""
    source, rng = samples.is_source, stream(seed, "halves for the Fréchet distance")
    everything = np.arange(len(z))
    gap = z[source].mean(axis=0) - z[~source].mean(axis=0)
    errors, _ = difference_errors(samples, everything, z)
    overlaps = []
    for _ in range(_SPLITS):
        x, y = ([_root(z[rows]) for rows in side] for side in halves(samples, rng, even=True))
        within = _overlap(*x) + _overlap(*y)
        overlaps.append(within - _overlap(x[0], y[1]) - _overlap(x[1], y[0]))
    return float(gap @ gap - (errors**2).sum() + np.mean(overlaps))


FRECHET = Distance(
    name="frechet",
    kind="covariate",
    takes="features",
    compute=frechet,
    summary="squared Fréchet distance of the normal distributions that fit (FID)",
    symmetric=True,
)
