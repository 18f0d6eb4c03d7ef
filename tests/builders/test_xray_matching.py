from __future__ import annotations

import time
from collections import Counter
from itertools import permutations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shiftbench.builders.xray import _pairs
from shiftbench.builders.xray._joining import Problem
from shiftbench.builders.xray._pairs import Pairing, pair
from shiftbench.builders.xray._strata import Strata, make_strata
from shiftbench.builders.xray.devices import parse_only, usable_devices
from shiftbench.builders.xray.matching import (
    Matching,
    match_devices,
    matchable_devices,
    plan_splits,
)
from shiftbench.builders.xray.splits import Divided, split_patients
from shiftbench.errors import ConfigurationError

from .xray_tables import (
    check_conservation,
    check_patients_apart,
    chest_xray,
    ids_of,
    radiographs,
    random_tables,
)

FINDING_VIEW = Matching(("finding", "view"))


def plan(table: pa.Table, matching: Matching, least: int = 2, **options: object) -> Divided:
    devices = usable_devices(table, min_patients=least)
    return plan_splits(
        table, devices, ("A",), matching=matching, min_patients=least, **options  # type: ignore[arg-type]
    )  # fmt: skip


def shares(table: pa.Table, rows: np.ndarray, columns: tuple[str, ...]) -> dict[tuple, float]:
    """The distribution over exact values, the slow way."""
    lists = [table[name].take(pa.array(rows)).to_pylist() for name in columns]
    values = Counter(zip(*lists, strict=True))
    return {value: n / len(rows) for value, n in values.items()}


@given(
    random_tables(), st.sampled_from(["strata", "pairs"]), st.sampled_from(["mark", "drop"]),
    st.booleans(),
)  # fmt: skip
def test_matched_sets_have_one_distribution(
    table: pa.Table, method: str, unmatched: str, equal: bool
) -> None:
    matching = Matching(("finding", "view"), method, equal=equal, unmatched=unmatched)  # type: ignore[arg-type]
    try:
        divided = plan(table, matching)
    except ConfigurationError:
        assume(False)
    check_patients_apart(table, divided)
    check_conservation(divided)
    wanted = shares(table, divided.id_test, matching.columns)
    for name in divided.matched:
        rows = divided.ood_tests[name]
        assert shares(table, rows, matching.columns) == pytest.approx(wanted)
        if equal or method == "pairs":
            assert len(rows) == len(divided.id_test)
    assert set(divided.matched) | set(divided.confounded) == set(divided.ood_tests)
    assert len(divided.warnings) >= len(divided.confounded)
    if unmatched == "drop":
        assert not divided.confounded


@given(random_tables(), st.sampled_from(["strata", "pairs"]), st.randoms())
def test_the_order_of_the_table_changes_nothing(
    table: pa.Table, method: str, random: object
) -> None:
    order = list(range(len(table)))
    random.shuffle(order)  # type: ignore[attr-defined]
    other = table.take(pa.array(order))
    matching = Matching(("finding", "view", "age"), method)  # type: ignore[arg-type]
    try:
        divided = plan(table, matching)
    except ConfigurationError:
        assume(False)
    again = plan(other, matching)
    assert ids_of(other, again) == ids_of(table, divided)
    assert again.words == divided.words
    assert again.warnings == divided.warnings


@given(random_tables())
def test_matching_only_takes_away(table: pa.Table) -> None:
    devices = usable_devices(table, min_patients=2, at_least=0)
    assume("A" in devices.names)
    try:
        before = split_patients(table, devices, ("A",), min_patients=2)
    except ConfigurationError:
        assume(False)
    after = match_devices(before, table, Matching(("finding", "age")), min_patients=2)
    assert after.train.tolist() == before.train.tolist()
    for name, rows in after.splits.items():
        assert set(rows.tolist()) <= set(before.splits[name].tolist())
    assert len(after.id_test) >= len(before.id_test) / 2


def strata_of(code: list[int], patient: list[int] | None = None, n: int = 3) -> Strata:
    owner = np.arange(len(code)) if patient is None else np.array(patient)
    return Strata(np.array(code), n, owner, np.arange(len(code), dtype=np.uint64))


def joined(a: list[int], **sets: list[int]) -> dict[str, list[int]]:
    """Numbers of each stratum in the test set and in those matched with it; least patients 1."""
    code, rows = [], {}
    for name, counts in {"test": a, **sets}.items():
        begin = len(code)
        code += [s for s, n in enumerate(counts) for _ in range(n)]
        rows[name] = np.arange(begin, len(code))
    problem = Problem(strata_of(code, n=len(a)), None, False, 1, [])
    test = rows.pop("test")
    found = problem.join(test, rows)
    return {
        name: problem.strata.count(r).tolist()
        for name, r in {"test": found.test, **found.sets}.items()
    }


def test_sizes_by_hand() -> None:
    # A larger device gives a whole multiple; what exceeds it is left.
    assert joined([3, 5], E=[7, 10]) == {"test": [3, 5], "E": [6, 10]}
    # A tenth of the radiographs, of the same mix: the test set keeps all.
    assert joined([30, 50], E=[3, 5]) == {"test": [30, 50], "E": [3, 5]}
    # Another mix: test (4, 8) against (8, 4) leaves 4 of each and the half rule holds.
    assert joined([4, 8], E=[8, 4]) == {"test": [4, 4], "E": [4, 4]}
    # A stratum that the device has not would cost more than half of the test set.
    assert joined([4, 8], E=[40, 0]) == {"test": [4, 8]}
    # E takes a sixth of the test set, and F would another: the first by name joins.
    assert joined([12, 3, 3], E=[12, 3, 0], F=[12, 0, 3]) == {"test": [12, 3, 0], "E": [12, 3, 0]}
    # Enough would be left, but of one value alone: no test of what was trained on.
    assert joined([9, 4], E=[9, 0]) == {"test": [9, 4]}
    # E takes nothing and F a seventh: both join, and E gives up what F has not.
    assert joined([3, 6, 6, 6], E=[9, 9, 9, 9], F=[0, 9, 9, 8]) == {
        "test": [0, 6, 6, 6], "E": [0, 9, 9, 9], "F": [0, 8, 8, 8],
    }  # fmt: skip


@given(
    st.lists(st.integers(0, 6), min_size=2, max_size=3),
    st.lists(st.lists(st.integers(0, 12), min_size=3, max_size=3), min_size=1, max_size=3),
)
def test_a_join_is_proportional_and_keeps_half(a: list[int], others: list[list[int]]) -> None:
    assume(sum(a))
    a = a + [0] * (3 - len(a))
    sets = {f"E{i}": counts for i, counts in enumerate(others)}
    found = joined(a, **sets)
    test = found.pop("test")
    assert 2 * sum(test) >= sum(a)
    for name, n in found.items():
        assert [x * sum(test) for x in n] == [x * sum(n) for x in test]
        assert all(x <= have for x, have in zip(n, sets[name], strict=True))


def test_a_draw_takes_other_patients_first() -> None:
    strata = strata_of([0, 0, 0, 0, 1], patient=[7, 7, 8, 9, 7], n=2)
    drawn = strata.draw(np.arange(4), np.array([3, 0]))
    assert drawn.tolist() == [0, 2, 3]
    assert strata.draw(np.arange(5), np.array([9, 9])).tolist() == [0, 1, 2, 3, 4]
    assert strata.draw(np.arange(5), np.array([0, 0])).tolist() == []


@given(random_tables(), st.integers(0, 9))
def test_draws_are_nested(table: pa.Table, n: int) -> None:
    patient = np.array([int(p[1:]) for p in table["cluster_id"].to_pylist()])
    rows = np.arange(len(table))
    strata = make_strata(table, rows, ("finding",), patient, bins=4, seed=0)
    wanted = np.full(strata.n, n + 1)
    assert set(strata.draw(rows, wanted)) <= set(strata.draw(rows, wanted + 1))


def test_strata_of_numbers_text_and_nulls() -> None:
    table = radiographs(
        age=pa.array([10, 20, 30, 40, 50, 60, 70, 80, None], pa.int64()),
        few=[1.5, 2.5, 1.5, 2.5, float("nan"), 1.5, 1.5, 1.5, 1.5],
        sex=["F", "F", "M", "M", "F", "F", None, " ", "M"],
        view=pa.array(["PA"] * 9).dictionary_encode(),
    )
    rows = np.arange(9)

    def blocks(*columns: str, bins: int = 4) -> list[list[int]]:
        made = make_strata(table, rows, columns, rows, bins=bins, seed=0)
        return sorted(np.flatnonzero(made.code == s).tolist() for s in range(made.n))

    assert blocks("age") == [[0, 1], [2, 3], [4, 5], [6, 7], [8]]
    assert blocks("age", bins=2) == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
    assert blocks("age", bins=1) == [[0, 1, 2, 3, 4, 5, 6, 7], [8]]
    assert blocks("few") == [[0, 2, 5, 6, 7, 8], [1, 3], [4]]
    assert blocks("sex", "view") == [[0, 1, 4, 5], [2, 3, 8], [6, 7]]
    assert blocks("age", "few", "sex") == [[0], [1], [2], [3], [4], [5], [6, 7], [8]]
    part = make_strata(table, rows[:3], ("sex",), rows, bins=4, seed=0)
    assert part.code.tolist() == [0, 0, 1] + [-1] * 6


def brute_pairs(x: np.ndarray, y: np.ndarray, caliper: float) -> tuple[int, float]:
    """Most pairs, then least squares, over all injections."""
    if len(x) > len(y):
        x, y = y, x
    best = (0, 0.0)
    for chosen in permutations(range(len(y)), len(x)):
        gaps = np.abs(x - y[list(chosen)])
        near = (gaps <= caliper + 1e-9).all(axis=1)
        best = min(best, (-int(near.sum()), float((gaps[near] ** 2).sum())))
    return best


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 5), st.integers(1, 2))
def test_pairs_are_optimal(seed: int, n: int, m: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 12, (n + m, columns)).astype(float)
    strata = strata_of([0] * (n + m))
    a, b = np.arange(n), np.arange(n, n + m)
    caliper = 0.8
    found_a, found_b, cut = pair(Pairing(strata, values, caliper), a, b)
    assert not cut
    variance = [
        v.var(axis=0, ddof=1) if len(v) > 1 else np.zeros(columns) for v in (values[a], values[b])
    ]
    sd = np.sqrt(np.mean(variance, axis=0))
    assume((sd > 0).all())
    x = values / sd
    count, cost = brute_pairs(x[a], x[b], caliper)
    assert len(found_a) == -count == len(set(found_a)) == len(set(found_b))
    assert float(((x[found_a] - x[found_b]) ** 2).sum()) == pytest.approx(cost)


def test_pairs_are_of_one_stratum_and_one_missingness() -> None:
    table = radiographs(
        view=["AP", "PA", "AP", "AP", "PA", "AP"], age=pa.array([50, 50, None, 50, 51, None])
    )
    exact = make_strata(table, np.arange(6), ("view", "age"), np.arange(6), bins=1, seed=0)
    values = np.array([50, 50, np.nan, 50, 51, np.nan])[:, None]
    a, b, _ = pair(Pairing(exact, values, 0.2), np.arange(3), np.arange(3, 6))
    assert sorted(zip(a.tolist(), b.tolist(), strict=True)) == [(0, 3), (2, 5)]
    same = np.full((6, 1), 4.0)  # no spread: equal numbers are near
    assert len(pair(Pairing(exact, same, 0.2), np.arange(3), np.arange(3, 6))[0]) == 3


def test_large_strata_are_cut_and_lose_little(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    n = 1000
    values = np.concatenate([rng.normal(0, 1, (n, 2)), rng.normal(0.3, 1, (n, 2))])
    strata = strata_of([0] * (2 * n))
    a, b = np.arange(n), np.arange(n, 2 * n)
    whole = pair(Pairing(strata, values, 0.2), a, b)
    monkeypatch.setattr(_pairs, "MOST_CELLS", 10_000)
    cut = pair(Pairing(strata, values, 0.2), a, b)
    assert (whole[2], cut[2]) == (False, True)
    assert len(set(cut[0])) == len(cut[0]) == len(set(cut[1]))
    gaps = np.abs(values[cut[0]] - values[cut[1]])
    assert gaps.max() <= 0.2 * 1.1
    assert 0.85 * len(whole[0]) < len(cut[0]) <= len(whole[0])
    # All alike: halves by rank, and everything is paired.
    assert len(pair(Pairing(strata, np.zeros((2 * n, 1)), 0.2), a, b)[0]) == n


def two_devices(**columns: list[object]) -> pa.Table:
    n = len(next(iter(columns.values())))
    return radiographs(
        cluster_id=[f"p{i}" for i in range(n)], device=["A"] * 40 + ["B"] * (n - 40), **columns
    )


def test_pairs_keep_id_test_that_has_a_partner() -> None:
    age = [20 + i % 20 for i in range(40)] + [30 + i % 20 for i in range(40)]
    divided = plan(two_devices(age=age), Matching(("age",), "pairs"))
    assert divided.matched == ("B",)
    ages = [sorted(np.array(age)[r].tolist()) for r in (divided.id_test, divided.ood_tests["B"])]
    assert len(ages[0]) == len(ages[1])
    assert max(abs(x - y) for x, y in zip(*ages, strict=True)) <= 0.2 * np.std(age) * 1.05


def test_a_device_of_another_mix_is_marked_or_dropped_and_said_loudly() -> None:
    table = two_devices(finding=["no"] * 40 + ["yes"] * 30)
    divided = plan(table, Matching(("finding",)))
    assert (divided.matched, divided.confounded) == ((), ("B",))
    assert divided.warnings[0].startswith("NO device could be matched on finding")
    assert "CONFOUNDED" in divided.warnings[1]
    assert len(divided.ood_tests["B"]) == 30
    assert divided.notes["matching"]["devices"]["B"]["strata_distance"] == 1.0
    with pytest.raises(ConfigurationError, match=r"no device can be matched.*'B': id_test would"):
        plan(table, Matching(("finding",), unmatched="drop"))
    three = pa.concat_tables(
        [table, radiographs(example_id=[f"s{i}" for i in range(20)], device=["C"] * 20,
                            cluster_id=[f"q{i}" for i in range(20)], finding=["no"] * 20
                            ).select(table.column_names)]
    )  # fmt: skip
    dropped = plan(three, Matching(("finding",), unmatched="drop"), ood_validation="none")
    assert list(dropped.ood_tests) == ["C"]
    assert dropped.counts["B"] == {
        "kept": 0, "dropped": 30,
        "reasons": {"cannot be matched: id_test would keep 0 of 12 radiographs, less than 50%": 30},
    }  # fmt: skip
    check_conservation(dropped)
    # "auto" leaves the one that can be matched to the tests, though it is the smaller one.
    assert plan(three, Matching(("finding",))).ood_validation_devices == ("B",)


def test_a_marked_device_is_trimmed_towards_id_test() -> None:
    table = two_devices(view=["AP"] * 36 + ["PA"] * 4 + ["AP"] * 2 + ["PA"] * 40 + ["LL"] * 20)
    divided = plan(table, Matching(("view",)), least=10, seed=1)
    assert divided.confounded == ("B",)
    figures = divided.notes["matching"]["devices"]["B"]
    assert figures["strata_distance"] < figures["strata_distance_before"]
    views = [table["view"][int(row)].as_py() for row in divided.ood_tests["B"]]
    assert "LL" not in views
    assert len(views) >= len(divided.id_test)


def test_ood_validation_is_matched_to_validation() -> None:
    names = ["A"] * 100 + ["B"] * 60 + ["C"] * 80
    table = radiographs(
        cluster_id=[f"p{i}" for i in range(240)], device=names,
        view=["AP", "PA"] * 50 + ["AP"] * 20 + ["PA"] * 40 + ["AP", "PA", "PA", "PA"] * 20,
    )  # fmt: skip
    devices = usable_devices(table)
    divided = plan_splits(table, devices, ("A",), matching=Matching(("view",)), validation=0.3)
    assert divided.ood_validation_devices == ("B",)
    assert shares(table, divided.validation, ("view",)) == pytest.approx(
        shares(table, divided.ood_validation, ("view",))
    )
    check_conservation(divided)


def test_what_cannot_be_matched_on_is_refused() -> None:
    table = two_devices(view=["AP"] * 80, model=["A"] * 40 + ["B"] * 40, sex=[None] * 80)
    with pytest.raises(ConfigurationError, match=r"match names the column 'vew'.*'view'"):
        plan(table, Matching(("vew",)))
    with pytest.raises(ConfigurationError, match="'device', and the device is made of it"):
        plan(table, Matching(("view", "device")))
    with pytest.raises(ConfigurationError, match="column 'cluster_id'"):
        plan(table, Matching(("cluster_id",)))
    divided = plan(table, Matching(("view", "sex")))
    assert divided.matched == ("B",)
    assert "'sex' is null in all radiographs that were to be matched on it" in divided.words


@pytest.mark.parametrize(
    "options",
    [
        {"columns": ()}, {"method": "greedy"}, {"unmatched": "keep"}, {"bins": 0}, {"caliper": 0},
        {"caliper": float("nan")},
    ],
)  # fmt: skip
def test_matching_refuses_what_it_does_not_know(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        Matching(**{"columns": ("view",), **options})  # type: ignore[arg-type]


def test_chest_xray(shared_data: Path) -> None:
    table = chest_xray(shared_data)
    devices = usable_devices(table)
    divided = plan_splits(table, devices, ("0.168",), matching=FINDING_VIEW)
    assert (divided.matched, divided.confounded) == (("0.171",), ("0.143",))
    assert divided.ood_validation_devices == ("0.139",)
    assert {n: len(r) for n, r in divided.splits.items()} == {
        "train": 78, "validation": 11, "id_test": 41,
        "ood_validation": 15, "ood_test_0_143": 39, "ood_test_0_171": 41,
    }  # fmt: skip
    wanted = shares(table, divided.id_test, FINDING_VIEW.columns)
    assert shares(table, divided.ood_tests["0.171"], FINDING_VIEW.columns) == wanted
    assert any("'0.143' cannot be matched" in w and "CONFOUNDED" in w for w in divided.warnings)
    assert divided.counts["0.143"]["reasons"] == {"patient imaged on several devices": 6}
    check_patients_apart(table, divided)
    check_conservation(divided)


def test_chest_xray_only_pneumonia_pa(shared_data: Path) -> None:
    """0.143 mm holds nothing else: matched on finding and view by selection."""
    table = chest_xray(shared_data)
    only = parse_only(("finding=Pneumonia", "view=PA"))
    devices = usable_devices(table, only=only)
    assert devices.names == ("0.143", "0.168", "0.171")
    divided = plan_splits(table, devices, ("0.168",), matching=FINDING_VIEW, ood_validation="none")
    assert divided.matched == ("0.143", "0.171")
    assert matchable_devices(divided, table, FINDING_VIEW) == ("0.143", "0.171")
    check_conservation(divided)


def test_every_seed_matches_only_0_171_on_chest_xray(shared_data: Path) -> None:
    table = chest_xray(shared_data)
    devices = usable_devices(table)
    for seed in range(30):
        divided = plan_splits(table, devices, ("0.168",), matching=FINDING_VIEW, seed=seed)
        assert divided.matched == ("0.171",), seed
        assert divided.confounded == ("0.143",), seed


def test_a_large_table_is_planned_in_seconds() -> None:
    rng = np.random.default_rng(0)
    n = 30_000
    home = rng.choice(30, 18_000, p=1 / np.arange(1, 31) / (1 / np.arange(1, 31)).sum())
    patient = rng.integers(0, 18_000, n)
    table = pa.table(
        {
            "example_id": [f"r{i:06d}" for i in range(n)],
            "cluster_id": [f"p{i}" for i in patient],
            "device": [f"D{home[i]:02d}" for i in patient],
            "finding": np.where(rng.random(n) < 0.3, "Pneumonia", "No Finding").tolist(),
            "view": rng.choice(["AP", "PA"], n).tolist(),
            "age": rng.integers(0, 90, n),
        }
    )
    devices = usable_devices(table)
    for method in ("strata", "pairs"):
        begin = time.perf_counter()
        matching = Matching(("finding", "view", "age"), method)  # type: ignore[arg-type]
        divided = plan_splits(table, devices, ("D00",), matching=matching)
        assert time.perf_counter() - begin < 20
        assert divided.matched
        if method == "strata":
            # Equal mixes, and devices down to a thirtieth of the size: all are matched.
            assert not divided.confounded
