"""The layout of BIMCV-COVID19+: ``sub-*/ses-*/mod-rx/*.png`` with DICOM headers as JSON beside."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from shiftbench.errors import ContentError
from shiftbench.sources._dicom_rules import judge_modality
from shiftbench.sources._radiograph_files import Listing, Located, read_bytes
from shiftbench.sources._radiograph_header import TAGS, Header, header_of, view_of

__all__ = ["Headers", "is_bimcv_image", "one_name_a_person", "subject_folder"]

_MOST = 16_000_000  # bytes of a JSON header
_MOST_BITS = 64
_VALUES = re.compile(r"(?i)mod-rx/[^/]+\.png$")


def is_bimcv_image(name: str) -> bool:
    """Whether a file is an image of this layout.

    Examples
    --------
    >>> is_bimcv_image("sub-S1/ses-E1/mod-rx/sub-S1_ses-E1_run-1_bp-chest_vp-pa_cr.png")
    True
    """
    return _VALUES.search(name) is not None


class Headers:
    """The JSON headers of a listing, found by the image they belong to.

    One header serves all acquisitions of a series: the names are alike but for ``acq-``. The
    header may also leave out body part or view.
    """

    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.by_folder: dict[str, list[tuple[str, int]]] = {}
        for position, file in enumerate(listing.files):
            folder, _, name = file.name.rpartition("/")
            if name.lower().endswith(".json") and file.regular:
                self.by_folder.setdefault(folder, []).append((name[: -len(".json")], position))
        self.kept: tuple[int, Mapping[str, Any], str] | None = None

    def of(self, position: int, modalities: Sequence[str]) -> tuple[Header, str, Located]:
        """What the header of an image says, its digest, and how the image is decoded.

        Raises
        ------
        ContentError
            There is no header, more than one, or one that cannot be read or is of another kind.
        """
        file = self.listing.files[position]
        folder, _, name = file.name.rpartition("/")
        beside = self._beside(folder, name.rpartition(".")[0])
        document, digest = self._document(beside)
        values = {keyword: _values(document, tag) for keyword, tag in TAGS.items()}
        judge_modality(next(iter(values["Modality"]), None), modalities)
        header = header_of(values)
        columns = dict(header.columns)
        if columns["photometric"] is None:
            raise ContentError(
                "colour, or no photometric interpretation; allowed: MONOCHROME1 and MONOCHROME2"
            )
        columns["view"] = columns["view"] or view_of(_entities(name)[0].get("vp"))
        bits = columns["bits_stored"]
        if bits is not None and not 1 <= bits <= 16:
            said = bits if bits <= _MOST_BITS else "too many"  # a header may hold any number
            raise ContentError(f"{said} bits stored; used are 1 to 16")
        located = Located(
            self.listing.path(position),
            "image",
            bits,
            columns["photometric"] == "MONOCHROME1",
            columns["row_mm"],
            columns["column_mm"],
        )
        return replace(header, columns=columns), digest, located

    def _beside(self, folder: str, stem: str) -> int:
        """Position of the header: of the same name, else of the one name that says no more."""
        there = self.by_folder.get(folder, [])
        for name, position in there:
            if name == stem:
                return position
        said, ending = _entities(stem)
        fitting: dict[int, list[int]] = {}
        for name, position in there:
            entities, kind = _entities(name)
            if kind in (ending, "") and entities.items() <= said.items():
                fitting.setdefault(len(entities), []).append(position)
        if not fitting:
            raise ContentError("no JSON header belongs to the image")
        nearest = fitting[max(fitting)]
        if len(nearest) > 1:
            raise ContentError(
                f"{len(nearest)} JSON headers could belong to the image; which does is unknown"
            )
        return nearest[0]

    def _document(self, position: int) -> tuple[Mapping[str, Any], str]:
        if self.kept is None or self.kept[0] != position:
            data = read_bytes(self.listing.path(position), _MOST)
            try:
                found = json.loads(data)
            except (ValueError, RecursionError) as error:
                raise ContentError(
                    f"the JSON header cannot be read ({type(error).__name__})"
                ) from None
            if not isinstance(found, dict):
                raise ContentError("the JSON header holds no object keyed by tag")
            self.kept = (position, found, hashlib.sha256(data).hexdigest())
        return self.kept[1], self.kept[2]


def _entities(stem: str) -> tuple[dict[str, str], str]:
    """What a name says but for ``acq-``, and the modality at its end."""
    parts = [part.partition("-") for part in stem.split("_")]
    said = {key: value for key, dash, value in parts if dash and key != "acq"}
    return said, next((key for key, dash, _ in reversed(parts) if not dash), "")


def _values(document: Mapping[str, Any], tag: int) -> tuple[Any, ...]:
    element = document.get(f"{tag:08X}", document.get(f"{tag:08x}"))
    given = element.get("Value") if isinstance(element, dict) else None
    if not isinstance(given, list):
        return ()
    plain = (next(iter(v.values()), None) if isinstance(v, dict) else v for v in given)
    return tuple(v for v in plain if isinstance(v, str | int | float))


def subject_folder(name: str) -> str | None:
    """The folder of a subject that an image is in."""
    return next((part for part in name.split("/")[:-1] if part.startswith("sub-")), None)


def one_name_a_person(
    said: Iterable[tuple[str | None, str | None]],
) -> list[tuple[str, str] | None]:
    """For each image whose it is: one number, or one folder, joins images.

    Parameters
    ----------
    said : iterable of (number or None, folder or None)

    Returns
    -------
    list of (kind of name, name), None where neither is there

    Examples
    --------
    >>> one_name_a_person([("7", "sub-1"), (None, "sub-1"), ("7", "sub-2"), (None, None)])
    [('patient', '7'), ('patient', '7'), ('patient', '7'), None]
    """
    names: list[list[tuple[str, str]]] = []
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(name: tuple[str, str]) -> tuple[str, str]:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for number, folder in said:
        known = [("patient", number)] if number else []
        known += [("subject", folder)] if folder else []
        names.append(known)
        for name in known:
            first, second = sorted((root(known[0]), root(name)))  # numbers come before folders
            parent[second] = first
    return [root(known[0]) if known else None for known in names]
