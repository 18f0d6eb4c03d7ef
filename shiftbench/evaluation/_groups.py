"""Which examples are in which groups, and sums over the groups in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.statistics import Clusters
from shiftbench.statistics.counts import Counts, cluster_moments, with_clusters

MISSING = "(missing)"
"""The name of the group of examples that have no value."""

EXAMPLES = 1 << 14
"""Examples worked on at a time: their memberships stay in the processor's cache."""

CLUSTERED = 1 << 15
"""Examples worked on at a time where clusters are counted; a cluster is never divided."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Groups:
    """Which examples are in which groups; an example may be in one, in several or in none.

    Attributes
    ----------
    names : tuple of str
    codes : (m,) int32 array
        The group of each membership, by example.
    offsets : (n + 1,) int64 array or None
        Example i's memberships are ``codes[offsets[i]:offsets[i + 1]]``; None where every example
        has exactly one.
    n : int
        Examples.

    Examples
    --------
    >>> groups = Groups.of_lists([["cat(sofa)", "cat(bed)"], [], ["cat(sofa)"]])
    >>> groups.names, groups.sizes().tolist()
    (('cat(bed)', 'cat(sofa)'), [1, 2])
    """

    names: tuple[str, ...]
    codes: NDArray[np.int32]
    offsets: Integers | None
    n: int

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            twice = next(n for i, n in enumerate(self.names) if n in self.names[:i])
            raise ConfigurationError(f"two groups have the same name, {twice!r}; give each its own")

    @classmethod
    def of_matrix(cls, members: Any, names: Sequence[str]) -> Groups:
        """From a boolean (n, g) membership matrix and the names of its columns."""
        matrix = np.asarray(members)
        if matrix.ndim != 2 or matrix.shape[1] != len(names):
            raise ConfigurationError(
                f"the membership matrix has the shape {matrix.shape} for {len(names)} names; one "
                "row an example and one column a group are needed"
            )
        if matrix.dtype != bool and not np.isin(matrix, (0, 1)).all():
            raise ConfigurationError("a membership matrix holds True and False (or 1 and 0) only")
        row, column = np.nonzero(matrix)
        return cls.of_csr(_offsets(np.bincount(row, minlength=len(matrix))), column, names)

    @classmethod
    def of_lists(cls, lists: Any) -> Groups:
        """From a list of names an example, such as the column `subset` (Arrow lists are fast).

        A list that is missing, and a name that is, stand for the group ``(missing)``.
        """
        if isinstance(lists, pa.ChunkedArray):
            lists = lists.combine_chunks()
        if not isinstance(lists, pa.Array):
            lists = pa.array([None if row is None else list(row) for row in lists])
        if pa.types.is_null(lists.type):
            lists = lists.cast(pa.list_(pa.string()))
        nothing = lists.is_null().to_numpy(zero_copy_only=False)
        lengths = lists.value_lengths().fill_null(1).to_numpy(zero_copy_only=False)
        codes, names = encoded_names(lists.flatten())
        if nothing.any():
            offsets = _offsets(np.where(nothing, 0, lengths))
            if MISSING not in names:
                names = (*names, MISSING)
            codes = np.insert(codes, offsets[:-1][nothing], names.index(MISSING))
        return cls.of_csr(_offsets(lengths), codes, names)

    @classmethod
    def of_csr(cls, offsets: Any, codes: Any, names: Sequence[str]) -> Groups:
        """From offsets (n + 1), the group of every membership by example, and the groups' names.

        Raises
        ------
        ConfigurationError
            Offsets that do not fit, codes outside the names, an example twice in one group, two
            groups of one name.
        """
        start = np.asarray(offsets, dtype=np.int64)
        member = np.asarray(codes)
        if (
            len(start) == 0
            or start[0] != 0
            or start[-1] != len(member)
            or (np.diff(start) < 0).any()
        ):
            raise ConfigurationError(
                f"the offsets do not fit {len(member)} memberships; they start with 0, never fall "
                "and end with the number of memberships"
            )
        if len(member) and not (member.min() >= 0 and member.max() < len(names)):
            raise ConfigurationError(
                f"codes of groups lie between {member.min()} and {member.max()}, but there are "
                f"{len(names)} names; they count from 0"
            )
        found = cls(tuple(names), member.astype(np.int32, copy=False), start, len(start) - 1)
        found._refuse_repeats()
        if len(member) == found.n and (np.diff(start) == 1).all():
            return cls(found.names, found.codes, None, found.n)
        return found

    def _refuse_repeats(self) -> None:
        for first, last, codes in self._blocks(1 << 18):
            assert self.offsets is not None
            rows = np.repeat(np.arange(last - first), np.diff(self.offsets[first : last + 1]))
            keys = rows * len(self.names) + codes
            keys.sort()
            same = np.flatnonzero(keys[1:] == keys[:-1])
            if len(same):
                row, code = divmod(int(keys[same[0]]), len(self.names))
                raise ConfigurationError(
                    f"the example at position {first + row} is in group {self.names[code]!r} "
                    "twice; name every group of an example once"
                )

    def _blocks(self, size: int) -> Iterator[tuple[int, int, NDArray[np.int32]]]:
        for first in range(0, self.n, size):
            last = min(first + size, self.n)
            inside = slice(first, last)
            if self.offsets is not None:
                inside = slice(int(self.offsets[first]), int(self.offsets[last]))
            yield first, last, self.codes[inside]

    def spread(self, values: NDArray[Any], first: int, last: int) -> NDArray[Any]:
        """Values of the examples from `first` to `last`, one a membership."""
        if self.offsets is None:
            return values[first:last]
        return np.repeat(values[first:last], np.diff(self.offsets[first : last + 1]))

    def sizes(self) -> Integers:
        """Examples in each group."""
        total = np.zeros(len(self.names), dtype=np.int64)
        for _, _, codes in self._blocks(EXAMPLES):
            total += np.bincount(codes, minlength=len(self.names))
        return total

    def sums(self, values: Any) -> Floats:
        """The sum of one value an example over each group."""
        x = np.asarray(values, dtype=np.float64)
        total = np.zeros(len(self.names))
        for first, last, codes in self._blocks(EXAMPLES):
            weights = self.spread(x, first, last)
            total += np.bincount(codes, weights=weights, minlength=len(self.names))
        return total

    def gathered(self, table: Floats, state: NDArray[Any]) -> Floats:
        """For every example the sum of ``table[group, state]`` over its groups.

        Parameters
        ----------
        table : (g, s) floats
        state : (n,) integers below s
        """
        flat, width = table.ravel(), table.shape[1]
        total = np.zeros(self.n)
        for first, last, codes in self._blocks(EXAMPLES):
            keys = codes.astype(np.int64)
            keys *= width
            keys += self.spread(state, first, last)
            if self.offsets is None:
                total[first:last] = flat[keys]
                continue
            running = np.empty(len(keys) + 1)
            running[0] = 0.0
            np.cumsum(flat[keys], out=running[1:])
            at = self.offsets[first : last + 1] - self.offsets[first]
            total[first:last] = running[at[1:]] - running[at[:-1]]
        return total

    def counts(
        self,
        flags: NDArray[np.bool_],
        known: NDArray[np.bool_] | None = None,
        clusters: Clusters | None = None,
    ) -> Counts:
        """Of each group: examples, how many are true, and what its clusters make them worth.

        Parameters
        ----------
        flags : (n,) booleans
        known : (n,) booleans, optional
            Which examples count at all.
        clusters : Clusters, optional
        """
        g = len(self.names)
        state = np.asarray(flags, dtype=bool).astype(np.int8)
        kinds = 2
        if known is not None and not known.all():
            state, kinds = np.where(known, state, 2).astype(np.int8), 3
        total = np.zeros(kinds * g, dtype=np.int64)
        # One counting of group and state together, rather than one of each.
        for first, last, codes in self._blocks(EXAMPLES):
            keys = codes.astype(np.int64)
            keys *= kinds
            keys += self.spread(state, first, last)
            total += np.bincount(keys, minlength=kinds * g)
        table = total.reshape(g, kinds)
        counts = Counts(table[:, 1].astype(np.float64), table[:, :2].sum(axis=1).astype(np.float64))
        if clusters is None:
            return counts
        return with_clusters(counts, self._moments(state, clusters, counts))

    def _moments(self, state: NDArray[np.int8], clusters: Clusters, counts: Counts) -> Floats:
        """Sums over the pairs of a group and a cluster, whole clusters at a time."""
        g = len(self.names)
        moments = np.zeros((5, g))
        order = None
        codes = clusters.codes
        if (codes[1:] < codes[:-1]).any():
            order = np.argsort(codes, kind="stable")
            codes = codes[order]
        first = 0
        while first < self.n:
            last = self._block_end(codes, first)
            rows = slice(first, last) if order is None else order[first:last]
            lengths, member = self._memberships(rows)
            known = np.repeat(state[rows], lengths)
            keys = np.repeat(codes[first:last] - codes[first], lengths) * g
            keys += member
            keys <<= 1
            keys += known
            if (known > 1).any():
                keys = keys[known < 2]
            keys.sort()
            pair = keys >> 1
            new = np.ones(len(pair), dtype=bool)
            np.not_equal(pair[1:], pair[:-1], out=new[1:])
            starts = np.flatnonzero(new)
            if len(starts):
                size = np.diff(starts, append=len(keys)).astype(np.float64)
                right = np.add.reduceat(keys & 1, starts).astype(np.float64)
                moments += cluster_moments(right, size, pair[starts] % g, counts)
            first = last
        return moments

    def _block_end(self, codes: Integers, first: int) -> int:
        """Where a block from `first` ends: no cluster is in two blocks."""
        last = min(first + CLUSTERED, self.n)
        return int(np.searchsorted(codes, codes[last - 1], "right"))

    def _memberships(self, rows: slice | Integers) -> tuple[Integers, NDArray[np.int32]]:
        """How many groups each of some examples is in, and which."""
        if self.offsets is None:
            member = self.codes[rows]
            return np.ones(len(member), dtype=np.int64), member
        if isinstance(rows, slice):
            ends = self.offsets[rows.start : rows.stop + 1]
            return np.diff(ends), self.codes[ends[0] : ends[-1]]
        start = self.offsets[rows]
        lengths = self.offsets[rows + 1] - start
        ends = np.cumsum(lengths)
        at = np.repeat(start - ends + lengths, lengths) + np.arange(ends[-1] if len(ends) else 0)
        return lengths, self.codes[at]

    def rows(self) -> Iterator[tuple[str, Integers]]:
        """Each group's name and its examples, in order; groups without any are left out."""
        if not self.names:
            return
        order = np.argsort(self.codes, kind="stable")
        ends = np.cumsum(np.bincount(self.codes, minlength=len(self.names)))
        example = order
        if self.offsets is not None:
            example = np.searchsorted(self.offsets, order, "right") - 1
        for name, low, high in zip(
            self.names, [0, *ends[:-1].tolist()], ends.tolist(), strict=True
        ):
            if high > low:
                yield name, example[low:high]

    def disjoint(self) -> bool:
        """Whether no example is in two groups."""
        return self.offsets is None or bool((np.diff(self.offsets) <= 1).all())


def encoded_names(values: pa.Array, prefix: str = "") -> tuple[Integers, tuple[str, ...]]:
    """Codes in the order of the values, and names; missing values come last.

    A value has the same name whatever else occurs: 1.0 is "1" beside 2.5, too.
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)
    found = values.dictionary_encode()
    distinct = found.dictionary.to_pylist()
    order = sorted(range(len(distinct)), key=distinct.__getitem__)
    names = [distinct[i] if text else f"{prefix}{_written(distinct[i])}" for i in order]
    place = np.empty(len(distinct) + 1, dtype=np.int64)
    place[order], place[-1] = np.arange(len(distinct)), len(distinct)
    codes = found.indices
    if codes.null_count:
        missing = MISSING if text else f"{prefix}{MISSING}"
        while missing in names:  # a value that is written so stays apart
            missing += "*"
        names.append(missing)
        codes = codes.fill_null(len(distinct))
    return place[codes.to_numpy(zero_copy_only=False)], tuple(names)


def _written(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _offsets(lengths: NDArray[Any]) -> Integers:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
