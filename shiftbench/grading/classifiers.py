"""Grading predicted classes, findings and values: whole splits, subpopulations, gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.evaluation.classification import classification_metrics
from shiftbench.evaluation.findings import finding_metrics
from shiftbench.evaluation.gaps import gap
from shiftbench.evaluation.regression import regression_by_group, regression_metrics
from shiftbench.evaluation.subpopulations import Subpopulations, subpopulation
from shiftbench.predictions import Block, Truth
from shiftbench.results import ResultRows
from shiftbench.statistics import Clusters, Estimate
from shiftbench.statistics.proportions import share

from .comparisons import Answers
from .detectors import grade_rejection
from .groups import groupings, groups_in, larger_groups, train_counts
from .run import Run
from .settings import Settings

__all__ = ["grade_predictions"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

GRADED = ("validation", "id_test", "ood_validation", "ood_test")
MAJORITY, MINORITY = "(majority)", "(minority)"


@dataclass(frozen=True)
class _Answered:
    """What was answered right on a split; `known`: the examples whose class is."""

    right: Bools
    known: Bools
    clusters: NDArray[np.int64] | None

    def share(self, inside: Bools, level: float) -> Estimate:
        codes = self.clusters
        return share(
            self.right[inside], None if codes is None else Clusters.of(codes[inside]), level
        )


def grade_predictions(run: Run, settings: Settings, out: ResultRows, answers: Answers) -> list[str]:
    """Add what a run's predictions are worth; returns notes on what could not be graded.

    Every predicted split gets the metrics of the whole, of each group, the worst group and means
    over groups; OOD splits also the gap to the ID test split.
    """
    notes: list[str] = []
    validated: dict[str, Subpopulations] = {}
    chosen = run.first("validation")
    answered: dict[str, _Answered] = {}
    for split in sorted(run.splits(*GRADED), key=lambda s: s != chosen):
        block, truth = run.blocks[split], run.truth[split]
        if truth.kind == "value":
            if block.value is not None:
                _grade_values(run, split, validated, chosen, settings, out)
            continue
        predicted = block.classes(truth.kind)
        if predicted is None:
            continue
        if truth.label is None or not truth.labelled.any():
            notes.append(f"{run.config}/{split}: no example has a class, so no accuracy")
            continue
        same = truth.label == predicted
        found = _Answered(
            same if same.ndim == 1 else same.all(axis=1), truth.labelled, _codes(run, split)
        )
        answered[split] = found
        answers.add(block.key, found.right)
        for metric, estimate in _whole(run, truth, block, settings).items():
            _add_metric(run, split, metric, estimate, out)
        grade_rejection(run, split, (~found.right).astype(np.float64), found.known, settings, out)
        for grouping in groupings(truth, settings.groups):
            grouped = subpopulation(
                _label(truth),
                block.prediction,
                groups_in(truth, grouping, settings.bins),
                probabilities=block.probabilities,
                classes=truth.class_names,
                clusters=found.clusters,
                weights=train_counts(run.train, truth, grouping, settings.bins),
                minimum_n=settings.minimum_n,
                validation=validated.get(grouping),
                level=settings.level,
                metrics=settings.group_metrics,
            )
            if split == chosen:
                validated[grouping] = grouped
            _add_groups(run, split, grouping, grouped, chosen, out)
            _majority(run, split, grouping, found, settings, out)
    _gaps(run, answered, settings, out)
    return notes


def _label(truth: Truth) -> NDArray[Any]:
    """The classes; of several findings a table in which those of an unknown example are nan."""
    assert truth.label is not None
    if truth.kind == "class":
        return truth.label
    return np.where(truth.labelled[:, None], truth.label, np.nan)


def _codes(run: Run, split: str) -> NDArray[np.int64] | None:
    found = run.clusters(split)
    return None if found is None else found[0]


def _whole(run: Run, truth: Truth, block: Block, settings: Settings) -> Mapping[str, Estimate]:
    measure = classification_metrics if truth.kind == "class" else finding_metrics
    return measure(
        _label(truth),
        block.prediction,
        block.probabilities,
        classes=truth.class_names,
        clusters=_codes(run, truth.split),
        level=settings.level,
    )


def _add_metric(
    run: Run, split: str, metric: str, estimate: Estimate, out: ResultRows, subset: str = ""
) -> None:
    """``accuracy[edema]`` is the metric `accuracy` of the subset ``finding: edema``."""
    name, _, finding = metric.partition("[")
    parts = [subset, f"finding: {finding.removesuffix(']')}" if finding else ""]
    out.add(
        estimate,
        **run.where(split),
        split=split,
        subset=" & ".join(filter(None, parts)) or None,
        metric=name,
    )


def _add_groups(
    run: Run,
    split: str,
    grouping: str,
    found: Subpopulations,
    chosen: str | None,
    out: ResultRows,
) -> None:
    for name, metrics in found.groups.items():
        named = name if grouping in ("subset", "group") else f"{grouping}: {name}"
        for metric, estimate in metrics.items():
            _add_metric(run, split, metric, estimate, out, subset=named)
    for metric, estimate in found.summary().items():
        rests_on = [split]
        if metric.endswith("_train_weighted") and run.train is not None:
            rests_on.append(run.train.split)
        if metric.endswith("_chosen_on_validation") and chosen is not None:
            rests_on.append(chosen)
        where = run.where(*rests_on)
        out.add(estimate, **where, split=split, subset=f"by {grouping}", metric=metric)


def _majority(
    run: Run, split: str, grouping: str, found: _Answered, settings: Settings, out: ResultRows
) -> None:
    """Accuracy of the majority and of the minority, where groups do not overlap."""
    sides = larger_groups(run.train, run.truth[split], grouping, settings.bins)
    if sides is None or run.train is None:
        return
    for name, inside in zip((MAJORITY, MINORITY), sides, strict=True):
        if (inside & found.known).any():
            out.add(
                found.share(inside & found.known, settings.level),
                **run.where(split, run.train.split),
                split=split,
                subset=f"{name} by {grouping}",
                metric="accuracy",
            )


def _gaps(run: Run, answered: Mapping[str, _Answered], settings: Settings, out: ResultRows) -> None:
    reference = run.first("id_test")
    if reference is None or reference not in answered:
        return
    one = answered[reference]
    for split in run.splits("ood_validation", "ood_test"):
        if split not in answered:
            continue
        other = answered[split]
        joint = run.clusters(reference, split)
        clusters = None
        if joint is not None:
            clusters = (joint[0][one.known], joint[1][other.known])
        out.add(
            gap(one.right[one.known], other.right[other.known], clusters, level=settings.level),
            **run.where(reference, split),
            split=split,
            metric="accuracy_gap",
            compared_to=reference,
        )


def _grade_values(
    run: Run,
    split: str,
    validated: dict[str, Subpopulations],
    chosen: str | None,
    settings: Settings,
    out: ResultRows,
) -> None:
    truth, guess = run.truth[split], run.blocks[split].value
    assert truth.label is not None
    assert guess is not None
    common: dict[str, Any] = {"clusters": _codes(run, split), "level": settings.level}
    for metric, estimate in regression_metrics(truth.label, guess, **common).items():
        _add_metric(run, split, metric, estimate, out)
    for grouping in groupings(truth, settings.groups):
        found = regression_by_group(
            truth.label,
            guess,
            groups_in(truth, grouping, settings.bins),
            weights=train_counts(run.train, truth, grouping, settings.bins),
            minimum_n=settings.minimum_n,
            validation=validated.get(grouping),
            **common,
        )
        if split == chosen:
            validated[grouping] = found
        _add_groups(run, split, grouping, found, chosen, out)
