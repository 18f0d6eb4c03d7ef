"""Groups: every way to say them gives the same groups."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation.groups import Groups, column_groups, groups_of
from shiftbench.statistics import Clusters, stream
from shiftbench.statistics.proportions import cluster_counts


def members(groups):
    return {name: rows.tolist() for name, rows in groups.rows()}


EXPECTED = {"a": [0, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ([["a"], ["b"], ["b", "a"]], None),
        (pa.array([["a"], ["b"], ["b", "a"]]), None),
        (pa.chunked_array([[["a"]], [["b"], ["b", "a"]]]), None),
        (pa.array([["a"], ["b"], ["b", "a"]], pa.large_list(pa.large_string())), None),
        ([{"a"}, ("b",), np.array(["b", "a"])], None),
        (np.array([[True, False], [False, True], [True, True]]), ["a", "b"]),
        (np.array([[1, 0], [0, 1], [1, 1]]), ["a", "b"]),
        (Groups.of_csr([0, 1, 2, 4], [0, 1, 1, 0], ["a", "b"]), None),
    ],
)
def test_overlapping_groups_from_anything(source, names) -> None:
    groups = groups_of(source, 3, names)
    assert members(groups) == EXPECTED
    assert not groups.disjoint()


@pytest.mark.parametrize(
    "source",
    [
        ["x", "", "x"],
        np.array(["x", "", "x"]),
        np.array(["x", "", "x"], dtype=object),
        pa.array(["x", "", "x"]),
        pa.array(["x", "", "x"]).dictionary_encode(),
        {"group": ["x", "", "x"]},
        pa.table({"g": ["x", "", "x"]}),
    ],
)
def test_one_group_an_example_from_anything(source) -> None:
    groups = groups_of(source, 3)
    assert members(groups) == {"": [1], "x": [0, 2]}
    assert groups.disjoint()


def test_numbers_sort_as_numbers_and_zero_is_a_value() -> None:
    assert groups_of([10, 9, 0, 9], 4).names == ("0", "9", "10")
    assert groups_of([True, False], 2).names == ("False", "True")


def test_missing_values_are_a_group_of_their_own() -> None:
    assert groups_of(["a", None, "a"], 3).names == ("a", "(missing)")
    assert groups_of([1.0, np.nan, 2.0], 3).names == ("1", "2", "(missing)")
    assert groups_of(["(missing)", None], 2).names == ("(missing)", "(missing)*")
    assert members(groups_of([["a"], None, ["a", None]], 3)) == {
        "a": [0, 2],
        "(missing)": [1, 2],
    }


def test_an_empty_list_is_in_no_group() -> None:
    groups = Groups.of_lists([[], ["a"], []])
    assert members(groups) == {"a": [1]}
    assert groups.disjoint()
    assert groups.sizes().tolist() == [1]
    assert Groups.of_lists([]).names == ()
    assert Groups.of_lists([None]).names == ("(missing)",)


def test_combinations_are_those_that_occur() -> None:
    table = pa.table({"place": ["water", "land", "water"], "y": [1, 0, 1], "other": [1, 2, 3]})
    groups = column_groups(table, ["place", "y"])
    assert groups.names == ("land & y=0", "water & y=1")
    assert groups.sizes().tolist() == [1, 2]
    assert column_groups(table, "y").names == ("0", "1")


def test_a_name_does_not_depend_on_what_else_occurs() -> None:
    alone = column_groups({"p": ["u"], "q": ["v & w"]})
    beside = column_groups({"p": ["u", "u & v"], "q": ["v & w", "w"]})
    assert set(alone.names) <= set(beside.names)
    whole = column_groups({"dose": [1.0, 2.0, None]})
    assert whole.names[:2] == column_groups({"dose": [1.0, 2.0, 2.5]}).names[:2] == ("1", "2")


def test_edges_that_differ_little_keep_their_groups_apart() -> None:
    days = [20150100.0, 20150101.0, 20150102.0, 20150103.0]
    groups = column_groups({"day": days}, bins={"day": [20150101, 20150102, 20150103]})
    assert groups.sizes()[:4].tolist() == [1, 1, 1, 1]
    assert "20150101 ≤ day < 20150102" in groups.names
    assert column_groups({"x": [0.0, -0.0]}).names == ("0",)


def test_a_value_that_could_be_two_is_in_quotes() -> None:
    groups = column_groups({"p": ["a & b", "a"], "q": ["c", "b & c"]})
    assert groups.names == ('a & "b & c"', '"a & b" & c')


def test_many_columns_stay_apart() -> None:
    columns = {f"c{i}": stream(i, "test").integers(0, 3, 200).astype(str) for i in range(45)}
    assert sorted(column_groups(columns).sizes().tolist()) == [1] * 200


def test_bins() -> None:
    groups = column_groups({"age": [17, 18, 64, 65, None]}, bins={"age": [18, 65]})
    assert groups.names == ("age < 18", "18 ≤ age < 65", "age ≥ 65", "age=(missing)")
    assert groups.sizes().tolist() == [1, 2, 1, 1]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: column_groups({"place": ["a"]}, "plaec"), "did you mean 'place'"),
        (lambda: column_groups({}), "no column"),
        (lambda: column_groups({"a": [1], "b": [1, 2]}), "different lengths"),
        (lambda: column_groups({"a": [1]}, bins={"a": [2, 1]}), "rising"),
        (lambda: column_groups({"a": ["x"]}, bins={"a": [1]}), "edges are for numbers"),
        (lambda: column_groups({"a": stream(0, "t").random(200)}), "edges of bins"),
        (lambda: groups_of(["a"], 2), "groups for 1 examples, but 2"),
        (lambda: groups_of(np.eye(2), 2), "names of its columns"),
        (lambda: groups_of(np.eye(2), 2, ["a"]), "shape"),
        (lambda: groups_of(np.eye(2) * 3, 2, ["a", "b"]), "True and False"),
        (lambda: Groups.of_csr([0, 2], [0, 0], ["a"]), "position 0 is in group 'a' twice"),
        (lambda: Groups.of_lists([["a"], ["b", "c", "b"]]), "position 1 is in group 'b' twice"),
        (lambda: Groups.of_csr([0, 1], [1], ["a"]), "count from 0"),
        (lambda: Groups.of_csr([0, 1], [0], ["a", "a"]), "same name"),
        (lambda: Groups.of_csr([0, 3], [0], ["a"]), "offsets"),
    ],
)
def test_bad_groups_are_refused(call, words) -> None:
    with pytest.raises(ConfigurationError, match=words):
        call()


@pytest.fixture(params=["overlapping", "one each"])
def drawn(request):
    rng = stream(0, "test of groups", request.param)
    n = 300
    if request.param == "one each":
        groups = groups_of(rng.integers(0, 7, n), n)
    else:
        groups = Groups.of_matrix(rng.random((n, 7)) < 0.3, list("abcdefg"))
    flags, known = rng.random(n) < 0.7, rng.random(n) < 0.9
    return groups, flags, known, Clusters.of(rng.integers(0, 60, n))


def test_sums_are_the_loops(drawn, monkeypatch) -> None:
    groups, flags, known, clusters = drawn
    monkeypatch.setattr("shiftbench.evaluation._groups.EXAMPLES", 17)
    monkeypatch.setattr("shiftbench.evaluation._groups.CLUSTERED", 23)
    x = stream(1, "test").normal(size=groups.n)
    plain, some = groups.counts(flags), groups.counts(flags, known)
    grouped = groups.counts(flags, known, clusters)
    table = stream(2, "test").normal(size=(7, 2))
    gathered = np.zeros(groups.n)
    for g, (_, rows) in enumerate(groups.rows()):
        keep = rows[known[rows]]
        assert groups.sizes()[g] == plain.n[g] == len(rows)
        assert plain.successes[g] == flags[rows].sum()
        assert (some.n[g], some.successes[g]) == (len(keep), flags[keep].sum())
        assert groups.sums(x)[g] == pytest.approx(x[rows].sum())
        codes = np.unique(clusters.codes[keep], return_inverse=True)[1]
        alone = cluster_counts(np.bincount(codes, weights=flags[keep]), np.bincount(codes))
        for name in ("successes", "n", "n_clusters", "effective", "df"):
            assert getattr(grouped, name)[g] == pytest.approx(getattr(alone, name)[0])
        gathered[rows] += table[g, flags[rows].astype(int)]
    assert groups.gathered(table, flags.astype(int)) == pytest.approx(gathered)


def test_clusters_in_any_order_are_the_same(drawn) -> None:
    groups, flags, known, clusters = drawn
    order = np.argsort(clusters.codes, kind="stable")
    ordered = Groups.of_matrix(
        np.stack([np.isin(np.arange(groups.n), r) for _, r in groups.rows()], axis=1)[order],
        groups.names,
    )
    a = groups.counts(flags, known, clusters)
    b = ordered.counts(flags[order], known[order], Clusters(clusters.codes[order], 60))
    assert a.effective == pytest.approx(b.effective)
    assert a.df == pytest.approx(b.df)
