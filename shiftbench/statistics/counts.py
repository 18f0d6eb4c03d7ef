"""Counts of successes by group, and how many independent examples clustered ones are worth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Counts", "cluster_counts", "cluster_moments", "with_clusters"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """Successes among examples, a group each, and how much the examples are worth.

    Attributes
    ----------
    successes, n : (g,) float64 arrays
    n_clusters : (g,) int64 array or None
        Independent units among a group's examples; None where every example is one.
    effective : (g,) float64 array or None
        The number of independent examples that would tell as much; at most `n`.
    df : (g,) float64 array or None
        Degrees of freedom of what is known about the clusters' scatter.
    """

    successes: Floats
    n: Floats
    n_clusters: Integers | None = None
    effective: Floats | None = None
    df: Floats | None = None

    def take(self, chosen: NDArray[np.bool_]) -> Counts:
        """The same for some of the groups."""
        parts = {
            name: getattr(self, name)[chosen]
            for name in ("n_clusters", "effective", "df")
            if getattr(self, name) is not None
        }
        return replace(self, successes=self.successes[chosen], n=self.n[chosen], **parts)

    @property
    def values(self) -> Floats:
        """The proportion of every group; nan without examples."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.successes / self.n


def cluster_counts(
    successes: ArrayLike, sizes: ArrayLike, groups: ArrayLike | None = None, n_groups: int = 1
) -> Counts:
    """What sums by cluster say about each group's proportion.

    Parameters
    ----------
    successes, sizes : (m,)
        Successes and examples (more than 0), one entry a pair of a group and a cluster.
    groups : (m,) integers, optional
        The group of each entry; left out, there is one group.
    n_groups : int
        How many groups there are.

    Notes
    -----
    The variance of a proportion p = Σs/Σm over clusters is Σ (s − p·m)²/(1 − m/Σm) / (Σm)²: each
    cluster's scatter is set right for what the cluster itself contributes to p (HC2). The
    effective number is p(1 − p) divided by it, never above n (a design effect below 1 is chance).
    Where p is 0 or 1 nothing is seen of the scatter, and the examples of a cluster are taken to be
    one: (Σm)²/Σm². The degrees of freedom are (Σv)²/Σv² − 1 with v = m(1 + (m − 1)r), r the
    intraclass correlation that the design effect implies: clusters − 1 where all are of one size,
    fewer where some of them hold most of the examples (Satterthwaite).
    A group whose clusters are all of one example is treated as having none.

    References
    ----------
    Korn & Graubard 1998, Survey Methodology 24, 193–201. Satterthwaite 1946, Biometrics 2,
    110–114.

    Examples
    --------
    >>> found = cluster_counts([4, 0, 4, 3], [4, 4, 4, 4])
    >>> found.n.tolist(), found.effective.round(1).tolist(), found.df.tolist()
    ([16.0], [3.8], [3.0])
    """
    s, m = np.asarray(successes, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    g = np.zeros(len(s), dtype=np.int64) if groups is None else np.asarray(groups)
    counts = Counts(_totals(s, g, n_groups), _totals(m, g, n_groups))
    return with_clusters(counts, cluster_moments(s, m, g, counts))


def _totals(values: Floats, groups: NDArray[Any], n_groups: int) -> Floats:
    return np.bincount(groups, weights=values, minlength=n_groups).astype(np.float64)


def cluster_moments(s: Floats, m: Floats, groups: NDArray[Any], counts: Counts) -> Floats:
    """What `with_clusters` needs: (5, g) sums over clusters that may be added up block by block.

    The number of clusters, their scatter, and the second to fourth power of their sizes; `s`, `m`
    and `groups` as in `cluster_counts`, `counts` those of all blocks.
    """
    g = len(counts.n)
    with np.errstate(invalid="ignore", divide="ignore"):
        scatter = (s - counts.values[groups] * m) ** 2 / (1 - m / counts.n[groups])
    m2 = m * m
    return np.stack(
        [
            np.bincount(groups, minlength=g).astype(np.float64),
            *(_totals(values, groups, g) for values in (scatter, m2, m2 * m, m2 * m2)),
        ]
    )


def with_clusters(counts: Counts, moments: Floats) -> Counts:
    """Counts of independent examples, made those of clustered ones by `cluster_moments`."""
    n, p = counts.n, counts.values
    k, scatter, m2, m3, m4 = moments
    with np.errstate(invalid="ignore", divide="ignore"):
        effect = np.maximum(scatter / (n * p * (1 - p)), 1.0)
        effect = np.where((p <= 0) | (p >= 1), m2 / n, effect)
        r = np.clip((effect - 1) / (m2 / n - 1), 0.0, 1.0)
        first = n + (m2 - n) * r
        df = first * first / (m2 + 2 * r * (m3 - m2) + r * r * (m4 - 2 * m3 + m2)) - 1
        worth = n / effect
    alone = k == n
    df = np.where(alone, np.inf, np.where(k < 2, 0.0, df))
    return Counts(counts.successes, n, k.astype(np.int64), np.where(alone, n, worth), df)
