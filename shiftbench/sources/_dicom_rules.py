"""Which DICOM files are radiographs that can be used, and the words for the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shiftbench.errors import ContentError
from shiftbench.sources._radiograph_files import check_size
from shiftbench.sources._radiograph_header import known_modality, whole

__all__ = ["judge", "judge_modality", "syntax_name"]

Values = Mapping[str, Sequence[Any]]

_PLUGINS = {
    "1.2.840.10008.1.2.4.50": "pillow or python-gdcm",
    "1.2.840.10008.1.2.4.51": "pillow or python-gdcm (8 bits only)",
    "1.2.840.10008.1.2.4.57": "python-gdcm",
    "1.2.840.10008.1.2.4.70": "python-gdcm",
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pylibjpeg with pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.91": "pylibjpeg with pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.201": "pylibjpeg with pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.202": "pylibjpeg with pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.203": "pylibjpeg with pylibjpeg-openjpeg",
}
"""Which permissively licensed packages decode a transfer syntax; those of extra `dicom`."""

_MOST_FRAMES = 10_000
_EXTENDED = "1.2.840.10008.1.2.4.51"


def judge(
    values: Values, modalities: Sequence[str], element: str | None, syntax: Any, length: int
) -> None:
    """Refuse a file that is no radiograph that can be used.

    Parameters
    ----------
    values : mapping
        Of the header, by keyword.
    modalities : sequence of str
        Those that are used.
    element : str or None
        The kind of pixel data that there is.
    syntax : pydicom.uid.UID
        The transfer syntax.
    length : int
        Bytes of the pixel data that are there.

    Raises
    ------
    ContentError
        With the reason, in words that quote no value but defined terms and numbers.
    """
    judge_modality(_one(values, "Modality"), modalities)
    _judge_pixels(values, element)
    _judge_layout(values)
    _judge_syntax(syntax, whole(_one(values, "BitsStored")) or 0)
    if not syntax.is_encapsulated and not syntax.is_deflated:
        _judge_length(values, length)


def syntax_name(syntax: Any) -> str:
    """The registered name of a transfer syntax; a private one may tell whose equipment wrote it.

    Parameters
    ----------
    syntax : pydicom.uid.UID
    """
    known = syntax.name != str(syntax) and not syntax.is_private
    return str(syntax.name) if known else "a private or unregistered transfer syntax"


def _one(values: Values, keyword: str) -> Any:
    return next(iter(values[keyword]), None)


def _judge_pixels(values: Values, element: str | None) -> None:
    if element is None:
        raise ContentError("there is no pixel data: the file is cut short, or no image")
    if element != "PixelData":
        raise ContentError(f"pixels of type {element}; used are whole numbers")
    frames = whole(_one(values, "NumberOfFrames"))
    if frames is not None and frames > 1:
        said = str(frames) if frames < _MOST_FRAMES else "too many"  # a header may hold any number
        raise ContentError(f"multi-frame: {said} frames; a radiograph has one")


def judge_modality(given: Any, modalities: Sequence[str]) -> None:
    """Refuse what is no projection image of the kinds wanted.

    Raises
    ------
    ContentError
        The modality is missing or another one.
    """
    code = str(given if given is not None else "").strip(" \0").upper()
    if code in modalities:
        return
    allowed = ", ".join(modalities)
    if not code:
        raise ContentError(f"no modality; allowed: {allowed}")
    said = f"modality {code}" if known_modality(code) else "an unregistered modality"
    raise ContentError(f"no projection image of the kinds wanted: {said}; allowed: {allowed}")


def _judge_layout(values: Values) -> None:
    samples = whole(_one(values, "SamplesPerPixel"))
    photometric = str(_one(values, "PhotometricInterpretation") or "").strip(" \0").upper()
    if samples is not None and samples != 1:
        raise ContentError(f"colour: {samples} samples a pixel; a radiograph has one")
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise ContentError(
            "colour, or no photometric interpretation; allowed: MONOCHROME1 and MONOCHROME2"
        )
    bits = whole(_one(values, "BitsStored"))
    allocated = whole(_one(values, "BitsAllocated"))
    if bits is None or allocated is None or not 1 <= bits <= allocated:
        raise ContentError("bits stored or allocated are missing or no number that can be")
    if bits > 16:
        raise ContentError(f"{bits} bits stored; used are 1 to 16")
    rows, columns = whole(_one(values, "Rows")), whole(_one(values, "Columns"))
    if rows is None or columns is None:
        raise ContentError("the number of rows or columns is missing or malformed")
    check_size(rows, columns)


def _judge_syntax(syntax: Any, bits: int) -> None:
    """Refuse a transfer syntax that nothing installed decodes, naming what would."""
    from pydicom.pixels.decoders.base import get_decoder

    try:
        plugins = get_decoder(syntax).available_plugins
        usable = not syntax.is_encapsulated or bool(plugins)
    except NotImplementedError:
        plugins, usable = (), False
    if syntax == _EXTENDED and bits > 8:
        usable = "pylibjpeg" in plugins  # the others decode 8 bits of it only
    if usable:
        return
    name = syntax_name(syntax)
    plugin = None if syntax == _EXTENDED and bits > 8 else _PLUGINS.get(str(syntax))
    if plugin:
        raise ContentError(
            f"no decoder for the transfer syntax {name}: install {plugin}; "
            "pip install 'shiftbench[dicom]' brings it"
        )
    raise ContentError(
        f"no decoder for the transfer syntax {name}: no plug-in under a permissive licence decodes "
        "it; convert the files to an uncompressed transfer syntax first"
    )


def _judge_length(values: Values, there: int) -> None:
    rows, columns, allocated = (
        whole(_one(values, keyword)) or 0 for keyword in ("Rows", "Columns", "BitsAllocated")
    )
    needed = (rows * columns * allocated + 7) // 8
    if there < needed:
        raise ContentError(
            f"the file is cut short: {there} bytes of pixel data where {needed} were announced"
        )
