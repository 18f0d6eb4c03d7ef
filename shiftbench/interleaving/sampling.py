"""With which probability the next example comes from each group."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, near_names

__all__ = ["METHODS", "default_temperature", "probabilities", "upper_confidence"]

METHODS = ("uniform", "temperature", "group_balanced", "upper_confidence_bound")

_DEFAULTS = {"temperature": 5.0, "upper_confidence_bound": 0.1}

Floats = NDArray[np.float64]


def default_temperature(method: str, temperature: float | None) -> float:
    """The temperature given, or the method's own: 5 (Arivazhagan et al. 2019) or 0.1 (DUMP).

    Raises
    ------
    ConfigurationError
        No such method, a temperature that is not above 0, or one for a method that has none.

    Examples
    --------
    >>> default_temperature("temperature", None), default_temperature("temperature", 2)
    (5.0, 2.0)
    >>> default_temperature("uniform", 2)
    Traceback (most recent call last):
    shiftbench.errors.ConfigurationError: method 'uniform' has no temperature; methods that have ...
    """
    if method not in METHODS:
        raise ConfigurationError(
            f"no method of drawing is called {method!r}; {near_names(method, METHODS)}"
        )
    if method not in _DEFAULTS:
        if temperature is not None:
            raise ConfigurationError(
                f"method {method!r} has no temperature; methods that have one: "
                f"{', '.join(_DEFAULTS)}"
            )
        return 1.0
    value = _DEFAULTS[method] if temperature is None else float(temperature)
    if not (value > 0 and math.isfinite(value)):
        raise ConfigurationError(f"temperature is {temperature}; allowed: numbers above 0")
    return value


def probabilities(sizes: Sequence[int], method: str, temperature: float = 1.0) -> Floats:
    """Of each group, where they stay as they are.

    Parameters
    ----------
    sizes : sequence of int
        Examples of each group, all above 0.
    method : {"uniform", "group_balanced", "temperature"}
        Equal, or ``p ∝ n^(1/T)`` [1]_, which XLM [2]_ writes with α = 1/T: 1 draws by size, and the
        larger T, the more equal.
    temperature : float

    References
    ----------
    .. [1] Arivazhagan et al., Massively Multilingual Neural Machine Translation in the Wild, 2019.
    .. [2] Lample and Conneau, Cross-lingual Language Model Pretraining, NeurIPS 2019.

    Examples
    --------
    >>> probabilities([100, 400], "temperature", 2.0).round(3).tolist()
    [0.333, 0.667]
    >>> probabilities([100, 400], "uniform").tolist()
    [0.5, 0.5]
    """
    n = np.asarray(sizes, np.float64)
    weight = (n / n.max()) ** (1 / temperature) if method == "temperature" else np.ones(len(n))
    found: Floats = weight / weight.sum()
    return found


def upper_confidence(means: Sequence[float], drawn: Sequence[int], temperature: float) -> Floats:
    """Probabilities that learn: the more a group's examples still teach, the more of it is drawn.

    The score of a group is the mean size of its last rewards, plus √(2 ln(N + 1)/(n + 1)) for
    N examples drawn in all and n of the group; groups are drawn by softmax(score/temperature)
    (DUMP: Wang et al., arXiv 2504.09710).

    Parameters
    ----------
    means : sequence of float
        Of each group's last rewards; 0 where none was reported.
    drawn : sequence of int
        Examples of each group so far.
    temperature : float

    Examples
    --------
    >>> upper_confidence([0.5, 0.2], [10, 10], 0.1).round(3).tolist()
    [0.953, 0.047]
    """
    n = np.asarray(drawn, np.float64)
    score = np.asarray(means, np.float64) + np.sqrt(2 * np.log(n.sum() + 1) / (n + 1))
    weight = np.exp((score - score.max()) / temperature)
    found: Floats = weight / weight.sum()
    return found
