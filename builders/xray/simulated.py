"""Configs whose shift is a stated change of the acquisition, on patients kept aside for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from shiftbench.errors import ConfigurationError
from shiftbench.statistics import priorities
from shiftbench.transforms.step import Step, acquisition_named, parse_step, severities

from ._columns import Rows
from .decoders import is_exact

__all__ = ["UNCHANGED", "Halved", "halved", "makeable", "parse_steps"]


UNCHANGED = "ood_test_unchanged"
"""The split of the radiographs that are changed, as they are: from here on a change is told alone,
without the difference between patients."""


@dataclass(frozen=True, eq=False)
class Halved:
    """The test patients of a device: those that stay as they are, and those that are changed."""

    unchanged: Rows
    changed: Rows


def parse_steps(texts: Sequence[str]) -> tuple[Step, ...]:
    """The steps that are asked for; a name alone stands for its five severities.

    Raises
    ------
    ConfigurationError
        An unknown name, a value that is not allowed, or a step given twice.

    Examples
    --------
    >>> [str(step) for step in parse_steps(("dose", "gamma=0.8"))]
    ['dose=1', 'dose=2', 'dose=3', 'dose=4', 'dose=5', 'gamma=0.8']
    """
    steps: list[Step] = []
    for text in texts:
        steps += [parse_step(text)] if "=" in text else severities(text)
    twice = sorted({str(s) for s in steps if steps.count(s) > 1})
    if twice:
        raise ConfigurationError(f"acquisition names {', '.join(twice)} twice; leave one out")
    for step in steps:
        if step.value == acquisition_named(step.name).identity:
            raise ConfigurationError(f"acquisition has {step}, which changes nothing; leave it out")
    return tuple(steps)


def makeable(texts: Sequence[str], source: Any) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """The steps as `parse_steps` reads them, and what is to be said of those left out.

    A source that makes changes exactly may not reach every severity: 50 kV more than 125 kV is
    beyond any tube. Of a name alone those stand that it can make; one asked for by its value is
    refused.

    Raises
    ------
    ConfigurationError
        See `parse_steps`; or a step that is asked for, or every severity of a name, cannot be made.

    Examples
    --------
    >>> from shiftbench.sources import Phantoms
    >>> steps, said = makeable(("kvp",), Phantoms(devices=("csi_panel",)))
    >>> [str(step) for step in steps], said[0].partition(",")[0]
    (['kvp=10', 'kvp=20'], 'kvp=30')
    """
    steps = parse_steps(texts)
    by_value = {str(parse_step(text)) for text in texts if "=" in text}
    refused: dict[Step, ConfigurationError] = {}
    for step in [s for s in steps if is_exact(source, s.name)]:
        try:
            source.decoder({step.name: step.value})
        except ConfigurationError as error:
            refused[step] = error
    made = tuple(s for s in steps if s not in refused)
    for step, why in refused.items():
        if str(step) in by_value or all(s.name != step.name for s in made):
            raise why
    said = tuple(
        f"{', '.join(str(s) for s in refused if s.name == name)}, of the frozen severities, cannot "
        f"be made here and are left out ({next(e for s, e in refused.items() if s.name == name)})"
        for name in dict.fromkeys(s.name for s in refused)
    )
    return made, said


def halved(radiographs: pa.Table, id_test: Rows, seed: int) -> Halved:
    """Half of the test patients, drawn by the seed, to be shown changed; the others as they are.

    So no patient of `id_test` is in an OOD split. All changes are shown on the same radiographs:
    between two of them nothing differs but the change.

    Raises
    ------
    ConfigurationError
        There is one patient only.

    Examples
    --------
    >>> table = pa.table({"cluster_id": ["a", "a", "b", "c", "d"]})
    >>> parts = halved(table, np.arange(5), seed=0)
    >>> len(parts.unchanged) + len(parts.changed)
    5
    """
    patients = radiographs["cluster_id"].take(pa.array(id_test)).to_pylist()
    names = sorted(set(patients))
    if len(names) < 2:
        raise ConfigurationError(
            "the test of this device has one patient only, and a simulated change needs some to "
            "change and others to stay as they are; raise --test or name another device"
        )
    order = np.argsort(priorities(seed, "xray changed patients", names), kind="stable")
    chosen = {names[i] for i in order[: len(names) // 2]}
    inside = np.array([p in chosen for p in patients])
    return Halved(id_test[~inside], id_test[inside])
