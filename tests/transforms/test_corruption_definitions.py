"""Each corruption against its definition, computed another way."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from scipy.stats import poisson

from shiftbench.statistics import stream
from shiftbench.transforms import CorruptionStep, corrupt_image, corruption_named
from shiftbench.transforms._corrupt_fields import convolved, fractal, smooth, soft_top, trace
from shiftbench.transforms.corruptions_blur import SOFTENING, ZOOMS
from shiftbench.transforms.corruptions_digital import SMOOTHNESS
from shiftbench.transforms.corruptions_weather import AIRLIGHT, ICE, MUD
from tests.transforms.photographs import made

LUMA = np.array([0.299, 0.587, 0.114])


def corrupted(pixels, name, value, *, ident="a"):
    return corrupt_image(pixels, CorruptionStep(name, value=value), seed=0, ident=ident)


def drawn(name, ident="a"):
    return stream(0, f"corruption {name}", ident)


def rounded(values):
    return np.clip(np.floor(np.asarray(values, np.float64) + 0.5), 0, 255)


def worst(a, b) -> float:
    return float(np.abs(a.astype(np.float64) - b).max())


def flat(level: int, side: int = 300):
    return np.full((side, side), level, np.uint8)


def test_gaussian_noise_has_its_deviation_and_is_white() -> None:
    for sd in (0.05, 0.1):
        noise = corrupted(flat(128), "gaussian_noise", sd).astype(float) - 128
        # The standard error of a deviation of n Gaussian numbers is 1 / √(2n) of it: 0.24 %.
        assert noise.std() == pytest.approx(255 * sd, rel=0.01)
        assert abs(noise.mean()) < 4 * noise.std() / 300
        assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 4 / 300


def test_gaussian_noise_of_channels_is_independent() -> None:
    noise = corrupted(np.full((200, 200, 3), 128, np.uint8), "gaussian_noise", 0.1).reshape(-1, 3)
    assert np.abs(np.corrcoef(noise.T) - np.eye(3)).max() < 4 / 200


def test_speckle_grows_with_the_pixel() -> None:
    for level in (40, 100):
        noise = corrupted(flat(level), "speckle_noise", 0.2).astype(float)
        assert noise.std() == pytest.approx(0.2 * level, rel=0.02)
    assert (corrupted(flat(0), "speckle_noise", 0.5) == 0).all()


@pytest.mark.parametrize("photons", [0.7, 3, 12, 60, 1000])
def test_shot_noise_is_the_quantile_of_poisson(photons: float) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (120, 130, 3), dtype=np.uint8)
    uniform = (drawn("shot_noise").integers(0, 2**32, pixels.shape, dtype=np.uint32) + 0.5) / 2**32
    counts = poisson.ppf(uniform, pixels * (photons / 255))
    expected = rounded(counts * (255 / photons))
    found = corrupted(pixels, "shot_noise", photons)
    assert (found != expected).mean() < 1e-4  # ties of rounding


def test_shot_noise_has_the_mean_and_variance_of_counts() -> None:
    found = corrupted(flat(100), "shot_noise", 60).astype(float) * 60 / 255
    mean = 60 * 100 / 255
    assert found.mean() == pytest.approx(mean, rel=0.005)
    assert found.var() == pytest.approx(mean, rel=0.03)


def test_impulse_noise_loses_its_share_and_severities_nest() -> None:
    before = np.zeros((300, 300), bool)
    for severity, share in enumerate(corruption_named("impulse_noise").severities, 1):
        found = corrupt_image(flat(100), f"impulse_noise={severity}", seed=0, ident="a")
        lost = found != 100
        assert lost.mean() == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share)) / 300)
        assert set(np.unique(found[lost])) == {0, 255}
        assert (found[lost] == 255).mean() == pytest.approx(0.5, abs=0.03)
        assert not (before & ~lost).any()
        before = lost
    assert set(np.unique(corrupted(flat(100), "impulse_noise", 1))) == {0, 255}


@pytest.mark.parametrize("name", ["gaussian_noise", "speckle_noise"])
def test_severities_share_their_noise(name: str) -> None:
    one, two = (corrupted(flat(120), name, v).astype(float) - 120 for v in (0.1, 0.2))
    inside = np.abs(two) < 110
    assert np.abs(two - 2 * one)[inside].max() <= 1.5


@pytest.mark.parametrize("sd", [1, 3, 6])
def test_gaussian_blur_is_convolution_with_mirrored_edges(sd: float) -> None:
    pixels = made(224, 250)
    expected = np.stack(
        [
            ndimage.gaussian_filter(pixels[..., c].astype(float), sd, mode="reflect", truncate=8)
            for c in range(3)
        ],
        axis=-1,
    )
    assert worst(corrupted(pixels, "gaussian_blur", sd), expected) <= 1


def shown_at(pixels, rows, columns):
    """Linear between pixels, mirrored; in float64."""
    places = np.broadcast_arrays(rows, columns)
    planes = pixels.reshape(*pixels.shape[:2], -1).astype(np.float64)
    made_ = [
        ndimage.map_coordinates(planes[..., c], places, order=1, mode="reflect")
        for c in range(planes.shape[2])
    ]
    return np.stack(made_, axis=-1).reshape(pixels.shape)


def grid(shape):
    return np.arange(shape[0], dtype=float)[:, None], np.arange(shape[1], dtype=float)


@pytest.mark.parametrize("radius", [2, 5])
def test_defocus_is_the_mean_over_a_disc(radius: float) -> None:
    pixels = made(112, 120)  # a radius of half the stated one
    at = np.random.default_rng(0).uniform(-radius / 2, radius / 2, (4000, 2))
    at = at[(at**2).sum(axis=1) <= (radius / 2) ** 2]
    rows, columns = grid(pixels.shape)
    expected = np.mean([shown_at(pixels, rows + y, columns + x) for y, x in at[:250]], axis=0)
    assert np.abs(corrupted(pixels, "defocus_blur", radius) - expected).mean() < 0.8


@pytest.mark.parametrize("ident", ["a", "b", "c"])
def test_motion_blur_is_the_mean_along_a_track(ident: str) -> None:
    pixels = made(112, 100)
    angle = math.pi * drawn("motion_blur", ident).random()
    rows, columns = grid(pixels.shape)
    length = 20 * 100 / 224
    along = np.linspace(-length / 2, length / 2, 81)
    expected = np.mean(
        [
            shown_at(pixels, rows + t * math.sin(angle), columns + t * math.cos(angle))
            for t in along
        ],
        axis=0,
    )
    found = corrupted(pixels, "motion_blur", 20, ident=ident)
    assert np.abs(found - expected).mean() < 0.8


def test_zoom_blur_is_the_mean_of_enlargements() -> None:
    pixels = made(90, 120)
    rows, columns = grid(pixels.shape)
    middle = [(n - 1) / 2 for n in pixels.shape[:2]]
    expected = np.mean(
        [
            shown_at(
                pixels, (rows - middle[0]) / f + middle[0], (columns - middle[1]) / f + middle[1]
            )
            for f in np.linspace(1, 1.3, ZOOMS)
        ],
        axis=0,
    )
    assert worst(corrupted(pixels, "zoom_blur", 1.3), expected) <= 1.5


def test_glass_blur_takes_pixels_from_nearby() -> None:
    pixels = made(112, 120)
    h, w = pixels.shape[:2]
    reach = np.float32(16 * 112 / 224)
    rng = drawn("glass_blur")
    way, chance = (rng.random((2, h, w), dtype=np.float32) for _ in range(2))
    moved = np.empty(pixels.shape)
    for i in range(h):
        for j in range(w):
            y, x = (
                int(np.floor(2 * reach * way[k, i, j] - reach + chance[k, i, j])) for k in (0, 1)
            )
            assert max(abs(y), abs(x)) <= math.ceil(reach)
            y, x = (-1 - v if v < 0 else 2 * n - 1 - v if v >= n else v
                    for v, n in ((i + y, h), (j + x, w)))  # fmt: skip
            moved[i, j] = pixels[y, x]
    expected = [
        ndimage.gaussian_filter(moved[..., c], SOFTENING * float(reach), mode="reflect", truncate=8)
        for c in range(3)
    ]
    found = corrupted(pixels, "glass_blur", 16)
    assert worst(found, np.stack(expected, axis=-1)) <= 1


def test_kernels_convolve_as_scipy_does() -> None:
    rng = np.random.default_rng(0)
    kernel = trace(rng.uniform(-3, 3, 20), rng.uniform(-4, 4, 20))
    assert kernel.sum() == pytest.approx(1)
    assert kernel.min() >= 0
    image = rng.random((31, 44, 2)).astype(np.float32)
    found = convolved(image, kernel)
    for c in range(2):
        expected = ndimage.convolve(image[..., c].astype(float), kernel, mode="reflect")
        assert found[..., c] == pytest.approx(expected, abs=1e-5)


def test_a_kernel_has_its_centre_and_spread() -> None:
    rows, columns = np.array([0.25, -1.5, 2.0]), np.array([1.75, 0.0, -0.5])
    kernel = trace(rows, columns)
    at = np.arange(len(kernel)) - len(kernel) // 2
    assert (kernel.sum(axis=1) * at).sum() == pytest.approx(rows.mean(), abs=1e-6)
    assert (kernel.sum(axis=0) * at).sum() == pytest.approx(columns.mean(), abs=1e-6)


@pytest.mark.parametrize("shape", [(64, 64), (50, 120), (7, 5)])
def test_fields_are_standard(shape: tuple[int, int]) -> None:
    for field in (
        fractal(shape, 1.5, np.random.default_rng(0)),
        smooth(shape, 2.0, np.random.default_rng(0)),
    ):
        assert field.shape == shape
        assert field.mean() == pytest.approx(0, abs=1e-5)
        assert field.std() == pytest.approx(1, abs=1e-4)


def test_smooth_fields_are_as_smooth_as_stated() -> None:
    """White noise behind a Gaussian of σ has the autocorrelation exp(−d² / 4σ²)."""
    field = np.concatenate([smooth((256, 256), 4.0, np.random.default_rng(s)) for s in range(6)])
    for d in (4, 8):
        found = np.corrcoef(field[:, d:].ravel(), field[:, :-d].ravel())[0, 1]
        assert found == pytest.approx(math.exp(-(d**2) / 64), abs=0.05)


def test_fractal_amplitudes_fall_as_stated() -> None:
    from scipy.fft import dctn

    spectra = [
        dctn(fractal((128, 128), 1.75, np.random.default_rng(s)), norm="ortho") ** 2
        for s in range(30)
    ]
    power = np.mean(spectra, axis=0)
    low, high = power[8:10, 8:10].mean(), power[32:40, 32:40].mean()
    assert math.log(low / high) / math.log(36 / 8.5) == pytest.approx(3.5, abs=0.3)


def test_the_top_of_a_field() -> None:
    field = np.random.default_rng(0).normal(size=(100, 100)).astype(np.float32)
    for share in (0.1, 0.5):
        assert (soft_top(field, share, 0.3) > 0).mean() == pytest.approx(share, abs=0.002)
    assert (soft_top(field, 0, 0.3) == 0).all()
    assert (soft_top(field, 1, 0.3) > 0).all()


def veil(pixels, found, colour):
    """What share of the picture is replaced by the colour, from one channel."""
    return (found.astype(float) - pixels) / (255 * np.asarray(colour) - pixels)


@pytest.mark.parametrize("depth", [0.4, 1.0, 1.9])
def test_fog_has_its_optical_depth(depth: float) -> None:
    depths = []
    for ident in "abcdef":
        found = corrupted(flat(0, 96), "fog", depth, ident=ident)
        depths.append(-np.log(1 - veil(0, found, AIRLIGHT[0]).clip(0, 0.999)).mean())
    assert np.mean(depths) == pytest.approx(depth, rel=0.08)


@pytest.mark.parametrize(("name", "colour"), [("fog", AIRLIGHT), ("frost", ICE), ("spatter", MUD)])
def test_weather_mixes_with_one_colour(name: str, colour: tuple[float, ...]) -> None:
    rng = np.random.default_rng(0)
    dark = rng.integers(60, 120, (80, 80, 3)).astype(np.uint8)
    value = corruption_named(name).severities[2]
    shares = veil(dark, corrupted(dark, name, value), colour)
    again = veil(np.zeros_like(dark), corrupted(np.zeros_like(dark), name, value), colour)
    # Rounding to a level of a difference of at least 20 levels.
    far = np.abs(255 * np.asarray(colour) - dark).min(axis=2) > 20
    assert far.any()
    assert np.abs(shares - shares[..., :1])[far].max() < 0.06
    assert np.abs(shares[..., 0] - again[..., 0])[far].max() < 0.06


@pytest.mark.parametrize("name", ["frost", "spatter"])
def test_shares_that_are_covered(name: str) -> None:
    for share in corruption_named(name).severities:
        found = corrupted(np.full((150, 150, 3), 140, np.uint8), name, share)
        assert (found != 140).any(axis=2).mean() == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("name", ["snow", "rain"])
def test_streaks_cover_their_share(name: str) -> None:
    most, colour = {"snow": (0.9, 1.0), "rain": (0.6, 0.587 * 0.77 + 0.299 * 0.75 + 0.114 * 0.8)}[
        name
    ]
    for share in (0.1, 0.4):
        found = [corrupted(flat(0, 224), name, share, ident=i) for i in "abcd"]
        seen = 1 - veil(0, np.stack(found), colour)
        streaks = (1 - seen / (1 - share / 2)) / most
        assert streaks.mean() == pytest.approx(share, rel=0.3)


def test_brightness() -> None:
    pixels = made()
    assert worst(corrupted(pixels, "brightness", 0.3), rounded(pixels + 0.3 * 255)) <= 1
    assert worst(corrupted(pixels, "brightness", -0.3), rounded(pixels - 0.3 * 255)) <= 1


def test_contrast_is_about_the_mean_of_each_channel() -> None:
    pixels = made()
    mean = pixels.mean(axis=(0, 1))
    expected = rounded(mean + 0.2 * (pixels - mean))
    assert worst(corrupted(pixels, "contrast", 0.2), expected) <= 1


@pytest.mark.parametrize("factor", [0, 0.5, 3])
def test_saturation_is_about_the_brightness(factor: float) -> None:
    pixels = made()
    grey = (pixels @ LUMA)[..., None]
    expected = rounded(grey + factor * (pixels - grey))
    assert worst(corrupted(pixels, "saturation", factor), expected) <= 1


def test_saturation_leaves_grey() -> None:
    grey = made(grey=True)
    np.testing.assert_array_equal(corrupted(grey, "saturation", 10), grey)


def test_jpeg_is_what_pillow_writes() -> None:
    for pixels in (made(), made(grey=True)):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=10)
        np.testing.assert_array_equal(corrupted(pixels, "jpeg", 10), np.asarray(Image.open(file)))


@pytest.mark.parametrize("side", [2, 4, 7])
def test_pixelate_shows_the_means_of_blocks(side: int) -> None:
    pixels = made(224, 224)
    blocks = pixels.reshape(224 // side, side, 224 // side, side, 3).mean(axis=(1, 3))
    expected = blocks.repeat(side, axis=0).repeat(side, axis=1)
    assert worst(corrupted(pixels, "pixelate", side - 1), expected) <= 1  # two roundings


@pytest.mark.parametrize("depth", [1, 3, 5])
def test_posterize_takes_the_nearest_level(depth: int) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    levels = rounded(np.linspace(0, 255, 2**depth))
    found = corrupted(pixels, "posterize", depth)
    assert set(np.unique(found)) == set(levels)
    nearest = np.abs(pixels[..., None] - np.linspace(0, 255, 2**depth)).min(axis=-1)
    assert np.abs(np.abs(found - pixels.astype(float)) - nearest).max() <= 0.5


@pytest.mark.parametrize("colours", [4, 32])
def test_quantize_leaves_so_many_colours_of_the_image(colours: int) -> None:
    pixels = made(150, 160)
    found = corrupted(pixels, "quantize", colours)
    palette = np.unique(found.reshape(-1, 3), axis=0)
    assert colours / 2 <= len(palette) <= colours
    distance = ((pixels[..., None, :].astype(float) - palette) ** 2).sum(axis=-1)
    shown = ((pixels.astype(float) - found) ** 2).sum(axis=-1)
    assert shown.mean() <= 1.05 * distance.min(axis=-1).mean()  # Pillow's look-up is coarse


def moved(pixels, rows, columns):
    return rounded(shown_at(pixels, rows, columns))


def about_middle(shape, matrix):
    rows, columns = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape[:2]), indexing="ij")
    at = np.einsum("ij,jhw->ihw", np.array(matrix, float), np.stack([rows, columns]))
    return [a + (n - 1) / 2 for a, n in zip(at, shape, strict=False)]


@pytest.mark.parametrize("ident", ["a", "b", "c", "d"])
def test_geometry(ident: str) -> None:
    """Some sign or direction explains all pixels, and the directions differ between examples."""
    pixels = made(60, 90)
    rows, columns = grid(pixels.shape)
    angle = 2 * math.pi * drawn("translate", ident).random()
    d = 20 * 60 / 224
    expected = {
        "translate": [(rows - d * math.sin(angle), columns - d * math.cos(angle))],
        "rotate": [
            about_middle(pixels.shape, ((c, s), (-s, c)))
            for c, s in [(math.cos(math.radians(t)), math.sin(math.radians(t))) for t in (20, -20)]
        ],
        "scale": [about_middle(pixels.shape, np.eye(2) * f) for f in (1.4, 1 / 1.4)],
        "shear": [
            about_middle(pixels.shape, m)
            for s in (0.25, -0.25)
            for m in (((1, s), (0, 1)), ((1, 0), (s, 1)))
        ],
    }
    values = {"translate": 20, "rotate": 20, "scale": 1.4, "shear": 0.25}
    for name, candidates in expected.items():
        found = corrupted(pixels, name, values[name], ident=ident)
        errors = [worst(found, moved(pixels, *places)) for places in candidates]
        assert sorted(errors)[0] <= 1
        assert sum(e <= 1 for e in errors) == 1


@pytest.mark.parametrize(("name", "ways"), [("rotate", 2), ("scale", 2), ("shear", 4)])
def test_all_directions_come_up(name: str, ways: int) -> None:
    pixels = made(24, 24)
    found = {corrupted(pixels, name, corruption_named(name).severities[3], ident=str(i)).tobytes()
             for i in range(40)}  # fmt: skip
    assert len(found) == ways


def test_elastic_moves_as_far_as_stated() -> None:
    shape = (112, 130)
    ramps = [np.broadcast_to(r, shape) for r in grid(shape)]
    rng = drawn("elastic")
    fields = [smooth(shape, SMOOTHNESS / 2, rng) for _ in range(2)]
    pixels = made(*shape)
    for value in (2, 6):
        places = [r + f * value / 2 for r, f in zip(ramps, fields, strict=True)]
        found = corrupted(pixels, "elastic", value)
        assert worst(found, moved(pixels, *places)) <= 1
        assert np.std(places[0] - ramps[0]) == pytest.approx(value / 2, rel=1e-3)
