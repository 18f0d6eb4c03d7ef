"""Over seeds: the mean of every number, its spread by name, and what part is of which seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.evaluation.seeds import spread, variance_components
from shiftbench.results import ResultRows
from shiftbench.statistics import Estimate
from shiftbench.statistics.estimate import normal_interval

from .settings import Settings

__all__ = ["spread_over_seeds"]

Floats = NDArray[np.float64]

RANGES = {
    "effective_patches": (0.0, math.inf),
    **dict.fromkeys(("log_loss", "mse", "rmse", "mae"), (0.0, math.inf)),
    **dict.fromkeys(("bias", "slope"), (-math.inf, math.inf)),
    **dict.fromkeys(("pearson", "spearman", "gap", "robustness"), (-1.0, 1.0)),
    "brier": (0.0, 2.0),
    "r2": (-math.inf, 1.0),
}
"""Where numbers can lie whose name holds the word; all others are shares between 0 and 1."""

ALIKE = (
    "digest",
    "config",
    "split",
    "subset",
    "metric",
    "positive",
    "compared_to",
    "model",
    "epoch",
)


def spread_over_seeds(
    out: ResultRows, selection: Mapping[str, Any] | None, settings: Settings
) -> list[str]:
    """Add, for every number that several seeds have, the mean over seeds and its spread by name.

    Where the selection says what a seed stands for, the variance is split by kind of seed, and
    the mean has an interval only where no two runs share a seed: such runs are not independent of
    each other. Only numbers that rest on the same splits are taken together.
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in out.records():
        if row["seed"] is not None and row["spread"] is None and row["p_value"] is None:
            groups.setdefault(tuple(row[name] for name in ALIKE), []).append(row)
    kinds = _kinds_of_seeds(selection)
    notes: list[str] = []
    for key, found in groups.items():
        told = [r for r in found if r["value"] is not None]
        if len(found) < 2 or not told:
            continue
        where = dict(zip(ALIKE, key, strict=True))
        positive = where.pop("positive")
        values = np.array([r["value"] for r in told])
        common: dict[str, Any] = {"n": told[0]["n"] or 0, "positive": positive}
        if len(told) < len(found) or not np.isfinite(values).all():
            out.add(
                _no_mean(found, settings.level, **common), **where, spread="mean",
                n_seeds=len(found),
            )  # fmt: skip
            continue
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
                replace(estimate, **common),
                **where,
                spread=name,
                n_seeds=len(told),
            )
    return list(dict.fromkeys(notes))


def _no_mean(found: list[dict[str, Any]], level: float, **common: Any) -> Estimate:
    """Of numbers that are infinite or that cannot be told for some seed."""
    odd = [r["seed"] for r in found if r["value"] is None or not math.isfinite(r["value"])]
    untold = any(r["value"] is None for r in found)
    value = math.nan if untold else float(np.mean([r["value"] for r in found]))
    what = "nothing can be told of" if untold else "infinite for"
    method = f"cannot tell: {what} seed {', '.join(map(str, odd[:5]))}"
    return Estimate(value, level=level, method=method, **common)


def _mean_over_seeds(
    values: Floats, metric: str, factors: Mapping[str, Any], level: float
) -> Estimate:
    mean = float(np.mean(values))
    shared = [name for name, levels in factors.items() if len(set(levels)) < len(levels)]
    if shared:
        kinds = " and of ".join(shared)
        method = f"cannot tell: runs share a seed of {kinds}, see the variance components"
        return Estimate(mean, level=level, method=method)
    sem = float(np.std(values, ddof=1) / math.sqrt(len(values)))
    if np.ptp(values) <= 1e-12 * max(abs(mean), 1.0):  # but for rounding
        return Estimate(mean, level=level, method="cannot tell: all seeds give the same number")
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
