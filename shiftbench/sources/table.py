"""A table whose rows are the examples: numbers, text and dates instead of images."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import category

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, SourceError, near_names
from shiftbench.hashing import table_hash
from shiftbench.schema import CONTEXTS, PRIVATE_COLUMNS, Metadata
from shiftbench.sources._files import file_label
from shiftbench.sources._metadata import fingerprint, rejected_table
from shiftbench.sources._plain_columns import (
    as_names,
    first_of_each,
    mixed,
    one_chunk,
    plain_column,
    rows_alike,
)
from shiftbench.sources._tables import Table as Opened
from shiftbench.sources._tables import is_text, open_table

__all__ = ["Table"]

RESERVED = ("example_id", "cluster_id", "subset", "is_ood", *PRIVATE_COLUMNS)
_NO_FEATURES = ("license", "attribution")
_SYNTAX = "+,="
MOST_REJECTED = 0.01


@dataclass(frozen=True)
class Table:
    """The rows of a table as examples, without images.

    Which columns are the class, a group or an environment, the builders are told. Text is trimmed;
    blank text and NaN are missing, in files of text "NA", "null" and the like too.

    Parameters
    ----------
    table : str
        A Parquet, Arrow or CSV file, one with tabs between its columns (.tsv, .txt), the folder of
        a data set made by `save_to_disk`, or, in Python, a `datasets.Dataset`.
    id_column : str, optional
        The row's id: text or a whole number. Without it, it is the number of the row, from 0.
    cluster_column : str, optional
        The unit of independence: patient, author, household. The column goes into the benchmark as
        `cluster_id`. Without it, each row is its own.
    features : tuple of str
        Columns that are what a model sees, the rest being what is known beside; by default all but
        id, cluster and licence. A builder takes its label's out of them.
    text_column : str, optional
        The one column that a model sees, which is text; it comes to be called `text`.
    drop : tuple of str
        Columns to leave out.
    missing : tuple of str
        Further texts that say that a value is missing, such as "?".
    as_text : tuple of str
        Columns whose numbers are names (codes, postcodes): a CSV file's are then taken as they
        stand.
    license_column : str, optional
        The licence of each row.
    license : str
        Licence of the table as the Hub spells it; empty = unknown, or by row.
    redistributable : bool
        Whether the rows may be published.

    Examples
    --------
    >>> Table("people.csv", cluster_column="household", missing=("?",)).features
    ()
    """

    table: str
    id_column: str | None = None
    cluster_column: str | None = None
    features: tuple[str, ...] = ()
    text_column: str | None = None
    drop: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    as_text: tuple[str, ...] = ()
    license_column: str | None = None
    license: str = ""
    redistributable: bool = False

    def __post_init__(self) -> None:
        for option in ("features", "drop", "missing", "as_text"):
            value = getattr(self, option)
            if isinstance(value, str):
                raise ConfigurationError(f"{option} is the text {value!r}; give a list of texts")
            object.__setattr__(self, option, tuple(dict.fromkeys(value)))
        if self.features and self.text_column:
            raise ConfigurationError(
                "features and text_column both say what a model sees; give one of them"
            )

    def scan(self) -> Metadata:
        """Read the whole table.

        Raises
        ------
        SourceError
            The table is missing, cannot be read or has no rows. Rows without an id of their own
            are recorded as rejected.
        ConfigurationError
            A named column is not there or is of another kind, a column cannot be kept under its
            name, or numbers and text are mixed in it.
        """
        called = [c for c in (self.id_column, self.cluster_column, self.text_column) if c]
        called += [f" {c}" for c in called]  # as after the comma of a header with blanks in it
        texts = [*called, *self.as_text, *(f" {c}" for c in self.as_text)]
        opened = open_table(self.table, texts, called, self.missing)
        names = _names(opened, self._label())
        self._check_named(names)
        columns, left_out = self._columns(opened, names)
        n = len(next(iter(columns.values()))) if columns else 0
        if not n:
            raise SourceError(f"{self._label()}: there are no rows with plain columns")
        rejected: list[tuple[str, str]] = []
        ids, kept = self._ids(opened, names, n, rejected)
        clusters, alone = self._clusters(opened, names, ids)
        counts = {"columns_left_out": left_out, "rows_without_a_cluster": alone}
        notes = {"title": f"Table: {self._label()}"}
        alike = rows_alike(pa.table(columns)) if self.cluster_column is None else 0
        if alike:
            notes["rows"] = f"{alike} rows kept that equal another: one person twice, perhaps"
        order = _sorted(ids, kept)
        examples: dict[str, Any] = {"example_id": ids, "cluster_id": clusters}
        while columns:  # one at a time: a table in two orders would take twice the memory
            name = next(iter(columns))
            examples[name] = columns.pop(name)
        for name in examples if order is not None else ():
            if name == "cluster_id" and clusters is ids:
                continue
            examples[name] = one_chunk(examples[name].take(pa.array(order)))
        if clusters is ids:
            examples["cluster_id"] = examples["example_id"]
        table = pa.table(examples)
        rows = len(table)
        for name, column in (
            ("locator", pa.nulls(rows, pa.string())),
            ("bytes", pa.nulls(rows, pa.int64())),
            ("modified", pa.array(np.zeros(rows, np.int64))),
        ):
            table = table.append_column(name, column)
        public = [c for c in table.column_names if c not in PRIVATE_COLUMNS]
        return Metadata(
            examples=table,
            contexts=CONTEXTS.empty_table(),
            rejected=rejected_table(rejected),
            content={},
            fingerprint=fingerprint(
                [table_hash(table.select(public))],
                [],
                {"source": "table", "features": self._features(public)},
            ),
            license=self.license,
            redistributable=self.redistributable,
            counts={k: v for k, v in counts.items() if v},
            notes=notes,
            columns=self._features(public),
        )

    def reader(self) -> Callable[[str], Mapping[str, Any]]:
        """There is none: all of an example stands in its columns.

        Raises
        ------
        ConfigurationError
            Always; who changes images needs a source that has some.
        """
        raise ConfigurationError(
            f"{self._label()}: the rows of a table have no content to read beside their columns; "
            "a builder that changes images needs a source of images"
        )

    def _label(self) -> str:
        named = isinstance(self.table, str | os.PathLike)
        return file_label(self.table) if named else "datasets.Dataset"

    def _own(self) -> dict[str, str]:
        """Columns that are no example's data, by what they are."""
        given = {"id_column": self.id_column, "cluster_column": self.cluster_column,
                 "license_column": self.license_column}  # fmt: skip
        return {option: name for option, name in given.items() if name is not None}

    def _check_named(self, names: Mapping[str, str]) -> None:
        asked = [*self._own().items(), *(("drop", c) for c in self.drop)]
        asked += [(o, c) for o in ("features", "as_text") for c in getattr(self, o)]
        asked += [("text_column", self.text_column)] if self.text_column else []
        for option, name in asked:
            if name not in names:
                raise ConfigurationError(
                    f"{self._label()}: {option} names the column {name!r}, which is not there; "
                    f"{near_names(name, names)}"
                )
        own = {n: o for o, n in self._own().items()} | dict.fromkeys(self.drop, "drop")
        seen = [*(("features", c) for c in self.features)]
        seen += [("text_column", self.text_column)] if self.text_column else []
        for option, name in seen:
            if name in own:
                raise ConfigurationError(
                    f"{self._label()}: the column {name!r} is named by {option} and by "
                    f"{own[name]}; name it once"
                )

    def _columns(
        self, opened: Opened, names: Mapping[str, str]
    ) -> tuple[dict[str, pa.ChunkedArray], int]:
        """The columns to keep, by their names in the benchmark, and how many cannot be kept."""
        own = {*self._own().values(), *self.drop} - {self.license_column}
        chosen = [n for n in names if n not in own]
        for name in chosen:
            self._check_name(name, names)
        data = opened.columns([names[n] for n in chosen])
        kept: dict[str, pa.ChunkedArray] = {}
        for name in chosen:
            feature = opened.features.get(names[name])
            column = plain_column(data[names[name]], feature, self.missing)
            data = data.drop_columns([names[name]])
            if column is None:
                self._check_plain(name)
                continue
            if name not in self.as_text and name != self.text_column:
                self._check_mixed(name, column)
            if name == self.text_column and not is_text(column.type):
                raise ConfigurationError(
                    f"{self._label()}: the text column {name!r} is of type {column.type}"
                )
            kept[self._renamed(name)] = column
        return kept, len(chosen) - len(kept)

    def _renamed(self, name: str) -> str:
        if name == self.license_column:
            return "license"
        return "text" if name == self.text_column else name

    def _check_name(self, name: str, names: Mapping[str, str]) -> None:
        where = self._label()
        if not name:
            raise ConfigurationError(
                f"{where}: a column has no name; name it in the table, or leave it out with "
                "drop=('',)"
            )
        if any(category(c) == "Cc" for c in name):
            raise ConfigurationError(
                f"{where}: the name of the column {name!r} holds control characters, with which "
                "data sets cannot be read; rename it, or leave it out with drop"
            )
        taken = name in RESERVED or any(
            name == new and old is not None and old != new
            for old, new in ((self.text_column, "text"), (self.license_column, "license"))
        )
        if taken:
            hint = {"example_id": "name it with id_column, ",
                    "cluster_id": "name it with cluster_column, "}.get(name, "")  # fmt: skip
            raise ConfigurationError(
                f"{where}: the column {name!r} would take the place of one of the benchmark's own; "
                f"{hint}rename it, or leave it out with drop=({name!r},)"
            )
        strange = [c for c in _SYNTAX if c in name]
        if strange and name in self._features(list(names)):
            raise ConfigurationError(
                f"{where}: the name of the column {name!r} holds {' and '.join(map(repr, strange))}"
                ", which a feature's name cannot (spaces are written as tabular:only=age+sex); "
                "rename it, leave it out with drop, or name the features without it"
            )

    def _check_plain(self, name: str) -> None:
        if name in self.features or name == self.text_column:
            raise ConfigurationError(
                f"{self._label()}: the column {name!r} holds nothing plain; features are numbers, "
                "text, dates, true/false and lists of text"
            )

    def _check_mixed(self, name: str, column: pa.ChunkedArray) -> None:
        if not isinstance(self.table, str | os.PathLike):
            return
        texts = mixed(column)
        if texts:
            shown = ", ".join(map(repr, texts[:3])) + (", …" if len(texts) > 3 else "")
            raise ConfigurationError(
                f"{self._label()}: the column {name!r} holds numbers, but for the texts {shown}; "
                "say with missing that they stand for no value, or with as_text that the column's "
                "numbers are names"
            )

    def _features(self, columns: Sequence[str]) -> tuple[str, ...]:
        """What a model sees, of some columns."""
        if self.text_column is not None:
            return ("text",)
        own = {*self._own().values(), *self.drop, *RESERVED, *_NO_FEATURES}
        return self.features or tuple(c for c in columns if c not in own)

    def _ids(
        self,
        opened: Opened,
        names: Mapping[str, str],
        n: int,
        rejected: list[tuple[str, str]],
    ) -> tuple[pa.ChunkedArray, NDArray[np.bool_] | None]:
        """The id of each row, and which rows have one of their own; None for all."""
        if self.id_column is None:
            width = max(8, len(str(n - 1)))
            return _numbered(n, width), None
        column = names[self.id_column]
        found = opened.columns([column])[column]
        what = f"{self._label()}: the id column {self.id_column!r}"
        ids = as_names(found, opened.features.get(column), what)
        blank = np.asarray(ids.is_null().to_numpy())
        first = first_of_each(ids)
        bad = np.flatnonzero(blank | ~first)
        if len(bad) > max(10, MOST_REJECTED * n):
            raise ConfigurationError(
                f"{what} gives no row an id of its own: in {len(bad)} of {n} rows it is empty or "
                "that of an earlier row; where rows belong together, name it with cluster_column "
                "and leave id_column out"
            )
        for row in bad.tolist():
            why = "the row has no id" if blank[row] else "an earlier row has its id; that is used"
            rejected.append((f"{self._label()}: row {row}", why))
        return ids, None if not len(bad) else ~(blank | ~first)

    def _clusters(
        self, opened: Opened, names: Mapping[str, str], ids: pa.ChunkedArray
    ) -> tuple[pa.ChunkedArray, int]:
        """The cluster of each row; where none is given, the row is one by itself."""
        if self.cluster_column is None:
            return ids, 0
        column = names[self.cluster_column]
        what = f"{self._label()}: the cluster column {self.cluster_column!r}"
        found = opened.columns([column])[column]
        given = as_names(found, opened.features.get(column), what)
        alone = given.null_count
        if alone == len(given):
            raise ConfigurationError(f"{what} is empty in every row; leave it out")
        if not alone:
            return given, 0
        # A mark before the id, which might be the name of a cluster.
        own = pc.binary_join_element_wise("row ", ids.cast(given.type), "")
        return one_chunk(pc.coalesce(given, own)), alone


def _names(opened: Opened, label: str) -> dict[str, str]:
    """Trimmed names of the columns, and the names they have in the table."""
    names: dict[str, str] = {}
    for stored in opened.schema.names:
        name = stored.strip()
        if name in names:
            raise ConfigurationError(
                f"{label}: two columns have the name {name!r}; name them apart"
            )
        names[name] = stored
    return names


def _numbered(n: int, width: int) -> pa.ChunkedArray:
    """The numbers from 0, with zeros before them."""
    digits = np.empty((n, width), np.uint8)
    rest = np.arange(n)
    for place in range(width - 1, -1, -1):
        digits[:, place] = 48 + rest % 10
        rest //= 10
    offsets = pa.py_buffer(np.arange(0, n * width + 1, width, dtype=np.int64))
    array = pa.LargeStringArray.from_buffers(n, offsets, pa.py_buffer(digits))
    return pa.chunked_array([array.cast(pa.string()) if n * width < 2**31 else array])


def _sorted(ids: pa.ChunkedArray, kept: NDArray[np.bool_] | None) -> NDArray[np.int64] | None:
    """Rows in order of their ids, without those that have none; None where they are so already."""
    if kept is None and bool(pc.all(pc.less_equal(ids[:-1], ids[1:])).as_py() is not False):
        return None
    order = np.asarray(pc.sort_indices(ids).to_numpy(), dtype=np.int64)
    return order if kept is None else order[kept[order]]
