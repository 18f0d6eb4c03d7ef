"""Streams whose share of the target changes with time: sudden, gradual, recurring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError

__all__ = ["Drift", "Kind", "doses_at", "from_target"]

Floats = NDArray[np.float64]

Kind = Literal["sudden", "gradual", "recurring"]


@dataclass(frozen=True)
class Drift:
    """How the share of the target goes with time.

    Attributes
    ----------
    kind : str
    change_points : tuple of float
        As shares of the stream, rising: at the first the target comes, at the second it goes, …
    width : float
        Of a gradual change, as a share of the stream.
    ramp : str
        "linear": from half a width before the change point to half a width after. "sigmoid":
        1 / (1 + exp(−4 (u − p) / width)), whose slope at p is that of the linear one.
    period : float
        Of recurring drift, as a share of the stream: half a period of the source, half of the
        target.
    peak : float
        The highest share of the target.
    """

    kind: Kind
    change_points: tuple[float, ...] = (0.5,)
    width: float = 0.3
    ramp: Literal["linear", "sigmoid"] = "sigmoid"
    period: float = 0.25
    peak: float = 1.0

    def __post_init__(self) -> None:
        points = self.change_points
        if not points or not all(0 < p < 1 for p in points) or sorted(set(points)) != [*points]:
            raise ConfigurationError(
                f"change_points are {list(points)}; allowed: rising numbers between 0 and 1, "
                "shares of the stream"
            )
        for name, top in (("width", 1.0), ("period", 1.0), ("peak", 1.0)):
            value = getattr(self, name)
            if not 0 <= value <= top or (value == 0 and name != "peak"):
                least = "0 to 1" if name == "peak" else "above 0, up to 1"
                raise ConfigurationError(f"{name} is {value:g}; allowed: {least}")


def doses_at(drift: Drift, size: int) -> Floats:
    """The intended share of the target at each time of a stream.

    Sudden and gradual change and recurring concepts as in Gama et al., ACM Computing Surveys 46
    (2014), 44, Fig. 2; the sigmoid is that of MOA (Bifet et al., JMLR 11 (2010), 1601–1604).

    Parameters
    ----------
    drift : Drift
    size : int

    Returns
    -------
    (size,) float64 array
        From 0 to `peak`; times are the middles of `size` equal parts of the stream.

    Examples
    --------
    >>> doses_at(Drift("sudden"), 4).tolist()
    [0.0, 0.0, 1.0, 1.0]
    >>> doses_at(Drift("recurring", period=0.5, peak=0.5), 8).tolist()
    [0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.5, 0.5]
    """
    at = (np.arange(size) + 0.5) / size
    if drift.kind == "recurring":
        return np.where(np.mod(at / drift.period, 1) >= 0.5, drift.peak, 0.0)
    risen = np.zeros(size)
    for number, point in enumerate(drift.change_points):
        risen += (-1) ** number * _ramp(drift, at - point)
    return np.asarray(drift.peak * np.clip(risen, 0, 1))


def _ramp(drift: Drift, since: Floats) -> Floats:
    if drift.kind == "sudden":
        return (since >= 0).astype(np.float64)
    if drift.ramp == "linear":
        return np.clip(since / drift.width + 0.5, 0, 1)
    steep = np.clip(4 * since / drift.width, -700, 700)  # within what exp can say
    return np.asarray(1 / (1 + np.exp(-steep)))


def from_target(doses: Floats) -> NDArray[np.bool_]:
    """At which times an example of the target comes.

    The count so far is the sum of the doses so far, rounded: never off it by more than a half.

    Examples
    --------
    >>> from_target(np.full(6, 0.5)).astype(int).tolist()
    [1, 0, 1, 0, 1, 0]
    """
    so_far = np.floor(np.round(np.cumsum(doses), 6) + 0.5)
    return np.asarray(np.diff(so_far, prepend=0.0) > 0.5)
