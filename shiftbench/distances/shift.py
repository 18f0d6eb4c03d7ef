"""Shift: how far apart two samples are, how sure that is; Distance: what a measure is and takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shiftbench.statistics import Estimate

__all__ = ["TAKES", "Distance", "Shift"]

NAN = math.nan

TAKES = ("features", "labels", "features and labels", "features and losses")
"""What a distance compares; labels and losses are one value an example."""


@dataclass(frozen=True)
class Shift:
    """How far a target is from a source.

    What cannot be told is nan, and `method` says why. A bound on one side only (`low` nan, `high`
    a number) is a one-sided bound at `level`, and `method` says so.

    Attributes
    ----------
    value : float
        Corrected for bias where the plain estimate has one, so that near 0 it may be negative.
    low, high : float
        The interval.
    level : float
        What share of such intervals holds the truth.
    method : str
        How the interval was made, or why there is none.
    p_value : float or None
        Of the hypothesis that nothing shifted; None where there is no test, or where the samples
        shared examples.
    n_source, n_target : int
        Examples compared.
    n_clusters_source, n_clusters_target : int
        Independent units among them; one that has examples on both sides counts on both.
    se : float
        Standard error of the value, nan where there is none.
    parameters : mapping
        All else that the value depends on, JSON-like: bandwidth, permutations, shared examples.
    parts : mapping of str to Estimate
        Terms that the value belongs to, for a distance that is a decomposition.
    distance, kind : str
        The registered name, and what it measures: covariate, label, concept, subpopulation.
    seed : int or None

    Examples
    --------
    >>> Shift(0.25, 0.1, 0.4, p_value=0.001, n_source=50, n_target=40, distance="mmd")
    Shift(mmd 0.2500 [0.1000, 0.4000], p=0.001, n=50+40)
    """

    value: float
    low: float = NAN
    high: float = NAN
    level: float = 0.95
    method: str = ""
    p_value: float | None = None
    n_source: int = 0
    n_target: int = 0
    n_clusters_source: int = 0
    n_clusters_target: int = 0
    se: float = NAN
    parameters: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Estimate] = field(default_factory=dict)
    distance: str = ""
    kind: str = ""
    seed: int | None = None

    def __repr__(self) -> str:
        bounds = ""
        if not (math.isnan(self.low) and math.isnan(self.high)):
            bounds = f" [{self.low:.4f}, {self.high:.4f}]"
        p = "" if self.p_value is None else f", p={self.p_value:.3g}"
        return (
            f"Shift({self.distance} {self.value:.4f}{bounds}{p}, n={self.n_source}+{self.n_target})"
        )


@dataclass(frozen=True)
class Distance:
    """A registered measure: its function, and what holds for it.

    Attributes
    ----------
    name : str
    kind : str
        covariate, label, concept or subpopulation.
    takes : str
        One of `TAKES`.
    compute : callable
        ``compute(samples, *, n_permutations, level, seed, **options) -> Shift``; `samples` is a
        `Samples`, and the keyword arguments after these three are the distance's own options.
    summary : str
        One line for tables.
    symmetric : bool
        d(P, Q) = d(Q, P).
    same : float
        The value where nothing shifted.
    bounds : (float, float)
        What true values can be; ±inf where unbounded.
    tested : bool
        It has a p-value.
    fewest : int
        Examples that each side needs.
    """

    name: str
    kind: str
    takes: str
    compute: Callable[..., Shift]
    summary: str
    symmetric: bool
    same: float = 0.0
    bounds: tuple[float, float] = (0.0, math.inf)
    tested: bool = True
    fewest: int = 2
