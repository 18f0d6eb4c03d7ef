"""Lossless JPEG data looked over before they are decoded: gdcm ends the process on damaged ones."""

from __future__ import annotations

import re

from shiftbench.errors import ContentError

__all__ = ["check_lossless_jpeg"]

_SOF3, _DHT, _SOI, _EOI, _SOS, _DRI, _COM = 0xC3, 0xC4, 0xD8, 0xD9, 0xDA, 0xDD, 0xFE
_APPLICATION = range(0xE0, 0xF0)
# In the coded pixels 0xFF is followed by zero, by a restart marker, or by another fill byte.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_DAMAGED = "the JPEG data are damaged"


def check_lossless_jpeg(data: bytes, rows: int, columns: int, allocated: int) -> None:
    """Refuse what is not one lossless frame of one component and of the size that is stated.

    Parameters
    ----------
    data : bytes
        Of one frame (ISO/IEC 10918-1, annexes B and H).
    rows, columns, allocated : int
        As the header has them; bits are allocated to each pixel.

    Raises
    ------
    ContentError
        It is not, or its segments are malformed.

    Examples
    --------
    >>> check_lossless_jpeg(b"no JPEG", 32, 32, 16)
    Traceback (most recent call last):
    shiftbench.errors.ContentError: the JPEG data are damaged
    """
    component, tables = None, set[int]()
    for marker, segment in _segments(data):
        if marker == _SOF3:
            fits = _fits(segment, rows, columns) and segment[0] <= allocated in (8, 16)
            if component is not None or not fits:
                raise ContentError(_DAMAGED)
            component = segment[6]
        elif marker == _DHT:
            tables |= _huffman_tables(segment)
        elif marker == _SOS:
            _check_scan(segment, component, tables)
        elif marker not in (_DRI, _COM, *_APPLICATION):
            raise ContentError(_DAMAGED)


def _segments(data: bytes) -> list[tuple[int, bytes]]:
    """Markers and their parameters up to the scan, behind which nothing but the end may come."""
    if data[:2] != bytes((0xFF, _SOI)):
        raise ContentError(_DAMAGED)
    at, found = 2, list[tuple[int, bytes]]()
    while not found or found[-1][0] != _SOS:
        while data[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at : at + 1] != b"\xff" or length < 2 or at + 2 + length > len(data):
            raise ContentError(_DAMAGED)
        found.append((data[at + 1], data[at + 4 : at + 2 + length]))
        at += 2 + length
    end = _MARKER.search(data, at)
    if end is None or end[0][1] != _EOI:
        raise ContentError(_DAMAGED)
    return found


def _fits(frame: bytes, rows: int, columns: int) -> bool:
    return (
        len(frame) == 9
        and 2 <= frame[0] <= 16
        and int.from_bytes(frame[1:3], "big") == rows
        and int.from_bytes(frame[3:5], "big") == columns
        and frame[5] == 1
        and all(1 <= n <= 4 for n in divmod(frame[7], 16))
    )


def _huffman_tables(segment: bytes) -> set[int]:
    """Which tables a segment defines; each must be a code that can be."""
    at, found = 0, set[int]()
    while at < len(segment):
        counts = segment[at + 1 : at + 17]
        values = segment[at + 17 : at + 17 + sum(counts)]
        kind, place = divmod(segment[at], 16)
        if len(counts) != 16 or len(values) != sum(counts) or kind > 1 or place > 3:
            raise ContentError(_DAMAGED)
        codes = sum(n << (15 - k) for k, n in enumerate(counts))
        # Tables of kind 1 are for lossy JPEG; some files carry them along.
        if not values or codes > 1 << 16 or (kind == 0 and max(values) > 16):
            raise ContentError(_DAMAGED)
        found.add(segment[at])
        at += 17 + len(values)
    return found


def _check_scan(scan: bytes, component: int | None, tables: set[int]) -> None:
    if len(scan) != 6 or component is None or scan[0] != 1 or scan[1] != component:
        raise ContentError(_DAMAGED)
    table, low = divmod(scan[2], 16)
    if low or table not in tables or not 1 <= scan[3] <= 7 or scan[4] or scan[5] > 15:
        raise ContentError(_DAMAGED)
