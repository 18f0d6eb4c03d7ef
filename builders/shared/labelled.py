"""The examples of a source that have one class each, with the class out of the way of the data."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.schema import PRIVATE_COLUMNS, Image, Metadata

from .categories import Categories, categories, need_varying
from .changed import unchanged_id

__all__ = ["CONTEXT", "Labelled", "labelled"]

Rows = NDArray[np.int64]

CONTEXT = "context"
"""As an attribute: not a column, but which of some contexts an image's class stands in."""

_OWN = ("is_ood", "subset")
"""Columns that splits bring; a source's column of such a name would be written twice."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """Examples with one class each.

    Attributes
    ----------
    metadata : Metadata
        Of these examples alone, sorted by id. The label's column is taken out: it comes back as
        `label` of each split.
    label : Categories
        Of each example; none is missing.
    cluster : (n,) int64 array
        Codes of the units of independence, from 0.
    counts : dict
        What was left out and why, for `Plan.counts`.
    """

    metadata: Metadata
    label: Categories
    cluster: NDArray[np.int64]
    counts: dict[str, int]

    def __len__(self) -> int:
        return len(self.cluster)

    @property
    def examples(self) -> pa.Table:
        """`Metadata.examples`."""
        return self.metadata.examples

    def ids(self, rows: Rows | None = None) -> pa.Array:
        """Example ids, of all or of some rows."""
        column = self.examples["example_id"].combine_chunks()
        return column if rows is None else column.take(pa.array(rows))

    def categories(self, name: str, what: str, values: Sequence[str] = ()) -> Categories:
        """A column as codes, or `CONTEXT`: the one of the contexts `values` that the class is in.

        Raises
        ------
        ConfigurationError
            No such column, or fewer than two values in it.
        """
        if name == CONTEXT and CONTEXT not in self.examples.column_names:
            found = self._contexts(values)
        else:
            found = categories(self.examples, name, what)
            for value in values:
                found.code(value, what)
            if values:
                place = np.full(len(found.names) + 1, -1, np.int64)
                for i, value in enumerate(values):
                    place[found.names.index(value)] = i
                found = Categories(place[found.codes], tuple(values))
        need_varying(found, name, what)
        return found

    def _contexts(self, values: Sequence[str]) -> Categories:
        """Of the class of each example, the one context among some; −1 for none or several."""
        table = self.metadata.contexts
        if not len(table):
            raise ConfigurationError(
                "the source tells no contexts of its classes; name a column instead of 'context'"
            )
        known = sorted(pc.unique(table["context"].cast(pa.string())).to_pylist())
        if len(values) < 2:
            raise ConfigurationError(
                f"name two or more contexts to tell apart, e.g. {', '.join(known[:4])}"
            )
        for value in values:
            if value not in known:
                raise ConfigurationError(
                    f"the source has no context {value!r}; {near_names(value, known)}"
                )
        example = table["example"].to_numpy().astype(np.int64)
        subject = pc.index_in(
            table["subject"].cast(pa.string()), pa.array(self.label.names, pa.string())
        )
        context = pc.index_in(table["context"].cast(pa.string()), pa.array(values, pa.string()))
        of_class = pc.fill_null(subject, -1).to_numpy() == self.label.codes[example]
        there = of_class & np.asarray(context.is_valid())
        pairs = np.unique(
            np.column_stack([example[there], pc.fill_null(context, 0).to_numpy()[there]]), axis=0
        )
        several = np.bincount(pairs[:, 0], minlength=len(self))
        codes = np.full(len(self), -1, np.int64)
        single = pairs[several[pairs[:, 0]] == 1]
        codes[single[:, 0]] = single[:, 1]
        return Categories(codes, tuple(values))

    def take(self, rows: Rows) -> Labelled:
        """Some of the examples, in order of their rows."""
        kept = np.sort(rows)
        return replace(
            self,
            metadata=_kept(self.metadata, kept),
            label=self.label.take(kept),
            cluster=np.unique(self.cluster[kept], return_inverse=True)[1].astype(np.int64),
        )


def labelled(
    metadata: Metadata,
    label: str = "",
    *,
    classes: Sequence[str] = (),
    excluded: frozenset[str] = frozenset(),
    images: bool = False,
    drop: Sequence[str] = (),
) -> Labelled:
    """The examples of a source that have one class each.

    Parameters
    ----------
    metadata : Metadata
    label : str
        The column that holds the class; another column of the name `label` becomes `source_label`.
        "" takes the column `label`, or else the class whose
        contexts the source tells; images with two of the classes are left out.
    classes : sequence of str
        Those to take, in this order; by default all.
    excluded : frozenset of str
        Examples whose content cannot be used, as `Builder.plan` is given them; the id of a changed
        example (see `unchanged_id`) excludes the example.
    images : bool
        Whether the source must give images.
    drop : sequence of str
        Further columns to take out.

    Raises
    ------
    ConfigurationError
        No column or contexts to take a class from, one class only, no images where some are
        needed.
    """
    if not len(metadata.examples):
        first = metadata.rejected.slice(0, 1).to_pylist()
        why = f"; the first of {len(metadata.rejected)} that were rejected, " * bool(first)
        told = "".join(f"{r['input']}: {r['reason']}" for r in first)
        raise ConfigurationError(f"the source has no example that can be used{why}{told}")
    if images and not isinstance(metadata.content.get("image"), Image):
        content = ", ".join(metadata.content) or "plain columns only"
        raise ConfigurationError(
            f"the source gives no column of images (it gives: {content}), and this builder "
            "changes images; sources with images: `shiftbench list`"
        )
    found, taken_out, without = _classes(metadata, label, tuple(classes))
    unusable = _unusable(metadata, excluded)
    kept = np.flatnonzero((found.codes >= 0) & ~unusable)
    if taken_out is None and not len(kept):
        some = ", ".join(found.names[:6]) + " …" * (len(found.names) > 6)
        raise ConfigurationError(
            f"every one of the {without} images with a class holds several of {some}; name the "
            "classes to tell apart with --classes, and images with two of these are left out"
        )
    need_varying(found.take(kept), taken_out or "class", "label")
    own = _kept(metadata, kept)
    own = _without(own, {taken_out, *drop})
    units = own.examples["cluster_id"].combine_chunks().dictionary_encode().indices
    counts = {"examples_without_a_class": int((found.codes < 0).sum()) - without}
    if without:
        counts["examples_with_several_classes"] = without
    return Labelled(own, found.take(kept), units.to_numpy().astype(np.int64), counts)


def _unusable(metadata: Metadata, excluded: frozenset[str]) -> NDArray[np.bool_]:
    """Which examples are excluded themselves, or by a changed copy of them."""
    ids = metadata.examples["example_id"]
    if not excluded:
        return np.zeros(len(ids), bool)
    named = pa.array(sorted(excluded), pa.string())
    copies = named.filter(pc.invert(pc.is_in(named, ids.combine_chunks())))
    gone = pa.array(sorted(map(unchanged_id, copies.to_pylist())), pa.string())
    either = pc.or_(pc.is_in(ids, named), pc.is_in(ids, gone))
    return np.asarray(either.to_numpy())


def _without(metadata: Metadata, gone: Collection[str | None]) -> Metadata:
    """The metadata without some columns; a column `label` that is not the class is renamed."""
    names = {c: c for c in metadata.examples.column_names if c not in gone}
    if "label" in names:
        names["label"] = "source_label"
    clash = [c for c in names if c in _OWN]
    if "label" in names and "source_label" in names.keys() - {"label"}:
        clash.append("source_label")
    if clash:
        raise ConfigurationError(
            f"the source has a column {clash[0]!r}, which is the name of one of the benchmark's "
            "own; rename it in the source, or leave it out there"
        )
    return replace(
        metadata,
        examples=metadata.examples.select(list(names)).rename_columns(list(names.values())),
        columns=tuple(names[c] for c in metadata.columns if c in names),
    )


def _kept(metadata: Metadata, rows: Rows) -> Metadata:
    """The metadata of some rows, the contexts renumbered."""
    if len(rows) == len(metadata.examples):
        return metadata
    contexts = metadata.contexts
    if len(contexts):
        place = np.full(len(metadata.examples), -1, np.int32)
        place[rows] = np.arange(len(rows), dtype=np.int32)
        at = place[contexts["example"].to_numpy()]
        contexts = contexts.set_column(0, contexts.schema.field(0), pa.array(at))
        contexts = contexts.filter(pa.array(at >= 0))
    return replace(metadata, examples=metadata.examples.take(pa.array(rows)), contexts=contexts)


def _classes(
    metadata: Metadata, label: str, classes: tuple[str, ...]
) -> tuple[Categories, str | None, int]:
    """The class of each example, the column that it stood in, and how many had several."""
    columns = metadata.examples.column_names
    name = label or ("label" if "label" in columns else "")
    if name:
        found = categories(metadata.examples, name, "label")
        for value in classes:
            found.code(value, "classes")
        if classes:
            place = np.array([*(_place(n, classes) for n in found.names), -1], np.int64)
            found = Categories(place[found.codes], classes)
        return found, name, 0
    if not len(metadata.contexts):
        raise ConfigurationError(
            "the source has no column 'label'; name the column that holds the class with --label: "
            + ", ".join(
                c for c in columns if c not in ("example_id", "cluster_id", *PRIVATE_COLUMNS)
            )
        )
    table = metadata.contexts
    subject = table["subject"].combine_chunks().cast(pa.string()).dictionary_encode()
    known = subject.dictionary.to_pylist()
    for value in classes:
        if value not in known:
            raise ConfigurationError(
                f"classes names {value!r}, which the source does not have; "
                f"{near_names(value, known)}"
            )
    names = classes or tuple(sorted(known))
    place = np.array([_place(n, names) for n in known], np.int64)
    pairs = np.column_stack(
        [table["example"].to_numpy().astype(np.int64), place[subject.indices.to_numpy()]]
    )
    pairs = np.unique(pairs[pairs[:, 1] >= 0], axis=0)
    n = np.bincount(pairs[:, 0], minlength=len(metadata.examples))
    codes = np.full(len(metadata.examples), -1, np.int64)
    single = pairs[n[pairs[:, 0]] == 1]
    codes[single[:, 0]] = single[:, 1]
    return Categories(codes, names), None, int((n > 1).sum())


def _place(name: str, names: Sequence[str]) -> int:
    return names.index(name) if name in names else -1
