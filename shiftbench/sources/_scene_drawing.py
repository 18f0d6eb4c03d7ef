"""From a scene graph to a picture: backdrop, objects from back to front, light, weather, grain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shiftbench.sources._scene_deck import LIGHTS, SETTINGS, Setting
from shiftbench.sources._scene_raster import RGB, Canvas, Ints, noise, strokes
from shiftbench.sources._scene_raster import tone as toned
from shiftbench.sources._scene_things import COATS, COLORS, POSES, THINGS

if TYPE_CHECKING:
    from shiftbench.sources.scene_graphs import SceneGraph, SceneObject

__all__ = ["draw"]

_OVER = 2  # objects are painted at twice the size and averaged down, for smooth edges
_DEPTH = {"ground": 0, "wall": 1, "far": 1, "flat": 2, "big": 3, "front": 3}


def draw(graph: SceneGraph, lighting: str, gen: np.random.Generator) -> NDArray[np.uint8]:
    """The picture of a scene graph.

    Parameters
    ----------
    graph : SceneGraph
        Square; its names, boxes, colour, pattern and pose attributes, location and weather are
        what is drawn.
    lighting : str
        A key of `LIGHTS`.
    gen : np.random.Generator
        For what the graph leaves open: the tint of a wall, clouds, which way things face, grain.

    Returns
    -------
    np.ndarray
        Shape (height, width, 3), uint8, RGB.
    """
    side = graph.width
    setting = SETTINGS[graph.location or "study"]
    objects = list(graph.objects.values())
    back = _backdrop(objects, setting, graph.weather or "", side, gen)
    canvas = Canvas(np.repeat(np.repeat(back, _OVER, axis=0), _OVER, axis=1))
    for thing in sorted(objects, key=_order):
        if _place(thing) != "ground":
            _paint(canvas, thing, gen)
    fine = canvas.pixels.reshape(side, _OVER, side, _OVER, 3).astype(np.int32)
    return _light(_sum_of_four(fine), setting, lighting, graph.weather or "", gen)


def _place(thing: SceneObject) -> str:
    return "subject" if _is_subject(thing) else THINGS[thing.name].place


def _is_subject(thing: SceneObject) -> bool:
    return thing.name in POSES and any(a in POSES[thing.name] for a in thing.attributes)


def _order(thing: SceneObject) -> tuple[int, int]:
    return (_DEPTH.get(_place(thing), 3), thing.y + thing.h)


def _paint(canvas: Canvas, thing: SceneObject, gen: np.random.Generator) -> None:
    x, y, w, h = (_OVER * v for v in (thing.x, thing.y, thing.w, thing.h))
    pattern = None
    if _is_subject(thing):
        pose = next(a for a in thing.attributes if a in POSES[thing.name])
        shape = POSES[thing.name][pose][2]
        first, second = COATS[next(a for a in thing.attributes if a in COATS)]
        pattern = _pattern(thing.attributes, gen, canvas.side)
    else:
        shape = THINGS[thing.name].shape
        first = second = next(a for a in thing.attributes if a in COLORS)
    colors = {"a": COLORS[first], "b": COLORS[second]}
    mirrored = bool(gen.integers(2))
    if _place(thing) in ("subject", "big", "front"):
        canvas.shadow(x - w // 16, y + h - h // 12 - 2, x + w + w // 16, y + h + h // 14 + 2)
    for kind, numbers, color in strokes(shape):
        scaled = _scale(kind, numbers, x, y, w, h, mirrored)
        canvas.stroke(kind, scaled, _rgb(color, colors), pattern if color[0] == "a" else None)


def _scale(
    kind: str, numbers: tuple[int, ...], x: int, y: int, w: int, h: int, mirrored: bool
) -> tuple[int, ...]:
    width: tuple[int, ...] = ()
    if kind == "l":
        numbers, width = numbers[:4], (max(1, numbers[4] * min(w, h) // 100),)
    across = [x + (100 - v if mirrored else v) * w // 100 for v in numbers[0::2]]
    down = [y + v * h // 100 for v in numbers[1::2]]
    if kind in "re":
        across, down = sorted(across), sorted(down)
        across[1] = max(across[1], across[0] + 1)
        down[1] = max(down[1], down[0] + 1)
    return tuple(v for pair in zip(across, down, strict=True) for v in pair) + width


def _rgb(color: str, own: dict[str, RGB]) -> RGB:
    name = color.rstrip("+-")
    found = own[name] if name in own else COLORS[name]
    return found if name == color else toned(found, color[-1])


def _pattern(
    attributes: tuple[str, ...], gen: np.random.Generator, side: int
) -> NDArray[np.bool_] | None:
    """Where a coat is darker."""
    if "spotted" in attributes:
        return noise(gen, 9, 9, side, side) > 150
    if "striped" not in attributes:
        return None
    u = np.arange(side, dtype=np.int32) * 960 // side
    bend = noise(gen, 6, 6, side, side) >> 2
    striped: NDArray[np.bool_] = ((u[None, :] * 2 + u[:, None] // 3 + bend) % 56) < 20
    return striped


def _sum_of_four(doubled: Ints) -> Ints:
    return doubled[:, 0, :, 0] + doubled[:, 0, :, 1] + doubled[:, 1, :, 0] + doubled[:, 1, :, 1]


def _backdrop(
    objects: list[SceneObject], setting: Setting, weather: str, side: int, gen: np.random.Generator
) -> NDArray[np.uint8]:
    back = setting.back[int(gen.integers(len(setting.back)))]
    tint = setting.ground[int(gen.integers(len(setting.ground)))]
    grounds = sorted((t for t in objects if _place(t) == "ground"), key=lambda t: -t.h)
    horizon = grounds[0].y if grounds else side * (62 if setting.indoors else 48) // 100
    upper = (_wall if setting.indoors else _sky)(setting, back, weather, horizon, side, gen)
    if setting.indoors:
        upper[horizon - max(1, side // 48) :] -= 46
    shade = int(gen.integers(-16, 17))
    lower = (
        np.array(tint, np.int32)
        + shade
        + _ground(setting.ground_texture, side - horizon, side, gen)
    )
    for thing in grounds:
        color = COLORS[next(a for a in thing.attributes if a in COLORS)]
        # A named ground keeps a third of the place's own tint.
        mixed = np.array([(2 * c + t) // 3 for c, t in zip(color, tint, strict=True)], np.int32)
        lower[: thing.h] = mixed + _ground(THINGS[thing.name].shape, thing.h, side, gen)
    return _bytes(np.concatenate([upper, lower]))


def _ground(texture: str, h: int, side: int, gen: np.random.Generator) -> Ints:
    """Differences of brightness, shape (h, side, 1)."""
    return _texture(texture, h, side, gen)[:, :, None]


def _texture(texture: str, h: int, side: int, gen: np.random.Generator) -> Ints:
    u = (np.arange(side, dtype=np.int32) * 960 // side)[None, :]
    v = (np.arange(h, dtype=np.int32) * 960 // side)[:, None]
    fine = noise(gen, 24, 48, h, side) - 128
    made: Ints = fine >> (3 if texture == "wool" else 2)
    if texture == "planks":
        row = v // 64
        seam = (v % 64 < 9) | ((u + row * 347) % 400 < 8)
        made = np.where(seam, -34, (row * 29 % 5 - 2) * 7) + (fine >> 4)
    elif texture in ("tiles", "slabs"):
        across, down = (150, 100) if texture == "tiles" else (260, 120)
        seam = (v % down < 9) | ((u + (v // down % 2) * (across // 2)) % across < 9)
        made = np.where(seam, -30, ((u // across + v // down) % 2) * 12) + (fine >> 4)
    elif texture == "asphalt":
        line = (v // 40 == 5) & (u % 240 < 130)
        made = np.where(line, 110, made)
    elif texture == "blades":
        made = (noise(gen, 16, 60, h, side) - 128) // 3 + (v >> 4)
    elif texture == "waves":
        crest = (v + (noise(gen, 5, 8, h, side) >> 2)) % 72
        made = np.where(crest < 14, 44, (crest >> 2) - 10) + (fine >> 4)
    elif texture == "drifts":
        made = (noise(gen, 4, 5, h, side) - 128) >> 3
    return made


def _wall(
    setting: Setting, color: RGB, weather: str, horizon: int, side: int, gen: np.random.Generator
) -> Ints:
    u = (np.arange(side, dtype=np.int32) * 960 // side)[None, :]
    v = (np.arange(horizon, dtype=np.int32) * 960 // side)[:, None]
    change = (noise(gen, 4, 6, horizon, side) - 128) >> 3
    if setting.texture == "stripes":
        change = change + np.where(u // 50 % 2 == 0, 10, -10)
    elif setting.texture == "tiles":
        change = change + np.where((u % 110 < 8) | (v % 110 < 8), -24, 4)
    elif setting.texture == "panels":
        change = change + np.where((u % 130 < 8) & (v > 300), -28, np.where(v > 300, -8, 6))
    made: Ints = np.array(color, np.int32) + int(gen.integers(-26, 27)) + change[:, :, None]
    return made


def _sky(
    setting: Setting, color: RGB, weather: str, horizon: int, side: int, gen: np.random.Generator
) -> Ints:
    u = np.arange(side, dtype=np.int32) * 960 // side
    fade = np.arange(horizon, dtype=np.int32)[:, None, None]
    top = np.array(color, dtype=np.int32)
    if weather in ("overcast", "rainy", "snowy"):
        top = (top + 2 * (int(top.sum()) // 3)) // 3
    made = top + (236 - top) * fade // (2 * horizon)
    made = np.broadcast_to(made, (horizon, side, 3)).copy()
    clouds = noise(gen, 4, 5, horizon, side)
    cover = {"cloudy": 120, "overcast": 90, "rainy": 80, "snowy": 90, "clear": 200}.get(
        weather, 180
    )
    made += np.clip(clouds - cover, 0, 60)[:, :, None] * (236 - made) // 96
    heights = noise(gen, 1, 6, 1, side)[0]
    steps = noise(gen, 1, 16, 1, 16)[0][u // 60]
    shift = int(gen.integers(960))
    if setting.texture == "hills":
        _skyline(made, 90 + heights // 2, (92, 132, 78), 0)
        _skyline(made, 30 + heights[::-1] // 3, (78, 116, 62), 0)
    elif setting.texture == "houses":
        tops = 110 + noise(gen, 1, 16, 1, 16)[0][(u + shift) // 150 % 16]
        _skyline(made, tops, (150, 116, 100), 40)
    elif setting.texture == "hedge":
        _skyline(made, 110 + heights // 3 + steps // 10, (72, 108, 62), 0)
    elif setting.texture == "sea":
        _skyline(made, np.full(side, 130, dtype=np.int32), (48, 128, 178), 0)
    else:
        _skyline(made, 20 + heights // 5, (128, 142, 122), 0)
    return made


def _skyline(sky: Ints, tops: Ints, color: RGB, windows: int) -> None:
    """Fill the sky's lower edge up to `tops` (960ths of the side), with windows where asked."""
    horizon, side = sky.shape[:2]
    v = (np.arange(horizon, 0, -1, dtype=np.int32) * 960 // side)[:, None]
    below = v <= tops[None, :]
    sky[below] = color
    if windows:
        u = (np.arange(side, dtype=np.int32) * 960 // side)[None, :]
        sky[below & (u % 50 < 22) & (v % 60 > 30)] += windows


def _light(
    fine: Ints, setting: Setting, lighting: str, weather: str, gen: np.random.Generator
) -> NDArray[np.uint8]:
    side = fine.shape[0]
    # From one side indoors, even outside. `fine` holds sums of four pixels.
    slope = 72 if setting.indoors else 16
    ramp = 256 + slope // 2 - slope * np.arange(side, dtype=np.int32) // side
    if gen.integers(2):
        ramp = ramp[::-1]
    strength = 244 + int(gen.integers(25))
    gain = np.array(LIGHTS[lighting], dtype=np.int32) * strength >> 8
    lit = ((fine * gain >> 8) * ramp[None, :, None]) >> 10
    if weather in ("rainy", "snowy"):
        u, v = np.arange(side)[None, :], np.arange(side)[:, None]
        drops = gen.integers(0, 256, (side, side), dtype=np.int32)
        if weather == "rainy":
            lit = lit * 7 // 8
            lit[((u * 3 + v) % 29 < 2) & (drops < 128)] += 46
        else:
            lit[drops < 5] = 244
    lit += gen.integers(-6, 7, (side, side, 1), dtype=np.int32)
    return _bytes(lit)


def _bytes(values: Ints) -> NDArray[np.uint8]:
    made: NDArray[np.uint8] = np.clip(values, 0, 255).astype(np.uint8)
    return made
