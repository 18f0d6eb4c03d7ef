"""How many independent patches the patches of a radiograph are worth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation._rank_bins import checked
from shiftbench.evaluation.patches import first_of, holders, units_of
from shiftbench.statistics import Clusters, Estimate
from shiftbench.statistics.estimate import critical
from shiftbench.statistics.linearised import mean_variance

__all__ = ["effective_patches"]

Floats = NDArray[np.float64]
NAN = math.nan


def effective_patches(
    scores: ArrayLike,
    clusters: Any,
    n: float | None = None,
    *,
    units: Any = None,
    level: float = 0.95,
) -> Estimate:
    r"""How many independent patches the `n` patches of a cluster are worth.

    The scores of a cluster's patches are alike: with the intraclass correlation :math:`\rho` (the
    share of the variance that lies between clusters) the mean over n patches has the variance of
    the mean over

    .. math:: n_\mathrm{eff} = \frac{n}{1 + (n - 1)\rho}

    independent ones. So :math:`n_\mathrm{eff}` is by what factor averaging cuts the variance of a
    cluster's score; more patches can never bring more than :math:`1/\rho`.

    Parameters
    ----------
    scores : (m,) array
        Of the patches of one split.
    clusters : (m,) names
        What each patch was cut from: the radiograph.
    n : float, optional
        Patches a cluster, from 1 on; also more than there are. By default as many as there are:
        where clusters differ in size the harmonic mean, which gives the mean of their variances.
    units : (m,) names, optional
        The independent unit that a cluster belongs to, where that is coarser: the patient.
    level : float

    Returns
    -------
    Estimate
        `n` counts patches and `n_clusters` the independent units. `parameters` has ``patches``
        (n), ``clusters``, ``icc`` with ``icc_low`` and ``icc_high``, and ``at_most``:
        :math:`1/\rho`, null where ρ is 0.

    Raises
    ------
    ConfigurationError
        NaN scores, names of another length, a cluster that lies in two units, n below 1.

    Assumptions
    -----------
    Units are independent, and the patches of a cluster are exchangeable, as where their positions
    are drawn at random, whether they overlap or not. It is about the mean, not the median or the
    maximum.

    Notes
    -----
    ρ is the analysis-of-variance estimator of the one-way random-effects model with Searle's
    :math:`n_0` for unequal sizes; with `units`, that of the nested model, ρ having the variances
    between units and between the clusters of a unit. Where the clusters vary less than chance
    would have it, ρ would be negative: it is taken as 0, so that n_eff is n, and `method` says so.

    The interval: the jackknife by unit of :math:`F^{-1/2}`, F the ratio of mean squares that is
    1 + n₀ρ/(1 − ρ), with Student's t and the degrees of freedom that the kurtosis of the
    pseudo-values leaves. It needs no normal distribution. In simulations of 40 and of 200 clusters
    with 8 and with 64 patches at ρ 0, 0.1, 0.5 and 0.9, 95 % intervals covered at least 93 % of
    normal, exponential, t₅ and two-point scores (one cluster in ten stands apart), of lognormal
    ones with a kurtosis of 27 at least 89 %. With 20 clusters, two-point scores: 83 %.

    It tells nothing of how far ID and OOD lie apart, so an AUROC may gain more or less from patches
    than this figure says. And it speaks of new positions in such clusters: what no patch can show,
    no number of patches adds.

    References
    ----------
    Searle 1971, Linear Models, chapters 10 and 11 (unbalanced and nested data). Donner 1986,
    International Statistical Review 54, 67–82. Arvesen & Layard 1975, Annals of Statistics 3,
    1122–1134 (the jackknife of F).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> radiographs = np.repeat(np.arange(100), 16)
    >>> scores = rng.normal(size=100)[radiographs] + rng.normal(size=1600)   # half between them
    >>> effective_patches(scores, radiographs)
    Estimate(1.8... [1.6..., 2.1...], n=1600, jackknife of the analysis of variance, square root, t)
    >>> effective_patches(scores, radiographs, n=512).value
    1.9...
    """
    critical(level)
    values = checked(scores, "scores")
    given = units_of(clusters, len(values), "clusters")
    coarse = given if units is None else units_of(units, len(values), "units")
    owners = coarse.codes[first_of(given)] if units is None else holders(given, coarse, clusters)
    if n is not None and (isinstance(n, str) or not 1 <= n < math.inf):
        raise ConfigurationError(f"n is {n!r}; a cluster has at least one patch")
    shown: dict[str, Any] = {
        "patches": _harmonic_mean(given.sizes) if n is None else float(n),
        "clusters": given.n_clusters,
    }
    base: dict[str, Any] = {"level": level, "n": len(values), "n_clusters": coarse.n_clusters}
    unknown = _unknown(values, given, coarse)
    if unknown:
        return Estimate(NAN, method=f"cannot tell: {unknown}", parameters=shown, **base)
    parts = _parts(values, given, owners)
    inverse, n0 = (float(found) for found in _ratio(parts.sum(axis=0)))
    (least, most), said = _limits(parts, inverse, level)
    icc, icc_low, icc_high = (_correlation(f, n0) for f in (inverse, most, least))
    value, low, high = (_effective(shown["patches"], r) for r in (icc, icc_high, icc_low))
    shown |= {"icc": icc, "icc_low": icc_low, "icc_high": icc_high}
    shown["at_most"] = 1 / icc if icc > 0 else NAN
    if inverse > 1:
        said += "; negative correlation taken as 0"
    return Estimate(value, low, high, method=said, parameters=shown, **base)


def _harmonic_mean(sizes: NDArray[np.int64]) -> float:
    if sizes.min() == sizes.max():
        return float(sizes[0])
    return float(len(sizes) / np.sum(1 / np.sort(sizes)))


def _unknown(values: Floats, clusters: Clusters, units: Clusters) -> str:
    """Why nothing can be told, or an empty text."""
    if len(values) == clusters.n_clusters:
        return "no cluster has two patches"
    if units.n_clusters < 2:
        return "there is one independent unit"
    if not np.isfinite(values).all():
        return "some scores are infinite"
    return "all scores are the same" if np.ptp(values) == 0 else ""


def _parts(values: Floats, clusters: Clusters, owners: NDArray[np.int64]) -> Floats:
    """What each unit adds to the sums that `_ratio` takes: (n_units, 10).

    The rows are in an order that depends on the numbers alone, so that their sums do, too.
    """
    # Neither scale nor origin matters; numbers near 1 neither overflow nor cancel out.
    values = values / np.abs(values).max()
    values = values - np.sort(values).mean()
    values = values / np.abs(values).max()
    order = np.lexsort((values, clusters.codes))
    ranked, sizes = values[order], clusters.sizes
    starts = np.cumsum(sizes) - sizes
    means = np.add.reduceat(ranked, starts) / sizes
    least, most = ranked[starts], ranked[starts + sizes - 1]
    means = np.where(least == most, least, means)  # no rounding is taken for variance
    inside = np.add.reduceat((ranked - np.repeat(means, sizes)) ** 2, starts)
    rows = np.lexsort((inside, means, sizes, owners))
    owner = Clusters(owners[rows], int(owners.max()) + 1)
    n, mean = sizes[rows].astype(np.float64), means[rows]
    one = np.ones(len(n))
    sums = owner.sums(np.stack([one, n, n * mean, n * mean**2, n**2, inside[rows]], axis=1))
    k, size, total, squares, sizes2, within = sums.T
    parts = np.stack(
        [np.ones(len(k)), k, size, size**2, sizes2, sizes2 / size,
         total, total**2 / size, squares, within], axis=1,
    )  # fmt: skip
    return np.asarray(parts[np.lexsort(parts.T)])


def _ratio(sums: Floats) -> tuple[Floats, Floats]:
    """1/F, and the n₀ for which F estimates 1 + n₀ρ/(1 − ρ), of sums over units: (..., 10).

    The expected mean squares are those of the nested model; with one cluster a unit they are those
    of the one-way model.
    """
    units, k, n, unit_sizes2, sizes2, sizes2_share, total, unit_squares, squares, within = (
        np.moveaxis(sums, -1, 0)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        of_unit = n - unit_sizes2 / n
        of_cluster = sizes2_share - sizes2 / n
        # The variance of the clusters within a unit stands in both mean squares.
        rest = np.where(k > units, (1 - of_cluster / of_unit) / (n - sizes2_share), 0.0)
        between = (unit_squares - total**2 / n) / of_unit + rest * (squares - unit_squares)
        inverse_n0 = (units - 1) / of_unit + rest * (k - units)
        return within / (n - k) * inverse_n0 / between, 1 / inverse_n0


def _limits(parts: Floats, inverse: float, level: float) -> tuple[tuple[float, float], str]:
    """Bounds of 1/F, and the words for them."""
    left_out, _ = _ratio(parts.sum(axis=0) - parts)
    value, without = np.sqrt(inverse), np.sqrt(left_out)
    n = len(parts)
    if not (np.isfinite(without).all() and np.isfinite(value)):
        return (NAN, NAN), "cannot tell how surely: it rests on a few units"
    variance, df = mean_variance((n - 1) * (without.mean() - without))
    if not variance > 0:
        return (NAN, NAN), "cannot tell how surely: no spread among the units"
    width = critical(level, float(df)) * math.sqrt(float(variance))
    bounds = (max(value - width, 0.0) ** 2, (value + width) ** 2)
    return bounds, "jackknife of the analysis of variance, square root, t"


def _correlation(inverse: float, n0: float) -> float:
    """ρ from 1/F = (1 − ρ) / (1 + (n₀ − 1)ρ), at least 0."""
    return NAN if math.isnan(inverse) else max(1 - inverse, 0.0) / (1 + (n0 - 1) * inverse)


def _effective(n: float, correlation: float) -> float:
    return n / (1 + (n - 1) * correlation)
