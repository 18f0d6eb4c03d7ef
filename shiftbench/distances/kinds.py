"""Profile: how much of a shift is subpopulation, covariate and concept, in bits that add up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftbench.distances.basis import folds_of_clusters, pooled_basis
from shiftbench.distances.boundary import nonnegative_interval, root_variance
from shiftbench.distances.columns import pooled_levels
from shiftbench.distances.discriminant import FOLDS, Fit, coin_weights, crossfit
from shiftbench.distances.label_distances import jensen_shannon
from shiftbench.distances.samples import Samples, two_samples
from shiftbench.distances.shares import counts_by, counts_without_groups
from shiftbench.errors import ConfigurationError
from shiftbench.statistics import Clusters, Estimate
from shiftbench.statistics.delong import Spread, two_sample_spread
from shiftbench.statistics.estimate import NAN, critical, normal_interval
from shiftbench.statistics.jackknife import jackknife

__all__ = ["Profile", "profile"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

FEWEST_CLUSTERS = 10
"""A side with fewer clusters than this is not cross-fitted."""

_LINEAR, _KERNEL, _INTERPLAY = 16, 30, 150
_GROUPS = 100
_MOST_ROWS = 20_000
_BINS, _NUMERIC = 10, 20
_APART = "\x1f"

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
    seen in fewer than 5 clusters are one level. Standard errors take the models as given. Of more
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
    samples, label, group = _prepared(x_source, x_target, labels, groups, clusters)
    samples, label, group = _drawn(samples, label, group, seed)
    is_source = samples.is_source
    parameters: dict[str, Any] = {
        "seed": seed,
        "folds": FOLDS,
        "classes": None if label is None else _n_levels(label),
        "groups": None if group is None else _n_levels(group),
    }
    of_label = None if label is None else _information(samples, label, level, seed)
    of_group = None if group is None else _information(samples, group, level, seed)
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
        kept, base = 1 - of_group.value, _plug_in_loss(samples, group)
        overlap = _overlap(group, is_source)
        parameters["groups_in_both"] = overlap
        if not overlap:
            why = "cannot tell: no group is in both splits, and the groups use up the whole bit"
            none = Estimate(NAN, level=level, method=why, n=len(fold))
            return Profile(
                none, of_group, _at_least(samples, marginal, level), of_group,
                None if label is None else none, of_label, parameters=parameters,
            )  # fmt: skip
    return Profile(
        _at_least(samples, within, level, kept, base),
        _at_least(samples, last, level),
        _at_least(samples, marginal, level),
        of_group,
        None if label is None else _gain(samples, within, last, level),
        of_label,
        parameters=parameters,
    )


def _prepared(
    x_source: ArrayLike,
    x_target: ArrayLike,
    labels: tuple[Any, Any] | None,
    groups: tuple[Any, Any] | None,
    clusters: tuple[Any, Any] | None,
) -> tuple[Samples, Codes | None, Codes | None]:
    """Samples in their order, and the codes of label and group in that order."""
    n = (len(np.asarray(x_source)), len(np.asarray(x_target)))
    parts = [
        _text(given, what, n) for given, what in ((labels, "labels"), (groups, "groups"))
        if given is not None
    ]  # fmt: skip
    if not parts:
        samples = two_samples(x_source, x_target, takes="features", clusters=clusters)
        return samples, None, None
    joined = [_APART.join(row) for row in zip(*parts, strict=True)]
    samples = two_samples(
        x_source,
        x_target,
        takes="features and labels",
        clusters=clusters,
        labels=(joined[: n[0]], joined[n[0] :]),
    )
    assert samples.labels is not None
    of_level = [level.split(_APART) for level in samples.levels]
    found: list[Codes] = []
    for i, what in enumerate(parts):
        del what
        names = sorted({row[i] for row in of_level})
        codes = np.array([names.index(row[i]) for row in of_level])[samples.labels]
        variable = pooled_levels("", codes, names, samples.clusters)
        assert variable.codes is not None
        found.append(variable.codes)
    label = found[0] if labels is not None else None
    return samples, label, found[-1] if groups is not None else None


def _text(given: tuple[Any, Any], what: str, n: tuple[int, int]) -> list[str]:
    sides = [list(side) for side in given]
    for side, values, rows in zip(("source", "target"), sides, n, strict=True):
        if len(values) != rows:
            raise ConfigurationError(
                f"the {side} has {rows} examples and {len(values)} {what}; give one an example"
            )
        for i, value in enumerate(values):
            if value is None or value != value:
                raise ConfigurationError(
                    f"of the {what} of the {side} that in row {i} is missing; leave such examples "
                    "out"
                )
    values = [*sides[0], *sides[1]]
    numbers = all(isinstance(v, int | float | np.number) for v in values)
    if what == "labels" and numbers and len(set(values)) > _NUMERIC:
        cuts = np.quantile(np.asarray(values, dtype=np.float64), np.arange(1, _BINS) / _BINS)
        return [f"{i}" for i in np.searchsorted(cuts, values, side="left")]
    return [str(v).replace(_APART, " ") for v in values]


def _drawn(
    samples: Samples, label: Codes | None, group: Codes | None, seed: int
) -> tuple[Samples, Codes | None, Codes | None]:
    """Whole clusters up to about `_MOST_ROWS` rows."""
    n = len(samples.clusters)
    if n <= _MOST_ROWS:
        return samples, label, group
    keep = folds_of_clusters(samples, math.ceil(n / _MOST_ROWS), seed) == 0
    rows = np.flatnonzero(keep)
    _, clusters = np.unique(samples.clusters[rows], return_inverse=True)
    drawn = Samples(samples.features[rows], int(keep[: samples.n_source].sum()), clusters)
    return drawn, None if label is None else label[rows], None if group is None else group[rows]


def _n_levels(codes: Codes) -> int:
    return int(codes.max()) + 1


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
    k = _n_levels(group)
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
    k = _n_levels(label)
    of_class = (label[:, None] == np.arange(k)).astype(np.float64)
    width = max(1, min(x.shape[1], _INTERPLAY // max(k, 1)))
    products = (of_class[:, :, None] * x[:, None, :width]).reshape(len(label), -1)
    return np.column_stack([of_class, products])


def _plug_in_loss(samples: Samples, codes: Codes) -> Floats:
    """Bits each row's side costs under the plug-in odds of its level, both sides weighing alike."""
    k = _n_levels(codes)
    shares = [
        np.bincount(codes[side], minlength=k) / side.sum()
        for side in (samples.is_source, ~samples.is_source)
    ]
    own = np.where(samples.is_source, shares[0][codes], shares[1][codes])
    return np.asarray(-np.log2(own / (shares[0] + shares[1])[codes]))


def _information(samples: Samples, codes: Codes, level: float, seed: int) -> Estimate:
    """I(D; level) with the jackknife's bias taken off."""
    k = _n_levels(codes)
    side = (~samples.is_source).astype(np.int64)
    source, target = counts_by(side, codes, 2, k)
    plain = float(jensen_shannon(source, target))
    without = counts_without_groups(samples, codes, k, _GROUPS, seed)
    found = jackknife(plain, jensen_shannon(without[0], without[1]), without[2])
    spread = _spread(samples, _plug_in_loss(samples, codes))
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
    low, high = nonnegative_interval(plain, noise, scale, level, max(spread.df, 1.0), most=1.0)
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


def _at_least(
    samples: Samples, fit: Fit, level: float, kept: float = 1.0, base: Floats | None = None
) -> Estimate:
    """`kept`, the bits of D that were not known before, less the classifier's held-out loss."""
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


def _gain(samples: Samples, before: Fit, after: Fit, level: float) -> Estimate:
    """What the classifier's held-out loss falls by with the labels."""
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
