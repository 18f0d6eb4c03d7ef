"""Which columns of two splits differ, by how much, and which levels only one of them has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.balance_intervals import effective_n
from shiftbench.distances.balance_table import LARGE, NEGLIGIBLE, cramers_v, v_of_difference
from shiftbench.distances.columns import Variable
from shiftbench.distances.relabel import Units, permutation_p_values

__all__ = ["ABSENT_SHARE", "Difference", "absence_p_value", "differences"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]

ABSENT_SHARE = 0.1
"""A level with this share of one split or more, and none of the other, leaves no overlap there."""

_WORK = 500_000_000


@dataclass(frozen=True)
class Difference:
    """What is known of one column.

    Attributes
    ----------
    column : str
    words : str
        The column with what it is in both splits: ``view (AP 0.72 → 0.50)``.
    p_value : float
        The least of its variables', times their number; 1 where nothing can be compared.
    size : str
        "negligible", "small" or "large": below `NEGLIGIBLE`, below `LARGE`, or from it on, as a
        standardised mean difference.
    absence : float or None
        Where a level that is common in one split is missing in the other: the probability of
        that, had they the same shares; times the number of levels.
    absent_in : str
        "source" or "target", the one without it; empty where there is none.
    """

    column: str
    words: str
    p_value: float
    size: str
    absence: float | None = None
    absent_in: str = ""


def absence_p_value(n_with: int, n_without: int, n_other: int) -> float:
    """The probability that none of `n_other` clusters has a level that `n_with` clusters have.

    Fisher's exact test: the clusters with it are dealt to the two splits at random, and all fall
    to the first.

    Examples
    --------
    >>> round(absence_p_value(2, 0, 2), 4)
    0.1667
    >>> absence_p_value(53, 57, 17) < 0.001
    True
    """
    total = n_with + n_without + n_other
    logarithm = (
        lgamma(total - n_with + 1)
        - lgamma(total - n_with - n_other + 1)
        - lgamma(total + 1)
        + lgamma(total - n_other + 1)
    )
    return min(1.0, exp(logarithm))


def differences(
    columns: Sequence[tuple[str, Sequence[Variable]]],
    clusters: Codes,
    is_source: Flags,
    rng: np.random.Generator,
    n_permutations: int,
) -> list[Difference]:
    """One a column, all under the same permutations of whole clusters.

    Parameters
    ----------
    columns : sequence of (name, variables)
    clusters : (n,) int64 array
    is_source : (n,) bool array
    rng : np.random.Generator
    n_permutations : int

    Examples
    --------
    >>> codes = np.array([0] * 20 + [1] * 20)
    >>> view = Variable("view", None, codes, 2, 2, ("AP", "PA"))
    >>> found = differences([("view", [view])], np.arange(40), np.arange(40) < 20,
    ...                     np.random.default_rng(0), 199)
    >>> found[0].words, found[0].p_value, found[0].size
    ('view (AP 1.00 → 0.00)', 0.005, 'large')
    """
    units = Units.of(clusters, is_source)
    every = [v for _, variables in columns for v in variables]
    observed, p_values, _ = permutation_p_values(every, units, rng, n_permutations, _WORK)
    found, at = [], 0
    for name, variables in columns:
        some = slice(at, at + len(variables))
        at += len(variables)
        found.append(
            _difference(name, variables, observed[some], p_values[some], clusters, is_source)
        )
    return found


def _difference(
    name: str,
    variables: Sequence[Variable],
    observed: Sequence[float | None],
    p_values: Sequence[float | None],
    clusters: Codes,
    is_source: Flags,
) -> Difference:
    known = [
        (p, abs(_in_differences(v, o, clusters, is_source)), i)
        for i, (v, o, p) in enumerate(zip(variables, observed, p_values, strict=True))
        if o is not None and p is not None
    ]
    if not known:
        return Difference(name, name, 1.0, "negligible")
    p = min(1.0, min(k[0] for k in known) * len(known))
    levels = [_absent(v, clusters, is_source) for v in variables]
    absent = [(*a, i) for i, a in enumerate(levels) if a is not None]
    n_levels = sum(max(v.n_levels, 1) for v in variables)
    widest = max(k[1] for k in known)
    size = "large" if widest >= LARGE else "small" if widest >= NEGLIGIBLE else "negligible"
    if absent:
        chance, level, where, i = min(absent)
        words = _words(name, variables[i], is_source, level)
        return Difference(name, words, p, size, min(1.0, chance * n_levels), where)
    # The most surprising; among equals, the earlier: a mean says more than tenths.
    best = min(known, key=lambda k: (round(k[0], 12), k[2]))[2]
    return Difference(name, _words(name, variables[best], is_source), p, size)


def _in_differences(
    variable: Variable, observed: float, clusters: Codes, is_source: Flags
) -> float:
    """The size as a standardised mean difference: of V, the limit that it reaches."""
    if variable.values is not None:
        return observed
    assert variable.codes is not None
    there = variable.present
    _, codes = np.unique(variable.codes[there], return_inverse=True)
    side = is_source[there]
    k = int(codes.max()) + 1
    counts = tuple(np.bincount(codes[s], minlength=k).astype(np.float64) for s in (side, ~side))
    v = cramers_v(observed, effective_n(codes, side, clusters[there], (counts[0], counts[1])), k)
    share = float(is_source[there].mean())
    limits = [v_of_difference(limit, share) for limit in (NEGLIGIBLE, LARGE)]
    return LARGE if v >= limits[1] else NEGLIGIBLE if v >= limits[0] else 0.0


def _absent(variable: Variable, clusters: Codes, is_source: Flags) -> tuple[float, int, str] | None:
    """The level that is common in one split and least likely by chance missing in the other."""
    if variable.codes is None or variable.n_levels < 2 or not variable.names:
        return None
    there = variable.present
    best: tuple[float, int, str] | None = None
    for level in range(variable.n_levels):
        has = there & (variable.codes == level)
        for here, other in ((is_source, "target"), (~is_source, "source")):
            rows, others = there & here, there & ~here
            if (has & ~here).any() or not others.any() or not rows.any():
                continue
            if has.sum() < ABSENT_SHARE * rows.sum():
                continue
            n_with = len(np.unique(clusters[has]))
            n_here = len(np.unique(clusters[rows]))
            n_other = len(np.setdiff1d(clusters[others], clusters[has]))
            chance = absence_p_value(n_with, n_here - n_with, n_other)
            if best is None or chance < best[0]:
                best = (chance, level, other)
    return best


def _words(name: str, variable: Variable, is_source: Flags, level: int | None = None) -> str:
    there = variable.present
    sides = (there & is_source, there & ~is_source)
    if variable.values is not None:
        a, b = (_number(float(variable.values[s].mean())) for s in sides)
        return f"{name} (mean {a} → {b})"
    assert variable.codes is not None
    if not variable.names:
        return f"{name} (its distribution)"
    shares = np.array(
        [np.bincount(variable.codes[s], minlength=variable.n_levels) / s.sum() for s in sides]
    )
    if level is None:
        spread = np.sqrt((shares * (1 - shares)).mean(axis=0))
        gap = np.abs(shares[1] - shares[0]) / np.where(spread > 0, spread, 1.0)
        level = int(np.lexsort((-shares.max(axis=0), -np.round(gap, 9)))[0])
    a, b = (f"{share:.2f}" for share in shares[:, level])
    return f"{variable.column} ({variable.names[level]} {a} → {b})"


def _number(x: float) -> str:
    return f"{x:.3g}" if abs(x) < 1000 else f"{x:.0f}"
