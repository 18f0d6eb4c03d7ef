"""One name for each device, however its headers spell it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache

from shiftbench.sources._files import facts

__all__ = ["device_name", "device_named", "known_manufacturer", "known_model", "tidy"]

_MOST = 64  # characters: the longest that DICOM allows in a value of type LO


def tidy(text: object, most: int = _MOST) -> str | None:
    """A text on one line without quotes; None where nothing, too much or no plain text is there.

    Examples
    --------
    >>> tidy(' "GE  Healthcare" ')
    'GE Healthcare'
    """
    folded = unicodedata.normalize("NFKC", str(text if text is not None else ""))
    folded = " ".join(folded.replace('"', " ").replace("\N{RIGHT DOUBLE QUOTATION MARK}", " ")
                      .split()).strip("'` ")  # fmt: skip
    return folded if folded and len(folded) <= most and folded.isprintable() else None


def device_name(manufacturer: object, model: object) -> tuple[str | None, str | None, str | None]:
    """Names of the device, its manufacturer and its model, by ``metadata/device_names.json``.

    Parameters
    ----------
    manufacturer, model : object
        As the header has them. What the table does not know passes with quotes removed and spaces
        folded.

    Returns
    -------
    (device, manufacturer, model)
        All None without a manufacturer.

    Examples
    --------
    >>> device_name("Philips Medical Systems", "digital DIAGNOST")
    ('Philips DigitalDiagnost', 'Philips', 'DigitalDiagnost')
    >>> device_name('"SIEMENS"', "SIEMENS  FD-X")[0]
    'SIEMENS FD-X'
    """
    given, type_ = tidy(manufacturer), tidy(model)
    if given is None:
        return None, None, None
    made = _manufacturers().get(_company(given), given)
    if type_ is not None:
        type_ = _without_prefix(type_, (made, given))
    if type_ is not None:
        type_ = _models().get(_key(type_), type_)
    device = f"{made} {type_}" if type_ else made
    return _devices().get(_key(device), device), made, type_


def device_named(text: object) -> str | None:
    """The name of a device that is given as one text, manufacturer and model.

    Examples
    --------
    >>> device_named("Philips Medical Systems DigitalDiagnost")
    'Philips DigitalDiagnost'
    """
    words = (tidy(text) or "").split(" ")
    for n in range(len(words), 0, -1):
        if known_manufacturer(" ".join(words[:n])):
            return device_name(" ".join(words[:n]), " ".join(words[n:]))[0]
    return device_name(text, None)[0]


def known_manufacturer(manufacturer: object) -> bool:
    """Whether the table has a manufacturer's name.

    Examples
    --------
    >>> known_manufacturer("Konica Minolta, Inc."), known_manufacturer("Miller^Anna")
    (True, False)
    """
    return _company(tidy(manufacturer) or "") in _manufacturers()


def known_model(model: object) -> bool:
    """Whether the table has a model's name."""
    return _key(tidy(model) or "") in _models()


def _key(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())


def _words(text: str) -> list[str]:
    # "N.V." and "Co.,Ltd." are words of their letters.
    return re.findall(r"\w+", re.sub(r"(?<=\w)\.(?=\w\b)", "", text.casefold()))


def _company(text: str) -> str:
    """What is left of a company's name without "Co., Ltd." and the like."""
    words = _words(text)
    forms = frozenset(facts("device_names")["company_forms"])
    while len(words) > 1 and words[-1] in forms:
        words.pop()
    return "".join(words).replace("_", "")


def _without_prefix(model: str, names: Iterable[str]) -> str | None:
    """A model's name without the manufacturer's before it; None where nothing else is there."""
    for name in names:
        if _key(model) == _key(name):
            return None
        if model.casefold().startswith(name.casefold() + " "):
            return model[len(name) + 1 :]
    return model


@cache
def _manufacturers() -> Mapping[str, str]:
    table = facts("device_names")["manufacturers"]
    return {_company(s): name for name, spelt in table.items() for s in (name, *spelt)}


@cache
def _models() -> Mapping[str, str]:
    table = facts("device_names")["models"]
    return {_key(s): name for name, spelt in table.items() for s in (name, *spelt)}


@cache
def _devices() -> Mapping[str, str]:
    table = facts("device_names")["devices"]
    return {_key(s): name for name, spelt in table.items() for s in spelt}
