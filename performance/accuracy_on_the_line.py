"""Accuracy on the line, on real models: ImageNet against each natural shift (not speed).

    python performance/accuracy_on_the_line.py [FOLDER] [--markdown]

Reads model_results/robustness_top1s.csv (338 models × 213 settings, from imagenet-testbed) in
FOLDER, in SHIFTBENCH_SHARED_DATA, or in ../shared/data, and prints JSON, or the tables of
docs/accuracy_on_the_line.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from shiftbench.evaluation.curves import curve
from shiftbench.evaluation.line import accuracy_on_the_line, effective_robustness

ROOT = Path(__file__).resolve().parent.parent
FILE = Path("model_results") / "robustness_top1s.csv"

SHIFTS = {
    "imagenetv2-matched-frequency": "val",
    "imagenetv2-matched-frequency-format-val": "val",
    "imagenetv2-matched-frequency-format-val_subsampled_class_1_8": "val_subsampled_class_1_8",
    "imagenetv2-threshold0.7": "val",
    "imagenetv2-threshold-0.7-format-val": "val",
    "imagenetv2-topimages": "val",
    "imagenetv2-top-images-format-val": "val",
    "imagenet-sketch": "val",
    "objectnet-1.0-beta": "val-on-objectnet-classes",
    "imagenet-vid-robust_pm0": "val-on-vid-robust-classes",
    "imagenet-vid-robust_pm10": "val-on-vid-robust-classes",
    "ytbb-robust_pm0": "val-on-ytbb-robust-classes",
    "ytbb-robust_pm10": "val-on-ytbb-robust-classes",
    "imagenet-a": "val-on-imagenet-a-classes",
    "imagenet-r": "val-on-imagenet-r-classes",
}
"""Natural shifts (Taori et al. 2020, and ImageNet-R), and ImageNet on the classes of each."""

OTHER_TRAINING = (
    "bit-m", "instagram", "swsl", "ssl", "noisystudent", "jft", "tencent", "imagenet11k",
    "imagenet21k", "clip", "vit_", "fixres", "simclr", "swav", "simsiam", "vtab", "adv",
    "smoothing", "robust", "sin", "augmix", "deepaugment", "_with_", "subsample", "rotation",
    "lstsq", "random_forests", "one_nn", "_epochs", "nonfinetuned",
)  # fmt: skip
"""Words in a name that speak of other data, another objective, less data or less training."""

SHOWN = ("vit_b_32_clip_zeroshot", "efficientnet-l2-noisystudent", "resnet50_trained_on_SIN")
SIZES = {  # test examples: ImageNet on the classes, the shift
    "imagenetv2-matched-frequency-format-val": (50_000, 10_000),
    "imagenet-sketch": (50_000, 50_889),
    "objectnet-1.0-beta": (5_650, 18_574),
}


def folder(given: str | None) -> Path | None:
    places = [given, os.environ.get("SHIFTBENCH_SHARED_DATA"), str(ROOT.parent / "shared" / "data")]
    return next((Path(p) for p in places if p and (Path(p) / FILE).is_file()), None)


def read(path: Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """Names of the models, and a column of fractions each setting, nan where not tested."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = {
        name: np.array([float(row[name] or "nan") for row in rows]) / 100
        for name in rows[0]
        if name != "model"
    }
    return [row["model"] for row in rows], columns


def run_of(model: str) -> str:
    """Checkpoints of one training run, by their names: all but the epoch is the same."""
    return re.sub(r"_\d+_epochs$", "", model)


def shifts(models: list[str], columns: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    runs = [run_of(m) for m in models]
    found = []
    pairs = [(s, x) for s, own in SHIFTS.items() for x in dict.fromkeys(("val", own))]
    pairs = [(s, x) for s, x in pairs if not ("subsampled" in s and x == "val")]
    for shift, x in pairs:
        c = curve(columns[x], columns[shift], clusters=runs, x_name=x, y_name=shift)
        p = curve(columns[x], columns[shift], clusters=runs, axes="probit")
        found.append(
            {
                "shift": shift,
                "x": x,
                "n": c.n,
                "n_missing": c.n_missing,
                "n_at_ends": p.n_at_ends,
                "n_runs": c.n_clusters,
                "r2": {name: round(fit.r2, 4) for name, fit in c.fits.items()},
                "r2_cv": {name: round(fit.r2_cv, 4) for name, fit in c.fits.items()},
                "probit_r2_on_its_axes": round(p.fits["line"].r2_axes, 4),
                "slope": three(c.slope),
                "probit_slope": three(p.slope),
                "curvature": three(c.curvature),
                "curvature_p": c.curvature.p_value,
                "best": c.best,
                "verdict": c.verdict,
            }
        )
    return found


def three(estimate: Any) -> list[float]:
    return [round(v, 6) for v in (estimate.value, estimate.low, estimate.high)]


def robustness(models: list[str], columns: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    runs = [run_of(m) for m in models]
    plain = np.array([not any(w in m.lower() for w in OTHER_TRAINING) for m in models])
    found = []
    for shift, (n_id, n_ood) in SIZES.items():
        x, y = columns[SHIFTS[shift]], columns[shift]
        for name, baseline in (("all", "all"), ("plain", plain)):
            line = accuracy_on_the_line(
                x, y, baseline=baseline, models=models, clusters=runs, n_id=n_id, n_ood=n_ood
            )
            at = {m: models.index(m) for m in SHOWN}
            found.append(
                {
                    "shift": shift,
                    "baseline": name,
                    "n": line.n,
                    "slope": three(line.slope),
                    "r2": round(line.r2, 4),
                    "effective_robustness": {
                        m: three(effective_robustness(line, x[i], y[i], n_id=n_id, n_ood=n_ood))
                        for m, i in at.items()
                    },
                }
            )
    return found


def interval(three_numbers: list[float], digits: int = 2) -> str:
    value, low, high = (f"{v:.{digits}f}".replace("-", "−") for v in three_numbers)
    return f"{value} [{low}, {high}]"


def markdown(report: dict[str, Any]) -> str:
    lines = [
        "| shift | x | n (missing) | R² line | R² probit line | R² quadratic | R² monotone "
        "| slope, probit axes | curvature, raw axes | least error in cross-validation |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in report["shifts"]:
        r2 = " | ".join(f"{v:.3f}" for v in row["r2"].values())
        lines.append(
            f"| {row['shift']} | {row['x']} | {row['n']} ({row['n_missing']}) | {r2} | "
            f"{interval(row['probit_slope'])} | {interval(row['curvature'], 3)} | "
            f"{row['best'].replace('_', ' ')} |"
        )
    heads = " | ".join(SHOWN)
    lines += [
        "",
        f"| shift | line fitted to | models | slope | {heads} |",
        "|---|---|---|---|" + "---|" * len(SHOWN),
    ]
    for row in report["effective_robustness"]:
        each = " | ".join(interval(v, 3) for v in row["effective_robustness"].values())
        lines.append(
            f"| {row['shift']} | {row['baseline']} | {row['n']} | {interval(row['slope'])} | "
            f"{each} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    place = folder(options.folder)
    if place is None:
        print(json.dumps({"skipped": f"no {FILE} in the folder given, SHIFTBENCH_SHARED_DATA …"}))
        return
    models, columns = read(place / FILE)
    report = {
        "models": len(models),
        "settings": len(columns),
        "runs": len({run_of(m) for m in models}),
        "missing": int(sum(np.isnan(c).sum() for c in columns.values())),
        "shifts": shifts(models, columns),
        "effective_robustness": robustness(models, columns),
    }
    print(markdown(report) if options.markdown else json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
