"""The rows of a built benchmark's splits, each example once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.schema import PRIVATE_COLUMNS, Feature, declared_features
from shiftbench.sources._parent import Parent, content_features, mean_bytes, open_part
from shiftbench.sources._parent_columns import free_name, named_columns
from shiftbench.sources._tables import class_names

__all__ = ["Rows", "once", "read_rows"]

_ORDER = "place of the split"
_RESERVED = ("is_ood", "parent_split", _ORDER, *PRIVATE_COLUMNS)


@dataclass(frozen=True)
class Rows:
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


def read_rows(
    folder: str, parent: Parent, config: str, splits: Sequence[str], reserved: Sequence[str] = ()
) -> Rows:
    """All rows of some splits.

    Parameters
    ----------
    folder : str
    parent : Parent
    config : str
    splits : sequence of str
        In the order in which an example that is in several is looked for.
    reserved : sequence of str
        Names that stored columns must not have, beside those that every benchmark gives anew.

    Raises
    ------
    SourceError
        A file is missing or damaged.
    """
    parts = []
    content: dict[str, Feature] = {}
    classes: list[str] = []
    renamed: dict[str, str] = {}
    for number, split in enumerate(splits):
        for name in parent.configs[config].splits[split].files:
            told = parent.files.get(name)
            with open_part(folder, name, told.rows if told else None) as file:
                schema = file.schema_arrow
                content = content_features(schema, parent.content, name)
                classes = class_names(declared_features(schema).get("label")) or []
                made = named_columns(file.read([n for n in schema.names if n not in content]))
                sizes = mean_bytes(file, list(content))
            renamed = _renamed(made.column_names, {*_RESERVED, *reserved})
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
    return Rows(table, content, classes, renamed)


def _renamed(names: Sequence[str], reserved: set[str]) -> dict[str, str]:
    """Names that the source needs for itself, and that a benchmark gives anew, made free."""
    taken = reserved | set(names)
    made = {}
    for name in names:
        made[name] = free_name(name, taken) if name in reserved else name
        taken.add(made[name])
    return made


def once(table: pa.Table) -> tuple[pa.Table, int]:
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
