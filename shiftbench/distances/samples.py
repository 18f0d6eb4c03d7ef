"""Two samples made ready to compare: checked, in an order of their own, clusters known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftbench.distances.relabel import Units
from shiftbench.errors import ConfigurationError
from shiftbench.statistics import Clusters, stream

__all__ = ["Samples", "canonical_order", "features_of", "two_samples"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
_ODD = 0x9E3779B97F4A7C15
_SMALLEST, _LARGEST = 1e-60, 1e60  # beyond, fourth powers of distances under- or overflow


@dataclass(frozen=True)
class Samples:
    """A source and a target, in an order that does not depend on how they came.

    Rows of the source stand first. What is drawn at random by position (permutations, folds,
    projections) then depends on the seed and on what the samples hold, not on their order.

    Attributes
    ----------
    features : (n_source + n_target, d) float64 array
        Of labels alone, d is 0.
    n_source : int
    clusters : (n,) int64 array
        Numbered from 0; a cluster with examples on both sides has one number.
    labels : (n,) int64 array or None
        Codes of `levels`.
    levels : tuple of str
    losses : (n,) float64 array or None
    shared : int
        Examples that were in both, and were left out of both.
    clustered : bool
        Some cluster has several examples.
    """

    features: Floats
    n_source: int
    clusters: Codes
    labels: Codes | None = None
    levels: tuple[str, ...] = ()
    losses: Floats | None = None
    shared: int = 0

    @property
    def source(self) -> Floats:
        """Features of the source, (n_source, d)."""
        return self.features[: self.n_source]

    @property
    def target(self) -> Floats:
        """Features of the target, (n_target, d)."""
        return self.features[self.n_source :]

    @property
    def n_target(self) -> int:
        """Examples of the target."""
        return len(self.clusters) - self.n_source

    @cached_property
    def is_source(self) -> NDArray[np.bool_]:
        """Which rows are the source's."""
        return np.arange(len(self.clusters)) < self.n_source

    @cached_property
    def n_clusters(self) -> tuple[int, int]:
        """Clusters of the source and of the target."""
        return (
            len(np.unique(self.clusters[: self.n_source])),
            len(np.unique(self.clusters[self.n_source :])),
        )

    @property
    def clustered(self) -> bool:
        """Whether any cluster has several examples."""
        return len(np.unique(self.clusters)) < len(self.clusters)

    @cached_property
    def strata(self) -> Codes:
        """Of each cluster: 0 = in the source only, 1 = in the target only, 2 = in both."""
        n = int(self.clusters.max(initial=-1)) + 1
        source = np.bincount(self.clusters[: self.n_source], minlength=n) > 0
        target = np.bincount(self.clusters[self.n_source :], minlength=n) > 0
        return np.where(source & target, 2, np.where(source, 0, 1))

    @cached_property
    def units(self) -> Units:
        """What changes sides in a permutation: whole clusters; rows inside clusters of both."""
        return Units.of(self.clusters, self.is_source)

    def n_relabelings(self) -> float:
        """How many different permutations of the sides there are."""
        logarithm = self.units.log_relabelings()
        return round(exp(logarithm)) if logarithm < 30 else np.inf

    def relabelings(
        self, n: int, seed: int, cells: int = 4_000_000
    ) -> tuple[Iterator[NDArray[np.float64]], int, bool]:
        """Permutations of the sides, some at a time.

        Where fewer than `n` differ, each is gone through once, the data's own among them.

        Returns
        -------
        blocks : iterator of (b, n_units) float64 arrays
            1 where a unit is in the source. `units.of_row` says which rows a unit has.
        count : int
            How many there will be.
        exact : bool
            These are all there are.
        """
        every = self.n_relabelings()
        if every <= n:
            return _every(self.units, cells), int(every), True
        rng = stream(seed, "permutations of sides")
        return self.units.permuted(rng, n), n, False

    def groups(self, most: int, seed: int) -> tuple[Codes, Codes]:
        """Clusters dealt into at most `most` groups a stratum, for the jackknife.

        Returns
        -------
        of_row : (n,) int64 array
            The group of each row, numbered through all strata.
        strata : (n_groups,) int64 array
            The stratum of each group.
        """
        rng = stream(seed, "groups of clusters")
        of_cluster = np.empty(len(self.strata), dtype=np.int64)
        strata: list[int] = []
        for stratum in range(3):
            inside = np.flatnonzero(self.strata == stratum)
            n = min(most, len(inside))
            if n:
                dealt = rng.permutation(len(inside)) % n
                of_cluster[inside] = len(strata) + dealt
                strata += [stratum] * n
        return of_cluster[self.clusters], np.array(strata, dtype=np.int64)


def _every(units: Units, cells: int) -> Iterator[NDArray[np.float64]]:
    from itertools import combinations, product

    strata = [np.flatnonzero(units.stratum == s) for s in np.unique(units.stratum)]
    chosen = [combinations(s.tolist(), int(units.is_source[s].sum())) for s in strata]
    step = max(1, cells // max(len(units.stratum), 1))
    block: list[NDArray[np.float64]] = []
    for picks in product(*chosen):
        row = np.zeros(len(units.stratum))
        for pick in picks:
            row[list(pick)] = 1.0
        block.append(row)
        if len(block) == step:
            yield np.array(block)
            block = []
    if block:
        yield np.array(block)


def features_of(values: ArrayLike, what: str) -> Floats:
    """A (n, d) float64 array, checked; (n,) becomes (n, 1).

    Raises
    ------
    ConfigurationError
        Not numbers, no rows, NaN or infinite values (masked ones, too); the message says where the
        first is. Numbers all so small, or one so large, that squares of them are none.

    Examples
    --------
    >>> features_of([1, 2], "source").shape
    (2, 1)
    """
    try:
        if np.iscomplexobj(values):
            raise TypeError
        if isinstance(values, np.ma.MaskedArray):
            values = np.ma.filled(values.astype(np.float64), np.nan)
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"the {what} is no array of numbers; give one row of features an example"
        ) from None
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or 0 in array.shape:
        raise ConfigurationError(
            f"the {what} has the shape {array.shape}; give (examples, features) with at least one "
            "of each"
        )
    bad = ~np.isfinite(array)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise ConfigurationError(
            f"the {what} has {int(bad.sum())} values that are NaN or infinite, the first in row "
            f"{row}, column {column} ({array[row, column]}); fill or drop them first"
        )
    size = np.abs(array)
    if size.max() > _LARGEST or 0 < size.max() < _SMALLEST:
        row, column = (int(i) for i in np.unravel_index(size.argmax(), size.shape))
        raise ConfigurationError(
            f"the largest number of the {what} is {array[row, column]}, in row {row}, column "
            f"{column}; allowed: {_SMALLEST} to {_LARGEST} in size, beyond which squares are not "
            "numbers any more; divide the features by a constant first"
        )
    return array + 0.0  # no negative zero, which is the same number with other bytes


def two_samples(
    source: ArrayLike,
    target: ArrayLike,
    *,
    takes: str,
    clusters: tuple[Any, Any] | None = None,
    ids: tuple[Any, Any] | None = None,
    labels: tuple[Any, Any] | None = None,
    losses: tuple[Any, Any] | None = None,
    fewest: int = 2,
) -> Samples:
    """Check two samples, leave out the examples that both have, and put the rest in order.

    Parameters
    ----------
    source, target : (m, d) and (n, d) arrays
        Features; for ``takes="labels"`` the labels, (m,) and (n,).
    takes : str
        See `Distance.takes`.
    clusters : (m names, n names), optional
        The unit of independence; by default each example is its own.
    ids : (m ids, n ids), optional
        Examples with the same id are the same example.
    labels : ((m,), (n,)), optional
        Class names or numbers.
    losses : ((m,), (n,)), optional
        A loss or an error (0 or 1) an example.
    fewest : int
        Examples that each side must have.

    Raises
    ------
    ConfigurationError
        Says what is wrong, and where.

    Examples
    --------
    >>> s = two_samples([[0.0], [1.0]], [[1.0], [2.0]], takes="features", ids=("ab", "bc"),
    ...                 fewest=1)
    >>> s.n_source, s.n_target, s.shared
    (1, 1, 1)
    """
    levels: tuple[str, ...] = ()
    coded = measured = None
    if takes == "labels":
        coded, levels = _codes((source, target))
        n = (len(np.asarray(source)), len(np.asarray(target)))
        features = np.empty((sum(n), 0))
    else:
        a, b = features_of(source, "source"), features_of(target, "target")
        if a.shape[1] != b.shape[1]:
            raise ConfigurationError(
                f"the source has {a.shape[1]} features and the target {b.shape[1]}; both must be "
                "in one space"
            )
        features = np.concatenate([a, b])
        n = (len(a), len(b))
    if takes == "features and labels":
        coded, levels = _codes(_needed(labels, "labels", n))
    if takes == "features and losses":
        x, y = _needed(losses, "losses", n)
        measured = np.concatenate([features_of(x, "source's losses")[:, 0],
                                   features_of(y, "target's losses")[:, 0]])  # fmt: skip
    units = _clusters(clusters, ids, n)
    keep, shared = _disjoint(ids, n)
    n_source = int(keep[: n[0]].sum())
    for side, count in (("source", n_source), ("target", int(keep[n[0] :].sum()))):
        if count < fewest:
            left = f" that the other has not (of {shared} shared)" if shared else ""
            raise ConfigurationError(
                f"the {side} has {count} examples{left}; at least {fewest} are needed"
            )
    picked = np.flatnonzero(keep)
    extra = [c[picked].astype(np.float64) for c in (coded, measured) if c is not None]
    order = _order(features[picked], extra, units[picked], n_source)
    picked = picked[order]
    _, numbered = np.unique(units[picked], return_inverse=True)
    first = np.unique(numbered, return_index=True)[1]
    rank = np.argsort(np.argsort(first))
    return Samples(
        features[picked],
        n_source,
        rank[numbered].astype(np.int64),
        None if coded is None else coded[picked],
        levels,
        None if measured is None else measured[picked],
        shared,
    )


def _needed(pair: tuple[Any, Any] | None, what: str, n: tuple[int, int]) -> tuple[Any, Any]:
    if pair is None:
        raise ConfigurationError(
            f"this distance compares {what} given features and has none; give {what}=(of the "
            "source, of the target)"
        )
    for side, values, rows in zip(("source", "target"), pair, n, strict=True):
        if len(values) != rows:
            raise ConfigurationError(
                f"the {side} has {rows} examples and {len(values)} {what}; give one an example"
            )
    return pair


def _codes(pair: Sequence[Any]) -> tuple[Codes, tuple[str, ...]]:
    sides = []
    for side, values in zip(("source", "target"), pair, strict=True):
        array = np.asarray(values)
        if array.ndim != 1 or not len(array):
            raise ConfigurationError(
                f"the labels of the {side} have the shape {array.shape}; give one label an example"
            )
        sides.append(array.tolist())
    for side, listed in zip(("source", "target"), sides, strict=True):
        for i, value in enumerate(listed):
            if value is None or value != value:
                raise ConfigurationError(
                    f"the label in row {i} of the {side} is missing; leave such examples out"
                )
    every = [*sides[0], *sides[1]]
    numbers = all(isinstance(v, bool | int | float) for v in every)
    if numbers and len({type(v) for v in every}) > 1:
        # A missing value elsewhere makes floats of a whole column of integers: 1.0 is 1.
        every = [int(v) if v == v // 1 else v for v in every]
    text = [v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in every]
    levels = sorted(set(text), key=(lambda t: (float(_plain(t)), t)) if numbers else None)
    at = {name: i for i, name in enumerate(levels)}
    return np.array([at[t] for t in text], dtype=np.int64), tuple(levels)


def _plain(text: str) -> str:
    return {"False": "0", "True": "1"}.get(text, text)


def _clusters(
    clusters: tuple[Any, Any] | None, ids: tuple[Any, Any] | None, n: tuple[int, int]
) -> Codes:
    given = clusters if clusters is not None else ids
    if given is None:
        return np.arange(sum(n), dtype=np.int64)
    for side, names, rows in zip(("source", "target"), given, n, strict=True):
        if len(names) != rows:
            raise ConfigurationError(
                f"the {side} has {rows} examples and {len(names)} "
                f"{'clusters' if clusters is not None else 'ids'}; give one an example"
            )
    return Clusters.joined([_listed(g) for g in given]).codes


def _listed(names: Any) -> Any:
    return list(names) if isinstance(names, str) else names


def _disjoint(ids: tuple[Any, Any] | None, n: tuple[int, int]) -> tuple[NDArray[np.bool_], int]:
    if ids is None:
        return np.ones(sum(n), dtype=bool), 0
    codes = Clusters.joined([_listed(i) for i in ids]).codes
    a, b = codes[: n[0]], codes[n[0] :]
    for side, own in (("source", a), ("target", b)):
        if len(np.unique(own)) < len(own):
            raise ConfigurationError(f"an example id stands twice in the {side}")
    both = np.intersect1d(a, b)
    return ~np.isin(codes, both), len(both)


def canonical_order(features: Floats, clusters: Codes) -> Codes:
    """An order of rows that depends on what they and their clusters hold, not on how they came.

    Examples
    --------
    >>> x, units = np.array([[1.0], [2.0], [3.0]]), np.arange(3)
    >>> a, b = canonical_order(x, units), canonical_order(x[::-1], units)
    >>> bool((x[a] == x[::-1][b]).all())
    True
    """
    return _order(features, [], clusters, len(features))


def _order(features: Floats, extra: list[Floats], clusters: Codes, n_source: int) -> Codes:
    """Rows by side, by what their cluster holds, then by what they hold."""
    columns = np.column_stack([features, *extra]) if extra else features
    hashes = np.full(len(columns), 1, dtype=np.uint64)
    bits = np.ascontiguousarray(columns).view(np.uint64).reshape(len(columns), -1)
    with np.errstate(over="ignore"):
        for column in bits.T:
            hashes = _mixed(hashes * np.uint64(_ODD) + _mixed(column))
        side = np.where(np.arange(len(hashes)) < n_source, 0, 1)
        _, codes = np.unique(clusters, return_inverse=True)
        whole = np.zeros(int(codes.max(initial=-1)) + 1, dtype=np.uint64)
        np.add.at(whole, codes, _mixed(hashes + side.astype(np.uint64)))
    return np.lexsort((hashes, codes, whole[codes], side)).astype(np.int64)


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64: every bit in changes half of the bits out."""
    x = x ^ (x >> np.uint64(30))
    x = x * np.uint64(0xBF58476D1CE4E5B9)
    x = x ^ (x >> np.uint64(27))
    x = x * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))
