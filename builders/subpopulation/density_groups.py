"""Which examples of a segmentation task are dense and which sparse, and of which volume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.schema import Metadata

from ..shared.categories import Categories, column_named, numbers
from ..shared.labelled import Labelled, labelled
from .density_slices import Slices, Taking

__all__ = ["NAMES", "grouped", "volumes"]

NAMES = ("sparse", "dense")


def grouped(
    metadata: Metadata,
    excluded: frozenset[str],
    *,
    label: str,
    share: str,
    threshold: float,
    dense: int | None,
) -> tuple[Labelled, Categories | None, float]:
    """The examples with dense or sparse as their label, their classes, and the threshold.

    Parameters
    ----------
    metadata : Metadata
    excluded : frozenset of str
        Examples not to use.
    label : str
        Column of a class; "" takes a column `label`, and none where there is none.
    share : str
        Column of the labelled share.
    threshold : float
        Dense are shares above it.
    dense : int, optional
        Instead: how many examples are dense; with equal shares, more.

    Raises
    ------
    ConfigurationError
        No such column, no numbers in it, or all examples on one side.
    """
    found, classes = _with_classes(metadata, excluded, label)
    values = numbers(found.examples, share, "share")
    there = np.flatnonzero(~np.isnan(values))
    if len(there) < 2:
        raise ConfigurationError(
            f"share names the column {share!r}, which has {len(there)} numbers in {len(found)} "
            "examples; it has to hold the labelled share of each example's pixels"
        )
    if dense is not None:
        if not 0 < dense < len(there):
            raise ConfigurationError(
                f"dense is {dense}; allowed: 1 to {len(there) - 1}, fewer than the examples"
            )
        known = np.unique(values[there])
        cut = np.partition(values[there], len(there) - dense)[len(there) - dense]
        below = known[known < cut]
        if not len(below):
            raise ConfigurationError(
                f"{dense} dense examples are asked for, and {int((values[there] > cut).sum())} of "
                f"{len(there)} have a larger share than the smallest, {cut:g}; ask for no more"
            )
        threshold = float(below[-1])
    codes = (values > threshold).astype(np.int64)
    several = np.bincount(codes[there], minlength=2)
    if not several.all():
        raise ConfigurationError(
            f"with a threshold of {threshold:g} every example is {NAMES[int(several.argmax())]}: "
            f"the column {share!r} goes from {values[there].min():g} to {values[there].max():g}, "
            f"with {np.median(values[there]):g} in the middle; name a threshold in between"
        )
    counts = {
        **found.counts,
        "examples_without_a_labelled_share": len(found) - len(there),
        "dense_examples": int(several[1]),
        "sparse_examples": int(several[0]),
    }
    made = replace(found, label=Categories(codes, NAMES), counts=counts).take(there)
    return made, None if classes is None else classes.take(there), threshold


def _with_classes(
    metadata: Metadata, excluded: frozenset[str], label: str
) -> tuple[Labelled, Categories | None]:
    if label or "label" in metadata.examples.column_names:
        found = labelled(metadata, label, excluded=excluded)
        return found, found.label
    for name in ("subset", "is_ood", "group"):
        if name in metadata.examples.column_names:
            raise ConfigurationError(
                f"the source has a column {name!r}, which is the name of one of the benchmark's "
                "own; rename it in the source"
            )
    n = len(metadata.examples)
    units = metadata.examples["cluster_id"].combine_chunks().dictionary_encode().indices
    whole = Labelled(
        metadata,
        Categories(np.zeros(n, np.int64), NAMES),
        units.to_numpy().astype(np.int64),
        {},
    )
    gone = np.zeros(n, bool)
    if excluded:
        import pyarrow.compute as pc

        unusable = pa.array(sorted(excluded), pa.string())
        gone = pc.is_in(metadata.examples["example_id"], unusable).to_numpy(zero_copy_only=False)
    return whole.take(np.flatnonzero(~gone)), None


def volumes(found: Labelled, column: str, seed: int, taking: Taking) -> Slices:
    """The volume of each example: a column's value, or the cluster.

    Raises
    ------
    ConfigurationError
        A volume is missing, or has examples of several clusters.
    """
    cells = (
        column_named(found.examples, column, "volume") if column else found.examples["cluster_id"]
    )
    if cells.null_count:
        raise ConfigurationError(
            f"volume names the column {column!r}, in which {cells.null_count} of {len(cells)} "
            "examples have no value"
        )
    encoded = cells.cast(pa.large_string()).combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    names: list[str] = encoded.dictionary.to_pylist()
    order = np.array(sorted(range(len(names)), key=names.__getitem__), np.int64)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    codes: NDArray[np.int64] = place[encoded.indices.to_numpy().astype(np.int64)]
    first = np.full(len(names), -1, np.int64)
    first[codes[::-1]] = found.cluster[::-1]
    apart = np.flatnonzero(first[codes] != found.cluster)
    if len(apart):
        raise ConfigurationError(
            f"the volume {names[order[codes[apart[0]]]]!r} has examples of several clusters, and "
            "would come into several splits; name the column of the volume, or of the patient, as "
            "the source's cluster"
        )
    return Slices(found, Categories(codes, tuple(names[i] for i in order)), seed, taking)
