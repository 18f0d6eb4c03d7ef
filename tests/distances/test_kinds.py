from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression

from shiftbench.distances.discriminant import PENALTIES, coin_weights, crossfit
from shiftbench.distances.kinds import profile
from shiftbench.distances.samples import two_samples
from shiftbench.distances.side_information import information
from shiftbench.errors import ConfigurationError

PARTS = ("subpopulation", "covariate", "concept", "total", "label", "covariate_marginal")


def examples(rng, n, kind="none", size=1):
    """Group, then x given the group, then y given both; one of them moved."""
    owner = np.arange(n) // size
    g = owner[-1] + 1
    group = rng.choice(3, g, p=[0.2, 0.3, 0.5] if kind == "subpopulation" else [0.5, 0.3, 0.2])
    noise = rng.normal(size=(n, 3))
    if size > 1:
        noise = np.sqrt(0.5) * (noise + rng.normal(size=(g, 3))[owner])
    x = np.array([[0, 0, 0], [1.5, 0, 0], [0, 1.5, 0]])[group[owner]] + noise
    if kind == "covariate":
        x[:, 2] += 1
    logit = 1.5 * x[:, 0] - 0.5 * group[owner]
    if kind == "concept":
        logit = -logit
    y = rng.random(n) < 1 / (1 + np.exp(-logit))
    return x, y.astype(int), group[owner], owner


def of(rng, n, kind, size=1, seed=0, **options):
    a, b = examples(rng, n[0], size=size), examples(rng, n[1], kind, size)
    pairs = {"labels": (a[1], b[1]), "groups": (a[2], b[2])}
    if size > 1:
        pairs["clusters"] = (a[3], 10_000 + b[3])
    return profile(a[0], b[0], seed=seed, **(pairs | options))


# --- against the definitions --------------------------------------------------------------------


def test_discrete_parts_against_scipy():
    rng = np.random.default_rng(0)
    found = of(rng, (2000, 3000), "subpopulation")
    truth = jensenshannon([0.5, 0.3, 0.2], [0.2, 0.3, 0.5], base=2) ** 2
    assert found.subpopulation.low < truth < found.subpopulation.high
    a, b = ["u"] * 30 + ["v"] * 10, ["u"] * 20 + ["v"] * 40
    x = rng.normal(size=(100, 2))
    label = profile(x[:40], x[40:], labels=(a, b)).label
    plug_in = jensenshannon([0.75, 0.25], [1 / 3, 2 / 3], base=2) ** 2
    assert label.parameters["plug_in"] == pytest.approx(plug_in)
    assert label.value < plug_in


def test_the_summands_add_up():
    for kind in ("none", "covariate", "concept", "subpopulation"):
        found = of(np.random.default_rng(1), (150, 120), kind)
        summands = found.subpopulation.value + found.covariate.value + found.concept.value
        assert summands == pytest.approx(found.total.value, abs=1e-12)
    alone = profile(np.zeros((20, 1)) + np.arange(20)[:, None], np.arange(20)[:, None])
    assert alone.covariate == alone.total == alone.covariate_marginal
    assert alone.subpopulation is alone.concept is alone.label is None


def test_logistic_regression_against_scikit_learn():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(120, 4))
    side = rng.random(120) < 1 / (1 + np.exp(-x[:, 0]))
    fold = np.arange(120) % 5
    found = crossfit(x, side, fold)
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    for k in range(5):
        fit = fold != k
        penalty = found.penalties[k]
        if penalty == PENALTIES[-1]:
            continue
        weights = coin_weights(side[fit])
        model = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=1000)
        model.fit(z[fit], ~side[fit], sample_weight=weights)
        # Theirs leaves the constant free; ours pulls it by a thousandth.
        np.testing.assert_allclose(found.logits[k], model.decision_function(z), atol=0.02)


def test_gaussian_shift_comes_near_the_truth():
    """Two unit normals 2 apart: I(D; X) by numerical integration."""
    grid = np.linspace(-10, 12, 20_001)
    p, q = (np.exp(-((grid - m) ** 2) / 2) / np.sqrt(2 * np.pi) for m in (0, 2))
    half = (p + q) / 2
    step = grid[1] - grid[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.nan_to_num(d * np.log2(d / half)).sum() * step for d in (p, q)]
    truth = sum(terms) / 2
    rng = np.random.default_rng(3)
    found = profile(rng.normal(size=(2000, 1)), rng.normal(2, 1, (2000, 1)))
    assert found.covariate.value == pytest.approx(truth, abs=0.03)
    assert found.covariate.low < truth


# --- which part a shift is in -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["subpopulation", "covariate", "concept"])
@pytest.mark.parametrize(("n", "size"), [((300, 300), 1), ((100, 400), 1), ((640, 640), 8)])
def test_the_right_part_is_large(kind, n, size):
    found = [of(np.random.default_rng([4, i]), n, kind, size, seed=i) for i in range(8)]
    assert sum(getattr(f, kind).low > 0 for f in found) >= 6
    assert np.mean([getattr(f, kind).value for f in found]) > 0.04
    for other in {"subpopulation", "covariate", "concept"} - {kind}:
        assert sum(getattr(f, other).low > 0 for f in found) <= 2
        assert np.mean([getattr(f, other).value for f in found]) < 0.02


def test_a_label_shift_is_split_between_x_and_the_rest():
    """P(y) moves at fixed P(x | y): I(D; Y) = I(D; X) + I(D; Y | X)."""
    rng = np.random.default_rng(5)

    def draw(n, p, apart):
        y = (rng.random(n) < p).astype(int)
        return rng.normal(size=(n, 2)) + apart * y[:, None], y

    far = [draw(1000, p, 4) for p in (0.3, 0.8)]
    found = profile(far[0][0], far[1][0], labels=(far[0][1], far[1][1]))
    assert found.covariate.value == pytest.approx(found.label.value, abs=0.03)
    assert found.concept.value < 0.01
    near = [draw(1000, p, 0) for p in (0.3, 0.8)]
    found = profile(near[0][0], near[1][0], labels=(near[0][1], near[1][1]))
    assert found.covariate.value < 0.01
    assert found.concept.value == pytest.approx(found.label.value, abs=0.03)


def test_groups_that_do_not_overlap_use_up_the_bit():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(100, 2))
    found = profile(x[:50], x[50:], labels=("uv" * 25, "uv" * 25), groups=("a" * 50, "b" * 50))
    assert found.subpopulation.value == found.total.value == 1
    assert np.isnan(found.covariate.value)
    assert "no group is in both splits" in found.covariate.method
    assert found.covariate_marginal.value < 0.1
    assert found.label.value < 0.1


# --- input --------------------------------------------------------------------------------------


def test_order_changes_nothing():
    rng = np.random.default_rng(7)
    a, b = examples(rng, 60, size=2), examples(rng, 50, "covariate", 2)
    one, two = rng.permutation(60), rng.permutation(50)
    here = profile(a[0], b[0], labels=(a[1], b[1]), groups=(a[2], b[2]), clusters=(a[3], -1 - b[3]))
    there = profile(
        a[0][one],
        b[0][two],
        labels=(a[1][one], b[1][two]),
        groups=(a[2][one], b[2][two]),
        clusters=(a[3][one], -1 - b[3][two]),
    )
    for part in PARTS:
        assert getattr(here, part).value == pytest.approx(getattr(there, part).value, abs=1e-9)


def test_more_features_than_examples_and_constant_ones():
    rng = np.random.default_rng(8)
    x = rng.normal(size=(60, 200))
    x[:, :5] = 1.0
    found = profile(x[:30], x[30:], labels=("ab" * 15, "ab" * 15))
    assert found.covariate.low <= 0
    flat = profile(np.ones((30, 3)), np.ones((30, 3)))
    assert flat.covariate.value == pytest.approx(0, abs=0.05)


def test_numbers_as_labels_and_few_clusters():
    rng = np.random.default_rng(9)
    x = rng.normal(size=(200, 2))
    y = rng.normal(size=200) + np.repeat([0, 2], 100)
    found = profile(x[:100], x[100:], labels=(y[:100], y[100:]))
    assert found.parameters["classes"] == 10
    assert found.label.low > 0.2
    few = profile(x[:100], x[100:], clusters=(np.arange(100) % 5, 9 + np.arange(100) % 20))
    assert few.covariate.method == "cannot tell: fewer than 10 clusters in a split"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"labels": ([1], [1, 2])}, "the source has 2 examples and 1 labels"),
        ({"groups": (["a", None], ["a", "b"])}, "that in row 1 is missing"),
        ({"level": 0}, "level is 0"),
    ],
)
def test_bad_input(options, said):
    with pytest.raises(ConfigurationError, match=said):
        profile([[0.0], [1.0]], [[0.0], [1.0]], **options)


def test_large_samples_are_drawn_by_cluster():
    rng = np.random.default_rng(10)
    x = rng.normal(size=(44_000, 2))
    owner = np.arange(22_000) // 4
    found = profile(x[:22_000], x[22_000:] + 1, clusters=(owner, 10_000 + owner))
    assert found.total.n < 20_000
    assert found.total.n % 4 == 0
    assert found.covariate.low > 0.2


# --- nothing shifted ----------------------------------------------------------------------------


def check_null(repeats, n, size):
    above = dict.fromkeys(PARTS, 0)
    for seed in range(repeats):
        found = of(np.random.default_rng([seed, *n, size]), n, "none", size, seed=seed)
        for part in PARTS:
            estimate = getattr(found, part)
            above[part] += estimate.low > 0
    for part, count in above.items():
        assert count <= binom.ppf(1 - 0.001 / 24, repeats, 0.05), part


SIZES = [((50, 50), 1), ((200, 200), 1), ((50, 200), 1), ((320, 320), 8)]


@pytest.mark.parametrize(("n", "size"), SIZES)
def test_nothing_shifted(n, size):
    check_null(25, n, size)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "size"), SIZES)
def test_nothing_shifted_closely(n, size):
    check_null(300, n, size)


def check_coverage(repeats, n, size, k, tilt):
    p = np.full(k, 1 / k)
    q = p * np.exp(tilt * np.linspace(-1, 1, k))
    q /= q.sum()
    truth = jensenshannon(p, q, base=2) ** 2 if tilt else 0.0
    missed = 0
    for seed in range(repeats):
        rng = np.random.default_rng([seed, *n, size, k])

        def draw(m, shares, rng=rng):
            owner = np.arange(m) // size
            own, alone = rng.choice(k, owner[-1] + 1, p=shares)[owner], rng.choice(k, m, p=shares)
            return np.where(rng.random(m) < (np.sqrt(0.5) if size > 1 else 0), own, alone), owner

        (a, of_a), (b, of_b) = draw(n[0], p), draw(n[1], q)
        samples = two_samples(a, b, takes="labels", clusters=(of_a, 10_000 + of_b))
        found = information(samples, samples.labels, 0.95, seed)
        missed += not found.low <= truth <= found.high
    assert missed <= binom.ppf(1 - 0.001 / 36, repeats, 0.07)


@pytest.mark.parametrize(("n", "size"), SIZES)
def test_intervals_cover(n, size):
    for k, tilt in [(2, 0), (5, 0.3), (5, 1)]:
        check_coverage(60, n, size, k, tilt)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "size"), SIZES)
def test_intervals_cover_closely(n, size):
    for k in (2, 5, 10):
        for tilt in (0, 0.3, 1):
            check_coverage(600, n, size, k, tilt)


def test_groups_that_are_all_rare_tell_nothing() -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    names = [f"patient {i}" for i in range(60)]
    found = profile(x[:30], x[30:], groups=(names[:30], names[30:]))
    assert np.isnan(found.subpopulation.value)
    assert "all groups are rare" in found.subpopulation.method
    assert found.covariate == found.covariate_marginal


def test_equal_shares_have_an_interval_no_wider_than_nearly_equal_ones():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 2)), rng.normal(size=(44, 2))
    source = ["a", "b"] * 200
    equal = profile(x, y, labels=(source, ["a", "b"] * 22)).label
    nearly = profile(x, y, labels=(source, ["a"] * 23 + ["b"] * 21)).label
    assert equal is not None
    assert nearly is not None
    assert 0 < equal.high <= nearly.high * 1.05
