"""Tables: every form of file, odd columns, ids and clusters, and what cannot be used."""

from __future__ import annotations

import csv
import gzip
import io
import math
import pickle
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftbench.errors import ConfigurationError, SourceError
from shiftbench.schema import PRIVATE_COLUMNS, Source, feature_of
from shiftbench.sources import Table
from shiftbench.sources._plain_columns import first_of_each, mixed, rows_alike

datasets.disable_progress_bars()

PEOPLE = {
    "age": [39, 50, None],
    "work": ["private", "state", None],
    "hours": [40.5, 13.0, 40.0],
    "day": [date(2020, 1, 2), None, date(2021, 3, 4)],
    "rich": [True, False, True],
}


def public(table: pa.Table) -> list[dict]:
    return table.drop_columns(list(PRIVATE_COLUMNS[:1] + PRIVATE_COLUMNS[2:])).to_pylist()


def write(path: Path, table: pa.Table) -> str:
    """The table in the form that the path's ending names."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        pq.write_table(table, path, row_group_size=2)
    elif name.endswith(".feather"):
        pyarrow.feather.write_feather(table, str(path))
    elif name.endswith(".arrow"):
        with pa.ipc.new_stream(str(path), table.schema) as sink:
            sink.write_table(table, max_chunksize=2)
    else:
        out = io.StringIO()
        delimiter = "," if name.endswith(".csv") else "\t"
        rows = csv.writer(out, delimiter=delimiter, lineterminator="\n")
        rows.writerow(table.column_names)
        rows.writerows(["" if v is None else v for v in r.values()] for r in table.to_pylist())
        data = out.getvalue().encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


FORMS = ["t.parquet", "t.feather", "t.arrow", "t.csv", "t.csv.gz", "t.tsv", "t.txt.gz"]


@pytest.mark.parametrize("form", [*FORMS, "disk", "dataset"])
def test_every_form_of_table_says_the_same(form: str, tmp_path: Path) -> None:
    table = pa.table(PEOPLE)
    made: object = datasets.Dataset(table)
    if form == "disk":
        datasets.Dataset(table).save_to_disk(str(tmp_path / "d"))
        made = str(tmp_path / "d")
    elif form != "dataset":
        made = write(tmp_path / form, table)
    source = Table(made)  # type: ignore[arg-type]
    assert isinstance(source, Source)
    found = pickle.loads(pickle.dumps(source)).scan()
    assert public(found.examples) == [
        {"example_id": f"{i:08d}", "cluster_id": f"{i:08d}", **dict(zip(PEOPLE, row, strict=True))}
        for i, row in enumerate(zip(*PEOPLE.values(), strict=True))
    ]
    assert found.columns == tuple(PEOPLE)
    assert found.content == {}
    assert found.fingerprint == Table(datasets.Dataset(table)).scan().fingerprint  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="source of images"):
        source.reader()


def test_ids_clusters_and_licences(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "id, who,x,terms,text,zip\n"
        "010,ann,1,cc0-1.0, NA ,007\n"
        "2,,2,,good,100\n"
        "009,bob,3,mit,,008\n"
        "NA,ann,4,,bad,1\n"
    )
    found = Table(
        str(tmp_path / "t.csv"),
        id_column="id",
        cluster_column="who",
        license_column="terms",
        as_text=("zip",),
        drop=("text",),
        features=("x", "zip"),
    ).scan()
    assert found.examples["example_id"].to_pylist() == ["009", "010", "2", "NA"]
    assert found.examples["cluster_id"].to_pylist() == ["bob", "ann", "row 2", "ann"]
    assert found.examples["license"].to_pylist() == ["mit", "cc0-1.0", None, None]
    assert found.examples["zip"].to_pylist() == ["008", "007", "100", "1"]
    assert found.counts == {"rows_without_a_cluster": 1}
    assert found.columns == ("x", "zip")
    text = Table(str(tmp_path / "t.csv"), text_column="text", drop=("zip",)).scan()
    assert text.columns == ("text",)
    assert text.examples["text"].to_pylist() == ["NA", "good", None, "bad"]


def test_the_text_column_is_called_text() -> None:
    made = datasets.Dataset.from_dict({"claim": [" a b", "c"], "topic": ["x", "y"]})
    found = Table(made, text_column="claim").scan()  # type: ignore[arg-type]
    assert found.columns == ("text",)
    assert found.examples.column_names[2:4] == ["text", "topic"]
    assert found.examples["text"].to_pylist() == ["a b", "c"]


def test_class_labels_numbers_and_times_of_other_kinds() -> None:
    features = datasets.Features(
        {"mood": datasets.ClassLabel(names=["calm", "wild"]), "box": {"x": datasets.Value("int32")}}
    )
    made = datasets.Dataset.from_dict(
        {"mood": [1, None, 0], "box": [{"x": 1}] * 3}, features=features
    )
    found = Table(made).scan()  # type: ignore[arg-type]
    assert found.examples["mood"].to_pylist() == ["wild", None, "calm"]
    assert found.counts["columns_left_out"] == 1


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pa.array([1.5, math.nan, None]), [1.5, None, None]),
        (pa.array([Decimal("1.25"), None, Decimal("-3.00")]), [1.25, None, -3.0]),
        (pa.array([1.5, 2, 3], pa.float16()), [1.5, 2.0, 3.0]),
        (
            pa.array([0, 1, None], pa.timestamp("s", "Europe/Oslo")),
            [datetime(1970, 1, 1), datetime(1970, 1, 1, 0, 0, 1), None],
        ),
        (pa.array([0, 10**9, None], pa.timestamp("ns")), [datetime(1970, 1, 1)] * 1 + [
            datetime(1970, 1, 1, 0, 0, 1), None]),
        (pa.array([0, 86_400_000, None], pa.date64()), [date(1970, 1, 1), date(1970, 1, 2), None]),
        (pa.array([60, None, 0], pa.time32("s")), ["00:01:00", None, "00:00:00"]),
        (pa.array([None, None, None]), [None] * 3),
        (pa.array(["a ", "", " ?"]).dictionary_encode(), ["a", None, None]),
        (pa.array(["a ", "", "?"], pa.large_string()), ["a", None, None]),
        (pa.array(["a ", "", "?"], pa.string_view()), ["a", None, None]),
        (pa.array([["a"], [], None]), [["a"], [], None]),
        (pa.array([1, 255, None], pa.uint8()), [1, 255, None]),
    ],
    ids=lambda v: str(v.type) if isinstance(v, pa.Array) else "",
)  # fmt: skip
def test_columns_of_every_kind_come_as_the_format_has_them(
    column: pa.Array, values: list, tmp_path: Path
) -> None:
    with pa.ipc.new_file(str(tmp_path / "t.arrow"), pa.schema([("c", column.type)])) as sink:
        sink.write_table(pa.table({"c": column}))
    found = Table(str(tmp_path / "t.arrow"), missing=("?",)).scan().examples["c"]
    assert found.to_pylist() == values
    assert feature_of(found.type)


def test_missing_texts_leave_numbers_numbers(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1, ?\n ?,x\n3,y\n")
    found = Table(str(tmp_path / "t.csv"), missing=("?",)).scan().examples
    assert found.select(["a", "b"]).to_pydict() == {"a": [1, None, 3], "b": [None, "x", "y"]}


def test_quotes_are_text_where_tabs_stand_between_columns(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text('a\tb\n"one\tno "end"\n')
    found = Table(str(tmp_path / "t.txt")).scan().examples
    assert found.select(["a", "b"]).to_pylist() == [{"a": '"one', "b": 'no "end"'}]


def test_rows_without_an_id_of_their_own_are_rejected() -> None:
    made = datasets.Dataset.from_dict({"id": [3, 1, None, 1, *range(10, 30)], "x": [0] * 24})
    found = Table(made, id_column="id").scan()  # type: ignore[arg-type]
    assert found.examples["example_id"].to_pylist() == sorted(["3", "1", *map(str, range(10, 30))])
    assert found.rejected.to_pylist() == [
        {"input": "datasets.Dataset: row 2", "reason": "the row has no id"},
        {
            "input": "datasets.Dataset: row 3",
            "reason": "an earlier row has its id; that is used",
        },
    ]
    patients = datasets.Dataset.from_dict({"patient": ["a", "b"] * 20, "x": [0] * 40})
    with pytest.raises(ConfigurationError, match=r"38 of 40 rows.*cluster_column"):
        Table(patients, id_column="patient").scan()  # type: ignore[arg-type]


def test_the_row_order_of_a_table_with_ids_does_not_count() -> None:
    rng = np.random.default_rng(0)
    columns = {"id": [f"p{i}" for i in range(50)], "x": rng.normal(size=50), "who": ["a", "b"] * 25}
    table = pa.table(columns)
    made = [
        Table(datasets.Dataset(t), id_column="id", cluster_column="who").scan()  # type: ignore[arg-type]
        for t in (table, table.take(rng.permutation(50)))
    ]
    assert made[0].examples.equals(made[1].examples)
    assert made[0].fingerprint == made[1].fingerprint


@given(st.data())
@settings(max_examples=60)
def test_any_columns_come_back(data) -> None:
    names = data.draw(
        st.lists(
            st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=5)
            .map(str.strip)
            .filter(lambda n: n and not set(n) & set("+,=") and n not in PRIVATE_COLUMNS),
            unique=True,
            min_size=1,
            max_size=4,
        )
    )
    n = data.draw(st.integers(1, 6))
    kinds = [st.integers(-9, 9), st.floats(allow_nan=False), st.booleans(), st.text(max_size=3)]
    columns = {
        name: data.draw(
            st.lists(st.none() | data.draw(st.sampled_from(kinds)), min_size=n, max_size=n)
        )
        for name in names
    }
    table = pa.table({k: pa.array(v) for k, v in columns.items()})
    source = Table(datasets.Dataset(table))  # type: ignore[arg-type]
    found = source.scan()
    assert found.columns == tuple(names)
    expected = {
        k: [(v.strip() or None) if isinstance(v, str) else v for v in values]
        for k, values in columns.items()
    }
    for name, values in expected.items():
        # Arrow trims what Unicode calls white space, Python a little more.
        got = found.examples[name].to_pylist()
        got = [(v.strip() or None) if isinstance(v, str) else v for v in got]
        assert got == values


@given(st.lists(st.none() | st.sampled_from("abcd"), max_size=12))
def test_first_of_each_is_the_first(names) -> None:
    found = first_of_each(pa.chunked_array([pa.array(names, pa.string())]))
    assert found.tolist() == [n not in names[:i] for i, n in enumerate(names)]


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-1, 1),
            st.none() | st.sampled_from([0.0, 1.5]),
            st.none() | st.sampled_from(["", "a"]),
            st.none() | st.booleans(),
        ),
        max_size=12,
    )
)
def test_rows_alike_counts_repeated_rows(rows) -> None:
    kinds = [pa.int64(), pa.float64(), pa.string(), pa.bool_()]
    columns = zip(*rows, strict=True) if rows else [[]] * 4
    table = pa.table(
        {str(i): pa.array(c, k) for i, (c, k) in enumerate(zip(columns, kinds, strict=True))}
    )
    assert rows_alike(table) == len(rows) - len(set(rows))


def test_numbers_and_texts_in_one_column_are_told(tmp_path: Path) -> None:
    rows = [str(i) for i in range(20)] + ["unknown"]
    (tmp_path / "t.csv").write_text("\n".join(["age", *rows]) + "\n")
    path = str(tmp_path / "t.csv")
    with pytest.raises(ConfigurationError, match=r"'age'.*'unknown'.*missing.*as_text"):
        Table(path).scan()
    assert Table(path, missing=("unknown",)).scan().examples["age"].null_count == 1
    assert Table(path, as_text=("age",)).scan().examples["age"].to_pylist()[-1] == "unknown"
    assert mixed(pa.chunked_array([pa.array(["1", "12A"])])) == []


@pytest.mark.parametrize(
    ("columns", "options", "said"),
    [
        ({"age": [1]}, {"id_column": "agee"}, r"id_column .*'agee'.*did you mean 'age'"),
        ({"age": [1]}, {"features": ("x",)}, "features names the column 'x'"),
        ({"age": [1]}, {"drop": ("x",)}, "drop names the column 'x'"),
        ({"age": [1]}, {"drop": "x"}, "give a list"),
        ({"a": [1], "b": [2]}, {"features": ("a",), "drop": ("a",)}, "by features and by drop"),
        ({"a": ["x"]}, {"features": ("a",), "text_column": "a"}, "give one of them"),
        ({"a": [1]}, {"text_column": "a"}, "text column 'a' is of type int64"),
        ({"a": [{"x": 1}], "b": [1]}, {"features": ("a",)}, "nothing plain"),
        ({"a": [1.5], "b": [1]}, {"id_column": "a"}, "is of type double"),
        ({"a": [None], "b": [1]}, {"cluster_column": "a"}, "empty in every row"),
        ({"locator": [1]}, {}, r"drop=\('locator',\)"),
        ({"cluster_id": [1]}, {}, "name it with cluster_column"),
        ({"text": ["b"], "a": ["c"]}, {"text_column": "a"}, "the column 'text'"),
        ({"a+b": [1]}, {}, r"'\+', which a feature's name cannot"),
        ({"a": [1], " a": [2]}, {}, "two columns have the name 'a'"),
        ({"": [1], "a": [2]}, {}, "has no name"),
        ({"a\nb": [1]}, {}, "control characters"),
    ],
)
def test_what_does_not_fit_is_told(columns, options, said) -> None:
    made = datasets.Dataset(pa.table(columns))
    with pytest.raises(ConfigurationError, match=said):
        Table(made, **options).scan()


def test_odd_names_are_allowed_beside_the_features() -> None:
    made = datasets.Dataset(pa.table({"a+b": [1], "": [1], "c": [2]}))
    found = Table(made, features=("c",), drop=("",)).scan()  # type: ignore[arg-type]
    assert found.columns == ("c",)
    assert found.examples["a+b"].to_pylist() == [1]


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    for name in ("t.csv", "t.tsv", "t.arrow", "t.parquet"):
        with pytest.raises(SourceError, match="no such file"):
            Table(str(tmp_path / name)).scan()
        (tmp_path / name).write_bytes(b"a\x00\xff\nb,c\td\n")
        with pytest.raises(SourceError, match=name.replace(".", r"\.")):
            Table(str(tmp_path / name)).scan()
    (tmp_path / "e.csv").write_text("a,b\n")
    with pytest.raises(SourceError, match="no rows"):
        Table(str(tmp_path / "e.csv")).scan()
    (tmp_path / "short.csv").write_text("a,b\n1,2\n3\n")
    with pytest.raises(SourceError, match="Expected 2 columns, got 1"):
        Table(str(tmp_path / "short.csv")).scan()


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".csv.gz"])
@pytest.mark.parametrize(
    ("encoding", "said"), [("utf-16", "names of the columns"), ("latin-1", "column 'b'")]
)
def test_text_in_another_encoding_is_refused(
    tmp_path: Path, ending: str, encoding: str, said: str
) -> None:
    path = tmp_path / f"t{ending}"
    data = "\n".join("\t,"[ending[1] == "c"].join(row) for row in (("a", "b"), ("1", "größe")))
    encoded = data.encode(encoding)
    path.write_bytes(gzip.compress(encoded) if ending.endswith("gz") else encoded)
    with pytest.raises(SourceError, match=f"{said}.*UTF-8"):
        Table(str(path)).scan()


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_a_quote_that_is_never_closed_is_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t{ending}"
    for text, rows in (
        ('a,b\n1,"open\n2,shut\n3,shut\n', None),
        ('a,b\n1,"open\n2,shut"\n\n', 1),
        ('a,b\n1,"two ""words"""\n2,5" wide\n', 2),
    ):
        encoded = text.encode()
        path.write_bytes(gzip.compress(encoded) if ending.endswith("gz") else encoded)
        if rows is None:
            with pytest.raises(SourceError, match=r"quote is never closed.*'open"):
                Table(str(path)).scan()
        else:
            assert len(Table(str(path)).scan().examples) == rows


def test_adult(shared_data: Path) -> None:
    found = Table(str(shared_data / "adult" / "adult.csv.gz"), missing=("?",)).scan()
    table = found.examples
    assert len(table) == 32_561
    assert found.notes["rows"].startswith("24 rows kept that equal another")
    assert table["workclass"].null_count == 1836
    assert table["age"].type == pa.int64()
    assert sorted(table["sex"].unique().to_pylist()) == ["Female", "Male"]
    assert len(found.columns) == 15


def test_arguments(shared_data: Path) -> None:
    path = shared_data / "arguments" / "train-full.txt"
    source = Table(str(path), id_column="#id", cluster_column="debateTitle", text_column="reason")
    found = source.scan()
    assert len(found.examples) == 1210
    assert found.columns == ("text",)
    assert len(found.examples["cluster_id"].unique()) == 111
    assert found.examples["example_id"].to_pylist() == sorted(
        line.split("\t")[0] for line in path.read_text("utf-8").splitlines()[1:]
    )
