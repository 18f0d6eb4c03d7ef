"""How often the intervals of the evaluation hold the truth: the table of docs/evaluation.md.

    python performance/coverage.py                    every case, 4,000 samples each, as JSON lines
    python performance/coverage.py --samples 500      a quick look
    python performance/coverage.py --markdown FILE    also the table of the documentation

Populations whose true values are known (performance/_coverage.py): ID and OOD scores that are
normal, 30, 50 or 200 of each; groups that are equally good; with every example on its own, or in
clusters of 4 whose latent scores correlate by ½. `null` has AUROC ½, `middle` 0.80, `near 1` 0.96.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from _coverage import SIZES, Coverage, cases, coverage, promised, truth_of
from joblib import Parallel, delayed


def run(samples: int, seed: int, n_jobs: int) -> list[Coverage]:
    every = list(cases())
    tasks = [(c, n, k) for c in range(len(every)) for k in (False, True) for n in SIZES]
    truths = {(c, k): truth_of(every[c], k) for c in range(len(every)) for k in (False, True)}

    def one(which: int, n: int, clustered: bool) -> list[Coverage]:
        case = replace(list(cases())[which], truth=truths[which, clustered])
        return coverage(case, n, clustered, samples, seed)

    done = Parallel(n_jobs=n_jobs)(delayed(one)(*task) for task in tasks)
    return [row for rows in done for row in rows]


def markdown(rows: Iterable[Coverage]) -> str:
    """A row a metric and place, a column a number of examples, percent."""
    table: dict[tuple[str, str, str], dict[tuple[bool, int], Coverage]] = {}
    for r in list(rows):
        table.setdefault((r.family, r.metric, r.place), {})[r.clustered, r.n] = r
    columns = [(k, n) for k in (False, True) for n in SIZES]
    head = [f"n = {n}{', clusters' if k else ''}" for k, n in columns]
    lines = [
        "| | metric | truth at | " + " | ".join(head) + " |",
        "|" + "---|" * (3 + len(columns)),
    ]
    for (family, metric, place), cells in sorted(table.items()):
        shown = [_cell(cells[c]) for c in columns]
        lines.append(f"| {family} | `{metric}` | {place} | " + " | ".join(shown) + " |")
    low = sorted(
        (f"`{r.metric}` ({r.family}, {r.place}, n = {r.n}{', clusters' if r.clustered else ''}) "
         f"{100 * r.share:.1f}" for cells in table.values() for r in cells.values()
         if r.n >= 50 and r.samples > r.none and r.share < promised(r)),
    )  # fmt: skip
    below = "Below what is promised: " + ("; ".join(low) or "none") + "."
    return "\n".join([*lines, "", below])


def _cell(found: Coverage) -> str:
    if found.none == found.samples:
        return "–"
    text = f"{100 * found.share:.1f}"
    if found.none:
        text += f" ({100 * found.none / found.samples:.0f} without)"
    return f"**{text}**" if found.n >= 50 and found.share < promised(found) else text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args()
    rows = run(given.samples, given.seed, given.jobs)
    for r in rows:
        print(json.dumps({**vars(r), "share": round(r.share, 4), "width": round(r.width, 4)}))
    low = [r for r in rows if r.n >= 50 and r.share < promised(r)]
    print(f"{len(low)} of {len(rows)} below what is promised at n ≥ 50", file=sys.stderr)
    if given.markdown:
        given.markdown.write_text(markdown(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
