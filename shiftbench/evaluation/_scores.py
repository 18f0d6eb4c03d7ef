"""What every metric of scores checks at its door: NaN, one class only, direction, clusters."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.statistics import Clusters
from shiftbench.statistics.ranks import scores_of

__all__ = ["POSITIVE", "cluster_pair", "one_class", "oriented", "positive_class", "share_of", "tag"]

DIRECTIONS = ("ood", "confidence")
POSITIVE = ("ood", "id")
Pair = tuple[Clusters, Clusters]


def oriented(scores: ArrayLike, name: str, score_is: str = "ood") -> NDArray[Any]:
    """The scores, higher for more OOD; NaN is left for the merge to find."""
    if score_is not in DIRECTIONS:
        raise ConfigurationError(
            f"score_is is {score_is!r}, but a score is 'ood' (higher means more OOD) or "
            f"'confidence' (higher means more ID): {near_names(str(score_is), DIRECTIONS)}"
        )
    found = scores_of(scores, name, nan=True)
    if score_is == "ood":
        return found
    return -found if found.dtype.kind == "f" else -found.astype(np.float64)


def one_class(id_scores: NDArray[Any], ood_scores: NDArray[Any]) -> None:
    """Refuse an empty sample."""
    for scores, name in ((id_scores, "id_scores"), (ood_scores, "ood_scores")):
        if not len(scores):
            raise ConfigurationError(
                f"{name} is empty, but telling ID from OOD needs examples of both; look at which "
                "split the scores were taken from"
            )


def positive_class(positive: str) -> str:
    """Refuse what is no class."""
    if positive not in POSITIVE:
        raise ConfigurationError(
            f"positive is {positive!r}, but the positive class is 'ood' or 'id': "
            f"{near_names(str(positive), POSITIVE)}"
        )
    return positive


def share_of(value: float, name: str) -> float:
    """A rate that is asked for, such as a TPR: more than 0, at most 1."""
    if not 0 < value <= 1:
        hint = f"; as a fraction it is {value / 100:g}" if 1 < value <= 100 else ""
        raise ConfigurationError(f"{name} is {value!r}, but it is a fraction in (0, 1]{hint}")
    return float(value)


def tag(value: float, scale: float = 1.0) -> str:
    """A number as a part of a metric's name.

    >>> tag(0.95, 100), tag(0.1)
    ('95', '0_1')
    """
    return f"{scale * value:.12g}".replace(".", "_")


def cluster_pair(clusters: Any, n_id: int, n_ood: int) -> Pair | None:
    """The clusters of both samples, numbered together; a warning if some lie in both."""
    if clusters is None:
        return None
    if isinstance(clusters, tuple) or (
        isinstance(clusters, list)
        and len(clusters) == 2
        and all(isinstance(c, Sequence | np.ndarray) and not isinstance(c, str) for c in clusters)
    ):
        if len(clusters) != 2:
            raise ConfigurationError(
                f"clusters is a tuple of {len(clusters)}; give the pair (clusters of the ID "
                "examples, clusters of the OOD examples), or one array for ID and then OOD"
            )
        parts = clusters
    else:
        if len(clusters) != n_id + n_ood:
            raise ConfigurationError(
                f"clusters has {len(clusters)} names for {n_id} ID + {n_ood} OOD examples; give "
                "one an example, ID first, or the pair (id_clusters, ood_clusters)"
            )
        parts = (clusters[:n_id], clusters[n_id:])
    for part, n, name in zip(parts, (n_id, n_ood), ("ID", "OOD"), strict=True):
        if len(part) != n:
            raise ConfigurationError(
                f"the {name} clusters are {len(part)} for {n} {name} examples; give one an example"
            )
    pair = Clusters.pair(*parts)
    across = int(((pair[0].sizes > 0) & (pair[1].sizes > 0)).sum())
    if across:
        warnings.warn(
            f"{across} clusters have both ID and OOD examples; the intervals allow for it, but "
            "look whether that was meant (the same patient, photograph or author in both)",
            stacklevel=4,
        )
    return pair
