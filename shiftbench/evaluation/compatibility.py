"""The numbers of the tools that people come from, from the same predictions, to 1e-12.

For comparing with published tables, and for finding out why two numbers differ. They carry no
interval, and keep each tool's conventions, its traps included: see docs/compatibility.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.evaluation._rank_bins import checked, rank_bins

__all__ = ["openood_v1_5", "pytorch_ood", "wilds"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
WildsKind = Literal["standard", "waterbirds", "amazon", "civilcomments", "iwildcam"]

NAN = math.nan
KINDS: tuple[WildsKind, ...] = ("standard", "waterbirds", "amazon", "civilcomments", "iwildcam")
WATERBIRDS = {
    "y:landbird_background:land": 3498,
    "y:landbird_background:water": 184,
    "y:waterbird_background:land": 56,
    "y:waterbird_background:water": 1057,
}
"""Training examples of each group of Waterbirds, as written into WILDS."""


def openood_v1_5(
    id_scores: ArrayLike, ood_scores: ArrayLike, id_correct: ArrayLike | None = None
) -> dict[str, float]:
    """The row that OpenOOD 1.5 prints, as fractions.

    Parameters
    ----------
    id_scores, ood_scores : (n_id,) and (n_ood,) arrays
        In this suite's direction: higher is more OOD. OpenOOD's own `conf` is higher for more ID:
        hand in −conf.
    id_correct : (n_id,) array of bool, optional
        Whether each ID prediction is right, for ``ACC``.

    Returns
    -------
    dict
        ``FPR@95`` (OOD positive: ours is fpr_at_95tpr_ood), ``AUROC``, ``AUPR_IN``, ``AUPR_OUT``
        (trapezoids), ``ACC`` (nan without `id_correct`). OpenOOD prints them times 100.

    Raises
    ------
    ConfigurationError
        A NaN score, or no example on one side.

    Notes
    -----
    OpenOOD reads FPR@95 from scikit-learn's ROC curve with its default `drop_intermediate`, which
    leaves out points in the middle of a straight piece; the first point with TPR ≥ 0.95 is then a
    later one, and the FPR higher than ours, where a straight piece crosses 0.95. OpenOOD itself
    refuses infinite scores.

    References
    ----------
    Zhang et al. (2023), OpenOOD v1.5, arXiv:2306.09301; `openood/evaluators/metrics.py`,
    `compute_all_metrics`.

    Examples
    --------
    >>> found = openood_v1_5([0.1, 0.2, 0.3, 0.4], [0.35, 0.6, 0.7])
    >>> {name: round(value, 4) for name, value in found.items()}
    {'FPR@95': 0.25, 'AUROC': 0.9167, 'AUPR_IN': 0.9437, 'AUPR_OUT': 0.9028, 'ACC': nan}
    """
    known, ood = _falling(id_scores, ood_scores)
    tp, fp = np.cumsum(ood), np.cumsum(known)
    kept = np.ones(len(tp), bool)
    if len(tp) > 2:
        kept[1:-1] = (np.diff(tp, 2) != 0) | (np.diff(fp, 2) != 0)
    return {
        "FPR@95": _first_fpr(tp[kept], fp[kept]),
        "AUROC": _auroc(known, ood),
        "AUPR_IN": _trapezoid_aupr(known[::-1], ood[::-1]),
        "AUPR_OUT": _trapezoid_aupr(ood, known),
        "ACC": NAN if id_correct is None else float(np.mean(np.asarray(id_correct, bool))),
    }


def pytorch_ood(
    id_scores: ArrayLike, ood_scores: ArrayLike, id_correct: ArrayLike | None = None
) -> dict[str, float]:
    """What `OODMetrics` of pytorch-ood 0.4 computes.

    Parameters
    ----------
    id_scores, ood_scores : (n_id,) and (n_ood,) arrays
        Higher is more OOD, as in pytorch-ood.
    id_correct : (n_id,) array of bool, optional
        Whether each ID prediction is right, for ``ACC``, which is there only then.

    Returns
    -------
    dict
        ``AUROC``; ``AUTC`` (after scaling all scores to 0 … 1; nan for constant or infinite
        scores; lower is better); ``AUPR-IN`` and ``AUPR-OUT`` (trapezoids); ``FPR95TPR`` (OOD
        positive, full ROC: ours is fpr_at_95tpr_ood).

    Raises
    ------
    ConfigurationError
        A NaN score, or no example on one side.

    Notes
    -----
    pytorch-ood up to 0.2 computes in single precision through torchmetrics, which puts scores
    outside 0 … 1 through a sigmoid; its numbers can be far off and are not given here.

    References
    ----------
    Kirchheim et al. (2022), PyTorch-OOD, CVPR workshops; `pytorch_ood/metrics/functional.py`,
    version 0.4.0. AUTC: Humblot-Renaux et al. (2023), CVPR.

    Examples
    --------
    >>> found = pytorch_ood([0.1, 0.2, 0.3, 0.4], [0.35, 0.6, 0.7])
    >>> {name: round(value, 4) for name, value in found.items()}
    {'AUROC': 0.9167, 'AUTC': 0.25, 'AUPR-IN': 0.9437, 'AUPR-OUT': 0.9028, 'FPR95TPR': 0.25}
    """
    a, b = checked(id_scores, "ID scores"), checked(ood_scores, "OOD scores")
    known, ood = _falling(a, b)
    found = {
        "AUROC": _auroc(known, ood),
        "AUTC": _autc(a, b),
        "AUPR-IN": _trapezoid_aupr(known[::-1], ood[::-1]),
        "AUPR-OUT": _trapezoid_aupr(ood, known),
        "FPR95TPR": _first_fpr(np.cumsum(ood), np.cumsum(known)),
    }
    if id_correct is not None:
        found["ACC"] = float(np.mean(np.asarray(id_correct, bool)))
    return found


def wilds(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    groups: Any,
    kind: WildsKind = "standard",
    *,
    group_names: Sequence[Any] | None = None,
    train_counts: Mapping[str, int] | None = None,
) -> dict[str, float]:
    """What `dataset.eval` of WILDS returns, for data sets that are graded by accuracy.

    Parameters
    ----------
    y_true, y_pred : (n,) arrays
        Labels.
    groups : (n,) names, or mapping
        The group of each example. For ``civilcomments`` a mapping: identity → (n,) bool, whether
        the comment mentions it.
    kind : str
        ``standard`` (Camelyon17, CelebA, RxRx1, DomainNet …: accuracy, by group, worst group),
        ``waterbirds`` (mean weighted by training counts instead of the plain mean), ``amazon``
        (also Yelp: the 10th percentile over users), ``civilcomments`` (label × identity, for
        comments that mention it), ``iwildcam`` (accuracy, macro recall, macro F1; no groups).
    group_names : sequence, optional
        All groups, where some may have no example: they are listed with accuracy 0 and count 0.
    train_counts : mapping, optional
        For ``waterbirds``: group → training examples; by default those written into WILDS.

    Returns
    -------
    dict
        WILDS' own keys: ``acc_avg``, ``acc_<group>``, ``count_<group>``, ``acc_wg``,
        ``adj_acc_avg``, ``10th_percentile_acc``, ``recall-macro_all``, ``F1-macro_all``.

    Raises
    ------
    ConfigurationError
        Arrays of different lengths, an unknown kind, a group without a training count.

    Notes
    -----
    WILDS computes in single precision: 4 of 5 is 0.800000011920929. So does this. (With
    scikit-learn before it returned plain floats, iWildCam's recall and F1 were double.) Its
    CivilComments worst group is over all 16 cells, those without an example counted as 0.
    Assumes at most 2²⁴ examples, beyond which single-precision sums depend on the machine.

    References
    ----------
    Koh et al. (2021), WILDS, ICML; package `wilds` 2.0.0, `common/metrics` and `datasets`.

    Examples
    --------
    >>> found = wilds([0, 0, 1, 1, 1], [0, 1, 1, 1, 1], ["a", "a", "b", "b", "b"])
    >>> {name: round(value, 4) for name, value in found.items()}
    {'acc_avg': 0.8, 'acc_a': 0.5, 'count_a': 2.0, 'acc_b': 1.0, 'count_b': 3.0, 'acc_wg': 0.5}
    """
    truth, guess = np.asarray(y_true), np.asarray(y_pred)
    if truth.ndim != 1 or truth.shape != guess.shape or not len(truth):
        raise ConfigurationError(
            f"y_true has shape {truth.shape} and y_pred {guess.shape}; give one label an example"
        )
    if kind not in KINDS:
        raise ConfigurationError(f"kind is {kind!r}; {near_names(str(kind), KINDS)}")
    correct = truth == guess
    found = {"acc_avg": _single(np.count_nonzero(correct), len(correct))}
    if kind == "iwildcam":
        return found | _macro(truth, guess)
    if kind == "civilcomments":
        return found | _identities(truth, correct, groups)
    names, codes = _coded(groups, len(truth), group_names)
    counts = np.bincount(codes, minlength=len(names))
    hits = np.bincount(codes[correct], minlength=len(names))
    accuracy = [_single(hit, n) for hit, n in zip(hits, counts, strict=True)]
    for name, value, n in zip(names, accuracy, counts, strict=True):
        found[f"acc_{name}"], found[f"count_{name}"] = value, float(n)
    there = [value for value, n in zip(accuracy, counts, strict=True) if n]
    if kind == "amazon":
        found["10th_percentile_acc"] = float(np.percentile(there, 10))
    found["acc_wg"] = min(there)
    if kind == "waterbirds":
        weights = WATERBIRDS if train_counts is None else dict(train_counts)
        without = [name for name in weights if name not in names] or [
            name for name in names if name not in weights
        ]
        if without:
            raise ConfigurationError(
                f"group {without[0]!r} is not both in the data and in the training counts; "
                f"name the groups as in {list(weights)}, or give train_counts"
            )
        total = sum(found[f"acc_{name}"] * n for name, n in weights.items())
        found["adj_acc_avg"] = total / sum(weights.values())
        del found["acc_avg"]
    return found


def _falling(id_scores: ArrayLike, ood_scores: ArrayLike) -> tuple[Counts, Counts]:
    """ID and OOD examples at each distinct score, from the most OOD."""
    samples = [checked(id_scores, "ID scores"), checked(ood_scores, "OOD scores")]
    counts = rank_bins(samples, None, 0.95).counts()[:, ::-1]
    return counts[0], counts[1]


def _auroc(known: Counts, ood: Counts) -> float:
    below = known.sum() - np.cumsum(known)
    return float((ood * (2 * below + known)).sum() / (2 * known.sum() * ood.sum()))


def _first_fpr(tp: Counts, fp: Counts, tpr: float = 0.95) -> float:
    return float(fp[np.argmax(tp / tp[-1] >= tpr)] / fp[-1])


def _trapezoid_aupr(positive: Counts, negative: Counts) -> float:
    """Straight lines between the points of the precision–recall curve, which begins at (0, 1)."""
    tp, fp = np.cumsum(positive), np.cumsum(negative)
    precision, recall = np.append(1.0, tp / (tp + fp)), np.append(0.0, tp / tp[-1])
    return float((np.diff(recall) * (precision[1:] + precision[:-1])).sum() / 2)


def _autc(known: Floats, ood: Floats) -> float:
    low, high = min(known.min(), ood.min()), max(known.max(), ood.max())
    if not (np.isfinite(low) and np.isfinite(high)) or low == high:
        return NAN
    return float(
        (np.mean((known - low) / (high - low)) + np.mean(1 - (ood - low) / (high - low))) / 2
    )


def _single(hits: Any, n: Any) -> float:
    """A share in single precision, as torch has it; 0 of 0 is 0."""
    return float(np.float32(hits) / np.float32(n)) if n else 0.0


def _coded(groups: Any, n: int, names: Sequence[Any] | None) -> tuple[list[Any], Counts]:
    values = np.asarray(groups)
    if values.shape != (n,):
        raise ConfigurationError(f"groups has shape {values.shape}; give one group an example")
    there = list(dict.fromkeys(sorted(values.tolist())))
    listed = there if names is None else list(names)
    code = {name: at for at, name in enumerate(listed)}
    unknown = [name for name in there if name not in code]
    if unknown:
        raise ConfigurationError(
            f"group {unknown[0]!r} is not in group_names; "
            f"{near_names(str(unknown[0]), map(str, listed))}"
        )
    order, inverse = np.unique(values, return_inverse=True)
    return listed, np.array([code[name] for name in order.tolist()], np.int64)[inverse]


def _identities(truth: Any, correct: Any, groups: Mapping[str, ArrayLike]) -> dict[str, float]:
    found: dict[str, float] = {}
    accuracy = []
    for identity, mentioned in groups.items():
        inside = np.asarray(mentioned, bool)
        if inside.shape != truth.shape:
            raise ConfigurationError(
                f"groups[{identity!r}] has shape {inside.shape}; give one truth value an example"
            )
        for label in (0, 1):
            cell = inside & (truth == label)
            n, name = int(np.count_nonzero(cell)), f"y:{label}_{identity}:1"
            accuracy.append(_single(np.count_nonzero(correct & cell), n))
            found[f"acc_{name}"], found[f"count_{name}"] = accuracy[-1], float(n)
    if not accuracy:
        raise ConfigurationError("groups names no identity; give at least one, with its mentions")
    found["acc_wg"] = min(accuracy)
    return found


def _macro(truth: Any, guess: Any) -> dict[str, float]:
    """Recall and F1, averaged over the classes that the truth has."""
    recalls, f1s = [], []
    for label in np.unique(truth):
        hits = np.count_nonzero((truth == label) & (guess == label))
        true, guessed = np.count_nonzero(truth == label), np.count_nonzero(guess == label)
        recalls.append(hits / true)
        f1s.append(2 * hits / (true + guessed))
    return {
        "recall-macro_all": float(np.float32(np.mean(recalls))),
        "F1-macro_all": float(np.float32(np.mean(f1s))),
    }
