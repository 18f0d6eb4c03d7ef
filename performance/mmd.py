"""MMD with 1,000 permutations: against the matrix products and the exponential that it needs.

    python performance/mmd.py            prints JSON
    python performance/mmd.py --large    100,000 examples a side, in linear time: seconds, memory

What it needs: the Gram matrix of all examples (2000 × 2000 × 512), one exponential of it, and one
product of the kernel with the permutations (2000 × 2000 × 1000), all in double precision; in the
second form (`bare_mixed`) that product is in single precision, as it is in `mmd` itself. The
aggregated test, the default, needs a product for each of its five bandwidths. Processor time of one
thread, so that other programs do not count.
"""

from __future__ import annotations

import json
import os
import sys
import time

import numpy as np
from _measure import peak_mb
from threadpoolctl import threadpool_limits

from shiftbench.distances import measure

N, WIDTH, PERMUTATIONS, ROUNDS = 1_000, 512, 1_000, 7
LARGE, LARGE_WIDTH, FEATURES = 100_000, 64, 512
SEED = 20_231


def bare(x: np.ndarray, labels: np.ndarray, products: int) -> float:
    kernel = x @ x.T
    kernel *= 1 / WIDTH
    np.exp(kernel, out=kernel)
    kernel = kernel.astype(labels.dtype, copy=False)
    return sum(float((kernel @ labels)[0, 0]) for _ in range(products))


def main() -> None:
    rng = np.random.default_rng(SEED)
    x, y = rng.normal(size=(2, N, WIDTH))
    both = np.vstack([x, y])
    labels = rng.permuted(np.tile(np.repeat([1.0, 0.0], N), (PERMUTATIONS, 1)), axis=1).T.copy()
    single = labels.astype(np.float32)

    def ours(bandwidths: str) -> object:
        return measure("mmd", x, y, bandwidths=bandwidths, n_permutations=PERMUTATIONS, seed=0)

    contenders = {
        "single": lambda: ours("single"),
        "bare": lambda: bare(both, labels, 1),
        "bare_mixed": lambda: bare(both, single, 1),
        "aggregate": lambda: ours("aggregate"),
        "bare_aggregate": lambda: bare(both, labels, 5),
        "bare_aggregate_mixed": lambda: bare(both, single, 5),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    with threadpool_limits(1):
        for _ in range(ROUNDS):
            for name, call in contenders.items():
                start = time.process_time()
                call()
                times[name].append(round(time.process_time() - start, 4))
    best = {name: min(t) for name, t in times.items()}
    report = {
        "n": [N, N],
        "width": WIDTH,
        "permutations": PERMUTATIONS,
        "seconds": times,
        "single_times_bare": round(best["single"] / best["bare"], 3),
        "aggregate_times_bare_of_five_products": round(
            best["aggregate"] / best["bare_aggregate"], 3
        ),
        "aggregate_times_bare": round(best["aggregate"] / best["bare"], 3),
        "single_times_bare_mixed": round(best["single"] / best["bare_mixed"], 3),
        "aggregate_times_bare_mixed_of_five_products": round(
            best["aggregate"] / best["bare_aggregate_mixed"], 3
        ),
    }
    print(json.dumps(report, indent=2))


def large() -> None:
    rng = np.random.default_rng(SEED)
    x = rng.normal(size=(LARGE, LARGE_WIDTH))
    y = rng.normal(size=(LARGE, LARGE_WIDTH)) + 0.01
    before = peak_mb(os.getpid())
    report: dict[str, object] = {"n": [LARGE, LARGE], "width": LARGE_WIDTH, "features": FEATURES}
    for n_permutations, bandwidths in ((0, "single"), (1_000, "single"), (1_000, "aggregate")):
        start = time.process_time()
        found = measure(
            "mmd",
            x,
            y,
            features=FEATURES,
            n_permutations=n_permutations,
            bandwidths=bandwidths,
            seed=0,
        )
        report[f"seconds_{n_permutations}_permutations_{bandwidths}"] = round(
            time.process_time() - start, 2
        )
    report |= {
        "value": found.value,
        "se": found.se,
        "frequency_se": found.parameters["frequency_se"],
        "p_value": found.p_value,
        "before_mb": before,
        "peak_mb": peak_mb(os.getpid()),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    large() if "--large" in sys.argv else main()
