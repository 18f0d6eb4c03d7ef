"""The meta-graph of a benchmark, from its tables to a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shiftbench.benchmark import Benchmark
from shiftbench.distances.metagraph import edges
from shiftbench.distances.overlaps import Subsets
from shiftbench.errors import ConfigurationError, near_names
from shiftbench.report.files import save
from shiftbench.report.metagraph import metagraph_chart

__all__ = ["draw_metagraph", "metagraph_of"]


def draw_metagraph(
    bench: Benchmark, path: str | Path, *, classes: Sequence[str] = (), thumbnails: bool = False
) -> list[str]:
    """Draw a benchmark's meta-graph into a file.

    Parameters
    ----------
    bench : Benchmark
    path : path
        Its suffix says what is written: .svg, .png, .html or .json.
    classes : sequence of str
        Classes to draw; none = all, as far as they fit.
    thumbnails : bool
        Show an image of each subset.

    Returns
    -------
    list of str
        What the picture leaves out, in words.

    Raises
    ------
    ConfigurationError
        The benchmark has no subsets, or none of such a class.
    """
    if "subsets" not in bench.manifest.configs:
        raise ConfigurationError(f"{bench.url!r} has no subsets, so there is no meta-graph")
    subsets = bench.table("subsets")
    known = set(subsets["class"].to_pylist())
    for name in classes:
        if name not in known:
            raise ConfigurationError(
                f"{bench.url!r} has no class {name!r}; {near_names(name, known)}"
            )
    if classes:
        subsets = subsets.filter(pc.is_in(subsets["class"], pa.array(list(classes))))
    images = _thumbnails(bench, subsets) if thumbnails else None
    options: Mapping[str, Any] = bench.manifest.recipe.get("options", {})
    threshold = float(options.get("edge_threshold", 0.2))
    chart = metagraph_of(subsets, bench.table("membership"), threshold, thumbnails=images)
    save(chart, path)
    return [line for line in chart.title.subtitle if line.startswith("Not drawn")]


def metagraph_of(
    subsets: pa.Table,
    membership: pa.Table,
    edge_threshold: float,
    *,
    thumbnails: Mapping[str, bytes] | None = None,
) -> Any:
    """The chart of some rows of `subsets`; unions are no nodes."""
    nodes = subsets.filter(pc.not_equal(subsets["kind"], "union"))
    names = nodes["subset"].to_pylist()
    mine = membership.filter(pc.is_in(membership["subset"], nodes["subset"].combine_chunks()))
    ids = mine["example_id"].combine_chunks().dictionary_encode()
    rows = ids.indices.to_numpy().astype(np.int32)
    subset = pc.index_in(mine["subset"].combine_chunks(), pa.array(names, pa.string())).to_numpy()
    order = np.lexsort((rows, subset))
    sizes = np.bincount(subset, minlength=len(names))
    graph = Subsets(
        names=tuple(names),
        classes=tuple(nodes["class"].to_pylist()),
        indptr=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        indices=rows[order],
        n_examples=len(ids.dictionary),
    )
    return metagraph_chart(nodes, edges(graph, edge_threshold), thumbnails=thumbnails)


def _thumbnails(bench: Benchmark, subsets: pa.Table) -> dict[str, bytes]:
    """One image a subset, a new one where there is one that no subset before it shows."""
    if "image" not in bench.manifest.content:
        raise ConfigurationError(f"{bench.url!r} has no images, so there are no thumbnails")
    import datasets

    shown: set[str] = set()
    found = {}
    for name in subsets["subset"].to_pylist():
        members = bench.members(name)
        chosen = next((i for i, e in enumerate(members) if e not in shown), 0)
        shown.add(members[chosen])
        one = bench.load_subset(name).select([chosen])
        raw = one.cast_column("image", datasets.Image(decode=False))
        found[name] = raw[0]["image"]["bytes"]
    return found
