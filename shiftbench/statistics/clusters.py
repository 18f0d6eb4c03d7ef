"""Clusters: which examples are not independent of each other."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from shiftbench.errors import ConfigurationError

__all__ = ["Clusters", "warn_across"]

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
        both = cls.joined([first, second])
        n = len(first)
        return (
            cls(both.codes[:n], both.n_clusters),
            cls(both.codes[n:], both.n_clusters),
        )

    @classmethod
    def joined(cls, parts: Sequence[Any]) -> Clusters:
        """The clusters of several samples laid end to end, numbered together.

        Examples
        --------
        >>> Clusters.joined([["p"], ["q", "p"]]).codes.tolist()
        [0, 1, 0]
        """
        arrays = [_array(part) for part in parts]
        # Where numpy has no integer for both, as for int64 with uint64, it takes a float64, in
        # which large names that differ become one.
        if np.result_type(*arrays).kind not in "iu":
            arrays = [array.astype(object) for array in arrays]
        return cls.of(np.concatenate(arrays))

    def by_content(self, values: ArrayLike, ties: ArrayLike | None = None) -> Clusters:
        """The same clusters, numbered by what they hold.

        Random draws that go through the clusters in this order do not depend on the order of the
        examples, nor on what the clusters are called.

        Parameters
        ----------
        values : (n,) array of int, from 0
            What each example is. Clusters go by their size, then by their values in ascending
            order.
        ties : (n_clusters,) array, optional
            Goes before the numbers that clusters have now where all values are the same.

        Examples
        --------
        >>> Clusters.of(["b", "a", "b", "c"]).by_content([5, 3, 2, 1]).codes.tolist()
        [2, 1, 2, 0]
        """
        content = np.asarray(values, dtype=np.int64)
        sizes = self.sizes
        starts = np.cumsum(sizes) - sizes
        content = content[np.lexsort((content, self.codes))]
        order = np.arange(self.n_clusters) if ties is None else np.argsort(ties, kind="stable")
        order = order[np.argsort(sizes[order], kind="stable")]
        edges = np.flatnonzero(np.diff(sizes[order], prepend=-1, append=-1))
        for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            some = order[start:stop]
            size = int(sizes[some[0]])
            if size and len(some) > 1:
                # As bytes, the most significant first, whole rows are compared at once.
                rows = content[starts[some][:, None] + np.arange(size)].astype(">i8")
                keys = np.ascontiguousarray(rows).view(f"S{8 * size}").ravel()
                order[start:stop] = some[np.argsort(keys, kind="stable")]
        number = np.empty(self.n_clusters, dtype=np.int64)
        number[order] = np.arange(self.n_clusters)
        return Clusters(number[self.codes], self.n_clusters)

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


def warn_across(id_codes: Codes, ood_codes: Codes, stacklevel: int) -> int:
    """How many clusters have examples in both samples; a warning if any has.

    Parameters
    ----------
    id_codes, ood_codes : arrays of int
        Numbered together.
    stacklevel : int
        Of `warnings.warn`, counted from here: 2 is who calls this.

    Examples
    --------
    >>> warn_across(np.array([0, 1]), np.array([2]), 2)
    0
    """
    n = 1 + max(int(id_codes.max(initial=0)), int(ood_codes.max(initial=0)))
    both = np.bincount(id_codes, minlength=n).astype(bool)
    across = int(np.count_nonzero(both & np.bincount(ood_codes, minlength=n).astype(bool)))
    if across:
        warnings.warn(
            f"{across} clusters have both ID and OOD examples; the intervals allow for it, but "
            "look whether that was meant (the same patient, photograph or author in both)",
            stacklevel=stacklevel,
        )
    return across


def _array(names: Any) -> NDArray[Any]:
    if isinstance(names, pa.Array | pa.ChunkedArray):
        names = names.to_pylist()
    array = np.asarray(names)
    return array if array.dtype.kind in "iu" else array.astype(object)


def _arrow(names: Sequence[Any] | NDArray[Any]) -> pa.Array:
    try:
        return pa.array(names, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([None if n is None else str(n) for n in names])
