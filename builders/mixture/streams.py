"""A stream drawn from two pools along a drift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError

from ..shared.counted import apportion
from ..shared.division import uniforms
from .components import SOURCE, TARGET, Components
from .drifts import Drift, doses_at, from_target
from .nested import Pools

__all__ = ["DRIFT", "Stream", "drift_rows", "stream_of"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

DRIFT = pa.schema(
    [
        pa.field("split", pa.string(), nullable=False),
        pa.field("time", pa.int64(), nullable=False),
        pa.field("dose", pa.float64(), nullable=False),
        pa.field("target_so_far", pa.float64(), nullable=False),
        pa.field("dose_so_far", pa.float64(), nullable=False),
    ]
)
"""The course of a stream: the intended share of the target at a time, and up to it the share
achieved and the one intended."""

_SHOWN = 1000


@dataclass(frozen=True, eq=False)
class Stream:
    """Examples in time.

    Attributes
    ----------
    rows : (n,) int64 array
        At times 0, 1, …, n − 1.
    target : (n,) bool array
        Which come from the target.
    doses : (n,) float64 array
        The intended share of the target at each time.
    """

    rows: Codes
    target: NDArray[np.bool_]
    doses: Floats


def stream_of(
    drift: Drift,
    held: Pools,
    both: Components,
    wanted: int | None,
    seed: int,
    purpose: str,
    least: int,
) -> Stream:
    """Draw a stream; by default as long as the pools allow.

    Which component comes when follows from the drift alone; which of its examples is random, so
    that within a component nothing depends on time.

    Raises
    ------
    ConfigurationError
        The pools do not suffice; with the length that can be had.
    """
    size = _longest(drift, held) if wanted is None else wanted
    doses = doses_at(drift, size)
    target = from_target(doses)
    if size < least or not _suffice(held, target):
        raise ConfigurationError(
            f"a stream with {drift.kind} drift of {size} examples needs {int((~target).sum())} of "
            f"the source and {int(target.sum())} of the target, and the test's pool has "
            f"{len(held.rows[SOURCE])} and {len(held.rows[TARGET])}; it could have "
            f"{_longest(drift, held)} (at least {least} are needed). Give a smaller test size, "
            "another peak, or more examples to --ood-test"
        )
    rows = np.empty(size, np.int64)
    for component, at in ((SOURCE, ~target), (TARGET, target)):
        drawn = held.pure(component, int(at.sum()))
        turn = uniforms(both.found.ids(drawn), seed, f"{purpose} {drift.kind} times")
        rows[at] = drawn[np.argsort(turn, kind="stable")]
    return Stream(rows, target, doses)


def drift_rows(split: str, stream: Stream) -> pa.Table:
    """Lines of the table `drift`: at most a thousand times, evenly spread, and the last.

    Examples
    --------
    >>> made = Stream(np.arange(2), np.array([False, True]), np.array([0.0, 1.0]))
    >>> drift_rows("ood_test_sudden", made)["target_so_far"].to_pylist()
    [0.0, 0.5]
    """
    n = len(stream.rows)
    at = np.unique(np.linspace(0, n - 1, min(n, _SHOWN)).astype(np.int64))
    so_far = np.arange(1, n + 1)
    return pa.table(
        {
            "split": [split] * len(at),
            "time": at,
            "dose": stream.doses[at],
            "target_so_far": (np.cumsum(stream.target) / so_far)[at],
            "dose_so_far": (np.cumsum(stream.doses) / so_far)[at],
        },
        schema=DRIFT,
    )


def _suffice(held: Pools, target: NDArray[np.bool_]) -> bool:
    needed = {SOURCE: int((~target).sum()), TARGET: int(target.sum())}
    return all((apportion(held.shares, n) <= held.available(c)).all() for c, n in needed.items())


def _longest(drift: Drift, held: Pools) -> int:
    """About the longest stream that the pools suffice for; 0 where there is none."""
    mean = float(doses_at(drift, 10_000).mean())
    most = [held.largest(SOURCE), held.largest(TARGET)]
    size = int(min(n / s for n, s in zip(most, (1 - mean, mean), strict=True) if s > 1e-9)) + 2
    while size > 0 and not _suffice(held, from_target(doses_at(drift, size))):
        size -= max(1, size // 1000)
    return max(size, 0)
