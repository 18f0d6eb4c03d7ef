"""What more patches bring: AUROC of clusters against the patches that their score is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation._rank_bins import checked
from shiftbench.evaluation.patches import (
    How,
    check_how,
    first_of,
    holders,
    per_cluster,
    units_of,
)
from shiftbench.statistics import Clusters, Estimate, stream
from shiftbench.statistics.clusters import warn_across
from shiftbench.statistics.delong import auroc_limits, placements, two_sample_spread

__all__ = ["PatchCurve", "ood_by_patches"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Bools = NDArray[np.bool_]
TooFew = Literal["keep", "drop"]

TOO_FEW: tuple[TooFew, ...] = ("keep", "drop")


@dataclass(frozen=True)
class PatchCurve:
    """AUROC of clusters against the number of patches that each one's score is made of.

    Attributes
    ----------
    counts : tuple of int or None
        Patches drawn from each cluster; None is all there are.
    points : tuple of Estimate
        The mean AUROC over the draws. `n`, `n_id` and `n_ood` count clusters, not patches;
        `parameters` says how many clusters had fewer patches than wanted.
    """

    counts: tuple[int | None, ...]
    points: tuple[Estimate, ...]


def ood_by_patches(
    id_scores: ArrayLike,
    id_clusters: Any,
    ood_scores: ArrayLike,
    ood_clusters: Any,
    counts: Sequence[int | None] = (1, 2, 4, 8, None),
    *,
    how: How = "mean",
    k: int = 3,
    units: tuple[Any, Any] | None = None,
    too_few: TooFew = "keep",
    n_draws: int = 20,
    seed: int = 0,
    level: float = 0.95,
) -> PatchCurve:
    """AUROC at the level of clusters, against the number of patches drawn from each.

    From each cluster `count` patches are drawn without replacement, their scores made one, and the
    clusters compared; that is done `n_draws` times and averaged. Draws are nested: the patches
    drawn for 2 are among those drawn for 4.

    Parameters
    ----------
    id_scores, ood_scores : (n_id,) and (n_ood,) arrays
        Of patches; higher is more OOD.
    id_clusters, ood_clusters : (n_id,) and (n_ood,) names
        What each patch was cut from. A name on both sides is one cluster, with a score on each.
    counts : sequence of int or None
        None is all patches.
    how, k
        See `aggregate`.
    units : pair of names, optional
        For each patch, the independent unit that its cluster belongs to, where that is coarser: the
        patient of several radiographs.
    too_few : str
        What happens to clusters with fewer patches than `count`: ``keep`` uses all that they have,
        so that every count compares the same clusters; ``drop`` leaves them out at that count.
    n_draws, seed : int
    level : float

    Returns
    -------
    PatchCurve
        The interval is of the expected AUROC over draws, for new clusters of the same kind: logit
        DeLong on the clusters' placements, averaged over the draws.

    Raises
    ------
    ConfigurationError
        NaN scores, lengths that differ, a count below 1, a cluster that lies in two units.

    References
    ----------
    DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44; Obuchowski (1997), Biometrics 53.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> patients = np.repeat(np.arange(40), 8)
    >>> a, b = rng.normal(0, 1, 320), rng.normal(0.7, 1, 320)
    >>> curve = ood_by_patches(a, patients, b, patients + 40, counts=(1, 4))
    >>> curve.points
    (Estimate(0.7... [0.6..., 0.7...], n=80, logit DeLong, t),
     Estimate(0.8... [0.7..., 0.9...], n=80, logit DeLong, t))
    """
    check_how(how, k)
    if too_few not in TOO_FEW:
        raise ConfigurationError(f"too_few is {too_few!r}; there are 'keep' and 'drop'")
    if n_draws < 1:
        raise ConfigurationError(f"n_draws is {n_draws}; at least one draw is needed")
    wrong = [count for count in counts if count is not None and not _is_count(count)]
    if wrong or not counts:
        raise ConfigurationError(
            f"counts has {wrong or 'nothing'}; give whole numbers from 1 on, or None"
        )
    sides = [
        _Side(checked(id_scores, "ID scores"), id_clusters, units and units[0], "ID", seed),
        _Side(checked(ood_scores, "OOD scores"), ood_clusters, units and units[1], "OOD", seed),
    ]
    pair = Clusters.pair(sides[0].independent, sides[1].independent)
    across = warn_across(pair[0].codes, pair[1].codes, stacklevel=3)
    shared = units is not None or across > 0
    points = _points(sides, shared, across, counts, how, k, too_few, n_draws, seed, level)
    return PatchCurve(tuple(counts), points)


def _is_count(count: Any) -> bool:
    return isinstance(count, int | np.integer) and int(count) >= 1


class _Side:
    """The patches of ID or of OOD, and how they are drawn."""

    def __init__(self, scores: Floats, clusters: Any, units: Any, side: str, seed: int) -> None:
        self.side, self.seed = side, seed
        given = units_of(clusters, len(scores), f"{side} clusters")
        first = first_of(given)
        named = np.asarray(clusters)[first]
        independent = named
        if units is not None:
            coarse = units_of(units, len(scores), f"{side} units")
            holders(given, coarse, clusters, side)
            independent = np.asarray(units)[first]
        # In order of what the clusters hold, so that the draws do not depend on that of the rows.
        words = np.array([str(name) for name in named.tolist()])
        ranks = np.searchsorted(np.sort(scores), scores)
        ties = np.empty(len(words), np.int64)
        ties[np.argsort(words, kind="stable")] = np.arange(len(words))
        numbered = given.by_content(ranks, ties)
        order = np.lexsort((ranks, numbered.codes))
        self.scores = scores[order]
        self.clusters = Clusters(numbered.codes[order], numbered.n_clusters)
        self.sizes = self.clusters.sizes
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.independent = np.empty_like(independent)
        self.independent[numbered.codes[first]] = independent

    def order(self, draw: int) -> Codes:
        """All patches by cluster, in random order within each."""
        keys = stream(self.seed, "patches", f"{self.side}\x1f{draw}").random(len(self.scores))
        return np.lexsort((keys, self.clusters.codes))

    def drawn(self, order: Codes, count: int | None, how: How, k: int, inside: Bools) -> Floats:
        """The scores of the clusters `inside`, of the first `count` patches of each."""
        codes, scores = self.clusters.codes, self.scores[order]  # ordered, the codes stay
        sizes = self.sizes
        if count is not None:
            wanted = np.arange(len(order)) - self.starts[codes] < count
            codes, scores = codes[wanted], scores[wanted]
            sizes = np.minimum(sizes, count)
        return per_cluster(scores, codes, sizes, how, k)[inside]


class _Count:
    """The clusters that are compared at one count, and what the draws gave so far."""

    def __init__(self, sides: list[_Side], count: int | None, too_few: TooFew) -> None:
        least = count if count is not None and too_few == "drop" else 0
        self.count = count
        self.inside = [s.sizes >= least for s in sides]
        self.n = [int(np.count_nonzero(keep)) for keep in self.inside]
        self.short = [0 if count is None else int(np.count_nonzero(s.sizes < count)) for s in sides]
        # Where every cluster gives all its patches there is only one draw.
        self.same = count is None or all(
            s.sizes[keep].max(initial=0) <= count
            for s, keep in zip(sides, self.inside, strict=True)
        )
        self.placed = [np.zeros(n) for n in self.n]
        self.values: list[float] = []

    @property
    def empty(self) -> bool:
        return not all(self.n)

    def add(self, scores: list[Floats]) -> None:
        of_id, of_ood = placements(scores[0], scores[1])
        self.values.append(float(of_ood.mean()))
        self.placed[0] += of_id
        self.placed[1] += of_ood


def _points(
    sides: list[_Side],
    shared: bool,
    across: int,
    counts: Sequence[int | None],
    how: How,
    k: int,
    too_few: TooFew,
    n_draws: int,
    seed: int,
    level: float,
) -> tuple[Estimate, ...]:
    found = [_Count(sides, count, too_few) for count in counts]
    for draw in range(n_draws):
        more = [one for one in found if not one.empty and (draw == 0 or not one.same)]
        if not more:
            break
        orders = [side.order(draw) for side in sides]
        for one in more:
            both = zip(sides, orders, one.inside, strict=True)
            one.add([s.drawn(order, one.count, how, k, keep) for s, order, keep in both])
    shown: dict[str, Any] = {
        "aggregation": how if how != "top_k" else f"mean of the top {k}",
        "too_few": too_few,
        "n_draws": n_draws,
        "seed": seed,
        **({"clusters_across": across} if across else {}),
    }
    return tuple(_estimate(one, sides, shared, shown, level) for one in found)


def _estimate(
    one: _Count, sides: list[_Side], shared: bool, shown: dict[str, Any], level: float
) -> Estimate:
    told = {
        "patches": "all" if one.count is None else one.count,
        **shown,
        "clusters_with_fewer": {"id": one.short[0], "ood": one.short[1]},
    }
    base: dict[str, Any] = {
        "level": level,
        "n": sum(one.n),
        "n_id": one.n[0],
        "n_ood": one.n[1],
        "positive": "ood",
        "parameters": told,
    }
    if one.empty:
        which = "OOD" if one.n[0] else "ID"
        method = f"cannot tell: no {which} cluster has {one.count} patches"
        return Estimate(float("nan"), method=method, **base)
    values = one.values
    placed = [total / len(values) for total in one.placed]
    pair = None
    if shared:
        names = [s.independent[keep] for s, keep in zip(sides, one.inside, strict=True)]
        pair = Clusters.pair(*names)
    spread = two_sample_spread(placed[0], placed[1], pair)
    value = float(np.mean(values))
    low, high, method = auroc_limits(value, spread, level)
    if len(values) > 1:
        told["se_of_draws"] = float(np.std(values, ddof=1) / np.sqrt(len(values)))
    return Estimate(
        value, low, high, method=method, se=spread.se, n_clusters=spread.n_clusters, **base
    )
