"""Which contexts to set against each other: those whose P(y | x) differs most, on one half."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.distances.measured import measure
from shiftbench.errors import ConfigurationError
from shiftbench.spaces.tabular import Tabular

from ..shared.division import uniforms
from ..shared.labelled import Labelled
from .contexts import in_context, sides_of, usable_contexts

__all__ = ["Choice", "choose_contexts"]

Codes = NDArray[np.int64]

MOST_CONTEXTS = 8
MOST_EXAMPLES = 1000


@dataclass(frozen=True)
class Choice:
    """The pair of contexts with the largest estimate.

    Attributes
    ----------
    source, target : str
    notes : dict
        The estimates of all pairs, on the half that they were chosen on. The chosen one's is biased
        upward: it is the largest of several.
    """

    source: str
    target: str
    notes: dict[str, Any]


def choose_contexts(
    found: Labelled,
    by: str,
    rows: Codes,
    features: Sequence[str],
    source: str,
    least: int,
    seed: int,
) -> Choice:
    """The pair of contexts, or the target to a given source, with the largest estimated gap.

    The gap is |θ| of `gcm`: the mean difference of P(y | x) where both overlap.

    Parameters
    ----------
    found : Labelled
    by : str
        The column of the contexts.
    rows : (m,) int64 array
        The choosing half: whole clusters, none of which the benchmark may then use.
    features : sequence of str
        Columns that are x.
    source : str
        The source, or "" to choose it too: of the pair the context with more clusters.
    least : int
        Clusters that a context needs in the choosing half.
    seed : int

    Raises
    ------
    ConfigurationError
        No columns to compare, fewer than two contexts, or no pair that can be compared.
    """
    if not features:
        raise ConfigurationError(
            "contexts cannot be chosen here, since the source has no plain columns that are the "
            "content; name them with --source-context and --target-contexts"
        )
    names = usable_contexts(found, by, rows, least, MOST_CONTEXTS)
    if source:
        # A source may be several contexts; its own are then no targets.
        mine = in_context(found, by, source)
        pairs = [(source, n) for n in names if not (mine & in_context(found, by, n)).any()]
    else:
        pairs = list(combinations(names, 2))
    chosen_on = np.zeros(len(found), bool)
    chosen_on[rows] = True
    flags = {n: in_context(found, by, n) & chosen_on for n in {n for p in pairs for n in p}}
    space = Tabular(only=tuple(features))
    table = found.examples.select(list(features))
    fitted = space.fit(space.raw(table.take(pa.array(_some(found, rows, 4 * MOST_EXAMPLES, seed)))))
    gaps: dict[tuple[str, str], float] = {}
    why = ""
    for a, b in pairs:
        sides = sides_of(found, flags[a], flags[b], seed)
        both = [_some(found, r, MOST_EXAMPLES, seed) for r in (sides.source, sides.target)]
        try:
            gap = measure(
                "gcm",
                *(fitted.transform(space.raw(table.take(pa.array(r)))) for r in both),
                clusters=tuple(found.cluster[r] for r in both),  # type: ignore[arg-type]
                labels=tuple(found.label.codes[r] for r in both),  # type: ignore[arg-type]
                n_permutations=0,
                seed=seed,
            )
        except ConfigurationError as error:
            why = str(error)
            continue
        if np.isfinite(gap.value):
            gaps[a, b] = abs(gap.value)
        why = gap.method
    if not gaps:
        raise ConfigurationError(
            f"no two contexts of {by!r} can be compared on the choosing half: {why}; name them "
            "with --source-context and --target-contexts, or give the source fewer features"
        )
    best = max(gaps, key=lambda pair: (gaps[pair], pair))
    told = {f"{a} → {b}": round(v, 6) for (a, b), v in sorted(gaps.items())}
    return Choice(*best, {"estimated_on_the_choosing_half": told, "pairs": len(pairs)})


def _some(found: Labelled, rows: Codes, most: int, seed: int) -> Codes:
    if len(rows) <= most:
        return rows
    drawn = uniforms(found.ids(rows), seed, "concept choosing sample")
    return np.sort(rows[np.argsort(drawn, kind="stable")[:most]])
