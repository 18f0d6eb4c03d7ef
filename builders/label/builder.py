"""Label shift: the class prior P(y) of the tests is stated, P(x|y) is held."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from shiftbench.errors import ConfigurationError
from shiftbench.measuring.settings import Measurement
from shiftbench.plan import Plan
from shiftbench.schema import Metadata, Source

from ..shared.assembly import AS_THEY_ARE, card_text, check_texts, options_of
from ..shared.labelled import labelled
from .priors import check_prior
from .splits import LEAST, Settings, label_config, need_order

__all__ = ["LabelShift"]


@dataclass(frozen=True)
class LabelShift:
    """Benchmarks whose tests have stated class priors, P(x|y) the same in all splits.

    Parameters
    ----------
    source : Source
        Where examples come from: images or tables.
    prior : tuple of str
        The class priors, one OOD test each: own (the source's own), given:0.7,0.3 or
        given:cat=0.7,dog=0.3, tweak_one:cat=0.6, knockout:cat=0.9, dirichlet:0.1 or
        dirichlet:0.1x5 (five draws), zipf:1.5, rare:2=0.01 (the two highest classes together).
    label : str
        Column of the class; "" takes the column `label`, or the class whose contexts the source
        tells.
    classes : tuple of str
        Classes to take, in order (of severity, where `ordinal`); by default all, numbers by size
        and texts by name.
    train_prior : str
        Prior of train, validation and id_test, from which the others start; "" is the data's own.
    ordinal : bool
        The classes are ordered: the earth mover's distance between priors is told too.
    ranks : str
        Rank of a class in a Zipf prior: its place in the order of classes, or a random one.
    order : str
        Give the tests a column `time`: bursty (the OOD tests' classes come in bursts) or sorted
        (class by class); id_test arrives in random order. Without a prior the OOD test keeps the
        source's own.
    burst_length : float
        Mean length of a burst, in examples.
    train_size : int, optional
        Examples of train; by default all, or as many as `train_prior` leaves.
    test_size : int, optional
        Examples of id_test and of each OOD test; by default as many as its prior can be drawn
        with.
    validation, id_test, ood_test : float
        Shares of the clusters; the OOD tests are drawn from one pool. The rest is for training.

    Examples
    --------
    >>> from shiftbench.sources import Scenes
    >>> builder = LabelShift(Scenes(n_scenes=600), prior=("tweak_one:cat=0.8",),
    ...                      classes=("cat", "dog"))
    >>> plan = builder.plan(builder.source.scan(), seed=0)
    >>> [s.name for s in plan.configs[0].splits]
    ['train', 'validation', 'id_test', 'ood_test_tweak_one_cat_0_8']
    """

    source: Source
    prior: tuple[str, ...] = ()
    label: str = ""
    classes: tuple[str, ...] = ()
    train_prior: str = ""
    ordinal: bool = False
    ranks: Literal["classes", "random"] = "classes"
    order: Literal["", "bursty", "sorted"] = ""
    burst_length: float = 20.0
    train_size: int | None = None
    test_size: int | None = None
    validation: float = 0.1
    id_test: float = 0.2
    ood_test: float = 0.3

    name: ClassVar[str] = "label"
    version: ClassVar[str] = "1"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "digits_tweak": {
            "source": {"name": "digits"},
            "prior": ("own", *(f"tweak_one:3={share}" for share in (0.2, 0.4, 0.6, 0.8))),
            "id_test": 0.15,
            "ood_test": 0.45,
        },
        "digits_bursts": {
            "source": {"name": "digits"},
            "prior": ("own", "dirichlet:0.5x3"),
            "order": "bursty",
            "burst_length": 10.0,
        },
        "adult_income": {
            "source": {
                "name": "table",
                "missing": ("?",),
                "drop": ("fnlwgt",),
                "license": "cc-by-4.0",
            },
            "label": "income-per-year",
            "prior": ("own", *(f"tweak_one:>50K={share}" for share in (0.05, 0.5, 0.8))),
        },
    }
    modes: ClassVar[tuple[str, ...]] = AS_THEY_ARE
    measurement: ClassVar[Measurement] = Measurement(distances=("mmd", "label_tv"))

    def __post_init__(self) -> None:
        check_texts(self, "prior", "classes")
        for text in (*self.prior, self.train_prior or "own"):
            if check_prior(text).kind == "rare" and not self.ordinal:
                raise ConfigurationError(
                    f"the prior {text!r} is about the highest classes; say --ordinal, and name "
                    "the classes with --classes from the lowest"
                )
        if check_prior(self.train_prior or "own").draws > 1:
            raise ConfigurationError(
                f"train_prior is {self.train_prior!r}, which is several; give one"
            )
        if not self.prior and not self.order:
            raise ConfigurationError(
                "no prior is given, so nothing would shift; give one or more with --prior, such "
                "as tweak_one:cat=0.6, or an --order"
            )
        if self.order not in ("", "bursty", "sorted") or self.ranks not in ("classes", "random"):
            raise ConfigurationError(
                f"order is {self.order!r} and ranks {self.ranks!r}; allowed: '', 'bursty' or "
                "'sorted', and 'classes' or 'random'"
            )
        if not 1 <= self.burst_length < float("inf"):
            raise ConfigurationError(f"burst_length is {self.burst_length:g}; allowed: 1 and above")
        for name in ("train_size", "test_size"):
            size = getattr(self, name)
            if size is not None and size < LEAST:
                raise ConfigurationError(f"{name} is {size}; allowed: {LEAST} and above")
        shares = (self.validation, self.id_test, self.ood_test)
        if not all(0 <= s < 1 for s in shares) or not 0 < sum(shares) < 1 or not self.ood_test:
            raise ConfigurationError(
                f"validation {self.validation:g}, id_test {self.id_test:g} and ood_test "
                f"{self.ood_test:g} are shares of the clusters: ood_test above 0, together below 1"
            )

    def plan(self, metadata: Metadata, seed: int, excluded: frozenset[str] = frozenset()) -> Plan:
        """One config, `label_shift`; see `Plan`."""
        found = labelled(metadata, self.label, classes=self.classes, excluded=excluded)
        if self.ordinal and not self.classes:
            need_order(found.label.names)
        settings = Settings(
            priors=tuple(check_prior(p) for p in self.prior or ("own",)),
            train_prior=check_prior(self.train_prior or "own"),
            ordinal=self.ordinal,
            random_ranks=self.ranks == "random",
            order=self.order,
            burst_length=self.burst_length,
            train_size=self.train_size,
            test_size=self.test_size,
            shares={
                "train": 1 - self.validation - self.id_test - self.ood_test,
                "validation": self.validation,
                "id_test": self.id_test,
                "ood_test": self.ood_test,
            },
        )
        return Plan(
            builder=self.name,
            version=self.version,
            recipe=self.recipe(),
            seed=seed,
            metadata=found.metadata,
            configs=(label_config(found, settings, seed),),
            tables={},
            excluded=excluded,
            counts=found.counts,
        )

    def reader(self, seed: int) -> Callable[[str], Mapping[str, Any]]:
        """From a locator to the content columns, as the source has them."""
        return self.source.reader()

    def recipe(self) -> dict[str, Any]:
        """The configuration without the source, as plain values."""
        return options_of(self)

    def card(self) -> str:
        """What the card says of every benchmark of this family."""
        return card_text("label")
