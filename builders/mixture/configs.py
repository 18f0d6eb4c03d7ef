"""The configs of the mixtures: one a dose of training, one of test mixtures, one of streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError
from shiftbench.plan import ConfigPlan, SplitPlan
from shiftbench.schema import ClassLabel, Feature, Value

from ..shared.assembly import Held, coded, split_plan
from .components import SOURCE, TARGET, Components, divided
from .drifts import Drift
from .nested import Pools, pools, size_of
from .streams import drift_rows, stream_of

__all__ = ["LEAST", "Settings", "dose_name", "stream_config", "test_config", "train_configs"]

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]

LEAST = 10
"""A mixture of fewer examples has no doses to speak of."""
FEW = 100

_SHARED = (
    "the OOD tests are drawn from one pool and share examples with one another; no cluster of "
    "theirs is in another split"
)


@dataclass(frozen=True)
class Settings:
    """What the configs go by: options of `Mixtures`."""

    by: str
    doses: tuple[float, ...]
    drifts: tuple[Drift, ...]
    stratify: bool
    size: int | None
    test_size: int | None
    shares: Mapping[str, float]


@dataclass(eq=False)
class _Made:
    """The splits of a config so far, and what is to be said of them."""

    both: Components
    timed: bool = False
    splits: list[SplitPlan] = field(default_factory=list)
    groups: dict[str, dict[str, int]] = field(default_factory=dict)
    doses: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def add(
        self,
        name: str,
        role: str,
        rows: Codes,
        *,
        shift: str = "none",
        title: str = "",
        dose: float | None = None,
        time: Floats | None = None,
    ) -> None:
        """A split of some rows; those of a stream stand in the order of time, with their doses."""
        found, n = self.both.found, len(rows)
        target = self.both.codes[rows] == TARGET
        columns: dict[str, Any] = {
            "label": coded(found.label.codes[rows]),
            "component": pc.if_else(pa.array(target), "target", "source"),
        }
        if self.timed:
            columns["time"] = pa.nulls(n, pa.int64()) if time is None else pa.array(np.arange(n))
            columns["dose"] = pa.nulls(n, pa.float64()) if time is None else pa.array(time)
        self.splits.append(split_plan(name, role, shift, rows, columns, title=title))
        counts = [int((~target).sum()), int(target.sum())]
        self.groups[name] = dict(zip(("source", "target"), counts, strict=True))
        if dose is not None:
            self.doses[name] = {"intended": dose, "achieved": counts[1] / n, "examples": n}
        if role.endswith("test") and n < FEW:
            self.warnings.append(f"{name} has {n} examples only: intervals on it are wide")

    def config(self, settings: Settings, name: str, **told: Any) -> ConfigPlan:
        """The config, with its notes."""
        features: dict[str, Feature] = {
            "label": ClassLabel(self.both.found.label.names),
            "component": Value("string"),
        }
        if self.timed:
            features |= {"time": Value("int64"), "dose": Value("float64")}
        shown = {k: told.pop(k) for k in ("title", "description")}
        notes = {
            **_held(settings.stratify).note(),
            **_prior(self.both, settings.stratify),
            **({"doses": self.doses} if self.doses else {}),
            **told,
            "groups": self.groups,
            "shift_columns": [settings.by, *(c for c in features if c != "label")],
            "warnings": self.warnings,
        }
        return ConfigPlan(name, features, tuple(self.splits), notes=notes, **shown)


def train_configs(both: Components, settings: Settings, seed: int) -> list[ConfigPlan]:
    """Training on mixtures: a config a dose, all with the same pure tests."""
    parts = divided(
        both,
        settings.shares,
        (("train", "validation", "id_test"), ("train", "validation", "ood_test")),
        seed,
        "mixture",
    )
    held = {
        part: _pools(both, settings, parts[part, SOURCE], parts[part, TARGET], seed, part)
        for part in ("train", "validation")
        if (part, SOURCE) in parts
    }
    sizes = {
        part: size_of(held[part], settings.doses, settings.size if part == "train" else None,
                      part, LEAST)
        for part in held
    }  # fmt: skip
    tests = {
        name: _pure(both, settings, parts[name, component], component, seed, name)
        for name, component in (("id_test", SOURCE), ("ood_test", TARGET))
    }
    made = []
    for dose in settings.doses:
        one = _Made(both)
        for part in held:
            rows = np.concatenate(held[part].mixture(dose, sizes[part]))
            one.add(part, part, rows, dose=dose)
        one.add("id_test", "id_test", tests["id_test"], dose=0.0)
        one.add("ood_test", "ood_test", tests["ood_test"], shift="subpopulation", dose=1.0)
        name = dose_name(dose)
        made.append(
            one.config(
                settings,
                f"dose_{name}",
                title=f"{100 * dose:g} % of the target in training",
                description=f"Training on a mixture with {100 * dose:g} % of the target, at the "
                "same size at every dose; tests are the pure source and the pure target.",
                nested="a higher dose replaces source examples of train and validation by target "
                "examples and keeps the others; the tests are the same in all configs",
                steps={"ood_test": _step("share of the target in training", dose)},
            )
        )
    return made


def test_config(both: Components, settings: Settings, seed: int) -> ConfigPlan:
    """Training on the source, tests that are mixtures."""
    made, held = _source_trained(both, settings, seed, _Made(both))
    size = size_of(held, settings.doses, settings.test_size, "ood_test", LEAST)
    steps = {}
    for dose in settings.doses:
        name = f"ood_test_{dose_name(dose)}"
        rows = np.concatenate(held.mixture(dose, size))
        shift = "subpopulation" if dose else "none"
        title = f"{100 * dose:g} % of the target"
        made.add(name, "ood_test", rows, shift=shift, title=title, dose=dose)
        steps[name] = _step("share of the target", dose)
    return made.config(
        settings,
        "mixtures",
        title="Mixtures",
        description="Training on the source; each OOD test is a mixture with a stated share of the "
        "target, at the same size.",
        nested="a higher dose replaces source examples by target examples and keeps the others",
        shared=_SHARED,
        steps=steps,
    )


def stream_config(both: Components, settings: Settings, seed: int) -> tuple[ConfigPlan, pa.Table]:
    """Training on the source, tests that are streams; and their course, the table `drift`."""
    made, held = _source_trained(both, settings, seed, _Made(both, timed=True))
    tables = []
    for drift in settings.drifts:
        name = f"ood_test_{drift.kind}"
        stream = stream_of(drift, held, both, settings.test_size, seed, "mixture", LEAST)
        made.add(
            name,
            "ood_test",
            stream.rows,
            shift="subpopulation" if drift.peak else "none",
            title=f"{drift.kind} drift",
            dose=float(stream.doses.mean()),
            time=stream.doses,
        )
        tables.append(drift_rows(name, stream))
    config = made.config(
        settings,
        "stream",
        title="Stream",
        description="Training on the source; each OOD test is a stream in which the share of the "
        "target changes with time.",
        time="the column `time` is the order in which examples come, `dose` the intended share of "
        "the target then, `component` where an example is from; the files keep the order of the "
        "ids",
        shared=_SHARED,
    )
    return config, pa.concat_tables(tables)


def dose_name(dose: float) -> str:
    """A dose in names, in percent.

    Examples
    --------
    >>> dose_name(0.2), dose_name(1.0), dose_name(0.125)
    ('020', '100', '012_5')
    """
    whole, _, rest = f"{100 * dose:.10g}".partition(".")
    return whole.zfill(3) + (f"_{rest}" if rest else "")


def _source_trained(
    both: Components, settings: Settings, seed: int, made: _Made
) -> tuple[_Made, Pools]:
    """The splits of the source, and what the tests are drawn from."""
    parts = divided(
        both,
        settings.shares,
        (("train", "validation", "id_test", "ood_test"), ("ood_test",)),
        seed,
        "mixture of tests",
    )
    for part in ("train", "validation", "id_test"):
        if (part, SOURCE) not in parts:
            continue
        size = settings.size if part == "train" else None
        rows = _pure(both, settings, parts[part, SOURCE], SOURCE, seed, part, size)
        made.add(part, part, rows)
    return made, _pools(
        both, settings, parts["ood_test", SOURCE], parts["ood_test", TARGET], seed, "tests"
    )


def _pools(
    both: Components, settings: Settings, source: Codes, target: Codes, seed: int, part: str
) -> Pools:
    shares = both.label_shares()[SOURCE] if settings.stratify else None
    return pools(both, source, target, seed, f"mixture {part}", shares=shares)


def _pure(
    both: Components,
    settings: Settings,
    rows: Codes,
    component: int,
    seed: int,
    part: str,
    size: int | None = None,
) -> Codes:
    """Rows of one component: all of them, or, stratified or at a size, a draw."""
    wanted = size or (settings.test_size if part.endswith("test") else None)
    if wanted is None and not settings.stratify:
        return rows
    sides: Sequence[Codes] = [rows if c == component else rows[:0] for c in (SOURCE, TARGET)]
    held = _pools(both, settings, sides[0], sides[1], seed, part)
    return held.pure(component, _size_of_one(held, component, wanted, part))


def _size_of_one(held: Pools, component: int, wanted: int | None, part: str) -> int:
    """The size of a draw from one component, refused where the examples do not suffice."""
    most = held.largest(component)
    if max(wanted or 0, LEAST) > most:
        raise ConfigurationError(
            f"{part} of {wanted or LEAST} examples cannot be drawn: {len(held.rows[component])} "
            f"examples are held for it, which suffice for {most}; give a smaller size, larger "
            "shares or more examples"
        )
    return most if wanted is None else wanted


def _step(change: str, dose: float) -> dict[str, Any]:
    return {
        "change": change,
        "parameter": dose,
        "unit": "share",
        "made": "exact",
        "unchanged": "id_test",
        "kinds": ["covariate", "label"],
    }


def _held(stratify: bool) -> Held:
    by = (
        "a mixture is put together of whole counts of examples of the source and of the target, "
        "each drawn in a random order of whole clusters, at one size for all doses: within a "
        "component the splits are exchangeable, and the dose is the only thing that is set"
    )
    if not stratify:
        return Held(
            "P(x, y) = (1 − d) P_source(x, y) + d P_target(x, y)",
            "P_source(x, y), P_target(x, y)",
            "the dose d",
            by,
        )
    return Held(
        "P(x, y) = P(y) [(1 − d) P_source(x|y) + d P_target(x|y)]",
        "P(y), P_source(x|y), P_target(x|y)",
        "the dose d",
        f"{by}; every mixture has the same number of examples of each class",
    )


def _prior(both: Components, stratify: bool) -> dict[str, str]:
    """What becomes of P(y)."""
    source, target = both.label_shares()
    tv = 0.5 * float(np.abs(source - target).sum())
    apart = f"the class priors of source and target are {tv:.3g} apart (total variation)"
    if stratify:
        return {"class_prior": f"that of the source at every dose; in the data {apart}"}
    return {"class_prior": f"{apart}: it moves with the dose; --stratify holds it"}
