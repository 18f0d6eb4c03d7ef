"""Exact painting of rectangles, ellipses, polygons and bars, and integer textures.

Only integer arithmetic reaches a pixel, so a picture is the same on every machine and does not
depend on the version of a graphics library.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["Canvas", "Ints", "Stroke", "ellipse", "noise", "polygon", "strokes", "tone"]

Ints = NDArray[np.int32]
Stroke = tuple[str, tuple[int, ...], str]
RGB = tuple[int, int, int]
Window = tuple[int, int, int, int]
"""Left, top, width, height."""


@lru_cache(maxsize=512)
def strokes(shape: str) -> tuple[Stroke, ...]:
    """Parse strokes as described in `_scene_things`.

    Examples
    --------
    >>> strokes("r 0 0 50 9 a; p 0 0 9 0 9 9 red")
    (('r', (0, 0, 50, 9), 'a'), ('p', (0, 0, 9, 0, 9, 9), 'red'))
    """
    made = []
    for part in shape.split(";"):
        words = part.split()
        if words:
            made.append((words[0], tuple(map(int, words[1:-1])), words[-1]))
    return tuple(made)


def tone(color: RGB, sign: str) -> RGB:
    """A lighter (``+``) or darker (``-``) colour.

    Examples
    --------
    >>> tone((100, 200, 0), "+"), tone((100, 200, 0), "-")
    ((138, 213, 63), (75, 150, 0))
    """
    r, g, b = color
    if sign == "+":
        return r + (255 - r) // 4, g + (255 - g) // 4, b + (255 - b) // 4
    return r * 3 // 4, g * 3 // 4, b * 3 // 4


def ellipse(box: tuple[int, ...], window: Window) -> NDArray[np.bool_]:
    """Which pixel centres of a window lie in the ellipse inscribed in a box (x0, y0, x1, y1).

    Examples
    --------
    >>> ellipse((0, 0, 4, 4), (0, 0, 4, 2)).astype(int)
    array([[0, 1, 1, 0],
           [1, 1, 1, 1]])
    """
    left, top, w, h = window
    x0, y0, x1, y1 = box
    rx, ry = x1 - x0, y1 - y0
    dx = 2 * np.arange(left, left + w, dtype=np.int64) + 1 - (x0 + x1)
    dy = 2 * np.arange(top, top + h, dtype=np.int64) + 1 - (y0 + y1)
    inside: NDArray[np.bool_] = (dx * dx * (ry * ry))[None, :] + (dy * dy * (rx * rx))[:, None] <= (
        rx * rx * ry * ry
    )
    return inside


def polygon(points: Sequence[tuple[int, int]], window: Window) -> NDArray[np.bool_]:
    """Which pixel centres of a window lie inside a polygon, by the even-odd rule.

    Examples
    --------
    >>> polygon([(0, 0), (4, 0), (0, 2)], (0, 0, 4, 2)).astype(int)
    array([[1, 1, 1, 0],
           [1, 0, 0, 0]])
    """
    left, top, w, h = window
    points = list(points)
    flips = np.zeros((h, w + 1), dtype=np.bool_)
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
        if ay == by:
            continue
        if ay > by:
            ax, ay, bx, by = bx, by, ax, ay
        first, last = max(ay, top), min(by, top + h)
        if first >= last:
            continue
        # In half pixels a centre is odd and a vertex even, so that no centre meets a vertex.
        step = 2 * (by - ay)
        y = 2 * np.arange(first, last, dtype=np.int64) + 1
        crossing = 2 * ax * step + 2 * (bx - ax) * (y - 2 * ay)
        column = (crossing - step) // (2 * step) + 1 - left
        flips[np.arange(first - top, last - top), np.clip(column, 0, w)] ^= True
    return np.logical_xor.accumulate(flips[:, :w], axis=1)


def noise(gen: np.random.Generator, rows: int, columns: int, h: int, w: int) -> Ints:
    """A smooth random field of shape (h, w) in 0..255 from a lattice of rows × columns cells."""
    lattice = gen.integers(0, 256, (rows + 1, columns + 1), dtype=np.int32)
    y, x = np.arange(h) * (rows * 64) // h, np.arange(w) * (columns * 64) // w
    i, j = y >> 6, x >> 6
    fy, fx = (y & 63).astype(np.int32)[:, None], (x & 63).astype(np.int32)[None, :]
    bands = lattice[i] * (64 - fy) + lattice[i + 1] * fy
    made: Ints = (bands[:, j] * (64 - fx) + bands[:, j + 1] * fx) >> 12
    return made


class Canvas:
    """A picture that shapes are painted on.

    Attributes
    ----------
    pixels : np.ndarray
        (side, side, 3), uint8.
    """

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.pixels = pixels
        self.side = pixels.shape[0]

    def stroke(
        self,
        kind: str,
        numbers: tuple[int, ...],
        color: RGB,
        pattern: NDArray[np.bool_] | None = None,
    ) -> None:
        """Paint one stroke, its numbers in pixels; where `pattern` is true, in a darker tone."""
        if kind == "l":
            kind, numbers = "p", _bar(*numbers)
        xs, ys = numbers[0::2], numbers[1::2]
        window = self._window(min(xs), min(ys), max(xs), max(ys))
        left, top, w, h = window
        if w <= 0 or h <= 0:
            return
        region = self.pixels[top : top + h, left : left + w]
        if kind == "r":
            mask = np.ones((h, w), dtype=np.bool_)
        elif kind == "e":
            mask = ellipse(numbers, window)
        else:
            mask = polygon(list(zip(xs, ys, strict=True)), window)
        region[mask] = color
        if pattern is not None:
            region[mask & pattern[top : top + h, left : left + w]] = tone(color, "-")

    def shadow(self, x0: int, y0: int, x1: int, y1: int) -> None:
        """Darken an ellipse to two thirds."""
        window = self._window(x0, y0, x1, y1)
        left, top, w, h = window
        if w <= 0 or h <= 0:
            return
        region = self.pixels[top : top + h, left : left + w]
        mask = ellipse((x0, y0, x1, y1), window)
        region[mask] = region[mask].astype(np.uint16) * 2 // 3

    def _window(self, x0: int, y0: int, x1: int, y1: int) -> Window:
        left, top = max(x0, 0), max(y0, 0)
        return left, top, min(x1, self.side) - left, min(y1, self.side) - top


def _bar(x0: int, y0: int, x1: int, y1: int, width: int) -> tuple[int, ...]:
    # A slanted bar is thickened along the axis that it runs less along: no square root is needed.
    lo, hi = width // 2, (width + 1) // 2
    if abs(x1 - x0) >= abs(y1 - y0):
        return x0, y0 - lo, x1, y1 - lo, x1, y1 + hi, x0, y0 + hi
    return x0 - lo, y0, x1 - lo, y1, x1 + hi, y1, x0 + hi, y0
