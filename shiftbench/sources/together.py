"""Several sources side by side."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shiftbench.errors import ConfigurationError, ContentError
from shiftbench.schema import CONTEXTS, REJECTED, Metadata, Source
from shiftbench.sources._parts import checked_name, part_of_text, source_of_recipe

__all__ = ["Together", "TogetherReader"]

_OWN = ("example_id", "cluster_id", "locator", "locator_part", "bytes", "modified")
_JOINED_NOTES = ("title", "url", "citation", "attribution")


class TogetherReader:
    """Reads from the source that a locator names first.

    Parameters
    ----------
    sources : mapping
        By name.
    """

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.sources = sources
        self._readers: dict[str, Callable[[str], Mapping[str, Any]]] = {}

    def __call__(self, locator: str) -> Mapping[str, Any]:
        """The content columns of one example.

        Raises
        ------
        ContentError
            The content is missing or cannot be read.
        """
        name, _, inside = locator.partition(":")
        if name not in self._readers:
            if name not in self.sources:
                raise ContentError(f"{locator!r} is of none of the sources")
            self._readers[name] = self.sources[name].reader()
        return self._readers[name](inside)


@dataclass(frozen=True)
class Together:
    """Several sources side by side, told apart by the column `dataset`.

    An example's id is the name of its part, ``/``, and its id there; its cluster likewise, so that
    clusters of two parts are never one. Columns are united, null where a part does not have them;
    classes are called as the parts call them. Content must be of one kind.

    Parameters
    ----------
    parts : tuple of str
        Each ``name=source:key=value,key=value``, e.g. ``"shirts=idx:images=a.gz,labels=b.gz"``.
        Items of a list are joined by ``+``; a comma, plus or backslash that belongs to a value has
        a backslash before it. In Python also a mapping of names to sources.

    Examples
    --------
    >>> from shiftbench.sources import Digits, Scenes
    >>> both = Together({"ink": Digits(size=32), "scenes": Scenes(n_scenes=3, size=32)}).scan()
    >>> both.examples.num_rows, both.examples["example_id"][-1].as_py(), both.identity
    (1800, 'scenes/scene-000002', 'pixels')
    >>> Together(("ink=digits:size=32",)) == Together({"ink": Digits(size=32)})
    True
    """

    parts: tuple[str, ...] | Mapping[str, Source] = field(metadata={"flat": tuple[str, ...]})

    def __post_init__(self) -> None:
        given: Any = self.parts
        if isinstance(given, str):
            raise ConfigurationError(f"together: parts is the text {given!r}; give a list of texts")
        if not isinstance(given, Mapping):
            pairs = [part_of_text(text) for text in given]
            given = dict(pairs)
            if len(given) < len(pairs):
                raise ConfigurationError("together: two parts have one name; name them apart")
        if not given:
            raise ConfigurationError("together: there are no parts; name at least one source")
        for name, source in given.items():
            checked_name(name)
            if not isinstance(source, Source):
                raise ConfigurationError(f"together: the part {name!r} is no source: {source!r}")
        object.__setattr__(self, "parts", {n: given[n] for n in sorted(given, key=_prefix)})

    @classmethod
    def parse(cls, field_name: str, value: Any) -> Any:
        """A nested option as a recipe has it: a table of sources by name, or lines of text."""
        if field_name == "parts" and isinstance(value, Mapping):
            return {name: source_of_recipe(name, said) for name, said in value.items()}
        return value

    @property
    def sources(self) -> Mapping[str, Source]:
        """The sources by name, in the order of their examples."""
        assert isinstance(self.parts, Mapping)
        return self.parts

    def scan(self) -> Metadata:
        """Read the metadata of every part.

        Raises
        ------
        ConfigurationError
            Parts whose content or columns do not fit together.
        """
        found = {name: source.scan() for name, source in self.sources.items()}
        _same_content(found)
        counts: Counter[str] = Counter()
        for metadata in found.values():
            counts.update(metadata.counts)
        licenses = {m.license for m in found.values()}
        units = {m.unit for m in found.values()}
        columns = dict.fromkeys(c for m in found.values() for c in m.columns)
        said = sorted((n, m.fingerprint) for n, m in found.items())
        return Metadata(
            examples=_examples(found, with_license=len(licenses) > 1),
            contexts=_contexts(found),
            rejected=_rejected(found),
            content=next(iter(found.values())).content,
            fingerprint=hashlib.sha256(json.dumps(said).encode()).hexdigest(),
            license=licenses.pop() if len(licenses) == 1 else "",
            redistributable=all(m.redistributable for m in found.values()),
            identity="pixels" if any(m.identity == "pixels" for m in found.values()) else "bytes",
            counts=counts,
            notes=_notes(found),
            unit=units.pop() if len(units) == 1 else "example_id",
            columns=tuple(columns),
        )

    def reader(self) -> TogetherReader:
        """A function from a locator to the content columns of the part that it names."""
        return TogetherReader(self.sources)


def _prefix(name: str) -> str:
    return f"{name}/"


def _same_content(found: Mapping[str, Metadata]) -> None:
    first, *others = found.items()
    for name, metadata in others:
        if dict(metadata.content) != dict(first[1].content):
            told = [f"{n!r}: {_said(m)}" for n, m in (first, (name, metadata))]
            raise ConfigurationError(
                f"together: the content differs ({'; '.join(told)}); join sources of one kind"
            )


def _said(metadata: Metadata) -> str:
    return ", ".join(f"{n} ({f})" for n, f in metadata.content.items()) or "plain columns only"


def _examples(found: Mapping[str, Metadata], *, with_license: bool) -> pa.Table:
    kinds: dict[str, tuple[str, pa.DataType]] = {}
    tables = []
    for name, metadata in found.items():
        table = _part(name, metadata, with_license=with_license)
        for column, kind in zip(table.column_names, table.schema.types, strict=True):
            known = kinds.setdefault(column, (name, kind))
            if pa.types.is_null(known[1]):
                kinds[column] = (name, kind)
            elif kind != known[1] and not pa.types.is_null(kind):
                raise ConfigurationError(
                    f"together: the column {column!r} holds {known[1]} in {known[0]!r} and {kind} "
                    f"in {name!r}; rename or leave out one of them"
                )
        tables.append(table)
    return pa.concat_tables(tables, promote_options="default").combine_chunks()


def _part(name: str, metadata: Metadata, *, with_license: bool) -> pa.Table:
    examples = metadata.examples
    n = len(examples)
    if "dataset" in examples.column_names:
        raise ConfigurationError(
            f"together: the part {name!r} has a column 'dataset', which is what the parts' names "
            "are called; rename or leave it out"
        )
    locators = examples["locator"]
    if "locator_part" in examples.column_names:
        numbers = examples["locator_part"].cast(pa.string())
        locators = pc.binary_join_element_wise(locators, numbers, "\x1f")
    made: dict[str, Any] = {
        "example_id": _before(name, "/", examples["example_id"]),
        "cluster_id": _before(name, "/", examples["cluster_id"]),
        "locator": _before(name, ":", locators),
        "bytes": examples["bytes"],
        "modified": examples["modified"],
        "dataset": pa.array([name]).take(pa.array(np.zeros(n, np.int8))),
    }
    for column in examples.column_names:
        if column not in _OWN:
            values = examples[column]
            if pa.types.is_dictionary(values.type):
                values = values.cast(values.type.value_type)
            made[column] = values
    if with_license:
        own = made.get("license", pa.nulls(n, pa.string()))
        stated = pa.scalar(metadata.license or None, pa.string())
        made["license"] = pc.fill_null(own, stated) if stated.is_valid else own
    return pa.table(made)


def _before(name: str, sign: str, column: Any) -> Any:
    return pc.binary_join_element_wise(name, column, sign)


def _contexts(found: Mapping[str, Metadata]) -> pa.Table:
    """The contexts of all parts, their examples counted on, their names numbered in order."""
    tables = []
    start = 0
    for metadata in found.values():
        table = metadata.contexts
        counted = pc.add(table["example"], pa.scalar(start, pa.int32()))
        tables.append(table.set_column(0, CONTEXTS.field(0), counted))
        start += len(metadata.examples)
    joined = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    columns: list[Any] = [joined["example"]]
    for name in CONTEXTS.names[1:]:
        columns.append(_in_order(joined[name], CONTEXTS.field(name).type))
    return pa.Table.from_arrays(columns, schema=CONTEXTS)


def _in_order(column: pa.ChunkedArray, kind: pa.DictionaryType) -> pa.ChunkedArray:
    """A dictionary column whose codes are in the order of their names."""
    if not len(column):
        return pa.chunked_array([], kind)
    (array,) = column.chunks
    order = pc.array_sort_indices(array.dictionary)
    place = np.empty(len(order), np.int64)
    place[order.to_numpy()] = np.arange(len(order))
    codes = pa.array(place[array.indices.to_numpy()]).cast(kind.index_type)
    return pa.chunked_array(
        [pa.DictionaryArray.from_arrays(codes, array.dictionary.take(order)).cast(kind)]
    )


def _rejected(found: Mapping[str, Metadata]) -> pa.Table:
    tables = []
    for name, metadata in found.items():
        named = _before(name, "/", metadata.rejected["input"])
        tables.append(metadata.rejected.set_column(0, REJECTED.field(0), named))
    return pa.concat_tables(tables)


def _notes(found: Mapping[str, Metadata]) -> dict[str, Any]:
    notes: dict[str, Any] = {}
    for key in _JOINED_NOTES:
        told = [(n, m.notes.get(key)) for n, m in found.items()]
        said = [f"{n}: {value}" for n, value in told if isinstance(value, str) and value]
        if said:
            notes[key] = "; ".join(said)
    others: dict[str, list[str]] = {}
    for name, metadata in found.items():
        if metadata.license:
            others.setdefault("licences", []).append(f"{name}: {metadata.license}")
        for key, value in metadata.notes.items():
            if isinstance(value, str) and key not in _JOINED_NOTES:
                others.setdefault(key, []).append(f"{name}: {value}")
    notes |= {key: "; ".join(values) for key, values in others.items()}
    parents: Sequence[Any] = [p for m in found.values() for p in m.notes.get("parents", [])]
    return {**notes, "parents": list(parents)} if parents else notes
