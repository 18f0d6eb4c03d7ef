"""Scores of both classes in order, and how sure a metric of them is, with clusters or without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftbench.evaluation._rates import Units
from shiftbench.evaluation._scores import POSITIVE, cluster_pair, one_class, oriented
from shiftbench.statistics import Clusters
from shiftbench.statistics.delong import Spread, auroc_influence, two_sample_spread
from shiftbench.statistics.ranks import Thresholds, merge
from shiftbench.statistics.sweep import Sweep, sweep

__all__ = ["Influence", "Ranked", "ranked"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Influence = Callable[[Counts, Counts], tuple[Floats, Floats]]


@dataclass(frozen=True)
class Ranked:
    """Both walks over the merged scores; with clusters, the scores too."""

    walks: dict[str, Sweep]
    n_id: int
    n_ood: int
    clusters: tuple[Clusters, Clusters] | None
    scores: tuple[NDArray[Any], NDArray[Any]] | None

    @cached_property
    def auroc(self) -> float:
        """Exact: a ratio of whole numbers, rounded once."""
        pairs = 2 * self.n_id * self.n_ood
        return (pairs - self.walks["ood"].twice_above) / pairs

    @cached_property
    def _thresholds(self) -> tuple[Thresholds, Counts, Counts]:
        assert self.scores is not None
        found = Thresholds.of(*self.scores)
        return found, found.index(self.scores[0]), found.index(self.scores[1])

    def counts(self, positive: str, *, every: bool = True) -> tuple[Counts, Counts]:
        """Positives and negatives at or beyond each value; not `every`: at what a walk kept."""
        if not every:
            walk = self.walks[positive]
            return walk.tp, walk.fp
        table = self._thresholds[0]
        if positive == "ood":
            return table.n_ood, table.n_id
        ascending = [
            np.cumsum(np.diff(c, prepend=0)[::-1]) for c in (table.n_id, table.n_ood)
        ]  # fmt: skip
        return ascending[0], ascending[1]

    def influences(self, positive: str, influence: Influence) -> tuple[Floats, Floats]:
        """One value an ID example and one an OOD example; only where the scores are kept."""
        _, id_places, ood_places = self._thresholds
        for_pos, for_neg = influence(*self.counts(positive))
        if positive == "ood":
            return for_neg[id_places], for_pos[ood_places]
        return for_pos[::-1][id_places], for_neg[::-1][ood_places]

    def spread(self, positive: str, influence: Influence, *, every: bool = False) -> Spread:
        """The variance of the metric whose influences these are; with clusters from all values."""
        if self.clusters is not None:
            return two_sample_spread(*self.influences(positive, influence), self.clusters)
        # By value, not by example: the order of the examples changes no bit.
        tp, fp = self.counts(positive, every=every)
        for_pos, for_neg = influence(tp, fp)
        new = (np.diff(tp, prepend=0), np.diff(fp, prepend=0))
        if positive == "ood":
            return two_sample_spread(for_neg, for_pos, weights=(new[1], new[0]))
        return two_sample_spread(for_pos, for_neg, weights=new)

    def auroc_spread(self) -> Spread:
        """DeLong's variance: without clusters exact, whatever the number of values kept.

        The degrees of freedom are from the values kept. Each class is looked at in the walk in
        which it is positive, so that both classes are treated alike to the last bit.
        """
        if self.clusters is not None:
            return self.spread("ood", auroc_influence)
        placed, new = [], []
        for name in ("id", "ood"):
            walk = self.walks[name]
            placed.append(auroc_influence(walk.tp, walk.fp)[0])
            new.append(np.diff(walk.tp, prepend=0))
        found = two_sample_spread(placed[0], placed[1], weights=(new[0], new[1]))
        if min(found.units) < 2:
            return found
        variance = sum(_placement_variance(walk) for walk in self.walks.values())
        return Spread(max(variance, 0.0), found.df, None, found.units)

    @cached_property
    def constant(self) -> bool:
        """Whether all scores are equal."""
        return len(self.walks["ood"].tp) == 1

    def units(self, positive: str) -> tuple[Units, Units]:
        """Positives and negatives, and what they are worth."""
        if self.clusters is None:
            id_, ood = Units(self.n_id), Units(self.n_ood)
        else:
            _, id_places, ood_places = self._thresholds
            tp, fp = self.counts(positive)
            reach = tp + fp
            if positive == "id":
                reach = reach[::-1]
            id_ = Units(self.n_id, self.clusters[0], reach[id_places])
            ood = Units(self.n_ood, self.clusters[1], reach[ood_places])
        return (ood, id_) if positive == "ood" else (id_, ood)


def _placement_variance(walk: Sweep) -> float:
    n = walk.n_pos
    total = walk.twice_above / 2
    squares = max(walk.squares - total * (total / n), 0.0)
    return squares / (n - 1) / n / (float(walk.n_neg) * walk.n_neg)


def ranked(
    id_scores: ArrayLike,
    ood_scores: ArrayLike,
    clusters: Any = None,
    score_is: str = "ood",
    *,
    keep: bool = False,
) -> Ranked:
    """Check both samples and put them in order; `keep` the scores where each has its influence."""
    first = oriented(id_scores, "id_scores", score_is)
    second = oriented(ood_scores, "ood_scores", score_is)
    one_class(first, second)
    pair = cluster_pair(clusters, len(first), len(second))
    merged = merge(first, second)
    kept = (first, second) if keep or pair is not None else None
    return Ranked(
        {name: sweep(merged, name) for name in POSITIVE}, len(first), len(second), pair, kept
    )
