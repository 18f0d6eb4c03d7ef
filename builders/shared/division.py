"""Units of independence divided at random into parts that are exchangeable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.statistics import priorities

from .labelled import Labelled

__all__ = ["divide", "random_order", "uniforms", "unit_order", "unit_places"]

Codes = NDArray[np.int64]


def unit_order(
    priority: NDArray[np.uint64], strata: NDArray[np.int64], offsets: NDArray[np.float64]
) -> Codes:
    """The place of each unit in an order in which every stratum is spread evenly.

    Taking units from its head, or from its end, is a systematic sample of every stratum.

    Parameters
    ----------
    priority : (n,) uint64 array
        Random, of each unit.
    strata : (n,) int64 array
        From 0, each of them there.
    offsets : (k,) float64 array
        Random in [0, 1), of each stratum.
    """
    order = np.lexsort((priority, strata))
    sizes = np.bincount(strata)
    begins = np.cumsum(sizes) - sizes
    rank = np.empty(len(priority))
    rank[order] = np.arange(len(priority)) - begins[strata[order]]
    key = (rank + offsets[strata]) / sizes[strata]
    place = np.empty(len(priority), np.int64)
    place[np.lexsort((priority, key))] = np.arange(len(priority))
    return place


def unit_places(
    found: Labelled, seed: int, purpose: str, rows: Codes, strata: Codes | None = None
) -> tuple[Codes, Codes]:
    """The place of each unit of some examples by `unit_order`, and the unit of each example.

    Parameters
    ----------
    rows : (m,) int64 array
        Ascending.
    strata : (n,) int64 array, optional
        Of every example; by default the class. A unit is in the stratum of its first example.

    Returns
    -------
    places : (units,) int64 array
    unit : (m,) int64 array
        Of each of the rows, an index into the places.
    """
    _, first, inverse = np.unique(found.cluster[rows], return_index=True, return_inverse=True)
    stratum = (found.label.codes if strata is None else strata)[rows[first]]
    named, stratum = np.unique(stratum, return_inverse=True)
    names = found.examples["cluster_id"].combine_chunks().take(pa.array(rows[first]))
    place = unit_order(
        priorities(seed, purpose, _texts(names)),
        stratum,
        priorities(seed, f"{purpose} strata", map(str, named.tolist())) / 2.0**64,
    )
    return place, inverse


def divide(
    found: Labelled,
    shares: Mapping[str, float],
    seed: int,
    purpose: str,
    *,
    rows: Codes | None = None,
    strata: Codes | None = None,
) -> dict[str, Codes]:
    """Examples in parts of given shares, whole clusters in each.

    A cluster's part depends on the seed, the purpose and its own name and stratum. Parts are
    exchangeable within strata.

    Parameters
    ----------
    found : Labelled
    shares : mapping
        Of the clusters, by part; what is left of 1 is in no part.
    seed : int
    purpose : str
    rows : (m,) int64 array, optional
        Of the examples to divide; by default all.
    strata : (n,) int64 array, optional
        Of every example, in which the parts are made alike; by default the class. A cluster is in
        the stratum of its first example. All zero: no strata.

    Returns
    -------
    dict of int64 arrays
        Rows of each part, ascending.

    Raises
    ------
    ConfigurationError
        Shares that are not between 0 and 1 or add up to more than 1, or a part with a share above
        0 that gets no cluster.
    """
    total = sum(shares.values())
    if not all(0 <= s <= 1 for s in shares.values()) or total > 1 + 1e-9:
        told = ", ".join(f"{n} {s:g}" for n, s in shares.items())
        raise ConfigurationError(f"the shares {told} are not between 0 and 1, or exceed 1 together")
    every = np.arange(len(found)) if rows is None else np.sort(rows)
    place, inverse = unit_places(found, seed, purpose, every, strata)
    ends = np.rint(np.cumsum([*shares.values()]) * len(place)).astype(np.int64)
    parts: dict[str, Codes] = {}
    begin = 0
    for (name, share), end in zip(shares.items(), ends.tolist(), strict=True):
        inside = (place >= begin) & (place < end)
        if share > 0 and not inside.any():
            raise ConfigurationError(
                f"{len(place)} independent units ({len(every)} examples) are too few for a part "
                f"{name!r} of {share:g} of them; give more examples or larger shares"
            )
        parts[name] = every[inside[inverse]]
        begin = end
    return parts


def random_order(found: Labelled, rows: Codes, seed: int, purpose: str) -> Codes:
    """Rows in a random order, the members of a cluster beside one another.

    The head of the order is a nested sample as it grows.
    """
    ids = found.ids(rows)
    units = found.examples["cluster_id"].combine_chunks().take(pa.array(rows))
    by_unit = priorities(seed, f"{purpose} units", _texts(units))
    by_example = priorities(seed, f"{purpose} examples", _texts(ids))
    return rows[np.lexsort((by_example, by_unit))]


def uniforms(names: pa.Array, seed: int, purpose: str) -> NDArray[np.float64]:
    """One number in [0, 1) a name, which no other name disturbs.

    Parameters
    ----------
    names : (n,) string array
        Ids of examples or of units; the same name gets the same number.
    seed : int
    purpose : str
    """
    return np.asarray(priorities(seed, purpose, _texts(names)) / 2.0**64)


def _texts(array: pa.Array) -> Iterator[str]:
    """The values one after the other, few of them as objects at a time."""
    for start in range(0, len(array), 2**16):
        yield from array.slice(start, 2**16).to_pylist()
