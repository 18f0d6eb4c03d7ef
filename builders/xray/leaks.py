"""Checks on finished splits, made without the code that made them: any leak stops the build."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import IntegrityError
from shiftbench.radiograph import ACQUISITION_COLUMNS, PERSON_COLUMNS
from shiftbench.schema import PRIVATE_COLUMNS

__all__ = ["EqualImages", "check_columns", "check_images", "check_patients"]

_NAMED = 5  # pseudonyms in a message

Splits = Mapping[str, NDArray[np.int64]]
"""Row numbers of the radiographs by split; a radiograph may be named once a patch."""


@dataclass(frozen=True)
class EqualImages:
    """What `check_images` saw and let pass.

    Attributes
    ----------
    same_patient, other_patients : int
        Radiographs beyond the first with the same pixels as another in their split, of one patient
        or of several.
    unchecked : int
        Radiographs whose pixels were not given.
    """

    same_patient: int
    other_patients: int
    unchecked: int


def check_patients(
    splits: Splits, radiographs: pa.Table, shared: Iterable[Collection[str]] = ()
) -> None:
    """Refuse splits of which two hold images of one patient.

    Parameters
    ----------
    splits : mapping of name to row numbers
        Of one config.
    radiographs : pa.Table
        With `cluster_id`, the pseudonym of the patient.
    shared : iterable of collections of split names
        Splits that hold the same radiographs on purpose, such as the severities of a simulated
        change. Any two of one collection may share patients.

    Raises
    ------
    IntegrityError
        With the pseudonyms and the splits; or a patient without a pseudonym.

    Examples
    --------
    >>> table = pa.table({"cluster_id": ["p1", "p2", "p1"]})
    >>> check_patients({"train": np.array([0]), "id_test": np.array([1])}, table)
    >>> check_patients({"train": np.array([0]), "id_test": np.array([1, 2])}, table)
    Traceback (most recent call last):
    shiftbench.errors.IntegrityError: patients are in two splits: 'p1' in train and id_test; ...
    """
    patients = radiographs["cluster_id"].to_pylist()
    members = {n: {patients[row] for row in set(rows.tolist())} for n, rows in splits.items()}
    if any(None in patients_of for patients_of in members.values()):
        raise IntegrityError(
            "a radiograph in a split has no patient (cluster_id is null), so patients cannot be "
            "kept apart; this is a fault of the source"
        )
    found = _in_two(members, shared)
    _refuse("patients", {repr(patient): pairs for patient, pairs in found.items()})


def check_images(
    content: Mapping[str, bytes],
    splits: Splits,
    radiographs: pa.Table,
    shared: Iterable[Collection[str]] = (),
) -> EqualImages:
    """Refuse splits of which two hold the same picture.

    Parameters
    ----------
    content : mapping of example_id to bytes
        What is equal where the decoded pixels are equal, such as their sha256.
    splits, radiographs, shared
        See `check_patients`; here `example_id` is used too.

    Returns
    -------
    EqualImages
        Equal pictures within a split, which are counted and let pass.

    Raises
    ------
    IntegrityError
        With the pseudonyms of the radiographs and the splits.

    Examples
    --------
    >>> table = pa.table({"example_id": ["r1", "r2"], "cluster_id": ["p1", "p2"]})
    >>> same = {"r1": b"pixels", "r2": b"pixels"}
    >>> check_images(same, {"train": np.array([0, 1])}, table)
    EqualImages(same_patient=0, other_patients=1, unchecked=0)
    >>> check_images(same, {"train": np.array([0]), "id_test": np.array([1])}, table)
    Traceback (most recent call last):
    shiftbench.errors.IntegrityError: images are in two splits: 'r1' = 'r2' in train and id_test...
    """
    idents = radiographs["example_id"].to_pylist()
    patients = radiographs["cluster_id"].to_pylist()
    rows_of = {name: np.unique(rows).tolist() for name, rows in splits.items()}
    holders: dict[bytes, set[str]] = {}
    within = {"same": 0, "other": 0}
    for rows in rows_of.values():
        seen: dict[bytes, set[str]] = {}
        for row in rows:
            digest = content.get(idents[row])
            if digest is None:
                continue
            holders.setdefault(digest, set()).add(idents[row])
            owners = seen.setdefault(digest, set())
            if owners:
                within["same" if patients[row] in owners else "other"] += 1
            owners.add(patients[row])
    of_split = {
        name: {content[idents[row]] for row in rows if idents[row] in content}
        for name, rows in rows_of.items()
    }
    found = {
        " = ".join(map(repr, sorted(holders[digest])[:_NAMED])): names
        for digest, names in _in_two(of_split, shared).items()
    }
    _refuse("images", found)
    everywhere = {row for rows in rows_of.values() for row in rows}
    unchecked = sum(idents[row] not in content for row in everywhere)
    return EqualImages(within["same"], within["other"], unchecked)


def check_columns(columns: Iterable[str], allowed: Collection[str] = ()) -> None:
    """Refuse columns of the header that are not on the white list.

    Parameters
    ----------
    columns : iterable of str
        Those that would leave.
    allowed : collection of str
        What may leave beside `ACQUISITION_COLUMNS` and `PERSON_COLUMNS`.

    Raises
    ------
    IntegrityError
        With the columns. Those of `PRIVATE_COLUMNS` never leave, allowed or not.

    Examples
    --------
    >>> check_columns(["device", "age", "ward"], allowed=["ward"])
    >>> check_columns(["device", "ward"])
    Traceback (most recent call last):
    shiftbench.errors.IntegrityError: the column 'ward' would leave and is not on the white list...
    """
    columns = sorted(set(columns))
    private = [name for name in columns if name in PRIVATE_COLUMNS]
    if private:
        raise IntegrityError(
            f"the column {', '.join(map(repr, private))} would leave, and it may hold file names; "
            "it never may: rename it in the source"
        )
    known = {*ACQUISITION_COLUMNS, *PERSON_COLUMNS, *allowed}
    strange = [name for name in columns if name not in known]
    if strange:
        raise IntegrityError(
            f"the column {', '.join(map(repr, strange))} would leave and is not on the white list; "
            "if it says nothing of a person name it in the source's keep (--keep), else leave it "
            f"out there. The white list: {', '.join((*ACQUISITION_COLUMNS, *PERSON_COLUMNS))}"
        )


_T = TypeVar("_T")


def _in_two(
    members: Mapping[str, set[_T]], shared: Iterable[Collection[str]]
) -> dict[_T, list[tuple[str, str]]]:
    """What two splits have in common that may not, and which."""
    exempt = {pair for names in shared for pair in combinations(sorted(set(names)), 2)}
    found: dict[_T, list[tuple[str, str]]] = {}
    for a, b in combinations(members, 2):
        if (min(a, b), max(a, b)) not in exempt:
            for one in members[a] & members[b]:
                found.setdefault(one, []).append((a, b))
    return found


def _refuse(what: str, found: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    if not found:
        return
    names = sorted(found)
    shown = ", ".join(f"{name} in {' and '.join(found[name][0])}" for name in names[:_NAMED])
    more = f" … ({len(names)} in all)" if len(names) > _NAMED else ""
    raise IntegrityError(
        f"{what} are in two splits: {shown}{more}; the build stops: a score would be of images "
        "that were trained on"
    )
