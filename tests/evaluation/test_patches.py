"""Patches: one score a cluster, and what more patches bring."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation.patch_curves import ood_by_patches
from shiftbench.evaluation.patches import HOW, aggregate

LITERAL = {
    "mean": lambda v, k: np.mean(v),
    "median": lambda v, k: np.median(v),
    "max": lambda v, k: np.max(v),
    "top_k": lambda v, k: np.mean(np.sort(v)[-k:]),
}


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(-5, 5)), min_size=1, max_size=40),
    st.sampled_from(HOW),
    st.integers(1, 4),
)
def test_aggregates_by_definition(pairs: list[tuple[int, int]], how, k: int) -> None:
    clusters = [f"p{c}" for c, _ in pairs]
    scores = np.array([s for _, s in pairs], float)
    found = aggregate(scores, clusters, how, k)
    names = list(dict.fromkeys(clusters))
    assert [clusters[i] for i in found.first] == names
    for name, score, size in zip(names, found.scores, found.sizes, strict=True):
        own = scores[[c == name for c in clusters]]
        assert score == pytest.approx(LITERAL[how](own, k))
        assert size == len(own)


@pytest.mark.parametrize("how", HOW)
def test_order_does_not_change_a_bit(how) -> None:
    rng = np.random.default_rng(0)
    clusters, scores = (
        rng.integers(0, 30, 2000),
        rng.normal(size=2000) * 10 ** rng.normal(size=2000),
    )
    one = aggregate(scores, clusters, how)
    order = rng.permutation(2000)
    two = aggregate(scores[order], clusters[order], how)
    by_name = dict(zip(clusters[order][two.first], two.scores, strict=True))
    assert [by_name[c] for c in clusters[one.first]] == one.scores.tolist()


def test_infinities() -> None:
    assert aggregate([math.inf, 1.0], ["a", "a"], "mean").scores.tolist() == [math.inf]
    assert aggregate([math.inf, math.inf], ["a", "a"], "median").scores.tolist() == [math.inf]
    assert aggregate([-math.inf, math.inf], ["a", "a"], "max").scores.tolist() == [math.inf]
    with pytest.raises(ConfigurationError, match=r"\+inf and of -inf"):
        aggregate([-math.inf, math.inf], ["a", "a"], "mean")


def made(sizes: list[int], gap: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    level = gap + 0.7 * rng.normal(size=len(sizes))
    return level[clusters] + rng.normal(size=len(clusters)), clusters


def test_all_patches_is_the_auroc_of_the_aggregates() -> None:
    a, ca = made([3, 1, 8, 2] * 10, 0.0, 0)
    b, cb = made([5, 2] * 10, 1.0, 1)
    for how in HOW:
        x, y = aggregate(a, ca, how).scores, aggregate(b, cb, how).scores
        expected = np.mean([(u < v) + (u == v) / 2 for u in x for v in y])
        for count in (None, 8, 100):
            curve = ood_by_patches(a, ca, b, cb + 99, (count,), how=how)
            assert curve.points[0].value == pytest.approx(expected, abs=1e-12)
            assert curve.points[0].n == 60
            assert "se_of_draws" not in curve.points[0].parameters


def test_one_patch_is_the_mean_over_every_choice() -> None:
    a, b = np.array([0.0, 2.0, 1.0, 5.0]), np.array([1.5, 3.0, 0.5])
    ca, cb = ["p", "p", "q", "q"], ["r", "r", "s"]
    # With one patch each, the expected AUROC is a mean over all choices of patches.
    x = [[0.0, 2.0], [1.0, 5.0]]
    y = [[1.5, 3.0], [0.5]]
    expected = np.mean([np.mean([u < v for u in i for v in j]) for i in x for j in y])
    curve = ood_by_patches(a, ca, b, cb, (1,), n_draws=3000)
    point = curve.points[0]
    assert point.value == pytest.approx(expected, abs=5 * point.parameters["se_of_draws"])


def test_clusters_with_too_few() -> None:
    a, ca = made([4] * 10 + [1] * 5, 0.0)
    b, cb = made([4] * 8, 1.0, 1)
    keep = ood_by_patches(a, ca, b, cb + 99, (1, 4, 9)).points
    assert [(p.n_id, p.n_ood) for p in keep] == [(15, 8)] * 3
    assert keep[1].parameters["clusters_with_fewer"] == {"id": 5, "ood": 0}
    drop = ood_by_patches(a, ca, b, cb + 99, (1, 4, 9), too_few="drop").points
    assert [(p.n_id, p.n_ood) for p in drop] == [(15, 8), (10, 8), (0, 0)]
    assert math.isnan(drop[2].value)
    assert drop[2].method == "cannot tell: no ID cluster has 9 patches"


@pytest.mark.filterwarnings("ignore:.* clusters have both")
def test_clusters_on_both_sides_and_units() -> None:
    a, ca = made([4] * 30, 0.0)
    b, cb = made([4] * 30, 1.0, 1)
    apart = ood_by_patches(a, ca, b, cb + 99, (2,)).points[0]
    joined = ood_by_patches(a, ca, b, cb, (2,)).points[0]
    assert apart.n_clusters is None
    assert joined.n_clusters == 30
    assert joined.value == apart.value
    patients = ood_by_patches(a, ca, b, cb + 99, (2,), units=(ca // 3, 50 + cb // 3)).points[0]
    assert patients.n_clusters == 20
    assert patients.n == 60
    with pytest.raises(ConfigurationError, match="lies in two units"):
        ood_by_patches(a, ca, b, cb, (2,), units=(np.arange(120), cb))


def test_seeds() -> None:
    a, ca = made([6] * 20, 0.0)
    b, cb = made([6] * 20, 1.0, 1)
    one, two, three = (ood_by_patches(a, ca, b, cb + 99, (2,), seed=s).points for s in (0, 0, 1))
    assert one == two != three


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"how": "sum"}, "'top_k'"),
        ({"how": "top_k", "k": 0}, "at least one score"),
        ({"counts": (0,)}, "from 1 on"),
        ({"counts": ()}, "from 1 on"),
        ({"counts": (1.5,)}, "whole numbers from 1 on"),
        ({"counts": ("2",)}, "whole numbers from 1 on"),
        ({"how": "top_k", "k": 1.5}, "k is 1.5"),
        ({"ood_scores": [2**53 + 1]}, "OOD scores: 1 values"),
        ({"ood_scores": ["1"]}, "OOD scores holds"),
        ({"too_few": "skip"}, "'drop'"),
        ({"n_draws": 0}, "at least one draw"),
        ({"id_clusters": ["a"]}, "ID clusters: 1 were given for 2"),
    ],
)
def test_bad_input(options: dict, words: str) -> None:
    given = {"id_clusters": ["a", "b"], "ood_scores": [1.0], "ood_clusters": ["c"], **options}
    with pytest.raises(ConfigurationError, match=words):
        ood_by_patches([0.0, 1.0], **given)


def coverage(runs: int, n: int, count: int, n_draws: int) -> float:
    """Of the expected AUROC of means of `count` patches: normal, so that it is known."""
    rng = np.random.default_rng(0)
    truth = norm.cdf(1.0 / math.sqrt(2 * (0.5 + 1 / count)))
    held = 0
    clusters = np.repeat(np.arange(n), 6)
    for run in range(runs):
        a, b = (
            gap + math.sqrt(0.5) * rng.normal(size=n)[clusters] + rng.normal(size=6 * n)
            for gap in (0.0, 1.0)
        )
        point = ood_by_patches(
            a, clusters, b, clusters + n, (count,), n_draws=n_draws, seed=run
        ).points[0]
        held += point.low <= truth <= point.high
    return held / runs


@pytest.mark.parametrize("count", [1, 3])
def test_coverage_in_short(count: int) -> None:
    assert 0.87 <= coverage(200, 40, count, 5) <= 1.0


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3, 6])
@pytest.mark.parametrize("n", [25, 50, 200])
def test_coverage(count: int, n: int) -> None:
    assert coverage(1000, n, count, 20) >= 0.925


@pytest.mark.parametrize("with_units", [False, True])
def test_neither_rows_nor_names_have_an_order(with_units: bool) -> None:
    rng = np.random.default_rng(0)
    a, ca = made([1, 2, 3, 3, 5, 6] * 4, 0.0)
    b, cb = made([1, 4, 4, 2] * 5, 1.0, 1)
    a, b = np.round(a, 1), np.round(b, 1)
    found = []
    for _ in range(2):
        p, q = rng.permutation(len(a)), rng.permutation(len(b))
        units = (ca[p] // 2, 50 + cb[q] // 2) if with_units else None
        curve = ood_by_patches(a[p], ca[p], b[q], cb[q] + 99, (1, 2, None), units=units, n_draws=5)
        found.append(repr([(e.value, e.low, e.high, e.se, e.parameters) for e in curve.points]))
    assert found[0] == found[1]


def test_clusters_in_id_and_ood_are_warned_of() -> None:
    given = ([0.0, 1.0, 2.0], ["a", "b", "c"], [0.5, 3.0], ["c", "d"])
    with pytest.warns(UserWarning, match="1 clusters have both ID and OOD") as caught:
        found = ood_by_patches(*given, counts=(None,)).points[0]
    assert [w.filename for w in caught] == [__file__]
    assert found.parameters["clusters_across"] == 1


@pytest.mark.parametrize("how", ["mean", "top_k", "median"])
def test_means_of_scores_whose_sum_is_beyond_float64(how) -> None:
    huge, most = 1.7e308, np.finfo(float).max
    scores = [huge] * 3 + [-huge] * 2 + [1.0, 2.0] + [most] * 5
    units = [0] * 3 + [1] * 2 + [2] * 2 + [3] * 5
    assert aggregate(scores, units, how).scores.tolist() == [huge, -huge, 1.5, most]
    assert aggregate([-huge, -huge, huge, huge], [0] * 4, how, k=4).scores.tolist() == [0.0]
