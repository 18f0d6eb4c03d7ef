"""Would the model have been wrong: risk against coverage when the least trusted are set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlog1py, xlogy

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation._scores import cluster_names, level_of
from shiftbench.statistics import Clusters, Estimate
from shiftbench.statistics.estimate import NAN
from shiftbench.statistics.linearised import linearised
from shiftbench.statistics.proportions import share
from shiftbench.statistics.ranks import scores_of

__all__ = ["RiskCoveragePoints", "risk_coverage", "risk_coverage_points"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class RiskCoveragePoints:
    """Risk at each coverage, from the most trusted example alone to all of them.

    Attributes
    ----------
    thresholds : (k,) float64 array
        Scores at most this are kept.
    coverage : (k,) float64 array
        Share of examples kept.
    risk : (k,) float64 array
        Mean error of those kept.
    generalized_risk : (k,) float64 array
        Share of all examples that are kept and wrong: risk × coverage.
    """

    thresholds: Floats
    coverage: Floats
    risk: Floats
    generalized_risk: Floats


def risk_coverage(
    errors: ArrayLike, scores: ArrayLike, clusters: Any = None, *, level: float = 0.95
) -> dict[str, Estimate]:
    r"""Areas under the risk–coverage and the generalized-risk–coverage curve.

    With the examples in order of trust, e their errors and n of them:

    ``aurc``
        :math:`\frac1n \sum_{k=1}^n \frac1k \sum_{i \le k} e_i`, the mean risk over all coverages.
    ``augrc``
        :math:`\frac1{n^2} \sum_i e_i (\#\{j : s_j > s_i\} + \tfrac12 \#\{j : s_j = s_i\})`, j = i
        included: the mean share of examples kept and wrong; for errors of 0 and 1 and accuracy a
        it is (1 − AUROC) a (1 − a) + ½ (1 − a)², AUROC being that of errors against scores.
    ``e_aurc``
        `aurc` less that of the best order, the errors' own.
    ``error_rate``
        The mean error: the risk at full coverage.

    Parameters
    ----------
    errors : (n,) array_like
        1 or True where the model was wrong, or any loss of at least 0.
    scores : (n,) array_like
        Higher is less trusted, as OOD scores are.
    clusters : (n,) names, or Clusters, optional
    level : float

    Returns
    -------
    dict of str to Estimate
        With n, and n_clusters with clusters.

    Raises
    ------
    ConfigurationError
        NaN, negative errors, lengths that differ, or no examples.

    Assumptions
    -----------
    Tied scores: the expected value over a random order of the tied. Examples (clusters) are
    independent. `error_rate` of errors that are all 0 or 1 has Wilson's interval. All else has one
    by influence functions: on the logit scale where errors lie in [0, 1], on that of the logarithm
    where they do not and for `e_aurc`. With few errors (about fewer than ten) the coverage is
    below the level. Where errors of 0 and 1 show no scatter (none is wrong, all are, or the order
    is the best one), an area has the bounds that it has in any order at an error rate p in Clopper
    and Pearson's interval: `aurc` lies between p + (1 − p) ln(1 − p) and p(1 − ln p), `augrc`
    between ½p² and p − ½p², and `e_aurc` between 0 and −p ln p − (1 − p) ln(1 − p).

    References
    ----------
    Geifman & El-Yaniv 2017, NeurIPS; Geifman, Uziel & El-Yaniv 2019, ICLR (E-AURC). Traub et al.
    2024, "Overcoming Common Flaws in the Evaluation of Selective Classification Systems",
    NeurIPS, equations 5 to 7.

    Examples
    --------
    >>> found = risk_coverage([0, 0, 1, 1], [0.1, 0.3, 0.2, 0.9])
    >>> round(found["aurc"].value, 4), found["augrc"].value, found["error_rate"].value
    (0.3333, 0.1875, 0.5)
    """
    level_of(level)
    losses, marks, groups = _checked(errors, scores, clusters)
    order = _Order.of(marks)
    best = _Order.of(losses)
    aurc, by_aurc = _aurc(losses, order)
    least, by_least = _aurc(losses, best)
    augrc, by_augrc = _augrc(losses, order)
    rate = float(losses.mean())
    bounded, binary = bool(losses.max() <= 1), bool(np.isin(losses, (0.0, 1.0)).all())
    forms = {
        "aurc": (aurc, by_aurc, "logit" if bounded else "log"),
        "augrc": (augrc, by_augrc, "logit" if bounded else "log"),
        "e_aurc": (max(aurc - least, 0.0), by_aurc - by_least, "log"),
        "error_rate": (rate, losses - rate, "logit" if bounded else "log"),
    }
    found = {
        name: linearised(value, influence, groups, level, scale=scale)
        for name, (value, influence, scale) in forms.items()
    }
    excess = found["e_aurc"]
    if bounded and excess.high > 1:
        found["e_aurc"] = replace(excess, high=1.0)
    if not binary:
        return found
    found["error_rate"] = share(losses, groups, level)
    reach = share(losses, groups, level, method="clopper_pearson")
    if np.isnan(reach.low):  # one cluster
        return found
    for name, (low, high) in _any_order(reach.low, reach.high).items():
        estimate = found[name]
        if estimate.value == 0 or rate == 1:
            found[name] = replace(
                estimate, low=min(low, estimate.value), high=max(high, estimate.value),
                se=NAN, method=f"{reach.method}, any order",
            )  # fmt: skip
    return found


def _any_order(low: float, high: float) -> dict[str, tuple[float, float]]:
    """Bounds of the areas whatever the order, of an error rate between `low` and `high`.

    At worst all errors come first, with risk min(1, p/c) at coverage c; at best last, with
    max(0, 1 − (1 − p)/c).
    """

    def entropy(p: float) -> float:
        return float(-xlogy(p, p) - xlog1py(1 - p, -p))

    return {
        "aurc": (float(low + xlog1py(1 - low, -low)), float(high - xlogy(high, high))),
        "augrc": (low * low / 2, high - high * high / 2),
        "e_aurc": (0.0, entropy(min(max(0.5, low), high))),
    }


def risk_coverage_points(
    errors: ArrayLike, scores: ArrayLike, *, max_points: int | None = None
) -> RiskCoveragePoints:
    """The curve at all distinct scores, or at some evenly spaced in coverage.

    Parameters
    ----------
    errors, scores : (n,) array_like
        As in `risk_coverage`.
    max_points : int, optional
        At most so many points (at least 2).

    Raises
    ------
    ConfigurationError
        As `risk_coverage`.

    Examples
    --------
    >>> found = risk_coverage_points([0, 0, 1, 1], [0.1, 0.3, 0.2, 0.9])
    >>> found.coverage.tolist(), found.risk.round(3).tolist()
    ([0.25, 0.5, 0.75, 1.0], [0.0, 0.5, 0.333, 0.5])
    """
    losses, marks, _ = _checked(errors, scores, None)
    order = _Order.of(marks)
    ends = np.append(order.starts[1:], len(marks)) - 1
    if max_points is not None and (not isinstance(max_points, int | np.integer) or max_points < 2):
        raise ConfigurationError(f"max_points is {max_points!r}, but a curve has at least 2")
    if max_points is not None and len(ends) > max_points:
        wanted = np.linspace(ends[0], ends[-1], max_points)
        ends = ends[np.unique(np.clip(np.searchsorted(ends, wanted), 0, len(ends) - 1))]
    total = np.cumsum(losses[order.order])[ends]
    n = len(marks)
    return RiskCoveragePoints(
        marks[order.order][ends], (ends + 1) / n, total / (ends + 1), total / n
    )


@dataclass(frozen=True)
class _Order:
    """Examples from the most trusted on, and where each run of equal scores starts."""

    order: Integers
    starts: Integers
    group: Integers
    """Of each place, the run it is in."""

    @classmethod
    def of(cls, marks: Floats) -> _Order:
        order = np.argsort(marks, kind="stable")
        ranked = marks[order]
        first = np.append(True, ranked[1:] != ranked[:-1])
        return cls(order, np.flatnonzero(first), np.cumsum(first) - 1)

    def back(self, values: Floats) -> Floats:
        """Values by place → values by example."""
        found = np.empty_like(values)
        found[self.order] = values
        return found

    def mean(self, values: Floats) -> Floats:
        """Each place's mean over its run."""
        sizes = np.diff(np.append(self.starts, len(values)))
        means: Floats = (np.add.reduceat(values, self.starts) / sizes)[self.group]
        return means


def _aurc(losses: Floats, order: _Order) -> tuple[float, Floats]:
    """The area, and n times each example's influence on it.

    Example i is in the risk M/C of all places from its own on: ∫ (e_i − risk)/C over those, plus
    the risk at its own place for the place that it adds.
    """
    n = len(losses)
    rank = np.arange(1, n + 1)
    ranked = losses[order.order]
    risk = np.cumsum(order.mean(ranked)) / rank  # tied: in random order
    value = float(risk.mean())
    later = np.cumsum((1 / rank)[::-1])[::-1]
    lost = np.cumsum((risk / rank)[::-1])[::-1]
    influence = order.mean(risk) - value + ranked * order.mean(later) - order.mean(lost)
    influence -= influence.mean()
    return value, order.back(influence)


def _augrc(losses: Floats, order: _Order) -> tuple[float, Floats]:
    """The area, and n times each example's influence: its own part and its part in others'."""
    n = len(losses)
    ranked = losses[order.order]
    ends = np.append(order.starts[1:], n)
    beyond = (n - (order.starts + ends) / 2)[order.group] / n
    before = np.append(0.0, np.cumsum(ranked))
    others = (before[order.starts] + before[ends])[order.group] / (2 * n)
    value = float((ranked * beyond).mean())
    return value, order.back(ranked * beyond + others - 2 * value)


def _checked(
    errors: ArrayLike, scores: ArrayLike, clusters: Sequence[Any] | Clusters | None
) -> tuple[Floats, Floats, Clusters | None]:
    losses = scores_of(errors, "errors").astype(np.float64)
    marks = scores_of(scores, "scores").astype(np.float64)
    if len(losses) != len(marks) or not len(losses):
        raise ConfigurationError(
            f"there are {len(losses)} errors and {len(marks)} scores; give one of each an example, "
            "and at least one example"
        )
    if not np.isfinite(losses).all() or losses.min() < 0:
        at = int(np.argmax(~np.isfinite(losses) | (losses < 0)))
        raise ConfigurationError(
            f"errors holds {losses[at]:g} (at position {at}), but an error is 0 or 1 or a finite "
            "loss of at least 0"
        )
    # In the order of scores and errors: the order of the rows changes no bit of a sum.
    order = np.lexsort((losses, marks))
    losses, marks = losses[order] + 0.0, marks[order] + 0.0
    if clusters is None:
        return losses, marks, None
    groups = cluster_names(clusters, len(marks), "example")
    return losses, marks, Clusters(groups.codes[order], groups.n_clusters)
