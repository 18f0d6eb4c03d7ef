"""How far each score moves a metric of the precision–recall or the ROC curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "average_precision_influence",
    "partial_area",
    "partial_influence",
    "perfect_limit",
    "tied_area_limits",
    "tied_limits",
    "wrong_limits",
]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]


def average_precision_influence(
    tp: Counts, fp: Counts, *, trapezoid: bool = False, coarse: Flags | None = None
) -> tuple[Floats, Floats]:
    """Influence of a positive, and of a negative, at each value, but for a constant.

    `tp` and `fp` count positives and negatives at or beyond each value. With R and Q the shares of
    positives and negatives there, average precision is Σ ΔR_g P_g, P = n₊R / (n₊R + n₋Q) at the
    sample's own ratio of classes. A positive at value h raises R_g for all g ≥ h: its influence
    is the sum of ∂/∂R_g over those g. A value that is `coarse` stands for several: the precision of
    its positives is taken to be the mean of those at its two ends.
    """
    n_pos, n_neg = float(tp[-1]), float(fp[-1])
    total = (tp + fp).astype(np.float64)
    precision = tp / total
    share = np.diff(tp, prepend=0) / n_pos
    if trapezoid:
        height = 0.5 * (precision + np.append(1.0, precision[:-1]))
        weight = 0.5 * (share + np.append(share[1:], 0.0))
    elif coarse is not None:
        half = 0.5 * coarse
        height = precision + half * (np.append(1.0, precision[:-1]) - precision)
        half *= share
        weight = share - half
        weight[:-1] += half[1:]
    else:
        height, weight = precision, share
    # ∂/∂R_g at fixed P is P_g − P_{g+1}, which telescopes to the height at h; the rest follows P.
    by_recall = weight * (n_pos * fp) / (total * total)
    by_fpr = -weight * (n_neg * tp) / (total * total)
    return height + _from_here(by_recall), _from_here(by_fpr)


def _from_here(values: Floats) -> Floats:
    return np.cumsum(values[::-1])[::-1]


def partial_area(tp: Counts, fp: Counts, max_fpr: float) -> float:
    """∫ TPR dFPR from 0 to `max_fpr`, the ROC's points joined by straight lines."""
    fpr, tpr = np.append(0, fp) / fp[-1], np.append(0, tp) / tp[-1]
    stop = int(np.searchsorted(fpr, max_fpr, side="right"))
    x, y = fpr[:stop], tpr[:stop]
    if stop < len(fpr):
        x = np.append(x, max_fpr)
        y = np.append(y, np.interp(max_fpr, fpr[stop - 1 : stop + 1], tpr[stop - 1 : stop + 1]))
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1])) / 2)


def partial_influence(tp: Counts, fp: Counts, max_fpr: float) -> tuple[Floats, Floats]:
    """Influence on the area up to `max_fpr` of a positive, and of a negative, at each value.

    As for average precision: the sum, over all points at or after a value, of the area's
    derivatives by a point's TPR and by its FPR. The last piece, from (f, r) towards (f′, r′), is
    w·r + (r′ − r)·w²/(2(f′ − f)) with w = max_fpr − f.
    """
    fpr, tpr = np.append(0, fp) / fp[-1], np.append(0, tp) / tp[-1]
    inside = int(np.searchsorted(fpr, max_fpr, side="right")) - 1
    by_tpr, by_fpr = np.zeros(len(fpr)), np.zeros(len(fpr))
    step, height = np.diff(fpr[: inside + 1]), tpr[1 : inside + 1] + tpr[:inside]
    by_tpr[1 : inside + 1] += step / 2
    by_tpr[:inside] += step / 2
    by_fpr[1 : inside + 1] += height / 2
    by_fpr[:inside] -= height / 2
    if inside + 1 < len(fpr):
        width, rise = max_fpr - fpr[inside], tpr[inside + 1] - tpr[inside]
        share = width / (fpr[inside + 1] - fpr[inside])
        by_tpr[inside] += width * (1 - share / 2)
        by_tpr[inside + 1] += width * share / 2
        by_fpr[inside] += -tpr[inside] - rise * share + rise * share * share / 2
        by_fpr[inside + 1] -= rise * share * share / 2
    return _from_here(by_tpr)[1:], _from_here(by_fpr)[1:]


def perfect_limit(n_pos: int, n_neg: int, odds: float, level: float) -> tuple[float, float, float]:
    """What perfect separation shows: bounds of an FPR, of the TPR there, and of the AUPR.

    With a/4 for each: let t be where the FPR is f = 1 − (a/4)^(1/n₋); some negative lies above t
    but for a/4. Let u be where the TPR is r = (a/4)^(1/n₊); some positive lies below u but for
    a/4. Where all positives lie above all negatives u is then above t, and so the TPR at t is r at
    least. The least AUPR of such a curve: precision n₊v/(n₊v + n₋f) for recalls v up to r, and
    n₊v/(n₊v + n₋) beyond. `odds` is n₋/n₊ of the examples where n_pos and n_neg are clusters.
    """
    quarter = (1 - level) / 4
    fpr, tpr = 1 - quarter ** (1 / n_neg), quarter ** (1 / n_pos)
    inner = odds * fpr
    area = tpr - inner * np.log1p(tpr / inner)
    area += (1 - odds * np.log(1 + odds)) - (tpr - odds * np.log(tpr + odds))
    return float(fpr), float(tpr), float(area)


def wrong_limits(
    n_pos: int, n_neg: int, odds: float, level: float, *, trapezoid: bool = False
) -> tuple[float, float]:
    """Bounds of the AUPR where all positives lie below all negatives.

    As in `perfect_limit`, with the classes exchanged: but for a/2 there is a threshold with a share
    of at least r = (a/4)^(1/n₋) of the negatives above it, and of at most f = 1 − (a/4)^(1/n₊) of
    the positives. Those have a precision of 1 at most, the others one of 1/(1 + odds·r). No AUPR is
    less than where all negatives come first: ∫ v/(v + odds) over recalls v, or, for the trapezoid,
    with all positives tied behind them, half the precision of flagging all.
    """
    quarter = (1 - level) / 4
    caught, first = quarter ** (1 / n_neg), 1 - quarter ** (1 / n_pos)
    least = 0.5 / (1 + odds) if trapezoid else 1 - odds * np.log1p(1 / odds)
    return float(max(least, 0.0)), float(first + (1 - first) / (1 + odds * caught))


def tied_limits(
    n_pos: int, n_neg: int, odds: float, level: float, *, trapezoid: bool = False
) -> tuple[float, float]:
    """Bounds of the AUPR where all scores are equal.

    That all of n scores take a value of which a share below c = (a/2)^(1/(n − 1)) of the class has
    is less likely than a/2: Σ pⁿ over such values is at most cⁿ⁻¹. So shares of at least c₊ and c₋
    lie at one value but for a. At worst all other negatives come first and all other positives
    last, at best the other way round; the trapezoid takes the mean with the precision before the
    value, which may be 0 or 1.
    """
    positives, negatives = _tied(n_pos, level), _tied(n_neg, level)
    worst = positives / (positives + odds)
    best = 1 / (1 + odds * negatives)
    if trapezoid:
        worst, best = worst / 2, (1 + best) / 2
    return worst, (1 - positives) + positives * best


def tied_area_limits(n_pos: int, n_neg: int, level: float, max_fpr: float) -> tuple[float, float]:
    """Bounds of the area under the ROC up to `max_fpr` where all scores are equal.

    With the shares of `tied_limits`: the line across the value starts at worst where all other
    negatives are flagged, and at best where all other positives are.
    """
    positives, negatives = _tied(n_pos, level), _tied(n_neg, level)
    inside, along = max(max_fpr - (1 - negatives), 0.0), min(max_fpr, negatives)
    low = positives * inside * inside / (2 * negatives) if negatives else 0.0
    line = along * along / (2 * negatives) if negatives else 0.0
    return low, (1 - positives) * max_fpr + positives * (line + max_fpr - along)


def _tied(n: int, level: float) -> float:
    return float(((1 - level) / 2) ** (1 / (n - 1))) if n > 1 else 0.0
