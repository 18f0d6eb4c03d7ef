"""Many detectors on the same examples: their AUROCs, compared pairwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation._scores import cluster_pair, one_class, oriented
from shiftbench.evaluation.comparison import ModelComparison, holm, pairs_of
from shiftbench.statistics import Clusters
from shiftbench.statistics.delong import p_value, placements, two_sample_spread
from shiftbench.statistics.estimate import critical
from shiftbench.statistics.ranks import scores_of

__all__ = ["compare_detectors"]

Floats = NDArray[np.float64]


def compare_detectors(
    scores: Mapping[str, tuple[ArrayLike, ArrayLike]],
    clusters: Any = None,
    *,
    reference: str | None = None,
    score_is: str = "ood",
    level: float = 0.95,
) -> ModelComparison:
    """Differences of the AUROCs of detectors that scored the same examples.

    Parameters
    ----------
    scores : mapping of name to (id_scores, ood_scores)
        (n_id,) and (n_ood,) arrays, the examples in the same order in all.
    clusters : pair of names, or names of all n_id + n_ood examples, optional
        As in `ood`.
    reference : str, optional
        Compare each other detector with this one only.
    score_is : {"ood", "confidence"}
    level : float
        Of the intervals, together.

    Returns
    -------
    ModelComparison
        `values` are AUROCs; p-values are Holm's and intervals Bonferroni's, so that they hold for
        all pairs together. `ranking_of` makes ranks of it.

    Raises
    ------
    ConfigurationError
        Fewer than two detectors, another number of examples, NaN.

    Assumptions
    -----------
    Examples (clusters) are independent; a detector's scores are given, as trained once.

    References
    ----------
    DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44, 837–845 (paired); Obuchowski 1997
    (clusters); Holm 1979, Scandinavian Journal of Statistics 6, 65–70.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> one, other = rng.normal(size=200), rng.normal(1, 1, 200)
    >>> noise = rng.normal(size=(2, 200)) * 2
    >>> found = compare_detectors({"a": (one, other), "b": (one + noise[0], other + noise[1])})
    >>> row = found.to_rows()[0]
    >>> row["model"], row["compared_to"], row["value"] > 0, row["p_adjusted"] < 0.001
    ('a', 'b', True, True)
    """
    names = tuple(scores)
    if len(names) < 2:
        raise ConfigurationError(f"a comparison takes two detectors, and {len(names)} is given")
    values = np.empty(len(names))
    moved: list[tuple[Floats, Floats]] = []
    n_id = n_ood = 0
    for i, name in enumerate(names):
        id_, ood = (
            scores_of(oriented(s, what, score_is), what)
            for s, what in zip(
                scores[name], (f"id_scores of {name!r}", f"ood_scores of {name!r}"), strict=True
            )
        )
        one_class(id_, ood)
        if i and (len(id_), len(ood)) != (n_id, n_ood):
            raise ConfigurationError(
                f"the detector {name!r} has {len(id_)} ID and {len(ood)} OOD scores, and "
                f"{names[0]!r} {n_id} and {n_ood}; all have to score the same examples"
            )
        n_id, n_ood = len(id_), len(ood)
        above, below = placements(id_, ood)
        values[i] = below.mean()
        moved.append((above, below))
    pair = cluster_pair(clusters, n_id, n_ood)
    first, second = pairs_of(names, reference)
    together = 1 - (1 - level) / len(first)
    columns: dict[str, list[float]] = {c: [] for c in ("low", "high", "se", "p")}
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        gap = values[a] - values[b]
        low, high, se, p = _one(moved[a], moved[b], gap, pair, together)
        for column, value in zip(columns.values(), (low, high, se, p), strict=True):
            column.append(value)
    found = {c: np.array(v) for c, v in columns.items()}
    clustered = pair is not None
    return ModelComparison(
        names, values, first, second, values[first] - values[second], found["low"],
        found["high"], found["se"], found["p"], holm(found["p"]), level, "holm",
        f"{'clustered ' if clustered else ''}paired DeLong, t, Bonferroni",
        n_id + n_ood, _units(pair) if pair is not None else None,
    )  # fmt: skip


def _one(
    a: tuple[Floats, Floats],
    b: tuple[Floats, Floats],
    gap: float,
    clusters: tuple[Clusters, Clusters] | None,
    level: float,
) -> tuple[float, float, float, float]:
    spread = two_sample_spread(a[0] - b[0], a[1] - b[1], clusters)
    p = p_value(gap, spread)
    if not spread.variance > 0:
        return np.nan, np.nan, np.nan, np.nan if p is None else p
    width = critical(level, spread.df) * spread.se
    return max(gap - width, -1.0), min(gap + width, 1.0), spread.se, np.nan if p is None else p


def _units(pair: tuple[Clusters, Clusters]) -> int:
    return int(np.count_nonzero((pair[0].sizes > 0) | (pair[1].sizes > 0)))
