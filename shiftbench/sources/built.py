"""A built benchmark as a source: a shift made from the examples of another one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.hashing import table_hash
from shiftbench.schema import CONTEXTS, PRIVATE_COLUMNS, REJECTED, Metadata
from shiftbench.sources._parent import (
    CellsReader,
    Parent,
    content_features,
    located,
    open_part,
    read_parent,
)
from shiftbench.sources._parent_columns import contexts_of, free_name, single_label
from shiftbench.sources._parent_predictions import join_predictions
from shiftbench.sources._parent_rows import once, read_rows

__all__ = ["BuiltBenchmark"]

_KEPT_NOTES = ("url", "citation", "attribution")


@dataclass(frozen=True)
class BuiltBenchmark:
    """The examples of a benchmark that shiftbench built: MetaShift, X-ray, or any other.

    Each example is taken once, with its cluster, its class as `label`, its metadata, and as
    `parent_split` the split that it stood in. Subsets such as ``cat(sofa)`` become contexts. The
    licence is the benchmark's, and the benchmark made from it names it as its parent.

    Parameters
    ----------
    where : str
        The benchmark: a folder, a URL, or user/name on the Hub.
    config : str
        Which of its configs; by default the one that has every example once, or else its one task.
    splits : tuple of str
        Which of the config's splits; by default all. An example that is in several stands for the
        first, and must have the same class in all.
    predictions : str, optional
        A prediction file for this benchmark (docs/predictions.md), Parquet or CSV: it adds the
        columns `predicted` (a class) and `score`, by which a shift can be chosen.
    model : str
        Which model's predictions, where the file has several.

    Examples
    --------
    >>> import shiftbench as sb
    >>> made = sb.build(sb.builders.MetaShift(sb.sources.Scenes(n_scenes=60, size=32), min_size=3,
    ...                 min_subsets=2, classes=("cat", "dog")), "pets", measure=False)
    >>> found = BuiltBenchmark("pets").scan()
    >>> found.notes["parents"][0]["builder"], found.notes["parents"][0]["digest"] == made.digest
    ('metashift', True)
    """

    where: str
    config: str = ""
    splits: tuple[str, ...] = ()
    predictions: str | None = None
    model: str = ""

    def scan(self) -> Metadata:
        """Read the manifest and all columns but the content.

        Raises
        ------
        SourceError
            There is no benchmark, or it is damaged.
        ConfigurationError
            No such config or split, or an example with two classes.
        """
        folder = located(self.where)
        parent = read_parent(folder)
        config, splits = self._chosen(parent)
        reserved = ("predicted", "score") if self.predictions else ()
        found = read_rows(folder, parent, config, splits, reserved)
        table, several = once(found.table)
        counts = {"examples_in_several_splits": several} if several else {}
        contexts = CONTEXTS.empty_table()
        if "subset" in table.column_names:
            contexts, without = contexts_of(_array(table["subset"]), _described(folder, parent))
            if without:
                counts["subsets_that_are_no_context"] = without
        columns = {n: table[n] for n in table.column_names if n != "subset"}
        single = None
        if "label" in columns:
            single = single_label(_array(columns.pop("label")))
            if single is not None:
                columns["label"] = single
            else:  # several classes an example, or a number
                columns[free_name("label", {"label", *columns})] = table["label"]
        if len(splits) == 1:
            del columns["parent_split"]
        said = ""
        if self.predictions:
            joined = join_predictions(
                self.predictions,
                _array(table["example_id"]),
                _array(table["parent_split"]),
                config=config,
                model=self.model,
                classes=found.classes or sorted({c for c in _texts(single) if c}),
                digests=_digests(parent, config, splits),
            )
            columns |= joined.columns
            said = joined.digest
        examples = pa.table(columns)
        return Metadata(
            examples=examples,
            contexts=contexts,
            rejected=REJECTED.empty_table(),
            content=found.content,
            fingerprint=self._fingerprint(parent, config, splits, examples, said),
            license=parent.license,
            redistributable=parent.redistributable,
            identity=parent.identity,
            counts=counts,
            notes=_notes(parent, config, splits),
            columns=tuple(found.renamed[c] for c in sorted(parent.columns)),
        )

    def reader(self) -> CellsReader:
        """A function from a row of the benchmark to its content."""
        folder = located(self.where)
        parent = read_parent(folder)
        config, splits = self._chosen(parent)
        name = parent.configs[config].splits[splits[0]].files[0]
        with open_part(folder, name) as file:
            content = content_features(file.schema_arrow, parent.content, name)
        return CellsReader(folder, content)

    def _chosen(self, parent: Parent) -> tuple[str, list[str]]:
        """The config and the splits to read."""
        there = {n: c for n, c in parent.configs.items() if c.kind in ("task", "examples")}
        config = self.config
        if not config:
            whole = [n for n, c in there.items() if c.kind == "examples"]
            found = whole or list(there)
            if len(found) != 1:
                raise ConfigurationError(
                    f"{self.where} has several configs; name one with config: "
                    f"{', '.join(map(repr, found))}"
                )
            config = found[0]
        elif config not in there:
            raise ConfigurationError(
                f"{self.where} has no config {config!r} with examples; {near_names(config, there)}"
            )
        filled = [n for n, s in there[config].splits.items() if s.rows]
        for name in self.splits:
            if name not in filled:
                raise ConfigurationError(
                    f"{self.where}, config {config!r}, has no examples in a split {name!r}; "
                    f"{near_names(name, filled)}"
                )
        chosen = [n for n in filled if n in self.splits] if self.splits else filled
        if not chosen:
            raise ConfigurationError(f"{self.where}, config {config!r}, has no examples")
        return config, chosen

    def _fingerprint(
        self, parent: Parent, config: str, splits: Sequence[str], examples: pa.Table, said: str
    ) -> str:
        public = [n for n in examples.column_names if n not in PRIVATE_COLUMNS]
        head = [parent.digest, config, list(splits), public, said]
        digest = hashlib.sha256(json.dumps(head).encode())
        # The parent's digest covers what an example is, not the metadata beside it.
        digest.update(table_hash(examples.select(public)).encode())
        return digest.hexdigest()


def _described(
    folder: str, parent: Parent
) -> Mapping[str, tuple[str | None, str | None, str | None]]:
    """Class, context and kind of the subsets that the benchmark has a table of."""
    if "subsets" not in parent.configs or parent.configs["subsets"].kind != "table":
        return {}
    wanted = ["subset", "class", "context", "kind"]
    found: dict[str, tuple[str | None, str | None, str | None]] = {}
    for split in parent.configs["subsets"].splits.values():
        for name in split.files:
            with open_part(folder, name) as file:
                if not set(wanted) <= set(file.schema_arrow.names):
                    return {}
                rows = file.read(wanted).to_pylist()
            found |= {r["subset"]: (r["class"], r["context"], r["kind"]) for r in rows}
    return found


def _digests(parent: Parent, config: str, splits: Sequence[str]) -> list[str]:
    entry = parent.configs[config]
    return [parent.digest, entry.digest, *(entry.splits[s].digest for s in splits)]


def _notes(parent: Parent, config: str, splits: Sequence[str]) -> dict[str, Any]:
    own = {
        "builder": parent.builder,
        "digest": parent.digest,
        "config": config,
        "splits": list(splits),
    }
    theirs = [s.get("notes", {}) for s in parent.sources]
    notes: dict[str, Any] = {"title": f"{parent.builder} benchmark"}
    for key in _KEPT_NOTES:
        said = dict.fromkeys(n[key] for n in theirs if isinstance(n.get(key), str))
        if said:
            notes[key] = "; ".join(said)
    return {**notes, "parents": [own, *(p for n in theirs for p in n.get("parents", []))]}


def _array(column: pa.ChunkedArray) -> pa.Array:
    made = column.combine_chunks()
    if isinstance(made, pa.ChunkedArray):
        return pa.concat_arrays(made.chunks) if made.num_chunks else pa.array([], made.type)
    return made


def _texts(column: pa.Array | None) -> list[str | None]:
    return [] if column is None else list(column.unique().to_pylist())
