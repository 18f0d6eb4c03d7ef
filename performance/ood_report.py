"""The full OOD report against sorting the same scores, and against what is used instead.

    python performance/ood_report.py [--quick]        prints JSON

Half of the scores are ID, N(0, 1); half OOD, N(1, 1). `report` is every metric of
`shiftbench.evaluation.ood` with every interval, without clusters; `sort` is `np.sort` of the same
scores in one array; `formulas` is what OpenOOD 1.5 computes, with scikit-learn: `roc_auc_score`,
`roc_curve` and `precision_recall_curve` for both classes, values alone. All of them take turns;
a ratio is of the best times (all run in one thread: on a busy machine their processor time tells
more). Peak memory is of a process of its own (VmHWM), above what it has
once the scores are there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _measure import interleaved, peak_mb, ratio, rounded
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score, roc_curve

from shiftbench.evaluation.detection import ood

SEED = 20_231
SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "continuous": lambda x: x,
    "3 decimals": lambda x: x.round(3),
    "from float32": lambda x: x.astype(np.float32).astype(np.float64),
}


def scores(n: int, shape: str) -> np.ndarray:
    found = np.random.default_rng(SEED).normal(size=n)
    found[n // 2 :] += 1
    return SHAPES[shape](found)


def formulas(both: np.ndarray, labels: np.ndarray) -> list[float]:
    fpr, tpr, _ = roc_curve(labels, both, drop_intermediate=False)
    precision, recall, _ = precision_recall_curve(labels, both)
    precision_id, recall_id, _ = precision_recall_curve(1 - labels, -both)
    return [
        roc_auc_score(labels, both),
        float(fpr[np.argmax(tpr >= 0.95)]),
        auc(recall, precision),
        auc(recall_id, precision_id),
    ]


def timed(n: int, shape: str, rounds: int, with_formulas: bool) -> dict[str, object]:
    both = scores(n, shape)
    half = n // 2
    labels = np.repeat(np.array([0, 1], dtype=np.int8), [half, n - half])
    contenders: dict[str, Callable[[], object]] = {
        "sort": lambda: np.sort(both),
        "report": lambda: ood(both[:half], both[half:]),
    }
    processor: dict[str, list[float]] = {name: [] for name in contenders}

    def both_clocks(name: str) -> Callable[[], object]:
        def call() -> None:
            start = time.process_time()
            contenders[name]()
            processor[name].append(time.process_time() - start)

        return call

    times = interleaved({name: both_clocks(name) for name in contenders}, rounds)
    if with_formulas:
        times |= interleaved({"formulas": lambda: formulas(both, labels)}, 2)
        found = ood(both[:half], both[half:])
        ours = [
            found[name].value
            for name in ("auroc", "fpr_at_95tpr_ood", "aupr_trapezoid_ood", "aupr_trapezoid_id")
        ]
        np.testing.assert_allclose(ours, formulas(both, labels), rtol=1e-12)
    report: dict[str, object] = {
        "report_over_sort": ratio(times, "sort", "report"),
        "report_over_sort_processor_time": ratio(processor, "sort", "report"),
        "seconds": rounded(times),
    }
    if with_formulas:
        report["formulas_over_sort"] = ratio(times, "sort", "formulas")
        report["formulas_over_report"] = ratio(times, "report", "formulas")
    return report


def memory(n: int, shape: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--peak", str(n), shape]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def peak_inside(n: int, shape: str) -> None:
    ood(np.arange(50.0), np.arange(50.0))  # what a first call loads
    both = scores(n, "continuous")
    for part in np.array_split(both, 100):
        part[:] = SHAPES[shape](part)
    id_scores, ood_scores = both[: n // 2].copy(), both[n // 2 :].copy()
    del both
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = peak_mb(os.getpid())
    ood(id_scores, ood_scores)
    peak = peak_mb(os.getpid())
    size = 8 * n / 1e6
    print(json.dumps({"scores_mb": size, "above_scores_mb": round(peak - before, 1),
                      "above_scores_over_scores": round((peak - before) / size, 3)}))  # fmt: skip


def main(quick: bool) -> None:
    report: dict[str, object] = {"seed": SEED}
    for n, rounds in ((1_000_000, 60), (10_000_000, 3 if quick else 7)):
        for shape in SHAPES:
            plain = shape == "continuous" and not (quick and n > 1_000_000)
            found = timed(n, shape, rounds, plain)
            found["memory"] = memory(n, shape)
            report[f"{n} {shape}"] = found
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        peak_inside(int(sys.argv[2]), sys.argv[3])
    else:
        main("--quick" in sys.argv[1:])
