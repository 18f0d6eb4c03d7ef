"""Reading images through each source, side by side with the `images` source on files.

    python performance/image_sources.py [--n 5000] [--side 28]

Builds a benchmark of all examples with one process, three times a source, in turn; prints the
images a second of processor time of the fastest build, and of reading alone. Needs no data: the
images are the digits of scikit-learn.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import struct
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import shiftbench as sb
from shiftbench.sources import (
    BuiltBenchmark,
    IdxImages,
    ImageFolders,
    ImageTable,
    PixelTable,
    Together,
)
from shiftbench.sources.digits import _stored, enlarged
from tests.sources.whole import Whole


def made(folder: Path, n: int, side: int) -> dict[str, Any]:
    """The same images as files, in an archive, as IDX, as CSV and in a benchmark."""
    pixels, _ = _stored()
    images = np.stack([enlarged(pixels[k % len(pixels)], side) for k in range(n)])
    labels = np.arange(n) % 10
    rows = ["image,label,tags"]
    with zipfile.ZipFile(folder / "tree.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for k in range(n):
            name = f"{labels[k]}/{k:06d}.png"
            (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[k]).save(folder / "tree" / name)
            archive.write(folder / "tree" / name, name)
            rows.append(f'{name},{labels[k]},"[""a""]"')
    (folder / "images.csv").write_text("\n".join(rows))
    head = struct.pack(">4B3I", 0, 0, 8, 3, n, side, side)
    (folder / "images.gz").write_bytes(gzip.compress(head + images.tobytes()))
    head = struct.pack(">4BI", 0, 0, 8, 1, n)
    (folder / "labels.gz").write_bytes(gzip.compress(head + labels.astype(np.uint8).tobytes()))
    flat = np.column_stack([images.reshape(n, -1), labels])
    np.savetxt(folder / "pixels.csv", flat, fmt="%d", delimiter=",")
    files = ImageFolders(str(folder / "tree"))
    sb.build(Whole(files), folder / "parent", measure=False, n_jobs=1)
    return {
        "images (files)": ImageTable(str(folder / "images.csv"), images=str(folder / "tree")),
        "image_folders (files)": files,
        "image_folders (ZIP)": ImageFolders(str(folder / "tree.zip")),
        "idx (gzip)": IdxImages(str(folder / "images.gz"), str(folder / "labels.gz")),
        "pixel_table (CSV)": PixelTable(str(folder / "pixels.csv"), width=side, height=side),
        "built": BuiltBenchmark(str(folder / "parent")),
        "together (files)": Together({"one": files}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=5000)
    parser.add_argument("--side", type=int, default=28)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        sources = made(folder, options.n, options.side)
        building = dict.fromkeys(sources, float("inf"))
        reading = dict.fromkeys(sources, float("inf"))
        for _ in range(3):
            for name, source in sources.items():
                locators = source.scan().examples["locator"].to_pylist()
                read = source.reader()
                begin = time.process_time()
                for locator in locators:
                    read(locator)
                reading[name] = min(reading[name], time.process_time() - begin)
                begin = time.process_time()
                sb.build(
                    Whole(source), folder / "out", measure=False, n_jobs=1, overwrite=True,
                    progress=False,
                )  # fmt: skip
                building[name] = min(building[name], time.process_time() - begin)
        first = building["images (files)"]
        print(f"{options.n} images of {options.side} × {options.side}, one process")
        for name in sources:
            print(
                f"{name:24s} build {options.n / building[name]:8.0f} images/s "
                f"({first / building[name]:.2f} × images)   read alone "
                f"{options.n / reading[name]:8.0f} images/s"
            )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
