"""A model's loss on source and target, taken apart into changes of P(x) and of P(y | x)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.nuisance import crossfit_ridge
from shiftbench.distances.overlap import (
    Domain,
    domain_of,
    sign_flip_p_value,
    spread_after_fits,
    spread_of,
)
from shiftbench.distances.samples import Samples
from shiftbench.distances.shift import Distance, Shift
from shiftbench.statistics import Estimate
from shiftbench.statistics.delong import Spread, quantile

__all__ = ["DISDE", "disde"]

Floats = NDArray[np.float64]

TERMS = ("x_source", "y_given_x", "x_target", "total")


def disde(samples: Samples, *, n_permutations: int, level: float, seed: int) -> Shift:
    r"""How much of a change in loss comes from P(y | x), and how much from P(x).

    With p and q the densities of the features on source P and target Q, the shared distribution S
    has the density s ∝ pq / (p + q), which lies where both have examples. For a fixed model's
    loss ℓ with μ_P(x) = E_P[ℓ | x] and μ_Q(x) = E_Q[ℓ | x] the signed terms, positive where the
    target is worse, add up to E_Q[ℓ] − E_P[ℓ]:

    - ``x_source`` = E_S[μ_P] − E_P[ℓ]: from the source's features to the shared ones;
    - ``y_given_x`` = E_S[μ_Q] − E_S[μ_P]: the change of P(y | x) at the same features, the value;
    - ``x_target`` = E_Q[ℓ] − E_S[μ_Q]: from the shared features to the target's.

    Parameters
    ----------
    samples : Samples
        With losses: of each example, or 0 and 1 for right and wrong.
    n_permutations : int
        Sign flips of whole clusters; 0 = no p-value.
    level : float
    seed : int

    Returns
    -------
    Shift
        The p-value is of E[ℓ | x] being the same on both sides: of Σ ξ (ℓ − m(x)), m fitted to
        both sides together, by flipping signs (see `gcm`). `parts` has the three terms and
        ``total``. Where there is no overlap (fewer than five effective clusters on a side where
        the probability of either side is 0.1 to 0.9), or the features have more effective
        dimensions than the square root of the number of effective clusters (see `gcm`), all but
        the total are nan.

    Assumptions
    -----------
    Clusters are independent, and the model was not fitted on these examples. The errors of the
    domain classifier and of the regressions of the loss, multiplied, vanish faster than 1/√n.

    Notes
    -----
    The paper weights examples by a domain classifier π alone (dS/dP ∝ π, dS/dQ ∝ 1 − π), whose
    errors then enter at first order. Here E_S[μ_P] is estimated by its orthogonal score, in which
    they enter multiplied by those of μ_P: with ξ = 1[target] − π and both sides weighing the same,

    .. math:: E_S[μ_P] = \frac{\sum ξ^2 μ_P(x) + \sum_{source} π (ℓ − μ_P(x))}{\sum ξ^2},

    alike for Q. Everything is fitted on the other folds of whole clusters. Intervals are of the
    estimates' influence functions summed by cluster, with Student's t and the variance enlarged for
    the fits as in `gcm`. Of a loss that is 0 or 1 and nearly always the same on a side, they are
    too short at small n, as every interval from a standard error is.

    References
    ----------
    Cai, Namkoong & Yadlowsky, "Diagnosing model performance under distribution shift" (2023),
    arXiv:2303.02011; overlap weights: Li, Morgan & Zaslavsky, JASA 113 (2018); orthogonal scores:
    Chernozhukov et al., Econometrics J. 21 (2018).

    Examples
    --------
    >>> from shiftbench.distances.samples import two_samples
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(2, 200, 1)) + [[[0.0]], [[1.0]]]
    >>> s = two_samples(*x, takes="features and losses", losses=(x[0, :, 0], x[1, :, 0]))
    >>> found = disde(s, n_permutations=0, level=0.95, seed=0)
    >>> abs(found.value) < 0.05
    True
    >>> [name for name, part in found.parts.items() if part.low > 0]
    ['x_source', 'x_target', 'total']
    """
    assert samples.losses is not None
    if min(samples.n_clusters) < 2:
        return Shift(math.nan, method="cannot tell: one cluster on a side")
    domain = domain_of(samples, seed)
    loss, source = samples.losses, samples.is_source
    n = samples.n_source
    means = float(loss[:n].mean()), float(loss[n:].mean())
    total = means[1] - means[0]
    plain = np.where(source, -loss, loss)
    if domain.refusal:
        parts = {name: Estimate(math.nan, level=level, method=domain.refusal) for name in TERMS}
        parts["total"] = _estimate(total, spread_of(plain, samples), samples, level)
        return Shift(math.nan, method=domain.refusal, parameters=domain.parameters, parts=parts)
    (at_p, p_influence, p_df), (at_q, q_influence, q_df) = (
        _shared(samples, domain, side) for side in (source, ~source)
    )
    found = {
        "x_source": (at_p - means[0], p_influence - np.where(source, loss, 0.0)),
        "y_given_x": (at_q - at_p, q_influence - p_influence),
        "x_target": (means[1] - at_q, np.where(source, 0.0, loss) - q_influence),
    }
    parts = {}
    for name, (value, influence) in found.items():
        spread = spread_after_fits(influence, samples, domain, p_df + q_df)
        parts[name] = _estimate(value, spread, samples, level)
    parts["total"] = _estimate(total, spread_of(plain, samples), samples, level)
    term, p_value = parts["y_given_x"], None
    if n_permutations:
        fit = crossfit_ridge(domain.basis, loss, domain.weights, domain.fold)
        products = domain.weights * domain.residual * (loss - fit.values)
        p_value = sign_flip_p_value(
            products[:, None], fit.df, samples, domain, n_permutations, seed
        )
    return Shift(
        term.value, term.low, term.high, level, term.method, p_value,
        se=term.se, parameters=domain.parameters, parts=parts,
    )  # fmt: skip


DISDE = Distance(
    name="disde",
    kind="concept",
    takes="features and losses",
    compute=disde,
    summary="change of a model's loss that comes from P(y | x), beside what comes from P(x)",
    symmetric=False,
    bounds=(-math.inf, math.inf),
    fewest=10,
)


def _shared(
    samples: Samples, domain: Domain, side: NDArray[np.bool_]
) -> tuple[float, Floats, float]:
    """The mean over S of one side's loss given x, the rows' influences, and parameters fitted."""
    assert samples.losses is not None
    fit = crossfit_ridge(domain.basis, samples.losses, domain.weights, domain.fold, side)
    square = domain.residual**2
    size = float(domain.weights @ square) / len(square)
    rest = np.where(side, np.abs(domain.residual) * (samples.losses - fit.values), 0.0)
    score = square * fit.values + rest
    value = float(domain.weights @ score) / len(square) / size
    return value, (score - value * square) / (2 * size), float(fit.df[0])


def _estimate(value: float, spread: Spread, samples: Samples, level: float) -> Estimate:
    told = "cluster influence function, t" if samples.clustered else "influence function, t"
    width = math.nan
    if spread.variance > 0:
        width = quantile(level, spread.df) * spread.se
    elif min(samples.n_clusters) < 2:
        told = "cannot tell: one cluster on a side"
    else:
        told = "cannot tell: no spread among the examples"
    return Estimate(
        value, value - width, value + width, level, told, len(samples.clusters),
        len(samples.strata), se=spread.se,
    )  # fmt: skip
