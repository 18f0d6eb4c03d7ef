"""The Kolmogorov–Smirnov distance of each feature, and of the feature that moved most."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.samples import Samples
from shiftbench.distances.shift import Distance, Shift
from shiftbench.statistics.estimate import critical
from shiftbench.statistics.norms import THINNING, random_signs, side
from shiftbench.statistics.permutation import max_t_p_values

__all__ = ["KS", "ks"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_SHOWN = 20
_DRAWS = 400
_CELLS = 250_000  # numbers held at a time: few enough to stay in a core's cache


class _Feature(NamedTuple):
    """One feature's rows in rising order, and where each of its values ends."""

    order: Codes
    ends: Codes


def ks(samples: Samples, *, n_permutations: int, level: float, seed: int) -> Shift:
    """The largest Kolmogorov–Smirnov distance of all features.

    Of one feature it is D = max |F(x) − G(x)|, with F and G the shares of examples up to x.

    Notes
    -----
    D is too large by chance, and the largest of many more so. The value is the mean over thinned
    data (Neufeld et al., JMLR 25 (2024)): one part picks the feature and the point, another
    measures there; it is cut to [0, 1], before which it is 0 on average where nothing shifted and
    on average not above the truth elsewhere. Below the plain D the interval reaches as far as the
    largest error of any F − G does (multiplier bootstrap of clusters), which holds everywhere but
    is wide where many features stood still; above it as far as the error at one point, which a
    convex function cannot exceed downwards. `p_value` is the smallest of the features' p-values,
    each corrected for their number (step-down max-T, permutations of whole clusters).

    Parameters
    ----------
    samples : Samples
    n_permutations : int
    level : float
    seed : int

    Returns
    -------
    Shift
        `parameters` lists the features that moved most, with D and corrected p-value, and those
        that are constant, whose D is 0.

    References
    ----------
    Kolmogorov, G. Ist. Ital. Attuari 4 (1933); Smirnov, Ann. Math. Stat. 19 (1948); Westfall &
    Young, Resampling-Based Multiple Testing (1993); van der Vaart & Wellner (1996), sec. 2.9, 3.7.

    Examples
    --------
    >>> from shiftbench.distances.measured import measure
    >>> x = np.arange(40.0)
    >>> found = measure("ks", np.column_stack([x, x]), np.column_stack([x, x + 30]), seed=0)
    >>> found.parameters["features"][0]
    {'feature': 1, 'd': 0.75, 'p_value': 0.000...}
    """
    features = [_sorted(column) for column in samples.features.T]
    gaps = [_gaps(samples, feature) for feature in features]
    each = np.array([np.abs(gap).max() for gap in gaps])
    plain = float(each.max())
    p_value, adjusted, parameters = _test(samples, features, each, n_permutations, seed)
    parameters |= {"plain": plain, **_listed(samples, features, each, adjusted)}
    if min(samples.n_clusters) < 2 or plain == 0:
        why = "one cluster on a side" if plain else "every feature is constant"
        return Shift(plain, method=f"cannot tell: {why}", p_value=p_value, parameters=parameters)
    value, low, high, se = _interval(samples, features, gaps, plain, level, seed)
    return Shift(
        value,
        low,
        high,
        method="multiplier bootstrap of clusters, uniform over points and features",
        p_value=p_value,
        se=se,
        parameters=parameters,
    )


def _sorted(column: Floats) -> _Feature:
    order = np.argsort(column, kind="stable")
    values = column[order]
    return _Feature(order, np.flatnonzero(np.append(values[1:] != values[:-1], True)))


def _gaps(samples: Samples, feature: _Feature) -> Floats:
    """F_target − F_source at each value."""
    source = samples.is_source[feature.order]
    f = np.cumsum(source)[feature.ends] / samples.n_source
    g = np.cumsum(~source)[feature.ends] / samples.n_target
    return np.asarray(g - f, dtype=np.float64)


def _test(
    samples: Samples, features: list[_Feature], each: Floats, n_permutations: int, seed: int
) -> tuple[float | None, Floats | None, dict[str, Any]]:
    """The family's p-value, and each feature's, corrected for their number."""
    if not n_permutations:
        return None, None, {"permutations": 0}
    blocks, count, exact = samples.relabelings(n_permutations, seed)
    n = len(samples.clusters)
    of_row = samples.units.of_row
    rows = max(1, _CELLS // n)
    permuted = np.empty((count, len(features)))
    start = 0
    for block in blocks:
        for part in np.array_split(block, range(rows, len(block), rows)):
            sides = part.astype(np.int8)[:, of_row]
            one = sides.sum(axis=1, dtype=np.int64)[:, None]
            two = n - one
            for j, feature in enumerate(features):
                gap = _up_to(sides, feature, np.int32) * (1 / one + 1 / two)
                gap -= (feature.ends + 1.0) / two
                permuted[start : start + len(part), j] = _largest(gap)
            start += len(part)
    adjusted = max_t_p_values(each, permuted, exact=exact)
    return float(adjusted.min()), adjusted, {"permutations": count, "all_permutations": exact}


def _interval(
    samples: Samples,
    features: list[_Feature],
    gaps: list[Floats],
    plain: float,
    level: float,
    seed: int,
) -> tuple[float, float, float, float]:
    """Value, bounds and standard error, from copies of the error of every F − G."""
    largest, thinned = [], []
    squares = [np.zeros(len(gap)) for gap in gaps]
    draws = 0
    for block in _errors(samples, seed, level):
        error_max = np.zeros(len(block))
        picked = np.full(len(block), -1.0)
        measured = np.zeros(len(block))
        each = np.arange(len(block))
        for feature, gap, square in zip(features, gaps, squares, strict=True):
            error = _error(samples, feature, block)
            square += np.einsum("ij,ij->j", error, error)
            np.maximum(error_max, _largest(error), out=error_max)
            pick = gap + THINNING * error
            highest, lowest = pick.argmax(axis=1), pick.argmin(axis=1)
            at = np.where(pick[each, highest] >= -pick[each, lowest], highest, lowest)
            size = pick[each, at]
            better = np.abs(size) > picked
            rest = np.sign(size) * (gap[at] - error[each, at] / THINNING)
            measured = np.where(better, rest, measured)
            picked = np.where(better, np.abs(size), picked)
        largest.append(error_max)
        thinned.append(measured)
        draws += len(block)
    below = float(np.quantile(np.concatenate(largest), (1 + level) / 2))
    spreads = [np.sqrt(square / draws) for square in squares]
    # Where the largest true difference can be: no nearer to the largest seen than two errors.
    near = [
        float(s[np.abs(g) >= plain - 2 * below].max(initial=0.0))
        for s, g in zip(spreads, gaps, strict=True)
    ]
    low = max(plain - below, 0.0)
    value = min(max(float(np.mean(np.concatenate(thinned))), low), 1.0)
    high = min(max(plain + critical(level) * max(near), value), 1.0)
    top = max(range(len(gaps)), key=lambda j: float(np.abs(gaps[j]).max()))
    return value, low, high, float(spreads[top][np.abs(gaps[top]).argmax()])


def _errors(samples: Samples, seed: int, level: float) -> Iterator[Floats]:
    """Copies of each example's part in the error of target − source, (n, b) at a time."""
    n = len(samples.strata)
    first = samples.is_source
    sides = [side(np.bincount(samples.clusters[rows], minlength=n)) for rows in (first, ~first)]
    weights = np.where(
        first, -sides[0].weights[samples.clusters], sides[1].weights[samples.clusters]
    )
    for signs in random_signs(_DRAWS, n, seed, min(s.df for s in sides), level):
        yield signs[:, samples.clusters] * weights


def _error(samples: Samples, feature: _Feature, block: Floats) -> Floats:
    """At each value the sum of the examples' parts, less what the two shares up to it expect."""
    n = samples.n_source
    source = np.cumsum(samples.is_source[feature.order])[feature.ends]
    target = feature.ends + 1 - source
    error = _up_to(block, feature, np.float64)
    error -= np.outer(block[:, :n].sum(axis=1), source / n)
    error -= np.outer(block[:, n:].sum(axis=1), target / samples.n_target)
    return np.asarray(error, dtype=np.float64)


def _up_to(rows: NDArray[Any], feature: _Feature, dtype: Any) -> NDArray[Any]:
    """Sums of each row of numbers, one an example, up to each value of a feature."""
    sums = np.cumsum(np.take(rows, feature.order, axis=1), axis=1, dtype=dtype)
    return sums if len(feature.ends) == sums.shape[1] else np.take(sums, feature.ends, axis=1)


def _largest(rows: Floats) -> Floats:
    """The largest size in each row, without a copy of absolute values."""
    return np.asarray(np.maximum(rows.max(axis=1), -rows.min(axis=1)))


def _listed(
    samples: Samples, features: list[_Feature], each: Floats, adjusted: Floats | None
) -> dict[str, Any]:
    """The features that moved most and those that are constant, some of each."""
    constant = [j for j, feature in enumerate(features) if len(feature.ends) == 1]
    top = np.argsort(-each, kind="stable")[:_SHOWN].tolist()
    listed: list[dict[str, Any]] = [{"feature": j, "d": float(each[j])} for j in top]
    if adjusted is not None:
        for entry, j in zip(listed, top, strict=True):
            entry["p_value"] = float(adjusted[j])
    found: dict[str, Any] = {"n_features": len(features), "features": listed}
    if constant:
        found["n_constant_features"] = len(constant)
        found["constant_features"] = constant[:_SHOWN]
    return found


KS = Distance(
    name="ks",
    kind="covariate",
    takes="features",
    compute=ks,
    summary="Largest Kolmogorov–Smirnov distance of all features",
    symmetric=True,
    bounds=(0.0, 1.0),
)
