"""Images of a table together with their masks: one locator for both, and the labelled share."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from shiftbench.errors import ContentError
from shiftbench.sources._image_columns import Content

__all__ = ["MaskedReader", "located", "mask_shares"]

Read = Callable[[str], Mapping[str, Any]]


def located(image: Content, mask: Content, order: Sequence[int]) -> dict[str, pa.Array]:
    """The private columns of some rows whose image and mask are both there."""
    one, two = image.located(order), mask.located(order)
    locators = zip(one["locator"].to_pylist(), two["locator"].to_pylist(), strict=True)
    sizes = [np.asarray(part["bytes"].to_numpy(zero_copy_only=False)) for part in (one, two)]
    stamps = [np.asarray(part["modified"].to_numpy(zero_copy_only=False)) for part in (one, two)]
    return {
        "locator": pa.array([json.dumps(pair, ensure_ascii=False) for pair in locators]),
        "bytes": pa.array((sizes[0] + sizes[1]).astype(np.int64)),
        "modified": pa.array(np.maximum(*stamps).astype(np.int64)),
    }


class MaskedReader:
    """Reads an image and its mask."""

    def __init__(self, image: Read, mask: Read) -> None:
        self.image, self.mask = image, mask

    def __call__(self, locator: str) -> Mapping[str, Any]:
        """``{"image": bytes, "mask": bytes}``.

        Raises
        ------
        ContentError
            One of them is missing, unreadable or empty.
        """
        image, mask = json.loads(locator)
        return {**self.image(image), "mask": self.mask(mask)["image"]}


def mask_shares(mask: Content, order: Sequence[int], read: Read) -> pa.Array:
    """Of each row the share of the mask's pixels that are not 0; null where it cannot be read."""
    shares: list[float | None] = []
    for row in order:
        locator = mask.locators[row]
        try:
            data = read(locator)["image"] if locator is not None else b""
            with Image.open(io.BytesIO(data)) as opened:
                pixels = np.asarray(opened)
        except (ContentError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            shares.append(None)  # writing it is refused, with the reason
            continue
        labelled = pixels.any(axis=2) if pixels.ndim == 3 else pixels != 0
        shares.append(float(labelled.mean()))
    return pa.array(shares, pa.float64())
