"""A correlation between device and finding made on purpose, and tests where it is gone or turned.

A model trained where nearly all positives come from one device can read the device instead of the
lungs. Here the strength of that shortcut is set, and the same two devices and findings are tested
in other proportions: what changes is how common the four subpopulations are, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.statistics import priorities

from ._columns import Rows, coded, need_column, texts
from .devices import MIN_PATIENTS, Devices, Dropped
from .splits import Divided, check_shares

__all__ = ["plan_shortcut"]

_ALIGNED = (True, False, False, True)
"""Which of the cells (device, finding) = (0, 0), (0, 1), (1, 0), (1, 1) the shortcut joins."""


def plan_shortcut(
    radiographs: pa.Table,
    devices: Devices,
    group: tuple[str, ...],
    rho: float,
    *,
    finding: str = "finding",
    validation: float = 0.1,
    test: float = 0.3,
    min_patients: int = MIN_PATIENTS,
    seed: int = 0,
) -> Divided:
    """Splits in which device and finding correlate with ρ, and tests with 0 and −ρ.

    Parameters
    ----------
    radiographs : pa.Table
        `Metadata.examples` of a source of radiographs.
    devices : Devices
        Of the same table.
    group : tuple of str
        Two devices. The first goes with the first finding in alphabetical order.
    rho : float
        φ (which is Cramér's V of a 2 × 2 table) in train, validation and id_test, in (0, 1]. The
        two aligned cells have the share (1 + ρ)/4 each, the two others (1 − ρ)/4.
    finding : str
        A column with two values.
    validation, test : float
        Sizes relative to train, validation and id_test together. Both OOD tests are as large as
        id_test, ood_validation (balanced) as validation.
    min_patients : int
        What each test must have.
    seed : int

    Returns
    -------
    Divided
        With the `ood_tests` "balanced" and "reversed", and ``notes["shortcut"]``: for each split φ
        as achieved and how many radiographs each cell has.

    Raises
    ------
    ConfigurationError
        Not two devices or findings, ρ out of range, or too few radiographs of a cell.

    Notes
    -----
    Sizes are the largest that a draw in random order can fill, no patient in two splits. A patient
    with images in several cells belongs to the split that draws first; images that this split
    does not need are left out.

    References
    ----------
    Cramér 1946, Mathematical Methods of Statistics, section 21.9 (φ and the contingency table).

    Examples
    --------
    >>> from shiftbench.builders.xray.devices import usable_devices
    >>> table = pa.table({
    ...     "example_id": [f"r{i}" for i in range(400)],
    ...     "cluster_id": [f"p{i}" for i in range(400)],
    ...     "device": ["A", "B"] * 200, "finding": (["no"] * 2 + ["yes"] * 2) * 100})
    >>> made = plan_shortcut(table, usable_devices(table), ("A", "B"), 0.8)
    >>> {name: split["phi"] for name, split in made.notes["shortcut"]["splits"].items()}
    {'train': 0.811, 'validation': 0.778, 'id_test': 0.778, 'ood_validation': 0.0,
     'ood_test_balanced': 0.0, 'ood_test_reversed': -0.778}
    """
    if not 0 < rho <= 1:
        raise ConfigurationError(f"shortcut is {rho:g}; give a correlation above 0 and at most 1")
    check_shares(validation, test)
    if len(group) != 2:
        raise ConfigurationError(
            f"a shortcut joins two devices and the finding, but in_distribution names {len(group)} "
            f"({', '.join(map(repr, group))}); name two, joined by '+'"
        )
    names, cell = _cells(radiographs, devices, group, finding)
    deck = _shuffled(radiographs, devices, cell, seed)
    total = sum(len(rows) for rows in deck.rows)
    tried = [True, False] if validation else [False]
    for with_ood_validation in tried:
        sizes = _Sizes(rho, validation, test, with_ood_validation)
        drawn = _largest(deck, sizes, total, min_patients)
        if drawn is not None:
            break
    else:
        have = ", ".join(f"{n} {len(r)}" for n, r in zip(names, deck.rows, strict=True))
        raise ConfigurationError(
            f"too few radiographs for shortcut={rho:g} on {' + '.join(group)} with "
            f"{min_patients} patients in each test: there are {have}; lower the shortcut or "
            "--min-patients, or take other devices"
        )
    splits = {name: np.sort(np.concatenate(parts)) for name, parts in drawn.items()}
    used = np.concatenate(list(splits.values()))
    inside = devices.rows(group)
    return Divided(
        group,
        devices,
        splits["train"],
        splits.get("validation", inside[:0]),
        splits["id_test"],
        splits.get("ood_validation", inside[:0]),
        {"balanced": splits["ood_test_balanced"], "reversed": splits["ood_test_reversed"]},
        dropped=tuple(d for d in _left_out(inside, used, cell, devices, group) if len(d.rows)),
        words=() if "ood_validation" in splits else ("there is no ood_validation",),
        warnings=_far_off(rho, drawn),
        shift="subpopulation",
        notes={"shortcut": _figures(rho, names, drawn, devices)},
    )


FAR_OFF = 0.1
"""A split whose correlation differs by more from what was asked for is told of."""


def _far_off(rho: float, drawn: Mapping[str, list[Rows]]) -> tuple[str, ...]:
    """Splits too small to have the correlation that was asked for."""
    wanted = {"ood_test_reversed": -rho, "ood_test_balanced": 0.0, "ood_validation": 0.0}
    found = []
    for name, parts in drawn.items():
        n = [len(rows) for rows in parts]
        phi, asked = _phi(n), wanted.get(name, rho)
        if abs(phi - asked) > FAR_OFF:
            found.append(
                f"{name} has {sum(n)} radiographs, too few for a correlation of {asked:g}: it is "
                f"{phi:.2f}"
            )
    return tuple(found)


def _cells(
    radiographs: pa.Table, devices: Devices, group: tuple[str, ...], finding: str
) -> tuple[list[str], NDArray[np.int64]]:
    """Names of the four cells, and the cell of each radiograph: 0 to 3, or −1."""
    inside = devices.rows(group)
    column = need_column(radiographs, finding, "the shortcut")
    found = coded(texts(column.take(pa.array(inside))))
    if len(found.names) != 2:
        shown = ", ".join(map(repr, found.names[:10])) or "none"
        raise ConfigurationError(
            f"a shortcut needs two findings, and the column {finding!r} has {len(found.names)} on "
            f"{' + '.join(group)}: {shown}; take two with --only {finding}=…"
        )
    cell = np.full(len(radiographs), -1, np.int64)
    device = np.where(devices.code[inside] == devices.names.index(group[0]), 0, 1)
    cell[inside] = np.where(found.codes > 0, 2 * device + found.codes - 1, -1)
    return [f"{d} & {f}" for d in group for f in found.names], cell


@dataclass(frozen=True, eq=False)
class _Deck:
    """Rows of each cell in random order, a patient's beside one another."""

    rows: tuple[Rows, ...]
    patient: NDArray[np.int64]


def _shuffled(radiographs: pa.Table, devices: Devices, cell: NDArray[np.int64], seed: int) -> _Deck:
    rows = np.flatnonzero(cell >= 0)
    taken = radiographs.select(["cluster_id", "example_id"]).take(pa.array(rows))
    patient = priorities(seed, "xray shortcut patient", taken["cluster_id"].to_pylist())
    example = priorities(seed, "xray shortcut", taken["example_id"].to_pylist())
    rows = rows[np.lexsort((example, patient))]
    return _Deck(tuple(rows[cell[rows] == c] for c in range(4)), devices.patient)


@dataclass(frozen=True)
class _Sizes:
    """How many radiographs of each cell the splits have, for a size of the whole."""

    rho: float
    validation: float
    test: float
    ood_validation: bool

    def of(self, total: int) -> dict[str, tuple[int, ...]]:
        """Small and scarce splits come first: they are drawn in this order."""
        shares = {
            "ood_test_reversed": (self.test, -self.rho),
            "ood_test_balanced": (self.test, 0.0),
            "id_test": (self.test, self.rho),
            "validation": (self.validation, self.rho),
            "ood_validation": (self.validation if self.ood_validation else 0.0, 0.0),
            "train": (1 - self.validation - self.test, self.rho),
        }
        return {
            name: tuple(
                self._n(share * total * (1 + phi * (1 if together else -1)) / 4)
                for together in _ALIGNED
            )
            for name, (share, phi) in shares.items()
            if share
        }

    def _n(self, exact: float) -> int:
        # A cell that should hold some is not rounded to none: φ would be 1 at once.
        return max(round(exact), 1) if exact > 1e-9 else 0


def _draw(deck: _Deck, sizes: Mapping[str, tuple[int, ...]]) -> dict[str, list[Rows]] | None:
    """Fill the cells of every split; None where one cannot be filled."""
    n = int(deck.patient.max(initial=-1)) + 1
    owner = np.full(n, -1, np.int64)
    drawn: dict[str, list[Rows]] = {}
    for number, (name, wanted) in enumerate(sizes.items()):
        drawn[name] = []
        for rows, want in zip(deck.rows, wanted, strict=True):
            has = owner[deck.patient[rows]]
            # Patients that the split has already come first: nobody else can use them.
            free = np.concatenate([rows[has == number], rows[has == -1]])[:want]
            if len(free) < want:
                return None
            owner[deck.patient[free]] = number
            drawn[name].append(free)
    return drawn


def _largest(
    deck: _Deck, sizes: _Sizes, total: int, min_patients: int
) -> dict[str, list[Rows]] | None:
    """The largest draw; None where a test would have too few patients."""
    low, high, best = 0, total, None
    while low < high:
        size = (low + high + 1) // 2
        drawn = _draw(deck, sizes.of(size))
        if drawn is None:
            high = size - 1
        else:
            low, best = size, drawn
    if best is None:
        return None
    tests = [parts for name, parts in best.items() if name.endswith(_TESTS)]
    if any(len(np.unique(deck.patient[np.concatenate(p)])) < min_patients for p in tests):
        return None
    return {name: best[name] for name in sorted(best, key=_ORDER.index)}


_TESTS = ("id_test", "ood_test_balanced", "ood_test_reversed")
_ORDER = (
    "train", "validation", "id_test", "ood_validation", "ood_test_balanced", "ood_test_reversed",
)  # fmt: skip


def _left_out(
    inside: Rows,
    used: Rows,
    cell: NDArray[np.int64],
    devices: Devices,
    group: tuple[str, ...],
) -> list[Dropped]:
    own = " + ".join(group)
    return [
        Dropped(own, "no finding", inside[cell[inside] < 0]),
        Dropped(
            own,
            "more of its device and finding than the shortcut's proportions take, or its patient "
            "is in a split that needs no more of them",
            np.setdiff1d(inside[cell[inside] >= 0], used),
        ),
        *(
            Dropped(name, "device is not of the shortcut", devices.rows([name]))
            for name in devices.names
            if name not in group
        ),
    ]


def _figures(
    rho: float, names: list[str], drawn: Mapping[str, list[Rows]], devices: Devices
) -> dict[str, object]:
    splits = {}
    for name, parts in drawn.items():
        n = [len(rows) for rows in parts]
        splits[name] = {
            "phi": round(_phi(n), 3),
            "cells": dict(zip(names, n, strict=True)),
            "patients": len(np.unique(devices.patient[np.concatenate(parts)])),
        }
    return {"rho": rho, "aligned": [names[0], names[3]], "splits": splits}


def _phi(n: list[int]) -> float:
    """φ of the table [[n0, n1], [n2, n3]]."""
    margins = (n[0] + n[1]) * (n[2] + n[3]) * (n[0] + n[2]) * (n[1] + n[3])
    return (n[0] * n[3] - n[1] * n[2]) / float(np.sqrt(margins))
