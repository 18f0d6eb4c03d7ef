"""Pixels of DICOM files, as the grey values that the header says they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ContentError
from shiftbench.radiograph import Radiograph
from shiftbench.sources._dicom_header import open_dicom, quiet
from shiftbench.sources._dicom_rules import syntax_name
from shiftbench.sources._jpeg import check_lossless_jpeg
from shiftbench.sources._radiograph_files import check_size
from shiftbench.sources._radiograph_header import number, whole

__all__ = ["GreyScale", "decode_dicom", "lookup", "windowed"]

_TAGS = (
    *range(0x00280002, 0x00280013), 0x00280100, 0x00280101, 0x00280102, 0x00280103,
    0x00281050, 0x00281051, 0x00281052, 0x00281053, 0x00281056, 0x00283000, 0x00283010,
    0x7FE00001, 0x7FE00002, 0x7FE00008, 0x7FE00009, 0x7FE00010,
)  # fmt: skip

_RLE = "1.2.840.10008.1.2.5"
_LOSSLESS_JPEG = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_EXACT = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (57, 70, 80, 90, 201, 202))
"""JPEG, JPEG-LS and JPEG 2000 without loss: what is above the bits stored is no pixel value."""

# Always the same one first, so that lossy files give the same pixels; the fastest that is exact.
_PLUGINS = ("pyjpegls", "pillow", "pydicom", "gdcm", "pylibjpeg")
_PLUGINS_2000 = ("pylibjpeg", "gdcm", "pillow")


def decode_dicom(
    path: str, *, voi: bool, row_mm: float | None = None, column_mm: float | None = None
) -> Radiograph:
    """The pixels of a file, with the modality LUT applied, and on request the VOI LUT or window.

    Whether large values are dark is said by the photometric interpretation alone: the
    presentation LUT shape (2050,0020) has to be INVERSE with MONOCHROME1 and IDENTITY with
    MONOCHROME2 (DICOM PS3.3 C.8.11.3), so it repeats it and turns nothing round again.

    Raises
    ------
    ContentError
        The pixels cannot be decoded. The message quotes nothing of the header.
    """
    with quiet():
        data = open_dicom(path, _TAGS)
        bits = _whole(data, "BitsStored") or 0
        signed = _whole(data, "PixelRepresentation") == 1
        if "PixelData" not in data:
            raise ContentError("the file is cut short: its pixel data do not end, or are missing")
        check_size(_whole(data, "Rows") or 0, _whole(data, "Columns") or 0)
        codes = _codes(data, bits, signed)
        scale = GreyScale(np.arange(2**bits, dtype=np.int64) - (2 ** (bits - 1) if signed else 0))
        scale = _with_modality(data, scale, exact=voi)
        scale = _with_voi(data, scale) if voi else scale
        photometric = str(data.get("PhotometricInterpretation") or "").strip(" \0").upper()
    table = scale.table(bits)
    return Radiograph(
        codes if table is None else table[codes],
        scale.bits or bits,
        photometric == "MONOCHROME1",
        row_mm,
        column_mm,
    )


@dataclass(frozen=True)
class GreyScale:
    """What each stored code stands for.

    Attributes
    ----------
    values : (2**bits,) array
        By code, 0 = the smallest number that can be stored.
    bits : int
        Of the values, where a lookup table or a window gave them; 0 = as the codes are.
    falling : bool
        Whether the values, still as the codes are, fall where the codes rise.
    """

    values: NDArray[Any]
    bits: int = 0
    falling: bool = False

    def table(self, bits: int) -> NDArray[np.uint16] | None:
        """Grey values by code; None where they are the codes."""
        if self.bits:
            return self.values.astype(np.uint16)
        return np.arange(2**bits, dtype=np.uint16)[::-1].copy() if self.falling else None


def _whole(data: Any, keyword: str) -> int | None:
    return whole(_get(data, keyword))


def _get(data: Any, keyword: str) -> Any:
    """A value, the first of several; None where it is missing or malformed."""
    try:
        value = data.get(keyword)
    except Exception:
        return None
    many = hasattr(value, "__iter__") and not isinstance(value, str | bytes)
    return next(iter(value), None) if many else value


def _codes(data: Any, bits: int, signed: bool) -> NDArray[np.uint16]:
    """The stored numbers, counted from the smallest that can be stored; overlay bits masked."""
    syntax = data.file_meta.TransferSyntaxUID
    raw = _decoded(data, syntax)
    if raw.ndim != 2 or raw.dtype.kind not in "iu" or not 1 <= bits <= 16:
        raise ContentError(
            f"pixel data of shape {raw.shape} and type {raw.dtype} with {bits} bits stored; a "
            "radiograph has one frame of one channel, at most 16 bits"
        )
    full = 2**bits - 1
    high = _whole(data, "HighBit")
    cells = not syntax.is_encapsulated or syntax == _RLE  # the stored words, as they are
    shift = max(high + 1 - bits, 0) if high is not None and cells else 0
    if not signed and not shift and raw.dtype.kind == "u" and int(raw.max()) <= full:
        return raw.astype(np.uint16, copy=False)  # nearly all files
    if not cells and syntax not in _EXACT:  # a lossy one overshoots
        lowest = 2 ** (bits - 1) if signed else 0
        return np.clip(raw.astype(np.int32) + lowest, 0, full).astype(np.uint16)
    unsigned = raw.view(raw.dtype.str.replace("i", "u"))
    codes: NDArray[np.uint16] = ((unsigned >> shift) & full).astype(np.uint16)
    # In two's complement, turning the sign's bit adds what makes the smallest number zero.
    return np.bitwise_xor(codes, np.uint16(2 ** (bits - 1))) if signed else codes


def _decoded(data: Any, syntax: Any) -> NDArray[Any]:
    """The numbers as the first of the installed plug-ins that can gives them."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.utils import pixel_array

    try:
        installed = get_decoder(syntax).available_plugins
    except NotImplementedError:
        raise ContentError(f"no decoder for the transfer syntax {syntax_name(syntax)}") from None
    known = _PLUGINS_2000 if "JPEG 2000" in syntax_name(syntax) else _PLUGINS
    there = [p for p in known if p in installed]
    # On damaged data gdcm can end the process: it has to be the only one that there is.
    order = [p for p in there if p != "gdcm"] or there
    if order == ["gdcm"] and str(syntax) in _LOSSLESS_JPEG:
        _check_jpeg(data)
    failed = "no decoder"
    for plugin in order if syntax.is_encapsulated else [""]:
        try:
            raw: NDArray[Any] = pixel_array(
                data, raw=True, index=0, decoding_plugin=plugin, correct_unused_bits=False
            )
            return raw
        except Exception as error:  # each plug-in has errors of its own
            failed = type(error).__name__
    raise ContentError(f"the pixel data ({syntax_name(syntax)}) cannot be decoded ({failed})")


def _check_jpeg(data: Any) -> None:
    from pydicom.encaps import get_frame

    try:
        frame = get_frame(data.PixelData, 0, number_of_frames=1)
    except Exception as error:  # damaged items can fail in any way
        raise ContentError(f"the pixel data cannot be read ({type(error).__name__})") from None
    check_lossless_jpeg(
        frame, int(data.Rows), int(data.Columns), _whole(data, "BitsAllocated") or 0
    )


def _with_modality(data: Any, scale: GreyScale, *, exact: bool) -> GreyScale:
    """After the modality LUT (DICOM PS3.3 C.11.1): a table, or slope and intercept.

    A linear rescale only turns the grey scale round, where its slope is negative, unless a window
    in its units follows.
    """
    item = _get(data, "ModalityLUTSequence")
    if item is not None:
        values, bits = lookup(scale.values, item)
        return GreyScale(values, bits)
    slope = number(_get(data, "RescaleSlope"))
    intercept = number(_get(data, "RescaleIntercept"))
    if not slope:
        return scale
    if exact and intercept is not None:
        return GreyScale(scale.values * slope + intercept, 0, slope < 0)
    return GreyScale(scale.values, 0, slope < 0)


def _with_voi(data: Any, scale: GreyScale) -> GreyScale:
    """After the first VOI LUT or window (DICOM PS3.3 C.11.2); unchanged where there is none."""
    item = _get(data, "VOILUTSequence")
    if item is not None:
        values, bits = lookup(np.rint(scale.values).astype(np.int64), item)
        return GreyScale(values, bits)
    center, width = number(_get(data, "WindowCenter")), number(_get(data, "WindowWidth"))
    if center is None or width is None or width <= 0:
        return scale
    function = str(_get(data, "VOILUTFunction") or "LINEAR").strip(" \0").upper()
    shown = windowed(scale.values, center, width, function)
    return GreyScale(np.rint(shown * 65535), 16)


def windowed(
    values: NDArray[Any], center: float, width: float, function: str = "LINEAR"
) -> NDArray[np.float64]:
    """Values through a window, from 0 to 1: DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3.

    Parameters
    ----------
    values : array of numbers
        In the units of the modality LUT's output.
    center, width : float
    function : str
        LINEAR (also for what the standard does not name), LINEAR_EXACT or SIGMOID.

    Examples
    --------
    >>> windowed(np.array([0.0, 2047.5, 4095.0]), 2048, 4096).tolist()
    [0.0, 0.5, 1.0]
    """
    x = np.asarray(values, np.float64)
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (x - center) / width, -700, 700))))
    if function == "LINEAR_EXACT":
        return np.clip((x - center) / width + 0.5, 0, 1)
    if width <= 1:  # then the window is a threshold
        return (x > center - 0.5).astype(np.float64)
    return np.clip((x - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def lookup(values: NDArray[np.int64], item: Any) -> tuple[NDArray[np.uint16], int]:
    """Values through a lookup table of a header, and the bits of its entries.

    Raises
    ------
    ContentError
        The table is malformed.
    """
    try:
        entries, first, bits = (int(v) for v in item.LUTDescriptor)
        data = item.LUTData
        entries = entries or 2**16
        if isinstance(data, bytes):
            little = item.is_little_endian is not False
            kind = np.dtype(np.uint8) if len(data) <= entries + entries % 2 else np.dtype(np.uint16)
            table = np.frombuffer(data, kind.newbyteorder("<" if little else ">"))[:entries]
        else:
            table = np.array(data if hasattr(data, "__iter__") else [data], np.int64)[:entries]
        entries_16: NDArray[np.uint16] = (table.astype(np.int64) & 0xFFFF).astype(np.uint16)
    except Exception as error:
        raise ContentError(f"a lookup table is malformed ({type(error).__name__})") from None
    if not 1 <= bits <= 16 or not 1 <= len(entries_16) <= 2**16:
        raise ContentError(f"a lookup table of {len(entries_16)} entries of {bits} bits")
    if first > 2**15 and int(np.min(values)) < 0:
        first -= 2**16  # the first value mapped is negative, written as if it were not
    return entries_16[np.clip(values - first, 0, len(entries_16) - 1)], bits
