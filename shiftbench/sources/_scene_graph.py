"""The scene graph of one scene: what is there, where, in which colour, before it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from shiftbench.sources._scene_deck import SETTINGS, Kind, Setting, kind_of
from shiftbench.sources._scene_things import POSES, THINGS
from shiftbench.sources.scene_graphs import SceneGraph, SceneObject
from shiftbench.statistics import stream

__all__ = ["Scene", "compose"]

T = TypeVar("T")

_PATTERNS = {
    "cat": ("striped", "striped", "spotted", "plain"),
    "dog": ("plain", "plain", "spotted"),
}


@dataclass(frozen=True)
class Scene:
    """One scene before it is drawn.

    Attributes
    ----------
    example_id : str
        Its name, which is its locator too.
    subjects : tuple of str
        The classes in it.
    graph : SceneGraph
        The subjects come first among its objects.
    lighting : str
        A key of `_scene_deck.LIGHTS`.
    """

    example_id: str
    subjects: tuple[str, ...]
    graph: SceneGraph
    lighting: str


def compose(seed: int, number: int, size: int) -> Scene:
    """Scene `number`, from a random stream of its own.

    Parameters
    ----------
    seed : int
        Of the collection.
    number : int
        From 0 on.
    size : int
        Width and height in pixels.
    """
    example_id = f"scene-{number:06d}"
    kind = kind_of(seed, number)
    setting = SETTINGS[kind.location]
    gen = stream(seed, "scene", example_id)
    horizon = int(gen.integers(56, 67)) if setting.indoors else int(gen.integers(42, 54))
    items = _subjects(kind, setting, gen)
    taken: dict[str, list[tuple[int, int]]] = {"front": [(x, x + w) for _, _, x, _, w, _ in items]}
    for name in _contexts(kind, setting, gen):
        items.append(_item(name, horizon, taken, gen))
    objects = {}
    for i, (name, attributes, *box) in enumerate(items):
        x, y, w, h = _pixels(box, size)
        objects[f"{number}{i:02d}"] = SceneObject(name, attributes, x, y, w, h)
    weather = _pick(gen, setting.weathers) if setting.weathers else None
    graph = SceneGraph(size, size, kind.location, weather, objects)
    return Scene(example_id, kind.subjects, graph, _pick(gen, setting.lights))


_Item = tuple[str, tuple[str, ...], int, int, int, int]


def _pick(gen: np.random.Generator, of: Sequence[T]) -> T:
    return of[int(gen.integers(len(of)))]


def _subjects(kind: Kind, setting: Setting, gen: np.random.Generator) -> list[_Item]:
    made: list[_Item] = []
    for i, name in enumerate(kind.subjects):
        poses = [p for p in kind.poses if p in POSES[name]]
        pose = _pick(gen, poses)
        attributes = [_pick(gen, kind.coats), pose]
        if name in _PATTERNS:
            attributes.append(_pick(gen, _PATTERNS[name]))
        w, h, _ = POSES[name][pose]
        scale = int(gen.integers(setting.size[0], setting.size[1] + 1))
        if len(kind.subjects) > 1:
            scale = scale * 4 // 5
        w, h = w * scale // 100, h * scale // 100
        middle = int(gen.integers(34, 67)) if len(kind.subjects) == 1 else 27 + 46 * i
        base = int(gen.integers(84, 97))
        made.append((name, tuple(attributes), middle - w // 2, base - h, w, h))
    return made


def _contexts(kind: Kind, setting: Setting, gen: np.random.Generator) -> list[str]:
    some = int(gen.integers(1, 4))
    chosen = [kind.anchor] if gen.integers(4) else []
    core = list(kind.core)
    while core and len(chosen) < some + (kind.anchor in chosen):
        chosen.append(core.pop(int(gen.integers(len(core)))))
    chosen += [name for name in kind.bridges if not gen.integers(10)]
    # One more object of no importance in every third scene.
    if not gen.integers(3):
        chosen.append(_pick(gen, setting.clutter))
    return chosen


def _item(
    name: str, horizon: int, taken: dict[str, list[tuple[int, int]]], gen: np.random.Generator
) -> _Item:
    thing = THINGS[name]
    color = _pick(gen, thing.colors.split())
    if thing.place == "ground":
        # A second ground is the strip behind the first.
        row = taken.setdefault("ground", [])
        row.append((0, 100))
        return name, (color,), 0, horizon, 100, (100 - horizon) * (5 if len(row) == 1 else 2) // 5
    scale = int(gen.integers(85, 116))
    w, h = thing.width * scale // 100, thing.height * scale // 100
    base = {
        "wall": lambda: max(h + 2, horizon - int(gen.integers(3, 14))),
        "far": lambda: horizon + int(gen.integers(1, 4)),
        "flat": lambda: int(gen.integers(92, 101)),
        "big": lambda: max(horizon + int(gen.integers(8, 18)), h + 4),
        "front": lambda: int(gen.integers(84, 101)),
    }[thing.place]()
    if name == "door":
        base = horizon + 1
    # The emptiest of a few places, so that what is annotated can mostly be seen.
    row = taken.setdefault(thing.place, [])
    tries = [int(v) for v in gen.integers(-w // 8, 101 - w + w // 8, 5)] if w < 120 else [0]
    x = min(tries, key=lambda t: sum(max(0, min(t + w, b) - max(t, a)) for a, b in row))
    row.append((x, x + w))
    return name, (color,), x, base - h, w, h


def _pixels(box: Sequence[int], size: int) -> tuple[int, int, int, int]:
    """A box in percent as pixels inside the picture."""
    x, y, w, h = box
    left, top = max(0, x * size // 100), max(0, y * size // 100)
    right, bottom = min(size, (x + w) * size // 100), min(size, (y + h) * size // 100)
    return left, top, max(2, right - left), max(2, bottom - top)
