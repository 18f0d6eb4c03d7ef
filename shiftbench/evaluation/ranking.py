"""Ranks of models with their uncertainty: which places a model may truly have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation.comparison import ModelComparison, compare_models
from shiftbench.statistics import Estimate

__all__ = ["Ranking", "rank_models", "rank_sets", "ranking_of"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Ranking:
    """Models from best to worst, with the places each may truly have.

    Attributes
    ----------
    models : tuple of str
        Best first; equal means in the order they came in.
    ranks : tuple of Estimate
        The rank by the mean (equal models share the best place), and the bounds of its rank set.
    comparison : ModelComparison
        The differences that this rests on.
    """

    models: tuple[str, ...]
    ranks: tuple[Estimate, ...]
    comparison: ModelComparison

    def to_rows(self) -> list[dict[str, Any]]:
        """One row a model: JSON-like values only.

        Examples
        --------
        >>> rows = rank_models({"a": [1, 0, 1, 1], "b": [1, 0, 0, 1]}).to_rows()
        >>> [(r["model"], r["value"]) for r in rows]
        [('a', 1.0), ('b', 2.0)]
        """
        return [
            {
                "model": model,
                "value": rank.value,
                "low": rank.low,
                "high": rank.high,
                "level": rank.level,
                "method": rank.method,
                "n": rank.n,
                "n_clusters": rank.n_clusters,
                "mean": rank.parameters["mean"],
            }
            for model, rank in zip(self.models, self.ranks, strict=True)
        ]


def rank_models(
    correct: Any,
    *,
    clusters: Any = None,
    models: Sequence[str] | None = None,
    higher_is_better: bool = True,
    multiplicity: str = "max_t",
    n_permutations: int = 9_999,
    level: float = 0.95,
    seed: int = 0,
) -> Ranking:
    """Rank models by their mean, with rank sets that hold all true ranks at once.

    Parameters
    ----------
    correct, clusters, models, n_permutations, seed
        As in `compare_models`.
    higher_is_better : bool
        False for a loss.
    multiplicity : {"max_t", "holm"}
        How the intervals of the differences are made to hold together.
    level : float
        With this probability every model's true rank lies in its set.

    Returns
    -------
    Ranking

    Raises
    ------
    ConfigurationError
        As `compare_models`, and for multiplicity none.

    Notes
    -----
    A model's best place is one behind all models that are surely better (the interval of the
    difference does not hold 0), its worst place before all that are surely worse. Nothing else is
    assumed than that the intervals hold.

    References
    ----------
    Mogstad, Romano, Shaikh, Wilhelm 2024, Review of Economic Studies 91, §3.

    Examples
    --------
    >>> import numpy as np
    >>> hard = np.random.default_rng(0).random(400)
    >>> found = rank_models({"a": hard < 0.80, "b": hard < 0.72, "c": hard < 0.718})
    >>> [(m, r.low, r.high) for m, r in zip(found.models, found.ranks)]
    [('a', 1.0, 1.0), ('b', 2.0, 3.0), ('c', 2.0, 3.0)]
    """
    if multiplicity == "none":
        raise ConfigurationError(
            "multiplicity is 'none', but a ranking compares all models at once; "
            "take 'max_t' or 'holm'"
        )
    found = compare_models(
        correct,
        clusters=clusters,
        models=models,
        multiplicity=multiplicity,
        n_permutations=n_permutations,
        level=level,
        seed=seed,
    )
    return ranking_of(found, higher_is_better=higher_is_better)


def ranking_of(found: ModelComparison, *, higher_is_better: bool = True) -> Ranking:
    """The ranks that simultaneous intervals of all pairwise differences leave possible.

    Parameters
    ----------
    found : ModelComparison
        Of all pairs, such as `compare_detectors` gives.
    higher_is_better : bool

    Examples
    --------
    >>> from shiftbench.evaluation import compare_models
    >>> found = compare_models({"a": [1, 0, 1, 1], "b": [1, 0, 0, 1]}, multiplicity="holm")
    >>> ranking_of(found).models
    ('a', 'b')
    """
    m = len(found.models)
    low, high = np.zeros((m, m)), np.zeros((m, m))
    low[found.first, found.second], high[found.first, found.second] = found.low, found.high
    low[found.second, found.first], high[found.second, found.first] = -found.high, -found.low
    sign = 1.0 if higher_is_better else -1.0
    if not higher_is_better:
        low, high = -high, -low
    best, worst = rank_sets(low, high)
    order = np.argsort(-sign * found.values, kind="stable")
    place = np.array([1 + int((sign * found.values > v).sum()) for v in sign * found.values])
    unknown = bool(np.isnan(found.low).all())
    ranks = tuple(
        Estimate(
            float(place[i]),
            math.nan if unknown else float(best[i]),
            math.nan if unknown else float(worst[i]),
            level=found.level,
            method=f"rank set, {found.method}",
            n=found.n,
            n_clusters=found.n_clusters,
            parameters={"mean": float(found.values[i]), "multiplicity": found.multiplicity},
        )
        for i in order.tolist()
    )
    return Ranking(tuple(found.models[i] for i in order.tolist()), ranks, found)


def rank_sets(low: Any, high: Any) -> tuple[Codes, Codes]:
    """Best and worst possible rank of each model, from simultaneous intervals of differences.

    Parameters
    ----------
    low, high : (m, m) array-like of float
        Bounds of (model of the row − model of the column), higher being better; what stands on the
        diagonal is not looked at, nan is a pair that cannot be told apart.

    Returns
    -------
    (m,) int64 arrays: best, worst rank, from 1.

    Raises
    ------
    ConfigurationError
        Not two square matrices of one size.

    References
    ----------
    Mogstad, Romano, Shaikh, Wilhelm 2024, Review of Economic Studies 91, eq. 7.

    Examples
    --------
    >>> low = [[0, 0.1, 0.2], [-0.3, 0, -0.1], [-0.4, -0.3, 0]]
    >>> high = [[0, 0.3, 0.4], [-0.1, 0, 0.3], [-0.2, 0.1, 0]]
    >>> [v.tolist() for v in rank_sets(low, high)]
    [[1, 2, 2], [1, 3, 3]]
    """
    a, b = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    if a.ndim != 2 or a.shape[0] != a.shape[1] or a.shape != b.shape:
        raise ConfigurationError(
            f"bounds of all differences are two square matrices, not {a.shape} and {b.shape}"
        )
    apart = ~np.eye(len(a), dtype=np.bool_)
    with np.errstate(invalid="ignore"):
        best = 1 + ((b < 0) & apart).sum(axis=1)
        worst = len(a) - ((a > 0) & apart).sum(axis=1)
    return best.astype(np.int64), worst.astype(np.int64)
