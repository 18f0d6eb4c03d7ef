"""Is this content an image that a training loop can decode? Asked of the bytes as they came."""

from __future__ import annotations

import hashlib
import io
import warnings

from PIL import Image, UnidentifiedImageError

from shiftbench.errors import ContentError
from shiftbench.schema import Checks

__all__ = ["check_image", "content_hash"]

LEVELS = ("off", "header", "decode")

# A complete file ends with its format's end marker, but for a few bytes of padding.
_ENDINGS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
_PADDING = 64


def check_image(data: bytes, checks: Checks) -> None:
    """Refuse an encoded image that cannot be used.

    With "header" only the header is parsed, and the end of the file looked at: a file that does
    not end as its format should is decoded to tell. With "decode" every image is decoded; a JPEG
    at an eighth of its scale, which reads every coefficient and saves the transform.

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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the size is judged below, not by Pillow's warning
        _check(data, checks)


def _check(data: bytes, checks: Checks) -> None:
    try:
        image = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError:
        raise ContentError(f"more than {checks.max_pixels} pixels") from None
    except UnidentifiedImageError:
        raise ContentError("not an image of a known format") from None
    except Exception as error:
        raise ContentError(f"header cannot be read ({type(error).__name__})") from None
    width, height = image.size
    if width * height > checks.max_pixels:
        raise ContentError(
            f"{width} x {height} pixels, above the limit of {checks.max_pixels} pixels"
        )
    if image.mode not in checks.modes:
        raise ContentError(
            f"pixel mode {image.mode!r}; accepted: {', '.join(checks.modes)}"
            + (" (16 bits a channel)" if image.mode.startswith("I;16") else "")
        )
    # MPO is how phones write a JPEG with a preview behind it: its first picture is the picture.
    if image.format != "MPO" and getattr(image, "n_frames", 1) != 1:
        raise ContentError(f"animated: {image.n_frames} frames")  # type: ignore[attr-defined]
    jpeg = image.format in ("JPEG", "MPO")
    ending = _ENDINGS["JPEG" if jpeg else "PNG"] if jpeg or image.format == "PNG" else None
    whole = ending is not None and ending in data[-_PADDING:]
    if checks.level == "decode" or not whole:
        try:
            if jpeg:
                image.draft(image.mode, (max(width // 8, 1), max(height // 8, 1)))
            image.load()
        except Exception as error:
            raise ContentError(f"cannot be decoded ({type(error).__name__}: {error})") from None


def content_hash(data: bytes, identity: str) -> bytes:
    """sha256 of an image's identity: its bytes, or its decoded pixels with mode and size."""
    if identity == "bytes":
        return hashlib.sha256(data).digest()
    with Image.open(io.BytesIO(data)) as image:
        head = f"{image.mode}\x1f{image.width}\x1f{image.height}\x1f".encode()
        return hashlib.sha256(head + image.tobytes()).digest()
