"""The two components of a mixture, and their division between splits by cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shiftbench.errors import ConfigurationError, near_names
from shiftbench.statistics import priorities

from ..shared.categories import Categories
from ..shared.division import uniforms, unit_order
from ..shared.labelled import CONTEXT, Labelled

__all__ = ["SOURCE", "TARGET", "Components", "components", "divided"]

Codes = NDArray[np.int64]

SOURCE, TARGET = 0, 1
_NAMES = ("source", "target")


@dataclass(frozen=True, eq=False)
class Components:
    """The examples of the two components.

    Attributes
    ----------
    found : Labelled
        Of these examples alone.
    codes : (n,) int64 array
        `SOURCE` or `TARGET`, of each.
    counts : dict
        What was left out, for `Plan.counts`.
    """

    found: Labelled
    codes: Codes
    counts: dict[str, int]

    def label_shares(self) -> NDArray[np.float64]:
        """(2, k): the share of each class in the source and in the target."""
        k = len(self.found.label.names)
        both = [np.bincount(self.found.label.codes[self.codes == c], minlength=k) for c in (0, 1)]
        return np.array([counts / counts.sum() for counts in both])


def components(
    found: Labelled, by: str, source_values: Sequence[str], target_values: Sequence[str]
) -> Components:
    """Tell the components by the values of a column; other examples are left out.

    Parameters
    ----------
    found : Labelled
    by : str
        A column, or "context": the context that an image's class stands in.
    source_values, target_values : sequence of str
        Without `source_values` the source has every other value.

    Raises
    ------
    ConfigurationError
        No such column or value, a value in both, or a component without examples.
    """
    if not target_values:
        known = found.categories(by, "by").counts if by != CONTEXT else {}
        told = ", ".join(f"{n!r} ({k})" for n, k in [*known.items()][:10])
        raise ConfigurationError(
            "the target of the mixture is not named; give --target-values"
            + (f", one or more of {told}" if told else "")
        )
    both = sorted(set(source_values) & set(target_values))
    if both:
        raise ConfigurationError(
            f"the value {both[0]!r} is among source_values and target_values; leave it out of one"
        )
    values = (*source_values, *target_values) if source_values else ()
    if by == CONTEXT and not source_values:
        raise ConfigurationError(
            "contexts of the source are needed beside those of the target; give --source-values"
        )
    group = found.categories(by, "by", values)
    codes = _codes(group, source_values, target_values)
    for code, name in enumerate(_NAMES):
        if not (codes == code).any():
            raise ConfigurationError(
                f"no example of the column {by!r} is in the {name} of the mixture; "
                + ", ".join(f"{n!r} has {k}" for n, k in [*group.counts.items()][:10])
            )
    kept = np.flatnonzero(codes >= 0)
    left = {"examples_in_neither_component": len(codes) - len(kept)}
    part = found.take(kept)
    # The group tells the component: it is no feature of a model, and stays beside as a column.
    columns = tuple(c for c in part.metadata.columns if c != by)
    part = replace(part, metadata=replace(part.metadata, columns=columns))
    return Components(part, codes[kept], left)


def _codes(group: Categories, source: Sequence[str], target: Sequence[str]) -> Codes:
    unknown = [v for v in target if v not in group.names]
    if unknown:
        raise ConfigurationError(
            f"target_values names {unknown[0]!r}, which no example has; "
            f"{near_names(unknown[0], group.names)}"
        )
    of_name = [
        TARGET if name in target else SOURCE if not source or name in source else -1
        for name in group.names
    ]
    return np.array([*of_name, -1], np.int64)[group.codes]


def divided(
    both: Components,
    shares: Mapping[str, float],
    wanted: tuple[Sequence[str], Sequence[str]],
    seed: int,
    purpose: str,
) -> dict[tuple[str, int], Codes]:
    """Rows by part and component, whole clusters in each part.

    A cluster with examples of one component alone goes to a part that wants that component, one
    with both to any, in proportion to the shares: so within a component the parts are exchangeable.

    Parameters
    ----------
    both : Components
    shares : mapping
        Of the clusters, by part.
    wanted : (sequence of str, sequence of str)
        The parts that want source examples, and those that want target examples.
    seed : int
    purpose : str

    Returns
    -------
    dict of int64 arrays
        Rows of each part and component that is wanted, ascending.

    Raises
    ------
    ConfigurationError
        A part would be without a component that it wants.
    """
    found, codes = both.found, both.codes
    n = int(found.cluster.max()) + 1
    has = [np.bincount(found.cluster[codes == c], minlength=n) > 0 for c in (SOURCE, TARGET)]
    kind = np.where(has[0] & has[1], 2, np.where(has[1], TARGET, SOURCE))
    first = np.unique(found.cluster, return_index=True)[1]
    units = found.examples["cluster_id"].combine_chunks().take(pa.array(first))
    priority = np.argsort(np.argsort(uniforms(units, seed, purpose))).astype(np.uint64)
    names = [p for p, share in shares.items() if share > 0]
    part = np.full(n, -1, np.int64)
    for k in range(3):
        mine = np.flatnonzero(kind == k)
        if not len(mine):
            continue
        own = [p for p in names if k == 2 or p in wanted[k]]
        weights = np.array([shares[p] for p in own])
        present, stratum = np.unique(found.label.codes[first[mine]], return_inverse=True)
        offsets = priorities(seed, f"{purpose} strata {k}", map(str, present.tolist())) / 2.0**64
        place = unit_order(priority[mine], stratum, offsets)
        ends = np.rint(np.cumsum(weights / weights.sum()) * len(mine))
        at = np.searchsorted(ends, place, side="right")
        part[mine] = np.array([names.index(p) for p in own])[at]
    of_row = part[found.cluster]
    made = {}
    for c in (SOURCE, TARGET):
        for p in (p for p in names if p in wanted[c]):
            rows = np.flatnonzero((of_row == names.index(p)) & (codes == c))
            if not len(rows):
                raise ConfigurationError(
                    f"the {_NAMES[c]} has {int((codes == c).sum())} examples in "
                    f"{int(has[c].sum())} clusters, too few for a part {p!r} of {shares[p]:g}; "
                    "give more examples or larger shares"
                )
            made[p, c] = rows
    return made
