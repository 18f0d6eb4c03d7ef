"""How far the shares of labels moved: total variation and Jensen–Shannon divergence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.samples import Samples
from shiftbench.distances.shares import counts_by, counts_without_groups, permuted_counts
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
    is made on the scale of the root, from the jackknife's standard error (`root_interval`); its
    lower bound is 0 where the permutation test does not reject at 1 − level.

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
    value = (plain - chance) / (1 - chance) if chance < 1 else 0.0
    parameters |= {"plain": plain, "chance": chance, **_levels(samples, source, target)}
    if min(samples.n_clusters) < 2:
        return Shift(value, method=_ONE, p_value=p_value, parameters=parameters)
    one, two, strata = counts_without_groups(samples, codes, k, _GROUPS, seed)
    left = jensen_shannon(one, two)
    knife = jackknife(plain, left, strata)
    low, high = root_interval(plain, value, knife.se, knife.df, level)
    if math.isnan(low):
        return Shift(
            value,
            method="cannot tell: the shares do not vary between clusters",
            p_value=p_value,
            parameters=parameters,
        )
    low = min(_reaching_zero(low, plain, null, level), max(value, 0.0))
    return Shift(
        value,
        low,
        min(max(high, value), 1.0),
        method="jackknife of clusters on the root's scale, inverted permutation test at 0",
        p_value=p_value,
        se=knife.se,
        parameters=parameters,
    )


_ONE = "cannot tell: one cluster on a side"


def _shares(counts: Floats) -> Floats:
    return np.asarray(counts / counts.sum(axis=-1, keepdims=True))


def _codes(samples: Samples) -> tuple[NDArray[np.int64], int]:
    if samples.labels is None:
        raise ConfigurationError("this distance compares labels, and there are none")
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


def _errors(
    samples: Samples, codes: NDArray[np.int64], k: int, seed: int, level: float
) -> Floats:
    """(b, k) draws from the law of the error of target shares − source shares."""
    n = len(samples.strata)
    both = np.zeros((n, k))
    extra = []
    df = math.inf
    sides = (samples.is_source, ~samples.is_source)
    counts = [counts_by(samples.clusters[rows], codes[rows], n, k) for rows in sides]
    pooled = sum(_shares(c.sum(axis=0)) for c in counts) / 2
    for sign, table in zip((-1, 1), counts, strict=True):
        sizes = table.sum(axis=1)
        shares = _shares(table.sum(axis=0))
        own = side(sizes)
        both += sign * own.weights[:, None] * (table - sizes[:, None] * shares)
        scale = np.sqrt(_PSEUDO * pooled) / (own.df + 1)
        extra.append((scale[:, None] * (np.eye(k) - shares))[pooled > 0])
        df = min(df, own.df)
    scores = np.concatenate([both, *extra])
    return random_signs(_DRAWS, len(scores), seed, df, level) @ scores


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
    summary="Total variation between the shares of labels.",
    symmetric=True,
    bounds=(0.0, 1.0),
)

LABEL_JS = Distance(
    name="label_js",
    kind="label",
    takes="labels",
    compute=label_js,
    summary="Jensen–Shannon divergence between the shares of labels, in bits.",
    symmetric=True,
    bounds=(0.0, 1.0),
)
