"""How well is one class an example told: accuracy and its kin, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.evaluation._labels import Labelled, Summary, as_clusters, chosen, labelled
from shiftbench.evaluation.calibration import calibration_error
from shiftbench.statistics import Clusters, Estimate
from shiftbench.statistics.estimate import NAN
from shiftbench.statistics.linearised import Parts, linearised, mean_of_ratios
from shiftbench.statistics.proportions import share

__all__ = ["classification_metrics"]

Floats = NDArray[np.float64]


def classification_metrics(
    y_true: Any,
    y_pred: Any = None,
    probabilities: Any = None,
    *,
    classes: Sequence[Any] | int | None = None,
    clusters: Any = None,
    level: float = 0.95,
    bins: int = 15,
) -> dict[str, Estimate]:
    """Accuracy, balanced accuracy, macro-F1; with probabilities also log loss, Brier score and ECE.

    Parameters
    ----------
    y_true : (n,) labels
        Numbers, names or booleans; 0 and "" are labels like any other. A missing one (None, nan,
        null; −1 where labels are indices of `classes` or of probabilities' columns) is unknown or
        none of the classes: the example is left out and counted in ``parameters["unknown"]``.
    y_pred : (n,) labels, optional
        Left out: the most probable class, the first of several.
    probabilities : (n, k) floats, optional
        By class, in the order of `classes`; they sum to 1 within 0.001.
    classes : names, or their number, optional
        Labels are then names, or indices of names. Left out: 0, 1, … with probabilities, otherwise
        what occurs.
    clusters : Clusters or (n,) names, optional
        Which examples are not independent of each other; every interval honours them.
    level : float
        Share of such intervals that hold the truth.
    bins : int
        Of the calibration error.

    Returns
    -------
    dict of Estimate
        - ``accuracy``: share of examples predicted right. Wilson's interval.
        - ``balanced_accuracy``: mean over the classes *present in y_true* of the share of their
          examples predicted right (recall).
        - ``macro_f1``: mean of F1 = 2·TP/(examples of the class + predictions of it) over the
          classes present in y_true *or* in y_pred, as scikit-learn has it.
        - ``log_loss``: mean of −ln p(true class), in nat. Nothing is clipped: a probability of 0 on
          the truth makes it infinite; ``parameters["zeros"]`` counts them.
        - ``brier``: mean of Σ over classes (p − [class is the true one])², from 0 to 2 (Brier's own
          form; the halved one for two classes, (p₁ − y)², is half of it).
        - ``ece`` and ``ece_equal_width``: calibration error of the predicted class' probability,
          see `calibration_error`.

    Raises
    ------
    ConfigurationError
        Missing predictions, unknown classes (near names are suggested), probabilities of the wrong
        width or that do not sum to 1, lengths that differ.

    Assumptions
    -----------
    Examples, or clusters, are independent. Which classes are present is taken as given.

    References
    ----------
    Brodersen et al. 2010, ICPR (balanced accuracy); Opitz & Burst 2019, arXiv:1911.03347 (the two
    macro-F1); Brier 1950, Monthly Weather Review 78, 1–3; Gneiting & Raftery 2007, Journal of the
    American Statistical Association 102, 359–378.

    Examples
    --------
    >>> truth = ["cat", "cat", "dog", "dog", "dog", None]
    >>> found = classification_metrics(truth, ["cat", "dog", "dog", "dog", "cat", "cat"])
    >>> found["accuracy"]
    Estimate(0.6000 [0.2307, 0.8824], n=5, Wilson)
    >>> round(found["balanced_accuracy"].value, 4), dict(found["accuracy"].parameters)
    (0.5833, {'unknown': 1})
    >>> found = classification_metrics([1, 0], probabilities=[[0.25, 0.75], [0.5, 0.5]])
    >>> [round(found[name].value, 4) for name in ("accuracy", "log_loss", "brier")]
    [1.0, 0.4904, 0.3125]
    """
    data = labelled(y_true, y_pred, probabilities, classes)
    grouped = as_clusters(clusters, len(data.truth))
    return of_labelled(data, grouped, level, bins)


def of_labelled(
    data: Labelled, clusters: Clusters | None, level: float, bins: int, rows: Any = None
) -> dict[str, Estimate]:
    """The metrics of some rows (all, when left out) of checked labels."""
    keep = data.known if rows is None else rows[data.known[rows]]
    n = len(data.truth) if rows is None else len(rows)
    truth, predicted = data.truth[keep], data.predicted[keep]
    grouped = chosen(clusters, keep)
    unknown = n - len(truth)
    right = truth == predicted
    found = {
        "accuracy": share(right, grouped, level),
        "balanced_accuracy": _balanced(truth, right, len(data.classes), grouped, level),
        "macro_f1": _macro_f1(truth, predicted, len(data.classes), grouped, level),
    }
    if data.summary is not None:
        found |= _probabilistic(data.summary, truth, right, keep, predicted, grouped, level, bins)
    return {
        name: replace(e, parameters={"unknown": unknown, **e.parameters})
        for name, e in found.items()
    }


def _balanced(
    truth: NDArray[np.int64],
    right: NDArray[np.bool_],
    k: int,
    clusters: Clusters | None,
    level: float,
) -> Estimate:
    n = len(truth)
    parts = Parts(np.arange(n), truth, right.astype(np.float64), np.ones(n), n, k)
    sizes = parts.bottoms
    present = int(np.count_nonzero(sizes))
    # One example more or less moves the value most in the smallest class.
    cost = n / (present * sizes[sizes > 0].min()) if present else None
    parameters = {"classes_present": present}
    return mean_of_ratios(parts, clusters, level, cost=cost, parameters=parameters)


def _macro_f1(
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    k: int,
    clusters: Clusters | None,
    level: float,
) -> Estimate:
    n = len(truth)
    right = (truth == predicted).astype(np.float64)
    # Interleaved, so that a block of entries touches a range of examples.
    part = np.stack([truth, predicted], axis=1).ravel()
    parts = Parts(np.repeat(np.arange(n), 2), part, np.repeat(right, 2), np.ones(2 * n), n, k)
    sizes = np.sort(parts.bottoms[parts.bottoms > 0])
    # An error adds to the misses of one class and to the false alarms of another.
    cost = None
    if len(sizes):
        each = (2.0 if right.sum() == 0 else 1.0) * n / sizes[:2]
        cost = float(each.sum()) / len(sizes)
    return mean_of_ratios(
        parts, clusters, level, cost=cost, parameters={"classes_present": len(sizes)}
    )


def _probabilistic(
    summary: Summary,
    truth: NDArray[np.int64],
    right: NDArray[np.bool_],
    keep: Any,
    predicted: NDArray[np.int64],
    clusters: Clusters | None,
    level: float,
    bins: int,
) -> dict[str, Estimate]:
    p = summary.of_truth[keep]
    brier = summary.squares[keep] - 2 * p + 1
    found = {
        "log_loss": log_loss(p, clusters, level),
        "brier": mean_loss(brier, clusters, level, scale="logit of half"),
    }
    best = summary.best[keep]
    hit, confidence = truth == best, summary.confidence[keep]
    for name, kind in (("ece", "equal_mass"), ("ece_equal_width", "equal_width")):
        found[name] = calibration_error(
            confidence, hit, clusters, bins=bins, kind=kind, level=level
        )
    differ = int(np.count_nonzero(best != predicted))
    if differ:  # predictions that are not the most probable class, such as with a threshold
        for name in ("ece", "ece_equal_width"):
            e = found[name]
            found[name] = replace(
                e, parameters=dict(e.parameters) | {"predictions_not_most_probable": differ}
            )
    return found


def log_loss(p: Floats, clusters: Clusters | None, level: float) -> Estimate:
    """Mean of −ln p; infinite where a p is 0."""
    zeros = int(np.count_nonzero(p == 0))
    k = None if clusters is None else int(np.count_nonzero(clusters.sizes))
    parameters = {"zeros": zeros, "unit": "nat"}
    if zeros:
        method = f"cannot tell: {zeros} probabilities of 0 on the truth"
        return Estimate(
            math.inf, NAN, NAN, level, method, n=len(p), n_clusters=k, parameters=parameters
        )
    found = mean_loss(-np.log(p), clusters, level, scale="log")
    return replace(found, parameters=parameters)


def mean_loss(
    losses: Floats, clusters: Clusters | None, level: float, scale: str = "log"
) -> Estimate:
    """The mean of losses from 0 up, with a linearised interval."""
    value = float(losses.mean()) if len(losses) else NAN
    return linearised(value, losses - value, clusters, level, scale=scale)
