"""What levels or a classifier tell of the side that an example is from, in bits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.boundary import nonnegative_interval, root_variance
from shiftbench.distances.discriminant import Fit, coin_weights
from shiftbench.distances.label_distances import jensen_shannon
from shiftbench.distances.labelled_samples import n_levels
from shiftbench.distances.samples import Samples
from shiftbench.distances.shares import counts_by, counts_without_groups
from shiftbench.statistics import Clusters, Estimate
from shiftbench.statistics.delong import Spread, two_sample_spread
from shiftbench.statistics.estimate import NAN, normal_interval
from shiftbench.statistics.jackknife import jackknife

__all__ = ["at_least", "gain_of", "information", "plug_in_loss"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_GROUPS = 100


def plug_in_loss(samples: Samples, codes: Codes) -> Floats:
    """Bits each row's side costs under the plug-in odds of its level, both sides weighing alike.

    Examples
    --------
    >>> samples = Samples(np.empty((4, 0)), 2, np.arange(4))
    >>> plug_in_loss(samples, np.array([0, 1, 0, 1])).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    k = n_levels(codes)
    shares = [
        np.bincount(codes[side], minlength=k) / side.sum()
        for side in (samples.is_source, ~samples.is_source)
    ]
    own = np.where(samples.is_source, shares[0][codes], shares[1][codes])
    return np.asarray(-np.log2(own / (shares[0] + shares[1])[codes]))


def information(samples: Samples, codes: Codes, level: float, seed: int) -> Estimate:
    """I(D; level), less the jackknife's bias, with an interval that is valid at 0 too.

    Examples
    --------
    >>> samples = Samples(np.empty((40, 0)), 20, np.arange(40))
    >>> information(samples, np.repeat([0, 1, 0, 1], 10), 0.95, seed=0).low
    0.0
    """
    k = n_levels(codes)
    side = (~samples.is_source).astype(np.int64)
    source, target = counts_by(side, codes, 2, k)
    plain = float(jensen_shannon(source, target))
    without = counts_without_groups(samples, codes, k, _GROUPS, seed)
    found = jackknife(plain, jensen_shannon(without[0], without[1]), without[2])
    spread = _spread(samples, plug_in_loss(samples, codes))
    base: dict[str, Any] = {
        "level": level,
        "n": len(codes),
        "n_clusters": len(samples.strata) if samples.clustered else None,
        "parameters": {"plug_in": plain},
    }
    if math.isnan(found.bias):
        return Estimate(plain, method="cannot tell: one cluster in a split", **base)
    if k < 2:
        return Estimate(0.0, method="cannot tell: one level", **base)
    value = min(1.0, plain - found.bias)
    if plain >= 1:
        return Estimate(1.0, method="cannot tell: no level is in both splits", **base)
    # Independent rows add (k − 1)/(8 ln 2) (1/m + 1/n) bits where nothing shifted.
    least = (k - 1) / (8 * math.log(2)) * sum(1 / side.sum() for side in (source, target))
    noise = max(found.bias, least)
    scale = noise / max(k - 1, 1)
    if plain > 1e-12:
        scale = root_variance(plain, noise, spread.variance, found.se)
    # Where all shares are exactly equal so are the losses, and their spread has no say.
    df = max(spread.df if spread.variance > 1e-15 else min(samples.n_clusters) - 1.0, 1.0)
    low, high = nonnegative_interval(plain, noise, scale, level, df, most=1.0, curved=found.bias)
    method = ("clustered " if samples.clustered else "") + "noncentral χ²; jackknife bias"
    return Estimate(value, low, high, se=found.se, method=method, **base)


def _spread(samples: Samples, loss: Floats) -> Spread:
    """Of the mean loss, both sides weighing alike."""
    one, two = loss[samples.is_source] / 2, loss[~samples.is_source] / 2
    if not samples.clustered and not (samples.strata == 2).any():
        return two_sample_spread(one, two)
    n = len(samples.strata)
    own = samples.clusters
    pair = (Clusters(own[samples.is_source], n), Clusters(own[~samples.is_source], n))
    return two_sample_spread(one, two, pair)


def at_least(
    samples: Samples, fit: Fit, level: float, kept: float = 1.0, base: Floats | None = None
) -> Estimate:
    """`kept`, the bits of D that were not known before, less the classifier's held-out loss.

    `base` is the loss of each row under what was known before, for the standard error.

    Examples
    --------
    >>> samples = Samples(np.empty((4, 0)), 2, np.arange(4))
    >>> at_least(samples, Fit(np.zeros((1, 4)), np.zeros(4, dtype=int)), 0.95).value
    0.0
    """
    loss = fit.loss(samples.is_source)
    weights = coin_weights(samples.is_source)
    spread = _spread(samples, loss if base is None else loss - base)
    value = kept - float(weights @ loss)
    low, _ = normal_interval(value, spread.se, 2 * level - 1 if level > 0.5 else level, spread.df)
    words = "cross-fitted log loss, a lower bound in expectation; one-sided bound, "
    return Estimate(
        value, low, NAN, level, words + ("clustered t" if samples.clustered else "t"),
        len(loss), len(samples.strata) if samples.clustered else None, se=spread.se,
    )  # fmt: skip


def gain_of(samples: Samples, before: Fit, after: Fit, level: float) -> Estimate:
    """What the classifier's held-out loss falls by with the labels.

    Examples
    --------
    >>> samples = Samples(np.empty((4, 0)), 2, np.arange(4))
    >>> flat = Fit(np.zeros((1, 4)), np.zeros(4, dtype=int))
    >>> gain_of(samples, flat, flat, 0.95).value
    0.0
    """
    gain = before.loss(samples.is_source) - after.loss(samples.is_source)
    weights = coin_weights(samples.is_source)
    spread = _spread(samples, gain)
    value = float(weights @ gain)
    low, high = (value, value)
    if spread.variance > 0:
        low, high = normal_interval(value, spread.se, level, spread.df)
    words = "gain of these cross-fitted classifiers by the labels, no test of P(y | x): see gcm; "
    return Estimate(
        value, low, high, level, words + ("clustered t" if samples.clustered else "t"),
        len(gain), len(samples.strata) if samples.clustered else None, se=spread.se,
    )  # fmt: skip
