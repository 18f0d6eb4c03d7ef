"""A chest drawn at random for a patient, and the thickness of what each ray passes in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shiftbench.sources._phantom_bones import Bones, draw_bones, paint_bones
from shiftbench.sources._phantom_shapes import Ellipsoid, Grid, View, half_chord, overlap
from shiftbench.sources._phantom_vessels import Vessels, draw_vessels, paint_vessels
from shiftbench.statistics import stream

__all__ = ["Chest", "Thickness", "distance_mm", "draw_chest", "opacity_share", "paint"]

Plane = NDArray[np.float32]

LUNG_DENSITY = 0.26  # of soft tissue: 0.26 g/cm³ in ICRU 44
OPACITY_MM = 2.0  # of soft tissue in place of air: from here on a pixel is in the mask
_TEXTURE_SIDE, _TEXTURE_MM = 256, 480.0


@dataclass(frozen=True)
class Chest:
    """What is drawn once for a radiograph; positions in mm from the middle of the chest.

    Attributes
    ----------
    body : tuple of Ellipsoid
        Trunk, neck, shoulders; overlapping ones count by the deepest.
    extra : tuple of Ellipsoid
        Breasts, on top of the body.
    lungs : tuple of Ellipsoid
    solid : tuple of Ellipsoid
        What lies in their place: mediastinum, heart, vessels, hila, both domes of the diaphragm.
    airways : tuple of Ellipsoid
        Trachea, main bronchi and the stomach's bubble: air in soft tissue.
    opacities : tuple of (Ellipsoid, float)
        With the soft tissue, mm, that each adds at most.
    bones : Bones
    vessels : Vessels
    texture : tuple of (int, str)
        Which random field is the lung's fine structure.
    """

    body: tuple[Ellipsoid, ...]
    extra: tuple[Ellipsoid, ...]
    lungs: tuple[Ellipsoid, ...]
    solid: tuple[Ellipsoid, ...]
    airways: tuple[Ellipsoid, ...]
    opacities: tuple[tuple[Ellipsoid, float], ...]
    bones: Bones
    vessels: Vessels
    texture: tuple[int, str]


@dataclass(frozen=True)
class Thickness:
    """Maps in mm: soft tissue, bone, and how much of the tissue is opacity."""

    tissue: Plane
    bone: Plane
    opacity: Plane


def draw_chest(
    seed: int, patient: str, radiograph: str, *, age: float, sex: str, view: str, finding: bool
) -> tuple[Chest, View]:
    """The chest of a patient as it was held for one radiograph.

    Body, bones, vessels and opacities are the patient's; breath, place and turn are the
    radiograph's.
    """
    gen = stream(seed, "phantom anatomy", patient)
    held = stream(seed, "phantom pose", radiograph)
    male = sex == "M"
    scale = (1.03 if male else 0.95) * (1 + 0.05 * _within(gen))
    depth = (225.0 if male else 205.0) * (1 + 0.10 * _within(gen)) * (1 + 0.001 * (age - 50))
    lying = view == "AP"
    # A bedside radiograph is taken lying or half sitting: the diaphragm stands higher.
    breath = 7 * _within(held) - (18 if lying else 0)
    wide, tall = 66 * scale, 138 * scale
    lungs = tuple(
        Ellipsoid(
            side * 71 * scale, 22 * scale, 0.52 * depth, wide, tall, 0.37 * depth, side * -0.07
        )
        for side in (-1, 1)
    )
    solid = (*_middle(gen, scale, depth, age, breath), *_domes(gen, scale, depth, breath))
    chest = Chest(
        body=_body(gen, scale, depth),
        extra=() if male else _breasts(gen, scale, age),
        lungs=lungs,
        solid=solid,
        airways=_airways(gen, scale, depth, breath),
        opacities=_opacities(stream(seed, "phantom opacity", patient), lungs) if finding else (),
        bones=draw_bones(stream(seed, "phantom bones", patient), held, scale, depth, age, lying),
        vessels=draw_vessels(stream(seed, "phantom vessels", patient), scale),
        texture=(seed, patient),
    )
    x, y = 5 * _within(held), 7 * _within(held)
    return chest, View(depth, distance_mm(view), lying, x, y + 4)


def distance_mm(view: str) -> float:
    """From focus to detector: 1.8 m at the wall stand (EUR 16260: 1.4 to 2.0), 1.1 at the bed."""
    return 1100.0 if view == "AP" else 1800.0


def paint(chest: Chest, view: View, grid: Grid) -> Thickness:
    """Lengths of all rays in all materials, each organ with the magnification of its middle."""
    tissue = grid.zeros()
    for body in chest.body:
        box, half = half_chord(grid, view.project(body))
        np.maximum(tissue[box], 2 * half, out=tissue[box])
    for body in chest.extra:
        box, half = half_chord(grid, view.project(body))
        tissue[box] += half
    air = _air(chest, view, grid)
    texture = _texture(chest.texture, grid, view)
    # Fine structure and vessels fill a part of the lung's air; neither is where there is no lung.
    filled = paint_vessels(chest.vessels, view, grid)
    filled *= np.minimum(air * np.float32(1 / 30), 1)
    filled += air * (np.float32(0.025) * texture)
    opacity = _opacity(chest, view, grid, air, texture)
    tissue -= np.float32(1 - LUNG_DENSITY) * air
    tissue += filled
    tissue += opacity
    tissue *= 1 + np.float32(0.004) * texture[::-1]
    for body in chest.airways:
        box, half = half_chord(grid, view.project(body))
        tissue[box] -= 2 * half
    bone = paint_bones(chest.bones, view, grid)
    tissue -= bone
    return Thickness(np.maximum(tissue, 0, out=tissue), bone, opacity)


def opacity_share(chest: Chest, view: View, grid: Grid) -> float:
    """Share of the pixels that are in the mask of the opacities; bones and vessels do not count."""
    if not chest.opacities:
        return 0.0
    air, texture = _air(chest, view, grid), _texture(chest.texture, grid, view)
    return float(np.mean(_opacity(chest, view, grid, air, texture) > np.float32(OPACITY_MM)))


def _air(chest: Chest, view: View, grid: Grid) -> Plane:
    """Length of each ray in the lungs, without what lies in their place."""
    lung = grid.zeros()
    for body in chest.lungs:
        box, half = half_chord(grid, view.project(body))
        np.maximum(lung[box], half, out=lung[box])
    air = 2 * lung
    for body in chest.solid:
        box, half = half_chord(grid, view.project(body))
        if box[0].start < box[0].stop and box[1].start < box[1].stop:
            air[box] -= overlap(lung[box], chest.lungs[0].z, half, body.z)
    np.maximum(air, 0, out=air)
    return air


def _opacity(chest: Chest, view: View, grid: Grid, air: Plane, texture: Plane) -> Plane:
    """Soft tissue in place of the lung's air."""
    opacity = grid.zeros()
    for body, peak in chest.opacities:
        box, half = half_chord(grid, view.project(body))
        half *= half * np.float32(peak / body.c**2)
        opacity[box] += half
    if chest.opacities:
        opacity *= np.clip(1 + np.float32(0.45) * texture.T, 0.2, 2)
        np.minimum(opacity, np.float32(0.9 - LUNG_DENSITY) * air, out=opacity)
    return opacity


def _within(gen: np.random.Generator) -> float:
    """A normal number that stays within two deviations."""
    return float(np.clip(gen.standard_normal(), -2, 2))


def _body(gen: np.random.Generator, scale: float, depth: float) -> tuple[Ellipsoid, ...]:
    middle, c = depth / 2, depth / 2
    width = 164 * scale * (1 + 0.04 * _within(gen))
    return (
        Ellipsoid(0, 150, middle, width, 350 * scale, c, power=4),
        Ellipsoid(0, -210 * scale, middle, 58 * scale, 110, 0.30 * depth),
        *(
            Ellipsoid(s * 150 * scale, -148 * scale, middle, 92 * scale, 72, 0.33 * depth, s * 0.35)
            for s in (-1, 1)
        ),
    )


def _breasts(gen: np.random.Generator, scale: float, age: float) -> tuple[Ellipsoid, ...]:
    """Half ellipsoids on the front of the body."""
    size = 1 + 0.12 * _within(gen)
    y = (62 + 0.25 * (age - 50)) * scale
    return tuple(
        Ellipsoid(
            s * 84 * scale, y + 3 * _within(gen), -15, 54 * size, 52 * size, 34 * size, s * 0.3
        )
        for s in (-1, 1)
    )


def _middle(
    gen: np.random.Generator, scale: float, depth: float, age: float, breath: float
) -> tuple[Ellipsoid, ...]:
    """Mediastinum, heart, great vessels and hila; the image's right is the patient's left."""
    grown = scale * (1 + 0.07 * _within(gen)) * (1 + 0.0022 * (age - 50))
    z = 0.36 * depth
    arch = scale * (0.85 + 0.006 * age)
    return (
        Ellipsoid(0, 30 * scale, 0.5 * depth, 35 * scale, 215 * scale, 0.36 * depth),
        # right atrium and left ventricle
        Ellipsoid(-8 * grown, 52 * scale + breath / 3, z, 43 * grown, 56 * grown, 45 * grown, -0.2),
        Ellipsoid(28 * grown, 62 * scale + breath / 3, z, 62 * grown, 46 * grown, 46 * grown, 0.62),
        Ellipsoid(14 * scale, -8 * scale, z, 33 * scale, 40 * scale, 34 * scale, 0.3),
        # arch of the aorta, upper vena cava
        Ellipsoid(19 * arch, -50 * scale, 0.55 * depth, 19 * arch, 19 * arch, 30 * arch),
        Ellipsoid(-18 * scale, -48 * scale, 0.45 * depth, 17 * scale, 55 * scale, 22 * scale),
        *(
            Ellipsoid(s * 37 * scale, (2 - 5 * s) * scale, 0.55 * depth, 14, 22, 13, s * -0.3)
            for s in (-1, 1)
        ),
    )


def _domes(
    gen: np.random.Generator, scale: float, depth: float, breath: float
) -> tuple[Ellipsoid, ...]:
    """The diaphragm with liver, stomach and spleen below; the right dome stands higher."""
    made = []
    for side, lower in ((-1, 0.0), (1, 12.0)):
        top = (76 + lower) * scale + breath + 4 * _within(gen)
        high = 105 * scale
        wide = (76 + 4 * _within(gen)) * scale
        made.append(Ellipsoid(side * 64 * scale, top + high, 0.5 * depth, wide, high, 0.46 * depth))
    return tuple(made)


def _airways(
    gen: np.random.Generator, scale: float, depth: float, breath: float
) -> tuple[Ellipsoid, ...]:
    x = -2 + 2 * _within(gen)
    fork = -32 * scale
    bubble = 1 + 0.4 * _within(gen)
    return (
        Ellipsoid(x, fork - 85 * scale, 0.55 * depth, 8.5 * scale, 90 * scale, 8 * scale),
        Ellipsoid(x - 15 * scale, fork + 11, 0.55 * depth, 21 * scale, 6.5, 6.5, 0.85 - np.pi / 2),
        Ellipsoid(x + 19 * scale, fork + 12, 0.55 * depth, 26 * scale, 6, 6, 0.45),
        Ellipsoid(58 * scale, 116 * scale + breath, 0.4 * depth, 25 * bubble, 13 * bubble, 14),
    )


def _opacities(
    gen: np.random.Generator, lungs: tuple[Ellipsoid, ...]
) -> tuple[tuple[Ellipsoid, float], ...]:
    """One to three clouds of a few ellipsoids each, between barely seen and dense."""
    made = []
    for _ in range(int(gen.integers(1, 4))):
        lung = lungs[int(gen.integers(2))]
        outward = 1 if lung.x > 0 else -1
        x = lung.x + outward * lung.a * gen.uniform(-0.25, 0.6)
        y = lung.y + lung.b * gen.uniform(-0.6, 0.3)
        size, peak = gen.uniform(12, 32), gen.uniform(9, 32)
        for _ in range(int(gen.integers(2, 5))):
            far, way = gen.uniform(0, 0.8) * size, gen.uniform(0, 2 * np.pi)
            a, b = size * gen.uniform(0.6, 1.2, 2)
            tilt = gen.uniform(0, np.pi)
            at_x, at_y = float(x + far * np.cos(way)), float(y + far * np.sin(way))
            part = Ellipsoid(at_x, at_y, lung.z, float(a), float(b), 20.0, tilt)
            made.append((part, peak * gen.uniform(0.4, 0.8)))
    return tuple(made)


@lru_cache(maxsize=4)
def _field(seed: int, patient: str) -> Plane:
    """Random numbers whose power falls with the third power of frequency, deviation near 1."""
    from scipy.fft import idctn

    side = _TEXTURE_SIDE
    white = stream(seed, "phantom texture", patient).standard_normal((side, side), np.float32)
    f = np.arange(side, dtype=np.float32)
    squared = np.add.outer(f * f, f * f)
    squared += np.float32(30)  # nothing larger than about 90 mm
    squared *= np.sqrt(squared)
    white /= np.sqrt(squared)
    white[0, 0] = 0
    made: Plane = idctn(white, norm="ortho", workers=1)
    return made * np.float32(side / 0.58)


def _texture(key: tuple[int, str], grid: Grid, view: View) -> Plane:
    """The patient's random field on the pixels, interpolated."""
    step = _TEXTURE_MM / _TEXTURE_SIDE * view.magnification(view.depth / 2)
    axis = grid.axis().astype(np.float64)
    down, across = ((axis - o) / step + (_TEXTURE_SIDE - 1) / 2 for o in (view.y, view.x))
    return interpolated(_field(*key), down, across)


def interpolated(coarse: Plane, down: NDArray[np.float64], across: NDArray[np.float64]) -> Plane:
    """A map at fractional rows and columns of its own, linear, constant beyond its edges."""
    rows, columns = (
        np.clip(at, 0, n - 1.001) for at, n in zip((down, across), coarse.shape, strict=True)
    )
    r, c = rows.astype(np.int64), columns.astype(np.int64)
    s, t = (rows - r).astype(np.float32)[:, None], (columns - c).astype(np.float32)
    made = coarse[r]
    made += s * (coarse[r + 1] - made)
    left = made[:, c]
    left += t * (made[:, c + 1] - left)
    return left
