"""Each change against its definition, computed another way."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import convolve1d, rotate

from shiftbench.transforms import Step, acquisition_named, apply_step
from shiftbench.transforms._degrade import IN_LINES
from shiftbench.transforms._exposure import GRID_LP_MM, LATITUDE, LEAK, QUANTA_MM2
from tests.transforms.chest import chest

PITCH = 0.171


def changed(image, name, value, *, ident="a", pitch_mm=PITCH):
    return apply_step(image, Step(name, value), seed=0, ident=ident, pitch_mm=pitch_mm)


def log_exposure(image):
    """Natural log of the exposure relative to that at mid-grey."""
    return math.log(10) * LATITUDE * (0.5 - image.astype(np.float64))


@pytest.mark.parametrize("halvings", [1, 2.5, 5])
@pytest.mark.parametrize("level", [0.2, 0.5, 0.8])
def test_dose_doubles_the_variance_with_each_halving(level: float, halvings: float) -> None:
    side = 600
    exposure = 10 ** (LATITUDE * (0.5 - level))
    variance = 1 / (QUANTA_MM2 * PITCH**2 * exposure)  # of log E, in the image as it is
    own = np.random.default_rng(5).normal(0, math.sqrt(variance), (side, side))
    image = (level + own / (LATITUDE * math.log(10))).astype(np.float32)
    before = log_exposure(image).var()
    after = log_exposure(changed(image, "dose", halvings)).var()
    # The standard error of a variance of n Gaussian numbers is √(2 / n) of it: here 0.24 %.
    assert after / before == pytest.approx(2**halvings, rel=0.015)


def test_noise_of_a_lower_dose_is_white_and_without_mean() -> None:
    flat = np.full((512, 512), 0.5, np.float32)
    noise = changed(flat, "dose", 3) - flat
    assert abs(noise.mean()) < 4 * noise.std() / 512
    neighbours = [np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1]]
    neighbours.append(np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1])
    assert np.abs(neighbours).max() < 4 / 512


def test_dose_by_pitch() -> None:
    flat = np.full((300, 300), 0.5, np.float32)
    fine, coarse = (changed(flat, "dose", 2, pitch_mm=p).std() for p in (0.1, (0.1, 0.4)))
    assert fine / coarse == pytest.approx(2, rel=1e-3)


def test_kvp_scales_contrast_by_water_at_half_the_peak() -> None:
    image = chest()
    made = changed(image, "kvp", 40)  # 80 to 120 kV: 40 to 60 keV, both in the table of NIST
    assert made - 0.5 == pytest.approx((image - 0.5) * 0.2059 / 0.2683, abs=1e-6)
    softer = changed(image, "kvp", -20)  # 30 keV
    expected = np.clip(0.5 + (image - 0.5) * 0.3756 / 0.2683, 0, 1)
    assert softer == pytest.approx(expected, abs=1e-6)


def test_scatter_scales_the_contrast_of_small_things() -> None:
    image = np.full((300, 300), 0.5, np.float32)
    image[150, 150] = 0.48
    for ratio in (0.5, 3):
        made = changed(image, "scatter", ratio)
        primary = math.exp(log_exposure(image)[150, 150])
        expected = math.log((primary + ratio) / (1 + ratio))
        assert log_exposure(made)[150, 150] == pytest.approx(expected, abs=1e-4)
        assert made[0, 0] == pytest.approx(0.5, abs=1e-4)


def test_scatter_keeps_the_mean_exposure_and_dims_what_is_bright() -> None:
    image = chest(400, 360)
    made = changed(image, "scatter", 2)
    before, after = (np.exp(log_exposure(x)) for x in (image, made))
    assert after.mean() == pytest.approx(before.mean(), rel=1e-4)
    assert after.std() < 0.6 * before.std()


def modulation(image_to_image, lp_mm: float, pitch: float, axis: int) -> float:
    """Amplitude of a cosine after over before, away from the edges."""
    n = 512
    x = (np.arange(n) + 0.5) * pitch
    wave = 0.4 * np.cos(2 * np.pi * lp_mm * x)
    image = np.broadcast_to(wave + 0.5, (n, n)).astype(np.float32)
    made = image_to_image(image if axis == 1 else image.T.copy())
    made = made if axis == 1 else made.T
    window = np.hanning(n)
    return float(((made[n // 2] - 0.5) * window) @ wave / ((wave * window) @ wave))


@pytest.mark.parametrize("mtf50", [0.5, 1, 2])
def test_blur_has_its_mtf50(mtf50: float) -> None:
    image = np.full((513, 513), 0.3, np.float32)  # room below, for what the Nyquist limit rings
    image[256, 256] = 0.9
    made = changed(image, "blur", mtf50).astype(np.float64)[206:307, 206:307] - 0.3
    mtf = np.abs(np.fft.rfft(made.sum(axis=0), 1024))
    lp_mm = np.fft.rfftfreq(1024, PITCH)
    measured = float(np.interp(-0.5, -mtf / mtf[0], lp_mm))
    assert measured == pytest.approx(mtf50, rel=0.01)


def test_blur_is_in_mm_along_both_axes() -> None:
    pitch = (0.1, 0.3)

    def blurred(image):
        return changed(image, "blur", 1.0, pitch_mm=pitch)

    for axis in (0, 1):
        assert modulation(blurred, 1.0, pitch[axis], axis) == pytest.approx(0.5, rel=0.01)
        assert modulation(blurred, 0.5, pitch[axis], axis) == pytest.approx(0.5**0.25, rel=0.01)


def test_blur_is_convolution_with_mirrored_edges() -> None:
    image = chest()
    sigma = math.sqrt(math.log(2) / 2) / (math.pi * 0.7) / PITCH  # pixels
    at = np.arange(-40, 41)
    kernel = np.exp(-0.5 * (at / sigma) ** 2)
    expected = image.astype(np.float64)
    for axis in (0, 1):
        expected = convolve1d(expected, kernel / kernel.sum(), axis=axis, mode="reflect")
    assert changed(image, "blur", 0.7) == pytest.approx(expected, abs=1e-5)


def test_two_blurs_are_one() -> None:
    image = chest()
    both = changed(changed(image, "blur", 2.0), "blur", 1.5)
    once = changed(image, "blur", 1 / math.hypot(1 / 2.0, 1 / 1.5))
    assert both == pytest.approx(once, abs=1e-5)


@pytest.mark.parametrize("gain", [0.5, 1])
def test_sharpen_raises_what_the_mask_does_not_pass(gain: float) -> None:
    def sharp(image):
        return changed(image * 0.4 + 0.3, "sharpen", gain)

    for lp_mm in (0.05, 0.15, 1.0):
        mask = math.exp(-2 * (math.pi * lp_mm * 1.0) ** 2)
        expected = 0.4 * (1 + gain * (1 - mask))
        assert modulation(sharp, lp_mm, PITCH, 1) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("factor", [1.4, 2, 3])
def test_pitch_leaves_nothing_above_the_new_nyquist(factor: float) -> None:
    from scipy.fft import dctn

    image = np.random.default_rng(0).uniform(0.3, 0.7, (240, 300)).astype(np.float32)
    made = changed(image, "pitch", factor)
    assert 0 < made.min() < made.max() < 1  # nothing was clipped
    before, after = dctn(image, norm="ortho"), dctn(made, norm="ortho")
    for axis, n in enumerate(image.shape):
        above = [slice(None), slice(None)]
        above[axis] = slice(round(n / factor), None)
        assert np.abs(after[tuple(above)]).max() < 1e-4 * np.abs(before[tuple(above)]).max()
    assert after[0, 0] == pytest.approx(before[0, 0], rel=1e-6)


def test_pitch_is_means_over_larger_pixels() -> None:
    from scipy.fft import dctn, idctn

    image = chest(120, 90)
    made = changed(image, "pitch", 3)
    spectrum = dctn(made, norm="ortho")[:40, :30] / 3
    means = image.reshape(40, 3, 30, 3).mean(axis=(1, 3))
    assert idctn(spectrum, norm="ortho") == pytest.approx(means, abs=1e-3)


def test_pitch_may_cut_pixels() -> None:
    # 5 pixels shown as 2: each mean has 2 pixels and a half.
    from shiftbench.transforms._frequency import _means

    line = np.array([[1, 2, 3, 4, 5]], np.float32)
    expected = [(1 + 2 + 1.5) / 2.5, (1.5 + 4 + 5) / 2.5]
    assert _means(line, 2, 1)[0] == pytest.approx(expected, rel=1e-6)
    assert _means(line.T, 2, 0)[:, 0] == pytest.approx(expected, rel=1e-6)


def test_gamma() -> None:
    image = chest()
    assert changed(image, "gamma", 2) == pytest.approx(image**2, abs=1e-6)
    grey = np.arange(256, dtype=np.uint8)[None]
    expected = np.rint(255 * (grey / 255) ** 1.5)
    assert np.array_equal(changed(grey, "gamma", 1.5), expected)


@pytest.mark.parametrize("depth", [1, 4, 8, 12])
def test_bits(depth: int) -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    made = changed(ramp, "bits", depth)
    assert len(np.unique(made)) == 2**depth
    assert np.abs(made.astype(float) - ramp).max() <= 65535 / (2**depth - 1) / 2 + 1
    assert [made.min(), made.max()] == [0, 65535]


def test_eight_bits_change_no_image_of_eight() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(changed(grey, "bits", 8), grey)


@pytest.mark.parametrize("quality", [10, 50, 90, 100])
def test_jpeg_is_that_of_pillow(quality: int) -> None:
    image = np.rint(chest() * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    assert np.array_equal(changed(image, "jpeg", quality), np.asarray(Image.open(file)))


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_collimation_geometry(share: float) -> None:
    rows, columns = 400, 600
    made = changed(np.zeros((rows, columns), np.float32), "collimation", share, pitch_mm=0.2)
    transmission = 10.0 ** (-LATITUDE * made)  # of a black image, so that nothing is clipped
    for n, line in ((rows, transmission[:, 300]), (columns, transmission[200])):
        assert np.allclose(line, line[::-1], rtol=1e-4)
        half = int(np.argmax(line > (1 + LEAK) / 2))
        assert half == pytest.approx(share * n, abs=1)
        edge = np.flatnonzero((line[: n // 2] > 1.01 * LEAK) & (line[: n // 2] < 0.999))
        assert len(edge) * 0.2 == pytest.approx(5, abs=0.4)  # the penumbra, in mm
        assert line[n // 2] == pytest.approx(1, abs=1e-4)
        assert line[0] == pytest.approx(LEAK, rel=1e-3)
    assert changed(np.zeros((9, 9), np.float32), "collimation", 0.45).max() <= 1


@pytest.mark.parametrize("pitch", [0.1, 0.143, 0.171, (0.4, 0.11)])
def test_grid_lines_are_at_their_density(pitch) -> None:
    n = 512
    made = changed(np.full((40, n), 0.5, np.float32), "grid", 0.1, pitch_mm=pitch)
    assert np.array_equal(made, np.broadcast_to(made[0], made.shape))
    line = log_exposure(made)[0]
    spectrum = np.abs(np.fft.rfft((line - line.mean()) * np.hanning(n)))
    spacing = pitch[1] if isinstance(pitch, tuple) else pitch
    found = float(np.fft.rfftfreq(n, spacing)[spectrum.argmax()])
    aliased = abs(GRID_LP_MM - round(GRID_LP_MM * spacing) / spacing)
    assert found == pytest.approx(aliased, abs=1 / (n * spacing))


def test_grid_has_its_amplitude() -> None:
    made = changed(np.full((4, 4000), 0.5, np.float32), "grid", 0.1, pitch_mm=0.0997)
    exposure = np.exp(log_exposure(made))
    assert [exposure.min(), exposure.max()] == pytest.approx([0.9, 1.1], abs=1e-3)


@pytest.mark.parametrize("degrees", [-7, 2, 90])
def test_rotation_is_that_of_scipy(degrees: float) -> None:
    image = chest(96, 96)
    made = changed(image, "rotation", degrees)
    assert np.array_equal(
        made, np.clip(rotate(image, degrees, reshape=False, order=1, mode="reflect"), 0, 1)
    )


def test_rotation_is_counter_clockwise() -> None:
    image = chest(96, 96)
    assert changed(image, "rotation", 90) == pytest.approx(np.rot90(image), abs=1e-4)


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.2])
def test_defects_are_as_many_as_the_share(share: float) -> None:
    image = np.full((300, 260), 0.5, np.float32)
    counts = [int((changed(image, "defects", share, ident=str(i)) != 0.5).sum()) for i in range(30)]
    n = 30 * image.size
    assert abs(sum(counts) - n * share) < 4 * math.sqrt(n * share * (1 - share))
    spread = np.var(counts, ddof=1) / (image.size * share * (1 - share))
    assert 0.4 < spread < 2  # χ² with 29 degrees of freedom, over them: 99.9 % within


def test_defects_are_dead_or_hot_and_some_in_lines() -> None:
    image = np.full((300, 260), 0.5, np.float32)
    made = changed(image, "defects", 0.01)
    values, counts = np.unique(made, return_counts=True)
    assert values.tolist() == [0, 0.5, 1]
    assert counts[[0, 2]].min() > 0
    # A vertical neighbour of the same kind is rare among single pixels and the rule in lines.
    bad = made != 0.5
    followed = bad[:-1] & (made[1:] == made[:-1])
    assert followed.sum() / bad.sum() == pytest.approx(IN_LINES, abs=0.05)


def test_half_of_all_pixels_can_be_defective() -> None:
    made = changed(np.full((40, 3), 0.5, np.float32), "defects", 0.5)
    assert 30 < (made != 0.5).sum() < 90


def test_apply_takes_any_generator() -> None:
    image = chest()
    made = [
        acquisition_named("dose").apply(image, 1, rng=np.random.default_rng(i), pitch_mm=PITCH)
        for i in (0, 0, 1)
    ]
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


def test_severities_share_their_noise() -> None:
    flat = np.full((64, 64), 0.5, np.float32)
    mild, strong = (changed(flat, "dose", h) - 0.5 for h in (1, 3))
    assert strong == pytest.approx(mild * math.sqrt(7), abs=1e-5)
