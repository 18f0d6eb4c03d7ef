"""Spectra of known fields, against a plain DFT, and on radiographs that were squeezed."""

from __future__ import annotations

import csv
import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shiftbench.errors import ConfigurationError, ContentError
from shiftbench.spaces import Spectrum, embed

NAMES = Spectrum().fit(np.zeros((1, 30), np.float32)).names


def cell(values: np.ndarray) -> dict[str, object]:
    """16 bits, so that rounding to grey levels plays no part."""
    out = io.BytesIO()
    Image.fromarray((np.clip(values, 0, 1) * 65535).astype(np.uint16)).save(out, "PNG")
    return {"bytes": out.getvalue(), "path": None}


def raw(*images: np.ndarray, space: Spectrum | None = None) -> np.ndarray:
    return (space or Spectrum()).raw(pa.table({"image": [cell(x) for x in images]}))


def found(x: np.ndarray) -> dict[str, float]:
    return dict(zip(NAMES, raw(x)[0].tolist(), strict=True))


def white(shape: tuple[int, int], seed: int = 0, sd: float = 0.1) -> np.ndarray:
    return 0.5 + sd * np.random.default_rng(seed).normal(size=shape)


def wave(shape: tuple[int, int], down: float, right: float, size: float = 0.2) -> np.ndarray:
    i, j = np.indices(shape)
    return 0.5 + size * np.cos(2 * np.pi * (down * i + right * j))


def test_white_noise_has_the_same_power_everywhere() -> None:
    made = raw(*(white((512, 512), i) for i in range(8))).mean(axis=0)
    want = np.zeros(30)
    want[-1] = np.log(20)
    np.testing.assert_allclose(made, want, atol=0.05)


@pytest.mark.parametrize("shape", [(64, 64), (40, 50)])
def test_power_is_that_of_a_plain_dft(shape: tuple[int, int]) -> None:
    x = np.round(np.random.default_rng(0).uniform(size=shape) * 65535) / 65535
    hann = np.outer(*(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in shape))
    y = (x - (hann * x).sum() / hann.sum()) * hann
    k = np.arange(-32, 32)
    basis = [np.exp(-2j * np.pi * np.outer(k, np.arange(n)) / 64) for n in shape]
    power = abs(basis[0] @ y @ basis[1].T) ** 2 / (hann**2).sum()
    down, right = np.meshgrid(k / 64, k / 64, indexing="ij")
    radius = np.hypot(down, right)
    inside = (radius > 0) & (radius <= 0.5)
    total = power[inside].mean()
    got = dict(zip(NAMES, raw(x)[0], strict=True))
    for b in range(16):
        ring = inside & (radius >= b / 32) & ((radius < (b + 1) / 32) | (b == 15))
        assert got[f"power {b}"] == pytest.approx(np.log(power[ring].mean() / total), abs=1e-3)
    top = inside & (radius >= 0.375)
    flat = top & (abs(down) <= np.tan(np.pi / 8) * abs(right))
    steep = top & (abs(right) < np.tan(np.pi / 8) * abs(down))
    want = np.log(power[flat].mean() / power[steep].mean())
    assert got["horizontal/vertical 3"] == pytest.approx(want, abs=1e-3)


@pytest.mark.parametrize(
    ("down", "right", "sign"),
    [
        (0.0, 0.3, {"horizontal/vertical 2": 1, "axes/diagonals 2": 1}),
        (0.3, 0.0, {"horizontal/vertical 2": -1, "axes/diagonals 2": 1}),
        (0.2, 0.2, {"falling/rising 2": 1, "axes/diagonals 2": -1}),
        (0.2, -0.2, {"falling/rising 2": -1, "axes/diagonals 2": -1}),
    ],
)
def test_a_wave_is_seen_where_it_is(down: float, right: float, sign: dict[str, int]) -> None:
    made = found(wave((256, 300), down, right))
    powers = [made[f"power {k}"] for k in range(16)]
    assert abs(int(np.argmax(powers)) - int(np.hypot(down, right) * 32)) <= 1
    for name, direction in sign.items():
        assert direction * made[name] > 3
    for name in {"horizontal/vertical 2", "falling/rising 2"} - set(sign):
        assert abs(made[name]) < 1


@given(st.integers(3, 90), st.integers(3, 90), st.integers(0, 99))
def test_turning_and_mirroring(h: int, w: int, seed: int) -> None:
    x = np.random.default_rng(seed).uniform(0.2, 0.8, (h, w))
    made, turned, mirrored = raw(x, x.T, x[:, ::-1])
    across, down = np.ones(30), np.ones(30)
    across[[16, 17, 19, 20, 22, 23, 25, 26]] = [-1, 1] * 4
    down[[17, 20, 23, 26]] = -1
    # Waves at exactly ±22.5° or 45° could change sectors; no frequency of the grid lies there.
    np.testing.assert_allclose(turned, made * across, atol=2e-3)
    np.testing.assert_allclose(mirrored, made * down, atol=2e-3)


def test_gain_and_offset_cancel() -> None:
    x = white((300, 280), sd=0.05)
    smooth = (x + np.roll(x, 1, 0) + np.roll(x, 1, 1)) / 3
    a, b = raw(smooth, 0.4 * smooth + 0.3)
    np.testing.assert_allclose(a, b, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (2, 40), (28, 28), (256, 256), (600, 3000)])
def test_constant_and_tiny_images_are_finite(shape: tuple[int, int]) -> None:
    want = np.zeros(30)
    want[-1] = np.log(20)
    np.testing.assert_allclose(raw(np.full(shape, 0.3))[0], want, atol=1e-3)
    assert np.isfinite(raw(white(shape))).all()


def test_noise_is_found_under_a_slope() -> None:
    i, j = np.indices((256, 256)) / 256
    slope = 0.2 + 0.3 * i + 0.3 * j
    for sd in (0.005, 0.02):
        x = slope + np.random.default_rng(0).normal(0, sd, slope.shape)
        hann = np.outer(*(np.sin(np.pi * (np.arange(256) + 0.5) / 256) ** 2,) * 2)
        mean = (hann * x).sum() / hann.sum()
        power = (((x - mean) * hann) ** 2).sum() / (hann**2).sum()
        # The total is over the disk of frequencies up to the Nyquist; a slope has few above it.
        low = np.log(sd**2 / (power * 4 / np.pi))
        assert found(x)["noise"] == pytest.approx(low, abs=0.15)


def test_blur_lowers_sharpness_and_high_frequencies() -> None:
    from scipy.ndimage import gaussian_filter

    x = white((256, 256), sd=0.2)
    made = [found(gaussian_filter(x, s)) for s in (0, 0.5, 1, 2)]
    for name in ("sharpness", "power 15", "noise"):
        values = [m[name] for m in made]
        assert values == sorted(values, reverse=True)


def test_tiles_cover_the_image_and_are_few() -> None:
    from shiftbench.spaces.spectrum import MAX_TILES, TILE, _starts

    for n in (1, 256, 257, 384, 512, 1000, 20_000):
        size = min(n, TILE)
        starts = _starts(n, size)
        assert starts[0] == 0
        assert starts[-1] == n - size
        assert len(starts) <= MAX_TILES
        if n <= 1000:
            assert max(np.diff(starts), default=0) <= size // 2


def field(pitch: tuple[float, float], seed: int, extent: float = 120.0) -> np.ndarray:
    """An isotropic field of waves of up to 1 cycle/mm, seen at two pitches (mm)."""
    random = np.random.default_rng(seed)
    rows, columns = (np.arange(int(extent / p)) * p for p in pitch)
    angle, frequency, phase = random.uniform(size=(3, 300))
    down, right = frequency * np.sin(2 * np.pi * angle), frequency * np.cos(2 * np.pi * angle)
    along_rows = np.exp(2j * np.pi * (np.outer(rows, down) + phase))
    x = (along_rows @ np.exp(2j * np.pi * np.outer(right, columns))).real
    return 0.5 + x / 100


def pitched(*pitches: tuple[float, float], seeds: range = range(6)) -> pa.Table:
    rows = [(cell(field(p, s)), *p) for p in pitches for s in seeds]
    image, down, right = zip(*rows, strict=True)
    return pa.table({"image": image, "row_pitch": down, "column_pitch": right})


def test_resampling_compares_over_the_same_cycles_per_mm() -> None:
    """The same scenes squeezed: without resampling the direction shows; with it, nothing does."""
    table = pitched((0.4, 0.4), (0.3, 0.45), (0.45, 0.3))
    asked = {"row_spacing": "row_pitch", "column_spacing": "column_pitch"}
    resampled = Spectrum(bands=8, spacing=0.5, **asked)
    assert resampled.columns(table.schema) == ("image", "row_pitch", "column_pitch")
    a, b, c = np.split(Spectrum(bands=8).raw(table), 3)
    contrast = 8 + 3 * 2  # horizontal/vertical, third coarse ring
    plain = [part[:, contrast].mean() for part in (a, b, c)]
    assert plain[1] > 0.4 > abs(plain[0]) > -0.4 > plain[2]
    a, b, c = np.split(resampled.raw(table), 3)
    np.testing.assert_allclose(b, a, atol=0.25)
    np.testing.assert_allclose(c, a, atol=0.25)
    np.testing.assert_allclose(b.mean(axis=0), a.mean(axis=0), atol=0.1)


def test_resampling_to_the_own_pitch_changes_nothing() -> None:
    table = pitched((0.3, 0.3), seeds=range(2))
    same = Spectrum(spacing=0.3, row_spacing="row_pitch")
    assert (same.raw(table) == Spectrum().raw(table)).all()


def test_what_an_image_does_not_hold_is_not_compared() -> None:
    table = pitched((0.3, 0.3), (0.3, 0.45), seeds=range(1))
    asked = {"row_spacing": "row_pitch", "column_spacing": "column_pitch"}
    with pytest.raises(ConfigurationError, match=r"row 1 has a pitch of 0\.45"):
        Spectrum(spacing=0.4, **asked).raw(table)
    absent = table.set_column(1, "row_pitch", pa.array([0.3, None]))
    with pytest.raises(ContentError, match="row 1: the pixel spacing in 'row_pitch' is None"):
        Spectrum(spacing=0.5, **asked).raw(absent)
    with pytest.raises(ConfigurationError, match="did you mean 'row_pitch'"):
        Spectrum(spacing=0.5, row_spacing="row_pich").columns(table.schema)


def test_a_constant_feature_of_the_reference_keeps_its_scale() -> None:
    one = pa.table({"image": [cell(white((64, 64)))]})
    other = pa.table({"image": [cell(white((64, 64), 1))]})
    a, b = embed("spectrum", one, other)
    assert (a == 0).all()
    assert 0 < abs(b).max() < 5


@pytest.fixture(scope="module")
def radiographs(shared_data) -> tuple[pa.Table, np.ndarray]:
    """90 of the NIH radiographs with the pitch that they were released with, and their shape.

    They were squeezed to 1024 × 1024, so a released pixel is original size / 1024 originals wide.
    """
    folder = shared_data / "chest_xray"
    if not (folder / "manifest.csv").is_file():
        pytest.skip(f"no radiographs in {folder}")
    with (folder / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    shape = np.array([int(r["original_width"]) / int(r["original_height"]) for r in rows])
    kinds = np.select([shape > 1.1, shape < 0.9], [1, -1], 0)
    chosen = np.concatenate([np.flatnonzero(kinds == k)[:30] for k in (1, -1, 0)])
    picked = [rows[i] for i in chosen]
    pitch = [
        [float(r["pixel_spacing_mm"]) * int(r[f"original_{side}"]) / 1024 for r in picked]
        for side in ("height", "width")
    ]
    data = [{"bytes": (folder / "images" / r["image"]).read_bytes()} for r in picked]
    return pa.table({"image": data, "rows_mm": pitch[0], "columns_mm": pitch[1]}), kinds[chosen]


def test_squeezed_radiographs_and_isotropic_resampling(radiographs) -> None:
    """NIH's squeeze shows as direction, by far the largest difference; resampling removes it."""
    table, kinds = radiographs
    asked = {"row_spacing": "rows_mm", "column_spacing": "columns_mm"}
    at = NAMES.index("horizontal/vertical 3")
    means = {}
    for name, space in (("as released", Spectrum()), ("0.42 mm", Spectrum(spacing=0.42, **asked))):
        made = space.raw(table)
        assert np.isfinite(made).all()
        means[name] = [float(made[kinds == k, at].mean()) for k in (1, -1, 0)]
    landscape, portrait, square = means["as released"]
    assert 0.3 < landscape < 0.7
    assert -0.8 < portrait < -0.3
    assert abs(square) < 0.15
    landscape_after, portrait_after, square_after = means["0.42 mm"]
    assert abs(landscape_after - portrait_after) < 0.35 * (landscape - portrait)
    assert abs(square_after) < 0.15
