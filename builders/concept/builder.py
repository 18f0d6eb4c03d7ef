"""Concept shift: P(y | x) changes while P(x) is held."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import pyarrow as pa

from shiftbench.measuring.settings import Measurement
from shiftbench.plan import ConfigPlan, Plan
from shiftbench.schema import Metadata, Source

from ..shared.assembly import AS_THEY_ARE, card_text, check_texts, options_of
from ..shared.labelled import Labelled, labelled
from .checking import check_options
from .made import Change, Shares, made_config, made_labels, made_rule
from .natural import Contrast, natural_configs
from .presets import PRESETS
from .simulated import simulated_configs

__all__ = ["ConceptShift"]


@dataclass(frozen=True)
class ConceptShift:
    """Concept shift: P(y | x) changes while P(x), or P of matched columns, is held.

    Parameters
    ----------
    source : Source
        Where the examples come from.
    label : str
        The column that holds the class; empty takes the column `label`, or the contexts' classes.
    classes : tuple of str
        Classes to take, in this order; by default all.
    design : str
        "made": the same examples under another label rule. "natural": two contexts of the column
        `by`, matched on covariates. "covariate": set apart by the covariate `by` itself, for
        comparison. "simulated": the cells of the source simulated_tables, with the truth.
    rule : str
        What is made: "flip" (label noise), "region" (another rule where columns have some values),
        "threshold" (a label made from a column of numbers, its threshold moved), "annotators"
        (another convention for confusable classes).
    disagreement : tuple of float
        Strengths: the share of target examples whose label differs from that of the source's rule.
        0 gives a control.
    noise_from : tuple of str
        Classes that change; by default all.
    noise_to : tuple of str
        What they become, one for each or one for all; by default any other class (flip) or the next
        one (region).
    noise_unit : str
        What is drawn to be relabelled: each "example", or a "cluster" as a whole.
    region : tuple of str
        Conditions that must all hold, such as age>50 or sex=Female.
    threshold_column : str
        A column of numbers; the label is whether it is above a threshold.
    threshold : float, optional
        The source's threshold; by default a quantile.
    threshold_quantile : float
        Which quantile.
    threshold_feature : bool
        Keep that column among the features; otherwise it is left out of the data.
    direction : str
        Where the threshold moves: "up" or "down".
    annotator : str
        The column that says who labelled an example; the other convention is then taken up by whole
        annotators. By default by single examples.
    target : str
        "halves": OOD tests are another part of the clusters than id_test, so that the two can be
        compared as independent samples. "same": they are the examples of id_test, relabelled.
    by : str
        The column of the contexts.
    source_context : str
        A value of `by`, several joined by ``+``, or of numbers a range ``low..high`` (the high end
        not in it). Empty: chosen on one half of the clusters, everything else made of the other.
    target_contexts : tuple of str
        One config each; empty: chosen in the same way.
    match : tuple of str
        Columns in which source and target are made alike.
    method : str
        "strata" keeps equal shares of each combination of values (numbers cut at quantiles);
        "overlap" thins both sides by a propensity that was fitted on the other half.
    bins : int
        Ranges that a column of numbers is cut into, for strata.
    min_clusters : int
        Independent units that a context needs, before and after matching.
    validation, test : float
        Shares of the clusters. The OOD tests of a made shift take as many again as `test`.
    unlabeled : float
        Share of the clusters (natural: of the target's) for a target split without labels.

    Examples
    --------
    >>> from shiftbench.sources import Scenes
    >>> builder = ConceptShift(Scenes(n_scenes=300), classes=("cat", "dog"), disagreement=(0.2,))
    >>> plan = builder.plan(builder.source.scan(), seed=0)
    >>> [split.name for split in plan.configs[0].splits]
    ['train', 'validation', 'id_test', 'ood_test_disagreement_0_2']
    """

    source: Source
    label: str = ""
    classes: tuple[str, ...] = ()
    design: Literal["made", "natural", "covariate", "simulated"] = "made"
    rule: Literal["flip", "region", "threshold", "annotators"] = "flip"
    disagreement: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4)
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
    target: Literal["halves", "same"] = "halves"
    by: str = ""
    source_context: str = ""
    target_contexts: tuple[str, ...] = ()
    match: tuple[str, ...] = ()
    method: Literal["strata", "overlap"] = "strata"
    bins: int = 4
    min_clusters: int = 20
    validation: float = 0.1
    test: float = 0.25
    unlabeled: float = 0.0

    name: ClassVar[str] = "concept"
    version: ClassVar[str] = "1"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    modes: ClassVar[tuple[str, ...]] = AS_THEY_ARE
    measurement: ClassVar[Measurement] = Measurement(
        distances=("mmd", "label_tv", "gcm", "disde"), subsets=False
    )

    def __post_init__(self) -> None:
        check_texts(self, "classes", "noise_from", "region", "target_contexts", "match")
        check_options(self)

    def plan(self, metadata: Metadata, seed: int, excluded: frozenset[str] = frozenset()) -> Plan:
        """Splits under two label rules, or of two contexts; see `Plan`."""
        shares = Shares(self.validation, self.test, self.unlabeled)
        tables: dict[str, pa.Table] = {}
        configs: tuple[ConfigPlan, ...]
        if self.design == "made":
            change = self._change()
            found, threshold = made_labels(metadata, self.label, self.classes, change, excluded)
            rule = made_rule(found, change, threshold, seed)
            config, tables["strengths"] = made_config(
                found, rule, change, shares, self.target == "same", seed
            )
            configs = (config,)
            if self.rule == "threshold" and not self.threshold_feature:
                found = _without(found, self.threshold_column)
        else:
            found = labelled(metadata, self.label, classes=self.classes, excluded=excluded)
            if self.design == "simulated":
                configs, tables["truth"] = simulated_configs(found, shares, seed)
            else:
                contrast = self._contrast()
                configs = natural_configs(found, contrast, shares, seed)
                if not contrast.covariate:
                    found = _not_a_feature(found, self.by)
        return Plan(
            builder=self.name,
            version=self.version,
            recipe=self.recipe(),
            seed=seed,
            metadata=found.metadata,
            configs=configs,
            tables=tables,
            excluded=excluded,
            counts=found.counts,
        )

    def reader(self, seed: int) -> Callable[[str], Mapping[str, Any]]:
        """The source's own: the content stays as it is."""
        return self.source.reader()

    def recipe(self) -> dict[str, Any]:
        """The configuration without the source, as plain values."""
        return options_of(self)

    def card(self) -> str:
        """What the card says of every benchmark of this family."""
        return card_text("concept")

    def _change(self) -> Change:
        return Change(
            rule=self.rule,
            disagreement=self.disagreement,
            noise_from=self.noise_from,
            noise_to=self.noise_to,
            noise_unit=self.noise_unit,
            region=self.region,
            threshold_column=self.threshold_column,
            threshold=self.threshold,
            threshold_quantile=self.threshold_quantile,
            threshold_feature=self.threshold_feature,
            direction=self.direction,
            annotator=self.annotator,
        )

    def _contrast(self) -> Contrast:
        return Contrast(
            by=self.by,
            source_context=self.source_context,
            target_contexts=self.target_contexts,
            match=self.match,
            method=self.method,
            bins=self.bins,
            min_clusters=self.min_clusters,
            covariate=self.design == "covariate",
        )


def _without(found: Labelled, column: str) -> Labelled:
    """The examples without a column that the label was made of."""
    metadata = found.metadata
    examples = metadata.examples.drop_columns([column])
    columns = tuple(c for c in metadata.columns if c != column)
    return replace(found, metadata=replace(metadata, examples=examples, columns=columns))


def _not_a_feature(found: Labelled, column: str) -> Labelled:
    """The examples with a column that says where they are from, and not what they are like."""
    metadata = found.metadata
    columns = tuple(c for c in metadata.columns if c != column)
    return replace(found, metadata=replace(metadata, columns=columns))
