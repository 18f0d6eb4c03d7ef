"""What goes into a comparison: features that are none, labels of several types, certainty."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from shiftbench.distances import measure
from shiftbench.distances.samples import features_of
from shiftbench.errors import ConfigurationError

X = np.random.default_rng(0).normal(size=(12, 3))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (1.0, "has the shape"),
        (None, "has the shape"),
        ({"a": 1}, "no array of numbers"),
        ((row for row in X), "no array of numbers"),
        ([[1.0, 2.0], [3.0]], "no array of numbers"),
        (csr_array(X), "no array of numbers"),
        (X + 1j, "no array of numbers"),
        (np.ma.masked_array(X, X[2, 1] == X), "1 values that are NaN .* row 2, column 1"),
        (X * 1e200, r"largest number of the source is .*allowed: 1e-60 to 1e\+60"),
        (X * 1e-200, "divide the features by a constant"),
    ],
)
def test_what_is_no_table_of_numbers_is_told(values, words):
    with pytest.raises(ConfigurationError, match=words):
        measure("energy", values, X)


def test_what_is_one_in_another_form_is_the_same():
    columns = np.asfortranarray(X.astype(np.float32))
    for values in (columns, columns.tolist(), columns.astype(object), np.ma.masked_array(columns)):
        assert (features_of(values, "source") == columns).all()
    assert features_of([True, False], "source").tolist() == [[1.0], [0.0]]
    assert features_of([1e-300, 1.0], "source").tolist() == [[1e-300], [1.0]]


@pytest.mark.parametrize("unit", [2.0**-180, 2.0**180])
@pytest.mark.parametrize(
    ("name", "power"),
    [("energy", 1), ("sliced_wasserstein", 1), ("wasserstein", 1), ("frechet", 2), ("moments", 0)],
)
def test_the_unit_of_the_features_does_not_matter(name, power, unit):
    y = X[:7] * 0.9 + 0.5
    found, scaled = (measure(name, u * X, u * y, n_permutations=0) for u in (1.0, unit))
    plain, as_scaled = (s.parameters.get("plug_in", s.value) for s in (found, scaled))
    assert as_scaled == pytest.approx(unit**power * plain, rel=1e-8)
    assert np.isfinite(scaled.high)


@pytest.mark.parametrize("n", [1.5, "a", None, True, -1])
def test_permutations_are_a_whole_number(n):
    with pytest.raises(ConfigurationError, match="whole numbers from 0 on"):
        measure("energy", X, X + 1, n_permutations=n)


@pytest.mark.parametrize("name", ["label_tv", "label_js"])
@pytest.mark.parametrize(
    "sides",
    [
        ([0, 1] * 10, [0.0, 1.0] * 10),
        ([0, 1] * 10, [False, True] * 10),
        (["a", "b"] * 10, np.array(["a", "b"] * 10, dtype="S")),
    ],
)
def test_a_label_of_another_type_is_the_same_label(name, sides):
    found = measure(name, *sides)
    assert found.parameters["plain"] == 0
    assert found.p_value == 1


@pytest.mark.parametrize("name", ["energy", "sliced_wasserstein", "frechet", "ks", "moments"])
def test_sides_that_do_not_vary_are_no_certainty(name):
    found = measure(name, np.zeros(20), np.ones(20))
    assert found.value > 0
    assert found.p_value < 0.01
    assert np.isnan([found.low, found.high]).all()
    assert "neither side varies" in found.method
