"""What is measured, and how much of it: the budget of a measurement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shiftbench.distances.measured import distance_named, options_of
from shiftbench.errors import ConfigurationError, near_names
from shiftbench.spaces.space import parse_space
from shiftbench.statistics.estimate import critical

__all__ = ["Measurement"]


@dataclass(frozen=True)
class Measurement:
    """Distances × spaces over a benchmark, up to a stated budget.

    Parameters
    ----------
    distances : tuple of str
        Registered names.
    spaces : tuple of str
        Each as `shiftbench.spaces.parse_space` reads it; empty: one that fits the content.
    configs : tuple of str
        Tasks to measure; empty: all.
    sources : tuple of str
        Splits that the others are measured from; empty: the training split of each task.
    subsets : bool
        Also the pairs of subsets within a class.
    profile : bool
        Also the parts of each task's shift (subpopulation, covariate, concept, label).
    max_examples : int
        Most examples of a split, or of the reference; they are drawn by the seed.
    max_subset_examples : int
        Most examples of a subset.
    max_pairs : int
        Most pairs of subsets; of more, the largest subsets' are measured.
    n_permutations : int
    level : float
    seed : int
    options : mapping
        Options of the distances; each is given to those that have it.

    Examples
    --------
    >>> Measurement(distances=("mmd",), options={"bandwith": 1.0})
    Traceback (most recent call last):
    shiftbench.errors.ConfigurationError: no distance asked for has an option 'bandwith'; ...
    """

    distances: tuple[str, ...] = ("mmd", "label_tv")
    spaces: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    subsets: bool = True
    profile: bool = True
    max_examples: int = 1000
    max_subset_examples: int = 100
    max_pairs: int = 500
    n_permutations: int = 1000
    level: float = 0.95
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {o for d in self.distances for o in options_of(distance_named(d))}
        for option in self.options:
            if option not in known:
                raise ConfigurationError(
                    f"no distance asked for has an option {option!r}; {near_names(option, known)}"
                )
        for space in self.spaces:
            parse_space(space)
        critical(self.level)
        for name, least in (
            ("max_examples", 2),
            ("max_subset_examples", 2),
            ("max_pairs", 0),
            ("n_permutations", 0),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or value < least:
                raise ConfigurationError(f"{name} is {value}; allowed: {least} and above")

    def of(self, distance: str) -> dict[str, Any]:
        """The options that a distance takes of those given."""
        own = options_of(distance_named(distance))
        return {k: v for k, v in self.options.items() if k in own}
