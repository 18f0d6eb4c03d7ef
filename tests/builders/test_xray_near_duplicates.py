"""Planted copies are found, with how they were changed, and nobody is paired with themselves."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from shiftbench.builders.xray import near_duplicates as module
from shiftbench.builders.xray._gathered import Gathered, gathered
from shiftbench.builders.xray.near_duplicates import NEAR, PAIRS, near_duplicates, picture

Grey = NDArray[np.uint8]


@cache
def cloud(seed: int, side: int = 256) -> Grey:
    """A picture with details of several sizes."""
    rng = np.random.default_rng(seed)
    made = sum(
        s * ndimage.gaussian_filter(rng.normal(size=(side, side)), s, mode="nearest")
        for s in (4, 8, 16, 32)
    )
    low, high = made.min(), made.max()
    return np.rint((made - low) * 255 / (high - low)).astype(np.uint8)


def keep(image: Grey) -> Gathered:
    return gathered(image.astype(np.uint16) * 257)


def jpeg(image: Grey) -> Grey:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=40)
    return np.asarray(Image.open(file))


COPIES: dict[str, Any] = {
    "same": lambda a: a,
    "jpeg": jpeg,
    "cropped": lambda a: a[5:-5, 5:-5],
    "brighter": lambda a: np.clip(a * 1.1 + 5, 0, 255).astype(np.uint8),
    "gamma": lambda a: np.rint(255 * (a / 255) ** 0.7).astype(np.uint8),
    "mirrored": lambda a: a[:, ::-1],
    "half": lambda a: np.asarray(Image.fromarray(a).resize((128, 128))),
    "mirrored, cropped, JPEG": lambda a: jpeg(np.ascontiguousarray(a[4:, :-4][:, ::-1])),
}


@pytest.mark.parametrize("how", list(COPIES))
def test_planted_copies_are_found(how: str) -> None:
    images = {f"r{i:02d}": cloud(i) for i in range(40)}
    images["x1"] = COPIES[how](images["r07"])
    images["x2"] = COPIES[how](images["r23"])
    found = near_duplicates({n: keep(a) for n, a in images.items()}, own(images), {}, most=10)
    rows = found.to_pylist()
    assert {(r["radiograph_a"], r["radiograph_b"]) for r in rows[:2]} == {
        ("r07", "x1"), ("r23", "x2"),
    }  # fmt: skip
    assert all(r["mirrored"] == how.startswith("mirrored") for r in rows[:2])
    assert rows[1]["correlation"] > NEAR > rows[2]["correlation"]


def own(images: Mapping[str, Any]) -> dict[str, str]:
    """A patient for each."""
    return {name: f"p{name}" for name in images}


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, -1), (-3, 3), (1, 2)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_shift_puts_b_on_a(down: int, right: int, mirrored: bool) -> None:
    large = cloud(5, 320)
    a = large[32:288, 32:288]
    b = large[32 + 8 * down : 288 + 8 * down, 32 + 8 * right : 288 + 8 * right]
    images = {f"r{i}": cloud(100 + i) for i in range(12)}
    images |= {"a": a, "b": b[:, ::-1] if mirrored else b}
    row = near_duplicates({n: keep(x) for n, x in images.items()}, own(images), {}).to_pylist()[0]
    assert (row["radiograph_a"], row["radiograph_b"]) == ("a", "b")
    assert (row["shift_rows"], row["shift_columns"], row["mirrored"]) == (down, right, mirrored)
    assert row["correlation"] > 0.9


def literally(a: Gathered, b: Gathered) -> float:
    """The definition: the highest Pearson correlation of the details, over shifts and mirroring."""
    one, other = (
        t - ndimage.gaussian_filter(t, 3, mode="nearest")
        for t in (a.thumbnail.astype(float), b.thumbnail.astype(float))
    )
    best = -1.0
    for second in (other, other[:, ::-1]):
        for down in range(-3, 4):
            for right in range(-3, 4):
                pairs = [
                    (one[i, j], second[i - down, j - right])
                    for i in range(32)
                    for j in range(32)
                    if 0 <= i - down < 32 and 0 <= j - right < 32
                ]
                best = max(best, float(np.corrcoef(np.array(pairs).T)[0, 1]))
    return best


def test_against_the_definition() -> None:
    few = {f"r{i}": keep(cloud(i, 64)) for i in range(5)}
    found = near_duplicates(few, own(few), {}, most=100).to_pylist()
    assert len(found) == 10
    for row in found:
        expected = literally(few[row["radiograph_a"]], few[row["radiograph_b"]])
        assert row["correlation"] == pytest.approx(expected, abs=2e-4)
    assert [r["correlation"] for r in found] == sorted(
        (r["correlation"] for r in found), reverse=True
    )


def test_one_patient_is_not_compared_with_themselves() -> None:
    images = {f"r{i}": keep(cloud(i // 2)) for i in range(20)}
    patients = {f"r{i}": f"p{i // 2}" for i in range(20)}
    found = near_duplicates(images, patients, {}, most=1000).to_pylist()
    assert found
    assert all(r["patient_a"] != r["patient_b"] for r in found)
    assert max(r["correlation"] for r in found) < NEAR


def test_each_pair_once_whatever_the_order_and_the_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    images = {f"r{i:03d}": keep(cloud(i % 60, 64)) for i in range(150)}
    patients = {name: f"p{(int(name[1:]) * 7) % 100}" for name in images}
    copies = {
        (a, b)
        for a, b in combinations(sorted(images), 2)
        if int(a[1:]) % 60 == int(b[1:]) % 60 and patients[a] != patients[b]
    }
    assert len(copies) > 100
    found = near_duplicates(images, patients, {}, most=200)
    pairs = [(r["radiograph_a"], r["radiograph_b"]) for r in found.to_pylist()]
    assert len(set(pairs)) == len(pairs) == 200
    assert set(pairs[: len(copies)]) == copies
    turned = dict(reversed(images.items()))
    assert near_duplicates(turned, patients, {}, most=200).equals(found)
    monkeypatch.setattr(module, "_TILE", 32)
    monkeypatch.setattr(module, "_CHUNK", 7)
    few = len(copies)
    assert near_duplicates(images, patients, {}, most=few).equals(found.slice(0, few))


def test_many_are_compared_without_shifts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY", 10)
    images = {f"r{i:02d}": cloud(i) for i in range(40)}
    images["x"] = images["r11"][4:, ::-1]
    row = near_duplicates({n: keep(a) for n, a in images.items()}, own(images), {}).to_pylist()[0]
    assert (row["radiograph_a"], row["radiograph_b"], row["mirrored"]) == ("r11", "x", True)


@pytest.mark.parametrize(
    ("of_a", "of_b", "across"),
    [
        (["one/train"], ["one/id_test"], True),
        (["one/train"], ["one/train"], False),
        (["one/train"], ["two/id_test"], False),
        (["one/train", "two/ood_test_x"], ["two/train"], True),
        ([], ["one/train"], False),
    ],
)
def test_splits(of_a: list[str], of_b: list[str], across: bool) -> None:
    images = {"a": keep(cloud(1)), "b": keep(cloud(1))}
    row = near_duplicates(images, own(images), {"a": of_a, "b": of_b}).to_pylist()[0]
    assert row["across_splits"] is across
    assert (row["splits_a"], row["splits_b"]) == (", ".join(of_a), ", ".join(of_b))


def test_nothing_to_compare() -> None:
    one = {"a": keep(cloud(1))}
    both = {**one, "b": keep(cloud(1))}
    for given, patients in (({}, {}), (one, {"a": "p"}), (both, {"a": "p", "b": "p"})):
        assert near_duplicates(given, patients, {}).equals(PAIRS.empty_table())


def test_flat_pictures_are_like_nothing() -> None:
    flat = {n: Gathered(b"0" * 32, np.full((32, 32), 9, np.uint8)) for n in "ab"}
    found = near_duplicates(
        {**flat, "c": keep(cloud(1))}, own(dict.fromkeys("abc")), {}
    ).to_pylist()
    assert all(r["correlation"] == 0 for r in found)


def test_the_picture_shows_the_pairs() -> None:
    images = {"a": keep(cloud(1)), "b": keep(cloud(1)[:, ::-1]), "c": keep(cloud(2))}
    pairs = near_duplicates(images, own(images), {})
    drawn = np.asarray(Image.open(io.BytesIO(picture(pairs, images, zoom=1))))
    assert drawn.dtype == np.uint8
    side = images["a"].thumbnail
    assert (drawn[4:36, 4:36] == side).all()
    assert (drawn[4:36, 40:72] == images["b"].thumbnail[:, ::-1]).all()
    assert picture(pairs, images) == picture(pairs, images)
    assert drawn[36:].min() < 128  # something is written


def test_real_radiographs_of_different_people_are_no_copies(shared_data: Path) -> None:
    folder = shared_data / "chest_xray"
    if not folder.is_dir():
        pytest.skip("no chest_xray in the shared data")
    with (folder / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    images = {
        r["image"]: np.asarray(Image.open(folder / "images" / r["image"]).convert("L"))
        for r in rows
    }
    patients = {r["image"]: r["patient"] for r in rows}
    patients["copy"] = "nobody"
    images["copy"] = jpeg(images[rows[100]["image"]][10:-10, 10:-10])
    found = near_duplicates({n: keep(a) for n, a in images.items()}, patients, {}).to_pylist()
    assert {found[0]["radiograph_a"], found[0]["radiograph_b"]} == {"copy", rows[100]["image"]}
    assert found[0]["correlation"] > NEAR
    assert 0.6 < found[1]["correlation"] < 0.8
