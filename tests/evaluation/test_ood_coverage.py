"""How often the intervals hold the truth, at the null, in the middle and near 1."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from shiftbench.evaluation.detection import ood, ood_difference
from shiftbench.evaluation.selective import risk_coverage
from shiftbench.statistics import stream

PROMISED = 0.93
BAND = 4.5
"""Standard errors below the promise at which a test fails: 3 in a million, each."""

# (metric, n_id, n_ood, AUROC, cluster size) → coverage measured where it is less than promised:
# only 5 ID examples lie beyond an FPR of 0.1 there.
EXCEPTIONS = {
    ("auroc_to_fpr_0_1_share", 50, 50, 0.5, 1): 0.91,
    ("auroc_to_fpr_0_1_share", 50, 50, 0.5, 5): 0.86,
}


def truth(auroc, n_id, n_ood):
    """Every metric of two normal distributions of variance 1, by quadrature."""
    shift = norm.ppf(auroc) * math.sqrt(2)
    t = np.linspace(-9, 9 + shift, 200_001)
    fpr, tpr = norm.sf(t), norm.sf(t - shift)
    precision = n_ood * tpr / np.maximum(n_ood * tpr + n_id * fpr, 1e-300)
    other = n_id * (1 - fpr) / np.maximum(n_id * (1 - fpr) + n_ood * (1 - tpr), 1e-300)
    low = fpr <= 0.1
    return {
        "auroc": auroc,
        "aupr_ood": -float(np.trapezoid(precision, tpr)),
        "aupr_id": float(np.trapezoid(other, 1 - fpr)),
        "fpr_at_95tpr_ood": float(np.interp(-0.95, -tpr, fpr)),
        "fpr_at_95tpr_id": float(np.interp(0.95, 1 - fpr, 1 - tpr)),
        "detection_error": float(np.min((fpr + 1 - tpr) / 2)),
        "auroc_to_fpr_0_1_share": -float(np.trapezoid(tpr[low], fpr[low])) / 0.1,
    }


def normal(rng, n, size, correlation=0.4):
    """Scores of variance 1; those of one cluster of `size` are correlated."""
    if size == 1:
        return rng.normal(size=n), None
    effect = np.repeat(rng.normal(size=n // size), size)
    scores = math.sqrt(correlation) * effect + math.sqrt(1 - correlation) * rng.normal(size=n)
    return scores, np.repeat(np.arange(n // size), size)


def coverage(n_id, n_ood, auroc, size, rounds):
    rng = stream(0, "coverage of the OOD report", f"{n_id} {n_ood} {auroc} {size}")
    expected = truth(auroc, n_id, n_ood)
    shift = norm.ppf(auroc) * math.sqrt(2)
    covered = dict.fromkeys(expected, 0)
    for _ in range(rounds):
        x, names = normal(rng, n_id, size)
        y, others = normal(rng, n_ood, size)
        clusters = None if names is None else (names, others + len(names))
        found = ood(x, y + shift, clusters, max_fpr=0.1)
        for name, value in expected.items():
            covered[name] += found[name].low <= value <= found[name].high
    return {name: count / rounds for name, count in covered.items()}


def check(found, n_id, n_ood, auroc, size, rounds):
    for name, share in found.items():
        promised = EXCEPTIONS.get((name, n_id, n_ood, auroc, size), PROMISED)
        band = BAND * math.sqrt(promised * (1 - promised) / rounds)
        assert share >= promised - band, (name, share)


@pytest.mark.parametrize("auroc", [0.5, 0.8, 0.99])
@pytest.mark.parametrize("size", [1, 5])
def test_intervals_hold_the_truth(auroc, size):
    check(coverage(50, 50, auroc, size, 150), 50, 50, auroc, size, 150)


@pytest.mark.slow
@pytest.mark.parametrize("auroc", [0.5, 0.8, 0.95, 0.99])
@pytest.mark.parametrize(
    ("n_id", "n_ood", "size"),
    [(50, 50, 1), (50, 50, 5), (200, 50, 1), (200, 200, 1), (200, 200, 4), (200, 200, 10)],
)
def test_intervals_hold_the_truth_in_many_samples(n_id, n_ood, auroc, size):
    check(coverage(n_id, n_ood, auroc, size, 2000), n_id, n_ood, auroc, size, 2000)


def difference_coverage(size, rounds, n=100):
    """Two detectors that are equally good, their scores correlated."""
    rng = stream(0, "coverage of the OOD difference", str(size))
    rejected = dict.fromkeys(("auroc", "aupr_ood", "aupr_id"), 0)
    for _ in range(rounds):
        x, names = normal(rng, n, size)
        y, others = normal(rng, n, size)
        scores = [(x + normal(rng, n, size)[0], y + 1.5 + normal(rng, n, size)[0]) for _ in "ab"]
        clusters = None if names is None else (names, others + n)
        found = ood_difference(*scores[0], *scores[1], clusters)
        for name in rejected:
            rejected[name] += found[name].p_value <= 0.05
    return {name: 1 - count / rounds for name, count in rejected.items()}


@pytest.mark.parametrize("size", [1, 5])
def test_equal_detectors_are_seldom_told_apart(size):
    for share in difference_coverage(size, 200).values():
        assert share >= PROMISED - BAND * math.sqrt(0.07 * 0.93 / 200)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 5, 10])
def test_equal_detectors_are_seldom_told_apart_in_many_samples(size):
    for share in difference_coverage(size, 2000).values():
        assert share >= PROMISED - BAND * math.sqrt(0.07 * 0.93 / 2000)


def selective_coverage(n, size, rounds):
    """Scores that order a risk of 0.1 to 0.5; the truth from a million examples."""
    rng = stream(0, "coverage of risk and coverage", f"{n} {size}")

    def draw(count):
        scores, names = normal(rng, count, size)
        return rng.random(count) < 0.1 + 0.4 * norm.cdf(scores), scores, names

    errors, scores, _ = draw(1_000_000)
    expected = {name: e.value for name, e in risk_coverage(errors, scores).items()}
    covered = dict.fromkeys(expected, 0)
    for _ in range(rounds):
        found = risk_coverage(*draw(n))
        for name, value in expected.items():
            covered[name] += found[name].low <= value <= found[name].high
    return {name: count / rounds for name, count in covered.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("n", "size"), [(50, 1), (200, 1), (200, 5)])
def test_areas_of_risk_hold_the_truth_in_many_samples(n, size):
    for name, share in selective_coverage(n, size, 2000).items():
        assert share >= PROMISED - BAND * math.sqrt(0.07 * 0.93 / 2000), (name, share)
