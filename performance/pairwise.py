"""MMD between every two of 1,000 subsets: against one bare pass over the kernel matrix.

    python performance/pairwise.py       prints JSON

1,000 subsets × 100 examples × 64 dimensions, 499,500 pairs. The bare pass makes the same tiles of
the same half of the kernel matrix, a product and an exponential in single precision, and sums
nothing. Processor time of one thread, so that other programs do not count.
"""

from __future__ import annotations

import json
import os
import time

import numpy as np
from _measure import peak_mb
from threadpoolctl import threadpool_limits

from shiftbench.distances import measure, pairwise

SUBSETS, EXAMPLES, WIDTH, TILE, ROUNDS = 1_000, 100, 64, 2_048, 2
TIMED_PAIRS = 20
SEED = 20_232


def bare(x: np.ndarray) -> float:
    single = (x / np.sqrt(2 * WIDTH)).astype(np.float32)
    half = np.einsum("ij,ij->i", single, single)[:, None] / 2
    ones = np.ones_like(half)
    left, right = np.hstack([single, -half, ones]), np.hstack([single, ones, -half])
    buffer = np.empty(TILE * TILE, dtype=np.float32)
    last = 0.0
    for i in range(0, len(x), TILE):
        for j in range(i, len(x), TILE):
            a, b = left[i : i + TILE], right[j : j + TILE]
            out = buffer[: len(a) * len(b)].reshape(len(a), len(b))
            np.matmul(a, b.T, out=out)
            np.exp(out, out=out)
            last = float(out[0, 0])
    return last


def main() -> None:
    rng = np.random.default_rng(SEED)
    x = rng.normal(size=(SUBSETS * EXAMPLES, WIDTH)) + 0.3 * np.repeat(
        rng.normal(size=(SUBSETS, WIDTH)), EXAMPLES, axis=0
    )
    subsets = {f"{i:04}": part for i, part in enumerate(np.split(x, SUBSETS))}
    before = peak_mb(os.getpid())
    seconds: dict[str, list[float]] = {"pairwise": [], "bare": []}
    with threadpool_limits(1):
        for _ in range(ROUNDS):
            start = time.process_time()
            table = pairwise(subsets, "mmd", seed=0)
            seconds["pairwise"].append(round(time.process_time() - start, 2))
            start = time.process_time()
            bare(x)
            seconds["bare"].append(round(time.process_time() - start, 2))
        few = dict(list(subsets.items())[:TIMED_PAIRS])
        start = time.process_time()
        pairwise(few, "mmd", intervals=True, seed=0)
        each = (time.process_time() - start) / (TIMED_PAIRS * (TIMED_PAIRS - 1) / 2)
    width = json.loads(table["parameters"][0].as_py())["bandwidth"]
    errors = [
        abs(
            row["value"]
            - measure(
                "mmd",
                subsets[row["source"]],
                subsets[row["target"]],
                bandwidth=width,
                n_permutations=0,
            ).value
        )
        for row in table.take(np.linspace(0, table.num_rows - 1, 50).astype(int)).to_pylist()
    ]
    report = {
        "subsets": SUBSETS,
        "examples": EXAMPLES,
        "width": WIDTH,
        "pairs": table.num_rows,
        "seconds": seconds,
        "times_bare": round(min(seconds["pairwise"]) / min(seconds["bare"]), 3),
        "before_mb": before,
        "peak_mb": peak_mb(os.getpid()),
        "largest_error": max(errors),
        "milliseconds_a_pair_with_intervals": round(1e3 * each, 2),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
