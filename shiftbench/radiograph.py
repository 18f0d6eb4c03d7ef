"""A radiograph as numbers: what the sources of radiographs hand on, and how it is written."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, ContentError
from shiftbench.schema import Metadata

__all__ = [
    "ACQUISITION_COLUMNS",
    "MAX_AGE",
    "PERSON_COLUMNS",
    "Intensity",
    "Radiograph",
    "RadiographSource",
    "grey_png",
]

Intensity = Literal["bits_stored", "maximum"]

ACQUISITION_COLUMNS = (
    "device",
    "manufacturer",
    "model",
    "modality",
    "view",
    "body_part",
    "presentation_intent",
    "photometric",
    "bits_stored",
    "rows",
    "columns",
    "row_mm",
    "column_mm",
    "kvp",
    "exposure_uas",
    "exposure_ms",
    "tube_current_ma",
    "exposure_index",
    "distance_mm",
    "grid",
    "filter",
    "lossy",
    "burnt_in",
)
"""The white list: columns of a radiograph's header that may leave, beside those of the person."""

PERSON_COLUMNS = ("finding", "age", "sex")
"""What may be said of the person; ages are capped at `MAX_AGE`."""

MAX_AGE = 90
"""Ages above 89 are given as this number."""


@dataclass(frozen=True)
class Radiograph:
    """One decoded projection image.

    Attributes
    ----------
    pixels : (rows, columns) array of uint16
        As stored, with the modality LUT applied and no negative value.
    bits : int
        Bits stored, 1 to 16: the full range is 0 to 2**bits − 1.
    inverted : bool
        Whether large values are shown dark (MONOCHROME1).
    row_mm, column_mm : float or None
        Distance between rows and between columns, in mm at the detector; None where unknown.
    mask : (rows, columns) array of bool or None
        Where the finding is, if the source knows it.
    """

    pixels: NDArray[np.uint16]
    bits: int
    inverted: bool = False
    row_mm: float | None = None
    column_mm: float | None = None
    mask: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.dtype != np.uint16 or not 1 <= self.bits <= 16:
            raise ContentError(
                f"pixels of shape {self.pixels.shape} and type {self.pixels.dtype} with "
                f"{self.bits} bits; a radiograph has one frame of one channel, at most 16 bits"
            )

    def full(self, rule: Intensity = "bits_stored") -> int:
        """The stored value that a rule makes 1; see `normalised`.

        Examples
        --------
        >>> image = Radiograph(np.array([[0, 1023]], np.uint16), bits=10)
        >>> image.full(), image.full("maximum")
        (1023, 4095)
        """
        if rule == "maximum":
            brightest = int(self.pixels.max(initial=0))
            return 4095 if brightest <= 4095 else 16383 if brightest <= 16383 else 65535
        if rule != "bits_stored":
            raise ConfigurationError(f"intensity is {rule!r}; allowed: 'bits_stored' and 'maximum'")
        return (1 << self.bits) - 1

    def normalised(self, rule: Intensity = "bits_stored") -> NDArray[np.float32]:
        """The image as numbers from 0 (black) to 1 (white), MONOCHROME1 turned round.

        Parameters
        ----------
        rule : str
            "bits_stored" divides by 2**bits − 1. "maximum" is the rule of AdverX-Ray (arXiv
            2502.16610): by 4095 where no pixel is above it, else by 16383, else by 65535; the
            scale then depends on the exposure.

        Returns
        -------
        (rows, columns) array of float32

        Examples
        --------
        >>> image = Radiograph(np.array([[0, 1023]], np.uint16), bits=10, inverted=True)
        >>> image.normalised().tolist()
        [[1.0, 0.0]]
        >>> round(float(image.normalised("maximum")[0, 1]), 3)
        0.75
        """
        full = self.full(rule)
        scaled = self.pixels * np.float32(1 / full)
        np.clip(scaled, 0, 1, out=scaled)  # padding may lie beyond the bits stored
        return np.subtract(np.float32(1), scaled, out=scaled) if self.inverted else scaled


@runtime_checkable
class RadiographSource(Protocol):
    """A source whose examples are radiographs.

    `scan` gives one example a radiograph, with columns of `ACQUISITION_COLUMNS` and
    `PERSON_COLUMNS`; `decoder` gives the numbers.
    """

    def scan(self) -> Metadata:
        """Read all metadata and no pixels."""
        ...

    def reader(self) -> Callable[[str], Mapping[str, Any]]:
        """From a locator to ``{"image": PNG bytes of the whole radiograph}``."""
        ...

    def decoder(self) -> Callable[[str], Radiograph]:
        """From a locator to the radiograph; raises `ContentError` where it cannot be used."""
        ...


def grey_png(pixels: NDArray[Any], *, level: int = 6) -> bytes:
    """A grey image as PNG of 8 or 16 bits, without any metadata.

    Parameters
    ----------
    pixels : (rows, columns) array of uint8 or uint16
    level : int
        Of zlib's compression, 0 to 9.

    Examples
    --------
    >>> grey_png(np.zeros((2, 2), np.uint16))[:4]
    b'\\x89PNG'
    """
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", compress_level=level)
    return file.getvalue()
