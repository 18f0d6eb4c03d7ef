"""Every class(context) pair of a source, as rows of examples, before any threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.schema import CONTEXT_KINDS, Metadata

__all__ = ["Index", "Rows", "distinct", "index_contexts"]

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Index:
    """Subsets sorted by name, each with its examples.

    Attributes
    ----------
    names, subjects, contexts, kinds : tuple of str
        One entry a subset.
    indptr, indices : int64 arrays
        Subset i holds the examples ``indices[indptr[i]:indptr[i + 1]]``, ascending.
    n_examples : int
    whole : Index, optional
        The same examples with the contexts of every kind, where this index has not all kinds.
    """

    names: tuple[str, ...]
    subjects: tuple[str, ...]
    contexts: tuple[str, ...]
    kinds: tuple[str, ...]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]
    n_examples: int
    whole: Index | None = None

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Examples of each subset."""
        return np.diff(self.indptr)

    @cached_property
    def _number(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.names)}

    @cached_property
    def _pairs(self) -> dict[tuple[str, str], list[int]]:
        found: dict[tuple[str, str], list[int]] = {}
        for i, pair in enumerate(zip(self.subjects, self.contexts, strict=True)):
            found.setdefault(pair, []).append(i)
        return found

    @cached_property
    def by_subject(self) -> dict[str, list[int]]:
        """Numbers of the subsets of each class."""
        found: dict[str, list[int]] = {}
        for i, subject in enumerate(self.subjects):
            found.setdefault(subject, []).append(i)
        return found

    def rows(self, number: int) -> Rows:
        """Examples of a subset."""
        return self.indices[self.indptr[number] : self.indptr[number + 1]]

    def union(self, numbers: Sequence[int]) -> Rows:
        """Examples of any of some subsets."""
        parts = [self.rows(i) for i in numbers]
        return distinct(np.concatenate(parts)) if parts else np.empty(0, np.int64)

    def named(self, name: str) -> int | None:
        """Number of the subset of that name."""
        return self._number.get(name)

    def pair(self, subject: str, context: str) -> list[int]:
        """Numbers of the subsets of a class and a context, of whatever kind.

        A context may also be called as in the subset's name, "attribute: orange".
        """
        found = self._pairs.get((subject, context), [])
        named = self._number.get(f"{subject}({context})")
        return found if found or named is None else [named]

    def holding(self, subject: str) -> Rows:
        """Examples in which a class is seen, as a subject or as an object beside another."""
        if self.whole is not None:
            return self.whole.holding(subject)
        beside = [
            i
            for i, (context, kind) in enumerate(zip(self.contexts, self.kinds, strict=True))
            if kind == "object" and context == subject
        ]
        return self.union([*self.by_subject.get(subject, []), *beside])

    def keep(self, numbers: Sequence[int]) -> Index:
        """Only some subsets, in the order given."""
        parts = [self.rows(i) for i in numbers]
        return Index(
            names=tuple(self.names[i] for i in numbers),
            subjects=tuple(self.subjects[i] for i in numbers),
            contexts=tuple(self.contexts[i] for i in numbers),
            kinds=tuple(self.kinds[i] for i in numbers),
            indptr=np.cumsum([0, *(len(p) for p in parts)], dtype=np.int64),
            indices=np.concatenate(parts) if parts else np.empty(0, np.int64),
            n_examples=self.n_examples,
        )


def index_contexts(
    metadata: Metadata, *, kinds: Sequence[str] = CONTEXT_KINDS, without: Rows | None = None
) -> Index:
    """Group a source's contexts by ``subject(context)``.

    Where an object and an attribute have one name (a cat with an orange, an orange cat), the
    subsets stay apart: the one that is no object says its kind, as in ``cat(attribute: orange)``.

    Parameters
    ----------
    metadata : Metadata
    kinds : sequence of str
        Which of object, attribute, general to take.
    without : int64 array, optional
        Examples to leave out.
    """
    table = metadata.contexts
    example = table["example"].to_numpy().astype(np.int64)
    subject, subjects = _codes(table["subject"])
    context, contexts = _codes(table["context"])
    kind, kind_names = _codes(table["kind"])
    wanted = np.isin(kind, [i for i, name in enumerate(kind_names) if name in kinds])
    n = len(metadata.examples)
    if without is not None and len(without):
        gone = np.zeros(n, bool)
        gone[without] = True
        wanted &= ~gone[example]
    key = (subject.astype(np.int64) * max(len(contexts), 1) + context) * len(CONTEXT_KINDS) + kind
    both = distinct(key[wanted] * max(n, 1) + example[wanted])
    key, example = np.divmod(both, max(n, 1))
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    ends = np.append(starts[1:], len(both))
    found = key[starts]

    pair_of = found // len(CONTEXT_KINDS)
    kind_of = [kind_names[int(k)] for k in found % len(CONTEXT_KINDS)]
    subject_of = [subjects[int(p)] for p in pair_of // max(len(contexts), 1)]
    context_of = [contexts[int(p)] for p in pair_of % max(len(contexts), 1)]
    pairs, counts = np.unique(pair_of, return_counts=True)
    twice = set(pairs[counts > 1].tolist())
    names = [
        f"{s}({k}: {c})" if int(p) in twice and k != "object" else f"{s}({c})"
        for s, c, k, p in zip(subject_of, context_of, kind_of, pair_of, strict=True)
    ]
    order = sorted(range(len(names)), key=names.__getitem__)
    parts = [example[starts[i] : ends[i]] for i in order]
    return Index(
        names=tuple(names[i] for i in order),
        subjects=tuple(subject_of[i] for i in order),
        contexts=tuple(context_of[i] for i in order),
        kinds=tuple(kind_of[i] for i in order),
        indptr=np.cumsum([0, *(len(p) for p in parts)], dtype=np.int64),
        indices=np.concatenate(parts) if parts else np.empty(0, np.int64),
        n_examples=n,
        whole=None
        if set(kinds) >= set(CONTEXT_KINDS)
        else index_contexts(metadata, without=without),
    )


def distinct(values: Rows) -> Rows:
    """Sorted, each once. On many integers `numpy.unique` hashes, and is ten times slower."""
    values = np.sort(values)
    first = np.ones(len(values), bool)
    first[1:] = values[1:] != values[:-1]
    kept: Rows = values[first]
    return kept


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[str]]:
    array = column.unify_dictionaries().combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # no chunk at all, or too many to combine
        array = pa.concat_arrays(array.chunks) if array.num_chunks else None
    if array is None:
        return np.empty(0, np.int64), []
    return array.indices.to_numpy().astype(np.int64), array.dictionary.to_pylist()
