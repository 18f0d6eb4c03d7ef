from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftbench.builders.xray.leaks import EqualImages, check_columns, check_images, check_patients
from shiftbench.errors import IntegrityError
from shiftbench.radiograph import ACQUISITION_COLUMNS, PERSON_COLUMNS
from shiftbench.schema import PRIVATE_COLUMNS

from .xray_tables import radiographs

SPLITS = ("train", "id_test", "ood_test_b")


def rows(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


@given(st.lists(st.tuples(st.integers(0, 8), st.sampled_from(SPLITS)), max_size=12))
def test_a_patient_in_two_splits_is_found_and_nothing_else(found: list[tuple[int, str]]) -> None:
    table = radiographs(cluster_id=["p0", *[f"p{p}" for p, _ in found]])
    splits = {name: rows(*[i for i, (_, s) in enumerate(found, 1) if s == name]) for name in SPLITS}
    leaked = {p for p, s in found for q, t in found if p == q and s != t}
    if not leaked:
        check_patients(splits, table)
        return
    with pytest.raises(IntegrityError) as error:
        check_patients(splits, table)
    for patient in sorted(leaked)[:5]:
        assert f"'p{patient}'" in str(error.value)
    assert ("in all" in str(error.value)) == (len(leaked) > 5)
    # Every pair of splits shared: nothing is left to refuse.
    check_patients(splits, table, shared=list(combinations(SPLITS, 2)))


def test_shared_splits_are_exempt_among_themselves_alone() -> None:
    table = radiographs(cluster_id=["p1", "p1"])
    splits = {"train": rows(0), "dose_1": rows(1), "dose_2": rows(1)}
    with pytest.raises(IntegrityError, match="'p1' in train and dose_1"):
        check_patients(splits, table, shared=[("dose_1", "dose_2", "id_test")])
    check_patients(
        {"dose_1": rows(1), "dose_2": rows(1)}, table, shared=[("dose_1", "dose_2", "id_test")]
    )


def test_patches_name_a_radiograph_many_times() -> None:
    table = radiographs(cluster_id=["p1", "p2"])
    check_patients({"train": rows(0, 0, 0), "id_test": rows(1, 1)}, table)


def test_a_radiograph_without_patient_is_refused() -> None:
    table = radiographs(cluster_id=["p1", None])
    with pytest.raises(IntegrityError, match="cluster_id is null"):
        check_patients({"train": rows(0), "id_test": rows(1)}, table)


def test_equal_images_in_two_splits() -> None:
    table = radiographs(cluster_id=["p1", "p2", "p3"])
    content = {"r000": b"same", "r001": b"other", "r002": b"same"}
    with pytest.raises(IntegrityError, match=r"'r000' = 'r002' in train and id_test; the build"):
        check_images(content, {"train": rows(0, 1), "id_test": rows(2)}, table)
    found = check_images(
        content, {"train": rows(0, 1), "id_test": rows(2)}, table, shared=[("id_test", "train")]
    )
    assert found == EqualImages(0, 0, 0)


def test_equal_images_in_one_split_are_counted_by_patient() -> None:
    table = radiographs(cluster_id=["p1", "p1", "p2", "p2", "p4"])
    content = {"r000": b"a", "r001": b"a", "r002": b"a", "r003": b"b"}
    splits = {"train": rows(0, 0, 1, 2), "id_test": rows(3, 4)}
    assert check_images(content, splits, table) == EqualImages(1, 1, 1)


def test_columns_on_the_white_list_leave_and_others_do_not() -> None:
    check_columns((*ACQUISITION_COLUMNS, *PERSON_COLUMNS))
    check_columns(["kvp", "ward"], ("ward",))
    with pytest.raises(IntegrityError, match=r"'PatientName', 'ward' would leave.*--keep"):
        check_columns(["kvp", "ward", "PatientName"])


@pytest.mark.parametrize("column", PRIVATE_COLUMNS)
def test_private_columns_never_leave(column: str) -> None:
    with pytest.raises(IntegrityError, match="never may"):
        check_columns([column], [column])
