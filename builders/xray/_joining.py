"""Which sets can be matched with a test set at once, and what is left of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ._columns import Rows
from ._pairs import Pairing, pair
from ._strata import Counts, Strata

__all__ = ["KEPT_SHARE", "MOST_MOVED", "Joined", "Problem"]

KEPT_SHARE = 0.5
"""A test set keeps at least this share of its radiographs, all that joins it together."""

MOST_MOVED = 0.2
"""Total variation by which the shares of a test set's strata may change: it stands for what was
trained on, and a test of one finding alone would not."""

MOST_TIMES = 64
"""How many times as large as the least matched set a test set may stay."""

_ONE_TO_ONE = " (pairs are one to one; strata keep more of it where devices differ in size)"


@dataclass(frozen=True, eq=False)
class Joined:
    """What is left of a test set and of the sets matched with it; why others did not join."""

    test: Rows
    sets: Mapping[str, Rows]
    refused: Mapping[str, str]
    remarks: list[str]


@dataclass(frozen=True, eq=False)
class Problem:
    """What matching is by: strata, or pairs where `pairing` is given.

    `equal`: a set is as large as the test set, and no multiple of it.
    """

    strata: Strata
    pairing: Pairing | None
    equal: bool
    min_patients: int
    remarks: list[str]

    def join(self, test: Rows, sets: Mapping[str, Rows], called: str = "id_test") -> Joined:
        """Let sets join a test set, each time the one that leaves most of it."""
        if self.pairing is not None:
            return self._join_pairs(self.pairing, test, sets, called)
        return self._join_strata(test, sets, called)

    def _join_strata(self, test: Rows, sets: Mapping[str, Rows], called: str) -> Joined:
        strata = self.strata
        a = strata.count(test)
        have = {name: strata.count(sets[name]) for name in sorted(sets)}
        waiting, joined = list(have), list[str]()
        refused: dict[str, str] = {}
        unit = a
        while waiting:
            units = {n: self._unit(a, [have[m] for m in [*joined, n]]) for n in waiting}
            # Of several that leave as much max takes the first, and the names are sorted.
            best = max(waiting, key=lambda name: _filled(a, units[name]))
            waiting.remove(best)
            trial = units[best]
            why = self._refusal(test, self._multiple(test, trial), called) or self._too_few(
                {name: self._multiple(sets[name], trial) for name in [*joined, best]}, sets
            )
            if why:
                refused[best] = why
            else:
                unit = trial
                joined.append(best)
        matched = {name: self._multiple(sets[name], unit) for name in joined}
        return Joined(self._multiple(test, unit) if joined else test, matched, refused, [])

    def _unit(self, a: Counts, sets: list[Counts]) -> Counts:
        """Numbers of each stratum of which the test set and all others are to hold multiples.

        A multiple of the test set too: or else a device with a tenth of its radiographs, all alike,
        could not be matched to it. Of the units that keep enough of the test set the one is taken
        for which 1/n + 1/m, the scale of an AUROC's variance, is least on average over the sets.
        """
        others: Counts = np.min(sets, axis=0)
        if self.equal:
            return np.minimum(a, others)
        units = np.minimum(a // np.arange(1, MOST_TIMES + 1)[:, None], others)
        units = units[units.any(axis=1)]
        if not len(units):
            return np.zeros_like(a)
        all_counts = np.stack([a, *sets])[:, None, :]
        fits = np.where(units > 0, all_counts // np.maximum(units, 1), np.iinfo(np.int64).max)
        sizes = fits.min(axis=2) * units.sum(axis=1)
        variance = 1 / sizes[0] + (1 / sizes[1:]).mean(axis=0)
        too_small = sizes[0] < KEPT_SHARE * a.sum()
        best: Counts = units[np.lexsort((variance, too_small))[0]]
        return best

    def _multiple(self, rows: Rows, unit: Counts) -> Rows:
        """The largest whole multiple of the unit that some radiographs hold."""
        k = 1 if self.equal else _times(self.strata.count(rows), unit)
        return self.strata.draw(rows, k * unit)

    def _join_pairs(
        self, pairing: Pairing, test: Rows, sets: Mapping[str, Rows], called: str
    ) -> Joined:
        alone = {name: pair(pairing, test, sets[name]) for name in sorted(sets)}
        left = test
        partners: dict[str, tuple[Rows, Rows]] = {}
        refused: dict[str, str] = {}
        for name in sorted(alone, key=lambda name: -len(alone[name][0])):
            whole = len(left) == len(test)
            a, b, _ = alone[name] if whole else pair(pairing, left, sets[name])
            trial = _restricted({**partners, name: (a, b)}, a)
            why = self._refusal(test, a, called) or self._too_few(
                {name: found for name, (_, found) in trial.items()}, sets
            )
            if why:
                small = len(sets[name]) < KEPT_SHARE * len(test)
                refused[name] = why + (_ONE_TO_ONE if small else "")
            else:
                left, partners = np.sort(a), trial
        cut = sorted(name for name in alone if alone[name][2])
        remark = (
            f"strata too large for one assignment ({', '.join(map(repr, cut))}) were divided at "
            "medians of the numbers' first principal axis, and paired within the parts"
        )
        matched = {name: np.sort(b) for name, (_, b) in partners.items()}
        return Joined(left, matched, refused, [remark] if cut else [])

    def _refusal(self, before: Rows, after: Rows, called: str) -> str:
        """Why a test set would be too small; empty where it is not."""
        if len(after) < KEPT_SHARE * len(before) or not len(after):
            return (
                f"{called} would keep {len(after)} of {len(before)} radiographs, less than "
                f"{KEPT_SHARE:.0%}"
            )
        shares = [self.strata.count(rows) / len(rows) for rows in (before, after)]
        moved = float(np.abs(shares[0] - shares[1]).sum() / 2)
        if moved > MOST_MOVED:
            return (
                f"{called} would be another mix: {moved:.0%} of it would move between the values, "
                f"more than {MOST_MOVED:.0%}"
            )
        return self._too_few({called: after}, {called: before})

    def _too_few(self, sets: Mapping[str, Rows], before: Mapping[str, Rows]) -> str:
        """Half the patients will do where there were fewer than twice `min_patients`."""
        for name, rows in sets.items():
            n = self.strata.patients(rows)
            need = min(self.min_patients, -(-self.strata.patients(before[name]) // 2))
            if n < need:
                return f"{name} would keep {n} patients, fewer than {need}"
        return ""

    def nearest(self, test: Rows, rows: Rows) -> Rows:
        """A set that cannot be matched, as near to a test's strata as its size allows."""
        strata = self.strata
        caps = strata.count(test)
        have = strata.count(rows)
        used = caps > 0
        enough = min(len(test), int(have[used].sum()))
        low, high = 1, int((have[used] // caps[used]).max(initial=0)) + 1
        while low < high:
            k = (low + high) // 2
            drawn = strata.draw(rows, k * caps)
            if len(drawn) >= enough and strata.patients(drawn) >= self.min_patients:
                high = k
            else:
                low = k + 1
        drawn = strata.draw(rows, low * caps)
        return drawn if strata.patients(drawn) >= self.min_patients else rows


def _times(have: Counts, unit: Counts) -> int:
    """How many times some numbers hold the unit."""
    used = unit > 0
    return int((have[used] // unit[used]).min()) if used.any() else 0


def _filled(have: Counts, unit: Counts) -> int:
    return _times(have, unit) * int(unit.sum())


def _restricted(
    partners: Mapping[str, tuple[Rows, Rows]], kept: Rows
) -> dict[str, tuple[Rows, Rows]]:
    inside = {name: np.isin(a, kept) for name, (a, _) in partners.items()}
    return {name: (a[inside[name]], b[inside[name]]) for name, (a, b) in partners.items()}
