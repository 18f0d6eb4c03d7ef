"""The examples of the common and of the counter contexts, no cluster among both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.statistics import priorities

from ..shared.labelled import Labelled
from .counter_choice import Choice
from .counter_members import Members

__all__ = ["Sides"]

Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Sides:
    """Which examples are in the common and which in the counter context of their class.

    No cluster has examples of both: a cluster that does goes to one of them, by the seed and its
    name alone, in every part alike.

    Attributes
    ----------
    label : (n,) int64 array
    common, counter : (n,) bool arrays
    dropped : int
        Examples left out since their cluster went to the other side.
    """

    label: Codes
    common: Flags
    counter: Flags
    dropped: int

    @classmethod
    def of(cls, found: Labelled, members: Members, choices: Sequence[Choice], seed: int) -> Sides:
        """From the contexts chosen for each class."""
        label, n = found.label.codes, len(found)
        inside = []
        for side in ("common", "counter"):
            place = np.full(len(found.label.names), -1, np.int64)
            for choice in choices:
                place[choice.label] = getattr(choice, side)
            inside.append(members.inside(n, place[label]))
        common, counter = inside[0] & ~inside[1], inside[1] & ~inside[0]
        n_units = int(found.cluster.max()) + 1
        both = np.bincount(found.cluster[common], minlength=n_units) > 0
        both &= np.bincount(found.cluster[counter], minlength=n_units) > 0
        first = np.full(n_units, n, np.int64)
        np.minimum.at(first, found.cluster, np.arange(n))
        mixed = np.flatnonzero(both)
        units = found.examples["cluster_id"].take(pa.array(first[mixed])).to_pylist()
        heads = np.zeros(n_units, bool)
        heads[mixed] = priorities(seed, "counter side", units) % np.uint64(2) == 1
        gone_common = common & both[found.cluster] & ~heads[found.cluster]
        gone_counter = counter & both[found.cluster] & heads[found.cluster]
        dropped = int(gone_common.sum() + gone_counter.sum())
        return cls(label, common & ~gone_common, counter & ~gone_counter, dropped)

    def rows(self, part: Codes, side: str, labels: Sequence[int]) -> Codes:
        """Those of a part that are on one side, of some classes."""
        flags: Flags = getattr(self, side)
        wanted = np.zeros(int(self.label.max(initial=0)) + 1, bool)
        wanted[list(labels)] = True
        return part[flags[part] & wanted[self.label[part]]]

    def smallest(self, choice: Choice, parts: Sequence[Codes]) -> int:
        """Of the two sides of a class on some parts, the fewest examples."""
        return min(
            len(self.rows(p, side, [choice.label])) for p in parts for side in ("common", "counter")
        )

    def of_classes(self, part: Codes, kept: Sequence[Choice]) -> Codes:
        """Those of a part on either side, of the classes that are kept."""
        labels = [c.label for c in kept]
        return np.sort(
            np.concatenate([self.rows(part, side, labels) for side in ("common", "counter")])
        )
