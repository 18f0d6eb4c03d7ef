"""Which sets can be matched with a test set at once, and what is left of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ._columns import Rows
from ._pairs import Pairing, pair
from ._strata import Counts, Strata

__all__ = ["KEPT_SHARE", "Joined", "Problem"]

KEPT_SHARE = 0.5
"""A test set keeps at least this share of its radiographs, all that joins it together."""


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
        have = {name: strata.count(sets[name]) for name in sorted(sets)}
        caps = strata.count(test)
        joined: list[str] = []
        refused: dict[str, str] = {}
        while have:
            # Of several that leave as much max takes the first, and the names are sorted.
            best = max(have, key=lambda name: int(np.minimum(caps, have[name]).sum()))
            trial = np.minimum(caps, have.pop(best))
            why = self._refusal(test, strata.draw(test, trial), called) or self._too_few(
                {name: self._multiple(sets[name], trial) for name in [*joined, best]}
            )
            if why:
                refused[best] = why
            else:
                caps = trial
                joined.append(best)
        matched = {name: self._multiple(sets[name], caps) for name in joined}
        return Joined(strata.draw(test, caps), matched, refused, [])

    def _multiple(self, rows: Rows, caps: Counts) -> Rows:
        """The largest whole multiple of the caps that some radiographs hold."""
        used = caps > 0
        k = 1 if self.equal else int((self.strata.count(rows)[used] // caps[used]).min())
        return self.strata.draw(rows, k * caps)

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
                {name: found for name, (_, found) in trial.items()}
            )
            if why:
                refused[name] = why
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
        return self._too_few({called: after})

    def _too_few(self, sets: Mapping[str, Rows]) -> str:
        for name, rows in sets.items():
            n = self.strata.patients(rows)
            if n < self.min_patients:
                return f"{name} would keep {n} patients, fewer than {self.min_patients}"
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


def _restricted(
    partners: Mapping[str, tuple[Rows, Rows]], kept: Rows
) -> dict[str, tuple[Rows, Rows]]:
    inside = {name: np.isin(a, kept) for name, (a, _) in partners.items()}
    return {name: (a[inside[name]], b[inside[name]]) for name, (a, b) in partners.items()}
