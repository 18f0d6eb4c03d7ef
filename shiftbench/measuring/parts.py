"""Of which kind a task's shift is: its parts in bits, and SubpopBench's four numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from shiftbench.distances.attributes import subpopulation_numbers
from shiftbench.distances.kinds import profile
from shiftbench.errors import ConfigurationError
from shiftbench.measuring.reference import FittedSpace
from shiftbench.measuring.rows import estimate_row, of_space
from shiftbench.measuring.settings import Measurement
from shiftbench.measuring.sides import Side

__all__ = ["part_rows"]

_PARTS = (
    ("subpopulation", "subpopulation", False),
    ("covariate", "covariate", True),
    ("concept", "concept", True),
    ("label", "label", False),
    ("covariate_marginal", "covariate", True),
)
"""Field of a `Profile`, the kind of shift, whether it is taken in a space."""


def part_rows(
    source: Side,
    target: Side,
    where: tuple[str, str, str],
    space: FittedSpace | None,
    settings: Measurement,
    whole: bool,
) -> Iterator[dict[str, Any]]:
    """Lines of `shift_distances` for the parts of a shift.

    Parameters
    ----------
    source, target : Side
    where : (str, str, str)
        Config, source and target.
    space : FittedSpace or None
    settings : Measurement
    whole : bool
        Also the parts that do not depend on the space.
    """
    classes = True
    try:
        source, target = source.labelled(), target.labelled()
    except ConfigurationError:  # lists or real numbers: the parts without labels remain
        classes = False
    sizes = (len(source.clusters), len(target.clusters))
    if min(sizes) < 2:
        return
    shared = {
        **dict(zip(("config", "source", "target"), where, strict=True)),
        "n_source": sizes[0],
        "n_target": sizes[1],
        "n_clusters_source": len(set(source.clusters)),
        "n_clusters_target": len(set(target.clusters)),
        "seed": settings.seed,
    }
    a, b = source.groups, target.groups
    grouped = a is not None and b is not None
    blank = [np.zeros((len(s.clusters), 1)) for s in (source, target)]
    features = blank if space is None else [source.features, target.features]
    found = profile(
        *features,
        labels=(source.labels, target.labels) if classes else None,
        groups=(a, b) if grouped else None,
        clusters=(source.clusters, target.clusters),
        level=settings.level,
        seed=settings.seed,
    )
    for part, kind, in_space in _PARTS:
        estimate = getattr(found, part)
        if estimate is None or (in_space and space is None) or not (whole or in_space):
            continue
        named = {"kind": kind, "space": space.name if in_space and space is not None else None}
        more = of_space(space if in_space else None, settings.max_examples)
        yield estimate_row(estimate, f"information_{part}", {**shared, **named}, more)
    if whole and classes and grouped:
        yield from _numbers(source, target, shared, settings)


def _numbers(
    source: Side, target: Side, shared: dict[str, Any], settings: Measurement
) -> Iterator[dict[str, Any]]:
    """SubpopBench's numbers, of the source and from source to target."""
    found = subpopulation_numbers(
        source.labels,
        source.memberships or (),
        target.labels,
        target.memberships,
        clusters=source.clusters,
        clusters_target=target.clusters,
        level=settings.level,
        seed=settings.seed,
    )
    named = {"kind": "subpopulation", "space": None}
    for name, estimate in found.items():
        yield estimate_row(estimate, name, {**shared, **named}, of_space(None, 0))
