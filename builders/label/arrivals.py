"""The order in which the examples of a split arrive: at random, class by class, or in bursts."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError

from ..shared.counted import apportion
from ..shared.division import uniforms

__all__ = ["Order", "arrival", "burst_counts", "told"]

Codes = NDArray[np.int64]

Order = Literal["", "bursty", "sorted"]


def arrival(
    ids: pa.Array, label: Codes, seed: int, purpose: str, order: Order, burst_length: float
) -> Codes:
    """When each example arrives: 0, 1, …, n − 1.

    Parameters
    ----------
    ids : (n,) string array
    label : (n,) int64 array
    seed : int
    purpose : str
    order : str
        "" at random; "sorted" by class; "bursty": see `burst_counts`.
    burst_length : float
        The mean, in examples.

    Returns
    -------
    (n,) int64 array

    Raises
    ------
    ConfigurationError
        Bursts as long as asked for cannot be made.

    Notes
    -----
    Bursts follow the Markov chain that keeps the class of the last example with probability
    1 − 1/L and else draws it from the prior, given how many examples each class has and how many
    bursts there are: the examples of a class, in random order, are cut at random places, and the
    bursts of all classes are shuffled. So the shares of the classes stay exactly as they are, and
    two bursts of one class may follow one another.

    Examples
    --------
    >>> ids = pa.array(["a", "b", "c"])
    >>> arrival(ids, np.array([2, 0, 1]), 0, "stream", "sorted", 1.0).tolist()
    [2, 0, 1]
    """
    within = uniforms(ids, seed, f"{purpose} order")
    if order == "":
        return _places(np.argsort(within, kind="stable"))
    ordered = np.lexsort((within, label))
    if order == "sorted":
        return _places(ordered)
    own = label[ordered]
    first = np.diff(own, prepend=-1) != 0
    bursts = burst_counts(np.bincount(label), burst_length)
    cut = np.where(first, -1.0, uniforms(ids, seed, f"{purpose} cuts")[ordered])
    rank = _places(np.lexsort((cut, own))) - np.flatnonzero(first)[np.cumsum(first) - 1]
    begins = rank < bursts[own]
    turn = uniforms(ids, seed, f"{purpose} bursts")[ordered][begins]
    place = _places(np.argsort(turn, kind="stable"))[np.cumsum(begins) - 1]
    return _places(ordered[np.argsort(place, kind="stable")])


def burst_counts(counts: Codes, burst_length: float) -> Codes:
    """How many bursts each class is cut into, so that their mean length is the one asked for.

    Each class has at least one, and the others are shared out in proportion.

    Raises
    ------
    ConfigurationError
        With one burst a class they are still shorter.

    Examples
    --------
    >>> burst_counts(np.array([60, 40]), 10).tolist()
    [6, 4]
    """
    n, there = int(counts.sum()), counts > 0
    wanted = round(n / burst_length)
    if wanted < there.sum():
        raise ConfigurationError(
            f"bursts of {burst_length:g} examples cannot be made of {n} examples of "
            f"{int(there.sum())} classes: with one burst a class their mean length is "
            f"{n / there.sum():g}; lower --burst-length to that or less"
        )
    further = np.where(there, counts - 1, 0)
    spare = int(wanted - there.sum())
    if not spare:
        return there.astype(np.int64)
    return np.asarray(there + apportion(further / further.sum(), spare))


def told(label: Codes, time: Codes, order: Order, burst_length: float) -> dict[str, Any]:
    """What the notes say of an order: the mean length of bursts and of runs of one class."""
    runs = 1 + int((np.diff(label[np.argsort(time)]) != 0).sum())
    found: dict[str, Any] = {"order": order or "random", "mean_run": len(label) / runs}
    if order == "bursty":
        made = int(burst_counts(np.bincount(label), burst_length).sum())
        found |= {"burst_length_intended": burst_length, "burst_length": len(label) / made}
    return found


def _places(order: Codes) -> Codes:
    """The inverse of a permutation."""
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return place
