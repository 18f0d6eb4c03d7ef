"""What a person may choose about an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shiftbench.errors import ConfigurationError

__all__ = ["Settings"]

How = Literal["mean", "median", "max", "top_k"]


@dataclass(frozen=True)
class Settings:
    """What a person may choose about an evaluation; all of it stands in the results.

    Attributes
    ----------
    groups : tuple of str
        Metadata columns by which subpopulations are told, each alone; ``"location*weather"`` names
        a combination. Empty: the column `subset`, whose names may overlap.
    bins : mapping of str to tuple of float
        Edges that make groups of a column of numbers: ``{"age": (18, 65)}``.
    group_metrics : tuple of str
        What is measured of each group.
    minimum_n : int
        Groups with fewer examples do not take part in the worst group above a minimum.
    level : float
        Of every interval.
    tpr : tuple of float
        True-positive rates at which the false-positive rate is taken.
    max_fpr : tuple of float
        False-positive rates up to which a partial AUROC is taken.
    unit : str or None
        The metadata column that names what several examples are of, such as the radiograph of
        patches: they get one score together. By default the column that the benchmark names, or
        else ``cluster_id``.
    aggregate : str
        How the scores of a unit become one: mean, median, max or top_k.
    top_k : int
        How many scores of a unit ``top_k`` takes the mean of.
    patches : tuple of int
        Numbers of examples a unit for the curve against patches. Empty: 1, 2, 4 … up to 512 and
        to what the largest unit has. All examples always stand at the end of the curve.
    baseline : tuple of str
        Models to which the line of accuracy is fitted; empty: none is.
    compare_to : str or None
        Compare every model with this one; by default all with all, up to 30 models.
    resamples : int
        Of a bootstrap.
    seed : int
        Of every resampling.

    Examples
    --------
    >>> Settings(level=95)
    Traceback (most recent call last):
    shiftbench.errors.ConfigurationError: level is 95; it is a fraction between 0 and 1, ...
    """

    groups: tuple[str, ...] = ()
    bins: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    group_metrics: tuple[str, ...] = ("accuracy",)
    minimum_n: int = 10
    level: float = 0.95
    tpr: tuple[float, ...] = (0.95,)
    max_fpr: tuple[float, ...] = ()
    unit: str | None = None
    aggregate: How = "mean"
    top_k: int = 3
    patches: tuple[int, ...] = ()
    baseline: tuple[str, ...] = ()
    compare_to: str | None = None
    resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kind in (
            ("groups", str), ("group_metrics", str), ("baseline", str),
            ("tpr", float), ("max_fpr", float), ("patches", int),
        ):  # fmt: skip
            object.__setattr__(self, name, _several(name, getattr(self, name), kind))
        for name, values in (
            ("level", (self.level,)),
            ("tpr", self.tpr),
            ("max_fpr", self.max_fpr),
        ):
            for value in values:
                whole = name != "level" and value == 1
                if isinstance(value, str) or not (0 < value < 1 or whole):
                    raise ConfigurationError(
                        f"{name} is {value!r}; it is a fraction between 0 and 1, such as 0.95"
                    )
        if len({f"{100 * t:g}" for t in self.tpr}) < len(self.tpr):
            raise ConfigurationError(
                f"tpr is {self.tpr!r}; two of them are so near that their metrics have one name"
            )
        if self.aggregate not in ("mean", "median", "max", "top_k"):
            raise ConfigurationError(
                f"aggregate is {self.aggregate!r}; there are: mean, median, max, top_k"
            )
        least = {"resamples": 100, "seed": 0, "minimum_n": 1, "top_k": 1}
        for name, value in [*((n, getattr(self, n)) for n in least), *(
            ("patches", p) for p in self.patches
        )]:  # fmt: skip
            if isinstance(value, str) or value < least.get(name, 1):
                raise ConfigurationError(
                    f"{name} is {value!r}; it is a whole number from {least.get(name, 1)} on"
                )


def _several(name: str, given: Any, kind: type) -> tuple[Any, ...]:
    """A single value stands for a tuple of one."""
    if isinstance(given, str | float | int):
        given = (given,)
    try:
        return tuple(dict.fromkeys(kind(v) if kind is not str else v for v in given))
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"{name} is {given!r}; it is one {kind.__name__} or several"
        ) from None
