"""X-rays of the phantoms: spectrum, attenuation in tissue and bone, what a detector absorbs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.sources._files import facts

__all__ = ["Beam", "Transmission", "attenuation", "half_value_layer", "kerma", "transmission"]

Floats = NDArray[np.float64]
Plane = NDArray[np.float32]

BIN_KEV = 2.0
_LOWEST_KEV = 11.0  # nothing below leaves a filtered tube
_ANODE_DEGREES = 12.0
_WHIDDINGTON = 1.1e6  # keV² cm²/g: half-value layers are then within 5 % of IEC 61267's, RQR 5 to 9
_UGY_PER_KEV = 1.602177e-16 * 1e5 * 1e6  # (keV / mm2) (cm2 / g) in µGy

# The table of absorbed energy over thickness, in mm. Linear interpolation errs by (μ step)² / 8 of
# the value: under 1e-4 for tissue and 1e-3 for bone.
TISSUE_STEP, TISSUE_STEPS = 1.0, 480
BONE_STEP, BONE_STEPS = 0.5, 180


@dataclass(frozen=True)
class Beam:
    """What falls on the patient and what absorbs it behind.

    Attributes
    ----------
    kvp : float
        Tube voltage, kV.
    filters : tuple of (material, mm)
        Inherent and added filtration.
    absorber : str
        Material of the converter; "" for a counter of all energy.
    coverage : float
        Mass of the converter per area, g/cm².
    """

    kvp: float
    filters: tuple[tuple[str, float], ...] = (("aluminium", 2.5),)
    absorber: str = ""
    coverage: float = 0.0

    def energies(self) -> Floats:
        """Middles of the energy bins, keV."""
        return np.arange(_LOWEST_KEV, self.kvp, BIN_KEV)

    def spectrum(self) -> Floats:
        """Photons a bin behind the filters, of one photon in all.

        Kramers' law for a thick target (Phil. Mag. 46, 836 (1923)): their number falls as
        kVp / E − 1. They are made where electrons have lost half of what they may lose, at the
        depth of the Thomson–Whiddington law, and leave the anode at an angle of 12 degrees (after
        Birch and Marshall, Phys. Med. Biol. 24, 505 (1979), with one depth for each energy).
        Characteristic lines are left out.
        """
        energy = self.energies()
        depth = (self.kvp**2 - ((self.kvp + energy) / 2) ** 2) / _WHIDDINGTON  # g/cm²
        made = (self.kvp / energy - 1) * np.exp(
            -attenuation("tungsten", energy) * depth / np.tan(np.radians(_ANODE_DEGREES))
        )
        for material, mm in self.filters:
            made = made * np.exp(-attenuation(material, energy) * density(material) * mm / 10)
        return np.asarray(made / made.sum())

    def absorbed(self) -> Floats:
        """Share of the photons of each bin that the converter absorbs."""
        energy = self.energies()
        if not self.absorber:
            return np.ones_like(energy)
        return np.asarray(-np.expm1(-attenuation(self.absorber, energy) * self.coverage))


def attenuation(material: str, energy: Floats, kind: str = "attenuation") -> Floats:
    """Mass attenuation coefficient, cm²/g, at energies in keV (10 to 150).

    Log-log interpolation between the points of ``metadata/attenuation.json``.
    """
    known = facts("attenuation")
    if material in known["mixtures"]:
        parts: Mapping[str, float] = known["mixtures"][material]["fractions"]
        return np.asarray(sum(w * attenuation(m, energy, kind) for m, w in sorted(parts.items())))
    table: Mapping[str, Any] = known["materials"][material]
    points = np.array(table["energy"], float)
    points[1:][np.diff(points) == 0] *= 1 + 1e-9  # the upper side of an edge
    return np.asarray(np.exp(np.interp(np.log(energy), np.log(points), np.log(table[kind]))))


def density(material: str) -> float:
    """In g/cm³."""
    return float(facts("attenuation")["materials"][material]["density"])


def kerma(beam: Beam, through: Sequence[tuple[str, float]] = ()) -> float:
    """Air kerma, µGy, of one photon per mm² in front of some materials (mm), behind them."""
    energy = beam.energies()
    kept = beam.spectrum()
    for material, mm in through:
        kept = kept * np.exp(-attenuation(material, energy) * density(material) * mm / 10)
    deposited = energy * attenuation("air", energy, "energy_absorption")
    return float((kept * deposited).sum() * _UGY_PER_KEV)


def half_value_layer(beam: Beam) -> float:
    """Millimetres of aluminium that halve the air kerma."""
    low, high = 0.0, 50.0
    half = kerma(beam) / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if kerma(beam, [("aluminium", middle)]) > half else (low, middle)
    return (low + high) / 2


@dataclass(frozen=True)
class Transmission:
    """What a beam leaves in the converter behind tissue and bone, per photon in front of them.

    Attributes
    ----------
    energy : (tissue steps × bone steps) array of float32
        Energy absorbed, keV, row after row.
    quantum : the same
        Mean square over mean of the energy that a photon leaves, keV: the variance of the absorbed
        energy is `energy` × `quantum` × photons.
    beam : Beam
    """

    energy: Plane = field(repr=False)
    quantum: Plane = field(repr=False)
    beam: Beam

    def look_up(self, tissue: Plane, bone: Plane) -> tuple[Plane, Plane]:
        """Energy (interpolated) and quantum (within 0.5 %) for maps of thickness in mm."""
        columns = BONE_STEPS + 1
        t = np.clip(tissue * np.float32(1 / TISSUE_STEP), 0, TISSUE_STEPS - np.float32(1e-3))
        b = np.clip(bone * np.float32(1 / BONE_STEP), 0, BONE_STEPS - np.float32(1e-3))
        row, column = t.astype(np.int32), b.astype(np.int32)
        t -= row
        b -= column
        at = row * np.int32(columns)
        at += column
        energy = _between(self.energy, at, b)
        at += np.int32(columns)
        below = _between(self.energy, at, b)
        below -= energy
        below *= t
        energy += below
        at -= np.int32(columns)
        return energy, self.quantum.take(at)


def _between(table: Plane, at: NDArray[np.int32], share: Plane) -> Plane:
    left = table.take(at)
    right = table.take(at + np.int32(1))
    right -= left
    right *= share
    left += right
    return left


@lru_cache(maxsize=64)
def transmission(beam: Beam) -> Transmission:
    """The Beer–Lambert law for the whole spectrum, tabulated over tissue and bone.

    The converter integrates energy: a photon of energy E counts E where it is absorbed (K
    fluorescence that escapes is part of the profile's noise factor, not of the signal).
    """
    energy = beam.energies()
    through_tissue = _fractions("soft_tissue", energy, TISSUE_STEP, TISSUE_STEPS)
    through_bone = _fractions("cortical_bone", energy, BONE_STEP, BONE_STEPS)
    left = beam.spectrum() * beam.absorbed() * energy
    # einsum without BLAS sums in one order whatever the machine's number of cores
    first = np.einsum("te,be->tb", through_tissue * left, through_bone)
    second = np.einsum("te,be->tb", through_tissue * (left * energy), through_bone)
    return Transmission(
        first.astype(np.float32).ravel(), (second / first).astype(np.float32).ravel(), beam
    )


def _fractions(material: str, energy: Floats, step: float, steps: int) -> Floats:
    mm = np.arange(steps + 1)[:, None] * step
    return np.asarray(np.exp(-attenuation(material, energy) * density(material) * mm / 10))
