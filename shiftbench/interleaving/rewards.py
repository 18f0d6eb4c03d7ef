"""What was reported of each group, as the state of a stream holds it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from shiftbench.errors import ConfigurationError, near_names

__all__ = ["Rewards"]


class Rewards:
    """The last rewards of each group.

    Parameters
    ----------
    groups : sequence of str
    window : int
        How many of each are remembered.

    Attributes
    ----------
    state : dict
        Lists whose length never changes: `datasets` restores a state place by place. The streams
        made from one stream share it, so that a report to the one reaches the others.

    Examples
    --------
    >>> rewards = Rewards(["a", "b"], window=2)
    >>> rewards.report("b", [1.0, -3.0, 5.0])
    >>> rewards.means
    [0.0, 4.0]
    """

    def __init__(self, groups: Sequence[str], window: int = 300) -> None:
        if isinstance(window, bool) or window < 1:
            raise ConfigurationError(f"window is {window}; allowed: 1 and above")
        self._code = {name: i for i, name in enumerate(groups)}
        self._window = window
        self.state: dict[str, Any] = {
            "reported": [0] * len(groups),
            "mean": [0.0] * len(groups),
            "last": [[0.0] * window for _ in groups],
        }

    @property
    def means(self) -> list[float]:
        """Mean size of the last rewards of each group; 0 where there are none."""
        found: list[float] = self.state["mean"]
        return found

    def report(self, group: Any, values: Any) -> None:
        """Add rewards, of which the size counts and not the sign.

        Parameters
        ----------
        group : str, or sequence of str
            One for all values, or one for each.
        values : float, or sequence of float

        Raises
        ------
        ConfigurationError
            An unknown group, a value that is not finite, or not as many groups as values.
        """
        sizes = np.abs(np.atleast_1d(np.asarray(values, np.float64)))
        groups = [group] * sizes.size if isinstance(group, str) else list(group)
        if sizes.ndim != 1 or len(groups) != len(sizes):
            raise ConfigurationError(
                f"{len(groups)} groups and rewards of the shape {sizes.shape}; give one group for "
                "all rewards, or one for each"
            )
        for name in groups:
            if name not in self._code:
                raise ConfigurationError(
                    f"a reward is reported for the group {name!r}, which is not drawn from; "
                    f"{near_names(str(name), self._code)}"
                )
        if not np.isfinite(sizes).all():
            raise ConfigurationError("a reward is not a finite number")
        for name, size in zip(groups, sizes.tolist(), strict=True):
            self._add(self._code[name], size)

    def _add(self, group: int, size: float) -> None:
        last, seen = self.state["last"][group], self.state["reported"][group]
        last[seen % self._window] = size
        self.state["reported"][group] = seen + 1
        kept = min(seen + 1, self._window)
        self.state["mean"][group] = math.fsum(last[:kept]) / kept
