"""How far the subsets of a class are from each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shiftbench.distances.measured import distance_named, options_of
from shiftbench.distances.pairs import pairwise
from shiftbench.measuring.examples import Examples, Rows
from shiftbench.measuring.reference import FittedSpace
from shiftbench.measuring.settings import Measurement
from shiftbench.schema import SHIFT_DISTANCES
from shiftbench.statistics import priorities

__all__ = ["subset_distances"]


def subset_distances(
    examples: Examples,
    subsets: pa.Table,
    membership: pa.Table,
    space: FittedSpace,
    settings: Measurement,
    left_out: list[dict[str, Any]],
) -> pa.Table:
    """The distances between features asked for, of the pairs of subsets within each class.

    The largest subsets come first, until `max_pairs` is used up.
    """
    names = [d for d in settings.distances if distance_named(d).takes == "features"]
    if examples.everything is None or not names or not settings.max_pairs:
        return SHIFT_DISTANCES.empty_table()
    classes, dropped = _within_budget(subsets, settings.max_pairs)
    if dropped:
        reason = (
            f"{dropped} pairs of subsets within a class are beyond the budget of "
            f"{settings.max_pairs} pairs (max_pairs); the largest subsets were measured"
        )
        left_out += [{"distance": n, "space": space.name, "reason": reason} for n in names]
    split = next(iter(examples.configs[examples.everything].splits))
    every = examples.split(examples.everything, split)
    at = {e: i for i, e in enumerate(every.ids)}
    members = _members(membership, {n for c in classes for n in c})
    parts = []
    for subset_names in classes:
        rows = {n: _sampled(every, at, members[n], settings) for n in subset_names}
        rows = {n: r for n, r in rows.items() if len(r.table) > 1}
        if len(rows) < 2:
            continue
        rows, features = _features(space, rows)
        if len(rows) < 2:
            continue
        ids = {n: r.ids for n, r in rows.items()}
        clusters = {n: r.table["cluster_id"].to_pylist() for n, r in rows.items()}
        for name in names:
            options = settings.of(name)
            if "bandwidth" in options_of(distance_named(name)) and space.bandwidth is not None:
                options.setdefault("bandwidth", space.bandwidth)
            found = pairwise(
                features,
                name,
                ids=ids,
                clusters=clusters,
                n_permutations=0,
                level=settings.level,
                seed=settings.seed,
                **options,
            )
            parts.append(_in_space(found, space, settings))
    return pa.concat_tables(parts) if parts else SHIFT_DISTANCES.empty_table()


def _within_budget(subsets: pa.Table, most: int) -> tuple[list[list[str]], int]:
    """Subsets by class, largest first as far as their pairs fit, and how many pairs do not."""
    of_class: dict[str, list[str]] = {}
    order = subsets.sort_by([("size", "descending"), ("subset", "ascending")])
    pairs = used = 0
    seen: dict[str, int] = {}
    for name, class_ in zip(order["subset"].to_pylist(), order["class"].to_pylist(), strict=True):
        if class_ is None:
            continue
        before = seen.get(class_, 0)
        seen[class_] = before + 1
        pairs += before
        kept = of_class.setdefault(class_, [])
        if len(kept) == before and used + before <= most:
            kept.append(name)
            used += before
    return [sorted(n) for _, n in sorted(of_class.items())], pairs - used


def _members(membership: pa.Table, wanted: set[str]) -> dict[str, list[str]]:
    some = membership.filter(pc.is_in(membership["subset"], pa.array(sorted(wanted), pa.string())))
    found: dict[str, list[str]] = {n: [] for n in sorted(wanted)}
    for name, example in zip(
        some["subset"].to_pylist(), some["example_id"].to_pylist(), strict=True
    ):
        found[name].append(example)
    return found


def _sampled(every: Rows, at: dict[str, int], ids: Sequence[str], settings: Measurement) -> Rows:
    most = settings.max_subset_examples
    if len(ids) > most:
        order = np.argsort(priorities(settings.seed, "measured sample", ids), kind="stable")
        ids = [ids[i] for i in np.sort(order[:most])]
    return every.take(np.array([at[e] for e in ids if e in at], dtype=np.int64))


def _features(space: FittedSpace, rows: dict[str, Rows]) -> tuple[dict[str, Rows], dict[str, Any]]:
    """The readable members of all subsets, and features; each example is computed once."""
    together = next(iter(rows.values()))
    places = np.concatenate([_place(r) for r in rows.values()])
    tables = pa.concat_tables([r.table for r in rows.values()])
    index, first = np.unique(places, return_index=True)
    width = 1 << 40
    whole = Rows(tables.take(first), together.paths, index // width, index % width)
    whole = space.readable(whole)
    index = _place(whole)
    kept = {n: r.take(np.flatnonzero(np.isin(_place(r), index))) for n, r in rows.items()}
    kept = {n: r for n, r in kept.items() if len(r.table) > 1}
    found = space.features(whole) if len(index) else np.empty((0, 0))
    return kept, {n: found[np.searchsorted(index, _place(r))] for n, r in kept.items()}


def _place(rows: Rows) -> Any:
    return rows.file * (1 << 40) + rows.row


def _in_space(found: pa.Table, space: FittedSpace, settings: Measurement) -> pa.Table:
    names = found["parameters"].to_pylist()
    more = {
        "space_fingerprint": space.fitted.fingerprint[:16],
        "max_examples": settings.max_subset_examples,
    }
    texts = [
        json.dumps({**json.loads(p or "{}"), **more}, ensure_ascii=False, sort_keys=True)
        for p in names
    ]
    for column, values in (("parameters", texts), ("space", [space.name] * len(found))):
        at = found.column_names.index(column)
        found = found.set_column(at, SHIFT_DISTANCES.field(column), pa.array(values, pa.string()))
    return found.cast(SHIFT_DISTANCES)
