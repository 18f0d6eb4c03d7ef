"""Radiographs that were saved as PNG or JPEG."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ContentError
from shiftbench.radiograph import Radiograph
from shiftbench.sources._radiograph_files import Located, check_size, read_bytes

__all__ = ["IMAGE_SUFFIXES", "decode_image", "image_size"]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
_FORMATS = ("PNG", "JPEG")
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16", "I;16B", "I;16L", "I;16N")


def image_size(path: str) -> tuple[int, int, int]:
    """Rows, columns and bits of a file, from its header.

    Raises
    ------
    ContentError
        It is no PNG or JPEG file, or of another kind than radiographs have.
    """
    try:
        file = open(path, "rb")  # noqa: PTH123, SIM115
    except OSError as error:
        raise ContentError(f"cannot be read: {error.strerror or type(error).__name__}") from None
    with file:
        image = _opened(file)
        return image.height, image.width, _depth(image.mode)


def decode_image(located: Located) -> Radiograph:
    """The pixels of a PNG or JPEG file.

    Colour files whose channels are equal are grey; transparency is left out. Where a pixel is
    above the bits stated, the file was scaled when it was written and its own depth counts.

    Raises
    ------
    ContentError
        The file cannot be decoded, or is a colour image.
    """
    image = _opened(io.BytesIO(read_bytes(located.path)))
    depth = _depth(image.mode)
    try:
        image.load()
    except Exception as error:  # a damaged file can fail in any way
        raise ContentError(f"the image cannot be decoded ({type(error).__name__})") from None
    pixels = _grey(image)
    stated = min(located.bits or depth, depth)
    bits = stated if int(pixels.max()) < 2**stated else depth
    return Radiograph(pixels, bits, located.inverted, located.row_mm, located.column_mm)


def _opened(file: Any) -> Any:
    import warnings

    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(file, formats=_FORMATS)
    except Image.DecompressionBombError:
        raise ContentError("more pixels than any radiograph has") from None
    except Exception as error:
        raise ContentError(f"no PNG or JPEG file ({type(error).__name__})") from None
    check_size(image.height, image.width)
    if image.mode not in _MODES:
        raise ContentError(f"pixels of mode {image.mode}; a radiograph has one channel")
    return image


def _depth(mode: str) -> int:
    if mode == "1":
        return 1
    return 16 if mode.startswith("I") else 8


def _grey(image: Any) -> NDArray[np.uint16]:
    if image.mode == "P":
        image = image.convert("RGB")
    pixels = np.asarray(image)
    if image.mode in ("LA", "RGB", "RGBA"):
        channels = [pixels[..., k] for k in range(1 if image.mode == "LA" else 3)]
        if any(not np.array_equal(channels[0], other) for other in channels[1:]):
            raise ContentError("colour: the channels differ; a radiograph has one")
        pixels = channels[0]
    if pixels.dtype == np.int32 and (pixels.min() < 0 or pixels.max() > 0xFFFF):
        raise ContentError("pixels beyond 16 bits")
    return np.ascontiguousarray(pixels, dtype=np.uint16)
