"""One frozen change of an acquisition: its name, its physical value, and what it does."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.registry import TRANSFORMS, lookup

__all__ = [
    "ASSUMED_PITCH_MM",
    "Acquisition",
    "Grey",
    "Pitch",
    "Step",
    "acquisition_named",
    "parse_step",
    "severities",
]

Grey: TypeAlias = NDArray[np.float32]
"""(rows, columns) from 0 (black: much exposure) to 1 (white: little exposure)."""

Pitch: TypeAlias = float | tuple[float, float]
"""Pixel pitch in mm: one number, or the distances between rows and between columns."""

Compute: TypeAlias = Callable[[Grey, float, np.random.Generator, tuple[float, float]], Grey]

ASSUMED_PITCH_MM = 0.2
"""Where the pitch is unknown and only a length inside a model depends on it, not the value."""


def checked(
    value: Any,
    name: str,
    unit: str,
    severities: tuple[float, ...],
    allowed: tuple[float, float],
    whole: bool,
) -> float:
    """The value of a kind of change as a float, if it is allowed.

    Raises
    ------
    ConfigurationError
        It lies outside the range, is no number, or should be whole.
    """
    low, high = allowed
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not low <= number <= high or (whole and number % 1):
        kind = "a whole number" if whole else "a number"
        raise ConfigurationError(
            f"{name} is {value!r}; allowed is {kind} from {low:g} to {high:g} "
            f"({unit}), frozen severities are {', '.join(f'{v:g}' for v in severities)}"
        )
    return number + 0.0  # −0 is 0


@dataclass(frozen=True)
class Acquisition:
    """One kind of change, with the physical parameter that says how strong it is.

    Attributes
    ----------
    name, unit, summary : str
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
    needs_pitch : bool
        Whether the value is in line pairs per mm, so that the pixel pitch must be known.
    geometric : bool
        Whether things move, and masks and boxes with them.
    compute : callable
        From image, value, generator and (row_mm, column_mm) to the image, not yet clipped.
    """

    name: str
    unit: str
    summary: str
    severities: tuple[float, float, float, float, float]
    reason: str
    identity: float | None
    low: float
    high: float
    compute: Compute = field(repr=False)
    whole: bool = False
    needs_pitch: bool = False
    geometric: bool = False

    def check(self, value: float) -> float:
        """The value as a float, if it is allowed.

        Raises
        ------
        ConfigurationError
            It lies outside the range, is no number, or should be whole.
        """
        allowed = (self.low, self.high)
        return checked(value, self.name, self.unit, self.severities, allowed, self.whole)

    def apply(
        self, image: Grey, value: float, *, rng: np.random.Generator, pitch_mm: Pitch | None = None
    ) -> Grey:
        """The changed image.

        Parameters
        ----------
        image : (rows, columns) array of float32 in [0, 1]
            White is little exposure, as radiographs are shown (MONOCHROME2).
        value : float
            In `unit`.
        rng : np.random.Generator
        pitch_mm : float or (row_mm, column_mm), optional
            Where it is unknown, `ASSUMED_PITCH_MM` stands in for lengths inside a model.

        Returns
        -------
        (rows, columns) array of float32 in [0, 1]

        Raises
        ------
        ConfigurationError
            The value is not allowed, or the pitch is needed and unknown.
        """
        number = self.check(value)
        if self.needs_pitch and pitch_mm is None:
            raise ConfigurationError(
                f"{self.name} is in {self.unit} and needs the image's pixel pitch: give pitch_mm"
            )
        both = _both(ASSUMED_PITCH_MM if pitch_mm is None else pitch_mm)
        if number == self.identity:
            return image.copy()
        changed = self.compute(image, number, rng, both)
        return np.clip(changed, 0, 1).astype(np.float32, copy=False)


def _both(pitch_mm: Pitch) -> tuple[float, float]:
    row, column = pitch_mm if isinstance(pitch_mm, tuple) else (pitch_mm, pitch_mm)
    for pitch in (row, column):
        if not 0 < pitch < math.inf:
            raise ConfigurationError(
                f"the pixel pitch is {pitch}; it must be a positive number of mm"
            )
    return float(row), float(column)


@dataclass(frozen=True)
class Step:
    """A change of one kind by one value.

    Parameters
    ----------
    name : str
        Of a registered change.
    value : float
        In that change's unit.

    Examples
    --------
    >>> print(Step("dose", 2))
    dose=2
    """

    name: str
    value: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", acquisition_named(self.name).check(self.value))

    def __str__(self) -> str:
        number = int(self.value) if self.value.is_integer() else self.value
        return f"{self.name}={number!r}"


def acquisition_named(name: str) -> Acquisition:
    """The kind of change that is registered under a name.

    Raises
    ------
    ConfigurationError
        None is; the message has the near names.

    Examples
    --------
    >>> acquisition_named("dose").unit
    'halvings of the dose'
    """
    found: Acquisition = lookup(TRANSFORMS, name, "acquisition change")
    return found


def parse_step(text: str) -> Step:
    """A step from ``name=value``; ``str`` of the step gives the text again.

    Raises
    ------
    ConfigurationError
        The text has another form, no change has the name, or the value is not allowed.

    Examples
    --------
    >>> parse_step("blur=1.5")
    Step(name='blur', value=1.5)
    >>> parse_step("dosis=1")
    Traceback (most recent call last):
    shiftbench.errors.ConfigurationError: no acquisition change is called 'dosis'; did you mean \
'dose'?
    """
    name, equals, value = (part.strip() for part in text.partition("="))
    kind = acquisition_named(name)
    if not equals or not value:
        raise ConfigurationError(
            f"the step {text!r} has no value; write {name}=VALUE, e.g. {severities(name)[1]}"
        )
    try:
        number = float(value)
    except ValueError:
        raise ConfigurationError(
            f"the step {text!r}: {value!r} is no number; {name} is in {kind.unit}"
        ) from None
    return Step(name, number)


def severities(name: str) -> tuple[Step, ...]:
    """The five frozen steps of one kind, from mild to strong.

    Raises
    ------
    ConfigurationError
        No change has the name.

    Examples
    --------
    >>> [str(step) for step in severities("dose")]
    ['dose=1', 'dose=2', 'dose=3', 'dose=4', 'dose=5']
    """
    return tuple(Step(name, value) for value in acquisition_named(name).severities)
