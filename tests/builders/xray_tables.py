"""Tables of radiographs for the tests of X-ray planning: literal, random, and chest_xray's."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from shiftbench.builders.xray.splits import Divided


def radiographs(**columns: Any) -> pa.Table:
    """`cluster_id` and others as given, ids r000, r001, … unless given."""
    n = len(next(iter(columns.values())))
    return pa.table({"example_id": [f"r{i:03d}" for i in range(n)]} | columns)


def chest_xray(shared_data: Path) -> pa.Table:
    with (shared_data / "chest_xray" / "manifest.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["image"])
    columns: dict[str, Any] = {
        name: [row[name] for row in rows] for name in ("finding", "view", "sex")
    }
    return pa.table(
        {
            "example_id": [row["image"] for row in rows],
            "cluster_id": [row["patient"] for row in rows],
            "device": [row["pixel_spacing_mm"] for row in rows],
            "age": [int(row["age"]) for row in rows],
            **columns,
        }
    )


@st.composite
def random_tables(draw: st.DrawFn) -> pa.Table:
    """Up to four devices of different size and mix; patients with several images and devices."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(60, 260))
    patients = rng.integers(0, draw(st.integers(30, 200)), n)
    n_devices = draw(st.integers(2, 4))
    home = rng.choice(n_devices, 200, p=rng.dirichlet(np.full(n_devices, 2.0)))
    device = np.where(rng.random(n) < 0.9, home[patients], rng.integers(0, n_devices, n))
    sick = rng.random(n) < rng.uniform(0.2, 0.8, n_devices)[device]
    view = rng.choice(["AP", "PA", ""], n, p=[0.5, 0.4, 0.1])
    age = rng.integers(0, 90, n)
    return pa.table(
        {
            "example_id": [f"r{i:04d}" for i in range(n)],
            "cluster_id": [f"p{p}" for p in patients],
            "device": ["ABCD"[d] if rng.random() > 0.02 else None for d in device],
            "finding": ["Pneumonia" if s else "No Finding" for s in sick],
            "view": [v or None for v in view],
            "age": pa.array([int(a) if rng.random() > 0.1 else None for a in age], pa.int64()),
        }
    )


def patients_in(table: pa.Table, rows: np.ndarray) -> set[str]:
    return set(table["cluster_id"].take(pa.array(rows)).to_pylist())


def ids_of(table: pa.Table, divided: Divided) -> dict[str, list[str]]:
    """The splits by id, for comparing tables of another order."""
    return {
        name: sorted(table["example_id"].take(pa.array(rows)).to_pylist())
        for name, rows in divided.splits.items()
    }


def check_conservation(divided: Divided) -> None:
    """Every radiograph of a device that is used is in one split, or dropped once for a reason."""
    parts = [*divided.splits.values(), *(d.rows for d in divided.dropped)]
    everywhere = np.sort(np.concatenate(parts))
    assert everywhere.tolist() == np.flatnonzero(divided.devices.code >= 0).tolist()
    for name, count in divided.counts.items():
        assert count["kept"] + count["dropped"] == divided.devices.radiographs[name]
        assert sum(count["reasons"].values()) == count["dropped"]


def check_patients_apart(table: pa.Table, divided: Divided) -> None:
    """No patient in two splits, the slow way."""
    owner: dict[str, str] = {}
    for name, rows in divided.splits.items():
        for patient in patients_in(table, rows):
            assert owner.setdefault(patient, name) == name
