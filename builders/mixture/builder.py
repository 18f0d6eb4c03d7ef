"""Mixtures of a source and a target: dose–response, and streams that drift."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pyarrow as pa

from shiftbench.errors import ConfigurationError
from shiftbench.measuring.settings import Measurement
from shiftbench.plan import ConfigPlan, Plan
from shiftbench.schema import Metadata, Source

from ..shared.assembly import AS_THEY_ARE, card_text, check_texts, options_of
from ..shared.labelled import labelled
from .components import components
from .configs import LEAST, Settings, dose_name, stream_config, test_config, train_configs
from .drifts import Drift

__all__ = ["Mixtures"]

_DRIFTS = ("sudden", "gradual", "recurring")


@dataclass(frozen=True)
class Mixtures:
    """Benchmarks of two groups mixed at stated doses, or in a stream that drifts.

    Parameters
    ----------
    source : Source
        Where examples come from: images or tables.
    by : str
        Column whose values tell the two groups; "context" is the context of an image's class.
    target_values : tuple of str
        Values of the target group.
    source_values : tuple of str
        Values of the source group; by default all others.
    doses : tuple of float
        Shares of the target in a mixture, from 0 to 1.
    mixed : str
        train: a config a dose, whose training and validation are mixtures and whose tests are the
        pure groups. test: one config, trained on the source, with an OOD test a dose.
    stratify : bool
        The same number of examples of each class at every dose, in the shares of the source.
    drift : tuple of str
        Streams to add, in a config of their own: sudden, gradual, recurring.
    change_points : tuple of float
        Where a sudden or gradual drift changes, as shares of the stream: to the target, back, …
    width : float
        Of a gradual change, as a share of the stream.
    ramp : str
        Of a gradual change: sigmoid or linear.
    period : float
        Of a recurring drift, as a share of the stream: half source, half target.
    peak : float
        Highest share of the target in a stream.
    label : str
        Column of the class; "" takes the column `label`, or the class whose contexts the source
        tells.
    classes : tuple of str
        Classes to take; by default all.
    size : int, optional
        Examples of train; by default as many as every dose can have.
    test_size : int, optional
        Examples of each test, and of a stream; by default as many as there can be.
    validation, id_test, ood_test : float
        Shares of the clusters; the rest is for training.

    Examples
    --------
    >>> from shiftbench.sources import SimulatedTables
    >>> builder = Mixtures(SimulatedTables(delta=(1.0,), gamma=(0.0,)), by="group",
    ...                    target_values=("target",), doses=(0, 0.5))
    >>> plan = builder.plan(builder.source.scan(), seed=0)
    >>> [c.name for c in plan.configs]
    ['dose_000', 'dose_050']
    """

    source: Source
    by: str = "group"
    target_values: tuple[str, ...] = ()
    source_values: tuple[str, ...] = ()
    doses: tuple[float, ...] = (0.0, 0.2, 0.5, 0.8, 1.0)
    mixed: Literal["train", "test"] = "train"
    stratify: bool = False
    drift: tuple[Literal["sudden", "gradual", "recurring"], ...] = ()
    change_points: tuple[float, ...] = (0.5,)
    width: float = 0.3
    ramp: Literal["linear", "sigmoid"] = "sigmoid"
    period: float = 0.25
    peak: float = 1.0
    label: str = ""
    classes: tuple[str, ...] = ()
    size: int | None = None
    test_size: int | None = None
    validation: float = 0.1
    id_test: float = 0.2
    ood_test: float = 0.2

    name: ClassVar[str] = "mixture"
    version: ClassVar[str] = "1"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "simulated_doses": {
            "source": {"name": "simulated_tables", "delta": (1.0,), "gamma": (1.0,)},
            "by": "group",
            "target_values": ("target",),
            "drift": ("sudden", "gradual", "recurring"),
        },
        "adult_sex": {
            "source": {
                "name": "table",
                "missing": ("?",),
                "drop": ("fnlwgt",),
                "license": "cc-by-4.0",
            },
            "by": "sex",
            "target_values": ("Female",),
            "label": "income-per-year",
        },
        "adult_sex_stratified": {
            "source": {
                "name": "table",
                "missing": ("?",),
                "drop": ("fnlwgt",),
                "license": "cc-by-4.0",
            },
            "by": "sex",
            "target_values": ("Female",),
            "label": "income-per-year",
            "stratify": True,
        },
    }
    modes: ClassVar[tuple[str, ...]] = AS_THEY_ARE
    measurement: ClassVar[Measurement] = Measurement(distances=("mmd", "label_tv"))

    def __post_init__(self) -> None:
        check_texts(self, "target_values", "source_values", "drift", "classes")
        if self.mixed not in ("train", "test") or self.ramp not in ("linear", "sigmoid"):
            raise ConfigurationError(
                f"mixed is {self.mixed!r} and ramp {self.ramp!r}; allowed: 'train' or 'test', and "
                "'linear' or 'sigmoid'"
            )
        strange = [d for d in self.drift if d not in _DRIFTS]
        if strange:
            raise ConfigurationError(f"drift names {strange[0]!r}; allowed: {', '.join(_DRIFTS)}")
        for name in ("doses", "change_points"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))
        if not all(0 <= d <= 1 for d in self.doses):
            raise ConfigurationError(
                f"doses are {list(self.doses)}; allowed: shares of the target from 0 to 1"
            )
        names = [dose_name(d) for d in self.doses]
        if len(set(names)) < len(names):
            raise ConfigurationError(f"doses are {list(self.doses)}: one is there twice")
        if not self.doses and not self.drift:
            raise ConfigurationError("neither doses nor a drift are given; give one of them")
        for name in ("size", "test_size"):
            size = getattr(self, name)
            if size is not None and size < LEAST:
                raise ConfigurationError(f"{name} is {size}; allowed: {LEAST} and above")
        shares = (self.validation, self.id_test, self.ood_test)
        if not all(0 <= s < 1 for s in shares) or not min(shares[1:]) or sum(shares) >= 1:
            raise ConfigurationError(
                f"validation {self.validation:g}, id_test {self.id_test:g} and ood_test "
                f"{self.ood_test:g} are shares of the clusters: the tests' above 0, together below "
                "1"
            )
        self._drifts()

    def _drifts(self) -> tuple[Drift, ...]:
        return tuple(
            Drift(kind, self.change_points, self.width, self.ramp, self.period, self.peak)
            for kind in self.drift
        )

    def plan(self, metadata: Metadata, seed: int, excluded: frozenset[str] = frozenset()) -> Plan:
        """A config a dose, or one of test mixtures; and one of streams. See `Plan`."""
        found = labelled(metadata, self.label, classes=self.classes, excluded=excluded)
        both = components(found, self.by, self.source_values, self.target_values)
        settings = Settings(
            by=self.by,
            doses=self.doses,
            drifts=self._drifts(),
            stratify=self.stratify,
            size=self.size,
            test_size=self.test_size,
            shares={
                "train": 1 - self.validation - self.id_test - self.ood_test,
                "validation": self.validation,
                "id_test": self.id_test,
                "ood_test": self.ood_test,
            },
        )
        configs: list[ConfigPlan] = []
        tables: dict[str, pa.Table] = {}
        if self.doses and self.mixed == "train":
            configs += train_configs(both, settings, seed)
        elif self.doses:
            configs.append(test_config(both, settings, seed))
        if self.drift:
            config, tables["drift"] = stream_config(both, settings, seed)
            configs.append(config)
        return Plan(
            builder=self.name,
            version=self.version,
            recipe=self.recipe(),
            seed=seed,
            metadata=both.found.metadata,
            configs=tuple(configs),
            tables=tables,
            excluded=excluded,
            counts=found.counts | both.counts,
        )

    def reader(self, seed: int) -> Callable[[str], Mapping[str, Any]]:
        """From a locator to the content columns, as the source has them."""
        return self.source.reader()

    def recipe(self) -> dict[str, Any]:
        """The configuration without the source, as plain values."""
        return options_of(self)

    def card(self) -> str:
        """What the card says of every benchmark of this family."""
        return card_text("mixture")
