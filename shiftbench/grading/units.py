"""Examples of one thing taken together: a radiograph of many patches has one score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.evaluation.patches import aggregate, first_of
from shiftbench.predictions import Truth
from shiftbench.statistics import Clusters
from shiftbench.store.manifest import ConfigEntry

from .run import Run
from .settings import Settings

__all__ = ["CLUSTER", "Units", "run_by_unit", "unit_column", "units_in"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

CLUSTER = "cluster_id"
"""The column that every benchmark has: without another, what is independent is the unit, too."""


@dataclass(frozen=True)
class Units:
    """The units (radiographs) that the examples (patches) of some splits are of.

    Attributes
    ----------
    column : str
        The metadata column that names them, or ``cluster_id``.
    codes : mapping
        By split the (n,) numbers of its examples' units, told together.
    truth : mapping
        By split what is true of its units, in order of their first example: its rows are units.
    """

    column: str
    codes: Mapping[str, Codes]
    truth: Mapping[str, Truth]

    def scores(self, split: str, scores: Floats, settings: Settings) -> Floats:
        """One score a unit, in the order of `truth`."""
        return aggregate(scores, self.codes[split], settings.aggregate, settings.top_k).scores

    def told(self, settings: Settings) -> dict[str, str]:
        """What the results say of how scores were taken together."""
        top = settings.aggregate == "top_k"
        how = f"mean of the top {settings.top_k}" if top else settings.aggregate
        return {"unit": self.column, "aggregation": how}


def unit_column(entry: ConfigEntry, settings: Settings) -> str:
    """The column that names the units: as asked, else as the benchmark says, else the clusters."""
    return settings.unit or str(entry.notes.get("unit") or CLUSTER)


def units_in(truths: Sequence[Truth], column: str) -> Units | None:
    """The units of splits of one config; None where no unit has two examples in one split.

    Raises
    ------
    ConfigurationError
        A split has no such column, an example no unit, or a unit lies in several clusters.
    """
    if not truths:
        return None
    lengths = [len(truth) for truth in truths]
    names = pa.concat_arrays([_names(truth, column) for truth in truths])
    clusters = pa.concat_arrays([truth.cluster_ids for truth in truths])
    units, independent = Clusters.of(names), Clusters.of(clusters)
    _check(units, independent, truths[0].config, column)
    codes = np.split(units.codes, np.cumsum(lengths)[:-1])
    own = [Clusters.of(part) for part in codes]
    if all(part.n_clusters == n for part, n in zip(own, lengths, strict=True)):
        return None
    coarse = {
        t.split: _coarse(t, _names(t, column), pa.array(first_of(part)))
        for t, part in zip(truths, own, strict=True)
    }
    return Units(column, dict(zip(coarse, codes, strict=True)), coarse)


def _names(truth: Truth, column: str) -> pa.Array:
    if column == CLUSTER:
        return truth.cluster_ids
    there = truth.metadata.column_names
    if column not in there:
        raise ConfigurationError(
            f"split {truth.split!r} of config {truth.config!r} has no column {column!r} that its "
            f"examples could be taken together by (unit); {near_names(column, [*there, CLUSTER])}"
        )
    found = truth.metadata[column]
    if found.null_count:
        raise ConfigurationError(
            f"{found.null_count} of {len(truth)} examples of split {truth.split!r} of config "
            f"{truth.config!r} have no {column}; an example that stands alone needs one of its own"
        )
    return pa.concat_arrays(found.cast(pa.large_string()).chunks)


def _check(units: Clusters, independent: Clusters, config: str, column: str) -> None:
    holder = independent.codes[first_of(units)]
    wrong = holder[units.codes] != independent.codes
    if wrong.any():
        raise ConfigurationError(
            f"config {config!r}: {len(np.unique(units.codes[wrong]))} of {units.n_clusters} units "
            f"by the column {column!r} lie in several clusters (cluster_id), but what is taken "
            "together must be of one, as a radiograph is of one patient; name a finer column "
            "(unit, --unit)"
        )


def _coarse(truth: Truth, names: pa.Array, first: pa.Array) -> Truth:
    return replace(
        truth,
        example_ids=names.take(first),
        kind="none",
        label=None,
        labelled=np.zeros(len(first), np.bool_),
        class_names=(),
        cluster_ids=truth.cluster_ids.take(first),
        clusters=None,
        subset=None,
        is_ood=None,
        metadata=pa.table({}),
    )


def run_by_unit(run: Run, settings: Settings) -> tuple[Run, Units] | None:
    """The same run with units for examples, each with one score.

    None where there are no scores, or where no unit has two examples in a split.
    """
    scored = {s: b for s, b in run.blocks.items() if b.score is not None}
    found = units_in([run.truth[s] for s in scored], unit_column(run.entry, settings))
    if found is None:
        return None
    blocks = {
        s: replace(b, score=found.scores(s, run.scored(s), settings),
                   prediction=None, probabilities=None, value=None)
        for s, b in scored.items()
    }  # fmt: skip
    return Run(run.key, run.config, run.entry, blocks, found.truth, found.told(settings)), found
