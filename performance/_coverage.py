"""Populations whose true values are known, and samples of them: what intervals are tried on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from shiftbench.evaluation.classification import classification_metrics
from shiftbench.evaluation.detection import ood, ood_difference
from shiftbench.evaluation.gaps import gap
from shiftbench.evaluation.regression import regression_metrics
from shiftbench.evaluation.selective import risk_coverage
from shiftbench.evaluation.subpopulations import subpopulation
from shiftbench.evaluation.thresholds import rates_at
from shiftbench.statistics import Estimate, stream

Floats = NDArray[np.float64]

SIZES = (30, 50, 200)
CLUSTER = 4
"""Examples a cluster in the clustered cases."""
ICC = 0.5
"""Correlation of the latent scores of two examples of a cluster."""
LARGE = 400_000
"""Examples from which a truth without a formula is taken."""


@dataclass(frozen=True)
class Case:
    """A population and what is estimated of it.

    Attributes
    ----------
    family : str
        What is estimated; its metrics are named by `truth`.
    place : str
        Where the truth lies: null, middle or near 1.
    truth : mapping
        The true value of each metric.
    draw : function
        (generator, n, clustered) → the estimates of one sample, by metric.
    """

    family: str
    place: str
    truth: Mapping[str, float]
    draw: Callable[[np.random.Generator, int, bool], Mapping[str, Estimate]]


def latent(rng: np.random.Generator, n: int, clustered: bool) -> tuple[Floats, NDArray[np.int64]]:
    """Standard normal scores, with clusters of CLUSTER that share ICC of their variance."""
    if not clustered:
        return rng.normal(size=n), np.arange(n)
    of = np.arange(n) // CLUSTER
    shared = rng.normal(size=int(of[-1]) + 1)[of]
    return np.sqrt(ICC) * shared + np.sqrt(1 - ICC) * rng.normal(size=n), of


def _binormal(d: float) -> dict[str, float]:
    """What is true of scores ID ~ N(0, 1) and OOD ~ N(d, 1), as many of each."""
    t = np.linspace(-12, 12 + d, 2_000_001)
    fpr, tpr = norm.sf(t), norm.sf(t - d)

    def area(y: Floats, x: Floats) -> float:
        return float(abs(np.trapezoid(y, x)))

    ap_ood = area(tpr / np.maximum(tpr + fpr, 1e-300), tpr)
    ap_id = area((1 - fpr) / np.maximum((1 - fpr) + (1 - tpr), 1e-300), 1 - fpr)
    return {
        "auroc": float(norm.cdf(d / np.sqrt(2))),
        "aupr_ood": ap_ood,
        "aupr_id": ap_id,
        "fpr_at_95tpr_ood": float(norm.sf(d + norm.ppf(0.05))),
        "fpr_at_95tpr_id": float(norm.cdf(norm.ppf(0.95) - d)),
        "detection_error": float(norm.sf(d / 2)),
    }


PLACES = {"null": 0.0, "middle": 1.2, "near 1": 2.5}
"""The distance of ID and OOD: AUROC 0.5, 0.80 and 0.96."""


def _draw_ood(d: float) -> Callable[[np.random.Generator, int, bool], Mapping[str, Estimate]]:
    def draw(rng: np.random.Generator, n: int, clustered: bool) -> Mapping[str, Estimate]:
        (one, a), (other, b) = latent(rng, n, clustered), latent(rng, n, clustered)
        clusters = (a, b + n) if clustered else None
        return ood(one, other + d, clusters=clusters)

    return draw


def _draw_difference(
    d: float, e: float
) -> Callable[[np.random.Generator, int, bool], Mapping[str, Estimate]]:
    def draw(rng: np.random.Generator, n: int, clustered: bool) -> Mapping[str, Estimate]:
        (one, a), (other, b) = latent(rng, n, clustered), latent(rng, n, clustered)
        half = np.sqrt(0.5)
        one_b = half * one + half * latent(rng, n, clustered)[0]
        other_b = half * other + half * latent(rng, n, clustered)[0]
        clusters = (a, b + n) if clustered else None
        return ood_difference(one, other + d, one_b, other_b + e, clusters=clusters)

    return draw


def _right(rng: np.random.Generator, n: int, clustered: bool, p: float) -> tuple[Floats, Floats]:
    z, of = latent(rng, n, clustered)
    return (z < norm.ppf(p)).astype(np.float64), of.astype(np.float64)


def _draw_share(p: float) -> Callable[[np.random.Generator, int, bool], Mapping[str, Estimate]]:
    def draw(rng: np.random.Generator, n: int, clustered: bool) -> Mapping[str, Estimate]:
        right, of = _right(rng, n, clustered, p)
        return {"flagged": rates_at(0.5, right, clusters=of if clustered else None)}

    return draw


def _draw_worst(
    p: float, groups: int
) -> Callable[[np.random.Generator, int, bool], Mapping[str, Estimate]]:
    """Groups of n examples each, all equally good."""

    def draw(rng: np.random.Generator, n: int, clustered: bool) -> Mapping[str, Estimate]:
        right, of = _right(rng, n * groups, clustered, p)
        found = subpopulation(
            np.ones(n * groups, dtype=int),
            right.astype(int),
            groups=np.repeat([f"g{i}" for i in range(groups)], n),
            clusters=of if clustered else None,
        )
        return {"worst": found.worst, "group_mean": found.group_mean}

    return draw


def _draw_gap(
    p: float, q: float
) -> Callable[[np.random.Generator, int, bool], Mapping[str, Estimate]]:
    def draw(rng: np.random.Generator, n: int, clustered: bool) -> Mapping[str, Estimate]:
        a, of_a = _right(rng, n, clustered, p)
        b, of_b = _right(rng, n, clustered, q)
        clusters = (of_a, of_b + n) if clustered else None
        return {"accuracy_gap": gap(a, b, clusters=clusters)}

    return draw


def _classify(
    rng: np.random.Generator, n: int, clustered: bool, sharp: float
) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
    """Truth, probabilities over three classes and clusters; `sharp` is how good the model is."""
    z, of = latent(rng, n, clustered)
    shares = np.array([0.5, 0.3, 0.2])
    truth = np.searchsorted(np.cumsum(shares)[:-1], norm.cdf(z)).astype(np.int64)
    logits = rng.normal(size=(n, 3)) + sharp * np.eye(3)[truth]
    if clustered:
        logits += rng.normal(size=(int(of[-1]) + 1, 3))[of]
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    return truth, probabilities / probabilities.sum(axis=1, keepdims=True), of


def _draw_classes(
    sharp: float,
) -> Callable[[np.random.Generator, int, bool], Mapping[str, Estimate]]:
    def draw(rng: np.random.Generator, n: int, clustered: bool) -> Mapping[str, Estimate]:
        truth, probabilities, of = _classify(rng, n, clustered, sharp)
        found = classification_metrics(
            truth, probabilities=probabilities, clusters=of if clustered else None
        )
        wrong = (probabilities.argmax(axis=1) != truth).astype(np.float64)
        score = 1 - probabilities.max(axis=1)
        risk = risk_coverage(wrong, score, clusters=of if clustered else None)
        return {**found, **risk}

    return draw


CLASS_METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "brier", "aurc", "augrc")


@cache
def _large_classes(sharp: float, clustered: bool) -> dict[str, float]:
    draw = _draw_classes(sharp)
    found = [
        draw(stream(0, "truth of classes", f"{sharp} {i}"), LARGE, clustered) for i in range(3)
    ]
    return {m: float(np.mean([f[m].value for f in found])) for m in CLASS_METRICS}


def _draw_regression(
    rho: float,
) -> Callable[[np.random.Generator, int, bool], Mapping[str, Estimate]]:
    def draw(rng: np.random.Generator, n: int, clustered: bool) -> Mapping[str, Estimate]:
        truth, of = latent(rng, n, clustered)
        guess = rho * truth + np.sqrt(1 - rho**2) * latent(rng, n, clustered)[0]
        return regression_metrics(truth, guess, clusters=of if clustered else None)

    return draw


def _regression_truth(rho: float) -> dict[str, float]:
    spread = np.sqrt((1 - rho) ** 2 + 1 - rho**2)
    return {
        "mse": float(spread**2),
        "rmse": float(spread),
        "mae": float(spread * np.sqrt(2 / np.pi)),
        "pearson": rho,
        "spearman": float(6 / np.pi * np.arcsin(rho / 2)),
    }


def cases() -> Iterator[Case]:
    """Every population on which coverage is tried."""
    for place, d in PLACES.items():
        yield Case("OOD", place, _binormal(d), _draw_ood(d))
    for place, (d, e) in {"null": (0.0, 0.0), "middle": (1.2, 1.2), "near 1": (2.5, 2.0)}.items():
        one, other = _binormal(d), _binormal(e)
        keys = ("auroc", "aupr_ood", "aupr_id")
        truth = {m: one[m] - other[m] for m in keys}
        yield Case("OOD difference", place, truth, _draw_difference(d, e))
    for place, p in {"null": 0.5, "middle": 0.8, "near 1": 0.95}.items():
        yield Case("share", place, {"flagged": p}, _draw_share(p))
        yield Case("4 groups", place, {"worst": p, "group_mean": p}, _draw_worst(p, 4))
        yield Case("8 groups", place, {"worst": p, "group_mean": p}, _draw_worst(p, 8))
    for place, (p, q) in {"null": (0.8, 0.8), "middle": (0.8, 0.6), "near 1": (0.97, 0.9)}.items():
        yield Case("gap", place, {"accuracy_gap": p - q}, _draw_gap(p, q))
    for place, sharp in {"null": 0.0, "middle": 2.0, "near 1": 3.5}.items():
        yield Case("classes", place, dict.fromkeys(CLASS_METRICS, np.nan), _draw_classes(sharp))
    for place, rho in {"null": 0.0, "middle": 0.6, "near 1": 0.95}.items():
        yield Case("regression", place, _regression_truth(rho), _draw_regression(rho))


SHARPNESS = {"null": 0.0, "middle": 2.0, "near 1": 3.5}


def truth_of(case: Case, clustered: bool) -> Mapping[str, float]:
    """The true values, from a formula or, for the classes, from LARGE examples."""
    if case.family == "classes":
        return _large_classes(SHARPNESS[case.place], clustered)
    return case.truth


@dataclass(frozen=True)
class Coverage:
    """How often the intervals of a metric held the truth.

    Attributes
    ----------
    below, above : int
        Samples whose interval lay wholly below, or above, the truth.
    none : int
        Samples without an interval (nan bounds): left out of the share, and told.
    """

    family: str
    place: str
    metric: str
    n: int
    clustered: bool
    samples: int
    held: int
    below: int
    above: int
    none: int
    width: float

    @property
    def share(self) -> float:
        with_interval = self.samples - self.none
        return self.held / with_interval if with_interval else np.nan


SIMULTANEOUS = ("worst",)
EXCEPTIONS = {
    ("OOD difference", "auroc", "near 1", 50, True): 0.92,
    ("OOD difference", "aupr_id", "near 1", 50, True): 0.905,
    ("OOD difference", "aupr_ood", "near 1", 50, True): 0.90,
    ("classes", "brier", "near 1", 50, False): 0.915,
    ("classes", "brier", "near 1", 50, True): 0.915,
    ("classes", "log_loss", "near 1", 50, True): 0.91,
    **{
        ("regression", metric, place, 50, True): 0.91
        for metric in ("mse", "rmse", "mae", "pearson")
        for place in ("null", "middle", "near 1")
    },
}
"""(family, metric, place, n, clustered) → what is covered where it is less than is promised."""


def promised(found: Coverage) -> float:
    """What is promised at n ≥ 50: 95 % of simultaneous intervals, 93 % of the others."""
    return 0.95 if found.metric in SIMULTANEOUS else 0.93


def expected(found: Coverage) -> float:
    """What is promised, or what is known of a named exception."""
    place = (found.family, found.metric, found.place, found.n, found.clustered)
    return EXCEPTIONS.get(place, promised(found))


def coverage(case: Case, n: int, clustered: bool, samples: int, seed: int) -> list[Coverage]:
    """Draw samples of n examples (of ID and of OOD, or of each group) and count.

    `case.truth` has the true values, as from `truth_of`.
    """
    truth = case.truth
    bounds: dict[str, list[tuple[float, float]]] = {m: [] for m in truth}
    ident = f"{case.family} {case.place} {n} {clustered}"
    for i in range(samples):
        found = case.draw(stream(seed, "coverage", f"{ident} {i}"), n, clustered)
        for metric in truth:
            bounds[metric].append((found[metric].low, found[metric].high))
    counted = []
    for metric, pairs in bounds.items():
        low, high = np.array(pairs).T
        none = np.isnan(low) | np.isnan(high)
        below, above = high < truth[metric], low > truth[metric]
        counted.append(
            Coverage(
                case.family,
                case.place,
                metric,
                n,
                clustered,
                samples,
                int(samples - below.sum() - above.sum() - none.sum()),
                int(below.sum()),
                int(above.sum()),
                int(none.sum()),
                float(np.nanmean(high - low)) if not none.all() else np.nan,
            )
        )
    return counted
