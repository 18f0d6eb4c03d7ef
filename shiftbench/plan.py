"""The plan: every subset, membership, split and file of a benchmark, named before any content.

A plan is a pure function of a source's metadata, a configuration and a seed. Its hash is the
identity of a build: two builds with the same hash write the same benchmark, so one may go on
where the other was stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.hashing import table_hash
from shiftbench.schema import (
    FLAGS,
    FORMAT,
    PRIVATE_COLUMNS,
    ROLES,
    SHIFTS,
    Feature,
    Metadata,
    Shard,
    feature_of,
)

__all__ = ["ConfigPlan", "Inspected", "Plan", "SplitPlan"]

MIN_SHARD_BYTES = 32 * 2**20
MAX_SHARD_BYTES = 500 * 2**20
SHARDS_WANTED = 16
UNKNOWN_BYTES = 100_000
MAX_SHARD_ROWS = 200_000


@dataclass(frozen=True)
class SplitPlan:
    """One split: which examples, with which columns of their own.

    Attributes
    ----------
    name : str
        Slug, legal as a split name.
    role, shift, flag : str
        One of `schema.ROLES`, `schema.SHIFTS`, `schema.FLAGS`.
    rows : pa.Table
        Column `example` (int64, rows of the plan's examples, ascending) and the split's own
        columns (label, is_ood, subset, …).
    title : str
        The name as the user gave it.
    """

    name: str
    role: str
    shift: str
    flag: str
    rows: pa.Table
    title: str = ""

    def __post_init__(self) -> None:
        for value, allowed, what in (
            (self.role, ROLES, "role"),
            (self.shift, SHIFTS, "shift"),
            (self.flag, FLAGS, "flag"),
        ):
            if value not in allowed:
                raise ConfigurationError(
                    f"split {self.name!r} has the {what} {value!r}; allowed: {', '.join(allowed)}"
                )
        index = self.rows["example"].to_numpy()
        if len(index) > 1 and not (np.diff(index) > 0).all():
            raise ConfigurationError(
                f"split {self.name!r} names its examples out of order or more than once"
            )

    @property
    def index(self) -> NDArray[np.int64]:
        """Rows of the plan's examples, ascending."""
        return np.asarray(self.rows["example"].to_numpy(), dtype=np.int64)


@dataclass(frozen=True)
class ConfigPlan:
    """A config that holds examples: a task, or all `images`.

    Attributes
    ----------
    name : str
        Slug.
    features : Mapping[str, Feature]
        Of the splits' own columns.
    splits : tuple[SplitPlan, ...]
    kind : str
        "task" or "examples".
    title, description : str
        As the user named it; one sentence for the card.
    notes : Mapping[str, Any]
        Counts and remarks for the card, JSON-serialisable.
    """

    name: str
    features: Mapping[str, Feature]
    splits: tuple[SplitPlan, ...]
    kind: str = "task"
    title: str = ""
    description: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [s.name for s in self.splits]
        if len(set(names)) != len(names):
            raise ConfigurationError(f"config {self.name!r} has a split name twice: {names}")
        if "ood_test" in names and any(n.startswith("ood_test_") for n in names):
            raise ConfigurationError(
                f"config {self.name!r} has 'ood_test' beside 'ood_test_…'; several OOD sets are "
                "all named ood_test_<slug>"
            )


@dataclass(frozen=True)
class Plan:
    """Everything that a build will write.

    Attributes
    ----------
    builder, version : str
        Registered name of the builder and its version.
    recipe : Mapping[str, Any]
        The full configuration, JSON-serialisable, from which the build can be repeated.
    seed : int
    metadata : Metadata
        Of the source; `metadata.examples` is what `SplitPlan.rows` points into.
    configs : tuple[ConfigPlan, ...]
    tables : Mapping[str, pa.Table]
        Table configs known before measuring (subsets, membership).
    excluded : frozenset[str]
        Examples whose content was found unusable; no split names them.
    counts : Mapping[str, int]
        What the plan left out, and why.
    """

    builder: str
    version: str
    recipe: Mapping[str, Any]
    seed: int
    metadata: Metadata
    configs: tuple[ConfigPlan, ...]
    tables: Mapping[str, pa.Table]
    excluded: frozenset[str] = frozenset()
    counts: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [c.name for c in self.configs]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ConfigurationError(
                f"two configs would have the name {', '.join(map(repr, twice))}, and the same "
                "files; leave one out, or build it by itself"
            )

    @property
    def hash(self) -> str:
        """sha256 (hex) over all of the plan."""
        digest = hashlib.sha256()
        head = {
            "format": FORMAT,
            "builder": self.builder,
            "version": self.version,
            "recipe": self.recipe,
            "seed": self.seed,
            "fingerprint": self.metadata.fingerprint,
            "excluded": sorted(self.excluded),
        }
        digest.update(json.dumps(head, sort_keys=True).encode())
        for config in self.configs:
            for split in config.splits:
                digest.update(f"{config.name}/{split.name}".encode())
                digest.update(table_hash(split.rows).encode())
        for name in sorted(self.tables):
            digest.update(name.encode() + table_hash(self.tables[name]).encode())
        return digest.hexdigest()

    def metadata_features(self) -> dict[str, Feature]:
        """Features of the metadata columns that go into the benchmark as they are."""
        schema = self.metadata.examples.schema
        return {
            name: feature_of(schema.field(name).type)
            for name in schema.names
            if name not in (*PRIVATE_COLUMNS, "example_id", "cluster_id")
        }

    def features(self, config: ConfigPlan) -> dict[str, Feature]:
        """Every column of a config's files, in order."""
        from_metadata = self.metadata_features()
        both = sorted(set(from_metadata) & set(config.features))
        if both:
            raise ConfigurationError(
                f"the metadata columns {both} have names that config {config.name!r} needs for "
                "itself; rename them in the source"
            )
        own = feature_of(pa.string())
        return {
            "example_id": own,
            **self.metadata.content,
            **config.features,
            "cluster_id": own,
            **from_metadata,
        }

    def _units(self) -> NDArray[np.int64]:
        """The first example of each unit, where neighbours are cut from one input."""
        unit = self.metadata.examples[self.metadata.unit]
        if self.metadata.unit == "example_id" or len(unit) < 2:
            return np.arange(len(unit))
        other = pc.not_equal(unit[1:], unit[:-1]).to_numpy()
        return np.concatenate([[0], 1 + np.flatnonzero(other)])

    @cached_property
    def paths(self) -> list[str]:
        """The files to write, in order."""
        return [path for path, *_ in self._cut()]

    def shards(self, wanted: Collection[str] | None = None) -> Iterator[Shard]:
        """The files to write, each with its rows; together they hold every split once.

        Parameters
        ----------
        wanted : collection of str, optional
            Paths; by default all. Rows are taken when a file's turn comes: all files together
            would double what the plan takes in memory.
        """
        examples = self.metadata.examples
        for path, config, split, start, stop in self._cut():
            if wanted is not None and path not in wanted:
                continue
            rows = split.rows.slice(start, stop - start)
            taken = examples.take(rows["example"])
            for name in rows.column_names[1:]:
                taken = taken.append_column(rows.schema.field(name), rows[name])
            yield Shard(
                path=path,
                features=tuple(self.features(config).items()),
                content=tuple(sorted(self.metadata.content)),
                rows=taken.combine_chunks(),
                identity=self.metadata.identity,
                columns=tuple(sorted(self.metadata.columns)),
            )

    def _cut(self) -> Iterator[tuple[str, ConfigPlan, SplitPlan, int, int]]:
        """Each file's path, config, split, and the split's rows from and to which it goes."""
        examples = self.metadata.examples
        sizes = (
            pc.fill_null(examples["bytes"], UNKNOWN_BYTES).to_numpy().astype(np.int64)
            if self.metadata.content
            else np.zeros(len(examples), np.int64)
        )
        gone = np.flatnonzero(
            pc.is_in(examples["example_id"], pa.array(sorted(self.excluded), pa.string()))
        )
        begins = self._units()
        for config in self.configs:
            for split in config.splits:
                index = split.index
                # Excluded examples still count when the cuts are made: a rejection then changes
                # the one file it is in, and the others need not be written again.
                counted = np.union1d(index, gone) if config.kind == "examples" else index
                cuts = np.searchsorted(index, _whole_units(_cuts(counted, sizes), begins))
                cuts = np.unique(cuts[cuts > 0])
                parts = list(zip([0, *cuts], [*cuts, len(index)], strict=True))
                for number, (start, stop) in enumerate(parts):
                    name = f"{split.name}-{number:05d}-of-{len(parts):05d}.parquet"
                    yield f"data/{config.name}/{name}", config, split, int(start), int(stop)


@dataclass(frozen=True)
class Inspected:
    """What a builder found in the content once it was written.

    Attributes
    ----------
    tables : mapping
        Further table configs, outside the digest.
    files : mapping
        Further files, such as pictures, by their path in the benchmark.
    remarks : tuple of str
        What a user should know before using the benchmark.
    """

    tables: Mapping[str, pa.Table] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def _whole_units(cuts: NDArray[np.int64], begins: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cuts moved to the beginning of a unit, which is then read for one file alone.

    One stays where it is if another is there already: the unit alone is larger than a file.
    """
    moved = begins[np.searchsorted(begins, cuts, side="right") - 1]
    taken = np.diff(moved, prepend=-1) <= 0
    return np.where(taken, cuts, moved)


def _cuts(index: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Examples at which a new file begins, so that files are of about equal size."""
    if not len(index):
        return np.empty(0, np.int64)
    ends = np.cumsum(sizes[index])
    target = min(max(int(ends[-1]) // SHARDS_WANTED, MIN_SHARD_BYTES), MAX_SHARD_BYTES)
    n = max(-(-int(ends[-1]) // target), -(-len(index) // MAX_SHARD_ROWS), 1)
    if ends[-1] > 0:
        starts = np.searchsorted(ends, ends[-1] * np.arange(1, n) / n, side="left") + 1
    else:
        starts = len(index) * np.arange(1, n) // n
    return np.unique(index[starts[starts < len(index)]])
