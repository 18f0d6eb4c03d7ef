"""From a radiograph's locator to its numbers, as they are or with the acquisition changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ContentError
from shiftbench.radiograph import Radiograph
from shiftbench.transforms.apply import apply_step
from shiftbench.transforms.step import acquisition_named, parse_step

__all__ = ["Decoders", "is_exact"]

Grey = NDArray[np.float32]
Pitch = tuple[float | None, float | None]


@dataclass(frozen=True)
class Decoders:
    """The decoders of a source, and the surrogates for changes that it cannot make itself.

    Called with a change, or None, it gives the function from a locator to the `Radiograph`.

    Parameters
    ----------
    source : RadiographSource
        A source that makes its radiographs has `exact`, the names of the changes that its
        ``decoder(changes)`` realises.
    seed : int
    """

    source: Any
    seed: int

    def __call__(self, change: str | None) -> Callable[[str], Radiograph]:
        """The source's decoder, with the change where the source makes it exactly."""
        if change is not None and self.exact(change):
            step = parse_step(change)
            made: Callable[[str], Radiograph] = self.source.decoder({step.name: step.value})
            return made
        plain: Callable[[str], Radiograph] = self.source.decoder()
        return plain

    def change(self, image: Grey, ident: str, change: str, pitch: Pitch) -> Grey:
        """The normalised image with a surrogate of the change; as it is where that was made.

        Raises
        ------
        ContentError
            The change needs the pixel spacing, and the radiograph has none.
        """
        if self.exact(change):
            return image
        step = parse_step(change)
        row_mm, column_mm = pitch
        known = None if row_mm is None or column_mm is None else (row_mm, column_mm)
        if known is None and acquisition_named(step.name).needs_pitch:
            raise ContentError(f"{change} needs the pixel spacing, and there is none")
        made = apply_step(image, step, seed=self.seed, ident=ident, pitch_mm=known)
        return np.asarray(made, np.float32)

    def exact(self, change: str) -> bool:
        """Whether the source makes the change itself."""
        return is_exact(self.source, parse_step(change).name)


def is_exact(source: Any, name: str) -> bool:
    """Whether a source makes changes of this name itself, instead of a surrogate."""
    return name in getattr(source, "exact", ())
