"""The bootstrap of the OOD metrics: against plain resampling, and whether intervals hold."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn import metrics

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation._rank_bins import curve_metrics, rank_bins, resampled
from shiftbench.evaluation.ood_resampling import ood_bootstrap, ood_difference_bootstrap
from shiftbench.statistics import Clusters

KEYS = ["auroc", "aupr_ood", "aupr_id", "fpr_at_95tpr_ood", "fpr_at_95tpr_id"]


def literal(a: np.ndarray, b: np.ndarray, tpr: float = 0.95) -> list[float]:
    """As scikit-learn has them."""
    y, s = np.r_[np.zeros(len(a)), np.ones(len(b))], np.r_[a, b]
    out = metrics.roc_curve(y, s, drop_intermediate=False)
    inward = metrics.roc_curve(1 - y, -s, drop_intermediate=False)
    return [
        metrics.roc_auc_score(y, s),
        metrics.average_precision_score(y, s),
        metrics.average_precision_score(1 - y, -s),
        out[0][np.argmax(out[1] >= tpr)],
        inward[0][np.argmax(inward[1] >= tpr)],
    ]


scores = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=25)


@settings(max_examples=80, deadline=None)
@given(scores, scores, st.sampled_from([0.5, 0.8, 0.95, 1.0]))
def test_values_are_those_of_scikit_learn(a: list[float], b: list[float], tpr: float) -> None:
    found = ood_bootstrap(a, b, n_resamples=2, tpr=tpr).estimates.values()
    assert [e.value for e in found] == pytest.approx(literal(np.array(a), np.array(b), tpr))


@settings(max_examples=25, deadline=None)
@given(scores, scores, st.booleans(), st.integers(0, 3))
def test_replicates_are_metrics_of_resampled_examples(a, b, across: bool, seed: int) -> None:
    # Each cluster twice or more: the drawn counts, spelt out as examples.
    first, second = np.arange(len(a)) // 2, np.arange(len(b)) // 2 + (0 if across else 100)
    pair = Clusters.pair(first, second)
    units = Clusters(np.r_[pair[0].codes, pair[1].codes], pair[0].n_clusters)
    table = rank_bins([np.array(a), np.array(b)], None, 0.95)
    values = np.unique(np.r_[a, b])
    for (counts,) in resampled([table], units, 5, seed):
        found = curve_metrics(counts[:, 0], counts[:, 1], 0.95)
        for row, value in zip(counts.astype(int), found.T, strict=True):
            if row.sum(axis=1).min() == 0:
                assert np.isnan(value).all()
                continue
            assert value == pytest.approx(
                literal(np.repeat(values, row[0]), np.repeat(values, row[1]))
            )


def test_infinities_and_minus_zero() -> None:
    a, b = [-math.inf, 0.0, -0.0, 1.0], [0.0, 2.0, math.inf]
    found = ood_bootstrap(a, b, n_resamples=5).estimates
    plain = ood_bootstrap([-9.0, 0.0, 0.0, 1.0], [0.0, 2.0, 9.0], n_resamples=5).estimates
    assert [e.value for e in found.values()] == [e.value for e in plain.values()]
    assert [e.se for e in found.values()] == [e.se for e in plain.values()]


def test_monotone_maps_and_roles() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=3000), rng.normal(1, 1, size=2500)
    one, two = (
        ood_bootstrap(a, b, n_resamples=50),
        ood_bootstrap(np.exp(a), np.exp(b), n_resamples=50),
    )
    assert not one.exact
    for key in KEYS:
        assert np.array_equal(one.replicates[key], two.replicates[key])
    swapped = ood_bootstrap(-b, -a, n_resamples=50)
    for key, other in zip(KEYS, ("auroc", "aupr_id", "aupr_ood", KEYS[4], KEYS[3]), strict=True):
        assert one.estimates[key].value == pytest.approx(swapped.estimates[other].value, abs=1e-12)


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("shape", ["alike", "few ood", "near one"])
def test_binned_resamples_are_near_exact_ones(clustered: bool, shape: str) -> None:
    rng = np.random.default_rng(1)
    n, m, gap = {"alike": (5000, 5000, 1), "few ood": (9500, 500, 2), "near one": (5000, 5000, 4)}[
        shape
    ]
    a, b = rng.normal(size=n), rng.normal(gap, 1, size=m)
    units = (np.arange(n) // 5, n + np.arange(m) // 5) if clustered else None
    if clustered:
        a += np.repeat(rng.normal(size=n // 5), 5)
        b += np.repeat(rng.normal(size=m // 5), 5)
    exact = ood_bootstrap(a, b, units, bins=None, n_resamples=300)
    binned = ood_bootstrap(a, b, units, n_resamples=300)
    assert exact.exact
    assert not binned.exact
    for key in KEYS:
        # The draws are the same, so that only the bins differ.
        assert binned.estimates[key].value == exact.estimates[key].value
        assert binned.estimates[key].se == pytest.approx(exact.estimates[key].se, rel=0.03)
        moved = binned.replicates[key] - exact.replicates[key]
        assert np.abs(moved).max() < 0.5 * exact.estimates[key].se


def test_multinomial_draws_have_the_same_spread() -> None:
    rng = np.random.default_rng(1)
    a, b = np.round(rng.normal(size=4000), 1), np.round(rng.normal(1, 1, size=4000), 1)
    few = ood_bootstrap(a, b, n_resamples=2000)  # about 80 distinct scores: by bin
    alone = ood_bootstrap(a, b, (np.arange(4000), 4000 + np.arange(4000)), n_resamples=2000)
    for key in KEYS:
        # 5 standard errors of a ratio of two standard deviations.
        assert few.estimates[key].se == pytest.approx(alone.estimates[key].se, rel=0.16)


def test_difference_is_of_the_same_resamples() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=300), rng.normal(1, 1, size=200)
    c, d = a + rng.normal(size=300), b + rng.normal(size=200)
    same = ood_difference_bootstrap(a, b, a, b, n_resamples=100)
    for key in KEYS:
        assert same.estimates[key].value == 0
        assert np.abs(same.replicates[key]).max() == 0
        assert math.isnan(same.estimates[key].low)
        assert same.estimates[key].p_value is None
    one = ood_difference_bootstrap(a, b, c, d, n_resamples=400)
    two = ood_difference_bootstrap(c, d, a, b, n_resamples=400)
    alone = [ood_bootstrap(x, y).estimates["auroc"].se for x, y in ((a, b), (c, d))]
    for key in KEYS:
        assert np.allclose(one.replicates[key], -two.replicates[key])
        assert one.estimates[key].p_value == two.estimates[key].p_value
    assert one.estimates["auroc"].value == pytest.approx(literal(a, b)[0] - literal(c, d)[0])
    assert one.estimates["auroc"].se < 0.9 * math.hypot(*alone)
    units = (np.arange(300) // 3, 100 + np.arange(200) // 3)
    assert ood_difference_bootstrap(a, b, c, d, units).estimates["auroc"].n_clusters == 167


@pytest.mark.filterwarnings("ignore:.* clusters have both")
def test_what_cannot_be_told_is_said() -> None:
    apart = ood_bootstrap([0.0, 1.0], [2.0, 3.0]).estimates["auroc"]
    assert apart.value == 1
    assert math.isnan(apart.low)
    assert "same value" in apart.method
    single = ood_bootstrap([0.0, 1.0], [2.0]).estimates["auroc"]
    assert single.method == "cannot tell: one example"
    joined = ood_bootstrap([0.0, 1.0], [0.5, 3.0], (["p", "p"], ["p", "p"])).estimates["auroc"]
    assert joined.method == "cannot tell: one cluster"
    # Each of two clusters lies on one side, joined by a third: many resamples lack a side.
    lacking = ood_bootstrap(
        [0.0, 1.0, 2.0], [0.5, 3.0], (["a", "a", "b"], ["b", "c"]), n_resamples=400
    )
    assert lacking.estimates["auroc"].parameters["undefined_resamples"] > 0


def test_clusters_in_every_form() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=60), rng.normal(1, 1, size=40)
    pair = (np.arange(60) // 4, 15 + np.arange(40) // 4)
    forms = (
        pair,
        np.concatenate(pair),
        [f"c{i}" for i in np.concatenate(pair)],
        Clusters.of(np.concatenate(pair)),
    )
    found = [ood_bootstrap(a, b, form, n_resamples=50).estimates["auroc"] for form in forms]
    assert {(e.se, e.n_clusters) for e in found} == {(found[0].se, 25)}


def test_stored_with_every_number() -> None:
    found = ood_bootstrap([0.1, 0.2, 0.9], [0.5, 0.8], seed=3, n_resamples=10).estimates
    assert list(found) == KEYS
    assert [e.positive for e in found.values()] == ["ood", "ood", "id", "ood", "id"]
    for e in found.values():
        assert (e.n, e.n_id, e.n_ood) == (5, 3, 2)
        assert e.parameters["seed"] == 3
    assert "fpr_at_99_5tpr_ood" in ood_bootstrap([0.1], [0.2], tpr=0.995, n_resamples=2).estimates


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: ood_bootstrap([0.0, math.nan], [1.0]),
            "ID scores: 1 of 2 scores are NaN .*position 1",
        ),
        (lambda: ood_bootstrap([0.0], []), "at least one example"),
        (lambda: ood_bootstrap([2**53, 2**53 + 1], [0.0]), "ID scores: 1 values .* without loss"),
        (lambda: ood_bootstrap(["0.1"], [0.0]), "ID scores holds <U3 values"),
        (lambda: ood_bootstrap([[0.0]], [1.0]), "shape"),
        (lambda: ood_bootstrap([0.0], [1.0], tpr=95), "0.95"),
        (lambda: ood_bootstrap([0.0], [1.0], (["a"], ["b", "c"])), "one a score"),
        (lambda: ood_bootstrap([0.0], [1.0], n_resamples=0), "at least 1"),
        (lambda: ood_bootstrap([0.0, 1.0], [1.0], level=95), "between 0 and 1"),
        (lambda: ood_difference_bootstrap([0.0], [1.0], [0.0, 1.0], [1.0]), "same examples"),
    ],
)
def test_bad_input(call, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        call()


def coverage(runs: int, n: int, size: int, gap: float, n_resamples: int, seed: int) -> np.ndarray:
    """How often the intervals of AUROC and of the two FPRs hold the truth."""
    rng = np.random.default_rng(seed)
    fpr = 1 - norm.cdf(gap - norm.ppf(0.95))
    truth = [norm.cdf(gap / math.sqrt(2)), fpr, fpr]
    held = np.zeros(3)
    for run in range(runs):
        a, b = (
            math.sqrt(0.5) * np.repeat(rng.normal(size=n // size), size)
            + math.sqrt(0.5) * rng.normal(size=n)
            if size > 1
            else rng.normal(size=n)
            for _ in range(2)
        )
        units = (np.arange(n) // size, n + np.arange(n) // size) if size > 1 else None
        found = ood_bootstrap(a, b + gap, units, n_resamples=n_resamples, seed=run).estimates
        for i, key in enumerate((KEYS[0], KEYS[3], KEYS[4])):
            held[i] += found[key].low <= truth[i] <= found[key].high
    return held / runs


@pytest.mark.parametrize(("n", "size", "gap"), [(50, 1, 0.0), (50, 1, 2.0), (200, 5, 1.0)])
def test_coverage_in_short(n: int, size: int, gap: float) -> None:
    assert (coverage(120, n, size, gap, 150, 0) >= 0.84).all()


@pytest.mark.slow
@pytest.mark.parametrize("gap", [0.0, 1.0, 2.3])
@pytest.mark.parametrize(("n", "size"), [(50, 1), (200, 1), (50, 5), (200, 5)])
def test_coverage(n: int, size: int, gap: float) -> None:
    assert (coverage(1000, n, size, gap, 500, 1) >= 0.915).all()


@pytest.mark.slow
def test_standard_errors_within_three_percent_of_an_exact_bootstrap() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=5000), rng.normal(1.5, 1, size=5000)
    exact = ood_bootstrap(a, b, bins=None, n_resamples=20_000, seed=1)
    ours = ood_bootstrap(a, b, n_resamples=20_000, seed=2)
    for key in KEYS:
        assert ours.estimates[key].se == pytest.approx(exact.estimates[key].se, rel=0.03)


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("bins", [None, 100])
def test_the_order_of_rows_changes_no_number(clustered: bool, bins: int | None) -> None:
    rng = np.random.default_rng(0)
    a, b = np.round(rng.normal(size=90), 1), rng.normal(1, 1, size=70)
    c, d = np.round(a**2 + a, 1), b + rng.normal(size=70)
    one, two = np.arange(90) // 3, 25 + np.arange(70) // 2
    found = []
    for names in ("x{}", "y{}"):
        p, q = rng.permutation(90), rng.permutation(70)
        units = [names.format(u) for u in [*one[p], *two[q]]] if clustered else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            single = ood_bootstrap(a[p], b[q], units, n_resamples=40, bins=bins)
            paired, turned = (
                ood_difference_bootstrap(*given, units, n_resamples=40, bins=bins)
                for given in ((a[p], b[q], c[p], d[q]), (c[p], d[q], a[p], b[q]))
            )
        for key in KEYS:
            assert np.allclose(paired.replicates[key], -turned.replicates[key], atol=1e-12)
        both = [*single.estimates.values(), *paired.estimates.values()]
        found.append(repr([(e.value, e.low, e.high, e.se) for e in both]))
    assert found[0] == found[1]


def test_clusters_in_id_and_ood_are_warned_of() -> None:
    a, b, units = [0.0, 1.0, 2.0], [1.5, 3.0], (["p", "q", "r"], ["r", "s"])
    for call in (
        lambda: ood_bootstrap(a, b, units, n_resamples=9),
        lambda: ood_difference_bootstrap(a, b, a, b, units, n_resamples=9),
    ):
        with pytest.warns(UserWarning, match="1 clusters have both ID and OOD") as caught:
            found = call().estimates["auroc"]
        assert [w.filename for w in caught] == [__file__]
        assert found.parameters["clusters_across"] == 1


def test_numbers_of_clusters_of_two_types() -> None:
    names = np.array([2**63 + 1, 2**63 + 2, 2**63 + 3], np.uint64), np.array([1, 2, 3])
    found = ood_bootstrap([1.0, 2.0, 3.0], [2.0, 3.0, 4.0], names, n_resamples=9)
    assert found.estimates["auroc"].n_clusters == 6
