"""Columns of numbers come as they are, or not at all."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from shiftbench.errors import ConfigurationError
from shiftbench.spaces import Column

VALUES = [[1.0, 2.5], [3.0, -4.0], [0.0, 1e-3]]


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float32()),
        pa.list_(pa.float64()),
        pa.large_list(pa.float64()),
        pa.list_(pa.float64(), 2),
        pa.list_(pa.float16()),
    ],
)
def test_lists_of_one_length(kind: pa.DataType) -> None:
    table = pa.table({"e": pa.array(VALUES, pa.list_(pa.float64())).cast(kind)})
    space = Column("e")
    for part in (table, table.slice(1), pa.concat_tables([table.slice(0, 1), table.slice(1)])):
        raw = space.raw(part)
        np.testing.assert_allclose(raw, np.array(VALUES)[len(VALUES) - len(part) :], rtol=1e-3)
    wide = pa.types.is_float64(kind.value_type)
    assert space.raw(table).dtype == (np.float64 if wide else np.float32)


@pytest.mark.parametrize("values", [[1, 2**40 + 1], [True, False], [0.1, 0.2]])
def test_one_number_a_row_keeps_its_precision(values: list[float]) -> None:
    space = Column("x")
    raw = space.raw(pa.table({"x": values}))
    fitted = space.fit(raw)
    assert fitted.names == ("x",)
    assert fitted.transform(raw).tolist() == [[float(v)] for v in values]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([[1.0, 2.0], [1.0]], "row 1 of the column 'e' has 1 numbers and row 0 has 2"),
        ([[1.0, 2.0], None], "row 1 of the column 'e' is null"),
        ([[1.0, 2.0], [1.0, None]], "row 1 of the column 'e' holds a null"),
        ([[], []], "row 0 of the column 'e' is an empty list"),
    ],
)
def test_what_is_no_matrix_is_refused_by_row(values, said: str) -> None:
    table = pa.table({"e": pa.array(values, pa.list_(pa.float64()))})
    with pytest.raises(ConfigurationError, match=said):
        Column("e").raw(table)


def test_a_missing_number_is_refused_by_row() -> None:
    with pytest.raises(ConfigurationError, match="row 2 of the column 'x' is null"):
        Column("x").raw(pa.table({"x": [1, 2, None]}))


def test_wrong_columns_are_refused_with_those_that_would_do() -> None:
    nested = pa.list_(pa.list_(pa.float32()))
    schema = pa.schema([("name", pa.string()), ("age", pa.int8()), ("grid", nested)])
    for column in ("name", "grid"):
        with pytest.raises(ConfigurationError, match=r"can be compared: age$"):
            Column(column).columns(schema)
    with pytest.raises(ConfigurationError, match="did you mean 'age'"):
        Column("agee").columns(schema)


def test_another_width_than_the_references_is_refused() -> None:
    space = Column("e")
    fitted = space.fit(space.raw(pa.table({"e": VALUES})))
    with pytest.raises(ConfigurationError, match="3 numbers each and the reference's 2"):
        fitted.transform(space.raw(pa.table({"e": [[1.0, 2.0, 3.0]]})))
