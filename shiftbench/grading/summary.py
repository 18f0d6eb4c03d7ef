"""What a person reads first of results: a few numbers of each model on each split."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from shiftbench.errors import printable
from shiftbench.results import Results

__all__ = ["summary", "tables"]

Record = Mapping[str, Any]

SHOWN = {
    "accuracy": "accuracy",
    "accuracy_worst_group_above_minimum_n": "accuracy of the worst group that is not tiny",
    "mse": "mean squared error",
    "auroc": "AUROC, OOD against id_test",
    "fpr_at_95tpr_id": "OOD accepted where 95 % of ID is kept",
    "auroc_accepted": "AUROC where a detector should see no difference (½ is best)",
}
PLAIN = ("mse",)
MODELS, CONFIGS = 20, 6


def summary(results: Results, models: int = MODELS, configs: int = CONFIGS) -> str:
    """The few numbers that are looked at first, in percent with their intervals.

    Of several seeds the mean over seeds is shown with its interval over seeds, of several epochs
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
    picked = [r for r in results.table.to_pylist() if _is_shown(r)]
    lines: list[str] = []
    names = list(dict.fromkeys(r["config"] for r in picked))
    for config in names[:configs]:
        lines.append(printable(str(config)))
        inside = [r for r in picked if r["config"] == config]
        for metric, title in SHOWN.items():
            found = [r for r in inside if r["metric"] == metric]
            if found:
                lines += [f"  {title}", *_table(found, metric, models)]
    if len(names) > configs:
        lines.append(f"… and {len(names) - configs} more configs, in the results")
    lines += [f"note: {printable(n)}" for n in results.notes]
    stated = "stated" if results.selection else "not stated"
    lines.append(
        f"{len(results)} numbers, {len(results.curves)} points of curves; how the models were "
        f"selected is {stated}"
    )
    return "\n".join(lines)


def tables(results: Results, kind: str) -> str:
    """A Markdown or LaTeX table of each config: models down, splits and the main metrics across.

    Of several seeds the means over seeds are shown.

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
    write = results.markdown if kind == "markdown" else results.latex
    picked = [r for r in results.table.to_pylist() if _is_shown(r) and r["subset"] is None]
    for config in dict.fromkeys(r["config"] for r in picked):
        inside = [r for r in picked if r["config"] == config]
        if any(r["spread"] for r in inside):
            inside = [r for r in inside if r["spread"]]
        several = [n for n in ("seed", "epoch") if len({r[n] for r in inside}) > 1]
        text = write(
            metrics=[m for m in SHOWN if any(r["metric"] == m for r in inside)],
            rows=("model", *several),
            columns="split",
            where={"config": config, "spread": inside[0]["spread"]},
        )
        title = f"**{config}**" if kind == "markdown" else f"% {config}"
        made.append(f"{title}\n\n{text}")
    return "\n\n".join(made)


def _is_shown(row: Record) -> bool:
    if row["metric"] not in SHOWN or row["split"] is None or row["value"] is None:
        return False
    if row["spread"] not in (None, "mean"):
        return False
    whole = row["subset"] is None
    return whole or row["metric"].startswith("accuracy_worst_group")


def _table(found: Sequence[Record], metric: str, models: int) -> list[str]:
    """Models down, splits across; the last column is not padded."""
    splits = list(dict.fromkeys(r["split"] for r in found))
    names = list(dict.fromkeys(r["model"] for r in found))
    cells = [["", *splits]]
    for model in names[:models]:
        own = [r for r in found if r["model"] == model]
        cells.append([printable(model or "all"), *(_cell(own, s, metric) for s in splits)])
    widths = [max(6, *(len(row[i]) for row in cells)) for i in range(len(cells[0]))]
    lines = [
        "    " + " ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    if len(names) > models:
        lines.append(f"    … and {len(names) - models} more models, in the results")
    return lines


def _cell(own: Sequence[Record], split: str, metric: str) -> str:
    here = [r for r in own if r["split"] == split]
    if not here:
        return "–"
    last = max((r["epoch"] if r["epoch"] is not None else -1) for r in here)
    here = [r for r in here if (r["epoch"] if r["epoch"] is not None else -1) == last]
    row = next((r for r in here if r["spread"] == "mean"), here[0])
    scale, digits = (1, 4) if metric in PLAIN else (100, 1)
    text = f"{scale * row['value']:.{digits}f}"
    bounds = [row["low"], row["high"]]
    if all(b is not None and math.isfinite(b) for b in bounds):
        text += " [" + ", ".join(f"{scale * b:.{digits}f}" for b in bounds) + "]"
    if row["spread"] == "mean":
        return f"{text} {row['n_seeds']} seeds"
    group = row["subset"]
    return f"{text} n={row['n']}" + (f" {printable(group)}" if group else "")
