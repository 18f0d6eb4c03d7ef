"""What else differs between the splits of a task, and whether its shift is confounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import pyarrow as pa

from shiftbench.distances.balance_table import balance
from shiftbench.distances.confounding import audit
from shiftbench.measuring.examples import Examples
from shiftbench.schema import BALANCE

__all__ = ["measure_differences"]

_NEVER = ("subset", "is_ood", "license", "attribution")


def measure_differences(
    examples: Examples, shift_columns: Sequence[str], seed: int
) -> tuple[pa.Table, list[dict[str, Any]]]:
    """Table `balance` of every pair of splits of every task, and the verdicts on confounding.

    Parameters
    ----------
    examples : Examples
    shift_columns : sequence of str
        Columns that are the shift itself, added to those that a task's notes name.
    seed : int

    Returns
    -------
    table : pa.Table
        Schema `BALANCE`.
    verdicts : list of dict
        Config, source, target, verdict and words for the training split against each other one.
    """
    parts = [BALANCE.empty_table()]
    verdicts: list[dict[str, Any]] = []
    for config in examples.tasks:
        for table, verdict in _task(examples, config, shift_columns, seed):
            parts.append(table)
            if verdict is not None:
                verdicts.append(verdict)
    return pa.concat_tables(parts).combine_chunks(), verdicts


def _task(
    examples: Examples, config: str, shift_columns: Sequence[str], seed: int
) -> Iterator[tuple[pa.Table, dict[str, Any] | None]]:
    entry = examples.configs[config]
    names = [n for n, s in entry.splits.items() if s.rows]
    reference = examples.reference_split(config)
    names.sort(key=lambda n: n != reference)
    columns = {n: _columns(examples, config, n) for n in names}
    own = [*dict.fromkeys([*entry.notes.get("shift_columns", []), *shift_columns])]
    for source, target in combinations(names, 2):
        a, b = columns[source], columns[target]
        table = balance(
            a,
            b,
            cluster="cluster_id",
            seed=seed,
            config=config,
            source_name=source,
            target_name=target,
        )
        yield table, None
        if source == reference:
            found = audit(
                a,
                b,
                label="label" if "label" in a.column_names else None,
                shift_columns=[c for c in own if c in a.column_names],
                cluster="cluster_id",
                seed=seed,
            )
            verdict = {"config": config, "source": source, "target": target,
                       "verdict": found.verdict, "words": found.words}  # fmt: skip
            yield found.rows(config=config, source_name=source, target_name=target), verdict


def _columns(examples: Examples, config: str, split: str) -> pa.Table:
    table = examples.split(config, split).table
    return table.select([n for n in table.column_names if n not in _NEVER])
