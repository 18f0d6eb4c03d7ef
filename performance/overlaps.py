"""All overlaps of a MetaShift-sized index: against set loops, against the bare sparse product.

    python performance/overlaps.py            prints JSON

The index is made here: 12,868 subsets over 100,000 images with 743,000 memberships. Subset sizes
are 25 each plus the rest by Zipf's law over the subsets' ranks (exponent 1.0); which images a
subset holds is drawn by Zipf's law over the images' ranks (exponent 0.5), without repetition.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from shiftbench.distances.membership import Subsets, measure, overlap_coefficient

N_SUBSETS, N_IMAGES, N_MEMBERSHIPS = 12_868, 100_000, 743_000
N_CLASSES = 410
SIZE_EXPONENT, IMAGE_EXPONENT, SMALLEST = 1.0, 0.5, 25
SEED = 20_230
LOOP_ROWS = 40


def index() -> Subsets:
    rng = np.random.default_rng(SEED)
    share = np.arange(1, N_SUBSETS + 1, dtype=np.float64) ** -SIZE_EXPONENT
    spare = N_MEMBERSHIPS - SMALLEST * N_SUBSETS
    extra = np.floor(spare * share / share.sum()).astype(np.int64)
    extra[: spare - int(extra.sum())] += 1
    sizes = rng.permutation(SMALLEST + extra)
    often = np.cumsum(rng.permutation(np.arange(1, N_IMAGES + 1) ** -IMAGE_EXPONENT))
    often /= often[-1]
    members = []
    for size in sizes.tolist():
        held = np.zeros(0, dtype=np.int64)
        while len(held) < size:
            drawn = np.searchsorted(often, rng.random(2 * (size - len(held))))
            held = np.concatenate([held, drawn[~np.isin(drawn, held)]])
            held = held[np.sort(np.unique(held, return_index=True)[1])]
        members.append(np.sort(held[:size]))
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    classes = tuple(f"class {c:03}" for c in rng.integers(0, N_CLASSES, N_SUBSETS))
    names = tuple(f"{c}({i:05})" for i, c in enumerate(classes))
    rows = np.concatenate(members).astype(np.int32)
    return Subsets(names, classes, indptr, rows, N_IMAGES)


def seconds(call: Callable[[], object], repeat: int) -> float:
    """Processor time (one thread; other programs do not count), the shortest of some runs."""
    taken = []
    for _ in range(repeat):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return min(taken)


def loops(sets: list[set[int]], rows: list[int]) -> list[list[float]]:
    """What a user would write: some rows of the upper triangle of all pairs."""
    found = []
    for i in rows:
        a = sets[i]
        found.append([len(a & b) / min(len(a), len(b)) for b in sets[i + 1 :]])
    return found


def peak(what: str) -> dict[str, float]:
    """Peak memory of a process that loads the index and does one thing with it, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index.npz"
        s = index()
        np.savez(path, indptr=s.indptr, indices=s.indices, names=s.names, classes=s.classes)
        command = [sys.executable, __file__, "--peak", what, str(path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def peak_inside(what: str, path: str) -> None:
    with np.load(path) as file:
        names, classes = (tuple(file[k].tolist()) for k in ("names", "classes"))
        subsets = Subsets(names, classes, file["indptr"], file["indices"], N_IMAGES)
    before = high_water()
    start = time.perf_counter()
    found = overlap_coefficient(subsets) if what == "overlaps" else measure(subsets)
    taken = time.perf_counter() - start
    del found
    print(json.dumps({"loaded_mb": before, "peak_mb": high_water(), "seconds": taken}))


def high_water() -> float:
    """Peak resident memory of this process in MB; unlike ru_maxrss, without its parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1000
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main() -> None:
    subsets = index()
    ones = np.ones(len(subsets.indices), dtype=np.int32)
    shape = (N_SUBSETS, N_IMAGES)
    incidence = csr_array((ones, subsets.indices, subsets.indptr), shape=shape)
    overlap_coefficient(subsets)
    ours = seconds(lambda: overlap_coefficient(subsets), 5)
    bare = seconds(lambda: incidence @ incidence.T, 5)

    rows = np.linspace(0, N_SUBSETS - 2, LOOP_ROWS).astype(int).tolist()
    sets = [
        set(subsets.indices[a:b].tolist())
        for a, b in zip(subsets.indptr[:-1], subsets.indptr[1:], strict=True)
    ]
    looped = loops(sets, rows)
    part = seconds(lambda: loops(sets, rows), 3)
    pairs = sum(N_SUBSETS - 1 - i for i in rows)
    whole = part * (N_SUBSETS * (N_SUBSETS - 1) // 2) / pairs
    overlaps = overlap_coefficient(subsets)
    for i, expected in zip(rows, looped, strict=True):
        row = overlaps[[i]].toarray()[0, i + 1 :]
        if not np.array_equal(row, expected):
            raise AssertionError(f"row {i} differs from the set loop")
    report = {
        "subsets": N_SUBSETS,
        "images": N_IMAGES,
        "memberships": len(subsets.indices),
        "size_exponent": SIZE_EXPONENT,
        "smallest_subset": SMALLEST,
        "largest_subset": int(subsets.sizes.max()),
        "image_exponent": IMAGE_EXPONENT,
        "seed": SEED,
        "stored_overlaps": int(overlaps.nnz),
        "overlap_coefficient_seconds": ours,
        "bare_product_seconds": bare,
        "times_bare_product": ours / bare,
        "set_loops_seconds_extrapolated": whole,
        "set_loops_timed_rows": LOOP_ROWS,
        "set_loops_timed_pairs": pairs,
        "times_faster_than_set_loops": whole / ours,
        "memory_overlaps": peak("overlaps"),
        "memory_measure_within_classes": peak("measure"),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        peak_inside(*sys.argv[2:])
    else:
        main()
