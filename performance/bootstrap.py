"""The bootstrap of five OOD metrics beside the loop that a user would write.

    python performance/bootstrap.py [--standard-errors]

Prints JSON. `ood_bootstrap` resamples tables of rank bins; the loop draws examples with numpy and
asks scikit-learn for AUROC, both average precisions and both FPR@95. The loop is timed for a few
resamples and given per resample, since 1,000 of them take minutes.

With --standard-errors (about a minute), the standard errors of `ood_bootstrap` are compared with
those of an exact bootstrap of 20,000 resamples at n = 10,000, written here on its own: scores
sorted once, and each resample a weight for each example. 20,000 resamples of ours too, so that
the ratio itself is known to about 0.7 %.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from shiftbench.evaluation.ood_resampling import ood_bootstrap, ood_difference_bootstrap

SEED = 0
RESAMPLES = 1000
EXACT = 20_000
LOOPS = {100_000: 5, 1_000_000: 2}
Floats = NDArray[np.float64]


def scores(n: int, shape: str = "alike") -> tuple[Floats, Floats]:
    rng = np.random.default_rng(SEED)
    if shape == "alike":
        return rng.normal(size=n // 2), rng.normal(1.5, 1, size=n - n // 2)
    if shape == "near one":
        return rng.normal(size=n // 2), rng.normal(4, 1, size=n - n // 2)
    if shape == "few OOD":
        return rng.normal(size=n - n // 20), rng.normal(2, 1, size=n // 20)
    return rng.standard_t(2, n // 2), 1 + 3 * rng.standard_t(2, n - n // 2)


def loop(a: Floats, b: Floats, resamples: int) -> None:
    """What a user would write."""
    rng = np.random.default_rng(SEED)
    for _ in range(resamples):
        x, y = rng.choice(a, len(a)), rng.choice(b, len(b))
        truth, score = np.r_[np.zeros(len(x)), np.ones(len(y))], np.r_[x, y]
        roc_auc_score(truth, score)
        average_precision_score(truth, score)
        average_precision_score(1 - truth, -score)
        for t, s in ((truth, score), (1 - truth, -score)):
            fpr, tpr, _ = roc_curve(t, s, drop_intermediate=False)
            fpr[np.argmax(tpr >= 0.95)]


def seconds(run: object, *args: object, **options: object) -> float:
    start = time.perf_counter()
    run(*args, **options)  # type: ignore[operator]
    return time.perf_counter() - start


def exact(a: Floats, b: Floats, resamples: int) -> Iterator[list[float]]:
    """Each resample by itself, on all examples; there are no ties in these scores."""
    rng = np.random.default_rng(SEED + 1)
    order = np.argsort(np.r_[a, b])
    is_ood = order >= len(a)
    place = np.empty(len(order), int)
    place[order] = np.arange(len(order))
    at_id, at_ood = place[: len(a)], place[len(a) :]
    for _ in range(resamples):
        known = np.zeros(len(order))
        ood = np.zeros(len(order))
        known[at_id] = np.bincount(rng.integers(0, len(a), len(a)), minlength=len(a))
        ood[at_ood] = np.bincount(rng.integers(0, len(b), len(b)), minlength=len(b))
        id_below, ood_below = np.cumsum(known), np.cumsum(ood)
        id_above, ood_above = len(a) - id_below + known, len(b) - ood_below + ood
        yield [
            float(ood @ id_below) / len(a) / len(b),
            float(ood @ (ood_above / np.maximum(ood_above + id_above, 1))) / len(b),
            float(known @ (id_below / np.maximum(ood_below + id_below, 1))) / len(a),
            id_above[np.flatnonzero(ood_above >= 0.95 * len(b))[-1]] / len(a),
            ood_below[np.flatnonzero(id_below >= 0.95 * len(a))[0]] / len(b),
        ]
    assert is_ood.sum() == len(b)


def standard_errors(n: int) -> dict[str, dict[str, float]]:
    found = {}
    for shape in ("alike", "near one", "few OOD", "heavy tails"):
        a, b = scores(n, shape)
        theirs = np.std(list(exact(a, b, EXACT)), axis=0, ddof=1)
        ours = ood_bootstrap(a, b, n_resamples=EXACT, seed=SEED).estimates
        found[shape] = {
            name: round(estimate.se / float(se), 4)
            for (name, estimate), se in zip(ours.items(), theirs, strict=True)
        }
    return found


def main() -> None:
    report: dict[str, object] = {"resamples": RESAMPLES, "seed": SEED}
    for n, loops in LOOPS.items():
        a, b = scores(n)
        ours = seconds(ood_bootstrap, a, b, n_resamples=RESAMPLES, seed=SEED)
        theirs = seconds(loop, a, b, loops) / loops
        units = (np.arange(len(a)) // 10, len(a) + np.arange(len(b)) // 10)
        report[f"n = {n}"] = {
            "seconds": round(ours, 3),
            "seconds_clusters_of_10": round(
                seconds(ood_bootstrap, a, b, units, n_resamples=RESAMPLES, seed=SEED), 3
            ),
            "seconds_difference_of_two_detectors": round(
                seconds(ood_difference_bootstrap, a, b, a, b, n_resamples=RESAMPLES, seed=SEED), 3
            ),
            "loop_seconds_per_resample": round(theirs, 4),
            "times_faster_than_the_loop": round(theirs / (ours / RESAMPLES), 1),
        }
    if "--standard-errors" in sys.argv[1:]:
        report["standard_error_over_exact_at_10000"] = standard_errors(10_000)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
