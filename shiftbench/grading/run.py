"""Run: all that one model predicted on one config, beside what is true there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftbench.predictions import Block, Truth, joint_clusters
from shiftbench.store.manifest import ConfigEntry

__all__ = ["Run"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Run:
    """What a model predicted on the splits of a config.

    Attributes
    ----------
    key : mapping
        model, seed and epoch, None where the file has none.
    config : str
    entry : ConfigEntry
        The config as the manifest has it.
    blocks : mapping
        The predictions by split, in the order of the benchmark's rows.
    truth : mapping
        What is true of every split of `blocks`, and of the training split where there is one.
    told : mapping
        Where the rows of `blocks` and `truth` are units of several examples (radiographs of
        patches): ``unit``, the column that names them, and ``aggregation``.
    """

    key: Mapping[str, Any]
    config: str
    entry: ConfigEntry
    blocks: Mapping[str, Block]
    truth: Mapping[str, Truth]
    told: Mapping[str, str] = field(default_factory=dict)

    def named(self, metric: str) -> str:
        """The name of a metric or curve: that of examples, or ``<metric>_by_<unit>``."""
        return f"{metric}_by_{self.told['unit']}" if self.told else metric

    def splits(self, *roles: str) -> Iterator[str]:
        """The predicted splits that have one of these roles, in the config's order."""
        for name, split in self.entry.splits.items():
            if name in self.blocks and split.role in roles:
                yield name

    def first(self, role: str, *, unshifted: bool = False) -> str | None:
        """The predicted split with a role; `unshifted`: only one that comes as training did."""
        for name in self.splits(role):
            if not unshifted or self.entry.splits[name].shift in (None, "none"):
                return name
        return None

    @property
    def train(self) -> Truth | None:
        """The training split."""
        return next((t for t in self.truth.values() if t.role == "train"), None)

    def scores(self, split: str) -> Floats | None:
        """The OOD scores of a split, or None where they were not handed in."""
        return self.blocks[split].score if split in self.blocks else None

    def scored(self, split: str) -> Floats:
        """The OOD scores of a split that has some."""
        found = self.scores(split)
        assert found is not None
        return found

    def clusters(self, *splits: str) -> list[Codes] | None:
        """The cluster numbers of some splits, told together; None where every example is alone."""
        found = joint_clusters([self.truth[s] for s in splits])
        return None if found is None else [c.codes for c in found]

    def where(self, *splits: str) -> dict[str, Any]:
        """The columns of a result on these splits that say whose and on what it is.

        The digest is that of the splits it rests on, so a new OOD set leaves it alone.
        """
        digests = dict.fromkeys(self.entry.splits[s].digest for s in splits)
        return {**self.key, "config": self.config, "digest": "+".join(digests)}
