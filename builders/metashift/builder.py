"""MetaShift: class(context) subsets of annotated images, their meta-graph, and tasks on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib.resources import files
from typing import Any, ClassVar, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shiftbench.distances.membership import measure
from shiftbench.distances.metagraph import subset_communities
from shiftbench.distances.overlaps import Subsets
from shiftbench.errors import ConfigurationError, near_names
from shiftbench.plan import ConfigPlan, Plan
from shiftbench.schema import ClassLabel, Metadata, Source

from .domain_generalization import plan_domain_generalization
from .index import Index, Rows, index_contexts
from .presets import PRESETS, preset_task
from .settings import Task, check_planned, check_tasks, parse_merge, parse_tasks
from .subpopulation import plan_subpopulation_shift
from .tables import (
    Made,
    Union,
    community_unions,
    images_config,
    membership_table,
    subset_table,
)
from .task_distances import task_distances, task_graphs
from .tasks import DomainGeneralization, check_unions, split_name
from .unions import ambiguous, resolve

__all__ = ["MetaShift", "Task"]

_KINDS = {"objects": "object", "attributes": "attribute", "general": "general"}


@dataclass(frozen=True)
class MetaShift:
    """Benchmarks in the manner of MetaShift (Liang and Zou, ICLR 2022, arXiv 2202.06523).

    Parameters
    ----------
    source : Source
        Where images and annotations come from.
    classes : tuple of str, optional
        Classes to take; by default every class with enough subsets.
    min_size : int
        Subsets of fewer images are left out.
    min_subsets : int
        A class keeps its subsets where at least this many have `min_size` images.
    contexts : tuple of str
        Kinds of context, any of objects, attributes, general (location, weather, room, place).
    exclude : bool
        Leave out, everywhere, images that hold two or more of the classes. Tasks always do.
    merge : mapping or str, optional
        Unions of subsets to add, ``{"cat(indoor)": ["sofa", "bed"]}``, or "communities" for one
        union a community of the meta-graph.
    edge_threshold : float
        Overlap coefficients below it are no edge of the meta-graph.
    tasks : tuple
        Tasks, or names of published ones: cat_dog_1 … cat_dog_4, cat_dog_indoor_outdoor.
    max_pairs : int
        The most pairs of subsets whose distances are stored; what is left out is said.
    fit : bool
        For tasks given by name: take the largest feasible size, and go on without contexts that
        hold no image.

    Examples
    --------
    >>> from shiftbench.sources import Scenes
    >>> builder = MetaShift(Scenes(n_scenes=300), classes=("cat", "dog"), min_size=5)
    >>> plan = builder.plan(builder.source.scan(), seed=0)
    >>> [config.name for config in plan.configs]
    ['images']
    """

    source: Source
    classes: tuple[str, ...] | None = None
    min_size: int = 25
    min_subsets: int = 6
    contexts: tuple[Literal["objects", "attributes", "general"], ...] = (
        "objects",
        "attributes",
        "general",
    )
    exclude: bool = False
    merge: Mapping[str, tuple[str, ...]] | str | None = field(
        default=None, metadata={"flat": str | None}
    )
    edge_threshold: float = 0.2
    tasks: tuple[Task | str, ...] = field(default=(), metadata={"flat": tuple[str, ...]})
    max_pairs: int = 250_000
    fit: bool = False

    name: ClassVar[str] = "metashift"
    version: ClassVar[str] = "1"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        name: {"classes": ("cat", "dog"), "tasks": tasks} for name, tasks in PRESETS.items()
    }

    def __post_init__(self) -> None:
        for name in ("classes", "contexts", "tasks"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise ConfigurationError(f"{name} is the string {value!r}; give a list of names")
            if value is not None:
                # A name given twice says nothing more; a task given twice is told below.
                given = tuple(value) if name == "tasks" else tuple(dict.fromkeys(value))
                object.__setattr__(self, name, given)
        if self.classes is not None and not all(isinstance(c, str) for c in (*self.classes, "")):
            raise ConfigurationError(f"classes are {list(self.classes)}; give their names as text")
        if self.classes == ():
            raise ConfigurationError("classes is empty; name some, or leave it out to take all")
        if self.min_size < 1 or self.min_subsets < 1:
            raise ConfigurationError(
                f"min_size is {self.min_size} and min_subsets {self.min_subsets}; allowed: 1 and "
                "above"
            )
        strange = [c for c in self.contexts if c not in _KINDS]
        if strange or not self.contexts:
            raise ConfigurationError(
                f"contexts {strange or 'are empty'}; allowed: one or more of {', '.join(_KINDS)}"
            )
        if isinstance(self.merge, Mapping) and self.merge:
            check_unions("merge", self.merge)
        elif self.merge not in (None, "communities", {}):
            raise ConfigurationError(
                f"merge is {self.merge!r}; allowed: 'communities', or a mapping from a name such "
                "as 'cat(indoor)' to contexts (in a recipe: a table [options.merge])"
            )
        check_tasks(self.tasks)
        check_planned(self.tasks_planned)

    @property
    def tasks_planned(self) -> tuple[Task, ...]:
        """The tasks, published ones looked up."""
        return tuple(preset_task(t, fit=self.fit) if isinstance(t, str) else t for t in self.tasks)

    @classmethod
    def parse(cls, field_name: str, value: Any) -> Any:
        """A nested option as a recipe has it; called for options that are not flat."""
        if field_name == "tasks":
            return parse_tasks(value)
        if field_name == "merge" and isinstance(value, Mapping):
            return parse_merge(value)
        return value

    def plan(self, metadata: Metadata, seed: int, excluded: frozenset[str] = frozenset()) -> Plan:
        """Subsets, membership and tasks; see `Plan`."""
        if "label" in metadata.examples.column_names:  # the contexts name the class already
            metadata = replace(metadata, examples=metadata.examples.drop_columns("label"))
        found = self._find(metadata, excluded)
        unions = self._unions(found)
        kept = found.kept
        _distinct(kept.names)
        community = subset_communities(_subsets(kept), self.edge_threshold)
        if self.merge == "communities":
            unions = community_unions(kept, community)
        subsets = subset_table(kept, community, unions)
        member_names = [*kept.names, *unions]
        _distinct(member_names)
        member_rows = [kept.rows(i) for i in range(len(kept.names))]
        member_rows += [u.rows for u in unions.values()]
        membership = membership_table(member_names, member_rows, metadata)
        tasks = tuple(self._task_plan(t, found.all, metadata, seed) for t in self.tasks_planned)
        images = images_config(
            member_names,
            [*kept.subjects, *(u.subject for u in unions.values())],
            member_rows,
            tasks,
            self._names(found, unions, tasks),
            metadata,
        )
        return Plan(
            builder=self.name,
            version=self.version,
            recipe=self.recipe(),
            seed=seed,
            metadata=metadata,
            configs=(*tasks, images),
            tables={"subsets": subsets, "membership": membership},
            excluded=excluded,
            counts=found.counts,
        )

    def reader(self, seed: int) -> Callable[[str], Mapping[str, Any]]:
        """From a locator to the content columns: images as the source has them."""
        return self.source.reader()

    def recipe(self) -> dict[str, Any]:
        """The configuration without the source, as plain values; inverse of `parse`."""
        options = {
            f.name: msgspec.to_builtins(getattr(self, f.name))
            for f in fields(self)
            if f.name not in ("source", "tasks")
        }
        options["tasks"] = [
            t if isinstance(t, str) else {"kind": type(t).__name__, **msgspec.to_builtins(t)}
            for t in self.tasks
        ]
        return {k: v for k, v in options.items() if v is not None}

    def measure(self, plan: Plan) -> tuple[pa.Table, dict[str, Any]]:
        """Distances by membership, of the subsets of each class and of each task's unions."""
        found = self._find(plan.metadata, plan.excluded)
        table, left_out = measure(
            _subsets(found.kept), edge_threshold=self.edge_threshold, max_pairs=self.max_pairs
        )
        tasks = [t for t in self.tasks_planned if isinstance(t, DomainGeneralization)]
        parts = [table]
        graphs = task_graphs(tasks, found.all)
        for task in tasks:
            parts.append(task_distances(task, graphs, self.edge_threshold))
        return pa.concat_tables(parts), left_out

    def card(self) -> str:
        """What the card says of every benchmark of this family."""
        return files("shiftbench.builders.metashift").joinpath("card.md").read_text("utf-8")

    def _names(self, found: _Found, unions: Made, tasks: tuple[ConfigPlan, ...]) -> tuple[str, ...]:
        names = {*found.kept.subjects, *(u.subject for u in unions.values())}
        for task in tasks:
            label = task.features["label"]
            names |= set(label.names if isinstance(label, ClassLabel) else ())
        return tuple(sorted(names))

    def _find(self, metadata: Metadata, excluded: frozenset[str]) -> _Found:
        kinds = [_KINDS[c] for c in self.contexts]
        gone = _rows_of(metadata, excluded)
        everything = index_contexts(metadata, kinds=kinds, without=gone)
        counts: dict[str, int] = {}
        if self.exclude:
            both = ambiguous(everything, self.classes or tuple(everything.by_subject))
            counts["images_with_two_classes"] = len(both)
            everything = index_contexts(metadata, kinds=kinds, without=np.union1d(gone, both))
        return _Found(everything, self._select(everything, counts, len(gone)), counts)

    def _select(self, index: Index, counts: dict[str, int], n_gone: int) -> Index:
        """Subsets that are large enough, of classes that have enough of them."""
        if not len(index.names):
            raise ConfigurationError(
                "the source has no class in any context"
                + (", once images that hold two of the classes are left out" * self.exclude)
                + f" (contexts taken: {', '.join(self.contexts)}); name other contexts or classes"
            )
        for name in self.classes or ():
            if name not in index.by_subject:
                raise ConfigurationError(
                    f"the source has no class {name!r} with a context; "
                    f"{near_names(name, index.by_subject)}"
                )
        wanted = self.classes or tuple(sorted(index.by_subject))
        large = index.sizes >= self.min_size
        kept: list[int] = []
        poor: dict[str, int] = {}
        for name in wanted:
            mine = [i for i in index.by_subject[name] if large[i]]
            if len(mine) >= self.min_subsets:
                kept.extend(mine)
            else:
                poor[name] = len(mine)
        if poor and (self.classes or not kept):
            raise self._too_small(index, poor, n_gone)
        counts["classes_without_enough_subsets"] = len(poor)
        counts["subsets_below_min_size"] = int(
            sum((~large[index.by_subject[name]]).sum() for name in wanted)
        )
        return index.keep(sorted(kept, key=index.names.__getitem__))

    def _too_small(self, index: Index, poor: Mapping[str, int], n_gone: int) -> ConfigurationError:
        lines = []
        largest = {
            name: max(index.by_subject[name], key=lambda i: (index.sizes[i], index.names[i]))
            for name in poor
        }
        for name in sorted(poor, key=lambda n: (-index.sizes[largest[n]], n))[:5]:
            mine, best = index.by_subject[name], largest[name]
            lines.append(
                f"{name!r} has {poor[name]} of {len(mine)} subsets that large (its largest is "
                f"{index.names[best]!r} with {index.sizes[best]} images)"
            )
        return ConfigurationError(
            f"{len(poor)} classes do not reach min_subsets={self.min_subsets} subsets of "
            f"min_size={self.min_size} images: {'; '.join(lines)}"
            f"{'; …' if len(poor) > 5 else ''}; lower --min-size or --min-subsets"
            + f"; {n_gone} images do not count, since their content cannot be used"
            * bool(n_gone)
        )

    def _unions(self, found: _Found) -> Made:
        if not isinstance(self.merge, Mapping):
            return {}
        index = found.all
        resolved = resolve(self.merge, index, "merge", fit=self.fit)
        pairs = set(zip(found.kept.subjects, found.kept.contexts, strict=True))
        taken = sorted(n for n in self.merge if split_name(n) in pairs)
        if taken:
            raise ConfigurationError(
                f"merge names {taken}, which are subsets already; give the unions other names"
            )
        made: Made = {}
        for name, rows in sorted(resolved.rows.items()):
            subject, context = split_name(name)
            numbers = [i for c in self.merge[name] for i in index.pair(subject, c)]
            parts = tuple((index.contexts[i], index.kinds[i]) for i in numbers)
            if parts:
                made[name] = Union(subject, context, parts, rows)
        found.counts["unions_without_image"] = len(resolved.rows) - len(made)
        return made

    def _task_plan(self, task: Task, index: Index, metadata: Metadata, seed: int) -> ConfigPlan:
        if isinstance(task, DomainGeneralization):
            return plan_domain_generalization(task, index, metadata, seed)
        return plan_subpopulation_shift(task, index, metadata, seed)


@dataclass(frozen=True)
class _Found:
    all: Index
    kept: Index
    counts: dict[str, int]


def _distinct(names: Sequence[str]) -> None:
    twice = sorted(name for name, n in Counter(names).items() if n > 1)
    if twice:
        raise ConfigurationError(
            f"{len(twice)} names stand for two subsets each, such as {twice[0]!r}; rename a class "
            "or a context in the source"
        )


def _rows_of(metadata: Metadata, ids: frozenset[str]) -> Rows:
    if not ids:
        return np.empty(0, np.int64)
    found = pc.is_in(metadata.examples["example_id"], pa.array(sorted(ids), pa.string()))
    return np.flatnonzero(found)


def _subsets(index: Index) -> Subsets:
    return Subsets(
        names=index.names,
        classes=index.subjects,
        indptr=index.indptr,
        indices=index.indices.astype(np.int32),
        n_examples=index.n_examples,
    )
