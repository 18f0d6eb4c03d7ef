"""What else differs between the splits of a task, and whether its shift is confounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
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
        Columns that are the shift itself, added to those that a task's notes name. Splits that
        notes name as `repeats` show the examples of another one again, and are not compared anew.
    seed : int

    Returns
    -------
    table : pa.Table
        Schema `BALANCE`.
    verdicts : list of dict
        Config, source, target, verdict and words for the training split against each other one,
        and for the splits that a task's notes name as `audit_from`.
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
    repeats = entry.notes.get("repeats", {})
    names = [n for n, s in entry.splits.items() if s.rows and n not in repeats]
    reference = examples.reference_split(config)
    audited = [n for n in (reference, *entry.notes.get("audit_from", [])) if n in names]
    names.sort(key=lambda n: audited.index(n) if n in audited else len(audited))
    columns = {n: _columns(examples, config, n) for n in names}
    own = [*dict.fromkeys([*entry.notes.get("shift_columns", []), *shift_columns])]
    for source, target in combinations(names, 2):
        a, b = _labels_on_both(columns[source], columns[target])
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
        if source in audited:
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


def _labels_on_both(*sides: pa.Table) -> Sequence[pa.Table]:
    """Without labels where one side has none: it is unlabelled or of other classes by design."""
    if all("label" in t.column_names for t in sides) and any(
        t["label"].null_count == len(t) for t in sides
    ):
        return [t.drop_columns("label") for t in sides]
    return sides


def _columns(examples: Examples, config: str, split: str) -> pa.Table:
    """The columns to compare; of examples cut from one input, which say the same, the first."""
    table = examples.split(config, split).table
    unit = examples.configs[config].notes.get("unit")
    if unit in table.column_names:
        first = table.append_column("_row", pa.array(range(len(table)))).group_by(unit)
        rows = first.aggregate([("_row", "min")])["_row_min"].to_numpy()
        table = table.take(np.sort(rows))
        table = table.drop_columns([c for c in (unit, "example_id") if c in table.column_names])
    return table.select([n for n in table.column_names if n not in _NEVER])
