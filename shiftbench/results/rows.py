"""ResultRows: the builder of results."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.results.schema import CURVES, PROTOCOL, RESULTS, plain
from shiftbench.statistics import Estimate

if TYPE_CHECKING:
    from shiftbench.results import Results

__all__ = ["ResultRows"]

_OF_ESTIMATE = (
    "positive",
    "value",
    "low",
    "high",
    "level",
    "method",
    "p_value",
    "n",
    "n_id",
    "n_ood",
    "n_clusters",
)


class ResultRows:
    """Collects numbers and curves into `Results`.

    Parameters
    ----------
    protocol : str
    **common
        Values of columns for all rows that do not give their own, such as ``config="cat_dog"``.

    Examples
    --------
    >>> rows = ResultRows(config="cat_dog", digest="4b9f")
    >>> rows.add(Estimate(0.9, 0.8, 0.95, n=100, method="Wilson"), metric="accuracy", model="a",
    ...          split="id_test")
    >>> rows.curve([0.0, 0.5, 1.0], [0.0, 0.9, 1.0], curve="roc", x_name="fpr", y_name="tpr")
    >>> rows.results().table.select(["model", "metric", "value", "n"]).to_pylist()
    [{'model': 'a', 'metric': 'accuracy', 'value': 0.9, 'n': 100}]
    """

    def __init__(self, *, protocol: str = PROTOCOL, **common: Any) -> None:
        self._common = {**common, "protocol": protocol}
        self._rows: dict[str, list[Any]] = {name: [] for name in RESULTS.names}
        self._points: dict[str, list[Any]] = {name: [] for name in CURVES.names}
        _check(self._common, self._rows)

    def __len__(self) -> int:
        return len(self._rows["metric"])

    def add(
        self,
        estimate: Estimate,
        *,
        metric: str,
        parameters: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> None:
        """Add one number.

        Parameters
        ----------
        estimate : Estimate
        metric : str
        parameters : mapping, optional
            Beside the estimate's own.
        **columns
            model, seed, epoch, config, split, subset, compared_to, spread, n_seeds, digest.

        Raises
        ------
        ConfigurationError
            A name is no column.
        """
        own = {name: getattr(estimate, name) for name in _OF_ESTIMATE}
        given = {**estimate.parameters, **(parameters or {})}
        row = {**own, **columns, "metric": metric, "parameters": _parameters(given)}
        self._append(self._rows, row)

    def curve(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        curve: str,
        low: ArrayLike | None = None,
        high: ArrayLike | None = None,
        n: ArrayLike | None = None,
        parameters: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> None:
        """Add the points of one curve.

        Parameters
        ----------
        x, y : (m,) arrays
        curve : str
            What it is, such as ``roc``.
        low, high : (m,) arrays, optional
            Interval of y.
        n : int or (m,) array, optional
            Examples behind each point.
        **columns
            model, seed, epoch, config, series, x_name, y_name, digest.
        """
        xs = np.asarray(x, dtype=np.float64)
        said = _parameters(parameters or {})
        several = {"x": xs, "y": y, "low": low, "high": high, "n": n}
        lists: dict[str, list[Any]] = {}
        for name, values in several.items():
            array = None if values is None else np.broadcast_to(np.asarray(values), xs.shape)
            lists[name] = [None] * len(xs) if array is None else array.tolist()
        for i in range(len(xs)):
            row = {name: values[i] for name, values in lists.items()}
            self._append(self._points, {**columns, **row, "curve": curve, "parameters": said})

    def _append(self, into: dict[str, list[Any]], row: Mapping[str, Any]) -> None:
        _check(row, into)
        for name, values in into.items():
            value = row.get(name)
            value = self._common.get(name) if value is None else value
            values.append(None if isinstance(value, float) and math.isnan(value) else value)

    def records(self) -> list[dict[str, Any]]:
        """The numbers so far, one dictionary a row."""
        columns = self._rows.values()
        return [dict(zip(self._rows, row, strict=True)) for row in zip(*columns, strict=True)]

    def results(
        self, *, selection: Mapping[str, Any] | None = None, notes: Iterable[str] = ()
    ) -> Results:
        """What was collected.

        Parameters
        ----------
        selection : mapping, optional
            See `Results.selection`.
        notes : iterable of str
        """
        from shiftbench.results import Results

        return Results(
            pa.table(self._rows, schema=RESULTS),
            pa.table(self._points, schema=CURVES),
            dict(selection or {}),
            tuple(notes),
        )


def _check(names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise ConfigurationError(
                f"{name!r} is no column of the results; {near_names(name, known)}"
            )


def _parameters(given: Mapping[str, Any]) -> str | None:
    return msgspec.json.encode(plain(given), order="sorted").decode() if given else None
