"""What every metric of scores checks at its door: NaN, one class only, direction, clusters."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.statistics import Clusters
from shiftbench.statistics.clusters import warn_across
from shiftbench.statistics.estimate import critical
from shiftbench.statistics.ranks import scores_of

__all__ = [
    "POSITIVE",
    "cluster_names",
    "cluster_pair",
    "level_of",
    "one_class",
    "oriented",
    "positive_class",
    "share_of",
    "shares_of",
    "tag",
]

DIRECTIONS = ("ood", "confidence")
POSITIVE = ("ood", "id")
Pair = tuple[Clusters, Clusters]


def oriented(scores: ArrayLike, name: str, score_is: str = "ood") -> NDArray[Any]:
    """The scores, higher for more OOD; NaN is left for the merge to find."""
    if not isinstance(score_is, str) or score_is not in DIRECTIONS:
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
    if not isinstance(positive, str) or positive not in POSITIVE:
        raise ConfigurationError(
            f"positive is {positive!r}, but the positive class is 'ood' or 'id': "
            f"{near_names(str(positive), POSITIVE)}"
        )
    return positive


def level_of(level: float) -> float:
    """The level of an interval: a number between 0 and 1."""
    if not _is_number(level):
        raise ConfigurationError(
            f"level is {level!r}, but the level of an interval is a number between 0 and 1, such "
            "as 0.95"
        )
    critical(level)
    return float(level)


def share_of(value: float, name: str) -> float:
    """A rate that is asked for, such as a TPR: more than 0, at most 1."""
    if not _is_number(value) or not 0 < value <= 1:
        hint = ""
        if _is_number(value) and 1 < value <= 100:
            hint = f"; as a fraction it is {value / 100:g}"
        raise ConfigurationError(f"{name} is {value!r}, but it is a fraction in (0, 1]{hint}")
    return float(value)


def shares_of(values: float | Sequence[float], name: str) -> list[float]:
    """One rate or several, each as `share_of`."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        return [share_of(values, name)]  # type: ignore[arg-type]
    return [share_of(value, name) for value in values]


def _is_number(value: Any) -> bool:
    return isinstance(value, Real | np.integer | np.floating) and not isinstance(value, bool)


def tag(value: float, scale: float = 1.0) -> str:
    """A number as a part of a metric's name.

    >>> tag(0.95, 100), tag(0.1)
    ('95', '0_1')
    """
    return f"{scale * value:.12g}".replace(".", "_")


def cluster_names(clusters: Any, n: int, what: str) -> Clusters:
    """The clusters of one sample: a name one of `n` of `what`, or Clusters themselves."""
    if isinstance(clusters, Clusters):
        groups = clusters
    else:
        _name_list(clusters, "clusters")
        groups = Clusters.of(clusters)
    if len(groups.codes) != n:
        raise ConfigurationError(
            f"clusters has {len(groups.codes)} names for {n} {what}s; give one for each {what}"
        )
    return groups


def _name_list(names: Any, where: str) -> None:
    """Refuse what is no list of names."""
    series = hasattr(names, "__array__") or isinstance(names, pa.Array | pa.ChunkedArray)
    if isinstance(names, str | bytes) or not (series or isinstance(names, Sequence)):
        said = repr(names) if isinstance(names, str | bytes | int | float) else type(names).__name__
        raise ConfigurationError(f"{where}: {said} is no list of names; give one name an example")
    if getattr(names, "ndim", 1) != 1:
        raise ConfigurationError(
            f"{where} has the shape {names.shape}, but it holds one name an example: shape (n,)"
        )


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
        _name_list(clusters, "clusters")
        if len(clusters) != n_id + n_ood:
            raise ConfigurationError(
                f"clusters has {len(clusters)} names for {n_id} ID + {n_ood} OOD examples; give "
                "one an example, ID first, or the pair (id_clusters, ood_clusters)"
            )
        parts = (clusters[:n_id], clusters[n_id:])
    for part, n, name in zip(parts, (n_id, n_ood), ("ID", "OOD"), strict=True):
        _name_list(part, f"the {name} clusters")
        if len(part) != n:
            raise ConfigurationError(
                f"the {name} clusters are {len(part)} for {n} {name} examples; give one an example"
            )
    pair = Clusters.pair(*parts)
    warn_across(pair[0].codes, pair[1].codes, stacklevel=5)
    return pair
