"""The features, clusters and ids of many subsets, checked and numbered together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from shiftbench.distances.samples import features_of
from shiftbench.distances.shift import Distance
from shiftbench.errors import ConfigurationError
from shiftbench.statistics import Clusters

__all__ = ["SubsetArrays"]

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class SubsetArrays:
    """What pairs are made of, in order of the subsets' names.

    Attributes
    ----------
    names : tuple of str
    values : tuple of (n, d) arrays
        Features; labels, (n,), for a distance between labels.
    clusters, ids : tuple of (n,) int64 arrays, or None
        Numbered through all subsets.
    """

    names: tuple[str, ...]
    values: tuple[Any, ...]
    clusters: tuple[Codes, ...] | None
    ids: tuple[Codes, ...] | None

    @classmethod
    def of(
        cls,
        subsets: Mapping[str, ArrayLike],
        distance: Distance,
        clusters: Mapping[str, Any] | None,
        ids: Mapping[str, Any] | None,
    ) -> SubsetArrays:
        """Checked.

        Raises
        ------
        ConfigurationError
            See `shiftbench.distances.pairwise`.
        """
        if len(subsets) < 2:
            raise ConfigurationError(f"there are {len(subsets)} subsets; give two or more")
        for key in subsets:
            if not isinstance(key, str):
                raise ConfigurationError(f"a subset is called {key!r}; give names as text")
        names = tuple(sorted(subsets))
        if distance.takes == "labels":
            values: tuple[Any, ...] = tuple(np.asarray(subsets[n]) for n in names)
        else:
            values = tuple(features_of(subsets[n], f"subset {n!r}") for n in names)
            for n, v in zip(names, values, strict=True):
                if v.shape[1] != values[0].shape[1]:
                    raise ConfigurationError(
                        f"the subset {n!r} has {v.shape[1]} features and {names[0]!r} has "
                        f"{values[0].shape[1]}; all must be in one space"
                    )
        sizes = [len(v) for v in values]
        units = _numbered(clusters, names, sizes, "clusters")
        examples = _numbered(ids, names, sizes, "ids")
        for n, e in zip(names, examples or (), strict=False):
            if len(np.unique(e)) < len(e):
                raise ConfigurationError(f"an example id stands twice in the subset {n!r}")
        for n, v, c in zip(names, values, units or examples or values, strict=True):
            count = len(np.unique(c)) if c is not v else len(v)
            if count < distance.fewest:
                raise ConfigurationError(
                    f"the subset {n!r} has {count} clusters (examples, where no clusters are "
                    f"given); {distance.name} needs {distance.fewest} or more"
                )
        return cls(names, values, units, examples)

    @cached_property
    def units(self) -> tuple[Codes, ...]:
        """The cluster of each example; by default its id, or itself."""
        if self.clusters is not None:
            return self.clusters
        if self.ids is not None:
            return self.ids
        ends = np.cumsum([len(v) for v in self.values])
        return tuple(np.arange(e - len(v), e) for e, v in zip(ends, self.values, strict=True))

    @cached_property
    def pairs(self) -> tuple[Codes, Codes]:
        """i < j, in order of names."""
        i, j = np.triu_indices(len(self.names), 1)
        return i.astype(np.int64), j.astype(np.int64)

    @cached_property
    def sharing(self) -> set[tuple[int, int]]:
        """Pairs with an example in common."""
        if self.ids is None:
            return set()
        sizes = [len(e) for e in self.ids]
        codes = np.concatenate(self.ids)
        rows = np.repeat(np.arange(len(sizes)), sizes)
        held = csr_array((np.ones(len(codes)), (rows, codes)), shape=(len(sizes), codes.max() + 1))
        both = (held @ held.T).tocoo()
        return {(int(i), int(j)) for i, j in zip(*both.coords, strict=True) if i < j}

    def kept(self, i: int, j: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which examples only one of the two has."""
        if (i, j) not in self.sharing:
            return np.ones(len(self.values[i]), bool), np.ones(len(self.values[j]), bool)
        assert self.ids is not None
        a, b = self.ids[i], self.ids[j]
        return ~np.isin(a, b), ~np.isin(b, a)


def _numbered(
    given: Mapping[str, Any] | None, names: Sequence[str], sizes: Sequence[int], what: str
) -> tuple[Codes, ...] | None:
    if given is None:
        return None
    listed = []
    for name, size in zip(names, sizes, strict=True):
        if name not in given:
            raise ConfigurationError(
                f"the subset {name!r} has no {what}; give them for all or none"
            )
        own = list(given[name]) if isinstance(given[name], str) else given[name]
        if len(own) != size:
            raise ConfigurationError(
                f"the subset {name!r} has {size} examples and {len(own)} {what}; give one each"
            )
        listed.append(own)
    codes = Clusters.joined(listed).codes
    return tuple(np.split(codes, np.cumsum(sizes)[:-1]))
