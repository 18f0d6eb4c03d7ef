"""Several environments to train in and others to test in, and OOD sets by meaning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, ClassVar, Literal

from shiftbench.errors import ConfigurationError
from shiftbench.measuring.settings import Measurement
from shiftbench.plan import Plan
from shiftbench.schema import Metadata, Source

from ..shared.assembly import AS_THEY_ARE, card_text, check_texts, options_of
from .configs import Options, make_config
from .designs import Design, given, leave_one_out
from .parts import Shares, trained
from .prepared import Prepared, Wanted, prepare
from .presets import PRESETS

__all__ = ["Environments"]


@dataclass(frozen=True)
class Environments:
    """Benchmarks trained in some environments (sites, devices, years …) and tested in others.

    Parameters
    ----------
    source : Source
        Where examples come from: images or tables.
    environment : str
        The column that names the environment, such as site or dataset; "context" takes the
        contexts of the classes, named by `environments`; "" tells none apart.
    environments : tuple of str
        Those to use at all, beside near and far; by default all.
    label : str
        Column of the class; "" takes the column `label`, or the class whose contexts the source
        tells.
    design : str
        One config for each environment held out (leave_one_out), or a single one (given).
    held_out : tuple of str
        Environments to test in; leave_one_out by default holds out each in turn.
    train_environments : tuple of str
        Of the design "given": those to train in; by default all that have no other part.
    ood_validation : str
        The environment of `ood_validation`, several joined by ``+``, "none", or "auto": the one
        with fewest clusters, where two others are left to train in.
    validation, test : float
        Shares of the clusters of each environment that is trained in.
    train_unlabeled : float
        Share of those clusters that go into `train_unlabeled`, without labels.
    target_unlabeled : float
        Share of the clusters of the environments held out that go into `target_unlabeled`, without
        labels, and not into the test.
    near, far : tuple of str
        Environments with none of the classes trained on: OOD sets by meaning, nearer and farther.
    held_out_classes : tuple of str
        Classes kept out of training: one more near OOD set.
    local_labels : bool
        Classes of near and far environments are other classes than those of the same name that
        are trained on.
    common_classes : bool
        Keep the classes that every environment has.
    balance_labels : bool
        As many examples of each class in each environment, in every split: P(y) is then the same
        everywhere.
    min_clusters : int
        Environments with fewer clusters are left out.

    Examples
    --------
    >>> from shiftbench.sources import Digits
    >>> builder = Environments(Digits(), environment="", held_out_classes=("8", "9"))
    >>> plan = builder.plan(builder.source.scan(), seed=0)
    >>> [(s.name, s.shift) for s in plan.configs[0].splits][-2:]
    [('id_test', 'none'), ('ood_test', 'near')]
    """

    source: Source
    environment: str = "environment"
    environments: tuple[str, ...] = ()
    label: str = ""
    design: Literal["leave_one_out", "given"] = "leave_one_out"
    held_out: tuple[str, ...] = ()
    train_environments: tuple[str, ...] = ()
    ood_validation: str = "auto"
    validation: float = 0.1
    test: float = 0.2
    train_unlabeled: float = 0.0
    target_unlabeled: float = 0.0
    near: tuple[str, ...] = ()
    far: tuple[str, ...] = ()
    held_out_classes: tuple[str, ...] = ()
    local_labels: bool = False
    common_classes: bool = False
    balance_labels: bool = False
    min_clusters: int = 10

    name: ClassVar[str] = "environments"
    version: ClassVar[str] = "1"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    modes: ClassVar[tuple[str, ...]] = AS_THEY_ARE
    measurement: ClassVar[Measurement] = Measurement()

    def __post_init__(self) -> None:
        texts = ("environments", "held_out", "train_environments", "near", "far")
        check_texts(self, *texts, "held_out_classes")
        if self.design not in ("leave_one_out", "given"):
            raise ConfigurationError(
                f"design is {self.design!r}; allowed: 'leave_one_out' or 'given'"
            )
        if self.train_environments and self.design != "given":
            raise ConfigurationError(
                "train_environments is for --design given; leave_one_out trains in all others"
            )
        if isinstance(self.min_clusters, bool) or self.min_clusters < 1:
            raise ConfigurationError(f"min_clusters is {self.min_clusters}; allowed: 1 and above")
        self._check_parts()
        self._shares()

    def _check_parts(self) -> None:
        seen: dict[str, str] = {}
        for part in ("train_environments", "held_out", "near", "far"):
            for name in getattr(self, part):
                if name in seen:
                    raise ConfigurationError(
                        f"the environment {name!r} is in {seen[name]} and in {part}; it can have "
                        "one part only"
                    )
                seen[name] = part
        if not self.environment:
            if seen or self.environments:
                raise ConfigurationError(
                    "environment is empty, so no environment can be named; name its column"
                )
            if not self.held_out_classes:
                raise ConfigurationError(
                    "environment is empty and no class is held out, so nothing would shift; name "
                    "a column with --environment, or classes with --held-out-classes"
                )
        if self.environment and self.environment == (self.label or "label"):
            raise ConfigurationError(
                f"environment and label are both the column {self.environment!r}; name two columns"
            )

    def _shares(self) -> Shares:
        return Shares(self.validation, self.test, self.train_unlabeled, self.target_unlabeled)

    def plan(self, metadata: Metadata, seed: int, excluded: frozenset[str] = frozenset()) -> Plan:
        """Environments, designs and splits; see `Plan`."""
        wanted = Wanted(
            self.environment,
            self.environments,
            self.label,
            (*self.held_out, *self.train_environments),
            self.near,
            self.far,
            self.held_out_classes,
            self.common_classes,
            self.local_labels,
            self.min_clusters,
        )
        prepared = prepare(metadata, wanted, excluded)
        parts = cache(partial(trained, prepared, shares=self._shares(), seed=seed))
        options = Options(self._shares(), self.near, self.far, self.balance_labels)
        return Plan(
            builder=self.name,
            version=self.version,
            recipe=self.recipe(),
            seed=seed,
            metadata=prepared.found.metadata,
            configs=tuple(
                make_config(prepared, design, options, seed, parts)
                for design in self._designs(prepared)
            ),
            tables={},
            excluded=excluded,
            counts=prepared.counts,
        )

    def _designs(self, prepared: Prepared) -> tuple[Design, ...]:
        units = prepared.units
        if not self.environment:
            title = f"classes held out: {', '.join(self.held_out_classes)}"
            return (Design("held_out_classes", title, tuple(units)),)
        if self.design == "leave_one_out":
            return leave_one_out(units, self.held_out, self.ood_validation)
        return (given(units, self.train_environments, self.held_out, self.ood_validation),)

    def reader(self, seed: int) -> Callable[[str], Mapping[str, Any]]:
        """From a locator to the content columns, as the source has them."""
        return self.source.reader()

    def recipe(self) -> dict[str, Any]:
        """The configuration without the source, as plain values."""
        return options_of(self)

    def card(self) -> str:
        """What the card says of every benchmark of this family."""
        return card_text("environments")
