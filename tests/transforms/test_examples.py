"""AcquisitionChange in datasets.map."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
from datasets import Dataset, Features, Image, Value
from datasets.fingerprint import Hasher
from PIL import Image as Pillow

from shiftbench.errors import ConfigurationError, ContentError
from shiftbench.transforms import AcquisitionChange, Step, apply_step
from tests.transforms.chest import chest

N = 7


def array(i: int, dtype=np.uint16) -> np.ndarray:
    return np.rint(chest(48, 40, seed=i) * np.iinfo(dtype).max).astype(dtype)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def dataset(dtype=np.uint16) -> Dataset:
    return Dataset.from_dict(
        {
            "example_id": [f"r{i}" for i in range(N)],
            "image": [{"bytes": png(array(i, dtype)), "path": None} for i in range(N)],
            "row_mm": [0.1 + 0.01 * i for i in range(N)],
            "column_mm": [0.2] * N,
        },
        features=Features(
            {
                "example_id": Value("string"),
                "image": Image(),
                "row_mm": Value("float64"),
                "column_mm": Value("float64"),
            }
        ),
    )


def arrays(made) -> dict[str, np.ndarray]:
    return {row["example_id"]: np.asarray(row["image"]) for row in made}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_map_one_by_one_batched_shuffled_and_in_processes(dtype) -> None:
    data = dataset(dtype)
    change = AcquisitionChange("dose=3", seed=4)
    expected = {
        f"r{i}": apply_step(array(i, dtype), "dose=3", seed=4, ident=f"r{i}") for i in range(N)
    }
    for made in (
        data.map(change),
        data.map(change, batched=True, batch_size=3),
        data.shuffle(seed=1).map(change, batched=True, batch_size=2),
        data.map(change, num_proc=2),
        data.to_iterable_dataset().map(change),
    ):
        found = arrays(made)
        assert sorted(found) == sorted(expected)
        assert all(found[k].dtype == dtype for k in found)
        assert all(np.array_equal(found[k], expected[k]) for k in found)


def test_what_map_stores_is_png_and_other_columns_stay() -> None:
    made = dataset().map(AcquisitionChange("gamma=2"))
    stored = made.cast_column("image", Image(decode=False))[0]
    assert stored["image"]["bytes"].startswith(b"\x89PNG")
    assert stored["row_mm"] == 0.1
    assert made.column_names == ["example_id", "image", "row_mm", "column_mm"]


def test_undecoded_images() -> None:
    data = dataset().cast_column("image", Image(decode=False))
    made = data.map(AcquisitionChange("gamma=2")).cast_column("image", Image())
    assert np.array_equal(
        np.asarray(made[2]["image"]), apply_step(array(2), "gamma=2", seed=0, ident="r2")
    )


@pytest.mark.parametrize("batched", [False, True])
def test_pitch_from_columns_and_numbers(batched: bool) -> None:
    data = dataset()

    def first(**options) -> np.ndarray:
        return arrays(data.map(AcquisitionChange("blur=1", **options), batched=batched))["r3"]

    def expected(*pitch):
        return apply_step(array(3), "blur=1", seed=0, ident="r3", pitch_mm=pitch)

    row = data[3]["row_mm"]
    assert np.array_equal(first(row_mm="row_mm", column_mm="column_mm"), expected(row, 0.2))
    assert np.array_equal(first(row_mm="row_mm"), expected(row, row))
    assert np.array_equal(first(row_mm=0.3), expected(0.3, 0.3))
    assert np.array_equal(first(row_mm=0.3, column_mm="column_mm"), expected(0.3, 0.2))


def test_unknown_pitch_of_one_example() -> None:
    change = AcquisitionChange("blur=1", row_mm="row_mm")
    with pytest.raises(ConfigurationError, match="pixel pitch"):
        change({"example_id": "a", "image": array(0), "row_mm": None})
    plain = AcquisitionChange("dose=1", row_mm="row_mm")
    made = plain({"example_id": "a", "image": array(0), "row_mm": None})["image"]
    assert np.array_equal(made, apply_step(array(0), "dose=1", seed=0, ident="a"))


def test_pickle_and_fingerprint() -> None:
    change = AcquisitionChange("dose=2")
    assert pickle.loads(pickle.dumps(change)) == change
    assert AcquisitionChange(Step("dose", 2)) == change
    assert Hasher.hash(change) == Hasher.hash(AcquisitionChange("dose=2.0"))
    assert Hasher.hash(change) != Hasher.hash(AcquisitionChange("dose=3"))
    assert Hasher.hash(change) != Hasher.hash(AcquisitionChange("dose=2", seed=1))


def test_options_that_cannot_be() -> None:
    with pytest.raises(ConfigurationError, match="'dose'"):
        AcquisitionChange("dosis=2")
    with pytest.raises(ConfigurationError, match="row_mm"):
        AcquisitionChange("grid=0.1")
    with pytest.raises(ConfigurationError, match="without row_mm"):
        AcquisitionChange("blur=1", column_mm=0.2)


@pytest.mark.parametrize(
    "example",
    [
        {"example_id": "a", "image": None},
        {"example_id": "a", "image": {"bytes": None, "path": "patient.png"}},
        {"example_id": "a", "image": {"bytes": b"\x89PNG patient", "path": None}},
        {"example_id": "a", "image": Pillow.new("RGB", (4, 4))},
        {"example_id": "a", "image": [[1, 2], [3, 4]]},
        {"example_id": None, "image": array(0)},
        {"example_id": "a", "image": array(0).astype(np.float64)},
    ],
)
def test_examples_that_cannot_be_used(example) -> None:
    with pytest.raises(ContentError) as caught:
        AcquisitionChange("dose=1")(example)
    assert "patient" not in str(caught.value)


def test_a_tensor_is_told_by_its_type() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ContentError, match="of type Tensor"):
        AcquisitionChange("dose=1")({"example_id": "a", "image": torch.zeros((4, 4))})


def test_columns_that_are_not_there() -> None:
    with pytest.raises(ConfigurationError, match="'image'"):
        AcquisitionChange("dose=1", column="imagge")({"example_id": "a", "image": array(0)})
    with pytest.raises(ConfigurationError, match="example_id"):
        AcquisitionChange("dose=1")({"image": array(0)})


def test_ident_may_be_a_number() -> None:
    made = AcquisitionChange("dose=1", id_column="n")({"n": 3, "image": array(0)})["image"]
    assert np.array_equal(made, apply_step(array(0), "dose=1", seed=0, ident="3"))
