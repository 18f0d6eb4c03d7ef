"""From a source's metadata and options to configs whose tables are filled."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from shiftbench.errors import ConfigurationError
from shiftbench.plan import ConfigPlan
from shiftbench.schema import Metadata

from ..shared.division import uniforms
from .attribute import Grouped, find_groups, made_values
from .configs import cell_counts, config_names, config_plan
from .designs import designs
from .filling import GivenAttribute, MadeAttribute, Taken
from .made_examples import made_examples
from .pools import PURPOSE, make_pools
from .table_text import parse_cells, parse_tables

if TYPE_CHECKING:
    from .builder import Subpopulations

__all__ = ["plan_tables"]


def plan_tables(
    options: Subpopulations, metadata: Metadata, seed: int, excluded: frozenset[str]
) -> tuple[Metadata, list[ConfigPlan], dict[str, int], dict[str, pa.Table]]:
    """The metadata to plan with, the configs, what was left out, and the table `cell_counts`.

    Raises
    ------
    ConfigurationError
        The examples cannot be what the options ask for; what can be is said.
    """
    grouped = find_groups(
        metadata, options.label, options.classes, options.attribute, options.values, excluded
    )
    shares = _shares(options)
    if grouped.attribute is None:
        return _made(options, grouped, shares, seed)
    return _given(options, grouped, shares, seed)


def _shares(options: Subpopulations) -> dict[str, float]:
    """Of the units, by pool."""
    shares = {
        "ood_test": options.test,
        "id_test": options.test,
        "validation": options.validation,
        "ood_test_reversed": options.test if options.reversed_test else 0.0,
        "train_unlabeled": options.train_unlabeled,
        "target_unlabeled": options.target_unlabeled,
    }
    return {name: share for name, share in shares.items() if share}


def _given(
    options: Subpopulations, grouped: Grouped, shares: dict[str, float], seed: int
) -> tuple[Metadata, list[ConfigPlan], dict[str, int], dict[str, pa.Table]]:
    found, attribute = grouped.found, grouped.attribute
    assert attribute is not None
    classes, values = found.label.names, attribute.names
    cell = found.label.codes * len(values) + attribute.codes
    tested = None
    if options.design == "generalization":
        held = parse_cells(options.held_out, classes, values, "held_out")
        tested = np.isin(cell, [i * len(values) + j for i, j in held])
    pools = make_pools(found, cell, shares, seed, tested=tested)
    filling = GivenAttribute.of(classes, values, pools, cell)
    made = config_names(designs(options, filling, shares))
    own_attribute = "attribute" not in found.examples.column_names
    configs = []
    for name, design in made.items():
        taken = {p.name: filling.take(p.pool, p.path, p.t) for p in design.parts}
        config = config_plan(
            name,
            design,
            filling,
            taken,
            lambda some: some.rows,
            column=grouped.column,
            own_attribute=own_attribute,
            made="",
        )
        configs.append(_with_left_over(config, taken, len(found)))
    return found.metadata, configs, grouped.counts, {"cell_counts": cell_counts(made, filling)}


def _made(
    options: Subpopulations, grouped: Grouped, shares: dict[str, float], seed: int
) -> tuple[Metadata, list[ConfigPlan], dict[str, int], dict[str, pa.Table]]:
    found = grouped.found
    wanted = 2
    if options.cells:
        wanted = next(iter(parse_tables(options.cells).values())).shape[1]
    elif options.attribute_shares:
        wanted = len(options.attribute_shares)
    values, numbers = made_values(options.make, options.values, wanted)
    classes = found.label.names
    pools = make_pools(found, found.label.codes, shares, seed)
    uniform = uniforms(found.ids(), seed, f"{PURPOSE} value")
    filling = MadeAttribute.of(classes, values, pools, found.label.codes, uniform)
    made = config_names(designs(options, filling, shares))
    taken = {
        name: {p.name: filling.take(p.pool, p.path, p.t) for p in design.parts}
        for name, design in made.items()
    }
    m = len(values)

    def keys(some: Taken) -> Any:
        return some.rows * m + some.value

    every = np.concatenate([keys(t) for splits in taken.values() for t in splits.values()])
    shown = made_examples(found.metadata, every, options.make, values, numbers)
    own_attribute = "attribute" not in found.examples.column_names
    if not own_attribute:
        raise ConfigurationError(
            "the source has a column 'attribute', which is the name of the one that is made; "
            "rename it in the source"
        )
    configs = [
        _with_left_over(
            config_plan(
                name,
                design,
                filling,
                taken[name],
                lambda some: shown.rows(keys(some)),
                column="",
                own_attribute=True,
                made=options.make,
            ),
            taken[name],
            len(found),
        )
        for name, design in made.items()
    ]
    tables = {"cell_counts": cell_counts(made, filling)}
    return shown.metadata, configs, grouped.counts, tables


def _with_left_over(config: ConfigPlan, taken: dict[str, Taken], n: int) -> ConfigPlan:
    """How many examples no split of the config takes."""
    left = n - sum(len(t.rows) for t in taken.values())
    return replace(config, notes={**config.notes, "examples_left_over": left})
