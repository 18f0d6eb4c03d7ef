"""Unions of contexts as examples, and what every kind of task does with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.plan import SplitPlan
from shiftbench.schema import Metadata

from .index import Index, Rows
from .tasks import Unions, subject_of

__all__ = ["Clusters", "Resolved", "ambiguous", "group_counts", "make_split", "resolve"]


@dataclass(frozen=True)
class Resolved:
    """Unions of contexts as rows of examples; contexts that hold no image are `missing`."""

    rows: Mapping[str, Rows]
    missing: tuple[str, ...]

    def union(self, names: Iterable[str]) -> Rows:
        """Rows of any of some unions."""
        parts = [self.rows[name] for name in names]
        return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int64)

    def without(self, rows: Rows) -> Resolved:
        """The same unions with some rows left out."""
        left = {name: np.setdiff1d(r, rows) for name, r in self.rows.items()}
        return replace(self, rows=left)


def resolve(unions: Unions, index: Index, what: str, *, fit: bool) -> Resolved:
    """Look the contexts of some unions up, leaving out no image.

    Raises
    ------
    ConfigurationError
        A class is not there, or a context holds no image of it and `fit` is off.
    """
    rows, missing = {}, []
    for name, contexts in unions.items():
        subject = subject_of(name)
        if subject not in index.by_subject:
            raise ConfigurationError(
                f"{what} names the class {subject!r}, which the source does not have; "
                f"{near_names(subject, index.by_subject)}"
            )
        numbers = []
        for context in contexts:
            found = index.pair(subject, context)
            numbers.extend(found)
            if not found:
                missing.append(f"{subject}({context})")
        rows[name] = index.union(numbers)
    if missing and not fit:
        known = {n for union in unions for n in _contexts(index, subject_of(union))}
        raise ConfigurationError(
            f"{what} names {len(missing)} contexts that hold no image: "
            f"{', '.join(missing)}; {near_names(missing[0], known)}; correct them, or set fit "
            "(--fit) to go on without them"
        )
    return Resolved(rows, tuple(missing))


def _contexts(index: Index, subject: str) -> list[str]:
    return [index.names[i] for i in index.by_subject.get(subject, [])]


class Clusters:
    """Which clusters are given away, so that none lies in two splits."""

    def __init__(self, metadata: Metadata) -> None:
        encoded = metadata.examples["cluster_id"].combine_chunks().dictionary_encode()
        self.code = encoded.indices.to_numpy().astype(np.int64)
        self.names: list[str] = encoded.dictionary.to_pylist()
        self.owner = np.full(len(self.names), -1, np.int64)

    def free(self, rows: Rows, split: int = -1) -> Rows:
        """Rows whose cluster nobody has, or the split itself."""
        owner = self.owner[self.code[rows]]
        free: Rows = rows[(owner == -1) | (owner == split)]
        return free

    def give(self, rows: Rows, split: int) -> None:
        """Let a split have the clusters of some rows."""
        self.owner[self.code[rows]] = split


def ambiguous(index: Index, classes: Iterable[str]) -> Rows:
    """Examples that hold two or more of the classes."""
    count = np.zeros(index.n_examples, np.int64)
    for name in classes:
        count[index.holding(name)] += 1
    return np.flatnonzero(count > 1)


def make_split(
    name: str,
    role: str,
    shift: str,
    rows: Rows,
    unions: Resolved,
    classes: tuple[str, ...],
    title: str,
) -> SplitPlan:
    """A split of some examples, each with its label and the unions that it is in."""
    rows = np.sort(rows)
    names = [n for n, r in unions.rows.items() if len(r)]
    member = np.array([np.isin(rows, unions.rows[n]) for n in names]).reshape(len(names), len(rows))
    at, which = np.nonzero(member.T)
    label = np.empty(len(rows), np.int64)
    label[at] = [classes.index(subject_of(names[w])) for w in which]
    offsets = np.searchsorted(at, np.arange(len(rows) + 1))
    subset = pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.array([names[w] for w in which], pa.string())
    )
    table = pa.table({"example": rows, "label": pa.array(label), "subset": subset})
    return SplitPlan(name, role, shift, "accept", table, title)


def group_counts(splits: Iterable[SplitPlan]) -> dict[str, dict[str, int]]:
    """Images of each union in each split."""
    counts = {}
    for split in splits:
        names, n = np.unique(
            np.array([s for row in split.rows["subset"].to_pylist() for s in row], dtype=object),
            return_counts=True,
        )
        counts[split.name] = dict(zip(names.tolist(), n.tolist(), strict=True))
    return counts
