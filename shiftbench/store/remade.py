"""The card of a benchmark that is measured again: new sections, and all else as it was."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pyarrow as pa

from shiftbench.store.card import (
    BALANCE,
    DISTANCES,
    balance_section,
    distances_section,
    front_matter,
)
from shiftbench.store.manifest import Manifest

__all__ = ["remade_card"]


def remade_card(card: bytes, manifest: Manifest, tables: Mapping[str, pa.Table]) -> bytes:
    """A card whose YAML and measured sections say what was measured since; the rest stays.

    Parameters
    ----------
    card : bytes
        As it is.
    manifest : Manifest
    tables : mapping
        `shift_distances` and `balance`.
    """
    # Whatever a person has put there comes out again, be it no UTF-8.
    text = card.decode(errors="surrogateescape").removeprefix("\ufeff").replace("\r\n", "\n")
    front = re.match(r"---\n(.*?\n)?---[ \t]*(\n|$)", text, re.DOTALL)
    body = text[front.end() :] if front else text
    new = {
        DISTANCES: distances_section(tables["shift_distances"], manifest.measured),
        BALANCE: balance_section(tables["balance"], manifest),
    }
    sections = _sections(body)
    at = next(
        (i for i, s in enumerate(sections) if _heading(s) in new),
        next(
            (i for i, s in enumerate(sections) if s.startswith("## What was left")), len(sections)
        ),
    )
    kept = [s for s in sections[:at] if _heading(s) not in new]
    after = [s for s in sections[at:] if _heading(s) not in new]
    made = [section.rstrip("\n") + "\n\n" for section in new.values() if section]
    if made and kept and not kept[-1].endswith("\n\n"):
        kept[-1] = kept[-1].rstrip("\n") + "\n\n"
    said = f"---\n{front_matter(manifest, front[1] if front else None)}---\n"
    return (said + "".join([*kept, *made, *after])).encode(errors="surrogateescape")


def _sections(body: str) -> list[str]:
    """The text cut before each heading of the second level; what stands in code is none."""
    found = [""]
    fence = ""
    for line in body.splitlines(keepends=True):
        mark = re.match(r" {0,3}(`{3,}|~{3,})", line)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence) and not line.strip(" \n`~"):
            fence = ""
        if line.startswith("## ") and not fence:
            found.append("")
        found[-1] += line
    return found


def _heading(section: str) -> str:
    return section.partition("\n")[0].rstrip()
