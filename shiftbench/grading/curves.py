"""Curves over runs: accuracy against distance, share, dose and epoch, and other accuracies."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shiftbench.benchmark import Benchmark
from shiftbench.evaluation.curves import Curve, curve
from shiftbench.evaluation.line import accuracy_on_the_line, effective_robustness
from shiftbench.results import ResultRows
from shiftbench.statistics.estimate import critical

from .classifiers import MAJORITY, MINORITY
from .settings import Settings

__all__ = ["add_curves", "is_finite", "named_distance"]

Record = Mapping[str, Any]

FEWEST_RUNS = 5
"""Runs from which on one accuracy is drawn against another."""
NAMES = ("model", "seed", "epoch")
_OF_ONE_SPLIT = ("spurious_correlation", "attribute_imbalance", "class_imbalance")


@dataclass(frozen=True)
class _Point:
    """A point of a curve: an accuracy and what it is drawn against."""

    x: float
    row: Record
    cluster: str = ""
    x_se: float = math.nan


def add_curves(
    bench: Benchmark,
    distances: Mapping[str, Sequence[Record]],
    settings: Settings,
    out: ResultRows,
) -> list[str]:
    """Draw the accuracies that `out` has against what they may depend on; returns notes.

    Effective robustness, where a baseline is named, goes into its rows.
    """
    found = [
        r
        for r in out.records()
        if r["metric"] == "accuracy" and r["spread"] is None and r["value"] is not None
    ]
    notes = _against_distance(bench, distances, found, settings, out)
    _against_config(bench, found, settings, out)
    _against_epoch(found, out)
    notes += _over_models(bench, found, settings, out)
    return notes


def _against_distance(
    bench: Benchmark,
    distances: Mapping[str, Sequence[Record]],
    found: Sequence[Record],
    settings: Settings,
    out: ResultRows,
) -> list[str]:
    """One curve a run and a distance, over all configs: points are subsets, or splits."""
    between = [d for rows in distances.values() for d in rows if is_finite(d["value"])]
    wanted = [d for d in between if d["kind"] != "membership" and not _of_one_split(d)]
    notes = []
    if between and not wanted:
        notes.append(
            "no curve against distance: the benchmark has distances by membership alone, which do "
            "not say how examples look; measure one between distributions"
        )
    at: dict[tuple[str, str], dict[str, Record]] = {}
    for d in wanted:
        if _is_from_training(bench, d):
            # Of a distance measured twice, with other options, the later one is drawn.
            at.setdefault((d["config"], d["target"]), {})[named_distance(d)] = d
    points: dict[tuple[Any, ...], list[_Point]] = {}
    for row in found:
        for name, d in at.get((row["config"], row["subset"] or row["split"]), {}).items():
            if bench.manifest.configs[row["config"]].splits[row["split"]].role != "ood_test":
                continue
            key = (row["model"], row["seed"], row["epoch"], name)
            points.setdefault(key, []).append(_Point(d["value"], row, row["config"]))
    for (model, seed, epoch, name), series in sorted(points.items(), key=_by_text):
        _draw(
            out,
            f"accuracy_against_{_slug(name)}",
            series,
            x_name=f"{name} from training",
            where={"model": model, "seed": seed, "epoch": epoch},
            settings=settings,
        )
    return notes


def _is_from_training(bench: Benchmark, distance: Mapping[str, Any]) -> bool:
    """Whether the source is what was trained on: the training split, or a task's subsets of it."""
    splits = bench.manifest.configs[distance["config"]].splits
    source = splits.get(distance["source"])
    if source is not None:
        return source.role == "train"
    stated = json.loads(distance["parameters"] or "{}")
    return isinstance(stated, dict) and "train" in stated


def _of_one_split(distance: Record) -> bool:
    """Whether it describes one split alone, and so is no distance between two."""
    name = distance["distance"]
    return name in _OF_ONE_SPLIT or name.endswith("[target]")


def named_distance(row: Record) -> str:
    """A distance by its name, the space it is taken in, and the kind of shift it is of."""
    space = f" in {row['space']}" if row["space"] else ""
    return f"{row['kind']} {row['distance']}{space}"


def _against_config(
    bench: Benchmark, found: Sequence[Record], settings: Settings, out: ResultRows
) -> None:
    """Over configs that differ in one number that their notes name: minority share, or dose."""
    for note in ("minority_share", "dose"):
        levels = {
            name: _mean_level(entry.notes[note])
            for name, entry in bench.manifest.configs.items()
            if note in entry.notes
        }
        if len(set(levels.values())) < 2:
            continue
        points: dict[tuple[Any, ...], list[_Point]] = {}
        for row in found:
            if row["config"] in levels:
                key = tuple(row[n] for n in (*NAMES, "split", "subset"))
                points.setdefault(key, []).append(_Point(levels[row["config"]], row, row["config"]))
        for key, series in sorted(points.items(), key=_by_text):
            where = dict(zip(NAMES, key[:3], strict=True))
            name = " ".join(filter(None, key[3:]))
            _draw(
                out,
                f"accuracy_against_{note}",
                series,
                x_name=note.replace("_", " "),
                where=where,
                settings=settings,
                series=name,
            )


def _mean_level(stated: Any) -> float:
    values = list(stated.values()) if isinstance(stated, Mapping) else [stated]
    return float(sum(values) / len(values))


def _against_epoch(found: Sequence[Record], out: ResultRows) -> None:
    """Accuracy by epoch: points alone, since they are of one run."""
    points: dict[tuple[Any, ...], list[Record]] = {}
    for row in found:
        if row["epoch"] is not None:
            key = tuple(row[n] for n in ("model", "seed", "config", "split", "subset"))
            points.setdefault(key, []).append(row)
    for key, series in sorted(points.items(), key=_by_text):
        if len(series) < 2:
            continue
        model, seed, config, split, subset = key
        for row in sorted(series, key=lambda r: r["epoch"]):
            _point(
                out,
                row,
                curve="accuracy_against_epoch",
                series=" ".join(filter(None, (split, subset))),
                x=float(row["epoch"]),
                x_name="epoch",
                where={"model": model, "seed": seed, "config": config},
            )


def _over_models(
    bench: Benchmark,
    found: Sequence[Record],
    settings: Settings,
    out: ResultRows,
) -> list[str]:
    """OOD against ID accuracy, and the minority's against the majority's; a point is a run."""
    notes: list[str] = []
    at = {(r["config"], r["split"], r["subset"], *(r[n] for n in NAMES)): r for r in found}
    pairs: dict[tuple[Any, ...], list[tuple[Record, Record]]] = {}
    for r in found:
        run = tuple(r[n] for n in NAMES)
        splits = bench.manifest.configs[r["config"]].splits
        if r["subset"] is None and splits[r["split"]].role in ("ood_test", "ood_validation"):
            name = next((s for s, e in splits.items() if e.role == "id_test"), "")
            x = at.get((r["config"], name, None, *run))
            if x is not None:
                key = (r["config"], r["split"], "accuracy_on_the_line", name, r["split"])
                pairs.setdefault(key, []).append((x, r))
        elif (r["subset"] or "").startswith(MINORITY):
            grouping = r["subset"].removeprefix(MINORITY)
            x = at.get((r["config"], r["split"], MAJORITY + grouping, *run))
            if x is not None:
                key = (
                    r["config"],
                    r["split"],
                    "accuracy_on_the_curve",
                    f"majority{grouping}",
                    f"minority{grouping}",
                )
                pairs.setdefault(key, []).append((x, r))
    for (config, split, name, x_name, y_name), points in sorted(pairs.items(), key=_by_text):
        if len(points) < FEWEST_RUNS:
            continue
        _draw(
            out,
            name,
            [
                _Point(x["value"], _on_both(x, y), _run_of(y), _se(x, settings.level))
                for x, y in points
            ],
            x_name=f"accuracy of {x_name}",
            y_name=f"accuracy of {y_name}",
            where={"config": config},
            settings=settings,
            series=split,
        )
        if name == "accuracy_on_the_line" and settings.baseline:
            notes += _robustness(points, settings, out, config, split, x_name)
    return notes


def _on_both(x: Record, y: Record) -> Record:
    """The row of y, resting on the splits of both."""
    return {**y, "digest": "+".join(dict.fromkeys([x["digest"], y["digest"]]))}


def _run_of(row: Record) -> str:
    return json.dumps([row["model"], row["seed"]])


def _robustness(
    points: Sequence[tuple[Record, Record]],
    settings: Settings,
    out: ResultRows,
    config: str,
    split: str,
    compared_to: str,
) -> list[str]:
    """Effective robustness of every run over the line of the baseline's."""
    inside = [y["model"] in settings.baseline for _, y in points]
    if sum(inside) < FEWEST_RUNS:
        return [
            f"{config}/{split}: no effective robustness, the baseline has {sum(inside)} runs there "
            f"and a line takes {FEWEST_RUNS}"
        ]
    line = accuracy_on_the_line(
        [x["value"] for x, _ in points],
        [y["value"] for _, y in points],
        baseline=inside,
        n_id=[x["n"] for x, _ in points],
        n_ood=[y["n"] for _, y in points],
        clusters=[_run_of(y) for _, y in points],
        level=settings.level,
    )
    for x, y in points:
        found = effective_robustness(line, x["value"], y["value"], n_id=x["n"], n_ood=y["n"])
        told = {**found.parameters, "baseline": sorted(settings.baseline), "axes": line.axes}
        out.add(
            replace(found, parameters=told),
            **{n: y[n] for n in (*NAMES, "config", "split")},
            digest=_on_both(x, y)["digest"],
            metric="effective_robustness",
            compared_to=compared_to,
        )
    return []


def _draw(
    out: ResultRows,
    name: str,
    points: Sequence[_Point],
    *,
    x_name: str,
    where: Mapping[str, Any],
    settings: Settings,
    y_name: str = "accuracy",
    series: str = "",
) -> None:
    """Add the points, and what can be told of the curve through them."""
    ordered = sorted(points, key=lambda p: (p.x, _run_of(p.row), p.row["subset"] or ""))
    for p in ordered:
        _point(
            out,
            p.row,
            curve=name,
            series=series or (p.row["subset"] or p.row["split"]),
            x=p.x,
            x_name=x_name,
            y_name=y_name,
            where={n: p.row[n] for n in (*NAMES, "config")},
        )
    if len({p.x for p in ordered}) < 3:
        return
    known = all(math.isfinite(p.x_se) for p in ordered)
    fitted = curve(
        [p.x for p in ordered],
        [p.row["value"] for p in ordered],
        clusters=[p.cluster or str(i) for i, p in enumerate(ordered)],
        x_se=[p.x_se for p in ordered] if known else None,
        y_se=[_se(p.row, settings.level) for p in ordered] if known else None,
        x_name=x_name,
        y_name=y_name,
        level=settings.level,
        seed=settings.seed,
    )
    digests = "+".join(sorted({d for p in ordered for d in p.row["digest"].split("+")}))
    _add_fits(out, name, series, fitted, {**where, "digest": digests})


def _point(
    out: ResultRows,
    row: Record,
    *,
    curve: str,
    series: str,
    x: float,
    x_name: str,
    where: Mapping[str, Any],
    y_name: str = "accuracy",
) -> None:
    out.curve(
        [x],
        [row["value"]],
        low=[_number(row["low"])],
        high=[_number(row["high"])],
        n=[row["n"]],
        **where,
        curve=curve,
        series=series,
        x_name=x_name,
        y_name=y_name,
        digest=row["digest"],
    )


def _add_fits(
    out: ResultRows, name: str, series: str, fitted: Curve, where: Mapping[str, Any]
) -> None:
    """Rows without x: `y_name` says which number of which fit `y` is."""
    for r in fitted.to_rows():
        told = {
            k: r[k]
            for k in ("axes", "method", "p_value", "level", "n_clusters")
            if r.get(k) not in (None, "")
        }
        out.curve(
            [math.nan],
            [_number(r["value"])],
            low=[_number(r["low"])],
            high=[_number(r["high"])],
            n=[r["n"]],
            **where,
            curve=name,
            series=" ".join(filter(None, (series, r["fit"] and f"{r['fit']} fit"))),
            x_name=fitted.x_name,
            y_name=r["quantity"],
            parameters={**told, "of": fitted.y_name, "verdict": fitted.verdict},
        )


def _se(row: Record, level: float) -> float:
    """The standard error that an interval stands for; half a step where it has no width."""
    low, high = row["low"], row["high"]
    if low is None or high is None or not math.isfinite(high - low):
        return math.nan
    return float((high - low) / (2 * critical(level)))


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def is_finite(value: float | None) -> bool:
    """Whether there is a number, and no infinite one.

    Examples
    --------
    >>> is_finite(None), is_finite(0.0)
    (False, True)
    """
    return value is not None and math.isfinite(value)


def _slug(name: str) -> str:
    return "_".join("".join(c if c.isalnum() else " " for c in name.lower()).split())


def _by_text(item: tuple[tuple[Any, ...], Any]) -> list[str]:
    return [str(k) for k in item[0]]
