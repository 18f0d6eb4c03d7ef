"""One distance between every two of many subsets, all in one space and with one bandwidth."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from shiftbench.distances.bandwidth import check_bandwidth, median_bandwidth
from shiftbench.distances.characteristic import of_length_one
from shiftbench.distances.fourier import check_count, frequencies_of, waves
from shiftbench.distances.gram import squared_distances
from shiftbench.distances.measured import check_permutations, distance_named, measure, options_of
from shiftbench.distances.samples import canonical_order, features_of
from shiftbench.distances.shift import Distance, Shift
from shiftbench.distances.stacked import (
    Stacked,
    apart_value,
    gaussian_sums,
    norm_sums,
    values_of,
    wave_sums,
)
from shiftbench.distances.subset_arrays import SubsetArrays
from shiftbench.errors import ConfigurationError, near_names
from shiftbench.schema import SHIFT_DISTANCES
from shiftbench.statistics.estimate import critical

__all__ = ["pairwise"]

Floats = NDArray[np.float64]

_AT_ONCE = ("mmd", "energy", "characteristic")
_FEW = "none: too few clusters, of the examples that only one of the two has"


def pairwise(
    subsets: Mapping[str, ArrayLike],
    name: str,
    *,
    clusters: Mapping[str, Any] | None = None,
    ids: Mapping[str, Any] | None = None,
    reference: ArrayLike | None = None,
    n_permutations: int = 0,
    intervals: bool = False,
    n_jobs: int = 1,
    level: float = 0.95,
    seed: int = 0,
    **options: Any,
) -> pa.Table:
    """How far apart every two subsets are, with one bandwidth for all.

    Parameters
    ----------
    subsets : mapping of name to (n, d) array
        Features, or (n,) labels for a distance between labels.
    name : str
        A registered distance that takes features or labels.
    clusters : mapping of name to (n,) names, optional
        The unit of independence; a name in two subsets is one unit.
    ids : mapping of name to (n,) ids, optional
        A pair of subsets that share examples is compared on those that only one of the two has,
        and has no p-value.
    reference : (m, d) array, optional
        Whose median distance is the bandwidth, where the distance has one and none is given. By
        default all subsets together, each example once.
    n_permutations : int
        For p-values; each pair is then measured by itself.
    intervals : bool
        Intervals without p-values; each pair is then measured by itself (milliseconds each). For
        `mmd`, `energy` and `characteristic` the values alone are made for all pairs at once.
    n_jobs : int
        Processes that pairs are measured in.
    level : float
        Of the intervals.
    seed : int
    **options
        The distance's own, see `measure`.

    Returns
    -------
    pa.Table
        Of `shiftbench.schema.SHIFT_DISTANCES`, one row a pair, names in ascending order and the
        source before the target. What cannot be told is null, and `method` says why.

    Raises
    ------
    ConfigurationError
        Fewer than two subsets, an unknown distance or option, features that are no finite numbers
        or of several widths (the message names the subset), a subset of fewer than two clusters.

    Notes
    -----
    All at once, time is one pass over the kernel matrix of all examples, in single precision where
    the error (about 1e-7) is negligible; memory does not grow with the number of pairs of examples.

    Examples
    --------
    >>> table = pairwise({"a": [0.0, 0.0], "b": [3.0, 3.0], "c": [3.0, 3.0]}, "energy")
    >>> table["source"].to_pylist(), table["value"].to_pylist()
    (['a', 'a', 'b'], [6.0, 6.0, 0.0])
    """
    distance = _checked(name, options, n_permutations, level)
    made = SubsetArrays.of(subsets, distance, clusters, ids)
    chosen = options_of(distance) | options
    if "bandwidth" in chosen:
        normalise = bool(chosen.get("normalise"))
        chosen["bandwidth"] = _bandwidth(made, chosen["bandwidth"], normalise, reference, seed)
    if name in _AT_ONCE and not n_permutations and not intervals:
        return _at_once(made, distance, chosen, seed)

    def one(i: int, j: int) -> Shift | None:
        n, n_units = _apart(made, i, j)
        if n.min() < distance.fewest or n_units.min() < 2:
            return None
        return measure(
            name,
            made.values[i],
            made.values[j],
            clusters=None if made.clusters is None else (made.clusters[i], made.clusters[j]),
            ids=None if made.ids is None else (made.ids[i], made.ids[j]),
            n_permutations=n_permutations,
            level=level,
            seed=seed,
            **chosen,
        )

    pairs = np.stack(made.pairs).T.tolist()
    if n_jobs == 1:
        found = [one(i, j) for i, j in pairs]
    else:
        from joblib import Parallel, delayed

        found = list(Parallel(n_jobs=n_jobs)(delayed(one)(i, j) for i, j in pairs))
    return _rows_of(made, distance, found, seed)


def _checked(name: str, options: Mapping[str, Any], n_permutations: int, level: float) -> Distance:
    distance = distance_named(name)
    if distance.takes not in ("features", "labels"):
        raise ConfigurationError(
            f"{name} compares {distance.takes}, and pairwise takes one array a subset; use measure"
        )
    known = options_of(distance)
    for option in options:
        if option not in known:
            raise ConfigurationError(
                f"{name} has no option {option!r}; {near_names(option, sorted(known))}"
            )
    critical(level)
    check_permutations(n_permutations)
    return distance


def _bandwidth(
    made: SubsetArrays,
    given: float | None,
    normalise: bool,
    reference: ArrayLike | None,
    seed: int,
) -> float:
    if given is not None:
        return check_bandwidth(given)
    if reference is not None:
        pooled, units = features_of(reference, "reference"), None
    else:
        pooled, units = np.concatenate(made.values), np.concatenate(made.units)
        if made.ids is not None:
            once = np.unique(np.concatenate(made.ids), return_index=True)[1]
            pooled, units = pooled[once], units[once]
    return median_bandwidth(of_length_one(pooled) if normalise else pooled, units, seed)


def _at_once(
    made: SubsetArrays, distance: Distance, options: Mapping[str, Any], seed: int
) -> pa.Table:
    """Values of all pairs from sums between subsets; pairs that share examples one by one."""
    values = made.values
    if options.get("normalise"):
        values = tuple(of_length_one(v) for v in values)
    sizes = np.array([len(v) for v in values])
    subset = np.repeat(np.arange(len(sizes)), sizes)
    features, units = np.concatenate(values), np.concatenate(made.units)
    order = canonical_order(features, units)
    order = order[np.argsort(subset[order], kind="stable")]
    _, first, numbered = np.unique(units[order], return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))  # by first appearance, whatever the clusters are called
    stacked = Stacked(features[order], subset, rank[numbered], len(sizes))
    sums, kernel, known = _sums(stacked, distance.name, options, seed)
    found = values_of(stacked, sums)
    i, j = made.pairs
    value = found[i, j]
    n = sizes[np.stack(made.pairs)]
    n_units = np.array([len(np.unique(u)) for u in made.units])[np.stack(made.pairs)]
    parameters = np.full(len(i), json.dumps(known, sort_keys=True), dtype=object)
    for a, b in sorted(made.sharing):
        row = a * (2 * len(sizes) - a - 1) // 2 + b - a - 1  # of the upper triangle
        kept = made.kept(a, b)
        (x, of_x), (y, of_y) = (
            (values[k][keep], made.units[k][keep]) for k, keep in zip((a, b), kept, strict=True)
        )
        value[row] = math.nan
        n[:, row] = len(x), len(y)
        n_units[:, row] = len(np.unique(of_x)), len(np.unique(of_y))
        if n_units[:, row].min() >= 2:
            value[row] = apart_value(kernel, x, y, (of_x, of_y))
        shared = {"shared_examples": int(np.count_nonzero(~kept[0]))}
        parameters[row] = json.dumps(known | shared, sort_keys=True)
    method = np.where(np.isnan(value), _FEW, "none: values of all pairs at once")
    return _table(made, distance, value, n, n_units, parameters.tolist(), method.tolist(), seed)


def _sums(
    stacked: Stacked, name: str, options: Mapping[str, Any], seed: int
) -> tuple[Floats, Callable[[Floats], Floats], dict[str, Any]]:
    """Sums between subsets, the kernel of a few examples, and what the values depend on."""
    if name == "energy":
        return norm_sums(stacked), lambda x: -np.sqrt(squared_distances(x)), {}
    bandwidth = options["bandwidth"]
    known = {"bandwidth": bandwidth}
    which = "features" if name == "mmd" else "n_frequencies"
    if options[which] is None:
        scale = -0.5 / bandwidth**2
        return (
            gaussian_sums(stacked, bandwidth),
            lambda x: np.asarray(np.exp(scale * squared_distances(x))),
            known,
        )
    n = check_count(options[which], which)
    frequencies = frequencies_of(n, stacked.features.shape[1], bandwidth, seed)
    known[which] = n
    if name == "characteristic":
        known["normalise"] = bool(options["normalise"])

    def kernel(x: Floats) -> Floats:
        wave = waves(x, frequencies)
        return np.asarray(wave @ wave.T)

    return wave_sums(stacked, frequencies), kernel, known


def _apart(made: SubsetArrays, i: int, j: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Examples and clusters of each of two subsets, without examples of both."""
    kept = made.kept(i, j)
    return (
        np.array([int(k.sum()) for k in kept]),
        np.array([len(np.unique(made.units[s][k])) for s, k in zip((i, j), kept, strict=True)]),
    )


def _rows_of(
    made: SubsetArrays, distance: Distance, found: list[Shift | None], seed: int
) -> pa.Table:
    blank = Shift(math.nan, method=_FEW)
    shifts = [f or blank for f in found]
    pairs = np.stack(made.pairs)
    n, n_units = np.empty_like(pairs), np.empty_like(pairs)
    for row, (i, j) in enumerate(pairs.T.tolist()):
        n[:, row], n_units[:, row] = _apart(made, i, j)
    table = _table(
        made,
        distance,
        np.array([s.value for s in shifts]),
        n,
        n_units,
        [json.dumps(dict(s.parameters), sort_keys=True) for s in shifts],
        [s.method for s in shifts],
        seed,
    )
    for column, numbers in (
        ("low", [s.low for s in shifts]),
        ("high", [s.high for s in shifts]),
        ("p_value", [s.p_value for s in shifts]),
    ):
        at = table.schema.get_field_index(column)
        known = pa.array(numbers, pa.float64(), from_pandas=True)
        table = table.set_column(at, SHIFT_DISTANCES.field(column), known)
    return table


def _table(
    made: SubsetArrays,
    distance: Distance,
    value: Floats,
    n: NDArray[np.int64],
    n_units: NDArray[np.int64],
    parameters: list[str],
    method: list[str],
    seed: int,
) -> pa.Table:
    names = pa.array(made.names, pa.string())
    i, j = made.pairs
    given: dict[str, Any] = {
        "source": names.take(pa.array(i)),
        "target": names.take(pa.array(j)),
        "kind": pa.repeat(distance.kind, len(i)),
        "distance": pa.repeat(distance.name, len(i)),
        "value": pa.array(value, from_pandas=True),
        "method": pa.array(method, pa.string()),
        "n_source": pa.array(n[0]),
        "n_target": pa.array(n[1]),
        "n_clusters_source": pa.array(n_units[0]),
        "n_clusters_target": pa.array(n_units[1]),
        "parameters": pa.array(parameters, pa.string()),
        "seed": pa.repeat(pa.scalar(seed, pa.int64()), len(i)),
    }
    columns = [given.get(f.name, pa.nulls(len(i), f.type)) for f in SHIFT_DISTANCES]
    return pa.table(columns, schema=SHIFT_DISTANCES)
