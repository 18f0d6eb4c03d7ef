"""A step on the examples of a `datasets.Dataset`, one by one or in batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from shiftbench.errors import ConfigurationError, ContentError, near_names
from shiftbench.transforms._pictures import decoded, picture, pixels
from shiftbench.transforms.apply import apply_step
from shiftbench.transforms.step import Pitch, Step, acquisition_named, parse_step

__all__ = ["AcquisitionChange"]


@dataclass(frozen=True)
class AcquisitionChange:
    """A function for ``dataset.map`` that changes the acquisition of each image.

    An example's noise depends on the seed and the example's id alone; so batches, the order and
    ``num_proc`` change nothing. ``datasets`` fingerprints it by its options.

    Parameters
    ----------
    step : str
        Such as "dose=2"; a `Step` will do.
    column : str
        With the image: a picture of Pillow (mode L or I;16), the struct of its ``bytes``, or an
        array as `apply_step` takes it.
    seed : int
    id_column : str
        With the example's id, unique in the data set.
    row_mm, column_mm : float or str, optional
        Distance between rows and between columns in mm, or the name of the column with it.
        `column_mm` is by default `row_mm`, for square pixels.

    Examples
    --------
    >>> change = AcquisitionChange("gamma=2")
    >>> change({"example_id": "a", "image": np.full((1, 2), 128, np.uint8)})["image"].tolist()
    [[64, 64]]
    """

    step: str
    column: str = "image"
    seed: int = 0
    id_column: str = "example_id"
    row_mm: float | str | None = None
    column_mm: float | str | None = None

    def __post_init__(self) -> None:
        parsed = self.step if isinstance(self.step, Step) else parse_step(self.step)
        object.__setattr__(self, "step", str(parsed))
        if self.row_mm is None and self.column_mm is not None:
            raise ConfigurationError("column_mm is given without row_mm; give both, or row_mm")
        if acquisition_named(parsed.name).needs_pitch and self.row_mm is None:
            raise ConfigurationError(
                f"{parsed.name} is in lp/mm and needs the pixel pitch: give row_mm (and column_mm "
                "where pixels are not square), as a number or as the name of a column"
            )

    def __call__(self, example: Mapping[str, Any]) -> dict[str, Any]:
        """The example, or the batch of them, with its image changed.

        Raises
        ------
        ConfigurationError
            A column is not there.
        ContentError
            An image cannot be used.
        """
        idents = self._cell(example, self.id_column)
        images = self._cell(example, self.column)
        rows = self._pitches(example, self.row_mm)
        columns = rows if self.column_mm is None else self._pitches(example, self.column_mm)
        if not isinstance(idents, list | tuple | np.ndarray):
            return {**example, self.column: self._changed(images, idents, rows, columns)}
        batch = zip(
            images, idents, _each(rows, len(idents)), _each(columns, len(idents)), strict=True
        )
        return {**example, self.column: [self._changed(*one) for one in batch]}

    def _cell(self, example: Mapping[str, Any], name: str) -> Any:
        if name not in example:
            raise ConfigurationError(f"no column {name!r}; {near_names(name, example)}")
        return example[name]

    def _pitches(self, example: Mapping[str, Any], mm: float | str | None) -> Any:
        return self._cell(example, mm) if isinstance(mm, str) else mm

    def _changed(self, image: Any, ident: Any, row_mm: Any, column_mm: Any) -> Any:
        if ident is None:
            raise ContentError(f"an example has no {self.id_column!r}, on which its noise depends")
        known = row_mm is not None and column_mm is not None
        pitch: Pitch | None = (float(row_mm), float(column_mm)) if known else None
        if isinstance(image, np.ndarray):
            return self._applied(image, ident, pitch)
        if isinstance(image, Mapping):
            if not image.get("bytes"):
                raise ContentError("an image is absent (no bytes)")
            image = decoded(image["bytes"])
        if not isinstance(getattr(image, "mode", None), str):  # tensors have a method of that name
            raise ContentError(
                f"an image is of type {type(image).__name__}; allowed are pictures of Pillow, "
                'structs with "bytes", and arrays'
            )
        return picture(self._applied(pixels(image), ident, pitch))

    def _applied(self, array: Any, ident: Any, pitch: Pitch | None) -> Any:
        return apply_step(array, self.step, seed=self.seed, ident=str(ident), pitch_mm=pitch)


def _each(value: Any, n: int) -> Any:
    """One number for all, or the batch's own."""
    return [value] * n if value is None or isinstance(value, int | float) else value
