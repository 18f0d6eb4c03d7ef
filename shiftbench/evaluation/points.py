"""The ROC and the precision–recall curve as points: all of them, or few within a stated error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation._scores import one_class, oriented, positive_class
from shiftbench.statistics.ranks import Thresholds

__all__ = ["PrPoints", "RocPoints", "pr_points", "roc_points"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class RocPoints:
    """Points of a ROC curve, from the strictest threshold to the loosest.

    Attributes
    ----------
    thresholds : (k,) float64 array
        A score is flagged if it is at least this (with ID positive: at most). The first flags
        nothing: it is nan.
    fpr, tpr : (k,) float64 arrays
    positive : str
    n_id, n_ood : int
    n_thresholds : int
        Distinct scores: the points of the whole curve, but for the first.
    error : float
        The greatest distance in TPR of the whole curve from the straight lines between the points
        kept; 0 where all are kept.
    """

    thresholds: Floats
    fpr: Floats
    tpr: Floats
    positive: str
    n_id: int
    n_ood: int
    n_thresholds: int
    error: float


@dataclass(frozen=True)
class PrPoints:
    """Points of a precision–recall curve, from the strictest threshold to the loosest.

    Attributes
    ----------
    thresholds : (k,) float64 array
        As in `RocPoints`; the first flags something.
    recall, precision : (k,) float64 arrays
    positive : str
    n_id, n_ood : int
    n_thresholds : int
        Distinct scores: the points of the whole curve.
    error : float
        The greatest distance in precision of the whole curve from the straight lines, along the
        number of flagged examples, between the points kept; 0 where all are kept.
    """

    thresholds: Floats
    recall: Floats
    precision: Floats
    positive: str
    n_id: int
    n_ood: int
    n_thresholds: int
    error: float


def roc_points(
    id_scores: ArrayLike,
    ood_scores: ArrayLike,
    *,
    positive: str = "ood",
    score_is: str = "ood",
    max_points: int | None = None,
) -> RocPoints:
    """The ROC curve at all distinct scores.

    Parameters
    ----------
    id_scores, ood_scores : (n_id,), (n_ood,) array_like
        Higher for more OOD.
    positive : {"ood", "id"}
    score_is : {"ood", "confidence"}
        With ``"confidence"`` the scores are negated, and so are the thresholds.
    max_points : int, optional
        Keep at most so many points (at least 3), spread evenly over the curve's length; `error`
        then says how far off the lines between them are.

    Raises
    ------
    ConfigurationError
        NaN, an empty sample, or an argument out of its range.

    References
    ----------
    Fawcett 2006, Pattern Recognition Letters 27, 861–874.

    Examples
    --------
    >>> found = roc_points([1.0, 2.0], [2.0, 3.0])
    >>> found.fpr.tolist(), found.tpr.tolist(), found.thresholds.tolist()
    ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0], [nan, 3.0, 2.0, 1.0])
    """
    thresholds, tp, fp, sizes = _counts(id_scores, ood_scores, positive, score_is)
    fpr, tpr = np.append(0, fp) / fp[-1], np.append(0, tp) / tp[-1]
    kept, error = _thinned(fpr + tpr, fpr, tpr, max_points)
    return RocPoints(
        np.append(np.nan, thresholds)[kept], fpr[kept], tpr[kept], positive, *sizes,
        len(thresholds), error,
    )  # fmt: skip


def pr_points(
    id_scores: ArrayLike,
    ood_scores: ArrayLike,
    *,
    positive: str = "ood",
    score_is: str = "ood",
    max_points: int | None = None,
) -> PrPoints:
    """The precision–recall curve at all distinct scores.

    Arguments and errors as `roc_points`. There is no point at recall 0: nothing is flagged there,
    and scikit-learn's precision of 1 is a convention.

    References
    ----------
    Davis & Goadrich 2006, ICML, 233–240.

    Examples
    --------
    >>> found = pr_points([1.0, 2.0], [2.0, 3.0])
    >>> found.recall.tolist(), found.precision.round(3).tolist()
    ([0.5, 1.0, 1.0], [1.0, 0.667, 0.5])
    """
    thresholds, tp, fp, sizes = _counts(id_scores, ood_scores, positive, score_is)
    recall, precision = tp / tp[-1], tp / (tp + fp)
    flagged = (tp + fp).astype(np.float64)
    # Precision moves most where few are flagged: there the points are closest.
    kept, error = _thinned(np.log(flagged), flagged, precision, max_points)
    return PrPoints(
        thresholds[kept], recall[kept], precision[kept], positive, *sizes, len(thresholds), error
    )


def _counts(
    id_scores: ArrayLike, ood_scores: ArrayLike, positive: str, score_is: str
) -> tuple[Floats, Integers, Integers, tuple[int, int]]:
    positive_class(positive)
    first = oriented(id_scores, "id_scores", score_is)
    second = oriented(ood_scores, "ood_scores", score_is)
    one_class(first, second)
    sizes = (len(first), len(second))
    found = Thresholds.of(first, second)
    if positive == "ood":
        return found.thresholds, found.n_ood, found.n_id, sizes
    upward = [np.cumsum(np.diff(c, prepend=0)[::-1]) for c in (found.n_id, found.n_ood)]
    return found.thresholds[::-1].copy(), upward[0], upward[1], sizes


def _thinned(along: Floats, x: Floats, y: Floats, max_points: int | None) -> tuple[Integers, float]:
    """Which points are kept, evenly `along` something, and how far the lines are off in y.

    Where x stands still the whole curve's points lie on an upright line, and the nearer end counts.
    """
    n = len(along)
    if max_points is not None and (not isinstance(max_points, int | np.integer) or max_points < 3):
        raise ConfigurationError(
            f"max_points is {max_points!r}, but a curve has at least 3: both ends and a middle"
        )
    if max_points is None or n <= max_points:
        return np.arange(n), 0.0
    marks = np.linspace(along[0], along[-1], max_points)
    kept = np.unique(np.clip(np.searchsorted(along, marks), 0, n - 1))
    kept[0], kept[-1] = 0, n - 1
    segment = np.clip(np.searchsorted(kept, np.arange(n), side="right") - 1, 0, len(kept) - 2)
    left, right = kept[segment], kept[segment + 1]
    width = x[right] - x[left]
    with np.errstate(invalid="ignore", divide="ignore"):
        line = y[left] + (y[right] - y[left]) * (x - x[left]) / width
    on_upright = np.minimum(np.abs(y - y[left]), np.abs(y - y[right]))
    between = (y - y[left]) * (y - y[right]) <= 0
    off = np.where(width > 0, np.abs(y - line), np.where(between, 0.0, on_upright))
    return kept, float(off.max())
