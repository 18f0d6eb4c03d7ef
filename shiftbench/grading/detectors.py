"""Grading OOD scores: every OOD split against the ID test split, as the manifest says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.evaluation.detection import ood
from shiftbench.evaluation.points import PrPoints, RocPoints, pr_points, roc_points
from shiftbench.evaluation.selective import risk_coverage
from shiftbench.evaluation.thresholds import rates_at, threshold_at
from shiftbench.results import ResultRows
from shiftbench.statistics import Estimate

from .run import Run
from .settings import Settings

__all__ = ["direction_doubt", "grade_rejection", "grade_scores"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

ACCEPTED = "_accepted"
FULL = "full_spectrum_"
POINTS = 100
"""Points of a ROC or precision–recall curve that are kept."""


def grade_scores(run: Run, settings: Settings, out: ResultRows) -> list[str]:
    """Add what a run's scores are worth; returns notes on what could not be graded.

    A split that a detector should flag (`reject`) gets every metric. One that it should not
    (`accept`) gets the AUROC as ``auroc_accepted``, which should be ½, and the share that is
    flagged; it also joins the ID side in the metrics named ``full_spectrum_…``. One with the
    flag `both` is graded in both ways. Of a run by unit the names end with ``_by_<unit>``.
    """
    sets = [s for s in run.splits("ood_test", "ood_validation") if run.scores(s) is not None]
    reference = run.first("id_test")
    if all(block.score is None for block in run.blocks.values()):
        return []
    if reference is None or run.scores(reference) is None:
        has = "the file has no scores for it" if _has_id_test(run) else "the config has none"
        return [
            f"{run.config}: no OOD metric, since they compare with the split id_test, and {has}"
        ]
    notes = []
    if not sets:
        notes.append(f"{run.config}: no OOD metric, since no OOD split has scores")
    elif all(run.entry.splits[s].flag == "accept" for s in sets):
        shifts = sorted({run.entry.splits[s].shift or "covariate" for s in sets} - {"none"})
        notes.append(
            f"{run.config}: by the benchmark no OOD split is to be flagged "
            f"({' and '.join(shifts) or 'no'} shift of known classes), so a score gets "
            "auroc_accepted and the share flagged alone"
        )
    for name in sets:
        flag = run.entry.splits[name].flag or "reject"
        found = _report(run, [reference], name, settings)
        if flag in ("reject", "both"):
            _against(run, [reference], name, found, out)
            _draw_roc_and_pr(run, reference, name, out)
        if flag in ("accept", "both"):
            _against(run, [reference], name, {f"auroc{ACCEPTED}": found["auroc"]}, out)
    accepted = [
        s
        for s in sets
        if run.entry.splits[s].role == "ood_test" and run.entry.splits[s].flag in ("accept", "both")
    ]
    for name in sets:
        if run.entry.splits[name].flag == "reject" and accepted:
            one = [reference, *accepted]
            full = {FULL + m: e for m, e in _report(run, one, name, settings).items()}
            _against(run, one, name, full, out)
    return notes + _fixed_threshold(run, [reference, *sets], settings, out)


def _has_id_test(run: Run) -> bool:
    return any(s.role == "id_test" for s in run.entry.splits.values())


def _pooled(run: Run, splits: Sequence[str]) -> Floats:
    found = [run.scores(s) for s in splits]
    return np.concatenate([f for f in found if f is not None])


def _two_sided(run: Run, one: Sequence[str], other: str) -> tuple[Codes, Codes] | None:
    codes = run.clusters(*one, other)
    return None if codes is None else (np.concatenate(codes[:-1]), codes[-1])


def _report(run: Run, one: Sequence[str], other: str, settings: Settings) -> dict[str, Estimate]:
    return ood(
        _pooled(run, one),
        _pooled(run, [other]),
        clusters=_two_sided(run, one, other),
        level=settings.level,
        tpr=settings.tpr,
        max_fpr=settings.max_fpr or None,
    )


def _against(
    run: Run,
    one: Sequence[str],
    other: str,
    found: Mapping[str, Estimate],
    out: ResultRows,
) -> None:
    where = run.where(*one, other)
    for metric, estimate in found.items():
        out.add(
            estimate,
            **where,
            split=other,
            metric=run.named(metric),
            parameters={"id": list(one), **run.told},
        )


def _draw_roc_and_pr(run: Run, one: str, other: str, out: ResultRows) -> None:
    where = run.where(one, other)
    scores = _pooled(run, [one]), _pooled(run, [other])
    roc = roc_points(*scores, max_points=POINTS)
    drawn: dict[str, tuple[Floats, Floats, str, str, RocPoints | PrPoints]] = {
        "roc": (roc.fpr, roc.tpr, "fpr", "tpr", roc)
    }
    for positive in ("ood", "id"):
        pr = pr_points(*scores, positive=positive, max_points=POINTS)
        drawn[f"precision_recall_{positive}"] = (pr.recall, pr.precision, "recall", "precision", pr)
    for curve, (x, y, x_name, y_name, found) in drawn.items():
        out.curve(
            x,
            y,
            **where,
            curve=run.named(curve),
            series=other,
            x_name=x_name,
            y_name=y_name,
            n=found.n_id + found.n_ood,
            parameters={
                "positive": found.positive,
                "n_id": found.n_id,
                "n_ood": found.n_ood,
                "thresholds": found.n_thresholds,
                "error": found.error,
                **run.told,
            },
        )


def _fixed_threshold(
    run: Run, splits: Sequence[str], settings: Settings, out: ResultRows
) -> list[str]:
    chosen = run.first("validation", unshifted=True)
    scores = None if chosen is None else run.scores(chosen)
    if chosen is None or scores is None:
        return [
            f"{run.config}: no threshold fixed on ID validation, since there are no scores of a "
            "validation split that comes as training did"
        ]
    for tpr in settings.tpr:
        threshold = threshold_at(scores, tpr=tpr)
        metric = f"flagged_at_{100 * tpr:g}tpr_id_of_{chosen}".replace(".", "_")
        for split in splits:
            codes = run.clusters(split)
            found = rates_at(
                threshold,
                _pooled(run, [split]),
                clusters=None if codes is None else codes[0],
                level=settings.level,
            )
            told: dict[str, Any] = {
                **found.parameters,
                "threshold": threshold.value,
                "threshold_of": chosen,
                "kept_of_validation": threshold.kept,
                "n_validation": threshold.n,
            }
            out.add(
                replace(found, parameters=told),
                **run.where(chosen, split),
                split=split,
                metric=run.named(metric),
                parameters=run.told,
            )
    return []


def grade_rejection(
    run: Run,
    split: str,
    wrong: Floats,
    known: NDArray[np.bool_],
    settings: Settings,
    out: ResultRows,
) -> None:
    """Add AURC and AUGRC: would the score have held back the predictions that are wrong?

    `wrong` is 1 where the prediction is; `known`: the examples whose class is.
    """
    scores = run.scores(split)
    if scores is None or not known.any():
        return
    codes = run.clusters(split)
    clusters = None if codes is None else codes[0][known]
    found = risk_coverage(wrong[known], scores[known], clusters=clusters, level=settings.level)
    for metric, estimate in found.items():
        out.add(estimate, **run.where(split), split=split, metric=metric)


def direction_doubt(aurocs: Mapping[str, Sequence[float]], score_is: str) -> str | None:
    """What to say where a run's scores look as if higher meant less OOD; else None.

    Parameters
    ----------
    aurocs : mapping
        By run, one AUROC an OOD set.

    Examples
    --------
    >>> direction_doubt({"a": [0.9, 0.4, 0.8]}, "ood") is None
    True
    >>> direction_doubt({"a": [0.9], "b": [0.1, 0.2]}, "ood")
    'the AUROC is below 0.5 on most OOD sets for b (2 of 2): ...'
    """
    doubted = [
        f"{run} ({sum(a < 0.5 for a in values)} of {len(values)})"
        for run, values in aurocs.items()
        if 2 * sum(a < 0.5 for a in values) > len(values)
    ]
    if not doubted:
        return None
    other = "confidence" if score_is == "ood" else "ood"
    more = f" and {len(doubted) - 3} more" if len(doubted) > 3 else ""
    return (
        f"the AUROC is below 0.5 on most OOD sets for {', '.join(doubted[:3])}{more}: are the "
        f'scores higher for more OOD? If they are the other way round, say score_is="{other}" '
        f"(--score-is {other})"
    )
