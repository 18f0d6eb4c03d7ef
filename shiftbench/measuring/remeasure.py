"""Measuring a benchmark that is whole: new lines in its tables, and all else as it was."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from threadpoolctl import threadpool_limits

from shiftbench import engine
from shiftbench.benchmark import Benchmark
from shiftbench.errors import ConfigurationError, StorageError
from shiftbench.measuring.differences import measure_differences
from shiftbench.measuring.examples import Examples
from shiftbench.measuring.reference import NO_FEATURES
from shiftbench.measuring.rows import merged
from shiftbench.measuring.run import Measured, measure_examples
from shiftbench.measuring.settings import Measurement
from shiftbench.progress import shown
from shiftbench.schema import SEVERITIES
from shiftbench.store.location import Location
from shiftbench.store.manifest import Manifest, read_manifest, sealed
from shiftbench.store.remade import remade_card
from shiftbench.store.stage import open_stage
from shiftbench.store.tables import file_entry, write_table_config

__all__ = ["examples_of", "measure_benchmark"]


def examples_of(folder: Location, manifest: Manifest) -> Examples:
    """The examples of a benchmark directory."""
    configs = {n: c for n, c in manifest.configs.items() if c.kind in ("task", "examples")}
    if not any(s.rows for c in configs.values() for s in c.splits.values()):
        raise ConfigurationError(f"{folder.url!r} has no examples to measure")
    return Examples(
        folder, configs, tuple(manifest.content), manifest.digest, columns=tuple(manifest.columns)
    )


def measure_benchmark(
    where: str | Path,
    settings: Measurement,
    *,
    shift_columns: Sequence[str] = (),
    n_jobs: int | None = None,
    progress: bool | None = None,
) -> Measured:
    """Measure a benchmark directory; what is measured is added to its tables.

    The directory is whole before and after: the new tables are written beside it and put in its
    place in one step. Its digest stays, which measured tables are no part of.

    Parameters
    ----------
    where : path
        A local benchmark directory.
    settings : Measurement
    shift_columns : sequence of str
        Columns that are the shift itself (device, pixel spacing): the audit of what else differs
        leaves them out.
    n_jobs : int, optional
        Processes that compute features.
    progress : bool, optional

    Returns
    -------
    Measured
        What this call measured.

    Raises
    ------
    StorageError
        The benchmark is not a local folder, or another process works on it.
    ConfigurationError
        Settings that do not fit the benchmark.
    """
    bench = Benchmark(str(where))
    folder = Location(str(where))
    if folder.local is None:
        raise StorageError(
            f"{folder.url!r} is no local folder, and a benchmark elsewhere cannot be replaced in "
            "one step; copy it here, measure the copy, and publish that"
        )
    examples = examples_of(folder, bench.manifest)
    _check_columns(examples, shift_columns)
    tables = {n: bench.table(n) for n in bench.configs if n in ("subsets", "membership")}
    run = partial(engine.run, n_jobs=n_jobs)
    with open_stage(folder, bench.manifest.sha256, overwrite=True) as stage:
        if read_manifest(folder).sha256 != bench.manifest.sha256:
            raise StorageError(f"{folder.url!r} was changed meanwhile; run the same command again")
        measured: Mapping[str, Any] = bench.manifest.measured
        stored = dict(measured.get("spaces", {}))
        show = shown(progress)
        found = measure_examples(examples, tables, settings, run, stored=stored, show=show)
        own = [*dict.fromkeys([*measured.get("shift_columns", []), *shift_columns])]
        with threadpool_limits(limits=1):
            balance, verdicts = measure_differences(examples, own, settings.seed)
        new = {
            "shift_distances": merged(bench.table("shift_distances"), found.distances),
            "balance": balance,
        }
        if len(found.severities):
            known = [bench.table("severities")] if "severities" in bench.configs else []
            new["severities"] = _latest([*known, found.severities])
        what = {
            **measured,
            "spaces": {**stored, **found.spaces},
            "confounding": verdicts,
            "shift_columns": own,
            "left_out": still_left_out(measured.get("left_out", []), found),
        }
        if read_manifest(folder).sha256 != bench.manifest.sha256:
            raise StorageError(f"{folder.url!r} was changed meanwhile; run the same command again")
        assert stage.work.local is not None
        _link(folder.local, stage.work.local, bench.manifest, set(new))
        card = folder.read("README.md") if folder.exists("README.md") else b""
        stage.seal(_manifest(bench.manifest, card, stage.work, new, what))
    return found


def still_left_out(before: Sequence[Mapping[str, Any]], found: Measured) -> list[Mapping[str, Any]]:
    """What earlier measurements left out and this one has not measured, and what it left out."""
    names = ("config", "source", "target", "distance", "space")
    rows = found.distances.select(list(names)).to_pylist()
    # Of subsets the entry is for all pairs of a distance.
    told = {tuple(r[n] for n in names) if r["config"] else _between(r) for r in rows}
    told |= {tuple(e.get(n) for n in names) for e in found.left_out}
    if found.spaces:  # none fitted the content, and one that does was named
        told.add((None, None, None, NO_FEATURES, None))
    stays = [dict(e) for e in before if tuple(e.get(n) for n in names) not in told]
    return [*stays, *found.left_out]


def _latest(tables: Sequence[pa.Table]) -> pa.Table:
    """The lines of all tables, of one space and distance those of the last.

    A line without a distance stays only where its split and space have none with one.
    """
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    for table in tables:
        for row in table.to_pylist():
            kept[tuple(row[k] for k in ("config", "split", "space", "distance"))] = row
    told = {key[:3] for key in kept if key[3] is not None}
    lines = [row for key, row in kept.items() if key[3] is not None or key[:3] not in told]
    return pa.Table.from_pylist(lines, schema=SEVERITIES)


def _between(row: Mapping[str, Any]) -> tuple[str | None, ...]:
    return (None, None, None, row["distance"], row["space"])


def _check_columns(examples: Examples, shift_columns: Sequence[str]) -> None:
    for config in examples.tasks:
        known = examples.schema(config).names
        for name in shift_columns:
            if name not in known:
                raise ConfigurationError(
                    f"the task {config!r} has no column {name!r}; it has: {', '.join(known)}"
                )


def _link(source: Path, target: Path, manifest: Manifest, replaced: set[str]) -> None:
    """All files that stay, under a second name where the file system can, else copied."""
    for name in manifest.files:
        if name == "README.md" or any(name.startswith(f"data/{n}/") for n in replaced):
            continue
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        try:
            os.link(source / name, place)
        except OSError:
            shutil.copy2(source / name, place)


def _manifest(
    before: Manifest,
    card: bytes,
    work: Location,
    tables: Mapping[str, pa.Table],
    measured: dict[str, Any],
) -> bytes:
    files = dict(before.files)
    configs = dict(before.configs)
    for name, table in tables.items():
        for path in [p for p in files if p.startswith(f"data/{name}/")]:
            del files[path]
        configs[name], written = write_table_config(name, table, "measured", work)
        files |= written
    changed = msgspec.structs.replace(before, configs=configs, files=files, measured=measured)
    work.write("README.md", remade_card(card, changed, tables))
    files["README.md"] = file_entry(work, "README.md")
    return sealed(msgspec.structs.replace(changed, files=dict(sorted(files.items()))))
