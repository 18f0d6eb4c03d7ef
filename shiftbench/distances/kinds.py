"""Profile: how much of a shift is subpopulation, covariate and concept, in bits that add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftbench.distances.basis import folds_of_clusters, pooled_basis
from shiftbench.distances.discriminant import FOLDS, crossfit
from shiftbench.distances.labelled_samples import drawn, n_levels, prepared
from shiftbench.distances.samples import Samples
from shiftbench.distances.side_information import at_least, gain_of, information, plug_in_loss
from shiftbench.statistics import Estimate
from shiftbench.statistics.estimate import NAN, critical

__all__ = ["Profile", "profile"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

FEWEST_CLUSTERS = 10
"""A side with fewer clusters than this is not cross-fitted."""

_LINEAR, _KERNEL, _INTERPLAY = 16, 30, 150

FACTORISATION = (
    "P(a, x, y) = P(a) P(x | a) P(y | x, a), the side D a fair coin: "
    "I(D; A) + I(D; X | A) + I(D; Y | X, A) = I(D; A, X, Y), at most 1 bit"
)


@dataclass(frozen=True)
class Profile:
    """The kinds of a shift, in bits; None where there are no labels or no groups.

    Attributes
    ----------
    subpopulation : Estimate or None
        I(D; A): the groups' shares moved.
    covariate : Estimate
        I(D; X | A): x moved within groups; without groups I(D; X).
    concept : Estimate or None
        I(D; Y | X, A): labels moved at the same x and group.
    total : Estimate
        I(D; A, X, Y). The values of the three above add up to it.
    label : Estimate or None
        I(D; Y): what shows in the labels alone. A marginal, not a summand.
    covariate_marginal : Estimate
        I(D; X): what shows in x alone. A marginal, not a summand.
    method : str
        The factorisation.
    parameters : mapping

    Examples
    --------
    >>> Profile(covariate=Estimate(0.1), total=Estimate(0.1), covariate_marginal=Estimate(0.1))
    Profile(covariate 0.100, total 0.100; covariate_marginal 0.100)
    """

    covariate: Estimate
    total: Estimate
    covariate_marginal: Estimate
    subpopulation: Estimate | None = None
    concept: Estimate | None = None
    label: Estimate | None = None
    method: str = FACTORISATION
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        def said(names: tuple[str, ...]) -> str:
            known = [(n, getattr(self, n)) for n in names]
            return ", ".join(f"{n} {e.value:.3f}" for n, e in known if e is not None)

        summands = said(("subpopulation", "covariate", "concept", "total"))
        return f"Profile({summands}; {said(('label', 'covariate_marginal'))})"


def profile(
    x_source: ArrayLike,
    x_target: ArrayLike,
    *,
    labels: tuple[Any, Any] | None = None,
    groups: tuple[Any, Any] | None = None,
    clusters: tuple[Any, Any] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Profile:
    """How much of the shift between two splits is of which kind.

    Let D be a fair coin that says which split an example is from. By the chain rule of mutual
    information, in the one factorisation P(a, x, y) = P(a) P(x | a) P(y | x, a),

        I(D; A) + I(D; X | A) + I(D; Y | X, A) = I(D; A, X, Y) ≤ 1 bit

    (subpopulation + covariate within groups + concept); each is a Jensen–Shannon divergence. In
    another factorisation the same shift has other parts: one of P(y) at fixed P(x | y) is here a
    covariate shift as far as x tells y, and a concept shift for the rest. I(D; Y) and I(D; X) are
    given as marginals and are no summands: a shift of P(y | x) at fixed P(x) moves P(y).

    Parameters
    ----------
    x_source, x_target : (m, d) and (n, d) arrays
        Features in one space.
    labels : ((m,), (n,)), optional
        Classes; more than 20 different numbers are cut into tenths.
    groups : ((m,), (n,)), optional
        The subpopulation (subset, context) of each example.
    clusters : ((m,), (n,)), optional
        The unit of independence.
    level : float
        Of the intervals.
    seed : int
        Of folds and landmarks.

    Returns
    -------
    Profile
        Estimates in bits.

        ``subpopulation`` and ``label`` are plug-in divergences less their jackknife bias, with
        two-sided intervals that are valid at 0 too. ``covariate``, ``covariate_marginal`` and
        ``total`` come from a cross-fitted classifier, whose expected log loss is never below
        H(D | ·): they are lower bounds in expectation (below 0 where there is nothing to find),
        with one-sided bounds: `low` holds at `level`, `high` is nan. ``concept`` is the
        difference of two such losses, what the labels add to these classifiers, and a bound on
        neither side: where the classifier of x is too simple, labels that follow x stand in for
        x. It is no test of P(y | x); `measure("gcm", …)` is one.

    Raises
    ------
    ConfigurationError
        As `two_samples`, and labels or groups that are not one an example.

    Notes
    -----
    The classifier is a ridge-penalised logistic regression on principal components (at most 16),
    their squares and 30 Nyström features of a Gaussian kernel, with both splits weighing the
    same; it starts from the groups' odds, and the one with labels from the one without. Levels
    seen in fewer than 5 clusters are one level; where all groups are such, ``subpopulation`` is
    nan and the rest is as without groups. Standard errors take the models as given. Of more
    than 20,000 examples whole clusters are drawn.

    References
    ----------
    Lin, IEEE Trans. Inf. Theory 37 (1991), the Jensen–Shannon divergence as mutual information;
    Cover & Thomas, Elements of Information Theory (2006), chain rule (2.5.2); Federici, Tomioka &
    Forré, NeurIPS 2021, information-theoretic shift; Moreno-Torres et al. (2012), kinds of shift.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(400, 2))
    >>> found = profile(x[:200], x[200:] + 2, groups=("ab" * 100, "ab" * 100), seed=0)
    >>> found.subpopulation.value < 0.02, found.covariate.low > 0.3
    (True, True)
    """
    critical(level)
    samples, label, group = prepared(x_source, x_target, labels, groups, clusters)
    samples, label, group = drawn(samples, label, group, seed)
    is_source = samples.is_source
    rare = group is not None and n_levels(group) == 1 and len(_distinct(groups)) > 1
    if rare:
        group = None
    parameters: dict[str, Any] = {
        "seed": seed,
        "folds": FOLDS,
        "classes": None if label is None else n_levels(label),
        "groups": None if group is None else n_levels(group),
    }
    of_label = None if label is None else information(samples, label, level, seed)
    of_group = None if group is None else information(samples, group, level, seed)
    if rare:
        why = "cannot tell: all groups are rare; what follows is told without them"
        of_group = Estimate(NAN, level=level, method=why, n=len(is_source))
    fold = folds_of_clusters(samples, FOLDS, seed)
    if not _foldable(samples, fold):
        why = f"cannot tell: fewer than {FEWEST_CLUSTERS} clusters in a split"
        none = Estimate(NAN, level=level, method=why, n=len(fold))
        return Profile(
            none, none, none, of_group, None if label is None else none, of_label,
            parameters=parameters,
        )  # fmt: skip
    basis = pooled_basis(samples, _KERNEL, seed, linear=_LINEAR)
    x = np.column_stack([basis.linear, basis.linear**2, basis.kernel])
    marginal = crossfit(x, is_source, fold)
    within = marginal
    if group is not None:
        within = crossfit(x, is_source, fold, _odds(group, is_source, fold))
    last = within
    if label is not None:
        some = np.column_stack([basis.linear[:, :8], basis.kernel[:, :8]])
        last = crossfit(_interplay(label, some), is_source, fold, within.logits)
    parameters["penalties"] = {
        "x": list(marginal.penalties),
        "x and groups": list(within.penalties),
        "x, groups and labels": list(last.penalties),
    }
    kept, base = 1.0, np.zeros(len(fold))
    if of_group is not None and group is not None:
        kept, base = 1 - of_group.value, plug_in_loss(samples, group)
        overlap = _overlap(group, is_source)
        parameters["groups_in_both"] = overlap
        if not overlap:
            why = "cannot tell: no group is in both splits, and the groups use up the whole bit"
            none = Estimate(NAN, level=level, method=why, n=len(fold))
            return Profile(
                none, of_group, at_least(samples, marginal, level), of_group,
                None if label is None else none, of_label, parameters=parameters,
            )  # fmt: skip
    return Profile(
        at_least(samples, within, level, kept, base),
        at_least(samples, last, level),
        at_least(samples, marginal, level),
        of_group,
        None if label is None else gain_of(samples, within, last, level),
        of_label,
        parameters=parameters,
    )


def _distinct(groups: tuple[Any, Any] | None) -> set[str]:
    return set() if groups is None else {str(g) for side in groups for g in side}


def _foldable(samples: Samples, fold: Codes) -> bool:
    enough = min(samples.n_clusters) >= FEWEST_CLUSTERS
    sides = [
        samples.is_source[fold != k].any() and (~samples.is_source[fold != k]).any()
        for k in range(FOLDS)
    ]
    return enough and all(sides) and len(np.unique(fold)) == FOLDS


def _overlap(group: Codes, is_source: NDArray[np.bool_]) -> int:
    return len(np.intersect1d(group[is_source], group[~is_source]))


def _odds(group: Codes, is_source: NDArray[np.bool_], fold: Codes) -> Floats:
    """Each fold's log odds of the target by group, with half an example added to either side."""
    k = n_levels(group)
    found = np.empty((FOLDS, len(fold)))
    for i in range(FOLDS):
        fit = fold != i
        source, target = (
            np.bincount(group[fit & side], minlength=k) + 0.5 for side in (is_source, ~is_source)
        )
        found[i] = np.log((target / target.sum()) / (source / source.sum()))[group]
    return found


def _interplay(label: Codes, x: Floats) -> Floats:
    """For each class its indicator, alone and times the features; features as many as fit."""
    k = n_levels(label)
    of_class = (label[:, None] == np.arange(k)).astype(np.float64)
    width = max(1, min(x.shape[1], _INTERPLAY // max(k, 1)))
    products = (of_class[:, :, None] * x[:, None, :width]).reshape(len(label), -1)
    return np.column_stack([of_class, products])
