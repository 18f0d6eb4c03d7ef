"""Hashes of tables and examples that depend on what they hold and not on who wrote them."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["HashedImage", "pixel_hash", "table_hash"]


def table_hash(table: pa.Table) -> str:
    """sha256 (hex) of a table's rows, in order, whatever its chunks, offsets or writer.

    Strings count as lengths and bytes, numbers as little-endian values, nulls as a bit each, lists
    as lengths and their flattened values.

    Examples
    --------
    >>> a = pa.table({"x": ["a", None]})
    >>> b = pa.concat_tables([a.slice(0, 1), a.slice(1)])
    >>> table_hash(a) == table_hash(b)
    True
    """
    digest = hashlib.sha256()
    for name in table.column_names:
        column = table[name]
        digest.update(f"\x1e{name}\x1f{len(column)}".encode())
        _hash_array(digest, pa.concat_arrays(column.chunks) if column.num_chunks else None)
    return digest.hexdigest()


def _hash_array(digest: Any, array: pa.Array | None) -> None:
    if array is None or not len(array):
        return
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    digest.update(np.packbits(array.is_null().to_numpy(zero_copy_only=False)).tobytes())
    kind = array.type
    if pa.types.is_null(kind):
        return
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        lengths = pc.fill_null(pc.list_value_length(array), 0)
        digest.update(lengths.cast(pa.int64()).to_numpy().astype("<i8").tobytes())
        _hash_array(digest, array.flatten())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        filled = pc.fill_null(array, b"" if pa.types.is_binary(kind) else "")
        lengths = pc.binary_length(filled).cast(pa.int64()).to_numpy()
        digest.update(lengths.astype("<i8").tobytes())
        digest.update(_text(filled))
    elif pa.types.is_boolean(kind):
        digest.update(pc.fill_null(array, False).cast(pa.int8()).to_numpy().tobytes())
    else:
        if pa.types.is_temporal(kind):
            array = array.cast(pa.int32() if pa.types.is_date32(kind) else pa.int64())
        values = pc.fill_null(array, 0).to_numpy()
        digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())


def _text(array: pa.Array) -> memoryview:
    """The values of a string or binary array without nulls, one after the other."""
    wide = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, "<i8" if wide else "<i4")
    start, stop = int(ends[array.offset]), int(ends[array.offset + len(array)])
    return memoryview(data)[start:stop] if data is not None else memoryview(b"")


class HashedImage(bytes):
    """An encoded image together with its pixels' hash, known where the pixels were made.

    Decoding a small image again to hash it takes as long as a quarter of encoding it. Only what is
    written is taken at its word: `verify` reads plain bytes and hashes what they decode to.

    Attributes
    ----------
    pixels : bytes
        What `pixel_hash` gives.
    """

    pixels: bytes

    def __new__(cls, data: bytes, pixels: bytes) -> HashedImage:
        """The encoded image, and the hash of its pixels."""
        made = super().__new__(cls, data)
        made.pixels = pixels
        return made


def pixel_hash(mode: str, width: int, height: int, raw: bytes | memoryview) -> bytes:
    """sha256 of decoded pixels, row by row, with Pillow's mode and the size.

    Examples
    --------
    >>> pixel_hash("L", 2, 1, bytes([0, 255])).hex()[:8]
    '41ae0d5c'
    >>> pixel_hash("L", 1, 2, bytes([0, 255])).hex()[:8]
    '6f31ce8d'
    """
    digest = hashlib.sha256(f"{mode}\x1f{width}\x1f{height}\x1f".encode())
    digest.update(raw)
    return digest.digest()
