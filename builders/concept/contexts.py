"""Source and target of a natural shift: the values or ranges of a column that set them apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.schema import slug

from ..shared.categories import column_named, numbers
from ..shared.division import uniforms
from ..shared.labelled import Labelled

__all__ = ["Sides", "context_slug", "in_context", "sides_of", "usable_contexts"]

Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]

_RANGE = re.compile(r"\s*(-?[\d.eE+-]*?)\s*\.\.\s*(-?[\d.eE+-]*)\s*")


@dataclass(frozen=True, eq=False)
class Sides:
    """Rows of the source and of the target; no cluster is on both.

    Attributes
    ----------
    source, target : int64 arrays
        Ascending.
    n_divided : int
        Clusters that had examples on both sides: each was given to one of them at random, and its
        examples of the other are left out.
    """

    source: Codes
    target: Codes
    n_divided: int


def context_slug(text: str) -> str:
    """A context as part of a config or split name.

    Examples
    --------
    >>> [context_slug(t) for t in ("..40", "40..55", "55..", "Local-gov+State-gov")]
    ['below_40', '40_to_below_55', 'from_55', 'local_gov_state_gov']
    """
    match = _RANGE.fullmatch(text)
    if match is None:
        return slug(text)
    low, high = match.groups()
    if not low:
        return slug(f"below {high}")
    return slug(f"{low} to below {high}" if high else f"from {low}")


def in_context(found: Labelled, by: str, text: str) -> Flags:
    """Which examples are of a context.

    Parameters
    ----------
    found : Labelled
    by : str
        The column.
    text : str
        A value, several joined by ``+``, or of a column of numbers a range ``low..high``, the low
        end in it and the high end not; either may be left out.

    Raises
    ------
    ConfigurationError
        A value that no example has, or a range without examples.
    """
    column = column_named(found.examples, by, "by")
    match = _RANGE.fullmatch(text)
    if match is not None and not pa.types.is_string(column.type):
        values = numbers(found.examples, by, "by")
        try:
            low, high = (float(t) if t else e for t, e in zip(match.groups(), (-np.inf, np.inf),
                                                             strict=True))  # fmt: skip
        except ValueError:
            raise ConfigurationError(
                f"{text!r} is no range; write low..high, ..high or low.. in numbers"
            ) from None
        with np.errstate(invalid="ignore"):
            inside = (values >= low) & (values < high)
        if not inside.any():
            raise ConfigurationError(
                f"no example has {by!r} in {text!r}; it lies between {np.nanmin(values):g} and "
                f"{np.nanmax(values):g}"
            )
        return np.asarray(inside)
    known = found.categories(by, "by")
    wanted = [text] if text in known.names else [t.strip() for t in text.split("+")]
    codes = [known.code(t, "a context") for t in wanted]
    inside = np.isin(known.codes, codes)
    if not inside.any():
        raise ConfigurationError(f"the context {text!r} of {by!r} has no example with a class")
    return inside


def sides_of(found: Labelled, source: Flags, target: Flags, seed: int) -> Sides:
    """The rows of two contexts, each cluster on one side.

    Raises
    ------
    ConfigurationError
        The contexts share examples.
    """
    if (source & target).any():
        raise ConfigurationError(
            f"{int((source & target).sum())} examples are in both the source and the target "
            "context; name contexts that exclude each other"
        )
    n = int(found.cluster.max(initial=-1)) + 1
    both = np.zeros(n, bool)
    both[found.cluster[source]] = True
    other = np.zeros(n, bool)
    other[found.cluster[target]] = True
    both &= other
    n_divided = int(both.sum())
    if n_divided:
        names = found.examples["cluster_id"].combine_chunks()
        to_source = uniforms(names, seed, "concept clusters on both sides") < 0.5
        shared = both[found.cluster]
        source, target = source & ~(shared & ~to_source), target & ~(shared & to_source)
    return Sides(np.flatnonzero(source), np.flatnonzero(target), n_divided)


def usable_contexts(found: Labelled, by: str, rows: Codes, least: int, most: int) -> list[str]:
    """The contexts with enough clusters, those with most first.

    Raises
    ------
    ConfigurationError
        Fewer than two have; the message has what each has.
    """
    known = found.categories(by, "by")
    codes = known.codes[rows]
    there = codes >= 0
    pairs = np.unique(np.column_stack([codes[there], found.cluster[rows][there]]), axis=0)
    counts = np.bincount(pairs[:, 0], minlength=len(known.names))
    order = np.argsort(-counts, kind="stable")
    enough = [known.names[i] for i in order if counts[i] >= least]
    if len(enough) < 2:
        told = ", ".join(f"{known.names[i]!r} {counts[i]}" for i in order[:10])
        raise ConfigurationError(
            f"fewer than two contexts of {by!r} have {least} independent units to choose on "
            f"({told}); lower --min-clusters, or join contexts by naming them (A+B)"
        )
    return enough[:most]
