"""Numbers that stand in the data already: an embedding, or a single measurement."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.spaces._columns import is_list, known
from shiftbench.spaces.space import Fitted

__all__ = ["Column"]


@dataclass(frozen=True)
class Column:
    """A column as it is: lists of numbers of one length, or one number a row.

    Nothing is centred or scaled. Columns of float64, and integers, keep their precision.

    Parameters
    ----------
    column : str
        Its name.

    Examples
    --------
    >>> space = Column("embedding")
    >>> raw = space.raw(pa.table({"embedding": [[1.0, 2.0], [3.0, 4.0]]}))
    >>> space.fit(raw).transform(raw).tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """

    name: ClassVar[str] = "column"

    column: str

    def columns(self, schema: pa.Schema) -> tuple[str, ...]:
        """The one column.

        Raises
        ------
        ConfigurationError
            There is no such column, or it holds no numbers.
        """
        kind = known(schema, self.column)
        if not _is_number(_inner(kind)):
            numeric = [field.name for field in schema if _is_number(_inner(field.type))]
            raise ConfigurationError(
                f"the column {self.column!r} is of type {kind}; numbers or lists of numbers can "
                f"be compared: {', '.join(numeric) or 'there are none'}"
            )
        return (self.column,)

    def raw(self, batch: pa.Table) -> NDArray[np.float32] | NDArray[np.float64]:
        """(n, d) numbers; (n, 1) where a row has one.

        Raises
        ------
        ConfigurationError
            A row is null, holds a null, or has not the length of the first.
        """
        self.columns(batch.schema)
        stored = batch.column(self.column).combine_chunks()
        kind = stored.type
        widths = None
        if _inner(kind) is not kind:
            widths = np.asarray(pc.fill_null(pc.list_value_length(stored), -1).to_numpy())
        self._refuse_ragged(stored, widths)
        flat = stored.flatten() if widths is not None else stored
        if flat.null_count:
            row = int(np.flatnonzero(np.asarray(flat.is_null()))[0])
            row //= int(widths[0]) if widths is not None else 1
            raise ConfigurationError(self._said(row, "holds a null"))
        small = pa.types.is_float32(flat.type) or pa.types.is_float16(flat.type)
        values = flat.cast(pa.float32() if small else pa.float64(), safe=False).to_numpy()
        # Arrow's buffers are read-only, and a batch's lie in a file's whole row group.
        return np.array(values).reshape(len(batch), -1 if len(batch) else 0)

    def fit(self, reference: NDArray[Any]) -> Fitted:
        """The identity, which knows how wide it is."""
        width = reference.shape[1]
        names = (self.column,) if width == 1 else tuple(f"{self.column} {j}" for j in range(width))
        return Fitted(partial(_as_it_is, width=width), names, {"space": "column", "width": width})

    def _refuse_ragged(self, stored: pa.Array, widths: NDArray[np.int64] | None) -> None:
        if stored.null_count:
            row = int(np.flatnonzero(np.asarray(stored.is_null()))[0])
            raise ConfigurationError(self._said(row, "is null"))
        if widths is None or not len(widths):
            return
        if widths[0] == 0:
            raise ConfigurationError(self._said(0, "is an empty list"))
        other = np.flatnonzero(widths != widths[0])
        if len(other):
            row = int(other[0])
            raise ConfigurationError(
                self._said(row, f"has {widths[row]} numbers and row 0 has {widths[0]}")
            )

    def _said(self, row: int, what: str) -> str:
        return (
            f"row {row} of the column {self.column!r} {what}; every example needs as many numbers "
            "as the others: leave such rows out or fill them"
        )


def _inner(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if is_list(kind) else kind


def _is_number(kind: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_integer(kind) or t.is_floating(kind) or t.is_boolean(kind))


def _as_it_is(raw: NDArray[Any], *, width: int) -> NDArray[np.float64]:
    if raw.shape[1] != width:
        raise ConfigurationError(
            f"the examples have {raw.shape[1]} numbers each and the reference's {width}; "
            "both must be embedded by the same model"
        )
    return raw.astype(np.float64)
