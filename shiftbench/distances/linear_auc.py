"""How well features tell an outcome, cross-fitted by cluster, for many outcomes at a time.

The classifier is a ridge regression of the outcome on fixed features: its scores are linear in the
outcomes, so that thousands of permuted outcomes cost one factorisation a fold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PENALTY", "FoldedAuc", "folded_auc", "ridge_scores"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

PENALTY = 5.0
"""Rows that pull a coefficient to 0, for features with a range of 1; one more for 4 features."""


@dataclass(frozen=True)
class FoldedAuc:
    """Areas under the curve inside folds, averaged by their pairs.

    Attributes
    ----------
    values : (k,) array
        One an outcome; nan where no fold has both of its values.
    influence : (n,) array or None
        How each row moves the one outcome's area; sums to 0 over the positives and over the
        negatives of each fold.
    """

    values: Floats
    influence: Floats | None


def ridge_scores(features: Floats, outcomes: Floats, fold: Codes) -> Floats:
    """Scores of rows by ridge regressions that were fitted without the rows' folds.

    Parameters
    ----------
    features : (n, p) array
    outcomes : (n, k) array
    fold : (n,) int64 array

    Returns
    -------
    (n, k) array

    Examples
    --------
    >>> x = np.tile([[0.0], [1.0]], (10, 1))
    >>> scores = ridge_scores(x, x, np.arange(20) // 4)
    >>> bool(scores[1, 0] > scores[0, 0])
    True
    """
    found = np.zeros(outcomes.shape)
    penalty = PENALTY + features.shape[1] / 4
    for k in np.unique(fold):
        fit, out = fold != k, fold == k
        if not fit.any():
            continue
        middle = features[fit].mean(axis=0)
        x = features[fit] - middle
        gram = x.T @ x
        gram[np.diag_indices_from(gram)] += penalty
        found[out] = (features[out] - middle) @ np.linalg.solve(gram, x.T @ outcomes[fit])
    return found


def folded_auc(
    scores: Floats, outcomes: Floats, fold: Codes, *, influence: bool = False
) -> FoldedAuc:
    """P(score of a positive > score of a negative of its fold) + ½ P(equal), by outcome.

    Parameters
    ----------
    scores, outcomes : (n, k) arrays
        Outcomes are 0 or 1.
    fold : (n,) int64 array
    influence : bool
        Of the first outcome, too.

    Examples
    --------
    >>> y = np.array([[0.0], [1.0], [0.0], [1.0]])
    >>> folded_auc(np.array([[0.1], [0.9], [0.5], [0.4]]), y, np.array([0, 0, 1, 1])).values
    array([0.5])
    """
    from scipy.stats import rankdata

    # Rows with the same features must tie although their scores were added up in another order.
    rounded = np.round(scores, 10)
    won = np.zeros(scores.shape[1])
    pairs = np.zeros(scores.shape[1])
    moved = np.zeros(len(scores))
    for k in np.unique(fold):
        inside = fold == k
        y = outcomes[inside]
        positive = y.sum(axis=0)
        negative = len(y) - positive
        ranks = rankdata(rounded[inside], axis=0)
        own = (ranks * y).sum(axis=0) - positive * (positive + 1) / 2
        won += own
        pairs += positive * negative
        if influence and positive[0] and negative[0]:
            moved[inside] = _placements(rounded[inside, 0], y[:, 0] > 0, float(own[0]))
    values = np.divide(won, pairs, out=np.full(won.shape, np.nan), where=pairs > 0)
    return FoldedAuc(values, moved / pairs[0] if influence and pairs[0] else None)


def _placements(scores: Floats, positive: NDArray[np.bool_], won: float) -> Floats:
    """By how many pairs each row is above the average of its kind."""
    below, above = np.sort(scores[~positive]), np.sort(scores[positive])
    moved = np.empty(len(scores))
    moved[positive] = (
        np.searchsorted(below, scores[positive], "left")
        + np.searchsorted(below, scores[positive], "right")
    ) / 2 - won / len(above)
    moved[~positive] = (
        len(above)
        - (
            np.searchsorted(above, scores[~positive], "left")
            + np.searchsorted(above, scores[~positive], "right")
        )
        / 2
        - won / len(below)
    )
    return moved
