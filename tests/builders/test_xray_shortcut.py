from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shiftbench.builders.xray.devices import usable_devices
from shiftbench.builders.xray.shortcut import plan_shortcut
from shiftbench.builders.xray.splits import Divided
from shiftbench.errors import ConfigurationError

from .xray_tables import (
    check_conservation,
    check_patients_apart,
    ids_of,
    radiographs,
    random_tables,
)


def plan(table: pa.Table, rho: float, least: int = 2, **options: object) -> Divided:
    devices = usable_devices(table, min_patients=least)
    return plan_shortcut(table, devices, ("A", "B"), rho, min_patients=least, **options)  # type: ignore[arg-type]


def balanced(n: int) -> pa.Table:
    return radiographs(
        cluster_id=[f"p{i}" for i in range(n)],
        device=["A", "B"] * (n // 2),
        finding=["no", "no", "yes", "yes"] * (n // 4),
    )


def cells(table: pa.Table, rows: np.ndarray) -> np.ndarray:
    """Radiographs by device and finding, counted anew."""
    device, finding = (table[c].to_pylist() for c in ("device", "finding"))
    found = sorted({f for f in finding if f})
    counts = np.zeros((2, 2), int)
    for row in rows:
        counts["AB".index(device[row]), found.index(finding[row])] += 1
    return counts


def phi(counts: np.ndarray) -> float:
    """Cramér's V with its sign, from the expected counts."""
    n = counts.sum()
    expected = np.outer(counts.sum(1), counts.sum(0)) / n
    return float(np.sign(np.linalg.det(counts))) * float(
        np.sqrt(((counts - expected) ** 2 / expected).sum() / n)
    )


@pytest.mark.parametrize("rho", [0.3, 0.5, 0.9, 1.0])
def test_correlations_are_as_asked(rho: float) -> None:
    table = balanced(2000)
    divided = plan(table, rho)
    wanted = {
        "train": rho, "validation": rho, "id_test": rho,
        "ood_validation": 0.0, "ood_test_balanced": 0.0, "ood_test_reversed": -rho,
    }  # fmt: skip
    assert list(divided.splits) == list(wanted)
    assert divided.shift == "subpopulation"
    told = divided.notes["shortcut"]["splits"]
    for name, rows in divided.splits.items():
        counts = cells(table, rows)
        # Rounding moves each cell by at most one half.
        assert phi(counts) == pytest.approx(wanted[name], abs=3 / len(rows)), name
        assert told[name]["phi"] == round(phi(counts), 3)
        assert list(told[name]["cells"].values()) == counts.ravel().tolist()
        assert counts[0, 0] == counts[1, 1]
        assert counts[0, 1] == counts[1, 0]
    sizes = {name: len(rows) for name, rows in divided.splits.items()}
    assert sizes["id_test"] == pytest.approx(sizes["ood_test_balanced"], abs=4)
    assert sizes["id_test"] == pytest.approx(sizes["ood_test_reversed"], abs=4)
    assert sizes["train"] == pytest.approx(2 * sizes["id_test"], abs=8)
    check_conservation(divided)


def test_the_size_is_the_largest_that_fits() -> None:
    """Of a cell train, validation and id_test take T(1 + ρ)/4 together, the tests more."""
    rho, test, validation, n = 0.6, 0.3, 0.1, 4000
    divided = plan(balanced(n), rho)
    aligned = ((1 + rho) + test * (1 - rho) + test + validation) / 4
    crossed = ((1 - rho) + test * (1 + rho) + test + validation) / 4
    total = n / 4 / max(aligned, crossed)
    used = sum(len(divided.splits[name]) for name in ("train", "validation", "id_test"))
    assert used == pytest.approx(total, rel=0.01)


@given(random_tables(), st.sampled_from([0.2, 0.6, 1.0]), st.integers(0, 3))
def test_patients_stay_whole_and_all_is_counted(table: pa.Table, rho: float, seed: int) -> None:
    try:
        divided = plan(table, rho, seed=seed)
    except ConfigurationError:
        assume(False)
    check_patients_apart(table, divided)
    check_conservation(divided)
    assert cells(table, divided.train)[0, 0] == cells(table, divided.train)[1, 1]


@given(random_tables(), st.randoms())
def test_the_order_of_the_table_changes_nothing(table: pa.Table, random: object) -> None:
    order = list(range(len(table)))
    random.shuffle(order)  # type: ignore[attr-defined]
    other = table.take(pa.array(order))
    try:
        divided = plan(table, 0.5)
    except ConfigurationError:
        assume(False)
    assert ids_of(other, plan(other, 0.5)) == ids_of(table, divided)


def test_the_first_device_goes_with_the_first_finding() -> None:
    table = balanced(400)
    devices = usable_devices(table)
    one = plan_shortcut(table, devices, ("A", "B"), 0.8)
    other = plan_shortcut(table, devices, ("B", "A"), 0.8)
    assert one.notes["shortcut"]["aligned"] == ["A & no", "B & yes"]
    assert other.notes["shortcut"]["aligned"] == ["B & no", "A & yes"]
    assert phi(cells(table, other.train)) < 0 < phi(cells(table, one.train))


def test_a_weak_cell_is_not_rounded_away() -> None:
    divided = plan(balanced(80), 0.95)
    for name in ("train", "validation", "id_test"):
        assert divided.notes["shortcut"]["splits"][name]["phi"] < 1


def test_a_split_too_small_for_the_correlation_is_told_of() -> None:
    small = plan(balanced(60), 0.8)
    told = {w.partition(" ")[0] for w in small.warnings}
    table = balanced(60)
    wanted = {"train": 0.8, "validation": 0.8, "id_test": 0.8, "ood_test_balanced": 0.0,
              "ood_test_reversed": -0.8, "ood_validation": 0.0}  # fmt: skip
    off = {n for n, rows in small.splits.items() if abs(phi(cells(table, rows)) - wanted[n]) > 0.1}
    assert told == off
    assert off
    assert plan(balanced(2000), 0.8).warnings == ()


def test_what_makes_no_shortcut_is_refused() -> None:
    table = balanced(400)
    for rho in (0, -0.5, 1.1, float("nan")):
        with pytest.raises(ConfigurationError, match="above 0 and at most 1"):
            plan(table, rho)
    devices = usable_devices(table)
    with pytest.raises(ConfigurationError, match=r"names 1 \('A'\); name two"):
        plan_shortcut(table, devices, ("A",), 0.5)
    with pytest.raises(ConfigurationError, match="column 'findings'"):
        plan_shortcut(table, devices, ("A", "B"), 0.5, finding="findings")
    with pytest.raises(ConfigurationError, match="leave some to train on"):
        plan(table, 0.5, test=0.95)
    three = radiographs(
        cluster_id=[f"p{i}" for i in range(60)],
        device=["A", "B"] * 30,
        finding=["x", "y", "z"] * 20,
    )
    with pytest.raises(ConfigurationError, match="has 3 on A \\+ B: 'x', 'y', 'z'; take two"):
        plan(three, 0.5)
    with pytest.raises(ConfigurationError, match=r"too few radiographs.*: there are A & no 5"):
        plan(balanced(20), 0.5, least=8)
    one_sided = radiographs(
        cluster_id=[f"p{i}" for i in range(60)],
        device=["A", "B"] * 30, finding=["no", "yes"] * 30,
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match="A & yes 0"):
        plan(one_sided, 0.5)


def test_radiographs_without_finding_are_left_out() -> None:
    table = balanced(400)
    finding = [None if i < 10 else f for i, f in enumerate(table["finding"].to_pylist())]
    table = table.set_column(table.column_names.index("finding"), "finding", [finding])
    divided = plan(table, 0.5)
    reasons = [divided.counts[d]["reasons"]["no finding"] for d in "AB"]
    assert reasons == [5, 5]
    check_conservation(divided)


def test_a_patient_with_images_in_all_cells_serves_one_split_in_all() -> None:
    """Otherwise each cell would take patients of its own, and the splits be a third as large."""
    n = 80
    table = radiographs(
        cluster_id=[f"p{i}" for i in range(n)] * 4,
        device=["A"] * 2 * n + ["B"] * 2 * n,
        finding=(["no"] * n + ["yes"] * n) * 2,
    )
    divided = plan(table, 0.5)
    check_patients_apart(table, divided)
    # A split needs as many patients as its largest cell: T (1.5 (1 + test) + test + validation)/4.
    total = 4 * n / (1.5 * 1.3 + 0.4)
    used = sum(len(divided.splits[name]) for name in ("train", "validation", "id_test"))
    assert used > 0.95 * total
