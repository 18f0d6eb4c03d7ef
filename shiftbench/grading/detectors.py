"""Grading OOD scores: every OOD split against the ID test split, as the manifest says."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.evaluation.detection import ood
from shiftbench.evaluation.ood_curves import near_far_means, ood_against_distance
from shiftbench.evaluation.patch_curves import ood_by_patches
from shiftbench.evaluation.selective import risk_coverage
from shiftbench.evaluation.thresholds import rates_at, threshold_at
from shiftbench.results import ResultRows
from shiftbench.statistics import Estimate
from shiftbench.statistics.estimate import critical

from .run import Run
from .settings import Settings

__all__ = ["grade_distances", "grade_rejection", "grade_scores", "warn_of_direction"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

ACCEPTED = "_accepted"
FULL = "full_spectrum_"


def grade_scores(run: Run, settings: Settings, out: ResultRows) -> list[str]:
    """Add what a run's scores are worth; returns notes on what could not be graded.

    A split that a detector should flag (`reject`) gets every metric. One that it should not
    (`accept`) gets the AUROC as ``auroc_accepted``, which should be ½, and the share that is
    flagged; it also joins the ID side in the metrics named ``full_spectrum_…``. One with the
    flag `both` is graded in both ways.
    """
    sets = [s for s in run.splits("ood_test", "ood_validation") if run.scores(s) is not None]
    reference = run.first("id_test")
    if not sets and (reference is None or run.scores(reference) is None):
        return []
    if reference is None or run.scores(reference) is None:
        has = "the file has no scores for it" if _has_id_test(run) else "the config has none"
        return [
            f"{run.config}: no OOD metric, since they compare with the split id_test, and {has}"
        ]
    for name in sets:
        flag = run.entry.splits[name].flag or "reject"
        if flag in ("reject", "both"):
            _against(run, [reference], name, settings, out)
        if flag in ("accept", "both"):
            _accepted(run, reference, name, settings, out)
    accepted = [
        s
        for s in sets
        if run.entry.splits[s].role == "ood_test" and run.entry.splits[s].flag in ("accept", "both")
    ]
    for name in sets:
        if run.entry.splits[name].flag == "reject" and accepted:
            _against(run, [reference, *accepted], name, settings, out, prefix=FULL)
    _near_and_far(run, reference, sets, settings, out)
    _against_patches(run, reference, sets, settings, out)
    return _fixed_threshold(run, [reference, *sets], settings, out)


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
    settings: Settings,
    out: ResultRows,
    prefix: str = "",
) -> None:
    where = run.where(*one, other)
    for metric, estimate in _report(run, one, other, settings).items():
        out.add(estimate, **where, split=other, metric=prefix + metric, compared_to="+".join(one))


def _accepted(run: Run, one: str, other: str, settings: Settings, out: ResultRows) -> None:
    found = _report(run, [one], other, settings)["auroc"]
    out.add(
        found,
        **run.where(one, other),
        split=other,
        metric=f"auroc{ACCEPTED}",
        compared_to=one,
    )


def _near_and_far(
    run: Run, reference: str, sets: Sequence[str], settings: Settings, out: ResultRows
) -> None:
    """Unweighted means over the OOD test sets to be flagged that are near, and that are far."""
    kinds = {
        s: str(run.entry.splits[s].shift)
        for s in sets
        if run.entry.splits[s].role == "ood_test"
        and run.entry.splits[s].flag != "accept"
        and run.entry.splits[s].shift in ("near", "far")
    }
    if not kinds:
        return
    scores = {s: _pooled(run, [s]) for s in kinds}
    for tpr in settings.tpr:
        found = near_far_means(
            _pooled(run, [reference]),
            scores,
            kinds,
            _named_clusters(run, reference, list(kinds)),
            n_resamples=settings.resamples,
            seed=settings.seed,
            tpr=tpr,
            level=settings.level,
        )
        for kind, metrics in found.items():
            inside = [s for s in kinds if kinds[s] == kind]
            for metric, estimate in metrics.items():
                if tpr == settings.tpr[0] or metric.startswith("fpr"):
                    out.add(
                        estimate,
                        **run.where(reference, *inside),
                        split=kind,
                        metric=metric,
                        compared_to=reference,
                    )


def _named_clusters(
    run: Run, reference: str, sets: Sequence[str]
) -> tuple[Codes, dict[str, Codes]] | None:
    codes = run.clusters(reference, *sets)
    return None if codes is None else (codes[0], dict(zip(sets, codes[1:], strict=True)))


def grade_distances(
    run: Run, distances: Sequence[Mapping[str, Any]], settings: Settings, out: ResultRows
) -> None:
    """Add the curve of each OOD metric against each distance from the training or ID split.

    `distances` are rows of the benchmark's `shift_distances`.
    """
    reference = run.first("id_test")
    if reference is None or run.scores(reference) is None:
        return
    names: dict[str, dict[str, float]] = {}
    errors: dict[str, dict[str, float]] = {}
    for d in distances:
        scored = d["target"] in run.blocks and run.scores(d["target"]) is not None
        source = run.entry.splits.get(d["source"])
        if not scored or source is None or source.role not in ("train", "id_test"):
            continue
        if run.entry.splits[d["target"]].role != "ood_test" or not _is_finite(d["value"]):
            continue
        name = f"{d['distance']} in {d['space']}" if d["space"] else str(d["distance"])
        name = f"{name} from {d['source']}"
        names.setdefault(name, {})[d["target"]] = d["value"]
        if _is_finite(d["low"]) and _is_finite(d["high"]):
            half = (d["high"] - d["low"]) / 2
            errors.setdefault(name, {})[d["target"]] = half / critical(settings.level)
    for name, at in sorted(names.items()):
        if len(set(at.values())) < 2:
            continue
        known = errors.get(name, {})
        found = ood_against_distance(
            _pooled(run, [reference]),
            {s: _pooled(run, [s]) for s in at},
            at,
            _named_clusters(run, reference, list(at)),
            distance_se=known if known.keys() == at.keys() else None,
            n_resamples=settings.resamples,
            seed=settings.seed,
            level=settings.level,
        )
        where = run.where(reference, *at)
        for metric, points in found.points.items():
            _draw_points(out, f"{metric}_against_distance", found.distances, points, where, name)
            for what, estimates in (("slope", found.slope), ("spearman", found.spearman)):
                out.add(
                    estimates[metric],
                    **where,
                    metric=f"{metric}_{what}_on_distance",
                    compared_to=reference,
                    parameters={"distance": name, "sets": list(found.sets)},
                )


def _draw_points(
    out: ResultRows,
    curve: str,
    x: Floats,
    points: Sequence[Estimate],
    where: Mapping[str, Any],
    x_name: str,
    series: str | None = None,
) -> None:
    out.curve(
        x,
        [p.value for p in points],
        low=[p.low for p in points],
        high=[p.high for p in points],
        n=[p.n for p in points],
        **where,
        curve=curve,
        series=series,
        x_name=x_name,
        y_name=curve.partition("_against_")[0],
    )


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _against_patches(
    run: Run, reference: str, sets: Sequence[str], settings: Settings, out: ResultRows
) -> None:
    """AUROC of clusters by the number of their examples, where clusters have several."""
    for name in sets:
        codes = run.clusters(reference, name)
        if codes is None:
            continue
        largest = max(int(np.bincount(c).max()) for c in codes)
        counts = [c for c in settings.patches if c <= largest]
        found = ood_by_patches(
            _pooled(run, [reference]),
            codes[0],
            _pooled(run, [name]),
            codes[1],
            [*counts, None],
            how=settings.aggregate,
            seed=settings.seed,
            level=settings.level,
        )
        where = run.where(reference, name)
        x = np.array([largest if c is None else c for c in found.counts], dtype=np.float64)
        _draw_points(
            out,
            "auroc_against_patches",
            x,
            found.points,
            where,
            f"examples a cluster, {settings.aggregate}",
            name,
        )
        out.add(
            found.points[-1],
            **where,
            split=name,
            metric="auroc_of_clusters",
            compared_to=reference,
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
                "threshold": threshold,
                "n_validation": len(scores),
            }
            out.add(
                replace(found, parameters=told),
                **run.where(chosen, split),
                split=split,
                metric=metric,
                compared_to=chosen,
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


def warn_of_direction(aurocs: Sequence[float], score_is: str) -> None:
    """Warn where the scores look as if higher meant less OOD.

    Examples
    --------
    >>> warn_of_direction([0.9, 0.4, 0.8], "ood")
    """
    below = sum(a < 0.5 for a in aurocs)
    if 2 * below > len(aurocs):
        other = "confidence" if score_is == "ood" else "ood"
        warnings.warn(
            f"the AUROC is below 0.5 on {below} of {len(aurocs)} OOD sets: are the scores higher "
            f'for more OOD? If they are the other way round, say score_is="{other}" '
            f"(--score-is {other})",
            stacklevel=2,
        )
