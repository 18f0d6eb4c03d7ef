"""The demo: the embedded example built, looked at and checked, with no download."""

from __future__ import annotations

from pathlib import Path

from shiftbench.benchmark import Benchmark
from shiftbench.pipeline import build
from shiftbench.registry import load

__all__ = ["run_demo"]


def run_demo(out: str, *, n_jobs: int = -1) -> Benchmark:
    """Build the cat/dog benchmark of drawn scenes into ``<out>/metashift`` and print findings.

    A benchmark that an earlier demo left there is replaced.

    Examples
    --------
    >>> bench = run_demo("demo")  # doctest: +SKIP
    """
    scenes = load("shiftbench.sources.scenes:Scenes")
    metashift = load("shiftbench.builders.metashift.builder:MetaShift")
    builder = metashift(scenes(), min_size=10, fit=True, **metashift.presets["cat_dog"])
    folder = Path(out) / "metashift"
    bench = build(builder, folder, n_jobs=n_jobs, overwrite=True)
    bench.verify()
    print("\n".join(_findings(bench)))
    return bench


def _findings(bench: Benchmark) -> list[str]:
    subsets = bench.table("subsets").to_pylist()
    classes = sorted({s["class"] for s in subsets})
    largest = max(subsets, key=lambda s: (s["size"], s["subset"]))
    lines = [
        f"{bench.url}: {len(subsets)} subsets of {', '.join(classes)}; the largest is "
        f"{largest['subset']} with {largest['size']} images ({largest['explanation']})",
    ]
    for name, config in bench.manifest.configs.items():
        if config.kind != "task":
            continue
        train = config.splits["train"].rows
        tests = {s: e.rows for s, e in config.splits.items() if e.role == "ood_test"}
        tested = ", ".join(f"{s} {n}" for s, n in tests.items())
        lines.append(f"{name}: train {train}, {tested}")
    worst = [b for b in bench.table("balance").to_pylist() if b["verdict"] == "predicts the split"]
    lines.append(f"columns that alone tell two splits apart: {len(worst)} (see `balance`)")
    lines.append(f"verified; digest {bench.digest}")
    name = next(iter(bench.manifest.configs))
    lines.append(f'load it: datasets.load_dataset("{bench.url}", "{name}")')
    lines.append(f"look at it: shiftbench info {bench.url}")
    return lines
