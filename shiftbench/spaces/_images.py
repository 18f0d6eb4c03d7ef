"""Encoded images as arrays, one at a time, read as a training loop would and scaled by depth."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from shiftbench.errors import ConfigurationError, ContentError
from shiftbench.spaces._columns import declared, known

__all__ = ["Picture", "area_means", "image_column", "pictures"]

# Raster formats, by Pillow's names; some of its others run programs or have no magic number.
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")

# Luma of ITU-R BT.601, which Pillow's own conversion to grey has.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)

_ROWS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Picture:
    """A decoded image: no transparency, no palette, orientation as it is stored.

    Attributes
    ----------
    pixels : (h, w) or (h, w, 3) array of uint8 or uint16
        Grey, or red, green and blue.
    """

    pixels: NDArray[Any]

    @property
    def full(self) -> int:
        """The value of white: 255, or 65535 where an image has 16 bits."""
        return int(np.iinfo(self.pixels.dtype).max)

    def grey(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Part of it as luma in [0, 1]."""
        part = self.pixels[rows, columns].astype(np.float32)
        return np.asarray((part if part.ndim == 2 else part @ _LUMA) / np.float32(self.full))


def image_column(schema: pa.Schema, column: str | None = None) -> str:
    """The column that holds encoded images.

    Raises
    ------
    ConfigurationError
        There is none, there are several and none is called ``image``, or the one asked for holds
        no images; the message names what there is.
    """
    found = [name for name in schema.names if _holds_images(schema, name)]
    if column is not None:
        kind = known(schema, column)
        if column in found or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return column
        raise ConfigurationError(
            f"the column {column!r} is of type {kind} and holds no encoded images; "
            f"columns that do: {', '.join(found) or 'none'}"
        )
    if len(found) == 1 or "image" in found:
        return found[0] if len(found) == 1 else "image"
    if found:
        raise ConfigurationError(
            f"several columns hold images: {', '.join(found)}; choose one with column=NAME"
        )
    raise ConfigurationError(
        "no column holds images (a struct of bytes and path); there are: "
        f"{', '.join(schema.names) or 'no columns'}"
    )


def _holds_images(schema: pa.Schema, name: str) -> bool:
    kind = schema.field(name).type
    if not pa.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        return False
    # An Audio of `datasets` is the same struct.
    return bool(declared(schema, name).get("_type", "Image") == "Image")


def _opened(batch: pa.Table, column: str) -> Iterator[tuple[int, Image.Image]]:
    """The images of a batch with their row numbers, decoded one after the other."""
    row = 0
    for chunk in batch.column(column).chunks:
        cells = chunk.field("bytes") if pa.types.is_struct(chunk.type) else chunk
        absent = chunk.is_null().to_pylist()
        for i in range(len(chunk)):
            if absent[i] or not cells[i].is_valid:
                raise ContentError(f"row {row}: the image is absent (no bytes in {column!r})")
            yield row, _decoded(cells[i].as_py(), row)
            row += 1


def _decoded(data: bytes, row: int) -> Image.Image:
    Image.init()
    formats = [name for name in _FORMATS if name in Image.OPEN]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a build has judged the size; Pillow's limit stays
            image = Image.open(io.BytesIO(data), formats=formats)
            image.load()
    except MemoryError:
        raise
    except UnidentifiedImageError:
        raise ContentError(f"row {row}: not an image of a known format") from None
    except Exception as error:
        raise ContentError(
            f"row {row}: the image cannot be decoded ({type(error).__name__}: {error})"
        ) from None
    return image


def pictures(batch: pa.Table, column: str) -> Iterator[Picture]:
    """The images of a batch as arrays, one at a time.

    Transparency is dropped, palettes and other colour spaces become RGB, as
    ``Image.convert("RGB")`` has it; grey stays grey; the orientation in EXIF is not looked at.

    Raises
    ------
    ContentError
        An image is absent, cannot be decoded, or has 32 bits, whose full scale nobody knows; the
        message has its row in the batch.
    """
    for row, image in _opened(batch, column):
        yield Picture(_pixels(image, row))


def _pixels(image: Image.Image, row: int) -> NDArray[Any]:
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("I", "F"):
        # Netpbm's 16 bits are scaled to 65535 and come as 32.
        numbers = np.asarray(image)
        if image.mode == "I" and image.format == "PPM":
            return numbers.astype(np.uint16)
        raise ContentError(
            f"row {row}: pixels of 32 bits (mode {image.mode!r}) have no known full scale; "
            "convert the image to 8 or 16 bits"
        )
    grey = image.mode in ("1", "L", "LA", "La")
    try:
        if image.mode == "La":
            image = image.convert("LA")
        return np.asarray(image.convert("L" if grey else "RGB"))
    except ValueError as error:
        raise ContentError(f"row {row}: {error} (mode {image.mode!r})") from None


@lru_cache(maxsize=256)
def _overlaps(n: int, size: int) -> NDArray[np.float32]:
    """(size, n): the share that each of n cells has in each of `size` equal parts of them."""
    edges = np.arange(size + 1) * (n / size)
    cells = np.arange(n)
    low = np.maximum(edges[:-1, None], cells)
    high = np.minimum(edges[1:, None], cells + 1)
    return np.asarray(np.maximum(high - low, 0) * (size / n), dtype=np.float32)


def area_means(pixels: NDArray[Any], size: int) -> NDArray[np.float32]:
    """Means of (h, w) or (h, w, c) pixels over `size` × `size` equal rectangles, exactly.

    Rows are taken some at a time, so that a large image is never held as floats.
    """
    h, w = pixels.shape[:2]
    flat = pixels.reshape(h, -1)
    rows, columns = _overlaps(h, size), _overlaps(w, size)
    step = max(1, _ROWS_AT_ONCE // flat.shape[1])
    bands = np.zeros((size, flat.shape[1]), dtype=np.float32)
    for start in range(0, h, step):
        part = slice(start, start + step)
        bands += rows[:, part] @ flat[part].astype(np.float32)
    return np.asarray(np.einsum("iwc,jw->ijc", bands.reshape(size, w, -1), columns))
