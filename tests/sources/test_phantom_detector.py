"""The phantoms' detectors: blur, noise and processing do what the device profiles say."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from shiftbench.errors import ConfigurationError
from shiftbench.sources import _phantom_detector as detector
from shiftbench.sources._files import facts
from shiftbench.sources._phantom_anatomy import Thickness, interpolated
from shiftbench.sources._phantom_detector import Device, Exposure, devices, expose, with_changes
from shiftbench.sources._phantom_processing import logarithm, processed

NAMES = sorted(devices())


def exposure(name: str, **changed: object) -> Exposure:
    device = devices()[name]
    made = Exposure(device, 256, device.kvp_pa, device.dose_ugy, 0.0, bits=device.bits)
    return replace(made, **changed)  # type: ignore[arg-type]


def at_native_pitch(name: str, size: int = 256) -> Exposure:
    """A small field, so that pixels are those of the detector itself."""
    return exposure(name, device=replace(devices()[name], pixels=size), size=size)


def slab(size: int, tissue: float = 110.0) -> Thickness:
    flat = np.full((size, size), tissue, np.float32)
    return Thickness(flat, np.zeros_like(flat), np.zeros_like(flat))


# Profiles


def test_profiles_name_every_parameter_with_its_range() -> None:
    known = facts("device_profiles")
    about = {"name", "kind", "modality"}
    wanted = {f.name for f in fields(Device)} - about
    assert set(known["parameters"]) == wanted
    assert all(p["basis"] for p in known["parameters"].values())
    for profile in known["profiles"]:
        assert set(profile["parameters"]) == wanted
        for name, found in profile["parameters"].items():
            assert found["unit"] == known["parameters"][name]["unit"]
            if found["range"]:
                low, high = found["range"]
                assert low <= found["value"] <= high, (profile["name"], name)
    assert len(devices()) == 5


@pytest.mark.parametrize("profile", facts("device_profiles")["profiles"], ids=lambda p: p["name"])
def test_quantum_efficiency_is_that_of_its_kind(profile: dict[str, object]) -> None:
    # Of the zero frequency, at RQA 5, without electronic noise.
    device = devices()[str(profile["name"])]
    beam = replace(device.beam(73.0), filters=(("aluminium", 23.5),))
    energy, left = beam.energies(), beam.spectrum() * beam.absorbed()
    mean, square = (left * energy).sum(), (left * energy**2).sum()
    found = mean**2 / (square * device.noise_factor + mean * 50 / device.secondary_quanta)
    low, high = profile["dqe0_range"]  # type: ignore[misc]
    assert low <= found <= high


# Blur


@pytest.mark.parametrize("name", NAMES)
def test_mtf_of_an_impulse_is_one_half_where_the_profile_says(name: str) -> None:
    made = at_native_pitch(name, 512)
    signal = np.zeros((512, 512), np.float32)
    signal[256, :] = 1.0
    line = detector.blurred(signal, np.zeros_like(signal), made)[:, 100].astype(float)
    response = np.abs(np.fft.rfft(line)) / line.sum()
    frequency = np.fft.rfftfreq(512, made.device.pitch_mm)
    wanted = made.device.mtf50_lp_mm
    if wanted < frequency[-1]:
        half = np.interp(-0.5, -response, frequency)
        assert half == pytest.approx(wanted, rel=0.05)
    else:  # beyond Nyquist: the response is still above one half there, and near the aperture's
        assert response[-1] > 0.5
        assert response[-1] == pytest.approx(np.sinc(0.5), rel=0.1)


def test_mtf_of_a_slanted_edge_is_that_of_the_profile() -> None:
    made = at_native_pitch("csi_panel", 256)
    row, column = np.mgrid[0:256, 0:256]
    distance = (column - 128) * np.cos(0.05) + (row - 128) * np.sin(0.05)  # pixels
    edge = np.where(distance > 0, 1.0, 0.2).astype(np.float32)
    shown = detector.blurred(edge, np.zeros_like(edge), made).astype(float)
    inner = np.abs(distance) < 60
    inner[:20] = inner[-20:] = False
    bins = np.round((distance[inner] + 60) * 4).astype(int)
    spread = np.bincount(bins, shown[inner]) / np.bincount(bins)
    line = np.gradient(spread)
    response = np.abs(np.fft.rfft(line))
    response /= response[0]
    frequency = np.fft.rfftfreq(len(line), made.device.pitch_mm / 4)
    # The edge is sampled at points, so that jagged pixels add about one more aperture: compare
    # below a third of Nyquist's frequency, where that is under 5 %.
    low = frequency < 1.2
    expected = detector.converter_mtf(made.device, frequency**2) * np.sinc(
        frequency * made.device.pitch_mm
    )
    assert np.abs(response[low] - expected[low]).max() < 0.05


def test_binned_pixels_have_a_larger_aperture() -> None:
    fine, coarse = (at_native_pitch("selenium_panel", 128), exposure("selenium_panel", size=128))
    assert coarse.grid.pitch == pytest.approx(coarse.device.field_mm / 128)
    impulse = np.zeros((128, 128), np.float32)
    impulse[64, 64] = 1
    nothing = np.zeros_like(impulse)
    # In pixels the converter's blur weighs less where pixels are large.
    assert (
        detector.blurred(impulse, nothing, coarse)[64, 64]
        >= (detector.blurred(impulse, nothing, fine)[64, 64])
    )
    assert detector.blurred(impulse, nothing, coarse).sum() == pytest.approx(1, abs=1e-4)


def test_added_blur_is_on_the_radiation_and_not_on_its_noise() -> None:
    made = at_native_pitch("gos_panel", 128)
    more = replace(made, blur_lp_mm=0.5)
    impulse = np.zeros((128, 128), np.float32)
    impulse[64, 64] = 1
    nothing = np.zeros_like(impulse)
    assert (
        detector.blurred(impulse, nothing, more)[64, 64]
        < 0.5 * detector.blurred(impulse, nothing, made)[64, 64]
    )
    noise = [detector.blurred(nothing, impulse, e) for e in (made, more)]
    assert (noise[0] == noise[1]).all()


# Noise


def noise_of(made: Exposure, seed: int = 0) -> float:
    image = expose(made, slab(made.size), np.random.default_rng(seed))
    return float(image[8:-8, 8:-8].var(dtype=np.float64))


@pytest.mark.parametrize("name", NAMES)
def test_noise_variance_falls_as_one_over_the_dose(name: str) -> None:
    silent = replace(devices()[name], electronic_photons=0.0)
    base = exposure(name, device=silent)
    found = [noise_of(replace(base, dose_ugy=dose)) for dose in (1.0, 2.0, 8.0)]
    assert found[0] / found[1] == pytest.approx(2, rel=0.01)
    assert found[0] / found[2] == pytest.approx(8, rel=0.01)


def test_noise_of_an_ideal_counter_is_that_of_its_photons() -> None:
    ideal = replace(
        devices()["csi_panel"], noise_factor=1.0, secondary_quanta=1e12, electronic_photons=0.0,
        mtf50_lp_mm=0.6 / 0.143, absorber="", coverage_g_cm2=0.0,
    )  # fmt: skip
    made = exposure("csi_panel", device=ideal, dose_ugy=1.0, size=512)
    beam = ideal.beam(made.kvp)
    left = beam.spectrum() * detector.transmission(beam).beam.absorbed()
    energy = beam.energies()
    through = np.exp(
        -0.11 * 1.06 * 1e2 * detector_attenuation(energy)
    )  # 110 mm of soft tissue, per photon
    first, second = (left * through * energy).sum(), (left * through * energy**2).sum()
    photons = made.grid.pitch**2 / detector.kerma(beam, [("soft_tissue", 110.0)])
    assert noise_of(made) == pytest.approx(second / first**2 / photons, rel=0.02)


def detector_attenuation(energy: np.ndarray) -> np.ndarray:
    from shiftbench.sources._phantom_physics import attenuation

    return attenuation("soft_tissue", energy)


def test_electronic_noise_adds_a_variance_that_no_dose_lowers() -> None:
    loud = replace(devices()["gos_panel"], electronic_photons=300.0)
    silent = replace(loud, electronic_photons=0.0)
    added = []
    for dose in (2.0, 4.0):
        pair = [exposure("gos_panel", device=d, dose_ugy=dose) for d in (loud, silent)]
        added.append(noise_of(pair[0]) - noise_of(pair[1]))
    # The image is in units of its signal, which is twice as large.
    assert added[0] / added[1] == pytest.approx(4, rel=0.05)


def test_noise_is_smoothed_by_the_converter() -> None:
    def neighbours(name: str) -> float:
        made = at_native_pitch(name)
        nothing = np.zeros((256, 256), np.float32)
        white = np.random.default_rng(3).standard_normal((256, 256), np.float32)
        noise = detector.blurred(nothing, white, made)
        return float(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1])

    assert neighbours("storage_phosphor") > 0.4
    assert abs(neighbours("selenium_panel")) < 0.05


# Scatter


def test_scatter_has_its_ratio_behind_the_lungs_and_lowers_contrast() -> None:
    made = exposure("csi_panel")
    gen = np.random.default_rng(0)
    tissue = interpolated(
        gen.uniform(60, 200, (9, 9)).astype(np.float32), *([np.linspace(0, 8, 256)] * 2)
    )
    primary = np.exp(-0.02 * tissue)
    found = detector.scattered(primary, tissue, made.grid, 0.8)
    lungs = detector.behind_lungs(found, made.grid) / detector.behind_lungs(primary, made.grid)
    assert lungs == pytest.approx(0.8, rel=1e-4)
    assert found.std() / found.mean() < 0.5 * primary.std() / primary.mean()
    assert (detector.scattered(primary, tissue, made.grid, 0.0) == 0).all()


def test_air_scatters_nothing() -> None:
    made = exposure("csi_panel")
    air = np.zeros((256, 256), np.float32)
    air[64:192, 64:192] = 100
    found = detector.scattered(np.exp(-0.02 * air), air, made.grid, 1.0)
    assert found[128, 128] > 5 * found[2, 2]


# Changes


@pytest.mark.parametrize(
    "changes",
    [{"noise": 1.0}, {"dose": 99.0}, {"bits": 9.5}, {"bits": 0}, {"kvp": -60.0}, {"pitch": 0.5},
     {"blur": 0.0}, {"gamma": float("nan")}],
)  # fmt: skip
def test_changes_that_cannot_be(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="phantoms"):
        with_changes(exposure("storage_phosphor", kvp=85.0), changes)


def test_changes_by_nothing_change_nothing() -> None:
    base = exposure("lens_ccd")
    still = {"dose": 0, "kvp": 0, "scatter": 0, "sharpen": 0, "pitch": 1, "gamma": 1}
    assert with_changes(base, still) == base
    assert with_changes(base, {"dose": 2}).dose_ugy == base.dose_ugy / 4
    assert with_changes(base, {"pitch": 2}).grid.pitch == 2 * base.grid.pitch


# Processing


def test_logarithm_is_the_logarithm() -> None:
    values = np.geomspace(1.1e-4, 1e3, 10_000).astype(np.float32).reshape(100, 100)
    assert np.abs(logarithm(values) - np.log(values.astype(float))).max() < 2e-6
    assert np.isfinite(logarithm(np.array([[0.0, -1.0]], np.float32))).all()


@pytest.mark.parametrize("name", NAMES)
def test_more_radiation_is_darker_and_the_range_is_the_bits(name: str) -> None:
    made = exposure(name)
    steps = np.repeat(np.geomspace(0.02, 20, 16).astype(np.float32), 16)
    shown = processed(made, np.tile(steps, (256, 1)))[128, 8::16].astype(int)
    assert shown.max() == 2**made.bits - 1
    assert shown.min() == 0
    assert (np.diff(shown) * (1 if made.device.inverted else -1) >= 0).all()


def test_gamma_darkens_the_middle_and_sharpening_raises_edges() -> None:
    made = exposure("csi_panel")
    image = np.ones((256, 256), np.float32)
    image[:, 128:] = 0.5
    plain, dark, sharp = (
        processed(replace(made, **c), image).astype(int)  # type: ignore[arg-type]
        for c in ({}, {"gamma": 2.0}, {"sharpen": 2.0})
    )
    assert dark[100, 50] < plain[100, 50]
    overshoot = [p[100, 128] - p[100, 250] for p in (plain, sharp)]
    assert overshoot[1] > 2 * overshoot[0] > 0


def test_fewer_bits_are_fewer_values() -> None:
    made = exposure("csi_panel", bits=4)
    ramp = np.tile(np.geomspace(0.05, 5, 256).astype(np.float32), (256, 1))
    assert set(np.unique(processed(made, ramp))) == set(range(16))


def test_interpolation_is_linear_and_holds_its_edges() -> None:
    coarse = np.add.outer(np.arange(5.0), 10 * np.arange(4.0)).astype(np.float32)
    found = interpolated(coarse, np.array([-3, 0, 1.25, 9]), np.array([0.5, 2]))
    assert found == pytest.approx(np.array([[5, 20], [5, 20], [6.25, 21.25], [9, 24]]), abs=0.05)
