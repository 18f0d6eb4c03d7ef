"""README.md: the dataset card, whose YAML declares every config to `load_dataset`."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa
import tomli_w
import yaml

from shiftbench.store.manifest import ConfigEntry, Manifest, meant_columns

__all__ = [
    "BALANCE",
    "DISTANCES",
    "balance_section",
    "cell",
    "distances_section",
    "front_matter",
    "make_card",
    "recipe_toml",
]

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
MAX_ROWS = 40

DISTANCES = "## Shift distances"
BALANCE = "## What else differs"


def cell(value: Any) -> str:
    """A value as text in a Markdown table: nothing in it is read as markup.

    Examples
    --------
    >>> cell("a|b <i>")
    'a&#124;b &lt;i&gt;'
    >>> cell(None)
    '–'
    >>> cell(0.12345)
    '0.123'
    """
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3g}"
    text = html.escape(" ".join(str(value).split()), quote=False)
    return re.sub(r"[|\\`*\[\]~]|\b_|_\b", lambda m: f"&#{ord(m[0])};", text)


def recipe_toml(manifest: Manifest) -> str:
    """The recipe from which ``shiftbench build`` repeats the build, as TOML."""
    return tomli_w.dumps(_without_none(manifest.recipe))


def make_card(
    manifest: Manifest,
    tables: Mapping[str, pa.Table],
    about: str,
    picture: str | None = None,
) -> bytes:
    """The card: YAML front matter and the text.

    Parameters
    ----------
    manifest : Manifest
        All but the card's own entry in `files`.
    tables : mapping
        The table configs by name.
    about : str
        Markdown that the builder says of its family.
    picture : str, optional
        Name of a picture of the meta-graph in the directory.
    """
    parts = [
        f"---\n{front_matter(manifest)}---\n",
        f"# {_title(manifest)}\n",
        about.strip() + "\n",
        _remarks(manifest),
        _loading(manifest),
        _splits(manifest),
        _held(manifest),
        _groups(manifest),
        distances_section(tables.get("shift_distances"), manifest.measured),
        balance_section(tables.get("balance"), manifest),
        _severities(tables.get("severities")),
        _look_alikes(tables.get("near_duplicates")),
        f"## Meta-graph\n\n![The subsets and their overlaps]({picture})\n" if picture else "",
        _left_out(manifest),
        _provenance(manifest),
    ]
    return "\n".join(p for p in parts if p).encode()


def _title(manifest: Manifest) -> str:
    titles = [s.get("notes", {}).get("title") for s in manifest.sources]
    origin = ", ".join(cell(t) for t in titles if t)
    return f"{cell(manifest.builder)} benchmark" + (f" of {origin}" if origin else "")


def front_matter(manifest: Manifest, before: str | None = None) -> str:
    """The YAML; of one that is there already, what a person has added or changed stays."""
    tasks = [n for n, c in manifest.configs.items() if c.kind == "task"]
    examples = next((n for n, c in manifest.configs.items() if c.kind == "examples"), "")
    counted = [examples] if examples else tasks
    rows = sum(s.rows for n in counted for s in manifest.configs[n].splits.values())
    shifts = {s.shift for c in manifest.configs.values() for s in c.splits.values() if s.shift}
    front: dict[str, Any] = {}
    if manifest.license:
        front["license"] = manifest.license
    front["tags"] = ["shiftbench", "distribution-shift", *sorted(shifts - {"none"})]
    front["size_categories"] = [next((s for n, s in _SIZES if rows < n), "n>1M")]
    if "image" in manifest.content:
        front["task_categories"] = ["image-classification"]
    default = tasks[0] if tasks else examples
    front["configs"] = [
        {
            "config_name": name,
            "description": f"{entry.description} {_identity(manifest, entry)}".strip(),
            **({"default": True} if name == default else {}),
            "data_files": [
                {"split": split, "path": f"data/{name}/{split}-*.parquet"}
                for split, rows in entry.splits.items()
                if rows.rows
            ],
        }
        # `datasets` cannot load a split without rows: an empty one is in the manifest only.
        for name, entry in manifest.configs.items()
        if any(split.rows for split in entry.splits.values())
    ]
    if before is not None:
        with suppress(yaml.YAMLError):
            stated = yaml.safe_load(before)
            if isinstance(stated, dict):
                front |= {k: v for k, v in stated.items() if k != "configs"}
    return yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=10_000)


def _identity(manifest: Manifest, entry: ConfigEntry) -> str:
    """What changes with the config. `datasets` caches by it, whatever the files are and where.

    The digest leaves metadata columns out, so the files stand beside it.
    """
    digest = f"digest sha256:{entry.digest}"
    if entry.kind not in ("task", "examples"):
        return digest  # of the whole table
    named = [manifest.files[path].sha256 for s in entry.splits.values() for path in s.files]
    return f"{digest} files sha256:{hashlib.sha256(' '.join(named).encode()).hexdigest()}"


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(cell(v) for v in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _loading(manifest: Manifest) -> str:
    name = next(iter(manifest.configs))
    split = next(iter(manifest.configs[name].splits))
    return (
        "## Loading\n\n```python\nfrom datasets import load_dataset\n\n"
        f'ds = load_dataset("path/to/this", "{name}", split="{split}")\n```\n\n'
        f"Digest of this benchmark: `{manifest.digest}`. A result belongs to the digest that it "
        "was made on.\n"
    )


def _remarks(manifest: Manifest) -> str:
    lines = [f"- **{cell(remark)}**\n" for remark in manifest.measured.get("remarks", [])]
    return "## Before you use it\n\n" + "".join(lines) if lines else ""


def _severities(table: pa.Table | None) -> str:
    """What each stated step does."""
    if table is None or not len(table):
        return ""
    head = ("config", "change", "parameter", "unit", "made", "space", "distance", "shift",
            "shift_low", "shift_high", "accuracy_lost", "lost_low", "lost_high")  # fmt: skip
    rows = [[r[h] for h in head] for r in table.to_pylist()[:MAX_ROWS]]
    more = len(table) - MAX_ROWS
    return (
        "## Severities\n\nThe parameter of each change was fixed beforehand; the distance that it "
        "causes from training and the accuracy that a reference model loses were measured.\n\n"
        + _table(head, rows)
        + (f"\n… and {more} more in `severities`.\n" if more > 0 else "")
    )


def _look_alikes(table: pa.Table | None) -> str:
    """The nearest pairs among other patients, which are to be looked at."""
    if table is None or not len(table):
        return ""
    return (
        "## Look-alikes\n\n"
        f"The {len(table)} pairs of radiographs of different patients that are nearest in pixel "
        "space after alignment are in `near_duplicates`; the first of them:\n\n"
        "![The nearest pairs, with their correlation](near_duplicates.png)\n"
    )


def _splits(manifest: Manifest) -> str:
    rows = [
        (name, split, s.role, s.shift, s.flag, s.rows, s.title if s.title != split else "")
        for name, c in manifest.configs.items()
        if c.kind in ("task", "examples")
        for split, s in c.splits.items()
    ]
    head = ("config", "split", "role", "shift", "flag", "examples", "name")
    described = "".join(
        f"- `{name}`: {cell(c.description)}\n"
        for name, c in manifest.configs.items()
        if c.description
    )
    alone = [
        name
        for name, c in manifest.configs.items()
        if c.kind == "task" and not any(s.role == "ood_validation" for s in c.splits.values())
    ]
    remark = (
        f"\n{', '.join(f'`{n}`' for n in alone)}: no OOD validation split, since no shift is left "
        "that is not tested; tune nothing on the OOD test splits.\n"
        if alone
        else ""
    )
    return f"## Configs and splits\n\n{described}\n{_table(head, rows)}{remark}"


def _held(manifest: Manifest) -> str:
    """What each shift changes, and what it holds fixed by construction; like ones told once."""
    same: dict[tuple[str, ...], list[str]] = {}
    for name, config in manifest.configs.items():
        held = config.notes.get("held", {})
        if held:
            told = tuple(str(held[k]) for k in ("factorisation", "fixed", "changed", "by"))
            same.setdefault(told, []).append(f"`{name}`")
    lines = [
        f"- {', '.join(names)}: of {cell(product)}, "
        f"{f'changed: **{cell(changed)}**' if changed else 'nothing changed'}; "
        f"{f'held fixed: **{cell(fixed)}**' if fixed else 'nothing held fixed'}: "
        f"{cell(by.replace('`', ''))}.\n"
        for (product, fixed, changed, by), names in same.items()
    ]
    return "## What is held fixed\n\n" + "".join(lines) if lines else ""


def _groups(manifest: Manifest) -> str:
    parts = []
    for name, config in manifest.configs.items():
        groups: Mapping[str, Mapping[str, int]] = config.notes.get("groups", {})
        if not groups:
            continue
        names = sorted({g for counts in groups.values() for g in counts})
        rows = [(g, *(counts.get(g, 0) for counts in groups.values())) for g in names]
        parts.append(f"### `{name}`\n\n{_table(('group', *groups), rows)}{_notes(config)}")
    return "## Examples of each group\n\n" + "\n".join(parts) if parts else ""


_FOR_PROGRAMS = ("groups", "held", "unit", "audit_from", "shift_columns", "steps", "warnings",
                 "repeats")  # fmt: skip
"""Notes that other parts of the card say, or that only programs read."""


def _notes(config: ConfigEntry) -> str:
    lines = []
    for key, value in config.notes.items():
        if key in _FOR_PROGRAMS or value in ([], {}):
            continue
        lines.append(f"- {key.replace('_', ' ')}: {cell(_said(value))}\n")
    return "\n" + "".join(lines) if lines else ""


def _said(value: Any, *, inside: bool = False) -> str:
    """A note as words: mappings inside others stand in parentheses."""
    if isinstance(value, Mapping):
        parts = [
            f"{str(k).replace('_', ' ')}: {_said(v, inside=True)}"
            for k, v in value.items()
            if v not in ([], {}, None)
        ]
        return f"({', '.join(parts)})" if inside else ", ".join(parts)
    if isinstance(value, list | tuple):
        sentences = any(" " in str(v) for v in value)
        return ("; " if sentences else ", ").join(_said(v, inside=True) for v in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def distances_section(table: pa.Table | None, measured: Mapping[str, Any]) -> str:
    """How far, and what was not measured; empty where there is neither."""
    rows = [] if table is None else table.to_pylist()
    if not rows and not measured.get("left_out"):
        return ""
    of_tasks = [r for r in rows if r["config"] is not None]
    parts = [f"{DISTANCES}\n"]
    if of_tasks:
        head = ("config", "source", "target", "kind", "distance", "space", "value", "low", "high",
                "p_value")  # fmt: skip
        between = [r for r in of_tasks if r["kind"] != "membership"]
        of_tasks = [*between, *(r for r in of_tasks if r["kind"] == "membership")]
        shown = [[r[h] for h in head] for r in of_tasks[:MAX_ROWS]]
        parts.append(_table(head, shown))
        if len(of_tasks) > MAX_ROWS:
            parts.append(f"… and {len(of_tasks) - MAX_ROWS} more in `shift_distances`.\n")
    n = len(rows) - len(of_tasks)
    kinds = sorted({r["distance"] for r in rows if r["config"] is None})
    if n:
        parts.append(f"{n} distances between subsets ({', '.join(kinds)}): `shift_distances`.\n")
    for name, fitted in sorted(measured.get("spaces", {}).items()):
        width = fitted.get("bandwidth")
        parts.append(
            f"Space {cell(name)}: {fitted['features']} features, fitted on "
            f"{fitted['n_reference']} reference examples"
            + (f", kernel bandwidth {width:.4g}" if width else "")
            + ".\n"
        )
    membership: Mapping[str, Any] = measured.get("membership", {})
    if membership.get("pairs_across_classes"):
        parts.append(f"Not measured: {membership['pairs_across_classes']} pairs across classes.\n")
    if membership.get("pairs_beyond_budget"):
        parts.append(
            f"Not stored, beyond the budget of {membership['max_pairs']} pairs: "
            f"{membership['pairs_beyond_budget']} pairs of subsets below "
            f"{membership['smallest_size']} examples.\n"
        )
    left_out = measured.get("left_out", [])
    for entry in left_out[:MAX_ROWS]:
        where = " → ".join(entry[k] for k in ("source", "target") if k in entry)
        named = " ".join(filter(None, (entry.get("config"), where)))
        space = f" in {cell(entry['space'])}" if entry.get("space") else ""
        parts.append(
            f"Not measured{': ' + cell(named) if named else ''}: {cell(entry['distance'])}{space}, "
            f"since {cell(entry['reason'])}.\n"
        )
    if len(left_out) > MAX_ROWS:
        parts.append(f"… and {len(left_out) - MAX_ROWS} more that were not measured.\n")
    return "\n".join(parts)


def balance_section(table: pa.Table | None, manifest: Manifest) -> str:
    """What else differs between the splits; empty where nothing was compared."""
    if table is None or not len(table):
        return ""
    verdicts = "".join(
        f"- `{v['config']}`, {cell(v['source'])} → {cell(v['target'])}: {cell(v['words'])}\n"
        for v in manifest.measured.get("confounding", [])
    )
    verdicts = f"Can the shift be told from other columns?\n\n{verdicts}\n" if verdicts else ""
    meant = {name: meant_columns(manifest, name) for name in manifest.configs}
    rows = [
        r
        for r in table.to_pylist()
        if r["verdict"] in ("differs", "predicts the split")
        and r["column"] not in meant.get(r["config"], ())
    ]
    if not rows:
        return (
            f"{BALANCE}\n\n{verdicts}No other column was found to differ between two splits; see "
            "`balance` for what each comparison could tell.\n"
        )
    head = ("config", "source", "target", "column", "statistic", "value", "low", "high", "auc",
            "p_value", "verdict")  # fmt: skip
    shown = [[r[h] for h in head] for r in rows[:MAX_ROWS]]
    more = len(rows) - MAX_ROWS
    return (
        f"{BALANCE}\n\n{verdicts}Columns by which two splits differ besides the shift that is "
        "meant; all comparisons are in `balance`.\n\n"
        + _table(head, shown)
        + (f"\n… and {more} more.\n" if more > 0 else "")
    )


def _left_out(manifest: Manifest) -> str:
    counts = {k: v for k, v in manifest.counts.items() if v}
    if not counts and not manifest.rejected:
        return ""
    lines = [f"- {cell(k.replace('_', ' '))}: {v}\n" for k, v in sorted(counts.items())]
    if manifest.rejected:
        lines.append(f"- rejected inputs, with the reason in `rejected`: {manifest.rejected}\n")
    return "## What was left out\n\n" + "".join(lines)


def _provenance(manifest: Manifest) -> str:
    lines = ["## Provenance and licence\n"]
    for source in manifest.sources:
        notes: Mapping[str, Any] = source.get("notes", {})
        said = "; ".join(f"{k}: {v}" for k, v in notes.items() if isinstance(v, str))
        lines.append(f"- {cell(source['name'])}: {cell(said or 'a source of the user')}\n")
        for parent in notes.get("parents", []):
            told = ", ".join(f"{k} {_said(v, inside=True)}" for k, v in parent.items())
            lines.append(f"- made from another benchmark: {cell(told)}\n")
    if manifest.license:
        lines.append(f"- licence: {cell(manifest.license)}\n")
    else:
        lines.append("- licence: not stated; ask the owner of the source before you share this\n")
    lines.append(
        "\nLicence and attribution by example, where they differ, are columns of the data.\n"
    )
    lines.append(
        f"\n## Rebuilding\n\n```toml\n{recipe_toml(manifest)}```\n\nSave this as `recipe.toml`, "
        "with the paths of your copy of the source, and run "
        "`shiftbench build recipe.toml --out DIR`: the digest is the same.\n"
    )
    return "".join(lines)


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_without_none(v) for v in value if v is not None]
    return value
