"""Patches of radiographs: against a bare loop over the files, with one config and with two.

Fixed beforehand: 60 radiographs of 2000 × 2000 pixels, 12 of 16 bits, as PNG of 4.6 MB each (one
smooth picture with noise, drawn with seed 0, rolled by another offset for each), of 60 patients on
two devices; 64 patches of 128 × 128 of each. Read from the page cache. `write` is the materialising
of a plan (`engine.run(write_shard, …)`: decoding, normalising, finding positions, cutting,
encoding, checking, hashing, writing); `build` is the whole of `shiftbench.build()` without
measuring. `write_bytes` hashes each patch as encoded in place of its pixels, for comparison.

The bare loop has positions and columns ready. It decodes each file once, scales and crops, encodes
with the same PNG settings, and writes the same rows into the same Parquet files with the same
options; with two configs it keeps the encoded patches in memory for the second.

Prints one JSON object. A ratio above 1 says that we are faster. `--memory` measures peak memory
instead, of every process, for 60 and for 240 radiographs (hard links).

    python performance/xray_patches.py [--files 60] [--rounds 3] [--folder DIR] [--memory]
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _measure import family, interleaved, peak_mb, ratio, rounded, temporary_folder
from PIL import Image

import shiftbench as sb
from shiftbench import engine
from shiftbench.builders import XrayPatches
from shiftbench.builders.xray._spool import spool
from shiftbench.builders.xray.reading import LEVEL, parse
from shiftbench.radiograph import grey_png
from shiftbench.schema import Checks, Shard, arrow_schema
from shiftbench.sources import Radiographs
from shiftbench.sources._radiograph_files import Located
from shiftbench.store.location import Location
from shiftbench.store.write import parquet_options, write_shard

SEED = 0
SIDE = 2000
FILES = 60
PATCHES = 64
SIZE = 128
CHECKS = Checks(modes=("I;16",))


def make_files(folder: Path, files: int = FILES) -> None:
    """Radiographs with a manifest; beyond `FILES` they are hard links."""
    images = folder / "images"
    images.mkdir(parents=True)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    smooth = 2000 + 1500 * np.sin(x / 150) * np.cos(y / 200)
    noisy = smooth + np.random.default_rng(SEED).normal(0, 15, smooth.shape)
    pixels = noisy.clip(0, 4095).astype(np.uint16)
    lines = ["image,patient,device,bits"]
    for k in range(files):
        path = images / f"{k:05d}.png"
        if k < FILES:
            path.write_bytes(grey_png(np.roll(pixels, (31 * k, 17 * k), (0, 1)), level=LEVEL))
        else:
            path.hardlink_to(images / f"{k % FILES:05d}.png")
        # Read as of more bits, the same file is another picture: equal ones would stop the build.
        lines.append(f"{path.name},{k},{'one' if k % 3 else 'other'},{12 + k // FILES}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")


def patches_of(folder: Path, configs: int) -> XrayPatches:
    """The benchmark of some files."""
    source = Radiographs(
        str(folder / "images"),
        str(folder / "manifest.csv"),
        device_column="device",
        bits_column="bits",
        key_file=str(folder / "pseudonyms.key"),
    )
    devices = ("one", "other")[:configs]
    options = {"patches": PATCHES, "patch_size": SIZE, "min_patients": 5}
    return XrayPatches(source, in_distribution=devices, match=("none",), **options)


def write(builder: XrayPatches, shards: list[Shard], out: Path) -> None:
    """Our write path: from a plan to its files."""
    location = Location(str(out))
    tasks = [(s, partial(builder.reader, SEED), location, CHECKS) for s in shards]
    rows = sum(r.rows for r in engine.run(write_shard, tasks, n_jobs=1))
    assert rows == sum(len(s.rows) for s in shards)


def build(builder: XrayPatches, out: Path, n_jobs: int = 1) -> None:
    """All of our work, from the files to the sealed directory."""
    sb.build(builder, out, seed=SEED, n_jobs=n_jobs, measure=False)


def positions(shards: list[Shard], written: Path) -> dict[str, dict[str, Any]]:
    """By patch what we wrote of it beside the image: row, column, region …"""
    found: dict[str, dict[str, Any]] = {}
    for shard in shards:
        names = ["example_id", *(n for n in shard.content if n != "image")]
        for row in pq.read_table(written / shard.path, columns=names).to_pylist():
            found[row.pop("example_id")] = row
    return found


def bare(shards: list[Shard], where: dict[str, dict[str, Any]], out: Path) -> None:
    """Decode each file once, crop, encode, write: same rows, files, row groups and options."""
    encoded: dict[str, bytes] = {}
    for shard in shards:
        features = dict(shard.features)
        schema = arrow_schema(features)
        path = out / shard.path
        path.parent.mkdir(parents=True, exist_ok=True)
        last, pixels = "", np.empty((0, 0), np.uint16)
        with pq.ParquetWriter(str(path), schema, **parquet_options(features)) as writer:
            for start in range(0, len(shard.rows), 100):
                rows = shard.rows.slice(start, 100)
                ids = rows["example_id"].to_pylist()
                for ident, locator in zip(ids, rows["locator"].to_pylist(), strict=True):
                    if ident in encoded:
                        continue
                    file = Located.parse(parse(locator).radiograph).path
                    if file != last:
                        with Image.open(file) as image:
                            last, pixels = file, np.asarray(image)
                    top, left = where[ident]["top"], where[ident]["left"]
                    crop = pixels[top : top + SIZE, left : left + SIZE]
                    scaled = np.rint(crop * (65535 / 4095)).astype(np.uint16)
                    encoded[ident] = grey_png(scaled, level=LEVEL)
                data = pa.array([encoded[i] for i in ids], pa.binary())
                made: dict[str, Any] = {
                    name: pa.array([where[i][name] for i in ids], schema.field(name).type)
                    for name in shard.content
                    if name != "image"
                }
                made["image"] = pa.StructArray.from_arrays(
                    [data, pa.nulls(len(data), pa.string())], type=schema.field("image").type
                )
                columns = [
                    made[n] if n in made else rows[n].combine_chunks().cast(schema.field(n).type)
                    for n in schema.names
                ]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))


def speed(folder: Path, files: int, rounds: int) -> dict[str, Any]:
    """Ratios, all contenders in turns."""
    make_files(folder / "source", files)
    found: dict[str, Any] = {"measured": "xray_patches", "files": files, "rounds": rounds}
    for configs in (1, 2):
        builder = patches_of(folder / "source", configs)
        shards = list(builder.plan(builder.source.scan(), seed=SEED).shards())
        by_bytes = [replace(s, identity="bytes") for s in shards]
        out = folder / "out"
        write(builder, shards, out / "ours")
        where = positions(shards, out / "ours")
        bare(shards, where, out / "bare")
        for shard in shards:
            ours, theirs = (pq.read_table(out / who / shard.path) for who in ("ours", "bare"))
            assert ours.equals(theirs)
        contenders: dict[str, Callable[[], object]] = {
            "bare": partial(bare, shards, where, out / "bare"),
            "write": partial(write, builder, shards, out / "ours"),
            "write_bytes": partial(write, builder, by_bytes, out / "ours"),
            "build": partial(build, builder, out / "built"),
        }
        times = interleaved(contenders, rounds, partial(cleared, out))
        patches = sum(len(s.rows) for s in shards)
        found[f"{configs}_configs"] = {
            "patches": patches,
            "write_vs_bare": ratio(times, "write", "bare"),
            "write_bytes_vs_bare": ratio(times, "write_bytes", "bare"),
            "build_vs_bare": ratio(times, "build", "bare"),
            "patches_per_second": {n: round(patches / min(t)) for n, t in times.items()},
            "seconds": rounded(times),
        }
        cleared(out)
    return found


def cleared(out: Path) -> None:
    """Nothing of an earlier round is there, on the disk or in the spool."""
    shutil.rmtree(out, ignore_errors=True)
    spool().close()


def memory_child(folder: Path, n_jobs: int) -> None:
    """Build, and print the peak memory of this process and of its workers."""
    out = folder.parent / "built"
    build(patches_of(folder, 2), out, n_jobs)
    print(json.dumps([peak_mb(pid) for pid in family()]))
    shutil.rmtree(out)


def memory(folder: Path) -> dict[str, Any]:
    """Peak memory of each process, by the number of radiographs and of jobs."""
    found: dict[str, Any] = {"measured": "xray_patches_memory"}
    for files in (FILES, 4 * FILES):
        source = folder / f"source-{files}"
        make_files(source, files)
        for n_jobs in (1, 2):
            command = [sys.executable, __file__, "--child", str(source), str(n_jobs)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            peaks = json.loads(done.stdout.splitlines()[-1])
            found[f"{files}_files_{n_jobs}_jobs_peak_mb"] = peaks
        shutil.rmtree(source)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where to make the files; by default the temporary one")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        folder, n_jobs = options.child
        memory_child(Path(folder), int(n_jobs))
        return
    with temporary_folder(options.folder) as folder:
        if options.memory:
            print(json.dumps(memory(folder)))
        else:
            print(json.dumps(speed(folder, options.files, options.rounds)))


if __name__ == "__main__":
    main()
