"""Who is imaged, when and on what: the rows of the phantoms before any picture is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.sources._phantom_detector import Device, Exposure, devices
from shiftbench.statistics import priorities

__all__ = ["FINDINGS", "KVP_STEP", "Cohort", "Row", "rows_of"]

Floats = NDArray[np.float64]

FINDINGS = ("No Finding", "Opacity")
KVP_STEP = 5.0  # a radiograph is taken at the device's voltage, or this much above or below


@dataclass(frozen=True)
class Cohort:
    """Those options of `Phantoms` that say who is imaged; the devices by name."""

    seed: int
    devices: tuple[str, ...]
    prevalence: float
    repeated: float
    shared_devices: float
    bedside: float
    confounding: float


@dataclass(frozen=True)
class Row:
    """What is known of one radiograph before it is computed."""

    radiograph: str
    patient: str
    device: str
    view: str
    finding: str
    age: int
    sex: str
    kvp: float
    dose_ugy: float

    def exposure(self, size: int) -> Exposure:
        """How it is taken."""
        device = devices()[self.device]
        scatter = device.scatter_ap if self.view == "AP" else device.scatter_pa
        return Exposure(device, size, self.kvp, self.dose_ugy, scatter, bits=device.bits)


def rows_of(cohort: Cohort, patients: Sequence[int]) -> list[Row]:
    """The radiographs of some patients, each from random numbers of its own."""
    names = cohort.devices
    ids = [f"phantom-patient-{k:06d}" for k in patients]
    device = _below(len(names), _uniform(cohort, "device", ids))
    lean = _lean(cohort, device)
    sick = _uniform(cohort, "finding", ids) < _leaning(cohort.prevalence, 2.0 * lean)
    male = _uniform(cohort, "sex", ids) < _leaning(0.52, 1.2 * lean)
    older = _uniform(cohort, "age", ids) * 0.7 + _uniform(cohort, "age, further", ids) * 0.3
    age = np.clip(18 + 70 * older + 18 * lean, 18, 89).astype(int)
    pair = _uniform(cohort, "second radiograph", ids)
    shared = pair < cohort.shared_devices
    moves = shared & (len(names) > 1)
    twice = moves | (~shared & (pair < cohort.shared_devices + cohort.repeated))
    step = 1 + _below(len(names) - 1, _uniform(cohort, "second device", ids))
    images = [(i, n) for i in range(len(ids)) for n in (1, 2)[: 1 + int(twice[i])]]
    radiographs = [f"phantom-{patients[i]:06d}-{n}" for i, n in images]
    owner = np.array([i for i, _ in images], int)
    moved = moves[owner] & (np.array([n for _, n in images], int) == 2)
    used = (device[owner] + np.where(moved, step[owner], 0)) % len(names)
    bedside = _uniform(cohort, "view", radiographs) < _leaning(
        cohort.bedside, 2.0 * _other_lean(cohort, device)[owner]
    )
    voltage = _below(3, _uniform(cohort, "kvp", radiographs)) - 1
    # The exposure control ends within some 25 % of what it aims at, and patients differ.
    spread = np.exp(0.5 * (_uniform(cohort, "dose", radiographs) - 0.5))
    made = []
    for n, i in enumerate(owner.tolist()):
        profile: Device = devices()[names[used[n]]]
        made.append(
            Row(
                radiographs[n],
                ids[i],
                profile.name,
                "AP" if bedside[n] else "PA",
                FINDINGS[int(sick[i])],
                int(age[i]),
                "M" if male[i] else "F",
                (profile.kvp_ap if bedside[n] else profile.kvp_pa) + int(voltage[n]) * KVP_STEP,
                round(float(profile.dose_ugy * spread[n]), 3),
            )
        )
    return made


def _lean(cohort: Cohort, device: NDArray[np.int64]) -> Floats:
    """From −1 for the first device to 1 for the last: where finding, age and sex lean."""
    return np.asarray(cohort.confounding * (2 * device / max(len(cohort.devices) - 1, 1) - 1))


def _other_lean(cohort: Cohort, device: NDArray[np.int64]) -> Floats:
    """Where the view leans: by turns, so that it does not follow the finding."""
    side = np.where(device % 2, 1.0, -1.0) * (len(cohort.devices) > 1)
    return np.asarray(cohort.confounding * side)


def _below(n: int, uniform: Floats) -> NDArray[np.int64]:
    return np.floor(uniform * n).astype(np.int64)


def _uniform(cohort: Cohort, what: str, ids: Sequence[str]) -> Floats:
    """A number from 0 to 1 for each id."""
    drawn = priorities(cohort.seed, f"phantom {what}", ids) >> np.uint64(11)
    return drawn.astype(np.float64) * 2.0**-53


def _leaning(share: float, by: Any) -> Any:
    """A share moved on the logistic scale; 0 and 1 stay."""
    odds = np.exp(by)
    return share * odds / (share * odds + 1 - share)
