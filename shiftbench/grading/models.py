"""Across runs: spread over seeds, paired comparisons of models, ranks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.benchmark import Benchmark
from shiftbench.errors import ConfigurationError, near_names
from shiftbench.evaluation.comparison import compare_models
from shiftbench.evaluation.detection import ood_difference
from shiftbench.evaluation.ranking import rank_models
from shiftbench.evaluation.seeds import spread, variance_components
from shiftbench.predictions import Key, Predictions, Truth, joint_clusters, split_truth
from shiftbench.results import ResultRows
from shiftbench.statistics import Estimate
from shiftbench.statistics.estimate import normal_interval

from .settings import Settings

__all__ = ["Answers", "compare_runs", "spread_over_seeds"]

Floats = NDArray[np.float64]

MOST_PAIRED = 30
"""Models that are compared all with all; with more, name one to compare them with."""

RANGES = {
    **dict.fromkeys(("log_loss", "mse", "rmse", "mae"), (0.0, math.inf)),
    **dict.fromkeys(("bias", "slope"), (-math.inf, math.inf)),
    **dict.fromkeys(("pearson", "spearman", "gap", "robustness"), (-1.0, 1.0)),
    "brier": (0.0, 2.0),
    "r2": (-math.inf, 1.0),
}
"""Where numbers can lie whose name holds the word; all others are shares between 0 and 1."""

ALIKE = ("config", "split", "subset", "metric", "positive", "compared_to", "model", "epoch")


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

    The seeds of a model are taken together: the mean of their answers to an example. At each
    model's last epoch.
    """
    notes: list[str] = []
    _check_names(predictions, settings)
    places = dict.fromkeys((k.config, k.split) for k in predictions.keys)
    for config, split in places:
        last = _last_epochs([k for k in predictions.keys if (k.config, k.split) == (config, split)])
        if len(last) < 2:
            continue
        role = bench.manifest.configs[config].splits[split].role
        reference = settings.compare_to
        if reference is None and len(last) > MOST_PAIRED:
            notes.append(
                f"{config}: {len(last)} models are too many to compare all with all (up to "
                f"{MOST_PAIRED}); name one with compare_to"
            )
            continue
        if reference is not None and reference not in last:
            continue
        truth = split_truth(bench, config, split)
        where = {"config": config, "split": split, "digest": truth.digest}
        _compare_answers(last, answers, truth, settings, out, where, reference)
        if role in ("ood_test", "ood_validation"):
            _compare_scores(bench, predictions, last, truth, settings, out, reference)
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


def _last_epochs(keys: list[Key]) -> dict[str, list[Key]]:
    """The keys of each model at its last epoch, one a seed."""
    found: dict[str, list[Key]] = {}
    for key in keys:
        found.setdefault(key.model or "", []).append(key)
    return {
        model: [k for k in every if k.epoch == max(e.epoch or 0 for e in every)]
        if any(k.epoch is not None for k in every)
        else every
        for model, every in found.items()
    }


def _compare_answers(
    last: Mapping[str, list[Key]],
    answers: Answers,
    truth: Truth,
    settings: Settings,
    out: ResultRows,
    where: Mapping[str, Any],
    reference: str | None,
) -> None:
    there = {m: keys for m, keys in last.items() if all(k in answers.right for k in keys)}
    if len(there) < 2 or (reference is not None and reference not in there):
        return
    known = truth.labelled
    table = np.stack(
        [
            np.mean([answers.of(k)[known] for k in keys], axis=0, dtype=np.float64)
            for keys in there.values()
        ],
        axis=1,
    )
    if len(table) < 2:
        return
    clusters = None if truth.clusters is None else truth.clusters.codes[known]
    common: dict[str, Any] = {
        "clusters": clusters,
        "models": list(there),
        "level": settings.level,
        "seed": settings.seed,
    }
    if reference is None:
        ranking = rank_models(table, **common)
        for model, rank in zip(ranking.models, ranking.ranks, strict=True):
            out.add(rank, **where, model=model or None, metric="accuracy_rank")
        found = ranking.comparison
    else:
        found = compare_models(table, reference=reference, **common)
    for r in found.to_rows():
        estimate = Estimate(
            r["value"],
            r["low"],
            r["high"],
            level=r["level"],
            method=r["method"],
            n=r["n"],
            n_clusters=r["n_clusters"],
            p_value=r["p_adjusted"],
            parameters={"multiplicity": r["multiplicity"], "p_single": r["p_value"]},
        )
        out.add(
            estimate,
            **where,
            model=r["model"] or None,
            metric="accuracy_difference",
            compared_to=r["compared_to"],
        )


def _compare_scores(
    bench: Benchmark,
    predictions: Predictions,
    last: Mapping[str, list[Key]],
    truth: Truth,
    settings: Settings,
    out: ResultRows,
    reference: str | None,
) -> None:
    """Differences of the AUROCs of detectors, of their first seeds.

    p-values are Holm's over the pairs, and intervals Bonferroni's, so that they hold together.
    """
    entry = bench.manifest.configs[truth.config]
    name = next((s for s, e in entry.splits.items() if e.role == "id_test"), None)
    if name is None:
        return
    own = {m: keys[0] for m, keys in last.items()}
    beside = {m: k._replace(split=name) for m, k in own.items()}
    there = [
        m for m in own if beside[m] in predictions.keys and predictions[own[m]].score is not None
    ]
    if len(there) < 2 or (reference is not None and reference not in there):
        return
    joint = joint_clusters([split_truth(bench, truth.config, name), truth])
    clusters = None if joint is None else (joint[0].codes, joint[1].codes)
    pairs = (
        list(itertools.combinations(there, 2))
        if reference is None
        else [(m, reference) for m in there if m != reference]
    )
    found = []
    together = 1 - (1 - settings.level) / len(pairs)
    for a, b in pairs:
        scores = [predictions[k].score for k in (beside[a], own[a], beside[b], own[b])]
        one_id, one, other_id, other = (s for s in scores if s is not None)
        difference = ood_difference(one_id, one, other_id, other, clusters=clusters, level=together)
        found.append((a, b, difference["auroc"]))
    adjusted = _holm([e.p_value for _, _, e in found])
    for (a, b, estimate), p in zip(found, adjusted, strict=True):
        told = {
            **estimate.parameters,
            "multiplicity": "holm; intervals: bonferroni",
            "p_single": estimate.p_value,
            "seeds": [own[a].seed, own[b].seed],
        }
        out.add(
            replace(estimate, p_value=p, level=settings.level, parameters=told),
            config=truth.config,
            split=truth.split,
            digest=f"{entry.splits[name].digest}+{truth.digest}",
            model=a or None,
            seed=own[a].seed,
            metric="auroc_difference",
            compared_to=b,
        )


def _holm(p_values: list[float | None]) -> list[float | None]:
    """Holm's step-down over the p-values that there are."""
    order = sorted((p, i) for i, p in enumerate(p_values) if p is not None and not math.isnan(p))
    adjusted: list[float | None] = list(p_values)
    running = 0.0
    for rank, (p, i) in enumerate(order):
        running = max(running, min(1.0, p * (len(order) - rank)))
        adjusted[i] = running
    return adjusted


def spread_over_seeds(
    out: ResultRows, selection: Mapping[str, Any] | None, settings: Settings
) -> list[str]:
    """Add, for every number that several seeds have, the mean over seeds and its spread by name.

    Where the selection says what a seed stands for, the variance is split by kind of seed, and
    the mean has an interval only where no more than one kind was changed: with crossed kinds the
    runs are not independent of each other.
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in out.records():
        if row["seed"] is not None and row["spread"] is None and row["p_value"] is None:
            groups.setdefault(tuple(row[name] for name in ALIKE), []).append(row)
    kinds = _kinds_of_seeds(selection)
    notes: list[str] = []
    for key, found in groups.items():
        told = [r for r in found if r["value"] is not None and math.isfinite(r["value"])]
        if len(told) < 2:
            continue
        where = dict(zip(ALIKE, key, strict=True)) | {"digest": told[0]["digest"]}
        positive = where.pop("positive")
        values = np.array([r["value"] for r in told])
        factors: dict[str, list[str]] = {}
        if kinds is not None and all(str(r["seed"]) in kinds for r in told):
            factors = _factors([kinds[str(r["seed"])] for r in told])
        made = {"mean": _mean_over_seeds(values, str(where["metric"]), factors, settings.level)}
        made |= {kind: spread(values, kind, level=settings.level) for kind in ("std", "sem")}
        if factors:
            parts = variance_components(values, factors, level=settings.level)
            made |= {f"variance of {k}": e for k, e in parts.components.items()}
            # What the design cannot tell is worth a note; what came out below 0 says so itself.
            notes += [f"variance over seeds: {n}" for n in parts.notes if "negative" not in n]
        for name, estimate in made.items():
            out.add(
                replace(estimate, n=told[0]["n"] or 0, positive=positive),
                **where,
                spread=name,
                n_seeds=len(told),
            )
    return list(dict.fromkeys(notes))


def _mean_over_seeds(
    values: Floats, metric: str, factors: Mapping[str, Any], level: float
) -> Estimate:
    mean = float(np.mean(values))
    if len(factors) > 1:
        kinds = " and ".join(factors)
        method = f"cannot tell: seeds of {kinds} are crossed, see the variance components"
        return Estimate(mean, level=level, method=method)
    sem = float(np.std(values, ddof=1) / math.sqrt(len(values)))
    low, high = normal_interval(mean, sem, level, len(values) - 1)
    least, most = next((r for word, r in RANGES.items() if word in metric), (0.0, 1.0))
    low, high = max(low, least), min(high, most)
    method = "Student's t over independent seeds"
    return Estimate(mean, low, high, level, method, se=sem)


def _kinds_of_seeds(
    selection: Mapping[str, Any] | None,
) -> Mapping[str, Mapping[str, Any]] | None:
    stated = (selection or {}).get("seeds")
    if not isinstance(stated, Mapping) or not all(isinstance(v, Mapping) for v in stated.values()):
        return None
    return {str(k): v for k, v in stated.items()}


def _factors(stated: list[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The kinds of seed that every run states and that are not all the same."""
    common = set(stated[0]).intersection(*stated[1:])
    factors = {name: [str(s[name]) for s in stated] for name in sorted(common)}
    return {name: levels for name, levels in factors.items() if len(set(levels)) > 1}
