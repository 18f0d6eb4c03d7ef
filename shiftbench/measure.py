"""Measures the splits of a plan: what else differs between them."""

from __future__ import annotations

import pyarrow as pa

from shiftbench.distances.balance_table import balance
from shiftbench.plan import ConfigPlan, Plan, SplitPlan
from shiftbench.schema import BALANCE

__all__ = ["measure_balance"]


def measure_balance(plan: Plan) -> pa.Table:
    """Table `balance`: for each task, its training split against every other split.

    Examples
    --------
    >>> from shiftbench import builders, sources
    >>> source = sources.Scenes(n_scenes=100)
    >>> builder = builders.MetaShift(source, classes=["cat"], min_size=5, min_subsets=1)
    >>> measure_balance(builder.plan(source.scan(), seed=0)).num_rows  # there is no task
    0
    """
    parts = [BALANCE.empty_table()]
    for config in plan.configs:
        if config.kind != "task":
            continue
        reference = next((s for s in config.splits if s.role == "train"), config.splits[0])
        for split in config.splits:
            if split is not reference:
                parts.append(
                    balance(
                        _columns(plan, config, reference),
                        _columns(plan, config, split),
                        columns=None,
                        cluster="cluster_id",
                        seed=plan.seed,
                        config=config.name,
                        source_name=reference.name,
                        target_name=split.name,
                    )
                )
    return pa.concat_tables(parts)


def _columns(plan: Plan, config: ConfigPlan, split: SplitPlan) -> pa.Table:
    wanted = ["cluster_id", *plan.metadata_features()]
    table = plan.metadata.examples.select(wanted).take(split.rows["example"])
    if "label" in config.features:
        table = table.append_column("label", split.rows["label"].cast(pa.string()))
    return table
