"""The examples by environment and class, those that cannot be used left out and counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.schema import Metadata

from ..shared.categories import Categories, categories, column_named
from ..shared.labelled import CONTEXT, Labelled, labelled
from .designs import check_known

__all__ = ["ONE", "Prepared", "Wanted", "prepare"]

Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]

ONE = "all"
"""The one environment of a source in which none are told apart."""


@dataclass(frozen=True)
class Wanted:
    """Which environments and classes are asked for; see `Environments`."""

    environment: str
    environments: tuple[str, ...] = ()
    label: str = ""
    named: tuple[str, ...] = ()
    near: tuple[str, ...] = ()
    far: tuple[str, ...] = ()
    held_out_classes: tuple[str, ...] = ()
    common_classes: bool = False
    local_labels: bool = False
    min_clusters: int = 10


@dataclass(frozen=True, eq=False)
class Prepared:
    """Examples that each have one environment, which is that of their whole cluster.

    Attributes
    ----------
    found : Labelled
        Without the column of the environment, which comes back in the splits.
    environment : Categories
    classes : tuple of str
        Those that can be trained on.
    label : (n,) int64 array
        Place in `classes`; −1 for any other, and for all of `near` and `far`.
    novel : (n,) bool array
        Examples of the classes that are kept out.
    units : dict
        Clusters of each environment but `near` and `far`.
    missing : dict
        Classes that an environment has no example of.
    counts : dict
        What was left out, for `Plan.counts`.
    words, warnings : tuple of str
    """

    found: Labelled
    environment: Categories
    classes: tuple[str, ...]
    label: Codes
    novel: Flags
    units: dict[str, int]
    missing: dict[str, list[str]]
    counts: dict[str, int]
    words: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def several(self) -> bool:
        """Whether environments are told apart."""
        return self.environment.names != (ONE,)

    def rows(self, name: str) -> Codes:
        """Of one environment."""
        return np.flatnonzero(self.environment.codes == self.environment.names.index(name))


def prepare(metadata: Metadata, wanted: Wanted, excluded: frozenset[str]) -> Prepared:
    """See `Prepared`.

    Raises
    ------
    ConfigurationError
        A column that is not there or does not vary, environments too small or unknown, classes in
        training and in `near` or `far`, or fewer than two classes to train on.
    """
    semantic = (*wanted.near, *wanted.far)
    metadata, shared = _without_labels_of(metadata, wanted, semantic)
    found = labelled(metadata, wanted.label, excluded=excluded)
    environment = _environments(found, wanted)
    inside = environment.codes >= 0
    across = _across(found.cluster, environment.codes)
    counts = {
        **found.counts,
        "examples_without_an_environment": int((~inside).sum()),
        "examples_of_clusters_in_several_environments": int((inside & across).sum()),
    }
    if (inside & across).sum() == inside.sum():
        raise ConfigurationError(
            f"every cluster is in several environments of {wanted.environment!r}, so none can be "
            "held out whole; give the source another rule for its clusters, or another environment"
        )
    usable = inside & ~across
    sizes = _sizes(found, environment, usable)
    small = [n for n, k in sizes.items() if k < wanted.min_clusters]
    check_known(wanted.named, environment.names, "held_out or train_environments")
    check_known(semantic, environment.names, "near or far")
    for name in (*wanted.named, *semantic):
        if name in small:
            raise ConfigurationError(
                f"the environment {name!r} has {sizes[name]} clusters of its own, fewer than "
                f"min_clusters={wanted.min_clusters}; lower --min-clusters, or leave it out"
            )
    gone = np.isin(environment.codes, [environment.names.index(n) for n in small])
    counts["examples_of_small_environments"] = int((usable & gone).sum())
    kept = np.flatnonzero(usable & ~gone)
    words = [f"left out, with fewer than {wanted.min_clusters} clusters: {n}" for n in small]
    found, environment = found.take(kept), environment.take(kept)
    units = {n: k for n, k in sizes.items() if n not in (*small, *semantic)}
    if not units:
        raise ConfigurationError(
            "no environment is left to train on: all are near, far or have fewer than "
            f"{wanted.min_clusters} clusters ({', '.join(map(repr, small)) or 'none'})"
        )
    classes, label, novel, missing = _classes(found, environment, units, wanted)
    other = np.isin(environment.codes, [environment.names.index(n) for n in units])
    counts["examples_of_classes_not_used"] = int((other & (label < 0) & ~novel).sum())
    for name, k in shared.items():
        words.append(
            f"{k} class names of {name} occur in training too; as local_labels says, they are "
            "other classes"
        )
    return Prepared(
        _without_column(found, wanted.environment),
        environment,
        classes,
        label,
        novel,
        units,
        missing,
        counts,
        tuple(words),
        _one_class(label, environment, units, classes),
    )


def _without_labels_of(
    metadata: Metadata, wanted: Wanted, semantic: Sequence[str]
) -> tuple[Metadata, dict[str, int]]:
    """Near and far examples keep no label of theirs, and need none; how many names collide.

    They are given some label of training for as long as examples are sorted out by it.
    """
    column = wanted.label or "label"
    examples = metadata.examples
    there = examples.column_names
    if not semantic or column not in there or wanted.environment not in there:
        return metadata, {}
    environment = categories(examples, wanted.environment, "environment")
    check_known(semantic, environment.names, "near or far")
    codes = categories(examples, column, "label")
    apart = np.isin(environment.codes, [environment.names.index(n) for n in semantic])
    of_training = ~apart & (environment.codes >= 0) & (codes.codes >= 0)
    if wanted.environments:
        taken = [environment.code(n, "environments") for n in wanted.environments]
        of_training &= np.isin(environment.codes, taken)
    trained = set(np.unique(codes.codes[of_training]).tolist())
    trained -= {codes.names.index(c) for c in wanted.held_out_classes if c in codes.names}
    shared: dict[str, int] = {}
    for name in semantic:
        mine = np.unique(codes.codes[environment.codes == environment.names.index(name)])
        both = [codes.names[c] for c in mine.tolist() if c in trained]
        if both and not wanted.local_labels:
            told = ", ".join(map(repr, both[:8])) + (" …" if len(both) > 8 else "")
            raise ConfigurationError(
                f"the environment {name!r} shares the classes {told} with those trained on, so it "
                "is not OOD by meaning; hold it out instead, or say --local-labels if equal names "
                "are other classes there"
            )
        if both:
            shared[name] = len(both)
    if not of_training.any():
        return metadata, shared
    values = column_named(examples, column, "label")
    stand_in = values[int(np.flatnonzero(of_training)[0])]
    made = pc.if_else(pa.array(apart), stand_in, values)
    at = examples.column_names.index(column)
    return replace(metadata, examples=examples.set_column(at, column, made)), shared


def _environments(found: Labelled, wanted: Wanted) -> Categories:
    if not wanted.environment:
        return Categories(np.zeros(len(found), np.int64), (ONE,))
    if wanted.environments:
        values = tuple(dict.fromkeys((*wanted.environments, *wanted.near, *wanted.far)))
    else:
        values = ()
    return found.categories(wanted.environment, "environment", values)


def _across(cluster: Codes, environment: Codes) -> Flags:
    """Whether the cluster of each example is in several environments."""
    inside = environment >= 0
    n = int(cluster.max(initial=-1)) + 1
    low = np.full(n, np.iinfo(np.int64).max)
    high = np.full(n, -1)
    np.minimum.at(low, cluster[inside], environment[inside])
    np.maximum.at(high, cluster[inside], environment[inside])
    return np.asarray((low < high)[cluster])


def _sizes(found: Labelled, environment: Categories, usable: Flags) -> dict[str, int]:
    """Clusters of each environment."""
    n = int(found.cluster.max(initial=0)) + 1
    pairs = np.unique(environment.codes[usable] * n + found.cluster[usable])
    k = np.bincount(pairs // n, minlength=len(environment.names))
    return dict(zip(environment.names, k.tolist(), strict=True))


def _classes(
    found: Labelled, environment: Categories, units: Mapping[str, int], wanted: Wanted
) -> tuple[tuple[str, ...], Codes, Flags, dict[str, list[str]]]:
    """Classes to train on, their codes, examples of those kept out, and who lacks which."""
    ordinary = np.isin(environment.codes, [environment.names.index(n) for n in units])
    names = found.label.names
    table = np.zeros((len(environment.names), len(names)), np.int64)
    np.add.at(table, (environment.codes[ordinary], found.label.codes[ordinary]), 1)
    table = table[[environment.names.index(n) for n in units]]
    there = [n for n, k in zip(names, table.sum(axis=0).tolist(), strict=True) if k]
    for name in wanted.held_out_classes:
        if name not in there:
            raise ConfigurationError(
                f"held_out_classes names {name!r}, which no environment to train on has; "
                f"{near_names(name, there)}"
            )
    everywhere = np.all(table > 0, axis=0).tolist()
    classes = tuple(
        n
        for n in there
        if n not in wanted.held_out_classes
        and (not wanted.common_classes or everywhere[names.index(n)])
    )
    if len(classes) < 2:
        only = "only the class " + repr(classes[0]) if classes else "no class"
        why = "that every environment has" if wanted.common_classes else "to train on"
        raise ConfigurationError(
            f"there is {only} {why}; at least two are needed. Classes: {', '.join(there[:10])}; "
            f"kept out: {', '.join(wanted.held_out_classes) or 'none'}"
        )
    place = np.array([classes.index(n) if n in classes else -1 for n in names], np.int64)
    label = np.where(ordinary, place[found.label.codes], -1)
    kept_out = [names.index(n) for n in wanted.held_out_classes]
    novel = ordinary & np.isin(found.label.codes, kept_out)
    missing = {
        env: lacking
        for env, row in zip(units, table, strict=True)
        if (lacking := [c for c in classes if not row[names.index(c)]])
    }
    return classes, label, novel, missing


def _one_class(
    label: Codes, environment: Categories, units: Mapping[str, int], classes: Sequence[str]
) -> tuple[str, ...]:
    said = []
    for name in units:
        mine = label[(environment.codes == environment.names.index(name)) & (label >= 0)]
        if len(np.unique(mine)) < 2:
            has = repr(classes[int(mine[0])]) if len(mine) else "no class that is trained on"
            said.append(f"the environment {name!r} has {has} only")
    return tuple(said)


def _without_column(found: Labelled, column: str) -> Labelled:
    there = found.examples.column_names
    if not column or (column == CONTEXT and column not in there):
        return found
    metadata = replace(
        found.metadata,
        examples=found.examples.drop_columns([column]),
        columns=tuple(c for c in found.metadata.columns if c != column),
    )
    return replace(found, metadata=metadata)
