"""The exact Wasserstein distance, for small samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.assignment import (
    by_assignment,
    distances_between,
    potential,
    transport_cost,
    work,
)
from shiftbench.distances.halved import difference_errors, halves
from shiftbench.distances.projections import projected
from shiftbench.distances.resampled import (
    NO_INTERVAL,
    affordable,
    relabelled_p_value,
    whole_number,
)
from shiftbench.distances.samples import Samples
from shiftbench.distances.shift import Distance, Shift
from shiftbench.distances.sliced import along_lines
from shiftbench.errors import ConfigurationError
from shiftbench.statistics import stream
from shiftbench.statistics.estimate import critical

__all__ = ["WASSERSTEIN", "wasserstein"]

Floats = NDArray[np.float64]
NAN = math.nan

_WORK = 1e11  # in units of `assignment.work`
_MOST_COPIES = 1_000
_MOST_CELLS = 40_000
_FEWEST = 99


def wasserstein(
    samples: Samples,
    *,
    n_permutations: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    n_splits: int = 5,
    n_resamples: int = 500,
) -> Shift:
    """The exact Wasserstein-1 distance with Euclidean cost, for small samples.

    W(P, Q) = min E‖X − Y‖ over all couplings of X ~ P and Y ~ Q = max E f(X) − E f(Y) over all
    1-Lipschitz f. The plug-in, in ``parameters["plug_in"]``, is on average too large, by an order
    of n^(−1/d) where nothing shifted: with 64 normal features and 200 examples it is 9.3.

    - Value: √(K − V), with K the mean squared distance between a random half of the source's
      clusters and one of the target's, and V that between two halves of one side, over several
      splits; −√(V − K) where V is larger; kept within the interval. Where nothing shifted K and V
      agree; a shift of the mean by δ in many dimensions adds δ² to the squared distance, not δ to
      the distance. Reads too low where the two differ in scale or shape.
    - Upper bound: the plug-in, whose mean is not below the truth, + t × its standard error, from
      its Kantorovich potentials.
    - Lower bound: E f(X) − E f(Y) on one half for the best f of the other half, which is not above
      the truth, − t × its standard error; averaged over the two halves.
    - The p-value is that of the plug-in under relabelings of whole clusters.

    With one feature the distance is ∫ |F − G|, for any n, and value, interval and p-value are those
    of `sliced_wasserstein`.

    Parameters
    ----------
    samples : Samples
    n_permutations : int
        Fewer are made where they would take more than about 20 s, but 99 in any case; `parameters`
        has the number.
    level : float
    seed : int
    n_splits : int
        Of the value.
    n_resamples : int
        With one feature alone.

    Returns
    -------
    Shift

    Raises
    ------
    ConfigurationError
        The samples are too large: more than 40,000 pairs, unless clusters are of one size and the
        least common multiple of m and n is at most 1,000 (as of 1,000 and 1,000).

    References
    ----------
    Villani, Optimal Transport (2009); the bias: Weed & Bach, Bernoulli 25 (2019); its standard
    error from the potentials: del Barrio & Loubes, Ann. Probab. 47 (2019), with Efron & Stein, Ann.
    Stat. 9 (1981) for a bound that needs no limit.

    Examples
    --------
    >>> from shiftbench.distances.samples import two_samples
    >>> x = np.random.default_rng(0).normal(size=(80, 3))
    >>> shifted = two_samples(x[:40], x[40:] + [2, 0, 0], takes="features")
    >>> found = wasserstein(shifted, n_permutations=99)
    >>> round(found.parameters["plug_in"], 1), found.low < 2 < found.high, found.p_value
    (2.3, True, 0.01)
    """
    n_splits = whole_number("n_splits", n_splits, 1)
    n_resamples = whole_number("n_resamples", n_resamples, 100)
    if samples.features.shape[1] == 1:
        lines = projected(samples.features, np.ones((1, 1)))
        return along_lines(samples, lines, n_permutations, n_resamples, level, seed)[0]
    equal = _equal_clusters(samples)
    _refuse_large(samples, equal)
    costs = distances_between(samples.features, samples.features)
    m, n = samples.n_source, samples.n_target
    rows = np.arange(m + n)
    plug_in = transport_cost(costs[:m, m:])
    parameters: dict[str, Any] = {"plug_in": plug_in, "permutations": 0}
    if min(samples.n_clusters) < 2:
        method = f"plug-in, its bias not known; {NO_INTERVAL}"
        return Shift(plug_in, method=method, parameters=parameters)
    prices = potential(costs[:m, m:])
    witness = np.concatenate([(costs[:m, m:] - prices).min(axis=1), -prices])
    errors, df = difference_errors(samples, rows, witness)
    se = math.sqrt((errors**2).sum())
    high = plug_in + critical(level, df) * se
    low = _lower_bound(samples, costs, level, seed)
    value = _centred(samples, costs, n_splits, seed)
    value = min(max(value, low), high) if not math.isnan(low) else min(value, high)

    def relabelled(labels: Floats) -> Floats:
        return np.array([transport_cost(costs[np.ix_(s, ~s)]) for s in labels > 0.5])

    count = affordable(n_permutations, work(m, n, equal), _WORK, _FEWEST)
    p, made, exact = relabelled_p_value(samples, plug_in, relabelled, count, seed)
    parameters |= {"permutations": made, "all_permutations": exact, "n_splits": n_splits}
    method = "upper: plug-in + t × its error; lower: a cross-fitted potential − t × its error"
    if math.isnan(low):
        method = "one-sided upper bound: plug-in + t × its error; too few clusters for a lower one"
        high = plug_in + critical(2 * level - 1, df) * se if level > 0.5 else high
    return Shift(value, low, high, method=method, p_value=p, parameters=parameters)


def _equal_clusters(samples: Samples) -> bool:
    """Whether all clusters are of one size and lie on one side: relabelled sides keep theirs."""
    sizes = np.bincount(samples.clusters)
    return not (samples.strata == 2).any() and bool((sizes == sizes[0]).all())


def _refuse_large(samples: Samples, equal: bool) -> None:
    m, n = samples.n_source, samples.n_target
    copies = equal and by_assignment(m, n)
    if m * n <= _MOST_CELLS or (copies and math.lcm(m, n) <= _MOST_COPIES):
        return
    raise ConfigurationError(
        f"wasserstein is exact and for small samples, and these have {m} and {n} examples; "
        f"allowed: {_MOST_CELLS} pairs, or, where clusters are of one size, a common multiple of "
        f"{_MOST_COPIES}; take sliced_wasserstein, or a random part of the clusters"
    )


def _centred(samples: Samples, costs: Floats, n_splits: int, seed: int) -> float:
    between, within = [], []
    rng = stream(seed, "halves for the Wasserstein distance")
    for _ in range(n_splits):
        x, y = halves(samples, rng)
        between += [transport_cost(costs[np.ix_(x[h], y[1 - h])]) ** 2 for h in (0, 1)]
        within += [transport_cost(costs[np.ix_(*side)]) ** 2 for side in (x, y)]
    difference = float(np.mean(between) - np.mean(within))
    return math.copysign(math.sqrt(abs(difference)), difference)


def _lower_bound(samples: Samples, costs: Floats, level: float, seed: int) -> float:
    sides = halves(samples, stream(seed, "halves for the lower bound"))
    gaps, errors, freedoms = [], [], []
    for h in (0, 1):
        x, y = sides[0][h], sides[1][h]
        prices = potential(costs[np.ix_(x, y)])
        rows = np.flatnonzero(sides[0][1 - h] | sides[1][1 - h])
        witness = (costs[np.ix_(rows, y)] - prices).min(axis=1)
        source = samples.is_source[rows]
        gaps.append(witness[source].mean() - witness[~source].mean())
        parts, df = difference_errors(samples, rows, witness)
        errors.append(math.sqrt((parts**2).sum()))
        freedoms.append(df)
    if min(freedoms) <= 0:
        return NAN
    # The two gaps may depend on each other in any way: the error of their mean is at most the mean
    # of their errors.
    return float(np.mean(gaps) - critical(level, min(freedoms)) * np.mean(errors))


WASSERSTEIN = Distance(
    name="wasserstein",
    kind="covariate",
    takes="features",
    compute=wasserstein,
    summary="exact Wasserstein-1 with Euclidean cost, for small samples",
    symmetric=True,
)
