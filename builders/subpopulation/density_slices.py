"""Which slices of which volumes a variant of a segmentation set takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.statistics import priorities

from ..shared.categories import Categories
from ..shared.division import unit_order
from ..shared.labelled import Labelled

__all__ = ["DENSE", "SPARSE", "VARIANTS", "Slices", "Taking"]

Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]

Taking = Literal["random", "order"]

SPARSE, DENSE = 0, 1

VARIANTS = (
    "full",
    "half_volume",
    "half_slice",
    "half_volume_sparse",
    "half_slice_sparse",
    "dense",
)

_HALVED_VOLUMES = ("half_volume", "half_volume_sparse")


@dataclass(frozen=True, eq=False)
class Slices:
    """Slices of volumes, in order of their ids.

    Attributes
    ----------
    found : Labelled
        Its `label` is `SPARSE` or `DENSE`.
    volume : Categories
        Of each slice; all slices of a volume are of one cluster.
    seed : int
    taking : {"random", "order"}
        "random": see `take`. "order": AdaWAC's rules, by the place in the volume.
    """

    found: Labelled
    volume: Categories
    seed: int
    taking: Taking

    @property
    def dense(self) -> Flags:
        """(n,) which are dense."""
        return np.asarray(self.found.label.codes == DENSE)

    def take(self, rows: Codes, variant: str, *, test: bool = False) -> Codes:
        """Those of some slices, whole volumes of them, that a variant takes.

        ======================  ============================================================
        variant                 taken of the training volumes
        ======================  ============================================================
        ``full``                every slice
        ``half_volume``         every slice of half of the volumes
        ``half_slice``          half of the dense and half of the sparse slices of each volume
        ``half_volume_sparse``  of half of the volumes every sparse and half of the dense slices
        ``half_slice_sparse``   half as many slices as there are, a sparse one twice as likely
                                to be among them as a dense one
        ``dense``               every dense slice
        ======================  ============================================================

        All of that at random, nested in one another, so that slices are exchangeable within the
        dense and within the sparse ones. With ``taking="order"``: ``half_slice`` every second
        slice, from the first; ``half_slice_sparse`` the slices of each volume up to its middle;
        ``half_volume_sparse`` all slices of the volumes with the largest share of sparse ones.

        Parameters
        ----------
        rows : (m,) int64 array
            Ascending.
        variant : str
            One of `VARIANTS`.
        test : bool
            For validation and test, which are not made smaller: dense and sparse slices in the
            variant's proportion, of all volumes.
        """
        if variant not in VARIANTS:
            raise ConfigurationError(f"variants names {variant!r}; allowed: {', '.join(VARIANTS)}")
        if variant == "dense":
            return rows[self.dense[rows]]
        if variant == "full" or (test and variant in ("half_volume", "half_slice")):
            return rows
        if self.taking == "order":
            return self._by_order(rows, variant)
        if variant in _HALVED_VOLUMES and not test:
            rows = self._half_of_volumes(rows)
        if variant == "half_volume":
            return rows
        if variant == "half_slice":
            return self._shares(rows, 0.5, 0.5)
        if variant == "half_volume_sparse" or test:
            return self._shares(rows, 0.5, 1.0)
        sparse = float(np.mean(~self.dense[rows])) if len(rows) else 0.0
        return self._shares(rows, 0.5 / (1 + sparse), 1 / (1 + sparse))

    def _by_order(self, rows: Codes, variant: str) -> Codes:
        """AdaWAC's rules; "half_volume" has no order to go by and stays random."""
        volume = self.volume.codes[rows]
        sizes = np.bincount(volume, minlength=len(self.volume.names))
        if variant == "half_volume":
            return self._half_of_volumes(rows)
        if variant == "half_volume_sparse":
            n_sparse = np.bincount(volume[~self.dense[rows]], minlength=len(sizes))
            there = np.flatnonzero(sizes)
            ranked = there[np.argsort(-(n_sparse[there] / sizes[there]), kind="stable")]
            return rows[np.isin(volume, ranked[: max(len(there) // 2, 1)])]
        order = np.argsort(volume, kind="stable")
        place = np.empty(len(rows), np.int64)
        begins = np.cumsum(sizes) - sizes
        place[order] = np.arange(len(rows)) - begins[volume[order]]
        kept = place % 2 == 0 if variant == "half_slice" else place <= sizes[volume] // 2
        return rows[kept]

    def _half_of_volumes(self, rows: Codes) -> Codes:
        """Whole volumes by priority, half of them."""
        volume = self.volume.codes[rows]
        there = np.unique(volume)
        drawn = priorities(self.seed, "density volumes", [self.volume.names[i] for i in there])
        kept = there[np.argsort(drawn, kind="stable")[: max(len(there) // 2, 1)]]
        return rows[np.isin(volume, kept)]

    def _shares(self, rows: Codes, dense: float, sparse: float) -> Codes:
        """Shares of the dense and of the sparse slices, spread evenly over the volumes."""
        taken = []
        ids = self.found.examples["example_id"].combine_chunks()
        for code, share in ((SPARSE, sparse), (DENSE, dense)):
            mine = rows[self.found.label.codes[rows] == code]
            there, stratum = np.unique(self.volume.codes[mine], return_inverse=True)
            names = (self.volume.names[i] for i in there)
            drawn = priorities(self.seed, "density slices", _texts(ids.take(pa.array(mine))))
            offsets = priorities(self.seed, f"density strata {code}", names) / 2.0**64
            place = unit_order(drawn, stratum, offsets)
            taken.append(mine[place < round(share * len(mine))])
        return np.sort(np.concatenate(taken))


def _texts(array: pa.Array) -> Iterator[str]:
    """The values one after the other, few of them as objects at a time."""
    for start in range(0, len(array), 2**16):
        yield from array.slice(start, 2**16).to_pylist()
