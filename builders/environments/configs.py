"""The splits of a design, and what the card says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.plan import ConfigPlan, SplitPlan
from shiftbench.schema import ClassLabel, Feature, Value, unique_slugs

from ..shared.assembly import Held, coded, split_plan
from .designs import Design
from .parts import Shares, balanced, novel_classes, tested
from .prepared import Prepared

__all__ = ["ENVIRONMENT", "Options", "make_config"]

Codes = NDArray[np.int64]

Trained = Callable[[str], Mapping[str, Codes]]

ENVIRONMENT = "environment"
"""The column of every split that names the environment."""

NOVEL = "held-out classes"
"""What the OOD set of the classes kept out is called."""


@dataclass(frozen=True)
class Options:
    """What is the same in every config."""

    shares: Shares
    near: tuple[str, ...] = ()
    far: tuple[str, ...] = ()
    balance_labels: bool = False


@dataclass
class _Parts:
    """Rows by split, and what was left out on the way."""

    rows: dict[str, Codes] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    def leave_out(self, why: str, n: int) -> None:
        if n:
            self.left_out[why] = self.left_out.get(why, 0) + n


def make_config(
    prepared: Prepared, design: Design, options: Options, seed: int, trained: Trained
) -> ConfigPlan:
    """The config of a design.

    Parameters
    ----------
    prepared : Prepared
    design : Design
    options : Options
    seed : int
    trained : callable
        From an environment to its rows by split, see `parts.trained`; every config asks.

    Raises
    ------
    ConfigurationError
        A split would be empty, or there is nothing to test that is not in-distribution.
    """
    parts = _Parts()
    known, tests = _known(prepared, design, options, parts, seed, trained)
    novel = _semantic(prepared, design, options, parts, seed)
    if not tests and not novel:
        raise ConfigurationError(
            "nothing is held out, so there is no OOD test; name environments with --held-out, "
            "--near or --far, or classes with --held-out-classes"
        )
    several = len(tests) + len(novel) > 1
    slugs = unique_slugs([*tests, *novel]) if several else {}
    semantic = bool(novel)
    splits = [
        _split(prepared, role, role, _shift(role), rows, semantic, role)
        for role, rows in known.items()
        if len(rows)
    ]
    for title, rows in tests.items():
        name = f"ood_test_{slugs[title]}" if several else "ood_test"
        splits.append(_split(prepared, name, "ood_test", "covariate", rows, semantic, title))
    for title, (shift, rows) in novel.items():
        name = f"ood_test_{slugs[title]}" if several else "ood_test"
        splits.append(_split(prepared, name, "ood_test", shift, rows, semantic, title))
    features: dict[str, Feature] = {"label": ClassLabel(prepared.classes)}
    if prepared.several:
        features[ENVIRONMENT] = Value("string")
    if semantic:
        features["is_ood"] = Value("bool")
    return ConfigPlan(
        name=design.name,
        features=features,
        splits=tuple(splits),
        title=design.title,
        description=_description(prepared, design, novel),
        notes=_notes(prepared, design, options, parts, splits, novel),
    )


def _known(
    prepared: Prepared,
    design: Design,
    options: Options,
    parts: _Parts,
    seed: int,
    trained: Trained,
) -> tuple[dict[str, Codes], dict[str, Codes]]:
    """Rows of the splits whose classes are trained on, by role, and of the tests held out."""
    found = [trained(name) for name in design.train]
    roles = ("train", "validation", "id_test", "train_unlabeled")
    known = {role: _joined([f[role] for f in found if role in f]) for role in roles}
    there = np.unique(prepared.label[known["train"]])
    if len(there) < 2:
        raise ConfigurationError(
            f"{', '.join(map(repr, design.train))} would be trained on with "
            f"{len(there)} class only; train on more environments"
        )
    known["ood_validation"] = _joined([prepared.rows(n) for n in design.ood_validation])
    known["ood_validation"] = _of_classes(prepared, known["ood_validation"], there, parts)
    tests: dict[str, Codes] = {}
    unlabeled = []
    for name in (*design.ood_validation, *design.held_out):
        n = int(prepared.novel[prepared.rows(name)].sum())
        parts.leave_out("held-out classes of other environments", n)
    for name in design.held_out:
        of = tested(prepared, name, options.shares, seed)
        tests[name] = _of_classes(prepared, of["ood_test"], there, parts)
        if "target_unlabeled" in of:
            unlabeled.append(_of_classes(prepared, of["target_unlabeled"], there, parts))
        if not len(tests[name]):
            raise ConfigurationError(
                f"the environment {name!r} has no example of the classes trained on "
                f"({', '.join(prepared.classes[i] for i in there[:8].tolist())}); a test by "
                "meaning is what --near and --far make"
            )
    known["target_unlabeled"] = _joined(unlabeled)
    for role in ("validation", "id_test", "train_unlabeled"):
        known[role] = _of_classes(prepared, known[role], there, parts)
    if not len(known["id_test"]):
        raise ConfigurationError(
            f"no example of the classes trained on is left for id_test; make it larger with --test "
            f"(now {options.shares.test:g})"
        )
    if options.balance_labels:
        known = {role: _same_shares(prepared, r, role, parts, seed) for role, r in known.items()}
        tests = {n: _same_shares(prepared, r, n, parts, seed) for n, r in tests.items()}
    return known, tests


def _semantic(
    prepared: Prepared, design: Design, options: Options, parts: _Parts, seed: int
) -> dict[str, tuple[str, Codes]]:
    """Shift and rows of the OOD sets by meaning."""
    found: dict[str, tuple[str, Codes]] = {}
    taken = [novel_classes(prepared, name, options.shares, seed) for name in design.train]
    if any(len(rows) for rows, _, _ in taken):
        found[NOVEL] = ("near", _joined([rows for rows, _, _ in taken]))
        parts.leave_out(
            "their clusters are tested on held-out classes", sum(len(t[1]) for t in taken)
        )
        parts.leave_out("held-out classes of clusters trained on", sum(len(t[2]) for t in taken))
    elif prepared.novel.any():
        raise ConfigurationError(
            "no example of the held-out classes can be tested on: all are in clusters that are "
            "trained on, or in environments that are not; give more examples or a larger test"
        )
    for shift, names in (("near", options.near), ("far", options.far)):
        found |= {name: (shift, prepared.rows(name)) for name in names}
    return found


def _same_shares(prepared: Prepared, rows: Codes, where: str, parts: _Parts, seed: int) -> Codes:
    if not len(rows):
        return rows
    kept = balanced(prepared, rows, where, seed)
    parts.leave_out("so that class shares are the same", len(rows) - len(kept))
    return kept


def _of_classes(prepared: Prepared, rows: Codes, there: Codes, parts: _Parts) -> Codes:
    label = prepared.label[rows]
    inside = np.isin(label, there)
    parts.leave_out("of classes that are not trained on", int((~inside & (label >= 0)).sum()))
    return rows[inside]


def _joined(rows: Sequence[Codes]) -> Codes:
    return np.sort(np.concatenate([np.empty(0, np.int64), *rows]))


def _shift(role: str) -> str:
    return "covariate" if role in ("ood_validation", "target_unlabeled") else "none"


def _split(
    prepared: Prepared,
    name: str,
    role: str,
    shift: str,
    rows: Codes,
    semantic: bool,
    title: str,
) -> SplitPlan:
    ood = shift in ("near", "far")
    hidden = ood or role in ("train_unlabeled", "target_unlabeled")
    label = np.full(len(rows), -1) if hidden else prepared.label[rows]
    names = pa.array(prepared.environment.names, pa.string())
    columns: dict[str, Any] = {"label": coded(label)}
    if prepared.several:
        columns[ENVIRONMENT] = names.take(pa.array(prepared.environment.codes[rows]))
    if semantic:
        columns["is_ood"] = np.full(len(rows), ood)
    flag = "reject" if ood else "accept"
    return split_plan(name, role, shift, rows, columns, flag=flag, title=title)


def _description(prepared: Prepared, design: Design, novel: Mapping[str, tuple[str, Codes]]) -> str:
    told = []
    if prepared.several:
        told.append(f"Trained in {', '.join(design.train)}")
    if design.held_out:
        told.append(f"tested in {', '.join(design.held_out)}")
    told += [f"{shift} OOD by meaning: {title}" for title, (shift, _) in novel.items()]
    text = "; ".join(told)
    return text[:1].upper() + text[1:] + "."


def _notes(
    prepared: Prepared,
    design: Design,
    options: Options,
    parts: _Parts,
    splits: Sequence[SplitPlan],
    novel: Mapping[str, tuple[str, Codes]],
) -> dict[str, Any]:
    names, codes = prepared.environment.names, prepared.environment.codes
    groups = {}
    for split in splits:
        n = np.bincount(codes[split.index], minlength=len(names)).tolist()
        groups[split.name] = {e: k for e, k in zip(names, n, strict=True) if k}
    notes: dict[str, Any] = {
        **_held(design, options, bool(novel)).note(),
        "groups": groups,
        "shift_columns": [ENVIRONMENT] if prepared.several else [],
        "warnings": [*prepared.warnings, *design.warnings],
    }
    if design.ood_validation and "ood_validation" not in groups:
        told = ", ".join(design.ood_validation)
        notes["warnings"].append(
            f"there is NO ood_validation: {told} has no example of the classes trained on"
        )
    remarks = [*prepared.words, *design.words]
    if remarks:
        notes["remarks"] = remarks
    used = (*design.train, *design.ood_validation, *design.held_out)
    missing = {e: c for e, c in prepared.missing.items() if e in used}
    if missing:
        notes["classes_missing"] = missing
    if parts.left_out:
        notes["left_out"] = parts.left_out
    if options.balance_labels:
        notes["classes_of_each_environment"] = "equally many examples, in every split"
    return notes


def _held(design: Design, options: Options, semantic: bool) -> Held:
    meaning = "; OOD sets by meaning have classes that training has none of" if semantic else ""
    if not design.held_out:
        return Held(
            "P(y) P(x|y)",
            "",
            "which classes there are",
            "id_test is exchangeable with train, cluster by cluster" + meaning,
        )
    if options.balance_labels:
        return Held(
            "P(y | e) P(x | y, e)",
            "P(y | e)",
            "P(x | y, e)",
            "every environment e has equally many examples of each class, in every split" + meaning,
        )
    return Held(
        "P(x, y | e)",
        "",
        "P(x, y | e)",
        "the environment e is another one, with whatever differs between the two (see `balance`)"
        + meaning,
    )
