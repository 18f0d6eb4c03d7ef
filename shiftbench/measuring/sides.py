"""One side of a comparison: sampled examples with their features, labels, groups and clusters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.measuring.examples import Rows

__all__ = ["Side"]


@dataclass(frozen=True)
class Side:
    """Examples of one split, and their features, where a space could be fitted.

    Attributes
    ----------
    rows : Rows
    features : (n, d) float64 array or None
    contexts : mapping
        The context of each subset: ``cat(sofa)`` and ``dog(sofa)`` are one group. A subset that is
        not named is its own.
    """

    rows: Rows
    features: NDArray[np.float64] | None
    contexts: Mapping[str, str] = field(default_factory=dict)

    @property
    def clusters(self) -> list[str]:
        """The unit of independence of each example."""
        found: list[str] = self.rows.table["cluster_id"].to_pylist()
        return found

    @property
    def labels(self) -> list[str]:
        """The class of each example."""
        return [str(v) for v in self.rows.table["label"].to_pylist()]

    @property
    def memberships(self) -> list[list[str]] | None:
        """The contexts that each example is in; None without the column `subset`."""
        if "subset" not in self.rows.table.column_names:
            return None
        listed = self.rows.table["subset"].to_pylist()
        named = [v if isinstance(v, list) else [str(v)] for v in listed]
        return [sorted({self.contexts.get(n, n) for n in names}) for names in named]

    @property
    def groups(self) -> list[str] | None:
        """The contexts that each example is in, together one group."""
        found = self.memberships
        return None if found is None else [" + ".join(names) for names in found]

    def take(self, index: NDArray[np.int64]) -> Side:
        """Some of the examples."""
        features = None if self.features is None else self.features[index]
        return Side(self.rows.take(index), features, self.contexts)

    def labelled(self) -> Side:
        """The examples that have a class.

        Raises
        ------
        ConfigurationError
            The labels are not one class an example.
        """
        table = self.rows.table
        if "label" not in table.column_names:
            raise ConfigurationError("the task has no column 'label'")
        column = table["label"]
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            raise ConfigurationError(
                "its labels are lists (several findings an example), and this distance compares "
                "one label an example; the table `balance` compares each finding"
            )
        if pa.types.is_floating(column.type):
            raise ConfigurationError(
                "its labels are real numbers, and this distance compares classes; the table "
                "`balance` compares their means"
            )
        if not column.null_count:
            return self
        return self.take(np.flatnonzero(np.asarray(column.is_valid())))
