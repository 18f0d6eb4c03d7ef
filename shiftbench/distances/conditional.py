"""A test of P(y | x), and by how much it changed where both sides overlap."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.nuisance import CrossFit, crossfit_ridge
from shiftbench.distances.overlap import (
    Domain,
    domain_of,
    inflation_of,
    sign_flip_p_value,
    spread_after_fits,
)
from shiftbench.distances.samples import Samples
from shiftbench.distances.shift import Distance, Shift
from shiftbench.errors import ConfigurationError
from shiftbench.statistics import Estimate, stream
from shiftbench.statistics.delong import quantile
from shiftbench.statistics.permutation import permutation_p_values

__all__ = ["GCM", "gcm"]

Floats = NDArray[np.float64]

COMPONENTS = 6
"""Kernel principal components that weight the residuals' products."""
RAREST = 10
"""Examples that a class must have, and must be missing in, to be compared."""
MOST = 20
"""Classes that are compared; of more, the most frequent."""
_POSSIBLE = (0.01, 0.99)  # what labels are drawn with; ridge regressions may leave 0 to 1
_CELLS = 4_000_000  # labels held at a time


def gcm(samples: Samples, *, n_permutations: int, level: float, seed: int) -> Shift:
    r"""By how much P(y | x) differs where both sides overlap, and a test of whether it does.

    With D = 1 for the target, f(x) = P(D = 1 | x) and g_k(x) = P(y = k | x), both sides weighing
    the same, the residuals are ξ = D − f(x) and η_k = 1[y = k] − g_k(x); f and g_k are fitted on
    the other folds of whole clusters. Where P(y | x) is the same on both sides, E[ξ η_k w(x)] = 0
    for every w. For each class k,

    .. math:: θ_k = \sum ξ η_k / \sum ξ^2

    is the mean of P_target(y = k | x) − P_source(y = k | x) over the overlap, that is weighted by
    f(1 − f). The value is θ of the second level for two classes (positive: more frequent in the
    target at equal x), and the largest |θ_k| for more, which is biased upward by chance, about
    by a standard error; `parts` then has each θ_k.

    The p-value is of the largest of the studentised sums Σ ξ η_k w_j(x) over the classes and
    weights: 1, g_k less its mean, and six kernel principal components of x, so that a change that
    averages to zero is seen too. It comes from flipping the signs of whole clusters
    (`n_permutations` times), corrected for the number of sums. Of independent examples it is the
    larger of that and the p-value under labels drawn from g_k(x): with 50 and 200 examples, a
    shift of 1 σ in x and a class of 5 to 25 %, signs alone rejected a true null in 7 to 18 % of
    runs.

    Parameters
    ----------
    samples : Samples
        With labels.
    n_permutations : int
        Sign flips; 0 = no p-value.
    level : float
    seed : int

    Returns
    -------
    Shift
        nan, without p-value, where there is no overlap: fewer than five (effective) clusters on a
        side lie where the probability of either side is 0.1 to 0.9; or where the features have too
        many effective dimensions to compare at equal features: more than the square root of the
        number of effective clusters, so that neither regression can be good enough.

    Raises
    ------
    ConfigurationError
        All labels are the same.

    Assumptions
    -----------
    Clusters are independent. The errors of the two regressions, multiplied, vanish faster than
    1/√n: one may be poor where the other is good. Both are regularised (logistic for f, ridge for
    g) on linear and Gaussian-kernel features with the penalty of the least held-out error, so a
    relation that these cannot follow at this n may be taken for a change where the features
    shifted as well. With 100 independent features, one of which both shifts by 1 σ and decides
    the label, and 200 examples a side, a true null was rejected in 19 of 100 runs without the
    refusal above.

    Notes
    -----
    The interval of θ_k is the cluster sandwich with Student's t; for several classes it bounds
    all θ_k at once (Bonferroni), and so their largest. Its variance, and that of the test's sums,
    is multiplied by c / (c − effective parameters of both fits), at most by 2, c being the
    effective number of clusters: at small n the errors of the fits are part of it. With few
    examples of a class on the smaller side (2 or 3 of 50, against 200) it is too short: it covered
    84 %.

    References
    ----------
    Shah & Peters, Ann. Stat. 48 (2020), the generalised covariance measure; weights: Scheidegger,
    Hörrmann & Bühlmann, JMLR 23 (2022); θ: Robinson, Econometrica 56 (1988); cross-fitting:
    Chernozhukov et al., Econometrics J. 21 (2018).

    Examples
    --------
    >>> from shiftbench.distances.samples import two_samples
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(2, 150, 2)), rng.random((2, 150))
    >>> s = two_samples(*x, takes="features and labels", labels=(y[0] < 0.3, y[1] < 0.7))
    >>> found = gcm(s, n_permutations=199, level=0.95, seed=0)
    >>> round(found.value, 1), found.low > 0, found.p_value < 0.05
    (0.4, True, True)
    """
    assert samples.labels is not None
    if len(samples.levels) < 2:
        raise ConfigurationError(
            f"all labels of both sides are {samples.levels[0]!r}; P(y | x) needs two classes"
        )
    counts = np.bincount(samples.labels)
    enough = [
        int(k)
        for k in np.argsort(-counts, kind="stable")
        if min(counts[k], len(samples.labels) - counts[k]) >= RAREST
    ]
    chosen = sorted(enough[:MOST])
    if min(samples.n_clusters) < 2:
        return Shift(math.nan, method="cannot tell: one cluster on a side")
    domain = domain_of(samples, seed)
    parameters = domain.parameters | {
        "classes": [samples.levels[k] for k in chosen],
        "classes_left_out": len(samples.levels) - len(chosen),
        "weight_functions": 0,
    }
    if not chosen:
        told = f"cannot tell: no class has {RAREST} examples and misses {RAREST}"
        return Shift(math.nan, method=told, parameters=parameters)
    if domain.refusal:
        return Shift(math.nan, method=domain.refusal, parameters=parameters)
    if len(samples.levels) == 2:
        chosen = [1]
    y = (samples.labels[:, None] == np.array(chosen)).astype(np.float64)
    fit = crossfit_ridge(domain.basis, y, domain.weights, domain.fold)
    parts = _differences(samples, domain, y - fit.values, fit.df, level)
    weights = _weights(domain, fit.values)
    p_value = None
    if n_permutations:
        products = domain.weights * domain.residual * (y - fit.values).T  # (classes, n)
        table = (products[:, None, :] * weights).reshape(-1, len(y)).T
        df = np.repeat(fit.df, weights.shape[1])
        p_value = sign_flip_p_value(table, df, samples, domain, n_permutations, seed)
        if not samples.clustered:
            drawn = _drawn_labels_p_value(y, fit, weights, domain, n_permutations, seed)
            p_value = max(p_value, drawn)
        parameters["sign_flips"] = n_permutations
    parameters["weight_functions"] = weights.shape[1]
    named = {samples.levels[k]: part for k, part in zip(chosen, parts, strict=True)}
    value, low, high, se, method = _summary(parts, signed=len(samples.levels) == 2)
    return Shift(value, low, high, level, method, p_value, se=se, parameters=parameters,
                 parts=named if len(samples.levels) > 2 else {})  # fmt: skip


GCM = Distance(
    name="gcm",
    kind="concept",
    takes="features and labels",
    compute=gcm,
    summary="difference of P(y | x) over the overlap; generalised covariance measure",
    symmetric=False,
    bounds=(-1.0, 1.0),
    fewest=10,
)


def _drawn_labels_p_value(
    y: Floats, fit: CrossFit, weights: Floats, domain: Domain, n_draws: int, seed: int
) -> float:
    """Of the same sums, over their standard deviations were each label drawn from g_k(x).

    Where one side is small and a class is rare, that side's few labels make both a sum and its
    empirical standard deviation, and signs flipped do not show how these go together.
    """
    g = np.clip(fit.values, *_POSSIBLE)
    lever = weights * (domain.weights * domain.residual)  # (classes, weights, n)
    sums = np.einsum("kjn,nk->kj", lever, y - fit.values)
    scale = np.sqrt(np.einsum("kjn,nk->kj", lever**2, g * (1 - g)))
    scale = np.where(scale > 0, scale, np.inf)
    inflation = np.array([inflation_of(domain, float(one)) for one in fit.df])
    observed = float((np.abs(sums) / scale / np.sqrt(inflation)[:, None]).max())
    rng = stream(seed, "labels drawn given x")
    largest = np.zeros(n_draws)
    step = max(1, _CELLS // len(y))
    for start in range(0, n_draws, step):
        rows = slice(start, min(start + step, n_draws))
        for k in range(len(lever)):
            share = g[:, k]
            error = (rng.random((rows.stop - rows.start, len(y))) < share) - share
            found = np.abs(error @ lever[k].T / scale[k]).max(axis=1)
            largest[rows] = np.maximum(largest[rows], found)
    return float(permutation_p_values([observed], largest[:, None])[0])


def _differences(
    samples: Samples, domain: Domain, eta: Floats, df: Floats, level: float
) -> list[Estimate]:
    """θ of each class; the intervals hold for all of them at once."""
    xi, v = domain.residual, domain.weights
    size = float(v @ xi**2) / len(v)
    each = 1 - (1 - level) / eta.shape[1]
    found = []
    for column, own in zip(eta.T, df, strict=True):
        theta = float(v @ (xi * column)) / len(v) / size
        influence = (xi * column - theta * xi**2) / (2 * size)
        spread = spread_after_fits(influence, samples, domain, float(own))
        width = quantile(each, spread.df) * spread.se if spread.variance > 0 else math.nan
        told = "cluster sandwich, t" if samples.clustered else "sandwich, t"
        if eta.shape[1] > 1:
            told += f", Bonferroni over {eta.shape[1]} classes"
        bounds = theta - width, theta + width
        n = len(v), len(samples.strata)
        found.append(Estimate(theta, *bounds, level, told, *n, se=spread.se))
    return found


def _summary(parts: list[Estimate], signed: bool) -> tuple[float, float, float, float, str]:
    """The one difference, or the largest in size with bounds that hold for all."""
    if signed:
        p = parts[0]
        return p.value, p.low, p.high, p.se, p.method
    largest = max(parts, key=lambda p: abs(p.value))
    low = max(max(p.low, -p.high, 0.0) for p in parts)
    high = max(max(p.high, -p.low) for p in parts)
    return abs(largest.value), low, high, largest.se, f"largest of {len(parts)}: {largest.method}"


def _weights(domain: Domain, g: Floats) -> Floats:
    """Functions of x by class: (classes, weights, n)."""
    kernel = domain.basis.kernel - domain.weights @ domain.basis.kernel / len(domain.weights)
    left, size, _ = np.linalg.svd(kernel, full_matrices=False)
    kept = min(COMPONENTS, int((size > 1e-8 * max(size[0], 1e-300)).sum()))
    shared = np.vstack([np.ones(len(g)), left[:, :kept].T * math.sqrt(len(g))])
    own = g - domain.weights @ g / len(g)
    own = own / np.maximum(own.std(axis=0), 1e-12)
    return np.stack([np.vstack([shared, column]) for column in own.T])
