"""Whether the intervals hold the truth: a short form here, the whole behind the marker `slow`."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from joblib import Parallel, delayed
from scipy.stats import binom

FOLDER = Path(__file__).resolve().parents[2] / "performance"
FLAKE = 0.001
"""Chance that any of the checks of one test fails though every interval holds what it promises."""


def _module() -> ModuleType:
    path = FOLDER / "_coverage.py"
    found = sys.modules.get("shiftbench_coverage")
    if found is None:
        spec = importlib.util.spec_from_file_location("shiftbench_coverage", path)
        assert spec is not None
        assert spec.loader is not None
        found = importlib.util.module_from_spec(spec)
        sys.modules["shiftbench_coverage"] = found
        spec.loader.exec_module(found)
    return found


def _all_of(which: int, n: int, clustered: bool, samples: int) -> list:
    module = _module()
    case = list(module.cases())[which]
    case = replace(case, truth=module.truth_of(case, clustered))
    return module.coverage(case, n, clustered, samples, seed=1)


def _check(rows: list) -> None:
    module = _module()
    told = [r for r in rows if r.samples > r.none]
    assert told
    bad = []
    for r in told:
        wanted = module.expected(r)
        least = binom.ppf(FLAKE / len(told), r.samples - r.none, wanted)
        if r.held < least:
            bad.append(
                f"{r.family} {r.metric} {r.place} n={r.n} clustered={r.clustered}: {r.share}"
            )
    assert not bad, "\n".join(bad)


def test_intervals_hold_in_the_middle_with_and_without_clusters():
    module = _module()
    rows = []
    for which, case in enumerate(module.cases()):
        if case.place == "middle" and case.family != "classes":
            for clustered in (False, True):
                rows += _all_of(which, 50, clustered, 60)
    _check(rows)


@pytest.mark.slow
@pytest.mark.parametrize("clustered", [False, True])
def test_intervals_hold_everywhere(clustered):
    module = _module()
    every = range(len(list(module.cases())))
    done = Parallel(n_jobs=2)(
        delayed(_all_of)(which, n, clustered, 800) for which in every for n in (50, 200)
    )
    _check([row for rows in done for row in rows])
