"""A built benchmark as a source: a shift made from the examples of another one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.hashing import table_hash
from shiftbench.schema import (
    CONTEXTS,
    PRIVATE_COLUMNS,
    REJECTED,
    Feature,
    Metadata,
    declared_features,
)
from shiftbench.sources._parent import (
    CellsReader,
    Parent,
    content_features,
    located,
    mean_bytes,
    open_part,
    read_parent,
)
from shiftbench.sources._parent_columns import contexts_of, free_name, named_columns, single_label
from shiftbench.sources._parent_predictions import join_predictions
from shiftbench.sources._tables import class_names

__all__ = ["BuiltBenchmark"]

_ORDER = "place of the split"
_RESERVED = ("is_ood", "parent_split", _ORDER, *PRIVATE_COLUMNS)
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
        reserved = {*_RESERVED, *(("predicted", "score") if self.predictions else ())}
        found = _rows(folder, parent, config, splits, reserved)
        table, several = _once(found.table)
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


@dataclass(frozen=True)
class _Rows:
    """All rows of some splits, and what the files say of their columns.

    Attributes
    ----------
    table : pa.Table
        Without the content; with the private columns, `parent_split` and the split's place.
    content : dict
        Features of the content.
    classes : list of str
        Of the label, in the benchmark's order.
    renamed : dict
        The name here of each stored column.
    """

    table: pa.Table
    content: dict[str, Feature]
    classes: list[str]
    renamed: dict[str, str]


def _rows(
    folder: str, parent: Parent, config: str, splits: Sequence[str], reserved: set[str]
) -> _Rows:
    parts = []
    content: dict[str, Feature] = {}
    classes: list[str] = []
    renamed: dict[str, str] = {}
    for number, split in enumerate(splits):
        for name in parent.configs[config].splits[split].files:
            with open_part(folder, name, parent.files[name].rows) as file:
                schema = file.schema_arrow
                content = content_features(schema, parent.content, name)
                classes = class_names(declared_features(schema).get("label")) or []
                made = named_columns(file.read([n for n in schema.names if n not in content]))
                sizes = mean_bytes(file, list(content))
            renamed = _renamed(made.column_names, reserved)
            made = made.rename_columns(renamed)
            n = len(made)
            rows = pa.array(np.arange(n)).cast(pa.string())
            own = {
                "locator": pc.binary_join_element_wise(name, rows, "#"),
                "bytes": pa.array(sizes),
                "modified": pa.array(np.zeros(n, np.int64)),
                "parent_split": pa.array([split]).take(pa.array(np.zeros(n, np.int8))),
                _ORDER: pa.array(np.full(n, number, np.int32)),
            }
            if not content:
                own |= {"locator": pa.nulls(n, pa.string()), "bytes": pa.nulls(n, pa.int64())}
            for column, values in own.items():
                made = made.append_column(column, values)
            parts.append(made)
    table = pa.concat_tables(parts, promote_options="default")
    return _Rows(table, content, classes, renamed)


def _renamed(names: Sequence[str], reserved: set[str]) -> dict[str, str]:
    """Names that the source needs for itself, and that a benchmark gives anew, made free."""
    taken = reserved | set(names)
    made = {}
    for name in names:
        made[name] = free_name(name, taken) if name in reserved else name
        taken.add(made[name])
    return made


def _once(table: pa.Table) -> tuple[pa.Table, int]:
    """Each example once, sorted by id; the one with a class, of the first split, is kept.

    Raises
    ------
    ConfigurationError
        An example has different classes in two splits.
    """
    ids = table["example_id"].combine_chunks()
    label = table["label"].combine_chunks() if "label" in table.column_names else None
    without = np.zeros(len(table), bool)
    if label is not None:
        without = label.is_null().to_numpy(zero_copy_only=False)
    keys = pa.table({"id": ids, "without": without, "order": table[_ORDER]})
    order = pc.sort_indices(keys, [(n, "ascending") for n in keys.column_names]).to_numpy()
    sorted_ids = ids.take(pa.array(order))
    first = np.ones(len(table), bool)
    if len(table) > 1:
        first[1:] = pc.not_equal(sorted_ids[1:], sorted_ids[:-1]).to_numpy(zero_copy_only=False)
    if label is not None and not first.all():
        _same_class(label, order, first, without, table)
    kept = table.take(pa.array(order[first])).drop_columns(_ORDER)
    return kept.combine_chunks(), int((~first).sum())


def _same_class(
    label: pa.Array,
    order: NDArray[np.int64],
    first: NDArray[np.bool_],
    without: NDArray[np.bool_],
    table: pa.Table,
) -> None:
    owner = order[np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))]
    compared = ~first & ~without[order]
    mine, theirs = order[compared], owner[compared]
    if pa.types.is_list(label.type):
        label = pa.array([json.dumps(v) for v in label.to_pylist()])
    other = pc.not_equal(label.take(pa.array(mine)), label.take(pa.array(theirs)))
    bad = np.flatnonzero(other.to_numpy(zero_copy_only=False))
    if len(bad):
        i, j = int(mine[bad[0]]), int(theirs[bad[0]])
        names = [table["parent_split"][k].as_py() for k in (j, i)]
        raise ConfigurationError(
            f"{len(bad)} examples have another class in another split, e.g. "
            f"{table['example_id'][i].as_py()!r} in {names[0]!r} ({label[j].as_py()}) and in "
            f"{names[1]!r} ({label[i].as_py()}); choose splits that agree with splits"
        )


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
