"""Which corruptions are tested, and which are kept for validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shiftbench.errors import ConfigurationError
from shiftbench.transforms.corruption import (
    FAMILIES,
    CorruptionStep,
    corruption_named,
    corruptions_named,
)

__all__ = ["AUTO", "NONE", "Chosen", "choose"]

AUTO, NONE = "auto", "none"


@dataclass(frozen=True)
class Chosen:
    """The steps of a benchmark.

    Attributes
    ----------
    tested : tuple of CorruptionStep
        One split each.
    validation : tuple of CorruptionStep
        Together one split; empty: there is none.
    shared : tuple of str
        Families that are on both sides.
    """

    tested: tuple[CorruptionStep, ...]
    validation: tuple[CorruptionStep, ...]
    shared: tuple[str, ...]


def choose(corruptions: Sequence[str], ood_validation: Sequence[str]) -> Chosen:
    """Read the two options.

    "auto" takes the first family that no test is of, the most harmless first; "none" no corruption.

    Raises
    ------
    ConfigurationError
        Nothing to test, an unknown name, a step that changes nothing, or a corruption on both
        sides.

    Examples
    --------
    >>> found = choose(("fog", "jpeg:40"), ("auto",))
    >>> len(found.tested), sorted({s.name for s in found.validation}), found.shared
    (6, ['rotate', 'scale', 'shear', 'translate'], ())
    """
    tested = corruptions_named(corruptions)
    if not tested:
        raise ConfigurationError(
            "no corruption is asked for; name some with --corruptions, e.g. fog, noise or all"
        )
    families = _families(tested)
    if tuple(ood_validation) == (AUTO,):
        free = [f for f in reversed(FAMILIES) if f not in families]
        ood_validation = free[:1]
    elif tuple(ood_validation) == (NONE,):
        ood_validation = ()
    elif {AUTO, NONE} & set(ood_validation):
        raise ConfigurationError(
            f"ood_validation is {', '.join(ood_validation)}; auto and none stand alone"
        )
    validation = corruptions_named(ood_validation)
    for step in (*tested, *validation):
        if not step.changes:
            raise ConfigurationError(f"{step} changes nothing; leave it out")
    both = {s.name for s in tested} & {s.name for s in validation}
    if both:
        raise ConfigurationError(
            f"{', '.join(sorted(both))} is tested and in ood_validation; what is tuned on a "
            "corruption is no test on it: leave it out of one of them"
        )
    shared = [f for f in families if f in _families(validation)]
    return Chosen(tested, validation, tuple(shared))


def _families(steps: Sequence[CorruptionStep]) -> list[str]:
    return [*dict.fromkeys(corruption_named(s.name).family for s in steps)]
