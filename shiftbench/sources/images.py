"""A table of images with a class and a list of tags each: contexts are the tags."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.hashing import table_hash
from shiftbench.schema import CONTEXT_KINDS, PRIVATE_COLUMNS, Image, Metadata, feature_of
from shiftbench.sources._contexts import contexts_table
from shiftbench.sources._files import file_label
from shiftbench.sources._image_columns import CellReader, Content
from shiftbench.sources._masks import MaskedReader, located, mask_shares
from shiftbench.sources._metadata import clusters, fingerprint, rejected_table
from shiftbench.sources._tables import Table, class_names, is_text, open_table, plain_strings
from shiftbench.sources._tags import named_tags, split_tags

__all__ = ["ImageTable"]

TAGS = "tags"
RESERVED = ("example_id", "cluster_id", "label", "subset", "is_ood", "image", *PRIVATE_COLUMNS)


@dataclass(frozen=True)
class ImageTable:
    """Images in a table, with a class and a list of tags each.

    A class's contexts in an image are the image's tags (kind object) but for the class itself.
    Columns that have no part in this and hold plain values are kept as metadata. Where there are
    no tags, the class becomes the column `label`.

    Parameters
    ----------
    table : str
        A Parquet or CSV file, the folder of a data set made by `save_to_disk`, or, in Python, a
        `datasets.Dataset`.
    class_column : str
        The class: text, a whole number or a ClassLabel.
    tags_column : str
        The tags: a list of text; in a CSV file a JSON list, or text with a separator. "" says that
        there are none, as does the default where the table has no such column.
    tags_separator : str, optional
        What stands between the tags where they are one text, e.g. ";". Without it they are JSON.
    image_column : str
        The image: its bytes, an Image of `datasets`, or its path within `images`.
    images : str, optional
        The folder of the images, where the column holds paths: a local path or any URL that
        fsspec knows. Without it such a table has no content, only the index.
    mask_column : str, optional
        The mask of each image, stored as the images are: what is not 0 is labelled. Masks become
        the column `mask`, and where the table has no column `mask_share` they are read for the
        labelled share of each.
    id_column : str, optional
        The example's id. Without it, it is the number of the row, from 0, in eight digits.
    cluster_column : str, optional
        The unit of independence: patient, author, video. Without it, each example is its own, but
        for rows of one image file.
    license_column : str, optional
        The licence of each image.
    drop : tuple of str
        Columns to leave out.
    license : str
        Licence of the content as the Hub spells it; empty = unknown, or by image.
    redistributable : bool
        Whether the content may be published.

    Examples
    --------
    >>> ImageTable("birds.csv", class_column="species", tags_separator=";").image_column
    'image'
    """

    table: str
    class_column: str = "label"
    tags_column: str = TAGS
    tags_separator: str | None = None
    image_column: str = "image"
    images: str | None = None
    mask_column: str | None = None
    id_column: str | None = None
    cluster_column: str | None = None
    license_column: str | None = None
    drop: tuple[str, ...] = ()
    license: str = ""
    redistributable: bool = False

    def scan(self) -> Metadata:
        """Read the table's columns, and its images once where they stand in it, for their hash.

        Raises
        ------
        SourceError
            The table is missing or cannot be read. Rows that cannot be used are recorded as
            rejected.
        ConfigurationError
            A named column is not there or is of another kind.
        """
        if self.tags_separator == "":
            raise ConfigurationError("tags_separator is empty; give what stands between the tags")
        table = self._open()
        tags = self._tags(table.schema.names)
        named = self._named(tags)
        kept = self._kept(table, named)
        plain = plain_strings(table.columns([*named, *kept]))
        rejected: list[tuple[str, str]] = []
        rows = _Rows(self, tags, plain, table, rejected)
        content = Content(table, self.image_column, self.images, self._label(), plain.num_rows)
        usable = [i for i in rows.usable() if content.there(i, rejected)]
        masks = self._masks(table, plain.num_rows, content)
        usable = [i for i in usable if masks is None or masks.there(i, rejected)]
        counts: Counter[str] = Counter()
        if content.column is not None:
            counts["annotations_without_image"] = content.absent
            counts["images_without_annotation"] = content.others
        if masks is not None:
            counts["images_without_mask"] = masks.absent
            counts["images_without_annotation"] -= len({n for n in masks.names if n})
        used = {*named, *kept, self.image_column, self.mask_column}
        counts["columns_left_out"] = sum(name not in used for name in table.schema.names)
        order = sorted(usable, key=rows.ids.__getitem__)
        picked = pa.array(order, pa.int64())
        ids = pa.array([rows.ids[i] for i in order], pa.string())
        of_file = clusters(ids.to_pylist(), [content.names[i] or f"#{i}" for i in order])
        given = rows.text(self.cluster_column)
        examples: dict[str, Any] = {
            "example_id": ids,
            "cluster_id": pa.array([given[i] or c for i, c in zip(order, of_file, strict=True)])
            if given
            else pa.array(of_file, pa.string()),
            **(content.located(order) if masks is None else located(content, masks, order)),
        }
        if tags is None:
            examples["label"] = pa.array([rows.classes[i] for i in order], pa.string())
        for name in kept:
            examples[name] = rows.plain(name).take(picked)
        if masks is not None and "mask_share" not in examples:
            read = CellReader(self._open, self.mask_column or "")
            examples["mask_share"] = mask_shares(masks, order, read)
        licences = rows.text(self.license_column)
        if licences:
            examples["license"] = pa.array([licences[i] for i in order], pa.string())
        options = {
            "source": "images",
            "columns": [self.class_column, tags or "", *named, *kept],
            "separator": self.tags_separator,
        }
        return Metadata(
            examples=pa.table(examples),
            contexts=rows.contexts(order),
            rejected=rejected_table(rejected),
            content={
                **({"image": Image()} if content.column is not None else {}),
                **({"mask": Image()} if masks is not None else {}),
            },
            fingerprint=fingerprint(
                [table_hash(plain), content.digest, *([] if masks is None else [masks.digest])],
                [c for part in (content, masks) if part for c in part.sizes_by_name(order)],
                options,
            ),
            license=self.license,
            redistributable=self.redistributable,
            counts=counts,
            notes={"title": f"Image table: {self._label()}"},
        )

    def reader(self) -> CellReader | MaskedReader:
        """A function from a locator to ``{"image": bytes}``, and ``"mask"`` if there are masks."""
        image = CellReader(self._open, self.image_column)
        if self.mask_column is None:
            return image
        return MaskedReader(image, CellReader(self._open, self.mask_column))

    def _masks(self, table: Table, n: int, images: Content) -> Content | None:
        if self.mask_column is None:
            return None
        masks = Content(table, self.mask_column, self.images, self._label(), n)
        if masks.column is None or images.column is None:
            raise ConfigurationError(
                f"{self._label()}: masks in {self.mask_column!r} need the images beside them; "
                "where the columns hold paths, name their folder with images"
            )
        return masks

    def _label(self) -> str:
        named = isinstance(self.table, str | os.PathLike)
        return file_label(self.table) if named else "datasets.Dataset"

    def _tags(self, known: Sequence[str]) -> str | None:
        """The column of the tags; None where there are none."""
        absent = not self.tags_column or (self.tags_column == TAGS and TAGS not in known)
        return None if absent else self.tags_column

    def _named(self, tags: str | None) -> list[str]:
        named = (
            self.class_column,
            tags,
            self.id_column,
            self.cluster_column,
            self.license_column,
        )
        return list(dict.fromkeys(c for c in named if c is not None))

    def _open(self) -> Table:
        called = [self.class_column, self.tags_column, self.image_column]
        called += [self.id_column] if self.id_column else []
        masks = [self.mask_column] if self.mask_column else []
        texts = [*self._named(self.tags_column or None), self.image_column, *masks]
        table = open_table(self.table, texts, called)
        known = table.schema.names
        twice = sorted({n for n in known if known.count(n) > 1})
        if twice:
            raise ConfigurationError(
                f"{self._label()}: columns have one name: {', '.join(map(repr, twice))}; name them "
                "apart"
            )
        needed = [*self._named(self._tags(known)), *masks, *self.drop]
        if self.image_column != "image" or self.images is not None:
            needed.append(self.image_column)
        for name in needed:
            if name not in known:
                raise ConfigurationError(
                    f"{self._label()}: there is no column {name!r}; {near_names(name, known)}"
                )
        return table

    def _kept(self, table: Table, named: Sequence[str]) -> list[str]:
        used = {*named, self.image_column, self.mask_column, *self.drop}
        kept = []
        for name, kind in zip(table.schema.names, table.schema.types, strict=True):
            if name in used:
                continue
            try:
                feature_of(kind)
            except ConfigurationError:
                continue
            taken = (name == "license" and self.license_column) or (
                name == "mask" and self.mask_column
            )
            if name in RESERVED or taken:
                raise ConfigurationError(
                    f"{self._label()}: the column {name!r} would take the place of one of the "
                    f"benchmark's own; rename it or leave it out with drop=({name!r},)"
                )
            kept.append(name)
        return kept


class _Rows:
    """What the columns say of each row."""

    def __init__(
        self,
        source: ImageTable,
        tags: str | None,
        data: pa.Table,
        table: Table,
        rejected: list[tuple[str, str]],
    ) -> None:
        self.source, self.data, self.table, self.rejected = source, data, table, rejected
        self.label = source._label()
        self.classes = self.text(source.class_column)
        ids = self.text(source.id_column)
        self.ids = ids or [f"{i:08d}" for i in range(data.num_rows)]
        self.tags = self._tags(tags)

    def text(self, column: str | None) -> list[str]:
        """A column as stripped text, "" for null; [] where no column is named."""
        if column is None:
            return []
        kind = self.data.schema.field(column).type
        values = self.data[column].to_pylist()
        names = class_names(self.table.features.get(column))
        if names is not None and pa.types.is_integer(kind):
            # -1 is how data sets say that there is no label.
            return [
                names[v].strip() if v is not None and 0 <= v < len(names) else "" for v in values
            ]
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if not (pa.types.is_integer(kind) or is_text(kind) or pa.types.is_null(kind)):
            raise ConfigurationError(
                f"{self.label}: the column {column!r} is of type {kind}; expected is text, a whole "
                "number or a ClassLabel"
            )
        return ["" if v is None else str(v).strip() for v in values]

    def plain(self, column: str) -> pa.ChunkedArray:
        """A metadata column, ClassLabels as their names."""
        names = class_names(self.table.features.get(column))
        data = self.data[column]
        if names is not None and pa.types.is_integer(data.type):
            return pa.chunked_array([pa.array([t or None for t in self.text(column)], pa.string())])
        if pa.types.is_dictionary(data.type):
            return data.cast(data.type.value_type)
        return data

    def _tags(self, column: str | None) -> Sequence[list[str] | str]:
        """The tags of each row, or the reason why there are none."""
        if column is None:
            return [[]] * self.data.num_rows
        kind = self.data.schema.field(column).type
        values = self.data[column].to_pylist()
        names = class_names(self.table.features.get(column))
        if is_text(kind):
            return [split_tags(v or "", self.source.tags_separator) for v in values]
        inner = getattr(kind, "value_type", pa.null())
        if names is not None and pa.types.is_integer(inner):
            return [named_tags(v or (), names) for v in values]
        inner = inner.value_type if pa.types.is_dictionary(inner) else inner
        plain = is_text(inner) or pa.types.is_integer(inner) or pa.types.is_null(inner)
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)) or not plain:
            raise ConfigurationError(
                f"{self.label}: the column {column!r} is of type {kind}; expected is a list of "
                "text, or text that holds one"
            )
        return [[str(t).strip() for t in v or () if t is not None] for v in values]

    def usable(self) -> list[int]:
        """The rows with a class, tags and an id of their own; the others are recorded."""
        seen: dict[str, int] = {}
        found = []
        for i, (ident, name, tags) in enumerate(
            zip(self.ids, self.classes, self.tags, strict=True)
        ):
            reason = None
            if not name:
                reason = "the row has no class"
            elif not ident:
                reason = "the row has no id"
            elif ident in seen:
                reason = f"the id {ident!r} is that of row {seen[ident]} too; that one is used"
            elif isinstance(tags, str):
                reason = tags
            if reason is None:
                seen[ident] = i
                found.append(i)
            else:
                self.rejected.append((f"{self.label}: row {i}", reason))
        return found

    def contexts(self, order: Sequence[int]) -> pa.Table:
        """Schema `CONTEXTS` of some rows, numbered as given."""
        pairs = [
            (n, self.classes[i], t)
            for n, i in enumerate(order)
            for t in self.tags[i]
            # A tag that is the class again is no context: cat(cat) would say that there are two.
            if t and t != self.classes[i]
        ]
        subjects = sorted({self.classes[i] for i in order})
        contexts = sorted({t for _, _, t in pairs})
        subject = {s: k for k, s in enumerate(subjects)}
        context = {c: k for k, c in enumerate(contexts)}
        coded = np.array(
            [(n, subject[s], context[c]) for n, s, c in pairs], dtype=np.int64
        ).reshape(-1, 3)
        part = (coded[:, 0], coded[:, 1], coded[:, 2], CONTEXT_KINDS.index("object"))
        return contexts_table([[part]], subjects, contexts)
