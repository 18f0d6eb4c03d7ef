"""A picture that is something like a chest: fields of several sizes, edges and fine texture."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter


def chest(rows: int = 192, columns: int = 160, seed: int = 0) -> np.ndarray:
    """float32 in [0.1, 0.9]: two dark lungs, bright ribs and spine, vessels, a little noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    image = np.full((rows, columns), 0.65)
    for side in (-0.45, 0.45):
        inside = ((x - side) / 0.38) ** 2 + (y / 0.8) ** 2 < 1
        image = np.where(inside, 0.3, image)
    image = gaussian_filter(image, 2)
    image += 0.06 * (np.sin(14 * (y + 0.4 * x**2)) > 0.4) + 0.12 * (np.abs(x) < 0.06)
    image += 0.03 * gaussian_filter(random.standard_normal(image.shape), 1.5) / 0.19
    image += 0.01 * random.standard_normal(image.shape)
    return np.clip(image, 0.1, 0.9).astype(np.float32)
