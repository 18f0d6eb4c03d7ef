"""Examples whose attribute is made as they are written: their ids, locators and reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.schema import CONTEXTS, Metadata, slug
from shiftbench.transforms.marks import mark_image

from ..shared.changed import MARK, ChangedReader, changed_locator

__all__ = ["MadeExamples", "made_examples", "made_reader"]

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MadeExamples:
    """Every (example, value) that some split shows, as examples of their own.

    Attributes
    ----------
    metadata : Metadata
    keys : (n,) int64 array
        Row of the source × number of values + value, ascending.
    places : (n,) int64 array
        The row of each in `metadata`.
    """

    metadata: Metadata
    keys: Codes
    places: Codes

    def rows(self, keys: Codes) -> Codes:
        """Rows of `metadata` of some keys."""
        return np.asarray(self.places[np.searchsorted(self.keys, keys)])


def made_examples(
    metadata: Metadata, keys: Codes, make: str, names: Sequence[str], numbers: Sequence[int]
) -> MadeExamples:
    """The examples that are shown, each with the value that is made on it.

    An example with a value has one id, in whichever config it is shown: ``0017~colour_blue``.

    Parameters
    ----------
    metadata : Metadata
        Of the source.
    keys : int64 array
        Row × number of values + value, in any order and repeated.
    make : str
        The kind of attribute.
    names, numbers : sequences
        Of the values; the number is which of its kind it is.
    """
    keys = np.unique(keys)
    rows, values = np.divmod(keys, len(names))
    examples = metadata.examples.take(pa.array(rows))
    ids = examples["example_id"].combine_chunks()
    suffixes = pa.array([slug(f"{make} {name}") for name in names]).take(pa.array(values))
    changed = pc.binary_join_element_wise(ids, suffixes, MARK)
    changes = [f"{make} {number}" for number in numbers]
    locators = [
        changed_locator(where, ident, changes[v])
        for where, ident, v in zip(
            examples["locator"].to_pylist(), ids.to_pylist(), values.tolist(), strict=True
        )
    ]
    for name, column in (("example_id", changed), ("locator", pa.array(locators, pa.string()))):
        examples = examples.set_column(examples.schema.get_field_index(name), name, column)
    order = np.asarray(pc.sort_indices(changed))
    places = np.empty(len(keys), np.int64)
    places[order] = np.arange(len(keys))
    made = replace(
        metadata,
        examples=examples.take(pa.array(order)),
        contexts=CONTEXTS.empty_table(),
        identity="pixels",
    )
    return MadeExamples(made, keys, places)


def made_reader(
    read: Callable[[str], Mapping[str, Any]], n_values: int, seed: int
) -> ChangedReader:
    """The source's reader with the attribute made on its images."""
    return ChangedReader(read, partial(_marked, n_values=n_values, seed=seed))


def _marked(
    pixels: NDArray[np.uint8], change: str, ident: str, *, n_values: int, seed: int
) -> NDArray[np.uint8]:
    kind, number = change.split(" ")
    return mark_image(pixels, kind, int(number), ident=ident, seed=seed, n_values=n_values)
