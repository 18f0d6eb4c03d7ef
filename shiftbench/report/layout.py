"""Where to draw the nodes of a graph: always the same places, and no label on another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

__all__ = ["place"]

Floats = NDArray[np.float64]

_STEPS = 200
_GAP = 6.0  # pixels kept between two boxes
_MARGIN = 12.0


def _spring(weights: Floats, boxes: Floats) -> Floats:
    """Force-directed places (Fruchterman & Reingold 1991) of one component, started on a circle."""
    n = len(weights)
    unit = 0.9 * float(np.sqrt((boxes + _GAP).prod(axis=1)).mean()) + 15.0
    turn = 2 * np.pi * np.arange(n) / n
    places = unit * np.sqrt(n) / 2 * np.column_stack([np.cos(turn), np.sin(turn)])
    pull = np.where(weights > 0, 0.5 + weights, 0.0)
    for heat in np.geomspace(unit * np.sqrt(n) / 3, unit / 50, _STEPS):
        apart = places[:, None, :] - places[None, :, :]
        far = np.sqrt((apart**2).sum(axis=2))
        np.fill_diagonal(far, 1.0)
        far = np.maximum(far, 1e-6)
        force = ((unit**2 / far**2 - pull * far / unit)[:, :, None] * apart).sum(axis=1)
        length = np.maximum(np.sqrt((force**2).sum(axis=1, keepdims=True)), 1e-9)
        places = places + force / length * np.minimum(length, heat)
    places -= places.mean(axis=0)
    # The longest extent lies across: labels are wide, panels too.
    _, _, axes = np.linalg.svd(places, full_matrices=False)
    axes *= np.where(axes[:, :1] < 0, -1.0, 1.0)
    return np.asarray(places @ axes.T)


def _apart(places: Floats, boxes: Floats) -> Floats:
    """Push boxes (width, height) that overlap apart until none does."""
    places = places.copy()
    reach = (boxes[:, None, :] + boxes[None, :, :]) / 2 + _GAP
    rank = np.arange(len(places))
    upper = rank[:, None] < rank[None, :]
    for _ in range(1000):
        gap = places[:, None, :] - places[None, :, :]
        deep = reach - np.abs(gap)
        hit = (deep > 1e-9).all(axis=2) & upper
        if not hit.any():
            break
        across = deep[:, :, 0] < deep[:, :, 1]
        for axis in (0, 1):
            here = hit & (across if axis == 0 else ~across)
            away = np.where(gap[:, :, axis] < 0, -1.0, 1.0)
            push = np.where(here, (deep[:, :, axis] / 2 + 0.01) * away, 0.0)
            count = np.maximum(np.maximum(here.sum(axis=1), here.sum(axis=0)), 1)
            places[:, axis] += (push.sum(axis=1) - push.sum(axis=0)) / np.sqrt(count)
    return places


def _shelves(
    boxes: Sequence[tuple[float, float]], width: float
) -> tuple[list[Floats], float, float]:
    """Top-left corners of boxes set in centred rows no wider than `width`, and the size of all."""
    rows: list[list[int]] = []
    used = 0.0
    for i, (w, _) in enumerate(boxes):
        if not rows or used + w > width:
            rows.append([])
            used = 0.0
        rows[-1].append(i)
        used += w
    corners: list[Floats] = [np.zeros(2)] * len(boxes)
    top = 0.0
    whole = max([sum(boxes[i][0] for i in row) for row in rows], default=0.0)
    for row in rows:
        left = (whole - sum(boxes[i][0] for i in row)) / 2
        tall = max(boxes[i][1] for i in row)
        for i in row:
            corners[i] = np.array([left, top + tall - boxes[i][1]])
            left += boxes[i][0]
        top += tall
    return corners, whole, top


def place(weights: Floats, boxes: Floats, width: float) -> tuple[Floats, float, float]:
    """Places for the nodes of a graph, so that no two boxes overlap.

    Every connected component is laid out on its own and the components are set in rows, the
    largest first; nodes without edges stand in rows beneath them.

    Parameters
    ----------
    weights : (n, n) float array
        Symmetric, between 0 and 1, 0 = no edge. The order of the nodes breaks ties.
    boxes : (n, 2) float array
        Width and height that a node takes with its label, in pixels; its place is the centre.
    width : float
        The width to aim at, in pixels; a component that needs more gets it.

    Returns
    -------
    places, width, height
        (n, 2) pixel coordinates, y downwards, and the size of the panel. Rounded to 0.1.

    Examples
    --------
    >>> places, width, height = place(np.zeros((2, 2)), np.full((2, 2), 30.0), 200)
    >>> places.tolist(), width, height
    ([[30.0, 30.0], [66.0, 30.0]], 96.0, 60.0)
    """
    n = len(weights)
    _, label = connected_components(csr_array(weights), directed=False)
    parts = [np.flatnonzero(label == k) for k in np.unique(label)]
    parts.sort(key=lambda part: (-len(part), part[0]))
    places = np.zeros((n, 2))
    groups: list[NDArray[np.int64]] = []
    for part in parts:
        if len(part) > 1:
            inside = weights[np.ix_(part, part)]
            places[part] = _apart(_spring(inside, boxes[part]), boxes[part])
        groups.append(part)
    outlines = []
    for part in groups:
        room = _GAP if len(part) > 1 else _GAP / 2
        low = (places[part] - boxes[part] / 2).min(axis=0) - room
        high = (places[part] + boxes[part] / 2).max(axis=0) + room
        places[part] -= low
        outlines.append((float(high[0] - low[0]), float(high[1] - low[1])))
    joined = [i for i, part in enumerate(groups) if len(part) > 1]
    alone = [i for i, part in enumerate(groups) if len(part) == 1]
    limit = max([width, *(w for w, _ in outlines)])
    blocks = [
        (chosen, _shelves([outlines[i] for i in chosen], limit)) for chosen in (joined, alone)
    ]
    whole = max(wide for _, (_, wide, _) in blocks)
    top = _MARGIN
    for chosen, (corners, wide, tall) in blocks:
        start = np.array([_MARGIN + (whole - wide) / 2, top])
        for i, corner in zip(chosen, corners, strict=True):
            places[groups[i]] += corner + start
        top += tall
    return np.round(places, 1), round(whole + 2 * _MARGIN, 1), round(top + _MARGIN, 1)
