"""Very many overlapping subsets: against one weighted bincount over the memberships.

    python performance/subpopulations.py            prints JSON (about a minute, 4 GB)

10 million predictions, 12,868 subsets, 74 million memberships: each example is in a Poisson
number (mean 7.4) of subsets, drawn without repetition by Zipf's law over the subsets' ranks
(exponent 1.0).
"""

from __future__ import annotations

import json
import os

import numpy as np
from _measure import interleaved, peak_mb, ratio, rounded

from shiftbench.evaluation.groups import Groups
from shiftbench.evaluation.subpopulations import group_accuracy, subpopulation
from shiftbench.statistics import Clusters

N, GROUPS, MEAN = 10_000_000, 12_868, 7.4
SEED = 20_240
ROUNDS = 5


def memberships() -> tuple[np.ndarray, np.ndarray]:
    """Offsets and codes; an example's subsets are different ones, in rising order."""
    rng = np.random.default_rng(SEED)
    cumulative = np.cumsum(np.arange(1, GROUPS + 1) ** -1.0)
    cumulative /= cumulative[-1]
    lengths, codes = [], []
    for start in range(0, N, 1 << 20):
        n = min(1 << 20, N - start)
        # Drawn with repetition and thinned, so a few more are drawn than are wanted.
        drawn = rng.poisson(MEAN * 1.06, n)
        member = np.minimum(np.searchsorted(cumulative, rng.random(drawn.sum())), GROUPS - 1)
        key = np.sort(np.repeat(np.arange(n), drawn) * GROUPS + member)
        key = key[np.diff(key, prepend=-1) > 0]
        lengths.append(np.bincount(key // GROUPS, minlength=n))
        codes.append((key % GROUPS).astype(np.int32))
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    return offsets, np.concatenate(codes)


def main() -> None:
    offsets, codes = memberships()
    groups = Groups.of_csr(offsets, codes, [f"subset {g:05}" for g in range(GROUPS)])
    rng = np.random.default_rng(SEED + 1)
    correct = rng.random(N) < 0.8
    lengths = np.diff(offsets)
    weights = np.repeat(correct.astype(np.float64), lengths)

    def bare() -> np.ndarray:
        return np.bincount(codes, weights=weights, minlength=GROUPS)

    def with_gather() -> np.ndarray:
        gathered = np.repeat(correct.astype(np.float64), lengths)
        return np.bincount(codes, weights=gathered, minlength=GROUPS)

    found = group_accuracy(correct, groups)
    if not np.array_equal(found.counts.successes, bare()):
        raise AssertionError("the sums differ from the bincount's")
    before = peak_mb(os.getpid())
    truth = np.ones(N, dtype=np.int64)
    predicted = correct.astype(np.int64)
    times = interleaved(
        {
            "ours": lambda: group_accuracy(correct, groups),
            "bincount": bare,
            "gather_and_bincount": with_gather,
        },
        ROUNDS,
    )
    whole = interleaved({"subpopulation": lambda: subpopulation(truth, predicted, groups)}, 2)
    after = peak_mb(os.getpid())
    clusters = Clusters(np.arange(N) // 4, N // 4)
    clustered = interleaved({"clustered": lambda: group_accuracy(correct, groups, clusters)}, 1)
    times |= whole | clustered
    report = {
        "predictions": N,
        "subsets": GROUPS,
        "memberships": len(codes),
        "seconds": rounded(times),
        "times_bincount": round(1 / ratio(times, "ours", "bincount"), 3),
        "times_gather_and_bincount": round(1 / ratio(times, "ours", "gather_and_bincount"), 3),
        "whole_subpopulation_times_bincount": round(
            1 / ratio(times, "subpopulation", "bincount"), 3
        ),
        "clusters_of_4_times_bincount": round(1 / ratio(times, "clustered", "bincount"), 3),
        "peak_mb_inputs": before,
        "peak_mb_unclustered": after,
        "peak_mb_clustered": peak_mb(os.getpid()),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
