"""The classifier two-sample test: how well held-out examples can be told apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.basis import Basis, folds_of_clusters, pooled_basis
from shiftbench.distances.overlap import auc_of_folds
from shiftbench.distances.samples import Samples
from shiftbench.distances.shift import Distance, Shift
from shiftbench.errors import ConfigurationError, near_names
from shiftbench.statistics.delong import Spread, auroc_limits
from shiftbench.statistics.permutation import permutation_p_values

__all__ = ["C2ST", "NAMED", "c2st"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Scorer = Callable[[Floats], Floats]
"""From (n, b) labels, 1 = target, to (n, b) scores of held-out rows; higher = target."""

NAMED = ("ridge", "logistic", "forest", "boosting")
REFITS = 99
"""Permutations at most for a classifier that has to be fitted anew for each."""
LANDMARKS, LINEAR = 500, 1000
CELLS = 100_000_000
"""Features held at a time, so that 100,000 examples fit into memory."""
PENALTY = 0.01
SHARE = 0.3  # of the linear features beside the kernel's: they see a mean, and cost little else
_DIGITS = 9  # scores that differ by less are a tie that rounding broke


def c2st(
    samples: Samples,
    *,
    n_permutations: int,
    level: float,
    seed: int,
    classifier: Any = "ridge",
    folds: int = 5,
) -> Shift:
    """AUC of a cross-fitted classifier that tells the target from the source; 0.5 = no shift.

    Folds are of whole clusters, drawn whichever side they are on. AUCs are taken inside folds and
    averaged, weighted by their pairs, as scores of different models do not compare.

    Parameters
    ----------
    samples : Samples
    n_permutations : int
        Of the sides, each with all classifiers fitted anew: by one matrix product for ``ridge``;
        at most 99 for the others. The p-value is exact, whatever the classifier.
    level : float
    seed : int
    classifier : str or scikit-learn classifier
        ``ridge`` (regression of the sides on linear and Gaussian-kernel features), ``logistic``,
        ``forest``, ``boosting``, or any object with `fit` and `predict_proba` or
        `decision_function`, which is cloned.
    folds : int
        2 and above.

    Returns
    -------
    Shift
        nan where no fold has examples of both sides.

    Raises
    ------
    ConfigurationError
        No such classifier, or fewer than two folds.

    Notes
    -----
    The value estimates the expected AUC of this classifier trained on (folds − 1)/folds of so many
    examples, which is at most that of the best classifier: no AUC near 0.5 proves that nothing
    shifted. By chance it may fall below 0.5.

    The interval is Student's on the logit scale with twice DeLong's variance. In cross-fitting
    each pair of examples tells of the value twice, once as test and training and once as training
    and test, so that with no shift the variance is twice what it would be were the models fixed
    (the value is then a degenerate U-statistic); it is less than that away from 0.5, where the
    interval is conservative.

    References
    ----------
    Lopez-Paz & Oquab, "Revisiting classifier two-sample tests", ICLR 2017; Kim, Ramdas, Singh &
    Wasserman, Ann. Stat. 49 (2021); what cross-validation estimates: Bates, Hastie & Tibshirani,
    JASA 119 (2024); Phipson & Smyth (2010).

    Examples
    --------
    >>> from shiftbench.distances.samples import two_samples
    >>> x, y = np.random.default_rng(0).normal(size=(2, 60, 3))
    >>> found = c2st(two_samples(x, y + 1, takes="features"), n_permutations=99, level=0.95, seed=0)
    >>> found.value > 0.75, found.low > 0.5, found.p_value
    (True, True, 0.01)
    """
    if isinstance(folds, bool) or not isinstance(folds, int) or folds < 2:
        raise ConfigurationError(f"folds is {folds!r}; allowed: whole numbers from 2")
    fold = folds_of_clusters(samples, folds, seed)
    name, scorer = _scorer(classifier, samples, fold, seed)
    target = (~samples.is_source).astype(np.float64)
    scores = scorer(target[:, None])
    value, spread = auc_of_folds(scores[:, 0], samples, fold)
    parameters: dict[str, Any] = {"classifier": name, "folds": folds}
    if math.isnan(value):
        told = f"cannot tell: none of {folds} folds of clusters has examples of both sides"
        return Shift(value, method=told, parameters=parameters)
    doubled = Spread(2 * spread.variance, spread.df, spread.n_clusters, spread.units, spread.across)
    low, high, method = auroc_limits(value, doubled, level, constant=bool(np.ptp(scores) == 0))
    method = _told(method, samples)
    p_value = None
    if n_permutations:
        asked = n_permutations if name == "ridge" else min(n_permutations, REFITS)
        blocks, count, exact = samples.relabelings(asked, seed)
        permuted = np.concatenate([_permuted(b, samples, fold, scorer) for b in blocks])
        # The observed value is made as the permuted ones are, so that equal ones are equal.
        observed = _aucs(scores, target[:, None], fold)
        p_value = float(permutation_p_values(observed, permuted[:, None], exact=exact)[0])
        parameters |= {"permutations": count, "exact": exact}
    return Shift(value, low, high, level, method, p_value, se=doubled.se, parameters=parameters)


C2ST = Distance(
    name="c2st",
    kind="covariate",
    takes="features",
    compute=c2st,
    summary="AUC of a cross-fitted classifier of the two sides",
    symmetric=True,
    same=0.5,
    bounds=(0.5, 1.0),
    fewest=5,
)


def _told(method: str, samples: Samples) -> str:
    if method.startswith("cannot tell"):
        if min(samples.n_clusters) < 2:
            return "cannot tell: one cluster on a side"
        return "cannot tell: no spread among the examples"
    return method.replace("DeLong", "DeLong with twice the variance for cross-fitting")


def _scorer(classifier: Any, samples: Samples, fold: Codes, seed: int) -> tuple[str, Scorer]:
    if classifier == "ridge":
        n = len(samples.clusters)
        budget = max(CELLS // n, 100)
        basis = pooled_basis(
            samples, min(LANDMARKS, budget // 2), seed, linear=min(LINEAR, budget // 2)
        )
        return "ridge", _ridge(basis, fold)
    if isinstance(classifier, str):
        if classifier not in NAMED:
            raise ConfigurationError(
                f"no classifier is called {classifier!r}; {near_names(classifier, NAMED)}; or "
                "give a scikit-learn classifier"
            )
        return classifier, _refitted(_made(classifier, seed), samples.features, fold, seed)
    scores = any(hasattr(classifier, n) for n in ("predict_proba", "decision_function"))
    if isinstance(classifier, type) or not hasattr(classifier, "fit") or not scores:
        raise ConfigurationError(
            f"classifier is {classifier!r}, which is not an object with fit and predict_proba or "
            f"decision_function; give one, or a name: {', '.join(NAMED)}"
        )
    return str(classifier), _refitted(classifier, samples.features, fold, seed)


def _ridge(basis: Basis, fold: Codes) -> Scorer:
    """Scores are linear in the labels, with the same matrix for all permutations."""
    from scipy.linalg import cho_factor, cho_solve

    x = np.hstack([basis.kernel, SHARE * basis.linear])
    rows = [np.flatnonzero(fold == k) for k in range(int(fold.max()) + 1)]
    middle = x.mean(axis=0)
    x = x - middle  # keeps the digits of the difference of sums below
    grams, sums = [x[r].T @ x[r] for r in rows], [x[r].sum(axis=0) for r in rows]
    gram, total = np.sum(grams, axis=0), np.sum(sums, axis=0)
    models = []
    for r, own, own_sum in zip(rows, grams, sums, strict=True):
        n = max(len(x) - len(r), 1)
        mean = (total - own_sum) / n
        g = gram - own - n * np.outer(mean, mean)
        g[np.diag_indices_from(g)] += PENALTY * n
        models.append((mean, cho_factor(g)))

    def score(labels: Floats) -> Floats:
        products = [x[r].T @ labels[r] for r in rows]
        everything, ones = np.sum(products, axis=0), labels.sum(axis=0)
        found = np.empty(labels.shape)
        for r, own, (mean, factor) in zip(rows, products, models, strict=True):
            right = everything - own - np.outer(mean, ones - labels[r].sum(axis=0))
            found[r] = (x[r] - mean) @ cho_solve(factor, right)
        return np.asarray(np.round(found, _DIGITS))

    return score


def _made(name: str, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if name == "logistic":
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    if name == "forest":
        return RandomForestClassifier(n_estimators=50, min_samples_leaf=5, random_state=seed)
    return HistGradientBoostingClassifier(max_iter=50, random_state=seed)


def _refitted(classifier: Any, x: Floats, fold: Codes, seed: int) -> Scorer:
    from sklearn.base import clone

    settings = classifier.get_params()
    random = {k: seed for k in settings if k.split("__")[-1] == "random_state"}

    def one(labels: Codes) -> Iterator[tuple[Codes, Floats]]:
        for k in range(int(fold.max()) + 1):
            inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            if len(outside) and len(np.unique(labels[inside])) == 2:
                model = clone(classifier).set_params(**random).fit(x[inside], labels[inside])
                if hasattr(model, "predict_proba"):
                    yield outside, model.predict_proba(x[outside])[:, 1]
                else:
                    yield outside, model.decision_function(x[outside])

    def score(labels: Floats) -> Floats:
        found = np.zeros(labels.shape)
        for j, column in enumerate(labels.T.astype(np.int64)):
            for rows, values in one(column):
                found[rows, j] = values
        return found

    return score


def _permuted(block: Floats, samples: Samples, fold: Codes, scorer: Scorer) -> Floats:
    labels = 1 - block[:, samples.units.of_row].T
    return _aucs(scorer(labels), labels, fold)


def _aucs(scores: Floats, labels: Floats, fold: Codes) -> Floats:
    """The AUC inside folds, averaged by pairs, of each column; 0.5 where there are no pairs."""
    from scipy.stats import rankdata

    above, pairs = np.zeros(labels.shape[1]), np.zeros(labels.shape[1])
    for k in range(int(fold.max()) + 1):
        inside = fold == k
        ones = labels[inside].sum(axis=0)
        if not inside.any():
            continue
        ranks = rankdata(scores[inside], axis=0)
        above += (ranks * labels[inside]).sum(axis=0) - ones * (ones + 1) / 2
        pairs += ones * (inside.sum() - ones)
    return np.asarray(np.divide(above, pairs, out=np.full(len(pairs), 0.5), where=pairs > 0))
