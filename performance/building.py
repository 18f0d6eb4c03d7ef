"""Building from image files: against bare loops, `datasets`' own builder, and two workers.

Fixed beforehand: 20,000 JPEG files of 256 × 256 pixels and about 24 KB (1,000 pictures drawn with
seed 0, each 20 times with another comment in its header), read from the page cache. Contenders of
ours are the materialising of a plan (`plan.shards()`, then `engine.run(write_shard, …)`: reading,
checking, hashing, writing) and, as `build`, a whole `shiftbench.build()` with the default checks:
listing the files, planning, materialising, measuring, the card, sealing. The bare loop has the
list of files and their columns ready, and writes the same rows into the same files with the same
Parquet options. Worker processes are started beforehand.

Prints one JSON object. A ratio above 1 says that we are faster. `--memory` measures peak memory
instead, of every process, building from 1 GB and from 4 GB of images.

    python performance/building.py [--files 20000] [--rounds 5] [--folder DIR] [--memory]
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _measure import (
    family,
    interleaved,
    jpegs,
    numbered,
    peak_mb,
    ratio,
    rounded,
    temporary_folder,
)
from PIL import Image

import shiftbench as sb
from shiftbench import engine
from shiftbench.builders import MetaShift
from shiftbench.plan import Plan
from shiftbench.schema import Checks, Shard, Source, arrow_schema
from shiftbench.sources import SubsetIndex
from shiftbench.store.location import Location
from shiftbench.store.write import parquet_options, write_shard

SEED = 0
PICTURES = 1000
CONTEXTS = 40


def make_files(folder: Path, files: int, *, link_from: int | None = None) -> MetaShift:
    """Image files and an index of subsets of them; beyond `link_from` files they are hard links."""
    images = folder / "images"
    images.mkdir(parents=True)
    pictures = jpegs(min(PICTURES, files), SEED)
    names = [f"{i:08d}" for i in range(files)]
    distinct = min(link_from or files, files)
    for i, name in enumerate(names):
        path = images / f"{name}.jpg"
        if i < distinct:
            path.write_bytes(numbered(pictures[i % len(pictures)], i))
        else:
            path.hardlink_to(images / f"{names[i % distinct]}.jpg")
    rng = np.random.default_rng(SEED)
    chosen = rng.integers(0, CONTEXTS, (files, 2))
    index: dict[str, list[str]] = {f"cat(context {c})": [] for c in range(CONTEXTS)}
    for name, contexts in zip(names, chosen, strict=True):
        for c in set(contexts.tolist()):
            index[f"cat(context {c})"].append(name)
    (folder / "index.json").write_text(json.dumps(index))
    return MetaShift(SubsetIndex(str(folder / "index.json"), images=str(images)), min_size=1)


def build(builder: MetaShift, out: Path, n_jobs: int = 1) -> None:
    """All of our work, from the files to the sealed directory."""
    sb.build(builder, out, n_jobs=n_jobs, measure=False)


def materialise(plan: Plan, source: Source, out: Path, checks: str, n_jobs: int = 1) -> None:
    """Our write path: from a plan to its files."""
    location = Location(str(out))
    tasks = [(s, source.reader, location, Checks(checks)) for s in plan.shards()]
    rows = sum(r.rows for r in engine.run(write_shard, tasks, n_jobs=n_jobs))
    assert rows == len(plan.metadata.examples)


def bare_write(shards: list[Shard], out: Path) -> None:
    """Read the files and write them, same rows, files, row groups and Parquet options."""
    for shard in shards:
        features = dict(shard.features)
        schema = arrow_schema(features)
        path = out / shard.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(str(path), schema, **parquet_options(features)) as writer:
            for start in range(0, len(shard.rows), 100):
                rows = shard.rows.slice(start, 100)
                images = [Path(p).read_bytes() for p in rows["locator"].to_pylist()]
                bytes_ = pa.array(images, pa.binary())
                columns = [
                    pa.StructArray.from_arrays(
                        [bytes_, pa.nulls(len(bytes_), pa.string())],
                        type=schema.field(name).type,
                    )
                    if name == "image"
                    else rows[name].combine_chunks()
                    for name in schema.names
                ]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))


def bare_decode(paths: list[str]) -> None:
    """Read the files and decode every pixel; nothing is written."""
    for path in paths:
        Image.open(io.BytesIO(Path(path).read_bytes())).load()


def speed(folder: Path, files: int, rounds: int) -> dict[str, Any]:
    """Ratios, all contenders in turns."""
    from _generator import generator_build  # imports datasets, which a build does without

    builder = make_files(folder / "source", files)
    plan = builder.plan(builder.source.scan(), seed=0)
    shards = list(plan.shards())
    paths = [p for s in shards for p in s.rows["locator"].to_pylist()]
    total = sum(Path(p).stat().st_size for p in paths)
    out = folder / "out"
    clear = partial(shutil.rmtree, out, ignore_errors=True)
    ours = partial(materialise, plan, builder.source, out / "ours")
    written: dict[str, Callable[[], object]] = {
        "bare_write": partial(bare_write, shards, out / "bare"),
        "off": partial(ours, "off"),
        "header": partial(ours, "header"),
        "header_2_workers": partial(ours, "header", 2),
        "build": partial(build, builder, out / "built"),
        "generator_builder": partial(generator_build, shards, out / "generator"),
    }
    decoded: dict[str, Callable[[], object]] = {
        "bare_decode": partial(bare_decode, paths),
        "decode": partial(ours, "decode"),
        "decode_2_workers": partial(ours, "decode", 2),
    }
    ours("off", 2)  # starts the worker processes, fills the page cache
    written["bare_write"]()
    same = [(out / "ours" / s.path).stat().st_size for s in shards]
    assert same == [(out / "bare" / s.path).stat().st_size for s in shards]
    times = interleaved(written, rounds, clear)
    times |= interleaved(decoded, max(rounds // 2, 2), clear)
    return {
        "measured": "building",
        "files": files,
        "mb": round(total / 1e6),
        "rounds": rounds,
        "off_vs_bare_write": ratio(times, "off", "bare_write"),
        "header_vs_bare_write": ratio(times, "header", "bare_write"),
        "header_vs_generator_builder": ratio(times, "header", "generator_builder"),
        "build_vs_bare_write": ratio(times, "build", "bare_write"),
        "build_vs_generator_builder": ratio(times, "build", "generator_builder"),
        "decode_vs_bare_decode": ratio(times, "decode", "bare_decode"),
        "header_2_workers_vs_1": ratio(times, "header_2_workers", "header"),
        "decode_2_workers_vs_1": ratio(times, "decode_2_workers", "decode"),
        "mb_per_second": {n: round(total / 1e6 / min(t)) for n, t in times.items()},
        "seconds": rounded(times),
    }


def memory_child(folder: Path, files: int, n_jobs: int) -> None:
    """Build, and print the peak memory of this process and of its workers."""
    source = SubsetIndex(str(folder / "index.json"), images=str(folder / "images"))
    out = folder.parent / f"built-{files}"
    build(MetaShift(source, min_size=1), out, n_jobs)
    print(json.dumps([peak_mb(pid) for pid in family()]))
    shutil.rmtree(out)


def memory(folder: Path) -> dict[str, Any]:
    """Peak memory of each process, for 1 GB and for 4 GB of images."""
    found: dict[str, Any] = {"measured": "building_memory"}
    for gigabytes in (1, 4):
        files = int(gigabytes * 1e9 / 23_100)
        source = folder / f"source-{gigabytes}"
        make_files(source, files, link_from=20_000)
        for n_jobs in (1, 2):
            command = [sys.executable, __file__, "--child", str(source), str(files), str(n_jobs)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            peaks = json.loads(done.stdout.splitlines()[-1])
            found[f"{gigabytes}_gb_{n_jobs}_jobs_peak_mb"] = peaks
        shutil.rmtree(source)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", help="where to make the files; by default the temporary one")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        folder, files, n_jobs = options.child
        memory_child(Path(folder), int(files), int(n_jobs))
        return
    with temporary_folder(options.folder) as folder:
        if options.memory:
            print(json.dumps(memory(folder)))
        else:
            print(json.dumps(speed(folder, options.files, options.rounds)))


if __name__ == "__main__":
    main()
