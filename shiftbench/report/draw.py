"""The meta-graph of a benchmark, from its tables to a picture.

As a program, ``python -m shiftbench.report.draw FOLDER THRESHOLD`` draws FOLDER/subsets.parquet
and FOLDER/membership.parquet into FOLDER/metagraph.svg.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shiftbench.benchmark import Benchmark
from shiftbench.distances.metagraph import edges
from shiftbench.distances.overlaps import Subsets
from shiftbench.errors import ConfigurationError, near_names
from shiftbench.report.files import save
from shiftbench.report.metagraph import metagraph_chart

__all__ = ["draw_metagraph", "drawn_beside", "metagraph_of"]

_TABLES = ("subsets", "membership")
_PICTURE = "metagraph.svg"

BESIDE = 20_000
"""From this many memberships on, a build is long enough to draw in a process of its own."""


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


@contextmanager
def drawn_beside(
    tables: Mapping[str, pa.Table], edge_threshold: float
) -> Iterator[Callable[[], bytes | None]]:
    """Draw the meta-graph of a large benchmark in another process, while the block works.

    Drawing takes a second and 150 MB, which a large build has other uses for; that of a small one
    is drawn when it is asked for. The function that the block gets returns the SVG; it gives None
    where there is nothing to draw, where the extra ``report`` is not installed, or, with a
    warning, where drawing failed: a picture is no reason to lose a build.
    """
    installed = all(find_spec(package) for package in ("altair", "vl_convert"))
    if not installed or any(name not in tables for name in _TABLES) or not _nodes(tables):
        yield lambda: None
        return
    if len(tables["membership"]) < BESIDE:
        yield partial(_svg, tables, edge_threshold)
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in _TABLES:
            pq.write_table(tables[name], Path(folder, f"{name}.parquet"))
        command = [sys.executable, "-m", __name__, folder, str(edge_threshold)]
        said = Path(folder, "said.txt")
        with said.open("w") as errors:
            process = subprocess.Popen(command, stderr=errors)

        def picture() -> bytes | None:
            if process.wait():
                last = (said.read_text().strip().splitlines() or ["it was killed"])[-1]
                warnings.warn(f"the card has no meta-graph: {last}", stacklevel=2)
                return None
            return Path(folder, _PICTURE).read_bytes()

        try:
            yield picture
        finally:
            process.kill()
            process.wait()


def _svg(tables: Mapping[str, pa.Table], edge_threshold: float) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, _PICTURE)
        save(metagraph_of(tables["subsets"], tables["membership"], edge_threshold), path)
        return path.read_bytes()


def _nodes(tables: Mapping[str, pa.Table]) -> int:
    kinds: list[str] = tables["subsets"]["kind"].to_pylist()
    return sum(kind != "union" for kind in kinds)


def _main(folder: str, edge_threshold: str) -> None:
    subsets, membership = (pq.read_table(Path(folder, f"{name}.parquet")) for name in _TABLES)
    save(metagraph_of(subsets, membership, float(edge_threshold)), Path(folder, _PICTURE))


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


if __name__ == "__main__":
    _main(*sys.argv[1:])
