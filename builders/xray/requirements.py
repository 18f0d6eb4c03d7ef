"""What a radiograph must have before it is cut, as far as its header tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from shiftbench.errors import ConfigurationError
from shiftbench.schema import REJECTED

from ._columns import numbers

if TYPE_CHECKING:
    from .builder import XrayPatches

__all__ = ["check_pixels", "large_enough"]

_ROUNDING = 1e-3
"""Relative: pitches come as decimal text."""


def large_enough(
    radiographs: pa.Table, size: int, spacing: float | None
) -> tuple[pa.Table, pa.Table]:
    """The radiographs that hold a patch, and a table of schema `REJECTED` of the others.

    Examples
    --------
    >>> table = pa.table({"example_id": ["a", "b"], "rows": [300, 100], "columns": [200, 200]})
    >>> kept, rejected = large_enough(table, 128, None)
    >>> kept["example_id"].to_pylist(), rejected["reason"].to_pylist()
    (['a'], ['100 x 200 pixels, smaller than a patch of 128'])
    """
    if not {"rows", "columns"} <= set(radiographs.column_names):
        return radiographs, REJECTED.empty_table()
    shape = [numbers(radiographs[n]) for n in ("rows", "columns")]
    cut = list(shape)
    if spacing is not None:
        cut = [
            None if n is None else np.floor(n * _pitch(radiographs, name) / spacing + _ROUNDING)
            for n, name in zip(shape, ("row_mm", "column_mm"), strict=True)
        ]
    small = np.zeros(len(radiographs), bool)
    for n in cut:
        if n is not None:
            small |= n < size  # NaN, for unknown, is not smaller: the pixels will tell
    rows = np.flatnonzero(small)
    names = radiographs["example_id"].take(pa.array(rows)).to_pylist()
    pixels = [[int(n[row]) for n in shape if n is not None] for row in rows]
    at = "" if spacing is None else f" at {spacing:g} mm"
    reasons = [f"{h} x {w} pixels, smaller than a patch of {size}{at}" for h, w in pixels]
    rejected = pa.table({"input": names, "reason": reasons}, schema=REJECTED)
    if len(rows) == len(radiographs) and len(rows):
        raise ConfigurationError(
            f"every radiograph is smaller than a patch of {size} pixels{at} (the first has "
            f"{pixels[0][0]} x {pixels[0][1]}); lower --patch-size"
            + (" or --spacing" if spacing is not None else "")
        )
    return radiographs.filter(pa.array(~small)), rejected


def _pitch(radiographs: pa.Table, name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    found = numbers(radiographs[name]) if name in radiographs.column_names else None
    return np.full(len(radiographs), np.nan) if found is None else found


def check_pixels(radiographs: pa.Table, rows: set[int], builder: XrayPatches) -> None:
    """Refuse options that the radiographs to be cut cannot have.

    Raises
    ------
    ConfigurationError
        `spacing` where the pitch of one is unknown or coarser; the paper's intensity rule for
        images of 8 bits.
    """
    taken = radiographs.take(pa.array(sorted(rows), pa.int64()))
    if builder.spacing is not None:
        for name in ("row_mm", "column_mm"):
            pitch = _pitch(taken, name)
            if np.isnan(pitch).any():
                raise ConfigurationError(
                    f"spacing is {builder.spacing:g} mm, and {int(np.isnan(pitch).sum())} of "
                    f"{len(taken)} radiographs have no pixel spacing ({name}); leave --spacing "
                    "out, or take radiographs that have one (--only)"
                )
            if pitch.max() > builder.spacing * (1 + _ROUNDING):
                worst = int(pitch.argmax())
                raise ConfigurationError(
                    f"spacing is {builder.spacing:g} mm, finer than the pixels of some radiographs "
                    f"({pitch[worst]:.4g} mm, e.g. of {_device(taken, worst)}): what they do not "
                    "hold cannot be compared; choose a spacing no finer than the coarsest"
                )
    if builder.intensity == "maximum" and "bits_stored" in taken.column_names:
        bits = numbers(taken["bits_stored"])
        if bits is not None and np.nanmin(bits) < 10:
            raise ConfigurationError(
                f"intensity 'maximum' is a rule for 12 to 16 bits, and some radiographs have "
                f"{np.nanmin(bits):g}; use 'bits_stored'"
            )


def _device(radiographs: pa.Table, row: int) -> str:
    if "device" not in radiographs.column_names:
        return "a device without a name"
    return repr(radiographs["device"][row].as_py())
