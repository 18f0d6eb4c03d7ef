"""Which examples stand in which contexts, and where the reference model is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, near_names

from ..shared.categories import Categories, categories, column_named
from ..shared.labelled import CONTEXT, Labelled

__all__ = ["Members", "members_of", "rightness"]

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Members:
    """Pairs of an example and a context of its class, each once, ordered by example.

    Attributes
    ----------
    names : tuple of str
        Of the contexts, in alphabetic order.
    example, context : (m,) int64 arrays
    single : bool
        No example is in two contexts.
    """

    names: tuple[str, ...]
    example: Codes
    context: Codes
    single: bool

    def inside(self, n: int, context: Codes) -> NDArray[np.bool_]:
        """(n,) whether each example is in the context that `context` names for it (−1: none)."""
        found = np.zeros(n, bool)
        found[self.example[context[self.example] == self.context]] = True
        return found


def members_of(found: Labelled, attribute: str, values: Sequence[str]) -> Members:
    """The contexts of each example: the values of a column, or those the source tells of its class.

    Raises
    ------
    ConfigurationError
        No such column, context or value, or fewer than two.
    """
    if attribute == CONTEXT and CONTEXT not in found.examples.column_names:
        return _told(found, values)
    column = found.categories(attribute, "attribute", values)
    order = np.argsort(np.array(column.names, dtype=object), kind="stable")
    place = np.empty(len(order) + 1, np.int64)
    place[order], place[-1] = np.arange(len(order)), -1
    codes = place[column.codes]
    there = np.flatnonzero(codes >= 0)
    return Members(tuple(column.names[i] for i in order), there, codes[there], True)


def _told(found: Labelled, values: Sequence[str]) -> Members:
    table = found.metadata.contexts
    if not len(table):
        raise ConfigurationError(
            "the source tells no contexts of its classes; name a column instead of 'context'"
        )
    context = table["context"].combine_chunks().cast(pa.string())
    known = sorted(pc.unique(context).to_pylist())
    for value in values:
        if value not in known:
            raise ConfigurationError(
                f"values names the context {value!r}, which the source does not have; "
                f"{near_names(value, known)}"
            )
    names = tuple(sorted(set(values))) or tuple(known)
    if len(names) < 2:
        raise ConfigurationError(
            f"{len(names)} context to choose from ({names[0]!r}); at least 2 are needed"
        )
    subject = pc.index_in(
        table["subject"].cast(pa.string()), pa.array(found.label.names, pa.string())
    )
    example = table["example"].to_numpy().astype(np.int64)
    code = pc.fill_null(pc.index_in(context, pa.array(names, pa.string())), -1).to_numpy()
    own = pc.fill_null(subject, -1).to_numpy() == found.label.codes[example]
    kept = own & (code >= 0)
    pairs = np.unique(np.column_stack([example[kept], code[kept].astype(np.int64)]), axis=0)
    single = len(np.unique(pairs[:, 0])) == len(pairs)
    return Members(names, pairs[:, 0], pairs[:, 1], single)


def rightness(found: Labelled, reference: str) -> Codes:
    """(n,) 1 where the reference model is right, 0 where it is wrong, −1 where that is unknown.

    Parameters
    ----------
    found : Labelled
    reference : str
        A column of true/false or called `correct`: whether it is right. Another: the class that it
        predicts, by name; what is no class of the task is wrong.

    Raises
    ------
    ConfigurationError
        No such column, none of its values is a class, or values other than 0 and 1 in `correct`.
    """
    column = column_named(found.examples, reference, "reference")
    said = categories(found.examples, reference, "reference")
    if pa.types.is_boolean(column.type) or reference == "correct":
        return _flags(said, reference)
    classes = found.label.names
    place = np.array([*(_place(n, classes) for n in said.names), -1], np.int64)
    if not (place >= 0).any():
        if set(said.names) <= {"0", "1"}:
            return _flags(said, reference)
        raise ConfigurationError(
            f"reference names the column {reference!r}, whose values ({_some(said.names)}) are no "
            f"classes of the task ({_some(classes)}); it has to hold the class that the reference "
            "model predicts, or true/false where that is right"
        )
    predicted = place[said.codes]
    right = (predicted == found.label.codes).astype(np.int64)
    return np.where(said.codes < 0, -1, right)


def _flags(said: Categories, reference: str) -> Codes:
    truth = {"true": 1, "false": 0, "1": 1, "0": 0}
    strange = [n for n in said.names if n.casefold() not in truth]
    if strange:
        raise ConfigurationError(
            f"reference names the column {reference!r}, which has the value {strange[0]!r}; "
            "allowed: 0 and 1, or true and false"
        )
    place = np.array([*(truth[n.casefold()] for n in said.names), -1], np.int64)
    return place[said.codes]


def _place(name: str, names: Sequence[str]) -> int:
    return names.index(name) if name in names else -1


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:4])) + (", …" if len(names) > 4 else "")
