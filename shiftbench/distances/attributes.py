"""SubpopBench's four numbers: what kinds of subpopulation shift a training set invites."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.boundary import nonnegative_interval, root_variance
from shiftbench.errors import ConfigurationError
from shiftbench.statistics import Clusters, Estimate, stream
from shiftbench.statistics.estimate import NAN, critical, normal_interval
from shiftbench.statistics.jackknife import jackknife
from shiftbench.statistics.linearised import mean_variance
from shiftbench.statistics.proportions import share

__all__ = ["subpopulation_numbers"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_GROUPS = 200
_CELLS = 4_000_000


@dataclass(frozen=True)
class _Entries:
    """One entry a membership: its label, attribute, cluster, and whether it is of the target."""

    label: Codes
    attribute: Codes
    cluster: Codes
    is_target: NDArray[np.bool_]
    n: tuple[int, int]


def subpopulation_numbers(
    labels: Sequence[Any],
    attributes: Sequence[Any],
    labels_target: Sequence[Any] | None = None,
    attributes_target: Sequence[Any] | None = None,
    *,
    clusters: Sequence[Any] | None = None,
    clusters_target: Sequence[Any] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Spurious correlation, attribute imbalance, class imbalance and attribute generalisation.

    With H the entropy, I the mutual information, Y the label and A the attribute:

    - ``spurious_correlation`` = 2 I(Y; A) / (H(Y) + H(A)): 0 where they are independent, 1 where
      each gives the other away;
    - ``attribute_imbalance`` = 1 − H(A) / log |A|, |A| the attributes that the split has: 0 where
      all are equally frequent;
    - ``class_imbalance`` = 1 − H(Y) / log |Y|, likewise;
    - ``attribute_generalisation`` = the share of the target whose attribute the training split
      has not: 0 where nothing new is met.

    The first three are of the training split. With a target there are also those of the target
    (``…[target]``), target − train (``…[change]``) and ``joint_generalisation``, the share of the
    target whose pair of label and attribute the training split has not.

    Parameters
    ----------
    labels : (n,) names
    attributes : (n,) names or lists of names
        Of an example with several, each membership counts as one entry; without any, none does.
    labels_target, attributes_target : optional
        Of the test split.
    clusters, clusters_target : (n,), (m,) names, optional
        The unit of independence; a name in both is one unit.
    level : float
        Of the intervals.
    seed : int
        Of the groups that more than 200 clusters are left out in.

    Returns
    -------
    dict of str to Estimate
        nan, with the reason as method, where a number is not defined: one class, one attribute.

    Raises
    ------
    ConfigurationError
        Lengths that differ, a target's labels without its attributes, missing values.

    Notes
    -----
    Values are corrected by the jackknife over clusters, so that they may come out below 0. Those
    of one split have intervals that are valid at 0 too (`nonnegative_interval`); changes have
    jackknife intervals with Student's t, the shares clustered Wilson intervals that take the
    training split as given.

    References
    ----------
    Yang, Zhang, Katabi & Ghassemi, "Change is Hard: A Closer Look at Subpopulation Shift", ICML
    2023. Which mean of the entropies normalises the mutual information there could not be checked
    (unverified): the arithmetic one is used. That attribute generalisation is a share of the target
    is ours; theirs says whether there is such an attribute.

    Examples
    --------
    >>> labels = ["cow", "cow", "camel", "camel"] * 10
    >>> found = subpopulation_numbers(labels, ["grass", "grass", "sand", "grass"] * 10,
    ...                               ["cow", "camel"] * 10, ["grass", "snow"] * 10)
    >>> round(found["spurious_correlation"].value, 2), found["attribute_generalisation"].value
    (0.34, 0.5)
    """
    critical(level)
    if (labels_target is None) != (attributes_target is None):
        raise ConfigurationError(
            "labels and attributes of the target come together; give both or neither"
        )
    entries, shape = _entries(
        (labels, labels_target), (attributes, attributes_target), (clusters, clusters_target)
    )
    tables, strata, whole = _tables(entries, shape, seed)
    sides = (0,) if labels_target is None else (0, 1)
    found: dict[str, Estimate] = {}
    for name in ("spurious_correlation", "attribute_imbalance", "class_imbalance"):
        of_side = [_of_tables(name, whole[side]) for side in sides]
        for side in sides:
            title = name if side == 0 else f"{name}[target]"
            found[title] = _number(
                name, of_side[side], whole[side], tables[:, side], strata, entries, side, level
            )
        if len(sides) == 2:
            found[f"{name}[change]"] = _change(of_side, whole, tables, strata, entries, level)
    if len(sides) == 2:
        found["attribute_generalisation"] = _unseen(entries, entries.attribute, level)
        pairs = entries.label * shape[1] + entries.attribute
        found["joint_generalisation"] = _unseen(entries, pairs, level)
    return found


def _entries(
    labels: tuple[Any, Any], attributes: tuple[Any, Any], clusters: tuple[Any, Any]
) -> tuple[_Entries, tuple[int, int]]:
    names: list[tuple[str, str]] = []
    owner: list[int] = []
    is_target: list[bool] = []
    units: list[list[Any]] = []
    n = [0, 0]
    for side, what in enumerate(("training split", "target")):
        if labels[side] is None:
            continue
        y, a = list(labels[side]), list(attributes[side])
        n[side] = len(y)
        if len(a) != len(y) or not y:
            raise ConfigurationError(
                f"the {what} has {len(y)} labels and {len(a)} attributes; give one of each (or a "
                "list of attributes) an example, and at least one example"
            )
        own = clusters[side]
        if own is not None and len(own) != len(y):
            raise ConfigurationError(
                f"the {what} has {len(y)} examples and {len(own)} clusters; give one an example"
            )
        units.append(list(own) if own is not None else [f"{side}\x1f{i}" for i in range(len(y))])
        for i, (label, some) in enumerate(zip(y, a, strict=True)):
            listed = list(some) if isinstance(some, list | tuple | set | frozenset) else [some]
            if label is None or label != label or any(v is None or v != v for v in listed):
                raise ConfigurationError(
                    f"row {i} of the {what} has no label or no attribute; leave such examples out"
                )
            for one in sorted({str(v) for v in listed}):
                names.append((str(label), one))
                owner.append(i + (n[0] if side else 0))
                is_target.append(bool(side))
    of_example = Clusters.joined(units).codes
    levels = [{x: i for i, x in enumerate(sorted({row[j] for row in names}))} for j in (0, 1)]
    label, attribute = (
        np.array([levels[j][row[j]] for row in names], dtype=np.int64) for j in (0, 1)
    )
    entries = _Entries(
        label,
        attribute,
        of_example[np.array(owner, dtype=np.int64)],
        np.array(is_target, dtype=bool),
        (n[0], n[1]),
    )
    return entries, (len(levels[0]), len(levels[1]))


def _tables(entries: _Entries, shape: tuple[int, int], seed: int) -> tuple[Floats, Codes, Floats]:
    """Counts by split, label and attribute without each group of clusters, and of all."""
    k = int(entries.cluster.max(initial=-1)) + 1
    in_source = np.bincount(entries.cluster[~entries.is_target], minlength=k) > 0
    in_target = np.bincount(entries.cluster[entries.is_target], minlength=k) > 0
    stratum = np.where(in_source & in_target, 2, np.where(in_source, 0, 1))
    # By what clusters hold, so that the groups do not depend on the order of the examples.
    cell = (entries.is_target * shape[0] + entries.label) * shape[1] + entries.attribute
    width = 2 * shape[0] * shape[1]
    codes = Clusters(entries.cluster, k).by_content(cell).codes
    number = np.empty(k, dtype=np.int64)
    number[entries.cluster] = codes
    most = max(20, min(_GROUPS, _CELLS // max(width, 1)))
    group = np.empty(k, dtype=np.int64)
    strata: list[int] = []
    for s in range(3):
        inside = np.flatnonzero(stratum == s)
        inside = inside[np.argsort(number[inside], kind="stable")]
        dealt = stream(seed, "groups of clusters", str(s)).permutation(len(inside))
        groups = min(most, len(inside))
        if groups:
            group[inside] = len(strata) + dealt % groups
            strata += [s] * groups
    flat = np.bincount(group[entries.cluster] * width + cell, minlength=len(strata) * width)
    tables = flat.reshape(len(strata), 2, *shape).astype(np.float64)
    whole = tables.sum(axis=0)
    return whole - tables, np.array(strata, dtype=np.int64), whole


def _entropy(counts: Floats) -> Floats:
    """Of counts along the last axis, in nats."""
    with np.errstate(divide="ignore", invalid="ignore"):
        p = counts / counts.sum(axis=-1, keepdims=True)
        return np.asarray(-np.where(p > 0, p * np.log(p), 0.0).sum(axis=-1))


def _of_tables(name: str, whole: Floats) -> Callable[[Floats], Floats]:
    """The number as a function of counts; |A| and |Y| are those of all, whoever is left out."""
    if name == "spurious_correlation":
        return _correlation
    axis = -2 if name == "attribute_imbalance" else -1
    k = int((whole.sum(axis=axis) > 0).sum())
    return lambda tables: _imbalance(tables.sum(axis=axis), k)


def _imbalance(counts: Floats, k: int) -> Floats:
    if k < 2:
        return np.full(counts.shape[:-1], np.nan)
    return np.asarray(1 - _entropy(counts) / math.log(k))


def _correlation(tables: Floats) -> Floats:
    y, a = _entropy(tables.sum(axis=-1)), _entropy(tables.sum(axis=-2))
    both = _entropy(tables.reshape(*tables.shape[:-2], -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = 2 * (y + a - both) / (y + a)
    return np.where((y > 0) & (a > 0), found, np.nan)


def _influence(name: str, table: Floats, value: float) -> Floats:
    """How an entry of each cell moves the number, times the number of entries."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = [np.log(c / table.sum()) for c in (table.sum(axis=1), table.sum(axis=0), table)]
    y, a = (np.broadcast_to(logs[i][s], table.shape)
            for i, s in ((0, np.s_[:, None]), (1, np.s_[None, :])))  # fmt: skip
    if name != "spurious_correlation":
        own = a if name == "attribute_imbalance" else y
        k = int((table.sum(axis=0 if name == "attribute_imbalance" else 1) > 0).sum())
        return np.asarray(own / math.log(k))
    mean = float(_entropy(table.sum(axis=1)) + _entropy(table.sum(axis=0))) / 2
    information = np.zeros(table.shape)
    there = table > 0
    information[there] = logs[2][there] - y[there] - a[there]
    return np.asarray((information + value * (y + a) / 2) / mean)


def _independent_noise(name: str, table: Floats) -> tuple[float, int]:
    """What independent entries add to the number on average (Miller 1955), and in how many ways."""
    ways = [int((table.sum(axis=axis) > 0).sum()) - 1 for axis in (0, 1)]
    entropy = [float(_entropy(table.sum(axis=axis))) for axis in (0, 1)]
    if name == "spurious_correlation":
        free, unit = ways[0] * ways[1], sum(entropy) / 2
    else:
        free = ways[0 if name == "attribute_imbalance" else 1]
        unit = math.log(free + 1)
    return free / (2 * float(table.sum()) * unit), free


def _number(
    name: str,
    number: Callable[[Floats], Floats],
    table: Floats,
    without: Floats,
    strata: Codes,
    entries: _Entries,
    side: int,
    level: float,
) -> Estimate:
    own = entries.is_target == bool(side)
    units = Clusters.of(entries.cluster[own])
    n = entries.n[side]
    base: dict[str, Any] = {"level": level, "n": n}
    base["n_clusters"] = units.n_clusters if units.n_clusters < n else None
    plain = float(number(table))
    if math.isnan(plain):
        why = "one class or one attribute" if "corr" in name else f"one {name.split('_')[0]}"
        return Estimate(NAN, method=f"cannot tell: {why}", **base)
    moved = strata != 1 - side
    found = jackknife(plain, number(without[moved]), strata[moved])
    base["parameters"] = {"plug_in": plain}
    if not math.isfinite(found.bias):
        return Estimate(plain, method="cannot tell: it rests on one cluster", **base)
    influence = _influence(name, table, plain)[entries.label[own], entries.attribute[own]]
    clustered = units if units.n_clusters < len(influence) else None
    variance, df = (float(v) for v in mean_variance(influence - influence.mean(), clustered))
    value = plain - found.bias
    independent, free = _independent_noise(name, table)
    noise = max(found.bias, independent)
    scale = noise / free
    if plain > 1e-12:
        scale = root_variance(plain, noise, variance, found.se)
    low, high = nonnegative_interval(
        max(plain, 0.0), noise, scale, level, df, most=1.0, curved=found.bias
    )
    if math.isnan(low):
        return Estimate(value, method="cannot tell: no spread among the clusters", **base)
    method = "noncentral χ²; jackknife bias" + (", by cluster" if clustered else "")
    return Estimate(value, low, high, se=found.se, method=method, **base)


def _change(
    numbers: Sequence[Callable[[Floats], Floats]],
    whole: Floats,
    tables: Floats,
    strata: Codes,
    entries: _Entries,
    level: float,
) -> Estimate:
    plain = float(numbers[1](whole[1]) - numbers[0](whole[0]))
    base: dict[str, Any] = {"level": level, "n": sum(entries.n)}
    if math.isnan(plain):
        return Estimate(NAN, method="cannot tell: not defined in one of the splits", **base)
    each = numbers[1](tables[:, 1]) - numbers[0](tables[:, 0])
    found = jackknife(plain, each, strata)
    if not (math.isfinite(found.bias) and found.se > 0):
        return Estimate(plain, method="cannot tell: no spread among the clusters", **base)
    value = plain - found.bias
    low, high = normal_interval(value, found.se, level, found.df)
    return Estimate(
        value, max(low, -1.0), min(high, 1.0), se=found.se, method="jackknife by cluster, t", **base
    )


def _unseen(entries: _Entries, codes: Codes, level: float) -> Estimate:
    known = np.unique(codes[~entries.is_target])
    own = entries.is_target
    flags = ~np.isin(codes[own], known)
    units = Clusters.of(entries.cluster[own])
    return share(flags, units if units.n_clusters < len(flags) else None, level)
