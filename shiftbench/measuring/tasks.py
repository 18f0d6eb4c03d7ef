"""How far each split of a task is from its training split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from shiftbench.distances.measured import distance_named, measure, options_of
from shiftbench.distances.shift import Distance, Shift
from shiftbench.errors import ConfigurationError, near_names
from shiftbench.measuring.examples import Examples, Rows
from shiftbench.measuring.losses import reference_losses
from shiftbench.measuring.parts import part_rows
from shiftbench.measuring.reference import NO_FEATURES, FittedSpace
from shiftbench.measuring.rows import of_space, shift_rows
from shiftbench.measuring.settings import Measurement
from shiftbench.measuring.sides import Side

__all__ = ["Pair", "measure_pair", "pairs_of"]

LABELLED = 20
"""Distances between labels take this many times as many examples as those between features."""


@dataclass(frozen=True)
class Pair:
    """Two splits of a task, without the examples that both have.

    Attributes
    ----------
    config, source, target : str
    rows : (Rows, Rows)
        Of the source and of the target.
    shared : int
        Examples that were in both; of a large split's, those among the drawn ones.
    """

    config: str
    source: str
    target: str
    rows: tuple[Rows, Rows]
    shared: int


def pairs_of(examples: Examples, settings: Measurement) -> Iterator[Pair]:
    """The training split of each task, or the sources asked for, against every other split.

    Raises
    ------
    ConfigurationError
        A task or a split that is not there.
    """
    for config in settings.configs or examples.tasks:
        splits = {n: s for n, s in examples.entry(config).splits.items() if s.rows}
        unknown = [s for s in settings.sources if s not in splits]
        if unknown:
            raise ConfigurationError(
                f"the task {config!r} has no split {unknown[0]!r} with examples; "
                f"{near_names(unknown[0], splits)}"
            )
        reference = examples.reference_split(config)
        if reference is None:
            continue
        for source in settings.sources or (reference,):
            for target in splits:
                if target == source or (target in settings.sources and target < source):
                    continue
                yield _pair(examples, config, source, target)


def _pair(examples: Examples, config: str, source: str, target: str) -> Pair:
    a, b = examples.split(config, source), examples.split(config, target)
    both = (examples.also_in(a, config, target), examples.also_in(b, config, source))
    shared = max(int(mask.sum()) for mask in both)
    if shared:
        a, b = (r.take(np.flatnonzero(~mask)) for r, mask in zip((a, b), both, strict=True))
    return Pair(config, source, target, (a, b), shared)


def measure_pair(
    pair: Pair,
    space: FittedSpace | None,
    settings: Measurement,
    contexts: Mapping[str, str],
    *,
    whole: bool,
    left_out: list[dict[str, Any]],
) -> Iterator[dict[str, Any]]:
    """Lines of `shift_distances` for two splits in one space.

    Parameters
    ----------
    space : FittedSpace or None
        Without one only what needs no features is measured.
    settings : Measurement
    contexts : mapping
        The context of each subset.
    whole : bool
        Also what does not depend on the space.
    left_out : list
        Gets what could not be measured, and why.
    """
    names = (pair.source, pair.target)
    if space is not None and (absent := _absent(pair, space)):
        why = f"the task has no column {absent!r}, which the space {space.name!r} reads"
        left_out.append(_left(pair, NO_FEATURES, why, space))
        space = None
    empty = [s for s, r in zip(names, pair.rows, strict=True) if len(r.table) < 2]
    if empty:
        why = f"the split {empty[0]!r} has fewer than two examples that the other has not"
        left_out.append(_left(pair, "all distances", why, space))
        return
    sampled = [r.sample(settings.max_examples, settings.seed) for r in pair.rows]
    if space is not None:
        sampled = [space.readable(r) for r in sampled]
    a, b = (Side(r, None if space is None else space.features(r), contexts) for r in sampled)
    for name in settings.distances:
        distance = distance_named(name)
        of_labels = distance.takes == "labels"
        if (of_labels and not whole) or (not of_labels and space is None):
            continue
        sides = (a, b)
        if of_labels:
            most = LABELLED * settings.max_examples
            sides = tuple(Side(r.sample(most, settings.seed), None) for r in pair.rows)  # type: ignore[assignment]
        try:
            found = _measured(distance, *sides, names, space, settings)
        except ConfigurationError as error:
            # One split that a distance cannot take must not cost the others' numbers.
            left_out.append(_left(pair, name, str(error), None if of_labels else space))
            continue
        where = None if of_labels else space
        yield from shift_rows(
            _unless_shared(found, pair),
            pair.config,
            *names,
            None if where is None else where.name,
            of_space(where, settings.max_examples),
        )
    if settings.profile:
        yield from part_rows(a, b, (pair.config, *names), space, settings, whole)


def _unless_shared(found: Shift, pair: Pair) -> Shift:
    """Samples that were made disjoint are no longer draws from the two splits: no p-value."""
    if not pair.shared:
        return found
    parameters = {**found.parameters, "shared_examples": pair.shared}
    return replace(found, p_value=None, parameters=parameters)


def _absent(pair: Pair, space: FittedSpace) -> str | None:
    """A plain column that the space reads and one of the splits has not; tasks may differ."""
    read = [c for c in space.store.columns if c not in space.store.examples.content]
    return next((c for r in pair.rows for c in read if c not in r.table.column_names), None)


def _left(pair: Pair, what: str, why: str, space: FittedSpace | None) -> dict[str, Any]:
    where = {} if space is None else {"space": space.name}
    return {"config": pair.config, "source": pair.source, "target": pair.target,
            "distance": what, **where, "reason": why}  # fmt: skip


def _measured(
    distance: Distance,
    source: Side,
    target: Side,
    names: tuple[str, str],
    space: FittedSpace | None,
    settings: Measurement,
) -> Shift:
    options = settings.of(distance.name)
    if "bandwidth" in options_of(distance) and space is not None and space.bandwidth is not None:
        options.setdefault("bandwidth", space.bandwidth)
    if "labels" in distance.takes:
        source, target = source.labelled(), target.labelled()
        for side, split in zip((source, target), names, strict=True):
            if not side.clusters:
                raise ConfigurationError(f"no example of the split {split!r} has a label")
        labels = (source.labels, target.labels)
    if distance.takes == "features and labels":
        options["labels"] = labels
    if distance.takes == "features and losses":
        options["losses"] = reference_losses(source, target, names, settings.seed)
    of_labels = distance.takes == "labels"
    return measure(
        distance.name,
        *(labels if of_labels else (source.features, target.features)),
        clusters=(source.clusters, target.clusters),
        n_permutations=settings.n_permutations,
        level=settings.level,
        seed=settings.seed,
        **options,
    )
