"""Whether a text that would leave repeats who the patient is, or where and when that was."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["NAMES", "PHRASES", "Person", "tells"]

NAMES: Mapping[str, int] = {
    "PatientName": 0x00100010,
    "OtherPatientNames": 0x00101001,
    "PatientBirthName": 0x00101005,
    "PatientMotherBirthName": 0x00101060,
    "ReferringPhysicianName": 0x00080090,
    "PerformingPhysicianName": 0x00081050,
    "OperatorsName": 0x00081070,
}
"""Elements of which each word is looked for."""

PHRASES: Mapping[str, int] = {
    "PatientID": 0x00100020,
    "OtherPatientIDs": 0x00101000,
    "PatientBirthDate": 0x00100030,
    "PatientAddress": 0x00101040,
    "AccessionNumber": 0x00080050,
    "StudyID": 0x00200010,
    "StudyDate": 0x00080020,
    "AcquisitionDate": 0x00080022,
    "InstitutionName": 0x00080080,
    "InstitutionAddress": 0x00080081,
    "StudyDescription": 0x00081030,
    "DeviceSerialNumber": 0x00181000,
    "ImageComments": 0x00204000,
    "SOPInstanceUID": 0x00080018,
    "StudyInstanceUID": 0x0020000D,
    "SeriesInstanceUID": 0x0020000E,
}
"""Elements looked for as a whole; of those of the patient and of studies each word with a digit
too."""

_OF_PATIENT = ("PatientName", "PatientNames", "BirthName")
_NUMBERS = ("PatientID", "OtherPatientIDs", "AccessionNumber", "StudyID", "DeviceSerialNumber")
_DATES = ("PatientBirthDate", "StudyDate", "AcquisitionDate")
_FREE = ("InstitutionName", "StudyDescription", "ImageComments", "PatientAddress")
_SHORTEST = 5
"""Letters and digits of a number or phrase: shorter ones are in many a model's name."""
_SHORTEST_FREE = 8
"""Of free text, in which "CHEST" says nothing."""


class Person:
    """What a header says of a person and of the place.

    Parameters
    ----------
    values : mapping of keyword to values
    """

    def __init__(self, values: Mapping[str, Sequence[Any]]) -> None:
        self.words: set[str] = set()
        self.phrases: set[str] = set()
        for keyword in NAMES:
            for value in values.get(keyword) or ():
                shortest = 3 if keyword.endswith(_OF_PATIENT) else _SHORTEST
                self.words.update(w for w in _words(value) if len(w) >= shortest)
        for keyword in PHRASES:
            for value in values.get(keyword) or ():
                self.phrases.update(_phrases(keyword, value))

    def told_by(self, value: object) -> bool:
        """Whether a text repeats it."""
        words = _words(value)
        text = "".join(words)
        return any(w in words or (len(w) > 3 and w in text) for w in self.words) or any(
            phrase in text for phrase in self.phrases
        )


def tells(value: str, said: str) -> bool:
    """Whether a cell that would leave repeats a patient's or a file's name.

    Only names with a digit, of five letters and digits or more, are told from words.

    Examples
    --------
    >>> tells("see 4480-077", "4480077"), tells("pneumonia", "pneumonia"), tells("0.16800", "16800")
    (True, False, False)
    """
    text = "".join(_words(value))
    if not text or re.fullmatch(r"\s*\d*\.\d+\s*", value):
        return False
    return any(phrase in text for phrase in _phrases("PatientID", said) if _has_digit(phrase))


def _phrases(keyword: str, value: object) -> set[str]:
    words = _words(value)
    whole = "".join(words)
    if keyword in _DATES:
        if re.fullmatch(r"[0-9]{8}", whole) is None:
            return set()
        year, month, day = whole[:4], whole[4:6], whole[6:]
        return {whole, day + month + year, month + day + year}
    found = {whole}
    if keyword in _NUMBERS:
        found.update(w for w in words if _has_digit(w))
    shortest = _SHORTEST_FREE if keyword in _FREE else _SHORTEST
    return {phrase for phrase in found if len(phrase) >= shortest}


def _has_digit(text: str) -> bool:
    return any(c.isdigit() for c in text)


def _words(value: object) -> list[str]:
    return re.findall(r"[^\W_]+", str(value if value is not None else "").casefold())
