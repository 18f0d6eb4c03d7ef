"""Which examples subsets share: sizes of all intersections, overlap coefficient, Jaccard index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from shiftbench.errors import ConfigurationError

__all__ = ["Subsets", "intersections", "jaccard", "overlap_coefficient"]

_PRODUCTS = 16_000_000  # multiply-adds of one block of the sparse product: bounds its memory


@dataclass(frozen=True)
class Subsets:
    """Which examples belong to which subset, row by row.

    Attributes
    ----------
    names : tuple of str
        The subsets, each name once.
    classes : tuple of str
        The class of each subset.
    indptr : (n + 1,) int64 array
        Subset i holds ``indices[indptr[i]:indptr[i + 1]]``.
    indices : int32 array
        Row numbers of examples, sorted and without repetition inside a subset.
    n_examples : int
        How many examples there are; row numbers are below it.

    Examples
    --------
    >>> s = Subsets.of(["cat(sofa)", "cat(bed)"], ["cat", "cat"], [[2, 0], [0, 1, 2]], 3)
    >>> s.sizes
    array([2, 3])
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    n_examples: int

    def __post_init__(self) -> None:
        n = len(self.names)
        if len(set(self.names)) != n:
            twice = sorted(name for name, often in Counter(self.names).items() if often > 1)
            raise ConfigurationError(
                f"subset names must differ; {len(twice)} come more than once, such as {twice[:3]}"
            )
        if len(self.classes) != n or len(self.indptr) != n + 1:
            raise ConfigurationError(
                f"{n} subset names need {n} classes and {n + 1} offsets; there are "
                f"{len(self.classes)} and {len(self.indptr)}"
            )
        steps = np.diff(self.indptr)
        if self.indptr[0] != 0 or self.indptr[-1] != len(self.indices) or (steps < 0).any():
            raise ConfigurationError("indptr must rise from 0 to the number of memberships")
        if len(self.indices) == 0:
            return
        if int(self.indices.min()) < 0 or int(self.indices.max()) >= self.n_examples:
            raise ConfigurationError(
                f"memberships name rows {int(self.indices.min())} … {int(self.indices.max())}; "
                f"there are {self.n_examples} examples"
            )
        rises = np.diff(self.indices) > 0
        starts = self.indptr[1:-1]
        rises[starts[(starts > 0) & (starts < len(self.indices))] - 1] = True
        if not rises.all():
            raise ConfigurationError("the rows of a subset must be sorted and without repetition")

    @classmethod
    def of(
        cls,
        names: Iterable[str],
        classes: Iterable[str],
        members: Iterable[Iterable[int]],
        n_examples: int,
    ) -> Subsets:
        """From the row numbers of each subset, in any order, repetitions allowed."""
        rows = [np.unique(np.fromiter(m, dtype=np.int32)) for m in members]
        indptr = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(r) for r in rows], out=indptr[1:])
        indices = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int32)
        return cls(tuple(names), tuple(classes), indptr, indices, n_examples)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Examples of each subset."""
        return np.diff(self.indptr)

    def take(self, positions: Sequence[int] | NDArray[np.int64]) -> Subsets:
        """Some of the subsets, in the order given."""
        rows = [self.indices[self.indptr[i] : self.indptr[i + 1]] for i in positions]
        indptr = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(r) for r in rows], out=indptr[1:])
        return Subsets(
            tuple(self.names[i] for i in positions),
            tuple(self.classes[i] for i in positions),
            indptr,
            np.concatenate(rows) if rows else np.zeros(0, dtype=np.int32),
            self.n_examples,
        )

    def compact(self) -> Subsets:
        """The same subsets over only those examples that one of them holds, renumbered."""
        used, local = np.unique(self.indices, return_inverse=True)
        rows = local.astype(np.int32)
        return Subsets(self.names, self.classes, self.indptr, rows, max(len(used), 1))


def _incidence(subsets: Subsets) -> csr_array:
    ones = np.ones(len(subsets.indices), dtype=np.int32)
    shape = (len(subsets.names), subsets.n_examples)
    return csr_array((ones, subsets.indices, subsets.indptr), shape=shape)


def _blocks(subsets: Subsets) -> Iterator[csr_array]:
    """Rows of incidence × transpose, as many at a time as a bound on the products allows."""
    incidence = _incidence(subsets)
    transposed = incidence.T.tocsr()
    often = np.diff(transposed.indptr).astype(np.int64)
    running = np.concatenate([[0], np.cumsum(often[subsets.indices])])
    work = running[subsets.indptr]
    start, n = 0, len(subsets.names)
    while start < n:
        stop = int(np.searchsorted(work, work[start] + _PRODUCTS, side="right")) - 1
        stop = min(max(stop, start + 1), n)
        yield incidence[start:stop] @ transposed
        start = stop


def intersections(subsets: Subsets) -> csr_array:
    """|A ∩ B| of all pairs of subsets, |A| on the diagonal.

    Parameters
    ----------
    subsets : Subsets
        n subsets.

    Returns
    -------
    (n, n) csr_array of int32
        Only pairs that share an example are stored, the columns of a row in no particular order
        (``sort_indices()`` sorts them, which takes longer than the product).

    Notes
    -----
    A sparse product in blocks of rows: the memory is that of the result and of one block.

    Examples
    --------
    >>> s = Subsets.of(["a", "b", "c"], ["x"] * 3, [[0, 1], [1, 2, 3], [4]], 5)
    >>> intersections(s).toarray()
    array([[2, 1, 0],
           [1, 3, 0],
           [0, 0, 1]], dtype=int32)
    """
    n = len(subsets.names)
    data: list[NDArray[np.int32]] = []
    indices: list[NDArray[np.int32]] = []
    counts: list[NDArray[np.int64]] = [np.zeros(1, dtype=np.int64)]
    for block in _blocks(subsets):
        data.append(block.data.astype(np.int32, copy=False))
        indices.append(block.indices.astype(np.int32, copy=False))
        counts.append(np.diff(block.indptr).astype(np.int64))
    empty = np.zeros(0, dtype=np.int32)
    # One after the other, so that no second copy of both is held.
    all_data = _joined(data, empty)
    all_indices = _joined(indices, empty)
    indptr = np.cumsum(np.concatenate(counts))
    return csr_array((all_data, all_indices, indptr), shape=(n, n))


def _joined(parts: list[NDArray[np.int32]], empty: NDArray[np.int32]) -> NDArray[np.int32]:
    """The parts in one array; they are given up."""
    if len(parts) == 1:
        return parts.pop()
    whole = np.concatenate([empty, *parts])
    parts.clear()
    return whole


def _ratio(subsets: Subsets, union: bool) -> csr_array:
    shared = intersections(subsets)
    sizes = subsets.sizes.astype(np.int32)
    value = np.empty(len(shared.data), dtype=np.float64)
    step = 64  # rows whose temporaries stay in the cache
    for start in range(0, len(sizes), step):
        stop = min(start + step, len(sizes))
        low, high = shared.indptr[start], shared.indptr[stop]
        own = np.repeat(sizes[start:stop], np.diff(shared.indptr[start : stop + 1]))
        other = sizes[shared.indices[low:high]]
        both = shared.data[low:high]
        whole = own + other - both if union else np.minimum(own, other)
        np.divide(both, whole, out=value[low:high])
    return csr_array((value, shared.indices, shared.indptr), shape=shared.shape)


def overlap_coefficient(subsets: Subsets) -> csr_array:
    """|A ∩ B| / min(|A|, |B|) of all pairs of subsets: the weights of the meta-graph.

    Returns
    -------
    (n, n) csr_array of float
        1 on the diagonal; pairs without a common example, and empty subsets, are not stored.

    Examples
    --------
    >>> s = Subsets.of(["a", "b"], ["x", "x"], [[0, 1], [1, 2, 3]], 4)
    >>> overlap_coefficient(s).toarray()
    array([[1. , 0.5],
           [0.5, 1. ]])
    """
    return _ratio(subsets, union=False)


def jaccard(subsets: Subsets) -> csr_array:
    """|A ∩ B| / |A ∪ B| of all pairs of subsets.

    Returns
    -------
    (n, n) csr_array of float
        1 on the diagonal; pairs without a common example, and empty subsets, are not stored.

    Examples
    --------
    >>> s = Subsets.of(["a", "b"], ["x", "x"], [[0, 1], [1, 2, 3]], 4)
    >>> jaccard(s).toarray()
    array([[1.  , 0.25],
           [0.25, 1.  ]])
    """
    return _ratio(subsets, union=True)
