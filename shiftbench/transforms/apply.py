"""A step on an image as it is stored: numbers in, numbers of the same type out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ContentError
from shiftbench.statistics import stream
from shiftbench.transforms.step import Pitch, Step, acquisition_named, parse_step

__all__ = ["apply_step"]


def apply_step(
    image: NDArray[Any],
    step: Step | str,
    *,
    seed: int,
    ident: str,
    pitch_mm: Pitch | None = None,
) -> NDArray[Any]:
    """The image as it would look had it been acquired otherwise.

    What is random depends on the seed, the name of the step and `ident` alone; so the severities
    of one change share their noise, and neither order nor batches matter.

    Parameters
    ----------
    image : (rows, columns) array of uint8, uint16 or float32
        Integers stand for their type's full range, float32 lies in [0, 1]. White is little
        exposure (MONOCHROME2).
    step : Step or str
        Or its text, e.g. "dose=2".
    seed : int
    ident : str
        The example's id.
    pitch_mm : float or (row_mm, column_mm), optional
        Needed by steps in lp/mm (blur, grid). Other models that have a length take 0.2 mm
        where it is unknown.

    Returns
    -------
    (rows, columns) array
        Of the same type; integers are rounded again, so a change smaller than half a grey level
        can be lost.

    Raises
    ------
    ConfigurationError
        No such step, or no pitch where it is needed.
    ContentError
        The image is empty, has more than one channel, another type, or numbers outside [0, 1].

    Examples
    --------
    >>> grey = np.full((2, 2), 128, np.uint8)
    >>> apply_step(grey, "gamma=2", seed=0, ident="a").tolist()
    [[64, 64], [64, 64]]
    """
    chosen = parse_step(step) if isinstance(step, str) else step
    kind = acquisition_named(chosen.name)
    full = _full_scale(image)
    grey = image if full is None else image.astype(np.float32) / np.float32(full)
    rng = stream(seed, f"acquisition {chosen.name}", ident)
    changed = kind.apply(grey, chosen.value, rng=rng, pitch_mm=pitch_mm)
    if full is None:
        return changed
    stored: NDArray[Any] = np.rint(changed * np.float32(full)).astype(image.dtype)
    return stored


def _full_scale(image: NDArray[Any]) -> int | None:
    """White of an integer type; None where white is 1."""
    if not isinstance(image, np.ndarray) or image.ndim != 2 or image.size == 0:
        shape = getattr(image, "shape", type(image).__name__)
        raise ContentError(
            f"an image of shape {shape}; an acquisition change needs (rows, columns) of one "
            "channel, at least one pixel"
        )
    if image.dtype in (np.uint8, np.uint16):
        return int(np.iinfo(image.dtype).max)
    if image.dtype != np.float32:
        raise ContentError(
            f"an image of type {image.dtype}; allowed are uint8, uint16, and float32 in [0, 1]"
        )
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):
        raise ContentError(f"a float32 image from {low:g} to {high:g}; allowed is [0, 1]")
    return None
