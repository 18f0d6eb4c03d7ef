"""Kernel two-sample distances: the maximum mean discrepancy and the energy distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from shiftbench.distances.bandwidth import check_bandwidth, median_bandwidth, median_distance
from shiftbench.distances.fourier import check_count, fourier_null, fourier_sums, frequencies_of
from shiftbench.distances.gram import (
    LARGEST,
    Null,
    Permutations,
    combined_p_value,
    drop_own,
    gaussians,
    null_of,
    pair_sums,
    permutations_of,
    squared_distances,
)
from shiftbench.distances.pair_sums import PairSums, score_interval
from shiftbench.distances.samples import Samples
from shiftbench.distances.shift import Distance, Shift
from shiftbench.errors import ConfigurationError

__all__ = ["ENERGY", "FACTORS", "MMD", "energy", "median_bandwidth", "mmd"]

FACTORS = (4.0, 2.0, 1.0, 0.5, 0.25)
"""Of the bandwidth, for the aggregated test."""

Bandwidths = Literal["aggregate", "single"] | Sequence[float]


def mmd(
    samples: Samples,
    *,
    n_permutations: int,
    level: float,
    seed: int,
    bandwidth: float | None = None,
    bandwidths: Bandwidths = "aggregate",
    features: int | None = None,
) -> Shift:
    """The squared maximum mean discrepancy with a Gaussian kernel, unbiased.

    The value is MMD² = E k(X, X') + E k(Y, Y') − 2 E k(X, Y) with k = exp(−‖x − y‖²/(2σ²)); it lies
    below 0 where chance has it so. It compares with others of the same bandwidth only.

    Parameters
    ----------
    samples : Samples
        Pairs inside one cluster are left out of all three means.
    n_permutations, level, seed
        See `shiftbench.distances.measure`.
    bandwidth : float, optional
        σ. By default the median distance of the source.
    bandwidths : "aggregate", "single" or sequence of float
        Of the test: σ times 4, 2, 1, ½ and ¼, σ alone, or σ times these. The p-value is one, and
        valid, whatever their number.
    features : int, optional
        Of how many random frequencies the kernel is made, in place of all pairs: time is then
        linear in n, and `parameters` has ``frequency_se``, the standard error that comes of it,
        which the interval includes.

    Returns
    -------
    Shift

    Raises
    ------
    ConfigurationError
        More than 10,000 examples and no `features`, fewer than two clusters on a side, an option
        out of its range, or a source whose examples are all the same and no bandwidth.

    Notes
    -----
    The interval is `shiftbench.distances.pair_sums.score_interval`; of the value at this bandwidth,
    not of what another source's median would give.

    References
    ----------
    Gretton et al., A Kernel Two-Sample Test, JMLR 13 (2012), lemma 6; Schrab et al., MMD Aggregated
    Two-Sample Test, JMLR 24 (2023); Rahimi & Recht, NIPS 2007.

    Examples
    --------
    >>> from shiftbench.distances import measure
    >>> x = np.random.default_rng(0).normal(size=(80, 3))
    >>> found = measure("mmd", x[:40], x[40:] + 1.0, seed=0)
    >>> round(found.value, 2), found.p_value < 0.01, found.low > 0
    (0.16, True, True)
    """
    check_clusters(samples)
    factors = _factors(bandwidths)
    sigma, origin = bandwidth_of(samples, bandwidth, seed)
    known: dict[str, Any] = {"bandwidth": sigma, "bandwidth_from": origin, "factors": factors}
    drawn = permutations_of(samples, n_permutations, seed) if n_permutations else None
    tested = factors if drawn else []
    nulls = []
    if features is None:
        check_size(samples, "mmd", "or features=512 for a form that is linear in n")
        extra = 0.0
        squared = squared_distances(samples.features)
        every = sorted({1.0, *tested}, reverse=True)
        for factor, kernel in zip(
            every, gaussians(squared, [f * sigma for f in every]), strict=True
        ):
            drop_own(kernel, samples.clusters)
            if factor == 1:
                sums = pair_sums(samples, kernel, seed)
            if drawn and factor in tested:
                nulls.append(null_of(samples, kernel, drawn.labels))
    else:
        n = check_count(features, "features")
        unit = frequencies_of(n, samples.features.shape[1], 1.0, seed)
        found = fourier_sums(samples, unit / sigma, seed)
        sums, extra = found.pairs, found.se**2
        known |= {"features": n, "frequency_se": found.se}
        if drawn:
            nulls = [fourier_null(samples, unit / (f * sigma), drawn.labels) for f in tested]
    return shift_of(sums, nulls, drawn, level, known, extra)


def energy(samples: Samples, *, n_permutations: int, level: float, seed: int) -> Shift:
    """The energy distance, unbiased.

    2 E‖X − Y‖ − E‖X − X'‖ − E‖Y − Y'‖, in the features' own unit; it lies below 0 where chance has
    it so.

    Parameters
    ----------
    samples : Samples
        Pairs inside one cluster are left out of all three means.
    n_permutations, level, seed
        See `shiftbench.distances.measure`.

    Returns
    -------
    Shift

    Raises
    ------
    ConfigurationError
        More than 10,000 examples, or fewer than two clusters on a side.

    References
    ----------
    Székely & Rizzo, Energy statistics, J. Stat. Plan. Inference 143 (2013), equation 5; as MMD²
    with the kernel −‖x − y‖: Sejdinovic et al., Ann. Stat. 41 (2013).

    Examples
    --------
    >>> from shiftbench.distances import measure
    >>> measure("energy", [0.0, 0.0, 0.0, 0.0], [3.0, 3.0, 3.0, 3.0]).value  # of two points
    6.0
    """
    check_clusters(samples)
    check_size(samples, "energy", "or use mmd with features=512, which is linear in n")
    kernel = drop_own(-np.sqrt(squared_distances(samples.features)), samples.clusters)
    drawn = permutations_of(samples, n_permutations, seed) if n_permutations else None
    nulls = [null_of(samples, kernel, drawn.labels)] if drawn else []
    return shift_of(pair_sums(samples, kernel, seed), nulls, drawn, level, {})


def shift_of(
    sums: PairSums,
    nulls: Sequence[Null],
    drawn: Permutations | None,
    level: float,
    known: dict[str, Any],
    extra: float = 0.0,
) -> Shift:
    """The result of a distance that is a difference of mean products.

    Parameters
    ----------
    sums : PairSums
    nulls : sequence of Null
        Of the test; none where nothing was `drawn`.
    drawn : Permutations or None
    level : float
    known : dict
        Parameters.
    extra : float
        See `score_interval`.
    """
    interval = score_interval(sums, level, extra)
    p = None
    if drawn:
        p = combined_p_value(nulls, drawn.exact)
        count = len(drawn.labels) - 1
        known = known | {"permutations": count, "all_permutations": drawn.exact}
    return Shift(
        sums.value,
        interval.low,
        interval.high,
        level,
        interval.method,
        p_value=p,
        se=interval.se,
        parameters=known,
    )


def bandwidth_of(samples: Samples, bandwidth: float | None, seed: int) -> tuple[float, str]:
    """The bandwidth given, or the median distance of the source; and which it is.

    Raises
    ------
    ConfigurationError
        It is no positive number, or the source has no median distance.
    """
    if bandwidth is not None:
        return check_bandwidth(bandwidth), "given"
    found, origin = median_distance(samples.source, samples.clusters[: samples.n_source], seed)
    if found > 0:
        return found, origin
    if (samples.features == samples.features[0]).all():
        return 1.0, "any: all examples are the same"
    raise ConfigurationError(
        "all examples of the source are the same (or of one cluster), so that they have no median "
        "distance; give a bandwidth, such as median_bandwidth of a reference"
    )


def check_clusters(samples: Samples) -> None:
    """Each side must have two clusters.

    Raises
    ------
    ConfigurationError
        One has fewer.
    """
    for side, n in zip(("source", "target"), samples.n_clusters, strict=True):
        if n < 2:
            raise ConfigurationError(
                f"the {side} is of {n} cluster; pairs are made across clusters, so that at least 2 "
                "are needed on each side"
            )


def check_size(samples: Samples, name: str, otherwise: str) -> None:
    """All pairs must fit in memory.

    Raises
    ------
    ConfigurationError
        There are more examples than `LARGEST`.
    """
    n = len(samples.clusters)
    if n > LARGEST:
        raise ConfigurationError(
            f"{name} of all pairs takes at most {LARGEST} examples of both sides together, and "
            f"there are {n}; give it a random part of them, {otherwise}"
        )


def _factors(bandwidths: Bandwidths) -> list[float]:
    """Falling, so that each kernel can be made of the one before."""
    if isinstance(bandwidths, str):
        named = {"aggregate": list(FACTORS), "single": [1.0]}
        if bandwidths in named:
            return named[bandwidths]
    else:
        found = sorted({float(b) for b in bandwidths}, reverse=True)
        if found and all(0 < f < math.inf for f in found):
            return found
    raise ConfigurationError(
        f"bandwidths is {bandwidths!r}; allowed: 'aggregate', 'single', or positive factors of the "
        "bandwidth, such as [2, 1, 0.5]"
    )


MMD = Distance(
    "mmd",
    "covariate",
    "features",
    mmd,
    "squared maximum mean discrepancy, Gaussian kernel, unbiased",
    symmetric=False,
    bounds=(0.0, 2.0),
)
ENERGY = Distance(
    "energy",
    "covariate",
    "features",
    energy,
    "energy distance, unbiased",
    symmetric=True,
)
