"""The examples of a benchmark directory, whole or still being built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.schema import declared_features
from shiftbench.statistics import priorities, stream
from shiftbench.store.location import Location
from shiftbench.store.manifest import ConfigEntry

__all__ = ["Examples", "Rows"]

Codes = NDArray[np.int64]

LARGE, DRAWN = 50_000, 20_000
"""Of a split with more examples than the one, so many as the other are drawn and read."""


@dataclass(frozen=True)
class Rows:
    """Examples of one split: their plain columns, and where their content lies.

    Attributes
    ----------
    table : pa.Table
        All but the content; class labels as text.
    paths : tuple of str
        Files of the split.
    file, row : (n,) int64 arrays
        Which of the files, and the row in it.
    """

    table: pa.Table
    paths: tuple[str, ...]
    file: Codes
    row: Codes

    def take(self, index: Codes) -> Rows:
        """Some of them, in this order."""
        return Rows(self.table.take(index), self.paths, self.file[index], self.row[index])

    @property
    def ids(self) -> list[str]:
        """Their example ids."""
        found: list[str] = self.table["example_id"].to_pylist()
        return found

    def sample(self, most: int, seed: int) -> Rows:
        """At most so many, drawn by the seed: which they are depends on their ids alone."""
        if len(self.table) <= most:
            return self
        drawn = np.argsort(priorities(seed, "measured sample", self.ids), kind="stable")[:most]
        return self.take(np.sort(drawn))


@dataclass(frozen=True)
class Examples:
    """A benchmark's examples.

    Attributes
    ----------
    folder : Location
    configs : mapping
        The configs of kind task and examples.
    content : tuple of str
        Names of the content columns, which `split` leaves out.
    digest : str
        Of the benchmark.
    columns : tuple of str
        Plain columns that are content, as the features of a table's rows are.
    """

    folder: Location
    configs: Mapping[str, ConfigEntry]
    content: tuple[str, ...]
    digest: str
    columns: tuple[str, ...] = ()
    _read: dict[tuple[str, str], Rows] = field(default_factory=dict, repr=False, compare=False)

    @property
    def tasks(self) -> list[str]:
        """Names of the configs that hold splits to compare, and examples."""
        return [n for n, c in self.configs.items() if c.kind == "task" and _has_rows(c)]

    @cached_property
    def everything(self) -> str | None:
        """The config that has every example once, where there is one."""
        wanted = (n for n, c in self.configs.items() if c.kind == "examples" and _has_rows(c))
        return next(wanted, None)

    def reference_split(self, config: str) -> str | None:
        """The split that a task's others are set against: training, or else the first with rows."""
        splits = {n: s for n, s in self.configs[config].splits.items() if s.rows}
        train = (n for n, s in splits.items() if s.role == "train")
        return next(train, next(iter(splits), None))

    def entry(self, config: str) -> ConfigEntry:
        """A task's entry in the manifest.

        Raises
        ------
        ConfigurationError
            No task has the name.
        """
        if config not in self.tasks:
            raise ConfigurationError(
                f"{self.folder.url!r} has no task {config!r}; {near_names(config, self.tasks)}"
            )
        return self.configs[config]

    def schema(self, config: str) -> pa.Schema:
        """The columns of a config's files, content too."""
        path = next(p for s in self.configs[config].splits.values() for p in s.files)
        with self.folder.open(path) as file:
            return pq.read_schema(file)

    def split(self, config: str, split: str) -> Rows:
        """The examples of a split, read once; of a large one those drawn at random by its digest.

        Each example is as likely to be drawn, whatever its cluster, and keeps its cluster: what is
        counted, permuted or resampled by cluster stays so.
        """
        if (config, split) not in self._read:
            self._read[config, split] = self._split(config, split)
        return self._read[config, split]

    def drawn(self, config: str, split: str) -> bool:
        """Whether `split` gives a part of that split."""
        return self.configs[config].splits[split].rows > LARGE

    @property
    def remarks(self) -> list[dict[str, str]]:
        """What is left out of all measurements, for the manifest: most of the large splits."""
        return [
            {
                "config": config,
                "distance": f"all but {DRAWN} of the {entry.rows} examples of {split!r}",
                "reason": f"of a split of more than {LARGE} a random sample is measured",
            }
            for config in self.tasks
            for split, entry in self.configs[config].splits.items()
            if self.drawn(config, split)
        ]

    def also_in(self, rows: Rows, config: str, split: str) -> NDArray[np.bool_]:
        """Which examples are in a split too, were they drawn from it or not."""
        own = rows.table["example_id"].combine_chunks()
        if not self.drawn(config, split):
            others = self.split(config, split).table["example_id"].combine_chunks()
            return np.asarray(pc.is_in(own, others))
        found = np.zeros(len(own), bool)
        for path in self.configs[config].splits[split].files:
            with self.folder.open(path) as file:
                for batch in pq.ParquetFile(file).iter_batches(LARGE, columns=["example_id"]):
                    found |= np.asarray(pc.is_in(own, batch.column(0)))
        return found

    def _split(self, config: str, split: str) -> Rows:
        entry = self.configs[config].splits[split]
        if not entry.files:
            raise ConfigurationError(f"the split {split!r} of {config!r} has no examples")
        tables: list[pa.Table] = []
        rows: list[Codes] = []
        start = 0
        wanted = _drawn(entry.rows, entry.digest) if self.drawn(config, split) else None
        for path in entry.files:
            with self.folder.open(path) as file:
                parquet = pq.ParquetFile(file)
                n = parquet.metadata.num_rows
                names = [c for c in parquet.schema_arrow.names if c not in self.content]
                if wanted is None:
                    tables.append(parquet.read(names))
                    rows.append(np.arange(n))
                else:
                    inside = wanted[(wanted >= start) & (wanted < start + n)] - start
                    tables.append(_taken(parquet, names, inside))
                    rows.append(inside)
                start += n
        table = _named(pa.concat_tables(tables))
        if "cluster_id" not in table.column_names:  # written by others: each is its own
            table = table.append_column("cluster_id", table["example_id"])
        return Rows(
            table,
            tuple(entry.files),
            np.repeat(np.arange(len(tables)), [len(t) for t in tables]),
            np.concatenate(rows),
        )


def _drawn(n: int, digest: str) -> Codes:
    """The rows of a large split that are measured, ascending."""
    rng = stream(0, "measured rows of a large split", digest)
    return np.sort(rng.choice(n, DRAWN, replace=False, shuffle=False))


def _taken(parquet: pq.ParquetFile, names: list[str], wanted: Codes) -> pa.Table:
    """Some rows of a file, one row group in memory at a time."""
    parts = [parquet.schema_arrow.empty_table().select(names)]
    start = 0
    for group in range(parquet.num_row_groups):
        stop = start + parquet.metadata.row_group(group).num_rows
        inside = wanted[(wanted >= start) & (wanted < stop)] - start
        if len(inside):
            parts.append(parquet.read_row_group(group, names).take(inside))
        start = stop
    return pa.concat_tables(parts)


def _has_rows(config: ConfigEntry) -> bool:
    return any(s.rows for s in config.splits.values())


def _named(table: pa.Table) -> pa.Table:
    """The table with class labels as their names."""
    for name, feature in declared_features(table.schema).items():
        if name in table.column_names and feature.get("_type") == "ClassLabel":
            names = pa.array(feature["names"], pa.string())
            at = table.column_names.index(name)
            table = table.set_column(at, name, pc.take(names, table[name].combine_chunks()))
    return table
