"""Each number of the OOD report, and of a difference of two, as an Estimate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from shiftbench.evaluation._influences import (
    average_precision_influence,
    partial_area,
    partial_influence,
    perfect_limit,
    tied_area_limits,
    tied_limits,
    wrong_limits,
)
from shiftbench.evaluation._ranked import Influence, Ranked
from shiftbench.evaluation._rates import best_limits, fpr_limits, rank_at
from shiftbench.statistics import Estimate
from shiftbench.statistics.delong import (
    Spread,
    auroc_influence,
    auroc_limits,
    logit_limits,
    p_value,
    quantile,
    two_sample_spread,
)
from shiftbench.statistics.estimate import NAN

__all__ = ["Report", "difference"]


class Report:
    """One estimate after another, from scores that are in order."""

    def __init__(self, scores: Ranked, level: float) -> None:
        self.scores = scores
        self.level = level
        self.auroc_spread = scores.auroc_spread()

    def estimate(
        self, value: float, bounds: tuple[float, float], method: str, positive: str,
        se: float = NAN, **parameters: Any,
    ) -> Estimate:  # fmt: skip
        spread = self.auroc_spread
        if spread.across:
            parameters["clusters_across"] = spread.across
        if math.isnan(bounds[0]):
            se = NAN
        return Estimate(
            value, *bounds, self.level, method, n=self.scores.n_id + self.scores.n_ood,
            n_clusters=spread.n_clusters, n_id=self.scores.n_id, n_ood=self.scores.n_ood,
            positive=positive, se=se, parameters=parameters,
        )  # fmt: skip

    @property
    def _prefix(self) -> str:
        return "" if self.scores.clusters is None else "clustered "

    def auroc(self) -> Estimate:
        spread = self.auroc_spread
        low, high, method = auroc_limits(
            self.scores.auroc, spread, self.level, constant=self.scores.constant
        )
        se = spread.se if spread.variance > 0 else NAN
        return self.estimate(self.scores.auroc, (low, high), method, "ood", se)

    def _smooth(
        self, value: float, spread: Spread, positive: str,
        exact: tuple[float, float] | None, **parameters: Any,
    ) -> Estimate:  # fmt: skip
        """On the logit scale from influences; `exact` are bounds where no influence tells any."""
        if exact is not None and spread.n_clusters != 1:
            # The least a value can be may differ from it in the last bit.
            held = min(exact[0], value), max(exact[1], value)
            method = f"{self._prefix}exact"
            return self.estimate(value, held, method, positive, NAN, **parameters)
        bounds = logit_limits(value, spread.se, self.level, spread.df)
        if math.isnan(bounds[0]):
            why = spread.unknown or "cannot tell: the value is 0"
            return self.estimate(value, bounds, why, positive, NAN, **parameters)
        method = f"{self._prefix}influence function, logit, t"
        return self.estimate(value, bounds, method, positive, spread.se, **parameters)

    def _sizes(self, positive: str) -> tuple[int, int, float]:
        """Units of the positives and of the negatives, and negatives for each positive."""
        units = self.auroc_spread.units
        sizes = (self.scores.n_id, self.scores.n_ood)
        if positive == "ood":
            return units[1], units[0], sizes[0] / sizes[1]
        return units[0], units[1], sizes[1] / sizes[0]

    def _exact_aupr(self, positive: str, trapezoid: bool) -> tuple[float, float] | None:
        """Bounds where all scores are equal, or one class lies above the other."""
        sizes = self._sizes(positive)
        if self.scores.constant:
            return tied_limits(*sizes, self.level, trapezoid=trapezoid)
        if self.scores.auroc == 0:
            return wrong_limits(*sizes, self.level, trapezoid=trapezoid)
        if self.scores.auroc == 1:
            return perfect_limit(*sizes, self.level)[2], 1.0
        return None

    def aupr(self, positive: str, trapezoid: bool) -> Estimate:
        walk = self.scores.walks[positive]
        if trapezoid:
            value = walk.trapezoid_sum / 2 / walk.n_pos
        else:
            value = walk.precision_sum / walk.n_pos
        coarse = walk.coarse if self.scores.clusters is None else None
        influence = partial(average_precision_influence, trapezoid=trapezoid, coarse=coarse)
        spread = self.scores.spread(positive, influence)
        exact = self._exact_aupr(positive, trapezoid)
        return self._smooth(min(value, 1.0), spread, positive, exact)

    def fpr_at(self, positive: str, tpr: float) -> Estimate:
        walk = self.scores.walks[positive]
        flagged = walk.flagged(rank_at(tpr, walk.n_pos))
        bounds = fpr_limits(walk, tpr, flagged, *self.scores.units(positive), self.level)
        method = f"{self._prefix}order statistics and Wilson"
        if math.isnan(bounds[0]):
            method = self.auroc_spread.unknown
        return self.estimate(flagged[1] / walk.n_neg, bounds, method, positive, tpr=tpr)

    def detection_error(self) -> Estimate:
        walk = self.scores.walks["ood"]
        optima = walk.optima()
        tp, fp = int(optima[0][0]), int(optima[1][0])
        value = (fp * walk.n_pos + (walk.n_pos - tp) * walk.n_neg) / (2 * walk.n_pos * walk.n_neg)
        bounds = best_limits(optima, *self.scores.units("ood"), self.level)
        method = f"{self._prefix}Wilson at the best threshold"
        if math.isnan(bounds[0]):
            method = self.auroc_spread.unknown
        return self.estimate(value, bounds, method, "ood")

    def partial(self, limit: float, form: str) -> Estimate:
        counts = self.scores.counts("ood")
        area = partial_area(*counts, limit)
        if area >= limit * (1 - 1e-12):  # all of it, but for rounding
            area = limit
        least = limit * limit / 2 if form == "mcclish" else 0.0
        value = (area - least) / (limit - least)
        scale = 1 / (limit - least)
        exact = self._exact_partial(limit, area)
        if exact is not None:
            exact = ((exact[0] - least) * scale, (exact[1] - least) * scale)
        if form == "mcclish":
            value, scale = (1 + value) / 2, scale / 2
            exact = None if exact is None else ((1 + exact[0]) / 2, (1 + exact[1]) / 2)
        spread = self.scores.spread(
            "ood", lambda tp, fp: partial_influence(tp, fp, limit), every=True
        )
        scaled = Spread(
            spread.variance * scale * scale,
            spread.df,
            spread.n_clusters,
            spread.units,
            spread.across,
        )
        return self._smooth(value, scaled, "ood", exact, max_fpr=limit)

    def _exact_partial(self, limit: float, area: float) -> tuple[float, float] | None:
        """Bounds of the area itself where no influence tells any, as for the AUPR."""
        n_pos, n_neg, odds = self._sizes("ood")
        if self.scores.constant:
            return tied_area_limits(n_pos, n_neg, self.level, limit)
        if area == limit:
            fpr, tpr, _ = perfect_limit(n_pos, n_neg, odds, self.level)
            return max(tpr * (limit - fpr), 0.0), limit
        if self.scores.auroc == 0:
            # As `wrong_limits`: up to an FPR of r the TPR is at most f.
            first, caught, _ = perfect_limit(n_neg, n_pos, odds, self.level)
            return 0.0, first * min(limit, caught) + max(limit - caught, 0.0)
        return None


def difference(
    a: Ranked, b: Ranked, value: float, positive: str, influence: Influence, level: float
) -> Estimate:
    """a − b in one metric: paired, from the differences of the examples' influences."""
    first, second = a.influences(positive, influence), b.influences(positive, influence)
    spread = two_sample_spread(first[0] - second[0], first[1] - second[1], a.clusters)
    bounds, method, se = (NAN, NAN), spread.unknown, NAN
    if spread.variance > 0:
        width = quantile(level, spread.df) * spread.se
        bounds, se = (max(value - width, -1.0), min(value + width, 1.0)), spread.se
        kind = "DeLong" if influence is auroc_influence else "influence function"
        method = f"{'' if a.clusters is None else 'clustered '}paired {kind}, t"
    parameters: Mapping[str, Any] = {"clusters_across": spread.across} if spread.across else {}
    return Estimate(
        value, *bounds, level, method, n=a.n_id + a.n_ood, n_clusters=spread.n_clusters,
        n_id=a.n_id, n_ood=a.n_ood, positive=positive, se=se,
        p_value=p_value(value, spread), parameters=parameters,
    )  # fmt: skip
