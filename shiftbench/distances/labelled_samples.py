"""Two samples with a label and a group an example, in an order of their own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftbench.distances.basis import folds_of_clusters
from shiftbench.distances.columns import pooled_levels
from shiftbench.distances.samples import Samples, two_samples
from shiftbench.errors import ConfigurationError

__all__ = ["MOST_ROWS", "drawn", "n_levels", "prepared"]

Codes = NDArray[np.int64]

MOST_ROWS = 20_000
"""Classifiers are fitted to about so many examples at most."""

_BINS, _NUMERIC = 10, 20
_APART = "\x1f"


def prepared(
    x_source: ArrayLike,
    x_target: ArrayLike,
    labels: tuple[Any, Any] | None,
    groups: tuple[Any, Any] | None,
    clusters: tuple[Any, Any] | None,
) -> tuple[Samples, Codes | None, Codes | None]:
    """Samples in their order, and the codes of label and group in that order; rare levels pooled.

    Parameters
    ----------
    x_source, x_target, labels, groups, clusters
        As for `profile`.

    Raises
    ------
    ConfigurationError
        As `two_samples`, and labels or groups that are missing or not one an example.

    Examples
    --------
    >>> samples, label, group = prepared([[0.0], [1.0]], [[2.0], [3.0]], ("ab", "ab"), None, None)
    >>> samples.n_source, sorted(label.tolist()), group
    (2, [0, 0, 1, 1], None)
    """
    n = (len(np.asarray(x_source)), len(np.asarray(x_target)))
    parts = [
        _text(given, what, n) for given, what in ((labels, "labels"), (groups, "groups"))
        if given is not None
    ]  # fmt: skip
    if not parts:
        samples = two_samples(x_source, x_target, takes="features", clusters=clusters)
        return samples, None, None
    joined = [_APART.join(row) for row in zip(*parts, strict=True)]
    samples = two_samples(
        x_source,
        x_target,
        takes="features and labels",
        clusters=clusters,
        labels=(joined[: n[0]], joined[n[0] :]),
    )
    assert samples.labels is not None
    of_level = [level.split(_APART) for level in samples.levels]
    found: list[Codes] = []
    for i, what in enumerate(parts):
        del what
        names = sorted({row[i] for row in of_level})
        codes = np.array([names.index(row[i]) for row in of_level])[samples.labels]
        variable = pooled_levels("", codes, names, samples.clusters)
        assert variable.codes is not None
        found.append(variable.codes)
    label = found[0] if labels is not None else None
    return samples, label, found[-1] if groups is not None else None


def _text(given: tuple[Any, Any], what: str, n: tuple[int, int]) -> list[str]:
    sides = [list(side) for side in given]
    for side, values, rows in zip(("source", "target"), sides, n, strict=True):
        if len(values) != rows:
            raise ConfigurationError(
                f"the {side} has {rows} examples and {len(values)} {what}; give one an example"
            )
        for i, value in enumerate(values):
            if value is None or value != value:
                raise ConfigurationError(
                    f"of the {what} of the {side} that in row {i} is missing; leave such examples "
                    "out"
                )
    values = [*sides[0], *sides[1]]
    numbers = all(isinstance(v, int | float | np.number) for v in values)
    if what == "labels" and numbers and len(set(values)) > _NUMERIC:
        cuts = np.quantile(np.asarray(values, dtype=np.float64), np.arange(1, _BINS) / _BINS)
        return [f"{i}" for i in np.searchsorted(cuts, values, side="left")]
    return [str(v).replace(_APART, " ") for v in values]


def drawn(
    samples: Samples, label: Codes | None, group: Codes | None, seed: int
) -> tuple[Samples, Codes | None, Codes | None]:
    """Whole clusters up to about `MOST_ROWS` rows.

    Examples
    --------
    >>> samples = Samples(np.empty((4, 1)), 2, np.arange(4))
    >>> drawn(samples, None, None, seed=0)[0] is samples
    True
    """
    n = len(samples.clusters)
    if n <= MOST_ROWS:
        return samples, label, group
    keep = folds_of_clusters(samples, math.ceil(n / MOST_ROWS), seed) == 0
    rows = np.flatnonzero(keep)
    _, clusters = np.unique(samples.clusters[rows], return_inverse=True)
    drawn = Samples(samples.features[rows], int(keep[: samples.n_source].sum()), clusters)
    return drawn, None if label is None else label[rows], None if group is None else group[rows]


def n_levels(codes: Codes) -> int:
    """How many levels codes from 0 have.

    Examples
    --------
    >>> n_levels(np.array([0, 2, 1]))
    3
    """
    return int(codes.max()) + 1
