"""From locators to content, with the image corrupted and its masks moved along."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from shiftbench.errors import ContentError
from shiftbench.store.check import HashedImage, pixel_hash
from shiftbench.transforms.corruption import corruption_named, parse_corruption
from shiftbench.transforms.corruptions import corrupt_image, corrupt_mask

from ..shared.changed import decode_image, encode_png, orientation_of

__all__ = ["CorruptedReader", "corrupted_locators", "is_mask"]

_MARK = "\x1fcorrupted"
"""How the locator of a changed example begins; an unchanged one has that of its source."""


def corrupted_locators(locators: pa.Array, ids: pa.Array, steps: pa.Array) -> pa.Array:
    """What `CorruptedReader` takes: the corruption, whose image it is, and where that is."""
    head = pc.binary_join_element_wise(pa.scalar(_MARK), steps, ids, "\x1f")
    return pc.binary_join_element_wise(head, locators.cast(pa.string()), "\x1f")


def is_mask(column: str) -> bool:
    """Whether a content column of images, by its name, is a mask of `image`."""
    return column == "mask" or column.endswith("_mask")


class CorruptedReader:
    """A source's reader whose images are corrupted where the locator says so.

    Parameters
    ----------
    read : callable
        The source's reader.
    seed : int
    """

    def __init__(self, read: Callable[[str], Mapping[str, Any]], seed: int) -> None:
        self._read = read
        self._seed = seed

    def __call__(self, locator: str) -> Mapping[str, Any]:
        """The content columns of one example.

        Raises
        ------
        ContentError
            The content cannot be read or decoded, has more than 8 bits a channel, or has a mask of
            another size.
        """
        if not locator.startswith(_MARK):
            content = self._read(locator)
            _refuse_deep(content["image"])
            return content
        _, _, step, ident, where = locator.split("\x1f", 4)
        content = self._read(where)
        _refuse_deep(content["image"])
        pixels = decode_image(content["image"])
        changed = corrupt_image(pixels, step, seed=self._seed, ident=ident)
        made = {"image": encode_png(changed, content["image"])}
        if corruption_named(parse_corruption(step).name).moves is not None:
            for name in filter(is_mask, content):
                mask = content[name]
                made[name] = _moved(mask, step, self._seed, ident, pixels.shape[:2])
        return {**content, **made}


def _refuse_deep(data: bytes) -> None:
    """Say what to do with an image of more than 8 bits; what cannot be read is told elsewhere."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            mode = image.mode
    except MemoryError:
        raise
    except Exception:
        return
    if mode.startswith("I") or mode == "F":
        raise ContentError(
            f"an image of mode {mode}, with more than 8 bits a channel; corruptions are stated for "
            "8 bits: convert the images to grey or RGB of 8 bits (PNG or JPEG) first"
        )


def _moved(data: bytes, step: str, seed: int, ident: str, shape: tuple[int, ...]) -> HashedImage:
    """A mask of any mode, its values and palette kept."""
    try:
        with Image.open(io.BytesIO(data)) as opened:
            opened.load()
    except MemoryError:
        raise
    except Exception as error:
        raise ContentError(f"a mask cannot be decoded ({type(error).__name__})") from None
    values = np.asarray(opened)
    if values.shape[:2] != shape:
        raise ContentError(
            f"a mask of {values.shape[:2]} rows and columns beside an image of {shape}"
        )
    moved = corrupt_mask(values, step, seed=seed, ident=ident)
    image = Image.fromarray(np.ascontiguousarray(moved))
    palette = opened.getpalette() if opened.mode == "P" else None
    if palette is not None:
        image.putpalette(palette)
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1, **orientation_of(data))
    counted = image.convert("RGBA") if image.mode == "P" else image
    hashed = pixel_hash(counted.mode, counted.width, counted.height, counted.tobytes())
    return HashedImage(out.getvalue(), hashed)
