"""Features a second of the image spaces beside decoding alone.

    python performance/spaces.py

Prints JSON. 400 JPEG files of 256 × 256 and 24 of 2048 × 2048, the pictures of the other scripts;
`decode` is Pillow's `convert("RGB")` of the same bytes into an array, which any loop over images
pays. All on one thread. `times_decoding` is a space's whole time, decoding included, over it.
"""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
from _measure import interleaved, jpegs, ratio, rounded
from PIL import Image
from threadpoolctl import threadpool_limits

from shiftbench.spaces import Pixels, Spectrum

SEED = 0
ROUNDS = 5
SIZES = {256: 400, 2048: 24}


def decode(images: list[bytes]) -> None:
    """What is paid in any case, one image held at a time."""
    for data in images:
        np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def main() -> None:
    report: dict[str, object] = {"seed": SEED, "rounds": ROUNDS}
    for size, n in SIZES.items():
        images = jpegs(n, SEED, size)
        table = pa.table(
            {
                "image": [{"bytes": data, "path": None} for data in images],
                "pitch": np.full(n, 0.4),
            }
        )
        resampled = Spectrum(spacing=0.5, row_spacing="pitch")
        times = interleaved(
            {
                "decode": lambda images=images: decode(images),
                "pixels": lambda table=table: Pixels().raw(table),
                "spectrum": lambda table=table: Spectrum().raw(table),
                "spectrum_resampled": lambda table=table, s=resampled: s.raw(table),
            },
            ROUNDS,
        )
        report[f"{n} images of {size} x {size}"] = {
            "images_per_second": {k: round(n / min(v), 1) for k, v in times.items()},
            "times_decoding": {k: ratio(times, "decode", k) for k in times if k != "decode"},
            "seconds": rounded(times),
        }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
