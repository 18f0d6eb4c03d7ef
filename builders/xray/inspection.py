"""What the radiographs that were read have in common: leaks stop a build, look-alikes are told."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from shiftbench.plan import Inspected, Plan

from ._columns import Rows
from .leaks import check_images, check_patients
from .near_duplicates import near_duplicates, picture
from .reading import Gathered

__all__ = ["inspect"]

PICTURE = "near_duplicates.png"


def inspect(plan: Plan, gathered: Mapping[str, bytes]) -> Inspected:
    """Check a plan of patches against the pixels that were read.

    Parameters
    ----------
    plan : Plan
        As it was written.
    gathered : mapping of radiograph to bytes
        Packed `Gathered`.

    Raises
    ------
    IntegrityError
        A patient, or exactly one picture, in two splits of a config.
    """
    radiographs, row_of_patch = _radiographs(plan)
    found = {name: Gathered.unpack(packed) for name, packed in gathered.items()}
    content = {name: g.sha256 for name, g in found.items()}
    equal = 0
    names = radiographs["example_id"].to_pylist()
    shown: dict[str, list[str]] = {name: [] for name in names}
    for config in plan.configs:
        splits = {s.name: np.unique(row_of_patch[s.index]) for s in config.splits}
        for split, rows in splits.items():
            for row in rows.tolist():
                shown[names[row]].append(f"{config.name}/{split}")
        steps = config.notes.get("steps", {})
        shared = [{*steps, *(step["unchanged"] for step in steps.values())}]
        check_patients(splits, radiographs, shared)
        seen = check_images(content, splits, radiographs, shared)
        equal = max(equal, seen.same_patient + seen.other_patients)
    remarks = [w for config in plan.configs for w in config.notes.get("warnings", [])]
    if equal:
        remarks.append(
            f"{equal} radiographs have exactly the pixels of another in their split: they are "
            "one picture twice"
        )
    patients = dict(zip(names, radiographs["cluster_id"].to_pylist(), strict=True))
    pairs = near_duplicates(found, patients, shown)
    drawn = {PICTURE: picture(pairs, found)} if len(pairs) else {}
    return Inspected({"near_duplicates": pairs}, drawn, tuple(remarks))


def _radiographs(plan: Plan) -> tuple[pa.Table, Rows]:
    """Each radiograph once, with its patient, and for each patch the row of its radiograph."""
    examples = plan.metadata.examples
    encoded = examples["radiograph"].combine_chunks().dictionary_encode()
    row_of_patch = np.asarray(encoded.indices.to_numpy(zero_copy_only=False), np.int64)
    _, first = np.unique(row_of_patch, return_index=True)
    table = pa.table(
        {
            "example_id": encoded.dictionary,
            "cluster_id": examples["cluster_id"].take(pa.array(first)),
        }
    )
    return table, row_of_patch
