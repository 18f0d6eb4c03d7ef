"""Which images are refused: compared with what Pillow loads, which is what readers do."""

from __future__ import annotations

import io
import resource
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shiftbench.errors import ContentError
from shiftbench.schema import Checks
from shiftbench.store.check import FORMATS, LEVELS, _plain_jpeg, check_image, content_hash

EVERY_MODE = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I", "F", "I;16")
CHECKED = ("header", "decode")
EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"


def picture(mode: str = "RGB", size: tuple[int, int] = (60, 44), seed: int = 0) -> Image.Image:
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(seed).normal(0, 12, (height, width, 1))
    wave = 128 + 90 * np.sin(x / 5 + y / 9)[..., None] * np.array([1.0, 0.5, -1.0]) + noise
    return Image.fromarray(wave.clip(0, 255).astype(np.uint8)).convert(mode)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def verdict(data: bytes, checks: Checks) -> str | None:
    try:
        check_image(data, checks)
    except ContentError as error:
        return str(error)
    return None


def pillow_loads(data: bytes) -> bool:
    """The definition: what a reader does with the bytes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            image.load()
            image.getexif()
        except Exception:
            return False
    return True


GOOD = {
    "jpeg": encoded(picture(), "JPEG"),
    "jpeg grey": encoded(picture("L"), "JPEG"),
    "jpeg progressive": encoded(picture(), "JPEG", progressive=True),
    "jpeg 4:4:4": encoded(picture(), "JPEG", subsampling=0, quality=95),
    "jpeg restarts": encoded(picture(), "JPEG", restart_marker_blocks=3),
    "jpeg exif": encoded(picture(), "JPEG", exif=EXIF, comment=b"a comment"),
    "jpeg profile": encoded(picture(), "JPEG", icc_profile=b"p" * 3000),
    "jpeg one pixel": encoded(picture(size=(1, 1)), "JPEG"),
    "jpeg 300 x 200": encoded(picture(size=(300, 200)), "JPEG", quality=95),
    "png": encoded(picture(), "PNG"),
    "png alpha": encoded(picture("RGBA"), "PNG"),
    "png grey alpha": encoded(picture("LA"), "PNG"),
    "png palette": encoded(picture("P"), "PNG"),
    "png bits": encoded(picture("1"), "PNG"),
    "gif": encoded(picture("P"), "GIF"),
    "webp": encoded(picture(), "WEBP"),
    "webp lossless": encoded(picture("RGBA"), "WEBP", lossless=True),
    "bmp": encoded(picture(), "BMP"),
    "tiff": encoded(picture(), "TIFF"),
    "tiff deflated": encoded(picture(), "TIFF", compression="tiff_deflate"),
    "ppm": encoded(picture(), "PPM"),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", GOOD)
def test_what_readers_can_decode_is_accepted(name: str, level: str) -> None:
    assert verdict(GOOD[name], Checks(level)) is None


@pytest.mark.parametrize("level", CHECKED)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\0" * 5000,
        b"\xff" * 5000,
        b"A text, and no image.",
        b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        b'{"error": "rate limit"}',
        b"%PDF-1.7\n",
        b"PK\x03\x04" + b"\0" * 100,
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n",
        b"\xff\xd8",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"RIFF\0\0\0\0WEBP",
        b"BM",
        b"II*\0",
    ],
)
def test_other_things_are_refused(data: bytes, level: str) -> None:
    assert verdict(data, Checks(level)) is not None
    assert verdict(data, Checks("off")) is None


@pytest.mark.parametrize("level", CHECKED)
def test_formats_that_run_programs_are_not_opened(level: str) -> None:
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    assert verdict(postscript, Checks(level)) == "not an image of a known format"


@pytest.mark.parametrize("level", CHECKED)
@pytest.mark.parametrize("name", GOOD)
def test_a_truncated_file_is_refused_wherever_pillow_cannot_load_it(name: str, level: str) -> None:
    data = GOOD[name]
    positions = {
        *range(0, len(data), max(len(data) // 60, 1)),
        *range(max(len(data) - 80, 0), len(data)),
    }
    for stop in sorted(positions):
        cut = data[:stop]
        assert (verdict(cut, Checks(level)) is None) == pillow_loads(cut), stop


@pytest.mark.parametrize("level", CHECKED)
@pytest.mark.parametrize("name", ["jpeg", "jpeg progressive", "png", "webp"])
def test_half_a_file_is_refused(name: str, level: str) -> None:
    data = GOOD[name]
    for part in (0.1, 0.5, 0.9):
        assert verdict(data[: int(part * len(data))], Checks(level)) is not None


@pytest.mark.parametrize("level", CHECKED)
@pytest.mark.parametrize(
    "extra", [b"\0", b"\0" * 20, b"\r\n", b"\0" * 63, b"\0" * 5000, b"x" * 200]
)
@pytest.mark.parametrize("name", ["jpeg", "jpeg grey", "jpeg progressive", "png"])
def test_bytes_behind_the_end_are_accepted(name: str, extra: bytes, level: str) -> None:
    assert verdict(GOOD[name] + extra, Checks(level)) is None


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_picture() -> None:
    thumbnail = encoded(picture(size=(16, 12)), "JPEG")
    data = encoded(picture(), "JPEG", exif=EXIF + thumbnail)
    assert verdict(data, Checks()) is None
    after = data.index(thumbnail) + len(thumbnail)
    for stop in range(after, len(data) - 1):
        assert verdict(data[:stop], Checks()) is not None, stop


def png_claiming(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def jpeg_claiming(width: int, height: int) -> bytes:
    data = GOOD["jpeg"]
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def bmp_claiming(width: int, height: int) -> bytes:
    data = GOOD["bmp"]
    return data[:18] + struct.pack("<ii", width, height) + data[26:]


@pytest.mark.parametrize("level", CHECKED)
@pytest.mark.parametrize(
    "data",
    [
        png_claiming(100_000, 100_000),
        png_claiming(2**31 - 1, 2**31 - 1),
        png_claiming(12_000, 12_000),
        jpeg_claiming(65_500, 65_500),
        jpeg_claiming(11_000, 11_000),
        bmp_claiming(100_000, 100_000),
    ],
    ids=["png", "png largest", "png 144 M", "jpeg", "jpeg 121 M", "bmp"],
)
def test_a_huge_image_is_refused_before_there_is_memory_for_it(data: bytes, level: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "pixels" in (verdict(data, Checks(level)) or "")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KB


@pytest.mark.parametrize("level", CHECKED)
@pytest.mark.parametrize("name", ["jpeg", "jpeg exif", "png", "gif"])
def test_the_limit_of_pixels_is_the_users(name: str, level: str) -> None:
    pixels = 60 * 44
    assert verdict(GOOD[name], Checks(level, max_pixels=pixels)) is None
    message = verdict(GOOD[name], Checks(level, max_pixels=pixels - 1))
    assert message == f"60 x 44 pixels, above the limit of {pixels - 1} pixels"


def test_what_pillow_will_not_decode_is_refused_whatever_the_limit() -> None:
    message = verdict(png_claiming(100_000, 100_000), Checks(max_pixels=10**12))
    assert message is not None
    assert "Pillow" in message


@pytest.mark.parametrize("level", CHECKED)
@pytest.mark.parametrize(
    ("data", "mode"),
    [
        (encoded(picture("CMYK"), "JPEG"), "CMYK"),
        (encoded(picture("CMYK"), "TIFF"), "CMYK"),
        (encoded(Image.fromarray(np.full((9, 9), 40_000, np.uint16)), "PNG"), "I;16"),
        (encoded(Image.fromarray(np.full((9, 9), 40_000, np.uint16)), "TIFF"), "I;16"),
        (encoded(Image.fromarray(np.full((9, 9), 0.5, np.float32)), "TIFF"), "F"),
    ],
    ids=["cmyk jpeg", "cmyk tiff", "16-bit png", "16-bit tiff", "float tiff"],
)
def test_pixel_modes_are_refused_or_allowed(data: bytes, mode: str, level: str) -> None:
    message = verdict(data, Checks(level)) or ""
    assert message.startswith(f"pixel mode '{mode}'; accepted: 1, L, LA, P, RGB, RGBA")
    assert ("16 bits" in message) == (mode == "I;16")
    assert verdict(data, Checks(level, modes=(mode,))) is None
    assert verdict(GOOD["jpeg"], Checks(level, modes=("L",))) is not None


FRAMES = [picture(seed=s) for s in range(3)]


@pytest.mark.parametrize("level", CHECKED)
@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_several_frames_are_refused(format: str, level: str) -> None:
    data = encoded(FRAMES[0], format, save_all=True, append_images=FRAMES[1:])
    assert "more than one frame" in (verdict(data, Checks(level)) or "")


@pytest.mark.parametrize("level", CHECKED)
def test_a_phones_picture_with_a_preview_behind_it_is_accepted(level: str) -> None:
    data = encoded(FRAMES[0], "MPO", save_all=True, append_images=FRAMES[1:])
    opened = Image.open(io.BytesIO(data))
    assert opened.format == "MPO"
    assert opened.n_frames == 3
    assert verdict(data, Checks(level)) is None
    first = data.index(b"\xff\xd9") + 2
    assert verdict(data[: first - 100], Checks(level)) is not None
    assert verdict(data[: first + 100], Checks(level)) is None  # only the preview is cut


@pytest.mark.parametrize("level", CHECKED)
def test_exif_on_which_readers_stop_is_refused(level: str) -> None:
    # With a resolution in its JFIF header Pillow reads the EXIF only when the reader asks.
    data = encoded(picture(), "JPEG", exif=b"Exif\0\0not a TIFF header", dpi=(72, 72))
    assert not pillow_loads(data)
    assert "cannot be decoded" in (verdict(data, Checks(level)) or "")


def test_reasons_name_no_path_and_no_address() -> None:
    for data in [b"x", *(d[: len(d) // 2] for d in GOOD.values())]:
        for level in CHECKED:
            message = verdict(data, Checks(level)) or ""
            assert "0x" not in message
            assert "BytesIO" not in message
            assert "\n" not in message


JPEGS = [GOOD[n] for n in GOOD if n.startswith("jpeg")]
OTHERS = [GOOD[n] for n in GOOD if not n.startswith("jpeg")]


@st.composite
def damaged(draw: st.DrawFn, bases: list[bytes]) -> bytes:
    data = bytearray(draw(st.sampled_from(bases)))
    for _ in range(draw(st.integers(0, 4))):
        if not data:
            break
        at = draw(st.integers(0, len(data) - 1))
        match draw(st.sampled_from(["set", "mark", "end", "delete", "insert"])):
            case "set":
                data[at] = draw(st.integers(0, 255))
            case "mark":
                data[at] = 0xFF
            case "end":
                data[at : at + 2] = b"\xff\xd9"
            case "delete":
                del data[at : at + draw(st.integers(1, 20))]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
    if draw(st.booleans()):
        del data[draw(st.integers(0, len(data))) :]
    return bytes(data)


def several_frames(data: bytes) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            return image.format != "MPO" and bool(getattr(image, "is_animated", False))
        except Exception:
            return False


def decode_agrees(data: bytes) -> None:
    ours = verdict(data, Checks("decode", modes=EVERY_MODE))
    assert (ours is None) == (pillow_loads(data) and not several_frames(data)), ours


@settings(max_examples=600)
@given(damaged(JPEGS))
def test_decoding_an_eighth_refuses_what_decoding_all_refuses(data: bytes) -> None:
    decode_agrees(data)


@settings(max_examples=200)
@given(damaged(OTHERS))
def test_decode_refuses_what_pillow_refuses_in_other_formats(data: bytes) -> None:
    decode_agrees(data)


@settings(max_examples=600)
@given(damaged(JPEGS))
def test_the_quick_reading_of_a_header_agrees_with_pillow(data: bytes) -> None:
    header = _plain_jpeg(data)
    if header is not None:
        image = Image.open(io.BytesIO(data), formats=("JPEG",))
        assert (image.mode, *image.size) == header[:3]


def test_plain_headers_are_read_quickly() -> None:
    for name in ("jpeg", "jpeg grey", "jpeg progressive", "jpeg restarts"):
        assert _plain_jpeg(GOOD[name]) is not None
    for name in ("jpeg exif", "jpeg profile", "png", "tiff"):
        assert _plain_jpeg(GOOD[name]) is None


@settings(max_examples=300)
@given(damaged(JPEGS + OTHERS))
def test_the_header_check_accepts_all_that_the_decode_check_does(data: bytes) -> None:
    if verdict(data, Checks("decode")) is None:
        assert verdict(data, Checks("header")) is None


@pytest.mark.slow
@settings(max_examples=20_000)
@given(damaged(JPEGS))
def test_decoding_an_eighth_at_length(data: bytes) -> None:
    decode_agrees(data)


def test_an_image_is_its_bytes_or_its_pixels() -> None:
    image = picture()
    one, other = encoded(image, "PNG"), encoded(image, "WEBP", lossless=True)
    assert content_hash(one, "bytes") != content_hash(other, "bytes")
    assert content_hash(one, "pixels") == content_hash(other, "pixels")
    assert content_hash(one, "pixels") != content_hash(encoded(picture(seed=1), "PNG"), "pixels")
    turned = image.transpose(Image.Transpose.TRANSPOSE)
    assert content_hash(encoded(turned, "PNG"), "pixels") != content_hash(one, "pixels")


def test_a_palette_is_part_of_the_pixels() -> None:
    image = picture("P")
    other = image.copy()
    palette = image.getpalette() or []
    other.putpalette(palette[3:] + palette[:3])
    one, two = encoded(image, "PNG"), encoded(other, "PNG")
    assert content_hash(one, "pixels") != content_hash(two, "pixels")


def test_pixels_that_cannot_be_decoded_have_no_hash() -> None:
    with pytest.raises(ContentError, match="cannot be decoded"):
        content_hash(GOOD["png"][:60], "pixels")


@pytest.mark.parametrize("folder", ["coco/images", "chest_xray/images"])
def test_real_images(shared_data: Path, folder: str) -> None:
    paths = sorted((shared_data / folder).iterdir())
    assert paths
    refused = {}
    for path in paths:
        data = path.read_bytes()
        assert pillow_loads(data)
        for level in CHECKED:
            if (message := verdict(data, Checks(level))) is not None:
                refused[path.name] = message
        assert verdict(data[: len(data) * 2 // 3], Checks()) is not None
    assert refused == {}
