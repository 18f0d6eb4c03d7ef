"""Tables encoded as scikit-learn would, and what the reference has not seen."""

from __future__ import annotations

import datetime
import decimal
import gzip

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import shiftbench.schema as features
from shiftbench.errors import ConfigurationError
from shiftbench.spaces import Tabular, embed


def fitted(table: pa.Table, **options):
    space = Tabular(**options)
    return space.fit(space.raw(table))


def test_numbers_are_standardised() -> None:
    x = np.random.default_rng(0).normal(3, 5, (50, 2)).round(1)
    table = pa.table({"a": x[:, 0], "b": x[:, 1].astype(np.float32)})
    np.testing.assert_allclose(
        embed("tabular", table)[0], StandardScaler().fit_transform(x), atol=1e-6
    )


def test_levels_are_one_hot_with_a_total_variance_of_one() -> None:
    levels = np.random.default_rng(0).choice(["x", "y", "z"], 60, p=[0.6, 0.3, 0.1])
    (made,) = embed("tabular", pa.table({"c": levels}))
    theirs = OneHotEncoder(sparse_output=False).fit_transform(levels[:, None])
    np.testing.assert_allclose(made[:, :3], theirs / np.sqrt(theirs.var(axis=0).sum()))
    assert (made[:, 3:] == 0).all()
    np.testing.assert_allclose(made.var(axis=0).sum(), 1)


def test_tags_count_once_a_row() -> None:
    table = pa.table({"t": [["a", "b", "a"], ["b", None], [], None]})
    made = fitted(table)
    assert made.names == ("t=a", "t=b", "t other", "t missing")
    hot = np.array([[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(made.transform(table), hot / np.sqrt(hot.var(axis=0).sum()))
    other = made.transform(pa.table({"t": [["c", "a"]]}))[0]
    assert (other > 0).tolist() == [True, False, True, False]
    assert len(fitted(table, max_levels=1).names) == 3


def test_missing_numbers_are_values() -> None:
    some = pa.table({"x": [1.0, None, 3.0, float("nan"), float("inf")]})
    made = fitted(some)
    assert made.names == ("x", "x missing")
    assert made.transform(some).tolist() == [[-1, 0], [0, 1], [1, 0], [0, 1], [0, 1]]
    none = fitted(pa.table({"x": [1.0, 3.0]}))
    assert none.names == ("x",)
    assert none.transform(some).ravel().tolist() == [-1, -2, 1, -2, -2]


def test_what_is_constant_in_the_reference_may_differ_elsewhere() -> None:
    made = fitted(pa.table({"x": [7, 7], "c": ["a", "a"], "n": pa.nulls(2)}))
    assert made.names == ("x", "c=a", "c other", "c missing", "n other", "n missing")
    here = pa.table({"x": [7], "c": ["a"], "n": pa.nulls(1)})
    assert made.transform(here).tolist() == [[0, 1, 0, 0, 0, 1]]
    there = pa.table({"x": [8, None], "c": ["b", None], "n": ["seen", None]})
    assert made.transform(there).tolist() == [[1, 0, 1, 0, 1, 0], [-1, 0, 0, 1, 0, 1]]
    empty = fitted(pa.table({"x": pa.array([None, None], pa.float64())}))
    assert empty.transform(pa.table({"x": [None, 5.0]})).tolist() == [[0, 1], [1, 0]]


def test_rare_levels_are_pooled() -> None:
    table = pa.table({"c": ["b"] * 5 + ["d"] * 3 + ["a"] * 3 + ["c"]})
    made = fitted(table, max_levels=2)
    assert made.names == ("c=a", "c=b", "c other", "c missing")  # a tie goes by name
    assert (made.transform(table)[:, 2] > 0).tolist() == [False] * 5 + [True] * 3 + [False] * 3 + [
        True
    ]


def test_every_kind_of_column() -> None:
    day = datetime.date(2024, 1, 1)
    table = pa.table(
        {
            "flag": [True, False, None],
            "level": pa.array(["u", "v", "u"]).dictionary_encode(),
            "large": pa.array(["u", "v", None], pa.large_string()),
            "day": [day, day + datetime.timedelta(days=2), None],
            "at": pa.array([0, 1_000_000, 2_000_000], pa.timestamp("us", "UTC")),
            "for": pa.array([1, 2, 3], pa.duration("s")),
            "price": [decimal.Decimal("1.5"), decimal.Decimal("2.5"), decimal.Decimal("3.5")],
            "tags": pa.array([["a"], [], None], pa.large_list(pa.string())),
        }
    )
    made = fitted(table)
    x = made.transform(table)
    assert x.shape == (3, len(made.names))
    assert np.isfinite(x).all()
    want = np.sqrt(1.5) * np.array([-1, 0, 1])
    for name in ("at", "for", "price"):
        np.testing.assert_allclose(x[:, made.names.index(name)], want)
    days = [x[:, made.names.index(n)].tolist() for n in ("day", "day missing")]
    assert days == [[-1, 1, 0], [0, 0, 1]]


def test_class_labels_are_levels_with_their_names() -> None:
    schema = features.arrow_schema(
        {
            "view": features.ClassLabel(("AP", "PA")),
            "findings": features.ListOf(features.ClassLabel(("none", "effusion"))),
        }
    )
    made = fitted(pa.table({"view": [0, 1], "findings": [[0], [1, 0]]}, schema=schema))
    assert made.names[:2] == ("view=AP", "view=PA")
    assert made.names[4:6] == ("findings=none", "findings=effusion")


def test_default_columns_leave_out_ids_labels_and_content() -> None:
    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("example_id", "cluster_id", "license", "locator")),
            ("label", pa.int64()),
            ("is_ood", pa.bool_()),
            ("subset", pa.list_(pa.string())),
            ("image", pa.struct([("bytes", pa.binary())])),
            ("box", pa.list_(pa.float32())),
            ("age", pa.int64()),
            ("sex", pa.string()),
        ]
    )
    assert Tabular().columns(schema) == ("age", "sex")
    assert Tabular(exclude=("sex",)).columns(schema) == ("age",)
    assert Tabular(only=("label", "sex")).columns(schema) == ("label", "sex")
    with pytest.raises(ConfigurationError, match="no column is left"):
        Tabular(exclude=("sex", "age")).columns(schema)
    with pytest.raises(ConfigurationError, match="'box' is of type"):
        Tabular(only=("box",)).columns(schema)
    with pytest.raises(ConfigurationError, match="did you mean 'age'"):
        Tabular(exclude=("agee",)).columns(schema)


def test_other_types_than_the_references_are_refused() -> None:
    made = fitted(pa.table({"x": [1, 2], "t": [["a"], ["b"]]}))
    with pytest.raises(ConfigurationError, match="'x' is of type string"):
        made.transform(pa.table({"x": ["1"], "t": [["a"]]}))
    with pytest.raises(ConfigurationError, match="in the reference a list"):
        made.transform(pa.table({"x": [1], "t": ["a"]}))
    with pytest.raises(ConfigurationError, match="no column 't'"):
        made.transform(pa.table({"x": [1]}))


def test_real_adults(shared_data) -> None:
    path = shared_data / "adult" / "adult.csv.gz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    with gzip.open(path) as file:
        table = pa.csv.read_csv(
            file,
            convert_options=pa.csv.ConvertOptions(null_values=["?"], strings_can_be_null=True),
        )
    (made,) = embed(Tabular(exclude=("income-per-year",)), table)
    assert len(made) == 32_561
    names = fitted(table, exclude=("income-per-year",)).names
    for column in ("age", "workclass", "native-country"):
        block = [j for j, n in enumerate(names) if n == column or n.startswith(f"{column}=")]
        block += [j for j, n in enumerate(names) if n in (f"{column} other", f"{column} missing")]
        np.testing.assert_allclose(made[:, block].var(axis=0).sum(), 1)
    assert made[:, names.index("workclass missing")].max() > 0
