"""Tasks and merges as a user gives them: read from a recipe, and checked before the source is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import msgspec

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.schema import unique_slugs

from .tasks import DomainGeneralization, SubpopulationShift, Unions, check_one_meaning

__all__ = ["Task", "check_planned", "check_tasks", "parse_merge", "parse_tasks"]

Task = DomainGeneralization | SubpopulationShift

_CONFIGS = (
    "images", "examples", "subsets", "membership", "shift_distances", "balance", "rejected",
)  # fmt: skip


def check_tasks(tasks: Sequence[Any]) -> None:
    """Refuse what is neither a task nor a name.

    Raises
    ------
    ConfigurationError
        With what is.
    """
    for task in tasks:
        if not isinstance(task, str | Task):
            raise ConfigurationError(
                f"tasks hold {task!r}; allowed: names of published tasks, DomainGeneralization "
                "and SubpopulationShift"
            )


def check_planned(tasks: Sequence[Task]) -> None:
    """Refuse tasks that cannot stand in one benchmark.

    Raises
    ------
    ConfigurationError
        Two tasks would be one config, a task would be a table, or a union has two meanings.
    """
    named = [t.name for t in tasks]
    twice = sorted({n for n in named if named.count(n) > 1})
    if twice:
        raise ConfigurationError(f"the task names {twice} are given twice; name them apart")
    for name, made in unique_slugs(named).items():
        if made in _CONFIGS:
            raise ConfigurationError(
                f"a task is called {name!r}, and {made!r} is a config of every benchmark; give "
                "the task another name"
            )
    known: Unions = {}
    for task in tasks:
        if isinstance(task, DomainGeneralization):
            known = check_one_meaning(task.name, [task.train, *task.test_sets.values()], known)


def parse_tasks(value: Any) -> tuple[Task | str, ...]:
    """The tasks of a recipe: names of published ones, and tables.

    Raises
    ------
    ConfigurationError
        Anything else, or a table with an option that its kind does not have.
    """
    if not isinstance(value, list | tuple):
        raise ConfigurationError(
            f"tasks is {value!r}; give a list of names, or tables [[options.tasks]]"
        )
    return tuple(v if isinstance(v, str) else _task(v) for v in value)


def parse_merge(value: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The unions of a recipe.

    Raises
    ------
    ConfigurationError
        A name without a list of contexts.
    """
    try:
        return msgspec.convert(value, dict[str, tuple[str, ...]])
    except msgspec.ValidationError as error:
        raise ConfigurationError(
            f"merge: {error}; give a list of contexts for each name, as in "
            '"cat(indoor)" = ["sofa", "bed"]'
        ) from None


def _task(value: Any) -> Task:
    kinds = {"DomainGeneralization": DomainGeneralization, "SubpopulationShift": SubpopulationShift}
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"tasks hold {value!r}; allowed: names, and tables with a kind")
    options = dict(value)
    kind = str(options.pop("kind", ""))
    if kind not in kinds:
        raise ConfigurationError(
            f"a task has the kind {kind!r}; allowed: {', '.join(kinds)}, or a preset's name"
        )
    known = [f.name for f in fields(kinds[kind])]
    for name in options:
        if name not in known:
            raise ConfigurationError(
                f"task {options.get('name')!r} has no option {name!r}; {near_names(name, known)}"
            )
    try:
        return msgspec.convert(options, kinds[kind])
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"task {options.get('name')!r}: {error}") from None
