"""Building subpopulation shifts of images that are only selected, beside the MetaShift builder.

Fixed beforehand: JPEG files of 256 × 256 pixels and about 24 KB (1,000 pictures drawn with seed 0,
repeated with another comment in the header), read from the page cache; half are of each of two
classes, each in one of two contexts, which is what all are given by one source. Contenders are
`metashift`, which writes every image once (its config `images`) and the images of one task of the
same classes, contexts and about as many images again, and `subpopulation`, which writes the splits
of one table. `build` is a whole `shiftbench.build` without measuring distances; since it compares
the columns of every two splits of a task, in seconds that do not grow with the images' bytes,
`select_and_write` is scanning, planning and writing alone. Throughput is bytes of images written a
second, in turns in one process.

Prints one JSON object; the ratio is best against best.

    python performance/subpopulation_throughput.py [--files 8000] [--rounds 5] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from _measure import interleaved, jpegs, numbered, rounded, temporary_folder

import shiftbench as sb
from shiftbench import engine
from shiftbench.schema import Checks
from shiftbench.sources import SubsetIndex
from shiftbench.store.location import Location
from shiftbench.store.write import write_shard

SEED = 0
PICTURES = 1000
TABLE = "tied:11,9/9,11"


def make_files(folder: Path, files: int) -> SubsetIndex:
    """Image files and an index of class(context) subsets of them."""
    images = folder / "images"
    images.mkdir(parents=True)
    pictures = jpegs(min(PICTURES, files), SEED)
    rng = np.random.default_rng(SEED)
    index: dict[str, list[str]] = {f"{c}({p})": [] for c in ("cat", "dog") for p in ("in", "out")}
    names = list(index)
    for i, group in enumerate(rng.integers(0, 4, files).tolist()):
        (images / f"{i:08d}.jpg").write_bytes(numbered(pictures[i % len(pictures)], i))
        index[names[group]].append(f"{i:08d}")
    (folder / "index.json").write_text(json.dumps(index))
    return SubsetIndex(str(folder / "index.json"), images=str(images))


def written(folder: Path) -> tuple[int, int]:
    """Images and their bytes in a benchmark directory."""
    found = [0, 0]
    for path in sorted(folder.glob("data/*/*.parquet")):
        if "image" in pq.read_schema(path).names:
            column = pq.read_table(path, columns=["image"])["image"].combine_chunks()
            found[0] += len(column)
            found[1] += int(column.field("bytes").nbytes)
    return found[0], found[1]


def speed(folder: Path, files: int, rounds: int) -> dict[str, Any]:
    source = make_files(folder / "source", files)
    builders = {
        "metashift": sb.builders.MetaShift(source, min_size=1, min_subsets=1, tasks=(task(files),)),
        "subpopulation": sb.builders.Subpopulations(
            source,
            attribute="context",
            values=("in", "out"),
            cells=(TABLE,),
            size=files // 2,
            fit=True,
        ),
    }
    out = folder / "out"
    clear = partial(shutil.rmtree, out, ignore_errors=True)
    sizes = {}
    for name, builder in builders.items():
        sb.build(builder, out / name, measure=False)  # fills the page cache, too
        sizes[name] = written(out / name)
    contenders: dict[str, Callable[[], object]] = {}
    for name, builder in builders.items():
        contenders[f"{name}_build"] = partial(sb.build, builder, out / name, measure=False)
        contenders[f"{name}_write"] = partial(select_and_write, builder, out / name)
    times = interleaved(contenders, rounds, clear)
    rate = {n: sizes[n.partition("_")[0]][1] / 1e6 / min(t) for n, t in times.items()}
    return {
        "measured": "subpopulation_throughput",
        "files": files,
        "rounds": rounds,
        "images": {n: s[0] for n, s in sizes.items()},
        "mb_per_second": {n: round(r, 1) for n, r in rate.items()},
        "select_and_write_vs_metashift": round(
            rate["subpopulation_write"] / rate["metashift_write"], 3
        ),
        "build_vs_metashift": round(rate["subpopulation_build"] / rate["metashift_build"], 3),
        "seconds": rounded(times),
    }


def task(files: int) -> sb.builders.SubpopulationShift:
    """A MetaShift task of about as many images as the table's splits, with exact counts too."""
    return sb.builders.SubpopulationShift(
        name="tied",
        majority={"cat(in)": ("in",), "dog(out)": ("out",)},
        minority={"cat(out)": ("out",), "dog(in)": ("in",)},
        train_per_class=files // 4,
        n_minority=files * 9 // 80,
        validation_per_group=files // 40,
        test_per_group=files * 3 // 40,
        fit=True,
    )


def select_and_write(builder: sb.builders.MetaShift, out: Path) -> None:
    """From the source to the files with images, without tables, comparisons, card and manifest."""
    plan = builder.plan(builder.source.scan(), 0, frozenset())
    location = Location(str(out))
    tasks = [(s, partial(builder.reader, 0), location, Checks()) for s in plan.shards()]
    assert sum(r.rows for r in engine.run(write_shard, tasks, n_jobs=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=8000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", help="where to make the files; by default the temporary one")
    options = parser.parse_args()
    with temporary_folder(options.folder) as folder:
        print(json.dumps(speed(folder, options.files, options.rounds)))


if __name__ == "__main__":
    main()
