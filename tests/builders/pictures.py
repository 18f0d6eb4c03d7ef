"""A source of small made pictures with classes, clusters, and masks, for tests of builders."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from shiftbench.errors import ContentError
from shiftbench.schema import CONTEXTS, REJECTED, Metadata, Value
from shiftbench.schema import Image as ImageFeature
from shiftbench.statistics import stream


def png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


@dataclass(frozen=True)
class Pictures:
    """Bright and dark discs on a textured ground.

    Parameters
    ----------
    n : int
    each : int
        Pictures of a cluster.
    side : int
    mode : str
        Of Pillow: RGB, L, P, I;16, F …
    masks : bool
        Whether there is a column `mask` (mode P) with the disc.
    parts : bool
        Whether the locator comes in two parts.
    content : str
        The content column.
    broken : tuple of int
        Pictures whose bytes are none.
    columns : tuple of str
        Further metadata columns, of equal values.
    """

    n: int = 60
    each: int = 1
    side: int = 24
    mode: str = "RGB"
    masks: bool = False
    parts: bool = False
    content: str = "image"
    broken: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()

    def scan(self) -> Metadata:
        numbers = np.arange(self.n)
        ids = [f"p{i:04d}" for i in numbers]
        table = {
            "example_id": pa.array(ids),
            "cluster_id": pa.array([f"c{i // self.each:04d}" for i in numbers]),
            "locator": pa.array(["all"] * self.n if self.parts else [str(i) for i in numbers]),
            "bytes": pa.array([1000] * self.n, pa.int64()),
            "modified": pa.array([0] * self.n, pa.int64()),
            "label": pa.array(["dark" if i // self.each % 2 else "bright" for i in numbers]),
            "site": pa.array([f"s{i // self.each % 3}" for i in numbers]),
        }
        if self.parts:
            table["locator_part"] = pa.array(numbers, pa.int32())
        for name in self.columns:
            table[name] = pa.array(["x"] * self.n)
        image = self.content == "image"
        content = {self.content: ImageFeature() if image else Value("string")}
        if self.masks:
            content["mask"] = ImageFeature()
        return Metadata(
            examples=pa.table(table),
            contexts=CONTEXTS.empty_table(),
            rejected=REJECTED.empty_table(),
            content=content,
            fingerprint=hashlib.sha256(repr(self).encode()).hexdigest(),
            license="cc0-1.0",
            redistributable=True,
        )

    def reader(self) -> Callable[[str], Mapping[str, Any]]:
        return self._read

    def pixels(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The picture (RGB) and the disc."""
        rng = stream(0, "picture", str(number))
        y, x = np.mgrid[0 : self.side, 0 : self.side] / self.side
        disc = (x - rng.uniform(0.3, 0.7)) ** 2 + (y - rng.uniform(0.3, 0.7)) ** 2 < 0.06
        ground = rng.uniform(70, 180, 3) + 30 * np.sin(8 * x + 5 * y)[..., None]
        colour = 40 if number // self.each % 2 else 215
        picture = np.where(disc[..., None], colour, ground) + rng.normal(0, 4, (*x.shape, 1))
        return picture.clip(0, 255).astype(np.uint8), disc

    def _read(self, locator: str) -> Mapping[str, Any]:
        if self.parts:
            where, _, locator = locator.partition("\x1f")
            assert where == "all"
        number = int(locator)
        if number in self.broken:
            raise ContentError("cannot be read")
        pixels, disc = self.pixels(number)
        if self.content != "image":
            return {self.content: "a text"}
        picture = Image.fromarray(pixels)
        if self.mode in ("I;16", "F"):
            deep = pixels[..., 0].astype(np.uint16 if self.mode == "I;16" else np.float32)
            picture = Image.fromarray(deep)
        elif self.mode != "RGB":
            picture = picture.convert(self.mode)
        data = io.BytesIO()
        picture.save(data, "TIFF" if self.mode == "F" else "PNG")
        content = {"image": data.getvalue()}
        if self.masks:
            mask = Image.fromarray(disc.astype(np.uint8))
            mask.putpalette([0, 0, 0, 255, 0, 0])
            content["mask"] = png(mask)
        return content
