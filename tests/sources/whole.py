"""The plainest of builders, for tests of sources: every example of a source in one split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from shiftbench.builders.shared.assembly import coded, split_plan
from shiftbench.builders.shared.labelled import labelled
from shiftbench.plan import ConfigPlan, Plan
from shiftbench.schema import ClassLabel, Metadata, Source


@dataclass(frozen=True)
class Whole:
    """All labelled examples of a source."""

    source: Source
    name: ClassVar[str] = "whole"
    version: ClassVar[str] = "1"

    def plan(self, metadata: Metadata, seed: int, excluded: frozenset[str] = frozenset()) -> Plan:
        found = labelled(metadata, excluded=excluded)
        rows = np.arange(len(found))
        split = split_plan("train", "train", "none", rows, {"label": coded(found.label.codes)})
        features = {"label": ClassLabel(found.label.names)}
        config = ConfigPlan("whole", features, (split,))
        return Plan("whole", "1", {}, seed, found.metadata, (config,), {}, excluded, found.counts)

    def reader(self, seed: int) -> Callable[[str], Mapping[str, Any]]:
        return self.source.reader()

    def recipe(self) -> Mapping[str, Any]:
        return {}

    def card(self) -> str:
        return "All of a source."
