"""The test examples once more for each corruption: their rows, ids and splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.plan import SplitPlan
from shiftbench.schema import slug
from shiftbench.transforms.corruption import CorruptionStep

from ..shared.assembly import coded, split_plan
from ..shared.changed import MARK
from ..shared.labelled import Labelled
from .reading import corrupted_locators

__all__ = ["COLUMNS", "UNIT", "Copies", "copies", "slug_of"]

Rows = NDArray[np.int64]

UNIT = "unchanged_id"
"""Column with the id of the example that a changed one is made from, or of the example itself."""

COLUMNS = ("corruption", "severity", "parameter")
"""Columns that are the shift itself."""


def slug_of(step: CorruptionStep) -> str:
    """For the names of splits and ids.

    Examples
    --------
    >>> slug_of(CorruptionStep("jpeg", 3)), slug_of(CorruptionStep("jpeg", value=40))
    ('jpeg_3', 'jpeg_at_40')
    """
    if step.severity is not None:
        return f"{step.name}_{step.severity}"
    return slug(f"{step.name} at {str(step).partition(':')[2]}")


@dataclass(frozen=True, eq=False)
class Copies:
    """All examples, each changed one right behind that which it is made from.

    Attributes
    ----------
    examples : pa.Table
        As `Metadata.examples`, with the column `UNIT`.
    origin : (n,) int64 array
        The row of `Labelled` of each.
    first : (m,) int64 array
        Where each example of `Labelled` itself stands.
    of_step : tuple of int64 arrays
        The rows of each step's copies.
    steps : tuple of CorruptionStep
    """

    examples: pa.Table
    origin: Rows
    first: Rows
    of_step: tuple[Rows, ...]
    steps: tuple[CorruptionStep, ...]

    def split(
        self, found: Labelled, name: str, role: str, chosen: Sequence[int] | Rows, **options: Any
    ) -> SplitPlan:
        """A split of unchanged examples, or of the copies of some steps.

        Parameters
        ----------
        chosen : int64 array or sequence of int
            Rows of `found`, or numbers of steps.
        """
        if isinstance(chosen, np.ndarray):
            rows = self.first[chosen]
            which = np.full(len(rows), -1)
        else:
            rows = np.concatenate([self.of_step[k] for k in chosen])
            which = np.repeat(np.array(chosen), [len(self.of_step[k]) for k in chosen])
        shift = "covariate" if options else "none"
        columns = {"label": coded(found.label.codes[self.origin[rows]]), **self._told(which)}
        return split_plan(name, role, shift, rows, columns, **options)

    def _told(self, which: NDArray[np.int64]) -> Mapping[str, pa.Array]:
        at = pa.array(which, mask=which < 0)
        names = pa.array([s.name for s in self.steps], pa.string())
        levels = pa.array([s.severity for s in self.steps], pa.int32())
        values = pa.array([s.value for s in self.steps], pa.float64())
        return {
            "corruption": pc.fill_null(names.take(at), "none"),
            "severity": pc.if_else(at.is_valid(), levels.take(at), pa.scalar(0, pa.int32())),
            "parameter": values.take(at),
        }


def copies(found: Labelled, wanted: Sequence[tuple[CorruptionStep, Rows]]) -> Copies:
    """The examples, and those of some rows once more for each step.

    Raises
    ------
    ConfigurationError
        The source has a column of a name that is needed, or two changed examples get one id.
    """
    clash = [c for c in (UNIT, *COLUMNS) if c in found.examples.column_names]
    if clash:
        raise ConfigurationError(
            f"the source has a column {clash[0]!r}, which is the name of one of the benchmark's "
            "own; rename it in the source"
        )
    n = len(found)
    number = np.concatenate(
        [np.full(n, -1), *(np.full(len(r), k) for k, (_, r) in enumerate(wanted))]
    )
    origin = np.concatenate([np.arange(n), *(rows for _, rows in wanted)])
    order = np.lexsort((number, origin))
    origin, number = origin[order], number[order]
    table = found.examples.take(pa.array(origin)).combine_chunks()
    plain = table["example_id"].combine_chunks()
    at = pa.array(number, mask=number < 0)
    texts = pa.array([str(step) for step, _ in wanted], pa.string()).take(at)
    slugs = pa.array([slug_of(step) for step, _ in wanted], pa.string()).take(at)
    ids = pc.coalesce(pc.binary_join_element_wise(plain, slugs, MARK), plain)
    locator = table["locator"].combine_chunks()
    where = pc.coalesce(corrupted_locators(locator, plain, texts), locator.cast(pa.string()))
    for name, values in (("example_id", ids), ("locator", where)):
        table = table.set_column(table.schema.get_field_index(name), name, values)
    if pc.count_distinct(ids).as_py() < len(ids):
        raise ConfigurationError(
            "the source has ids that are those of other examples with "
            f"{MARK}{slugs.drop_null()[0]} behind them; give the source another column of ids"
        )
    return Copies(
        examples=table.append_column(UNIT, plain),
        origin=origin,
        first=np.flatnonzero(number < 0),
        of_step=tuple(np.flatnonzero(number == k) for k in range(len(wanted))),
        steps=tuple(step for step, _ in wanted),
    )
