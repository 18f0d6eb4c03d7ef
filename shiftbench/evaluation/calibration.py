"""Are probabilities what they say? Expected calibration error, with an interval."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation._labels import as_clusters
from shiftbench.statistics import Clusters, Estimate
from shiftbench.statistics.estimate import NAN, critical
from shiftbench.statistics.linearised import mean_variance

__all__ = ["calibration_bins", "calibration_error"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

BINS = ("equal_mass", "equal_width")


def calibration_bins(confidence: Floats, bins: int = 15, kind: str = "equal_mass") -> Codes:
    """The bin of each confidence, from 0.

    Equal mass: bin ⌊bins · (examples below + half of those equal) / n⌋. Equal confidences share a
    bin, so the order of the examples does not matter, and with many ties some bins stay empty.
    Equal width: the bins (0, 1/bins], (1/bins, 2/bins] …, as Guo et al. 2017 have them; 0 is in
    the first.

    Examples
    --------
    >>> calibration_bins(np.array([0.5, 0.9, 0.5, 0.6]), bins=2).tolist()
    [0, 1, 0, 1]
    >>> calibration_bins(np.array([0.5, 0.9, 0.5, 0.6]), bins=2, kind="equal_width").tolist()
    [0, 1, 0, 1]
    """
    if kind not in BINS:
        raise ConfigurationError(f"kind of bins is {kind!r}, but they are one of {list(BINS)}")
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise ConfigurationError(f"bins is {bins!r}, but it is a whole number from 1, such as 15")
    c = np.asarray(confidence, dtype=np.float64)
    if kind == "equal_width":
        wide: Codes = np.ceil(c * bins).astype(np.int64) - 1
        return np.clip(wide, 0, bins - 1)
    ordered = np.sort(c)
    twice = np.searchsorted(ordered, c, "left") + np.searchsorted(ordered, c, "right")
    filled: Codes = twice * bins // (2 * max(len(c), 1))
    return np.minimum(filled, bins - 1)


def calibration_error(
    confidence: Any,
    correct: Any,
    clusters: Any = None,
    *,
    bins: int = 15,
    kind: str = "equal_mass",
    level: float = 0.95,
) -> Estimate:
    """Expected calibration error: Σ over bins of n_b/n · |share correct − mean confidence|.

    Parameters
    ----------
    confidence : (n,) floats in [0, 1]
        Of the class that was predicted (of the finding, where there are several).
    correct : (n,) booleans
        Whether it was right (whether the finding was there).
    clusters : Clusters or (n,) names, optional
    bins : int
        How many bins.
    kind : {"equal_mass", "equal_width"}
    level : float

    Returns
    -------
    Estimate
        `parameters`: bins, bins_filled, kind, and `bias_at_zero`, the value that is expected of a
        perfectly calibrated model with these examples.

    Notes
    -----
    The value is the plug-in, which is biased **upwards**: that of a perfectly calibrated model is
    above 0. A bootstrap is biased once more. The interval is [E − B − q·s, E + q·s], E the
    plug-in, B = √(2/π) Σ n_b/n·s_b its largest bias (s_b the standard error of bin b's gap), s its
    largest standard error, q Student's quantile. It is conservative, and valid whatever the true
    gaps are: |gap + noise| exceeds |gap| in the mean, by at most the mean of |noise|, and varies
    no more than the noise does. It speaks of the calibration error with these bins; with bins that
    are these, divided, it can only be larger.

    References
    ----------
    Naeini et al. 2015, AAAI; Guo et al. 2017, ICML, equation 3 (equal width); Nguyen & O'Connor
    2015, EMNLP (equal mass); the bias: Bröcker 2012, Climate Dynamics 39, and Roelofs et al. 2022,
    AISTATS.

    Examples
    --------
    >>> calibration_error([0.9] * 10 + [0.6] * 10, [True] * 9 + [False] + [True] * 8 + [False] * 2)
    Estimate(0.1000 [0.0000, 0.2891], n=20, bias-bounded, t)
    """
    c = np.asarray(confidence, dtype=np.float64)
    right = np.asarray(correct, dtype=np.float64)
    bad = ~((c >= 0) & (c <= 1))
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise ConfigurationError(
            f"{int(bad.sum())} of {len(c)} confidences are no probability (the first, at position "
            f"{at}, is {c[at]}); they lie between 0 and 1"
        )
    grouped = as_clusters(clusters, len(c))
    k = None if grouped is None else int(np.count_nonzero(grouped.sizes))
    n = len(c)
    code = calibration_bins(c, bins, kind)
    size = np.bincount(code, minlength=bins)
    gap = right - c
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_gap = np.bincount(code, weights=gap, minlength=bins) / size
    mean_gap[size == 0] = 0.0
    parameters: dict[str, Any] = {
        "bins": bins,
        "bins_filled": int(np.count_nonzero(size)),
        "kind": kind,
    }
    if n == 0:
        method = "cannot tell: no examples"
        return Estimate(NAN, level=level, method=method, n_clusters=k, parameters=parameters)
    value = float(np.sum(size * np.abs(mean_gap)) / n)
    if n < 2 or (k == 1):
        method = f"cannot tell: one {'example' if n < 2 else 'cluster'}"
        return Estimate(value, level=level, method=method, n=n, n_clusters=k, parameters=parameters)
    errors, df = _bin_errors(gap, mean_gap, right, code, size, grouped)
    bias = float(np.sqrt(2 / np.pi) * np.sum(size * errors) / n)
    signed = np.sign(mean_gap)[code] * (gap - mean_gap[code])
    together = float(mean_variance(signed, grouped)[0])
    se = float(np.sqrt(max(np.sum((size * errors) ** 2) / n**2, together)))
    width = critical(level, df) * se
    return Estimate(
        value,
        max(value - bias - width, 0.0),
        min(value + width, 1.0),
        level,
        f"{'' if k is None else 'clustered '}bias-bounded, t",
        n=n,
        n_clusters=k,
        se=se,
        parameters=parameters | {"bias_at_zero": bias},
    )


def _bin_errors(
    gap: Floats,
    mean_gap: Floats,
    right: Floats,
    code: Codes,
    size: Codes,
    clusters: Clusters | None,
) -> tuple[Floats, float]:
    """The standard error of each bin's gap, and the degrees of freedom of all."""
    bins, n = len(size), len(gap)
    centred = gap - mean_gap[code]
    with np.errstate(invalid="ignore", divide="ignore"):
        # A bin that is all right (or all wrong) shows no scatter; one of each more is assumed.
        share = (np.bincount(code, weights=right, minlength=bins) + 1) / (size + 2)
        assumed = share * (1 - share) / size
        alone = np.bincount(code, weights=centred**2, minlength=bins) / (size * (size - 1.0))
    variance = np.fmax(alone, assumed)
    df = n - 1.0
    if clusters is not None:
        together = np.zeros(bins)
        # One bin at a time: a table of all clusters × bins could be larger than the examples.
        for b in range(bins):
            inside = code == b
            sums = np.bincount(clusters.codes[inside], weights=centred[inside])
            counts = np.bincount(clusters.codes[inside])
            some = counts > 0
            if some.sum() > 1:
                leverage = 1 - counts[some] / size[b]
                together[b] = np.sum(sums[some] ** 2 / leverage) / size[b] ** 2
            elif some.any():  # one cluster: as if it were one example
                together[b] = share[b] * (1 - share[b])
        variance = np.fmax(variance, together)
        df = float(mean_variance(centred, clusters)[1])
    return np.sqrt(np.where(size > 0, variance, 0.0)), df
