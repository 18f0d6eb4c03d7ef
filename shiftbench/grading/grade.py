"""Grade predictions on a benchmark: read, join, measure every run, then look across the runs."""

from __future__ import annotations

import json
import os
import tomllib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from shiftbench.benchmark import Benchmark
from shiftbench.errors import SourceError
from shiftbench.predictions import Key, Predictions, read_predictions, split_truth
from shiftbench.progress import bar, shown
from shiftbench.results import ResultRows, Results

from .by_unit import grade_by_unit
from .classifiers import grade_predictions
from .comparisons import Answers, compare_runs
from .curves import add_curves
from .detectors import direction_doubt, grade_scores
from .ood_sets import grade_ood_sets
from .over_seeds import spread_over_seeds
from .run import Run
from .settings import Settings

__all__ = ["grade", "read_selection"]


def grade(
    bench: Benchmark,
    files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    config: str | None = None,
    score_is: str = "ood",
    settings: Settings | None = None,
    selection: Mapping[str, Any] | None = None,
    progress: bool | None = None,
) -> Results:
    """Every number that the predictions allow, each with its interval, n and digest.

    Parameters
    ----------
    bench : Benchmark
    files : path, URL, folder, or several
        Predictions; see docs/predictions.md.
    config : str, optional
        Grade this config alone.
    score_is : {"ood", "confidence"}
        What a high score means.
    settings : Settings, optional
    selection : mapping, optional
        How the models were chosen and what they were allowed to see; it travels with the results.
        A key ``seeds`` may say which seeds of data, initialisation and detector a run's seed
        stands for: ``{"0": {"data": 0, "initialisation": 0}, ...}``.
    progress : bool, optional

    Returns
    -------
    Results

    Raises
    ------
    SourceError
        Predictions that cannot be graded; all that is wrong is counted, with the first few.
    ConfigurationError
        A setting that is not allowed.

    Warns
    -----
    UserWarning
        The AUROC is below ½ on most OOD sets, or clusters lie on both sides of a comparison.

    Examples
    --------
    >>> import shiftbench
    >>> results = grade(shiftbench.open("out/"), "predictions.parquet")    # doctest: +SKIP
    >>> print(results.text())                                              # doctest: +SKIP
    """
    chosen = settings or Settings()
    out = ResultRows()
    notes: list[str] = []
    answers = Answers()
    distances = _distances(bench)
    with read_predictions(
        bench, files, config=config, score_is=score_is, progress=progress
    ) as predictions:
        notes += predictions.notes
        runs = predictions.runs()
        with bar("grading", len(runs), "runs", show=shown(progress)) as counted:
            for keys in runs:
                run = _run(bench, predictions, keys)
                notes += grade_scores(run, chosen, out)
                measured = distances.get(run.config, [])
                grade_ood_sets(run, measured, chosen, out)
                notes += grade_by_unit(run, measured, chosen, out)
                notes += grade_predictions(run, chosen, out, answers)
                counted.update(1)
        notes += compare_runs(bench, predictions, answers, chosen, out)
    notes += add_curves(bench, distances, chosen, out)
    notes += spread_over_seeds(out, selection, chosen)
    doubt = direction_doubt(_aurocs(out.records()), score_is)
    if doubt is not None:
        warnings.warn(doubt, stacklevel=3)
        notes.insert(0, doubt)
    return out.results(selection=selection, notes=dict.fromkeys(notes))


def _run(bench: Benchmark, predictions: Predictions, keys: Sequence[Key]) -> Run:
    key = keys[0]
    entry = bench.manifest.configs[key.config]
    names = {k.split for k in keys} | {s for s, e in entry.splits.items() if e.role == "train"}
    return Run(
        {"model": key.model, "seed": key.seed, "epoch": key.epoch},
        key.config,
        entry,
        {k.split: predictions[k] for k in keys},
        {name: split_truth(bench, key.config, name) for name in sorted(names)},
    )


def _aurocs(records: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """By run the AUROC of each OOD set that is to be flagged; means over sets are left out.

    A run without such sets has those to be accepted instead, where ½ is best: of them the upper
    bound is taken, so that chance alone raises no doubt.
    """
    flagged: dict[str, list[float]] = {}
    accepted: dict[str, list[float]] = {}
    for r in records:
        if r["spread"] is not None or '"sets"' in (r["parameters"] or ""):
            continue
        run = [f"{n} {r[n]}" for n in ("model", "seed", "epoch") if r[n] is not None]
        name = ", ".join(run) or "the model"
        if r["metric"] == "auroc":
            flagged.setdefault(name, []).append(r["value"])
        elif r["metric"] == "auroc_accepted" and r["high"] is not None:
            accepted.setdefault(name, []).append(r["high"])
    return accepted | flagged


def _distances(bench: Benchmark) -> dict[str, list[dict[str, Any]]]:
    """The measured distances between splits and subsets of each config."""
    found: dict[str, list[dict[str, Any]]] = {}
    if "shift_distances" in bench.manifest.configs:
        table = bench.table("shift_distances")
        for row in table.filter(pc.is_valid(table["config"])).to_pylist():
            found.setdefault(row["config"], []).append(row)
    return found


def read_selection(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """How models were selected, from a JSON or TOML file.

    Raises
    ------
    SourceError
        The file cannot be read, or holds no mapping.

    Examples
    --------
    >>> read_selection("nowhere.json")
    Traceback (most recent call last):
    shiftbench.errors.SourceError: nowhere.json cannot be read: No such file or directory
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        found = tomllib.loads(text) if str(path).endswith(".toml") else json.loads(text)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise SourceError(f"{path} is neither JSON nor TOML (by its ending): {error}") from error
    if not isinstance(found, dict):
        raise SourceError(
            f"{path} holds a {type(found).__name__}; it should be a mapping such as "
            '{"rule": "best accuracy on validation", "training_saw": "train"}'
        )
    return found
