"""Other tools' numbers: what the tools themselves gave on inputs that a seed makes.

`data/compatibility.json` was made by running the originals (its `versions` says which) on the
inputs below.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation.compatibility import openood_v1_5, pytorch_ood, wilds
from shiftbench.evaluation.subpopbench_report import subpopbench

GOLDEN = json.loads((Path(__file__).parent / "data" / "compatibility.json").read_text())
STEPS = {0: 0.0, 1: 0.1, 2: 0.5, 3: 2.0, 4: 0.02}


def same(ours: Any, theirs: Any, at: str = "") -> None:
    if isinstance(theirs, dict):
        assert {str(key) for key in ours} == set(theirs), at
        for key, value in ours.items():
            same(value, theirs[str(key)], f"{at}/{key}")
    else:
        assert abs(float(ours) - theirs) <= 1e-12, (at, ours, theirs)


def ood_case(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng, step = np.random.default_rng(seed), STEPS[seed]
    a, b = rng.normal(0, 1, 700), rng.normal(1.2, 1.3, 450)
    if step:
        a, b = np.round(a / step) * step, np.round(b / step) * step
    return a, b, np.random.default_rng(seed).random(700) < 0.7


def wilds_case(seed: int) -> dict[str, np.ndarray]:
    rng, n = np.random.default_rng(seed), 997
    y, background = rng.integers(0, 2, n), rng.integers(0, 2, n)
    guess = np.where(rng.random(n) < 0.8, y, 1 - y)
    users, mentions = rng.integers(0, 60, n), rng.random((n, 3)) < [0.3, 0.1, 0.02]
    y5 = rng.integers(0, 5, n)
    guess5 = np.where(rng.random(n) < 0.6, y5, rng.integers(0, 7, n))
    names = np.array(
        [
            f"y:{('landbird', 'waterbird')[i]}_background:{('land', 'water')[j]}"
            for i, j in zip(y, background, strict=True)
        ]
    )
    return {
        "y": y, "guess": guess, "names": names, "users": users, "mentions": mentions,
        "y5": y5, "guess5": guess5,
    }  # fmt: skip


def subpopulation_case(seed: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng, n = np.random.default_rng(seed), 701
    attributes = rng.integers(0, 3, n)
    if k == 2:
        y = (rng.random(n) < 0.3).astype(int)
        p = 1 / (1 + np.exp(-(2 * y - 1 + rng.normal(size=n))))
        return y, np.round(p, 2), attributes
    y, z = rng.integers(0, k, n), rng.normal(size=(n, k))
    z[np.arange(n), y] += 1
    return y, np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), attributes


@pytest.mark.parametrize("seed", STEPS)
def test_openood(seed: int) -> None:
    same(openood_v1_5(*ood_case(seed)), GOLDEN[f"openood {seed}"])


@pytest.mark.parametrize("seed", STEPS)
def test_pytorch_ood(seed: int) -> None:
    same(pytorch_ood(*ood_case(seed)), GOLDEN[f"pytorch_ood {seed}"])


@pytest.mark.parametrize("seed", [0, 1])
def test_wilds(seed: int) -> None:
    case = wilds_case(seed)
    y, guess = case["y"], case["guess"]
    same(wilds(y, guess, case["names"]), GOLDEN[f"wilds standard {seed}"])
    same(wilds(y, guess, case["names"], "waterbirds"), GOLDEN[f"wilds waterbirds {seed}"])
    users = np.array([f"user:{user}" for user in case["users"]])
    same(wilds(y, guess, users, "amazon"), GOLDEN[f"wilds amazon {seed}"])
    mentions = dict(zip(("male", "female", "LGBTQ"), case["mentions"].T, strict=True))
    same(wilds(y, guess, mentions, "civilcomments"), GOLDEN[f"wilds civilcomments {seed}"])
    same(wilds(case["y5"], case["guess5"], None, "iwildcam"), GOLDEN[f"wilds iwildcam {seed}"])


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_subpopbench(seed: int, k: int) -> None:
    same(subpopbench(*subpopulation_case(seed, k)), GOLDEN[f"subpopbench {k} {seed}"])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(2, 60), st.integers(1, 12))
def test_openood_is_the_formula_in_scikit_learn(seed: int, n: int, m: int, values: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, values, n) * 1.0, rng.integers(0, values + 2, m) * 1.0
    is_ood, conf = np.r_[np.zeros(n, int), np.ones(m, int)], -np.r_[a, b]
    fpr, tpr, _ = metrics.roc_curve(is_ood, -conf)
    inward = metrics.precision_recall_curve(1 - is_ood, conf)
    outward = metrics.precision_recall_curve(is_ood, -conf)
    found = openood_v1_5(a, b)
    assert found["FPR@95"] == fpr[np.argmax(tpr >= 0.95)]
    assert found["AUROC"] == pytest.approx(metrics.auc(fpr, tpr), abs=1e-12)
    assert found["AUPR_IN"] == pytest.approx(metrics.auc(inward[1], inward[0]), abs=1e-12)
    assert found["AUPR_OUT"] == pytest.approx(metrics.auc(outward[1], outward[0]), abs=1e-12)


def test_openood_leaves_out_the_point_that_pytorch_ood_reads() -> None:
    # Ten scores, each with two OOD and one ID example: the ROC is one straight line, and OpenOOD
    # keeps its last point alone.
    a, b = np.arange(10.0), np.repeat(np.arange(10.0), 2)
    assert openood_v1_5(a, b)["FPR@95"] == 1.0
    a, b = np.arange(40.0), np.repeat(np.arange(40.0), 2)
    assert openood_v1_5(a, b)["FPR@95"] == 1.0
    assert pytorch_ood(a, b)["FPR95TPR"] == 0.95


def test_infinite_scores_rank_at_the_ends() -> None:
    a, b = [-math.inf, 0.0, 1.0], [0.5, math.inf]
    finite = openood_v1_5([-9.0, 0.0, 1.0], [0.5, 9.0])
    assert {k: v for k, v in openood_v1_5(a, b).items() if k != "ACC"} == {
        k: v for k, v in finite.items() if k != "ACC"
    }
    assert math.isnan(pytorch_ood(a, b)["AUTC"])
    assert math.isnan(pytorch_ood([1.0, 1.0], [1.0])["AUTC"])


def test_wilds_groups_without_examples() -> None:
    found = wilds([0, 1], [0, 1], ["a", "b"], group_names=["a", "b", "c"])
    assert (found["acc_c"], found["count_c"], found["acc_wg"]) == (0.0, 0.0, 1.0)
    # CivilComments counts the empty cell as 0.
    assert wilds([0, 0], [0, 0], {"male": [True, True]}, "civilcomments")["acc_wg"] == 0.0


def test_an_attribute_with_one_class_has_no_auroc() -> None:
    found = subpopbench([0, 0, 1, 0], [0.1, 0.2, 0.7, 0.3], [0, 0, 1, 1])
    assert math.isnan(found["per_attribute"][0]["AUROC"])
    assert "balanced_acc" not in found["per_attribute"][0]
    assert found["min_group"]["TPR"] == 0.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: openood_v1_5([0.0, math.nan], [1.0]), "ID scores: 1 of 2 scores are NaN"),
        (lambda: pytorch_ood([0.0], []), "OOD scores"),
        (lambda: wilds([0], [0, 1], ["a"]), "one label an example"),
        (lambda: wilds([0], [0], ["a"], "waterbird"), "waterbirds"),  # type: ignore[arg-type]
        (lambda: wilds([0], [0], ["a"], "waterbirds"), "train_counts"),
        (lambda: wilds([0], [0], ["a"], group_names=["b"]), "not in group_names"),
        (lambda: wilds([0, 1], [0, 1], ["a"]), "one group an example"),
        (lambda: wilds([0], [0], {}, "civilcomments"), "no identity"),
        (lambda: wilds([0], [0], {"male": [True, False]}, "civilcomments"), "truth value"),
        (lambda: subpopbench([0, 1], [0.1], [0, 0]), "one of each an example"),
        (lambda: subpopbench([0, 2], [0.1, 0.2], [0, 0]), "every class from 0"),
        (lambda: subpopbench([0, 1], [[0.9, 0.1], [0.1, 0.9]], [0, 0]), "class 1 alone"),
    ],
)
def test_bad_input(call: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        call()
