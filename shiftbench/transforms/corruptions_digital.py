"""Corruptions of the stored picture: tone, colour, compression, resolution, warping."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.transforms._corrupt_fields import LUMA, smooth
from shiftbench.transforms._corrupt_places import moving
from shiftbench.transforms.corruption import SIDE, Corruption, Floats, Pixels, Places, pixel

__all__ = ["CONTRAST", "ELASTIC", "JPEG", "PIXELATE", "POSTERIZE", "QUANTIZE", "SATURATION"]

_LEVELS = np.arange(256, dtype=np.float32)

PALETTE_SIDE = 64
"""Of larger images a palette is made from so many rows and columns, a tenth of the time."""

SMOOTHNESS = 8.0
"""Standard deviation of the blur that makes elastic displacements smooth, in pixels of `SIDE`."""


def _mapped(pixels: Pixels, levels: NDArray[Any]) -> Pixels:
    """Each value replaced by what stands at its place in a table, rounded and clipped."""
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    made: Pixels = table.take(pixels)
    return made


def brightened(pixels: Pixels, added: float, rng: np.random.Generator) -> Pixels:
    """Every value raised by so much, where white is 1."""
    return _mapped(pixels, _LEVELS + np.float32(255 * added))


def _contrast(pixels: Pixels, factor: float, rng: np.random.Generator) -> Pixels:
    made = np.empty_like(pixels)
    for channel in range(pixels.shape[2]):
        mean = np.float32(pixels[..., channel].mean())
        made[..., channel] = _mapped(
            pixels[..., channel], mean + np.float32(factor) * (_LEVELS - mean)
        )
    return made


def _saturation(pixels: Pixels, factor: float, rng: np.random.Generator) -> Pixels | Floats:
    if pixels.shape[2] == 1:
        return pixels.copy()
    mixed = factor * np.eye(3) + (1 - factor) * np.array(LUMA)[:, None]
    made: Floats = pixels.astype(np.float32) @ mixed.astype(np.float32)
    return made


def _jpeg(pixels: Pixels, quality: float, rng: np.random.Generator) -> Pixels:
    from PIL import Image

    file = io.BytesIO()
    _picture(pixels).save(file, "JPEG", quality=int(quality))
    return np.asarray(Image.open(file)).reshape(pixels.shape)


def _pixelate(pixels: Pixels, wider: float, rng: np.random.Generator) -> Pixels:
    from PIL import Image

    h, w = pixels.shape[:2]
    side = 1 + wider * pixel(pixels.shape)
    blocks = (max(1, round(w / side)), max(1, round(h / side)))
    image = _picture(pixels).resize(blocks, Image.Resampling.BOX)
    return np.asarray(image.resize((w, h), Image.Resampling.NEAREST)).reshape(pixels.shape)


def _posterize(pixels: Pixels, depth: float, rng: np.random.Generator) -> Pixels:
    steps = 2**depth - 1
    return _mapped(pixels, np.rint(_LEVELS * (steps / 255)) * (255 / steps))


def _quantize(pixels: Pixels, colours: float, rng: np.random.Generator) -> Pixels:
    from PIL import Image

    image = _picture(pixels).convert("RGB")
    few = tuple(min(n, PALETTE_SIDE) for n in image.size)
    palette = image.resize(few, Image.Resampling.NEAREST).quantize(
        int(colours), method=Image.Quantize.MEDIANCUT
    )
    made = np.asarray(image.quantize(palette=palette, dither=Image.Dither.NONE).convert("RGB"))
    return made[..., : pixels.shape[2]]


def _picture(pixels: Pixels) -> Any:
    from PIL import Image

    return Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0])


def _elastic(shape: tuple[int, int], distance: float, rng: np.random.Generator) -> Places:
    unit = pixel(shape)
    reach = np.float32(distance * unit)
    rows, columns = (reach * smooth(shape, SMOOTHNESS * unit, rng) for _ in range(2))
    rows += np.arange(shape[0], dtype=np.float32)[:, None]
    columns += np.arange(shape[1], dtype=np.float32)
    return rows, columns


CONTRAST = Corruption(
    name="contrast",
    family="digital",
    unit="factor of the difference from the mean",
    summary="m + f · (I − m), m the mean of the image's channel",
    severities=(0.4, 0.3, 0.2, 0.1, 0.05),
    reason="the values of Hendrycks & Dietterich 2019",
    identity=1,
    low=0,
    high=1,
    compute=_contrast,
    random=False,
)
SATURATION = Corruption(
    name="saturation",
    family="digital",
    unit="factor of the difference from grey",
    summary="Y + f · (I − Y), Y the pixel's brightness (ITU-R BT.601); nothing on grey images",
    severities=(1.5, 2, 3, 5, 10),
    reason="a convention about the 2, 5 and 20 of Hendrycks & Dietterich 2019",
    identity=1,
    low=0,
    high=100,
    compute=_saturation,
    random=False,
)
JPEG = Corruption(
    name="jpeg",
    family="digital",
    unit="quality as libjpeg scales it",
    summary="written as JPEG by Pillow, and read again",
    severities=(25, 18, 15, 10, 7),
    reason="the values of Hendrycks & Dietterich 2019",
    identity=None,
    low=1,
    high=100,
    compute=_jpeg,
    random=False,
    whole=True,
)
PIXELATE = Corruption(
    name="pixelate",
    family="digital",
    unit=f"side of a block beyond one pixel, pixels of an image with a shorter side of {SIDE}",
    summary="means over larger pixels, shown as squares",
    severities=(2 / 3, 1, 1.5, 7 / 3, 3),
    reason="at 224 the 0.6, 0.5, 0.4, 0.3 and 0.25 of the resolution of Hendrycks & Dietterich "
    "2019; at 32 pixels 0.91 to 0.70, about what they take there",
    identity=0,
    low=0,
    high=SIDE,
    compute=_pixelate,
    random=False,
)
ELASTIC = Corruption(
    name="elastic",
    family="digital",
    unit=f"root mean square displacement along rows, and along columns, pixels of an image with a "
    f"shorter side of {SIDE}",
    summary="a warp, smooth over 8 of such pixels, mirrored at the edges; masks move along",
    severities=(1, 1.5, 2, 3, 4),
    reason="a convention: 4 bends straight lines visibly and leaves the object where it is",
    identity=0,
    low=0,
    high=50,
    compute=moving(_elastic),
    moves=_elastic,
)
POSTERIZE = Corruption(
    name="posterize",
    family="digital",
    unit="bits a channel",
    summary="the nearest of 2^b levels",
    severities=(5, 4, 3, 2, 1),
    reason="a convention: each step halves the levels, 1 leaves two",
    identity=8,
    low=1,
    high=8,
    compute=_posterize,
    random=False,
    whole=True,
)
QUANTIZE = Corruption(
    name="quantize",
    family="digital",
    unit="colours",
    summary="a palette of the image's own colours (median cut, no dither)",
    severities=(64, 32, 16, 8, 4),
    reason="a convention: each step halves the palette, from what GIFs have to a poster",
    identity=None,
    low=2,
    high=256,
    compute=_quantize,
    random=False,
    whole=True,
)
