"""Permutations of whole clusters between two splits, many columns at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import lgamma, log

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

from shiftbench.distances.columns import Variable

__all__ = ["FOLDS", "Units", "auc_of_counts", "crossfit_auc"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_CELLS = 4_000_000  # labels held at a time: bounds the memory
_TIE = 1e-9  # statistics this close, relatively, count as equal, so that rounding makes no p small
FOLDS = 5


@dataclass(frozen=True)
class Units:
    """What changes its split in a permutation.

    A cluster that lies in one split is one unit, and such units trade places among each other. A
    cluster that lies in both splits stays in both: its rows are units that trade places inside
    it.

    Attributes
    ----------
    of_row : (n,) int64 array
        The unit of each row.
    is_source : (u,) bool array
        The split of each unit.
    stratum : (u,) int64 array
        Units trade places inside a stratum only; 0 = clusters of one split. Rising.
    """

    of_row: Codes
    is_source: NDArray[np.bool_]
    stratum: Codes

    @classmethod
    def of(cls, clusters: Codes, is_source: NDArray[np.bool_]) -> Units:
        """From the cluster number and the split of each row."""
        n_clusters = int(clusters.max(initial=-1)) + 1
        in_source = np.bincount(clusters, weights=is_source, minlength=n_clusters) > 0
        in_target = np.bincount(clusters, weights=~is_source, minlength=n_clusters) > 0
        mixed = in_source & in_target
        pure = np.flatnonzero(~mixed)
        of_cluster = np.full(n_clusters, -1, dtype=np.int64)
        of_cluster[pure] = np.arange(len(pure))
        rows = np.flatnonzero(mixed[clusters])
        rows = rows[np.argsort(clusters[rows], kind="stable")]
        of_row = of_cluster[clusters]
        of_row[rows] = len(pure) + np.arange(len(rows))
        return cls(
            of_row,
            np.concatenate([in_source[pure], is_source[rows]]),
            np.concatenate([np.zeros(len(pure), dtype=np.int64), 1 + clusters[rows]]),
        )

    def log_relabelings(self) -> float:
        """The logarithm of how many different permutations there are."""
        total = 0.0
        _, at = np.unique(self.stratum, return_inverse=True)
        for n, k in zip(np.bincount(at), np.bincount(at, weights=self.is_source), strict=True):
            total += lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
        return total

    def permuted(self, rng: np.random.Generator, n: int) -> Iterator[Floats]:
        """`n` permutations, some at a time: rows of 1 where a unit is in the source, else 0."""
        free = int((self.stratum == 0).sum())
        bound = self.is_source[free:].astype(np.float64)
        apart = self.stratum[free:].astype(np.float64)
        step = max(1, min(n, _CELLS // max(len(self.stratum), 1)))
        for start in range(0, n, step):
            rows = min(step, n - start)
            labels = np.empty((rows, len(self.stratum)))
            labels[:, :free] = self.is_source[:free]
            rng.permuted(labels[:, :free], axis=1, out=labels[:, :free])
            if len(bound):
                # Random keys below 1 added to whole numbers sort inside a stratum.
                labels[:, free:] = bound[np.argsort(rng.random((rows, len(bound))) + apart, axis=1)]
            yield labels


def _per_unit(variable: Variable, units: Units) -> csr_array:
    """Sums over the rows of each unit from which the statistic of any relabeling follows."""
    n_units = len(units.stratum)
    there = variable.present
    rows = units.of_row[there]
    if variable.values is not None:
        values = variable.values[there]
        # Standardised over both splits: no relabeling changes that, and squares keep their digits.
        scale = values.std() if len(values) else 0.0
        z = (values - values.mean()) / scale if scale > 0 else np.zeros_like(values)
        parts = [
            np.bincount(rows, weights=w, minlength=n_units) for w in (np.ones_like(z), z, z * z)
        ]
        return csr_array(np.column_stack(parts))
    assert variable.codes is not None
    ones = np.ones(len(rows))
    shape = (n_units, max(variable.n_levels, 1))
    return csr_array((ones, (rows, variable.codes[there])), shape=shape)


def _smd(sums: Floats, total: Floats) -> Floats:
    n1, s1, q1 = sums.T
    n0, s0, q0 = (total - sums).T
    with np.errstate(divide="ignore", invalid="ignore"):
        m1, m0 = s1 / n1, s0 / n0
        spread = np.sqrt((np.maximum(q1 / n1 - m1**2, 0) + np.maximum(q0 / n0 - m0**2, 0)) / 2)
        gap = m0 - m1
        # Of values with variance 1: a variance of less than 1e-12 is what rounding leaves.
        spread[spread < 1e-6] = 0.0
        gap[np.abs(gap) < _TIE] = 0.0
        found = np.where(gap == 0, 0.0, gap / spread)
    found[(n1 == 0) | (n0 == 0)] = np.nan
    return found


def _phi2(sums: Floats, total: Floats) -> Floats:
    kept = total > 0
    a, c = sums[:, kept], total[kept]
    n1 = a.sum(axis=1)
    n0 = c.sum() - n1
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (a**2 / c).sum(axis=1) / n1 + ((c - a) ** 2 / c).sum(axis=1) / n0 - 1
    found[(n1 == 0) | (n0 == 0)] = np.nan
    return np.asarray(np.maximum(found, 0.0))


def statistics(variable: Variable, sums: Floats, total: Floats) -> Floats:
    """The signed standardised mean difference or φ², for each row of source sums; NaN if undefined.

    The difference is target − source, over the root of the mean of the two variances.
    """
    return _smd(sums, total) if variable.values is not None else _phi2(sums, total)


def permutation_p_values(
    chosen: Sequence[Variable],
    units: Units,
    rng: np.random.Generator,
    n_permutations: int,
    work: int,
) -> tuple[list[float | None], list[float | None], int]:
    """Observed statistics and their p-values, all variables under the same permutations.

    ``p = (1 + number of permutations at least as extreme) / (1 + number of permutations)``; a
    permutation that leaves a split without any value of the variable counts as extreme.

    Returns
    -------
    statistics, p_values, n
        None where a statistic is undefined; `n` is how many permutations were drawn: fewer than
        asked for where they would take more than `work` multiply-adds, but never below 199.
    """
    if not chosen:
        return [], [], 0
    parts = [_per_unit(v, units) for v in chosen]
    everything = csr_array(hstack(parts, format="csr"))
    n = min(n_permutations, max(199, work // max(everything.nnz, 1)))
    ends = np.cumsum([p.shape[1] for p in parts])
    cuts = [slice(int(e) - p.shape[1], int(e)) for e, p in zip(ends, parts, strict=True)]
    total = np.asarray(everything.sum(axis=0), dtype=np.float64)
    across = everything.T.tocsr()

    def at(labels: Floats) -> list[Floats]:
        sums = (across @ labels.T).T
        return [statistics(v, sums[:, c], total[c]) for v, c in zip(chosen, cuts, strict=True)]

    observed = [float(s[0]) for s in at(units.is_source[None, :].astype(np.float64))]
    beyond = np.zeros(len(chosen), dtype=np.int64)
    for labels in units.permuted(rng, n):
        for i, found in enumerate(at(labels)):
            limit = abs(observed[i]) * (1 - _TIE) - 1e-12
            beyond[i] += int(((np.abs(found) >= limit) | np.isnan(found)).sum())
    defined = [not np.isnan(o) for o in observed]
    return (
        [o if ok else None for o, ok in zip(observed, defined, strict=True)],
        [(1 + int(b)) / (1 + n) if ok else None for b, ok in zip(beyond, defined, strict=True)],
        n,
    )


def auc_of_counts(scores: Floats, source: Floats, target: Floats) -> float:
    """P(score of a target row > score of a source row) + ½ P(equal), from counts by score.

    Examples
    --------
    >>> auc_of_counts(np.array([0.0, 1.0]), np.array([3.0, 1.0]), np.array([1.0, 3.0]))
    0.75
    """
    values, at = np.unique(scores, return_inverse=True)
    s = np.bincount(at, weights=source, minlength=len(values))
    t = np.bincount(at, weights=target, minlength=len(values))
    below = np.cumsum(s) - s
    pairs = s.sum() * t.sum()
    return float((t * (below + s / 2)).sum() / pairs) if pairs else float("nan")


def crossfit_auc(
    codes: Codes, n_levels: int, is_source: NDArray[np.bool_], fold: Codes
) -> float | None:
    """How well levels tell the splits apart on clusters whose rows were not used to rank them.

    Each level's odds of the target are estimated outside a fold (one row of the overall odds is
    added to each level) and rank the rows inside it; the mean over the folds, weighted by their
    pairs, is returned. Chance is 0.5, and a little less may come by chance.

    Parameters
    ----------
    codes : (n,) int64 array
        Levels, all ≥ 0.
    n_levels : int
        How many there are.
    is_source : (n,) bool array
        The split of each row.
    fold : (n,) int64 array
        The fold of each row, the same for all rows of a cluster.

    Returns
    -------
    float or None
        None where no fold has rows of both splits.

    Examples
    --------
    >>> codes = np.array([0, 1] * 10)
    >>> crossfit_auc(codes, 2, codes == 0, np.arange(20) // 4)
    1.0
    """
    shape = (FOLDS, 2, n_levels)
    flat = np.ravel_multi_index((fold, is_source.astype(np.int64), codes), shape)
    counts = np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape).astype(np.float64)
    weighted, pairs = 0.0, 0.0
    for inside in counts:
        target, source = counts.sum(axis=0) - inside
        share = target.sum() / max(target.sum() + source.sum(), 1.0)
        if not 0 < share < 1:
            continue
        odds = (target + share) / (source + 1 - share)
        weight = inside[0].sum() * inside[1].sum()
        if weight:
            weighted += weight * auc_of_counts(odds, inside[1], inside[0])
            pairs += weight
    return float(weighted / pairs) if pairs else None


def enough_relabelings(units: Units, alpha: float) -> bool:
    """Whether there are permutations enough for a two-sided p-value to reach `alpha`."""
    return units.log_relabelings() >= log(2 / alpha)
