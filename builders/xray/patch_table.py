"""From the radiographs that the splits name to a table of their patches."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.radiograph import ACQUISITION_COLUMNS, PERSON_COLUMNS
from shiftbench.schema import PRIVATE_COLUMNS

from .reading import patch_locator

__all__ = ["LABEL", "Sheet", "Sheets", "patch_examples", "public_columns", "radiograph_of"]

LABEL = "finding"
"""The source's column that becomes the label."""

BYTES_A_PIXEL = 1.7
"""Of a 16-bit PNG of a radiograph, for dividing the files; nothing else depends on it."""

Sheet = tuple[int, str]
"""A row of the radiographs, and the change it is shown with ("" is none)."""


def radiograph_of(patch_id: str) -> str:
    """The radiograph that a patch was cut from, by the patch's id.

    Examples
    --------
    >>> radiograph_of("r0a1.003"), radiograph_of("r0a1.dose_2.003")
    ('r0a1', 'r0a1')
    """
    return patch_id.partition(".")[0]


def public_columns(radiographs: pa.Table) -> list[str]:
    """Columns that go from a radiograph to its patches: all that say something.

    Columns of the white list come first, in its order; the label goes its own way.
    """
    never = {*PRIVATE_COLUMNS, "example_id", "cluster_id", LABEL}
    there = [
        n for n in radiographs.column_names
        if n not in never and radiographs[n].null_count < len(radiographs)
    ]  # fmt: skip
    listed = [n for n in (*ACQUISITION_COLUMNS, *PERSON_COLUMNS) if n in there]
    return [*listed, *sorted(set(there) - set(listed))]


@dataclass(frozen=True, eq=False)
class Sheets:
    """All radiographs, and changed ones, that a benchmark cuts into patches, in order of the ids.

    Attributes
    ----------
    first : Mapping[Sheet, int]
        Where the patches of each begin among all patches.
    patches : int
        Of each.
    """

    first: Mapping[Sheet, int]
    patches: int

    @classmethod
    def of(cls, sheets: Iterable[Sheet], ids: list[str], patches: int) -> Sheets:
        """Each once, in the order that their patches' ids have as text."""
        order = sorted(set(sheets), key=lambda s: (ids[s[0]], change_slug(s[1])))
        return cls({s: i * patches for i, s in enumerate(order)}, patches)

    def rows(self, sheets: Iterable[Sheet]) -> NDArray[np.int64]:
        """Patches of some of them, ascending."""
        starts = np.sort(np.array([self.first[s] for s in sheets], np.int64))
        return np.asarray((starts[:, None] + np.arange(self.patches)).ravel())


def change_slug(change: str) -> str:
    """A change as part of an id and of a split's name.

    Examples
    --------
    >>> change_slug("dose=2"), change_slug("blur=0.5"), change_slug("kvp=-20")
    ('dose_2', 'blur_0p5', 'kvp_minus20')
    """
    text = change.replace("=-", "=minus").replace(".", "p")
    return re.sub(r"[^a-z0-9]+", "_", text.lower())


def patch_examples(
    radiographs: pa.Table,
    sheets: Sheets,
    *,
    size: int,
    device: list[str | None],
    again: Mapping[Sheet, bool],
    with_changes: bool,
) -> pa.Table:
    """The plan's examples: one row a patch, sorted by id.

    Parameters
    ----------
    radiographs : pa.Table
        `Metadata.examples` of a source of radiographs.
    sheets : Sheets
    size : int
        Side of a patch in pixels.
    device : list of str or None
        Of each radiograph.
    again : mapping
        Which sheets several configs show.
    with_changes : bool
        Whether there is a column `change`.

    Raises
    ------
    ConfigurationError
        Ids of the source from which no ordered patch ids can be made.
    """
    order = list(sheets.first)
    of_sheet = pa.array([row for row, _ in order], pa.int64())
    each = np.repeat(np.arange(len(order), dtype=np.int32), sheets.patches)
    ids, locators = _named(radiographs, order, sheets.patches, again)
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        "example_id": ids,
        "cluster_id": _repeated(radiographs["cluster_id"].take(of_sheet), each),
        "locator": _repeated(locators, each),
        "locator_part": pa.array(
            np.tile(np.arange(sheets.patches, dtype=np.int32), len(order)), pa.int32()
        ),
        "bytes": _repeated(pa.array([int(BYTES_A_PIXEL * size * size)] * len(order)), each),
        "modified": _repeated(radiographs["modified"].take(of_sheet), each),
        "radiograph": _repeated(radiographs["example_id"].take(of_sheet), each),
        "device": _repeated(pa.array(device, pa.string()).take(of_sheet), each),
    }
    if with_changes:
        changes = pa.array([change or None for _, change in order], pa.string())
        columns["change"] = _repeated(changes, each)
    for name in public_columns(radiographs):
        if name not in columns:
            columns[name] = _repeated(radiographs[name].take(of_sheet), each)
    table = pa.table(columns)
    ordered = pc.all(pc.less(table["example_id"][:-1], table["example_id"][1:])).as_py()
    if ordered is False:
        raise ConfigurationError(
            "the source's ids of radiographs are such that the ids of their patches are out of "
            "order; ids of one length, of letters and digits, are never"
        )
    return table


def _named(
    radiographs: pa.Table, order: list[Sheet], patches: int, again: Mapping[Sheet, bool]
) -> tuple[pa.Array, pa.Array]:
    """The id of every patch, and the locator of every sheet."""
    width = max(3, len(str(patches - 1)))
    of_source = {n: radiographs[n].to_pylist() for n in ("example_id", "locator", "modified")}
    # Text of so many patches is large, and twice that as objects: it is packed sheet by sheet.
    ids, locators = [pa.array([], pa.string())], []
    for row, change in order:
        name, locator, modified = (of_source[n][row] for n in of_source)
        if "." in name:
            raise ConfigurationError(
                f"the source gives the radiograph id {name!r}; ids of radiographs hold no dot, "
                "since those of their patches are made by adding one"
            )
        head = f"{name}.{change_slug(change)}" if change else name
        ids.append(pa.array([f"{head}.{k:0{width}d}" for k in range(patches)], pa.string()))
        shown = (change or None, again[row, change], modified)
        locators.append(patch_locator(locator, name, 0, *shown))
    return pa.concat_arrays(ids), pa.array(locators, pa.string())


def _repeated(of_sheets: pa.Array | pa.ChunkedArray, each: NDArray[np.int32]) -> pa.Array:
    """A value a sheet as one a patch, each value held once."""
    if isinstance(of_sheets, pa.ChunkedArray):
        of_sheets = of_sheets.combine_chunks()
    if pa.types.is_dictionary(of_sheets.type):
        of_sheets = of_sheets.dictionary_decode()
    encoded = of_sheets.dictionary_encode()
    indices = encoded.indices.take(pa.array(each))
    return pa.DictionaryArray.from_arrays(indices, encoded.dictionary)
