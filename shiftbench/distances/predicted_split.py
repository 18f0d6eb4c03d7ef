"""How well columns tell the split, and the other columns the label; cross-fitted by cluster."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.columns import MIN_LEVEL_CLUSTERS, Variable
from shiftbench.distances.linear_auc import folded_auc, ridge_scores
from shiftbench.distances.relabel import FOLDS, Units
from shiftbench.statistics import Clusters, Estimate, priorities, stream
from shiftbench.statistics.delong import Spread, auroc_limits, logit_limits, two_sample_spread
from shiftbench.statistics.linearised import mean_variance

__all__ = ["Work", "predicted_parts"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]

_REPEATS = 5
_MANY = 500_000
_FEW_PERMUTATIONS = 199
"""With more rows × features than `_MANY`, folds are dealt once, and at most so often permuted."""
_MOST_FEATURES = 400
_MOST_CLASSES = 10
_DOUBLED = "DeLong with twice the variance for cross-fitting"


@dataclass(frozen=True)
class Work:
    """What all parts of an audit share: rows in clusters on two sides, and how to resample them."""

    clusters: Codes
    is_source: Flags
    names: list[str]
    seed: int
    level: float
    n_permutations: int
    n_deals: int = _REPEATS

    def within_reach(self, n_features: int) -> Work:
        """The same with fewer deals and permutations, where there are many rows and features."""
        if len(self.clusters) * n_features <= _MANY:
            return self
        return replace(self, n_deals=1, n_permutations=min(self.n_permutations, _FEW_PERMUTATIONS))

    def folds(self, rows: Codes, what: str) -> list[Codes]:
        """The fold of each row, several times over; which split a cluster is in plays no part."""
        made = []
        for i in range(self.n_deals):
            order = np.argsort(priorities(self.seed, f"audit folds {i} {what}", self.names))
            rank = np.empty(len(order), dtype=np.int64)
            used = np.isin(order, self.clusters[rows])
            rank[order[used]] = np.arange(int(used.sum()))
            made.append(rank[self.clusters[rows]] % FOLDS)
        return made


def _features(found: Sequence[Variable]) -> Floats:
    """Levels as columns of 0 and 1, numbers as their ranks from −½ to ½; missing values as 0."""
    made = []
    for variable in found:
        there = variable.present
        if variable.values is not None:
            ranks = np.unique(variable.values[there], return_inverse=True)[1]
            counts = np.bincount(ranks)
            middle = np.cumsum(counts) - counts / 2
            column = np.zeros(len(there))
            column[there] = middle[ranks] / there.sum() - 0.5
            made.append(column[:, None])
        else:
            assert variable.codes is not None
            wide = np.zeros((len(there), variable.n_levels))
            wide[there, variable.codes[there]] = 1.0
            made.append(wide[:, 1:] if variable.n_levels == 2 else wide)
    return np.concatenate(made, axis=1)


def predicted_parts(
    found: Sequence[tuple[str, Sequence[Variable]]], label: str | None, work: Work, units: Units
) -> tuple[dict[str, Estimate], dict[str, Any]]:
    """The `Audit.parts`, and what they were made with.

    Parameters
    ----------
    found : sequence of (column, variables)
    label : str or None
        Which of the columns is the label.
    work : Work
    units : Units
        Of `work`.
    """
    own = [v for name, parts in found if name == label for v in parts]
    other = [v for name, parts in found if name != label for v in parts]
    x_label = _features(own) if own else np.empty((len(work.clusters), 0))
    x_other = _features(other) if other else np.empty((len(work.clusters), 0))
    products = x_label.shape[1] * x_other.shape[1]
    together = bool(0 < products <= _MOST_FEATURES)
    joint = np.concatenate([x_label, x_other], axis=1)
    if together:
        a, b = x_label - x_label.mean(axis=0), x_other - x_other.mean(axis=0)
        joint = np.concatenate([joint, (a[:, :, None] * b[:, None, :]).reshape(len(a), -1)], axis=1)
    work = work.within_reach(joint.shape[1])
    parts: dict[str, Estimate] = {}
    parts["joint"], scores = _split_auc(joint, work, units)
    if own and other:
        parts["label"] = _split_auc(x_label, work, units)[0]
        parts["others"] = _split_auc(x_other, work, units)[0]
        for side, rows in (("source", work.is_source), ("target", ~work.is_source)):
            told = _label_auc(x_other, own, np.flatnonzero(rows), work)
            if told is not None:
                parts[f"label_in_{side}"] = told
    there, back = _effective_shares(scores, work.is_source)
    parts["source_to_target"], parts["target_to_source"] = there, back
    return parts, {
        "rows": len(work.clusters),
        "features": joint.shape[1],
        "interplay": together,
        "folds": FOLDS,
        "repeats": work.n_deals,
        "n_permutations": work.n_permutations,
    }


def _split_auc(features: Floats, work: Work, units: Units) -> tuple[Estimate, Floats]:
    """The AUC of telling target from source, and each row's score, both over all deals of folds."""
    rng = stream(work.seed, "audit permutations")
    blocks = [1 - block[:, units.of_row] for block in units.permuted(rng, work.n_permutations)]
    outcomes = np.concatenate([(~work.is_source)[None, :].astype(np.float64), *blocks]).T
    every = np.arange(len(outcomes))
    values, influences, scores = _repeated(features, outcomes, work.folds(every, "split"))
    n, width = len(outcomes), int(work.clusters.max()) + 1
    sides = (work.is_source, ~work.is_source)
    pair = (Clusters(work.clusters[sides[0]], width), Clusters(work.clusters[sides[1]], width))
    spread = _after_fits([
        two_sample_spread(moved[sides[0]] * sides[0].sum(), moved[sides[1]] * sides[1].sum(), pair)
        for moved in influences
    ])  # fmt: skip
    value = float(values[0])
    low, high, method = auroc_limits(value, spread, work.level, constant=not np.ptp(scores))
    method = "cross-fitted, " + method.replace("DeLong", _DOUBLED)
    estimate = Estimate(
        value, low, high, work.level, method, n, spread.n_clusters,
        p_value=_p_value(values), se=spread.se,
    )  # fmt: skip
    return estimate, scores


def _repeated(
    features: Floats, outcomes: Floats, folds: Sequence[Codes]
) -> tuple[Floats, Floats, Floats]:
    """Mean AUC of each outcome over the deals, each deal's influences, and mean scores."""
    values, scores = np.zeros(outcomes.shape[1]), np.zeros(len(outcomes))
    influences = np.zeros((len(folds), len(outcomes)))
    for own, fold in zip(influences, folds, strict=True):
        found = ridge_scores(features, outcomes, fold)
        told = folded_auc(found, outcomes, fold, influence=True)
        values += np.nan_to_num(told.values, nan=0.5) / len(folds)
        if told.influence is not None:
            own += told.influence
        scores += found[:, 0] / len(folds)
    return values, influences, scores


def _after_fits(deals: Sequence[Spread]) -> Spread:
    """The spread of the mean AUC of several deals: twice the mean of their variances.

    DeLong's variance takes the models as fixed. With nothing to find each pair of rows tells of the
    AUC twice, as test and training and as training and test, which doubles the variance (see
    `c2st`). The deals' influences are not averaged first: those of models that disagree would
    cancel out.
    """
    first = deals[0]
    return replace(
        first,
        variance=2 * float(np.mean([d.variance for d in deals])),
        df=min(d.df for d in deals),
    )


def _p_value(values: Floats) -> float:
    return float((1 + (values[1:] >= values[0] - 1e-9).sum()) / len(values))


def _label_auc(
    features: Floats, own: Sequence[Variable], rows: Codes, work: Work
) -> Estimate | None:
    """Mean over classes of the AUC of telling each from the others by the features."""
    clusters = work.clusters[rows]
    indicators = _indicators(own, rows, clusters)
    if not indicators:
        return None
    label = np.column_stack(indicators)
    rng = stream(work.seed, "audit labels")
    orders = _label_orders(label, clusters, rng, work.n_permutations)
    folds = work.folds(rows, "label")
    total = np.zeros(1 + len(orders))
    influences = np.zeros((len(folds), len(rows)))
    for column in label.T:
        outcomes = np.column_stack([column, *(column[order] for order in orders)])
        values, moved, _ = _repeated(features[rows], outcomes, folds)
        total += values / label.shape[1]
        influences += moved / label.shape[1]
    _, codes = np.unique(clusters, return_inverse=True)
    groups = Clusters(codes, int(codes.max()) + 1)
    found = [mean_variance(moved * len(rows), groups) for moved in influences]
    variance, df = 2 * float(np.mean([f[0] for f in found])), min(float(f[1]) for f in found)
    low, high = logit_limits(float(total[0]), math.sqrt(variance), work.level, df)
    return Estimate(
        float(total[0]), low, high, work.level,
        f"cross-fitted, clustered logit {_DOUBLED}, t",
        len(rows), groups.n_clusters, p_value=_p_value(total), se=math.sqrt(variance),
    )  # fmt: skip


def _indicators(own: Sequence[Variable], rows: Codes, clusters: Codes) -> list[Floats]:
    """Classes and tags that enough clusters have and have not; of numbers, whether above the
    median."""
    made: list[tuple[int, Floats]] = []
    for variable in own:
        there = variable.present[rows]
        if "(missing)" in variable.column or (variable.codes is not None and not variable.names):
            continue
        if variable.values is not None:
            values = variable.values[rows]
            columns = [values > np.median(values[there])] if there.any() else []
        else:
            assert variable.codes is not None
            kinds = range(1 if variable.n_levels == 2 else 0, variable.n_levels)
            columns = [variable.codes[rows] == k for k in kinds]
        for column in columns:
            with_it = len(np.unique(clusters[column & there]))
            without = len(np.unique(clusters[~column & there]))
            if min(with_it, without) >= MIN_LEVEL_CLUSTERS:
                made.append((-with_it, column.astype(np.float64)))
    made.sort(key=lambda m: m[0])
    return [column for _, column in made[:_MOST_CLASSES]]


def _label_orders(label: Floats, clusters: Codes, rng: np.random.Generator, n: int) -> list[Codes]:
    """Which row's label each row gets: clusters of one label trade them, other rows inside."""
    _, kind = np.unique(label, axis=0, return_inverse=True)
    kind = kind.ravel()
    _, first, codes = np.unique(clusters, return_index=True, return_inverse=True)
    mixed = np.bincount(codes, weights=kind != kind[first][codes]) > 0
    pure = np.flatnonzero(~mixed)
    inside = np.flatnonzero(mixed[codes])
    inside = inside[np.argsort(codes[inside], kind="stable")]
    orders = []
    for _ in range(n):
        giver = first.copy()
        giver[pure] = first[rng.permutation(pure)]
        order = giver[codes]
        # Random keys below 1 added to whole numbers sort inside a cluster.
        order[inside] = inside[np.argsort(rng.random(len(inside)) + codes[inside])]
        orders.append(order)
    return orders


def _effective_shares(scores: Floats, is_source: Flags) -> tuple[Estimate, Estimate]:
    """Kish's effective share of each split under the odds that calibrated scores give."""
    target = (~is_source).astype(np.float64)
    weights = np.where(is_source, 0.5 / is_source.sum(), 0.5 / (~is_source).sum())
    z = scores - weights @ scores
    scale = math.sqrt(float(weights @ (z * z)))
    slope = intercept = 0.0
    if scale > 0:
        x = np.column_stack([np.ones(len(z)), z / scale])
        b = np.zeros(2)
        for _ in range(25):
            p = 1 / (1 + np.exp(-np.clip(x @ b, -30, 30)))
            # A thousandth of a row's worth of pull: separable scores keep a finite slope.
            pull = np.array([0.0, 1e-3 * b[1]])
            curve = (x * (weights * p * (1 - p))[:, None]).T @ x + np.diag([1e-12, 1e-3])
            step = np.linalg.solve(curve, x.T @ (weights * (target - p)) - pull)
            b += step * min(1.0, 3 / max(float(np.abs(step).max()), 1e-12))
        intercept, slope = float(b[0]), float(b[1]) / scale
    logit = np.clip(intercept + slope * z, -30, 30)
    made = []
    for rows, sign in ((is_source, 1.0), (~is_source, -1.0)):
        w = np.exp(sign * logit[rows])
        made.append(
            Estimate(
                float(w.sum() ** 2 / (len(w) * (w @ w))),
                method="no interval: Kish's share under cross-fitted, calibrated odds",
                n=int(rows.sum()),
            )
        )
    return made[0], made[1]
