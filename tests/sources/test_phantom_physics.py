"""The phantoms' X-rays: tables, spectra, absorption and the law of Beer and Lambert."""

from __future__ import annotations

import numpy as np
import pytest

from shiftbench.sources import _phantom_physics as physics
from shiftbench.sources._files import facts
from shiftbench.sources._phantom_physics import Beam, attenuation, half_value_layer, kerma
from shiftbench.sources._phantom_physics import density as density_of

TUBE = (("aluminium", 2.5),)


def looked_up(beam: Beam, tissue: float, bone: float) -> tuple[float, float]:
    maps = (np.full((1, 1), v, np.float32) for v in (tissue, bone))
    energy, quantum = physics.transmission(beam).look_up(*maps)
    return float(energy[0, 0]), float(quantum[0, 0])


def test_tables_are_whole() -> None:
    for name, table in facts("attenuation")["materials"].items():
        energy, values = np.array(table["energy"]), np.array(table["attenuation"])
        assert energy[0] == 10, name
        assert energy[-1] == 150, name
        assert (np.diff(energy) >= 0).all(), name
        assert len(energy) == len(values), name
        rises = np.diff(values) > 0
        assert (np.diff(energy)[rises] == 0).all(), f"{name} rises between its edges"


def test_points_of_the_table_are_met_and_edges_have_two_sides() -> None:
    assert attenuation("soft_tissue", np.array([60.0]))[0] == pytest.approx(0.2048)
    below, above = attenuation("caesium_iodide", np.array([35.98, 35.99]))
    assert above > 1.5 * below


def test_a_mixture_has_the_published_attenuation() -> None:
    # Nakano et al., Med. Phys. 29, 592 (2002): 6.07 cm²/g at 60 keV.
    assert attenuation("barium_fluorohalide", np.array([60.0]))[0] == pytest.approx(6.07, rel=0.02)


@pytest.mark.parametrize(("kvp", "mm"), [(70, 2.6), (80, 3.0), (90, 3.5), (100, 4.0), (120, 5.0)])
def test_half_value_layers_are_those_of_iec_61267(kvp: float, mm: float) -> None:
    # RQR 5 to 9; their filtration is about 2.5 mm of aluminium.
    assert half_value_layer(Beam(kvp, TUBE)) == pytest.approx(mm, rel=0.06)


def test_half_value_layer_halves_the_kerma_and_rises_with_voltage_and_filtration() -> None:
    beam = Beam(80, TUBE)
    layer = half_value_layer(beam)
    assert kerma(beam, [("aluminium", layer)]) == pytest.approx(kerma(beam) / 2, rel=1e-9)
    layers = [half_value_layer(Beam(kvp, TUBE)) for kvp in range(50, 151, 10)]
    assert (np.diff(layers) > 0).all()
    layers = [half_value_layer(Beam(80, (("aluminium", mm),))) for mm in (1, 2, 3, 5, 10)]
    assert (np.diff(layers) > 0).all()


def test_photons_a_kerma_are_those_of_iec_62220() -> None:
    # 30174 photons per mm² and µGy at RQA 5, 31077 at RQA 9.
    for kvp, mm, photons in ((73, 23.5, 30174), (120, 42.5, 31077)):
        beam = Beam(kvp, (("aluminium", mm),))
        assert 1 / kerma(beam) == pytest.approx(photons, rel=0.04)


def test_spectrum_is_a_distribution_below_the_tube_voltage() -> None:
    beam = Beam(93.0, (("aluminium", 2.5), ("copper", 0.2)))
    assert beam.spectrum().sum() == pytest.approx(1)
    assert (beam.spectrum() > 0).all()
    assert beam.energies()[-1] < 93


def test_one_energy_decays_exponentially(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Beam, "energies", lambda self: np.array([60.0]))
    beam = Beam(61.0, TUBE)
    for tissue, bone in ((0, 0), (37.3, 0), (151.5, 12.3), (260, 31.9)):
        wanted = 60 * np.exp(
            -0.2048 * density_of("soft_tissue") * tissue / 10
            - 0.3148 * density_of("cortical_bone") * bone / 10
        )
        energy, quantum = looked_up(beam, tissue, bone)
        assert energy == pytest.approx(wanted, rel=1e-3)
        assert quantum == pytest.approx(60, rel=1e-6)


def test_the_table_is_the_sum_over_the_spectrum() -> None:
    beam = Beam(117.0, (("aluminium", 3.0), ("copper", 0.1)), "gadolinium_oxysulphide", 0.11)
    gen = np.random.default_rng(5)
    for tissue, bone in zip(gen.uniform(0, 300, 20), gen.uniform(0, 60, 20), strict=True):
        first = second = 0.0
        for e, n, absorbed in zip(beam.energies(), beam.spectrum(), beam.absorbed(), strict=True):
            at = np.array([e])
            depth = attenuation("soft_tissue", at)[0] * 1.06 * tissue / 10
            depth += attenuation("cortical_bone", at)[0] * 1.92 * bone / 10
            first += n * absorbed * e * np.exp(-depth)
            second += n * absorbed * e**2 * np.exp(-depth)
        energy, quantum = looked_up(beam, tissue, bone)
        assert energy == pytest.approx(first, rel=1e-3)
        assert quantum == pytest.approx(second / first, rel=5e-3)


def test_contrast_of_bone_falls_with_the_voltage() -> None:
    contrasts = []
    for kvp in (50, 70, 90, 110, 130):
        beam = Beam(kvp, TUBE, "caesium_iodide", 0.2)
        without, _ = looked_up(beam, 120, 0)
        with_bone, _ = looked_up(beam, 115, 5)
        contrasts.append(1 - with_bone / without)
    assert (np.diff(contrasts) < 0).all()


def test_thickness_beyond_the_table_is_held_at_its_end() -> None:
    beam = Beam(100.0, TUBE)
    assert looked_up(beam, 900, 500)[0] == pytest.approx(looked_up(beam, 480, 90)[0], rel=1e-3)
