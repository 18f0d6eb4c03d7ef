"""Two rules by which the same examples are labelled, and from which strength on they differ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError

from ..shared.categories import categories, column_named, numbers
from ..shared.division import uniforms
from ..shared.labelled import Labelled

__all__ = [
    "Rule",
    "annotator_rule",
    "flip_rule",
    "in_region",
    "parse_condition",
    "region_rule",
    "threshold_rule",
]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_CONDITION = re.compile(r"\s*(.+?)\s*(<=|>=|<|>|=)\s*(.+?)\s*")


@dataclass(frozen=True, eq=False)
class Rule:
    """The label that each example has under the other rule, and from which strength on.

    The label changes once: what is relabelled at one strength is so at every greater one.

    Attributes
    ----------
    new : (n,) int64 array
        Class codes under the other rule.
    onset : (n,) float64 array
        The example is relabelled where this is below the knob; infinite for those that keep their
        label at any strength.
    drawn : bool
        Onsets are uniform on [0, 1) where they are finite, so that the knob is a probability;
        otherwise they are what they are, and the knob has a place among them.
    knob : str
        What the knob is.
    origin, sign : float
        The knob as it is told is ``origin + sign * knob``.
    words : str
        What changes, for people.
    """

    new: Codes
    onset: Floats
    drawn: bool
    knob: str
    words: str
    origin: float = 0.0
    sign: float = 1.0

    def relabelled(self, knob: float, rows: Codes) -> Flags:
        """Which of some examples have the other rule's label."""
        return np.asarray(self.onset[rows] < knob)

    def told(self, knob: float) -> float:
        """The knob as people know it."""
        return self.origin + self.sign * knob


def flip_rule(
    found: Labelled, old: Sequence[str], new: Sequence[str], unit: str, seed: int
) -> Rule:
    """Labels changed at random, of all classes or of some.

    Parameters
    ----------
    found : Labelled
    old, new : sequence of str
        Classes that change and what they become; see `_other_class`.
    unit : str
        "example" draws for each, "cluster" for all examples of one together.
    seed : int
    """
    target = _other_class(found, old, new, seed)
    onset = np.where(target >= 0, _draws(found, unit, seed), np.inf)
    words = f"each {unit} of {_named(old) or 'any class'} is relabelled with a probability"
    return Rule(_kept(found, target), onset, True, f"probability an eligible {unit}", words)


def region_rule(
    found: Labelled,
    region: Sequence[str],
    old: Sequence[str],
    new: Sequence[str],
    unit: str,
    seed: int,
) -> Rule:
    """Labels changed where columns have some values: to the next class, or as the classes say."""
    if old:
        target = _other_class(found, old, new, seed)
    else:
        target = (found.label.codes + 1) % len(found.label.names)
    inside = in_region(found.examples, region)
    if not inside.any():
        raise ConfigurationError(
            f"region {' and '.join(region)!r} has no example; name one that some examples are in"
        )
    if inside.all():
        raise ConfigurationError(
            f"region {' and '.join(region)!r} has every example, so it is no region; for a change "
            "everywhere take rule='flip'"
        )
    target = np.where(inside, target, -1)
    onset = np.where(target >= 0, _draws(found, unit, seed), np.inf)
    words = f"where {' and '.join(region)}, each {unit} is relabelled with a probability"
    return Rule(_kept(found, target), onset, True, f"probability an eligible {unit}", words)


def threshold_rule(found: Labelled, values: Floats, threshold: float, up: bool) -> Rule:
    """The label 1[value > threshold], the threshold moved up or down.

    Parameters
    ----------
    found : Labelled
        With the classes "low" and "high".
    values : (n,) float64 array
    threshold : float
        The source's.
    up : bool
        Examples above the old threshold and not above the new one become "low"; otherwise those
        above the new one and not above the old become "high".
    """
    above = values > threshold
    between = above if up else ~above
    onset = np.where(between, np.abs(values - threshold), np.inf)
    words = f"the threshold moves {'up' if up else 'down'} from {threshold:g}"
    sign = 1.0 if up else -1.0
    new = np.full(len(values), 0 if up else 1, np.int64)
    return Rule(new, onset, False, "threshold", words, threshold, sign)


def annotator_rule(
    found: Labelled, column: str, old: Sequence[str], new: Sequence[str], seed: int
) -> Rule:
    """Confusable classes told apart in one way or in another, by whole annotators.

    Parameters
    ----------
    column : str
        Who labelled each example; of these annotators some take up the other convention, all that
        they label together. Empty: every example is labelled by a made annotator of its own choice
        of convention.
    """
    if not old or not new:
        raise ConfigurationError(
            "rule 'annotators' needs noise_from and noise_to: the classes that the other "
            "convention counts as others, e.g. noise_from=('4',), noise_to=('9',)"
        )
    target = _other_class(found, old, new, seed)
    pairs = ", ".join(f"{a} as {b}" for a, b in _pairs(old, new).items())
    words = f"the other convention counts {pairs}"
    if not column:
        onset = np.where(target >= 0, _draws(found, "example", seed), np.inf)
        knob = "share of examples labelled by the other convention"
        return Rule(_kept(found, target), onset, True, knob, words)
    who = found.categories(column, "annotator")
    order = np.argsort(uniforms(pa.array(who.names, pa.string()), seed, "concept annotators"))
    place = np.empty(len(order) + 1)
    place[order] = np.arange(len(order))
    place[-1] = np.inf
    onset = np.where(target >= 0, place[who.codes], np.inf)
    return Rule(_kept(found, target), onset, False, "annotators of the other convention", words)


def parse_condition(text: str) -> tuple[str, str, str]:
    """Column, comparison and value of a condition.

    Raises
    ------
    ConfigurationError
        The text is none.

    Examples
    --------
    >>> parse_condition("age >= 50"), parse_condition("sex=Female")
    (('age', '>=', '50'), ('sex', '=', 'Female'))
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ConfigurationError(
            f"region has {text!r}, which is no condition; write column=value (several values "
            "joined by +) or column>number, also with <, <= and >="
        )
    return match[1], match[2], match[3]


def in_region(examples: pa.Table, region: Sequence[str]) -> Flags:
    """Which examples meet all conditions; a missing value meets none.

    Raises
    ------
    ConfigurationError
        A column or a value that is not there, or a comparison with what is no number.

    Examples
    --------
    >>> table = pa.table({"age": [30, 60, None], "sex": ["F", "F", "M"]})
    >>> in_region(table, ["age>50", "sex=F+M"]).tolist()
    [False, True, False]
    """
    inside = np.ones(len(examples), bool)
    for text in region:
        name, comparison, value = parse_condition(text)
        column = column_named(examples, name, "region")
        if comparison == "=" and not pa.types.is_floating(column.type):
            found = categories(examples, name, "region")
            wanted = [value] if value in found.names else value.split("+")
            codes = [found.code(v.strip(), "region") for v in wanted]
            inside &= np.isin(found.codes, codes)
            continue
        values = numbers(examples, name, "region")
        try:
            number = float(value)
        except ValueError:
            raise ConfigurationError(
                f"region compares {name!r} with {value!r}; a number is needed"
            ) from None
        with np.errstate(invalid="ignore"):
            inside &= {
                "<": values < number,
                "<=": values <= number,
                ">": values > number,
                ">=": values >= number,
                "=": values == number,
            }[comparison]
    return inside


def _draws(found: Labelled, unit: str, seed: int) -> Floats:
    if unit == "example":
        return uniforms(found.ids(), seed, "concept noise")
    names = found.examples["cluster_id"].combine_chunks()
    return uniforms(names, seed, "concept noise of clusters")


def _pairs(old: Sequence[str], new: Sequence[str]) -> dict[str, str]:
    if len(new) not in (1, len(old)):
        raise ConfigurationError(
            f"noise_from has {len(old)} classes and noise_to {len(new)}; give one class to which "
            "all change, or as many"
        )
    pairs = dict(zip(old, new if len(new) == len(old) else [*new] * len(old), strict=True))
    same = [a for a, b in pairs.items() if a == b]
    if same:
        raise ConfigurationError(f"noise_to turns the class {same[0]!r} into itself; name another")
    return pairs


def _other_class(found: Labelled, old: Sequence[str], new: Sequence[str], seed: int) -> Codes:
    """The class that each example would be given; −1 for classes that do not change.

    Without `new` it is any of the other classes, each equally likely; without `old` every class
    changes.
    """
    names, label = found.label.names, found.label.codes
    from_codes = [found.label.code(name, "noise_from") for name in old]
    if new:
        if not old:
            raise ConfigurationError("noise_to is given without noise_from; name both, or neither")
        becomes = np.full(len(names), -1, np.int64)
        for a, b in _pairs(old, new).items():
            becomes[found.label.code(a, "noise_from")] = found.label.code(b, "noise_to")
        return np.asarray(becomes[label])
    drawn = uniforms(found.ids(), seed, "concept class")
    other = (label + 1 + (drawn * (len(names) - 1)).astype(np.int64)) % len(names)
    return np.where(np.isin(label, from_codes), other, -1) if old else other


def _kept(found: Labelled, target: Codes) -> Codes:
    return np.where(target >= 0, target, found.label.codes)


def _named(names: Sequence[str]) -> str:
    return " or ".join(map(repr, names))
