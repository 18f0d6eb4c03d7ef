"""Grading several OOD sets together: near and far, and against distance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftbench.evaluation.detection import ood
from shiftbench.evaluation.ood_curves import near_far_means, ood_against_distance
from shiftbench.results import ResultRows
from shiftbench.statistics import Estimate
from shiftbench.statistics.estimate import critical

from .curves import is_finite, named_distance
from .run import Run
from .settings import Settings

__all__ = ["draw_points", "grade_ood_sets"]

AVERAGED = ("auroc", "aupr_ood", "aupr_id", "fpr_at_")
"""How the names of metrics begin that are averaged over near, and over far, OOD sets."""

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


def grade_ood_sets(
    run: Run, distances: Sequence[Mapping[str, Any]], settings: Settings, out: ResultRows
) -> None:
    """Add what the OOD sets of a run say together.

    `distances` are the rows of the benchmark's `shift_distances` of the run's config.
    """
    reference = run.first("id_test")
    if reference is None or run.scores(reference) is None:
        return
    sets = [s for s in run.splits("ood_test", "ood_validation") if run.scores(s) is not None]
    _near_and_far(run, reference, sets, settings, out)
    _against_distance(run, reference, distances, settings, out)


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
    for kind in dict.fromkeys(kinds.values()):
        inside = [s for s in kinds if kinds[s] == kind]
        for metric, estimate in _mean_of(run, reference, inside, settings).items():
            out.add(
                estimate,
                **run.where(reference, *inside),
                split=f"{kind} (mean)" if kind in run.entry.splits else kind,
                metric=run.named(metric),
                parameters={"id": [reference], "sets": inside, **run.told},
            )


def _mean_of(
    run: Run, reference: str, sets: Sequence[str], settings: Settings
) -> dict[str, Estimate]:
    """The mean of each metric over some sets; of one set it is the set's own."""
    one = run.scored(reference)
    clusters = _named_clusters(run, reference, sets)
    if len(sets) == 1:
        pair = None if clusters is None else (clusters[0], clusters[1][sets[0]])
        found = ood(one, run.scored(sets[0]), pair, level=settings.level, tpr=settings.tpr)
        return {m: e for m, e in found.items() if m.startswith(AVERAGED)}
    means: dict[str, Estimate] = {}
    for tpr in settings.tpr:
        means |= near_far_means(
            one,
            {s: run.scored(s) for s in sets},
            dict.fromkeys(sets, "mean"),
            clusters,
            n_resamples=settings.resamples,
            seed=settings.seed,
            tpr=tpr,
            level=settings.level,
        )["mean"]
    return means


def _named_clusters(
    run: Run, reference: str, sets: Sequence[str]
) -> tuple[Codes, dict[str, Codes]] | None:
    codes = run.clusters(reference, *sets)
    return None if codes is None else (codes[0], dict(zip(sets, codes[1:], strict=True)))


def _against_distance(
    run: Run,
    reference: str,
    distances: Sequence[Mapping[str, Any]],
    settings: Settings,
    out: ResultRows,
) -> None:
    """The curve of each OOD metric against each distance from the training or ID split."""
    names: dict[str, dict[str, float]] = {}
    errors: dict[str, dict[str, float]] = {}
    for d in distances:
        scored = d["target"] in run.blocks and run.scores(d["target"]) is not None
        source = run.entry.splits.get(d["source"])
        if not scored or source is None or source.role not in ("train", "id_test"):
            continue
        if run.entry.splits[d["target"]].role != "ood_test" or not is_finite(d["value"]):
            continue
        name = f"{named_distance(d)} from {d['source']}"
        names.setdefault(name, {})[d["target"]] = d["value"]
        if is_finite(d["low"]) and is_finite(d["high"]):
            half = (d["high"] - d["low"]) / 2
            errors.setdefault(name, {})[d["target"]] = half / critical(_level(d))
    for name, at in sorted(names.items()):
        if len(set(at.values())) < 2:
            continue
        known = errors.get(name, {})
        found = ood_against_distance(
            run.scored(reference),
            {s: run.scored(s) for s in at},
            at,
            _named_clusters(run, reference, list(at)),
            distance_se=known if known.keys() == at.keys() else None,
            n_resamples=settings.resamples,
            seed=settings.seed,
            tpr=settings.tpr[0],
            level=settings.level,
        )
        where = run.where(reference, *at)
        for metric, points in found.points.items():
            drawn = {**where, "x_name": name, "y_name": run.named(metric)}
            draw_points(
                out,
                found.distances,
                points,
                **drawn,
                curve=run.named(f"{metric}_against_distance"),
                parameters=run.told,
            )
            for what, estimates in (("slope", found.slope), ("spearman", found.spearman)):
                out.add(
                    estimates[metric],
                    **where,
                    subset=f"distance: {name}",
                    metric=run.named(f"{metric}_{what}_on_distance"),
                    parameters={"id": [reference], "sets": list(found.sets), **run.told},
                )


def _level(distance: Mapping[str, Any]) -> float:
    """The level of a distance's interval, which its parameters state."""
    stated = json.loads(distance["parameters"] or "{}")
    return float(stated.get("level", 0.95))


def draw_points(out: ResultRows, x: ArrayLike, points: Sequence[Estimate], **columns: Any) -> None:
    """Add a curve of estimates with their intervals; `columns` as `ResultRows.curve` has them."""
    out.curve(
        x,
        [p.value for p in points],
        low=[p.low for p in points],
        high=[p.high for p in points],
        n=[p.n for p in points],
        **columns,
    )
