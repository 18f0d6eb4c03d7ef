"""IDX files: the format of MNIST, Fashion-MNIST, KMNIST and EMNIST."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ContentError, SourceError
from shiftbench.schema import Metadata
from shiftbench.sources._files import file_label
from shiftbench.sources._metadata import fingerprint
from shiftbench.sources._pixel_images import (
    UNZIP_ERRORS,
    flat_png,
    named_classes,
    numbered_ids,
    open_unzipped,
    pixel_metadata,
    read_exactly,
    row_number,
)

__all__ = ["IdxImages", "IdxReader"]

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_LABELS = ("u1", "i1", ">i2", ">i4")
_MAX_PIXELS = 10**8
_HELD = 2**26
"""Gzip files up to so many bytes when unpacked are held whole; in larger ones one goes forward."""
_BLOCK = 2**20


@dataclass(frozen=True)
class Header:
    """What an IDX file says of itself.

    Attributes
    ----------
    dtype : str
        numpy's name of its numbers.
    shape : tuple of int
        Of the array, the first the number of its rows.
    size : int
        Of the header, in bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    size: int

    @property
    def row(self) -> int:
        """Bytes of a row."""
        return math.prod(self.shape[1:]) * np.dtype(self.dtype).itemsize


def read_header(stream: IO[bytes], path: str) -> Header:
    """The header of an IDX file: two zero bytes, the kind of number, the dimensions.

    Raises
    ------
    SourceError
        It is no IDX file.
    """
    magic = read_exactly(stream, 4, path, "the header")
    if magic[:2] != b"\0\0" or magic[2] not in _DTYPES or not magic[3]:
        raise SourceError(
            f"{path}: no IDX file: it begins with {magic.hex(' ')}, and an IDX file of images with "
            "00 00 08 03, one of labels with 00 00 08 01"
        )
    sizes = np.frombuffer(read_exactly(stream, 4 * magic[3], path, "the header"), ">u4")
    return Header(_DTYPES[magic[2]], tuple(sizes.tolist()), 4 + 4 * magic[3])


def read_through(stream: IO[bytes], path: str, header: Header) -> tuple[str, bytes]:
    """sha256 of a file, its header included, and its numbers where they are one a row.

    Raises
    ------
    SourceError
        There are fewer or more bytes than the header says.
    """
    digest = hashlib.sha256(repr((header.dtype, header.shape)).encode())
    kept = bytearray()
    left = header.shape[0] * header.row
    while left:
        block = read_exactly(stream, min(left, _BLOCK), path, f"its {header.shape[0]} rows")
        digest.update(block)
        if len(header.shape) == 1:
            kept += block
        left -= len(block)
    try:
        beyond = stream.read(1)
    except UNZIP_ERRORS as e:
        raise SourceError(f"{path}: the gzip file is damaged at its end ({e})") from e
    if beyond:
        raise SourceError(
            f"{path}: the file goes on after the {header.shape[0]} rows that its header tells; it "
            "is damaged, or two files in one"
        )
    return digest.hexdigest(), bytes(kept)


class IdxReader:
    """Reads the image of a row of an IDX file.

    Parameters
    ----------
    path : str
    transpose : bool
        As in `IdxImages`.
    """

    def __init__(self, path: str, *, transpose: bool) -> None:
        self.path = path
        self.transpose = transpose
        self._stream: IO[bytes] | None = None
        self._header = Header("u1", (0,), 0)

    def __call__(self, locator: str) -> dict[str, bytes]:
        """The picture as ``{"image": PNG bytes}``.

        Raises
        ------
        ContentError
            There is no such row, or the file can no longer be read.
        """
        try:
            return {"image": flat_png(self._pixels(locator))}
        except (SourceError, *UNZIP_ERRORS) as e:
            raise ContentError(f"row {locator}: cannot be read ({type(e).__name__})") from e

    def _pixels(self, locator: str) -> NDArray[np.uint8]:
        stream, header = self._open()
        row = row_number(locator, header.shape[0])
        if row < 0:
            raise ContentError(f"{locator!r} is no row; allowed: 0 to {header.shape[0] - 1}")
        stream.seek(header.size + row * header.row)
        data = read_exactly(stream, header.row, "", "a row")
        pixels = np.frombuffer(data, np.uint8).reshape(header.shape[1:])
        if pixels.ndim == 3 and pixels.shape[2] == 1:
            pixels = pixels[..., 0]
        return np.ascontiguousarray(pixels.swapaxes(0, 1)) if self.transpose else pixels

    def _open(self) -> tuple[IO[bytes], Header]:
        if self._stream is None:
            stream = open_unzipped(self.path)
            header = read_header(stream, self.path)
            if isinstance(stream, gzip.GzipFile) and header.shape[0] * header.row <= _HELD:
                stream.seek(0)
                stream = io.BytesIO(stream.read())
            self._stream, self._header = stream, header
        return self._stream, self._header


@dataclass(frozen=True)
class IdxImages:
    """Images and labels in IDX files, as MNIST, Fashion-MNIST, KMNIST and EMNIST have them.

    Who wrote or drew what is not in such files: each image is its own cluster.

    Parameters
    ----------
    images : str
        The IDX file of the images, 8 bits, one or three numbers a pixel; gzip or not, a path or a
        URL.
    labels : str
        The IDX file of their labels.
    names : tuple of str
        Names of the classes, from the smallest label; without them, classes are called by number.
    first_label : int
        The smallest label, where it is not 0 (1 in the letters of EMNIST).
    transpose : bool
        Whether rows and columns are swapped in the file, as they are in EMNIST.
    license : str
        Licence of the images as the Hub spells it; empty = unknown.
    redistributable : bool
        Whether the images may be published.

    Examples
    --------
    >>> import struct
    >>> from pathlib import Path
    >>> header = struct.pack(">4B3I", 0, 0, 8, 3, 2, 4, 4)
    >>> Path("images").write_bytes(header + bytes(range(32))) > 0
    True
    >>> Path("labels").write_bytes(struct.pack(">4BI", 0, 0, 8, 1, 2) + bytes([1, 0])) > 0
    True
    >>> IdxImages("images", "labels", names=("shirt", "shoe")).scan().examples["label"].to_pylist()
    ['shoe', 'shirt']
    """

    images: str
    labels: str
    names: tuple[str, ...] = ()
    first_label: int = 0
    transpose: bool = False
    license: str = ""
    redistributable: bool = False

    def scan(self) -> Metadata:
        """Read both files through, for their hashes and the labels; no image is kept.

        Raises
        ------
        SourceError
            A file is missing, no IDX file, cut short or too long, or they do not belong together.
        ConfigurationError
            Labels without a name.
        """
        with open_unzipped(self.images) as stream:
            header = read_header(stream, self.images)
            self._check(header)
            digest, _ = read_through(stream, self.images, header)
        with open_unzipped(self.labels) as stream:
            said = read_header(stream, self.labels)
            if len(said.shape) != 1 or said.dtype not in _LABELS:
                raise SourceError(
                    f"{self.labels}: holds {_words(said)}; labels are one whole number a row"
                )
            if said.shape[0] != header.shape[0]:
                raise SourceError(
                    f"{self.labels} has {said.shape[0]} labels, and {self.images} "
                    f"{header.shape[0]} images; they are of different sets"
                )
            of_labels, data = read_through(stream, self.labels, said)
        labels = np.frombuffer(data, said.dtype).astype(np.int64)
        n = len(labels)
        return pixel_metadata(
            numbered_ids("image", np.arange(n), n),
            np.arange(n),
            named_classes(labels, self.names, self.first_label, file_label(self.labels)),
            pixels=header.row,
            fingerprint=fingerprint(
                [digest, of_labels],
                (),
                {
                    "source": "idx",
                    "names": self.names,
                    "first": self.first_label,
                    "transpose": self.transpose,
                },
            ),
            license=self.license,
            redistributable=self.redistributable,
            notes={"title": f"IDX images: {file_label(self.images)}"},
        )

    def reader(self) -> IdxReader:
        """A function from the number of a row to ``{"image": PNG bytes}``."""
        return IdxReader(self.images, transpose=self.transpose)

    def _check(self, header: Header) -> None:
        shape = header.shape
        grey = len(shape) == 3 or (len(shape) == 4 and shape[3] == 1)
        colour = len(shape) == 4 and shape[3] == 3
        if header.dtype != "u1" or not (grey or colour):
            raise SourceError(
                f"{self.images}: holds {_words(header)}; images are rows × columns (× 3) of 8 bits"
            )
        if not all(shape) or header.row > _MAX_PIXELS:
            raise SourceError(
                f"{self.images}: its header tells {_words(header)}; there must be an image, and "
                f"images of at most {_MAX_PIXELS} numbers"
            )


def _words(header: Header) -> str:
    return f"{' × '.join(map(str, header.shape))} numbers of the kind {header.dtype.strip('>')}"
