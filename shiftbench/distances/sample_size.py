"""How many examples it takes to see a shift of the size that a pilot shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftbench.distances.measured import distance_named, measure
from shiftbench.distances.samples import Samples, two_samples
from shiftbench.distances.shift import Distance
from shiftbench.errors import ConfigurationError
from shiftbench.statistics import Estimate, stream

__all__ = ["Power", "power"]

Floats = NDArray[np.float64]

_SHARES = (0.1, 0.2, 0.35, 0.5, 0.7)
"""Default sizes, as shares of the smaller side: near all of it subsamples are all alike."""
_MOST = 1_000_000_000


@dataclass(frozen=True)
class Power:
    """What a test would find at several sizes, and the size that it needs.

    Attributes
    ----------
    distance : str
    power, alpha : float
        Wanted: the share of samples in which a shift is found, at this level.
    sizes : tuple of int
        Clusters a side (examples, where each is its own cluster) that were tried.
    rates : tuple of Estimate
        The power at each; `parameters` has how many subsamples were rejected.
    needed_clusters : int or None
        Clusters a side for the power wanted; None where the pilot cannot tell.
    needed_low, needed_high : int or None
        95 % interval of it; no high where the pilot admits that nothing shifted.
    needed_examples : int or None
        On the side whose clusters are larger.
    extrapolated : bool
        The size needed lies outside those tried.
    p_value : float
        Of the whole pilot.
    runs : int
        Tests that were run.
    method : str

    Examples
    --------
    >>> Power("mmd", 0.8, 0.05, (20, 40), (), 64, 40, 110, 64, True, 0.001, 400, "")
    Power(mmd: 64 clusters a side [40, 110] for power 0.8, extrapolated)
    """

    distance: str
    power: float
    alpha: float
    sizes: tuple[int, ...]
    rates: tuple[Estimate, ...]
    needed_clusters: int | None
    needed_low: int
    needed_high: int | None
    needed_examples: int | None
    extrapolated: bool
    p_value: float
    runs: int
    method: str

    def __repr__(self) -> str:
        high = "∞" if self.needed_high is None else self.needed_high
        needed = "cannot tell how many" if self.needed_clusters is None else self.needed_clusters
        return (
            f"Power({self.distance}: {needed} clusters a side [{self.needed_low}, {high}] for "
            f"power {self.power:g}{', extrapolated' if self.extrapolated else ''})"
        )


def power(
    name: str,
    source: ArrayLike,
    target: ArrayLike,
    *,
    clusters: tuple[Any, Any] | None = None,
    labels: tuple[Any, Any] | None = None,
    losses: tuple[Any, Any] | None = None,
    power: float = 0.8,
    alpha: float = 0.05,
    sizes: Sequence[int] | None = None,
    repeats: int = 200,
    n_permutations: int = 199,
    seed: int = 0,
    **options: Any,
) -> Power:
    """How many clusters a side a test needs to see a shift like the one between two pilot samples.

    Subsamples of whole clusters are drawn without replacement (with it, the repeated examples
    would themselves be a difference) and tested by the distance's own permutations.

    Parameters
    ----------
    name : str
        A registered distance that has a test.
    source, target : (m, d) and (n, d) arrays
        The pilot; for the distances between labels the labels, (m,) and (n,).
    clusters, labels, losses : pairs, optional
        As in `measure`. A cluster on both sides is drawn for both at once where it can be.
    power, alpha : float
        The share of samples in which the shift is to be found, and the level of the test.
    sizes : sequence of int, optional
        Clusters a side, below the pilot's; by default five from a tenth to 70 % of it.
    repeats : int
        Subsamples a size: the cost is that of ``repeats × len(sizes)`` tests.
    n_permutations : int
        Of each test.
    seed : int
    **options
        The distance's own; a bandwidth given here holds for all sizes.

    Returns
    -------
    Power

    Raises
    ------
    ConfigurationError
        The distance has no test, the permutations are too few for `alpha`, a size is not below the
        pilot's, or the pilot is too small.

    Notes
    -----
    In the probit of the power a test's signal stands in units of its own standard deviation. Of g
    clusters drawn from C, a share g/C of the variance is held back by the pilot, so that the
    probit of the share of subsamples rejected is multiplied by √(1 − g/C). A line in √g, not
    falling, is fitted to it, and gives the size at which it reaches the power wanted. The pilot is
    one draw: on this scale it errs by √(g/C) at size g (the standard error that its own signal
    has), which with the fit's error makes the interval. Where the line less that never reaches the
    power there is no upper end, and where the whole pilot's test does not reject, no size at all,
    but only the lower one.

    The approximation is that the statistic's spread does not depend on the size; tests of
    quadratic statistics (MMD, energy, moments) bend a little, which a line over sizes that reach
    the power meets well and an extrapolation less well.

    References
    ----------
    Politis, Romano & Wolf, Subsampling (1999); the variance of subsample averages: Hoeffding, Ann.
    Math. Stat. 19 (1948); probit fits weighted by the delta method: Finney, Probit Analysis (1971).

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(120, 1))
    >>> found = power("ks", x[:60], x[60:] + 1.0, repeats=40, n_permutations=99)
    >>> found.needed_low < found.needed_clusters < 45, found.p_value < 0.01
    (True, True)
    """
    distance = distance_named(name)
    _checked(distance, power, alpha, repeats, n_permutations)
    pilot = two_samples(
        source,
        target,
        takes=distance.takes,
        clusters=clusters,
        labels=labels,
        losses=losses,
        fewest=distance.fewest,
    )
    whole = min(pilot.n_clusters)
    tried = _sizes(sizes, whole, distance.fewest)
    rejected = []
    for size in tried:
        found = 0
        for repeat in range(repeats):
            rows = _drawn(pilot, size, stream(seed, "power", f"{size}\x1f{repeat}"))
            p_value = _p_value(pilot, rows, distance, n_permutations, seed + repeat, options)
            found += p_value <= alpha
        rejected.append(found)
    every = np.arange(len(pilot.clusters))
    p_pilot = _p_value(pilot, every, distance, max(n_permutations, 999), seed, options)
    curve = _Curve.fitted(np.array(tried), np.array(rejected), repeats, whole)
    low = curve.reaches(power, 1.0)
    high = curve.reaches(power, -1.0)
    needed = curve.reaches(power, 0.0) if p_pilot <= alpha else None
    per_cluster = max(
        n / c for n, c in zip((pilot.n_source, pilot.n_target), pilot.n_clusters, strict=True)
    )
    outside = needed is None or not tried[0] <= needed <= tried[-1]
    words = "probit line in the root of the size, over subsamples of whole clusters"
    if needed is None:
        words = "cannot tell: the pilot does not show the shift; the lower bound is by a " + words
    elif outside:
        words += "; extrapolated beyond the sizes tried"
    return Power(
        distance=name,
        power=power,
        alpha=alpha,
        sizes=tuple(tried),
        rates=tuple(curve.rate(i, repeats, rejected[i], pilot) for i in range(len(tried))),
        needed_clusters=needed,
        needed_low=low or _MOST,
        needed_high=high if needed is not None else None,
        needed_examples=None if needed is None else math.ceil(needed * per_cluster),
        extrapolated=outside,
        p_value=p_pilot,
        runs=repeats * len(tried) + 1,
        method=words,
    )


@dataclass(frozen=True)
class _Curve:
    """The probit of the power at each size, and a line in the root of the size."""

    sizes: Floats
    probits: Floats
    errors: Floats
    whole: int
    line: tuple[float, float]
    covariance: Floats

    @classmethod
    def fitted(cls, sizes: Any, rejected: Any, repeats: int, whole: int) -> _Curve:
        from scipy.special import ndtri
        from scipy.stats import norm

        rate = (rejected + 0.5) / (repeats + 1)
        kept_back = np.sqrt(1 - sizes / whole)
        probits = ndtri(rate) * kept_back
        errors = np.sqrt(rate * (1 - rate) / repeats) / norm.pdf(ndtri(rate)) * kept_back
        design = np.column_stack([np.ones(len(sizes)), np.sqrt(sizes)])
        scaled = design / errors[:, None]
        covariance = np.linalg.pinv(scaled.T @ scaled)
        at, slope = covariance @ scaled.T @ (probits / errors)
        if slope <= 0:
            slope, at = 0.0, float(np.average(probits, weights=errors**-2))
        return cls(
            sizes.astype(np.float64), probits, errors, whole, (float(at), float(slope)), covariance
        )

    def at(self, size: float, side: float) -> float:
        """The line at a size, and `side` times how far it may be off at 95 %."""
        root = math.sqrt(size)
        mean = self.line[0] + self.line[1] * root
        fit = self.covariance[0, 0] + 2 * root * self.covariance[0, 1]
        fit += size * self.covariance[1, 1]
        return mean + side * 1.959964 * math.sqrt(max(fit, 0.0) + size / self.whole)

    def reaches(self, power: float, side: float) -> int | None:
        """The least size, to half a percent, at which the line or its bound reaches the power."""
        from scipy.special import ndtri

        wanted = float(ndtri(power))
        sizes: list[int] = np.unique(np.geomspace(2, _MOST, 4000).astype(np.int64)).tolist()
        return next((size for size in sizes if self.at(size, side) >= wanted), None)

    def rate(self, i: int, repeats: int, rejected: int, pilot: Samples) -> Estimate:
        """The power at one size tried."""
        from scipy.special import ndtr

        size = float(self.sizes[i])
        off = 1.959964 * math.sqrt(self.errors[i] ** 2 + size / self.whole)
        low, value, high = (float(ndtr(self.probits[i] + s * off)) for s in (-1, 0, 1))
        per_cluster = (pilot.n_source + pilot.n_target) / sum(pilot.n_clusters)
        return Estimate(
            value,
            low,
            high,
            method="probit of the subsamples' rate, with the pilot's own error",
            n=round(size * per_cluster),
            n_clusters=int(size),
            parameters={"subsamples": repeats, "rejected": int(rejected)},
        )


def _drawn(pilot: Samples, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of `size` clusters of each side: those that come first in one random order of all."""
    rank = rng.permutation(len(pilot.strata))
    rows = []
    for side in (np.flatnonzero(pilot.is_source), np.flatnonzero(~pilot.is_source)):
        clusters = np.unique(pilot.clusters[side])
        chosen = clusters[np.argsort(rank[clusters])[:size]]
        rows.append(side[np.isin(pilot.clusters[side], chosen)])
    return np.concatenate(rows)


def _p_value(
    pilot: Samples,
    rows: NDArray[np.int64],
    distance: Distance,
    n_permutations: int,
    seed: int,
    options: dict[str, Any],
) -> float:
    first, second = rows[rows < pilot.n_source], rows[rows >= pilot.n_source]
    names = np.array(pilot.levels, dtype=object)

    def pair(values: Any) -> tuple[Any, Any] | None:
        return None if values is None else (values[first], values[second])

    labels = pair(None if pilot.labels is None else names[pilot.labels])
    only = distance.takes == "labels"
    compared = labels if only and labels else (pilot.features[first], pilot.features[second])
    found = measure(
        distance.name,
        *compared,
        clusters=pair(pilot.clusters),
        labels=None if only else labels,
        losses=pair(pilot.losses),
        n_permutations=n_permutations,
        seed=seed,
        **options,
    )
    return 1.0 if found.p_value is None else found.p_value


def _sizes(sizes: Sequence[int] | None, whole: int, fewest: int) -> list[int]:
    if sizes is None:
        least = max(fewest, 4)
        found = sorted({max(least, round(share * whole)) for share in _SHARES})
        found = [size for size in found if size < whole]
    else:
        found = sorted(set(sizes))
    bad = [s for s in found if isinstance(s, bool) or s != int(s) or not fewest <= s < whole]
    if bad or len(found) < 2:
        raise ConfigurationError(
            f"sizes {bad or found} cannot be drawn from a pilot of {whole} clusters a side; give "
            f"two or more whole numbers from {fewest} to {whole - 1}, or a larger pilot"
        )
    return [int(size) for size in found]


def _checked(
    distance: Distance, power: float, alpha: float, repeats: int, n_permutations: int
) -> None:
    if not distance.tested:
        raise ConfigurationError(f"{distance.name} has no test, so there is no power of it")
    for what, value in (("power", power), ("alpha", alpha)):
        if isinstance(value, bool) or not 0 < value < 1:
            raise ConfigurationError(f"{what} is {value!r}; allowed: between 0 and 1")
    if alpha >= power:
        raise ConfigurationError(
            f"a power of {power} at the level {alpha} takes no shift; give power > alpha"
        )
    if repeats < 20:
        raise ConfigurationError(f"repeats is {repeats}; allowed: 20 and above")
    if (n_permutations + 1) * alpha < 1:
        raise ConfigurationError(
            f"with {n_permutations} permutations no p-value reaches {alpha}; give at least "
            f"{math.ceil(1 / alpha) - 1}"
        )
