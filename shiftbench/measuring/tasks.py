"""How far each split of a task is from its training split, and of which kind that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shiftbench.distances.kinds import profile
from shiftbench.distances.measured import distance_named, measure, options_of
from shiftbench.distances.shift import Distance, Shift
from shiftbench.errors import ConfigurationError, near_names
from shiftbench.measuring.examples import Examples, Rows
from shiftbench.measuring.losses import reference_losses
from shiftbench.measuring.reference import FittedSpace
from shiftbench.measuring.rows import estimate_row, shift_rows
from shiftbench.measuring.settings import Measurement

__all__ = ["Pair", "measure_pair", "pairs_of"]


@dataclass(frozen=True)
class Pair:
    """Two splits of a task, without the examples that both have.

    Attributes
    ----------
    config, source, target : str
    rows : (Rows, Rows)
        Of the source and of the target.
    shared : int
        Examples that were in both.
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
        train = next((n for n, s in splits.items() if s.role == "train"), next(iter(splits), None))
        if train is None:
            continue
        for source in settings.sources or (train,):
            for target in splits:
                if target == source or (target in settings.sources and target < source):
                    continue
                yield _pair(examples, config, source, target)


def _pair(examples: Examples, config: str, source: str, target: str) -> Pair:
    a, b = examples.split(config, source), examples.split(config, target)
    own = [r.table["example_id"].combine_chunks() for r in (a, b)]
    in_b, in_a = pc.is_in(own[0], own[1]), pc.is_in(own[1], own[0])
    shared = int(pc.sum(in_b).as_py() or 0)
    if shared:
        a, b = (r.take(np.flatnonzero(~np.asarray(m))) for r, m in ((a, in_b), (b, in_a)))
    return Pair(config, source, target, (a, b), shared)


def measure_pair(
    pair: Pair,
    space: FittedSpace,
    settings: Measurement,
    *,
    whole: bool,
    left_out: list[dict[str, Any]],
) -> Iterator[dict[str, Any]]:
    """Lines of `shift_distances` for two splits in one space.

    Parameters
    ----------
    whole : bool
        Also what does not depend on the space.
    left_out : list
        Gets what could not be measured, and why.
    """
    sampled = tuple(r.sample(settings.max_examples, settings.seed) for r in pair.rows)
    empty = [
        s for s, r in zip((pair.source, pair.target), pair.rows, strict=True) if len(r.table) < 2
    ]
    if empty:
        left_out.append(_left(pair, "all distances", f"the split {empty[0]!r} has fewer than two "
                              "examples that the other has not"))  # fmt: skip
        return
    features = (space.features(sampled[0]), space.features(sampled[1]))
    for name in settings.distances:
        distance = distance_named(name)
        if distance.takes == "labels" and not whole:
            continue
        try:
            found = _measured(distance, pair, sampled, features, space, settings)
        except ConfigurationError as error:
            # One split that a distance cannot take must not cost the others' numbers.
            left_out.append(_left(pair, name, str(error)))
            continue
        if pair.shared:
            told = {**found.parameters, "shared_examples": pair.shared}
            found = replace(found, p_value=None, parameters=told)
        where = None if distance.takes == "labels" else space.name
        more = {} if where is None else _of_space(space, settings)
        yield from shift_rows(found, pair.config, pair.source, pair.target, where, more)
    if settings.profile:
        yield from _profile_rows(pair, sampled, features, space, settings, whole)


def _of_space(space: FittedSpace, settings: Measurement) -> dict[str, Any]:
    return {
        "space_fingerprint": space.fitted.fingerprint[:16],
        "max_examples": settings.max_examples,
    }


def _left(pair: Pair, what: str, why: str) -> dict[str, Any]:
    return {"config": pair.config, "source": pair.source, "target": pair.target,
            "distance": what, "reason": why}  # fmt: skip


def _measured(
    distance: Distance,
    pair: Pair,
    sampled: tuple[Rows, ...],
    features: tuple[Any, ...],
    space: FittedSpace,
    settings: Measurement,
) -> Shift:
    options = settings.of(distance.name)
    if "bandwidth" in options_of(distance) and space.bandwidth is not None:
        options.setdefault("bandwidth", space.bandwidth)
    common = {
        "n_permutations": settings.n_permutations,
        "level": settings.level,
        "seed": settings.seed,
        **options,
    }
    if distance.takes == "features":
        return measure(distance.name, *features, clusters=_clusters(sampled), **common)
    if distance.takes == "features and losses":
        return measure(
            distance.name,
            *features,
            clusters=_clusters(sampled),
            losses=reference_losses(pair, sampled, features, settings.seed),
            **common,
        )
    rows = pair.rows if distance.takes == "labels" else sampled
    known = tuple(_labelled(r) for r in rows)
    labels = tuple(_label(r.take(k)) for r, k in zip(rows, known, strict=True))
    clusters = _clusters(tuple(r.take(k) for r, k in zip(rows, known, strict=True)))
    if distance.takes == "labels":
        return measure(distance.name, *labels, clusters=clusters, **common)
    some = tuple(f[k] for f, k in zip(features, known, strict=True))
    return measure(distance.name, *some, clusters=clusters, labels=labels, **common)


def _clusters(rows: tuple[Rows, ...]) -> Any:
    return tuple(r.table["cluster_id"].to_pylist() for r in rows)


def _labelled(rows: Rows) -> Any:
    """Which examples have a label."""
    if "label" not in rows.table.column_names:
        raise ConfigurationError("the task has no column 'label'")
    column = rows.table["label"]
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        raise ConfigurationError(
            "its labels are lists (several findings an example), and this distance compares one "
            "label an example; the table `balance` compares each finding"
        )
    if pa.types.is_floating(column.type):
        raise ConfigurationError(
            "its labels are real numbers, and this distance compares classes; the table `balance` "
            "compares their means"
        )
    return np.flatnonzero(np.asarray(column.is_valid()))


def _label(rows: Rows) -> list[str]:
    return [str(v) for v in rows.table["label"].to_pylist()]


def _profile_rows(
    pair: Pair,
    sampled: tuple[Rows, ...],
    features: tuple[Any, ...],
    space: FittedSpace,
    settings: Measurement,
    whole: bool,
) -> Iterator[dict[str, Any]]:
    labels = groups = None
    try:
        known = tuple(_labelled(r) for r in sampled)
        labels = tuple(_label(r.take(k)) for r, k in zip(sampled, known, strict=True))
    except ConfigurationError:
        known = tuple(np.arange(len(r.table)) for r in sampled)
    rows = tuple(r.take(k) for r, k in zip(sampled, known, strict=True))
    if all("subset" in r.table.column_names for r in rows):
        groups = tuple([_group(v) for v in r.table["subset"].to_pylist()] for r in rows)
    found = profile(
        *(f[k] for f, k in zip(features, known, strict=True)),
        labels=labels,
        groups=groups,
        clusters=_clusters(rows),
        level=settings.level,
        seed=settings.seed,
    )
    shared: Mapping[str, Any] = {
        "config": pair.config,
        "source": pair.source,
        "target": pair.target,
        "n_source": len(rows[0].table),
        "n_target": len(rows[1].table),
        "n_clusters_source": len(set(_clusters(rows)[0])),
        "n_clusters_target": len(set(_clusters(rows)[1])),
        "seed": settings.seed,
    }
    for part, kind, of_space in (
        ("subpopulation", "subpopulation", False),
        ("covariate", "covariate", True),
        ("concept", "concept", True),
        ("label", "label", False),
        ("covariate_marginal", "covariate", True),
    ):
        estimate = getattr(found, part)
        if estimate is None or not (whole or of_space):
            continue
        more = _of_space(space, settings) if of_space else {}
        where = {"kind": kind, "space": space.name if of_space else None}
        yield estimate_row(estimate, f"information_{part}", {**shared, **where}, more)


def _group(names: Any) -> str:
    return " + ".join(names) if isinstance(names, list) else str(names)
