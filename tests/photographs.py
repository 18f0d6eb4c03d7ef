"""A small collection of JPEG files with COCO annotations, made for a test."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import shiftbench as sb

CATEGORIES = ("cat", "dog", "sofa", "car", "bench")
N = 60


def photographs(folder: Path, n: int = N) -> Path:
    """Write `n` photographs; half are of cats, half of dogs, with two contexts each."""
    images = folder / "images"
    images.mkdir(parents=True)
    random = np.random.default_rng(0)
    records: list[dict[str, Any]] = []
    marks: list[dict[str, Any]] = []
    for k in range(n):
        name = f"{k:06d}.jpg"
        pixels = random.integers(0, 255, (6, 6, 3), np.uint8)
        Image.fromarray(pixels).resize((40, 30)).save(images / name, quality=90)
        records.append({"id": k, "file_name": name, "width": 40, "height": 30})
        for category in (1 + k % 2, 3 + k // 2 % 3, 3 + k // 6 % 3):
            marks.append(
                {"id": len(marks), "image_id": k, "category_id": category, "bbox": [0, 0, 9, 9]}
            )
    write(folder, records, marks)
    return folder


def write(folder: Path, images: Sequence[Any], annotations: Sequence[Any]) -> None:
    categories = [{"id": i, "name": c} for i, c in enumerate(CATEGORIES, 1)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(document))


def shuffle(folder: Path, seed: int) -> None:
    """Put images, annotations and categories into another order, which means nothing."""
    random = np.random.default_rng(seed)
    path = folder / "instances.json"
    document = json.loads(path.read_bytes())
    for key in ("images", "annotations", "categories"):
        document[key] = [document[key][i] for i in random.permutation(len(document[key]))]
    path.write_text(json.dumps(dict(reversed(document.items()))))


def builder(folder: Path, **more: Any) -> Any:
    source = sb.sources.CocoInstances(str(folder / "instances.json"), str(folder / "images"))
    options: dict[str, Any] = {"classes": ("cat", "dog"), "min_size": 3, "min_subsets": 2}
    return sb.builders.MetaShift(source, **{**options, **more})
