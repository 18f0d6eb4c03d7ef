"""What becomes of the clusters of one environment, the same in every config that trains on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError

from ..shared.counted import ring_ranks
from ..shared.division import divide, uniforms
from .prepared import Prepared

__all__ = ["Shares", "balanced", "novel_classes", "tested", "trained"]

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Shares:
    """Of the clusters of an environment.

    Attributes
    ----------
    validation, test, train_unlabeled : float
        Of one that is trained on; the rest is for training.
    target_unlabeled : float
        Of one that is held out; the rest is its test.
    """

    validation: float = 0.1
    test: float = 0.2
    train_unlabeled: float = 0.0
    target_unlabeled: float = 0.0

    def __post_init__(self) -> None:
        shares = (self.validation, self.test, self.train_unlabeled)
        if not all(0 <= s < 1 for s in shares) or not self.test or not sum(shares) < 1:
            raise ConfigurationError(
                f"validation {self.validation:g}, test {self.test:g} and train_unlabeled "
                f"{self.train_unlabeled:g} are shares of the clusters: test above 0, together "
                "below 1"
            )
        if not 0 <= self.target_unlabeled < 1:
            raise ConfigurationError(
                f"target_unlabeled is {self.target_unlabeled:g}; allowed: 0 and above, below 1"
            )


def trained(prepared: Prepared, name: str, shares: Shares, seed: int) -> dict[str, Codes]:
    """Rows of an environment that is trained on, by split: exchangeable parts of its clusters."""
    rows = prepared.rows(name)
    rows = np.setdiff1d(
        rows[prepared.label[rows] >= 0], novel_classes(prepared, name, shares, seed)[1]
    )
    parts = {
        "id_test": shares.test,
        "validation": shares.validation,
        "train_unlabeled": shares.train_unlabeled,
    }
    parts = {part: share for part, share in parts.items() if share}
    return _divided(prepared, name, rows, {**parts, "train": 1 - sum(parts.values())}, seed)


def tested(prepared: Prepared, name: str, shares: Shares, seed: int) -> dict[str, Codes]:
    """Rows of an environment that is held out: `ood_test` and `target_unlabeled`."""
    rows = prepared.rows(name)
    rows = rows[prepared.label[rows] >= 0]
    share = shares.target_unlabeled
    if not share:
        return {"ood_test": rows}
    return _divided(prepared, name, rows, {"ood_test": 1 - share, "target_unlabeled": share}, seed)


def novel_classes(
    prepared: Prepared, name: str, shares: Shares, seed: int
) -> tuple[Codes, Codes, Codes]:
    """The examples of classes kept out that are tested on; what is left out so that they can be.

    A cluster that has such classes alone is tested on whole. Of the clusters that have others too,
    the share `test` gives its examples of the classes kept out, the others theirs of the classes
    trained on: so no cluster is on both sides.

    Returns
    -------
    tested : int64 array
        Rows of the classes kept out.
    left_out, unused : int64 arrays
        Rows of the classes trained on, and of those kept out, in neither.
    """
    rows = prepared.rows(name)
    novel = prepared.novel[rows]
    if not novel.any():
        none = np.empty(0, np.int64)
        return none, none, none
    cluster = prepared.found.cluster[rows]
    n = int(cluster.max()) + 1
    has_novel = np.bincount(cluster[novel], minlength=n) > 0
    has_known = np.bincount(cluster[prepared.label[rows] >= 0], minlength=n) > 0
    units = prepared.found.examples["cluster_id"].combine_chunks().take(rows)
    drawn = uniforms(units, seed, f"environments novel {name}") < shares.test
    mixed = (has_novel & has_known)[cluster]
    known = prepared.label[rows] >= 0
    return rows[novel & (~mixed | drawn)], rows[known & mixed & drawn], rows[novel & mixed & ~drawn]


def balanced(prepared: Prepared, rows: Codes, where: str, seed: int) -> Codes:
    """As many examples of each class in each environment: the most that there are.

    Raises
    ------
    ConfigurationError
        A class is missing in an environment.
    """
    k = len(prepared.classes)
    cell = prepared.environment.codes[rows] * k + prepared.label[rows]
    counts = np.bincount(cell, minlength=len(prepared.environment.names) * k).reshape(-1, k)
    for name, of_class in zip(prepared.environment.names, counts.tolist(), strict=True):
        if any(of_class) and not all(of_class):
            lacking = prepared.classes[of_class.index(0)]
            raise ConfigurationError(
                f"{where} has no example of the class {lacking!r} in the environment {name!r}, so "
                "class shares cannot be the same everywhere; keep the classes that all have with "
                "--common-classes, or make the split larger"
            )
    names = [f"{e}|{c}" for e in prepared.environment.names for c in prepared.classes]
    rank = ring_ranks(prepared.found, rows, cell, names, seed, "environments balanced")
    kept: Codes = rows[rank < counts.min(axis=1)[prepared.environment.codes[rows]]]
    return kept


def _divided(
    prepared: Prepared, name: str, rows: Codes, shares: Mapping[str, float], seed: int
) -> dict[str, Codes]:
    try:
        return divide(prepared.found, shares, seed, f"environments {name}", rows=rows)
    except ConfigurationError as error:
        raise ConfigurationError(f"environment {name!r}: {error}") from None
