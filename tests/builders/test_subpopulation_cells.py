"""Cell tables: exact margins, exact association, whole exchanges; text; from counts to examples."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.builders.subpopulation.cells import (
    comonotone,
    cramers_v,
    independent,
    margins,
    proportional,
    quantum,
)
from shiftbench.builders.subpopulation.paths import association, nearest, rare, reach
from shiftbench.builders.subpopulation.table_text import (
    parse_cells,
    parse_grouped,
    parse_tables,
    published,
)
from shiftbench.errors import ConfigurationError

SHARES = st.lists(st.floats(0.02, 1), min_size=2, max_size=6)


def by_definition(table: np.ndarray) -> float:
    """Cramér's V, cell by cell."""
    n = table.sum()
    chi2 = 0.0
    for i in range(table.shape[0]):
        for j in range(table.shape[1]):
            expected = table[i].sum() * table[:, j].sum() / n
            chi2 += (table[i, j] - expected) ** 2 / expected
    return float(np.sqrt(chi2 / n / (min(table.shape) - 1)))


@given(st.lists(st.lists(st.integers(1, 50), min_size=3, max_size=3), min_size=2, max_size=5))
def test_cramers_v_is_that_of_the_definition(rows: list[list[int]]) -> None:
    table = np.array(rows)
    assert cramers_v(table) == pytest.approx(by_definition(table), abs=1e-6)


def test_cramers_v_knows_nothing_where_there_is_one_class_or_value() -> None:
    assert np.isnan(cramers_v(np.array([[3, 4], [0, 0]])))
    assert np.isnan(cramers_v(np.array([[3, 0], [4, 0]])))


@given(SHARES, st.integers(0, 500))
def test_proportional_counts_add_up_and_are_within_one(shares: list[float], n: int) -> None:
    counts = proportional(np.array(shares), n)
    exact = n * np.array(shares) / sum(shares)
    assert counts.sum() == n
    assert (counts >= 0).all()
    assert np.abs(counts - exact).max() < 1 + 1e-9
    if n >= 50 * len(shares):
        assert (counts > 0).all()


@given(SHARES, SHARES, st.integers(1, 400))
def test_every_table_of_a_sweep_has_the_same_margins(
    classes: list[float], values: list[float], n: int
) -> None:
    p, q = np.array(classes) / sum(classes), np.array(values) / sum(values)
    rows, columns = margins(p, q, n)
    for sign in (1, -1):
        path = association(p, q, n, sign=sign)
        tables = np.array([path.table(t) for t in np.linspace(0, 1, 9)])
        assert (tables >= 0).all()
        assert (tables.sum(axis=2) == rows).all()
        assert (tables.sum(axis=1) == columns).all()
        steps = np.diff(tables, axis=0)
        # No cell goes up and down again: an example that changes once does not change back.
        assert ((steps >= 0).all(axis=0) | (steps <= 0).all(axis=0)).all()
        assert (tables[0] == independent(rows, columns)).all()
        assert (path.most >= tables).all()
    assert np.abs(path.start - np.outer(rows, columns) / n).max() <= 1
    assert (association(p, q, n).table(1) == comonotone(rows, columns)).all()


@given(st.integers(2, 30), st.integers(0, 30), st.integers(0, 30))
def test_no_two_by_two_table_of_the_same_margins_ties_more(n: int, a: int, b: int) -> None:
    rows, columns = np.array([a % n, n - a % n]), np.array([b % n, n - b % n])
    top = comonotone(rows, columns)
    for first in range(int(min(rows[0], columns[0])) + 1):
        rest = rows[0] - first, columns[0] - first
        table = np.array([[first, rest[0]], [rest[1], n - first - rest[0] - rest[1]]])
        if (table < 0).any():
            continue
        assert table[0, 0] <= top[0, 0]


@pytest.mark.parametrize(
    ("p", "q", "n"), [((0.5, 0.5), (0.5, 0.5), 1000), ((0.1,) * 10, (0.1,) * 10, 10_000)]
)
def test_levels_are_reached_exactly_up_to_one_exchange(p: tuple, q: tuple, n: int) -> None:
    path = association(p, q, n)
    found = [cramers_v(path.table(nearest(path, v))) for v in (0, 0.1, 0.25, 0.5, 0.9, 1)]
    assert found == pytest.approx([0, 0.1, 0.25, 0.5, 0.9, 1], abs=0.003)
    assert found[0] == 0
    assert found[-1] == 1
    assert all(a < b for a, b in pairwise(found))


def test_a_level_beyond_the_margins_is_refused_with_the_largest() -> None:
    top = reach((0.5, 0.5), (0.9, 0.1))
    assert top == pytest.approx(1 / 3, abs=1e-6)  # √(0.5·0.1 / (0.5·0.9))
    with pytest.raises(ConfigurationError, match=r"0\.5 cannot be reached; at most 0\.33"):
        nearest(association((0.5, 0.5), (0.9, 0.1), 1000), 0.5)


def test_a_rare_cell_takes_from_the_other_values_of_its_class_alone() -> None:
    path = rare((0.5, 0.5), 3, (1, 2), 300)
    tables = [path.table(t) for t in (0, 0.1, 0.5, 1)]
    assert [t[1].tolist() for t in tables] == [[75, 75, 0], [67, 67, 16], [37, 37, 76], [0, 0, 150]]
    assert all(t[0].tolist() == [50, 50, 50] for t in tables)


def test_the_quantum_makes_independence_exact() -> None:
    for p, q in (((0.5, 0.5), (0.5, 0.5)), ((0.3, 0.7), (0.2, 0.8)), ((1 / 3,) * 3, (0.5, 0.5))):
        path = association(p, q, 7 * quantum(p, q))
        assert cramers_v(path.start) == pytest.approx(0, abs=1e-7)


def test_the_published_tables() -> None:
    tables = parse_tables(
        [f"{n}:{published()[n]}" for n in ("cells_1", "cells_2", "cells_3", "cells_4")]
    )
    assert all(t.sum() == 10_000 for t in tables.values())
    assert all(t.sum(axis=1).tolist() == [5000, 5000] for t in tables.values())
    assert all(t.sum(axis=0).tolist() == [6000, 4000] for t in tables.values())
    ties = [cramers_v(t) for t in tables.values()]
    assert ties == pytest.approx([0.2041, 0.4082, 0.6124, 0.7144], abs=1e-4)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (("1,2/3",), "rows of 2 and 1 counts"),
        (("1,a/3,4",), "no whole number"),
        (("1,-2/3,4",), "no whole number"),
        (("1.5,2/3,4",), "no whole number"),
        (("1,2",), "1 rows"),
        (("1/2",), "1 columns"),
        (("0,0/1,2",), "without any example"),
        (("a:1,2/3,4", "a:1,2/3,5"), "two cell tables are called 'a'"),
        (("a:1,2/3,4", "b:1,2,3/3,5,6"), "differing shape"),
        (("a b:1,2/3,4", "a-b:1,2/3,5"), "both become"),
        ((":1,2/3,4",), "empty name"),
    ],
)
def test_tables_that_are_none_are_refused(texts: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        parse_tables(texts)


def test_groups_of_values() -> None:
    assert parse_grouped(("a=1+2", "b"), "classes") == {"a": ("1", "2"), "b": ("b",)}
    for texts in (("a=1+2", "2"), ("a=", "b"), ("a=1", "a=2")):
        with pytest.raises(ConfigurationError, match="classes has"):
            parse_grouped(texts, "classes")


def test_cells_by_name() -> None:
    assert parse_cells(["a (b)(c)"], ["a (b)"], ["c"], "rare") == [(0, 0)]
    with pytest.raises(ConfigurationError, match=r"no attribute value 'indor'.*'indoor'"):
        parse_cells(["cat(indor)"], ["cat"], ["indoor"], "rare")
