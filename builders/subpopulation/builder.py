"""Splits that differ in how common the combinations of class and attribute are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pyarrow as pa

from shiftbench.measuring.settings import Measurement
from shiftbench.plan import ConfigPlan, Plan
from shiftbench.schema import Metadata, Source
from shiftbench.transforms.marks import MAX_VALUES

from ..shared.assembly import AS_THEY_ARE, card_text, options_of
from ..shared.labelled import CONTEXT, labelled
from .checks import check_options
from .counter import counter_configs
from .density import density_configs
from .made_examples import made_reader
from .planning import plan_tables
from .presets import PRESETS

__all__ = ["Subpopulations"]


@dataclass(frozen=True)
class Subpopulations:
    """Shifts of P(y, a), class by attribute, with P(x | y, a) as it is.

    Parameters
    ----------
    source : Source
        Where the examples come from.
    design : str
        "cells": exact tables of counts (`cells`) or a sweep of their correlation (`levels`).
        "imbalance": `attribute_shares` and `class_shares`, each measured alone. "generalization":
        combinations that training lacks (`held_out`). "rare": one combination made rare (`rare`).
        "counter": each class's contexts in which a reference model is best and worst. "density":
        label-dense and label-sparse segmentation (alias "adawac").
    label : str
        The column of the class; by default `label`, or the class whose contexts the source tells.
    classes : tuple of str
        Classes in the order of a table's rows, ``even=0+2+4`` for several as one; by default all.
    attribute : str
        A column, or "context" for contexts of the class, named in `values`.
    make : str
        An attribute to make on images instead: "colour", "texture", "background" or "marker".
    values : tuple of str
        Attribute values in the order of a table's columns, ``indoor=sofa+bed`` for several as one;
        by default all, of a made attribute the first ones.
    cells : tuple of str
        Training tables, one config each: ``name:3500,1500/2500,2500``, rows classes, columns
        attribute values.
    levels : tuple of float
        Instead, Cramér's V of class and attribute, one config each, nothing else different.
    class_shares, attribute_shares : tuple of float
        How common classes and attribute values are; by default equally.
    size : int
        Training examples; tables are taken as proportions of it. 0: as `cells` says, or else the
        most that any level could be filled with.
    fit : bool
        Take the largest feasible size where the one asked for cannot be filled.
    held_out : tuple of str
        Combinations for the test alone, such as ``cat(outdoor)``.
    rare : str
        The combination that is made rare.
    rare_shares : tuple of float
        Its shares of its class, one config each.
    reversed_test : bool
        Also a test in which the tie is turned round.
    validation, test : float
        Shares of the clusters; `test` for each test.
    test_per_group : int
        The most examples of each group in the balanced test; 0: no limit.
    train_unlabeled, target_unlabeled : float
        Shares of the clusters for sets without labels, in the proportions of training and of the
        target; 0: none.
    target_ratio : float, optional
        In the unlabelled target set, share of each class that has the attribute value which
        training ties the class to: 1 fully tied, 0 reversed; by default balanced, which for two
        values is 0.5.
    reference : str
        Counter contexts: the column with the class that the reference model predicts, or
        `correct`.
    min_size : int
        Counter contexts: examples that a class needs in a context, on each half.
    unusable : str
        Counter contexts: "drop" or "refuse" classes with fewer than two contexts.
    mask_share : str
        Density: the column with the labelled share of each example.
    threshold : float
        Density: dense is what has a larger share.
    dense : int, optional
        Density: how many examples are dense, instead of a threshold.
    volume : str
        Density: the column of the volume; by default the cluster.
    variants : tuple of str
        Density: training sets to make, one config each; by default all.
    taking : str
        Density: "random" holds what dense and sparse examples look like; "order" takes them by
        their place in the volume, as AdaWAC does.

    Examples
    --------
    >>> from shiftbench.sources import Digits
    >>> builder = Subpopulations(Digits(), make="colour", levels=(0.0, 0.9),
    ...                          classes=("even=0+2+4+6+8", "odd=1+3+5+7+9"))
    >>> plan = builder.plan(builder.source.scan(), seed=0)
    >>> {c.name: round(c.notes["cramers_v"]["train"], 2) for c in plan.configs}
    {'v_0': 0.0, 'v_0_9': 0.9}
    """

    source: Source
    design: Literal[
        "cells", "imbalance", "generalization", "rare", "counter", "density", "adawac"
    ] = "cells"
    label: str = ""
    classes: tuple[str, ...] = ()
    attribute: str = ""
    make: Literal["", "colour", "texture", "background", "marker"] = ""
    values: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()
    levels: tuple[float, ...] = ()
    class_shares: tuple[float, ...] = ()
    attribute_shares: tuple[float, ...] = ()
    size: int = 0
    fit: bool = False
    held_out: tuple[str, ...] = ()
    rare: str = ""
    rare_shares: tuple[float, ...] = (0.5, 0.1, 0.02, 0.0)
    reversed_test: bool = False
    validation: float = 0.1
    test: float = 0.2
    test_per_group: int = 0
    train_unlabeled: float = 0.0
    target_unlabeled: float = 0.0
    target_ratio: float | None = None
    reference: str = ""
    min_size: int = 20
    unusable: Literal["drop", "refuse"] = "drop"
    mask_share: str = "mask_share"
    threshold: float = 0.0
    dense: int | None = None
    volume: str = ""
    variants: tuple[str, ...] = ()
    taking: Literal["random", "order"] = "random"

    name: ClassVar[str] = "subpopulation"
    version: ClassVar[str] = "1"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    modes: ClassVar[tuple[str, ...]] = AS_THEY_ARE
    measurement: ClassVar[Measurement] = Measurement(subsets=False)

    def __post_init__(self) -> None:
        check_options(self)

    def plan(self, metadata: Metadata, seed: int, excluded: frozenset[str] = frozenset()) -> Plan:
        """Tables of counts and the examples that fill them; see `Plan`."""
        tables: dict[str, pa.Table] = {}
        if self.design in ("density", "adawac"):
            own, configs, counts = self._density(metadata, seed, excluded)
        elif self.design == "counter":
            own, configs, counts, tables = self._counter(metadata, seed, excluded)
        else:
            own, configs, counts, tables = plan_tables(self, metadata, seed, excluded)
        return Plan(
            builder=self.name,
            version=self.version,
            recipe=self.recipe(),
            seed=seed,
            metadata=own,
            configs=tuple(configs),
            tables=tables,
            excluded=excluded,
            counts=counts,
        )

    def _density(
        self, metadata: Metadata, seed: int, excluded: frozenset[str]
    ) -> tuple[Metadata, list[ConfigPlan], dict[str, int]]:
        return density_configs(
            metadata,
            seed,
            excluded,
            share=self.mask_share,
            threshold=self.threshold,
            dense=self.dense,
            volume=self.volume,
            label=self.label,
            validation=self.validation,
            test=2 * self.test,
            variants=self.variants,
            taking=self.taking,
        )

    def _counter(
        self, metadata: Metadata, seed: int, excluded: frozenset[str]
    ) -> tuple[Metadata, list[ConfigPlan], dict[str, int], dict[str, pa.Table]]:
        found = labelled(metadata, self.label, classes=self.classes, excluded=excluded)
        configs, tables = counter_configs(
            found,
            seed,
            reference=self.reference,
            attribute=self.attribute or CONTEXT,
            values=self.values,
            min_size=self.min_size,
            train=1 - 2 * self.test - self.validation,
            validation=self.validation,
            unusable=self.unusable,
        )
        return found.metadata, configs, found.counts, tables

    def reader(self, seed: int) -> Callable[[str], Mapping[str, Any]]:
        """The source's reader, or one that makes the attribute."""
        read = self.source.reader()
        return made_reader(read, MAX_VALUES[self.make], seed) if self.make else read

    def recipe(self) -> Mapping[str, Any]:
        """The options, as plain values."""
        return options_of(self)

    def card(self) -> str:
        """What the card says of the family."""
        return card_text("subpopulation")
