# ruff: noqa: E501
"""Which scenes there are: settings from a dim study to a bright beach, and a deck of 200 cards.

Scene k takes card k mod 200 of a deck shuffled anew for each 200 scenes, so any number of scenes
has nearly the planned proportions and a scene does not depend on how many follow it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from shiftbench.statistics import priorities

__all__ = ["DECK_SIZE", "KINDS", "LIGHTS", "SETTINGS", "Kind", "Setting", "kind_of"]


@dataclass(frozen=True)
class Setting:
    """How a place looks.

    Attributes
    ----------
    indoors : bool
        Walls if true, sky if not.
    back : tuple of colours
        RGB of walls, or of the sky at the top.
    texture : str
        Of the wall (plain, stripes, bricks, tiles, panels), or what closes the horizon (hills,
        houses, hedge, sea, far).
    ground : tuple of colours
        RGB of the ground where no ground object is in the graph.
    ground_texture : str
        planks, wool, tiles, slabs, asphalt, blades, grains, waves, drifts.
    lights : tuple of str
        Names of `LIGHTS`, one is drawn.
    weathers : tuple of str
        GQA's weather of a scene; empty indoors.
    clutter : tuple of str
        Small things that lie about.
    size : tuple of int
        Percent of its usual size at which a subject is drawn, from and to.
    """

    indoors: bool
    back: tuple[tuple[int, int, int], ...]
    texture: str
    ground: tuple[tuple[int, int, int], ...]
    ground_texture: str
    lights: tuple[str, ...]
    weathers: tuple[str, ...]
    clutter: tuple[str, ...]
    size: tuple[int, int]


LIGHTS: dict[str, tuple[int, int, int]] = {
    "dim": (176, 160, 140),
    "lamp": (232, 208, 168),
    "daylight": (248, 246, 240),
    "overcast": (214, 220, 228),
    "bright": (284, 282, 270),
}
"""Gain of each channel in 256ths."""

_IN, _OUT = ("ball", "slipper"), ("leaf", "rock", "flower")
_SKY = ("clear", "sunny", "cloudy", "overcast")

SETTINGS: dict[str, Setting] = {
    "study": Setting(True, ((148, 124, 98), (138, 118, 100), (152, 130, 100)), "panels", ((100, 72, 50), (110, 80, 56)), "planks", ("dim", "lamp", "lamp"), (), _IN, (102, 126)),
    "bedroom": Setting(True, ((172, 144, 124), (166, 148, 122), (160, 132, 118)), "stripes", ((118, 92, 74), (130, 104, 86)), "wool", ("dim", "lamp", "lamp"), (), _IN, (100, 124)),
    "living room": Setting(True, ((164, 146, 110), (152, 136, 114), (170, 142, 114)), "plain", ((116, 82, 56), (108, 78, 58)), "planks", ("lamp", "lamp", "daylight"), (), _IN, (100, 124)),
    "hallway": Setting(True, ((176, 156, 128), (168, 148, 124), (174, 152, 116)), "panels", ((126, 92, 64), (116, 86, 64)), "planks", ("lamp", "lamp", "daylight"), (), _IN, (100, 124)),
    "kitchen": Setting(True, ((182, 164, 132), (174, 162, 136), (184, 160, 124)), "tiles", ((130, 106, 82), (124, 104, 86)), "tiles", ("dim", "lamp", "lamp", "daylight"), (), _IN, (98, 120)),
    "airport": Setting(True, ((176, 164, 144), (170, 160, 146), (182, 166, 140)), "plain", ((128, 112, 98), (122, 112, 102)), "wool", ("lamp", "lamp", "daylight"), (), _IN, (96, 118)),
    "office": Setting(True, ((178, 184, 190), (170, 178, 180), (186, 186, 186)), "plain", ((104, 108, 116), (96, 100, 104)), "wool", ("daylight", "daylight", "lamp"), (), _IN, (88, 110)),
    "bathroom": Setting(True, ((186, 208, 214), (196, 212, 204), (204, 210, 214)), "tiles", ((150, 160, 166), (166, 168, 164)), "tiles", ("daylight", "bright"), (), _IN, (84, 106)),
    "park": Setting(False, ((172, 190, 206), (160, 180, 200)), "hedge", ((150, 142, 124), (140, 136, 122)), "slabs", ("overcast", "daylight"), ("clear", "cloudy", "overcast"), _OUT, (78, 100)),
    "street": Setting(False, ((168, 186, 204), (180, 190, 200)), "houses", ((132, 132, 134), (122, 124, 128)), "slabs", ("overcast", "daylight", "daylight"), (*_SKY, "rainy"), _OUT, (78, 100)),
    "road": Setting(False, ((150, 184, 216), (164, 190, 214)), "far", ((112, 112, 116), (104, 106, 110)), "asphalt", ("daylight", "bright"), _SKY, _OUT, (74, 96)),
    "yard": Setting(False, ((138, 182, 222), (156, 194, 220)), "hedge", ((104, 140, 72), (112, 134, 70)), "blades", ("daylight", "bright"), ("clear", "sunny", "cloudy"), _OUT, (72, 96)),
    "farm": Setting(False, ((132, 180, 224), (150, 188, 220)), "hills", ((112, 138, 66), (120, 130, 70)), "blades", ("daylight", "bright"), ("clear", "sunny", "cloudy"), _OUT, (70, 94)),
    "lake": Setting(False, ((124, 184, 232), (140, 192, 232)), "hills", ((84, 134, 172), (96, 144, 176)), "waves", ("daylight", "bright", "bright"), ("clear", "sunny", "cloudy"), ("leaf", "rock"), (66, 90)),
    "beach": Setting(False, ((112, 184, 240), (130, 196, 240)), "sea", ((226, 206, 158), (232, 214, 176)), "grains", ("bright",), ("clear", "sunny"), ("rock", "ball"), (64, 88)),
    "field": Setting(False, ((190, 204, 218), (178, 196, 214)), "far", ((214, 220, 228), (204, 212, 222)), "drifts", ("overcast", "bright"), ("snowy", "overcast", "clear"), ("rock",), (70, 92)),
}  # fmt: skip
"""By location, roughly along the gradient: warm, dim and close to cool, bright and wide."""


@dataclass(frozen=True)
class Kind:
    """One kind of scene: its subjects, where, with what, and how the subjects look.

    Attributes
    ----------
    subjects : tuple of str
        Classes in the picture.
    location : str
        A key of `SETTINGS`.
    cards : int
        How many of the `DECK_SIZE` cards.
    anchor : str
        The context after which the community is named, in three scenes of four.
    core : tuple of str
        Contexts of which one to three are there.
    bridges : tuple of str
        Contexts shared with other communities, each in one scene of ten.
    coats, poses : tuple of str
        One of each is drawn for each subject; repeats are weights.
    """

    subjects: tuple[str, ...]
    location: str
    cards: int
    anchor: str
    core: tuple[str, ...]
    bridges: tuple[str, ...]
    coats: tuple[str, ...]
    poses: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(w.replace("_", " ") for w in text.split())


def _kind(
    subjects: str, location: str, cards: int, anchor: str, core: str, bridges: str,
    coats: str, poses: str,
) -> Kind:  # fmt: skip
    return Kind(
        _words(subjects), location, cards, anchor, _words(core), _words(bridges), _words(coats),
        _words(poses),
    )  # fmt: skip


_HOME_CAT = "orange orange gray gray gray white"
_YARD_CAT = "orange gray gray black white white"
_HOME_DOG = "brown brown brown black black golden"
_TOWN_DOG = "brown brown brown golden black tan"
_PARK_DOG = "brown brown golden golden tan white"
_WATER_DOG = "golden golden tan tan white"

KINDS: tuple[Kind, ...] = (
    _kind("cat", "living room", 15, "sofa", "cup chair", "remote_control books television toy carpet", _HOME_CAT, "sitting lying lying"),
    _kind("cat", "bedroom", 15, "bed", "comforter sheet blanket remote_control pillow couch", "books curtain lamp", _HOME_CAT, "lying lying sitting"),
    _kind("cat", "study", 11, "shelf", "container vase bowl", "picture books bookshelf window", _HOME_CAT, "sitting sitting standing"),
    _kind("cat", "office", 11, "computer", "speaker screen laptop computer_mouse keyboard monitor desk", "papers paper book blinds", _HOME_CAT, "sitting lying standing"),
    _kind("cat", "bathroom", 4, "sink", "bottle faucet towel counter toilet", "rug", _HOME_CAT, "sitting standing"),
    _kind("cat", "yard", 20, "grass", "house car bird", "fence roof bench", _YARD_CAT, "standing standing sitting"),
    _kind("dog", "hallway", 6, "cabinet", "floor clothes towel door rug", "pillow blanket carpet", _HOME_DOG, "sitting standing lying"),
    _kind("dog", "bedroom", 6, "bed", "blanket sheet remote_control pillow lamp couch books curtain", "towel rug", _HOME_DOG, "lying lying sitting"),
    _kind("dog", "study", 7, "shelf", "desk screen laptop picture chair", "books lamp", _HOME_DOG, "sitting sitting lying"),
    _kind("dog", "airport", 6, "bag", "backpack purse", "box container suitcase", _TOWN_DOG, "sitting standing"),
    _kind("dog", "kitchen", 6, "box", "container food table plate cup", "bag bowl pot", _TOWN_DOG, "sitting standing"),
    _kind("dog", "park", 8, "bench", "trash_can", "bike bicycle dirt pole", _PARK_DOG, "sitting standing"),
    _kind("dog", "street", 7, "bike", "basket woman bicycle", "bench trash_can fire_hydrant pole", _PARK_DOG, "standing standing sitting"),
    _kind("dog", "lake", 8, "boat", "frisbee rope flag trees", "water", _WATER_DOG, "standing standing sitting"),
    _kind("dog", "beach", 8, "surfboard", "water sand", "frisbee rope boat", _WATER_DOG, "standing standing lying"),
    _kind("dog", "farm", 11, "grass", "house horse cow sheep animal", "fence dirt", _PARK_DOG, "standing standing sitting"),
    _kind("dog", "road", 10, "car", "motorcycle truck skateboard", "helmet pole fire_hydrant", _PARK_DOG, "standing sitting"),
    _kind("dog", "field", 4, "snow", "fence dirt trees", "pole flag", _PARK_DOG, "standing"),
    _kind("cat dog", "living room", 1, "sofa", "cup chair", "toy", _HOME_CAT, "sitting lying"),
    _kind("cat dog", "bedroom", 1, "bed", "blanket pillow", "lamp", _HOME_CAT, "lying sitting"),
    _kind("cat dog", "yard", 1, "grass", "house fence", "bird", _HOME_CAT, "standing sitting"),
    _kind("bus", "street", 11, "road", "building traffic_light sign car person", "tree bicycle", "red yellow blue white", "parked coming"),
    _kind("bus", "road", 6, "road", "bridge tree sign car", "person fence", "white silver green", "parked parked coming"),
    _kind("truck", "road", 10, "road", "sign car tree bridge", "pole fence", "red blue white silver", "parked parked coming"),
    _kind("truck", "street", 4, "road", "building traffic_light person car", "tree box", "yellow orange white", "parked coming"),
    _kind("truck", "farm", 3, "dirt", "house fence tree cow", "grass car", "green red tan", "parked coming"),
)  # fmt: skip

DECK_SIZE = sum(k.cards for k in KINDS)


@lru_cache(maxsize=1024)
def _shuffled(seed: int, block: int) -> tuple[int, ...]:
    cards = [i for i, kind in enumerate(KINDS) for _ in range(kind.cards)]
    order = priorities(seed, f"scene deck {block}", map(str, range(DECK_SIZE)))
    return tuple(cards[i] for i in np.argsort(order, kind="stable").tolist())


def kind_of(seed: int, number: int) -> Kind:
    """The kind of scene `number`, whatever the number of scenes.

    Examples
    --------
    >>> kind_of(0, 7) is kind_of(0, 7)
    True
    >>> sum("dog" in kind_of(3, k).subjects for k in range(200))
    90
    """
    block, place = divmod(number, DECK_SIZE)
    return KINDS[_shuffled(seed, block)[place]]
