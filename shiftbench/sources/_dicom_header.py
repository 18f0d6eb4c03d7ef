"""Headers of DICOM files: what they say, and why a file is no radiograph that can be used."""

from __future__ import annotations

import hashlib
import logging
import struct
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, BinaryIO

from shiftbench.errors import ContentError, MissingExtraError
from shiftbench.sources._dicom_rules import judge
from shiftbench.sources._radiograph_header import TAGS

__all__ = ["DicomHeader", "import_pydicom", "open_dicom", "quiet", "read_header"]

# Pixel data as whole numbers, as float, as double.
_PIXELS = {0x7FE00010: "PixelData", 0x7FE00008: "float", 0x7FE00009: "double"}
_UNDEFINED = 0xFFFFFFFF
_ITEM = 0xE000FFFE  # (FFFE,E000) in little endian
_DIRECTORY = "1.2.840.10008.1.3.10"  # the class of a DICOMDIR
_PART = 2**20

# What a data set without preamble begins with, in either byte order: its file meta information, or
# the group that the modality is in. Other files can be gigabytes of anything: they are not parsed.
_FIRST_GROUPS = (b"\x02\0", b"\x08\0", b"\0\x02", b"\0\x08")

_SAYS_TOO_MUCH = ("pydicom", "pylibjpeg", "openjpeg", "libjpeg", "rle")
_LOCK = threading.Lock()
_silent: list[Any] = []


@dataclass(frozen=True)
class DicomHeader:
    """Values by keyword, and a digest of the header's bytes."""

    values: Mapping[str, Sequence[Any]]
    digest: str


@cache
def import_pydicom() -> Any:
    """The package, imported when a DICOM file is there.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    try:
        import pydicom
    except ModuleNotFoundError:
        raise MissingExtraError("pydicom", "dicom") from None
    with suppress(Exception):  # another of the plug-ins, which need not be there
        import gdcm

        for stream in ("Warning", "Error", "Debug"):
            getattr(gdcm.Trace, f"{stream}Off")()
    return pydicom


@contextmanager
def quiet() -> Iterator[None]:
    """No warning and no log line while a header is read: theirs quote its values.

    Several threads may be inside; the last one out restores what was.
    """
    loggers = [logging.getLogger(name) for name in _SAYS_TOO_MUCH]
    with _LOCK:
        if not _silent:
            caught = warnings.catch_warnings()
            caught.__enter__()
            warnings.simplefilter("ignore")
            _silent.append((caught, [log.level for log in loggers]))
            for log in loggers:
                log.setLevel(logging.CRITICAL + 1)
        else:
            _silent.append(None)
    try:
        yield
    finally:
        with _LOCK:
            if len(_silent) > 1:
                _silent.pop()
            else:
                caught, levels = _silent.pop()
                for log, level in zip(loggers, levels, strict=True):
                    log.setLevel(level)
                caught.__exit__(None, None, None)


def read_header(path: str, modalities: Sequence[str], assume_syntax: bool) -> DicomHeader:
    """What a file's header says, without its pixels.

    Raises
    ------
    ContentError
        The file is no radiograph that can be used, with the reason in words that quote no value.
    """
    pydicom = import_pydicom()
    stopped: dict[str, Any] = {}

    def at_pixels(tag: Any, vr: str | None, length: int) -> bool:
        if tag in _PIXELS:
            stopped.update(element=_PIXELS[tag], length=length)
        return tag in _PIXELS

    try:
        with quiet(), open(path, "rb") as file:  # noqa: PTH123
            data = _partial(pydicom, file, at_pixels, assume_syntax)
            values = {keyword: _plain(data, tag) for keyword, tag in TAGS.items()}
            end = file.tell()
            file.seek(0, 2)
            left = max(file.tell() - end - 8, 0)  # the element's tag and length
            ends = stopped.get("length") != _UNDEFINED or _fragments_end(file, end)
            digest = _digest(file, end)
            there = min(left, stopped.get("length", 0))
            judge(values, modalities, stopped.get("element"), _syntax(data), there)
    except OSError as error:
        raise ContentError(f"cannot be read: {error.strerror or type(error).__name__}") from None
    if not ends:
        raise ContentError("the file is cut short: its compressed pixel data do not end")
    return DicomHeader(values, digest)


def open_dicom(path: str, tags: Sequence[int]) -> Any:
    """A data set with its pixels and the tags named, its transfer syntax filled in where missing.

    Raises
    ------
    ContentError
        The file cannot be read.
    """
    pydicom = import_pydicom()
    try:
        data = pydicom.dcmread(path, force=True, specific_tags=list(tags))
        data.file_meta.TransferSyntaxUID = _syntax(data)
    except OSError as error:
        raise ContentError(f"cannot be read: {error.strerror or type(error).__name__}") from None
    except Exception as error:  # a damaged file can fail in any way
        raise ContentError(f"no DICOM file that can be read ({type(error).__name__})") from None
    return data


def _partial(pydicom: Any, file: BinaryIO, stop: Any, assume_syntax: bool) -> Any:
    """The elements wanted, up to the pixels."""
    start = file.read(132)
    marked = start[128:] == b"DICM"
    if not marked and start[:2] not in _FIRST_GROUPS:
        raise ContentError("no DICOM file")
    file.seek(0)
    wanted = [*TAGS.values()]
    try:
        data = pydicom.filereader.read_partial(file, stop, force=True, specific_tags=wanted)
        known = bool(data.file_meta.get("TransferSyntaxUID"))
        directory = data.file_meta.get("MediaStorageSOPClassUID") == _DIRECTORY
        looks = "Rows" in data and "Columns" in data and "PhotometricInterpretation" in data
    except OSError:
        raise
    except Exception as error:
        if not marked:
            raise ContentError("no DICOM file") from None
        raise ContentError(
            f"a damaged DICOM file: its header cannot be read ({type(error).__name__})"
        ) from None
    if not marked and not looks:
        raise ContentError("no DICOM file")
    if directory:
        raise ContentError("a DICOMDIR, which holds no image")
    if not known and not assume_syntax:
        raise ContentError(
            "no file meta information, so the transfer syntax is unknown; --assume-syntax reads "
            "such files as uncompressed, little endian"
        )
    return data


def _digest(file: BinaryIO, length: int) -> str:
    """Of the beginning of a file."""
    digest = hashlib.sha256()
    file.seek(0)
    while part := file.read(min(length, _PART)):
        digest.update(part)
        length -= len(part)
    return digest.hexdigest()


def _syntax(data: Any) -> Any:
    """The transfer syntax stated, or the uncompressed one that the file is written in."""
    from pydicom import uid

    stated = data.file_meta.get("TransferSyntaxUID")
    if stated and isinstance(stated, str):
        return stated
    implicit, little = data.original_encoding
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian


def _plain(data: Any, tag: int) -> Sequence[Any]:
    """An element's values; none where it is missing or malformed."""
    try:
        value = data[tag].value if tag in data else None
    except Exception:
        return ()
    if value is None or isinstance(value, bytes):
        return ()
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return (value,)
    # A person's name can be walked through letter by letter: it is one value.
    return (str(value),) if hasattr(value, "family_name") else tuple(value)


def _fragments_end(file: BinaryIO, start: int) -> bool:
    """Whether the items of encapsulated pixel data (DICOM PS3.5 A.4) are all there."""
    size = file.tell()
    file.seek(start + 12)
    while len(item := file.read(8)) == 8:
        tag, length = struct.unpack("<LL", item)
        if tag != _ITEM:
            return True  # the delimiter; what else it may be is the decoder's to say
        if file.tell() + length > size:
            return False
        file.seek(length, 1)
    return False
