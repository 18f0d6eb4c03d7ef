"""Results as tables for people: percent, interval and n, every name escaped."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shiftbench.errors import ConfigurationError, near_names, printable

__all__ = ["Grid", "choose", "latex", "layout", "markdown", "overview"]

RATES = (
    *("accuracy", "aupr", "auroc", "balanced_accuracy", "detection_error", "ece"),
    *("effective_robustness", "error_rate", "f1", "flagged", "fpr", "hamming_accuracy"),
    *("macro_f1", "subset_accuracy"),
)
"""How the names of rates begin; they are shown in percent."""

LOWER = (
    *("accuracy_gap", "accuracy_rank", "aurc", "augrc", "brier", "detection_error", "e_aurc"),
    *("ece", "error_rate", "fpr", "log_loss", "mae", "mse", "rmse"),
)
"""How the names of metrics begin of which less is better."""

NOT_RATES = ("_slope", "_spearman", "_rank")
"""What is no rate though its name begins like one."""

WHOLE = ("subset", "spread")
"""Columns that are null in the numbers shown, unless they are asked for."""

NUMBERED = ("model", "seed", "epoch", "config", "split", "subset", "compared_to", "positive",
            "spread", "parameters", "n", "digest", "value")  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """A number as it is shown: the value alone, and the interval with n."""

    value: str
    rest: str
    best: bool = False


@dataclass(frozen=True)
class Grid:
    """A table before it is written in some language; names are not escaped yet."""

    heads: tuple[str, ...]
    columns: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    cells: tuple[tuple[Cell | None, ...], ...]
    notes: tuple[str, ...] = ()

    def with_notes(self, notes: Sequence[str]) -> Grid:
        """The same with more notes."""
        return replace(self, notes=(*self.notes, *notes))


def choose(
    table: pa.Table, *, metrics: Sequence[str] | None, across: Sequence[str], where: dict[str, Any]
) -> pa.Table:
    """The rows that a table is made of.

    Raises
    ------
    ConfigurationError
        A column, a metric or a value is not there.
    """
    for name in (*across, *where):
        if name not in table.column_names:
            raise ConfigurationError(
                f"{name!r} is no column of the results; {near_names(name, table.column_names)}"
            )
    if metrics is not None:
        known = {str(m) for m in pc.unique(table["metric"]).to_pylist()}
        for metric in metrics:
            if metric not in known:
                raise ConfigurationError(
                    f"the results have no metric {metric!r}; {near_names(metric, known)}"
                )
        table = table.filter(pc.is_in(table["metric"], pa.array(metrics, pa.string())))
    for name in WHOLE:
        if name not in across and name not in where:
            table = table.filter(pc.is_null(table[name]))
    for name, wanted in where.items():
        several = wanted if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
        values = pa.array(list(several), table.schema.field(name).type)
        table = table.filter(pc.is_in(table[name], values))
    if not len(table):
        raise ConfigurationError(
            "no number of the results is left for the table; ask for fewer metrics, or for other "
            f"values than {where or 'those of whole splits'}"
        )
    return table


def layout(
    table: pa.Table,
    rows: tuple[str, ...],
    columns: tuple[str, ...],
    percent: Collection[str] | None,
    bold_best: bool,
) -> Grid:
    """Put the numbers into rows and columns, in the order in which they come.

    Raises
    ------
    ConfigurationError
        Several numbers come into one cell.
    """
    found = table.to_pylist()
    metrics = list(dict.fromkeys(r["metric"] for r in found))
    heads = columns if "metric" in (*rows, *columns) or len(metrics) == 1 else (*columns, "metric")
    at: dict[tuple[Any, ...], dict[tuple[Any, ...], dict[str, Any]]] = {}
    order: dict[tuple[Any, ...], None] = {}
    for row in found:
        line, column = tuple(row[n] for n in rows), tuple(row[n] for n in heads)
        order.setdefault(column)
        there = at.setdefault(line, {})
        if column in there:
            raise _crowded(row, there[column], (*rows, *heads))
        there[column] = row
    best = _best(at, list(order)) if bold_best else set()
    cells = tuple(
        tuple(_cell(there[c], percent, (line, c) in best) if c in there else None for c in order)
        for line, there in at.items()
    )
    names = tuple(tuple(_word(v) for v in line) for line in at)
    titles = tuple(", ".join(_word(v) for v in column) for column in order)
    return Grid(rows, titles, names, cells, _notes(found, metrics, heads, rows, percent))


def _crowded(
    one: Mapping[str, Any], other: Mapping[str, Any], across: Sequence[str]
) -> ConfigurationError:
    differ = [n for n in NUMBERED if one[n] != other[n] and n not in across]
    cell = ", ".join(f"{n} {one[n]!r}" for n in across)
    what = ", ".join(differ) or "nothing"
    return ConfigurationError(
        f"several numbers would come into one cell ({cell}): they differ in {what}; add that to "
        "rows or columns, or choose with where="
    )


def _best(
    at: Mapping[tuple[Any, ...], Mapping[tuple[Any, ...], Mapping[str, Any]]],
    columns: Sequence[tuple[Any, ...]],
) -> set[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    best = set()
    for column in columns:
        there = [(line, row[column]) for line, row in at.items() if column in row]
        known = [(line, r) for line, r in there if r["value"] is not None]
        if len({r["metric"] for _, r in known}) != 1 or len(known) < 2:
            continue
        values = [r["value"] for _, r in known]
        top = (
            min(values)
            if known[0][1]["metric"].removeprefix("full_spectrum_").startswith(LOWER)
            else max(values)
        )
        best |= {(line, column) for line, r in known if r["value"] == top}
    return best


def _is_percent(metric: str, percent: Collection[str] | None) -> bool:
    if percent is not None:
        return metric in percent
    plain = any(word in metric for word in NOT_RATES)
    return metric.removeprefix("full_spectrum_").startswith(RATES) and not plain


def _number(value: float | None, in_percent: bool) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.1f}" if in_percent else f"{value:.3f}"


def _cell(row: Mapping[str, Any], percent: Collection[str] | None, best: bool = False) -> Cell:
    scale = _is_percent(row["metric"], percent)
    rest = []
    if row["low"] is not None or row["high"] is not None:
        rest.append(f"[{_number(row['low'], scale)}, {_number(row['high'], scale)}]")
    if row["n_id"] is not None and row["n_ood"] is not None:
        rest.append(f"n = {row['n_id']} + {row['n_ood']}")
    elif row["n"] is not None:
        rest.append(f"n = {row['n']}")
    if row["spread"] is not None:
        seeds = f" over {row['n_seeds']} seeds" if row["n_seeds"] is not None else ""
        rest.append(f"{row['spread']}{seeds}")
    return Cell(_number(row["value"], scale), ", ".join(rest), best)


def _word(value: Any) -> str:
    return "–" if value is None else str(value)


def _notes(
    found: Sequence[Mapping[str, Any]],
    metrics: Sequence[str],
    heads: Sequence[str],
    rows: Sequence[str],
    percent: Collection[str] | None,
) -> tuple[str, ...]:
    shown = [m for m in metrics if _is_percent(m, percent)]
    scale = (
        "In percent"
        if len(shown) == len(metrics)
        else (
            f"In percent: {', '.join(shown)}; the others as they are" if shown else "Not in percent"
        )
    )
    what = "" if "metric" in (*heads, *rows) else f"{metrics[0]}. "
    levels = sorted({r["level"] for r in found if r["low"] is not None and r["level"]})
    sure = " and ".join(f"{100 * level:g} %" for level in levels)
    methods = ", ".join(dict.fromkeys(r["method"] for r in found if r["method"]))
    interval = f", with {sure} intervals ({methods}) and n" if sure else ", with n"
    positives = sorted({r["positive"] for r in found if r["positive"]})
    positive = f" Positive: {', '.join(positives)}." if positives else ""
    parts = (part for r in found for part in (r["digest"] or "").split("+") if part)
    digests = list(dict.fromkeys(part[:12] for part in parts))
    few = ", ".join(digests[:6]) + (f", … ({len(digests)} in all)" if len(digests) > 6 else "")
    protocols = ", ".join(dict.fromkeys(r["protocol"] for r in found))
    return (f"{what}{scale}{interval}.{positive} Digests: {few or 'none'}; protocol: {protocols}.",)


_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#~$&!])")


def _markdown_text(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", printable(text))


def markdown(grid: Grid) -> str:
    """The table in Markdown."""
    titles = [*map(_markdown_text, grid.heads), *map(_markdown_text, grid.columns)]
    lines = ["| " + " | ".join(titles) + " |"]
    lines.append("|" + "---|" * len(grid.heads) + "--:|" * len(grid.columns))
    for names, cells in zip(grid.names, grid.cells, strict=True):
        shown = [_markdown_cell(c) for c in cells]
        lines.append("| " + " | ".join([*map(_markdown_text, names), *shown]) + " |")
    return "\n".join([*lines, "", *(_markdown_text(n) + "\n" for n in grid.notes)])


def _markdown_cell(cell: Cell | None) -> str:
    if cell is None:
        return ""
    value = f"**{cell.value}**" if cell.best else cell.value
    return f"{value} {_markdown_text(cell.rest)}".strip()


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "…": r"\ldots{}",
}


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in printable(text))


def latex(grid: Grid) -> str:
    """The table in LaTeX, with the rules of booktabs."""
    titles = [*map(_latex_text, grid.heads), *map(_latex_text, grid.columns)]
    lines = [
        r"% needs \usepackage{booktabs}",
        rf"\begin{{tabular}}{{{'l' * len(grid.heads)}{'r' * len(grid.columns)}}}",
        r"\toprule",
        " & ".join(titles) + r" \\",
        r"\midrule",
    ]
    for names, cells in zip(grid.names, grid.cells, strict=True):
        shown = [_latex_cell(c) for c in cells]
        line = " & ".join([*map(_latex_text, names), *shown])
        # After a line's end LaTeX takes [ and * for an argument.
        lines.append(("{}" if line.startswith(("[", "*")) else "") + line + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join([*lines, *(rf"\par {_latex_text(n)}" for n in grid.notes), ""])


def _latex_cell(cell: Cell | None) -> str:
    if cell is None:
        return ""
    value = (
        _latex_text(cell.value).replace("-", r"$-$", 1)
        if cell.value[0] == "-"
        else (_latex_text(cell.value))
    )
    value = rf"\textbf{{{value}}}" if cell.best else value
    return value + (rf" {{\scriptsize {_latex_text(cell.rest)}}}" if cell.rest else "")


def overview(table: pa.Table, points: int, selection: str, notes: Sequence[str], lines: int) -> str:
    """The numbers of whole splits, one a line."""
    whole = table
    for name in WHOLE:
        whole = whole.filter(pc.is_null(whole[name]))
    models = len(pc.unique(table["model"]))
    said = [
        f"{len(table)} numbers of {models} model{'s' * (models != 1)}, {points} points of curves; "
        f"how models were selected is {selection}"
    ]
    made = []
    for row in whole.slice(0, lines).to_pylist():
        cell = _cell(row, None)
        whose = [
            row[n] for n in ("model", "seed", "epoch", "config", "split") if row[n] is not None
        ]
        unit = " %" if _is_percent(row["metric"], None) and row["value"] is not None else ""
        made.append((" ".join(map(str, whose)), row["metric"], cell.value + unit, cell.rest))
    widths = [max((len(printable(m[i])) for m in made), default=0) for i in range(3)]
    for whose_, metric, value, rest in made:
        said.append(
            f"  {printable(whose_):{widths[0]}}  {printable(metric):{widths[1]}}  "
            f"{value:>{widths[2]}}  {rest}".rstrip()
        )
    if len(table) > len(made):
        said.append(f"  … and {len(table) - len(made)} more, in the results file")
    return "\n".join([*said, *(f"note: {printable(n)}" for n in notes)])
