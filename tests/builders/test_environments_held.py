"""What environments hold: parts that are exchangeable, class shares where asked for, by cluster."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import stats

from shiftbench.builders.environments.builder import Environments
from shiftbench.plan import Plan
from tests.builders.sites import Sites

SEEDS = 200
LEVEL = 0.05
MOST = int(stats.binom.ppf(0.9999, SEEDS, LEVEL))
"""Rejections of a true null that 200 seeds exceed once in 10,000 times."""


@cache
def p_values(first: str, second: str, shift: float, *, balanced: bool = False) -> np.ndarray:
    """Of a t-test of the clusters' means of x between two splits, seed by seed."""
    found = []
    for seed in range(SEEDS):
        source = Sites(120, per_cluster=3, shift=shift, prior_shift=0.5, seed=seed)
        builder = Environments(
            source,
            environment="site",
            held_out=("a",),
            validation=0.0,
            test=0.3,
            balance_labels=balanced,
        )
        plan = builder.plan(source.scan(), seed)
        means = [cluster_means(plan, name) for name in (first, second)]
        found.append(stats.ttest_ind(*means, equal_var=False).pvalue)
    return np.array(found)


def cluster_means(plan: Plan, name: str) -> np.ndarray:
    split = next(s for s in plan.configs[0].splits if s.name == name)
    examples = plan.metadata.examples
    x = examples["x"].to_numpy()[split.index]
    codes = examples["cluster_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    _, cluster = np.unique(codes[split.index], return_inverse=True)
    return np.bincount(cluster, x) / np.bincount(cluster)


@pytest.mark.parametrize("shift", [0.0, 3.0])
@pytest.mark.parametrize("balanced", [False, True])
def test_train_and_id_test_are_exchangeable(shift: float, balanced: bool) -> None:
    rejected = (p_values("train", "id_test", shift, balanced=balanced) < LEVEL).sum()
    assert rejected <= MOST


def test_without_a_shift_the_environment_held_out_is_like_the_others() -> None:
    assert (p_values("train", "ood_test", 0.0) < LEVEL).sum() <= MOST


def test_the_difference_grows_with_the_shift() -> None:
    rejected = [(p_values("train", "ood_test", s) < LEVEL).mean() for s in (0.0, 0.1, 0.3, 1.0)]
    assert rejected == sorted(rejected)
    assert rejected[-1] > 0.99


def test_label_shares_differ_without_balancing_and_not_with_it() -> None:
    source = Sites(300, prior_shift=2.0)
    for balanced in (False, True):
        builder = Environments(source, environment="site", held_out=("a",), balance_labels=balanced)
        plan = builder.plan(source.scan(), 0)
        counts = [
            np.bincount(s.rows["label"].to_numpy(), minlength=3)
            for s in plan.configs[0].splits
            if s.name in ("train", "ood_test")
        ]
        p_value = stats.chi2_contingency(np.array(counts)).pvalue
        assert (p_value > 0.999) == balanced
        assert (p_value < 1e-6) == (not balanced)
