"""Several findings per example: how well is each told, and all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.evaluation._labels import as_clusters, chosen
from shiftbench.evaluation.calibration import calibration_error
from shiftbench.evaluation.classification import log_loss, mean_loss
from shiftbench.statistics import Clusters, Estimate
from shiftbench.statistics.estimate import NAN
from shiftbench.statistics.linearised import Parts, mean_of_ratios
from shiftbench.statistics.proportions import share

__all__ = ["finding_metrics", "findings_table"]

Floats = NDArray[np.float64]
Table = NDArray[np.int8]


@dataclass(frozen=True)
class Found:
    """Truth and prediction as (n, k) tables of 0, 1 and, where the truth is unknown, −1."""

    truth: Table
    predicted: Table
    names: tuple[str, ...]
    probabilities: NDArray[Any] | None = None

    @property
    def known(self) -> NDArray[np.bool_]:
        """Examples of which at least one finding is known."""
        return np.asarray((self.truth >= 0).any(axis=1))

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Examples whose known findings are all told right."""
        return np.asarray(((self.truth < 0) | (self.truth == self.predicted)).all(axis=1))

    def rows(self, chosen: Any) -> Found:
        """Some of the examples."""
        p = None if self.probabilities is None else self.probabilities[chosen]
        return Found(self.truth[chosen], self.predicted[chosen], self.names, p)


def findings_table(values: Any, names: Sequence[str] | None = None, what: str = "y_true") -> Table:
    """Findings as an (n, k) table: 1 there, 0 not there, −1 unknown.

    Parameters
    ----------
    values : (n, k) booleans or numbers, or a list of names (or indices) an example
        In a table nan and −1 are unknown. In lists every finding that is not named is absent; a
        list that is missing (None) is unknown altogether.
    names : sequence of str, optional
        The findings; needed for lists.
    what : str
        What an error message calls the values.

    Examples
    --------
    >>> findings_table([["edema"], [], None], ["edema", "mass"]).tolist()
    [[1, 0], [0, 0], [-1, -1]]
    >>> findings_table([[1, np.nan], [0, 1]]).tolist()
    [[1, -1], [0, 1]]
    """
    if isinstance(values, np.ndarray) and values.ndim == 2:
        return _checked(values, names, what)
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return _from_lists(values, names, what)
    rows = list(values)
    numeric = all(row is not None and all(not isinstance(v, str) for v in row) for row in rows)
    widths = {len(row) for row in rows if row is not None}
    table = numeric and len(widths) == 1 and (names is None or widths == {len(names)})
    if table and all(v in (0, 1, -1) or v is None or v != v for row in rows for v in row):
        cells = [[np.nan if v is None else v for v in row] for row in rows]
        return _checked(np.asarray(cells, dtype=np.float64), names, what)
    listed = [None if row is None else list(row) for row in rows]
    return _from_lists(pa.array(listed), names, what)


def _checked(values: NDArray[Any], names: Sequence[str] | None, what: str) -> Table:
    if names is not None and values.shape[1] != len(names):
        raise ConfigurationError(
            f"{what} has {values.shape[1]} columns, but there are {len(names)} findings; give one "
            "column a finding"
        )
    if values.dtype == bool:
        return values.astype(np.int8)
    numbers = values.astype(np.float64)
    unknown = np.isnan(numbers) | (numbers == -1)
    bad = ~unknown & (numbers != 0) & (numbers != 1)
    if bad.any():
        i, j = np.argwhere(bad)[0].tolist()
        raise ConfigurationError(
            f"{int(bad.sum())} cells of {what} are none of 0, 1 and unknown (nan or −1); the "
            f"first, at row {i}, column {j}, is {numbers[i, j]:g}"
        )
    return np.where(unknown, -1, numbers == 1).astype(np.int8)


def _from_lists(lists: Any, names: Sequence[str] | None, what: str) -> Table:
    if names is None:
        raise ConfigurationError(
            f"{what} is a list an example, and nothing says what findings there are; name them "
            "(classes=[…])"
        )
    if isinstance(lists, pa.ChunkedArray):
        lists = lists.combine_chunks()
    table = np.zeros((len(lists), len(names)), dtype=np.int8)
    table[lists.is_null().to_numpy(zero_copy_only=False)] = -1
    if pa.types.is_null(lists.type) or pa.types.is_null(lists.type.value_type):
        return table
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(lists)), lengths)
    flat = lists.flatten().dictionary_encode()
    values = flat.dictionary.to_pylist()
    place: dict[Any, int] = {name: i for i, name in enumerate(names)}
    place |= {i: i for i in range(len(names)) if i not in place}
    strange = [v for v in values if v not in place]
    if strange:
        hint = near_names(str(strange[0]), [str(name) for name in names])
        raise ConfigurationError(f"{what} has {strange[0]!r}, which is no finding; {hint}")
    codes = np.array([place[v] for v in values], dtype=np.int64)
    table[row, codes[flat.indices.to_numpy(zero_copy_only=False)]] = 1
    return table


def found_in(
    y_true: Any, y_pred: Any, probabilities: Any, classes: Sequence[Any] | int | None
) -> Found:
    """Checked findings of every example."""
    names = None if classes is None or isinstance(classes, int) else [str(c) for c in classes]
    truth = findings_table(y_true, names)
    names = names or [str(i) for i in range(truth.shape[1])]
    p = None if probabilities is None else np.asarray(probabilities)
    if p is not None:
        if p.shape != truth.shape:
            raise ConfigurationError(
                f"probabilities have the shape {p.shape}, but {truth.shape} is needed: one of "
                "each finding being there"
            )
        bad = ~((p >= 0) & (p <= 1))
        if bad.any():
            i, j = np.argwhere(bad)[0].tolist()
            raise ConfigurationError(
                f"{int(bad.sum())} values are no probabilities (the first, at row {i}, column "
                f"{j}, is {p[i, j]}); they lie between 0 and 1"
            )
    if y_pred is not None:
        predicted = findings_table(y_pred, names, "y_pred")
    elif p is not None:
        predicted = (p >= 0.5).astype(np.int8)
    else:
        raise ConfigurationError("neither y_pred nor probabilities are given; give one of them")
    if predicted.shape != truth.shape:
        raise ConfigurationError(
            f"y_true has the shape {truth.shape} and y_pred {predicted.shape}; give one prediction "
            "for every example and finding"
        )
    if (predicted < 0).any():
        i, j = np.argwhere(predicted < 0)[0].tolist()
        raise ConfigurationError(
            f"{int((predicted < 0).sum())} predictions are missing (the first at row {i}, column "
            f"{j}); every finding of every example needs one"
        )
    return Found(truth, predicted, tuple(names), p)


def finding_metrics(
    y_true: Any,
    y_pred: Any = None,
    probabilities: Any = None,
    *,
    classes: Sequence[str] | int | None = None,
    clusters: Any = None,
    level: float = 0.95,
    bins: int = 15,
) -> dict[str, Estimate]:
    """Metrics of each of several findings per example, and of all of them together.

    Parameters
    ----------
    y_true : (n, k) booleans or numbers, or a list of names an example
        As in `findings_table`. An unknown finding (nan, −1) is left out of everything and counted
        in ``parameters["unknown"]``.
    y_pred : like y_true, optional
        Nothing unknown. Left out: probabilities of 0.5 and more.
    probabilities : (n, k) floats, optional
        Of each finding being there; they need not sum to anything.
    classes : names, optional
        The findings; 0, 1, … when left out.
    clusters, level, bins
        As in `classification_metrics`.

    Returns
    -------
    dict of Estimate
        For each finding, as ``accuracy[name]`` and so on: ``accuracy``, ``balanced_accuracy``,
        ``f1`` (of its being there; nan where it is neither there nor predicted), and with
        probabilities ``log_loss``, ``brier`` ((p − y)², from 0 to 1) and ``ece``.
        ``accuracy_macro``, ``balanced_accuracy_macro``, ``f1_macro``: means over the findings for
        which they can be told. ``f1_micro``: F1 of all cells together.
        ``hamming_accuracy``: share of known cells told right. ``subset_accuracy``: share of
        examples, with some finding known, whose known findings are all right.

    Raises
    ------
    ConfigurationError
        Shapes that differ, unknown findings (near names are suggested), values that are none of
        0, 1 and unknown, missing predictions.

    References
    ----------
    Zhang & Zhou 2014, IEEE Transactions on Knowledge and Data Engineering 26, 1819–1837.

    Examples
    --------
    >>> truth = [["edema"], ["edema", "mass"], [], ["mass"]]
    >>> found = finding_metrics(truth, [["edema"], ["mass"], [], []], classes=["edema", "mass"])
    >>> found["subset_accuracy"].value, found["hamming_accuracy"].value
    (0.5, 0.75)
    >>> found["accuracy[edema]"]
    Estimate(0.7500 [0.3006, 0.9544], n=4, Wilson)
    """
    data = found_in(y_true, y_pred, probabilities, classes)
    return of_findings(data, as_clusters(clusters, len(data.truth)), level, bins)


def of_findings(
    data: Found, clusters: Clusters | None, level: float, bins: int
) -> dict[str, Estimate]:
    """The metrics of checked findings."""
    known = data.truth >= 0
    result: dict[str, Estimate] = {}
    for j, name in enumerate(data.names):
        keep = known[:, j]
        t, p = data.truth[keep, j] == 1, data.predicted[keep, j] == 1
        grouped = chosen(clusters, keep)
        one = _one(t, p, grouped, level)
        if data.probabilities is not None:
            q = data.probabilities[keep, j].astype(np.float64)
            one["log_loss"] = log_loss(np.where(t, q, 1 - q), grouped, level)
            one["brier"] = mean_loss((q - t) ** 2, grouped, level, scale="logit")
            one["ece"] = calibration_error(q, t, grouped, bins=bins, level=level)
        unknown = {"unknown": int((~keep).sum())}
        result |= {
            f"{metric}[{name}]": replace(e, parameters={**unknown, **e.parameters})
            for metric, e in one.items()
        }
    return result | _together(data, known, clusters, level)


def _one(
    t: NDArray[np.bool_], p: NDArray[np.bool_], clusters: Clusters | None, level: float
) -> dict[str, Estimate]:
    n = len(t)
    everything = np.arange(n)
    recall = Parts(everything, t.astype(np.int64), (t == p).astype(float), np.ones(n), n, 2)
    smallest = recall.bottoms[recall.bottoms > 0].min(initial=n)
    present = int(np.count_nonzero(recall.bottoms))
    cost = n / (smallest * present) if present else None
    f1 = _f1_parts(t[:, None], p[:, None], np.ones((n, 1), dtype=bool))
    return {
        "accuracy": share(t == p, clusters, level),
        "balanced_accuracy": mean_of_ratios(recall, clusters, level, cost=cost),
        "f1": _f1(f1, clusters, level),
    }


def _f1_parts(
    t: NDArray[np.bool_], p: NDArray[np.bool_], known: NDArray[np.bool_], micro: bool = False
) -> Parts:
    """Entries where a finding is there or predicted: 2·both over their sum."""
    row, column = np.nonzero((t | p) & known)
    here, said = t[row, column], p[row, column]
    part = np.zeros(len(row), dtype=np.int64) if micro else column
    top = (here & said).astype(np.float64) * 2
    bottom = here.astype(np.float64) + said.astype(np.float64)
    return Parts(row, part, top, bottom, len(t), 1 if micro else t.shape[1])


def _f1(parts: Parts, clusters: Clusters | None, level: float) -> Estimate:
    sizes = parts.bottoms
    present = sizes > 0
    if not present.any():
        method = "cannot tell: nothing is there and nothing is predicted"
        return Estimate(NAN, level=level, method=method, n=parts.n)
    cost = 2 * parts.n / (float(sizes[present].min()) * int(present.sum()))
    return mean_of_ratios(parts, clusters, level, cost=cost)


def _together(
    data: Found, known: NDArray[np.bool_], clusters: Clusters | None, level: float
) -> dict[str, Estimate]:
    n, k = data.truth.shape
    t, p = data.truth == 1, data.predicted == 1
    row, column = np.nonzero(known)
    right = (t == p)[row, column].astype(np.float64)
    ones, here = np.ones(len(row)), t[row, column]
    every = Parts(row, column, right, ones, n, k)
    # Recall of presence and of absence of each finding; one that is always there has but one.
    sides = Parts(row, 2 * column + here, right, ones, n, 2 * k)
    both = (sides.bottoms > 0).reshape(k, 2)
    weights = np.repeat(1 / np.maximum(both.sum(axis=1), 1), 2)
    cells = Parts(row, np.zeros(len(row), dtype=np.int64), right, ones, n, 1)
    some = np.asarray(known.any(axis=1))
    unknown = {"unknown": int((~known).sum()), "findings": k}
    examples = {"unknown": int((~some).sum()), "findings": k}
    return {
        "accuracy_macro": _mean(every, clusters, level, unknown),
        "balanced_accuracy_macro": _mean(sides, clusters, level, unknown, weights),
        "f1_macro": replace(_f1(_f1_parts(t, p, known), clusters, level), parameters=unknown),
        "f1_micro": replace(
            _f1(_f1_parts(t, p, known, micro=True), clusters, level), parameters=unknown
        ),
        "hamming_accuracy": _mean(cells, clusters, level, unknown),
        "subset_accuracy": replace(
            share(data.correct[some], chosen(clusters, some), level), parameters=examples
        ),
    }


def _mean(
    parts: Parts,
    clusters: Clusters | None,
    level: float,
    parameters: dict[str, Any],
    weights: Floats | None = None,
) -> Estimate:
    sizes = parts.bottoms
    w = np.where(sizes > 0, 1.0 if weights is None else weights, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        # An example may be wrong in all of its findings at once.
        cost = float(np.nansum(np.where(sizes > 0, parts.n * w / sizes, 0.0)) / w.sum())
    return mean_of_ratios(parts, clusters, level, weights=weights, cost=cost, parameters=parameters)
