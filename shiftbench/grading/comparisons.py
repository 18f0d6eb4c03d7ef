"""Models against models on the same examples: differences that hold together, and ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.benchmark import Benchmark
from shiftbench.errors import ConfigurationError, near_names
from shiftbench.evaluation.comparison import ModelComparison, compare_models
from shiftbench.evaluation.detectors import compare_detectors
from shiftbench.evaluation.ranking import rank_models, ranking_of
from shiftbench.predictions import Key, Predictions, Truth, joint_clusters, split_truth
from shiftbench.results import ResultRows
from shiftbench.statistics import Estimate

from .settings import Settings
from .units import unit_column, units_in

__all__ = ["Answers", "compare_runs"]

Floats = NDArray[np.float64]
Runs = Mapping[str | None, list[Key]]

MOST_PAIRED = 30
"""Models whose differences are given all with all; with more, ranks alone, up to MOST_RANKED."""
MOST_RANKED = 100
MOST_CELLS = 30_000_000
"""Examples × models that are compared at once, which bounds the memory."""


@dataclass
class Answers:
    """What each run answered: for every example whether it was right, bit by bit.

    Kept for comparisons on the same examples; an eighth of a byte an answer.
    """

    right: dict[Key, tuple[NDArray[np.uint8], int]] = field(default_factory=dict)

    def add(self, key: Key, right: NDArray[np.bool_]) -> None:
        """Keep the (n,) answers of a run to a split."""
        self.right[key] = np.packbits(right), len(right)

    def of(self, key: Key) -> NDArray[np.bool_]:
        """The (n,) answers of a run to a split."""
        bits, n = self.right[key]
        return np.unpackbits(bits, count=n).astype(np.bool_)


def compare_runs(
    bench: Benchmark,
    predictions: Predictions,
    answers: Answers,
    settings: Settings,
    out: ResultRows,
) -> list[str]:
    """Add the differences between models on the same examples, and the models' ranks.

    At each model's last epoch. Of accuracy the seeds of a model are taken together: the mean of
    their answers to an example. Of scores the first seed is taken.
    """
    notes: list[str] = []
    _check_names(predictions, settings)
    places = dict.fromkeys((k.config, k.split) for k in predictions.keys)
    for config, split in places:
        last = _last_epochs([k for k in predictions.keys if (k.config, k.split) == (config, split)])
        reference = settings.compare_to
        if len(last) < 2 or (reference is not None and reference not in last):
            continue
        if reference is None and len(last) > MOST_PAIRED:
            what = "differences" if len(last) <= MOST_RANKED else "differences or ranks"
            notes.append(
                f"{config}: no {what} of all pairs of {len(last)} models (up to {MOST_PAIRED}, "
                f"ranks up to {MOST_RANKED}); name a model to compare them with (compare_to)"
            )
            if len(last) > MOST_RANKED:
                continue
        truth = split_truth(bench, config, split)
        if len(truth) * len(last) > MOST_CELLS:
            notes.append(
                f"{config}/{split}: {len(last)} models on {len(truth)} examples are too many to "
                "compare at once; evaluate fewer models together for that"
            )
            continue
        _compare_answers(last, answers, truth, settings, out)
        # Where ½ is best, no AUROC is better than another.
        if truth.role in ("ood_test", "ood_validation") and truth.flag != "accept":
            _compare_scores(bench, predictions, last, truth, settings, out)
    return notes


def _check_names(predictions: Predictions, settings: Settings) -> None:
    models = sorted({k.model for k in predictions.keys if k.model is not None})
    for option, names in (
        ("baseline", settings.baseline),
        ("compare_to", () if settings.compare_to is None else (settings.compare_to,)),
    ):
        for name in names:
            if name not in models:
                raise ConfigurationError(
                    f"{option} names the model {name!r}, which the predictions do not have; "
                    f"{near_names(name, models)}"
                )


def _last_epochs(keys: list[Key]) -> Runs:
    """The keys of each model at its last epoch, one a seed."""
    found: dict[str | None, list[Key]] = {}
    for key in keys:
        found.setdefault(key.model, []).append(key)
    last = {m: max((k.epoch for k in e if k.epoch is not None), default=None)
            for m, e in found.items()}  # fmt: skip
    return {m: [k for k in every if k.epoch == last[m]] for m, every in found.items()}


def _compare_answers(
    last: Runs, answers: Answers, truth: Truth, settings: Settings, out: ResultRows
) -> None:
    there = {m: keys for m, keys in last.items() if all(k in answers.right for k in keys)}
    reference = settings.compare_to
    known = truth.labelled
    if len(there) < 2 or known.sum() < 2 or (reference is not None and reference not in there):
        return
    models = list(there)
    table = np.stack(
        [
            np.mean([answers.of(k)[known] for k in keys], axis=0, dtype=np.float64)
            for keys in there.values()
        ],
        axis=1,
    )
    common: dict[str, Any] = {
        "clusters": None if truth.clusters is None else truth.clusters.codes[known],
        "models": [str(i) for i in range(len(models))],
        "level": settings.level,
        "seed": settings.seed,
    }
    where = {"config": truth.config, "split": truth.split, "digest": truth.digest}
    if reference is not None:
        one = str(models.index(reference))
        found = compare_models(table, reference=one, **common)
    else:
        ranking = rank_models(table, **common)
        _add_ranks(ranking.models, ranking.ranks, models, "accuracy_rank", where, {}, out)
        found = ranking.comparison
    _add_differences(found, models, "accuracy_difference", where, {}, out)


def _compare_scores(
    bench: Benchmark,
    predictions: Predictions,
    last: Runs,
    truth: Truth,
    settings: Settings,
    out: ResultRows,
) -> None:
    entry = bench.manifest.configs[truth.config]
    name = next((s for s, e in entry.splits.items() if e.role == "id_test"), None)
    if name is None:
        return
    known = set(predictions.keys)
    scores = {}
    for model, keys in last.items():
        beside = keys[0]._replace(split=name)
        if beside in known:
            one, other = predictions[beside].score, predictions[keys[0]].score
            if one is not None and other is not None:
                scores[model] = (one, other)
    reference = settings.compare_to
    if len(scores) < 2 or (reference is not None and reference not in scores):
        return
    pair = [split_truth(bench, truth.config, name), truth]
    where: dict[str, Any] = {
        "config": truth.config,
        "split": truth.split,
        "digest": f"{entry.splits[name].digest}+{truth.digest}",
    }
    _add_scores(scores, pair, "", where, settings, out)
    units = units_in(pair, unit_column(entry, settings))
    if units is not None:
        of_units = {
            model: (units.scores(name, one, settings), units.scores(truth.split, other, settings))
            for model, (one, other) in scores.items()
        }
        pair = [units.truth[name], units.truth[truth.split]]
        where["parameters"] = units.told(settings)
        _add_scores(of_units, pair, f"_by_{units.column}", where, settings, out)


def _add_scores(
    scores: Mapping[str | None, tuple[Floats, Floats]],
    pair: list[Truth],
    by: str,
    where: Mapping[str, Any],
    settings: Settings,
    out: ResultRows,
) -> None:
    """Compare the AUROCs of models on a split against ID; `by` ends the names of the metrics."""
    models = list(scores)
    reference = settings.compare_to
    joint = joint_clusters(pair)
    found = compare_detectors(
        {str(i): scores[m] for i, m in enumerate(models)},
        None if joint is None else (joint[0].codes, joint[1].codes),
        reference=None if reference is None else str(models.index(reference)),
        level=settings.level,
    )
    sizes = {"n_id": len(pair[0]), "n_ood": len(pair[1]), "positive": "ood"}
    if reference is None:
        ranking = ranking_of(found)
        _add_ranks(ranking.models, ranking.ranks, models, f"auroc_rank{by}", where, sizes, out)
    _add_differences(found, models, f"auroc_difference{by}", where, sizes, out)


def _add_ranks(
    order: tuple[str, ...],
    ranks: tuple[Estimate, ...],
    models: list[str | None],
    metric: str,
    where: Mapping[str, Any],
    sizes: Mapping[str, Any],
    out: ResultRows,
) -> None:
    for name, rank in zip(order, ranks, strict=True):
        out.add(replace(rank, **sizes), **where, model=models[int(name)], metric=metric)


def _add_differences(
    found: ModelComparison,
    models: list[str | None],
    metric: str,
    where: Mapping[str, Any],
    sizes: Mapping[str, Any],
    out: ResultRows,
) -> None:
    if len(found.first) > MOST_PAIRED * (MOST_PAIRED - 1) // 2:
        return
    for r in found.to_rows():
        told = {"multiplicity": r["multiplicity"], "p_single": r["p_value"]}
        estimate = Estimate(
            r["value"],
            r["low"],
            r["high"],
            level=r["level"],
            method=r["method"],
            n=r["n"],
            n_clusters=r["n_clusters"],
            p_value=r["p_adjusted"],
            parameters=told,
            **sizes,
        )
        out.add(
            estimate,
            **where,
            model=models[int(r["model"])],
            metric=metric,
            compared_to=models[int(r["compared_to"])],
        )
