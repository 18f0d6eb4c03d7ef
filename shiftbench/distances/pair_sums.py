"""Kernel values summed over pairs of examples, and what follows: a squared distance, its interval.

Pairs inside one cluster are in no sum: with independent clusters every mean is then unbiased.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from shiftbench.distances.samples import Samples
from shiftbench.statistics.estimate import critical
from shiftbench.statistics.jackknife import jackknife

__all__ = [
    "FEWEST_CLUSTERS",
    "GROUPS",
    "Interval",
    "PairSums",
    "Parts",
    "pair_counts",
    "score_interval",
]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

GROUPS = 100
FEWEST_CLUSTERS = 4  # below, the noise of the sums cannot be told from their level


@dataclass(frozen=True)
class Parts:
    """Groups of clusters, each cut in its source and its target part.

    Attributes
    ----------
    of_row : (n,) int64 array
        The part of each example.
    is_source : (p,) bool array
    group : (p,) int64 array
    strata : (g,) int64 array
        Of each group, see `Samples.groups`.
    """

    of_row: Codes
    is_source: NDArray[np.bool_]
    group: Codes
    strata: Codes

    @classmethod
    def of(cls, samples: Samples, seed: int) -> Parts:
        """Of at most `GROUPS` groups a stratum."""
        of_row, strata = samples.groups(GROUPS, seed)
        keys, part = np.unique(2 * of_row + ~samples.is_source, return_inverse=True)
        return cls(part.astype(np.int64), keys % 2 == 0, keys // 2, strata)


@dataclass(frozen=True)
class PairSums:
    """Sums of a kernel over ordered pairs of examples of different clusters.

    Attributes
    ----------
    sums, counts : (p, p) float64 arrays
        Between the parts: the sum of the kernel, and how many pairs it is over.
    parts : Parts
    """

    sums: Floats
    counts: Floats
    parts: Parts

    @property
    def value(self) -> float:
        """Mean within the source + mean within the target − 2 × mean between."""
        return float(_distance(*_sides(self.sums, self.parts), *_sides(self.counts, self.parts)))

    def left_out(self) -> Floats:
        """The value without each group, (g,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(
                _distance(*_without(self.sums, self.parts), *_without(self.counts, self.parts))
            )


class Interval(NamedTuple):
    """Bounds, their standard error at the value itself, and how they were made."""

    low: float
    high: float
    se: float
    method: str


def pair_counts(part: Codes, clusters: Codes, n_parts: int) -> Floats:
    """How many pairs of examples of different clusters there are between parts.

    Examples
    --------
    >>> pair_counts(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[2.0, 1.0], [1.0, 0.0]]
    """
    shape = (n_parts, int(clusters.max(initial=-1)) + 1)
    held = csr_array((np.ones(len(part)), (part, clusters)), shape=shape)
    sizes = np.bincount(part, minlength=n_parts).astype(np.float64)
    return np.asarray(np.outer(sizes, sizes) - (held @ held.T).toarray(), dtype=np.float64)


def score_interval(found: PairSums, level: float, extra: float = 0.0) -> Interval:
    """An interval of a squared distance that holds at 0, near it and far from it.

    The value is U = δ + 2⟨μ, ε⟩ + (‖ε‖² − E‖ε‖²): δ = ‖μ‖² is the true squared distance between
    the two means in feature space, ε the noise of their difference. Its variance is 4τδ + 2S, with
    S = tr Σ² and τ the variance of ε along μ. The interval holds each δ ≥ 0 for which U is within
    the critical value (Student's t) of δ, with the variance at that δ: Wilson's way, closed form.
    Where few directions hold the noise, U is skewed; the lower bound is then that of a square,
    (√δ + noise)², with the noise of all other directions added, if that is lower.

    S is estimated without bias from the doubly centred sums between groups; τ is the least of three
    bounds: √S, the largest eigenvalue of the centred sums, and the jackknife's variance over the
    value.

    Parameters
    ----------
    found : PairSums
    level : float
    extra : float
        A variance to be added: of an approximation.

    References
    ----------
    Variance of a two-sample U-statistic: Hoeffding, Ann. Math. Stat. 19 (1948); Gretton et al.,
    JMLR 13 (2012), section 4. Interval by inversion of the score: Wilson, JASA 22 (1927); adding of
    bounds: Zou & Donner, Stat. Med. 27 (2008). Unbiased
    centring: Székely & Rizzo, Ann. Stat. 42 (2014). Jackknife: Arvesen, Ann. Math. Stat. 40 (1969).
    """
    strata = _merged(found.parts.strata)
    sides = [len(np.unique(found.parts.group[s])) for s in _both(found.parts.is_source)]
    if strata is None or min(sides) < FEWEST_CLUSTERS:
        words = f"none: {min(sides)} clusters on a side, {FEWEST_CLUSTERS} are needed"
        return Interval(math.nan, math.nan, math.nan, words)
    spread = jackknife(found.value, found.left_out(), strata)
    if math.isnan(spread.se):
        return Interval(math.nan, math.nan, math.nan, "none: a group holds most pairs")
    centred, squares = _noise(found, strata)
    value = found.value
    largest = float(np.linalg.eigvalsh(centred)[-1])
    bound = min(math.sqrt(squares), max(largest, 0.0))
    if value > 0:
        bound = min(bound, (spread.se**2 / 4 + squares) / value)
    c = critical(level, spread.df)
    middle = value + 2 * c**2 * bound
    inside = 4 * c**2 * bound * value + 4 * c**4 * bound**2 + c**2 * (2 * squares + extra)
    width = math.sqrt(max(inside, 0.0))
    low = min(middle - width, value)
    if value > 0:
        others = c**2 * (max(2 * squares - 2 * bound**2, 0.0) + extra)
        either = critical((1 + level) / 2, spread.df)
        low = min(low, value - math.hypot(value - _least(value, bound, c, either), others**0.5))
    se = math.sqrt(max(4 * bound * value, 0.0) + 2 * squares + extra)
    return Interval(low, max(middle + width, value, 0.0), se, "score (U-statistic)")


def _least(value: float, variance: float, c: float, either: float) -> float:
    """The lower bound of δ where all noise is along μ: value + variance = (√δ + noise)²."""
    root, unit = math.sqrt(value + variance), math.sqrt(variance)
    # Near 0 the noise can have either sign, and both make the value large.
    return (root - c * unit) ** 2 if root > either * unit else 0.0


def _both(is_source: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return is_source, ~is_source


def _distance(xx: Floats, yy: Floats, xy: Floats, nxx: Floats, nyy: Floats, nxy: Floats) -> Floats:
    return np.asarray(xx / nxx + yy / nyy - 2 * xy / nxy)


def _sides(matrix: Floats, parts: Parts) -> tuple[Floats, Floats, Floats]:
    x, y = parts.is_source, ~parts.is_source
    return (
        np.asarray(matrix[np.ix_(x, x)].sum()),
        np.asarray(matrix[np.ix_(y, y)].sum()),
        np.asarray(matrix[np.ix_(x, y)].sum()),
    )


def _without(matrix: Floats, parts: Parts) -> tuple[Floats, Floats, Floats]:
    """The three sums without each group."""
    n = len(parts.strata)
    x, y = parts.is_source, ~parts.is_source
    to_x, to_y = matrix[:, x].sum(axis=1), matrix[:, y].sum(axis=1)
    own = np.diag(matrix)

    def by_group(values: Floats, side: NDArray[np.bool_]) -> Floats:
        return np.asarray(
            np.bincount(parts.group[side], weights=values[side], minlength=n), dtype=np.float64
        )

    both = np.zeros(n)
    at = np.full((2, n), -1)
    at[0, parts.group[x]], at[1, parts.group[y]] = np.flatnonzero(x), np.flatnonzero(y)
    mixed = np.flatnonzero((at >= 0).all(axis=0))
    both[mixed] = matrix[at[0, mixed], at[1, mixed]]
    xx, yy, xy = _sides(matrix, parts)
    return (
        xx - 2 * by_group(to_x, x) + by_group(own, x),
        yy - 2 * by_group(to_y, y) + by_group(own, y),
        xy - by_group(to_y, x) - by_group(to_x, y) + both,
    )


def _merged(strata: Codes) -> Codes | None:
    """Strata of too few groups put to another: None where there are too few groups at all."""
    found = strata.copy()
    names, counts = np.unique(found, return_counts=True)
    for name in names[counts < FEWEST_CLUSTERS]:
        others = found[found != name]
        if not len(others):
            break
        found[found == name] = others[0]
    return found if np.unique(found, return_counts=True)[1].min() >= FEWEST_CLUSTERS else None


def _noise(found: PairSums, strata: Codes) -> tuple[Floats, float]:
    """Products between the groups' shares in the noise, and the sum of their squares, unbiased."""
    parts = found.parts
    side = (~parts.is_source).astype(np.int64)
    one_hot = np.eye(2)[side]
    sums, counts = found.sums @ one_hot, found.counts @ one_hot
    means = sums / np.maximum(counts, 1)
    level = (one_hot.T @ sums) / np.maximum(one_hot.T @ counts, 1)
    pair = means[:, side]
    rest = found.sums - found.counts * (pair + pair.T - level[np.ix_(side, side)])
    sizes = np.bincount(parts.of_row, minlength=len(side))
    weight = (
        np.where(side == 0, 1, -1)
        / np.array([sizes[side == 0].sum(), sizes[side == 1].sum()])[side]
    )
    rest *= np.outer(weight, weight)
    n = len(strata)
    held = csr_array(
        (np.ones(len(side)), (parts.group, np.arange(len(side)))), shape=(n, len(side))
    )
    made = np.asarray(held @ (held @ rest).T)
    np.fill_diagonal(made, 0.0)
    squares = 0.0
    names = np.unique(strata)
    for a in names:
        for b in names:
            rows, columns = np.flatnonzero(strata == a), np.flatnonzero(strata == b)
            block = _centred(made[np.ix_(rows, columns)], inside=a == b)
            made[np.ix_(rows, columns)] = block
            k, m = len(rows), len(columns)
            scale = k / (k - 3) if a == b else k * m / ((k - 1) * (m - 1))
            squares += scale * float((block**2).sum())
    return made, squares


def _centred(block: Floats, inside: bool) -> Floats:
    """Rows and columns of mean 0; `inside`, off the diagonal only (U-centred)."""
    n = len(block)
    if not inside:
        rows = block.mean(axis=1, keepdims=True)
        columns = block.mean(axis=0, keepdims=True)
        return np.asarray(block - rows - columns + block.mean())
    share = block.sum(axis=1) / (n - 2)
    found = block - share[:, None] - share[None, :] + block.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(found, 0.0)
    return np.asarray(found)
