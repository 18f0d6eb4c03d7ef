"""Pairs of radiographs of different patients that show nearly the same: to be looked at."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ._gathered import SIDE, Gathered

__all__ = ["NEAR", "PAIRS", "near_duplicates", "picture"]

PAIRS = pa.schema(
    [
        pa.field("radiograph_a", pa.string(), nullable=False),
        pa.field("radiograph_b", pa.string(), nullable=False),
        pa.field("patient_a", pa.string(), nullable=False),
        pa.field("patient_b", pa.string(), nullable=False),
        pa.field("correlation", pa.float64(), nullable=False),
        pa.field("shift_rows", pa.int64(), nullable=False),
        pa.field("shift_columns", pa.int64(), nullable=False),
        pa.field("mirrored", pa.bool_(), nullable=False),
        pa.field("splits_a", pa.string(), nullable=False),
        pa.field("splits_b", pa.string(), nullable=False),
        pa.field("across_splits", pa.bool_(), nullable=False),
    ]
)

NEAR = 0.85
"""Correlation of the details from which a pair is called a near-duplicate."""

SHIFT = 3
"""Rows and columns of a thumbnail by which two radiographs are moved against each other."""

MANY = 10_000
"""Radiographs up to which candidates are looked for at every shift."""

_SMOOTH = 3.0  # pixels of a thumbnail: what is smoother is the shape that all chests share
_COARSE = 16
_MARGIN = 2
_TILE = 2048
_CANDIDATES = 8  # of each radiograph, in each view
_REFINED = 20_000
_CHUNK = 512
_ACROSS = 5
_OWN = -2.0  # below every correlation: a radiograph of the same person
_FLAT = 1e-3

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def near_duplicates(
    gathered: Mapping[str, Gathered],
    patients: Mapping[str, str],
    splits: Mapping[str, Sequence[str]],
    most: int = 50,
) -> pa.Table:
    """The pairs of radiographs of different patients that are most alike.

    Compared are the details of thumbnails (32 × 32 means of areas, less their Gaussian average of
    3 pixels): the rest is the shape that all chests share. The correlation is the highest over
    shifts of up to 3 pixels, a tenth of the image, along rows and columns, and over mirroring
    left and right. Gain, offset and inversion before normalising do not count.

    Among the 278 radiographs of ../shared/data/chest_xray two patients' reach 0.76, while copies
    stay above 0.98 after JPEG of quality 40 or noise of 10 grey levels, 0.95 after another
    brightness or gamma, 0.90 turned by 2° and 0.87 with 2 % cropped from every side; with 5 %
    cropped they come down to 0.6 and are missed. Hence `NEAR` = 0.85. It is a reason to look and
    no verdict: pictures in which one outline is most of the detail are as alike without being
    copies, such as phantoms of two people, which share one plan and reach 0.98.

    Candidates are each radiograph's nearest by a matrix product of coarser details, in blocks, for
    both ways round and, up to 10,000 radiographs, for nine shifts; the 20,000 best are compared
    in full. Time grows with the square of the number and memory with the number: 100,000
    radiographs take a minute and a half on one core, and 0.2 GB beside what is handed in.

    Parameters
    ----------
    gathered : mapping
        By radiograph id.
    patients : mapping
        Pseudonym of each radiograph's patient.
    splits : mapping
        Splits of each radiograph, written ``config/split``.
    most : int
        Pairs to report.

    Returns
    -------
    pa.Table
        Schema `PAIRS`, by falling correlation. `radiograph_b`, mirrored if `mirrored` says so and
        moved down by `shift_rows` and right by `shift_columns` 32nds of the image, lies on
        `radiograph_a`. `across_splits`: some config has them in two splits.

    Examples
    --------
    >>> from shiftbench.builders.xray._gathered import gathered
    >>> rng = np.random.default_rng(0)
    >>> one, other = rng.integers(0, 65536, (2, 64, 64), dtype=np.uint16)
    >>> found = {"r1": gathered(one), "r2": gathered(other), "r3": gathered(one[:, ::-1])}
    >>> people = {"r1": "p1", "r2": "p2", "r3": "p3"}
    >>> table = near_duplicates(found, people, {"r1": ["a/train"], "r3": ["a/id_test"]}, most=1)
    >>> table.select(["radiograph_a", "radiograph_b", "mirrored", "across_splits"]).to_pylist()
    [{'radiograph_a': 'r1', 'radiograph_b': 'r3', 'mirrored': True, 'across_splits': True}]
    """
    # By patient: radiographs of one patient then lie beside each other.
    ids = sorted(gathered, key=lambda r: (patients[r], r))
    if len({patients[r] for r in ids}) < 2:
        return PAIRS.empty_table()
    people = np.unique([patients[r] for r in ids], return_inverse=True)[1]
    by_name = np.argsort(np.argsort(ids))
    thumbnails = np.stack([gathered[r].thumbnail for r in ids])
    pairs = _candidates(thumbnails, people, by_name)
    correlation, down, right = _compared(thumbnails, pairs)
    rounded = np.round(correlation.astype(np.float64), 4)
    order = np.lexsort((by_name[pairs[:, 1]], by_name[pairs[:, 0]], -rounded))
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for k in order.tolist():
        a, b = (ids[i] for i in pairs[k, :2].tolist())
        if (a, b) not in rows and len(rows) < most:
            rows[a, b] = {
                "radiograph_a": a,
                "radiograph_b": b,
                "patient_a": patients[a],
                "patient_b": patients[b],
                "correlation": float(rounded[k]),
                "shift_rows": int(down[k]),
                "shift_columns": int(right[k]),
                "mirrored": bool(pairs[k, 2]),
                **_splits(splits.get(a, ()), splits.get(b, ())),
            }
    return pa.Table.from_pylist(list(rows.values()), schema=PAIRS)


def picture(
    pairs: pa.Table, gathered: Mapping[str, Gathered], most: int = 20, zoom: int = 4
) -> bytes:
    """The most alike pairs side by side, as PNG, with their correlation under each.

    Parameters
    ----------
    pairs : pa.Table
        What `near_duplicates` gives; the row's number, from 0, is under each pair, too.
    gathered : mapping
        By radiograph id.
    most : int
        Pairs to show.
    zoom : int
        Pixels of the picture for a pixel of a thumbnail.

    Returns
    -------
    bytes
        Of a grey PNG with five pairs a line; `radiograph_b` is shown mirrored where it was.

    Examples
    --------
    >>> picture(PAIRS.empty_table(), {})[:4]
    b'\x89PNG'
    """
    from PIL import Image, ImageDraw

    shown = pairs.slice(0, most).to_pylist()
    side, gap, words = SIDE * zoom, 4, 14
    across = min(max(len(shown), 1), _ACROSS)
    lines = -(-max(len(shown), 1) // across)
    width, height = 2 * side + 3 * gap, side + words + 2 * gap
    sheet = Image.new("L", (across * width, lines * height), 255)
    draw = ImageDraw.Draw(sheet)
    for k, row in enumerate(shown):
        left, top = (k % across) * width + gap, (k // across) * height + gap
        b = gathered[row["radiograph_b"]].thumbnail
        both = (gathered[row["radiograph_a"]].thumbnail, b[:, ::-1] if row["mirrored"] else b)
        for n, thumbnail in enumerate(both):
            large = Image.fromarray(np.ascontiguousarray(thumbnail)).resize((side, side))
            sheet.paste(large, (left + n * (side + gap), top))
        said = f"{k}: {row['correlation']:.3f}" + (" mirrored" if row["mirrored"] else "")
        draw.text((left, top + side + 2), said, fill=0)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _splits(of_a: Sequence[str], of_b: Sequence[str]) -> dict[str, Any]:
    a, b = ([name.rpartition("/") for name in names] for names in (of_a, of_b))
    across = any(x[0] == y[0] and x[2] != y[2] for x, y in product(a, b))
    return {
        "splits_a": ", ".join(sorted(of_a)),
        "splits_b": ", ".join(sorted(of_b)),
        "across_splits": across,
    }


def _candidates(thumbnails: NDArray[np.uint8], people: Ints, by_name: Ints) -> Ints:
    """(m, 3): row of a, row of b and whether b is mirrored, each pair in the order of its names."""
    parts = list(_parts(len(thumbnails)))
    still = np.concatenate([_units(_coarse(thumbnails[part]), 0, 0) for part in parts])
    # Moved by one coarse pixel, two of a thumbnail; what lies between is near enough.
    moves = product((-1, 0, 1), repeat=2) if len(thumbnails) <= MANY else [(0, 0)]
    views = list(product((False, True), moves))
    n = len(thumbnails)
    codes, values = np.empty(0, np.int64), np.empty(0, np.float32)
    for part in parts:
        coarse = _coarse(thumbnails[part])
        for mirrored, (down, right) in views:
            query = _units(coarse[:, :, ::-1] if mirrored else coarse, down, right)
            near, value = _nearest(query, still, people[part], people)
            own = np.broadcast_to(np.arange(part.start, part.stop)[:, None], near.shape)
            swap = by_name[own] > by_name[near]
            a, b = np.where(swap, near, own), np.where(swap, own, near)
            taken = value > _OWN
            codes = np.append(codes, ((a * n + b) * 2 + mirrored)[taken])
            values = np.append(values, value[taken])
        order = np.lexsort((codes, -values))
        _, first = np.unique(codes[order], return_index=True)
        best = order[np.sort(first)[:_REFINED]]
        codes, values = codes[best], values[best]
    return np.column_stack([codes // 2 // n, codes // 2 % n, codes % 2])


def _nearest(query: Floats, still: Floats, own: Ints, people: Ints) -> tuple[Ints, Floats]:
    """For each row of the query its nearest among other people: (n, k) rows and correlations.

    The best of every tile, of which there are several, and of those the best: sorting whole rows
    would take longer than the products.
    """
    width = min(max(len(still) // 32, 1), _TILE)
    starts = range(0, len(still), width)
    near = np.empty((len(query), len(starts)), np.int64)
    value = np.empty(near.shape, np.float32)
    for k, start in enumerate(starts):
        alike = query @ still[start : start + width].T
        theirs = people[start : start + width]
        if theirs[0] <= own[-1] and own[0] <= theirs[-1]:
            alike[own[:, None] == theirs] = _OWN
        near[:, k] = start + alike.argmax(axis=1)
        value[:, k] = alike.max(axis=1)
    if len(starts) > _CANDIDATES:
        best = np.argpartition(-value, _CANDIDATES, axis=1)[:, :_CANDIDATES]
        near = np.take_along_axis(near, best, axis=1)
        value = np.take_along_axis(value, best, axis=1)
    return near, value


def _compared(thumbnails: NDArray[np.uint8], pairs: Ints) -> tuple[Floats, Ints, Ints]:
    """Of each pair the highest correlation over all shifts, and the shift: b down, b right."""
    moves = sorted(
        product(range(-SHIFT, SHIFT + 1), repeat=2), key=lambda m: (abs(m[0]) + abs(m[1]), m)
    )
    best = np.full(len(pairs), -np.inf, np.float32)
    shift = np.zeros((len(pairs), 2), np.int64)
    for start in range(0, len(pairs), _CHUNK):
        part = slice(start, start + _CHUNK)
        a, b = (_details(thumbnails[pairs[part, k]]) for k in (0, 1))
        b = np.where(pairs[part, 2, None, None] == 1, b[:, :, ::-1], b)
        for down, right in moves:
            value = _correlation(a[_over(down, right)], b[_over(-down, -right)])
            better = value > best[part]
            best[part][better] = value[better]
            shift[part][better] = (down, right)
    return best, shift[:, 0], shift[:, 1]


def _over(down: int, right: int) -> tuple[slice, slice, slice]:
    """The part of a thumbnail that another lies on after it was moved so far."""
    rows, columns = (slice(max(d, 0), SIDE + min(d, 0)) for d in (down, right))
    return slice(None), rows, columns


def _correlation(a: Floats, b: Floats) -> Floats:
    """Pearson's, picture by picture; 0 where one of them is flat."""
    a, b = (x.reshape(len(x), -1) for x in (a, b))
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
    products = np.einsum("ij,ij->i", a, b)
    size = np.sqrt(np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b))
    return np.asarray(np.divide(products, size, out=np.zeros_like(size), where=size > _FLAT))


def _details(thumbnails: NDArray[np.uint8]) -> Floats:
    from scipy.ndimage import gaussian_filter

    values = thumbnails.astype(np.float32)
    smooth = gaussian_filter(values, (0, _SMOOTH, _SMOOTH), mode="nearest")
    return np.asarray(values - smooth, np.float32)


def _coarse(thumbnails: NDArray[np.uint8]) -> Floats:
    """(n, 16, 16) means of the details."""
    step = SIDE // _COARSE
    blocks = _details(thumbnails).reshape(-1, _COARSE, step, _COARSE, step)
    return np.asarray(blocks.mean(axis=(2, 4)), np.float32)


def _units(coarse: Floats, down: int, right: int) -> Floats:
    """(n, 144): the inner part of each, moved, as vectors of mean 0 and length 1."""
    inner = _COARSE - 2 * _MARGIN
    top, left = _MARGIN + down, _MARGIN + right
    flat = coarse[:, top : top + inner, left : left + inner].reshape(len(coarse), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(lengths, _FLAT), np.float32)


def _parts(n: int) -> Iterator[slice]:
    return (slice(start, min(start + _TILE, n)) for start in range(0, n, _TILE))
