"""Audit: can the split be told from what should not tell it, and is there overlap to mend it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.distances.balance_table import ALPHA, AUC_PREDICTS, MIN_CLUSTERS
from shiftbench.distances.columns import variables
from shiftbench.distances.differing_columns import Difference, differences
from shiftbench.distances.predicted_split import Work, predicted_parts
from shiftbench.distances.relabel import Units, enough_relabelings
from shiftbench.distances.split_tables import cluster_codes, default_columns, sorted_rows
from shiftbench.schema import BALANCE
from shiftbench.statistics import Estimate, priorities, stream

__all__ = ["AUC_SURELY", "FAMILY", "VERDICTS", "Audit", "audit"]

Codes = NDArray[np.int64]

VERDICTS = (
    "confounded",
    "differs but overlaps",
    "balanced as far as these columns tell",
    "cannot tell",
)

FAMILY = 0.05
"""Columns are said to differ so that, of audits where none does, at most this share names one."""

_LITTLE_AUC = 0.55  # what goes with a standardised mean difference a little above `NEGLIGIBLE`

AUC_SURELY = 0.7
"""A joint AUC of `AUC_PREDICTS` confounds where its interval is above this, too."""

HINT = 0.2
"""A large difference that is not sure is named beside sure ones if its p-value is no more."""

_MOST_ROWS = 5000

JOINT, OTHERS = "(label and other columns together)", "(other columns together)"


@dataclass(frozen=True)
class Audit:
    """What else tells the source from the target, besides the shift that is meant.

    Attributes
    ----------
    verdict : str
        One of `VERDICTS`.
    words : str
        The verdict with the columns that it rests on, and by how much they differ.
    parts : mapping of str to Estimate
        ``joint``, ``label``, ``others``: cross-fitted AUC of telling target from source by the
        label and the other columns, by either alone. ``label_in_source``, ``label_in_target``:
        of telling the label by the other columns inside a split, mean over the classes.
        ``source_to_target``, ``target_to_source``: the share of a split that is effectively left
        (Kish) after it is weighted to look like the other in all of these columns. Those that
        could not be had are absent.
    differences : tuple of Difference
        One a column.
    columns : tuple of str
        The other columns.
    parameters : mapping
        Rows used, features, whether the label's interplay with the other columns was among them.

    Examples
    --------
    >>> Audit("cannot tell", "cannot tell: 3 clusters").verdict
    'cannot tell'
    """

    verdict: str
    words: str
    parts: Mapping[str, Estimate] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    columns: tuple[str, ...] = ()
    n: tuple[int, int] = (0, 0)
    n_clusters: tuple[int, int] = (0, 0)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def rows(self, *, config: str, source_name: str, target_name: str) -> pa.Table:
        """As rows of the table `balance`: statistic ``auc`` or ``effective_share``.

        The row of the joint AUC has the audit's verdict. The others say "predicts", "tells a
        little", "tells nothing" or "cannot tell".
        """
        titles = {
            "joint": (JOINT, "auc"),
            "label": ("(label)", "auc"),
            "others": (OTHERS, "auc"),
            "label_in_source": (f"(label from other columns, in {source_name})", "auc"),
            "label_in_target": (f"(label from other columns, in {target_name})", "auc"),
            "source_to_target": (f"(overlap: {source_name} as {target_name})", "effective_share"),
            "target_to_source": (f"(overlap: {target_name} as {source_name})", "effective_share"),
        }
        shared = {
            "config": config,
            "source": source_name,
            "target": target_name,
            "n_source": self.n[0],
            "n_target": self.n[1],
            "n_clusters_source": self.n_clusters[0],
            "n_clusters_target": self.n_clusters[1],
            "missing_source": 0,
            "missing_target": 0,
        }
        made = []
        for name, found in self.parts.items():
            title, statistic = titles[name]
            made.append(
                shared
                | {
                    "column": title,
                    "statistic": statistic,
                    "value": _known(found.value),
                    "low": _known(found.low),
                    "high": _known(found.high),
                    "method": found.method,
                    "auc": _known(found.value) if statistic == "auc" else None,
                    "p_value": found.p_value,
                    "verdict": self.verdict if name == "joint" else _told(found, statistic),
                }
            )
        return pa.Table.from_pylist(made, schema=BALANCE)


def _known(x: float) -> float | None:
    return None if math.isnan(x) else x


def _told(found: Estimate, statistic: str) -> str:
    if statistic != "auc":
        return "no overlap" if found.value < 0.1 else "overlaps"
    if found.p_value is None or math.isnan(found.value):
        return "cannot tell"
    if found.p_value > ALPHA:
        return "cannot tell" if found.high > AUC_SURELY else "tells nothing"
    return "predicts" if found.value >= AUC_PREDICTS else "tells a little"


def audit(
    source: pa.Table,
    target: pa.Table,
    *,
    label: str | None = "label",
    shift_columns: Sequence[str] = (),
    columns: Sequence[str] | None = None,
    cluster: str | None = "cluster_id",
    categorical: Sequence[str] = (),
    seed: int,
    level: float = 0.95,
    n_permutations: int = 499,
) -> Audit:
    """Whether a shift is confounded: with the label, or with columns that are not the shift.

    A score for the shift (a detector's, a drop in accuracy) that is computed on two splits is also
    a score for all else that differs between them. Weighting or matching can only mend that where
    both splits have examples of each kind (positivity).

    The other columns are the metadata that are neither label nor `shift_columns`; columns whose
    values are nearly all different (ids) and constant ones are left out.

    Verdicts:

    - "confounded": a level with `ABSENT_SHARE` or more of one split is missing in the other, and
      that has a probability of at most `ALPHA` by chance (Bonferroni over all levels); or the joint
      AUC is at least `AUC_PREDICTS`, its interval above `AUC_SURELY` and its p-value at most
      `ALPHA`. (For normal scores with equal variance, an AUC of 0.8 leaves a quarter of a split
      after weighting.)
    - "differs but overlaps": some column differs (Holm's correction over columns and the joint
      AUC, at `FAMILY`), and not so little as `NEGLIGIBLE`.
    - "cannot tell": fewer than `MIN_CLUSTERS` clusters in a split, no column to compare, or a
      difference of `LARGE` or more that chance may explain.
    - else "balanced as far as these columns tell".

    Parameters
    ----------
    source, target : pa.Table
        One row an example.
    label : str or None
        Class, list of findings or number; None or a name that no split has: none.
    shift_columns : sequence of str
        What the shift consists of, such as the device and its pixel spacing.
    columns : sequence of str, optional
        The other columns; by default all that both splits have and that can be compared.
    cluster : str or None
        The unit of independence; None = every row on its own.
    categorical : sequence of str
        Columns of numbers that are names of levels.
    seed : int
    level : float
        Of the intervals.
    n_permutations : int
        For the p-values of the AUCs, by whole clusters; twice as many for the columns.

    Returns
    -------
    Audit

    Raises
    ------
    ConfigurationError
        A column that one split lacks or that cannot be compared, rows without a cluster.

    Notes
    -----
    The classifier is a cross-fitted ridge regression on levels, tenths of numbers and ranks, and
    on products of the label's with the other columns'; folds are whole clusters, dealt five times
    over without a look at the split. What it cannot tell a richer one might: an AUC is a lower
    bound. Intervals are of twice DeLong's variance, which takes models as fixed (see `c2st`). Of
    more than 500,000 rows × features, folds are dealt once and permuted 199 times at most. The
    p-value refits on permuted splits. Inside a split, labels are permuted among
    clusters of one label, and among the rows of clusters of several.
    Of more than 5,000 rows, whole clusters are drawn.

    References
    ----------
    Petersen et al., Stat. Methods Med. Res. 21 (2012), positivity; Kish (1965), effective sample
    size; LeDell, Petersen & van der Laan, Electron. J. Stat. 9 (2015), intervals of
    cross-validated AUC; Phipson & Smyth (2010), p-values.

    Examples
    --------
    >>> def split(prefix, views, labels):
    ...     ids = [f"{prefix}{i:03}" for i in range(len(views))]
    ...     return pa.table({"cluster_id": ids, "view": views, "label": labels})
    >>> a = split("a", ["AP", "AP", "PA", "PA"] * 10, ["sick", "well"] * 20)
    >>> b = split("b", ["PA"] * 30, ["sick", "well"] * 15)
    >>> print(audit(a, b, seed=0).words)
    confounded with view (AP 0.50 → 0.00: none in the target); together ... AUC 0.69 ...
    """
    source, target = sorted_rows(source, cluster), sorted_rows(target, cluster)
    label = label if label in source.column_names and label in target.column_names else None
    chosen = default_columns(source, target, cluster) if columns is None else list(columns)
    others = [c for c in chosen if c != label and c not in shift_columns]
    label = None if label in shift_columns else label
    clusters, names = cluster_codes(source, target, cluster)
    source, target, clusters = _drawn(source, target, clusters, names, seed)
    is_source = np.arange(len(clusters)) < source.num_rows
    found = [
        (name, [v for v in variables(source, target, name, clusters, name in categorical)
                if v.distinct > 1 and v.n_levels != 1])
        for name in ([label] if label else []) + others
    ]  # fmt: skip
    found = [(name, parts) for name, parts in found if parts]
    base = Audit(
        "cannot tell",
        "",
        columns=tuple(n for n, _ in found if n != label),
        n=(source.num_rows, target.num_rows),
        n_clusters=(len(np.unique(clusters[is_source])), len(np.unique(clusters[~is_source]))),
    )
    if not found:
        return replace(base, words="cannot tell: no column besides the shift's own can be compared")
    if min(base.n_clusters) < MIN_CLUSTERS:
        said = f"{base.n_clusters[0]} and {base.n_clusters[1]} clusters; {MIN_CLUSTERS} are needed"
        return replace(base, words=f"cannot tell: {said} in either split")
    units = Units.of(clusters, is_source)
    if not enough_relabelings(units, ALPHA):
        return replace(base, words="cannot tell: too few clusters can change sides")
    rng = stream(seed, "audit columns")
    columns_found = differences(found, clusters, is_source, rng, 2 * n_permutations + 1)
    work = Work(clusters, is_source, names, seed, level, n_permutations)
    parts, parameters = predicted_parts(found, label, work, units)
    verdict, words = _verdict(columns_found, parts, base.n_clusters)
    return replace(
        base,
        verdict=verdict,
        words=words,
        parts=parts,
        differences=tuple(columns_found),
        parameters=parameters,
    )


def _drawn(
    source: pa.Table, target: pa.Table, clusters: Codes, names: list[str], seed: int
) -> tuple[pa.Table, pa.Table, Codes]:
    """Whole clusters up to `_MOST_ROWS` rows in all."""
    if len(clusters) <= _MOST_ROWS:
        return source, target, clusters
    order = np.argsort(priorities(seed, "audit clusters", names), kind="stable")
    sizes = np.bincount(clusters, minlength=len(names))
    kept = np.zeros(len(names), dtype=bool)
    kept[order[np.cumsum(sizes[order]) <= _MOST_ROWS]] = True
    rows, split = kept[clusters], source.num_rows
    both = (source.filter(pa.array(rows[:split])), target.filter(pa.array(rows[split:])))
    return *both, clusters[rows]


def _verdict(
    columns: Sequence[Difference], parts: Mapping[str, Estimate], n_clusters: tuple[int, int]
) -> tuple[str, str]:
    joint = parts["joint"]
    p_joint = 1.0 if joint.p_value is None else joint.p_value
    surely = _holm([*(c.p_value for c in columns), p_joint])
    absent = [c for c in columns if c.absence is not None and c.absence * len(columns) <= ALPHA]
    predicts = joint.value >= AUC_PREDICTS and joint.low > AUC_SURELY and p_joint <= ALPHA
    differing = [
        c for c, p in zip(columns, surely, strict=False) if p <= FAMILY and c.size != "negligible"
    ]
    unsure = [c for c in columns if c.size == "large" and c not in differing and c not in absent]
    told = f"AUC {joint.value:.2f}" + (
        "" if math.isnan(joint.low) else f" [{joint.low:.2f}, {joint.high:.2f}]"
    )
    hinted = unsure if not absent and not differing else [c for c in unsure if c.p_value <= HINT]
    named = _named(absent, differing, hinted, n_clusters)
    shortcut = _shortcut(parts)
    if absent or predicts:
        words = f"confounded with {named or 'the columns together'}"
        return VERDICTS[0], f"{words}; together they tell the splits apart: {told}{shortcut}"
    if differing or (surely[-1] <= FAMILY and joint.value > _LITTLE_AUC):
        left = parts["source_to_target"].value
        words = f"differs but overlaps: {named or 'the columns together'}; {told}"
        more = f"weighted to the target, the source is worth {left:.0%} of its size"
        return VERDICTS[1], f"{words}; {more}{shortcut}"
    if unsure:
        return VERDICTS[3], f"cannot tell: {named}{shortcut}"
    words = f"balanced as far as {_list([c.column for c in columns])} tell; {told}{shortcut}"
    return VERDICTS[2], words


def _shortcut(parts: Mapping[str, Estimate]) -> str:
    """Where the other columns tell the label inside a split."""
    said = [
        f"the {side} ({parts[name].value:.2f})"
        for side, name in (("source", "label_in_source"), ("target", "label_in_target"))
        if name in parts and (parts[name].p_value or 0.0) <= ALPHA
    ]
    return f"; they tell the label in {_list(said)}" if said else ""


def _holm(p_values: Sequence[float]) -> list[float]:
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(order))
    steps = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(p) for p in adjusted]


def _named(
    absent: Sequence[Difference],
    differing: Sequence[Difference],
    unsure: Sequence[Difference],
    n_clusters: tuple[int, int],
) -> str:
    missing = [f"{c.words[:-1]}: none in the {c.absent_in})" for c in absent]
    plain = [c.words for c in differing if c not in absent]
    fewest = min(n_clusters)
    doubtful = [f"{c.words[:-1]}: large, but within chance for {fewest} clusters)" for c in unsure]
    return _list([*missing, *plain, *doubtful])


def _list(words: Sequence[str]) -> str:
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + " and " + words[-1]
