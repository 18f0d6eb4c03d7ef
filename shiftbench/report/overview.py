"""A benchmark in a few lines: what is in it, what shifts, what else differs, how far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shiftbench.benchmark import Benchmark
from shiftbench.errors import printable
from shiftbench.registry import DISTANCES
from shiftbench.store.manifest import meant_columns

__all__ = ["distance_lines", "left_out_lines", "overview", "overview_text"]

MOST = 12


def overview(bench: Benchmark) -> dict[str, Any]:
    """What `shiftbench info` prints, as plain values."""
    manifest = bench.manifest
    found: dict[str, Any] = {
        "where": bench.url,
        "format": manifest.format,
        "builder": f"{manifest.builder} {manifest.builder_version}",
        "digest": manifest.digest,
        "license": manifest.license or None,
        "redistributable": manifest.redistributable,
        "rejected": manifest.rejected,
        "left_out": {k: v for k, v in manifest.counts.items() if v},
        "configs": {
            name: {
                "kind": c.kind,
                "description": c.description,
                "splits": {
                    s: {"rows": e.rows, "role": e.role, "shift": e.shift, "flag": e.flag}
                    for s, e in c.splits.items()
                },
                "notes": c.notes,
            }
            for name, c in manifest.configs.items()
        },
    }
    if "subsets" in manifest.configs:
        subsets = bench.table("subsets")
        sizes = subsets["size"]
        found["subsets"] = {
            "subsets": len(subsets),
            "classes": len(pc.unique(subsets["class"])),
            "memberships": pc.sum(sizes).as_py() or 0,
            "median_size": pc.quantile(sizes, 0.5)[0].as_py(),
            "largest": subsets.sort_by([("size", "descending"), ("subset", "ascending")])
            .slice(0, 5)
            .select(["subset", "size", "explanation"])
            .to_pylist(),
        }
    distances = bench.table("shift_distances")
    of_tasks = distances.filter(pc.is_valid(distances["config"]))
    found["distances"] = of_tasks.select(
        ["config", "source", "target", "kind", "distance", "space", "value", "low", "high",
         "method", "p_value"]
    ).to_pylist()  # fmt: skip
    roles = {n: {s: e.role for s, e in c.splits.items()} for n, c in manifest.configs.items()}
    found["distances"].sort(key=lambda r: _by_interest(r, roles))
    found["not_measured"] = manifest.measured.get("left_out", [])
    found["remarks"] = manifest.measured.get("remarks", [])
    found["confounding"] = sorted(
        manifest.measured.get("confounding", []),
        key=lambda v: not (v["source"] == "id_test" and v["target"].startswith("ood_test")),
    )
    found["steps"] = []
    if "severities" in manifest.configs:
        found["steps"] = bench.table("severities").to_pylist()
    found["distances_between_subsets"] = len(distances) - len(of_tasks)
    balance = bench.table("balance")
    differs = pc.is_in(balance["verdict"], pa.array(["differs", "predicts the split"]))
    meant = {name: meant_columns(manifest, name) for name in manifest.configs}
    found["what_else_differs"] = [
        row
        for row in balance.filter(differs)
        .select(["config", "source", "target", "column", "statistic", "value", "auc", "verdict"])
        .to_pylist()
        if row["column"] not in meant.get(row["config"], ())
    ]
    return found


def overview_text(found: dict[str, Any]) -> str:
    """The overview for a person."""
    lines = [
        f"{found['where']}: {found['builder']}, digest {found['digest'][:16]}…",
        f"licence {found['license'] or 'not stated'}"
        + ("" if found["redistributable"] else ", not to be redistributed"),
    ]
    if "subsets" in found:
        s = found["subsets"]
        lines.append(
            f"{s['subsets']} subsets of {s['classes']} classes, {s['memberships']} memberships"
        )
        lines += [f"  {e['subset']}: {e['size']}, {e['explanation']}" for e in s["largest"]]
    if found["remarks"]:
        lines.append("before you use it")
        lines += [f"  {remark}" for remark in found["remarks"]]
    lines.append("configs")
    said: list[str] = []
    for name, config in found["configs"].items():
        if config["kind"] == "task":
            lines.append(f"  {name}: {config['description']}")
            held = _held_line(config["notes"].get("held"))
            lines += [] if held == said else held
            said = held
            lines += [
                f"    {split:32} {e['rows']:>7}  {e['shift']}, {e['flag']}"
                for split, e in config["splits"].items()
            ]
        else:
            rows = sum(e["rows"] for e in config["splits"].values())
            lines.append(f"  {name}: {rows} rows")
    if found["steps"]:
        lines.append("what each step does (more in severities)")
        steps = _step_lines(found["steps"])
        lines += [*steps[:MOST], *_more(steps)]
    if found["distances"]:
        lines.append("how far (more in shift_distances)")
        lines += distance_lines(found["distances"][:MOST])
        lines += _more(found["distances"])
    lines += left_out_lines(found["not_measured"][:MOST])
    lines += _more(found["not_measured"])
    if found["confounding"]:
        lines.append("can the shift be told from other columns?")
        lines += [
            f"  {v['config']}: {v['source']} → {v['target']}: {v['words']}"
            for v in found["confounding"][:MOST]
        ]
        lines += _more(found["confounding"])
    if found["what_else_differs"]:
        lines.append("what else differs (all comparisons in balance)")
    lines += [
        f"  {b['config']}: {b['source']} → {b['target']}: {b['column']} {b['verdict']} "
        + (f"({b['statistic']})" if b["value"] is None else f"({b['statistic']} {b['value']:.2f})")
        for b in found["what_else_differs"][:MOST]
    ]
    lines += _more(found["what_else_differs"])
    left_out = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in found["left_out"].items())
    if left_out:
        lines.append(f"left out: {left_out}")
    if found["rejected"]:
        lines.append(f"rejected: {found['rejected']} inputs, see the config 'rejected'")
    return "\n".join(map(printable, lines))


def _held_line(held: Mapping[str, str] | None) -> list[str]:
    """What a config holds fixed, where its builder says so."""
    if not held:
        return []
    fixed = f"held fixed: {held['fixed']}" if held["fixed"] else "nothing held fixed"
    changed = f"changed: {held['changed']}" if held["changed"] else "nothing changed"
    return [f"    of {held['factorisation']}, {changed}; {fixed}: {held['by']}"]


def _step_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line a split and space: the distances that the step causes, the accuracy it costs."""
    of_split: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        of_split.setdefault((row["config"], row["split"], row["space"]), []).append(row)
    lines = []
    for (config, split, space), found in of_split.items():
        s = found[0]
        step = f"{s['change']} {s['parameter']:.3g} {s['unit'] or ''}".rstrip()
        parts = [f"{r['distance']} {r['shift']:.3g}" for r in found if r["shift"] is not None]
        told = f"in {_short(space)} {', '.join(parts)}; " if parts else ""
        if s["accuracy_lost"] is None:
            told += s["remark"] or "no reference model"
        else:
            bounds = f"[{s['lost_low']:.3f}, {s['lost_high']:.3f}]"
            told += f"reference model loses {s['accuracy_lost']:.3f} {bounds}"
        lines.append(f"  {config}: {split} ({step}): {told}")
    return lines


def distance_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Lines of `shift_distances`, one a line for a person."""
    return [printable(_distance_line(r)) for r in rows]


def left_out_lines(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was not measured, one a line for a person."""
    lines = []
    for e in entries:
        task = f"{e['config']}: " if "config" in e else ""
        pair = f"{e['source']} → {e['target']}: " if "source" in e else ""
        space = f" in {e['space']}" if e.get("space") else ""
        lines.append(
            printable(f"  not measured: {task}{pair}{e['distance']}{space}: {e['reason']}")
        )
    return lines


def _by_interest(row: dict[str, Any], roles: Mapping[str, Mapping[str, str | None]]) -> Any:
    """Distances first, then parts and numbers, then memberships; of each those to OOD test sets."""
    rank = 2 if row["kind"] == "membership" else int(row["distance"] not in DISTANCES)
    role = roles.get(row["config"], {}).get(row["target"]) or ""
    return (rank, not role.startswith("ood_test"))


def _distance_line(d: dict[str, Any]) -> str:
    space = f" in {_short(d['space'])}" if d.get("space") else ""
    head = f"  {d['config']}: {d['source']} → {d['target']}: {d['distance']}{space} "
    if d["value"] is None:
        why = (d.get("method") or "").removeprefix("cannot tell: ")
        return head + "cannot be told" + (f": {why}" if why else "")
    bounds = (d.get("low"), d.get("high"))
    if None not in bounds:
        interval = f" [{bounds[0]:.3g}, {bounds[1]:.3g}]"
    elif bounds[1] is not None:
        interval = f" (at most {bounds[1]:.3g})"
    elif bounds[0] is not None:
        interval = f" (at least {bounds[0]:.3g})"
    else:
        interval = ""
    p = "" if d.get("p_value") is None else f", p = {d['p_value']:.3g}"
    return f"{head}{d['value']:.3g}{interval}{p}"


def _short(space: str) -> str:
    """A space's name; of one that lists many columns, the beginning."""
    return space if len(space) <= 40 else f"{space[:39]}…"


def _more(entries: Sequence[Any]) -> list[str]:
    return [f"  … and {len(entries) - MOST} more"] if len(entries) > MOST else []
