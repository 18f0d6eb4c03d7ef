"""Distances, parts and audits on real data: the last tables of docs/distances.md.

    python performance/real_shifts.py                    everything there is, as JSON lines
    python performance/real_shifts.py --markdown FILE    also the tables of the documentation

Takes the shared data from ../shared/data or $SHIFTBENCH_SHARED_DATA. Beside each pair stands a
control: two halves of the source, drawn by its units of independence.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv

import shiftbench as sb
from shiftbench.distances.bandwidth import median_bandwidth
from shiftbench.distances.shift import Shift
from shiftbench.statistics import priorities

DATA = Path(
    os.environ.get("SHIFTBENCH_SHARED_DATA")
    or Path(__file__).resolve().parent.parent.parent / "shared" / "data"
)
SHIFT_COLUMNS = ["image", "patient", "pixel_spacing_mm", "original_width", "original_height",
                 "labels", "row_mm", "column_mm"]  # fmt: skip
PITCH = 0.42
"""Millimetres: the coarsest pitch that the release left in either direction, so that resampling
to it makes nothing up."""


@dataclass(frozen=True)
class Pair:
    """A source, a target and what they are compared by."""

    data: str
    source: str
    target: str
    tables: tuple[pa.Table, pa.Table]
    spaces: tuple[str, ...]
    label: str
    cluster: str
    shift_columns: tuple[str, ...] = ()
    audited: bool = True


def chest(folder: Path) -> pa.Table:
    """The manifest with the pictures, and the pitch that the squeeze to 1024 × 1024 left them."""
    table = csv.read_csv(folder / "manifest.csv")
    names = table["image"].to_pylist()
    pictures = [{"bytes": (folder / "images" / n).read_bytes(), "path": None} for n in names]
    spacing = np.asarray(table["pixel_spacing_mm"])
    across = spacing * np.asarray(table["original_width"]) / 1024
    down = spacing * np.asarray(table["original_height"]) / 1024
    return (
        table.append_column("picture", pa.array(pictures))
        .append_column("column_mm", pa.array(across))
        .append_column("row_mm", pa.array(down))
    )


def adult(folder: Path) -> pa.Table:
    with gzip.open(folder / "adult.csv.gz") as file:
        options = csv.ConvertOptions(null_values=["?"], strings_can_be_null=True)
        table = csv.read_csv(file, convert_options=options)
    rows = pa.array([f"{i:05}" for i in range(len(table))])
    return table.drop_columns(["fnlwgt"]).append_column("row", rows)


def arguments(folder: Path) -> pa.Table:
    options = csv.ParseOptions(delimiter="\t", quote_char=False)
    table = csv.read_csv(folder / "train-full.txt", parse_options=options)
    writers = [name.rpartition("_")[2] for name in table["#id"].to_pylist()]
    return pa.table(
        {
            "text": table["reason"].cast(pa.string()),
            "topic": table["debateTitle"].cast(pa.string()),
            "label": table["correctLabelW0orW1"].cast(pa.string()),
            "writer": pa.array(writers, pa.string()),
        }
    )


def where(table: pa.Table, column: str, value: object) -> pa.Table:
    return table.filter(pa.compute.equal(table[column], value))


def halves(table: pa.Table, cluster: str) -> tuple[pa.Table, pa.Table]:
    names = np.array(table[cluster].to_pylist(), dtype=object).astype(str)
    units = np.unique(names)
    first = set(units[np.argsort(priorities(0, "halves", units.tolist()))][: len(units) // 2])
    inside = np.array([n in first for n in names])
    return table.filter(inside), table.filter(~inside)


def some(table: pa.Table, n: int) -> pa.Table:
    if len(table) <= n:
        return table
    ids = [str(i) for i in range(len(table))]
    return table.take(np.sort(np.argsort(priorities(0, "sample", ids))[:n]))


def pairs() -> Iterator[Pair]:
    if (DATA / "chest_xray").is_dir():
        whole = chest(DATA / "chest_xray")
        device = np.round(np.asarray(whole["pixel_spacing_mm"]), 3)
        whole = whole.append_column("device", pa.array([f"{d:.3f} mm" for d in device]))
        spaces = (
            "pixels",
            "spectrum",
            f"spectrum:row_spacing=row_mm,column_spacing=column_mm,spacing={PITCH}",
        )
        own = (*SHIFT_COLUMNS, "device", "picture")
        source = where(whole, "device", "0.168 mm")
        targets = {d: where(whole, "device", d) for d in ("0.171 mm", "0.143 mm", "0.139 mm")}
        for name, target in targets.items():
            yield Pair("chest_xray", "0.168 mm", name, (source, target), spaces, "finding",
                       "patient", own)  # fmt: skip
        yield Pair("chest_xray", "0.168 mm", "0.168 mm, other patients",
                   halves(source, "patient"), spaces, "finding", "patient", own)  # fmt: skip
    if (DATA / "adult").is_dir():
        table = adult(DATA / "adult")
        for column, a, b in (
            ("sex", "Male", "Female"),
            ("workclass", "Private", "Self-emp-inc"),
            ("workclass", "Private", "State-gov"),
        ):
            both = tuple(some(where(table, column, v), 1000) for v in (a, b))
            rest = tuple(t.drop_columns([column]) for t in both)
            yield Pair("adult", a, b, rest, ("tabular:exclude=income-per-year+row",),
                       "income-per-year", "row")  # fmt: skip
        control = halves(some(where(table, "sex", "Male"), 2000), "row")
        yield Pair("adult", "Male", "Male, other rows", control,
                   ("tabular:exclude=income-per-year+row",), "income-per-year", "row")  # fmt: skip
    if (DATA / "arguments").is_dir():
        table = arguments(DATA / "arguments")
        topics = ["Do We Still Need Libraries?", "Do Colleges Need French Departments?",
                  "Is Veganism Good For Everyone?"]  # fmt: skip
        source = where(table, "topic", topics[0])
        for topic in topics[1:]:
            target = where(table, "topic", topic)
            yield Pair("arguments", topics[0], topic, (source, target), ("text:column=text",),
                       "label", "writer", ("topic", "text"), audited=False)  # fmt: skip
        yield Pair("arguments", topics[0], "the same, other writers", halves(source, "writer"),
                   ("text:column=text",), "label", "writer", audited=False)  # fmt: skip


def line(pair: Pair, space: str, found: Shift) -> dict[str, object]:
    return {
        "data": pair.data, "source": pair.source, "target": pair.target, "space": space,
        "distance": found.distance, "value": found.value, "low": found.low, "high": found.high,
        "p_value": found.p_value, "n": [found.n_source, found.n_target],
        "n_clusters": [found.n_clusters_source, found.n_clusters_target], "method": found.method,
    }  # fmt: skip


def measured(pair: Pair, first: dict[tuple[str, str, str], object]) -> Iterator[dict[str, object]]:
    a, b = pair.tables
    clusters = tuple([str(c) for c in t[pair.cluster].to_pylist()] for t in pair.tables)
    labels = tuple([str(v) for v in t[pair.label].to_pylist()] for t in pair.tables)
    yield line(pair, "", sb.distances.measure("label_tv", *labels, clusters=clusters))
    for space in pair.spaces:
        # One space and one bandwidth for all pairs of a source, fitted on the source.
        key = (pair.data, pair.source, space)
        reference = first.setdefault(key, a)
        fitted, x, y = sb.spaces.embed(space, reference, a, b)
        bandwidth = median_bandwidth(fitted)
        for name in ("mmd", "c2st", "gcm"):
            more = {"bandwidth": bandwidth} if name == "mmd" else {}
            if name == "gcm":
                more["labels"] = labels
            yield line(pair, space, sb.distances.measure(name, x, y, clusters=clusters, **more))
        parts = sb.distances.profile(x, y, labels=labels, clusters=clusters, seed=0)
        for part in ("covariate", "concept", "label"):
            e = getattr(parts, part)
            if e is not None:
                yield {"data": pair.data, "source": pair.source, "target": pair.target,
                       "space": space, "distance": f"information_{part}", "value": e.value,
                       "low": e.low, "high": e.high, "p_value": e.p_value}  # fmt: skip
    if pair.audited:
        audit = sb.distances.audit(
            a, b, label=pair.label, shift_columns=list(pair.shift_columns),
            cluster=pair.cluster, seed=0,
        )  # fmt: skip
        yield {"data": pair.data, "source": pair.source, "target": pair.target,
               "verdict": audit.verdict, "words": audit.words}  # fmt: skip


def short(space: str) -> str:
    if space.startswith("spectrum:"):
        return f"spectrum, resampled to {PITCH} mm"
    return space.partition(":")[0]


def markdown(rows: list[dict[str, object]]) -> str:
    wanted = ("label_tv", "mmd", "c2st", "gcm")
    lines = ["| data | source → target | space | " + " | ".join(f"`{w}`" for w in wanted) + " |",
             "|" + "---|" * (3 + len(wanted))]  # fmt: skip
    keys = list(dict.fromkeys((r["data"], r["source"], r["target"], r["space"])
                              for r in rows if r.get("space")))  # fmt: skip
    at = {(r["data"], r["source"], r["target"], r.get("space"), r.get("distance")): r for r in rows}
    for data, source, target, space in keys:
        cells = []
        for name in wanted:
            r = at.get((data, source, target, "" if name == "label_tv" else space, name))
            cells.append("–" if r is None else _cell(r))
        lines.append(f"| {data} | {source} → {target} | {short(str(space))} | "
                     + " | ".join(cells) + " |")  # fmt: skip
    lines += ["", "| source → target | verdict | in words |", "|---|---|---|"]
    for r in rows:
        if "verdict" in r:
            lines.append(f"| {r['data']}: {r['source']} → {r['target']} | {r['verdict']} | "
                         f"{str(r['words']).replace('|', '&#124;')} |")  # fmt: skip
    return "\n".join(lines) + "\n"


def _cell(r: dict[str, object]) -> str:
    value, low, high, p = (r[k] for k in ("value", "low", "high", "p_value"))
    if value is None or np.isnan(value):  # type: ignore[call-overload]
        return "cannot be told"
    bounds = "" if np.isnan(low) else f" [{low:.3f}, {high:.3f}]"  # type: ignore[call-overload]
    return f"{value:.3f}{bounds}" + ("" if p is None else f", p {p:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args()
    rows = []
    first: dict[tuple[str, str, str], object] = {}
    for pair in pairs():
        for row in measured(pair, first):
            rows.append(row)
            print(json.dumps(row, ensure_ascii=False), flush=True)
    if not rows:
        sys.exit(f"there is no shared data in {DATA}")
    if args.markdown:
        args.markdown.write_text(markdown(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
