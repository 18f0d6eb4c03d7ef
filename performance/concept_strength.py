"""Accuracy of a fitted model against the strength of a concept shift: tables of docs/concept.md.

    python performance/concept_strength.py            prints JSON (a minute or two; no download)
    python performance/concept_strength.py --markdown prints the tables

Made: the digits that come with scikit-learn, labels of the target flipped at stated disagreements;
one target half of the clusters at every strength. Simulated: tables in which the first coefficient
differs by gamma, where the disagreement and the accuracy of the source's best rule on the target
are known. The model is a logistic regression, fitted on the training split alone. Not speed.
"""

from __future__ import annotations

import argparse
import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from _measure import temporary_folder
from PIL import Image

import shiftbench as sb
from shiftbench.builders.concept.builder import ConceptShift
from shiftbench.evaluation import gap
from shiftbench.sources.digits import Digits
from shiftbench.sources.simulated_tables import SimulatedTables
from shiftbench.statistics.proportions import share

SEEDS = 5
DISAGREEMENT = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
GAMMA = (0.0, 0.5, 1.0, 2.0, 4.0)


def features(rows: Any, columns: list[str]) -> np.ndarray:
    """Pixels of images, or the columns of a table."""
    if not columns:
        cells = rows.with_format("arrow")[:]["image"].to_pylist()
        images = [np.asarray(Image.open(io.BytesIO(c["bytes"]))) for c in cells]
        return np.stack(images).reshape(len(images), -1) / 255.0
    return np.column_stack([np.asarray(rows[c]) for c in columns])


def right(model: Any, rows: Any, columns: list[str]) -> np.ndarray:
    found: np.ndarray = model.predict(features(rows, columns)) == np.asarray(rows["label"])
    return found.astype(float)


def fitted(bench: Any, config: str, columns: list[str]) -> Any:
    from sklearn.linear_model import LogisticRegression

    train = bench.load(config, split="train")
    return LogisticRegression(max_iter=2000).fit(features(train, columns), train["label"])


def made(folder: Path) -> list[dict[str, Any]]:
    """One line a strength: of one build, and the mean over builds with other seeds."""
    lines: list[dict[str, Any]] = []
    every: dict[float, list[float]] = {d: [] for d in DISAGREEMENT}
    for seed in range(SEEDS):
        builder = ConceptShift(Digits(size=8), disagreement=DISAGREEMENT)
        bench = sb.build(builder, folder / f"digits-{seed}", seed=seed, measure=False)
        model = fitted(bench, "flip", [])
        before = None
        for row in bench.load("strengths", split="train"):
            rows = bench.load("flip", split=row["split"])
            now = right(model, rows, [])
            every[row["intended"]].append(float(now.mean()))
            before = now if before is None else before
            if seed:
                continue
            accuracy = share(now)
            units = rows["cluster_id"]
            lost = gap(before, now, (units, units)) if row["intended"] else None
            d, a = row["achieved"], float(before.mean())
            lines.append(
                {
                    "asked": row["intended"],
                    "achieved": [d, row["low"], row["high"]],
                    "accuracy": [accuracy.value, accuracy.low, accuracy.high],
                    "lost": None if lost is None else [lost.value, lost.low, lost.high],
                    "expected": a * (1 - d) + (1 - a) * d / 9,
                    "n": len(now),
                }
            )
    for line in lines:
        found = every[line["asked"]]
        line["mean_of_seeds"] = float(np.mean(found))
        line["sd_of_seeds"] = float(np.std(found, ddof=1))
    return lines


def simulated(folder: Path) -> list[dict[str, Any]]:
    """One line a gamma, with what is true."""
    source = SimulatedTables(delta=(0.0,), gamma=GAMMA, n=20_000)
    bench = sb.build(ConceptShift(source, design="simulated"), folder / "simulated", measure=False)
    truth: dict[str, dict[str, float]] = {}
    for row in bench.load("truth", split="train"):
        truth.setdefault(row["config"], {})[row["quantity"]] = row["value"]
    lines = []
    for config, known in truth.items():
        columns = ["x1", "x2"]
        model = fitted(bench, config, columns)
        sides = [bench.load(config, split=s) for s in ("id_test", "ood_test")]
        before, now = (right(model, rows, columns) for rows in sides)
        accuracy, lost = share(now), gap(before, now)
        lines.append(
            {
                "gamma": sides[1]["gamma"][0],
                "disagreement": known["disagreement_target"],
                "accuracy": [accuracy.value, accuracy.low, accuracy.high],
                "best_rule_of_the_source": known["transferred"],
                "lost": [lost.value, lost.low, lost.high],
                "lost_truly": known["loss"],
                "n": len(now),
            }
        )
    return sorted(lines, key=lambda line: line["gamma"])


def cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def markdown(lines: list[dict[str, Any]]) -> str:
    head = [*lines[0]]
    table = [[h.replace("_", " ") for h in head], ["---"] * len(head)]
    table += [[cell(line[h]) for h in head] for line in lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in table)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--folder")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    with temporary_folder(given.folder) as folder:
        found = {"digits_flip": made(folder), "simulated": simulated(folder)}
    if given.markdown:
        print("\n\n".join(f"{name}\n\n{markdown(lines)}" for name, lines in found.items()))
    else:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
