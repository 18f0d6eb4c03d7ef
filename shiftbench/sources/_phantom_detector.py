"""From thickness to the linear image: exposure, scatter, blur and noise of a device profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.sources._files import facts
from shiftbench.sources._phantom_anatomy import Thickness, interpolated
from shiftbench.sources._phantom_physics import Beam, kerma, transmission
from shiftbench.sources._phantom_shapes import Grid

__all__ = ["CHANGES", "Device", "Exposure", "devices", "expose", "with_changes"]

Plane = NDArray[np.float32]

_SCATTER_MM = 35.0  # deviation of the Gaussian by which primary radiation becomes scatter
_SCATTER_CELLS = 48  # scatter is that smooth: it is computed on so many cells a side
_SCATTER_DEPTH = 60.0  # mm of tissue in which the scatter that a ray starts has nearly built up
# The chambers of the automatic exposure control: middle (mm from the centre) and half sides.
_CHAMBERS = ((-72.0, -22.0), (72.0, -22.0))
_CHAMBER_HALF = (22.0, 30.0)
_REFERENCE_KEV = 50.0  # electronic noise is given in photons of this energy

CHANGES: Mapping[str, tuple[float, float]] = {
    "dose": (-3.0, 10.0),
    "kvp": (-60.0, 60.0),
    "scatter": (0.0, 20.0),
    "blur": (0.01, 100.0),
    "sharpen": (0.0, 10.0),
    "pitch": (1.0, 16.0),
    "gamma": (0.1, 10.0),
    "bits": (1.0, 16.0),
}
"""What may be changed, and between which values; the units are those of `Phantoms`."""


@dataclass(frozen=True)
class Device:
    """One profile of ``metadata/device_profiles.json``; the units stand there.

    Attributes
    ----------
    mtf50_lp_mm : float
        Where the presampling MTF at the native pitch, aperture included, is one half.
    noise_factor : float
        By how much the variance exceeds that of the absorbed energy (one over Swank's factor).
    secondary_quanta : float
        Light or charge carriers counted for a photon of `_REFERENCE_KEV`.
    """

    name: str
    kind: str
    modality: str
    pitch_mm: float
    pixels: float
    absorber: str
    coverage_g_cm2: float
    filter_al_mm: float
    filter_cu_mm: float
    kvp_pa: float
    kvp_ap: float
    dose_ugy: float
    scatter_pa: float
    scatter_ap: float
    mtf50_lp_mm: float
    noise_factor: float
    secondary_quanta: float
    electronic_photons: float
    window_low: float
    window_high: float
    unsharp_gain: float
    unsharp_mm: float
    lut_slope: float
    bits: int
    inverted: bool

    @property
    def field_mm(self) -> float:
        """Side of the field of view."""
        return self.pitch_mm * self.pixels

    def beam(self, kvp: float) -> Beam:
        """The tube in front of it at some voltage."""
        filters = (("aluminium", self.filter_al_mm), ("copper", self.filter_cu_mm))
        return Beam(kvp, filters, self.absorber, self.coverage_g_cm2)


@lru_cache(maxsize=1)
def devices() -> Mapping[str, Device]:
    """All profiles by name."""
    found = {}
    for profile in facts("device_profiles")["profiles"]:
        values: Mapping[str, Any] = {k: v["value"] for k, v in profile["parameters"].items()}
        about = {k: profile[k] for k in ("name", "kind", "modality")}
        found[profile["name"]] = Device(**about, **values)
    return found


@dataclass(frozen=True)
class Exposure:
    """A device with everything that was set for one radiograph.

    Attributes
    ----------
    device : Device
    size : int
        Pixels a side.
    kvp : float
    dose_ugy : float
        Air kerma at the detector behind the lungs, scatter of the device's own ratio included.
    scatter, added_scatter : float
        Scatter-to-primary ratio behind the lungs: of the mean energies in the chambers.
    blur_lp_mm : float or None
        MTF50 of a Gaussian by which focus or motion blurs the radiation before it is detected.
    sharpen : float
        Gain added to the unsharp mask's.
    gamma : float
        Exponent of the display values.
    bits : int
    """

    device: Device
    size: int
    kvp: float
    dose_ugy: float
    scatter: float
    added_scatter: float = 0.0
    blur_lp_mm: float | None = None
    sharpen: float = 0.0
    gamma: float = 1.0
    bits: int = 12

    @property
    def grid(self) -> Grid:
        """The pixels: the whole field, binned from the native pitch."""
        return Grid(self.size, self.device.field_mm / self.size)


def with_changes(exposure: Exposure, changes: Mapping[str, float]) -> Exposure:
    """The exposure with some acquisition parameters changed.

    Raises
    ------
    ConfigurationError
        A name that is not in `CHANGES`, or a value that is out of range.
    """
    for name, value in sorted(changes.items()):
        if name not in CHANGES:
            raise ConfigurationError(
                f"phantoms: there is no exact change {name!r}; {near_names(name, CHANGES)}"
            )
        low, high = CHANGES[name]
        if not low <= value <= high or (name == "bits" and value != int(value)):
            whole = "a whole number " if name == "bits" else ""
            raise ConfigurationError(
                f"phantoms: the change {name} is {value}; allowed: {whole}from {low:g} to {high:g}"
            )
    kvp = exposure.kvp + changes.get("kvp", 0)
    if not 40 <= kvp <= 150:
        raise ConfigurationError(
            f"phantoms: kvp={changes['kvp']:+g} makes {kvp:g} kV of {exposure.kvp:g}; allowed are "
            "40 to 150 kV"
        )
    return replace(
        exposure,
        size=max(round(exposure.size / changes.get("pitch", 1.0)), 16),
        kvp=kvp,
        dose_ugy=exposure.dose_ugy * 2.0 ** -changes.get("dose", 0.0),
        added_scatter=changes.get("scatter", 0.0),
        blur_lp_mm=changes.get("blur"),
        sharpen=changes.get("sharpen", 0.0),
        gamma=changes.get("gamma", 1.0),
        bits=int(changes.get("bits", exposure.bits)),
    )


def expose(exposure: Exposure, thickness: Thickness, gen: np.random.Generator) -> Plane:
    """The linear image: absorbed energy over that behind the lungs (1 there), with blur and noise.

    Quantum noise is Gaussian with the variance of the compound Poisson process of absorbed energy
    (Swank, J. Appl. Phys. 44, 4199 (1973)), and passes the converter's MTF as the signal does
    (Rossmann, J. Opt. Soc. Am. 53, 1226 (1963)); noise of secondary quanta and electronics does
    not. The signal also passes the pixel's aperture; noise does not, since it was drawn for whole
    pixels. A pixel of the output holds at least dozens of photons, so that Gaussian and Poisson
    are alike.
    """
    device, grid = exposure.device, exposure.grid
    energy, quantum = transmission(device.beam(exposure.kvp)).look_up(
        thickness.tissue, thickness.bone
    )
    primary = behind_lungs(energy, grid)
    per_photon = energy
    per_photon += scattered(
        energy, thickness.tissue, grid, exposure.scatter + exposure.added_scatter
    )
    photons = _photons(exposure, thickness, primary)
    signal = per_photon
    signal *= np.float32(photons * grid.pitch**2)  # keV a pixel
    reference = behind_lungs(signal, grid)
    shape = signal.shape
    quantum *= signal
    white = signal * np.float32(_REFERENCE_KEV / device.secondary_quanta)
    native = (grid.pitch / device.pitch_mm) ** 2  # pixels that were binned
    white += np.float32(native * (device.electronic_photons * _REFERENCE_KEV) ** 2)
    np.sqrt(white, out=white)
    quantum *= np.float32(device.noise_factor)
    np.sqrt(quantum, out=quantum)
    quantum *= gen.standard_normal(shape, np.float32)
    image = blurred(signal, quantum, exposure)
    white *= gen.standard_normal(shape, np.float32)
    image += white
    image *= np.float32(1 / reference)
    return image


def behind_lungs(plane: Plane, grid: Grid) -> float:
    """Mean over the chambers of the exposure control."""
    wide, high = _CHAMBER_HALF
    fields = [
        plane[grid.span(y - high, y + high), grid.span(x - wide, x + wide)] for x, y in _CHAMBERS
    ]
    return float(np.mean([f.mean(dtype=np.float64) for f in fields]))


def _photons(exposure: Exposure, thickness: Thickness, primary: float) -> float:
    """Photons per mm² in front of the patient for which the control ends the exposure."""
    beam, grid = exposure.device.beam(exposure.kvp), exposure.grid
    tissue, bone = (behind_lungs(t, grid) for t in (thickness.tissue, thickness.bone))
    through = (("soft_tissue", tissue), ("cortical_bone", bone))
    one = np.full((1, 1), tissue, np.float32), np.full((1, 1), bone, np.float32)
    there = float(transmission(beam).look_up(*one)[0][0, 0])
    # kerma and absorbed energy fall alike around the mean thickness of the chambers
    each = kerma(beam, through) * primary / there
    return exposure.dose_ugy / (each * (1 + exposure.scatter))


def scattered(primary: Plane, tissue: Plane, grid: Grid, ratio: float) -> Plane:
    """Scatter: the primary radiation of rays that meet tissue, spread by a Gaussian.

    The form is that of Boone, Arnold and Seibert, Med. Phys. 13, 254 (1986), with one width for
    all thicknesses. `ratio` holds behind the lungs; where less primary radiation comes through, it
    is higher.
    """
    from scipy.ndimage import gaussian_filter

    met = tissue / (tissue + np.float32(_SCATTER_DEPTH))
    met *= primary
    cells = min(_SCATTER_CELLS, grid.size)
    edges = (np.arange(cells + 1) * grid.size) // cells
    share = np.add.reduceat(np.add.reduceat(met, edges[:-1], 0), edges[:-1], 1)
    share /= np.multiply.outer(np.diff(edges), np.diff(edges)).astype(np.float32)
    cell = grid.pitch * grid.size / cells
    wide = gaussian_filter(share, _SCATTER_MM / cell, mode="nearest", truncate=3.0)
    middles = (edges[:-1] + edges[1:] - 1) / 2
    at = np.interp(np.arange(grid.size), middles, np.arange(cells))
    made = interpolated(wide, at, at)
    made *= np.float32(ratio * behind_lungs(primary, grid) / behind_lungs(made, grid))
    return made


def converter_mtf(device: Device, squared: NDArray[Any]) -> NDArray[Any]:
    """MTF of the converter alone over squared frequency, (lp/mm)²: Lorentzian.

    Its parameter makes the product with the aperture of the native pixel one half at MTF50.
    """
    f = device.mtf50_lp_mm
    wanted = 0.5 / np.sinc(device.pitch_mm * f)
    return 1 / (1 + squared * max((1 / wanted - 1) / f**2, 0.0))


def blurred(signal: Plane, noise: Plane, exposure: Exposure) -> Plane:
    """Signal behind focus, converter and aperture, plus noise behind the converter.

    In cosines, that is, with mirrored edges.
    """
    from scipy.fft import dctn, idctn

    grid = exposure.grid
    f = np.arange(grid.size) / (2 * grid.size * grid.pitch)
    aperture = np.sinc(f * grid.pitch)
    if exposure.blur_lp_mm is not None:
        aperture = aperture * np.exp(-np.log(2) * (f / exposure.blur_lp_mm) ** 2)
    weight = aperture.astype(np.float32)
    made: Plane = dctn(signal, norm="ortho", workers=1)
    made *= weight[:, None]
    made *= weight
    made += dctn(noise, norm="ortho", workers=1)
    squared = (f**2).astype(np.float32)
    made *= converter_mtf(exposure.device, np.add.outer(squared, squared)).astype(np.float32)
    shown: Plane = idctn(made, norm="ortho", workers=1, overwrite_x=True)
    return shown
