"""All that is measured of a benchmark's examples, up to the budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from threadpoolctl import threadpool_limits

from shiftbench.measuring.examples import Examples
from shiftbench.measuring.features import Run
from shiftbench.measuring.groups import group_contexts
from shiftbench.measuring.reference import FittedSpace, default_space, fitted_space
from shiftbench.measuring.rows import shift_table
from shiftbench.measuring.settings import Measurement
from shiftbench.measuring.severities import severity_rows
from shiftbench.measuring.subsets import subset_distances
from shiftbench.measuring.tasks import measure_pair, pairs_of
from shiftbench.progress import bar
from shiftbench.schema import SEVERITIES
from shiftbench.spaces.space import parse_space, space_name

__all__ = ["Measured", "measure_examples"]


@dataclass(frozen=True)
class Measured:
    """What a measurement found.

    Attributes
    ----------
    distances : pa.Table
        Schema `SHIFT_DISTANCES`.
    spaces : mapping
        What each space was fitted to.
    left_out : list of dict
        What was not measured, with the reason.
    severities : pa.Table
        Schema `SEVERITIES`: of tasks whose shift comes in stated steps.
    """

    distances: pa.Table
    spaces: Mapping[str, Any]
    left_out: list[dict[str, Any]]
    severities: pa.Table = field(default_factory=SEVERITIES.empty_table)


def measure_examples(
    examples: Examples,
    tables: Mapping[str, pa.Table],
    settings: Measurement,
    run: Run,
    *,
    stored: Mapping[str, Any],
    show: bool = False,
) -> Measured:
    """Distances over the splits of the tasks and the subsets of the classes.

    Parameters
    ----------
    examples : Examples
    tables : mapping
        `subsets` and `membership`, where the benchmark has them.
    settings : Measurement
    run : callable
        Runs tasks in one or many processes.
    stored : mapping
        Spaces that the benchmark was measured in before.
    show : bool
        Show progress.

    Raises
    ------
    ConfigurationError
        Settings that do not fit the benchmark.
    """
    pairs = list(pairs_of(examples, settings))
    rows: list[dict[str, Any]] = []
    parts: list[pa.Table] = []
    left_out: list[dict[str, Any]] = []
    severities: list[dict[str, Any]] = []
    spaces: dict[str, Any] = {}
    contexts = group_contexts(examples, tables.get("subsets"))
    for number, text in enumerate(settings.spaces or (default_space(examples, left_out),)):
        space = None
        if text is not None:
            known = stored.get(space_name(parse_space(text)))
            space = fitted_space(
                text,
                examples,
                run,
                max_examples=settings.max_examples,
                seed=settings.seed,
                stored=known,
                show=show,
            )
            spaces[space.name] = space.entry
        # The last bits of a matrix product change with the number of threads; tables must not.
        with threadpool_limits(limits=1), bar("distances", len(pairs), "pair", show=show) as done:
            for pair in pairs:
                rows += measure_pair(
                    pair, space, settings, contexts, whole=number == 0, left_out=left_out
                )
                done.update()
            if space is not None:
                severities += severity_rows(examples, space, settings, rows)
            if space is not None and settings.subsets and {"subsets", "membership"} <= {*tables}:
                parts.append(
                    subset_distances(
                        examples, tables["subsets"], tables["membership"], space, settings, left_out
                    )
                )
        if space is not None and space.store.unreadable:
            left_out.append(_unreadable(space))
    table = pa.concat_tables([shift_table(rows), *parts])
    steps = pa.Table.from_pylist(severities, schema=SEVERITIES)
    return Measured(table.combine_chunks(), spaces, left_out, steps)


def _unreadable(space: FittedSpace) -> dict[str, Any]:
    """Examples whose content no reader could read: a build with --checks decode rejects them."""
    found = space.store.unreadable
    first = min(found)
    return {
        "distance": f"features in {space.name}",
        "reason": f"the content of {len(found)} examples cannot be read, the first being "
        f"{first.split()[0]!r} ({found[first]}); the others were measured",
    }
