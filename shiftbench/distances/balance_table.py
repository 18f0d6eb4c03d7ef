"""What else differs between two splits: every metadata column, compared with an honest p-value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.distances.balance_intervals import (
    effective_n,
    mean_difference_interval,
    v_interval,
)
from shiftbench.distances.columns import Variable, variables
from shiftbench.distances.relabel import (
    FOLDS,
    Units,
    crossfit_auc,
    enough_relabelings,
    permutation_p_values,
)
from shiftbench.distances.split_tables import cluster_codes, default_columns, sorted_rows
from shiftbench.errors import ConfigurationError
from shiftbench.schema import BALANCE
from shiftbench.statistics import priorities, stream
from shiftbench.statistics.estimate import NAN, critical

__all__ = [
    "ALPHA",
    "AUC_PREDICTS",
    "LARGE",
    "MIN_CLUSTERS",
    "NEGLIGIBLE",
    "VERDICTS",
    "balance",
    "cramers_v",
    "default_columns",
    "v_of_difference",
]

VERDICTS = ("balanced", "differs", "predicts the split", "constant", "cannot tell")

ALPHA = 0.01
"""A p-value up to this counts as a difference. Each column is tested alone, so it is strict."""

NEGLIGIBLE = 0.1
"""A standardised mean difference below this is balanced, however small its p-value."""

LARGE = 0.25
"""A difference from this on that the test cannot tell from chance is not called balanced."""

AUC_PREDICTS = 0.8
"""From this AUC on (and p ≤ ALPHA) the column alone predicts the split."""

MIN_CLUSTERS = 5
"""With fewer clusters with a value in either split, nothing can be told."""

_WORK = 2_000_000_000


def cramers_v(phi2: float, n: float, n_levels: int) -> float:
    """Cramér's V of a 2 × k table, corrected for bias.

    Parameters
    ----------
    phi2 : float
        Pearson's χ² / n of the table.
    n : float
        Its sum; where rows are in clusters, how many independent rows they are worth.
    n_levels : int
        Its k columns that are not empty.

    Returns
    -------
    float
        Between 0 and 1; 0 where the table has one column.

    References
    ----------
    Bergsma, A bias-correction for Cramér's V and Tschuprow's T, J. Korean Stat. Soc. 42 (2013).

    Examples
    --------
    >>> round(cramers_v(1.0, 100, 2), 6), cramers_v(0.005, 100, 2)
    (1.0, 0.0)
    """
    if n < 2 or n_levels < 2:
        return 0.0
    corrected = max(0.0, phi2 - (n_levels - 1) / (n - 1))
    rows = 2 - 1 / (n - 1)
    columns = n_levels - (n_levels - 1) ** 2 / (n - 1)
    least = min(rows, columns) - 1
    return float(min(1.0, np.sqrt(corrected / least))) if least > 0 else 0.0


def v_of_difference(difference: float, share: float) -> float:
    """The V that goes with a standardised mean difference: the correlation with the split."""
    return difference / float(np.sqrt(difference**2 + 1 / (share * (1 - share))))


def _verdict(
    limits: tuple[float, float],
    value: float | None,
    auc: float | None,
    p: float | None,
    enough: bool,
) -> str:
    if value is None or p is None or not enough:
        return "cannot tell"
    size = abs(value)
    negligible, large = limits
    if p <= ALPHA and auc is not None and auc >= AUC_PREDICTS:
        return "predicts the split"
    if p <= ALPHA and size >= negligible:
        return "differs"
    return "cannot tell" if p > ALPHA and size >= large else "balanced"


def _rank_auc(values: NDArray[np.float64], is_source: NDArray[np.bool_]) -> float:
    # Average ranks by hand: scipy.stats would cost every build half a second and 50 MB to import.
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[which]
    n1, n0 = int((~is_source).sum()), int(is_source.sum())
    area = (ranks[~is_source].sum() - n1 * (n1 + 1) / 2) / (n1 * n0)
    return float(max(area, 1 - area))


def _folds(
    clusters: NDArray[np.int64],
    names: list[str],
    is_source: NDArray[np.bool_],
    seed: int,
    what: str,
) -> NDArray[np.int64]:
    """The fold of each row: whole clusters, dealt out apart for each split and for mixed ones."""
    in_source = np.bincount(clusters, weights=is_source, minlength=len(names)) > 0
    in_target = np.bincount(clusters, weights=~is_source, minlength=len(names)) > 0
    sort = in_source + 2 * in_target
    order = np.lexsort((priorities(seed, f"balance folds {what}", names), sort))
    fold = np.empty(len(names), dtype=np.int64)
    fold[order] = np.arange(len(names)) % FOLDS
    return fold[clusters]


def _row(
    variable: Variable,
    observed: float | None,
    p: float | None,
    clusters: NDArray[np.int64],
    is_source: NDArray[np.bool_],
    fold: NDArray[np.int64],
    relabelings: bool,
    level: float,
) -> dict[str, Any]:
    there = variable.present
    sides = (there & is_source, there & ~is_source)
    numeric = variable.values is not None
    rare = not numeric and variable.n_levels < 2 and variable.distinct > 1
    value, auc = observed, None
    low, high, method = NAN, NAN, "cannot tell"
    limits = (NEGLIGIBLE, LARGE)
    if rare:
        value = p = None
        method = "cannot tell: all levels are rare"
    if value is not None and numeric:
        assert variable.values is not None
        values = variable.values[there]
        auc = _rank_auc(values, is_source[there])
        low, high, method = mean_difference_interval(
            values, is_source[there], clusters[there], level
        )
    elif value is not None:
        assert variable.codes is not None
        _, codes = np.unique(variable.codes[there], return_inverse=True)
        by = (codes, is_source[there], clusters[there])
        k = int(codes.max()) + 1
        counts = (
            np.bincount(codes[by[1]], minlength=k).astype(np.float64),
            np.bincount(codes[~by[1]], minlength=k).astype(np.float64),
        )
        low, high, method = v_interval(*by, counts, value, level)
        value = cramers_v(value, effective_n(*by, counts), k)
        auc = crossfit_auc(variable.codes[there], variable.n_levels, by[1], fold[there])
        share = float(by[1].mean())
        limits = (v_of_difference(NEGLIGIBLE, share), v_of_difference(LARGE, share))
    n_clusters = [len(np.unique(clusters[side])) for side in sides]
    enough = min(n_clusters) >= MIN_CLUSTERS and relabelings
    verdict = _verdict(limits, value, auc, p, enough)
    if variable.distinct == 1 and all(side.any() for side in sides):
        value, auc, p, verdict = 0.0, 0.5, None, "constant"
        low, high, method = NAN, NAN, "cannot tell: one value"
    return {
        "column": variable.column,
        "statistic": "standardised_mean_difference" if numeric else "cramers_v",
        "value": value,
        "low": None if np.isnan(low) else low,
        "high": None if np.isnan(high) else high,
        "method": method,
        "auc": auc,
        "p_value": p,
        "missing_source": int((~there & is_source).sum()),
        "missing_target": int((~there & ~is_source).sum()),
        "verdict": verdict,
    }


def balance(
    source: pa.Table,
    target: pa.Table,
    *,
    columns: Sequence[str] | None = None,
    cluster: str | None = "cluster_id",
    seed: int,
    config: str,
    source_name: str,
    target_name: str,
    n_permutations: int = 999,
    categorical: Sequence[str] = (),
    level: float = 0.95,
) -> pa.Table:
    """Compare the metadata of two splits, column by column.

    - Numbers and times: the standardised mean difference (target − source, over the root of the
      mean of the two variances; ±inf where both are 0 and the means differ), and a second row
      with Cramér's V over tenths of all values, which sees a change of shape.
    - Text, booleans, class labels and `categorical`: Cramér's V, corrected for bias. Levels seen
      in fewer than 5 clusters, and those beyond the 50 most frequent, are pooled without a look at
      the split; where all levels are rare (ids, file names), nothing can be told.
    - Lists (findings, tags): one row ``column: tag`` for each of the 30 most frequent tags that
      5 clusters have, and one for the others together.
    - Where some values are missing (null, NaN or infinite), they are left out of these rows, and a
      row ``column (missing)`` compares how often that is.

    ``auc`` is how well the column alone tells a target row from a source row, 0.5 being chance:
    for numbers the rank AUC, folded to at least 0.5; for levels the AUC of their odds of the
    target on clusters that were not used to estimate them, which may come out below 0.5.

    ``p_value`` is that of the statistic under permutations of whole clusters between the splits,
    two-sided, with the observed split counted as one: (1 + b) / (1 + m). A cluster with rows in
    both splits stays in both and its rows trade places inside it. All columns share the
    permutations. No correction for the number of columns is made; `ALPHA` is strict instead.

    ``verdict``: "constant" (one value in both); "cannot tell" (fewer than `MIN_CLUSTERS` clusters
    with a value in a split, fewer than 2 / `ALPHA` permutations, or a difference of `LARGE` or
    more that chance explains); "predicts the split" (p ≤ `ALPHA`, auc ≥ `AUC_PREDICTS`);
    "differs" (p ≤ `ALPHA`, difference ≥ `NEGLIGIBLE`); else "balanced". For V the limits
    are those of the correlation d / √(d² + 1/(s (1 − s))) that goes with a mean difference of d,
    s being the source's share of the rows.

    ``low`` and ``high`` are an interval of ``value`` by cluster, null where ``method`` says why
    there is none. For V it is wide enough at 0 too, where ``low`` is 0, and its correction for
    bias allows for clusters. Each is for its column alone.

    Parameters
    ----------
    source, target : pa.Table
        One row an example. Their row order changes nothing where they have the cluster column and
        `example_id`.
    columns : sequence of str, optional
        What to compare; by default `default_columns`.
    cluster : str or None
        The column that names the unit of independence; None = every row on its own.
    seed : int
        For the permutations and folds.
    config, source_name, target_name : str
        What goes into the columns of that name.
    n_permutations : int
        How many, at least 99. On large tables fewer are drawn, but at least 199.
    categorical : sequence of str
        Columns of numbers that are names of levels.
    level : float
        Of the intervals.

    Returns
    -------
    pa.Table
        Schema `BALANCE`, in the order of `columns`.

    Raises
    ------
    ConfigurationError
        A column that one split lacks or whose type cannot be compared, rows without a cluster, too
        few permutations.

    References
    ----------
    Austin, Stat. Med. 28 (2009), standardised differences; Bergsma (2013); Phipson & Smyth (2010),
    permutation p-values are never 0.

    Examples
    --------
    >>> def split(prefix, ages):
    ...     ids = [f"{prefix}{i:03}" for i in range(len(ages))]
    ...     return pa.table({"example_id": ids, "cluster_id": ids, "age": ages})
    >>> found = balance(split("a", range(0, 50)), split("b", range(40, 90)), seed=0,
    ...                 config="all", source_name="train", target_name="ood_test")
    >>> for row in found.select(["column", "statistic", "p_value", "verdict"]).to_pylist():
    ...     print(list(row.values()))
    ['age', 'standardised_mean_difference', 0.001, 'predicts the split']
    ['age', 'cramers_v', 0.001, 'predicts the split']
    """
    if n_permutations < 99:
        raise ConfigurationError(
            f"n_permutations is {n_permutations}; with fewer than 99 no p-value reaches {ALPHA}"
        )
    critical(level)
    source, target = sorted_rows(source, cluster), sorted_rows(target, cluster)
    chosen = default_columns(source, target, cluster) if columns is None else list(columns)
    clusters, names = cluster_codes(source, target, cluster)
    is_source = np.arange(source.num_rows + target.num_rows) < source.num_rows
    what = f"{config}\x1f{source_name}\x1f{target_name}"
    found = [
        v for name in chosen for v in variables(source, target, name, clusters, name in categorical)
    ]
    units = Units.of(clusters, is_source)
    rng = stream(seed, "balance permutations", what)
    observed, p_values, _ = permutation_p_values(found, units, rng, n_permutations, _WORK)
    fold = _folds(clusters, names, is_source, seed, what)
    relabelings = enough_relabelings(units, ALPHA)
    shared = {
        "config": config,
        "source": source_name,
        "target": target_name,
        "n_source": source.num_rows,
        "n_target": target.num_rows,
        "n_clusters_source": len(np.unique(clusters[is_source])),
        "n_clusters_target": len(np.unique(clusters[~is_source])),
    }
    rows = [
        shared | _row(v, o, p, clusters, is_source, fold, relabelings, level)
        for v, o, p in zip(found, observed, p_values, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=BALANCE)
