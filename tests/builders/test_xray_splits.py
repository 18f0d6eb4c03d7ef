from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shiftbench.builders.xray.devices import usable_devices
from shiftbench.builders.xray.splits import (
    Divided,
    choose_ood_validation,
    patient_parts,
    split_patients,
)
from shiftbench.errors import ConfigurationError

from .xray_tables import (
    check_conservation,
    check_patients_apart,
    chest_xray,
    ids_of,
    patients_in,
    radiographs,
    random_tables,
)


def devices_of(**sizes: int) -> pa.Table:
    names = [name for name, n in sizes.items() for _ in range(n)]
    return radiographs(cluster_id=[f"p{i}" for i in range(len(names))], device=names)


def divide(table: pa.Table, group: str = "A", least: int = 1, **options: object) -> Divided:
    devices = usable_devices(table, min_patients=least)
    return split_patients(table, devices, (group,), min_patients=least, **options)  # type: ignore[arg-type]


@given(random_tables(), st.integers(0, 5), st.sampled_from(["auto", "none"]))
def test_patients_stay_whole_and_all_is_counted(table: pa.Table, seed: int, asked: str) -> None:
    try:
        divided = divide(table, "A", 3, seed=seed)
    except ConfigurationError:
        assume(False)
    divided = choose_ood_validation(divided, asked)
    check_patients_apart(table, divided)
    check_conservation(divided)
    device = table["device"].to_pylist()
    for name, rows in divided.splits.items():
        assert {device[row] for row in rows} == {
            "train": {"A"}, "validation": {"A"}, "id_test": {"A"},
            "ood_validation": set(divided.ood_validation_devices),
        }.get(name, {name.removeprefix("ood_test_").upper()})  # fmt: skip


@given(random_tables(), st.randoms())
def test_the_order_of_the_table_changes_nothing(table: pa.Table, random: object) -> None:
    order = list(range(len(table)))
    random.shuffle(order)  # type: ignore[attr-defined]
    other = table.take(pa.array(order))
    try:
        divided = choose_ood_validation(divide(table, "A", 3))
    except ConfigurationError:
        assume(False)
    assert ids_of(other, choose_ood_validation(divide(other, "A", 3))) == ids_of(table, divided)


def test_shares_are_of_patients_and_nested() -> None:
    table = radiographs(cluster_id=[f"p{i // 2}" for i in range(200)])
    rows = np.arange(200)

    def parts(validation: float, test: float) -> dict[str, set[str]]:
        made = patient_parts(table, rows, validation=validation, test=test, seed=4)
        return {name: patients_in(table, r) for name, r in made.items()}

    some = parts(0.1, 0.3)
    assert {name: len(p) for name, p in some.items()} == {
        "train": 60,
        "validation": 10,
        "id_test": 30,
    }
    more = parts(0.2, 0.5)
    assert more["id_test"] > some["id_test"]
    assert more["validation"] > some["validation"]
    assert parts(0.2, 0.3)["id_test"] == some["id_test"]
    assert some["id_test"] != {f"p{i}" for i in range(30)}


@pytest.mark.parametrize(("validation", "test"), [(-0.1, 0.3), (0.1, 0), (0.5, 0.5), (0.1, 1.2)])
def test_shares_that_leave_nothing_are_refused(validation: float, test: float) -> None:
    with pytest.raises(ConfigurationError, match="leave some to train on"):
        divide(devices_of(A=20, B=9), validation=validation, test=test)


def test_another_device_leaves_the_in_distribution_patients_alone() -> None:
    few, more = devices_of(A=40, B=20), devices_of(A=40, B=20, C=15)
    a, b = ids_of(few, divide(few)), ids_of(more, divide(more))
    assert {n: b[n] for n in a} == a


def test_patients_on_several_devices_are_id_or_nothing() -> None:
    table = radiographs(
        cluster_id=[f"p{i}" for i in range(20)] + ["p0", "p1"] + [f"q{i}" for i in range(10)] * 2,
        device=["A"] * 20 + ["B", "C"] + ["B"] * 10 + ["C"] * 9 + ["B"],
    )
    divided = divide(table)
    inside = set().union(
        *(patients_in(table, r) for n, r in divided.splits.items() if "ood" not in n)
    )
    assert inside == {f"p{i}" for i in range(20)}
    # q9 was imaged on B twice, all other q on B and C; nobody is left who was on C alone.
    assert {n: patients_in(table, r) for n, r in divided.ood_tests.items()} == {"B": {"q9"}}
    assert divided.counts["C"]["reasons"] == {"patient imaged on several devices": 10}
    check_conservation(divided)


def test_a_group_of_devices_is_one_distribution() -> None:
    table = devices_of(A=20, B=20, C=9)
    devices = usable_devices(table, min_patients=1)
    divided = split_patients(table, devices, ("A", "B"), min_patients=1)
    assert [len(r) for r in divided.splits.values()] == [24, 4, 12, 9]


def test_too_few_patients_of_its_own() -> None:
    table = radiographs(cluster_id=[f"p{i}" for i in range(12)] * 2, device=["A"] * 12 + ["B"] * 12)
    with pytest.raises(ConfigurationError, match="so there is no OOD set"):
        divide(table, least=2)
    devices = usable_devices(table, min_patients=2)
    alone = split_patients(table, devices, ("A",), min_patients=2, need_ood=False)
    assert list(alone.splits) == ["train", "validation", "id_test"]
    check_conservation(alone)
    with pytest.raises(ConfigurationError, match="2 patients, too few for a validation"):
        divide(devices_of(A=2, B=9))


def test_few_test_patients_are_said() -> None:
    table = devices_of(A=20, B=10)
    divided = split_patients(table, usable_devices(table), ("A",))
    assert divided.words == ("id_test has 6 patients only: every figure from it is uncertain",)


def test_ood_validation_takes_the_smallest_device_but_never_the_one_that_matches() -> None:
    divided = divide(devices_of(A=20, B=5, C=5, D=9))
    assert choose_ood_validation(divided).ood_validation_devices == ("B",)
    assert choose_ood_validation(divided, "auto", ("B",)).ood_validation_devices == ("C",)
    assert choose_ood_validation(divided, "auto", ("B", "C")).ood_validation_devices == ("B",)
    assert choose_ood_validation(divided, "auto", ()).ood_validation_devices == ("B",)


def test_ood_validation_as_asked() -> None:
    divided = divide(devices_of(A=20, B=5, C=5, D=9))
    assert "ood_validation" not in choose_ood_validation(divided, "none").splits
    both = choose_ood_validation(divided, "D + B")
    assert both.ood_validation_devices == ("B", "D")
    assert len(both.ood_validation) == 14
    assert list(both.ood_tests) == ["C"]
    own = choose_ood_validation(divided, "A")
    assert not own.ood_validation_devices
    assert "NO ood_validation, although 'A' was asked for" in own.warnings[-1]
    with pytest.raises(ConfigurationError, match="leaves no device"):
        choose_ood_validation(divided, "B+C+D")
    with pytest.raises(ConfigurationError, match="'E', which the source does not have"):
        choose_ood_validation(divided, "E")
    lone = choose_ood_validation(divide(devices_of(A=20, B=5)))
    assert "no ood_validation: only one other device" in lone.words[-1]


def test_split_names_are_slugs_that_differ() -> None:
    table = devices_of(A=20, **{"Philips (Essenta)": 3, "GE 0.1": 3})
    assert {"ood_test_philips_essenta", "ood_test_ge_0_1"} <= set(divide(table).splits)
    names = [*divide(devices_of(A=20, **{"G E": 3, "g-e": 3})).splits]
    alike = [n for n in names if n.startswith("ood_test_g_e_")]
    assert len(set(alike)) == 2


def test_chest_xray_patients(shared_data: Path) -> None:
    table = chest_xray(shared_data)
    devices = usable_devices(table)
    assert dict(devices.radiographs) == {"0.139": 20, "0.143": 45, "0.168": 130, "0.171": 80}
    assert devices.words == (
        "3 radiographs of device '0.194' left out: fewer than 10 patients (3)",
    )
    divided = split_patients(table, devices, ("0.168",))
    check_patients_apart(table, divided)
    check_conservation(divided)
    sizes = {n: divided.n_patients(rows) for n, rows in divided.splits.items()}
    assert sizes == {
        "train": 66, "validation": 11, "id_test": 33,
        "ood_test_0_139": 13, "ood_test_0_143": 33, "ood_test_0_171": 69,
    }  # fmt: skip
    assert choose_ood_validation(divided, "auto", ["0.171"]).ood_validation_devices == ("0.139",)
