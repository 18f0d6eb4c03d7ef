"""One fitted space and one bandwidth a benchmark: what makes its distances comparable."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.distances.bandwidth import median_bandwidth
from shiftbench.errors import ConfigurationError
from shiftbench.measuring.examples import Examples, Rows
from shiftbench.measuring.features import FeatureStore, Run
from shiftbench.spaces.space import Fitted, Space, parse_space, space_name

__all__ = ["NO_FEATURES", "FittedSpace", "default_space", "fitted_space", "reference_rows"]

NO_FEATURES = "all distances between features"
"""What is left out where a benchmark has nothing that features could be made of."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FittedSpace:
    """A space fitted on a benchmark's reference.

    Attributes
    ----------
    name : str
        As `parse_space` reads it.
    store : FeatureStore
    fitted : Fitted
    n_reference : int
    bandwidth : float or None
        Of Gaussian kernels in this space; None where the reference does not vary between clusters.
    drawn : mapping
        The `max_examples` and the `seed` by which the reference was drawn.
    """

    name: str
    store: FeatureStore
    fitted: Fitted
    n_reference: int
    bandwidth: float | None
    drawn: Mapping[str, int]

    def readable(self, rows: Rows) -> Rows:
        """The examples that have features, their content being readable."""
        return self.store.readable(rows)

    def features(self, rows: Rows) -> Floats:
        """Features of some readable examples."""
        return self.fitted.transform(self.store.raw(rows))

    @cached_property
    def entry(self) -> dict[str, Any]:
        """What the manifest says of it."""
        return {
            "fingerprint": self.fitted.fingerprint,
            "features": len(self.fitted.names),
            "n_reference": self.n_reference,
            "bandwidth": self.bandwidth,
            **self.drawn,
        }


def default_space(examples: Examples, left_out: list[dict[str, Any]]) -> str | None:
    """The space for a benchmark's content: pixels of images, text, or else its plain columns.

    None where it has nothing that could be compared; `left_out` then gets the reason.
    """
    config = examples.tasks[0] if examples.tasks else examples.everything
    schema = examples.schema(str(config))
    name = "text" if "text" in (*examples.content, *examples.columns) else "tabular"
    if name == "tabular" and examples.columns:
        # Other columns say where a row is from or what was done to it, not what it is like.
        name = f"tabular:only={'+'.join(examples.columns)}"
    for content in examples.content:
        if content in schema.names and pa.types.is_struct(schema.field(content).type):
            name = "pixels"
    try:
        parse_space(name).columns(schema)
    except ConfigurationError as error:
        left_out.append({"distance": NO_FEATURES, "reason": str(error)})
        return None
    return name


def reference_rows(examples: Examples, most: int, seed: int) -> Rows:
    """What spaces are fitted on: the training examples of the first task, or else all examples."""
    for config in examples.tasks:
        for split, entry in examples.configs[config].splits.items():
            if entry.role == "train" and entry.rows:
                return examples.split(config, split).sample(most, seed)
    config = examples.everything or examples.tasks[0]
    split = next(n for n, s in examples.configs[config].splits.items() if s.rows)
    return examples.split(config, split).sample(most, seed)


def fitted_space(
    text: str,
    examples: Examples,
    run: Run,
    *,
    max_examples: int,
    seed: int,
    stored: Mapping[str, Any] | None = None,
    show: bool = False,
) -> FittedSpace:
    """Fit a space on the reference.

    Where the benchmark was measured in it before, the reference is drawn as it was then, and the
    bandwidth is kept.
    """
    space: Space = parse_space(text)
    config = examples.tasks[0] if examples.tasks else examples.everything
    columns = space.columns(examples.schema(str(config)))
    store = FeatureStore(examples, space, columns, run, show)
    kept = dict(stored or {})
    drawn = {
        "max_examples": int(kept.get("max_examples", max_examples)),
        "seed": int(kept.get("seed", seed)),
    }
    reference = reference_rows(examples, drawn["max_examples"], drawn["seed"])
    reference = store.readable(reference)
    raw = store.raw(reference)
    fitted = space.fit(raw)
    if kept and kept.get("fingerprint") != fitted.fingerprint:
        warnings.warn(
            f"the space {text!r} was fitted otherwise when this benchmark was measured before "
            "(by other versions of the libraries): distances measured now do not compare with "
            "those; their parameters tell them apart",
            stacklevel=2,
        )
        kept = {}
    features = fitted.transform(raw)
    bandwidth = kept.get("bandwidth")
    if bandwidth is None and len(features) > 1 and np.ptp(features, axis=0).max(initial=0.0) > 0:
        clusters = reference.table["cluster_id"].to_pylist()
        with suppress(ConfigurationError):  # one cluster, or clusters that do not differ
            bandwidth = median_bandwidth(features, clusters, seed=drawn["seed"])
    return FittedSpace(space_name(space), store, fitted, len(features), bandwidth, drawn)
