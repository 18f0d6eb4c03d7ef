"""Radiographs of chests that never were: computed from physics, with exact acquisition shifts."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import ClassVar

import numpy as np
import pyarrow as pa

from shiftbench.errors import ConfigurationError, ContentError, near_names
from shiftbench.radiograph import Radiograph, grey_png
from shiftbench.schema import CONTEXTS, REJECTED, Image, Metadata
from shiftbench.sources._phantom_anatomy import (
    OPACITY_MM,
    distance_mm,
    draw_chest,
    opacity_share,
    paint,
)
from shiftbench.sources._phantom_detector import CHANGES, Exposure, devices, expose, with_changes
from shiftbench.sources._phantom_patients import FINDINGS, KVP_STEP, Cohort, Row, rows_of
from shiftbench.sources._phantom_processing import processed
from shiftbench.statistics import stream

__all__ = ["PhantomDecoder", "PhantomReader", "Phantoms"]

# Part of the fingerprint: raise it whenever a row or a picture changes.
_VERSION = 2
_MOST = 1_000_000
_SHARE_SIDE = 256


@dataclass(frozen=True)
class PhantomDecoder:
    """Computes a radiograph from its locator.

    Parameters
    ----------
    source : Phantoms
    changes : tuple of (str, float)
        What is changed of the acquisition, see `Phantoms.decoder`.
    """

    source: Phantoms
    changes: tuple[tuple[str, float], ...] = ()

    def __call__(self, locator: str) -> Radiograph:
        """The radiograph as numbers; its mask is where opacities take the place of 2 mm of air.

        Raises
        ------
        ContentError
            There is no such radiograph.
        """
        row = self.source.row(locator)
        exposure = with_changes(row.exposure(self.source.size), dict(self.changes))
        chest, view = draw_chest(
            self.source.seed, row.patient, locator,
            age=row.age, sex=row.sex, view=row.view, finding=row.finding != FINDINGS[0],
        )  # fmt: skip
        thickness = paint(chest, view, exposure.grid)
        mask = thickness.opacity > np.float32(OPACITY_MM)
        image = expose(exposure, thickness, stream(self.source.seed, "phantom noise", locator))
        pitch = exposure.grid.pitch
        return Radiograph(
            processed(exposure, image), exposure.bits, exposure.device.inverted, pitch, pitch, mask
        )


@dataclass(frozen=True)
class PhantomReader:
    """Computes a radiograph as PNG, and its mask if wanted."""

    decode: PhantomDecoder
    masks: bool

    def __call__(self, locator: str) -> dict[str, bytes]:
        """``{"image": PNG of 16 bits}``, and ``"mask"`` (PNG of 8 bits, 255 in opacities)."""
        radiograph = self.decode(locator)
        read = {"image": grey_png(radiograph.pixels, level=1)}
        if self.masks and radiograph.mask is not None:
            read["mask"] = grey_png(radiograph.mask * np.uint8(255))
        return read


@dataclass(frozen=True)
class Phantoms:
    """Chest radiographs computed from physics, with no download and no patient.

    A chest of ellipsoids and tubes is drawn at random for each patient (lungs with vessels, heart,
    mediastinum, diaphragm, ribs, spine; varied by age, sex and view), with soft opacities in the
    lungs as the finding. Tissue and bone along every ray, the law of Beer and Lambert over the
    tube's spectrum, scatter, quantum and electronic noise, the detector's blur and pixels, and
    the vendor's processing make the picture. A device is a profile of these parameters:
    ``metadata/device_profiles.json`` names each with its range and where that comes from.

    Patients and radiographs have random numbers of their own: each is the same however many there
    are. The whole field of the detector is shown; with fewer pixels than it has, they are binned
    by a real factor: aperture, photons and electronic noise follow.

    Parameters
    ----------
    n_patients : int
        How many patients; radiographs are about 1.2 times as many.
    size : int
        Width and height of a radiograph in pixels, 64 to 2048.
    devices : tuple of str
        Names of device profiles; empty: all five.
    prevalence : float
        Share of patients with opacities.
    repeated : float
        Share of patients with a second radiograph on the same device.
    shared_devices : float
        Share of patients with a second radiograph on another device.
    bedside : float
        Share of AP radiographs, taken at the bedside; the others are PA.
    confounding : float
        From 0: finding, view, age and sex are independent of the device, to 1: they differ
        strongly among devices.
    masks : bool
        Whether the content holds the mask of the opacities too, and the metadata its share of the
        pixels (`mask_share`).
    seed : int
        Another seed, other patients.

    Examples
    --------
    >>> source = Phantoms(n_patients=20, size=64)
    >>> found = source.scan()
    >>> found.examples.num_rows, found.license, found.redistributable
    (24, 'cc0-1.0', True)
    >>> first = found.examples["locator"][0].as_py()
    >>> first, source.decoder()(first).pixels.shape
    ('phantom-000000-1', (64, 64))
    """

    n_patients: int = 200
    size: int = 512
    devices: tuple[str, ...] = ()
    prevalence: float = 0.5
    repeated: float = 0.15
    shared_devices: float = 0.05
    bedside: float = 0.3
    confounding: float = 0.0
    masks: bool = False
    seed: int = 0

    exact: ClassVar[tuple[str, ...]] = tuple(CHANGES)
    """The acquisition changes that the physics makes as they are, see `decoder`."""
    keep: ClassVar[tuple[str, ...]] = ("mask_share",)
    """Columns that a benchmark of radiographs may have, as in `Radiographs.keep`."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("n_patients", 1, _MOST), ("size", 64, 2048), ("seed", 0, 2**63 - 1),
        ):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise ConfigurationError(
                    f"phantoms: {name} is {value!r}; allowed: a whole number from {least} to {most}"
                )
        for name in ("prevalence", "repeated", "shared_devices", "bedside", "confounding"):
            share = getattr(self, name)
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
                raise ConfigurationError(
                    f"phantoms: {name} is {share!r}; allowed: a number from 0 to 1"
                )
        if self.repeated + self.shared_devices > 1:
            raise ConfigurationError(
                "phantoms: repeated and shared_devices are shares of the patients and add up to "
                f"{self.repeated + self.shared_devices:g}; allowed: at most 1"
            )
        known = devices()
        for name in self.devices:
            if name not in known:
                raise ConfigurationError(
                    f"phantoms: there is no device {name!r}; {near_names(name, known)}"
                )
        if len(set(self.devices)) < len(self.devices):
            raise ConfigurationError(f"phantoms: a device stands twice in {self.devices!r}")

    def scan(self) -> Metadata:
        """One row a radiograph; nothing is computed but, with masks, their share of the pixels.

        The share is that of a picture of at most 256 × 256 pixels, within 0.0002 of the mask's of
        512; it takes 5 ms a radiograph with opacities.
        """
        rows = rows_of(self._cohort(), range(self.n_patients))
        known = devices()
        shown = [known[r.device] for r in rows]
        pitch = [d.field_mm / self.size for d in shown]
        text, n = pa.string(), len(rows)
        examples = pa.table(
            {
                "example_id": pa.array([r.radiograph for r in rows], text),
                "cluster_id": pa.array([r.patient for r in rows], text),
                "locator": pa.array([r.radiograph for r in rows], text),
                "bytes": pa.nulls(n, pa.int64()),
                "modified": pa.array(np.zeros(n, np.int64)),
                "device": pa.array([r.device for r in rows], text),
                "manufacturer": pa.array(["Phantom"] * n, text),
                "model": pa.array([d.kind for d in shown], text),
                "modality": pa.array([d.modality for d in shown], text),
                "view": pa.array([r.view for r in rows], text),
                "body_part": pa.array(["CHEST"] * n, text),
                "presentation_intent": pa.array(["FOR PRESENTATION"] * n, text),
                "photometric": pa.array(
                    ["MONOCHROME1" if d.inverted else "MONOCHROME2" for d in shown], text
                ),
                "bits_stored": pa.array([d.bits for d in shown], pa.int64()),
                "rows": pa.array([self.size] * n, pa.int64()),
                "columns": pa.array([self.size] * n, pa.int64()),
                "row_mm": pa.array(pitch, pa.float64()),
                "column_mm": pa.array(pitch, pa.float64()),
                "distance_mm": pa.array([distance_mm(r.view) for r in rows], pa.float64()),
                "kvp": pa.array([r.kvp for r in rows], pa.float64()),
                "exposure_index": pa.array(
                    [round(100 * r.dose_ugy, 1) for r in rows], pa.float64()
                ),
                "finding": pa.array([r.finding for r in rows], text),
                "age": pa.array([r.age for r in rows], pa.int64()),
                "sex": pa.array([r.sex for r in rows], text),
            }
        )
        if self.masks:
            shares = pa.array([self._mask_share(r) for r in rows], pa.float64())
            examples = examples.append_column("mask_share", shares)
        return Metadata(
            examples=examples,
            contexts=CONTEXTS.empty_table(),
            rejected=REJECTED.empty_table(),
            content={"image": Image(), "mask": Image()} if self.masks else {"image": Image()},
            fingerprint=self._fingerprint(rows),
            license="cc0-1.0",
            redistributable=True,
            identity="pixels",
            notes={
                "title": "Phantom chest radiographs",
                "attribution": "Computed by shiftbench, in the public domain (CC0 1.0)",
            },
        )

    def reader(self) -> PhantomReader:
        """From a locator to ``{"image": PNG bytes}``, stored values of up to 16 bits."""
        return PhantomReader(PhantomDecoder(self), self.masks)

    def decoder(self, changes: Mapping[str, float] | None = None) -> Callable[[str], Radiograph]:
        """From a locator to the radiograph, taken as it was or otherwise.

        Patient, pose and random numbers of the noise stay as they are: only the acquisition
        changes. No change, or one by nothing, gives the same pixels.

        Parameters
        ----------
        changes : mapping of str to float, optional
            ``dose``: halvings of the dose at the detector, 2 means a quarter; the display follows
            the exposure, so that noise changes and brightness does not. ``kvp``: kV added to the
            tube voltage, at the same dose at the detector. ``scatter``: scatter-to-primary ratio
            added, behind the lungs, at the same primary radiation. ``blur``: MTF50, lp/mm, of a
            Gaussian by which focus or motion blurs the radiation (not its noise). ``sharpen``:
            gain added to the unsharp mask's. ``pitch``: factor by which pixels are larger, so
            that there are fewer. ``gamma``: exponent of the display values. ``bits``: bits
            stored.

        Raises
        ------
        ConfigurationError
            A change of another name, or out of range for one of the devices.

        Examples
        --------
        >>> source = Phantoms(n_patients=1, size=64)
        >>> full = source.decoder()("phantom-000000-1")
        >>> half = source.decoder({"pitch": 2})("phantom-000000-1")
        >>> half.pixels.shape, round(half.row_mm / full.row_mm, 6)
        ((32, 32), 2.0)
        """
        wanted = dict(changes or {})
        for name in self.devices or tuple(devices()):
            device = devices()[name]
            for kvp in (device.kvp_ap - KVP_STEP, device.kvp_pa + KVP_STEP):
                with_changes(Exposure(device, self.size, kvp, 1.0, 0.0), wanted)
        return PhantomDecoder(self, tuple(sorted(wanted.items())))

    def row(self, locator: str) -> Row:
        """What is known of one radiograph.

        Raises
        ------
        ContentError
            There is no such radiograph.
        """
        found = re.fullmatch(r"phantom-([0-9]{6})-([12])", locator)
        number = int(found[1]) if found else self.n_patients
        if found and number < self.n_patients:
            rows = [r for r in rows_of(self._cohort(), [number]) if r.radiograph == locator]
            if rows:
                return rows[0]
        raise ContentError(
            f"{locator!r} is no phantom; there are radiographs of phantom-000000 to "
            f"phantom-{self.n_patients - 1:06d}, ending in -1 and for some of them in -2"
        )

    def _mask_share(self, row: Row) -> float:
        if row.finding == FINDINGS[0]:
            return 0.0
        chest, view = draw_chest(
            self.seed, row.patient, row.radiograph,
            age=row.age, sex=row.sex, view=row.view, finding=True,
        )  # fmt: skip
        return opacity_share(chest, view, row.exposure(min(self.size, _SHARE_SIDE)).grid)

    def _cohort(self) -> Cohort:
        names = self.devices or tuple(devices())
        options = {f.name: getattr(self, f.name) for f in fields(Cohort)}
        return Cohort(**{**options, "devices": names})

    def _fingerprint(self, rows: Sequence[Row]) -> str:
        options = {f.name: getattr(self, f.name) for f in fields(self)}
        profiles = [astuple(d) for d in devices().values()]
        digest = hashlib.sha256(json.dumps([_VERSION, options, profiles]).encode())
        digest.update(json.dumps([astuple(r) for r in rows]).encode())
        if self.masks:
            digest.update(b"with mask_share")
        return digest.hexdigest()
