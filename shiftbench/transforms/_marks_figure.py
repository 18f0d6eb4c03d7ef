"""Which pixels of a picture are its figure, told from the grey values alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Figure", "figure_of", "frame"]

Plane = NDArray[np.float32]

SEPARATED = {"grey": 0.7, "colour": 0.8}
"""Share of the variance between dark and bright pixels from which on a picture is a glyph."""

ON_ONE_SIDE = {"grey": 0.6, "colour": 0.7}
"""Share of the border's pixels that must lie on one side of the threshold."""

AT_ONCE = 2**20


@dataclass(frozen=True, eq=False)
class Figure:
    """What a picture shows as its figure.

    Attributes
    ----------
    glyph : bool
        A figure of one tone on a ground of another; otherwise a photograph.
    dark : bool
        The figure is the darker of the two.
    threshold : float
        Luma from 0 to 1 between them.
    """

    glyph: bool
    dark: bool
    threshold: float


def figure_of(grey: NDArray[np.uint8], kind: str = "grey") -> Figure:
    """Tell a glyph from a photograph by Otsu's threshold and the border.

    With these bounds all of scikit-learn's digits and of 1,500 of MNIST are glyphs, and 3 % of 39
    photographs of COCO.

    Parameters
    ----------
    grey : (h, w) uint8
    kind : {"grey", "colour"}
        What the picture is: a colour picture is a photograph unless it is plainly none.

    References
    ----------
    Otsu 1979, IEEE Transactions on Systems, Man and Cybernetics 9, 62–66.

    Examples
    --------
    >>> glyph = np.zeros((9, 9), np.uint8)
    >>> glyph[3:6, 3:6] = 200
    >>> figure_of(glyph).glyph, figure_of(255 - glyph).dark
    (True, True)
    """
    flat = grey.ravel()
    counts = np.zeros(256)
    for start in range(0, len(flat), AT_ONCE):  # bincount makes 64-bit numbers of all it is given
        counts += np.bincount(flat[start : start + AT_ONCE], minlength=256)
    levels = np.arange(256.0)
    below, moment = np.cumsum(counts), np.cumsum(counts * levels)
    n, total = below[-1], moment[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        between = n * (total / n * below - moment) ** 2 / (below * (n - below))
    between = np.nan_to_num(between, nan=0.0, posinf=0.0)
    spread = float(np.sum(counts * (levels - total / n) ** 2))
    if spread == 0:
        return Figure(False, False, 0.5)
    # Between two tones every threshold is as good: the middle of them is taken.
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))
    at = float(best.mean()) + 0.5
    border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    bright = float(np.mean(border > at))
    separated = float(between.max()) / spread >= SEPARATED[kind]
    glyph = separated and max(bright, 1 - bright) >= ON_ONE_SIDE[kind]
    return Figure(glyph, bright > 0.5, at / 255)


def frame(shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(h, w): the outer eighth of the shorter side, on every side."""
    width = max(1, round(min(shape) / 8))
    made = np.ones(shape, bool)
    made[width:-width, width:-width] = False
    return made
