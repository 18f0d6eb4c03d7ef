# ruff: noqa: E501
"""What the drawn scenes are made of: colours, and every object with its size and its shape.

A shape is a few strokes on a box of 100 × 100, painted in order, split by ``;``:
``r x0 y0 x1 y1 colour`` a rectangle, ``e x0 y0 x1 y1 colour`` an ellipse in that box,
``p x y x y x y … colour`` a polygon, ``l x0 y0 x1 y1 width colour`` a bar. A colour is a name of
`COLORS`, ``a`` for the object's own colour or ``b`` for its second one, with ``+`` or ``-`` for a
lighter or darker tone.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["COATS", "COLORS", "POSES", "THINGS", "Thing"]

COLORS: dict[str, tuple[int, int, int]] = {
    "black": (38, 36, 38),
    "white": (236, 234, 228),
    "gray": (132, 134, 138),
    "silver": (186, 190, 194),
    "brown": (112, 72, 42),
    "tan": (200, 164, 112),
    "golden": (222, 174, 84),
    "cream": (238, 222, 190),
    "orange": (222, 132, 48),
    "red": (188, 46, 44),
    "maroon": (112, 34, 44),
    "pink": (226, 150, 158),
    "purple": (116, 74, 142),
    "blue": (52, 92, 170),
    "navy": (34, 46, 92),
    "teal": (40, 132, 134),
    "green": (64, 132, 62),
    "olive": (110, 112, 58),
    "yellow": (236, 204, 62),
    "glass": (168, 204, 220),
}


class Thing(NamedTuple):
    """One kind of object.

    Attributes
    ----------
    place : str
        ground (what the scene stands on), wall (hangs high), far (on the horizon), big (furniture
        and vehicles), flat (lies under the subject), front (small, beside or before it).
    width, height : int
        Usual size in percent of the picture.
    colors : str
        The colours it comes in, split by spaces.
    shape : str
        The strokes; for the ground, the name of a texture.
    """

    place: str
    width: int
    height: int
    colors: str
    shape: str


_SOFA = (
    "r 4 20 96 70 a; r 0 38 16 92 a-; r 84 38 100 92 a-; r 16 52 50 74 a+; r 50 52 84 74 a+;"
    "r 16 72 84 90 a-; r 6 92 14 100 brown; r 86 92 94 100 brown; r 49 52 51 74 a-"
)
_BIKE = (
    "e 0 40 44 100 black; e 6 48 38 92 silver; e 56 40 100 100 black; e 62 48 94 92 silver;"
    "l 22 70 42 28 5 a; l 42 28 70 28 5 a; l 42 28 54 72 5 a; l 22 70 54 72 5 a;"
    "l 54 72 70 28 5 a; l 78 70 68 14 5 a; r 34 20 50 26 black; l 60 12 78 16 5 black"
)
_SCREEN = "r 0 0 100 74 black; r 5 6 95 66 a; p 5 66 50 6 95 6 95 66 a+; r 42 74 58 92 gray; r 26 92 74 100 gray"
_BOOKS = (
    "r 0 20 18 100 a; r 18 4 34 100 navy; r 34 28 54 100 a-; r 54 12 70 100 green;"
    "p 72 20 84 14 100 96 86 100 maroon; r 3 34 15 40 cream; r 21 20 31 26 cream"
)
_BOX = "r 0 24 100 100 a; p 0 24 14 4 86 4 100 24 a+; r 44 24 56 48 cream; r 0 24 100 28 a-"
_DESK = "r 0 0 100 16 a; r 4 16 14 100 a-; r 64 16 96 64 a-; r 86 64 96 100 a-; r 68 24 92 38 a; r 78 29 82 33 black"
_FOUR_LEGS = (
    "r 24 58 32 100 a-; r 38 60 46 100 a; r 66 58 74 100 a-; r 78 58 86 100 a; e 18 28 90 68 a;"
)

THINGS: dict[str, Thing] = {
    # grounds
    "floor": Thing("ground", 100, 40, "tan brown", "planks"),
    "carpet": Thing("ground", 100, 40, "maroon gray", "wool"),
    "grass": Thing("ground", 100, 45, "green olive", "blades"),
    "sand": Thing("ground", 100, 40, "cream tan", "grains"),
    "water": Thing("ground", 100, 45, "blue teal", "waves"),
    "snow": Thing("ground", 100, 45, "white", "drifts"),
    "dirt": Thing("ground", 100, 40, "brown tan", "grains"),
    "road": Thing("ground", 100, 40, "gray", "asphalt"),
    # on walls
    "shelf": Thing("wall", 44, 30, "brown tan", "r 0 0 100 100 a-; r 6 6 94 44 a; r 6 54 94 92 a; r 12 16 20 44 red; r 21 12 29 44 blue; r 30 18 37 44 green; r 50 24 62 44 yellow; e 70 20 88 44 teal; r 14 66 34 92 orange; r 44 62 52 92 navy; r 53 66 60 92 maroon; e 68 64 90 92 white"),
    "bookshelf": Thing("wall", 40, 46, "brown maroon", "r 0 0 100 100 a; r 6 5 94 32 a-; r 6 37 94 64 a-; r 6 69 94 96 a-; r 10 10 22 32 red; r 23 7 34 32 navy; r 40 12 56 32 green; r 66 9 80 32 tan; r 12 43 30 64 teal; r 36 41 48 64 orange; r 60 44 86 64 cream; r 10 74 40 96 purple; r 52 72 62 96 yellow; r 66 76 88 96 blue"),
    "picture": Thing("wall", 22, 18, "golden black brown", "r 0 0 100 100 a; r 9 10 91 90 glass; p 9 90 40 40 64 72 78 54 91 90 green; e 64 18 82 38 yellow"),
    "curtain": Thing("wall", 22, 56, "red cream teal", "r 0 0 100 5 brown; r 4 5 96 100 a; r 18 5 26 100 a-; r 44 5 52 100 a-; r 70 5 78 100 a-; r 32 5 38 100 a+; r 60 5 64 100 a+"),
    "blinds": Thing("wall", 30, 36, "white cream", "r 0 0 100 100 glass; r 0 0 100 12 a; r 0 20 100 30 a; r 0 38 100 48 a; r 0 56 100 66 a; r 0 74 100 84 a; r 0 92 100 100 a"),
    "door": Thing("wall", 26, 60, "brown white", "r 0 0 100 100 a; r 12 8 88 44 a-; r 12 54 88 94 a-; r 16 11 84 41 a+; r 16 57 84 91 a+; e 84 46 94 52 golden"),
    "towel": Thing("wall", 18, 32, "white blue pink", "r 0 0 100 6 silver; r 10 6 90 100 a; r 10 70 90 76 a-; r 10 84 90 90 a-; r 46 6 50 70 a+"),
    "clothes": Thing("wall", 26, 32, "blue purple red", "r 0 0 100 4 brown; p 6 16 26 6 46 16 44 96 8 96 a; p 54 16 74 6 94 16 92 84 56 84 teal; p 26 6 20 16 32 16 cream"),
    "window": Thing("wall", 28, 32, "white brown", "r 0 0 100 100 a; r 8 8 47 47 glass; r 53 8 92 47 glass; r 8 53 47 92 glass; r 53 53 92 92 glass"),
    # furniture and other big things
    "sofa": Thing("big", 64, 36, "red teal olive", _SOFA),
    "couch": Thing("big", 60, 34, "gray brown navy", _SOFA),
    "bed": Thing("big", 74, 36, "brown tan", "r 0 0 8 100 a; r 92 30 100 100 a; r 4 46 96 84 white; p 30 42 96 42 96 84 24 84 a+; r 4 80 96 90 a-; e 10 32 34 54 cream"),
    "chair": Thing("big", 22, 42, "brown white black", "r 14 0 24 100 a; r 76 50 86 100 a-; r 24 4 80 12 a; r 24 20 78 28 a; r 24 36 78 44 a; r 70 0 80 50 a; p 14 50 80 50 92 60 10 60 a+; r 10 60 18 100 a-; r 84 60 92 100 a"),
    "cabinet": Thing("big", 40, 50, "brown cream", "r 0 0 100 94 a; r 0 0 100 6 a+; r 5 10 48 88 a-; r 52 10 95 88 a-; e 41 44 46 50 golden; e 54 44 59 50 golden; r 4 94 14 100 black; r 86 94 96 100 black"),
    "desk": Thing("big", 58, 28, "brown tan white", _DESK),
    "table": Thing("big", 52, 28, "brown cream", "e 0 0 100 30 a+; r 0 14 100 22 a; e 0 8 100 36 a; e 2 2 98 28 a+; r 10 28 18 100 a-; r 82 28 90 100 a-; r 44 32 54 92 a-"),
    "counter": Thing("big", 80, 34, "white gray", "r 0 0 100 14 gray; r 2 14 98 100 a; r 6 22 34 92 a-; r 38 22 64 92 a-; r 68 22 95 92 a-; r 18 28 22 40 black; r 50 28 54 40 black; r 80 28 84 40 black"),
    "lamp": Thing("big", 16, 46, "cream yellow orange", "p 22 0 78 0 100 36 0 36 a; p 22 0 50 0 40 36 0 36 a+; r 46 36 54 92 black; e 24 90 76 100 black"),
    "television": Thing("big", 34, 28, "navy gray", _SCREEN),
    "toilet": Thing("big", 24, 36, "white cream", "r 14 0 86 36 a; r 10 0 90 7 a-; e 4 34 96 66 a+; e 18 40 82 58 gray; p 20 58 80 58 68 100 30 100 a; r 70 12 80 16 silver"),
    "sink": Thing("big", 32, 30, "white", "e 0 20 100 64 a; e 12 26 88 50 gray; r 46 0 54 30 silver; l 50 4 70 10 8 silver; p 40 62 60 62 64 100 36 100 a-"),
    "bench": Thing("big", 62, 30, "brown green", "r 0 0 100 10 a; r 0 16 100 26 a; r 0 32 100 42 a; r 0 54 100 66 a+; r 8 0 13 100 black; r 87 0 92 100 black; r 4 66 9 100 black; r 91 66 96 100 black"),
    "trash can": Thing("big", 17, 30, "green gray", "p 6 16 94 16 84 100 16 100 a; r 0 6 100 18 a-; e 36 0 64 12 a-; r 28 24 34 94 a-; r 48 24 54 94 a-; r 66 24 72 94 a-"),
    "fire hydrant": Thing("big", 14, 26, "red yellow", "r 24 26 76 94 a; e 22 4 78 44 a; e 4 40 32 62 a-; e 68 40 96 62 a-; r 10 90 90 100 a-; e 40 42 60 60 silver"),
    "bike": Thing("big", 46, 34, "red blue black", _BIKE),
    "bicycle": Thing("big", 44, 32, "green yellow navy", _BIKE),
    "motorcycle": Thing("big", 46, 34, "red black navy", "e 0 46 36 100 black; e 9 60 27 86 silver; e 64 46 100 100 black; e 73 60 91 86 silver; p 18 60 36 34 66 30 80 50 66 78 34 78 a; e 40 20 66 46 a+; r 16 30 40 40 black; l 70 34 80 70 6 silver; l 62 14 80 22 5 black; r 38 66 62 82 gray"),
    "car": Thing("big", 50, 28, "red blue silver white", "p 18 40 32 6 70 6 86 40 a; p 24 38 35 13 49 13 49 38 glass; p 53 13 67 13 78 38 53 38 glass; r 0 38 100 80 a; r 0 66 100 80 a-; e 10 62 32 100 black; e 16 72 26 90 silver; e 68 62 90 100 black; e 74 72 84 90 silver; r 94 44 100 54 yellow"),
    "boat": Thing("big", 60, 36, "white red navy", "r 46 0 50 60 brown; p 52 4 92 54 52 54 white; p 44 12 44 54 18 54 cream; p 0 60 100 60 84 100 16 100 a; r 4 62 96 70 a+; r 14 86 86 92 a-"),
    "pole": Thing("big", 8, 62, "gray silver", "r 34 0 66 100 a; r 56 0 66 100 a-; r 0 4 100 10 a-"),
    "traffic light": Thing("big", 11, 52, "black olive", "r 42 40 58 100 gray; r 10 0 90 44 a; e 30 3 70 15 red; e 30 17 70 29 yellow; e 30 31 70 43 green"),
    "sign": Thing("big", 17, 44, "red yellow green", "r 44 40 56 100 gray; p 30 0 70 0 100 14 100 32 70 46 30 46 0 32 0 14 a; r 18 18 82 28 white"),
    "woman": Thing("big", 20, 56, "red purple teal", "e 34 0 66 18 brown; e 38 4 62 18 tan; p 30 20 70 20 82 62 18 62 a; l 30 24 12 54 12 tan; l 70 24 88 54 12 tan; r 32 62 45 96 tan; r 55 62 68 96 tan; r 28 94 46 100 black; r 54 94 72 100 black"),
    "person": Thing("big", 18, 54, "blue olive orange", "e 34 0 66 18 tan; r 34 0 66 7 black; r 26 19 74 56 a; r 12 21 26 54 a-; r 74 21 88 54 a-; r 28 56 48 96 navy; r 52 56 72 96 navy; r 24 94 48 100 black; r 52 94 76 100 black"),
    "horse": Thing("big", 46, 46, "brown black white", _FOUR_LEGS + "p 16 52 2 12 16 4 32 38 a; e 0 2 22 24 a; p 14 6 10 0 20 2 a-; l 14 6 28 36 8 black; l 88 38 98 72 7 black; e 8 8 12 12 black"),
    "cow": Thing("big", 46, 40, "white brown", _FOUR_LEGS + "e 34 32 56 52 black; e 62 38 82 60 black; e 4 20 28 50 a; e 4 36 22 52 pink; p 8 22 4 10 12 20 cream; p 22 20 28 10 26 24 cream; e 10 28 15 34 black; l 88 40 96 70 4 a-"),
    "sheep": Thing("big", 34, 32, "white cream", "r 30 66 36 100 black; r 42 66 48 100 black; r 66 66 72 100 black; r 78 66 84 100 black; e 14 20 60 74 a; e 36 14 92 78 a; e 28 32 80 84 a+; e 2 26 30 58 black; e 8 34 13 40 white"),
    "animal": Thing("big", 36, 36, "gray tan", _FOUR_LEGS + "e 4 18 32 46 a; p 10 22 6 0 16 20 cream; p 22 20 28 2 28 24 cream; p 8 44 14 62 20 44 white; e 12 26 17 32 black; l 88 40 98 30 5 a"),
    "truck": Thing("big", 60, 36, "white blue orange", "r 0 8 64 74 a; r 4 14 60 22 a-; r 4 60 60 66 a-; p 66 26 86 26 100 52 100 78 66 78 a-; p 71 32 84 32 94 52 71 52 glass; r 0 72 100 82 black; e 8 66 28 100 black; e 14 76 22 90 silver; e 72 66 92 100 black; e 78 76 86 90 silver"),
    # on the horizon
    "house": Thing("far", 40, 38, "white tan red", "r 8 40 92 100 a; p 0 42 50 0 100 42 maroon; r 42 62 58 100 brown; r 16 54 34 72 glass; r 66 54 84 72 glass"),
    "roof": Thing("far", 54, 18, "maroon gray", "p 0 100 24 0 76 0 100 100 a; l 12 70 88 70 8 a-; l 20 34 80 34 8 a-; r 62 0 72 22 brown"),
    "building": Thing("far", 34, 52, "gray tan maroon", "r 0 0 100 100 a; r 10 8 28 20 glass; r 41 8 59 20 glass; r 72 8 90 20 glass; r 10 32 28 44 glass; r 41 32 59 44 glass; r 72 32 90 44 glass; r 10 56 28 68 glass; r 41 56 59 68 glass; r 72 56 90 68 glass; r 40 80 60 100 brown"),
    "trees": Thing("far", 56, 34, "green olive", "r 14 60 20 100 brown; r 46 60 53 100 brown; r 80 60 86 100 brown; e 0 10 40 78 a; e 30 0 72 74 a-; e 62 14 100 80 a; e 8 16 30 46 a+; e 40 8 60 36 a"),
    "tree": Thing("far", 28, 46, "green olive", "r 42 56 58 100 brown; e 0 18 62 70 a-; e 38 16 100 68 a; e 16 0 82 52 a; e 26 8 54 30 a+"),
    "fence": Thing("far", 92, 20, "white brown", "r 0 24 100 36 a-; r 0 64 100 76 a-; r 3 4 9 100 a; r 17 4 23 100 a; r 31 4 37 100 a; r 45 4 51 100 a; r 59 4 65 100 a; r 73 4 79 100 a; r 87 4 93 100 a"),
    "bridge": Thing("far", 90, 26, "gray maroon", "r 0 20 100 44 a; r 0 14 100 20 a-; r 6 44 16 100 a-; r 84 44 94 100 a-; p 16 44 50 44 16 80 a; p 84 44 50 44 84 80 a"),
    "flag": Thing("far", 20, 44, "red blue yellow", "r 4 0 12 100 silver; p 12 4 100 12 92 46 12 40 a; p 12 16 98 24 95 34 12 28 white"),
    # small things near the subject
    "cup": Thing("front", 12, 14, "white red blue", "e 58 30 100 76 a-; e 68 42 90 64 white; r 10 14 74 92 a; e 10 80 74 100 a; e 10 4 74 24 a+; e 18 7 66 20 brown"),
    "bowl": Thing("front", 18, 12, "blue white red", "p 0 28 100 28 74 96 26 96 a; e 0 10 100 46 a+; e 10 16 90 40 brown; r 32 92 68 100 a-"),
    "plate": Thing("front", 20, 9, "white blue", "e 0 8 100 100 a-; e 0 0 100 88 a; e 20 18 80 70 a+"),
    "food": Thing("front", 18, 12, "orange red", "e 0 50 100 100 white; e 14 18 56 78 a; e 44 26 88 80 brown; e 34 4 66 54 green"),
    "vase": Thing("front", 14, 28, "blue teal white", "l 48 50 26 14 5 green; l 52 50 76 12 5 green; l 50 50 50 6 5 green; e 12 2 36 20 red; e 64 0 88 20 yellow; e 40 0 60 14 pink; r 38 44 62 58 a; e 16 52 84 100 a; e 26 58 44 84 a+"),
    "container": Thing("front", 18, 18, "teal white green", "r 4 22 96 100 a; r 0 8 100 26 a-; r 14 40 86 78 a+; r 30 52 70 58 gray"),
    "box": Thing("front", 26, 22, "tan brown", _BOX),
    "bag": Thing("front", 22, 26, "green red tan", "e 22 0 78 50 a-; e 32 10 68 44 gray; p 4 30 96 30 100 100 0 100 a; r 4 30 96 38 a-; r 36 54 64 74 a+"),
    "backpack": Thing("front", 24, 30, "blue purple orange", "e 34 0 66 22 a-; e 6 6 94 70 a; r 6 38 94 100 a; r 20 52 80 90 a-; r 24 56 76 66 a+; r 46 64 54 74 yellow"),
    "purse": Thing("front", 20, 20, "red black pink", "e 20 0 80 76 golden; e 28 10 72 70 gray; p 8 42 92 42 100 100 0 100 a; e 42 50 58 66 golden"),
    "suitcase": Thing("front", 30, 26, "navy maroon", "r 36 0 64 16 black; r 42 6 58 16 gray; r 0 14 100 100 a; r 10 14 16 100 a-; r 84 14 90 100 a-; r 44 40 56 50 golden"),
    "books": Thing("front", 20, 18, "red teal", _BOOKS),
    "book": Thing("front", 18, 12, "maroon green", "p 0 30 50 40 50 100 0 88 a; p 100 30 50 40 50 100 100 88 a; p 4 20 50 34 50 90 4 78 white; p 96 20 50 34 50 90 96 78 cream"),
    "paper": Thing("front", 18, 12, "white", "p 14 0 100 14 86 100 0 84 a; l 26 26 82 36 6 gray; l 22 46 78 56 6 gray; l 18 66 60 74 6 gray"),
    "papers": Thing("front", 22, 14, "white cream", "p 4 20 80 0 96 70 18 96 a-; p 14 4 100 18 86 100 0 84 a; l 26 28 82 40 6 gray; l 22 48 78 60 6 gray"),
    "remote control": Thing("front", 8, 18, "black gray", "r 10 0 90 100 a; e 30 6 70 20 red; r 24 28 40 38 white; r 60 28 76 38 white; r 24 46 40 56 white; r 60 46 76 56 white; r 24 64 40 74 white; r 60 64 76 74 white"),
    "pillow": Thing("front", 24, 16, "white pink blue", "p 4 10 50 2 96 10 100 90 50 98 0 90 a; p 14 22 50 16 86 22 88 78 50 84 12 78 a+; l 14 22 88 78 3 a-"),
    "blanket": Thing("flat", 40, 20, "red blue purple", "p 4 12 60 0 96 16 100 86 54 100 0 84 a; l 4 30 98 36 9 a+; l 2 58 100 64 9 a+; r 28 6 34 92 a-; r 66 6 72 92 a-"),
    "comforter": Thing("flat", 46, 22, "cream green pink", "e 0 10 100 100 a; e 8 4 48 56 a+; e 46 6 94 60 a+; e 24 38 72 92 a+; e 60 50 96 94 a-"),
    "sheet": Thing("flat", 44, 18, "white cream", "p 0 30 30 6 70 18 100 0 100 80 64 100 30 84 0 100 a; l 12 34 40 90 4 a-; l 52 24 70 92 4 a-; l 84 16 92 80 4 a-"),
    "rug": Thing("flat", 64, 20, "red navy olive", "e 0 0 100 100 a; e 7 10 93 90 cream; e 12 17 88 83 a; e 30 34 70 66 golden"),
    "laptop": Thing("front", 26, 22, "gray black", "r 14 0 86 62 a; r 20 6 80 56 glass; p 14 64 86 64 100 94 0 94 silver; p 22 70 78 70 84 84 16 84 a-; r 0 94 100 100 a"),
    "screen": Thing("front", 28, 26, "blue teal", _SCREEN),
    "monitor": Thing("front", 30, 26, "navy green", _SCREEN),
    "computer": Thing("front", 18, 32, "black cream", "r 10 0 90 100 a; r 20 8 80 18 gray; r 20 24 80 30 gray; e 40 42 60 54 green; r 24 70 76 74 gray; r 24 80 76 84 gray; r 24 90 76 94 gray"),
    "speaker": Thing("front", 13, 24, "black brown", "r 6 0 94 100 a; e 28 8 72 34 gray; e 38 14 62 28 black; e 16 42 84 94 gray; e 32 54 68 82 black"),
    "keyboard": Thing("front", 32, 10, "black white", "p 8 0 92 0 100 100 0 100 a; l 12 24 88 24 12 gray; l 10 50 90 50 12 gray; l 8 76 92 76 12 gray"),
    "computer mouse": Thing("front", 9, 10, "white black", "e 10 10 90 100 a; r 47 10 53 50 gray; l 50 12 60 0 6 gray"),
    "bottle": Thing("front", 9, 24, "green blue", "r 36 0 64 12 white; r 38 12 62 34 a; e 12 24 88 60 a; r 12 42 88 100 a; r 12 56 88 80 cream"),
    "faucet": Thing("front", 14, 18, "silver", "r 12 30 30 100 a; r 12 24 82 40 a-; r 68 36 82 60 a; r 8 6 34 26 a-; r 2 92 42 100 a-"),
    "pot": Thing("front", 20, 18, "gray red", "r 0 36 100 48 black; r 12 26 88 96 a; e 12 84 88 100 a; e 10 14 90 36 a-; e 42 2 58 18 black"),
    "toy": Thing("front", 12, 12, "yellow red blue", "e 4 4 96 96 a; p 4 50 50 36 96 50 50 64 white; e 36 36 64 64 a-"),
    "basket": Thing("front", 26, 22, "tan golden", "e 10 0 90 90 brown; e 18 8 82 84 gray; p 0 40 100 40 86 100 14 100 a; l 4 54 96 54 5 a-; l 8 70 92 70 5 a-; l 12 86 88 86 5 a-; r 30 40 34 100 a-; r 64 40 68 100 a-"),
    "frisbee": Thing("front", 18, 10, "red yellow orange", "e 0 10 100 100 a-; e 0 0 100 84 a; e 20 16 80 62 a+"),
    "rope": Thing("front", 34, 10, "tan cream", "l 0 60 22 20 22 a; l 22 20 48 80 22 a; l 48 80 74 20 22 a; l 74 20 100 70 22 a; e 88 50 100 96 a-"),
    "surfboard": Thing("front", 18, 52, "yellow red white", "e 10 0 90 100 a; e 22 8 78 92 a+; r 46 2 54 98 red; p 42 78 58 78 50 96 navy"),
    "skateboard": Thing("front", 34, 12, "red black purple", "p 0 10 12 40 88 40 100 10 94 52 6 52 a; e 14 52 30 100 white; e 70 52 86 100 white"),
    "helmet": Thing("front", 17, 15, "red blue white", "e 0 0 100 150 a; r 0 76 100 88 a-; e 24 20 46 54 a+; r 0 88 100 100 black"),
    "bird": Thing("front", 14, 13, "blue red black", "e 18 26 78 84 a; e 4 10 42 50 a; p 8 28 0 34 10 38 yellow; e 14 20 21 29 white; p 72 46 100 24 96 56 a-; p 36 44 70 50 50 74 a-; l 42 80 42 100 5 orange; l 56 80 56 100 5 orange"),
    "ball": Thing("front", 10, 10, "red yellow teal", "e 4 4 96 96 a; e 20 14 56 50 a+; r 6 46 94 56 white"),
    "slipper": Thing("front", 15, 8, "pink gray brown", "e 0 10 100 100 a; e 44 0 100 72 a+; e 6 26 46 76 a-"),
    "leaf": Thing("front", 8, 7, "orange olive maroon", "e 0 10 84 90 a; l 0 50 100 50 8 a-"),
    "rock": Thing("front", 15, 10, "gray tan", "p 0 90 14 30 44 4 80 20 100 84 76 100 20 100 a; p 14 30 44 4 60 30 34 54 a+; p 60 30 80 20 100 84 70 90 a-"),
    "flower": Thing("front", 9, 15, "yellow pink purple", "r 44 40 56 100 green; e 20 0 80 56 a; e 36 16 64 42 cream; e 54 60 94 78 green"),
}  # fmt: skip
"""Every kind of object that is not a subject."""

COATS: dict[str, tuple[str, str]] = {
    "orange": ("orange", "cream"),
    "gray": ("gray", "silver"),
    "black": ("black", "gray"),
    "white": ("white", "cream"),
    "brown": ("brown", "tan"),
    "golden": ("golden", "cream"),
    "tan": ("tan", "white"),
    "yellow": ("yellow", "white"),
    "red": ("red", "white"),
    "blue": ("blue", "silver"),
    "green": ("green", "cream"),
    "silver": ("silver", "white"),
}
"""A subject's first and second colour, by the colour attribute that stands in the graph."""

POSES: dict[str, dict[str, tuple[int, int, str]]] = {
    "cat": {
        "sitting": (36, 56, "l 72 92 94 78 9 a-; l 94 78 90 50 9 a-; e 18 40 82 100 a; e 37 54 63 92 b; e 30 88 48 100 b; e 52 88 70 100 b; p 22 30 20 0 48 14 a; p 78 30 80 0 52 14 a; p 27 20 26 8 38 14 pink; p 73 20 74 8 62 14 pink; e 20 8 80 52 a; e 36 32 64 51 b; e 31 22 44 34 yellow; e 56 22 69 34 yellow; e 36 22 40 34 black; e 60 22 64 34 black; p 46 36 54 36 50 41 pink; l 34 40 6 36 1 white; l 34 43 6 46 1 white; l 66 40 94 36 1 white; l 66 43 94 46 1 white"),
        "lying": (56, 36, "l 84 88 99 62 12 a-; e 14 36 94 100 a; e 36 62 82 98 b; e 18 84 46 100 a-; p 5 34 6 0 22 20 a; p 38 34 38 0 22 20 a; p 9 24 9 10 17 20 pink; p 35 24 35 10 27 20 pink; e 3 14 41 70 a; e 13 44 31 68 b; e 9 30 17 46 yellow; e 27 30 35 46 yellow; e 12 30 14 46 black; e 30 30 32 46 black; p 20 48 25 48 22 55 pink; l 12 54 0 48 1 white; l 32 54 46 48 1 white"),
        "standing": (54, 44, "l 82 50 92 10 8 a-; r 24 64 31 100 a-; r 36 66 43 100 a; r 68 64 75 100 a-; r 78 62 85 100 a; e 20 36 88 78 a; e 32 58 72 78 b; p 4 26 4 0 20 14 a; p 36 26 36 0 22 14 a; e 2 8 38 54 a; e 10 34 28 52 b; e 8 22 16 34 yellow; e 24 22 32 34 yellow; e 11 22 13 34 black; e 27 22 29 34 black; p 17 37 22 37 20 42 pink"),
    },
    "dog": {
        "sitting": (42, 60, "l 76 92 98 72 8 a; e 20 38 80 100 a; e 36 46 64 86 b; r 32 62 45 98 a; r 55 62 68 98 a; e 28 90 47 100 b; e 53 90 72 100 b; e 22 2 78 46 a; e 6 6 30 48 a-; e 70 6 94 48 a-; e 33 22 67 50 b; e 42 24 58 35 black; e 32 16 40 24 black; e 60 16 68 24 black; e 44 42 56 58 pink; r 30 50 70 54 red"),
        "standing": (64, 50, "l 84 42 99 12 7 a; r 26 58 34 100 a-; r 38 58 46 100 a; r 70 56 78 100 a-; r 80 56 88 100 a; r 24 34 86 64 a; e 20 32 44 68 a; e 72 32 92 66 a; e 34 54 76 68 b; p 22 20 42 34 38 54 24 52 a; e 8 8 38 46 a; e 0 24 22 46 b; e 0 24 9 33 black; e 14 18 20 25 black; e 26 8 42 44 a-; e 6 42 14 56 pink; r 25 44 38 50 red"),
        "lying": (64, 38, "l 84 84 100 56 9 a; e 22 38 96 98 a; r 8 80 48 98 a; e 4 82 16 100 b; e 26 82 40 100 b; e 44 72 86 98 b; e 8 6 40 68 a; e 2 8 15 62 a-; e 33 8 46 62 a-; e 13 36 35 70 b; e 19 38 29 52 black; e 14 26 19 36 black; e 29 26 34 36 black; e 20 62 28 82 pink"),
    },
    "bus": {
        "parked": (76, 46, "r 0 4 100 84 a; r 0 4 100 12 a+; r 4 18 20 48 glass; r 23 18 39 48 glass; r 42 18 58 48 glass; r 61 18 77 48 glass; r 81 18 97 80 glass; r 88 18 90 80 black; r 0 56 80 64 b; r 0 78 100 86 a-; e 12 70 30 100 black; e 17 78 25 92 silver; e 62 70 80 100 black; e 67 78 75 92 silver"),
        "coming": (52, 58, "r 4 0 96 90 a; r 12 4 88 14 black; r 24 6 76 12 yellow; r 10 18 90 54 glass; r 49 18 51 54 black; r 4 60 96 66 b; e 10 70 24 80 cream; e 76 70 90 80 cream; r 30 70 70 80 black; r 4 84 96 92 a-; r 10 90 26 100 black; r 74 90 90 100 black; r 0 22 4 40 black; r 96 22 100 40 black"),
    },
    "truck": {
        "parked": (78, 44, "r 0 4 64 74 b; r 0 4 64 10 a; r 4 30 60 46 a; p 66 22 86 22 100 50 100 78 66 78 a; p 71 28 84 28 94 48 71 48 glass; r 0 72 100 82 black; e 6 66 24 100 black; e 11 75 19 91 silver; e 26 66 44 100 black; e 31 75 39 91 silver; e 74 66 92 100 black; e 79 75 87 91 silver; r 96 56 100 66 yellow"),
        "coming": (46, 54, "r 0 0 100 70 b; r 12 24 88 86 a; r 18 28 82 52 glass; r 14 56 86 60 a-; r 32 62 68 78 black; r 34 66 66 68 silver; r 34 72 66 74 silver; e 14 62 28 76 cream; e 72 62 86 76 cream; r 8 82 92 90 gray; r 12 88 30 100 black; r 70 88 88 100 black"),
    },
}  # fmt: skip
"""The subjects: for each pose the width and height in percent, and the strokes."""
