"""Many models on the same examples: paired differences, with multiplicity under control."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from scipy.stats import t as student

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.evaluation._fits import FEWEST_FOR_INTERVAL
from shiftbench.statistics import Clusters, stream
from shiftbench.statistics.estimate import critical

__all__ = ["ModelComparison", "compare_models"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_MANY_CLUSTERS = 20_000
_BLOCK = 4_000_000
_ENUMERATED = 14
MULTIPLICITY = ("max_t", "holm", "none")


@dataclass(frozen=True)
class ModelComparison:
    """Paired differences of models over the same examples.

    Attributes
    ----------
    models : tuple of str
    values : (m,) float64 array
        The mean of each model (its accuracy, where 1 is correct).
    first, second : (k,) int64 array
        The two models of each comparison, as positions in `models`.
    difference, low, high, se : (k,) float64 array
        Mean of first − mean of second; simultaneous interval (single where multiplicity is none).
    p_value, p_adjusted : (k,) float64 array
        Of no difference; adjusted for the number of comparisons.
    level : float
    multiplicity : str
    method : str
    n, n_clusters : int, int or None
    """

    models: tuple[str, ...]
    values: Floats
    first: Codes
    second: Codes
    difference: Floats
    low: Floats
    high: Floats
    se: Floats
    p_value: Floats
    p_adjusted: Floats
    level: float
    multiplicity: str
    method: str
    n: int
    n_clusters: int | None

    def to_rows(self) -> list[dict[str, Any]]:
        """One row a comparison: JSON-like values only.

        Examples
        --------
        >>> rows = compare_models({"a": [1, 1, 1, 0], "b": [1, 0, 0, 0]}).to_rows()
        >>> rows[0]["model"], rows[0]["compared_to"], rows[0]["value"]
        ('a', 'b', 0.5)
        """
        columns = (self.first, self.second, self.difference, self.low, self.high)
        more = (self.se, self.p_value, self.p_adjusted)
        return [
            {
                "model": self.models[int(i)],
                "compared_to": self.models[int(j)],
                "value": float(d),
                "low": float(a),
                "high": float(b),
                "level": self.level,
                "method": self.method,
                "se": float(s),
                "p_value": float(p),
                "p_adjusted": float(q),
                "multiplicity": self.multiplicity,
                "n": self.n,
                "n_clusters": self.n_clusters,
            }
            for i, j, d, a, b, s, p, q in zip(*columns, *more, strict=True)
        ]


def compare_models(
    correct: Mapping[str, Any] | Any,
    *,
    clusters: Any = None,
    models: Sequence[str] | None = None,
    reference: str | None = None,
    multiplicity: str = "max_t",
    n_permutations: int = 9_999,
    level: float = 0.95,
    seed: int = 0,
) -> ModelComparison:
    """Compare models pairwise, or with one of them, on the examples that all of them answered.

    Parameters
    ----------
    correct : (n, m) array-like, or mapping of name to (n,) array-like
        A value for each example and model: bool or 0/1 for correct, or any number whose mean is
        compared, such as a loss.
    clusters : (n,) array-like, optional
        Examples that are not independent (a patient's images).
    models : sequence of str, optional
        Names of the columns; ``"0"``, ``"1"`` … otherwise.
    reference : str, optional
        Compare each other model with this one only: m − 1 comparisons in place of m (m − 1) / 2.
    multiplicity : {"max_t", "holm", "none"}
        ``max_t``: Westfall and Young's step-down on sign flips of whole clusters, and intervals
        from the largest studentised difference. ``holm``: Holm on single p-values (McNemar's exact
        test for unclustered 0/1 values, else a cluster t-test), Bonferroni intervals. ``none``:
        the same single p-values and intervals, for one comparison that was planned.
    n_permutations : int
        Sign flips; all of them where there are no more than 14 clusters.
    level : float
        Of the intervals, together.
    seed : int

    Returns
    -------
    ModelComparison

    Raises
    ------
    ConfigurationError
        Columns of different lengths, NaN (count and first position), fewer than two models.

    Notes
    -----
    A sign flip swaps the two models' answers on a whole cluster, for all pairs at once: exact where
    the two models are exchangeable within clusters, and p-values count the observed arrangement
    (+1). One set of flips for all pairs keeps their dependence, so that the family-wise error is
    held for whichever pairs truly are the same. Intervals flip what is left after each mean is
    taken out. With more than 20,000 clusters the flips' sums are drawn as the normal variables that
    they then are. For unclustered 0/1 values the single p-values are McNemar's exact ones, which no
    adjusted one goes below, and intervals add one discordant example to each side (Bonett and
    Price), which keeps them honest where models hardly differ. Fewer than 5 clusters:
    no intervals.

    References
    ----------
    Westfall, Young 1993, Resampling-based multiple testing, §2.6; Phipson, Smyth 2010 (+1);
    Bonett, Price 2012, JEBS 37, eq. 5; McNemar 1947.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> hard = rng.random(400)
    >>> found = compare_models({name: hard < p for name, p in
    ...                         {"a": 0.80, "b": 0.72, "c": 0.718}.items()})
    >>> [(r["model"], r["compared_to"], r["p_adjusted"] < 0.05) for r in found.to_rows()]
    [('a', 'b', True), ('a', 'c', True), ('b', 'c', False)]
    """
    critical(level)
    if multiplicity not in MULTIPLICITY:
        raise ConfigurationError(
            f"multiplicity is {multiplicity!r}, but may be one of {', '.join(MULTIPLICITY)}"
        )
    names, table = _table(correct, models)
    n = len(table)
    binary = clusters is None and bool(np.isin(table, (0.0, 1.0)).all())
    first, second = pairs_of(names, reference)
    clustered = clusters is not None
    known = _clusters(clusters, n)
    g = known.n_clusters
    totals = known.sums(table)
    means = table.mean(axis=0)
    rest = totals - means * known.sizes[:, None]
    spread = _pair_squares(rest, first, second)
    se = np.sqrt(spread * g / (g - 1)) / n if g > 1 else np.full(len(first), math.nan)
    found = _Comparisons(table, totals, rest, first, second, se, g, n, binary)
    if multiplicity == "max_t":
        p_value, p_adjusted, width, method = found.by_flips(n_permutations, level, seed)
    else:
        p_value, method = found.single()
        p_adjusted = holm(p_value) if multiplicity == "holm" else p_value
        shared = 1 - (1 - level) / (len(first) if multiplicity == "holm" else 1)
        width = critical(shared, math.inf if binary else g - 1) if g > 1 else math.nan
    method = f"{'clustered ' if clustered else ''}{method}"
    difference = means[first] - means[second]
    low, high = found.intervals(difference, width)
    if np.isnan(low).all() and (se == 0).all():
        method = f"{method}; cannot tell: the models give the same on every example"
    if g < FEWEST_FOR_INTERVAL:
        low, high = np.full_like(low, math.nan), np.full_like(high, math.nan)
        why = "one cluster" if g == 1 else f"{g} clusters, an interval needs {FEWEST_FOR_INTERVAL}"
        method = f"{method}; cannot tell: {why}"
    return ModelComparison(
        names, means, first, second, difference, low, high, se, p_value, p_adjusted,
        level, multiplicity, method, n, g if clustered else None,
    )  # fmt: skip


@dataclass(frozen=True)
class _Comparisons:
    """What the tests share: sums over clusters and the pairs."""

    table: Floats
    totals: Floats
    rest: Floats
    first: Codes
    second: Codes
    se: Floats
    g: int
    n: int
    binary: bool

    def single(self) -> tuple[Floats, str]:
        """One p-value a pair, for itself."""
        if self.g < 2:
            return np.full(len(self.first), math.nan), "t-test"
        if self.binary:
            only_first, only_second = self.discordant()
            counts = zip(only_first.tolist(), only_second.tolist(), strict=True)
            exact = [float(binomtest(a, a + b).pvalue) if a + b else 1.0 for a, b in counts]
            return np.array(exact), "exact McNemar, Bonett–Price interval"
        means = self.totals.sum(axis=0) / self.n
        gap = np.abs(means[self.first] - means[self.second])
        with np.errstate(divide="ignore", invalid="ignore"):
            p = 2 * student.sf(gap / self.se, self.g - 1)
        return np.where(self.se > 0, p, np.where(gap > 0, p, 1.0)), "t-test, Student t interval"

    def discordant(self) -> tuple[Codes, Codes]:
        """Examples that only the first, and only the second of each pair has right."""
        both = np.rint(self.table.T @ self.table).astype(np.int64)
        right = np.diag(both)
        shared = both[self.first, self.second]
        return right[self.first] - shared, right[self.second] - shared

    def by_flips(
        self, n_permutations: int, level: float, seed: int
    ) -> tuple[Floats, Floats, float, str]:
        """p-values, adjusted ones, the width of the intervals in standard errors, and how."""
        k = len(self.first)
        if self.g < 2:
            nothing = np.full(k, math.nan)
            return nothing, nothing, math.nan, "sign flips, max-T"
        scale = np.sqrt(_pair_squares(self.totals, self.first, self.second))
        rest_scale = np.sqrt(_pair_squares(self.rest, self.first, self.second))
        sums = self.totals.sum(axis=0)
        observed = _studentised(sums[self.first] - sums[self.second], scale)
        order = np.argsort(-observed, kind="stable")
        single, stepped, largest = np.zeros(k), np.zeros(k), []
        count = 0
        flips = _Flips(self.g, n_permutations, k, seed)
        for total, centred in flips.sums(self.totals, self.rest):
            z = _studentised(total[:, self.first] - total[:, self.second], scale)
            # Rounding must not tell a flip that restores the data from the data.
            near = observed * (1 - 1e-9)
            single += (z >= near).sum(axis=0)
            later = np.maximum.accumulate(z[:, order[::-1]], axis=1)[:, ::-1]
            stepped[order] += (later >= near[order]).sum(axis=0)
            c = _studentised(centred[:, self.first] - centred[:, self.second], rest_scale)
            largest.append(c.max(axis=1))
            count += len(total)
        # All flips contain the observed arrangement; drawn ones do not.
        extra = 0 if flips.exhaustive else 1
        p_value = (single + extra) / (count + extra)
        adjusted = (stepped + extra) / (count + extra)
        if self.binary:
            p_value = self.single()[0]
            adjusted = p_value if k == 1 else np.maximum(adjusted, p_value)
        adjusted[order] = np.maximum.accumulate(adjusted[order])
        method = "sign flips (all), max-T" if flips.exhaustive else "sign flips, max-T"
        if self.binary and k == 1:
            method = self.single()[1]
        elif flips.normal:
            method = "sign flips (normal limit), max-T"
        return p_value, adjusted, self._width(np.concatenate(largest), level), method

    def _width(self, largest: Floats, level: float) -> float:
        """The quantile of the largest self-normalised sum, as a quantile of Student's t."""
        if self.binary and len(self.first) == 1:
            return critical(level)
        at = min(len(largest) - 1, math.ceil(level * (len(largest) + 1)) - 1)
        z = float(np.sort(largest)[at])
        floor = critical(level) if self.binary else critical(level, self.g - 1)
        if self.g <= _MANY_CLUSTERS and not self.binary:
            # Σεd/√Σd² is bounded by √g; this is the t-statistic of the same flip.
            z = z * math.sqrt((self.g - 1) / (self.g - z**2)) if z**2 < self.g else math.inf
        return max(z, floor)

    def intervals(self, difference: Floats, width: float) -> tuple[Floats, Floats]:
        """Differences ± width standard errors, discordant examples softened for 0/1 values."""
        if not self.binary:
            # Two models that never differ show no spread to tell an interval from.
            half = np.where(self.se > 0, width * self.se, math.nan)
            return difference - half, difference + half
        a, b = (v + 1.0 for v in self.discordant())
        size = self.n + 2.0
        middle = (a - b) / size
        half = width * np.sqrt(((a + b) / size - middle**2) / size)
        return np.maximum(middle - half, -1.0), np.minimum(middle + half, 1.0)


@dataclass(frozen=True)
class _Flips:
    """Signs of clusters: all arrangements, some at random, or their sums as normal variables."""

    g: int
    n_permutations: int
    pairs: int
    seed: int

    @property
    def exhaustive(self) -> bool:
        return self.g <= _ENUMERATED

    @property
    def normal(self) -> bool:
        return self.g > _MANY_CLUSTERS

    def sums(self, totals: Floats, rest: Floats) -> Any:
        """Flipped sums of both tables, (b, m) each, block after block."""
        both = np.concatenate([totals, rest], axis=1)
        m = totals.shape[1]
        # The mean of all models is common to both sides of every difference.
        both[:, :m] -= both[:, :m].mean(axis=1, keepdims=True)
        both[:, m:] -= both[:, m:].mean(axis=1, keepdims=True)
        for signs in self._signs(both):
            found = signs @ both if not self.normal else signs
            yield found[:, :m], found[:, m:]

    def _signs(self, both: Floats) -> Any:
        rng = stream(self.seed, "model comparison")
        if self.exhaustive:
            # The mirror image of every arrangement has the same size: one sign may stay.
            free = np.array(list(itertools.product((1.0, -1.0), repeat=self.g - 1)))
            yield np.column_stack([np.ones(len(free)), free])
            return
        width = both.shape[1] if self.normal else self.g
        block = max(1, _BLOCK // max(width, self.pairs))
        if self.normal:
            values, vectors = np.linalg.eigh(both.T @ both)
            root = vectors * np.sqrt(np.maximum(values, 0.0))
        for start in range(0, self.n_permutations, block):
            size = min(block, self.n_permutations - start)
            if self.normal:
                yield rng.standard_normal((size, width)) @ root.T
            else:
                yield rng.integers(0, 2, (size, width), dtype=np.int8) * 2.0 - 1.0


def _studentised(sums: Floats, scale: Floats) -> Floats:
    return np.abs(sums) / np.where(scale > 0, scale, 1.0)


def _pair_squares(values: Floats, first: Codes, second: Codes) -> Floats:
    """Σ over clusters of (value of first − value of second)², for every pair."""
    centred = values - values.mean(axis=1, keepdims=True)
    gram = centred.T @ centred
    own = np.diag(gram)
    found = own[first] + own[second] - 2 * gram[first, second]
    # What is left of two equal models is rounding.
    size = own[first] + own[second]
    return np.where(found > 1e-12 * size, found, 0.0)


def holm(p_value: Floats) -> Floats:
    """Holm's step-down p-values; nan stays nan and counts as one of the comparisons."""
    k = len(p_value)
    order = np.argsort(p_value, kind="stable")
    stepped = np.fmax.accumulate(p_value[order] * (k - np.arange(k)))
    adjusted = np.empty(k)
    adjusted[order] = np.minimum(stepped, 1.0)
    return np.where(np.isnan(p_value), np.nan, adjusted)


def pairs_of(names: tuple[str, ...], reference: str | None) -> tuple[Codes, Codes]:
    """Which models are compared: all with all, or each with one."""
    m = len(names)
    if reference is None:
        first, second = np.triu_indices(m, 1)
        return first.astype(np.int64), second.astype(np.int64)
    if reference not in names:
        raise ConfigurationError(f"no model is named {reference!r}: {near_names(reference, names)}")
    at = names.index(reference)
    others = np.array([i for i in range(m) if i != at], dtype=np.int64)
    return others, np.full(m - 1, at, dtype=np.int64)


def _table(correct: Any, models: Sequence[str] | None) -> tuple[tuple[str, ...], Floats]:
    if isinstance(correct, Mapping):
        names = tuple(str(name) for name in correct)
        columns = [np.asarray(v, dtype=np.float64) for v in correct.values()]
        if len({c.shape for c in columns}) > 1 or any(c.ndim != 1 for c in columns):
            raise ConfigurationError(
                "models have different numbers of examples: "
                + ", ".join(f"{n!r} {c.shape}" for n, c in zip(names, columns, strict=True))
                + "; compare them on the examples that all of them answered"
            )
        table = np.stack(columns, axis=1) if columns else np.zeros((0, 0))
    else:
        table = np.asarray(correct, dtype=np.float64)
        if table.ndim != 2:
            raise ConfigurationError(f"correct has the shape {table.shape}, not (examples, models)")
        names = tuple(map(str, range(table.shape[1]))) if models is None else tuple(models)
    if len(names) != table.shape[1] or len(set(names)) != len(names):
        raise ConfigurationError(f"{table.shape[1]} models need as many different names")
    if table.shape[1] < 2 or not len(table):
        raise ConfigurationError("a comparison needs two models or more, and an example")
    bad = ~np.isfinite(table)
    if bad.any():
        row, col = (int(v[0]) for v in np.nonzero(bad))
        raise ConfigurationError(
            f"{int(bad.sum())} values are NaN or infinite, the first of model {names[col]!r} at "
            f"position {row}; leave the example out for all models"
        )
    return names, table


def _clusters(given: Any, n: int) -> Clusters:
    if given is None:
        return Clusters(np.arange(n, dtype=np.int64), n)
    known = given if isinstance(given, Clusters) else Clusters.of(given)
    if len(known.codes) != n:
        raise ConfigurationError(f"clusters names {len(known.codes)} examples, but there are {n}")
    return known
