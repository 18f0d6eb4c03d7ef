"""The digits of scikit-learn as a source."""

from __future__ import annotations

import hashlib
import io
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

import shiftbench as sb
from shiftbench.errors import ConfigurationError, ContentError
from shiftbench.sources import Digits
from shiftbench.sources.digits import enlarged
from tests.sources.whole import Whole


def pixels_of(data):
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "L"
        return np.asarray(image)


def literal_bilinear(pixels, size):
    """Each pixel by itself, in fractions: 255/16 of the mean of the four around it, half up."""
    made = np.zeros((size, size), np.uint8)
    for i in range(size):
        for j in range(size):
            total = Fraction(0)
            y, x = (min(max(Fraction(2 * k + 1, 2 * size) * 8 - Fraction(1, 2), 0), 7)
                    for k in (i, j))  # fmt: skip
            for a in range(8):
                for b in range(8):
                    weight = max(1 - abs(y - a), 0) * max(1 - abs(x - b), 0)
                    total += weight * int(pixels[a, b])
            made[i, j] = int(total * 255 / 16 + Fraction(1, 2))
    return made


@settings(max_examples=20)
@given(st.lists(st.integers(0, 16), min_size=64, max_size=64), st.sampled_from([8, 9, 13, 16]))
def test_enlarging_is_bilinear(values, size):
    pixels = np.array(values).reshape(8, 8)
    assert (enlarged(pixels, size) == literal_bilinear(pixels, size)).all()


def test_the_images_are_those_of_scikit_learn():
    stored, digits = load_digits(return_X_y=True)
    source = Digits(size=8)
    found = source.scan().examples
    assert found["label"].to_pylist() == [str(d) for d in digits]
    assert found["example_id"].to_pylist() == sorted(found["example_id"].to_pylist())
    assert found["cluster_id"] == found["example_id"]
    read = source.reader()
    for row in (0, 17, 1796):
        wanted = np.floor(stored[row].reshape(8, 8) * 255 / 16 + 0.5)
        assert (pixels_of(read(found["locator"][row].as_py())["image"]) == wanted).all()


def test_the_pixels_are_the_same_everywhere():
    digest = hashlib.sha256()
    read = pickle.loads(pickle.dumps(Digits().reader()))
    for row in range(0, 1797, 100):
        digest.update(pixels_of(read(str(row))["image"]).tobytes())
    assert digest.hexdigest() == (
        "14c30ba22cf8608266d886d681ffb7734a81c1375a8133180f949d142aec97de"
    )


def test_a_benchmark_of_digits(tmp_path):
    found = sb.build(Whole(Digits(size=8)), tmp_path / "b", measure=False, n_jobs=1)
    table = found.table("whole")
    assert len(table) == 1797
    stored, digits = load_digits(return_X_y=True)
    assert table["label"].to_pylist() == digits.tolist()
    wanted = np.floor(stored[1700].reshape(8, 8) * 255 / 16 + 0.5)
    assert (pixels_of(table["image"][1700].as_py()["bytes"]) == wanted).all()


def test_metadata():
    found = Digits().scan()
    assert found.identity == "pixels"
    assert found.redistributable
    assert found.license == "cc-by-4.0"
    assert "not recorded" in found.notes["writers"]
    assert found.fingerprint == Digits().scan().fingerprint
    assert found.fingerprint != Digits(size=8).scan().fingerprint


@pytest.mark.parametrize("size", [7, 513, True, 8.0])
def test_sizes_that_are_refused(size):
    with pytest.raises(ConfigurationError, match="8 to 512"):
        Digits(size=size)


@pytest.mark.parametrize("locator", ["1797", "-1", "x", ""])
def test_rows_that_are_not_there(locator):
    with pytest.raises(ContentError, match="no digit"):
        Digits().reader()(locator)
