"""Images in a table with a mask each."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image as Pictures

import shiftbench as sb
from shiftbench.builders.subpopulation.builder import Subpopulations
from shiftbench.errors import ConfigurationError
from shiftbench.schema import Image
from shiftbench.sources import ImageTable

Pixels = NDArray[np.uint8]

PIXELS = 24


def png(pixels: Pixels) -> bytes:
    out = io.BytesIO()
    Pictures.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def pictures(n: int) -> list[tuple[Pixels, Pixels]]:
    """Images and masks; every third image has no labelled pixel."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(n):
        mask = np.zeros((PIXELS, PIXELS), np.uint8)
        if i % 3:
            top, left = rng.integers(0, PIXELS - 8, 2)
            mask[top : top + 5, left : left + 7] = 1 + i % 2
        made.append((rng.integers(0, 256, (PIXELS, PIXELS, 3), dtype=np.uint8), mask))
    return made


def table_of(folder: Path, n: int, *, inside: bool, **columns: Any) -> ImageTable:
    made = pictures(n)
    rows: dict[str, Any] = {
        "organ": ["liver" if i % 2 else "spleen" for i in range(n)],
        "tags": [["ct"] for _ in range(n)],
        "case": [f"case{i // 4}" for i in range(n)],
        **columns,
    }
    if inside:
        rows |= {"image": [png(x) for x, _ in made], "seg": [png(m) for _, m in made]}
    else:
        for i, (x, m) in enumerate(made):
            (folder / f"{i}.png").write_bytes(png(x))
            (folder / f"{i}_mask.png").write_bytes(png(m))
        rows |= {
            "image": [f"{i}.png" for i in range(n)],
            "seg": [f"{i}_mask.png" for i in range(n)],
        }
    pq.write_table(pa.table(rows), folder / "scans.parquet")
    return ImageTable(
        str(folder / "scans.parquet"),
        class_column="organ",
        images=None if inside else str(folder),
        mask_column="seg",
        cluster_column="case",
    )


@pytest.mark.parametrize("inside", [True, False])
def test_masks_are_read_with_their_images_and_their_share_is_told(
    tmp_path: Path, inside: bool
) -> None:
    source = table_of(tmp_path, 12, inside=inside)
    found = source.scan()
    assert found.content == {"image": Image(), "mask": Image()}
    assert "seg" not in found.examples.column_names
    assert found.counts["images_without_mask"] == 0
    assert found.counts["images_without_annotation"] == 0
    read = source.reader()
    for i, (image, mask) in enumerate(pictures(12)):
        row = found.examples.slice(i, 1).to_pylist()[0]
        content = read(row["locator"])
        assert np.array_equal(np.asarray(Pictures.open(io.BytesIO(content["image"]))), image)
        assert np.array_equal(np.asarray(Pictures.open(io.BytesIO(content["mask"]))), mask)
        assert row["mask_share"] == pytest.approx((mask > 0).mean())
        assert row["bytes"] == len(content["image"]) + len(content["mask"])


def test_without_masks_nothing_changes(tmp_path: Path) -> None:
    source = table_of(tmp_path, 6, inside=True)
    plain = ImageTable(source.table, class_column="organ", cluster_column="case")
    assert plain.scan().content == {"image": Image()}
    assert plain.scan().fingerprint != source.scan().fingerprint
    assert set(plain.reader()("#0")) == {"image"}


def test_the_fingerprint_sees_a_changed_mask(tmp_path: Path) -> None:
    source = table_of(tmp_path, 6, inside=False)
    before = source.scan().fingerprint
    (tmp_path / "4_mask.png").write_bytes(png(np.full((PIXELS, PIXELS), 3, np.uint8)))
    after = source.scan()
    assert after.fingerprint != before
    assert after.examples["mask_share"][4].as_py() == 1.0


def test_an_image_without_a_mask_is_left_out_and_counted(tmp_path: Path) -> None:
    source = table_of(tmp_path, 8, inside=False)
    (tmp_path / "3_mask.png").unlink()
    found = source.scan()
    assert found.counts["images_without_mask"] == 1
    assert "00000003" not in found.examples["example_id"].to_pylist()


def test_a_share_of_the_table_stands_and_a_broken_mask_has_none(tmp_path: Path) -> None:
    given = table_of(tmp_path, 6, inside=False, mask_share=[0.25] * 6)
    assert set(given.scan().examples["mask_share"].to_pylist()) == {0.25}
    other = tmp_path / "other"
    other.mkdir()
    source = table_of(other, 6, inside=False)
    (other / "1_mask.png").write_bytes(b"no picture")
    shares = source.scan().examples["mask_share"].to_pylist()
    assert shares[1] is None
    assert None not in shares[2:]


def test_options_that_do_not_fit(tmp_path: Path) -> None:
    source = table_of(tmp_path, 6, inside=False)
    with pytest.raises(ConfigurationError, match=r"no column 'segm'"):
        ImageTable(source.table, class_column="organ", mask_column="segm").scan()
    with pytest.raises(ConfigurationError, match="need the images beside them"):
        ImageTable(source.table, class_column="organ", mask_column="seg").scan()


def test_a_segmentation_benchmark_of_ones_own_images(tmp_path: Path) -> None:
    from datasets import load_dataset

    source = table_of(tmp_path, 240, inside=False)
    builder = Subpopulations(source, design="density", label="organ_name", variants=("full",))
    with pytest.raises(ConfigurationError, match="organ_name"):
        builder.plan(source.scan(), 0)
    builder = Subpopulations(source, design="density", variants=("full", "dense"))
    sb.build(builder, tmp_path / "out", seed=0, measure=False)
    made = pictures(240)
    for config in ("full", "dense"):
        for row in load_dataset(str(tmp_path / "out"), config, split="train"):
            image, mask = made[int(row["example_id"])]
            assert np.array_equal(np.asarray(row["image"]), image)
            assert np.array_equal(np.asarray(row["mask"]), mask)
            assert row["group"] == ("dense" if mask.any() else "sparse")
