"""How well a score tells OOD from ID: one report, every number with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation._influences import average_precision_influence
from shiftbench.evaluation._ranked import ranked
from shiftbench.evaluation._report import Report, difference
from shiftbench.evaluation._scores import POSITIVE, level_of, shares_of, tag
from shiftbench.evaluation.points import pr_points, roc_points
from shiftbench.statistics import Estimate
from shiftbench.statistics.delong import auroc_influence

__all__ = ["ood", "ood_difference", "pr_points", "roc_points"]


def ood(
    id_scores: ArrayLike,
    ood_scores: ArrayLike,
    clusters: Any = None,
    *,
    score_is: str = "ood",
    level: float = 0.95,
    tpr: float | Sequence[float] = (0.95,),
    max_fpr: float | Sequence[float] | None = None,
) -> dict[str, Estimate]:
    r"""Report how well scores tell OOD from ID examples.

    A score is higher for more OOD. With :math:`n_0` ID scores x and :math:`n_1` OOD scores y, and
    for the OOD class TPR(t) = share of y ≥ t and FPR(t) = share of x ≥ t (for the ID class the
    shares of x ≤ t and of y ≤ t), over the distinct values t of all scores:

    ``auroc``
        :math:`\frac{1}{n_0 n_1}\sum_{i,j} [x_i < y_j] + \tfrac12 [x_i = y_j]`, exact. Logit DeLong.
    ``aupr_ood``, ``aupr_id``
        Average precision :math:`\sum_t \Delta\mathrm{TPR}(t)\,P(t)`, P the precision at t; the
        named class is positive. It depends on the ratio of the classes: n_id and n_ood are stored.
    ``aupr_trapezoid_ood``, ``aupr_trapezoid_id``
        The trapezoid over scikit-learn's precision–recall curve, which OpenOOD and pytorch-ood
        give: optimistic, and about ½ for a constant score whatever the ratio of the classes.
    ``fpr_at_95tpr_id``
        OOD accepted where 95 % of ID is kept (ID is positive): what most papers mean.
    ``fpr_at_95tpr_ood``
        ID flagged where 95 % of OOD is found (OOD is positive): OpenOOD 1.5. Both at the first
        point of the full ROC whose TPR reaches 0.95, without interpolation.
    ``detection_error``
        :math:`\min_t \tfrac12(\mathrm{FPR}(t) + \mathrm{FNR}(t))`, equal priors; flagging nothing
        is allowed, so that it is at most ½.
    ``auroc_to_fpr_0_1_share``, ``auroc_to_fpr_0_1_mcclish``
        For ``max_fpr=0.1``: area A under the ROC up to FPR 0.1, as a share of 0.1; and McClish's
        :math:`\tfrac12(1 + (A - m)/(0.1 - m))`, m = 0.1²/2 (scikit-learn's ``max_fpr``).

    Parameters
    ----------
    id_scores, ood_scores : (n_id,), (n_ood,) array_like
        ±inf is legal and ranks at the end.
    clusters : optional
        Which examples are not independent: the pair (names of ID, names of OOD), or one array for
        ID and then OOD. A name in both is one cluster.
    score_is : {"ood", "confidence"}
        ``"confidence"``: higher is more ID; the scores are negated.
    level : float
        Of each interval by itself.
    tpr : float or several
        TPRs in (0, 1] at which the FPR is wanted; the names change with them.
    max_fpr : float or several, optional
        Limits in (0, 1] of partial areas.

    Returns
    -------
    dict of str to Estimate
        In the order above; each with `positive`, n, n_id and n_ood, and n_clusters with clusters.

    Raises
    ------
    ConfigurationError
        NaN (how many, and where the first is), an empty sample, clusters of another length, an
        argument out of its range.

    Warns
    -----
    UserWarning
        Clusters lie in both samples; ``parameters["clusters_across"]`` counts them.

    Assumptions
    -----------
    Examples (clusters) are independent, and the ratio n_id : n_ood is given. The variances of the
    AUPR are those of some thousands of thresholds where there are more than 32,768 scores without
    clusters (standard errors within 2 %, or 10⁻⁶, of those of all); the values are exact.

    Notes
    -----
    Intervals: `auroc` on the logit scale from DeLong's variance, with clusters Obuchowski's, and
    Student's t with the degrees of freedom that the kurtosis of the placements leaves
    (`shiftbench.statistics.delong`); where it is 0 or 1, an exact one. AUPR and partial areas:
    influence functions, the logit scale, the same t; where all scores are equal, or all of one
    class lie above the other, exact bounds, which are wide. FPR at a TPR: distribution-free, from
    order statistics and Wilson's interval (MOVER). Below 72 positives no upper bound of the FPR at
    95 % TPR is known: it is 1. Detection error: Wilson's intervals at its own threshold; the upper
    bound is wider, for the threshold was chosen on the same data. Of several thresholds with the
    least error, the lowest and the highest bound count.

    In simulations of normal scores (AUROC 0.5 to 0.99, n = 50 and 200, clusters of 1 to 10) all
    95 % intervals cover at least 93 %, but for a partial area with five ID examples within its
    limit (92 %; 87 % with clusters of 5). Exponential scores at AUROC 0.99 with 200 ID and 50 OOD
    examples: `auroc` 88 %, `aupr_id` 83 %, for the few examples that matter are seldom met.

    References
    ----------
    DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44, 837–845. Obuchowski 1997, Biometrics 53,
    567–578. Qin & Hotilovac 2008, Statistical Methods in Medical Research 17, 207–221 (logit).
    Zou & Donner 2008, Statistics in Medicine 27, 1693–1702 (MOVER). McClish 1989, Medical
    Decision Making 9, 190–195. Hendrycks & Gimpel 2017, ICLR; Liang, Li & Srikant 2018, ICLR.

    Examples
    --------
    >>> found = ood([0.1, 0.2, 0.3, 0.4], [0.35, 0.6, 0.7, 0.8])
    >>> found["auroc"].value, found["fpr_at_95tpr_id"].value, found["fpr_at_95tpr_ood"].value
    (0.9375, 0.25, 0.25)
    >>> list(found)[:5]
    ['auroc', 'aupr_ood', 'aupr_id', 'aupr_trapezoid_ood', 'aupr_trapezoid_id']
    >>> ood([0.1, 0.2], [float("nan"), 0.3])
    Traceback (most recent call last):
    shiftbench.errors.ConfigurationError: ood_scores: 1 of 2 scores are NaN (the first is at ...
    """
    level_of(level)
    rates = shares_of(tpr, "tpr")
    limits = [] if max_fpr is None else shares_of(max_fpr, "max_fpr")
    scores = ranked(id_scores, ood_scores, clusters, score_is, keep=bool(limits))
    report = Report(scores, level)
    found = {"auroc": report.auroc()}
    for trapezoid in (False, True):
        for positive in POSITIVE:
            name = f"aupr{'_trapezoid' if trapezoid else ''}_{positive}"
            found[name] = report.aupr(positive, trapezoid)
    for rate in rates:
        for positive in ("id", "ood"):
            found[f"fpr_at_{tag(rate, 100)}tpr_{positive}"] = report.fpr_at(positive, rate)
    found["detection_error"] = report.detection_error()
    for limit in limits:
        for form in ("share", "mcclish"):
            found[f"auroc_to_fpr_{tag(limit)}_{form}"] = report.partial(limit, form)
    return found


def ood_difference(
    id_scores_a: ArrayLike,
    ood_scores_a: ArrayLike,
    id_scores_b: ArrayLike,
    ood_scores_b: ArrayLike,
    clusters: Any = None,
    *,
    score_is: str | tuple[str, str] = "ood",
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Compare two detectors on the same examples: a − b, paired.

    Parameters
    ----------
    id_scores_a, ood_scores_a : (n_id,), (n_ood,) array_like
        Of the first detector, higher for more OOD.
    id_scores_b, ood_scores_b : (n_id,), (n_ood,) array_like
        Of the second, for the same examples in the same order.
    clusters, level
        As in `ood`.
    score_is : str or pair of str
        As in `ood`; a pair where the detectors differ.

    Returns
    -------
    dict of str to Estimate
        ``auroc``, ``aupr_ood``, ``aupr_id``: differences, with `p_value` for no difference.

    Raises
    ------
    ConfigurationError
        As `ood`; or the detectors scored different numbers of examples.

    Assumptions
    -----------
    As `ood`. Student's t on the plain scale; the p-value is two-sided. Of no use where both
    detectors are perfect.

    References
    ----------
    DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44, 837–845, section 3; Obuchowski 1997,
    Biometrics 53, 567–578.

    Examples
    --------
    >>> found = ood_difference([1, 2, 3, 4], [3, 5, 6, 7], [1, 2, 3, 4], [1, 2, 6, 7])
    >>> round(found["auroc"].value, 4), round(found["auroc"].p_value, 3)
    (0.2812, 0.187)
    """
    level_of(level)
    if isinstance(score_is, tuple | list) and len(score_is) != 2:
        raise ConfigurationError(
            f"score_is is {score_is!r}, but of two detectors it is one word or a pair of words, "
            "'ood' or 'confidence'"
        )
    kinds = tuple(score_is) if isinstance(score_is, tuple | list) else (score_is, score_is)
    a = ranked(id_scores_a, ood_scores_a, clusters, kinds[0], keep=True)
    b = ranked(id_scores_b, ood_scores_b, None, kinds[1], keep=True)
    sizes = (b.n_id, b.n_ood)
    if sizes != (a.n_id, a.n_ood):
        raise ConfigurationError(
            f"the detectors scored {a.n_id} and {sizes[0]} ID, {a.n_ood} and {sizes[1]} OOD "
            "examples; a paired comparison needs the same ones in the same order"
        )
    found = {"auroc": difference(a, b, a.auroc - b.auroc, "ood", auroc_influence, level)}
    for positive in POSITIVE:
        walks = (a.walks[positive], b.walks[positive])
        value = (walks[0].precision_sum - walks[1].precision_sum) / walks[0].n_pos
        found[f"aupr_{positive}"] = difference(
            a, b, value, positive, average_precision_influence, level
        )
    return found
