"""The configs of a build: for each in-distribution device its splits, as radiographs to cut."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from shiftbench.errors import ConfigurationError
from shiftbench.plan import ConfigPlan, SplitPlan
from shiftbench.radiograph import ACQUISITION_COLUMNS
from shiftbench.schema import ClassLabel, Feature, Value, slug
from shiftbench.transforms.step import Step, acquisition_named

from ._columns import Rows, texts
from .cutting import disjoint_patches
from .decoders import is_exact
from .devices import Devices
from .leaks import check_patients
from .matching import Matching, plan_splits
from .patch_table import LABEL, Sheet, Sheets, change_slug
from .shortcut import plan_shortcut
from .simulated import UNCHANGED, halved
from .splits import Divided, patient_parts

if TYPE_CHECKING:
    from .builder import XrayPatches

__all__ = ["ConfigMaker", "Draft", "DraftSplit", "matching_of"]

MATCHED_BY_DEFAULT = ("finding", "view")

OF_THE_PERSON = ("view", "body_part", "burnt_in")
"""Of the header's columns those that say how the person was imaged, not with what."""


@dataclass(frozen=True)
class DraftSplit:
    """A split as radiographs."""

    name: str
    role: str
    shift: str
    flag: str
    rows: tuple[int, ...]
    change: str = ""
    title: str = ""

    @property
    def sheets(self) -> list[Sheet]:
        """What is cut for it."""
        return [(row, self.change) for row in self.rows]


@dataclass(frozen=True)
class Draft:
    """A config as radiographs."""

    name: str
    title: str
    description: str
    splits: tuple[DraftSplit, ...]
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sheets(self) -> set[Sheet]:
        """All that is cut for it."""
        return {sheet for split in self.splits for sheet in split.sheets}


def matching_of(builder: XrayPatches, radiographs: pa.Table) -> Matching | None:
    """What is to be matched: as asked, or finding and view where the source has them."""
    columns = builder.match
    if columns == ("none",):
        return None
    if columns is None:
        made_of = {part.strip() for part in builder.device.split("*")}
        columns = tuple(
            c
            for c in MATCHED_BY_DEFAULT
            if c in radiographs.column_names
            and c not in made_of
            and radiographs[c].null_count < len(radiographs)
        )
    if not columns:
        return None
    return Matching(columns, method=builder.method, unmatched=builder.unmatched)


class ConfigMaker:
    """Makes the configs of one build; counts what they leave out.

    Parameters
    ----------
    builder : XrayPatches
    radiographs : pa.Table
        Of the source, those that can be used.
    devices : Devices
        Of the same table.
    seed : int
    """

    def __init__(
        self, builder: XrayPatches, radiographs: pa.Table, devices: Devices, seed: int
    ) -> None:
        self.builder, self.radiographs, self.devices, self.seed = (
            builder, radiographs, devices, seed,
        )  # fmt: skip
        self.matching = matching_of(builder, radiographs)
        self.device_of = [devices.names[i] if i >= 0 else None for i in devices.code.tolist()]
        there = LABEL in radiographs.column_names
        self.findings = texts(radiographs[LABEL]) if there else None
        names = sorted({f for f in self.findings or () if f is not None})
        self.classes = {name: i for i, name in enumerate(names)}
        self._slugs = devices.slugs
        self._of_radiograph = {
            n: radiographs[n].to_pylist()
            for n in (LABEL, "view", "rows", "columns")
            if n in radiographs.column_names
        }

    @property
    def counts(self) -> dict[str, int]:
        """Radiographs that are in no config, by reason."""
        found: Counter[str] = Counter()
        for d in self.devices.dropped:
            found[f"radiographs, {d.reason.partition(' (')[0]}"] += len(d.rows)
        return dict(sorted(found.items()))

    def drafts(
        self, group: tuple[str, ...], steps: Sequence[Step], unmade: Sequence[str]
    ) -> Iterator[Draft]:
        """The configs of one in-distribution group; `unmade` is said of the simulated one."""
        title = " + ".join(group)
        name = slug("_".join(self._slugs[g] for g in group))
        if len(group) > 1 and name in self._slugs.values():  # "A+B", and a device "A B"
            name = slug("_and_".join(self._slugs[g] for g in group))
        builder = self.builder
        shares: dict[str, Any] = {
            "validation": builder.validation,
            "test": builder.test,
            "min_patients": builder.min_patients,
            "seed": self.seed,
        }
        if builder.shortcut is not None:
            divided = plan_shortcut(
                self.radiographs, self.devices, group, builder.shortcut, **shares
            )
            yield self._draft(f"{name}_shortcut", title, divided, self._shortcut_words(title))
        elif len(self.devices.names) > len(group):
            divided = plan_splits(
                self.radiographs,
                self.devices,
                group,
                matching=self.matching,
                ood_validation=builder.ood_validation,
                need_ood=not steps,
                **shares,
            )
            if divided.ood_tests:
                words = f"In-distribution: {title}. OOD: patches of other devices."
                yield self._draft(name, title, divided, words)
        if steps:
            yield self._simulated(f"{name}_acquisition", title, group, steps, unmade)

    def _shortcut_words(self, title: str) -> str:
        return (
            f"{title}: the finding goes with the device by {self.builder.shortcut:g} (Cramér's V) "
            "in training; the tests break the correlation or turn it round."
        )

    def _draft(self, name: str, title: str, divided: Divided, description: str) -> Draft:
        titles = {f"ood_test_{s}": original for original, s in divided.slugs.items()}
        titles["ood_validation"] = " + ".join(divided.ood_validation_devices)
        check_patients(divided.splits, self.radiographs)
        splits = []
        for split, rows in divided.splits.items():
            role = "ood_test" if split.startswith("ood_test_") else split
            shifted = role in ("ood_test", "ood_validation")
            reject = divided.shift == "covariate"
            splits.append(
                DraftSplit(
                    split,
                    role,
                    divided.shift if shifted else "none",
                    ("reject" if reject else "accept") if shifted else "accept",
                    tuple(rows.tolist()),
                    title=titles.get(split, ""),
                )
            )
        kept = {d: c["kept"] for d, c in divided.counts.items() if c["kept"]}
        notes = {
            **divided.notes,
            "radiographs_by_device": kept,
            "matched": list(divided.matched),
            "not_matched": list(divided.confounded),
            "remarks": list(divided.words),
            "left_out": [
                f"{len(d.rows)} radiographs of {d.where}: {d.reason}" for d in divided.dropped
            ],
        }
        warnings = [f"{name}: {w}" for w in (*self._unmatched(divided), *divided.warnings)]
        return Draft(name, title, description, tuple(splits), {**notes, "warnings": warnings})

    def _unmatched(self, divided: Divided) -> list[str]:
        """What to say where nothing could be matched, although nobody asked for that."""
        if self.matching or self.builder.match is not None or divided.shift != "covariate":
            return []
        return [
            "NOTHING was matched: the source tells no finding and no view beside the device, so "
            "that patients may differ between the devices unseen; name columns with --match, or "
            "'none' to say that it is meant"
        ]

    def _simulated(
        self,
        name: str,
        title: str,
        group: tuple[str, ...],
        steps: Sequence[Step],
        unmade: Sequence[str],
    ) -> Draft:
        rows = self.devices.rows(group)
        parts: dict[str, Rows] = patient_parts(
            self.radiographs,
            rows,
            validation=self.builder.validation,
            test=self.builder.test,
            seed=self.seed,
        )
        tests = halved(self.radiographs, parts["id_test"], self.seed)
        named = {
            "train": parts["train"],
            "validation": parts["validation"],
            "id_test": tests.unchanged,
        }
        empty = [n for n, r in named.items() if not len(r) and n != "validation"]
        if empty:
            raise ConfigurationError(
                f"the device {title!r} has {len(np.unique(self.devices.patient[rows]))} patients, "
                f"too few for a {empty[0]} split; change --validation and --test"
            )
        of_split = {f"ood_test_{change_slug(str(s))}": s for s in steps}
        changed = dict.fromkeys((*of_split, UNCHANGED), tests.changed)
        check_patients({**named, **changed}, self.radiographs, shared=[tuple(changed)])
        rows_changed = tuple(tests.changed.tolist())
        splits = [
            DraftSplit(n, n, "none", "accept", tuple(r.tolist()))
            for n, r in named.items()
            if len(r)
        ]
        splits.append(
            DraftSplit(UNCHANGED, "ood_test", "none", "accept", rows_changed, title="as they are")
        )
        splits += [
            DraftSplit(split, "ood_test", "covariate", "reject", rows_changed, str(s), str(s))
            for split, s in of_split.items()
        ]
        source = self.builder.source
        surrogates = [str(s) for s in steps if not is_exact(source, s.name)]
        notes = {
            "steps": {
                split: {
                    "change": s.name,
                    "parameter": s.value,
                    "unit": acquisition_named(s.name).unit,
                    "made": "surrogate" if str(s) in surrogates else "exact",
                    "unchanged": UNCHANGED,
                }
                for split, s in of_split.items()
            },
            "remarks": [
                "the changes are shown on the same radiographs, of patients who are in no other "
                f"split; {UNCHANGED} has them as they are, for what a change alone does; there is "
                "no ood_validation",
                *(
                    [
                        "surrogate: made on the finished image, not by imaging again: "
                        + ", ".join(surrogates)
                    ]
                    if surrogates
                    else []
                ),
            ],
        }
        warnings = [f"{name}: {words}" for words in unmade]
        words = f"In-distribution: {title}. OOD: the same device with the acquisition changed."
        return Draft(name, title, words, tuple(splits), {**notes, "warnings": warnings})

    def sheets(self, drafts: Sequence[Draft]) -> tuple[Sheets, dict[Sheet, bool]]:
        """All that is cut, and whether more than one config shows it."""
        shown = Counter(sheet for draft in drafts for sheet in draft.sheets)
        ids = self.radiographs["example_id"].to_pylist()
        return Sheets.of(shown, ids, self.builder.patches), {s: n > 1 for s, n in shown.items()}

    def config(self, draft: Draft, sheets: Sheets) -> ConfigPlan:
        """A config of patches."""
        features: dict[str, Feature] = {"is_ood": Value("bool")}
        if self.classes:
            features = {"label": ClassLabel(tuple(self.classes)), **features}
        return ConfigPlan(
            name=draft.name,
            features=features,
            splits=tuple(self._split(split, sheets) for split in draft.splits),
            title=draft.title,
            description=draft.description,
            notes={
                **self._about(draft),
                **draft.notes,
                "unit": "radiograph",
                "audit_from": ["id_test"],
                "shift_columns": self._shift_columns(),
            },
        )

    def _split(self, split: DraftSplit, sheets: Sheets) -> SplitPlan:
        ordered = sorted(split.sheets, key=sheets.first.__getitem__)
        columns: dict[str, Any] = {"example": pa.array(sheets.rows(ordered), pa.int64())}
        if self.classes:
            assert self.findings is not None
            found = [self.findings[row] for row, _ in ordered]
            labels = [None if f is None else self.classes[f] for f in found]
            each = pa.array(labels, pa.int64())
            columns["label"] = each.take(np.repeat(np.arange(len(ordered)), sheets.patches))
        ood = split.role in ("ood_test", "ood_validation") and split.flag == "reject"
        columns["is_ood"] = pa.array(np.full(len(columns["example"]), ood))
        rows = pa.table(columns)
        return SplitPlan(split.name, split.role, split.shift, split.flag, rows, split.title)

    def _about(self, draft: Draft) -> dict[str, Any]:
        """What the card says in numbers: radiographs and patients, and what their patches show."""
        groups: dict[str, dict[str, int]] = {}
        for split in draft.splits:
            named = Counter(self._group(row) for row in split.rows)
            groups[split.name] = dict(sorted(named.items()))
        of = self._of_radiograph
        rows = sorted({row for row, _ in draft.sheets})
        sized = "rows" in of and "columns" in of
        shapes = [(of["rows"][r], of["columns"][r]) for r in rows] if sized else []
        known = [(h, w) for h, w in shapes if h and w]
        found: dict[str, Any] = {"groups": groups, "patches_per_radiograph": self.builder.patches}
        if self.builder.spacing is not None:
            found["patch_spacing_mm"] = self.builder.spacing
        found["patients"] = {
            s.name: len(np.unique(self.devices.patient[list(s.rows)])) for s in draft.splits
        }
        if known and self.builder.spacing is None and self.builder.region != "body":
            typical = sorted(known)[len(known) // 2]
            disjoint = disjoint_patches(typical, self.builder.cut(self.seed))
            found["patches_as_good_as_disjoint"] = round(disjoint, 2)
        return found

    def _group(self, row: int) -> str:
        of = self._of_radiograph
        parts = [str(of[n][row] or "unknown") for n in (LABEL, "view") if n in of]
        return " ".join(parts) or "all"

    def _shift_columns(self) -> list[str]:
        there = [
            c
            for c in ACQUISITION_COLUMNS
            if c not in OF_THE_PERSON and c in self.radiographs.column_names
        ]
        made_of = [p.strip() for p in self.builder.device.split("*")]
        of_device = [c for c in made_of if c in self.radiographs.column_names]
        return list(dict.fromkeys(["device", "change", *there, *of_device]))
