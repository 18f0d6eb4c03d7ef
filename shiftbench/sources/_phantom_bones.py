"""Bones of the chest: ribs as tubes on tilted ellipses, clavicles, scapulae, spine, sternum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftbench.sources._phantom_shapes import Ellipsoid, Grid, Tubes, View, add_tubes, half_chord

__all__ = ["Bones", "draw_bones", "paint_bones"]

Plane = NDArray[np.float32]
Floats = NDArray[np.float64]

_BORE = 0.72  # radius of the marrow, of the bone's
_STEEP = 3.2  # dy/dx at which a rib has faded out: within a millimetre of where it turns forward
_MARROW = 0.8  # how much less of cortical bone there is in it


@dataclass(frozen=True)
class Curve:
    """The axis of a bone in space, mm, with half its height in the image and its thickness."""

    x: Floats
    y: Floats
    z: Floats
    half: float
    thick: float


@dataclass(frozen=True)
class Bones:
    """Everything that is bone.

    Attributes
    ----------
    curves : tuple of Curve
    spine : Ellipsoid
        The column; the thickness is that of cortical bone alone.
    vertebra : float
        mm from one disc to the next.
    bend : float
        mm to the side at most.
    flat : tuple of Ellipsoid
        Sternum and spinous processes.
    """

    curves: tuple[Curve, ...]
    spine: Ellipsoid
    vertebra: float
    bend: float
    flat: tuple[Ellipsoid, ...]


def draw_bones(
    gen: np.random.Generator,
    held: np.random.Generator,
    scale: float,
    depth: float,
    age: float,
    lying: bool,
) -> Bones:
    """Bone is lost with age: about 4 % of the thickness in ten years after 30."""
    dense = float(np.clip(1.1 - 0.004 * max(age - 30, 0), 0.8, 1.1)) * gen.uniform(0.9, 1.1)
    count = 12 if gen.random() < 0.2 else 11
    pairs = range(count)
    drop, lift = gen.uniform(62, 82) * scale, gen.normal(0, 3)
    curves = [
        _rib(gen, side, i, scale, depth, drop, lift, dense) for i in pairs for side in (-1, 1)
    ]
    curves += [_clavicle(gen, held, side, scale, depth, dense, lying) for side in (-1, 1)]
    curves += [c for s in (-1, 1) for c in _scapula(gen, held, s, scale, depth, dense, lying)]
    vertebra = 23.5 * scale
    processes = tuple(
        Ellipsoid(0, -150 * scale + i * vertebra, 0.93 * depth, 3.2, 6.5, 2.2 * dense)
        for i in range(15)
    )
    sternum = Ellipsoid(0, -25 * scale, 0.06 * depth, 19 * scale, 78 * scale, 1.6 * dense, power=4)
    spine = Ellipsoid(0, 60, 0.80 * depth, 21 * scale, 420, 4.6 * dense)
    return Bones(tuple(curves), spine, vertebra, gen.normal(0, 2.5), (sternum, *processes))


def paint_bones(bones: Bones, view: View, grid: Grid) -> Plane:
    """Millimetres of cortical bone along each ray."""
    made = grid.zeros()
    add_tubes(made, _columns(bones.curves, view, grid), bore=_BORE, marrow=_MARROW)
    for body in bones.flat:
        box, half = half_chord(grid, view.project(body))
        made[box] += 2 * half
    box, half = half_chord(grid, view.project(bones.spine))
    axis = grid.axis()[box[0]].astype(np.float64) - view.y
    enlarged = view.magnification(bones.spine.z)
    phase = np.mod(axis / (bones.vertebra * enlarged), 1.0)
    disc = np.clip(np.abs(phase - 0.5) * 14 - 5.6, 0, 1)  # 1 in the disc, 0 in the vertebra
    half *= (1 - 0.55 * disc).astype(np.float32)[:, None]
    shift = bones.bend * enlarged / grid.pitch * np.sin(axis / 95)
    made[box] += 2 * _shifted(half, shift)
    return made


def _shifted(rows: Plane, by: Floats) -> Plane:
    """Each row moved to the right by a fraction of pixels."""
    if rows.shape[1] < 2:
        return rows
    at = np.clip(np.arange(rows.shape[1]) - by[:, None], 0, rows.shape[1] - 1.001)
    left = at.astype(np.int64)
    part = (at - left).astype(np.float32)
    start = np.take_along_axis(rows, left, 1)
    return start + part * (np.take_along_axis(rows, left + 1, 1) - start)


def _rib(
    gen: np.random.Generator,
    side: int,
    number: int,
    scale: float,
    depth: float,
    drop: float,
    lift: float,
    dense: float,
) -> Curve:
    """From beside the spine round the side to where cartilage begins; the front lies lower."""
    share = min(number / 7, 1.0)
    deep = 0.47 * depth * (0.6 + 0.4 * share)
    last = np.radians(148 - 7 * number) if number < 8 else np.radians(118 - 8 * (number - 8))
    angle = np.linspace(np.radians(9), last, 160)
    top = (-128 + 23.5 * number) * scale + lift
    drop *= 0.55 + 0.45 * share
    fall = drop * (1 - np.cos(angle)) / 2
    # At its side a rib lies on the outline of the lung, which is widest from 22 mm on downward.
    above = np.clip((22 - (top + drop / 2) / scale) / 150, 0, 0.98)
    wide = (71 + 67 * np.sqrt(1 - above**2) - max(number - 8, 0) * 6) * scale
    bow = -9 * scale * np.sin(np.clip(angle * 2.2, 0, np.pi))  # up a little beside the spine
    height = gen.uniform(5.2, 6.6) * scale
    return Curve(
        side * wide * np.sin(angle),
        top + fall + bow + gen.normal(0, 1.2),
        0.5 * depth + deep * np.cos(angle),
        height,
        (8.5 + gen.uniform(-0.8, 0.8)) * dense,
    )


def _clavicle(
    gen: np.random.Generator,
    held: np.random.Generator,
    side: int,
    scale: float,
    depth: float,
    dense: float,
    lying: bool,
) -> Curve:
    along = np.linspace(0, 1, 60)
    rise = (8 if lying else 26) + 4 * held.standard_normal()
    x = side * (13 + 142 * along) * scale
    y = (-101 - rise * along - 9 * np.sin(2 * np.pi * along)) * scale
    return Curve(x, y, np.full(60, 0.14 * depth), gen.uniform(5.8, 7.2) * scale, 9.5 * dense)


def _scapula(
    gen: np.random.Generator,
    held: np.random.Generator,
    side: int,
    scale: float,
    depth: float,
    dense: float,
    lying: bool,
) -> tuple[Curve, ...]:
    """Its inner edge and its spine; with the hands on the hips (PA) it is turned off the lungs."""
    inner = ((96 if lying else 138) + 5 * held.standard_normal()) * scale
    along = np.linspace(0, 1, 40)
    back = np.full(40, 0.95 * depth)
    edge = Curve(
        side * (inner + (14 + 34 * along)),
        (-96 + 118 * (1 - along)) * scale,
        back,
        2.6,
        4.5 * dense,
    )
    crest = Curve(
        side * (inner + 12 + 62 * along), (-78 - 30 * along) * scale, back, 4.0, 6.0 * dense
    )
    return (edge, crest) if gen.random() < 0.97 else (edge,)


def _columns(curves: Sequence[Curve], view: View, grid: Grid) -> Tubes:
    """The curves cut by the columns of the image, each branch between turning points alone.

    The ray's way through a tube is longer where the tube runs along it: by the ratio of lengths in
    space and in the image.
    """
    lines, middles, halves, depths = [], [], [], []
    for curve in curves:
        enlarged = view.magnifications(curve.z)
        x, y = curve.x * enlarged + view.x, curve.y * enlarged + view.y
        dx, dy, dz = np.gradient(x), np.gradient(y), np.gradient(curve.z)
        flat = np.hypot(dx, dy)
        along = np.hypot(flat, dz) / np.maximum(flat, 1e-9)
        slope = np.abs(dy) / np.maximum(np.abs(dx), 1e-9)
        fade = np.minimum((len(x) - 1 - np.arange(len(x))) / 12, 1)  # into cartilage
        turn = int(np.argmax(np.abs(x - view.x)))
        for part in (slice(0, turn + 1), slice(turn, len(x))):
            if x[part].size < 2:
                continue
            order = np.argsort(x[part], kind="stable")
            px = x[part][order]
            columns = grid.span(px[0], px[-1])
            at = np.arange(columns.start, columns.stop)
            where = grid.axis()[columns].astype(np.float64)
            lines.append(at)
            middles.append(grid.position(np.interp(where, px, y[part][order])))
            steep = np.interp(where, px, slope[part][order])
            thick = np.interp(where, px, enlarged[part][order]) * curve.half
            halves.append(np.hypot(1, np.minimum(steep, _STEEP)) * thick / grid.pitch)
            ends = curve.thick * np.clip(2 * (1 - steep / _STEEP), 0, 1)
            depths.append(np.interp(where, px, (along * fade)[part][order]) * ends)
    return Tubes(*(np.concatenate(c) for c in (lines, middles, halves, depths)))
