"""Joining the rows of a manifest with files, and its further columns with their types."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shiftbench.sources._radiograph_header import number
from shiftbench.sources._radiograph_manifest import Row

__all__ = ["join", "kept_columns"]


def join(
    rows: Iterable[Row], files: Sequence[str]
) -> tuple[dict[int, Row], dict[int, str], dict[int, str], int]:
    """Which row is of which file: by the path below the folder, or as much of it as is given.

    Parameters
    ----------
    rows : iterable of Row
    files : sequence of str
        Names relative to the folder, with "/".

    Returns
    -------
    (row by position of the file, reason by position, reason by row number, rows without file)
        A file that two rows name is not used, nor a row whose name several folders have.
    """
    exact = {name: position for position, name in enumerate(files)}
    alone: dict[str, list[int]] = {}
    for position, name in enumerate(files):
        alone.setdefault(posixpath.basename(name), []).append(position)
    found: dict[int, list[Row]] = {}
    unclear: dict[int, str] = {}
    absent = 0
    for row in rows:
        name = posixpath.normpath(row.file.replace("\\", "/"))
        named = exact.get(name)
        fitting = [named] if named is not None else []
        if not fitting:
            alike = alone.get(posixpath.basename(name), ())
            fitting = [p for p in alike if _one_ends_in_the_other(files[p], name)]
        if len(fitting) == 1:
            found.setdefault(fitting[0], []).append(row)
        elif fitting:
            unclear[row.number] = (
                f"{len(fitting)} files have the name; give the path below --folder"
            )
        else:
            absent += 1
    twice = {
        position: f"{len(of)} rows of the manifest name it (rows "
        f"{', '.join(str(r.number) for r in of)}); which is right is unknown"
        for position, of in found.items()
        if len(of) > 1
    }
    return {p: of[0] for p, of in found.items() if len(of) == 1}, twice, unclear, absent


def _one_ends_in_the_other(file: str, named: str) -> bool:
    """Whether two paths may be of one file, seen from two folders: ``a/b/c.png`` and ``b/c.png``.

    Names alone are not enough: every patient's folder may hold a ``1.png``.
    """
    a, b = (f"/{path.lstrip('/')}" for path in (file, named))
    return a.endswith(b) or b.endswith(a)


def kept_columns(cells: Mapping[str, Sequence[str]]) -> dict[str, list[Any]]:
    """Columns of text as whole numbers or numbers where every cell is one; empty cells are null.

    Examples
    --------
    >>> kept_columns({"dose": ["1.5", ""], "ward": ["3", "A"]})
    {'dose': [1.5, None], 'ward': ['3', 'A']}
    """
    made: dict[str, list[Any]] = {}
    for name, texts in cells.items():
        numbers = [number(t) for t in texts]
        if not any(texts) or any(n is None for n, t in zip(numbers, texts, strict=True) if t):
            made[name] = [t or None for t in texts]
        elif all(t.lstrip("+-").isdecimal() and t.isascii() for t in texts if t):
            whole_numbers = [int(t) if t else None for t in texts]
            fit = all(n is None or abs(n) < 2**63 for n in whole_numbers)
            made[name] = whole_numbers if fit else [t or None for t in texts]
        else:
            made[name] = list(numbers)
    return made
