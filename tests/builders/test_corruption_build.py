"""The corruption family from source to benchmark: pixels, masks, refusals, figures."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import shiftbench as sb
from shiftbench.builders import Corruptions
from shiftbench.builders.corruption.reading import CorruptedReader
from shiftbench.errors import ContentError, ShiftbenchError
from shiftbench.sources import ImageTable
from shiftbench.transforms import corrupt_image, corrupt_mask, corruptions_named
from tests.builders.pictures import Pictures, png


def built(folder, source, **options):
    measure = options.pop("measure", False)
    builder = Corruptions(source, **{"corruptions": ("fog=3", "rotate:20"), **options})
    return sb.build(builder, folder / "out", seed=5, measure=measure, progress=False)


def rows(bench, split):
    data = bench.load("corruption", split=split)
    return {r["example_id"]: r for r in data}


@pytest.mark.parametrize("source", [Pictures(), Pictures(mode="L"), Pictures(parts=True)])
def test_pixels_are_those_of_the_transform(tmp_path, source) -> None:
    bench = built(tmp_path, source)
    assert bench.verify() is None
    clean = rows(bench, "id_test")
    for split, step in (("fog_3", "fog=3"), ("rotate_at_20", "rotate:20")):
        changed = rows(bench, f"ood_test_{split}")
        assert len(changed) == len(clean)
        for row in changed.values():
            before = np.asarray(clean[row["unchanged_id"]]["image"])
            expected = corrupt_image(before, step, seed=5, ident=row["unchanged_id"])
            np.testing.assert_array_equal(np.asarray(row["image"]), expected)


def test_unchanged_images_keep_their_bytes(tmp_path) -> None:
    source = Pictures()
    built(tmp_path, source)
    read = source.reader()
    (file,) = (tmp_path / "out" / "data" / "corruption").glob("train-*.parquet")
    table = pq.read_table(file)
    assert table.num_rows
    for ident, image in zip(
        table["example_id"].to_pylist(), table["image"].to_pylist(), strict=True
    ):
        assert image["bytes"] == read(str(int(ident[1:])))["image"]


def test_masks_move_along_and_keep_their_palette(tmp_path) -> None:
    bench = built(tmp_path, Pictures(masks=True))
    clean = rows(bench, "id_test")
    for split, step in (("fog_3", "fog=3"), ("rotate_at_20", "rotate:20")):
        for row in rows(bench, f"ood_test_{split}").values():
            before = clean[row["unchanged_id"]]["mask"]
            mask = row["mask"]
            assert mask.mode == before.mode == "P"
            assert mask.getpalette()[:6] == before.getpalette()[:6]
            expected = corrupt_mask(np.asarray(before), step, seed=5, ident=row["unchanged_id"])
            np.testing.assert_array_equal(np.asarray(mask), expected)
    assert any((np.asarray(r["mask"]) != np.asarray(clean[r["unchanged_id"]]["mask"])).any()
               for r in rows(bench, "ood_test_rotate_at_20").values())  # fmt: skip


def test_a_mask_of_another_size_is_refused() -> None:
    def read(locator):
        picture, mask = np.zeros((8, 8), np.uint8), np.zeros((4, 8), np.uint8)
        return {"image": png(Image.fromarray(picture)), "mask": png(Image.fromarray(mask))}

    reader = CorruptedReader(read, 0)
    assert set(reader("\x1fcorrupted\x1ffog=3\x1fa\x1fx")) == {"image", "mask"}
    with pytest.raises(ContentError, match=r"a mask of \(4, 8\) rows and columns"):
        reader("\x1fcorrupted\x1frotate=3\x1fa\x1fx")


def test_the_order_of_corruptions_changes_nothing(tmp_path) -> None:
    digests = set()
    for name, steps in (("one", ("snow=2", "rain=4")), ("turned", ("rain=4", "snow=2"))):
        builder = Corruptions(Pictures(n=30), corruptions=steps)
        bench = sb.build(builder, tmp_path / name, measure=False, progress=False)
        splits = bench.manifest.configs["corruption"].splits
        digests.add(tuple(sorted((n, s.digest) for n, s in splits.items())))
    assert len(digests) == 1


@pytest.mark.parametrize("mode", ["I;16", "F"])
def test_deep_images_are_refused_with_what_to_do(tmp_path, mode: str) -> None:
    with pytest.raises(ShiftbenchError, match="convert the images to grey or RGB of 8 bits"):
        built(tmp_path, Pictures(mode=mode))


def test_images_that_cannot_be_read_are_counted_once(tmp_path) -> None:
    """Whether an image is shown once or in twenty corruptions."""
    source = Pictures(broken=tuple(range(0, 60, 7)))  # nine, and ten are allowed
    bench = built(tmp_path, source, corruptions=("noise",))
    assert bench.manifest.rejected == 9
    rejected = {r["input"] for r in bench.load("rejected", split="train")}
    assert rejected == {f"p{i:04d}" for i in range(0, 60, 7)}
    assert not rejected & {r["unchanged_id"] for r in rows(bench, "ood_test_shot_noise_2").values()}


def test_distance_and_loss_are_figures_of_their_own(tmp_path) -> None:
    bench = built(
        tmp_path,
        Pictures(n=400, side=16),
        corruptions=("fog=1", "fog=3", "fog:8", "posterize:7"),
        measure=True,
    )
    found = {r["split"]: r for r in bench.load("severities", split="train")}
    assert set(found) == {f"ood_test_{t}" for t in ("fog_1", "fog_3", "fog_at_8", "posterize_at_7")}
    fog = [found[f"ood_test_fog_{t}"] for t in ("1", "3", "at_8")]
    assert all(r["space"] == "pixels" and r["made"] == "surrogate" for r in found.values())
    assert all(r["accuracy_unchanged"] > 0.9 for r in found.values())
    # The intended part grows with strength; hardly any strength, hardly any shift.
    assert fog[0]["shift"] < fog[1]["shift"] < fog[2]["shift"]
    assert fog[2]["shift_p_value"] < 0.01
    assert fog[2]["accuracy_lost"] > 0.3
    assert fog[2]["lost_low"] > 0
    assert (fog[2]["n"], fog[2]["n_clusters"]) == (240, 120)  # pairs
    weak = found["ood_test_posterize_at_7"]
    assert weak["shift"] < fog[0]["shift"] / 10
    assert abs(weak["accuracy_lost"]) < 0.03
    assert weak["lost_low"] <= 0 <= weak["lost_high"]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "held fixed: **P(y)**" in card


def test_photographs_in_a_table(tmp_path, shared_data) -> None:
    files = sorted((shared_data / "coco").rglob("*.jpg"))[:60]
    small = []
    for path in files:
        with Image.open(path) as opened:
            out = io.BytesIO()
            opened.convert("RGB").resize((64, 48)).save(out, "JPEG", quality=90)
            small.append(out.getvalue())
    table = pa.table(
        {
            "image": small,
            "label": [("left", "right")[i % 2] for i in range(60)],
            "tags": pa.array([["photograph"]] * 60, pa.list_(pa.string())),
        }
    )
    pq.write_table(table, tmp_path / "photographs.parquet")
    names = [f"{step.name}=3" for step in corruptions_named(["imagenet_c"])[::5]]
    bench = built(
        tmp_path,
        ImageTable(str(tmp_path / "photographs.parquet")),
        corruptions=tuple(names),
        ood_validation=("imagenet_c_extra",),
    )
    clean = rows(bench, "id_test")
    assert len(clean) == 18
    for name in names:
        changed = rows(bench, f"ood_test_{name.replace('=', '_')}").values()
        pairs = [(np.asarray(clean[r["unchanged_id"]]["image"]), np.asarray(r["image"]))
                 for r in changed]  # fmt: skip
        assert all(a.shape == b.shape == (48, 64, 3) and (a != b).any() for a, b in pairs)
    assert len(rows(bench, "ood_validation")) == 6
