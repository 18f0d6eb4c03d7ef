"""Permutation tests that move whole clusters, for one statistic or for many at once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.statistics.clusters import Clusters
from shiftbench.statistics.streams import stream

__all__ = [
    "PermutationTest",
    "max_t_p_values",
    "permutation_p_values",
    "sign_flip_test",
    "two_sample_test",
]

Floats = NDArray[np.float64]
Alternative = Literal["two-sided", "greater", "less"]

TOLERANCE = 1e-9
"""Values this near, relative to the largest, are a tie: sums in another order differ in the last
bits, and a tie that is missed makes the p-value too small."""
CELLS = 4_000_000


@dataclass(frozen=True)
class PermutationTest:
    """What a permutation test found for each of its statistics.

    Attributes
    ----------
    observed : (k,) array
        The statistics on the data as they are.
    p_values : (k,) array
        Each by itself.
    adjusted : (k,) array
        Corrected for there being k of them (step-down max-T): at most `alpha` of the families
        with no true effect have one at or below `alpha`.
    n_permutations : int
        Drawn at random, or all there are where `exact`.
    exact : bool
        All arrangements were gone through.
    n_clusters : int
        Units that were moved.
    """

    observed: Floats
    p_values: Floats
    adjusted: Floats
    n_permutations: int
    exact: bool
    n_clusters: int


def permutation_p_values(
    observed: ArrayLike, permuted: ArrayLike, *, exact: bool = False
) -> Floats:
    """The share of arrangements, the data's own among them, at least as large as observed.

    Parameters
    ----------
    observed : (k,) array
    permuted : (n_permutations, k) array
    exact : bool
        `permuted` holds every arrangement, the data's own too: nothing is added to the count.

    Returns
    -------
    (k,) array
        Never 0. Super-uniform under the hypothesis: P(p ≤ a) ≤ a for every a, ties or not.

    Raises
    ------
    ConfigurationError
        A statistic is NaN.

    References
    ----------
    Phipson & Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9, art. 39: (b + 1) / (m + 1).

    Examples
    --------
    >>> permutation_p_values([2.0], [[1.0], [2.0], [3.0]]).tolist()
    [0.75]
    """
    value = np.atleast_1d(np.asarray(observed, np.float64))
    others = np.asarray(permuted, np.float64).reshape(-1, len(value))
    if np.isnan(value).any() or np.isnan(others).any():
        raise ConfigurationError(
            "a statistic is NaN, on the data or on a permutation of them; give one that has a "
            "value for every arrangement"
        )
    reached = (others >= value - _slack(value, others)).sum(axis=0)
    return np.asarray((reached + (not exact)) / (len(others) + (not exact)), np.float64)


def max_t_p_values(observed: ArrayLike, permuted: ArrayLike, *, exact: bool = False) -> Floats:
    """P-values of many statistics, corrected for their number (step-down max-T).

    Each statistic is first divided by its root mean square over all arrangements, the observed one
    among them, so that none outweighs the others by its unit.

    Parameters
    ----------
    observed : (k,) array
    permuted : (n_permutations, k) array
        The statistics of the same arrangement in one row: their dependence is what is used.
    exact : bool

    Returns
    -------
    (k,) array

    References
    ----------
    Westfall & Young (1993), Resampling-Based Multiple Testing, algorithm 4.1.

    Examples
    --------
    >>> max_t_p_values([3.0, 1.0], [[1.0, 2.0], [2.0, 1.0], [1.0, 1.0]]).tolist()
    [0.25, 1.0]
    """
    value = np.atleast_1d(np.asarray(observed, np.float64))
    others = np.asarray(permuted, np.float64).reshape(-1, len(value))
    every = others if exact else np.vstack([others, value])
    scale = np.sqrt(np.mean(every**2, axis=0))
    scale[(scale == 0) | ~np.isfinite(scale)] = 1.0
    value, others = value / scale, others / scale
    order = np.argsort(-value, kind="stable")
    # Against the largest of the statistics that are not yet decided, itself among them.
    largest = np.maximum.accumulate(others[:, order[::-1]], axis=1)[:, ::-1]
    found = permutation_p_values(value[order], largest, exact=exact)
    adjusted = np.empty_like(found)
    adjusted[order] = np.maximum.accumulate(found)
    return adjusted


def two_sample_test(
    first: ArrayLike,
    second: ArrayLike,
    clusters: tuple[Any, Any] | None = None,
    *,
    statistic: Callable[[Any, Any], ArrayLike] | None = None,
    alternative: Alternative = "two-sided",
    n_permutations: int = 999,
    seed: int = 0,
) -> PermutationTest:
    """Are two samples from one distribution? Whole clusters change sides.

    Parameters
    ----------
    first, second : (n, …) and (m, …) arrays
        Examples, in rows.
    clusters : pair of names, optional
        The units of the first and of the second sample. By default each example is its own.
    statistic : callable, optional
        Of the two samples to a number or (k,) numbers; large values speak against the hypothesis
        (for ``two-sided``: large in size). By default mean(first) − mean(second), by column.
    alternative : str
        ``two-sided``, ``greater`` or ``less``.
    n_permutations : int
        Where there are no more arrangements than this + 1, all are gone through instead.
    seed : int

    Returns
    -------
    PermutationTest

    Raises
    ------
    ConfigurationError
        A cluster lies in both samples: such data are paired; see `sign_flip_test`.

    Notes
    -----
    The hypothesis is that the clusters, their sizes too, are exchangeable between the samples.
    A difference in spread or in cluster size alone can be found significant.

    References
    ----------
    Phipson & Smyth (2010); clusters as units: Gail et al. (1996), Stat. Med. 15.

    Examples
    --------
    >>> two_sample_test([1.0, 2.0, 3.0], [7.0, 8.0, 9.0]).p_values.tolist()
    [0.1]
    """
    one, two = np.asarray(first), np.asarray(second)
    if not len(one) or not len(two):
        raise ConfigurationError(
            f"the samples have {len(one)} and {len(two)} examples; both need at least one"
        )
    n = len(one)
    if clusters is None:
        codes, n_clusters = np.arange(n + len(two)), n + len(two)
        n_first = n
    else:
        a, b = Clusters.pair(*clusters)
        if len(a.codes) != n or len(b.codes) != len(two):
            raise ConfigurationError(
                f"{len(a.codes)} and {len(b.codes)} clusters were given for {n} and {len(two)} "
                "examples; give one an example"
            )
        shared = int(np.count_nonzero((a.sizes > 0) & (b.sizes > 0)))
        if shared:
            raise ConfigurationError(
                f"{shared} clusters lie in both samples, so that they cannot change sides; "
                "compare the two within each cluster: sign_flip_test"
            )
        codes, n_clusters = np.concatenate([a.codes, b.codes]), a.n_clusters
        n_first = int(np.count_nonzero(a.sizes))
    # Clusters are numbered by first appearance: those of the first sample come first.
    own = np.arange(n_clusters) < n_first
    exact = math.comb(n_clusters, n_first) <= n_permutations + 1
    sides = _splits(n_clusters, n_first) if exact else _shuffles(own, n_permutations, seed)
    both = np.concatenate([one, two])
    if statistic is None:
        of = _mean_difference(both.astype(np.float64), Clusters(codes, n_clusters))
    else:
        of = _each(both, codes, statistic)
    return _test(of, own, sides, alternative, exact, n_clusters)


def sign_flip_test(
    differences: ArrayLike,
    clusters: Any = None,
    *,
    alternative: Alternative = "two-sided",
    n_permutations: int = 999,
    seed: int = 0,
) -> PermutationTest:
    """Is a paired difference 0? The signs of whole clusters are flipped.

    Parameters
    ----------
    differences : (n,) or (n, k) array
        Of each example, for each of k comparisons.
    clusters : (n,) names, optional
    alternative : str
        ``two-sided``, ``greater`` (the mean is above 0) or ``less``.
    n_permutations : int
        Where there are no more sign patterns than this + 1, all are gone through instead.
    seed : int

    Returns
    -------
    PermutationTest
        `observed` holds the mean differences.

    Notes
    -----
    Exact where each cluster's sum of differences is as likely to have either sign, as when the two
    things compared can be exchanged; about right for any mean of 0 with many clusters.

    References
    ----------
    Phipson & Smyth (2010); Westfall & Young (1993).

    Examples
    --------
    >>> sign_flip_test([1.0, 2.0, 3.0, 4.0]).p_values.tolist()
    [0.125]
    >>> sign_flip_test([1.0, 2.0, 3.0, 4.0], clusters=["a", "a", "b", "b"]).p_values.tolist()
    [0.5]
    """
    values = np.asarray(differences, np.float64)
    if not len(values):
        raise ConfigurationError("there are no differences to test; at least one is needed")
    table = values.reshape(len(values), -1)
    units = (
        Clusters(np.arange(len(table)), len(table)) if clusters is None else Clusters.of(clusters)
    )
    if len(units.codes) != len(table):
        raise ConfigurationError(
            f"{len(units.codes)} clusters were given for {len(table)} differences; give one each"
        )
    sums = units.sums(table) / len(table)
    own = np.ones(units.n_clusters)
    exact = units.n_clusters < 60 and 2**units.n_clusters <= n_permutations + 1
    signs = _signs(units.n_clusters) if exact else _flips(units.n_clusters, n_permutations, seed)

    def of(block: NDArray[Any]) -> Floats:
        return np.asarray(block @ sums, np.float64)

    return _test(of, own, signs, alternative, exact, units.n_clusters)


def _test(
    of: Callable[[NDArray[Any]], Floats],
    own: NDArray[Any],
    arrangements: Iterator[NDArray[Any]],
    alternative: Alternative,
    exact: bool,
    n_clusters: int,
) -> PermutationTest:
    sides: dict[str, Callable[[Floats], Floats]] = {
        "two-sided": np.abs,
        "greater": np.positive,
        "less": np.negative,
    }
    if alternative not in sides:
        raise ConfigurationError(
            f"alternative is {alternative!r}; there are {', '.join(map(repr, sides))}"
        )
    turned = sides[alternative]
    observed = of(own[None])[0]
    permuted = turned(np.concatenate([of(block) for block in arrangements]))
    value = turned(observed)
    return PermutationTest(
        observed=observed,
        p_values=permutation_p_values(value, permuted, exact=exact),
        adjusted=max_t_p_values(value, permuted, exact=exact),
        n_permutations=len(permuted),
        exact=exact,
        n_clusters=n_clusters,
    )


def _mean_difference(both: Floats, units: Clusters) -> Callable[[NDArray[Any]], Floats]:
    sums = units.sums(both.reshape(len(both), -1))
    sizes = units.sizes.astype(np.float64)
    total, n = sums.sum(axis=0), sizes.sum()

    def of(sides: NDArray[Any]) -> Floats:
        chosen = sides.astype(np.float64)
        inside = (chosen @ sizes)[:, None]
        part = chosen @ sums
        return np.asarray(part / inside - (total - part) / (n - inside), np.float64)

    return of


def _each(
    both: NDArray[Any], codes: NDArray[Any], statistic: Callable[[Any, Any], ArrayLike]
) -> Callable[[NDArray[Any]], Floats]:
    def of(sides: NDArray[Any]) -> Floats:
        found = []
        for side in sides:
            inside = side[codes]
            found.append(np.atleast_1d(np.asarray(statistic(both[inside], both[~inside]))))
        return np.asarray(found, np.float64)

    return of


def _shuffles(own: NDArray[Any], n: int, seed: int) -> Iterator[NDArray[Any]]:
    generator = stream(seed, "permutation")
    block = max(1, CELLS // len(own))
    for start in range(0, n, block):
        yield generator.permuted(np.tile(own, (min(block, n - start), 1)), axis=1)


def _splits(n: int, k: int) -> Iterator[NDArray[Any]]:
    found = np.array(list(itertools.combinations(range(n), k)))
    sides = np.zeros((len(found), n), bool)
    np.put_along_axis(sides, found, True, axis=1)
    yield sides


def _flips(n: int, count: int, seed: int) -> Iterator[NDArray[Any]]:
    generator = stream(seed, "sign flips")
    block = max(1, CELLS // n)
    for start in range(0, count, block):
        rows = min(block, count - start)
        yield 1.0 - 2.0 * generator.integers(0, 2, size=(rows, n), dtype=np.int8)


def _signs(n: int) -> Iterator[NDArray[Any]]:
    patterns = np.arange(2**n)[:, None] >> np.arange(n)
    yield 1.0 - 2.0 * (patterns & 1)


def _slack(value: Floats, others: Floats) -> Floats:
    largest = np.maximum(np.abs(value), np.abs(others).max(axis=0, initial=0.0))
    return np.asarray(TOLERANCE * np.where(np.isfinite(largest), largest, 0.0), np.float64)
