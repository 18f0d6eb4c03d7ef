"""Made concept shift: the same examples under another label rule, at stated disagreements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.plan import ConfigPlan, SplitPlan
from shiftbench.schema import ClassLabel, Feature, Metadata, Value, unique_slugs

from ..shared.assembly import Held, coded, split_plan
from ..shared.categories import numbers
from ..shared.division import divide
from ..shared.labelled import Labelled, labelled
from .counting import class_counts
from .rules import Rule, annotator_rule, flip_rule, region_rule, threshold_rule
from .strength import STRENGTHS, Level, achieved, reachable, solve, strength_row

__all__ = ["Change", "Shares", "made_config", "made_labels", "made_rule"]

Codes = NDArray[np.int64]

RuleName = Literal["flip", "region", "threshold", "annotators"]

LOW_HIGH = ("low", "high")

OFF = 0.1
"""A disagreement that is off by more than this share of the one asked for is told."""


@dataclass(frozen=True)
class Change:
    """How labels change: the options of `ConceptShift` that say so, by the same names."""

    rule: RuleName
    disagreement: tuple[float, ...]
    noise_from: tuple[str, ...] = ()
    noise_to: tuple[str, ...] = ()
    noise_unit: Literal["example", "cluster"] = "example"
    region: tuple[str, ...] = ()
    threshold_column: str = ""
    threshold: float | None = None
    threshold_quantile: float = 0.5
    threshold_feature: bool = False
    direction: Literal["up", "down"] = "up"
    annotator: str = ""


@dataclass(frozen=True)
class Shares:
    """Shares of the clusters: `test` for id_test, the rest for training."""

    validation: float
    test: float
    unlabeled: float


def made_labels(
    metadata: Metadata,
    label: str,
    classes: Sequence[str],
    change: Change,
    excluded: frozenset[str],
) -> tuple[Labelled, float | None]:
    """The examples with their class, and the threshold that made it, where one did.

    The column of the threshold is taken out of the data, unless it is to be a feature.

    Raises
    ------
    ConfigurationError
        As `labelled`; or the column of the threshold is constant or has no numbers.
    """
    if change.rule != "threshold":
        found = labelled(metadata, label, classes=classes, excluded=excluded)
        return found, None
    name = change.threshold_column
    values = numbers(metadata.examples, name, "threshold_column")
    known = values[~np.isnan(values)]
    if len(np.unique(known)) < 2:
        raise ConfigurationError(
            f"threshold_column names {name!r}, which has {len(np.unique(known))} different values; "
            "two are needed for a label"
        )
    threshold = change.threshold
    if threshold is None:
        at = np.quantile(known, change.threshold_quantile, method="inverted_cdf")
        # Of a column with few values the quantile may be its greatest: nothing lies above that.
        threshold = float(at if at < known.max() else np.unique(known)[-2])
    if not known.min() <= threshold < known.max():
        raise ConfigurationError(
            f"threshold is {threshold:g}, and {name!r} lies between {known.min():g} and "
            f"{known.max():g}; give one that examples lie on both sides of"
        )
    with np.errstate(invalid="ignore"):
        above = np.where(values > threshold, "high", "low")
    column = pa.array(above, pa.string(), mask=np.isnan(values))
    made = "label made by the threshold"
    examples = metadata.examples.append_column(made, column)
    drop = ["label"] if "label" in examples.column_names else []
    found = labelled(
        replace(metadata, examples=examples),
        made,
        classes=LOW_HIGH,
        excluded=excluded,
        drop=drop,
    )
    return found, threshold


def made_rule(found: Labelled, change: Change, threshold: float | None, seed: int) -> Rule:
    """The other label rule, as the change says."""
    old, new = change.noise_from, change.noise_to
    match change.rule:
        case "flip":
            return flip_rule(found, old, new, change.noise_unit, seed)
        case "region":
            return region_rule(found, change.region, old, new, change.noise_unit, seed)
        case "annotators":
            return annotator_rule(found, change.annotator, old, new, seed)
        case "threshold":
            assert threshold is not None
            values = numbers(found.examples, change.threshold_column, "threshold_column")
            return threshold_rule(found, values, threshold, change.direction == "up")


def made_config(
    found: Labelled, rule: Rule, change: Change, shares: Shares, paired: bool, seed: int
) -> tuple[ConfigPlan, pa.Table]:
    """The one config of a made concept shift, and the table `strengths`.

    Parameters
    ----------
    found : Labelled
    rule : Rule
    change : Change
    shares : Shares
    paired : bool
        The OOD tests are the very examples of `id_test`; otherwise an exchangeable part of the
        clusters, as large.
    seed : int
    """
    sizes = {"id_test": shares.test}
    if not paired:
        sizes["target"] = shares.test
    sizes["validation"] = shares.validation
    sizes["target_unlabeled"] = shares.unlabeled
    sizes["train"] = 1 - sum(sizes.values())
    parts = divide(found, sizes, seed, "concept splits")
    target = parts["id_test" if paired else "target"]
    choosing = np.sort(np.concatenate([parts["train"], parts["validation"]]))
    levels = solve(rule, choosing, change.disagreement)
    names = unique_slugs(f"disagreement {level.wanted:g}" for level in levels)

    splits = [
        _split(found, rule, 0.0, name, name, parts[name])
        for name in ("train", "validation", "id_test")
        if len(parts[name])
    ]
    if len(parts["target_unlabeled"]):
        splits.append(_unlabeled(parts["target_unlabeled"], found.label.names))
    config = change.rule
    lines, steps, said = [], {}, {}
    warnings: list[str] = []
    control = next((f"ood_test_{s}" for s, v in _by_level(names, levels) if not v.wanted), None)
    for slugged, level in _by_level(names, levels):
        name = f"ood_test_{slugged}"
        title = f"disagreement {level.wanted:g}"
        splits.append(_split(found, rule, level.knob, name, "ood_test", target, title))
        estimate = achieved(rule.relabelled(level.knob, target), found.cluster[target])
        if abs(level.expected - level.wanted) > OFF * level.wanted:
            warnings.append(
                f"{name}: a disagreement of {level.wanted:g} was asked for, and the nearest that "
                f"the column allows is {level.expected:.3g} (counted on train and validation)"
            )
        lines.append(strength_row(config, name, change.rule, rule, level, estimate))
        said[name] = {
            "intended": level.wanted,
            "achieved": estimate.value,
            "low": lines[-1]["low"],
            "high": lines[-1]["high"],
        }
        steps[name] = {
            "change": "disagreement",
            "parameter": level.wanted,
            "unit": "share of examples",
            "made": "exact",
            "unchanged": control if control and level.wanted else "id_test",
            "kinds": ["concept", "covariate"],
        }
    held = Held("P(x) P(y | x)", "P(x)", "P(y | x)", _by(rule, paired))
    notes: dict[str, Any] = {
        **held.note(),
        "groups": {s.name: class_counts(s, found.label.names) for s in splits},
        "shift_columns": ["original_label", "relabelled"],
        "steps": steps,
        "strengths": said,
        "reachable_disagreement": reachable(rule, choosing),
        "same_examples": (
            "all OOD tests hold the same examples, and what is relabelled at one disagreement is "
            "so at every greater one"
            + ("; id_test holds them too, under the source's rule" if paired else "")
        ),
        "warnings": warnings,
    }
    features: Mapping[str, Feature] = {
        "label": ClassLabel(found.label.names),
        "original_label": ClassLabel(found.label.names),
        "relabelled": Value("bool"),
    }
    plan = ConfigPlan(
        name=config,
        features=features,
        splits=tuple(splits),
        title=config,
        description=f"Concept shift: {rule.words}.",
        notes=notes,
    )
    return plan, pa.Table.from_pylist(lines, schema=STRENGTHS)


def _by_level(names: Mapping[str, str], levels: Sequence[Level]) -> list[tuple[str, Level]]:
    return list(zip(names.values(), levels, strict=True))


def _split(
    found: Labelled,
    rule: Rule,
    knob: float,
    name: str,
    role: str,
    rows: Codes,
    title: str = "",
) -> SplitPlan:
    flags = rule.relabelled(knob, rows)
    old = found.label.codes[rows]
    return split_plan(
        name,
        role,
        "concept" if knob > 0 else "none",
        rows,
        {
            "label": coded(np.where(flags, rule.new[rows], old)),
            "original_label": coded(old),
            "relabelled": flags,
        },
        title=title,
    )


def _unlabeled(rows: Codes, classes: Sequence[str]) -> SplitPlan:
    """Target examples without labels: their x is distributed as the source's."""
    none = pa.nulls(len(rows), pa.int64())
    columns = {
        "label": none,
        "original_label": none,
        "relabelled": pa.nulls(len(rows), pa.bool_()),
    }
    return split_plan("target_unlabeled", "target_unlabeled", "concept", rows, columns)


def _by(rule: Rule, paired: bool) -> str:
    same = (
        "the OOD tests are the examples of id_test with other labels"
        if paired
        else "the OOD tests are an exchangeable part of the clusters, with other labels"
    )
    return f"{same}; {rule.words}"
