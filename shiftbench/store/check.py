"""Is this content an image that a training loop can decode? Asked of the bytes as they came."""

from __future__ import annotations

import hashlib
import io
import warnings
from functools import cache
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from shiftbench.errors import ContentError
from shiftbench.hashing import HashedImage, pixel_hash
from shiftbench.schema import Checks

__all__ = ["FORMATS", "LEVELS", "HashedImage", "check_image", "content_hash", "pixel_hash"]

MODES = (
    *("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB"),
    *("HSV", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"),
)
"""Pillow's pixel modes, as `Checks.modes` may name them."""

LEVELS = ("off", "header", "decode")

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""Raster formats, by Pillow's names; some of its others run programs or have no magic number."""

# A complete file ends with its format's end marker, but for a few bytes of padding.
_ENDINGS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
_PADDING = 64


def check_image(data: bytes, checks: Checks) -> None:
    """Refuse an encoded image that cannot be used.

    With "header" only the header is parsed, and the end of the file looked at: a file that does
    not end as its format should, or whose format has no end marker, is decoded to tell. With
    "decode" every image is decoded; a JPEG at an eighth of its scale, which reads every
    coefficient and saves the transform. What is accepted with "decode" is what Pillow loads.

    Parameters
    ----------
    data : bytes
        The encoded image.
    checks : Checks
        Level, largest size in pixels and accepted pixel modes.

    Raises
    ------
    ContentError
        With the reason, in words that may be published (no path).

    Examples
    --------
    >>> check_image(b"GIF is what this is not", Checks())
    Traceback (most recent call last):
    shiftbench.errors.ContentError: not an image of a known format
    """
    if checks.level == "off":
        return
    if checks.level == "header":
        header = _plain_jpeg(data)
        if header is not None and _ends(data, "JPEG", after=header.stop):
            _judge(header.mode, header.width, header.height, checks)
            return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the size is judged here, not by Pillow's warning
        _check(data, checks)


def _check(data: bytes, checks: Checks) -> None:
    try:
        image = Image.open(io.BytesIO(data), formats=_formats())
    except Image.DecompressionBombError:
        raise ContentError(
            f"more pixels than Pillow decodes ({2 * (Image.MAX_IMAGE_PIXELS or 0)})"
        ) from None
    except UnidentifiedImageError:
        raise ContentError("not an image of a known format") from None
    except MemoryError:
        raise
    except Exception as error:
        raise ContentError(f"header cannot be read ({type(error).__name__})") from None
    _judge(image.mode, *image.size, checks)
    # MPO is how phones write a JPEG with a preview behind it: its first picture is the picture.
    if image.format != "MPO" and _animated(image):
        raise ContentError("animated, or several pages: more than one frame")
    whole = image.format in _ENDINGS and _ends(data, image.format)
    try:
        if checks.level == "decode" or not whole:
            if image.format in ("JPEG", "MPO"):
                image.draft(image.mode, (max(image.width // 8, 1), max(image.height // 8, 1)))
            image.load()
            image.getexif()  # readers look for the orientation
        elif "exif" in image.info:
            image.getexif()
    except MemoryError:
        raise
    except Exception as error:
        raise ContentError(f"cannot be decoded ({type(error).__name__}: {error})") from None


def _animated(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except MemoryError:
        raise
    except Exception as error:
        raise ContentError(f"frames cannot be read ({type(error).__name__})") from None


def _judge(mode: str, width: int, height: int, checks: Checks) -> None:
    if width * height > checks.max_pixels:
        raise ContentError(
            f"{width} x {height} pixels, above the limit of {checks.max_pixels} pixels"
        )
    if mode not in checks.modes:
        raise ContentError(
            f"pixel mode {mode!r}; accepted: {', '.join(checks.modes)}"
            + (" (16 bits a channel)" if mode.startswith("I;16") else "")
        )


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(f for f in FORMATS if f in Image.OPEN)


def _ends(data: bytes, format: str, *, after: int = 0) -> bool:
    return data.find(_ENDINGS[format], max(len(data) - _PADDING, after)) >= 0


class _Header(NamedTuple):
    mode: str
    width: int
    height: int
    stop: int


_SOF0, _SOF2, _DHT, _SOS, _DQT, _DRI, _COM = 0xC0, 0xC2, 0xC4, 0xDA, 0xDB, 0xDD, 0xFE
_APP0, _APP14 = 0xE0, 0xEE
_PLAIN = {_DHT, _DRI, _COM, *range(0xE3, 0xED), 0xEF}


def _plain_jpeg(data: bytes) -> _Header | None:
    """The header of a JPEG with nothing unusual in it, up to its first scan.

    Reading it here takes a fifth of Pillow's time. None means "ask Pillow", never "refuse": EXIF,
    colour profiles, four channels, padding and everything malformed.
    """
    if data[:2] != b"\xff\xd8":
        return None
    frame = None
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], data[at + 2] << 8 | data[at + 3]
        body, at = at + 4, at + 2 + length
        if at > len(data) or length < 2:
            return None
        if marker == _DQT:
            while body < at:
                body += 129 if data[body] >> 4 else 65
            if body != at:
                return None
        elif _SOF0 <= marker <= _SOF2:
            if frame or length not in (11, 17):
                return None
            bits, high, low, wide, narrow, layers = data[body : body + 6]
            if bits != 8 or length != 8 + 3 * layers:
                return None
            frame = ("L" if layers == 1 else "RGB", wide << 8 | narrow, high << 8 | low)
        elif marker == _SOS:
            return _Header(*frame, at) if frame and frame[1] and frame[2] else None
        elif marker in (_APP0, _APP14):
            if length < 14:
                return None
        elif marker not in _PLAIN:
            return None
    return None


def content_hash(data: bytes, identity: str) -> bytes:
    """sha256 of an image's identity: its bytes, or its decoded pixels with mode and size.

    Pixels that refer to a palette count as the colours they have there. Of a `HashedImage` they
    are not decoded.

    Raises
    ------
    ContentError
        The pixels are wanted and cannot be decoded.
    """
    if identity == "bytes":
        return hashlib.sha256(data).digest()
    if isinstance(data, HashedImage):
        return data.pixels
    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as opened:
            image = opened.convert("RGBA") if opened.mode == "P" else opened
            return pixel_hash(image.mode, image.width, image.height, image.tobytes())
    except MemoryError:
        raise
    except Exception as error:
        raise ContentError(f"cannot be decoded ({type(error).__name__})") from None
