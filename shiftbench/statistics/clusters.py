"""Clusters: which examples are not independent of each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError

__all__ = ["Clusters"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Clusters:
    """The independent unit (patient, author, photograph) of every example.

    Attributes
    ----------
    codes : (n,) int64 array
        The number of each example's cluster, from 0, in order of first appearance.
    n_clusters : int

    Examples
    --------
    >>> Clusters.of(["b", "a", "b"])
    Clusters(codes=array([0, 1, 0]), n_clusters=2)
    """

    codes: Codes
    n_clusters: int

    @classmethod
    def of(cls, names: Sequence[Any] | NDArray[Any] | pa.Array) -> Clusters:
        """From one name or number an example.

        Raises
        ------
        ConfigurationError
            A name is missing: an example without a unit is its own, and needs a name for it.
        """
        array = names if isinstance(names, pa.Array | pa.ChunkedArray) else _arrow(names)
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        if array.null_count:
            at = int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
            raise ConfigurationError(
                f"{array.null_count} of {len(array)} examples have no cluster (the first is at "
                f"position {at}); give an example that stands alone a name of its own"
            )
        encoded = array.dictionary_encode()
        codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        return cls(codes, len(encoded.dictionary))

    @classmethod
    def pair(cls, first: Any, second: Any) -> tuple[Clusters, Clusters]:
        """The clusters of two samples, numbered together: a name in both is one cluster.

        Both have the same `n_clusters`.

        Examples
        --------
        >>> a, b = Clusters.pair(["p", "q"], ["q", "r"])
        >>> a.codes.tolist(), b.codes.tolist(), a.n_clusters
        ([0, 1], [1, 2], 3)
        """
        both = cls.of(np.concatenate([_objects(first), _objects(second)]))
        n = len(first)
        return (
            cls(both.codes[:n], both.n_clusters),
            cls(both.codes[n:], both.n_clusters),
        )

    def sums(self, values: Floats) -> Floats:
        """The sum of `values`, (n,) or (n, k), over each cluster: (n_clusters,) or (…, k).

        Examples
        --------
        >>> Clusters.of(["a", "b", "a"]).sums(np.array([1.0, 2.0, 3.0])).tolist()
        [4.0, 2.0]
        """
        values = np.asarray(values, dtype=np.float64)
        if values.ndim == 1:
            found = np.bincount(self.codes, weights=values, minlength=self.n_clusters)
            return found.astype(np.float64, copy=False)
        return np.stack([self.sums(column) for column in values.T], axis=1)

    @property
    def sizes(self) -> Codes:
        """Examples in each cluster."""
        return np.bincount(self.codes, minlength=self.n_clusters)


def _objects(names: Any) -> NDArray[Any]:
    if isinstance(names, pa.Array | pa.ChunkedArray):
        names = names.to_pylist()
    array = np.asarray(names)
    return array if array.dtype.kind in "iu" else array.astype(object)


def _arrow(names: Sequence[Any] | NDArray[Any]) -> pa.Array:
    try:
        return pa.array(names, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if n is None else str(n) for n in names])
