"""A source of made radiographs, small and quick: each device has its own noise and blur."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import ndimage

from shiftbench.errors import ContentError
from shiftbench.radiograph import Radiograph, grey_png
from shiftbench.schema import CONTEXTS, REJECTED, Image, Metadata

DEVICES = ("Acme A", "Bolt B", "Coil C", "Dyne D")
BLUR = {"Acme A": 0.0, "Bolt B": 0.8, "Coil C": 1.6, "Dyne D": 2.4}


@dataclass(frozen=True)
class Reader:
    """From "patient/image/device" to a radiograph."""

    bad: tuple[str, ...] = ()
    copies: tuple[tuple[str, str], ...] = ()

    def __call__(self, locator: str) -> Radiograph:
        if locator in self.bad:
            raise ContentError("the pixel data end too early")
        locator = dict(self.copies).get(locator, locator)
        patient, device = locator.split("/")[0], locator.rpartition("/")[2]
        rng = np.random.default_rng([int(patient[1:]), 7])
        coarse = rng.normal(0, 1, (12, 12))
        smooth = ndimage.zoom(coarse, 160 / 12, order=3)[:160, :160]
        noise = ndimage.gaussian_filter(rng.normal(0, 1, smooth.shape), BLUR[device])
        image = 2000 + 400 * smooth + 150 * noise / max(noise.std(), 1e-9)
        pixels = np.clip(np.rint(image), 0, 4095).astype(np.uint16)
        return Radiograph(pixels, 12, row_mm=0.2, column_mm=0.2)


@dataclass(frozen=True)
class Whole:
    """The picture of a whole radiograph."""

    decode: Reader

    def __call__(self, locator: str) -> Mapping[str, Any]:
        return {"image": grey_png(self.decode(locator).pixels)}


@dataclass(frozen=True)
class MadeRadiographs:
    """One radiograph a patient, patients dealt to the devices in turn.

    Attributes
    ----------
    n_patients : int
    both : int
        How many patients were imaged on the next device as well.
    confounded : tuple of str
        Devices on which all have the finding.
    bad : tuple of str
        Locators whose pixels cannot be read.
    copies : tuple of pairs of str
        Locators whose pixels are those of another.
    extra : tuple of str
        Further columns.
    """

    n_patients: int = 120
    both: int = 0
    devices: tuple[str, ...] = DEVICES
    confounded: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()
    copies: tuple[tuple[str, str], ...] = ()
    extra: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()

    def images(self) -> list[tuple[str, int, str]]:
        """Locator, patient and device of each."""
        found = []
        for n in range(self.n_patients):
            device = self.devices[n % len(self.devices)]
            found.append((f"p{n:04d}/0/{device}", n, device))
            if n < self.both:
                other = self.devices[(n + 1) % len(self.devices)]
                found.append((f"p{n:04d}/1/{other}", n, other))
        return found

    def scan(self) -> Metadata:
        rows = self.images()
        n = len(rows)
        turn = [p // len(self.devices) for _, p, _ in rows]
        finding = [
            "Opacity" if d in self.confounded or t % 2 else "No Finding"
            for (_, _, d), t in zip(rows, turn, strict=True)
        ]
        table = {
            "example_id": [f"r{p:04d}{loc.split('/')[1]}" for loc, p, _ in rows],
            "cluster_id": [f"q{p:04d}" for _, p, _ in rows],
            "locator": [loc for loc, _, _ in rows],
            "bytes": pa.nulls(n, pa.int64()),
            "modified": pa.array(np.zeros(n, np.int64)),
            "device": [d for _, _, d in rows],
            "finding": finding,
            "view": ["PA" if t % 4 < 2 else "AP" for t in turn],
            "age": pa.array([20 + 7 * (p % 9) for _, p, _ in rows]),
            "sex": ["FM"[t // 4 % 2] for t in turn],
            "rows": pa.array([160] * n),
            "columns": pa.array([160] * n),
            "row_mm": pa.array([0.2] * n),
            "column_mm": pa.array([0.2] * n),
            "bits_stored": pa.array([12] * n),
            **{name: [f"{name} {p}" for _, p, _ in rows] for name in self.extra},
        }
        return Metadata(
            examples=pa.table(table),
            contexts=CONTEXTS.empty_table(),
            rejected=REJECTED.empty_table(),
            content={"image": Image()},
            fingerprint="0" * 64,
            license="cc0-1.0",
            redistributable=True,
        )

    def reader(self) -> Whole:
        return Whole(self.decoder())

    def decoder(self) -> Callable[[str], Radiograph]:
        return Reader(self.bad, self.copies)
