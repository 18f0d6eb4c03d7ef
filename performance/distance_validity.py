"""False alarms of every test and coverage of every interval: the second part of docs/distances.md.

    python performance/distance_validity.py                 every case, as JSON lines
    python performance/distance_validity.py --samples 100   a quick look

False alarms: the share of samples with p ≤ 0.05 where nothing shifted, for 50 and 200 examples a
side, 50 against 200, more features than examples, and 8 clusters of 40 examples a side whose
members share half of their variance. `limit` is the upper end of the band in which all cells lie
together with probability 99.9 % if each is at 5 %.

Coverage: the share of intervals that hold the true value, where there is a formula for it: normal
samples moved by 0, 0.3, 1 and 3 standard deviations, classes whose odds move as much; one-sided
bounds count by their side.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _shifts import Sample
from joblib import Parallel, delayed
from scipy.stats import binom, norm

from shiftbench.distances.measured import distance_named, measure
from shiftbench.registry import DISTANCES
from shiftbench.statistics import stream

CASES = {
    "n = 50": (50, 50, 5, 1),
    "n = 200": (200, 200, 5, 1),
    "50 against 200": (50, 200, 5, 1),
    "100 features, n = 50": (50, 50, 100, 1),
    "8 clusters of 40": (320, 320, 5, 40),
}
"""Source, target, features, examples a cluster."""
PERMUTATIONS = 199
SKIP = {("wasserstein", "8 clusters of 40"), ("gcm", "100 features, n = 50")}
"""Too large for an exact transport; fewer examples than features, which `gcm` refuses."""


def draw(rng: np.random.Generator, n: int, d: int, size: int) -> tuple[Sample, np.ndarray]:
    of = np.arange(n) // size
    share = 0.5 if size > 1 else 0.0
    x = np.sqrt(share) * rng.normal(size=(of[-1] + 1, d))[of]
    x = x + np.sqrt(1 - share) * rng.normal(size=(n, d))
    odds = 1.5 * x[:, 0] + (np.sqrt(share) * 2 * rng.normal(size=of[-1] + 1)[of] if size > 1 else 0)
    y = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    return Sample(x, y, ((x[:, 0] > 0) != y).astype(np.float64)), of


def alarms(name: str, case: str, samples: int, seed: int) -> dict[str, object]:
    m, n, d, size = CASES[case]
    hits = told = 0
    for i in range(samples):
        rng = stream(seed, case, str(i))
        (a, of_a), (b, of_b) = draw(rng, m, d, size), draw(rng, n, d, size)
        clusters = ([f"a{k}" for k in of_a], [f"b{k}" for k in of_b]) if size > 1 else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shift = _measure(name, a, b, clusters, i)
        if shift.p_value is not None:
            told += 1
            hits += int(shift.p_value <= 0.05)
    return {"distance": name, "case": case, "samples": samples, "told": told,
            "alarms": hits / told if told else None, "hits": hits}  # fmt: skip


def _measure(name, a, b, clusters, seed):  # noqa: ANN001, ANN202
    takes = distance_named(name).takes
    more = {"clusters": clusters, "n_permutations": PERMUTATIONS, "seed": seed}
    if takes == "labels":
        return measure(name, a.labels, b.labels, **more)
    if takes == "features and labels":
        more["labels"] = (a.labels, b.labels)
    if takes == "features and losses":
        more["losses"] = (a.losses, b.losses)
    return measure(name, a.features, b.features, **more)


SHIFTS = (0.0, 0.3, 1.0, 3.0)
COVERED = ("mmd", "energy", "sliced_wasserstein", "wasserstein", "frechet", "ks",
           "label_tv", "label_js")  # fmt: skip
COVERAGE_CASES = {k: CASES[k] for k in ("n = 50", "n = 200", "50 against 200")} | {
    "20 clusters of 8": (160, 160, 5, 8)
}


def truth(name: str, shift: float) -> float:
    """Of one standard normal feature moved by `shift`, or of two classes whose log odds are."""
    q = 1 / (1 + np.exp(-shift))
    p = 0.5
    if name == "mmd":  # bandwidth 1
        return float(2 / np.sqrt(3) * (1 - np.exp(-(shift**2) / 6)))
    if name == "energy":
        s = shift
        apart = 2 * np.exp(-(s**2) / 4) / np.sqrt(np.pi) + s * (2 * norm.cdf(s / np.sqrt(2)) - 1)
        return float(2 * apart - 4 / np.sqrt(np.pi))
    if name in ("sliced_wasserstein", "wasserstein"):
        return shift
    if name == "frechet":
        return shift**2
    if name == "ks":
        return float(2 * norm.cdf(shift / 2) - 1)
    if name == "label_tv":
        return float(abs(q - p))
    m = (p + q) / 2
    entropy = [-(x * np.log2(x) + (1 - x) * np.log2(1 - x)) for x in (m, p, q)]
    return float(entropy[0] - (entropy[1] + entropy[2]) / 2)


def covered(name: str, case: str, shift: float, samples: int, seed: int) -> dict[str, object]:
    m, n, _, size = COVERAGE_CASES[case]
    held = told = 0
    true = truth(name, shift)
    for i in range(samples):
        rng = stream(seed, f"coverage {case} {shift}", str(i))
        a, of_a = latent(rng, m, size)
        b, of_b = latent(rng, n, size)
        clusters = ([f"a{k}" for k in of_a], [f"b{k}" for k in of_b])
        if distance_named(name).takes == "labels":
            pair = (a > 0, b > norm.ppf(1 / (1 + np.exp(shift))))
        else:
            pair = (a[:, None], b[:, None] + shift)
        more = {"bandwidth": 1.0} if name == "mmd" else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = measure(name, *pair, clusters=clusters, n_permutations=49, seed=i, **more)
        if not (np.isnan(found.low) and np.isnan(found.high)):
            told += 1
            held += int(not (found.low > true or found.high < true))
    return {"distance": name, "case": case, "shift": shift, "samples": samples, "told": told,
            "covered": held / told if told else None}  # fmt: skip


def latent(rng: np.random.Generator, n: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    of = np.arange(n) // size
    share = 0.5 if size > 1 else 0.0
    x = np.sqrt(share) * rng.normal(size=of[-1] + 1)[of]
    return x + np.sqrt(1 - share) * rng.normal(size=n), of


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--distances", nargs="+", default=sorted(DISTANCES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n-jobs", type=int, default=2)
    args = parser.parse_args()
    tasks = [(n, c) for c in CASES for n in args.distances if (n, c) not in SKIP]
    run = Parallel(n_jobs=args.n_jobs, return_as="generator_unordered", batch_size=1)
    rows = list(run(delayed(alarms)(n, c, args.samples, args.seed) for n, c in tasks))
    told = [r for r in rows if r["told"]]
    limit = binom.isf(0.001 / max(len(told), 1), args.samples, 0.05) / args.samples
    for row in sorted(rows, key=lambda r: (r["distance"], r["case"])):
        above = row["alarms"] is not None and row["alarms"] > limit
        print(json.dumps({**row, "limit": float(limit), "above": bool(above)}), flush=True)
    cells = [(n, c, s) for n in args.distances if n in COVERED for c in COVERAGE_CASES
             for s in SHIFTS]  # fmt: skip
    for row in run(delayed(covered)(n, c, s, args.samples, args.seed) for n, c, s in cells):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
