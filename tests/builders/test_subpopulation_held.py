"""What a subpopulation shift holds fixed, over many seeds: P(x | y, a), clusters and all.

The test of it compares x between two splits within the cells that both have, with a variance that
is summed over clusters. It is first tried on a shift that it must find.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from shiftbench.builders.subpopulation.builder import Subpopulations
from shiftbench.plan import Plan
from shiftbench.schema import Metadata

from .shared.made_sources import Made, metadata

SEEDS = 150
LEVEL = 0.05
MOST = int(stats.binom.ppf(0.999, SEEDS, LEVEL))
"""A valid test rejects more often in one of a thousand runs of all the seeds."""


def data(seed: int, n: int = 1500) -> Metadata:
    """x depends on class and place, and members of a cluster (in any cell) are alike."""
    rng = np.random.default_rng([seed, 7])
    sizes = rng.integers(1, 8, n)
    cluster = np.repeat(np.arange(n), sizes)[:n]
    lean = rng.normal(size=n)[cluster]
    cat = rng.random(n) < stats.norm.cdf(lean)  # clusters lean to a class, and so to a stratum
    outside = rng.random(n) < 0.5
    x = 1.0 * cat + 0.8 * outside + rng.normal(size=n)[cluster] + 0.5 * rng.normal(size=n)
    return metadata(
        n,
        {
            "label": np.where(cat, "cat", "dog").tolist(),
            "place": np.where(outside, "outdoor", "indoor").tolist(),
            "x": x,
        },
        clusters=[f"c{c:05d}" for c in cluster],
        images=True,
    )


def side(plan: Plan, config: int, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, group and cluster of a split."""
    rows = next(s for s in plan.configs[config].splits if s.name == split).rows
    taken = plan.metadata.examples.take(rows["example"])
    group = rows["group"].to_numpy(zero_copy_only=False).astype(str)
    return (
        taken["x"].to_numpy(),
        group,
        taken["cluster_id"].to_numpy(zero_copy_only=False).astype(str),
    )


def p_value(plan: Plan, config: int, splits: tuple[str, str], *, within: bool = True) -> float:
    """That x has the same mean in two splits within each group; False: whatever the group."""
    x, group, cluster = (
        np.concatenate(parts)
        for parts in zip(*(side(plan, config, s) for s in splits), strict=True)
    )
    second = np.repeat([0.0, 1.0], [len(side(plan, config, s)[0]) for s in splits])
    codes = np.unique(group if within else np.zeros(len(x)), return_inverse=True)[1]

    def centred(values: np.ndarray) -> np.ndarray:
        return values - (np.bincount(codes, values) / np.bincount(codes))[codes]

    d = centred(second)  # zero in groups that one of the splits has not
    slope = (d @ x) / (d @ d)
    residual = centred(x) - slope * d
    scores = np.bincount(np.unique(cluster, return_inverse=True)[1], d * residual)
    z = slope * (d @ d) / np.sqrt((scores**2).sum() * len(scores) / (len(scores) - 1))
    return float(2 * stats.t.sf(abs(z), len(scores) - 1))


def plan_of(found: Metadata, seed: int, **options: Any) -> Plan:
    return Subpopulations(Made(found), **options).plan(found, seed)


DESIGNS: dict[str, dict[str, Any]] = {
    "full": {"attribute": "place", "levels": (1.0,), "reversed_test": True},
    "strong": {"attribute": "place", "levels": (0.8,)},
    "none": {"attribute": "place", "levels": (0.0,)},
    "rare": {
        "attribute": "place",
        "design": "rare",
        "rare": "cat(outdoor)",
        "rare_shares": (0.02,),
    },
    "made": {"make": "colour", "levels": (0.8,)},
}


@pytest.mark.parametrize("design", DESIGNS)
def test_within_groups_nothing_differs_between_the_splits(design: str) -> None:
    options = DESIGNS[design]
    tests = ["id_test", "ood_test_balanced" if options.get("reversed_test") else "ood_test"]
    tests += ["ood_test_reversed"] if options.get("reversed_test") and design != "full" else []
    p: dict[str, list[float]] = {t: [] for t in tests}
    for seed in range(SEEDS):
        plan = plan_of(data(seed), seed, **options)
        for test in tests:
            p[test].append(p_value(plan, 0, ("train", test)))
    for test, found in p.items():
        rejected = int((np.array(found) < LEVEL).sum())
        assert rejected <= MOST, f"{test}: {rejected} of {SEEDS}"
        assert stats.kstest(found, "uniform").pvalue > 1e-3, test


def test_the_test_finds_the_shift_of_the_whole_and_a_leak() -> None:
    """Without groups the same test finds the shift: what is held fixed is not that it is weak."""
    # Cats outdoors are rare in training, and dogs outdoors are not: x differs as the cells do.
    options = {
        "attribute": "place",
        "design": "rare",
        "rare": "cat(outdoor)",
        "rare_shares": (0.0,),
    }
    found = [
        p_value(plan_of(data(s), s, **options), 0, ("train", "ood_test"), within=False)
        for s in range(20)
    ]
    assert np.mean(np.array(found) < LEVEL) > 0.5
    # And within groups it finds a training set that took the larger x first.
    leaking = []
    for seed in range(20):
        own = data(seed)
        order = pa.array(np.argsort(own.examples["x"].to_numpy()))
        first = own.examples["cluster_id"].combine_chunks()
        names = [f"c{i // 4:05d}" for i in range(len(order))]
        assert len(first) == len(names)
        plan = plan_of(own, seed, attribute="place", levels=(0.8,))
        rows = next(s for s in plan.configs[0].splits if s.name == "train").rows
        x = own.examples["x"].to_numpy()
        half = rows.filter(pa.array(x[rows["example"].to_numpy()] > np.median(x)))
        split = next(s for s in plan.configs[0].splits if s.name == "train")
        object.__setattr__(split, "rows", half)
        leaking.append(p_value(plan, 0, ("train", "ood_test")))
    assert np.mean(np.array(leaking) < LEVEL) > 0.9


def test_the_intended_part_grows_with_the_level_and_is_nothing_at_0() -> None:
    """The class is more and more foretold by the attribute in training, never in the test."""
    levels = (0.0, 0.25, 0.5, 0.75, 1.0)
    ties = []
    for seed in range(10):
        plan = plan_of(data(seed), seed, attribute="place", levels=levels)
        for i in range(len(levels)):
            _, group, _ = side(plan, i, "ood_test")
            assert len({int((group == g).sum()) for g in np.unique(group)}) == 1
        ties.append([c.notes["cramers_v"]["train"] for c in plan.configs])
    assert np.abs(np.array(ties) - levels).max() < 0.02
    assert (np.array(ties)[:, 0] < 1e-6).all()
