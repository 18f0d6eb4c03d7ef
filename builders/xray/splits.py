"""Patients divided into train, validation and tests, in-distribution and of other devices."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.schema import slug
from shiftbench.statistics import priorities

from ..shared.division import unit_order
from ._columns import Rows, texts
from .devices import MIN_PATIENTS, Devices, Dropped, parse_group

__all__ = ["Divided", "check_shares", "choose_ood_validation", "patient_parts", "split_patients"]

_NONE: Rows = np.empty(0, np.int64)

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Divided:
    """The splits of one config as rows of the radiographs, and what was left out.

    Attributes
    ----------
    group : tuple[str, ...]
        The in-distribution devices.
    devices : Devices
    train, validation, id_test, ood_validation : array of int64
        Rows, ascending; `ood_validation` may be empty.
    ood_tests : Mapping[str, array of int64]
        By device, or by what a shortcut is changed to.
    ood_validation_devices : tuple[str, ...]
    matched, confounded : tuple[str, ...]
        The ood_tests that have id_test's distribution over the matched columns, and those that
        could not be given it. Empty where nothing was matched.
    dropped : tuple[Dropped, ...]
    words, warnings : tuple[str, ...]
        Remarks for the card; what must be said loudly.
    shift : str
        "covariate", or "subpopulation" for a shortcut.
    notes : Mapping[str, Any]
        Figures for the card, JSON-serialisable.
    """

    group: tuple[str, ...]
    devices: Devices
    train: Rows
    validation: Rows
    id_test: Rows
    ood_validation: Rows
    ood_tests: Mapping[str, Rows]
    ood_validation_devices: tuple[str, ...] = ()
    matched: tuple[str, ...] = ()
    confounded: tuple[str, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    words: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    shift: str = "covariate"
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def slugs(self) -> dict[str, str]:
        """What each of the ood_tests is called in a split's name."""
        of_devices = self.devices.slugs
        return {name: of_devices.get(name) or slug(name) for name in self.ood_tests}

    @property
    def splits(self) -> dict[str, Rows]:
        """Every split that is not empty, by its name in the benchmark."""
        slugs = self.slugs
        named = {
            "train": self.train,
            "validation": self.validation,
            "id_test": self.id_test,
            "ood_validation": self.ood_validation,
            **{f"ood_test_{slugs[name]}": rows for name, rows in self.ood_tests.items()},
        }
        return {name: rows for name, rows in named.items() if len(rows)}

    @property
    def counts(self) -> dict[str, dict[str, Any]]:
        """For each device: ``kept`` and ``dropped`` radiographs, and ``reasons`` with how many.

        The two add up to all radiographs of the device.
        """
        names, code = self.devices.names, self.devices.code

        def by_device(rows: Rows) -> list[int]:
            return np.bincount(code[rows], minlength=len(names)).tolist()  # type: ignore[no-any-return]

        rows = [*self.splits.values(), _NONE]
        kept = by_device(np.concatenate(rows))
        counts: dict[str, dict[str, Any]] = {
            name: {"kept": k, "dropped": 0, "reasons": {}}
            for name, k in zip(names, kept, strict=True)
        }
        for d in self.dropped:
            for name, n in zip(names, by_device(d.rows), strict=True):
                if n:
                    reasons = counts[name]["reasons"]
                    reasons[d.reason] = reasons.get(d.reason, 0) + n
                    counts[name]["dropped"] += n
        return counts

    def n_patients(self, rows: Rows) -> int:
        """How many patients some radiographs are of."""
        return len(np.unique(self.devices.patient[rows]))


def split_patients(
    radiographs: pa.Table,
    devices: Devices,
    group: tuple[str, ...],
    *,
    validation: float = 0.1,
    test: float = 0.3,
    min_patients: int = MIN_PATIENTS,
    seed: int = 0,
    need_ood: bool = True,
) -> Divided:
    """Divide the patients of some devices, and make an OOD test of every other device.

    Parameters
    ----------
    radiographs : pa.Table
        `Metadata.examples` of a source of radiographs.
    devices : Devices
        Of the same table.
    group : tuple of str
        The in-distribution devices.
    validation, test : float
        Shares of the group's patients, between 0 and 1.
    min_patients : int
        An OOD device with fewer patients of its own is left out.
    seed : int
    need_ood : bool
        Whether a config without any OOD device is an error.

    Returns
    -------
    Divided
        Not matched yet, and without `ood_validation`.

    Raises
    ------
    ConfigurationError
        Shares that leave nothing to train on or to test, or no OOD device.

    Notes
    -----
    A patient of the group who was also imaged on other devices is in-distribution, with the
    group's images alone. No patient with images on several of the devices that are used is in an
    OOD split: so no patient is in two splits, whichever device is in-distribution.

    Examples
    --------
    >>> from shiftbench.builders.xray.devices import usable_devices
    >>> table = pa.table({
    ...     "example_id": [f"r{i}" for i in range(30)], "cluster_id": [f"p{i}" for i in range(30)],
    ...     "device": ["A"] * 20 + ["B"] * 10})
    >>> divided = split_patients(table, usable_devices(table), ("A",))
    >>> {name: len(rows) for name, rows in divided.splits.items()}
    {'train': 12, 'validation': 2, 'id_test': 6, 'ood_test_b': 10}
    """
    inside = devices.rows(group)
    parts = patient_parts(radiographs, inside, validation=validation, test=test, seed=seed)
    for name in ("train", "id_test") + (("validation",) if validation else ()):
        if not len(parts[name]):
            raise ConfigurationError(
                f"the in-distribution device {_called(group)} has "
                f"{len(np.unique(devices.patient[inside]))} patients, too few for a {name} split "
                f"with validation={validation:g} and test={test:g}; change these, or join devices "
                "with '+'"
            )
    several = _patients_on_several(devices)
    ood_tests: dict[str, Rows] = {}
    dropped: list[Dropped] = []
    for name in devices.names:
        if name in group:
            continue
        rows = devices.rows([name])
        elsewhere = several[devices.patient[rows]]
        dropped.append(Dropped(name, "patient imaged on several devices", rows[elsewhere]))
        rows = rows[~elsewhere]
        if len(np.unique(devices.patient[rows])) < max(min_patients, 1):
            reason = f"fewer than {min_patients} patients imaged on this device alone"
            dropped.append(Dropped(name, reason, rows))
        else:
            ood_tests[name] = rows
    if need_ood and not ood_tests:
        raise ConfigurationError(
            f"no device but {_called(group)} has {min_patients} patients that were imaged on it "
            "alone, so there is no OOD set; lower --min-patients, or name another in-distribution "
            "device"
        )
    n = len(np.unique(devices.patient[parts["id_test"]]))
    few = f"id_test has {n} patients only: every figure from it is uncertain"
    return Divided(
        group, devices, parts["train"], parts["validation"], parts["id_test"], _NONE, ood_tests,
        dropped=tuple(d for d in dropped if len(d.rows)),
        words=(few,) if n < min_patients else (),
    )  # fmt: skip


def patient_parts(
    radiographs: pa.Table, rows: Rows, *, validation: float, test: float, seed: int
) -> dict[str, Rows]:
    """Some radiographs as train, validation and id_test, whole patients in each.

    The patients come in a random order in which every finding and view (of a patient's first
    radiograph) is spread evenly, so that the parts are alike in these even where patients are few.
    Tests are taken from its head and validation from its end: a larger share holds the patients of
    a smaller one, and neither moves the other.

    Raises
    ------
    ConfigurationError
        Shares below 0, or that leave nothing to train on.
    """
    check_shares(validation, test)
    encoded = radiographs["cluster_id"].take(pa.array(rows)).combine_chunks().dictionary_encode()
    patient = encoded.indices.to_numpy(zero_copy_only=False)
    names = encoded.dictionary.to_pylist()
    place = _spread_evenly(names, _strata_of(radiographs, rows, patient), seed)[patient]
    n_test = round(test * len(names))
    begin = len(names) - round(validation * len(names))
    return {
        "train": rows[(place >= n_test) & (place < begin)],
        "validation": rows[place >= max(begin, n_test)],
        "id_test": rows[place < n_test],
    }


SPREAD = ("finding", "view")
"""Columns by which the parts are made alike, where the source has them."""


def _strata_of(radiographs: pa.Table, rows: Rows, patient: Codes) -> list[str]:
    """Of each patient the values of `SPREAD` in the first radiograph."""
    taken = radiographs.take(pa.array(rows))
    parts = [texts(taken[name]) for name in SPREAD if name in taken.column_names]
    order = np.asarray(pc.sort_indices(taken["example_id"]))
    found = [""] * (int(patient.max(initial=-1)) + 1)
    for row in order[::-1].tolist():
        found[patient[row]] = "\x1f".join(part[row] or "" for part in parts)
    return found


def _spread_evenly(names: list[str], strata: list[str], seed: int) -> Codes:
    """The place of each patient: a systematic sample of every stratum, however many are taken."""
    named, stratum = np.unique(strata, return_inverse=True)
    offsets = priorities(seed, "xray strata", named.tolist()) / 2.0**64
    return unit_order(priorities(seed, "xray split", names), stratum, offsets)


def check_shares(validation: float, test: float) -> None:
    """Refuse shares of which nothing is left to train on.

    Raises
    ------
    ConfigurationError
        With what is allowed.
    """
    if not (validation >= 0 and test > 0 and validation + test < 1):
        raise ConfigurationError(
            f"validation={validation:g} and test={test:g}; give shares, validation 0 or more and "
            "test above 0, that leave some to train on"
        )


def choose_ood_validation(
    divided: Divided, asked: str = "auto", matchable: Collection[str] | None = None
) -> Divided:
    """Make some of the OOD devices `ood_validation` instead of tests.

    Parameters
    ----------
    divided : Divided
    asked : str
        A device, several joined by ``+``, "none", or "auto": the one with fewest patients.
    matchable : collection of str, optional
        The devices that can be matched to id_test. "auto" never takes the only one.

    Raises
    ------
    ConfigurationError
        A device that there is not, or no device is left to test on.

    Examples
    --------
    >>> from shiftbench.builders.xray.devices import usable_devices
    >>> table = pa.table({
    ...     "example_id": [f"r{i}" for i in range(45)], "cluster_id": [f"p{i}" for i in range(45)],
    ...     "device": ["A"] * 20 + ["B"] * 10 + ["C"] * 15})
    >>> divided = split_patients(table, usable_devices(table), ("A",))
    >>> list(choose_ood_validation(divided).splits)
    ['train', 'validation', 'id_test', 'ood_validation', 'ood_test_c']
    >>> choose_ood_validation(divided, "auto", matchable=["B"]).ood_validation_devices
    ('C',)
    """
    if asked == "none":
        return replace(divided, words=(*divided.words, "no ood_validation was asked for"))
    if asked == "auto":
        chosen, word = _automatic(divided, matchable)
    else:
        named = parse_group(asked, divided.devices, "ood_validation")
        chosen = tuple(name for name in named if name in divided.ood_tests)
        gone = [name for name in named if name not in chosen]
        word = ""
        if gone:
            word = (
                f"not in ood_validation: {', '.join(map(repr, gone))} (in-distribution here, or "
                "with too few patients of its own)"
            )
        if chosen and len(chosen) == len(divided.ood_tests):
            raise ConfigurationError(
                f"ood_validation={asked!r} leaves no device for an OOD test of "
                f"{_called(divided.group)}; name fewer, or 'none'"
            )
    if not chosen:
        word = word or "there is no ood_validation"
        if asked != "auto":  # somebody counts on it
            loud = f"there is NO ood_validation, although {asked!r} was asked for: {word}"
            return replace(divided, warnings=(*divided.warnings, loud))
        return replace(divided, words=(*divided.words, word))
    rows = np.sort(np.concatenate([divided.ood_tests[name] for name in chosen]))
    left = {name: r for name, r in divided.ood_tests.items() if name not in chosen}
    return replace(
        divided,
        ood_validation=rows,
        ood_tests=left,
        ood_validation_devices=tuple(sorted(chosen)),
        words=(*divided.words, word) if word else divided.words,
    )


def _automatic(divided: Divided, matchable: Collection[str] | None) -> tuple[tuple[str, ...], str]:
    """The device with fewest patients: the tests, whose intervals are reported, keep the most."""
    n = {name: divided.n_patients(rows) for name, rows in divided.ood_tests.items()}
    if len(n) < 2:
        return (), "there is no ood_validation: only one other device has enough patients"
    spared = [name for name in n if matchable is not None and set(matchable) & set(n) == {name}]
    chosen = min((name for name in n if name not in spared), key=lambda name: (n[name], name))
    return (chosen,), ""


def _patients_on_several(devices: Devices) -> Any:
    """For each patient, whether there are images of several of the devices that are used."""
    seen = devices.code >= 0
    pairs = np.unique(np.stack([devices.patient[seen], devices.code[seen]]), axis=1)
    n = int(devices.patient.max(initial=-1)) + 1
    return np.bincount(pairs[0], minlength=n) > 1


def _called(group: tuple[str, ...]) -> str:
    return " + ".join(map(repr, group))
