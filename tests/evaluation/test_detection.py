from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    auc,
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation._influences import (
    average_precision_influence,
    partial_area,
    partial_influence,
    tied_area_limits,
    tied_limits,
    wrong_limits,
)
from shiftbench.evaluation._ranked import ranked
from shiftbench.evaluation._rates import Units, best_limits
from shiftbench.evaluation.detection import ood, ood_difference

CASES = {
    "continuous": lambda rng, n: rng.normal(size=n),
    "ties": lambda rng, n: rng.normal(size=n).round(1),
    "three values": lambda rng, n: rng.integers(0, 3, n).astype(float),
    "constant": lambda rng, n: np.full(n, 0.5),
    "far from 0": lambda rng, n: 1e6 + rng.normal(size=n),
}
MIRROR = {"ood": "id", "id": "ood"}


def pairs(x, y):
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    wins = np.sum(y[None, :] > x[:, None]) + 0.5 * np.sum(y[None, :] == x[:, None])
    return wins / (len(x) * len(y))


def values(found):
    return {name: e.value for name, e in found.items()}


def mirrored(name):
    for mine, other in (("_ood", "_id"), ("_id", "_ood")):
        if name.endswith(mine):
            return name[: -len(mine)] + other
    return name


def draw(kind, seed=0, sizes=(123, 77)):
    rng = np.random.default_rng(seed)
    shift = 0.0 if kind == "constant" else 1.0
    return CASES[kind](rng, sizes[0]), CASES[kind](rng, sizes[1]) + shift


@pytest.mark.parametrize("kind", CASES)
def test_values_are_scikit_learns(kind):
    x, y = draw(kind)
    found = ood(x, y, tpr=(0.95, 0.8, 1.0), max_fpr=(0.1, 0.37, 1.0))
    scores, truth = np.concatenate([x, y]), np.repeat([0, 1], [len(x), len(y)])
    assert found["auroc"].value == pairs(x, y)
    assert found["auroc"].value == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    for positive, t, s in (("ood", truth, scores), ("id", 1 - truth, -scores)):
        assert found[f"aupr_{positive}"].value == pytest.approx(
            average_precision_score(t, s), abs=1e-12
        )
        precision, recall, _ = precision_recall_curve(t, s)
        assert found[f"aupr_trapezoid_{positive}"].value == pytest.approx(
            auc(recall, precision), abs=1e-12
        )
        fpr, tpr, _ = roc_curve(t, s, drop_intermediate=False)
        for rate, name in ((0.95, "95"), (0.8, "80"), (1.0, "100")):
            assert found[f"fpr_at_{name}tpr_{positive}"].value == fpr[np.argmax(tpr >= rate)]
        assert found["detection_error"].value == pytest.approx(
            float(np.min(0.5 * (fpr + 1 - tpr))), abs=1e-12
        )
    for limit, name in ((0.1, "0_1"), (0.37, "0_37")):
        assert found[f"auroc_to_fpr_{name}_mcclish"].value == pytest.approx(
            roc_auc_score(truth, scores, max_fpr=limit), abs=1e-12
        )
    assert found["auroc_to_fpr_1_share"].value == pytest.approx(found["auroc"].value, abs=1e-12)


def test_golden_case_by_hand():
    # From the top: OOD 4, tie of ID and OOD at 3, OOD 2, ID 1, ID 0.
    found = values(ood([0, 1, 3], [2, 3, 4], max_fpr=1 / 3))
    assert found["auroc"] == (3 + 2.5 + 2) / 9
    assert found["aupr_ood"] == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert found["aupr_id"] == pytest.approx((1 + 1 + 3 / 5) / 3)
    assert found["aupr_trapezoid_ood"] == pytest.approx(
        (1 + (1 + 2 / 3) / 2 + (2 / 3 + 3 / 4) / 2) / 3
    )
    assert found["fpr_at_95tpr_ood"] == 1 / 3
    assert found["fpr_at_95tpr_id"] == 2 / 3
    assert found["detection_error"] == pytest.approx(
        1 / 6
    )  # at 2: 1/3 flagged wrongly, none missed
    # Area up to 1/3: a trapezoid from TPR 1/3 to 2/3.
    assert found["auroc_to_fpr_0_333333333333_share"] == pytest.approx(0.5)


def test_the_trap_of_a_constant_score():
    found = values(ood(np.zeros(9900), np.zeros(100)))
    assert found["aupr_ood"] == pytest.approx(0.01)
    assert found["aupr_trapezoid_ood"] == pytest.approx(0.505)
    assert found["fpr_at_95tpr_id"] == 1.0
    assert found["detection_error"] == 0.5


def test_infinities_rank_at_the_ends():
    x, y = [-math.inf, 0.0, 1.0], [0.5, math.inf, math.inf]
    finite = ood([-9, 0.0, 1.0], [0.5, 9, 9], max_fpr=0.5)
    assert values(ood(x, y, max_fpr=0.5)) == values(finite)


FLOATS = st.lists(st.floats(allow_nan=False) | st.integers(-2, 2), min_size=1, max_size=25)


@settings(max_examples=100)
@given(FLOATS, FLOATS)
def test_auroc_is_pair_counting(x, y):
    assert ood(x, y)["auroc"].value == pairs(x, y)


@settings(max_examples=60)
@given(FLOATS, FLOATS)
def test_swapping_roles_mirrors_every_metric_exactly(x, y):
    x, y = np.array(x, dtype=float), np.array(y, dtype=float)
    here, there = ood(x, y), ood(-y, -x)
    for name, estimate in here.items():
        other = there[mirrored(name)]
        for field in ("value", "low", "high", "se"):
            assert repr(getattr(estimate, field)) == repr(getattr(other, field))


@pytest.mark.parametrize("decimals", [2, 15])
@pytest.mark.parametrize("sizes", [(7, 40_000), (20_000, 30_000)])
def test_swapping_roles_mirrors_every_metric_of_many_scores(sizes, decimals):
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=sizes[0]).round(decimals), rng.normal(2, 1, sizes[1]).round(decimals)
    here, there = ood(x, y), ood(-y, -x)
    for name, estimate in here.items():
        other = there[mirrored(name)]
        for field in ("value", "low", "high", "se"):
            assert repr(getattr(estimate, field)) == repr(getattr(other, field))


def test_detection_error_is_held_by_the_bounds_of_all_its_best_thresholds():
    # Flagging from 5 on, or from 2 on, is wrong for 1/4 + 0 or for 0 + 1/4 of the classes' shares.
    x, y = np.repeat([0.0, 3.0], [30, 10]), np.repeat([2.0, 5.0], [10, 30])
    found = ood(x, y)["detection_error"]
    assert found.value == 1 / 8
    lows, highs = [], []
    for fp, tp in ((0, 30), (10, 40)):
        one = best_limits((np.array([tp]), np.array([fp])), Units(40), Units(40), 0.95)
        lows.append(one[0])
        highs.append(one[1])
    assert (found.low, found.high) == (min(lows), max(highs))
    same = ood(np.arange(500), np.arange(500))["detection_error"]  # all thresholds are as bad
    assert (same.value, same.high) == (0.5, 0.5)
    assert 0.4 < same.low < 0.5


@settings(max_examples=40)
@given(FLOATS, FLOATS)
def test_monotone_maps_that_keep_ties_leave_everything_bit_equal(x, y):
    both = np.unique(np.concatenate([x, y]).astype(float) + 0.0)
    moved = [np.searchsorted(both, np.asarray(s, dtype=float)) ** 3 / 7 - 5 for s in (x, y)]
    assert values(ood(x, y)) == values(ood(*moved))


def test_order_and_shards_do_not_matter():
    x, y = draw("ties")
    rng = np.random.default_rng(1)
    first = ood(x, y, max_fpr=(0.1, 0.3))
    for _ in range(5):
        again = ood(
            rng.permutation(x), np.concatenate(np.array_split(y, 7)[::-1]), max_fpr=(0.1, 0.3)
        )
        assert again == first
    names = np.arange(len(x)) // 4, 1000 + np.arange(len(y)) // 4
    order, other = rng.permutation(len(x)), rng.permutation(len(y))
    clustered = ood(x, y, names)
    again = ood(x[order], y[other], (names[0][order], names[1][other]))
    for name, estimate in clustered.items():
        assert again[name].value == estimate.value
        assert (again[name].low, again[name].high) == pytest.approx((estimate.low, estimate.high))


def test_confidences_are_negated():
    x, y = draw("ties")
    assert values(ood(-x, -y, score_is="confidence")) == values(ood(x, y))
    found = ood(np.array([3, 2, 1], dtype=np.uint8), np.array([0, 1], dtype=np.uint8),
                score_is="confidence")  # fmt: skip
    assert found["auroc"].value == pairs([-3, -2, -1], [0, -1])


def test_every_estimate_says_what_it_rests_on():
    x, y = draw("continuous")
    for estimate in ood(x, y, max_fpr=0.2, tpr=0.9).values():
        assert (estimate.n, estimate.n_id, estimate.n_ood) == (200, 123, 77)
        assert estimate.positive in ("ood", "id")
        assert estimate.method
        assert estimate.level == 0.95
        assert estimate.n_clusters is None
        assert estimate.low <= estimate.value <= estimate.high
    assert list(ood(x, y, tpr=0.9))[5:7] == ["fpr_at_90tpr_id", "fpr_at_90tpr_ood"]
    assert "fpr_at_99_5tpr_id" in ood(x, y, tpr=0.995)


def test_wider_at_a_higher_level():
    x, y = draw("ties")
    for name, narrow in ood(x, y, level=0.8).items():
        wide = ood(x, y, level=0.99)[name]
        assert wide.low <= narrow.low
        assert narrow.high <= wide.high


def test_clusters_widen_and_are_counted():
    rng = np.random.default_rng(2)
    effect = rng.normal(size=40)
    x = np.repeat(effect[:20], 10) + 0.3 * rng.normal(size=200)
    y = np.repeat(effect[20:] + 1, 10) + 0.3 * rng.normal(size=200)
    names = np.repeat(np.arange(40), 10)
    plain, found = ood(x, y, max_fpr=0.2), ood(x, y, names, max_fpr=0.2)
    for name, estimate in found.items():
        assert estimate.n_clusters == 40
        assert estimate.method.startswith("clustered")
        assert estimate.value == plain[name].value
        assert estimate.high - estimate.low > 1.1 * (plain[name].high - plain[name].low)
    as_pair = ood(x, y, (names[:200].astype(str), names[200:].astype(str)), max_fpr=0.2)
    assert as_pair == found


def test_clusters_of_one_example_change_nothing_that_matters():
    x, y = draw("ties")
    plain, found = ood(x, y), ood(x, y, np.arange(200))
    for name, estimate in found.items():
        assert (estimate.low, estimate.high) == pytest.approx(
            (plain[name].low, plain[name].high), abs=1e-9
        )


def test_the_flagged_examples_are_known_by_themselves():
    x, y = draw("ties")
    scores = ranked(x, y, np.arange(200) // 3)
    for t in np.unique(np.concatenate([x, y])):
        for positive, pos, neg in (("ood", y >= t, x >= t), ("id", x <= t, y <= t)):
            ours = scores.units(positive)
            count = int(pos.sum() + neg.sum())
            assert np.array_equal(ours[0].flagged(count), pos)
            assert np.array_equal(ours[1].flagged(count), neg)


def test_clusters_across_are_counted_and_warned_of():
    x, y = draw("continuous")
    names = np.arange(123) // 4, np.arange(77) // 4
    with pytest.warns(UserWarning, match="20 clusters have both") as caught:
        found = ood(x, y, names)
    assert caught[0].filename == __file__
    assert found["auroc"].parameters["clusters_across"] == 20
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ood(x, y, (names[0], names[1] + 1000))


def test_one_cluster_cannot_tell():
    with pytest.warns(UserWarning, match="1 clusters"):
        found = ood([1, 2, 3], [2, 3, 4], [0] * 6, max_fpr=0.5)
    for estimate in found.values():
        assert math.isnan(estimate.low)
        assert estimate.method == "cannot tell: one cluster"


def test_separate_samples_get_bounds_of_their_own():
    found = ood(range(50), range(50, 110), max_fpr=0.1)
    for name in ("auroc", "aupr_ood", "aupr_id", "auroc_to_fpr_0_1_share"):
        assert found[name].value == 1
        assert 0 <= found[name].low < 1
        assert found[name].high == 1
    assert found["auroc"].low == pytest.approx(0.025 ** (1 / 50))
    worst = ood(range(50, 110), range(50))["auroc"]
    assert (worst.value, worst.low) == (0.0, 0.0)
    assert 0 < worst.high < 0.1


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("kind", ["constant", "wrong"])
def test_constant_and_perfectly_wrong_scores_have_bounds(kind, clustered):
    x, y = (np.zeros(90), np.zeros(60)) if kind == "constant" else (np.arange(60, 150), range(60))
    found = ood(x, y, np.arange(150) // 3 if clustered else None, max_fpr=0.2)
    for name, estimate in found.items():
        assert estimate.low <= estimate.value <= estimate.high, name
        assert 0.01 < estimate.high - estimate.low < 0.7, name
        assert estimate.method.startswith("clustered") == (clustered and name != "auroc")
    wide = ood(x, y, np.arange(150) // 3 if clustered else None, max_fpr=0.2, level=0.99)
    for name, estimate in wide.items():
        assert estimate.low <= found[name].low, name
        assert estimate.high >= found[name].high, name


def test_clusters_whose_sums_cancel_are_not_constant_scores():
    with pytest.warns(UserWarning, match="clusters have both"):
        found = ood([0, 1, 0, 1], [0, 1, 0, 1], ([0, 0, 1, 1], [0, 0, 1, 1]))["auroc"]
    assert math.isnan(found.low)
    assert found.method == "cannot tell: no spread among the examples"


def population_area(shares):
    """Average precision, trapezoid and ROC area to 0.2 of (positives, negatives) value by value."""
    tp, fp = np.cumsum(shares, axis=0).T
    with np.errstate(invalid="ignore"):
        precision = np.where(tp + fp > 0, tp / (tp + fp), 0.0)
    step = np.diff(tp, prepend=0)
    before = np.append(1.0, precision[:-1])
    inside = np.linspace(0, 0.2, 2001)
    roc = np.trapezoid(
        np.interp(inside, np.append(0, fp) / fp[-1], np.append(0, tp) / tp[-1]), inside
    )
    return np.sum(step * precision) / tp[-1], np.sum(step * (precision + before)) / 2 / tp[-1], roc


@pytest.mark.parametrize("odds", [0.1, 1.0, 7.0])
@pytest.mark.parametrize("sizes", [(5, 50), (40, 40), (200, 10)])
def test_exact_bounds_hold_for_populations_that_could_have_shown_it(sizes, odds):
    n_pos, n_neg = sizes
    tied = [tied_limits(*sizes, odds, 0.95, trapezoid=t) for t in (False, True)]
    tied.append(tied_area_limits(*sizes, 0.95, 0.2))
    wrong = [wrong_limits(*sizes, odds, 0.95, trapezoid=t) for t in (False, True)]
    rest = np.full((50, 1), 1 / 50)
    for a in (1, 0.99, 0.95, 0.9, 0.7, 0.5):
        for b in (1, 0.99, 0.95, 0.9, 0.7, 0.5):
            positives, negatives = (1 - a) * rest * [1, 0], (1 - b) * odds * rest * [0, 1]
            value = np.array([[a, b * odds]])
            for first, last in ((positives, negatives), (negatives, positives)):
                if a**n_pos * b**n_neg > 0.05:  # all at the value
                    found = population_area(np.concatenate([first, value, last]))
                    for area, (low, high) in zip(found, tied, strict=True):
                        assert low - 1e-4 <= area <= high + 1e-4
            # Some positives first and some negatives last; those between in one wrong order.
            if a**n_pos * b**n_neg > 0.05:
                for ties in (1, 50):
                    many = np.full((ties, 1), 1 / ties)
                    between = [b * odds * many * [0, 1], a * many * [1, 0]]
                    shares = [positives, *between, negatives]
                    found = population_area(np.concatenate(shares))
                    for area, (low, high) in zip(found[:2], wrong, strict=True):
                        assert low - 1e-4 <= area <= high + 1e-4


@pytest.mark.parametrize("sizes", [(1, 5), (5, 1), (1, 1)])
def test_single_examples_have_values_and_reasons(sizes):
    found = ood(np.arange(sizes[0]), 0.5 + np.arange(sizes[1]))
    assert not any(math.isnan(e.value) for e in found.values())
    assert all(e.method for e in found.values())


def moved_by_one(metric, x, y, which):
    """n times what the metric changes when one more of an example comes in, to first order."""
    weight = 1e-6
    base, found = metric(x, y, np.ones(len(x)), np.ones(len(y))), []
    for i in range(len((x, y)[which])):
        weights = [np.ones(len(x)), np.ones(len(y))]
        n = len(weights[which])
        weights[which] *= 1 - weight
        weights[which][i] += weight * n
        found.append((metric(x, y, *weights) - base) / weight)
    return np.array(found)


def weighted_counts(x, y, wx, wy):
    values = np.unique(np.concatenate([x, y]))[::-1]
    return ((wy[None, :] * (y[None, :] >= values[:, None])).sum(axis=1),
            (wx[None, :] * (x[None, :] >= values[:, None])).sum(axis=1))  # fmt: skip


def average_precision(x, y, wx, wy, trapezoid):
    tp, fp = weighted_counts(x, y, wx, wy)
    precision = tp / (tp + fp)
    if trapezoid:
        precision = (precision + np.append(1.0, precision[:-1])) / 2
    return np.sum(np.diff(tp, prepend=0) * precision) / tp[-1]


@pytest.mark.parametrize("kind", ["continuous", "ties", "three values"])
@pytest.mark.parametrize("which", ["average precision", "trapezoid", "partial"])
def test_influences_are_derivatives(kind, which):
    x, y = draw(kind, sizes=(31, 23))
    if which == "partial":
        limit = 0.2345  # between two points: there the derivative exists

        def metric(*arguments):
            return partial_area(*weighted_counts(*arguments), limit)

        influence = partial_influence(*(c.astype(int) for c in weighted_counts(
            x, y, np.ones(31), np.ones(23))), limit)  # fmt: skip
    else:
        trapezoid = which == "trapezoid"

        def metric(*arguments):
            return average_precision(*arguments, trapezoid)

        influence = average_precision_influence(*(c.astype(int) for c in weighted_counts(
            x, y, np.ones(31), np.ones(23))), trapezoid=trapezoid)  # fmt: skip
    values = np.unique(np.concatenate([x, y]))[::-1]
    for sample, side, scores in ((1, 0, y), (0, 1, x)):
        ours = influence[side][[int(np.flatnonzero(values == s)[0]) for s in scores]]
        theirs = moved_by_one(metric, x, y, sample)
        assert ours - ours.mean() == pytest.approx(theirs, abs=2e-4)


SHAPES = {  # sizes of ID and OOD, distance, standard deviation of OOD, decimals
    "separate": (34_000, 2000, 5, 0.3, 15),
    "balanced": (30_000, 30_000, 4, 1, 15),
    "close": (30_000, 30_000, 0, 1, 15),
    "far": (20_000, 20_000, 6, 1, 15),
    "ties": (40_000, 33_000, 3, 0.3, 2),
    "few OOD": (50_000, 25, 2, 2, 15),
    "very few OOD": (40_000, 5, 1.5, 1, 1),
    "some OOD": (50_000, 6000, 4, 2, 15),
}


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_many_scores_have_the_standard_errors_of_all_thresholds(shape, flip):
    n_id, n_ood, distance, sd, decimals = SHAPES[shape]
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=n_id), rng.normal(distance, sd, n_ood)
    x, y = x.round(decimals), y.round(decimals)
    if flip:
        x, y = y, x  # the scores are wrong, and the other class is the smaller one
    binned = ood(x, y)
    exact = ood(x, y, np.arange(len(x) + len(y)))
    for name, estimate in binned.items():
        assert estimate.value == exact[name].value
        # Where nearly all pairs are in the wrong order, the parts of the influence cancel out.
        assert estimate.se == pytest.approx(exact[name].se, rel=0.02, abs=1e-6, nan_ok=True)
        assert estimate.high - estimate.low == pytest.approx(
            exact[name].high - exact[name].low, rel=0.02, abs=4e-6
        )


def test_separate_classes_of_many_scores_are_not_in_doubt():
    rng = np.random.default_rng(2)
    found = ood(rng.normal(size=34_000), rng.normal(5, 0.3, 2000))["aupr_id"]
    assert found.low > 0.9999999
    assert found.se == pytest.approx(1.2e-9, rel=0.05)


def test_many_scores_with_one_misplaced_have_nearly_its_interval():
    x, y = np.append(np.arange(40_000.0), 1e6), np.arange(2e5, 2.4e5)
    binned, exact = ood(x, y), ood(x, y, np.arange(80_001))
    for name in ("auroc", "aupr_ood", "aupr_id", "aupr_trapezoid_ood", "aupr_trapezoid_id"):
        assert binned[name].se == pytest.approx(exact[name].se, rel=0.02)


def test_many_scores_have_the_interval_of_all_thresholds():
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=30_000), rng.normal(size=20_000) + 1.5
    exact, binned = ood(x, y, np.arange(50_000)), ood(x, y)
    for name, estimate in binned.items():
        assert estimate.value == exact[name].value
        assert estimate.high - estimate.low == pytest.approx(
            exact[name].high - exact[name].low, rel=0.003
        )


def test_difference_is_the_difference_and_its_variance_delongs():
    rng = np.random.default_rng(7)
    x, y = draw("ties")
    x2, y2 = x + rng.normal(size=len(x)).round(1), y + rng.normal(size=len(y)).round(1)
    found = ood_difference(x, y, x2, y2)
    for name in ("auroc", "aupr_ood", "aupr_id"):
        expected = ood(x, y)[name].value - ood(x2, y2)[name].value
        assert found[name].value == pytest.approx(expected, abs=1e-14)
        assert found[name].low < expected < found[name].high
    placed = []
    for a, b in ((x, y), (x2, y2)):
        wins = (b[None, :] > a[:, None]) + 0.5 * (b[None, :] == a[:, None])
        placed.append((wins.mean(axis=1), wins.mean(axis=0)))
    variance = sum(np.var(placed[0][i] - placed[1][i], ddof=1) / len(placed[0][i]) for i in (0, 1))
    assert found["auroc"].se == pytest.approx(math.sqrt(variance), rel=1e-12)
    back = ood_difference(x2, y2, x, y)
    assert back["aupr_id"].low == pytest.approx(-found["aupr_id"].high)
    assert back["auroc"].p_value == pytest.approx(found["auroc"].p_value)


def test_a_detector_does_not_differ_from_itself():
    x, y = draw("ties")
    for estimate in ood_difference(x, y, x, y).values():
        assert (estimate.value, estimate.p_value) == (0.0, 1.0)
        assert math.isnan(estimate.low)
    negated = ood_difference(x, y, -x, -y, score_is=("ood", "confidence"))
    assert negated["auroc"].value == 0.0


def test_difference_honours_clusters():
    rng = np.random.default_rng(8)
    names = np.repeat(np.arange(40), 10)
    shift = rng.normal(size=40)[names]
    x, y = rng.normal(size=200), rng.normal(size=200) + 1
    plain = ood_difference(x, y, x + shift[:200], y + shift[200:])
    found = ood_difference(x, y, x + shift[:200], y + shift[200:], names)
    assert found["auroc"].n_clusters == 40
    assert found["auroc"].method == "clustered paired DeLong, t"
    assert found["auroc"].se > plain["auroc"].se


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (([1.0, math.nan], [1.0]), {}, "id_scores: 1 of 2 scores are NaN .*position 1"),
        (([1.0], []), {}, "ood_scores is empty"),
        (([], [1.0]), {}, "id_scores is empty"),
        (([1.0], [2.0]), {"score_is": "confidense"}, "did you mean 'confidence'"),
        (([1.0], [2.0]), {"tpr": 95}, "0.95"),
        (([1.0], [2.0]), {"tpr": 0}, "fraction"),
        (([1.0], [2.0]), {"max_fpr": -0.1}, "fraction"),
        (([1.0], [2.0]), {"level": 95}, "level"),
        (([1.0], [2.0], [1, 2, 3]), {}, "3 names for 1 ID"),
        (([1.0], [2.0], ([1], [2, 3])), {}, "OOD clusters are 2"),
        (([1.0], [2.0], (["a"], ["b"], ["c"])), {}, "tuple of 3"),
        (([1.0], [2.0], ([None], ["b"])), {}, "no cluster"),
        (([1.0], [2.0], "ab"), {}, "'ab' is no list of names"),
        (([1.0], [2.0], 3), {}, "3 is no list of names"),
        (([1.0], [2.0], {"a": 1, "b": 2}), {}, "dict is no list of names"),
        (([1.0], [2.0], ("a", "b")), {}, "ID clusters: 'a' is no list"),
        (([1.0], [2.0], np.zeros((2, 2))), {}, "shape"),
        (([1.0], [2.0]), {"level": "a"}, "level is 'a'"),
        (([1.0], [2.0]), {"level": None}, "level is None"),
        (([1.0], [2.0]), {"tpr": "x"}, "tpr is 'x'"),
        (([1.0], [2.0]), {"tpr": (0.9, None)}, "tpr is None"),
        (([1.0], [2.0]), {"tpr": [[0.9]]}, "tpr is"),
        (([1.0], [2.0]), {"max_fpr": "x"}, "max_fpr is 'x'"),
        (([1.0], [2.0]), {"score_is": ("ood",)}, "score_is"),
        (([1.0], [2.0]), {"score_is": None}, "score_is is None"),
    ],
)
def test_bad_input(arguments, options, words):
    with pytest.raises(ConfigurationError, match=words):
        ood(*arguments, **options)


def test_unpaired_detectors_are_refused():
    with pytest.raises(ConfigurationError, match="3 and 2 ID"):
        ood_difference([1, 2, 3], [4, 5], [1, 2], [4, 5])


@pytest.mark.parametrize("kind", [("ood",), ("ood", "ood", "ood"), None, ("ood", 3)])
def test_bad_directions_of_two_detectors(kind):
    with pytest.raises(ConfigurationError, match="score_is"):
        ood_difference([1, 2], [4, 5], [1, 2], [4, 5], score_is=kind)
