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

SEEDS = 120
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
    # Of a full tie and its reverse no cell is in both, and there is nothing to compare within.
    "full": {"attribute": "place", "levels": (1.0,), "reversed_test": True},
    "strong": {"attribute": "place", "levels": (0.8,), "reversed_test": True},
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
    tests += ["ood_test_reversed"] if "balanced" in tests[1] and design != "full" else []
    p: dict[str, list[float]] = {t: [] for t in tests}
    for seed in range(SEEDS):
        plan = plan_of(data(seed), seed, **options)
        for test in tests:
            p[test].append(p_value(plan, 0, ("train", test)))
    for test, found in p.items():
        rejected = int((np.array(found) < LEVEL).sum())
        assert rejected <= MOST, f"{test}: {rejected} of {SEEDS}"
        assert stats.kstest(found, "uniform").pvalue > 1e-3, test


def test_the_test_finds_a_shift_of_the_whole_and_a_biased_choice() -> None:
    """What is held fixed is not held because the test is weak."""
    options = {"attribute": "place", "design": "imbalance", "attribute_shares": (0.95, 0.05)}
    whole, biased = [], []
    for seed in range(20):
        found = data(seed, 6000)
        plan = plan_of(found, seed, **options)
        whole.append(p_value(plan, 1, ("train", "ood_test"), within=False))
        # A training set of the larger x alone, as one that was not drawn at random could be.
        train = next(s for s in plan.configs[1].splits if s.name == "train")
        x = found.examples["x"].to_numpy()
        larger = x[train.index] > np.median(x)
        object.__setattr__(train, "rows", train.rows.filter(pa.array(larger)))
        biased.append(p_value(plan, 1, ("train", "ood_test")))
    assert np.mean(np.array(whole) < LEVEL) > 0.9
    assert np.mean(np.array(biased) < LEVEL) > 0.9


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
