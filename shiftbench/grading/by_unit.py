"""Grading the OOD scores of units (radiographs) that have several examples (patches)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from shiftbench.evaluation.independent_patches import effective_patches
from shiftbench.evaluation.patch_curves import ood_by_patches
from shiftbench.results import ResultRows

from .detectors import grade_scores
from .ood_sets import draw_points, grade_ood_sets
from .run import Run
from .settings import Settings
from .units import CLUSTER, Units, run_by_unit

__all__ = ["grade_by_unit"]

MOST_PATCHES = 512
"""The largest number of the curve against patches where none are asked for."""


def grade_by_unit(
    run: Run, distances: Sequence[Mapping[str, Any]], settings: Settings, out: ResultRows
) -> list[str]:
    """Add what the scores are worth where those of a unit are made one; returns notes.

    The metrics are those of `grade_scores` and `grade_ood_sets`, named ``<metric>_by_<unit>``, and
    their intervals are by cluster. Besides, of every split what several examples of a unit are
    worth, and of every OOD split the AUROC against their number. Nothing is added where no unit
    has several examples.
    """
    found = run_by_unit(run, settings)
    if found is None:
        asked = settings.unit or run.entry.notes.get("unit")
        scored = any(block.score is not None for block in run.blocks.values())
        if not asked or not scored:
            return []
        return [f"{run.config}: nothing by {asked}, since none has two examples in a split"]
    coarse, units = found
    notes = grade_scores(coarse, settings, out)
    grade_ood_sets(coarse, distances, settings, out)
    _effective(run, coarse, units, settings, out)
    _against_patches(run, coarse, units, settings, out)
    return notes


def _effective(run: Run, coarse: Run, units: Units, settings: Settings, out: ResultRows) -> None:
    """How many independent examples those of a unit are worth, of each split by itself."""
    for split, taken in units.truth.items():
        if taken.role == "train" or len(taken) == len(run.truth[split]):
            continue
        found = effective_patches(
            run.scored(split),
            units.codes[split],
            units=None if units.column == CLUSTER else run.truth[split].cluster_ids,
            level=settings.level,
        )
        out.add(
            found,
            **run.where(split),
            split=split,
            metric=coarse.named("effective_patches"),
            parameters={"unit": units.column},
        )


def _against_patches(
    run: Run, coarse: Run, units: Units, settings: Settings, out: ResultRows
) -> None:
    """AUROC of units by the number of their examples."""
    reference = run.first("id_test")
    if reference is None or reference not in units.codes:
        return
    for name in run.splits("ood_test", "ood_validation"):
        if name not in units.codes:
            continue
        sides = [reference, name]
        codes = [units.codes[s] for s in sides]
        independent = None
        if units.column != CLUSTER:
            independent = (run.truth[reference].cluster_ids, run.truth[name].cluster_ids)
        largest = max(int(np.bincount(c).max()) for c in codes)
        counts = settings.patches or [2**i for i in range(MOST_PATCHES.bit_length())]
        found = ood_by_patches(
            run.scored(reference),
            codes[0],
            run.scored(name),
            codes[1],
            [*(c for c in counts if c < largest), None],
            units=independent,
            how=settings.aggregate,
            k=settings.top_k,
            seed=settings.seed,
            level=settings.level,
        )
        told = {**coarse.told, **found.points[0].parameters}
        draw_points(
            out,
            [largest if c is None else c for c in found.counts],
            found.points,
            **run.where(*sides),
            curve="auroc_against_patches",
            series=name,
            x_name=f"examples a {units.column}, {coarse.told['aggregation']}",
            y_name=coarse.named("auroc"),
            parameters={k: told[k] for k in ("unit", "aggregation", "too_few", "n_draws", "seed")},
        )
