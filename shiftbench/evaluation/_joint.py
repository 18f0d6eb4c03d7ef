"""ID and one or several OOD sets, resampled together: what the OOD bootstraps share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.evaluation._rank_bins import (
    RankBins,
    checked,
    curve_metrics,
    names,
    rank_bins,
    resampled,
)
from shiftbench.statistics import Clusters, Estimate
from shiftbench.statistics.bootstrap import (
    Interval,
    replicate_interval,
    smallest_stratum,
    strata_of,
)
from shiftbench.statistics.clusters import warn_across
from shiftbench.statistics.estimate import critical

Floats = NDArray[np.float64]

NAN = math.nan
BINS = 4096
UNDEFINED = 0.1
"""With more than this share of resamples without a value there is no interval."""


def kind_of(name: str) -> Interval:
    """The interval of a metric that held its level in the simulations."""
    return "percentile" if name.startswith("fpr") else "logit"


def check_rate(tpr: float) -> None:
    """Refuse a true-positive rate that is none."""
    if not 0 < tpr <= 1:
        raise ConfigurationError(
            f"tpr is {tpr!r}, but a rate lies above 0 and at most at 1, such as 0.95"
        )


def value_of(table: RankBins, part: int, tpr: float) -> Floats:
    """The metrics of one OOD sample of a table, against ID."""
    counts = table.counts()
    return np.asarray(curve_metrics(counts[:1], counts[part : part + 1], tpr)[:, 0])


def told_estimate(
    name: str,
    value: float,
    drawn: Floats,
    kind: Interval,
    words: Sequence[str],
    *,
    level: float,
    smallest: int,
    n_id: int,
    n_ood: int,
    n_clusters: int | None,
    shown: Mapping[str, Any],
    p_value: float | None = None,
) -> Estimate:
    """A value with the interval of its replicates, or with the reason why there is none."""
    critical(level)  # refuses what is no level, also where no interval comes of it
    told = drawn[np.isfinite(drawn)]
    undefined = len(drawn) - len(told)
    low = high = NAN
    method = " ".join([*words, "cluster"] if n_clusters is not None else words)
    method = f"{method} bootstrap, {kind}".strip()
    if smallest == 1:
        method = f"cannot tell: one {'example' if n_clusters is None else 'cluster'}"
    elif undefined > UNDEFINED * len(drawn):
        method = f"cannot tell: {undefined} of {len(drawn)} resamples have no value"
    else:
        low, high = replicate_interval(value, drawn, kind, level, smallest)
        if math.isnan(low):
            method = "cannot tell: all resamples have the same value"
    return Estimate(
        float(value),
        low,
        high,
        level=level,
        method=method,
        n=n_id + n_ood,
        n_clusters=n_clusters,
        n_id=n_id,
        n_ood=n_ood,
        positive="id" if name.endswith("id") else "ood",
        se=float(np.std(told, ddof=1)) if len(told) > 1 and smallest > 1 else NAN,
        p_value=None if math.isnan(low) else p_value,
        parameters={**shown, "undefined_resamples": undefined},
    )


class Joint:
    """The metrics of each set, on the samples and on joint resamples of ID and all sets."""

    def __init__(
        self,
        id_scores: ArrayLike,
        ood_sets: Mapping[str, ArrayLike],
        clusters: tuple[Any, Mapping[str, Any]] | None,
        n_resamples: int,
        seed: int,
        tpr: float,
        bins: int | None,
    ) -> None:
        if not ood_sets:
            raise ConfigurationError("there is no OOD set; give at least one, by name")
        check_rate(tpr)
        known = checked(id_scores, "ID scores")
        sets = [checked(ood, f"scores of {name!r}") for name, ood in ood_sets.items()]
        self.names = names(tpr)
        self.sizes = np.array([len(known), *map(len, sets)])
        self.units = joined_clusters(clusters, list(ood_sets), self.sizes)
        room = None if bins is None else bins * (len(sets) + 1) // 2
        table = rank_bins([known, *sets], room, tpr)
        self.strata = None if self.units is None else strata_of(self.units, table.parts)
        self.parts = table.parts
        if self.units is not None:
            of_id = table.parts == 0
            warn_across(self.units.codes[of_id], self.units.codes[~of_id], stacklevel=4)
        self.n_bins, self.exact = table.n_bins, table.exact
        self.shown: dict[str, Any] = {
            "n_resamples": n_resamples,
            "seed": seed,
            "n_bins": table.n_bins,
            "exact": table.exact,
        }
        found = [
            np.stack([curve_metrics(c[:, 0], c[:, k], tpr) for k in range(1, len(self.sizes))], 2)
            for (c,) in resampled([table], self.units, n_resamples, seed, "joint")
        ]
        exact = [value_of(rank_bins([known, one], None, tpr), 1, tpr) for one in sets]
        binned = [value_of(table, k, tpr) for k in range(1, len(self.sizes))]
        self.values = np.stack(exact, axis=1)
        moved = self.values - np.stack(binned, axis=1)
        self.replicates = np.clip(np.concatenate(found, axis=1) + moved[:, None], 0.0, 1.0)

    def estimate(
        self,
        name: str,
        value: float,
        drawn: Floats,
        level: float,
        kind: Interval,
        sets: Sequence[int],
        shown: Mapping[str, Any] | None = None,
        p_value: float | None = None,
        words: Sequence[str] = ("joint",),
    ) -> Estimate:
        """A number made of some sets' metrics; `drawn` is it on the resamples."""
        smallest, n_clusters, across = self.clusters_of(sets)
        told = {"clusters_across": across} if across else {}
        return told_estimate(
            name,
            value,
            drawn,
            kind,
            words,
            level=level,
            smallest=smallest,
            n_id=int(self.sizes[0]),
            n_ood=int(self.sizes[1:][list(sets)].sum()),
            n_clusters=n_clusters,
            shown={**self.shown, **told, **(shown or {})},
            p_value=p_value,
        )

    def clusters_of(self, sets: Sequence[int]) -> tuple[int, int | None, int]:
        """Units in the smallest stratum that ID and these sets lie in, in them all, and in both
        ID and a set."""
        concerned = [0, *(k + 1 for k in sets)]
        if self.units is None or self.strata is None:
            return int(self.sizes[concerned].min()), None, 0
        of_id, of_sets = np.zeros((2, self.units.n_clusters), bool)
        of_id[self.units.codes[self.parts == 0]] = True
        of_sets[self.units.codes[np.isin(self.parts, concerned[1:])]] = True
        inside = of_id | of_sets
        across = int(np.count_nonzero(of_id & of_sets))
        return smallest_stratum(self.strata[inside]), int(np.count_nonzero(inside)), across


def same_names(sets: Mapping[str, Any], given: Mapping[str, Any], what: str) -> None:
    """Refuse names that are missing from one of the two, with the nearest ones."""
    missing = [name for name in sets if name not in given]
    if missing:
        raise ConfigurationError(
            f"{what}: {len(missing)} of {len(sets)} OOD sets have none, the first is "
            f"{missing[0]!r}; {near_names(missing[0], map(str, given))}"
        )
    unknown = [name for name in given if name not in sets]
    if unknown:
        raise ConfigurationError(
            f"{what}: {unknown[0]!r} is no OOD set; {near_names(str(unknown[0]), map(str, sets))}"
        )


def joined_clusters(
    clusters: tuple[Any, Mapping[str, Any]] | None, sets: list[str], sizes: NDArray[Any]
) -> Clusters | None:
    """The units of ID and of all sets, numbered together."""
    if clusters is None:
        return None
    of_id, of_sets = clusters
    same_names(dict.fromkeys(sets), of_sets, "clusters")
    parts = [np.asarray(part) for part in (of_id, *(of_sets[name] for name in sets))]
    for name, part, size in zip(["ID", *sets], parts, sizes, strict=True):
        if part.shape != (size,):
            raise ConfigurationError(
                f"clusters of {name!r} have shape {part.shape}, but there are {size} scores; give "
                "one a score"
            )
    return Clusters.joined(parts)
