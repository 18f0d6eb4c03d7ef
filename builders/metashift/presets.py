"""The published experiments by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from shiftbench.errors import ConfigurationError, near_names

from .tasks import DomainGeneralization, SubpopulationShift

__all__ = ["PRESETS", "preset_task"]

PRESETS: Mapping[str, tuple[str, ...]] = {
    "cat_dog_1": ("cat_dog_1",),
    "cat_dog_2": ("cat_dog_2",),
    "cat_dog_3": ("cat_dog_3",),
    "cat_dog_4": ("cat_dog_4",),
    "cat_dog_indoor_outdoor": ("cat_dog_indoor_outdoor",),
    "cat_dog": ("cat_dog_1", "cat_dog_2", "cat_dog_3", "cat_dog_4", "cat_dog_indoor_outdoor"),
}
"""Presets of the builder: the tasks each one builds, on the classes cat and dog."""


@cache
def _data() -> dict[str, Any]:
    text = files("shiftbench.metadata").joinpath("metashift_presets.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def preset_task(name: str, *, fit: bool = False) -> DomainGeneralization | SubpopulationShift:
    """A published task.

    Parameters
    ----------
    name : str
        ``cat_dog_1`` to ``cat_dog_4`` (domain generalization, the dog's training contexts further
        and further from its test contexts), or ``cat_dog_indoor_outdoor`` (subpopulation shift).
    fit : bool
        Passed to the task.

    Examples
    --------
    >>> preset_task("cat_dog_3").train["dog(bench)"]
    ('bench', 'trash can')
    """
    domain = _data()["domain_generalization"]
    subpopulation = _data()["subpopulation_shift"]
    if name in domain["dog_train"]:
        return DomainGeneralization(
            name=name,
            train=_tuples({**domain["cat_train"], **domain["dog_train"][name]}),
            test={k: _tuples(v) for k, v in domain["test"].items()},
            further_test={k: _tuples(v) for k, v in domain["further_test"].items()},
            ood_validation=_tuples(domain["ood_validation"]),
            fit=fit,
        )
    if name in subpopulation:
        return SubpopulationShift(
            name=name,
            majority=_tuples(subpopulation[name]["majority"]),
            minority=_tuples(subpopulation[name]["minority"]),
            fit=fit,
        )
    known = [*domain["dog_train"], *subpopulation]
    raise ConfigurationError(f"no task preset is called {name!r}; {near_names(name, known)}")


def _tuples(unions: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(contexts) for name, contexts in unions.items()}
