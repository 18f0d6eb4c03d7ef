"""Two splits as tables: which columns can be compared, their rows in an order, their clusters."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.distances.columns import auditable, codes_of
from shiftbench.errors import ConfigurationError
from shiftbench.schema import PRIVATE_COLUMNS

__all__ = ["cluster_codes", "default_columns", "sorted_rows"]

Codes = NDArray[np.int64]


def default_columns(source: pa.Table, target: pa.Table, cluster: str | None) -> list[str]:
    """The columns that both splits have and that can be compared, ids and locators left out.

    Examples
    --------
    >>> t = pa.table({"example_id": ["a"], "cluster_id": ["a"], "age": [3], "image": [b""]})
    >>> default_columns(t, t, "cluster_id")
    ['age']
    """
    never = {"example_id", cluster, *PRIVATE_COLUMNS}
    return [
        field.name
        for field in source.schema
        if field.name in target.column_names
        and field.name not in never
        and auditable(field.type)
        and auditable(target.schema.field(field.name).type)
    ]


def sorted_rows(table: pa.Table, cluster: str | None) -> pa.Table:
    """The rows in an order that does not depend on how they came, where ids allow it."""
    keys = [name for name in (cluster, "example_id") if name and name in table.column_names]
    return table.sort_by([(name, "ascending") for name in keys]) if keys else table


def cluster_codes(
    source: pa.Table, target: pa.Table, cluster: str | None
) -> tuple[Codes, list[str]]:
    """The cluster number of each row, the source's rows first, and the clusters' names.

    Raises
    ------
    ConfigurationError
        A split has no such column, or rows without a cluster.

    Examples
    --------
    >>> a, b = pa.table({"patient": ["p", "q"]}), pa.table({"patient": ["p"]})
    >>> cluster_codes(a, b, "patient")
    (array([0, 1, 0]), ['p', 'q'])
    """
    if cluster is None:
        n = source.num_rows + target.num_rows
        return np.arange(n, dtype=np.int64), [str(i) for i in range(n)]
    ids = []
    for which, table in (("source", source), ("target", target)):
        if cluster not in table.column_names:
            raise ConfigurationError(
                f"the {which} split has no column {cluster!r} to tell which rows belong together; "
                f"it has: {', '.join(table.column_names)}; name it, or None for independent rows"
            )
        column = table.column(cluster)
        if column.null_count:
            raise ConfigurationError(
                f"{column.null_count} rows of the {which} split have no {cluster!r}; every row "
                "needs a cluster (its own id where it stands alone)"
            )
        ids.extend(column.cast(pa.large_string()).chunks)
    return codes_of(pa.chunked_array(ids, type=pa.large_string()))
