"""Where two samples overlap: a cross-fitted probability of the target given the features."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.basis import Basis, folds_of_clusters, pooled_basis
from shiftbench.distances.nuisance import crossfit_logistic
from shiftbench.distances.samples import Samples
from shiftbench.statistics import Clusters, stream
from shiftbench.statistics.delong import Spread, placements, two_sample_spread
from shiftbench.statistics.permutation import permutation_p_values

__all__ = [
    "Domain",
    "auc_of_folds",
    "domain_of",
    "inflation_of",
    "sign_flip_p_value",
    "spread_after_fits",
    "spread_of",
]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

FOLDS = 5
LANDMARKS = 60
LINEAR = 100
_CELLS = 4_000_000  # signs held at a time
FEWEST = 5.0
"""Effective units (clusters) that each side needs where the two overlap."""
BETWEEN = (0.1, 0.9)
"""Probabilities of the target between which an example counts as overlapping."""


@dataclass(frozen=True)
class Domain:
    """The domain classifier and what it says of the overlap.

    Attributes
    ----------
    probability : (n,) float64 array
        Of the target given the features were both sides equally frequent, from models that were
        fitted without the row's fold of clusters.
    weights : (n,) float64 array
        Of rows, so that both sides weigh the same; they sum to n.
    residual : (n,) float64 array
        1 for the target, 0 for the source, less `probability`.
    fold : (n,) int64 array
    basis : Basis
    auc : float
        Of the probabilities, within folds.
    share : float
        Of rows (so weighted) with probabilities between 0.1 and 0.9.
    effective : (float, float)
        Effective number of the source's and of the target's clusters under overlap weights,
        (Σw)² / Σw² of their sums, w being the probability of the other side.
    overlapping : (int, int)
        Clusters of the source and of the target with a row between 0.1 and 0.9.
    penalties : (float, float)
    df : float
        Effective parameters of the classifier.
    units : float
        Effective number of clusters, both sides weighing the same.
    """

    probability: Floats
    weights: Floats
    residual: Floats
    fold: Codes
    basis: Basis
    auc: float
    share: float
    effective: tuple[float, float]
    overlapping: tuple[int, int]
    penalties: tuple[float, float]
    df: float
    units: float

    @property
    def refusal(self) -> str:
        """Why the two cannot be compared at equal features; empty where they can."""
        # Each fit errs by about √(d / c); their product has to be below the noise, 1 / √c.
        dimensions = self.basis.dimensions
        if dimensions**2 > self.units:
            return (
                f"cannot tell: the features have {dimensions:.0f} effective dimensions, too many "
                f"to compare the two sides at equal features with {self.units:.0f} effective "
                f"clusters; at most {math.sqrt(self.units):.0f}, their root: reduce the features"
            )
        if min(*self.effective, *self.overlapping) >= FEWEST:
            return ""
        return (
            "cannot tell: no overlap; of source and target, "
            f"{self.overlapping[0]} and {self.overlapping[1]} clusters lie where either side has "
            f"a probability of {BETWEEN[0]} to {BETWEEN[1]}, effectively {self.effective[0]:.1f} "
            f"and {self.effective[1]:.1f}, and {FEWEST:.0f} of each are needed"
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """What to report beside a value that rests on the overlap."""
        return {
            "domain_classifier": "logistic regression on linear and Gaussian kernel features",
            "domain_auc": None if math.isnan(self.auc) else self.auc,
            "domain_penalties": list(self.penalties),
            "bandwidth": self.basis.bandwidth,
            "folds": FOLDS,
            "overlap_share": self.share,
            "overlap_effective_clusters": list(self.effective),
            "overlapping_clusters": list(self.overlapping),
            "effective_dimensions": self.basis.dimensions,
        }


def domain_of(samples: Samples, seed: int) -> Domain:
    """Fit the domain classifier and take stock of the overlap.

    Examples
    --------
    >>> x = np.concatenate([np.arange(40.0), 5 + np.arange(40.0)])[:, None]
    >>> found = domain_of(Samples(x, 40, np.arange(80)), seed=0)
    >>> found.refusal, found.share > 0.9
    ('', True)
    >>> x[40:] += 100
    >>> domain_of(Samples(x, 40, np.arange(80)), seed=0).refusal[:23]
    'cannot tell: no overlap'
    """
    n, target = len(samples.clusters), (~samples.is_source).astype(np.float64)
    fold = folds_of_clusters(samples, FOLDS, seed, stratified=True)
    basis = pooled_basis(samples, LANDMARKS, seed, linear=LINEAR)
    weights = np.where(samples.is_source, n / (2 * samples.n_source), n / (2 * samples.n_target))
    found = crossfit_logistic(basis, target, weights, fold)
    p = found.values
    between = (p >= BETWEEN[0]) & (p <= BETWEEN[1])
    sides = (samples.is_source, ~samples.is_source)
    units = Clusters(samples.clusters, len(samples.strata))
    sums = [units.sums(np.where(s, other, 0.0)) for s, other in zip(sides, (p, 1 - p), strict=True)]
    effective = [float(w.sum() ** 2 / max((w**2).sum(), 1e-300)) for w in sums]
    overlapping = [len(np.unique(samples.clusters[s & between])) for s in sides]
    return Domain(
        p,
        weights,
        target - p,
        fold,
        basis,
        auc_of_folds(p, samples, fold)[0],
        float(weights @ between / n),
        (effective[0], effective[1]),
        (overlapping[0], overlapping[1]),
        found.penalties[0],
        float(found.df[0]),
        float((own := units.sums(weights)).sum() ** 2 / (own**2).sum()),
    )


def spread_of(values: Floats, samples: Samples) -> Spread:
    """The sampling variance of the sum of the two sides' means of influences, by cluster.

    Examples
    --------
    >>> s = Samples(np.zeros((4, 1)), 2, np.arange(4))
    >>> spread_of(np.array([0.0, 1.0, 0.0, 1.0]), s).variance
    0.5
    """
    n = samples.n_source
    pair = None
    if samples.clustered:
        total = len(samples.strata)
        codes = samples.clusters
        pair = (Clusters(codes[:n], total), Clusters(codes[n:], total))
    return two_sample_spread(values[:n], values[n:], pair)


def spread_after_fits(influence: Floats, samples: Samples, domain: Domain, df: float) -> Spread:
    """The same for an estimate that rests on the domain classifier and on regressions.

    Parameters
    ----------
    influence : (n,) float64 array
    samples : Samples
    domain : Domain
    df : float
        Effective parameters of the regressions.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> s = Samples(rng.normal(size=(80, 1)), 40, np.arange(80))
    >>> domain, influence = domain_of(s, seed=0), rng.normal(size=80)
    >>> plain, after = spread_of(influence, s), spread_after_fits(influence, s, domain, 1e9)
    >>> bool(np.isclose(after.variance, 2 * plain.variance))
    True
    """
    found = spread_of(influence, samples)
    factor = inflation_of(domain, df)
    return Spread(factor * found.variance, found.df, found.n_clusters, found.units, found.across)


def sign_flip_p_value(
    products: Floats, df: Floats, samples: Samples, domain: Domain, n_flips: int, seed: int
) -> float:
    """Of the largest of several studentised sums being 0, by flipping the signs of whole clusters.

    Parameters
    ----------
    products : (n, k) float64 array
        The rows' parts of each sum.
    df : (k,) float64 array
        Effective parameters of the regression that each rests on.
    samples : Samples
    domain : Domain
    n_flips : int
    seed : int

    References
    ----------
    Chung & Romano, Ann. Stat. 41 (2013), studentised randomisation; (b + 1)/(m + 1): Phipson &
    Smyth (2010).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> s = Samples(rng.normal(size=(80, 1)), 40, np.arange(80))
    >>> sign_flip_p_value(np.ones((80, 1)), np.zeros(1), s, domain_of(s, seed=0), 99, seed=0)
    0.01
    """
    sums = Clusters(samples.clusters, len(samples.strata)).sums(products)
    size = np.sqrt((sums**2).sum(axis=0))
    sums = sums[:, size > 0] / size[size > 0]
    if not sums.shape[1]:
        return 1.0
    inflation = np.array([inflation_of(domain, float(one)) for one in df[size > 0]])
    observed = float((np.abs(sums.sum(axis=0)) / np.sqrt(inflation)).max())
    rng = stream(seed, "sign flips of clusters")
    step = max(1, _CELLS // len(sums))
    drawn: list[Floats] = []
    for start in range(0, n_flips, step):
        signs = rng.integers(0, 2, size=(min(step, n_flips - start), len(sums))) * 2.0 - 1
        drawn.append(np.abs(signs @ sums).max(axis=1))
    return float(permutation_p_values([observed], np.concatenate(drawn)[:, None])[0])


def inflation_of(domain: Domain, df: float) -> float:
    """How much the fits add to a variance: c / (c − parameters), at most 2.

    Each pair of examples in different folds enters a product of two residuals twice, as the error
    of either fit; that is a share of the variance of about parameters / c, and is not seen by
    sums over clusters. The factor is that of the HC1 variance; c is the effective number of
    clusters, both sides weighing the same.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> s = Samples(rng.normal(size=(80, 1)), 40, np.arange(80))
    >>> inflation_of(domain_of(s, seed=0), 1e9)
    2.0
    """
    c = domain.units
    return c / max(c - domain.df - df, c / 2)


def auc_of_folds(scores: Floats, samples: Samples, fold: Codes) -> tuple[float, Spread]:
    """The mean over folds of the AUC inside them, weighted by pairs, and DeLong's spread of it.

    Scores of different folds come from different models and are not compared. The spread is that
    of the folds' AUCs were their models fixed.

    Returns
    -------
    value, spread
        nan where no fold has examples of both sides.

    References
    ----------
    LeDell, Petersen & van der Laan, Electron. J. Stat. 9 (2015), influence curves of
    cross-validated AUC.

    Examples
    --------
    >>> s = Samples(np.zeros((4, 1)), 2, np.arange(4))
    >>> auc_of_folds(np.array([0.1, 0.2, 0.3, 0.15]), s, np.array([0, 1, 0, 1]))[0]
    0.5
    """
    influence, weight = np.zeros(len(scores)), np.zeros(len(scores))
    total = value = 0.0
    for k in range(int(fold.max()) + 1):
        one = np.flatnonzero((fold == k) & samples.is_source)
        two = np.flatnonzero((fold == k) & ~samples.is_source)
        if not len(one) or not len(two):
            continue
        above, below = placements(scores[one], scores[two])
        total += len(one) * len(two)
        value += float(len(one) * below.sum())
        weight[one], weight[two] = len(two) * samples.n_source, len(one) * samples.n_target
        influence[one], influence[two] = above, below
    if not total:
        return math.nan, Spread(math.nan, 0.0, None, samples.n_clusters)
    value /= total
    return value, spread_of(weight * (influence - value) / total, samples)
