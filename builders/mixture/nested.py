"""Mixtures of two pools at matched size, nested: a higher dose only replaces source by target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError

from ..shared.counted import apportion, largest_size, ring_ranks
from .components import SOURCE, TARGET, Components

__all__ = ["Pools", "dose_count", "pools", "size_of"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]


def dose_count(dose: float, size: int) -> int:
    """Examples of the target in a mixture: the nearest whole number, halves up.

    Examples
    --------
    >>> dose_count(0.2, 10), dose_count(0.5, 5)
    (2, 3)
    """
    return int(np.floor(round(dose * size, 9) + 0.5))


@dataclass(frozen=True, eq=False)
class Pools:
    """The examples of both components that a split may have, in the order they are taken.

    Attributes
    ----------
    rows, strata, ranks : tuples of two int64 arrays
        Of the source's and the target's examples: row, stratum, and place in a random order of the
        stratum.
    shares : (k,) float64 array
        Of the strata in every mixture. Without stratification there is one stratum.
    """

    rows: tuple[Codes, Codes]
    strata: tuple[Codes, Codes]
    ranks: tuple[Codes, Codes]
    shares: Floats

    def available(self, component: int) -> Codes:
        """Examples of each stratum."""
        return np.bincount(self.strata[component], minlength=len(self.shares))

    def head(self, component: int, counts: Codes) -> Codes:
        """The first rows of each stratum."""
        taken = self.ranks[component] < counts[self.strata[component]]
        return self.rows[component][taken]

    def pure(self, component: int, size: int) -> Codes:
        """So many rows of one component, the strata in their shares."""
        return self.head(component, apportion(self.shares, size))

    def largest(self, component: int) -> int:
        """The most that `pure` can give."""
        return largest_size(self.shares, self.available(component))

    def counts(self, dose: float, size: int) -> tuple[Codes, Codes]:
        """Source and target examples of each stratum in a mixture.

        The strata have the same counts at every dose. A higher dose replaces source examples by
        target examples and keeps the others: targets come stratum by stratum in the order of
        (j − ½)/n for the j-th of n, the order of seats by Sainte-Laguë, which is monotone.
        """
        counts = apportion(self.shares, size)
        strata = np.repeat(np.arange(len(counts)), counts)
        begins = np.cumsum(counts) - counts
        key = (np.arange(size) - begins[strata] + 0.5) / counts[strata]
        first = np.lexsort((strata, key))[: dose_count(dose, size)]
        of_target = np.bincount(strata[first], minlength=len(counts))
        return counts - of_target, of_target

    def mixture(self, dose: float, size: int) -> tuple[Codes, Codes]:
        """Source rows and target rows of a mixture."""
        source, target = self.counts(dose, size)
        return self.head(SOURCE, source), self.head(TARGET, target)

    def suffice(self, dose: float, size: int) -> bool:
        """Whether there is enough of each stratum."""
        needed = self.counts(dose, size)
        return all((n <= self.available(c)).all() for c, n in enumerate(needed))


def pools(
    both: Components,
    source: Codes,
    target: Codes,
    seed: int,
    purpose: str,
    *,
    shares: Floats | None,
) -> Pools:
    """Put the rows of both components in the order in which mixtures take them.

    Parameters
    ----------
    both : Components
    source, target : int64 arrays
        Rows.
    seed : int
    purpose : str
    shares : (k,) float64 array, optional
        Of the classes, for mixtures stratified by class.
    """
    found = both.found
    strata, ranks = [], []
    for name, rows in (("source", source), ("target", target)):
        own = np.zeros(len(rows), np.int64) if shares is None else found.label.codes[rows]
        names = ("all",) if shares is None else found.label.names
        strata.append(own)
        ranks.append(ring_ranks(found, rows, own, names, seed, f"{purpose} {name}"))
    weights = np.ones(1) if shares is None else shares
    return Pools((source, target), (strata[0], strata[1]), (ranks[0], ranks[1]), weights)


def size_of(
    both: Pools, doses: tuple[float, ...], wanted: int | None, part: str, least: int
) -> int:
    """The size of every mixture of some pools.

    By default the largest at which any dose from 0 to 1 could be had: another dose then leaves the
    mixtures there are alone.

    Raises
    ------
    ConfigurationError
        The examples do not suffice; with what they suffice for.
    """
    have = [both.available(c) for c in (SOURCE, TARGET)]
    most = largest_size(both.shares, np.minimum(*have))
    held = (
        f"{int(have[0].sum())} of the source and {int(have[1].sum())} of the target are held for it"
    )
    if wanted is None and most < least:
        raise ConfigurationError(
            f"mixtures for {part} would have {most} examples, fewer than {least}: {held}, and "
            "where mixtures are stratified every class must be in both; give more examples, larger "
            "shares or fewer classes"
        )
    size = most if wanted is None else wanted
    short = [d for d in doses if size > most and not both.suffice(d, size)]
    if short:
        raise ConfigurationError(
            f"{part} of {size} examples cannot be mixed at the dose {short[0]:g}: {held}; with "
            f"{most} examples every dose can be had. Give a smaller size, other doses or more "
            "examples"
        )
    return size
