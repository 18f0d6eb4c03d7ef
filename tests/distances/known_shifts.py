"""Pairs of samples whose kernel distances are known, and null cases, for tests of validity."""

from __future__ import annotations

from math import exp, lgamma, sqrt

import numpy as np
from scipy.special import hyp1f1
from scipy.stats import binom


def gaussians(rng, n, width, shift=0.0, size=1):
    """Two standard normal samples, the target moved along the first axis; and their clusters.

    Clusters are of `size` examples with intraclass correlation ½, `n` counts examples.
    """

    def sample(count):
        own = rng.normal(size=(count, width))
        if size == 1:
            return own
        of_cluster = np.repeat(rng.normal(size=(count // size, width)), size, axis=0)
        return sqrt(0.5) * (own + of_cluster)

    source, target = sample(n[0]), sample(n[1])
    target[:, 0] += shift
    clusters = (np.arange(n[0]) // size, n[0] + np.arange(n[1]) // size)
    return source, target, clusters


def mmd2(width, bandwidth, shift):
    """MMD² of N(0, I) and N(shift e₁, I)."""
    spread = bandwidth**2 + 2
    scale = (bandwidth**2 / spread) ** (width / 2)
    return 2 * scale * (1 - exp(-(shift**2) / (2 * spread)))


def energy_distance(width, shift):
    """Of N(0, I) and N(shift e₁, I)."""

    def mean_norm(gap):  # of N(gap e₁, 2 I)
        first = 2 * exp(lgamma((width + 1) / 2) - lgamma(width / 2))
        return first * hyp1f1(-0.5, width / 2, -(gap**2) / 4)

    return 2 * (mean_norm(shift) - mean_norm(0.0))


def most_rejections(repeats, rate, cells):
    """The upper end of a family-wise 99.9 % binomial band over some cells."""
    return int(binom.ppf(1 - 0.001 / cells, repeats, rate))


def fewest_hits(repeats, rate, cells):
    """The lower end of such a band."""
    return int(binom.ppf(0.001 / cells, repeats, rate))


NULLS = {
    "50": lambda rng: gaussians(rng, (50, 50), 2),
    "200": lambda rng: gaussians(rng, (200, 200), 2),
    "unequal": lambda rng: gaussians(rng, (30, 120), 5),
    "wide": lambda rng: gaussians(rng, (50, 50), 100),
    "clusters": lambda rng: gaussians(rng, (160, 160), 3, size=8),
    "ties": lambda rng: (
        rng.integers(0, 3, (50, 1)),
        rng.integers(0, 3, (50, 1)),
        (np.arange(50), 50 + np.arange(50)),
    ),
    "across": lambda rng: across(rng),
}
"""Cases where nothing shifted; the clusters are 40 of 8 examples."""


def across(rng, clusters=30, size=4):
    """A third of the clusters in the source, a third in the target, a third with rows in both."""
    of = np.repeat(np.arange(clusters), size)
    x = rng.normal(size=(clusters, 3))[of] + rng.normal(size=(clusters * size, 3))
    first = np.tile(np.arange(size) < size // 2, clusters)
    first = np.where(of < clusters // 3, True, np.where(of < 2 * clusters // 3, False, first))
    return x[first], x[~first], (of[first], of[~first])
