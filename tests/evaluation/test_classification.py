"""Classification metrics: scikit-learn as reference, golden cases, labels of any kind."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn import metrics as sk

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation.calibration import calibration_bins, calibration_error
from shiftbench.evaluation.classification import classification_metrics
from shiftbench.evaluation.findings import finding_metrics, findings_table
from shiftbench.statistics import Clusters, stream

LETTERS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1, max_size=40
)


def values(found):
    return {name: e.value for name, e in found.items()}


@given(LETTERS)
def test_labels_agree_with_scikit_learn(pairs) -> None:
    truth, predicted = (list(side) for side in zip(*pairs, strict=True))
    found = classification_metrics(truth, predicted)
    assert found["accuracy"].value == pytest.approx(sk.accuracy_score(truth, predicted))
    recall = sk.recall_score(truth, predicted, labels=sorted(set(truth)), average="macro",
                             zero_division=0)  # fmt: skip
    assert found["balanced_accuracy"].value == pytest.approx(recall)
    assert found["macro_f1"].value == pytest.approx(sk.f1_score(truth, predicted, average="macro"))


@given(LETTERS, st.permutations(range(40)))
def test_order_and_names_of_classes_do_not_matter(pairs, order) -> None:
    truth, predicted = (np.array(side) for side in zip(*pairs, strict=True))
    at = np.array([i for i in order if i < len(truth)])
    renamed = {"a": "z", "b": "", "c": "m", "d": "b"}
    base = classification_metrics(truth, predicted)
    other = classification_metrics(
        [renamed[c] for c in truth[at]], [renamed[c] for c in predicted[at]]
    )
    for name, e in base.items():
        assert [other[name].value, other[name].low, other[name].high] == pytest.approx(
            [e.value, e.low, e.high], nan_ok=True
        )


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_probabilities_agree_with_scikit_learn() -> None:
    rng = stream(0, "test")
    p = softmax(rng.normal(size=(200, 4)))
    y = rng.integers(0, 4, 200)
    found = classification_metrics(y, probabilities=p)
    assert found["accuracy"].value == np.mean(p.argmax(axis=1) == y)
    assert found["log_loss"].value == pytest.approx(sk.log_loss(y, p))
    assert found["brier"].value == pytest.approx(np.mean(((p - np.eye(4)[y]) ** 2).sum(axis=1)))


def test_halved_brier_score_of_two_classes() -> None:
    p, y = np.array([0.2, 0.7, 0.9]), np.array([0, 1, 0])
    found = classification_metrics(y, probabilities=np.stack([1 - p, p], axis=1))
    assert found["brier"].value / 2 == pytest.approx(sk.brier_score_loss(y, p))


def test_golden() -> None:
    found = classification_metrics(["a", "a", "a", "b", "c"], ["a", "a", "b", "b", "d"])
    assert found["accuracy"].value == 0.6
    assert found["balanced_accuracy"].value == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert found["macro_f1"].value == pytest.approx((0.8 + 2 / 3 + 0 + 0) / 4)
    assert found["balanced_accuracy"].parameters["classes_present"] == 3
    assert found["macro_f1"].parameters["classes_present"] == 4


@pytest.mark.parametrize(
    ("truth", "predicted"),
    [
        ([0, 0, 1, 1], [0, 1, 1, 1]),
        ([False, False, True, True], [False, True, True, True]),
        (["", "", "x", "x"], ["", "x", "x", "x"]),
        ([-1, -1, 1, 1], [-1, 1, 1, 1]),
        ([10**12, 10**12, 3, 3], [10**12, 3, 3, 3]),
        (np.array([0, 0, 1, 1], dtype=np.uint8), np.array([0.0, 1.0, 1.0, 1.0])),
        (pa.array(["0", "0", "1", "1"]), pa.array(["0", "1", "1", "1"]).dictionary_encode()),
        (pa.chunked_array([[0, 0], [1, 1]]), [0, 1, 1, 1]),
        ([0, 0, "a", "a"], [0, "a", "a", "a"]),
    ],
)
def test_labels_of_any_kind_are_values(truth, predicted) -> None:
    found = classification_metrics(truth, predicted)
    assert (found["accuracy"].value, found["accuracy"].n) == (0.75, 4)
    assert found["balanced_accuracy"].value == 0.75


@pytest.mark.parametrize("missing", [None, np.nan])
def test_unknown_labels_are_left_out_and_counted(missing) -> None:
    found = classification_metrics([1, missing, 0], [1, 1, 0])
    assert (found["accuracy"].value, found["accuracy"].n) == (1.0, 2)
    assert {e.parameters["unknown"] for e in found.values()} == {1}


def test_minus_one_is_unknown_where_labels_are_indices() -> None:
    p = [[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]
    assert classification_metrics([0, -1, 1], probabilities=p)["accuracy"].n == 2
    assert classification_metrics([0, -1, 1], [0, 1, 1], classes=["a", "b"])["accuracy"].n == 2


def test_nothing_known_cannot_be_told() -> None:
    found = classification_metrics([None, None], [1, 0], probabilities=[[0.5, 0.5]] * 2)
    assert np.isnan([e.value for e in found.values()]).all()
    assert all(e.method.startswith("cannot tell") for e in found.values())
    assert {e.n for e in found.values()} == {0}


def test_names_and_indices_are_the_same_labels() -> None:
    by_name = classification_metrics(["cat", "dog"], ["cat", "cat"], classes=["dog", "cat"])
    by_index = classification_metrics([1, 0], [1, 1], classes=["dog", "cat"])
    mixed = classification_metrics(["cat", "dog"], [1, 1], classes=["dog", "cat"])
    assert repr(by_name) == repr(by_index) == repr(mixed)


def test_first_of_equally_probable_classes_is_predicted() -> None:
    found = classification_metrics([0, 1], probabilities=[[0.5, 0.5], [0.5, 0.5]])
    assert found["accuracy"].value == 0.5


def test_probability_of_zero_is_an_infinite_loss_and_counted() -> None:
    found = classification_metrics([0, 1], probabilities=[[1.0, 0.0], [1.0, 0.0]])["log_loss"]
    assert (found.value, found.parameters["zeros"]) == (np.inf, 1)
    assert np.isnan(found.low)
    assert "1 probabilities of 0" in found.method


def test_float32_and_float16_probabilities_sum_to_one() -> None:
    p = softmax(stream(0, "test").normal(size=(50, 100)) * 3)
    y = p.argmax(axis=1)
    for kind in (np.float32, np.float16):
        assert classification_metrics(y, probabilities=p.astype(kind))["accuracy"].n == 50


@pytest.mark.parametrize(
    ("p", "words"),
    [
        ([[0.5, 0.5], [0.5, 0.6]], "1 of 2 .* position 1.* sums to 1.1"),
        ([[0.5, 0.5], [1.5, -0.5]], "1 of 2 .* position 1"),
        ([[0.5, 0.5], [np.nan, 0.5]], "1 of 2 .* position 1"),
        ([[0.2, 0.3, 0.5]] * 2, "3 columns, but there are 2 classes"),
        ([[0.5, 0.5], [1.0]], "2 values in the first example and 1 at position 1"),
        ([0.5, 0.5], "shape"),
        ([["a", "b"], ["a", "b"]], "numbers"),
        (np.zeros((2, 0)), "0 columns"),
    ],
)
def test_bad_probabilities_are_refused(p, words) -> None:
    with pytest.raises(ConfigurationError, match=words):
        classification_metrics([0, 1], probabilities=p, classes=["x", "y"])


def test_arrow_lists_of_probabilities() -> None:
    column = pa.array([[0.5, 0.5], [0.25, 0.75]])
    assert classification_metrics([0, 1], probabilities=column)["accuracy"].value == 1
    with pytest.raises(ConfigurationError, match="1 at position 1"):
        classification_metrics([0, 1], probabilities=pa.array([[0.5, 0.5], [1.0]]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"y_true": ["cat"], "y_pred": ["cta"], "classes": ["cat", "dog"]}, "did you mean 'cat'"),
        ({"y_true": [2], "y_pred": [0], "classes": ["cat", "dog"]}, "from 0 to 1"),
        ({"y_true": [0], "y_pred": [None], "classes": ["cat"]}, "1 of 1 predictions are missing"),
        ({"y_true": [0, 1], "y_pred": [0, -1], "classes": 2}, "1 of 2 predictions are missing"),
        ({"y_true": [0, 1], "y_pred": [0]}, "2 examples and y_pred 1"),
        ({"y_true": [0]}, "neither"),
        ({"y_true": ["a"], "y_pred": [0]}, "string and predictions int64"),
        ({"y_true": ["a"], "probabilities": [[1.0]]}, "name the classes"),
        ({"y_true": [0], "y_pred": [0], "classes": ["a", "a"]}, "twice"),
        ({"y_true": [0], "y_pred": [0], "clusters": ["p", "q"]}, "2 clusters' names for 1"),
    ],
)
def test_bad_input_is_refused(arguments, words) -> None:
    with pytest.raises(ConfigurationError, match=words):
        classification_metrics(**arguments)


def test_a_model_that_always_says_the_same_has_an_interval() -> None:
    found = classification_metrics([0] * 40 + [1] * 10, [0] * 50)["balanced_accuracy"]
    assert found.value == 0.5
    assert 0.3 < found.low < 0.48 < 0.52 < found.high < 0.7


def test_all_right_is_not_certain() -> None:
    found = classification_metrics([0] * 90 + [1] * 10, [0] * 90 + [1] * 10)
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert found[name].value == found[name].high == 1
        assert 0.5 < found[name].low < 0.99
    assert found["balanced_accuracy"].low < found["accuracy"].low


def test_clusters_widen_every_interval() -> None:
    rng = stream(0, "test")
    p = np.repeat(softmax(rng.normal(size=(40, 3))), 5, axis=0)
    y = np.repeat(rng.integers(0, 3, 40), 5)
    alone = classification_metrics(y, probabilities=p)
    together = classification_metrics(y, probabilities=p, clusters=np.repeat(np.arange(40), 5))
    for name, e in alone.items():
        assert together[name].value == e.value
        assert together[name].n_clusters == 40
        assert together[name].high - together[name].low > 1.5 * (e.high - e.low)
    one = classification_metrics(y, probabilities=p, clusters=["p"] * 200)
    assert {e.method for e in one.values()} == {"cannot tell: one cluster"}


# Calibration -------------------------------------------------------------------------------------


def test_calibration_golden() -> None:
    found = calibration_error([0.8, 0.8, 0.6, 0.6], [1, 0, 1, 1], bins=2)
    assert found.value == pytest.approx((0.3 + 0.4) / 2)
    assert found.parameters["bins_filled"] == 2


@given(st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), min_size=1, max_size=30))
def test_equal_confidences_share_a_bin_whatever_their_order(confidence) -> None:
    c = np.array(confidence)
    for kind in ("equal_mass", "equal_width"):
        code = calibration_bins(c, 4, kind)
        assert all(len(set(code[c == v])) == 1 for v in c)
        assert (np.diff(code[np.argsort(c, kind="stable")]) >= 0).all()
        assert np.array_equal(calibration_bins(c[::-1], 4, kind), code[::-1])
        assert 0 <= code.min() <= code.max() < 4


def test_equal_mass_is_equal() -> None:
    code = calibration_bins(stream(0, "test").random(150), 15)
    assert np.bincount(code).tolist() == [10] * 15


def test_equal_width_is_the_usual_formula() -> None:
    rng = stream(0, "test")
    c, right = rng.random(500), rng.random(500) < 0.6
    edges, value = np.linspace(0, 1, 16), 0.0
    for low, high in itertools.pairwise(edges):
        inside = (c > low) & (c <= high)
        if inside.any():
            value += inside.mean() * abs(right[inside].mean() - c[inside].mean())
    assert calibration_error(c, right, kind="equal_width").value == pytest.approx(value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"bins": 0}, "from 1"), ({"bins": 2.5}, "from 1"), ({"kind": "quantile"}, "equal_mass")],
)
def test_bad_bins_are_refused(arguments, words) -> None:
    with pytest.raises(ConfigurationError, match=words):
        calibration_error([0.5], [True], **arguments)
    with pytest.raises(ConfigurationError, match=r"1 of 2 confidences .* position 1"):
        calibration_error([0.5, 1.5], [True, True])


# Several findings --------------------------------------------------------------------------------

TRUTH = np.array([[1, 0, np.nan], [1, 1, 0], [0, 0, 0], [0, 1, 1]])
SAID = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0], [0, 0, 1]])


def test_findings_golden() -> None:
    found = values(finding_metrics(TRUTH, SAID, classes=["a", "b", "c"]))
    assert found["accuracy[a]"] == 0.75
    assert found["accuracy[c]"] == 1.0
    assert found["f1[a]"] == pytest.approx(2 / 3)
    assert found["accuracy_macro"] == pytest.approx((0.75 + 0.75 + 1) / 3)
    assert found["hamming_accuracy"] == pytest.approx(9 / 11)
    assert found["subset_accuracy"] == 0.5
    assert found["balanced_accuracy[b]"] == 0.75
    assert found["balanced_accuracy_macro"] == pytest.approx((0.75 + 0.75 + 1) / 3)


@given(st.integers(0, 1000))
def test_findings_agree_with_scikit_learn(seed) -> None:
    rng = np.random.default_rng(seed)
    truth, said = rng.random((2, 15, 3)) < 0.4
    found = finding_metrics(truth, said)
    assert found["subset_accuracy"].value == pytest.approx(sk.accuracy_score(truth, said))
    assert found["hamming_accuracy"].value == pytest.approx(1 - sk.hamming_loss(truth, said))
    if (truth | said).any():
        micro = sk.f1_score(truth, said, average="micro", zero_division=0)
        assert found["f1_micro"].value == pytest.approx(micro)
    each = sk.f1_score(truth, said, average=None, zero_division=np.nan)
    assert found["f1_macro"].value == pytest.approx(np.nanmean(each), nan_ok=True)


def test_unknown_findings_are_left_out_and_counted() -> None:
    found = finding_metrics(TRUTH, SAID, classes=["a", "b", "c"])
    assert found["accuracy[c]"].parameters["unknown"] == 1
    assert found["accuracy[c]"].n == 3
    assert found["hamming_accuracy"].parameters["unknown"] == 1
    minus = np.where(np.isnan(TRUTH), -1, TRUTH)
    assert repr(finding_metrics(minus, SAID, classes=["a", "b", "c"])) == repr(found)


def test_findings_as_lists_tables_and_arrow_are_the_same() -> None:
    lists = [["b"], [], ["a", "b"], None]
    expected = [[0, 1], [0, 0], [1, 1], [-1, -1]]
    assert findings_table(lists, ["a", "b"]).tolist() == expected
    assert findings_table(pa.array(lists), ["a", "b"]).tolist() == expected
    assert findings_table([[1], [], [0, 1], None], ["a", "b"]).tolist() == expected
    assert findings_table(np.array(expected)).tolist() == expected


def test_probabilities_of_findings() -> None:
    p = np.array([[0.9, 0.2], [0.5, 0.4], [0.1, 0.3]])
    y = np.array([[1, 0], [1, 1], [0, 0]])
    found = finding_metrics(y, probabilities=p, classes=["a", "b"])
    assert found["accuracy[a]"].value == 1.0
    assert found["log_loss[b]"].value == pytest.approx(sk.log_loss(y[:, 1], p[:, 1]))
    assert found["brier[b]"].value == pytest.approx(np.mean((p[:, 1] - y[:, 1]) ** 2))
    assert "ece[a]" in found


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"y_true": [["a"]], "y_pred": [["a"]]}, "name them"),
        ({"y_true": [["a"]], "y_pred": [["b"]], "classes": ["a"]}, "'b', which is no finding"),
        ({"y_true": np.eye(2), "y_pred": np.eye(3)}, "y_pred has 3 columns"),
        ({"y_true": np.eye(2) * 2, "y_pred": np.eye(2)}, "2 cells"),
        ({"y_true": np.eye(2), "y_pred": np.full((2, 2), np.nan)}, "4 predictions are missing"),
        ({"y_true": np.eye(2)}, "neither"),
        ({"y_true": np.eye(2), "probabilities": np.eye(2) * 2}, "no probabilities"),
        ({"y_true": np.eye(2), "probabilities": np.eye(3)}, "shape"),
        ({"y_true": np.eye(2), "y_pred": np.eye(2), "classes": ["a"]}, "2 columns"),
        ({"y_true": np.eye(2), "y_pred": np.ones((3, 2))}, "shape"),
    ],
)
def test_bad_findings_are_refused(arguments, words) -> None:
    with pytest.raises(ConfigurationError, match=words):
        finding_metrics(**arguments)


def test_findings_of_one_kind_only() -> None:
    found = finding_metrics(np.zeros((5, 2)), np.zeros((5, 2)))
    assert np.isnan(found["f1[0]"].value)
    assert "nothing" in found["f1_macro"].method
    assert found["balanced_accuracy[0]"].value == 1.0


# Coverage ----------------------------------------------------------------------------------------

WORLDS = {
    "2 classes": ([1, 1], 1.5, 0),
    "4 uneven": ([4, 3, 2, 1], 2.5, 0),
    "10 classes": ([1] * 10, 3.0, 0),
}
SCORED = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "brier", "ece")


def world(rng, prior, skill, n, size):
    """Labels and probabilities; examples of a cluster share half of their noise's variance."""
    prior = np.array(prior) / np.sum(prior)
    k = len(prior)
    y = rng.choice(k, size=n, p=prior)
    z = rng.normal(size=(n, k))
    if size > 1:
        z = (z + rng.normal(size=(n // size + 1, k))[np.arange(n) // size]) / np.sqrt(2)
    z[np.arange(n), y] += skill
    return y, softmax(z + np.log(prior))


def covered(name, n, size, runs):
    prior, skill, _ = WORLDS[name]
    rng = stream(0, "coverage of classification", f"{name} {n} {size}")
    y, p = world(rng, prior, skill, 300_000, 1)
    true = values(classification_metrics(y, probabilities=p))
    hits = dict.fromkeys(SCORED, 0)
    clusters = Clusters.of(np.arange(n) // size) if size > 1 else None
    for _ in range(runs):
        y, p = world(rng, prior, skill, n, size)
        found = classification_metrics(y, probabilities=p, classes=len(prior), clusters=clusters)
        for metric in SCORED:
            hits[metric] += found[metric].low <= true[metric] <= found[metric].high
    return hits


CASES = [(name, n, size) for name in WORLDS for n in (50, 200) for size in (1, 4)]


def check(case, runs, tests):
    least = binom.ppf(0.001 / (tests * len(SCORED)), runs, 0.93)
    hits = covered(*case, runs)
    assert not {metric: hit for metric, hit in hits.items() if hit < least}


@pytest.mark.parametrize("name", WORLDS)
def test_metrics_are_covered(name) -> None:
    check((name, 50, 4), 80, len(WORLDS))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_metrics_are_covered_fully(case) -> None:
    check(case, 3000, len(CASES))
