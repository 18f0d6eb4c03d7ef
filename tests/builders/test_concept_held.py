"""What a made concept shift holds fixed is held, at any strength; what it changes grows with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from shiftbench.builders.concept.builder import ConceptShift
from shiftbench.distances.measured import measure
from shiftbench.plan import Plan
from tests.builders.concept_tables import Given, clusters, labels, people, split_of, values

RUNS = 120
MOST = int(binom.ppf(0.999, RUNS, 0.05))
"""A valid test at 5 % rejects more often in 1 of 1,000 such experiments."""

FULL: dict[str, dict[str, Any]] = {
    "flip": {"disagreement": (0.0, 1.0)},
    "region": {"rule": "region", "region": ("x2>0.3",), "disagreement": (0.0, 0.2)},
    "threshold": {
        "rule": "threshold",
        "threshold_column": "x2",
        "threshold_feature": True,
        "disagreement": (0.0, 0.3),
    },
}


def made(seed: int, per_cluster: int = 1, n: int = 240, **options: Any) -> Plan:
    builder = ConceptShift(Given(people(n, seed=seed, per_cluster=per_cluster)), **options)
    plan: Plan = builder.plan(builder.source.scan(), seed)
    return plan


def p_value(distance: str, plan: Plan, name: str, **options: Any) -> float:
    sides = [split_of(plan, n) for n in ("id_test", name)]
    x = [values(plan, s, "x1", "x2") for s in sides]
    y = [labels(s) for s in sides]
    if distance == "label_tv":
        x, options = y, {}
    elif distance == "gcm":
        options["labels"] = tuple(y)
    units = (clusters(plan, sides[0]), clusters(plan, sides[1]))
    found = measure(distance, *x, clusters=units, n_permutations=99, **options)
    assert found.p_value is not None
    return found.p_value


def rejections(distance: str, strength: str, options: dict[str, Any], **more: Any) -> int:
    return sum(
        p_value(distance, made(seed, **options, **more), f"ood_test_disagreement_{strength}")
        <= 0.05
        for seed in range(RUNS)
    )


@pytest.mark.parametrize("per_cluster", [1, 4])
@pytest.mark.parametrize("rule", FULL)
def test_the_features_are_distributed_alike_at_full_strength(rule: str, per_cluster: int) -> None:
    strength = f"{FULL[rule]['disagreement'][-1]:g}".replace(".", "_")
    assert rejections("mmd", strength, FULL[rule], per_cluster=per_cluster) <= MOST


@pytest.mark.parametrize("per_cluster", [1, 4])
def test_a_classifier_cannot_tell_the_features_apart(per_cluster: int) -> None:
    assert rejections("c2st", "1", FULL["flip"], per_cluster=per_cluster) <= MOST


def test_clusters_taken_for_examples_would_have_been_told_apart() -> None:
    """The check above can fail: ignoring clusters, it does."""
    wrong = 0
    for seed in range(RUNS):
        plan = made(seed, per_cluster=8, **FULL["flip"])
        sides = [values(plan, split_of(plan, n), "x1", "x2") for n in
                 ("id_test", "ood_test_disagreement_1")]  # fmt: skip
        p = measure("mmd", *sides, n_permutations=99).p_value
        assert p is not None
        wrong += p <= 0.05
    assert wrong > MOST


@pytest.mark.parametrize("per_cluster", [1, 4])
@pytest.mark.parametrize("distance", ["label_tv", "gcm"])
def test_at_strength_zero_nothing_is_there(distance: str, per_cluster: int) -> None:
    assert rejections(distance, "0", FULL["flip"], per_cluster=per_cluster, n=400) <= MOST


@pytest.mark.parametrize(
    "options",
    [
        {"disagreement": (0.0, 0.1, 0.2, 0.4)},
        {"rule": "region", "region": ("x1>0",), "disagreement": (0.0, 0.1, 0.2, 0.4)},
        {"target": "same", "disagreement": (0.0, 0.1, 0.2, 0.4)},
    ],
    ids=["flip", "region", "same examples"],
)
def test_what_a_model_loses_grows_with_the_strength(options: dict[str, Any]) -> None:
    """On one sample, a fixed model: the error under the new labels less that under the old."""
    plan = made(0, n=8000, **options)
    train = split_of(plan, "train")
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(values(plan, train, "x1", "x2"), labels(train))
    errors = []
    for strength in ("0", "0_1", "0_2", "0_4"):
        split = split_of(plan, f"ood_test_disagreement_{strength}")
        errors.append((model.predict(values(plan, split, "x1", "x2")) != labels(split)).mean())
    assert (np.diff(errors) > 0.02).all()


def test_the_change_of_labels_at_equal_features_grows_with_the_strength() -> None:
    plan = made(
        0,
        n=6000,
        noise_from=("k0",),
        noise_to=("k1",),
        disagreement=(0.0, 0.1, 0.2, 0.4),
    )
    sizes = []
    for strength in ("0", "0_1", "0_2", "0_4"):
        sides = [split_of(plan, n) for n in ("id_test", f"ood_test_disagreement_{strength}")]
        found = measure(
            "gcm",
            *(values(plan, s, "x1", "x2") for s in sides),
            labels=(labels(sides[0]), labels(sides[1])),
            n_permutations=99,
        )
        sizes.append(found.value)
        assert (found.p_value is not None and found.p_value <= 0.05) == (strength != "0")
    # θ is the mean of P_target(k1 | x) − P_source(k1 | x), which is the disagreement itself.
    assert np.allclose(sizes, [0.0, 0.1, 0.2, 0.4], atol=0.05)
