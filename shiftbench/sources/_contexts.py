"""From "who is in which image" to the table of contexts: vectorised, in bounded memory."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.schema import CONTEXT_KINDS, CONTEXTS

__all__ = ["Codes", "Presence", "contexts_table"]

Ints = NDArray[np.int64]

ROWS_AT_ONCE = 1 << 18
EXAMPLES_AT_ONCE = 1 << 16
OBJECT, ATTRIBUTE, GENERAL = range(3)


class Codes(dict[str, int]):
    """Numbers names as they come; stripped spellings share one, refused and blank ones get -1.

    Examples
    --------
    >>> codes = Codes()
    >>> codes["cat"], codes["dog"], codes[" cat"], codes["  "]
    (0, 1, 0, -1)
    >>> codes.names
    ['cat', 'dog']
    """

    def __init__(self, allowed: Container[str] | None = None) -> None:
        super().__init__()
        self.names: list[str] = []
        self.allowed = allowed

    def __missing__(self, key: str) -> int:
        name = key.strip()
        if name != key:
            code = self[name]
        elif not name or (self.allowed is not None and name not in self.allowed):
            code = -1
        else:
            code = len(self.names)
            self.names.append(name)
        self[key] = code
        return code


class Seen(Protocol):
    """An object of an image, as far as contexts go."""

    @property
    def name(self) -> str: ...
    @property
    def attributes(self) -> tuple[str, ...]: ...


def _ints() -> array[int]:
    return array("i")


@dataclass
class Presence:
    """What is seen in which image, gathered as codes; images are numbered as they come.

    Attributes
    ----------
    names, attributes, general : Codes
        The vocabularies; `attributes` and `general` refuse what makes no context.
    object_example, object_name : array of int
        One entry an object: its image and its name.
    attribute_example, attribute_name, attribute : array of int
        One entry an attribute of an object.
    general_example, general_code : array of int
        One entry a general context of an image.
    """

    names: Codes
    attributes: Codes
    general: Codes
    object_example: array[int] = field(default_factory=_ints)
    object_name: array[int] = field(default_factory=_ints)
    attribute_example: array[int] = field(default_factory=_ints)
    attribute_name: array[int] = field(default_factory=_ints)
    attribute: array[int] = field(default_factory=_ints)
    general_example: array[int] = field(default_factory=_ints)
    general_code: array[int] = field(default_factory=_ints)

    def see(self, example: int, objects: Collection[Seen]) -> bool:
        """Note the objects of an image; where a name is blank nothing is noted and it is False."""
        names, attributes = self.names, self.attributes
        codes = [names[o.name] for o in objects]
        if -1 in codes:
            return False
        self.object_example.fromlist([example] * len(codes))
        self.object_name.fromlist(codes)
        for o, code in zip(objects, codes, strict=True):
            for text in o.attributes:
                if (a := attributes[text]) >= 0:
                    self.attribute_example.append(example)
                    self.attribute_name.append(code)
                    self.attribute.append(a)
        return True

    def note(self, example: int, general: str | None) -> None:
        """Note a general context of an image, where it is one."""
        if general is not None and (code := self.general[general]) >= 0:
            self.general_example.append(example)
            self.general_code.append(code)

    def contexts(
        self,
        order: Ints,
        *,
        places: Container[str] = (),
        self_pairs: bool = True,
    ) -> pa.Table:
        """The table of contexts.

        Parameters
        ----------
        order : array of int, shape (n_images,)
            The row in the table of examples that each image has.
        places : container of str
            Object names that are a general context of the other subjects in the image.
        self_pairs : bool
            Whether two or more objects of a name make the context ``name(name)``.

        Returns
        -------
        pa.Table
            Schema `CONTEXTS`, sorted by example, subject, context, kind.
        """
        subjects = sorted(self.names.names)
        contexts = sorted({*subjects, *self.attributes.names, *self.general.names})
        as_subject = _recode(self.names.names, subjects)
        as_context = _recode(subjects, contexts)
        n = len(subjects)

        seen, count = np.unique(
            _take(order, self.object_example) * n + _take(as_subject, self.object_name),
            return_counts=True,
        )
        example, subject = np.divmod(seen, max(n, 1))
        repeated = (count > 1) & self_pairs

        held = np.unique(
            _take(order, self.attribute_example) * (n * len(contexts))
            + _take(as_subject, self.attribute_name) * len(contexts)
            + _take(_recode(self.attributes.names, contexts), self.attribute)
        )
        a_example, rest = np.divmod(held, max(n * len(contexts), 1))
        a_subject, a_context = np.divmod(rest, max(len(contexts), 1))

        is_place = np.array([s in places for s in subjects], dtype=bool)[subject]
        noted = _take(_recode(self.general.names, contexts), self.general_code)
        around = np.unique(
            np.concatenate(
                [
                    _take(order, self.general_example) * len(contexts) + noted,
                    example[is_place] * len(contexts) + as_context[subject[is_place]],
                ]
            )
        )
        g_example, g_context = np.divmod(around, max(len(contexts), 1))

        def part(low: int, high: int) -> Iterator[tuple[Ints, Ints, Ints, int]]:
            p = _span(example, low, high)
            i, j = _within(example[p], example[p])
            keep = (i != j) | repeated[p][i]
            i, j = i[keep], j[keep]
            yield example[p][i], subject[p][i], as_context[subject[p][j]], OBJECT
            a = _span(a_example, low, high)
            yield a_example[a], a_subject[a], a_context[a], ATTRIBUTE
            g = _span(g_example, low, high)
            i, j = _within(example[p], g_example[g])
            # A field is not the place of the field itself; field(field) would mean two of them.
            keep = as_context[subject[p][i]] != g_context[g][j]
            i, j = i[keep], j[keep]
            yield example[p][i], subject[p][i], g_context[g][j], GENERAL

        size = int(order.max()) + 1 if len(order) else 0
        per = np.bincount(example, minlength=size)
        rows = per * (per + np.bincount(g_example, minlength=size))
        rows += np.bincount(a_example, minlength=size)
        parts = (list(part(low, high)) for low, high in _ranges(rows))
        return contexts_table(parts, subjects, contexts)


def contexts_table(
    parts: Iterable[Iterable[tuple[Ints, Ints, Ints, int]]],
    subjects: Sequence[str],
    contexts: Sequence[str],
) -> pa.Table:
    """A table of schema `CONTEXTS` from arrays of codes, each row once, sorted within a part.

    Parameters
    ----------
    parts : iterable of iterable of (example, subject, context, kind)
        Arrays of one length and a kind's number; each part's examples come after the last one's.
    subjects, contexts : sequence of str
        What the codes mean, sorted, so that the order of codes is that of the names.
    """
    dictionaries = [pa.array(d, pa.string()) for d in (subjects, contexts, CONTEXT_KINDS)]
    n_context = max(len(contexts), 1)
    batches = []
    for part in parts:
        keys = [
            ((example.astype(np.int64) * max(len(subjects), 1) + subject) * n_context + context)
            * len(CONTEXT_KINDS)
            + kind
            for example, subject, context, kind in part
        ]
        key = np.sort(np.concatenate(keys))
        key = key[np.flatnonzero(np.diff(key, prepend=-1))]
        if not len(key):
            continue
        key, kind_code = np.divmod(key, len(CONTEXT_KINDS))
        key, context_code = np.divmod(key, n_context)
        example_code, subject_code = np.divmod(key, max(len(subjects), 1))
        codes = (
            (subject_code, np.int32),
            (context_code, np.int32),
            (kind_code, np.int8),
        )
        coded = [
            pa.DictionaryArray.from_arrays(pa.array(c.astype(t)), d)
            for (c, t), d in zip(codes, dictionaries, strict=True)
        ]
        first = pa.array(example_code.astype(np.int32))
        batches.append(pa.RecordBatch.from_arrays([first, *coded], schema=CONTEXTS))
    return pa.Table.from_batches(batches, schema=CONTEXTS)


def _recode(names: Sequence[str], target: Sequence[str]) -> Ints:
    position = {name: i for i, name in enumerate(target)}
    return np.array([position[name] for name in names], dtype=np.int64)


def _take(table: Ints, codes: array[int]) -> Ints:
    taken: Ints = table[np.frombuffer(codes, dtype=np.int32)] if codes else np.empty(0, np.int64)
    return taken


def _span(sorted_examples: Ints, low: int, high: int) -> slice:
    start, stop = np.searchsorted(sorted_examples, [low, high])
    return slice(int(start), int(stop))


def _within(left: Ints, right: Ints) -> tuple[Ints, Ints]:
    """Positions of all pairs, one of each side, that share an example; both sides sorted."""
    start = np.searchsorted(right, left, "left")
    n = np.searchsorted(right, left, "right") - start
    i = np.repeat(np.arange(len(left)), n)
    j = np.arange(len(i)) + np.repeat(start - (np.cumsum(n) - n), n)
    return i, j


def _ranges(rows: Ints) -> Iterator[tuple[int, int]]:
    """Runs of examples that make about `ROWS_AT_ONCE` rows together, and at least one example."""
    end = np.cumsum(rows)
    low = 0
    while low < len(rows):
        done = end[low - 1] if low else 0
        high = int(np.searchsorted(end, done + ROWS_AT_ONCE, "right"))
        high = min(max(high, low + 1), low + EXAMPLES_AT_ONCE)
        yield low, high
        low = high
