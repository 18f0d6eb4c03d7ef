"""The options of the corruption family, and its plan: clean splits, and the test corrupted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from shiftbench.errors import ConfigurationError
from shiftbench.measuring.settings import Measurement
from shiftbench.plan import ConfigPlan, Plan, SplitPlan
from shiftbench.schema import ClassLabel, Metadata, Source, Value
from shiftbench.transforms.corruption import CorruptionStep, corruption_named

from ..shared.assembly import Held, card_text, check_texts, options_of
from ..shared.division import divide, random_order
from ..shared.labelled import Labelled, labelled
from .choice import Chosen, choose
from .copies import COLUMNS, UNIT, Copies, copies, slug_of
from .reading import CorruptedReader

__all__ = ["Corruptions"]

HELD = Held(
    factorisation="P(y) P(x|y)",
    fixed="P(y)",
    changed="P(x|y)",
    by="each OOD test shows the very examples of id_test, corrupted, with the labels of the clean "
    "images; whether a corrupted image can still be told is not guaranteed",
)


@dataclass(frozen=True)
class Corruptions:
    """Common corruptions in stated strengths: clean training, and the test examples corrupted.

    After ImageNet-C (Hendrycks & Dietterich 2019, arXiv 1903.12261). One config, `corruption`, with
    an OOD test for each corruption and strength, all of the same examples as `id_test`.

    Parameters
    ----------
    source : Source
        Of images of 8 bits a channel; content columns `mask` or ending in `_mask` move along.
    label : str
        The column of the class. By default `label`, or the class whose contexts the source tells.
    classes : tuple of str
        Classes to take, by default all.
    corruptions : tuple of str
        What is tested: a name (its five severities), name=SEVERITY, name:VALUE (in the corruption's
        unit), or a group: noise, blur, weather, digital, geometric, imagenet_c (fifteen), all;
        group=SEVERITY.
    ood_validation : tuple of str
        Corruptions of `ood_validation`, written in the same way. "auto" takes a family that no test
        is of, geometric first, if there is one; "none" makes no such split.
    validation, test : float
        Shares of the clusters; `ood_validation` gets as many as `validation`.

    Examples
    --------
    >>> from shiftbench.sources import Scenes
    >>> source = Scenes(n_scenes=200, size=32)
    >>> builder = Corruptions(source, classes=("cat", "dog"), corruptions=("fog=3", "jpeg:40"))
    >>> plan = builder.plan(builder.source.scan(), seed=0)
    >>> [split.name for split in plan.configs[0].splits][3:]
    ['ood_validation', 'ood_test_fog_3', 'ood_test_jpeg_at_40']
    """

    source: Source
    label: str = ""
    classes: tuple[str, ...] = ()
    corruptions: tuple[str, ...] = ("gaussian_noise", "motion_blur", "fog", "jpeg")
    ood_validation: tuple[str, ...] = ("auto",)
    validation: float = 0.1
    test: float = 0.3

    name: ClassVar[str] = "corruption"
    version: ClassVar[str] = "1"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "scenes": {
            "source": {"name": "scenes", "n_scenes": 2000},
            "classes": ("bus", "cat", "dog", "truck"),
        },
        "imagenet_c": {"corruptions": ("imagenet_c",), "ood_validation": ("imagenet_c_extra",)},
        "gaussian_noise_0.01": {"corruptions": ("gaussian_noise:0.1",)},
    }
    measurement: ClassVar[Measurement] = Measurement(spaces=("pixels",), subsets=False)

    def __post_init__(self) -> None:
        check_texts(self, "classes", "corruptions", "ood_validation")
        for name in ("validation", "test"):
            share = getattr(self, name)
            if not 0 < share < 1:
                raise ConfigurationError(f"{name} is {share}; allowed: between 0 and 1")
        parts = 2 if self.chosen().validation else 1
        if parts * self.validation + self.test >= 1:
            raise ConfigurationError(
                f"validation ({parts} times {self.validation:g}) and test ({self.test:g}) leave "
                "nothing to train on; lower --validation or --test"
            )

    def chosen(self) -> Chosen:
        """The steps that are asked for."""
        return choose(self.corruptions, self.ood_validation)

    def plan(self, metadata: Metadata, seed: int, excluded: frozenset[str] = frozenset()) -> Plan:
        """Clean splits, and the test examples in each corruption; see `Plan`."""
        found = labelled(metadata, self.label, classes=self.classes, excluded=excluded, images=True)
        chosen = self.chosen()
        shares = {"id_test": self.test, "validation": self.validation}
        if chosen.validation:
            shares["ood_validation"] = self.validation
        shares["train"] = 1 - sum(shares.values())
        parts = divide(found, shares, seed, "corruption splits")
        wanted = [(step, parts["id_test"]) for step in chosen.tested]
        if chosen.validation:
            order = random_order(found, parts["ood_validation"], seed, "corruption of validation")
            m = len(chosen.validation)
            wanted += [(step, np.sort(order[k::m])) for k, step in enumerate(chosen.validation)]
        made = copies(found, wanted)
        return Plan(
            builder=self.name,
            version=self.version,
            recipe=self.recipe(),
            seed=seed,
            metadata=replace(
                found.metadata,
                examples=made.examples,
                contexts=found.metadata.contexts.slice(0, 0),
                identity="pixels",
                unit=UNIT,
            ),
            configs=(self._config(found, chosen, parts, made),),
            tables={},
            excluded=excluded,
            counts=found.counts,
        )

    def _config(
        self, found: Labelled, chosen: Chosen, parts: Mapping[str, Any], made: Copies
    ) -> ConfigPlan:
        splits = [made.split(found, r, r, parts[r]) for r in ("train", "validation", "id_test")]
        k = len(chosen.tested)
        if chosen.validation:
            every = range(k, k + len(chosen.validation))
            splits.append(made.split(found, "ood_validation", "ood_validation", every, flag="both"))
        for number, step in enumerate(chosen.tested):
            name = f"ood_test_{slug_of(step)}"
            splits.append(
                made.split(found, name, "ood_test", [number], flag="both", title=_title(step))
            )
        return ConfigPlan(
            name="corruption",
            features={
                "label": ClassLabel(found.label.names),
                "corruption": Value("string"),
                "severity": Value("int32"),
                "parameter": Value("float64"),
            },
            splits=tuple(splits),
            description="Trained on clean images, tested on the same test images clean and "
            "corrupted.",
            notes=_notes(found, chosen, splits),
        )

    def reader(self, seed: int) -> CorruptedReader:
        """From a locator to the content, the image corrupted where it says so."""
        return CorruptedReader(self.source.reader(), seed)

    def recipe(self) -> dict[str, Any]:
        """The options, as plain values."""
        return options_of(self)

    def card(self) -> str:
        """What the card says of every benchmark of this family."""
        return card_text(self.name)


def _title(step: CorruptionStep) -> str:
    kind = corruption_named(step.name)
    level = "" if step.severity is None else f"severity {step.severity}, "
    return f"{step.name}: {level}{step.value:.4g} ({kind.unit})"


def _notes(found: Labelled, chosen: Chosen, splits: list[SplitPlan]) -> dict[str, Any]:
    clean = [s for s in splits if s.role in ("train", "validation", "id_test")]
    names = found.label.names
    notes: dict[str, Any] = {
        **HELD.note(),
        "groups": {
            s.name: {
                name: int(n)
                for name, n in zip(
                    names,
                    np.bincount(s.rows["label"].to_numpy(), minlength=len(names)),
                    strict=True,
                )
            }
            for s in clean
        },
        "shift_columns": [*COLUMNS, UNIT],
        "steps": {
            f"ood_test_{slug_of(step)}": {
                "change": step.name,
                "parameter": step.value,
                "unit": corruption_named(step.name).unit,
                "made": "surrogate",
                "unchanged": "id_test",
                "kinds": ["covariate"],
            }
            for step in chosen.tested
        },
        "repeats": {s.name: "id_test" for s in splits if s.role == "ood_test"},
        "same_examples": "every ood_test_… split shows the examples of id_test: compare them in "
        "pairs (by unchanged_id, or by cluster), and do not count them twice",
    }
    if chosen.validation:
        notes["ood_validation"] = "each example with one corruption, drawn from " + ", ".join(
            dict.fromkeys(s.name for s in chosen.validation)
        )
    if chosen.shared:
        notes["warnings"] = [
            f"ood_validation has other corruptions than the tests, but of the same families "
            f"({', '.join(chosen.shared)}): what is tuned on it has seen something like the tests"
        ]
    return notes
