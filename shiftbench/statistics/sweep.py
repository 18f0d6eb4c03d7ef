"""One walk over merged scores from the end of one class: every count that the metrics need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftbench.statistics.ranks import BLOCK, Merged

__all__ = ["Sweep", "sweep"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

EDGES = 16
"""Places in a block, evenly spaced, at which the counts are kept."""
DENSE = 4096
"""Examples of a class up to which the counts are kept at each of them."""
STEP = 0.04
"""With more of them: by how much the next kept rank is greater, counted from the nearer end."""


@dataclass(frozen=True)
class Sweep:
    """What a walk from the most positive score down has counted.

    Attributes
    ----------
    ood : (n,) boolean array
        Whether the example at a place of the walk is OOD.
    positive_ood : bool
        Whether OOD is the positive class.
    cuts : (n + 1,) boolean array
        As in `Merged`, in the walk's direction.
    n_pos, n_neg : int
    twice_above : int
        Summed over the positives: 2 × negatives before it + negatives tied with it. Exact.
    squares : float
        Summed over the positives: (negatives before it + half of the tied ones)².
    precision_sum : float
        Summed over the positives: precision of flagging all that are not less positive.
    trapezoid_sum : float
        The same with the mean of the precision there and at the value before (1 at the start).
    tp, fp : (k,) int64 arrays
        Positives and negatives flagged at some thresholds: at all of them if there are at most
        32,768 scores, else just before and at some thousands of examples of each class, at 16
        places in each block, and at the last. Between two of them the positives, the
        negatives, and what is left of either change by about 4 % at most, so that what depends
        on them smoothly is known closely.
    coarse : (k,) boolean array
        Whether several values lie between the place kept before and this one.
    """

    ood: Flags
    positive_ood: bool
    cuts: Flags
    n_pos: int
    n_neg: int
    twice_above: int
    squares: float
    precision_sum: float
    trapezoid_sum: float
    tp: Integers
    fp: Integers
    coarse: Flags

    def _positive(self, start: int, stop: int) -> Flags:
        part = self.ood[start:stop]
        return part if self.positive_ood else ~part

    def flagged(self, rank: int) -> tuple[int, int]:
        """Positives and negatives flagged when the threshold is the positive of that rank.

        Rank 1 is the most positive of the positives.

        Examples
        --------
        >>> from shiftbench.statistics.ranks import merge
        >>> sweep(merge([1.0, 2.0], [2.0, 3.0]), "ood").flagged(2)
        (2, 1)
        """
        i = int(np.searchsorted(self.tp, rank))
        start = 0 if i == 0 else int(self.tp[i - 1] + self.fp[i - 1])
        stop = int(self.tp[i] + self.fp[i])
        found = np.flatnonzero(self._positive(start, stop))
        at = start + int(found[rank - 1 - (0 if i == 0 else int(self.tp[i - 1]))])
        end = at + 1 + int(np.argmax(self.cuts[at + 1 : stop + 1]))
        tp = (0 if i == 0 else int(self.tp[i - 1])) + int(
            np.count_nonzero(self._positive(start, end))
        )
        return tp, end - tp

    def best(self) -> tuple[int, int]:
        """Positives and negatives flagged where TPR − FPR is greatest; (0, 0) if it is never > 0.

        Examples
        --------
        >>> from shiftbench.statistics.ranks import merge
        >>> sweep(merge([1.0, 2.0], [2.0, 3.0]), "ood").best()
        (1, 0)
        """
        tp, fp = self.optima()
        return int(tp[0]), int(fp[0])

    def optima(self) -> tuple[Integers, Integers]:
        """Positives and negatives flagged, wherever TPR − FPR is greatest; flagging none counts.

        Examples
        --------
        >>> from shiftbench.statistics.ranks import merge
        >>> [found.tolist() for found in sweep(merge([1.0, 3.0], [2.0, 4.0]), "ood").optima()]
        [[1, 2], [0, 1]]
        """
        n_pos, n_neg = self.n_pos, self.n_neg
        tp, fp = np.append(0, self.tp), np.append(0, self.fp)
        # Times n_pos · n_neg: in whole numbers, so that equal ones are equal.
        gain = tp * n_neg - fp * n_pos
        most = int(gain.max())
        found = [tp[gain == most]]
        # Between two kept places the gain is at most that of the first with all positives between.
        bound = tp[1:] * n_neg - fp[:-1] * n_pos
        total = tp + fp
        hidden = np.flatnonzero((np.diff(total) > 1) & (bound >= most))
        # Neighbours are looked through together, a block at a time.
        apart = (np.diff(hidden) > 1) | (np.diff(total[hidden] // BLOCK) > 0)
        for piece in np.split(hidden, np.flatnonzero(apart) + 1) if len(hidden) else ():
            first, last = int(piece[0]), int(piece[-1]) + 1
            start, stop = int(total[first]), int(total[last])
            ends = np.flatnonzero(self.cuts[start + 1 : stop + 1])
            more = tp[first] + np.cumsum(self._positive(start, stop), dtype=np.int64)[ends]
            gains = more * n_neg - (start + 1 + ends - more) * n_pos
            here = int(gains.max())
            if here > most:
                found, most = [], here
            if here == most:
                found.append(more[gains == most])
        # Of equal gains, each has its own number of positives.
        best = np.sort(np.concatenate(found))
        best = best[np.append(True, best[1:] != best[:-1])]
        return best, (best * n_neg - most) // n_pos


def sweep(merged: Merged, positive: str) -> Sweep:
    """Walk over all scores from the end of one class, ``"ood"`` (the top) or ``"id"``.

    The walk for one class over some scores and the walk for the other over the scores mirrored do
    the same sums in the same order: what they give is equal to the last bit.

    Examples
    --------
    >>> from shiftbench.statistics.ranks import merge
    >>> found = sweep(merge([1.0, 2.0], [2.0, 3.0]), "ood")
    >>> found.twice_above, round(found.precision_sum / 2, 4), found.tp.tolist(), found.fp.tolist()
    (1, 0.8333, [1, 2, 2], [0, 1, 2])
    """
    top = positive == "ood"
    flags = merged.ood[::-1] if top else merged.ood
    cuts = merged.cuts[::-1] if top else merged.cuts
    n = len(flags)
    n_pos = merged.n_ood if top else merged.n_id
    state = _State(n_pos, n - n_pos)
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        block = flags[start:stop]
        block = np.ascontiguousarray(block) if top else np.logical_not(block)
        if merged.distinct or bool(cuts[start : stop + 1].all()):
            state.distinct(start, block)
        else:
            state.tied(start, block, np.ascontiguousarray(cuts[start + 1 : stop + 1]))
    return Sweep(
        flags, top, cuts, n_pos, n - n_pos, state.twice_above, state.squares, state.precision,
        state.trapezoid, *state.counts(),
    )  # fmt: skip


def _ranks(n: int) -> Integers:
    """The ranks in a class of n at which counts are kept: more closely at both ends."""
    if n <= DENSE:
        return np.arange(1, n + 1)
    steps = np.arange(1 + int(np.log(n) / np.log1p(STEP)))
    near = np.exp(np.log1p(STEP) * steps).astype(np.int64)
    found = np.concatenate([near, n + 1 - near])
    found.sort()
    return found


def _evenly(k: int) -> Integers:
    return (np.arange(1, min(k, EDGES) + 1) * k) // min(k, EDGES) - 1


class _Wanted:
    """Those ranks of a class that come up in one block after another."""

    def __init__(self, n: int) -> None:
        self.ranks = _ranks(n)
        self.start = 0

    def until(self, count: float) -> Integers:
        """The ranks up to `count` that have not come up yet."""
        first, self.start = self.start, int(self.ranks.searchsorted(count, side="right"))
        return self.ranks[first : self.start]


class _State:
    """The sums so far; one walk's own."""

    def __init__(self, n_pos: int, n_neg: int) -> None:
        self.n = n = n_pos + n_neg
        self.wanted = (_Wanted(n_pos), _Wanted(n_neg)) if n > BLOCK else None
        self.count = 0  # positives so far
        self.last = (0, 0)  # positives and examples at the last end of a value
        self.twice_above = 0
        self.squares = self.precision = self.trapezoid = 0.0
        self.values = 0  # values so far
        # Of the places kept, the values up to there; or how many more they are than the examples.
        self.index: list[Integers | int] = []
        self.tp: list[Integers] = []
        self.fp: list[Integers] = []
        size = min(n, BLOCK)
        self.integers = np.arange(size, dtype=np.int64)
        self.floats = np.arange(size, dtype=np.float64)
        self.even = _evenly(BLOCK)
        self.buffers = np.empty((7, size + 1))
        self.running, self.taken = np.empty((2, size), dtype=np.int64)

    def counts(self) -> tuple[Integers, Integers, Flags]:
        """Positives and negatives at the places kept, in order, each once; which are coarse."""
        tp, fp = np.concatenate(self.tp), np.concatenate(self.fp)
        if self.wanted is None:
            return tp, fp, np.zeros(len(tp), dtype=np.bool_)
        index = total = tp + fp
        if self.values < self.n:
            parts = zip(self.tp, self.fp, self.index, strict=True)
            index = np.concatenate(
                [p + n + of if isinstance(of, int) else of for p, n, of in parts]
            )
        order = total.argsort()
        ends = total[order]
        order = order[(ends > 0) & np.append(True, ends[1:] != ends[:-1])]
        return tp[order], fp[order], np.diff(index[order], prepend=0) > 1

    def _even(self, k: int) -> Integers:
        """Those of a block's k ends of values that are kept whatever the examples there."""
        if self.wanted is None:
            return self.integers[:k]
        return self.even if k == BLOCK else _evenly(k)

    def distinct(self, start: int, positive: Flags) -> None:
        at = np.flatnonzero(positive)
        m = len(at)
        base = start - self.count
        # Negatives of this block before each positive.
        above = np.subtract(at, self.integers[:m], out=self.taken[:m])
        ends = self._even(len(positive))
        kept = self.count + at.searchsorted(ends, side="right")
        self.tp.append(kept)
        self.fp.append(start + ends + 1 - kept)
        if self.wanted is not None:
            rank = self.wanted[0].until(self.count + m)
            if len(rank):
                beside = base + above[rank - (self.count + 1)]
                self.tp += (rank - 1, rank)
                self.fp += (beside, beside)
            rank = self.wanted[1].until(base + len(positive) - m)
            if len(rank):
                beside = self.count + above.searchsorted(rank - (base + 1), side="right")
                self.tp += (beside, beside)
                self.fp += (rank - 1, rank)
        self.twice_above += 2 * (int(above.sum()) + m * base)
        tp, total, ratio = (b[:m] for b in self.buffers[:3])
        np.add(above, base, out=total, casting="unsafe")
        # Not a BLAS product: its threads would wait for each other, and change the last bit.
        self.squares += float(np.multiply(total, total, out=ratio).sum())
        np.add(self.floats[:m], self.count + 1, out=tp)
        np.add(total, tp, out=total)
        at_ends = float(np.divide(tp, total, out=ratio).sum())
        # Just before this positive there was one less of it, and as many negatives.
        np.subtract(tp, 1, out=tp)
        np.subtract(total, 1, out=total)
        if m and total[0] == 0:
            tp[0] = total[0] = 1
        self.precision += at_ends
        self.trapezoid += at_ends + float(np.divide(tp, total, out=ratio).sum())
        self.count += m
        self.last = (self.count, start + len(positive))
        self.index += [self.values - start] * (len(self.tp) - len(self.index))
        self.values += len(positive)

    def tied(self, start: int, positive: Flags, ends: Flags) -> None:
        at = np.flatnonzero(ends)
        k = len(at)
        running = np.cumsum(positive, dtype=np.int64, out=self.running[: len(positive)])
        count, self.count = self.count, self.count + int(running[-1])
        if not k:
            return
        tp, total, fp, precision = (b[: k + 1] for b in self.buffers[:4])
        new, twice, product = (b[:k] for b in self.buffers[4:])
        tp[0], total[0] = self.last
        found = running.take(at, out=self.taken[:k], mode="clip")  # other modes copy
        np.add(found, count, out=tp[1:], casting="unsafe")
        np.add(at, start + 1, out=total[1:], casting="unsafe")
        np.subtract(total, tp, out=fp)
        if total[0] == 0:
            tp[0] = total[0] = 1
        np.divide(tp, total, out=precision)
        tp[0] = self.last[0]
        np.subtract(tp[1:], tp[:-1], out=new)
        np.add(fp[1:], fp[:-1], out=twice)
        # Sums of whole numbers far below 2⁵³: exact.
        self.twice_above += int(np.multiply(new, twice, out=product).sum())
        self.squares += 0.25 * float(np.multiply(product, twice, out=product).sum())
        at_ends = float(np.multiply(new, precision[1:], out=product).sum())
        self.precision += at_ends
        self.trapezoid += at_ends + float(np.multiply(new, precision[:-1], out=product).sum())
        places = [self._even(k) + 1]
        for wanted, counted in zip(self.wanted or (), (tp, fp), strict=False):
            after = counted.searchsorted(wanted.until(counted[-1]))
            places += [after - 1, after]
        kept = np.concatenate(places)
        self.index.append(kept + self.values)
        self.values += k
        self.tp.append(tp[kept].astype(np.int64))
        self.fp.append(fp[kept].astype(np.int64))
        self.last = (int(tp[-1]), int(total[-1]))
