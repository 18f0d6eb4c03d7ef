"""What is true of a simulated table: its shifts, by formula or by quadrature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError

__all__ = ["CellModel", "Truth", "simulated_truth"]

Floats = NDArray[np.float64]

FAR = 9.0
"""Standard deviations beyond which a normal distribution is cut off: less than 10⁻¹⁸ lies there."""

NODES, MOST_NODES = 16, 128
"""On a panel; doubled until the integrals change by no more than `ENOUGH`."""
ENOUGH = 1e-9


@dataclass(frozen=True)
class CellModel:
    """How the rows of one cell come about.

    A = 1 in the target, U ~ N(0, 1), X₁ = δA + ωU + σε₁, X_j = δA + σε_j for the others, and
    Y ~ Bernoulli(logistic(βᵀX + γAX₁ + ωU)).

    Parameters
    ----------
    delta, gamma, omitted : float
        δ, γ and ω.
    beta : tuple of float
        β, one a feature.
    sigma : float
        σ, above 0.
    keep_omitted : bool
        Whether U is among the features, or left out.
    """

    delta: float
    gamma: float
    omitted: float
    beta: tuple[float, ...]
    sigma: float
    keep_omitted: bool

    def __post_init__(self) -> None:
        numbers = (self.delta, self.gamma, self.omitted, self.sigma, *self.beta)
        if not all(math.isfinite(v) for v in numbers):
            raise ConfigurationError(f"{self} has a number that is not finite")
        if not self.beta or self.sigma <= 0:
            raise ConfigurationError(
                f"beta is {self.beta} and sigma {self.sigma:g}; needed are one coefficient or more "
                "and a standard deviation above 0"
            )

    @property
    def _sd1(self) -> float:
        """Of X₁."""
        return math.hypot(self.sigma, self.omitted)

    @property
    def _slope(self) -> float:
        """What U is expected to be, by what X₁ is above its mean."""
        return self.omitted / self._sd1**2

    @property
    def _sd_u(self) -> float:
        """Of U, where X₁ is known."""
        return self.sigma / self._sd1

    def _hidden(self, x1: Floats, group: int) -> Floats:
        """ωU as expected from X₁ in a group."""
        return self.omitted * self._slope * (x1 - self.delta * group)

    @property
    def _spread(self) -> float:
        """Standard deviation of what else the log odds vary by, given X₁."""
        others = self.sigma * math.sqrt(sum(b * b for b in self.beta[1:]))
        return math.hypot(others, self.omitted * self._sd_u) if self.keep_omitted else others

    def _centre(self, x1: Floats, group: int) -> Floats:
        """Mean of that in a group."""
        known = np.full_like(x1, self.delta * group * sum(self.beta[1:]))
        return known + self._hidden(x1, group) if self.keep_omitted else known

    def _log_odds(self, x1: Floats, rest: Floats, concept: int) -> Floats:
        """The log odds of Y, or where U is left out the mean of what they may be."""
        found = (self.beta[0] + self.gamma * concept) * x1 + rest
        return found if self.keep_omitted else found + self._hidden(x1, concept)

    def probability(self, x1: Floats, rest: Floats, concept: int) -> Floats:
        """P(Y = 1 | features) as it is in a group.

        Parameters
        ----------
        x1 : float array
        rest : float array
            Σ_{j>1} β_j x_j, and ωu where U is kept.
        concept : int
            0 for the source's, 1 for the target's.
        """
        log_odds = self._log_odds(x1, rest, concept)
        spread = 0.0 if self.keep_omitted else abs(self.omitted) * self._sd_u
        if not spread:
            return _logistic(log_odds)
        # The trapezium rule: its error falls as exp(−2π²/h²), and as exp(−2π²/(spread·h)).
        step = 0.5 / max(spread, 1.0)
        z = np.arange(-FAR, FAR + step / 2, step)
        weights = np.exp(-(z**2) / 2)
        weights /= weights.sum()
        total = np.zeros_like(log_odds)
        for at, weight in zip(z, weights, strict=True):
            total += weight * _logistic(log_odds + spread * at)
        return total

    def _cuts(self, group: int) -> list[float]:
        """Where in X₁ what is integrated over the rest has an edge, or changes fast."""
        cuts = []
        if self.gamma:  # there the two concepts agree
            shift = 0.0 if self.keep_omitted else self.omitted * self._slope * self.delta
            cuts.append(shift / self.gamma)
        # Even odds cross the rest's distribution from one end to the other, slowly or at a stroke.
        at = np.array([0.0, 1.0])
        for concept in (0, 1):
            for sds in (-FAR, -3.0, 0.0, 3.0, FAR):
                rest = self._centre(at, group) + sds * self._spread
                low, high = self._log_odds(at, rest, concept)
                if low != high:
                    cuts.append(float(low / (low - high)))
        return cuts

    def _edges(self, x1: Floats) -> Floats:
        """(n, 2): where in the rest either concept has even odds."""
        at_0 = [-self._log_odds(x1, np.zeros_like(x1), concept) for concept in (0, 1)]
        return np.stack(at_0, axis=1)

    def means(self, group: int, nodes: int) -> Floats:
        """Means over a group's features.

        Of P(y|x) of either concept, of |P_t − P_s|, of either's own Bayes accuracy, and of the
        accuracy that the source's Bayes rule has under the target's concept.
        """
        x1, weights = _panels(self.delta * group, self._sd1, self._cuts(group), nodes)
        rest = self._centre(x1, group)
        if self._spread:
            rest, of_rest = _rows_of_panels(rest, self._spread, self._edges(x1), nodes)
            x1 = np.broadcast_to(x1[:, None], rest.shape)
            weights = weights[:, None] * of_rest
        source, target = (self.probability(x1, rest, concept) for concept in (0, 1))
        yes = source >= 0.5
        values = (
            source,
            target,
            np.abs(target - source),
            np.maximum(source, 1 - source),
            np.maximum(target, 1 - target),
            np.where(yes, target, 1 - target),
        )
        return np.array([float((weights * v).sum()) for v in values])


@dataclass(frozen=True)
class Truth:
    """What is true of a cell; rates, accuracies and disagreements are fractions.

    Attributes
    ----------
    smd : float
        Standardised mean difference of each feature but the first.
    smd_first : float
        That of the first, which U adds to.
    mahalanobis, kl, wasserstein2, total_variation : float
        Between the features of source and target, all together; KL in nats.
    rate_source, rate_target : float
        P(Y = 1).
    disagreement_source, disagreement_target : float
        E|P_t(y|x) − P_s(y|x)| over the source's features and over the target's.
    bayes_source, bayes_target : float
        The accuracy that no model exceeds, of the features that there are.
    transferred : float
        The accuracy on the target of the rule that is best on the source.
    loss, loss_x, loss_y_given_x : float
        bayes_source − transferred; what of it the change of P(x) costs, at the source's P(y|x); and
        what the change of P(y|x) costs, at the target's P(x). Either may be negative.
    error : float
        The most by which those that are integrals changed when the nodes were doubled.
    """

    smd: float
    smd_first: float
    mahalanobis: float
    kl: float
    wasserstein2: float
    total_variation: float
    rate_source: float
    rate_target: float
    disagreement_source: float
    disagreement_target: float
    bayes_source: float
    bayes_target: float
    transferred: float
    loss: float
    loss_x: float
    loss_y_given_x: float
    error: float


def simulated_truth(
    delta: float,
    gamma: float,
    omitted: float = 0.0,
    *,
    beta: Sequence[float] = (1.0, 0.5),
    sigma: float = 1.0,
    keep_omitted: bool = False,
) -> dict[str, float]:
    """The true shifts of one cell of `SimulatedTables`; see `Truth` for the keys.

    Distances between the features are closed forms of normal distributions. The others are
    integrals over X₁ and a second normal variable (P(y|x) depends on x through βᵀx and x₁ alone),
    by Gauss–Legendre panels that are cut where the integrands have edges, and over U by the
    trapezium rule.

    Parameters
    ----------
    delta : float
        Shift of every feature's mean from source to target (covariate shift).
    gamma : float
        What is added in the target to the first feature's coefficient (concept shift).
    omitted : float
        Effect of a confounder U ~ N(0, 1) on the first feature and on the log odds.
    beta : sequence of float
        Coefficients, one a feature.
    sigma : float
        Standard deviation of each feature's noise.
    keep_omitted : bool
        Whether U is a feature.

    Raises
    ------
    ConfigurationError
        No feature, a standard deviation that is not above 0, or numbers that are not finite.

    References
    ----------
    The design follows Disparities of explanations (FAccT 2024) in kind, not in its equations.
    Distances: Gelbrich (1990); Devroye, Mehrabian & Reddad (2018) for the total variation. Parts of
    the loss: Cai, Namkoong & Yadlowsky, Diagnosing model performance under distribution shift
    (2023), here with the target's P(x) as the shared distribution.

    Examples
    --------
    >>> same = simulated_truth(0.0, 0.0)
    >>> same["kl"], same["disagreement_target"], round(same["loss"], 9)
    (0.0, 0.0, 0.0)
    >>> moved = simulated_truth(0.0, 2.0)
    >>> moved["total_variation"], round(moved["disagreement_target"], 3)
    (0.0, 0.162)
    """
    cell = CellModel(delta, gamma, omitted, tuple(beta), sigma, keep_omitted)
    nodes = NODES
    found = np.concatenate([cell.means(group, nodes) for group in (0, 1)])
    error = math.inf
    while error > ENOUGH and nodes < MOST_NODES:
        nodes *= 2
        finer = np.concatenate([cell.means(group, nodes) for group in (0, 1)])
        error = float(np.abs(finer - found).max())
        found = finer
    in_source, in_target = found[:6].tolist(), found[6:].tolist()
    d = len(cell.beta)
    # Where U is known it says what it added to the first feature.
    first = sigma if keep_omitted else math.hypot(sigma, omitted)
    distance = abs(delta) * math.sqrt(1 / first**2 + (d - 1) / sigma**2)
    truth = Truth(
        smd=delta / sigma,
        smd_first=delta / math.hypot(sigma, omitted),
        mahalanobis=distance,
        kl=distance**2 / 2,
        wasserstein2=abs(delta) * math.sqrt(d),
        total_variation=math.erf(distance / math.sqrt(8)),
        rate_source=in_source[0],
        rate_target=in_target[1],
        disagreement_source=in_source[2],
        disagreement_target=in_target[2],
        bayes_source=in_source[3],
        bayes_target=in_target[4],
        transferred=in_target[5],
        loss=in_source[3] - in_target[5],
        loss_x=in_source[3] - in_target[3],
        loss_y_given_x=in_target[3] - in_target[5],
        error=error,
    )
    return {f.name: float(getattr(truth, f.name)) for f in fields(truth)}


def _logistic(x: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


def _panels(mean: float, sd: float, cuts: Sequence[float], nodes: int) -> tuple[Floats, Floats]:
    """Nodes, and weights of a normal distribution, on panels between the cuts."""
    near = [c for c in cuts if abs(c - mean) < FAR * sd]
    at, weights = _rows_of_panels(np.array([mean]), sd, np.array([sorted(near)]), nodes)
    return at[0], weights[0]


def _rows_of_panels(mean: Floats, sd: float, cuts: Floats, nodes: int) -> tuple[Floats, Floats]:
    """The same for several means at once, each with cuts of its own: (n, panels · nodes)."""
    z = np.clip((cuts - mean[:, None]) / sd, -FAR, FAR)
    ends = np.broadcast_to([-FAR, 0.0, FAR], (len(mean), 3))
    bounds = np.sort(np.concatenate([z, ends], axis=1), axis=1)
    points, share = np.polynomial.legendre.leggauss(nodes)
    half = np.diff(bounds, axis=1)[:, :, None] / 2
    middle = (bounds[:, 1:] + bounds[:, :-1])[:, :, None] / 2
    at = (middle + half * points).reshape(len(mean), -1)
    weights = (half * share).reshape(len(mean), -1) * np.exp(-(at**2) / 2) / math.sqrt(2 * math.pi)
    return mean[:, None] + sd * at, weights
