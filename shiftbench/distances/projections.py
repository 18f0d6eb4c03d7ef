"""Two samples on many lines: the mean of their Wasserstein distances, for many weightings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftbench.statistics import stream

__all__ = ["Projected", "directions", "projected"]

Floats = NDArray[np.float64]

_CELLS = 200_000  # of a block that the processor's cache holds


def directions(d: int, n: int, seed: int) -> Floats:
    """Random unit vectors, the same for all samples of a width; of width 1 there is one.

    Returns
    -------
    (n, d) array
        Uniform on the sphere, independent of each other.

    Examples
    --------
    >>> directions(1, 64, seed=0).tolist(), directions(3, 64, seed=0).shape
    ([[1.0]], (64, 3))
    """
    if d == 1:
        return np.ones((1, 1))
    drawn = stream(seed, "directions", str(d)).normal(size=(n, d))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


@dataclass(frozen=True)
class Projected:
    """Rows sorted along each of some lines.

    Attributes
    ----------
    order : (k, n) int32 array
        Rows by their place on each line.
    gaps : (k, n) array
        The distance to the next row on the line; 0 for the last.
    """

    order: NDArray[np.int32]
    gaps: Floats

    def distances(self, weights: Floats) -> Floats:
        """∫ |F − G| on each line, where the rows weigh `weights` in F − G.

        Parameters
        ----------
        weights : (n, b) array
            Columns sum to 0.

        Returns
        -------
        (k, b) array

        Examples
        --------
        >>> lines = projected(np.array([[0.0], [1.0], [3.0]]), np.ones((1, 1)))
        >>> lines.distances(np.array([[1.0], [-0.5], [-0.5]])).tolist()
        [[2.0]]
        """
        n, count = weights.shape
        found = np.empty((len(self.order), count))
        step = max(1, _CELLS // n)
        for start in range(0, count, step):
            block = np.ascontiguousarray(weights[:, start : start + step])
            for line, (order, gaps) in enumerate(zip(self.order, self.gaps, strict=True)):
                above = block[order]
                np.cumsum(above, axis=0, out=above)
                np.abs(above, out=above)
                found[line, start : start + step] = gaps @ above
        return found

    def norms(self, weights: Floats) -> Floats:
        """The mean of `distances` over the lines, (b,)."""
        return np.asarray(self.distances(weights).mean(axis=0))


def projected(features: Floats, lines: Floats) -> Projected:
    """The rows of `features`, (n, d), sorted along each of the `lines`, (k, d).

    Takes 12 bytes a row and line.

    Examples
    --------
    >>> projected(np.array([[2.0], [0.0], [3.0]]), np.ones((1, 1))).order.tolist()
    [[1, 0, 2]]
    """
    order = np.empty((len(lines), len(features)), dtype=np.int32)
    gaps = np.zeros((len(lines), len(features)))
    for i, line in enumerate(lines):
        place = features @ line
        order[i] = np.argsort(place, kind="stable")
        gaps[i, :-1] = np.diff(place[order[i]])
    return Projected(order, gaps)
