"""Results: one number a row with all that it rests on, curves in a second table; JSON, Parquet."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from shiftbench.errors import ConfigurationError
from shiftbench.results import files, render
from shiftbench.results.schema import CURVES, RESULTS, SELECTION

__all__ = ["Results", "read_results"]


@dataclass(frozen=True, eq=False)
class Results:
    """Numbers and curves, and how the models behind them were selected.

    Attributes
    ----------
    table : pa.Table
        Schema `RESULTS`.
    curves : pa.Table
        Schema `CURVES`.
    selection : mapping
        How the models were selected, as far as it is stated; a result states the names in
        `SELECTION` or is marked as not stating them. Under ``models`` the same for single models,
        where they differ.
    notes : tuple of str
        What a reader has to know.
    """

    table: pa.Table = field(default_factory=RESULTS.empty_table)
    curves: pa.Table = field(default_factory=CURVES.empty_table)
    selection: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        return f"Results({len(self.table)} numbers, {len(self.curves)} points of curves)"

    def selection_of(self, model: str | None) -> dict[str, Any]:
        """How one model was selected; None where it is not stated."""
        return files.stated_of(self.selection, model)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write to a .json or a .parquet file, with the curves of the latter in .curves.parquet.

        Files appear whole or not at all. In JSON what cannot be told is null and infinity the
        string "inf" or "-inf".

        Raises
        ------
        ConfigurationError
            The name ends otherwise.
        StorageError
            It cannot be written.
        """
        files.write(files.Parts(self.table, self.curves, self.selection, self.notes), path)

    def json(self) -> str:
        """What `write` puts into a .json file."""
        parts = files.Parts(self.table, self.curves, self.selection, self.notes)
        return files.encoded(parts).decode()

    def markdown(
        self,
        *,
        metrics: Sequence[str] | None = None,
        rows: str | Sequence[str] = "model",
        columns: str | Sequence[str] = "split",
        where: Mapping[str, Any] | None = None,
        percent: Collection[str] | None = None,
        bold_best: bool = False,
    ) -> str:
        """A Markdown table: each number in percent, with its interval and n.

        Parameters
        ----------
        metrics : sequence of str, optional
            By default all.
        rows, columns : str or sequence of str
            Columns of `table` that make the rows and the columns.
        where : mapping, optional
            Values of columns, one or a list, that numbers must have. By default only those of whole
            splits and single runs are shown (`subset` and `spread` null).
        percent : collection of str, optional
            Metrics to show in percent; by default those that are rates.
        bold_best : bool
            Print the best number of each column in bold; intervals that overlap do not matter.

        Raises
        ------
        ConfigurationError
            A name is unknown, or several numbers would come into one cell.

        Warns
        -----
        UserWarning
            Numbers of different digests are in one table.
        """
        grid = self._grid(metrics, rows, columns, where, percent, bold_best)
        return render.markdown(grid)

    def latex(
        self,
        *,
        metrics: Sequence[str] | None = None,
        rows: str | Sequence[str] = "model",
        columns: str | Sequence[str] = "split",
        where: Mapping[str, Any] | None = None,
        percent: Collection[str] | None = None,
        bold_best: bool = False,
    ) -> str:
        """A LaTeX table (package booktabs); the arguments are those of `markdown`."""
        grid = self._grid(metrics, rows, columns, where, percent, bold_best)
        return render.latex(grid)

    def _grid(
        self,
        metrics: Sequence[str] | None,
        rows: str | Sequence[str],
        columns: str | Sequence[str],
        where: Mapping[str, Any] | None,
        percent: Collection[str] | None,
        bold_best: bool,
    ) -> render.Grid:
        def several(names: str | Sequence[str]) -> tuple[str, ...]:
            return (names,) if isinstance(names, str) else tuple(names)

        chosen = render.choose(
            self.table,
            metrics=metrics,
            across=(*several(rows), *several(columns)),
            where=dict(where or {}),
        )
        _warn(conflicts := files.conflicts(chosen))
        grid = render.layout(chosen, several(rows), several(columns), percent, bold_best)
        return grid.with_notes(conflicts)

    def text(self, lines: int = 40) -> str:
        """An overview for a terminal: the numbers of whole splits, at most so many lines."""
        stated = [n for n in SELECTION if self.selection.get(n) is not None]
        said = (
            "stated"
            if len(stated) == len(SELECTION)
            else "partly stated"
            if stated
            else ("stated by model" if self.selection.get("models") else "not stated")
        )
        return render.overview(self.table, len(self.curves), said, self.notes, lines)


def read_results(*paths: str | os.PathLike[str]) -> Results:
    """Read results files, several of them into one.

    Parameters
    ----------
    *paths
        Files that `Results.write` wrote; the ``.curves.parquet`` beside a ``.parquet`` is read with
        it and need not be named.

    Raises
    ------
    SourceError
        A file is not there, or is no results file.

    Warns
    -----
    UserWarning
        The same metric of the same split has different digests: the numbers do not compare.

    Examples
    --------
    >>> from shiftbench.results import ResultRows
    >>> from shiftbench.statistics import Estimate
    >>> rows = ResultRows(config="c", digest="4b9f")
    >>> rows.add(Estimate(0.9, n=10), metric="accuracy", split="id_test")
    >>> rows.results().write("results.json")
    >>> read_results("results.json").table["value"].to_pylist()
    [0.9]
    """
    names = [os.fspath(p) for p in paths]
    wanted = [n for n in dict.fromkeys(names) if not n.endswith(files.CURVES_SUFFIX)]
    if not wanted:
        raise ConfigurationError(
            "no results file is named; name one or more that end in .json or .parquet"
        )
    found = files.merged([files.read(name) for name in wanted])
    _warn(files.conflicts(found.table))
    return Results(found.table, found.curves, found.selection, found.notes)


def _warn(conflicts: Sequence[str]) -> None:
    for conflict in conflicts:
        warnings.warn(conflict, UserWarning, stacklevel=4)
