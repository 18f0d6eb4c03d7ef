"""Which distance sees which shift, and from how many examples on: the tables of docs/distances.md.

    python performance/known_shifts.py                     100, 66 and 25 samples
    python performance/known_shifts.py --samples 40        a quick look
    python performance/known_shifts.py --markdown FILE     also the tables of the documentation

A shift is seen where p ≤ 0.05, or, for a distance without a test, where its interval leaves out
the value of no shift. The share of samples in which it is seen is the power; under `none` it is
the rate of false alarms.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _shifts import SHIFTS, Sample
from joblib import Parallel, delayed

from shiftbench.distances import measure
from shiftbench.distances.measured import distance_named
from shiftbench.distances.shift import Shift
from shiftbench.registry import DISTANCES
from shiftbench.statistics import stream

SIZES = (50, 200, 1000)
PERMUTATIONS = 199
STEPS = (0.0, 0.25, 0.5, 1.0)
"""Of each shift's strength, for whether a distance rises with it."""
DRAWS = 12
"""Samples of each strength."""
SLOW = {"wasserstein": 200, "frechet": 1000}
"""The largest sizes that are tried."""


def found(name: str, source: Sample, target: Sample, seed: int, n_permutations: int) -> Shift:
    takes = distance_named(name).takes
    if takes == "labels":
        return measure(name, source.labels, target.labels, n_permutations=n_permutations, seed=seed)
    more = {}
    if takes == "features and labels":
        more["labels"] = (source.labels, target.labels)
    if takes == "features and losses":
        more["losses"] = (source.losses, target.losses)
    return measure(
        name, source.features, target.features, n_permutations=n_permutations, seed=seed, **more
    )


def seen(name: str, shift: Shift) -> bool:
    if shift.p_value is not None:
        return shift.p_value <= 0.05
    same = distance_named(name).same
    return shift.low > same or shift.high < same


def power(name: str, kind: str, n: int, samples: int, seed: int) -> dict[str, object]:
    draw, strength = SHIFTS[kind]
    source_of = SHIFTS["none"][0]
    hits = told = 0
    for i in range(samples):
        rng = stream(seed, f"{kind} {n}", str(i))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shift = found(name, source_of(rng, n, 0.0), draw(rng, n, strength), i, PERMUTATIONS)
        told += not math.isnan(shift.value)
        hits += seen(name, shift)
    return {"distance": name, "shift": kind, "n": n, "samples": samples, "told": told,
            "seen": hits / samples}  # fmt: skip


def samples_of(n: int, most: int) -> int:
    """Fewer samples where each takes longer."""
    return max(25, most if n <= 50 else most * 2 // 3 if n <= 200 else most // 8)


def rises(name: str, kind: str, seed: int) -> dict[str, object]:
    """The mean value at rising strengths of a shift, from samples of 500."""
    draw, strength = SHIFTS[kind]
    source_of = SHIFTS["none"][0]
    n = 200 if name in SLOW else 500
    means, errors = [], []
    for step in STEPS:
        values = []
        for i in range(DRAWS):
            rng = stream(seed, f"rises {kind}", str(i))
            a, b = source_of(rng, n, 0.0), draw(rng, n, step * strength)
            values.append(found(name, a, b, i, 0).value)
        means.append(float(np.nanmean(values)))
        errors.append(float(np.nanstd(values, ddof=1) / np.sqrt(DRAWS)))
    return {"distance": name, "shift": kind, "strengths": [s * strength for s in STEPS],
            "mean_values": means, "standard_errors": errors}  # fmt: skip


def markdown(rows: list[dict[str, object]], rising: list[dict[str, object]]) -> str:
    names = sorted(DISTANCES)
    at = {(r["distance"], r["shift"], r["n"]): r for r in rows}
    lines = ["| shift | " + " | ".join(f"`{n}`" for n in names) + " |",
             "|---|" + "---|" * len(names)]  # fmt: skip
    for kind in SHIFTS:
        cells = []
        for name in names:
            shares = [at.get((name, kind, n)) for n in SIZES]
            cells.append(" · ".join("–" if r is None else f"{100 * r['seen']:.0f}" for r in shares))
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    lines += ["", "| distance | kind | takes | symmetric | no shift | true values | rises with |",
              "|---|---|---|---|---|---|---|"]  # fmt: skip
    for name in names:
        d = distance_named(name)
        low, high = d.bounds
        bounds = f"{low:g} … {high:g}".replace("-inf", "−∞").replace("inf", "∞")
        monotone = [str(r["shift"]) for r in rising if r["distance"] == name and _monotone(r)]
        lines.append(
            f"| `{name}` | {d.kind} | {d.takes} | {'yes' if d.symmetric else 'no'} | {d.same:g} | "
            f"{bounds} | {'; '.join(monotone) or '–'} |"
        )
    return "\n".join(lines) + "\n"


def _monotone(row: dict[str, object]) -> bool:
    """No step down, and in all a step up, beyond what chance makes of the means."""
    means, errors = (np.array(row[k]) for k in ("mean_values", "standard_errors"))
    steps = np.diff(means)
    of_steps = np.sqrt(errors[1:] ** 2 + errors[:-1] ** 2)
    rise = means[-1] - means[0]
    return bool((steps > -2 * of_steps).all() and rise > 4 * np.hypot(errors[0], errors[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--distances", nargs="+", default=sorted(DISTANCES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args()
    tasks = [
        (name, kind, n)
        for n in sorted(args.sizes, reverse=True)
        for name in args.distances
        for kind in SHIFTS
        if n <= SLOW.get(name, n)
    ]
    run = Parallel(n_jobs=args.n_jobs, return_as="generator_unordered", batch_size=1)
    rows = []
    for row in run(
        delayed(power)(name, kind, n, samples_of(n, args.samples), args.seed)
        for name, kind, n in tasks
    ):
        rows.append(row)
        print(json.dumps(row, ensure_ascii=False), flush=True)
    rising = list(
        Parallel(n_jobs=args.n_jobs)(
            delayed(rises)(name, kind, args.seed)
            for name in args.distances
            for kind in SHIFTS
            if kind != "none"
        )
    )
    for row in rising:
        print(json.dumps(row, ensure_ascii=False))
    if args.markdown:
        args.markdown.write_text(markdown(rows, rising), encoding="utf-8")
        print(f"wrote {args.markdown}", file=sys.stderr)


if __name__ == "__main__":
    main()
