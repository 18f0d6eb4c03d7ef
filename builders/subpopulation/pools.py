"""Whole clusters set apart for each split, before any count is asked for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError

from ..shared.division import uniforms, unit_places
from ..shared.labelled import Labelled

__all__ = ["make_pools"]

Rows = NDArray[np.int64]

PURPOSE = "subpopulation"

_HEAD = ("ood_test", "id_test", "validation")
_TAIL = ("target_unlabeled", "train_unlabeled", "ood_test_reversed")
"""From the end of the order inwards: what is further in moves nothing that is further out."""


def make_pools(
    found: Labelled,
    strata: NDArray[np.int64],
    shares: Mapping[str, float],
    seed: int,
    *,
    tested: NDArray[np.bool_] | None = None,
) -> dict[str, Rows]:
    """The examples each split may take, in the order in which it takes them.

    Units of independence come in a random order in which every stratum is spread evenly. Tests and
    validation are cut from its head, unlabelled and reversed sets from its end, and training has
    what is between. So pools are exchangeable within strata, none moves because another set is
    asked for, but for training's end, and how many examples a split takes does not change which
    come first.

    Parameters
    ----------
    found : Labelled
    strata : (n,) int64 array
        Of each example, such as its cell; −1 for examples that no split takes.
    shares : mapping
        Of the units, by split but for ``train``.
    seed : int
    tested : (n,) bool array, optional
        Clusters that have such examples alone are all in the pool ``ood_test``, but for those of
        the target's unlabelled set.

    Returns
    -------
    dict of int64 arrays
        Rows in order, members of a cluster beside one another.

    Raises
    ------
    ConfigurationError
        Shares of which nothing is left to train on.
    """
    total = sum(shares.values())
    if not all(0 <= s < 1 for s in shares.values()) or total >= 1:
        told = ", ".join(f"{n} {s:g}" for n, s in shares.items() if s)
        raise ConfigurationError(
            f"the shares of the splits ({told}) leave nothing to train on, or are not between 0 "
            "and 1; lower them"
        )
    rows = np.flatnonzero(strata >= 0)
    places, unit = unit_places(found, seed, PURPOSE, rows, strata)
    parts = np.full(len(places), "train", dtype="<U18")
    wholly = np.zeros(len(places), bool)
    if tested is not None:
        wholly[unit] = True
        wholly[unit[~tested[rows]]] = False
    for name, begin, end in _bounds(shares, len(places)):
        parts[(places >= begin) & (places < end)] = name
    parts[wholly & (parts != "target_unlabeled")] = "ood_test"
    if len(places) == len(rows):
        order = np.argsort(places[unit], kind="stable")
    else:
        within = uniforms(found.ids(rows), seed, f"{PURPOSE} within a cluster")
        order = np.lexsort((within, places[unit]))
    part = parts[unit][order]
    return {name: rows[order[part == name]] for name in ("train", *shares)}


def _bounds(shares: Mapping[str, float], n: int) -> list[tuple[str, int, int]]:
    found = []
    head = tail = 0.0
    for name in _HEAD:
        share = shares.get(name, 0.0)
        found.append((name, round(head * n), round((head + share) * n)))
        head += share
    for name in _TAIL:
        share = shares.get(name, 0.0)
        found.append((name, n - round((tail + share) * n), n - round(tail * n)))
        tail += share
    return found
