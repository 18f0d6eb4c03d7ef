"""From the values of a header to columns that may leave: white lists, units, sane ranges."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shiftbench.radiograph import MAX_AGE
from shiftbench.sources._device_names import device_name, known_manufacturer, known_model, tidy
from shiftbench.sources._person import NAMES, PHRASES, Person

__all__ = [
    "TAGS",
    "Header",
    "age_in_years",
    "header_of",
    "known_modality",
    "millimetres",
    "number",
    "sex_of",
    "view_of",
    "whole",
]

Values = Mapping[str, Sequence[Any]]

TAGS: Mapping[str, int] = {
    "PresentationIntentType": 0x00080068,
    "Modality": 0x00080060,
    "Manufacturer": 0x00080070,
    "ManufacturerModelName": 0x00081090,
    "PatientID": 0x00100020,
    "PatientSex": 0x00100040,
    "PatientAge": 0x00101010,
    "BodyPartExamined": 0x00180015,
    "KVP": 0x00180060,
    "DistanceSourceToDetector": 0x00181110,
    "ExposureTime": 0x00181150,
    "XRayTubeCurrent": 0x00181151,
    "Exposure": 0x00181152,
    "ExposureInuAs": 0x00181153,
    "FilterType": 0x00181160,
    "ImagerPixelSpacing": 0x00181164,
    "Grid": 0x00181166,
    "ExposureIndex": 0x00181411,
    "ViewPosition": 0x00185101,
    "FilterMaterial": 0x00187050,
    "XRayTubeCurrentInuA": 0x00188151,
    "SamplesPerPixel": 0x00280002,
    "PhotometricInterpretation": 0x00280004,
    "NumberOfFrames": 0x00280008,
    "Rows": 0x00280010,
    "Columns": 0x00280011,
    "PixelSpacing": 0x00280030,
    "BitsAllocated": 0x00280100,
    "BitsStored": 0x00280101,
    "HighBit": 0x00280102,
    "PixelRepresentation": 0x00280103,
    "BurnedInAnnotation": 0x00280301,
    "LossyImageCompression": 0x00282110,
    **NAMES,
    **PHRASES,
}
"""What is read of a header. Whose radiograph it is, is read to make a pseudonym and to see that
no other value repeats it."""

# What a number can be, so that none of another kind leaves; units: kV, µAs, ms, mA, 1, mm.
_MOST = {
    "KVP": 500,
    "ExposureInuAs": 1e7,
    "ExposureTime": 1e5,
    "XRayTubeCurrent": 1e4,
    "ExposureIndex": 1e5,
    "DistanceSourceToDetector": 1e4,
}

# Defined terms of DICOM PS3.3 C.8.1.3, C.8.11.7 (mammography) and the codes of PadChest and BIMCV.
_VIEWS = {
    v: v
    for v in ("AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO", "LPO", "RPO", "LAO", "RAO",
              "CC", "MLO", "ML", "LM", "LMO", "XCCL", "LATERAL", "L", "COSTAL")
} | {"LAT": "LATERAL", "AXIAL": "AXIAL", "TANGENTIAL": "TANGENTIAL"}  # fmt: skip

# Of DICOM PS3.16 Annex L, what is imaged by projection.
_BODY_PARTS = frozenset(
    "ABDOMEN ANKLE ARM BREAST CHEST CLAVICLE CSPINE CTSPINE ELBOW EXTREMITY FEMUR FINGER FOOT "
    "FOREARM HAND HEAD HEEL HIP HUMERUS JAW KNEE LEG LSPINE LSSPINE NECK PELVIS RIB RIBS SACRUM "
    "SCAPULA SHOULDER SI SKULL SPINE SSPINE STERNUM THIGH THUMB TIBIA TLSPINE TOE TSPINE WRIST "
    "WHOLEBODY PORT_CHEST PORT CHEST TORAX THORAX ABDOMENPELVIS LUNG".split()
) | {"PORT CHEST"}  # fmt: skip

_MODALITIES = frozenset(
    "CR DX RG MG IO PX RF XA CT MR US NM PT OT SC SR ES XC GM SM OP OCT BMD ECG PR KO SEG "
    "RTIMAGE RTDOSE RTSTRUCT RTPLAN DOC".split()
)
_GRIDS = frozenset("FIXED FOCUSED RECIPROCATING PARALLEL CROSSED NONE".split())
_FILTERS = frozenset(
    "STRIP WEDGE BUTTERFLY MULTIPLE FLAT NONE MOLYBDENUM ALUMINUM COPPER RHODIUM NIOBIUM EUROPIUM "
    "LEAD TIN SILVER TANTALUM".split()
)
_SEXES = {"M": "M", "MALE": "M", "F": "F", "FEMALE": "F", "O": "O", "OTHER": "O"}
_DAYS = {"": 1, "Y": 1, "M": 12, "W": 52, "D": 365}  # how many are a year
_OLDEST = 120


@dataclass(frozen=True)
class Header:
    """What a header says: whose radiograph it is (stays inside), and the columns that may leave."""

    patient: str | None
    columns: Mapping[str, Any]


def header_of(values: Values) -> Header:
    """Columns of `ACQUISITION_COLUMNS`, age and sex; None where a value is missing or malformed."""
    device, manufacturer, model = _device(values)
    row_mm, column_mm = _spacing(values)
    columns = {
        "device": device,
        "manufacturer": manufacturer,
        "model": model,
        "modality": _listed(values, "Modality", _MODALITIES),
        "view": view_of(_first(values, "ViewPosition")),
        "body_part": _listed(values, "BodyPartExamined", _BODY_PARTS),
        "presentation_intent": _intent(values),
        "photometric": _listed(values, "PhotometricInterpretation", _GREY),
        "bits_stored": whole(_first(values, "BitsStored")),
        "rows": whole(_first(values, "Rows")),
        "columns": whole(_first(values, "Columns")),
        "row_mm": row_mm,
        "column_mm": column_mm,
        "kvp": _positive(values, "KVP"),
        "exposure_uas": _positive(values, "ExposureInuAs")
        or _positive(values, "ExposureInuAs", "Exposure", 1000),
        "exposure_ms": _positive(values, "ExposureTime"),
        "tube_current_ma": _positive(values, "XRayTubeCurrent")
        or _positive(values, "XRayTubeCurrent", "XRayTubeCurrentInuA", 0.001),
        "exposure_index": _positive(values, "ExposureIndex"),
        "distance_mm": _positive(values, "DistanceSourceToDetector"),
        "grid": _several(values, "Grid", _GRIDS),
        "filter": _several(values, "FilterMaterial", _FILTERS)
        or _several(values, "FilterType", _FILTERS),
        "lossy": {"00": False, "01": True}.get(_code(values, "LossyImageCompression")),
        "burnt_in": {"NO": False, "YES": True}.get(_code(values, "BurnedInAnnotation")),
        "age": age_in_years(_first(values, "PatientAge")),
        "sex": sex_of(_first(values, "PatientSex")),
    }
    return Header(str(_first(values, "PatientID") or "").strip(" \0") or None, columns)


_GREY = frozenset(("MONOCHROME1", "MONOCHROME2"))


def _first(values: Values, keyword: str) -> Any:
    found = values.get(keyword) or (None,)
    return found[0]


def _code(values: Values, keyword: str) -> str:
    return str(_first(values, keyword) or "").strip(" \0").upper()


def _listed(values: Values, keyword: str, allowed: frozenset[str]) -> str | None:
    code = _code(values, keyword)
    return code if code in allowed else None


def _several(values: Values, keyword: str, allowed: frozenset[str]) -> str | None:
    codes = [str(v or "").strip(" \0").upper() for v in values.get(keyword) or ()]
    return "+".join(sorted(set(codes))) if codes and allowed.issuperset(codes) else None


def _intent(values: Values) -> str | None:
    code = _code(values, "PresentationIntentType")
    return {"FOR PRESENTATION": "presentation", "FOR PROCESSING": "processing"}.get(code)


def number(value: Any) -> float | None:
    """A finite number, from whatever a header or a cell holds; else None.

    Examples
    --------
    >>> number(" 0.168 "), number("n/a"), number("inf")
    (0.168, None, None)
    """
    if isinstance(value, bool):
        return None
    try:
        found = float(str(value).strip(" \0"))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def whole(value: Any) -> int | None:
    """A whole number from 0 to 2**31, else None."""
    found = number(value)
    return int(found) if found is not None and found.is_integer() and 0 <= found < 2**31 else None


def millimetres(value: Any) -> float | None:
    """A pixel pitch that a detector can have, else None."""
    found = number(value)
    return found if found is not None and 0.005 <= found <= 20 else None


def _positive(
    values: Values, kind: str, keyword: str | None = None, factor: float = 1
) -> float | None:
    found = (number(_first(values, keyword or kind)) or 0) * factor
    return found if 0 < found <= _MOST[kind] else None


def _spacing(values: Values) -> tuple[float | None, float | None]:
    """Between rows and between columns: at the detector, or as calibrated where only that is."""
    for keyword in ("ImagerPixelSpacing", "PixelSpacing"):
        pair = [millimetres(v) for v in values.get(keyword) or ()]
        if len(pair) == 2 and None not in pair:
            return pair[0], pair[1]
    return None, None


def _device(values: Values) -> tuple[str | None, str | None, str | None]:
    """Names of the device, unless free text there repeats who the patient is."""
    manufacturer, model = _first(values, "Manufacturer"), _first(values, "ManufacturerModelName")
    person = Person(values)
    if not known_manufacturer(manufacturer) and person.told_by(manufacturer):
        manufacturer = None
    if not known_model(model) and person.told_by(model):
        model = None
    return device_name(manufacturer, model)


def view_of(value: Any) -> str | None:
    """A view position of the white list, in upper case.

    Examples
    --------
    >>> view_of(" pa "), view_of("the ward")
    ('PA', None)
    """
    return _VIEWS.get(str(value if value is not None else "").strip(" \0").upper())


def sex_of(value: Any) -> str | None:
    """M, F or O.

    Examples
    --------
    >>> sex_of("female"), sex_of("unknown")
    ('F', None)
    """
    return _SEXES.get(str(value if value is not None else "").strip(" \0").upper())


def age_in_years(value: Any) -> int | None:
    """Whole years from DICOM's age (045Y, 009M) or from plain years; above 89 it is `MAX_AGE`.

    Examples
    --------
    >>> [age_in_years(v) for v in ("045Y", "018M", "62", 58.0, "097Y", "411", "old")]
    [45, 1, 62, 58, 90, None, None]
    """
    text = tidy(value) or ""
    found = re.fullmatch(r"([0-9]{1,4})(?:\.[0-9]{1,3})?([YMWD]?)", text.upper())
    if found is None:
        return None
    years = int(found[1]) // _DAYS[found[2]]
    if years > _OLDEST:
        return None
    return MAX_AGE if years >= MAX_AGE else years


def known_modality(code: str) -> bool:
    """Whether a modality is a defined term, so that it can be named."""
    return code in _MODALITIES
