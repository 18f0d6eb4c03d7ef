"""Lengths of rays inside simple bodies, on a grid of pixels: ellipsoids and tubes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ellipsoid", "Grid", "Tubes", "View", "add_tubes", "half_chord", "overlap"]

Plane = NDArray[np.float32]
Floats = NDArray[np.float64]
Box = tuple[slice, slice]

GAP = 40.0  # mm from the body to the converter: cover, grid, chambers of the exposure control


@dataclass(frozen=True)
class Grid:
    """A square of pixels about the central ray; x to the right, y downward, in mm.

    Attributes
    ----------
    size : int
        Pixels a side.
    pitch : float
        mm from one to the next.
    """

    size: int
    pitch: float

    def axis(self) -> Plane:
        """Middles of the pixels, mm."""
        at = (np.arange(self.size) - (self.size - 1) / 2) * self.pitch
        return at.astype(np.float32)

    def position(self, mm: Floats) -> Floats:
        """From mm to pixels, fractions included."""
        return np.asarray(mm / self.pitch + (self.size - 1) / 2)

    def span(self, low: float, high: float) -> slice:
        """The pixels whose middles are within."""
        first, last = self.position(np.array([low, high])).tolist()
        start = min(max(int(np.ceil(first)), 0), self.size)
        return slice(start, max(min(int(np.floor(last)) + 1, self.size), start))

    def zeros(self) -> Plane:
        """An empty map."""
        return np.zeros((self.size, self.size), np.float32)


@dataclass(frozen=True)
class Ellipsoid:
    """``|u|^p + |v|^p + |w|^2 = 1`` with u, v, w along its axes; p is 2, or 4 for a boxy outline.

    Attributes
    ----------
    x, y, z : float
        Its middle, mm; z counts from the front of the body to the back.
    a, b, c : float
        Semi-axes along u, v (in the image) and z.
    tilt : float
        Radians by which u and v are turned, clockwise on the screen.
    power : int
    """

    x: float
    y: float
    z: float
    a: float
    b: float
    c: float
    tilt: float = 0.0
    power: int = 2


@dataclass(frozen=True)
class View:
    """Where tube and detector stand.

    Attributes
    ----------
    depth : float
        Of the body, mm.
    distance : float
        From the focus to the detector, mm.
    frontal : bool
        Whether the front of the body faces the tube (AP); in PA it faces the detector.
    x, y : float
        Where the middle of the chest is shown, mm.
    """

    depth: float
    distance: float
    frontal: bool
    x: float = 0.0
    y: float = 0.0

    def magnifications(self, z: Floats) -> Floats:
        """Of what lies z mm behind the front of the body, `GAP` between body and detector."""
        away = GAP + (self.depth - z if self.frontal else z)
        return np.asarray(self.distance / (self.distance - away))

    def magnification(self, z: float) -> float:
        """Of one depth."""
        return float(self.magnifications(np.array(z)))

    def project(self, body: Ellipsoid) -> Ellipsoid:
        """An ellipsoid as it is shown: larger in the image, as deep as it is."""
        m = self.magnification(body.z)
        return replace(
            body, x=body.x * m + self.x, y=body.y * m + self.y, a=body.a * m, b=body.b * m
        )


def half_chord(grid: Grid, body: Ellipsoid) -> tuple[Box, Plane]:
    """Half the length of each ray inside, mm, and the part of the grid that the array is for."""
    cos, sin = np.cos(body.tilt), np.sin(body.tilt)
    if body.power == 2:
        wide, high = np.hypot(body.a * cos, body.b * sin), np.hypot(body.a * sin, body.b * cos)
    else:
        wide, high = abs(body.a * cos) + abs(body.b * sin), abs(body.a * sin) + abs(body.b * cos)
    box = (
        grid.span(body.y - high, body.y + high),
        grid.span(body.x - wide, body.x + wide),
    )
    axis = grid.axis()
    x, y = axis[box[1]] - np.float32(body.x), axis[box[0]] - np.float32(body.y)
    if body.tilt == 0:
        inside = np.subtract.outer(
            1 - _power(y / body.b, body.power), _power(x / body.a, body.power)
        )
    else:
        u = np.add.outer(y * np.float32(sin / body.a), x * np.float32(cos / body.a))
        v = np.add.outer(y * np.float32(cos / body.b), x * np.float32(-sin / body.b))
        inside = 1 - _power(u, body.power) - _power(v, body.power)
    np.maximum(inside, 0, out=inside)
    np.sqrt(inside, out=inside)
    inside *= np.float32(body.c)
    return box, inside


def _power(values: Plane, power: int) -> Plane:
    squared = values * values
    return squared if power == 2 else squared * squared


def overlap(first: Plane, first_z: float, second: Plane, second_z: float) -> Plane:
    """Length that two intervals along z share, from half their lengths and their middles."""
    apart = np.float32(second_z - first_z)
    shared: Plane = np.minimum(first, apart + second)
    shared -= np.maximum(-first, apart - second)
    np.maximum(shared, 0, out=shared)
    return shared


@dataclass(frozen=True)
class Tubes:
    """Pieces of tubes, one a line of pixels that they cross, all positions in pixels.

    Attributes
    ----------
    line : (n,) array of int
        The column (or the row, for tubes that run down) of each piece.
    middle : (n,) array
        Where the axis crosses it.
    half : (n,) array
        Half the extent along the line.
    depth : (n,) array
        Length of the ray through the axis, mm.
    """

    line: NDArray[np.int64]
    middle: Floats
    half: Floats
    depth: Floats


def add_tubes(
    plane: Plane, tubes: Tubes, *, down: bool = False, bore: float = 0.0, marrow: float = 1.0
) -> None:
    """Add the lengths of rays inside tubes to a map.

    A tube narrower than a pixel is widened to about a pixel, its cross-section kept.

    Parameters
    ----------
    plane : (size, size) array of float32
        Changed in place.
    tubes : Tubes
    down : bool
        Whether the lines are rows.
    bore, marrow : float
        Radius of the inside as a share of the radius, and how much less of it counts (1: hollow).
    """
    size = len(plane)
    half = np.hypot(tubes.half, 0.5)
    depth = tubes.depth * tubes.half / half
    first = np.clip(np.ceil(tubes.middle - half), 0, size).astype(np.int64)
    last = np.clip(np.floor(tubes.middle + half), -1, size - 1).astype(np.int64)
    counts = np.where((tubes.line >= 0) & (tubes.line < size), np.maximum(last - first + 1, 0), 0)
    piece = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    at = np.arange(len(piece)) + (first - np.cumsum(counts) + counts)[piece]
    q = (at - tubes.middle[piece]).astype(np.float32)
    q *= (1 / half).astype(np.float32)[piece]
    q *= q
    chord = np.sqrt(np.maximum(1 - q, 0))
    if bore:
        chord -= np.float32(marrow * bore) * np.sqrt(np.maximum(1 - q * np.float32(bore**-2), 0))
    chord *= depth.astype(np.float32)[piece]
    line = tubes.line[piece]
    flat = line * size + at if down else at * size + line
    plane += np.bincount(flat, chord, size * size).reshape(size, size).astype(np.float32)
