"""Images changed as they are written."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from shiftbench.builders.shared.changed import (
    ChangedReader,
    changed_locator,
    decode_image,
    encode_png,
)
from shiftbench.errors import ContentError
from shiftbench.store.check import content_hash


def encoded(mode: str, kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_that_a_build_accepts_is_decoded(mode: str) -> None:
    pixels = decode_image(encoded(mode))
    assert pixels.dtype == np.uint8
    assert pixels.shape == ((6, 5) if mode in ("1", "L", "LA") else (6, 5, 3))


def test_what_is_encoded_decodes_to_the_same_and_knows_its_hash() -> None:
    for shape in ((4, 7), (4, 7, 3)):
        pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
        data = encode_png(pixels)
        assert np.array_equal(decode_image(data), pixels)
        assert content_hash(data, "pixels") == content_hash(bytes(data), "pixels")


def test_only_what_is_to_be_changed_is_changed() -> None:
    png = encoded("RGB")
    seen = []

    def read(locator: str) -> Mapping[str, Any]:
        assert locator == "somewhere/Ünïcode \x1f.png"
        return {"image": png, "mask": b"kept"}

    def change(pixels: Any, text: str, ident: str) -> Any:
        seen.append((text, ident))
        return 255 - pixels

    reader = ChangedReader(read, change)
    where = "somewhere/Ünïcode \x1f.png"
    assert reader(changed_locator(where, "e1", "")) == {"image": png, "mask": b"kept"}
    made = reader(changed_locator(where, "e1", "invert=1"))
    assert np.array_equal(decode_image(made["image"]), 255 - decode_image(png))
    assert made["mask"] == b"kept"
    assert seen == [("invert=1", "e1")]


def test_the_part_of_a_shared_locator_goes_to_the_source() -> None:
    reader = ChangedReader(lambda locator: {"image": locator}, lambda *_: pytest.fail("changed"))
    shared = changed_locator("file\x1e.parquet", "e1", "")
    assert reader(f"{shared}\x1f17") == {"image": "file\x1e.parquet\x1f17"}


@pytest.mark.parametrize("turned", [1, 3, 6])
def test_a_photograph_lies_as_before_once_it_is_changed(turned: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turned
    out = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, "PNG", exif=exif)
    reader = ChangedReader(lambda _: {"image": out.getvalue()}, lambda picture, *_: picture)
    made = bytes(reader(changed_locator("a", "e1", "nothing"))["image"])
    # As `datasets` decodes images.
    shown = [
        np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
        for data in (out.getvalue(), made)
    ]
    assert np.array_equal(*shown)
    assert content_hash(made, "pixels") == content_hash(encode_png(pixels), "pixels")


@pytest.mark.parametrize("data", [b"", b"not an image", encoded("RGB")[:60]])
def test_what_cannot_be_decoded_is_content_that_cannot_be_used(data: bytes) -> None:
    with pytest.raises(ContentError):
        decode_image(data)


def test_sixteen_bits_are_refused() -> None:
    out = io.BytesIO()
    Image.fromarray(np.zeros((3, 3), np.uint16)).save(out, "PNG")
    with pytest.raises(ContentError, match="8 bits"):
        decode_image(out.getvalue())
