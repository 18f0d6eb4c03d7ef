"""Two samples of scores in one order: sorted once, exact, ties and infinities included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftbench.errors import ConfigurationError

__all__ = ["Merged", "Thresholds", "merge", "scores_of"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Words = NDArray[np.uint64]
Flags = NDArray[np.bool_]

BLOCK = 1 << 15
"""Scores handled at a time: the work fits into a processor's own cache."""

INFINITE = 0x7FF0000000000000
"""The bits of an infinity without its sign; those of every NaN are greater."""
MAGNITUDE = np.uint64(0x7FFFFFFFFFFFFFFF)
ROOM = 1 << 62
"""Magnitudes that a key has room for, beside the sign and the label."""


def scores_of(values: ArrayLike, name: str = "scores", *, nan: bool = False) -> NDArray[Any]:
    """One score an example, of a kind that float64 holds exactly.

    Parameters
    ----------
    values : (n,) array_like
        Numbers of any kind.
    name : str
        What an error message calls them.
    nan : bool
        Allow NaN: the caller looks for it.

    Returns
    -------
    (n,) array
        The values themselves where they are float64, float32, float16, boolean or integers of
        at most 32 bits (an integer has no NaN and no infinity); else float64.

    Raises
    ------
    ConfigurationError
        Not one number an example, NaN (how many, and where the first is), or an integer that
        float64 does not hold exactly.

    Examples
    --------
    >>> scores_of([1, 2, float("inf")]).tolist()
    [1.0, 2.0, inf]
    >>> scores_of([0.1, float("nan")], "id_scores")
    Traceback (most recent call last):
    shiftbench.errors.ConfigurationError: id_scores: 1 of 2 scores are NaN (the first is at ...
    """
    array = np.asarray(values)
    if array.ndim != 1:
        raise ConfigurationError(
            f"{name} has the shape {array.shape}, but it holds one score an example: shape (n,)"
        )
    kept = array.dtype.kind in "bf" and array.dtype.itemsize <= 8
    if not kept and not (array.dtype.kind in "iu" and array.dtype.itemsize <= 4):
        array = _float64(array, name)
    if not nan and array.dtype.kind == "f":
        for at in range(0, len(array), BLOCK):
            if np.isnan(array[at : at + BLOCK]).any():
                _refuse_nan(array, name)
    return array


def _float64(array: NDArray[Any], name: str) -> Floats:
    try:
        if array.dtype.kind not in "iufO":
            raise TypeError
        found = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{name} holds {array.dtype} values, but scores are real numbers; convert them first"
        ) from error
    if array.dtype.kind == "f":  # wider than float64
        lost = np.flatnonzero((found.astype(array.dtype) != array) & ~np.isnan(found))
    else:
        large = np.flatnonzero(np.abs(found) >= 2.0**53)
        kept = np.isfinite(found[large])
        same = [bool(array[i] == int(found[i])) for i in large[kept].tolist()]
        lost = large[kept][~np.array(same, dtype=bool)]
    if len(lost):
        raise ConfigurationError(
            f"{name}: {len(lost)} values do not fit into float64 without loss (the first is "
            f"{array[lost[0]]} at position {int(lost[0])}), and ranks could change; rescale them"
        )
    return found


def _refuse_nan(array: NDArray[Any], name: str) -> None:
    missing = np.isnan(array)
    count = int(np.count_nonzero(missing))
    raise ConfigurationError(
        f"{name}: {count} of {len(array)} scores are NaN (the first is at position "
        f"{int(missing.argmax())}); a score is a number, and an infinite one ranks at the end: "
        f"find out why the detector failed there, or leave those examples out"
    )


@dataclass(frozen=True)
class Merged:
    """All scores of both samples in ascending order, without the scores themselves.

    Attributes
    ----------
    ood : (n,) boolean array
        Whether the score at a place is of the OOD sample.
    cuts : (n + 1,) boolean array
        Whether a new value begins at a place: ``cuts[i]`` is False where the scores at places
        i − 1 and i are equal. The first and the last are True.
    n_id, n_ood : int
    distinct : bool
        No two scores are equal.

    Examples
    --------
    >>> m = merge([1.0, 2.0], [2.0, 3.0])
    >>> m.ood.tolist(), m.cuts.tolist()
    ([False, False, True, True], [True, True, False, True, True])
    """

    ood: Flags
    cuts: Flags
    n_id: int
    n_ood: int
    distinct: bool


def merge(id_scores: ArrayLike, ood_scores: ArrayLike) -> Merged:
    """Put two samples of scores in one order.

    Parameters
    ----------
    id_scores, ood_scores : (n_id,), (n_ood,) array_like
        ±inf rank at the ends, −0.0 equals 0.0.

    Raises
    ------
    ConfigurationError
        As `scores_of`.

    Notes
    -----
    A score becomes a whole number that is ordered as the scores are: its bits without the sign,
    less those of the least magnitude there is, negated for a negative score. That leaves room for
    the label in the lowest bit, and sorting the numbers sorts scores and labels at once. Where
    magnitudes span more than a factor of 2¹⁰²² there is no room, and an indirect sort takes over.

    Examples
    --------
    >>> merge([0.0, float("-inf")], [-0.0, 5.0]).cuts.tolist()
    [True, True, False, True, True]
    """
    pair = (
        scores_of(id_scores, "id_scores", nan=True),
        scores_of(ood_scores, "ood_scores", nan=True),
    )
    ranges = (_bit_range(pair[0], "id_scores"), _bit_range(pair[1], "ood_scores"))
    n_id, n_ood = len(pair[0]), len(pair[1])
    n = n_id + n_ood
    least = min(r.least for r in ranges)
    greatest = max(r.greatest for r in ranges)
    if greatest < least:  # nothing but zeros and infinities
        least = greatest = 1
    zero, infinite = any(r.zero for r in ranges), any(r.infinite for r in ranges)
    if greatest + 1 - least + 1 >= ROOM:
        return _indirect(pair)
    keys = np.empty(n, dtype=np.int64)
    cap = greatest + 1 if infinite else None
    _write_keys(pair[0], keys[:n_id], 0, least, cap, zero)
    _write_keys(pair[1], keys[n_id:], 1, least, cap, zero)
    keys.sort()
    ood, cuts = np.empty(n, dtype=np.bool_), np.ones(n + 1, dtype=np.bool_)
    distinct = _read_keys(keys, ood, cuts)
    negative = int(np.searchsorted(keys, 0))
    np.logical_not(ood[:negative], out=ood[:negative])
    return Merged(ood, cuts, n_id, n_ood, distinct)


@dataclass(frozen=True)
class _Range:
    least: int
    greatest: int
    zero: bool
    infinite: bool


def _bit_range(scores: NDArray[Any], name: str) -> _Range:
    """The least and greatest finite magnitudes other than 0, as bits."""
    least, greatest, zero, infinite = INFINITE, 0, False, False
    buffer = np.empty(BLOCK, dtype=np.uint64)
    for at in range(0, len(scores), BLOCK):
        bits = _bits(scores[at : at + BLOCK])
        magnitude = np.bitwise_and(bits, MAGNITUDE, out=buffer[: len(bits)])
        top, bottom = int(magnitude.max()), int(magnitude.min())
        if top > INFINITE:
            _refuse_nan(scores, name)
        if top == INFINITE:
            infinite = True
            finite = magnitude[magnitude < INFINITE]
            top = int(finite.max()) if len(finite) else 0
        if bottom == 0:
            zero = True
            # Less 1, a zero is the greatest of all: the least is that of the others.
            bottom = (
                min(int(np.subtract(magnitude, np.uint64(1), out=magnitude).min()), INFINITE) + 1
            )
        least, greatest = min(least, bottom), max(greatest, top)
    return _Range(least, greatest, zero, infinite)


def _bits(block: NDArray[Any]) -> Words:
    return np.ascontiguousarray(block, dtype=np.float64).view(np.uint64)


def _write_keys(
    scores: NDArray[Any], keys: Integers, label: int, least: int, cap: int | None, zero: bool
) -> None:
    """Fill in 2 (magnitude − least + 1) + label, all bits flipped for a negative score."""
    base = np.uint64((label - 2 * (least - 1)) % (1 << 64))
    floor, one = np.uint64(2 * (least - 1)), np.uint64(1)
    sign, plain = np.empty(BLOCK, dtype=np.int64), np.empty(BLOCK)
    for at in range(0, len(scores), BLOCK):
        block = scores[at : at + BLOCK]
        # Adding 0.0 turns −0.0 into 0.0 and leaves all else as it is.
        bits = _bits(np.add(block, 0.0, out=plain[: len(block)]) if zero else block)
        out = keys[at : at + len(bits)]
        key = np.left_shift(bits, one, out=out.view(np.uint64))
        if zero:
            np.maximum(key, floor, out=key)
        if cap is not None:
            np.minimum(key, np.uint64(2 * cap), out=key)
        np.add(key, base, out=key)
        negative = np.right_shift(bits.view(np.int64), 63, out=sign[: len(bits)])
        np.bitwise_xor(out, negative, out=out)


def _read_keys(keys: Integers, ood: Flags, cuts: Flags) -> bool:
    """Fill in labels and cuts from the sorted keys; whether all the values are distinct."""
    buffer = np.empty(BLOCK, dtype=np.int64)
    distinct = True
    for at in range(0, len(keys), BLOCK):
        block = keys[at : at + BLOCK]
        low = np.bitwise_and(block, 1, out=buffer[: len(block)])
        np.not_equal(low, 0, out=ood[at : at + len(block)])
        # Equal values differ in the label at most.
        first = max(at, 1)
        here, before = keys[first : at + len(block)], keys[first - 1 : at + len(block) - 1]
        changed = np.bitwise_xor(here, before, out=buffer[: len(here)]).view(np.uint64)
        cut = np.greater(changed, 1, out=cuts[first : at + len(block)])
        distinct = distinct and bool(cut.all())
    return distinct


def _indirect(pair: tuple[NDArray[Any], NDArray[Any]]) -> Merged:
    scores = np.concatenate([part.astype(np.float64) for part in pair])
    order = np.argsort(scores)
    scores = scores[order]
    cuts = np.ones(len(scores) + 1, dtype=np.bool_)
    np.not_equal(scores[1:], scores[:-1], out=cuts[1:-1])
    return Merged(order >= len(pair[0]), cuts, len(pair[0]), len(pair[1]), bool(cuts.all()))


@dataclass(frozen=True)
class Thresholds:
    """The distinct values of two samples, from the highest, with what lies at or above each.

    Attributes
    ----------
    thresholds : (k,) float64 array
        Descending; flagging scores ≥ thresholds[i] flags `n_id[i]` and `n_ood[i]` examples.
    n_id, n_ood : (k,) int64 arrays
        Examples at or above each threshold; the last are the samples' sizes.

    Examples
    --------
    >>> t = Thresholds.of([1.0, 2.0], [2.0, 3.0])
    >>> t.thresholds.tolist(), t.n_id.tolist(), t.n_ood.tolist()
    ([3.0, 2.0, 1.0], [0, 1, 2], [1, 2, 2])
    """

    thresholds: Floats
    n_id: Integers
    n_ood: Integers

    @classmethod
    def of(cls, id_scores: ArrayLike, ood_scores: ArrayLike) -> Thresholds:
        """From two samples of scores; raises as `scores_of`.

        Examples
        --------
        >>> Thresholds.of([0.0], [float("inf")]).thresholds.tolist()
        [inf, 0.0]
        """
        first, second = scores_of(id_scores, "id_scores"), scores_of(ood_scores, "ood_scores")
        merged = merge(first, second)
        ordered = np.concatenate([first, second], dtype=np.float64)
        ordered += 0.0  # one zero
        ordered.sort()
        starts = np.flatnonzero(merged.cuts[:-1])
        ood_below = np.concatenate([[0], np.cumsum(merged.ood, dtype=np.int64)])[starts]
        n_ood = merged.n_ood - ood_below
        n_id = merged.n_id - (starts - ood_below)
        return cls(ordered[starts][::-1].copy(), n_id[::-1].copy(), n_ood[::-1].copy())

    def index(self, scores: ArrayLike) -> Integers:
        """The place of each score, which must be one of the thresholds.

        Examples
        --------
        >>> Thresholds.of([1.0, 2.0], [2.0, 3.0]).index([2.0, 3.0]).tolist()
        [1, 0]
        """
        ascending = self.thresholds[::-1]
        found = np.searchsorted(ascending, np.asarray(scores, dtype=np.float64))
        return len(ascending) - 1 - found
