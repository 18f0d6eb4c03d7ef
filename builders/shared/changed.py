"""Examples whose content is changed as it is written: their ids, locators and reader."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from shiftbench.errors import ContentError
from shiftbench.store.check import HashedImage, pixel_hash

__all__ = [
    "MARK",
    "ChangedReader",
    "changed_locator",
    "decode_image",
    "encode_png",
    "orientation_of",
    "unchanged_id",
]

Pixels = NDArray[np.uint8]
"""(rows, columns) grey or (rows, columns, 3) colour."""

MARK = "~"
"""Stands between the id of an example and what a changed copy of it is called by."""


def unchanged_id(example_id: str) -> str:
    """The id of the example that a copy is of.

    Examples
    --------
    >>> unchanged_id(f"0017{MARK}blur_3"), unchanged_id("0017")
    ('0017', '0017')
    """
    return example_id.rpartition(MARK)[0] or example_id


def changed_locator(locator: str, example_id: str, change: str) -> str:
    """What `ChangedReader` takes: where the content is, whose it is, and what becomes of it.

    Parameters
    ----------
    locator : str
        Of the source.
    example_id : str
        Of the unchanged example: what is random depends on it, and so is the same in all copies.
    change : str
        "" leaves the content as it is.
    """
    return json.dumps([locator, example_id, change], ensure_ascii=False)


class ChangedReader:
    """From a changed locator to content, the image changed.

    Parameters
    ----------
    read : callable
        The source's reader.
    change : callable
        From pixels, the change's text and the example id to pixels.
    """

    def __init__(
        self,
        read: Callable[[str], Mapping[str, Any]],
        change: Callable[[Pixels, str, str], Pixels],
    ) -> None:
        self._read = read
        self._change = change

    def __call__(self, locator: str) -> Mapping[str, Any]:
        """The content columns of one example.

        Raises
        ------
        ContentError
            The content cannot be read or decoded.
        """
        text, mark, part = locator.partition("\x1f")  # of examples that share a locator
        where, example_id, change = json.loads(text)
        content = self._read(where + mark + part)
        if not change:
            return content
        pixels = self._change(decode_image(content["image"]), change, example_id)
        return {**content, "image": encode_png(pixels, content["image"])}


def decode_image(data: bytes) -> Pixels:
    """Pixels of an encoded image: grey where it is grey, else colour; transparency is left out.

    They lie as they are stored; give the image to `encode_png` as well, which keeps what EXIF says
    of their orientation.

    Raises
    ------
    ContentError
        It cannot be decoded.

    Examples
    --------
    >>> decode_image(encode_png(np.zeros((2, 3), np.uint8))).shape
    (2, 3)
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            mode = image.mode
            if mode.startswith("I") or mode == "F":
                raise ContentError(f"an image of mode {mode}; changes are made on 8 bits a channel")
            grey = mode in ("1", "L", "LA")
            return np.asarray(image.convert("L" if grey else "RGB"))
    except ContentError:
        raise
    except MemoryError:
        raise
    except Exception as error:
        raise ContentError(f"cannot be decoded ({type(error).__name__})") from None


def encode_png(pixels: Pixels, like: bytes | None = None) -> HashedImage:
    """Pixels as a PNG file together with the hash of its pixels.

    Parameters
    ----------
    pixels : array of uint8
    like : bytes, optional
        The encoded image that they were made from. Its orientation in EXIF is kept, by which
        readers turn pictures: without it a changed photograph would lie on its side.
    """
    pixels = np.ascontiguousarray(pixels, dtype=np.uint8)
    image = Image.fromarray(pixels)
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1, **orientation_of(like))
    hashed = pixel_hash(image.mode, image.width, image.height, pixels.data)
    return HashedImage(out.getvalue(), hashed)


def orientation_of(data: bytes | None) -> dict[str, Any]:
    """What `Image.save` is told of the orientation of an encoded image; nothing where it has none.

    Examples
    --------
    >>> orientation_of(encode_png(np.zeros((2, 3), np.uint8)))
    {}
    """
    if data is None:
        return {}
    try:
        with Image.open(io.BytesIO(data)) as image:
            turned = image.getexif().get(ExifTags.Base.Orientation, 1)
    except MemoryError:
        raise
    except Exception:  # readers that stop on it are asked before, when the content is checked
        return {}
    if turned == 1:
        return {}
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turned
    return {"exif": exif}
