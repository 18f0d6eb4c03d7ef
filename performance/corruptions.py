"""Corruptions a second on one core, in turns with the library of ImageNet-C's authors.

    OMP_NUM_THREADS=1 python performance/corruptions.py [--rounds 5] [--count 4] [--side 224]

Each contender makes one corruption in its five severities of `count` pictures (RGB, `side` pixels)
in every round, one after the other. The library is `imagecorruptions`; where it is not there only
our half is timed, and `library` says so. It was written for older numpy and scikit-image, and two
things that they took away are put back before it is imported (np.float_, gaussian(multichannel=)).
It is given one thread. Kinds are compared by name; strengths are alike, pictures are not. For it:

    pip install --target LIB --no-deps imagecorruptions scikit-image 'opencv-python-headless<5' \
        imageio lazy_loader tifffile networkx packaging 'setuptools<70'
    OMP_NUM_THREADS=1 PYTHONPATH=LIB python performance/corruptions.py

Prints JSON: pictures a second (best round), ratios (above 1: ours is faster), their geometric mean
and median.

    python performance/corruptions.py --build [--count 2000]

builds a benchmark of so many JPEG files in four corruptions of five severities, without measuring,
beside a bare loop that decodes the same files, corrupts them and encodes them as PNG. Prints images
a second, the ratio, and the peak memory of the process.

    python performance/corruptions.py --sheet docs/corruption.png

draws the sheet of docs/corruption.md instead: every corruption in the severities 1, 3 and 5.
"""

from __future__ import annotations

import argparse
import io
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _measure import interleaved, jpegs, numbered, peak_mb, ratio, rounded, temporary_folder
from numpy.typing import NDArray
from PIL import Image

from shiftbench.registry import CORRUPTIONS
from shiftbench.transforms import corrupt_image

Pixels = NDArray[np.uint8]

THEIRS = {
    **{name: name for name in CORRUPTIONS},
    "elastic": "elastic_transform",
    "jpeg": "jpeg_compression",
    "saturation": "saturate",
}

BUILT = ("gaussian_noise", "motion_blur", "fog", "jpeg")


def library() -> tuple[Callable[..., Pixels] | None, list[str], str]:
    """The function of `imagecorruptions`, what it makes, and which version it is."""
    try:
        from importlib.metadata import version

        import skimage.filters

        if "float_" not in vars(np):
            vars(np)["float_"] = np.float64
        blurred = skimage.filters.gaussian

        def gaussian(image: Any, sigma: float = 1, multichannel: bool = False, **rest: Any) -> Any:
            return blurred(image, sigma=sigma, channel_axis=-1 if multichannel else None, **rest)

        skimage.filters.gaussian = gaussian
        import cv2
        from imagecorruptions import corrupt, get_corruption_names

        cv2.setNumThreads(1)
    except ImportError as error:
        return None, [], f"not compared: {error}"
    return corrupt, get_corruption_names("all"), f"imagecorruptions {version('imagecorruptions')}"


def pictures(count: int, side: int) -> list[Pixels]:
    return [np.asarray(Image.open(io.BytesIO(data))) for data in jpegs(count, 0, size=side)]


def ours(name: str, images: list[Pixels]) -> None:
    for number, image in enumerate(images):
        for severity in range(1, 6):
            corrupt_image(image, f"{name}={severity}", seed=0, ident=str(number))


def theirs(corrupt: Callable[..., Pixels], name: str, images: list[Pixels]) -> None:
    for image in images:
        for severity in range(1, 6):
            corrupt(image, corruption_name=name, severity=severity)


def compared(rounds: int, count: int, side: int) -> dict[str, object]:
    corrupt, known, told = library()
    images = pictures(count, side)
    per_second: dict[str, dict[str, float]] = {}
    ratios: dict[str, float] = {}
    for name in CORRUPTIONS:
        contenders: dict[str, Callable[[], object]] = {"ours": partial(ours, name, images)}
        if corrupt is not None and THEIRS[name] in known:
            contenders["theirs"] = partial(theirs, corrupt, THEIRS[name], images)
        for run in contenders.values():
            run()
        times = interleaved(contenders, rounds)
        per_second[name] = {who: round(5 * count / min(t), 1) for who, t in times.items()}
        if "theirs" in times:
            ratios[name] = ratio(times, "ours", "theirs")
    speeds = [found["ours"] for found in per_second.values()]
    return {
        "library": told,
        "side": side,
        "per_second": per_second,
        "geometric_mean_per_second": round(float(np.exp(np.log(speeds).mean())), 1),
        "ratios": ratios,
        "geometric_mean_of_ratios": round(float(np.exp(np.log([*ratios.values()]).mean())), 2)
        if ratios
        else None,
        "median_ratio": round(float(np.median([*ratios.values()])), 2) if ratios else None,
        "slower": sorted(n for n, r in ratios.items() if r < 1),
    }


def built(count: int) -> dict[str, object]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    import shiftbench as sb

    with temporary_folder(None) as folder:
        some = jpegs(50, 0)
        files = [numbered(some[i % 50], i) for i in range(count)]
        table = {
            "image": files,
            "label": [("a", "b")[i % 2] for i in range(count)],
            "tags": pa.array([["one"]] * count, pa.list_(pa.string())),
        }
        pq.write_table(pa.table(table), folder / "table.parquet")
        source = sb.sources.ImageTable(str(folder / "table.parquet"))
        del table
        builder = sb.builders.Corruptions(source, corruptions=BUILT)
        plan = builder.plan(source.scan(), 0)
        changed = sum(s.rows.num_rows for s in plan.configs[0].splits if s.role == "ood_test") // 20

        def bare() -> None:
            (folder / "bare").mkdir(exist_ok=True)
            for k, name in enumerate(BUILT):
                for severity in range(1, 6):
                    with (folder / "bare" / f"{k}{severity}").open("wb") as out:
                        for i in range(changed):
                            with Image.open(io.BytesIO(files[i])) as image:
                                pixels = np.asarray(image)
                            made = corrupt_image(pixels, f"{name}={severity}", seed=0, ident=str(i))
                            Image.fromarray(made).save(out, "PNG", compress_level=1)

        turn = iter(range(100))

        def whole() -> None:
            sb.build(builder, folder / f"out{next(turn)}", measure=False, progress=False, n_jobs=1)

        times = interleaved({"build": whole, "bare": bare}, 2)
        written = sum(f.stat().st_size for f in Path(folder / "out0").rglob("*.parquet"))
        return {
            "images": count,
            "corrupted_images": 20 * changed,
            "written_mb": round(written / 1e6, 1),
            "corrupted_images_per_second": round(20 * changed / min(times["build"]), 1),
            "build_vs_bare_loop": ratio(times, "build", "bare"),
            "seconds": rounded(times),
            "peak_mb": peak_mb(os.getpid()),
        }


def sheet(path: str, side: int = 96) -> None:
    from shiftbench.sources import Scenes

    source = Scenes(n_scenes=60, size=side)
    data = source.reader()("scene-000007")["image"]
    image = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    shown = [
        np.hstack([corrupt_image(image, f"{name}={k}", seed=0, ident="7") for k in (1, 3, 5)])
        for name in CORRUPTIONS
    ]
    shown += [np.full_like(shown[0], 255)] * (-len(shown) % 3)
    rows = [np.hstack(shown[i : i + 3]) for i in range(0, len(shown), 3)]
    Image.fromarray(np.vstack(rows)).quantize(256).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--build", action="store_true")
    parser.add_argument("--sheet")
    asked = parser.parse_args()
    if asked.sheet:
        sheet(asked.sheet)
        return
    found = built(asked.count or 2000) if asked.build else compared(
        asked.rounds, asked.count or 4, asked.side
    )  # fmt: skip
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
