"""The population stability index of each feature, and of the feature that moved most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.samples import Samples
from shiftbench.distances.shares import counts_by, counts_without_groups, permuted_counts
from shiftbench.distances.shift import Distance, Shift
from shiftbench.errors import ConfigurationError
from shiftbench.statistics.jackknife import jackknife
from shiftbench.statistics.norms import root_interval
from shiftbench.statistics.permutation import max_t_p_values

__all__ = ["PSI", "psi", "quantile_edges", "stability_index"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_SHOWN = 20
_FEWEST = 399  # permutations, where fewer are asked for: the bias is taken from them
_GROUPS = 200
_CELLS = 250_000
_HALF = 0.5


def stability_index(source: Floats, target: Floats, occupied: Any = None) -> Floats:
    """Σ (q − p) ln(q / p) of counts by bin, ½ an example added to each bin that has any.

    Parameters
    ----------
    source, target : (..., k) arrays
        Counts by bin.
    occupied : (..., k) bool array, optional
        Which bins are summed over; by default those with an example on either side.

    Returns
    -------
    (...) array
        Not below 0.

    Examples
    --------
    >>> round(float(stability_index(np.array([49.5, 49.5]), np.array([79.5, 19.5]))), 4)
    0.4159
    """
    kept = (source + target > 0) if occupied is None else np.asarray(occupied)
    p, q = (np.where(kept, counts + _HALF, 0.0) for counts in (source, target))
    with np.errstate(divide="ignore", invalid="ignore"):
        p, q = (shares / shares.sum(axis=-1, keepdims=True) for shares in (p, q))
        terms = np.where(kept, (q - p) * np.log(q / p), 0.0)
    return np.asarray(terms.sum(axis=-1))


def quantile_edges(column: Floats, bins: int = 10) -> list[float]:
    """The inner edges of bins that hold equal shares of a sample: ``(a, b]`` from one to the next.

    Each edge is a value of the sample. Where a value holds more than one bin's share, edges fall
    together; it is then a bin of its own, with an edge just below it, so that neither smaller nor
    larger values are lumped with it.

    Examples
    --------
    >>> quantile_edges(np.arange(1.0, 9.0), bins=4)
    [2.0, 4.0, 6.0]
    >>> quantile_edges(np.array([3.0, 4.0, 4.0, 4.0]), bins=4)
    [3.0, 3.9999999999999996, 4.0]
    """
    values = np.sort(column)
    found = values[_ranks(len(values), bins) - 1]
    often = found[1:][found[1:] == found[:-1]]
    return sorted({*found[:-1].tolist(), *np.nextafter(often, -np.inf).tolist()})


def psi(
    samples: Samples,
    *,
    n_permutations: int,
    level: float,
    seed: int,
    bins: int = 10,
    edges: Sequence[Any] | None = None,
) -> Shift:
    """The population stability index of the feature that moved most.

    Of one feature it is Σ (q − p) ln(q / p) over bins of equal shares of the source, with p and q
    the shares of source and target (Jeffreys' divergence of the two histograms).

    Notes
    -----
    In credit scoring 0.1 and 0.25 stand for a moderate and a large shift. With k bins the plain
    index is about (k − 1)(1/m + 1/n) where nothing shifted, 0.36 for 50 examples a side and ten
    bins: only a value without this bias can be held against such thresholds, if any. Here the mean
    over permutations of whole clusters is subtracted, feature by feature; a value may be negative.

    The value is the largest of all features'. With many features it lies above 0 by chance:
    `parameters` has by how much on average (``chance_largest``), and `p_value` (step-down max-T)
    and the interval (Bonferroni) allow for it. The interval is made on the root's scale
    (`root_interval`), for the index with these edges; its lower bound is 0 where the permutation
    test does not reject. Where a bin is empty on one side the index, which is unbounded, has a
    lower bound alone: `high` is infinite.

    Parameters
    ----------
    samples : Samples
    n_permutations : int
    level : float
    seed : int
    bins : int
        Of equal shares of the source; fewer where values tie.
    edges : sequence of sequences of float, optional
        The inner edges of each feature's bins, rising; without, `quantile_edges` of the source.
        Give the same ones to all pairs whose values are to be compared.

    Returns
    -------
    Shift
        `parameters` lists the features that moved most, with value, corrected p-value and edges.

    Raises
    ------
    ConfigurationError
        Fewer than two bins, or edges that are not one rising list a feature.

    References
    ----------
    Siddiqi, Credit Risk Scorecards (2006); its null distribution: Yurdakul & Naranjo, J. Risk
    Model Valid. 14 (2020); Jeffreys, Proc. R. Soc. A 186 (1946).

    Examples
    --------
    >>> from shiftbench.distances.measured import measure
    >>> x = np.arange(200.0)
    >>> found = measure("psi", x, x + 80, edges=[[50.0, 100.0, 150.0]], seed=0)
    >>> round(found.parameters["plain"], 2), found.p_value < 0.01
    (1.67, True)
    """
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 2:
        raise ConfigurationError(f"bins is {bins!r}; give a whole number from 2 on")
    d = samples.features.shape[1]
    given = None if edges is None else _checked(edges, d)
    used = given or [quantile_edges(column, bins) for column in samples.source.T]
    binned = [_Binned.of(samples, j, inner) for j, inner in enumerate(used)]
    plain = np.array([float(stability_index(b.source, b.target)) for b in binned])
    n = max(n_permutations, _FEWEST)
    permuted, exact = (
        _refitted(samples, n, seed, bins) if given is None else _fixed(samples, binned, n, seed)
    )
    chance = permuted.mean(axis=0)
    values = plain - chance
    null = (permuted - chance).max(axis=1)
    top = int(np.argmax(values))
    parameters: dict[str, Any] = {
        "permutations": 0,
        "bins": bins,
        "edges_given": given is not None,
        "plain": float(plain[top]),
        "chance": float(chance[top]),
        "chance_largest": float(null.mean()),
        "n_features": d,
    }
    p_value, adjusted = None, None
    if n_permutations:
        some = permuted if exact else permuted[:n_permutations]
        adjusted = max_t_p_values(plain, some, exact=exact)
        p_value = float(adjusted.min())
        parameters |= {"permutations": len(some), "all_permutations": exact}
    parameters["features"] = _listed(binned, values, adjusted, used)
    if min(samples.n_clusters) < 2:
        method = "cannot tell: one cluster on a side"
        return Shift(float(values[top]), method=method, p_value=p_value, parameters=parameters)
    low, high, se, method = _interval(samples, binned, plain, values, level, seed)
    beyond = 1 + np.count_nonzero(null >= values[top] - 1e-9)
    if beyond / (1 + len(null)) > 1 - level:
        low = 0.0
    return Shift(
        float(values[top]),
        min(low, max(float(values[top]), 0.0)),
        max(high, float(values[top])),
        method=method,
        p_value=p_value,
        se=se[top],
        parameters=parameters,
    )


class _Binned(NamedTuple):
    """One feature as bins: of each row, and how many examples each holds a side."""

    codes: Codes
    source: Floats
    target: Floats

    @classmethod
    def of(cls, samples: Samples, feature: int, inner: Sequence[float]) -> _Binned:
        codes = np.searchsorted(inner, samples.features[:, feature], side="left")
        source, target = counts_by((~samples.is_source).astype(np.int64), codes, 2, len(inner) + 1)
        return cls(codes, source, target)


def _ranks(n: Any, bins: int) -> Any:
    """How many of n sorted examples each bin's upper end has at or below it, (..., bins)."""
    return -(-np.multiply.outer(n, np.arange(1, bins + 1)) // bins)


def _fixed(samples: Samples, binned: list[_Binned], n: int, seed: int) -> tuple[Floats, bool]:
    """The index of each feature under permutations, with the edges that were given."""
    columns = []
    exact = False
    for codes, source, _ in binned:
        blocks, exact = permuted_counts(samples, codes, len(source), n, seed)
        columns.append(np.concatenate([stability_index(one, two) for one, two in blocks]))
    return np.column_stack(columns), exact


def _refitted(samples: Samples, n: int, seed: int, bins: int) -> tuple[Floats, bool]:
    """The same, with the bins of each permutation's own source, as the data's are of theirs."""
    blocks, count, exact = samples.relabelings(n, seed)
    n_rows = len(samples.clusters)
    order = np.argsort(samples.features, axis=0, kind="stable")
    ranked = np.take_along_axis(samples.features, order, axis=0)
    # Where the run of equal values ends that a row is in, and where the run before it does.
    first = np.vstack([np.ones((1, ranked.shape[1]), dtype=bool), ranked[1:] != ranked[:-1]])
    last = np.vstack([first[1:], first[:1]])
    at = np.arange(n_rows)[:, None]
    ends = np.minimum.accumulate(np.where(last, at, n_rows)[::-1], axis=0)[::-1]
    before = np.maximum.accumulate(np.where(first, at, 0), axis=0) - 1
    found = np.empty((count, order.shape[1]))
    start = 0
    step = max(1, _CELLS // n_rows)
    for block in blocks:
        for part in np.array_split(block, range(step, len(block), step)):
            sides = part.astype(np.int8)[:, samples.units.of_row]
            for j in range(order.shape[1]):
                found[start : start + len(part), j] = _one(
                    np.take(sides, order[:, j], axis=1), ends[:, j], before[:, j], bins
                )
            start += len(part)
    return found, exact


def _one(sides: NDArray[np.int8], ends: Codes, before: Codes, bins: int) -> Floats:
    """The index of one feature's rows in rising order, for each row of sides."""
    n = sides.shape[1]
    up_to = np.cumsum(sides, axis=1, dtype=np.int32)
    m = up_to[:, -1].astype(np.int64)
    # The source's examples in order: the r-th of a permutation stands at its offset + r − 1.
    offsets = np.cumsum(m) - m
    positions = np.flatnonzero(sides) % n
    place = positions[offsets[:, None] + _ranks(m, bins) - 1]
    edge = ends[place]
    # Of edges that fall together the first is moved to just below the value; the source's largest
    # value is an edge only then.
    often = edge[:, :-1] == edge[:, 1:]
    edge[:, -1] = np.where(often[:, -1], edge[:, -1], n - 1)
    often &= np.diff(edge[:, :-1], axis=1, prepend=-1) > 0
    edge[:, :-1] = np.where(often, before[place[:, :-1]], edge[:, :-1])
    below = np.where(edge >= 0, np.take_along_axis(up_to, np.maximum(edge, 0), axis=1), 0)
    source = np.diff(below, axis=1, prepend=0.0, append=m[:, None])
    both = np.diff(edge + 1.0, axis=1, prepend=0.0, append=float(n))
    return stability_index(source, both - source)


def _interval(
    samples: Samples,
    binned: list[_Binned],
    plain: Floats,
    values: Floats,
    level: float,
    seed: int,
) -> tuple[float, float, list[float], str]:
    """Bounds of the largest of all features, each feature's standard error, and how."""
    each = 1 - (1 - level) / len(binned)
    lows, highs, errors = [0.0], [0.0], []
    for (codes, source, target), whole, value in zip(binned, plain, values, strict=True):
        one, two, strata = counts_without_groups(samples, codes, len(source), _GROUPS, seed)
        left = stability_index(one, two, source + target > 0)
        knife = jackknife(float(whole), left, strata)
        low, high = root_interval(float(whole), float(value), knife.se, knife.df, each)
        errors.append(knife.se)
        if not math.isnan(low):
            lows.append(low)
            highs.append(high)
    empty = any(bool(((s == 0) != (t == 0)).any()) for _, s, t in binned)
    method = "jackknife of clusters on the root's scale, inverted permutation test at 0"
    if empty:
        return max(lows), math.inf, errors, f"lower bound, {method}: a bin is empty on one side"
    return max(lows), max(highs), errors, method


def _listed(
    binned: list[_Binned], values: Floats, adjusted: Floats | None, used: list[list[float]]
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for j in np.argsort(-values, kind="stable")[:_SHOWN].tolist():
        entry: dict[str, Any] = {"feature": j, "psi": float(values[j]), "edges": used[j]}
        if adjusted is not None:
            entry["p_value"] = float(adjusted[j])
        found.append(entry)
    return found


def _checked(edges: Sequence[Any], d: int) -> list[list[float]]:
    try:
        found = [[float(e) for e in inner] for inner in edges]
    except (TypeError, ValueError):
        found = []
    rising = [all(a < b for a, b in pairwise(e)) for e in found]
    finite = [bool(e) and all(math.isfinite(v) for v in e) for e in found]
    if len(found) != d or not all(rising) or not all(finite):
        raise ConfigurationError(
            f"edges are no rising, finite numbers for each of the {d} features; give a list of "
            "one list a feature, such as edges=[[0.0, 1.0]] for one"
        )
    return found


PSI = Distance(
    name="psi",
    kind="covariate",
    takes="features",
    compute=psi,
    summary="Largest population stability index of all features",
    symmetric=False,
)
