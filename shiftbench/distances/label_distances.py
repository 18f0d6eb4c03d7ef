"""How far the shares of labels moved: total variation and Jensen–Shannon divergence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.samples import Samples
from shiftbench.distances.shares import (
    counts_by,
    counts_without_groups,
    permuted_counts,
    sparse_counts,
)
from shiftbench.distances.shift import NAN, Distance, Shift
from shiftbench.errors import ConfigurationError
from shiftbench.statistics.jackknife import jackknife
from shiftbench.statistics.norms import l1_interval, random_signs, root_interval, side, thinned
from shiftbench.statistics.permutation import permutation_p_values

__all__ = ["LABEL_JS", "LABEL_TV", "jensen_shannon", "label_js", "label_tv", "total_variation"]

Floats = NDArray[np.float64]

_SHOWN = 20  # levels listed in the parameters
_DRAWS = 999
_FEWEST = 399  # permutations, where fewer are asked for: the lower bound rests on them too
_GROUPS = 200
_MOST_LEVELS = 2000
_EXPECTED = 5.0  # clusters of a level on the smaller side, below which it is rare
_PSEUDO = 2.0  # clusters of the pooled shares added to each side's spread


def total_variation(source: Floats, target: Floats) -> Floats:
    """½ Σ |p − q| of counts by level, (…, k) and (…, k): between 0 and 1.

    Examples
    --------
    >>> float(total_variation(np.array([3.0, 1.0]), np.array([1.0, 1.0])))
    0.25
    """
    p, q = _shares(source), _shares(target)
    return np.asarray(0.5 * np.abs(p - q).sum(axis=-1))


def jensen_shannon(source: Floats, target: Floats) -> Floats:
    """The Jensen–Shannon divergence in bits of counts by level: between 0 and 1.

    With M = (P + Q)/2 it is ½ KL(P‖M) + ½ KL(Q‖M) (Lin, IEEE Trans. Inf. Theory 37 (1991)): the
    bits that a label tells of the side that it is from, were both sides of one size. (SciPy's
    ``jensenshannon`` is its root.)

    Examples
    --------
    >>> float(jensen_shannon(np.array([3.0, 0.0]), np.array([0.0, 5.0])))
    1.0
    """
    p, q = _shares(source), _shares(target)
    mean = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(s > 0, s * np.log2(s / mean), 0.0) for s in (p, q)]
    return np.asarray(np.clip(0.5 * (terms[0] + terms[1]).sum(axis=-1), 0.0, 1.0))


def label_tv(samples: Samples, *, n_permutations: int, level: float, seed: int) -> Shift:
    """Total variation between the shares of labels: what share of labels would have to change.

    Notes
    -----
    ½ Σ|p̂ − q̂| is too large by chance. The value is the mean over thinned data (`thinned`, in
    `shiftbench.statistics.norms`), cut to [0, 1]: unbiased before the cut where nothing shifted,
    on average not above the truth elsewhere. The interval is that of `l1_interval`, with two
    clusters of the pooled shares added to each side's spread (Agresti & Caffo, Am. Stat. 54
    (2000)); its lower bound is 0 where the permutation test does not reject at 1 − level.

    Parameters
    ----------
    samples : Samples
        With labels.
    n_permutations : int
        Of whole clusters.
    level : float
    seed : int

    Returns
    -------
    Shift

    Examples
    --------
    >>> from shiftbench.distances.measured import measure
    >>> found = measure("label_tv", ["cat"] * 40 + ["dog"] * 10, ["cat"] * 20 + ["dog"] * 30)
    >>> round(found.value, 2), found.low > 0.1, found.high < 0.65, found.p_value < 0.01
    (0.4, True, True, True)
    """
    codes, k = _codes(samples)
    source, target = _both(samples, codes, k)
    plain = float(total_variation(source, target))
    p_value, null, parameters = _test(samples, total_variation, n_permutations, seed)
    parameters |= {"plain": plain, **_levels(samples, source, target)}
    if min(samples.n_clusters) < 2:
        return Shift(plain, method=_ONE, p_value=p_value, parameters=parameters)
    errors = _errors(samples, codes, k, seed, level)
    if np.abs(errors).max() < 1e-9:
        return Shift(plain, method=_CONSTANT, p_value=p_value, parameters=parameters)
    difference = _shares(target) - _shares(source)
    low, high = l1_interval(difference, errors, level)
    low = _reaching_zero(low, plain, null, level)
    value = min(max(thinned(difference, errors), low), 1.0)
    return Shift(
        value,
        low,
        min(max(high, value), 1.0),
        method="directional multiplier bootstrap of clusters, inverted permutation test at 0",
        p_value=p_value,
        se=float(np.sqrt(((0.5 * errors @ np.sign(difference)) ** 2).mean())),
        parameters=parameters,
    )


def label_js(samples: Samples, *, n_permutations: int, level: float, seed: int) -> Shift:
    """Jensen–Shannon divergence between the shares of labels, in bits.

    Notes
    -----
    The plug-in estimate is too large by chance: by b on average where nothing shifted, by 0 where
    no level is in both. The value is (estimate − b)/(1 − b), with b the mean over permutations of
    whole clusters, as in the adjusted mutual information: near 0 it may be negative. The interval
    is made on the scale of the root, from the jackknife's standard error (`root_interval`). For
    its lower bound rare levels are lumped, which no divergence grows by, but the bias shrinks; it
    is 0 where the permutation test does not reject at 1 − level.

    Parameters
    ----------
    samples : Samples
        With labels.
    n_permutations : int
        Of whole clusters.
    level : float
    seed : int

    Returns
    -------
    Shift

    References
    ----------
    Lin, IEEE Trans. Inf. Theory 37 (1991); Vinh, Epps & Bailey, JMLR 11 (2010).

    Examples
    --------
    >>> from shiftbench.distances.measured import measure
    >>> measure("label_js", ["cat"] * 9, ["dog"] * 9).value
    1.0
    """
    codes, k = _codes(samples)
    source, target = _both(samples, codes, k)
    plain = float(jensen_shannon(source, target))
    p_value, null, parameters = _test(samples, jensen_shannon, n_permutations, seed)
    chance = float(null.mean())
    value = _above(plain, chance)
    parameters |= {"plain": plain, "chance": chance, **_levels(samples, source, target)}
    if min(samples.n_clusters) < 2:
        return Shift(value, method=_ONE, p_value=p_value, parameters=parameters)
    _, high, se = _root_bounds(samples, codes, k, chance, 0.0, seed, level)
    if plain < 1e-12 and null.any():
        high, se = float(np.quantile(null, level)), NAN
    if math.isnan(high):
        return Shift(value, method=_CONSTANT, p_value=p_value, parameters=parameters)
    lumps, n_lumps = _lumped(samples, source, target)
    blocks, _ = permuted_counts(samples, lumps, n_lumps, _FEWEST, seed)
    by_chance = float(np.mean(np.concatenate([jensen_shannon(one, two) for one, two in blocks])))
    low, _, _ = _root_bounds(samples, lumps, n_lumps, by_chance, _PSEUDO / 2, seed, level)
    low = _reaching_zero(0.0 if math.isnan(low) else low, plain, null, level)
    return Shift(
        value,
        min(low, max(value, 0.0)),
        min(max(high, value), 1.0),
        method="jackknife of clusters on the root's scale, inverted permutation test at 0",
        p_value=p_value,
        se=se,
        parameters=parameters | {"levels_lumped_for_low": k - n_lumps},
    )


def _above(plain: float, chance: float) -> float:
    """The part of what is possible above chance."""
    return (plain - chance) / (1 - chance) if chance < 1 else 0.0


def _root_bounds(
    samples: Samples,
    codes: NDArray[np.int64],
    k: int,
    chance: float,
    pseudo: float,
    seed: int,
    level: float,
) -> tuple[float, float, float]:
    """Bounds and standard error, with clusters of the pooled shares added to both sides."""
    both = _both(samples, codes, k)
    pooled = pseudo * sum(_shares(one) for one in both) / 2
    added = [pooled * one.sum() / n for one, n in zip(both, samples.n_clusters, strict=True)]
    one, two, strata = counts_without_groups(samples, codes, k, _GROUPS, seed)
    plain = float(jensen_shannon(both[0] + added[0], both[1] + added[1]))
    knife = jackknife(plain, jensen_shannon(one + added[0], two + added[1]), strata)
    low, high = root_interval(plain, _above(plain, chance), knife.se, knife.df, level)
    return low, high, knife.se


def _lumped(samples: Samples, source: Floats, target: Floats) -> tuple[NDArray[np.int64], int]:
    """Codes in which neighbouring rare levels are one, so that each is expected a few times.

    What is rare depends on both sides alike, so that the choice favours no difference.
    """
    expected = (_shares(source) + _shares(target)) / 2 * min(samples.n_clusters)
    of_level = np.zeros(len(expected), dtype=np.int64)
    found, held = 0, 0.0
    for i in np.argsort(expected >= _EXPECTED, kind="stable").tolist():  # the rare ones first
        of_level[i] = found
        held += expected[i]
        if held >= _EXPECTED:
            found, held = found + 1, 0.0
    if held:
        of_level[of_level == found] = max(found - 1, 0)
    codes, _ = _codes(samples)
    return of_level[codes], max(found, 1)


_ONE = "cannot tell: one cluster on a side"
_CONSTANT = "cannot tell: the shares do not vary between clusters"


def _shares(counts: Floats) -> Floats:
    return np.asarray(counts / counts.sum(axis=-1, keepdims=True))


def _codes(samples: Samples) -> tuple[NDArray[np.int64], int]:
    if samples.labels is None:
        raise ConfigurationError("this distance compares labels, and there are none")
    if len(samples.levels) > _MOST_LEVELS:
        raise ConfigurationError(
            f"the labels have {len(samples.levels)} levels, and at most {_MOST_LEVELS} are "
            "compared; merge classes, or bin numbers first"
        )
    return samples.labels, len(samples.levels)


def _both(samples: Samples, codes: NDArray[np.int64], k: int) -> tuple[Floats, Floats]:
    source, target = counts_by((~samples.is_source).astype(np.int64), codes, 2, k)
    return source, target


def _test(
    samples: Samples, statistic: Callable[[Floats, Floats], Floats], n_permutations: int, seed: int
) -> tuple[float | None, Floats, dict[str, Any]]:
    """The p-value, the statistic on permutations, and what is to be told of them."""
    codes, k = _codes(samples)
    blocks, exact = permuted_counts(samples, codes, k, max(n_permutations, _FEWEST), seed)
    null = np.concatenate([statistic(one, two) for one, two in blocks])
    if not n_permutations:
        return None, null, {"permutations": 0}
    used = null if exact else null[:n_permutations]
    plain = statistic(*_both(samples, codes, k))
    p_value = float(permutation_p_values(plain, used[:, None], exact=exact)[0])
    return p_value, null, {"permutations": len(used), "all_permutations": exact}


def _reaching_zero(low: float, plain: float, null: Floats, level: float) -> float:
    """The lower bound, or 0 where a test of no shift does not reject."""
    beyond = 1 + np.count_nonzero(null >= plain - 1e-9)
    return 0.0 if beyond / (1 + len(null)) > 1 - level else low


def _errors(samples: Samples, codes: NDArray[np.int64], k: int, seed: int, level: float) -> Floats:
    """(b, k) draws from the law of the error of target shares − source shares."""
    n = len(samples.strata)
    counts = _both(samples, codes, k)
    pooled = sum(_shares(c) for c in counts) / 2
    rows = samples.clusters
    weights = np.empty(len(rows))
    expected, extra, df = [], [], math.inf
    for sign, inside, count in zip(
        (-1, 1), (samples.is_source, ~samples.is_source), counts, strict=True
    ):
        sizes = np.bincount(rows[inside], minlength=n)
        own, shares = side(sizes), _shares(count)
        weights[inside] = sign * own.weights[rows[inside]]
        expected.append((sign * own.weights * sizes, shares))
        scale = np.sqrt(_PSEUDO * pooled) / (own.df + 1)
        extra.append((scale[:, None] * (np.eye(k) - shares))[pooled > 0])
        df = min(df, own.df)
    table = sparse_counts(rows, codes, weights, n, k).T.tocsr()
    added = np.concatenate(extra)
    found = []
    for signs in random_signs(_DRAWS, n + len(added), seed, df, level):
        own_signs = signs[:, :n]
        errors = (table @ own_signs.T).T + signs[:, n:] @ added
        for mass, shares in expected:
            errors -= np.outer(own_signs @ mass, shares)
        found.append(errors)
    return np.concatenate(found)


def _levels(samples: Samples, source: Floats, target: Floats) -> dict[str, Any]:
    """The shares of the levels that moved most, and how many levels there are."""
    p, q = _shares(source), _shares(target)
    order = np.argsort(-np.abs(p - q), kind="stable")[:_SHOWN]
    return {
        "levels": len(p),
        "shares": [
            {"label": samples.levels[i], "source": float(p[i]), "target": float(q[i])}
            for i in order.tolist()
        ],
    }


LABEL_TV = Distance(
    name="label_tv",
    kind="label",
    takes="labels",
    compute=label_tv,
    summary="Total variation between the shares of labels",
    symmetric=True,
    bounds=(0.0, 1.0),
)

LABEL_JS = Distance(
    name="label_js",
    kind="label",
    takes="labels",
    compute=label_js,
    summary="Jensen–Shannon divergence between the shares of labels, in bits",
    symmetric=True,
    bounds=(0.0, 1.0),
)
