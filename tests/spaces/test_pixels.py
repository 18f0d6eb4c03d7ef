"""Thumbnails and histograms against their definitions, whatever the file's mode and depth."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shiftbench.errors import ContentError
from shiftbench.spaces import Pixels
from shiftbench.spaces._images import area_means


def table(*images: Image.Image) -> pa.Table:
    cells = []
    for image in images:
        out = io.BytesIO()
        image.save(out, "PNG")
        cells.append({"bytes": out.getvalue(), "path": None})
    return pa.table({"image": cells})


def noise(shape, seed: int = 0, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


@given(st.integers(1, 23), st.integers(1, 23), st.integers(1, 9), st.booleans())
def test_area_means_by_definition(h: int, w: int, size: int, colour: bool) -> None:
    """A grid on which both the pixels and the rectangles are whole cells."""
    x = noise((h, w, 3) if colour else (h, w), h * 31 + w)
    fine = np.repeat(np.repeat(x.astype(float), size, axis=0), size, axis=1)
    want = fine.reshape(size, h, size, w, -1).mean(axis=(1, 3))
    np.testing.assert_allclose(area_means(x, size).reshape(want.shape), want, rtol=2e-6)


def test_area_means_are_pillows_reduction_where_that_is_whole() -> None:
    x = noise((304, 200, 3))
    theirs = np.asarray(Image.fromarray(x).reduce((25, 38)), dtype=float)
    assert abs(area_means(x, 8) - theirs).max() < 0.51


def test_large_images_are_taken_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x = noise((97, 50, 3))
    whole = area_means(x, 8)
    monkeypatch.setattr("shiftbench.spaces._images._ROWS_AT_ONCE", 500)
    np.testing.assert_allclose(area_means(x, 8), whole, rtol=1e-5)


@pytest.mark.parametrize("bins", [2, 7, 16, 256])
def test_histogram_by_definition(bins: int) -> None:
    x = noise((9, 14, 3))
    raw = Pixels(size=1, bins=bins).raw(table(Image.fromarray(x)))[0, 3:].reshape(3, bins)
    for c in range(3):
        want = np.histogram(x[..., c], bins=bins, range=(0, 256))[0] / x[..., c].size
        np.testing.assert_allclose(raw[c], want, rtol=1e-6)


def test_layout_of_the_features() -> None:
    x = noise((8, 8, 3))
    space = Pixels()
    raw = space.raw(table(Image.fromarray(x)))
    assert raw.shape == (1, 3 * 64 + 3 * 16)
    names = space.fit(raw).names
    assert raw[0, names.index("green at 2,5")] == np.float32(x[2, 5, 1] / 255)
    assert 0 <= raw.min() <= raw.max() <= 1


def test_grey_counts_as_three_equal_channels_or_as_one() -> None:
    x = noise((16, 16))
    grey, rgb = Image.fromarray(x), Image.fromarray(np.dstack([x] * 3))
    assert (Pixels().raw(table(grey)) == Pixels().raw(table(rgb))).all()
    one = Pixels(channels="grey")
    assert one.raw(table(grey)).shape == (1, 64 + 16)
    np.testing.assert_allclose(one.raw(table(grey)), one.raw(table(rgb)), atol=1e-6)


def test_sixteen_bits_are_scaled_by_their_depth() -> None:
    x = noise((20, 20))
    deep = Image.fromarray(x.astype(np.uint16) * 257)
    assert deep.mode.startswith("I;16")
    a, b = Pixels().raw(table(Image.fromarray(x))), Pixels().raw(table(deep))
    np.testing.assert_allclose(a, b, atol=1e-6)
    dark = Pixels().raw(table(Image.fromarray(x.astype(np.uint16))))  # 255 of 65535
    assert dark[0, :192].max() < 0.01
    netpbm = io.BytesIO(b"P5 20 20 65535 " + (x.astype(">u2") * 257).astype(">u2").tobytes())
    cell = pa.table({"image": [{"bytes": netpbm.getvalue(), "path": None}]})
    np.testing.assert_allclose(Pixels().raw(cell), a, atol=1e-6)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_without_a_full_scale_are_refused(mode: str) -> None:
    out = io.BytesIO()
    Image.new(mode, (4, 4)).save(out, "TIFF")
    with pytest.raises(ContentError, match="row 0: pixels of 32 bits"):
        Pixels().raw(pa.table({"image": [{"bytes": out.getvalue(), "path": None}]}))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_is_what_a_training_loop_sees(mode: str) -> None:
    image = Image.fromarray(noise((16, 16, 3))).convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.fromarray(noise((16, 16), 1)))
    out = io.BytesIO()
    image.save(out, "TIFF" if mode in ("CMYK", "YCbCr") else "PNG")
    plain = Image.open(io.BytesIO(out.getvalue())).convert("RGB")
    raw = Pixels().raw(pa.table({"image": [{"bytes": out.getvalue(), "path": None}]}))
    np.testing.assert_allclose(raw, Pixels().raw(table(plain)), atol=1e-6)


def test_orientation_in_exif_is_ignored() -> None:
    image = Image.fromarray(noise((16, 24, 3)))
    exif = Image.Exif()
    exif[274] = 6
    turned, plain = io.BytesIO(), io.BytesIO()
    image.save(turned, "PNG", exif=exif)
    image.save(plain, "PNG")
    raw = [
        Pixels().raw(pa.table({"image": [{"bytes": f.getvalue(), "path": None}]}))
        for f in (turned, plain)
    ]
    assert (raw[0] == raw[1]).all()


def test_both_parts_weigh_the_same_on_the_reference() -> None:
    pictures = table(*(Image.fromarray(noise((10, 10, 3), i)) for i in range(12)))
    space = Pixels()
    raw = space.raw(pictures)
    fitted = space.fit(raw)
    made = fitted.transform(raw)
    np.testing.assert_allclose(made.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(made[:, :192].var(axis=0).sum(), 1)
    np.testing.assert_allclose(made[:, 192:].var(axis=0).sum(), 1)
    ratio = made[:, :192].std(axis=0) / raw[:, :192].std(axis=0, dtype=float)
    np.testing.assert_allclose(ratio, ratio[0])


def test_a_part_that_does_not_vary_is_named_and_keeps_its_scale() -> None:
    x = noise((8, 8))
    same_histogram = table(*(Image.fromarray(np.roll(x, i, axis=0)) for i in range(4)))
    space = Pixels()
    raw = space.raw(same_histogram)
    fitted = space.fit(raw)
    assert fitted.state["constant"] == ["histogram"]
    assert (fitted.transform(raw)[:, 192:] == 0).all()
    other = fitted.transform(space.raw(table(Image.fromarray(np.zeros((8, 8), np.uint8)))))
    assert 0.5 < abs(other[:, 192:]).max() <= 1
