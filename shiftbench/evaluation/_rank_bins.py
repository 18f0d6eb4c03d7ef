"""Resampling on rank bins: scores become small tables of counts, and metrics follow from those.

Every ranking metric depends on the scores through the order of ID and OOD alone. So the merged
scores are cut into bins of neighbouring ranks once, and a resample is a table of counts: as many
numbers as there are bins, not as many as examples. The bins are narrow where a metric looks
closely: at both ends of the ranking, for average precision, and around the thresholds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from shiftbench.errors import ConfigurationError
from shiftbench.statistics import Clusters, stream
from shiftbench.statistics.bootstrap import resample_counts, strata_of
from shiftbench.statistics.ranks import scores_of

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

CELLS = 1_000_000
"""Counts held at a time: some ten arrays of them still fit into a processor's cache and memory."""
WIDEST = 3.7
"""asinh of how far around a threshold the bins are narrow, in standard errors: sinh(3.7) = 20, so
that clusters which multiply the variance by 10 still move inside."""


@dataclass(frozen=True)
class RankBins:
    """The bin of each example, for samples laid end to end: ID first.

    Attributes
    ----------
    codes : (n,) int32 array
        From 0, in ascending order of the scores.
    parts : (n,) int32 array
        The sample of each example: 0 is ID.
    ranks : (n,) int32 array
        As `codes`, but each distinct score is a bin.
    n_bins, n_parts : int
    exact : bool
        Each bin is one distinct score.
    """

    codes: NDArray[np.int32]
    parts: NDArray[np.int32]
    ranks: NDArray[np.int32]
    n_bins: int
    n_parts: int
    exact: bool

    def counts(self) -> Counts:
        """Examples in each bin: (n_parts, n_bins)."""
        cells = self.parts.astype(np.int64) * self.n_bins + self.codes
        found = np.bincount(cells, minlength=self.n_parts * self.n_bins)
        return found.reshape(self.n_parts, self.n_bins)


def checked(scores: ArrayLike, name: str) -> Floats:
    """The scores as float64, in one dimension, without NaN; raises as `scores_of`."""
    found = scores_of(scores, name)
    if not len(found):
        raise ConfigurationError(f"{name} is empty, but at least one example was expected")
    return np.asarray(found, dtype=np.float64)


def rank_bins(samples: Sequence[Floats], bins: int | None, tpr: float) -> RankBins:
    """Cut the merged scores of some samples into bins of neighbouring ranks.

    Ties are never cut, and there are at most `bins`. With no more distinct scores than that, or
    with None, each is a bin.
    """
    merged = np.concatenate(samples)
    sizes = [len(sample) for sample in samples]
    parts = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    order = np.argsort(merged)
    ranked = merged[order]
    first = np.empty(len(ranked), bool)
    first[0] = True
    np.not_equal(ranked[1:], ranked[:-1], out=first[1:])
    exact = bins is None or np.count_nonzero(first) <= bins
    ranks = np.empty(len(merged), np.int32)
    ranks[order] = np.cumsum(first, dtype=np.int32) - 1
    codes = ranks
    if not exact and bins is not None:
        first = _coarser(first, parts[order], len(sizes), bins, tpr)
        codes = np.empty(len(merged), np.int32)
        codes[order] = np.cumsum(first, dtype=np.int32) - 1
    return RankBins(codes, parts, ranks, int(np.count_nonzero(first)), len(sizes), bool(exact))


def _coarser(
    first: NDArray[np.bool_], parts: NDArray[np.int32], n_parts: int, bins: int, tpr: float
) -> NDArray[np.bool_]:
    """Where bins begin, of all places where a distinct score begins."""
    n = len(first)
    # Each place that is wanted begins a bin and ends one.
    many = max(2, bins // (4 + 10 * n_parts))
    ends = np.unique(np.geomspace(1, n, many).astype(np.int64))
    wanted = [ends - 1, n - ends]
    for part in range(n_parts):
        places = np.flatnonzero(parts == part)
        wanted.append(places[np.linspace(0, len(places) - 1, many).astype(np.int64)])
        # A sample is a positive class where it is OOD, from the top, and where it is ID, from the
        # bottom: its threshold moves by the standard error of that order statistic.
        share = tpr if part == 0 else 1 - tpr
        step = np.sqrt(len(places) * share * (1 - share)) + 1
        around = share * len(places) + step * np.sinh(np.linspace(-WIDEST, WIDEST, 2 * many))
        near = places[np.clip(np.rint(around).astype(np.int64), 0, len(places) - 1)]
        wanted += [near, np.minimum(near + 1, n - 1)]
    begins = np.flatnonzero(first)
    chosen = np.concatenate(wanted)
    # A place inside a run of ties moves to the run's beginning, and to the next one's.
    at = np.searchsorted(begins, chosen, side="right") - 1
    coarse = np.zeros(n, bool)
    coarse[begins[at]] = True
    coarse[begins[np.minimum(at + 1, len(begins) - 1)]] = True
    coarse[0] = True
    return coarse


def resampled(
    detectors: Sequence[RankBins],
    clusters: Clusters | None,
    n_resamples: int,
    seed: int,
    ident: str = "",
) -> Iterator[tuple[Counts | Floats, ...]]:
    """Tables of counts, (resamples, n_parts, n_bins), some resamples at a time.

    One table for each detector; all of them see the same resample of the same examples. Without
    clusters each sample is drawn by itself; with them, samples that share clusters together.
    Neither the order of the examples nor the names of the clusters change the numbers: what is
    drawn from is put in order of the scores first.
    """
    if n_resamples < 1:
        raise ConfigurationError(f"n_resamples is {n_resamples}; at least 1 is needed")
    width = sum(table.n_parts * table.n_bins for table in detectors)
    block = max(1, CELLS // width)
    contents = _contents(detectors)
    if clusters is not None:
        clusters = clusters.by_content(contents)
        yield from _by_cluster(detectors, clusters, n_resamples, seed, ident, block)
        return
    drawers = [
        _Drawer(detectors, contents, part, stream(seed, "bootstrap", f"{ident}\x1f{part}"))
        for part in range(detectors[0].n_parts)
    ]
    for start in range(0, n_resamples, block):
        rows = min(block, n_resamples - start)
        drawn = [drawer.draw(rows) for drawer in drawers]
        yield tuple(
            np.stack([found[which] for found in drawn], axis=1) for which in range(len(detectors))
        )


def _contents(detectors: Sequence[RankBins]) -> Counts:
    """What each example is, its sample and its ranks, as one number.

    Of two detectors the one goes first whose ranks are then the lesser, so that exchanging the two
    changes no number either.
    """
    found = [_folded(detectors)]
    if len(detectors) > 1:
        found.append(_folded(detectors[::-1]))
        ordered = [np.sort(one) for one in found]
        spans = [detectors[-1].ranks.max() + 1, detectors[0].ranks.max() + 1]
        parted = [np.divmod(one, span) for one, span in zip(ordered, spans, strict=True)]
        differs = np.flatnonzero((parted[0][1] != parted[1][1]) | (parted[0][0] != parted[1][0]))
        if len(differs):
            one, two = ((int(a[differs[0]]), int(b[differs[0]])) for a, b in parted)
            return found[0] if one < two else found[1]
    return found[0]


def _folded(detectors: Sequence[RankBins]) -> Counts:
    found = detectors[0].parts.astype(np.int64)
    for table in detectors:
        found *= int(table.ranks.max()) + 1
        found += table.ranks
    return found


class _Drawer:
    """Resamples of one sample whose examples are independent."""

    def __init__(
        self,
        detectors: Sequence[RankBins],
        contents: Counts,
        part: int,
        generator: np.random.Generator,
    ) -> None:
        inside = np.flatnonzero(detectors[0].parts == part)
        inside = inside[np.argsort(contents[inside])]
        self.codes = [table.codes[inside] for table in detectors]
        self.n_bins = [table.n_bins for table in detectors]
        self.n = len(self.codes[0])
        self.generator = generator
        counts = np.bincount(self.codes[0], minlength=self.n_bins[0])
        self.occupied = np.flatnonzero(counts)
        self.shares = counts[self.occupied] / self.n
        # A multinomial draw costs as much for a bin as about a dozen examples cost.
        self.by_bin = len(detectors) == 1 and self.n > 12 * len(self.occupied)

    def draw(self, rows: int) -> list[Counts]:
        if self.by_bin:
            table = np.zeros((rows, self.n_bins[0]), np.int64)
            table[:, self.occupied] = self.generator.multinomial(self.n, self.shares, size=rows)
            return [table]
        tables = [np.empty((rows, width), np.int64) for width in self.n_bins]
        for row in range(rows):
            chosen = self.generator.integers(0, self.n, size=self.n, dtype=np.int64)
            for table, codes, width in zip(tables, self.codes, self.n_bins, strict=True):
                table[row] = np.bincount(codes[chosen], minlength=width)
        return tables


def _by_cluster(
    detectors: Sequence[RankBins],
    clusters: Clusters,
    n_resamples: int,
    seed: int,
    ident: str,
    block: int,
) -> Iterator[tuple[Floats, ...]]:
    strata = strata_of(clusters, detectors[0].parts)
    # How often each cluster has an example in each cell; a resample is a sum of its columns.
    tables = []
    for bins in detectors:
        cells = bins.parts.astype(np.int64) * bins.n_bins + bins.codes
        shape = (bins.n_parts * bins.n_bins, clusters.n_clusters)
        tables.append(csr_array((np.ones(len(cells)), (cells, clusters.codes)), shape=shape))
    block = min(block, max(1, 4 * CELLS // clusters.n_clusters))
    for weights in resample_counts(
        clusters.n_clusters, n_resamples, seed, ident, strata=strata, block=block
    ):
        turned = np.ascontiguousarray(weights.T, np.float64)
        yield tuple(
            np.ascontiguousarray((table @ turned).T).reshape(-1, bins.n_parts, bins.n_bins)
            for table, bins in zip(tables, detectors, strict=True)
        )


def names(tpr: float) -> tuple[str, ...]:
    """What `curve_metrics` computes, in its order."""
    at = f"{100 * tpr:g}".replace(".", "_")
    return ("auroc", "aupr_ood", "aupr_id", f"fpr_at_{at}tpr_ood", f"fpr_at_{at}tpr_id")


def curve_metrics(id_counts: ArrayLike, ood_counts: ArrayLike, tpr: float) -> Floats:
    """The ranking metrics of tables of counts, (r, n_bins) each: (5, r), in the order of `names`.

    A bin is a tie. Average precision, and the false-positive rate at the first point of the full
    ROC whose TPR reaches `tpr`; each with OOD positive, then with ID. Without ID or OOD: nan.
    """
    id_, ood = np.asarray(id_counts, np.float64), np.asarray(ood_counts, np.float64)
    rows = np.arange(len(id_))
    n_id, n_ood = id_.sum(axis=1), ood.sum(axis=1)
    id_up, ood_up = np.cumsum(id_, axis=1), np.cumsum(ood, axis=1)
    id_down = n_id[:, None] - id_up + id_
    ood_down = n_ood[:, None] - ood_up + ood
    found = np.empty((5, len(id_)))
    with np.errstate(invalid="ignore", divide="ignore"):
        found[0] = (np.einsum("rb,rb->r", ood, id_up) - np.einsum("rb,rb->r", ood, id_) / 2) / (
            n_id * n_ood
        )
        share = ood_down / np.maximum(id_down + ood_down, 1)
        found[1] = np.einsum("rb,rb->r", ood, share) / n_ood
        share = id_up / np.maximum(id_up + ood_up, 1)
        found[2] = np.einsum("rb,rb->r", id_, share) / n_id
        last = np.count_nonzero(ood_down / n_ood[:, None] >= tpr, axis=1) - 1
        found[3] = id_down[rows, last] / n_id
        begin = id_.shape[1] - np.count_nonzero(id_up / n_id[:, None] >= tpr, axis=1)
        found[4] = ood_up[rows, np.minimum(begin, id_.shape[1] - 1)] / n_ood
    found[:, (n_id == 0) | (n_ood == 0)] = np.nan
    return found
