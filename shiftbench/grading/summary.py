"""What a person reads first of results: a few numbers of each model on each split."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from shiftbench.errors import printable
from shiftbench.results import SELECTION, Results

from .units import CLUSTER

__all__ = ["summary", "tables"]

Record = Mapping[str, Any]

SHOWN = {
    "accuracy": "accuracy",
    "accuracy_worst_group_above_minimum_n": "accuracy of the worst group that is not tiny",
    "mse": "mean squared error",
    "auroc": "AUROC, OOD against id_test",
    "fpr_at_95tpr_id": "OOD accepted where 95 % of ID is kept",
    "auroc_accepted": "AUROC where a detector should see no difference (½ is best)",
    "effective_patches": "independent examples that those of one are worth",
}
PLAIN = {"mse": 4, "effective_patches": 1}
"""Numbers that are not shown in percent, and with how many digits."""
MODELS, CONFIGS = 20, 6


def summary(results: Results, models: int = MODELS, configs: int = CONFIGS) -> str:
    """The few numbers that are looked at first, in percent with their intervals.

    Of several seeds the mean is shown with the standard deviation over seeds, of several epochs
    the last.

    Examples
    --------
    >>> from shiftbench.results import ResultRows
    >>> from shiftbench.statistics import Estimate
    >>> rows = ResultRows(config="birds", digest="4b9f", model="a")
    >>> rows.add(Estimate(0.9, 0.8, 0.95, n=100), metric="accuracy", split="id_test")
    >>> print(summary(rows.results()))
    birds
      accuracy
               id_test
        a      90.0 [80.0, 95.0] n=100
    ...
    """
    every = results.table.to_pylist()
    spreads = {_place(r): r["value"] for r in every if r["spread"] == "std"}
    picked = [r for r in every if _is_shown(r)]
    seeds = max((r["n_seeds"] or 0 for r in picked), default=0)
    lines: list[str] = []
    names = list(dict.fromkeys(r["config"] for r in picked))
    for config in names[:configs]:
        lines.append(printable(str(config)))
        inside = [r for r in picked if r["config"] == config]
        for metric in _in_order({r["metric"] for r in inside}):
            found = [r for r in inside if r["metric"] == metric]
            lines += [f"  {_title(metric)}", *_table(found, metric, models, spreads)]
        lines += _by_patches(results, config, models)
    if len(names) > configs:
        lines.append(f"… and {len(names) - configs} more configs, in the results")
    if seeds:
        lines.append(
            f"± is the standard deviation over up to {seeds} seeds, which leaves out the sampling "
            "of the test set; the results have both"
        )
    lines += [f"note: {printable(n)}" for n in results.notes]
    stated = [n for n in SELECTION if results.selection.get(n) is not None]
    said = "stated" if len(stated) == len(SELECTION) else ", ".join(stated) or "not stated"
    lines.append(
        f"{len(results)} numbers, {len(results.curves)} points of curves; how the models were "
        f"selected: {said}"
    )
    return "\n".join(lines)


def _by_patches(results: Results, config: str | None, models: int) -> list[str]:
    """The AUROC against the number of examples a unit, where the unit is not the cluster."""
    curves: dict[tuple[Any, ...], list[Record]] = {}
    for point in results.curves.to_pylist():
        if (point["config"], point["curve"]) != (config, "auroc_against_patches"):
            continue
        unit = json.loads(point["parameters"] or "{}").get("unit")
        if unit != CLUSTER and point["y"] is not None:
            key = (point["model"], point["seed"], point["epoch"], point["series"])
            curves.setdefault(key, []).append(point)
    if not curves:
        return []
    lines = ["  AUROC, OOD against id_test, by number of examples a unit"]
    for (model, *_, series), points in list(curves.items())[: 3 * models]:
        told = ", ".join(
            f"{p['x']:g}: {100 * p['y']:.1f}" for p in sorted(points, key=lambda p: p["x"])
        )
        lines.append(printable(f"    {model or 'all'} {series}  {told}"))
    if len(curves) > 3 * models:
        lines.append(f"    … and {len(curves) - 3 * models} more curves, in the results")
    return lines


def tables(results: Results, kind: str) -> str:
    """Markdown or LaTeX tables: of each config the main metrics, models down, splits across.

    Of a model with several seeds the means over seeds are shown. Where groups were asked for by
    column, their accuracies follow in a table of their own.

    Examples
    --------
    >>> from shiftbench.results import ResultRows
    >>> from shiftbench.statistics import Estimate
    >>> rows = ResultRows(config="birds", digest="4b9f", model="a")
    >>> rows.add(Estimate(0.9, 0.8, 0.95, n=100), metric="accuracy", split="id_test")
    >>> "90.0" in tables(rows.results(), "markdown")
    True
    """
    made = []
    shown = [r for r in results.table.to_pylist() if r["split"] is not None]
    for config in dict.fromkeys(r["config"] for r in shown):
        inside = _one_row_each([r for r in shown if r["config"] == config])
        whole = [r for r in inside if r["subset"] is None and _title(r["metric"])]
        groups = [r for r in inside if r["metric"] == "accuracy" and ": " in (r["subset"] or "")]
        for part, down in ((whole, ("model",)), (groups, ("model", "subset"))):
            if part:
                title = f"**{config}**" if kind == "markdown" else f"% {config}"
                made.append(f"{title}\n\n{_written(part, down, kind, results)}")
    said = [f"{'%' if kind == 'latex' else '>'} note: {printable(n)}" for n in results.notes]
    return "\n\n".join([*made, "\n".join(said)])


def _one_row_each(rows: Sequence[Record]) -> list[Record]:
    """The mean over seeds of a number where it has one, else the single runs."""
    averaged = {_place(r) for r in rows if r["spread"] == "mean"}
    return [
        r
        for r in rows
        if r["spread"] == ("mean" if _place(r) in averaged else None) and r["value"] is not None
    ]


def _written(part: Sequence[Record], down: tuple[str, ...], kind: str, results: Results) -> str:
    several = [n for n in ("seed", "epoch") if len({r[n] for r in part}) > 1]
    one = Results(pa.Table.from_pylist(list(part), schema=results.table.schema))
    return (one.markdown if kind == "markdown" else one.latex)(
        rows=(*down, *several),
        columns="split",
        where={
            "spread": sorted({r["spread"] for r in part}, key=str),
            "subset": sorted({r["subset"] for r in part}, key=str),
        },
    )


def _title(metric: str) -> str:
    """The words above a metric's table; empty where it is not shown."""
    name, _, unit = metric.partition("_by_")
    if unit == CLUSTER:  # nobody asked for it
        return ""
    title = SHOWN.get(name, "")
    return f"{title}, by {printable(unit)}" if title and unit else title


def _in_order(metrics: Iterable[str]) -> list[str]:
    """As in `SHOWN`; by unit right after that of single examples."""
    names = list(SHOWN)
    return sorted(metrics, key=lambda m: (names.index(m.partition("_by_")[0]), m))


def _is_shown(row: Record) -> bool:
    if not _title(row["metric"]) or row["split"] is None or row["value"] is None:
        return False
    if row["spread"] not in (None, "mean"):
        return False
    whole = row["subset"] is None
    return whole or row["metric"].startswith("accuracy_worst_group")


def _table(
    found: Sequence[Record], metric: str, models: int, spreads: Mapping[Any, float]
) -> list[str]:
    """Models down, splits across; the last column is not padded."""
    splits = list(dict.fromkeys(r["split"] for r in found))
    names = list(dict.fromkeys(r["model"] for r in found))
    cells = [["", *splits]]
    for model in names[:models]:
        own = [r for r in found if r["model"] == model]
        cells.append([printable(model or "all"), *(_cell(own, s, metric, spreads) for s in splits)])
    widths = [max(6, *(len(row[i]) for row in cells)) for i in range(len(cells[0]))]
    lines = [
        "    " + " ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    if len(names) > models:
        lines.append(f"    … and {len(names) - models} more models, in the results")
    return lines


def _cell(own: Sequence[Record], split: str, metric: str, spreads: Mapping[Any, float]) -> str:
    here = [r for r in own if r["split"] == split]
    if not here:
        return "–"
    last = max((r["epoch"] if r["epoch"] is not None else -1) for r in here)
    here = [r for r in here if (r["epoch"] if r["epoch"] is not None else -1) == last]
    row = next((r for r in here if r["spread"] == "mean"), here[0])
    plain = PLAIN.get(metric.partition("_by_")[0])
    scale, digits = (100, 1) if plain is None else (1, plain)
    text = f"{scale * row['value']:.{digits}f}"
    if row["spread"] == "mean":
        std = spreads.get(_place(row))
        text += "" if std is None else f" ± {scale * std:.{digits}f}"
        return f"{text} n={row['n']}"
    bounds = [row["low"], row["high"]]
    if all(b is not None and math.isfinite(b) for b in bounds):
        text += " [" + ", ".join(f"{scale * b:.{digits}f}" for b in bounds) + "]"
    group = json.loads(row["parameters"] or "{}").get("group") if row["subset"] else None
    return f"{text} n={row['n']}" + (f" {printable(str(group))}" if group else "")


def _place(row: Record) -> tuple[Any, ...]:
    return tuple(row[n] for n in ("model", "epoch", "config", "split", "subset", "metric"))
