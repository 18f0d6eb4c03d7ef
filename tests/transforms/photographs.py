"""Pictures that corruptions are tried on: real photographs and made ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def made(rows: int = 64, columns: int = 64, seed: int = 0, *, grey: bool = False):
    """Smooth parts, edges and texture in colour: (rows, columns, 3) or (rows, columns), uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:columns] / max(rows, columns)
    picture = np.empty((rows, columns, 3))
    for channel in range(3):
        a, b, c = rng.uniform(-5, 5, 3)
        picture[..., channel] = 120 + 60 * np.sin(a * x + b * y + c)
    for _ in range(6):
        cx, cy, r = rng.uniform(0, 1, 3)
        inside = (x - cx) ** 2 + (y - cy) ** 2 < (0.05 + r / 6) ** 2
        picture[inside] = rng.uniform(20, 235, 3)
    picture += rng.normal(0, 6, (rows, columns, 1))
    pixels = picture.clip(0, 255).astype(np.uint8)
    return pixels[..., 1].copy() if grey else pixels


def photographs(folder: Path, n: int, side: int) -> list[np.ndarray]:
    """The middle squares of some photographs of COCO, (side, side, 3)."""
    found = []
    for path in sorted(folder.rglob("*.jpg"))[:n]:
        image = Image.open(path).convert("RGB")
        short = min(image.size)
        left, top = (image.width - short) // 2, (image.height - short) // 2
        square = image.crop((left, top, left + short, top + short))
        found.append(np.asarray(square.resize((side, side), Image.Resampling.BOX)))
    return found
