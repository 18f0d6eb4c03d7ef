"""A common corruption: its name, its stated parameter, its five severities, and what it does."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.registry import CORRUPTIONS, lookup
from shiftbench.transforms.step import checked

__all__ = [
    "FAMILIES",
    "SIDE",
    "Corruption",
    "CorruptionStep",
    "corruption_named",
    "corruption_severities",
    "corruptions_named",
    "parse_corruption",
    "pixel",
]

Pixels: TypeAlias = NDArray[np.uint8]
"""(rows, columns, channels), with one channel or three."""

Floats: TypeAlias = NDArray[np.float32]
"""Pixels while they are computed: 0 to 255, and beyond until they are clipped."""

Compute: TypeAlias = Callable[[Pixels, float, np.random.Generator], "Pixels | Floats"]

Places: TypeAlias = tuple[Floats, Floats]
"""Row and column, in pixels from the first one's centre, that each pixel of a picture shows; two
arrays that broadcast to its shape."""

Moves: TypeAlias = Callable[[tuple[int, int], float, np.random.Generator], Places]

FAMILIES = ("noise", "blur", "weather", "digital", "geometric")

SIDE = 224
"""Lengths are in pixels of an image whose shorter side has so many; others are scaled to it."""

_GROUPS = {
    "imagenet_c": (
        *("gaussian_noise", "shot_noise", "impulse_noise"),
        *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
        *("snow", "frost", "fog", "brightness"),
        *("contrast", "elastic", "pixelate", "jpeg"),
    ),
    "imagenet_c_extra": ("speckle_noise", "gaussian_blur", "spatter", "saturation"),
}


def pixel(shape: Sequence[int]) -> float:
    """How many pixels of this image are one of an image whose shorter side has `SIDE`.

    Examples
    --------
    >>> pixel((448, 600)), pixel((32, 32, 3)) == 1 / 7
    (2.0, True)
    """
    return min(shape[0], shape[1]) / SIDE


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption, with the one parameter that says how strong it is.

    Attributes
    ----------
    name, unit, summary : str
    family : str
        One of `FAMILIES`.
    severities : tuple of five float
        Frozen values from mild to strong; none was fitted to a distance or to an accuracy.
    reason : str
        Where those values come from, or that they are a convention.
    identity : float or None
        The value at which nothing changes; None where there is none (JPEG).
    low, high : float
        The range of allowed values.
    whole : bool
        Whether only whole numbers are allowed.
    compute : callable
        From (rows, columns, channels) of uint8, value and generator to pixels of the same shape,
        or to floats from 0 to 255 that are yet to be clipped and rounded.
    moves : callable, optional
        From (rows, columns), value and generator to where each pixel is taken from; masks and
        boxes move along.
    random : bool
        Whether anything is drawn.
    """

    name: str
    family: str
    unit: str
    summary: str
    severities: tuple[float, float, float, float, float]
    reason: str
    identity: float | None
    low: float
    high: float
    compute: Compute = field(repr=False)
    moves: Moves | None = field(default=None, repr=False)
    whole: bool = False
    random: bool = True

    def check(self, value: Any) -> float:
        """The value as a float, if it is allowed.

        Raises
        ------
        ConfigurationError
            It lies outside the range, is no number, or should be whole.
        """
        allowed = (self.low, self.high)
        return checked(value, self.name, self.unit, self.severities, allowed, self.whole)


@dataclass(frozen=True)
class CorruptionStep:
    """A corruption of one strength: one of its five severities, or a value of its parameter.

    Parameters
    ----------
    name : str
        Of a registered corruption.
    severity : int, optional
        1 to 5; 0 changes nothing, whatever the corruption.
    value : float, optional
        In that corruption's unit; follows from the severity where one is given.

    Examples
    --------
    >>> step = CorruptionStep("jpeg", 3)
    >>> print(step, step.value)
    jpeg=3 15.0
    >>> print(CorruptionStep("jpeg", value=40))
    jpeg:40
    """

    name: str
    severity: int | None = None
    value: float | None = None

    def __post_init__(self) -> None:
        kind = corruption_named(self.name)
        if self.severity is None:
            object.__setattr__(self, "value", kind.check(self.value))
            return
        if isinstance(self.severity, bool) or self.severity not in range(6):
            raise ConfigurationError(
                f"{self.name} has the severity {self.severity!r}; allowed are 1 to 5, and 0, which "
                f"changes nothing; write {self.name}:VALUE for a value in {kind.unit}"
            )
        frozen = (kind.identity, *kind.severities)[self.severity]
        if self.value not in (None, frozen):
            raise ConfigurationError(
                f"{self.name} has the severity {self.severity}, which is {frozen}, and the value "
                f"{self.value}; give one of them"
            )
        object.__setattr__(self, "value", None if frozen is None else float(frozen))

    def __str__(self) -> str:
        if self.severity is not None:
            return f"{self.name}={self.severity}"
        return f"{self.name}:{_number(self.value)}"

    @property
    def changes(self) -> bool:
        """Whether anything happens: not at severity 0, nor at the value of no change."""
        return self.severity != 0 and self.value != corruption_named(self.name).identity


def _number(value: float | None) -> str:
    assert value is not None
    return repr(int(value)) if math.isfinite(value) and value.is_integer() else repr(value)


def corruption_named(name: str) -> Corruption:
    """The corruption that is registered under a name.

    Raises
    ------
    ConfigurationError
        None is; the message has the near names.

    Examples
    --------
    >>> corruption_named("jpeg").severities
    (25, 18, 15, 10, 7)
    """
    found: Corruption = lookup(CORRUPTIONS, name, "corruption")
    return found


def parse_corruption(text: str) -> CorruptionStep:
    """A step from ``name=severity`` or ``name:value``; ``str`` of the step gives the text again.

    Raises
    ------
    ConfigurationError
        The text has another form, no corruption has the name, or the number is not allowed.

    Examples
    --------
    >>> parse_corruption("fog=2")
    CorruptionStep(name='fog', severity=2, value=0.7)
    >>> parse_corruption("foq=2")
    Traceback (most recent call last):
    shiftbench.errors.ConfigurationError: no corruption is called 'foq'; did you mean 'fog'?
    """
    at = "=" if "=" in text else ":"
    name, _, number = (part.strip() for part in text.partition(at))
    kind = corruption_named(name)
    try:
        given = float(number)
        if at == "=" and not given.is_integer():
            raise ValueError
    except ValueError:
        raise ConfigurationError(
            f"the corruption {text!r}: write {name}=SEVERITY, a whole number from 1 to 5, or "
            f"{name}:VALUE in {kind.unit}, e.g. {name}:{kind.severities[1]:g}"
        ) from None
    return CorruptionStep(name, int(given)) if at == "=" else CorruptionStep(name, value=given)


def corruption_severities(name: str) -> tuple[CorruptionStep, ...]:
    """The five frozen steps of one corruption, from mild to strong.

    Raises
    ------
    ConfigurationError
        No corruption has the name.

    Examples
    --------
    >>> [str(step) for step in corruption_severities("fog")]
    ['fog=1', 'fog=2', 'fog=3', 'fog=4', 'fog=5']
    """
    corruption_named(name)
    return tuple(CorruptionStep(name, severity) for severity in range(1, 6))


def corruptions_named(texts: Sequence[str]) -> tuple[CorruptionStep, ...]:
    """Steps from texts: ``name=severity``, ``name:value``, a name or a group of them.

    A name stands for its five severities. Groups are the families (`FAMILIES`), "imagenet_c" (the
    fifteen of Hendrycks & Dietterich 2019), "imagenet_c_extra" (the four that they keep for
    validation) and "all"; ``blur=3`` is each of a group at one severity.

    Raises
    ------
    ConfigurationError
        An unknown name, a number that is not allowed, or a step that is given twice.

    Examples
    --------
    >>> [str(step) for step in corruptions_named(["fog", "jpeg:40"])][3:]
    ['fog=4', 'fog=5', 'jpeg:40']
    >>> len(corruptions_named(["imagenet_c"])), len(corruptions_named(["imagenet_c=3"]))
    (75, 15)
    """
    steps: list[CorruptionStep] = []
    for text in texts:
        group, _, severity = text.partition("=")
        if severity and (members := _group(group.strip())) is not None:
            steps += [parse_corruption(f"{name}={severity}") for name in members]
            continue
        if "=" in text or ":" in text:
            steps.append(parse_corruption(text))
            continue
        for name in _members(text):
            steps += corruption_severities(name)
    twice = sorted({str(s) for s in steps if steps.count(s) > 1})
    if twice:
        raise ConfigurationError(f"{', '.join(twice[:3])} is asked for twice; leave one out")
    return tuple(steps)


def _members(text: str) -> Sequence[str]:
    found = _group(text)
    if found is not None:
        return found
    if text not in CORRUPTIONS:
        known = [*CORRUPTIONS, *FAMILIES, *_GROUPS, "all"]
        raise ConfigurationError(
            f"no corruption or group of them is called {text!r}; {near_names(text, known)}"
        )
    return [text]


def _group(text: str) -> Sequence[str] | None:
    """The corruptions of a group; None where no group has the name."""
    if text in FAMILIES:
        return [name for name in CORRUPTIONS if corruption_named(name).family == text]
    return list(CORRUPTIONS) if text == "all" else _GROUPS.get(text)
