"""Encoding pixels: what is decoded again is what went in, and the hash is that of the pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shiftbench.schema import Checks
from shiftbench.sources._pixel_images import flat_png, numbered_ids, png
from shiftbench.store.check import check_image, content_hash


@pytest.mark.parametrize("encode", [png, flat_png])
@given(st.integers(1, 40), st.integers(1, 40), st.booleans(), st.integers(0, 2**32 - 1))
def test_pixels_come_back(encode, height, width, colour, seed):
    shape = (height, width, 3) if colour else (height, width)
    # A part of a larger array, rows and columns swapped: not contiguous.
    whole = np.random.default_rng(seed).integers(0, 256, (50, 50, 3)).astype(np.uint8)
    pixels = whole.swapaxes(0, 1)[:height, :width] if colour else whole[:width, :height, 0].T
    assert pixels.shape == shape
    data = encode(pixels)
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == ("RGB" if colour else "L")
        assert (np.asarray(image) == pixels).all()
    check_image(data, Checks("decode"))
    assert content_hash(data, "pixels") == content_hash(bytes(data), "pixels")


def test_ids_sort_as_numbers():
    for n in (1, 999_999, 1_000_000, 2_000_001):
        rows = np.unique([0, 1, 9, 10, n // 2, n - 1])
        ids = numbered_ids("image", rows, n).to_pylist()
        assert len(set(ids)) == len(ids)
        assert ids == sorted(ids)
    assert numbered_ids("image", np.array([7]), 10).to_pylist() == ["image-000007"]
