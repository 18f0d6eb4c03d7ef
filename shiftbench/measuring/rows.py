"""Lines of the table `shift_distances`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from shiftbench.distances.shift import Shift
from shiftbench.schema import SHIFT_DISTANCES
from shiftbench.statistics import Estimate

__all__ = ["estimate_row", "merged", "of_space", "shift_rows", "shift_table"]

_KEY = ("config", "source", "target", "kind", "distance", "space", "parameters", "seed")


def shift_rows(
    found: Shift,
    config: str | None,
    source: str,
    target: str,
    space: str | None,
    more: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """The line of a distance, and one for each of its parts, named ``<distance>_<part>``."""
    shared = {
        "config": config,
        "source": source,
        "target": target,
        "kind": found.kind,
        "space": space,
        "n_source": found.n_source,
        "n_target": found.n_target,
        "n_clusters_source": found.n_clusters_source,
        "n_clusters_target": found.n_clusters_target,
        "seed": found.seed,
    }
    yield shared | {
        "distance": found.distance,
        "value": _told(found.value),
        "low": _told(found.low),
        "high": _told(found.high),
        "method": found.method,
        "p_value": found.p_value,
        "parameters": _json({**found.parameters, **more, "level": found.level}),
    }
    for name, part in found.parts.items():
        yield estimate_row(part, f"{found.distance}_{name}", shared, more)


def estimate_row(
    found: Estimate, distance: str, shared: Mapping[str, Any], more: Mapping[str, Any]
) -> dict[str, Any]:
    """The line of an estimate; an interval of what cannot be negative is extended to its value."""
    return dict(shared) | {
        "distance": distance,
        "value": _told(found.value),
        "low": _told(found.value if found.low > found.value else found.low),
        "high": _told(found.value if found.high < found.value else found.high),
        "method": found.method,
        "p_value": found.p_value,
        "parameters": _json({**found.parameters, **more, "level": found.level}),
    }


def of_space(space: Any, max_examples: int) -> dict[str, Any]:
    """What a line's parameters say of the space, and of the sample in it."""
    if space is None:
        return {}
    return {
        "space_fingerprint": space.fitted.fingerprint[:16],
        "max_examples": max_examples,
    }


def shift_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The lines as a table."""
    return pa.Table.from_pylist([dict(r) for r in rows], schema=SHIFT_DISTANCES)


def merged(before: pa.Table, found: pa.Table) -> pa.Table:
    """A table with what was measured before, and what is new; the same measurement once.

    Examples
    --------
    >>> row = dict.fromkeys(SHIFT_DISTANCES.names) | {
    ...     "source": "a", "target": "b", "kind": "covariate", "distance": "mmd", "value": 1.0}
    >>> one = shift_table([row])
    >>> merged(one, shift_table([row, row | {"target": "c"}])).num_rows
    2
    """
    new = found.to_pylist()
    keys = {tuple(r[k] for k in _KEY) for r in new}
    kept = [i for i, r in enumerate(before.select(list(_KEY)).to_pylist())
            if tuple(r[k] for k in _KEY) not in keys]  # fmt: skip
    stays = before.take(pa.array(kept, pa.int64()))
    return pa.concat_tables([t.cast(SHIFT_DISTANCES) for t in (stays, found)]).combine_chunks()


def _told(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _json(parameters: Mapping[str, Any]) -> str:
    return json.dumps(parameters, ensure_ascii=False, sort_keys=True, allow_nan=False)
