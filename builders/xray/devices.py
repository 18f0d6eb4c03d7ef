"""Which device made each radiograph, and which devices have enough patients to be used."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.schema import slug

from ._columns import Rows, coded, need_column, texts

__all__ = [
    "ANY_DEVICE",
    "Devices",
    "Dropped",
    "device_names",
    "device_slugs",
    "in_distribution_groups",
    "parse_group",
    "parse_only",
    "selected",
    "usable_devices",
]

ANY_DEVICE = "any"
"""The one device of all radiographs where the rule is empty: only simulated shifts are asked."""

MIN_PATIENTS = 10
_LONGEST = 40
MOST_GROUPS = 5  # the devices that AdverX-Ray takes as in-distribution, one after the other


@dataclass(frozen=True)
class Dropped:
    """Radiographs that are in no split, from where, and why.

    Attributes
    ----------
    where : str
        A device, or the split that they were taken from.
    reason : str
    rows : (n,) array of int64
    """

    where: str
    reason: str
    rows: Rows


@dataclass(frozen=True, eq=False)
class Devices:
    """The devices that are used, and what was left out for them.

    Attributes
    ----------
    names : tuple[str, ...]
        Sorted.
    code : (n radiographs,) array of int64
        Index into `names`; −1: no device that is used.
    patient : (n radiographs,) array of int64
        A number for each patient.
    radiographs, patients : Mapping[str, int]
        How many each device has.
    dropped : tuple[Dropped, ...]
    rule : str
    """

    names: tuple[str, ...]
    code: NDArray[np.int64]
    patient: NDArray[np.int64]
    radiographs: Mapping[str, int]
    patients: Mapping[str, int]
    dropped: tuple[Dropped, ...]
    rule: str

    def rows(self, names: Sequence[str]) -> Rows:
        """Radiographs of some devices, ascending.

        Raises
        ------
        ConfigurationError
            A device is not among those used.
        """
        for name in names:
            if name not in self.names:
                raise ConfigurationError(
                    f"the device {name!r} is not among those used; {near_names(name, self.names)}"
                )
        wanted = [i for i, name in enumerate(self.names) if name in names]
        return np.flatnonzero(np.isin(self.code, wanted))

    @property
    def slugs(self) -> dict[str, str]:
        """What each device is called in the names of configs and splits; see `device_slugs`."""
        return device_slugs(self.names)

    @property
    def words(self) -> tuple[str, ...]:
        """What was left out, for the card."""
        return tuple(
            f"{len(d.rows)} radiographs{f' of device {d.where!r}' if d.where else ''} left out: "
            f"{d.reason}"
            for d in self.dropped
        )


def device_names(radiographs: pa.Table, rule: str) -> list[str | None]:
    """The device of each radiograph.

    Parameters
    ----------
    radiographs : pa.Table
        `Metadata.examples` of a source of radiographs.
    rule : str
        A column, or several joined by ``*`` (``manufacturer*model``), whose values are then joined
        by " & ". Numbers become text of three digits. Empty: all are of one device, `ANY_DEVICE`.

    Returns
    -------
    list of str or None
        None where one of the columns is null or blank.

    Raises
    ------
    ConfigurationError
        There is no such column, or it holds lists.

    Examples
    --------
    >>> table = pa.table({"maker": ["GE", "GE", None], "row_mm": [0.168, 0.2, 0.2]})
    >>> device_names(table, "row_mm")
    ['0.168', '0.2', '0.2']
    >>> device_names(table, "maker*row_mm")
    ['GE & 0.168', 'GE & 0.2', None]
    """
    if not rule:
        return [ANY_DEVICE] * len(radiographs)
    parts = [
        texts(need_column(radiographs, name.strip(), f"the device ({rule!r})"))
        for name in rule.split("*")
    ]
    if len(parts) == 1:
        return parts[0]
    return [
        None if None in values else " & ".join(map(str, values))
        for values in zip(*parts, strict=True)
    ]


def device_slugs(names: Sequence[str]) -> dict[str, str]:
    """Slugs of devices, which are named by headers that nobody can change.

    Where two names come to the same slug, or one to none, the beginning of the name's sha256 tells
    them apart: it depends on no other device.

    Examples
    --------
    >>> device_slugs(["GE X-1", "GE X 1", "Acme"])
    {'GE X-1': 'ge_x_1_9d39f5', 'GE X 1': 'ge_x_1_494689', 'Acme': 'acme'}
    >>> device_slugs(["島津"])
    {'島津': 'device_060045'}
    """
    made = {name: _slug(name) for name in names}
    count = Counter(made.values())
    return {name: f"{s}_{_mark(name)}" if count[s] > 1 else s for name, s in made.items()}


def usable_devices(
    radiographs: pa.Table,
    rule: str = "device",
    *,
    min_patients: int = MIN_PATIENTS,
    only: Mapping[str, Sequence[str]] | None = None,
    at_least: int = 2,
    usable: NDArray[np.bool_] | None = None,
) -> Devices:
    """The devices with enough patients; the others are left out and counted.

    Parameters
    ----------
    radiographs : pa.Table
        `Metadata.examples` of a source of radiographs.
    rule : str
        See `device_names`.
    min_patients : int
        A device with fewer patients is left out.
    only : mapping of column to values, optional
        Which radiographs there are at all, see `parse_only`.
    at_least : int
        How many devices are needed: 1 where all shifts are simulated.
    usable : (n radiographs,) array of bool, optional
        Which radiographs have content that can be used; by default all.

    Raises
    ------
    ConfigurationError
        There is no such column, no device at all, or too few of them.

    Examples
    --------
    >>> table = pa.table({"cluster_id": list("abcde"), "device": ["A", "A", "B", "B", "C"]})
    >>> devices = usable_devices(table, min_patients=2)
    >>> devices.names, dict(devices.patients)
    (('A', 'B'), {'A': 2, 'B': 2})
    >>> devices.words
    ("1 radiographs of device 'C' left out: fewer than 2 patients (1)",)
    """
    patient = radiographs["cluster_id"].combine_chunks().dictionary_encode().indices
    patients = patient.to_numpy(zero_copy_only=False).astype(np.int64)
    inside = selected(radiographs, only or {})
    named = coded(device_names(radiographs, rule))
    if not named.names:
        raise ConfigurationError(
            f"no radiograph has a device: {rule!r} is empty in all {len(radiographs)}; name "
            "another column, or several joined by '*' (--device)"
        )
    code = np.where(inside, named.codes - 1, -2)
    if usable is not None:
        code[~usable] = -3
    dropped = [
        Dropped("", "its content cannot be used", np.flatnonzero(code == -3)),
        Dropped("", "not among those selected (only)", np.flatnonzero(code == -2)),
        Dropped("", f"no device ({rule})", np.flatnonzero(code == -1)),
    ]
    seen = code >= 0
    pairs = np.unique(np.stack([code[seen], patients[seen]]), axis=1)
    n_patients = np.bincount(pairs[0], minlength=len(named.names))
    for i in np.flatnonzero((n_patients > 0) & (n_patients < min_patients)):
        reason = f"fewer than {min_patients} patients ({n_patients[i]})"
        dropped.append(Dropped(named.names[i], reason, np.flatnonzero(code == i)))
    kept = np.flatnonzero(n_patients >= max(min_patients, 1))
    _need_devices([named.names[i] for i in kept], dropped, at_least)
    new = np.full(len(named.names) + 3, -1, np.int64)  # the last three: codes −3, −2 and −1
    new[kept] = np.arange(len(kept))
    made = new[code]
    names = tuple(named.names[i] for i in kept)
    radiograph_counts = np.bincount(made[made >= 0], minlength=len(names)).tolist()
    return Devices(
        names,
        made,
        patients,
        dict(zip(names, radiograph_counts, strict=True)),
        dict(zip(names, n_patients[kept].tolist(), strict=True)),
        tuple(d for d in dropped if len(d.rows)),
        rule,
    )


def _need_devices(kept: list[str], dropped: list[Dropped], at_least: int) -> None:
    if len(kept) >= at_least:
        return
    small = [f"{d.where!r}: {d.reason}" for d in dropped if d.where]
    others = f" (left out: {'; '.join(small[:10])})" if small else ""
    if len(kept) == 1:
        raise ConfigurationError(
            f"all radiographs that can be used are of one device, {kept[0]!r}{others}: there is "
            "no OOD device; name another device column or rule (--device), lower --min-patients, "
            "or ask for simulated shifts alone"
        )
    raise ConfigurationError(
        f"{len(kept)} devices have enough patients and {at_least} are needed{others}; lower "
        "--min-patients, or name another device column or rule (--device)"
    )


def parse_group(text: str, devices: Devices, what: str) -> tuple[str, ...]:
    """The devices that a text names: one, or several joined by ``+``, in its order.

    Raises
    ------
    ConfigurationError
        One of them is not there, or has too few patients.

    Examples
    --------
    >>> table = pa.table({"cluster_id": list("abc"), "device": ["A", "A+", "B"]})
    >>> devices = usable_devices(table, min_patients=1)
    >>> parse_group("A + B", devices, "in_distribution"), parse_group("A+", devices, "")
    (('A', 'B'), ('A+',))
    """
    if text in devices.names:
        return (text,)
    group = tuple(dict.fromkeys(part.strip() for part in text.split("+")))
    for name in group:
        if name in devices.names:
            continue
        for d in devices.dropped:
            if d.where == name:
                raise ConfigurationError(
                    f"{what} names the device {name!r}, which is left out: {d.reason}; lower "
                    "--min-patients, or name another"
                )
        raise ConfigurationError(
            f"{what} names the device {name!r}, which the source does not have; "
            f"{near_names(name, devices.names)}"
        )
    return group


def _slug(name: str) -> str:
    try:
        return slug(name)
    except ConfigurationError:  # nothing to make one of, or too long
        short = re.sub(r"[^a-z0-9]+", "_", name.casefold())[:_LONGEST].strip("_")
        return f"{short or 'device'}_{_mark(name)}"


def _mark(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:6]


def in_distribution_groups(
    devices: Devices, asked: Sequence[str] = ()
) -> dict[str, tuple[str, ...]]:
    """The in-distribution groups, one a config: those asked for, or else the largest devices.

    Parameters
    ----------
    devices : Devices
    asked : sequence of str
        Each a device, or several joined by ``+``. Empty: the five devices with most patients.

    Returns
    -------
    dict of str to tuple of str
        From the text asked for to the devices.

    Raises
    ------
    ConfigurationError
        A device is not there, or a group is given twice.

    Examples
    --------
    >>> table = pa.table({"cluster_id": list("abc"), "device": ["A", "B", "B"]})
    >>> in_distribution_groups(usable_devices(table, min_patients=1))
    {'B': ('B',), 'A': ('A',)}
    """
    if not asked:
        by_size = sorted(devices.names, key=lambda name: (-devices.patients[name], name))
        return {name: (name,) for name in by_size[:MOST_GROUPS]}
    groups: dict[str, tuple[str, ...]] = {}
    for text in asked:
        group = parse_group(text, devices, "in_distribution")
        for other, known in groups.items():
            if set(known) == set(group):
                raise ConfigurationError(
                    f"in_distribution names the same devices twice, {other!r} and {text!r}; "
                    "leave one out"
                )
        groups[text] = group
    return groups


def parse_only(only: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Conditions such as ``finding=Pneumonia``; one column twice means either value.

    Raises
    ------
    ConfigurationError
        A text that is no condition.

    Examples
    --------
    >>> parse_only(("finding=Pneumonia", "view=PA"))
    {'finding': ('Pneumonia',), 'view': ('PA',)}
    """
    made: dict[str, tuple[str, ...]] = {}
    for text in only:
        column, sign, value = (part.strip() for part in text.partition("="))
        if not (column and sign and value):
            raise ConfigurationError(
                f"only has {text!r}; give a column, '=' and a value, such as finding=Pneumonia"
            )
        made[column] = (*made.get(column, ()), value)
    return made


def selected(radiographs: pa.Table, only: Mapping[str, Sequence[str]]) -> NDArray[np.bool_]:
    """Which radiographs have one of the given values in each of the given columns.

    Raises
    ------
    ConfigurationError
        A column or value that there is not, or no radiograph is left.

    Examples
    --------
    >>> table = pa.table({"view": ["PA", "AP", "PA"], "sex": ["F", "F", None]})
    >>> selected(table, {"view": ("PA",), "sex": ("F",)}).tolist()
    [True, False, False]
    """
    inside = np.ones(len(radiographs), bool)
    for column, wanted in only.items():
        values = coded(texts(need_column(radiographs, column, "only")))
        for value in wanted:
            if value not in values.names:
                raise ConfigurationError(
                    f"only asks for {column}={value}, which no radiograph has; "
                    f"{near_names(value, values.names)}"
                )
        inside &= np.isin(values.codes, [values.names.index(v) + 1 for v in wanted])
    if len(inside) and not inside.any():
        asked = ", ".join(f"{c}={' or '.join(v)}" for c, v in only.items())
        raise ConfigurationError(f"only asks for {asked}; no radiograph has all of it")
    return inside
