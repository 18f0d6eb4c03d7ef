"""From usable radiographs to the table of a source: pseudonyms, types, order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from shiftbench.pseudonyms import Key
from shiftbench.radiograph import ACQUISITION_COLUMNS, PERSON_COLUMNS
from shiftbench.schema import PRIVATE_COLUMNS
from shiftbench.sources._radiograph_files import Listing
from shiftbench.sources._radiograph_join import kept_columns
from shiftbench.sources._radiograph_scan import Found

__all__ = ["RESERVED", "examples_table"]

RESERVED = frozenset(
    ("example_id", "cluster_id", "label", "subset", "is_ood", "image", "license", "attribution")
) | {*PRIVATE_COLUMNS, *ACQUISITION_COLUMNS, *PERSON_COLUMNS}
"""Names that a further column of a manifest cannot have."""

_WHOLE = ("bits_stored", "rows", "columns", "age")
_NUMBERS = (
    "row_mm",
    "column_mm",
    "kvp",
    "exposure_uas",
    "exposure_ms",
    "tube_current_ma",
    "exposure_index",
    "distance_mm",
)
_TYPES: Mapping[str, pa.DataType] = {
    **dict.fromkeys((*ACQUISITION_COLUMNS, *PERSON_COLUMNS), pa.string()),
    **dict.fromkeys(_WHOLE, pa.int64()),
    **dict.fromkeys(_NUMBERS, pa.float64()),
    **dict.fromkeys(("lossy", "burnt_in"), pa.bool_()),
}


def examples_table(
    listing: Listing, found: Sequence[Found], keep: Sequence[str], key: Key
) -> pa.Table:
    """One row a radiograph, sorted by its pseudonym; columns that say nothing are left out."""
    named = [("r" + key.name("radiograph", listing.files[f.position].name), f) for f in found]
    named.sort(key=lambda pair: pair[0])
    ids = [ident for ident, _ in named]
    rows = [radiograph for _, radiograph in named]
    files = [listing.files[f.position] for f in rows]
    patients = ["p" + key.name(*f.patient) for f in rows if f.patient is not None]
    examples = {
        "example_id": pa.array(ids, pa.string()),
        "cluster_id": pa.array(patients, pa.string()),
        "locator": pa.array([f.located.text() for f in rows], pa.string()),
        "bytes": pa.array([f.bytes for f in files], pa.int64()),
        "modified": pa.array([f.modified for f in files], pa.int64()),
    }
    for name, kind in _TYPES.items():
        values = [f.columns.get(name) for f in rows]
        if any(v is not None for v in values):
            examples[name] = pa.array(values, kind)
    further = {name: [f.kept.get(name, "") for f in rows] for name in keep}
    for name, cells in kept_columns(further).items():
        examples[name] = pa.array(cells, None if any(c is not None for c in cells) else pa.string())
    return pa.table(examples)
