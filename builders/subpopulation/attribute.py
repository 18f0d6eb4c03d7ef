"""The classes and the attribute that a table is of: read from the source, or to be made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.schema import Metadata
from shiftbench.transforms.marks import MAX_VALUES, value_names

from ..shared.categories import Categories, categories
from ..shared.labelled import CONTEXT, Labelled, labelled
from .table_text import parse_grouped

__all__ = ["Grouped", "find_groups", "made_values"]

_OWN = ("attribute", "group", "subset")
"""Columns that splits bring; a source's attribute column of such a name is theirs then."""


@dataclass(frozen=True, eq=False)
class Grouped:
    """Examples with one class and, where it is given, one attribute value each.

    Attributes
    ----------
    found : Labelled
        Those alone that have both.
    attribute : Categories, optional
        None where the attribute is made.
    counts : dict
        What was left out.
    column : str
        The column that the attribute was taken from, "" for none.
    """

    found: Labelled
    attribute: Categories | None
    counts: dict[str, int]
    column: str = ""


def find_groups(
    metadata: Metadata,
    label: str,
    classes: Sequence[str],
    attribute: str,
    values: Sequence[str],
    excluded: frozenset[str],
) -> Grouped:
    """The examples of the classes, with the value of an attribute.

    Parameters
    ----------
    classes, values : sequence of str
        Names, or ``name=value+value`` for several as one.
    attribute : str
        A column (also that of the label, whose values then are grouped in another way), "context",
        or "" for an attribute that is made, which needs images.

    Raises
    ------
    ConfigurationError
        No such column, class or value, or fewer than two of them.
    """
    of_class = parse_grouped(classes, "classes")
    every = tuple(m for members in of_class.values() for m in members)
    found = labelled(metadata, label, classes=every, excluded=excluded, images=not attribute)
    if not attribute:
        return Grouped(_joined(found, of_class), None, found.counts)
    of_value = parse_grouped(values, "values")
    own = label or ("label" if "label" in metadata.examples.column_names else "")
    if attribute == own:
        read = _varying(_regrouped(found.label, of_value, "values"), attribute)
        column = ""
    elif attribute == CONTEXT and CONTEXT not in found.examples.column_names:
        read = _with_contexts(found, of_value).categories(CONTEXT, "attribute", tuple(of_value))
        column = ""
    else:
        read = _regrouped(categories(found.examples, attribute, "attribute"), of_value, "values")
        read = _varying(read, attribute)
        column = attribute
    kept = np.flatnonzero(read.codes >= 0)
    counts = {**found.counts, "examples_without_the_attribute": len(found) - len(kept)}
    if attribute in _OWN and column:
        found = _without(found, attribute)
    joined = _joined(found, of_class)
    read = read.take(kept)
    joined = joined.take(kept)
    spanning = _spanning(joined, read)
    if spanning:
        counts["clusters_in_several_groups"] = spanning
    return Grouped(joined, _seen(read), counts, column)


def made_values(make: str, values: Sequence[str], wanted: int) -> tuple[tuple[str, ...], list[int]]:
    """Names of the values that are made, and the number of each among those of its kind.

    Raises
    ------
    ConfigurationError
        A value that the kind does not have.

    Examples
    --------
    >>> made_values("colour", ("orange", "blue"), 2)
    (('orange', 'blue'), [1, 0])
    """
    if not values:
        names = value_names(make, wanted)
        return names, list(range(wanted))
    known = value_names(make, MAX_VALUES[make])
    unknown = [v for v in values if v not in known]
    if unknown or len(values) < 2:
        raise ConfigurationError(
            f"values are {', '.join(values)}; of the made attribute {make!r} allowed are two or "
            f"more of {', '.join(known)}"
        )
    return tuple(values), [known.index(v) for v in values]


def _regrouped(found: Categories, groups: Mapping[str, tuple[str, ...]], what: str) -> Categories:
    """Codes of groups of values; by default each value is its own."""
    if not groups:
        return _seen(found)
    place = np.full(len(found.names) + 1, -1, np.int64)
    for code, members in enumerate(groups.values()):
        for member in members:
            place[found.code(member, what)] = code
    return Categories(place[found.codes], tuple(groups))


def _seen(found: Categories) -> Categories:
    """Without the names that no example has."""
    n = np.bincount(found.codes[found.codes >= 0], minlength=len(found.names))
    if n.all():
        return found
    place = np.append(np.where(n > 0, np.cumsum(n > 0) - 1, -1), -1)
    return Categories(
        place[found.codes], tuple(s for s, k in zip(found.names, n, strict=True) if k)
    )


def _varying(found: Categories, name: str) -> Categories:
    there = [n for n, k in found.counts.items() if k]
    if len(there) < 2:
        raise ConfigurationError(
            f"attribute names the column {name!r}, in which the examples of these classes have "
            f"{'no value' if not there else 'the one value ' + repr(there[0])}; two or more are "
            "needed"
        )
    return found


def _joined(found: Labelled, groups: Mapping[str, tuple[str, ...]]) -> Labelled:
    """With classes joined."""
    return replace(found, label=_regrouped(found.label, groups, "classes"))


def _with_contexts(found: Labelled, groups: Mapping[str, tuple[str, ...]]) -> Labelled:
    """With contexts joined; an image in several of one group is in the group."""
    table = found.metadata.contexts
    if not len(table) or not groups:
        return found
    known = set(pc.unique(table["context"].cast(pa.string())).to_pylist())
    members = [m for group in groups.values() for m in group]
    for member in members:
        if member not in known:
            raise ConfigurationError(
                f"values names the context {member!r}, which the source does not have; "
                f"{near_names(member, known)}"
            )
    table = table.filter(pc.is_in(table["context"].cast(pa.string()), pa.array(members)))
    names = pa.array([name for name, group in groups.items() for _ in group], pa.string())
    renamed = names.take(pc.index_in(table["context"].cast(pa.string()), pa.array(members)))
    at = table.schema.get_field_index("context")
    contexts = table.set_column(
        at, table.schema.field(at), renamed.cast(table.schema.field(at).type)
    )
    return replace(found, metadata=replace(found.metadata, contexts=contexts))


def _without(found: Labelled, column: str) -> Labelled:
    own = found.metadata
    return replace(
        found,
        metadata=replace(
            own,
            examples=own.examples.drop_columns([column]),
            columns=tuple(c for c in own.columns if c != column),
        ),
    )


def _spanning(found: Labelled, attribute: Categories) -> int:
    """Clusters whose examples are in more than one group."""
    cell = found.label.codes * len(attribute.names) + attribute.codes
    pairs = np.unique(found.cluster * (int(cell.max(initial=0)) + 1) + cell)
    per = np.bincount(pairs // (int(cell.max(initial=0)) + 1))
    return int((per > 1).sum())
