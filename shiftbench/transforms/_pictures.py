"""Pictures of Pillow as arrays and back, without loss."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ContentError

if TYPE_CHECKING:
    from PIL.Image import Image

_DEEP = ("I;16", "I;16L", "I;16B")


def pixels(picture: Image) -> NDArray[Any]:
    """(rows, columns) of uint8 or uint16."""
    if picture.mode == "L" or picture.mode in _DEEP:
        array = np.asarray(picture)
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    raise ContentError(
        f"an image of mode {picture.mode!r}; an acquisition change needs grey of 8 or 16 bits: "
        "'L' (image.convert('L')) or 'I;16'"
    )


def picture(array: NDArray[Any]) -> Image:
    """A picture of mode L or I;16, which `datasets` stores as PNG."""
    from PIL import Image

    made = Image.fromarray(np.ascontiguousarray(array))
    made.format = "PNG"  # else `datasets` writes 16 bits as TIFF
    return made


def decoded(data: bytes) -> Image:
    """The picture in a file's bytes."""
    from PIL import Image

    try:
        made = Image.open(io.BytesIO(data))
        made.load()
    except MemoryError:
        raise
    except Exception as error:  # the decoders of Pillow raise many kinds; a message may quote data
        raise ContentError(f"an image cannot be decoded ({type(error).__name__})") from None
    return made
