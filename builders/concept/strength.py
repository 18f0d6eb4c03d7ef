"""The strength of a made concept shift: asked for as a disagreement, achieved on held-out data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.statistics import Clusters, Estimate
from shiftbench.statistics.proportions import share

from .rules import Rule

__all__ = ["STRENGTHS", "Level", "achieved", "reachable", "solve", "strength_row"]

Codes = NDArray[np.int64]

STRENGTHS = pa.schema(
    [
        pa.field("config", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("intended", pa.float64(), nullable=False),
        pa.field("knob", pa.string(), nullable=False),
        pa.field("setting", pa.float64(), nullable=False),
        pa.field("expected", pa.float64(), nullable=False),
        pa.field("achieved", pa.float64(), nullable=False),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("method", pa.string()),
        pa.field("n", pa.int64(), nullable=False),
        pa.field("n_clusters", pa.int64(), nullable=False),
    ]
)
"""`expected` is the disagreement on the choosing half, on which the knob was set; `achieved` that
on the target, which had no part in it."""

FARTHEST = 0.5
"""A disagreement that is off by more than this share of the one asked for is refused."""


@dataclass(frozen=True)
class Level:
    """One strength.

    Attributes
    ----------
    wanted : float
        The disagreement asked for.
    knob : float
        Of the rule.
    expected : float
        Disagreement on the examples that the knob was chosen on.
    """

    wanted: float
    knob: float
    expected: float


def reachable(rule: Rule, rows: Codes) -> float:
    """The largest disagreement: the share of examples that can be relabelled at all."""
    return float(np.isfinite(rule.onset[rows]).mean())


def solve(rule: Rule, rows: Codes, wanted: Sequence[float]) -> tuple[Level, ...]:
    """The knob for each disagreement.

    Parameters
    ----------
    rule : Rule
    rows : (m,) int64 array
        The examples to choose on; not those that the shift is measured on.
    wanted : sequence of float
        Shares of examples whose label is to differ, ascending.

    Raises
    ------
    ConfigurationError
        One cannot be reached: it is above what the rule can relabel, or between two values of a
        column that takes few. The message has what can be.
    """
    most = reachable(rule, rows)
    if wanted and wanted[-1] > most + 1e-12:
        raise ConfigurationError(
            f"a disagreement of {wanted[-1]:g} cannot be reached: {rule.words}, and at most "
            f"{_down(most)} of the examples (counted on the {len(rows)} of train and validation) "
            "can be relabelled in that way; ask for at most that, or change the rule"
        )
    if rule.drawn:
        return tuple(Level(w, min(w / most, 1.0) if w else 0.0, w) for w in wanted)
    values, counts = np.unique(rule.onset[rows][np.isfinite(rule.onset[rows])], return_counts=True)
    shares = np.concatenate([[0.0], np.cumsum(counts) / len(rows)])
    edges = np.concatenate([[0.0], (values[1:] + values[:-1]) / 2, [_beyond(values)]])
    levels = []
    for w in wanted:
        at = int(np.abs(shares - w).argmin()) if w else 0
        if abs(shares[at] - w) > FARTHEST * w:
            near = sorted({*shares[max(at - 1, 0) : at + 3].tolist()} - {0.0})
            raise ConfigurationError(
                f"a disagreement of {w:g} cannot be reached: {rule.words}, and its column takes "
                f"few values; near it are {', '.join(map(_down, near))}"
            )
        levels.append(Level(w, float(edges[at]), float(shares[at])))
    for a, b in pairwise(levels):
        if a.knob == b.knob:
            raise ConfigurationError(
                f"disagreements of {a.wanted:g} and {b.wanted:g} come to the same "
                f"({_down(a.expected)}): {rule.words}, and its column takes few values; leave one "
                "out"
            )
    return tuple(levels)


def achieved(flags: NDArray[np.bool_], clusters: Codes) -> Estimate:
    """The share of the target that is relabelled, with an interval by cluster."""
    codes = np.unique(clusters, return_inverse=True)[1].astype(np.int64)
    n = int(codes.max(initial=-1)) + 1
    return share(flags, None if n == len(codes) else Clusters(codes, n))


def strength_row(
    config: str, split: str, name: str, rule: Rule, level: Level, found: Estimate
) -> dict[str, Any]:
    """A line of the table `strengths`."""
    return {
        "config": config,
        "split": split,
        "rule": name,
        "intended": level.wanted,
        "knob": rule.knob,
        "setting": rule.told(level.knob),
        "expected": level.expected,
        "achieved": found.value,
        "low": _known(found.low),
        "high": _known(found.high),
        "method": found.method,
        "n": found.n,
        "n_clusters": found.n if found.n_clusters is None else found.n_clusters,
    }


def _beyond(values: NDArray[np.float64]) -> float:
    """A knob above every onset."""
    if not len(values):
        return 0.0
    return float(values[-1] + max(float(np.ptp(values)), 1.0) / 2)


def _down(share: float) -> str:
    """Cut and not rounded, so that what is told can be asked for."""
    return f"{np.floor(share * 1e4) / 1e4:g}"


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
