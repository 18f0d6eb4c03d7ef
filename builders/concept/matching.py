"""Source and target made alike in chosen covariates, without a look at the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError

from ..shared.categories import categories, need_varying, numbers
from ..shared.counted import ring_ranks
from ..shared.division import uniforms
from ..shared.labelled import Labelled
from .contexts import Sides
from .remaining import is_number, mean_differences, need_overlap_inside, warnings_of

__all__ = ["Matched", "match_overlap", "match_strata", "unmatched"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

MOST_TO_ONE = 50
MOST_FITTED = 20_000
"""A propensity is fitted to at most so many examples."""
BETWEEN = (0.1, 0.9)
"""Probabilities of the target between which an example counts as overlapping."""
_AT_ONCE = 2**16
_PENALTY = 100.0  # weak: a shrunk propensity would see an overlap where there is none


@dataclass(frozen=True, eq=False)
class Matched:
    """What is kept of either side.

    Attributes
    ----------
    source, target : int64 arrays
        Rows, ascending.
    strata : (n,) int64 array
        The stratum of every example, in which the source's splits are to be made alike.
    notes : dict
        How many were kept, and how far the matched columns of numbers still are apart, for the
        card.
    warnings : tuple of str
        Matched columns whose means still differ.
    """

    source: Codes
    target: Codes
    strata: Codes
    notes: dict[str, Any]
    warnings: tuple[str, ...] = ()


def unmatched(found: Labelled, sides: Sides) -> Matched:
    """Everything kept; the splits are made alike in the class."""
    return Matched(sides.source, sides.target, found.label.codes, {})


def match_strata(
    found: Labelled, sides: Sides, columns: Sequence[str], bins: int, least: int, seed: int
) -> Matched:
    """Equal shares of every combination of values on both sides.

    Of each stratum s the smaller side keeps u(s) examples and the larger k u(s), with one whole k,
    so that the shares are the same exactly. k is the one that leaves most information on the
    difference of two means, U k / (k + 1), U being Σ u(s).

    Parameters
    ----------
    found : Labelled
    sides : Sides
    columns : sequence of str
        Columns of numbers with more than `bins` different values are cut at their quantiles over
        both sides. A missing value is a value.
    bins : int
    least : int
        Clusters that each side must keep.
    seed : int

    Raises
    ------
    ConfigurationError
        A column that is not there or constant, or too little in common: too few strata, or a column
        that tells source from target inside the ranges it was cut into.
    """
    rows = np.concatenate([sides.source, sides.target])
    key = np.zeros(len(rows), np.int64)
    for name in columns:
        code = _levels(found, name, rows, bins)
        # Kept dense column by column, so that many columns never overflow.
        key = np.unique(key * (code.max(initial=0) + 1) + code, return_inverse=True)[1]
    n = int(key.max(initial=-1)) + 1
    own = key[: len(sides.source)], key[len(sides.source) :]
    counts = [np.bincount(k, minlength=n) for k in own]
    smaller = int(len(own[1]) < len(own[0]))
    unit, times = _units(counts[1 - smaller], counts[smaller])
    kept = []
    for side, (side_rows, code) in enumerate(zip((sides.source, sides.target), own, strict=True)):
        wanted = unit if side == smaller else times * unit
        names = (str(s) for s in range(n))
        rank = ring_ranks(found, side_rows, code, names, seed, f"concept match {side}")
        kept.append(side_rows[rank < wanted[code]])
    strata = np.zeros(len(found), np.int64)
    strata[rows] = key
    notes = {
        "columns": list(columns),
        "method": "strata",
        "strata_in_both": int(((counts[0] > 0) & (counts[1] > 0)).sum()),
        "strata": n,
        **_kept(found, sides, kept[0], kept[1]),
    }
    _need(notes, least, "match on fewer columns, lower --bins, or lower --min-clusters")
    need_overlap_inside(found, columns, kept, strata, bins)
    notes["standardised_mean_differences"] = left = mean_differences(found, columns, kept)
    return Matched(kept[0], kept[1], strata, notes, warnings_of(left, "raise --bins"))


def match_overlap(
    found: Labelled, sides: Sides, fit: Sides, columns: Sequence[str], least: int, seed: int
) -> Matched:
    """Both sides thinned to where they overlap, by a propensity fitted on other examples.

    With e(x) the probability of the target, both sides equally frequent, the source keeps each
    example with a probability in proportion to e(x) and the target to 1 − e(x): both then have the
    density p q / (p + q), as far as e is right.

    Parameters
    ----------
    found : Labelled
    sides : Sides
        To be thinned.
    fit : Sides
        To fit the logistic regression on; other clusters.
    columns : sequence of str
        The covariates.
    least : int
        Effective clusters that each side needs under these weights, and clusters that it must keep.
    seed : int

    Raises
    ------
    ConfigurationError
        A column that is not there or constant, or no overlap.

    References
    ----------
    Li, Morgan & Zaslavsky, JASA 113 (2018), overlap weights.
    """
    for name in columns:
        _levels(found, name, np.concatenate([sides.source, sides.target]), 1)
    propensity = _propensity(found, fit, columns, seed)
    found_p = propensity(sides.source), propensity(sides.target)
    weights = found_p[0], 1 - found_p[1]
    auc = _auc(weights[0], 1 - weights[1])
    effective = [
        _effective(w, found.cluster[rows])
        for w, rows in zip(weights, (sides.source, sides.target), strict=True)
    ]
    between = [
        len(np.unique(found.cluster[rows[(p >= BETWEEN[0]) & (p <= BETWEEN[1])]]))
        for p, rows in zip(found_p, (sides.source, sides.target), strict=True)
    ]
    told = f"an AUC of {auc:.3f} tells them apart by {', '.join(columns)}"
    if min(*effective, *between) < least:
        raise ConfigurationError(
            f"no overlap of the covariates: {told}; of source and target {between[0]} and "
            f"{between[1]} independent units lie where either is likely ({BETWEEN[0]} to "
            f"{BETWEEN[1]}), under overlap weights worth {effective[0]:.1f} and "
            f"{effective[1]:.1f}, and {least} of each are needed; match on fewer columns, name "
            "other contexts, or lower --min-clusters"
        )
    kept = []
    for rows, w in zip((sides.source, sides.target), weights, strict=True):
        drawn = uniforms(found.ids(rows), seed, "concept overlap")
        kept.append(rows[drawn < w / w.max(initial=1e-300)])
    notes = {
        "columns": list(columns),
        "method": "overlap",
        "auc_before": auc,
        "effective_units": {"source": effective[0], "target": effective[1]},
        "overlapping_units": {"source": between[0], "target": between[1]},
        **_kept(found, sides, kept[0], kept[1]),
    }
    _need(notes, least, f"{told}: match on fewer columns, or lower --min-clusters")
    notes["standardised_mean_differences"] = left = mean_differences(found, columns, kept)
    advice = "the propensity does not fit; take --method strata"
    return Matched(kept[0], kept[1], found.label.codes, notes, warnings_of(left, advice))


def _levels(found: Labelled, name: str, rows: Codes, bins: int) -> Codes:
    """A column as codes from 0, numbers cut into bins; 0 is missing."""
    if not is_number(found, name):
        known = categories(found.examples, name, "match").take(rows)
        need_varying(known, name, "match")
        return known.codes + 1
    values = numbers(found.examples, name, "match")[rows]
    missing = np.isnan(values)
    different = np.unique(values[~missing])
    if len(different) < 2:
        raise ConfigurationError(
            f"match names the column {name!r}, in which every example of the two contexts has one "
            "value or none; leave it out"
        )
    edges = different
    if len(different) > bins:
        shares = np.arange(1, bins) / bins
        edges = np.unique(np.quantile(values[~missing], shares, method="inverted_cdf"))
    return np.where(missing, 0, np.searchsorted(edges, values, side="left") + 1)


def _units(larger: Codes, smaller: Codes) -> tuple[Codes, int]:
    """Of each stratum the smaller side's number, and how many times as many the larger keeps."""
    best: tuple[float, Codes, int] = (-1.0, smaller, 1)
    for times in range(1, MOST_TO_ONE + 1):
        unit = np.minimum(larger // times, smaller)
        worth = float(unit.sum()) * times / (times + 1)
        if worth > best[0]:
            best = worth, unit, times
    return best[1], best[2]


def _propensity(found: Labelled, fit: Sides, columns: Sequence[str], seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    from shiftbench.spaces.tabular import Tabular

    table = found.examples.select(list(columns))
    rows = [_some(found, r, MOST_FITTED // 2, seed) for r in (fit.source, fit.target)]
    space = Tabular(only=tuple(columns))
    fitted = space.fit(space.raw(table.take(pa.array(np.sort(np.concatenate(rows))))))
    features = [fitted.transform(space.raw(table.take(pa.array(r)))) for r in rows]
    side = np.repeat([0, 1], [len(r) for r in rows])
    model = LogisticRegression(C=_PENALTY, max_iter=2000, class_weight="balanced")
    model.fit(np.concatenate(features), side)

    def probability(of: Codes) -> Floats:
        parts = [
            model.predict_proba(fitted.transform(space.raw(table.take(pa.array(some)))))[:, 1]
            for some in np.array_split(of, max(1, len(of) // _AT_ONCE))
        ]
        return np.asarray(np.concatenate(parts))

    return probability


def _some(found: Labelled, rows: Codes, most: int, seed: int) -> Codes:
    if len(rows) <= most:
        return rows
    drawn = uniforms(found.ids(rows), seed, "concept propensity")
    return np.sort(rows[np.argsort(drawn, kind="stable")[:most]])


def _auc(source: Floats, target: Floats) -> float:
    from sklearn.metrics import roc_auc_score

    side = np.repeat([0, 1], [len(source), len(target)])
    return float(roc_auc_score(side, np.concatenate([source, target])))


def _effective(weights: Floats, clusters: Codes) -> float:
    sums = np.bincount(clusters, weights=weights)
    return float(sums.sum() ** 2 / max((sums**2).sum(), 1e-300))


def _kept(found: Labelled, sides: Sides, source: Codes, target: Codes) -> dict[str, Any]:
    return {
        name: {
            "before": len(before),
            "kept": len(after),
            "units": len(np.unique(found.cluster[after])),
        }
        for name, before, after in (
            ("source", sides.source, source),
            ("target", sides.target, target),
        )
    }


def _need(notes: dict[str, Any], least: int, what_to_do: str) -> None:
    for side in ("source", "target"):
        have = notes[side]
        if have["units"] < least:
            raise ConfigurationError(
                f"matched on {', '.join(notes['columns'])}, the {side} keeps {have['kept']} of "
                f"{have['before']} examples, of {have['units']} independent units; {least} are "
                f"needed; {what_to_do}"
            )
