"""Accuracy on the line: OOD accuracy against ID accuracy over models, and what rises above it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.evaluation._fits import (
    AXES,
    FEWEST_FOR_INTERVAL,
    RELIABLE,
    Axis,
    adjusted_least_squares,
    axis_named,
    column,
    contrast,
    regress,
    told,
    unit,
)
from shiftbench.statistics import Estimate
from shiftbench.statistics.estimate import critical, normal_interval

__all__ = ["Line", "accuracy_on_the_line", "effective_robustness"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_FEWEST = 3


@dataclass(frozen=True)
class Line:
    """The line of the baseline models.

    Attributes
    ----------
    axes : str
    intercept, slope : Estimate
        On the axes.
    covariance : tuple of two tuples of float
        Of (intercept, slope), cluster-robust; nan with few models.
    df : float
        Degrees of freedom of the slope.
    r2 : float
        On the axes.
    residual_sd : float
        Scatter of the baseline models about the line, on the axes.
    slope_corrected : Estimate or None
        Without the errors that finite ID test sets put into x; None where `n_id` was not given.
    reliability : float or None
        Share of the variance of ID accuracy over models that is not sampling error.
    n, n_clusters : int, int or None
        Baseline models, and independent ones among them.
    n_missing, n_at_ends : int
        Baseline models left out: without an accuracy; at 0 or 1 with no test-set size told.
    baseline : tuple of str
        Names of the models the line was fitted to, where names were given.
    level : float
    """

    axes: str
    intercept: Estimate
    slope: Estimate
    covariance: tuple[tuple[float, float], tuple[float, float]]
    df: float
    r2: float
    residual_sd: float
    slope_corrected: Estimate | None
    reliability: float | None
    n: int
    n_clusters: int | None
    n_missing: int
    n_at_ends: int
    baseline: tuple[str, ...] = ()
    level: float = 0.95

    def predict(self, id_accuracy: Any) -> Floats:
        """The OOD accuracy that the line expects at an ID accuracy; fractions.

        Examples
        --------
        >>> x = [0.5, 0.6, 0.7, 0.8]
        >>> line = accuracy_on_the_line(x, x, baseline="all")
        >>> line.predict([0.9]).round(6).tolist()
        [0.9]
        """
        axis = AXES[self.axes]
        x = np.asarray(id_accuracy, dtype=np.float64)
        _check_fractions("id_accuracy", x)
        with np.errstate(divide="ignore", invalid="ignore"):
            on_axis = self.intercept.value + self.slope.value * axis.forward(x)
        return np.asarray(axis.backward(on_axis), dtype=np.float64)


def accuracy_on_the_line(
    id_accuracy: Any,
    ood_accuracy: Any,
    *,
    baseline: Any,
    models: Sequence[str] | None = None,
    n_id: Any = None,
    n_ood: Any = None,
    clusters: Any = None,
    axes: str = "probit",
    level: float = 0.95,
) -> Line:
    """The least-squares line of OOD accuracy on ID accuracy over a stated baseline set of models.

    Parameters
    ----------
    id_accuracy, ood_accuracy : (n,) array-like of float
        Fractions; nan where a model was not tested (left out and counted).
    baseline : (n,) bool array-like, or names out of `models`, or ``"all"``
        The models that the line is fitted to: those trained on the ID training set alone. There is
        no default, since effective robustness means nothing without it.
    models : sequence of str, optional
        Names; needed where the baseline is given by names.
    n_id, n_ood : int or (n,) array-like of int, optional
        Test examples. With them an accuracy of 0 or 1 has a place on the axes, (k + ½) / (n + 1),
        and the slope is also given without the sampling error of x.
    clusters : (n,) array-like, optional
        Models that are not independent: checkpoints of one run, seeds of one recipe.
    axes : {"probit", "logit", "raw"}
    level : float

    Returns
    -------
    Line

    Raises
    ------
    ConfigurationError
        Percent in place of fractions, unknown names, fewer than 3 baseline models to fit, or all
        of them with one ID accuracy.

    Notes
    -----
    The line is the regression on ID accuracy *as measured*, as in the papers, since that is what a
    model's expected OOD accuracy is read off with. `slope_corrected` is the one to compare with
    theory. CR2 errors by cluster; fewer than 5 independent models: no intervals.

    References
    ----------
    Taori et al. 2020, NeurIPS (effective robustness, baseline set); Miller et al. 2021, ICML
    (probit axes).

    Examples
    --------
    >>> x = [0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.78]
    >>> y = [0.42, 0.46, 0.53, 0.58, 0.64, 0.70, 0.76]
    >>> line = accuracy_on_the_line(x, y, baseline=[True] * 6 + [False])
    >>> line.n, round(line.slope.value, 2), round(line.r2, 3)
    (6, 1.03, 0.998)
    >>> effective_robustness(line, 0.78, 0.76)
    Estimate(0.0839 [0.0788, 0.0890], n=0, line's error only, Student t)
    """
    critical(level)
    axis = axis_named(axes)
    x = column("id_accuracy", id_accuracy)
    y = column("ood_accuracy", ood_accuracy, len(x))
    sizes = {"n_id": _sizes("n_id", n_id, len(x)), "n_ood": _sizes("n_ood", n_ood, len(x))}
    _check_fractions("id_accuracy", x)
    _check_fractions("ood_accuracy", y)
    chosen = _chosen(baseline, models, len(x))
    there = chosen & ~np.isnan(x) & ~np.isnan(y)
    x, y = _off_the_ends(x, sizes["n_id"], axis), _off_the_ends(y, sizes["n_ood"], axis)
    keep = there & axis.has(x) & axis.has(y)
    known, clustered = unit(len(x), clusters, keep)
    n = int(keep.sum())
    if n < _FEWEST:
        raise ConfigurationError(
            f"the baseline has {n} models with both accuracies on {axis.name} axes "
            f"({int(chosen.sum())} named, {int((chosen & ~there).sum())} without an accuracy, "
            f"{int((there & ~keep).sum())} at 0 or 1); a line needs at least {_FEWEST}"
        )
    u, v = axis.forward(x[keep]), axis.forward(y[keep])
    centre = float(u.mean())
    fit = regress(np.stack([np.ones(n), u - centre], axis=1), v)
    if fit is None or float(np.ptp(u)) == 0.0:
        raise ConfigurationError(
            "all baseline models have the same ID accuracy; a line needs different ones"
        )
    # Around the mean of x the two coefficients are told best; the axis' zero is then a contrast.
    weights = {"slope": np.array([0.0, 1.0]), "intercept": np.array([1.0, -centre])}
    why = "the fit is perfect" if fit.perfect else ""
    kind = "CR2 by cluster" if clustered else "HC2"
    said: dict[str, Any] = {
        "level": level,
        "n": n,
        "n_clusters": known.n_clusters,
        "clustered": clustered,
        "why_not": why,
        "method": f"{kind}, Student t (Satterthwaite)",
    }
    numbers = {name: contrast(fit, w, known) for name, w in weights.items()}
    estimates = {name: told(*three, **said) for name, three in numbers.items()}
    around = float(((v - v.mean()) ** 2).sum())
    squares = float(fit.residuals @ fit.residuals)
    corrected, reliability = None, None
    if sizes["n_id"] is not None:
        x_se = np.sqrt(x * (1 - x) / sizes["n_id"])[keep] * axis.slope(x[keep])
        beta, errors, reliability = adjusted_least_squares(u - centre, v, x_se, 1, known)
        low = f"reliability {reliability:.2f} of ID accuracy is too low"
        said["why_not"] = "" if reliability >= RELIABLE else low
        said["method"] = "corrected for errors of x, jackknife, Student t"
        corrected = told(float(beta[1]), float(errors[1]), known.n_clusters - 1, **said)
    units = known.n_clusters if clustered else n
    enough = units >= FEWEST_FOR_INTERVAL and not fit.perfect
    return Line(
        axes=axes,
        intercept=estimates["intercept"],
        slope=estimates["slope"],
        covariance=_covariance(numbers, contrast(fit, sum(weights.values(), np.zeros(2)), known))
        if enough
        else ((math.nan, math.nan), (math.nan, math.nan)),
        df=numbers["slope"][2],
        r2=1 - squares / around if around > 0 else math.nan,
        residual_sd=math.sqrt(squares / (n - 2)),
        slope_corrected=corrected,
        reliability=reliability,
        n=n,
        n_clusters=known.n_clusters if clustered else None,
        n_missing=int((chosen & ~there).sum()),
        n_at_ends=int((there & ~keep).sum()),
        baseline=tuple(str(m) for m, k in zip(models, keep, strict=True) if k) if models else (),
        level=level,
    )


def _covariance(
    numbers: Mapping[str, tuple[float, float, float]], together: tuple[float, float, float]
) -> tuple[tuple[float, float], tuple[float, float]]:
    a, b = numbers["intercept"][1] ** 2, numbers["slope"][1] ** 2
    both = (together[1] ** 2 - a - b) / 2
    return ((a, both), (both, b))


def effective_robustness(
    line: Line,
    id_accuracy: float,
    ood_accuracy: float,
    *,
    n_id: int | None = None,
    n_ood: int | None = None,
    scatter: bool = False,
    level: float | None = None,
) -> Estimate:
    """OOD accuracy of a model minus what the line expects at its ID accuracy.

    Parameters
    ----------
    line : Line
    id_accuracy, ood_accuracy : float
        The model's, as fractions.
    n_id, n_ood : int, optional
        Test examples: the interval then also covers the model's own sampling errors. Without them
        it covers the line's error alone, and says so.
    scatter : bool
        Add the scatter of single models about the line: above 0 then means beyond what a new
        model like the baseline's would show.
    level : float, optional
        The line's, by default.

    Returns
    -------
    Estimate
        A difference of fractions; `n` is n_ood. Delta method on the axes, Student's t with
        Satterthwaite's degrees of freedom.

    Raises
    ------
    ConfigurationError
        The accuracies are not fractions.

    Notes
    -----
    Sampling errors of ID and OOD test set are taken for independent of each other and of the
    line's. Where the baseline models were tested on the same examples the interval is too wide
    rather than too narrow.

    References
    ----------
    Taori et al. 2020, NeurIPS, §2: ρ(f) = acc_OOD(f) − β(acc_ID(f)).

    Examples
    --------
    >>> x = [0.55, 0.6, 0.65, 0.7, 0.75, 0.8]
    >>> line = accuracy_on_the_line(x, [0.4, 0.47, 0.51, 0.57, 0.62, 0.7], baseline="all")
    >>> effective_robustness(line, 0.7, 0.65, n_id=10_000, n_ood=2_000)
    Estimate(0.0800 [0.0551, 0.1049], n=2000, line's error + sampling, Student t)
    """
    level = line.level if level is None else level
    critical(level)
    axis = AXES[line.axes]
    given = np.array([id_accuracy, ood_accuracy], dtype=np.float64)
    if given.shape != (2,):
        raise ConfigurationError("effective_robustness takes one model: two numbers")
    _check_fractions("accuracy", given)
    sizes = [_sizes(name, n, 1) for name, n in (("n_id", n_id), ("n_ood", n_ood))]
    common: dict[str, Any] = {"level": level, "n": n_ood or 0, "n_id": n_id, "n_ood": n_ood}
    common["parameters"] = {"axes": line.axes, "baseline_models": line.n, "scatter": scatter}
    x = float(_off_the_ends(given[:1], sizes[0], axis)[0])
    if math.isnan(given.sum()):
        return Estimate(math.nan, method="cannot tell: an accuracy is missing", **common)
    if not axis.has(np.array([x]))[0]:
        why = f"ID accuracy {x:g} has no place on {line.axes} axes; give n_id"
        return Estimate(math.nan, method=f"cannot tell: {why}", **common)
    u = float(axis.forward(np.array([x]))[0])
    expected = float(axis.backward(np.array([line.intercept.value + line.slope.value * u]))[0])
    value = float(given[1]) - expected
    (a, both), (_, b) = line.covariance
    variance = a + 2 * u * both + u**2 * b
    if math.isnan(variance):
        return Estimate(value, method=f"cannot tell: {line.slope.method}", **common)
    # Each part with its own degrees of freedom; a binomial error is known up to its own size.
    parts = [(max(variance, 0.0), line.df), (line.residual_sd**2 * scatter, float(line.n - 2))]
    sampling = 0.0
    words = ["line's error"] + ["scatter"] * scatter
    if n_id is not None:
        stretch = float(axis.slope(np.array([x]))[0])
        sampling += (line.slope.value * stretch) ** 2 * x * (1 - x) / n_id
    here = float(axis.slope(np.array([expected]))[0]) if 0 < expected < 1 else math.inf
    sampling /= here**2
    if n_ood is not None:
        # At 0 or 1 the plug-in variance is 0 and would claim certainty.
        p = (float(given[1]) * n_ood + 0.5) / (n_ood + 1)
        sampling += p * (1 - p) / n_ood
    estimated = [(v / here**2, df) for v, df in parts]
    variance = sampling + sum(v for v, _ in estimated)
    unsure = sum(v**2 / df for v, df in estimated)
    df = variance**2 / unsure if unsure > 0 else math.inf
    own = {(False, False): "", (True, True): "sampling"}.get(
        (n_id is not None, n_ood is not None), "sampling of one test set"
    )
    words += [own] if own else []
    se = math.sqrt(variance)
    low, high = normal_interval(value, se, level, df)
    method = " + ".join(words) + ("" if len(words) > 1 else " only")
    return Estimate(value, low, high, se=se, method=f"{method}, Student t", **common)


def _check_fractions(name: str, values: Floats) -> None:
    known = values[~np.isnan(values)]
    if len(known) and not (known.min() >= 0 and known.max() <= 1):
        raise ConfigurationError(
            f"{name} lies between {known.min():g} and {known.max():g}, but accuracies are "
            "fractions between 0 and 1; divide percent by 100"
        )


def _sizes(name: str, given: Any, n: int) -> Floats | None:
    if given is None:
        return None
    array = np.asarray(given, dtype=np.float64)
    array = np.full(n, float(array)) if array.ndim == 0 else column(name, array, n)
    if not (array >= 1).all():
        raise ConfigurationError(f"{name} is to be the number of test examples, at least 1")
    return array


def _off_the_ends(values: Floats, sizes: Floats | None, axis: Axis) -> Floats:
    """0 and 1 moved inside where the number of examples is known; the rest as it is."""
    if sizes is None or not axis.bounded:
        return values
    ends = (values == 0) | (values == 1)
    return np.where(ends, (values * sizes + 0.5) / (sizes + 1), values)


def _chosen(baseline: Any, models: Sequence[str] | None, n: int) -> Bools:
    if models is not None and len(models) != n:
        raise ConfigurationError(f"{len(models)} models are named, but there are {n} accuracies")
    if isinstance(baseline, str):
        if baseline != "all":
            raise ConfigurationError(
                f"baseline is {baseline!r}; give a boolean mask, a list of names, or 'all'"
            )
        return np.ones(n, dtype=np.bool_)
    array = np.asarray(baseline)
    if array.dtype == np.bool_:
        if array.shape != (n,):
            raise ConfigurationError(f"the baseline mask has {array.size} entries, not {n}")
        return np.asarray(array, dtype=np.bool_)
    names = [str(name) for name in array.ravel().tolist()]
    if models is None:
        raise ConfigurationError(
            "the baseline is given by names, but models= (the name of each accuracy) is missing"
        )
    unknown = [name for name in names if name not in set(models)]
    if unknown:
        raise ConfigurationError(
            f"{len(unknown)} names of the baseline are no model, such as {unknown[0]!r}: "
            f"{near_names(unknown[0], models)}"
        )
    return np.isin(np.asarray(models, dtype=object), names)
