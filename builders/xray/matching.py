"""OOD devices matched to id_test on what else may differ: finding, view, age, sex.

Two devices often serve different wards, so a detector that tells them apart may have seen the
patients and not the device. Here id_test and the OOD sets are trimmed until the chosen columns are
distributed alike; what cannot be matched is said to be confounded, or left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from shiftbench.errors import ConfigurationError

from ._columns import Rows, need_column, numbers
from ._joining import Problem
from ._pairs import Pairing
from ._strata import Strata, make_strata
from .devices import MIN_PATIENTS, Devices, Dropped
from .splits import Divided, choose_ood_validation, split_patients

__all__ = ["Matching", "match_devices", "matchable_devices", "plan_splits"]

_TRIMMED = "no counterpart in the sets that it is matched with"


@dataclass(frozen=True)
class Matching:
    """How devices are matched.

    Attributes
    ----------
    columns : tuple[str, ...]
        What is to be distributed alike, such as ``("finding", "view", "age", "sex")``.
    method : str
        "strata": equal shares of every combination of values. "pairs": a partner for each
        radiograph of id_test, equal in text and near in numbers.
    bins : int
        Quantile bins of a column of numbers with more different values than that (strata).
    equal : bool
        As many radiographs in an OOD set as in id_test, and not several times as many or as few
        (strata).
    unmatched : str
        Devices that cannot be matched: "mark" keeps them, "drop" leaves them out.
    caliper : float
        The largest difference of a pair in each number, in standard deviations. 0.2 as in Austin
        2011, Pharmaceutical Statistics 10:150, there of the logit of the propensity score.

    Examples
    --------
    >>> Matching(("finding", "age"), method="strat")
    Traceback (most recent call last):
    shiftbench.errors.ConfigurationError: match method is 'strat'; allowed: strata, pairs
    """

    columns: tuple[str, ...]
    method: Literal["strata", "pairs"] = "strata"
    bins: int = 4
    equal: bool = False
    unmatched: Literal["mark", "drop"] = "mark"
    caliper: float = 0.2

    def __post_init__(self) -> None:
        for value, allowed, what in (
            (self.method, ("strata", "pairs"), "match method"),
            (self.unmatched, ("mark", "drop"), "unmatched"),
        ):
            if value not in allowed:
                raise ConfigurationError(f"{what} is {value!r}; allowed: {', '.join(allowed)}")
        if self.bins < 1 or not self.caliper > 0:
            raise ConfigurationError(
                f"bins={self.bins}, caliper={self.caliper:g}; give at least one bin and a "
                "caliper above 0"
            )
        if not self.columns:
            raise ConfigurationError("there is no column to match on; name one or several")


def plan_splits(
    radiographs: pa.Table,
    devices: Devices,
    group: tuple[str, ...],
    *,
    matching: Matching | None = None,
    ood_validation: str = "auto",
    validation: float = 0.1,
    test: float = 0.3,
    min_patients: int = MIN_PATIENTS,
    seed: int = 0,
    need_ood: bool = True,
) -> Divided:
    """All splits of one config: patients divided, `ood_validation` chosen, devices matched.

    Parameters are those of `split_patients`, `choose_ood_validation` and `match_devices`.

    Examples
    --------
    >>> from shiftbench.builders.xray.devices import usable_devices
    >>> table = pa.table({
    ...     "example_id": [f"r{i}" for i in range(90)], "cluster_id": [f"p{i}" for i in range(90)],
    ...     "device": ["A"] * 50 + ["B"] * 40, "view": ["PA", "AP"] * 45})
    >>> divided = plan_splits(
    ...     table, usable_devices(table), ("A",), matching=Matching(("view",)))
    >>> divided.matched, {name: len(rows) for name, rows in divided.splits.items()}
    (('B',), {'train': 30, 'validation': 5, 'id_test': 14, 'ood_test_b': 40})
    """
    divided = split_patients(
        radiographs, devices, group, validation=validation, test=test, min_patients=min_patients,
        seed=seed, need_ood=need_ood,
    )  # fmt: skip
    able = None
    if matching and ood_validation == "auto" and len(divided.ood_tests) > 1:
        able = matchable_devices(
            divided, radiographs, matching, min_patients=min_patients, seed=seed
        )
    divided = choose_ood_validation(divided, ood_validation, able)
    if matching is None:
        return divided
    return match_devices(divided, radiographs, matching, min_patients=min_patients, seed=seed)


def matchable_devices(
    divided: Divided,
    radiographs: pa.Table,
    matching: Matching,
    *,
    min_patients: int = MIN_PATIENTS,
    seed: int = 0,
) -> tuple[str, ...]:
    """The OOD devices that could be matched to id_test if each were the only one."""
    problem = _prepared(divided, radiographs, matching, min_patients, seed)
    return tuple(
        name
        for name, rows in divided.ood_tests.items()
        if problem.join(divided.id_test, {name: rows}).sets
    )


def match_devices(
    divided: Divided,
    radiographs: pa.Table,
    matching: Matching,
    *,
    min_patients: int = MIN_PATIENTS,
    seed: int = 0,
) -> Divided:
    """Trim id_test and the OOD sets until the matched columns are distributed alike.

    Parameters
    ----------
    divided : Divided
        From `split_patients`.
    radiographs : pa.Table
        The same table.
    matching : Matching
    min_patients : int
        What id_test and each matched OOD set must keep, see the notes.
    seed : int

    Returns
    -------
    Divided
        `matched` and `confounded` name the devices, `dropped` has what was trimmed, `warnings`
        what must be said loudly, ``notes["matching"]`` the figures.

    Raises
    ------
    ConfigurationError
        An unknown column, one that the device is made of, or no OOD set is left.

    Notes
    -----
    Devices join one after the other, each time the one that leaves most of id_test. A device joins
    if then id_test keeps at least half of the radiographs that it had before any matching and
    nearly their mix (`MOST_MOVED`), and id_test and every matched OOD set `min_patients` patients,
    or half of theirs where that is less.
    With strata there is a unit u(s) of radiographs of stratum s, at most what any of these sets
    has, and each set holds exactly k u(s) with the largest whole k that its own numbers allow
    (`equal`: k = 1); the unit is chosen so that the sets stay large. A device that does not join
    and is kept is trimmed to the strata of id_test, n(s), each to at most k n(s) with the smallest
    whole k that keeps it as large as id_test or all that it has there, and is confounded by
    construction. With pairs, id_test keeps the radiographs that have a partner on every matched
    device.

    `ood_validation` is matched to `validation` by the same rule, or left as it is.
    """
    problem = _prepared(divided, radiographs, matching, min_patients, seed)
    joined = problem.join(divided.id_test, divided.ood_tests)
    strata = problem.strata
    words, warnings = list(divided.words), list(divided.warnings)
    words += problem.remarks + joined.remarks
    dropped = [
        *divided.dropped,
        Dropped("id_test", _TRIMMED, np.setdiff1d(divided.id_test, joined.test)),
    ]
    on = ", ".join(matching.columns)
    tests: dict[str, Rows] = {}
    figures: dict[str, Any] = {}
    for name, before in divided.ood_tests.items():
        if name in joined.sets:
            after = joined.sets[name]
        elif matching.unmatched == "drop":
            after = before[:0]
            words.append(f"device {name!r} left out: it cannot be matched on {on}: "
                         f"{joined.refused[name]}")  # fmt: skip
        else:
            after = problem.nearest(joined.test, before)
            warnings.append(
                f"device {name!r} cannot be matched to {' + '.join(divided.group)!r} on {on}: "
                f"{joined.refused[name]}; it is kept, and CONFOUNDED by construction: a detector "
                f"may tell it apart by {on} alone"
            )
        reason = _TRIMMED if len(after) else f"cannot be matched: {joined.refused[name]}"
        dropped.append(Dropped(name, reason, np.setdiff1d(before, after)))
        figures[name] = {
            "matched": name in joined.sets,
            "before": len(before),
            "kept": len(after),
            "patients": divided.n_patients(after),
            "strata_distance_before": _distance(strata, divided.id_test, before),
            "strata_distance": _distance(strata, joined.test, after) if len(after) else None,
        }
        if name in joined.refused:
            figures[name]["refused"] = joined.refused[name]
        if len(after):
            tests[name] = after
    if divided.ood_tests and not tests:
        raise ConfigurationError(
            f"no device can be matched to {' + '.join(divided.group)!r} on {on}: "
            + "; ".join(f"{name!r}: {why}" for name, why in sorted(joined.refused.items())[:5])
            + "; match on fewer columns, lower --min-patients, or keep them marked as confounded "
            "(--unmatched mark)"
        )
    if divided.ood_tests and not joined.sets:
        warnings.insert(
            0, f"NO device could be matched on {on}: every OOD set of this config is confounded"
        )
    validation, ood_validation = divided.validation, divided.ood_validation
    if len(validation) and len(ood_validation):
        held = problem.join(validation, {"ood_validation": ood_validation}, "validation")
        if held.sets:
            validation, ood_validation = held.test, held.sets["ood_validation"]
            for name, old, new in (
                ("validation", divided.validation, validation),
                ("ood_validation", divided.ood_validation, ood_validation),
            ):
                dropped.append(Dropped(name, _TRIMMED, np.setdiff1d(old, new)))
        else:
            why = held.refused["ood_validation"]
            words.append(f"ood_validation is not matched to validation on {on}: {why}")
    return replace(
        divided,
        id_test=joined.test,
        validation=validation,
        ood_validation=ood_validation,
        ood_tests=tests,
        matched=tuple(sorted(joined.sets)),
        confounded=tuple(sorted(set(tests) - set(joined.sets))),
        dropped=tuple(d for d in dropped if len(d.rows)),
        words=tuple(words),
        warnings=tuple(warnings),
        notes={
            **divided.notes,
            "matching": {
                "columns": list(matching.columns),
                "method": matching.method,
                "id_test_before": len(divided.id_test),
                "id_test": len(joined.test),
                "devices": figures,
            },
        },
    )


def _prepared(
    divided: Divided, radiographs: pa.Table, matching: Matching, min_patients: int, seed: int
) -> Problem:
    """Strata and pairs among id_test, validation and all OOD sets."""
    made_of = {part.strip() for part in divided.devices.rule.split("*")}
    for name in matching.columns:
        if name in made_of:
            raise ConfigurationError(
                f"match names {name!r}, and the device is made of it "
                f"({divided.devices.rule!r}): no two devices have it in common; leave it out"
            )
    columns = tuple(dict.fromkeys(matching.columns))
    sets = [divided.id_test, divided.validation, divided.ood_validation]
    rows = np.unique(np.concatenate([*sets, *divided.ood_tests.values()]))
    taken = {name: need_column(radiographs, name, "match") for name in columns}
    remarks = [
        f"{name!r} is null in all radiographs that were to be matched on it"
        for name, column in taken.items()
        if column.take(pa.array(rows)).null_count == len(rows)
    ]
    strata = make_strata(
        radiographs, rows, columns, divided.devices.patient, bins=matching.bins, seed=seed
    )
    if matching.method == "strata":
        return Problem(strata, None, matching.equal, min_patients, remarks)
    values = {name: v for name in columns if (v := numbers(taken[name])) is not None}
    exact = make_strata(radiographs, rows, columns, divided.devices.patient, bins=1, seed=seed)
    matrix = np.stack(list(values.values()), axis=1) if values else np.zeros((len(radiographs), 0))
    pairing = Pairing(exact, matrix, matching.caliper)
    return Problem(strata, pairing, matching.equal, min_patients, remarks)


def _distance(strata: Strata, a: Rows, b: Rows) -> float:
    """Total variation distance between the shares of the strata."""
    p, q = (strata.count(rows) / max(len(rows), 1) for rows in (a, b))
    return float(np.abs(p - q).sum() / 2)
