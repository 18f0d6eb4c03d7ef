"""The exact Wasserstein distance of two small samples, and a Kantorovich potential of it."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["by_assignment", "distances_between", "potential", "transport_cost", "work"]

Floats = NDArray[np.float64]

_COPIES = 4  # an assignment of up to so many copies is faster than the linear programme
_PROGRAMME = 40_000.0  # the work of the programme a cell, in units of an assignment's n³


def by_assignment(m: int, n: int) -> bool:
    """Whether m and n points are matched as copies, one to one, or by a linear programme.

    Examples
    --------
    >>> by_assignment(50, 200), by_assignment(50, 51)
    (True, False)
    """
    return math.lcm(m, n) <= _COPIES * max(m, n)


def work(m: int, n: int, copies: bool = True) -> float:
    """About how long one distance takes, in units of 1e-10 s of one core; `copies`: if they may be.

    Examples
    --------
    >>> work(100, 100), work(100, 101)
    (1000000.0, 404000000.0)
    """
    copied = copies and by_assignment(m, n)
    return float(math.lcm(m, n)) ** 3 if copied else _PROGRAMME * m * n


def distances_between(a: Floats, b: Floats) -> Floats:
    """Euclidean distances of rows, (m, n).

    Examples
    --------
    >>> distances_between(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]])).tolist()
    [[5.0]]
    """
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(a, b))


def transport_cost(costs: Floats) -> float:
    """The least mean cost of moving m points of weight 1/m to n points of weight 1/n.

    Parameters
    ----------
    costs : (m, n) array

    References
    ----------
    Peyré & Cuturi, Computational Optimal Transport (2019), sec. 2.3 and 3.1.

    Examples
    --------
    >>> transport_cost(np.array([[0.0, 2.0, 4.0]]))
    2.0
    """
    from scipy.optimize import linear_sum_assignment

    if by_assignment(*costs.shape):
        copies = _copied(costs)
        return float(copies[linear_sum_assignment(copies)].mean())
    return _programme(costs)[0]


def potential(costs: Floats) -> Floats:
    """Prices of the n targets: the dual of `transport_cost`.

    With them f(x) = min_j (cost(x, j) − price_j) is 1-Lipschitz where costs are distances, and the
    mean of f over the sources plus the mean price is the transport cost.

    Parameters
    ----------
    costs : (m, n) array

    Returns
    -------
    (n,) array

    References
    ----------
    Kantorovich duality: Villani, Optimal Transport (2009), theorem 5.10; prices of an assignment
    as shortest paths: Ahuja, Magnanti & Orlin, Network Flows (1993), sec. 12.4.

    Examples
    --------
    >>> costs = np.abs(np.array([[0.0], [1.0]]) - np.array([[1.0, 4.0]]))
    >>> prices = potential(costs)
    >>> float((costs - prices).min(axis=1).mean() + prices.mean()), transport_cost(costs)
    (2.0, 2.0)
    """
    from scipy.optimize import linear_sum_assignment

    m, n = costs.shape
    if not by_assignment(m, n):
        return _programme(costs)[1]
    copies = _copied(costs)
    rows, columns = linear_sum_assignment(copies)
    own = copies[rows, columns]
    # Going over from a row's own target to another costs that much more: with the least of all
    # such sums as prices, no row would rather have another.
    more = copies - own[:, None]
    prices = np.zeros(len(copies))
    for _ in range(len(copies)):
        lower = np.minimum(prices, (more + prices[columns][:, None]).min(axis=0))
        settled = float((prices - lower).max()) <= 1e-12 * float(np.abs(copies).max())
        prices = lower
        if settled:
            break
    return np.asarray(prices.reshape(n, -1).min(axis=1))


def _copied(costs: Floats) -> Floats:
    m, n = costs.shape
    size = math.lcm(m, n)
    copied = costs if size == m else np.repeat(costs, size // m, axis=0)
    return copied if size == n else np.repeat(copied, size // n, axis=1)


def _programme(costs: Floats) -> tuple[float, Floats]:
    """The least mean cost, and the prices of the targets."""
    from scipy.optimize import linprog

    # The solver's tolerances are absolute, and it takes very large costs for infinite ones.
    unit = float(costs.max()) or 1.0

    m, n = costs.shape
    marginals = np.concatenate([np.full(m, 1 / m), np.full(n, 1 / n)])
    found = linprog(costs.ravel() / unit, A_eq=_marginals(m, n), b_eq=marginals, method="highs-ds")
    if found.status != 0:
        raise RuntimeError(f"the solver of the transport problem gave up: {found.message}")
    return unit * float(found.fun), np.asarray(unit * found.eqlin.marginals[m:])


@lru_cache(maxsize=8)
def _marginals(m: int, n: int) -> Any:
    """The sums over rows and over columns of an (m, n) table laid out in a row."""
    from scipy.sparse import csr_array, eye_array, kron, vstack

    rows = kron(eye_array(m), np.ones((1, n)))
    columns = kron(np.ones((1, m)), eye_array(n))
    return csr_array(vstack([rows, columns]))
