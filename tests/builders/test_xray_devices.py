from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.builders.xray.devices import (
    ANY_DEVICE,
    device_names,
    device_slugs,
    in_distribution_groups,
    parse_group,
    parse_only,
    selected,
    usable_devices,
)
from shiftbench.errors import ConfigurationError

from .xray_tables import radiographs, random_tables


def five() -> pa.Table:
    return radiographs(
        cluster_id=["p1", "p2", "p3", "p4", "p5", "p5"],
        device=["A", "A", "B", "B", "C", " "],
        locator=["/patients/Erika Mustermann/1.dcm"] * 6,
    )


def test_a_rule_names_columns_and_numbers_become_text() -> None:
    table = radiographs(
        maker=["GE", " ", None, "GE"],
        rows=pa.array([2048, None, 1, 12345], pa.int32()),
        row_mm=pa.array([0.16812, float("nan"), None, -0.0]),
        grid=pa.array([True, False, None, True]),
    )
    assert device_names(table, "maker") == ["GE", None, None, "GE"]
    assert device_names(table, "rows") == ["2048", None, "1", "12345"]
    assert device_names(table, "row_mm") == ["0.168", None, None, "0"]
    assert device_names(table, "grid") == ["true", "false", None, "true"]
    assert device_names(table, "maker * rows") == ["GE & 2048", None, None, "GE & 12345"]
    assert device_names(table, "") == [ANY_DEVICE] * 4


def test_dictionary_columns_read_as_their_values() -> None:
    table = radiographs(device=pa.array(["A", None, "A"]).dictionary_encode())
    assert device_names(table, "device") == ["A", None, "A"]


@pytest.mark.parametrize("column", ["locator", "example_id", "cluster_id", "bytes"])
def test_what_identifies_is_no_device_and_is_not_told(column: str) -> None:
    table = five().append_column("bytes", pa.array([1] * 6))
    with pytest.raises(ConfigurationError, match=f"column '{column}'") as error:
        usable_devices(table, column, min_patients=1)
    assert "Mustermann" not in str(error.value)
    assert "did you mean" not in str(error.value)


def test_an_unknown_column_is_told_with_near_names() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'device'"):
        usable_devices(five(), "devise")
    lists = radiographs(cluster_id=["p"], device=[["a"]])
    with pytest.raises(ConfigurationError, match="holds list"):
        usable_devices(lists)


def test_devices_with_few_patients_are_left_out_and_counted() -> None:
    devices = usable_devices(five(), min_patients=2)
    assert devices.names == ("A", "B")
    assert devices.code.tolist() == [0, 0, 1, 1, -1, -1]
    assert dict(devices.patients) == {"A": 2, "B": 2} == dict(devices.radiographs)
    assert {(d.where, d.reason): d.rows.tolist() for d in devices.dropped} == {
        ("", "no device (device)"): [5],
        ("C", "fewer than 2 patients (1)"): [4],
    }


def test_patients_are_counted_and_not_images() -> None:
    table = radiographs(cluster_id=["p1"] * 5 + ["p2", "p3"] * 2, device=["A"] * 5 + ["B"] * 4)
    assert usable_devices(table, min_patients=2, at_least=1).names == ("B",)


def test_one_device_only_says_that_there_is_no_ood() -> None:
    with pytest.raises(ConfigurationError, match=r"one device, 'A'.*no OOD device"):
        usable_devices(radiographs(cluster_id=["p1", "p2"], device=["A"] * 2), min_patients=1)
    alone = radiographs(cluster_id=["p1", "p2", "p3"], device=["A", "A", "B"])
    with pytest.raises(ConfigurationError, match=r"'B': fewer than 2 patients \(1\)"):
        usable_devices(alone, min_patients=2)
    assert usable_devices(alone, min_patients=2, at_least=1).names == ("A",)
    assert usable_devices(alone, "", min_patients=2, at_least=1).names == (ANY_DEVICE,)
    with pytest.raises(ConfigurationError, match="0 devices have enough"):
        usable_devices(alone, min_patients=9)


def test_no_device_at_all() -> None:
    empty = radiographs(cluster_id=["p1"], device=pa.nulls(1, pa.string()))
    with pytest.raises(ConfigurationError, match="no radiograph has a device"):
        usable_devices(empty)


def test_groups_are_named_or_the_five_largest() -> None:
    sizes = {"A": 2, "B": 4, "C": 3, "D": 4, "E": 2, "F": 1, "A+B": 1}
    names = [name for name, n in sizes.items() for _ in range(n)]
    table = radiographs(cluster_id=[f"p{i}" for i in range(len(names))], device=names)
    devices = usable_devices(table, min_patients=1)
    assert list(in_distribution_groups(devices)) == ["B", "D", "C", "A", "E"]
    assert in_distribution_groups(devices, ["C+ F", "A+B"]) == {
        "C+ F": ("C", "F"),
        "A+B": ("A+B",),  # a device of that name goes before two joined
    }
    with pytest.raises(ConfigurationError, match="twice, 'A' and 'A \\+A'"):
        in_distribution_groups(devices, ["A", "A +A"])
    with pytest.raises(ConfigurationError, match=r"device 'a'.*did you mean 'A'"):
        parse_group("B+a", devices, "in_distribution")
    with pytest.raises(ConfigurationError, match="'b' is not among those used; did you mean 'B'"):
        devices.rows(["A", "b"])
    few = usable_devices(table, min_patients=2)
    with pytest.raises(ConfigurationError, match=r"'F', which is left out: fewer than 2"):
        in_distribution_groups(few, ["F"])


def test_only_restricts_before_anything_is_counted() -> None:
    table = radiographs(
        cluster_id=[f"p{i}" for i in range(6)],
        device=["A", "A", "A", "B", "B", "B"],
        view=["PA", "PA", "AP", "PA", "PA", None],
        age=[1, 2, 3, 4, 5, 6],
    )
    devices = usable_devices(table, min_patients=2, only=parse_only(["view=PA"]))
    assert devices.code.tolist() == [0, 0, -1, 1, 1, -1]
    assert devices.words == ("2 radiographs left out: not among those selected (only)",)
    both = selected(table, parse_only(["view=PA", "view = AP", "age=2", "age=3"]))
    assert np.flatnonzero(both).tolist() == [1, 2]


def test_what_cannot_be_used_is_counted_apart() -> None:
    usable = np.array([True, True, True, True, False, True])
    devices = usable_devices(five(), min_patients=1, usable=usable)
    assert devices.names == ("A", "B")
    assert "1 radiographs left out: its content cannot be used" in devices.words


@pytest.mark.parametrize("text", ["finding", "=PA", "view=", " = "])
def test_only_refuses_what_is_no_condition(text: str) -> None:
    with pytest.raises(ConfigurationError, match="give a column"):
        parse_only([text])


def test_only_refuses_what_is_not_there() -> None:
    table = radiographs(view=["PA", "AP"], sex=["F", "M"])
    with pytest.raises(ConfigurationError, match="view=pa, which no radiograph has; did you mean"):
        selected(table, {"view": ("pa",)})
    with pytest.raises(ConfigurationError, match="no radiograph has all of it"):
        selected(table, {"view": ("PA",), "sex": ("M",)})
    with pytest.raises(ConfigurationError, match="column 'vew'"):
        selected(table, {"vew": ("PA",)})


@given(random_tables(), st.integers(1, 12))
def test_every_radiograph_is_used_or_left_out_once(table: pa.Table, least: int) -> None:
    devices = usable_devices(table, min_patients=least, at_least=0)
    out = [d.rows for d in devices.dropped]
    used = np.flatnonzero(devices.code >= 0)
    assert sorted(np.concatenate([used, *out]).tolist()) == list(range(len(table)))
    assert sum(devices.radiographs.values()) == len(used)
    names = table["device"].to_pylist()
    for i, name in enumerate(devices.names):
        rows = devices.rows([name])
        assert {names[row] for row in rows} == {name} == {devices.names[i]}
        assert devices.patients[name] == len(set(table["cluster_id"].take(rows).to_pylist()))
        assert devices.patients[name] >= least


def test_names_of_headers_become_slugs_whatever_they_are() -> None:
    """A header cannot be renamed: equal slugs, none and too long ones are told apart by a mark."""
    names = ["GE / X-1", "GE X 1", "../..", "島津", "💥", "A" * 300, "A" * 301, "Acme"]
    made = device_slugs(names)
    assert len(set(made.values())) == len(names)
    assert all(re.fullmatch(r"[a-z0-9_]{1,60}", s) for s in made.values())
    assert made["Acme"] == "acme"
    assert device_slugs(["島津"])["島津"] == made["島津"]
