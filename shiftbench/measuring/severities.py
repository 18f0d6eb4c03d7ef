"""What each stated step of a shift does: the distance it causes, the accuracy it costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.evaluation.gaps import gap
from shiftbench.measuring.examples import Examples, Rows
from shiftbench.measuring.reference import FittedSpace
from shiftbench.measuring.settings import Measurement
from shiftbench.schema import SEVERITIES

__all__ = ["severity_rows"]

Floats = NDArray[np.float64]

MODEL = "logistic regression on the space's features, fitted on the training split"


def severity_rows(
    examples: Examples,
    space: FittedSpace,
    settings: Measurement,
    distances: Sequence[Mapping[str, Any]],
) -> Iterator[dict[str, Any]]:
    """Lines of the table `severities`, for tasks whose notes have `steps`.

    ``notes["steps"][split]`` has the change's name, parameter, unit, how it was made, and the split
    `unchanged` that it is compared with; it
    may have the `kinds` of distances to tell, by default covariate alone. One line a split and
    distance in this space.

    The accuracy is that of inputs (`notes["unit"]`, such as radiographs), whose examples' log odds
    are averaged. Its loss is `gap` between the unchanged inputs and the changed ones, by cluster.

    Parameters
    ----------
    distances : sequence of mapping
        Lines of `shift_distances`, measured already.
    """
    for config in examples.tasks:
        steps: Mapping[str, Mapping[str, Any]] = examples.configs[config].notes.get("steps", {})
        if not steps:
            continue
        try:
            model: _Model | str = _fitted(examples, config, space, settings)
        except ConfigurationError as error:
            model = str(error)
        known = {s for s, e in examples.configs[config].splits.items() if e.rows}
        for split in [s for s in steps if s in known]:
            lost = _lost(model, examples, config, split, steps[split]["unchanged"])
            kinds = steps[split].get("kinds", ("covariate",))
            for found in _of(distances, config, split, space.name, kinds):
                yield dict.fromkeys(SEVERITIES.names) | {
                    "config": config,
                    "split": split,
                    "space": space.name,
                    **{k: steps[split][k] for k in ("change", "parameter", "unit", "made")},
                    **found,
                    **lost,
                }


def _of(
    distances: Sequence[Mapping[str, Any]],
    config: str,
    split: str,
    space: str,
    kinds: Sequence[str],
) -> list[dict[str, Any]]:
    """The distances of the split from training in this space; one empty line where none is."""
    found = [
        {
            "distance": d["distance"],
            "shift": d["value"],
            "shift_low": d["low"],
            "shift_high": d["high"],
            "shift_p_value": d["p_value"],
        }
        for d in distances
        if (d["config"], d["target"]) == (config, split)
        and d["space"] in (space, None)
        and d["kind"] in kinds
        and d["p_value"] is not None
    ]
    return found or [{}]


@dataclass(frozen=True)
class _Model:
    classes: tuple[str, ...]
    predict: Any
    space: FittedSpace
    unit: str
    settings: Measurement

    def right(self, rows: Rows) -> tuple[Floats, list[str]]:
        """Whether each input's class was found, and the cluster of each."""
        labelled = np.flatnonzero(np.asarray(rows.table["label"].is_valid()))
        sampled = rows.take(labelled).sample(self.settings.max_examples, self.settings.seed)
        sampled = self.space.readable(sampled)
        table = sampled.table
        units, first, codes = np.unique(
            np.array(table[self.unit].to_pylist(), dtype=object).astype(str),
            return_index=True,
            return_inverse=True,
        )
        odds = self.predict(self.space.features(sampled))
        total = np.zeros((len(units), odds.shape[1]))
        np.add.at(total, codes, odds)
        said = np.array(self.classes, dtype=object)[total.argmax(axis=1)]
        truth = np.array(table["label"].to_pylist(), dtype=object)[first]
        clusters = np.array(table["cluster_id"].to_pylist(), dtype=object)[first]
        return (said == truth).astype(np.float64), clusters.tolist()


def _fitted(examples: Examples, config: str, space: FittedSpace, settings: Measurement) -> _Model:
    from sklearn.linear_model import LogisticRegression

    train = examples.reference_split(config)
    rows = examples.split(config, str(train))
    column = rows.table["label"] if "label" in rows.table.column_names else None
    if column is None or not pa.types.is_string(column.type):
        raise ConfigurationError("the task has no classes for a reference model to tell")
    rows = rows.take(np.flatnonzero(np.asarray(column.is_valid())))
    rows = space.readable(rows.sample(settings.max_examples, settings.seed))
    classes = sorted(set(rows.table["label"].to_pylist()))
    if len(classes) < 2:
        raise ConfigurationError("the training split has fewer than two classes")
    model = LogisticRegression(max_iter=2000, C=0.1)
    model.fit(space.features(rows), rows.table["label"].to_pylist())

    def odds(features: Floats) -> Floats:
        found = np.asarray(model.decision_function(features))
        return np.column_stack([-found, found]) if found.ndim == 1 else found

    unit = examples.configs[config].notes.get("unit", "example_id")
    return _Model(tuple(model.classes_), odds, space, unit, settings)


def _lost(
    model: _Model | str, examples: Examples, config: str, split: str, unchanged: str
) -> dict[str, Any]:
    if isinstance(model, str):
        return {"remark": model}
    settings = model.settings
    sides = [model.right(examples.split(config, s)) for s in (unchanged, split)]
    if min(len(right) for right, _ in sides) == 0:
        return {"remark": "one of the splits has no example with a class"}
    (before, own), (after, others) = sides
    found = gap(before, after, [*own, *others], settings.level)
    return {
        "reference_model": MODEL,
        "accuracy_unchanged": float(before.mean()),
        "accuracy": float(after.mean()),
        "accuracy_lost": found.value,
        "lost_low": found.low,
        "lost_high": found.high,
        "method": found.method,
        "n": found.n,
        "n_clusters": found.n_clusters,
    }
