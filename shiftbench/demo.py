"""The demo: the embedded examples built, looked at and checked, with no download."""

from __future__ import annotations

import warnings
from pathlib import Path

from shiftbench.benchmark import Benchmark
from shiftbench.measuring.settings import Measurement
from shiftbench.pipeline import build
from shiftbench.registry import load

__all__ = ["run_demo"]


def run_demo(out: str, *, n_jobs: int = -1) -> dict[str, Benchmark]:
    """Build cats and dogs of drawn scenes, and X-ray phantoms of five devices; print findings.

    They are in ``<out>/metashift`` and ``<out>/xray``. What an earlier demo left there is replaced.

    Examples
    --------
    >>> benchmarks = run_demo("demo")  # doctest: +SKIP
    """
    made = {"metashift": _metashift(Path(out) / "metashift", n_jobs)}
    print("\n".join(_subset_findings(made["metashift"])))
    made["xray"] = _xray(Path(out) / "xray", n_jobs)
    print("\n".join(["", *_device_findings(made["xray"])]))
    return made


def _metashift(folder: Path, n_jobs: int) -> Benchmark:
    scenes = load("shiftbench.sources.scenes:Scenes")
    metashift = load("shiftbench.builders.metashift.builder:MetaShift")
    builder = metashift(scenes(), min_size=10, fit=True, **metashift.presets["cat_dog"])
    bench = build(builder, folder, n_jobs=n_jobs, overwrite=True)
    bench.verify()
    return bench


def _xray(folder: Path, n_jobs: int) -> Benchmark:
    phantoms = load("shiftbench.sources.phantoms:Phantoms")
    patches = load("shiftbench.builders.xray.builder:XrayPatches")
    builder = patches(phantoms(n_patients=200, size=384), patches=8, min_patients=8)
    measure = Measurement(spaces=("spectrum",), n_permutations=199, subsets=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # they are printed as findings
        bench = build(builder, folder, n_jobs=n_jobs, overwrite=True, measure=measure)
    bench.verify()
    return bench


def _subset_findings(bench: Benchmark) -> list[str]:
    subsets = bench.table("subsets").to_pylist()
    classes = sorted({s["class"] for s in subsets})
    largest = max(subsets, key=lambda s: (s["size"], s["subset"]))
    lines = [
        f"{bench.url}: {len(subsets)} subsets of {', '.join(classes)}; the largest is "
        f"{largest['subset']} with {largest['size']} images ({largest['explanation']})",
        *_tasks(bench),
    ]
    worst = [b for b in bench.table("balance").to_pylist() if b["verdict"] == "predicts the split"]
    lines.append(f"columns that alone tell two splits apart: {len(worst)} (see `balance`)")
    return [*lines, *_closing(bench)]


def _device_findings(bench: Benchmark) -> list[str]:
    name, config = next((n, c) for n, c in bench.manifest.configs.items() if c.kind == "task")
    tests = [s for s, e in config.splits.items() if e.role == "ood_test"]
    devices = sorted({c.title for c in bench.manifest.configs.values() if c.kind == "task"})
    lines = [f"{bench.url}: patches of radiographs computed from physics; {len(devices)} devices, "
             "each in-distribution once"]  # fmt: skip
    lines += _tasks(bench)
    told = [
        f"{d['target']} {d['value']:.3g} (p {d['p_value']:.2g})"
        for d in bench.shift_distances.to_list()
        if (d["config"], d["distance"]) == (name, "mmd") and d["target"] in ("id_test", *tests)
    ]
    lines.append(f"{name}: MMD of the power spectrum from train: {', '.join(told)}")
    audit = [
        v["verdict"]
        for v in bench.manifest.measured["confounding"]
        if v["source"] == "id_test" and v["target"].startswith("ood_test")
    ]
    lines.append(
        f"do finding, view, age or sex explain the shift? yes in {audit.count('confounded')} of "
        f"{len(audit)} comparisons of id_test with an OOD test, cannot tell in "
        f"{audit.count('cannot tell')} (see `balance`)"
    )
    lines += [f"warning: {r}" for r in bench.manifest.measured.get("remarks", [])]
    return [*lines, *_closing(bench)]


def _tasks(bench: Benchmark) -> list[str]:
    lines = []
    for name, config in bench.manifest.configs.items():
        if config.kind == "task":
            tests = {s: e.rows for s, e in config.splits.items() if e.role == "ood_test"}
            tested = ", ".join(f"{s} {n}" for s, n in tests.items())
            lines.append(f"{name}: train {config.splits['train'].rows}, {tested}")
    return lines


def _closing(bench: Benchmark) -> list[str]:
    name = next(iter(bench.manifest.configs))
    return [
        f"verified; digest {bench.digest}",
        f'load it: datasets.load_dataset("{bench.url}", "{name}")',
        f"look at it: shiftbench info {bench.url}",
    ]
