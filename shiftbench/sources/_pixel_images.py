"""What sources share whose images are numbers: encoding, numbered ids, and their metadata."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import IO, Any

import fsspec
import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, SourceError
from shiftbench.hashing import HashedImage, pixel_hash
from shiftbench.schema import CONTEXTS, Image, Metadata
from shiftbench.sources._files import OPEN_ERRORS, open_error
from shiftbench.sources._metadata import rejected_table

__all__ = [
    "UNZIP_ERRORS",
    "flat_png",
    "named_classes",
    "numbered_ids",
    "open_unzipped",
    "pixel_metadata",
    "png",
    "row_number",
]

UNZIP_ERRORS = (EOFError, OSError, zlib.error)

_PNG_OVERHEAD = 100


def png(pixels: NDArray[np.uint8]) -> HashedImage:
    """Pixels as PNG: (rows, columns) grey or (rows, columns, 3) colour, with their hash."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    height, width = pixels.shape[:2]
    raw = np.ascontiguousarray(pixels).data
    mode = "L" if pixels.ndim == 2 else "RGB"
    return HashedImage(buffer.getvalue(), pixel_hash(mode, width, height, raw))


def flat_png(pixels: NDArray[np.uint8]) -> HashedImage:
    """As `png`, for images of a few thousand pixels: without filters, and in a third of the time.

    Pillow takes longer to set up its encoder than such an image takes to be encoded.
    """
    height, width = pixels.shape[:2]
    grey = pixels.ndim == 2
    lines = np.zeros((height, 1 + pixels[0].size), np.uint8)  # each begins with its filter: none
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">2I5B", width, height, 8, 0 if grey else 2, 0, 0, 0)
    data = _SIGNATURE + _chunk(b"IHDR", header)
    data += _chunk(b"IDAT", zlib.compress(lines.data, 1)) + _END
    raw = np.ascontiguousarray(pixels).data
    return HashedImage(data, pixel_hash("L" if grey else "RGB", width, height, raw))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = _chunk(b"IEND", b"")


def open_unzipped(path: str) -> IO[bytes]:
    """A file or URL opened for reading, gunzipped on the way where it is gzip.

    Raises
    ------
    SourceError
        It cannot be opened.
    """
    try:
        raw: Any = fsspec.open(path, "rb").open()
        magic = raw.read(2)
        raw.seek(0)
    except OPEN_ERRORS as e:
        raise open_error(path, "file", e) from e
    opened: IO[bytes] = raw
    if magic == b"\x1f\x8b":
        opened = gzip.GzipFile(fileobj=raw)  # type: ignore[assignment]
    return opened


def numbered_ids(prefix: str, numbers: NDArray[np.int64], n: int) -> pa.Array:
    """Ids such as ``image-000017``: numbers below `n`, in their order when sorted as text."""
    digits = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), max(6, len(str(n - 1))), "0")
    return pc.binary_join_element_wise(prefix, digits, "-")


def row_number(locator: str, n: int) -> int:
    """The row that a locator of `pixel_metadata` means; −1 where it is none below `n`."""
    return int(locator) if locator.isdecimal() and int(locator) < n else -1


def named_classes(values: NDArray[np.int64], names: Sequence[str], first: int, what: str) -> Any:
    """Whole numbers as the names of classes; without names as text.

    Parameters
    ----------
    values : (n,) int64 array
    names : sequence of str
        That of `first`, of the number after it, and so on; empty = none are given.
    first : int
        The smallest number that has a name.
    what : str
        The file, for messages.

    Raises
    ------
    ConfigurationError
        A number has no name, or two have one.
    """
    if not names:
        return pa.array(values).cast(pa.string())
    if len(set(names)) < len(names) or not all(n.strip() for n in names):
        raise ConfigurationError("names has a name twice, or a blank one; name every class once")
    beyond = (values < first) | (values >= first + len(names))
    if beyond.any():
        raise ConfigurationError(
            f"{what}: the label {int(values[beyond][0])} has no name: names has {len(names)}, for "
            f"the labels {first} to {first + len(names) - 1}, and the labels go from "
            f"{int(values.min())} to {int(values.max())}; give a name for each of them (and "
            "first_label where they do not begin at 0)"
        )
    return pa.array(names, pa.string()).take(pa.array(values - first))


def pixel_metadata(
    ids: pa.Array,
    rows: NDArray[np.int64],
    labels: Any,
    *,
    pixels: int,
    fingerprint: str,
    license: str,
    redistributable: bool,
    notes: Mapping[str, Any],
    clusters: Any = None,
    rejected: Sequence[tuple[str, str]] = (),
) -> Metadata:
    """Metadata of images that are rows of an array and are encoded when they are read.

    Parameters
    ----------
    ids, labels : (n,) string arrays
    rows : (n,) int64 array
        Of each image in what it is read from: its locator.
    pixels : int
        Numbers an image has: about its size as PNG, by which files are cut.
    clusters : (n,) string array, optional
        By default each image is its own.
    """
    n = len(ids)
    examples = pa.table(
        {
            "example_id": ids,
            "cluster_id": ids if clusters is None else clusters,
            "locator": pa.array(rows).cast(pa.string()),
            "bytes": pa.array(np.full(n, pixels + _PNG_OVERHEAD)),
            "modified": pa.array(np.zeros(n, np.int64)),
            "label": labels,
        }
    )
    return Metadata(
        examples=examples,
        contexts=CONTEXTS.empty_table(),
        rejected=rejected_table(rejected),
        content={"image": Image()},
        fingerprint=fingerprint,
        license=license,
        redistributable=redistributable,
        identity="pixels",
        notes=notes,
    )


def read_exactly(stream: IO[bytes], n: int, path: str, what: str) -> bytes:
    """The next `n` bytes of a file.

    Raises
    ------
    SourceError
        There are fewer, or the gzip around them is damaged.
    """
    try:
        data = stream.read(n)
    except UNZIP_ERRORS as e:
        raise SourceError(
            f"{path}: the file is cut short or damaged ({e}); download or copy it again"
        ) from e
    if len(data) < n:
        raise SourceError(
            f"{path}: the file ends within {what}; it is cut short: download or copy it again"
        )
    return data
