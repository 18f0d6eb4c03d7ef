"""Families of known shifts: what the distances are tried on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

D = 10


@dataclass(frozen=True)
class Sample:
    """Features, labels by a rule, and the errors of the model that knows the source's rule."""

    features: Floats
    labels: Labels
    losses: Floats


def _sample(x: Floats, rng: np.random.Generator, flipped: float = 0.0) -> Sample:
    """P(y = 1 | x) rises with the first two features; `flipped` turns it where the third is > 0."""
    odds = 1.5 * x[:, 0] + 0.7 * x[:, 1]
    chance = 1 / (1 + np.exp(-odds))
    chance = np.where(x[:, 2] > 0, (1 - flipped) * chance + flipped * (1 - chance), chance)
    y = (rng.random(len(x)) < chance).astype(np.int64)
    return Sample(x, y, ((odds > 0) != y).astype(np.float64))


def none(rng: np.random.Generator, n: int, strength: float) -> Sample:
    return _sample(rng.normal(size=(n, D)), rng)


def mean(rng: np.random.Generator, n: int, strength: float) -> Sample:
    x = rng.normal(size=(n, D))
    x[:, 0] += strength
    return _sample(x, rng)


def scale(rng: np.random.Generator, n: int, strength: float) -> Sample:
    return _sample(rng.normal(size=(n, D)) * (1 + strength), rng)


def rotation(rng: np.random.Generator, n: int, strength: float) -> Sample:
    """Two independent features become correlated: no single feature changes."""
    x = rng.normal(size=(n, D))
    x[:, 1] = strength * x[:, 0] + np.sqrt(1 - strength**2) * x[:, 1]
    return _sample(x, rng)


def mixture(rng: np.random.Generator, n: int, strength: float) -> Sample:
    """One feature becomes two bumps, with its mean and variance as they were."""
    x = rng.normal(size=(n, D))
    side = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    x[:, 0] = strength * side + np.sqrt(1 - strength**2) * x[:, 0]
    return _sample(x, rng)


def rare(rng: np.random.Generator, n: int, strength: float) -> Sample:
    """A share of the examples comes from far away."""
    x = rng.normal(size=(n, D))
    x[rng.random(n) < strength] += 2.0
    return _sample(x, rng)


def flip(rng: np.random.Generator, n: int, strength: float) -> Sample:
    """The features are as they were; the rule of the labels is turned on half of the space."""
    return _sample(rng.normal(size=(n, D)), rng, flipped=strength)


def prior(rng: np.random.Generator, n: int, strength: float) -> Sample:
    """More examples of the second class; each class looks as it did."""
    big = _sample(rng.normal(size=(6 * n, D)), rng)
    wanted = (rng.random(n) < 0.5 + strength).astype(np.int64)
    at = np.empty(n, dtype=np.int64)
    for k in (0, 1):
        at[wanted == k] = np.flatnonzero(big.labels == k)[: int((wanted == k).sum())]
    return Sample(big.features[at], big.labels[at], big.losses[at])


SHIFTS: Mapping[str, tuple[Callable[[np.random.Generator, int, float], Sample], float]] = {
    "none": (none, 0.0),
    "mean + 0.5 σ of one of 10 features": (mean, 0.5),
    "scale × 1.3": (scale, 0.3),
    "rotation (correlation 0 → 0.7)": (rotation, 0.7),
    "mixture (two bumps)": (mixture, 0.9),
    "rare subpopulation (5 %)": (rare, 0.05),
    "class prior 0.5 → 0.7": (prior, 0.2),
    "label flip on half of the space": (flip, 0.8),
}
"""What is drawn for the target, and how strong it is; the source is `none`."""
