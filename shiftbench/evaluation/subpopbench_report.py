"""SubpopBench's report, from predicted probabilities: see `shiftbench.evaluation.compatibility`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from shiftbench.errors import ConfigurationError

__all__ = ["subpopbench"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

NAN = math.nan
CLIP = 1e-6
BINS = 10


def subpopbench(
    y_true: ArrayLike, probabilities: ArrayLike, attributes: ArrayLike, threshold: float = 0.5
) -> dict[str, Any]:
    """What `eval_metrics` of SubpopBench returns.

    Parameters
    ----------
    y_true : (n,) array of int
        Classes, from 0.
    probabilities : (n,) or (n, k) array
        Of class 1 where there are two classes; else of each class.
    attributes : (n,) array of int
        A group is a class with an attribute: ``y=0,a=1``.
    threshold : float
        From this probability of class 1 on the prediction is 1.

    Returns
    -------
    dict
        ``overall``, ``per_attribute``, ``per_class``, ``per_group``, ``adjusted_accuracy`` (the
        plain mean over groups: ours is accuracy_group_mean), ``min_attr``, ``max_attr``,
        ``min_group`` and ``max_group``, as nested dictionaries with SubpopBench's keys. ``ECE``
        has 10 bins of equal width and, for two classes, is of the probability of class 1.

    Raises
    ------
    ConfigurationError
        Lengths that differ, probabilities of the wrong width.

    Notes
    -----
    In a group of one class the rates of the other are set to the worst: with no negative, FPR is 1
    and TNR 0; with no positive, TPR is 0 and FNR 1. They stand in the minima too. SubpopBench asks
    scikit-learn for the AUROC of an attribute with one class alone, which fails or not with its
    version: here it is nan. Computed in double precision; SubpopBench's own probabilities are
    single.

    References
    ----------
    Yang et al. (2023), Change is Hard, ICML; `subpopbench/utils/eval_helper.py`; ECE: netcal.

    Examples
    --------
    >>> found = subpopbench([0, 0, 1, 1], [0.1, 0.6, 0.7, 0.8], [0, 1, 0, 1])
    >>> found["overall"]["accuracy"], found["min_group"]["accuracy"], found["adjusted_accuracy"]
    (0.75, 0.0, 0.75)
    """
    truth = np.asarray(y_true)
    given = np.asarray(probabilities, np.float64)
    where = np.asarray(attributes)
    if truth.ndim != 1 or not len(truth) or where.shape != truth.shape or len(given) != len(truth):
        raise ConfigurationError(
            f"y_true has shape {truth.shape}, probabilities {given.shape} and attributes "
            f"{where.shape}; give one of each an example"
        )
    classes = np.unique(truth)
    flat = given.reshape(len(given)) if given.size == len(given) else given
    wide = 2 if flat.ndim == 1 else flat.shape[1]
    if not np.array_equal(classes, np.arange(wide)) or (flat.ndim == 2 and wide == 2):
        raise ConfigurationError(
            f"y_true has the classes {classes.tolist()[:10]} and probabilities {wide} columns; "
            "every class from 0 must occur and have its column, and for two classes give the "
            "probability of class 1 alone, as SubpopBench does"
        )
    guess = (flat >= threshold).astype(np.int64) if flat.ndim == 1 else flat.argmax(axis=1)
    report = _classes(truth, guess)
    found: dict[str, Any] = {
        "overall": {
            **_counted(truth, guess, classes),
            **_graded(truth, flat, classes),
            "macro_avg": report.pop("macro avg"),
            "weighted_avg": report.pop("weighted avg"),
        },
        "per_attribute": {},
        "per_class": {int(y): report[int(y)] for y in classes},
        "per_group": {},
    }
    for a in np.unique(where):
        inside = where == a
        found["per_attribute"][int(a)] = {
            **_counted(truth[inside], guess[inside], classes),
            **_graded(truth[inside], flat[inside], classes),
        }
    cells = {f"y={y},a={a}": (y, a) for y in classes for a in np.unique(where)}
    for name in sorted(cells):
        y, a = cells[name]
        inside = (truth == y) & (where == a)
        if inside.any():
            found["per_group"][name] = _counted(truth[inside], guess[inside], classes)
    groups = found["per_group"].values()
    found["adjusted_accuracy"] = sum(group["accuracy"] for group in groups) / len(groups)
    for short, long in (("attr", "per_attribute"), ("group", "per_group")):
        for name, of in (("min", np.fmin), ("max", np.fmax)):
            found[f"{name}_{short}"] = _extreme(list(found[long].values()), of)
    return found


def _extreme(parts: list[dict[str, float]], of: Any) -> dict[str, float]:
    keys = dict.fromkeys(key for part in parts for key in part)
    return {key: float(of.reduce([part.get(key, NAN) for part in parts])) for key in keys}


def _counted(truth: Codes, guess: Codes, classes: Codes) -> dict[str, float]:
    """SubpopBench's `binary_metrics`."""
    n = len(truth)
    found: dict[str, float] = {"accuracy": float(np.mean(truth == guess)), "n_samples": n}
    recall = [
        float(np.mean(guess[truth == y] == y)) if np.any(truth == y) else 0.0 for y in classes
    ]
    if len(classes) == 2:
        no, yes = classes
        tn, fp = (int(np.sum((truth == no) & (guess == g))) for g in (no, yes))
        fn, tp = (int(np.sum((truth == yes) & (guess == g))) for g in (no, yes))
        positive, negative = tp + fn, fp + tn
        found |= {"TN": tn, "FN": fn, "TP": tp, "FP": fp, "error": fn + fp}
        found |= {
            "TPR": tp / positive if positive else 0,
            "FNR": fn / positive if positive else 1,
            "FPR": fp / negative if negative else 1,
            "TNR": tn / negative if negative else 0,
            "pred_prevalence": (tp + fp) / n,
            "prevalence": positive / n,
        }
    else:
        found["TPR"] = float(np.mean(recall))
    there = [value for value, y in zip(recall, classes, strict=True) if np.any(truth == y)]
    if len(there) > 1:
        found["balanced_acc"] = float(np.mean(there))
    return found


def _graded(truth: Codes, given: Floats, classes: Codes) -> dict[str, float]:
    """SubpopBench's `prob_metrics`."""
    found = {
        "AUROC_ovo": _auroc(truth, given, classes, "ovo"),
        "BCE": _log_loss(truth, given, classes),
        "ECE": _calibration(truth, given),
    }
    one = _auroc(truth, given, classes, "ovr")
    found["AUROC"] = found["AUROC_ovo"] if math.isnan(one) else one
    if len(np.unique(truth)) == 2 and given.ndim == 1:
        found["AUPRC"] = float(average_precision_score(truth, given))
        found["brier"] = float(np.mean((given - (truth == classes[-1])) ** 2))
    return found


def _auroc(truth: Codes, given: Floats, classes: Codes, way: str) -> float:
    present = len(np.unique(truth))
    if present < 2 or (way == "ovr" and given.ndim == 2 and present < len(classes)):
        return NAN
    return float(roc_auc_score(truth, given, multi_class=way, labels=classes))


def _log_loss(truth: Codes, given: Floats, classes: Codes) -> float:
    """Clipped to 1e-6 … 1 − 1e-6 and scaled to sum to one again, as scikit-learn once did."""
    table = np.clip(given, CLIP, 1 - CLIP)
    if given.ndim == 1:
        table = np.stack([1 - table, table], axis=1)
    table = table / table.sum(axis=1, keepdims=True)
    return float(-np.mean(np.log(table[np.arange(len(truth)), np.searchsorted(classes, truth)])))


def _calibration(truth: Codes, given: Floats) -> float:
    """Ten bins of equal width; of class 1's probability, or of the largest one's."""
    tiny = np.finfo(np.float64).eps
    table = np.clip(given, tiny, 1 - tiny)
    if given.ndim == 1:
        sure, right = table, truth.astype(np.float64)
    elif len(np.unique(truth)) > 2:
        sure, right = table.max(axis=1), (table.argmax(axis=1) == truth).astype(np.float64)
    else:
        return NAN  # netcal refuses several columns where only two classes occur
    bins = np.searchsorted(np.linspace(0, 1, BINS + 1), sure, side="right") - 1
    gaps = np.bincount(bins, weights=right - sure, minlength=BINS)
    return float(np.abs(gaps).sum() / len(truth))


def _classes(truth: Codes, guess: Codes) -> dict[Any, dict[str, float]]:
    """Precision, recall and F1 of each class that occurs in the truth or the predictions."""
    every = np.union1d(truth, guess)
    rows = {}
    for y in every:
        hits = int(np.sum((truth == y) & (guess == y)))
        true, guessed = int(np.sum(truth == y)), int(np.sum(guess == y))
        rows[int(y)] = {
            "precision": hits / guessed if guessed else 0.0,
            "recall": hits / true if true else 0.0,
            "f1-score": 2 * hits / (true + guessed),
            "support": float(true),
        }
    names = ("precision", "recall", "f1-score")
    support = np.array([row["support"] for row in rows.values()])
    found: dict[Any, dict[str, float]] = dict(rows)
    for name, weights in (("macro avg", np.ones(len(rows))), ("weighted avg", support)):
        found[name] = {
            key: float(np.average([row[key] for row in rows.values()], weights=weights))
            for key in names
        }
        found[name]["support"] = float(support.sum())
    return found
