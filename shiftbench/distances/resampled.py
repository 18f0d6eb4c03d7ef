"""The p-value of any statistic when whole clusters change sides, with draws as time allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from shiftbench.distances.samples import Samples
from shiftbench.errors import ConfigurationError
from shiftbench.statistics.permutation import permutation_p_values

__all__ = [
    "NO_INTERVAL",
    "affordable",
    "relabelled_p_value",
    "signed_shares",
    "whole_number",
]

Floats = NDArray[np.float64]

NO_INTERVAL = "no interval and no p-value: fewer than two clusters on a side"
_CELLS = 4_000_000
_FEWEST = 199


def whole_number(name: str, value: object, least: int) -> int:
    """An option that must be a whole number.

    Raises
    ------
    ConfigurationError
        It is none, or is below `least`.

    Examples
    --------
    >>> whole_number("n_projections", 64, 1)
    64
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ConfigurationError(f"{name} is {value!r}; allowed: whole numbers from {least} on")
    return int(value)


def affordable(asked: int, work: float, budget: float, fewest: int = _FEWEST) -> int:
    """How many of the repetitions that were asked for are made, if one takes `work`.

    As many as `budget` pays for, but `fewest` where that is less.

    Examples
    --------
    >>> affordable(1000, work=1e6, budget=5e8), affordable(1000, work=1e9, budget=5e8)
    (500, 199)
    """
    return min(asked, max(fewest, int(budget // max(work, 1.0))))


def signed_shares(labels: Floats) -> Floats:
    """What each row weighs in F − G: 1/m for a row of the source, −1/n for one of the target.

    Parameters
    ----------
    labels : (b, n) array
        1 where a row is the source's, else 0.

    Returns
    -------
    (n, b) array
        Columns sum to 0.

    Examples
    --------
    >>> signed_shares(np.array([[1.0, 0.0, 0.0]])).T.tolist()
    [[1.0, -0.5, -0.5]]
    """
    across = np.ascontiguousarray(labels.T)
    n_source = across.sum(axis=0)
    n_target = len(across) - n_source
    return np.asarray(across * (1 / n_source + 1 / n_target) - 1 / n_target)


def relabelled_p_value(
    samples: Samples,
    observed: float,
    statistic: Callable[[Floats], Floats],
    n_permutations: int,
    seed: int,
) -> tuple[float | None, int, bool]:
    """The p-value of a statistic when whole clusters change sides; large values speak against.

    Parameters
    ----------
    statistic : callable
        From (b, n) labels, 1 where a row is the source's, to (b,) values.

    Returns
    -------
    p_value : float or None
        None without permutations, or with fewer than two clusters on a side.
    n : int
        How many were made.
    exact : bool
        These were all there are.

    Examples
    --------
    >>> from shiftbench.distances.samples import two_samples
    >>> s = two_samples([1.0, 2.0, 3.0], [7.0, 8.0, 9.0], takes="features")
    >>> def gap(labels):
    ...     return np.abs(s.features[:, 0] @ signed_shares(labels))
    >>> relabelled_p_value(s, 6.0, gap, 100, seed=0)
    (0.1, 20, True)
    """
    if n_permutations < 1 or min(samples.n_clusters) < 2:
        return None, 0, False
    blocks, n, exact = samples.relabelings(n_permutations, seed)
    of_row = samples.units.of_row
    found = [statistic(labels[:, of_row]) for labels in _split(blocks, len(of_row))]
    p = permutation_p_values([observed], np.concatenate(found)[:, None], exact=exact)
    return float(p[0]), n, exact


def _split(blocks: Iterator[Floats], rows: int) -> Iterator[Floats]:
    step = max(1, _CELLS // rows)
    for block in blocks:
        for start in range(0, len(block), step):
            yield block[start : start + step]
